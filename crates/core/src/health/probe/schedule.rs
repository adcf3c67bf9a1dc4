//! When which deployment is probed.
//!
//! Driven by the gateway's health thread: [`Schedule::plan`] with each config, [`Schedule::start`]
//! when [`Schedule::wake`] says so, [`Schedule::ended`] with each result; [`ProbeLimits`] are lent
//! to it. Always true: at most `concurrency` probes are in flight, at most [`PER_UPSTREAM`] of them
//! at one upstream, at most half of them at deployments that failed last time; a probe is late only
//! for want of such a place; a deployment that proves itself by traffic is not probed; paid probes
//! stay within the budget; of probes that replicas share it sends those that it holds a lease of.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Allowance, Finding, ProbeLimits, ProbeSettings, RateLimitHolds, Status};
use crate::deployment::{Deployment, DeploymentIndex};
use crate::health::{Evidence, HealthEvent, Verdict};
use crate::snapshot::Snapshot;
use crate::time::Millis;

/// Probes in flight at one upstream, so that a server with many models is not flooded.
pub(super) const PER_UPSTREAM: u32 = 2;
/// When a failed probe is repeated before there is a verdict, milliseconds.
const CONFIRM_MS: [u64; 2] = [1_000, 3_000];
/// The first pause between probes of an unhealthy deployment, and the longest, milliseconds.
const BACKOFF_MS: (u64, u64) = (5_000, 300_000);
/// The first probes after a start are spread over at most this time, milliseconds.
const FIRST_MS: u64 = 30_000;
/// And over this time for each of them, milliseconds, so that a small config has its verdicts within
/// seconds.
const FIRST_EACH_MS: u64 = 50;

/// Deployments whose probes are the same, byte for byte: one is sent for all.
#[derive(Clone, Debug, PartialEq)]
pub struct Subject {
    /// The id of the first of them.
    pub id: Arc<str>,
    /// All of them.
    pub members: Vec<DeploymentIndex>,
    /// A number for its address, credential and model. If it changes, what was known is void.
    pub place: u64,
    /// Where in the interval its first probe is, from 0 to [`u64::MAX`]: evenly spread over ids,
    /// and always the same for one id.
    pub phase: u64,
    /// A number for the host.
    pub upstream: u64,
    /// A number for the credential.
    pub credential: u64,
    /// What one probe costs, in units of 10^-9 USD; 0 is free or unknown.
    pub nano_usd: u64,
    /// What its probes of a day may cost.
    pub budget_nano_usd: Option<u64>,
}

/// A probe to send.
#[derive(Clone, Debug, PartialEq)]
pub struct Start {
    /// What is probed.
    pub subject: Subject,
    /// Whether only a probe that costs nothing may be sent.
    pub free_only: bool,
}

#[derive(Clone, Debug)]
struct Entry {
    subject: Subject,
    due: Millis,
    under_way: bool,
    /// Probes in a row that found it unhealthy.
    backoff: u32,
    /// Whether it was probed before.
    begun: bool,
}

/// The plan for all deployments.
#[derive(Debug, Default)]
pub struct Schedule {
    settings: ProbeSettings,
    entries: Vec<Entry>,
    under_way: u32,
    /// The probes in flight at deployments that failed last time.
    suspects: HashMap<Arc<str>, ()>,
    per_upstream: HashMap<u64, u32>,
    /// What is probed under each deployment's id: the place of its subject.
    places: HashMap<Arc<str>, u64>,
}

/// A fraction of `ms`: `chance` of 0 gives nothing, the greatest nearly all.
fn part(ms: u64, chance: u64) -> u64 {
    let scaled = (u128::from(ms) * u128::from(chance)) >> 64;
    u64::try_from(scaled).unwrap_or(ms)
}

