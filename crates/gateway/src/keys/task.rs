//! What is done about keys beside requests: their hashes are read, rows that others change are read again, resets are written.
//!
//! Run by the process on the background thread, once a second. Always true: a budget that began anew is written exactly once, also when
//! the answer to a write is lost; what is not written waits, and is written when the database is back. What was spent is written by the
//! store, with the rows that it is the sum of.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hale_core::tenancy::access::Level;
use hale_core::tenancy::account::Reset;
use hale_core::tenancy::load::{KeyRows, load};
use hale_core::tenancy::{KeyHash, Record, Row, Subject, SubjectKind};
use hale_core::time::{Millis, UnixMs};
use hale_store::{Change, Changed, Find, Once, RowKey, Store, TenantTable};

use super::{Keys, read};
use crate::clock;

/// How often this is done.
const TICK: Duration = Duration::from_secs(1);
/// Keys that were used within this time are read again, milliseconds.
pub(super) const RECENT_MS: u64 = 60_000;
/// Keys of one read.
const AT_ONCE: usize = 500;
/// Keys that were replaced and still work, at most.
const REPLACED_MAX: u32 = 20_000;
/// How often the hashes are read again, where others may add some: every so many ticks.
const HASHES_AGAIN: u64 = 60;
/// How often rows are read again after the store charged something: it writes within a second, or when the database is back.
pub(super) const AGAIN: u64 = 10;
/// Columns that change with traffic.
const COUNTERS: [&str; 5] =
    ["spend", "total_spend", "last_active", "updated_at", "budget_reset_at"];

/// Writes of budgets that began anew.
#[derive(Default)]
pub(super) struct Writes {
    number: i64,
    /// Those that are not known to be made.
    pending: Option<(Vec<Change>, Vec<Arc<Level>>)>,
}

impl Keys {
    /// Never ends.
    pub(crate) async fn run(self: Arc<Keys>) {
        let mut tick = 0_u64;
        loop {
            if self.works() {
                self.follow();
                self.verified.store(clock::now().millis().0, Ordering::Relaxed);
                let is_shared = self.is_shared();
                let is_read = self.hashes.read().are_read();
                if !is_read || is_shared && tick.is_multiple_of(HASHES_AGAIN) {
                    self.read_hashes().await;
                }
                if !is_read || is_shared && tick.is_multiple_of(self.end_users_again()) {
                    self.list_end_users().await;
                }
                if !is_read || is_shared {
                    self.read_tags().await;
                }
                self.read_new_hashes().await;
                self.read_wanted().await;
                let is_charged = self.charged_by_store.load(Ordering::Relaxed);
                if is_shared || is_charged > 0 {
                    self.read_again().await;
                    self.read_end_users_again().await;
                    // What was charged meanwhile is read as often.
                    let fewer = is_charged.saturating_sub(1);
                    let _newer: Result<u64, u64> = self.charged_by_store.compare_exchange(
                        is_charged,
                        fewer,
                        Ordering::Relaxed,
                        Ordering::Relaxed,
                    );
                }
                self.write().await;
            }
            tick += 1;
            tokio::time::sleep(TICK).await;
        }
    }

    /// What the database has is in the rows of accounts.
    fn follow(&self) {
        let Some(store) = self.store() else { return };
        let done = store.progress().done;
        self.accounts.lock().values().for_each(|account| account.written(done));
    }

    /// The rows of keys that were replaced and still work.
    pub(super) async fn replaced_keys(&self, store: &Store) -> Vec<Record> {
        let find = Find {
            sorted_by: Some("revoke_at"),
            limit: REPLACED_MAX,
            ..Find::all(TenantTable::DeprecatedKeys)
        };
        let now = UnixMs(clock::unix_ms());
        let mut rows = store.find(&find).await.unwrap_or_default();
        rows.retain(|row| Row(row).time("revoke_at").is_some_and(|until| now < until));
        rows
    }

    /// Reads the rows of the keys in use again: what others changed, deleted or blocked counts from here on.
    async fn read_again(&self) {
        let Some(store) = self.store() else { return };
        let now = clock::now().millis();
        let recent: Vec<KeyHash> = {
            let known = self.known.read();
            let is_recent = |used: u64| now.since(Millis(used)) < RECENT_MS;
            let recent =
                known.iter().filter(|(_, one)| is_recent(one.used.load(Ordering::Relaxed)));
            recent.map(|(hash, _)| *hash).collect()
        };
        for hashes in recent.chunks(AT_ONCE) {
            let began = clock::now().millis().0;
            let marks = self.marks(hashes, store.progress().done);
            let reading = self.reads();
            let Ok(rows) = read::rows(store, hashes).await else { return };
            let begun = store.progress().begun;
            let mut gone: HashSet<KeyHash> = hashes.iter().copied().collect();
            for rows in rows {
                let Some(hash) = read::presented(&rows) else { continue };
                gone.remove(&hash);
                let loaded = load(&rows, |subject, opening| {
                    let account = self.account(subject, opening, reading);
                    if let Some(mark) = marks.get(subject) {
                        account.reload(opening, (*mark, begun));
                    }
                    account
                });
                let mut known = self.known.write();
                // What was changed here since is not there, or was read since.
                let one = known.get_mut(&hash).filter(|one| one.read < began);
                let Some(one) = one else { continue };
                one.read = clock::now().millis().0;
                if let Some(loaded) = loaded
                    && differ(&one.rows, &rows)
                {
                    one.access = Arc::new(loaded);
                    self.soft.renew(&one.access.levels);
                    one.rows = Arc::new(rows);
                }
            }
            let is_older =
                |hash: &KeyHash| self.known.read().get(hash).is_some_and(|one| one.read < began);
            let gone: Vec<KeyHash> = gone.into_iter().filter(is_older).collect();
            if !gone.is_empty() {
                self.all_removed(&gone);
            }
        }
    }

