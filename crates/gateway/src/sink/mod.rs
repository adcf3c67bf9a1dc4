//! Where records of finished requests go.
//!
//! Fed by [`crate::proxy::finish`] through a bounded queue, drained by one task of the control
//! thread. Always true: the request path never waits for a sink; what does not fit is counted and
//! dropped.

mod jsonl;
mod log;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use hale_core::record::RequestRecord;
use tokio::sync::mpsc;

use crate::metrics::Metrics;

/// Records that may wait for the sinks.
const QUEUE: usize = 16 << 10;
/// Records that are written together.
const BATCH: usize = 512;

/// The entrance to the sinks.
pub(crate) struct Sinks {
    queue: Option<mpsc::Sender<Box<RequestRecord>>>,
}

/// One kind of sink.
enum Sink {
    Jsonl(jsonl::Jsonl),
    Log,
}

/// The task that feeds the sinks.
pub(crate) struct Drain {
    sinks: Vec<Sink>,
    queue: mpsc::Receiver<Box<RequestRecord>>,
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
            return Ok((Sinks { queue: None }, None));
        }
        let (sender, receiver) = mpsc::channel(QUEUE);
        Ok((Sinks { queue: Some(sender) }, Some(Drain { sinks, queue: receiver })))
    }

    /// Hands a record over.
    pub(crate) fn send(&self, record: RequestRecord, metrics: &Metrics) {
        if let Some(queue) = &self.queue
            && queue.try_send(Box::new(record)).is_err()
        {
            metrics.records_dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drain {
    /// Writes records until every sender is gone, then what is left.
    pub(crate) async fn run(mut self, metrics: Arc<Metrics>) {
        let mut batch = Vec::with_capacity(BATCH);
        while self.queue.recv_many(&mut batch, BATCH).await > 0 {
            self.write(&batch, &metrics);
            batch.clear();
        }
    }

    /// Writes what waits now; called at the very end of the process.
    pub(crate) fn flush(&mut self, metrics: &Metrics) {
        let mut batch = Vec::new();
        while let Ok(record) = self.queue.try_recv() {
            batch.push(record);
        }
        self.write(&batch, metrics);
    }

    fn write(&mut self, batch: &[Box<RequestRecord>], metrics: &Metrics) {
        for sink in &mut self.sinks {
            let written = match sink {
                Sink::Jsonl(file) => file.write(batch),
                Sink::Log => {
                    log::write(batch);
                    Ok(())
                }
            };
            if let Err(error) = written {
                let lost = metrics.records_dropped.fetch_add(batch.len() as u64, Ordering::Relaxed);
                if lost == 0 {
                    tracing::error!(%error, "records of requests can not be written; they are dropped");
                }
            }
        }
    }
}
