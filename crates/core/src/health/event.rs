//! Changes of health: one event type for breakers, probes, credentials, models and the operator's
//! switch.
//!
//! Made by [`super::DeploymentState`] when its state changes; kept there for the pages and returned
//! to the caller of the reducer. Always true: an event names its subject by an id that means the
//! same after a restart and in another process; inside the process its times are [`Millis`], and
//! only an event with wall-clock times can be serialized.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use serde::{Serialize, Serializer};

use super::credential::CredentialId;
use super::probe::Status;
use crate::operation::Operation;
use crate::time::{Millis, UnixMs, WallClock};

/// Events of one state kept for the pages: this many of probes, and this many others.
pub(super) const KEPT: usize = 8;
/// The most events that one piece of evidence can cause.
const EVENTS_MAX: usize = 4;

/// What changed a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A health probe.
    Probe,
    /// An answer to traffic, or the lack of one.
    Traffic,
    /// The evidence is too old.
    Time,
    /// A new config, with another address, credential or model.
    Config,
    /// An operator.
    Operator,
    /// What other replicas report.
    Fleet,
}

impl Source {
    /// The name on pages and in logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Source::Probe => "check",
            Source::Traffic => "traffic",
            Source::Time => "time",
            Source::Config => "config",
            Source::Operator => "operator",
            Source::Fleet => "fleet",
        }
    }
}

/// Whose health it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HealthSubject {
    /// The deployment with that id.
    Deployment(Arc<str>),
    /// The credential with that id.
    Credential(CredentialId),
}

impl Default for HealthSubject {
    fn default() -> HealthSubject {
        HealthSubject::Deployment(Arc::from(""))
    }
}

/// The part of a subject's health that changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HealthPart {
    /// Its breaker.
    Breaker,
    /// What probes say.
    Probes,
    /// The operator's switch.
    Switch,
    /// One model behind a pattern, or one operation that the deployment is not for.
    Model {
        /// The model's name at the provider.
        model: Box<str>,
        /// The operation, if the change is about it alone.
        operation: Option<Operation>,
    },
}

impl HealthPart {
    /// The name of the kind.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            HealthPart::Breaker => "breaker",
            HealthPart::Probes => "probes",
            HealthPart::Switch => "switch",
            HealthPart::Model { .. } => "model",
        }
    }
}

/// The state of one part of a subject's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The breaker is closed.
    Ready,
    /// The breaker is open.
    Cooldown,
    /// An operator lets it serve.
    Enabled,
    /// An operator disabled it.
    Disabled,
    /// What probes say.
    Probed(Status),
}

impl Standing {
    /// The name on pages and in logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Standing::Ready => "ready",
            Standing::Cooldown => "cooldown",
            Standing::Enabled => "enabled",
            Standing::Disabled => "disabled",
            Standing::Probed(status) => status.name(),
        }
    }
}

/// One change of health. `T` is the type of its times: [`Millis`] in the process, [`UnixMs`]
/// outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthEvent<T = Millis> {
    /// Whose health it is.
    pub subject: HealthSubject,
    /// Which part of it.
    pub part: HealthPart,
    /// The state before.
    pub from: Standing,
    /// The state after.
    pub to: Standing,
    /// Why, if there is a reason to name.
    pub cause: Option<&'static str>,
    /// What changed it.
    pub source: Source,
    /// When it happened.
    pub at: T,
    /// When the cooldown ends.
    pub until: Option<T>,
    /// Whether the provider named that time.
    pub provider_issued: bool,
}

impl HealthEvent {
    /// Returns the same event with wall-clock times, to leave the process.
    #[must_use]
    pub fn on_wall_clock(&self, clock: WallClock) -> HealthEvent<UnixMs> {
        HealthEvent {
            subject: self.subject.clone(),
            part: self.part.clone(),
            from: self.from,
            to: self.to,
            cause: self.cause,
            source: self.source,
            at: clock.unix_ms(self.at),
            until: self.until.map(|until| clock.unix_ms(until)),
            provider_issued: self.provider_issued,
        }
    }
}

impl<T> HealthEvent<T> {
    /// Whether a cooldown began or was prolonged.
    #[must_use]
    pub fn is_cooldown(&self) -> bool {
        self.part == HealthPart::Breaker && self.to == Standing::Cooldown
    }

    /// Whether a success ended a cooldown.
    #[must_use]
    pub fn is_recovery(&self) -> bool {
        let by_answer = self.source == Source::Traffic && self.cause.is_none();
        self.part == HealthPart::Breaker && self.to == Standing::Ready && by_answer
    }
}

