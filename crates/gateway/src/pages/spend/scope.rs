//! Whose spend a client sees, which days it asks for, and in which form it gets them.
//!
//! Used by all reports. Always true: a client that is no admin sees what its own key and its own user spent, whatever it names; the last
//! day is included.

use hale_core::tenancy::KeyHash;
use hale_store::{By, DayFilter, DaySum, DaysOf};
use http::{HeaderValue, Response, StatusCode};
use jiff::civil::Date;
use serde_json::{Value, json};

use crate::clock;
use crate::http::auth::Principal;
use crate::http::refusal::{self, Refusal};
use crate::http::reply::{self, Reply};
use crate::pages::PageRequest;
use crate::pages::admin::{bad, failed, page, store};

/// Sums of one report at most.
pub(super) const SUMS_MAX: u32 = 100_000;

/// Whose spend a client sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// Everyone's.
    All,
    /// That of a user.
    User(Box<str>),
    /// That of a key.
    Key(Box<str>),
}

impl Scope {
    pub(super) fn of(request: &PageRequest<'_>) -> Result<Scope, Refusal> {
        match &request.arrival.principal {
            Principal::Operator => Ok(Scope::All),
            Principal::Anyone => Err(refusal::no_admin()),
            Principal::Key(access) if access.role.sees_all() => Ok(Scope::All),
            Principal::Key(access) => Ok(match &access.identity.user {
                Some(user) => Scope::User((&**user).into()),
                None => Scope::Key((&*access.identity.key).into()),
            }),
        }
    }

    /// What of users' days it is.
    pub(super) fn of_days(&self) -> Vec<(By, Vec<Box<str>>)> {
        match self {
            Scope::All => Vec::new(),
            Scope::User(user) => vec![(By::Entity, vec![user.clone()])],
            Scope::Key(key) => vec![(By::Key, vec![key.clone()])],
        }
    }

    /// What of finished requests it is.
    pub(super) fn of_logs(&self) -> Vec<(&'static str, Vec<Box<str>>)> {
        match self {
            Scope::All => Vec::new(),
            Scope::User(user) => vec![("user", vec![user.clone()])],
            Scope::Key(key) => vec![("api_key", vec![key.clone()])],
        }
    }
}

/// The days that a report is about, both included.
#[derive(Clone, Debug, Default)]
pub(super) struct Days {
    pub(super) from: Option<Date>,
    pub(super) to: Option<Date>,
}

impl Days {
    /// Those that the query names.
    pub(super) fn asked(request: &PageRequest<'_>) -> Result<Days, Refusal> {
        let day = |name: &str| {
            let text = request.parameter(name).filter(|text| !text.is_empty());
            let date = |text: Box<str>| {
                let day = text.split(['T', ' ']).next().unwrap_or_default();
                day.parse::<Date>().map_err(|_| {
                    bad(format!("`{name}` must be a day, as 2026-11-28, and is {text}")).param(name)
                })
            };
            text.map(date).transpose()
        };
        Ok(Days { from: day("start_date")?, to: day("end_date")? })
    }

    /// Those that the query must name.
    pub(super) fn named(request: &PageRequest<'_>) -> Result<Days, Refusal> {
        let days = Days::asked(request)?;
        if days.from.is_none() || days.to.is_none() {
            let message = "Please provide start_date and end_date".to_owned();
            return Err(bad(message).param("start_date"));
        }
        Ok(days)
    }

    /// The last `count` days, if the query names none.
    pub(super) fn or_last(self, count: i64) -> Days {
        if self.from.is_some() || self.to.is_some() {
            return self;
        }
        let today = today();
        let from = today.checked_sub(jiff::Span::new().days(count - 1)).unwrap_or(today);
        Days { from: Some(from), to: Some(today) }
    }

    /// A filter of users' days that are told apart by `by`.
    pub(super) fn filter(&self, of: DaysOf, by: &[By]) -> DayFilter {
        let text = |day: Option<Date>| day.map_or_else(String::new, |day| day.to_string()).into();
        DayFilter {
            of,
            from: text(self.from),
            to: text(self.to),
            with: Vec::new(),
            by: by.to_vec(),
            limit: SUMS_MAX,
            skip: 0,
        }
    }

    /// All of them, the first first; bounded.
    pub(super) fn each(&self) -> Vec<Date> {
        let (Some(from), Some(to)) = (self.from, self.to) else { return Vec::new() };
        from.series(jiff::Span::new().days(1)).take_while(|day| *day <= to).take(3_660).collect()
    }

    /// When the first one begins and the last one ends, milliseconds since 1970.
    pub(super) fn ms(&self) -> (Option<i64>, Option<i64>) {
        let start = |day: Date| {
            let at = day.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
            Some(at.timestamp().as_millisecond())
        };
        let behind = |day: Date| day.checked_add(jiff::Span::new().days(1)).ok();
        (self.from.and_then(start), self.to.and_then(behind).and_then(start))
    }
}

