//! The bus: what changed in the process, as typed events that others subscribe to.
//!
//! A leaf, one for the process like the clock and the log. Published to by whatever changes something (the
//! proxy, the prober, the pages, the process); the log subscribes, and later stores, alerts and pages can.
//! Always true: publishing never waits and is no part of a request that succeeds; events are numbered
//! without gaps, in the order in which subscribers get them; what a slow subscriber has no room for is
//! dropped and counted, and the subscriber learns how many events it missed, so that it can read the state
//! again. No metric is counted from events.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hale_core::health::probe::{Finding, ProbeResult};
use hale_core::health::{HealthEvent, HealthEvents, HealthSubject, OperatorAction};
use hale_core::time::UnixMs;
use parking_lot::Mutex;
use serde::{Serialize, Serializer};
use tokio::sync::Notify;

use crate::clock;

/// Events that are kept for subscribers that have not read them yet.
const KEPT: usize = 4096;

/// The one bus of the process.
static BUS: Bus = Bus::new(KEPT);

/// Something that happened.
#[derive(Debug, Serialize)]
pub(crate) struct Event {
    /// Its number; the first is 1.
    pub(crate) seq: u64,
    /// When it was published, milliseconds since 1970.
    pub(crate) unix_ms: u64,
    /// What happened.
    #[serde(flatten)]
    pub(crate) what: What,
}

/// What happened.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum What {
    /// The health of a deployment or of a credential changed.
    Health {
        #[serde(flatten)]
        change: HealthEvent<UnixMs>,
        /// For a credential: the deployment at which it was found out, unless that changed too.
        #[serde(serialize_with = "optional_text", skip_serializing_if = "Option::is_none")]
        seen_at: Option<Arc<str>>,
    },
    /// A health probe finished.
    Probe {
        #[serde(serialize_with = "text")]
        deployment: Arc<str>,
        finding: ProbeFinding,
        cause: Option<&'static str>,
        duration_ms: u64,
        /// All that the probe found.
        #[serde(skip)]
        result: Arc<ProbeResult>,
    },
    /// A changed config was read.
    Reload(Reload),
    /// A budget is spent.
    Budget(Budget),
    /// An operator acted on a deployment.
    Operator {
        #[serde(serialize_with = "text")]
        deployment: Arc<str>,
        action: OperatorAction,
    },
    /// The process ends.
    Shutdown(Shutdown),
}

/// What a probe proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ProbeFinding {
    Healthy,
    RateLimited,
    Unhealthy,
    Unknown,
    /// The probe itself was wrong.
    ProbeError,
}

/// What became of a changed config.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub(crate) enum Reload {
    /// It is in force.
    Applied { groups: usize, deployments: usize },
    /// It is not in force; nothing changed. The reason is a sentence.
    Refused { reason: Box<str> },
}

/// A budget that is spent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Budget {
    /// Whose costs it bounds: those of a provider, a deployment, a tag, or of probes.
    pub(crate) of: &'static str,
    /// The name of the provider, deployment or tag.
    pub(crate) name: Box<str>,
}

/// The phases of the end of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "phase", rename_all = "snake_case")]
pub(crate) enum Shutdown {
    /// It wants no more traffic, and serves what comes.
    Draining { drain_delay_ms: u64 },
    /// Requests in flight outlasted the limit and are cut.
    Cut,
    /// A second signal: requests in flight are cut at once.
    Hurried,
    /// All workers have ended. The last event of a process.
    Stopped,
}

fn text<S: Serializer>(text: &Arc<str>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(text)
}

fn optional_text<S: Serializer>(text: &Option<Arc<str>>, to: S) -> Result<S::Ok, S::Error> {
    text.as_deref().serialize(to)
}

impl From<Finding> for ProbeFinding {
    fn from(finding: Finding) -> ProbeFinding {
        match finding {
            Finding::Healthy => ProbeFinding::Healthy,
            Finding::RateLimited(_) => ProbeFinding::RateLimited,
            Finding::Failing(_) => ProbeFinding::Unhealthy,
            Finding::Unknown(_) => ProbeFinding::Unknown,
            Finding::ProbeError => ProbeFinding::ProbeError,
        }
    }
}

