use hale_core::deployment::Deployment;
use hale_core::health::outcome::{Observation, ProviderError, classify};
use hale_core::takes::{LimitName, Takes};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::*;
use crate::fixture::{body, deployment, order, sent, testdata};
use crate::formats::{errors, retry_after};

const CLAUDE: &str = "claude-sonnet-4-5";

fn to_anthropic(given: &Value) -> Result<Value, Unfit> {
    sent(given, &order(&deployment("anthropic"), Operation::Chat, CLAUDE))
}

fn to_openai(given: &Value) -> Result<Value, Unfit> {
    sent(given, &order(&deployment("openai"), Operation::Messages, "gpt-4o"))
}

fn chat(more: Value) -> Value {
    let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

fn messages(more: Value) -> Value {
    let mut body = chat(more);
    body["max_tokens"] = json!(100);
    body
}

#[test]
fn a_whole_chat_request_becomes_a_messages_request() {
    let expected = json!({
        "model": CLAUDE,
        "max_tokens": 4096,
        "system": "Be brief.",
        "messages": [
            {"role": "user", "content": [
                {"type": "text", "text": "What is this?"},
                {"type": "image", "source":
                    {"type": "base64", "media_type": "image/jpeg", "data": "/9j/4AAQ"}},
                {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
                {"type": "document", "source":
                    {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="},
                 "title": "a.pdf"},
            ]},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
                {"type": "redacted_thinking", "data": "EmwK"},
                {"type": "text", "text": "Let me look."},
                {"type": "tool_use", "id": "call_1", "name": "get_weather",
                 "input": {"location": "Paris", "n": 9_007_199_254_740_993_u64}},
                {"type": "tool_use", "id": "call_2", "name": "now", "input": {}},
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "call_1", "content": "15 degrees"},
                {"type": "tool_result", "tool_use_id": "call_2", "content": "no clock"},
                {"type": "text", "text": "And now?"},
            ]},
        ],
        "temperature": 0.5,
        "stop_sequences": ["END"],
        "stream": true,
        "metadata": {"user_id": "u-1"},
        "tools": [
            {"name": "get_weather", "description": "Get the weather", "strict": true,
             "input_schema": {"type": "object", "properties": {"location": {"type": "string"}},
                              "required": ["location"], "additionalProperties": false}},
            {"name": "now", "input_schema": {"type": "object", "properties": {}}},
        ],
        "tool_choice": {"type": "any", "disable_parallel_tool_use": true},
        "thinking": {"type": "enabled", "budget_tokens": 2048},
        "output_config": {"format":
            {"type": "json_schema", "schema":
                {"type": "object", "properties": {}, "additionalProperties": false}}},
    });
    let mut given = body("openai/request-full.json");
    given["max_completion_tokens"] = json!(4096);
    let mut forced = expected.clone();
    forced.as_object_mut().unwrap().remove("thinking");
    assert_eq!(to_anthropic(&given).unwrap(), forced, "a model that thinks cannot be made to call");
    given["tool_choice"] = json!("auto");
    let mut sampled = forced;
    sampled["tool_choice"]["type"] = json!("auto");
    assert_eq!(to_anthropic(&given).unwrap(), sampled, "nor does it sample as it is told");
    given["temperature"] = json!(1);
    let mut expected = expected;
    expected["temperature"] = json!(1);
    expected["tool_choice"]["type"] = json!("auto");
    assert_eq!(to_anthropic(&given).unwrap(), expected);
}

