//! A family of metrics, and where its values come from.
//!
//! Its rows are in [`super::families`]; read by [`super`]. Always true: each way to read values has one shape of labels.

use std::sync::atomic::{AtomicU64, Ordering};

use hale_core::deployment::Deployment;
use prometheus_client::metrics::MetricType;

use crate::metrics::{GroupMetrics, Histogram};
use crate::sink::export::Figures;
use crate::state::Process;

/// One family of metrics.
pub(super) struct Family {
    /// Its name; counters get `_total` on the page.
    pub(super) name: &'static str,
    /// What it says.
    pub(super) help: &'static str,
    /// Where its values come from.
    pub(super) read: Read,
}

/// Where a family's values come from.
pub(super) enum Read {
    Process(MetricType, fn(&Process) -> u64),
    ProcessUsd(fn(&Process) -> u64),
    /// What the system counts, if it does.
    System(MetricType, fn() -> Option<f64>),
    /// 1, with the version as label.
    Build,
    ProcessSeconds(fn(&Process) -> &Histogram),
    Group(fn(&GroupMetrics) -> u64),
    GroupSeconds(fn(&GroupMetrics) -> &Histogram),
    GroupUsd(fn(&GroupMetrics) -> u64),
    GroupByEnding,
    GroupByStatus,
    /// Why attempts were sent again.
    GroupByReason,
    Deployment(MetricType, fn(&Deployment) -> u64),
    /// USD that are left of budgets: of those of providers, or of all.
    BudgetRemaining {
        all: bool,
    },
    DeploymentByOutcome,
    /// Of each other server that gets records.
    Sink(MetricType, fn(&Figures) -> u64),
}

/// The value of a counter.
pub(super) fn load(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}