impl Schedule {
    /// Takes a new config. Deployments that were planned before keep their next due time. Returns
    /// what changed because something else is probed under the same id.
    pub fn plan(
        &mut self,
        now: Millis,
        subjects: Vec<Subject>,
        snapshot: &Snapshot,
        limits: &mut ProbeLimits,
    ) -> Vec<HealthEvent> {
        let settings = &snapshot.probing;
        let interval = settings.interval_ms;
        let void = self.forget(now, &subjects, snapshot);
        let mut before: HashMap<Arc<str>, Entry> =
            self.entries.drain(..).map(|entry| (entry.subject.id.clone(), entry)).collect();
        let first_ms = FIRST_EACH_MS.saturating_mul(subjects.len() as u64).min(FIRST_MS);
        let same = |known: &Entry, subject: &Subject| known.subject.place == subject.place;
        self.entries = subjects
            .into_iter()
            .map(|subject| match before.remove(&subject.id) {
                // A shorter interval holds at once.
                Some(known) if same(&known, &subject) => {
                    Entry { subject, due: known.due.min(now.plus(interval)), ..known }
                }
                Some(_) | None => {
                    let due = now.plus(part(interval.min(first_ms), subject.phase));
                    Entry { subject, due, under_way: false, backoff: 0, begun: false }
                }
            })
            .collect();
        self.settings = settings.clone();
        limits.ledger.retain(|id| snapshot.by_id.contains_key(id));
        limits.leases.plan(self.entries.iter().map(|entry| entry.subject.id.clone()).collect());
        self.entries.iter().for_each(|entry| entry.tell(snapshot));
        void
    }

    /// Voids the verdicts of deployments whose address, credential or model changed.
    fn forget(
        &mut self,
        now: Millis,
        subjects: &[Subject],
        snapshot: &Snapshot,
    ) -> Vec<HealthEvent> {
        let mut void = Vec::new();
        let mut places = HashMap::new();
        for subject in subjects {
            for index in &subject.members {
                let Some(deployment) = snapshot.deployments.get(index.0 as usize) else { continue };
                let before = self.places.get(&deployment.id);
                if before.is_some_and(|place| *place != subject.place) {
                    void.extend(deployment.apply(now, &Evidence::ProbeTargetChanged));
                }
                places.insert(deployment.id.clone(), subject.place);
            }
        }
        self.places = places;
        void
    }

    /// When to call [`Schedule::start`] again, unless a probe ends before.
    #[must_use]
    pub fn wake(&self, now: Millis) -> Millis {
        let waiting = self.entries.iter().filter(|entry| !entry.under_way && entry.due > now);
        waiting.map(|entry| entry.due).min().unwrap_or(Millis::NEVER)
    }

    /// Probes in flight.
    #[must_use]
    pub fn under_way(&self) -> u32 {
        self.under_way
    }

    /// The probes that begin at `now`.
    pub fn start(
        &mut self,
        now: Millis,
        snapshot: &Snapshot,
        limits: &mut ProbeLimits,
    ) -> Vec<Start> {
        let mut due: Vec<(Millis, usize)> = Vec::new();
        for (place, entry) in self.entries.iter_mut().enumerate() {
            let is_allowed = limits.leases.allow(now, &entry.subject.id);
            if entry.under_way || entry.due > now || !is_allowed {
                continue;
            }
            match entry.need(&self.settings, &limits.holds, snapshot, now) {
                Need::Now => due.push((entry.due, place)),
                Need::NotBefore(later) => {
                    entry.due = later;
                    entry.tell(snapshot);
                }
            }
        }
        due.sort_unstable();
        let due = due.into_iter();
        let starts =
            due.filter_map(|(_, place)| self.begin(now, place, snapshot, limits)).collect();
        debug_assert_eq!(self.check_invariants(), Ok(()));
        starts
    }

    fn begin(
        &mut self,
        now: Millis,
        place: usize,
        snapshot: &Snapshot,
        limits: &mut ProbeLimits,
    ) -> Option<Start> {
        let entry = self.entries.get_mut(place)?;
        let at_upstream = self.per_upstream.entry(entry.subject.upstream).or_default();
        if self.under_way >= self.settings.concurrency || *at_upstream >= PER_UPSTREAM {
            return None;
        }
        let suspect = entry.is_suspect(snapshot);
        // Probes that hang would otherwise take every place from deployments that answer.
        let suspects_max = (self.settings.concurrency / 2).max(1) as usize;
        if suspect && self.suspects.len() >= suspects_max {
            return None;
        }
        let Subject { id, nano_usd, budget_nano_usd, .. } = &entry.subject;
        let all = self.settings.daily_budget_nano_usd();
        let allowed = Allowance { own: *budget_nano_usd, all };
        let free_only = !limits.ledger.book(now, id, *nano_usd, allowed);
        *at_upstream += 1;
        self.under_way += 1;
        entry.under_way = true;
        if suspect {
            self.suspects.insert(entry.subject.id.clone(), ());
        }
        Some(Start { subject: entry.subject.clone(), free_only })
    }

