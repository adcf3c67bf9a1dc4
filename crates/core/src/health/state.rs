//! The state of one deployment: its breaker, its load, its speed and what happened to it.
//!
//! Written once per outcome by the gateway's attempts, read by [`crate::route`] for every candidate. A
//! credential that several deployments share has a state of the same kind, for what it alone causes.
//! Always true: one place changes it ([`DeploymentState::success`] and [`DeploymentState::failure`]);
//! selection reads one atomic word; a change is returned as a [`Transition`] for logs and metrics.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::breaker::{Breaker, RATE_LIMIT_CAP_MS, is_about_a_model, is_about_an_operation};
use super::check::{Change, Checks};
use super::event::{Event, Events, Source};
use super::latency::{Latency, Measured};
use super::models::ModelRests;
use super::rate::{Claim, Rates};
use super::trial::{Permit, Trial, TrialSlot};
use crate::cause::Cause;
use crate::operation::Operation;
use crate::policy::ByKind;
use crate::time::Millis;

/// How long a deployment that came back has less than its share.
pub const RAMP_MS: u64 = 30_000;
/// Its share at the begin of that time.
const RAMP_FROM: f64 = 0.1;

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

impl Verdict {
    /// The worse of two: against a provider's time nothing is tried, against ours little, and a trial
    /// is less than being well. Of two alike the later end counts.
    #[must_use]
    pub fn worse(self, other: Verdict) -> Verdict {
        let rank = |verdict: &Verdict| match verdict {
            Verdict::Ready => (0, Millis(0)),
            Verdict::Trial(rest) => (1, rest.until),
            Verdict::Cooling(rest) if !rest.provider_issued => (2, rest.until),
            Verdict::Cooling(rest) => (3, rest.until),
        };
        if rank(&other) > rank(&self) { other } else { self }
    }
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
    /// It works, which was not known, or of which checks had said otherwise.
    Proved(Change),
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
    /// `allowed_fails_policy` and, for the kinds that it does not name, `allowed_fails`.
    pub tolerance: ByKind,
    /// The attempt's own time limit, milliseconds.
    pub attempt_timeout_ms: u64,
    /// Whether the deployment stands for many models (a pattern): then what one of them answers
    /// proves nothing about the others.
    pub many_models: bool,
    /// The operation, where it is not one of those that the deployment is for: that it is refused is
    /// no news about the others.
    pub foreign: Option<Operation>,
}

impl Surroundings {
    /// Whether a failure speaks of less than the deployment: of one model behind it, or of an operation
    /// that it is not for. Any caller may name those.
    #[must_use]
    pub(super) fn is_narrow(&self, cause: Cause) -> bool {
        (self.many_models && is_about_a_model(cause))
            || (self.foreign.is_some() && is_about_an_operation(cause))
    }
}

/// One attempt, as its outcome refers to it.
#[derive(Clone, Copy, Debug)]
pub struct AttemptRef {
    /// When it began.
    pub started: Millis,
    /// Which request it belongs to; different requests have different numbers.
    pub request: u64,
    /// The permits that it holds when it is the trial that decides about a resting deployment.
    pub trial: Trial,
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

/// What the state pages show of a deployment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Why and since when it rests.
    pub rest: Option<(Millis, Rest)>,
    /// Blamed failures in a row.
    pub failures_in_a_row: u32,
    /// Times it began to rest without a success in between.
    pub opens_in_a_row: u32,
    /// The last failures, the newest last.
    pub errors: Vec<(Millis, Cause, Option<u16>)>,
}

/// Health, load and counters of one deployment id; shared by all snapshots that contain it.
#[derive(Debug)]
pub struct DeploymentState {
    /// The verdict: 0 is ready, else `until << 8 | provider_issued << 7 | cause + 1`.
    word: AtomicU64,
    trial: TrialSlot,
    in_flight: AtomicU32,
    successes: AtomicU64,
    failures: [AtomicU64; Cause::ALL.len()],
    opens: AtomicU64,
    /// The last status that counted against it; 0 is none.
    last_status: AtomicU32,
    /// Whether an operator took it out.
    disabled: AtomicBool,
    /// When it came back from a rest, plus 1; 0 is never.
    back_since: AtomicU64,
    rates: Rates,
    latency: Latency,
    models: ModelRests,
    checks: Checks,
    /// Changes that are none of checks.
    events: Events,
    breaker: Mutex<Breaker>,
}

impl Default for DeploymentState {
    fn default() -> DeploymentState {
        DeploymentState {
            word: AtomicU64::new(0),
            trial: TrialSlot::default(),
            in_flight: AtomicU32::new(0),
            successes: AtomicU64::new(0),
            failures: [const { AtomicU64::new(0) }; Cause::ALL.len()],
            opens: AtomicU64::new(0),
            last_status: AtomicU32::new(0),
            disabled: AtomicBool::new(false),
            back_since: AtomicU64::new(0),
            rates: Rates::default(),
            latency: Latency::default(),
            models: ModelRests::default(),
            checks: Checks::default(),
            events: Events::default(),
            breaker: Mutex::new(Breaker::default()),
        }
    }
}

