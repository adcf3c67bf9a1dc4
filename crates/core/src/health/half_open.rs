//! Half-open permits: how requests are let in again, few at first, after a cooldown.
//!
//! Kept by [`super::breaker::Breaker`] behind its lock, carried by attempts. Always true: at most
//! `allowed` attempts are undecided at once (1, 2, 4, 8 ..., and 1 again after a refusal); only the
//! attempt that holds a permit gives it back, however late it ends; a lost permit expires; while a
//! line of waiting requests stands, only the line gets permits.

use super::pace::Pace;
use crate::time::Millis;

/// How long a half-open request may keep its permit beyond the attempt's own time.
const HALF_OPEN_GRACE_MS: u64 = 1_000;
/// The most attempts with a permit at once: more than wait at any subject.
const ALLOWED_MAX: u32 = 1_024;
/// After how long an undecided attempt no longer holds others back, milliseconds: the least, the
/// most.
const UNDECIDED_MS: (u64, u64) = (1_000, 3_000);

/// One permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permit(u64);

impl Permit {
    /// Marks the permit of a trial: it was taken while the breaker was open.
    const TRIAL: u64 = 1;
}

/// The permits that an attempt holds: those of what it reopens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HalfOpen {
    /// The deployment's.
    pub own: Option<Permit>,
    /// Its credential's.
    pub credential: Option<Permit>,
    /// That of the rate limit that it shares with other deployments.
    pub limit: Option<Permit>,
}

impl HalfOpen {
    /// Not a half-open request.
    pub const NONE: HalfOpen = HalfOpen { own: None, credential: None, limit: None };

    /// Whether the attempt holds any permit.
    #[must_use]
    pub const fn is_held(&self) -> bool {
        self.own.is_some() || self.credential.is_some() || self.limit.is_some()
    }

    /// Whether it is a half-open request: its outcome decides whether a cooldown is over. Attempts
    /// that are let in afterwards, in growing numbers, hold permits too.
    #[must_use]
    pub fn is_trial(&self) -> bool {
        let all = [self.own, self.credential, self.limit];
        all.iter().flatten().any(|Permit(bits)| bits & Permit::TRIAL != 0)
    }
}

/// Until when an undecided attempt holds others back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// Until it ends: nothing waits, and an outage is no limit that may have passed.
    UntilItEnds,
    /// For a while only: requests wait, or a limit is found out by refusals that come soon.
    ForAWhile,
}

/// Whether a permit is that of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The breaker is open.
    Trial,
    /// It is closed again.
    Reopening,
}

/// What the attempt with a permit proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// It was let in: a 2xx, or a 4xx that is the client's own.
    Passed,
    /// The same, but it began before the cooldown and says nothing about the time after it.
    PassedBefore,
    /// It failed in another way than by a refusal.
    Failed,
    /// Nothing: its owner is gone, or it was never sent.
    Nothing,
}

/// One permit that is held.
#[derive(Clone, Copy, Debug)]
struct Held {
    permit: Permit,
    taken: Millis,
    /// From then on it holds no other attempt back.
    decided_by: Millis,
    expires: Millis,
}

/// How one subject lets requests in again.
#[derive(Debug)]
pub(super) struct Reopening {
    /// Whether requests come back in rounds: since the breaker opened, until no request waits and no
    /// refusal is remembered. A line without rounds waits for slots only.
    in_rounds: bool,
    /// How many undecided attempts there may be at once.
    allowed: u32,
    /// How many of this round passed.
    passed: u32,
    held: Vec<Held>,
    /// Numbers permits.
    given: u64,
    /// How many lines of waiting requests stand here.
    lines: u32,
    pub(super) pace: Pace,
}

impl Default for Reopening {
    fn default() -> Reopening {
        let pace = Pace::default();
        let held = Vec::new();
        Reopening { in_rounds: false, allowed: 1, passed: 0, held, given: 0, lines: 0, pace }
    }
}

