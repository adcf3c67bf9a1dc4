//! The state of one deployment: its breaker, load, speed and history.
//!
//! Read by [`crate::route`] for every candidate. A credential that several deployments share has a
//! state of the same kind. Always true: health changes only by evidence
//! ([`DeploymentState::apply`]); selection reads one atomic word.

mod counts;
mod lacking;
mod ramp;
mod reduce;

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::breaker::{Breaker, Cooldown, Origin};
use super::by_failure::ByFailure;
use super::event::{Carried, EventLog, HealthEvent, HealthPart, HealthSubject, Standing};
use super::half_open::{Permit, Proof};
use super::lacks::Lacks;
use super::latency::{AnswerMode, Latency};
use super::learned::Learned;
use super::models::ModelCooldowns;
use super::probe::ProbeRecord;
use super::prompt_cache::PromptCache;
use super::rate::{Claim, Rates};
use crate::cause::Cause;
use crate::operation::Operation;
use crate::time::Millis;

pub use ramp::RAMP_MS;

/// What selection needs to know about a deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may get traffic.
    Ready,
    /// The breaker is closed, but requests are let in one by one: its provider refused one within the
    /// last minute, or requests wait in line for it.
    Reopening,
    /// It is in cooldown.
    Cooling(Cooldown),
    /// The cooldown has ended; one half-open request decides.
    HalfOpen(Cooldown),
}

/// Whether a waiting request may go now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// At once, and without a permit.
    Free,
    /// At once, with a permit.
    Permit,
    /// Not before the time that the provider named.
    Closed(Millis),
    /// Not before this time, unless an attempt that is under way ends before.
    Held(Millis),
}

impl Opening {
    /// Returns the later of two.
    #[must_use]
    pub fn later(self, other: Opening) -> Opening {
        let rank = |opening: &Opening| match opening {
            Opening::Free => (0, Millis(0)),
            Opening::Permit => (1, Millis(0)),
            Opening::Held(at) => (2, *at),
            Opening::Closed(at) => (3, *at),
        };
        if rank(&other) > rank(&self) { other } else { self }
    }
}

impl Verdict {
    /// Returns the worse of two. From best to worst: ready, reopening, half-open, a cooldown of ours,
    /// a cooldown that the provider named. Of two alike the later end counts.
    #[must_use]
    pub fn worse(self, other: Verdict) -> Verdict {
        let rank = |verdict: &Verdict| match verdict {
            Verdict::Ready => (0, Millis(0)),
            Verdict::Reopening => (1, Millis(0)),
            Verdict::HalfOpen(cooldown) => (2, cooldown.until),
            Verdict::Cooling(cooldown) if !cooldown.provider_issued => (3, cooldown.until),
            Verdict::Cooling(cooldown) => (4, cooldown.until),
        };
        if rank(&other) > rank(&self) { other } else { self }
    }
}

/// What the pages show about a deployment's breaker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The cooldown and when it began.
    pub cooldown: Option<(Millis, Cooldown)>,
    /// Blamed failures in a row.
    pub failures_in_a_row: u32,
    /// Cooldowns that began without a success in between.
    pub opens_in_a_row: u32,
    /// The last failures, newest last.
    pub errors: Vec<(Millis, Cause, Option<u16>)>,
}

/// Health, load and counters of one deployment id; shared by all snapshots that contain it.
#[derive(Debug)]
pub struct DeploymentState {
    /// The verdict: 0 is ready, else `until << 8 | provider_issued << 7 | cause + 1`; the cause
    /// [`REOPENING`] means that the breaker is closed and requests are let in one by one.
    word: AtomicU64,
    in_flight: AtomicU32,
    successes: AtomicU64,
    failures: [AtomicU64; Cause::ALL.len()],
    /// The same by status.
    failed: ByFailure,
    opens: AtomicU64,
    /// The failures that the cooldowns came from.
    opened: ByFailure,
    /// The last status that counted against it; 0 is none.
    last_status: AtomicU32,
    /// Whether an operator disabled it.
    disabled: AtomicBool,
    /// When its last cooldown ended with a success, plus 1; 0 is never.
    back_since: AtomicU64,
    /// How long the outage before that was, milliseconds.
    outage_ms: AtomicU64,
    /// Until when it gets less traffic because other replicas doubt it, `until << 1 | to a half`; 0 is
    /// never.
    doubt: AtomicU64,
    rates: Rates,
    latency: Latency,
    models: ModelCooldowns,
    lacks: Lacks,
    probes: ProbeRecord,
    learned: Learned,
    prompt_cache: PromptCache,
    /// The changes of its health.
    log: EventLog,
    breaker: Mutex<Breaker>,
}

