//! An excluded deployment and the reason, as refusals and pages show it.
//!
//! Called by [`mod@super::refused`] and by the pages about routing. Always true: it names no address and no
//! amount of money, because clients see it too.

use hale_core::cause::Cause;
use hale_core::deployment::Deployment;
use hale_core::health::{Cooldown, Full, Lack};
use hale_core::route::{Excluded, Exclusion, windows};
use hale_core::snapshot::Snapshot;
use hale_core::time::{Millis, rfc3339};
use hale_wire::errors::{DeploymentLine, clean};

use crate::http::refusal::LINE_MAX;
use crate::{advice, clock};

/// Why a deployment is excluded.
struct Reason {
    state: &'static str,
    cause: Cause,
    hint: String,
    /// Milliseconds until this may change, if known.
    wait_ms: Option<u64>,
}

/// The line about one excluded deployment.
pub(crate) fn line(
    snapshot: &Snapshot,
    group: &str,
    one: &Excluded,
    now: Millis,
) -> DeploymentLine {
    let deployment = snapshot.deployment(one.deployment);
    let Reason { state, cause, hint, wait_ms } = reason(snapshot, deployment, &one.why, now);
    let cools_down = matches!(one.why, Exclusion::Cooling(_) | Exclusion::HalfOpenUnderWay(_));
    let since = deployment.cooling_since(now).filter(|_| cools_down);
    DeploymentLine {
        id: deployment.id.to_string(),
        name: deployment.display.name.to_string(),
        model_group: group.to_owned(),
        state,
        cause: cause.name(),
        since: since.map(|since| unix_s(since, now)),
        retry_after_s: wait_ms.map(|ms| ms.div_ceil(1000).max(1)),
        last_status: deployment.state.last_status(),
        hint: clean(&hint, LINE_MAX),
    }
}

impl Reason {
    /// A reason that waiting does not change.
    fn lasting(state: &'static str, cause: Cause, hint: String) -> Reason {
        Reason { state, cause, hint, wait_ms: None }
    }

    /// A reason that is about this request; others may be sent there.
    fn of_request(cause: Cause, hint: String) -> Reason {
        Reason::lasting("not_for_this_request", cause, hint)
    }

    /// A limit of the config that keeps it from traffic for `wait_ms`.
    fn limit(state: &'static str, wait_ms: u64, hint: String) -> Reason {
        Reason { state, cause: Cause::Gateway, hint, wait_ms: Some(wait_ms) }
    }
}

fn reason(snapshot: &Snapshot, deployment: &Deployment, why: &Exclusion, now: Millis) -> Reason {
    let model = &deployment.endpoint.model_param;
    match why {
        Exclusion::Misconfigured => {
            let why = deployment.misconfigured.as_ref();
            let hint = why.map(|why| format!("{}: {}", why.problem, why.hint));
            Reason::lasting("misconfigured", Cause::Misconfigured, hint.unwrap_or_default())
        }
        Exclusion::Paused => {
            Reason::lasting("paused", Cause::Gateway, "`blocked` is set in the config".to_owned())
        }
        Exclusion::Disabled => {
            let hint = "an operator disabled it; POST /router/deployments/{id}/enable enables it";
            Reason::lasting("disabled", Cause::Gateway, hint.to_owned())
        }
        Exclusion::Reserved => reserved(deployment),
        Exclusion::Region => Reason::of_request(Cause::Gateway, region(deployment)),
        Exclusion::Tags => Reason::of_request(Cause::Gateway, "its tags do not match".to_owned()),
        Exclusion::Context { window, needed } => {
            let hint = format!("Model={model}, Max Input Tokens={window}, Got about {needed}");
            Reason::of_request(Cause::ContextWindow, hint)
        }
        Exclusion::TokensAMinute { limit, needed } => {
            let hint = format!("tpm={limit} is less than this request alone: about {needed}");
            Reason::of_request(Cause::ContextWindow, hint)
        }
        Exclusion::Operation(operation) => {
            Reason::of_request(Cause::BadRequest, deployment.lacks(*operation))
        }
        Exclusion::Capability(need) => {
            let hint = format!("{} is false for {model}", need.key());
            Reason::of_request(Cause::BadRequest, hint)
        }
        Exclusion::Lacking(lack) => {
            let what = match lack {
                Lack::Operation(operation) => format!("has no {}", operation.upstream_path()),
                Lack::Need(need) => format!("does not do what {} is about", need.key()),
            };
            let hint = format!("its server answered that {model} {what}; it is asked again later");
            Reason::of_request(Cause::BadRequest, hint)
        }
        Exclusion::Busy { limit } => {
            let hint = format!("max_parallel_requests={limit} are in flight; raise it or wait");
            Reason::limit("at_limit", 1, hint)
        }
        Exclusion::Budget { budget, ends_in_ms } => {
            let budget = snapshot.budgets.get(*budget);
            let until = rfc3339(clock::unix_ms().saturating_add(*ends_in_ms));
            let (of, name) = (budget.scope.name(), clean(&budget.name, 80));
            let hint = format!("the budget of {of} '{name}' is spent until {until}");
            Reason::limit("over_budget", *ends_in_ms, hint)
        }
        Exclusion::Rate(Full { of, limit, free_in_ms }) => {
            let left_s = free_in_ms.div_ceil(1000).max(1);
            let hint = format!("{of}={limit} is used up for {left_s} s");
            Reason::limit("at_limit", *free_in_ms, hint)
        }
        Exclusion::Unhealthy(cause) => {
            let hint = "its health probes fail; see GET /health".to_owned();
            Reason::lasting("unhealthy", *cause, hint)
        }
        Exclusion::Reopening => {
            let hint = "requests are let in one by one, and others come first".to_owned();
            Reason { state: "reopening", cause: Cause::RateLimited, hint, wait_ms: Some(1_000) }
        }
        Exclusion::Cooling(cooldown) => cooling_down("cooldown", deployment, cooldown, now),
        Exclusion::HalfOpenUnderWay(cooldown) => cooling_down("trial", deployment, cooldown, now),
    }
}

fn reserved(deployment: &Deployment) -> Reason {
    let unix_ms = clock::unix_ms();
    let wait_ms = windows::free_in_ms(&deployment.routing.windows, unix_ms);
    let until = wait_ms
        .map_or(String::new(), |ms| format!(" until {}", rfc3339(unix_ms.saturating_add(ms))));
    let hint = format!("`access_windows` reserves it for teams{until}");
    Reason { state: "reserved", cause: Cause::Gateway, hint, wait_ms }
}

fn region(deployment: &Deployment) -> String {
    let own = deployment.routing.region.as_deref().map(|region| clean(region, 80));
    own.map_or("it has no region_name".to_owned(), |own| format!("it is in {own}"))
}

fn cooling_down(
    state: &'static str,
    deployment: &Deployment,
    cooldown: &Cooldown,
    now: Millis,
) -> Reason {
    let wait_ms = cooldown.until.since(now);
    let left_s = wait_ms.div_ceil(1000).max(1);
    let source =
        if cooldown.provider_issued { "as the provider asked" } else { "by this gateway's rules" };
    let fix = advice::fix_of_traffic(deployment, cooldown.cause, deployment.state.last_status());
    let fix = fix.map_or(String::new(), |fix| format!("; {fix}"));
    let hint = format!("free again in {left_s} s, {source}{fix}");
    Reason { state, cause: cooldown.cause, hint, wait_ms: Some(wait_ms) }
}

/// A moment as Unix time, seconds.
pub(crate) fn unix_s(at: Millis, now: Millis) -> u64 {
    clock::unix_ms().saturating_sub(now.since(at)) / 1000
}
