//! The keys that are in use: who holds them, what they may do, what they have used.
//!
//! Asked by the router for each request with a key that is not the master key; filled from the store on a key's first use; told by
//! the admin API of what it changes. Always true: a key that is known is found without I/O; unknown keys cost the store at most
//! [`RATION`] look-ups a second; accounts outlive the rights that were read with them, so that a change of a key forgets nothing that it
//! has spent.

pub(crate) mod budgeted;
mod end_users;
mod handed;
mod hashes;
mod read;
mod reading;
mod sessions;
mod soft;
mod standing;
mod tags;
mod task;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use hale_core::tenancy::access::{Admission, KeyAccess, Level, Spent};
use hale_core::tenancy::account::{Account, Used};
use hale_core::tenancy::key_text::masked;
use hale_core::tenancy::load::KeyRows;
use hale_core::tenancy::{Denied, KeyHash, Money, Subject, SubjectKind};
use hale_core::time::{Millis, UnixMs, WallClock};
use hale_store::{Address, Status, Store};
use parking_lot::{Mutex, RwLock, RwLockWriteGuard};
use tokio::sync::Semaphore;

pub(crate) use self::standing::Standing;
use crate::clock;

/// Look-ups of unknown keys a second.
const RATION: u64 = 10;
/// How long a key that is not there is not looked for again, milliseconds.
const UNKNOWN_MS: u64 = 10_000;
/// Unknown keys that are kept in mind.
const UNKNOWN_MAX: usize = 10_000;
/// Keys whose rights are kept in mind; beyond, all but those of the last minute are forgotten.
const KNOWN_MAX: usize = 100_000;
/// How old the rows of a key may be that was not used lately, where others write them, milliseconds.
const FRESH_MS: u64 = 1_000;
/// How often rows are read for one request while others of the gateway are changed.
const READS_MAX: u32 = 4;
/// How long a key that was known works while the database does not, milliseconds.
const OUTAGE_MS: u64 = 3_600_000;

/// The moment, on both clocks.
pub(crate) fn now() -> WallClock {
    WallClock { now: clock::now().millis(), unix_ms: UnixMs(clock::unix_ms()) }
}

/// The keys that are in use.
pub(crate) struct Keys {
    store: OnceLock<Arc<Store>>,
    /// Whether the store has any key; while it has none, only the master key exists.
    is_used: AtomicBool,
    known: RwLock<HashMap<KeyHash, Known>>,
    /// The hashes of all keys of the store.
    hashes: RwLock<hashes::Hashes>,
    readings: Mutex<hashes::Readings>,
    /// Whether a client came with a key that is not there, where others may have made it.
    news_wanted: AtomicBool,
    accounts: Mutex<HashMap<Subject, Arc<Account>>>,
    unknown: Mutex<Unknown>,
    /// Look-ups under way: each hash is looked up once at a time.
    under_way: Mutex<HashMap<KeyHash, Arc<Semaphore>>>,
    /// Keys that streams and sessions ask for.
    wanted: Mutex<HashSet<KeyHash>>,
    end_users: end_users::EndUsers,
    tags: tags::Tags,
    sessions: sessions::KnownSessions,
    /// Those whose spend reached the sum from which on operators are told.
    pub(crate) soft: soft::Soft,
    /// How often keys were made, changed or deleted here: what was read before the last change is not kept.
    changes: AtomicU64,
    /// Levels with a reset to write, by their accounts: a subject that was deleted and made again has two for a while.
    dirty: Mutex<HashMap<(Subject, usize), Arc<Level>>>,
    /// When the store last worked, milliseconds.
    verified: AtomicU64,
    /// One request of the admin API changes keys, teams and users at a time.
    pub(crate) admin_turns: Semaphore,
    resets: reading::Resets,
    /// How often rows are read again although no other process writes them: the store charged something by itself.
    charged_by_store: AtomicU64,
    /// Resets on their way to the store; `None` while they are being written.
    writes: Mutex<Option<task::Writes>>,
}

/// Whether a key that was replaced goes on working for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grace {
    /// It does.
    Some,
    /// It does not.
    None,
}

/// A key that is known.
struct Known {
    access: Arc<KeyAccess>,
    rows: Arc<KeyRows>,
    /// When it was last used, milliseconds.
    used: AtomicU64,
    /// When its rows were read, milliseconds.
    read: u64,
}

/// What became of rows that were read.
enum Learned {
    /// They are kept.
    Kept(Arc<KeyAccess>),
    /// They say what a key may do, but something was changed since they were read, so that they are not kept.
    Stale(Arc<KeyAccess>),
    /// They have no key.
    Nothing,
}

