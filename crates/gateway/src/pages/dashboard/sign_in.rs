//! Users who sign in without a key: by a password, as the reference keeps it.
//!
//! Used by [`super::login`]. Always true: who signed in acts by a key of its own, made for this session, so that rights, budgets and records
//! are those of every other key, and a session is seen and ended like one; a user that is not there takes as long as a wrong password,
//! and is refused in the same words; guesses are few at a time, and after some of them a name has to wait.

use std::collections::HashMap;
use std::sync::LazyLock;

use hale_core::tenancy::password::{self, Shown};
use hale_core::tenancy::{KeyHash, Record, Row};
use hale_core::time::Millis;
use hale_store::{Change, Find, Store, TenantTable};
use http::StatusCode;
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::Semaphore;

use crate::clock;
use crate::http::auth::{self, Principal};
use crate::http::refusal::Refusal;
use crate::offload;
use crate::pages::PageRequest;
use crate::pages::admin::{failed, new_id, random, row_of, store, turn};
use crate::pages::keys::{create, remove};
use crate::pages::teams;

/// How long the key of a session lasts.
const LASTS: &str = "12h";
/// The member of a key's metadata that says that it is a session's.
const MARK: &str = "hale_dashboard_session";
/// Sessions of one user; a further one ends the oldest.
const SESSIONS_MAX: usize = 10;
/// Wrong passwords in a row after which a name waits, the first wait and the longest, milliseconds.
const FREE: u32 = 5;
const WAIT_MS: u64 = 2_000;
const LONGEST_MS: u64 = 60_000;
/// Names that are kept in mind.
const NAMES_MAX: usize = 1_000;

/// One check takes 16 MiB and tens of milliseconds.
static CHECKS: Semaphore = Semaphore::const_new(1);
/// Sign-ins that wait for theirs; the others are told to come back, so that a flood of them holds up no one else for long.
static LINE: Semaphore = Semaphore::const_new(16);
static GUESSES: LazyLock<Mutex<Guesses>> = LazyLock::new(Mutex::default);

/// Wrong passwords by name.
#[derive(Default)]
struct Guesses(HashMap<Box<str>, (u32, Millis)>);

impl Guesses {
    /// How long the name has to wait, milliseconds.
    fn wait(&self, name: &str, now: Millis) -> Option<u64> {
        let (_, until) = self.0.get(name)?;
        Some(until.since(now)).filter(|wait| *wait > 0)
    }

    fn wrong(&mut self, name: &str, now: Millis) {
        if self.0.len() >= NAMES_MAX {
            self.0.retain(|_, (_, until)| until.plus(LONGEST_MS) > now);
        }
        if self.0.len() >= NAMES_MAX && !self.0.contains_key(name) {
            // Each name is kept in mind, so that no flood of others frees one.
            let first = self.0.iter().min_by_key(|(_, (_, until))| *until);
            if let Some(first) = first.map(|(name, _)| name.clone()) {
                self.0.remove(&first);
            }
        }
        let (times, until) = self.0.entry(name.into()).or_insert((0, now));
        *times = times.saturating_add(1);
        let doublings = times.saturating_sub(FREE).min(16);
        let wait = if *times < FREE { 0 } else { (WAIT_MS << doublings).min(LONGEST_MS) };
        *until = now.plus(wait);
    }

    fn right(&mut self, name: &str) {
        self.0.remove(name);
    }
}

fn refused() -> Refusal {
    let message = "Authentication Error, the name or the password is wrong".to_owned();
    Refusal::new(StatusCode::UNAUTHORIZED, "wrong_password", message)
}

fn waits(ms: u64) -> Refusal {
    let message =
        "too many passwords are tried, for this name or at once; wait a moment".to_owned();
    let mut refusal = Refusal::new(StatusCode::TOO_MANY_REQUESTS, "too_many_passwords", message);
    refusal.retry_after_s = Some(ms.div_ceil(1_000));
    refusal
}

/// The user of that name with that password, with a key for this session.
///
/// # Errors
/// The name or the password is wrong, or there were too many guesses.
pub(super) async fn by_password(
    request: &PageRequest<'_>,
    (name, password): (&str, String),
) -> Result<Principal, Refusal> {
    let store = store(request)?;
    let (id, name) = (name.trim(), name.trim().to_lowercase());
    let has_to_wait = || GUESSES.lock().wait(&name, clock::now().millis()).map(waits);
    if let Some(refusal) = has_to_wait() {
        return Err(refusal);
    }
    let Ok(_in_line) = LINE.try_acquire() else { return Err(waits(1_000)) };
    let one = CHECKS.acquire().await;
    if let Some(refusal) = has_to_wait() {
        return Err(refusal);
    }
    let user = found(store, id).await?;
    let kept = user.as_ref().and_then(|user| Row(user).text("password").map(str::to_owned));
    let shown = password.clone();
    let verdict = offload::run(move || password::check(&shown, kept.as_deref())).await;
    let (Some(user), Shown::Right | Shown::RightAndOld) = (user, verdict) else {
        GUESSES.lock().wrong(&name, clock::now().millis());
        return Err(refused());
    };
    GUESSES.lock().right(&name);
    drop(one);
    let id = Row(&user).text("user_id").unwrap_or_default().to_owned();
    if verdict == Shown::RightAndOld {
        keep(store, &id, password).await?;
    }
    session_of(request, &id).await
}

