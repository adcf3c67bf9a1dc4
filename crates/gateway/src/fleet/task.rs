//! The fleet task: one loop that tells the other replicas what is new here, and applies what they say.
//!
//! Started by [`crate::process`] on the background thread. Always true: news are told within
//! [`SOON`], everything once a second; a message that cannot be read changes nothing and is counted.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hale_core::fleet::{Changes, Fleet, Message, Mode, ServerClock, ServerMs, Want};
use hale_core::health::OperatorAction;
use hale_core::snapshot::Snapshot;
use hale_core::time::Millis;
use tokio::sync::mpsc;

use super::carrier::{Carrier, Source};
use super::probes::{Presence, Probes};
use super::terms::{News, Topic};
use crate::clock;
use crate::events::{self, Received, Reload, Shutdown, Subscriber, What};
use crate::state::Process;
use crate::state::fleet::{Sharing, Status};

/// How often everything is told and heard.
const TICK_MS: u64 = 1_000;
/// How long news wait for others to go with them.
const SOON: Duration = Duration::from_millis(20);
/// How long the replica that tells people may be silent before another one does, milliseconds.
const SPEAKER_MS: u64 = 5_000;
/// The name of its lease among those of deployments.
const SPEAKER: &str = "(tells people)";
/// Messages that may wait to be read.
const HEARD_MAX: usize = 1_024;

/// Shares for as long as the process runs.
pub(crate) async fn run(process: Arc<Process>) {
    let mut events = events::subscribe();
    let me = pod_id();
    loop {
        let source = Source::of(&process);
        process.fleet.redis.store(None);
        let carrier = source.as_ref().and_then(|source| Carrier::new(source, &process, &me));
        let (Some(source), Some(carrier)) = (source, carrier) else {
            let pod_id = me.clone();
            process.fleet.status.store(Arc::new(Status { pod_id, ..Status::default() }));
            process.health.limits.lock().leases.hold(None);
            undivide(&process.serving().snapshot);
            until_reloaded(&mut events).await;
            continue;
        };
        let (heard, messages) = mpsc::channel(HEARD_MAX);
        let one = Replica {
            process: process.clone(),
            source,
            carrier: carrier.clone(),
            fleet: Fleet::new(me.clone()).counting_from(clock::unix_ms()),
            clock: None,
            // Until the first exchange nothing is shared.
            lost: Some(clock::now().millis()),
            leaves: false,
            listens: false,
            probes: Probes::default(),
        };
        one.show();
        tokio::select! {
            () = carrier.run(&heard) => {}
            () = one.run(&mut events, messages) => {}
        }
    }
}

/// An id that no replica had before: the machine's name and a random part.
fn pod_id() -> Arc<str> {
    let name = rustix::system::uname();
    let host = name.nodename().to_str().unwrap_or("hale").to_owned();
    let host: String = host.chars().take(128).collect();
    format!("{host}-{:08x}", fastrand::u32(..)).into()
}

/// Every limit is this process's alone again.
fn undivide(snapshot: &Snapshot) {
    use hale_core::health::RateLimit::{Requests, Tokens};
    for deployment in &snapshot.deployments {
        for of in [Requests, Tokens] {
            deployment.state.rates().set_share(of, None);
        }
    }
    snapshot.budgets.all.iter().for_each(|budget| budget.spend.set_share(None));
}

async fn until_reloaded(events: &mut Subscriber) {
    loop {
        match events.next().await {
            Received::Event(event) => match event.what {
                What::Reload(Reload::Applied { .. }) => return,
                What::Health { .. }
                | What::Probe { .. }
                | What::Reload(Reload::Refused { .. })
                | What::Budget(_)
                | What::Operator { .. }
                | What::Shutdown(_) => {}
            },
            Received::Missed(_) => return,
        }
    }
}

/// This replica, for as long as the server between the replicas stays the same.
struct Replica {
    process: Arc<Process>,
    source: Source,
    carrier: Arc<Carrier>,
    fleet: Fleet,
    /// The server's time, as of the last exchange.
    clock: Option<ServerClock>,
    /// Since when the server is not reached.
    lost: Option<Millis>,
    /// Whether the process ends.
    leaves: bool,
    /// Whether another replica said more than its news could carry.
    listens: bool,
    /// The probes that replicas share.
    probes: Probes,
}

/// Why the others are told something now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    /// A second has passed: everything is told.
    Tick,
    /// Something may be new.
    News,
}

/// What made the loop go on.
enum Woken {
    Tick,
    Event(Received),
    Heard(News),
}

