//! What the gateway must know about a request body before it forwards it, read without building a tree.
//!
//! Called once per request by the gateway. Always true: a body that passes is one JSON object in which every
//! field that the gateway reads occurs at most once.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;

use super::edit::{Edit, apply, new_members};
use super::fields::{self, CONTROLS_FROM, READ, REMOVED, SMALL};
pub use super::fields::{Names, Objection};
use super::form::{self, Form, FormError};
use super::object::{self, Member};
use super::payload::Payload;
pub use super::peek_error::PeekError;

/// Longest value of a field that the gateway reads or that is meant for it, in bytes.
pub const READ_MAX: usize = 64 << 10;
/// Longest text that [`Peek::word`] returns, in bytes of JSON.
const WORD_MAX: usize = 1024;

/// The longest body that is copied out of its buffer, bytes.
const DETACHED_MAX: usize = 16 << 10;

/// A request body and the ranges of its fields.
#[derive(Clone, Debug)]
pub struct Peek {
    body: Bytes,
    members: Vec<Member>,
    /// One bit for each name of [`READ`] that is present.
    read: u32,
    /// One bit for each kind of name that is present: most names that are looked for are not.
    kinds: u64,
    /// The form, if the body was one and `body` holds its text fields.
    form: Option<Arc<Form>>,
}

impl Peek {
    /// Checks `body` and finds its fields.
    ///
    /// # Errors
    /// If it is not one JSON object, or ambiguous.
    pub fn parse(body: Bytes) -> Result<Peek, PeekError> {
        if body.is_empty() {
            return Err(PeekError::Empty);
        }
        let members = object::members(&body)?;
        let mut seen = 0u32;
        let mut kinds = 0;
        for member in &members {
            kinds |= written_name(&body, member).map_or(u64::MAX, kind);
            if let Some(name) = in_other_letters(&body, member) {
                return Err(PeekError::Letters(name));
            }
            if member.value().len() > READ_MAX
                && let Some(field) = small_field(&body, member)
            {
                return Err(PeekError::Large(field));
            }
            let Some(index) = position(&READ, &body, member) else { continue };
            if seen & (1 << index) != 0 {
                return Err(PeekError::Duplicate(READ.all()[index]));
            }
            seen |= 1 << index;
        }
        Ok(Peek { body, members, read: seen, kinds, form: None })
    }

    /// A body that is passed on as it came: none of its fields is known.
    #[must_use]
    pub fn opaque(body: Bytes) -> Peek {
        Peek { body, members: Vec::new(), read: 0, kinds: 0, form: None }
    }

    /// Copies a small body out of the buffer that it was read into, which may be much larger and is held by it.
    pub fn detach(&mut self) {
        if self.form.is_none() && self.body.len() <= DETACHED_MAX {
            self.body = Bytes::copy_from_slice(&self.body);
        }
    }

    /// Checks `body`, a form with that `content-type`, and finds its fields.
    ///
    /// # Errors
    /// If it is not a form, or ambiguous.
    pub fn of_form(body: Bytes, content_type: &str) -> Result<Peek, FormError> {
        let form = Form::parse(body, content_type)?;
        let peek = Peek::parse(Bytes::from(form::fields(form.parts())?))?;
        Ok(Peek { form: Some(Arc::new(form)), ..peek })
    }

