//! What one client asks at once and Claude or another wire cannot do together: which of it yields, and what is only written
//! differently. The providers here refuse what the real ones refuse.

use hale_testkit::{FakeUpstream, Request, anthropic};
use serde_json::{Value, json};

use crate::health::{counts, health};
use crate::sessions::{
    MESSAGES, anthropics, anthropics_refusal, ask, chat, claude, last, post, refused, served,
    shaped, user, with,
};
use crate::support::{CHAT, Config, expect_error};

/// A Claude before 4.6, which also refuses what it cannot do while it thinks.
fn older_claude() -> FakeUpstream {
    FakeUpstream::with(|request: &Request| {
        let body = request.json();
        let (thinking, most) = (&body["thinking"], body["max_tokens"].as_u64().unwrap());
        let samples = body.get("temperature").is_some_and(|it| it != 1)
            || ["top_p", "top_k"].iter().any(|name| body.get(*name).is_some());
        let is_on = thinking["type"] == "enabled";
        let why = if body.get("reasoning_effort").is_some() {
            Some("reasoning_effort: Extra inputs are not permitted".to_owned())
        } else if is_on && thinking["budget_tokens"].as_u64().unwrap() >= most {
            Some("`max_tokens` must be greater than `thinking.budget_tokens`".to_owned())
        } else if is_on && samples {
            Some("`temperature` may only be set to 1 when thinking is enabled".to_owned())
        } else {
            anthropics_refusal(&body)
        };
        match why {
            Some(why) => refused(&why),
            None => anthropic::answer(request),
        }
    })
}

#[test]
fn an_effort_yields_to_what_leaves_it_no_place_before_claude() {
    let claude = older_claude();
    let hale = Config::new().with("m", "a", &claude, anthropics(&claude)).start();
    let function = json!({"type": "function", "function": {"name": "f"}});
    for (more, what) in [
        (json!({"reasoning_effort": "medium", "max_tokens": 500}), "reasoning_effort"),
        (json!({"reasoning_effort": "medium", "max_completion_tokens": 1024}), "reasoning_effort"),
        (json!({"reasoning_effort": "minimal", "max_tokens": 2000}), "reasoning_effort"),
        (json!({"reasoning_effort": "high", "temperature": 0}), "reasoning_effort"),
        (json!({"reasoning_effort": "high", "top_p": 0.5}), "reasoning_effort"),
        (json!({"reasoning_effort": "high", "top_k": 5}), "reasoning_effort"),
        (
            json!({"reasoning_effort": "high", "tools": [function], "tool_choice": "required"}),
            "reasoning_effort",
        ),
        (
            json!({"thinking": {"type": "enabled", "budget_tokens": 2000}, "max_tokens": 100}),
            "thinking",
        ),
        (
            json!({"thinking": {"type": "enabled", "budget_tokens": 2000}, "temperature": 0.2}),
            "thinking",
        ),
    ] {
        for stream in [false, true] {
            let answer =
                post(&hale, CHAT, &chat("m", with(more.clone(), json!({"stream": stream}))));
            assert_eq!(answer.status, 200, "{more}: {}", answer.text());
            assert_eq!(answer.header("x-hale-left-out"), Some(what), "{more}");
            let sent = last(&claude).json();
            assert!(sent.get("thinking").is_none(), "{sent}");
            for name in ["temperature", "top_p", "top_k"] {
                assert_eq!(sent.get(name), more.get(name), "{name}");
            }
        }
    }
    let stays = json!({"reasoning_effort": "high", "temperature": 1, "max_tokens": 4096});
    served(&hale, CHAT, &chat("m", stays));
    let budget = json!({"type": "enabled", "budget_tokens": 2048});
    assert_eq!(last(&claude).json()["thinking"], budget);
}

