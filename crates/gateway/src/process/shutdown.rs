//! The end of the process, in good order.
//!
//! Called by the control thread and by the demo. Always true: after a stop signal requests in flight may finish,
//! within bounds; then the last records and the last lines of the log are written, within bounds too.

use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::reload::Reloads;
use super::remember::Memory;
use crate::background::Background;
use crate::clock;
use crate::events::{self, Shutdown, What};
use crate::failures;
use crate::server::Phase;
use crate::state::Process;

/// How long the end waits for what the background thread still has to write: records, and lines of the log.
const BACKGROUND_MAX: Duration = Duration::from_secs(2);
/// How long it waits for other servers that get records.
const EXPORTS_MAX: Duration = Duration::from_secs(3);

/// How long the end waits for workers that were told to stop: they do nothing that takes long.
const WORKERS_MAX: Duration = Duration::from_secs(5);

/// How soon it is seen that nothing is in flight any more.
const LOOK: Duration = Duration::from_millis(10);

/// How the process is to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// It goes on accepting for the time of `drain_delay`, so that balancers notice first.
    Drain,
    /// A person at a terminal waits for it: as soon as nothing is in flight.
    WhenIdle,
}

impl Stop {
    /// What an interrupt means: a balancer in front of a process that a terminal controls is not expected.
    pub(super) fn by_interrupt() -> Stop {
        if io::stdin().is_terminal() { Stop::WhenIdle } else { Stop::Drain }
    }
}

/// A running gateway.
pub(crate) struct Running {
    /// The process.
    pub(crate) process: Arc<Process>,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    pub(super) phase: watch::Sender<Phase>,
    pub(super) workers: Vec<std::thread::JoinHandle<()>>,
    pub(super) background: Background,
    /// What writes the log; it ends with the last event.
    pub(super) log: JoinHandle<()>,
    /// What runs for the store.
    pub(super) memory: Option<Memory>,
    /// What reads the config again, until the control thread has it.
    pub(super) reloads: Option<Reloads>,
}

impl Running {
    /// Runs until `stop` is ready, then lets requests finish. `hurry`, made from the result of `stop`, cuts
    /// that short.
    pub(crate) async fn until<S>(
        mut self,
        stop: impl Future<Output = (Stop, S)>,
        hurry: impl AsyncFnOnce(S),
    ) {
        let (stop, stopped) = stop.await;
        tokio::select! {
            () = self.shut_down(stop) => {}
            () = hurry(stopped) => events::publish(What::Shutdown(Shutdown::Hurried)),
        }
        self.phase.send_replace(Phase::Stop);
        let late = ended(std::mem::take(&mut self.workers), WORKERS_MAX).await;
        if late > 0 {
            tracing::error!(
                workers = late,
                "workers did not end in time: what they still do is cut"
            );
        }
        self.finish().await;
    }

    /// Lets the background write the last records, those of requests that were just finished or cut, and the
    /// last lines.
    async fn finish(self) {
        let process = self.process;
        let of_last = process.clone();
        let last = move || of_last.sinks.finish(&of_last.metrics);
        let records = self.background.blocking("writing the last records", last);
        if timeout(BACKGROUND_MAX, records).await.is_err() {
            tracing::error!("the last records of requests could not be written in time");
        }
        process.sinks.exports.finish(EXPORTS_MAX).await;
        failures::tell_counted();
        events::publish(What::Shutdown(Shutdown::Stopped));
        if let Some(memory) = self.memory {
            memory.finish(&self.background).await;
        }
        let _late: Result<_, _> = timeout(BACKGROUND_MAX, self.log).await;
    }

    /// Waits until no request is in flight or waits for its turn.
    async fn idle(&self) {
        let mut look = tokio::time::interval(LOOK);
        loop {
            look.tick().await;
            let in_flight = self.process.metrics.in_flight.load(Ordering::Relaxed);
            if in_flight == 0 && self.process.waiting.count() == 0 {
                return;
            }
        }
    }

    async fn shut_down(&self, stop: Stop) {
        let serving = self.process.serving();
        let settings = &serving.snapshot.gateway;
        self.process.drain();
        self.phase.send_replace(Phase::Drain);
        let drain_delay_ms = settings.drain_delay_ms;
        let grace_ms = drain_delay_ms.saturating_add(settings.shutdown_timeout_ms);
        self.process.waiting.drain(clock::now().millis().plus(grace_ms));
        events::publish(What::Shutdown(Shutdown::Draining { drain_delay_ms }));
        let delay = tokio::time::sleep(Duration::from_millis(drain_delay_ms));
        match stop {
            Stop::Drain => delay.await,
            Stop::WhenIdle => tokio::select! {
                () = delay => {}
                () = self.idle() => {}
            },
        }
        self.process.close();
        self.phase.send_replace(Phase::Finish);
        let limit = tokio::time::sleep(Duration::from_millis(settings.shutdown_timeout_ms));
        let mut limit = std::pin::pin!(limit);
        let mut look = tokio::time::interval(LOOK);
        loop {
            tokio::select! {
                () = &mut limit => {
                    events::publish(What::Shutdown(Shutdown::Cut));
                    return;
                }
                _ = look.tick() => if self.workers.iter().all(std::thread::JoinHandle::is_finished) {
                    return;
                }
            }
        }
    }
}

/// Waits for the ends of `workers`, but not longer than that. Returns how many go on.
async fn ended(workers: Vec<std::thread::JoinHandle<()>>, within: Duration) -> usize {
    let all = async {
        let mut look = tokio::time::interval(LOOK);
        while !workers.iter().all(std::thread::JoinHandle::is_finished) {
            look.tick().await;
        }
    };
    let _late: Result<_, _> = timeout(within, all).await;
    let (over, late): (Vec<_>, Vec<_>) =
        workers.into_iter().partition(std::thread::JoinHandle::is_finished);
    for worker in over {
        if worker.join().is_err() {
            tracing::error!("a worker had failed");
        }
    }
    late.len()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_worker_that_does_not_end_holds_up_no_stop() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let (release, held) = mpsc::channel::<()>();
        let stuck = std::thread::spawn(move || {
            let _released: Result<(), _> = held.recv();
        });
        let broken = std::thread::spawn(|| std::panic::resume_unwind(Box::new("broken")));
        let good = std::thread::spawn(|| {});
        // Those that end are waited for.
        assert_eq!(runtime.block_on(ended(vec![broken, good], Duration::from_secs(60))), 0);
        assert_eq!(runtime.block_on(ended(vec![stuck], Duration::ZERO)), 1);
        drop(release);
    }
}
