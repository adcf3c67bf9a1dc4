//! What a page of metrics is made from, and what of it one number alone does not say.
//!
//! Read by the table of families. Always true: the list of series is that of the moment when the page was begun; numbers are
//! those of the moment when they are written.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use hale_core::budget::BudgetScope;
use hale_core::cause::Cause;
use hale_core::deployment::Deployment;
use hale_core::health::Verdict;
use hale_core::operation::Operation;
use hale_core::record::Ending;
use hale_core::rescue::Outcome as Rescue;
use hale_core::time::Millis;

use super::labels::{Put, Row, Value, class_of_status, exception_class};
use crate::clock;
use crate::http::COMPATIBLE_VERSION;
use crate::metrics::{
    Cached, Cell, Counters, Helped, Outcome, Reading, Series, Service, Sum, Tally,
};
use crate::pages::router;
use crate::sink::export::Figures;
use crate::state::{Process, Serving};

/// What a page is made from.
pub(super) struct Source {
    pub(super) process: Arc<Process>,
    pub(super) serving: Arc<Serving>,
    /// All series, those of a group next to each other.
    pub(super) series: Vec<Arc<Series>>,
    /// The places of those in which a request has ended, and of the one of requests without a group.
    pub(super) counted: Vec<usize>,
    /// The groups that are shown.
    pub(super) groups: Vec<Group>,
    pub(super) now: Millis,
}

/// A group that is shown.
pub(super) struct Group {
    /// Its series.
    pub(super) series: Range<usize>,
    /// Whether any request of it has ended.
    pub(super) has_counted: bool,
}

impl Source {
    /// All groups, except unlisted ones that no request has used.
    pub(super) fn new(process: Arc<Process>, serving: Arc<Serving>) -> Source {
        let now = clock::now().millis();
        process.metrics.drop_gone(now);
        let series = process.metrics.all();
        // Asked once: it takes a lock, and most series of many deployments have nothing to show.
        let has_counted: Vec<bool> = series.iter().map(|one| one.has_counted()).collect();
        let is_shown = |at: &usize| has_counted[*at] || series[*at].subject.group.is_empty();
        let counted = (0..series.len()).filter(is_shown).collect();
        let mut groups = Vec::new();
        let mut start = 0;
        for end in 1..=series.len() {
            let name = &series[start].subject.group;
            if series.get(end).is_some_and(|next| next.subject.group == *name) {
                continue;
            }
            let has_counted = has_counted[start..end].contains(&true);
            if has_counted || !serving.snapshot.by_model.contains_key(&**name) {
                groups.push(Group { series: start..end, has_counted });
            }
            start = end;
        }
        Source { process, serving, series, counted, groups, now }
    }

    /// The values of the labels of a deployment of the config.
    pub(super) fn row<'s>(&'s self, deployment: &'s Deployment) -> Row<'s> {
        let subject = &self.serving.series(deployment.index).subject;
        Row { deployment: &deployment.display.name, ..Row::of(subject) }
    }

    /// Each set of counters of some series, whatever the ending and the client.
    pub(super) fn counters(&self, series: Range<usize>, mut each: impl FnMut(&Counters)) {
        for one in &self.series[series] {
            one.each(|_, cell| {
                cell.answered().into_iter().chain(cell.failed()).for_each(&mut each);
            });
        }
    }

    /// The state of a deployment as `/router/state` calls it.
    pub(super) fn state_of(&self, deployment: &Deployment) -> &'static str {
        router::state_of(&self.serving.snapshot, deployment, self.now).0
    }

    /// 0 if it is healthy, 2 if it gets no traffic because of its health or its configuration, 1 between the two.
    pub(super) fn outage(&self, deployment: &Deployment) -> u64 {
        let snapshot = &self.serving.snapshot;
        match deployment.verdict(self.now) {
            _ if deployment.misconfigured.is_some() => 2,
            Verdict::Cooling(_) | Verdict::HalfOpen(_) => 2,
            Verdict::Ready | Verdict::Reopening
                if router::is_kept_away(snapshot, deployment, self.now) =>
            {
                2
            }
            Verdict::Reopening => 1,
            Verdict::Ready => u64::from(
                deployment.state.failures_in_a_row() > 0 || deployment.state.probes().is_suspect(),
            ),
        }
    }
}

