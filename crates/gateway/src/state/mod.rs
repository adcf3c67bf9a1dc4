//! The state of the process: the config in force, what is prepared from it, and the counters.
//!
//! Workers read [`Serving`] once per request; [`crate::process`] replaces it. Always true: a request keeps
//! the [`Serving`] that it started with until its last byte.

pub(crate) mod alerts;
pub(crate) mod answer_template;
pub(crate) mod fleet;
pub(crate) mod health;
pub(crate) mod kept_responses;
pub(crate) mod object_ids;
mod stalls;
pub(crate) mod under_way;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use hale_core::cache::CacheKind;
use hale_core::deployment::{Deployment, DeploymentIndex};
use hale_core::group::GroupIndex;
use hale_core::snapshot::Snapshot;
use hale_store::{Address, Store};

use self::alerts::Alerts;
use self::answer_template::AnswerTemplate;
use self::fleet::Fleet;
use self::health::Health;
use self::kept_responses::KeptResponses;
use self::object_ids::ObjectIds;
use self::stalls::Stalls;
use crate::cache::{self, AnswerCache};
use crate::clock;
use crate::http::browser::{Guard, Reach};
use crate::keys::Keys;
use crate::limits::Buffered;
use crate::metrics::{Metrics, Series};
use crate::mirror::Mirror;
use crate::resume::ResumableStreams;
use crate::sink::Sinks;
use crate::stored::RunTime;
use crate::upstream::Target;
use crate::waiting::Waiting;

/// What the requests of one worker share. It is counted per worker, because an atomic count shared by all
/// workers costs more.
pub(crate) struct Worker {
    /// The process.
    pub(crate) process: Arc<Process>,
    stalls: Stalls,
    /// Its requests that have no content yet, if they are watched.
    pub(crate) under_way: Arc<under_way::List>,
}

impl Worker {
    /// A worker of `process`.
    pub(crate) fn new(process: Arc<Process>) -> Worker {
        let under_way = process.alerts.under_way.list();
        Worker { process, stalls: Stalls::default(), under_way }
    }

    /// Notes the end of a poll of one of its connections.
    pub(crate) fn polled(&self) {
        self.stalls.look(&self.process.metrics);
    }
}

/// The process.
pub(crate) struct Process {
    serving: ArcSwap<Serving>,
    /// The counters.
    pub(crate) metrics: Arc<Metrics>,
    /// The sinks of records.
    pub(crate) sinks: Arc<Sinks>,
    /// What is remembered over a restart.
    store: OnceLock<Arc<Store>>,
    /// The process's side of the health thread.
    pub(crate) health: Health,
    /// The process's side of the fleet.
    pub(crate) fleet: Fleet,
    /// The process's side of telling people.
    pub(crate) alerts: Alerts,
    /// The requests that wait for their turn.
    pub(crate) waiting: Arc<Waiting>,
    /// Whether the process is about to stop.
    draining: AtomicBool,
    /// Whether no client is accepted any more.
    closed: AtomicBool,
    /// Whether requests in flight are being cut.
    cutting: AtomicBool,
    /// Which machines reach it.
    reach: Reach,
    /// Bytes of bodies that are held.
    pub(crate) buffered: Arc<Buffered>,
    /// The answers that are kept.
    pub(crate) answers: Arc<AnswerCache>,
    /// The keys that are in use.
    pub(crate) keys: Arc<Keys>,
    /// What was made at run time.
    pub(crate) run_time: RunTime,
    /// The responses that are kept for clients.
    pub(crate) responses: KeptResponses,
    /// The streams whose clients may come back.
    pub(crate) resumable: ResumableStreams,
    /// The sample of requests that a second gateway gets.
    pub(crate) mirror: Arc<Mirror>,
}