    /// A probe ended, and the states of its members know the result.
    pub fn ended(
        &mut self,
        now: Millis,
        ended: &Ended<'_>,
        snapshot: &Snapshot,
        limits: &mut ProbeLimits,
    ) {
        let Ended { subject, finding, .. } = *ended;
        self.free(subject);
        if let Finding::RateLimited(Some(ms)) = finding {
            limits.holds.hold(now, subject.credential, ms);
        }
        let is_it =
            |one: &&mut Entry| (&one.subject.id, one.subject.place) == (&subject.id, subject.place);
        let Some(entry) = self.entries.iter_mut().find(is_it) else { return };
        if !std::mem::take(&mut entry.under_way) {
            return;
        }
        entry.reschedule(now, ended, self.settings.interval_ms, snapshot);
        if let Some(until) = limits.holds.until(now, subject.credential) {
            entry.due = entry.due.max(until);
        }
        entry.tell(snapshot);
        debug_assert_eq!(self.check_invariants(), Ok(()));
    }

    /// What is planned under that id.
    #[must_use]
    pub fn subject(&self, id: &str) -> Option<&Subject> {
        self.entries.iter().map(|entry| &entry.subject).find(|subject| *subject.id == *id)
    }

    /// A probe of another replica ended `age_ms` ago, and the states of its members know the result: it
    /// counts as one's own.
    pub fn ended_elsewhere(
        &mut self,
        now: Millis,
        ended: &Ended<'_>,
        age_ms: u64,
        snapshot: &Snapshot,
    ) {
        let is_it = |one: &&mut Entry| one.subject.id == ended.subject.id;
        let Some(entry) = self.entries.iter_mut().find(is_it) else { return };
        // Otherwise a result that is told late would stretch the interval.
        entry.due = entry.due.min(now);
        entry.reschedule(now, ended, self.settings.interval_ms, snapshot);
        entry.due = Millis(entry.due.0.saturating_sub(age_ms)).max(now);
        entry.tell(snapshot);
    }

    /// Frees the places of a probe that ended.
    fn free(&mut self, subject: &Subject) {
        self.under_way = self.under_way.saturating_sub(1);
        if let Some(count) = self.per_upstream.get_mut(&subject.upstream) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.per_upstream.remove(&subject.upstream);
            }
        }
        self.suspects.remove(&subject.id);
    }

    /// Returns the rule that the plan breaks, as text, if it breaks one.
    ///
    /// # Errors
    ///
    /// The rule, with the numbers that break it.
    pub fn check_invariants(&self) -> Result<(), String> {
        let at_upstreams: u32 = self.per_upstream.values().sum();
        let planned = self.entries.iter().filter(|entry| entry.under_way).count();
        let under_way = self.under_way;
        // Probes of an earlier config are in flight without an entry in the plan.
        let rules = [
            (at_upstreams == under_way, "each probe in flight is at an upstream"),
            (planned <= under_way as usize, "what the plan calls in flight is in flight"),
            (self.suspects.len() <= under_way as usize, "suspects are in flight"),
            (
                self.per_upstream.values().all(|count| *count <= PER_UPSTREAM),
                "an upstream gets a bounded number of probes",
            ),
        ];
        match rules.into_iter().find(|(holds, _)| !holds) {
            Some((_, rule)) => Err(format!(
                "schedule: {rule}: {under_way} under way, {planned} planned, {:?}, {} suspects",
                self.per_upstream,
                self.suspects.len()
            )),
            None => Ok(()),
        }
    }
}

/// A probe that ended.
#[derive(Clone, Copy, Debug)]
pub struct Ended<'e> {
    /// What was probed.
    pub subject: &'e Subject,
    /// What it found.
    pub finding: Finding,
    /// A uniformly random number.
    pub chance: u64,
}

