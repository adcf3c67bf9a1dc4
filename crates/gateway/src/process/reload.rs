//! A changed config, put in force whole or not at all.
//!
//! Driven by the control thread: on SIGHUP, and when a file of the config changed. Always true: a
//! config with an error changes nothing; deployments keep their state by id; requests in flight keep
//! the config that they began with.
//!
//! Files are read once a second rather than watched: that also sees what a mounted config map does (a
//! swapped link), and needs no machinery of the operating system. A file rewritten as it was is no change.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hale_core::config::{self, Options, Severity};
use hale_core::snapshot::Snapshot;

use super::address::check_key;
use super::options::{ServeOptions, override_settings};
use crate::files::Files;
use crate::state::Process;
use crate::{clock, events, panics};

/// Reloads one config.
pub(crate) struct Reloader {
    files: Files,
    root: String,
    watched: Vec<String>,
    options: ServeOptions,
    /// Where the process listens.
    address: IpAddr,
}

impl Reloader {
    /// Watches the files that were read for `root`.
    pub(crate) fn new(
        files: Files,
        root: String,
        watched: Vec<String>,
        options: ServeOptions,
        address: IpAddr,
    ) -> Reloader {
        Reloader { files, root, watched, options, address }
    }

    /// Reloads when a watched file holds something else than last time.
    pub(crate) fn reload_if_changed(&mut self, process: &Process) {
        if self.watched.iter().any(|path| self.files.changed(path)) {
            self.reload(process);
        }
    }

    /// Reads everything anew and puts it in force if it is valid.
    pub(crate) fn reload(&mut self, process: &Process) {
        let before = process.serving();
        let options = Options { strict: self.options.strict };
        let load = || config::load(&self.files, &self.root, options, Some(&before.snapshot));
        let Some(loaded) = panics::contained(&process.metrics, "reading the changed config", load)
        else {
            process.metrics.reloads_refused.fetch_add(1, Ordering::Relaxed);
            tracing::error!("the changed config could not be read; the one in force stays");
            return;
        };
        for problem in &loaded.problems {
            match problem.severity {
                Severity::Error => tracing::error!("{problem}"),
                Severity::Warning => tracing::warn!("{problem}"),
            }
        }
        let mut files = loaded.files;
        if loaded.snapshot.is_none() {
            // A root file that no longer parses names no includes; those known stay watched.
            files.append(&mut self.watched);
            files.sort_unstable();
            files.dedup();
        }
        self.watched = files;
        let metrics = &process.metrics;
        let Some(mut snapshot) = loaded.snapshot else {
            metrics.reloads_refused.fetch_add(1, Ordering::Relaxed);
            tracing::error!("the changed config has errors; the one in force stays");
            return;
        };
        override_settings(&mut snapshot, &self.options);
        if let Err(problem) = check_key(&snapshot.gateway, self.address) {
            metrics.reloads_refused.fetch_add(1, Ordering::Relaxed);
            tracing::error!("{problem}; the config in force stays");
            return;
        }
        if snapshot.gateway.request_log != before.snapshot.gateway.request_log {
            tracing::warn!("a changed request_log takes effect at the next start");
        }
        let (groups, deployments) = (snapshot.listed_groups().count(), snapshot.deployments.len());
        hand_over(&before.snapshot, &snapshot);
        process.apply(snapshot);
        metrics.reloads_applied.fetch_add(1, Ordering::Relaxed);
        tracing::info!(groups, deployments, "config reloaded");
    }
}

/// Tells what became void because another upstream, credential or model has the id of one that was known.
fn hand_over(before: &Snapshot, now: &Snapshot) {
    let at = clock::now().millis();
    for deployment in &now.deployments {
        let known = before.by_id.get(&deployment.id).map(|index| before.deployment(*index));
        let Some(known) = known else { continue };
        if !Arc::ptr_eq(&known.state, &deployment.state)
            && let Some(change) = deployment.state.take_over(&known.state, at)
        {
            events::announce(&deployment.id, &change);
        }
    }
}
