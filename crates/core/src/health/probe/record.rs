//! What probes and traffic proved about one deployment, as far as probes are concerned.
//!
//! Part of [`crate::health::DeploymentState`], which is the only code that changes it. Always true:
//! a good answer to traffic ends a verdict of probes; a failed probe that began before such an
//! answer changes nothing; selection reads one atomic word; every change is returned as an event.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::{Doubt, Finding, ProbeResult, Status};
use crate::cause::Cause;
use crate::health::FailureCount;
use crate::health::event::{Carried, Change, EventLog, HealthEvent, HealthPart, Source, Standing};
use crate::time::Millis;

/// Failed probes in a row before a deployment is unhealthy: one lost packet is not a verdict.
const CONFIRMED_AFTER: u32 = 3;
/// The same if the provider refused explicitly.
const REFUSED_AFTER: u32 = 2;

/// What the pages show.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// The verdict; [`Status::Unprobed`] if it is too old.
    pub status: Status,
    /// When the last evidence for it came.
    pub proved_at: Option<Millis>,
    /// Whether that was traffic.
    pub by_traffic: bool,
    /// Failed probes in a row.
    pub failures_in_a_row: u32,
    /// The last probe, whatever it proved.
    pub last: Option<Arc<ProbeResult>>,
    /// When the next probe is due.
    pub next_at: Option<Millis>,
}

/// The record of one deployment.
#[derive(Debug, Default)]
pub struct ProbeRecord {
    /// 0, or unhealthy: `proved << 8 | cause + 1`.
    word: AtomicU64,
    /// When traffic last got a good answer, plus 1; 0 is never.
    live_at: AtomicU64,
    /// Whether a probe failed and no good evidence came after it.
    suspect: AtomicBool,
    /// Whether it is healthy and no probe failed since. Then a good answer changes nothing.
    settled: AtomicBool,
    /// Probes so far.
    count: AtomicU64,
    /// The least number of tokens that may be requested; 0 is unknown.
    floor: AtomicU32,
    /// When the next probe is due, plus 1; 0 is unknown.
    next_at: AtomicU64,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    status: Status,
    proved_at: Option<Millis>,
    /// Whether traffic proved it.
    by_traffic: bool,
    failures_in_a_row: u32,
    last: Option<Arc<ProbeResult>>,
    last_model: Option<Box<str>>,
}

fn moment(word: u64) -> Option<Millis> {
    word.checked_sub(1).map(Millis)
}

impl ProbeRecord {
    /// Why probes say that it does not work, unless that is older than `staleness_ms`.
    #[must_use]
    pub fn unhealthy(&self, now: Millis, staleness_ms: u64) -> Option<Cause> {
        let word = self.word.load(Ordering::Relaxed);
        let index = u8::try_from(word & 0xff).ok()?.checked_sub(1)?;
        let fresh = now.since(Millis(word >> 8)) <= staleness_ms;
        Cause::from_index(index).filter(|_| fresh)
    }

    /// When traffic last got a good answer.
    #[must_use]
    pub fn live_at(&self) -> Option<Millis> {
        moment(self.live_at.load(Ordering::Relaxed))
    }

    /// Whether the last probes failed.
    #[must_use]
    pub fn is_suspect(&self) -> bool {
        self.suspect.load(Ordering::Relaxed)
    }

    /// The verdict, however old, and how many probes failed in a row.
    #[must_use]
    pub fn standing(&self) -> (Status, u32) {
        let inner = self.inner.lock();
        (inner.status, inner.failures_in_a_row)
    }

    /// The last probe, whatever it proved.
    #[must_use]
    pub fn last(&self) -> Option<Arc<ProbeResult>> {
        self.inner.lock().last.clone()
    }

    /// Probes so far.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// The least number of tokens that may be requested, if it was learned.
    #[must_use]
    pub fn token_floor(&self) -> Option<u32> {
        Some(self.floor.load(Ordering::Relaxed)).filter(|floor| *floor > 0)
    }

    /// The provider named the least number of tokens that may be requested.
    pub fn learn_floor(&self, floor: u32) {
        self.floor.store(floor, Ordering::Relaxed);
    }

    /// The model that answered last, for a deployment that stands for many.
    #[must_use]
    pub fn last_model(&self) -> Option<Box<str>> {
        self.inner.lock().last_model.clone()
    }

    /// Sets when the next probe is due.
    pub fn plan_next(&self, at: Option<Millis>) {
        self.next_at.store(at.map_or(0, |at| at.0.saturating_add(1)), Ordering::Relaxed);
    }

