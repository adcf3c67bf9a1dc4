//! Finds members of a JSON object by name, as ranges of its text.
//!
//! Called by the formats for answers and events. Always true: a text that is not one JSON object is an error;
//! `null` counts as absent; of two members with the same name the last one counts.

use std::ops::Range;

use super::scan::{self, ScanError};

/// The range of a member's value; `None` if there is no such member.
pub(crate) type Place = Option<Range<usize>>;

/// The ranges of the members with these `names` in `text`, which must be UTF-8.
#[inline]
pub(crate) fn places<const N: usize>(
    text: &[u8],
    names: [&str; N],
) -> Result<[Place; N], ScanError> {
    let mut found = [const { None }; N];
    scan::members(text, |key, value| note(&names, &mut found, text, (key, value)))?;
    Ok(found)
}

/// The texts of the members with these `names` in `text`.
#[inline]
pub(crate) fn texts<'t, const N: usize>(
    text: &'t str,
    names: [&str; N],
) -> Result<[Option<&'t str>; N], ScanError> {
    Ok(places(text.as_bytes(), names)?.map(|place| place.map(|place| &text[place])))
}

/// The range of the key of the last member called `name`, its quotes included.
#[cold]
pub(crate) fn key_place(text: &str, name: &str) -> Place {
    let mut found = None;
    let scanned = scan::members(text.as_bytes(), |key, _| {
        if &text[key.start + 1..key.end - 1] == name {
            found = Some(key);
        }
    });
    scanned.ok().and(found)
}

/// Notes in `found` the member of `text` with this key and value, if it has one of these `names`. Inlined for events,
/// whose names are constants.
#[inline(always)]
pub(crate) fn note<const N: usize>(
    names: &[&str; N],
    found: &mut [Place; N],
    text: &[u8],
    (key, value): (Range<usize>, Range<usize>),
) {
    // The range of a key includes its quotes.
    let name = &text[key.start + 1..key.end - 1];
    if let Some(index) = names.iter().position(|known| known.as_bytes() == name) {
        found[index] = (&text[value.clone()] != b"null").then_some(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_is_absent_and_the_last_of_two_members_counts() {
        let text = r#"{"a":1,"b":null,"c":[2],"a":{"d":3},"c":null}"#;
        let [a, b, c, d] = texts(text, ["a", "b", "c", "d"]).unwrap();
        assert_eq!((a, b, c, d), (Some(r#"{"d":3}"#), None, None, None));
        assert_eq!(places(text.as_bytes(), ["a"]), Ok([Some(28..35)]));
        assert!(texts("[]", ["a"]).is_err());
    }
}
