//! The thread that makes checks: in the background as the schedule says, and on demand.
//!
//! Started with the process. Always true: it serves no client, so that a check delays nobody; a fault of
//! our own in one check ends that check, anywhere else the loop, which begins anew; every result is told to
//! the state of each deployment that it is about, and every change is logged once.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hale_core::cause::Cause;
use hale_core::deployment::Deployment;
use hale_core::health::check::{Checked, Finding, Schedule, Start, Status, Subject};
use hale_core::time::Millis;
use tokio::runtime::LocalOptions;
use tokio::sync::{Semaphore, mpsc};

use super::round::Rounds;
use super::{probe, request};
use crate::clock;
use crate::events::What;
use crate::panics::CatchPanic;
use crate::state::health::{Command, Health};
use crate::state::{Process, Serving};
use crate::{events, panics, upstream};

/// How often the loop looks around when nothing happens: for another config, and for idle connections.
const LOOK: Duration = Duration::from_millis(500);
/// Results that may wait; there are never more checks under way.
const RESULTS_MAX: usize = 2048;
/// Checks under way on demand. Source: the contract, section 3.
pub(super) const ON_DEMAND_MAX: usize = 256;

/// Starts the thread. It ends with the process.
///
/// # Errors
/// What the system says.
pub(crate) fn start(process: &Arc<Process>) -> std::io::Result<()> {
    let taken = process.health.receiver.lock().take();
    let Some(mut commands) = taken else { return Ok(()) };
    let process = process.clone();
    std::thread::Builder::new().name("health".to_owned()).spawn(move || {
        let ended = panics::restarted(&process.metrics, "the health thread", || {
            upstream::close_idle(Millis(u64::MAX));
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build_local(LocalOptions::default())?;
            runtime.block_on(run(&process, &mut commands));
            Ok::<(), std::io::Error>(())
        });
        if let Err(error) = ended {
            tracing::error!(%error, "health checks could not start");
        }
    })?;
    Ok(())
}

/// A check in the background that ended.
struct Ended {
    /// The config that it began with, whose indexes the subject has.
    serving: Arc<Serving>,
    subject: Subject,
    checked: Checked,
}

/// Runs until the process drops its end of the commands.
async fn run(process: &Arc<Process>, commands: &mut mpsc::Receiver<Command>) {
    let (results, mut ended) = mpsc::channel::<Ended>(RESULTS_MAX);
    let rounds = Rounds::new(process.clone(), Rc::new(Semaphore::new(ON_DEMAND_MAX)));
    let mut background = Background::new(&process.health, process.serving());
    loop {
        let now = clock::now().millis();
        process.health.beat.store(now.0, Ordering::Relaxed);
        let current = process.serving();
        if !Arc::ptr_eq(&current, &background.serving) {
            background = background.with(current, now);
        }
        let starts = if process.is_draining() { Vec::new() } else { background.starts(now) };
        for start in starts {
            spawn(process, &background.serving, start, &results);
        }
        background.tell(now, false);
        background.grow_old(now);
        upstream::close_idle(now);
        let wake = background
            .schedule
            .wake(now)
            .min(now.plus(u64::try_from(LOOK.as_millis()).unwrap_or(u64::MAX)));
        tokio::select! {
            Some(ended) = ended.recv() => {
                background.ended(&ended);
                panics::fail_where_a_test_says("health loop");
            }
            command = commands.recv() => match command {
                Some(command) => rounds.begin(command),
                None => return,
            },
            () = tokio::time::sleep_until(clock::timer_instant(wake)) => {}
        }
    }
}

/// Makes the check in a task of its own.
fn spawn(
    process: &Arc<Process>,
    serving: &Arc<Serving>,
    start: Start,
    results: &mpsc::Sender<Ended>,
) {
    let Some(&index) = start.subject.members.first() else { return };
    if start.free_only {
        process.health.budget_reached(&start.subject.id, clock::now().millis());
    }
    let (process, serving, results) = (process.clone(), serving.clone(), results.clone());
    tokio::task::spawn_local(async move {
        let checked = contained(&process, &serving, index, start.free_only).await;
        let ended = Ended { serving, subject: start.subject, checked };
        // Nobody listens only when the loop has begun anew.
        let _gone: Result<(), _> = results.send(ended).await;
    });
}

/// The check; a fault of our own is one that proves nothing.
pub(crate) async fn contained(
    process: &Arc<Process>,
    serving: &Arc<Serving>,
    index: hale_core::deployment::DeploymentIndex,
    free_only: bool,
) -> Checked {
    let started = clock::now().millis();
    let check = async {
        panics::fail_where_a_test_says("check");
        probe::probe(process, serving, index, free_only).await
    };
    CatchPanic(Box::pin(check)).await.unwrap_or_else(|()| {
        process.metrics.panics.fetch_add(1, Ordering::Relaxed);
        Checked {
            started,
            ended: clock::now().millis(),
            finding: Finding::ProbeError,
            cause: Some(Cause::Gateway),
            status: None,
            obstacle: None,
            message: "the check failed by a fault of our own; please report it".into(),
            model: Box::default(),
            headers: Vec::new(),
        }
    })
}

