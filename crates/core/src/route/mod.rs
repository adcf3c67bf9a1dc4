//! Which deployment a request goes to, and what is tried when that fails.
//!
//! Called by the gateway's pipeline: [`resolve()`] turns a name into a [`Target`], a [`Walk`] says what
//! to do next until there is an answer or nothing is left. Always true: no I/O, no clock, no
//! randomness; equal arguments give equal decisions.

mod resolve;
mod select;
mod walk;

pub use resolve::{Resolved, Target, nearest_names, resolve};
pub use select::{Choice, Excluded, Exclusion, select};
pub use walk::{AttemptPlan, Controls, GiveUp, MAX_ATTEMPTS, Next, Refused, Tried, Walk};
