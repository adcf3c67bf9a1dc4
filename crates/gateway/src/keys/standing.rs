//! Whether the key of something that goes on for long is still good.
//!
//! Asked once a second by streams and sessions ([`crate::proxy`]); keys that have to be read again for it are read by the background
//! task. Always true: the question waits for nothing; while the database does not answer, what was admitted goes on.

use std::sync::Arc;

use hale_core::tenancy::KeyHash;
use hale_core::tenancy::access::KeyAccess;
use hale_core::time::Millis;

use super::{Keys, read};
use crate::clock;

/// Keys of one read.
const AT_ONCE: usize = 500;

/// What is known of a key.
pub(crate) enum Standing {
    /// What its holder may do now.
    Known(Arc<KeyAccess>),
    /// It is not there any more.
    Gone,
    /// It is read again.
    Unread,
}

impl Keys {
    /// What is known of a key that was let in.
    pub(crate) fn standing(&self, hash: KeyHash, at: Millis) -> Standing {
        if let Some(access) = self.known(hash, at) {
            return Standing::Known(access);
        }
        if self.unknown.lock().has(hash, at) {
            return Standing::Gone;
        }
        self.wanted.lock().insert(hash);
        Standing::Unread
    }

    /// Reads the keys that streams and sessions ask for.
    pub(super) async fn read_wanted(&self) {
        let Some(store) = self.store() else { return };
        let wanted: Vec<KeyHash> = std::mem::take(&mut *self.wanted.lock()).into_iter().collect();
        for hashes in wanted.chunks(AT_ONCE) {
            let (seen, reading) = (self.seen(), self.reads());
            // They ask again.
            let Ok(rows) = read::rows(store, hashes).await else { return };
            let mut gone: Vec<KeyHash> = hashes.to_vec();
            for rows in rows {
                let hash = read::presented(&rows);
                gone.retain(|one| Some(*one) != hash);
                // Rows that are not kept are asked for again.
                let _learned = self.learn(rows, (seen, reading));
            }
            let now = clock::now().millis();
            gone.into_iter().for_each(|hash| self.not_there(hash, (seen, now)));
        }
    }
}
