//! The state of one deployment: its breaker, its load and what happened to it.
//!
//! Written once per outcome by the gateway's attempts, read by [`crate::route`] for every candidate.
//! Always true: one place changes it ([`DeploymentState::success`] and [`DeploymentState::failure`]);
//! selection reads one atomic word; a change is returned as a [`Transition`] for logs and metrics.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::cause::Cause;
use crate::time::Millis;

/// Longest rest after a rate limit, whatever the provider says. Source: the contract, section 4.
pub const RATE_LIMIT_CAP_MS: u64 = 300_000;
/// Longest rest after a quota refusal.
pub const QUOTA_CAP_MS: u64 = 6 * 3_600_000;
/// Longest rest of a breaker that re-opens again and again.
pub const BREAKER_CAP_MS: u64 = 300_000;
/// Blamed failures in a row that open the breaker.
pub const CONSECUTIVE_TRIP: u32 = 3;
/// The window in which failures are counted.
const WINDOW_MS: u64 = 60_000;
/// Outcomes in a window before their ratio means something.
const RATIO_MINIMUM: usize = 5;
/// Outcomes kept; more than the window's rules need.
const WINDOW_CAP: usize = 128;
/// How long a trial may keep its permit, beyond the attempt's own time.
const TRIAL_GRACE_MS: u64 = 1_000;

/// What selection needs to know of a deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Routable.
    Ready,
    /// Resting.
    Cooling(Rest),
    /// The rest is over; one trial request decides.
    Trial(Rest),
}

/// Why and until when a deployment rests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rest {
    /// When it may be tried again.
    pub until: Millis,
    /// Why it rests.
    pub cause: Cause,
    /// Whether the provider named the time, rather than we.
    pub provider_issued: bool,
}

/// A change of state, to be logged once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// It rests from now on.
    Opened(Rest),
    /// It is routable again.
    Closed,
}

/// What surrounds a failure and decides what follows from it.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings {
    /// Whether the group has another usable deployment.
    pub has_sibling: bool,
    /// Whether the group has a fallback.
    pub has_fallback: bool,
    /// The rest after a trip, milliseconds; 0 turns it off.
    pub cooldown_ms: u64,
    /// The config's `allowed_fails`, when it is set.
    pub allowed_fails: Option<u32>,
    /// The attempt's own time limit, milliseconds.
    pub attempt_timeout_ms: u64,
    /// Whether the deployment stands for many models (a pattern): then what one of them answers
    /// proves nothing about the others.
    pub many_models: bool,
}

/// One attempt, as its outcome refers to it.
#[derive(Clone, Copy, Debug)]
pub struct AttemptRef {
    /// When it began.
    pub started: Millis,
    /// Which request it belongs to; different requests have different numbers.
    pub request: u64,
    /// Whether it was the trial that decides about a resting deployment.
    pub trial: bool,
}

/// How an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What it proved.
    pub cause: Cause,
    /// The upstream's status, where it answered.
    pub status: Option<u16>,
    /// The rest that the provider named, milliseconds.
    pub hint_ms: Option<u64>,
}

impl Failure {
    /// A failure of that cause, without status or hint.
    #[must_use]
    pub fn of(cause: Cause) -> Failure {
        Failure { cause, status: None, hint_ms: None }
    }
}

/// Health, load and counters of one deployment id; shared by all snapshots that contain it.
#[derive(Debug)]
pub struct DeploymentState {
    /// The verdict: 0 is ready, else `until << 8 | provider_issued << 7 | cause + 1`.
    word: AtomicU64,
    /// Until when somebody holds the permit for a trial, in milliseconds; 0 is free.
    trial_until: AtomicU64,
    in_flight: AtomicU32,
    successes: AtomicU64,
    failures: [AtomicU64; Cause::ALL.len()],
    opens: AtomicU64,
    /// The last status that counted against it; 0 is none.
    last_status: AtomicU32,
    breaker: Mutex<Breaker>,
}

#[derive(Debug, Default)]
struct Breaker {
    open: Option<Open>,
    /// Times it opened without a success in between.
    opens_in_a_row: u32,
    in_a_row: u32,
    row_began: Millis,
    row_request: u64,
    row_requests_differ: bool,
    /// When each counted outcome came, and whether it failed.
    window: VecDeque<(Millis, bool)>,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    since: Millis,
    rest: Rest,
}

impl Default for DeploymentState {
    fn default() -> DeploymentState {
        DeploymentState {
            word: AtomicU64::new(0),
            trial_until: AtomicU64::new(0),
            in_flight: AtomicU32::new(0),
            successes: AtomicU64::new(0),
            failures: [const { AtomicU64::new(0) }; Cause::ALL.len()],
            opens: AtomicU64::new(0),
            last_status: AtomicU32::new(0),
            breaker: Mutex::new(Breaker::default()),
        }
    }
}

