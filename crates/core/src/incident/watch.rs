//! What one replica sees: the state of its deployments and what its requests met, as troubles.
//!
//! Driven by the gateway once a second, with what it read of the process. Always true: a deployment is in trouble while its
//! state says so, or while most of its requests fail; what is not known is told neither as trouble nor as healthy.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use super::effect::Effect;
use super::kind::{Family, Kind};
use super::letter::lasted;
use super::rules::Rules;
use super::tally::{Slow, SoFar, Tally};
use super::trouble::{Counter, Report, Root, Trouble};
use crate::cause::Cause;

/// Troubles in a report; the others are counted.
const TROUBLES_MAX: usize = 1_000;
/// The length of a piece of time in which outcomes are counted together, milliseconds.
const PIECE_MS: u64 = 5_000;
/// So many pieces are a minute.
const PIECES: usize = 12;
/// So many decide whether a deployment answers again.
const LATEST: usize = 2;
/// Longest words of a provider, characters.
const WORDS_MAX: usize = 300;

/// What is known of a deployment.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Its name for people.
    pub name: Box<str>,
    /// The provider.
    pub provider: Box<str>,
    /// The host that it is at.
    pub host: Box<str>,
    /// The id of its credential.
    pub credential: Option<Box<str>>,
    /// The model there.
    pub model: Box<str>,
    /// The listed groups that it is a member of.
    pub groups: Vec<Arc<str>>,
}

/// A member of a group.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its id.
    pub id: Arc<str>,
    /// Whether it may ever get traffic.
    pub can_work: bool,
}

/// What the watch asks about the config in force.
pub trait Scene {
    /// The deployment with that id, if there is one.
    fn facts(&self, id: &str) -> Option<Facts>;
    /// Whether there is a deployment with that id.
    fn has(&self, id: &str) -> bool;
    /// The listed group that a request is about that named this; none if there is no such group.
    fn group_of(&self, name: &str) -> Option<Arc<str>>;
    /// The members of a group; none if there is no such group.
    fn members(&self, group: &str) -> Vec<Member>;
    /// What the provider of a deployment said last, and how to fix it. Neither names a credential.
    fn advice(&self, id: &str, cause: Cause) -> (String, String);
}

/// A deployment whose state says that it cannot serve.
#[derive(Clone, Debug)]
pub struct Down {
    /// Its id.
    pub id: Arc<str>,
    /// Why.
    pub cause: Cause,
}

/// What was read of the process.
#[derive(Debug, Default)]
pub struct Sight<'s> {
    /// What became of requests since the last time.
    pub tally: Tally,
    /// The deployments that cannot serve.
    pub down: Vec<Down>,
    /// Troubles that have nothing to do with a deployment. Their `since` is set here.
    pub own: Vec<Trouble>,
    /// Subjects of which another replica wants to know whether they work.
    pub asked: &'s [Box<str>],
}

/// Outcomes of the last minute, by pieces.
#[derive(Clone, Debug, Default)]
struct Recent {
    /// The number of the piece, and how many were answered and failed in it.
    pieces: VecDeque<(u64, u64, u64)>,
}

impl Recent {
    fn add(&mut self, now: u64, answered: u64, failed: u64) {
        let number = now / PIECE_MS;
        match self.pieces.back_mut() {
            Some(last) if last.0 == number => {
                last.1 += answered;
                last.2 += failed;
            }
            Some(_) | None => self.pieces.push_back((number, answered, failed)),
        }
        if self.pieces.len() > PIECES {
            self.pieces.pop_front();
        }
    }

    /// What was answered and what failed in the last `pieces`.
    fn sum(&self, now: u64, pieces: usize) -> (u64, u64) {
        let from = (now / PIECE_MS + 1).saturating_sub(pieces as u64);
        let counted = self.pieces.iter().filter(|(number, ..)| *number >= from);
        counted.fold((0, 0), |sum, (_, answered, failed)| (sum.0 + answered, sum.1 + failed))
    }
}

