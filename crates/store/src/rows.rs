//! The rows as the gateway makes and reads them.
//!
//! Always true: each has the values of all columns of its table, in their order.

mod response;

use crate::sql::Sql;
use crate::table::Table;
use crate::value::{Row, Value};

pub use self::response::KeptResponse;

/// A change of state of a deployment or of a credential. Times are milliseconds since 1970.
#[derive(Clone, Debug, Default)]
pub struct HealthChange<'a> {
    /// When.
    pub at: u64,
    /// The deployment, if it is one's.
    pub deployment: Option<&'a str>,
    /// The credential, if it is one's.
    pub credential: Option<&'a str>,
    /// `breaker`, `probes`, `switch` or `model`.
    pub part: &'a str,
    /// The model, if it is about one.
    pub model: Option<&'a str>,
    /// The operation, if it is about one.
    pub operation: Option<&'a str>,
    /// The state before.
    pub from: &'a str,
    /// The state after.
    pub to: &'a str,
    /// Why.
    pub cause: Option<&'a str>,
    /// What changed it.
    pub source: &'a str,
    /// When a cooldown ends.
    pub until: Option<u64>,
    /// Whether the provider named that time.
    pub provider_issued: Option<bool>,
}

/// The result of a probe: the fields of `/health/history`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProbeResult {
    /// Its id.
    pub id: Box<str>,
    /// The model group.
    pub model_name: Option<Box<str>>,
    /// The deployment.
    pub model_id: Option<Box<str>>,
    /// `healthy` or `unhealthy`.
    pub status: Box<str>,
    /// 1 if it is healthy.
    pub healthy_count: u64,
    /// 1 if it is not.
    pub unhealthy_count: u64,
    /// What went wrong.
    pub error_message: Option<Box<str>>,
    /// How long the probe took.
    pub response_time_ms: Option<f64>,
    /// More, as JSON.
    pub details: Option<Box<str>>,
    /// What probed it.
    pub checked_by: Box<str>,
    /// When it ended, milliseconds since 1970.
    pub checked_at: u64,
}

/// Which results of probes to read, the newest first.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProbeFilter<'a> {
    /// Of this model group only.
    pub model_name: Option<&'a str>,
    /// With this status only.
    pub status: Option<&'a str>,
    /// At most so many.
    pub limit: u64,
    /// Without so many newer ones.
    pub offset: u64,
}

/// A finished request. Times are milliseconds since 1970, or microseconds where the name says so.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request<'a> {
    /// When it arrived.
    pub arrived_at: u64,
    /// The id that the client saw.
    pub call_id: &'a str,
    /// The operation.
    pub operation: &'a str,
    /// The model as the client named it.
    pub requested_model: Option<&'a str>,
    /// The group that answered; if none did, the one that the request named.
    pub model_group: Option<&'a str>,
    /// The deployment that answered, or failed last.
    pub deployment: Option<&'a str>,
    /// The HTTP status.
    pub status: u16,
    /// How it ended.
    pub ending: &'a str,
    /// Why it failed, if it did.
    pub cause: Option<&'a str>,
    /// Whether the answer was a stream.
    pub stream: bool,
    /// Attempts within a group after the first.
    pub retries: u64,
    /// Fallback groups entered.
    pub fallbacks: u64,
    /// Attempts that were sent again on a new connection.
    pub resends: u64,
    /// From arrival to the end.
    pub duration_us: u64,
    /// From arrival to the first content.
    pub first_content_us: Option<u64>,
    /// The gateway's own part.
    pub overhead_us: u64,
    /// How long it waited for its turn.
    pub waited_us: u64,
    /// Tokens of the input.
    pub input_tokens: Option<u64>,
    /// Tokens of the output.
    pub output_tokens: Option<u64>,
    /// Of the input, read from the provider's cache.
    pub cache_read_tokens: Option<u64>,
    /// Of the input, written to it.
    pub cache_write_tokens: Option<u64>,
    /// Of the output, reasoning.
    pub reasoning_tokens: Option<u64>,
    /// Whether the tokens are estimated.
    pub usage_estimated: bool,
    /// Its price.
    pub cost_usd: Option<f64>,
    /// Bytes of its body.
    pub request_bytes: u64,
    /// Bytes of the answer's body.
    pub response_bytes: u64,
}

/// What an operator did.
#[derive(Clone, Copy, Debug)]
pub struct OperatorAction<'a> {
    /// When, milliseconds since 1970.
    pub at: u64,
    /// Who: the name of a key.
    pub actor: &'a str,
    /// What.
    pub action: &'a str,
    /// To which deployment.
    pub deployment: &'a str,
}

