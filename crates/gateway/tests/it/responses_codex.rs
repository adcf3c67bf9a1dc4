//! What Codex needs of `/v1/responses` in front of providers without it: tools of all kinds, reasoning that comes back, the list of
//! models, errors, and a conversation that is made shorter.

use hale_testkit::{FakeUpstream, Hale, Request, Script, anthropic, gemini, openai};
use serde_json::{Value, json};

use crate::responses_bridge::{RESPONSES, ask, both, chat_answer, config, consumed};
use crate::sessions::{last, served, with};
use crate::support::{client, column, expect_error};

const PATCH: &str =
    "*** Begin Patch\n*** Add File: a\n+say \"hi\" \\ \u{e9}\u{1f600}\n*** End Patch\n";
const SIGNATURE: &str = "c2lnbmVk";

fn user(text: &str) -> Value {
    json!({"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]})
}

/// What a chat calls, in one piece and as a stream.
fn calls(called: &[(&str, &str, &str)]) -> FakeUpstream {
    let calls: Vec<Value> = called
        .iter()
        .map(|(id, name, arguments)| {
            json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}})
        })
        .collect();
    let delta = |(index, call): (usize, &Value)| json!({"tool_calls": [with(call.clone(), json!({"index": index}))]});
    let deltas = calls.iter().enumerate().map(delta).collect();
    chat_answer(
        json!({"role": "assistant", "content": null, "tool_calls": calls}),
        deltas,
        "tool_calls",
    )
}

/// The tools that Codex offers, as far as they differ in kind.
fn tools() -> Value {
    let schema = json!({"type": "object", "properties": {"path": {"type": "string"}}});
    json!([
        {"type": "function", "name": "shell", "description": "d", "strict": false, "parameters": schema},
        {"type": "function", "name": "mcp__git__status", "parameters": schema},
        {"type": "custom", "name": "apply_patch", "description": "Edits files.",
         "format": {"type": "grammar", "syntax": "lark", "definition": "start: begin_patch"}},
        {"type": "namespace", "name": "mcp__git", "description": "d", "tools": [
            {"type": "function", "name": "status", "parameters": schema},
            {"type": "function", "name": "a".repeat(64), "parameters": schema}]},
        {"type": "tool_search", "execution": "client", "description": "d", "parameters": schema},
        {"type": "web_search", "external_web_access": true},
        {"type": "image_generation"},
    ])
}

/// What stands in the input beside them.
fn more_tools() -> Value {
    json!({"type": "additional_tools", "role": "developer", "tools": [
        {"type": "namespace", "name": "functions", "tools": [
            {"type": "custom", "name": "exec", "format": {"type": "text"}},
            {"type": "function", "name": "wait", "parameters": null}]}]})
}

