//! The table of metric families.
//!
//! Read by [`super`] for the page, and by the tests of its documentation, of the alerts and of the dashboards. Always true: a
//! metric is one row, with its unit, its labels and where its values come from.

mod budgets;
mod hale;
mod reference;

use hale_core::deployment::Deployment;

use super::labels::{Label, Put, Row};
use super::source::{Group, Requests, Source};
use crate::metrics::{Cell, Counters, Histogram, Sum};
use crate::state::Process;

/// One family of metrics.
pub(super) struct Family {
    /// Its name; counters get `_total` on the page.
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// What its numbers count or measure.
    pub(super) unit: &'static str,
    /// What it says.
    pub(super) help: &'static str,
    pub(super) labels: &'static [Label],
    /// Where its values come from.
    pub(super) read: Read,
}

/// The kind of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

/// Bounds of buckets, seconds.
#[derive(Clone, Copy)]
pub(super) enum Buckets {
    /// These.
    Of(&'static [f64]),
    /// Those of the config for times of the reference's names.
    Latency,
}

/// Where a family's values come from.
pub(super) enum Read {
    Process(fn(&Process) -> u64),
    ProcessUsd(fn(&Process) -> u64),
    /// What the system counts, if it does.
    System(fn() -> Option<f64>),
    ProcessSeconds(fn(&Process) -> &Histogram, Buckets),
    /// What one number does not say.
    Once(fn(&Source, &mut Put<'_>)),
    /// The calls of a service, at the bounds of times.
    Service(fn(&Source, &[f64], &mut Put<'_>)),
    /// Each deployment of the config; without a number it is not shown.
    Deployment(fn(&Source, &Deployment) -> Option<u64>),
    DeploymentRows(fn(&Source, &Deployment, &Row<'_>, &mut Put<'_>)),
    /// Each group of requests.
    Group(OfGroup),
    /// The requests of each deployment, and of each group where no deployment answered.
    Requests(OfRequests),
}

/// What a family shows of a group.
pub(super) enum OfGroup {
    Sum(Sum),
    Usd(Sum),
    Seconds(fn(&Counters) -> &Histogram, Buckets),
    Rows(fn(&Source, &Group, &Row<'_>, &mut Put<'_>)),
}

/// What a family shows of clients' requests, so that labels of clients can tell its series apart.
pub(super) enum OfRequests {
    /// Those that were answered.
    Answered(fn(&Counters) -> u64),
    AnsweredUsd(Sum),
    AnsweredSeconds(fn(&Counters) -> &Histogram, Buckets),
    Rows(fn(&Row<'_>, Requests<'_>, &mut Put<'_>)),
    /// At the bounds of times.
    Seconds(fn(&Row<'_>, &Cell, &[f64], &mut Put<'_>)),
}

impl Read {
    /// Whether labels of clients can tell its series apart.
    pub(super) const fn is_of_requests(&self) -> bool {
        matches!(self, Read::Requests(_))
    }
}

impl Family {
    /// Whether its name ends in its unit.
    pub(super) fn has_unit_in_name(&self) -> bool {
        let before = self.name.strip_suffix(self.unit);
        !self.unit.is_empty() && before.is_some_and(|name| name.ends_with('_'))
    }

    /// Whether the config says if it is shown.
    pub(super) fn is_the_references(&self) -> bool {
        self.name.starts_with("litellm_")
    }
}

const fn counter(
    name: &'static str,
    unit: &'static str,
    labels: &'static [Label],
    read: Read,
    help: &'static str,
) -> Family {
    Family { name, kind: Kind::Counter, unit, help, labels, read }
}

const fn gauge(
    name: &'static str,
    unit: &'static str,
    labels: &'static [Label],
    read: Read,
    help: &'static str,
) -> Family {
    Family { name, kind: Kind::Gauge, unit, help, labels, read }
}

const fn histogram(
    name: &'static str,
    labels: &'static [Label],
    read: Read,
    help: &'static str,
) -> Family {
    Family { name, kind: Kind::Histogram, unit: "seconds", help, labels, read }
}

/// All families.
pub(super) static FAMILIES: [&[Family]; 4] =
    [hale::REQUESTS, hale::PROCESS, reference::FAMILIES, budgets::FAMILIES];

#[cfg(test)]
mod tests;