/// How the requests to a deployment ended lately.
#[derive(Clone, Debug)]
struct Outcomes {
    recent: Recent,
    /// Why the last one failed.
    cause: Cause,
    /// Whether most of the last minute or of the latest seconds fail.
    is_down: bool,
}

/// What requests of a group met.
#[derive(Clone, Debug, Default)]
struct Past {
    total: Effect,
    /// The total at the beginning of each piece of the last minute.
    pieces: VecDeque<(u64, Effect)>,
}

impl Past {
    fn add(&mut self, now: u64, effect: Effect) {
        let number = now / PIECE_MS;
        if self.pieces.back().is_none_or(|(last, _)| *last != number) {
            self.pieces.push_back((number, self.total));
        }
        if self.pieces.len() > PIECES {
            self.pieces.pop_front();
        }
        self.total = self.total.plus(effect);
    }

    fn counter(&self, now: u64) -> Counter {
        let from = (now / PIECE_MS + 1).saturating_sub(PIECES as u64);
        let begin = self.pieces.iter().find(|(number, _)| *number >= from);
        let lately = begin.map(|(_, before)| self.total.since(*before)).unwrap_or_default();
        Counter { total: self.total, lately }
    }
}

/// Requests that were slow, or failed behind fallbacks.
#[derive(Clone, Debug, Default)]
struct Spell {
    recent: Recent,
    cause: String,
    family: Family,
    is_on: bool,
}

/// What one replica sees, and what it needs to remember for that.
#[derive(Debug, Default)]
pub struct Watch {
    replica: Box<str>,
    /// Since when each subject is in trouble.
    since: HashMap<Box<str>, u64>,
    outcomes: HashMap<Arc<str>, Outcomes>,
    /// The deployments that answered since the start.
    answered: HashSet<Arc<str>>,
    groups: HashMap<Arc<str>, Past>,
    spells: HashMap<(Kind, Arc<str>), Spell>,
}

impl Watch {
    /// The watch of a replica with that id, which no other one has or had.
    #[must_use]
    pub fn new(replica: &str) -> Watch {
        Watch { replica: replica.into(), ..Watch::default() }
    }

    /// The replica's id.
    #[must_use]
    pub fn replica(&self) -> &str {
        &self.replica
    }

    /// What is wrong at `now`, milliseconds since 1970.
    pub fn observe(
        &mut self,
        now: u64,
        sight: Sight<'_>,
        scene: &dyn Scene,
        rules: &Rules,
    ) -> Report {
        let Sight { tally, down, own, asked } = sight;
        self.count(now, &tally, (scene, rules));
        let mut down: BTreeMap<Arc<str>, Cause> =
            down.into_iter().map(|one| (one.id, one.cause)).collect();
        let failing = self.outcomes.iter().filter(|(_, one)| one.is_down);
        for (id, one) in failing {
            down.entry(id.clone()).or_insert(one.cause);
        }
        let mut troubles = own;
        troubles.extend(self.of_spells(rules));
        let mut of_deployments = Vec::new();
        let mut touched: Vec<(Arc<str>, Trouble)> = Vec::new();
        for (id, cause) in down.iter().take(TROUBLES_MAX) {
            let Some(facts) = scene.facts(id) else { continue };
            let trouble = of_deployment(id, *cause, &facts, scene);
            touched.extend(facts.groups.iter().map(|group| (group.clone(), trouble.clone())));
            of_deployments.push(trouble);
        }
        let unseen = down.len().saturating_sub(TROUBLES_MAX);
        touched.sort_by(|one, other| one.0.cmp(&other.0));
        touched.dedup_by(|one, other| one.0 == other.0);
        let serves = |one: &Member| one.can_work && !down.contains_key(&one.id);
        let is_out = |group: &str| {
            let members = scene.members(group);
            !members.is_empty() && !members.iter().any(serves)
        };
        let out = touched.into_iter().filter(|(group, _)| is_out(group));
        troubles.extend(out.map(|(group, trouble)| of_group(&group, trouble)));
        // What has no room is left out at the end: the worst comes first.
        troubles.extend(of_deployments);
        self.date(now, &mut troubles);
        let subjects: HashSet<&str> = troubles.iter().map(|one| &*one.subject).collect();
        let is_wrong = |subject: &str| {
            subjects.contains(subject)
                || match subject.split_once(':') {
                    Some(("deployment", id)) => down.contains_key(id),
                    Some(("group", group)) => is_out(group),
                    Some(_) | None => false,
                }
        };
        let works = |subject: &str| !is_wrong(subject) && self.is_known_to_work(subject, scene);
        let healthy = asked.iter().filter(|subject| works(subject)).cloned().collect();
        let unnamed = unseen + troubles.len().saturating_sub(TROUBLES_MAX);
        troubles.truncate(TROUBLES_MAX);
        let groups = troubles.iter().flat_map(|trouble| &trouble.groups);
        let counters = groups.map(|group| {
            let past = self.groups.get(&**group);
            (group.clone(), past.map(|past| past.counter(now)).unwrap_or_default())
        });
        let groups = counters.collect();
        let (replica, unnamed) = (self.replica.clone(), unnamed as u64);
        Report { replica, troubles, groups, healthy, unnamed }
    }

