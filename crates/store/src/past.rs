//! Rows of the past as pages read them: changes of state, finished requests, traffic by period.
//!
//! Read by [`crate::store`]. Always true: each list has a bound; times are milliseconds since 1970; the values of a filter are
//! bound, never text of a statement.

use crate::sql::Sql;
use crate::value::{Row, Value};

/// A change of state of a deployment or of a credential.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PastChange {
    /// When.
    pub at: u64,
    /// The replica that saw it.
    pub replica: Box<str>,
    /// The deployment, if it is one's.
    pub deployment: Option<Box<str>>,
    /// The credential, if it is one's.
    pub credential: Option<Box<str>>,
    /// `breaker`, `probes` or `switch`.
    pub part: Box<str>,
    /// The state before.
    pub from: Box<str>,
    /// The state after.
    pub to: Box<str>,
    /// Why.
    pub cause: Option<Box<str>>,
}

/// Which finished requests to read, the newest first.
#[derive(Clone, Copy, Debug, Default)]
pub struct RequestFilter<'a> {
    /// With this call id only.
    pub call_id: Option<&'a str>,
    /// Of this model, as the client named it or as the group is named.
    pub model: Option<&'a str>,
    /// Answered by this deployment, or failed last at it.
    pub deployment: Option<&'a str>,
    /// With this cause only.
    pub cause: Option<&'a str>,
    /// Which endings.
    pub endings: Endings,
    /// Not before this time.
    pub since: u64,
    /// Before this time; 0 is no bound.
    pub before: u64,
    /// At most so many.
    pub limit: u64,
}

/// Which endings of requests to read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Endings {
    /// All.
    #[default]
    All,
    /// Those that were not answered in full.
    Failed,
}

/// A finished request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PastRequest {
    /// When it arrived.
    pub arrived_at: u64,
    /// The replica that served it.
    pub replica: Box<str>,
    /// The id that the client saw.
    pub call_id: Box<str>,
    /// The operation.
    pub operation: Box<str>,
    /// The model as the client named it.
    pub requested_model: Option<Box<str>>,
    /// The group that answered; if none did, the one that the request named.
    pub model_group: Option<Box<str>>,
    /// The deployment that answered, or failed last.
    pub deployment: Option<Box<str>>,
    /// The HTTP status.
    pub status: u64,
    /// How it ended.
    pub ending: Box<str>,
    /// Why it failed, if it did.
    pub cause: Option<Box<str>>,
    /// Whether the answer was a stream.
    pub stream: bool,
    /// Attempts within a group after the first.
    pub retries: u64,
    /// Fallback groups entered.
    pub fallbacks: u64,
    /// From arrival to the end.
    pub duration_us: u64,
    /// From arrival to the first content.
    pub first_content_us: Option<u64>,
    /// How long it waited for its turn.
    pub waited_us: u64,
    /// Tokens of the input.
    pub input_tokens: Option<u64>,
    /// Tokens of the output.
    pub output_tokens: Option<u64>,
    /// Its price.
    pub cost_usd: Option<f64>,
}

/// The width of a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// Minutes.
    Minute,
    /// Days.
    Day,
}

/// What requests of a group met at a deployment in one period.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TrafficRow {
    /// When the period starts.
    pub start: u64,
    /// The group; empty for requests without one.
    pub model_group: Box<str>,
    /// The deployment; empty for requests without one.
    pub deployment: Box<str>,
    /// Why they failed; empty if they did not.
    pub cause: Box<str>,
    /// How many.
    pub requests: u64,
    /// Tokens of their input.
    pub input_tokens: u64,
    /// Tokens of their output.
    pub output_tokens: u64,
    /// What they cost.
    pub cost_usd: f64,
    /// How long all of them took, microseconds.
    pub duration_us: u64,
}

fn text(row: &Row, at: usize) -> Option<Box<str>> {
    row.get(at).and_then(Value::text).map(Box::from)
}

