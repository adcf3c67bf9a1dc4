//! What one request has taken from the limits and budgets that it counts against.
//!
//! Made for each request with a key before its first attempt; told by the gateway when its route leads to another model; settled when
//! it ends. Always true: what was taken is given back or replaced by what was used exactly once, also when it is dropped; the limits and
//! budgets of a model count for the requests that are sent to it, whichever way led there, and are charged with what was spent at it.

use std::sync::Arc;

use super::super::account::{Claim, Full, Used};
use super::super::denied::Denied;
use super::super::end_user::EndUser;
use super::super::level::{Charged, Level};
use super::super::of_models::{Names, entry};
use super::super::subject::SubjectKind;
use super::KeyAccess;
use crate::money::Money;
use crate::time::{Millis, WallClock};

/// Against what else a request counts, besides its key and what that belongs to.
#[derive(Clone, Copy, Debug, Default)]
pub struct More<'a> {
    /// The client's own customer that it is for, if that has a row.
    pub end_user: Option<&'a Arc<EndUser>>,
    /// Its tags that have limits or budgets.
    pub tags: &'a [Arc<Level>],
    /// Its session, if sessions have a ceiling.
    pub session: Option<&'a Arc<Level>>,
    /// The limit of its model for keys that have none of their own.
    pub default: Option<&'a Arc<Level>>,
}

/// What a request has used: in all, and in the calls to one group.
#[derive(Clone, Copy)]
pub struct Spent<'f> {
    /// In all.
    pub all: Used,
    /// By the names of groups.
    pub in_group: &'f dyn Fn(&str) -> Used,
}

impl Spent<'_> {
    /// Nothing.
    const NOTHING: Spent<'static> =
        Spent { all: Used { tokens: 0, cost: Money::ZERO }, in_group: &|_| Used::default() };
}

/// Whether a group that a request leaves was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// It was: the request counts for it.
    Called,
    /// It was not.
    Uncalled,
}

/// What was taken at a level of single models.
#[derive(Debug)]
struct OfModel {
    level: Arc<Level>,
    /// Its money is 0 while another model is called.
    claim: Claim,
    began: Millis,
    /// The groups whose calls count for it.
    groups: Vec<Box<str>>,
    /// Whether the group of now is one of them.
    is_current: bool,
}

/// A request that was admitted. Its drop gives back what was reserved.
#[derive(Debug, Default)]
pub struct Admission {
    /// Until it is settled; none without a key.
    access: Option<Arc<KeyAccess>>,
    end_user: Option<Arc<EndUser>>,
    /// The levels of its tags, of its session and of its end user, until it is settled.
    more: Vec<Arc<Level>>,
    models: Vec<OfModel>,
    claim: Claim,
    /// What is spent already, of what goes on.
    spent: Money,
    began: Millis,
    /// Whether its route led to another group.
    has_moved: bool,
}

fn denied(level: &Level, full: &Full, at: WallClock) -> Denied {
    Denied::full(&level.subject, full, at)
}

/// Takes what a request is expected to use at all levels, or at none.
fn enter<'l>(
    levels: impl Iterator<Item = &'l Arc<Level>> + Clone,
    claim: &Claim,
    at: WallClock,
) -> Result<(), Denied> {
    if !claim.is_free {
        for level in levels.clone() {
            let spent = level.account.spent(&level.terms, at);
            spent.map_err(|full| denied(level, &full, at))?;
        }
    }
    for (place, level) in levels.clone().enumerate() {
        let Err(full) = level.account.enter(&level.terms, claim, at) else { continue };
        for taken in levels.take(place) {
            taken.account.refund(&taken.terms, claim, at.now);
        }
        return Err(denied(level, &full, at));
    }
    Ok(())
}

/// The levels of single models that count for a model of these names.
fn of_model(
    access: &KeyAccess,
    end_user: Option<&Arc<EndUser>>,
    (names, default): (Names<'_>, Option<&Arc<Level>>),
) -> Vec<Arc<Level>> {
    let mut levels = access.of_models.of(names);
    levels.extend(default.cloned());
    levels.extend(end_user.and_then(|one| entry(&one.of_models, names)).cloned());
    levels
}

/// Whether what was taken at one is what would be taken at the other: requests and tokens of a model share an account.
fn is_same(one: &Level, other: &Level) -> bool {
    let limits = |level: &Level| (level.terms.rpm.is_some(), level.terms.tpm.is_some());
    Arc::ptr_eq(&one.account, &other.account) && limits(one) == limits(other)
}

impl KeyAccess {
    /// Admits a request for a model of these names: takes what it is expected to use at every level, or nothing.
    ///
    /// # Errors
    /// The refusal, of the first level that does not admit it; budgets that are spent come before limits.
    pub fn admit(
        self: &Arc<KeyAccess>,
        names: Names<'_>,
        (claim, others): (Claim, &More<'_>),
        at: WallClock,
    ) -> Result<Admission, Denied> {
        let models = of_model(self, others.end_user, (names, others.default));
        let mut more: Vec<Arc<Level>> = others.tags.iter().chain(others.session).cloned().collect();
        more.extend(others.end_user.map(|one| one.level.clone()));
        enter(self.levels.iter().chain(&models).chain(&more), &claim, at)?;
        let taken = |level| OfModel::taken(level, claim, (names[0], at.now));
        Ok(Admission {
            access: Some(self.clone()),
            end_user: others.end_user.cloned(),
            more,
            models: models.into_iter().map(taken).collect(),
            claim,
            spent: Money::ZERO,
            began: at.now,
            has_moved: false,
        })
    }
}

impl OfModel {
    fn taken(level: Arc<Level>, claim: Claim, (group, began): (&str, Millis)) -> OfModel {
        OfModel { level, claim, began, groups: vec![group.into()], is_current: true }
    }
}

/// Money that is reserved instead of other money, until all of it fits.
#[derive(Default)]
struct Reclaimed<'l>(Vec<(&'l Level, (Money, Money))>);

