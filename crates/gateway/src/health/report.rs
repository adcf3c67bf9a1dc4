//! `GET /health`: every deployment exactly once, with what is known about it.
//!
//! Called by the pipeline. Always true: with background checks nobody is called; without, one round is made
//! and its result shown, whole or in part; errors are one line, and no secret, header or trace is in them.

use std::collections::HashMap;
use std::sync::Arc;

use hale_core::cause::Cause;
use hale_core::deployment::{Deployment, DeploymentIndex};
use hale_core::health::check::{Checked, Doubt, Finding, History, Status};
use hale_core::health::{Rest, Verdict};
use hale_core::time::Millis;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use serde_json::{Map, Value, json};

use super::Answer;
use super::targets::targets;
use super::thread::is_left_out;
use super::words::{error_text, hint, status_of};
use crate::clock;
use crate::pages::parameter;
use crate::proxy::Arrival;
use crate::proxy::access::Access;
use crate::proxy::explain::unix_s;
use crate::proxy::reply::{self, Reply};
use crate::state::Serving;

/// Which of the lists an entry is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Healthy,
    Unhealthy,
    Unchecked,
}

/// What of it the caller may see.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sees {
    /// More than models and ids: `health_check_details`.
    pub(super) details: bool,
    /// Where upstreams are. For the master key only. Source: the contract, section 6.
    pub(super) addresses: bool,
}

/// Says what was left out. Source: the reference.
const NOTICE: (HeaderName, HeaderValue) = (
    HeaderName::from_static("litellm-health-field-notice"),
    HeaderValue::from_static("api_base,api_version are admin-only on this endpoint"),
);

/// What is known about one deployment.
pub(super) struct Known {
    pub(super) standing: Standing,
    pub(super) status: &'static str,
    pub(super) cause: Option<&'static str>,
    /// The cause in the vocabulary of causes, where it is one.
    pub(super) failure: Option<Cause>,
    pub(super) checked_at: Option<Millis>,
    pub(super) by_traffic: bool,
    pub(super) last: Option<Arc<Checked>>,
    pub(super) next_at: Option<Millis>,
    pub(super) retry_after_s: Option<u64>,
}

impl Known {
    fn of(standing: Standing, status: &'static str, cause: Option<&'static str>) -> Known {
        Known {
            standing,
            status,
            cause,
            failure: None,
            checked_at: None,
            by_traffic: false,
            last: None,
            next_at: None,
            retry_after_s: None,
        }
    }
}

