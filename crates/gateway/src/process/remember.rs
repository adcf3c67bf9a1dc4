//! What the process remembers over a restart: the store is opened, fed from the bus, and asked for settings.
//!
//! Called by the start, before a worker serves. Always true: no request waits for the store; a deployment that an operator
//! disabled is disabled again before the first request, if the database answers within [`OPEN_MAX`], else as soon as it does.

use std::collections::{HashMap, HashSet};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use hale_core::deployment::Deployment;
use hale_core::health::{Evidence, HealthPart, HealthSubject, OperatorAction};
use hale_core::settings::StoreSettings;
use hale_store::{
    Address, HealthChange, Kind, Means, OperatorAction as Action, Options, Retention, Sample,
    Setting, SpendRows, Status, Store, Stored, Threads, Watch, locate,
};
use tokio::task::JoinHandle;

use crate::background::Background;
use crate::events::{self, Event, Received, Reload, Shutdown, Subscriber, What};
use crate::keys::Keys;
use crate::metrics::{Metrics, Service};
use crate::pages::health::history;
use crate::state::Process;
use crate::{clock, upstream};

/// How long the start waits for the database and its settings.
const OPEN_MAX: Duration = Duration::from_secs(2);
/// How long the stop waits for the database.
const FINISH_MAX: Duration = Duration::from_secs(1);
/// Records of successful requests that a file gets a second: more would take the disk and a part of a core.
const PER_SECOND_IN_A_FILE: u32 = 200;
/// The variable that names the directory of the store.
const DATA_DIR: &str = "HALE_DATA_DIR";
/// The spool beside a server's address.
const SPOOL: &str = "hale.spool";
/// The directory of records that a sink does not take, in the directory of the store.
const SINKS: &str = "hale.sinks";
/// Deployments whose last action is kept in mind.
const ACTED_MAX: usize = 10_000;
/// Who acts with the master key.
const MASTER_KEY: &str = "master key";

/// Where the store of a process is.
pub(crate) struct Place {
    pub(crate) address: Address,
    spool: PathBuf,
    /// The directory of what is kept in files.
    pub(super) data_dir: PathBuf,
}

/// The directory of what a process with the config at `root` keeps in files.
fn data_dir(root: &str) -> PathBuf {
    let beside = Path::new(root).parent().filter(|parent| !parent.as_os_str().is_empty());
    std::env::var_os(DATA_DIR)
        .filter(|name| !name.is_empty())
        .map_or_else(|| beside.map_or_else(|| PathBuf::from("."), Path::to_owned), PathBuf::from)
}

/// The address by which commands on this machine reach the gateway.
fn url_of(scheme: &str, mut address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        address.set_ip(match address.is_ipv4() {
            true => Ipv4Addr::LOCALHOST.into(),
            false => Ipv6Addr::LOCALHOST.into(),
        });
    }
    format!("{scheme}://{address}")
}

/// The file that has the address of the gateway that serves from `file`, for commands that look for it.
pub(crate) fn address_beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".address");
    name.into()
}

/// The address that the settings name, else the file beside the config at `root`.
///
/// # Errors
/// When it cannot be one.
pub(crate) fn store_address(settings: &StoreSettings, root: &str) -> Result<Address, String> {
    Place::of(settings, root).map(|place| place.address)
}

impl Place {
    /// The place that the settings name, else beside the config at `root`.
    ///
    /// # Errors
    /// When an address cannot be one.
    pub(crate) fn of(settings: &StoreSettings, root: &str) -> Result<Place, String> {
        let data_dir = data_dir(root);
        let url = settings.database_url.as_ref().map(hale_core::secret::Secret::expose);
        let address = locate(url, &data_dir).map_err(|error| error.to_string())?;
        let spool = match &address {
            Address::File(path) => {
                let mut name = path.as_os_str().to_owned();
                name.push(".spool");
                name.into()
            }
            Address::Server(_) => data_dir.join(SPOOL),
        };
        Ok(Place { address, spool, data_dir })
    }

