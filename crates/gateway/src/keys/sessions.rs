//! Sessions of clients, while these have a ceiling.
//!
//! Asked by the proxy for each request that names a session. Always true: without a ceiling nothing is kept; a session that is not known here
//! is looked for in the ledger, which has it over restarts and replicas; a ledger that does not answer delays a request by two seconds at
//! most, and the session then begins with what is known here.

use std::sync::Arc;

use hale_core::tenancy::access::Level;
use hale_core::tenancy::sessions::{Ceiling, Sessions};
use hale_core::tenancy::{Money, Subject};
use hale_core::time::Millis;
use hale_store::Store;
use parking_lot::Mutex;

use super::Keys;
use crate::clock;

/// How often the ledger is asked for a session that other replicas may serve too, milliseconds.
const SHARED_MS: u64 = 2_000;

/// The sessions in use.
#[derive(Default)]
pub(super) struct KnownSessions(Mutex<Sessions>);

impl Keys {
    /// What a request of that session counts against. `key` is the hash of its key, or what stands for that in the ledger.
    pub(crate) async fn session(
        &self,
        ceiling: Ceiling,
        (key, session): (&str, &str),
    ) -> Arc<Level> {
        let subject = Subject::of_session(key, session);
        // A file has one writer, which is this process.
        let every_ms = if self.is_shared() { SHARED_MS } else { Millis::NEVER.0 };
        let now = clock::now().millis();
        let (account, is_due) = self.sessions.0.lock().of(&subject, now, every_ms);
        if let Some(store) = self.store().filter(|_| is_due) {
            match ledger(store, (key, session)).await {
                Some((spent, requests)) => account.at_least(spent, requests),
                None => self.sessions.0.lock().not_asked(&subject),
            }
            // Time has passed.
            clock::now();
        }
        ceiling.level(subject, account)
    }
}

/// What the ledger has of a session; `None` if it does not answer.
async fn ledger(store: &Store, (key, session): (&str, &str)) -> Option<(Money, u64)> {
    let sum = store.session_sum(session, key).await.ok()?;
    Some((Money::of_parts(sum.nano), sum.requests))
}
