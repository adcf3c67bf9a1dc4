//! The thread that sends probes: in the background by the schedule, and on demand.
//!
//! Started with the process. Always true: it serves no client, so that a probe delays no request; a panic in a
//! probe ends that probe, a panic elsewhere restarts the loop; every result reaches the state of each
//! deployment that it concerns, and every change is logged once.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hale_core::cause::Cause;
use hale_core::deployment::{Deployment, Taught};
use hale_core::health::probe::{Finding, ProbeResult, Schedule, Start, Status, Subject};
use hale_core::health::{Evidence, FailureCount};
use hale_core::time::Millis;
use tokio::runtime::LocalOptions;
use tokio::sync::{Semaphore, mpsc};

use super::request::Spending;
use super::round::{Rounds, sender};
use super::{probe, request};
use crate::clock;
use crate::events::What;
use crate::panics::CatchPanic;
use crate::state::health::{Command, Elsewhere, Health};
use crate::state::{Process, Serving};
use crate::{events, panics, upstream};

/// How often an idle loop looks for a new config and for idle connections.
const TICK: Duration = Duration::from_millis(500);
/// Results that may wait for the loop; it is more than the probes that can be in flight.
const RESULTS_MAX: usize = 2048;
/// Most probes on demand in flight: a live round is parallel, but bounded.
pub(super) const ON_DEMAND_MAX: usize = 256;

/// Starts the thread. It ends with the process.
///
/// # Errors
/// The thread cannot be spawned.
pub(crate) fn start(process: &Arc<Process>) -> std::io::Result<()> {
    let taken = process.health.receiver.lock().take();
    let heard = process.health.heard.lock().take();
    let (Some(mut commands), Some(mut heard)) = (taken, heard) else { return Ok(()) };
    let process = process.clone();
    std::thread::Builder::new().name("health".to_owned()).spawn(move || {
        let ended = panics::restarted(&process.metrics, "the health thread", || {
            upstream::close_idle(Millis(u64::MAX));
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build_local(LocalOptions::default())?;
            runtime.block_on(run(&process, &mut commands, &mut heard));
            Ok::<(), std::io::Error>(())
        });
        if let Err(error) = ended {
            tracing::error!(%error, "the health thread cannot start; health probes are off");
        }
    })?;
    Ok(())
}

/// A background probe that ended.
struct Ended {
    /// The config that it started with; the subject's indexes belong to it.
    serving: Arc<Serving>,
    subject: Subject,
    checked: Arc<ProbeResult>,
}

/// Runs until the process drops its end of the commands.
async fn run(
    process: &Arc<Process>,
    commands: &mut mpsc::Receiver<Command>,
    heard: &mut mpsc::Receiver<Elsewhere>,
) {
    let (results, mut ended) = mpsc::channel::<Ended>(RESULTS_MAX);
    let rounds = Rounds::new(process.clone(), Rc::new(Semaphore::new(ON_DEMAND_MAX)));
    let mut background = Background::new(&process.health, process.serving());
    loop {
        let now = clock::now().millis();
        process.health.beat.store(now.0, Ordering::Relaxed);
        let current = process.serving();
        if !Arc::ptr_eq(&current, &background.serving) {
            background = background.with(current, &process.health, now);
        }
        while let Ok(elsewhere) = heard.try_recv() {
            background.ended_elsewhere(&elsewhere);
        }
        let starts = if process.is_draining() {
            Vec::new()
        } else {
            background.starts(&process.health, now)
        };
        for start in starts {
            spawn(process, &background.serving, start, &results);
        }
        background.log_counts_when_due(now);
        background.grow_old(now);
        upstream::close_idle(now);
        let wake = background
            .schedule
            .wake(now)
            .min(now.plus(u64::try_from(TICK.as_millis()).unwrap_or(u64::MAX)));
        tokio::select! {
            Some(ended) = ended.recv() => {
                background.ended(&process.health, &ended);
                panics::fail_where_a_test_says("health loop");
            }
            Some(elsewhere) = heard.recv() => background.ended_elsewhere(&elsewhere),
            command = commands.recv() => match command {
                Some(command) => rounds.begin(command),
                None => return,
            },
            () = tokio::time::sleep_until(clock::timer_instant(wake)) => {}
        }
    }
}

/// Sends the probe in a task of its own.
fn spawn(
    process: &Arc<Process>,
    serving: &Arc<Serving>,
    start: Start,
    results: &mpsc::Sender<Ended>,
) {
    let Some(index) = sender(serving, &start.subject.members) else { return };
    if start.free_only {
        process.health.budget_reached(&start.subject.id, clock::now().millis());
    }
    let spending = if start.free_only { Spending::FreeOnly } else { Spending::Allowed };
    let (process, serving, results) = (process.clone(), serving.clone(), results.clone());
    tokio::task::spawn_local(async move {
        let checked = contained(&process, &serving, index, spending).await;
        let ended = Ended { serving, subject: start.subject, checked: Arc::new(checked) };
        // The receiver is gone only after a restart of the loop.
        let _gone: Result<(), _> = results.send(ended).await;
    });
}

