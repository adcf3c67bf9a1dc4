//! What one key, team, user or other subject has used: requests and tokens of a minute, calls in flight, money.
//!
//! Shared by all that the subject's keys admit ([`super::access`]); loaded from the store and written back by the gateway.
//! Always true: what is reserved is given back or replaced by the real amount exactly once; a limit is never exceeded by
//! estimates; settings are not kept here, so that traffic never writes them back. What was spent is in exactly one of three places: in no
//! batch of the store yet, in a batch that the row may or may not have, in the row.

mod full;

use jiff::tz::TimeZone;
use parking_lot::Mutex;

pub use self::full::Full;
use super::duration::BudgetDuration;
use crate::minute::Window;
use crate::money::Money;
use crate::time::{Millis, UnixMs, WallClock};

/// Batches that are told apart.
const HANDED_MAX: usize = 256;

/// The limits of a subject; what is `None` is not limited, and 0 allows nothing.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// Requests within any minute.
    pub rpm: Option<u64>,
    /// Tokens within any minute.
    pub tpm: Option<u64>,
    /// Calls in flight.
    pub parallel: Option<u64>,
    /// Money.
    pub budget: Option<Budget>,
    /// Money from which on operators are told, and nothing is refused.
    pub soft: Option<Money>,
    /// Requests altogether, without end: of a session.
    pub requests: Option<u64>,
}

/// What a subject may spend.
#[derive(Clone, Debug)]
pub struct Budget {
    /// The most, until it begins anew.
    pub max: Money,
    /// How long it lasts; `None` is for ever.
    pub duration: Option<BudgetDuration>,
    /// What may be spent more, until then.
    pub raised: Option<(Money, UnixMs)>,
    /// Whose midnight ends a day.
    pub zone: TimeZone,
}

impl Budget {
    /// The most at that moment.
    #[must_use]
    pub fn max_at(&self, now: UnixMs) -> Money {
        match self.raised {
            Some((more, until)) if now < until => self.max.plus(more),
            Some(_) | None => self.max,
        }
    }
}

/// What a request is expected to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Claim {
    /// Tokens: those of its text, and those of its answer if it names them.
    pub tokens: u64,
    /// Tokens that its answer may have if it does not name them.
    pub implied: u64,
    /// Whether the request itself names the tokens of its answer.
    pub is_explicit: bool,
    /// Money; 0 if there is no price.
    pub cost: Money,
    /// Whether it costs nothing wherever it is sent, by prices and not by this estimate: then no budget matters.
    pub is_free: bool,
}

/// What a request has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// Tokens.
    pub tokens: u64,
    /// Money.
    pub cost: Money,
}

/// That a budget began anew: what the store has to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reset {
    /// What the store's row had counted.
    pub seen: Money,
    /// The border that was reached.
    pub was: UnixMs,
    /// The next one.
    pub next: UnixMs,
}

/// What a subject has used.
#[derive(Debug, Default)]
pub struct Account(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    requests: Window,
    tokens: Window,
    in_flight: u64,
    /// Requests that were ever admitted.
    admitted: u64,
    /// Spent, as the store's row has it. Below 0 between a reset and the writing of what was spent before it.
    saved: Money,
    /// Spent, and in no batch.
    unsaved: Money,
    /// Spent, and in the batch of that number.
    handed: Vec<(i64, Money)>,
    /// Estimates of calls in flight.
    reserved: Money,
    ends: Option<UnixMs>,
    resets: Vec<Reset>,
    /// How often the writing of resets began or ended.
    writes: u64,
    is_writing: bool,
}

/// What an account shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Balance {
    /// Spent since the budget began.
    pub spent: Money,
    /// Estimates of calls in flight.
    pub reserved: Money,
    /// Requests of the last minute.
    pub requests: u64,
    /// Tokens of the last minute, with the estimates of calls in flight.
    pub tokens: u64,
    /// Calls in flight.
    pub in_flight: u64,
}

impl Account {
    /// An account as the store's row has it: spent so much, and a budget that begins anew at `ends`.
    #[must_use]
    pub fn new(spent: Money, ends: Option<UnixMs>) -> Account {
        Account(Mutex::new(Inner { saved: spent, ends, ..Inner::default() }))
    }

