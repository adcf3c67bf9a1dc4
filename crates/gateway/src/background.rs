//! The background thread: work that may wait, away from the workers and from the thread of signals.
//!
//! Started with the process, one for all such work: sinks, the log of events and reloads run here. Always
//! true: a task that panics is counted and started again; what blocks (files, parsing) runs in
//! [`Background::blocking`], on threads beside this one, so that no task holds up another; the thread ends
//! with the process, which waits for nothing that hangs; what it sends to other servers it sends on this thread, whose connections
//! it keeps.

use std::io;
use std::sync::{Arc, mpsc};

use tokio::runtime::{Builder, Handle, LocalOptions};
use tokio::task::JoinHandle;

use crate::metrics::Metrics;
use crate::panics;

/// Threads for what blocks: one for records, one for reloads, and a few that may hang on a disk.
const BLOCKING_MAX: usize = 8;

/// The background thread.
#[derive(Clone)]
pub(crate) struct Background {
    runtime: Handle,
    metrics: Arc<Metrics>,
}

impl Background {
    /// Starts the thread.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn start(metrics: Arc<Metrics>) -> io::Result<Background> {
        let (told, handles) = mpsc::channel();
        std::thread::Builder::new().name("background".to_owned()).spawn(move || {
            let runtime = Builder::new_current_thread()
                .enable_all()
                .thread_name("blocking")
                .max_blocking_threads(BLOCKING_MAX)
                .build_local(LocalOptions::default());
            // The start waits for what it is told here.
            let _heard: Result<(), _> = match runtime {
                Err(error) => told.send(Err(error)),
                Ok(runtime) => {
                    let heard = told.send(Ok(runtime.handle().clone()));
                    runtime.block_on(std::future::pending::<()>());
                    heard
                }
            };
        })?;
        let ended = || io::Error::other("the background thread ended");
        let handle = handles.recv().map_err(|_| ended())??;
        Ok(Background { runtime: handle, metrics })
    }

    /// Runs the task that `make` makes until it ends. One that panics is counted, and made again after a
    /// pause.
    pub(crate) fn supervise<F>(
        &self,
        what: &'static str,
        mut make: impl FnMut() -> F + Send + 'static,
    ) -> JoinHandle<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let metrics = self.metrics.clone();
        self.runtime.spawn(async move {
            while let Err(failed) = tokio::spawn(make()).await {
                if failed.is_cancelled() {
                    return;
                }
                panics::count(&metrics, what);
                tokio::time::sleep(panics::PAUSE).await;
            }
        })
    }

    /// The same for a task that stays on the background thread, because it sends to other servers.
    pub(crate) fn supervise_here<F>(
        &self,
        what: &'static str,
        mut make: impl FnMut() -> F + Send + 'static,
    ) -> JoinHandle<()>
    where
        F: Future<Output = ()> + 'static,
    {
        let metrics = self.metrics.clone();
        self.runtime.spawn(async move {
            while let Err(failed) = tokio::task::spawn_local(make()).await {
                if failed.is_cancelled() {
                    return;
                }
                panics::count(&metrics, what);
                tokio::time::sleep(panics::PAUSE).await;
            }
        })
    }

    /// The runtime, for what waits on threads or sockets of its own.
    pub(crate) fn runtime(&self) -> Handle {
        self.runtime.clone()
    }

    /// Runs `job` on a thread that may wait, whether or not the result is waited for; `None` when it
    /// panicked.
    pub(crate) fn blocking<T, J>(
        &self,
        what: &'static str,
        job: J,
    ) -> impl Future<Output = Option<T>> + use<T, J>
    where
        T: Send + 'static,
        J: FnOnce() -> T + Send + 'static,
    {
        let metrics = self.metrics.clone();
        let job = self.runtime.spawn_blocking(move || panics::contained(&metrics, what, job));
        async move { job.await.ok().flatten() }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    #[test]
    fn a_task_that_panics_is_counted_and_started_again() {
        static RUNS: AtomicU64 = AtomicU64::new(0);
        let metrics = Arc::new(Metrics::default());
        let background = Background::start(metrics.clone()).unwrap();
        let (done, ended) = mpsc::channel();
        background.supervise("a task", move || {
            let done = done.clone();
            async move {
                assert!(RUNS.fetch_add(1, Ordering::Relaxed) > 0, "the first run fails");
                done.send(()).unwrap();
            }
        });
        ended.recv_timeout(LIMIT).unwrap();
        assert_eq!(metrics.panics.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn what_blocks_holds_up_no_task_and_may_fail() {
        let metrics = Arc::new(Metrics::default());
        let background = Background::start(metrics.clone()).unwrap();
        let (release, held) = mpsc::channel::<()>();
        let blocked = background.blocking("a job", move || held.recv().is_ok());
        let (done, ended) = mpsc::channel();
        let other = background.clone();
        background.supervise("a task", move || {
            let (done, other) = (done.clone(), other.clone());
            async move {
                let failed = other.blocking("a job", || -> u8 { panic!("on purpose") }).await;
                done.send(failed).unwrap();
            }
        });
        assert_eq!(ended.recv_timeout(LIMIT).unwrap(), None);
        assert_eq!(metrics.panics.load(Ordering::Relaxed), 1);
        release.send(()).unwrap();
        let runtime = Builder::new_current_thread().build().unwrap();
        assert_eq!(runtime.block_on(blocked), Some(true));
    }
}