/// The probe; a panic in it is a result that proves nothing.
pub(crate) async fn contained(
    process: &Arc<Process>,
    serving: &Arc<Serving>,
    index: hale_core::deployment::DeploymentIndex,
    spending: Spending,
) -> ProbeResult {
    let started = clock::now().millis();
    let check = async {
        panics::fail_where_a_test_says("check");
        probe::probe(process, serving, index, spending).await
    };
    CatchPanic(Box::pin(check)).await.unwrap_or_else(|()| {
        process.metrics.panics.fetch_add(1, Ordering::Relaxed);
        ProbeResult {
            started,
            ended: clock::now().millis(),
            finding: Finding::ProbeError,
            cause: Some(Cause::Gateway),
            status: None,
            obstacle: None,
            message: "the probe hit a bug in the gateway; please report it".into(),
            model: Box::default(),
            headers: Vec::new(),
        }
    })
}

/// Reports a probe's result to its deployment.
pub(super) fn record(
    serving: &Serving,
    deployment: &Deployment,
    probe: &Arc<ProbeResult>,
    failures: FailureCount,
) {
    let ignored = serving.snapshot.probing.ignores_transient
        && probe.finding == Finding::Failing(Cause::Timeout);
    let failures = if ignored { FailureCount::Never } else { failures };
    // Those who are told of the probe find its result in the deployment's state.
    let changes = deployment.apply(probe.ended, &Evidence::Probed { probe, failures });
    events::publish(What::Probe {
        deployment: deployment.id.clone(),
        finding: probe.finding.into(),
        cause: probe.cause.map(Cause::name),
        duration_ms: probe.ended.since(probe.started),
        result: probe.clone(),
    });
    events::health_changed(&deployment.id, changes);
}

/// The background probes of one config.
struct Background {
    serving: Arc<Serving>,
    schedule: Schedule,
    /// When the counts were logged last.
    logged_at: Millis,
    /// When verdicts were last checked for their age.
    aged_at: Millis,
}

impl Background {
    fn new(health: &Health, serving: Arc<Serving>) -> Background {
        let schedule = Schedule::default();
        let background = Background { serving, schedule, logged_at: Millis(0), aged_at: Millis(0) };
        let now = clock::now().millis();
        let settings = &background.serving.snapshot.probing;
        if settings.background {
            tracing::info!(
                "background_health_check_loop_started interval_seconds={} max_concurrency={} \
                 routing={}",
                settings.interval_ms / 1000,
                settings.concurrency,
                settings.routes()
            );
        }
        let serving = background.serving.clone();
        background.with(serving, health, now)
    }

    /// Switches to another config.
    fn with(mut self, serving: Arc<Serving>, health: &Health, now: Millis) -> Background {
        for deployment in &serving.snapshot.deployments {
            deployment.state.probes().plan_next(None);
        }
        let subjects = subjects(&serving);
        let mut limits = health.limits.lock();
        let void = self.schedule.plan(now, subjects, &serving.snapshot, &mut limits);
        drop(limits);
        for event in void {
            let change = event.on_wall_clock(clock::wall());
            events::publish(What::Health { change, seen_at: None });
        }
        self.serving = serving;
        self
    }

    fn starts(&mut self, health: &Health, now: Millis) -> Vec<Start> {
        self.schedule.start(now, &self.serving.snapshot, &mut health.limits.lock())
    }

    fn ended(&mut self, health: &Health, ended: &Ended) {
        let now = clock::now().millis();
        let members = ended.subject.members.iter();
        for deployment in members.map(|index| ended.serving.snapshot.deployment(*index)) {
            if self.is_unchanged(&deployment.id, ended) {
                record(&ended.serving, deployment, &ended.checked, FailureCount::WhenConfirmed);
            }
        }
        let Ended { subject, checked, .. } = ended;
        let result = hale_core::health::probe::Ended {
            subject,
            finding: checked.finding,
            chance: fastrand::u64(..),
        };
        let limits = &mut health.limits.lock();
        self.schedule.ended(now, &result, &self.serving.snapshot, limits);
        self.log_counts(now);
    }

