//! How long a budget lasts, and when it begins anew.
//!
//! Used by the admin API and by the accounts of budgets. Always true: a border lies after the moment that it follows; a
//! text that is not understood is refused rather than read as a day.

use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _, Zoned};

use crate::time::UnixMs;

/// The longest duration, days: ten years.
const DAYS_MAX: u32 = 3_660;

/// How long a budget, or a key, lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetDuration {
    count: u32,
    unit: Unit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
}

impl Unit {
    const fn seconds(self) -> u64 {
        match self {
            Unit::Second => 1,
            Unit::Minute => 60,
            Unit::Hour => 3_600,
            Unit::Day => 86_400,
            Unit::Week => 7 * 86_400,
            Unit::Month => 30 * 86_400,
        }
    }
}

impl BudgetDuration {
    /// Reads `30s`, `5m`, `1h`, `7d`, `2w`, `1mo`, or a word: `hourly`, `daily`, `weekly`, `monthly`.
    ///
    /// # Errors
    /// The reference's text for the field `name`.
    pub fn parse(name: &str, text: &str) -> Result<BudgetDuration, String> {
        let wrong =
            || format!("Invalid {name} '{text}'. Use a format like '1h', '24h', '7d', or '30d'.");
        let word = match text {
            "hourly" => Some(Unit::Hour),
            "daily" => Some(Unit::Day),
            "weekly" => Some(Unit::Week),
            "monthly" => Some(Unit::Month),
            _ => None,
        };
        if let Some(unit) = word {
            return Ok(BudgetDuration { count: 1, unit });
        }
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let unit = match &text[digits..] {
            "s" => Unit::Second,
            "m" => Unit::Minute,
            "h" => Unit::Hour,
            "d" => Unit::Day,
            "w" => Unit::Week,
            "mo" => Unit::Month,
            _ => return Err(wrong()),
        };
        let count: u32 = text[..digits].parse().map_err(|_| wrong())?;
        let read = BudgetDuration { count, unit };
        let longest = u64::from(DAYS_MAX) * 86_400;
        if count == 0 || read.seconds() > longest { Err(wrong()) } else { Ok(read) }
    }

    /// Its length as the life of a key has it: exact seconds, a month of 30 days.
    #[must_use]
    pub fn seconds(self) -> u64 {
        u64::from(self.count) * self.unit.seconds()
    }

    /// The first border behind `now`: the next multiple for seconds, minutes and hours up to a day, in UTC; else a midnight of
    /// `zone`. A week begins on Monday, `30d` and `1mo` end with the month.
    #[must_use]
    pub fn next(self, now: UnixMs, zone: &TimeZone) -> UnixMs {
        let far = UnixMs(now.0.saturating_add(self.seconds().saturating_mul(1_000)));
        let at = i64::try_from(now.0).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
        let border = at.and_then(|at| self.border(at, zone)).map(|at| at.as_millisecond());
        border
            .and_then(|ms| u64::try_from(ms).ok())
            .map(UnixMs)
            .filter(|at| *at > now)
            .unwrap_or(far)
    }

    fn border(self, at: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let seconds = i64::try_from(self.seconds()).ok()?;
        // Seconds are counted from their minute, minutes from their hour, hours from their day.
        let within = |base: i64| {
            let second = at.as_second();
            let begin = second - second.rem_euclid(base);
            Timestamp::from_second(begin + ((second - begin) / seconds + 1) * seconds).ok()
        };
        let local = at.to_zoned(zone.clone());
        let days = |count: u32| midnight(&local)?.checked_add(i64::from(count).days()).ok();
        let months = |count: u32| {
            let first = local.date().first_of_month();
            first.checked_add(i64::from(count).months()).ok()?.to_zoned(zone.clone()).ok()
        };
        let zoned = match (self.unit, self.count) {
            (Unit::Second, _) => return within(60),
            (Unit::Minute, _) => return within(3_600),
            (Unit::Hour, 1..=24) => return within(86_400),
            (Unit::Hour, hours) if hours.is_multiple_of(24) => {
                let day = at.to_zoned(TimeZone::UTC);
                midnight(&day)?.checked_add(i64::from(hours / 24).days()).ok()
            }
            (Unit::Hour, _) => {
                let begin = at.as_second() - at.as_second().rem_euclid(3_600);
                return Timestamp::from_second(begin + seconds).ok();
            }
            (Unit::Day, 7) | (Unit::Week, 1) => {
                let monday = local.date().nth_weekday(1, Weekday::Monday).ok()?;
                monday.to_zoned(zone.clone()).ok()
            }
            (Unit::Day, 30) => months(1),
            (Unit::Day, count) => days(count),
            (Unit::Week, count) => days(count.saturating_mul(7)),
            (Unit::Month, count) => months(count),
        };
        zoned.map(|zoned| zoned.timestamp())
    }
}