    /// Whether the budget is spent. Looked at for all subjects of a request before any limit, so that the budget that is
    /// reported does not depend on limits.
    pub(super) fn spent(&self, terms: &Terms, at: WallClock) -> Result<(), Full> {
        let Some(budget) = &terms.budget else { return Ok(()) };
        let mut inner = self.0.lock();
        inner.begin_anew(budget, at.unix_ms);
        let (known, max) = (inner.known(), budget.max_at(at.unix_ms));
        if known < max {
            return Ok(());
        }
        Err(inner.is_spent(known, max))
    }

    /// Whether the budget is spent at that moment, for a look ahead: nothing begins anew.
    pub(crate) fn is_spent(&self, terms: &Terms, at: UnixMs) -> bool {
        let Some(budget) = &terms.budget else { return false };
        let inner = self.0.lock();
        let begins_anew = budget.duration.is_some() && inner.ends.is_some_and(|ends| at >= ends);
        let known = if begins_anew { Money::ZERO } else { inner.known() };
        known >= budget.max_at(at)
    }

    /// Reserves `to` in the place of `from`, which a request that was admitted has reserved; more only if it fits.
    pub(super) fn reclaim(
        &self,
        terms: &Terms,
        (from, to): (Money, Money),
        at: WallClock,
    ) -> Result<(), Full> {
        let mut inner = self.0.lock();
        if let Some(budget) = terms.budget.as_ref().filter(|_| to > from) {
            inner.begin_anew(budget, at.unix_ms);
            let (known, max) = (inner.known(), budget.max_at(at.unix_ms));
            if known >= max {
                return Err(inner.is_spent(known, max));
            }
            let others = inner.reserved.minus(from);
            if known.plus(others).plus(to) > max && others > Money::ZERO {
                return Err(Full::Reserved { max, calls: inner.in_flight.saturating_sub(1) });
            }
        }
        inner.reserved = inner.reserved.minus(from).plus(to);
        Ok(())
    }

    /// Reserves so much less, or more if that is below 0.
    pub(super) fn release(&self, money: Money) {
        let mut inner = self.0.lock();
        inner.reserved = inner.reserved.minus(money);
    }

    /// Takes what a request is expected to use; if it does not fit, nothing is taken.
    pub(super) fn enter(&self, terms: &Terms, claim: &Claim, at: WallClock) -> Result<(), Full> {
        let mut inner = self.0.lock();
        let now = at.now;
        if let Some(limit) = terms.requests.filter(|limit| inner.admitted >= *limit) {
            return Err(Full::Used { limit });
        }
        if let Some(limit) = terms.parallel.filter(|limit| inner.in_flight >= *limit) {
            return Err(Full::Parallel { limit });
        }
        inner.requests.forget(now);
        inner.tokens.forget(now);
        if let Some(limit) = terms.rpm.filter(|limit| inner.requests.sum() >= *limit) {
            let free_in_ms = inner.requests.free_in_ms(now, 1, limit);
            return Err(Full::Requests { limit, free_in_ms });
        }
        let tokens = tokens_of(terms, claim);
        if let Some(limit) = terms.tpm {
            if claim.is_explicit && claim.tokens > limit {
                return Err(Full::NeverFits { limit, asked: claim.tokens });
            }
            if limit == 0 || inner.tokens.sum().saturating_add(tokens) > limit {
                let free_in_ms = inner.tokens.free_in_ms(now, tokens, limit);
                return Err(Full::Tokens { limit, free_in_ms });
            }
        }
        if let Some(budget) = &terms.budget {
            let expected = inner.known().plus(inner.reserved).plus(claim.cost);
            let max = budget.max_at(at.unix_ms);
            if expected > max && inner.reserved > Money::ZERO && !claim.is_free {
                return Err(Full::Reserved { max, calls: inner.in_flight });
            }
        }
        inner.in_flight += 1;
        inner.admitted += 1;
        if terms.rpm.is_some() {
            inner.requests.push(now, 1);
        }
        if tokens > 0 {
            inner.tokens.push(now, tokens);
        }
        inner.reserved = inner.reserved.plus(claim.cost);
        Ok(())
    }

