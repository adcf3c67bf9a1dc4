//! Whose a key is.
//!
//! Part of [`super::access`]; carried by records, metrics and logs. Always true: it has no text of a key.

use std::sync::Arc;

/// Whose a key is, for records, metrics and logs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The hash of the key.
    pub key: Arc<str>,
    /// The name that an operator gave it.
    pub key_alias: Option<Arc<str>>,
    /// The user.
    pub user: Option<Arc<str>>,
    /// The user's e-mail address.
    pub user_email: Option<Arc<str>>,
    /// The team.
    pub team: Option<Arc<str>>,
    /// The name that an operator gave it.
    pub team_alias: Option<Arc<str>>,
    /// The organization.
    pub organization: Option<Arc<str>>,
}
