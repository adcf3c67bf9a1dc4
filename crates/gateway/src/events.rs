//! What happened to a deployment, said once.
//!
//! Called by attempts, by the prober and by a reload.

use hale_core::health::check::{Change, Status};

/// Says once what changed. Every change of what checks and answers prove comes through here.
pub(crate) fn announce(deployment: &str, change: &Change) {
    let (from, to, source) = (change.from, change.to, change.source.name());
    let (cause, before) = (change.cause(), from.name());
    match (from, to) {
        (_, Status::Unhealthy(_)) => {
            tracing::warn!(deployment, cause, from = before, source, "deployment is unhealthy");
        }
        // Whoever has little traffic goes there and back all day.
        (Status::Unchecked, Status::Healthy) | (Status::Healthy, Status::Unchecked) => {
            tracing::debug!(
                deployment,
                cause,
                from = before,
                source,
                "deployment is {}",
                to.name()
            );
        }
        (_, Status::Healthy | Status::RateLimited | Status::Unchecked | Status::Unknown(_)) => {
            tracing::info!(deployment, cause, from = before, source, "deployment is {}", to.name());
        }
    }
}
