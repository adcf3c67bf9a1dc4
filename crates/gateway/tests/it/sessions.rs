//! Whole sessions between clients of one format and providers of another: ids, results, reasoning, schemas, through the
//! gateway, streamed and not. The providers here refuse what the real ones refuse.

use hale_testkit::{FakeUpstream, Hale, Request, Response, Script, anthropic, openai};
use serde_json::{Value, json};

use crate::support::{CHAT, Config, blamed, client, expect_error};

pub(crate) const MESSAGES: &str = "/v1/messages";
/// An id that Anthropic refuses, and how its clients see it.
const KIMIS: &str = "functions.Bash:0";
const SHOWN: &str = "hx_ZnVuY3Rpb25zLkJhc2g6MA";

pub(crate) fn with(base: Value, more: Value) -> Value {
    let (Value::Object(mut all), Value::Object(more)) = (base, more) else { panic!("objects") };
    all.extend(more);
    Value::Object(all)
}

/// A request of a messages client.
pub(crate) fn ask(model: &str, more: Value) -> Value {
    with(json!({"model": model, "max_tokens": 9000, "messages": [user("hi")]}), more)
}

/// A request of a chat client.
pub(crate) fn chat(model: &str, more: Value) -> Value {
    with(json!({"model": model, "messages": [user("hi")]}), more)
}

pub(crate) fn user(text: &str) -> Value {
    json!({"role": "user", "content": text})
}

#[track_caller]
pub(crate) fn post(hale: &Hale, path: &str, body: &Value) -> Response {
    client(hale).post_json(path, &[], body)
}

