//! Sinks that are other servers: each has a queue of its own and a task that empties it.
//!
//! Held by [`super::Sinks`], which gives them records on a thread that may wait; their tasks run on the background thread. Always
//! true: a queue is bounded in bytes, in memory and on the disk, and what does not fit is counted; no sink waits for another; a
//! reload keeps the queue of a sink that is configured as before.

mod exporter;
mod figures;
mod form;
mod json;
mod queue;
mod spool;
mod told;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use hale_core::record::RequestRecord;
use hale_core::settings::SinkSettings;

pub(crate) use self::exporter::Exporter;
pub(crate) use self::figures::Figures;
pub(crate) use self::form::otlp;
pub(super) use self::json::push_raw;
pub(crate) use self::told::Shows;
pub(super) use self::told::Told;
use crate::background::Background;

/// How long records on their way may take to come back, at the end.
const BACK_MAX: Duration = Duration::from_millis(200);
/// How often the end looks whether the queues are empty.
const LOOK: Duration = Duration::from_millis(20);

/// The sinks that are other servers.
#[derive(Default)]
pub(crate) struct Exports {
    list: ArcSwap<Vec<Arc<Exporter>>>,
    runs_on: OnceLock<Background>,
    /// Where what does not fit into memory waits.
    directory: OnceLock<PathBuf>,
}

impl Exports {
    /// Says what empties the queues, and where what does not fit into memory waits. Before the first sink.
    pub(crate) fn start(&self, background: &Background, directory: Option<PathBuf>) {
        if let Some(directory) = directory {
            let _set: Result<(), _> = self.directory.set(directory);
        }
        let _set: Result<(), _> = self.runs_on.set(background.clone());
    }

    /// Changes to other sinks. One that is configured as before goes on.
    pub(crate) fn configure(&self, settings: &SinkSettings) {
        let before = self.list.load_full();
        let known = |sink| before.iter().find(|exporter| exporter.is_as(sink, settings)).cloned();
        let list: Vec<Arc<Exporter>> = settings
            .sinks
            .iter()
            .map(|sink| {
                known(sink).unwrap_or_else(|| {
                    let exporter = Arc::new(Exporter::new(sink, settings, self.directory.get()));
                    self.run(&exporter);
                    exporter
                })
            })
            .collect();
        let stays = |one: &&Arc<Exporter>| list.iter().any(|other| Arc::ptr_eq(one, other));
        before.iter().filter(|one| !stays(one)).for_each(|gone| gone.close());
        self.list.store(Arc::new(list));
    }

    fn run(&self, exporter: &Arc<Exporter>) {
        let Some(background) = self.runs_on.get() else { return };
        let (exporter, inner) = (exporter.clone(), background.clone());
        background.supervise_here("a sink", move || exporter.clone().run(inner.clone()));
    }

    /// Whether there is any.
    pub(super) fn any(&self) -> bool {
        !self.list.load().is_empty()
    }

    /// Gives each what it wants of `batch`. May wait for the disk.
    pub(super) fn take(&self, batch: &[RequestRecord]) {
        for exporter in self.list.load().iter() {
            exporter.take(batch);
        }
    }

    /// What became of records, by sink.
    pub(crate) fn figures(&self) -> Vec<(Box<str>, Figures)> {
        self.list.load().iter().map(|one| (one.name().into(), one.figures())).collect()
    }

    /// The sink of that name.
    pub(crate) fn named(&self, name: &str) -> Option<Arc<Exporter>> {
        self.list.load().iter().find(|exporter| exporter.name() == name).cloned()
    }

    /// The sink that gets metrics.
    pub(crate) fn of_metrics(&self) -> Option<Arc<Exporter>> {
        self.list.load().iter().find(|exporter| exporter.of_metrics().is_some()).cloned()
    }

    /// Sends what waits, within `limit`; what is left then goes to the disk, or is counted as lost.
    pub(crate) async fn finish(&self, limit: Duration) {
        let list = self.list.load_full();
        list.iter().for_each(|exporter| exporter.hurry());
        let empty = async {
            while list.iter().any(|exporter| exporter.has_work()) {
                tokio::time::sleep(LOOK).await;
            }
        };
        let _late: Result<(), _> = tokio::time::timeout(limit, empty).await;
        // What is on its way comes back, else it would be lost.
        list.iter().for_each(|exporter| exporter.give_up());
        let back = async {
            while list.iter().any(|exporter| exporter.is_sending()) {
                tokio::time::sleep(LOOK).await;
            }
        };
        let _late: Result<(), _> = tokio::time::timeout(BACK_MAX, back).await;
        list.iter().for_each(|exporter| exporter.put_away());
    }
}