    /// Gives back what was taken at `began`, as if the request had not come: another subject did not admit it.
    pub(super) fn refund(&self, terms: &Terms, claim: &Claim, began: Millis) {
        let mut inner = self.0.lock();
        inner.in_flight = inner.in_flight.saturating_sub(1);
        inner.admitted = inner.admitted.saturating_sub(1);
        inner.reserved = inner.reserved.minus(claim.cost);
        if terms.rpm.is_some() {
            inner.requests.take_back(began, 1);
        }
        inner.tokens.take_back(began, tokens_of(terms, claim));
    }

    /// Counts `cost` as spent while its call goes on, in the place of what `claim` still reserves.
    pub(super) fn spend(&self, claim: &Claim, cost: Money) {
        let mut inner = self.0.lock();
        inner.reserved = inner.reserved.minus(claim.cost.min(cost));
        inner.unsaved = inner.unsaved.plus(cost);
    }

    /// Replaces what was taken at `began` by what was used. Returns whether there is a reset to write.
    pub(super) fn settle(&self, terms: &Terms, claim: &Claim, used: &Used, began: Millis) -> bool {
        let mut inner = self.0.lock();
        inner.in_flight = inner.in_flight.saturating_sub(1);
        inner.reserved = inner.reserved.minus(claim.cost);
        let tokens = tokens_of(terms, claim);
        if terms.tpm.is_some() {
            inner.tokens.take_back(began, tokens.saturating_sub(used.tokens));
            let more = used.tokens.saturating_sub(tokens);
            if more > 0 {
                inner.tokens.push(began, more);
            }
        }
        inner.unsaved = inner.unsaved.plus(used.cost);
        !inner.resets.is_empty()
    }

    /// What a request of its own cost is in the batch of that number now.
    pub fn hand(&self, cost: Money, batch: i64) {
        let mut inner = self.0.lock();
        inner.unsaved = inner.unsaved.minus(cost);
        inner.put(cost, batch);
    }

    /// What a request cost that was not admitted against it is in the batch of that number.
    pub fn hand_besides(&self, cost: Money, batch: i64) {
        self.0.lock().put(cost, batch);
    }

    /// What was spent and is in no batch yet: of sessions that go on, and of requests that have just ended.
    pub fn unsaved(&self) -> Money {
        self.0.lock().unsaved
    }

    /// The row has what is in batches up to that number.
    pub fn written(&self, done: i64) {
        self.0.lock().written(done);
    }

    /// The budgets that began anew, in order; they are being written until [`Account::end_write`].
    pub fn begin_write(&self) -> Vec<Reset> {
        let mut inner = self.0.lock();
        inner.writes += 1;
        inner.is_writing = true;
        std::mem::take(&mut inner.resets)
    }

    /// The row has them.
    pub fn end_write(&self) {
        let mut inner = self.0.lock();
        inner.writes += 1;
        inner.is_writing = false;
    }

    /// A mark for [`Account::reload`], made before the row is read; it has what is in batches up to `done`.
    pub fn mark(&self, done: i64) -> u64 {
        let mut inner = self.0.lock();
        inner.written(done);
        inner.writes
    }

    /// Takes over what the row has, unless that is not clear: it may have been read before a reset that was written since `mark`, or with a
    /// batch of which only some are known to be there. `begun` is the last batch that the store had begun to write when the row was read.
    pub fn reload(&self, (spent, ends): (Money, Option<UnixMs>), (mark, begun): (u64, i64)) {
        let mut inner = self.0.lock();
        let is_clear = inner.handed.iter().all(|(batch, _)| *batch > begun);
        if inner.writes == mark && !inner.is_writing && inner.resets.is_empty() && is_clear {
            (inner.saved, inner.ends) = (spent, ends);
        }
    }

    /// It has spent so much and made so many requests at least: what the ledger has of all replicas. What is known here may be more, since
    /// the ledger lacks what has just happened.
    pub fn at_least(&self, spent: Money, requests: u64) {
        let mut inner = self.0.lock();
        let more = spent.minus(inner.known());
        if more > Money::ZERO {
            inner.saved = inner.saved.plus(more);
        }
        inner.admitted = inner.admitted.max(requests);
    }

