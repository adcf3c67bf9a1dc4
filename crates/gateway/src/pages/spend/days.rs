//! The days and times that a report is about.
//!
//! Used by all reports. Always true: both ends are included; a time without an offset is UTC, as in LiteLLM; a text that cannot be read is
//! refused, so that no report is about more than its client meant.

use hale_store::{By, DayFilter, DaysOf};
use jiff::Timestamp;
use jiff::civil::{Date, DateTime, date};
use jiff::tz::TimeZone;

use super::scope::SUMS_MAX;
use crate::clock;
use crate::http::refusal::Refusal;
use crate::pages::PageRequest;
use crate::pages::admin::bad;

const DAY_MS: i64 = 86_400_000;

/// The first or the last moment of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Edge {
    /// Its day, UTC.
    day: Date,
    /// The moment, milliseconds since 1970, if it has a time of day.
    at: Option<i64>,
}

/// The days that a report is about, both included.
#[derive(Clone, Debug, Default)]
pub(super) struct Days {
    from: Option<Edge>,
    to: Option<Edge>,
}

/// A parameter: its name and its text.
type Named<'a> = (&'a str, Option<&'a str>);

impl Days {
    /// Those that the query names.
    pub(super) fn asked(request: &PageRequest<'_>) -> Result<Days, Refusal> {
        let (from, to) = (request.parameter("start_date"), request.parameter("end_date"));
        Days::of(("start_date", from.as_deref()), ("end_date", to.as_deref()))
    }

    /// Those from one text to another.
    pub(super) fn of(from: Named<'_>, to: Named<'_>) -> Result<Days, Refusal> {
        let days = Days { from: read(from)?, to: read(to)? };
        let (first, behind) = days.ms();
        if first.zip(behind).is_some_and(|(first, behind)| first >= behind) {
            let text = |(_, text): Named<'_>| text.unwrap_or_default().to_owned();
            let message =
                format!("`{}` ({}) is behind `{}` ({})", from.0, text(from), to.0, text(to));
            return Err(bad(message).param(from.0));
        }
        Ok(days)
    }

    /// Those that the query must name.
    pub(super) fn named(request: &PageRequest<'_>) -> Result<Days, Refusal> {
        let days = Days::asked(request)?;
        if !days.has_both() {
            let message = "Please provide start_date and end_date".to_owned();
            return Err(bad(message).param("start_date"));
        }
        Ok(days)
    }

    /// Whether both ends are named.
    pub(super) fn has_both(&self) -> bool {
        self.from.is_some() && self.to.is_some()
    }

    /// The last `count` days, if the query names none.
    pub(super) fn or_last(self, count: i64) -> Days {
        if self.from.is_some() || self.to.is_some() {
            return self;
        }
        let today = today();
        let from = today.checked_sub(jiff::Span::new().days(count - 1)).unwrap_or(today);
        let edge = |day| Some(Edge { day, at: None });
        Days { from: edge(from), to: edge(today) }
    }

    /// A filter of users' days that are told apart by `by`: whole days.
    pub(super) fn filter(&self, of: DaysOf, by: &[By]) -> DayFilter {
        let text = |edge: Option<Edge>| edge.map_or_else(String::new, |it| it.day.to_string());
        DayFilter {
            of,
            from: text(self.from).into(),
            to: text(self.to).into(),
            with: Vec::new(),
            by: by.to_vec(),
            limit: SUMS_MAX,
            skip: 0,
        }
    }

    /// All of them, the first first; bounded.
    pub(super) fn each(&self) -> Vec<Date> {
        let (Some(from), Some(to)) = (self.from, self.to) else { return Vec::new() };
        let days = from.day.series(jiff::Span::new().days(1));
        days.take_while(|day| *day <= to.day).take(3_660).collect()
    }

    /// The first moment and the one behind the last, milliseconds since 1970.
    pub(super) fn ms(&self) -> (Option<i64>, Option<i64>) {
        let first = self.from.map(|edge| edge.at.unwrap_or_else(|| start_of(edge.day)));
        let behind =
            self.to.map(|edge| edge.at.map_or_else(|| start_of(edge.day) + DAY_MS, |at| at + 1));
        (first, behind)
    }
}

