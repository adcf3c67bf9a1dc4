//! `GET /health`: every deployment exactly once, with what is known about it.
//!
//! Called by the pipeline. Always true: with background checks nobody is called; without, one round is made
//! and its result shown, whole or in part; errors are one line, and no secret, header or trace is in them.

use std::sync::Arc;

use hale_core::cause::Cause;
use hale_core::deployment::{Deployment, DeploymentIndex};
use hale_core::health::check::{Checked, Doubt, Finding, History, Status, unserved};
use hale_core::health::{Rest, Verdict};
use hale_core::snapshot::Snapshot;
use hale_core::time::Millis;
use http::{Response, StatusCode};
use serde_json::{Map, Value, json};

use super::thread::is_left_out;
use crate::clock;
use crate::pages::parameter;
use crate::proxy::Arrival;
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

/// What is known about one deployment.
struct Known {
    standing: Standing,
    status: &'static str,
    cause: Option<&'static str>,
    /// The cause in the vocabulary of causes, where it is one.
    failure: Option<Cause>,
    checked_at: Option<Millis>,
    by_traffic: bool,
    last: Option<Arc<Checked>>,
    next_at: Option<Millis>,
    retry_after_s: Option<u64>,
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
    let wish = (parameter(query, "model_id"), parameter(query, "model"));
    let targets = match targets(&serving.snapshot, &wish) {
        Ok(targets) => targets,
        Err(error) => {
            let mut page = lists(serving, std::iter::empty());
            page.insert("error".to_owned(), json!(error));
            return respond(StatusCode::NOT_FOUND, &page);
        }
    };
    let targeted = wish.0.is_some() || wish.1.is_some();
    let checks = &serving.snapshot.checks;
    let page = if checks.background {
        let now = clock::now().millis();
        lists(serving, targets.into_iter().map(|one| (one, in_background(serving, one, now))))
    } else {
        let due = |index: &&DeploymentIndex| left_out(serving, **index).is_none();
        let due: Vec<_> = targets.iter().filter(due).copied().collect();
        let round = arrival.worker.process.health.round(serving, due).await;
        let now = clock::now().millis();
        let found = |index: DeploymentIndex| {
            let mut round = round.iter().flat_map(|round| round.iter());
            round.find(|(one, _)| *one == index).and_then(|(_, checked)| checked.clone())
        };
        lists(
            serving,
            targets.into_iter().map(|one| (one, on_demand(serving, one, found(one), now))),
        )
    };
    let nobody = page.get("healthy_count") == Some(&json!(0));
    let status = if targeted && nobody { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    respond(status, &page)
}

fn respond(status: StatusCode, page: &Map<String, Value>) -> Response<Reply> {
    reply::json(status, serde_json::to_vec(page).unwrap_or_default())
}

/// Who is asked about.
fn targets(
    snapshot: &Snapshot,
    (id, name): &(Option<Box<str>>, Option<Box<str>>),
) -> Result<Vec<DeploymentIndex>, String> {
    if let Some(id) = id {
        let found = snapshot.by_id.get(&**id);
        return found
            .map(|index| vec![*index])
            .ok_or_else(|| format!("Model with ID {id} not found"));
    }
    let all = snapshot.deployments.iter();
    let Some(name) = name else { return Ok(all.map(|one| one.index).collect()) };
    let mut group = snapshot.by_name.get(name);
    if group.is_none()
        && let Some(alias) = snapshot.router.aliases.get(name)
    {
        group = snapshot.by_name.get(&alias.target);
    }
    let found: Vec<_> = match group {
        Some(group) => snapshot.group(*group).members.clone(),
        None => all.filter(|one| one.model_param == *name).map(|one| one.index).collect(),
    };
    if found.is_empty() {
        let near = hale_core::route::nearest_names(snapshot, name);
        let hint = near.first().map_or(String::new(), |near| format!("; did you mean {near}?"));
        return Err(format!("Model {name} not found{hint}"));
    }
    Ok(found)
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
    if status == Status::Unchecked
        && let Some(last) = &last
    {
        let stale = proved_at.is_some() && failures_in_a_row == 0;
        known.cause = if stale { Some("stale") } else { doubt_of(last) };
        known.failure = last.cause.filter(|_| !stale);
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
    checked: Option<Arc<Checked>>,
    now: Millis,
) -> Known {
    if let Some(known) = left_out(serving, index) {
        return known;
    }
    let deployment = serving.snapshot.deployment(index);
    let Some(checked) = checked else {
        return Known::of(Standing::Unchecked, "unchecked", Some("not_reached"));
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
    known: impl Iterator<Item = (DeploymentIndex, Known)>,
) -> Map<String, Value> {
    let (mut healthy, mut unhealthy, mut unchecked) = (Vec::new(), Vec::new(), Vec::new());
    let now = clock::now().millis();
    for (index, known) in known {
        let entry = Value::Object(entry(serving, index, &known, now));
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
    if !serving.snapshot.gateway.health_details {
        return entry;
    }
    set("api_base", json!(&*deployment.api_base));
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
    if let Some(version) = deployment.azure.as_ref().and_then(|azure| azure.api_version.as_ref()) {
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
        set("error", json!(error_text(deployment, known)));
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

/// The status that the reference would give: the upstream's, 408 for a timeout, else 500.
fn status_of(known: &Known) -> u16 {
    match known.failure {
        Some(Cause::Timeout) => 408,
        _ => known.last.as_ref().and_then(|last| last.status).unwrap_or(500),
    }
}

/// The class that clients of the reference know, and what was said.
fn error_text(deployment: &Deployment, known: &Known) -> String {
    if let Some(why) = &deployment.misconfigured {
        return format!("Misconfigured: {}", why.problem);
    }
    let Some(cause) = known.failure else { return String::new() };
    let class = match cause {
        // Word for word what the reference says.
        Cause::Timeout => return "Timeout exceeded".to_owned(),
        Cause::Auth => "AuthenticationError",
        Cause::Permission => "PermissionDeniedError",
        Cause::NotFound => "NotFoundError",
        Cause::RateLimited | Cause::Quota => "RateLimitError",
        Cause::Overloaded => "ServiceUnavailableError",
        Cause::ServerError => "InternalServerError",
        Cause::Connect | Cause::Dns | Cause::Tls => "APIConnectionError: Connection error.",
        Cause::StreamCut | Cause::StreamStall | Cause::BadResponse => "APIError",
        Cause::BadRequest
        | Cause::Unsupported
        | Cause::ContextWindow
        | Cause::ContentPolicy
        | Cause::ClientTimeout
        | Cause::ClientClosed => "BadRequestError",
        Cause::Misconfigured | Cause::Gateway => "Error",
    };
    match known.last.as_ref().map(|last| &*last.message).filter(|text| !text.is_empty()) {
        Some(text) => format!("{class}: {text}"),
        None if known.by_traffic => format!("{class}: real requests fail ({})", cause.name()),
        None => class.to_owned(),
    }
}

/// What to do about it.
fn hint(deployment: &Deployment, known: &Known) -> Option<String> {
    if let Some(why) = &deployment.misconfigured {
        return Some(why.hint.to_string());
    }
    let id = &deployment.id;
    let text = match (known.cause?, known.failure) {
        ("not_reached", _) => "there was no time or place for this check; ask for it alone with \
                               ?model_id=, or turn on background_health_checks"
            .to_owned(),
        ("wrong_mode", _) => {
            "the model does something else than was asked; set model_info.mode".to_owned()
        }
        ("probe_error", _) => {
            "the provider refuses the check, which says nothing about the deployment; see \
                               health_check_params, health_check_max_tokens and model_info.mode"
                .to_owned()
        }
        ("not_found", None) => {
            "set model_info.health_check_model to a model that the account has".to_owned()
        }
        ("mode_not_served", _) => {
            format!("{}; only the list of models was looked at", unserved(deployment))
        }
        ("reachable", None) => "it can be reached; whether it generates was not asked".to_owned(),
        ("stale", _) => {
            "the last verdict is older than health_check_staleness_threshold".to_owned()
        }
        (_, Some(cause)) => match cause {
            Cause::Auth => {
                let variable = deployment.provider.api_key_env.first();
                let or = variable.map_or(String::new(), |name| format!(" or {name}"));
                format!("the provider refuses the credential: check api_key of {id}{or}")
            }
            Cause::Permission => format!("the credential of {id} may not use this model or region"),
            Cause::NotFound => {
                format!("the provider does not know the model: check litellm_params.model of {id}")
            }
            Cause::RateLimited => "the provider wants to be left alone for a while".to_owned(),
            Cause::Quota => "the account has no money or allowance left".to_owned(),
            Cause::Overloaded | Cause::ServerError => {
                "the provider fails; it is checked again by itself".to_owned()
            }
            Cause::Timeout | Cause::StreamStall => {
                "it is silent: raise health_check_timeout if it is only slow".to_owned()
            }
            Cause::Connect => format!("nothing accepts connections: check api_base of {id}"),
            Cause::Dns => format!("the host name does not resolve: check api_base of {id}"),
            Cause::Tls => {
                format!("the TLS handshake fails: check api_base and the certificate of {id}")
            }
            Cause::StreamCut | Cause::BadResponse => {
                format!(
                    "the answer is not what the provider promises: check api_base and mode of {id}"
                )
            }
            Cause::Misconfigured
            | Cause::BadRequest
            | Cause::Unsupported
            | Cause::ContextWindow
            | Cause::ContentPolicy
            | Cause::ClientTimeout
            | Cause::ClientClosed
            | Cause::Gateway => return None,
        },
        _ => return None,
    };
    Some(text)
}