/// A setting made at run time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its name.
    pub name: Box<str>,
    /// Its value.
    pub value: Box<str>,
    /// When it was made, milliseconds since 1970. Of two, the later one holds.
    pub updated_at: u64,
    /// Who made it.
    pub updated_by: Box<str>,
}

/// An incident. Times are milliseconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IncidentRow {
    /// Its id.
    pub id: Box<str>,
    /// What it is.
    pub kind: Box<str>,
    /// How far it is told; `closed` if it is over.
    pub stage: Box<str>,
    /// A line that says it all.
    pub title: Box<str>,
    /// When it was noticed.
    pub opened_at: u64,
    /// When it ended, if it did.
    pub ended_at: Option<u64>,
    /// The requests that it touched.
    pub requests: u64,
    /// All of it, as JSON.
    pub state: Box<str>,
    /// When this was written. Of two, the later one holds.
    pub updated_at: u64,
}

/// What requests of a group met at a deployment within some time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UsageRow {
    /// The group; empty for requests without one.
    pub model_group: Box<str>,
    /// The deployment; empty for requests without one.
    pub deployment: Box<str>,
    /// Why they failed; empty if they did not.
    pub cause: Box<str>,
    /// How many.
    pub requests: u64,
    /// How long all of them took, microseconds.
    pub duration_us: u64,
    /// What they cost.
    pub cost_usd: f64,
}

impl UsageRow {
    /// The sums of the minutes since `since`, milliseconds since 1970.
    pub(crate) fn since(since: u64) -> Sql {
        let text = "select model_group, deployment, cause, cast(sum(requests) as bigint), \
                    cast(sum(duration_us) as bigint), sum(cost_usd) from {hale}rollups \
                    where width_s = 60 and start_at >= $1 group by model_group, deployment, cause \
                    order by model_group, deployment, cause limit 10000";
        Sql { text, values: vec![since.into()] }
    }

    /// From a row of that.
    pub(crate) fn of(row: &Row) -> Option<UsageRow> {
        let text = |at: usize| row.get(at).and_then(Value::text).map(Box::from);
        let count = |at: usize| {
            row.get(at).and_then(Value::integer).and_then(|count| u64::try_from(count).ok())
        };
        Some(UsageRow {
            model_group: text(0)?,
            deployment: text(1)?,
            cause: text(2)?,
            requests: count(3)?,
            duration_us: count(4)?,
            cost_usd: row.get(5).and_then(Value::real).unwrap_or_default(),
        })
    }
}

/// What can be stored, besides requests.
#[derive(Clone, Debug)]
pub enum Stored<'a> {
    /// A change of state.
    Health(HealthChange<'a>),
    /// The result of a probe.
    Probe(ProbeResult),
    /// What an operator did.
    Action(OperatorAction<'a>),
    /// A setting made at run time.
    Setting(Setting),
    /// An incident as it is now.
    Incident(IncidentRow),
    /// A response that the gateway keeps.
    Response(KeptResponse),
}

impl Stored<'_> {
    /// The row, which has that id if it has none of its own.
    pub(crate) fn row(&self, id: &str, replica: &str) -> (Table, Row) {
        match self {
            Stored::Health(change) => (Table::HealthChanges, change.row(id, replica)),
            Stored::Probe(result) => (Table::ProbeResults, result.row()),
            Stored::Action(action) => (
                Table::OperatorActions,
                vec![
                    id.into(),
                    action.at.into(),
                    replica.into(),
                    action.actor.into(),
                    action.action.into(),
                    action.deployment.into(),
                ],
            ),
            Stored::Incident(incident) => (Table::Incidents, incident.row(replica)),
            Stored::Response(response) => (Table::Responses, response.row()),
            Stored::Setting(setting) => (
                Table::Settings,
                vec![
                    (&*setting.name).into(),
                    (&*setting.value).into(),
                    setting.updated_at.into(),
                    (&*setting.updated_by).into(),
                ],
            ),
        }
    }
}

impl HealthChange<'_> {
    fn row(&self, id: &str, replica: &str) -> Row {
        vec![
            id.into(),
            self.at.into(),
            replica.into(),
            self.deployment.into(),
            self.credential.into(),
            self.part.into(),
            self.model.into(),
            self.operation.into(),
            self.from.into(),
            self.to.into(),
            self.cause.into(),
            self.source.into(),
            self.until.into(),
            self.provider_issued.into(),
        ]
    }
}

impl ProbeResult {
    fn row(&self) -> Row {
        vec![
            (&*self.id).into(),
            self.model_name.as_deref().into(),
            self.model_id.as_deref().into(),
            (&*self.status).into(),
            self.healthy_count.into(),
            self.unhealthy_count.into(),
            self.error_message.as_deref().into(),
            self.response_time_ms.into(),
            self.details.as_deref().into(),
            (&*self.checked_by).into(),
            self.checked_at.into(),
        ]
    }

