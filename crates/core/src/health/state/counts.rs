//! What a state counted, for metrics and pages.
//!
//! Part of [`DeploymentState`]. Always true: a reload carries the counts over to the same deployment.

use std::sync::atomic::Ordering;

use super::DeploymentState;
use crate::cause::Cause;

impl DeploymentState {
    /// Successes so far.
    #[must_use]
    pub fn successes(&self) -> u64 {
        self.successes.load(Ordering::Relaxed)
    }

    /// Failures of that cause so far.
    #[must_use]
    pub fn failures(&self, cause: Cause) -> u64 {
        self.failures[cause as usize].load(Ordering::Relaxed)
    }

    /// Failures so far, by cause and status.
    #[must_use]
    pub fn failures_by_status(&self) -> Vec<(Cause, u16, u64)> {
        self.failed.read()
    }

    /// Cooldowns so far, by the cause and the status of the failure that they came from.
    #[must_use]
    pub fn opens_by_status(&self) -> Vec<(Cause, u16, u64)> {
        self.opened.read()
    }

    /// Blamed failures in a row.
    #[must_use]
    pub fn failures_in_a_row(&self) -> u32 {
        self.breaker.lock().in_a_row
    }

    /// Cooldowns so far.
    #[must_use]
    pub fn opens(&self) -> u64 {
        self.opens.load(Ordering::Relaxed)
    }

    /// Changes of its health so far.
    #[must_use]
    pub fn changed(&self) -> u64 {
        self.log.count()
    }
}
