//! What is known about one deployment, for the page `/health` and for the list of models.
//!
//! Called by the report. Always true: no upstream is called here; what traffic met outranks what a probe saw.

use std::sync::Arc;

use hale_core::cause::Cause;
use hale_core::deployment::{Deployment, DeploymentIndex};
use hale_core::health::probe::{Doubt, Finding, History, ProbeResult, Status};
use hale_core::health::{Cooldown, Verdict};
use hale_core::time::Millis;

use crate::prober::is_not_probed;
use crate::state::Serving;
use crate::state::health::Answer;

/// Which of the lists an entry is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Healthy,
    Unhealthy,
    Unprobed,
}

/// How much of it the client may see.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sees {
    /// More than models and ids: `health_check_details`.
    pub(super) details: bool,
    /// The addresses of upstreams: with the master key only.
    pub(super) addresses: bool,
}

/// What is known about one deployment.
pub(super) struct Known {
    pub(super) standing: Standing,
    pub(super) status: &'static str,
    pub(super) cause: Option<&'static str>,
    /// The cause in the vocabulary of causes, where it is one.
    pub(super) failure: Option<Cause>,
    pub(super) checked_at: Option<Millis>,
    pub(super) by_traffic: bool,
    pub(super) last: Option<Arc<ProbeResult>>,
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

/// Why the deployment is not probed; `None` if it is.
pub(super) fn left_out(serving: &Serving, index: DeploymentIndex) -> Option<Known> {
    let deployment = serving.snapshot.deployment(index);
    let settings = &serving.snapshot.probing;
    if deployment.misconfigured.is_some() {
        return Some(Known {
            failure: Some(Cause::Misconfigured),
            ..Known::of(Standing::Unhealthy, "misconfigured", Some(Cause::Misconfigured.name()))
        });
    }
    let opted_out = deployment.probing.opts_out && (settings.background || settings.skips_disabled);
    let why = if deployment.state.is_disabled() {
        Some("disabled_by_operator")
    } else if deployment.routing.is_paused {
        Some("paused")
    } else if opted_out {
        Some("disabled")
    } else if settings.background && is_not_probed(serving, deployment) {
        Some("not_in_background_health_check_model_groups")
    } else {
        None
    };
    why.map(|why| Known::of(Standing::Unprobed, "disabled", Some(why)))
}

/// What is known without a new probe.
pub(super) fn in_background(serving: &Serving, index: DeploymentIndex, now: Millis) -> Known {
    if let Some(known) = left_out(serving, index) {
        return known;
    }
    let deployment = serving.snapshot.deployment(index);
    let staleness_ms = serving.snapshot.probing.staleness_ms();
    let history = deployment.state.probes().history(now, staleness_ms);
    let History { status, proved_at, by_traffic, failures_in_a_row, last, next_at, .. } = history;
    let mut known = from_status(deployment, status);
    known.checked_at = proved_at.or(last.as_ref().map(|last| last.ended));
    known.by_traffic = by_traffic;
    known.next_at = next_at;
    if status == Status::Unprobed {
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
    // Evidence of traffic outranks probes.
    match deployment.verdict(now) {
        Verdict::Ready | Verdict::Reopening => known,
        Verdict::Cooling(cooldown) | Verdict::HalfOpen(cooldown) => {
            cooling_down(known, deployment, &cooldown, now)
        }
    }
}

fn cooling_down(known: Known, deployment: &Deployment, cooldown: &Cooldown, now: Millis) -> Known {
    let limited = cooldown.cause == Cause::RateLimited;
    let standing = if limited { Standing::Healthy } else { Standing::Unhealthy };
    let last = known.last.filter(|last| last.cause == Some(cooldown.cause));
    Known {
        failure: Some(cooldown.cause),
        checked_at: deployment.cooling_since(now),
        by_traffic: true,
        last,
        next_at: known.next_at,
        retry_after_s: Some(cooldown.until.since(now).div_ceil(1000)),
        ..Known::of(
            standing,
            if limited { "rate_limited" } else { "unhealthy" },
            Some(cooldown.cause.name()),
        )
    }
}

/// What a round showed.
pub(super) fn on_demand(
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
        Some(Answer::Probed(checked)) => checked.clone(),
        Some(Answer::OnHold(until)) => return left_alone(deployment, *until, now),
        Some(Answer::NotReached) | None => {
            return Known::of(Standing::Unprobed, "unchecked", Some("not_reached"));
        }
    };
    let status = match checked.finding {
        Finding::Healthy => Status::Healthy,
        Finding::RateLimited(_) => Status::RateLimited,
        Finding::Failing(cause) => Status::Unhealthy(cause),
        Finding::Unknown(doubt) => Status::Unknown(doubt),
        Finding::ProbeError => Status::Unprobed,
    };
    let mut known = from_status(deployment, status);
    if status == Status::Unprobed {
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

/// Not probed, because the credential is on hold: the deployment's own 429 shows that it answers, that of
/// another deployment with the same credential shows nothing.
fn left_alone(deployment: &Deployment, until: Millis, now: Millis) -> Known {
    let last = deployment.state.probes().last();
    let last = last.filter(|last| matches!(last.finding, Finding::RateLimited(_)));
    let mut known = match &last {
        Some(_) => from_status(deployment, Status::RateLimited),
        None => Known::of(Standing::Unprobed, "unchecked", Some(Cause::RateLimited.name())),
    };
    known.failure = Some(Cause::RateLimited);
    known.retry_after_s = Some(until.since(now).div_ceil(1000));
    known.checked_at = last.as_ref().map(|last| last.ended);
    known.last = last;
    known
}

/// Why a probe that ended gave no verdict.
fn doubt_of(last: &ProbeResult) -> Option<&'static str> {
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
        // The config asks for no deeper probe (`health_check_kind: metadata`).
        Status::Unknown(Doubt::Shallow) if deployment.probing.metadata => Standing::Healthy,
        Status::Unprobed | Status::Unknown(_) => Standing::Unprobed,
    };
    let failure = match status {
        Status::Unhealthy(cause) => Some(cause),
        Status::RateLimited => Some(Cause::RateLimited),
        Status::Unprobed | Status::Healthy | Status::Unknown(_) => None,
    };
    Known { failure, ..Known::of(standing, status.name(), status.cause()) }
}

/// Which list the deployment at `index` is in, without a new probe.
pub(crate) fn standing(serving: &Serving, index: DeploymentIndex, now: Millis) -> Standing {
    in_background(serving, index, now).standing
}