impl Reopening {
    /// Until when requests are let in one by one although the breaker is closed.
    pub(super) fn until(&self) -> Option<Millis> {
        if self.lines > 0 { Some(Millis::NEVER) } else { self.pace.remembered_until() }
    }

    /// Whether waiting requests stand in line here.
    pub(super) fn has_line(&self) -> bool {
        self.lines > 0
    }

    /// A line forms.
    pub(super) fn line_formed(&mut self) {
        self.lines = self.lines.saturating_add(1);
    }

    /// A line is empty again.
    pub(super) fn line_ended(&mut self) {
        self.lines = self.lines.saturating_sub(1);
    }

    /// The breaker is closed: the rounds end if no request waits and no refusal is remembered.
    pub(super) fn settle(&mut self) {
        self.in_rounds &= self.until().is_some();
    }

    /// Whether requests come back in rounds.
    pub(super) fn in_rounds(&self) -> bool {
        self.in_rounds
    }

    /// The breaker opens: what comes after it begins with one request.
    pub(super) fn begin(&mut self) {
        (self.in_rounds, self.allowed, self.passed) = (true, 1, 0);
    }

    /// When the next permit can be had: `now` if at once.
    pub(super) fn opens_at(&self, now: Millis, patience: Patience, stage: Stage) -> Millis {
        let free_at = |held: &Held| match patience {
            Patience::UntilItEnds => held.expires,
            Patience::ForAWhile => held.decided_by.min(held.expires),
        };
        let pending = self.held.iter().map(free_at).filter(|at| *at > now);
        let permit_at = if (pending.clone().count() as u64) < u64::from(self.allowed) {
            now
        } else {
            pending.min().unwrap_or(now)
        };
        match stage {
            // The time that the provider named is better known than its rate.
            Stage::Trial => permit_at,
            Stage::Reopening => permit_at.max(self.pace.opens_at(now)),
        }
    }

    /// Takes a permit for an attempt of `timeout_ms`.
    pub(super) fn take(&mut self, now: Millis, timeout_ms: u64, stage: Stage) -> Option<Permit> {
        self.held.retain(|held| held.expires > now);
        if self.held.len() >= ALLOWED_MAX as usize {
            return None;
        }
        self.given = self.given.wrapping_add(1);
        let trial = match stage {
            Stage::Trial => Permit::TRIAL,
            Stage::Reopening => 0,
        };
        let permit = Permit(self.given << 1 | trial);
        let undecided_ms = self.pace.refusal_ms().saturating_mul(2);
        let decided_by = now.plus(undecided_ms.clamp(UNDECIDED_MS.0, UNDECIDED_MS.1));
        let expires = now.plus(timeout_ms).plus(HALF_OPEN_GRACE_MS);
        self.held.push(Held { permit, taken: now, decided_by, expires });
        self.pace.released(now);
        Some(permit)
    }

    /// The attempt with that permit ended. Does nothing if the permit expired.
    pub(super) fn end(&mut self, permit: Option<Permit>, proof: Proof) {
        let Some(permit) = permit else { return };
        let Some(place) = self.held.iter().position(|held| held.permit == permit) else { return };
        let taken = self.held.swap_remove(place).taken;
        match proof {
            Proof::Passed => {
                self.passed += 1;
                self.pace.answered(taken);
            }
            Proof::PassedBefore => self.pace.answered(taken),
            Proof::Failed => self.passed = 0,
            // The next one may go at once.
            Proof::Nothing => self.pace.give_back(),
        }
        if self.passed >= self.allowed {
            self.allowed = self.allowed.saturating_mul(2).min(ALLOWED_MAX);
            self.passed = 0;
        }
    }

    /// The provider refused an attempt that began at `started`, because of a limit. A refusal that
    /// is older than the last one says nothing new.
    pub(super) fn refused(&mut self, now: Millis, started: Millis) {
        if self.pace.refused(now, started) {
            self.begin();
        }
    }