impl DeploymentState {
    /// The state of what takes its place under the same id: nothing is known about it, the counters go on,
    /// and who was taken out by an operator stays out.
    #[must_use]
    pub fn successor(&self) -> DeploymentState {
        let copy = |counter: &AtomicU64| AtomicU64::new(counter.load(Ordering::Relaxed));
        DeploymentState {
            successes: copy(&self.successes),
            failures: std::array::from_fn(|cause| copy(&self.failures[cause])),
            opens: copy(&self.opens),
            disabled: AtomicBool::new(self.is_disabled()),
            ..DeploymentState::default()
        }
    }

    /// The config that makes it the successor of `before` comes into force: what happened to that one stays
    /// known, and that its rest and its verdict are void is told.
    pub fn take_over(&self, before: &DeploymentState, now: Millis) -> Option<Change> {
        self.events.take_over(&before.events);
        if before.resting_since().is_some() {
            self.tell(now, "cooldown", "ready", None, Source::Config);
        }
        self.checks.take_over(&before.checks, now)
    }

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

    /// Whether it rests because of what that request met.
    #[must_use]
    pub fn rests_because_of(&self, request: u64) -> bool {
        self.breaker.lock().open.is_some_and(|open| open.request == request)
    }

    /// Whether nobody holds the trial permit at `now`.
    #[must_use]
    pub fn trial_is_free(&self, now: Millis) -> bool {
        self.trial.is_free(now)
    }

    /// Takes the one permit for a trial of `timeout_ms`, after which it expires.
    #[must_use]
    pub fn take_trial(&self, now: Millis, timeout_ms: u64) -> Option<Permit> {
        self.trial.take(now, timeout_ms)
    }

    /// Gives a permit back without a verdict: the trial did not begin, or its client went away.
    pub fn release_trial(&self, permit: Option<Permit>) {
        self.trial.release(permit);
    }

    /// An attempt begins, unless a limit is reached: then nothing has changed.
    #[must_use]
    pub fn enter(&self, now: Millis, claim: &Claim) -> bool {
        let before = self.in_flight.fetch_add(1, Ordering::Relaxed);
        let fits =
            claim.max_parallel.is_none_or(|limit| before < limit) && self.rates.begin(now, claim);
        if !fits {
            self.leave();
        }
        fits
    }

