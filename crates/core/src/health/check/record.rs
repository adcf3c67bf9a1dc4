//! What checks and traffic proved about one deployment, as far as checks are concerned.
//!
//! Part of [`crate::health::DeploymentState`], which is the one place that changes it. Always true: a good
//! answer to real traffic ends a verdict of checks; a failed check that began before such an answer
//! changes nothing; selection reads one atomic word; every change is returned, to be logged once.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::{Doubt, Finding};
use crate::cause::Cause;
use crate::health::Obstacle;
use crate::health::event::{Event, KEPT, Source};
use crate::time::Millis;

/// Failed checks in a row before a deployment that was not unhealthy is. Source: the contract, section 3.
const CONFIRMED_AFTER: u32 = 3;
/// The same where the provider said no in so many words.
const REFUSED_AFTER: u32 = 2;

/// What is in force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Status {
    /// Nothing is known.
    #[default]
    Unchecked,
    /// The model ran.
    Healthy,
    /// It answers that it wants to be left alone.
    RateLimited,
    /// Checks failed, as often as it takes.
    Unhealthy(Cause),
    /// Checks prove nothing about it.
    Unknown(Doubt),
}

impl Status {
    /// The name on pages, in logs and in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Status::Unchecked => "unchecked",
            Status::Healthy => "healthy",
            Status::RateLimited => "rate_limited",
            Status::Unhealthy(_) => "unhealthy",
            Status::Unknown(Doubt::Shallow) => "reachable",
            Status::Unknown(Doubt::WrongMode | Doubt::NoPath | Doubt::Model | Doubt::Unserved) => {
                "unknown"
            }
        }
    }

    /// Why, where there is something to say.
    #[must_use]
    pub const fn cause(self) -> Option<&'static str> {
        match self {
            Status::Unchecked | Status::Healthy => None,
            Status::RateLimited => Some(Cause::RateLimited.name()),
            Status::Unhealthy(cause) => Some(cause.name()),
            Status::Unknown(doubt) => Some(doubt.name()),
        }
    }
}

/// One check that came to an end.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    /// When it began.
    pub started: Millis,
    /// When it ended.
    pub ended: Millis,
    /// What it proved.
    pub finding: Finding,
    /// What the classifier said, when it got no good answer.
    pub cause: Option<Cause>,
    /// The upstream's status, when that was no success.
    pub status: Option<u16>,
    /// What stood in the way, where no answer came.
    pub obstacle: Option<Obstacle>,
    /// What the provider said, or we say; one line.
    pub message: Box<str>,
    /// The model that was asked, as the provider calls it.
    pub model: Box<str>,
    /// What the answer's headers say about limits and regions.
    pub headers: Vec<(&'static str, Box<str>)>,
}

/// One change of what is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// What was.
    pub from: Status,
    /// What is.
    pub to: Status,
    /// When it changed.
    pub at: Millis,
    /// What changed it.
    pub source: Source,
}

impl Change {
    /// Why, where there is something to say.
    #[must_use]
    pub const fn cause(&self) -> Option<&'static str> {
        match self.source {
            Source::Time => Some("stale"),
            Source::Config => Some("config_changed"),
            Source::Check | Source::Traffic | Source::Operator => self.to.cause(),
        }
    }

    /// The same as pages show it.
    #[must_use]
    pub const fn event(&self) -> Event {
        let (from, to) = (self.from.name(), self.to.name());
        Event { at: self.at, from, to, cause: self.cause(), source: self.source }
    }
}

/// What there is to show.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// What is in force; nothing when it is older than it may be.
    pub status: Status,
    /// The last evidence for it.
    pub proved_at: Option<Millis>,
    /// Whether that was traffic.
    pub by_traffic: bool,
    /// Failed checks in a row.
    pub failures_in_a_row: u32,
    /// The last check, whatever it proved.
    pub last: Option<Arc<Checked>>,
    /// When the next check is due.
    pub next_at: Option<Millis>,
}

