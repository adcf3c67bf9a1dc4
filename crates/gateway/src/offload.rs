//! Work on large bodies, which leaves the worker: a body of the largest permitted size takes longer to read, to
//! translate or to check than other requests should wait.
//!
//! Used by the proxy and the pages. Always true: few jobs run at one time, whatever the number of requests; a panic in a
//! job is a panic of its request.

use tokio::sync::Semaphore;

/// Longest body that a worker reads, translates and checks by itself, in bytes. Below that a hop to another thread
/// costs more than the work.
pub(crate) const LARGE: usize = 256 << 10;

/// Limits how many jobs run at one time in this process.
static TURNS: Semaphore = Semaphore::const_new(2);

/// The result of `job`, which runs on a thread of its own.
pub(crate) async fn run<T: Send + 'static>(job: impl FnOnce() -> T + Send + 'static) -> T {
    let turn = TURNS.acquire().await;
    let job = move || {
        // Given back at the end of the job, also if the request is gone by then.
        let _turn = turn;
        job()
    };
    match tokio::task::spawn_blocking(job).await {
        Ok(done) => done,
        Err(failed) => match failed.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is shutting down, and nothing waits for the result.
            Err(_cancelled) => std::future::pending().await,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_runs_elsewhere_and_its_panic_comes_back() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let here = std::thread::current().id();
            assert_ne!(run(|| std::thread::current().id()).await, here);
            for _ in 0..3 {
                let failed = tokio::task::spawn(run(|| panic!("a fault of our own"))).await;
                assert!(failed.unwrap_err().is_panic());
            }
            assert_eq!(run(|| 7).await, 7, "a panic gives back its turn");
        });
    }
}
