//! An excluded deployment and the reason, as refusals and pages show it.
//!
//! Called by [`mod@super::refused`] and by the pages about routing. Always true: it names no address and no
//! amount of money, because clients see it too.

use hale_core::cause::Cause;
use hale_core::deployment::Deployment;
use hale_core::health::{Cooldown, Full};
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
    let reason = temporary(snapshot, deployment, &one.why, now);
    let Reason { state, cause, hint, wait_ms } =
        reason.unwrap_or_else(|| permanent(deployment, &one.why));
    let cools_down = matches!(one.why, Exclusion::Cooling(_) | Exclusion::HalfOpenUnderWay(_));
    let since = deployment.cooling_since(now).filter(|_| cools_down);
    DeploymentLine {
        id: deployment.id.to_string(),
        model_group: group.to_owned(),
        state,
        cause: cause.name(),
        since: since.map(|since| unix_s(since, now)),
        retry_after_s: wait_ms.map(|ms| ms.div_ceil(1000).max(1)),
        last_status: deployment.state.last_status(),
        hint: clean(&hint, LINE_MAX),
    }
}

/// A reason that passes with time; `None` for others.
fn temporary(
    snapshot: &Snapshot,
    deployment: &Deployment,
    why: &Exclusion,
    now: Millis,
) -> Option<Reason> {
    Some(match why {
        Exclusion::Reserved => {
            let unix_ms = clock::unix_ms();
            let wait_ms = windows::free_in_ms(&deployment.routing.windows, unix_ms);
            let until = wait_ms.map_or(String::new(), |ms| {
                format!(" until {}", rfc3339(unix_ms.saturating_add(ms)))
            });
            let hint = format!("`access_windows` reserves it for teams{until}");
            Reason { state: "reserved", cause: Cause::Gateway, hint, wait_ms }
        }
        Exclusion::Busy { limit } => {
            let hint = format!("max_parallel_requests={limit} are in flight; raise it or wait");
            Reason { state: "at_limit", cause: Cause::Gateway, hint, wait_ms: Some(1) }
        }
        Exclusion::Budget { budget, ends_in_ms } => {
            let budget = snapshot.budgets.get(*budget);
            let until = rfc3339(clock::unix_ms().saturating_add(*ends_in_ms));
            let (of, name) = (budget.scope.name(), clean(&budget.name, 80));
            let hint = format!("the budget of {of} '{name}' is spent until {until}");
            let wait_ms = Some(*ends_in_ms);
            Reason { state: "over_budget", cause: Cause::Gateway, hint, wait_ms }
        }
        Exclusion::Rate(Full { of, limit, free_in_ms }) => {
            let left_s = free_in_ms.div_ceil(1000).max(1);
            let hint = format!("{of}={limit} is used up for {left_s} s");
            Reason { state: "at_limit", cause: Cause::Gateway, hint, wait_ms: Some(*free_in_ms) }
        }
        Exclusion::Unhealthy(cause) => {
            let hint = "its health probes fail; see GET /health".to_owned();
            Reason { state: "unhealthy", cause: *cause, hint, wait_ms: None }
        }
        Exclusion::Cooling(cooldown) => cooling_down("cooldown", deployment, cooldown, now),
        Exclusion::HalfOpenUnderWay(cooldown) => cooling_down("trial", deployment, cooldown, now),
        Exclusion::Misconfigured
        | Exclusion::Paused
        | Exclusion::Disabled
        | Exclusion::Region
        | Exclusion::Tags
        | Exclusion::Context { .. }
        | Exclusion::TokensAMinute { .. }
        | Exclusion::Operation(_)
        | Exclusion::Capability(_) => return None,
    })
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

/// A reason that waiting does not change: of this request, or of the deployment.
fn permanent(deployment: &Deployment, why: &Exclusion) -> Reason {
    let reason = |state, cause, hint| Reason { state, cause, hint, wait_ms: None };
    let not_for_this = |cause, hint| reason("not_for_this_request", cause, hint);
    match why {
        Exclusion::Misconfigured => {
            let why = deployment.misconfigured.as_ref();
            let hint = why.map(|why| format!("{}: {}", why.problem, why.hint));
            reason("misconfigured", Cause::Misconfigured, hint.unwrap_or_default())
        }
        Exclusion::Paused => {
            reason("paused", Cause::Gateway, "`blocked` is set in the config".to_owned())
        }
        Exclusion::Disabled => {
            let hint = "an operator disabled it; POST /router/deployments/{id}/enable enables it";
            reason("disabled", Cause::Gateway, hint.to_owned())
        }
        Exclusion::Region => {
            let own = deployment.routing.region.as_deref().map(|region| clean(region, 80));
            let own =
                own.map_or("it has no region_name".to_owned(), |own| format!("it is in {own}"));
            not_for_this(Cause::Gateway, own)
        }
        Exclusion::Tags => not_for_this(Cause::Gateway, "its tags do not match".to_owned()),
        Exclusion::Context { window, needed } => {
            let model = &deployment.endpoint.model_param;
            let hint = format!("Model={model}, Max Input Tokens={window}, Got about {needed}");
            not_for_this(Cause::ContextWindow, hint)
        }
        Exclusion::TokensAMinute { limit, needed } => {
            let hint = format!("tpm={limit} is less than this request alone: about {needed}");
            not_for_this(Cause::ContextWindow, hint)
        }
        Exclusion::Operation(operation) => {
            not_for_this(Cause::BadRequest, deployment.endpoint.provider.lacks(*operation))
        }
        Exclusion::Capability(need) => {
            let hint = format!("{} is false for {}", need.key(), deployment.endpoint.model_param);
            not_for_this(Cause::BadRequest, hint)
        }
        // `temporary` has handled these.
        Exclusion::Reserved
        | Exclusion::Busy { .. }
        | Exclusion::Budget { .. }
        | Exclusion::Rate(_)
        | Exclusion::Unhealthy(_)
        | Exclusion::Cooling(_)
        | Exclusion::HalfOpenUnderWay(_) => reason("at_limit", Cause::Gateway, String::new()),
    }
}

/// A moment as Unix time, seconds.
pub(crate) fn unix_s(at: Millis, now: Millis) -> u64 {
    clock::unix_ms().saturating_sub(now.since(at)) / 1000
}
