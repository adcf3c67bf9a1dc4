//! Credentials that are granted for a time: one grant for all requests, replaced before it ends.
//!
//! Called by [`super::Credential`] for each request; what is granted and how is an [`Issuer`], one in each file beside this one. Always
//! true: only a request that finds no usable grant waits, and all that wait cause one call; from the first grant on a task of its own
//! replaces it while it is still usable, so that an issuer that hangs holds up no request; a failure is not kept, so the next request
//! without a grant asks again.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use hale_core::time::Millis;
use parking_lot::Mutex;
use tokio::sync::OnceCell;

use super::error::CredentialError;
use crate::clock;

/// How long before its end a grant is replaced, milliseconds. The value is that of Google's library.
const AHEAD_MS: u64 = 225_000;
/// How long before its end a grant is no longer used, milliseconds: a request is under way for a while.
const MARGIN_MS: u64 = 5_000;
/// The shortest time between two grants, and between two attempts to get one, milliseconds.
const PAUSE_MIN_MS: u64 = 1_000;
/// The longest time between two attempts.
const PAUSE_MAX_MS: u64 = 60_000;
/// How long an issuer may take.
const LIMIT: Duration = Duration::from_secs(60);
/// A grant that is refused within this time after another one was is kept, milliseconds: a new one does not help.
const AGAIN_MS: u64 = 60_000;

/// Something that gives credentials for a time.
pub(super) trait Issuer: Send + Sync + 'static {
    /// What it gives.
    type Grant: Clone + Send + Sync;

    /// Its name in messages.
    fn name(&self) -> &'static str;

    /// Asks for a grant.
    ///
    /// # Errors
    /// Why there is none.
    fn request(&self) -> impl Future<Output = Result<Granted<Self::Grant>, CredentialError>>;
}

/// What an issuer gave.
pub(super) struct Granted<G> {
    /// The credential.
    pub(super) grant: G,
    /// How long it can be used from now on, milliseconds.
    pub(super) lifetime_ms: u64,
}

/// Whether another grant is to be had for one that an upstream refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replaced {
    /// The request may be sent once more, with the next grant.
    Yes,
    /// It would be refused again.
    No,
}

/// A grant, and its times.
#[derive(Clone)]
struct Held<G> {
    grant: G,
    /// From when on another one is asked for.
    stale_at: Millis,
    /// From when on it is not used.
    ends_at: Millis,
}

impl<G> Held<G> {
    fn new(granted: Granted<G>, now: Millis) -> Held<G> {
        let Granted { grant, lifetime_ms } = granted;
        // One that lives shorter than that is used for a quarter of its life.
        let fresh_ms = lifetime_ms.saturating_sub(AHEAD_MS).max(lifetime_ms / 4);
        let usable_ms = lifetime_ms.saturating_sub(MARGIN_MS).max(lifetime_ms / 2);
        Held { grant, stale_at: now.plus(fresh_ms), ends_at: now.plus(usable_ms) }
    }
}

/// What is known of an issuer's grants.
struct State<G> {
    /// The grant in use, or the call for one.
    current: Arc<OnceCell<Held<G>>>,
    /// When an upstream refused one the last time.
    refused_at: Option<Millis>,
}

impl<G> Default for State<G> {
    fn default() -> State<G> {
        State { current: Arc::default(), refused_at: None }
    }
}

/// The grants of one issuer.
pub(super) struct Refreshing<I: Issuer> {
    issuer: I,
    state: Mutex<State<I::Grant>>,
    /// Whether a task replaces them.
    is_tended: AtomicBool,
}

impl<I: Issuer> Refreshing<I> {
    /// Those of `issuer`. The first request asks for one.
    pub(super) fn new(issuer: I) -> Refreshing<I> {
        Refreshing { issuer, state: Mutex::default(), is_tended: AtomicBool::new(false) }
    }

