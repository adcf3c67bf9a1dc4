//! What the config says of `/metrics`.
//!
//! Built by [`crate::config`] from `prometheus_*` and `custom_prometheus_*` in `litellm_settings`, read by the gateway when
//! it counts and when it shows. Always true: bounds of buckets are positive and ascending; names of labels are valid ones.

/// The bounds of the families of times that have `LiteLLM`'s names, seconds.
pub const LATENCY_BUCKETS: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 420.0,
    600.0,
];

/// What the config says of `/metrics`.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricsSettings {
    /// The bounds of the families of times that have `LiteLLM`'s names, seconds, ascending.
    pub latency_buckets: Vec<f64>,
    /// Which families of `LiteLLM`'s names are shown; all if it is `None`.
    pub shown: Option<Vec<ShownMetrics>>,
    /// The labels whose values come from clients.
    pub client_labels: Vec<ClientLabel>,
}

impl Default for MetricsSettings {
    fn default() -> MetricsSettings {
        MetricsSettings {
            latency_buckets: LATENCY_BUCKETS.to_vec(),
            shown: None,
            client_labels: Vec::new(),
        }
    }
}

/// Families that are shown: one entry of `prometheus_metrics_config`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownMetrics {
    /// Their names.
    pub metrics: Vec<Box<str>>,
    /// Their labels, if not all.
    pub labels: Option<Vec<Box<str>>>,
}

/// A label whose values come from clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientLabel {
    /// Its name.
    pub name: Box<str>,
    /// Where its values come from.
    pub source: ClientSource,
}

/// Where a label's values come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientSource {
    /// The user that the request names: in the header that the config names, else in its body.
    EndUser,
    /// The address of the connection's other end.
    Ip,
    /// `user-agent`.
    Agent,
    /// A text in the body's `metadata`, by the names on the way to it.
    Metadata(Vec<Box<str>>),
    /// `true` if a tag of the request is like this pattern, else `false`.
    Tag(Box<str>),
}

impl ClientLabel {
    /// Whether every family of requests has it, and not only those that `LiteLLM` gives it.
    #[must_use]
    pub const fn is_everywhere(&self) -> bool {
        match self.source {
            ClientSource::EndUser | ClientSource::Ip | ClientSource::Agent => false,
            ClientSource::Metadata(_) | ClientSource::Tag(_) => true,
        }
    }
}

impl MetricsSettings {
    /// Whether a family is shown, and with which labels if not all.
    #[must_use]
    pub fn shows(&self, family: &str) -> Shown<'_> {
        let Some(groups) = &self.shown else { return Shown::Whole };
        let named = |group: &&ShownMetrics| group.metrics.iter().any(|name| &**name == family);
        // As in LiteLLM the last group that names it counts.
        match groups.iter().rev().find(named) {
            None => Shown::Not,
            Some(ShownMetrics { labels: None, .. }) => Shown::Whole,
            Some(ShownMetrics { labels: Some(labels), .. }) => Shown::With(labels),
        }
    }
}

/// How a family is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown<'s> {
    /// With all its labels.
    Whole,
    /// With these labels.
    With(&'s [Box<str>]),
    /// Not at all.
    Not,
}
