//! The calls of upstreams that one request makes, as they are billed.
//!
//! Kept by [`super::delivery::Delivery`] where a store keeps them. Always true: without a store nothing is allocated; each call has one
//! entry and at most one bill.

use std::sync::Arc;

use bytes::Bytes;
use hale_core::cause::Cause;
use hale_core::deployment::Deployment;
use hale_core::money::Money;
use hale_core::record::{Bill, BilledCall, BilledTo};
use hale_core::usage::Usage;
use hale_wire::peek::Peek;

use crate::arrival::Arrival;

/// The calls of one request.
pub(super) struct Billing {
    kept: Option<Box<Kept>>,
    /// Calls whose answers no client gets.
    pub(super) elsewhere: Elsewhere,
    /// The cost of them that is in the record.
    pub(super) counted_elsewhere: Money,
    /// The tokens in the record without theirs.
    pub(super) answered: Option<Usage>,
}

/// What calls came to whose answers no client gets.
#[derive(Clone, Copy, Default)]
pub(super) struct Elsewhere {
    pub(super) usage: Usage,
    pub(super) cost: Money,
}

impl Elsewhere {
    /// Adds a call.
    pub(super) fn add(&mut self, bill: &Bill) {
        self.usage.add(&bill.usage);
        self.cost = self.cost.plus(bill.cost.unwrap_or_default());
    }

    /// Their tokens and those of the answer that the client gets.
    pub(super) fn with(&self, answered: Usage) -> Usage {
        let mut sum = answered;
        sum.add(&self.usage);
        sum
    }
}

#[derive(Default)]
struct Kept {
    calls: Vec<BilledCall>,
    to: Option<Box<BilledTo>>,
    /// The body of the call under way: if its client leaves, what the provider read is estimated from it.
    body: Option<Bytes>,
}

impl Billing {
    /// No calls yet.
    pub(super) fn of(arrival: &Arrival) -> Billing {
        let is_wanted = arrival.worker.process.sinks.remembers();
        Billing {
            kept: is_wanted.then(Box::default),
            elsewhere: Elsewhere::default(),
            counted_elsewhere: Money::ZERO,
            answered: None,
        }
    }

    /// Whether calls are kept.
    pub(super) fn is_wanted(&self) -> bool {
        self.kept.is_some()
    }

    /// Who the request is billed to.
    pub(super) fn is_to(&mut self, to: BilledTo) {
        if let Some(kept) = &mut self.kept {
            kept.to = Some(Box::new(to));
        }
    }

    /// The tags that it is billed to.
    pub(super) fn tags(&self) -> &[Box<str>] {
        let to = self.kept.as_deref().and_then(|kept| kept.to.as_deref());
        to.map_or(&[], |to| &to.tags)
    }

    /// An upstream is about to be called with a request of that body.
    pub(super) fn begins(
        &mut self,
        (deployment, model, group): (&Arc<Deployment>, &str, &str),
        body: Option<&Peek>,
        began_us: u64,
    ) {
        let Some(kept) = &mut self.kept else { return };
        kept.body = body.map(|peek| peek.body().clone());
        // Most requests make one call.
        kept.calls.reserve_exact(1);
        kept.calls.push(BilledCall {
            deployment: deployment.clone(),
            model_group: group.into(),
            model: model.into(),
            began_us,
            ended_us: began_us,
            status: None,
            cause: None,
            bill: None,
            is_over: false,
        });
    }

    /// The call under way has an answer with that status: its provider counts.
    pub(super) fn is_answered(&mut self, status: u16) {
        let Some(kept) = &mut self.kept else { return };
        kept.body = None;
        if let Some(call) = kept.calls.last_mut() {
            call.status = Some(status);
        }
    }

    /// The call under way ended so.
    pub(super) fn ended(&mut self, status: Option<u16>, cause: Option<Cause>, ended_us: u64) {
        let Some(kept) = &mut self.kept else { return };
        kept.body = None;
        if let Some(call) = kept.calls.last_mut().filter(|call| !call.is_over) {
            (call.status, call.cause) = (status.or(call.status), cause);
            call.ended_us = ended_us.max(call.began_us);
            call.is_over = true;
        }
    }

    /// What the last call of that deployment without a bill is billed.
    pub(super) fn billed(&mut self, deployment: &Deployment, bill: Bill) {
        let Some(kept) = &mut self.kept else { return };
        let open =
            |call: &&mut BilledCall| call.bill.is_none() && call.deployment.id == deployment.id;
        if let Some(call) = kept.calls.iter_mut().rev().find(open) {
            call.bill = Some(bill);
        }
    }

    /// The deployment and the model of the call under way, and the body that it was sent.
    pub(super) fn under_way(&mut self) -> Option<(Bytes, Box<str>)> {
        let kept = self.kept.as_mut()?;
        let body = kept.body.take()?;
        let call = kept.calls.last().filter(|call| !call.is_over)?;
        Some((body, call.model.clone()))
    }

    /// The calls, and who they are billed to.
    pub(super) fn finish(&mut self) -> (Vec<BilledCall>, Option<Box<BilledTo>>) {
        self.kept.take().map_or_else(Default::default, |kept| (kept.calls, kept.to))
    }
}
