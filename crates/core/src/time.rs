//! Monotonic time as a number. Read by the gateway's clock, passed into every decision of this crate.
//!
//! Always true: arithmetic saturates, so a jumping clock can not panic or go negative.

/// A moment in milliseconds since 1970 as RFC 3339 in UTC, to the second.
#[must_use]
pub fn rfc3339(unix_ms: u64) -> String {
    let seconds = i64::try_from(unix_ms / 1000).unwrap_or(i64::MAX);
    // What no calendar reaches is as far away as one can say.
    let at = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX);
    at.to_string()
}

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
