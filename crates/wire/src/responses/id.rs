//! Ids of responses as clients see them: the provider's id, and the deployment that issued it.
//!
//! Made by `look` for answers, opened by the gateway for requests. Always true: an id that opens
//! was made with the same key; the same response of the same deployment always has the same id; nothing is
//! kept anywhere.

use std::sync::Arc;

use aws_lc_rs::{constant_time, hmac};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// How every id of a response begins.
const PREFIX: &str = "resp_";
/// What is signed besides the id, so that no other use of the key gives the same signature.
const PURPOSE: &[u8] = b"hale response id 1\0";
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
    /// The client's id for the provider's.
    pub(crate) fn seal(&self, id: &str) -> String {
        self.key.seal(&self.deployment, id)
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
    pub fn seal(&self, deployment: &str, id: &str) -> String {
        let said = [deployment.as_bytes(), b"\0", id.as_bytes()].concat();
        let whole = [&self.tag(&said)[..], &said].concat();
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(whole))
    }

    /// What `id` says; `None` when it was not made with this key.
    #[must_use]
    pub fn open(&self, id: &str) -> Option<Issued> {
        if id.len() > ID_MAX {
            return None;
        }
        let whole = URL_SAFE_NO_PAD.decode(id.strip_prefix(PREFIX)?).ok()?;
        let (tag, said) = whole.split_at_checked(TAG)?;
        constant_time::verify_slices_are_equal(tag, &self.tag(said)).ok()?;
        let (deployment, id) = std::str::from_utf8(said).ok()?.split_once('\0')?;
        Some(Issued { deployment: deployment.to_owned(), id: id.to_owned() })
    }

    fn tag(&self, said: &[u8]) -> [u8; TAG] {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(PURPOSE);
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

    #[test]
    fn an_id_opens_with_its_own_key_only() {
        let key = IdKey::new(b"secret");
        let id = key.seal("azure-eu", "resp_67cb");
        let issued = key.open(&id).unwrap();
        assert_eq!((issued.deployment.as_str(), issued.id.as_str()), ("azure-eu", "resp_67cb"));
        assert_eq!(key.seal("azure-eu", "resp_67cb"), id, "the same response has the same id");
        assert_eq!(IdKey::new(b"other").open(&id), None);
        assert!(!format!("{key:?}").contains("secret"));
    }

    #[test]
    fn what_is_not_ours_does_not_open() {
        let key = IdKey::new(b"");
        let long = format!("resp_{}", "A".repeat(ID_MAX));
        for id in ["", "resp_", "resp_67cb0001", "resp_!", "msg_AAAA", "../x", &long] {
            assert_eq!(key.open(id), None, "{id}");
        }
    }

    proptest! {
        #[test]
        fn a_changed_id_does_not_open(at in 5usize..60, with in "[A-Za-z0-9_-]") {
            let key = IdKey::new(b"secret");
            let id = key.seal("deployment", "resp_0123456789abcdefghijkl");
            let mut changed = id.clone();
            changed.replace_range(at..=at, &with);
            prop_assert_eq!(key.open(&changed).is_some(), changed == id);
        }
    }
}