/// USD of units of 10^-9.
#[allow(clippy::cast_precision_loss, reason = "nine digits behind the point suffice")]
pub(super) fn usd(nano: u64) -> f64 {
    nano as f64 / 1e9
}

/// Seconds of microseconds.
#[allow(clippy::cast_precision_loss, reason = "beyond 2^53 microseconds are 285 years")]
pub(super) fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}

/// Finished requests of a group by how they ended.
pub(super) fn endings(source: &Source, group: &Group, row: &Row<'_>, put: &mut Put<'_>) {
    let mut counts = [0; Ending::ALL.len()];
    source.counters(group.series.clone(), |counters| {
        counters.outcomes.each(|outcome, count| counts[outcome.ending as usize] += count);
    });
    for (ending, count) in Ending::ALL.into_iter().zip(counts) {
        put(&Row { kind: ending.name(), ..*row }, Value::Count(count));
    }
}

/// Finished requests of a group by the class of their status.
pub(super) fn statuses(source: &Source, group: &Group, row: &Row<'_>, put: &mut Put<'_>) {
    const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
    if !group.has_counted {
        return;
    }
    let mut counts = [0; 5];
    source.counters(group.series.clone(), |counters| {
        counters.outcomes.each(|outcome, count| {
            counts[usize::from(outcome.status / 100).clamp(1, 5) - 1] += count;
        });
    });
    for (status, count) in CLASSES.into_iter().zip(counts) {
        put(&Row { status, ..*row }, Value::Count(count));
    }
}

/// Attempts of a group that were sent again, by why.
pub(super) fn resends(source: &Source, group: &Group, row: &Row<'_>, put: &mut Put<'_>) {
    if !group.has_counted {
        return;
    }
    for (kind, sum) in [("closed", Sum::ResentClosed), ("reset", Sum::ResentReset)] {
        let mut count = 0;
        source.counters(group.series.clone(), |counters| count += counters.sum(sum));
        put(&Row { kind, ..*row }, Value::Count(count));
    }
}

/// Broken streams of a group, by what became of them. Only outcomes that happened are shown.
pub(super) fn rescues(source: &Source, group: &Group, row: &Row<'_>, put: &mut Put<'_>) {
    for outcome in Rescue::all() {
        let mut count = 0;
        source.counters(group.series.clone(), |counters| count += counters.rescues(outcome));
        if count > 0 {
            put(&Row { kind: outcome.name(), ..*row }, Value::Count(count));
        }
    }
}

/// Attempts of a deployment by outcome. Only outcomes that happened are shown: every deployment times every cause would be a
/// wall.
pub(super) fn attempts(_: &Source, one: &Deployment, row: &Row<'_>, put: &mut Put<'_>) {
    put(&Row { kind: "success", ..*row }, Value::Count(one.state.successes()));
    for cause in Cause::ALL {
        let count = one.state.failures(cause);
        if count > 0 {
            put(&Row { kind: cause.name(), ..*row }, Value::Count(count));
        }
    }
}

/// The state of a deployment.
pub(super) fn state(source: &Source, one: &Deployment, row: &Row<'_>, put: &mut Put<'_>) {
    put(&Row { kind: source.state_of(one), ..*row }, Value::Count(1));
}

/// How old the newest evidence is that probes or traffic gave for what probes say.
pub(super) fn evidence_age(source: &Source, one: &Deployment, row: &Row<'_>, put: &mut Put<'_>) {
    let history = one.state.probes().history(source.now, u64::MAX);
    if let Some(at) = history.proved_at {
        let kind = if history.by_traffic { "traffic" } else { "probe" };
        put(&Row { kind, ..*row }, Value::Count(source.now.since(at) / 1000));
    }
}

/// Cooldowns of a deployment by the status of the failure that they came from.
pub(super) fn cooled_down(_: &Source, one: &Deployment, row: &Row<'_>, put: &mut Put<'_>) {
    let mut counts: BTreeMap<u16, u64> = BTreeMap::new();
    for (_, status, count) in one.state.opens_by_status() {
        *counts.entry(status).or_default() += count;
    }
    for (status, count) in counts {
        put(&Row { status: itoa::Buffer::new().format(status), ..*row }, Value::Count(count));
    }
}

