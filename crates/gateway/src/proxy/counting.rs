//! Where a finished request is counted, and what only the counters want to know of it.
//!
//! Part of [`super::delivery`], which fills it on the way and counts when the request ends. Always true: a request is counted
//! once; one that failed counts for the group that its client named, whichever groups were tried after it.

use hale_core::deployment::{Deployment, DeploymentIndex};
use hale_core::group::GroupIndex;
use hale_core::record::{Ending, RequestRecord};

use crate::clock::{self, Micros};
use crate::metrics::{Measured, Metrics, Series};
use crate::state::Serving;

/// Where a request is counted.
#[derive(Default)]
pub(super) struct Counting {
    /// The group that the client named, and the one that is tried now.
    groups: Option<(GroupIndex, GroupIndex)>,
    /// The deployment that is called, and since when.
    called: Option<(DeploymentIndex, Micros)>,
    measured: Measured,
    /// The values of the labels that the operator asked for, if there are such.
    client: Option<Box<[Option<Box<str>>]>>,
}

impl Counting {
    /// The group that the client named, and the one that is tried now.
    pub(super) fn in_group(&mut self, named: GroupIndex, now: GroupIndex) {
        self.groups = Some((named, now));
    }

    /// The deployment that is called from now on.
    pub(super) fn at(&mut self, deployment: &Deployment) {
        self.called = Some((deployment.index, clock::recent()));
    }

    /// The request goes on in another config, in which groups and deployments have other places.
    pub(super) fn in_config(&mut self) {
        (self.groups, self.called) = (None, None);
    }

    /// The cache was asked in vain.
    pub(super) fn missed_cache(&mut self) {
        self.measured.missed_cache = true;
    }

    /// The first content of a stream came.
    pub(super) fn first_content(&mut self, now: Micros) {
        self.measured.first_token_us = self.called.map(|(_, since)| now.since(since));
    }

    /// What labels tell of the client, because the operator asked for it.
    pub(super) fn client(&mut self, values: Box<[Option<Box<str>>]>) {
        self.client = Some(values);
    }

    /// Counts the request.
    pub(super) fn count(
        &self,
        (serving, metrics): (&Serving, &Metrics),
        record: &RequestRecord,
        now: Micros,
    ) {
        let series = self.series(serving, record.ending);
        let upstream_us = self.called.map(|(_, since)| now.since(since));
        let measured = Measured { upstream_us, ..self.measured };
        match &self.client {
            None => series.count(record, measured),
            Some(values) => {
                let client = (metrics.clients.key(values), &metrics.clients);
                series.count_client(client, record, measured);
            }
        }
    }

    /// The deployment that answered, or failed last in the group that the client named; else that group.
    fn series<'s>(&self, serving: &'s Serving, ending: Ending) -> &'s Series {
        let Some((named, now)) = self.groups else { return &serving.no_group };
        let group = if ending == Ending::Success { now } else { named };
        match self.called {
            Some((index, _)) if serving.snapshot.deployment(index).group == group => {
                serving.series(index)
            }
            Some(_) | None => serving.group(group),
        }
    }
}
