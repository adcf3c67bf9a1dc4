//! Everything that the first page of the dashboard shows, in one document: groups, their deployments, and how each is.
//!
//! Called by `GET /ui/overview`. Always true: no upstream is called; every deployment is in it exactly once; addresses are
//! in it for the master key only; it contains no secret.

use std::collections::BTreeMap;
use std::sync::Arc;

use hale_core::cause::Cause;
use hale_core::deployment::{Deployment, DeploymentIndex};
use hale_core::group::{GroupIndex, ModelGroup};
use hale_core::health::probe::Status;
use hale_core::health::{HealthEvent, HealthPart, Report, Standing as Stood};
use hale_core::settings::Fallback;
use hale_core::time::Millis;
use serde::Serialize;

use super::known::{Known, Sees, Standing, in_background};
use super::words::{error_text, hint};
use crate::metrics::{Reading, Series};
use crate::pages::router::{is_kept_away, state_of};
use crate::proxy::explain::unix_s;
use crate::state::{Process, Serving};
use crate::{advice, clock};

/// Failures in a row that make a deployment broken on the page.
const FAILING: u32 = 3;

#[derive(Serialize)]
struct Overview<'s> {
    unix_ms: u64,
    started_s: u64,
    version: &'static str,
    replica: &'s str,
    /// The other replicas that live.
    others: Vec<&'s str>,
    sharing: &'static str,
    strategy: &'static str,
    /// Requests that wait for their turn.
    waiting: u64,
    /// Whether probes run by themselves, and whether they decide what gets traffic.
    probes_in_background: bool,
    probes_route: bool,
    /// Whether there is a store, so that the past is known.
    has_store: bool,
    is_draining: bool,
    reloads_refused: u64,
    groups: Vec<Group<'s>>,
}

#[derive(Serialize)]
struct Group<'s> {
    name: &'s str,
    /// Whether clients find it in the list of models.
    is_listed: bool,
    /// Where its requests go when it fails, in order.
    fallbacks: Vec<&'s str>,
    /// Requests that no deployment answered.
    unanswered: u64,
    latency: Latency,
    deployments: Vec<Line<'s>>,
}

/// How long answers took since the start of the process, milliseconds.
#[derive(Default, Serialize)]
struct Latency {
    p50: Option<f64>,
    p95: Option<f64>,
    first_p50: Option<f64>,
    first_p95: Option<f64>,
}

/// The times behind [`Latency`].
#[derive(Default)]
struct Times {
    whole: Reading,
    first: Reading,
}

/// What is as it is for most deployments is left out: there may be ten thousand.
#[derive(Serialize)]
struct Line<'s> {
    id: &'s str,
    name: &'s str,
    model: &'s str,
    provider: &'s str,
    #[serde(skip_serializing_if = "Option::is_none")]
    api_base: Option<&'s str>,
    /// Where the config has it, if it cannot work.
    #[serde(skip_serializing_if = "Option::is_none")]
    declared_at: Option<&'s str>,
    /// The id of its credential, which events name.
    #[serde(skip_serializing_if = "Option::is_none")]
    credential: Option<String>,
    /// As on `/router/state`.
    state: &'static str,
    /// What to think of it at one look.
    light: Light,
    /// Whether it gets requests now.
    is_routed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    since_s: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_s: Option<u64>,
    #[serde(skip_serializing_if = "is_false")]
    provider_issued: bool,
    #[serde(skip_serializing_if = "is_zero")]
    in_flight: u64,
    #[serde(skip_serializing_if = "is_zero")]
    waiting: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    failures: BTreeMap<&'static str, u64>,
    #[serde(skip_serializing_if = "is_zero")]
    failures_in_a_row: u64,
    /// Requests that it ended, by whether they were answered.
    #[serde(skip_serializing_if = "is_zero")]
    answered: u64,
    #[serde(skip_serializing_if = "is_zero")]
    failed: u64,
    #[serde(skip_serializing_if = "Latency::is_unknown")]
    latency: Latency,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the form of serde's conditions")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the form of serde's conditions")]
fn is_false(flag: &bool) -> bool {
    !*flag
}

