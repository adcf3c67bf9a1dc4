//! What evidence means for all that it speaks about: the deployment, its credential, one model of it.
//!
//! Called by attempts, probes and operators with evidence, and by [`crate::route`] with questions. Always
//! true: a deployment is only as healthy as the worst of what it depends on; a provider's word about an
//! account concerns every deployment that uses that credential.

use super::Deployment;
use crate::cause::Cause;
use crate::health::{
    DeploymentState, Evidence, HalfOpen, HealthEvent, HealthEvents, OperatorAction, Verdict,
};
use crate::time::Millis;

/// What a provider says about the account rather than about one model.
const fn is_about_the_credential(cause: Cause) -> bool {
    matches!(cause, Cause::Auth | Cause::Quota)
}

/// What evidence about a deployment says about its credential, which is healthy or not.
fn about_the_credential<'e>(evidence: &Evidence<'e>, is_ready: bool) -> Option<Evidence<'e>> {
    match *evidence {
        Evidence::Succeeded { attempt, .. } | Evidence::HalfOpenProved { attempt } => {
            let attempt = attempt.at_credential();
            Some(match is_ready {
                // Its failures in a row are those of several deployments: one good answer of one of
                // them does not end the row.
                true => Evidence::Inconclusive { attempt },
                false => Evidence::HalfOpenProved { attempt },
            })
        }
        Evidence::Failed { attempt, failure, context, .. } => {
            let attempt = attempt.at_credential();
            Some(match is_about_the_credential(failure.cause) {
                true => Evidence::Failed { attempt, failure, model: "", context },
                false => Evidence::Inconclusive { attempt },
            })
        }
        Evidence::Inconclusive { attempt } => {
            Some(Evidence::Inconclusive { attempt: attempt.at_credential() })
        }
        Evidence::Operator(OperatorAction::Reset) => Some(*evidence),
        Evidence::Operator(OperatorAction::Disable | OperatorAction::Enable)
        | Evidence::Probed { .. }
        | Evidence::ConfigReplaced { .. }
        | Evidence::ProbeTargetChanged
        | Evidence::Aged { .. } => None,
    }
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
    fn cooling_down(&self, now: Millis) -> &DeploymentState {
        match &self.credential.shared {
            Some(credential) if self.verdict(now) != self.state.verdict(now) => credential,
            _ => &self.state,
        }
    }

    /// Since when it rests.
    #[must_use]
    pub fn cooling_since(&self, now: Millis) -> Option<Millis> {
        self.cooling_down(now).cooling_since()
    }

    /// Whether it rests because of what that request met.
    #[must_use]
    pub fn cooling_because_of(&self, request: u64, now: Millis) -> bool {
        self.cooling_down(now).cooling_because_of(request)
    }

    /// Whose permits a trial needs: the deployment's own, its credential's.
    fn permits_needed(&self, now: Millis) -> (bool, Option<&DeploymentState>) {
        let cooldowns = |state: &DeploymentState| state.verdict(now) != Verdict::Ready;
        let credential =
            self.credential.shared.as_deref().filter(|credential| cooldowns(credential));
        (cooldowns(&self.state) || credential.is_none(), credential)
    }

    /// Whether a trial may begin.
    #[must_use]
    pub fn half_open_is_free(&self, now: Millis) -> bool {
        let (own, credential) = self.permits_needed(now);
        (!own || self.state.half_open_is_free(now))
            && credential.is_none_or(|credential| credential.half_open_is_free(now))
    }

    /// Takes the permits for a trial of `timeout_ms`, after which they expire: all that it needs, or none.
    #[must_use]
    pub fn take_half_open(&self, now: Millis, timeout_ms: u64) -> Option<HalfOpen> {
        let (own, credential) = self.permits_needed(now);
        let mut half_open = HalfOpen::NONE;
        if own {
            half_open.own = Some(self.state.take_half_open(now, timeout_ms)?);
        }
        if let Some(credential) = credential {
            half_open.credential = credential.take_half_open(now, timeout_ms);
            if half_open.credential.is_none() {
                self.state.release_half_open(half_open.own);
                return None;
            }
        }
        Some(half_open)
    }

    /// Gives the permits back: the trial did not begin.
    pub fn release_half_open(&self, half_open: HalfOpen) {
        self.state.release_half_open(half_open.own);
        if let Some(credential) = &self.credential.shared {
            credential.release_half_open(half_open.credential);
        }
    }

    /// Applies evidence to everything that it speaks about, and gives what changed: the deployment's own
    /// events first.
    pub fn apply(&self, now: Millis, evidence: &Evidence<'_>) -> HealthEvents {
        let mut events = self.state.apply(now, evidence);
        if let Some(credential) = &self.credential.shared {
            let is_ready = credential.verdict(now) == Verdict::Ready;
            if let Some(evidence) = about_the_credential(evidence, is_ready) {
                credential.apply_into(now, &evidence, &mut events);
            }
        }
        events
    }

    /// The last changes of its health and of its credential's, in the order of time.
    #[must_use]
    pub fn events(&self) -> Vec<HealthEvent> {
        let mut events = self.state.events();
        if let Some(credential) = &self.credential.shared {
            events.extend(credential.events());
        }
        events.sort_by_key(|event| event.at);
        events
    }

    /// The rule that its state or its credential's breaks, as text, if one breaks one.
    ///
    /// # Errors
    /// What is wrong, with the numbers.
    pub fn check_invariants(&self) -> Result<(), String> {
        let of = |state: &DeploymentState| {
            state.check_invariants().map_err(|rule| format!("{}: {rule}", self.id))
        };
        of(&self.state)?;
        self.credential.shared.as_deref().map_or(Ok(()), of)
    }
}
