//! Ids of stored objects (responses, files, batches, streams that clients may come back to) as clients see them: the provider's id, the deployment that issued it,
//! and whose it is.
//!
//! `responses` and `files` seal them in answers; the gateway opens them in requests. Always true: an id that opens
//! was sealed with the same key for an object of the same kind; one object of one owner at one deployment always has the same
//! id; without the key nothing can be read of it, the provider's own id neither, so that it cannot be used past the gateway's
//! check of the owner; the gateway stores nothing.

mod references;

use std::num::NonZeroU32;
use std::sync::{Arc, LazyLock};

use aws_lc_rs::{constant_time, hmac, pbkdf2};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hale_core::operation::Kind;
use hale_core::tenancy::Owner;
use memchr::memmem::Finder;

/// The prefix of ids of a kind. It is the providers' own, because clients check it.
const fn prefix(kind: Kind) -> &'static str {
    match kind {
        Kind::Response => "resp_",
        Kind::File => "file-",
        Kind::Batch => "batch_",
        Kind::Stream => "stream_",
    }
}

/// Signed together with the id, so that no other use of the key yields the same signature.
const fn purpose(kind: Kind, form: Form) -> &'static [u8] {
    match (kind, form) {
        (Kind::Response, Form::Signed) => b"hale response id 1\0",
        (Kind::File, Form::Signed) => b"hale file id 1\0",
        (Kind::Batch, Form::Signed) => b"hale batch id 1\0",
        (Kind::Stream, Form::Signed) => b"hale stream id 1\0",
        (Kind::Response, Form::Sealed) => b"hale response id 2\0",
        (Kind::File, Form::Sealed) => b"hale file id 2\0",
        (Kind::Batch, Form::Sealed) => b"hale batch id 2\0",
        (Kind::Stream, Form::Sealed) => b"hale stream id 2\0",
    }
}

/// How an id is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// As they were before there were owners: anyone can read it. It opens still, and has no owner.
    Signed,
    /// With an owner, unreadable.
    Sealed,
}

/// What follows the prefix of a sealed id.
const SEALED: &str = "hale2-";
/// What the key stream of a sealed id is derived for.
const STREAM: &[u8] = b"hale id stream 2\0";

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
    /// Whose it is.
    pub owner: Owner,
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