impl Replica {
    async fn run(mut self, events: &mut Subscriber, mut messages: mpsc::Receiver<News>) {
        let mut tick = clock::now().millis();
        let mut news_due: Option<Millis> = None;
        loop {
            let next = news_due.map_or(tick, |due| due.min(tick));
            let woken = tokio::select! {
                biased;
                () = tokio::time::sleep_until(clock::timer_instant(next)) => Woken::Tick,
                event = events.next() => Woken::Event(event),
                Some(heard) = messages.recv() => Woken::Heard(heard),
            };
            let now = clock::now().millis();
            let soon = now.plus(u64::try_from(SOON.as_millis()).unwrap_or(0));
            match woken {
                Woken::Event(Received::Missed(_)) => news_due = Some(news_due.unwrap_or(soon)),
                Woken::Event(Received::Event(event)) => match &event.what {
                    What::Reload(Reload::Applied { .. }) if !self.is_current() => return,
                    What::Operator { deployment, action: OperatorAction::Reset } => {
                        let snapshot = &self.process.serving().snapshot;
                        self.fleet.cleared(deployment, snapshot, self.time());
                        news_due = Some(news_due.unwrap_or(soon));
                    }
                    What::Shutdown(Shutdown::Draining { .. }) => {
                        self.leaves = true;
                        news_due = Some(now);
                    }
                    What::Health { .. } => news_due = Some(news_due.unwrap_or(soon)),
                    What::Probe { deployment, .. } => self.probed(deployment).await,
                    What::Reload(_)
                    | What::Budget(_)
                    | What::Operator { .. }
                    | What::Shutdown(_) => {}
                },
                Woken::Heard(News { topic: Topic::Evidence, text }) if text.is_empty() => {
                    self.listens = true;
                    news_due = Some(news_due.unwrap_or(soon));
                }
                Woken::Heard(News { topic: Topic::Evidence, text }) => self.hear(&text),
                // It is read with the leases.
                Woken::Heard(News { topic: Topic::Probe, text }) if text.is_empty() => {}
                Woken::Heard(News { topic: Topic::Probe, text }) => {
                    let clock = self.time();
                    self.probes.hear(&self.process, &text, clock);
                }
                Woken::Tick => {
                    let due = if now >= tick { Due::Tick } else { Due::News };
                    if due == Due::Tick {
                        tick = now.plus(TICK_MS);
                    }
                    news_due = None;
                    self.tell(due).await;
                }
            }
        }
    }

    /// Whether the config in force still names the same server, and means the same by its names.
    fn is_current(&self) -> bool {
        Source::of(&self.process).as_ref() == Some(&self.source)
    }

    /// The server's time now; before the first exchange that of this machine.
    fn time(&self) -> ServerClock {
        let here = clock::now().millis();
        match self.clock {
            Some(clock) => ServerClock { here, server: clock.server(here) },
            None => ServerClock { here, server: ServerMs(clock::unix_ms()) },
        }
    }

