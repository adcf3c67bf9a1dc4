//! The filters: which members of a group may be picked for a request, and why others may not.
//!
//! Used by [`super::select`] for each candidate and by explanations. Always true: one function,
//! [`Selection::examine`], decides, in one order: paused and misconfigured, reserved hours, region,
//! tags, operation, context window, capability, probes, cooldown, budgets, concurrency, rates. It
//! returns the first reason.

mod closed;

pub(super) use self::closed::Closed;

use super::controls::Controls;
use super::needs::{Need, Needs};
use super::resolve::Target;
use super::tags::TagFilter;
use super::times::times;
use super::windows;
use crate::budget::BudgetIndex;
use crate::cause::Cause;
use crate::deployment::{Deployment, DeploymentIndex};
use crate::health::{Claim, Cooldown, Full, HalfOpen, Lack, RateLimit, Verdict};
use crate::operation::Operation;
use crate::snapshot::Snapshot;
use crate::time::Millis;

/// Why a member cannot be picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exclusion {
    /// It is misconfigured.
    Misconfigured,
    /// The config pauses it.
    Paused,
    /// An operator disabled it.
    Disabled,
    /// It is reserved for teams at this time of the day.
    Reserved,
    /// The request must stay in another region.
    Region,
    /// The request's tags do not allow it.
    Tags,
    /// The request is longer than its context window, both in tokens.
    Context {
        /// Its context window.
        window: u64,
        /// The request's estimated length.
        needed: u64,
    },
    /// The estimated length of the request alone exceeds its limit of a minute, both in tokens.
    TokensAMinute {
        /// `tpm`.
        limit: u64,
        /// The request's estimated length.
        needed: u64,
    },
    /// Its provider does not have the operation.
    Operation(Operation),
    /// It is known to lack what the request needs.
    Capability(Need),
    /// It said that it lacks what the request needs.
    Lacking(Lack),
    /// Probes failed, and verdicts of probes count.
    Unhealthy(Cause),
    /// It is in cooldown.
    Cooling(Cooldown),
    /// Its half-open request is in flight.
    HalfOpenUnderWay(Cooldown),
    /// Requests are let in one by one, and others come first.
    Reopening,
    /// It has as many attempts in flight as it may.
    Busy {
        /// `max_parallel_requests`.
        limit: u32,
    },
    /// It reached a limit of the minute.
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

/// How a member may be picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// It is healthy.
    Ready,
    /// It is healthy, and requests are let in one by one: this one may be the next.
    Reopening,
    /// Its cooldown has ended and its half-open permit is free.
    HalfOpen,
}

impl Fit {
    /// Whether it is healthy.
    #[must_use]
    pub const fn is_healthy(self) -> bool {
        matches!(self, Fit::Ready | Fit::Reopening)
    }
}

/// Whether the safety net is open: unhealthy members may be tried, because no group with a healthy
/// one is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SafetyNet {
    /// They may be tried.
    Open,
    /// They may not.
    Closed,
}

/// A selection's arguments.
#[derive(Clone, Copy, Debug)]
pub struct Selection<'a> {
    /// The config.
    pub snapshot: &'a Snapshot,
    /// What the request is for.
    pub target: &'a Target,
    /// The group's members, or the one that is pinned.
    pub members: &'a [DeploymentIndex],
    /// Members that may not be picked, because they failed this request.
    pub avoid: &'a [DeploymentIndex],
    /// What the request needs from a model.
    pub needs: Needs,
    /// The time on the wall clock, milliseconds since 1970, if hours matter.
    pub unix_ms: u64,
    /// The budgets of the request's tags.
    pub(super) tag_budgets: &'a [BudgetIndex],
    /// What its tags allow, if tags decide.
    pub(super) tags: Option<TagFilter<'a>>,
    /// Whether verdicts of probes keep traffic away; see `Selection::heeding`.
    pub heeds_probes: bool,
    /// What the client asks of routing.
    pub controls: &'a Controls,
    /// The request's number. A cooldown that the request itself caused does not count against its
    /// own attempts.
    pub request: u64,
    /// When an attempt must have ended, whatever its own times.
    pub ends: Millis,
}

/// What an attempt at `deployment` must be granted before it begins, for a request of that many
/// tokens.
#[must_use]
pub(super) fn claim(snapshot: &Snapshot, deployment: &Deployment, tokens: u64) -> Claim {
    let limits = &deployment.routing.limits;
    let counts = snapshot.router.enforce_rates;
    let part = |of, limit: Option<u64>| {
        let limit = limit.filter(|_| counts)?;
        Some(deployment.state.rates().own_part(of, limit))
    };
    Claim {
        max_parallel: limits.max_parallel,
        rpm: part(RateLimit::Requests, limits.rpm),
        tpm: part(RateLimit::Tokens, limits.tpm),
        tokens,
        counts,
    }
}