    /// Forgets what was learned; lines and attempts in flight stay.
    pub(super) fn reset(&mut self) {
        let (lines, given) = (self.lines, self.given);
        *self = Reopening { lines, given, ..Reopening::default() };
    }

    /// Forgets a refusal that is too old; whether there was one.
    pub(super) fn forget(&mut self, now: Millis) -> bool {
        self.pace.forget(now)
    }

    /// Attempts that may be undecided at once.
    pub(super) fn allowed(&self) -> u32 {
        self.allowed
    }

    /// Returns the rule that it breaks, if it breaks one.
    pub(super) fn broken_rule(&self) -> Option<&'static str> {
        let rules = [
            (self.held.len() <= ALLOWED_MAX as usize, "permits are bounded"),
            (self.allowed.is_power_of_two(), "rounds double"),
            (self.passed < self.allowed, "a round that passed is over"),
        ];
        rules.into_iter().find(|(holds, _)| !holds).map(|(_, rule)| rule)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(reopening: &mut Reopening, now: u64, timeout_ms: u64) -> Option<Permit> {
        let is_free =
            reopening.opens_at(Millis(now), Patience::UntilItEnds, Stage::Trial) <= Millis(now);
        is_free.then(|| reopening.take(Millis(now), timeout_ms, Stage::Trial)).flatten()
    }

    #[test]
    fn a_late_holder_does_not_free_its_successors_permit() {
        let mut slot = Reopening::default();
        let late = take(&mut slot, 0, 1_000);
        assert!(late.is_some() && take(&mut slot, 1_999, 1_000).is_none());
        let successor = take(&mut slot, 2_000, 1_000);
        assert!(successor.is_some());
        slot.end(late, Proof::Nothing);
        assert!(take(&mut slot, 2_001, 1).is_none(), "the successor still holds it");
        slot.end(successor, Proof::Nothing);
        let again = take(&mut slot, 2_001, 999);
        slot.end(successor, Proof::Nothing);
        assert!(again.is_some() && take(&mut slot, 2_001, 1).is_none(), "given back once only");
    }

    #[test]
    fn rounds_of_one_two_four_pass_and_a_refusal_begins_anew() {
        let mut slot = Reopening::default();
        let now = Millis(0);
        for round in [1_usize, 2, 4, 8] {
            let permits: Vec<_> = (0..round).map(|_| take(&mut slot, 0, 1_000)).collect();
            assert!(permits.iter().all(Option::is_some), "{round}");
            assert_eq!(take(&mut slot, 0, 1_000), None, "no more than {round} at once");
            permits.into_iter().for_each(|permit| slot.end(permit, Proof::Passed));
        }
        assert_eq!(slot.allowed(), 16);
        slot.refused(Millis(50), now);
        assert_eq!(slot.allowed(), 1);
    }

    #[test]
    fn an_undecided_attempt_holds_a_line_back_for_one_to_three_seconds() {
        let mut slot = Reopening::default();
        assert!(slot.take(Millis(0), 600_000, Stage::Trial).is_some());
        assert_eq!(slot.opens_at(Millis(0), Patience::ForAWhile, Stage::Trial), Millis(1_000));
        let mut slow = Reopening::default();
        slow.refused(Millis(9_000), Millis(0));
        assert!(slow.take(Millis(10_000), 600_000, Stage::Trial).is_some());
        assert_eq!(
            slow.opens_at(Millis(10_000), Patience::ForAWhile, Stage::Trial),
            Millis(13_000)
        );
    }

    #[test]
    fn a_failure_that_is_no_refusal_does_not_complete_a_round() {
        let mut slot = Reopening::default();
        let first = take(&mut slot, 0, 1_000);
        slot.end(first, Proof::Failed);
        assert_eq!(slot.allowed(), 1);
        let second = take(&mut slot, 0, 1_000);
        slot.end(second, Proof::Passed);
        assert_eq!(slot.allowed(), 2);
    }
}