/// The day that it is, UTC.
fn today() -> Date {
    let ms = i64::try_from(clock::unix_ms()).unwrap_or(i64::MAX);
    let now = jiff::Timestamp::from_millisecond(ms).unwrap_or_default();
    now.to_zoned(jiff::tz::TimeZone::UTC).date()
}

/// Texts of a list in the query: one parameter, with commas.
pub(super) fn list(request: &PageRequest<'_>, name: &str) -> Option<Vec<Box<str>>> {
    let text = request.parameter(name).filter(|text| !text.is_empty())?;
    Some(text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(Box::from).collect())
}

/// Keys that the query names by their text or their hash.
pub(super) fn keys(request: &PageRequest<'_>, name: &str) -> Option<Vec<Box<str>>> {
    let hash = |key: Box<str>| match key.starts_with("sk-") {
        true => KeyHash::of(&key).to_string().into(),
        false => key,
    };
    list(request, name).map(|keys| keys.into_iter().map(hash).collect())
}

/// A whole number in the query.
pub(super) fn number(
    request: &PageRequest<'_>,
    name: &str,
    (default, most): (u32, u32),
) -> Result<u32, Refusal> {
    let Some(text) = request.parameter(name).filter(|text| !text.is_empty()) else {
        return Ok(default);
    };
    let number = text.parse::<u32>().ok().filter(|number| (1..=most).contains(number));
    number.ok_or_else(|| {
        let message = format!("`{name}` must be a whole number from 1 to {most}");
        refusal::of_admin(StatusCode::UNPROCESSABLE_ENTITY, "invalid_request_error", message)
            .param(name)
    })
}

/// The sums of days, all of them: a report that leaves some out would show less than was spent.
pub(super) async fn sums(
    request: &PageRequest<'_>,
    filter: &DayFilter,
) -> Result<Vec<DaySum>, Refusal> {
    let one_more = DayFilter { limit: SUMS_MAX + 1, ..filter.clone() };
    let found = store(request)?.days(&one_more).await.map_err(|error| failed(&error))?;
    match found.len() > SUMS_MAX as usize {
        true => Err(too_many()),
        false => Ok(found),
    }
}

/// The dearest sums of days, so many.
pub(super) async fn dearest(
    request: &PageRequest<'_>,
    filter: &DayFilter,
    count: u32,
) -> Result<Vec<DaySum>, Refusal> {
    let filter = DayFilter { limit: count, ..filter.clone() };
    store(request)?.days(&filter).await.map_err(|error| failed(&error))
}

/// A report would have more sums than one answer has.
fn too_many() -> Refusal {
    let message = format!(
        "this report has more than {SUMS_MAX} sums, and none is left out; ask for fewer days with `start_date` and \
         `end_date`, or for some keys with `api_key`"
    );
    bad(message).param("start_date")
}

/// A page of rows: JSON, or CSV with `format=csv`.
pub(super) fn rows(request: &PageRequest<'_>, rows: &[Value]) -> Response<Reply> {
    match request.parameter("format").as_deref() {
        Some("csv") => csv(rows),
        _ => page(&json!(rows)),
    }
}

/// Rows as CSV (RFC 4180): a column for each member of the first row.
fn csv(rows: &[Value]) -> Response<Reply> {
    let names: Vec<&String> =
        rows.first().and_then(Value::as_object).into_iter().flat_map(|row| row.keys()).collect();
    let mut text = names.iter().map(|name| field(name)).collect::<Vec<_>>().join(",") + "\r\n";
    for row in rows {
        let value = |name: &&String| match &row[name.as_str()] {
            Value::Null => String::new(),
            Value::String(text) => field(text),
            other => field(&other.to_string()),
        };
        text.push_str(&(names.iter().map(value).collect::<Vec<_>>().join(",") + "\r\n"));
    }
    reply::text(StatusCode::OK, HeaderValue::from_static("text/csv; charset=utf-8"), text)
}

/// A field that no program of tables takes for a formula.
fn field(text: &str) -> String {
    let is_formula =
        text.starts_with(['=', '+', '-', '@', '\t', '\r']) && text.parse::<f64>().is_err();
    let text = if is_formula { format!("'{text}") } else { text.to_owned() };
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_quoted_and_is_no_formula() {
        for (text, expected) in [
            ("a", "a"),
            ("a,b", "\"a,b\""),
            ("say \"x\"", "\"say \"\"x\"\"\""),
            ("=1+1", "'=1+1"),
            ("-1.5", "-1.5"),
            ("@x,y", "\"'@x,y\""),
        ] {
            assert_eq!(field(text), expected);
        }
    }

    #[test]
    fn the_last_day_is_included() {
        let day = |text: &str| text.parse::<Date>().ok();
        let days = Days { from: day("2026-11-28"), to: day("2026-11-30") };
        assert_eq!(days.each().len(), 3);
        assert_eq!(days.ms(), (Some(1_795_824_000_000), Some(1_796_083_200_000)));
    }
}
