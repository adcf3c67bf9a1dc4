//! The end users that have rows: clients' own customers with a block, a budget or limits.
//!
//! Asked by the proxy for each request with a key that names one; told by the admin API of what it changes. Always true: one without a
//! row costs nothing, whatever a client writes; one that was asked for is found without I/O; what others change counts within
//! seconds.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hale_core::tenancy::end_user::EndUser;
use hale_core::tenancy::load::load_end_user;
use hale_core::tenancy::{Denied, Record, Row, Subject};
use hale_core::time::{Millis, UnixMs};
use hale_store::{Error, Find, Store, TenantTable};
use parking_lot::RwLock;

use super::{Keys, read};
use crate::clock;

/// Ids of one read.
const AT_ONCE: u32 = 20_000;
/// End users whose rows are read at once.
const ROWS: usize = 500;
/// Those that were used within this time are read again, milliseconds.
const RECENT_MS: u64 = 60_000;
/// So many can be listed every second.
const FEW: usize = 2_000;
/// The longest id that is looked for, bytes.
const ID_MAX: usize = 256;

/// Those that have rows, by their ids.
#[derive(Default)]
pub(super) struct EndUsers {
    all: RwLock<HashMap<Box<str>, Kept>>,
}

/// What is known of one.
#[derive(Default)]
struct Kept {
    /// `None` until it is first asked for, and after a change.
    end_user: Option<Arc<EndUser>>,
    /// When it was last asked for, milliseconds.
    used: AtomicU64,
}

/// What is known of an end user.
enum Found {
    Nothing,
    Unread,
    Here(Arc<EndUser>),
}

impl EndUsers {
    fn find(&self, id: &str, now: Millis) -> Found {
        let all = self.all.read();
        let Some(kept) = all.get(id) else { return Found::Nothing };
        kept.used.store(now.0, Ordering::Relaxed);
        kept.end_user.clone().map_or(Found::Unread, Found::Here)
    }
}

impl Keys {
    /// Whether any end user has a row.
    pub(crate) fn has_end_users(&self) -> bool {
        !self.end_users.all.read().is_empty()
    }

    /// The end user with that id, if it has a row.
    ///
    /// # Errors
    /// Its row cannot be read now.
    pub(crate) async fn end_user(&self, id: &str) -> Result<Option<Arc<EndUser>>, Denied> {
        let now = clock::now().millis();
        match self.end_users.find(id, now) {
            Found::Nothing => Ok(None),
            Found::Here(end_user) => Ok(Some(end_user)),
            Found::Unread => {
                let Some(store) = self.store() else { return Ok(None) };
                if self.read_end_users(store, vec![id.into()]).await.is_err() {
                    let message = "the database does not answer, so this end user cannot be checked; try again in a second";
                    return Err(Denied::no_store(message));
                }
                match self.end_users.find(id, now) {
                    Found::Here(end_user) => Ok(Some(end_user)),
                    Found::Nothing | Found::Unread => Ok(None),
                }
            }
        }
    }

    /// Those that were used since they were last changed.
    pub(super) fn known_end_users(&self) -> Vec<Arc<EndUser>> {
        self.end_users.all.read().values().filter_map(|kept| kept.end_user.clone()).collect()
    }

    /// An end user was made or changed.
    pub(crate) fn end_user_changed(&self, id: &str) {
        if id.len() <= ID_MAX {
            self.end_users.all.write().insert(id.into(), Kept::default());
        }
    }

    /// A budget that several may name was changed: all are read again when they are next asked for.
    pub(crate) fn end_users_changed(&self) {
        self.end_users.all.write().values_mut().for_each(|kept| kept.end_user = None);
    }

    /// An end user was deleted.
    pub(crate) fn end_user_removed(&self, id: &str) {
        self.end_users.all.write().remove(id);
    }

    /// How often they are listed again where others may add some: every so many seconds.
    pub(super) fn end_users_again(&self) -> u64 {
        if self.end_users.all.read().len() <= FEW { 1 } else { 60 }
    }

