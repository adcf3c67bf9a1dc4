//! The reducer: evidence in, events out.
//!
//! Called by [`crate::deployment::Deployment::apply`] for a deployment and for its credential.
//! Always true: an attempt's permit is given back whatever the attempt proved; an attempt that
//! began before a cooldown proves nothing about the time after it; each change is an event, kept
//! and returned.

use std::sync::atomic::Ordering;

use super::super::breaker::{Breaker, Cooldown, Origin, Outcome, RATE_LIMIT_CAP_MS};
use super::super::event::{
    Carried, Change, HealthEvent, HealthEvents, HealthPart, Source, Standing,
};
use super::super::evidence::{
    AttemptRef, Doubted, Evidence, Failure, FailureContext, FleetEvidence, OperatorAction,
    is_about_an_operation,
};
use super::super::half_open::Proof;
use super::super::latency::Measured;
use super::DeploymentState;
use crate::cause::Cause;
use crate::time::Millis;

impl DeploymentState {
    /// Applies evidence and returns what changed. Health changes in no other way.
    pub fn apply(&self, now: Millis, evidence: &Evidence<'_>) -> HealthEvents {
        let mut events = HealthEvents::default();
        self.apply_into(now, evidence, &mut events);
        events
    }

    /// The same, adding to events that there are already.
    pub(crate) fn apply_into(
        &self,
        now: Millis,
        evidence: &Evidence<'_>,
        events: &mut HealthEvents,
    ) {
        match *evidence {
            Evidence::Succeeded { attempt, ref measured, model } => {
                events.push(self.model_answered(now, model));
                events.push(self.succeeded(now, attempt, measured));
                events.push(self.probes.answered(now, attempt.started, model, &self.log));
            }
            Evidence::HalfOpenProved { attempt } => {
                events.push(self.close(&mut self.breaker.lock(), now, attempt));
            }
            Evidence::LetIn { attempt } => events.push(self.was_let_in(now, attempt)),
            Evidence::Failed { attempt, ref failure, model, context } => {
                events.push(self.model_failed(now, model, failure, context));
                events.push(self.failed(now, attempt, failure, context));
            }
            Evidence::Lacks { lack, model } => self.lacks.learn(now, lack, model),
            Evidence::Probed { probe, failures } => {
                events.push(self.probes.probed(probe, failures, &self.log));
            }
            Evidence::Operator(action) => self.operated(now, action, events),
            Evidence::Fleet(reported) => events.push(self.reported(now, reported)),
            Evidence::ConfigReplaced { before } => self.carry(now, before, events),
            Evidence::ProbeTargetChanged => {
                events.push(self.probes.reset(now, Source::Config, &self.log));
            }
            Evidence::Aged { staleness_ms } => {
                events.push(self.probes.grow_old(now, staleness_ms, &self.log));
            }
        }
        if !events.is_empty() {
            debug_assert_eq!(self.check_invariants(), Ok(()), "after {evidence:?}");
        }
    }

    /// One model of a deployment that stands for many gave a good answer.
    fn model_answered(&self, now: Millis, model: &str) -> Option<HealthEvent> {
        if !self.has_model_cooldowns() || !self.models.close(model) {
            return None;
        }
        let part = HealthPart::Model { model: model.into(), operation: None };
        Some(self.log.event(part, traffic(now, Standing::Cooldown, Standing::Ready, None)))
    }