    fn hear(&mut self, bytes: &[u8]) {
        let clock = self.time();
        match Message::read(bytes, clock.server) {
            Ok(message) => {
                self.process.fleet.received.fetch_add(1, Ordering::Relaxed);
                self.process.fleet.heard_at.fetch_max(clock.here(message.at).0, Ordering::Relaxed);
                if !message.incidents.is_empty() {
                    let shared = &self.process.alerts.shared;
                    shared.hear(&message.replica, message.incidents.clone(), clock.here);
                }
                let serving = self.process.serving();
                let cleared = self.fleet.receive(&message, &serving.snapshot).unwrap_or_default();
                for id in cleared {
                    let Some(index) = serving.snapshot.by_id.get(&id) else { continue };
                    let deployment = serving.snapshot.deployment(*index);
                    let changed = Fleet::reset(deployment, clock.here);
                    self.changed(&serving.snapshot, vec![(*index, changed)]);
                }
                let changes = self.fleet.settle(&serving.snapshot, clock);
                self.changed(&serving.snapshot, changes);
            }
            Err(garbage) => {
                tracing::debug!(?garbage, "a message under our keys is not ours");
                self.process.fleet.garbage.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Tells what changed here, to the log and to the requests that wait.
    fn changed(&self, snapshot: &Snapshot, changes: Changes) {
        for (index, changed) in changes {
            let deployment = snapshot.deployment(index);
            events::health_changed(&deployment.id, changed);
            self.process.waiting.touched(deployment);
        }
    }

    /// Tells the others what is new, or everything, and hears what they say.
    async fn tell(&mut self, due: Due) {
        if self.clock.is_none()
            && let Ok(heard) = self.carrier.exchange(self.fleet.me(), Vec::new()).await
        {
            self.clock = Some(heard.clock);
        }
        let serving = self.process.serving();
        let clock = self.time();
        let mut published = self.fleet.publish(&serving.snapshot, clock);
        published.whole.leaves = self.leaves;
        published.whole.incidents = self.process.alerts.shared.said();
        let has_news = published.news.is_some();
        if self.clock.is_some()
            && let Some(mut news) = published.news
        {
            news.leaves = self.leaves;
            // If it is lost, the exchange below tells it.
            if self.carrier.publish(Topic::Evidence, &news.write()).await.is_ok() {
                self.process.fleet.sent.fetch_add(1, Ordering::Relaxed);
            }
        }
        if due == Due::News && !has_news && !self.leaves && !self.listens {
            return;
        }
        self.listens = false;
        // What has this machine's time in it is not told: that clock may be wrong.
        let said = self.clock.map_or_else(Vec::new, |_| published.whole.write());
        match self.carrier.exchange(self.fleet.me(), said).await {
            Ok(heard) => {
                self.lost = None;
                self.clock = Some(heard.clock);
                self.process.fleet.sent.fetch_add(1, Ordering::Relaxed);
                self.process.fleet.garbage.fetch_add(heard.garbage, Ordering::Relaxed);
                heard.said.iter().for_each(|bytes| self.hear(bytes));
            }
            Err(error) => {
                tracing::debug!(%error, "nothing was heard of the other replicas");
                self.lost = self.lost.or(Some(clock.here));
            }
        }
        let clock = self.time();
        if due == Due::Tick && self.lost.is_none() && serving.snapshot.shared.litellm {
            self.hear_litellm(&serving.snapshot, clock).await;
        }
        if due == Due::Tick {
            let mode = self.lost.map_or(Mode::Shared, Mode::Local);
            self.fleet.share(&serving.snapshot, clock, mode);
        }
        let changes = self.fleet.settle(&serving.snapshot, clock);
        self.changed(&serving.snapshot, changes);
        if self.lost.is_none() && (due == Due::Tick || self.leaves) {
            self.speak().await;
        }
        if due == Due::Tick || self.leaves {
            let me = self.fleet.me();
            let others: Vec<Arc<str>> = match self.leaves {
                true => Vec::new(),
                false => self.fleet.peers().alive(clock.server).cloned().collect(),
            };
            let presence = if self.leaves { Presence::Leaves } else { Presence::Stays };
            let with = (&self.process, &*self.carrier);
            if self.lost.is_none() {
                self.probes.tell_again(with, me, clock).await;
            }
            self.probes.lease(with, (me, &others), (clock, self.lost), presence).await;
        }
        self.show();
    }

    /// Learns the cooldowns that replicas of LiteLLM wrote.
    async fn hear_litellm(&mut self, snapshot: &Snapshot, clock: ServerClock) {
        let ids: Vec<Arc<str>> = snapshot.deployments.iter().map(|one| one.id.clone()).collect();
        let written = self.carrier.litellm(&ids).await.unwrap_or_default();
        for (id, written) in ids.iter().zip(written) {
            if let Some((text, left_ms)) = written
                && !self.fleet.litellm(id, (&text, left_ms), clock)
            {
                tracing::debug!(deployment = &**id, "a cooldown of LiteLLM's cannot be read");
            }
        }
    }

    /// Takes, renews or gives up the lease of the replica that tells people, and notes which one has it.
    async fn speak(&self) {
        let want = if self.leaves { Want::GiveUp } else { Want::Hold };
        let asked = [(Arc::from(SPEAKER), Some(want))];
        match self.carrier.lease(self.fleet.me(), SPEAKER_MS, &asked).await {
            Ok(leased) => {
                self.process.fleet.garbage.fetch_add(leased.garbage, Ordering::Relaxed);
                let holder = leased.holders.into_iter().next().flatten();
                let holder = holder.map(|one| one.pod).filter(|_| !self.leaves);
                self.process.alerts.shared.spoken_by(self.fleet.me(), holder.as_ref());
            }
            Err(error) => tracing::debug!(%error, "the lease of the replica that tells people"),
        }
    }

    /// A probe of this replica ended.
    async fn probed(&mut self, deployment: &Arc<str>) {
        let clock = self.time();
        let with = (&self.process, &*self.carrier);
        self.probes.tell(with, self.fleet.me(), deployment, clock).await;
    }

    /// Shows the pages how things are.
    fn show(&self) {
        let (clock, me) = (self.time(), self.fleet.me());
        let others: Vec<Arc<str>> = match self.lost {
            None => self.fleet.peers().alive(clock.server).cloned().collect(),
            Some(_) => Vec::new(),
        };
        // What stands in a lease can be of a replica that is gone, or not ours.
        let lives = |pod: &Arc<str>| pod == me || others.contains(pod);
        let mut holders = self.probes.holders(me, clock.here);
        holders.retain(|(_, pod, _)| lives(pod));
        let last_probe = self.probes.last().map(|(at, by)| (at, Some(by).filter(lives)));
        self.process.fleet.status.store(Arc::new(Status {
            pod_id: me.clone(),
            through: Some(self.carrier.through()),
            delivery: self.carrier.delivery(),
            problem: self.lost.and_then(|_| self.carrier.problem()),
            sharing: if self.lost.is_none() { Sharing::Shared } else { Sharing::Local },
            holders,
            last_probe,
            others,
        }));
    }
}