impl Serialize for HealthEvent<UnixMs> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Line<'e> {
            #[serde(skip_serializing_if = "Option::is_none")]
            deployment: Option<&'e str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            credential: Option<CredentialId>,
            part: &'static str,
            #[serde(skip_serializing_if = "Option::is_none")]
            model: Option<&'e str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            operation: Option<&'static str>,
            from: &'static str,
            to: &'static str,
            cause: Option<&'static str>,
            source: &'static str,
            at_unix_ms: u64,
            #[serde(skip_serializing_if = "Option::is_none")]
            until_unix_ms: Option<u64>,
            #[serde(skip_serializing_if = "Option::is_none")]
            provider_issued: Option<bool>,
        }
        let (deployment, credential) = match &self.subject {
            HealthSubject::Deployment(id) => (Some(&**id), None),
            HealthSubject::Credential(id) => (None, Some(*id)),
        };
        let (model, operation) = match &self.part {
            HealthPart::Model { model, operation } => (Some(&**model), *operation),
            HealthPart::Breaker | HealthPart::Probes | HealthPart::Switch => (None, None),
        };
        Line {
            deployment,
            credential,
            part: self.part.name(),
            model,
            operation: operation.map(Operation::name),
            from: self.from.name(),
            to: self.to.name(),
            cause: self.cause,
            source: self.source.name(),
            at_unix_ms: self.at.0,
            until_unix_ms: self.until.map(|until| until.0),
            provider_issued: self.until.map(|_| self.provider_issued),
        }
        .serialize(to)
    }
}

/// The changes that one piece of evidence caused, in order; usually none. Only a change needs heap
/// memory, so that a success costs four empty pointers.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct HealthEvents([Option<Box<HealthEvent>>; EVENTS_MAX]);

impl HealthEvents {
    pub(crate) fn push(&mut self, event: Option<HealthEvent>) {
        if let Some(event) = event {
            let free = self.0.iter_mut().find(|place| place.is_none());
            debug_assert!(free.is_some(), "one piece of evidence changes at most this much");
            if let Some(place) = free {
                *place = Some(Box::new(event));
            }
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &HealthEvent> {
        self.0.iter().flatten().map(|event| &**event)
    }

    /// Whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }

    /// The change of a cooldown by traffic: it began, was prolonged or ended. If both a deployment
    /// and its credential changed, this is the deployment's event.
    #[must_use]
    pub fn cooldown_change(&self) -> Option<&HealthEvent> {
        let news = |event: &&HealthEvent| event.source == Source::Traffic;
        let told = |event: &&HealthEvent| event.is_cooldown() || event.is_recovery();
        self.iter().filter(news).find(told)
    }
}

impl IntoIterator for HealthEvents {
    type Item = HealthEvent;
    type IntoIter = std::iter::Map<
        std::iter::Flatten<std::array::IntoIter<Option<Box<HealthEvent>>, EVENTS_MAX>>,
        fn(Box<HealthEvent>) -> HealthEvent,
    >;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter().flatten().map(|event| *event)
    }
}

/// A change before its subject is known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change {
    pub(super) at: Millis,
    pub(super) from: Standing,
    pub(super) to: Standing,
    pub(super) cause: Option<&'static str>,
    pub(super) source: Source,
    /// When the cooldown ends, and whether the provider named that time.
    pub(super) until: Option<(Millis, bool)>,
}

/// What a deployment's successor under the same id inherits.
#[derive(Clone, Debug)]
pub struct Carried {
    events: VecDeque<HealthEvent>,
    count: u64,
    /// The state that was in force.
    pub(super) breaker: Standing,
    pub(super) probes: Status,
    /// Probes so far.
    pub(super) probed: u64,
}

/// The events of one subject: the last ones and the number of all.
#[derive(Debug, Default)]
pub(super) struct EventLog {
    subject: HealthSubject,
    kept: Mutex<VecDeque<HealthEvent>>,
    /// All events so far.
    count: AtomicU64,
}

impl EventLog {
    pub(super) fn of(subject: HealthSubject) -> EventLog {
        EventLog { subject, ..EventLog::default() }
    }

    pub(super) fn subject(&self) -> &HealthSubject {
        &self.subject
    }

    /// Makes an event without keeping it. Single models are not kept: there can be hundreds.
    pub(super) fn event(&self, part: HealthPart, change: Change) -> HealthEvent {
        let Change { at, from, to, cause, source, until } = change;
        let subject = self.subject.clone();
        let provider_issued = until.is_some_and(|(_, issued)| issued);
        let until = until.map(|(until, _)| until);
        HealthEvent { subject, part, from, to, cause, source, at, until, provider_issued }
    }

    /// Keeps a change and returns its event. The caller holds the lock of what changed, so that
    /// events are kept in the order in which things happened.
    pub(super) fn record(&self, part: HealthPart, change: Change) -> HealthEvent {
        let event = self.event(part, change);
        self.count.fetch_add(1, Ordering::Relaxed);
        let mut kept = self.kept.lock();
        let is_alike = |one: &HealthEvent| {
            (one.part == HealthPart::Probes) == (event.part == HealthPart::Probes)
        };
        if kept.iter().filter(|one| is_alike(one)).count() >= KEPT
            && let Some(oldest) = kept.iter().position(is_alike)
        {
            kept.remove(oldest);
        }
        kept.push_back(event.clone());
        event
    }

