//! How long things take: the only place that asserts a bound on elapsed time.
//!
//! Every other test asserts order and cause. Upper bounds need a machine that is not overloaded:
//! `HALE_SKIP_TIMING=1` leaves them out, and every other assertion stays. Lower bounds hold on any machine.

use std::time::{Duration, Instant};

use hale_testkit::{FakeUpstream, TIMEOUT};

use crate::support::{Config, chat_with};
use crate::tidy;

/// Whether upper bounds are asserted.
fn bounds_count() -> bool {
    std::env::var_os("HALE_SKIP_TIMING").is_none_or(|value| value.is_empty() || value == "0")
}

/// The time until something must have happened: `limit`, or that of every wait where bounds are left out.
pub(crate) fn within_bound(limit: Duration) -> Duration {
    if bounds_count() { limit } else { TIMEOUT }
}

/// Asserts that `ms` is below `limit_ms`, unless bounds are left out.
#[track_caller]
pub(crate) fn bounded_ms(ms: u64, limit_ms: u64) {
    assert!(!bounds_count() || ms < limit_ms, "{ms} ms");
}

/// Milliseconds since a moment.
#[derive(Clone, Copy)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    /// It begins to count.
    #[allow(
        clippy::disallowed_methods,
        reason = "tests measure real time: the clock is the gateway's"
    )]
    pub(crate) fn start() -> Stopwatch {
        Stopwatch(Instant::now())
    }

    /// The milliseconds so far, for what depends on them; no test asserts a bound on it.
    pub(crate) fn ms(self) -> u64 {
        u64::try_from(self.0.elapsed().as_millis()).expect("no test runs for so long")
    }

    /// Asserts that less than `limit_ms` passed, unless bounds are left out.
    #[track_caller]
    pub(crate) fn less_than_ms(self, limit_ms: u64) {
        let took = self.0.elapsed();
        assert!(!bounds_count() || took < Duration::from_millis(limit_ms), "{took:?}");
    }

    /// Asserts that at least `least_ms` passed: something was waited for.
    #[track_caller]
    pub(crate) fn at_least_ms(self, least_ms: u64) {
        let took = self.0.elapsed();
        assert!(took >= Duration::from_millis(least_ms), "too soon: {took:?}");
    }

    /// Asserts that at least `least_ms` and, unless bounds are left out, less than `limit_ms` passed.
    #[track_caller]
    pub(crate) fn between_ms(self, least_ms: u64, limit_ms: u64) {
        self.at_least_ms(least_ms);
        self.less_than_ms(limit_ms);
    }
}

#[test]
fn only_this_module_asserts_bounds_on_elapsed_time() {
    let tests = tidy::root().join("crates/gateway/tests");
    for (path, text) in tidy::sources(&tests) {
        let is_here = path.ends_with("timing.rs");
        for word in [".elapsed()", "as_millis()"].iter().filter(|_| !is_here) {
            // The wall clock gives the minute of a window; that is no duration.
            let text = text.replace("UNIX_EPOCH.elapsed()", "");
            assert!(!text.contains(word), "{}: {word}; use `Stopwatch`", path.display());
        }
    }
}

#[test]
fn five_hundred_deployments_are_ready_soon() {
    let upstream = FakeUpstream::start();
    let config = (0..500).fold(Config::new(), |config, number| {
        config.deployment(&format!("g{}", number % 100), &format!("d{number}"), &upstream)
    });
    let watch = Stopwatch::start();
    let hale = config.start();
    // A debug build on a busy machine; the benchmark measures the release build.
    watch.less_than_ms(5_000);
    let body = hale_testkit::openai::chat_request("g7", "hi");
    assert_eq!(chat_with(&hale, &[], &body).status, 200);
}
