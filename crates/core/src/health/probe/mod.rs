//! Active health checks: what is sent, what an answer proves, when the next probe is due.
//!
//! Driven by the gateway's health thread; [`super::DeploymentState`] holds the results. Always
//! true: no I/O, no clock, no randomness; evidence of traffic outranks a probe, and a probe never
//! changes a cooldown that traffic caused.

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
pub use limits::{ProbeLeases, ProbeLimits, RateLimitHolds};
pub use pick::{ProbeKind, kind, model, modes, unserved};
pub use record::{History, ProbeRecord};
pub use rules::{ProbeRules, ProbeSettings};
pub use schedule::{Ended, Schedule, Start, Subject};
pub use status::{ProbeResult, Status};