/// One config, ready to serve.
pub(crate) struct Serving {
    /// The config.
    pub(crate) snapshot: Snapshot,
    /// The deployments, in the snapshot's order.
    deployments: Vec<Ready>,
    /// Signs the ids of stored objects.
    pub(crate) ids: Arc<ObjectIds>,
    /// The counters of each group, in the snapshot's order.
    groups: Vec<Arc<Series>>,
    /// The counters of requests without a group.
    pub(crate) no_group: Arc<Series>,
    /// What keeps foreign pages out.
    pub(crate) guard: Guard,
    /// Whether what a request needs from a model is read: some deployment is known to lack something, or said so.
    pub(crate) reads_needs: AtomicBool,
}

/// A deployment, ready to serve.
struct Ready {
    /// The target of its requests.
    target: Target,
    /// The headers that its answers share.
    answers: AnswerTemplate,
    /// What the requests add up to that it ended.
    series: Arc<Series>,
}

impl Process {
    /// A process that serves `snapshot` to the machines within `reach`.
    pub(crate) fn new(snapshot: Snapshot, sinks: Sinks, reach: Reach) -> Process {
        let metrics = Arc::new(Metrics::new(&snapshot.gateway.metrics));
        let ids = ObjectIds::of(snapshot.gateway.master_key.as_ref());
        let waiting = Arc::new(Waiting::new(&snapshot));
        let answers = Arc::new(AnswerCache::new());
        answers.configure(snapshot.gateway.cache.as_ref(), answers_place(&snapshot));
        let health = Health::new();
        if snapshot.shared.redis.is_some() {
            health.wait_for_others(&snapshot);
        }
        let alerts = Alerts::default();
        alerts.configure(&snapshot.gateway.alerts);
        let serving = Serving::new(snapshot, ids, &metrics, reach);
        Process {
            serving: ArcSwap::from_pointee(serving),
            metrics,
            sinks: Arc::new(sinks),
            store: OnceLock::new(),
            reach,
            health,
            fleet: Fleet::default(),
            alerts,
            waiting,
            draining: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            cutting: AtomicBool::new(false),
            buffered: Arc::default(),
            answers,
            keys: Arc::default(),
            run_time: RunTime::default(),
            responses: KeptResponses::default(),
            resumable: ResumableStreams::default(),
            mirror: Arc::default(),
        }
    }

    /// Remembers what happens in `store`, from now on.
    pub(crate) fn remember(&self, store: Arc<Store>) {
        self.sinks.remember(store.clone(), self.keys.clone());
        self.keys.remember(store.clone());
        // Set once, by the start.
        let _known: Result<(), _> = self.store.set(store);
        if self.remembers_on_a_server() {
            self.health.wait_for_others(&self.serving().snapshot);
        }
    }

    /// What is remembered over a restart, if anything is.
    pub(crate) fn store(&self) -> Option<&Arc<Store>> {
        self.store.get()
    }

    /// Whether other processes can reach what is remembered.
    pub(crate) fn remembers_on_a_server(&self) -> bool {
        self.store().is_some_and(|store| matches!(store.address(), Address::Server(_)))
    }

    /// What became of rows for the store.
    pub(crate) fn stored(&self) -> hale_store::Figures {
        self.store().map_or_else(hale_store::Figures::default, |store| store.figures())
    }

    /// The config in force.
    pub(crate) fn serving(&self) -> Arc<Serving> {
        self.serving.load_full()
    }

    /// Puts another config in force.
    pub(crate) fn apply(&self, snapshot: Snapshot) {
        self.metrics.drop_gone(clock::now().millis());
        let (old, key) = (self.serving.load(), snapshot.gateway.master_key.as_ref());
        let ids = if old.ids.is_of(key) { old.ids.clone() } else { ObjectIds::of(key) };
        let serving = Arc::new(Serving::new(snapshot, ids, &self.metrics, self.reach));
        // First: what the new config captures has its sinks already.
        self.sinks.configure(&serving.snapshot.gateway.sinks);
        self.serving.store(serving.clone());
        let snapshot = &serving.snapshot;
        self.alerts.configure(&snapshot.gateway.alerts);
        self.answers.configure(snapshot.gateway.cache.as_ref(), answers_place(snapshot));
        self.waiting.reconfigured(&serving.snapshot);
    }