    /// One model, or one operation that the deployment is not for, failed in a way that is about it
    /// alone.
    fn model_failed(
        &self,
        now: Millis,
        model: &str,
        failure: &Failure,
        context: &FailureContext,
    ) -> Option<HealthEvent> {
        if !context.is_narrow(failure.cause) || context.cooldown_ms == 0 {
            return None;
        }
        let hint = failure.hint_ms.filter(|_| failure.cause == Cause::RateLimited);
        if hint.is_none() && !context.has_sibling {
            return None;
        }
        let ms = hint.map_or(context.cooldown_ms, |ms| ms.min(RATE_LIMIT_CAP_MS));
        let cooldown =
            Cooldown { until: now.plus(ms), cause: failure.cause, provider_issued: hint.is_some() };
        let operation = context.foreign.filter(|_| is_about_an_operation(failure.cause));
        self.models.cooldown(operation, model, cooldown, now).then(|| {
            let part = HealthPart::Model { model: model.into(), operation };
            self.log.event(part, traffic(now, Standing::Ready, Standing::Cooldown, Some(cooldown)))
        })
    }

    fn succeeded(
        &self,
        now: Millis,
        attempt: AttemptRef,
        measured: &Measured,
    ) -> Option<HealthEvent> {
        self.successes.fetch_add(1, Ordering::Relaxed);
        self.rates.end(now, measured.tokens);
        let mut breaker = self.breaker.lock();
        breaker.unclear.forget();
        self.latency.measured(now, measured);
        breaker.count(now, Outcome::Success);
        self.close(&mut breaker, now, attempt)
    }

    /// A limit of the provider's is over; what else keeps the deployment closed is not.
    fn was_let_in(&self, now: Millis, attempt: AttemptRef) -> Option<HealthEvent> {
        attempt.half_open.own?;
        let mut breaker = self.breaker.lock();
        if breaker.open.is_none() || breaker.is_limited() {
            return self.close(&mut breaker, now, attempt);
        }
        None
    }

    fn close(
        &self,
        breaker: &mut Breaker,
        now: Millis,
        attempt: AttemptRef,
    ) -> Option<HealthEvent> {
        // An attempt that began before the cooldown proves nothing about the time after it.
        let closes = breaker.open.map(|open| attempt.started >= open.since);
        let proof = if closes == Some(false) { Proof::PassedBefore } else { Proof::Passed };
        breaker.reopening.end(attempt.half_open.own, proof);
        if breaker.reopening.forget(now) {
            self.settle(breaker);
        }
        if closes == Some(false) {
            return None;
        }
        breaker.in_a_row = 0;
        closes?;
        self.outage_ms.store(now.since(breaker.down_since), Ordering::Relaxed);
        breaker.open = None;
        breaker.opens_in_a_row = 0;
        breaker.window.clear();
        breaker.counts = Default::default();
        self.settle(breaker);
        self.back_since.store(now.0.saturating_add(1), Ordering::Relaxed);
        let change = traffic(now, Standing::Cooldown, Standing::Ready, None);
        Some(self.log.record(HealthPart::Breaker, change))
    }

    fn failed(
        &self,
        now: Millis,
        attempt: AttemptRef,
        failure: &Failure,
        context: &FailureContext,
    ) -> Option<HealthEvent> {
        let Failure { cause, status, .. } = *failure;
        self.failures[cause as usize].fetch_add(1, Ordering::Relaxed);
        self.failed.add(cause, status);
        if !cause.blames_deployment() {
            let closed = match failure.is_of_the_client() {
                true => self.was_let_in(now, attempt),
                false => None,
            };
            self.release_half_open(attempt.half_open.own);
            return closed;
        }
        self.last_status.store(status.unwrap_or(0).into(), Ordering::Relaxed);
        let mut breaker = self.breaker.lock();
        self.latency.failed(now, context.attempt_timeout_ms);
        breaker.remember(now, cause, status);
        let from = self.standing(&breaker);
        let cooldown = breaker.failed(now, attempt, *failure, context);
        let to = self.standing(&breaker);
        breaker.reopening.end(attempt.half_open.own, Proof::Failed);
        if cause.is_limit() && breaker.open.is_some() {
            breaker.reopening.refused(now, attempt.started);
        }
        self.settle(&mut breaker);
        if cooldown.is_some() {
            self.opens.fetch_add(1, Ordering::Relaxed);
            self.opened.add(cause, status);
        }
        (cooldown.is_some() || from != to).then(|| {
            let change = Change { cause: Some(cause.name()), ..traffic(now, from, to, cooldown) };
            self.log.record(HealthPart::Breaker, change)
        })
    }

