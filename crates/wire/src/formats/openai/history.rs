//! What a chat client brings along from other providers, in a body that passes: their reasoning, calls without any or without
//! a result, ids of calls, roles and orders of them that not all providers take.
//!
//! Called by the conversion for the edits. Always true: a short body without tools for the provider `openai` is not looked through;
//! only `thinking_blocks`, which are in no provider's format, and reasoning that another provider signed or that this one
//! refuses leave the messages.

use hale_core::provider::{CallIds, ThoughtsField};

use super::call_ids;
use super::messages::{Changes, Signing, rewritten};
use super::sequence::Sequence;
use crate::bytes::elements::elements;
use crate::bytes::members::texts;
use crate::bytes::peek::Peek;
use crate::formats::call_id;
use crate::formats::extras::{Objects, without_extras};
use crate::formats::notes::Notes;
use crate::formats::order::Order;
use crate::formats::signed_call;
use crate::formats::thoughts::Target;

/// The shortest body with reasoning that another provider signed, bytes.
const SIGNED_MIN: usize = 2 << 10;
pub(super) const BLOCKS: &str = "thinking_blocks";
pub(super) const CONTENT: &str = "reasoning_content";
/// The same in the messages of other providers.
pub(super) const REASONING: &str = "reasoning";
const EFFORT: &str = "reasoning_effort";
/// OpenAI's later name for the role of the system, as JSON text.
pub(super) const DEVELOPER: &str = "\"developer\"";

/// What changes because of the messages.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// The messages without what no provider or only another one may see.
    pub(super) messages: Option<String>,
    /// The tools without what the provider refuses.
    pub(super) tools: Option<String>,
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
        let is_strict = order.known.has_plain_messages();
        if (is_short && is_plain && !is_strict) || !order.asks_for_chat() {
            return History::default();
        }
        let holds = |word: &str| memchr::memmem::find(body, word.as_bytes()).is_some();
        let has_blocks = !is_short && holds(BLOCKS) && !provider.quirks.takes_thinking_blocks;
        let has_refused = refuses && (holds(CONTENT) || holds(REASONING));
        let has_calls = holds("tool_calls");
        let has_developer = !provider.quirks.takes_developer && holds(DEVELOPER);
        let is_forced = is_forced(peek);
        let holds_any = has_blocks || has_refused || has_calls || has_developer;
        if !holds_any && !is_forced && !is_strict {
            return History::default();
        }
        let Some(raw) = peek.raw("messages") else { return History::default() };
        let target = Target::of(order);
        let ids = call_id::of(order);
        let found = if has_calls { call_ids::look(raw, ids) } else { call_ids::Found::default() };
        let ids = if found.has_refused { ids } else { CallIds::Any };
        let sequence = Sequence::of(order);
        let is_signed = has_calls && (holds(call_ids::EXTRA) || holds(signed_call::MARK));
        let signing = if has_calls { Signing::of(target, is_signed) } else { Signing::Nothing };
        let changes = Changes {
            target,
            refuses,
            has_developer,
            ids,
            has_open_call: found.has_open_call,
            sequence,
            signing,
        };
        let is_due = has_blocks
            || has_refused
            || has_developer
            || found != call_ids::Found::default()
            || signing != Signing::Nothing
            || (has_calls && !sequence.is_free());
        let mut messages = if is_due { rewritten(raw, changes) } else { None };
        let mut tools = None;
        if is_strict {
            let now = messages.as_deref().unwrap_or(raw);
            messages = without_extras(now, Objects::Messages).or(messages);
            tools = peek.raw("tools").and_then(|raw| without_extras(raw, Objects::Others));
        }
        let asked = asked(peek, order);
        let cannot = || is_forced || (has_calls && !can_go_on(messages.as_deref().unwrap_or(raw)));
        let stops_thinking = asked.is_some() && target.demands() && cannot();
        if stops_thinking {
            asked.into_iter().for_each(|what| notes.leave_out(what));
        }
        History { messages, tools, stops_thinking }
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

