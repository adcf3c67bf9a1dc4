//! The only place that reads time. All other code calls this module, or gets the time as an argument.
//!
//! Always true: [`now`] never goes back, and counts from the start of the process.

use std::cell::Cell;
use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hale_core::time::{Millis, UnixMs, WallClock};

static START: LazyLock<Instant> = LazyLock::new(read_monotonic);
static STARTED_UNIX_MS: LazyLock<u64> = LazyLock::new(unix_ms);

/// A moment, in microseconds since the start of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Micros(pub(crate) u64);

impl Micros {
    /// Microseconds since `earlier`; 0 when that is later.
    pub(crate) fn since(self, earlier: Micros) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The same moment for `core`.
    pub(crate) fn millis(self) -> Millis {
        Millis(self.0 / 1000)
    }
}

thread_local! {
    static RECENT: Cell<Micros> = const { Cell::new(Micros(0)) };
}

/// This moment.
pub(crate) fn now() -> Micros {
    let elapsed = read_monotonic().saturating_duration_since(*START);
    let now = Micros(u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX));
    RECENT.set(now);
    now
}

/// The time at which this thread last called [`now`], for marks that may be late by a part of a request.
/// Reading the clock a dozen times for each request costs more than checking its key.
pub(crate) fn recent() -> Micros {
    RECENT.get()
}

/// When the process started, milliseconds since 1970.
pub(crate) fn started_unix_ms() -> u64 {
    *STARTED_UNIX_MS
}

/// The day of that moment, in UTC: days since 1970.
pub(crate) fn day(now: Millis) -> u64 {
    const DAY_MS: u64 = 86_400_000;
    started_unix_ms().saturating_add(now.0) / DAY_MS
}

/// The processor time that this thread has used, microseconds.
pub(crate) fn thread_cpu_us() -> u64 {
    cpu_us(rustix::time::ClockId::ThreadCPUTime)
}

/// The processor time that the process has used, microseconds.
pub(crate) fn process_cpu_us() -> u64 {
    cpu_us(rustix::time::ClockId::ProcessCPUTime)
}

fn cpu_us(clock: rustix::time::ClockId) -> u64 {
    let used = rustix::time::clock_gettime(clock);
    let part = |part: i64| u64::try_from(part).unwrap_or(0);
    part(used.tv_sec) * 1_000_000 + part(used.tv_nsec) / 1_000
}

/// Starts the clock; called first thing by `main`.
pub(crate) fn start() {
    LazyLock::force(&START);
    LazyLock::force(&STARTED_UNIX_MS);
}

/// `at` for the timers of the runtime, at most ten years ahead.
pub(crate) fn timer_instant(at: Millis) -> tokio::time::Instant {
    const TEN_YEARS_MS: u64 = 10 * 365 * 86_400_000;
    tokio::time::Instant::from_std(*START + Duration::from_millis(at.0.min(TEN_YEARS_MS)))
}

/// This moment on both clocks, for times that leave the process.
pub(crate) fn wall() -> WallClock {
    WallClock { now: now().millis(), unix_ms: UnixMs(unix_ms()) }
}

/// Milliseconds since 1970.
pub(crate) fn unix_ms() -> u64 {
    #[allow(clippy::disallowed_methods, reason = "this is the place")]
    let now = SystemTime::now();
    now.duration_since(UNIX_EPOCH).map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}

fn read_monotonic() -> Instant {
    #[allow(clippy::disallowed_methods, reason = "this is the place")]
    Instant::now()
}

/// Milliseconds as seconds, for messages.
pub(crate) fn seconds(ms: u64) -> String {
    if ms.is_multiple_of(1000) {
        format!("{}", ms / 1000)
    } else {
        format!("{}.{:03}", ms / 1000, ms % 1000)
    }
}