#[test]
fn thinking_by_default_yields_to_the_client_and_to_a_probe() {
    let budget = json!({"type": "enabled", "budget_tokens": 2000});
    for (mode, default) in [
        ("chat", json!({"reasoning_effort": "high"})),
        ("chat", json!({"thinking": budget})),
        ("messages", json!({"thinking": budget})),
        ("messages", json!({"reasoning_effort": "medium"})),
    ] {
        let claude = older_claude();
        let params = with(anthropics(&claude), default.clone());
        let hale = Config::new().with("m", "a", &claude, params).start();
        let (_, page) = health(&hale, "");
        assert_eq!(counts(&page), [1, 0, 0], "{mode} {default}: {page}");
        let (path, body) = match mode {
            "chat" => (CHAT, chat("m", json!({}))),
            _ => (MESSAGES, ask("m", json!({}))),
        };
        served(&hale, path, &with(body.clone(), json!({"max_tokens": 9000})));
        assert_eq!(last(&claude).json()["thinking"]["type"], "enabled", "{mode} {default}");
        for more in [json!({"max_tokens": 100}), json!({"max_tokens": 9000, "temperature": 0})] {
            served(&hale, path, &with(body.clone(), more));
            assert!(last(&claude).json().get("thinking").is_none(), "{mode} {default}");
        }
        let other = match default.get("thinking") {
            Some(_) => json!({"reasoning_effort": "low"}),
            None => json!({"thinking": {"type": "enabled", "budget_tokens": 1024}}),
        };
        if mode == "chat" {
            served(&hale, path, &with(body, other));
            assert_eq!(last(&claude).json()["thinking"]["budget_tokens"], 1024, "{default}");
        }
    }
}