#[test]
fn a_whole_messages_request_becomes_a_chat_request() {
    let expected = json!({
        "model": "gpt-4o",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [
                {"type": "text", "text": "What is this?"},
                {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,/9j/4AAQ"}},
                {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
                {"type": "file", "file":
                    {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}},
                {"type": "text", "text": "plain words"},
            ]},
            {"role": "assistant", "content": "Let me look.", "tool_calls": [
                {"id": "toolu_1", "type": "function", "function": {"name": "get_weather",
                 "arguments": "{\"location\":\"Paris\",\"n\":9007199254740993}"}},
                {"id": "toolu_2", "type": "function",
                 "function": {"name": "now", "arguments": "{}"}},
            ]},
            {"role": "tool", "tool_call_id": "toolu_1", "content": "15 degrees"},
            {"role": "tool", "tool_call_id": "toolu_2", "content": "Error: no clock"},
            {"role": "user", "content": [
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}},
                {"type": "text", "text": "And now?"},
            ]},
        ],
        "max_tokens": 1024,
        "temperature": 0.5,
        "stop": ["END"],
        "stream": true,
        "user": "u-1",
        "tools": [
            {"type": "function", "function": {"name": "get_weather",
             "description": "Get the weather", "parameters": {"type": "object",
             "properties": {"location": {"type": "string"}}, "required": ["location"]}}},
            {"type": "function", "function":
                {"name": "now", "parameters": {"type": "object", "properties": {}}}},
        ],
        "tool_choice": "required",
        "parallel_tool_calls": false,
        "response_format": {"type": "json_schema", "json_schema": {"name": "response",
            "schema": {"type": "object", "properties": {}, "additionalProperties": false},
            "strict": true}},
        "reasoning_effort": "medium",
    });
    assert_eq!(to_openai(&body("anthropic/request-full.json")).unwrap(), expected);
}

#[test]
fn between_equal_formats_only_the_named_fields_change() {
    let text = "{ \"max_tokens\" : 10,\n\"model\":\"g\", \"top_k\": 1.50, \"metadata\":{\"user_id\":\"u\"},\
                \"num_retries\":2, \"messages\":[{\"role\":\"user\",\"content\":\"h\\u00e9\"}] }";
    let peek = Peek::parse(Bytes::copy_from_slice(text.as_bytes())).unwrap();
    let anthropic = deployment("anthropic");
    let out = prepare(&peek, &order(&anthropic, Operation::Messages, "up")).unwrap();
    let expected = text.replace("\"g\"", "\"up\"").replace("\"num_retries\":2,", "");
    assert_eq!(out, Prepared::Body(Operation::Messages.into(), Bytes::from(expected).into(), None));
}

#[test]
fn metadata_keeps_the_one_field_that_anthropic_knows() {
    let anthropic = deployment("anthropic");
    let order = order(&anthropic, Operation::Messages, "up");
    let metadata = |given: Value| sent(&messages(json!({"metadata": given})), &order).unwrap();
    let both = metadata(json!({"user_id": "u", "tags": ["a"]}));
    assert_eq!(both["metadata"], json!({"user_id": "u"}));
    assert!(metadata(json!({"tags": ["a"]})).get("metadata").is_none());
}

#[test]
fn the_token_limit_is_the_clients_else_the_price_lists_else_4096() {
    let mut anthropic = deployment("anthropic");
    let most = |deployment: &Deployment, more: Value| {
        let out = sent(&chat(more), &order(deployment, Operation::Chat, CLAUDE)).unwrap();
        out["max_tokens"].clone()
    };
    assert_eq!(most(&anthropic, json!({})), 4096);
    assert_eq!(most(&anthropic, json!({"max_tokens": 5})), 5);
    assert_eq!(most(&anthropic, json!({"max_tokens": 5, "max_completion_tokens": 6})), 6);
    anthropic.facts.max_output_tokens = Some(64_000.0);
    assert_eq!(most(&anthropic, json!({})), 64_000);
    anthropic.endpoint.default_params = vec![("max_tokens".into(), "77".into())];
    assert_eq!(most(&anthropic, json!({})), 77);
    assert_eq!(most(&anthropic, json!({"max_completion_tokens": 6})), 6);
}

#[test]
fn a_deployments_defaults_are_translated_too() {
    let mut anthropic = deployment("anthropic");
    anthropic.endpoint.default_params = vec![
        ("reasoning_effort".into(), "\"low\"".into()),
        ("stop".into(), "[\"X\"]".into()),
        ("cache_control".into(), "{\"type\":\"ephemeral\"}".into()),
    ];
    anthropic.endpoint.dropped_params = vec!["seed".into()];
    let given = chat(json!({"seed": 1, "stop": null}));
    let out = sent(&given, &order(&anthropic, Operation::Chat, CLAUDE)).unwrap();
    assert_eq!(out["thinking"], json!({"type": "enabled", "budget_tokens": 1024}));
    assert_eq!(
        (&out["stop_sequences"], &out["cache_control"]["type"]),
        (&json!(["X"]), &json!("ephemeral"))
    );
    assert!(out.get("seed").is_none() && out.get("stop").is_none());
}

