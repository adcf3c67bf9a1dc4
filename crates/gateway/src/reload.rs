//! A changed config, put in force whole or not at all.
//!
//! Driven by the control thread: on SIGHUP, and when a file of the config changed. Always true: a
//! config with an error changes nothing; deployments keep their state by id; requests in flight keep
//! the config that they began with.
//!
//! Files are looked at once a second rather than watched: that also sees what a mounted config map
//! does (a swapped link), and needs no machinery of the operating system.

use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use hale_core::config::{self, Options, Severity};
use std::sync::atomic::Ordering;

use crate::cli::ServeOptions;
use crate::clock;
use crate::files::Files;
use crate::serve::{check_key, override_settings};
use crate::state::Process;

/// How far a file's date may lag behind the clock, milliseconds: the kernel stamps by its ticks.
const DATE_LAG_MS: u128 = 20;

/// What tells a changed file from an unchanged one.
type Stamp = Option<(SystemTime, u64)>;

/// Reloads one config.
pub(crate) struct Reloader {
    files: Files,
    root: String,
    watched: Vec<(String, Stamp)>,
    options: ServeOptions,
    /// Where the process listens.
    address: IpAddr,
}

impl Reloader {
    /// Watches the files that were read for `root` from `read_from_ms` on, milliseconds since 1970.
    pub(crate) fn new(
        files: Files,
        root: String,
        watched: Vec<String>,
        options: ServeOptions,
        address: IpAddr,
        read_from_ms: u64,
    ) -> Reloader {
        let watched = stamped(watched, read_from_ms);
        Reloader { files, root, watched, options, address }
    }

    /// Reloads when a watched file looks different from last time.
    pub(crate) fn reload_if_changed(&mut self, process: &Process) {
        let changed = self.watched.iter().any(|(path, known)| stamp(path) != *known);
        if changed {
            self.reload(process);
        }
    }

    /// Reads everything anew and puts it in force if it is valid.
    pub(crate) fn reload(&mut self, process: &Process) {
        let before = process.serving();
        let read_from_ms = clock::unix_ms();
        let options = Options { strict: self.options.strict };
        let loaded = config::load(&self.files, &self.root, options, Some(&before.snapshot));
        for problem in &loaded.problems {
            match problem.severity {
                Severity::Error => tracing::error!("{problem}"),
                Severity::Warning => tracing::warn!("{problem}"),
            }
        }
        // A broken file is not read again every second, but as soon as it changes once more.
        let mut files = loaded.files;
        files.extend(self.watched.drain(..).map(|(path, _)| path));
        files.sort_unstable();
        files.dedup();
        self.watched = stamped(files, read_from_ms);
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
        let (groups, deployments) = (snapshot.groups.len(), snapshot.deployments.len());
        process.apply(snapshot);
        metrics.reloads_applied.fetch_add(1, Ordering::Relaxed);
        tracing::info!(groups, deployments, "config reloaded");
    }
}

/// Stamps of files that were read from `read_from_ms` on. A file that changed since then, or so shortly
/// before that its date may lag, gets none: it counts as changed at the next look.
fn stamped(paths: impl IntoIterator<Item = String>, read_from_ms: u64) -> Vec<(String, Stamp)> {
    let settled = |stamp: &(SystemTime, u64)| {
        let modified = stamp.0.duration_since(UNIX_EPOCH).map_or(0, |age| age.as_millis());
        modified + DATE_LAG_MS < u128::from(read_from_ms)
    };
    let with_stamp = |path: String| {
        let stamp = stamp(&path).filter(settled);
        (path, stamp)
    };
    paths.into_iter().map(with_stamp).collect()
}

fn stamp(path: &str) -> Stamp {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}
