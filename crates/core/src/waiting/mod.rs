//! Requests that wait for a deployment instead of being refused: who goes next, when, and what ends
//! a wait.
//!
//! [`crate::route::RoutePlan`] says that a request waits, and for which ways ([`Wait`]); the gateway
//! puts it into the [`Queue`], keeps its waker, and tells the queue when an attempt ended.
//! [`Queue::next`] says which request goes on, and why. Always true: a request that does not wait
//! never comes here; every wait ends, for exactly one [`Why`]; an opening goes to the lowest ticket
//! that can use it; a waiting request holds no slot and no permit. When a subject opens, and for
//! how many, is decided by its own state ([`crate::health`]): there is no second state machine here.

mod class;
mod estimate;
mod lane;
mod queue;
mod ticket;
mod way;

pub use queue::{Limits, Queue};
pub use ticket::{Grant, Release, Ticket, Turned, Why};
pub use way::{Accepts, Part, Wait, Way};
