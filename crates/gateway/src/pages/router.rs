//! What the router knows and would do: its state, an explanation of one request, and an operator's actions
//! on a deployment. For the master key only.

use std::collections::BTreeMap;

use hale_core::cause::Cause;
use hale_core::deployment::Deployment;
use hale_core::health::{
    AnswerMode, Cooldown, Evidence, HealthEvent, HealthPart, Lack, Lacked, OperatorAction, Verdict,
};
use hale_core::provider::WireFormat;
use hale_core::route::{
    Candidate, Controls, Excluded, Explanation, Fit, GroupAffinity, explain, windows,
};
use hale_core::snapshot::Snapshot;
use hale_core::time::Millis;
use http::{Response, StatusCode};
use serde::Serialize;

use super::PageRequest;
use super::budgets::{self, BudgetLine};
use crate::clock;
use crate::events::{self, What};
use crate::http::refusal;
use crate::http::reply::{self, Reply};
use crate::proxy::explain::{self, unix_s};
use crate::waiting::Waiting;

#[derive(Serialize)]
struct State<'s> {
    strategy: &'static str,
    /// Requests that wait for their turn.
    waiting: u64,
    deployments: Vec<Line<'s>>,
    budgets: Vec<BudgetLine<'s>>,
}

/// One deployment.
#[derive(Serialize)]
struct Line<'s> {
    id: &'s str,
    /// The name for people: the id if the config gives one.
    name: &'s str,
    model_group: &'s str,
    model: &'s str,
    api_base: &'s str,
    /// `ready`, `cooldown`, `trial`, `reopening` (requests are let in few at a time), `unhealthy`, `over_budget`,
    /// `reserved`, `disabled`, `paused` or `misconfigured`.
    state: &'static str,
    cause: Option<&'static str>,
    hint: Option<&'s str>,
    /// Why it cannot serve, if the config or its row is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<&'s str>,
    /// Seconds since 1970.
    since: Option<u64>,
    until: Option<u64>,
    retry_after_s: Option<u64>,
    provider_issued: bool,
    last_status: Option<u16>,
    last_errors: Vec<PastError>,
    failures_in_a_row: u32,
    opens: u64,
    opens_in_a_row: u32,
    in_flight: u32,
    /// Requests that wait for their turn at it.
    waiting: u32,
    /// While it reopens: attempts that may be undecided at once, and requests a second that are let in, if that was
    /// learned.
    allowed_at_once: Option<u32>,
    let_in_per_second: Option<f64>,
    requests_this_minute: u64,
    tokens_this_minute: u64,
    weight: f64,
    order: Option<u32>,
    /// Its part of its full share, below 1 for a while after a cooldown.
    ramp: f64,
    expected_first_content_ms: Option<f32>,
    expected_answer_ms: Option<f32>,
    failure_penalty_ms: f32,
    successes: u64,
    failures: BTreeMap<&'static str, u64>,
    check: Check,
    /// What it said that it lacks.
    lacks: Vec<LackLine>,
    /// What its provider refused to be told, by the model's name; the name is empty if there is only one.
    learned: BTreeMap<Box<str>, Vec<String>>,
    /// The last changes of its state and of its credential's, the newest last.
    changes: Vec<Change>,
}

/// One thing that a deployment said that it lacks.
#[derive(Serialize)]
struct LackLine {
    /// The path of an operation, or the `model_info` key of a capability.
    what: &'static str,
    /// The model, if the deployment stands for many.
    model: Option<Box<str>>,
    /// Until when it is believed, seconds since 1970.
    until: u64,
}

/// What health checks say.
#[derive(Serialize)]
struct Check {
    status: &'static str,
    cause: Option<&'static str>,
    /// `check`, or `traffic` where a good answer to traffic is the newest evidence.
    source: &'static str,
    checked_at: Option<u64>,
    failures_in_a_row: u32,
    token_floor: Option<u32>,
    changes: Vec<Change>,
}

#[derive(Serialize)]
struct Change {
    from: &'static str,
    to: &'static str,
    cause: Option<&'static str>,
    source: &'static str,
    at: u64,
}

