//! The breaker of one deployment: when failures open it, how long the cooldown lasts, and what ends
//! it.
//!
//! Owned by [`super::DeploymentState`], behind its lock. Always true: the end of a cooldown only
//! moves to a later time; an attempt that began before the cooldown changes nothing about it; only
//! a half-open request that was due makes it longer.

use std::collections::VecDeque;

use super::evidence::{AttemptRef, Failure, FailureContext};
use super::half_open::{Patience, Reopening, Stage};
use crate::cause::Cause;
use crate::policy::FailureKind;
use crate::time::Millis;

/// Why a deployment is in cooldown, and until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cooldown {
    /// When it may be tried again.
    pub until: Millis,
    /// Why.
    pub cause: Cause,
    /// Whether the provider named the time. Otherwise the gateway chose it.
    pub provider_issued: bool,
}

/// Longest cooldown after a rate limit, whatever the provider says: a wrong `Retry-After` must not keep a
/// deployment out for hours.
pub const RATE_LIMIT_CAP_MS: u64 = 300_000;
/// Longest cooldown after a quota refusal: a quota may stay empty for long, or be raised at any time.
pub const QUOTA_CAP_MS: u64 = 6 * 3_600_000;
/// Longest cooldown of a breaker that opens again and again.
pub const BREAKER_CAP_MS: u64 = 300_000;
/// A doubled cooldown is never longer than this or than a third of the outage so far. So the end of
/// a short outage is found quickly, and a long outage costs few requests.
pub const BREAKER_SHORT_MS: u64 = 20_000;
/// Blamed failures in a row that open the breaker.
pub const CONSECUTIVE_TRIP: u32 = 3;
/// The window in which failures are counted.
const WINDOW_MS: u64 = 60_000;
/// Outcomes in a window before their ratio means anything.
const RATIO_MINIMUM: usize = 5;
/// Outcomes kept; more than the rules about the window need.
const WINDOW_CAP: usize = 128;
/// Failures kept for the pages.
const ERRORS_KEPT: usize = 5;

#[derive(Debug, Default)]
pub(super) struct Breaker {
    pub(super) open: Option<Open>,
    /// How often it opened without a success in between.
    pub(super) opens_in_a_row: u32,
    /// When it opened for the first of those times.
    pub(super) down_since: Millis,
    pub(super) in_a_row: u32,
    row_began: Millis,
    row_request: u64,
    row_requests_differ: bool,
    /// When each counted outcome came.
    pub(super) window: VecDeque<(Millis, Outcome)>,
    /// Failures within a minute, by kind and in all: when the minute began, and how many.
    pub(super) counts: [(Millis, u32); KINDS + 1],
    pub(super) errors: VecDeque<(Millis, Cause, Option<u16>)>,
    /// 400s in unknown words.
    pub(super) unclear: Unclear,
    /// How requests are let in again, while it is open and after it was.
    pub(super) reopening: Reopening,
}

/// How an attempt ended, as the breaker counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Success,
    /// A failure that counts against the deployment.
    Failure,
}

/// 400s in unknown words since the last good answer: the client's fault, unless nothing else ever
/// comes from here while the siblings answer.
#[derive(Debug, Default)]
pub(super) struct Unclear {
    /// The last ones.
    at: VecDeque<Millis>,
    /// Whether they were found to be the deployment's.
    is_own: bool,
}

/// How many of them, and how many good answers of siblings, show whose fault it is.
const UNCLEAR_MINIMUM: usize = 5;

impl Unclear {
    /// Counts one more beside `own` good answers and `others` of siblings; true if it is the
    /// deployment's.
    pub(super) fn refused(&mut self, now: Millis, own: usize, others: usize) -> bool {
        if self.at.len() == UNCLEAR_MINIMUM {
            self.at.pop_front();
        }
        self.at.push_back(now);
        let oldest = self.at.front().filter(|_| self.at.len() == UNCLEAR_MINIMUM);
        let are_many = oldest.is_some_and(|at| now.since(*at) <= WINDOW_MS);
        self.is_own |= are_many;
        self.is_own &= own == 0 && others >= UNCLEAR_MINIMUM;
        self.is_own
    }

    /// A good answer came.
    pub(super) fn forget(&mut self) {
        if !self.at.is_empty() {
            *self = Unclear::default();
        }
    }
}

const KINDS: usize = FailureKind::ALL.len();

#[derive(Clone, Copy, Debug)]
pub(super) struct Open {
    pub(super) since: Millis,
    pub(super) cooldown: Cooldown,
    /// The request whose failure opened it; 0 is none.
    pub(super) request: u64,
    /// Whose evidence its end comes from.
    pub(super) origin: Origin,
}

/// Whose evidence a cooldown comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// This replica's.
    Own,
    /// That of other replicas.
    Fleet,
}