fn midnight(at: &Zoned) -> Option<Zoned> {
    at.start_of_day().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> BudgetDuration {
        BudgetDuration::parse("budget_duration", text).unwrap()
    }

    fn next(text: &str, at: &str, zone: &str) -> String {
        let at: Timestamp = at.parse().unwrap();
        let zone = TimeZone::get(zone).unwrap();
        let now = UnixMs(at.as_millisecond().try_into().unwrap());
        let border = read(text).next(now, &zone).0;
        Timestamp::from_millisecond(border.try_into().unwrap()).unwrap().to_string()
    }

    #[test]
    fn budgets_begin_anew_at_the_borders_of_the_table() {
        // A Saturday.
        for (text, border) in [
            ("30s", "2026-11-28T19:21:00Z"),
            ("90s", "2026-11-28T19:21:30Z"),
            ("5m", "2026-11-28T19:25:00Z"),
            ("90m", "2026-11-28T20:30:00Z"),
            ("1h", "2026-11-28T20:00:00Z"),
            ("hourly", "2026-11-28T20:00:00Z"),
            ("6h", "2026-11-29T00:00:00Z"),
            ("24h", "2026-11-29T00:00:00Z"),
            ("1d", "2026-11-29T00:00:00Z"),
            ("daily", "2026-11-29T00:00:00Z"),
            ("36h", "2026-11-30T07:00:00Z"),
            ("48h", "2026-11-30T00:00:00Z"),
            ("720h", "2026-12-28T00:00:00Z"),
            ("7d", "2026-11-30T00:00:00Z"),
            ("1w", "2026-11-30T00:00:00Z"),
            ("weekly", "2026-11-30T00:00:00Z"),
            ("14d", "2026-12-12T00:00:00Z"),
            ("2w", "2026-12-12T00:00:00Z"),
            ("31d", "2026-12-29T00:00:00Z"),
            ("30d", "2026-12-01T00:00:00Z"),
            ("monthly", "2026-12-01T00:00:00Z"),
            ("1mo", "2026-12-01T00:00:00Z"),
            ("2mo", "2027-01-01T00:00:00Z"),
        ] {
            assert_eq!(next(text, "2026-11-28T19:20:30Z", "UTC"), border, "{text}");
        }
    }

    #[test]
    fn a_text_that_is_no_duration_is_refused_in_the_words_that_clients_know() {
        for wrong in [
            "",
            "30",
            "30 d",
            "10y",
            "-1",
            "0s",
            "1.5h",
            "30days",
            "1hr",
            "1D",
            "9999999999d",
            "11000d",
            "\u{661}d",
        ] {
            let error = BudgetDuration::parse("budget_duration", wrong).unwrap_err();
            let text = format!(
                "Invalid budget_duration '{wrong}'. Use a format like '1h', '24h', '7d', or '30d'."
            );
            assert_eq!(error, text);
        }
    }

    #[test]
    fn a_day_ends_at_local_midnight_also_when_it_has_23_or_25_hours() {
        for (at, border) in [
            ("2026-03-28T23:30:00Z", "2026-03-29T22:00:00Z"),
            ("2026-10-24T22:30:00Z", "2026-10-25T23:00:00Z"),
        ] {
            assert_eq!(next("1d", at, "Europe/Berlin"), border);
        }
        assert_eq!(next("1h", "2026-10-24T22:30:00Z", "Asia/Kolkata"), "2026-10-24T23:00:00Z");
    }

    proptest! {
        #[test]
        fn a_border_is_behind_now_and_stays_until_it_is_reached(
            count in 1_u32..400, unit in 0_usize..6, at in 0_u64..4_000_000_000_000, part in 0.0..1.0_f64,
        ) {
            let text = format!("{count}{}", ["s", "m", "h", "d", "w", "mo"][unit]);
            let Ok(duration) = BudgetDuration::parse("d", &text) else { return Ok(()) };
            let (now, zone) = (UnixMs(at), TimeZone::UTC);
            let border = duration.next(now, &zone);
            prop_assert!(border > now);
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a test")]
            let between = UnixMs(now.0 + ((border.0 - now.0) as f64 * part) as u64);
            // Multiples that do not fill an hour begin anew with it, and what counts from today moves with the day.
            let counts_multiples = unit < 2 && 60_u32.is_multiple_of(count) || unit == 5 && count == 1;
            if counts_multiples && between < border {
                prop_assert!(duration.next(between, &zone) <= border);
            }
        }
    }
}
