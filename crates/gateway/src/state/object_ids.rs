//! The key that ids of stored objects are signed with, derived when the first request needs it.
//!
//! Held by the config in force, waited for by the opening of a request that issues or addresses an object. Always
//! true: it is derived once for each master key, on a thread that may wait; requests without objects never wait
//! for it.

use std::sync::Arc;

use hale_core::secret::Secret;
use hale_wire::id::IdKey;
use tokio::sync::OnceCell;

/// The key of ids.
pub(crate) struct ObjectIds {
    master_key: Option<Secret>,
    key: OnceCell<IdKey>,
}

impl ObjectIds {
    /// Ids are valid for all holders of the master key; a new one invalidates the ids that were issued before.
    pub(crate) fn of(master_key: Option<&Secret>) -> Arc<ObjectIds> {
        Arc::new(ObjectIds { master_key: master_key.cloned(), key: OnceCell::new() })
    }

    /// Whether it is derived from this master key.
    pub(crate) fn is_of(&self, master_key: Option<&Secret>) -> bool {
        self.secret() == master_key.map_or("", Secret::expose)
    }

    /// The key, once it is derived.
    pub(crate) fn key(&self) -> Option<&IdKey> {
        self.key.get()
    }

    /// Waits until the key is derived.
    pub(crate) async fn ready(self: &Arc<Self>) {
        let derive = || async {
            let ids = self.clone();
            let derived =
                tokio::task::spawn_blocking(move || IdKey::derived(ids.secret().as_bytes()));
            // A runtime that ends cancels the request, too.
            derived.await.map_err(drop)
        };
        let _cancelled: Result<&IdKey, ()> = self.key.get_or_try_init(derive).await;
    }

    fn secret(&self) -> &str {
        self.master_key.as_ref().map_or("", Secret::expose)
    }
}

#[cfg(test)]
mod tests {
    use hale_core::operation::Kind;
    use hale_core::tenancy::Owner;

    use super::*;

    #[test]
    fn the_key_is_there_after_the_wait_and_belongs_to_the_master_key() {
        let secret = Secret::new("sk-1");
        let ids = ObjectIds::of(Some(&secret));
        assert!(ids.key().is_none());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(ids.ready());
        let id = ids.key().unwrap().seal(Kind::File, "d", "file-1", &Owner::NONE);
        assert!(IdKey::derived(b"sk-1").open(Kind::File, &id).is_some());
        assert!(ids.is_of(Some(&secret)) && !ids.is_of(None));
    }
}
