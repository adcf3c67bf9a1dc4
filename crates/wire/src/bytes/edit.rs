//! Edits of a JSON object's top-level members, applied to its text in one pass.
//!
//! The formats build a list of edits for each attempt. Always true: bytes that no edit names are copied as they
//! are, and the result is valid JSON whenever the input was.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;

use super::object::{Member, key_is};
use super::plain;

/// One edit. Values are JSON text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit<'e> {
    /// Sets the member to this value, adding it if it is missing.
    Set(&'e str, Cow<'e, str>),
    /// Adds the member if it is missing.
    Default(&'e str, &'e str),
    /// Renames the member; if the new name exists already, the member is removed instead.
    Rename(&'e str, &'e str),
    /// Removes the member.
    Remove(&'e str),
}

impl Edit<'_> {
    /// The name of the member that it edits.
    pub(crate) fn name(&self) -> &str {
        match self {
            Edit::Set(name, _)
            | Edit::Default(name, _)
            | Edit::Rename(name, _)
            | Edit::Remove(name) => name,
        }
    }

    /// The most bytes that it can add.
    fn most_added(&self) -> usize {
        match self {
            Edit::Set(name, value) => name.len() + value.len() + 4,
            Edit::Default(name, value) => name.len() + value.len() + 4,
            Edit::Rename(_, to) => to.len() + 2,
            Edit::Remove(_) => 0,
        }
    }
}

/// The object `body`, which has these `members`, with `edits` applied. The first edit that names a member wins.
#[must_use]
pub(crate) fn apply(body: &[u8], members: &[Member], edits: &[Edit<'_>]) -> Bytes {
    let has = |name: &str| members.iter().any(|member| key_is(body, member, name));
    let added: usize = edits.iter().map(Edit::most_added).sum();
    let mut out = Vec::with_capacity(body.len() + added);
    let mut kept_any = false;
    let open = members.first().map_or_else(
        || memchr::memchr(b'{', body).map_or(0, |at| at + 1),
        |first| first.key().start,
    );
    out.extend_from_slice(&body[..open]);
    let mut previous_end = open;
    for member in members {
        let (key, value) = (member.key(), member.value());
        let edit = edits.iter().find(|edit| key_is(body, member, edit.name()));
        let separator = &body[previous_end..key.start];
        previous_end = value.end;
        if edit.is_some_and(|edit| match edit {
            Edit::Remove(_) => true,
            Edit::Rename(_, to) => has(to),
            Edit::Set(..) | Edit::Default(..) => false,
        }) {
            continue;
        }
        if kept_any {
            out.extend_from_slice(separator);
        }
        kept_any = true;
        match edit {
            Some(Edit::Rename(_, to)) => push_string(&mut out, to),
            _ => out.extend_from_slice(&body[key.clone()]),
        }
        out.extend_from_slice(&body[key.end..value.start]);
        match edit {
            Some(Edit::Set(_, text)) => out.extend_from_slice(text.as_bytes()),
            _ => out.extend_from_slice(&body[value]),
        }
    }
    for (name, value) in new_members(edits, has) {
        if kept_any {
            out.push(b',');
        }
        kept_any = true;
        push_string(&mut out, name);
        out.push(b':');
        out.extend_from_slice(value.as_bytes());
    }
    // Each separator is copied with the member after it, so removing the last member leaves no comma.
    out.extend_from_slice(&body[previous_end..]);
    Bytes::from(out)
}

/// The members that `edits` add. `has` says which members the object has already.
pub(crate) fn new_members<'e>(
    edits: &'e [Edit<'e>],
    has: impl Fn(&str) -> bool + 'e,
) -> impl Iterator<Item = (&'e str, &'e str)> {
    edits.iter().enumerate().filter_map(move |(index, edit)| {
        let (name, value): (&str, &str) = match edit {
            Edit::Set(name, value) => (name, value),
            Edit::Default(name, value) => (name, value),
            Edit::Rename(..) | Edit::Remove(_) => return None,
        };
        let is_there = has(name)
            || edits[..index].iter().any(|earlier| match earlier {
                Edit::Rename(from, to) => *to == name && has(from),
                other => other.name() == name,
            });
        (!is_there).then_some((name, value))
    })
}

/// A range of a text and what replaces it.
pub(crate) type Patch = (Range<usize>, Box<str>);

/// `text` with `patches` applied. They must be in order and must not overlap.
pub(crate) fn patched(text: &[u8], patches: &[Patch]) -> Vec<u8> {
    let added: usize = patches.iter().map(|(_, with)| with.len()).sum();
    let mut out = Vec::with_capacity(text.len() + added);
    let mut done = 0;
    for (place, with) in patches {
        out.extend_from_slice(&text[done..place.start]);
        out.extend_from_slice(with.as_bytes());
        done = place.end;
    }
    out.extend_from_slice(&text[done..]);
    out
}

