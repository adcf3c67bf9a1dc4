//! What a request waits for.
//!
//! Made by [`crate::route::RoutePlan`], read by the queue. Always true: a way is closed for now and
//! may open by itself.

use std::sync::Arc;

use super::ticket::Ticket;
use crate::deployment::{Deployment, DeploymentIndex};
use crate::health::{Claim, RetryBudget};
use crate::operation::Operation;
use crate::time::Millis;

/// The part of a deployment that a way is about, if less than all of it: one model behind a pattern,
/// or one operation that the deployment is not for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Part {
    /// The operation, if the deployment is not for it.
    pub foreign: Option<Operation>,
    /// The model's name at the provider.
    pub model: Box<str>,
}

/// What a request waits for at a way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Accepts {
    /// For whatever closes it.
    Anything,
    /// Only for the outcome of an attempt that is under way: it may not be repeated
    /// (`num_retries: 0`), and so does not wait for a time or a slot.
    Outcomes,
    /// For nothing: it waits for an outcome at another way, and goes here if this one opens before.
    Meanwhile,
}

/// One deployment that a request waits for.
#[derive(Clone, Debug)]
pub struct Way {
    /// Its place in the config of the route plan.
    pub index: DeploymentIndex,
    /// The deployment.
    pub deployment: Arc<Deployment>,
    /// The part of it that the request needs, if parts of it may be in cooldown.
    pub part: Option<Part>,
    /// What must be granted; its tokens are those of the request.
    pub claim: Claim,
    /// The time limit of an attempt, milliseconds.
    pub timeout_ms: u64,
    /// The retry budget that the attempt is drawn from, if it is a repeat.
    pub draws: Option<Arc<RetryBudget>>,
    /// What it waits for.
    pub accepts: Accepts,
    /// A number of the route plan's, given back with the [`super::Grant`].
    pub place: u32,
}

impl PartialEq for Way {
    fn eq(&self, other: &Way) -> bool {
        let own = (self.index, self.place, self.accepts, &self.part, self.timeout_ms);
        own == (other.index, other.place, other.accepts, &other.part, other.timeout_ms)
    }
}

impl Eq for Way {}

/// A request that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Its ticket, if it waited before.
    pub ticket: Option<Ticket>,
    /// When the request arrived.
    pub arrived: Millis,
    /// The group that its client named.
    pub group: Arc<str>,
    /// Its ways, in the order in which it would take them.
    pub ways: Vec<Way>,
    /// When its wait ends at the latest.
    pub ends: Millis,
    /// Bytes of its body that are held in memory.
    pub body_bytes: u64,
}
