//! One sink that is another server: what waits for it, and the task that sends it.
//!
//! Made by [`super::Exports`], filled on a thread that may wait, emptied on the background thread. Always true: a request that
//! fails is made again after a growing pause, or after the one that the server asks for; a batch that is refused for what it holds
//! is cut in half until the record at fault is alone, which is dropped and counted; of a failure that lasts the log has two lines,
//! its beginning and its end.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use hale_core::record::RequestRecord;
use hale_core::settings::{Sink, SinkForm, SinkSettings, Telemetry};
use hale_core::trace;
use tokio::sync::Notify;

use super::figures::{Counters, Figures};
use super::form::{self, Limits, Verdict};
use super::queue::{Put, Queue};
use super::told::{self, Shows, Told};
use crate::background::Background;
use crate::clock;
use crate::upstream::Outward;

/// How long records are collected before they are sent.
const COLLECT: Duration = Duration::from_millis(500);
/// How long one request may take, unless the sink has a limit of its own.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The first pause after a failure, and the longest, milliseconds.
const PAUSE_MS: u64 = 500;
const PAUSE_MAX_MS: u64 = 60_000;
/// How long a sink that is configured no more may take for what waits for it.
const CLOSING: Duration = Duration::from_secs(10);
/// Why a request has no answer that it was not given the time for.
const GIVEN_UP: &str = "there was no answer before the end";

/// One sink.
pub(crate) struct Exporter {
    sink: Sink,
    excluded: Vec<Box<str>>,
    bounds: (usize, usize),
    door: Outward,
    queue: Queue,
    counters: Counters,
    /// Wakes the task.
    wake: Notify,
    /// Wakes it although it pauses: the process or the sink is about to end.
    hurries: Notify,
    is_closed: AtomicBool,
    /// Ends requests on their way; their records wait again.
    gives_up: Notify,
    is_given_up: AtomicBool,
    /// Records on their way.
    in_flight: AtomicU64,
}

impl Exporter {
    /// The sink of a config. What does not fit into memory waits below `directory`.
    pub(super) fn new(
        sink: &Sink,
        settings: &SinkSettings,
        directory: Option<&PathBuf>,
    ) -> Exporter {
        let timeout = match &sink.form {
            SinkForm::Spans(telemetry)
            | SinkForm::Logs(telemetry)
            | SinkForm::Metrics(telemetry) => Duration::from_millis(telemetry.timeout_ms),
            SinkForm::Langfuse(_)
            | SinkForm::Datadog(_)
            | SinkForm::Langsmith(_)
            | SinkForm::Webhook(_)
            | SinkForm::S3(_) => TIMEOUT,
        };
        let bounds = (settings.memory_bytes, settings.spool_bytes);
        Exporter {
            excluded: settings.excluded.clone(),
            bounds,
            door: Outward::new(&sink.url, timeout).with_headers(&sink.headers).hiding(&sink.hidden),
            queue: Queue::new(&sink.name, (bounds.0, bounds.1 as u64), directory.cloned()),
            counters: Counters::default(),
            wake: Notify::new(),
            hurries: Notify::new(),
            is_closed: AtomicBool::new(false),
            gives_up: Notify::new(),
            is_given_up: AtomicBool::new(false),
            in_flight: AtomicU64::new(0),
            sink: sink.clone(),
        }
    }

    /// Whether it is what `settings` says of `sink`.
    pub(super) fn is_as(&self, sink: &Sink, settings: &SinkSettings) -> bool {
        self.sink == *sink
            && self.excluded == settings.excluded
            && self.bounds == (settings.memory_bytes, settings.spool_bytes)
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.sink.name
    }

    /// What became of its records.
    pub(crate) fn figures(&self) -> Figures {
        let (queued, spooled) = self.queue.bytes();
        self.counters.with(queued, spooled)
    }

    /// Takes what it wants of `batch`.
    pub(super) fn take(&self, batch: &[RequestRecord]) {
        let shows = if self.sink.messages { Shows::Messages } else { Shows::Facts };
        for record in batch {
            let Some(told) = Told::of(record, shows) else { continue };
            let gets = &self.sink.gets;
            let is_wanted = if told.is_success() { gets.successes } else { gets.failures };
            if is_wanted && trace::is_within(self.sink.share, &told.detail.trace_id) {
                let mut item = Vec::new();
                if form::write(&self.sink, &self.excluded, &told, &mut item) {
                    self.put(item.into());
                }
            }
        }
    }

