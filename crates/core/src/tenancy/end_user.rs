//! A client's own customer, as a request names it: whether it is blocked, and against what its requests count.
//!
//! Made by [`super::load`] of its row and its budget's; asked by the gateway for each request with a key that names one that has a row.
//! Always true: it narrows what a key may do and widens nothing.

use std::sync::Arc;

use super::denied::Denied;
use super::level::Level;
use super::of_models::ByModel;

/// An end user.
#[derive(Debug)]
pub struct EndUser {
    /// Whether an operator blocked it.
    pub is_blocked: bool,
    /// What its requests count against.
    pub level: Arc<Level>,
    /// The same of single models.
    pub of_models: ByModel,
    /// Columns with a rule that this version does not serve.
    pub unserved: Vec<&'static str>,
}

impl EndUser {
    /// Whether its requests are served.
    ///
    /// # Errors
    /// The refusal: it is blocked.
    pub fn check(&self) -> Result<(), Denied> {
        if self.is_blocked { Err(Denied::end_user_blocked(&self.level.subject.id)) } else { Ok(()) }
    }
}
