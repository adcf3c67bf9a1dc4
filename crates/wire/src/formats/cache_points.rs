//! Marks for the cache of Anthropic's format that the config of a deployment adds to a request.
//!
//! Called by the conversion, for clients of both formats. Always true: a message that has a mark gets no other; there are at
//! most four marks with those of the client; nothing but marks is added, and the last ones count where there are too many.

use std::borrow::Cow;

use hale_core::deployment::CachePlace;
use hale_core::provider::WireFormat;

use super::order::Order;
use crate::bytes::edit::{self, Edit};
use crate::bytes::elements::elements;
use crate::bytes::members::texts;
use crate::bytes::object;
use crate::bytes::peek::Peek;

/// How many marks a request may have. Source: <https://platform.claude.com/docs/en/build-with-claude/prompt-caching>.
const MARKS_MAX: usize = 4;
const MARK: &str = "cache_control";
const QUOTED: &[u8] = b"\"cache_control\"";

/// The edits of a client's body in `format`; `messages` are those of it, or what became of them.
pub(crate) fn edits(peek: &Peek, order: &Order<'_>, messages: Option<&str>) -> Vec<Edit<'static>> {
    let points = &order.deployment.endpoint.rules.cache_points;
    let has_marks = matches!(order.wire(), WireFormat::Anthropic | WireFormat::Converse);
    if points.is_empty() || !has_marks {
        return Vec::new();
    }
    let format = order.operation.format();
    let given = memchr::memmem::find_iter(peek.body(), QUOTED).count();
    let mut left = MARKS_MAX.saturating_sub(given);
    let messages = messages.or_else(|| peek.raw("messages"));
    let mut chosen: Vec<Option<&str>> =
        messages.and_then(elements).into_iter().flatten().map(|_| None).collect();
    let mut edits = Vec::new();
    for point in points {
        if left == 0 {
            break;
        }
        let control = &*point.control;
        match &point.place {
            CachePlace::Role(role) if &**role == "system" && format == WireFormat::Anthropic => {
                let marked = peek.raw("system").and_then(|raw| of_content(raw, control));
                left -= usize::from(marked.is_some());
                edits.extend(marked.map(|raw| Edit::Set("system", Cow::Owned(raw))));
            }
            CachePlace::Tools => {
                let marked = peek.raw("tools").and_then(|raw| of_last(raw, control));
                left -= usize::from(marked.is_some());
                edits.extend(marked.map(|raw| Edit::Set("tools", Cow::Owned(raw))));
            }
            place => {
                for at in wanted(place, messages.unwrap_or_default()).into_iter().rev() {
                    let Some(slot) = chosen.get_mut(at).filter(|slot| slot.is_none()) else {
                        continue;
                    };
                    if left > 0 {
                        *slot = Some(control);
                        left -= 1;
                    }
                }
            }
        }
    }
    let marked = messages.and_then(|raw| of_messages(raw, &chosen, format));
    edits.extend(marked.map(|raw| Edit::Set("messages", Cow::Owned(raw))));
    edits
}

/// The numbers of the messages that a place means, in order, without those that have a mark.
fn wanted(place: &CachePlace, messages: &str) -> Vec<usize> {
    let all = || elements(messages).into_iter().flatten().enumerate();
    let is_free = |message: &str| memchr::memmem::find(message.as_bytes(), QUOTED).is_none();
    let found: Vec<usize> = match place {
        CachePlace::Role(role) => {
            let role = format!("\"{role}\"");
            let has =
                |message: &str| texts(message, ["role"]).is_ok_and(|[found]| found == Some(&*role));
            all()
                .filter(|(_, message)| has(message) && is_free(message))
                .map(|(at, _)| at)
                .collect()
        }
        CachePlace::Message(index) => {
            let count = all().count();
            let from_end = usize::try_from(index.unsigned_abs()).ok();
            let at = match *index {
                0.. => from_end,
                _ => from_end.and_then(|back| count.checked_sub(back)),
            };
            all()
                .filter(|(number, message)| Some(*number) == at && is_free(message))
                .map(|(at, _)| at)
                .collect()
        }
        CachePlace::Tools => Vec::new(),
    };
    found
}

/// The messages with these marks; `None` if there is none.
fn of_messages(raw: &str, chosen: &[Option<&str>], format: WireFormat) -> Option<String> {
    if chosen.iter().all(Option::is_none) {
        return None;
    }
    let mut out = String::from("[");
    for (message, control) in elements(raw)?.zip(chosen) {
        if out.len() > 1 {
            out.push(',');
        }
        let marked = control.and_then(|control| match format {
            // The reader of this format takes a mark of the whole message.
            WireFormat::OpenAi
            | WireFormat::Gemini
            | WireFormat::Cohere
            | WireFormat::Responses
            | WireFormat::Converse
            | WireFormat::Ollama => set(message, (MARK, control)),
            WireFormat::Anthropic => {
                let [content] = texts(message, ["content"]).ok()?;
                set(message, ("content", &of_content(content?, control)?))
            }
        });
        out.push_str(marked.as_deref().unwrap_or(message));
    }
    out.push(']');
    Some(out)
}

/// Content of Anthropic's format with a mark at its end: a text becomes a block.
fn of_content(raw: &str, control: &str) -> Option<String> {
    if raw.starts_with('"') {
        let text = |raw| format!(r#"[{{"type":"text","text":{raw},"{MARK}":{control}}}]"#);
        return (raw != "\"\"").then(|| text(raw));
    }
    of_last(raw, control)
}

/// A list whose last element that can have a mark has it; `None` if one has it already, or none can.
fn of_last(raw: &str, control: &str) -> Option<String> {
    // Reasoning has no place for a mark, and a blank text is refused with one.
    let can = |block: &str| {
        let Ok([kind, text]) = texts(block, ["type", "text"]) else { return false };
        let thinks = matches!(kind, Some("\"thinking\"" | "\"redacted_thinking\""));
        !thinks && text != Some("\"\"")
    };
    if memchr::memmem::find(raw.as_bytes(), QUOTED).is_some() {
        return None;
    }
    let last = elements(raw)?.enumerate().filter(|(_, block)| can(block)).last()?.0;
    let mut out = String::from("[");
    for (at, block) in elements(raw)?.enumerate() {
        if at > 0 {
            out.push(',');
        }
        match at == last {
            true => out.push_str(&set(block, (MARK, control))?),
            false => out.push_str(block),
        }
    }
    out.push(']');
    Some(out)
}

/// An object with that member.
fn set(object: &str, (name, raw): (&'static str, &str)) -> Option<String> {
    let members = object::members(object.as_bytes()).ok()?;
    let edited = edit::apply(object.as_bytes(), &members, &[Edit::Set(name, Cow::Borrowed(raw))]);
    String::from_utf8(edited.into()).ok()
}

#[cfg(test)]
mod tests {
    use hale_core::deployment::{CachePoint, Deployment};
    use hale_core::operation::Operation;
    use serde_json::{Value, json};

    use super::*;
    use crate::fixture::{deployment, order, sent};

    fn pointed(provider: &str, places: &[CachePlace]) -> Deployment {
        let mut deployment = deployment(provider);
        let control = || r#"{"type":"ephemeral"}"#.into();
        deployment.endpoint.rules.cache_points = places
            .iter()
            .map(|place| CachePoint { place: place.clone(), control: control() })
            .collect();
        deployment
    }

    fn role(name: &str) -> CachePlace {
        CachePlace::Role(name.into())
    }

    fn chat(deployment: &Deployment, messages: Value) -> Value {
        let body = json!({"model": "m", "messages": messages});
        sent(&body, &order(deployment, Operation::Chat, "claude-sonnet-4-5")).unwrap()
    }

    fn messages(deployment: &Deployment, more: Value) -> Value {
        let mut body = json!({"model": "m", "max_tokens": 9});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        sent(&body, &order(deployment, Operation::Messages, "claude-sonnet-4-5")).unwrap()
    }

    fn marks(body: &Value) -> usize {
        body.to_string().matches("\"cache_control\":{\"type\":\"ephemeral\"}").count()
    }

    #[test]
    fn the_places_of_the_config_are_marked_for_clients_of_both_formats() {
        let deployment =
            pointed("anthropic", &[role("system"), CachePlace::Message(-1), CachePlace::Tools]);
        let said = json!([{"role": "system", "content": "be kind"}, {"role": "user", "content": "a"},
            {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]);
        let out = chat(&deployment, said);
        assert_eq!(out["system"][0]["cache_control"]["type"], "ephemeral", "{out}");
        assert_eq!(out["messages"][2]["content"][0]["cache_control"]["type"], "ephemeral", "{out}");
        assert_eq!(marks(&out), 2);
        let out = messages(
            &deployment,
            json!({"system": "be kind", "tools": [{"name": "a", "input_schema": {}}, {"name": "b", "input_schema": {}}],
            "messages": [{"role": "user", "content": "a"}]}),
        );
        assert_eq!(
            out["system"],
            json!([{"type": "text", "text": "be kind", "cache_control": {"type": "ephemeral"}}])
        );
        assert_eq!(out["messages"][0]["content"][0]["text"], "a");
        assert_eq!((&out["tools"][0]["cache_control"], marks(&out)), (&Value::Null, 3), "{out}");
        let blocks = json!([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]);
        let out = messages(&deployment, json!({"messages": [{"role": "user", "content": blocks}]}));
        assert_eq!(out["messages"][0]["content"][1]["cache_control"]["type"], "ephemeral");
        assert_eq!(marks(&out), 1);
    }

    #[test]
    fn a_request_has_four_marks_at_most_and_those_of_the_client_count() {
        let deployment = pointed("anthropic", &[role("user")]);
        let user = |text: &str| json!({"role": "user", "content": text});
        let model = json!({"role": "assistant", "content": "b"});
        let long: Vec<Value> =
            (0..6).flat_map(|at| [user(&format!("u{at}")), model.clone()]).collect();
        let out = messages(&deployment, json!({"messages": long}));
        assert_eq!(marks(&out), 4);
        assert_eq!(
            (&out["messages"][0]["content"], &out["messages"][2]["content"]),
            (&json!("u0"), &json!("u1"))
        );
        let own = json!([{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}]);
        let out = messages(&deployment, json!({"system": own, "messages": long}));
        assert_eq!(marks(&out), 4);
        let marked = json!([{"role": "user", "content": own}]);
        assert_eq!(marks(&messages(&deployment, json!({"messages": marked}))), 1);
    }

    #[test]
    fn places_that_are_not_there_and_other_providers_change_nothing() {
        let said = json!([{"role": "user", "content": "a"}]);
        let far = [
            CachePlace::Message(7),
            CachePlace::Message(-2),
            role("system"),
            role("tool"),
            CachePlace::Tools,
        ];
        assert_eq!(marks(&chat(&pointed("anthropic", &far), said.clone())), 0);
        assert_eq!(marks(&messages(&pointed("anthropic", &far), json!({"messages": said}))), 0);
        let everywhere = [role("user"), CachePlace::Message(0)];
        assert_eq!(marks(&chat(&pointed("openai", &everywhere), said.clone())), 0);
        assert_eq!(marks(&messages(&pointed("openai", &everywhere), json!({"messages": said}))), 0);
        let thinking = json!([{"role": "user", "content": "a"}, {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "t", "signature": "c2ln"}]}]);
        let out =
            messages(&pointed("anthropic", &[role("assistant")]), json!({"messages": thinking}));
        assert_eq!(marks(&out), 0, "{out}");
    }
}
