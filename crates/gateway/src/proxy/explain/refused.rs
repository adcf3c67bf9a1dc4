//! A request that was refused without an attempt: which of the possible reasons it is, in one sentence,
//! and every deployment with its own.
//!
//! Called by the pipeline when a walk gives up, and by the state page for its lines. Always true: the
//! status follows the contract, section 4: 429 for limits, 400 for what fits nowhere, 401 for tags,
//! 403 for paused models, else 503.

use hale_core::cause::Cause;
use hale_core::health::Rest;
use hale_core::route::{Excluded, Exclusion, Refused};
use hale_core::snapshot::Snapshot;
use hale_core::time::Millis;
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
    Tags,
    Context,
    Capability,
    /// A rate limit, a quota or an operator's limit.
    Limit,
    /// It rests for another cause.
    Rest(Cause),
}

fn sort(why: &Exclusion) -> Sort {
    match why {
        Exclusion::Misconfigured => Sort::Broken,
        Exclusion::Paused | Exclusion::Disabled => Sort::Paused,
        Exclusion::Tags => Sort::Tags,
        Exclusion::Context { .. } => Sort::Context,
        Exclusion::Capability(_) | Exclusion::Operation(_) => Sort::Capability,
        Exclusion::Busy { .. } | Exclusion::Rate { .. } => Sort::Limit,
        Exclusion::Resting(rest) | Exclusion::TrialUnderWay(rest) => match rest.cause {
            Cause::RateLimited | Cause::Quota => Sort::Limit,
            cause => Sort::Rest(cause),
        },
        Exclusion::Unhealthy(cause) => Sort::Rest(*cause),
    }
}

/// No attempt was made: every member of every group is excluded. The first group decides the status.
pub(crate) fn refused(
    snapshot: &Snapshot,
    refused: &[Refused],
    tags: &[Box<str>],
    now: Millis,
) -> Refusal {
    let Some((first, others)) = refused.split_first() else { return super::own_fault() };
    let verdict = verdict(snapshot, first, tags, now);
    let group = clean(&first.group, 200);
    let message = match verdict.status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            format!("No deployments available for model group '{group}': {}.", verdict.what)
        }
        _ => format!("{}.", verdict.what),
    };
    let message = format!("{message}{}", self::others(snapshot, others, now));
    let mut refusal = Refusal::new(verdict.status, verdict.reason, message);
    refusal.cause = verdict.cause;
    refusal.retry_after_s = match verdict.wait_s {
        // Whoever is free first answers, whatever his group.
        Some(own) => others.iter().filter_map(|one| wait_s(snapshot, one, now)).chain([own]).min(),
        None => None,
    };
    refusal.reply.deployments = lines(snapshot, refused, now);
    refusal
}

/// What stood in the way in groups that had nothing to try, in a sentence each; empty when there are
/// none.
pub(super) fn others(snapshot: &Snapshot, refused: &[Refused], now: Millis) -> String {
    let mut text = String::new();
    for one in refused.iter().filter(|one| !one.excluded.is_empty()).take(LINES_MAX) {
        let verdict = verdict(snapshot, one, &[], now);
        let group = clean(&one.group, 80);
        let what = clean(&verdict.what, LINE_MAX);
        text.push_str(&format!(" Nothing could be tried in '{group}': {what}."));
    }
    text
}

/// Every deployment that could not be tried, with its reason.
pub(super) fn lines(snapshot: &Snapshot, refused: &[Refused], now: Millis) -> Vec<DeploymentLine> {
    let of_group = |one| lines_of(snapshot, one, now);
    refused.iter().flat_map(of_group).take(LINES_MAX).collect()
}

fn lines_of<'a>(
    snapshot: &'a Snapshot,
    Refused { group, excluded }: &'a Refused,
    now: Millis,
) -> impl Iterator<Item = DeploymentLine> + 'a {
    excluded.iter().map(move |one| line(snapshot, group, one, now))
}

/// Seconds until the first of the group may be asked again.
fn wait_s(snapshot: &Snapshot, refused: &Refused, now: Millis) -> Option<u64> {
    lines_of(snapshot, refused, now).filter_map(|line| line.retry_after_s).min()
}

/// Why a group had nothing to try.
struct Verdict {
    status: StatusCode,
    reason: &'static str,
    cause: Cause,
    /// In words, without a stop at the end.
    what: String,
    /// Seconds until it may be otherwise, where waiting helps.
    wait_s: Option<u64>,
}

