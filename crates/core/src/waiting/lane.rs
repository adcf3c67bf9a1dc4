//! The line in front of one deployment, or of one part of it.
//!
//! Kept by [`super::Queue`]. Always true: as long as requests wait, the states of the deployment and
//! of what it shares know it, so that no new request overtakes; whether the first one may go is what
//! those states and the slots say.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::class::{ClassId, ClassWay, Own};
use super::ticket::{Grant, Ticket};
use super::way::{Accepts, Part};
use crate::deployment::Deployment;
use crate::health::{Claim, DeploymentState, Opening};
use crate::time::Millis;

/// After how long an empty retry budget is tried again, milliseconds.
const BUDGET_AGAIN_MS: u64 = 250;
/// How long releases must have been watched before they are a rate, milliseconds.
const WATCHED_MS: u64 = 1_000;

/// One line.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) deployment: Arc<Deployment>,
    pub(super) part: Option<Part>,
    /// The lowest ticket of each class that may use it.
    pub(super) heads: BTreeSet<(Ticket, ClassId)>,
    /// Requests in it.
    pub(super) waiting: u32,
    /// When to look at it again, unless something happens before.
    pub(super) wake: Millis,
    /// Since when requests wait in it, and how many went.
    since: Millis,
    released: u32,
}

/// Whether a request may go.
#[derive(Debug)]
pub(super) enum Turn {
    /// It has its slot and its permits.
    Go(Grant),
    /// It does not wait for what closes the deployment now.
    LookAgain,
    /// Not before this time, unless something happens; those that do not wait for it look again.
    Closed(Millis),
    /// The same, and all in line wait for it.
    Held(Millis),
    /// Its retry budget is empty until then; others may go.
    Unfunded(Millis),
}

impl Lane {
    /// An empty line. It is told to the states of the deployment.
    pub(super) fn new(deployment: Arc<Deployment>, part: Option<Part>, now: Millis) -> Lane {
        deployment.subjects().for_each(DeploymentState::line_formed);
        Lane {
            deployment,
            part,
            heads: BTreeSet::new(),
            waiting: 0,
            wake: Millis::NEVER,
            since: now,
            released: 0,
        }
    }

    /// The same deployment in a newer config.
    pub(super) fn renew(&mut self, deployment: &Arc<Deployment>) {
        deployment.subjects().for_each(DeploymentState::line_formed);
        self.deployment.subjects().for_each(DeploymentState::line_ended);
        self.deployment = deployment.clone();
    }

    /// What the deployment and the part say.
    pub(super) fn opening(&self, now: Millis) -> Opening {
        let opening = self.deployment.opening(now);
        let cooldown = self.part.as_ref().and_then(|part| {
            let state = &self.deployment.state;
            state
                .has_model_cooldowns()
                .then(|| state.model_cooldown(part.foreign, &part.model, now))?
        });
        match cooldown {
            Some(cooldown) if cooldown.provider_issued => {
                opening.later(Opening::Closed(cooldown.until))
            }
            Some(_) | None => opening,
        }
    }

    /// Whether the request with that way may go; takes its slot and permits if so.
    pub(super) fn turn(&mut self, way: &ClassWay, own: Own, now: Millis) -> Turn {
        let (deployment, claim) = (&self.deployment, Claim { tokens: own.tokens, ..way.claim });
        match self.opening(now) {
            Opening::Closed(until) => return closed(way, until),
            Opening::Held(until) => return Turn::Held(until),
            Opening::Free | Opening::Permit => {}
        }
        if claim.max_parallel.is_some_and(|limit| deployment.state.in_flight() >= limit) {
            // A slot opens it, not a time.
            return closed(way, Millis::NEVER);
        }
        if way.draws.as_ref().is_some_and(|budget| !budget.withdraw(now)) {
            return Turn::Unfunded(now.plus(BUDGET_AGAIN_MS));
        }
        let give_back = || way.draws.as_ref().inspect(|budget| budget.give_back(now));
        if !deployment.state.enter(now, &claim) {
            give_back();
            return match claim.max_parallel {
                Some(limit) if deployment.state.in_flight() >= limit => closed(way, Millis::NEVER),
                // A limit of the operator's was reached meanwhile: it is no way any more.
                Some(_) | None => Turn::LookAgain,
            };
        }
        let Some(half_open) = deployment.let_in(now, own.timeout_ms) else {
            deployment.state.leave();
            give_back();
            return Turn::Held(now.plus(1));
        };
        self.released = self.released.saturating_add(1);
        let (index, place) = (way.index, way.place);
        Turn::Go(Grant { index, place, deployment: self.deployment.clone(), half_open })
    }

    /// When it opens at the earliest, as far as that is known; else `now`.
    pub(super) fn opens_at(&self, now: Millis) -> Millis {
        match self.opening(now) {
            Opening::Closed(until) => until.max(now),
            Opening::Free | Opening::Permit | Opening::Held(_) => now,
        }
    }

    /// Requests a second that go, if that was learned, and the state whose rate it is.
    pub(super) fn rate(&self, now: Millis, limited: bool) -> Option<(f64, *const DeploymentState)> {
        if let Some((rate, state)) = self.deployment.slowest_rate(now) {
            return Some((rate, std::ptr::from_ref(state)));
        }
        let watched = now.since(self.since);
        if !limited || watched < WATCHED_MS || self.released < 2 {
            return None;
        }
        #[allow(clippy::cast_precision_loss, reason = "times of a process are far below 2^52")]
        let rate = f64::from(self.released) * 1_000.0 / watched as f64;
        Some((rate, Arc::as_ptr(&self.deployment.state)))
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.deployment.subjects().for_each(DeploymentState::line_ended);
    }
}

fn closed(way: &ClassWay, until: Millis) -> Turn {
    match way.accepts {
        Accepts::Anything | Accepts::Meanwhile => Turn::Closed(until),
        Accepts::Outcomes => Turn::LookAgain,
    }
}
