//! When which deployment is checked.
//!
//! Driven by the gateway's health thread: [`Schedule::plan`] with each config, [`Schedule::start`] when
//! [`Schedule::wake`] says so, [`Schedule::ended`] with each result. Always true: at most `concurrency`
//! checks are under way, at most [`PER_UPSTREAM`] at one upstream, at most half of them at deployments
//! that failed last time; nobody is checked later than the interval but for want of such a place; who
//! proves itself by traffic is not checked; paid checks stay within the budget.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Allowance, Change, CheckSettings, Finding, Ledger, Quiet, Status};
use crate::deployment::{Deployment, DeploymentIndex};
use crate::health::{Source, Verdict};
use crate::snapshot::Snapshot;
use crate::time::Millis;

/// Checks under way at one upstream. Source: the contract, section 3.
pub(super) const PER_UPSTREAM: u32 = 2;
/// When a failed check is repeated before there is a verdict, milliseconds.
const CONFIRM_MS: [u64; 2] = [1_000, 3_000];
/// The first pause between checks of an unhealthy deployment, and the longest, milliseconds.
const BACKOFF_MS: (u64, u64) = (5_000, 300_000);
/// The first checks after a start are spread over this time at most, milliseconds.
const FIRST_MS: u64 = 30_000;

/// Deployments whose checks are the same, byte for byte: one is sent for all.
#[derive(Clone, Debug, PartialEq)]
pub struct Subject {
    /// The id of the first of them.
    pub id: Arc<str>,
    /// All of them.
    pub members: Vec<DeploymentIndex>,
    /// Where it goes, as whom, and for which model, as a number: what was known about something else
    /// means nothing.
    pub place: u64,
    /// The host that is asked, as a number.
    pub upstream: u64,
    /// The credential that is used, as a number.
    pub credential: u64,
    /// What one check costs, in units of 10^-9 USD; 0 is free or not known.
    pub nano_usd: u64,
    /// What checks of a day may cost.
    pub budget_nano_usd: Option<u64>,
}

/// A check to make.
#[derive(Clone, Debug, PartialEq)]
pub struct Start {
    /// Of whom.
    pub subject: Subject,
    /// Whether only what costs nothing may be done.
    pub free_only: bool,
}

#[derive(Clone, Debug)]
struct Entry {
    subject: Subject,
    due: Millis,
    under_way: bool,
    /// Checks in a row that found it unhealthy.
    backoff: u32,
    /// Whether it was checked before.
    begun: bool,
}

/// The plan for all deployments.
#[derive(Debug, Default)]
pub struct Schedule {
    settings: CheckSettings,
    entries: Vec<Entry>,
    under_way: u32,
    /// Of those, at deployments that failed last time.
    suspects: HashMap<Arc<str>, ()>,
    per_upstream: HashMap<u64, u32>,
    /// Until when a credential is left alone.
    quiet: Arc<Mutex<Quiet>>,
    /// What is asked under which deployment's id: the place of its subject.
    places: HashMap<Arc<str>, u64>,
    ledger: Arc<Mutex<Ledger>>,
}

/// A part of `ms`: `chance` of 0 gives nothing of it, the greatest nearly all.
fn part(ms: u64, chance: u64) -> u64 {
    let scaled = (u128::from(ms) * u128::from(chance)) >> 64;
    u64::try_from(scaled).unwrap_or(ms)
}

impl Schedule {
    /// Nothing is planned; what was spent and who is to be left alone are known elsewhere too.
    #[must_use]
    pub fn new(ledger: Arc<Mutex<Ledger>>, quiet: Arc<Mutex<Quiet>>) -> Schedule {
        Schedule { ledger, quiet, ..Schedule::default() }
    }

