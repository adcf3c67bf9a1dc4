//! What changes inside a messages request that passes to its own wire: reasoning that the provider did not sign, and ids of
//! calls that it cannot read.
//!
//! Called by [`super::edits`]. Always true: blocks that the provider signed and everything else stay as they are; a request
//! without reasoning and without such ids is not looked through.

use std::borrow::Cow;
use std::ops::Range;

use super::effort::{Asked, is_enabled, named_budget, thinking_of};
use crate::bytes::edit::{Edit, json_string};
use crate::bytes::elements::elements;
use crate::bytes::json::Str;
use crate::bytes::members::texts;
use crate::bytes::peek::Peek;
use crate::formats::call_id;
use crate::formats::notes::Notes;
use crate::formats::order::Order;
use crate::formats::thoughts::{Origin, Target};

/// The role of the model, as JSON text.
const ASSISTANT: &str = "\"assistant\"";
/// OpenAI's name for what asks a model to think.
pub(super) const EFFORT: &str = "reasoning_effort";

/// The edits for what the provider would refuse; what matters of it is noted.
pub(super) fn edits<'e>(peek: &Peek, order: &Order<'_>, notes: &mut Notes) -> Vec<Edit<'e>> {
    let mut edits = Vec::new();
    let Some(raw) = peek.raw("messages") else { return edits };
    let target = Target::of(order);
    let holds =
        |text: &str, word: &str| memchr::memmem::find(text.as_bytes(), word.as_bytes()).is_some();
    let cleaned = match holds(raw, "thinking") || has_foreign_id(raw) {
        true => cleaned(raw, target),
        false => None,
    };
    let default = if peek.has("thinking") { None } else { default_thinking(order) };
    let thinks = peek.raw("thinking").or(default.as_deref());
    let is_on = thinks.is_some_and(is_enabled);
    let yields = default.as_deref().is_some_and(|thinking| yields(thinking, peek, order));
    if yields || (is_on && !can_go_on(cleaned.as_deref().unwrap_or(raw))) {
        notes.leave_out("thinking");
        edits.push(Edit::Remove("thinking"));
        // An edit of thoughts is refused where there are none.
        if peek.raw("context_management").is_some_and(|raw| holds(raw, "clear_thinking")) {
            notes.leave_out("context_management");
            edits.push(Edit::Remove("context_management"));
        }
    } else if let Some(Cow::Owned(made)) = default {
        edits.push(Edit::Set("thinking", Cow::Owned(made)));
    }
    if let Some(cleaned) = cleaned {
        edits.push(Edit::Set("messages", Cow::Owned(cleaned)));
    }
    edits
}

/// The `thinking` that the config asks for, as itself or as OpenAI's effort.
fn default_thinking<'o>(order: &Order<'o>) -> Option<Cow<'o, str>> {
    let defaults = &order.deployment.endpoint.default_params;
    let find = |wanted: &str| defaults.iter().find(|(name, _)| &**name == wanted);
    match find("thinking") {
        Some((_, raw)) => Some(Cow::Borrowed(raw)),
        None => {
            let (_, effort) = find(EFFORT).filter(|_| !order.drops(EFFORT))?;
            // It is written by its own name nowhere else.
            thinking_of(effort, order.upstream_model).map(|made| Cow::Owned(made.into_owned()))
        }
    }
}

/// Whether thinking by default has no place beside what the client asks for.
fn yields(thinking: &str, peek: &Peek, order: &Order<'_>) -> bool {
    let is_forced = || {
        let kind = peek.raw("tool_choice").and_then(|raw| texts(raw, ["type"]).ok());
        matches!(kind, Some([Some("\"any\"" | "\"tool\"")]))
    };
    let asked = Asked {
        most: peek.raw("max_tokens").and_then(|raw| raw.parse().ok()),
        temperature: peek.raw("temperature"),
        top_p: peek.raw("top_p"),
        has_top_k: peek.raw("top_k").is_some(),
    };
    !asked.has_place(named_budget(thinking), order.upstream_model)
        || (is_enabled(thinking) && is_forced())
}

/// What happens to a block.
enum Fate {
    Stays,
    Goes,
    /// The text at this place of it becomes another one.
    Changes(Range<usize>, String),
}

