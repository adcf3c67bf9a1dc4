//! Days as LiteLLM's Daily rows name them.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// The day of a time in milliseconds since 1970, UTC: `2026-11-28`.
pub(crate) fn day_of(unix_ms: u64) -> String {
    let ms = i64::try_from(unix_ms).unwrap_or(i64::MAX);
    let at = Timestamp::from_millisecond(ms).unwrap_or_default();
    at.to_zoned(TimeZone::UTC).date().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_ends_at_midnight_utc() {
        assert_eq!(day_of(1_795_910_399_999), "2026-11-28");
        assert_eq!(day_of(1_795_910_400_000), "2026-11-29");
        assert_eq!(day_of(u64::MAX), "1970-01-01");
    }
}