#[derive(Serialize)]
struct PastError {
    at: u64,
    cause: &'static str,
    status: Option<u16>,
}

/// `GET /router/state`.
pub(crate) fn state(request: &PageRequest<'_>) -> Response<Reply> {
    let snapshot = &request.arrival.serving.snapshot;
    let now = clock::now().millis();
    let waiting = &request.arrival.worker.process.waiting;
    let deployments = snapshot.deployments.iter();
    page(&State {
        strategy: snapshot.router.strategy.name(),
        waiting: waiting.count(),
        deployments: deployments.map(|one| line(snapshot, one, waiting, now)).collect(),
        budgets: budgets::lines(&snapshot.budgets, now),
    })
}

fn lack(lacked: Lacked, now: Millis) -> LackLine {
    let what = match lacked.lack {
        Lack::Operation(operation) => operation.upstream_path(),
        Lack::Need(need) => need.key(),
    };
    let until = clock::unix_ms().saturating_add(lacked.until.since(now)) / 1000;
    LackLine { what, model: Some(lacked.model).filter(|model| !model.is_empty()), until }
}

fn line<'s>(
    snapshot: &'s Snapshot,
    deployment: &'s Deployment,
    waiting: &Waiting,
    now: Millis,
) -> Line<'s> {
    let state = &deployment.state;
    let report = state.report();
    let ttl_ms = snapshot.router.strategy.args.ttl_ms;
    let (name, cooldown) = state_of(snapshot, deployment, now);
    let failures = Cause::ALL.into_iter().map(|cause| (cause.name(), state.failures(cause)));
    let learned = state.learned().all().into_iter();
    let past = |&(at, cause, status): &(Millis, Cause, Option<u16>)| PastError {
        at: unix_s(at, now),
        cause: cause.name(),
        status,
    };
    Line {
        id: &deployment.id,
        name: &deployment.display.name,
        model_group: &snapshot.group(deployment.group).name,
        model: &deployment.endpoint.model_param,
        api_base: &deployment.endpoint.api_base,
        state: name,
        cause: cooldown.map(|cooldown| cooldown.cause.name()),
        hint: deployment.misconfigured.as_ref().map(|why| &*why.hint),
        problem: deployment.misconfigured.as_ref().map(|why| &*why.problem),
        since: cooldown.and(deployment.cooling_since(now)).map(|since| unix_s(since, now)),
        until: cooldown
            .map(|cooldown| clock::unix_ms() / 1000 + cooldown.until.since(now).div_ceil(1000)),
        retry_after_s: cooldown.map(|cooldown| cooldown.until.since(now).div_ceil(1000)),
        provider_issued: cooldown.is_some_and(|cooldown| cooldown.provider_issued),
        last_status: state.last_status(),
        last_errors: report.errors.iter().map(past).collect(),
        failures_in_a_row: report.failures_in_a_row,
        opens: state.opens(),
        opens_in_a_row: report.opens_in_a_row,
        in_flight: state.in_flight(),
        waiting: waiting.at(deployment),
        allowed_at_once: deployment.allowed_at_once(),
        let_in_per_second: deployment.learned_rate(now),
        requests_this_minute: state.rates().requests(now),
        tokens_this_minute: state.rates().tokens(now),
        weight: deployment.routing.weight,
        order: deployment.routing.order,
        ramp: state.ramp(now),
        expected_first_content_ms: state.expected_ms(now, AnswerMode::Streamed, ttl_ms),
        expected_answer_ms: state.expected_ms(now, AnswerMode::Whole, ttl_ms),
        failure_penalty_ms: state.penalty_ms(now),
        successes: state.successes(),
        failures: failures.filter(|(_, count)| *count > 0).collect(),
        check: check(snapshot, deployment, now),
        lacks: state.lacking(now).into_iter().map(|one| lack(one, now)).collect(),
        learned: learned.map(|(model, known)| (model, known.words())).collect(),
        changes: deployment.events().iter().map(|event| change(event, now)).collect(),
    }
}

fn change(event: &HealthEvent, now: Millis) -> Change {
    Change {
        from: event.from.name(),
        to: event.to.name(),
        cause: event.cause,
        source: event.source.name(),
        at: unix_s(event.at, now),
    }
}

