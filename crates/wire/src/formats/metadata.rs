//! `metadata`: clients of LiteLLM put more into it than the OpenAI wire accepts.
//!
//! Called by the edits of that wire's formats. Always true: it may have any size, and no tree is built of it.

use crate::bytes::scan;

/// Whether `raw` is a map of strings, which is all that a provider accepts.
pub(crate) fn is_map_of_strings(raw: &str) -> bool {
    let mut all = true;
    let scanned = scan::members(raw.as_bytes(), |_, value| {
        all &= raw.as_bytes().get(value.start) == Some(&b'"');
    });
    scanned.is_ok() && all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_of_strings_has_no_other_values() {
        for map in ["{}", r#"{ "a" : "b" }"#, r#"{"a":"b","a":"{"}"#] {
            assert!(is_map_of_strings(map), "{map}");
        }
        for other in [r#"{"a":1}"#, r#"{"a":"b","c":null}"#, r#"["a"]"#, "\"a\"", "1"] {
            assert!(!is_map_of_strings(other), "{other}");
        }
    }
}
