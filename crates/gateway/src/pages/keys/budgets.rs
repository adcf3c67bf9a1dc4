//! Budgets of models and of several periods, as clients of the admin API write them.
//!
//! Used by [`super::fields`]. Always true: what is accepted is enforced: a budget without a period is refused, because the reference
//! keeps it and limits nothing by it.

use hale_core::tenancy::duration::BudgetDuration;
use hale_core::tenancy::{Money, Record, Row};
use hale_core::time::UnixMs;
use hale_store::{Change, TenantTable};
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::fields::{is_clean, wrong};
use crate::clock;
use crate::http::refusal::Refusal;
use crate::pages::PageRequest;
use crate::pages::admin::{actor, bad, is_shared, new_id, store};

/// Models, or periods, of one row at most.
const ENTRIES_MAX: usize = 1_000;

/// A number of dollars.
pub(super) fn usd(field: &str, value: Option<&Value>) -> Result<f64, Refusal> {
    let usd = value.and_then(Value::as_f64).filter(|usd| *usd >= 0.0);
    // A number beyond all money is as if there were no budget, and no one means that.
    let usd = usd.filter(|usd| Money::of_usd(*usd).is_some_and(|it| it.parts() < i64::MAX));
    usd.ok_or_else(|| wrong(field, "a number of dollars, 0 or more"))
}

fn period(field: &str, value: Option<&Value>) -> Result<BudgetDuration, Refusal> {
    let refuse = |message: String| bad(format!("Invalid {field}: {message}")).param(field);
    let Some(text) = value.and_then(Value::as_str).filter(|text| !text.is_empty()) else {
        let message = "each budget needs its period: \"budget_duration\": \"1d\"";
        return Err(refuse(message.to_owned()));
    };
    BudgetDuration::parse("budget_duration", text).map_err(refuse)
}

/// `{model: {"budget_limit": 10, "time_period": "1d", "rpm_limit": 5, "tpm_limit": 1000}}`, as it is stored.
pub(super) fn of_models(field: &str, value: &Value) -> Result<Value, Refusal> {
    let expected = "an object of budgets by the names of models";
    let entries = value.as_object().filter(|entries| entries.len() <= ENTRIES_MAX);
    let entries = entries.ok_or_else(|| wrong(field, expected))?;
    for (model, entry) in entries {
        let entry = entry.as_object().filter(|_| is_clean(&json!(model)));
        let entry = entry.ok_or_else(|| wrong(field, expected))?;
        let either = |one: &str, other: &str| {
            let value = entry.get(one).or_else(|| entry.get(other));
            value.filter(|value| !value.is_null())
        };
        if let Some(max) = either("budget_limit", "max_budget") {
            usd(field, Some(max))?;
            period(field, either("time_period", "budget_duration"))?;
        }
        for name in ["rpm_limit", "tpm_limit"] {
            if either(name, name).is_some_and(|count| count.as_u64().is_none()) {
                return Err(wrong(field, "budgets whose limits are whole numbers, 0 or more"));
            }
        }
    }
    Ok(value.clone())
}

/// `[{"max_budget": 10, "budget_duration": "1d"}]`, as it is stored: with the end of each period.
pub(super) fn windows(field: &str, value: &Value) -> Result<Value, Refusal> {
    if value.is_null() || value.as_str() == Some("") {
        return Ok(Value::Null);
    }
    let expected = "a list of budgets with `max_budget` and `budget_duration`";
    let windows = value.as_array().filter(|windows| windows.len() <= ENTRIES_MAX);
    let mut stored = Vec::new();
    for window in windows.ok_or_else(|| wrong(field, expected))? {
        let max = usd(field, window.get("max_budget"))?;
        let written = window.get("budget_duration");
        let duration = period(field, written)?;
        if stored.iter().any(|one: &Value| one.get("budget_duration") == written) {
            return Err(bad(format!("Invalid {field}: two budgets have one period")).param(field));
        }
        let ends = duration.next(UnixMs(clock::unix_ms()), &TimeZone::UTC);
        let reset_at = hale_core::time::rfc3339(ends.0);
        stored.push(json!({"max_budget": max, "budget_duration": written, "reset_at": reset_at}));
    }
    Ok(json!(stored))
}

/// `{model: [cheaper models]}`, as it is stored.
pub(super) fn fallbacks(field: &str, value: &Value) -> Result<Value, Refusal> {
    let is_list = |list: &Value| list.as_array().is_some_and(|names| names.iter().all(is_clean));
    let lists = value.as_object().filter(|lists| lists.values().all(is_list));
    let expected = "an object of lists of models by the names of models";
    Ok(json!(lists.ok_or_else(|| wrong(field, expected))?))
}

/// The changes that put the soft budget of a key where the reference has it: in the row of budgets that the key names, which is made if
/// there is none. `before` is the row of the key, if it is there; `columns` get the name of a row that is made.
pub(super) async fn soft(
    request: &PageRequest<'_>,
    body: &Record,
    (before, columns): (Option<&Record>, &mut Record),
) -> Result<Option<Change>, Refusal> {
    let field = "soft_budget";
    let Some(value) = body.get(field) else { return Ok(None) };
    let soft = if value.is_null() { None } else { Some(usd(field, Some(value))?) };
    if Row(columns).has("budget_id") && soft.is_some() {
        let message = "`soft_budget` would change the budget in `budget_id`, which others may name: leave one of them out";
        return Err(bad(message.to_owned()).param(field));
    }
    let named = before.and_then(|row| Row(row).text("budget_id"));
    if let Some(id) = named {
        if is_shared(store(request)?, id).await? {
            let message = format!(
                "the budget {id} of this key has other owners too: its `soft_budget` is not changed here"
            );
            return Err(bad(message).param(field));
        }
        let row = Record::from_iter([(field.to_owned(), json!(soft))]);
        let key = vec![("budget_id", id.into())];
        return Ok(Some(Change::Update { table: TenantTable::Budgets, key, row }));
    }
    let Some(soft) = soft else { return Ok(None) };
    let (id, by, now) = (new_id(), actor(request).0, clock::unix_ms());
    let row = json!({
        "budget_id": id, field: soft, "created_at": now, "created_by": by, "updated_at": now, "updated_by": by,
    });
    let Value::Object(row) = row else { return Ok(None) };
    columns.insert("budget_id".to_owned(), json!(id));
    Ok(Some(Change::Insert { table: TenantTable::Budgets, row }))
}

/// The soft budget of a team lies below its budget.
pub(crate) fn check_soft(before: Option<&Record>, columns: &Record) -> Result<(), Refusal> {
    let of = |name: &str| match columns.get(name) {
        Some(value) => value.as_f64(),
        None => before.and_then(|row| row.get(name)?.as_f64()),
    };
    match of("soft_budget").zip(of("max_budget")) {
        Some((soft, max)) if soft >= max => {
            let message = format!(
                "{{'error': 'soft_budget ({soft}) must be strictly lower than max_budget ({max})'}}"
            );
            Err(bad(message).param("soft_budget"))
        }
        Some(_) | None => Ok(()),
    }
}