/// `text` as a JSON string, appended to `out`.
pub fn push_string(out: &mut Vec<u8>, text: &str) {
    if plain::length(text.as_bytes()) == text.len() {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        // Writing a string to memory cannot fail.
        let _written: Result<(), _> = serde_json::to_writer(out, text);
    }
}

/// `text` as a JSON string.
#[must_use]
pub fn json_string(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len() + 2);
    push_string(&mut out, text);
    String::from_utf8(out).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::bytes::object::members;

    fn edited(text: &str, edits: &[Edit<'_>]) -> String {
        let members = members(text.as_bytes()).unwrap();
        String::from_utf8(apply(text.as_bytes(), &members, edits).to_vec()).unwrap()
    }

    fn set<'e>(name: &'e str, value: &'e str) -> Edit<'e> {
        Edit::Set(name, Cow::Borrowed(value))
    }

    #[test]
    fn only_what_an_edit_names_changes() {
        let text = "{ \"model\" : \"a\" ,\n \"x\":[1, 2] , \"y\" : 1.0e5 }";
        assert_eq!(
            edited(text, &[set("model", "\"b\"")]),
            "{ \"model\" : \"b\" ,\n \"x\":[1, 2] , \"y\" : 1.0e5 }"
        );
        assert_eq!(edited(text, &[]), text);
    }

    #[test]
    fn members_come_and_go_with_their_commas() {
        let text = r#"{"a":1,"b":2,"c":3}"#;
        assert_eq!(edited(text, &[Edit::Remove("a")]), r#"{"b":2,"c":3}"#);
        assert_eq!(edited(text, &[Edit::Remove("c")]), r#"{"a":1,"b":2}"#);
        assert_eq!(edited(text, &[Edit::Remove("a"), Edit::Remove("b"), Edit::Remove("c")]), "{}");
        assert_eq!(
            edited(text, &[Edit::Remove("c"), set("d", "4"), Edit::Default("a", "9")]),
            r#"{"a":1,"b":2,"d":4}"#
        );
        assert_eq!(edited("{ }", &[set("a", "1")]), r#"{"a":1 }"#);
    }

    #[test]
    fn no_member_comes_twice() {
        let edits = [Edit::Rename("a", "b"), Edit::Default("b", "9")];
        assert_eq!(edited(r#"{"a":1}"#, &edits), r#"{"b":1}"#);
        assert_eq!(edited("{}", &[Edit::Remove("a"), set("a", "1")]), "{}");
        assert_eq!(edited("{}", &[set("a", "1"), Edit::Default("a", "2")]), r#"{"a":1}"#);
    }

    #[test]
    fn a_rename_gives_way_to_the_new_name() {
        assert_eq!(edited(r#"{"a":1}"#, &[Edit::Rename("a", "b")]), r#"{"b":1}"#);
        assert_eq!(edited(r#"{"a":1,"b":2}"#, &[Edit::Rename("a", "b")]), r#"{"b":2}"#);
        assert_eq!(edited(r#"{"c":1}"#, &[Edit::Rename("a", "b")]), r#"{"c":1}"#);
    }

    proptest! {
        #[test]
        fn edits_keep_json_valid_and_are_idempotent(
            members in proptest::collection::vec(("[a-e]", "[1-9][0-9]{0,2}|\"[a-z\\\\n]{0,4}\"|\\[1, 2\\]"), 0..6),
            space in "[ \n]{0,2}",
        ) {
            let mut seen = std::collections::BTreeSet::new();
            let fields: Vec<String> = members
                .iter()
                .filter(|(key, _)| seen.insert(key.clone()))
                .map(|(key, value)| format!("{space}\"{key}\"{space}:{space}{}", value.replace('\\', "\\\\")))
                .collect();
            let text = format!("{{{}{space}}}", fields.join(","));
            let edits =
                [set("a", "\"new\""), Edit::Remove("b"), Edit::Rename("c", "cc"), Edit::Default("d", "0")];
            let once = edited(&text, &edits);
            let value: serde_json::Value = serde_json::from_str(&once).unwrap();
            prop_assert_eq!(&value["a"], "new");
            prop_assert!(value.get("b").is_none() && value.get("c").is_none());
            prop_assert!(value.get("d").is_some());
            let before: serde_json::Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(value.get("e"), before.get("e"));
            prop_assert_eq!(edited(&once, &edits), once);
        }
    }
}
