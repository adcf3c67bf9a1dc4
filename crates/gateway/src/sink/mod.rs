//! Where records of finished requests go: a file of JSON lines, the log, the store, and other servers.
//!
//! Fed by the end of each request through a bounded list; emptied on the background thread. Always true: no
//! request waits for a sink; what does not fit is dropped and counted; a file is replaced between two
//! batches, so that a reload loses no record.

pub(crate) mod export;
mod jsonl;
mod log;
mod spent;
mod store;
mod tally;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hale_core::incident::Tally;
use hale_core::record::{Messages, RequestRecord};
use hale_core::settings::SinkSettings;
use hale_store::Store;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use self::export::{Exports, Shows};
use self::jsonl::Jsonl;
use self::spent::Prompts;
pub(crate) use self::spent::{MASTER_KEY, MASTER_USER, period};
use crate::background::Background;
use crate::keys::Keys;
use crate::metrics::Metrics;

/// Records that may wait for the sinks.
const WAITING_MAX: usize = 64 << 10;
/// Bytes of what was said that may wait with them. Beyond it a record waits without.
const SAID_MAX: usize = 64 << 20;
/// Why a record has nothing of what was said.
const NO_ROOM: &str = "there was no memory for it while the record waited";
/// How often the sinks look for records: with little traffic, and with much. No record wakes them:
/// waking another thread costs a request two system calls, a tenth of its whole cost.
/// A long pause under load makes a batch so large that it takes a core from a worker for milliseconds.
const PERIOD_IDLE: Duration = Duration::from_millis(100);
const PERIOD_BUSY: Duration = Duration::from_millis(10);
/// With this many records in an idle period, the next period is busy. A busy period is a tenth as long, and needs a tenth.
const BUSY: usize = 64;
/// How long a reload waits for a batch that is being written.
const REPLACE_MAX: Duration = Duration::from_secs(1);
/// How long the end of the process waits for a file that does not take the last records.
const FINISH_MAX: Duration = Duration::from_secs(1);
/// How often it tries.
const AGAIN: Duration = Duration::from_millis(10);

/// The sinks.
pub(crate) struct Sinks {
    waiting: Mutex<Waiting>,
    /// Whether there is any sink. Without one, records cost nothing.
    is_wanted: AtomicBool,
    /// Wakes the loop when a reload adds the first sink.
    wanted: Notify,
    /// Whether the file has taken only a part of what was written to it.
    is_held_up: AtomicBool,
    /// Which records are lines of the log.
    lines: Lines,
    writer: Mutex<Writer>,
    /// What remembers requests over a restart, and whose accounts follow it.
    store: OnceLock<(Arc<Store>, Arc<Keys>)>,
    /// Whether what was said is kept there.
    keeps_prompts: AtomicBool,
    /// What became of requests, for those who are told of incidents.
    tally: Mutex<Tally>,
    /// Whether it is wanted.
    is_tallied: AtomicBool,
    /// Other servers.
    pub(crate) exports: Exports,
}

/// Which records are lines of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lines {
    /// That of each request.
    OfEach,
    /// None.
    OfNone,
}

/// The list of records.
#[derive(Default)]
struct Waiting {
    records: Vec<RequestRecord>,
    /// Bytes of what was said.
    said: usize,
}

/// Whether the file of records of `settings` has what was said.
pub(crate) fn file_shows(settings: &SinkSettings) -> Shows {
    if settings.file_has_messages { Shows::Messages } else { Shows::Facts }
}

/// What writes the records.
struct Writer {
    file: Option<Jsonl>,
    /// The memory of the last batch.
    batch: Vec<RequestRecord>,
}

/// What a reload makes of the file of records.
pub(crate) enum Replacement {
    /// It stays.
    Keep,
    /// Another one, already open, or none.
    With(Option<Jsonl>),
}

impl Sinks {
    /// No sink.
    pub(crate) fn none() -> Sinks {
        Sinks::of(None, Lines::OfNone)
    }