#[track_caller]
pub(crate) fn served(hale: &Hale, path: &str, body: &Value) -> Value {
    let answer = post(hale, path, body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

/// A messages answer as a client puts it together, from one piece or from events.
#[track_caller]
pub(crate) fn message(hale: &Hale, body: &Value, streamed: bool) -> Value {
    if !streamed {
        return served(hale, MESSAGES, body);
    }
    let mut client = client(hale);
    let mut stream = client.stream(MESSAGES, &[], &with(body.clone(), json!({"stream": true})));
    let mut content: Vec<Value> = Vec::new();
    let mut stop = Value::Null;
    let mut inputs: Vec<String> = Vec::new();
    while let Some(event) = stream.next_event() {
        let event = event.json();
        match event["type"].as_str().unwrap() {
            "content_block_start" => {
                content.push(event["content_block"].clone());
                inputs.push(String::new());
            }
            "content_block_delta" => {
                let (block, delta) = (content.last_mut().unwrap(), &event["delta"]);
                for name in ["text", "thinking", "signature"] {
                    if let Some(piece) = delta[name].as_str() {
                        block[name] = json!(block[name].as_str().unwrap().to_owned() + piece);
                    }
                }
                inputs.last_mut().unwrap().push_str(delta["partial_json"].as_str().unwrap_or(""));
            }
            "content_block_stop" if !inputs.last().unwrap().is_empty() => {
                let input = serde_json::from_str(inputs.last().unwrap()).unwrap();
                content.last_mut().unwrap()["input"] = input;
            }
            "message_delta" => stop = event["delta"]["stop_reason"].clone(),
            "error" => panic!("{event}"),
            _ => {}
        }
    }
    json!({"content": content, "stop_reason": stop})
}

/// The newest request of an upstream.
pub(crate) fn last(upstream: &FakeUpstream) -> Request {
    upstream.requests().pop().unwrap()
}

pub(crate) fn refused(message: &str) -> Script {
    Script::with_status(400).json(&anthropic::error("invalid_request_error", message))
}

fn blocks(message: &Value) -> Vec<Value> {
    message["content"].as_array().cloned().unwrap_or_default()
}

/// What Anthropic says to a request, if it refuses it.
pub(crate) fn anthropics_refusal(body: &Value) -> Option<String> {
    let messages = body["messages"].as_array().unwrap();
    let is_budget = body["thinking"]["type"] == "enabled";
    let mut ids: Vec<String> = Vec::new();
    for (i, message) in messages.iter().enumerate() {
        let blocks = blocks(message);
        for block in &blocks {
            if block["type"] == "thinking" && block["signature"] != "c2lnbmVk" {
                return Some(format!("messages.{i}: Invalid `signature` in `thinking` block"));
            }
            if block["type"] == "tool_use" {
                let id = block["id"].as_str().unwrap();
                let is_good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
                if id.len() > 64 || !id.chars().all(is_good) {
                    return Some(format!("messages.{i}: id should match '^[a-zA-Z0-9_-]+$'"));
                }
                if ids.contains(&id.to_owned()) {
                    return Some("`tool_use` ids must be unique".to_owned());
                }
                ids.push(id.to_owned());
                let results = messages.get(i + 1).map(self::blocks).unwrap_or_default();
                if !results.iter().any(|result| result["tool_use_id"] == id) {
                    return Some(format!("tool_use ids without tool_result blocks: {id}"));
                }
            }
        }
        let is_last = !messages[i + 1..].iter().any(|message| message["role"] == "assistant");
        let has_call = blocks.iter().any(|block| block["type"] == "tool_use");
        if is_budget && is_last && has_call && blocks[0]["type"] != "thinking" {
            return Some("Expected `thinking` or `redacted_thinking`, found `tool_use`".into());
        }
    }
    if is_budget && body["tool_choice"]["type"].as_str().is_some_and(|kind| kind != "auto") {
        return Some("Thinking may not be enabled when tool_choice forces tool use".into());
    }
    let is_object = |tool: &Value| tool["input_schema"]["type"] == "object";
    if !body["tools"].as_array().into_iter().flatten().all(is_object) {
        return Some("tools.0.custom.input_schema.type: Field required".into());
    }
    let schema = &body["output_config"]["format"]["schema"];
    schemas_fault(schema)
}

fn schemas_fault(schema: &Value) -> Option<String> {
    match schema {
        Value::Object(members) => {
            if schema["type"] == "object" && schema["additionalProperties"] != false {
                return Some("For 'object' type, 'additionalProperties' must be false".into());
            }
            let unknown = ["minimum", "maximum", "pattern", "oneOf", "minLength", "multipleOf"];
            if let Some(name) =
                unknown.iter().find(|name| members.get(**name).is_some_and(|it| !it.is_object()))
            {
                return Some(format!("property '{name}' is not supported"));
            }
            members.values().find_map(schemas_fault)
        }
        Value::Array(all) => all.iter().find_map(schemas_fault),
        _ => None,
    }
}

/// An Anthropic that refuses what the real one refuses.
pub(crate) fn claude() -> FakeUpstream {
    FakeUpstream::with(|request: &Request| match anthropics_refusal(&request.json()) {
        Some(why) => refused(&why),
        None => anthropic::answer(request),
    })
}

/// A chat answer of the provider with this message, streamed if that was asked for.
fn says(request: &Request, message: &Value, finish: &str) -> Script {
    if request.json()["stream"] != true {
        let mut answer = openai::chat_completion("x", "");
        answer["choices"][0]["message"] = with(json!({"role": "assistant"}), message.clone());
        answer["choices"][0]["finish_reason"] = json!(finish);
        return Script::ok().json(&answer);
    }
    let mut chunks = Vec::new();
    for name in ["reasoning_content", "content"] {
        for letter in message[name].as_str().unwrap_or("").chars() {
            chunks.push(openai::chunk("x", &json!({name: letter.to_string()}), None));
        }
    }
    for (i, call) in message["tool_calls"].as_array().into_iter().flatten().enumerate() {
        let call = with(call.clone(), json!({"index": i}));
        chunks.push(openai::chunk("x", &json!({"tool_calls": [call]}), None));
    }
    chunks.push(openai::finish_chunk("x", finish));
    Script::ok().sse(&chunks)
}

fn call(id: &str, name: &str) -> Value {
    json!({"id": id, "type": "function", "function": {"name": name, "arguments": "{}"}})
}

/// A server that thinks and then calls `Bash` as Kimi does.
fn kimi() -> FakeUpstream {
    FakeUpstream::with(|request: &Request| {
        let message = json!({"content": null, "reasoning_content": "let me see",
                             "tool_calls": [call(KIMIS, "Bash")]});
        says(request, &message, "tool_calls")
    })
}

pub(crate) fn anthropics(upstream: &FakeUpstream) -> Value {
    json!({"model": "anthropic/claude-sonnet-4-5", "api_base": upstream.url()})
}

fn open(model: &str) -> Value {
    json!({"model": model})
}

fn result(id: &Value) -> Value {
    json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": id, "content": "a"}]})
}

fn tool() -> Value {
    json!({"name": "Bash", "input_schema": {"type": "object"}})
}

#[test]
fn a_session_goes_on_at_another_provider_and_comes_back() {
    for streamed in [false, true] {
        let (claude, kimi) = (claude(), kimi());
        let hale = Config::new()
            .with("kimi", "k", &kimi, open("hosted_vllm/kimi-k2"))
            .with("claude", "c", &claude, anthropics(&claude))
            .start();
        let first = message(&hale, &ask("kimi", json!({"tools": [tool()]})), streamed);
        let content = first["content"].clone();
        assert_eq!(
            content,
            json!([
                {"type": "thinking", "thinking": "let me see", "signature": "hale:kimi"},
                {"type": "tool_use", "id": SHOWN, "name": "Bash", "input": {}},
            ])
        );
        let history =
            json!([user("hi"), {"role": "assistant", "content": content}, result(&json!(SHOWN))]);
        let budget = json!({"type": "enabled", "budget_tokens": 1024});
        let on = json!({"messages": history, "tools": [tool()], "thinking": budget});
        // Claude reads the id, and gets neither the thoughts of others nor a demand to think before a call of theirs.
        let answer = post(&hale, MESSAGES, &ask("claude", on.clone()));
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.header("x-hale-left-out"), Some("thinking"));
        let sent = claude.request(0).json();
        assert_eq!(sent["messages"][1]["content"], json!([content[1]]));
        assert!(sent.get("thinking").is_none());
        // Kimi gets its own id and its own thoughts back.
        message(&hale, &ask("kimi", on), streamed);
        let sent = kimi.request(1).json();
        assert_eq!(sent["messages"][1]["reasoning_content"], "let me see");
        assert_eq!(sent["messages"][1]["tool_calls"][0]["id"], KIMIS);
        assert_eq!(
            sent["messages"][2],
            json!({"role": "tool", "tool_call_id": KIMIS, "content": "a"})
        );
    }
}

#[test]
fn the_same_id_in_a_later_turn_is_another_one_for_the_client() {
    for streamed in [false, true] {
        let (claude, server) = (
            claude(),
            FakeUpstream::with(|request: &Request| {
                let calls = json!({"content": null, "tool_calls": [call("call_0", "a"), call("call_0", "b")]});
                says(request, &calls, "tool_calls")
            }),
        );
        let hale = Config::new()
            .with("open", "o", &server, open("hosted_vllm/x"))
            .with("claude", "c", &claude, anthropics(&claude))
            .start();
        let mut history = vec![user("hi")];
        let mut ids = Vec::new();
        for _ in 0..2 {
            let body = ask("open", json!({"messages": history}));
            let content = message(&hale, &body, streamed)["content"].clone();
            let new: Vec<Value> =
                blocks(&json!({"content": content})).iter().map(|it| it["id"].clone()).collect();
            history.push(json!({"role": "assistant", "content": content}));
            let results: Vec<Value> =
                new.iter().map(|id| result(id)["content"][0].clone()).collect();
            history.push(json!({"role": "user", "content": results}));
            ids.extend(new);
        }
        assert_eq!(ids, ["call_0", "hx2_Y2FsbF8w", "hx3_Y2FsbF8w", "hx4_Y2FsbF8w"]);
        served(&hale, MESSAGES, &ask("claude", json!({"messages": history})));
        message(&hale, &ask("open", json!({"messages": history})), streamed);
        let sent = server.request(2).json();
        assert_eq!(sent["messages"][5]["tool_call_id"], "call_0", "{sent}");
    }
}

#[test]
fn a_chat_client_takes_the_calls_of_any_server_to_claude() {
    let claude = claude();
    let hale = Config::new().with("claude", "c", &claude, anthropics(&claude)).start();
    let long = "x:".repeat(32 << 10);
    for stream in [false, true] {
        let history = json!([
            user("list"),
            {"role": "assistant", "content": null, "tool_calls": [call(KIMIS, "mcp.fs.list")]},
            {"role": "tool", "tool_call_id": KIMIS, "content": "a"},
            {"role": "assistant", "tool_calls": [call("functions_Bash_0", "Bash"), call(&long, "Bash")]},
            {"role": "tool", "tool_call_id": "functions_Bash_0", "content": [{"type": "text", "text": "b"}]},
            {"role": "tool", "tool_call_id": long, "content": "c"},
            {"role": "assistant", "reasoning_content": "hm", "tool_calls": [call(KIMIS, "Bash")]},
        ]);
        let more = json!({"messages": history, "stream": stream, "reasoning_effort": "medium",
            "tools": [{"type": "function", "function": {"name": "mcp.fs.list", "parameters": {}}}]});
        let answer = post(&hale, CHAT, &chat("claude", more));
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.header("x-hale-left-out"), Some("reasoning_effort"));
        let sent = last(&claude).json();
        assert_eq!(sent["messages"][1]["content"][0]["id"], SHOWN);
        assert_eq!(sent["messages"][5]["content"][0]["id"], "hx2_ZnVuY3Rpb25zLkJhc2g6MA");
        assert_eq!(sent["messages"][6]["content"][0]["content"], "the tool call was not run");
        assert_eq!(sent["tools"][0]["name"], sent["messages"][1]["content"][0]["name"]);
    }
    let orphan =
        json!({"messages": [user("hi"), {"role": "tool", "tool_call_id": "gone", "content": "a"}]});
    let error =
        expect_error(&post(&hale, CHAT, &chat("claude", orphan)), 400, "unsupported_parameter");
    assert!(error["message"].as_str().unwrap().contains("gone"), "{error}");
    assert_eq!(blamed(&hale), 0.0);
}

