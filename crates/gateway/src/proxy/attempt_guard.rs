//! Holds an attempt's concurrency slot at its deployment, and reports its outcome to the deployment's state.
//!
//! Made by [`super::exchange`] and by the prober, held by the attempt and then by [`super::delivery`].
//! Always true: the slot is released and the outcome is reported exactly once: success, failure, or neither
//! when the client disconnects.

use std::sync::Arc;

use hale_core::cause::Cause;
use hale_core::deployment::Deployment;
use hale_core::health::{AttemptRef, Evidence, Failure, Measured, Surroundings, Trial};
use hale_core::route::AttemptPlan;
use hale_core::time::Millis;
use hale_core::usage::Usage;

use crate::{clock, events};

/// Reports an attempt's outcome to the state of its deployment.
pub(crate) struct AttemptGuard {
    deployment: Arc<Deployment>,
    stake: Stake,
}

/// What an attempt's outcome means for its deployment.
enum Stake {
    /// A client's attempt: its outcome is evidence.
    Traffic(Box<Slot>),
    /// No upstream is called: only a failure that is not the deployment's counts.
    Local(Surroundings, Millis),
    /// Hale's own probe: the prober judges it.
    Probe,
}

/// A concurrency slot at a deployment.
struct Slot {
    attempt: AttemptRef,
    /// Tokens that were counted when it started.
    reserved: u64,
    around: Surroundings,
    /// The model's name at the provider, if the deployment has many models.
    model: Box<str>,
    /// What its duration measures.
    times: Times,
    /// From its start to the first content of a stream, milliseconds.
    first_content_ms: Option<u64>,
    is_reported: bool,
}

/// What an attempt's duration measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Times {
    /// The speed of the deployment's model.
    OfModel,
    /// Nothing: no model runs.
    Meaningless,
}

/// A client's attempt that is about to start.
pub(crate) struct Entry<'a> {
    /// The deployment.
    pub(crate) deployment: &'a Arc<Deployment>,
    /// Its plan.
    pub(crate) plan: &'a AttemptPlan,
    /// The request's number: different requests have different ones.
    pub(crate) request: u64,
    /// The context that a failure is judged in.
    pub(crate) around: Surroundings,
}

impl Entry<'_> {
    /// Takes a slot; `None` when another request took the last one in the meantime. `model` is the name at the
    /// provider, if the deployment has many models.
    pub(crate) fn take_slot(self, model: Box<str>, times: Times) -> Option<AttemptGuard> {
        let Entry { deployment, plan, request, around } = self;
        let started = clock::recent().millis();
        if !deployment.state.enter(started, &plan.claim) {
            deployment.release_trial(plan.trial);
            return None;
        }
        let slot = Slot {
            attempt: AttemptRef { started, request, trial: plan.trial },
            reserved: plan.claim.reserved(),
            around,
            model,
            times,
            first_content_ms: None,
            is_reported: false,
        };
        let stake = Stake::Traffic(Box::new(slot));
        Some(AttemptGuard { deployment: deployment.clone(), stake })
    }

    /// For an attempt that calls no upstream: takes no slot, and releases the permits of a half-open request.
    pub(crate) fn stay_local(self) -> AttemptGuard {
        self.deployment.release_trial(self.plan.trial);
        let stake = Stake::Local(self.around, clock::recent().millis());
        AttemptGuard { deployment: self.deployment.clone(), stake }
    }
}

impl AttemptGuard {
    /// For a probe: its outcome does not count as traffic.
    pub(crate) fn probe(deployment: &Arc<Deployment>) -> AttemptGuard {
        AttemptGuard { deployment: deployment.clone(), stake: Stake::Probe }
    }

    /// The deployment that is called.
    pub(crate) fn deployment(&self) -> &Arc<Deployment> {
        &self.deployment
    }

