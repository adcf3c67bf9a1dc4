//! The store of a process that serves: what it is given, it writes when it can.
//!
//! Made by the gateway, which runs [`Store::collect`], [`Store::drain`] and [`Store::retain`] in the background. Always true: giving rows
//! never waits; a row is in the database or on the disk within a second, as long as one of them works; batches are
//! written in order; the log has one line when the database is lost and one when it is back.

mod disk;
mod options;
mod queue;
mod reads;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

pub use self::options::{Options, Sample};
use self::queue::Queue;
use crate::address::{Address, Purpose};
use crate::batch::{Batch, ONCE};
use crate::database::Database;
use crate::error::{Error, Kind};
use crate::pending::{Pending, Place};
use crate::rows::{Request, Stored};
use crate::shared_table::{Scope, SharedTable};
use crate::spend::{SpentRequest, SpentTexts};
use crate::spool::Spool;
use crate::watch::Call;

/// How often rows become a batch. What the database does not have after the next time goes to the disk.
const TICK: Duration = Duration::from_millis(200);
const TICKS_PER_SECOND: u32 = 5;
/// How often a spool that another process has, or that could not be made, is asked for again: every 2 s.
const SPOOL_AGAIN_TICKS: u64 = 10;
/// How long opening a database may take.
const OPEN_MAX: Duration = Duration::from_secs(10);
/// How long writing a batch may take. SQLite itself waits 5 s for another process.
const COMMIT_MAX: Duration = Duration::from_secs(10);
/// How often an idle database is asked whether it works, and how long it may take to say so.
const PROBE: Duration = Duration::from_secs(2);
/// The pause after a failure: the first, and the longest.
const PAUSE_MIN: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(4);
/// When old rows are deleted: after the start, and from then on.
const RETAIN_FIRST: Duration = Duration::from_secs(10);
const RETAIN_AGAIN: Duration = Duration::from_secs(600);
/// How long that may take.
const RETAIN_MAX: Duration = Duration::from_secs(120);
/// How often the end looks whether all is written.
const LOOK: Duration = Duration::from_millis(10);

/// Whether there is a database, as `/health/readiness` says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// It is being opened for the first time.
    Opening,
    /// It works.
    Connected,
    /// There is none, and there cannot be: nothing is remembered.
    NoPlace,
    /// It does not work.
    Disconnected(Error),
}

/// Counts for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Rows that the database has.
    pub written: u64,
    /// Rows that were lost.
    pub dropped: u64,
    /// Rows that wait for the database.
    pub pending: u64,
    /// Bytes of the spool.
    pub spool_bytes: u64,
}

/// How far the batches of a process have come, by their numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The database has those up to this one, or they are lost.
    pub done: i64,
    /// The database may have those up to this one.
    pub begun: i64,
}

/// The store.
pub struct Store {
    options: Options,
    queue: Mutex<Queue>,
    pending: Arc<Mutex<Pending>>,
    spool: Arc<Mutex<Option<Spool>>>,
    spool_bytes: AtomicU64,
    /// Whether the spool's loss was told.
    spool_told: AtomicBool,
    database: Mutex<Option<Database>>,
    status: watch::Sender<Status>,
    /// Wakes the writer.
    news: Notify,
    tick: AtomicU64,
    written: AtomicU64,
    dropped: AtomicU64,
    /// The last batch of this process whose writing has begun, and the last one that needs no more.
    begun: AtomicI64,
    done: AtomicI64,
}

impl Store {
    /// A store that does nothing yet.
    #[must_use]
    pub fn new(options: Options) -> Arc<Store> {
        Arc::new(Store {
            queue: Mutex::new(Queue::new(&options)),
            options,
            pending: Arc::default(),
            spool: Arc::default(),
            spool_bytes: AtomicU64::new(0),
            spool_told: AtomicBool::new(false),
            database: Mutex::new(None),
            status: watch::channel(Status::Opening).0,
            news: Notify::new(),
            tick: AtomicU64::new(0),
            written: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            begun: AtomicI64::new(0),
            done: AtomicI64::new(0),
        })
    }

    /// Adds a row. Never waits.
    pub fn put(&self, row: &Stored<'_>) {
        if self.is_wanted() && !self.queue.lock().put(row) {
            self.lose(1);
        }
    }

