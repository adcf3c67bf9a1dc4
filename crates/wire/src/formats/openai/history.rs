//! What a chat client brings along from other providers, in a body that passes: their reasoning, calls without any, ids of
//! calls and roles that not all of them take.
//!
//! Called by the conversion for the edits. Always true: a short body without tools for the provider `openai` is not looked through;
//! only `thinking_blocks`, which are in no provider's format, and reasoning that another provider signed or that this one
//! refuses leave the messages.

use hale_core::provider::{CallIds, ThoughtsField};

use super::call_ids;
use crate::bytes::edit::{self, Edit};
use crate::bytes::elements::elements;
use crate::bytes::json::Str;
use crate::bytes::members::texts;
use crate::bytes::object;
use crate::bytes::peek::Peek;
use crate::formats::call_id;
use crate::formats::notes::Notes;
use crate::formats::order::Order;
use crate::formats::thoughts::{Origin, Target};

/// The shortest body with reasoning that another provider signed, bytes.
const SIGNED_MIN: usize = 2 << 10;
const BLOCKS: &str = "thinking_blocks";
const CONTENT: &str = "reasoning_content";
const EFFORT: &str = "reasoning_effort";
/// OpenAI's later name for the role of the system, as JSON text.
const DEVELOPER: &str = "\"developer\"";

/// What changes because of the messages.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// The messages without what no provider or only another one may see.
    pub(super) messages: Option<String>,
    /// Whether the model cannot go on thinking.
    pub(super) stops_thinking: bool,
}

impl History {
    /// What changes in the messages of `peek`; what matters of it is noted.
    pub(crate) fn of(peek: &Peek, order: &Order<'_>, notes: &mut Notes) -> History {
        let provider = order.deployment.endpoint.provider;
        let body = peek.body();
        let refuses =
            order.known.has_no_thoughts() || provider.quirks.thoughts_field == ThoughtsField::None;
        let is_short = body.len() < SIGNED_MIN && &*provider.name == "openai";
        let is_plain = !refuses && !peek.has(EFFORT) && !peek.has("tools");
        if (is_short && is_plain) || !order.asks_for_chat() {
            return History::default();
        }
        let holds = |word: &str| memchr::memmem::find(body, word.as_bytes()).is_some();
        let has_blocks = !is_short && holds(BLOCKS) && !provider.quirks.takes_thinking_blocks;
        let has_refused = refuses && holds(CONTENT);
        let has_calls = holds("tool_calls");
        let has_developer = !provider.quirks.takes_developer && holds(DEVELOPER);
        if !has_blocks && !has_refused && !has_calls && !has_developer {
            return History::default();
        }
        let Some(raw) = peek.raw("messages") else { return History::default() };
        let target = Target::of(order);
        let ids = call_id::of(order);
        let ids = if has_calls && call_ids::has_refused(raw, ids) { ids } else { CallIds::Any };
        let changes = Changes { target, refuses, has_developer, ids };
        let messages = match has_blocks || has_refused || has_developer || ids != CallIds::Any {
            true => cleaned(raw, changes),
            false => None,
        };
        let asked = asked(peek, order);
        let cannot = || has_calls && !can_go_on(messages.as_deref().unwrap_or(raw));
        let stops_thinking = asked.is_some() && target.demands() && cannot();
        if stops_thinking {
            asked.into_iter().for_each(|what| notes.leave_out(what));
        }
        History { messages, stops_thinking }
    }
}

/// What asks the model to think: the client, or the config.
fn asked(peek: &Peek, order: &Order<'_>) -> Option<&'static str> {
    let defaults = &order.deployment.endpoint.default_params;
    let value = |wanted: &str| match peek.has(wanted) {
        true => peek.raw(wanted),
        false => defaults.iter().find(|(name, _)| &**name == wanted).map(|(_, raw)| &**raw),
    };
    let is_off = |raw: &str| texts(raw, ["type"]).is_ok_and(|[kind]| kind == Some("\"disabled\""));
    match (value(EFFORT), value("thinking")) {
        (_, Some(raw)) => (!is_off(raw)).then_some("thinking"),
        (Some(raw), None) => (raw != "\"none\"").then_some(EFFORT),
        (None, None) => None,
    }
}

/// What may change in messages.
#[derive(Clone, Copy)]
struct Changes<'o> {
    target: Target<'o>,
    /// Whether the provider refuses reasoning.
    refuses: bool,
    /// Whether a message has a role that the provider does not know.
    has_developer: bool,
    /// The ids of calls that it takes.
    ids: CallIds,
}

/// The messages without `thinking_blocks`, and without reasoning that these sign for another provider, or that the
/// provider refuses, with roles that it knows and ids that it takes; `None` if that is what they are.
fn cleaned(raw: &str, changes: Changes<'_>) -> Option<String> {
    let Changes { target, refuses, has_developer, ids } = changes;
    let mut out = String::with_capacity(raw.len());
    out.push('[');
    let mut is_changed = false;
    for message in elements(raw)? {
        if out.len() > 1 {
            out.push(',');
        }
        let [blocks, content] = texts(message, [BLOCKS, CONTENT]).unwrap_or_default();
        let mut foreign = blocks.and_then(elements).into_iter().flatten();
        let goes = content.is_some() && (refuses || foreign.any(|block| is_foreign(block, target)));
        let names = [blocks.map(|_| BLOCKS), goes.then_some(CONTENT)];
        let mut edits: Vec<Edit<'_>> = names.into_iter().flatten().map(Edit::Remove).collect();
        if has_developer && texts(message, ["role"]).is_ok_and(|[role]| role == Some(DEVELOPER)) {
            edits.push(Edit::Set("role", "\"system\"".into()));
        }
        if ids != CallIds::Any {
            edits.extend(call_ids::edits(message, ids));
        }
        match object::members(message.as_bytes()) {
            Ok(members) if !edits.is_empty() => {
                is_changed = true;
                let edited = edit::apply(message.as_bytes(), &members, &edits);
                out.push_str(std::str::from_utf8(&edited).unwrap_or(message));
            }
            _ => out.push_str(message),
        }
    }
    out.push(']');
    is_changed.then_some(out)
}