impl Default for DeploymentState {
    fn default() -> DeploymentState {
        DeploymentState {
            word: AtomicU64::new(0),
            in_flight: AtomicU32::new(0),
            successes: AtomicU64::new(0),
            failures: [const { AtomicU64::new(0) }; Cause::ALL.len()],
            failed: ByFailure::default(),
            opens: AtomicU64::new(0),
            opened: ByFailure::default(),
            last_status: AtomicU32::new(0),
            disabled: AtomicBool::new(false),
            back_since: AtomicU64::new(0),
            outage_ms: AtomicU64::new(0),
            doubt: AtomicU64::new(0),
            rates: Rates::default(),
            latency: Latency::default(),
            models: ModelCooldowns::default(),
            lacks: Lacks::default(),
            probes: ProbeRecord::default(),
            learned: Learned::default(),
            prompt_cache: PromptCache::default(),
            log: EventLog::default(),
            breaker: Mutex::new(Breaker::default()),
        }
    }
}

impl DeploymentState {
    /// A state for that subject, without any history.
    #[must_use]
    pub fn of(subject: HealthSubject) -> DeploymentState {
        DeploymentState { log: EventLog::of(subject), ..DeploymentState::default() }
    }

    /// A state for something else under the same id: the counters continue, an operator's decision
    /// stays, and nothing is known about health.
    #[must_use]
    pub fn successor(&self) -> DeploymentState {
        let copy = |counter: &AtomicU64| AtomicU64::new(counter.load(Ordering::Relaxed));
        DeploymentState {
            successes: copy(&self.successes),
            failures: std::array::from_fn(|cause| copy(&self.failures[cause])),
            failed: self.failed.copied(),
            opens: copy(&self.opens),
            opened: self.opened.copied(),
            disabled: AtomicBool::new(self.is_disabled()),
            ..DeploymentState::of(self.log.subject().clone())
        }
    }

    /// What the successor needs to continue this history.
    #[must_use]
    pub fn carried(&self) -> Carried {
        let (probes, _) = self.probes.standing();
        self.log.carried(self.standing(&self.breaker.lock()), probes, self.probes.count())
    }

    fn standing(&self, breaker: &Breaker) -> Standing {
        if breaker.open.is_some() { Standing::Cooldown } else { Standing::Ready }
    }

    /// What selection needs to know at `now`.
    #[must_use]
    pub fn verdict(&self, now: Millis) -> Verdict {
        let word = self.word.load(Ordering::Relaxed);
        match unpack(word) {
            None if word >> 8 > now.0 => Verdict::Reopening,
            None => Verdict::Ready,
            Some(cooldown) if cooldown.until > now => Verdict::Cooling(cooldown),
            Some(cooldown) => Verdict::HalfOpen(cooldown),
        }
    }

    /// When its cooldown began.
    #[must_use]
    pub fn cooling_since(&self) -> Option<Millis> {
        self.breaker.lock().open.map(|open| open.since)
    }

    /// The cooldown that this replica's own evidence caused, and when it began.
    pub(crate) fn own_cooldown(&self) -> Option<(Millis, Cooldown)> {
        let open = self.breaker.lock().open.filter(|open| open.origin == Origin::Own)?;
        Some((open.since, open.cooldown))
    }

    /// Whether a failure of that request caused its cooldown.
    #[must_use]
    pub fn was_ejected_by(&self, request: u64) -> bool {
        self.breaker.lock().open.is_some_and(|open| open.request == request)
    }

    /// Whether a new request may have a permit at `now`: no request waits in line, and no attempt
    /// holds it back.
    #[must_use]
    pub fn half_open_is_free(&self, now: Millis) -> bool {
        let breaker = self.breaker.lock();
        !breaker.reopening.has_line() && breaker.lets_in_at(now) <= now
    }