#[test]
fn the_client_sees_its_own_name_of_a_tool() {
    let name = "mcp__server_with_a_long_name__a_tool_with_a_name_that_is_longer_than_others";
    for streamed in [false, true] {
        let server = FakeUpstream::with(|request: &Request| {
            let body = request.json();
            let sent = body["tools"][0]["function"]["name"].as_str().unwrap().to_owned();
            assert!(sent.len() <= 64 && body["tool_choice"]["function"]["name"] == *sent);
            says(request, &json!({"content": null, "tool_calls": [call("c", &sent)]}), "tool_calls")
        });
        let hale = Config::new().with("m", "a", &server, json!({})).start();
        let more = json!({"tools": [with(tool(), json!({"name": name}))],
                          "tool_choice": {"type": "tool", "name": name}});
        let answer = message(&hale, &ask("m", more), streamed);
        assert_eq!(answer["content"][0]["name"], name, "{answer}");
    }
}

/// A DeepSeek that refuses what the real one refuses.
fn deepseek() -> FakeUpstream {
    FakeUpstream::with(|request: &Request| {
        let body = request.json();
        let messages = body["messages"].as_array().unwrap();
        let is_call = |message: &&Value| message["tool_calls"].is_array();
        let lacks =
            messages.iter().filter(is_call).any(|call| !call["reasoning_content"].is_string());
        if body["thinking"]["type"] == "enabled" && lacks {
            return Script::with_status(400).json(&openai::error(
                "missing `reasoning_content`",
                "invalid_request_error",
                "x",
            ));
        }
        if messages
            .iter()
            .any(|message| !(message["content"].is_string() || message["content"].is_null()))
        {
            return Script::with_status(400).json(&openai::error(
                "content: expected a string",
                "invalid_request_error",
                "x",
            ));
        }
        if body["response_format"]["type"] == "json_schema" {
            return Script::with_status(400).json(&openai::error(
                "This response_format type is unavailable now",
                "invalid_request_error",
                "x",
            ));
        }
        if let Some(name) = body["tool_choice"]["function"]["name"].as_str() {
            let call = json!({"id": "c", "type": "function", "function": {"name": name, "arguments": "{\"age\":7}"}});
            return says(request, &json!({"content": null, "tool_calls": [call]}), "tool_calls");
        }
        says(request, &json!({"content": "done", "reasoning_content": "hm"}), "stop")
    })
}

