//! What evidence means for everything that it is about: the deployment, its credential, one model
//! of it.
//!
//! Called by attempts, probes and operators with evidence, and by [`crate::route`] with questions.
//! Always true: a deployment is only as healthy as the worst of what it depends on; what a provider
//! says about an account applies to every deployment with that credential.

use super::Deployment;
use crate::cause::Cause;
use crate::health::{
    DeploymentState, Evidence, HalfOpen, HealthEvent, HealthEvents, OperatorAction, Permit, Verdict,
};
use crate::time::Millis;

/// Whether a failure is about the account rather than about one model.
const fn is_about_the_credential(cause: Cause) -> bool {
    matches!(cause, Cause::Auth | Cause::Quota)
}

/// What evidence about a deployment means for its credential.
enum ForCredential<'e> {
    /// This evidence.
    Evidence(Evidence<'e>),
    /// Nothing. The attempt gives the credential's permit back.
    Permit(Option<Permit>),
    /// Nothing.
    Nothing,
}

/// What evidence about a deployment means for its credential, whose verdict is `verdict`.
fn about_the_credential<'e>(evidence: &Evidence<'e>, verdict: Verdict) -> ForCredential<'e> {
    match *evidence {
        Evidence::Succeeded { attempt, .. } | Evidence::HalfOpenProved { attempt } => match verdict
        {
            // The failures in a row of a credential come from several deployments; a success of
            // one of them does not end the row.
            Verdict::Ready => ForCredential::Permit(attempt.half_open.credential),
            Verdict::Cooling(_) | Verdict::HalfOpen(_) => {
                let attempt = attempt.at_credential();
                ForCredential::Evidence(Evidence::HalfOpenProved { attempt })
            }
        },
        Evidence::Failed { attempt, failure, context, .. } => {
            match is_about_the_credential(failure.cause) {
                true => {
                    let attempt = attempt.at_credential();
                    let failed = Evidence::Failed { attempt, failure, model: "", context };
                    ForCredential::Evidence(failed)
                }
                false => ForCredential::Permit(attempt.half_open.credential),
            }
        }
        Evidence::Operator(OperatorAction::Reset) => ForCredential::Evidence(*evidence),
        Evidence::Operator(OperatorAction::Disable | OperatorAction::Enable)
        | Evidence::Probed { .. }
        | Evidence::ConfigReplaced { .. }
        | Evidence::ProbeTargetChanged
        | Evidence::Aged { .. } => ForCredential::Nothing,
    }
}

impl Deployment {
    /// What selection needs to know at `now`: the worse of the deployment's own verdict and its
    /// credential's.
    #[must_use]
    pub fn verdict(&self, now: Millis) -> Verdict {
        let own = self.state.verdict(now);
        match &self.credential.shared {
            Some(credential) => own.worse(credential.verdict(now)),
            None => own,
        }
    }

    /// The state whose cooldown keeps it from traffic.
    fn cooling(&self, now: Millis) -> &DeploymentState {
        match &self.credential.shared {
            Some(credential) if self.verdict(now) != self.state.verdict(now) => credential,
            _ => &self.state,
        }
    }

    /// When its cooldown began.
    #[must_use]
    pub fn cooling_since(&self, now: Millis) -> Option<Millis> {
        self.cooling(now).cooling_since()
    }

    /// Whether a failure of that request caused its cooldown.
    #[must_use]
    pub fn was_ejected_by(&self, request: u64, now: Millis) -> bool {
        self.cooling(now).was_ejected_by(request)
    }

    /// The permits that a half-open request needs: the deployment's own, its credential's.
    fn permits_needed(&self, now: Millis) -> (bool, Option<&DeploymentState>) {
        let cooldowns = |state: &DeploymentState| state.verdict(now) != Verdict::Ready;
        let credential =
            self.credential.shared.as_deref().filter(|credential| cooldowns(credential));
        (cooldowns(&self.state) || credential.is_none(), credential)
    }

    /// Whether a half-open request may begin.
    #[must_use]
    pub fn half_open_is_free(&self, now: Millis) -> bool {
        let (own, credential) = self.permits_needed(now);
        (!own || self.state.half_open_is_free(now))
            && credential.is_none_or(|credential| credential.half_open_is_free(now))
    }

    /// Takes all permits that a half-open request of `timeout_ms` needs, or none. They expire after
    /// that time.
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

    /// Gives the permits back: the half-open request did not begin.
    pub fn release_half_open(&self, half_open: HalfOpen) {
        self.state.release_half_open(half_open.own);
        if let Some(credential) = &self.credential.shared {
            credential.release_half_open(half_open.credential);
        }
    }

    /// Applies evidence to everything that it is about, and returns what changed: the deployment's
    /// own events first.
    pub fn apply(&self, now: Millis, evidence: &Evidence<'_>) -> HealthEvents {
        let mut events = self.state.apply(now, evidence);
        if let Some(credential) = &self.credential.shared {
            match about_the_credential(evidence, credential.verdict(now)) {
                ForCredential::Evidence(evidence) => {
                    credential.apply_into(now, &evidence, &mut events);
                }
                ForCredential::Permit(permit) => credential.release_half_open(permit),
                ForCredential::Nothing => {}
            }
        }
        events
    }

    /// The last changes of its health and of its credential's, oldest first.
    #[must_use]
    pub fn events(&self) -> Vec<HealthEvent> {
        let mut events = self.state.events();
        if let Some(credential) = &self.credential.shared {
            events.extend(credential.events());
        }
        events.sort_by_key(|event| event.at);
        events
    }

    /// Returns the rule that its state or its credential's breaks, as text, if one breaks one.
    ///
    /// # Errors
    ///
    /// The rule, with the numbers that break it.
    pub fn check_invariants(&self) -> Result<(), String> {
        let of = |state: &DeploymentState| {
            state.check_invariants().map_err(|rule| format!("{}: {rule}", self.id))
        };
        of(&self.state)?;
        self.credential.shared.as_deref().map_or(Ok(()), of)
    }
}