/// Publishes an event. Never waits.
pub(crate) fn publish(what: What) {
    BUS.publish(what);
}

/// Publishes what evidence about `deployment` changed.
pub(crate) fn health_changed(deployment: &Arc<str>, changes: HealthEvents) {
    if changes.is_empty() {
        return;
    }
    let clock = clock::wall();
    let is_deployments =
        |event: &HealthEvent| matches!(event.subject, HealthSubject::Deployment(_));
    let speaks_for_both = changes.cooldown_change().is_some_and(is_deployments);
    for event in changes {
        let is_elsewhere = !speaks_for_both && !is_deployments(&event);
        let seen_at = is_elsewhere.then(|| deployment.clone());
        publish(What::Health { change: event.on_wall_clock(clock), seen_at });
    }
}

/// Publishes that a cost exhausted a budget.
pub(crate) fn budget_spent(budget: &hale_core::budget::Budget) {
    publish(What::Budget(Budget { of: budget.scope.name(), name: budget.name.clone() }));
}

/// A subscriber that gets all events from now on.
pub(crate) fn subscribe() -> Subscriber {
    BUS.subscribe()
}

/// Events that a subscriber missed.
pub(crate) fn dropped() -> u64 {
    BUS.dropped.load(Ordering::Relaxed)
}

/// A bounded ring of events and the places of its subscribers in it.
struct Bus {
    ring: Mutex<Ring>,
    news: Notify,
    dropped: AtomicU64,
    kept: usize,
}

struct Ring {
    /// The newest events, the newest last.
    events: VecDeque<Arc<Event>>,
    /// The number of the newest event.
    newest: u64,
    /// The number of the next event of each subscriber.
    places: Vec<Arc<AtomicU64>>,
}

impl Ring {
    /// The number of the oldest event that is kept, or of the next one when none is.
    fn oldest(&self) -> u64 {
        self.newest + 1 - self.events.len() as u64
    }
}

impl Bus {
    const fn new(kept: usize) -> Bus {
        let ring = Ring { events: VecDeque::new(), newest: 0, places: Vec::new() };
        Bus { ring: Mutex::new(ring), news: Notify::const_new(), dropped: AtomicU64::new(0), kept }
    }

    fn publish(&self, what: What) {
        let evicted = {
            let mut ring = self.ring.lock();
            // Read under the lock, so that later events have later times.
            let unix_ms = clock::unix_ms();
            let evicted = (ring.events.len() >= self.kept).then(|| ring.events.pop_front());
            if let Some(Some(oldest)) = &evicted {
                let unread = |place: &&Arc<AtomicU64>| place.load(Ordering::Relaxed) <= oldest.seq;
                let missed = ring.places.iter().filter(unread).count() as u64;
                self.dropped.fetch_add(missed, Ordering::Relaxed);
            }
            ring.newest += 1;
            let event = Event { seq: ring.newest, unix_ms, what };
            ring.events.push_back(Arc::new(event));
            evicted
        };
        self.news.notify_waiters();
        // Its memory is given back outside of the lock.
        drop(evicted);
    }

    fn subscribe(&'static self) -> Subscriber {
        let mut ring = self.ring.lock();
        let place = Arc::new(AtomicU64::new(ring.newest + 1));
        ring.places.push(place.clone());
        Subscriber { bus: self, place }
    }
}

/// What a subscriber gets.
#[derive(Debug)]
pub(crate) enum Received {
    /// The next event.
    Event(Arc<Event>),
    /// So many events were dropped before the next one: what is known from events is outdated.
    Missed(u64),
}

/// A reader of the bus.
pub(crate) struct Subscriber {
    bus: &'static Bus,
    /// The number of the next event to read.
    place: Arc<AtomicU64>,
}

impl Subscriber {
    /// Waits for the next event.
    pub(crate) async fn next(&mut self) -> Received {
        loop {
            let mut news = pin!(self.bus.news.notified());
            // What is published after the look below wakes this up.
            news.as_mut().enable();
            if let Some(received) = self.take() {
                return received;
            }
            news.await;
        }
    }