impl Latency {
    fn is_unknown(&self) -> bool {
        self.p50.is_none()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Light {
    Up,
    Limited,
    Down,
    Off,
    Unknown,
}

/// The document as JSON.
pub(crate) fn document(process: &Arc<Process>, serving: &Arc<Serving>, addresses: bool) -> Vec<u8> {
    let snapshot = &serving.snapshot;
    let now = clock::now().millis();
    let fleet = process.fleet.status.load();
    let view = View { process, serving, now, sees: Sees { details: true, addresses } };
    let overview = Overview {
        unix_ms: clock::unix_ms(),
        started_s: clock::started_unix_ms() / 1000,
        version: env!("CARGO_PKG_VERSION"),
        replica: &fleet.pod_id,
        others: fleet.others.iter().map(|one| &**one).collect(),
        sharing: fleet.sharing.name(),
        strategy: snapshot.router.strategy.name(),
        waiting: process.waiting.count(),
        probes_in_background: snapshot.probing.background,
        probes_route: snapshot.probing.routes(),
        has_store: process.store().is_some_and(|store| store.is_wanted()),
        is_draining: process.is_draining(),
        reloads_refused: process.metrics.reloads_refused.load(std::sync::atomic::Ordering::Relaxed),
        groups: (0..)
            .map(GroupIndex)
            .zip(&snapshot.groups)
            .filter(|one| view.is_shown(*one))
            .map(|one| view.group(one))
            .collect(),
    };
    serde_json::to_vec(&overview).unwrap_or_default()
}

/// How a group is, for clients: `up`, `degraded` (a part of it is down, or it is limited) or `down`. Calls no upstream.
pub(crate) fn state_of_group(serving: &Serving, group: &ModelGroup) -> &'static str {
    let now = clock::now().millis();
    let lights = group.members.iter().map(|index| {
        let deployment = serving.snapshot.deployment(*index);
        let known = in_background(serving, *index, now);
        let failing = failing(deployment, &deployment.state.report());
        light(state_of(&serving.snapshot, deployment, now).0, &known, failing)
    });
    let (mut serve, mut lack) = (0, 0);
    for one in lights {
        match one {
            Light::Up | Light::Unknown => serve += 1,
            Light::Limited => (serve, lack) = (serve + 1, lack + 1),
            Light::Down => lack += 1,
            Light::Off => {}
        }
    }
    match (serve, lack) {
        (0, _) => "down",
        (_, 0) => "up",
        _ => "degraded",
    }
}

/// What lines are made of.
struct View<'s> {
    process: &'s Process,
    serving: &'s Serving,
    now: Millis,
    sees: Sees,
}

impl<'s> View<'s> {
    /// Clients may also name the model of a deployment; that is no group that a config has, and it would be shown twice.
    fn is_shown(&self, (index, group): (GroupIndex, &ModelGroup)) -> bool {
        let lives_here =
            |one: &DeploymentIndex| self.serving.snapshot.deployment(*one).group == index;
        group.is_listed || group.members.iter().any(lives_here)
    }

