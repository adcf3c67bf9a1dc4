//! Who is told of each call of the database.
//!
//! Given with the options of a store, called by it. Always true: what it does takes no time.

use std::fmt;
use std::sync::Arc;

use crate::error::Kind;

/// A call of the database that has ended.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// What was called: `open`, `write`, `read` or `probe`.
    pub what: &'static str,
    /// How long it took, milliseconds.
    pub ms: u64,
    /// What was wrong, if it failed.
    pub failed: Option<Kind>,
}

/// Who is told.
#[derive(Clone)]
pub struct Watch(Arc<dyn Fn(Call) + Send + Sync>);

impl Watch {
    /// Tells `told`.
    #[must_use]
    pub fn new(told: impl Fn(Call) + Send + Sync + 'static) -> Watch {
        Watch(Arc::new(told))
    }

    pub(crate) fn tell(&self, call: Call) {
        (self.0)(call);
    }
}

impl Default for Watch {
    fn default() -> Watch {
        Watch::new(|_| {})
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("Watch")
    }
}