    /// The sinks of a config: a file of JSON lines, which may show what was said, and the log.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub(crate) fn open(request_log: Option<&str>, shows: Shows, lines: Lines) -> io::Result<Sinks> {
        let file = request_log.map(|path| Jsonl::open(path, shows)).transpose()?;
        Ok(Sinks::of(file, lines))
    }

    fn of(file: Option<Jsonl>, lines: Lines) -> Sinks {
        Sinks {
            waiting: Mutex::default(),
            is_wanted: AtomicBool::new(lines == Lines::OfEach || file.is_some()),
            wanted: Notify::new(),
            is_held_up: AtomicBool::new(false),
            lines,
            writer: Mutex::new(Writer { file, batch: Vec::new() }),
            store: OnceLock::new(),
            keeps_prompts: AtomicBool::new(false),
            tally: Mutex::default(),
            is_tallied: AtomicBool::new(false),
            exports: Exports::default(),
        }
    }

    /// Gives records to `store` too, from now on, and tells `keys` of what they cost.
    pub(crate) fn remember(&self, store: Arc<Store>, keys: Arc<Keys>) {
        if self.store.set((store, keys)).is_ok() {
            self.is_wanted.store(true, Ordering::Relaxed);
            self.wanted.notify_one();
        }
    }

    /// Whether requests are remembered over a restart.
    pub(crate) fn remembers(&self) -> bool {
        self.store.get().is_some()
    }

    /// What became of requests since the last time; from now on a request is slow that takes so long.
    pub(crate) fn take_tally(&self, slow_ms: u64) -> Tally {
        self.tally.lock().take(slow_ms)
    }

    /// Counts what becomes of requests, whatever else is done with their records.
    pub(crate) fn tally(&self) {
        self.is_tallied.store(true, Ordering::Relaxed);
        self.is_wanted.store(true, Ordering::Relaxed);
        self.wanted.notify_one();
    }

    /// Sends records to these servers from now on.
    pub(crate) fn configure(&self, settings: &SinkSettings) {
        self.exports.configure(settings);
        self.keeps_prompts.store(settings.spend_has_prompts, Ordering::Relaxed);
        if self.exports.any() {
            self.is_wanted.store(true, Ordering::Relaxed);
            self.wanted.notify_one();
        }
    }

    /// Adds a record to the list, or drops and counts it if the list is full.
    pub(crate) fn send(&self, mut record: RequestRecord, metrics: &Metrics) {
        if !self.is_wanted.load(Ordering::Relaxed) {
            return;
        }
        let mut waiting = self.waiting.lock();
        if waiting.records.len() < WAITING_MAX {
            if let Some(detail) = &mut record.detail {
                let bytes = detail.bytes();
                if waiting.said + bytes > SAID_MAX
                    && let Some(messages) = &mut detail.messages
                {
                    *messages = Messages { left_out: Some(NO_ROOM), ..Messages::default() };
                } else {
                    waiting.said += bytes;
                }
            }
            waiting.records.push(record);
        } else {
            drop(waiting);
            metrics.records_dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Writes records as they come. Runs on the background thread.
    pub(crate) async fn run(self: Arc<Sinks>, background: Background, metrics: Arc<Metrics>) {
        let mut period = PERIOD_IDLE;
        loop {
            if !self.is_wanted.load(Ordering::Relaxed) {
                self.wanted.notified().await;
            }
            tokio::time::sleep(period).await;
            let busy = if period == PERIOD_BUSY { BUSY / 10 } else { BUSY };
            let count = if self.has_work() {
                let (sinks, metrics) = (self.clone(), metrics.clone());
                let written =
                    background.blocking("writing records", move || sinks.flush(&metrics)).await;
                written.unwrap_or_default()
            } else {
                0
            };
            period = if count < busy { PERIOD_IDLE } else { PERIOD_BUSY };
        }
    }

    fn has_work(&self) -> bool {
        self.is_held_up.load(Ordering::Relaxed) || !self.waiting.lock().records.is_empty()
    }

    /// Writes the records that wait now; returns their number.
    pub(crate) fn flush(&self, metrics: &Metrics) -> usize {
        self.write(&mut self.writer.lock(), metrics)
    }

    fn write(&self, writer: &mut Writer, metrics: &Metrics) -> usize {
        // Taken out, so that a batch that makes a sink panic is not written again.
        let mut batch = std::mem::take(&mut writer.batch);
        let mut waiting = self.waiting.lock();
        std::mem::swap(&mut waiting.records, &mut batch);
        waiting.said = 0;
        drop(waiting);
        let count = batch.len();
        if let Some(file) = &mut writer.file {
            if let Err(lost) = file.write(&batch) {
                count_lost(metrics, lost.records, &lost.error);
            }
            self.is_held_up.store(file.is_held_up(), Ordering::Relaxed);
        }
        if self.lines == Lines::OfEach {
            log::write(&batch);
        }
        if let Some((store, keys)) = self.store.get() {
            store::write(store, &batch);
            let prompts = match self.keeps_prompts.load(Ordering::Relaxed) {
                true => Prompts::Kept,
                false => Prompts::LeftOut,
            };
            spent::write(store, keys, prompts, &batch);
        }
        tally::count(&mut self.tally.lock(), &batch);
        self.exports.take(&batch);
        batch.clear();
        // A burst is no reason to keep its memory.
        batch.shrink_to(8 << 10);
        writer.batch = batch;
        count
    }

    /// What to do with the file of records for the new `request_log`. A file that was renamed is reopened under its
    /// name.
    ///
    /// # Errors
    /// When it cannot be opened, or the one in use hangs.
    pub(crate) fn replacement(
        &self,
        request_log: Option<&str>,
        shows: Shows,
    ) -> io::Result<Replacement> {
        let known = match &self.writer()?.file {
            Some(file) => request_log.is_some_and(|path| file.is_at(path, shows)),
            None => request_log.is_none(),
        };
        if known {
            return Ok(Replacement::Keep);
        }
        let open = |path| Jsonl::open(path, shows);
        request_log.map(open).transpose().map(Replacement::With)
    }

    /// Changes to another file. Records that wait now go into the old one.
    ///
    /// # Errors
    /// When the one in use hangs.
    pub(crate) fn replace(&self, by: Replacement, metrics: &Metrics) -> io::Result<()> {
        let Replacement::With(file) = by else { return Ok(()) };
        let mut writer = self.writer()?;
        self.write(&mut writer, metrics);
        self.abandon(&mut writer, metrics);
        let is_wanted = self.lines == Lines::OfEach
            || file.is_some()
            || self.store.get().is_some()
            || self.exports.any()
            || self.is_tallied.load(Ordering::Relaxed);
        self.is_wanted.store(is_wanted, Ordering::Relaxed);
        writer.file = file;
        self.wanted.notify_one();
        Ok(())
    }

    /// The writer, unless a file that hangs has it.
    fn writer(&self) -> io::Result<MutexGuard<'_, Writer>> {
        let hangs = || io::Error::new(io::ErrorKind::TimedOut, "the file in use takes no records");
        self.writer.try_lock_for(REPLACE_MAX).ok_or_else(hangs)
    }

    /// Writes the last records, within a bound. Blocks.
    pub(crate) fn finish(&self, metrics: &Metrics) {
        let Ok(mut writer) = self.writer() else { return };
        self.write(&mut writer, metrics);
        let mut left = FINISH_MAX;
        while self.is_held_up.load(Ordering::Relaxed) && !left.is_zero() {
            std::thread::sleep(AGAIN);
            left = left.saturating_sub(AGAIN);
            self.write(&mut writer, metrics);
        }
        self.abandon(&mut writer, metrics);
    }

    /// Drops and counts the records that the file in use did not take.
    fn abandon(&self, writer: &mut Writer, metrics: &Metrics) {
        if let Some(lost) = writer.file.as_mut().and_then(Jsonl::abandon) {
            count_lost(metrics, lost.records, &lost.error);
        }
        self.is_held_up.store(false, Ordering::Relaxed);
    }
}

/// Counts records that are lost; only the first loss is logged.
fn count_lost(metrics: &Metrics, records: u64, error: &io::Error) {
    metrics.callbacks.failed("request_log", records);
    if metrics.records_dropped.fetch_add(records, Ordering::Relaxed) == 0 {
        tracing::error!(%error, "records of requests cannot be written; they are dropped");
    }
}
