//! A changed config, put in force whole or not at all.
//!
//! Runs in the background: on SIGHUP, and when a file of the config changed. Always true: a config with an
//! error changes nothing; deployments keep their state by id; requests in flight keep the config that they
//! began with; a reload that is asked for during another one follows it; none is put in force once the
//! process is stopping.
//!
//! What was made at run time comes the same way: rows of the store are another part of the config, beside its files.
//!
//! Files are read once a second rather than watched: that also sees what a mounted config map does (a
//! swapped link), and needs nothing of the operating system. A file that was rewritten as it was is no change.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hale_core::config::{self, Options, Problem, Severity, Stored};
use hale_core::health::Evidence;
use hale_core::settings::StoreSettings;
use hale_core::snapshot::Snapshot;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};
use tokio::time::MissedTickBehavior;

use super::address::{Asked, check_key};
use super::options::{ServeOptions, override_settings};
use crate::background::Background;
use crate::events::{self, Reload, What};
use crate::files::Files;
use crate::server::ClientTls;
use crate::sink::{self, Replacement};
use crate::state::Process;
use crate::stored::Order;
use crate::{clock, logging, panics};

/// How often the files of the config are read to see whether they changed.
const LOOK: Duration = Duration::from_secs(1);
/// Problems of a config after which the log's writer may catch up.
const PROBLEMS_AT_ONCE: usize = 1000;

/// The reloads of the process, as the control thread sees them.
pub(super) struct Reloads {
    asked: Arc<Notify>,
}

/// The orders, which one task takes at a time.
type Ordered = Arc<tokio::sync::Mutex<Option<mpsc::Receiver<Order>>>>;

/// Why the config is read.
enum Trigger {
    Signal,
    Look,
    Order(Order),
}

impl Reloads {
    /// Starts to look at the files of the config.
    pub(super) fn start(
        background: &Background,
        process: &Arc<Process>,
        reloader: Reloader,
    ) -> Reloads {
        let asked = Arc::new(Notify::new());
        let reloader = Arc::new(Mutex::new(reloader));
        let ordered = Arc::new(tokio::sync::Mutex::new(process.run_time.ordered()));
        let (inner, process, of_task) = (background.clone(), process.clone(), asked.clone());
        background.supervise("reloading", move || {
            let (asked, ordered) = (of_task.clone(), ordered.clone());
            watch(inner.clone(), process.clone(), reloader.clone(), (asked, ordered))
        });
        Reloads { asked }
    }

    /// Asks for a reload. Does not wait for it; one that is asked for while another runs follows it.
    pub(super) fn ask(&self) {
        self.asked.notify_one();
    }
}

async fn watch(
    background: Background,
    process: Arc<Process>,
    reloader: Arc<Mutex<Reloader>>,
    (asked, ordered): (Arc<Notify>, Ordered),
) {
    let mut ordered = ordered.lock().await;
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let trigger = tokio::select! {
            () = asked.notified() => Trigger::Signal,
            Some(order) = next(&mut ordered) => Trigger::Order(order),
            _ = look.tick() => Trigger::Look,
        };
        let (process, reloader) = (process.clone(), reloader.clone());
        let reload = move || {
            let mut reloader = reloader.lock();
            if let Some(tls) = &reloader.tls {
                tls.reload_if_changed();
            }
            match trigger {
                Trigger::Signal => drop(reloader.reload(&process, Told::All)),
                Trigger::Look => reloader.reload_if_changed(&process),
                Trigger::Order(order) => reloader.obey(&process, order),
            }
        };
        background.blocking("a reload", reload).await;
    }
}

/// The next order; none if no one can give one any more.
async fn next(ordered: &mut Option<mpsc::Receiver<Order>>) -> Option<Order> {
    match ordered {
        Some(ordered) => ordered.recv().await,
        None => None,
    }
}

/// Which problems of a config are logged.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    /// All.
    All,
    /// Those that the config before did not have.
    New,
}