    /// The marks of the accounts of those keys, from before their rows are read.
    fn marks(&self, hashes: &[KeyHash], done: i64) -> HashMap<Subject, u64> {
        let known = self.known.read();
        let all = hashes.iter().filter_map(|hash| known.get(hash)).map(|one| &one.access);
        let levels = all.flat_map(|access| access.levels.iter().chain(access.of_models.all()));
        levels.map(|level| (level.subject.clone(), level.account.mark(done))).collect()
    }

    /// Writes the budgets that began anew since the last time.
    pub(crate) async fn write(&self) {
        let Some(store) = self.store() else { return };
        let Some(mut writes) = self.writes.lock().take() else { return };
        if writes.pending.is_none() {
            let dirty = std::mem::take(&mut *self.dirty.lock());
            let levels: Vec<Arc<Level>> = dirty.into_values().collect();
            let changes: Vec<Change> = levels.iter().flat_map(changes).collect();
            if changes.is_empty() {
                levels.iter().for_each(|level| level.account.end_write());
            }
            writes.number += 1;
            writes.pending = (!changes.is_empty()).then_some((changes, levels));
        }
        if let Some((changes, levels)) = writes.pending.take() {
            let _writing = self.resets.begin();
            let writer = format!("{}-spend", store.writer()).into();
            let once = Once { writer, number: writes.number };
            match store.change(&changes, Some(once)).await {
                Ok(Changed::Done(_) | Changed::Before | Changed::Exists(_)) => {
                    levels.iter().for_each(|level| level.account.end_write());
                }
                Err(error) => {
                    tracing::debug!(%error, "budgets that began anew are not written yet");
                    writes.pending = Some((changes, levels));
                }
            }
        }
        *self.writes.lock() = Some(writes);
    }
}

/// What is to be written of a level.
fn changes(level: &Arc<Level>) -> Vec<Change> {
    let resets = level.account.begin_write();
    let Some((table, key)) = row_of(&level.subject) else {
        // Its counter has a row for each period: nothing is written, and the account goes on following the store.
        level.account.end_write();
        return Vec::new();
    };
    let ms = |at: UnixMs| i64::try_from(at.0).unwrap_or(i64::MAX);
    let reset = |reset: &Reset| {
        let borders = (ms(reset.was), ms(reset.next));
        match &level.clock {
            Some(budget) => Change::ResetShared { budget: budget.clone(), borders },
            None => Change::Reset { table, key: key.clone(), usd: reset.seen.usd(), borders },
        }
    };
    resets.iter().map(reset).collect()
}

/// The row that has what a subject spent.
pub(crate) fn row_of(subject: &Subject) -> Option<(TenantTable, RowKey)> {
    let by = |table, column| Some((table, vec![(column, Box::from(&*subject.id))]));
    match subject.kind {
        SubjectKind::Key => by(TenantTable::Keys, "token"),
        SubjectKind::Team => by(TenantTable::Teams, "team_id"),
        SubjectKind::User => by(TenantTable::Users, "user_id"),
        SubjectKind::Organization => by(TenantTable::Organizations, "organization_id"),
        SubjectKind::EndUser => by(TenantTable::EndUsers, "user_id"),
        SubjectKind::Member => {
            let (team, user) = subject.member()?;
            Some((
                TenantTable::Memberships,
                vec![("team_id", team.into()), ("user_id", user.into())],
            ))
        }
        SubjectKind::Tag => by(TenantTable::Tags, "tag_name"),
        SubjectKind::ModelOfKey
        | SubjectKind::ModelOfTeam
        | SubjectKind::ModelBudgetOfKey
        | SubjectKind::ModelBudgetOfTeam
        | SubjectKind::ModelBudgetOfUser
        | SubjectKind::ModelBudgetOfEndUser
        | SubjectKind::WindowOfKey
        | SubjectKind::WindowOfTeam
        | SubjectKind::Session => None,
    }
}

/// Whether rows say something else than before, besides what traffic changes.
fn differ(before: &KeyRows, after: &KeyRows) -> bool {
    let same = |one: &Record, other: &Record| {
        let settings = |record: &Record| {
            let mut record = record.clone();
            COUNTERS.iter().for_each(|name| drop(record.remove(*name)));
            record
        };
        settings(one) == settings(other)
    };
    let alike = |one: &Option<Record>, other: &Option<Record>| match (one, other) {
        (Some(one), Some(other)) => same(one, other),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    };
    !(same(&before.key, &after.key)
        && alike(&before.budget, &after.budget)
        && alike(&before.team, &after.team)
        && alike(&before.team_aliases, &after.team_aliases)
        && alike(&before.member, &after.member)
        && alike(&before.member_budget, &after.member_budget)
        && alike(&before.default_member_budget, &after.default_member_budget)
        && alike(&before.user, &after.user)
        && alike(&before.organization, &after.organization)
        && alike(&before.organization_budget, &after.organization_budget)
        && before.before == after.before
        && before.access_groups == after.access_groups)
}

#[cfg(test)]
mod tests;