#[test]
fn deepseek_gets_its_thoughts_back_whatever_their_signature_and_no_others() {
    let upstream = deepseek();
    let hale = Config::new().with("m", "a", &upstream, open("deepseek/deepseek-chat")).start();
    let adaptive = json!({"type": "adaptive"});
    for (signature, comes_back) in [
        (json!("hale:deepseek"), true),
        (json!(""), true),
        (Value::Null, true),
        (json!("hale:qwen"), false),
        (json!("EqQBCgIYAhIM"), false),
    ] {
        for streamed in [false, true] {
            let thought = json!({"type": "thinking", "thinking": "hm", "signature": signature});
            let used = json!({"type": "tool_use", "id": "t1", "name": "Bash", "input": {}});
            let history = json!([user("hi"), {"role": "assistant", "content": [thought, used]}, result(&json!("t1"))]);
            let body = ask(
                "m",
                json!({"messages": history, "tools": [tool()], "thinking": adaptive,
                                       "output_config": {"effort": "high"}}),
            );
            let answer = message(&hale, &body, streamed);
            assert_eq!(answer["content"][0]["signature"], "hale:deepseek");
            let sent = last(&upstream).json();
            let thoughts = sent["messages"][1].get("reasoning_content").cloned();
            assert_eq!(thoughts, comes_back.then(|| json!("hm")), "{signature}");
            let switch = if comes_back { "enabled" } else { "disabled" };
            assert_eq!(sent["thinking"], json!({"type": switch}), "{signature}");
            assert_eq!(sent.get("reasoning_effort").is_some(), comes_back);
        }
    }
}