/// Keys that are not there, until when they are not looked for, and the look-ups of this second.
#[derive(Default)]
struct Unknown {
    until: HashMap<KeyHash, Millis>,
    second: u64,
    taken: u64,
}

/// A look-up under way.
struct LookUp<'k> {
    keys: &'k Keys,
    hash: KeyHash,
    turn: Arc<Semaphore>,
}

impl<'k> LookUp<'k> {
    fn begin(keys: &'k Keys, hash: KeyHash) -> LookUp<'k> {
        let new = || Arc::new(Semaphore::new(1));
        let turn = keys.under_way.lock().entry(hash).or_insert_with(new).clone();
        LookUp { keys, hash, turn }
    }
}

impl Drop for LookUp<'_> {
    fn drop(&mut self) {
        // The last one of those that look it up.
        let mut under_way = self.keys.under_way.lock();
        if Arc::strong_count(&self.turn) <= 2 {
            under_way.remove(&self.hash);
        }
    }
}

impl Unknown {
    fn has(&self, hash: KeyHash, now: Millis) -> bool {
        self.until.get(&hash).is_some_and(|until| now < *until)
    }

    fn add(&mut self, hash: KeyHash, now: Millis) {
        if self.until.len() >= UNKNOWN_MAX {
            self.until.retain(|_, until| now < *until);
        }
        if self.until.len() < UNKNOWN_MAX {
            self.until.insert(hash, now.plus(UNKNOWN_MS));
        }
    }

    /// Whether one more may be looked up in this second.
    fn may_look(&mut self, now: Millis) -> bool {
        let second = now.0 / 1_000;
        if second != self.second {
            (self.second, self.taken) = (second, 0);
        }
        self.taken += 1;
        self.taken <= RATION
    }
}

impl Default for Keys {
    fn default() -> Keys {
        Keys {
            store: OnceLock::new(),
            is_used: AtomicBool::new(false),
            known: RwLock::default(),
            hashes: RwLock::default(),
            readings: Mutex::default(),
            news_wanted: AtomicBool::new(false),
            accounts: Mutex::default(),
            unknown: Mutex::default(),
            under_way: Mutex::default(),
            wanted: Mutex::default(),
            end_users: end_users::EndUsers::default(),
            tags: tags::Tags::default(),
            sessions: sessions::KnownSessions::default(),
            soft: soft::Soft::default(),
            changes: AtomicU64::new(0),
            dirty: Mutex::default(),
            verified: AtomicU64::new(0),
            admin_turns: Semaphore::new(1),
            resets: reading::Resets::default(),
            charged_by_store: AtomicU64::new(0),
            writes: Mutex::new(Some(task::Writes::default())),
        }
    }
}

impl Keys {
    /// Looks into `store` from now on.
    pub(crate) fn remember(&self, store: Arc<Store>) {
        // Set once, by the start.
        let _known: Result<(), _> = self.store.set(store);
    }

    /// The store, if there is one that can have keys.
    pub(crate) fn store(&self) -> Option<&Arc<Store>> {
        self.store.get().filter(|store| store.is_wanted())
    }

    /// Whether there may be keys besides the master key: some are there, or the store could not say yet.
    pub(crate) fn are_used(&self) -> bool {
        // Another process may make the first one on a server.
        self.store().is_some_and(|store| {
            matches!(store.address(), Address::Server(_))
                || self.is_used.load(Ordering::Relaxed)
                || !self.hashes.read().are_read()
        })
    }

    /// What the holder of a key may do, if the key is known.
    pub(crate) fn known(&self, hash: KeyHash, at: Millis) -> Option<Arc<KeyAccess>> {
        let known = self.known.read();
        let found = known.get(&hash)?;
        let is_old = at.since(Millis(self.verified.load(Ordering::Relaxed))) > OUTAGE_MS;
        if is_old {
            return None;
        }
        // Rows of keys that are not used are not read again, so that another writer's change would not count at once.
        let was_idle = at.since(Millis(found.used.load(Ordering::Relaxed))) >= task::RECENT_MS;
        if was_idle && at.since(Millis(found.read)) > FRESH_MS && self.is_shared() && self.works() {
            return None;
        }
        found.used.store(at.0, Ordering::Relaxed);
        Some(found.access.clone())
    }

    /// Whether others write what the store has. A file has one writer, which is this process.
    fn is_shared(&self) -> bool {
        self.store().is_some_and(|store| matches!(store.address(), Address::Server(_)))
    }

