//! What is known about one deployment's health, and what that means for routing.
//!
//! Fed by the gateway with one outcome per attempt; read by [`crate::route`] for every candidate.
//! Always true: [`outcome::classify`] alone says what an answer means, and [`DeploymentState`] alone
//! says what follows for the deployment.

mod breaker;
pub mod check;
mod latency;
mod models;
pub mod outcome;
mod rate;
mod retry_budget;
mod spend;
mod state;
mod subjects;
mod trial;

pub use breaker::{
    BREAKER_CAP_MS, BREAKER_SHORT_MS, CONSECUTIVE_TRIP, QUOTA_CAP_MS, RATE_LIMIT_CAP_MS,
};
pub use latency::Measured;
pub use rate::{Claim, Full, Rates};
pub use retry_budget::RetryBudget;
pub use spend::{Period, Spend};
pub use state::{
    AttemptRef, DeploymentState, Failure, RAMP_MS, Report, Rest, Surroundings, Transition, Verdict,
};
pub use trial::{Permit, Trial};
