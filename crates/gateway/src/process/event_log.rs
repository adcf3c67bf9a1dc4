//! The log as a subscriber of the bus: one line for each event that a person reads.
//!
//! Runs on the background thread, from before the first worker starts until the last event of the process.
//! Always true: lines are in the order of the events; when events were missed, the log says how many, and
//! which deployments are not healthy now.

use hale_core::health::probe::Status;
use hale_core::health::{HealthEvent, HealthPart, HealthSubject, Source, Standing, Verdict};
use hale_core::snapshot::Snapshot;
use hale_core::time::UnixMs;

use crate::clock;
use crate::events::{Event, Received, Reload, Shutdown, Subscriber, What};
use crate::state::Process;

/// Writes lines until the process has stopped.
pub(super) async fn run(mut events: Subscriber, process: std::sync::Arc<Process>) {
    loop {
        match events.next().await {
            Received::Event(event) => {
                write(&event, &process.serving().snapshot);
                if matches!(event.what, What::Shutdown(Shutdown::Stopped)) {
                    return;
                }
            }
            Received::Missed(missed) => resynchronize(missed, &process),
        }
    }
}

fn write(event: &Event, snapshot: &Snapshot) {
    match &event.what {
        What::Health { change, seen_at } => health(change, seen_at.as_deref(), snapshot),
        What::Operator { deployment, action } => {
            let Named { deployment, .. } = Named::of(deployment, snapshot);
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

/// A deployment as people call it.
#[derive(Clone, Copy)]
struct Named<'n> {
    /// Its name; its id if no config has it any more.
    deployment: &'n str,
    model_group: Option<&'n str>,
}

impl<'n> Named<'n> {
    /// The deployment with that id.
    fn of(id: &'n str, snapshot: &'n Snapshot) -> Named<'n> {
        let Some(index) = snapshot.by_id.get(id) else {
            return Named { deployment: id, model_group: None };
        };
        let deployment = snapshot.deployment(*index);
        let group = &snapshot.group(deployment.group).name;
        Named { deployment: &deployment.display.name, model_group: Some(group) }
    }
}

fn health(event: &HealthEvent<UnixMs>, seen_at: Option<&str>, snapshot: &Snapshot) {
    let deployment = match (&event.subject, seen_at) {
        (HealthSubject::Deployment(id), _) => &**id,
        (HealthSubject::Credential(_), Some(id)) => id,
        // A line about the deployment says it.
        (HealthSubject::Credential(_), None) => return,
    };
    let deployment = Named::of(deployment, snapshot);
    match (&event.part, event.source) {
        // What an operator does has a line of its own.
        (_, Source::Operator) => {}
        (HealthPart::Breaker, Source::Traffic | Source::Fleet) => breaker(deployment, event),
        (HealthPart::Probes, _) => probes(deployment, event),
        (HealthPart::Breaker, Source::Probe | Source::Time | Source::Config)
        | (HealthPart::Switch | HealthPart::Model { .. }, _) => {}
    }
}

fn breaker(named: Named<'_>, event: &HealthEvent<UnixMs>) {
    let Named { deployment, model_group } = named;
    if let Some(until) = event.until {
        let (cause, provider_issued) = (event.cause, event.provider_issued);
        let rest_ms = until.0.saturating_sub(event.at.0);
        let source = event.source.name();
        tracing::warn!(
            deployment,
            cause,
            rest_ms,
            provider_issued,
            source,
            model_group,
            "deployment is in cooldown"
        );
    } else if event.is_recovery() {
        tracing::info!(deployment, model_group, "deployment is back");
    }
}

fn probes(named: Named<'_>, event: &HealthEvent<UnixMs>) {
    let Named { deployment, model_group } = named;
    let (cause, source) = (event.cause, event.source.name());
    let (from, name) = (event.from.name(), event.to.name());
    match (event.from, event.to) {
        (_, Standing::Probed(Status::Unhealthy(_))) => {
            tracing::warn!(deployment, cause, from, source, model_group, "deployment is {name}");
        }
        // A deployment with little traffic changes state many times a day.
        (Standing::Probed(Status::Unprobed), Standing::Probed(Status::Healthy))
        | (Standing::Probed(Status::Healthy), Standing::Probed(Status::Unprobed)) => {
            tracing::debug!(deployment, cause, from, source, model_group, "deployment is {name}");
        }
        (_, Standing::Probed(_)) => {
            tracing::info!(deployment, cause, from, source, model_group, "deployment is {name}");
        }
        (_, Standing::Ready | Standing::Cooldown | Standing::Enabled | Standing::Disabled) => {}
    }
}

fn shutdown(phase: Shutdown) {
    match phase {
        Shutdown::Draining { drain_delay_ms } => {
            tracing::info!(drain_delay_ms, "draining; a second signal stops at once");
        }
        Shutdown::Cut => {
            tracing::warn!("requests were still in flight after shutdown_timeout; they are cut");
        }
        Shutdown::Hurried => tracing::warn!("second signal: stopping at once"),
        Shutdown::Stopped => tracing::info!("stopped"),
    }
}

/// Logs the current state, because lines were lost.
fn resynchronize(missed: u64, process: &Process) {
    tracing::warn!(
        missed,
        "events were dropped: lines are missing here; unhealthy deployments follow"
    );
    let serving = process.serving();
    let now = clock::now().millis();
    for one in &serving.snapshot.deployments {
        let deployment = &*one.display.name;
        match one.verdict(now) {
            Verdict::Cooling(cooldown) => {
                let (cause, rest_ms) = (cooldown.cause.name(), cooldown.until.since(now));
                tracing::warn!(deployment, cause, rest_ms, "deployment is in cooldown");
            }
            Verdict::Ready | Verdict::Reopening | Verdict::HalfOpen(_) => {}
        }
        if let (Status::Unhealthy(cause), _) = one.state.probes().standing() {
            tracing::warn!(deployment, cause = cause.name(), "deployment is still unhealthy");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::Arc;

    use hale_core::cause::Cause;
    use hale_core::config::{InMemory, Options, load};
    use hale_core::health::probe::{Finding, ProbeResult};
    use hale_core::health::{Evidence, FailureCount};
    use parking_lot::Mutex;

    use super::*;
    use crate::http::browser::Reach;
    use crate::sink::Sinks;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(text);
            Ok(text.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn missed_events_are_told_with_the_deployments_that_are_unhealthy_now() {
        let yaml = "model_list:\n\
                    - {model_name: m, litellm_params: {model: openai/x, api_key: k}, model_info: {id: bad}}\n\
                    - {model_name: m, litellm_params: {model: openai/y, api_key: k}, model_info: {id: good}}\n";
        let loaded = load(&InMemory::file("c.yaml", yaml), "c.yaml", Options::default(), None);
        let process = Process::new(loaded.snapshot.unwrap(), Sinks::none(), Reach::ThisMachine);
        let now = clock::now().millis();
        let probe = Arc::new(ProbeResult {
            started: now,
            ended: now,
            finding: Finding::Failing(Cause::Auth),
            cause: Some(Cause::Auth),
            status: Some(401),
            obstacle: None,
            message: Box::default(),
            model: Box::default(),
            headers: Vec::new(),
        });
        let evidence = Evidence::Probed { probe: &probe, failures: FailureCount::AtOnce };
        process.serving().snapshot.deployments[0].apply(now, &evidence);
        let written = Written::default();
        let to = written.clone();
        let log = tracing_subscriber::fmt().with_ansi(false).with_writer(move || to.clone());
        tracing::subscriber::with_default(log.finish(), || resynchronize(7, &process));
        let text = String::from_utf8(written.0.lock().clone()).unwrap();
        assert!(text.contains("events were dropped") && text.contains("missed=7"), "{text}");
        assert!(text.contains("still unhealthy deployment=\"bad\" cause=\"auth\""), "{text}");
        assert!(!text.contains("good"), "{text}");
    }
}
