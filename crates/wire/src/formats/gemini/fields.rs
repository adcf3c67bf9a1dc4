//! The members of an object of Google's format by their names, which clients write in two ways.
//!
//! Called by the readers of requests. Always true: `functionCall` and `function_call` are one name, and `null` is absent;
//! objects of the client's own (arguments, schemas) are never looked into with it.

use std::borrow::Cow;

use crate::bytes::object;
use crate::formats::neutral::{Json, Text, Unfit};
use crate::formats::unfit::field;

/// The members of one object.
#[derive(Debug, Default)]
pub(super) struct Fields<'a>(Vec<(Text<'a>, &'a str)>);

impl<'a> Fields<'a> {
    /// The members of the object `raw`, which stands at `at` in the request.
    pub(super) fn of(at: &str, raw: &'a str) -> Result<Fields<'a>, Unfit> {
        if !raw.starts_with('{') {
            return Err(Unfit::malformed(at, "it must be an object"));
        }
        let members = object::members(raw.as_bytes()).map_err(|why| Unfit::malformed(at, why))?;
        let mut fields = Vec::with_capacity(members.len());
        for member in &members {
            let key = &raw[member.key()];
            let name: Text<'a> = match member.is_escaped() {
                true => Cow::Owned(field::<String>(at, key)?),
                false => Cow::Borrowed(&key[1..key.len() - 1]),
            };
            let value = &raw[member.value()];
            if value != "null" {
                fields.push((camel(name), value));
            }
        }
        Ok(Fields(fields))
    }

    /// The value with that name in camel case. Of two the last one counts.
    pub(super) fn get(&self, name: &str) -> Option<&'a str> {
        self.0.iter().rev().find(|(given, _)| given == name).map(|(_, raw)| *raw)
    }

    /// The text with that name.
    pub(super) fn text(&self, at: &str, name: &str) -> Result<Option<Text<'a>>, Unfit> {
        self.get(name).map(|raw| text(&format!("{at}.{name}"), raw)).transpose()
    }

    /// Whether it is there and true.
    pub(super) fn is_true(&self, name: &str) -> bool {
        self.get(name) == Some("true")
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &'a str)> {
        self.0.iter().map(|(name, raw)| (&**name, *raw))
    }
}

/// The text `raw`, which stands at `at`.
pub(super) fn text<'a>(at: &str, raw: &'a str) -> Result<Text<'a>, Unfit> {
    if !raw.starts_with('"') {
        return Err(Unfit::malformed(at, "it must be a text"));
    }
    field::<crate::bytes::json::Str<'a>>(at, raw).map(Text::from)
}

/// A name in camel case, as the format's own documents have it.
pub(super) fn camel(name: Text<'_>) -> Text<'_> {
    // One that begins so is of a client's own, or an old name of a field with the same meaning.
    let name = match name {
        Cow::Borrowed(name) => Cow::Borrowed(name.strip_prefix('_').unwrap_or(name)),
        Cow::Owned(name) => Cow::Owned(name),
    };
    if !name.contains('_') {
        return name;
    }
    let mut out = String::with_capacity(name.len());
    let mut is_next = false;
    for letter in name.chars() {
        match letter {
            '_' => is_next = true,
            letter if is_next => {
                out.extend(letter.to_uppercase());
                is_next = false;
            }
            letter => out.push(letter),
        }
    }
    Cow::Owned(out)
}

/// A number, which the format's libraries may write as a text, and whole ones with a point.
pub(super) fn number(raw: &str) -> Json<'_> {
    let bare = raw.strip_prefix('"').and_then(|raw| raw.strip_suffix('"')).unwrap_or(raw);
    let bare = bare.strip_suffix(".0").unwrap_or(bare);
    match bare.parse::<f64>() {
        Ok(_) => Cow::Borrowed(bare),
        // The provider says what is wrong with it.
        Err(_) => Cow::Borrowed(raw),
    }
}