    /// Reads which there are.
    pub(super) async fn list_end_users(&self) {
        let Some(store) = self.store() else { return };
        let mut find =
            Find { sorted_by: Some("user_id"), limit: AT_ONCE, ..Find::all(TenantTable::EndUsers) };
        let mut ids: Vec<Box<str>> = Vec::new();
        loop {
            let Ok(rows) = store.find(&find).await else { return };
            let found = rows.iter().filter_map(|row| Row(row).text("user_id"));
            ids.extend(found.filter(|id| id.len() <= ID_MAX).map(Box::from));
            if rows.len() < AT_ONCE as usize {
                break;
            }
            find.skip += AT_ONCE;
        }
        let mut all = self.end_users.all.write();
        let mut before = std::mem::take(&mut *all);
        *all = ids
            .into_iter()
            .map(|id| {
                let kept = before.remove(&id).unwrap_or_default();
                (id, kept)
            })
            .collect();
    }

    /// Reads those in use again: what others changed counts from here on.
    pub(super) async fn read_end_users_again(&self) {
        let Some(store) = self.store() else { return };
        let now = clock::now().millis();
        let recent: Vec<Box<str>> = {
            let all = self.end_users.all.read();
            let is_recent = |kept: &Kept| {
                kept.end_user.is_some()
                    && now.since(Millis(kept.used.load(Ordering::Relaxed))) < RECENT_MS
            };
            all.iter().filter(|(_, kept)| is_recent(kept)).map(|(id, _)| id.clone()).collect()
        };
        for ids in recent.chunks(ROWS) {
            if self.read_end_users(store, ids.to_vec()).await.is_err() {
                return;
            }
        }
    }

    async fn read_end_users(&self, store: &Store, ids: Vec<Box<str>>) -> Result<(), Error> {
        let find = Find::with(TenantTable::EndUsers, "user_id", ids.clone());
        let done = store.progress().done;
        let marks: HashMap<Subject, u64> = {
            let all = self.end_users.all.read();
            let loaded = ids.iter().filter_map(|id| all.get(id)?.end_user.as_ref());
            let levels =
                loaded.flat_map(|one| [&one.level].into_iter().chain(one.of_models.values()));
            levels.map(|level| (level.subject.clone(), level.account.mark(done))).collect()
        };
        let reading = self.reads();
        let rows = store.find(&find).await?;
        let begun = store.progress().begun;
        let named: Vec<Box<str>> =
            rows.iter().filter_map(|row| Row(row).text("budget_id")).map(Box::from).collect();
        let budgets = match named.is_empty() {
            true => Vec::new(),
            false => store.find(&Find::with(TenantTable::Budgets, "budget_id", named)).await?,
        };
        let counters = read::counters(store, &ids, &budgets).await?;
        let read_at = UnixMs(clock::unix_ms());
        let budget_of = |row: &Record| {
            let id = Row(row).text("budget_id")?;
            budgets.iter().find(|budget| Row(budget).text("budget_id") == Some(id))
        };
        let mut gone = ids;
        for row in &rows {
            let Some(id) = Row(row).text("user_id") else { continue };
            gone.retain(|one| **one != *id);
            let counters = (&counters[..], read_at);
            let loaded = load_end_user(row, budget_of(row), counters, |subject, opening| {
                let account = self.account(subject, opening, reading);
                if let Some(mark) = marks.get(subject) {
                    account.reload(opening, (*mark, begun));
                }
                account
            });
            let Some(loaded) = loaded else { continue };
            let mut all = self.end_users.all.write();
            let kept = all.entry(id.into()).or_default();
            if kept.end_user.is_none() && !loaded.unserved.is_empty() {
                let rules = loaded.unserved.join(", ");
                tracing::warn!(
                    end_user = id,
                    rules,
                    "this end user has rules that are not served: they limit nothing"
                );
            }
            self.soft.renew(std::slice::from_ref(&loaded.level));
            kept.end_user = Some(Arc::new(loaded));
        }
        gone.iter().for_each(|id| self.end_user_removed(id));
        Ok(())
    }
}
