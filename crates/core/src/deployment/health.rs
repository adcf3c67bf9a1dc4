//! What evidence means for everything that it is about: the deployment, its credential, one model
//! of it.
//!
//! Called by attempts, probes and operators with evidence, and by [`crate::route`] with questions.
//! Always true: a deployment is only as healthy as the worst of what it depends on; what a provider
//! says about an account applies to every deployment with that credential.

use super::Deployment;
use crate::cause::Cause;
use crate::health::{
    Cooldown, DeploymentState, Evidence, FleetEvidence, HalfOpen, HealthEvent, HealthEvents,
    Measured, Opening, OperatorAction, Permit, Verdict,
};
use crate::time::Millis;

/// Whether a failure is about the account rather than about one model.
const fn is_about_the_credential(cause: Cause) -> bool {
    matches!(cause, Cause::Auth | Cause::Quota)
}

/// What evidence about a deployment means for a state that it shares with others.
enum ForShared<'e> {
    /// This evidence.
    Evidence(Evidence<'e>),
    /// Nothing. The attempt gives the permit back.
    Permit(Option<Permit>),
    /// Nothing.
    Nothing,
}

/// What evidence about a deployment means for its credential, whose verdict is `verdict`.
fn about_the_credential<'e>(evidence: &Evidence<'e>, verdict: Verdict) -> ForShared<'e> {
    match *evidence {
        Evidence::Succeeded { attempt, .. } | Evidence::HalfOpenProved { attempt } => match verdict
        {
            // The failures in a row of a credential come from several deployments; a success of
            // one of them does not end the row.
            Verdict::Ready => ForShared::Permit(attempt.half_open.credential),
            Verdict::Cooling(_) | Verdict::HalfOpen(_) | Verdict::Reopening => {
                let attempt = attempt.at_credential();
                ForShared::Evidence(Evidence::HalfOpenProved { attempt })
            }
        },
        Evidence::LetIn { attempt } => {
            ForShared::Evidence(Evidence::LetIn { attempt: attempt.at_credential() })
        }
        Evidence::Failed { attempt, failure, context, .. } => {
            match is_about_the_credential(failure.cause) {
                true => {
                    let attempt = attempt.at_credential();
                    let failed = Evidence::Failed { attempt, failure, model: "", context };
                    ForShared::Evidence(failed)
                }
                false => ForShared::Permit(attempt.half_open.credential),
            }
        }
        Evidence::Operator(OperatorAction::Reset) | Evidence::Fleet(FleetEvidence::Cleared) => {
            ForShared::Evidence(*evidence)
        }
        Evidence::Fleet(FleetEvidence::Closed(closed)) if is_about_the_credential(closed.cause) => {
            ForShared::Evidence(*evidence)
        }
        Evidence::Fleet(FleetEvidence::Closed(_) | FleetEvidence::Doubted(_))
        | Evidence::Operator(OperatorAction::Disable | OperatorAction::Enable)
        | Evidence::Lacks { .. }
        | Evidence::Probed { .. }
        | Evidence::ConfigReplaced { .. }
        | Evidence::ProbeTargetChanged
        | Evidence::Aged { .. } => ForShared::Nothing,
    }
}

