//! What one request asks of routing.
//!
//! Read by the gateway from headers and body, obeyed by [`super::RoutePlan`]. Always true: what is
//! absent here is decided by the config.

use super::affinity::Affinity;
use super::may_use::MayUse;
use super::needs::Needs;
use super::tags::TagWish;
use crate::operation::Operation;

/// What the client asks of routing, from headers and body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Controls {
    /// The operation; `None` is one that every deployment has.
    pub operation: Option<Operation>,
    /// The provider whose deployments alone can serve it.
    pub provider: Option<&'static str>,
    /// Whether the answer is a stream.
    pub stream: bool,
    /// Attempts after the first.
    pub num_retries: Option<u32>,
    /// The end-to-end deadline, milliseconds.
    pub timeout_ms: Option<u64>,
    /// Limit of the time to a stream's first content and of every silence after it, milliseconds.
    pub stream_timeout_ms: Option<u64>,
    /// After how much silence its stream gets a comment, milliseconds, where a deployment lets clients say so; 0 is never.
    pub keepalive_ms: Option<u64>,
    /// Groups tried after a failure, instead of the config's.
    pub fallbacks: Option<Vec<ClientFallback>>,
    /// The same after a request that is too long.
    pub context_window_fallbacks: Option<Vec<ClientFallback>>,
    /// The same after a refusal by a provider's policy.
    pub content_policy_fallbacks: Option<Vec<ClientFallback>>,
    /// Whether no fallback is tried.
    pub disable_fallbacks: bool,
    /// Whether parameters that the provider does not know are left out, whatever the config says.
    pub drop_params: bool,
    /// How many fallback groups may be tried.
    pub max_fallbacks: Option<u32>,
    /// What it needs from a model, if that was read.
    pub needs: Needs,
    /// The models that it may use, by its key.
    pub may_use: MayUse,
    /// Its tags, if tags decide or have budgets.
    pub tags: Option<Box<TagWish>>,
    /// What names its home, if it has one.
    pub affinity: Option<Affinity>,
    /// `allowed_model_region`: the only region whose deployments may serve it.
    pub region: Option<Box<str>>,
    /// When it arrived by the wall clock, milliseconds since 1970, if hours matter.
    pub unix_ms: u64,
}

/// What changes the request for the group that is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overrides {
    /// The object at that place of the client's `fallbacks`.
    OfClient(usize),
    /// The object at that place of the config's [`changes`](crate::settings::RouterSettings::changes).
    OfConfig(usize),
}

/// One fallback that the client names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientFallback {
    /// The group that it is for; `None` is the group that the client named.
    pub group: Option<Box<str>>,
    /// The group to try.
    pub name: Box<str>,
    /// Which object of the client's list changes the request for it, if one does.
    pub overrides: Option<usize>,
}

impl From<&str> for ClientFallback {
    fn from(name: &str) -> ClientFallback {
        ClientFallback { group: None, name: name.into(), overrides: None }
    }
}