    fn group(&self, (index, group): (GroupIndex, &'s ModelGroup)) -> Group<'s> {
        let mut times = Times::default();
        Group {
            name: &group.name,
            is_listed: group.is_listed,
            fallbacks: self.fallbacks(group).map(|one| &*one.name).collect(),
            unanswered: counts(self.serving.group(index)).1,
            deployments: group.members.iter().map(|one| self.line(*one, &mut times)).collect(),
            latency: times.shown(),
        }
    }

    fn fallbacks(&self, group: &ModelGroup) -> impl Iterator<Item = &'s Fallback> + use<'s> {
        let router = &self.serving.snapshot.router;
        let own = router.fallbacks.get(&*group.name).map_or(&[][..], |all| all);
        own.iter().chain(&router.default_fallbacks)
    }

    fn line(&self, index: DeploymentIndex, of_group: &mut Times) -> Line<'s> {
        let (snapshot, now) = (&self.serving.snapshot, self.now);
        let deployment: &'s Deployment = snapshot.deployment(index);
        let state = &deployment.state;
        let report = state.report();
        let known = in_background(self.serving, index, now);
        let (name, cooldown) = state_of(snapshot, deployment, now);
        let series = self.serving.series(index);
        let times = Times::of(series);
        of_group.merge(&times);
        let (answered, failed) = counts(series);
        let failing = failing(deployment, &report);
        let light = light(name, &known, failing);
        let is_bad = matches!(light, Light::Down | Light::Limited);
        let failures = Cause::ALL.into_iter().map(|cause| (cause.name(), state.failures(cause)));
        Line {
            id: &deployment.id,
            name: &deployment.display.name,
            model: &deployment.endpoint.model_param,
            provider: &deployment.endpoint.provider.name,
            api_base: Some(&*deployment.endpoint.api_base).filter(|_| self.sees.addresses),
            declared_at: deployment
                .misconfigured
                .as_ref()
                .map(|_| &*deployment.display.declared_at),
            credential: deployment.credential.id.map(|id| id.to_string()),
            state: name,
            light,
            is_routed: is_routed(name) && !is_kept_away(snapshot, deployment, now),
            cause: cooldown
                .map(|cooldown| cooldown.cause)
                .or(failing)
                .map(Cause::name)
                .or(known.cause),
            error: Some(error_text(deployment, &known, self.sees)).filter(|text| !text.is_empty()),
            hint: hint(deployment, &known, self.sees).or_else(|| fix(deployment, failing?)),
            since_s: (since(deployment, &known, now))
                .or(report.errors.first().filter(|_| failing.is_some()).map(|first| first.0))
                .filter(|_| is_bad || light == Light::Off)
                .map(|at| unix_s(at, now)),
            retry_after_s: cooldown
                .map(|cooldown| cooldown.until.since(now).div_ceil(1000))
                .or(known.retry_after_s),
            provider_issued: cooldown.is_some_and(|cooldown| cooldown.provider_issued),
            in_flight: state.in_flight().into(),
            waiting: self.process.waiting.at(deployment).into(),
            failures: failures.filter(|(_, count)| *count > 0).collect(),
            failures_in_a_row: report.failures_in_a_row.into(),
            answered,
            failed,
            latency: times.shown(),
        }
    }
}

/// Why requests fail at it, if the last few did, whether or not that keeps requests away from it: a lone deployment goes on.
fn failing(deployment: &Deployment, report: &Report) -> Option<Cause> {
    let last = report.errors.last().map(|&(_, cause, _)| cause);
    last.filter(|_| report.failures_in_a_row >= FAILING && !deployment.state.is_disabled())
}

fn fix(deployment: &Deployment, cause: Cause) -> Option<String> {
    let status = deployment.state.last_status();
    advice::fix(deployment, &advice::Failure { cause, obstacle: None, status, message: "" })
}

fn light(state: &str, known: &Known, failing: Option<Cause>) -> Light {
    match state {
        "disabled" | "paused" | "reserved" => return Light::Off,
        "misconfigured" | "unhealthy" => return Light::Down,
        "over_budget" => return Light::Limited,
        _ => {}
    }
    match known.standing {
        Standing::Healthy if known.status == "rate_limited" => Light::Limited,
        Standing::Unhealthy => Light::Down,
        Standing::Healthy | Standing::Unprobed if failing == Some(Cause::RateLimited) => {
            Light::Limited
        }
        Standing::Healthy | Standing::Unprobed if failing.is_some() => Light::Down,
        Standing::Healthy => Light::Up,
        Standing::Unprobed => Light::Unknown,
    }
}

fn is_routed(state: &str) -> bool {
    matches!(state, "ready" | "reopening" | "trial")
}

/// Since when it has not been as it should be.
fn since(deployment: &Deployment, known: &Known, now: Millis) -> Option<Millis> {
    let mut began: BTreeMap<&'static str, Millis> = BTreeMap::new();
    for event in deployment.events() {
        let HealthEvent { part, to, at, .. } = event;
        let part = match part {
            HealthPart::Breaker => "breaker",
            HealthPart::Probes => "probes",
            HealthPart::Switch => "switch",
            HealthPart::Model { .. } => continue,
        };
        let is_bad = match to {
            Stood::Cooldown | Stood::Disabled | Stood::Probed(Status::Unhealthy(_)) => true,
            Stood::Ready | Stood::Enabled | Stood::Probed(_) => false,
        };
        if is_bad {
            began.entry(part).or_insert(at);
        } else {
            began.remove(part);
        }
    }
    let first = began.into_values().min();
    first.or(deployment.cooling_since(now)).or(known.checked_at)
}

/// Requests that were answered, and those that were not.
fn counts(series: &Series) -> (u64, u64) {
    let (mut answered, mut failed) = (0, 0);
    series.each(|_, cell| {
        answered += cell.answered().map_or(0, |counters| reading(&counters.duration).count());
        failed += cell.failed().map_or(0, |counters| reading(&counters.duration).count());
    });
    (answered, failed)
}

fn reading(histogram: &crate::metrics::Histogram) -> Reading {
    let mut reading = Reading::default();
    reading.add(histogram);
    reading
}

impl Times {
    fn of(series: &Series) -> Times {
        let mut times = Times::default();
        series.each(|_, cell| {
            if let Some(counters) = cell.answered() {
                times.whole.add(&counters.duration);
                times.first.add(&counters.first_content);
            }
        });
        times
    }

    fn merge(&mut self, other: &Times) {
        self.whole.merge(&other.whole);
        self.first.merge(&other.first);
    }

    fn shown(&self) -> Latency {
        Latency {
            p50: self.whole.quantile_ms(0.5),
            p95: self.whole.quantile_ms(0.95),
            first_p50: self.first.quantile_ms(0.5),
            first_p95: self.first.quantile_ms(0.95),
        }
    }
}