/// The name of a deployment's state, and its cooldown if it has one.
pub(super) fn state_of(
    snapshot: &Snapshot,
    deployment: &Deployment,
    now: Millis,
) -> (&'static str, Option<Cooldown>) {
    match deployment.verdict(now) {
        _ if deployment.misconfigured.is_some() => ("misconfigured", None),
        _ if deployment.routing.is_paused => ("paused", None),
        _ if deployment.state.is_disabled() => ("disabled", None),
        _ if windows::reserved(&deployment.routing.windows, clock::unix_ms()).is_some() => {
            ("reserved", None)
        }
        Verdict::Ready | Verdict::Reopening if is_kept_away(snapshot, deployment, now) => {
            ("unhealthy", None)
        }
        Verdict::Ready | Verdict::Reopening
            if snapshot.budgets.exhausted(&deployment.routing.budgets, now).is_some() =>
        {
            ("over_budget", None)
        }
        // Where requests wait for slots only, none is held back otherwise.
        Verdict::Reopening if deployment.allowed_at_once().is_some() => ("reopening", None),
        Verdict::Ready | Verdict::Reopening => ("ready", None),
        Verdict::Cooling(cooldown) => ("cooldown", Some(cooldown)),
        Verdict::HalfOpen(cooldown) => ("trial", Some(cooldown)),
    }
}

/// Whether failed probes keep traffic from it.
pub(super) fn is_kept_away(snapshot: &Snapshot, deployment: &Deployment, now: Millis) -> bool {
    let checks = &snapshot.probing;
    checks.routes() && deployment.state.probes().unhealthy(now, checks.staleness_ms()).is_some()
}

fn check(snapshot: &Snapshot, deployment: &Deployment, now: Millis) -> Check {
    let source = |by_traffic| if by_traffic { "traffic" } else { "check" };
    let checks = deployment.state.probes();
    let history = checks.history(now, snapshot.probing.staleness_ms());
    let events = deployment.state.events();
    let events = events.iter().filter(|event| event.part == HealthPart::Probes);
    Check {
        status: history.status.name(),
        cause: history.status.cause(),
        source: source(history.by_traffic),
        checked_at: history.proved_at.map(|at| unix_s(at, now)),
        failures_in_a_row: history.failures_in_a_row,
        token_floor: checks.token_floor(),
        changes: events.map(|event| change(event, now)).collect(),
    }
}

/// `POST /router/deployments/{id}/reset`.
pub(crate) fn reset(request: &PageRequest<'_>) -> Response<Reply> {
    act(request, OperatorAction::Reset)
}

/// `POST /router/deployments/{id}/disable`.
pub(crate) fn disable(request: &PageRequest<'_>) -> Response<Reply> {
    act(request, OperatorAction::Disable)
}

/// `POST /router/deployments/{id}/enable`.
pub(crate) fn enable(request: &PageRequest<'_>) -> Response<Reply> {
    act(request, OperatorAction::Enable)
}

/// Does what the operator wants, and answers with the deployment afterwards.
fn act(request: &PageRequest<'_>, action: OperatorAction) -> Response<Reply> {
    let (snapshot, id) = (&request.arrival.serving.snapshot, request.name.unwrap_or_default());
    let Some(&index) = snapshot.by_id.get(id) else {
        return refusal::no_such_deployment(id).into_response(WireFormat::OpenAi);
    };
    let deployment = snapshot.deployment(index);
    let now = clock::now().millis();
    let changes = deployment.apply(now, &Evidence::Operator(action));
    events::publish(What::Operator { deployment: deployment.id.clone(), action });
    events::health_changed(&deployment.id, changes);
    let waiting = &request.arrival.worker.process.waiting;
    waiting.look_again();
    page(&line(snapshot, deployment, waiting, now))
}

#[derive(Serialize)]
struct Preview<'p> {
    model: &'p str,
    strategy: &'static str,
    deadline_s: Option<f64>,
    worst_case_s: f64,
    /// Seconds that it would wait for its turn, as far as that is known, if nothing could be tried at once.
    waits_s: Option<f64>,
    groups: Vec<Group<'p>>,
    /// Whether a broken stream is continued: `text`, `replay` or `off`.
    rescue: &'static str,
    /// Where the first group's requests go that are too long for it.
    context_window_fallbacks: &'p [Box<str>],
    /// Where they go when a provider's policy refuses them.
    content_policy_fallbacks: &'p [Box<str>],
}