/// Failed calls of a deployment by status and class. That a client left is no failure of a call.
pub(super) fn failures(_: &Source, one: &Deployment, row: &Row<'_>, put: &mut Put<'_>) {
    let mut counts: BTreeMap<(u16, String), u64> = BTreeMap::new();
    for (cause, status, count) in one.state.failures_by_status() {
        if cause != Cause::ClientClosed {
            let class = exception_class(row.provider, Some(cause), status);
            *counts.entry((status, class)).or_default() += count;
        }
    }
    for ((status, class), count) in counts {
        let status = &*status.to_string();
        put(&Row { status, kind: &class, ..*row }, Value::Count(count));
    }
}

/// Calls of a deployment that ended, but for those whose client left.
pub(super) fn calls(_: &Source, one: &Deployment, row: &Row<'_>, put: &mut Put<'_>) {
    let failed = |cause: Cause| match cause {
        Cause::ClientClosed => 0,
        other => one.state.failures(other),
    };
    let count = one.state.successes() + Cause::ALL.into_iter().map(failed).sum::<u64>();
    if count > 0 {
        put(row, Value::Count(count));
    }
}

/// The path by which an operation is known: the first of its row in the table of operations.
fn route(operation: Operation) -> &'static str {
    operation.paths().first().copied().unwrap_or_default()
}

/// Some finished requests with the same labels.
#[derive(Clone, Copy)]
pub(super) struct Requests<'a> {
    /// Those with a record.
    pub(super) cell: &'a Cell,
    /// Those that were refused before they had one.
    pub(super) turned_away: Option<&'a Tally>,
}

/// Requests of clients by path and status.
pub(super) fn requests(row: &Row<'_>, requests: Requests<'_>, put: &mut Put<'_>) {
    let mut counts: BTreeMap<(&str, u16), u64> = BTreeMap::new();
    let mut add = |outcome: Outcome, count: u64| {
        *counts.entry((route(outcome.operation), outcome.status)).or_default() += count;
    };
    for counters in requests.cell.answered().into_iter().chain(requests.cell.failed()) {
        counters.outcomes.each(&mut add);
    }
    if let Some(tally) = requests.turned_away {
        tally.each(&mut add);
    }
    for ((route, status), count) in counts {
        let status = &*status.to_string();
        put(&Row { route, status, ..*row }, Value::Count(count));
    }
}

/// Requests of clients that failed, by path, status and class.
pub(super) fn failed_requests(row: &Row<'_>, requests: Requests<'_>, put: &mut Put<'_>) {
    let mut counts: BTreeMap<(&str, u16, String), u64> = BTreeMap::new();
    let mut add = |outcome: Outcome, count: u64| {
        let cause = outcome.cause.unwrap_or(Cause::Gateway);
        if cause == Cause::ClientClosed {
            return;
        }
        // What breaks behind a 200 has the status of its cause.
        let status = if outcome.status < 400 { cause.facts().status } else { outcome.status };
        let class = match row.provider {
            "" => class_of_status(status).to_owned(),
            provider => exception_class(provider, Some(cause), status),
        };
        *counts.entry((route(outcome.operation), status, class)).or_default() += count;
    };
    if let Some(counters) = requests.cell.failed() {
        counters.outcomes.each(&mut add);
    }
    if let Some(tally) = requests.turned_away {
        tally.each(&mut add);
    }
    for ((route, status, class), count) in counts {
        let status = &*status.to_string();
        put(&Row { route, status, kind: &class, ..*row }, Value::Count(count));
    }
}

/// Requests that were answered, or that failed, whatever the path.
fn count_if(row: &Row<'_>, counters: Option<&Counters>, put: &mut Put<'_>, is: fn(Cached) -> bool) {
    let mut sum = 0;
    if let Some(counters) = counters {
        counters.outcomes.each(|outcome, count| sum += if is(outcome.cached) { count } else { 0 });
    }
    if sum > 0 {
        put(row, Value::Count(sum));
    }
}

pub(super) fn answered(row: &Row<'_>, of: Requests<'_>, put: &mut Put<'_>) {
    count_if(row, of.cell.answered(), put, |_| true);
}