/// The fate of the block of a message with that role.
fn fate(block: &str, role: &str, target: Target<'_>) -> Fate {
    let Ok([Some(kind), signature, id, of]) =
        texts(block, ["type", "signature", "id", "tool_use_id"])
    else {
        return Fate::Stays;
    };
    let text =
        |raw: &'_ str| serde_json::from_str::<Str<'_>>(raw).ok().map(|text| text.0.into_owned());
    match (kind, id, of) {
        ("\"thinking\"", ..) if role == ASSISTANT => {
            let signature = signature.and_then(text).unwrap_or_default();
            if target.takes(Origin::of(&signature)) { Fate::Stays } else { Fate::Goes }
        }
        ("\"tool_use\"", Some(id), _) | ("\"tool_result\"", _, Some(id)) => match text(id) {
            Some(given) if !call_id::is_readable(&given) => {
                // An id is a slice of its block.
                let from = id.as_ptr() as usize - block.as_ptr() as usize;
                let shown = call_id::shown(Cow::Owned(given), 1);
                Fate::Changes(from..from + id.len(), json_string(&shown))
            }
            Some(_) | None => Fate::Stays,
        },
        _ => Fate::Stays,
    }
}

/// Whether a result names a call by an id that the wire cannot read.
fn has_foreign_id(raw: &str) -> bool {
    const KEY: &str = "\"tool_use_id\"";
    memchr::memmem::find_iter(raw.as_bytes(), KEY).any(|at| {
        let tail = raw.get(at + KEY.len()..).unwrap_or_default().trim_start();
        let value = tail.strip_prefix(':').and_then(|tail| tail.trim_start().strip_prefix('"'));
        let id = value.and_then(|value| value.split_once('"')).map(|(id, _)| id);
        id.is_some_and(|id| !call_id::is_readable(id))
    })
}

/// The messages as the target takes them; `None` if that is what they are.
fn cleaned(raw: &str, target: Target<'_>) -> Option<String> {
    let mut out = String::new();
    let mut changes = false;
    for message in elements(raw)? {
        let Ok([Some(role), Some(content)]) = texts(message, ["role", "content"]) else {
            return None;
        };
        let fates =
            || elements(content).into_iter().flatten().map(|it| (it, fate(it, role, target)));
        if fates().all(|(_, fate)| matches!(fate, Fate::Stays)) {
            if changes {
                separate(&mut out);
                out.push_str(message);
            }
            continue;
        }
        if !changes {
            changes = true;
            // An id becomes longer, but then a few other letters were no id.
            out.reserve(raw.len());
            // A message is a slice of the messages.
            let before = &raw[..message.as_ptr() as usize - raw.as_ptr() as usize];
            out.push_str(before.trim_end().trim_end_matches(','));
        }
        // The format has no empty turns.
        if fates().all(|(_, fate)| matches!(fate, Fate::Goes)) {
            continue;
        }
        let from = content.as_ptr() as usize - message.as_ptr() as usize;
        separate(&mut out);
        out.push_str(&message[..from]);
        out.push('[');
        for (block, fate) in fates() {
            match fate {
                Fate::Goes => {}
                Fate::Stays => {
                    separate(&mut out);
                    out.push_str(block);
                }
                Fate::Changes(place, id) => {
                    separate(&mut out);
                    out.push_str(&block[..place.start]);
                    out.push_str(&id);
                    out.push_str(&block[place.end..]);
                }
            }
        }
        out.push(']');
        out.push_str(&message[from + content.len()..]);
    }
    out.push(']');
    changes.then_some(out)
}

fn separate(out: &mut String) {
    if !out.ends_with('[') {
        out.push(',');
    }
}

/// The list of blocks of a message of the model.
fn blocks(message: &str) -> Option<&str> {
    match texts(message, ["role", "content"]) {
        Ok([Some(ASSISTANT), Some(content)]) => Some(content),
        _ => None,
    }
}