    /// Traffic for `model` got a good answer. `model` is empty unless the deployment stands for
    /// many.
    pub(in crate::health) fn answered(
        &self,
        now: Millis,
        started: Millis,
        model: &str,
        log: &EventLog,
    ) -> Option<HealthEvent> {
        self.live_at.store(now.0.saturating_add(1), Ordering::Relaxed);
        let settled = self.settled.load(Ordering::Relaxed);
        if model.is_empty() && settled {
            return None;
        }
        let mut inner = self.inner.lock();
        if !model.is_empty() && inner.last_model.as_deref() != Some(model) {
            inner.last_model = Some(model.into());
        }
        // An attempt that began before the probe proves nothing about the time after it.
        if settled || inner.last.as_ref().is_some_and(|last| started < last.started) {
            return None;
        }
        let proof = Proof { at: now, now, source: Source::Traffic };
        let change = self.proved(&mut inner, proof, Status::Healthy);
        change.map(|change| log.record(HealthPart::Probes, change))
    }

    /// Time passed: a verdict older than `staleness_ms` is void.
    pub(in crate::health) fn grow_old(
        &self,
        now: Millis,
        staleness_ms: u64,
        log: &EventLog,
    ) -> Option<HealthEvent> {
        let mut inner = self.inner.lock();
        let newest = inner.proved_at.max(self.live_at())?;
        if inner.status == Status::Unprobed || now.since(newest) <= staleness_ms {
            return None;
        }
        let change = self.enter(
            &mut inner,
            Proof { at: newest, now, source: Source::Time },
            Status::Unprobed,
        );
        change.map(|change| log.record(HealthPart::Probes, change))
    }

    /// A probe ended.
    pub(in crate::health) fn probed(
        &self,
        probe: &Arc<ProbeResult>,
        failures: FailureCount,
        log: &EventLog,
    ) -> Option<HealthEvent> {
        self.count.fetch_add(1, Ordering::Relaxed);
        let mut inner = self.inner.lock();
        inner.last = Some(probe.clone());
        let change = self.found(&mut inner, probe, failures);
        change.map(|change| log.record(HealthPart::Probes, change))
    }

    /// What a probe's finding changes.
    fn found(
        &self,
        inner: &mut Inner,
        probe: &ProbeResult,
        failures: FailureCount,
    ) -> Option<Change> {
        let outdated = self.live_at().is_some_and(|live| live >= probe.started);
        let proof = Proof { at: probe.ended, now: probe.ended, source: Source::Probe };
        match probe.finding {
            Finding::ProbeError => None,
            Finding::Healthy => self.proved(inner, proof, Status::Healthy),
            Finding::RateLimited(_) => self.proved(inner, proof, Status::RateLimited),
            Finding::Unknown(look @ (Doubt::Shallow | Doubt::Unserved)) => match inner.status {
                Status::Unhealthy(cause) if !is_seen_by_a_look(cause) => None,
                // A list of models does not overrule an answer of the model; that verdict ages out.
                Status::Healthy | Status::RateLimited => None,
                Status::Unprobed | Status::Unknown(_) | Status::Unhealthy(_) => {
                    self.proved(inner, proof, Status::Unknown(look))
                }
            },
            Finding::Unknown(doubt) => self.proved(inner, proof, Status::Unknown(doubt)),
            Finding::Failing(_) if outdated || failures == FailureCount::Never => None,
            Finding::Failing(cause) => {
                inner.failures_in_a_row = inner.failures_in_a_row.saturating_add(1);
                self.suspect.store(true, Ordering::Relaxed);
                self.settled.store(false, Ordering::Relaxed);
                let needed = match (failures, cause) {
                    (FailureCount::AtOnce, _) => 1,
                    (_, Cause::Auth | Cause::Permission | Cause::NotFound) => REFUSED_AFTER,
                    _ => CONFIRMED_AFTER,
                };
                let stays = matches!(inner.status, Status::Unhealthy(_));
                if !stays && inner.failures_in_a_row < needed {
                    return None;
                }
                self.enter(inner, proof, Status::Unhealthy(cause))
            }
        }
    }

    fn proved(&self, inner: &mut Inner, proof: Proof, status: Status) -> Option<Change> {
        inner.failures_in_a_row = 0;
        self.suspect.store(false, Ordering::Relaxed);
        self.enter(inner, proof, status)
    }

    /// The only place that changes the verdict.
    fn enter(&self, inner: &mut Inner, proof: Proof, to: Status) -> Option<Change> {
        let from = std::mem::replace(&mut inner.status, to);
        inner.proved_at = Some(proof.at);
        inner.by_traffic = proof.source == Source::Traffic;
        self.word.store(pack(to, proof.at), Ordering::Relaxed);
        self.settled.store(to == Status::Healthy, Ordering::Relaxed);
        (from != to).then(|| change(from, to, proof.now, proof.source))
    }

