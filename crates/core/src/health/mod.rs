//! What is known about one deployment's health, and what that means for routing.
//!
//! Fed by the gateway with one outcome per attempt; read by [`crate::route`] for every candidate.

pub mod outcome;
mod state;

pub use state::DeploymentState;