#[test]
fn arguments_that_a_model_broke_off_do_not_end_a_session_before_claude() {
    let claude = claude();
    let hale = Config::new().with("m", "a", &claude, anthropics(&claude)).start();
    for (arguments, expected) in [
        ("{\"a\": \"unfinished", json!({"invalid_arguments": "{\"a\": \"unfinished"})),
        ("[1]", json!({"invalid_arguments": "[1]"})),
        ("\"x\"", json!({"invalid_arguments": "\"x\""})),
        ("{\"a\":1}{\"b\":2}", json!({"invalid_arguments": "{\"a\":1}{\"b\":2}"})),
        ("null", json!({})),
        ("", json!({})),
    ] {
        for stream in [false, true] {
            let call = json!({"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}});
            let more = json!({"stream": stream, "messages": [user("hi"),
                {"role": "assistant", "content": null, "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "c", "content": "bad input"}]});
            assert_eq!(post(&hale, CHAT, &chat("m", more)).status, 200, "{arguments}");
            assert_eq!(last(&claude).json()["messages"][1]["content"][0]["input"], expected);
        }
    }
}

#[test]
fn objects_of_several_schemas_are_not_closed_before_claude() {
    let claude = claude();
    let hale = Config::new().with("m", "a", &claude, anthropics(&claude)).start();
    let a = json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]});
    let b = json!({"type": "object", "properties": {"b": {"type": "string"}}, "required": ["b"]});
    let nested = json!({"type": "object", "properties": {"x": {"allOf": [a, b]}}});
    for schema in [
        json!({"allOf": [a, b]}),
        with(a.clone(), json!({"allOf": [b]})),
        with(a.clone(), json!({"anyOf": [b, {"type": "object", "properties": {"c": {}}}]})),
        nested.clone(),
    ] {
        let function = json!({"name": "f", "parameters": schema, "strict": true});
        let more = json!({"response_format": shaped(&schema), "tools": [{"type": "function", "function": function}]});
        served(&hale, CHAT, &chat("m", more));
        let sent = last(&claude).json();
        assert!(!sent.to_string().contains("additionalProperties"), "{sent}");
        let names = [&sent["tools"][0]["name"], &sent["tools"][1]["name"]];
        assert_eq!(names, ["f", "json_answer"]);
    }
    let alone = json!({"allOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": a}});
    served(&hale, CHAT, &chat("m", json!({"response_format": shaped(&alone)})));
    assert_eq!(
        last(&claude).json()["output_config"]["format"]["schema"]["$defs"]["a"]["additionalProperties"],
        false
    );
}

#[test]
fn a_tool_that_takes_a_text_is_a_function_before_claude() {
    let claude = claude();
    let hale = Config::new().with("m", "a", &claude, anthropics(&claude)).start();
    let grammar = json!({"type": "grammar", "grammar": {"syntax": "regex", "definition": "a"}});
    for (more, left_out) in [
        (json!({}), None),
        (json!({"format": {"type": "text"}}), None),
        (json!({"format": grammar}), Some("tools.custom.format")),
    ] {
        let tool = json!({"type": "custom", "custom": with(json!({"name": "c", "description": "d"}), more)});
        let choice = json!({"type": "custom", "custom": {"name": "c"}});
        let answer = post(&hale, CHAT, &chat("m", json!({"tools": [tool], "tool_choice": choice})));
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.header("x-hale-left-out"), left_out);
        let sent = last(&claude).json();
        assert_eq!(
            sent["tools"],
            json!([{"name": "c", "description": "d", "input_schema": {"type": "object",
                "properties": {"input": {"type": "string"}}, "required": ["input"]}}])
        );
        assert_eq!(sent["tool_choice"], json!({"type": "tool", "name": "c"}));
    }
}

#[test]
fn an_empty_list_or_object_asks_nothing_of_another_wire() {
    let upstream = FakeUpstream::start();
    let claude = claude();
    let hale = Config::new()
        .with("m", "a", &upstream, json!({}))
        .with("c", "b", &claude, anthropics(&claude))
        .start();
    for more in [
        json!({"mcp_servers": []}),
        json!({"mcp_servers": [ ], "diagnostics": {}}),
        json!({"container": {}, "output_config": {"task_budget": {}, "more": []}}),
    ] {
        served(&hale, MESSAGES, &ask("m", more));
    }
    let set = json!({"mcp_servers": [{"type": "url", "url": "https://x", "name": "x"}]});
    expect_error(&post(&hale, MESSAGES, &ask("m", set)), 400, "unsupported_parameter");
    served(&hale, CHAT, &chat("c", json!({"functions": [], "logit_bias": {}, "audio": {}})));
}

#[test]
fn a_document_of_blocks_is_read_by_another_wire() {
    let upstream = FakeUpstream::start();
    let hale = Config::new().with("m", "a", &upstream, json!({})).start();
    let text = json!({"type": "text", "text": "one"});
    let image = json!({"type": "image", "source": {"type": "url", "url": "https://x/a.png"}});
    let document = |content: Value| json!({"type": "document", "title": "t", "context": "c", "source": {"type": "content", "content": content}});
    for (content, expected) in [
        (json!("one"), json!([{"type": "text", "text": "one"}])),
        (json!([text]), json!([{"type": "text", "text": "one"}])),
        (
            json!([text, image]),
            json!([{"type": "text", "text": "one"}, {"type": "image_url", "image_url": {"url": "https://x/a.png"}}]),
        ),
    ] {
        let messages = json!([{"role": "user", "content": [document(content)]}]);
        served(&hale, MESSAGES, &ask("m", json!({"messages": messages})));
        let mut all =
            vec![json!({"type": "text", "text": "t"}), json!({"type": "text", "text": "c"})];
        all.extend(expected.as_array().unwrap().clone());
        assert_eq!(last(&upstream).json()["messages"][0]["content"], json!(all));
    }
}

#[test]
fn a_prefill_loses_the_white_space_at_its_end_before_claude() {
    let claude = claude();
    let hale = Config::new().with("m", "a", &claude, anthropics(&claude)).start();
    let parts = json!([{"type": "text", "text": "a "}, {"type": "text", "text": "{\n "}]);
    for (content, expected) in [
        (json!("Here: "), json!("Here:")),
        (json!(" \u{e9}\n\t"), json!(" \u{e9}")),
        (parts, json!([{"type": "text", "text": "a "}, {"type": "text", "text": "{"}])),
    ] {
        let prefill = json!({"role": "assistant", "content": content});
        served(&hale, CHAT, &chat("m", json!({"messages": [user("hi "), prefill]})));
        let sent = last(&claude).json();
        assert_eq!(
            (&sent["messages"][0]["content"], &sent["messages"][1]["content"]),
            (&json!("hi "), &expected)
        );
        served(&hale, CHAT, &chat("m", json!({"messages": [user("hi"), prefill, user("on")]})));
        assert_eq!(last(&claude).json()["messages"][1]["content"], content);
    }
}

#[test]
fn ids_of_calls_fit_the_provider_where_chat_bytes_pass() {
    let long = format!("chatcmpl-tool-{}", "0".repeat(32));
    let given = |id: &str, more: &str| {
        let call = json!({"id": id, "type": "function", "function": {"name": "f", "arguments": format!("{{\"a\":\"{more}\"}}")}});
        json!({"messages": [user("hi"), {"role": "assistant", "content": null, "tool_calls": [call, with(call.clone(), json!({"id": "abcdefgh1"}))]},
            {"role": "tool", "tool_call_id": id, "content": "\"tool_call_id\": \"x:1\""},
            {"role": "tool", "tool_call_id": "abcdefgh1", "content": "b"}],
            "tools": [{"type": "function", "function": {"name": "f"}}]})
    };
    for (model, most, exact) in [
        ("mistral/mistral-large-latest", 9, true),
        ("openai/gpt-4o", 40, false),
        ("openrouter/openai/gpt-4o", 40, false),
        ("hosted_vllm/qwen3", 64, false),
    ] {
        let upstream = FakeUpstream::start();
        let hale = Config::new().with("m", "a", &upstream, json!({"model": model})).start();
        for id in [long.as_str(), "call_123", "abcdefgh2", "functions.Bash:0"] {
            for more in ["", &"x".repeat(4096)] {
                served(&hale, CHAT, &chat("m", given(id, more)));
                let sent = last(&upstream).json();
                let shown = sent["messages"][1]["tool_calls"][0]["id"].as_str().unwrap();
                assert_eq!(sent["messages"], given(shown, more)["messages"], "{model}");
                assert!(shown.len() <= most && (!exact || shown.len() == most), "{model}: {shown}");
                let fits = if exact { id == "abcdefgh2" } else { id.len() <= most };
                assert_eq!(shown == id, fits, "{model}: {shown}");
            }
        }
    }
}

#[test]
fn a_fallback_gets_ids_that_it_takes() {
    let vllm = FakeUpstream::with(|_: &Request| hale_testkit::Script::error(500, "boom"));
    let mistral = FakeUpstream::start();
    let hale = Config::new()
        .router(json!({"num_retries": 0, "fallbacks": [{"v": ["m"]}]}))
        .with("v", "a", &vllm, json!({"model": "hosted_vllm/qwen3"}))
        .with("m", "b", &mistral, json!({"model": "mistral/mistral-large-latest"}))
        .start();
    let id = format!("chatcmpl-tool-{}", "0".repeat(32));
    let call = json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let more = json!({"messages": [user("hi"), {"role": "assistant", "content": null, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": id, "content": "a"}]});
    served(&hale, CHAT, &chat("v", more));
    assert_eq!(last(&vllm).json()["messages"][2]["tool_call_id"], json!(id));
    let sent = last(&mistral).json();
    let shown = &sent["messages"][2]["tool_call_id"];
    assert_eq!(shown.as_str().unwrap().len(), 9);
    assert_eq!(&sent["messages"][1]["tool_calls"][0]["id"], shown);
}

#[test]
fn an_openai_model_gets_short_ids_from_clients_of_messages_behind_any_address() {
    let id = format!("chatcmpl-tool-{}", "0".repeat(32));
    let call = json!({"type": "tool_use", "id": id, "name": "f", "input": {}});
    let more = json!({"messages": [user("hi"), {"role": "assistant", "content": [call]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": id, "content": "a"}]}]});
    for (model, is_short) in [
        ("openai/gpt-4o", true),
        ("litellm_proxy/o3-mini", true),
        ("openrouter/openai/gpt-5", true),
        ("hosted_vllm/gpt-oss-20b", false),
    ] {
        let upstream = FakeUpstream::start();
        let hale = Config::new().with("m", "a", &upstream, json!({"model": model})).start();
        served(&hale, MESSAGES, &ask("m", more.clone()));
        let sent = last(&upstream).json();
        let Some(shown) = sent["messages"][2]["tool_call_id"].as_str() else { panic!("{sent}") };
        assert_eq!(shown.len() <= 40, is_short, "{model}: {shown}");
    }
}

#[test]
fn the_role_developer_is_system_where_only_that_is_known() {
    for (model, role) in [
        ("deepseek/deepseek-chat", "system"),
        ("mistral/mistral-large-latest", "system"),
        ("hosted_vllm/qwen3", "system"),
        ("openai/gpt-4o", "developer"),
        ("groq/llama-3.3-70b-versatile", "developer"),
    ] {
        let upstream = FakeUpstream::with(hale_testkit::openai::answer);
        let hale = Config::new().with("m", "a", &upstream, json!({"model": model})).start();
        for stream in [false, true] {
            let quoted = user("the \"developer\" said");
            let messages = json!([{"role": "developer", "content": "be brief"}, quoted, {"content": "x", "role": "developer"}, user("now")]);
            let answer =
                post(&hale, CHAT, &chat("m", json!({"messages": messages, "stream": stream})));
            assert_eq!(answer.status, 200, "{}", answer.text());
            let expected = json!([{"role": role, "content": "be brief"}, quoted, {"content": "x", "role": role}, user("now")]);
            assert_eq!(last(&upstream).json()["messages"], expected, "{model}");
        }
    }
}

#[test]
fn an_answer_is_simulated_whatever_the_wire() {
    let upstream = claude();
    let hale = Config::new()
        .general(json!({"dangerously_allow_mock_testing_request_params": true}))
        .with("c", "a", &upstream, anthropics(&upstream))
        .with("o", "b", &upstream, json!({}))
        .start();
    for model in ["c", "o"] {
        let more = json!({"mock_response": "yo"});
        let content = served(&hale, MESSAGES, &ask(model, more.clone()))["content"].clone();
        assert_eq!(content, json!([{"type": "text", "text": "yo"}]), "{model}");
        let answer = served(&hale, CHAT, &chat(model, more.clone()));
        assert_eq!(answer["choices"][0]["message"]["content"], "yo", "{model}");
        let streamed = with(more, json!({"stream": true}));
        let events = post(&hale, MESSAGES, &ask(model, streamed.clone()));
        assert!(events.text().contains("text_delta"), "{}", events.text());
        let events = post(&hale, CHAT, &chat(model, streamed));
        assert!(events.text().contains("[DONE]"), "{}", events.text());
    }
    assert_eq!(upstream.requests().len(), 0);
}

#[test]
fn a_model_without_parallel_calls_is_asked_again_without_the_switch() {
    let why = "Unsupported parameter: 'parallel_tool_calls' is not supported with this model.";
    let upstream = FakeUpstream::with(move |request: &Request| {
        if request.json().get("parallel_tool_calls").is_none() {
            return hale_testkit::openai::answer(request);
        }
        let error = json!({"message": why, "type": "invalid_request_error", "param": "parallel_tool_calls", "code": "unsupported_parameter"});
        hale_testkit::Script::with_status(400).json(&json!({"error": error}))
    });
    let hale = Config::new().with("m", "a", &upstream, json!({"model": "openai/o3-mini"})).start();
    let more = json!({"tools": [{"name": "f", "input_schema": {}}],
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": true}});
    served(&hale, MESSAGES, &ask("m", more.clone()));
    assert_eq!(upstream.requests().len(), 2);
    served(&hale, MESSAGES, &ask("m", more));
    assert_eq!(upstream.requests().len(), 3, "it is known from then on");
    let function = json!({"type": "function", "function": {"name": "f"}});
    let own = json!({"tools": [function], "parallel_tool_calls": false});
    let answer = post(&hale, CHAT, &chat("m", own));
    assert_eq!(
        (answer.status, answer.header("x-hale-left-out")),
        (200, Some("parallel_tool_calls"))
    );
}
