//! Ids of what providers keep, as clients see them: the provider's id, and the deployment that issued it.
//!
//! Made by `responses` and `files` for answers, opened by the gateway for requests. Always true: an id that
//! opens was made with the same key, for a thing of the same kind; the same thing of the same deployment
//! always has the same id; nothing is kept anywhere.

use std::sync::Arc;

use aws_lc_rs::{constant_time, hmac};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hale_core::operation::Kind;

/// How every id of a kind begins, as the providers' own do: clients look at it.
const fn prefix(kind: Kind) -> &'static str {
    match kind {
        Kind::Response => "resp_",
        Kind::File => "file-",
        Kind::Batch => "batch_",
    }
}

/// What is signed besides the id, so that no other use of the key gives the same signature.
const fn purpose(kind: Kind) -> &'static [u8] {
    match kind {
        Kind::Response => b"hale response id 1\0",
        Kind::File => b"hale file id 1\0",
        Kind::Batch => b"hale batch id 1\0",
    }
}

/// Bytes of the signature that an id carries.
const TAG: usize = 12;
/// Longest id that is looked at, bytes.
const ID_MAX: usize = 2048;

/// The key that ids are signed with.
#[derive(Clone, Debug)]
pub struct IdKey(Arc<hmac::Key>);

/// What an id says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// The id of the deployment that issued it.
    pub deployment: String,
    /// The provider's own id.
    pub id: String,
}

/// Who signs the ids of an answer.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// With what.
    pub key: IdKey,
    /// The deployment that answered.
    pub deployment: Arc<str>,
}

impl Issuer {
    /// The client's id for the provider's of a thing of that kind.
    pub(crate) fn seal(&self, kind: Kind, id: &str) -> String {
        self.key.seal(kind, &self.deployment, id)
    }
}

impl IdKey {
    /// A key made of `secret`, which may be empty: then ids are safe from mistakes, not from forgery.
    #[must_use]
    pub fn new(secret: &[u8]) -> IdKey {
        IdKey(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, secret)))
    }

    /// The client's id for `id` of the provider behind `deployment`.
    #[must_use]
    pub fn seal(&self, kind: Kind, deployment: &str, id: &str) -> String {
        let said = [deployment.as_bytes(), b"\0", id.as_bytes()].concat();
        let whole = [&self.tag(kind, &said)[..], &said].concat();
        format!("{}{}", prefix(kind), URL_SAFE_NO_PAD.encode(whole))
    }

    /// What `id` says; `None` when it was not made with this key for a thing of that kind.
    #[must_use]
    pub fn open(&self, kind: Kind, id: &str) -> Option<Issued> {
        if id.len() > ID_MAX {
            return None;
        }
        let whole = URL_SAFE_NO_PAD.decode(id.strip_prefix(prefix(kind))?).ok()?;
        let (tag, said) = whole.split_at_checked(TAG)?;
        constant_time::verify_slices_are_equal(tag, &self.tag(kind, said)).ok()?;
        let (deployment, id) = std::str::from_utf8(said).ok()?.split_once('\0')?;
        Some(Issued { deployment: deployment.to_owned(), id: id.to_owned() })
    }

    fn tag(&self, kind: Kind, said: &[u8]) -> [u8; TAG] {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(purpose(kind));
        context.update(said);
        let mut tag = [0; TAG];
        tag.copy_from_slice(&context.sign().as_ref()[..TAG]);
        tag
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RESPONSE: Kind = Kind::Response;

    #[test]
    fn an_id_opens_with_its_own_key_only() {
        let key = IdKey::new(b"secret");
        let id = key.seal(RESPONSE, "azure-eu", "resp_67cb");
        let issued = key.open(RESPONSE, &id).unwrap();
        assert_eq!((issued.deployment.as_str(), issued.id.as_str()), ("azure-eu", "resp_67cb"));
        assert_eq!(
            key.seal(RESPONSE, "azure-eu", "resp_67cb"),
            id,
            "the same response has the same id"
        );
        assert_eq!(IdKey::new(b"other").open(RESPONSE, &id), None);
        assert!(!format!("{key:?}").contains("secret"));
    }

    #[test]
    fn an_id_of_one_kind_is_none_of_another() {
        let key = IdKey::new(b"secret");
        let kinds = [Kind::Response, Kind::File, Kind::Batch];
        for kind in kinds {
            let id = key.seal(kind, "d", "file-1");
            for other in kinds {
                assert_eq!(key.open(other, &id).is_some(), kind == other, "{kind:?} {other:?}");
                let (_, rest) = id.split_at(prefix(kind).len());
                let renamed = format!("{}{rest}", prefix(other));
                assert_eq!(
                    key.open(other, &renamed).is_some(),
                    kind == other,
                    "{kind:?} {other:?}"
                );
            }
        }
    }

    #[test]
    fn what_is_not_ours_does_not_open() {
        let key = IdKey::new(b"");
        let long = format!("resp_{}", "A".repeat(ID_MAX));
        for id in ["", "resp_", "resp_67cb0001", "resp_!", "msg_AAAA", "../x", &long] {
            assert_eq!(key.open(RESPONSE, id), None, "{id}");
        }
    }

    proptest! {
        #[test]
        fn a_changed_id_does_not_open(at in 5usize..60, with in "[A-Za-z0-9_-]") {
            let key = IdKey::new(b"secret");
            let id = key.seal(RESPONSE, "deployment", "resp_0123456789abcdefghijkl");
            let mut changed = id.clone();
            changed.replace_range(at..=at, &with);
            prop_assert_eq!(key.open(RESPONSE, &changed).is_some(), changed == id);
        }
    }
}