impl Breaker {
    /// Returns the rule that it breaks, if it breaks one. `opens` is how often it ever opened.
    pub(super) fn check_invariants(&self, opens: u64) -> Result<Option<Cooldown>, String> {
        let open = self.open;
        let rules = [
            (self.window.len() <= WINDOW_CAP, "the window is bounded"),
            (self.errors.len() <= ERRORS_KEPT, "the failures shown are bounded"),
            (u64::from(self.opens_in_a_row) <= opens, "it opened as often as it says"),
            (open.is_none() || self.opens_in_a_row > 0, "an open breaker has opened"),
            (open.is_none() || self.in_a_row == 0, "an open breaker has no failures in a row"),
            (
                open.is_none_or(|open| open.cooldown.until >= open.since),
                "a cooldown ends after it began",
            ),
            (
                open.is_none_or(|open| open.cooldown.cause.blames_deployment()),
                "only what blames the deployment opens its breaker",
            ),
            (
                open.is_none_or(|open| {
                    !open.cooldown.provider_issued || open.cooldown.cause.is_limit()
                }),
                "a provider names the end of limits only",
            ),
        ];
        let broken = rules.into_iter().find(|(holds, _)| !holds).map(|(_, rule)| rule);
        match broken.or(self.reopening.broken_rule()) {
            Some(rule) => Err(format!("breaker: {rule}: {self:?}")),
            None => Ok(open.map(|open| open.cooldown)),
        }
    }

    /// Until when an undecided attempt holds others back.
    pub(super) fn patience(&self) -> Patience {
        let is_limited = match self.open {
            Some(open) => open.cooldown.cause.is_limit(),
            None => self.reopening.until().is_some(),
        };
        match is_limited || self.reopening.has_line() {
            true => Patience::ForAWhile,
            false => Patience::UntilItEnds,
        }
    }

    /// What the next permit is for.
    pub(super) fn stage(&self) -> Stage {
        if self.open.is_some() { Stage::Trial } else { Stage::Reopening }
    }

    /// When the next request may be let in, if no time keeps it closed.
    pub(super) fn lets_in_at(&self, now: Millis) -> Millis {
        self.reopening.opens_at(now, self.patience(), self.stage())
    }

    /// Whether it is open because of a limit of the provider's.
    pub(super) fn is_limited(&self) -> bool {
        self.open.is_some_and(|open| open.cooldown.cause.is_limit())
    }

    /// Forgets every failure. Requests that wait and attempts in flight stay.
    pub(super) fn reset(&mut self) {
        self.reopening.reset();
        let reopening = std::mem::take(&mut self.reopening);
        *self = Breaker { reopening, ..Breaker::default() };
    }

    pub(super) fn count(&mut self, now: Millis, outcome: Outcome) {
        while self.window.front().is_some_and(|(at, _)| now.since(*at) > WINDOW_MS) {
            self.window.pop_front();
        }
        if self.window.len() == WINDOW_CAP {
            self.window.pop_front();
        }
        self.window.push_back((now, outcome));
    }

    /// Good answers within the last minute.
    pub(super) fn answered_lately(&self, now: Millis) -> usize {
        let recent = self.window.iter().rev().take_while(|(at, _)| now.since(*at) <= WINDOW_MS);
        recent.filter(|(_, outcome)| *outcome == Outcome::Success).count()
    }

    pub(super) fn remember(&mut self, now: Millis, cause: Cause, status: Option<u16>) {
        if self.errors.len() == ERRORS_KEPT {
            self.errors.pop_front();
        }
        self.errors.push_back((now, cause, status));
    }

    pub(super) fn failed(
        &mut self,
        now: Millis,
        attempt: AttemptRef,
        failure: Failure,
        context: &FailureContext,
    ) -> Option<Cooldown> {
        let cause = failure.cause;
        let hint = failure
            .hint_ms
            .filter(|_| matches!(cause, Cause::RateLimited | Cause::Quota | Cause::Overloaded));
        let cooldown = Failure { hint_ms: hint, ..failure };
        if context.is_narrow(cause) {
            return None;
        }
        if let Some(open) = self.open {
            // The safety net sends requests before the cooldown has ended; their failures are
            // expected.
            let due = attempt.started >= open.cooldown.until;
            if attempt.half_open.own.is_some() && due {
                if hint.is_none() && !context.has_sibling && !context.has_fallback {
                    // The time that the provider named is over, and the only deployment there is
                    // never gets a cooldown from us.
                    self.open = None;
                    return None;
                }
                return Some(self.open(now, attempt.request, cooldown, context));
            }
            let provider_until = hint.map(|ms| now.plus(ms.min(cap_ms(cause))));
            // A late result changes nothing, but a provider may name a later end than the one in
            // force.
            return match provider_until {
                Some(until) if until > open.cooldown.until => {
                    let cooldown = Cooldown { until, cause, provider_issued: cause.is_limit() };
                    self.open = Some(Open { cooldown, origin: Origin::Own, ..open });
                    Some(cooldown)
                }
                _ => None,
            };
        }
        self.count(now, Outcome::Failure);
        self.extend_row(now, attempt, context);
        // What began before the last refusal was refused with it.
        let hint = hint.filter(|_| !self.reopening.pace.is_older(attempt.started));
        let ejects = context.cooldown_ms > 0 && self.should_eject(now, failure, hint, context);
        ejects.then(|| self.open(now, attempt.request, cooldown, context))
    }

