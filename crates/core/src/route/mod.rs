//! Which deployment a request goes to, and what is tried after a failure.
//!
//! Called by the gateway's pipeline: [`resolve()`] turns a name into a [`Target`]; a [`RoutePlan`] says
//! what to do next until there is an answer or nothing is left; [`explain()`] says what it would
//! do. Always true: no I/O, no clock, no randomness; equal arguments give equal decisions.

mod affinity;
mod controls;
mod expand;
mod explain;
mod filter;
mod home;
mod may_use;
mod needs;
mod resolve;
pub(crate) mod route_plan;
mod select;
mod strategy;
mod tags;
mod times;
pub mod windows;
mod worst_case;

pub use affinity::{Affinity, AffinitySettings, Keeps, NamedBy};
pub use controls::{ClientFallback, Controls, Overrides};
pub use expand::{Expanded, expand};
pub use explain::{Candidate, Explanation, GroupPlan, explain};
pub use filter::{Excluded, Exclusion, Fit, Selection, window};
pub use home::GroupAffinity;
pub use may_use::MayUse;
pub use needs::{Need, Needs};
pub use resolve::{Resolved, Target, find, nearest_names, resolve};
pub use route_plan::{
    AttemptPlan, Begins, GiveUp, MAX_ATTEMPTS, Next, Refused, Repeat, RoutePlan, Slot, Tried,
};
pub use select::{Choice, select};
pub use strategy::{ROWS as STRATEGIES, Strategy, StrategyArgs};
pub use tags::{TagRules, TagWish};
pub use times::{SetBy, Times, early_keepalive_ms, times};
pub use windows::AccessWindow;
pub use worst_case::{WorstCase, request_worst_case};