/// Tells the deployment what a check found.
pub(super) fn record(serving: &Serving, deployment: &Deployment, checked: &Checked, confirm: bool) {
    events::publish(What::Probe {
        deployment: deployment.id.clone(),
        finding: checked.finding.into(),
        cause: checked.cause.map(Cause::name),
        duration_ms: checked.ended.since(checked.started),
    });
    let ignored = serving.snapshot.checks.ignores_transient
        && checked.finding == Finding::Failing(Cause::Timeout);
    let change = deployment.state.checks().checked(checked.clone(), confirm, !ignored);
    if let Some(change) = change {
        events::health_changed(&deployment.id, change);
    }
}

/// The background checks of one config.
struct Background {
    serving: Arc<Serving>,
    schedule: Schedule,
    /// When the log said last how many are well.
    told_at: Millis,
    /// When old verdicts were looked for last.
    aged_at: Millis,
}

impl Background {
    fn new(health: &Health, serving: Arc<Serving>) -> Background {
        let schedule = Schedule::new(health.ledger.clone(), health.quiet.clone());
        let background = Background { serving, schedule, told_at: Millis(0), aged_at: Millis(0) };
        let now = clock::now().millis();
        let settings = &background.serving.snapshot.checks;
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
        background.with(serving, now)
    }

    /// The same under another config.
    fn with(mut self, serving: Arc<Serving>, now: Millis) -> Background {
        for deployment in &serving.snapshot.deployments {
            deployment.state.checks().plan_next(None);
        }
        let subjects = subjects(&serving);
        let void = self.schedule.plan(now, subjects, &serving.snapshot, |id| {
            let mut hash = DefaultHasher::new();
            id.hash(&mut hash);
            hash.finish()
        });
        for (index, change) in void {
            events::health_changed(&serving.snapshot.deployment(index).id, change);
        }
        self.serving = serving;
        self
    }

    fn starts(&mut self, now: Millis) -> Vec<Start> {
        self.schedule.start(now, &self.serving.snapshot)
    }

    fn ended(&mut self, ended: &Ended) {
        let now = clock::now().millis();
        let members = ended.subject.members.iter();
        for deployment in members.map(|index| ended.serving.snapshot.deployment(*index)) {
            if self.still_asks(&deployment.id, ended) {
                record(&ended.serving, deployment, &ended.checked, true);
            }
        }
        let finding = ended.checked.finding;
        let snapshot = &self.serving.snapshot;
        self.schedule.ended(now, snapshot, &ended.subject, finding, fastrand::u64(..));
        self.tell(now, true);
    }

    /// Whether the config in force asks the same under that id as the check that ended: what was found
    /// out with another credential means nothing any more.
    fn still_asks(&self, id: &str, ended: &Ended) -> bool {
        let by_id = &self.serving.snapshot.by_id;
        Arc::ptr_eq(&self.serving, &ended.serving)
            || by_id
                .get(id)
                .is_some_and(|index| request::asked(&self.serving, *index) == ended.subject.place)
    }

    /// Ends the verdicts that are too old.
    fn grow_old(&mut self, now: Millis) {
        if u128::from(now.since(self.aged_at)) < LOOK.as_millis() {
            return;
        }
        self.aged_at = now;
        let staleness_ms = self.serving.snapshot.checks.staleness_ms();
        for deployment in &self.serving.snapshot.deployments {
            if let Some(change) = deployment.state.checks().grow_old(now, staleness_ms) {
                events::health_changed(&deployment.id, change);
            }
        }
    }

    /// Says how many are well: when routing has new verdicts, and at least once in an interval.
    fn tell(&mut self, now: Millis, updated: bool) {
        let settings = &self.serving.snapshot.checks;
        if !settings.routes() || !(updated || now.since(self.told_at) >= settings.interval_ms) {
            return;
        }
        self.told_at = now;
        if !tracing::enabled!(tracing::Level::DEBUG) {
            return;
        }
        let statuses = self.serving.snapshot.deployments.iter().map(|one| one.state.checks());
        let (mut healthy, mut unhealthy) = (0, 0);
        for checks in statuses {
            match checks.history(now, settings.staleness_ms()).status {
                Status::Healthy | Status::RateLimited => healthy += 1,
                Status::Unhealthy(_) => unhealthy += 1,
                Status::Unchecked | Status::Unknown(_) => {}
            }
        }
        tracing::debug!(
            "health_check_routing_state_updated healthy={healthy} unhealthy={unhealthy}"
        );
    }
}

/// Whether background checks leave it out.
pub(crate) fn is_left_out(serving: &Serving, deployment: &Deployment) -> bool {
    let group = &serving.snapshot.group(deployment.group).name;
    deployment.misconfigured.is_some()
        || deployment.routing.is_paused
        || deployment.probing.opts_out
        || !serving.snapshot.checks.covers(group)
}

/// Who is checked in the background; checks that are the same stand together.
fn subjects(serving: &Serving) -> Vec<Subject> {
    let mut subjects: Vec<Subject> = Vec::new();
    if !serving.snapshot.checks.background {
        return subjects;
    }
    let mut places: HashMap<u64, usize> = HashMap::new();
    for deployment in &serving.snapshot.deployments {
        if is_left_out(serving, deployment) {
            continue;
        }
        let built = request::build(serving, deployment, false);
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
            place: request::asked(serving, deployment.index),
            upstream: upstream.finish(),
            credential: request::credential(serving, deployment),
            nano_usd: built.estimate(deployment),
            budget_nano_usd: deployment.probing.daily_budget_nano_usd(),
        });
    }
    subjects
}