    /// Counts the failure by its kind, and decides whether the breaker opens.
    fn should_eject(
        &mut self,
        now: Millis,
        failure: Failure,
        hint: Option<u64>,
        context: &FailureContext,
    ) -> bool {
        let has_other = context.has_sibling || context.has_fallback;
        let kind = FailureKind::of(failure.cause, failure.status);
        let named = kind.and_then(|kind| context.tolerance.named[kind as usize]);
        let of_kind = kind.map_or(0, |kind| self.count_kind(now, kind as usize));
        let of_all = self.count_kind(now, KINDS);
        if hint.is_some() && failure.cause.is_limit() {
            return true;
        }
        if let Some(allowed) = named {
            return has_other && of_kind > allowed;
        }
        let at_once = match failure.cause {
            Cause::Auth | Cause::Permission | Cause::NotFound | Cause::Quota => true,
            Cause::RateLimited => context.tolerance.others.is_none(),
            _ => false,
        };
        if at_once && context.has_sibling {
            return true;
        }
        match context.tolerance.others {
            Some(allowed) => has_other && of_all > allowed,
            None => has_other && self.too_many(),
        }
    }

    /// Counts one more failure of that kind within the minute.
    fn count_kind(&mut self, now: Millis, kind: usize) -> u32 {
        let (began, count) = &mut self.counts[kind];
        if *count == 0 || now.since(*began) > WINDOW_MS {
            (*began, *count) = (now, 0);
        }
        *count = count.saturating_add(1);
        *count
    }

    fn extend_row(&mut self, now: Millis, attempt: AttemptRef, context: &FailureContext) {
        let row_window = WINDOW_MS.max(context.attempt_timeout_ms.saturating_mul(3));
        if self.in_a_row == 0 || now.since(self.row_began) > row_window {
            self.in_a_row = 0;
            self.row_began = now;
            self.row_request = attempt.request;
            self.row_requests_differ = false;
        }
        self.in_a_row += 1;
        self.row_requests_differ |= self.row_request != attempt.request;
    }

    fn too_many(&self) -> bool {
        let failed = self.window.iter().filter(|(_, one)| *one == Outcome::Failure).count();
        let total = self.window.len();
        (self.in_a_row >= CONSECUTIVE_TRIP && self.row_requests_differ)
            || (total >= RATIO_MINIMUM && failed * 2 > total)
    }

    fn open(
        &mut self,
        now: Millis,
        request: u64,
        failure: Failure,
        context: &FailureContext,
    ) -> Cooldown {
        let Failure { cause, hint_ms: hint, .. } = failure;
        if self.opens_in_a_row == 0 {
            self.down_since = now;
        }
        let outage_ms = now.since(self.down_since);
        let longest = (outage_ms / 3).clamp(BREAKER_SHORT_MS, BREAKER_CAP_MS);
        let mut own = context
            .cooldown_ms
            .saturating_mul(1 << self.opens_in_a_row.min(16))
            .min(longest.max(context.cooldown_ms));
        if self.opens_in_a_row > 0 {
            // Jitter, so that breakers that opened together do not become half-open together.
            // Request numbers are random.
            own = own.saturating_add(request % (own / 10 + 1));
        }
        let ms = hint.map_or(own, |hint| hint.min(cap_ms(cause)));
        let provider_issued = hint.is_some() && cause.is_limit();
        let cooldown = Cooldown { until: now.plus(ms), cause, provider_issued };
        self.opens_in_a_row = self.opens_in_a_row.saturating_add(1);
        self.in_a_row = 0;
        self.reopening.begin();
        self.open = Some(Open { since: now, cooldown, request, origin: Origin::Own });
        cooldown
    }

    /// Takes over a cooldown that other replicas report. Returns it if it changes anything.
    pub(super) fn adopt(&mut self, now: Millis, cooldown: Cooldown) -> Option<Cooldown> {
        let known = self.open.map_or(now, |open| open.cooldown.until);
        if cooldown.until <= known.max(now) || !cooldown.cause.blames_deployment() {
            return None;
        }
        let origin = Origin::Fleet;
        if let Some(open) = self.open.filter(|open| open.cooldown.until > now) {
            self.open = Some(Open { cooldown, origin, ..open });
            return Some(cooldown);
        }
        if self.opens_in_a_row == 0 {
            self.down_since = now;
        }
        self.opens_in_a_row = self.opens_in_a_row.saturating_add(1);
        self.in_a_row = 0;
        self.reopening.begin();
        self.open = Some(Open { since: now, cooldown, request: 0, origin });
        Some(cooldown)
    }
}
fn cap_ms(cause: Cause) -> u64 {
    if cause == Cause::Quota { QUOTA_CAP_MS } else { RATE_LIMIT_CAP_MS }
}
