//! A request that was refused without an attempt: which of the possible reasons it is, in one sentence,
//! and every deployment with its own.
//!
//! Called by the pipeline when a walk gives up, and by the state page for its lines. Always true: the
//! status follows the contract, section 4: 429 for limits, budgets and regions, 400 for what fits nowhere,
//! 401 for tags, 403 for paused and reserved models, else 503.

use hale_core::cause::Cause;
use hale_core::health::{Full, Rest};
use hale_core::route::{Excluded, Exclusion, Refused, windows};
use hale_core::snapshot::Snapshot;
use hale_core::time::{Millis, rfc3339};
use hale_wire::errors::{DeploymentLine, clean};
use http::StatusCode;

use super::{LINE_MAX, LINES_MAX, Refusal};
use crate::clock;

/// What kind of reason an exclusion is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    /// It would not work whenever it is tried.
    Broken,
    Paused,
    /// For teams, at this time of the day.
    Reserved,
    Region,
    Tags,
    Context,
    Capability,
    /// A rate limit, a quota or an operator's limit.
    Limit,
    /// An operator's limit on costs.
    Budget,
    /// It rests for another cause.
    Rest(Cause),
}

fn sort(why: &Exclusion) -> Sort {
    match why {
        Exclusion::Misconfigured => Sort::Broken,
        Exclusion::Paused | Exclusion::Disabled => Sort::Paused,
        Exclusion::Reserved => Sort::Reserved,
        Exclusion::Region => Sort::Region,
        Exclusion::Tags => Sort::Tags,
        Exclusion::Context { .. } | Exclusion::TokensAMinute { .. } => Sort::Context,
        Exclusion::Budget { .. } => Sort::Budget,
        Exclusion::Capability(_) | Exclusion::Operation(_) => Sort::Capability,
        Exclusion::Busy { .. } | Exclusion::Rate(_) => Sort::Limit,
        Exclusion::Resting(rest) | Exclusion::TrialUnderWay(rest) => match rest.cause {
            Cause::RateLimited | Cause::Quota => Sort::Limit,
            cause => Sort::Rest(cause),
        },
        Exclusion::Unhealthy(cause) => Sort::Rest(*cause),
    }
}

/// No attempt was made: every member of the group is excluded.
pub(crate) fn refused(
    snapshot: &Snapshot,
    refused: &Refused,
    tags: &[Box<str>],
    now: Millis,
) -> Refusal {
    let Refused { group, excluded } = refused;
    // Everybody counts; who is shown is another matter.
    let mut lines: Vec<DeploymentLine> =
        excluded.iter().map(|one| line(snapshot, group, one, now)).collect();
    let wait_s = lines.iter().filter_map(|line| line.retry_after_s).min();
    let sorts: Vec<Sort> = excluded.iter().map(|one| sort(&one.why)).collect();
    let mut refusal = verdict(group, &sorts, &lines, tags, wait_s);
    lines.truncate(LINES_MAX);
    refusal.reply.deployments = lines;
    refusal
}

fn verdict(
    group: &str,
    sorts: &[Sort],
    lines: &[DeploymentLine],
    tags: &[Box<str>],
    wait_s: Option<u64>,
) -> Refusal {
    let has = |sort: Sort| sorts.contains(&sort);
    // What can never answer does not decide whether waiting helps.
    let may_answer = |sort: &&Sort| matches!(sort, Sort::Limit | Sort::Budget | Sort::Rest(_));
    let unavailable = |what: String| {
        let message =
            format!("No deployments available for model group '{group}': {}.", clean(&what, 1000));
        (message, "no_healthy_deployments")
    };
    if sorts.iter().any(|sort| matches!(sort, Sort::Rest(_))) {
        let until = wait_s.map_or(String::new(), |s| format!("; the next trial is in {s} s"));
        let causes: Vec<Cause> = sorts.iter().filter_map(|sort| resting(*sort)).collect();
        let (message, reason) = unavailable(format!("{}{until}", diagnosis(&causes)));
        let mut refusal = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, reason, message);
        refusal.cause = Cause::Overloaded;
        refusal.retry_after_s = wait_s;
        return refusal;
    }
    if sorts.iter().any(|sort| may_answer(&sort)) {
        let until = wait_s.map_or(String::new(), |s| format!("; the first is free again in {s} s"));
        let (message, mut reason) = unavailable(format!("{}{until}", limits(lines)));
        if sorts.iter().filter(may_answer).all(|sort| *sort == Sort::Budget) {
            reason = "budget_exceeded";
        }
        let mut refusal = Refusal::new(StatusCode::TOO_MANY_REQUESTS, reason, message);
        refusal.cause = Cause::RateLimited;
        refusal.retry_after_s = wait_s;
        return refusal;
    }
    if has(Sort::Context) || has(Sort::Capability) {
        return fits_nowhere(group, has(Sort::Context), lines);
    }
    if has(Sort::Region) {
        let what = "the request has to stay in a region (allowed_model_region) that none of its \
                    deployments is in (region_name)";
        let (message, _) = unavailable(what.to_owned());
        let status = StatusCode::TOO_MANY_REQUESTS;
        return Refusal::new(status, "region_not_available", message);
    }
    if has(Sort::Tags) {
        let list: Vec<String> = tags.iter().map(|tag| format!("'{}'", clean(tag, 80))).collect();
        let message = format!(
            "Not allowed to access model due to tags configuration. Passed model={} and tags=[{}]",
            clean(group, 200),
            list.join(", ")
        );
        return Refusal::new(StatusCode::UNAUTHORIZED, "tags_not_allowed", message);
    }
    if has(Sort::Reserved) {
        let until = wait_s.map_or(String::new(), |s| format!(" for another {s} s"));
        let message = format!(
            "Model is reserved: every deployment of '{}' is reserved for teams{until}.",
            clean(group, 200)
        );
        let mut refusal = Refusal::new(StatusCode::FORBIDDEN, "model_reserved", message);
        refusal.retry_after_s = wait_s;
        return refusal;
    }
    if has(Sort::Paused) {
        let message = format!("Model is blocked: every deployment of '{group}' is paused.");
        return Refusal::new(StatusCode::FORBIDDEN, "model_paused", message);
    }
    let problems: Vec<&str> = lines.iter().take(LINES_MAX).map(|line| line.hint.as_str()).collect();
    let what = format!("none of its deployments can work as configured: {}", problems.join("; "));
    let (message, reason) = unavailable(what);
    let mut refusal = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, reason, message);
    refusal.cause = Cause::Misconfigured;
    refusal
}