/// The record of one deployment.
#[derive(Debug, Default)]
pub struct Checks {
    /// 0, or unhealthy: `proved << 8 | cause + 1`.
    word: AtomicU64,
    /// The last good answer to traffic, plus 1; 0 is never.
    live_at: AtomicU64,
    /// Whether a check failed and nothing good came after it.
    suspect: AtomicBool,
    /// Whether it is known to be healthy, and no check failed since: then a good answer is no news.
    settled: AtomicBool,
    /// Checks so far.
    count: AtomicU64,
    /// Changes so far.
    changed: AtomicU64,
    /// The least number of tokens that may be asked for; 0 is not known.
    floor: AtomicU32,
    /// Whether the limit of tokens has to be called `max_completion_tokens`.
    completion_tokens: AtomicBool,
    /// When the next check is due, plus 1; 0 is not known.
    next_at: AtomicU64,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    status: Status,
    proved_at: Option<Millis>,
    /// Whether real traffic proved it.
    by_traffic: bool,
    failures_in_a_row: u32,
    last: Option<Arc<Checked>>,
    last_model: Option<Box<str>>,
    changes: VecDeque<Change>,
}

fn moment(word: u64) -> Option<Millis> {
    word.checked_sub(1).map(Millis)
}

impl Checks {
    /// Why checks say that it does not work, if that is not older than `staleness_ms`.
    #[must_use]
    pub fn unhealthy(&self, now: Millis, staleness_ms: u64) -> Option<Cause> {
        let word = self.word.load(Ordering::Relaxed);
        let index = u8::try_from(word & 0xff).ok()?.checked_sub(1)?;
        let fresh = now.since(Millis(word >> 8)) <= staleness_ms;
        Cause::from_index(index).filter(|_| fresh)
    }

    /// When real traffic got a good answer last.
    #[must_use]
    pub fn live_at(&self) -> Option<Millis> {
        moment(self.live_at.load(Ordering::Relaxed))
    }

    /// Whether the last checks failed.
    #[must_use]
    pub fn is_suspect(&self) -> bool {
        self.suspect.load(Ordering::Relaxed)
    }

    /// What is in force, however old, and how many checks failed in a row.
    #[must_use]
    pub fn standing(&self) -> (Status, u32) {
        let inner = self.inner.lock();
        (inner.status, inner.failures_in_a_row)
    }

    /// The last changes, the newest last.
    #[must_use]
    pub fn changes(&self) -> Vec<Change> {
        self.inner.lock().changes.iter().copied().collect()
    }

    /// Changes so far.
    #[must_use]
    pub fn changed(&self) -> u64 {
        self.changed.load(Ordering::Relaxed)
    }

    /// The last check, whatever it proved.
    #[must_use]
    pub fn last(&self) -> Option<Arc<Checked>> {
        self.inner.lock().last.clone()
    }

    /// Checks so far.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// The least number of tokens that may be asked for, where that was learned.
    #[must_use]
    pub fn token_floor(&self) -> Option<u32> {
        Some(self.floor.load(Ordering::Relaxed)).filter(|floor| *floor > 0)
    }

    /// The provider named the least number of tokens that may be asked for.
    pub fn learn_floor(&self, floor: u32) {
        self.floor.store(floor, Ordering::Relaxed);
    }

    /// Whether the limit of tokens has to be called `max_completion_tokens`, as was learned.
    #[must_use]
    pub fn wants_completion_tokens(&self) -> bool {
        self.completion_tokens.load(Ordering::Relaxed)
    }

    /// The provider wants the limit to be called `max_completion_tokens`; false when that was known.
    pub fn learn_completion_tokens(&self) -> bool {
        !self.completion_tokens.swap(true, Ordering::Relaxed)
    }