    /// The stream has content: a half-open request has proved its deployment healthy.
    pub(crate) fn has_content(&mut self) {
        let Stake::Traffic(slot) = &mut self.stake else { return };
        let now = clock::recent().millis();
        slot.first_content_ms = Some(now.since(slot.attempt.started));
        if slot.attempt.trial.is_held() {
            let evidence = Evidence::HalfOpenProved { attempt: slot.attempt };
            slot.attempt.trial = Trial::NONE;
            let changes = self.deployment.apply(now, &evidence);
            events::health_changed(&self.deployment.id, changes);
        }
    }

    /// It ended well.
    pub(crate) fn success(&mut self, usage: Option<Usage>) {
        let Stake::Traffic(slot) = &mut self.stake else { return };
        slot.is_reported = true;
        let now = clock::now().millis();
        let usage = usage.unwrap_or_default();
        let whole_ms = now.since(slot.attempt.started);
        let measures = slot.times == Times::OfModel;
        let measured = Measured {
            first_content_ms: slot.first_content_ms.filter(|_| measures),
            whole_ms: Some(whole_ms).filter(|_| measures && slot.first_content_ms.is_none()),
            output_tokens: usage.output,
            tokens: usage.input.saturating_add(usage.output).saturating_sub(slot.reserved),
        };
        let Slot { attempt, ref model, .. } = **slot;
        let changes = self.deployment.apply(now, &Evidence::Succeeded { attempt, measured, model });
        events::health_changed(&self.deployment.id, changes);
    }

    /// It failed.
    pub(crate) fn failure(&mut self, failure: Failure) {
        let now = clock::now().millis();
        let evidence = match &mut self.stake {
            Stake::Probe => return,
            Stake::Local(_, _) if failure.cause.blames_deployment() => return,
            Stake::Local(around, started) => {
                let attempt = AttemptRef { started: *started, request: 0, trial: Trial::NONE };
                Evidence::Failed { attempt, failure, model: "", around }
            }
            Stake::Traffic(slot) => {
                slot.is_reported = true;
                let Slot { attempt, ref model, ref around, .. } = **slot;
                Evidence::Failed { attempt, failure, model, around }
            }
        };
        let changes = self.deployment.apply(now, &evidence);
        events::health_changed(&self.deployment.id, changes);
    }
}

impl Drop for AttemptGuard {
    fn drop(&mut self) {
        let Stake::Traffic(slot) = &self.stake else { return };
        self.deployment.state.leave();
        if !slot.is_reported {
            self.failure(Failure::of(Cause::ClientClosed));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use hale_core::config::{InMemory, Options, load};
    use hale_core::health::Verdict;
    use hale_core::route::{Controls, Next, Walk};

    use super::*;

    #[test]
    fn a_panic_within_an_attempt_releases_slot_and_permit() {
        let yaml =
            "model_list:\n- {model_name: m, litellm_params: {model: openai/x, api_key: k}}\n";
        let loaded = load(&InMemory::file("c.yaml", yaml), "c.yaml", Options::default(), None);
        let snapshot = loaded.snapshot.unwrap();
        let now = clock::now().millis();
        let mut walk = Walk::named(&snapshot, "m", Controls::default(), now).unwrap();
        let Next::Attempt(mut plan) = walk.next(&snapshot, now, 0) else { panic!("refused") };
        let deployment = snapshot.deployment(plan.deployment);
        plan.trial = deployment.take_trial(now, 60_000).unwrap();
        let around = walk.surroundings(&snapshot, &plan);
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let entry = Entry { deployment, plan: &plan, request: 1, around };
            let _guard = entry.take_slot(Box::default(), Times::OfModel);
            assert_eq!(deployment.state.in_flight(), 1);
            assert!(!deployment.trial_is_free(now));
            panic!("within the attempt");
        }));
        assert!(panicked.is_err());
        assert_eq!(deployment.state.in_flight(), 0);
        assert!(deployment.trial_is_free(now));
        assert_eq!(deployment.verdict(now), Verdict::Ready);
    }
}
