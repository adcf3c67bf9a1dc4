//! `access_windows`: hours of the day in which a deployment is reserved for teams.
//!
//! Read by `super::filter` for deployments that have some. Always true: the wall clock in the
//! window's time zone decides, daylight saving time included; the zones are those of the database
//! in this binary. No client of this gateway belongs to a team, so an open window excludes all of
//! them.

use jiff::civil::{DateTime, Time};
use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};
use jiff::{Timestamp, ToSpan as _};

/// Windows in a row that are followed to find a moment without any.
const STEPS: usize = 64;

/// One window, every day.
#[derive(Clone, Debug, PartialEq)]
pub struct AccessWindow {
    /// Its first moment.
    start: Time,
    /// The first moment after it; on the next day if it is earlier than `start`.
    end: Time,
    zone: TimeZone,
    /// The teams that it is for.
    pub teams: Vec<Box<str>>,
}

/// Reads a time of day: `22:00` or `22:00:30`.
#[must_use]
pub fn time_of_day(text: &str) -> Option<Time> {
    let mut parts = text.split(':').map(|part| {
        let is_short = (1..=2).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        part.parse::<i8>().ok().filter(|_| is_short)
    });
    let (hour, minute) = (parts.next()??, parts.next()??);
    let second = parts.next().unwrap_or(Some(0))?;
    if parts.next().is_some() {
        return None;
    }
    Time::new(hour, minute, second, 0).ok()
}

/// The time zone of that name in the database of this binary.
#[must_use]
pub fn zone(name: &str) -> Option<TimeZone> {
    TimeZoneDatabase::bundled().get(name).ok()
}

fn timestamp(unix_ms: u64) -> Option<Timestamp> {
    Timestamp::from_millisecond(i64::try_from(unix_ms).ok()?).ok()
}

impl AccessWindow {
    /// A window; `start` and `end` must differ.
    #[must_use]
    pub fn new(start: Time, end: Time, zone: TimeZone, teams: Vec<Box<str>>) -> AccessWindow {
        AccessWindow { start, end, zone, teams }
    }

    /// Whether it is open at `unix_ms`, milliseconds since 1970.
    #[must_use]
    pub fn is_open_at(&self, unix_ms: u64) -> bool {
        timestamp(unix_ms).is_some_and(|at| self.is_open(at))
    }

    fn is_open(&self, at: Timestamp) -> bool {
        let time = self.zone.to_datetime(at).time();
        if self.start < self.end {
            (self.start..self.end).contains(&time)
        } else {
            time >= self.start || time < self.end
        }
    }

    /// When the window that is open at that moment closes.
    fn closes(&self, at: Timestamp) -> Option<Timestamp> {
        let local = self.zone.to_datetime(at);
        let day =
            if local.time() < self.end { local.date() } else { local.date().tomorrow().ok()? };
        let end = self.zone.to_ambiguous_timestamp(DateTime::from_parts(day, self.end));
        match end.offset() {
            // The clock jumps over the end: the jump closes it.
            AmbiguousOffset::Gap { .. } => Some(self.zone.following(at).next()?.timestamp()),
            AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Fold { .. } => {
                let first = end.earlier().ok()?;
                if first > at { Some(first) } else { end.later().ok() }
            }
        }
    }
}

/// The window that excludes all clients at `unix_ms`, milliseconds since 1970.
#[must_use]
pub fn reserved(windows: &[AccessWindow], unix_ms: u64) -> Option<&AccessWindow> {
    let at = timestamp(unix_ms)?;
    windows.iter().find(|window| window.is_open(at))
}

