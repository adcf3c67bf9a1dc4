//! The desk: looks at the process, keeps the book, and hands letters to the courier.
//!
//! Driven by [`super::task`]. Always true: what changed in the book is given to the store before anything is sent; a book that
//! the store has is read before anything new is told, if the store answers in time.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hale_core::incident::{Book, Incident, Watch};
use hale_store::{IncidentRow, Status, Store, Stored};

use super::courier::{Courier, Returned, Verdict};
use super::look::{self, InForce, Own};
use crate::clock;
use crate::events::{Event, ProbeFinding, Received, Reload, What};
use crate::state::Process;

/// How long the first look waits for the store.
const RESTORE_MAX: Duration = Duration::from_secs(5);

/// The desk.
pub(super) struct Desk {
    process: Arc<Process>,
    watch: Watch,
    own: Own,
    book: Book,
    /// Whether the incidents that the store has are in the book.
    is_restored: bool,
    pub(super) courier: Courier,
}

/// Milliseconds since 1970, by a clock that does not jump while the process runs.
fn now() -> u64 {
    clock::started_unix_ms().saturating_add(clock::now().millis().0)
}

impl Desk {
    /// A desk with an empty book.
    pub(super) fn new(process: Arc<Process>) -> Desk {
        let replica = format!("{:x}-{:06x}", clock::unix_ms(), fastrand::u32(..1 << 24));
        Desk {
            process,
            watch: Watch::new(&replica),
            own: Own::default(),
            book: Book::default(),
            is_restored: false,
            courier: Courier::default(),
        }
    }

    /// Waits for the store, and reads what it has.
    pub(super) async fn open(&mut self) {
        if let Some(store) = self.process.store().cloned() {
            store.opened(RESTORE_MAX).await;
        }
        self.restore().await;
        self.count();
    }

    /// Has requests counted, if there is anyone to tell.
    fn count(&self) {
        if !self.process.serving().snapshot.gateway.alerts.channels.is_empty() {
            self.process.sinks.tally();
        }
    }

    /// Reads the incidents that the store has, once it answers.
    async fn restore(&mut self) {
        let Some(store) = self.process.store() else {
            self.is_restored = true;
            return;
        };
        match store.status() {
            Status::Connected => {}
            Status::NoPlace => {
                self.is_restored = true;
                return;
            }
            Status::Opening | Status::Disconnected(_) => return,
        }
        match store.open_incidents().await {
            Ok(rows) => {
                let read = |row: &IncidentRow| serde_json::from_str::<Incident>(&row.state).ok();
                let incidents: Vec<Incident> = rows.iter().filter_map(read).collect();
                if incidents.len() < rows.len() {
                    let unread = rows.len() - incidents.len();
                    tracing::warn!(unread, "incidents of another version cannot be read");
                }
                self.book.adopt(incidents);
                self.is_restored = true;
            }
            Err(error) => tracing::debug!(%error, "open incidents could not be read"),
        }
    }

    /// Something happened.
    pub(super) fn heard(&mut self, received: &Received) {
        let event: &Event = match received {
            Received::Event(event) => event,
            Received::Missed(_) => return,
        };
        match &event.what {
            What::Reload(Reload::Applied { .. }) => {
                self.own.reloaded(None);
                self.count();
                let serving = self.process.serving();
                let alerts = &serving.snapshot.gateway.alerts;
                self.book.retain_channels(|name| alerts.channel(name).is_some());
                self.process
                    .alerts
                    .channels
                    .lock()
                    .retain(|name, _| alerts.channel(name).is_some());
            }
            What::Reload(Reload::Refused { reason }) => self.own.reloaded(Some(reason)),
            What::Budget(budget) if budget.of == "probes" => {
                self.own.probes_spent(&budget.name, clock::now().millis());
            }
            What::Probe { deployment, finding: ProbeFinding::Healthy, .. } => {
                self.watch.probed_healthy(deployment);
            }
            What::Probe { .. }
            | What::Budget(_)
            | What::Health { .. }
            | What::Operator { .. }
            | What::Shutdown(_) => {}
        }
    }

    /// Looks at the process, and tells what is to be told.
    pub(super) async fn look(&mut self) {
        if !self.is_restored {
            self.restore().await;
        }
        let serving = self.process.serving();
        let snapshot = &serving.snapshot;
        let settings = &snapshot.gateway.alerts;
        let here = clock::now().millis();
        let asked = self.book.unseen();
        let sight = hale_core::incident::Sight {
            tally: self.process.sinks.take_tally(settings.rules.slow_ms),
            down: look::down(snapshot, here),
            own: self.own.troubles(&self.process, here),
            asked: &asked,
        };
        let now = now();
        let report = self.watch.observe(now, sight, &InForce(snapshot), &settings.rules);
        self.book.observe(now, &[report], settings);
        self.keep(now);
        for letter in self.book.due(now, |channel| self.courier.is_busy(channel)) {
            if let Some(channel) = settings.channel(&letter.to) {
                self.courier.send(letter, channel.clone());
            }
        }
        self.show();
    }

    /// A letter came back.
    pub(super) fn returned(&mut self, returned: Returned) {
        let now = now();
        match returned.judge(&self.process.alerts) {
            Verdict::Taken(number) => self.book.delivered(number, now),
            Verdict::Again(number, pause_ms) => {
                self.book.failed(number, now.saturating_add(pause_ms));
            }
        }
        self.keep(now);
        self.show();
    }

    /// Gives what changed to the store.
    fn keep(&self, now: u64) {
        let Some(store) = self.process.store() else { return };
        let serving = self.process.serving();
        let settings = &serving.snapshot.gateway.alerts;
        for incident in self.book.changed(now) {
            keep(store, incident, &incident.title(settings), now);
        }
    }

    fn show(&self) {
        let alerts = &self.process.alerts;
        alerts.incidents.store(Arc::new(self.book.incidents().to_vec()));
        alerts.waiting.store(self.book.waiting() as u64, Ordering::Relaxed);
        alerts.dropped.store(self.book.dropped, Ordering::Relaxed);
    }
}

fn keep(store: &Store, incident: &Incident, title: &str, now: u64) {
    let Ok(state) = serde_json::to_string(incident) else { return };
    store.put(&Stored::Incident(IncidentRow {
        id: incident.id.clone(),
        kind: incident.kind.name().into(),
        stage: incident.stage_name().into(),
        title: title.into(),
        opened_at: incident.opened,
        ended_at: incident.ended,
        requests: incident.effect().total(),
        state: state.into(),
        updated_at: now,
    }));
}
