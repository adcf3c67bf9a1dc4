//! The end of the process, in good order.
//!
//! Called by the control thread and by the demo. Always true: a stop signal lets what is in flight finish, within
//! bounds; the last records are written.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::metrics::Metrics;
use crate::server::Phase;
use crate::sink::Drain;
use crate::state::Process;

/// What a running gateway is controlled by.
pub(crate) struct Running {
    /// The process.
    pub(crate) process: Arc<Process>,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    pub(super) phase: watch::Sender<Phase>,
    pub(super) workers: Vec<std::thread::JoinHandle<()>>,
    pub(super) drain: Option<Drain>,
}

impl Running {
    /// Runs until `stop` is ready, then lets requests finish; `hurry`, made from what `stop` gave,
    /// cuts that short.
    pub(crate) async fn until<S>(
        mut self,
        stop: impl Future<Output = S>,
        hurry: impl AsyncFnOnce(S),
    ) {
        let metrics = self.process.metrics.clone();
        let mut drain = self.drain.take();
        let stopped = tokio::select! {
            stopped = stop => stopped,
            never = run_sinks(&mut drain, &metrics) => match never {},
        };
        tokio::select! {
            () = self.shut_down() => {}
            () = hurry(stopped) => tracing::warn!("second signal: stopping at once"),
            never = run_sinks(&mut drain, &metrics) => match never {},
        }
        self.phase.send_replace(Phase::Stop);
        for worker in self.workers.drain(..) {
            if worker.join().is_err() {
                tracing::error!("a worker had failed");
            }
        }
        // The last records are those of the requests that were just finished or cut.
        if let Some(drain) = &mut drain {
            drain.flush(&metrics);
        }
        tracing::info!("stopped");
    }

    async fn shut_down(&self) {
        let serving = self.process.serving();
        let settings = &serving.snapshot.gateway;
        self.process.drain();
        self.phase.send_replace(Phase::Drain);
        tracing::info!(drain_delay_ms = settings.drain_delay_ms, "draining");
        tokio::time::sleep(Duration::from_millis(settings.drain_delay_ms)).await;
        self.phase.send_replace(Phase::Finish);
        let limit = tokio::time::sleep(Duration::from_millis(settings.shutdown_timeout_ms));
        let mut limit = std::pin::pin!(limit);
        let mut look = tokio::time::interval(Duration::from_millis(10));
        loop {
            tokio::select! {
                () = &mut limit => {
                    tracing::warn!("requests were still in flight after shutdown_timeout; they are cut");
                    return;
                }
                _ = look.tick() => if self.workers.iter().all(std::thread::JoinHandle::is_finished) {
                    return;
                }
            }
        }
    }
}

/// Feeds the sinks for as long as it is polled.
async fn run_sinks(drain: &mut Option<Drain>, metrics: &Metrics) -> Infallible {
    match drain {
        Some(drain) => drain.run(metrics).await,
        None => std::future::pending().await,
    }
}
