//! Monotonic time as a number. Read by the gateway's clock, passed into every decision of this
//! crate.
//!
//! Always true: arithmetic saturates, so that a clock that jumps causes no panic and no negative
//! time.

/// A moment in milliseconds since 1970 as RFC 3339 in UTC, to the second.
#[must_use]
pub fn rfc3339(unix_ms: u64) -> String {
    let seconds = i64::try_from(unix_ms / 1000).unwrap_or(i64::MAX);
    // A moment beyond the calendar becomes the last one that it has.
    let at = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX);
    at.to_string()
}

/// Milliseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMs(pub u64);

/// One moment on both clocks, to convert moments of this process for other processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WallClock {
    /// The moment on the process's own clock.
    pub now: Millis,
    /// The same moment on the wall clock.
    pub unix_ms: UnixMs,
}

impl WallClock {
    /// `at` on the wall clock, before or after the moment that both clocks are known at.
    #[must_use]
    pub fn unix_ms(self, at: Millis) -> UnixMs {
        let before = self.now.since(at);
        UnixMs(self.unix_ms.0.saturating_sub(before).saturating_add(at.since(self.now)))
    }
}

/// Milliseconds on a monotonic clock whose zero is the start of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub u64);

impl Millis {
    /// The far future: a deadline that never comes.
    pub const NEVER: Millis = Millis(u64::MAX);

    /// This moment plus `ms` milliseconds.
    #[must_use]
    pub fn plus(self, ms: u64) -> Millis {
        Millis(self.0.saturating_add(ms))
    }

    /// Milliseconds since `earlier`; 0 if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Millis) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_before_and_after_now_are_found_on_the_wall() {
        let clock = WallClock { now: Millis(1_000), unix_ms: UnixMs(50_000) };
        let wall = |at| clock.unix_ms(Millis(at)).0;
        assert_eq!((wall(0), wall(1_000), wall(3_000)), (49_000, 50_000, 52_000));
        assert_eq!(clock.unix_ms(Millis::NEVER).0, u64::MAX);
    }
}
