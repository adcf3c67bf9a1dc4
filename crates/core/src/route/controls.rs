//! What one request asks of the routing.
//!
//! Read by the gateway from headers and body, obeyed by [`super::RoutePlan`]. Always true: what is absent
//! here is the config's to say.

use super::needs::Needs;
use super::tags::TagWish;
use crate::operation::Operation;

/// What the client asks of the routing, from headers and body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Controls {
    /// What is asked for; `None` is what every deployment has.
    pub operation: Option<Operation>,
    /// Whether the answer is a stream.
    pub stream: bool,
    /// Attempts after the first.
    pub num_retries: Option<u32>,
    /// The end-to-end deadline, milliseconds.
    pub timeout_ms: Option<u64>,
    /// Bounds the first content of a stream and every silence after it, milliseconds.
    pub stream_timeout_ms: Option<u64>,
    /// Groups tried after a failure, instead of the config's.
    pub fallbacks: Option<Vec<ClientFallback>>,
    /// The same after a request that is too long.
    pub context_window_fallbacks: Option<Vec<ClientFallback>>,
    /// The same after a refusal by a provider's policy.
    pub content_policy_fallbacks: Option<Vec<ClientFallback>>,
    /// Whether no fallback is tried.
    pub disable_fallbacks: bool,
    /// How many fallback groups may be tried.
    pub max_fallbacks: Option<u32>,
    /// What it asks of a model, where that was read.
    pub needs: Needs,
    /// Its tags, where tags decide or have budgets.
    pub tags: Option<Box<TagWish>>,
    /// `allowed_model_region`: the one region whose deployments may serve it.
    pub region: Option<Box<str>>,
    /// When it arrived by the clock on the wall, milliseconds since 1970, where hours decide.
    pub unix_ms: u64,
}

/// One fallback that the client names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientFallback {
    /// The group that it is for; `None` is the one that was asked for.
    pub group: Option<Box<str>>,
    /// What is tried.
    pub name: Box<str>,
    /// Which object of the client's list changes the request for it, if one does.
    pub overrides: Option<usize>,
}

impl From<&str> for ClientFallback {
    fn from(name: &str) -> ClientFallback {
        ClientFallback { group: None, name: name.into(), overrides: None }
    }
}