    /// Adds an item. May wait for the disk.
    pub(crate) fn put(&self, item: Box<[u8]>) {
        match self.queue.put(item) {
            Put::Waits => self.wake.notify_one(),
            Put::Lost => self.lose(1, "there is no room for more"),
        }
    }

    fn lose(&self, records: u64, why: &str) {
        if self.counters.lost(records) {
            let sink = &*self.sink.name;
            tracing::error!(
                sink,
                "records of requests are dropped, and counted from now on: {why}"
            );
        }
    }

    /// Whether something waits, or is on its way.
    pub(super) fn has_work(&self) -> bool {
        self.is_sending() || !self.queue.is_empty()
    }

    /// The task is not to pause any more.
    pub(super) fn hurry(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
        self.wake.notify_one();
        self.hurries.notify_one();
    }

    /// The config has it no more: what waits is sent, for a time.
    pub(super) fn close(&self) {
        self.hurry();
    }

    /// Waits for no answer any more.
    pub(super) fn give_up(&self) {
        self.is_given_up.store(true, Ordering::Relaxed);
        self.gives_up.notify_waiters();
    }

    /// Whether records are on their way.
    pub(super) fn is_sending(&self) -> bool {
        self.in_flight.load(Ordering::Relaxed) > 0
    }

    /// Puts what waits on the disk, for the next process.
    pub(super) fn put_away(&self) {
        let lost = self.queue.put_away() + self.in_flight.load(Ordering::Relaxed);
        self.lose(lost, "the process ends, and there is no place for them on the disk");
    }

    /// Sends what waits, until it is closed. Runs on the background thread.
    pub(super) async fn run(self: Arc<Exporter>, background: Background) {
        let mut sender = Sender { failures: 0, most: usize::MAX };
        while !self.is_closed() {
            if self.queue.is_empty() {
                self.wake.notified().await;
            }
            self.pause(COLLECT).await;
            self.empty(&mut sender, &background).await;
        }
        let late = async {
            tokio::time::sleep(CLOSING).await;
            self.give_up();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = self.empty(&mut sender, &background) => {}
            () = late => {}
        }
        if self.has_work() {
            self.put_away();
        }
    }

    fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Relaxed)
    }

    /// Waits, but not when it is closed.
    async fn pause(&self, time: Duration) {
        if self.is_closed() {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(time) => {}
            () = self.hurries.notified() => {}
        }
    }

    /// Sends until nothing waits. Closed, it stops at a failure.
    async fn empty(self: &Arc<Exporter>, sender: &mut Sender, background: &Background) {
        loop {
            if self.queue.wants_disk() {
                let own = self.clone();
                let load = move || own.queue.load();
                if background.blocking("reading records from the disk", load).await != Some(true) {
                    self.lose(1, "a file of records could not be read");
                }
            }
            let Limits { items, bytes, parallel } = form::limits(&self.sink);
            let batches: Vec<Vec<Box<[u8]>>> = (0..parallel)
                .map(|_| self.queue.take(items.min(sender.most), bytes, &self.in_flight))
                .take_while(|batch| !batch.is_empty())
                .collect();
            if batches.is_empty() {
                return;
            }
            let ended = join_all(batches.into_iter().map(|batch| self.send(batch))).await;
            let mut pause_ms = None;
            for end in ended {
                let records = end.batch.len() as u64;
                pause_ms = pause_ms.max(self.ended(end, sender));
                self.in_flight.fetch_sub(records, Ordering::Relaxed);
            }
            if let Some(ms) = pause_ms {
                if self.is_closed() {
                    return;
                }
                self.pause(Duration::from_millis(ms)).await;
            }
        }
    }

    async fn send(&self, batch: Vec<Box<[u8]>>) -> Ended {
        let outgoing = form::request(&self.sink, &self.door, &batch, clock::unix_ms());
        // Made before the look at the flag, so that no call is missed.
        let given_up = self.gives_up.notified();
        let answer = async {
            if self.is_given_up.load(Ordering::Relaxed) {
                return Err(GIVEN_UP.to_owned());
            }
            tokio::select! {
                heard = self.door.send(outgoing) => heard,
                () = given_up => Err(GIVEN_UP.to_owned()),
            }
        };
        let verdict = match answer.await {
            Ok(heard) => form::judge(&self.sink, &self.door, &heard, batch.len()),
            Err(why) => Verdict::Later(why, None),
        };
        Ended { batch, verdict }
    }

    /// What follows from the end of a request: how long to pause, milliseconds, if it failed.
    fn ended(&self, Ended { batch, verdict }: Ended, sender: &mut Sender) -> Option<u64> {
        let records = batch.len() as u64;
        match verdict {
            Verdict::Taken(refused, why) => {
                self.works();
                sender.worked();
                let refused = refused.min(records);
                self.counters.sent(records - refused);
                self.lose(refused, why.as_deref().unwrap_or("the sink refused them"));
                None
            }
            Verdict::Refused(why) if records <= 1 => {
                self.failed(&why);
                self.lose(records, &why);
                sender.most = usize::MAX;
                None
            }
            Verdict::Refused(why) => {
                self.failed(&why);
                sender.most = batch.len() / 2;
                self.queue.put_back(batch);
                None
            }
            Verdict::Later(why, after_ms) => {
                self.failed(&why);
                self.queue.put_back(batch);
                sender.failures = sender.failures.saturating_add(1);
                Some(after_ms.unwrap_or_else(|| sender.pause_ms(fastrand::u64(..))))
            }
        }
    }

    fn failed(&self, why: &str) {
        if self.counters.failed(why) {
            let sink = &*self.sink.name;
            tracing::error!(sink, "records of requests cannot be sent, and wait: {why}");
        }
    }

    fn works(&self) {
        if self.counters.works() {
            tracing::info!(sink = &*self.sink.name, "records of requests are sent again");
        }
    }

    /// What it says of the process, if it gets metrics.
    pub(crate) fn of_metrics(&self) -> Option<&Telemetry> {
        match &self.sink.form {
            SinkForm::Metrics(telemetry) => Some(telemetry),
            SinkForm::Langfuse(_)
            | SinkForm::Spans(_)
            | SinkForm::Logs(_)
            | SinkForm::Datadog(_)
            | SinkForm::Langsmith(_)
            | SinkForm::Webhook(_)
            | SinkForm::S3(_) => None,
        }
    }

    /// Sends a record that no request made, and says what became of it.
    ///
    /// # Errors
    /// Why it was not taken, in words.
    pub(crate) async fn test(&self) -> Result<(), String> {
        let unix_ms = clock::unix_ms();
        let record =
            told::of_test(&format!("hale-test-{unix_ms}-{:08x}", fastrand::u32(..)), unix_ms);
        let shows = if self.sink.messages { Shows::Messages } else { Shows::Facts };
        let mut item = Vec::new();
        if let Some(told) = Told::of(&record, shows) {
            form::write(&self.sink, &self.excluded, &told, &mut item);
        }
        match self.send(vec![item.into()]).await.verdict {
            Verdict::Taken(0, _) => Ok(()),
            Verdict::Taken(_, why) => Err(why.unwrap_or_default()),
            Verdict::Later(why, _) | Verdict::Refused(why) => Err(why),
        }
    }
}

/// The end of a request.
struct Ended {
    batch: Vec<Box<[u8]>>,
    verdict: Verdict,
}

/// What the task remembers from request to request.
struct Sender {
    /// Failures in a row.
    failures: u32,
    /// Most records of a request, while a record at fault is searched.
    most: usize,
}

impl Sender {
    fn worked(&mut self) {
        self.failures = 0;
        self.most = if self.most == usize::MAX { usize::MAX } else { self.most.saturating_mul(2) };
    }

    /// The pause after so many failures: half of it fixed, half by chance.
    fn pause_ms(&self, random: u64) -> u64 {
        let whole = PAUSE_MS.saturating_mul(1 << self.failures.min(16)).min(PAUSE_MAX_MS);
        whole / 2 + random % (whole / 2 + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_minute() {
        let pause = |failures| Sender { failures, most: 1 }.pause_ms(u64::MAX - 1);
        assert!(pause(1) >= 500 && pause(1) <= 1_000);
        assert!(pause(30) <= PAUSE_MAX_MS && pause(30) >= PAUSE_MAX_MS / 2);
    }
}