    /// Whether nothing is remembered.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        let (ids, groups) = (self.answered.len() + self.outcomes.len(), self.groups.len());
        ids + groups + self.spells.len() == 0
    }

    /// Forgets what no config has any more.
    pub fn reconfigured(&mut self, scene: &dyn Scene) {
        let is_group = |group: &Arc<str>| !scene.members(group).is_empty();
        self.answered.retain(|id| scene.has(id));
        self.outcomes.retain(|id, _| scene.has(id));
        self.groups.retain(|group, _| is_group(group));
        self.spells.retain(|(_, group), _| is_group(group));
    }

    fn count(&mut self, now: u64, tally: &Tally, (scene, rules): (&dyn Scene, &Rules)) {
        // Clients write names of models that patterns match, aliases and ids: what they lead to is kept.
        for (name, effect) in &tally.groups {
            if let Some(group) = scene.group_of(name) {
                self.groups.entry(group).or_default().add(now, *effect);
            }
        }
        for (id, attempts) in &tally.deployments {
            if attempts.answered > 0 {
                self.answered.insert(id.clone());
            }
            let one = self.outcomes.entry(id.clone()).or_insert_with(|| Outcomes {
                recent: Recent::default(),
                cause: Cause::ServerError,
                is_down: false,
            });
            one.recent.add(now, attempts.answered, attempts.failed);
            one.cause = attempts.cause.unwrap_or(one.cause);
        }
        let least = rules.min_failures.max(1);
        let most_failed = |(answered, failed)| failed >= least && failed >= answered;
        self.outcomes.retain(|_, one| {
            let (minute, latest) = (one.recent.sum(now, PIECES), one.recent.sum(now, LATEST));
            if !one.is_down {
                one.is_down = most_failed(minute) || most_failed(latest);
            } else if latest.0 > latest.1 {
                // What failed before says nothing about what comes.
                *one = Outcomes { recent: Recent::default(), is_down: false, ..one.clone() };
            }
            one.is_down || minute != (0, 0)
        });
        for (name, slow) in &tally.slow {
            let Some(group) = scene.group_of(name) else { continue };
            let spell = self.spells.entry((Kind::SlowRequests, group)).or_default();
            spell.recent.add(now, 0, slow.requests);
            spell.cause = longest(*slow);
            spell.family = Family::Own;
        }
        for (name, (requests, cause)) in &tally.exhausted {
            let Some(group) = scene.group_of(name) else { continue };
            let spell = self.spells.entry((Kind::FallbacksExhausted, group)).or_default();
            spell.recent.add(now, 0, *requests);
            spell.cause = cause.name().to_owned();
            spell.family = Family::of(*cause);
        }
        self.spells.retain(|(kind, _), spell| {
            let (_, failed) = spell.recent.sum(now, PIECES);
            let least = if *kind == Kind::SlowRequests { 1 } else { rules.min_failures.max(1) };
            spell.is_on = (spell.is_on && failed > 0) || failed >= least;
            failed > 0
        });
    }

    fn of_spells(&self, rules: &Rules) -> Vec<Trouble> {
        let on = self.spells.iter().filter(|(_, spell)| spell.is_on);
        let trouble = |((kind, group), spell): (&(Kind, Arc<str>), &Spell)| {
            let is_slow = *kind == Kind::SlowRequests;
            let (subject, fix) = if is_slow {
                let fix = format!(
                    "see /router/state for the slow deployment; a request is slow from {} on (alerting_threshold)",
                    lasted(rules.slow_ms)
                );
                (format!("slow:{group}"), fix)
            } else {
                let fix = "add a fallback at another provider; the log has a line for each request that failed";
                (format!("fallbacks:{group}"), fix.to_owned())
            };
            Trouble {
                kind: *kind,
                subject: subject.into(),
                name: (&**group).into(),
                root: Root {
                    family: spell.family,
                    provider: Box::default(),
                    place: (&**group).into(),
                },
                cause: spell.cause.as_str().into(),
                words: Box::default(),
                fix: fix.into(),
                groups: vec![(&**group).into()],
                since: 0,
            }
        };
        let mut troubles: Vec<Trouble> = on.map(trouble).collect();
        troubles.sort_by(|one, other| one.subject.cmp(&other.subject));
        troubles
    }

    /// Notes since when each is wrong.
    fn date(&mut self, now: u64, troubles: &mut [Trouble]) {
        let mut since = HashMap::with_capacity(troubles.len());
        for trouble in troubles {
            trouble.since = self.since.get(&trouble.subject).copied().unwrap_or(now);
            since.insert(trouble.subject.clone(), trouble.since);
        }
        self.since = since;
    }

    /// Whether a subject that is in no trouble is known to work, rather than not tried since the start.
    fn is_known_to_work(&self, subject: &str, scene: &dyn Scene) -> bool {
        let answers = |id: &str| self.answered.contains(id);
        match subject.split_once(':') {
            Some(("deployment", id)) => !scene.has(id) || answers(id),
            Some(("group", name)) => {
                let members = scene.members(name);
                members.is_empty() || members.iter().any(|one| answers(&one.id))
            }
            Some(_) | None => true,
        }
    }

    /// A probe of the deployment found it healthy.
    pub fn probed_healthy(&mut self, id: &Arc<str>) {
        self.answered.insert(id.clone());
    }
}

