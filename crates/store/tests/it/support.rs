//! Databases and stores for the tests.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hale_store::{
    Address, Database, Error, Means, OperatorAction, Options, Purpose, Request, Retention, Sample,
    SpendRows, Status, Store, Stored, Table, Threads,
};
use hale_testkit::{Postgres, TIMEOUT, TempDir};
use tokio::task::JoinHandle;

/// A time in milliseconds since 1970 that all tests have: noon of a day.
pub(crate) const NOW: u64 = 1_800_000_000_000 - 1_800_000_000_000 % 86_400_000 + 43_200_000;

/// A place for a database, with what it needs.
pub(crate) struct Place {
    pub(crate) directory: Arc<TempDir>,
    pub(crate) address: Address,
}

/// An empty place of each kind.
pub(crate) fn places() -> [Place; 2] {
    let directory = Arc::new(TempDir::new());
    let file = Address::File(directory.path().join("hale.db"));
    let server = Address::parse(&Postgres::shared().database()).unwrap();
    [Place { directory, address: file }, Place { directory: Arc::default(), address: server }]
}

/// Runs a test on each kind of database.
pub(crate) fn on_both<F: Future<Output = ()>>(test: impl Fn(Place) -> F) {
    for Place { directory, address } in places() {
        run(test(Place { directory: directory.clone(), address }));
    }
}

/// Runs a test with threads as the gateway's background has them.
pub(crate) fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(8)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async { tokio::time::timeout(TIMEOUT * 2, test).await.unwrap() });
    runtime.shutdown_background();
}

pub(crate) fn means() -> Means {
    Means {
        threads: Threads::of(tokio::runtime::Handle::current()),
        roots: || Arc::new(rustls::RootCertStore::empty()),
        now: || NOW,
    }
}

pub(crate) async fn open(address: &Address, purpose: Purpose) -> Result<Database, Error> {
    Database::open(address, purpose, &means()).await
}

/// A store that runs.
pub(crate) struct Running {
    pub(crate) store: Arc<Store>,
    tasks: Vec<JoinHandle<()>>,
}

impl Running {
    /// Starts a store at `address`, whose spool is in `directory`.
    pub(crate) fn start(address: &Address, directory: &Path) -> Running {
        Running::with(
            address,
            directory,
            Sample { failures: true, share: 1.0, per_second: 100_000 },
        )
    }

    /// One in which so many requests a second have rows of what they cost.
    pub(crate) fn with_spend(address: &Address, directory: &Path, per_second: u32) -> Running {
        let sample = Sample { failures: true, share: 1.0, per_second: 100_000 };
        Running::of(address, directory, (sample, SpendRows { per_second }))
    }

    pub(crate) fn with(address: &Address, directory: &Path, sample: Sample) -> Running {
        Running::of(address, directory, (sample, SpendRows { per_second: 100_000 }))
    }

    fn of(address: &Address, directory: &Path, (sample, spend): (Sample, SpendRows)) -> Running {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let store = Store::new(Options {
            address: address.clone(),
            spool: directory.join("hale.spool"),
            means: means(),
            replica: "pod".into(),
            writer: format!("pod-{}", NEXT.fetch_add(1, Ordering::Relaxed)).into(),
            retention: Retention::default(),
            sample,
            spend,
            watch: hale_store::Watch::default(),
        });
        let tasks =
            vec![tokio::spawn(store.clone().collect()), tokio::spawn(store.clone().drain())];
        Running { store, tasks }
    }

    /// Ends it as a crash does: nothing is written any more.
    pub(crate) async fn crash(self) {
        for task in self.tasks {
            task.abort();
            let _ended: Result<(), _> = task.await;
        }
    }

    /// Waits for a status.
    pub(crate) async fn until(&self, is: impl Fn(&Status) -> bool) {
        while !is(&self.store.status()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until the store says that something is so.
    pub(crate) async fn until_figures(&self, is: impl Fn(hale_store::Figures) -> bool) {
        while !is(self.store.figures()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) fn act(&self, deployment: &str) {
        self.store.put(&action(deployment));
    }
}

pub(crate) fn action(deployment: &str) -> Stored<'_> {
    Stored::Action(OperatorAction { at: NOW, actor: "master key", action: "disable", deployment })
}

pub(crate) fn request(call_id: &str) -> Request<'_> {
    Request {
        arrived_at: NOW,
        call_id,
        operation: "chat",
        model_group: Some("g"),
        deployment: Some("d"),
        status: 200,
        ending: "success",
        duration_us: 1_500_000,
        first_content_us: Some(300_000),
        input_tokens: Some(10),
        output_tokens: Some(20),
        cost_usd: Some(0.25),
        ..Request::default()
    }
}

/// How many rows a table has, read by another process than the store's.
pub(crate) async fn count(address: &Address, table: Table) -> u64 {
    open(address, Purpose::Look).await.unwrap().count(table).await.unwrap()
}
