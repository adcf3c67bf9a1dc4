//! The end of a request, whatever it is: one record, counted once.
//!
//! Begun by [`super::exchange`] with the request, carried by its answer. Always true: a [`Finish`]
//! emits its record exactly once, when it is dropped; without another word that means that the
//! client went away, that the process stops, or that our code panicked.

use std::rc::Rc;
use std::sync::Arc;

use hale_core::budget::BudgetIndex;
use hale_core::cause::Cause;
use hale_core::deployment::Deployment;
use hale_core::operation::Operation;
use hale_core::record::{Ending, RequestRecord};
use hale_core::usage::Usage;

use crate::arrival::Arrival;
use crate::clock::{self, Micros};
use crate::metrics::GroupMetrics;
use crate::state::Serving;
use crate::state::Worker;

/// A record in the making.
pub(crate) struct Finish {
    worker: Rc<Worker>,
    serving: Arc<Serving>,
    /// The budgets of the request's tags.
    tag_budgets: Vec<BudgetIndex>,
    operation: Operation,
    group: Arc<GroupMetrics>,
    arrived: Micros,
    /// What of the time was spent waiting for others, microseconds.
    waited_us: u64,
    waiting_since: Option<Micros>,
    record: Option<RequestRecord>,
    said: bool,
}

impl Finish {
    /// The record of a request that has just arrived.
    pub(crate) fn begin(arrival: &Arrival, operation: Operation) -> Finish {
        Finish {
            worker: arrival.worker.clone(),
            serving: arrival.serving.clone(),
            tag_budgets: Vec::new(),
            operation,
            group: arrival.serving.no_group.clone(),
            arrived: arrival.at,
            waited_us: 0,
            waiting_since: None,
            said: false,
            record: Some(RequestRecord {
                call_id: arrival.call_id.clone(),
                arrived_unix_ms: clock::unix_ms(),
                operation,
                requested_model: None,
                model_group: None,
                deployment: None,
                status: 499,
                ending: Ending::ClientClosed,
                cause: Some(Cause::ClientClosed),
                stream: false,
                retries: 0,
                fallbacks: 0,
                duration_us: 0,
                first_content_us: None,
                overhead_us: 0,
                usage: None,
                cost_usd: None,
                request_bytes: 0,
                response_bytes: 0,
            }),
        }
    }

    /// What was asked for.
    pub(crate) fn operation(&self) -> Operation {
        self.operation
    }

    /// Adds what is known.
    pub(crate) fn note(&mut self, note: impl FnOnce(&mut RequestRecord)) {
        if let Some(record) = &mut self.record {
            note(record);
        }
    }

    /// The group whose metrics count it.
    pub(crate) fn in_group(&mut self, group: &Arc<GroupMetrics>) {
        if !Arc::ptr_eq(&self.group, group) {
            self.group = group.clone();
        }
    }

    /// From now on the time is somebody else's: the client's, an upstream's, or a pause.
    pub(crate) fn wait_begins(&mut self, now: Micros) {
        self.waiting_since = Some(now);
    }

    /// From now on it is ours again.
    pub(crate) fn wait_ends(&mut self, now: Micros) {
        if let Some(since) = self.waiting_since.take() {
            self.waited_us += now.since(since);
        }
    }

    /// Time since the request arrived, and how much of it was ours, microseconds.
    pub(crate) fn times(&self, now: Micros) -> (u64, u64) {
        let total = now.since(self.arrived);
        (total, total.saturating_sub(self.waited_us))
    }

    /// The first content of a stream is there.
    pub(crate) fn first_content(&mut self, now: Micros) {
        let (total, own) = self.times(now);
        self.note(|record| {
            record.first_content_us = Some(total);
            record.overhead_us = own;
        });
    }

    /// What it costs is charged to these budgets of tags too.
    pub(crate) fn charge_tags(&mut self, budgets: &[BudgetIndex]) {
        self.tag_budgets = budgets.to_vec();
    }

    /// Tokens and their cost at `deployment`; called once at most. The cost is charged to the budgets.
    pub(crate) fn usage(&mut self, deployment: &Deployment, usage: Usage) -> Option<f64> {
        let cost = deployment.facts.cost_usd(&usage);
        let budgets = &self.serving.snapshot.budgets;
        if let Some(usd) = cost.filter(|_| !budgets.all.is_empty()) {
            let now = clock::now().millis();
            let charged = deployment.routing.budgets.iter().chain(&self.tag_budgets);
            budgets.charge(charged, usd, now, clock::unix_ms());
        }
        self.note(|record| {
            record.usage = Some(usage);
            record.cost_usd = cost;
        });
        cost
    }

    /// Whether the process is stopping and lets nobody finish any more.
    pub(crate) fn is_cut(&self) -> bool {
        self.worker.process.is_cutting()
    }

    /// Says how it ends; the record leaves when this is dropped.
    pub(crate) fn end(&mut self, ending: Ending, status: u16, cause: Option<Cause>) {
        self.said = true;
        self.note(|record| {
            record.ending = ending;
            record.status = status;
            record.cause = cause;
        });
    }
}

impl Drop for Finish {
    fn drop(&mut self) {
        let Some(mut record) = self.record.take() else { return };
        if !self.said && std::thread::panicking() {
            record.ending = Ending::Panicked;
            record.status = 500;
            record.cause = Some(Cause::Gateway);
        } else if !self.said && self.is_cut() {
            record.ending = Ending::Error;
            record.status = 503;
            record.cause = Some(Cause::Gateway);
        }
        let now = clock::now();
        self.wait_ends(now);
        let (total, own) = self.times(now);
        record.duration_us = total;
        if record.first_content_us.is_none() {
            record.overhead_us = own;
        }
        let process = &self.worker.process;
        self.group.count(&record);
        process.sinks.send(record, &process.metrics);
    }
}