    /// The grant in use, or a new one.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) async fn grant(self: &Arc<Self>) -> Result<I::Grant, CredentialError> {
        let cell = self.cell(clock::now().millis());
        if let Some(held) = cell.get() {
            return Ok(held.grant.clone());
        }
        // Boxed: most requests find a grant, and should not carry the room to ask for one.
        let held = Box::pin(cell.get_or_try_init(|| self.ask())).await?;
        self.tend();
        Ok(held.grant.clone())
    }

    /// An upstream refused the grant that `is_it` recognises: it is forgotten, unless another one is in use already.
    pub(super) fn refused(&self, is_it: impl Fn(&I::Grant) -> bool) -> Replaced {
        let now = clock::now().millis();
        let mut state = self.state.lock();
        if !state.current.get().is_some_and(|held| is_it(&held.grant)) {
            return Replaced::Yes;
        }
        if state.refused_at.is_some_and(|at| now.since(at) < AGAIN_MS) {
            return Replaced::No;
        }
        *state = State { current: Arc::default(), refused_at: Some(now) };
        Replaced::Yes
    }

    /// The cell of the grant in use; a new, empty one if that has ended.
    fn cell(&self, now: Millis) -> Arc<OnceCell<Held<I::Grant>>> {
        let mut state = self.state.lock();
        if state.current.get().is_some_and(|held| held.ends_at <= now) {
            state.current = Arc::default();
        }
        state.current.clone()
    }

    async fn ask(&self) -> Result<Held<I::Grant>, CredentialError> {
        let issuer = self.issuer.name();
        let asked = tokio::time::timeout(LIMIT, self.issuer.request()).await;
        let granted = asked.map_err(|_| CredentialError::Silent { issuer })??;
        Ok(Held::new(granted, clock::now().millis()))
    }

    /// Replaces grants from now on, unless a task does already. The task stays on the thread of the request that got the first one,
    /// and ends when no deployment uses the issuer any more.
    fn tend(self: &Arc<Self>) {
        if self.is_tended.swap(true, Ordering::AcqRel) {
            return;
        }
        let tended = Tended(Arc::downgrade(self));
        tokio::task::spawn_local(async move {
            let mut failures = 0;
            while let Some(pause) = tended.0.upgrade().map(|one| one.pause(failures)) {
                tokio::time::sleep(Duration::from_millis(pause)).await;
                let Some(one) = tended.0.upgrade() else { return };
                failures = one.replace(failures).await;
            }
        });
    }

    /// How long to wait before the next attempt, milliseconds.
    fn pause(&self, failures: u32) -> u64 {
        let now = clock::now().millis();
        let stale_at = self.state.lock().current.get().map(|held| held.stale_at);
        match (stale_at, failures) {
            // One was refused: the next request asks.
            (None, _) => PAUSE_MAX_MS,
            (Some(at), 0) => at.since(now).max(PAUSE_MIN_MS),
            (Some(_), failures) => {
                PAUSE_MAX_MS.min(PAUSE_MIN_MS.saturating_mul(1 << failures.min(10)))
            }
        }
    }

    /// Gets the next grant if it is time; returns how often that has failed in a row.
    async fn replace(&self, failures: u32) -> u32 {
        let is_due = |held: &Held<I::Grant>| held.stale_at <= clock::now().millis();
        if !self.state.lock().current.get().is_some_and(is_due) {
            return failures;
        }
        match self.ask().await {
            Ok(held) => {
                self.state.lock().current = Arc::new(OnceCell::new_with(Some(held)));
                0
            }
            Err(error) => {
                if failures == 0 {
                    let issuer = self.issuer.name();
                    tracing::warn!(issuer, %error, "a credential could not be renewed; the one in use is kept until it ends");
                }
                failures.saturating_add(1)
            }
        }
    }
}

/// A mark that a task replaces grants, taken away when it ends.
struct Tended<I: Issuer>(Weak<Refreshing<I>>);

impl<I: Issuer> Drop for Tended<I> {
    fn drop(&mut self) {
        if let Some(one) = self.0.upgrade() {
            one.is_tended.store(false, Ordering::Release);
        }
    }
}

/// The grants of all issuers of a kind, by what they are for. Deployments with one identity share its grants, also over a reload.
pub(super) struct Registry<K, I: Issuer>(Mutex<Option<HashMap<K, Weak<Refreshing<I>>>>>);

impl<K: Eq + Hash, I: Issuer> Registry<K, I> {
    /// An empty one.
    pub(super) const fn new() -> Registry<K, I> {
        Registry(Mutex::new(None))
    }