    /// A new config is in force. Who was planned before stays where he is in his period.
    ///
    /// `phase` gives a number for an id that is the same each time, evenly spread. Gives the verdicts that
    /// are void because something else is asked under the same id.
    pub fn plan(
        &mut self,
        now: Millis,
        subjects: Vec<Subject>,
        snapshot: &Snapshot,
        phase: impl Fn(&str) -> u64,
    ) -> Vec<(DeploymentIndex, Change)> {
        let settings = &snapshot.checks;
        let interval = settings.interval_ms;
        let void = self.forget(now, &subjects, snapshot);
        let mut before: HashMap<Arc<str>, Entry> =
            self.entries.drain(..).map(|entry| (entry.subject.id.clone(), entry)).collect();
        let same = |known: &Entry, subject: &Subject| known.subject.place == subject.place;
        self.entries = subjects
            .into_iter()
            .map(|subject| match before.remove(&subject.id) {
                // A shorter interval holds at once.
                Some(known) if same(&known, &subject) => {
                    Entry { subject, due: known.due.min(now.plus(interval)), ..known }
                }
                Some(_) | None => {
                    let due = now.plus(part(interval.min(FIRST_MS), phase(&subject.id)));
                    Entry { subject, due, under_way: false, backoff: 0, begun: false }
                }
            })
            .collect();
        self.settings = settings.clone();
        self.ledger.lock().retain(|id| snapshot.by_id.contains_key(id));
        self.entries.iter().for_each(|entry| entry.tell(snapshot));
        void
    }

    /// Forgets the verdicts of those whose address, credential or model is another one.
    fn forget(
        &mut self,
        now: Millis,
        subjects: &[Subject],
        snapshot: &Snapshot,
    ) -> Vec<(DeploymentIndex, Change)> {
        let mut void = Vec::new();
        let mut places = HashMap::new();
        for subject in subjects {
            for index in &subject.members {
                let Some(deployment) = snapshot.deployments.get(index.0 as usize) else { continue };
                let before = self.places.get(&deployment.id);
                if before.is_some_and(|place| *place != subject.place) {
                    let change = deployment.state.checks().reset(now, Source::Config);
                    void.extend(change.map(|change| (*index, change)));
                }
                places.insert(deployment.id.clone(), subject.place);
            }
        }
        self.places = places;
        void
    }

    /// When to call [`Schedule::start`] again, unless a check ends before.
    #[must_use]
    pub fn wake(&self, now: Millis) -> Millis {
        let waiting = self.entries.iter().filter(|entry| !entry.under_way && entry.due > now);
        waiting.map(|entry| entry.due).min().unwrap_or(Millis::NEVER)
    }

    /// Checks under way.
    #[must_use]
    pub fn under_way(&self) -> u32 {
        self.under_way
    }

    /// The checks that begin at `now`.
    pub fn start(&mut self, now: Millis, snapshot: &Snapshot) -> Vec<Start> {
        let mut due: Vec<(Millis, usize)> = Vec::new();
        for (place, entry) in self.entries.iter_mut().enumerate() {
            if entry.under_way || entry.due > now {
                continue;
            }
            match reprieve(&self.settings, &self.quiet.lock(), entry, snapshot, now) {
                Some(later) => {
                    entry.due = later;
                    entry.tell(snapshot);
                }
                None => due.push((entry.due, place)),
            }
        }
        due.sort_unstable();
        due.into_iter().filter_map(|(_, place)| self.begin(now, place, snapshot)).collect()
    }

    fn begin(&mut self, now: Millis, place: usize, snapshot: &Snapshot) -> Option<Start> {
        let entry = self.entries.get_mut(place)?;
        let at_upstream = self.per_upstream.entry(entry.subject.upstream).or_default();
        if self.under_way >= self.settings.concurrency || *at_upstream >= PER_UPSTREAM {
            return None;
        }
        let suspect = entry.is_suspect(snapshot);
        // Those that hang would else take every place from those that are well.
        let suspects_max = (self.settings.concurrency / 2).max(1) as usize;
        if suspect && self.suspects.len() >= suspects_max {
            return None;
        }
        let Subject { id, nano_usd, budget_nano_usd, .. } = &entry.subject;
        let all = self.settings.daily_budget_nano_usd();
        let allowed = Allowance { own: *budget_nano_usd, all };
        let free_only = !self.ledger.lock().book(now, id, *nano_usd, allowed);
        *at_upstream += 1;
        self.under_way += 1;
        entry.under_way = true;
        if suspect {
            self.suspects.insert(entry.subject.id.clone(), ());
        }
        Some(Start { subject: entry.subject.clone(), free_only })
    }

