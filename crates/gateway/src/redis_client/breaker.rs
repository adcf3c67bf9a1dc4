//! The breaker of the connection to Redis.
//!
//! Part of [`super::Redis`], behind its lock. Always true: it opens after [`IN_A_ROW`] failures in a row, or
//! when half of the last [`KEPT`] calls failed; only a new connection closes it.

/// Failures in a row that open it.
const IN_A_ROW: u32 = 5;
/// Calls that are remembered.
const KEPT: u32 = 20;

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// The server answered, with an error of its own or not.
    Answered,
    /// It did not answer, or the connection was lost.
    Lost,
}

/// The last calls.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    /// One bit a call, the newest lowest: whether it failed.
    failed: u32,
    calls: u32,
    in_a_row: u32,
}

impl Breaker {
    /// A call ended.
    pub(super) fn ended(&mut self, call: Call) {
        let is_lost = call == Call::Lost;
        self.failed = (self.failed << 1 | u32::from(is_lost)) & ((1 << KEPT) - 1);
        self.calls = (self.calls + 1).min(KEPT);
        self.in_a_row = if is_lost { self.in_a_row + 1 } else { 0 };
    }

    /// Whether the last call failed.
    pub(super) fn is_suspected(&self) -> bool {
        self.in_a_row > 0
    }

    /// Whether the server counts as not reached.
    pub(super) fn is_open(&self) -> bool {
        let half = self.calls == KEPT && self.failed.count_ones() * 2 >= KEPT;
        self.in_a_row >= IN_A_ROW || half
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(calls: &[bool]) -> Breaker {
        let mut breaker = Breaker::default();
        let ended = |is_lost| if is_lost { Call::Lost } else { Call::Answered };
        calls.iter().for_each(|is_lost| breaker.ended(ended(*is_lost)));
        breaker
    }

    #[test]
    fn five_failures_in_a_row_or_half_of_twenty_open_it() {
        assert!(!after(&[true; 4]).is_open() && after(&[true; 5]).is_open());
        assert!(!after(&[true, true, true, true, false, true, true]).is_open());
        assert!(after(&[true, false].repeat(10)).is_open());
        assert!(!after(&[true, false].repeat(9)).is_open(), "too few calls");
        assert!(!after(&[true, false, false].repeat(10)).is_open());
        assert!(after(&[false, true]).is_suspected() && !after(&[true, false]).is_suspected());
    }
}