/// Whether a probe that is due is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    /// It must be sent.
    Now,
    /// It need not, or must not, be sent before this time.
    NotBefore(Millis),
}

impl Entry {
    fn deployments<'s>(&'s self, snapshot: &'s Snapshot) -> impl Iterator<Item = &'s Deployment> {
        let find = |index: &DeploymentIndex| snapshot.deployments.get(index.0 as usize);
        self.subject.members.iter().filter_map(find).map(|one| &**one)
    }

    /// Shows the pages when the next probe is due.
    fn tell(&self, snapshot: &Snapshot) {
        for deployment in self.deployments(snapshot) {
            deployment.state.probes().plan_next(Some(self.due));
        }
    }

    /// The verdict on the first of its deployments, and how many probes failed in a row.
    fn standing(&self, snapshot: &Snapshot) -> (Status, u32) {
        let first = self.deployments(snapshot).next();
        first.map_or((Status::Unprobed, 0), |one| one.state.probes().standing())
    }

    fn is_suspect(&self, snapshot: &Snapshot) -> bool {
        self.deployments(snapshot).any(|one| one.state.probes().is_suspect())
    }

    /// Sets when it is due again after a probe.
    fn reschedule(&mut self, now: Millis, ended: &Ended<'_>, interval: u64, snapshot: &Snapshot) {
        let Ended { finding, chance, .. } = *ended;
        let (status, failures) = self.standing(snapshot);
        let unhealthy = matches!(status, Status::Unhealthy(_));
        self.backoff = if unhealthy { self.backoff.saturating_add(1) } else { 0 };
        self.due = if unhealthy {
            let doubled = BACKOFF_MS.0.saturating_mul(1 << (self.backoff - 1).min(16));
            now.plus(shortened(doubled.min(BACKOFF_MS.1).min(interval), chance))
        } else if let (Finding::Failing(_), 1..) = (finding, failures) {
            let step = usize::try_from(failures - 1).unwrap_or(usize::MAX);
            let pause = CONFIRM_MS.get(step).or(CONFIRM_MS.last()).copied().unwrap_or(interval);
            now.plus(pause.min(interval))
        } else if std::mem::replace(&mut self.begun, true) {
            // The interval counts from when the probe was due, not from when it ended.
            self.due.plus(shortened(interval, chance)).max(now.plus(interval / 10))
        } else {
            // After the start, probes are spread over the second half of the interval.
            now.plus(interval / 2 + part(interval / 2, chance))
        };
    }

    /// Whether the probe that is due is needed: its credential is not on hold, and some member
    /// needs it. A member needs none while it is disabled, while a cooldown that its provider named
    /// lasts, and while traffic proved it within the interval.
    fn need(
        &self,
        settings: &ProbeSettings,
        holds: &RateLimitHolds,
        snapshot: &Snapshot,
        now: Millis,
    ) -> Need {
        if let Some(until) = holds.until(now, self.subject.credential) {
            return Need::NotBefore(until);
        }
        let mut next: Option<Millis> = None;
        for deployment in self.deployments(snapshot) {
            let later = match member_need(settings, deployment, now) {
                Need::Now => return Need::Now,
                Need::NotBefore(later) => later,
            };
            next = Some(next.map_or(later, |known| known.min(later)));
        }
        next.map_or(Need::Now, Need::NotBefore)
    }
}

fn member_need(settings: &ProbeSettings, deployment: &Deployment, now: Millis) -> Need {
    let (state, interval) = (&deployment.state, settings.interval_ms);
    if state.is_disabled() {
        return Need::NotBefore(now.plus(interval));
    }
    if let Verdict::Cooling(cooldown) = deployment.verdict(now)
        && cooldown.provider_issued
    {
        return Need::NotBefore(cooldown.until);
    }
    match state.probes().live_at().filter(|_| settings.skips_if_live) {
        // Evidence counts for one interval; further traffic renews it.
        Some(live) if now.since(live) < interval && !state.probes().is_suspect() => {
            Need::NotBefore(live.plus(interval))
        }
        Some(_) | None => Need::Now,
    }
}

/// Up to a tenth less, so that probes that began together drift apart.
fn shortened(ms: u64, chance: u64) -> u64 {
    ms - part(ms / 10, chance)
}

#[cfg(test)]
mod tests;
