//! Monotonic time as a number. Read by the gateway's clock, passed into every decision of this crate.
//!
//! Always true: arithmetic saturates, so a jumping clock can not panic or go negative.

/// Milliseconds on a monotonic clock whose zero is the start of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub u64);

impl Millis {
    /// The far future: a deadline that never comes.
    pub const NEVER: Millis = Millis(u64::MAX);

    /// This instant plus `ms` milliseconds.
    #[must_use]
    pub fn plus(self, ms: u64) -> Millis {
        Millis(self.0.saturating_add(ms))
    }

    /// Milliseconds since `earlier`; 0 when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Millis) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}