/// Whether the client makes the model call a tool.
fn is_forced(peek: &Peek) -> bool {
    let is_of_one = |raw: &str| {
        let kind = texts(raw, ["type"]).ok().and_then(|[kind]| kind);
        matches!(kind, Some("\"function\"" | "\"custom\""))
    };
    peek.has("tools")
        && peek.raw("tool_choice").is_some_and(|raw| raw == "\"required\"" || is_of_one(raw))
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

    fn roles(sent: &Value) -> Vec<&str> {
        sent["messages"].as_array().unwrap().iter().map(|it| it["role"].as_str().unwrap()).collect()
    }

    fn said(role: &str, content: &str) -> Value {
        json!({"role": role, "content": content})
    }

    fn chat(messages: &[Value]) -> Value {
        json!({"model": "m", "messages": messages, "tools": [
            {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]})
    }

    fn result() -> Value {
        json!({"role": "tool", "tool_call_id": "abcdefgh1", "content": "x"})
    }

    #[test]
    fn a_call_without_a_result_gets_one_in_a_chat_that_passes() {
        let open = [said("user", "hi"), call(json!({})), said("user", "stop")];
        for provider in ["openai", "groq", "hosted_vllm", "openrouter"] {
            let out = passed(provider, "x", &chat(&open));
            assert_eq!(roles(&out), ["user", "assistant", "tool", "user"], "{provider}");
            let made = json!({"role": "tool", "tool_call_id": "abcdefgh1", "content": "the tool call was not run"});
            assert_eq!(out["messages"][2], made);
        }
        let mut two = call(json!({}));
        let other =
            json!({"id": "b", "type": "function", "function": {"name": "f", "arguments": "{}"}});
        two["tool_calls"].as_array_mut().unwrap().push(other);
        let out = passed(
            "openai",
            "x",
            &chat(&[two.clone(), said("system", "s"), result(), said("user", "on")]),
        );
        assert_eq!(roles(&out), ["assistant", "tool", "tool", "system", "user"]);
        assert_eq!(out["messages"][2]["tool_call_id"], "b");
        let out = passed("openai", "x", &chat(&[said("user", "hi"), two]));
        assert_eq!(roles(&out), ["user", "assistant", "tool", "tool"]);
        // The id that the provider takes is that of the made result, too.
        let mut long = call(json!({}));
        long["tool_calls"][0]["id"] = json!("a".repeat(60));
        let out = passed("mistral", "x", &chat(&[long, said("user", "on")]));
        assert_eq!(out["messages"][1]["tool_call_id"], out["messages"][0]["tool_calls"][0]["id"]);
        // What is whole stays as it is.
        let whole = chat(&[
            call(json!({})),
            result(),
            said("assistant", "\"tool_calls\""),
            json!({"role": "assistant", "content": "x", "tool_calls": null}),
            said("user", "on"),
        ]);
        assert_eq!(passed("openai", "x", &whole)["messages"], whole["messages"]);
    }

    #[test]
    fn a_result_of_a_tool_is_followed_by_the_model_where_mistral_made_it() {
        let given = chat(&[
            said("system", "s"),
            said("user", "hi"),
            call(json!({})),
            result(),
            said("user", "on"),
        ]);
        for (provider, model, is_strict) in [
            ("mistral", "x", true),
            ("codestral", "x", true),
            ("hosted_vllm", "mistralai/Devstral-Small-2507", true),
            ("nvidia_nim", "mistralai/mixtral-8x22b", true),
            ("openai", "Ministral-8B", true),
            ("groq", "llama", false),
            ("openai", "gpt-4o", false),
        ] {
            let out = passed(provider, model, &given);
            let expected: &[&str] = match is_strict {
                true => &["system", "user", "assistant", "tool", "assistant", "user"],
                false => &["system", "user", "assistant", "tool", "user"],
            };
            assert_eq!(roles(&out), expected, "{provider} {model}");
            let messages = json!({"model": "m", "max_tokens": 9, "messages": [
                {"role": "user", "content": "hi"},
                {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}}]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "x"},
                    {"type": "text", "text": "on"}]}]});
            let deployment = deployment(provider);
            let order = order(&deployment, Operation::Messages, model);
            let translated = sent(&messages, &order).unwrap();
            assert_eq!(roles(&translated), expected[1..], "{provider} {model}");
        }
        let late = chat(&[
            call(json!({})),
            result(),
            said("system", "s"),
            said("assistant", "a"),
            said("developer", "d"),
            said("user", "on"),
            said("system", "last"),
        ]);
        let out = passed("mistral", "x", &late);
        assert_eq!(
            roles(&out),
            ["assistant", "tool", "assistant", "user", "assistant", "user", "user", "user"]
        );
        assert_eq!(
            (&out["messages"][3]["content"], &out["messages"][7]["content"]),
            (&json!("s"), &json!("last"))
        );
        let fine = chat(&[call(json!({})), result(), said("assistant", "a"), said("user", "on")]);
        assert_eq!(passed("mistral", "x", &fine)["messages"], fine["messages"]);
    }

    #[test]
    fn a_model_that_must_call_a_tool_does_not_think_where_it_cannot_do_both() {
        for (choice, stops) in [
            (json!("required"), true),
            (json!({"type": "function", "function": {"name": "f"}}), true),
            (json!("auto"), false),
            (json!("none"), false),
        ] {
            let mut given = chat(&[said("user", "hi")]);
            given["tool_choice"] = choice.clone();
            given["reasoning_effort"] = json!("high");
            let kind = |provider| passed(provider, "x", &given)["thinking"]["type"].clone();
            assert_eq!(kind("deepseek"), if stops { "disabled" } else { "enabled" }, "{choice}");
            let kept = passed("openai", "gpt-5", &given);
            assert_eq!(
                (&kept["reasoning_effort"], &kept["tool_choice"]),
                (&json!("high"), &choice)
            );
            assert_eq!(passed("moonshot", "x", &given).get("reasoning_effort").is_none(), stops);
        }
    }

    #[test]
    fn members_that_a_provider_refuses_leave_messages_and_tools() {
        let mark = json!({"type": "ephemeral"});
        let mut given = chat(&[
            json!({"role": "user", "name": "ada", "content": [{"type": "text", "text": "hi", "cache_control": mark}]}),
            call(json!({"refusal": null, "annotations": [], "reasoning_content": "hm"})),
            result(),
        ]);
        let mut plain = chat(&[
            json!({"role": "user", "content": [{"type": "text", "text": "hi"}]}),
            call(json!({"reasoning_content": "hm"})),
            result(),
        ]);
        (given["tools"][0]["cache_control"], plain["model"]) = (mark, json!("x"));
        for provider in ["openai", "groq", "hosted_vllm"] {
            let deployment = deployment(provider);
            let known = Known::default().with(Lesson::PlainMessages);
            let untaught = order(&deployment, Operation::Chat, "x");
            assert_eq!(sent(&given, &untaught).unwrap()["messages"], given["messages"]);
            let taught = Order { known, ..order(&deployment, Operation::Chat, "x") };
            assert_eq!(sent(&given, &taught).unwrap(), plain, "{provider}");
            let responses =
                json!({"model": "x", "input": [given["messages"][0]], "tools": given["tools"]});
            let taught = Order { known, ..order(&deployment, Operation::Responses, "x") };
            let out = sent(&responses, &taught).unwrap();
            assert!(!out.to_string().contains("cache_control"), "{out}");
            assert_eq!(out["input"][0]["name"], "ada");
        }
    }

    #[test]
    fn a_seed_has_the_name_that_mistral_knows() {
        let mut given = chat(&[said("user", "hi")]);
        given["seed"] = json!(5);
        let out = passed("mistral", "x", &given);
        assert_eq!((&out["random_seed"], out.get("seed")), (&json!(5), None));
        assert_eq!(passed("groq", "x", &given)["seed"], 5);
    }

    #[test]
    fn a_limit_has_the_one_name_that_mistral_knows() {
        let mut given = chat(&[said("user", "hi")]);
        given["max_completion_tokens"] = json!(5);
        for provider in ["mistral", "codestral"] {
            let out = passed(provider, "x", &given);
            let limits = (&out["max_tokens"], out.get("max_completion_tokens"));
            assert_eq!(limits, (&json!(5), None), "{provider}");
        }
    }
}