    /// What other replicas report. Nothing is counted: no request failed here.
    fn reported(&self, now: Millis, reported: FleetEvidence) -> Option<HealthEvent> {
        let mut breaker = self.breaker.lock();
        let from = self.standing(&breaker);
        let cooldown = match reported {
            FleetEvidence::Closed(cooldown) => {
                let cooldown = breaker.adopt(now, cooldown)?;
                self.opens.fetch_add(1, Ordering::Relaxed);
                self.opened.add(cooldown.cause, None);
                Some(cooldown)
            }
            FleetEvidence::Cleared => {
                breaker.open.filter(|open| open.origin == Origin::Fleet)?;
                breaker.open = None;
                breaker.opens_in_a_row = 0;
                None
            }
            FleetEvidence::Doubted(doubt) => {
                let word = doubt.map_or(0, |(doubted, until)| {
                    until.0.min(u64::MAX >> 1) << 1 | u64::from(doubted == Doubted::ToHalf)
                });
                self.doubt.store(word, Ordering::Relaxed);
                return None;
            }
        };
        self.settle(&mut breaker);
        let change = traffic(now, from, self.standing(&breaker), cooldown);
        Some(self.log.record(HealthPart::Breaker, Change { source: Source::Fleet, ..change }))
    }

    fn operated(&self, now: Millis, action: OperatorAction, events: &mut HealthEvents) {
        let disabled = match action {
            OperatorAction::Reset => return self.reset(now, events),
            OperatorAction::Disable => true,
            OperatorAction::Enable => false,
        };
        if self.disabled.swap(disabled, Ordering::Relaxed) == disabled {
            return;
        }
        let (enabled, disabled_) = (Standing::Enabled, Standing::Disabled);
        let (from, to) = if disabled { (enabled, disabled_) } else { (disabled_, enabled) };
        let change = Change { source: Source::Operator, ..traffic(now, from, to, None) };
        events.push(Some(self.log.record(HealthPart::Switch, change)));
    }

    /// Forgets every failure, as if the state were new. The operator's switch and the counts of the
    /// minute stay.
    fn reset(&self, now: Millis, events: &mut HealthEvents) {
        let mut breaker = self.breaker.lock();
        if breaker.open.is_some() {
            let change = traffic(now, Standing::Cooldown, Standing::Ready, None);
            let change = Change { source: Source::Operator, ..change };
            events.push(Some(self.log.record(HealthPart::Breaker, change)));
        }
        breaker.reset();
        self.publish(&breaker);
        self.back_since.store(0, Ordering::Relaxed);
        self.outage_ms.store(0, Ordering::Relaxed);
        self.doubt.store(0, Ordering::Relaxed);
        self.models.clear();
        self.lacks.forget();
        breaker.unclear.forget();
        self.learned.clear();
        events.push(self.probes.reset(now, Source::Operator, &self.log));
        self.latency.forgive();
    }

    fn carry(&self, now: Millis, before: &Carried, events: &mut HealthEvents) {
        self.log.carry(before);
        if before.breaker == Standing::Cooldown {
            let change = traffic(now, Standing::Cooldown, Standing::Ready, None);
            let change = Change { source: Source::Config, ..change };
            events.push(Some(self.log.record(HealthPart::Breaker, change)));
        }
        events.push(self.probes.carry(before, now, &self.log));
    }
}

/// A change caused by traffic.
fn traffic(at: Millis, from: Standing, to: Standing, cooldown: Option<Cooldown>) -> Change {
    let cause = cooldown.map(|cooldown| cooldown.cause.name());
    let until = cooldown.map(|cooldown| (cooldown.until, cooldown.provider_issued));
    Change { at, from, to, cause, source: Source::Traffic, until }
}