/// When no window is open any more, milliseconds from `unix_ms`; `None` if there is no such moment.
#[must_use]
pub fn free_in_ms(windows: &[AccessWindow], unix_ms: u64) -> Option<u64> {
    let begin = timestamp(unix_ms)?;
    let horizon = begin.checked_add(72.hours()).ok()?;
    let mut at = begin;
    for _ in 0..STEPS {
        let Some(open) = windows.iter().find(|window| window.is_open(at)) else {
            return u64::try_from(at.as_millisecond()).ok()?.checked_sub(unix_ms);
        };
        at = open.closes(at).filter(|closes| *closes > at && *closes < horizon)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(start: &str, end: &str, name: &str) -> AccessWindow {
        let time = |text| time_of_day(text).unwrap();
        AccessWindow::new(time(start), time(end), zone(name).unwrap(), vec!["a".into()])
    }

    fn unix_ms(text: &str) -> u64 {
        u64::try_from(text.parse::<Timestamp>().unwrap().as_millisecond()).unwrap()
    }

    /// Whether it is open then, and when it closes.
    fn at(windows: &[AccessWindow], text: &str) -> Option<String> {
        let now = unix_ms(text);
        reserved(windows, now)?;
        let free = now + free_in_ms(windows, now).unwrap();
        Some(Timestamp::from_millisecond(i64::try_from(free).unwrap()).unwrap().to_string())
    }

    #[test]
    fn a_window_begins_at_its_start_and_is_over_at_its_end() {
        let day = [window("09:00", "17:00", "UTC")];
        assert_eq!(at(&day, "2026-03-09T08:59:59.999Z"), None);
        assert_eq!(at(&day, "2026-03-09T09:00:00Z").unwrap(), "2026-03-09T17:00:00Z");
        assert_eq!(at(&day, "2026-03-09T16:59:59.999Z").unwrap(), "2026-03-09T17:00:00Z");
        assert_eq!(at(&day, "2026-03-09T17:00:00Z"), None);
        let night = [window("22:00", "06:00:30", "UTC")];
        assert_eq!(at(&night, "2026-03-09T23:00:00Z").unwrap(), "2026-03-10T06:00:30Z");
        assert_eq!(at(&night, "2026-03-10T06:00:29Z").unwrap(), "2026-03-10T06:00:30Z");
        assert_eq!(at(&night, "2026-03-10T12:00:00Z"), None);
    }

    #[test]
    fn the_clock_on_the_wall_counts_through_the_year() {
        let berlin = [window("08:00", "18:00", "Europe/Berlin")];
        assert_eq!(at(&berlin, "2026-01-15T06:59:00Z"), None);
        assert_eq!(at(&berlin, "2026-01-15T07:00:00Z").unwrap(), "2026-01-15T17:00:00Z");
        assert_eq!(at(&berlin, "2026-07-15T06:00:00Z").unwrap(), "2026-07-15T16:00:00Z");
        assert_eq!(at(&berlin, "2026-07-15T16:00:00Z"), None);
    }

    #[test]
    fn a_jump_over_the_end_closes_it_and_a_repeated_hour_is_both_times_in_it() {
        // On 8 March 2026 02:00 in New York is 03:00 (07:00 UTC).
        let spring = [window("01:30", "02:30", "America/New_York")];
        assert_eq!(at(&spring, "2026-03-08T06:45:00Z").unwrap(), "2026-03-08T07:00:00Z");
        assert_eq!(at(&spring, "2026-03-08T07:00:00Z"), None);
        let over = [window("01:30", "03:30", "America/New_York")];
        assert_eq!(at(&over, "2026-03-08T06:30:00Z").unwrap(), "2026-03-08T07:30:00Z");
        // On 1 November 2026 02:00 there is 01:00 again (06:00 UTC).
        let autumn = [window("00:30", "01:30", "America/New_York")];
        assert_eq!(at(&autumn, "2026-11-01T05:00:00Z").unwrap(), "2026-11-01T05:30:00Z");
        assert_eq!(at(&autumn, "2026-11-01T05:45:00Z"), None);
        assert_eq!(at(&autumn, "2026-11-01T06:15:00Z").unwrap(), "2026-11-01T06:30:00Z");
    }

    #[test]
    fn windows_that_touch_are_one_and_such_that_never_end_name_no_time() {
        let touching = [window("20:00", "23:00", "UTC"), window("23:00", "02:00", "UTC")];
        assert_eq!(at(&touching, "2026-03-09T21:00:00Z").unwrap(), "2026-03-10T02:00:00Z");
        let always = [window("00:00", "12:00", "UTC"), window("12:00", "00:00", "UTC")];
        let now = unix_ms("2026-03-09T21:00:00Z");
        assert!(reserved(&always, now).is_some() && free_in_ms(&always, now).is_none());
    }

    #[test]
    fn times_and_zones_are_read_strictly() {
        for good in ["0:00", "23:59", "22:00:30"] {
            assert!(time_of_day(good).is_some(), "{good}");
        }
        for bad in
            ["24:00", "25:00", "12", "12:60", "1:2:3:4", "22:00+05:00", "", "a:b", "-1:00", "1:+2"]
        {
            assert!(time_of_day(bad).is_none(), "{bad}");
        }
        assert!(zone("Mars/Olympus").is_none() && zone("Asia/Kolkata").is_some());
    }
}