#[test]
#[allow(clippy::too_many_lines, reason = "a table")]
fn tools_of_all_kinds_are_functions_there_and_come_back_as_what_they_were() {
    let long = "a".repeat(64);
    let upstream = FakeUpstream::with(Script::answer);
    let hale = config(&upstream, "deepseek/deepseek-chat").start();
    let body =
        ask(json!({"input": [more_tools(), user("go")], "tools": tools(), "tool_choice": "auto"}));
    let answer = client(&hale).post_json(RESPONSES, &[], &body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let left = answer.header("x-hale-left-out").unwrap();
    assert!(left.contains("web_search") && left.contains("image_generation"), "{left}");
    let sent = last(&upstream).json();
    let names: Vec<String> = sent["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tool| tool["function"]["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(names.len(), 8, "{names:?}");
    assert!(names.iter().all(|name| name.len() <= 64));
    for name in ["shell", "mcp__git__status", "apply_patch", "tool_search", "exec", "wait"] {
        assert_eq!(names.iter().filter(|sent| *sent == name).count(), 1, "{name}: {names:?}");
    }
    let apart = names.iter().find(|name| name.starts_with("mcp__git__status_")).unwrap().clone();
    let short = names.iter().find(|name| name.starts_with("mcp__git__aaaa")).unwrap().clone();
    let patch = &sent["tools"][2]["function"];
    assert!(patch["description"].as_str().unwrap().contains("start: begin_patch"));
    assert_eq!(patch["parameters"]["required"], json!(["input"]));

    let upstream = calls(&[
        ("c1", &apart, "{\"path\":\".\"}"),
        ("c2", "mcp__git__status", "{}"),
        ("c3", &short, "{}"),
        ("c4", "apply_patch", &json!({"input": PATCH}).to_string()),
        ("c5", "exec", "plain words"),
        ("c6", "wait", ""),
        ("c7", "tool_search", "{\"path\":\"x\"}"),
    ]);
    let hale = config(&upstream, "deepseek/deepseek-chat").start();
    let response = both(&hale, &body);
    let output = response["output"].as_array().unwrap();
    let short = |item: &Value| json!([item["type"], item["namespace"], item["name"]]);
    let expected = [
        json!(["function_call", "mcp__git", "status"]),
        json!(["function_call", null, "mcp__git__status"]),
        json!(["function_call", "mcp__git", long]),
        json!(["custom_tool_call", null, "apply_patch"]),
        json!(["custom_tool_call", "functions", "exec"]),
        json!(["function_call", "functions", "wait"]),
        json!(["tool_search_call", null, null]),
    ];
    assert_eq!(output.iter().map(short).collect::<Vec<_>>(), expected);
    assert_eq!((&output[3]["input"], &output[4]["input"]), (&json!(PATCH), &json!("plain words")));
    assert_eq!(output[6]["arguments"], json!({"path": "x"}));
    assert_eq!(response["tools"], tools(), "as the client sent them");

    // The history has them as they came back, and the names are the same again.
    let results = [
        ("c1", "function_call_output"),
        ("c2", "function_call_output"),
        ("c3", "function_call_output"),
        ("c4", "custom_tool_call_output"),
        ("c5", "custom_tool_call_output"),
        ("c6", "function_call_output"),
        ("c7", "tool_search_output"),
    ]
    .map(|(id, kind)| json!({"type": kind, "call_id": id, "output": "done", "tools": null}));
    let mut input = vec![more_tools(), user("go")];
    input.extend(output.iter().cloned());
    input.extend(results);
    let upstream = FakeUpstream::with(Script::answer);
    let hale = config(&upstream, "deepseek/deepseek-chat").start();
    served(&hale, RESPONSES, &with(body, json!({"input": input})));
    let sent = last(&upstream).json();
    let called: Vec<&Value> = sent["messages"][1]["tool_calls"]
        .as_array()
        .unwrap()
        .iter()
        .map(|call| &call["function"])
        .collect();
    let sent_names: Vec<&str> =
        called.iter().map(|function| function["name"].as_str().unwrap()).collect();
    assert_eq!(sent_names[..3], [&*apart, "mcp__git__status", &*names[4]]);
    assert_eq!(sent_names[3..], ["apply_patch", "exec", "wait", "tool_search"]);
    let text = |call: &Value| {
        serde_json::from_str::<Value>(call["arguments"].as_str().unwrap()).unwrap()["input"].clone()
    };
    assert_eq!((text(called[3]), text(called[4])), (json!(PATCH), json!("plain words")));
    assert_eq!(sent["messages"].as_array().unwrap().len(), 9);
}

/// Claude, which thinks before a call; it refuses a call whose reasoning is missing or not its own.
fn thinking_claude() -> FakeUpstream {
    FakeUpstream::with(|request: &Request| {
        let body = request.json();
        for message in body["messages"].as_array().unwrap() {
            for block in message["content"].as_array().into_iter().flatten() {
                if block["type"] == "thinking" && block["signature"] != SIGNATURE {
                    let why = "Invalid `signature` in `thinking` block";
                    return Script::with_status(400)
                        .json(&anthropic::error("invalid_request_error", why));
                }
            }
        }
        if request.text().contains("tool_result") {
            return anthropic::answer(request);
        }
        let thinking =
            json!({"type": "thinking", "thinking": "let me see", "signature": SIGNATURE});
        let call =
            json!({"type": "tool_use", "id": "toolu_1", "name": "shell", "input": {"path": "."}});
        if body["stream"] != true {
            let mut message = anthropic::message("up", "");
            message["content"] = json!([thinking, call]);
            message["stop_reason"] = json!("tool_use");
            return Script::ok().json(&message);
        }
        let start = |index: u64, block: Value| json!({"type": "content_block_start", "index": index, "content_block": block});
        let delta = |index: u64, delta: Value| json!({"type": "content_block_delta", "index": index, "delta": delta});
        let stop = |index: u64| json!({"type": "content_block_stop", "index": index});
        let mut events = vec![
            anthropic::start("up"),
            start(0, json!({"type": "thinking", "thinking": "", "signature": ""})),
            delta(0, json!({"type": "thinking_delta", "thinking": "let me see"})),
            delta(0, json!({"type": "signature_delta", "signature": SIGNATURE})),
            stop(0),
            start(1, json!({"type": "tool_use", "id": "toolu_1", "name": "shell", "input": {}})),
            delta(1, json!({"type": "input_json_delta", "partial_json": "{\"path\":\".\"}"})),
            stop(1),
        ];
        events.extend(anthropic::finish("tool_use").into_iter().skip(1));
        anthropic::stream(&events).end()
    })
}

/// The body that goes on with what `response` said.
fn next(body: &Value, response: &Value) -> Value {
    let mut input = vec![user("go")];
    for item in response["output"].as_array().unwrap() {
        let mut item = item.clone();
        // Codex sends no ids back.
        item.as_object_mut().unwrap().remove("id");
        input.push(item);
    }
    let calls = response["output"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|item| item["type"] == "function_call");
    input.extend(calls.map(
        |call| json!({"type": "function_call_output", "call_id": call["call_id"], "output": "ok"}),
    ));
    with(body.clone(), json!({"input": input}))
}

#[test]
fn what_claude_thought_comes_back_to_it_and_a_foreign_seal_is_left_out() {
    let upstream = thinking_claude();
    let hale = config(&upstream, "anthropic/claude-sonnet-4-5").start();
    let shell = json!([{"type": "function", "name": "shell", "parameters": {"type": "object", "properties": {}}}]);
    let body = ask(json!({"input": [user("go")], "tools": shell, "store": false,
        "reasoning": {"effort": "low", "summary": "auto"}, "include": ["reasoning.encrypted_content"]}));
    let response = both(&hale, &body);
    assert_eq!(column(&response["output"], "type"), [json!("reasoning"), json!("function_call")]);
    let reasoning = &response["output"][0];
    assert_eq!(reasoning["summary"][0]["text"], "let me see");
    let sealed = reasoning["encrypted_content"].as_str().unwrap();
    assert!(!sealed.contains("let me see") && sealed.starts_with("hs1."));
    let thought = |hale: &Hale, body: &Value| {
        served(hale, RESPONSES, body);
        last(&upstream).json()["messages"][1]["content"].clone()
    };
    let content = thought(&hale, &next(&body, &response));
    assert_eq!(
        content[0],
        json!({"type": "thinking", "thinking": "let me see", "signature": SIGNATURE})
    );
    assert_eq!(content[1]["type"], "tool_use");
    // Without a summary nothing is shown, and it comes back all the same.
    let hidden = both(&hale, &with(body.clone(), json!({"reasoning": {"effort": "low"}})));
    assert_eq!(hidden["output"][0]["summary"], json!([]));
    assert_eq!(thought(&hale, &next(&body, &hidden))[0]["signature"], SIGNATURE);
    for foreign in
        ["gAAAAABoforeign".to_owned(), format!("{}A", &sealed[..sealed.len() - 1]), String::new()]
    {
        let mut other = response.clone();
        other["output"][0]["encrypted_content"] = json!(foreign);
        let content = thought(&hale, &next(&body, &other));
        assert_eq!(content[0]["type"], "tool_use", "{content}");
    }
    // Another gateway's key does not open it.
    let other = config(&upstream, "anthropic/claude-sonnet-4-5")
        .general(json!({"master_key": "sk-another-0123456789"}))
        .start();
    let answer = other.client().post_json(
        RESPONSES,
        &[("authorization", "Bearer sk-another-0123456789")],
        &next(&body, &response),
    );
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(last(&upstream).json()["messages"][1]["content"][0]["type"], "tool_use");
}

#[test]
fn the_signature_of_a_call_of_gemini_comes_back_and_its_id_stays_clean() {
    let upstream = FakeUpstream::with(gemini::answer);
    let hale = config(&upstream, "gemini/gemini-3-pro-preview").start();
    let weather = json!([{"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}]);
    let body = ask(json!({"input": [user("go")], "tools": weather}));
    let response = both(&hale, &body);
    let call = response["output"].as_array().unwrap().last().unwrap();
    assert!(!call["call_id"].as_str().unwrap().contains("__thought__"), "{call}");
    served(&hale, RESPONSES, &next(&body, &response));
    let sent = last(&upstream).json();
    assert_eq!(sent["contents"][1]["parts"][0]["thoughtSignature"], gemini::SIGNATURE, "{sent}");
}

#[test]
fn a_wish_for_one_call_at_a_time_is_left_out_where_no_model_can_be_limited() {
    let upstream = FakeUpstream::with(gemini::answer);
    let hale = config(&upstream, "gemini/gemini-3-pro-preview").start();
    let tool = |name| json!({"type": "function", "name": name, "parameters": {"type": "object"}});
    let body = ask(json!({
        "input": [user("go")], "tools": [tool("a"), tool("b")], "parallel_tool_calls": false,
    }));
    let answer = client(&hale).post_json(RESPONSES, &[], &body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("x-hale-left-out"), Some("parallel_tool_calls"));
}

#[test]
fn the_list_of_models_has_what_codex_looks_for_if_it_asks() {
    let upstream = FakeUpstream::start();
    let hale = config(&upstream, "deepseek/deepseek-chat").start();
    for path in ["/models?client_version=0.153.4", "/v1/models?client_version=0.153.4"] {
        let page = client(&hale).get(path).json();
        assert_eq!((&page["models"], &page["data"][0]["id"]), (&json!([]), &json!("m")));
    }
    assert_eq!(client(&hale).get("/v1/models").json().get("models"), None);
}

#[test]
fn a_rate_limit_says_when_in_words_and_an_overload_moves_on() {
    let limited = FakeUpstream::with(|_| Script::rate_limited(12));
    let hale = config(&limited, "deepseek/deepseek-chat").router(json!({"num_retries": 0})).start();
    let answer = client(&hale).post_json(RESPONSES, &[], &ask(json!({})));
    assert_eq!(answer.status, 429, "{}", answer.text());
    let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
    let seconds = answer.header("retry-after").unwrap();
    assert!(message.ends_with(&format!("try again in {seconds}s")), "{message}");
    let (busy, well) = (
        FakeUpstream::with(|_| Script::error(503, "overloaded")),
        FakeUpstream::with(anthropic::answer),
    );
    let hale = config(&busy, "deepseek/deepseek-chat")
        .with("m", "b", &well, json!({"model": "anthropic/claude-sonnet-4-5", "weight": 0}))
        .start();
    let (end, _) = consumed(&hale, &ask(json!({})));
    assert_eq!(end["output"][0]["content"][0]["text"], anthropic::TEXT);
    let long = FakeUpstream::with(|_| {
        let error = openai::error(
            "maximum context length is 8 tokens",
            "invalid_request_error",
            "context_length_exceeded",
        );
        Script::with_status(400).json(&error)
    });
    let hale = config(&long, "deepseek/deepseek-chat").start();
    let answer = client(&hale).post_json(RESPONSES, &[], &ask(json!({"stream": true})));
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("context_length_exceeded"), "{}", answer.text());
}

#[test]
fn a_conversation_becomes_one_sealed_summary_that_stands_for_it() {
    let upstream = FakeUpstream::with(Script::answer);
    let hale = config(&upstream, "deepseek/deepseek-chat").start();
    let called =
        json!({"type": "function_call", "call_id": "c1", "name": "shell", "arguments": "{}"});
    let result = json!({"type": "function_call_output", "call_id": "c1", "output": "ok"});
    let history = json!([user("go"), called, result, {"type": "compaction_trigger"}]);
    let body = ask(json!({"input": history, "tools": tools()}));
    let response = both(&hale, &body);
    let sent = last(&upstream).json();
    assert_eq!(sent.get("tools"), None);
    assert!(sent["messages"][3]["content"].as_str().unwrap().contains("Summarize"), "{sent}");
    assert_eq!(column(&response["output"], "type"), [json!("compaction")]);
    let body = ask(json!({"input": [user("go"), response["output"][0], user("on")]}));
    served(&hale, RESPONSES, &body);
    let text = last(&upstream).text();
    assert!(text.contains(openai::TEXT), "{text}");
    // The older way: an operation of its own.
    let path = format!("{RESPONSES}/compact");
    let compacted = served(&hale, &path, &ask(json!({"input": [user("go")]})));
    assert_eq!(
        (&compacted["object"], compacted["output"].as_array().unwrap().len()),
        (&json!("response.compaction"), 1)
    );
    served(&hale, RESPONSES, &ask(json!({"input": [compacted["output"][0], user("on")]})));
    assert!(last(&upstream).text().contains(openai::TEXT));
    // A seal of reasoning is no summary.
    let wrong = json!({"input": [{"type": "compaction", "encrypted_content": "hs1.AAAA"}]});
    let answer = client(&hale).post_json(RESPONSES, &[], &ask(wrong));
    assert_eq!(answer.status, 400, "{}", answer.text());
}

#[test]
fn a_canned_answer_is_a_response_too() {
    let upstream = FakeUpstream::start();
    let hale = config(&upstream, "openai/gpt-4o").start();
    let entry = json!({"model": "openai/gpt-4o", "mock_response": "canned"});
    let mocked = crate::support::Config::new().with("m", "a", &upstream, entry).start();
    let response = both(&mocked, &ask(json!({})));
    assert_eq!(response["output"][0]["content"][0]["text"], "canned");
    drop(hale);
    assert_eq!(upstream.requests().len(), 0);
}

#[test]
fn bad_input_is_refused_by_name_or_left_out() {
    let upstream = FakeUpstream::with(Script::answer);
    let hale = config(&upstream, "deepseek/deepseek-chat").start();
    let item = |item: Value| json!({"input": [user("go"), item]});
    let refused = [
        item(json!({"type": "unheard_of", "data": "x"})),
        item(json!({"type": "message", "role": "wizard", "content": "x"})),
        item(
            json!({"type": "message", "role": "user", "content": [{"type": "input_image", "file_id": "file-1"}]}),
        ),
        item(json!({"type": "message", "role": "user", "content": [{"type": "hologram"}]})),
        item(json!({"type": "function_call", "call_id": "c1"})),
        item(json!({"type": "computer_call_output", "call_id": "c1", "output": {}})),
        json!({"input": 7}),
        json!({"tools": [{"type": "function"}]}),
        json!({"tools": {"type": "function"}}),
        json!({"tool_choice": {"type": "custom"}}),
        json!({"text": {"format": {"type": "json_schema"}}}),
        json!({"reasoning": "high"}),
        // More parts than a request of its size may have.
        json!({"input": (0..10_000).map(|_| user("x")).collect::<Vec<_>>()}),
    ];
    for more in refused {
        let answer = client(&hale).post_json(RESPONSES, &[], &ask(more.clone()));
        assert_eq!(answer.status, 400, "{more}: {}", answer.text());
        expect_error(&answer, 400, answer.json()["error"]["reason"].as_str().unwrap());
    }
    assert_eq!(upstream.requests().len(), 0);
    let passes = [
        item(json!({"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {}})),
        item(json!({"type": "ghost_snapshot", "ghost_commit": {"id": "x"}})),
        item(
            json!({"type": "reasoning", "summary": [{"type": "summary_text", "text": "x"}], "encrypted_content": null}),
        ),
        item(
            json!({"type": "agent_message", "role": "assistant", "content": [{"type": "new_text", "text": "x"}]}),
        ),
        json!({"input": (0..1_000).map(|_| user("x")).collect::<Vec<_>>()}),
        json!({"tools": [{"type": "custom", "name": "t", "format": {"type": "grammar", "syntax": "lark", "definition": "x".repeat(1 << 20)}}]}),
        json!({"unheard_of": {"a": 1}, "tools": [{"type": "unheard_of"}]}),
    ];
    for more in passes {
        let answer = client(&hale).post_json(RESPONSES, &[], &ask(more));
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
}