/// What evidence about a deployment means for the rate limit that it shares, whose verdict is
/// `verdict`. While the limit holds nothing back, answers say nothing about it.
fn about_the_limit<'e>(evidence: &Evidence<'e>, verdict: Verdict) -> ForShared<'e> {
    match *evidence {
        Evidence::Succeeded { attempt, .. } => match verdict {
            Verdict::Ready => ForShared::Permit(attempt.half_open.limit),
            Verdict::Cooling(_) | Verdict::HalfOpen(_) | Verdict::Reopening => {
                let (attempt, measured) = (attempt.at_limit(), Measured::default());
                ForShared::Evidence(Evidence::Succeeded { attempt, measured, model: "" })
            }
        },
        Evidence::HalfOpenProved { attempt } | Evidence::LetIn { attempt } => {
            ForShared::Evidence(Evidence::LetIn { attempt: attempt.at_limit() })
        }
        Evidence::Failed { attempt, failure, context, .. } => {
            let names_a_time = failure.cause == Cause::RateLimited && failure.hint_ms.is_some();
            let was_let_in = failure.is_of_the_client() && attempt.half_open.limit.is_some();
            match names_a_time || was_let_in {
                true => {
                    let attempt = attempt.at_limit();
                    ForShared::Evidence(Evidence::Failed { attempt, failure, model: "", context })
                }
                false => ForShared::Permit(attempt.half_open.limit),
            }
        }
        Evidence::Operator(OperatorAction::Reset) | Evidence::Fleet(FleetEvidence::Cleared) => {
            ForShared::Evidence(*evidence)
        }
        Evidence::Fleet(FleetEvidence::Closed(closed))
            if closed.cause == Cause::RateLimited && closed.provider_issued =>
        {
            ForShared::Evidence(*evidence)
        }
        Evidence::Fleet(FleetEvidence::Closed(_) | FleetEvidence::Doubted(_))
        | Evidence::Operator(OperatorAction::Disable | OperatorAction::Enable)
        | Evidence::Lacks { .. }
        | Evidence::Probed { .. }
        | Evidence::ConfigReplaced { .. }
        | Evidence::ProbeTargetChanged
        | Evidence::Aged { .. } => ForShared::Nothing,
    }
}

impl Deployment {
    /// What selection needs to know at `now`: the worst of the deployment's own verdict and of those
    /// on what it shares.
    #[must_use]
    pub fn verdict(&self, now: Millis) -> Verdict {
        let mut verdict = self.state.verdict(now);
        if let Some(credential) = &self.credential.shared {
            verdict = verdict.worse(credential.verdict(now));
        }
        if let Some(limit) = &self.credential.limit {
            verdict = verdict.worse(limit.verdict(now));
        }
        verdict
    }

    /// Its own state, and those that it shares: its credential's, its rate limit's.
    pub(crate) fn subjects(&self) -> impl Iterator<Item = &DeploymentState> {
        let shared = self.credential.shared.as_deref().into_iter();
        std::iter::once(&*self.state).chain(shared).chain(self.credential.limit.as_deref())
    }

    /// The state whose cooldown keeps it from traffic.
    fn cooling(&self, now: Millis) -> &DeploymentState {
        let verdict = self.verdict(now);
        self.subjects().find(|state| state.verdict(now) == verdict).unwrap_or(&self.state)
    }