    /// Takes a permit for a new request's attempt of `timeout_ms`; then it expires.
    #[must_use]
    pub fn take_half_open(&self, now: Millis, timeout_ms: u64) -> Option<Permit> {
        let mut breaker = self.breaker.lock();
        let is_free = !breaker.reopening.has_line() && breaker.lets_in_at(now) <= now;
        if is_free { take(&mut breaker, now, timeout_ms) } else { None }
    }

    /// The same for the first request in line; none is needed where only slots are waited for.
    #[must_use]
    pub(crate) fn let_in(&self, now: Millis, timeout_ms: u64) -> Option<Permit> {
        let mut breaker = self.breaker.lock();
        let in_rounds = breaker.open.is_some() || breaker.reopening.in_rounds();
        let may = in_rounds && breaker.lets_in_at(now) <= now;
        if may { take(&mut breaker, now, timeout_ms) } else { None }
    }

    /// Whether the first request in line gets a permit at `now`.
    #[must_use]
    pub(crate) fn opening(&self, now: Millis) -> Opening {
        let breaker = self.breaker.lock();
        if breaker.open.is_none() && !breaker.reopening.in_rounds() {
            return Opening::Free;
        }
        match breaker.lets_in_at(now) {
            at if at <= now => Opening::Permit,
            at => Opening::Held(at),
        }
    }

    /// Requests a second at which waiting requests are let in, if that was learned.
    #[must_use]
    pub fn learned_rate(&self, now: Millis) -> Option<f64> {
        self.breaker.lock().reopening.pace.rate(now)
    }

    /// How many attempts may be undecided at once while requests come back in rounds.
    #[must_use]
    pub fn allowed_at_once(&self) -> Option<u32> {
        let breaker = self.breaker.lock();
        breaker.reopening.in_rounds().then(|| breaker.reopening.allowed())
    }

    /// Requests begin to wait in line for this state: from now on new ones do not overtake them.
    pub(crate) fn line_formed(&self) {
        let mut breaker = self.breaker.lock();
        breaker.reopening.line_formed();
        self.publish(&breaker);
    }

    /// The last request in that line left it.
    pub(crate) fn line_ended(&self) {
        let mut breaker = self.breaker.lock();
        breaker.reopening.line_ended();
        self.settle(&mut breaker);
    }

    /// Ends the rounds of a closed breaker if nothing needs them, and publishes.
    fn settle(&self, breaker: &mut Breaker) {
        if breaker.open.is_none() {
            breaker.reopening.settle();
        }
        self.publish(breaker);
    }

    /// Shows readers without the lock what the breaker says.
    fn publish(&self, breaker: &Breaker) {
        self.word.store(word_of(breaker), Ordering::Relaxed);
    }

    /// Returns a permit without a verdict: the half-open request did not begin, or its client
    /// disconnected.
    pub fn release_half_open(&self, permit: Option<Permit>) {
        if permit.is_some() {
            self.breaker.lock().reopening.end(permit, Proof::Nothing);
        }
    }

    /// Begins an attempt. If a limit is reached, nothing changes and the result is false.
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

    /// Ends an attempt, whatever its result.
    pub fn leave(&self) {
        // In one order with the count of waiting requests, which is read after it.
        self.in_flight.fetch_sub(1, Ordering::SeqCst);
    }

