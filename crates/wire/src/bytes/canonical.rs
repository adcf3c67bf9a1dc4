//! JSON text in the one form that all texts of the same meaning share.
//!
//! Called for the keys of kept answers. Always true: white space and the way a character is escaped do not matter; the
//! order of members below the first level and the way a number is written do, because they may change an answer.

use super::object::unescaped;
use super::plain;

/// Feeds the canonical form of the value `text`, which must be JSON.
pub(crate) fn feed(text: &str, out: &mut impl FnMut(&[u8])) {
    let mut tail = text.as_bytes();
    while let Some(byte) = tail.first() {
        tail = match byte {
            b' ' | b'\n' | b'\r' | b'\t' => &tail[1..],
            b'"' => {
                out(b"\"");
                let after = string(&tail[1..], out);
                out(b"\"");
                after
            }
            _ => {
                let ends = |byte: &u8| matches!(byte, b' ' | b'\n' | b'\r' | b'\t' | b'"');
                let length = tail.iter().position(ends).unwrap_or(tail.len());
                out(&tail[..length]);
                &tail[length..]
            }
        };
    }
}

/// Feeds the name of a member, whose quotes were taken off and whose escapes were read.
pub(crate) fn feed_name(name: &str, out: &mut impl FnMut(&[u8])) {
    out(b"\"");
    name.chars().for_each(|character| feed_char(character, out));
    out(b"\":");
}

/// Feeds the string whose opening quote stands before `text`; what follows its closing quote.
fn string<'t>(text: &'t [u8], out: &mut impl FnMut(&[u8])) -> &'t [u8] {
    let mut tail = text;
    loop {
        let length = plain::length(tail);
        out(&tail[..length]);
        tail = &tail[length..];
        let Some((first, after)) = tail.split_first() else { return tail };
        match first {
            b'\\' => match unescaped(after) {
                Some((character, behind)) => {
                    feed_char(character, out);
                    tail = behind;
                }
                // Half a character: as it is written.
                None => {
                    out(b"\\");
                    tail = after;
                }
            },
            b'"' => return after,
            // A control character is no JSON.
            other => {
                out(&[*other]);
                tail = after;
            }
        }
    }
}

/// What needs an escape gets the same one, whichever it had.
fn feed_char(character: char, out: &mut impl FnMut(&[u8])) {
    match character {
        '"' => out(b"\\\""),
        '\\' => out(b"\\\\"),
        '\0'..='\x1f' => out(format!("\\u{:04x}", u32::from(character)).as_bytes()),
        _ => out(character.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn canonical(text: &str) -> String {
        let mut out = Vec::new();
        feed(text, &mut |piece| out.extend_from_slice(piece));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn texts_of_the_same_meaning_share_a_form() {
        for (one, other) in [
            (r#"{ "a" : [ 1 , "x y" ] }"#, r#"{"a":[1,"x y"]}"#),
            (r#""\u0041\/\u00e9\ud83d\ude00""#, "\"A/\u{e9}\u{1f600}\""),
            (r#""\n\u000a\u001F""#, r#""\u000A\n\u001f""#),
            (r#""\u0022\u005c""#, r#""\"\\""#),
        ] {
            assert_eq!(canonical(one), canonical(other), "{one}");
        }
    }

    #[test]
    fn texts_of_another_meaning_do_not() {
        for (one, other) in [
            (r#"["a\",\"b"]"#, r#"["a","b"]"#),
            (r#""a b""#, r#""ab""#),
            (r#"{"a":1,"b":2}"#, r#"{"b":2,"a":1}"#),
            ("1", "1.0"),
            (r#""\\n""#, r#""\n""#),
            (r#""\ud83d""#, r#""\ude00""#),
        ] {
            assert_ne!(canonical(one), canonical(other), "{one}");
        }
    }

    proptest! {
        #[test]
        fn the_form_is_json_of_the_same_value(text in "[ -~\u{0}-\u{1f}é😀\"\\\\]{0,40}") {
            let value = Value::from(vec![Value::from(text), Value::from(1)]);
            let form = canonical(&serde_json::to_string_pretty(&value).unwrap());
            prop_assert_eq!(serde_json::from_str::<Value>(&form).unwrap(), value);
            prop_assert_eq!(&canonical(&form), &form);
        }
    }
}