    /// Where records wait that a sink does not take.
    pub(super) fn sinks(&self) -> PathBuf {
        self.data_dir.join(SINKS)
    }
}

/// What runs for the store.
pub(super) struct Memory {
    store: Arc<Store>,
    keys: Arc<Keys>,
    recorder: JoinHandle<()>,
}

/// Opens the store of `process`, and applies the settings that it holds.
pub(super) fn start(
    background: &Background,
    process: &Arc<Process>,
    (place, scheme, address): (Place, &str, SocketAddr),
) -> Memory {
    let beside = match &place.address {
        Address::File(file) => Some(Arc::new((address_beside(file), url_of(scheme, address)))),
        Address::Server(_) => None,
    };
    let store = Store::new(options(background, process, place));
    process.remember(store.clone());
    let own = store.clone();
    background.supervise("the batches of the store", move || own.clone().collect());
    let own = store.clone();
    background.supervise("the writer of the store", move || own.clone().drain());
    let own = store.clone();
    background.supervise("the retention of the store", move || own.clone().retain());
    let own = process.keys.clone();
    background.supervise("the keys", move || own.clone().run());
    let (done, applied) = mpsc::channel();
    let (own, of_task) = (store.clone(), process.clone());
    background.supervise("the settings of the store", move || {
        restore(own.clone(), of_task.clone(), (done.clone(), beside.clone()))
    });
    // Subscribed now, before anything publishes.
    let mut first = Some(events::subscribe());
    let (own, of_task) = (store.clone(), process.clone());
    let recorder = background.supervise("the events of the store", move || {
        record(first.take().unwrap_or_else(events::subscribe), own.clone(), of_task.clone())
    });
    // A database that does not answer delays the start no longer.
    let _late: Result<(), _> = applied.recv_timeout(OPEN_MAX);
    Memory { store, keys: process.keys.clone(), recorder }
}

fn options(background: &Background, process: &Process, place: Place) -> Options {
    let settings = &process.serving().snapshot.gateway.store;
    let replica = std::env::var("HOSTNAME").ok().filter(|name| !name.is_empty());
    let replica = replica.unwrap_or_else(|| "hale".to_owned());
    let writer = format!("{replica}-{:x}-{:06x}", clock::unix_ms(), fastrand::u32(..1 << 24));
    let (per_second, calls): (u32, fn(&Metrics) -> &Service) = match &place.address {
        Address::File(_) => (PER_SECOND_IN_A_FILE, |metrics| &metrics.sqlite),
        Address::Server(_) => (u32::MAX, |metrics| &metrics.postgres),
    };
    let metrics = process.metrics.clone();
    let watch = Watch::new(move |call| {
        let failed = call.failed.map(|kind| (kind.name(), call.what));
        calls(&metrics).called(call.ms.saturating_mul(1000), failed);
    });
    Options {
        address: place.address,
        spool: place.spool,
        means: Means {
            threads: Threads::of(background.runtime()),
            roots: upstream::roots,
            now: clock::unix_ms,
        },
        replica: replica.into(),
        writer: writer.into(),
        retention: Retention {
            requests_days: settings.requests_days,
            history_days: settings.history_days,
            minutes_days: settings.minutes_days,
            probe_results: settings.probe_results,
            spend_days: settings.spend_days,
            file_bytes: settings.requests_max_bytes,
        },
        sample: Sample {
            failures: !settings.no_requests,
            share: if settings.no_requests { 0.0 } else { settings.requests_sample },
            per_second: settings.requests_per_second.unwrap_or(per_second),
        },
        spend: SpendRows {
            per_second: if settings.no_requests {
                0
            } else {
                settings.requests_per_second.unwrap_or(per_second)
            },
        },
        watch,
    }
}