/// The page.
pub(super) async fn page(arrival: &Arrival, query: Option<&str>) -> Response<Reply> {
    let serving = &arrival.serving;
    let sees = Sees {
        details: serving.snapshot.gateway.health_details,
        addresses: arrival.access == Access::Admin,
    };
    let wish = (parameter(query, "model_id"), parameter(query, "model"));
    let targets = match targets(&serving.snapshot, &wish) {
        Ok(targets) => targets,
        Err(error) => {
            let mut page = lists(serving, sees, std::iter::empty());
            page.insert("error".to_owned(), json!(error));
            return respond(StatusCode::NOT_FOUND, sees, &page);
        }
    };
    let targeted = wish.0.is_some() || wish.1.is_some();
    let checks = &serving.snapshot.checks;
    let page = if checks.background {
        let now = clock::now().millis();
        let known = |one| (one, in_background(serving, one, now));
        lists(serving, sees, targets.into_iter().map(known))
    } else {
        let due = |index: &&DeploymentIndex| left_out(serving, **index).is_none();
        let due: Vec<_> = targets.iter().filter(due).copied().collect();
        let round = arrival.worker.process.health.round(serving, due).await;
        let now = clock::now().millis();
        let answers: HashMap<_, _> =
            round.iter().flat_map(|round| round.iter()).map(|(one, it)| (*one, it)).collect();
        let answer = |one: &DeploymentIndex| answers.get(one).copied();
        let known = |one| (one, on_demand(serving, one, answer(&one), now));
        lists(serving, sees, targets.into_iter().map(known))
    };
    let nobody = page.get("healthy_count") == Some(&json!(0));
    let status = if targeted && nobody { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    respond(status, sees, &page)
}

fn respond(status: StatusCode, sees: Sees, page: &Map<String, Value>) -> Response<Reply> {
    let mut response = reply::json(status, serde_json::to_vec(page).unwrap_or_default());
    if sees.details && !sees.addresses {
        response.headers_mut().insert(NOTICE.0, NOTICE.1);
    }
    response
}

/// Why it is not asked, where it is not.
fn left_out(serving: &Serving, index: DeploymentIndex) -> Option<Known> {
    let deployment = serving.snapshot.deployment(index);
    let settings = &serving.snapshot.checks;
    if deployment.misconfigured.is_some() {
        return Some(Known {
            failure: Some(Cause::Misconfigured),
            ..Known::of(Standing::Unhealthy, "misconfigured", Some(Cause::Misconfigured.name()))
        });
    }
    let opted_out = deployment.check.opts_out && (settings.background || settings.skips_disabled);
    let why = if deployment.state.is_disabled() {
        Some("disabled_by_operator")
    } else if deployment.is_paused {
        Some("paused")
    } else if opted_out {
        Some("disabled")
    } else if settings.background && is_left_out(serving, deployment) {
        Some("not_in_background_health_check_model_groups")
    } else {
        None
    };
    why.map(|why| Known::of(Standing::Unchecked, "disabled", Some(why)))
}

/// What is known without asking anybody.
fn in_background(serving: &Serving, index: DeploymentIndex, now: Millis) -> Known {
    if let Some(known) = left_out(serving, index) {
        return known;
    }
    let deployment = serving.snapshot.deployment(index);
    let staleness_ms = serving.snapshot.checks.staleness_ms();
    let history = deployment.state.checks().history(now, staleness_ms);
    let History { status, proved_at, by_traffic, failures_in_a_row, last, next_at, .. } = history;
    let mut known = from_status(deployment, status);
    known.checked_at = proved_at.or(last.as_ref().map(|last| last.ended));
    known.by_traffic = by_traffic;
    known.next_at = next_at;
    if status == Status::Unchecked {
        let stale = proved_at.is_some() && failures_in_a_row == 0;
        known.cause = if stale { Some("stale") } else { last.as_deref().and_then(doubt_of) };
        known.failure = last.as_ref().and_then(|last| last.cause).filter(|_| !stale);
    }
    if let (Status::RateLimited, Some(last)) = (status, &last)
        && let Finding::RateLimited(Some(ms)) = last.finding
    {
        known.retry_after_s = Some(last.ended.plus(ms).since(now).div_ceil(1000));
    }
    known.last = last.filter(|_| !by_traffic);
    // What traffic met outranks what a check saw.
    match deployment.verdict(now) {
        Verdict::Ready => known,
        Verdict::Cooling(rest) | Verdict::Trial(rest) => resting(known, deployment, &rest, now),
    }
}

fn resting(known: Known, deployment: &Deployment, rest: &Rest, now: Millis) -> Known {
    let limited = rest.cause == Cause::RateLimited;
    let standing = if limited { Standing::Healthy } else { Standing::Unhealthy };
    let last = known.last.filter(|last| last.cause == Some(rest.cause));
    Known {
        failure: Some(rest.cause),
        checked_at: deployment.resting_since(now),
        by_traffic: true,
        last,
        next_at: known.next_at,
        retry_after_s: Some(rest.until.since(now).div_ceil(1000)),
        ..Known::of(
            standing,
            if limited { "rate_limited" } else { "unhealthy" },
            Some(rest.cause.name()),
        )
    }
}

/// What a round showed.
fn on_demand(
    serving: &Serving,
    index: DeploymentIndex,
    answer: Option<&Answer>,
    now: Millis,
) -> Known {
    if let Some(known) = left_out(serving, index) {
        return known;
    }
    let deployment = serving.snapshot.deployment(index);
    let checked = match answer {
        Some(Answer::Checked(checked)) => checked.clone(),
        Some(Answer::LeftAlone(until)) => return left_alone(deployment, *until, now),
        Some(Answer::NotReached) | None => {
            return Known::of(Standing::Unchecked, "unchecked", Some("not_reached"));
        }
    };
    let status = match checked.finding {
        Finding::Healthy => Status::Healthy,
        Finding::RateLimited(_) => Status::RateLimited,
        Finding::Failing(cause) => Status::Unhealthy(cause),
        Finding::Unknown(doubt) => Status::Unknown(doubt),
        Finding::ProbeError => Status::Unchecked,
    };
    let mut known = from_status(deployment, status);
    if status == Status::Unchecked {
        known.cause = doubt_of(&checked);
        known.failure = checked.cause;
    }
    if let Finding::RateLimited(Some(ms)) = checked.finding {
        known.retry_after_s = Some(checked.ended.plus(ms).since(now).div_ceil(1000));
    }
    known.checked_at = Some(checked.ended);
    known.last = Some(checked);
    known
}

/// Nobody was asked, because the provider wants that: its own refusal shows that it answers, that of
/// another deployment with the same credential shows nothing.
fn left_alone(deployment: &Deployment, until: Millis, now: Millis) -> Known {
    let last = deployment.state.checks().last();
    let last = last.filter(|last| matches!(last.finding, Finding::RateLimited(_)));
    let mut known = match &last {
        Some(_) => from_status(deployment, Status::RateLimited),
        None => Known::of(Standing::Unchecked, "unchecked", Some(Cause::RateLimited.name())),
    };
    known.failure = Some(Cause::RateLimited);
    known.retry_after_s = Some(until.since(now).div_ceil(1000));
    known.checked_at = last.as_ref().map(|last| last.ended);
    known.last = last;
    known
}

/// Why a check that ended is no verdict.
fn doubt_of(last: &Checked) -> Option<&'static str> {
    match last.finding {
        Finding::ProbeError => Some("probe_error"),
        Finding::Failing(cause) => Some(cause.name()),
        Finding::Healthy | Finding::RateLimited(_) | Finding::Unknown(_) => None,
    }
}

