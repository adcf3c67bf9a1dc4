//! What the answers to a request cost, and what is charged with it.
//!
//! Part of [`super`]. Always true: each call of an upstream is charged at most once, at the prices of the model that was called; the cost of a
//! request is the sum over its calls.

use std::sync::Arc;

use hale_core::cause::Cause;
use hale_core::deployment::Deployment;
use hale_core::money::Money;
use hale_core::record::{Bill, BilledTo};
use hale_core::usage::{CountedBy, Usage};
use hale_wire::controls::estimated_input;
use hale_wire::peek::Peek;

use super::Delivery;
use crate::clock;
use crate::events;
use crate::proxy::attempt::{Answered, Failed};
use crate::proxy::attempt_guard::AttemptGuard;
use crate::proxy::counted::Counted;

impl Delivery {
    /// Whether the calls of the request are kept.
    pub(in crate::proxy) fn keeps_calls(&self) -> bool {
        self.billing.is_wanted()
    }

    /// Who the request is billed to.
    pub(in crate::proxy) fn billed_to(&mut self, to: BilledTo) {
        self.billing.is_to(to);
    }

    /// Its tags, as it is billed to them: none without a store, which the limits of tags need, too.
    pub(in crate::proxy) fn tags(&self) -> &[Box<str>] {
        self.billing.tags()
    }

    /// An upstream is about to be called.
    pub(in crate::proxy) fn call_begins(
        &mut self,
        (deployment, model, group): (&Arc<Deployment>, &str, &str),
        body: Option<&Peek>,
    ) {
        if self.billing.is_wanted() {
            let began_us = clock::recent().since(self.arrived);
            self.billing.begins((deployment, model, group), body, began_us);
            self.called = Some(deployment.clone());
        }
    }

    /// The call of an upstream has an answer, which its provider counts, or has failed.
    pub(in crate::proxy) fn call_ended(
        &mut self,
        deployment: &Deployment,
        result: &Result<Answered, Failed>,
    ) {
        match result {
            Ok(answered) => {
                self.called = None;
                self.billing.is_answered(answered.status());
                self.capture.attempt_answered(answered.status());
            }
            Err(failed) => {
                self.call_failed(deployment, failed);
                self.capture.attempt_failed(failed);
            }
        }
    }

    /// The call of an upstream has failed. A provider that was still at work reads and bills the prompt all the same.
    fn call_failed(&mut self, deployment: &Deployment, failed: &Failed) {
        if matches!(failed.cause, Cause::Timeout | Cause::ClientTimeout | Cause::StreamStall) {
            self.bill_prompt(deployment);
        }
        self.called = None;
        let ended_us = clock::recent().since(self.arrived);
        self.billing.ended(failed.status, Some(failed.cause), ended_us);
    }

    /// A half of an answer broke off, and is billed.
    pub(super) fn half_ended(&mut self, failed: &Failed) {
        let ended_us = clock::recent().since(self.arrived);
        self.billing.ended(failed.status, Some(failed.cause), ended_us);
    }

    /// The answer of the last call is not for the client, or only if no other one comes.
    pub(in crate::proxy) fn call_passed_over(&mut self) {
        let ended_us = clock::recent().since(self.arrived);
        self.billing.ended(Some(200), Some(Cause::EmptyAnswer), ended_us);
    }

    /// An answer that no client gets: its cost is the request's all the same.
    pub(in crate::proxy) fn passed_over(&mut self, guard: &AttemptGuard, counted: Counted<'_>) {
        let deployment = guard.deployment();
        if let Some(bill) = self.charge(deployment, guard.model(), counted) {
            self.billing.elsewhere.add(&bill);
        }
    }