impl Memory {
    /// Why this process must not run beside that database, if it must not.
    pub(super) fn refuses(&self) -> Option<String> {
        match self.store.status() {
            Status::Disconnected(error) if error.kind == Kind::Incomplete => {
                Some(error.to_string())
            }
            Status::Disconnected(_) | Status::Opening | Status::Connected | Status::NoPlace => None,
        }
    }

    /// Writes the last rows, within a bound. Called behind the last event.
    pub(super) async fn finish(self, background: &Background) {
        let _late: Result<_, _> = tokio::time::timeout(FINISH_MAX, self.recorder).await;
        let keys = self.keys;
        let spent = background.supervise("what keys have spent", move || {
            let keys = keys.clone();
            async move { keys.write().await }
        });
        let _late: Result<_, _> = tokio::time::timeout(FINISH_MAX, spent).await;
        let store = self.store;
        let last = background.supervise("the last rows of the store", move || {
            let store = store.clone();
            async move { store.finish(FINISH_MAX).await }
        });
        let _late: Result<_, _> = tokio::time::timeout(FINISH_MAX * 2, last).await;
    }
}

/// The name of the setting that says whether a deployment is disabled.
fn switch_of(deployment: &str) -> String {
    format!("deployment/{deployment}/disabled")
}

/// Applies the settings of the store once it is open, and again to deployments that a reload brings back.
async fn restore(
    store: Arc<Store>,
    process: Arc<Process>,
    (done, beside): (mpsc::Sender<()>, Option<Arc<(PathBuf, String)>>),
) {
    let mut events = events::subscribe();
    let status = store.opened(Duration::MAX).await;
    if status != Status::Connected {
        // The start waits for a database that is there, not for one that is not.
        let _gone: Result<(), _> = done.send(());
    }
    if status == Status::NoPlace {
        return;
    }
    store.connected().await;
    if let Some((file, url)) = beside.as_deref() {
        // The store has the lock of the file. Commands then ask at the default address.
        if let Err(error) = std::fs::write(file, url) {
            tracing::debug!(%error, "the address for commands could not be written");
        }
    }
    process.keys.read_hashes().await;
    let mut switches = Switches::default();
    switches.apply(&store, &process).await;
    let _gone: Result<(), _> = done.send(());
    loop {
        match events.next().await {
            Received::Event(event) => match &event.what {
                What::Reload(Reload::Applied { .. }) => switches.apply(&store, &process).await,
                What::Shutdown(Shutdown::Stopped) => return,
                What::Operator { deployment, action } => {
                    switches.acted(&process, deployment, *action);
                }
                What::Reload(Reload::Refused { .. })
                | What::Shutdown(_)
                | What::Health { .. }
                | What::Probe { .. }
                | What::Budget(_) => {}
            },
            Received::Missed(_) => switches.apply(&store, &process).await,
        }
    }
}

/// What operators of this process did to deployments. It is newer than what the store holds, whose rows are written in batches.
#[derive(Default)]
struct Switches {
    /// The last action on each deployment.
    acted: HashMap<Arc<str>, OperatorAction>,
    /// Deployments that the settings of the store disabled.
    restored: HashSet<Arc<str>>,
}

impl Switches {
    /// An operator did something. If it enabled what the store had disabled in the same moment, it is enabled.
    fn acted(&mut self, process: &Process, id: &Arc<str>, action: OperatorAction) {
        if action == OperatorAction::Reset {
            return;
        }
        if self.restored.remove(id) && action == OperatorAction::Enable {
            let serving = process.serving();
            let found = serving.snapshot.by_id.get(&**id);
            if let Some(deployment) = found.map(|index| serving.snapshot.deployment(*index))
                && deployment.state.is_disabled()
            {
                switched(deployment, action);
                process.waiting.look_again();
            }
        }
        // Deployments come and go with configs; a bound keeps the list small.
        if self.acted.len() >= ACTED_MAX && !self.acted.contains_key(id) {
            self.acted.clear();
        }
        self.acted.insert(id.clone(), action);
    }

