//! What an outcome means for all that it speaks about: the deployment, its credential, one model of it.
//!
//! Called by attempts with outcomes and by [`crate::route`] with questions. Always true: a deployment is
//! as well as the worst of what it depends on; a provider's word about an account concerns every
//! deployment that uses that credential.

use super::{
    AttemptRef, DeploymentState, Event, Failure, Measured, Surroundings, Transition, Trial, Verdict,
};
use crate::cause::Cause;
use crate::deployment::Deployment;
use crate::time::Millis;

/// What a provider says about the account rather than about one model.
const fn is_about_the_credential(cause: Cause) -> bool {
    matches!(cause, Cause::Auth | Cause::Quota)
}

/// The attempt as the credential's state knows it.
const fn at_the_credential(attempt: AttemptRef) -> AttemptRef {
    AttemptRef { trial: Trial { own: attempt.trial.credential, credential: None }, ..attempt }
}

impl Deployment {
    /// What selection needs to know, at `now`: the worse of the deployment's own verdict and its
    /// credential's.
    #[must_use]
    pub fn verdict(&self, now: Millis) -> Verdict {
        let own = self.state.verdict(now);
        match &self.credential.shared {
            Some(credential) => own.worse(credential.verdict(now)),
            None => own,
        }
    }

    /// The state whose rest keeps it from traffic.
    fn resting(&self, now: Millis) -> &DeploymentState {
        match &self.credential.shared {
            Some(credential) if self.verdict(now) != self.state.verdict(now) => credential,
            _ => &self.state,
        }
    }

    /// Since when it rests.
    #[must_use]
    pub fn resting_since(&self, now: Millis) -> Option<Millis> {
        self.resting(now).resting_since()
    }

    /// Whether it rests because of what that request met.
    #[must_use]
    pub fn rests_because_of(&self, request: u64, now: Millis) -> bool {
        self.resting(now).rests_because_of(request)
    }

    /// Whose permits a trial needs: the deployment's own, its credential's.
    fn permits_needed(&self, now: Millis) -> (bool, Option<&DeploymentState>) {
        let rests = |state: &DeploymentState| state.verdict(now) != Verdict::Ready;
        let credential = self.credential.shared.as_deref().filter(|credential| rests(credential));
        (rests(&self.state) || credential.is_none(), credential)
    }

    /// Whether a trial may begin.
    #[must_use]
    pub fn trial_is_free(&self, now: Millis) -> bool {
        let (own, credential) = self.permits_needed(now);
        (!own || self.state.trial_is_free(now))
            && credential.is_none_or(|credential| credential.trial_is_free(now))
    }

    /// Takes the permits for a trial of `timeout_ms`, after which they expire: all that it needs, or none.
    #[must_use]
    pub fn take_trial(&self, now: Millis, timeout_ms: u64) -> Option<Trial> {
        let (own, credential) = self.permits_needed(now);
        let mut trial = Trial::NONE;
        if own {
            trial.own = Some(self.state.take_trial(now, timeout_ms)?);
        }
        if let Some(credential) = credential {
            trial.credential = credential.take_trial(now, timeout_ms);
            if trial.credential.is_none() {
                self.state.release_trial(trial.own);
                return None;
            }
        }
        Some(trial)
    }

    /// Gives the permits back: the trial did not begin.
    pub fn release_trial(&self, trial: Trial) {
        self.state.release_trial(trial.own);
        if let Some(credential) = &self.credential.shared {
            credential.release_trial(trial.credential);
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
    ) -> [Option<Transition>; 2] {
        self.state.model_answered(model);
        let proved = self.state.checks().answered(now, attempt.started, model);
        let of_credential = self.credential_answered(now, attempt);
        let back = self.state.success(now, attempt, measured).or(of_credential);
        [back, proved.map(Transition::Proved)]
    }

    fn credential_answered(&self, now: Millis, attempt: AttemptRef) -> Option<Transition> {
        let credential = self.credential.shared.as_ref()?;
        if credential.verdict(now) == Verdict::Ready {
            credential.release_trial(attempt.trial.credential);
            return None;
        }
        credential.trial_proved(now, at_the_credential(attempt))
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
        let Some(credential) = &self.credential.shared else { return own };
        if is_about_the_credential(failure.cause) {
            let attempt = at_the_credential(attempt);
            let of_credential = credential.failure(now, attempt, failure, around);
            return own.or(of_credential);
        }
        credential.release_trial(attempt.trial.credential);
        own
    }

    /// What changed of it and of its credential, in the order of time.
    #[must_use]
    pub fn changes(&self) -> Vec<Event> {
        let mut changes = self.state.changes();
        if let Some(credential) = &self.credential.shared {
            changes.extend(credential.changes());
        }
        changes.sort_by_key(|event| event.at);
        changes
    }

    /// Forgets every failure, its credential's too.
    pub fn reset(&self, now: Millis) {
        self.state.reset(now);
        if let Some(credential) = &self.credential.shared {
            credential.reset(now);
        }
    }
}
