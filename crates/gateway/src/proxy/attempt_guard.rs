//! An attempt's place at its deployment, and how its outcome reaches the deployment's state.
//!
//! Made by [`super::exchange`] and by the prober, held by the attempt and then by [`super::delivery`].
//! Always true: the place is given back and the outcome is told exactly once, be it success, failure or
//! neither (the client went away).

use std::sync::Arc;

use hale_core::cause::Cause;
use hale_core::deployment::Deployment;
use hale_core::health::{AttemptRef, Failure, Measured, Surroundings, Transition, Trial};
use hale_core::route::AttemptPlan;
use hale_core::time::Millis;
use hale_core::usage::Usage;

use crate::{clock, events};

/// Carries an attempt's outcome to the state of its deployment.
pub(crate) struct AttemptGuard {
    deployment: Arc<Deployment>,
    stake: Stake,
}

/// What an attempt's outcome means for its deployment.
enum Stake {
    /// A client's attempt: its outcome is evidence.
    Traffic(Box<Place>),
    /// No upstream is called: only what the deployment cannot say is counted.
    Local(Surroundings, Millis),
    /// Hale's own probe: the prober judges it.
    Probe,
}

/// A place at a deployment.
struct Place {
    attempt: AttemptRef,
    /// Tokens that were counted when it began.
    reserved: u64,
    around: Surroundings,
    /// The model's name at the provider, where the deployment stands for many.
    model: Box<str>,
    /// What its time says.
    times: Times,
    /// From its begin to the first content of a stream, milliseconds.
    first_content_ms: Option<u64>,
    is_told: bool,
}

/// What the time that an attempt takes says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Times {
    /// How fast the deployment's model is.
    OfModel,
    /// Nothing about a model: none runs.
    Meaningless,
}

/// How a client's attempt begins.
pub(crate) struct Entry<'a> {
    /// The deployment.
    pub(crate) deployment: &'a Arc<Deployment>,
    /// What was planned.
    pub(crate) plan: &'a AttemptPlan,
    /// The request's number: different requests have different ones.
    pub(crate) request: u64,
    /// What a failure of it would mean.
    pub(crate) around: Surroundings,
}

impl Entry<'_> {
    /// Takes a place; `None` when another request took the last one in the meantime. `model` is the name
    /// at the provider, where the deployment stands for many.
    pub(crate) fn take_place(self, model: Box<str>, times: Times) -> Option<AttemptGuard> {
        let Entry { deployment, plan, request, around } = self;
        let started = clock::recent().millis();
        if !deployment.state.enter(started, &plan.claim) {
            deployment.release_trial(plan.trial);
            return None;
        }
        let place = Place {
            attempt: AttemptRef { started, request, trial: plan.trial },
            reserved: plan.claim.reserved(),
            around,
            model,
            times,
            first_content_ms: None,
            is_told: false,
        };
        let stake = Stake::Traffic(Box::new(place));
        Some(AttemptGuard { deployment: deployment.clone(), stake })
    }

    /// No upstream is called: it takes no place, and gives back the permits of a half-open request.
    pub(crate) fn stay_local(self) -> AttemptGuard {
        self.deployment.release_trial(self.plan.trial);
        let stake = Stake::Local(self.around, clock::recent().millis());
        AttemptGuard { deployment: self.deployment.clone(), stake }
    }
}

impl AttemptGuard {
    /// For a probe: its outcome changes nothing that traffic changes.
    pub(crate) fn probe(deployment: &Arc<Deployment>) -> AttemptGuard {
        AttemptGuard { deployment: deployment.clone(), stake: Stake::Probe }
    }

    /// The deployment that is called.
    pub(crate) fn deployment(&self) -> &Arc<Deployment> {
        &self.deployment
    }

    /// A stream has content: a half-open request has proved its deployment.
    pub(crate) fn has_content(&mut self) {
        let Stake::Traffic(place) = &mut self.stake else { return };
        let now = clock::recent().millis();
        place.first_content_ms = Some(now.since(place.attempt.started));
        if place.attempt.trial.is_held() {
            let change = self.deployment.trial_proved(now, place.attempt);
            place.attempt.trial = Trial::NONE;
            log(&self.deployment, change);
        }
    }

    /// It ended well.
    pub(crate) fn success(&mut self, usage: Option<Usage>) {
        let Stake::Traffic(place) = &mut self.stake else { return };
        place.is_told = true;
        let now = clock::now().millis();
        let usage = usage.unwrap_or_default();
        let whole_ms = now.since(place.attempt.started);
        let measures = place.times == Times::OfModel;
        let measured = Measured {
            first_content_ms: place.first_content_ms.filter(|_| measures),
            whole_ms: Some(whole_ms).filter(|_| measures && place.first_content_ms.is_none()),
            output_tokens: usage.output,
            tokens: usage.input.saturating_add(usage.output).saturating_sub(place.reserved),
        };
        let changes = self.deployment.succeeded(now, place.attempt, &measured, &place.model);
        changes.into_iter().for_each(|change| log(&self.deployment, change));
    }

    /// It failed.
    pub(crate) fn failure(&mut self, failure: Failure) {
        let now = clock::now().millis();
        let change = match &mut self.stake {
            Stake::Probe => return,
            Stake::Local(_, _) if failure.cause.blames_deployment() => return,
            Stake::Local(around, started) => {
                let attempt = AttemptRef { started: *started, request: 0, trial: Trial::NONE };
                self.deployment.failed(now, attempt, failure, "", around)
            }
            Stake::Traffic(place) => {
                place.is_told = true;
                let Place { attempt, model, around, .. } = &**place;
                self.deployment.failed(now, *attempt, failure, model, around)
            }
        };
        log(&self.deployment, change);
    }
}

fn log(deployment: &Deployment, change: Option<Transition>) {
    if let Some(change) = change {
        events::health_changed(&deployment.id, change);
    }
}

impl Drop for AttemptGuard {
    fn drop(&mut self) {
        let Stake::Traffic(place) = &self.stake else { return };
        self.deployment.state.leave();
        if !place.is_told {
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
    fn a_panic_within_an_attempt_gives_place_and_permit_back() {
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
            let _guard = entry.take_place(Box::default(), Times::OfModel);
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
