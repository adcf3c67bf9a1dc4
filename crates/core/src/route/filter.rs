//! The filters: who of a group may be chosen for a request, and why not.
//!
//! Used by [`super::select`] for each candidate and by explanations. Always true: one function,
//! [`Selection::examine`], decides, in one order: paused and misconfigured, reserved hours, region, tags,
//! operation, context window, capability, checks, rest, budgets, concurrency, rates. Its verdict names the
//! first reason.

use super::controls::Controls;
use super::needs::{Need, Needs};
use super::resolve::Target;
use super::tags::TagFilter;
use super::times::times;
use super::windows;
use crate::budget::BudgetIndex;
use crate::cause::Cause;
use crate::deployment::{Deployment, DeploymentIndex};
use crate::health::{Claim, Cooldown, Full, HalfOpen, Verdict};
use crate::operation::Operation;
use crate::snapshot::Snapshot;
use crate::time::Millis;

/// Why a member can not be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exclusion {
    /// It can not work as configured.
    Misconfigured,
    /// The config pauses it.
    Paused,
    /// An operator took it out.
    Disabled,
    /// It is reserved for teams at this time of the day.
    Reserved,
    /// The request has to stay in another region.
    Region,
    /// The request's tags do not allow it.
    Tags,
    /// The request is longer than its window, both in tokens.
    Context {
        /// Its window.
        window: u64,
        /// The request's estimated length.
        needed: u64,
    },
    /// The request alone is estimated to be longer than what it may have in a minute, both in tokens.
    TokensAMinute {
        /// `tpm`.
        limit: u64,
        /// The request's estimated length.
        needed: u64,
    },
    /// Its provider has nothing of the kind.
    Operation(Operation),
    /// It is known not to do what the request needs.
    Capability(Need),
    /// Checks failed, and verdicts of checks count.
    Unhealthy(Cause),
    /// It rests.
    CoolingDown(Cooldown),
    /// Its trial is under way.
    HalfOpenUnderWay(Cooldown),
    /// As many attempts are under way as it may have.
    Busy {
        /// `max_parallel_requests`.
        limit: u32,
    },
    /// It has had what it may have in a minute.
    Rate(Full),
    /// A budget is spent.
    Budget {
        /// Which one.
        budget: BudgetIndex,
        /// When its window ends, milliseconds from now.
        ends_in_ms: u64,
    },
}

/// One excluded member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Excluded {
    /// The member.
    pub deployment: DeploymentIndex,
    /// Why.
    pub why: Exclusion,
}

/// How a member may be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// It is well.
    Ready,
    /// Its rest is over and its trial is free.
    HalfOpen,
}

/// A selection's arguments.
#[derive(Clone, Copy, Debug)]
pub struct Selection<'a> {
    /// The config.
    pub snapshot: &'a Snapshot,
    /// What is asked for.
    pub target: &'a Target,
    /// The group's members, or the one that is pinned.
    pub members: &'a [DeploymentIndex],
    /// Members that may not be chosen: they failed this request.
    pub avoid: &'a [DeploymentIndex],
    /// What the request asks of a model.
    pub needs: Needs,
    /// This moment by the clock on the wall, milliseconds since 1970, where hours decide.
    pub unix_ms: u64,
    /// The budgets of the request's tags.
    pub(super) tag_budgets: &'a [BudgetIndex],
    /// What its tags allow, where tags decide.
    pub(super) tags: Option<TagFilter<'a>>,
    /// Whether verdicts of checks keep traffic away, and not from everybody: see `Selection::heeding`.
    pub heeds_probes: bool,
    /// What the client asks of the routing.
    pub controls: &'a Controls,
    /// The request's number: what rests because of it does not count against its own attempts.
    pub request: u64,
    /// When an attempt must have ended, whatever its own times.
    pub ends: Millis,
}

/// What an attempt at `deployment` must be granted before it begins, with a request of that many tokens.
#[must_use]
pub(super) fn claim(snapshot: &Snapshot, deployment: &Deployment, tokens: u64) -> Claim {
    let limits = &deployment.routing.limits;
    let counts = snapshot.router.enforce_rates;
    Claim {
        max_parallel: limits.max_parallel,
        rpm: limits.rpm.filter(|_| counts),
        tpm: limits.tpm.filter(|_| counts),
        tokens,
        counts,
    }
}

