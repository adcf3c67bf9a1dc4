//! Images in the history of a request for a model that sees none: words stand in their place.
//!
//! Called by the conversion, and by the controls for what a request needs. Always true: an image that the user shows in the
//! last message stays, so that its provider says what it lacks; all other bytes of the messages stay as they are.

use std::borrow::Cow;

use hale_core::operation::Operation;

use super::order::Order;
use crate::bytes::edit::{self, Edit};
use crate::bytes::elements::elements;
use crate::bytes::members::texts;
use crate::bytes::object;
use crate::bytes::peek::Peek;

/// A part of a message that says what was there, in either format.
const WORDS: &str = r#"{"type":"text","text":"[an image, which this model cannot see]"}"#;

/// Where the images of a request are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Images {
    /// Nowhere.
    Absent,
    /// In earlier messages, and in results of tools.
    Past,
    /// In the words of the user that are to be answered, too.
    Shown,
}

/// Whether the request has images, and none of them in the words of the user that are to be answered: a session goes on with a
/// model that sees none.
#[must_use]
pub fn are_past(peek: &Peek) -> bool {
    peek.raw("messages").is_some_and(|messages| find(messages) == Images::Past)
}

/// The request with words in place of its images, if its model is known to see none and the request can do without.
pub(crate) fn in_words(peek: &Peek, order: &Order<'_>) -> Option<Peek> {
    if !order.known.has_no_images() {
        return None;
    }
    match order.operation {
        Operation::Chat | Operation::Messages => {}
        _ => return None,
    }
    let messages = peek.raw("messages").filter(|messages| find(messages) == Images::Past)?;
    let edit = Edit::Set("messages", Cow::Owned(replaced(messages)?));
    Peek::parse(peek.edited(&[edit])).ok()
}

fn find(messages: &str) -> Images {
    let (mut has_images, mut last) = (false, "");
    for message in elements(messages).into_iter().flatten() {
        has_images |= content(message).is_some_and(holds_image);
        last = message;
    }
    let is_user = matches!(texts(last, ["role"]), Ok([Some("\"user\"")]));
    match (has_images, content(last)) {
        (false, _) => Images::Absent,
        (true, Some(parts)) if is_user && parts_of(parts).any(is_image) => Images::Shown,
        (true, _) => Images::Past,
    }
}

/// The content of a message or of a result.
fn content(object: &str) -> Option<&str> {
    texts(object, ["content"]).ok().and_then(|[content]| content)
}

fn parts_of(content: &str) -> impl Iterator<Item = &str> {
    elements(content).into_iter().flatten()
}

fn kind(part: &str) -> Option<&str> {
    texts(part, ["type"]).ok().and_then(|[kind]| kind)
}

fn is_image(part: &str) -> bool {
    matches!(kind(part), Some("\"image_url\"" | "\"image\"" | "\"input_image\""))
}

fn is_result(part: &str) -> bool {
    kind(part) == Some("\"tool_result\"")
}

/// Whether a content has an image, possibly within the result of a tool.
fn holds_image(parts: &str) -> bool {
    parts_of(parts).any(|part| {
        is_image(part)
            || (is_result(part) && content(part).is_some_and(|it| parts_of(it).any(is_image)))
    })
}

/// The list of messages with words in place of images; `None` if nothing changes.
fn replaced(messages: &str) -> Option<String> {
    list(messages, |message| {
        let parts = content(message).filter(|parts| holds_image(parts))?;
        with_content(message, list(parts, part_in_words)?)
    })
}

fn part_in_words(part: &str) -> Option<String> {
    if is_image(part) {
        return Some(WORDS.to_owned());
    }
    let within = content(part).filter(|_| is_result(part))?;
    let words = |part: &str| is_image(part).then(|| WORDS.to_owned());
    with_content(part, list(within, words)?)
}

/// The list with each element replaced for which `change` has another one; `None` if there is none.
fn list(text: &str, change: impl Fn(&str) -> Option<String>) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    out.push('[');
    let mut is_changed = false;
    for element in elements(text)? {
        if out.len() > 1 {
            out.push(',');
        }
        let changed = change(element);
        is_changed |= changed.is_some();
        out.push_str(changed.as_deref().unwrap_or(element));
    }
    out.push(']');
    is_changed.then_some(out)
}

/// The object with that content.
fn with_content(object: &str, content: String) -> Option<String> {
    let members = object::members(object.as_bytes()).ok()?;
    let edits = [Edit::Set("content", Cow::Owned(content))];
    String::from_utf8(edit::apply(object.as_bytes(), &members, &edits).into()).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn image() -> Value {
        json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}})
    }

    fn block() -> Value {
        json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA"}})
    }

    fn text(text: &str) -> Value {
        json!({"type": "text", "text": text})
    }

    fn user(parts: &[Value]) -> Value {
        json!({"role": "user", "content": parts})
    }

    fn words() -> Value {
        serde_json::from_str(WORDS).unwrap()
    }

    #[test]
    fn an_image_is_past_unless_the_user_shows_it_in_the_last_message() {
        let answer = json!({"role": "assistant", "content": "nice"});
        let result = json!({"type": "tool_result", "tool_use_id": "t", "content": [block()]});
        let plain = json!({"role": "user", "content": "and now?"});
        for (messages, expected) in [
            (vec![plain.clone()], Images::Absent),
            (vec![user(&[text("\"image_url\" in a text")])], Images::Absent),
            (vec![user(&[text("see"), image()])], Images::Shown),
            (vec![user(&[image()]), answer.clone(), user(&[block()])], Images::Shown),
            (vec![user(&[image()]), answer.clone(), plain.clone()], Images::Past),
            (vec![user(&[image()]), plain.clone()], Images::Past),
            (vec![user(&[result.clone(), text("go on")])], Images::Past),
            (
                vec![json!({"role": "tool", "tool_call_id": "t", "content": [image()]})],
                Images::Past,
            ),
            (vec![user(&[result, block()])], Images::Shown),
        ] {
            let raw = Value::from(messages).to_string();
            assert_eq!(find(&raw), expected, "{raw}");
        }
        for raw in ["[]", "{}", "null", "[1]", "[{\"content\":{\"type\":\"image\"}}]"] {
            assert_eq!(find(raw), Images::Absent, "{raw}");
        }
    }

    #[test]
    fn words_stand_in_place_of_each_image_and_all_else_stays_as_it_is() {
        let result =
            |content: Value| json!({"type": "tool_result", "tool_use_id": "t", "content": content});
        let given = json!([
            user(&[text("a \"quoted\" image"), image(), block()]),
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "read", "input": {"type": "image"}}]},
            user(&[result(json!([text("x"), block()])), result(json!("image"))]),
        ]);
        let expected = json!([
            user(&[text("a \"quoted\" image"), words(), words()]),
            given[1],
            user(&[result(json!([text("x"), words()])), result(json!("image"))]),
        ]);
        let changed = replaced(&given.to_string()).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&changed).unwrap(), expected);
        assert_eq!(replaced(&expected.to_string()), None);
    }
}