/// The user of that name: its e-mail address in whatever letters, or its id.
async fn found(store: &Store, name: &str) -> Result<Option<Record>, Refusal> {
    if let Some(user) = teams::user_with(store, name).await? {
        return Ok(Some(user));
    }
    let find = Find::with(TenantTable::Users, "user_id", vec![name.into()]);
    Ok(store.find(&find).await.map_err(|error| failed(&error))?.pop())
}

/// What is kept of a password: it takes a while.
pub(crate) async fn kept(password: String) -> String {
    let mut salt = [0; 16];
    random(&mut salt);
    let _one = CHECKS.acquire().await;
    offload::run(move || password::kept(&password, salt)).await
}

/// Keeps a password in the form of now.
async fn keep(store: &Store, user: &str, password: String) -> Result<(), Refusal> {
    let row = Record::from_iter([("password".to_owned(), json!(kept(password).await))]);
    let key = vec![("user_id", user.into())];
    let change = Change::Update { table: TenantTable::Users, key, row };
    store.change(&[change], None).await.map(drop).map_err(|error| failed(&error))
}

/// A key for a session of that user, in the place of those that are over.
///
/// # Errors
/// The store does not work, or the user may not act.
pub(super) async fn session_of(
    request: &PageRequest<'_>,
    user: &str,
) -> Result<Principal, Refusal> {
    let _turn = turn(request).await;
    let find = Find {
        sorted_by: Some("created_at"),
        limit: u32::MAX,
        ..Find::with(TenantTable::Keys, "user_id", vec![user.into()])
    };
    let rows = store(request)?.find(&find).await.map_err(|error| failed(&error))?;
    let now = clock::unix_ms();
    let lasts = |row: &Record| Row(row).time("expires").is_none_or(|ends| ends.0 > now);
    let sessions = rows.into_iter().filter(is_session);
    let (live, mut over): (Vec<Record>, Vec<Record>) = sessions.partition(lasts);
    over.extend(live.into_iter().skip(SESSIONS_MAX - 1));
    if !over.is_empty() {
        remove(request, &over).await?;
    }
    let id = new_id();
    let alias = format!("dashboard session {}", id.get(..13).unwrap_or_default());
    let fields =
        json!({"user_id": user, "key_alias": alias, "duration": LASTS, "metadata": {MARK: true}});
    let fields = fields.as_object().cloned().unwrap_or_default();
    let (key, _) = create(request, &fields).await?;
    let keys = &request.arrival.worker.process.keys;
    auth::key_of(keys, KeyHash::of(&key)).await.map(Principal::Key)
}

fn is_session(row: &Record) -> bool {
    Row(row).object("metadata").get(MARK).is_some_and(|mark| mark == true)
}

/// Ends the session of that key, if the key was made for it.
///
/// # Errors
/// The store does not work.
pub(super) async fn end(request: &PageRequest<'_>, hash: KeyHash) -> Result<(), Refusal> {
    let _turn = turn(request).await;
    match row_of(store(request)?, hash).await?.filter(is_session) {
        Some(row) => remove(request, &[row]).await,
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_waits_after_some_wrong_passwords_longer_each_time_and_never_for_long() {
        let mut guesses = Guesses::default();
        let at = Millis(1_000);
        for _ in 1..FREE {
            guesses.wrong("ann", at);
            assert_eq!(guesses.wait("ann", at), None);
        }
        let mut waits = Vec::new();
        for _ in 0..8 {
            guesses.wrong("ann", at);
            waits.push(guesses.wait("ann", at).unwrap());
        }
        assert_eq!(waits, [2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000]);
        assert_eq!(guesses.wait("ann", Millis(61_000)), None, "the wait ends");
        assert_eq!(guesses.wait("bo", at), None, "others do not wait");
        guesses.right("ann");
        assert_eq!(guesses.wait("ann", at), None);
    }

    #[test]
    fn the_names_that_are_kept_in_mind_are_bounded() {
        let mut guesses = Guesses::default();
        for at in 0..3 * NAMES_MAX {
            guesses.wrong(&at.to_string(), Millis(0));
        }
        assert!(guesses.0.len() <= NAMES_MAX);
        // In a full table the name that is guessed now waits all the same.
        for _ in 0..FREE {
            guesses.wrong("ann", Millis(1));
        }
        assert!(guesses.wait("ann", Millis(1)).is_some());
        guesses.wrong("late", Millis(10 * LONGEST_MS));
        assert_eq!(guesses.0.len(), 1);
    }
}
