//! The state of one deployment.

/// Health, load and counters of one deployment id; shared by all snapshots that contain it.
#[derive(Debug, Default)]
pub struct DeploymentState {}