/// Whether that is what [`IdKey::seal`] writes behind a prefix, or wrote before there were owners.
fn is_sealed(text: &str) -> bool {
    if text.len() < SEALED_MIN {
        return false;
    }
    if let Some(sealed) = text.strip_prefix(SEALED) {
        return URL_SAFE_NO_PAD.decode(sealed).is_ok_and(|whole| whole.len() > TAG);
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
    /// Whose the objects of the answer are.
    pub owner: Owner,
    /// The object that the request named, if it did: it keeps the id that the client knows.
    pub named: Option<Named>,
}

/// An object that a request names.
#[derive(Clone, Debug)]
pub struct Named {
    /// What it is.
    pub kind: Kind,
    /// The provider's own id.
    pub id: Box<str>,
    /// The client's.
    pub shown: Box<str>,
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
        match &self.named {
            Some(named) if named.kind == kind && *named.id == *id => named.shown.to_string(),
            Some(_) | None => self.key.seal(kind, &self.deployment, id, &self.owner),
        }
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

    /// The client's id for `id`, which the provider behind `deployment` issued, of an object of that owner.
    #[must_use]
    pub fn seal(&self, kind: Kind, deployment: &str, id: &str, owner: &Owner) -> String {
        let mut content = Vec::with_capacity(64 + deployment.len() + id.len());
        owner.write(&mut content);
        content.extend_from_slice(deployment.as_bytes());
        content.push(0);
        content.extend_from_slice(id.as_bytes());
        let tag = self.tag(kind, Form::Sealed, &content);
        self.blind(tag, &mut content);
        let whole = [&tag[..], &content].concat();
        format!("{}{SEALED}{}", prefix(kind), URL_SAFE_NO_PAD.encode(whole))
    }

    /// The content of `id`; `None` if it was not sealed with this key for an object of that kind.
    #[must_use]
    pub fn open(&self, kind: Kind, id: &str) -> Option<Issued> {
        if id.len() > ID_MAX {
            return None;
        }
        let text = id.strip_prefix(prefix(kind))?;
        let sealed = text.strip_prefix(SEALED).and_then(|text| self.open_sealed(kind, text));
        sealed.or_else(|| self.open_signed(kind, text))
    }

    fn open_sealed(&self, kind: Kind, text: &str) -> Option<Issued> {
        let mut whole = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (tag, content) = whole.split_first_chunk_mut::<TAG>()?;
        self.blind(*tag, content);
        let own = self.tag(kind, Form::Sealed, content);
        constant_time::verify_slices_are_equal(tag, &own).ok()?;
        let (owner, content) = Owner::read(content)?;
        let (deployment, id) = std::str::from_utf8(content).ok()?.split_once('\0')?;
        Some(Issued { deployment: deployment.to_owned(), id: id.to_owned(), owner })
    }

    fn open_signed(&self, kind: Kind, text: &str) -> Option<Issued> {
        let whole = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (tag, content) = whole.split_at_checked(TAG)?;
        let own = self.tag(kind, Form::Signed, content);
        constant_time::verify_slices_are_equal(tag, &own).ok()?;
        let (deployment, id) = std::str::from_utf8(content).ok()?.split_once('\0')?;
        let owner = Owner::default();
        Some(Issued { deployment: deployment.to_owned(), id: id.to_owned(), owner })
    }

    /// Makes `content` unreadable, and readable again. The tag is a signature of the content, so that no two contents have the same
    /// stream (a synthetic initialization vector, as in RFC 5297).
    fn blind(&self, tag: [u8; TAG], content: &mut [u8]) {
        for (place, block) in content.chunks_mut(32).enumerate() {
            let place = u64::try_from(place).unwrap_or(u64::MAX).to_be_bytes();
            let stream = self.derived_from(&[STREAM, &tag, &place]);
            block.iter_mut().zip(stream).for_each(|(byte, with)| *byte ^= with);
        }
    }

    /// Bytes that only holders of the key can make of `parts`, which begin with what they are for.
    pub(super) fn derived_from(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.0);
        parts.iter().for_each(|part| context.update(part));
        let mut derived = [0; 32];
        derived.copy_from_slice(context.sign().as_ref());
        derived
    }

    fn tag(&self, kind: Kind, form: Form, content: &[u8]) -> [u8; TAG] {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(purpose(kind, form));
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
    const NONE: Owner = Owner::NONE;

    /// An id as it was before there were owners.
    fn signed(key: &IdKey, kind: Kind, deployment: &str, id: &str) -> String {
        let content = format!("{deployment}\0{id}");
        let tag = key.tag(kind, Form::Signed, content.as_bytes());
        let whole = [&tag[..], content.as_bytes()].concat();
        format!("{}{}", prefix(kind), URL_SAFE_NO_PAD.encode(whole))
    }

    #[test]
    fn an_id_tells_its_owner_to_the_gateway_and_nothing_to_anyone_else() {
        use hale_core::tenancy::access::Identity;

        let key = IdKey::new(b"secret");
        let identity = Identity { key: "k".into(), team: Some("t".into()), ..Identity::default() };
        let owner = Owner::of(&identity);
        let id = key.seal(RESPONSE, "azure-eu", "resp_67cb", &owner);
        let opened = key.open(RESPONSE, &id).unwrap();
        assert_eq!((opened.owner, &*opened.id), (owner, "resp_67cb"));
        let bytes = URL_SAFE_NO_PAD.decode(&id["resp_hale2-".len()..]).unwrap();
        for known in ["azure-eu", "resp_67cb", "67cb"] {
            assert!(memchr::memmem::find(&bytes, known.as_bytes()).is_none(), "{known}");
        }
        let of_no_key = key.seal(RESPONSE, "azure-eu", "resp_67cb", &NONE);
        assert_ne!(of_no_key[..30], id[..30], "another owner's has another stream");
    }

    #[test]
    fn an_id_from_before_there_were_owners_opens_and_has_no_owner() {
        let key = IdKey::new(b"secret");
        let id = signed(&key, RESPONSE, "d", "resp_0123456789");
        let issued = Issued { deployment: "d".into(), id: "resp_0123456789".into(), owner: NONE };
        assert_eq!(key.open(RESPONSE, &id), Some(issued));
        assert_eq!(key.open(Kind::File, &id.replace("resp_", "file-")), None);
        assert!(is_sealed(&id["resp_".len()..]));
        let relabelled = id.replace("resp_", "resp_hale2-");
        assert_eq!(key.open(RESPONSE, &relabelled), None, "one form is not taken for the other");
    }

    #[test]
    fn an_object_that_a_request_names_keeps_the_clients_id() {
        let (key, deployment) = (IdKey::new(b"secret"), Arc::from("d"));
        let shown = "resp_as-sent".into();
        let named = Some(Named { kind: RESPONSE, id: "resp_1".into(), shown });
        let issuer = Issuer { key: key.clone(), deployment, owner: NONE, named };
        assert_eq!(issuer.seal(RESPONSE, "resp_1"), "resp_as-sent");
        let others = [(RESPONSE, "resp_2"), (Kind::File, "resp_1")];
        for (kind, id) in others {
            assert_eq!(issuer.seal(kind, id), key.seal(kind, "d", id, &NONE));
        }
    }

    #[test]
    fn a_sealed_id_of_a_file_is_known_without_its_key() {
        let id = IdKey::new(b"secret").seal(Kind::File, "azure-eu", "file-67cb", &NONE);
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
        let id = key.seal(RESPONSE, "azure-eu", "resp_67cb", &NONE);
        let issued = key.open(RESPONSE, &id).unwrap();
        assert_eq!((issued.deployment.as_str(), issued.id.as_str()), ("azure-eu", "resp_67cb"));
        assert_eq!(
            key.seal(RESPONSE, "azure-eu", "resp_67cb", &NONE),
            id,
            "the same response has the same id"
        );
        assert_eq!(IdKey::new(b"other").open(RESPONSE, &id), None);
        assert!(!format!("{key:?}").contains("secret"));
    }

    #[test]
    fn a_derived_key_is_the_same_in_every_process_and_differs_from_its_secret() {
        let (key, again) = (IdKey::derived(b"secret"), IdKey::derived(b"secret"));
        let id = key.seal(RESPONSE, "d", "resp_1", &NONE);
        assert_eq!(again.seal(RESPONSE, "d", "resp_1", &NONE), id);
        for other in [IdKey::new(b"secret"), IdKey::derived(b"secret2"), IdKey::derived(b"")] {
            assert_eq!(other.open(RESPONSE, &id), None);
        }
    }

    #[test]
    fn an_id_does_not_open_as_another_kind() {
        let key = IdKey::new(b"secret");
        let kinds = [Kind::Response, Kind::File, Kind::Batch, Kind::Stream];
        for kind in kinds {
            let id = key.seal(kind, "d", "file-1", &NONE);
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
        fn a_changed_id_does_not_open(at in 5usize..66, with in "[A-Za-z0-9_-]") {
            let key = IdKey::new(b"secret");
            let id = key.seal(RESPONSE, "deployment", "resp_0123456789abcdefghijkl", &NONE);
            let mut changed = id.clone();
            changed.replace_range(at..=at, &with);
            prop_assert_eq!(key.open(RESPONSE, &changed).is_some(), changed == id);
        }
    }
}
