//! Where records of finished requests go.
//!
//! Fed by `proxy::finish` through a bounded list, drained by the control thread. Always true: the request path
//! never waits for a sink; what does not fit is counted and dropped.

mod jsonl;
mod log;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hale_core::record::RequestRecord;
use parking_lot::Mutex;

use crate::metrics::Metrics;

/// Records that may wait for the sinks.
const WAITING_MAX: usize = 64 << 10;
/// How often the sinks look while there is nothing, and while there is much. They are not woken:
/// waking another thread costs a request two calls of the kernel, which is a tenth of all it costs.
/// A long pause under load would make a batch that keeps a worker from its core for milliseconds.
const PERIOD_IDLE: Duration = Duration::from_millis(100);
const PERIOD_BUSY: Duration = Duration::from_millis(10);
/// How many records in an idle period are much; a busy period, a tenth as long, needs a tenth.
const BUSY: usize = 64;

/// The entrance to the sinks.
#[derive(Clone)]
pub(crate) struct Sinks {
    waiting: Option<Arc<Mutex<Vec<RequestRecord>>>>,
}

/// One kind of sink.
enum Sink {
    Jsonl(jsonl::Jsonl),
    Log,
}

/// The exit: what writes the records.
pub(crate) struct Drain {
    sinks: Vec<Sink>,
    waiting: Arc<Mutex<Vec<RequestRecord>>>,
    batch: Vec<RequestRecord>,
}

impl Sinks {
    /// The sinks of a config: a file of JSON lines, and the log when `log_requests` is set. Without
    /// any, records cost nothing.
    ///
    /// # Errors
    /// When the file can not be opened.
    pub(crate) fn open(
        request_log: Option<&str>,
        log_requests: bool,
    ) -> std::io::Result<(Sinks, Option<Drain>)> {
        let mut sinks = Vec::new();
        if let Some(path) = request_log {
            sinks.push(Sink::Jsonl(jsonl::Jsonl::open(path)?));
        }
        if log_requests {
            sinks.push(Sink::Log);
        }
        if sinks.is_empty() {
            return Ok((Sinks { waiting: None }, None));
        }
        let waiting = Arc::new(Mutex::new(Vec::new()));
        let drain = Drain { sinks, waiting: waiting.clone(), batch: Vec::new() };
        Ok((Sinks { waiting: Some(waiting) }, Some(drain)))
    }

    /// Hands a record over.
    pub(crate) fn send(&self, record: RequestRecord, metrics: &Metrics) {
        let Some(waiting) = &self.waiting else { return };
        let mut waiting = waiting.lock();
        if waiting.len() < WAITING_MAX {
            waiting.push(record);
        } else {
            metrics.records_dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drain {
    /// Writes records for as long as it is polled; [`Drain::flush`] writes the rest.
    pub(crate) async fn run(&mut self, metrics: &Metrics) -> Infallible {
        let mut period = PERIOD_IDLE;
        loop {
            tokio::time::sleep(period).await;
            let busy = if period == PERIOD_BUSY { BUSY / 10 } else { BUSY };
            period = if self.flush(metrics) < busy { PERIOD_IDLE } else { PERIOD_BUSY };
        }
    }

    /// Writes what waits now; how many records that were.
    pub(crate) fn flush(&mut self, metrics: &Metrics) -> usize {
        std::mem::swap(&mut *self.waiting.lock(), &mut self.batch);
        let count = self.batch.len();
        if count == 0 {
            return 0;
        }
        for sink in &mut self.sinks {
            let written = match sink {
                Sink::Jsonl(file) => file.write(&self.batch),
                Sink::Log => {
                    log::write(&self.batch);
                    Ok(())
                }
            };
            if let Err(error) = written {
                let lost = self.batch.len() as u64;
                if metrics.records_dropped.fetch_add(lost, Ordering::Relaxed) == 0 {
                    tracing::error!(%error, "records of requests can not be written; they are dropped");
                }
            }
        }
        self.batch.clear();
        // A burst is no reason to keep its memory.
        self.batch.shrink_to(8 << 10);
        count
    }
}