fn longest(slow: Slow) -> String {
    let time = lasted(slow.longest_ms);
    match slow.longest {
        SoFar::Ended => format!("one took {time}"),
        SoFar::Hangs => format!("one has no answer after {time}"),
    }
}

fn of_deployment(id: &str, cause: Cause, facts: &Facts, scene: &dyn Scene) -> Trouble {
    let (words, fix) = scene.advice(id, cause);
    let family = Family::of(cause);
    let (kind, place) = match family {
        Family::Key | Family::Quota => {
            let kind = if family == Family::Key { Kind::KeyRefused } else { Kind::DeploymentDown };
            (kind, facts.credential.clone().unwrap_or_else(|| facts.host.clone()))
        }
        Family::Rate => {
            (Kind::DeploymentDown, facts.credential.clone().unwrap_or_else(|| facts.host.clone()))
        }
        Family::Model => (Kind::DeploymentDown, facts.model.clone()),
        Family::Outage | Family::Own => (Kind::DeploymentDown, facts.host.clone()),
    };
    Trouble {
        kind,
        subject: format!("deployment:{id}").into(),
        name: facts.name.clone(),
        root: Root { family, provider: facts.provider.clone(), place },
        cause: cause.name().into(),
        words: words.chars().take(WORDS_MAX).collect::<String>().into(),
        fix: fix.into(),
        groups: facts.groups.iter().map(|group| Box::from(&**group)).collect(),
        since: 0,
    }
}

/// Nothing in the group can serve; `trouble` is that of a member.
fn of_group(group: &str, trouble: Trouble) -> Trouble {
    Trouble {
        kind: Kind::GroupDown,
        subject: format!("group:{group}").into(),
        name: group.into(),
        groups: vec![group.into()],
        ..trouble
    }
}