/// The moment that a parameter names.
fn read((name, text): Named<'_>) -> Result<Option<Edge>, Refusal> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    edge(text).map(Some).ok_or_else(|| {
        let message = format!(
            "`{name}` must be a day, as 2026-11-28, or a time, as 2026-11-28 23:00:00 (UTC) or 2026-11-28T23:00:00+01:00 (its plus is \
             %2B in a query), and is {text}"
        );
        bad(message).param(name)
    })
}

fn edge(text: &str) -> Option<Edge> {
    let Some(border) = text.as_bytes().get("2026-11-28".len()) else {
        let day = text.parse().ok().filter(|_| text.len() == "2026-11-28".len())?;
        return Some(Edge { day, at: None });
    };
    // A name of a zone is no offset, and would not be looked at.
    if !matches!(border, b'T' | b't' | b' ') || text.contains('[') {
        return None;
    }
    let of_utc = || text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok();
    let at = text.parse::<Timestamp>().ok().or_else(|| Some(of_utc()?.timestamp()))?;
    Some(Edge { day: at.to_zoned(TimeZone::UTC).date(), at: Some(at.as_millisecond()) })
}

/// When a day begins. Not by a [`Timestamp`], which ends a day before the last one of the year 9999.
fn start_of(day: Date) -> i64 {
    i64::from((day - date(1970, 1, 1)).get_days()) * DAY_MS
}

/// The day that it is, UTC.
fn today() -> Date {
    let ms = i64::try_from(clock::unix_ms()).unwrap_or(i64::MAX);
    let now = Timestamp::from_millisecond(ms).unwrap_or_default();
    now.to_zoned(TimeZone::UTC).date()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(from: &str, to: &str) -> Option<Days> {
        Days::of(("start_date", Some(from)), ("end_date", Some(to))).ok()
    }

    #[test]
    fn the_last_day_is_included() {
        let days = days("2026-11-28", "2026-11-30").unwrap();
        assert_eq!(days.each().len(), 3);
        assert_eq!(days.ms(), (Some(1_795_824_000_000), Some(1_796_083_200_000)));
    }

    #[test]
    fn a_time_of_day_and_an_offset_count() {
        let start = 1_795_824_000_000;
        let hour = 3_600_000;
        for (text, day, at) in [
            ("2026-11-28 23:00:00", "2026-11-28", start + 23 * hour),
            ("2026-11-28T23:00:00", "2026-11-28", start + 23 * hour),
            ("2026-11-28T23:00", "2026-11-28", start + 23 * hour),
            ("2026-11-28T23:00:00Z", "2026-11-28", start + 23 * hour),
            ("2026-11-28T23:00:00.250Z", "2026-11-28", start + 23 * hour + 250),
            ("2026-11-29T01:00:00+02:00", "2026-11-28", start + 23 * hour),
            ("2026-11-28 22:00:00-03:00", "2026-11-29", start + 25 * hour),
        ] {
            let edge = edge(text).unwrap();
            assert_eq!((edge.day.to_string().as_str(), edge.at), (day, Some(at)), "{text}");
        }
        let days = days("2026-11-28 23:00:00", "2026-11-28 23:59:59").unwrap();
        assert_eq!(days.ms(), (Some(start + 23 * hour), Some(start + 24 * hour - 999)));
    }

    #[test]
    fn no_day_that_can_be_read_is_no_limit() {
        let (first, behind) = days("0000-01-01", "9999-12-31").unwrap().ms();
        assert_eq!((first, behind), (Some(-62_167_219_200_000), Some(253_402_300_800_000)));
        assert_eq!(days("9999-12-31", "9999-12-31").unwrap().each().len(), 1);
    }

    #[test]
    fn what_is_no_day_and_no_time_is_refused() {
        for text in [
            "garbage",
            "2026-13-01",
            "2026-11-28x",
            "2026-11-28T",
            "2026-11-28T25:00:00",
            "20261128T000000",
            "2026-1-1",
            "2026-11-28T01:00:00 02:00",
            "2026-11-28T01:00[Europe/Berlin]",
            "1795824000",
            "9999-12-31T23:00:00Z",
            "-009999-01-01",
        ] {
            let refused = read(("startTime", Some(text))).err();
            let refused = refused.unwrap_or_else(|| panic!("{text} is read"));
            let message = &refused.reply.message;
            assert!(message.contains("`startTime`") && message.contains(text), "{message}");
        }
        assert!(days("2026-11-29", "2026-11-28").is_none(), "the end is before the beginning");
    }
}