#[test]
fn deepseek_thinks_when_an_effort_is_asked_for_and_gets_plain_texts() {
    let upstream = deepseek();
    let hale = Config::new()
        .with("m", "a", &upstream, open("deepseek/deepseek-chat"))
        .with(
            "d",
            "b",
            &upstream,
            json!({"model": "deepseek/deepseek-chat", "reasoning_effort": "low"}),
        )
        .start();
    let part = json!([{"type": "text", "text": "x"}]);
    let more = json!({"reasoning_effort": "high", "messages": [user("hi"),
        {"role": "assistant", "content": null, "reasoning_content": "hm", "tool_calls": [call("c", "f")]},
        {"role": "tool", "tool_call_id": "c", "content": part}]});
    served(&hale, CHAT, &chat("m", more));
    let sent = last(&upstream).json();
    assert_eq!(
        (&sent["thinking"], &sent["reasoning_effort"]),
        (&json!({"type": "enabled"}), &json!("high"))
    );
    assert_eq!(sent["messages"][2]["content"], "x");
    for (model, more, thinking) in [
        ("m", json!({}), Value::Null),
        ("m", json!({"reasoning_effort": "none"}), json!({"type": "disabled"})),
        (
            "m",
            json!({"reasoning_effort": "high", "thinking": {"type": "disabled"}}),
            json!({"type": "disabled"}),
        ),
        ("d", json!({}), json!({"type": "enabled"})),
    ] {
        served(&hale, CHAT, &chat(model, more));
        assert_eq!(last(&upstream).json()["thinking"], thinking);
    }
}

#[test]
fn what_claude_code_sends_in_every_request_works_before_every_provider() {
    let upstream = FakeUpstream::start();
    let hale = Config::new().with("m", "a", &upstream, json!({})).start();
    let more = json!({
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "metadata": {"user_id": "u"},
        "speed": "fast",
        "tools": [tool(), {"type": "web_search_20250305", "name": "web_search"}],
        "messages": [
            user("stop the task"),
            {"role": "system", "content": "be brief"},
            {"role": "assistant", "content": [
                {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
                {"type": "web_search_tool_result", "tool_use_id": "s", "content": []},
                {"type": "tool_use", "id": "toolu_1", "name": "ToolSearch", "input": {}},
            ]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1",
                "content": [{"type": "tool_reference", "tool_name": "TaskStop"}]}]},
        ],
    });
    let answer = post(&hale, MESSAGES, &ask("m", more));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let left_out = answer.header("x-hale-left-out").unwrap();
    assert!(left_out.contains("context_management") && left_out.contains("tools"), "{left_out}");
    let sent = upstream.request(0).json();
    assert_eq!(sent["messages"][3]["content"], "The tool TaskStop is available.");
    assert_eq!(sent["tools"].as_array().unwrap().len(), 1);
    let odd = json!({"context_management": {"edits": [{"type": "rewrite_everything"}]}});
    let error = post(&hale, MESSAGES, &ask("m", odd));
    assert_eq!(
        (error.status, &error.json()["error"]["param"]),
        (400, &json!("context_management"))
    );
    for (block, field) in [
        (json!({"type": "hologram", "data": "x"}), "messages[0].content[0].type: hologram"),
        (
            json!({"type": "container_upload", "file_id": "x"}),
            "messages[0].content[0].type: container_upload",
        ),
    ] {
        let error = post(
            &hale,
            MESSAGES,
            &ask("m", json!({"messages": [{"role": "user", "content": [block]}]})),
        );
        assert_eq!((error.status, &error.json()["error"]["param"]), (400, &json!(field)));
    }
}

