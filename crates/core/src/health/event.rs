//! Changes of one deployment's state, as they are told.
//!
//! Made by [`super::DeploymentState`] where it changes, shown by pages; a history would keep them. Always
//! true: each has a source, and a cause where there is one; no more than [`KEPT`] are remembered.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::time::Millis;

/// Changes that are remembered to be shown.
pub(super) const KEPT: usize = 8;

/// What changed a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A health check.
    Check,
    /// An answer to real traffic, or that there was none.
    Traffic,
    /// Nothing new was heard for too long.
    Time,
    /// Another config is in force, with another address, credential or model.
    Config,
    /// An operator.
    Operator,
}

impl Source {
    /// The name on pages and in logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Source::Check => "check",
            Source::Traffic => "traffic",
            Source::Time => "time",
            Source::Config => "config",
            Source::Operator => "operator",
        }
    }
}

/// One change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// When it happened.
    pub at: Millis,
    /// The name of what was.
    pub from: &'static str,
    /// The name of what is.
    pub to: &'static str,
    /// Why, where there is something to say.
    pub cause: Option<&'static str>,
    /// What changed it.
    pub source: Source,
}

/// The last changes.
#[derive(Debug, Default)]
pub(super) struct Events {
    kept: Mutex<VecDeque<Event>>,
    /// All there ever were.
    count: AtomicU64,
}

impl Events {
    pub(super) fn push(&self, event: Event) {
        self.count.fetch_add(1, Ordering::Relaxed);
        let mut events = self.kept.lock();
        if events.len() == KEPT {
            events.pop_front();
        }
        events.push_back(event);
    }

    pub(super) fn take_over(&self, before: &Events) {
        *self.kept.lock() = before.kept.lock().clone();
        self.count.store(before.count(), Ordering::Relaxed);
    }

    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    pub(super) fn all(&self) -> Vec<Event> {
        self.kept.lock().iter().copied().collect()
    }
}
