//! What changes inside a messages request that passes to its own wire: reasoning that the provider did not sign.
//!
//! Called by [`super::edits`]. Always true: blocks that the provider signed and everything else stay as they are; a request
//! without unsigned reasoning is not touched, and one without any is not looked through.

use std::borrow::Cow;

use super::effort::is_enabled;
use crate::bytes::edit::Edit;
use crate::bytes::elements::elements;
use crate::bytes::json::Str;
use crate::bytes::members::texts;
use crate::bytes::peek::Peek;
use crate::formats::notes::Notes;
use crate::formats::order::Order;
use crate::formats::thoughts::{Origin, Target};

/// The edits for what the provider would refuse; what matters of it is noted.
pub(super) fn edits<'e>(peek: &Peek, order: &Order<'_>, notes: &mut Notes) -> Vec<Edit<'e>> {
    let mut edits = Vec::new();
    let Some(raw) = peek.raw("messages") else { return edits };
    let target = Target::of(order);
    let holds =
        |text: &str, word: &str| memchr::memmem::find(text.as_bytes(), word.as_bytes()).is_some();
    let cleaned = match holds(raw, "thinking") {
        true => cleaned(raw, &target),
        false => None,
    };
    let defaults = &order.deployment.endpoint.default_params;
    let default = || defaults.iter().find(|(name, _)| &**name == "thinking").map(|(_, raw)| &**raw);
    let thinks = match peek.has("thinking") {
        true => peek.raw("thinking"),
        false => default(),
    };
    if thinks.is_some_and(is_enabled) && !can_go_on(cleaned.as_deref().unwrap_or(raw)) {
        notes.leave_out("thinking");
        edits.push(Edit::Remove("thinking"));
        // An edit of thoughts is refused where there are none.
        if peek.raw("context_management").is_some_and(|raw| holds(raw, "clear_thinking")) {
            notes.leave_out("context_management");
            edits.push(Edit::Remove("context_management"));
        }
    }
    if let Some(cleaned) = cleaned {
        edits.push(Edit::Set("messages", Cow::Owned(cleaned)));
    }
    edits
}

/// The messages without reasoning that the target may not see; `None` if there is none of it.
fn cleaned(raw: &str, target: &Target) -> Option<String> {
    let goes = |block: &str| {
        let Ok([Some("\"thinking\""), signature]) = texts(block, ["type", "signature"]) else {
            return false;
        };
        let signature = signature.and_then(|raw| serde_json::from_str::<Str<'_>>(raw).ok());
        !target.takes(Origin::of(&signature.unwrap_or_default().0))
    };
    let mut out = String::new();
    let mut changes = false;
    for message in elements(raw)? {
        let content = blocks(message)
            .filter(|content| elements(content).is_some_and(|mut blocks| blocks.any(goes)));
        let Some(content) = content else {
            if changes {
                separate(&mut out);
                out.push_str(message);
            }
            continue;
        };
        if !changes {
            changes = true;
            out.reserve_exact(raw.len());
            // A message is a slice of the messages.
            let before = &raw[..message.as_ptr() as usize - raw.as_ptr() as usize];
            out.push_str(before.trim_end().trim_end_matches(','));
        }
        let mut stays = elements(content)?.filter(|block| !goes(block)).peekable();
        // The format has no empty turns.
        if stays.peek().is_none() {
            continue;
        }
        let from = content.as_ptr() as usize - message.as_ptr() as usize;
        separate(&mut out);
        out.push_str(&message[..from]);
        out.push('[');
        stays.for_each(|block| {
            separate(&mut out);
            out.push_str(block);
        });
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
        Ok([Some("\"assistant\""), Some(content)]) => Some(content),
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
