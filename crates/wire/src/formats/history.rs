//! A conversation that the gateway keeps for clients of responses, as the input of the next request.
//!
//! Called by the gateway, which keeps what each request added and what it was answered. Always true: what was kept stands in the
//! order in which it was said, unchanged, before what the client adds.

use crate::bytes::edit::Edit;
use crate::bytes::elements::elements;
use crate::bytes::members::texts;
use crate::bytes::peek::Peek;

/// What one request added, and the response, as JSON texts.
#[derive(Clone, Copy, Debug)]
pub struct Exchanged<'a> {
    /// The `input` of the request.
    pub input: &'a str,
    /// The response to it.
    pub response: &'a str,
}

/// The request with all that was said before it in place of the id of the last response; `None` if that is no list of items.
#[must_use]
pub fn with_past(peek: &Peek, past: &[Exchanged<'_>]) -> Option<Peek> {
    let mut input = String::from("[");
    for Exchanged { input: asked, response } in past {
        add(&mut input, asked)?;
        add(&mut input, output(response)?)?;
    }
    add(&mut input, peek.raw("input").unwrap_or("[]"))?;
    input.push(']');
    let edits = [Edit::Set("input", input.into()), Edit::Remove("previous_response_id")];
    Peek::parse(peek.edited(&edits)).ok()
}

/// The items of a response.
#[must_use]
pub fn output(response: &str) -> Option<&str> {
    texts(response, ["output"]).ok()?[0]
}

/// The items of a request as a page of a list.
#[must_use]
pub fn listed(input: &str) -> Option<Vec<u8>> {
    let mut items = String::new();
    add(&mut items, input)?;
    let list = format!(
        r#"{{"object":"list","data":[{items}],"first_id":null,"last_id":null,"has_more":false}}"#
    );
    Some(list.into_bytes())
}

/// Appends the items of `raw`, a list of them or a text of the user's.
fn add(to: &mut String, raw: &str) -> Option<()> {
    let raw = raw.trim();
    let message;
    let items = if raw.starts_with('"') {
        message = format!(r#"{{"type":"message","role":"user","content":{raw}}}"#);
        &message
    } else {
        elements(raw)?;
        raw.strip_prefix('[')?.strip_suffix(']')?.trim()
    };
    if !items.is_empty() {
        if !to.is_empty() && !to.ends_with('[') {
            to.push(',');
        }
        to.push_str(items);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_before_stands_before_what_the_client_adds() {
        let past = [
            Exchanged {
                input: "\"hi\"",
                response: r#"{"id":"a","output":[{"type":"x"}, {"y":1}]}"#,
            },
            Exchanged { input: " [ ] ", response: r#"{"output":[]}"# },
            Exchanged { input: r#"[{"b":[1]}]"#, response: r#"{"output":[{"c":2}]}"# },
        ];
        let body = r#"{"model":"m","previous_response_id":"a","input":"go on","store":true}"#;
        let peek = Peek::parse(body.into()).unwrap();
        let whole = with_past(&peek, &past).unwrap();
        assert_eq!(
            whole.raw("input"),
            Some(concat!(
                r#"[{"type":"message","role":"user","content":"hi"},{"type":"x"}, {"y":1},{"b":[1]},{"c":2},"#,
                r#"{"type":"message","role":"user","content":"go on"}]"#
            ))
        );
        assert!(whole.raw("previous_response_id").is_none() && whole.raw("store").is_some());
        for broken in ["", "{}", "[", "1"] {
            assert!(
                with_past(&peek, &[Exchanged { input: broken, response: r#"{"output":[]}"# }])
                    .is_none()
            );
        }
        assert!(with_past(&peek, &[Exchanged { input: "[]", response: "{}" }]).is_none());
        let list = String::from_utf8(listed("\"hi\"").unwrap()).unwrap();
        assert!(
            list.contains(r#""data":[{"type":"message","role":"user","content":"hi"}]"#),
            "{list}"
        );
    }
}