    /// A form of the members of the JSON object `words` and one file.
    ///
    /// # Errors
    /// If the members are not what a request may have.
    pub(crate) fn form_of(
        words: &[u8],
        boundary: &str,
        file: form::File<'_>,
    ) -> Result<Peek, FormError> {
        let words = Peek::parse(Bytes::copy_from_slice(words))?;
        let fields: Vec<(Cow<'_, str>, &str)> = words.fields().collect();
        let edits: Vec<Edit<'_>> =
            fields.iter().map(|(name, value)| Edit::Default(name, value)).collect();
        let (body, content_type) = form::of_fields(&edits, boundary, file)?;
        Peek::of_form(body, &content_type)
    }

    /// The JSON object with `edits` applied. The first edit that names a member wins.
    #[must_use]
    pub fn edited(&self, edits: &[Edit<'_>]) -> Bytes {
        apply(&self.body, &self.members, edits)
    }

    /// The body with `edits` applied, as JSON or as the form that it was.
    #[must_use]
    pub(crate) fn payload(&self, edits: &[Edit<'_>]) -> Payload {
        match self.form() {
            Some(form) => form.edited(edits, None),
            None => self.edited(edits).into(),
        }
    }

    /// The fields of this body that are meant for a gateway; no provider gets them.
    pub(crate) fn removed(&self) -> impl Iterator<Item = &str> {
        self.members.iter().filter_map(|member| {
            if let Some(index) = position(&REMOVED, &self.body, member) {
                return Some(REMOVED.all()[index]);
            }
            let name = written_name(&self.body, member)?;
            if fields::begins_as_own(name) { std::str::from_utf8(name).ok() } else { None }
        })
    }

    /// The fields that are refused, and why.
    pub fn objections(&self) -> impl Iterator<Item = (Cow<'_, str>, Objection)> {
        self.members.iter().filter_map(|member| {
            let key = self.body.get(member.key())?;
            let name = match written_name(&self.body, member) {
                // Most names are plain and in no table.
                Some(name) if !fields::may_be_refused(name) => return None,
                Some(name) => Cow::Borrowed(std::str::from_utf8(name).ok()?),
                None => Cow::Owned(serde_json::from_slice(key).ok()?),
            };
            let value = std::str::from_utf8(self.body.get(member.value())?).ok()?;
            let objection = fields::objection(&name, value)?;
            Some((name, objection))
        })
    }

    /// The form, if the body was one and `body` holds its text fields.
    #[must_use]
    pub fn form(&self) -> Option<&Form> {
        self.form.as_deref()
    }

    /// Whether a field is present; in a form also as the parts of a list (`name[]`).
    #[must_use]
    pub fn is_given(&self, name: &str) -> bool {
        self.is_set(name) || (self.form.is_some() && self.is_set(&format!("{name}[]")))
    }

    /// The body as it came.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The bytes that it takes, those of a form's files included.
    #[must_use]
    pub fn size(&self) -> usize {
        self.form().map_or(self.body.len(), |form| form.body().len() + self.body.len())
    }

    /// The bytes of `payload` that are not bytes of this body.
    #[must_use]
    pub fn not_shared(&self, payload: &Payload) -> usize {
        let own = self.form().map_or(&self.body, Form::body).as_ptr_range();
        let pieces = payload.pieces().filter(|piece| !own.contains(&piece.as_ptr()));
        pieces.map(Bytes::len).sum()
    }

    /// The ranges of its fields.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Whether a field is present that steers the gateway.
    #[must_use]
    pub fn has_controls(&self) -> bool {
        self.read >> CONTROLS_FROM != 0
    }

    #[inline]
    fn may_have(&self, name: &str) -> bool {
        self.kinds & kind(name.as_bytes()) != 0
    }

    #[inline]
    fn value(&self, name: &str) -> Option<&[u8]> {
        if self.may_have(name) { object::value(&self.body, &self.members, name) } else { None }
    }

    /// The JSON text of a field; `null` counts as absent.
    #[must_use]
    pub fn raw(&self, name: &str) -> Option<&str> {
        let value = self.value(name)?;
        let text = std::str::from_utf8(value).ok()?;
        (text != "null").then_some(text)
    }

    /// All fields in order: name and JSON text. A name that occurs twice is returned twice.
    pub fn fields(&self) -> impl Iterator<Item = (Cow<'_, str>, &str)> + '_ {
        self.members.iter().filter_map(|member| {
            let key = std::str::from_utf8(&self.body[member.key()]).ok()?;
            let value = std::str::from_utf8(&self.body[member.value()]).ok()?;
            let name = if member.is_escaped() {
                Cow::Owned(serde_json::from_str(key).ok()?)
            } else {
                Cow::Borrowed(&key[1..key.len() - 1])
            };
            Some((name, value))
        })
    }

    /// All fields as they are with `edits` applied, none of which may be a rename.
    pub(crate) fn fields_with<'f>(
        &'f self,
        edits: &'f [Edit<'f>],
    ) -> impl Iterator<Item = (Cow<'f, str>, &'f str)> {
        let own = self.fields().filter_map(|(name, value)| {
            match edits.iter().find(|edit| edit.name() == name) {
                Some(Edit::Remove(_)) => None,
                Some(Edit::Set(_, set)) => Some((name, &**set)),
                Some(Edit::Default(..) | Edit::Rename(..)) | None => Some((name, value)),
            }
        });
        let added = new_members(edits, |name| self.has(name));
        own.chain(added.map(|(name, value)| (Cow::Borrowed(name), value)))
    }

    /// Whether a field holds a list that is not empty.
    #[must_use]
    pub fn is_filled_list(&self, name: &str) -> bool {
        let value = self.value(name);
        let inner = value.and_then(|value| value.strip_prefix(b"["));
        inner.is_some_and(|inner| !inner.trim_ascii_start().starts_with(b"]"))
    }

    /// Whether a field is present and not `null`.
    #[must_use]
    pub fn is_set(&self, name: &str) -> bool {
        self.value(name).is_some_and(|value| value != b"null")
    }

    /// Whether a field is present, even if it is `null`.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.may_have(name)
            && self.members.iter().any(|member| object::key_is(&self.body, member, name))
    }

    /// Those of `names` that are present.
    pub fn holds(&self, names: &'static Names) -> impl Iterator<Item = &'static str> + '_ {
        self.members
            .iter()
            .filter_map(|member| position(names, &self.body, member))
            .map(|index| names.all()[index])
    }

    /// A field that holds a string.
    ///
    /// # Errors
    /// If it holds anything else.
    pub fn string(&self, field: &'static str) -> Result<Option<Cow<'_, str>>, PeekError> {
        let Some(raw) = self.raw(field) else { return Ok(None) };
        if let Some(plain) = raw.strip_prefix('"').and_then(|tail| tail.strip_suffix('"'))
            && memchr::memchr(b'\\', plain.as_bytes()).is_none()
        {
            return Ok(Some(Cow::Borrowed(plain)));
        }
        match serde_json::from_str::<String>(raw) {
            Ok(text) => Ok(Some(Cow::Owned(text))),
            Err(_) => Err(PeekError::Type { field, expected: "a string" }),
        }
    }

    /// A field that holds one word, such as the name of a format; `None` if it holds anything else or a long text.
    #[must_use]
    pub fn word(&self, field: &'static str) -> Option<Cow<'_, str>> {
        let place = self.value(field)?;
        if place.len() > WORD_MAX { None } else { self.string(field).ok()? }
    }

    /// A field that holds true or false.
    ///
    /// # Errors
    /// If it holds anything else.
    pub fn boolean(&self, field: &'static str) -> Result<Option<bool>, PeekError> {
        match self.raw(field) {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(PeekError::Type { field, expected: "true or false" }),
        }
    }

    /// A field that holds a whole number from 0 to 1000.
    ///
    /// # Errors
    /// If it holds anything else.
    pub fn count(&self, field: &'static str) -> Result<Option<u32>, PeekError> {
        let Some(raw) = self.raw(field) else { return Ok(None) };
        match raw.parse::<u32>() {
            Ok(count) if count <= 1000 => Ok(Some(count)),
            _ => Err(PeekError::Type { field, expected: "a whole number from 0 to 1000" }),
        }
    }

    /// A field that holds seconds above 0, as milliseconds.
    ///
    /// # Errors
    /// If it holds anything else.
    pub fn seconds(&self, field: &'static str) -> Result<Option<u64>, PeekError> {
        let Some(raw) = self.raw(field) else { return Ok(None) };
        match seconds_to_ms(raw) {
            Some(ms) => Ok(Some(ms)),
            None => Err(PeekError::Type {
                field,
                expected: "a number of seconds above 0, at most 86400",
            }),
        }
    }

    /// Whether the client asked for the usage in a stream.
    ///
    /// # Errors
    /// If `stream_options` is not an object.
    pub fn wants_usage(&self) -> Result<bool, PeekError> {
        #[derive(serde::Deserialize)]
        struct StreamOptions {
            include_usage: Option<bool>,
        }
        let Some(raw) = self.raw("stream_options") else { return Ok(false) };
        serde_json::from_str::<StreamOptions>(raw)
            .map(|options| options.include_usage == Some(true))
            .map_err(|_| PeekError::Type {
                field: "stream_options",
                expected: "an object whose `include_usage` is true or false",
            })
    }
}

/// The bit of a name's kind.
#[inline]
fn kind(name: &[u8]) -> u64 {
    1 << (fields::mark(name) % 64)
}

/// The name of `member`, if it is a field of which the gateway reads something.
#[cold]
fn small_field(body: &[u8], member: &Member) -> Option<&'static str> {
    Some(SMALL.all()[position(&SMALL, body, member)?])
}

/// The key of `member` as it is written; `None` if it has escapes.
fn written_name<'b>(body: &'b [u8], member: &Member) -> Option<&'b [u8]> {
    let key = member.key();
    if member.is_escaped() { None } else { body.get(key.start + 1..key.end - 1) }
}

