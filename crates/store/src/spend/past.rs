//! The ledger as it is read again: calls one by one, and their sums by day and model.

use crate::value::{Row, Value};

/// A call of the ledger.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PastCall {
    /// Its id.
    pub id: Box<str>,
    /// When its request arrived, milliseconds since 1970.
    pub at: u64,
    /// The request.
    pub request: Box<str>,
    /// The hash of the key.
    pub key: Box<str>,
    /// Whose key it is.
    pub user: Option<Box<str>>,
    /// The key's team.
    pub team: Option<Box<str>>,
    /// The organization.
    pub organization: Option<Box<str>>,
    /// The client's own customer.
    pub end_user: Option<Box<str>>,
    /// Its tags, a JSON list.
    pub tags: Box<str>,
    /// The operation.
    pub operation: Box<str>,
    /// The model group.
    pub model_group: Box<str>,
    /// The deployment.
    pub deployment: Box<str>,
    /// The provider.
    pub provider: Box<str>,
    /// The model's name there.
    pub model: Box<str>,
    /// All counts, a JSON object.
    pub counts: Box<str>,
    /// The cost, 10^-9 USD.
    pub cost_nano: Option<i64>,
    /// When it ended, milliseconds since 1970.
    pub ended_at: u64,
}

/// What was spent on a day at a provider for a model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelDay {
    /// The day, `2026-11-28`.
    pub day: Box<str>,
    /// The provider.
    pub provider: Box<str>,
    /// The model's name there.
    pub model: Box<str>,
    /// Calls.
    pub calls: i64,
    /// 10^-9 USD.
    pub nano: i64,
}

/// Calls of a time, behind an id, in the order of their ids.
pub(crate) const CALLS: &str = "select id, at, request, key_hash, user_id, team_id, organization_id, end_user, tags, operation, \
    model_group, deployment, provider, model, counts, cost_nano, ended_at from {hale}attempts where at >= $1 and at < $2 and id > $3 \
    order by id limit $4";
/// The corrections of calls that were made before.
pub(crate) const CORRECTIONS: &str = "select request, cast(sum(cost_nano) as bigint) from {hale}attempts \
    where request like 'reprice-%' group by request";
/// Sums by day and model, of single calls.
pub(crate) const SINGLE: &str = "select at / 86400000, provider, model, cast(count(*) as bigint), \
    cast(coalesce(sum(cost_nano), 0) as bigint) from {hale}attempts where at >= $1 and at < $2 group by 1, 2, 3";
/// The same of those that are kept as sums.
pub(crate) const SUMMED: &str = "select day, provider, model, cast(sum(calls) as bigint), cast(sum(cost_nano) as bigint) \
    from {hale}attempt_sums where day >= $1 and day < $2 group by 1, 2, 3";

/// What the calls of a session of a key come to.
pub(crate) const SESSION: &str = "select cast(count(distinct request) as bigint), cast(coalesce(sum(cost_nano), 0) as bigint) \
    from {hale}attempts where session_id = $1 and key_hash = $2";

/// How many calls that something was counted of are kept as sums.
pub(crate) const SUMMED_CALLS: &str = "select cast(coalesce(sum(calls), 0) as bigint) from {hale}attempt_sums \
    where day >= $1 and day <= $2 and (input_tokens > 0 or output_tokens > 0 or cost_nano <> 0)";

/// What a session has used, as far as its calls have rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionSum {
    /// Requests that called an upstream.
    pub requests: u64,
    /// 10^-9 USD.
    pub nano: i64,
}

impl SessionSum {
    pub(crate) fn of(row: &Row) -> SessionSum {
        SessionSum { requests: u64::try_from(integer(row, 0)).unwrap_or(0), nano: integer(row, 1) }
    }
}

fn text(row: &Row, at: usize) -> Box<str> {
    row.get(at).and_then(Value::text).unwrap_or_default().into()
}

fn integer(row: &Row, at: usize) -> i64 {
    row.get(at).and_then(Value::integer).unwrap_or(0)
}

impl PastCall {
    pub(crate) fn of(row: &Row) -> PastCall {
        let some = |at: usize| row.get(at).and_then(Value::text).map(Box::from);
        PastCall {
            id: text(row, 0),
            at: u64::try_from(integer(row, 1)).unwrap_or(0),
            request: text(row, 2),
            key: text(row, 3),
            user: some(4),
            team: some(5),
            organization: some(6),
            end_user: some(7),
            tags: text(row, 8),
            operation: text(row, 9),
            model_group: text(row, 10),
            deployment: text(row, 11),
            provider: text(row, 12),
            model: text(row, 13),
            counts: text(row, 14),
            cost_nano: row.get(15).and_then(Value::integer),
            ended_at: u64::try_from(integer(row, 16)).unwrap_or(0),
        }
    }
}

impl ModelDay {
    pub(crate) fn of(row: &Row) -> ModelDay {
        let day = match row.first() {
            Some(Value::Integer(days)) => {
                super::day::day_of(u64::try_from(days * 86_400_000).unwrap_or(0)).into()
            }
            _ => text(row, 0),
        };
        ModelDay {
            day,
            provider: text(row, 1),
            model: text(row, 2),
            calls: integer(row, 3),
            nano: integer(row, 4),
        }
    }
}
