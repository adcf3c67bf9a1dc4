//! The desk: looks at the process, keeps the book, and hands letters to the courier.
//!
//! Driven by [`super::task`]. Always true: what changed in the book is given to the store before anything is sent; a book that
//! the store has is read before anything new is told, if the store answers in time.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hale_core::incident::{AlertSettings, Book, Incident, Merge, Report, Tally, Watch};
use hale_core::snapshot::Snapshot;
use hale_core::time::Millis;
use hale_store::{IncidentRow, Status, Store, Stored};
use serde::{Deserialize, Serialize};

use super::courier::{Courier, Returned, Verdict};
use super::look::{self, InForce, Own};
use crate::events::{Event, ProbeFinding, Received, Reload, What};
use crate::state::Process;
use crate::{clock, said};

/// How long the first look waits for the store.
const RESTORE_MAX: Duration = Duration::from_secs(5);
/// The longest text that one replica tells the others, bytes: a quarter of what the fleet's messages may have.
const SAID_MAX: usize = 256 << 10;
/// How long nothing is told while the store does not say what is told already, milliseconds.
const HOLD_MS: u64 = 15_000;
/// Bytes of what a replica tells the others besides its book and what it sees.
const FRAME_MAX: usize = 256;
/// How long a replica that begins to keep the book takes over what the others have, milliseconds.
const HANDOVER_MS: u64 = 10_000;

/// What one replica tells the others.
#[derive(Serialize, Deserialize)]
struct Said {
    report: Report,
    /// The book as it has it, without most of its words where it is large; none where it is too large even so.
    book: Option<Book>,
    /// How long it has kept the book, milliseconds, if it does.
    keeps_ms: Option<u64>,
}

/// The desk.
pub(super) struct Desk {
    process: Arc<Process>,
    watch: Watch,
    own: Own,
    book: Book,
    began: Millis,
    /// Whether the incidents that the store has are in the book.
    is_restored: bool,
    /// Since when this replica keeps the book.
    keeps_since: Option<u64>,
    /// The book of the replica that keeps it, and for how long it has, milliseconds.
    kept: Option<(u64, Book)>,
    /// The books of the replicas that do not.
    offered: Vec<Book>,
    /// The subjects of which it knows nothing.
    asked: Vec<Box<str>>,
    /// How many troubles the others were not told for want of room.
    unnamed: u64,
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
            began: clock::now().millis(),
            is_restored: false,
            keeps_since: None,
            kept: None,
            offered: Vec::new(),
            asked: Vec::new(),
            unnamed: 0,
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