    /// What began within the last minute.
    #[must_use]
    pub fn rates(&self) -> &Rates {
        &self.rates
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

    /// An operator takes it out, or lets it in again.
    pub fn set_disabled(&self, now: Millis, disabled: bool) {
        if self.disabled.swap(disabled, Ordering::Relaxed) != disabled {
            let (from, to) =
                if disabled { ("enabled", "disabled") } else { ("disabled", "enabled") };
            self.events.push(Event { at: now, from, to, cause: None, source: Source::Operator });
        }
    }

    /// Whether an operator took it out.
    #[must_use]
    pub fn is_disabled(&self) -> bool {
        self.disabled.load(Ordering::Relaxed)
    }

    /// Forgets every failure: it is as if new. What an operator or a minute's limit says stays.
    pub fn reset(&self, now: Millis) {
        let mut breaker = self.breaker.lock();
        if breaker.open.is_some() {
            self.tell(now, "cooldown", "ready", None, Source::Operator);
        }
        *breaker = Breaker::default();
        self.word.store(0, Ordering::Relaxed);
        self.back_since.store(0, Ordering::Relaxed);
        self.trial.clear();
        self.models.clear();
        self.checks.reset(now, Source::Operator);
        self.latency.forgive();
    }

    fn tell(
        &self,
        at: Millis,
        from: &'static str,
        to: &'static str,
        cause: Option<Cause>,
        source: Source,
    ) {
        self.events.push(Event { at, from, to, cause: cause.map(Cause::name), source });
    }

    /// Changes so far.
    #[must_use]
    pub fn changed(&self) -> u64 {
        self.events.count() + self.checks.changed()
    }

    /// What changed of it, by whatever, in the order of time.
    pub(super) fn changes(&self) -> Vec<Event> {
        let mut changes = self.events.all();
        changes.extend(self.checks.changes().iter().map(Change::event));
        changes.sort_by_key(|event| event.at);
        changes
    }

    /// Its part of its full share of the traffic, above 0 and at most 1: less at first when it came back.
    #[must_use]
    pub fn ramp(&self, now: Millis) -> f64 {
        let back = self.back_since.load(Ordering::Relaxed);
        let Some(back) = back.checked_sub(1) else { return 1.0 };
        let age = now.since(Millis(back));
        if age >= RAMP_MS {
            return 1.0;
        }
        #[allow(clippy::cast_precision_loss, reason = "both are small")]
        let part = age as f64 / RAMP_MS as f64;
        RAMP_FROM + (1.0 - RAMP_FROM) * part
    }

    /// The time that an answer is expected to take, milliseconds: to the first content of a stream,
    /// else for the whole answer. `None` when it was not measured within `ttl_ms`.
    #[must_use]
    pub fn expected_ms(&self, now: Millis, stream: bool, ttl_ms: u64) -> Option<f32> {
        self.latency.expected_ms(now, stream, ttl_ms)
    }

    /// What its last failure still counts as, milliseconds.
    #[must_use]
    pub fn penalty_ms(&self, now: Millis) -> f32 {
        self.latency.penalty_ms(now)
    }

    /// Whether single models of it may rest.
    #[must_use]
    pub fn has_model_rests(&self) -> bool {
        !self.models.is_empty()
    }

    /// The rest of one model of a deployment that stands for many, or of one operation that it is not
    /// for.
    #[must_use]
    pub fn model_rest(&self, foreign: Option<Operation>, model: &str, now: Millis) -> Option<Rest> {
        self.models.of(foreign, model, now)
    }

    /// What one model, or one operation that the deployment is not for, answered: a failure that is
    /// about it alone.
    pub fn model_failed(&self, now: Millis, model: &str, failure: Failure, around: &Surroundings) {
        if !around.is_narrow(failure.cause) || around.cooldown_ms == 0 {
            return;
        }
        let hint = failure.hint_ms.filter(|_| failure.cause == Cause::RateLimited);
        if hint.is_none() && !around.has_sibling {
            return;
        }
        let ms = hint.map_or(around.cooldown_ms, |ms| ms.min(RATE_LIMIT_CAP_MS));
        let rest =
            Rest { until: now.plus(ms), cause: failure.cause, provider_issued: hint.is_some() };
        let operation = around.foreign.filter(|_| is_about_an_operation(failure.cause));
        self.models.rest(operation, model, rest, now);
    }

    /// One model of a deployment that stands for many answered well.
    pub fn model_answered(&self, model: &str) {
        if self.has_model_rests() {
            self.models.close(model);
        }
    }

    /// What checks found out.
    #[must_use]
    pub fn checks(&self) -> &Checks {
        &self.checks
    }

    /// What there is to show.
    #[must_use]
    pub fn report(&self) -> Report {
        let breaker = self.breaker.lock();
        Report {
            rest: breaker.open.map(|open| (open.since, open.rest)),
            failures_in_a_row: breaker.in_a_row,
            opens_in_a_row: breaker.opens_in_a_row,
            errors: breaker.errors.iter().copied().collect(),
        }
    }

    /// An attempt ended well.
    pub fn success(
        &self,
        now: Millis,
        attempt: AttemptRef,
        measured: &Measured,
    ) -> Option<Transition> {
        self.successes.fetch_add(1, Ordering::Relaxed);
        self.rates.end(now, measured.tokens);
        let mut breaker = self.breaker.lock();
        self.latency.measured(now, measured);
        breaker.count(now, false);
        self.close(&mut breaker, now, attempt)
    }

    /// A trial is going well, though it has not ended: a stream has content.
    pub fn trial_proved(&self, now: Millis, attempt: AttemptRef) -> Option<Transition> {
        self.close(&mut self.breaker.lock(), now, attempt)
    }

    fn close(&self, breaker: &mut Breaker, now: Millis, attempt: AttemptRef) -> Option<Transition> {
        self.release_trial(attempt.trial.own);
        let closes = match breaker.open {
            // What began before the rest proves nothing about the time after it.
            Some(open) => attempt.trial.own.is_some() || attempt.started >= open.since,
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
        breaker.counts = Default::default();
        self.word.store(0, Ordering::Relaxed);
        self.back_since.store(now.0.saturating_add(1), Ordering::Relaxed);
        self.tell(now, "cooldown", "ready", None, Source::Traffic);
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
            self.release_trial(attempt.trial.own);
            return None;
        }
        self.last_status.store(status.unwrap_or(0).into(), Ordering::Relaxed);
        let mut breaker = self.breaker.lock();
        self.latency.failed(now, around.attempt_timeout_ms);
        breaker.remember(now, cause, status);
        let failure = Failure { cause, status, hint_ms };
        let before = if breaker.open.is_some() { "cooldown" } else { "ready" };
        let rest = breaker.failed(now, attempt, failure, around);
        let after = if breaker.open.is_some() { "cooldown" } else { "ready" };
        if rest.is_some() || before != after {
            self.tell(now, before, after, Some(cause), Source::Traffic);
        }
        self.word.store(breaker.open.map_or(0, |open| pack(open.rest)), Ordering::Relaxed);
        self.release_trial(attempt.trial.own);
        let rest = rest?;
        self.opens.fetch_add(1, Ordering::Relaxed);
        Some(Transition::Opened(rest))
    }
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