    /// What was last known of a key that cannot be looked up now.
    fn last_known(&self, hash: KeyHash) -> Option<Arc<KeyAccess>> {
        self.known.read().get(&hash).map(|one| one.access.clone())
    }

    /// What the holder of the key may do, as the store has it.
    ///
    /// # Errors
    /// The key is unknown, or cannot be looked up now.
    pub(crate) async fn look_up(&self, key: &str) -> Result<Arc<KeyAccess>, Denied> {
        self.look_up_hash(KeyHash::of(key), &masked(key)).await
    }

    /// The same of a key of which only the hash is at hand; `shown` names it in the refusal.
    ///
    /// # Errors
    /// The key is unknown, or cannot be looked up now.
    pub(crate) async fn look_up_hash(
        &self,
        hash: KeyHash,
        shown: &str,
    ) -> Result<Arc<KeyAccess>, Denied> {
        let at = clock::now().millis();
        let unknown = || Denied::unknown_key(shown, &hash.to_string());
        let Some(store) = self.store() else { return Err(unknown()) };
        let is_listed = self.hashes.read().has(hash);
        if is_listed != Some(true) && self.is_shared() {
            self.news_wanted.store(true, Ordering::Relaxed);
        }
        if self.unknown.lock().has(hash, at) {
            return Err(unknown());
        }
        match is_listed {
            // A file has one writer, which is this process.
            Some(false) if !self.is_shared() => return Err(unknown()),
            Some(false) | None if !self.unknown.lock().may_look(at) => {
                let message = "too many unknown keys are looked up now; try again in a second";
                return Err(Denied::no_store(message));
            }
            Some(_) | None => {}
        }
        let gate = LookUp::begin(self, hash);
        let _turn = gate.turn.acquire().await;
        if let Some(access) = self.known(hash, clock::now().millis()) {
            return Ok(access);
        }
        let mut last = None;
        for _ in 0..READS_MAX {
            let (seen, reading) = (self.seen(), self.reads());
            let Ok(mut found) = read::rows(store, &[hash]).await else {
                let message = "the database does not answer, so this key cannot be checked; try again in a second";
                return self.last_known(hash).ok_or_else(|| Denied::no_store(message));
            };
            match found.pop().map_or(Learned::Nothing, |rows| self.learn(rows, (seen, reading))) {
                Learned::Kept(access) => return Ok(access),
                Learned::Stale(access) => last = Some(access),
                Learned::Nothing => {
                    self.not_there(hash, (seen, at));
                    return Err(unknown());
                }
            }
        }
        // These rows were read after this request came: it may have been first.
        last.ok_or_else(unknown)
    }

    /// The changes that were made so far: a mark from before rows are read.
    fn seen(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Keeps in mind that a key is not there, and forgets what was known of it.
    fn not_there(&self, hash: KeyHash, (seen, at): (u64, Millis)) {
        let mut known = self.known.write();
        if self.seen() == seen {
            known.remove(&hash);
            self.unknown.lock().add(hash, at);
        }
    }

    /// Keeps what the rows of a key come to, unless something was changed since `seen`, before which they were not read.
    fn learn(&self, rows: KeyRows, (seen, reading): (u64, reading::Reading)) -> Learned {
        let mut known = self.known.write();
        let is_stale = self.seen() != seen;
        let access = hale_core::tenancy::load::load(&rows, |subject, opening| match is_stale {
            true => self
                .account_of(subject)
                .unwrap_or_else(|| Arc::new(Account::new(opening.0, opening.1))),
            false => self.account(subject, opening, reading),
        });
        let Some(access) = access.map(Arc::new) else { return Learned::Nothing };
        if is_stale {
            return Learned::Stale(access);
        }
        if !access.unserved.is_empty() {
            let (key, rules) = (&access.masked, access.unserved.join(", "));
            tracing::warn!(%key, rules, "this key has rules that are not served yet: they limit nothing");
        }
        let used = clock::now().millis();
        if known.len() >= KNOWN_MAX {
            known.retain(|_, one| used.since(Millis(one.used.load(Ordering::Relaxed))) < 60_000);
            // What is still in use, or not written yet, is held elsewhere too.
            self.accounts.lock().retain(|_, account| Arc::strong_count(account) > 1);
        }
        let one = Known {
            access: access.clone(),
            rows: Arc::new(rows),
            used: AtomicU64::new(used.0),
            read: used.0,
        };
        known.insert(access.presented, one);
        self.soft.renew(&access.levels);
        Learned::Kept(access)
    }

    /// What a subject has used, if that is known here.
    pub(crate) fn account_of(&self, subject: &Subject) -> Option<Arc<Account>> {
        self.accounts.lock().get(subject).cloned()
    }

    /// Subjects of those kinds have spent nothing, as the store has it behind the batch `begun`.
    pub(crate) fn all_reset<const N: usize>(&self, kinds: [SubjectKind; N], begun: i64) {
        let accounts = self.accounts.lock();
        for (_, account) in accounts.iter().filter(|(subject, _)| kinds.contains(&subject.kind)) {
            account.set(Money::ZERO, account.ends(), begun);
        }
    }

    /// A key was made.
    pub(crate) fn added(&self, hash: KeyHash) {
        self.is_used.store(true, Ordering::Relaxed);
        let mut known = self.begin_change();
        known.remove(&hash);
        self.unknown.lock().until.remove(&hash);
        self.hashes.write().add(hash);
    }

    /// Notes a change, from which on no rows are kept that were read before.
    fn begin_change(&self) -> RwLockWriteGuard<'_, HashMap<KeyHash, Known>> {
        let known = self.known.write();
        self.changes.fetch_add(1, Ordering::AcqRel);
        // Those of which operators were told may have other terms now.
        self.wanted.lock().extend(self.soft.keys());
        known
    }

