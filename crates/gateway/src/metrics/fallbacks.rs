//! Which groups were tried after others, and with what success.
//!
//! Written when a request that left its group is answered or given up, read by the page of metrics. Always true: the names
//! are those of groups of a config, and the number of rows is bounded.

use std::collections::BTreeMap;
use std::sync::Arc;

use hale_core::cause::Cause;
use parking_lot::Mutex;

/// Most rows. What comes after that is not told apart by the group that was tried.
const ROWS_MAX: usize = 10_000;

/// Whether a fallback gave an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Helped {
    /// It did.
    Yes,
    /// It did not.
    No,
}

/// One group that was tried after another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fallback {
    /// Whether it gave an answer.
    pub(crate) helped: Helped,
    /// The group that the client named.
    pub(crate) requested: Arc<str>,
    /// The group that was tried.
    pub(crate) tried: Arc<str>,
    /// The failure in the first group: its status.
    pub(crate) status: u16,
    /// Its cause.
    pub(crate) cause: Option<Cause>,
    /// The provider that it came from; empty if none was called.
    pub(crate) provider: &'static str,
}

/// All of them.
#[derive(Default)]
pub(crate) struct Fallbacks(Mutex<BTreeMap<Fallback, u64>>);

impl Fallbacks {
    /// Counts one.
    pub(crate) fn count(&self, fallback: Fallback) {
        let mut rows = self.0.lock();
        let fallback = match rows.len() < ROWS_MAX || rows.contains_key(&fallback) {
            true => fallback,
            false => Fallback { tried: "".into(), status: 0, cause: None, ..fallback },
        };
        *rows.entry(fallback).or_default() += 1;
    }

    /// All rows.
    pub(crate) fn read(&self) -> Vec<(Fallback, u64)> {
        self.0.lock().iter().map(|(row, count)| (row.clone(), *count)).collect()
    }
}
