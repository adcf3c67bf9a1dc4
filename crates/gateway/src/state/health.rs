//! The process's side of the health thread: counters, ledgers and the channel for requests.
//!
//! Owned by the process, shared with the prober. Always true: only requests for probes wait for the thread.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hale_core::deployment::DeploymentIndex;
use hale_core::health::probe::{ProbeLimits, ProbeResult};
use hale_core::snapshot::Snapshot;
use hale_core::time::Millis;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use super::Serving;
use crate::clock;
use crate::events::{self, Budget, What};

/// Most requests for probes that wait for the thread.
const COMMANDS_MAX: usize = 64;
/// Most probes of other replicas that wait for the thread.
const ELSEWHERE_MAX: usize = 4096;
/// How often the log repeats that probes are ignored, milliseconds.
const WARN_EVERY_MS: u64 = 1_000;

/// The results of a round of probes.
pub(crate) type Round = Vec<(DeploymentIndex, Answer)>;

/// The result of a round for one deployment.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// It was probed.
    Probed(Arc<ProbeResult>),
    /// No probe was sent: the provider rate-limits this credential until then.
    OnHold(Millis),
    /// The round ended before its probe could start.
    NotReached,
}

/// A request to probe these deployments now.
pub(crate) struct Command {
    pub(crate) serving: Arc<Serving>,
    pub(crate) targets: Vec<DeploymentIndex>,
    pub(crate) answer: oneshot::Sender<Arc<Round>>,
}

/// A probe that another replica sent.
pub(crate) struct Elsewhere {
    /// The first of the deployments for which it counts.
    pub(crate) deployment: Arc<str>,
    /// What it found.
    pub(crate) probe: Arc<ProbeResult>,
    /// Whether that replica calls it unhealthy.
    pub(crate) is_confirmed: bool,
    /// How long ago it ended, milliseconds.
    pub(crate) age_ms: u64,
}

/// The process's side of the health thread.
pub(crate) struct Health {
    commands: mpsc::Sender<Command>,
    /// The receiving end, until the thread takes it.
    pub(crate) receiver: Mutex<Option<mpsc::Receiver<Command>>>,
    /// Probes of other replicas, on their way to the thread.
    pub(crate) elsewhere: mpsc::Sender<Elsewhere>,
    /// The receiving end, until the thread takes it.
    pub(crate) heard: Mutex<Option<mpsc::Receiver<Elsewhere>>>,
    /// When the thread last ran its loop, milliseconds.
    pub(crate) beat: AtomicU64,
    /// Probes that were sent.
    pub(crate) probes: AtomicU64,
    /// Probes that found a deployment unhealthy.
    pub(crate) failed: AtomicU64,
    /// Probes in flight.
    pub(crate) in_flight: AtomicU64,
    /// The cost of all probes, in units of 10^-9 USD.
    pub(crate) nano_usd: AtomicU64,
    /// What bounds probes, in the background and on demand. Locked briefly, never across an await.
    pub(crate) limits: Mutex<ProbeLimits>,
    /// Attempts that ignored probes, because every deployment was unhealthy.
    pub(crate) bypasses: AtomicU64,
    /// When that was last logged, milliseconds, plus 1.
    warned: AtomicU64,
    /// The last day on which a probe budget was found spent, plus 1.
    budget_day: AtomicU64,
}

impl Health {
    /// Sends no probe until the other replicas were heard, so that none of theirs is sent twice.
    pub(crate) fn wait_for_others(&self, snapshot: &Snapshot) {
        if snapshot.shared.probes {
            self.limits.lock().leases.hold(Some(HashMap::new()));
        }
    }

    /// A state without results.
    pub(crate) fn new() -> Health {
        let (commands, receiver) = mpsc::channel(COMMANDS_MAX);
        let (elsewhere, heard) = mpsc::channel(ELSEWHERE_MAX);
        Health {
            commands,
            receiver: Mutex::new(Some(receiver)),
            elsewhere,
            heard: Mutex::new(Some(heard)),
            beat: AtomicU64::new(0),
            probes: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            in_flight: AtomicU64::new(0),
            nano_usd: AtomicU64::new(0),
            limits: Mutex::new(ProbeLimits::with_zero_at(clock::started_unix_ms())),
            bypasses: AtomicU64::new(0),
            warned: AtomicU64::new(0),
            budget_day: AtomicU64::new(0),
        }
    }

    /// How long ago the thread ran its loop, milliseconds.
    pub(crate) fn age_ms(&self) -> u64 {
        clock::now().millis().since(Millis(self.beat.load(Ordering::Relaxed)))
    }

    /// The day's probe budget of `deployment`, or of all, is spent. The first time on a day is an event.
    pub(crate) fn budget_reached(&self, deployment: &Arc<str>, now: Millis) {
        let day = clock::day(now) + 1;
        if self.budget_day.swap(day, Ordering::Relaxed) != day {
            let budget = Budget { of: "probes", name: Box::from(&**deployment) };
            events::publish(What::Budget(budget));
        }
    }

    /// An attempt ignores probes, because every deployment is unhealthy.
    pub(crate) fn bypassed(&self, now: Millis) {
        self.bypasses.fetch_add(1, Ordering::Relaxed);
        let again = |warned: u64| {
            let due = warned == 0 || now.0 >= warned.saturating_add(WARN_EVERY_MS);
            due.then_some(now.0.saturating_add(1))
        };
        // Only one worker logs it.
        let relaxed = Ordering::Relaxed;
        if self.warned.fetch_update(relaxed, relaxed, again).is_ok() {
            tracing::warn!(
                "All deployments marked unhealthy by health checks, bypassing health filter"
            );
        }
    }

    /// Probes `targets` and waits for the results; `None` if the thread is full or failed.
    pub(crate) async fn round(
        &self,
        serving: &Arc<Serving>,
        targets: Vec<DeploymentIndex>,
    ) -> Option<Arc<Round>> {
        let (answer, answered) = oneshot::channel();
        let command = Command { serving: serving.clone(), targets, answer };
        self.commands.try_send(command).ok()?;
        answered.await.ok()
    }
}