#[test]
fn a_model_that_must_call_a_tool_does_not_think_before_it() {
    let claude = claude();
    let hale = Config::new().with("m", "a", &claude, anthropics(&claude)).start();
    let tools = json!([{"type": "function", "function": {"name": "f"}}]);
    for choice in [json!("required"), json!({"type": "function", "function": {"name": "f"}})] {
        for thinks in [
            json!({"reasoning_effort": "high"}),
            json!({"thinking": {"type": "enabled", "budget_tokens": 1024}}),
        ] {
            let more = with(json!({"tools": tools, "tool_choice": choice}), thinks.clone());
            let answer = post(&hale, CHAT, &chat("m", more));
            assert_eq!(answer.status, 200, "{}", answer.text());
            let name = thinks.as_object().unwrap().keys().next().unwrap();
            assert_eq!(answer.header("x-hale-left-out"), Some(&**name));
        }
    }
}

#[test]
fn a_text_without_a_word_is_left_out_before_claude() {
    let claude = claude();
    let hale = Config::new().with("m", "a", &claude, anthropics(&claude)).start();
    let history = json!([
        user("hi"),
        {"role": "assistant", "content": "\n", "tool_calls": [call("c", "f")]},
        {"role": "tool", "tool_call_id": "c", "content": "x"},
        {"role": "assistant", "content": " "},
        {"role": "user", "content": [{"type": "text", "text": " "}, {"type": "text", "text": "on"}]},
    ]);
    served(&hale, CHAT, &chat("m", json!({"messages": history})));
    let sent = last(&claude).json();
    assert_eq!(sent["messages"][1]["content"].as_array().unwrap().len(), 1, "{sent}");
    let on = json!([{"type": "text", "text": "on"}]);
    let content = &sent["messages"].as_array().unwrap().last().unwrap()["content"];
    assert!(*content == "on" || *content == on, "{sent}");
}

#[test]
fn a_server_that_refuses_its_thoughts_is_asked_again_without_them_and_remembered() {
    let strict = FakeUpstream::with(|request: &Request| {
        let body = request.json();
        let messages = body["messages"].as_array().unwrap();
        if messages.iter().any(|message| message.get("reasoning_content").is_some()) {
            let why = "[{'type': 'extra_forbidden', 'loc': ('body', 'messages', 1, 'reasoning_content'), 'msg': 'Extra inputs are not permitted'}]";
            return Script::with_status(422).json(&openai::error(
                why,
                "invalid_request_error",
                "x",
            ));
        }
        says(request, &json!({"content": "done", "reasoning_content": "hm"}), "stop")
    });
    let hale = Config::new().with("m", "a", &strict, open("hosted_vllm/qwen3")).start();
    let content = message(&hale, &ask("m", json!({})), false)["content"].clone();
    let history =
        json!({"messages": [user("hi"), {"role": "assistant", "content": content}, user("on")]});
    for (streamed, requests) in [(false, 3), (true, 4)] {
        message(&hale, &ask("m", history.clone()), streamed);
        assert_eq!(strict.requests().len(), requests);
    }
    let own = json!({"messages": [user("hi"), {"role": "assistant", "content": "x", "reasoning_content": "hm"}, user("on")]});
    served(&hale, CHAT, &chat("m", own));
    assert_eq!(strict.requests().len(), 5);
    assert_eq!(blamed(&hale), 0.0);
}

#[test]
fn advice_of_openais_clients_is_left_out_before_claude() {
    let claude = claude();
    let hale = Config::new().with("m", "a", &claude, anthropics(&claude)).start();
    for (name, value) in [
        ("prompt_cache_key", json!("thread-1")),
        ("safety_identifier", json!("u")),
        ("prompt_cache_retention", json!("24h")),
        ("store", json!(true)),
        ("service_tier", json!("flex")),
        ("prediction", json!({"type": "content", "content": "x"})),
    ] {
        served(&hale, CHAT, &chat("m", json!({name: value})));
        assert!(last(&claude).json().get(name).is_none());
    }
}

