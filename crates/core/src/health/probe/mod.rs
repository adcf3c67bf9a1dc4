//! Active health checks: what is asked, what an answer proves, when the next one is due.
//!
//! Driven by the gateway's health thread with events and moments; [`super::DeploymentState`] holds what
//! came of them. Always true: no I/O, no clock, no randomness; evidence of real traffic outranks a check,
//! and a check never changes a rest that traffic caused.

mod budget;
mod finding;
mod limits;
mod pick;
mod record;
mod rules;
mod schedule;
mod status;

pub use budget::{Allowance, Ledger};
pub use finding::{Doubt, Finding, Refusal, judge, token_floor};
pub use limits::{ProbeLimits, RateLimitHolds};
pub use pick::{ProbeKind, kind, model, modes, unserved};
pub use record::{History, ProbeRecord};
pub use rules::{ProbeRules, ProbeSettings};
pub use schedule::{Ended, Schedule, Start, Subject};
pub use status::{ProbeResult, Status};