    /// Those for `key`; `make` makes the issuer if no deployment has it yet.
    pub(super) fn of(&self, key: K, make: impl FnOnce() -> I) -> Arc<Refreshing<I>> {
        let mut all = self.0.lock();
        let all = all.get_or_insert_default();
        if let Some(known) = all.get(&key).and_then(Weak::upgrade) {
            return known;
        }
        all.retain(|_, one| one.strong_count() > 0);
        let made = Arc::new(Refreshing::new(make()));
        all.insert(key, Arc::downgrade(&made));
        made
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use tokio::runtime::{Builder, LocalOptions};

    use super::*;

    /// Gives the numbers from 1 on, each for that long, after having been asked for some time.
    struct Numbers {
        next: AtomicU64,
        lifetime_ms: u64,
    }

    impl Issuer for Numbers {
        type Grant = u64;

        fn name(&self) -> &'static str {
            "numbers"
        }

        async fn request(&self) -> Result<Granted<u64>, CredentialError> {
            tokio::task::yield_now().await;
            let grant = self.next.fetch_add(1, Ordering::Relaxed) + 1;
            Ok(Granted { grant, lifetime_ms: self.lifetime_ms })
        }
    }

    fn numbers(lifetime_ms: u64) -> Arc<Refreshing<Numbers>> {
        Arc::new(Refreshing::new(Numbers { next: AtomicU64::new(0), lifetime_ms }))
    }

    fn run<F: Future>(future: F) -> F::Output {
        let mut builder = Builder::new_current_thread();
        builder.enable_all().build_local(LocalOptions::default()).unwrap().block_on(future)
    }

    #[test]
    fn a_grant_is_replaced_some_minutes_before_it_ends_and_used_until_then() {
        for (lifetime_ms, stale_ms, ends_ms) in [
            (3_600_000, 3_375_000, 3_595_000),
            (300_000, 75_000, 295_000),
            (4_000, 1_000, 2_000),
            (0, 0, 0),
        ] {
            let held = Held::new(Granted { grant: (), lifetime_ms }, Millis(10));
            assert_eq!(held.stale_at, Millis(10 + stale_ms), "{lifetime_ms}");
            assert_eq!(held.ends_at, Millis(10 + ends_ms), "{lifetime_ms}");
        }
    }

    #[test]
    fn requests_that_wait_cause_one_call_and_one_that_ended_is_not_used() {
        let (long, short) = (numbers(3_600_000), numbers(0));
        run(async {
            let [a, b] = [long.grant(), long.grant()];
            assert_eq!(tokio::join!(a, b).0.unwrap(), 1);
            assert_eq!(long.grant().await.unwrap(), 1);
            assert_eq!((short.grant().await.unwrap(), short.grant().await.unwrap()), (1, 2));
        });
        assert_eq!(long.issuer.next.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_refused_grant_is_replaced_once_a_minute_and_by_one_request() {
        let numbers = numbers(3_600_000);
        run(async {
            let first = numbers.grant().await.unwrap();
            assert_eq!(numbers.refused(|one| *one == first), Replaced::Yes);
            let next = numbers.grant().await.unwrap();
            assert_eq!((first, next), (1, 2));
            // Another request that had the first one finds the second in use.
            assert_eq!(numbers.refused(|one| *one == first), Replaced::Yes);
            assert_eq!(numbers.grant().await.unwrap(), 2);
            assert_eq!(numbers.refused(|one| *one == next), Replaced::No);
            assert_eq!(numbers.grant().await.unwrap(), 2);
        });
    }

    #[test]
    fn the_grants_of_one_identity_are_shared_while_a_deployment_uses_them() {
        static ALL: Registry<&str, Numbers> = Registry::new();
        let make = || Numbers { next: AtomicU64::new(0), lifetime_ms: 1 };
        let (a, again, b) = (ALL.of("a", make), ALL.of("a", make), ALL.of("b", make));
        assert!(Arc::ptr_eq(&a, &again) && !Arc::ptr_eq(&a, &b));
        let before = Arc::downgrade(&a);
        drop((a, again));
        let _new = ALL.of("a", make);
        assert!(before.upgrade().is_none());
    }
}