    /// Attempts in flight.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::SeqCst)
    }

    /// Whether an operator disabled it.
    #[must_use]
    pub fn is_disabled(&self) -> bool {
        self.disabled.load(Ordering::Relaxed)
    }

    /// The last changes of its health, oldest first.
    #[must_use]
    pub fn events(&self) -> Vec<HealthEvent> {
        let mut events = self.log.all();
        events.sort_by_key(|event| event.at);
        events
    }

    /// The expected time to the first content of a stream, or to the whole answer, milliseconds.
    /// `None` if it was not measured within `ttl_ms`.
    #[must_use]
    pub fn expected_ms(&self, now: Millis, mode: AnswerMode, ttl_ms: u64) -> Option<f32> {
        self.latency.expected_ms(now, mode, ttl_ms)
    }

    /// What its last failure still counts as, milliseconds.
    #[must_use]
    pub fn penalty_ms(&self, now: Millis) -> f32 {
        self.latency.penalty_ms(now)
    }

    /// Whether single models of it may be in cooldown.
    #[must_use]
    pub fn has_model_cooldowns(&self) -> bool {
        !self.models.is_empty()
    }

    /// The cooldown of one model behind a pattern, or of one operation that the deployment is not
    /// for.
    #[must_use]
    pub fn model_cooldown(
        &self,
        foreign: Option<Operation>,
        model: &str,
        now: Millis,
    ) -> Option<Cooldown> {
        self.models.of(foreign, model, now)
    }

    /// What probes say.
    #[must_use]
    pub fn probes(&self) -> &ProbeRecord {
        &self.probes
    }

    /// What its provider refused to be told.
    #[must_use]
    pub fn learned(&self) -> &Learned {
        &self.learned
    }

    /// What its provider reports of its prompt cache.
    #[must_use]
    pub fn prompt_cache(&self) -> &PromptCache {
        &self.prompt_cache
    }

    /// What the pages show.
    #[must_use]
    pub fn report(&self) -> Report {
        let breaker = self.breaker.lock();
        Report {
            cooldown: breaker.open.map(|open| (open.since, open.cooldown)),
            failures_in_a_row: breaker.in_a_row,
            opens_in_a_row: breaker.opens_in_a_row,
            errors: breaker.errors.iter().copied().collect(),
        }
    }

    /// The last upstream status that counted against it.
    #[must_use]
    pub fn last_status(&self) -> Option<u16> {
        u16::try_from(self.last_status.load(Ordering::Relaxed)).ok().filter(|status| *status > 0)
    }

    /// Returns the rule that the state breaks, as text, if it breaks one.
    ///
    /// # Errors
    ///
    /// The rule, with the numbers that break it.
    pub fn check_invariants(&self) -> Result<(), String> {
        let breaker = self.breaker.lock();
        let cooldown = breaker.check_invariants(self.opens())?;
        let word = self.word.load(Ordering::Relaxed);
        if word != word_of(&breaker) {
            return Err(format!("the word {word:#x} is not the breaker's {cooldown:?}"));
        }
        // One that was subtracted from zero is near the greatest number.
        if self.in_flight() > u32::MAX / 2 {
            return Err(format!(
                "{} attempts are in flight: more ended than began",
                self.in_flight()
            ));
        }
        self.models.check_invariants()?;
        let probes = self.probes.check_invariants()?;
        self.log.check_invariants([
            (HealthPart::Breaker, self.standing(&breaker)),
            (HealthPart::Probes, Standing::Probed(probes)),
        ])
    }
}

const ISSUED_BIT: u64 = 1 << 7;
/// In place of a cause: the breaker is closed, and requests are let in one by one.
const REOPENING: u64 = ISSUED_BIT - 1;

fn take(breaker: &mut Breaker, now: Millis, timeout_ms: u64) -> Option<Permit> {
    let stage = breaker.stage();
    breaker.reopening.take(now, timeout_ms, stage)
}

/// What readers without the lock see of it.
fn word_of(breaker: &Breaker) -> u64 {
    match (breaker.open, breaker.reopening.until()) {
        (Some(open), _) => pack(open.cooldown),
        (None, Some(until)) => (until.0.min(u64::MAX >> 8) << 8) | REOPENING,
        (None, None) => 0,
    }
}

fn pack(cooldown: Cooldown) -> u64 {
    let issued = if cooldown.provider_issued { ISSUED_BIT } else { 0 };
    (cooldown.until.0.min(u64::MAX >> 8) << 8) | issued | (cooldown.cause as u64 + 1)
}

fn unpack(word: u64) -> Option<Cooldown> {
    let index = u8::try_from(word & (ISSUED_BIT - 1)).ok()?.checked_sub(1)?;
    let cause = Cause::from_index(index)?;
    Some(Cooldown { until: Millis(word >> 8), cause, provider_issued: word & ISSUED_BIT != 0 })
}

#[cfg(test)]
mod tests;