/// The ordinary schema of a framework.
fn person() -> Value {
    json!({"type": "object", "required": ["age"], "properties": {
        "age": {"type": "integer", "minimum": 0},
        "name": {"type": "string", "pattern": "^a", "minLength": 1},
        "pet": {"oneOf": [{"type": "null"}, {"$ref": "#/$defs/pet"}]},
    }, "$defs": {"pet": {"type": "object", "properties": {"legs": {"type": "number", "multipleOf": 2}}}}})
}

pub(crate) fn shaped(schema: &Value) -> Value {
    json!({"type": "json_schema", "json_schema": {"name": "p", "schema": schema}})
}

#[test]
fn ordinary_schemas_of_frameworks_are_served_by_claude() {
    let claude = claude();
    let hale = Config::new().with("m", "a", &claude, anthropics(&claude)).start();
    for stream in [false, true] {
        let more = json!({"response_format": shaped(&person()), "stream": stream});
        assert_eq!(post(&hale, CHAT, &chat("m", more)).status, 200);
        let sent = last(&claude).json();
        let properties = &sent["output_config"]["format"]["schema"]["properties"];
        assert_eq!(properties["age"], json!({"type": "integer", "description": "{minimum: 0}"}));
        let json_mode = json!({"response_format": {"type": "json_object"}, "stream": stream});
        assert_eq!(post(&hale, CHAT, &chat("m", json_mode)).status, 200);
        assert!(last(&claude).json().get("output_config").is_none());
    }
    let union = json!({"anyOf": [{"properties": {"a": {}}}, {"properties": {"b": {}}}]});
    for function in [
        json!({"name": "now"}),
        json!({"name": "now", "parameters": {}}),
        json!({"name": "now", "parameters": null}),
        json!({"name": "now", "parameters": {"properties": {"a": {"type": "string"}}}}),
        json!({"name": "now", "parameters": union}),
        json!({"name": "now", "parameters": person(), "strict": true}),
    ] {
        let more = json!({"tools": [{"type": "function", "function": function}]});
        served(&hale, CHAT, &chat("m", more));
    }
    let strict = &last(&claude).json()["tools"][0];
    assert_eq!(schemas_fault(&strict["input_schema"]), None);
    assert_eq!(strict["strict"], true);
}

#[test]
fn a_client_of_claude_keeps_its_schemas() {
    let claude = FakeUpstream::with(anthropic::answer);
    let hale = Config::new().with("m", "a", &claude, anthropics(&claude)).start();
    let format = json!({"type": "json_schema", "schema": person()});
    let more = json!({"output_config": {"format": format}, "tools": [{"name": "now", "input_schema": {}}]});
    served(&hale, MESSAGES, &ask("m", more.clone()));
    let sent = claude.request(0).json();
    assert_eq!((&sent["output_config"], &sent["tools"]), (&more["output_config"], &more["tools"]));
}