impl Verdict {
    fn unavailable(status: StatusCode, cause: Cause, what: String) -> Verdict {
        let what = clean(&what, 1000);
        Verdict { status, reason: "no_healthy_deployments", cause, what, wait_s: None }
    }
}

fn verdict(snapshot: &Snapshot, refused: &Refused, tags: &[Box<str>], now: Millis) -> Verdict {
    // Everybody counts; who is shown is another matter.
    let lines: Vec<DeploymentLine> = lines_of(snapshot, refused, now).collect();
    let sorts: Vec<Sort> = refused.excluded.iter().map(|one| sort(&one.why)).collect();
    let wait_s = lines.iter().filter_map(|line| line.retry_after_s).min();
    let has = |sort: Sort| sorts.contains(&sort);
    let until = |what: &str| wait_s.map_or(String::new(), |s| format!("; {what} in {s} s"));
    // What can never answer does not decide whether waiting helps.
    if sorts.iter().any(|sort| matches!(sort, Sort::Rest(_))) {
        let causes: Vec<Cause> = sorts.iter().filter_map(|sort| resting(*sort)).collect();
        let what = format!("{}{}", diagnosis(&causes), until("the next trial is"));
        let status = StatusCode::SERVICE_UNAVAILABLE;
        return Verdict { wait_s, ..Verdict::unavailable(status, Cause::Overloaded, what) };
    }
    // Nobody is excluded any more when a place became free this very moment.
    if sorts.is_empty() || has(Sort::Limit) {
        let at_own_limit = lines.iter().any(|line| line.state == "at_limit") || lines.is_empty();
        let what = if at_own_limit && lines.iter().all(|line| line.state != "cooldown") {
            "all of its deployments are at a limit of this gateway's config"
        } else {
            "all of its deployments are rate limited"
        };
        let what = format!("{what}{}", until("the first is free again"));
        let status = StatusCode::TOO_MANY_REQUESTS;
        let wait_s = wait_s.or(Some(1));
        return Verdict { wait_s, ..Verdict::unavailable(status, Cause::RateLimited, what) };
    }
    if has(Sort::Context) || has(Sort::Capability) {
        return fits_nowhere(&refused.group, has(Sort::Context), &lines);
    }
    let refuse = |status, reason, what| {
        let cause = Cause::BadRequest;
        Verdict { status, reason, cause, what, wait_s: None }
    };
    let group = clean(&refused.group, 200);
    if has(Sort::Tags) {
        let list: Vec<String> = tags.iter().map(|tag| format!("'{}'", clean(tag, 80))).collect();
        let what = format!(
            "Not allowed to access model due to tags configuration. Passed model={group} and \
             tags=[{}]",
            list.join(", ")
        );
        return refuse(StatusCode::UNAUTHORIZED, "tags_not_allowed", what);
    }
    if has(Sort::Paused) {
        let what = format!("Model is blocked: every deployment of '{group}' is paused");
        return refuse(StatusCode::FORBIDDEN, "model_paused", what);
    }
    let problems: Vec<&str> = lines.iter().take(LINES_MAX).map(|line| line.hint.as_str()).collect();
    let what = format!("none of its deployments can work as configured: {}", problems.join("; "));
    Verdict::unavailable(StatusCode::SERVICE_UNAVAILABLE, Cause::Misconfigured, what)
}

fn resting(sort: Sort) -> Option<Cause> {
    match sort {
        Sort::Rest(cause) => Some(cause),
        Sort::Limit => Some(Cause::RateLimited),
        Sort::Broken | Sort::Paused | Sort::Tags | Sort::Context | Sort::Capability => None,
    }
}

fn fits_nowhere(group: &str, by_length: bool, lines: &[DeploymentLine]) -> Verdict {
    let why: Vec<&str> = lines.iter().take(LINES_MAX).map(|line| line.hint.as_str()).collect();
    let why = clean(&why.join("; "), 1000);
    let (reason, what) = if by_length {
        ("context_length_exceeded", "Context Window exceeded: the request is too long for")
    } else {
        ("missing_capability", "the request needs what no deployment does of")
    };
    Verdict {
        status: StatusCode::BAD_REQUEST,
        reason,
        cause: if by_length { Cause::ContextWindow } else { Cause::BadRequest },
        what: format!("{what} model group '{group}': {why}"),
        wait_s: None,
    }
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
        Exclusion::Operation(operation) => {
            let hint = deployment.provider.lacks(*operation);
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
        Exclusion::Rate { of, limit, ends_in_ms } => {
            let left = ends_in_ms.div_ceil(1000).max(1);
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
