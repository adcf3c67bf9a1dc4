//! One incident: what is wrong in it, and how far it is told.
//!
//! Kept by [`super::Book`]. Always true: it is told as opened at most once, and once more if it comes back; what is told as
//! opened is told as resolved.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::effect::Effect;
use super::kind::{Family, Kind, Severity};
use super::letter::{Event, Letter, Message, PARTS_MAX, Part, lasted};
use super::rules::{AlertSettings, Rules};
use super::trouble::{Counter, Root, Trouble};

/// Members whose end is waited for.
const MEMBERS_MAX: usize = 500;
/// Groups of replicas whose requests are counted.
const COUNTED_MAX: usize = 2_000;

/// How far it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "snake_case")]
pub enum Stage {
    /// Not at all yet.
    Collecting,
    /// As opened.
    Told,
    /// As resolved, at that moment. It may come back.
    Resolved {
        /// When.
        at: u64,
    },
    /// It is back, which is not told yet.
    Back {
        /// When it was told as resolved.
        at: u64,
        /// What it had done before.
        before: Effect,
    },
    /// As back. Nothing more until it has been over for long.
    Unsteady,
    /// It is over.
    Closed,
}

/// Something that is or was wrong in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Member {
    /// The trouble as it was seen last.
    pub(super) trouble: Trouble,
    /// The replicas that see it.
    pub(super) seen_by: Vec<Box<str>>,
    /// Whether it is wrong, as far as is known.
    pub(super) is_down: bool,
    /// Since when no replica that saw it is there any more: it counts as down until another one knows that it works.
    pub(super) unseen_since: Option<u64>,
}

/// What became of an incident since the last look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It was over, and is wrong again.
    Back,
    /// It goes on as it was.
    Same,
}

/// What a group's requests at one replica met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Count {
    /// What belongs to no time of this incident.
    other: Effect,
    last: Effect,
}

/// An incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// Its id.
    pub id: Box<str>,
    /// What it is.
    pub kind: Kind,
    /// Where it comes from.
    pub root: Root,
    /// When it began, milliseconds since 1970.
    pub since: u64,
    /// When it was noticed.
    pub opened: u64,
    /// Since when nothing in it is wrong.
    pub ended: Option<u64>,
    /// How far it is told.
    #[serde(flatten)]
    pub stage: Stage,
    /// When something about it changed last that is worth keeping.
    pub updated: u64,
    /// What is told and not delivered.
    pub letters: Vec<Letter>,
    pub(super) members: BTreeMap<Box<str>, Member>,
    counts: BTreeMap<Box<str>, Count>,
}

impl Incident {
    pub(super) fn new(id: Box<str>, trouble: &Trouble, now: u64) -> Incident {
        Incident {
            id,
            kind: trouble.kind,
            root: trouble.root.clone(),
            since: trouble.since.min(now),
            opened: now,
            ended: None,
            stage: Stage::Collecting,
            updated: now,
            letters: Vec::new(),
            members: BTreeMap::new(),
            counts: BTreeMap::new(),
        }
    }

    /// The same when nothing more comes of it.
    #[must_use]
    pub(super) fn closed(self) -> Incident {
        Incident { stage: Stage::Closed, letters: Vec::new(), ..self }
    }

    /// Leaves the words and fixes of one member: those of the others are much the same.
    pub(super) fn slim(&mut self) {
        let kept = self.members.iter().find_map(|(subject, member)| {
            (!member.trouble.words.is_empty()).then(|| subject.clone())
        });
        for (subject, member) in &mut self.members {
            if Some(subject) != kept.as_ref() {
                (member.trouble.words, member.trouble.fix) = Default::default();
            }
        }
    }

    /// Whether something in it is wrong.
    #[must_use]
    pub fn is_down(&self) -> bool {
        self.members.values().any(|member| member.is_down)
    }

    /// Whether it was told at all.
    #[must_use]
    pub fn is_told(&self) -> bool {
        self.stage != Stage::Collecting
    }

    pub(super) fn join(&mut self, trouble: &Trouble, replica: &str, now: u64) {
        if self.members.len() >= MEMBERS_MAX && !self.members.contains_key(&trouble.subject) {
            return;
        }
        // What follows from a fault names no root of its own.
        if self.kind.is_consequence() && !trouble.kind.is_consequence() && !self.is_told() {
            self.root = trouble.root.clone();
        }
        let member = self.members.entry(trouble.subject.clone()).or_insert_with(|| {
            self.updated = now;
            Member {
                trouble: trouble.clone(),
                seen_by: Vec::new(),
                is_down: false,
                unseen_since: None,
            }
        });
        if !member.is_down {
            self.updated = now;
            member.trouble.since = trouble.since;
        }
        member.is_down = true;
        member.unseen_since = None;
        if !member.seen_by.iter().any(|one| **one == *replica) {
            member.seen_by.push(replica.into());
        }
        let words = std::mem::take(&mut member.trouble.words);
        let since = member.trouble.since.min(trouble.since);
        member.trouble = Trouble { since, ..trouble.clone() };
        if member.trouble.words.is_empty() {
            member.trouble.words = words;
        }
        if self.stage == Stage::Collecting {
            self.since = self.since.min(since);
            self.kind = self.kind.max(trouble.kind);
        }
    }