    /// Something else is under the same id: the history continues, the verdict is void.
    pub(in crate::health) fn carry(
        &self,
        before: &Carried,
        now: Millis,
        log: &EventLog,
    ) -> Option<HealthEvent> {
        self.count.store(before.probed, Ordering::Relaxed);
        let from = before.probes;
        (from != Status::Unprobed).then(|| {
            log.record(HealthPart::Probes, change(from, Status::Unprobed, now, Source::Config))
        })
    }

    /// Forgets every verdict, as if never probed. What was learned about tokens stays.
    pub(in crate::health) fn reset(
        &self,
        now: Millis,
        source: Source,
        log: &EventLog,
    ) -> Option<HealthEvent> {
        let mut inner = self.inner.lock();
        let change = self.enter(&mut inner, Proof { at: now, now, source }, Status::Unprobed);
        *inner = Inner::default();
        self.suspect.store(false, Ordering::Relaxed);
        change.map(|change| log.record(HealthPart::Probes, change))
    }

    /// Returns the rule that the record breaks, if it breaks one.
    pub(in crate::health) fn check_invariants(&self) -> Result<Status, String> {
        let inner = self.inner.lock();
        let (status, row) = (inner.status, inner.failures_in_a_row);
        let (suspect, settled) = (self.is_suspect(), self.settled.load(Ordering::Relaxed));
        let word = self.word.load(Ordering::Relaxed);
        let rules = [
            (word == inner.proved_at.map_or(0, |at| pack(status, at)), "the word is the verdict"),
            (inner.proved_at.is_some() || status == Status::Unprobed, "a verdict has evidence"),
            (suspect == (row > 0), "suspect means that the last probes failed"),
            (!settled || (status == Status::Healthy && row == 0), "settled means healthy"),
            (
                row > 0 || !matches!(status, Status::Unhealthy(_)),
                "unhealthy means that probes failed",
            ),
        ];
        match rules.into_iter().find(|(holds, _)| !holds) {
            Some((_, rule)) => {
                Err(format!("probes: {rule}: {status:?}, {row} failures, {word:#x}"))
            }
            None => Ok(status),
        }
    }

    /// What the pages show at `now`; evidence older than `staleness_ms` does not count.
    #[must_use]
    pub fn history(&self, now: Millis, staleness_ms: u64) -> History {
        let inner = self.inner.lock();
        let live_at = self.live_at().filter(|live| inner.proved_at.is_none_or(|at| *live > at));
        // A probe that failed after the last good answer is being confirmed, or is the verdict.
        let live_at = live_at.filter(|_| inner.failures_in_a_row == 0);
        let (status, proved_at) = match live_at {
            Some(live) => (Status::Healthy, Some(live)),
            None => (inner.status, inner.proved_at),
        };
        let stale = proved_at.is_some_and(|at| now.since(at) > staleness_ms);
        History {
            status: if stale { Status::Unprobed } else { status },
            proved_at,
            by_traffic: live_at.is_some() || inner.by_traffic,
            failures_in_a_row: inner.failures_in_a_row,
            last: inner.last.clone(),
            next_at: moment(self.next_at.load(Ordering::Relaxed)),
        }
    }
}

/// The evidence that changes a verdict.
#[derive(Clone, Copy)]
struct Proof {
    /// When the evidence came.
    at: Millis,
    now: Millis,
    source: Source,
}

fn change(from: Status, to: Status, at: Millis, source: Source) -> Change {
    let cause = match source {
        Source::Time => Some("stale"),
        Source::Config => Some("config_changed"),
        Source::Probe | Source::Traffic | Source::Operator | Source::Fleet => to.cause(),
    };
    let (from, to) = (Standing::Probed(from), Standing::Probed(to));
    Change { at, from, to, cause, source, until: None }
}

fn pack(status: Status, proved_at: Millis) -> u64 {
    match status {
        Status::Unhealthy(cause) => (proved_at.0.min(u64::MAX >> 8) << 8) | (cause as u64 + 1),
        Status::Unprobed | Status::Healthy | Status::RateLimited | Status::Unknown(_) => 0,
    }
}

/// Whether a list of models is enough to disprove that cause.
const fn is_seen_by_a_look(cause: Cause) -> bool {
    matches!(cause, Cause::Connect | Cause::Dns | Cause::Tls | Cause::Auth | Cause::Permission)
}

#[cfg(test)]
mod tests;
