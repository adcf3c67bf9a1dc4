//! What the wires of Anthropic and of Bedrock demand of the beginning of a request: a first turn of the user, and the tools that the history calls.
//!
//! Called by [`super::fit`]. Always true: nothing that the client said is changed.

use std::borrow::Cow;
use std::collections::HashSet;

use hale_core::provider::WireFormat;

use crate::bytes::members::texts;
use crate::formats::neutral::{Content, Request, Role, Tool, ToolChoice, Turn};

/// What the user says before a first turn of the model, and in a turn without a word. As in LiteLLM.
const FIRST: &str = ".";
/// The name of a tool that stands where Converse demands one and there is none.
const NONE: &str = "no_tool";
/// The schema of a tool of which only the name is known.
const ANY_OBJECT: &str = r#"{"type":"object"}"#;

/// Gives a turn of the user without a word one, because these wires refuse a request with an empty turn: one in the history
/// would fail every later request of the conversation.
pub(super) fn fill_silence(request: &mut Request<'_>) {
    for turn in &mut request.turns {
        if turn.role == Role::User && turn.parts.iter().all(|part| part.content.is_blank()) {
            turn.parts = vec![Content::Text(Cow::Borrowed(FIRST)).into()];
        }
    }
}

/// Adds both where they are missing.
pub(super) fn fit(request: &mut Request<'_>, wire: WireFormat) {
    let is_short = request.turns.is_empty() && !request.system.is_empty();
    if is_short || request.turns.first().is_some_and(|turn| turn.role == Role::Assistant) {
        let parts = vec![Content::Text(Cow::Borrowed(FIRST)).into()];
        request.turns.insert(0, Turn { role: Role::User, parts });
    }
    let is_function = |tool: &Tool<'_>| matches!(tool, Tool::Function { .. });
    let had_tools = !request.tools.is_empty();
    // Tools of Anthropic's stand elsewhere in Converse, which demands some beside calls.
    let needs_tools = wire == WireFormat::Converse && !request.tools.iter().any(is_function);
    if !had_tools || needs_tools {
        let called = called(request);
        let has_called = !called.is_empty();
        request.tools.extend(called);
        if has_called && !had_tools {
            // The client offers none of them. Converse has no word for that.
            request.tool_choice = match wire {
                WireFormat::Converse => None,
                WireFormat::OpenAi
                | WireFormat::Anthropic
                | WireFormat::Gemini
                | WireFormat::Cohere
                | WireFormat::Responses
                | WireFormat::Ollama => Some(ToolChoice::Nothing),
            };
        }
    }
}

/// The tools that the history calls, each once. Those that are offered in the provider's words are declared there: where the
/// history calls no other, one stands for them that cannot be called.
fn called<'a>(request: &Request<'a>) -> Vec<Tool<'a>> {
    let mut tools: Vec<Tool<'a>> = Vec::new();
    let mut has_calls = false;
    let native = request.tools.iter().filter_map(|tool| match tool {
        Tool::Native(raw) => texts(raw, ["name"]).ok()?[0].map(|name| name.trim_matches('"')),
        Tool::Function { .. } => None,
    });
    let mut known: HashSet<&str> = native.collect();
    let parts = request.turns.iter().flat_map(|turn| &turn.parts);
    for part in parts {
        let Content::ToolCall { name, .. } = &part.content else { continue };
        has_calls = true;
        if known.insert(name) {
            tools.push(Tool::Function {
                name: name.clone(),
                description: None,
                schema: Some(Cow::Borrowed(ANY_OBJECT)),
                strict: None,
                cache: None,
            });
        }
    }
    if has_calls && tools.is_empty() {
        tools.push(Tool::Function {
            name: Cow::Borrowed(NONE),
            description: Some(Cow::Borrowed("It is not available.")),
            schema: Some(Cow::Borrowed(ANY_OBJECT)),
            strict: None,
            cache: None,
        });
    }
    tools
}

#[cfg(test)]
mod tests {
    use hale_core::operation::Operation;
    use serde_json::{Value, json};

    use crate::fixture::{deployment, order, sent};

    fn to(provider: &str, messages: Value) -> Value {
        let body = json!({"model": "m", "messages": messages});
        sent(&body, &order(&deployment(provider), Operation::Chat, "claude-sonnet-4-5")).unwrap()
    }

    #[test]
    fn a_turn_of_the_user_without_a_word_gets_one() {
        let user = |content: Value| json!({"role": "user", "content": content});
        let model = json!({"role": "assistant", "content": "hello"});
        for silent in [json!(""), json!(" \n"), json!([]), json!([{"type": "text", "text": ""}])] {
            for (provider, word) in [("anthropic", json!(".")), ("bedrock", json!([{"text": "."}]))]
            {
                let name = "anthropic.claude-sonnet-4-5-20250929-v1:0";
                let body = json!({"model": "m", "messages":
                    [user(json!("hi")), model, user(silent.clone()), model, user(json!("on"))]});
                let there = deployment(provider);
                let out = sent(&body, &order(&there, Operation::Chat, name)).unwrap();
                assert_eq!(out["messages"][2]["content"], word, "{provider} {silent}");
                assert_eq!(out["messages"].as_array().unwrap().len(), 5, "{provider} {silent}");
            }
        }
    }

    #[test]
    fn a_request_that_begins_with_the_model_gets_a_first_turn_of_the_user() {
        let model = json!({"role": "assistant", "content": "hello"});
        let user = json!({"role": "user", "content": "hi"});
        let out = to("anthropic", json!([model, user]));
        assert_eq!(
            (&out["messages"][0]["role"], &out["messages"][1]["role"]),
            (&json!("user"), &json!("assistant"))
        );
        let out = to("anthropic", json!([{"role": "system", "content": "write a poem"}]));
        assert_eq!(out["messages"][0]["role"], "user", "{out}");
        assert_eq!(to("anthropic", json!([user]))["messages"].as_array().unwrap().len(), 1);
        assert_eq!(to("openai", json!([model, user]))["messages"][0]["role"], "assistant");
    }

    #[test]
    fn tools_that_only_the_history_calls_are_declared_and_not_offered() {
        let call = |id: &str| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}});
        let messages = json!([{"role": "user", "content": "hi"},
            {"role": "assistant", "content": null, "tool_calls": [call("a"), call("b")]},
            {"role": "tool", "tool_call_id": "a", "content": "1"}, {"role": "tool", "tool_call_id": "b", "content": "2"}]);
        let out = to("anthropic", messages.clone());
        assert_eq!(out["tools"].as_array().unwrap().len(), 1, "{out}");
        assert_eq!(
            (&out["tools"][0]["name"], &out["tool_choice"]["type"]),
            (&json!("f"), &json!("none"))
        );
        assert_eq!(to("openai", messages).get("tools"), None);
    }
}
