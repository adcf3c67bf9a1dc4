//! Chooses deployments.
