//! What the process knows of its health thread, and how that is asked.
//!
//! Owned by the process, shared with the prober. Always true: no request waits for the thread but those that
//! ask for checks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hale_core::deployment::DeploymentIndex;
use hale_core::health::check::{Checked, Ledger, Quiet};
use hale_core::time::Millis;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use super::Serving;
use crate::clock;
use crate::events::{self, Budget, What};

/// Requests for checks that may wait for the thread.
const COMMANDS_MAX: usize = 64;
/// How often the log says that checks are ignored, milliseconds.
const WARN_EVERY_MS: u64 = 1_000;
/// A day of the budget of probes, milliseconds.
const DAY_MS: u64 = 86_400_000;

/// What a round of checks came to.
pub(crate) type Round = Vec<(DeploymentIndex, Answer)>;

/// What a round came to for one deployment.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// It was checked.
    Checked(Arc<Checked>),
    /// Nobody was asked: the provider wants this credential to be left alone until then.
    LeftAlone(Millis),
    /// There was no time or place for it.
    NotReached,
}

/// What the thread is asked for: checks of these deployments, now.
pub(crate) struct Command {
    pub(crate) serving: Arc<Serving>,
    pub(crate) targets: Vec<DeploymentIndex>,
    pub(crate) answer: oneshot::Sender<Arc<Round>>,
}

/// What the process knows of its health thread.
pub(crate) struct Health {
    commands: mpsc::Sender<Command>,
    /// The other end, until the thread takes it.
    pub(crate) receiver: Mutex<Option<mpsc::Receiver<Command>>>,
    /// When the thread was seen moving last, milliseconds.
    pub(crate) beat: AtomicU64,
    /// Checks that were sent.
    pub(crate) probes: AtomicU64,
    /// Of those, the ones that found something wrong.
    pub(crate) failed: AtomicU64,
    /// Checks under way.
    pub(crate) in_flight: AtomicU64,
    /// What checks cost, in units of 10^-9 USD.
    pub(crate) nano_usd: AtomicU64,
    /// What of a day's budget is spent, whoever spends it.
    pub(crate) ledger: Arc<Mutex<Ledger>>,
    /// Credentials that are to be left alone.
    pub(crate) quiet: Arc<Mutex<Quiet>>,
    /// Attempts that were made although checks spoke against everybody.
    pub(crate) bypasses: AtomicU64,
    /// When the log said so last, milliseconds, plus 1.
    warned: AtomicU64,
    /// The day, plus 1, on which the budget of probes was last found spent.
    budget_day: AtomicU64,
}

impl Health {
    /// Nothing yet.
    pub(crate) fn new() -> Health {
        let (commands, receiver) = mpsc::channel(COMMANDS_MAX);
        Health {
            commands,
            receiver: Mutex::new(Some(receiver)),
            beat: AtomicU64::new(0),
            probes: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            in_flight: AtomicU64::new(0),
            nano_usd: AtomicU64::new(0),
            ledger: Arc::default(),
            quiet: Arc::default(),
            bypasses: AtomicU64::new(0),
            warned: AtomicU64::new(0),
            budget_day: AtomicU64::new(0),
        }
    }

    /// How long ago the thread moved, milliseconds.
    pub(crate) fn age_ms(&self) -> u64 {
        clock::now().millis().since(Millis(self.beat.load(Ordering::Relaxed)))
    }

    /// A probe of `deployment` had to be free: its budget of the day is spent, or that of all. The first one of
    /// a day is an event.
    pub(crate) fn budget_reached(&self, deployment: &Arc<str>, now: Millis) {
        let day = now.0 / DAY_MS + 1;
        if self.budget_day.swap(day, Ordering::Relaxed) != day {
            let budget = Budget { of: "probes", name: Box::from(&**deployment) };
            events::publish(What::Budget(budget));
        }
    }

    /// A request is tried although checks speak against everybody who could answer it.
    pub(crate) fn bypassed(&self, now: Millis) {
        self.bypasses.fetch_add(1, Ordering::Relaxed);
        let again = |warned: u64| {
            let due = warned == 0 || now.0 >= warned.saturating_add(WARN_EVERY_MS);
            due.then_some(now.0.saturating_add(1))
        };
        // Of the workers that are about to say it one does.
        let relaxed = Ordering::Relaxed;
        if self.warned.fetch_update(relaxed, relaxed, again).is_ok() {
            tracing::warn!(
                "All deployments marked unhealthy by health checks, bypassing health filter"
            );
        }
    }

    /// Asks for checks of `targets` and waits for them; `None` when the thread has no room or failed.
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
