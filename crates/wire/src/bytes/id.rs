//! Ids of stored objects (responses, files, batches) as clients see them: the provider's id, and the deployment
//! that issued it.
//!
//! `responses` and `files` seal them in answers; the gateway opens them in requests. Always true: an id that opens
//! was sealed with the same key for an object of the same kind; one object of one deployment always has the same
//! id; the gateway stores nothing.

mod references;

use std::num::NonZeroU32;
use std::sync::{Arc, LazyLock};

use aws_lc_rs::{constant_time, hmac, pbkdf2};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hale_core::operation::Kind;
use memchr::memmem::Finder;

/// The prefix of ids of a kind. It is the providers' own, because clients check it.
const fn prefix(kind: Kind) -> &'static str {
    match kind {
        Kind::Response => "resp_",
        Kind::File => "file-",
        Kind::Batch => "batch_",
    }
}

/// Signed together with the id, so that no other use of the key yields the same signature.
const fn purpose(kind: Kind) -> &'static [u8] {
    match kind {
        Kind::Response => b"hale response id 1\0",
        Kind::File => b"hale file id 1\0",
        Kind::Batch => b"hale batch id 1\0",
    }
}

/// What the gateway's own id of a response begins with that it translated, and that no provider keeps.
const TRANSLATED: &str = "hale_";

/// Length of the signature in an id, in bytes.
const TAG: usize = 12;
/// Rounds of the derivation of a key. Source: the OWASP Password Storage Cheat Sheet, PBKDF2-HMAC-SHA256.
const ITERATIONS: NonZeroU32 = NonZeroU32::new(600_000).expect("it is not zero");
/// All processes with one master key must derive the same key, so that the salt is fixed.
const SALT: &[u8] = b"hale object ids 1";
/// Longest id that is opened, in bytes.
const ID_MAX: usize = 2048;

/// The key that ids are signed with.
#[derive(Clone, Debug)]
pub struct IdKey(Arc<hmac::Key>);

/// The content of an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// The id of the deployment that issued it.
    pub deployment: String,
    /// The provider's own id.
    pub id: String,
}

/// Shortest id that is sealed, without its prefix.
const SEALED_MIN: usize = 24;

/// Shortest body that may hold one beside what a request needs.
const SEALED_BODY_MIN: usize = 100;

/// An id of a file to which `body` refers and that a gateway such as this one sealed, whatever its key: no provider knows it.
/// `body` is JSON. Ids in texts, in inputs and results of the client's own tools and in other fields refer to nothing.
#[must_use]
pub fn sealed_file(body: &[u8]) -> Option<String> {
    if body.len() < SEALED_BODY_MIN {
        return None;
    }
    static START: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"file-"));
    let ids =
        START.find_iter(body).filter(|at| at.checked_sub(1).map(|at| body[at]) != Some(b'\\'));
    let mut ids = ids.filter_map(|at| {
        let tail = &body[at + 1..];
        std::str::from_utf8(&tail[..memchr::memchr(b'"', &tail[..tail.len().min(ID_MAX)])?]).ok()
    });
    let has_one = ids.any(|id| is_sealed(&id[prefix(Kind::File).len()..]));
    if has_one { references::find(body) } else { None }
}

/// Whether that is what [`IdKey::seal`] writes behind a prefix.
fn is_sealed(text: &str) -> bool {
    if text.len() < SEALED_MIN {
        return false;
    }
    let Ok(whole) = URL_SAFE_NO_PAD.decode(text) else { return false };
    let content = whole.get(TAG..).and_then(|content| std::str::from_utf8(content).ok());
    let parts = content.and_then(|content| content.split_once('\0'));
    let is_name = |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
    parts.is_some_and(|(deployment, id)| is_name(deployment) && is_name(id))
}

/// Seals the ids in an answer.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// The key.
    pub key: IdKey,
    /// The deployment that answered.
    pub deployment: Arc<str>,
}

impl Issued {
    /// Whether it is the id of a response that was translated: no provider keeps it.
    #[must_use]
    pub fn is_translated(&self) -> bool {
        self.id.starts_with(TRANSLATED)
    }
}