    /// A probe of another replica ended.
    fn ended_elsewhere(&mut self, elsewhere: &Elsewhere) {
        let Elsewhere { deployment, probe, is_confirmed, age_ms } = elsewhere;
        let Some(subject) = self.schedule.subject(deployment).cloned() else { return };
        let failures = match is_confirmed {
            true => FailureCount::AtOnce,
            false => FailureCount::WhenConfirmed,
        };
        for index in &subject.members {
            let member = self.serving.snapshot.deployment(*index);
            // Its event is that of the replica that sent the probe.
            let changes = member.apply(probe.ended, &Evidence::Probed { probe, failures });
            events::health_changed(&member.id, changes);
        }
        let ended = hale_core::health::probe::Ended {
            subject: &subject,
            finding: probe.finding,
            chance: fastrand::u64(..),
        };
        let now = clock::now().millis();
        self.schedule.ended_elsewhere(now, &ended, *age_ms, &self.serving.snapshot);
        self.log_counts(now);
    }

    /// Whether the deployment with that id still has the address, credential and model that were probed.
    fn is_unchanged(&self, id: &str, ended: &Ended) -> bool {
        let by_id = &self.serving.snapshot.by_id;
        Arc::ptr_eq(&self.serving, &ended.serving)
            || by_id
                .get(id)
                .is_some_and(|index| request::subject(&self.serving, *index) == ended.subject.place)
    }

    /// Ends verdicts that are too old.
    fn grow_old(&mut self, now: Millis) {
        if u128::from(now.since(self.aged_at)) < TICK.as_millis() {
            return;
        }
        self.aged_at = now;
        let staleness_ms = self.serving.snapshot.probing.staleness_ms();
        for deployment in &self.serving.snapshot.deployments {
            let changes = deployment.apply(now, &Evidence::Aged { staleness_ms });
            events::health_changed(&deployment.id, changes);
        }
    }

    /// Logs the counts if they were not logged for an interval.
    fn log_counts_when_due(&mut self, now: Millis) {
        if now.since(self.logged_at) >= self.serving.snapshot.probing.interval_ms {
            self.log_counts(now);
        }
    }

    /// Logs how many deployments are healthy, if probes decide routing.
    fn log_counts(&mut self, now: Millis) {
        let settings = &self.serving.snapshot.probing;
        if !settings.routes() {
            return;
        }
        self.logged_at = now;
        if !tracing::enabled!(tracing::Level::DEBUG) {
            return;
        }
        let statuses = self.serving.snapshot.deployments.iter().map(|one| one.state.probes());
        let (mut healthy, mut unhealthy) = (0, 0);
        for checks in statuses {
            match checks.history(now, settings.staleness_ms()).status {
                Status::Healthy | Status::RateLimited => healthy += 1,
                Status::Unhealthy(_) => unhealthy += 1,
                Status::Unprobed | Status::Unknown(_) => {}
            }
        }
        tracing::debug!(
            "health_check_routing_state_updated healthy={healthy} unhealthy={unhealthy}"
        );
    }
}

/// Whether background probes skip the deployment.
pub(crate) fn is_not_probed(serving: &Serving, deployment: &Deployment) -> bool {
    let group = &serving.snapshot.group(deployment.group).name;
    deployment.misconfigured.is_some()
        || deployment.routing.is_paused
        || deployment.probing.opts_out
        || !serving.snapshot.probing.covers(group)
}

/// The subjects of background probes: deployments with equal probes share one.
fn subjects(serving: &Serving) -> Vec<Subject> {
    let mut subjects: Vec<Subject> = Vec::new();
    if !serving.snapshot.probing.background {
        return subjects;
    }
    let mut places: HashMap<u64, usize> = HashMap::new();
    for deployment in &serving.snapshot.deployments {
        if is_not_probed(serving, deployment) {
            continue;
        }
        let built = request::build(serving, deployment, (Spending::Allowed, &Taught::default()));
        let identity = built.identity(serving, deployment.index);
        if let Some(known) = places.get(&identity).and_then(|place| subjects.get_mut(*place)) {
            known.members.push(deployment.index);
            continue;
        }
        places.insert(identity, subjects.len());
        let mut upstream = DefaultHasher::new();
        serving.target(deployment.index).upstream.key.hash(&mut upstream);
        subjects.push(Subject {
            id: deployment.id.clone(),
            members: vec![deployment.index],
            place: request::subject(serving, deployment.index),
            upstream: upstream.finish(),
            credential: request::credential(serving, deployment),
            phase: phase(&deployment.id),
            nano_usd: built.estimate(deployment),
            budget_nano_usd: deployment.probing.daily_budget_nano_usd(),
        });
    }
    subjects
}

/// Where in the interval a deployment's first probe lies: the same for an id each time.
fn phase(id: &str) -> u64 {
    let mut hash = DefaultHasher::new();
    id.hash(&mut hash);
    hash.finish()
}