fn count(row: &Row, at: usize) -> Option<u64> {
    row.get(at).and_then(Value::integer).and_then(|count| u64::try_from(count).ok())
}

impl PastChange {
    pub(crate) fn since(since: u64) -> Sql {
        let text = "select at, replica, deployment, credential, part, from_state, to_state, cause \
                    from {hale}health_changes where at >= $1 and part <> 'model' \
                    order by at desc limit 20000";
        Sql { text, values: vec![since.into()] }
    }

    pub(crate) fn of(row: &Row) -> Option<PastChange> {
        Some(PastChange {
            at: count(row, 0)?,
            replica: text(row, 1)?,
            deployment: text(row, 2),
            credential: text(row, 3),
            part: text(row, 4)?,
            from: text(row, 5)?,
            to: text(row, 6)?,
            cause: text(row, 7),
        })
    }
}

impl RequestFilter<'_> {
    pub(crate) fn sql(&self) -> Sql {
        let text = "select arrived_at, replica, call_id, operation, requested_model, model_group, deployment, status, \
                    ending, cause, stream, retries, fallbacks, duration_us, first_content_us, waited_us, \
                    input_tokens, output_tokens, cost_usd from {hale}requests \
                    where arrived_at >= $1 and arrived_at < $2 \
                    and ($3 = '' or call_id = $3) and ($4 = '' or requested_model = $4 or model_group = $4) \
                    and ($5 = '' or deployment = $5) and ($6 = '' or cause = $6) \
                    and (cast($7 as bigint) = 0 or ending <> 'success') \
                    order by arrived_at desc limit $8";
        let given = |text: Option<&str>| Value::from(text.unwrap_or_default());
        let before = if self.before == 0 { i64::MAX.unsigned_abs() } else { self.before };
        let failed = u64::from(self.endings == Endings::Failed);
        Sql {
            text,
            values: vec![
                self.since.into(),
                before.into(),
                given(self.call_id),
                given(self.model),
                given(self.deployment),
                given(self.cause),
                failed.into(),
                self.limit.into(),
            ],
        }
    }
}

impl PastRequest {
    pub(crate) fn of(row: &Row) -> Option<PastRequest> {
        Some(PastRequest {
            arrived_at: count(row, 0)?,
            replica: text(row, 1)?,
            call_id: text(row, 2)?,
            operation: text(row, 3)?,
            requested_model: text(row, 4),
            model_group: text(row, 5),
            deployment: text(row, 6),
            status: count(row, 7)?,
            ending: text(row, 8)?,
            cause: text(row, 9),
            stream: count(row, 10)? > 0,
            retries: count(row, 11)?,
            fallbacks: count(row, 12)?,
            duration_us: count(row, 13)?,
            first_content_us: count(row, 14),
            waited_us: count(row, 15)?,
            input_tokens: count(row, 16),
            output_tokens: count(row, 17),
            cost_usd: row.get(18).and_then(Value::real),
        })
    }
}

impl TrafficRow {
    pub(crate) fn since(since: u64, width: Width) -> Sql {
        let text = "select start_at, model_group, deployment, cause, requests, input_tokens, output_tokens, cost_usd, \
                    duration_us from {hale}rollups where width_s = $1 and start_at >= $2 \
                    order by start_at desc limit 20000";
        let width_s: u64 = match width {
            Width::Minute => 60,
            Width::Day => 86_400,
        };
        Sql { text, values: vec![width_s.into(), since.into()] }
    }

    pub(crate) fn of(row: &Row) -> Option<TrafficRow> {
        Some(TrafficRow {
            start: count(row, 0)?,
            model_group: text(row, 1)?,
            deployment: text(row, 2)?,
            cause: text(row, 3)?,
            requests: count(row, 4)?,
            input_tokens: count(row, 5)?,
            output_tokens: count(row, 6)?,
            cost_usd: row.get(7).and_then(Value::real).unwrap_or_default(),
            duration_us: count(row, 8)?,
        })
    }
}