    /// A key was replaced by another one, which has its accounts: what calls in flight use is its own.
    pub(crate) fn replaced(&self, before: KeyHash, after: KeyHash, grace: Grace) {
        let (old, new) = (before.to_string(), after.to_string());
        let mut accounts = self.accounts.lock();
        let own = accounts.iter().filter_map(|(subject, account)| {
            let id = match subject.kind {
                SubjectKind::Key if *subject.id == *old => new.clone(),
                SubjectKind::ModelOfKey
                | SubjectKind::ModelBudgetOfKey
                | SubjectKind::WindowOfKey => {
                    format!("{new}{}", subject.id.strip_prefix(&*old)?)
                }
                _ => return None,
            };
            Some((Subject::new(subject.kind, &id), account.clone()))
        });
        let own: Vec<_> = own.collect();
        accounts.extend(own);
        drop(accounts);
        self.added(after);
        match grace {
            Grace::Some => self.changed(before),
            Grace::None => self.removed(before),
        }
        // Keys that were replaced by this one before.
        self.begin_change().retain(|_, one| one.access.hash != before);
    }

    /// A key was deleted.
    pub(crate) fn removed(&self, hash: KeyHash) {
        self.all_removed(&[hash]);
    }

    /// Keys were deleted: nothing that they have used counts for one that is made with the same text.
    pub(crate) fn all_removed(&self, gone: &[KeyHash]) {
        let mut known = self.begin_change();
        gone.iter().for_each(|hash| self.hashes.write().remove(*hash));
        gone.iter().for_each(|hash| drop(known.remove(hash)));
        let ids: HashSet<Box<str>> = gone.iter().map(|hash| hash.to_string().into()).collect();
        self.forget(|subject| subject.hash().is_some_and(|hash| ids.contains(hash)));
    }

    /// A team was deleted.
    pub(crate) fn team_removed(&self, team: &str) {
        let _known = self.begin_change();
        self.forget(|subject| subject.team() == Some(team));
    }

    /// Forgets what subjects have used: those that are made again begin with nothing.
    fn forget(&self, is_gone: impl Fn(&Subject) -> bool) {
        self.soft.forget(&is_gone);
        self.accounts.lock().retain(|subject, _| !is_gone(subject));
    }

    /// A key was changed: it is read again when it is next used.
    pub(crate) fn changed(&self, hash: KeyHash) {
        self.begin_change().remove(&hash);
    }

    /// Something that keys belong to was changed: all of them are read again when they are next used.
    pub(crate) fn all_changed(&self) {
        self.begin_change().clear();
    }

    /// Says that the store charges something, once, that no account here counted: the rows of the keys in use are read again.
    pub(crate) fn store_charges(&self) {
        self.charged_by_store.store(task::AGAIN, Ordering::Relaxed);
    }

    /// Notes a level with something to write.
    fn note(&self, level: &Arc<Level>) {
        let account = Arc::as_ptr(&level.account).addr();
        self.dirty.lock().insert((level.subject.clone(), account), level.clone());
    }

    /// Counts what a session has used so far as spent.
    pub(crate) fn spend(&self, admission: &mut Admission, used: Used) {
        admission.spend(used, |level| self.note(level));
    }