    /// What an operator set it to, when batches up to `begun` were written. What was spent since comes on top.
    pub fn set(&self, spent: Money, ends: Option<UnixMs>, begun: i64) {
        let mut inner = self.0.lock();
        inner.written(begun);
        (inner.saved, inner.ends) = (spent, ends);
        inner.resets.clear();
        inner.writes += 1;
    }

    /// When an operator has its budget begin anew.
    pub fn set_ends(&self, ends: Option<UnixMs>) {
        self.0.lock().ends = ends;
    }

    /// Takes over when its budget begins anew, as a row has it that was read after all that was written of this account: its period was
    /// changed, or it has another budget. What is not written yet is in no row, and stays; a budget whose border is reached begins anew
    /// first.
    pub fn follow(&self, ends: Option<UnixMs>, now: UnixMs) {
        let mut inner = self.0.lock();
        let begins_anew = inner.ends.is_some_and(|ends| ends <= now);
        if !inner.is_writing && inner.resets.is_empty() && !begins_anew {
            inner.ends = ends;
        }
    }

    /// When its budget begins anew.
    pub fn ends(&self) -> Option<UnixMs> {
        self.0.lock().ends
    }

    /// What is spent, if that is as much as operators want to be told of.
    pub fn beyond_soft(&self, terms: &Terms) -> Option<Money> {
        let soft = terms.soft?;
        let inner = self.0.lock();
        Some(inner.known()).filter(|known| *known >= soft)
    }

    /// What it shows.
    pub fn balance(&self, budget: Option<&Budget>, at: WallClock) -> Balance {
        let mut inner = self.0.lock();
        if let Some(budget) = budget {
            inner.begin_anew(budget, at.unix_ms);
        }
        inner.requests.forget(at.now);
        inner.tokens.forget(at.now);
        Balance {
            spent: inner.known(),
            reserved: inner.reserved,
            requests: inner.requests.sum(),
            tokens: inner.tokens.sum(),
            in_flight: inner.in_flight,
        }
    }
}

/// The tokens that are taken for a request: an estimate is never more than a minute may have, and an answer of which the request says
/// nothing is never more than a quarter of that.
fn tokens_of(terms: &Terms, claim: &Claim) -> u64 {
    let taken = |limit: u64| {
        let expected = claim.tokens.max(claim.implied.min(limit / 4));
        expected.clamp(1, limit.max(1))
    };
    terms.tpm.map_or(0, taken)
}

impl Inner {
    /// The refusal of a budget that is spent.
    fn is_spent(&self, known: Money, max: Money) -> Full {
        Full::Spent { known, max, resets_at: self.ends.filter(|_| max > Money::ZERO) }
    }

    fn known(&self) -> Money {
        self.saved.plus(self.unwritten())
    }

    /// Spent, and not known to be in the row.
    fn unwritten(&self) -> Money {
        self.handed.iter().fold(self.unsaved, |sum, (_, cost)| sum.plus(*cost))
    }

    fn put(&mut self, cost: Money, batch: i64) {
        match self.handed.last_mut().filter(|(last, _)| *last == batch) {
            Some((_, sum)) => *sum = sum.plus(cost),
            None => self.handed.push((batch, cost)),
        }
        // While the database is away there is one more with each batch: the oldest two are known to be written with the later of them.
        if let [(_, oldest), (_, second), ..] = self.handed[..]
            && self.handed.len() > HANDED_MAX
        {
            self.handed[1].1 = second.plus(oldest);
            self.handed.remove(0);
        }
    }

    fn written(&mut self, done: i64) {
        let saved = &mut self.saved;
        self.handed.retain(|(batch, cost)| {
            if *batch <= done {
                *saved = saved.plus(*cost);
            }
            *batch > done
        });
    }

    /// Begins the budget anew if its border was reached: borders that nothing was spent between are skipped.
    fn begin_anew(&mut self, budget: &Budget, now: UnixMs) {
        let (Some(was), Some(duration)) = (self.ends, budget.duration) else { return };
        if now < was {
            return;
        }
        let next = duration.next(now, &budget.zone);
        // What is not written yet will be added to the row after its spend was taken back.
        self.resets.push(Reset { seen: self.known(), was, next });
        self.saved = Money::ZERO.minus(self.unwritten());
        self.ends = Some(next);
    }
}

#[cfg(test)]
mod tests;
