//! The columns of a row that limit something.
//!
//! Part of [`super`]. Always true: what cannot be understood limits nothing, as in the reference.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::money::Money;
use crate::tenancy::account::{Budget, Terms};
use crate::tenancy::duration::BudgetDuration;
use crate::tenancy::row::Row;
use crate::time::UnixMs;

/// The columns of limits of a row, each from the next row where it is not set.
pub(super) fn terms(own: Row<'_>, linked: Option<Row<'_>>) -> Terms {
    let count =
        |column: &str| own.count(column).or_else(|| linked.and_then(|row| row.count(column)));
    Terms {
        rpm: count("rpm_limit"),
        tpm: count("tpm_limit"),
        parallel: count("max_parallel_requests"),
        budget: None,
        soft: None,
        requests: None,
    }
}

/// A budget in the columns of a row.
pub(super) fn budget(row: Row<'_>) -> Option<Budget> {
    let max = row.money("max_budget")?;
    Some(Budget { max, duration: duration(row), raised: None, zone: TimeZone::UTC })
}

/// The money from which on operators are told. As in the reference 0 is none.
pub(super) fn soft(row: Row<'_>) -> Option<Money> {
    row.money("soft_budget").filter(|soft| *soft > Money::ZERO)
}

/// How long the budget of a row lasts. A text of others that is not understood is none: such a budget never begins anew.
pub(super) fn duration(row: Row<'_>) -> Option<BudgetDuration> {
    BudgetDuration::parse("budget_duration", row.text("budget_duration")?).ok()
}

/// A moment as a text: one without a zone is of UTC, as the reference stores it.
fn moment(text: &str) -> Option<UnixMs> {
    let civil = |text: &str| {
        let zoned = text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok()?;
        Some(zoned.timestamp())
    };
    let at = text.parse::<Timestamp>().ok().or_else(|| civil(text))?;
    at.as_millisecond().try_into().ok().map(UnixMs)
}

/// A temporary raise, in the metadata of a key or in the columns of a budget.
pub(super) fn raised(row: Row<'_>) -> Option<(Money, UnixMs)> {
    let until = match row.text("temp_budget_expiry") {
        Some(text) => moment(text),
        None => row.time("temp_budget_expiry"),
    };
    Some((row.money("temp_budget_increase")?, until?))
}