impl<'l> Reclaimed<'l> {
    fn add(
        &mut self,
        level: &'l Level,
        change: (Money, Money),
        at: WallClock,
    ) -> Result<(), Denied> {
        level.account.reclaim(&level.terms, change, at).map_err(|full| denied(level, &full, at))?;
        self.0.push((level, change));
        Ok(())
    }

    fn undo(self) {
        for (level, (from, to)) in self.0 {
            level.account.release(to.minus(from));
        }
    }
}

impl Admission {
    /// Admits a request without a key of its own, which counts against its session alone.
    ///
    /// # Errors
    /// The refusal.
    pub fn keyless(session: Arc<Level>, claim: Claim, at: WallClock) -> Result<Admission, Denied> {
        let more = vec![session];
        enter(more.iter(), &claim, at)?;
        let mut admission = Admission::default();
        (admission.more, admission.claim, admission.began) = (more, claim, at.now);
        Ok(admission)
    }

    /// What it counts against.
    pub fn levels(&self) -> impl Iterator<Item = &Arc<Level>> {
        let levels = self.access.iter().flat_map(|access| &access.levels);
        let models = self.models.iter().filter(|one| one.is_current).map(|one| &one.level);
        levels.chain(models).chain(&self.more)
    }

    /// Whose it is, until it is settled.
    #[must_use]
    pub fn access(&self) -> Option<&Arc<KeyAccess>> {
        self.access.as_ref()
    }

    /// What it is expected to use at the model of now.
    #[must_use]
    pub fn claim(&self) -> Claim {
        self.claim
    }