/// The index in `names` of the key of `member`.
fn position(names: &Names, body: &[u8], member: &Member) -> Option<usize> {
    if let Some(name) = written_name(body, member) {
        // Most names differ by their length.
        let is_it = |known: &&str| known.len() == name.len() && known.as_bytes() == name;
        return names.may_have(name).then(|| names.all().iter().position(is_it)).flatten();
    }
    names.all().iter().position(|name| object::key_is(body, member, name))
}

/// The field that the key of `member` names in other letters than the gateway reads.
#[inline]
fn in_other_letters(body: &[u8], member: &Member) -> Option<&'static str> {
    // An escape has six bytes for one: a longer key is no name.
    let key = body.get(member.key()).filter(|key| key.len() <= 6 * 64 + 2)?;
    // Most keys have no capital and no byte beyond ASCII.
    let odd =
        key.iter().fold(0, |odd, byte| odd | u8::from(byte.is_ascii_uppercase()) | byte & 0x80);
    if odd == 0 && !member.is_escaped() { None } else { decoded_in_other_letters(key, member) }
}

#[cold]
fn decoded_in_other_letters(key: &[u8], member: &Member) -> Option<&'static str> {
    if member.is_escaped() {
        return fields::in_other_letters(&serde_json::from_slice::<String>(key).ok()?);
    }
    fields::in_other_letters(std::str::from_utf8(&key[1..key.len() - 1]).ok()?)
}