    fn take(&mut self) -> Option<Received> {
        let ring = self.bus.ring.lock();
        let next = self.place.load(Ordering::Relaxed);
        let missed = ring.oldest().saturating_sub(next);
        if missed > 0 {
            self.place.store(next + missed, Ordering::Relaxed);
            return Some(Received::Missed(missed));
        }
        let index = usize::try_from(next - ring.oldest()).ok()?;
        let event = ring.events.get(index)?.clone();
        self.place.store(next + 1, Ordering::Relaxed);
        Some(Received::Event(event))
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.bus.ring.lock().places.retain(|place| !Arc::ptr_eq(place, &self.place));
    }
}

#[cfg(test)]
mod tests {
    use hale_core::health::probe::Status;
    use hale_core::health::{HealthPart, Source, Standing};
    use serde_json::json;

    use super::*;

    fn operator(id: &str) -> What {
        What::Operator { deployment: id.into(), action: OperatorAction::Disable }
    }

    fn number(received: Option<Received>) -> Option<u64> {
        match received? {
            Received::Event(event) => Some(event.seq),
            Received::Missed(count) => panic!("missed {count}"),
        }
    }

    #[test]
    fn subscribers_get_events_in_order_from_their_subscription_on() {
        static BUS: Bus = Bus::new(8);
        BUS.publish(operator("before"));
        let mut first = BUS.subscribe();
        assert_eq!(number(first.take()), None);
        BUS.publish(operator("a"));
        let mut second = BUS.subscribe();
        BUS.publish(operator("b"));
        assert_eq!(
            [first.take(), first.take(), first.take()].map(number),
            [Some(2), Some(3), None]
        );
        assert_eq!([second.take(), second.take()].map(number), [Some(3), None]);
        assert_eq!(BUS.dropped.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_slow_subscriber_learns_how_many_it_missed_and_each_is_counted() {
        static BUS: Bus = Bus::new(4);
        let mut slow = BUS.subscribe();
        let mut quick = BUS.subscribe();
        for _ in 0..10 {
            BUS.publish(operator("a"));
            assert!(matches!(quick.take(), Some(Received::Event(_))));
        }
        assert_eq!(BUS.dropped.load(Ordering::Relaxed), 6);
        assert!(matches!(slow.take(), Some(Received::Missed(6))));
        assert_eq!([slow.take(), slow.take()].map(number), [Some(7), Some(8)]);
        drop(slow);
        BUS.publish(operator("a"));
        assert_eq!(BUS.dropped.load(Ordering::Relaxed), 6, "one that has gone misses nothing");
    }

    #[test]
    fn a_waiting_subscriber_is_woken_by_another_thread() {
        static BUS: Bus = Bus::new(64);
        let mut subscriber = BUS.subscribe();
        let publisher = std::thread::spawn(|| (0..64).for_each(|_| BUS.publish(operator("a"))));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            for expected in 1..=64 {
                assert_eq!(number(Some(subscriber.next().await)), Some(expected));
            }
        });
        publisher.join().unwrap();
    }

    #[test]
    fn events_are_flat_objects_with_a_number_and_the_time_of_the_wall() {
        let event = HealthEvent {
            subject: HealthSubject::Deployment("a".into()),
            part: HealthPart::Probes,
            from: Standing::Probed(Status::Unprobed),
            to: Standing::Probed(Status::Healthy),
            cause: None,
            source: Source::Probe,
            at: UnixMs(4),
            until: None,
            provider_issued: false,
        };
        let what = What::Health { change: event, seen_at: None };
        let shown = |what| serde_json::to_value(Event { seq: 7, unix_ms: 5, what }).unwrap();
        assert_eq!(
            shown(what),
            json!({"seq": 7, "unix_ms": 5, "event": "health", "deployment": "a", "part": "probes",
                   "from": "unchecked", "to": "healthy", "cause": null, "source": "check",
                   "at_unix_ms": 4})
        );
        assert_eq!(
            shown(What::Shutdown(Shutdown::Draining { drain_delay_ms: 3 })),
            json!({"seq": 7, "unix_ms": 5, "event": "shutdown", "phase": "draining",
                   "drain_delay_ms": 3})
        );
        assert_eq!(
            shown(What::Reload(Reload::Refused { reason: "no".into() })),
            json!({"seq": 7, "unix_ms": 5, "event": "reload", "result": "refused", "reason": "no"})
        );
    }
}