    /// Adds finished requests: each to the rollups, and its record if it failed or is in the sample.
    pub fn put_requests<'r>(&self, requests: impl Iterator<Item = Request<'r>>) {
        if !self.is_wanted() {
            return;
        }
        let lost = self.queue.lock().put_requests(requests);
        self.lose(lost);
    }

    /// Adds what a finished request cost: its rows, days and counters, all in one batch. Its number, by which [`Store::progress`] says
    /// whether the database has it; `None` if nothing is kept. `texts` are made only for a request that has rows of its own.
    pub fn put_spent(
        &self,
        request: &SpentRequest<'_>,
        texts: impl FnOnce() -> SpentTexts,
    ) -> Option<i64> {
        self.is_wanted().then(|| self.queue.lock().put_spent(request, texts))
    }

    /// Adds what something cost that is billed once under `name`, however often it is told, from which process and after which restart.
    pub fn put_once(&self, name: &str, request: &SpentRequest<'_>, texts: &SpentTexts) {
        if !self.is_wanted() {
            return;
        }
        let batch = Batch::of_spent((&format!("{ONCE}{name}"), 1), request, texts);
        let lost = self.pending.lock().push(Arc::new(batch), self.tick.load(Ordering::Relaxed));
        self.lose(lost);
        self.news.notify_one();
    }

    /// Waits until the database has all rows that are there now, at most so long. Whether it has.
    pub async fn settled(&self, limit: Duration) -> bool {
        let last = self.queue.lock().newest();
        let settled = async {
            while self.done.load(Ordering::Acquire) < last {
                tokio::time::sleep(LOOK).await;
            }
        };
        timeout(limit, settled).await.is_ok()
    }

    /// How far the batches of this process have come.
    #[must_use]
    pub fn progress(&self) -> Progress {
        Progress {
            done: self.done.load(Ordering::Acquire),
            begun: self.begun.load(Ordering::Acquire),
        }
    }

    /// Whether rows are of use.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        *self.status.borrow() != Status::NoPlace
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.options.address
    }

    /// The table through which replicas share what they know, not connected yet, if this is a server.
    #[must_use]
    pub fn shared_table(&self, scope: Scope) -> Option<Arc<SharedTable>> {
        match &self.options.address {
            Address::Server(server) => {
                let roots = (self.options.means.roots)();
                Some(SharedTable::new((**server).clone(), roots, scope))
            }
            Address::File(_) => None,
        }
    }

    /// Whether there is a database.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// Waits until the database was opened, or could not be, at most so long.
    pub async fn opened(&self, limit: Duration) -> Status {
        let mut status = self.status.subscribe();
        let opened = status.wait_for(|status| *status != Status::Opening);
        match timeout(limit, opened).await {
            Ok(Ok(status)) => status.clone(),
            Ok(Err(_)) | Err(_) => self.status(),
        }
    }

    /// Waits until the database works.
    pub async fn connected(&self) {
        let mut status = self.status.subscribe();
        // It ends with the store only, which is here.
        let _found: Result<_, _> = status.wait_for(|status| *status == Status::Connected).await;
    }

    /// Counts for metrics.
    #[must_use]
    pub fn figures(&self) -> Figures {
        Figures {
            written: self.written.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
            pending: self.pending.lock().rows(),
            spool_bytes: self.spool_bytes.load(Ordering::Relaxed),
        }
    }

    /// The result of a call, of which is told. After the limit it is an error with that text.
    async fn called<T>(
        &self,
        what: &'static str,
        (limit, slow): (Duration, &str),
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let now = self.options.means.now;
        let began = now();
        let ended = timeout(limit, call).await;
        let ended = ended.unwrap_or_else(|_| Err(self.error(Kind::Away, slow)));
        let failed = ended.as_ref().err().map(|error| error.kind);
        self.options.watch.tell(Call { what, ms: now().saturating_sub(began), failed });
        ended
    }

    /// Makes batches of rows, and brings to the disk what the database does not take. Never ends.
    pub async fn collect(self: Arc<Store>) {
        self.open_spool().await;
        loop {
            tokio::time::sleep(TICK).await;
            let tick = self.batch();
            if tick.is_multiple_of(SPOOL_AGAIN_TICKS) {
                self.open_spool().await;
            }
            self.to_disk(tick).await;
        }
    }

    /// Makes a batch of what is in the queue; the number of the tick.
    fn batch(&self) -> u64 {
        let tick = self.tick.fetch_add(1, Ordering::Relaxed) + 1;
        let batch = self.queue.lock().take();
        if let Some(batch) = batch {
            let lost = self.pending.lock().push(Arc::new(batch), tick);
            self.lose(lost);
            self.news.notify_one();
        }
        tick
    }

    /// Writes batches to the database, which it opens again whenever it is lost. Ends if there can be none.
    pub async fn drain(self: Arc<Store>) {
        let mut pause = PAUSE_MIN;
        loop {
            let Err(error) = self.serve().await;
            let was_connected = matches!(self.status(), Status::Connected);
            self.database.lock().take();
            if error.kind == Kind::NoPlace && !was_connected {
                tracing::info!("nothing is remembered over a restart: {error}");
                self.status.send_replace(Status::NoPlace);
                self.queue.lock().clear();
                self.pending.lock().clear();
                return;
            }
            let is_news = match &*self.status.borrow() {
                Status::Disconnected(known) => known.kind != error.kind,
                Status::Opening | Status::Connected | Status::NoPlace => true,
            };
            if is_news {
                tracing::warn!("{error}");
            }
            self.status.send_replace(Status::Disconnected(error));
            pause = if was_connected { PAUSE_MIN } else { (pause * 2).min(PAUSE_MAX) };
            tokio::time::sleep(pause).await;
        }
    }

    /// Opens the database and writes to it until it fails.
    async fn serve(&self) -> Result<std::convert::Infallible, Error> {
        let opening = Database::open(&self.options.address, Purpose::Serve, &self.options.means);
        let slow = "it does not answer within 10 s";
        let database = self.called("open", (OPEN_MAX, slow), opening).await?;
        loop {
            self.write_all(&database).await?;
            self.is_open(&database);
            if timeout(PROBE, self.news.notified()).await.is_err() {
                let slow = "it does not answer within 2 s";
                self.called("probe", (PROBE, slow), database.probe()).await?;
            }
        }
    }

    fn is_open(&self, database: &Database) {
        if *self.status.borrow() == Status::Connected {
            return;
        }
        *self.database.lock() = Some(database.clone());
        let before = self.status.send_replace(Status::Connected);
        let address = &self.options.address;
        match before {
            Status::Disconnected(_) => tracing::info!(%address, "the database is back"),
            Status::Opening | Status::Connected | Status::NoPlace => {
                tracing::info!(%address, "the database is open");
            }
        }
    }

    /// Writes all batches there are.
    async fn write_all(&self, database: &Database) -> Result<(), Error> {
        loop {
            let Some((id, place)) = self.pending.lock().first() else { break };
            let batch = match place {
                Place::Memory(batch) => Some(batch),
                Place::Disk(extent) => {
                    let read = self.with_spool(move |spool| spool.read(extent)).await;
                    read.ok().flatten().map(Arc::new)
                }
            };
            let Some(batch) = batch else {
                tracing::warn!(spool = %self.options.spool.display(), "a batch of the spool cannot be read; it is skipped");
                self.lose_slot(id);
                continue;
            };
            self.write(database, &batch, id).await?;
        }
        self.clear_spool().await;
        Ok(())
    }

    async fn write(&self, database: &Database, batch: &Arc<Batch>, id: u64) -> Result<(), Error> {
        let writing = database.commit(batch, self.options.means.unix_ms());
        let slow = "it takes no rows within 10 s";
        let is_own = batch.writer == self.options.writer;
        if is_own {
            self.begun.fetch_max(batch.number, Ordering::AcqRel);
        }
        let ended = match self.called("write", (COMMIT_MAX, slow), writing).await {
            Ok(_) => {
                let rows = self.pending.lock().remove(id);
                self.written.fetch_add(rows, Ordering::Relaxed);
                Ok(())
            }
            Err(error) if error.kind == Kind::BadRow => {
                tracing::error!(%error, rows = batch.len(), "the database refuses rows; they are dropped");
                self.lose_slot(id);
                Ok(())
            }
            Err(error) => Err(error),
        };
        if is_own && ended.is_ok() {
            self.done.fetch_max(batch.number, Ordering::AcqRel);
        }
        ended
    }

    /// Deletes old rows now and then. Never ends.
    pub async fn retain(self: Arc<Store>) {
        let mut pause = RETAIN_FIRST;
        loop {
            tokio::time::sleep(pause).await;
            pause = RETAIN_AGAIN;
            let database = self.database.lock().clone();
            if let Some(database) = database {
                let now = self.options.means.unix_ms();
                // What is left is deleted the next time.
                let applied = timeout(RETAIN_MAX, self.options.retention.apply(&database, now));
                if let Ok(Err(error)) = applied.await {
                    tracing::warn!(%error, "old rows could not be deleted");
                }
            }
        }
    }

    /// Writes what there is, at most so long, and leaves the remainder in the spool. Called when no more rows come.
    pub async fn finish(&self, limit: Duration) {
        let written = async {
            self.batch();
            while !self.pending.lock().is_empty() {
                tokio::time::sleep(LOOK).await;
            }
        };
        let is_open = *self.status.borrow() == Status::Connected;
        if is_open && timeout(limit, written).await.is_ok() {
            return;
        }
        let tick = self.batch();
        self.to_disk(tick + 1).await;
        let (left, lost) = {
            let pending = self.pending.lock();
            (pending.rows(), pending.rows_in_memory_alone())
        };
        let spool = self.options.spool.display();
        if left > lost {
            tracing::info!(rows = left - lost, %spool, "rows that the database did not take are in the spool; the next start writes them");
        }
        if lost > 0 {
            self.dropped.fetch_add(lost, Ordering::Relaxed);
            tracing::error!(rows = lost, %spool, "rows are lost: the database did not take them, and the spool is not this process's to write or is full");
        }
    }

    fn lose_slot(&self, id: u64) {
        let rows = self.pending.lock().remove(id);
        self.lose(rows);
    }

    fn lose(&self, rows: u64) {
        if rows > 0 && self.dropped.fetch_add(rows, Ordering::Relaxed) == 0 {
            tracing::error!(
                "rows for the database are dropped; hale_store_rows_dropped_total counts them"
            );
        }
    }

    fn error(&self, kind: Kind, detail: &str) -> Error {
        Error::new(kind, &self.options.address.shown(), detail)
    }
}
