//! The keys that are in use: who holds them, what they may do, what they have used.
//!
//! Asked by the router for each request with a key that is not the master key; filled from the store on a key's first use; told by
//! the admin API of what it changes. Always true: a key that is known is found without I/O; unknown keys cost the store at most
//! [`RATION`] look-ups a second; accounts outlive the rights that were read with them, so that a change of a key forgets nothing that it
//! has spent.

mod end_users;
mod read;
mod standing;
mod task;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use hale_core::tenancy::access::{Admission, Identity, KeyAccess, Level};
use hale_core::tenancy::account::{Account, Used};
use hale_core::tenancy::key_text::masked;
use hale_core::tenancy::load::{KeyRows, Opening};
use hale_core::tenancy::{Denied, KeyHash, Money, Subject, SubjectKind};
use hale_core::time::{Millis, UnixMs, WallClock};
use hale_store::{Address, Status, Store};
use parking_lot::{Mutex, RwLock};
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
    /// The hashes of all keys of the store, once they were read.
    hashes: RwLock<Option<HashSet<KeyHash>>>,
    accounts: Mutex<HashMap<Subject, Arc<Account>>>,
    unknown: Mutex<Unknown>,
    /// Look-ups under way: each hash is looked up once at a time.
    under_way: Mutex<HashMap<KeyHash, Arc<Semaphore>>>,
    /// Keys that streams and sessions ask for.
    wanted: Mutex<HashSet<KeyHash>>,
    end_users: end_users::EndUsers,
    /// Levels with a reset to write.
    dirty: Mutex<HashMap<Subject, Arc<Level>>>,
    /// When the store last worked, milliseconds.
    verified: AtomicU64,
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
            accounts: Mutex::default(),
            unknown: Mutex::default(),
            under_way: Mutex::default(),
            wanted: Mutex::default(),
            end_users: end_users::EndUsers::default(),
            dirty: Mutex::default(),
            verified: AtomicU64::new(0),
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
                || self.hashes.read().is_none()
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
        found.used.store(at.0, Ordering::Relaxed);
        Some(found.access.clone())
    }

    /// What the holder of the key may do, as the store has it.
    ///
    /// # Errors
    /// The key is unknown, or cannot be looked up now.
    pub(crate) async fn look_up(&self, key: &str) -> Result<Arc<KeyAccess>, Denied> {
        let hash = KeyHash::of(key);
        let at = clock::now().millis();
        let unknown = || Denied::unknown_key(&masked(key), &hash.to_string());
        let Some(store) = self.store() else { return Err(unknown()) };
        if self.unknown.lock().has(hash, at) {
            return Err(unknown());
        }
        let is_listed = self.hashes.read().as_ref().map(|hashes| hashes.contains(&hash));
        match is_listed {
            // A file has one writer, which is this process.
            Some(false) if matches!(store.address(), Address::File(_)) => return Err(unknown()),
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
        match read::rows(store, &[hash]).await {
            Err(_) => Err(Denied::no_store(
                "the database does not answer, so this key cannot be checked; try again in a second",
            )),
            Ok(mut found) => match found.pop().and_then(|rows| self.learn(rows)) {
                Some(access) => Ok(access),
                None => {
                    self.unknown.lock().add(hash, at);
                    Err(unknown())
                }
            },
        }
    }

    /// Keeps what the rows of a key come to.
    fn learn(&self, rows: KeyRows) -> Option<Arc<KeyAccess>> {
        let access = hale_core::tenancy::load::load(&rows, |subject, opening| {
            self.account(subject, opening)
        })?;
        if !access.unserved.is_empty() {
            let (key, rules) = (&access.masked, access.unserved.join(", "));
            tracing::warn!(%key, rules, "this key has rules that are not served yet: they limit nothing");
        }
        let access = Arc::new(access);
        let used = clock::now().millis();
        let mut known = self.known.write();
        if known.len() >= KNOWN_MAX {
            known.retain(|_, one| used.since(Millis(one.used.load(Ordering::Relaxed))) < 60_000);
            // What is still in use, or not written yet, is held elsewhere too.
            self.accounts.lock().retain(|_, account| Arc::strong_count(account) > 1);
        }
        let one =
            Known { access: access.clone(), rows: Arc::new(rows), used: AtomicU64::new(used.0) };
        known.insert(access.presented, one);
        Some(access)
    }

    /// The account of a subject; made of its row if there is none yet.
    fn account(&self, subject: &Subject, (spent, ends): Opening) -> Arc<Account> {
        let mut accounts = self.accounts.lock();
        accounts
            .entry(subject.clone())
            .or_insert_with(|| Arc::new(Account::new(spent, ends)))
            .clone()
    }

    /// What a subject has used, if that is known here.
    pub(crate) fn account_of(&self, subject: &Subject) -> Option<Arc<Account>> {
        self.accounts.lock().get(subject).cloned()
    }

    /// A key was made.
    pub(crate) fn added(&self, hash: KeyHash) {
        self.is_used.store(true, Ordering::Relaxed);
        self.unknown.lock().until.remove(&hash);
        if let Some(hashes) = &mut *self.hashes.write() {
            hashes.insert(hash);
        }
    }

    /// A key was replaced by another one, which has its accounts: what calls in flight use is its own.
    pub(crate) fn replaced(&self, before: KeyHash, after: KeyHash, grace: Grace) {
        let (old, new) = (before.to_string(), after.to_string());
        let mut accounts = self.accounts.lock();
        let own = accounts.iter().filter_map(|(subject, account)| {
            let id = match subject.kind {
                SubjectKind::Key if *subject.id == *old => new.clone(),
                SubjectKind::ModelOfKey => format!("{new}{}", subject.id.strip_prefix(&*old)?),
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
        self.known.write().retain(|_, one| one.access.hash != before);
    }

    /// A key was deleted.
    pub(crate) fn removed(&self, hash: KeyHash) {
        if let Some(hashes) = &mut *self.hashes.write() {
            hashes.remove(&hash);
        }
        self.changed(hash);
    }

    /// A key was changed: it is read again when it is next used.
    pub(crate) fn changed(&self, hash: KeyHash) {
        self.known.write().remove(&hash);
    }

    /// Something that keys belong to was changed: all of them are read again when they are next used.
    pub(crate) fn all_changed(&self) {
        self.known.write().clear();
    }

    /// Counts what a session has used so far as spent.
    pub(crate) fn spend(&self, admission: &mut Admission, used: Used) {
        admission.spend(used, |level| {
            self.dirty.lock().insert(level.subject.clone(), level.clone());
        });
    }

    /// What a request cost is in the batch of that number: the accounts of all that it belongs to follow their rows.
    pub(crate) fn handed(
        &self,
        identity: &Identity,
        end_user: Option<&str>,
        (cost, batch): (Money, i64),
    ) {
        if cost == Money::ZERO {
            return;
        }
        let end_user = end_user.map(|id| Subject::new(SubjectKind::EndUser, id));
        if let Some(account) = end_user.and_then(|subject| self.account_of(&subject)) {
            account.hand(cost, batch);
        }
        let known = KeyHash::parse(&identity.key)
            .and_then(|hash| Some(self.known.read().get(&hash)?.access.clone()));
        let levels = known.as_ref().map_or(&[][..], |access| &access.levels);
        for subject in subjects(identity) {
            // Settled against an account, whether or not it is the newest one.
            match levels.iter().find(|level| level.subject == subject) {
                Some(level) => level.account.hand(cost, batch),
                None => {
                    if let Some(account) = self.account_of(&subject) {
                        account.hand_besides(cost, batch);
                    }
                }
            }
        }
    }

    /// Replaces what a request had reserved by what it has used.
    pub(crate) fn settle(&self, admission: Admission, used: Used) {
        admission.settle(used, |level| {
            self.dirty.lock().insert(level.subject.clone(), level.clone());
        });
    }

    /// Whether the store works now.
    fn works(&self) -> bool {
        self.store().is_some_and(|store| store.status() == Status::Connected)
    }
}

/// All whose counters a request of that key raises.
fn subjects(identity: &Identity) -> impl Iterator<Item = Subject> {
    let of = |kind, id: &Option<Arc<str>>| id.as_deref().map(|id| Subject::new(kind, id));
    let member = identity.team.as_deref().zip(identity.user.as_deref());
    [
        Some(Subject::new(SubjectKind::Key, &identity.key)),
        of(SubjectKind::Team, &identity.team),
        member.map(|(team, user)| Subject::new(SubjectKind::Member, &format!("{team}:{user}"))),
        of(SubjectKind::User, &identity.user),
        of(SubjectKind::Organization, &identity.organization),
    ]
    .into_iter()
    .flatten()
}
