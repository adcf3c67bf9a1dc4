//! What is known about one deployment's health, and what that means for routing.
//!
//! Fed by the gateway with one outcome per attempt; read by [`crate::route`] for every candidate.
//! Always true: [`outcome::classify`] alone says what an answer means, and [`DeploymentState`] alone
//! says what follows for the deployment.

pub mod outcome;
mod state;

pub use state::{
    AttemptRef, BREAKER_CAP_MS, CONSECUTIVE_TRIP, DeploymentState, Failure, QUOTA_CAP_MS,
    RATE_LIMIT_CAP_MS, Rest, Surroundings, Transition, Verdict,
};
