//! An attempt's place at its deployment, and the way of its outcome to the state.
//!
//! Made by [`super::exchange`] and by checks, held by [`super::attempt`] and by streams under way. Always
//! true: the place comes back and the outcome is told exactly once, be it success, failure or neither (the client went
//! away).

use std::sync::Arc;

use hale_core::cause::Cause;
use hale_core::deployment::Deployment;
use hale_core::health::{AttemptRef, Failure, Measured, Surroundings, Transition, Trial};
use hale_core::policy::ByKind;
use hale_core::route::AttemptPlan;
use hale_core::usage::Usage;

use crate::clock;

/// Holds an attempt's place at its deployment and carries its outcome to the state.
pub(crate) struct AttemptGuard {
    deployment: Arc<Deployment>,
    attempt: AttemptRef,
    /// Tokens that were counted when it began.
    reserved: u64,
    around: Surroundings,
    /// The model's name at the provider, where the deployment stands for many.
    model: Box<str>,
    /// From its begin to the first content of a stream, milliseconds.
    first_content_ms: Option<u64>,
    told: bool,
    /// Whether it has a place at the deployment.
    entered: bool,
    /// Whether its time says something about the deployment's models.
    measures: bool,
    /// Whether it is a check: it has no place at the deployment, and its outcome is no traffic's.
    is_check: bool,
}

impl AttemptGuard {
    /// The attempt begins; `None` when another request took the last place in the meantime. `model` is
    /// its name at the provider, where the deployment stands for many.
    pub(crate) fn enter(
        deployment: &Arc<Deployment>,
        plan: &AttemptPlan,
        around: Surroundings,
        request: u64,
        model: Box<str>,
    ) -> Option<AttemptGuard> {
        let started = clock::recent().millis();
        if !deployment.state.enter(started, &plan.claim) {
            deployment.release_trial(plan.trial);
            return None;
        }
        let attempt = AttemptRef { started, request, trial: plan.trial };
        let deployment = deployment.clone();
        Some(AttemptGuard {
            deployment,
            attempt,
            reserved: plan.claim.reserved(),
            around,
            model,
            first_content_ms: None,
            told: false,
            entered: true,
            measures: true,
            is_check: false,
        })
    }

    /// An attempt that asks nobody: it takes no place, gives a trial's permits back, and its outcome
    /// changes nothing at the deployment but the count of what it can not say.
    pub(crate) fn unasked(
        deployment: &Arc<Deployment>,
        plan: &AttemptPlan,
        around: Surroundings,
    ) -> AttemptGuard {
        deployment.release_trial(plan.trial);
        let started = clock::recent().millis();
        AttemptGuard {
            deployment: deployment.clone(),
            attempt: AttemptRef { started, request: 0, trial: Trial::NONE },
            reserved: 0,
            around,
            model: Box::default(),
            first_content_ms: None,
            told: true,
            entered: false,
            measures: true,
            is_check: false,
        }
    }

    /// For a check: nothing of it is told to what traffic changes.
    pub(crate) fn check(deployment: &Arc<Deployment>, plan: &AttemptPlan) -> AttemptGuard {
        let around = Surroundings {
            has_sibling: false,
            has_fallback: false,
            cooldown_ms: 0,
            tolerance: ByKind::default(),
            attempt_timeout_ms: plan.timeout_ms,
            many_models: false,
            foreign: None,
        };
        let mut guard = AttemptGuard::unasked(deployment, plan, around);
        guard.is_check = true;
        guard
    }

    /// The same, for what runs no model: its time is no model's.
    pub(crate) fn unmeasured(mut self) -> AttemptGuard {
        self.measures = false;
        self
    }

    /// The deployment that is asked.
    pub(crate) fn deployment(&self) -> &Arc<Deployment> {
        &self.deployment
    }

    /// A stream has content: if this was a trial, it has passed.
    pub(crate) fn has_content(&mut self) {
        let now = clock::recent().millis();
        self.first_content_ms = Some(now.since(self.attempt.started));
        if self.attempt.trial.is_held() {
            let change = self.deployment.trial_proved(now, self.attempt);
            self.attempt.trial = Trial::NONE;
            self.log(change);
        }
    }

    /// It ended well.
    pub(crate) fn success(&mut self, usage: Option<Usage>) {
        if !self.entered {
            return;
        }
        self.told = true;
        let now = clock::now().millis();
        let usage = usage.unwrap_or_default();
        let whole_ms = now.since(self.attempt.started);
        let measured = Measured {
            first_content_ms: self.first_content_ms.filter(|_| self.measures),
            whole_ms: Some(whole_ms).filter(|_| self.measures && self.first_content_ms.is_none()),
            output_tokens: usage.output,
            tokens: usage.input.saturating_add(usage.output).saturating_sub(self.reserved),
        };
        let changes = self.deployment.succeeded(now, self.attempt, &measured, &self.model);
        changes.into_iter().for_each(|change| self.log(change));
    }

    /// It failed.
    pub(crate) fn failure(&mut self, failure: Failure) {
        if self.is_check || (!self.entered && failure.cause.blames_deployment()) {
            return;
        }
        self.told = true;
        let now = clock::now().millis();
        let change = self.deployment.failed(now, self.attempt, failure, &self.model, &self.around);
        self.log(change);
    }

    fn log(&self, change: Option<Transition>) {
        let deployment = &*self.deployment.id;
        match change {
            None => {}
            Some(Transition::Opened(rest)) => {
                let rest_ms = rest.until.since(clock::now().millis());
                let cause = rest.cause.name();
                let provider_issued = rest.provider_issued;
                tracing::warn!(deployment, cause, rest_ms, provider_issued, "deployment rests");
            }
            Some(Transition::Closed) => tracing::info!(deployment, "deployment is back"),
            Some(Transition::Proved(change)) => crate::events::announce(deployment, &change),
        }
    }
}

impl Drop for AttemptGuard {
    fn drop(&mut self) {
        if self.entered {
            self.deployment.state.leave();
        }
        if !self.told {
            self.failure(Failure::of(Cause::ClientClosed));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use hale_core::config::{Options, Source, load};
    use hale_core::health::Verdict;
    use hale_core::route::{Controls, Next, Walk};

    use super::*;

    struct Yaml(&'static str);

    impl Source for Yaml {
        fn read(&self, _path: &str) -> io::Result<Vec<u8>> {
            Ok(self.0.as_bytes().to_vec())
        }

        fn env(&self, _name: &str) -> Option<String> {
            None
        }
    }

    #[test]
    fn a_panic_within_an_attempt_gives_place_and_permit_back() {
        let yaml =
            "model_list:\n- {model_name: m, litellm_params: {model: openai/x, api_key: k}}\n";
        let loaded = load(&Yaml(yaml), "c.yaml", Options::default(), None);
        let snapshot = loaded.snapshot.unwrap();
        let now = clock::now().millis();
        let mut walk = Walk::named(&snapshot, "m", Controls::default(), now).unwrap();
        let Next::Attempt(mut plan) = walk.next(&snapshot, now, 0) else { panic!("refused") };
        let deployment = snapshot.deployment(plan.deployment);
        plan.trial = deployment.take_trial(now, 60_000).unwrap();
        let around = walk.surroundings(&snapshot, &plan);
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let _guard = AttemptGuard::enter(deployment, &plan, around, 1, Box::default());
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
