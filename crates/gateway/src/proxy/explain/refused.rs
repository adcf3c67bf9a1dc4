//! A request that was refused without an attempt: the reason in one sentence, and the reason of each
//! deployment.
//!
//! Called by the exchange when its route plan gives up. Always true: the status is 429 for limits, budgets
//! and regions, 400 for a request that fits no deployment, 401 for tags, 403 for paused and reserved models,
//! else 503.

use hale_core::cause::Cause;
use hale_core::route::{Exclusion, Refused};
use hale_core::snapshot::Snapshot;
use hale_core::time::Millis;
use hale_wire::errors::{DeploymentLine, clean};
use http::StatusCode;

use super::excluded::line;
use crate::http::refusal::{self, LINE_MAX, Refusal};

/// Most entries of `deployments` and of `attempts` in an error body, so that its size is bounded.
pub(super) const LINES_MAX: usize = 20;

/// The kinds of exclusion that a refusal tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// It is misconfigured.
    Broken,
    Paused,
    /// Reserved for teams at this time of the day.
    Reserved,
    Region,
    Tags,
    Context,
    Capability,
    /// A rate limit, a quota or an operator's limit.
    Limit,
    /// An operator's limit on costs.
    Budget,
    /// It is in cooldown or unhealthy for another cause.
    Failing(Cause),
}

fn kind(why: &Exclusion) -> Kind {
    match why {
        Exclusion::Misconfigured => Kind::Broken,
        Exclusion::Paused | Exclusion::Disabled => Kind::Paused,
        Exclusion::Reserved => Kind::Reserved,
        Exclusion::Region => Kind::Region,
        Exclusion::Tags => Kind::Tags,
        Exclusion::Context { .. } | Exclusion::TokensAMinute { .. } => Kind::Context,
        Exclusion::Budget { .. } => Kind::Budget,
        Exclusion::Capability(_) | Exclusion::Operation(_) | Exclusion::Lacking(_) => {
            Kind::Capability
        }
        Exclusion::Busy { .. } | Exclusion::Rate(_) | Exclusion::Reopening => Kind::Limit,
        Exclusion::Cooling(cooldown) | Exclusion::HalfOpenUnderWay(cooldown) => {
            match cooldown.cause {
                Cause::RateLimited | Cause::Quota => Kind::Limit,
                cause => Kind::Failing(cause),
            }
        }
        Exclusion::Unhealthy(cause) => Kind::Failing(*cause),
    }
}

/// The refusal of a request for which every member of every group is excluded. The first group decides
/// the status.
pub(crate) fn refused(
    snapshot: &Snapshot,
    refused: &[Refused],
    tags: &[Box<str>],
    now: Millis,
) -> Refusal {
    let Some((first, others)) = refused.split_first() else { return refusal::own_fault() };
    // All deployments decide, not only the ones that are shown.
    let own: Vec<DeploymentLine> = lines_of(snapshot, first, now).collect();
    let verdict = verdict(first, &own, tags);
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
    refusal.must_not_repeat = verdict.lasts;
    refusal.retry_after_s = match verdict.wait_s {
        // The first deployment to become free can answer, in whichever group it is.
        Some(own) => others.iter().filter_map(|one| wait_s(snapshot, one, now)).chain([own]).min(),
        None => None,
    };
    let of_others = others.iter().flat_map(|one| lines_of(snapshot, one, now));
    refusal.reply.deployments = own.into_iter().chain(of_others).take(LINES_MAX).collect();
    refusal
}

/// A sentence for each group without a deployment to try; empty if there is no such group.
pub(super) fn others(snapshot: &Snapshot, refused: &[Refused], now: Millis) -> String {
    let mut text = String::new();
    for one in refused.iter().filter(|one| !one.excluded.is_empty()).take(LINES_MAX) {
        let lines: Vec<DeploymentLine> = lines_of(snapshot, one, now).collect();
        let verdict = verdict(one, &lines, &[]);
        let group = clean(&one.group, 80);
        let what = clean(&verdict.what, LINE_MAX);
        text.push_str(&format!(" Nothing could be tried in '{group}': {what}."));
    }
    text
}

/// The excluded deployments with their reasons.
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

/// Seconds until the first deployment of the group may be tried again.
fn wait_s(snapshot: &Snapshot, refused: &Refused, now: Millis) -> Option<u64> {
    lines_of(snapshot, refused, now).filter_map(|line| line.retry_after_s).min()
}

/// Why a group had nothing to try.
struct Verdict {
    status: StatusCode,
    reason: &'static str,
    cause: Cause,
    /// A sentence without its full stop.
    what: String,
    /// Seconds until this may change, if waiting helps.
    wait_s: Option<u64>,
    /// Whether only an operator can change it.
    lasts: bool,
}

impl Verdict {
    fn unavailable(status: StatusCode, cause: Cause, what: String) -> Verdict {
        let what = clean(&what, 1000);
        Verdict {
            status,
            reason: "no_healthy_deployments",
            cause,
            what,
            wait_s: None,
            lasts: false,
        }
    }
}