impl Selection<'_> {
    /// Whether `index` may be chosen, by every rule but the request's own failures.
    ///
    /// # Errors
    /// The first reason why not.
    #[inline]
    pub fn examine(&self, index: DeploymentIndex, now: Millis) -> Result<Fit, Exclusion> {
        let deployment = &**self.snapshot.deployment(index);
        self.suits(deployment)?;
        if self.heeds_probes
            && let Some(cause) = self.unhealthy(deployment, now)
        {
            return Err(Exclusion::Unhealthy(cause));
        }
        let fit = match self.verdict(deployment, now) {
            Verdict::Ready => Fit::Ready,
            Verdict::Cooling(cooldown) => return Err(Exclusion::CoolingDown(cooldown)),
            Verdict::HalfOpen(_) if deployment.half_open_is_free(now) => Fit::HalfOpen,
            Verdict::HalfOpen(cooldown) => return Err(Exclusion::HalfOpenUnderWay(cooldown)),
        };
        self.has_room(deployment, now)?;
        Ok(fit)
    }

    /// The same with the verdicts of checks, unless they speak against everybody and nothing else is left
    /// (`only_choice`): then they are ignored, so that checks alone never cause an outage.
    #[must_use]
    pub(super) fn heeding(mut self, now: Millis, only_choice: bool) -> Self {
        self.heeds_probes =
            self.snapshot.probing.routes() && !(only_choice && self.all_unhealthy(now));
        self
    }

    /// Whether checks speak against everybody who suits.
    pub(super) fn all_unhealthy(&self, now: Millis) -> bool {
        let mut suiting = self
            .members
            .iter()
            .map(|index| &**self.snapshot.deployment(*index))
            .filter(|deployment| self.suits(deployment).is_ok())
            .peekable();
        suiting.peek().is_some() && suiting.all(|one| self.unhealthy(one, now).is_some())
    }

    fn unhealthy(&self, deployment: &Deployment, now: Millis) -> Option<Cause> {
        deployment.state.probes().unhealthy(now, self.snapshot.probing.staleness_ms())
    }

    /// What does not change while the request waits.
    #[inline]
    fn suits(&self, deployment: &Deployment) -> Result<(), Exclusion> {
        if deployment.misconfigured.is_some() {
            return Err(Exclusion::Misconfigured);
        }
        if deployment.routing.is_paused {
            return Err(Exclusion::Paused);
        }
        if deployment.state.is_disabled() {
            return Err(Exclusion::Disabled);
        }
        if !deployment.routing.windows.is_empty()
            && windows::reserved(&deployment.routing.windows, self.unix_ms).is_some()
        {
            return Err(Exclusion::Reserved);
        }
        if let Some(region) = &self.controls.region
            && !deployment
                .routing
                .region
                .as_ref()
                .is_some_and(|own| own.eq_ignore_ascii_case(region))
        {
            return Err(Exclusion::Region);
        }
        if self.tags.is_some_and(|tags| !tags.admits(&deployment.routing.tags)) {
            return Err(Exclusion::Tags);
        }
        if let Some(operation) =
            self.controls.operation.filter(|operation| !deployment.serves(*operation))
        {
            return Err(Exclusion::Operation(operation));
        }
        if self.snapshot.router.pre_call_checks
            && let Some(window) = window(deployment)
            && self.needs.input_tokens > window
        {
            return Err(Exclusion::Context { window, needed: self.needs.input_tokens });
        }
        if let Some(limit) = deployment.routing.limits.tpm
            && self.snapshot.router.enforce_rates
            && self.needs.input_tokens > limit
        {
            return Err(Exclusion::TokensAMinute { limit, needed: self.needs.input_tokens });
        }
        match self.needs.unmet(&deployment.facts) {
            Some(need) => Err(Exclusion::Capability(need)),
            None => Ok(()),
        }
    }

    /// The worst of what the deployment, its credential and this model of it say.
    #[inline]
    fn verdict(&self, deployment: &Deployment, now: Millis) -> Verdict {
        let verdict = deployment.verdict(now);
        if !deployment.state.has_model_cooldowns() {
            return verdict;
        }
        let model = self.target.model_in_many(self.snapshot, deployment);
        let foreign = foreign(deployment, self.controls);
        match deployment.state.model_cooldown(foreign, &model, now) {
            Some(cooldown) => verdict.worse(Verdict::Cooling(cooldown)),
            None => verdict,
        }
    }

    #[inline]
    fn has_room(&self, deployment: &Deployment, now: Millis) -> Result<(), Exclusion> {
        let budgets = &self.snapshot.budgets;
        let spent = |indexes: &[BudgetIndex]| budgets.exhausted(indexes, now);
        if let Some((budget, ends_in_ms)) =
            spent(&deployment.routing.budgets).or_else(|| spent(self.tag_budgets))
        {
            return Err(Exclusion::Budget { budget, ends_in_ms });
        }
        let state = &deployment.state;
        if let Some(limit) = deployment.routing.limits.max_parallel
            && state.in_flight() >= limit
        {
            return Err(Exclusion::Busy { limit });
        }
        if !self.snapshot.router.enforce_rates {
            return Ok(());
        }
        let claim = claim(self.snapshot, deployment, self.needs.input_tokens);
        match state.rates().full(now, &claim) {
            Some(full) => Err(Exclusion::Rate(full)),
            None => Ok(()),
        }
    }

    /// The tier of a member; those without an `order` come last.
    #[must_use]
    pub fn order(&self, index: DeploymentIndex) -> u32 {
        self.snapshot.deployment(index).routing.order.unwrap_or(u32::MAX)
    }

    /// The lowest tier that has somebody; `None` where tiers do not matter.
    #[must_use]
    pub fn tier(&self, now: Millis) -> Option<u32> {
        if !self.snapshot.group(self.target.group).has_tiers {
            return None;
        }
        let well = |index: &&DeploymentIndex| {
            !self.avoid.contains(index) && self.examine(**index, now) == Ok(Fit::Ready)
        };
        Some(self.members.iter().filter(well).map(|i| self.order(*i)).min().unwrap_or(u32::MAX))
    }

    /// Whether there is a member to choose at all; `net` counts those that are not well.
    #[must_use]
    pub fn has_choice(&self, now: Millis, net: bool) -> bool {
        self.members.iter().any(|index| {
            !self.avoid.contains(index)
                && (self.examine(*index, now).is_ok()
                    || (net && self.net_rank(*index, now).is_some()))
        })
    }

    /// Whether the request is too long for a member.
    #[must_use]
    pub(super) fn is_too_long(&self, now: Millis) -> bool {
        let too_long =
            |why| matches!(why, Err(Exclusion::Context { .. } | Exclusion::TokensAMinute { .. }));
        self.members.iter().any(|index| too_long(self.examine(*index, now)))
    }

    /// Whether a member that did not fail this request is well.
    #[must_use]
    pub fn has_ready(&self, now: Millis) -> bool {
        self.members
            .iter()
            .any(|index| !self.avoid.contains(index) && self.examine(*index, now) == Ok(Fit::Ready))
    }

    /// How a member may be tried although it is not well; `None` when it may not.
    ///
    /// Not against a provider's running deadline, and, where we only guess about a limit, by one request
    /// at a time.
    pub(super) fn net_rank(&self, index: DeploymentIndex, now: Millis) -> Option<NetRank> {
        let deployment = &**self.snapshot.deployment(index);
        let cooldown = match self.examine(index, now) {
            Ok(Fit::Ready) => return Some(NetRank { until: None, needs_permit: false }),
            Ok(Fit::HalfOpen) => match self.verdict(deployment, now) {
                Verdict::HalfOpen(cooldown) | Verdict::Cooling(cooldown) => cooldown,
                Verdict::Ready => return Some(NetRank { until: None, needs_permit: false }),
            },
            Err(Exclusion::CoolingDown(cooldown) | Exclusion::HalfOpenUnderWay(cooldown)) => {
                cooldown
            }
            // Who failed before the eyes of real traffic, and long ago, comes first.
            Err(Exclusion::Unhealthy(_)) => {
                self.has_room(deployment, now).ok()?;
                let until = now.plus(self.snapshot.probing.staleness_ms());
                return Some(NetRank { until: Some(until), needs_permit: false });
            }
            Err(_) => return None,
        };
        self.has_room(deployment, now).ok()?;
        if cooldown.provider_issued {
            return (cooldown.until <= now)
                .then_some(NetRank { until: Some(cooldown.until), needs_permit: false });
        }
        let is_guess = matches!(cooldown.cause, Cause::RateLimited | Cause::Quota);
        let needs_permit = is_guess && !deployment.cooling_because_of(self.request, now);
        (!needs_permit || deployment.half_open_is_free(now))
            .then_some(NetRank { until: Some(cooldown.until), needs_permit })
    }

    /// Why it is not tried at all: where the safety net would try it although it is not well, that it has no
    /// room for one more.
    pub(super) fn refusal(&self, index: DeploymentIndex, now: Millis) -> Option<Exclusion> {
        let why = self.examine(index, now).err()?;
        let net_would = match why {
            Exclusion::CoolingDown(cooldown) | Exclusion::HalfOpenUnderWay(cooldown) => {
                !cooldown.provider_issued
            }
            Exclusion::Unhealthy(_) => true,
            _ => false,
        };
        let room = self.has_room(self.snapshot.deployment(index), now);
        Some(room.err().filter(|_| net_would).unwrap_or(why))
    }

    pub(super) fn take_half_open(&self, index: DeploymentIndex, now: Millis) -> Option<HalfOpen> {
        let deployment = self.snapshot.deployment(index);
        let own = times(self.snapshot, deployment, self.controls).timeout_ms;
        deployment.take_half_open(now, own.min(self.ends.since(now)))
    }
}

/// The operation, where it is not one of those that the deployment is for.
#[must_use]
pub(super) fn foreign(deployment: &Deployment, controls: &Controls) -> Option<Operation> {
    let mode = deployment.facts.mode.as_deref();
    controls.operation.filter(|operation| !operation.is_of_mode(mode))
}

/// How a member may be tried although it is not well; the least is the least bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NetRank {
    /// When its rest ends; `None` when it does not rest.
    pub(super) until: Option<Millis>,
    /// Whether it may be tried with a trial's permit only.
    pub(super) needs_permit: bool,
}

/// The largest prompt that a deployment takes, tokens.
#[must_use]
pub fn window(deployment: &Deployment) -> Option<u64> {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "token counts are small and not negative; the cast saturates"
    )]
    deployment.facts.max_input_tokens.map(|tokens| tokens as u64)
}
