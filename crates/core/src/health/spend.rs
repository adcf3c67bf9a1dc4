//! The spend within the window of a budget.
//!
//! Written when the cost of an answer is known, read by [`crate::route`] for every candidate.
//! Always true: a window begins with the first cost after the previous window and has a fixed
//! length; a reader takes no lock. The count is that of this process, and so is the part of the
//! limit that it may spend ([`Spend::own_part`]).

use std::sync::atomic::{AtomicU64, Ordering};

use jiff::{Timestamp, ToSpan as _, tz::TimeZone};
use parking_lot::Mutex;

use crate::time::Millis;

/// The length of a budget's window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    /// Milliseconds.
    Ms(u64),
    /// Months of the calendar (UTC), from the day and time at which the window begins.
    Months(u16),
}

/// The length of a month if the calendar has no such date, milliseconds.
const MONTH_MS: u64 = 30 * 86_400_000;

impl Period {
    /// The length of a window that begins at `unix_ms`, milliseconds since 1970.
    #[must_use]
    pub fn length_ms(self, unix_ms: u64) -> u64 {
        let months = match self {
            Period::Ms(ms) => return ms,
            Period::Months(months) => months,
        };
        let by_calendar = || {
            let begin = Timestamp::from_millisecond(i64::try_from(unix_ms).ok()?).ok()?;
            let end = begin.to_zoned(TimeZone::UTC).checked_add(i32::from(months).months()).ok()?;
            u64::try_from(end.timestamp().as_millisecond()).ok()?.checked_sub(unix_ms)
        };
        by_calendar().unwrap_or(u64::from(months) * MONTH_MS)
    }
}

/// The spend of one budget.
#[derive(Debug, Default)]
pub struct Spend {
    /// USD within the window, as bits.
    usd: AtomicU64,
    /// When the window ends, milliseconds; 0 before the first one.
    ends: AtomicU64,
    /// What this replica may spend of the limit, USD, as bits; 0 is all of it.
    share: AtomicU64,
    writing: Mutex<()>,
}

impl Spend {
    /// USD within the open window, and when that ends. `None` without an open window.
    #[must_use]
    pub fn window(&self, now: Millis) -> Option<(f64, Millis)> {
        let ends = Millis(self.ends.load(Ordering::Acquire));
        (now < ends).then(|| (f64::from_bits(self.usd.load(Ordering::Acquire)), ends))
    }

    /// What this replica may spend of `limit_usd`.
    #[must_use]
    pub fn own_part(&self, limit_usd: f64) -> f64 {
        match self.share.load(Ordering::Relaxed) {
            0 => limit_usd,
            bits => f64::from_bits(bits).min(limit_usd),
        }
    }

    /// Sets what this replica may spend of the limit, USD above 0; `None` is all of it.
    pub fn set_share(&self, usd: Option<f64>) {
        self.share.store(usd.map_or(0, f64::to_bits), Ordering::Relaxed);
    }

    /// Adds a cost; the first one after a window's end begins the next window. Returns the USD in
    /// the window before this cost. Infinite and negative numbers are ignored.
    pub fn add(&self, now: Millis, unix_ms: u64, usd: f64, period: Period) -> Option<f64> {
        if !(usd.is_finite() && usd > 0.0) {
            return None;
        }
        let _writing = self.writing.lock();
        let spent = match self.window(now) {
            Some((spent, _)) => spent,
            None => {
                // In this order no reader sees the old sum in the new window.
                self.usd.store(0, Ordering::Release);
                self.ends.store(now.plus(period.length_ms(unix_ms)).0, Ordering::Release);
                0.0
            }
        };
        self.usd.store((spent + usd).to_bits(), Ordering::Release);
        Some(spent)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY: u64 = 86_400_000;

    #[test]
    fn a_window_begins_with_its_first_cost_and_has_a_fixed_length() {
        let spend = Spend::default();
        let day = Period::Ms(DAY);
        assert_eq!(spend.window(Millis(5)), None);
        spend.add(Millis(1_000), 0, 1.5, day);
        spend.add(Millis(DAY), 0, 2.0, day);
        assert_eq!(spend.window(Millis(DAY)), Some((3.5, Millis(DAY + 1_000))));
        assert_eq!(spend.window(Millis(DAY + 999)), Some((3.5, Millis(DAY + 1_000))));
        assert_eq!(spend.window(Millis(DAY + 1_000)), None);
        spend.add(Millis(3 * DAY), 0, 0.25, day);
        assert_eq!(spend.window(Millis(3 * DAY)), Some((0.25, Millis(4 * DAY))));
        for nonsense in [f64::NAN, f64::INFINITY, -1.0, 0.0] {
            spend.add(Millis(3 * DAY), 0, nonsense, day);
        }
        assert_eq!(spend.window(Millis(3 * DAY)), Some((0.25, Millis(4 * DAY))));
    }

    #[test]
    fn months_are_those_of_the_calendar() {
        let at = |text: &str| {
            u64::try_from(text.parse::<Timestamp>().unwrap().as_millisecond()).unwrap()
        };
        let month = Period::Months(1);
        assert_eq!(month.length_ms(at("2026-02-01T00:00:00Z")), 28 * DAY);
        assert_eq!(month.length_ms(at("2028-02-01T12:00:00Z")), 29 * DAY);
        assert_eq!(month.length_ms(at("2026-01-31T06:00:00Z")), 28 * DAY, "the end of February");
        assert_eq!(Period::Months(2).length_ms(at("2026-12-15T00:00:00Z")), 62 * DAY);
        assert_eq!(month.length_ms(u64::MAX), MONTH_MS, "where no calendar reaches");
    }

    proptest! {
        #[test]
        fn a_window_holds_exactly_what_was_spent_in_it(
            costs in prop::collection::vec((0..40_000u64, 0.001..5.0f64), 1..100),
            period in 1_000..100_000u64,
        ) {
            let spend = Spend::default();
            let mut now = 0;
            let mut open: Option<(u64, f64)> = None;
            for (gap, usd) in costs {
                now += gap;
                open = match open.filter(|(ends, _)| now < *ends) {
                    Some((ends, sum)) => Some((ends, sum + usd)),
                    None => Some((now + period, usd)),
                };
                spend.add(Millis(now), 0, usd, Period::Ms(period));
                let expected = open.map(|(ends, sum)| (sum, Millis(ends)));
                prop_assert_eq!(spend.window(Millis(now)), expected);
            }
        }
    }
}
