//! Whose spend a client sees, and how its parameters are read.
//!
//! Used by all reports. Always true: a client that is no admin sees what its own key and, if the key has no team, its own user spent, whatever it
//! names: an admin of a team may have made the key for that user. A parameter
//! that cannot be read is refused with its name, its value and what is allowed, so that it never widens a report.

use hale_core::tenancy::KeyHash;
use hale_store::{By, DayFilter, DaySum};
use http::StatusCode;

use crate::http::auth::Principal;
use crate::http::refusal::{self, Refusal};
use crate::pages::PageRequest;
use crate::pages::admin::{bad, failed, store};

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
            Principal::Key(access) => Ok(match (&access.identity.user, &access.identity.team) {
                (Some(user), None) => Scope::User((&**user).into()),
                (_, Some(_)) | (None, None) => Scope::Key((&*access.identity.key).into()),
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

/// Texts of a list in the query: one parameter, with commas.
pub(super) fn list(request: &PageRequest<'_>, name: &str) -> Option<Vec<Box<str>>> {
    let text = request.parameter(name).filter(|text| !text.is_empty())?;
    Some(text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(Box::from).collect())
}

/// Keys that the query names by their text or their hash.
pub(super) fn keys(request: &PageRequest<'_>, name: &str) -> Option<Vec<Box<str>>> {
    list(request, name).map(|keys| keys.iter().map(|key| hashed(key)).collect())
}

/// The hash of a key that is named by its text or its hash.
pub(super) fn hashed(key: &str) -> Box<str> {
    match key.starts_with("sk-") {
        true => KeyHash::of(key).to_string().into(),
        false => key.into(),
    }
}

/// Which of some texts the query names; `None` if it names none.
pub(super) fn choice<T: Copy>(
    request: &PageRequest<'_>,
    name: &str,
    allowed: &[(&str, T)],
) -> Result<Option<T>, Refusal> {
    let Some(text) = request.parameter(name).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    match allowed.iter().find(|(known, _)| *known == &*text) {
        Some((_, chosen)) => Ok(Some(*chosen)),
        None => Err(not_among(name, &text, allowed.iter().map(|(known, _)| *known))),
    }
}

/// A text that is none of those that are allowed.
pub(super) fn not_among<'a>(
    name: &str,
    text: &str,
    allowed: impl Iterator<Item = &'a str>,
) -> Refusal {
    let allowed = allowed.collect::<Vec<_>>().join(", ");
    bad(format!("`{name}` must be one of {allowed}, and is {text}")).param(name)
}

/// An amount in the query, USD.
pub(super) fn amount(request: &PageRequest<'_>, name: &str) -> Result<Option<f64>, Refusal> {
    let Some(text) = request.parameter(name).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    match text.parse::<f64>().ok().filter(|usd| usd.is_finite()) {
        Some(usd) => Ok(Some(usd)),
        None => {
            let message = format!("`{name}` must be an amount in USD, as 0.01, and is {text}");
            Err(bad(message).param(name))
        }
    }
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
        let message = format!("`{name}` must be a whole number from 1 to {most}, and is {text}");
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
