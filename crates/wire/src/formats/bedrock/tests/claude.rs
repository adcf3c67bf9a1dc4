//! What Anthropic's clients ask for beside their messages: betas, tools in Anthropic's words, tools of the provider, fields of the maker.

use hale_core::aws::{Aws, Route};

use super::*;
use crate::bytes::peek::Peek;
use crate::conversion::prepare::{Prepared, prepare};

fn at(route: Route) -> Deployment {
    let mut made = at_bedrock();
    made.endpoint.aws =
        Some(Aws { region: "us-east-1".into(), model_id: None, route, source: None });
    made
}

const BETAS: &str = "claude-code-20250219,interleaved-thinking-2025-05-14, context-1m-2025-08-07,oauth-2025-04-20,\
    computer-use-2025-01-24,web-search-2025-03-05";

#[test]
fn the_betas_of_an_anthropic_client_that_bedrock_knows_are_in_the_body() {
    let body =
        json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]});
    let common =
        ["interleaved-thinking-2025-05-14", "context-1m-2025-08-07", "computer-use-2025-01-24"];
    let of = |route: Route, model: &str, body: &Value| {
        let made = at(route);
        let order = Order { client_betas: Some(BETAS), ..order(&made, Operation::Messages, model) };
        sent(body, &order).unwrap()
    };
    assert_eq!(of(Route::Invoke, CLAUDE, &body)["anthropic_beta"], json!(common));
    let converse = of(Route::Converse, CLAUDE, &body);
    assert_eq!(
        converse["additionalModelRequestFields"]["anthropic_beta"],
        json!(common),
        "{converse}"
    );
    // Those of the body stay, each once.
    let own = with(body.clone(), json!({"anthropic_beta": ["mine", "context-1m-2025-08-07"]}));
    let out = of(Route::Invoke, CLAUDE, &own);
    assert_eq!(out["anthropic_beta"][0], "mine");
    assert_eq!(out.to_string().matches("context-1m").count(), 1, "{out}");
    // Other models know none.
    assert!(!of(Route::Converse, NOVA, &body).to_string().contains("beta"));
}

#[test]
fn converse_has_tools_wherever_the_history_has_calls() {
    let history = json!([{"role": "user", "content": "ls"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "bash", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "a.txt"}]}]);
    let bash = json!([{"type": "bash_20250124", "name": "bash"}]);
    let search = json!([{"type": "web_search_20250305", "name": "web_search"}]);
    for (model, tools, expected) in [
        (NOVA, &bash, "bash"),
        (NOVA, &search, "bash"),
        (CLAUDE, &search, "bash"),
        // The maker's words declare it already, and a name is declared once.
        (CLAUDE, &bash, "no_tool"),
    ] {
        let out = messages(model, json!({"messages": history, "tools": tools}));
        let declared = &out["toolConfig"]["tools"];
        assert_eq!(declared.as_array().unwrap().len(), 1, "{out}");
        assert_eq!(declared[0]["toolSpec"]["name"], expected, "{model}: {out}");
        assert!(out["toolConfig"].get("toolChoice").is_none(), "{out}");
    }
    let out = messages(CLAUDE, json!({"messages": history, "tools": bash}));
    assert_eq!(out["additionalModelRequestFields"]["tools"], bash);
}

#[test]
fn tools_that_bedrock_does_not_run_are_left_out_of_a_body_that_passes_and_told() {
    let made = at(Route::Invoke);
    let order = order(&made, Operation::Messages, CLAUDE);
    let f = json!({"name": "f", "input_schema": {"type": "object"}});
    let body = json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}],
        "cache_control": {"type": "ephemeral"}, "container": "c",
        "mcp_servers": [{"type": "url", "url": "https://x", "name": "x"}],
        "tools": [{"type": "web_search_20250305", "name": "web_search"}, f, {"type": "bash_20250124", "name": "bash"}]});
    let out = sent(&body, &order).unwrap();
    assert_eq!(out["tools"], json!([f, {"type": "bash_20250124", "name": "bash"}]));
    for name in ["cache_control", "container", "mcp_servers"] {
        assert!(out.get(name).is_none(), "{name}");
    }
    let peek = Peek::parse(Bytes::from(body.to_string())).unwrap();
    let Prepared::Body(_, _, notes) = prepare(&peek, &order).unwrap() else { panic!("no body") };
    assert_eq!(notes.unwrap().left_out, ["container", "mcp_servers", "tools"]);
    let alone = with(body, json!({"tools": [{"type": "web_fetch_20250910", "name": "web_fetch"}]}));
    assert!(sent(&alone, &order).unwrap().get("tools").is_none());
}

#[test]
fn a_field_of_the_maker_is_written_once_and_the_clients_counts() {
    let mut made = at_bedrock();
    made.endpoint.default_params =
        vec![("additionalModelRequestFields".into(), r#"{"top_k":3,"x":1}"#.into())];
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}], "top_k": 5});
    let peek = Peek::parse(Bytes::from(body.to_string())).unwrap();
    let order = order(&made, Operation::Chat, CLAUDE);
    let Prepared::Body(_, out, _) = prepare(&peek, &order).unwrap() else { panic!("no body") };
    let text = String::from_utf8(out.joined().to_vec()).unwrap();
    assert!(text.contains(r#""additionalModelRequestFields":{"top_k":5,"x":1}"#), "{text}");
    let said = json!({"additionalModelRequestFields": {"thinking": {"type": "disabled"}}, "reasoning_effort": "high"});
    let out = sent(&with(body, said), &order).unwrap();
    assert_eq!(out.to_string().matches("\"thinking\"").count(), 1, "{out}");
}

#[test]
fn nova_gets_schemas_with_the_members_that_it_takes() {
    let schema = json!({"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "T", "type": "object",
        "properties": {"a": {"type": "string", "title": "A"}}, "required": ["a"], "additionalProperties": false});
    let out = chat(NOVA, json!({"tools": [tool("f", schema.clone())]}));
    let sent = &out["toolConfig"]["tools"][0]["toolSpec"]["inputSchema"]["json"];
    let names: Vec<&String> = sent.as_object().unwrap().keys().collect();
    assert_eq!(names, ["type", "properties", "required"], "{out}");
    assert_eq!(sent["properties"]["a"]["title"], "A");
    let out = chat(CLAUDE, json!({"tools": [tool("f", schema)]}));
    let sent = &out["toolConfig"]["tools"][0]["toolSpec"]["inputSchema"]["json"];
    assert_eq!(sent["title"], "T", "{out}");
}