    /// The model that answered last, of a deployment that stands for many.
    #[must_use]
    pub fn last_model(&self) -> Option<Box<str>> {
        self.inner.lock().last_model.clone()
    }

    /// When the next check is due.
    pub fn plan_next(&self, at: Option<Millis>) {
        self.next_at.store(at.map_or(0, |at| at.0.saturating_add(1)), Ordering::Relaxed);
    }

    /// Real traffic for `model` got a good answer. `model` is empty but for a deployment that stands for
    /// many.
    pub(crate) fn answered(&self, now: Millis, started: Millis, model: &str) -> Option<Change> {
        self.live_at.store(now.0.saturating_add(1), Ordering::Relaxed);
        let settled = self.settled.load(Ordering::Relaxed);
        if model.is_empty() && settled {
            return None;
        }
        let mut inner = self.inner.lock();
        if !model.is_empty() && inner.last_model.as_deref() != Some(model) {
            inner.last_model = Some(model.into());
        }
        // What began before the check proves nothing about the time after it.
        if settled || inner.last.as_ref().is_some_and(|last| started < last.started) {
            return None;
        }
        self.proved(&mut inner, Status::Healthy, now, Source::Traffic)
    }

    /// Time passes: a verdict that is older than `staleness_ms` is none any more.
    pub fn grow_old(&self, now: Millis, staleness_ms: u64) -> Option<Change> {
        let mut inner = self.inner.lock();
        let newest = inner.proved_at.max(self.live_at())?;
        if inner.status == Status::Unchecked || now.since(newest) <= staleness_ms {
            return None;
        }
        self.enter(&mut inner, Status::Unchecked, newest, now, Source::Time)
    }

    /// A check ended. `confirm` says that one failure alone is no verdict; `counts` that a failure is one.
    pub fn checked(&self, check: Checked, confirm: bool, counts: bool) -> Option<Change> {
        self.count.fetch_add(1, Ordering::Relaxed);
        let mut inner = self.inner.lock();
        let (now, finding) = (check.ended, check.finding);
        let outdated = self.live_at().is_some_and(|live| live >= check.started);
        inner.last = Some(Arc::new(check));
        match finding {
            Finding::ProbeError => None,
            Finding::Healthy => self.proved(&mut inner, Status::Healthy, now, Source::Check),
            Finding::RateLimited(_) => {
                self.proved(&mut inner, Status::RateLimited, now, Source::Check)
            }
            Finding::Unknown(look @ (Doubt::Shallow | Doubt::Unserved)) => match inner.status {
                Status::Unhealthy(cause) if !is_seen_by_a_look(cause) => None,
                // What ran is not in doubt because somebody only looked; it grows old by itself.
                Status::Healthy | Status::RateLimited => None,
                Status::Unchecked | Status::Unknown(_) | Status::Unhealthy(_) => {
                    self.proved(&mut inner, Status::Unknown(look), now, Source::Check)
                }
            },
            Finding::Unknown(doubt) => {
                self.proved(&mut inner, Status::Unknown(doubt), now, Source::Check)
            }
            Finding::Failing(_) if outdated || !counts => None,
            Finding::Failing(cause) => {
                inner.failures_in_a_row = inner.failures_in_a_row.saturating_add(1);
                self.suspect.store(true, Ordering::Relaxed);
                self.settled.store(false, Ordering::Relaxed);
                let needed = match cause {
                    _ if !confirm => 1,
                    Cause::Auth | Cause::Permission | Cause::NotFound => REFUSED_AFTER,
                    _ => CONFIRMED_AFTER,
                };
                let stays = matches!(inner.status, Status::Unhealthy(_));
                if !stays && inner.failures_in_a_row < needed {
                    return None;
                }
                self.enter(&mut inner, Status::Unhealthy(cause), now, now, Source::Check)
            }
        }
    }