    /// A check ended, and its members' states know it.
    pub fn ended(
        &mut self,
        now: Millis,
        snapshot: &Snapshot,
        subject: &Subject,
        finding: Finding,
        chance: u64,
    ) {
        self.under_way = self.under_way.saturating_sub(1);
        if let Some(count) = self.per_upstream.get_mut(&subject.upstream) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.per_upstream.remove(&subject.upstream);
            }
        }
        self.suspects.remove(&subject.id);
        if let Finding::RateLimited(Some(ms)) = finding {
            self.quiet.lock().ask(now, subject.credential, ms);
        }
        let settings = &self.settings;
        let is_it =
            |one: &&mut Entry| (&one.subject.id, one.subject.place) == (&subject.id, subject.place);
        let Some(entry) = self.entries.iter_mut().find(is_it) else { return };
        if !std::mem::take(&mut entry.under_way) {
            return;
        }
        let interval = settings.interval_ms;
        let (status, failures) = entry.standing(snapshot);
        let unhealthy = matches!(status, Status::Unhealthy(_));
        entry.backoff = if unhealthy { entry.backoff.saturating_add(1) } else { 0 };
        entry.due = if unhealthy {
            let doubled = BACKOFF_MS.0.saturating_mul(1 << (entry.backoff - 1).min(16));
            now.plus(shortened(doubled.min(BACKOFF_MS.1).min(interval), chance))
        } else if let (Finding::Failing(_), 1..) = (finding, failures) {
            let step = usize::try_from(failures - 1).unwrap_or(usize::MAX);
            let pause = CONFIRM_MS.get(step).or(CONFIRM_MS.last()).copied().unwrap_or(interval);
            now.plus(pause.min(interval))
        } else if std::mem::replace(&mut entry.begun, true) {
            // The period counts from when it was due, not from when it ended.
            entry.due.plus(shortened(interval, chance)).max(now.plus(interval / 10))
        } else {
            // From the crowd of the start to a place of its own in the period.
            now.plus(interval / 2 + part(interval / 2, chance))
        };
        if let Some(until) = self.quiet.lock().until(now, subject.credential) {
            entry.due = entry.due.max(until);
        }
        entry.tell(snapshot);
    }
}

impl Entry {
    fn deployments<'s>(&'s self, snapshot: &'s Snapshot) -> impl Iterator<Item = &'s Deployment> {
        let find = |index: &DeploymentIndex| snapshot.deployments.get(index.0 as usize);
        self.subject.members.iter().filter_map(find).map(|one| &**one)
    }

    /// Tells the pages when the next check is due.
    fn tell(&self, snapshot: &Snapshot) {
        for deployment in self.deployments(snapshot) {
            deployment.state.checks().plan_next(Some(self.due));
        }
    }

    /// What is in force for the first of its deployments, and how many checks failed in a row.
    fn standing(&self, snapshot: &Snapshot) -> (Status, u32) {
        let first = self.deployments(snapshot).next();
        first.map_or((Status::Unchecked, 0), |one| one.state.checks().standing())
    }

    fn is_suspect(&self, snapshot: &Snapshot) -> bool {
        self.deployments(snapshot).any(|one| one.state.checks().is_suspect())
    }
}

/// Up to a tenth less, so that those who were together part.
fn shortened(ms: u64, chance: u64) -> u64 {
    ms - part(ms / 10, chance)
}

/// Until when a check that is due need not, or must not, be made.
fn reprieve(
    settings: &CheckSettings,
    quiet: &Quiet,
    entry: &Entry,
    snapshot: &Snapshot,
    now: Millis,
) -> Option<Millis> {
    let interval = settings.interval_ms;
    if let Some(until) = quiet.until(now, entry.subject.credential) {
        return Some(until);
    }
    let mut next: Option<Millis> = None;
    for deployment in entry.deployments(snapshot) {
        let state = &deployment.state;
        let later = if state.is_disabled() {
            now.plus(interval)
        } else if let Verdict::Cooling(rest) = deployment.verdict(now)
            && rest.provider_issued
        {
            rest.until
        } else {
            let live = state.checks().live_at().filter(|_| settings.skips_if_live)?;
            if now.since(live) >= interval || state.checks().is_suspect() {
                return None;
            }
            // Evidence counts for one interval, and no longer: traffic that goes on renews it.
            live.plus(interval)
        };
        next = Some(next.map_or(later, |known| known.min(later)));
    }
    next
}

#[cfg(test)]
mod tests;
