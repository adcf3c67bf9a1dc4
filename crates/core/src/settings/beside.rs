//! Gateways beside this one: LiteLLM's own server behind it, and a second gateway that gets copies of requests.
//!
//! Part of [`super::GatewaySettings`]. Always true: an address has no slash at its end.

use crate::money::Money;
use crate::secret::Secret;

/// LiteLLM's own server, behind this gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// Its address, without a slash at its end.
    pub url: Box<str>,
    /// Whose user interface `/ui/` shows.
    pub ui: Ui,
}

/// A second gateway that gets a sample of requests, so that its answers can be compared.
#[derive(Clone, Debug, PartialEq)]
pub struct MirrorSettings {
    /// Its address, without a slash at its end.
    pub url: Box<str>,
    /// The share of requests that it gets: 0 to 1.
    pub share: f64,
    /// What these requests may cost there a day (UTC), by what they cost here.
    pub budget: Money,
    /// The key that it gets; the client's own without one.
    pub api_key: Option<Secret>,
}

/// Whose user interface is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ui {
    /// The backend's.
    #[default]
    Backend,
    /// This gateway's dashboard.
    Own,
}