pub(super) fn unanswered(row: &Row<'_>, of: Requests<'_>, put: &mut Put<'_>) {
    count_if(row, of.cell.failed(), put, |_| true);
}

pub(super) fn cache_hits(row: &Row<'_>, of: Requests<'_>, put: &mut Put<'_>) {
    count_if(row, of.cell.answered(), put, |cached| matches!(cached, Cached::Hit | Cached::Joined));
}

pub(super) fn cache_misses(row: &Row<'_>, of: Requests<'_>, put: &mut Put<'_>) {
    count_if(row, of.cell.answered(), put, |cached| cached == Cached::Missed);
}

/// How long answered requests waited for their turn; most did not.
pub(super) fn queue_time(row: &Row<'_>, cell: &Cell, bounds: &[f64], put: &mut Put<'_>) {
    let Some(counters) = cell.answered() else { return };
    let (mut waited, mut all) = (Reading::default(), Reading::default());
    waited.add(&counters.waited);
    all.add(&counters.duration);
    waited.add_zeros(all.count().saturating_sub(waited.count()));
    put(row, Value::Seconds(&waited, bounds));
}

/// The groups that were tried after others.
pub(super) fn fallbacks(source: &Source, helped: Helped, put: &mut Put<'_>) {
    for (fallback, count) in source.process.metrics.fallbacks.read() {
        if fallback.helped != helped {
            continue;
        }
        let status = match fallback.status {
            0 => String::new(),
            status => status.to_string(),
        };
        let row = Row {
            requested: &fallback.requested,
            detail: &fallback.tried,
            status: &status,
            kind: &exception_class(fallback.provider, fallback.cause, fallback.status),
            ..Row::default()
        };
        put(&row, Value::Count(count));
    }
}

/// What is left of all budgets.
pub(super) fn budgets(source: &Source, put: &mut Put<'_>) {
    for budget in &source.serving.snapshot.budgets.all {
        let left = Value::Number(budget.remaining_usd(source.now));
        put(&Row { kind: budget.scope.name(), detail: &budget.name, ..Row::default() }, left);
    }
}

/// What is left of those of providers.
pub(super) fn budgets_of_providers(source: &Source, put: &mut Put<'_>) {
    let all = source.serving.snapshot.budgets.all.iter();
    for budget in all.filter(|budget| budget.scope == BudgetScope::Provider) {
        let left = Value::Number(budget.remaining_usd(source.now));
        put(&Row { provider: &budget.name, ..Row::default() }, left);
    }
}

/// The version, and the one of `LiteLLM` that it is compatible with.
pub(super) fn build(_: &Source, put: &mut Put<'_>) {
    let row = Row { kind: env!("CARGO_PKG_VERSION"), detail: COMPATIBLE_VERSION, ..Row::default() };
    put(&row, Value::Count(1));
}

/// The times of the calls of a service.
pub(super) fn service_seconds(service: &Service, kind: &str, bounds: &[f64], put: &mut Put<'_>) {
    if service.calls() > 0 {
        let mut reading = Reading::default();
        reading.add(&service.latency);
        put(&Row { kind, ..Row::default() }, Value::Seconds(&reading, bounds));
    }
}

/// The calls of a service.
pub(super) fn service_calls(service: &Service, put: &mut Put<'_>) {
    if service.calls() > 0 {
        put(&Row::default(), Value::Count(service.calls()));
    }
}

/// The calls of a service that failed, by class and by what was called.
pub(super) fn service_failures(service: &Service, put: &mut Put<'_>) {
    for ((kind, detail), count) in service.failures() {
        put(&Row { kind, detail, ..Row::default() }, Value::Count(count));
    }
}

/// What became of records, by the server that they are for.
pub(super) fn sinks(source: &Source, of: fn(&Figures) -> u64, put: &mut Put<'_>) {
    for (name, figures) in source.process.sinks.exports.figures() {
        put(&Row { kind: &name, ..Row::default() }, Value::Count(of(&figures)));
    }
}

/// What did not arrive, by where it should have gone.
pub(super) fn callbacks(source: &Source, put: &mut Put<'_>) {
    sinks(source, |figures| figures.failures, put);
    for (kind, count) in source.process.metrics.callbacks.failures() {
        put(&Row { kind, ..Row::default() }, Value::Count(count));
    }
}
