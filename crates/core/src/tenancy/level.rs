//! One level of limits: a key, a team, an end user, ...
//!
//! Part of [`super::access`]; made by [`super::load`]. Always true: levels of one subject share one account.

use std::sync::Arc;

use super::account::{Account, Terms};
use super::subject::Subject;
use crate::money::Money;
use crate::time::UnixMs;

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
    /// What its spend is in the store, if it has no column of a row.
    pub counter: Option<Counter>,
}

/// Spend of a period that the store counts by itself: a row for each period, so that none is ever reset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counter {
    /// Whose: `key`, `team`, `user` or `end_user`.
    pub kind: &'static str,
    /// The id of it; of a key the first hash that it had.
    pub id: Box<str>,
    /// The model; empty is all of them.
    pub model: Box<str>,
    /// The period, as the row has it: `1d`.
    pub period: Box<str>,
}

/// A level to which a finished request was charged, besides those that follow a row of its key.
#[derive(Clone, Debug)]
pub struct Charged {
    /// The level.
    pub level: Arc<Level>,
    /// When the period ends that it was charged to.
    pub ends: Option<UnixMs>,
    /// What of the request's cost it was charged.
    pub cost: Money,
}

impl PartialEq for Charged {
    fn eq(&self, other: &Charged) -> bool {
        (&self.level.subject, self.ends, self.cost)
            == (&other.level.subject, other.ends, other.cost)
    }
}

impl Eq for Charged {}