#[derive(Serialize)]
struct Group<'p> {
    model_group: &'p str,
    attempts: u32,
    affinity: Affinity<'p>,
    candidates: Vec<Member<'p>>,
}

#[derive(Serialize)]
struct Affinity<'p> {
    on: bool,
    why: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    named_by: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    home: Option<&'p str>,
}

#[derive(Serialize)]
struct Member<'p> {
    deployment: &'p str,
    name: &'p str,
    /// `ready`, `reopening`, `trial`, or the state that excludes it.
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_s: Option<u64>,
    in_safety_net: bool,
    order: Option<u32>,
    /// What the strategy compares; less is better.
    score: f64,
    timeout_s: f64,
    silence_s: f64,
    /// Whether it could continue a stream that broke elsewhere.
    continues_streams: bool,
}

/// `POST /router/explain`: what would become of a request for `model`.
///
/// # Errors
/// The nearest names, when it leads nowhere.
pub(super) fn preview(
    snapshot: &Snapshot,
    waiting: &Waiting,
    model: &str,
    controls: Controls,
) -> Result<Response<Reply>, Vec<Box<str>>> {
    let now = clock::now().millis();
    let Explanation {
        groups,
        context_window_fallbacks,
        content_policy_fallbacks,
        deadline_ms,
        worst_case_ms,
        wait,
    } = explain(snapshot, model, controls, now)?;
    let shown = groups.iter().map(|group| Group {
        model_group: &group.name,
        attempts: group.attempts,
        affinity: Affinity {
            on: group.affinity == GroupAffinity::On,
            why: group.affinity.why(),
            named_by: group.home.map(|(by, _)| by.name()),
            home: group.home.map(|(_, home)| &*snapshot.deployment(home).id),
        },
        candidates: group
            .candidates
            .iter()
            .map(|one| member(snapshot, &group.name, one, now))
            .collect(),
    });
    Ok(page(&Preview {
        model,
        strategy: snapshot.router.strategy.name(),
        deadline_s: deadline_ms.map(seconds),
        worst_case_s: seconds(worst_case_ms),
        waits_s: wait.map(|wait| seconds(waiting.turn_at(&wait.ways, now).since(now))),
        groups: shown.collect(),
        rescue: snapshot.router.rescue.name(),
        context_window_fallbacks: &context_window_fallbacks,
        content_policy_fallbacks: &content_policy_fallbacks,
    }))
}

fn member<'p>(snapshot: &'p Snapshot, group: &str, one: &Candidate, now: Millis) -> Member<'p> {
    let deployment = snapshot.deployment(one.deployment);
    let mut member = Member {
        deployment: &deployment.id,
        name: &deployment.display.name,
        state: "ready",
        cause: None,
        hint: None,
        retry_after_s: None,
        in_safety_net: one.in_net,
        order: deployment.routing.order,
        score: if one.score.is_finite() { one.score } else { f64::MAX },
        timeout_s: seconds(one.timeout_ms),
        silence_s: seconds(one.silence_ms),
        continues_streams: one.continues,
    };
    match one.fit {
        Ok(Fit::Ready) => {}
        Ok(Fit::Reopening) => member.state = "reopening",
        Ok(Fit::HalfOpen) => member.state = "trial",
        Err(why) => {
            let excluded = Excluded { deployment: one.deployment, why };
            let line = explain::line(snapshot, group, &excluded, now);
            member.state = line.state;
            member.cause = Some(line.cause);
            member.hint = Some(line.hint);
            member.retry_after_s = line.retry_after_s;
        }
    }
    member
}

#[allow(clippy::cast_precision_loss, reason = "times are far below 2^52 ms")]
fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}

fn page(content: &impl Serialize) -> Response<Reply> {
    reply::json(StatusCode::OK, serde_json::to_vec(content).unwrap_or_default())
}