impl DeploymentState {
    /// What selection needs to know, at `now`.
    #[must_use]
    pub fn verdict(&self, now: Millis) -> Verdict {
        match unpack(self.word.load(Ordering::Relaxed)) {
            None => Verdict::Ready,
            Some(rest) if rest.until > now => Verdict::Cooling(rest),
            Some(rest) => Verdict::Trial(rest),
        }
    }

    /// Since when it rests.
    #[must_use]
    pub fn resting_since(&self) -> Option<Millis> {
        self.breaker.lock().open.map(|open| open.since)
    }

    /// Whether somebody else holds the trial permit at `now`.
    #[must_use]
    pub fn trial_is_free(&self, now: Millis) -> bool {
        self.trial_until.load(Ordering::Relaxed) <= now.0
    }

    /// Takes the one permit for a trial; it expires after `timeout_ms`.
    #[must_use]
    pub fn take_trial(&self, now: Millis, timeout_ms: u64) -> bool {
        let held = self.trial_until.load(Ordering::Relaxed);
        let until = now.plus(timeout_ms).plus(TRIAL_GRACE_MS).0;
        held <= now.0
            && self
                .trial_until
                .compare_exchange(held, until, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    /// Gives the permit back without a verdict: the trial's client went away.
    pub fn release_trial(&self) {
        self.trial_until.store(0, Ordering::Relaxed);
    }

    /// An attempt begins.
    pub fn enter(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    /// An attempt ends, however it ends.
    pub fn leave(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// Attempts under way.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Good outcomes so far.
    #[must_use]
    pub fn successes(&self) -> u64 {
        self.successes.load(Ordering::Relaxed)
    }

    /// Outcomes of that cause so far.
    #[must_use]
    pub fn failures(&self, cause: Cause) -> u64 {
        self.failures[cause as usize].load(Ordering::Relaxed)
    }

    /// Times it began to rest.
    #[must_use]
    pub fn opens(&self) -> u64 {
        self.opens.load(Ordering::Relaxed)
    }

    /// An attempt ended well.
    pub fn success(&self, now: Millis, attempt: AttemptRef) -> Option<Transition> {
        self.successes.fetch_add(1, Ordering::Relaxed);
        let mut breaker = self.breaker.lock();
        breaker.count(now, false);
        self.close(&mut breaker, attempt)
    }

    /// A trial is going well, though it has not ended: a stream has content.
    pub fn trial_proved(&self, attempt: AttemptRef) -> Option<Transition> {
        self.close(&mut self.breaker.lock(), attempt)
    }

    fn close(&self, breaker: &mut Breaker, attempt: AttemptRef) -> Option<Transition> {
        let closes = match breaker.open {
            // What began before the rest proves nothing about the time after it.
            Some(open) => attempt.trial || attempt.started >= open.since,
            None => false,
        };
        if breaker.open.is_some() && !closes {
            return None;
        }
        breaker.in_a_row = 0;
        if !closes {
            return None;
        }
        breaker.open = None;
        breaker.opens_in_a_row = 0;
        breaker.window.clear();
        self.word.store(0, Ordering::Relaxed);
        self.release_trial();
        Some(Transition::Closed)
    }

    /// The last status that an upstream answered with when an attempt counted against it.
    #[must_use]
    pub fn last_status(&self) -> Option<u16> {
        u16::try_from(self.last_status.load(Ordering::Relaxed)).ok().filter(|status| *status > 0)
    }

    /// An attempt failed.
    pub fn failure(
        &self,
        now: Millis,
        attempt: AttemptRef,
        failure: Failure,
        around: &Surroundings,
    ) -> Option<Transition> {
        let Failure { cause, status, hint_ms } = failure;
        self.failures[cause as usize].fetch_add(1, Ordering::Relaxed);
        if !cause.blames_deployment() {
            if attempt.trial {
                self.release_trial();
            }
            return None;
        }
        self.last_status.store(status.unwrap_or(0).into(), Ordering::Relaxed);
        let mut breaker = self.breaker.lock();
        let rest = breaker.failed(now, attempt, cause, hint_ms, around);
        if attempt.trial {
            self.release_trial();
        }
        let rest = rest?;
        self.word.store(pack(rest), Ordering::Relaxed);
        self.opens.fetch_add(1, Ordering::Relaxed);
        Some(Transition::Opened(rest))
    }
}

impl Breaker {
    fn count(&mut self, now: Millis, failed: bool) {
        while self.window.front().is_some_and(|(at, _)| now.since(*at) > WINDOW_MS) {
            self.window.pop_front();
        }
        if self.window.len() == WINDOW_CAP {
            self.window.pop_front();
        }
        self.window.push_back((now, failed));
    }

    fn failed(
        &mut self,
        now: Millis,
        attempt: AttemptRef,
        cause: Cause,
        hint_ms: Option<u64>,
        around: &Surroundings,
    ) -> Option<Rest> {
        let hint = hint_ms
            .filter(|_| matches!(cause, Cause::RateLimited | Cause::Quota | Cause::Overloaded));
        if let Some(open) = self.open {
            let late = attempt.started < open.since;
            let provider_until = hint.map(|ms| now.plus(ms.min(cap_ms(cause))));
            if !late && attempt.trial {
                return Some(self.open(now, cause, hint, around));
            }
            // A late result decides nothing, but a provider's deadline may still be later than ours.
            return match provider_until {
                Some(until) if until > open.rest.until => {
                    let rest = Rest { until, cause, provider_issued: is_limit(cause) };
                    self.open = Some(Open { since: open.since, rest });
                    Some(rest)
                }
                _ => None,
            };
        }
        self.count(now, true);
        self.extend_row(now, attempt, around);
        let trips = match cause {
            _ if around.cooldown_ms == 0 => false,
            Cause::RateLimited | Cause::NotFound if around.many_models => false,
            Cause::RateLimited | Cause::Quota if hint.is_some() => true,
            Cause::RateLimited
            | Cause::Quota
            | Cause::Auth
            | Cause::Permission
            | Cause::NotFound => around.has_sibling,
            _ => (around.has_sibling || around.has_fallback) && self.too_many(around),
        };
        trips.then(|| self.open(now, cause, hint, around))
    }

    fn extend_row(&mut self, now: Millis, attempt: AttemptRef, around: &Surroundings) {
        let row_window = WINDOW_MS.max(around.attempt_timeout_ms.saturating_mul(3));
        if self.in_a_row == 0 || now.since(self.row_began) > row_window {
            self.in_a_row = 0;
            self.row_began = now;
            self.row_request = attempt.request;
            self.row_requests_differ = false;
        }
        self.in_a_row += 1;
        self.row_requests_differ |= self.row_request != attempt.request;
    }

    fn too_many(&self, around: &Surroundings) -> bool {
        let failed = self.window.iter().filter(|(_, failed)| *failed).count();
        if let Some(allowed) = around.allowed_fails {
            return failed > allowed as usize;
        }
        let total = self.window.len();
        (self.in_a_row >= CONSECUTIVE_TRIP && self.row_requests_differ)
            || (total >= RATIO_MINIMUM && failed * 2 > total)
    }

    fn open(
        &mut self,
        now: Millis,
        cause: Cause,
        hint: Option<u64>,
        around: &Surroundings,
    ) -> Rest {
        let own = around
            .cooldown_ms
            .saturating_mul(1 << self.opens_in_a_row.min(16))
            .min(BREAKER_CAP_MS.max(around.cooldown_ms));
        let ms = hint.map_or(own, |hint| hint.min(cap_ms(cause)));
        let provider_issued = hint.is_some() && is_limit(cause);
        let rest = Rest { until: now.plus(ms), cause, provider_issued };
        self.opens_in_a_row = self.opens_in_a_row.saturating_add(1);
        self.in_a_row = 0;
        self.open = Some(Open { since: now, rest });
        rest
    }
}

/// Whether a provider that names a time for this cause refuses until then, rather than hopes.
fn is_limit(cause: Cause) -> bool {
    matches!(cause, Cause::RateLimited | Cause::Quota)
}

fn cap_ms(cause: Cause) -> u64 {
    if cause == Cause::Quota { QUOTA_CAP_MS } else { RATE_LIMIT_CAP_MS }
}

const ISSUED_BIT: u64 = 1 << 7;

fn pack(rest: Rest) -> u64 {
    let issued = if rest.provider_issued { ISSUED_BIT } else { 0 };
    (rest.until.0.min(u64::MAX >> 8) << 8) | issued | (rest.cause as u64 + 1)
}

fn unpack(word: u64) -> Option<Rest> {
    let index = u8::try_from(word & (ISSUED_BIT - 1)).ok()?.checked_sub(1)?;
    let cause = Cause::from_index(index)?;
    Some(Rest { until: Millis(word >> 8), cause, provider_issued: word & ISSUED_BIT != 0 })
}

#[cfg(test)]
mod tests;
