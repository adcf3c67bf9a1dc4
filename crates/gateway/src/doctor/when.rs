//! Times in UTC, for people.
//!
//! Called by the verdicts. Always true: the moment is an argument.

use jiff::Timestamp;

/// `13:05:09 UTC`.
pub(super) fn time_of_day(unix_ms: u64) -> String {
    moment(unix_ms).strftime("%H:%M:%S UTC").to_string()
}

/// `2026-11-21`.
pub(super) fn date(unix_ms: u64) -> String {
    moment(unix_ms).strftime("%Y-%m-%d").to_string()
}

/// The time, or the calendar's last one if it is beyond that.
fn moment(unix_ms: u64) -> Timestamp {
    let ms = i64::try_from(unix_ms).ok();
    ms.and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_the_calendar() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(951_782_400_000), "2000-02-29");
        assert_eq!(date(951_868_799_999), "2000-02-29");
        assert_eq!(date(1_795_219_200_000), "2026-11-21");
        assert_eq!(time_of_day(1_795_219_200_000 + 47_109_000), "13:05:09 UTC");
        assert_eq!(date(u64::MAX), "9999-12-30");
    }
}
