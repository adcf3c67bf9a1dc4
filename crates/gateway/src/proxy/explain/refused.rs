//! A request that was refused without an attempt: which of the possible reasons it is, in one sentence,
//! and every deployment with its own.
//!
//! Called by the pipeline when a walk gives up. Always true: the status follows the contract, section 4: 429
//! for limits, budgets and regions, 400 for what fits nowhere, 401 for tags, 403 for paused and reserved
//! models, else 503.

use hale_core::cause::Cause;
use hale_core::route::{Exclusion, Refused};
use hale_core::snapshot::Snapshot;
use hale_core::time::Millis;
use hale_wire::errors::{DeploymentLine, clean};
use http::StatusCode;

use super::excluded::line;
use crate::http::refusal::{self, LINE_MAX, Refusal};

/// Entries of `deployments` and `attempts`. Source: the contract, section 6.
pub(super) const LINES_MAX: usize = 20;

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

/// No attempt was made: every member of every group is excluded. The first group decides the status.
pub(crate) fn refused(
    snapshot: &Snapshot,
    refused: &[Refused],
    tags: &[Box<str>],
    now: Millis,
) -> Refusal {
    let Some((first, others)) = refused.split_first() else { return refusal::own_fault() };
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
    if sorts.is_empty() || has(Sort::Limit) || has(Sort::Budget) {
        let what = format!("{}{}", limits(&lines), until("the first is free again"));
        let status = StatusCode::TOO_MANY_REQUESTS;
        let verdict = Verdict::unavailable(status, Cause::RateLimited, what);
        let by_costs = has(Sort::Budget) && !has(Sort::Limit);
        let reason = if by_costs { "budget_exceeded" } else { verdict.reason };
        return Verdict { reason, wait_s: wait_s.or(Some(1)), ..verdict };
    }
    if has(Sort::Context) || has(Sort::Capability) {
        return fits_nowhere(&refused.group, has(Sort::Context), &lines);
    }
    if let Some(verdict) = by_policy(&refused.group, &sorts, tags, wait_s) {
        return verdict;
    }
    let problems: Vec<&str> = lines.iter().take(LINES_MAX).map(|line| line.hint.as_str()).collect();
    let what = format!("none of its deployments can work as configured: {}", problems.join("; "));
    Verdict::unavailable(StatusCode::SERVICE_UNAVAILABLE, Cause::Misconfigured, what)
}

/// What the operator's or the client's own rules leave nobody for.
fn by_policy(
    group: &str,
    sorts: &[Sort],
    tags: &[Box<str>],
    wait_s: Option<u64>,
) -> Option<Verdict> {
    let group = clean(group, 200);
    let has = |sort: Sort| sorts.contains(&sort);
    let (status, reason, what) = if has(Sort::Region) {
        let what = "the request has to stay in a region (`allowed_model_region`) in which none of its \
                    deployments is (`region_name`)";
        (StatusCode::TOO_MANY_REQUESTS, "region_not_available", what.to_owned())
    } else if has(Sort::Tags) {
        let list: Vec<String> = tags.iter().map(|tag| format!("'{}'", clean(tag, 80))).collect();
        let what = format!(
            "Not allowed to access model due to tags configuration. Passed model={group} and \
             tags=[{}]",
            list.join(", ")
        );
        (StatusCode::UNAUTHORIZED, "tags_not_allowed", what)
    } else if has(Sort::Reserved) {
        let what = format!("Model is reserved: every deployment of '{group}' is for teams now");
        (StatusCode::FORBIDDEN, "model_reserved", what)
    } else if has(Sort::Paused) {
        let what = format!("Model is blocked: every deployment of '{group}' is paused");
        (StatusCode::FORBIDDEN, "model_paused", what)
    } else {
        return None;
    };
    let wait_s = wait_s.filter(|_| reason == "model_reserved");
    Some(Verdict { status, reason, cause: Cause::BadRequest, what, wait_s })
}

/// What limits have in common, in words.
fn limits(lines: &[DeploymentLine]) -> String {
    let has = |state: &str| lines.iter().any(|line| line.state == state);
    if has("over_budget") {
        let of_budgets = lines.iter().filter(|line| line.state == "over_budget");
        let mut spent: Vec<&str> = of_budgets.map(|line| line.hint.as_str()).collect();
        spent.sort_unstable();
        spent.dedup();
        spent.truncate(LINES_MAX);
        let others = if has("at_limit") || has("cooldown") { "; others are limited" } else { "" };
        format!("crossed budget: {}{others}", spent.join("; "))
    } else if lines.is_empty() || (has("at_limit") && !has("cooldown")) {
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