    /// Replaces what a request had reserved by what it has used.
    pub(crate) fn settle(&self, admission: Admission, spent: &Spent<'_>) {
        let soft: Vec<Arc<Level>> =
            admission.levels().filter(|level| level.terms.soft.is_some()).cloned().collect();
        let key = admission.access().filter(|_| !soft.is_empty()).map(|access| access.presented);
        admission.settle(spent, |level| self.note(level));
        if let Some(key) = key {
            self.soft.look(&soft, key);
        }
    }

    /// Whether the store works now.
    fn works(&self) -> bool {
        self.store().is_some_and(|store| store.status() == Status::Connected)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const KEY: &str = "sk-0123456789abcdefghij";

    fn rows(spend: f64) -> KeyRows {
        let row = json!({"token": KeyHash::of(KEY).to_string(), "spend": spend, "max_budget": 1.0});
        let Value::Object(key) = row else { panic!("an object") };
        KeyRows { key, ..KeyRows::default() }
    }

    fn is_kept(learned: &Learned) -> bool {
        matches!(learned, Learned::Kept(_))
    }

    #[test]
    fn rows_that_were_read_before_a_change_are_not_kept() {
        let hash = KeyHash::of(KEY);
        let changes: [fn(&Keys, KeyHash); 4] = [
            |keys, hash| keys.changed(hash),
            |keys, hash| keys.removed(hash),
            |keys, _| keys.all_changed(),
            |keys, _| keys.team_removed("t"),
        ];
        for change in changes {
            let keys = Keys::default();
            let seen = keys.seen();
            change(&keys, hash);
            assert!(matches!(keys.learn(rows(0.0), (seen, keys.reads())), Learned::Stale(_)));
            assert!(keys.known(hash, Millis(0)).is_none());
            assert!(is_kept(&keys.learn(rows(0.0), (keys.seen(), keys.reads()))));
            assert!(keys.known(hash, Millis(0)).is_some());
        }
    }

    #[test]
    fn a_key_that_is_made_again_has_spent_nothing_and_one_that_is_changed_has() {
        let keys = Keys::default();
        let hash = KeyHash::of(KEY);
        let spent = |keys: &Keys| {
            let Learned::Kept(access) = keys.learn(rows(0.0), (keys.seen(), keys.reads())) else {
                panic!("kept")
            };
            access.levels[0].account.balance(None, now()).spent
        };
        assert!(is_kept(&keys.learn(rows(2.0), (keys.seen(), keys.reads()))));
        keys.changed(hash);
        assert_eq!(spent(&keys), Money::of_usd(2.0).unwrap());
        keys.removed(hash);
        assert_eq!(spent(&keys), Money::ZERO);
    }

    #[test]
    fn a_budget_that_begins_anew_at_another_time_does_so_for_the_account_that_is_there() {
        let keys = Keys::default();
        let ends = |ends: u64| {
            let mut rows = rows(0.0);
            rows.key.insert("budget_reset_at".to_owned(), json!(ends));
            rows.key.insert("budget_duration".to_owned(), json!("30d"));
            rows
        };
        let learn = |rows, reading| {
            let Learned::Kept(access) = keys.learn(rows, (keys.seen(), reading)) else {
                panic!("kept")
            };
            access.levels[0].account.ends().map(|ends| ends.0)
        };
        let later = now().unix_ms.0 + 1_000_000;
        assert_eq!(learn(ends(later), keys.reads()), Some(later));
        keys.changed(KeyHash::of(KEY));
        assert_eq!(learn(ends(later + 1), keys.reads()), Some(later + 1));
        // Rows that were read while a reset was written may be older than the account.
        let before = keys.reads();
        drop(keys.resets.begin());
        assert_eq!(learn(ends(later), before), Some(later + 1));
        let writing = keys.resets.begin();
        assert_eq!(learn(ends(later), keys.reads()), Some(later + 1));
        drop(writing);
        assert_eq!(learn(ends(later), keys.reads()), Some(later));
    }

    #[test]
    fn what_a_deleted_team_and_its_members_spent_is_forgotten_and_others_spend_stays() {
        let keys = Keys::default();
        let subjects = [
            Subject::new(SubjectKind::Team, "t"),
            Subject::of_member("t", "u"),
            Subject::of_member("t:u", "v"),
            Subject::new(SubjectKind::User, "t"),
        ];
        for subject in &subjects {
            keys.account(subject, (Money::ZERO, None), keys.reads());
        }
        keys.team_removed("t");
        let left = subjects.iter().map(|subject| keys.account_of(subject).is_some());
        assert_eq!(left.collect::<Vec<_>>(), [false, false, true, true]);
    }
}