    /// Disables what operators disabled, before the start or since.
    async fn apply(&mut self, store: &Store, process: &Process) {
        let settings = match store.settings().await {
            Ok(settings) => settings,
            Err(error) => {
                tracing::warn!(%error, "settings made at run time could not be read");
                return;
            }
        };
        let serving = process.serving();
        for deployment in &serving.snapshot.deployments {
            let name = switch_of(&deployment.id);
            let is_disabled = match self.acted.get(&deployment.id) {
                Some(action) => *action == OperatorAction::Disable,
                None => settings.iter().any(|one| *one.name == *name && &*one.value == "true"),
            };
            if is_disabled && !deployment.state.is_disabled() {
                switched(deployment, OperatorAction::Disable);
                self.restored.insert(deployment.id.clone());
                let deployment = &*deployment.id;
                tracing::warn!(deployment, "an operator disabled this deployment before the start");
            }
        }
        process.waiting.look_again();
    }
}

fn switched(deployment: &Deployment, action: OperatorAction) {
    let changes = deployment.apply(clock::now().millis(), &Evidence::Operator(action));
    events::health_changed(&deployment.id, changes);
}

/// Gives events to the store until the process has stopped.
async fn record(mut events: Subscriber, store: Arc<Store>, process: Arc<Process>) {
    loop {
        match events.next().await {
            Received::Event(event) => {
                put(&store, &process, &event);
                if matches!(event.what, What::Shutdown(Shutdown::Stopped)) {
                    return;
                }
            }
            Received::Missed(missed) => {
                tracing::warn!(missed, "events were dropped: the store lacks changes of health");
                for deployment in &process.serving().snapshot.deployments {
                    if deployment.state.is_disabled() {
                        store.put(&switch(
                            &deployment.id,
                            OperatorAction::Disable,
                            clock::unix_ms(),
                        ));
                    }
                }
            }
        }
    }
}

/// The setting that an action on a deployment leaves.
fn switch(deployment: &str, action: OperatorAction, at: u64) -> Stored<'static> {
    Stored::Setting(Setting {
        name: switch_of(deployment).into(),
        value: if action == OperatorAction::Disable { "true" } else { "false" }.into(),
        updated_at: at,
        updated_by: MASTER_KEY.into(),
    })
}

fn put(store: &Store, process: &Process, event: &Event) {
    match &event.what {
        What::Health { change, .. } => {
            let credential = match &change.subject {
                HealthSubject::Credential(id) => Some(id.to_string()),
                HealthSubject::Deployment(_) => None,
            };
            let deployment = match &change.subject {
                HealthSubject::Deployment(id) => Some(&**id),
                HealthSubject::Credential(_) => None,
            };
            let (model, operation) = match &change.part {
                HealthPart::Model { model, operation } => (Some(&**model), *operation),
                HealthPart::Breaker | HealthPart::Probes | HealthPart::Switch => (None, None),
            };
            store.put(&Stored::Health(HealthChange {
                at: change.at.0,
                deployment,
                credential: credential.as_deref(),
                part: change.part.name(),
                model,
                operation: operation.map(hale_core::operation::Operation::name),
                from: change.from.name(),
                to: change.to.name(),
                cause: change.cause,
                source: change.source.name(),
                until: change.until.map(|until| until.0),
                provider_issued: change.until.map(|_| change.provider_issued),
            }));
        }
        What::Probe { deployment, result, .. } => {
            let serving = process.serving();
            if let Some(row) = history::row(&serving, deployment, result) {
                store.put(&Stored::Probe(row));
            }
        }
        What::Operator { deployment, action } => {
            let at = event.unix_ms;
            let name = action.name();
            store.put(&Stored::Action(Action { at, actor: MASTER_KEY, action: name, deployment }));
            match action {
                OperatorAction::Disable | OperatorAction::Enable => {
                    store.put(&switch(deployment, *action, at));
                }
                OperatorAction::Reset => {}
            }
        }
        What::Reload(_) | What::Budget(_) | What::Shutdown(_) => {}
    }
}