/// What limits have in common, in words.
fn limits(lines: &[DeploymentLine]) -> String {
    let has = |state: &str| lines.iter().any(|line| line.state == state);
    if has("over_budget") {
        let mut spent: Vec<&str> = lines
            .iter()
            .filter(|line| line.state == "over_budget")
            .map(|line| line.hint.as_str())
            .collect();
        spent.sort_unstable();
        spent.dedup();
        spent.truncate(LINES_MAX);
        let others = if has("at_limit") || has("cooldown") { "; others are limited" } else { "" };
        format!("crossed budget: {}{others}", spent.join("; "))
    } else if has("at_limit") && !has("cooldown") {
        "all of its deployments are at a limit of this gateway's config".to_owned()
    } else {
        "all of its deployments are rate limited".to_owned()
    }
}

fn resting(sort: Sort) -> Option<Cause> {
    match sort {
        Sort::Rest(cause) => Some(cause),
        Sort::Limit | Sort::Budget => Some(Cause::RateLimited),
        Sort::Broken
        | Sort::Paused
        | Sort::Reserved
        | Sort::Region
        | Sort::Tags
        | Sort::Context
        | Sort::Capability => None,
    }
}

fn fits_nowhere(group: &str, by_length: bool, lines: &[DeploymentLine]) -> Refusal {
    let why: Vec<&str> = lines.iter().take(LINES_MAX).map(|line| line.hint.as_str()).collect();
    let why = clean(&why.join("; "), 1000);
    let (reason, what) = if by_length {
        ("context_length_exceeded", "Context Window exceeded: the request is too long for")
    } else {
        ("missing_capability", "the request needs what no deployment does of")
    };
    let message = format!("{what} model group '{group}': {why}.");
    let mut refusal = Refusal::new(StatusCode::BAD_REQUEST, reason, message);
    refusal.cause = if by_length { Cause::ContextWindow } else { Cause::BadRequest };
    refusal
}

/// What several failures have in common, in words.
pub(crate) fn diagnosis(causes: &[Cause]) -> &'static str {
    let all = |of: &[Cause]| !causes.is_empty() && causes.iter().all(|cause| of.contains(cause));
    if all(&[Cause::Auth, Cause::Permission]) {
        "the providers refuse the credentials of all of its deployments"
    } else if all(&[Cause::Connect, Cause::Dns, Cause::Tls]) {
        "none of its deployments can be reached"
    } else if all(&[Cause::RateLimited, Cause::Quota]) {
        "all of its deployments are rate limited"
    } else if all(&[Cause::NotFound]) {
        "no provider knows the model of its deployments"
    } else if all(&[Cause::Timeout, Cause::StreamStall]) {
        "none of its deployments answers in time"
    } else {
        "all of its deployments are failing"
    }
}