    /// The groups whose requests it can touch.
    pub(super) fn groups(&self) -> Vec<&str> {
        let all = self.members.values().flat_map(|member| &member.trouble.groups);
        let mut names: Vec<&str> = all.map(|name| &**name).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Notes what the requests of a group met at a replica.
    pub(super) fn count(&mut self, (replica, group): (&str, &str), counter: Counter, turn: Turn) {
        let key = format!("{replica}\n{group}");
        if self.counts.len() >= COUNTED_MAX && !self.counts.contains_key(&*key) {
            return;
        }
        let earlier = counter.total.since(counter.lately);
        let first = Count { other: earlier, last: counter.total };
        let count = self.counts.entry(key.into()).or_insert(first);
        if turn == Turn::Back {
            count.other = count.other.plus(earlier.since(count.last));
        }
        count.last = counter.total;
    }

    /// What it did to requests so far.
    #[must_use]
    pub fn effect(&self) -> Effect {
        let each = self.counts.values().map(|count| count.last.since(count.other));
        each.fold(Effect::default(), Effect::plus)
    }

    /// The requests that make it worth telling.
    fn affected(&self, effect: Effect) -> u64 {
        match self.root.family {
            // That a request goes elsewhere is what limits are for.
            Family::Rate => effect.failed(),
            Family::Outage | Family::Key | Family::Quota | Family::Model | Family::Own => {
                effect.total()
            }
        }
    }

    /// How bad it is.
    #[must_use]
    pub fn severity(&self, rules: &Rules) -> Severity {
        match self.effect().failed() >= rules.major_failures.max(1) {
            true if self.kind.is_of_deployments() => Severity::Critical,
            true | false => self.kind.severity(),
        }
    }

    fn is_muted(&self, rules: &Rules, now: u64) -> bool {
        let is_quiet = rules.is_quiet(now) && self.severity(rules) < Severity::Critical;
        is_quiet || rules.is_maintained(&self.groups(), now)
    }

    fn is_worth_telling(&self, rules: &Rules, effect: Effect) -> bool {
        !self.kind.is_by_effect() || self.affected(effect) >= rules.min_affected
    }

    /// Goes on to the stage of `now`; what is to be told on the way.
    pub(super) fn step(&mut self, rules: &Rules, now: u64) -> Vec<Event> {
        let was = self.ended;
        self.ended = if self.is_down() { None } else { self.ended.or(Some(now)) };
        if was.is_some() != self.ended.is_some() {
            self.updated = now;
        }
        let over_for = |ms: u64| self.ended.is_some_and(|at| now.saturating_sub(at) >= ms);
        let is_free = !self.is_muted(rules, now);
        let effect = self.effect();
        let (stage, told) = match self.stage {
            Stage::Collecting if over_for(rules.settle_ms) => {
                // It was over before it was told: only if requests were lost that is worth a word.
                let least = rules.min_affected.max(1);
                match is_free && effect.failed() >= least && self.is_worth_telling(rules, effect) {
                    true => (Stage::Resolved { at: now }, vec![Event::Opened, Event::Resolved]),
                    false => (Stage::Closed, Vec::new()),
                }
            }
            Stage::Collecting
                if is_free
                    && self.is_down()
                    && now.saturating_sub(self.opened) >= rules.collect_ms
                    && self.is_worth_telling(rules, effect) =>
            {
                (Stage::Told, vec![Event::Opened])
            }
            Stage::Told if is_free && over_for(rules.settle_ms) => {
                (Stage::Resolved { at: now }, vec![Event::Resolved])
            }
            Stage::Resolved { at } if self.is_down() => {
                (Stage::Back { at, before: effect }, Vec::new())
            }
            Stage::Resolved { at } if now.saturating_sub(at) >= rules.flap_ms => {
                (Stage::Closed, Vec::new())
            }
            Stage::Back { at, .. } if over_for(rules.settle_ms) => {
                (Stage::Resolved { at }, Vec::new())
            }
            Stage::Back { before, .. }
                if is_free && self.is_worth_telling(rules, effect.since(before)) =>
            {
                (Stage::Unsteady, vec![Event::Reopened])
            }
            Stage::Unsteady if is_free && over_for(rules.flap_ms) => {
                (Stage::Closed, vec![Event::Resolved])
            }
            same @ (Stage::Collecting
            | Stage::Told
            | Stage::Resolved { .. }
            | Stage::Back { .. }
            | Stage::Unsteady
            | Stage::Closed) => (same, Vec::new()),
        };
        if stage != self.stage {
            self.stage = stage;
            self.updated = now;
        }
        told
    }

    /// What is said about it.
    #[must_use]
    pub fn message(&self, event: Event, settings: &AlertSettings) -> Message {
        let all = self.members.values();
        let mut listed: Vec<&Member> =
            all.clone().filter(|member| !member.trouble.kind.is_consequence()).collect();
        if listed.is_empty() {
            listed = all.clone().collect();
        }
        listed.sort_by_key(|member| (!member.is_down, member.trouble.since));
        let first = listed.first().map(|member| &member.trouble);
        let text = |of: fn(&Trouble) -> &str| {
            let filled = listed.iter().map(|member| of(&member.trouble)).find(|it| !it.is_empty());
            filled.unwrap_or_default().into()
        };
        let part = |member: &&Member| Part {
            name: member.trouble.name.clone(),
            cause: member.trouble.cause.clone(),
            since: member.trouble.since,
        };
        let down = all.clone().filter(|member| member.trouble.kind == Kind::GroupDown);
        let ended = self.ended.filter(|_| event == Event::Resolved);
        let link = settings.base_url.as_ref();
        Message {
            event,
            incident_id: self.id.clone(),
            kind: Some(self.kind),
            severity: self.severity(&settings.rules),
            title: self.line(event, &listed, ended).into(),
            since: self.since,
            ended,
            provider: Some(self.root.provider.clone()).filter(|name| !name.is_empty()),
            cause: first.map(|trouble| trouble.cause.clone()).unwrap_or_default(),
            words: text(|trouble| &trouble.words),
            fix: text(|trouble| &trouble.fix),
            effect: self.effect(),
            groups: self.groups().into_iter().map(Box::from).collect(),
            groups_down: down.map(|member| member.trouble.name.clone()).collect(),
            parts: listed.iter().take(PARTS_MAX).map(part).collect(),
            more_parts: listed.len().saturating_sub(PARTS_MAX),
            link: link.map(|base| format!("{base}/alerting/incidents?id={}", self.id).into()),
        }
    }

    /// A line that says it all.
    #[must_use]
    pub fn title(&self, settings: &AlertSettings) -> Box<str> {
        self.message(Event::Opened, settings).title
    }

    /// The name of its stage; `closed` if nothing more comes of it.
    #[must_use]
    pub fn stage_name(&self) -> &'static str {
        match self.stage {
            Stage::Collecting => "collecting",
            Stage::Told => "told",
            Stage::Resolved { .. } => "resolved",
            Stage::Back { .. } => "back",
            Stage::Unsteady => "unsteady",
            Stage::Closed if self.letters.is_empty() => "closed",
            Stage::Closed => "closing",
        }
    }