    /// Records tokens and cost, and charges the budgets. Called once, when the answer ends.
    pub(super) fn account(&mut self, counted: Counted<'_>) -> Option<f64> {
        let guard = self.attempt.as_ref()?;
        let (deployment, model) = (guard.deployment().clone(), Box::from(guard.model()));
        let bill = self.charge(&deployment, &model, counted)?;
        let Bill { usage, counted_by, cost } = self.with_earlier(bill);
        let elsewhere = self.billing.elsewhere;
        self.billing.counted_elsewhere = elsewhere.cost;
        self.billing.answered = Some(usage);
        let usage = elsewhere.with(usage);
        let cost = cost.map(|cost| cost.plus(elsewhere.cost).usd());
        self.note(|record| {
            record.usage = Some(usage);
            record.counted_by = counted_by;
            record.cost_usd = cost;
        });
        cost
    }

    /// The request is over: the call that its client left is billed, and the record gets all of them.
    pub(super) fn settle_calls(&mut self) {
        if self.billing.is_wanted() {
            self.settle_kept_calls();
        }
        self.settle_late();
    }

    /// Adds what came after the answer was counted: a rescue that failed.
    fn settle_late(&mut self) {
        let elsewhere = self.billing.elsewhere;
        let late = elsewhere.cost.minus(self.billing.counted_elsewhere);
        let usage = self.billing.answered.map(|answered| elsewhere.with(answered));
        self.note(|record| {
            record.usage = usage.or(record.usage);
            if late > Money::ZERO {
                let counted = record.cost_usd.and_then(Money::of_usd).unwrap_or_default();
                (record.cost_usd, record.counted_by) =
                    (Some(counted.plus(late).usd()), CountedBy::Estimate);
            }
        });
    }

    fn settle_kept_calls(&mut self) {
        if let Some(deployment) = self.called.take().filter(|_| self.sending.stage().is_sent()) {
            self.bill_prompt(&deployment);
        }
        let ended_us = clock::recent().since(self.arrived);
        let cause = self.record.as_ref().and_then(|record| record.cause);
        self.billing.ended(None, cause, ended_us);
        let (calls, to) = self.billing.finish();
        self.note(|record| (record.calls, record.billed_to) = (calls, to));
    }

    /// Bills an estimate of the prompt of the call under way, which has no answer.
    fn bill_prompt(&mut self, deployment: &Deployment) {
        if !self.operation.always_costs_tokens() {
            return;
        }
        let Some((body, model)) = self.billing.under_way() else { return };
        let Ok(peek) = Peek::parse(body) else { return };
        let prefix_tokens = self.prefix_tokens;
        let input = || estimated_input(&peek) + prefix_tokens;
        let facts = deployment.facts_at(&model, clock::unix_ms());
        if let Some((usage, by)) = hale_core::charge::charged(None, &facts, (input, || 0)) {
            let bill = self.bill(deployment, (usage, by), facts.cost(&usage));
            self.billing.elsewhere.add(&bill);
        }
    }

    /// The bill of an answer.
    fn charge(
        &mut self,
        deployment: &Deployment,
        model: &str,
        counted: Counted<'_>,
    ) -> Option<Bill> {
        let request_bytes = self.record.as_ref().map_or(0, |record| record.request_bytes);
        let facts = deployment.facts_at(model, clock::unix_ms());
        let sent = (request_bytes, self.prefix_tokens);
        let (usage, counted_by) = counted.charged(&facts, sent)?;
        let cost = facts.cost(&usage);
        Some(self.bill(deployment, (usage, counted_by), cost))
    }

    /// Charges the budgets of the deployment and of the request's tags with a call.
    fn bill(
        &mut self,
        deployment: &Deployment,
        (usage, counted_by): (Usage, CountedBy),
        cost: Option<Money>,
    ) -> Bill {
        let budgets = &self.serving.snapshot.budgets;
        if let Some(cost) = cost.filter(|_| !budgets.all.is_empty()) {
            let now = clock::now().millis();
            let charged = deployment.routing.budgets.iter().chain(&self.tag_budgets);
            for index in budgets.charge(charged, cost.usd(), now, clock::unix_ms()) {
                events::budget_spent(budgets.get(index));
            }
        }
        let bill = Bill { usage, counted_by, cost };
        self.billing.billed(deployment, bill);
        bill
    }
}
