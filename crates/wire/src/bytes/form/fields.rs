//! The text fields of a form as a JSON object, so that one reader serves JSON and forms.
//!
//! Called by [`crate::bytes::peek`]. Always true: a file or a very long text appears as an empty object; a field
//! that the gateway reads has the type that it has in a JSON request.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::scan::FormError;
use crate::bytes::edit::json_string;
use crate::bytes::fields::{Objection, READ, is_removed, objection};
use crate::bytes::json::JsonText;

/// Longest text that is read, in bytes: of a field that the gateway reads, and of any other.
const TEXT_MAX: usize = 16 << 10;
const OTHER_MAX: usize = 1 << 10;
/// Longest texts of one form that are read, in bytes.
const TEXTS_MAX: usize = 64 << 10;
/// The value of all others.
const UNREAD: &str = "{}";

/// The object made of these parts: name, content, and whether it is a file.
///
/// # Errors
/// If a field that the gateway reads uses a notation that it does not read.
pub(crate) fn fields<'f>(
    parts: impl Iterator<Item = (&'f [u8], &'f [u8], bool)>,
) -> Result<Vec<u8>, FormError> {
    let mut json = JsonText::new();
    json.open(b'{');
    let mut tags: Vec<String> = Vec::new();
    let mut lists: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut left = TEXTS_MAX;
    for (name, content, is_file) in parts {
        let name = String::from_utf8_lossy(name);
        let (field, within) = name.find('[').map_or((&*name, ""), |at| name.split_at(at));
        let speaks_to_us = is_removed(field)
            || READ.has(field)
            || matches!(field, "metadata" | "n" | "temperature");
        let most = left.min(if speaks_to_us { TEXT_MAX } else { OTHER_MAX });
        let content = Some(content).filter(|content| !is_file && content.len() <= most);
        let word = content.and_then(|content| std::str::from_utf8(content).ok());
        left -= word.map_or(0, str::len);
        if objection(field, UNREAD) == Some(Objection::Credential) {
            json.raw_member(field, UNREAD);
            continue;
        }
        if !speaks_to_us {
            let value = word.map_or(Cow::Borrowed(UNREAD), |word| json_string(word).into());
            json.raw_member(&name, &value);
            continue;
        }
        let value = word.map_or(Cow::Borrowed(UNREAD), |word| typed(field, word));
        match within {
            "" => {
                json.raw_member(field, &value);
            }
            "[]" => lists.entry(field.to_owned()).or_default().push(value.into_owned()),
            "[tags][]" if field == "metadata" => tags.push(value.into_owned()),
            // The gateway does not read it, but has to know that it is present: it must not be forwarded.
            _ if field.ends_with("metadata") => {
                json.raw_member(field, UNREAD);
            }
            _ => return Err(FormError::Nested(name.to_string(), field.to_owned())),
        }
    }
    if !tags.is_empty() {
        json.raw_member("metadata", &format!("{{\"tags\":[{}]}}", tags.join(",")));
    }
    for (name, values) in lists {
        json.raw_member(&name, &format!("[{}]", values.join(",")));
    }
    json.close(b'}');
    Ok(json.into_bytes())
}

/// A text that the gateway reads, as JSON. Clients write `True` as well as `true`.
fn typed<'w>(field: &str, word: &'w str) -> Cow<'w, str> {
    if field == "model" || field.ends_with("_id") {
        return json_string(word).into();
    }
    let trimmed = word.trim();
    for truth in ["true", "false"] {
        if trimmed.eq_ignore_ascii_case(truth) {
            return truth.into();
        }
    }
    match serde_json::from_str::<&RawValue>(trimmed) {
        Ok(raw) => raw.get().into(),
        Err(_) => json_string(word).into(),
    }
}