/// One deployment and why it is excluded.
pub(crate) fn line(
    snapshot: &Snapshot,
    group: &str,
    one: &Excluded,
    now: Millis,
) -> DeploymentLine {
    let deployment = snapshot.deployment(one.deployment);
    let mut line = DeploymentLine {
        id: deployment.id.to_string(),
        model_group: group.to_owned(),
        last_status: deployment.state.last_status(),
        ..DeploymentLine::default()
    };
    let mut say = |state, cause: Cause, hint: String| {
        (line.state, line.cause, line.hint) = (state, cause.name(), clean(&hint, LINE_MAX));
    };
    match &one.why {
        Exclusion::Misconfigured => {
            let why = deployment.misconfigured.as_ref();
            let hint = why.map(|why| format!("{}: {}", why.problem, why.hint));
            say("misconfigured", Cause::Misconfigured, hint.unwrap_or_default());
        }
        Exclusion::Paused => {
            say("paused", Cause::Gateway, "`blocked` is set in the config".to_owned());
        }
        Exclusion::Disabled => {
            let hint = "an operator took it out: POST /router/deployments/{id}/enable";
            say("disabled", Cause::Gateway, hint.to_owned());
        }
        Exclusion::Reserved => {
            let unix_ms = clock::unix_ms();
            let free = windows::free_in_ms(&deployment.windows, unix_ms);
            let until = free.map_or(String::new(), |ms| {
                format!(" until {}", rfc3339(unix_ms.saturating_add(ms)))
            });
            let hint = format!("`access_windows` reserves it for teams{until}");
            say("reserved", Cause::Gateway, hint);
            line.retry_after_s = free.map(|ms| ms.div_ceil(1000).max(1));
        }
        Exclusion::Region => {
            let own = deployment.region.as_deref().map(|region| clean(region, 80));
            let own = own.map_or("has no region_name".to_owned(), |own| format!("is in {own}"));
            say("not_for_this_request", Cause::Gateway, format!("it {own}"));
        }
        Exclusion::Tags => {
            say("not_for_this_request", Cause::Gateway, "its tags do not match".to_owned());
        }
        Exclusion::Context { window, needed } => {
            let hint = format!(
                "Model={}, Max Input Tokens={window}, Got about {needed}",
                deployment.model_param
            );
            say("not_for_this_request", Cause::ContextWindow, hint);
        }
        Exclusion::TokensAMinute { limit, needed } => {
            let hint = format!("tpm={limit} is less than this request alone: about {needed}");
            say("not_for_this_request", Cause::ContextWindow, hint);
        }
        Exclusion::Operation(operation) => {
            let hint = format!(
                "provider {} has no {}; ask for a model of another provider, or use \
                 /v1/chat/completions",
                deployment.provider.name,
                operation.upstream_path()
            );
            say("not_for_this_request", Cause::BadRequest, hint);
        }
        Exclusion::Capability(need) => {
            let hint = format!("{} is false for {}", need.key(), deployment.model_param);
            say("not_for_this_request", Cause::BadRequest, hint);
        }
        Exclusion::Busy { limit } => {
            let hint = format!("max_parallel_requests={limit} are in flight; raise it or wait");
            say("at_limit", Cause::Gateway, hint);
            line.retry_after_s = Some(1);
        }
        Exclusion::Budget { budget, ends_in_ms } => {
            let budget = snapshot.budgets.get(*budget);
            let until = rfc3339(clock::unix_ms().saturating_add(*ends_in_ms));
            let (of, name) = (budget.scope.name(), clean(&budget.name, 80));
            let hint = format!("the budget of {of} '{name}' is spent until {until}");
            say("over_budget", Cause::Gateway, hint);
            line.retry_after_s = Some(ends_in_ms.div_ceil(1000).max(1));
        }
        Exclusion::Rate(Full { of, limit, free_in_ms }) => {
            let left = free_in_ms.div_ceil(1000).max(1);
            say("at_limit", Cause::Gateway, format!("{of}={limit} is used up for {left} s"));
            line.retry_after_s = Some(left);
        }
        Exclusion::Unhealthy(cause) => {
            say("unhealthy", *cause, "health checks failed; GET /health tells more".to_owned());
        }
        Exclusion::Resting(rest) | Exclusion::TrialUnderWay(rest) => {
            let under_way = matches!(one.why, Exclusion::TrialUnderWay(_));
            let left = rest.until.since(now).div_ceil(1000).max(1);
            say(if under_way { "trial" } else { "cooldown" }, rest.cause, rest_hint(rest, left));
            line.retry_after_s = Some(left);
            line.since = deployment.resting_since(now).map(|since| unix_s(since, now));
        }
    }
    line
}

fn rest_hint(rest: &Rest, left_s: u64) -> String {
    let source = if rest.provider_issued { "the provider asked for it" } else { "our own pause" };
    format!("free again in {left_s} s ({source})")
}

/// A moment in seconds since 1970.
pub(crate) fn unix_s(at: Millis, now: Millis) -> u64 {
    clock::unix_ms().saturating_sub(now.since(at)) / 1000
}