impl Issuer {
    /// The client's id of the translated response with that number.
    pub(crate) fn translated(&self, serial: u128) -> String {
        self.seal(Kind::Response, &format!("{TRANSLATED}{serial:032x}"))
    }

    /// The client's id for the provider's id of an object of that kind.
    pub(crate) fn seal(&self, kind: Kind, id: &str) -> String {
        self.key.seal(kind, &self.deployment, id)
    }
}

impl IdKey {
    /// The key that is derived from `secret`, slowly: an id shows a signature of known text, and with it guesses of
    /// the secret can be tested. Takes about a quarter of a second of CPU time. If `secret` is empty, ids are
    /// protected against mistakes but not against forgery, and nothing is derived.
    #[must_use]
    pub fn derived(secret: &[u8]) -> IdKey {
        let mut key = [0; 32];
        if !secret.is_empty() {
            pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ITERATIONS, SALT, secret, &mut key);
        }
        IdKey::new(&key)
    }

    /// The key of these bytes.
    #[must_use]
    pub fn new(bytes: &[u8]) -> IdKey {
        IdKey(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, bytes)))
    }

    /// The signature of `content` for something that is no id. `purpose` is not empty and in no other use of the key.
    #[must_use]
    pub fn sign(&self, purpose: &'static str, content: &[u8]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(purpose.as_bytes());
        context.update(b"\0");
        context.update(content);
        let mut signature = [0; 32];
        signature.copy_from_slice(context.sign().as_ref());
        signature
    }

    /// The client's id for `id`, which the provider behind `deployment` issued.
    #[must_use]
    pub fn seal(&self, kind: Kind, deployment: &str, id: &str) -> String {
        let content = [deployment.as_bytes(), b"\0", id.as_bytes()].concat();
        let whole = [&self.tag(kind, &content)[..], &content].concat();
        format!("{}{}", prefix(kind), URL_SAFE_NO_PAD.encode(whole))
    }

    /// The content of `id`; `None` if it was not sealed with this key for an object of that kind.
    #[must_use]
    pub fn open(&self, kind: Kind, id: &str) -> Option<Issued> {
        if id.len() > ID_MAX {
            return None;
        }
        let whole = URL_SAFE_NO_PAD.decode(id.strip_prefix(prefix(kind))?).ok()?;
        let (tag, content) = whole.split_at_checked(TAG)?;
        constant_time::verify_slices_are_equal(tag, &self.tag(kind, content)).ok()?;
        let (deployment, id) = std::str::from_utf8(content).ok()?.split_once('\0')?;
        Some(Issued { deployment: deployment.to_owned(), id: id.to_owned() })
    }

    /// Bytes that only holders of the key can make of `parts`, which begin with what they are for.
    pub(super) fn derived_from(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.0);
        parts.iter().for_each(|part| context.update(part));
        let mut derived = [0; 32];
        derived.copy_from_slice(context.sign().as_ref());
        derived
    }

    fn tag(&self, kind: Kind, content: &[u8]) -> [u8; TAG] {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(purpose(kind));
        context.update(content);
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
    fn a_sealed_id_of_a_file_is_known_without_its_key() {
        let id = IdKey::new(b"secret").seal(Kind::File, "azure-eu", "file-67cb");
        for body in [
            format!(r#"{{"messages":[{{"content":[{{"file":{{"file_id":"{id}"}}}}]}}]}}"#),
            format!(
                r#"{{"messages":[{{"content":[{{"source":{{"file_id":"{id}","type":"file"}}}}]}}]}}"#
            ),
            format!(
                r#"{{"messages":[{{"content":[{{"type":"tool_result","content":[{{"type":"document","source":{{"type":"file","file_id":"{id}"}}}}]}}]}}]}}"#
            ),
            format!(
                r#"{{"messages":[{{"content":[{{"type":"container_upload","file_id":"{id}"}}]}}]}}"#
            ),
            format!(r#"{{"input":[{{"content":[{{"file_id":"{id}","type":"input_file"}}]}}]}}"#),
            format!(r#"{{"input":[{{"output":[{{"type":"input_image","file_id":"{id}"}}]}}]}}"#),
            format!(r#"{{"container":{{"file_ids":["file-abc","{id}"]}}}}"#),
            format!(
                r#"{{"tools":[{{"type":"code_interpreter","container":{{"type":"auto","file_ids":["{id}"]}}}}]}}"#
            ),
        ] {
            let body = body.replacen('{', "{\"model\":\"gpt-4o-mini\",", 1);
            assert_eq!(sealed_file(body.as_bytes()).as_deref(), Some(&*id), "{body}");
        }
        for body in [
            format!(
                r#"{{"messages":[{{"content":[{{"type":"tool_use","name":"f","input":{{"file_id":"{id}"}}}}]}}]}}"#
            ),
            format!(
                r#"{{"messages":[{{"content":[{{"input":{{"file":{{"type":"file","file_id":"{id}"}}}},"type":"tool_use"}}]}}]}}"#
            ),
            format!(r#"{{"messages":[{{"role":"user","content":"{id}","pad":"{:60}"}}]}}"#, ""),
            format!(
                r#"{{"messages":[{{"content":[{{"type":"tool_result","content":"{id}"}}]}}]}}"#
            ),
            format!(r#"{{"messages":[{{"content":[{{"type":"text","text":"{id}"}}]}}]}}"#),
            format!(r#"{{"metadata":{{"file":{{"file_id":"{id}"}}}},"pad":"{:60}"}}"#, ""),
            format!(
                r#"{{"tools":[{{"function":{{"parameters":{{"properties":{{"file":{{"file_id":"{id}"}}}}}}}}}}]}}"#
            ),
            format!(
                r#"{{"tools":[{{"input_schema":{{"default":{{"type":"input_file","file_id":"{id}"}}}}}}]}}"#
            ),
            format!(r#"{{"pad":"{:60}","ids":["{id}"]}}"#, ""),
        ] {
            assert_eq!(sealed_file(body.as_bytes()), None, "{body}");
        }
        for body in [
            r#"{"file_id":"file-abc"}"#.to_owned(),
            r#"{"file_id":"file-BK7bzQj3FfZFXr7DbL6xJwfo"}"#.to_owned(),
            format!(r#"{{"content":"the id is {id}"}}"#),
            format!(r#"{{"content":"say \"{id}\""}}"#),
            format!(r#"{{"file_id":"{id}"#),
            "\"file-".to_owned(),
        ] {
            assert_eq!(sealed_file(body.as_bytes()), None, "{body}");
        }
    }

    #[test]
    fn an_id_opens_only_with_the_key_that_sealed_it() {
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
    fn a_derived_key_is_the_same_in_every_process_and_differs_from_its_secret() {
        let (key, again) = (IdKey::derived(b"secret"), IdKey::derived(b"secret"));
        let id = key.seal(RESPONSE, "d", "resp_1");
        assert_eq!(again.seal(RESPONSE, "d", "resp_1"), id);
        for other in [IdKey::new(b"secret"), IdKey::derived(b"secret2"), IdKey::derived(b"")] {
            assert_eq!(other.open(RESPONSE, &id), None);
        }
    }

    #[test]
    fn an_id_does_not_open_as_another_kind() {
        let key = IdKey::new(b"secret");
        let kinds = [Kind::Response, Kind::File, Kind::Batch];
        for kind in kinds {
            let id = key.seal(kind, "d", "file-1");
            for other in kinds {
                assert_eq!(key.open(other, &id).is_some(), kind == other, "{kind:?} {other:?}");
                let (_, tail) = id.split_at(prefix(kind).len());
                let renamed = format!("{}{tail}", prefix(other));
                assert_eq!(
                    key.open(other, &renamed).is_some(),
                    kind == other,
                    "{kind:?} {other:?}"
                );
            }
        }
    }

    #[test]
    fn ids_of_others_do_not_open() {
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