/// Whether the last calls of the model have signed reasoning before them.
fn can_go_on(raw: &str) -> bool {
    let Some(messages) = elements(raw) else { return true };
    let Some(content) = messages.filter_map(blocks).last() else { return true };
    for block in elements(content).into_iter().flatten() {
        match texts(block, ["type"]) {
            Ok([Some("\"thinking\"" | "\"redacted_thinking\"")]) => return true,
            Ok([Some("\"tool_use\"")]) => return false,
            _ => {}
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use hale_core::operation::Operation;
    use serde_json::{Value, json};

    use crate::fixture::{deployment, order, sent};

    fn passed(given: &Value) -> Value {
        sent(given, &order(&deployment("anthropic"), Operation::Messages, "x")).unwrap()
    }

    fn turns(blocks: Value) -> Value {
        json!({"model": "x", "max_tokens": 9, "messages": [
            {"role": "user", "content": "hi"},
            {"content": blocks, "role": "assistant"},
            {"role": "user", "content": "on"},
        ]})
    }

    #[test]
    fn only_reasoning_that_no_provider_signed_is_left_out() {
        let text = json!({"type": "text", "text": "hello [1], {thinking}"});
        let signed = json!({"type": "thinking", "thinking": "a", "signature": "c2ln"});
        for unsigned in [
            json!({"type": "thinking", "thinking": "let me see", "signature": ""}),
            json!({"type": "thinking", "thinking": "let me see", "signature": null}),
            json!({"type": "thinking", "thinking": "let me see"}),
            json!({"type": "thinking", "thinking": "let me see", "signature": "hale:qwen"}),
            json!({"type": "thinking", "thinking": "let me see", "signature": "hale:"}),
        ] {
            let out = passed(&turns(json!([signed, unsigned, text, unsigned])));
            assert_eq!(out, turns(json!([signed, text])));
            let alone = passed(&turns(json!([unsigned])));
            assert_eq!(alone["messages"].as_array().unwrap().len(), 2, "{alone}");
            let first = json!({"model": "x", "max_tokens": 9, "messages": [
                {"role": "assistant", "content": [unsigned]}, {"role": "user", "content": "on"}]});
            assert_eq!(passed(&first)["messages"], json!([{"role": "user", "content": "on"}]));
        }
        let same = turns(json!([signed, {"type": "redacted_thinking", "data": "x"}, text]));
        assert_eq!(passed(&same), same);
        // What the user quotes is not reasoning.
        let quoted = json!({"model": "x", "max_tokens": 9, "messages": [{"role": "user",
            "content": [{"type": "thinking", "thinking": "q"}]}]});
        assert_eq!(passed(&quoted), quoted);
    }

    #[test]
    fn an_id_that_the_provider_cannot_read_is_written_so_that_it_can() {
        let with = |id: &str| {
            json!({"model": "x", "max_tokens": 9, "messages": [
                {"role": "assistant", "content": [{"type": "tool_use", "id": id, "name": "f", "input": {"id": "a:b"}}]},
                {"role": "user", "content": [
                    {"type": "tool_result", "tool_use_id": id, "content": "\"tool_use_id\": \"a:b\""},
                    {"type": "text", "text": "on"},
                ]},
            ]})
        };
        let out = passed(&with("functions.Bash:0"));
        assert_eq!(out, with("hx_ZnVuY3Rpb25zLkJhc2g6MA"));
        for same in ["toolu_1", "hx_ZnVuY3Rpb25zLkJhc2g6MA", "hx"] {
            assert_eq!(passed(&with(same)), with(same));
        }
    }

    #[test]
    fn a_budget_is_left_out_where_the_last_calls_have_no_signed_reasoning() {
        let call = json!({"type": "tool_use", "id": "t", "name": "f", "input": {}});
        let signed = json!({"type": "thinking", "thinking": "a", "signature": "c2ln"});
        let marked = json!({"type": "thinking", "thinking": "a", "signature": "hale:qwen"});
        let budget = json!({"type": "enabled", "budget_tokens": 1024});
        let adaptive = json!({"type": "adaptive"});
        for (blocks, thinking, stays) in [
            (json!([marked, call]), &budget, false),
            (json!([call]), &budget, false),
            (json!([signed, call]), &budget, true),
            (json!([marked]), &budget, true),
            (json!([marked, call]), &adaptive, true),
        ] {
            let mut given = turns(blocks.clone());
            given["thinking"] = thinking.clone();
            given["context_management"] = json!({"edits": [{"type": "clear_thinking_20251015"}]});
            let out = passed(&given);
            for name in ["thinking", "context_management"] {
                assert_eq!(out.get(name).is_some(), stays, "{blocks} {thinking}");
            }
        }
    }
}