/// Reloads one config.
pub(crate) struct Reloader {
    files: Files,
    root: String,
    watched: Vec<String>,
    options: ServeOptions,
    /// Where the process listens: everywhere, as long as it is not said.
    address: IpAddr,
    /// The certificate of connections with clients.
    tls: Option<Arc<ClientTls>>,
    /// What was made at run time.
    stored: Arc<Stored>,
    /// The problems of the config in force.
    known: HashSet<String>,
}

impl Reloader {
    /// Watches the files that were read for `root`.
    pub(crate) fn new(
        files: Files,
        root: String,
        watched: Vec<String>,
        options: ServeOptions,
    ) -> Reloader {
        let address = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let (stored, known) = (Arc::default(), HashSet::new());
        Reloader { files, root, watched, options, address, tls: None, stored, known }
    }

    /// Knows these problems already.
    pub(crate) fn knowing(self, problems: &[Problem]) -> Reloader {
        Reloader { known: problems.iter().map(Problem::to_string).collect(), ..self }
    }

    /// The process listens there.
    pub(crate) fn at(self, address: IpAddr) -> Reloader {
        Reloader { address, ..self }
    }

    /// Looks at the files of this certificate too.
    pub(crate) fn with(self, tls: Option<Arc<ClientTls>>) -> Reloader {
        Reloader { tls, ..self }
    }

    /// Reloads when a watched file holds something else than last time.
    fn reload_if_changed(&mut self, process: &Process) {
        if self.watched.iter().any(|path| self.files.changed(path)) {
            drop(self.reload(process, Told::All));
        }
    }

    /// Does what the admin API or the store wants.
    fn obey(&mut self, process: &Process, order: Order) {
        match order {
            Order::Apply(stored, answer) => {
                let before = std::mem::replace(&mut self.stored, stored);
                let result = self.reload(process, Told::New);
                if result.is_err() {
                    // A later change of a file is not refused because of it.
                    self.stored = before;
                }
                // The client of the admin API may have gone.
                let _gone: Result<_, _> = answer.send(result);
            }
            Order::Try(stored, answer) => {
                let before = process.serving();
                let options = Options { strict: self.options.strict };
                let given = (Some(&before.snapshot), &*stored);
                let load = || config::load_with(&self.files, &self.root, options, given);
                let loaded = panics::contained(&process.metrics, "trying a config", load);
                let problems = loaded.map(|loaded| loaded.problems).unwrap_or_default();
                let _gone: Result<_, _> = answer.send(problems);
            }
        }
    }

    /// Reads everything again and puts it in force if it is valid.
    ///
    /// # Errors
    /// Why it is not in force.
    fn reload(&mut self, process: &Process, told: Told) -> Result<(), String> {
        tracing::debug!("reading the config again");
        let metrics = &process.metrics;
        let mut refused = None;
        let result =
            match self.load(process, told).and_then(|snapshot| self.apply(process, snapshot)) {
                Ok(applied) => {
                    metrics.reloads_applied.fetch_add(1, Ordering::Relaxed);
                    applied
                }
                Err(reason) if process.is_draining() => {
                    tracing::info!("{reason}");
                    return Err(reason);
                }
                Err(reason) => {
                    metrics.reloads_refused.fetch_add(1, Ordering::Relaxed);
                    // A file that was renamed is opened again, whatever else the config has.
                    reopen(process);
                    refused = Some(reason.clone());
                    Reload::Refused { reason: reason.into() }
                }
            };
        events::publish(What::Reload(result));
        refused.map_or(Ok(()), Err)
    }

    /// Reads the files.
    fn load(&mut self, process: &Process, told: Told) -> Result<Snapshot, String> {
        let before = process.serving();
        let options = Options { strict: self.options.strict };
        let given = (Some(&before.snapshot), &*self.stored);
        let load = || config::load_with(&self.files, &self.root, options, given);
        let loaded = panics::contained(&process.metrics, "reading the changed config", load);
        let Some(loaded) = loaded else {
            return Err("the changed config could not be read; the one in force stays".to_owned());
        };
        let texts: HashSet<String> = loaded.problems.iter().map(Problem::to_string).collect();
        match told {
            Told::All => report(&loaded.problems.iter().collect::<Vec<_>>()),
            Told::New => {
                let is_new = |one: &&Problem| !self.known.contains(&one.to_string());
                report(&loaded.problems.iter().filter(is_new).collect::<Vec<_>>());
            }
        }
        self.known = texts;
        let mut files = loaded.files;
        if loaded.snapshot.is_none() {
            // A root file that no longer parses names no includes; those known stay watched.
            files.append(&mut self.watched);
            files.sort_unstable();
            files.dedup();
        }
        self.watched = files;
        loaded
            .snapshot
            .ok_or_else(|| "the changed config has errors; the one in force stays".to_owned())
    }

