//! One level of limits: a key, a team, an end user, ...
//!
//! Part of [`super::access`]; made by [`super::load`]. Always true: levels of one subject share one account.

use std::sync::Arc;

use super::account::{Account, Terms};
use super::subject::Subject;

/// One level of limits that a request counts against.
#[derive(Debug)]
pub struct Level {
    /// Whose.
    pub subject: Subject,
    /// Its limits.
    pub terms: Terms,
    /// What it has used.
    pub account: Arc<Account>,
    /// The row of budgets whose clock it follows, if it has none of its own.
    pub clock: Option<Box<str>>,
}