/// Whether another provider signed a block.
fn is_foreign(block: &str, target: Target<'_>) -> bool {
    let signature = texts(block, ["signature"]).ok().and_then(|[signature]| signature);
    let signature = signature.and_then(|raw| serde_json::from_str::<Str<'_>>(raw).ok());
    let signature = signature.unwrap_or_default();
    match Origin::of(&signature.0) {
        Origin::Unsigned => false,
        Origin::Signed => !target.is_claude(),
        marked @ Origin::Marked(_) => !target.takes(marked),
    }
}

/// Whether the calls since the user's last words, and those of the model's last turn, have reasoning with them.
fn can_go_on(raw: &str) -> bool {
    let (mut is_open, mut is_last) = (false, false);
    for message in elements(raw).into_iter().flatten() {
        let Ok([role, calls, content]) = texts(message, ["role", "tool_calls", CONTENT]) else {
            continue;
        };
        match role {
            Some("\"user\"") => is_open = false,
            Some("\"assistant\"") => {
                let has_calls =
                    calls.is_some_and(|calls| calls.trim_end_matches(']').trim_end() != "[");
                is_last = has_calls && content.is_none_or(|content| content == "\"\"");
                is_open |= is_last;
            }
            _ => {}
        }
    }
    !is_open && !is_last
}

#[cfg(test)]
mod tests {
    use hale_core::health::{Known, Lesson};
    use hale_core::operation::Operation;
    use serde_json::{Value, json};

    use super::*;
    use crate::fixture::{deployment, order, sent};

    fn passed(provider: &str, model: &str, given: &Value) -> Value {
        sent(given, &order(&deployment(provider), Operation::Chat, model)).unwrap()
    }

    fn history(message: Value) -> Value {
        json!({"model": "m", "messages": [{"role": "user", "content": "hi"}, message,
            {"role": "tool", "tool_call_id": "abcdefgh1", "content": "x"}]})
    }

    fn call(more: Value) -> Value {
        let call = json!({"id": "abcdefgh1", "type": "function", "function": {"name": "f", "arguments": "{}"}});
        let mut message = json!({"role": "assistant", "content": null, "tool_calls": [call]});
        message.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        message
    }

    #[test]
    fn reasoning_that_another_provider_signed_stays_there() {
        let signed =
            json!([{"type": "thinking", "thinking": "hm", "signature": "s".repeat(2_000)}]);
        let unsigned = json!([{"type": "thinking", "thinking": "hm"}]);
        for (provider, model, blocks, stays) in [
            ("groq", "x", &signed, false),
            ("openai", "gpt-4o", &signed, false),
            ("deepseek", "x", &signed, false),
            ("openrouter", "anthropic/claude-sonnet-4-5", &signed, true),
            ("deepseek", "x", &unsigned, true),
        ] {
            let given =
                history(call(json!({"thinking_blocks": blocks, "reasoning_content": "hm"})));
            let out = passed(provider, model, &given);
            let kept = if stays { json!({"reasoning_content": "hm"}) } else { json!({}) };
            assert_eq!(out["messages"], history(call(kept))["messages"], "{provider} {model}");
        }
        let given = history(call(json!({"thinking_blocks": signed})));
        assert_eq!(passed("litellm_proxy", "m", &given), given);
        // A provider that refuses all of it.
        let own = history(call(json!({"reasoning_content": "hm"})));
        assert_eq!(passed("mistral", "x", &own)["messages"], history(call(json!({})))["messages"]);
        let deployment = deployment("openai");
        let taught = Known::default().with(Lesson::NoThoughts);
        let order = Order { known: taught, ..order(&deployment, Operation::Chat, "x") };
        assert_eq!(sent(&own, &order).unwrap()["messages"], history(call(json!({})))["messages"]);
    }

    #[test]
    fn thinking_stops_where_the_last_calls_have_no_reasoning_and_the_target_demands_it() {
        for (provider, more, effort, thinking) in [
            (
                "deepseek",
                json!({"reasoning_content": "hm"}),
                json!("high"),
                json!({"type": "enabled"}),
            ),
            ("deepseek", json!({}), Value::Null, json!({"type": "disabled"})),
            (
                "deepseek",
                json!({"reasoning_content": ""}),
                Value::Null,
                json!({"type": "disabled"}),
            ),
            ("moonshot", json!({}), Value::Null, Value::Null),
            ("hosted_vllm", json!({}), json!("high"), Value::Null),
        ] {
            let mut given = history(call(more));
            given["reasoning_effort"] = json!("high");
            let out = passed(provider, "x", &given);
            assert_eq!(
                (&out["reasoning_effort"], &out["thinking"]),
                (&effort, &thinking),
                "{provider} {given}"
            );
        }
        let mut later = history(call(json!({})));
        later["reasoning_effort"] = json!("high");
        later["messages"].as_array_mut().unwrap().extend([
            json!({"role": "assistant", "content": "done"}),
            json!({"role": "user", "content": "and now?"}),
        ]);
        assert_eq!(passed("deepseek", "x", &later)["thinking"], json!({"type": "enabled"}));
    }
}
