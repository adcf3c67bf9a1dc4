//! Probes all deployments in parallel, within bounds, until all have answered or an operator interrupts.
//!
//! Called by [`super::run`]. Always true: equal probes are sent once; each result is kept as it comes, so that
//! an interruption loses none.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hale_core::cause::Cause;
use hale_core::config::{Loaded, Problem};
use hale_core::deployment::DeploymentIndex;
use hale_core::health::probe::{Finding, ProbeResult};
use hale_core::snapshot::Snapshot;
use tokio::runtime::LocalOptions;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::progress::Progress;
use super::{Diagnosis, Report, verdict};
use crate::cli::DoctorOptions;
use crate::clock;
use crate::http::browser::Reach;
use crate::prober::{self, ProbeGroup, Spending, probe_groups};
use crate::sink::Sinks;
use crate::state::{Process, Serving};

/// Most probes in flight: few enough for the descriptors and for a slow resolver.
const AT_ONCE: usize = 64;
/// Default time limit of a probe, milliseconds: longer than a cold model needs, shorter than a person waits.
const PATIENCE_MS: u64 = 30_000;
/// How often the progress is redrawn.
const TICK: Duration = Duration::from_millis(500);

/// A probe's result, and the models that the provider lists if it lacks the configured one.
type Answer = (Arc<ProbeResult>, Arc<[Box<str>]>);
type Found = Vec<Option<Answer>>;

/// Probes all deployments of `snapshot`.
///
/// # Errors
/// The runtime cannot be built.
pub(super) fn all(
    options: &DoctorOptions,
    mut snapshot: Snapshot,
    loaded: &Loaded,
) -> std::io::Result<Report> {
    bound(&mut snapshot, options.timeout);
    let sinks = Sinks::none();
    let process = Arc::new(Process::new(snapshot, sinks, Reach::ThisMachine));
    let serving = process.serving();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())?;
    let probed = runtime.block_on(probe_all(&process, &serving));
    // Does not wait for a name that is still being resolved.
    runtime.shutdown_background();
    let (found, is_interrupted) = probed?;
    let unix_ms = clock::unix_ms();
    let found: Vec<Diagnosis> = serving
        .snapshot
        .deployments
        .iter()
        .zip(found)
        .map(|(deployment, answer)| {
            let (checked, models) = answer.unzip();
            let models = models.as_deref().unwrap_or_default();
            let verdict = verdict::of(deployment, checked.as_deref(), models, unix_ms);
            Diagnosis { index: deployment.index, verdict, checked }
        })
        .collect();
    let warnings = warnings(&serving.snapshot, loaded);
    Ok(Report { config: options.file.path().to_owned(), serving, found, warnings, is_interrupted })
}

/// Sets each deployment's time limit.
fn bound(snapshot: &mut Snapshot, timeout_ms: Option<u64>) {
    for deployment in &mut snapshot.deployments {
        // The snapshot is not shared yet.
        if let Some(deployment) = Arc::get_mut(deployment) {
            let own = deployment.probing.timeout_ms;
            deployment.probing.timeout_ms = timeout_ms.or(own).or(Some(PATIENCE_MS));
        }
    }
}

/// The warnings that no verdict repeats.
fn warnings(snapshot: &Snapshot, loaded: &Loaded) -> Vec<Problem> {
    let repeated = |problem: &Problem| {
        let mut reasons = snapshot.deployments.iter().filter_map(|one| one.misconfigured.as_ref());
        reasons.any(|why| why.problem == problem.problem && why.hint == problem.hint)
    };
    loaded.warnings().filter(|problem| !repeated(problem)).cloned().collect()
}

/// The deployments' results, and whether the run was interrupted.
async fn probe_all(
    process: &Arc<Process>,
    serving: &Arc<Serving>,
) -> std::io::Result<(Found, bool)> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let deployments = &serving.snapshot.deployments;
    let able =
        deployments.iter().filter(|one| one.misconfigured.is_none() && !one.routing.is_paused);
    let targets: Vec<DeploymentIndex> = able.map(|one| one.index).collect();
    let mut progress = Progress::new(deployments.len(), deployments.len() - targets.len());
    let mut found: Found = deployments.iter().map(|_| None).collect();
    let places = Rc::new(Semaphore::new(AT_ONCE));
    let mut tasks = JoinSet::new();
    for ProbeGroup { members, .. } in probe_groups(serving, &targets) {
        let (process, serving, places) = (process.clone(), serving.clone(), places.clone());
        tasks.spawn_local(async move {
            let first = *members.first()?;
            // The semaphore is never closed.
            let _place = places.acquire().await;
            let checked = prober::contained(&process, &serving, first, Spending::Allowed).await;
            let models = match checked.finding {
                Finding::Failing(Cause::NotFound) => {
                    prober::listed(&process, &serving, first).await
                }
                _ => Vec::new(),
            };
            Some((members, (Arc::new(checked), models.into())))
        });
    }
    let mut tick = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            // Results that have arrived come before an interruption.
            biased;
            done = tasks.join_next() => match done {
                None => return Ok((found, false)),
                Some(Ok(Some((members, answer)))) => {
                    progress.add(members.len());
                    for index in members {
                        if let Some(place) = found.get_mut(index.0 as usize) {
                            *place = Some(Answer::clone(&answer));
                        }
                    }
                }
                // A panic in a probe is a result of its own.
                Some(Ok(None) | Err(_)) => {}
            },
            _ = interrupt.recv() => return Ok((found, true)),
            _ = terminate.recv() => return Ok((found, true)),
            _ = tick.tick() => progress.draw(),
        }
    }
}
