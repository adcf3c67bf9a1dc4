//! Hours in which a provider charges less.
//!
//! Read from the price list and from configs (`off_peak_pricing`), used by [`super::ModelFacts::at`]. Always true: hours are in UTC, the first
//! minute of a window is in it and its last one is not; a window that ends where it begins is the whole day; what cannot be read is an error,
//! never a window that is always open.

use jiff::civil::Weekday;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::rates::Rate;

const DAY_MINUTES: u16 = 24 * 60;

/// What is charged in these hours.
#[derive(Clone, Debug, PartialEq)]
pub struct OffPeak {
    windows: Vec<Window>,
    /// Whose weekdays count.
    zone: TimeZone,
    /// The rates in these hours.
    pub(super) rates: Vec<Rate>,
}

/// Hours on some days of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Window {
    /// Minutes of the day, UTC.
    start: u16,
    end: u16,
    /// Days of the week on which it begins, Monday first.
    days: [bool; 7],
}

impl OffPeak {
    /// Reads `off_peak_pricing`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(value: &Value) -> Result<OffPeak, String> {
        let map = value.as_object().ok_or("expected a mapping with `hours_utc` and rates")?;
        let mut rates = Vec::new();
        for (name, usd) in map.iter().filter(|(name, _)| name.contains("cost")) {
            let rate = usd.as_f64().and_then(|usd| Rate::named(name, usd));
            rates.push(rate.ok_or_else(|| format!("`{name}` is no rate of tokens"))?);
        }
        let mut windows = Vec::new();
        if let Some(hours) = map.get("hours_utc") {
            add_windows(&mut windows, hours, [true; 7])?;
        }
        for window in map.get("windows").and_then(Value::as_array).into_iter().flatten() {
            let hours = window.get("hours_utc").ok_or("a window needs `hours_utc`")?;
            add_windows(&mut windows, hours, days(window.get("weekdays"))?)?;
        }
        if windows.is_empty() || rates.is_empty() {
            return Err("it needs `hours_utc` or `windows`, and a rate".to_owned());
        }
        let zone = match map.get("weekday_timezone").map(Value::as_str) {
            None => TimeZone::UTC,
            Some(name) => name
                .and_then(|name| TimeZoneDatabase::bundled().get(name).ok())
                .ok_or("`weekday_timezone` is no time zone, as `Asia/Shanghai`")?,
        };
        Ok(OffPeak { windows, zone, rates })
    }

    /// Whether it is such an hour, at that many milliseconds since 1970.
    #[must_use]
    pub fn is_open(&self, unix_ms: u64) -> bool {
        let at = i64::try_from(unix_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
        let Some(at) = at else { return false };
        let minute = u16::try_from(unix_ms / 60_000 % u64::from(DAY_MINUTES)).unwrap_or(0);
        self.windows.iter().any(|window| {
            let Some(into) = window.minutes_into(minute) else { return false };
            // The day on which the window began.
            let began = at - SignedDuration::from_mins(i64::from(into));
            let day = began.to_zoned(self.zone.clone()).weekday();
            window.days[usize::from(day.to_monday_zero_offset().unsigned_abs())]
        })
    }
}

impl Window {
    /// How long it has been open; `None` if it is not.
    fn minutes_into(self, minute: u16) -> Option<u16> {
        let length = match self.end > self.start {
            true => self.end - self.start,
            false => DAY_MINUTES - self.start + self.end,
        };
        let into = (minute + DAY_MINUTES - self.start) % DAY_MINUTES;
        (into < length).then_some(into)
    }
}

fn add_windows(windows: &mut Vec<Window>, hours: &Value, days: [bool; 7]) -> Result<(), String> {
    let all = match hours {
        Value::Array(all) => &all[..],
        one => std::slice::from_ref(one),
    };
    for hours in all {
        let window = hours.as_str().and_then(|text| {
            let (start, end) = text.split_once('-')?;
            Some(Window { start: minute(start)?, end: minute(end)? % DAY_MINUTES, days })
        });
        let window = window.ok_or_else(|| {
            format!(
                "`hours_utc` is written as \"16:30-00:30\", or a list of such texts, not as {hours}"
            )
        })?;
        windows.push(window);
    }
    Ok(())
}

/// `16:30`; 24:00 is the end of a day.
fn minute(text: &str) -> Option<u16> {
    let (hours, minutes) = text.trim().split_once(':')?;
    let two = |text: &str| {
        let is_short = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u16>().ok().filter(|_| is_short)
    };
    let (hours, minutes) = (two(hours)?, two(minutes)?);
    let minute = hours * 60 + minutes;
    (minutes < 60 && minute <= DAY_MINUTES).then_some(minute)
}

