//! What an outcome means for all that it speaks about: the deployment, its credential, one model of it.
//!
//! Called by attempts with outcomes and by [`crate::route`] with questions. Always true: a deployment is
//! as well as the worst of what it depends on; a provider's word about an account concerns every
//! deployment that uses that credential.

use super::{AttemptRef, DeploymentState, Failure, Measured, Surroundings, Transition, Verdict};
use crate::cause::Cause;
use crate::deployment::Deployment;
use crate::time::Millis;

/// What a provider says about the account rather than about one model.
const fn is_about_the_credential(cause: Cause) -> bool {
    matches!(cause, Cause::Auth | Cause::Quota)
}

impl Deployment {
    /// What selection needs to know, at `now`: the deployment's own verdict, else its credential's.
    #[must_use]
    pub fn verdict(&self, now: Millis) -> Verdict {
        match (self.state.verdict(now), &self.credential) {
            (Verdict::Ready, Some(credential)) => credential.verdict(now),
            (own, _) => own,
        }
    }

    /// The state whose rest keeps it from traffic.
    fn resting(&self, now: Millis) -> &DeploymentState {
        match &self.credential {
            Some(credential) if self.state.verdict(now) == Verdict::Ready => credential,
            _ => &self.state,
        }
    }

    /// Since when it rests.
    #[must_use]
    pub fn resting_since(&self, now: Millis) -> Option<Millis> {
        self.resting(now).resting_since()
    }

    /// Whether a trial may begin.
    #[must_use]
    pub fn trial_is_free(&self, now: Millis) -> bool {
        self.resting(now).trial_is_free(now)
    }

    /// Takes the one permit for a trial; it expires after `timeout_ms`.
    #[must_use]
    pub fn take_trial(&self, now: Millis, timeout_ms: u64) -> bool {
        self.resting(now).take_trial(now, timeout_ms)
    }

    /// Gives the permit back: the trial did not begin.
    pub fn release_trial(&self) {
        self.state.release_trial();
        if let Some(credential) = &self.credential {
            credential.release_trial();
        }
    }

    /// A trial is going well, though it has not ended.
    pub fn trial_proved(&self, now: Millis, attempt: AttemptRef) -> Option<Transition> {
        let of_credential = self.credential_answered(now, attempt);
        self.state.trial_proved(now, attempt).or(of_credential)
    }

    /// An attempt for `model` ended well.
    pub fn succeeded(
        &self,
        now: Millis,
        attempt: AttemptRef,
        measured: &Measured,
        model: &str,
    ) -> Option<Transition> {
        self.state.model_answered(model);
        let vindicated = self.state.checks().answered(now, attempt.started, model);
        let of_credential = self.credential_answered(now, attempt);
        self.state
            .success(now, attempt, measured)
            .or(of_credential)
            .or(vindicated.map(Transition::Vindicated))
    }

    fn credential_answered(&self, now: Millis, attempt: AttemptRef) -> Option<Transition> {
        let credential = self.credential.as_ref()?;
        if credential.verdict(now) == Verdict::Ready {
            return None;
        }
        credential.trial_proved(now, attempt)
    }

    /// An attempt for `model` failed.
    pub fn failed(
        &self,
        now: Millis,
        attempt: AttemptRef,
        failure: Failure,
        model: &str,
        around: &Surroundings,
    ) -> Option<Transition> {
        self.state.model_failed(now, model, failure, around);
        let own = self.state.failure(now, attempt, failure, around);
        let Some(credential) = &self.credential else { return own };
        if is_about_the_credential(failure.cause) {
            let of_credential = credential.failure(now, attempt, failure, around);
            return own.or(of_credential);
        }
        if attempt.trial {
            credential.release_trial();
        }
        own
    }

    /// Forgets every failure, its credential's too.
    pub fn reset(&self) {
        self.state.reset();
        if let Some(credential) = &self.credential {
            credential.reset();
        }
    }
}
