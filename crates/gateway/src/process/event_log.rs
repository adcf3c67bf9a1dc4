//! The log as a subscriber of the bus: one line for each event that a person reads.
//!
//! Runs on the background thread, from before the first worker starts until the last event of the process.
//! Always true: lines are in the order of the events; when events were missed, the log says how many, and
//! which deployments are not healthy now.

use hale_core::health::Verdict;
use hale_core::health::check::Status;

use crate::clock;
use crate::events::{Event, HealthChange, Received, Reload, Shutdown, Subscriber, What};
use crate::state::Process;

/// Writes lines until the process has stopped.
pub(super) async fn run(mut events: Subscriber, process: std::sync::Arc<Process>) {
    loop {
        match events.next().await {
            Received::Event(event) => {
                write(&event);
                if matches!(event.what, What::Shutdown(Shutdown::Stopped)) {
                    return;
                }
            }
            Received::Missed(missed) => resynchronize(missed, &process),
        }
    }
}

fn write(event: &Event) {
    match &event.what {
        What::Health { deployment, change } => health(deployment, *change, event.unix_ms),
        What::Operator { deployment, action } => {
            let deployment = &**deployment;
            tracing::warn!(deployment, hand = ?action, "an operator acted on a deployment");
        }
        What::Reload(Reload::Applied { groups, deployments }) => {
            tracing::info!(groups, deployments, "config reloaded");
        }
        What::Reload(Reload::Refused { reason }) => tracing::error!("{reason}"),
        What::Shutdown(phase) => shutdown(*phase),
        // Each has its figures on pages; a line for each would be a flood.
        What::Probe { .. } | What::Budget(_) => {}
    }
}

fn health(deployment: &str, change: HealthChange, unix_ms: u64) {
    match change {
        HealthChange::CooldownBegan { cause, until_unix_ms, provider_issued } => {
            let rest_ms = until_unix_ms.saturating_sub(unix_ms);
            tracing::warn!(deployment, cause, rest_ms, provider_issued, "deployment rests");
        }
        HealthChange::CooldownEnded => tracing::info!(deployment, "deployment is back"),
        HealthChange::Status { from, to, cause, source } => {
            let (from_name, name) = (from.name(), to.name());
            match (from, to) {
                (_, Status::Unhealthy(_)) => {
                    tracing::warn!(
                        deployment,
                        cause,
                        from = from_name,
                        source,
                        "deployment is {name}"
                    );
                }
                // A deployment with little traffic goes there and back all day.
                (Status::Unchecked, Status::Healthy) | (Status::Healthy, Status::Unchecked) => {
                    tracing::debug!(
                        deployment,
                        cause,
                        from = from_name,
                        source,
                        "deployment is {name}"
                    );
                }
                (
                    _,
                    Status::Healthy | Status::RateLimited | Status::Unchecked | Status::Unknown(_),
                ) => {
                    tracing::info!(
                        deployment,
                        cause,
                        from = from_name,
                        source,
                        "deployment is {name}"
                    );
                }
            }
        }
    }
}

fn shutdown(phase: Shutdown) {
    match phase {
        Shutdown::Draining { drain_delay_ms } => tracing::info!(drain_delay_ms, "draining"),
        Shutdown::Cut => {
            tracing::warn!("requests were still in flight after shutdown_timeout; they are cut");
        }
        Shutdown::Hurried => tracing::warn!("second signal: stopping at once"),
        Shutdown::Stopped => tracing::info!("stopped"),
    }
}

/// Says what is known now in place of the lines that are missing.
fn resynchronize(missed: u64, process: &Process) {
    tracing::warn!(
        missed,
        "events were dropped: lines are missing here; unhealthy deployments follow"
    );
    let serving = process.serving();
    let now = clock::now().millis();
    for one in &serving.snapshot.deployments {
        let deployment = &*one.id;
        match one.verdict(now) {
            Verdict::Cooling(rest) => {
                let (cause, rest_ms) = (rest.cause.name(), rest.until.since(now));
                tracing::warn!(deployment, cause, rest_ms, "deployment is in cooldown");
            }
            Verdict::Ready | Verdict::Trial(_) => {}
        }
        if let (Status::Unhealthy(cause), _) = one.state.checks().standing() {
            tracing::warn!(deployment, cause = cause.name(), "deployment is still unhealthy");
        }
    }
}