/// ISO's numbers of weekdays: Monday is 1. All, if none are named.
fn days(weekdays: Option<&Value>) -> Result<[bool; 7], String> {
    let Some(weekdays) = weekdays else { return Ok([true; 7]) };
    let mut days = [false; 7];
    for day in weekdays.as_array().ok_or("`weekdays` is a list of numbers, Monday is 1")? {
        let number = day.as_i64().and_then(|day| i8::try_from(day).ok());
        let day = number.and_then(|day| Weekday::from_monday_one_offset(day).ok());
        let day = day.ok_or("`weekdays` are numbers from 1, Monday, to 7, Sunday")?;
        days[usize::from(day.to_monday_zero_offset().unsigned_abs())] = true;
    }
    Ok(days)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(text: &str) -> u64 {
        let at: Timestamp = text.parse().unwrap();
        u64::try_from(at.as_millisecond()).unwrap()
    }

    fn of(mut terms: Value) -> OffPeak {
        terms["input_cost_per_token"] = json!(1e-7);
        OffPeak::parse(&terms).unwrap()
    }

    #[test]
    fn a_window_may_go_over_midnight_and_its_end_is_not_in_it() {
        let night = of(json!({"hours_utc": "16:30-00:30"}));
        for (time, is_open) in [
            ("2026-11-30T16:29:59.999Z", false),
            ("2026-11-30T16:30:00Z", true),
            ("2026-11-30T23:59:59.999Z", true),
            ("2026-12-01T00:00:00Z", true),
            ("2026-12-01T00:29:59.999Z", true),
            ("2026-12-01T00:30:00Z", false),
        ] {
            assert_eq!(night.is_open(at(time)), is_open, "{time}");
        }
        let always = of(json!({"hours_utc": "00:00-00:00"}));
        assert!(always.is_open(0) && always.is_open(at("2026-11-30T12:00:00Z")));
        assert!(!always.is_open(u64::MAX), "no such moment");
        let evening = of(json!({"hours_utc": ["18:00-24:00"]}));
        assert!(evening.is_open(at("2026-11-30T23:59:00Z")));
        assert!(!evening.is_open(at("2026-12-01T00:00:00Z")));
    }

    #[test]
    fn a_window_counts_for_the_weekday_on_which_it_begins_in_the_zone_that_is_named() {
        // 2026-11-27 is a Friday.
        let terms = |zone: Option<&str>| {
            let mut terms = json!({"windows": [{"hours_utc": "22:00-02:00", "weekdays": [5]}]});
            if let Some(zone) = zone {
                terms["weekday_timezone"] = json!(zone);
            }
            of(terms)
        };
        let utc = terms(None);
        assert!(utc.is_open(at("2026-11-27T22:00:00Z")) && utc.is_open(at("2026-11-28T01:59:00Z")));
        assert!(
            !utc.is_open(at("2026-11-28T22:00:00Z")) && !utc.is_open(at("2026-11-27T01:00:00Z"))
        );
        // 22:00 in UTC is the next morning there.
        let shanghai = terms(Some("Asia/Shanghai"));
        assert!(shanghai.is_open(at("2026-11-26T23:00:00Z")));
        assert!(!shanghai.is_open(at("2026-11-27T23:00:00Z")));
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for wrong in [
            json!("16:30-00:30"),
            json!({"hours_utc": "16:30-00:30"}),
            json!({"input_cost_per_token": 1e-7}),
            json!({"hours_utc": "16:30", "input_cost_per_token": 1e-7}),
            json!({"hours_utc": "25:00-01:00", "input_cost_per_token": 1e-7}),
            json!({"hours_utc": "01:60-02:00", "input_cost_per_token": 1e-7}),
            json!({"hours_utc": "01:00-02:00", "input_cost_per_token": -1e-7}),
            json!({"hours_utc": "01:00-02:00", "input_cost_per_tokn": 1e-7}),
            json!({"windows": [{"weekdays": [1]}], "input_cost_per_token": 1e-7}),
            json!({"windows": [{"hours_utc": "01:00-02:00", "weekdays": [8]}], "input_cost_per_token": 1e-7}),
            json!({"hours_utc": "01:00-02:00", "weekday_timezone": "Mars", "input_cost_per_token": 1e-7}),
        ] {
            assert!(OffPeak::parse(&wrong).is_err(), "{wrong}");
        }
    }
}