/// The verdict on a group whose members `lines` describes.
fn verdict(refused: &Refused, lines: &[DeploymentLine], tags: &[Box<str>]) -> Verdict {
    let kinds: Vec<Kind> = refused.excluded.iter().map(|one| kind(&one.why)).collect();
    let wait_s = lines.iter().filter_map(|line| line.retry_after_s).min();
    let has = |kind: Kind| kinds.contains(&kind);
    let until = |what: &str| wait_s.map_or(String::new(), |s| format!("; {what} in {s} s"));
    // Permanently excluded members do not set Retry-After.
    if kinds.iter().any(|kind| matches!(kind, Kind::Failing(_))) {
        let causes: Vec<Cause> = kinds.iter().filter_map(|kind| passing_cause(*kind)).collect();
        let what = format!("{}{}", diagnosis(&causes), until("the next half-open request is"));
        let status = StatusCode::SERVICE_UNAVAILABLE;
        return Verdict { wait_s, ..Verdict::unavailable(status, Cause::Overloaded, what) };
    }
    // No member is excluded if a slot has become free in the meantime.
    if kinds.is_empty() || has(Kind::Limit) || has(Kind::Budget) {
        let what = format!("{}{}", limits(lines), until("the first is free again"));
        let status = StatusCode::TOO_MANY_REQUESTS;
        let verdict = Verdict::unavailable(status, Cause::RateLimited, what);
        let by_costs = has(Kind::Budget) && !has(Kind::Limit);
        let reason = if by_costs { "budget_exceeded" } else { verdict.reason };
        return Verdict { reason, wait_s: wait_s.or(Some(1)), ..verdict };
    }
    for kind in [Kind::Context, Kind::Capability] {
        if has(kind) {
            return fits_nowhere(&refused.group, kind, lines);
        }
    }
    if let Some(verdict) = by_policy(&refused.group, &kinds, tags, wait_s) {
        return verdict;
    }
    let problems: Vec<&str> = lines.iter().take(LINES_MAX).map(|line| line.hint.as_str()).collect();
    let what = format!("none of its deployments can work as configured: {}", problems.join("; "));
    let status = StatusCode::SERVICE_UNAVAILABLE;
    Verdict { lasts: true, ..Verdict::unavailable(status, Cause::Misconfigured, what) }
}

/// Region, tag, window or pause rules exclude every member.
fn by_policy(
    group: &str,
    kinds: &[Kind],
    tags: &[Box<str>],
    wait_s: Option<u64>,
) -> Option<Verdict> {
    let group = clean(group, 200);
    let has = |kind: Kind| kinds.contains(&kind);
    let (status, reason, what) = if has(Kind::Region) {
        let what = "the request must stay in `allowed_model_region`, and none of the deployments has that \
                    `region_name`";
        (StatusCode::TOO_MANY_REQUESTS, "region_not_available", what.to_owned())
    } else if has(Kind::Tags) {
        let list: Vec<String> = tags.iter().map(|tag| format!("'{}'", clean(tag, 80))).collect();
        let what = format!(
            "Not allowed to access model due to tags configuration. Passed model={group} and \
             tags=[{}]",
            list.join(", ")
        );
        (StatusCode::UNAUTHORIZED, "tags_not_allowed", what)
    } else if has(Kind::Reserved) {
        let what = format!(
            "Model is reserved: every deployment of '{group}' is reserved for teams at this time \
             (access_windows)"
        );
        (StatusCode::FORBIDDEN, "model_reserved", what)
    } else if has(Kind::Paused) {
        let what = format!("Model is blocked: every deployment of '{group}' is paused");
        (StatusCode::FORBIDDEN, "model_paused", what)
    } else {
        return None;
    };
    let wait_s = wait_s.filter(|_| reason == "model_reserved");
    // A key's tags and a reserved hour are not the config's alone.
    let lasts = matches!(reason, "model_paused" | "region_not_available");
    Some(Verdict { status, reason, cause: Cause::BadRequest, what, wait_s, lasts })
}

/// What the limits have in common, in words.
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

/// The cause of an exclusion that passes with time.
fn passing_cause(kind: Kind) -> Option<Cause> {
    match kind {
        Kind::Failing(cause) => Some(cause),
        Kind::Limit | Kind::Budget => Some(Cause::RateLimited),
        Kind::Broken
        | Kind::Paused
        | Kind::Reserved
        | Kind::Region
        | Kind::Tags
        | Kind::Context
        | Kind::Capability => None,
    }
}

fn fits_nowhere(group: &str, kind: Kind, lines: &[DeploymentLine]) -> Verdict {
    let why: Vec<&str> = lines.iter().take(LINES_MAX).map(|line| line.hint.as_str()).collect();
    let why = clean(&why.join("; "), 1000);
    let by_length = kind == Kind::Context;
    let (reason, what) = if by_length {
        ("context_length_exceeded", "Context Window exceeded: the request is too long for")
    } else {
        ("missing_capability", "the request needs a capability that no deployment has in")
    };
    Verdict {
        status: StatusCode::BAD_REQUEST,
        reason,
        cause: if by_length { Cause::ContextWindow } else { Cause::BadRequest },
        what: format!("{what} model group '{group}': {why}"),
        wait_s: None,
        lasts: false,
    }
}

/// What the failures have in common, in words.
pub(crate) fn diagnosis(causes: &[Cause]) -> &'static str {
    let all = |of: &[Cause]| !causes.is_empty() && causes.iter().all(|cause| of.contains(cause));
    if all(&[Cause::Auth, Cause::Permission]) {
        "the providers refuse the credentials of all of its deployments"
    } else if all(&[Cause::Connect, Cause::Dns, Cause::Tls]) {
        "none of its deployments can be reached"
    } else if all(&[Cause::RateLimited, Cause::Quota]) {
        "all of its deployments are rate limited"
    } else if all(&[Cause::NotFound]) {
        "no deployment has its model at its address"
    } else if all(&[Cause::Timeout, Cause::StreamStall]) {
        "none of its deployments answers in time"
    } else {
        "all of its deployments are failing"
    }
}