    /// Another config may be in force.
    fn in_force(&mut self) {
        self.count();
        let serving = self.process.serving();
        let alerts = &serving.snapshot.gateway.alerts;
        self.watch.reconfigured(&InForce(&serving.snapshot));
        self.own.reconfigured(&serving.snapshot);
        said::retain(|id| serving.snapshot.by_id.contains_key(id));
        self.book.retain_channels(|name| alerts.channel(name).is_some());
        self.process.alerts.channels.lock().retain(|name, _| alerts.channel(name).is_some());
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
            // Whatever it was, what is in force is read again.
            Received::Missed(_) => return self.in_force(),
        };
        match &event.what {
            What::Reload(Reload::Applied { .. }) => {
                self.own.reload_applied();
                self.in_force();
            }
            What::Reload(Reload::Refused { reason }) => {
                self.own.reload_refused(&self.process, reason);
            }
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
            let waits_for = clock::now().millis().since(self.began);
            // What is open already would be told again; what is new is told all the same, within its half a minute.
            if !self.is_restored && waits_for < HOLD_MS {
                return;
            }
        }
        let serving = self.process.serving();
        let snapshot = &serving.snapshot;
        let settings = &snapshot.gateway.alerts;
        let here = clock::now().millis();
        let sight = hale_core::incident::Sight {
            tally: self.tally(snapshot, here),
            down: look::down(snapshot, here),
            own: self.own.troubles(&self.process, here),
            asked: &self.asked,
        };
        let now = now();
        let report = self.watch.observe(now, sight, &InForce(snapshot), &settings.rules);
        let mut reports = Vec::new();
        self.unnamed = report.unnamed;
        let shared = snapshot.shared.redis.is_some() || self.process.remembers_on_a_server();
        if shared {
            reports = self.hear(here);
            self.say(&report, now);
        }
        reports.push(report);
        match !shared || self.process.alerts.shared.speaks(here) {
            true => self.observe(now, &reports, settings),
            false => self.follow(now),
        }
        self.show();
    }

    /// What became of requests since the last look, and of those that have no answer yet.
    fn tally(&mut self, snapshot: &Snapshot, here: Millis) -> Tally {
        let slow_ms = snapshot.gateway.alerts.rules.slow_ms;
        let mut tally = self.process.sinks.take_tally(slow_ms);
        self.own.attempts(snapshot, &mut tally);
        for (group, ms) in self.process.alerts.under_way.for_longer_than(slow_ms, here) {
            tally.hangs(&group, ms);
        }
        tally
    }

    /// What the other replicas see; notes their books.
    fn hear(&mut self, here: Millis) -> Vec<Report> {
        let mut reports = Vec::new();
        (self.kept, self.offered) = (None, Vec::new());
        for text in self.process.alerts.shared.heard(here) {
            let Ok(Said { report, book, keeps_ms }) = serde_json::from_str(&text) else {
                self.process.fleet.garbage.fetch_add(1, Ordering::Relaxed);
                continue;
            };
            reports.push(report);
            match (keeps_ms, book) {
                (Some(ms), Some(book)) => self.kept = Some((ms, book)),
                (None, Some(book)) => self.offered.push(book),
                (Some(_) | None, None) => {}
            }
        }
        reports
    }

    /// Tells the other replicas what is seen here, and what is in the book.
    fn say(&mut self, report: &Report, now: u64) {
        let keeps_ms = self.keeps_since.map(|since| now.saturating_sub(since));
        let bytes = |book: &Book| serde_json::to_string(book).map_or(usize::MAX, |text| text.len());
        // What is too long for the fleet's messages would take its other news with it.
        let fits = |book: &Book| bytes(book) <= SAID_MAX / 2;
        let whole = Some(self.book.clone()).filter(fits);
        let book = whole.or_else(|| Some(self.book.clone().slim()).filter(fits));
        let room = SAID_MAX - FRAME_MAX - book.as_ref().map_or(0, bytes);
        let report = report.clone().within(room);
        if report.unnamed > 0 && self.unnamed == 0 {
            let unnamed = report.unnamed;
            tracing::warn!(
                unnamed,
                "not all that is wrong here has room in what replicas tell each other"
            );
        }
        self.unnamed = report.unnamed;
        let said = serde_json::to_string(&Said { report, book, keeps_ms }).unwrap_or_default();
        self.process.alerts.shared.say(&said);
    }

    /// What is asked of every replica, and of this one if it could not name all that it sees.
    fn ask(&mut self) {
        let cut = (self.unnamed > 0).then(|| self.watch.replica());
        self.asked = self.book.unseen(cut);
    }

    /// Keeps the book, and sends what it tells.
    fn observe(&mut self, now: u64, reports: &[Report], settings: &AlertSettings) {
        let since = *self.keeps_since.get_or_insert(now);
        if now.saturating_sub(since) < HANDOVER_MS {
            for book in std::mem::take(&mut self.offered) {
                self.book.adopt(book.into_open());
            }
        }
        self.book.observe(now, reports, settings);
        self.ask();
        self.keep(now);
        for letter in self.book.due(now, |channel| self.courier.is_busy(channel)) {
            if let Some(channel) = settings.channel(&letter.to) {
                self.courier.send(letter, channel.clone());
            }
        }
    }

    /// Follows the book of the replica that keeps it, to go on with it.
    fn follow(&mut self, now: u64) {
        self.keeps_since = None;
        let Some((ms, book)) = self.kept.take() else { return };
        let merge = if ms < HANDOVER_MS { Merge::Keep } else { Merge::Drop };
        let changed = self.book.follow(book, merge);
        self.ask();
        let Some(store) = self.process.store() else { return };
        let serving = self.process.serving();
        let settings = &serving.snapshot.gateway.alerts;
        for incident in &changed {
            keep(store, incident, &incident.title(settings), now);
        }
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
