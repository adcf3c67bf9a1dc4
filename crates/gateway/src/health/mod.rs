//! Active health checks: the thread that makes them, what it is told, and the pages about it.
//!
//! Owned by the process. When to check whom is decided by [`hale_core::health::check::Schedule`], what an
//! answer proves by [`hale_core::health::check::judge`]; a check is an attempt like any other
//! ([`crate::proxy::attempt`]). Always true: checks have a thread of their own, which is begun anew when it
//! fails; no request waits for it but those that ask for checks.

mod drain;
pub(crate) mod fetch;
mod listing;
mod probe;
pub(crate) mod remedy;
mod report;
mod round;
mod targets;
mod test_connection;
mod thread;
mod words;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hale_core::deployment::DeploymentIndex;
use hale_core::endpoint::HealthAction;
use hale_core::health::check::{Change, Checked, Ledger, Quiet, Status};
use hale_core::time::Millis;
use http::Response;
use http::request::Parts;
use hyper::body::Incoming;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

pub(crate) use self::probe::listed;
pub(crate) use self::report::{Standing, standing};
pub(crate) use self::round::{Alike, alike};
pub(crate) use self::thread::{contained, start};
use crate::clock;
use crate::proxy::Arrival;
use crate::proxy::explain::Refusal;
use crate::proxy::reply::Reply;
use crate::state::Serving;

/// Requests for checks that may wait for the thread.
const COMMANDS_MAX: usize = 64;
/// How often the log says that checks are ignored, milliseconds.
const WARN_EVERY_MS: u64 = 1_000;

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
    serving: Arc<Serving>,
    targets: Vec<DeploymentIndex>,
    answer: oneshot::Sender<Arc<Round>>,
}

/// What the process knows of its health thread.
pub(crate) struct Health {
    commands: mpsc::Sender<Command>,
    /// The other end, until the thread takes it.
    receiver: Mutex<Option<mpsc::Receiver<Command>>>,
    /// When the thread was seen moving last, milliseconds.
    beat: AtomicU64,
    /// Checks that were sent.
    pub(crate) probes: AtomicU64,
    /// Of those, the ones that found something wrong.
    pub(crate) failed: AtomicU64,
    /// Checks under way.
    pub(crate) in_flight: AtomicU64,
    /// What checks cost, in units of 10^-9 USD.
    pub(crate) nano_usd: AtomicU64,
    /// What of a day's budget is spent, whoever spends it.
    ledger: Arc<Mutex<Ledger>>,
    /// Credentials that are to be left alone.
    quiet: Arc<Mutex<Quiet>>,
    /// Attempts that were made although checks spoke against everybody.
    pub(crate) bypasses: AtomicU64,
    /// When the log said so last, milliseconds, plus 1.
    warned: AtomicU64,
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
        }
    }

    /// How long ago the thread moved, milliseconds.
    pub(crate) fn age_ms(&self) -> u64 {
        clock::now().millis().since(Millis(self.beat.load(Ordering::Relaxed)))
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
    async fn round(
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

/// The page, or what else was asked for.
///
/// # Errors
/// The refusal to send.
pub(crate) async fn answer(
    action: HealthAction,
    arrival: &Arrival,
    head: &Parts,
    incoming: Incoming,
) -> Result<Response<Reply>, Refusal> {
    match action {
        HealthAction::Report => Ok(report::page(arrival, head.uri.query()).await),
        HealthAction::TestConnection => test_connection::run(arrival, head, incoming).await,
        HealthAction::Drain => Ok(drain::run(arrival, &head.headers).await),
    }
}

/// Says once what changed. Every change of what checks and answers prove comes through here.
pub(crate) fn announce(deployment: &str, change: &Change) {
    let (from, to, source) = (change.from, change.to, change.source.name());
    let (cause, before) = (change.cause(), from.name());
    match (from, to) {
        (_, Status::Unhealthy(_)) => {
            tracing::warn!(deployment, cause, from = before, source, "deployment is unhealthy");
        }
        // Whoever has little traffic goes there and back all day.
        (Status::Unchecked, Status::Healthy) | (Status::Healthy, Status::Unchecked) => {
            tracing::debug!(
                deployment,
                cause,
                from = before,
                source,
                "deployment is {}",
                to.name()
            );
        }
        (_, Status::Healthy | Status::RateLimited | Status::Unchecked | Status::Unknown(_)) => {
            tracing::info!(deployment, cause, from = before, source, "deployment is {}", to.name());
        }
    }
}