    /// Continues the log of a predecessor.
    pub(super) fn carry(&self, before: &Carried) {
        *self.kept.lock() = before.events.clone();
        self.count.store(before.count, Ordering::Relaxed);
    }

    /// Returns what a successor needs to continue this log.
    pub(super) fn carried(&self, breaker: Standing, probes: Status, probed: u64) -> Carried {
        let events = self.kept.lock().clone();
        Carried { events, count: self.count(), breaker, probes, probed }
    }

    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    pub(super) fn all(&self) -> Vec<HealthEvent> {
        self.kept.lock().iter().cloned().collect()
    }

    /// Returns the broken rule: an event must begin with the state that the one before ended with,
    /// and the number kept is bounded. `now` holds the state of the breaker and of the probes.
    pub(super) fn check_invariants(&self, now: [(HealthPart, Standing); 2]) -> Result<(), String> {
        let kept = self.kept.lock();
        if kept.len() > 2 * KEPT || self.count() < kept.len() as u64 {
            return Err(format!("{} events kept of {}", kept.len(), self.count()));
        }
        for (part, now) in now {
            let mut last = None;
            for event in kept.iter().filter(|event| event.part == part) {
                if last.is_some_and(|last| last != event.from) {
                    return Err(format!(
                        "an event begins where none ended: {event:?} after {last:?}"
                    ));
                }
                last = Some(event.to);
            }
            if last.is_some_and(|last| last != now) {
                return Err(format!("{} is {now:?}, its last event says {last:?}", part.name()));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cause::Cause;

    fn cooldown(at: u64, part: HealthPart, to: Standing) -> HealthEvent {
        let log = EventLog::of(HealthSubject::Deployment("d".into()));
        let from = Standing::Ready;
        let cause = Some(Cause::RateLimited.name());
        let until = Some((Millis(at + 5_000), true));
        let change = Change { at: Millis(at), from, to, cause, source: Source::Traffic, until };
        log.event(part, change)
    }

    #[test]
    fn an_event_leaves_with_wall_clock_times_and_ids() {
        let event = cooldown(2_000, HealthPart::Breaker, Standing::Cooldown);
        let clock = WallClock { now: Millis(3_000), unix_ms: UnixMs(1_700_000_003_000) };
        let json = serde_json::to_value(event.on_wall_clock(clock)).unwrap();
        let expected = serde_json::json!({
            "deployment": "d", "part": "breaker", "from": "ready", "to": "cooldown",
            "cause": "rate_limited", "source": "traffic", "at_unix_ms": 1_700_000_002_000_u64,
            "until_unix_ms": 1_700_000_007_000_u64, "provider_issued": true,
        });
        assert_eq!(json, expected);
    }

    #[test]
    fn events_about_probes_do_not_push_others_out() {
        let log = EventLog::default();
        let change = |at: u64, from, to| Change {
            at: Millis(at),
            from,
            to,
            cause: None,
            source: Source::Probe,
            until: None,
        };
        log.record(HealthPart::Switch, change(0, Standing::Enabled, Standing::Disabled));
        for at in 1..100 {
            let (healthy, none) =
                (Standing::Probed(Status::Healthy), Standing::Probed(Status::Unprobed));
            let (from, to) = if at % 2 == 0 { (healthy, none) } else { (none, healthy) };
            log.record(HealthPart::Probes, change(at, from, to));
        }
        let all = log.all();
        assert_eq!((all.len(), log.count()), (KEPT + 1, 100));
        assert_eq!(all[0].part, HealthPart::Switch);
        let (ready, probed) = (Standing::Ready, Standing::Probed(Status::Healthy));
        let now = |probed| [(HealthPart::Breaker, ready), (HealthPart::Probes, probed)];
        assert_eq!(log.check_invariants(now(probed)), Ok(()));
        let elsewhere = Standing::Probed(Status::RateLimited);
        assert!(log.check_invariants(now(elsewhere)).is_err(), "the last event says otherwise");
    }

    #[test]
    fn an_event_of_a_credential_names_it_without_its_secret() {
        let id = CredentialId::of("openai", "api.openai.com", "sk-secret-value");
        let log = EventLog::of(HealthSubject::Credential(id));
        let change = Change {
            at: Millis(1),
            from: Standing::Cooldown,
            to: Standing::Ready,
            cause: None,
            source: Source::Operator,
            until: None,
        };
        let event = log.record(HealthPart::Breaker, change);
        let clock = WallClock { now: Millis(1), unix_ms: UnixMs(9) };
        let text = serde_json::to_string(&event.on_wall_clock(clock)).unwrap();
        assert!(text.contains(&format!("\"credential\":\"{id}\"")), "{text}");
        assert!(!text.contains("secret") && !format!("{event:?}").contains("secret"), "{text}");
    }
}
