//! Panics of our own code, contained.
//!
//! Used around a worker's life, a reload, a request, a stream under way, a health probe and everything in the
//! background. Always true: a panic is counted and logged, and the process goes on.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::metrics::Metrics;

/// The pause after a panic before the same thing starts again, so that a lasting one does not fill the log.
pub(crate) const PAUSE: Duration = Duration::from_millis(200);

/// Counts and logs a panic of `what` that was caught.
pub(crate) fn count(metrics: &Metrics, what: &str) {
    metrics.panics.fetch_add(1, Ordering::Relaxed);
    tracing::error!("{what} failed by a fault of our own; please report the lines above");
}

/// The result of `run`, or `None` when it panics.
pub(crate) fn contained<T>(metrics: &Metrics, what: &str, run: impl FnOnce() -> T) -> Option<T> {
    // Unwinding drops what was half done; it is not seen again.
    let result = catch_unwind(AssertUnwindSafe(run)).ok();
    if result.is_none() {
        count(metrics, what);
    }
    result
}

/// Calls `run` again until it returns without a panic. Blocks the thread.
pub(crate) fn restarted<T>(metrics: &Metrics, what: &str, mut run: impl FnMut() -> T) -> T {
    loop {
        if let Some(end) = contained(metrics, what, &mut run) {
            return end;
        }
        std::thread::sleep(PAUSE);
    }
}

/// Panics once at the place that a test of a debug build names by `HALE_FAIL_ON_PURPOSE`. The variable is
/// read once; a release reads nothing and has no such places.
pub(crate) fn fail_where_a_test_says(place: &str) {
    #[cfg(debug_assertions)]
    {
        use std::sync::LazyLock;
        use std::sync::atomic::AtomicBool;
        static WANTED: LazyLock<Option<String>> =
            LazyLock::new(|| std::env::var("HALE_FAIL_ON_PURPOSE").ok());
        static DONE: AtomicBool = AtomicBool::new(false);
        let is_wanted = WANTED.as_deref() == Some(place);
        assert!(!is_wanted || DONE.swap(true, Ordering::Relaxed), "on purpose: {place}");
    }
    let _: &str = place;
}

/// A future whose panic is an error, not the end of the connection.
pub(crate) struct CatchPanic<F>(pub(crate) Pin<Box<F>>);

impl<F: Future> Future for CatchPanic<F> {
    type Output = Result<F::Output, ()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // What was half done is dropped with the future; it is not seen again.
        let polled = catch_unwind(AssertUnwindSafe(|| self.0.as_mut().poll(cx)));
        match polled {
            Ok(poll) => poll.map(Ok),
            Err(_panic) => Poll::Ready(Err(())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_outside_of_requests_is_counted_and_what_failed_begins_anew() {
        // Bad input, row F49.
        let metrics = Metrics::default();
        assert_eq!(contained(&metrics, "a reload", || 7), Some(7));
        assert_eq!(contained(&metrics, "a reload", || -> u8 { panic!("ours") }), None);
        let mut calls = 0;
        let end = restarted(&metrics, "a worker", || {
            calls += 1;
            assert!(calls > 2, "not yet");
            calls
        });
        assert_eq!((end, metrics.panics.load(Ordering::Relaxed)), (3, 3));
    }
}