    fn proved(
        &self,
        inner: &mut Inner,
        status: Status,
        now: Millis,
        source: Source,
    ) -> Option<Change> {
        inner.failures_in_a_row = 0;
        self.suspect.store(false, Ordering::Relaxed);
        self.enter(inner, status, now, now, source)
    }

    /// The one place where what is in force changes. `proved_at` is the evidence's moment.
    fn enter(
        &self,
        inner: &mut Inner,
        to: Status,
        proved_at: Millis,
        at: Millis,
        source: Source,
    ) -> Option<Change> {
        let from = std::mem::replace(&mut inner.status, to);
        inner.proved_at = Some(proved_at);
        inner.by_traffic = source == Source::Traffic;
        let word = match to {
            Status::Unhealthy(cause) => (proved_at.0.min(u64::MAX >> 8) << 8) | (cause as u64 + 1),
            Status::Unchecked | Status::Healthy | Status::RateLimited | Status::Unknown(_) => 0,
        };
        self.word.store(word, Ordering::Relaxed);
        self.settled.store(to == Status::Healthy, Ordering::Relaxed);
        if from == to {
            return None;
        }
        let change = Change { from, to, at, source };
        self.note(inner, change);
        Some(change)
    }

    fn note(&self, inner: &mut Inner, change: Change) {
        self.changed.fetch_add(1, Ordering::Relaxed);
        if inner.changes.len() == KEPT {
            inner.changes.pop_front();
        }
        inner.changes.push_back(change);
    }

    /// Takes the place of `before` under the same id: what happened stays known, its verdict is void.
    pub(crate) fn take_over(&self, before: &Checks, now: Millis) -> Option<Change> {
        let (from, changes) = {
            let before = before.inner.lock();
            (before.status, before.changes.clone())
        };
        let mut inner = self.inner.lock();
        inner.changes = changes;
        self.count.store(before.count(), Ordering::Relaxed);
        self.changed.store(before.changed(), Ordering::Relaxed);
        let change = Change { from, to: Status::Unchecked, at: now, source: Source::Config };
        (from != Status::Unchecked).then(|| {
            self.note(&mut inner, change);
            change
        })
    }

    /// Forgets every verdict: it is as if never checked, but for the changes so far. What was learned
    /// about tokens stays.
    pub(crate) fn reset(&self, now: Millis, source: Source) -> Option<Change> {
        let mut inner = self.inner.lock();
        let change = self.enter(&mut inner, Status::Unchecked, now, now, source);
        let changes = std::mem::take(&mut inner.changes);
        *inner = Inner { changes, ..Inner::default() };
        self.suspect.store(false, Ordering::Relaxed);
        change
    }

    /// What there is to show, at `now`; evidence older than `staleness_ms` counts for nothing.
    #[must_use]
    pub fn history(&self, now: Millis, staleness_ms: u64) -> History {
        let inner = self.inner.lock();
        let live_at = self.live_at().filter(|live| inner.proved_at.is_none_or(|at| *live > at));
        // A check that failed after the last good answer is being confirmed, or stands.
        let live_at = live_at.filter(|_| inner.failures_in_a_row == 0);
        let (status, proved_at) = match live_at {
            Some(live) => (Status::Healthy, Some(live)),
            None => (inner.status, inner.proved_at),
        };
        let stale = proved_at.is_some_and(|at| now.since(at) > staleness_ms);
        History {
            status: if stale { Status::Unchecked } else { status },
            proved_at,
            by_traffic: live_at.is_some() || inner.by_traffic,
            failures_in_a_row: inner.failures_in_a_row,
            last: inner.last.clone(),
            next_at: moment(self.next_at.load(Ordering::Relaxed)),
        }
    }
}

/// What somebody sees who asks for nothing but the list of models.
const fn is_seen_by_a_look(cause: Cause) -> bool {
    matches!(cause, Cause::Connect | Cause::Dns | Cause::Tls | Cause::Auth | Cause::Permission)
}

#[cfg(test)]
mod tests;