    fn line(&self, event: Event, listed: &[&Member], ended: Option<u64>) -> String {
        let first = listed.first().map(|member| &member.trouble);
        let (name, cause) = first.map_or(("", ""), |one| (&*one.name, &*one.cause));
        let count = listed.len();
        let what = match self.kind {
            Kind::GroupDown => {
                let down = self.members.values().filter(|it| it.trouble.kind == Kind::GroupDown);
                let names: Vec<&str> = down.map(|member| &*member.trouble.name).take(5).collect();
                format!("nothing serves {}: {cause}", names.join(", "))
            }
            Kind::KeyRefused if count == 1 => format!("the key of {name} is refused: {cause}"),
            Kind::KeyRefused => format!("the key of {count} deployments is refused: {cause}"),
            Kind::DeploymentDown if count == 1 => format!("{name} is down: {cause}"),
            Kind::DeploymentDown => {
                let provider = &self.root.provider;
                format!("{count} deployments of {provider} are down: {cause}")
            }
            Kind::FallbacksExhausted => format!("the fallbacks of {name} fail too: {cause}"),
            Kind::SlowRequests => format!("requests of {name} are slow: {cause}"),
            Kind::ProbeBudget => "the day's budget of probes is spent".to_owned(),
            Kind::BudgetSpent => format!("the budget of {name} is spent"),
            Kind::SoftBudget => format!("Soft Budget Crossed: {name}"),
            Kind::ReloadRefused => "a changed config is refused, the one before stays".to_owned(),
            Kind::RedisTrouble => "Redis is not reached".to_owned(),
            Kind::StoreTrouble => format!("the store has trouble: {cause}"),
        };
        match (event, ended) {
            (Event::Resolved, Some(ended)) => {
                format!("resolved after {}: {what}", lasted(ended.saturating_sub(self.since)))
            }
            (Event::Reopened, _) => format!("it is back: {what}"),
            (Event::Resolved | Event::Opened | Event::Test | Event::Report, _) => what,
        }
    }
}