impl Selection<'_> {
    /// Whether `index` may be picked, by every rule but the request's own failures.
    ///
    /// # Errors
    ///
    /// The first reason why not.
    #[inline]
    pub fn examine(&self, index: DeploymentIndex, now: Millis) -> Result<Fit, Exclusion> {
        let deployment = &**self.snapshot.deployment(index);
        self.suits(deployment, now)?;
        if self.heeds_probes
            && let Some(cause) = self.unhealthy(deployment, now)
        {
            return Err(Exclusion::Unhealthy(cause));
        }
        let fit = match self.verdict(deployment, now) {
            Verdict::Ready => Fit::Ready,
            Verdict::Reopening if deployment.half_open_is_free(now) => Fit::Reopening,
            Verdict::Reopening => return Err(Exclusion::Reopening),
            Verdict::Cooling(cooldown) => return Err(Exclusion::Cooling(cooldown)),
            Verdict::HalfOpen(_) if deployment.half_open_is_free(now) => Fit::HalfOpen,
            Verdict::HalfOpen(cooldown) => return Err(Exclusion::HalfOpenUnderWay(cooldown)),
        };
        self.has_room(deployment, now)?;
        Ok(fit)
    }

    /// The same, taking probes into account. If they reject every member and the safety net is open,
    /// they are ignored, so that probes alone never cause an outage.
    #[must_use]
    pub(super) fn heeding(mut self, now: Millis, net: SafetyNet) -> Self {
        self.heeds_probes =
            self.snapshot.probing.routes() && !(net == SafetyNet::Open && self.all_unhealthy(now));
        self
    }

    /// Whether probes reject every member that suits.
    pub(super) fn all_unhealthy(&self, now: Millis) -> bool {
        let mut suiting = self
            .members
            .iter()
            .map(|index| &**self.snapshot.deployment(*index))
            .filter(|deployment| self.suits(deployment, now).is_ok())
            .peekable();
        suiting.peek().is_some() && suiting.all(|one| self.unhealthy(one, now).is_some())
    }

    fn unhealthy(&self, deployment: &Deployment, now: Millis) -> Option<Cause> {
        deployment.state.probes().unhealthy(now, self.snapshot.probing.staleness_ms())
    }

    /// The rules that do not change while the request waits.
    #[inline]
    fn suits(&self, deployment: &Deployment, now: Millis) -> Result<(), Exclusion> {
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
        let of_another = |provider: &str| *deployment.endpoint.provider.name != *provider;
        if let Some(operation) = self.controls.operation
            && (!deployment.serves(operation) || self.controls.provider.is_some_and(of_another))
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
        if let Some(need) = self.needs.unmet(&deployment.facts) {
            return Err(Exclusion::Capability(need));
        }
        // What the gateway can estimate by itself is never refused.
        let operation = self.controls.operation.filter(|operation| !operation.is_estimable());
        let model = || self.target.model_in_many(self.snapshot, deployment);
        match deployment.state.unmet(now, (operation, &self.needs), model) {
            Some(lack) => Err(Exclusion::Lacking(lack)),
            None => Ok(()),
        }
    }

    /// The worst of the verdicts on the deployment, its credential and this model of it.
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

    /// The lowest tier with an available member; `None` if tiers do not matter.
    #[must_use]
    pub fn tier(&self, now: Millis) -> Option<u32> {
        if !self.snapshot.group(self.target.group).has_tiers {
            return None;
        }
        let healthy =
            |index: &&DeploymentIndex| !self.avoid.contains(index) && self.is_healthy(**index, now);
        Some(self.members.iter().filter(healthy).map(|i| self.order(*i)).min().unwrap_or(u32::MAX))
    }

    /// Whether there is a member to pick at all; an open safety net includes unhealthy ones.
    #[must_use]
    pub(super) fn has_choice(&self, now: Millis, net: SafetyNet) -> bool {
        self.members.iter().any(|index| {
            !self.avoid.contains(index)
                && (self.examine(*index, now).is_ok()
                    || (net == SafetyNet::Open
                        && self.net_rank(*index, now).is_some()
                        && !self.has_healthy_in_turn(now)))
        })
    }

    /// Whether a member is left that only the safety net tries.
    pub(super) fn has_one_for_the_net(&self, now: Millis) -> bool {
        let is_one = |index: &&DeploymentIndex| {
            self.examine(**index, now).is_err() && self.net_rank(**index, now).is_some()
        };
        self.members.iter().find(is_one).is_some()
    }

    /// Whether a healthy member lets requests in one by one, and others come first. It is waited for
    /// before an unhealthy one is tried.
    pub(super) fn has_healthy_in_turn(&self, now: Millis) -> bool {
        let in_turn = |index: &DeploymentIndex| {
            !self.avoid.contains(index) && self.examine(*index, now) == Err(Exclusion::Reopening)
        };
        self.members.iter().any(in_turn)
    }

    /// Whether the request is too long for a member.
    #[must_use]
    pub(super) fn is_too_long(&self, now: Millis) -> bool {
        let too_long =
            |why| matches!(why, Err(Exclusion::Context { .. } | Exclusion::TokensAMinute { .. }));
        self.members.iter().any(|index| too_long(self.examine(*index, now)))
    }

    /// Whether a member that did not fail this request is healthy.
    #[must_use]
    pub fn has_ready(&self, now: Millis) -> bool {
        self.members.iter().any(|index| !self.avoid.contains(index) && self.is_healthy(*index, now))
    }

    /// Whether `index` is healthy and may be picked.
    #[must_use]
    pub fn is_healthy(&self, index: DeploymentIndex, now: Millis) -> bool {
        self.examine(index, now).is_ok_and(Fit::is_healthy)
    }

    /// How an unhealthy member may be tried; `None` if it may not.
    ///
    /// Never during a cooldown that the provider named, and never beside a half-open request. If a
    /// limit is only our guess, then by one request at a time.
    pub(super) fn net_rank(&self, index: DeploymentIndex, now: Millis) -> Option<NetRank> {
        let deployment = &**self.snapshot.deployment(index);
        let cooldown = match self.examine(index, now) {
            Ok(Fit::Ready) => return Some(NetRank { until: None, needs_permit: false }),
            Ok(Fit::Reopening) => return Some(NetRank { until: None, needs_permit: true }),
            Ok(Fit::HalfOpen) => match self.verdict(deployment, now) {
                Verdict::HalfOpen(cooldown) | Verdict::Cooling(cooldown) => {
                    return Some(NetRank { until: Some(cooldown.until), needs_permit: true });
                }
                Verdict::Ready => return Some(NetRank { until: None, needs_permit: false }),
                Verdict::Reopening => return Some(NetRank { until: None, needs_permit: true }),
            },
            Err(Exclusion::Cooling(cooldown)) => cooldown,
            // A failure that only a probe saw ranks behind all cooldowns; among cooldowns the
            // oldest is tried first.
            Err(Exclusion::Unhealthy(_)) => {
                self.has_room(deployment, now).ok()?;
                let until = now.plus(self.snapshot.probing.staleness_ms());
                return Some(NetRank { until: Some(until), needs_permit: false });
            }
            Err(_) => return None,
        };
        self.has_room(deployment, now).ok()?;
        if cooldown.provider_issued {
            return None;
        }
        let is_guess = cooldown.cause.is_limit();
        let needs_permit = is_guess && !deployment.was_ejected_by(self.request, now);
        (!needs_permit || deployment.half_open_is_free(now))
            .then_some(NetRank { until: Some(cooldown.until), needs_permit })
    }

    /// Why it is not tried at all. If the safety net would try it although it is unhealthy, the
    /// reason is that it has no free place.
    pub(super) fn refusal(&self, index: DeploymentIndex, now: Millis) -> Option<Exclusion> {
        let why = self.examine(index, now).err()?;
        let net_would = match why {
            Exclusion::Cooling(cooldown) | Exclusion::HalfOpenUnderWay(cooldown) => {
                !cooldown.provider_issued
            }
            Exclusion::Reopening | Exclusion::Unhealthy(_) => true,
            _ => false,
        };
        let room = self.has_room(self.snapshot.deployment(index), now);
        Some(room.err().filter(|_| net_would).unwrap_or(why))
    }

    /// Takes the permits that an attempt at `index` needs, if it needs any; `None` if another request
    /// took them first.
    pub(super) fn admit(&self, index: DeploymentIndex, now: Millis) -> Option<HalfOpen> {
        match self.snapshot.deployment(index).verdict(now) {
            Verdict::Ready => Some(HalfOpen::NONE),
            Verdict::Reopening | Verdict::HalfOpen(_) | Verdict::Cooling(_) => {
                self.take_half_open(index, now)
            }
        }
    }

    pub(super) fn take_half_open(&self, index: DeploymentIndex, now: Millis) -> Option<HalfOpen> {
        let deployment = self.snapshot.deployment(index);
        let own = times(self.snapshot, deployment, self.controls).timeout_ms;
        deployment.take_half_open(now, own.min(self.ends.since(now)))
    }
}

/// The operation, if the deployment is not meant for it.
#[must_use]
pub(super) fn foreign(deployment: &Deployment, controls: &Controls) -> Option<Operation> {
    let mode = deployment.facts.mode.as_deref();
    controls.operation.filter(|operation| !operation.is_of_mode(mode))
}

/// How an unhealthy member may be tried. The least of these is the least bad member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NetRank {
    /// When its cooldown ends; `None` if it is in none.
    pub(super) until: Option<Millis>,
    /// Whether it may be tried only with the half-open permit.
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
