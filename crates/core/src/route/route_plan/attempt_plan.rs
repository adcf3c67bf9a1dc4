//! What a route plan says about one attempt, and what it keeps of a failed one.
//!
//! Made by [`super::RoutePlan`], followed by the gateway. Always true: it says who set each limit in time.

use std::sync::Arc;

use crate::cause::Cause;
use crate::deployment::{Deployment, DeploymentIndex};
use crate::health::{Claim, HalfOpen};
use crate::rescue::RescueMode;
use crate::route::times::SetBy;
use crate::snapshot::Snapshot;
use crate::time::Millis;

/// One attempt to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttemptPlan {
    /// Which deployment is called.
    pub deployment: DeploymentIndex,
    /// The permits that it holds if it is a half-open request.
    pub half_open: HalfOpen,
    /// When it must have answered; for a stream, with its first content.
    pub ends: Millis,
    /// Whose limit `ends` is.
    pub ends_set_by: SetBy,
    /// Longest silence between a stream's events, milliseconds.
    pub silence_ms: u64,
    /// Whose limit that is.
    pub silence_set_by: SetBy,
    /// After how much silence a client's stream gets a comment, milliseconds.
    pub keepalive_ms: Option<u64>,
    /// When a stream must have ended.
    pub stream_ends: Millis,
    /// What must be granted before it begins.
    pub claim: Claim,
    /// The attempt's own limit, milliseconds.
    pub timeout_ms: u64,
    /// Whether the claim was granted already.
    pub slot: Slot,
}

/// The concurrency slot of an attempt, and what else it claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// To be taken.
    Free,
    /// Taken for it by the queue of waiting requests.
    Taken,
}

/// One failed attempt.
#[derive(Clone, Debug)]
pub struct Tried {
    /// The group's name, as shown to clients.
    pub group: Box<str>,
    /// The deployment, in the config that it was called by.
    pub deployment: DeploymentIndex,
    /// The same, if the config in force does not have it, or has other credentials or another address under its id: then nothing
    /// that failed is there any more.
    pub former: Option<Arc<Deployment>>,
    /// The upstream's status, if it answered.
    pub status: Option<u16>,
    /// The cause.
    pub cause: Cause,
    /// The provider's message, or ours.
    pub message: Box<str>,
    /// How long it took, milliseconds.
    pub ms: u64,
    /// Whether it was sent again on a new connection, because a kept one turned out to be closed.
    pub resent: bool,
    /// The wait that the provider named, milliseconds.
    pub hint_ms: Option<u64>,
    /// Whether it was a half-open request.
    pub half_open: bool,
    /// What may follow it.
    pub repeat: Repeat,
}

impl Tried {
    /// Whether it was an attempt at that deployment of the config in force.
    #[must_use]
    pub fn is_at(&self, index: DeploymentIndex) -> bool {
        self.former.is_none() && self.deployment == index
    }

    /// What was called.
    #[must_use]
    pub fn at<'s>(&'s self, snapshot: &'s Snapshot) -> &'s Deployment {
        match &self.former {
            Some(former) => former,
            None => snapshot.deployment(self.deployment),
        }
    }

    /// Whether both called the same.
    #[must_use]
    pub fn is_with(&self, other: &Tried) -> bool {
        match (&self.former, &other.former) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (None, None) => self.deployment == other.deployment,
            (Some(_), None) | (None, Some(_)) => false,
        }
    }

    /// The same in a new config.
    pub(super) fn move_to(&mut self, new: &Snapshot, old: &Snapshot) {
        if self.former.is_some() {
            return;
        }
        let before = old.deployment(self.deployment);
        let after = new.by_id.get(&before.id).copied();
        let is_same =
            |index: &DeploymentIndex| Arc::ptr_eq(&new.deployment(*index).state, &before.state);
        match after.filter(is_same) {
            Some(index) => self.deployment = index,
            None => self.former = Some(before.clone()),
        }
    }
}

/// What may follow a failed attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Repeat {
    /// Another attempt.
    #[default]
    Allowed,
    /// An attempt at another member: this one lacks what the request needs.
    AtSibling,
    /// Nothing: the provider may have carried it out, and a second one would be one too many.
    Never,
}

/// What a rescue needs of a deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begins {
    /// It goes on from words that it is told it had said.
    FromPrefix,
    /// It begins the answer anew.
    Anew,
}

impl Begins {
    /// What a long answer needs in that mode; `None` if none is continued.
    #[must_use]
    pub const fn of(mode: RescueMode) -> Option<Begins> {
        match mode {
            RescueMode::Off => None,
            RescueMode::Text => Some(Begins::FromPrefix),
            RescueMode::Replay => Some(Begins::Anew),
        }
    }
}