    /// From a row of its table.
    pub(crate) fn of(row: &Row) -> Option<ProbeResult> {
        let text = |at: usize| row.get(at).and_then(Value::text).map(Box::from);
        let count = |at: usize| {
            row.get(at).and_then(Value::integer).and_then(|count| u64::try_from(count).ok())
        };
        Some(ProbeResult {
            id: text(0)?,
            model_name: text(1),
            model_id: text(2),
            status: text(3)?,
            healthy_count: count(4)?,
            unhealthy_count: count(5)?,
            error_message: text(6),
            response_time_ms: row.get(7).and_then(Value::real),
            details: text(8),
            checked_by: text(9)?,
            checked_at: count(10)?,
        })
    }
}

impl ProbeFilter<'_> {
    pub(crate) fn sql(&self) -> Sql {
        let text = "select id, model_name, model_id, status, healthy_count, unhealthy_count, error_message, \
                    response_time_ms, details, checked_by, checked_at from {hale}probe_results \
                    where (cast($1 as text) is null or model_name = $1) \
                    and (cast($2 as text) is null or status = $2) \
                    order by checked_at desc, id desc limit $3 offset $4";
        let values =
            vec![self.model_name.into(), self.status.into(), self.limit.into(), self.offset.into()];
        Sql { text, values }
    }
}

impl Request<'_> {
    pub(crate) fn row(&self, id: &str, replica: &str) -> Row {
        vec![
            id.into(),
            self.arrived_at.into(),
            replica.into(),
            self.call_id.into(),
            self.operation.into(),
            self.requested_model.into(),
            self.model_group.into(),
            self.deployment.into(),
            u64::from(self.status).into(),
            self.ending.into(),
            self.cause.into(),
            self.stream.into(),
            self.retries.into(),
            self.fallbacks.into(),
            self.resends.into(),
            self.duration_us.into(),
            self.first_content_us.into(),
            self.overhead_us.into(),
            self.waited_us.into(),
            self.input_tokens.into(),
            self.output_tokens.into(),
            self.cache_read_tokens.into(),
            self.cache_write_tokens.into(),
            self.reasoning_tokens.into(),
            self.usage_estimated.into(),
            self.cost_usd.into(),
            self.request_bytes.into(),
            self.response_bytes.into(),
        ]
    }
}

impl IncidentRow {
    fn row(&self, replica: &str) -> Row {
        vec![
            (&*self.id).into(),
            (&*self.kind).into(),
            (&*self.stage).into(),
            (&*self.title).into(),
            self.opened_at.into(),
            self.ended_at.into(),
            replica.into(),
            self.requests.into(),
            (&*self.state).into(),
            self.updated_at.into(),
        ]
    }

    /// Those that are not over, the oldest first.
    pub(crate) fn open() -> Sql {
        let text = "select id, kind, stage, title, opened_at, ended_at, replica, requests, state, updated_at \
                    from {hale}incidents where stage <> 'closed' order by opened_at, id limit 500";
        Sql { text, values: Vec::new() }
    }

    /// All, the newest first, at most `limit`.
    pub(crate) fn latest(limit: u64) -> Sql {
        let text = "select id, kind, stage, title, opened_at, ended_at, replica, requests, state, updated_at \
                    from {hale}incidents order by opened_at desc, id desc limit $1";
        Sql { text, values: vec![limit.into()] }
    }

    /// From a row of its table.
    pub(crate) fn of(row: &Row) -> Option<IncidentRow> {
        let text = |at: usize| row.get(at).and_then(Value::text).map(Box::from);
        let count = |at: usize| {
            row.get(at).and_then(Value::integer).and_then(|count| u64::try_from(count).ok())
        };
        Some(IncidentRow {
            id: text(0)?,
            kind: text(1)?,
            stage: text(2)?,
            title: text(3)?,
            opened_at: count(4)?,
            ended_at: count(5),
            requests: count(7)?,
            state: text(8)?,
            updated_at: count(9)?,
        })
    }
}

impl Setting {
    pub(crate) fn all() -> Sql {
        let text = "select name, value, updated_at, updated_by from {hale}settings order by name";
        Sql { text, values: Vec::new() }
    }

    /// From a row of its table.
    pub(crate) fn of(row: &Row) -> Option<Setting> {
        let text = |at: usize| row.get(at).and_then(Value::text).map(Box::from);
        let updated_at = row.get(2).and_then(Value::integer)?;
        Some(Setting {
            name: text(0)?,
            value: text(1)?,
            updated_at: u64::try_from(updated_at).ok()?,
            updated_by: text(3)?,
        })
    }
}