    /// Whether the process is about to stop.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Marks the process as about to stop.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether no client is accepted any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Notes that no client is accepted any more.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    /// Whether the gateway cuts requests that are still in flight.
    pub(crate) fn is_cutting(&self) -> bool {
        self.cutting.load(Ordering::Relaxed)
    }

    /// Starts to cut requests that are still in flight.
    pub(crate) fn cut(&self) {
        self.cutting.store(true, Ordering::Relaxed);
    }
}

/// Where answers are kept besides the memory of the process.
fn answers_place(snapshot: &Snapshot) -> Option<cache::Place> {
    let settings = snapshot.gateway.cache.as_ref()?;
    let at = match &settings.kind {
        CacheKind::Memory => return None,
        CacheKind::Redis => cache::At::Redis(Box::new(snapshot.shared.answers.clone()?)),
        CacheKind::Disk(disk) => cache::At::Disk(Path::new(&*disk.dir).into(), disk.bytes),
    };
    let (namespace, answer_bytes) = (settings.namespace.clone(), settings.answer_bytes);
    Some(cache::Place { at, namespace, answer_bytes })
}

/// Whether some deployment is known to lack something, by the config or by its own word before a reload.
fn reads_needs(snapshot: &Snapshot) -> AtomicBool {
    let now = clock::now().millis();
    let said = |one: &Arc<Deployment>| !one.state.lacking(now).is_empty();
    AtomicBool::new(snapshot.inspects.needs || snapshot.deployments.iter().any(said))
}

impl Serving {
    fn new(snapshot: Snapshot, ids: Arc<ObjectIds>, metrics: &Metrics, reach: Reach) -> Serving {
        Serving {
            ids,
            deployments: Ready::all(&snapshot, |group, one| metrics.deployment(group, one)),
            groups: snapshot.groups.iter().map(|group| metrics.group(&group.name)).collect(),
            no_group: metrics.group(&Arc::default()),
            guard: Guard::of(snapshot.gateway.master_key.as_ref(), reach),
            reads_needs: reads_needs(&snapshot),
            snapshot,
        }
    }

    /// A config that is tested and never in force: its groups have no counters.
    pub(crate) fn apart(snapshot: Snapshot) -> Serving {
        let uncounted = Metrics::default().hidden();
        Serving {
            ids: ObjectIds::of(None),
            deployments: Ready::all(&snapshot, |_, _| uncounted.clone()),
            groups: snapshot.groups.iter().map(|_| uncounted.clone()).collect(),
            no_group: uncounted,
            guard: Guard::OriginAndHost,
            reads_needs: reads_needs(&snapshot),
            snapshot,
        }
    }

    /// The target of the deployment at `index`.
    pub(crate) fn target(&self, index: DeploymentIndex) -> &Target {
        &self.deployments[index.0 as usize].target
    }

    /// The headers that the answers of the deployment at `index` share.
    pub(crate) fn answer_template(&self, index: DeploymentIndex) -> &AnswerTemplate {
        &self.deployments[index.0 as usize].answers
    }

    /// The counters of the group at `index`.
    pub(crate) fn group(&self, index: GroupIndex) -> &Series {
        &self.groups[index.0 as usize]
    }

    /// The counters of the deployment at `index`.
    pub(crate) fn series(&self, index: DeploymentIndex) -> &Series {
        &self.deployments[index.0 as usize].series
    }
}

impl Ready {
    /// All deployments of `snapshot`; `counted` says where the requests of each are counted.
    fn all(
        snapshot: &Snapshot,
        counted: impl Fn(&Arc<str>, &Deployment) -> Arc<Series>,
    ) -> Vec<Ready> {
        let kept = snapshot.gateway.kept_connections;
        let ready = |deployment: &Arc<Deployment>| Ready {
            target: Target::new(deployment, kept),
            answers: AnswerTemplate::new(deployment),
            series: counted(&snapshot.group(deployment.group).name, deployment),
        };
        snapshot.deployments.iter().map(ready).collect()
    }
}