    /// Goes on with a model of these names and of that limit for keys without one, for which `claim` is expected: takes that from the model's limits and budgets, and gives back what
    /// was taken for the model of before, unless that was called.
    ///
    /// # Errors
    /// The refusal, of the first level that has no room: then nothing has changed.
    pub fn moves(
        &mut self,
        (names, default): (Names<'_>, Option<&Arc<Level>>),
        (claim, left): (Claim, Left),
        at: WallClock,
    ) -> Result<(), Denied> {
        let access = self.access.as_ref();
        let levels = access
            .map(|access| of_model(access, self.end_user.as_ref(), (names, default)))
            .unwrap_or_default();
        let held = |level: &Arc<Level>| self.models.iter().find(|one| is_same(&one.level, level));
        let new: Vec<Arc<Level>> =
            levels.iter().filter(|level| held(level).is_none()).cloned().collect();
        enter(new.iter(), &claim, at)?;
        let common = access.iter().flat_map(|access| &access.levels).chain(&self.more);
        let common = common.map(|level| (level, self.claim.cost));
        let again =
            levels.iter().filter_map(|level| held(level).map(|one| (level, one.claim.cost)));
        let mut reclaimed = Reclaimed::default();
        for (level, from) in common.chain(again) {
            if let Err(denied) = reclaimed.add(level, (from, claim.cost), at) {
                reclaimed.undo();
                new.iter().for_each(|one| one.account.refund(&one.terms, &claim, at.now));
                return Err(denied);
            }
        }
        self.claim.cost = claim.cost;
        self.has_moved = true;
        self.leaves(left, &levels);
        for one in &mut self.models {
            one.is_current = levels.iter().any(|level| is_same(level, &one.level));
            if one.is_current {
                one.claim.cost = claim.cost;
                one.groups.push(names[0].into());
            }
        }
        let taken = |level| OfModel::taken(level, claim, (names[0], at.now));
        self.models.extend(new.into_iter().map(taken));
        Ok(())
    }

    /// Gives back what the model of now has taken, but for the levels that go on.
    fn leaves(&mut self, left: Left, going_on: &[Arc<Level>]) {
        self.models.retain_mut(|one| {
            if !one.is_current {
                return true;
            }
            if left == Left::Uncalled {
                one.groups.pop();
            }
            if going_on.iter().any(|level| is_same(level, &one.level)) {
                return true;
            }
            if one.groups.is_empty() {
                one.level.account.refund(&one.level.terms, &one.claim, one.began);
                return false;
            }
            one.level.account.release(one.claim.cost);
            one.claim.cost = Money::ZERO;
            true
        });
    }

    /// The levels that no counter of its key, team, user or end user has: what it costs is added to them too.
    #[must_use]
    pub fn charged(&self, spent: &Spent<'_>) -> Vec<Charged> {
        let is_apart = |(level, _): &(&Arc<Level>, Money)| {
            level.counter.is_some() || level.subject.kind == SubjectKind::Tag
        };
        let common = self.access.iter().flat_map(|access| &access.levels).chain(&self.more);
        let common = common.map(|level| (level, spent.all.cost));
        let models = self.models.iter().map(|one| (&one.level, self.used_at(one, spent).cost));
        let charged = |(level, cost): (&Arc<Level>, Money)| {
            let level = level.clone();
            Charged { ends: level.account.ends(), level, cost }
        };
        common.chain(models).filter(is_apart).map(charged).collect()
    }

    /// What was used of a level of single models.
    fn used_at(&self, one: &OfModel, spent: &Spent<'_>) -> Used {
        if !self.has_moved {
            return spent.all;
        }
        let mut groups: Vec<&str> = one.groups.iter().map(|group| &**group).collect();
        // It may have come back to one.
        groups.sort_unstable();
        groups.dedup();
        let sum = |sum: Used, group: &str| {
            let more = (spent.in_group)(group);
            Used { tokens: sum.tokens.saturating_add(more.tokens), cost: sum.cost.plus(more.cost) }
        };
        groups.into_iter().fold(Used::default(), sum)
    }

    /// Counts the cost of what was used so far as spent, in the place of what was reserved for it. `dirty` gets the levels with
    /// something to write.
    pub fn spend(&mut self, so_far: Used, mut dirty: impl FnMut(&Arc<Level>)) {
        let more = so_far.cost.minus(self.spent);
        if more <= Money::ZERO {
            return;
        }
        for level in self.levels() {
            level.account.spend(&self.claim, more);
            dirty(level);
        }
        self.claim.cost = self.claim.cost.minus(more).max(Money::ZERO);
        let current = self.models.iter_mut().filter(|one| one.is_current);
        current.for_each(|one| one.claim.cost = self.claim.cost);
        self.spent = self.spent.plus(more);
    }

    /// Whether no budget that it counts against is spent, by the terms of its key as they are `now`.
    ///
    /// # Errors
    /// The refusal, of the first that is.
    pub fn check_budgets(&self, now: Option<&KeyAccess>, at: WallClock) -> Result<(), Denied> {
        if self.claim.is_free {
            return Ok(());
        }
        let models = self.models.iter().filter(|one| one.is_current).map(|one| &one.level);
        let levels = now.map_or(&[][..], |now| &now.levels);
        for level in levels.iter().chain(models).chain(&self.more) {
            let spent = level.account.spent(&level.terms, at);
            spent.map_err(|full| denied(level, &full, at))?;
        }
        Ok(())
    }

    /// Replaces what was reserved by what was used. `dirty` gets the levels with something to write.
    pub fn settle(mut self, spent: &Spent<'_>, mut dirty: impl FnMut(&Arc<Level>)) {
        self.release(spent, &mut dirty);
    }

    /// Gives back what was reserved as if the request had not come: it was refused before any upstream was called.
    pub fn refund(mut self) {
        for level in self.taken() {
            level.account.refund(&level.terms, &self.claim, self.began);
        }
        for one in std::mem::take(&mut self.models) {
            one.level.account.refund(&one.level.terms, &one.claim, one.began);
        }
    }

    /// What it counts against besides single models, once.
    fn taken(&mut self) -> impl Iterator<Item = Arc<Level>> + use<> {
        let levels = self.access.take().map_or_else(Vec::new, |access| access.levels.clone());
        levels.into_iter().chain(std::mem::take(&mut self.more))
    }

    fn release(&mut self, spent: &Spent<'_>, dirty: &mut dyn FnMut(&Arc<Level>)) {
        let before = self.spent;
        let left = |used: Used| Used { cost: used.cost.minus(before).max(Money::ZERO), ..used };
        let used = left(spent.all);
        for level in self.taken() {
            if level.account.settle(&level.terms, &self.claim, &used, self.began) {
                dirty(&level);
            }
        }
        for one in std::mem::take(&mut self.models) {
            let used = self.used_at(&one, spent);
            let used = if one.is_current { left(used) } else { used };
            if one.level.account.settle(&one.level.terms, &one.claim, &used, one.began) {
                dirty(&one.level);
            }
        }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.release(&Spent::NOTHING, &mut |_| {});
    }
}

#[cfg(test)]
mod tests;