    /// Puts a config in force.
    fn apply(&self, process: &Process, mut snapshot: Snapshot) -> Result<Reload, String> {
        let before = process.serving();
        override_settings(&mut snapshot, &self.options);
        check_key(&snapshot.gateway, self.address, Asked::ByHost)
            .map_err(|problem| format!("{problem}; the config in force stays"))?;
        let kept = &before.snapshot.gateway.store;
        if (StoreSettings { required: kept.required, ..snapshot.gateway.store.clone() }) != *kept {
            tracing::warn!(
                "database_url and the keys store_* are read at start; restart to change them"
            );
        }
        let request_log = snapshot.gateway.request_log.as_deref();
        let shows = sink::file_shows(&snapshot.gateway.sinks);
        let file = match process.sinks.replacement(request_log, shows) {
            Ok(file) => file,
            Err(error) if before.snapshot.gateway.request_log.as_deref() == request_log => {
                stays(request_log, &error);
                Replacement::Keep
            }
            Err(error) => {
                let what = format!("request_log {}", request_log.unwrap_or_default());
                return Err(format!("{what} cannot be opened: {error}; the config in force stays"));
            }
        };
        if process.is_draining() {
            return Err("the process is stopping; the config in force stays".to_owned());
        }
        process
            .sinks
            .replace(file, &process.metrics)
            .map_err(|error| format!("request_log: {error}; the config in force stays"))?;
        let (groups, deployments) = (snapshot.listed_groups().count(), snapshot.deployments.len());
        carry_state(&before.snapshot, &snapshot);
        let summary = snapshot.gateway.sinks.summary();
        if summary != before.snapshot.gateway.sinks.summary() {
            tracing::info!("{}", summary.unwrap_or_else(|| "no sink gets records".to_owned()));
        }
        process.apply(snapshot);
        Ok(Reload::Applied { groups, deployments })
    }
}

/// Opens the file of records again if it was renamed.
fn reopen(process: &Process) {
    let serving = process.serving();
    let request_log = serving.snapshot.gateway.request_log.as_deref();
    let shows = sink::file_shows(&serving.snapshot.gateway.sinks);
    let opened = process.sinks.replacement(request_log, shows);
    if let Err(error) = opened.and_then(|file| process.sinks.replace(file, &process.metrics)) {
        stays(request_log, &error);
    }
}

fn stays(request_log: Option<&str>, error: &std::io::Error) {
    let path = request_log.unwrap_or_default();
    tracing::error!(%error, "request_log {path} cannot be opened again; the old file stays");
}

/// Logs all problems of a config. This thread may wait until the log takes more of them.
fn report(problems: &[&Problem]) {
    let mut is_read = true;
    for problems in problems.chunks(PROBLEMS_AT_ONCE) {
        for problem in problems {
            match problem.severity {
                Severity::Error => tracing::error!("{problem}"),
                Severity::Warning => tracing::warn!("{problem}"),
            }
        }
        if is_read && problems.len() == PROBLEMS_AT_ONCE {
            is_read = logging::flush();
        }
    }
}

/// Gives each deployment the state of the one with its id. What probes proved is void, and that is published,
/// where the upstream, the credential or the model is another one.
fn carry_state(before: &Snapshot, now: &Snapshot) {
    let at = clock::now().millis();
    for deployment in &now.deployments {
        let known = before.by_id.get(&deployment.id).map(|index| before.deployment(*index));
        let Some(known) = known else { continue };
        if !Arc::ptr_eq(&known.state, &deployment.state) {
            let before = &known.state.carried();
            let changes = deployment.apply(at, &Evidence::ConfigReplaced { before });
            events::health_changed(&deployment.id, changes);
        }
    }
}