/// Seconds in a header or a body as milliseconds: more than 0, at most one day.
#[must_use]
pub fn seconds_to_ms(text: &str) -> Option<u64> {
    let seconds: f64 = text.trim().parse().ok()?;
    if !(seconds > 0.0 && seconds <= 86_400.0) {
        return None;
    }
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the range was checked above"
    )]
    let ms = (seconds * 1000.0).ceil() as u64;
    Some(ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peek(text: &str) -> Result<Peek, PeekError> {
        Peek::parse(Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn fields_are_read_in_place() {
        let body = peek(
            r#"{"model":"a\/b","stream":true,"stream_options":{"include_usage":true},"timeout":0.5,
               "num_retries":3,"fallbacks":["x",{"model":"y"}],"user":null}"#,
        )
        .unwrap();
        assert_eq!(body.string("model").unwrap().as_deref(), Some("a/b"));
        assert_eq!(body.boolean("stream"), Ok(Some(true)));
        assert_eq!(body.wants_usage(), Ok(true));
        assert_eq!(body.seconds("timeout"), Ok(Some(500)));
        assert_eq!(body.count("num_retries"), Ok(Some(3)));
        assert_eq!(body.raw("user"), None);
        assert!(body.is_filled_list("fallbacks") && !body.is_filled_list("model"));
        assert!(body.is_set("model") && !body.is_set("user") && !body.is_set("other"));
        assert!(!peek(r#"{"a":[ ]}"#).unwrap().is_filled_list("a"));
        assert!(body.has("user"));
    }

    #[test]
    fn wrong_types_name_the_field() {
        let body = peek(r#"{"model":5,"stream":"yes","timeout":-1,"num_retries":-1}"#).unwrap();
        assert_eq!(body.string("model").unwrap_err().param(), "model");
        assert_eq!(body.boolean("stream").unwrap_err().param(), "stream");
        assert_eq!(body.seconds("timeout").unwrap_err().param(), "timeout");
        assert_eq!(body.count("num_retries").unwrap_err().param(), "num_retries");
    }

    #[test]
    fn a_field_that_the_gateway_reads_may_occur_only_once() {
        let twice = peek(r#"{"model":"a","m\u006fdel":"b"}"#);
        assert_eq!(twice.unwrap_err(), PeekError::Duplicate("model"));
        assert_eq!(peek("").unwrap_err(), PeekError::Empty);
        assert_eq!(peek("[]").unwrap_err().param(), "request_body");
        assert!(peek(r#"{"seed":1,"seed":2,"Seed":3}"#).is_ok());
        for key in ["Model", "m\\u006fdeL", "\\u017ftream", "API_KEY", "Fallbacks"] {
            let other = peek(&format!(r#"{{"model":"a","{key}":"b"}}"#)).unwrap_err();
            assert!(matches!(other, PeekError::Letters(_)), "{key}: {other}");
        }
    }

    #[test]
    fn a_field_for_the_gateway_is_small_and_others_may_be_long() {
        let long = "x".repeat(READ_MAX);
        for field in ["model", "tags", "fallbacks", "litellm_metadata", "stream_options"] {
            let found = peek(&format!("{{\"{field}\":\"{long}\"}}"));
            assert_eq!(found.unwrap_err(), PeekError::Large(field));
            let escaped =
                format!("{{\"\\u{:04x}{}\":\"{long}\"}}", field.as_bytes()[0], &field[1..]);
            assert_eq!(peek(&escaped).unwrap_err().param(), field);
        }
        let body = peek(&format!("{{\"messages\":\"{long}\",\"size\":\"{long}\"}}")).unwrap();
        assert_eq!((body.word("size"), body.word("n")), (None, None));
        assert_eq!(peek(r#"{"size":"a\/b"}"#).unwrap().word("size").as_deref(), Some("a/b"));
    }

    #[test]
    fn seconds_outside_the_bounds_are_refused() {
        for text in ["NaN", "inf", "-1", "0", "abc", "", "1e9"] {
            assert_eq!(seconds_to_ms(text), None, "{text}");
        }
        assert_eq!(seconds_to_ms(" 1.5 "), Some(1500));
    }
}
