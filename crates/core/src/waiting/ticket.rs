//! A request's place in the queue, and how its wait ends.
//!
//! Made by [`super::Queue`], kept by the request's route plan over all its waits. Always true:
//! tickets are ordered by the arrival of their requests; no two are equal.

use std::sync::Arc;

use crate::deployment::{Deployment, DeploymentIndex};
use crate::health::HalfOpen;
use crate::time::Millis;

/// A request's place: the earlier it arrived, the lower.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket {
    /// When its request arrived.
    pub(super) arrived: Millis,
    /// Which of those that arrived together.
    pub(super) number: u64,
}

/// A request that goes on.
#[derive(Debug)]
pub struct Release {
    /// Whose wait ends.
    pub ticket: Ticket,
    /// Why.
    pub why: Why,
}

/// Why a wait ends.
#[derive(Debug)]
pub enum Why {
    /// A deployment is open for it.
    Open(Grant),
    /// What it waits for has changed: its route plan looks again. It may join again with its ticket.
    LookAgain,
    /// Its time is over.
    TimedOut,
    /// The bodies of waiting requests take too much memory, and its is the largest.
    Memory,
    /// The process ends before it can go.
    Draining,
}

/// The right to one attempt. Its slot is taken and so are its permits: if the attempt is not made,
/// both must be given back ([`Grant::give_back`]) and the queue told.
#[derive(Debug)]
pub struct Grant {
    /// The deployment, in the config in which the request joined.
    pub index: DeploymentIndex,
    /// The same.
    pub deployment: Arc<Deployment>,
    /// [`super::Way::place`] of the way that opened.
    pub place: u32,
    /// The permits.
    pub half_open: HalfOpen,
}

impl Grant {
    /// Gives slot and permits back: it proves nothing, and the next request may go.
    pub fn give_back(self) {
        self.deployment.state.leave();
        self.deployment.release_half_open(self.half_open);
    }
}

/// Why a request may not wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turned {
    /// There is no way that could open.
    NoWay,
    /// As many requests of its group wait as may.
    Full,
    /// It would not be its turn in time: it would have to wait until then.
    TooLong(Millis),
    /// The process ends.
    Draining,
}