    /// The worst cooldown at `now` that this replica's own evidence caused, and when it began.
    #[must_use]
    pub fn own_cooldown(&self, now: Millis) -> Option<(Millis, Cooldown)> {
        let own = self.subjects().filter_map(DeploymentState::own_cooldown);
        let lasts = own.filter(|(_, cooldown)| cooldown.until > now);
        lasts.max_by_key(|(_, cooldown)| (cooldown.provider_issued, cooldown.until))
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

    /// The states that a half-open request needs a permit of: its own, its credential's, its
    /// limit's.
    fn permits_needed(&self, now: Millis) -> [Option<&DeploymentState>; 3] {
        let needed = |state: &&DeploymentState| state.verdict(now) != Verdict::Ready;
        let credential = self.credential.shared.as_deref().filter(needed);
        let limit = self.credential.limit.as_deref().filter(needed);
        let is_of_others = credential.is_some() || limit.is_some();
        let own = Some(&*self.state).filter(|state| needed(state) || !is_of_others);
        [own, credential, limit]
    }

    /// Whether a half-open request may begin.
    #[must_use]
    pub fn half_open_is_free(&self, now: Millis) -> bool {
        self.permits_needed(now).into_iter().flatten().all(|state| state.half_open_is_free(now))
    }

    /// Takes all permits that a half-open request of `timeout_ms` needs, or none. They expire after
    /// that time.
    #[must_use]
    pub fn take_half_open(&self, now: Millis, timeout_ms: u64) -> Option<HalfOpen> {
        self.take_permits(now, |state| state.take_half_open(now, timeout_ms).map(Some))
    }

    /// Takes the permits that are needed, or none; `take` says for each whether it can be had, or is
    /// not needed after all.
    fn take_permits(
        &self,
        now: Millis,
        take: impl Fn(&DeploymentState) -> Option<Option<Permit>>,
    ) -> Option<HalfOpen> {
        let mut taken = [None; 3];
        let needed = taken.iter_mut().zip(self.permits_needed(now));
        let all =
            needed.filter_map(|(place, state)| Some((place, state?))).all(|(place, state)| {
                let permit = take(state);
                *place = permit.flatten();
                permit.is_some()
            });
        let [own, credential, limit] = taken;
        let half_open = HalfOpen { own, credential, limit };
        if !all {
            self.release_half_open(half_open);
        }
        all.then_some(half_open)
    }

    /// Whether the first request that waits in line for it may go at `now`. Not before the provider's
    /// time; after it, and after a limit that is our guess, with a permit.
    pub(crate) fn opening(&self, now: Millis) -> Opening {
        match self.verdict(now) {
            Verdict::Cooling(cooldown) if cooldown.provider_issued => {
                Opening::Closed(cooldown.until)
            }
            // In a cooldown of ours the safety net tries it.
            Verdict::Cooling(cooldown) if !cooldown.cause.is_limit() => Opening::Free,
            Verdict::Ready => Opening::Free,
            Verdict::Cooling(_) | Verdict::HalfOpen(_) | Verdict::Reopening => {
                let needed = self.permits_needed(now).into_iter().flatten();
                needed.fold(Opening::Free, |opening, state| opening.later(state.opening(now)))
            }
        }
    }

    /// Takes the permits for the first request in line; `None` if it is held back after all.
    pub(crate) fn let_in(&self, now: Millis, timeout_ms: u64) -> Option<HalfOpen> {
        if self.verdict(now) == Verdict::Ready {
            return Some(HalfOpen::NONE);
        }
        let is_needed = match self.opening(now) {
            Opening::Permit => true,
            // If no slot but the safety net opens it, then with the permits that are free.
            Opening::Free => false,
            Opening::Closed(_) | Opening::Held(_) => return None,
        };
        self.take_permits(now, |state| {
            let permit = state.let_in(now, timeout_ms);
            let is_missed = is_needed && permit.is_none() && state.opening(now) != Opening::Free;
            (!is_missed).then_some(permit)
        })
    }

    /// Requests a second at which requests are let in again after a limit, if that was learned.
    #[must_use]
    pub fn learned_rate(&self, now: Millis) -> Option<f64> {
        self.slowest_rate(now).map(|(rate, _)| rate)
    }

    /// How many attempts may be undecided at once while requests come back in rounds.
    #[must_use]
    pub fn allowed_at_once(&self) -> Option<u32> {
        self.subjects().filter_map(DeploymentState::allowed_at_once).min()
    }

    /// The same rate, and the state that it is the rate of.
    pub(crate) fn slowest_rate(&self, now: Millis) -> Option<(f64, &DeploymentState)> {
        let rates = self.subjects().filter_map(|state| Some((state.learned_rate(now)?, state)));
        rates.min_by(|(a, _), (b, _)| a.total_cmp(b))
    }

    /// Gives the permits back: the half-open request did not begin.
    pub fn release_half_open(&self, half_open: HalfOpen) {
        self.state.release_half_open(half_open.own);
        if let Some(credential) = &self.credential.shared {
            credential.release_half_open(half_open.credential);
        }
        if let Some(limit) = &self.credential.limit {
            limit.release_half_open(half_open.limit);
        }
    }

    /// Applies evidence to everything that it is about, and returns what changed: the deployment's
    /// own events first.
    pub fn apply(&self, now: Millis, evidence: &Evidence<'_>) -> HealthEvents {
        let mut events = self.state.apply(now, evidence);
        if let Some(credential) = &self.credential.shared {
            match about_the_credential(evidence, credential.verdict(now)) {
                ForShared::Evidence(evidence) => {
                    credential.apply_into(now, &evidence, &mut events);
                }
                ForShared::Permit(permit) => credential.release_half_open(permit),
                ForShared::Nothing => {}
            }
        }
        if let Some(limit) = &self.credential.limit {
            match about_the_limit(evidence, limit.verdict(now)) {
                // The deployment's own event tells of it.
                ForShared::Evidence(evidence) => drop(limit.apply(now, &evidence)),
                ForShared::Permit(permit) => limit.release_half_open(permit),
                ForShared::Nothing => {}
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
        self.subjects().try_for_each(of)
    }
}
