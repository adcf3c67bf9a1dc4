//! How long a worker works without a look at its other connections.
//!
//! Each worker looks after every poll of a connection. Always true: the thread's own processor time is counted, so that
//! a busy machine is no stall; what is counted is too long by at most [`STEP_US`] and a few short polls.

use std::cell::Cell;

use crate::clock::{self, Micros};
use crate::metrics::Metrics;

/// Polls that end within this time are counted together, and less than it is not counted, microseconds. The kernel is
/// called for the processor time at most once in that time.
const STEP_US: u64 = 5_000;

/// Polls that may pass without a reading of the clock. Most of them read it anyhow, and that is used.
const UNTIMED_MAX: u32 = 16;

/// The last look of a worker.
#[derive(Default)]
pub(crate) struct Stalls {
    at: Cell<Micros>,
    cpu_us: Cell<u64>,
    /// The clock as this thread knew it at the last poll, and how many polls ended since without a reading.
    known: Cell<Micros>,
    untimed: Cell<u32>,
}

impl Stalls {
    /// Called at the end of a poll.
    pub(crate) fn look(&self, metrics: &Metrics) {
        let now = self.time();
        if now.since(self.at.get()) < STEP_US {
            return;
        }
        let cpu_us = clock::thread_cpu_us();
        let used = cpu_us.saturating_sub(self.cpu_us.get());
        self.at.set(now);
        self.cpu_us.set(cpu_us);
        if used >= STEP_US {
            metrics.worker_stall.observe_us(used);
        }
    }

    /// The time of the end of a poll, or a little before.
    fn time(&self) -> Micros {
        let recent = clock::recent();
        if recent == self.known.get() && self.untimed.get() < UNTIMED_MAX {
            self.untimed.set(self.untimed.get() + 1);
            return recent;
        }
        self.untimed.set(0);
        let now = if recent == self.known.get() { clock::now() } else { recent };
        self.known.set(now);
        now
    }
}