#[test]
fn a_target_without_schemas_answers_by_a_tool_and_the_client_sees_text() {
    let tools = FakeUpstream::with(|request: &Request| {
        let body = request.json();
        if let Some(why) = anthropics_refusal(&body) {
            return refused(&why);
        }
        assert_eq!(
            body["tool_choice"],
            json!({"type": "tool", "name": "json_answer", "disable_parallel_tool_use": true})
        );
        let input =
            json!({"type": "tool_use", "id": "t", "name": "json_answer", "input": {"age": 7}});
        if body["stream"] != true {
            let mut answer = anthropic::message("x", "");
            answer["content"] = json!([input]);
            answer["stop_reason"] = json!("tool_use");
            return Script::ok().json(&answer);
        }
        let piece = |text: &str| {
            json!({"type": "content_block_delta", "index": 0,
            "delta": {"type": "input_json_delta", "partial_json": text}})
        };
        let mut events = vec![
            anthropic::start("x"),
            json!({"type": "content_block_start", "index": 0,
                   "content_block": with(input, json!({"input": {}}))}),
            piece("{\"age\""),
            piece(":7}"),
        ];
        events.extend(anthropic::finish("tool_use"));
        anthropic::stream(&events)
    });
    let node = json!({"type": "object", "properties": {"age": {"type": "integer"}, "next": {"$ref": "#"}}});
    let (older, newer) = ("anthropic/claude-3-7-sonnet-20250219", "anthropic/claude-sonnet-4-5");
    for (model, schema) in [(older, person()), (newer, node)] {
        let params = json!({"model": model, "api_base": tools.url()});
        let hale = Config::new().with("m", "a", &tools, params).start();
        let more = json!({"response_format": shaped(&schema), "reasoning_effort": "low"});
        let answer = post(&hale, CHAT, &chat("m", more.clone()));
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.header("x-hale-left-out"), Some("reasoning_effort"));
        let choice = &answer.json()["choices"][0];
        assert_eq!(
            (&choice["message"]["content"], &choice["finish_reason"]),
            (&json!("{\"age\":7}"), &json!("stop"))
        );
        assert!(choice["message"].get("tool_calls").is_none());
        let mut client = client(&hale);
        let mut stream = client.stream(CHAT, &[], &chat("m", with(more, json!({"stream": true}))));
        let mut text = String::new();
        while let Some(event) = stream.next_event() {
            assert!(!event.data.contains("tool_calls"), "{}", event.data);
            text.push_str(&event.content());
        }
        assert_eq!(text, "{\"age\":7}");
        let array =
            json!({"response_format": shaped(&json!({"type": "array", "items": {"$ref": "#"}}))});
        let error =
            expect_error(&post(&hale, CHAT, &chat("m", array)), 400, "unsupported_parameter");
        assert_eq!(error["param"], "response_format");
    }
    // The same for clients of messages.
    let upstream = deepseek();
    let hale = Config::new().with("m", "a", &upstream, open("deepseek/deepseek-chat")).start();
    let format = json!({"output_config": {"format": {"type": "json_schema", "schema": person()}}});
    for streamed in [false, true] {
        let answer = message(&hale, &ask("m", format.clone()), streamed);
        assert_eq!(answer["content"], json!([{"type": "text", "text": "{\"age\":7}"}]));
        assert_eq!(answer["stop_reason"], "end_turn");
    }
}

#[test]
fn schemas_of_claudes_clients_become_strict_where_openai_takes_them() {
    let upstream = FakeUpstream::start();
    let hale = Config::new().with("m", "a", &upstream, json!({})).start();
    let all = json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]});
    let some = json!({"type": "object", "properties": {"a": {"type": "string"}}});
    for (schema, strict) in [(all, true), (some, false)] {
        let format = json!({"type": "json_schema", "schema": schema});
        let tools = json!([{"name": "f", "input_schema": schema, "strict": true}, {"name": "g", "input_schema": {}}]);
        served(
            &hale,
            MESSAGES,
            &ask("m", json!({"output_config": {"format": format}, "tools": tools})),
        );
        let sent = last(&upstream).json();
        for place in [&sent["response_format"]["json_schema"], &sent["tools"][0]["function"]] {
            assert_eq!(place["strict"], strict, "{place}");
        }
        let closed = &sent["tools"][0]["function"]["parameters"]["additionalProperties"];
        assert_eq!(closed == false, strict);
        assert_eq!(sent["tools"][1]["function"]["parameters"]["type"], "object");
    }
}

#[test]
fn a_schema_beyond_all_bounds_is_refused_by_its_name_and_blames_no_deployment() {
    let claude = FakeUpstream::with(anthropic::answer);
    let hale = Config::new().with("m", "a", &claude, anthropics(&claude)).start();
    let large = json!({"type": "object", "description": "d".repeat(1 << 20), "properties": {"a": {"enum": ["e".repeat(1 << 20)]}}});
    served(&hale, CHAT, &chat("m", json!({"response_format": shaped(&large)})));
    let many: Vec<Value> = (0..40_000).map(|_| json!({"type": "object"})).collect();
    let many = json!({"response_format": shaped(&json!({"type": "object", "anyOf": many}))});
    let error = expect_error(&post(&hale, CHAT, &chat("m", many)), 400, "unsupported_parameter");
    assert_eq!(error["param"], "response_format.json_schema.schema");
    let deep = format!(
        "{{\"model\":\"m\",\"messages\":[{{\"role\":\"user\",\"content\":\"hi\"}}],\"response_format\":{{\"type\":\"json_schema\",\
         \"json_schema\":{{\"name\":\"n\",\"schema\":{}1{}}}}}}}",
        "{\"items\":".repeat(1_000),
        "}".repeat(1_000)
    );
    let headers = [("content-type", "application/json")];
    let answer = client(&hale).request("POST", CHAT, &headers, deep.as_bytes());
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert!(answer.text().contains("256 levels"), "{}", answer.text());
    assert_eq!(blamed(&hale), 0.0);
}