fn from_status(deployment: &Deployment, status: Status) -> Known {
    let standing = match status {
        Status::Healthy | Status::RateLimited => Standing::Healthy,
        Status::Unhealthy(_) => Standing::Unhealthy,
        // The operator wants no more to be known.
        Status::Unknown(Doubt::Shallow) if deployment.check.metadata => Standing::Healthy,
        Status::Unchecked | Status::Unknown(_) => Standing::Unchecked,
    };
    let failure = match status {
        Status::Unhealthy(cause) => Some(cause),
        Status::RateLimited => Some(Cause::RateLimited),
        Status::Unchecked | Status::Healthy | Status::Unknown(_) => None,
    };
    Known { failure, ..Known::of(standing, status.name(), status.cause()) }
}

/// What is known about the deployment at `index` without asking anybody.
pub(crate) fn standing(serving: &Serving, index: DeploymentIndex, now: Millis) -> Standing {
    in_background(serving, index, now).standing
}

fn lists(
    serving: &Serving,
    sees: Sees,
    known: impl Iterator<Item = (DeploymentIndex, Known)>,
) -> Map<String, Value> {
    let (mut healthy, mut unhealthy, mut unchecked) = (Vec::new(), Vec::new(), Vec::new());
    let now = clock::now().millis();
    for (index, known) in known {
        let entry = Value::Object(entry(serving, sees, index, &known, now));
        match known.standing {
            Standing::Healthy => healthy.push(entry),
            Standing::Unhealthy => unhealthy.push(entry),
            Standing::Unchecked => unchecked.push(entry),
        }
    }
    let counts = [
        ("healthy_count", healthy.len()),
        ("unhealthy_count", unhealthy.len()),
        ("unchecked_count", unchecked.len()),
    ];
    let mut page = Map::new();
    page.insert("healthy_endpoints".to_owned(), Value::Array(healthy));
    page.insert("unhealthy_endpoints".to_owned(), Value::Array(unhealthy));
    page.extend(counts.map(|(name, count)| (name.to_owned(), json!(count))));
    page.insert("unchecked_endpoints".to_owned(), Value::Array(unchecked));
    page
}

fn entry(
    serving: &Serving,
    sees: Sees,
    index: DeploymentIndex,
    known: &Known,
    now: Millis,
) -> Map<String, Value> {
    let deployment = serving.snapshot.deployment(index);
    let mut entry = Map::new();
    let mut set = |name: &str, value: Value| entry.insert(name.to_owned(), value);
    let last = known.last.as_deref();
    set("model", json!(model_name(deployment, last)));
    set("model_id", json!(&*deployment.id));
    let failed = known.standing == Standing::Unhealthy;
    if failed {
        set("exception_status", json!(status_of(known)));
    }
    if !sees.details {
        return entry;
    }
    if sees.addresses {
        set("api_base", json!(&*deployment.api_base));
    }
    set("custom_llm_provider", json!(&*deployment.provider.name));
    set("model_name", json!(&*serving.snapshot.group(deployment.group).name));
    set("status", json!(known.status));
    set("source", json!(if known.by_traffic { "traffic" } else { "check" }));
    set("checked_at", json!(known.checked_at.map(|at| unix_s(at, now))));
    set("latency_ms", json!(last.map(|last| last.ended.since(last.started))));
    set("cause", json!(known.cause));
    set(
        "next_check_at",
        json!(known.next_at.map(|at| unix_s(now, now) + at.since(now).div_ceil(1000))),
    );
    if let Some(mode) = &deployment.facts.mode {
        set("mode", json!(&**mode));
    }
    let version = deployment.azure.as_ref().and_then(|azure| azure.api_version.as_ref());
    if let Some(version) = version.filter(|_| sees.addresses) {
        set("api_version", json!(&**version));
    }
    for (name, limit) in [("tpm", deployment.limits.tpm), ("rpm", deployment.limits.rpm)] {
        if let Some(limit) = limit {
            set(name, json!(limit));
        }
    }
    if let Some(seconds) = known.retry_after_s {
        set("retry_after_s", json!(seconds));
    }
    for (name, value) in last.map_or(&[][..], |last| &last.headers) {
        set(name, json!(&**value));
    }
    if let Some(hint) = hint(deployment, known) {
        set("hint", json!(hint));
    }
    if failed || known.failure.is_some() {
        set("error", json!(error_text(deployment, known, sees)));
    }
    entry
}

/// The model as it was asked for: of a pattern the one that stood for it.
fn model_name(deployment: &Deployment, last: Option<&Checked>) -> String {
    let written = &*deployment.model_param;
    let asked = last.map(|last| &*last.model).filter(|model| !model.is_empty());
    match asked {
        Some(model) if *model != *deployment.upstream_model => {
            let prefix = written.split_once('/').map_or(&*deployment.provider.name, |(it, _)| it);
            format!("{prefix}/{model}")
        }
        _ => written.to_owned(),
    }
}