/// A deployment at Anthropic whose config sets `name`.
fn with_default(name: &str, value: &str) -> Deployment {
    let mut anthropic = deployment("anthropic");
    anthropic.endpoint.default_params = vec![(name.into(), value.into())];
    anthropic
}

#[test]
fn a_default_that_cannot_be_translated_costs_no_client_its_request() {
    for (name, value) in [
        ("cache_control_injection_points", r#"[{"location":"message","role":"system"}]"#),
        ("frequency_penalty", "0.5"),
        ("logit_bias", r#"{"5":1}"#),
        ("seed", "1"),
        ("n", "3"),
        ("some_servers_own", "true"),
        ("web_search_options", "{\"a\":1}"),
        // Values that nothing can read.
        ("stop", "5"),
        ("reasoning_effort", "\"lots\""),
        ("response_format", "\"json\""),
        ("tools", "\"all\""),
        ("tool_choice", "7"),
        ("parallel_tool_calls", "\"yes\""),
    ] {
        let anthropic = with_default(name, value);
        let order = order(&anthropic, Operation::Chat, CLAUDE);
        let out = sent(&chat(json!({"max_tokens": 50})), &order)
            .unwrap_or_else(|why| panic!("{name}: {why}"));
        assert_eq!((&out["model"], &out["max_tokens"]), (&json!(CLAUDE), &json!(50)), "{name}");
        assert!(out.get(name).is_none() || name == "tools", "{name}: {out}");
    }
    // The others stay, and so does what the client asks for.
    let mut anthropic = with_default("seed", "1");
    anthropic.endpoint.default_params.push(("temperature".into(), "0.5".into()));
    anthropic.endpoint.default_params.push(("logit_bias".into(), "{\"5\":1}".into()));
    let both = order(&anthropic, Operation::Chat, CLAUDE);
    assert_eq!(sent(&chat(json!({"top_p": 0.5})), &both).unwrap()["temperature"], 0.5);
    let own = sent(&chat(json!({"seed": 2})), &both).unwrap_err();
    assert_eq!(own.field, "seed");
    let other = sent(&chat(json!({"frequency_penalty": 2})), &both).unwrap_err();
    assert_eq!(other.field, "frequency_penalty", "the client's own are its own");
    assert_eq!(sent(&chat(json!({"stop": 5})), &both).unwrap_err().field, "stop");
}

#[test]
fn a_default_of_the_other_format_does_not_reach_messages_that_pass() {
    for name in hale_core::parameters::NOT_IN_MESSAGES {
        let anthropic = with_default(name, "1");
        let out =
            sent(&messages(json!({})), &order(&anthropic, Operation::Messages, "up")).unwrap();
        assert!(out.get(name).is_none(), "{name}: {out}");
    }
    let anthropic = with_default("top_k", "7");
    let out = sent(&messages(json!({})), &order(&anthropic, Operation::Messages, "up")).unwrap();
    assert_eq!(out["top_k"], 7);
}

#[test]
fn what_a_config_is_told_to_fit_is_not_refused_to_a_client() {
    for name in hale_core::parameters::FIT_FOR_MESSAGES {
        let plain = deployment("anthropic");
        for value in [json!("x"), json!(1), json!({"type": "a"}), json!([{"type": "a"}])] {
            let refused =
                sent(&chat(json!({*name: value})), &order(&plain, Operation::Chat, CLAUDE));
            let why = refused.err().map(|why| why.message).unwrap_or_default();
            assert!(!why.starts_with(&format!("`{name}` cannot be passed on")), "{why}");
        }
    }
}

#[test]
fn reasoning_effort_becomes_the_kind_of_thinking_that_the_model_supports() {
    let anthropic = deployment("anthropic");
    let thinking = |model: &str, effort: &str, most: u64| {
        let given = chat(json!({"reasoning_effort": effort, "max_tokens": most}));
        sent(&given, &order(&anthropic, Operation::Chat, model))
            .map(|out| (out["thinking"].clone(), out["output_config"]["effort"].clone()))
    };
    let budget = |tokens: u64| json!({"type": "enabled", "budget_tokens": tokens});
    for (effort, tokens) in
        [("minimal", 1024), ("low", 1024), ("medium", 2048), ("high", 4096), ("xhigh", 16_384)]
    {
        assert_eq!(thinking(CLAUDE, effort, 50_000).unwrap(), (budget(tokens), Value::Null));
    }
    assert_eq!(thinking(CLAUDE, "high", 4_096).unwrap().0, budget(2_048), "half is the answer's");
    // Advice yields to the limit.
    assert_eq!(thinking(CLAUDE, "low", 2_047).unwrap().0, Value::Null);
    assert_eq!(thinking(CLAUDE, "none", 3_000).unwrap().0, Value::Null);
    assert_eq!(thinking(CLAUDE, "low", 500).unwrap().0, Value::Null);
    assert_eq!(thinking(CLAUDE, "lots", 500).unwrap_err().field, "reasoning_effort");
    let adaptive = json!({"type": "adaptive"});
    assert_eq!(thinking("claude-opus-4-7", "medium", 500).unwrap(), (adaptive, json!("medium")));
}

#[test]
fn a_reasoning_budget_leaves_half_of_the_tokens_for_the_answer() {
    let mut anthropic = deployment("anthropic");
    let out = |deployment: &Deployment, more: Value| {
        sent(&chat(more), &order(deployment, Operation::Chat, CLAUDE)).unwrap()
    };
    let sizes = |out: &Value| {
        (out["max_tokens"].as_u64().unwrap(), out["thinking"]["budget_tokens"].as_u64().unwrap())
    };
    let effort = json!({"reasoning_effort": "high"});
    assert_eq!(sizes(&out(&anthropic, effort.clone())), (4096 + 4096, 4096));
    let own = json!({"thinking": {"type": "enabled", "budget_tokens": 6000}});
    assert_eq!(sizes(&out(&anthropic, own)), (4096 + 6000, 6000));
    anthropic.facts.max_output_tokens = Some(5000.0);
    assert_eq!(sizes(&out(&anthropic, effort)), (5000, 2500));
}

#[test]
fn parameters_of_both_formats_are_merged_or_refused() {
    let anthropic = deployment("anthropic");
    let out = |model: &str, more: Value, drop_params: bool| {
        let order = order(&anthropic, Operation::Chat, model);
        sent(&chat(more), &Order { drop_params, ..order })
    };
    let schema =
        json!({"type": "json_schema", "json_schema": {"name": "n", "schema": {"title": "t"}}});
    let shape = json!({"type": "json_schema", "schema": {"title": "t"}});
    let given = json!({"output_config": {"effort": "low"}, "response_format": schema});
    let expected = json!({"effort": "low", "format": shape});
    assert_eq!(out(CLAUDE, given, false).unwrap()["output_config"], expected);
    let given = json!({"output_config": {"format": shape}, "reasoning_effort": "high"});
    let merged = out("claude-opus-4-7", given, false).unwrap();
    assert_eq!(merged["output_config"], json!({"effort": "high", "format": shape}));
    let adaptive = json!({"thinking": {"type": "adaptive"}, "reasoning_effort": "high"});
    let merged = out("claude-opus-4-7", adaptive, false).unwrap();
    assert_eq!(merged["output_config"], json!({"effort": "high"}));
    let budget = json!({"type": "enabled", "budget_tokens": 2000});
    for (model, given, field) in [
        (CLAUDE, json!({"thinking": budget, "reasoning_effort": "high"}), "reasoning_effort"),
        (
            "claude-opus-4-7",
            json!({"output_config": {"effort": "low"}, "reasoning_effort": "high"}),
            "reasoning_effort",
        ),
        (
            CLAUDE,
            json!({"output_config": {"format": shape}, "response_format": schema}),
            "response_format",
        ),
    ] {
        assert_eq!(out(model, given.clone(), false).unwrap_err().field, field, "{given}");
        assert!(out(model, given.clone(), true).is_ok(), "{given}");
    }
}

#[test]
fn no_other_parameter_is_lost_between_the_formats() {
    let out = to_openai(&messages(json!({"output_config": {"effort": "low"}}))).unwrap();
    assert_eq!(out["reasoning_effort"], "low");
    for (config, field) in [
        (json!({"unknown": {"total": 9}}), "output_config.unknown"),
        (json!({"format": {"type": "xml", "schema": {}}}), "output_config.format.type: xml"),
    ] {
        let error = to_openai(&messages(json!({"output_config": config}))).unwrap_err();
        assert_eq!(error.field, field);
    }
    let turn = |content: Value| json!({"messages": [{"role": "user", "content": content}]});
    let source = json!({"type": "text", "media_type": "text/plain", "data": "body"});
    let document = json!([{"type": "document", "source": source, "title": "T"}]);
    let out = to_openai(&messages(turn(document))).unwrap();
    assert_eq!(out["messages"][0]["content"][0]["text"], "T");
    let out = to_openai(&messages(turn(json!([])))).unwrap();
    assert_eq!(out["messages"], json!([{"role": "user", "content": []}]));
    let anthropic = deployment("anthropic");
    let to_anthropic = |messages: Value| {
        let given = json!({"model": "m", "messages": messages});
        sent(&given, &order(&anthropic, Operation::Chat, CLAUDE))
    };
    let spoken =
        json!([{"role": "user", "content": "a"}, {"role": "assistant", "audio": {"id": "x"}}]);
    assert_eq!(to_anthropic(spoken).unwrap_err().field, "messages[1].audio");
    let call = |id: &str| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let late = json!([
        {"role": "user", "content": "a"},
        {"role": "assistant", "tool_calls": [call("1"), call("2")]},
        {"role": "tool", "tool_call_id": "1", "content": "one"},
        {"role": "user", "content": "and?"},
        {"role": "tool", "tool_call_id": "2", "content": "two"},
    ]);
    let out = to_anthropic(late).unwrap();
    let kinds: Vec<&Value> = out["messages"][2]["content"]
        .as_array()
        .unwrap()
        .iter()
        .map(|block| &block["type"])
        .collect();
    assert_eq!(kinds, ["tool_result", "tool_result", "text"]);
}

#[test]
fn thinking_becomes_reasoning_effort() {
    let effort = |more: Value| to_openai(&messages(more)).unwrap()["reasoning_effort"].clone();
    for (budget, expected) in [(1024, "minimal"), (2000, "low"), (5000, "medium"), (10_000, "high")]
    {
        let thinking = json!({"thinking": {"type": "enabled", "budget_tokens": budget}});
        assert_eq!(effort(thinking), expected);
    }
    assert_eq!(effort(json!({"thinking": {"type": "disabled"}})), Value::Null);
    let adaptive = json!({"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}});
    assert_eq!(effort(adaptive), "xhigh");
}

#[test]
fn openais_reasoning_models_get_the_newer_name_of_the_limit() {
    let mut openai = deployment("openai");
    openai.endpoint.takes = Some(Takes { limit: LimitName::Newer, ..Takes::default() });
    let out = sent(&messages(json!({})), &order(&openai, Operation::Messages, "o3")).unwrap();
    assert_eq!(out["max_completion_tokens"], 100);
    assert!(out.get("max_tokens").is_none());
}

#[test]
fn a_parameter_without_a_counterpart_is_refused_by_name_or_dropped() {
    let anthropic = deployment("anthropic");
    let openai = deployment("openai");
    for (given, field) in [
        (json!({"seed": 7}), "seed"),
        (json!({"n": 2}), "n"),
        (json!({"logprobs": true}), "logprobs"),
        (json!({"presence_penalty": 0.5}), "presence_penalty"),
        (json!({"x_unknown": 1}), "x_unknown"),
    ] {
        let mut order = order(&anthropic, Operation::Chat, CLAUDE);
        let unfit = sent(&chat(given.clone()), &order).unwrap_err();
        assert_eq!(unfit.field, field);
        assert!(unfit.message.contains(field) && unfit.message.contains("drop_params"));
        order.drop_params = true;
        let out = sent(&chat(given), &order).unwrap();
        assert_eq!(out.as_object().unwrap().len(), 3, "{out}");
    }
    for (name, value) in
        [("top_k", json!(5)), ("container", json!("c")), ("mcp_servers", json!([{}]))]
    {
        let mut order = order(&openai, Operation::Messages, "gpt-4o");
        let given = messages(json!({name: value}));
        assert_eq!(sent(&given, &order).unwrap_err().field, name);
        order.drop_params = true;
        assert!(sent(&given, &order).unwrap().get(name).is_none());
    }
}

#[test]
fn parameters_with_their_default_value_are_left_out() {
    let given = chat(json!({"n": 1, "logprobs": false, "store": false, "presence_penalty": 0,
        "frequency_penalty": 0.0, "logit_bias": {}, "service_tier": "auto", "seed": null,
        "metadata": {"a": "b"}, "num_retries": 3, "response_format": {"type": "text"}}));
    assert_eq!(to_anthropic(&given).unwrap().as_object().unwrap().len(), 3);
}

#[test]
fn content_without_a_counterpart_is_refused_with_its_path_and_never_dropped() {
    let with = |content: Value| json!({"messages": [{"role": "user", "content": content}]});
    let cases = [
        (json!([{"type": "input_audio", "input_audio": {}}]), "messages[0].content[0].input_audio"),
        (
            json!([{"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}]),
            "messages: audio or video",
        ),
        (json!([{"type": "hologram"}]), "messages[0].content[0].type: hologram"),
        (json!([{"type": "text"}]), "messages[0].content[0].text"),
        (json!(5), "messages[0].content"),
        (json!([{"type": "image_url", "image_url": {"url": "data:x"}}]), "messages[0].content[0]"),
        (json!([{"type": "file", "file": {}}]), "messages[0].content[0].file"),
    ];
    for (content, field) in cases {
        let anthropic = deployment("anthropic");
        let mut order = order(&anthropic, Operation::Chat, CLAUDE);
        order.drop_params = true;
        assert_eq!(sent(&chat(with(content)), &order).unwrap_err().field, field);
    }
    let cases = [
        (
            json!([{"type": "container_upload", "file_id": "f"}]),
            "messages[0].content[0].type: container_upload",
        ),
        (json!([{"type": "new", "text": "x"}]), "messages[0].content[0].type: new"),
        (
            json!([{"type": "document", "source": {"type": "url", "url": "https://x/a.pdf"}}]),
            "document.source",
        ),
        (json!([{"type": "image", "source": {"type": "file", "file_id": "f"}}]), "image.source"),
    ];
    for (content, field) in cases {
        assert_eq!(to_openai(&messages(with(content))).unwrap_err().field, field);
    }
    let web = json!({"tools": [{"type": "web_search_20250305", "name": "web_search"}],
        "tool_choice": {"type": "tool", "name": "web_search"}});
    assert_eq!(to_openai(&messages(web)).unwrap_err().field, "tools[0]");
    let calls = json!([{"id": "c", "type": "custom"}]);
    let given = json!({"messages": [{"role": "assistant", "tool_calls": calls}]});
    let unfit = to_anthropic(&chat(given)).unwrap_err();
    assert_eq!(unfit.field, "messages[0].tool_calls[0].function");
}

#[test]
fn anthropics_own_parameters_and_tools_pass_from_a_chat_client() {
    let thinking = json!({"type": "enabled", "budget_tokens": 3000, "display": "omitted"});
    let tool = json!({"type": "web_search_20250305", "name": "web_search", "max_uses": 5});
    let mark = json!({"type": "ephemeral"});
    let given = chat(json!({"thinking": thinking, "cache_control": mark, "tools": [tool]}));
    let out = to_anthropic(&given).unwrap();
    assert_eq!((&out["thinking"], &out["cache_control"]), (&thinking, &mark));
    assert_eq!(out["tools"], json!([tool]));
}

#[test]
fn cache_control_of_a_chat_client_reaches_the_provider() {
    let mark = json!({"type": "ephemeral", "ttl": "1h"});
    let given = json!({
        "model": "m",
        "messages": [
            {"role": "system", "content": [{"type": "text", "text": "s", "cache_control": mark}]},
            {"role": "user", "content": "u", "cache_control": mark},
            {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "c", "content": "r", "cache_control": mark},
        ],
        "tools": [{"type": "function", "function": {"name": "f"}, "cache_control": mark}],
    });
    let out = to_anthropic(&given).unwrap();
    assert_eq!(out["system"][0]["cache_control"], mark);
    assert_eq!(out["messages"][0]["content"][0]["cache_control"], mark);
    let result = &out["messages"][2]["content"][0];
    assert_eq!((&result["cache_control"], &result["content"]), (&mark, &json!("r")));
    assert_eq!(out["tools"][0]["cache_control"], mark);
}

#[test]
fn a_long_user_is_cut_to_what_openai_takes() {
    let given = messages(json!({"metadata": {"user_id": "\u{fc}".repeat(100)}}));
    assert_eq!(to_openai(&given).unwrap()["user"], "\u{fc}".repeat(64));
}

#[test]
fn text_documents_are_sent_as_text_and_other_files_are_refused() {
    let file = |data: &str| {
        let part = json!({"type": "file", "file": {"file_data": data, "filename": "a"}});
        to_anthropic(&chat(json!({"messages": [{"role": "user", "content": [part]}]})))
    };
    let out = file("data:text/plain;charset=utf-8;base64,aGkgdGhlcmU=").unwrap();
    let source = &out["messages"][0]["content"][0]["source"];
    assert_eq!(*source, json!({"type": "text", "media_type": "text/plain", "data": "hi there"}));
    let out = file("data:image/png;base64,iVBO").unwrap();
    assert_eq!(out["messages"][0]["content"][0]["type"], "image");
    assert!(
        file("data:application/zip;base64,UEs=").unwrap_err().field.contains("application/zip")
    );
}

#[test]
fn tokens_are_estimated_where_the_provider_does_not_count() {
    let databricks = deployment("databricks");
    let order = order(&databricks, Operation::CountTokens, "gpt-4o");
    let count = |given: &Value| sent(given, &order).unwrap();
    let short = count(&chat(json!({})));
    assert_eq!(short["estimated"], true);
    let long = count(&chat(json!({"system": "word ".repeat(1000)})));
    let (short, long) =
        (short["input_tokens"].as_u64().unwrap(), long["input_tokens"].as_u64().unwrap());
    assert!(short > 0 && (1000..2000).contains(&(long - short)), "{short} {long}");
    assert!(count(&body("anthropic/request-full.json"))["input_tokens"].as_u64().unwrap() > 3000);
}

#[test]
fn an_operation_that_the_provider_lacks_is_refused() {
    let anthropic = deployment("anthropic");
    for (operation, field) in [(Operation::Embedding, "input"), (Operation::Completion, "prompt")] {
        let given = json!({"model": "m", field: "x"});
        let unfit = sent(&given, &order(&anthropic, operation, CLAUDE)).unwrap_err();
        assert!(unfit.message.contains(operation.upstream_path()), "{}", unfit.message);
    }
}

#[test]
fn every_recorded_refusal_has_its_cause() {
    // 2026-01-01T00:00:00Z
    const NOW: u64 = 1_767_225_600_000;
    let mut seen = 0;
    for provider in ["anthropic", "azure", "gemini", "openai"] {
        let folder = format!("{}/../../testdata/{provider}", env!("CARGO_MANIFEST_DIR"));
        for entry in std::fs::read_dir(folder).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if !name.starts_with("error-") {
                continue;
            }
            seen += 1;
            let file: Value =
                serde_json::from_str(&testdata(&format!("{provider}/{name}"))).unwrap();
            let status = u16::try_from(file["status"].as_u64().unwrap()).unwrap();
            let error = errors::parse_provider_error(file["body"].to_string().as_bytes());
            let message = file["body"]["error"]["message"].as_str().unwrap();
            assert_eq!(error.message, errors::clean(message, errors::MESSAGE_MAX), "{name}");
            let cause = classify(&Observation::Status(status, &error)).cause;
            assert_eq!(cause.name(), file["cause"], "{provider}/{name}");
            let mut headers = HeaderMap::new();
            for (name, value) in file["headers"].as_object().into_iter().flatten() {
                let name = HeaderName::try_from(name.as_str()).unwrap();
                headers.insert(name, HeaderValue::from_str(value.as_str().unwrap()).unwrap());
            }
            let of_header = retry_after::retry_hint_ms(status, &headers, NOW);
            let told = ProviderError { wait_ms: of_header.or(error.wait_ms), ..error };
            let hint = told.wait_ms.or_else(|| told.wait_ms(cause, NOW));
            assert_eq!(hint, file["hint_ms"].as_u64(), "{provider}/{name}");
        }
    }
    assert!(seen >= 24, "{seen}");
}
