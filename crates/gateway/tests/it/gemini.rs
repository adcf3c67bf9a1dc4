//! Gemini behind Google's OpenAI-compatible address: chats, streams, tools with signatures, embeddings, probes and errors. The
//! upstream here refuses what the real one refuses.

use hale_testkit::{FakeUpstream, Hale, Request, Script, openai};
use serde_json::{Value, json};

use crate::sessions::{MESSAGES, anthropics, ask, message, served, user, with};
use crate::support::{CHAT, Config, client, column, expect_error};

/// A signature as Google writes it.
const SIGNATURE: &str = "CiQB4/8Vc+Zk3Q==";
/// The same as it stands behind an id.
const TAIL: &str = "CiQB4_8Vc-Zk3Q";
const NEWER: &str = "gemini-3-pro-preview";
const OLDER: &str = "gemini-2.5-flash";
const CHAT_PATH: &str = "/v1beta/openai/chat/completions";

/// Google's error on this address: a list.
fn refusal(status: u16, word: &str, message: &str, details: Value) -> Script {
    let error = json!({"code": status, "message": message, "status": word, "details": details});
    Script::with_status(status).json(&json!([{"error": error}]))
}

fn invalid(message: &str) -> Script {
    refusal(400, "INVALID_ARGUMENT", message, json!([]))
}

/// The calls of the model in the current turn that have no signature.
fn unsigned_steps(body: &Value) -> usize {
    let messages = body["messages"].as_array().unwrap();
    let current = messages.iter().rposition(|one| one["role"] == "user").unwrap_or(0);
    let steps = messages[current..].iter().map(|one| &one["tool_calls"][0]);
    let steps = steps.filter(|call| call.is_object());
    steps.filter(|call| call["extra_content"]["google"]["thought_signature"].is_null()).count()
}

fn call() -> Value {
    json!({"id": "function-call-7", "type": "function", "index": 0,
        "function": {"name": "weather", "arguments": "{\"city\":\"Rome\"}"},
        "extra_content": {"google": {"thought_signature": SIGNATURE}}})
}

/// What Google's address does, as far as it matters here.
fn google(request: &Request) -> Script {
    let body = request.json();
    if request.header("authorization") != Some("Bearer AIza-test") {
        return refusal(
            400,
            "INVALID_ARGUMENT",
            "API key not valid. Please pass a valid API key.",
            json!([{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}]),
        );
    }
    for name in ["store", "metadata", "thinking", "prompt_cache_key"] {
        if !body[name].is_null() {
            let text = format!(
                "Invalid JSON payload received. Unknown name \"{name}\": Cannot find field."
            );
            return invalid(&text);
        }
    }
    if request.text().contains("reasoning_content") || request.text().contains("__thought__") {
        return invalid(
            "Invalid JSON payload received. Unknown name \"reasoning_content\" at 'messages[1]'",
        );
    }
    let model = body["model"].as_str().unwrap_or_default();
    match &*request.path {
        "/v1beta/openai/models" => Script::ok()
            .json(&openai::models(&["models/gemini-2.5-flash", "models/gemini-3-pro-preview"])),
        "/v1beta/openai/embeddings" => Script::ok().json(&openai::embeddings(model, 2)),
        CHAT_PATH if model.starts_with("gemini-3") && unsigned_steps(&body) > 0 => {
            invalid("Function call is missing a thought_signature in functionCall parts.")
        }
        CHAT_PATH if body["tools"].is_array() && !request.text().contains("\"tool\"") => {
            called(&body, model)
        }
        CHAT_PATH => openai::answer(request),
        path => Script::with_status(404).body("text/html", format!("<html>no {path}</html>")),
    }
}

/// A call of the first tool. Google says that it stopped.
fn called(body: &Value, model: &str) -> Script {
    if body["stream"] == true {
        let call =
            openai::chunk(model, &json!({"role": "assistant", "tool_calls": [call()]}), None);
        return Script::ok().sse(&[call, openai::finish_chunk(model, "stop")]);
    }
    let mut answer = openai::chat_completion(model, "");
    answer["choices"][0]["message"] =
        json!({"role": "assistant", "content": null, "tool_calls": [call()]});
    answer["choices"][0]["finish_reason"] = json!("stop");
    Script::ok().json(&answer)
}

/// The address of OpenAI's format.
fn base(upstream: &FakeUpstream) -> String {
    upstream.api_base().replace("/v1", "/v1beta/openai")
}

fn config(upstream: &FakeUpstream, model: &str) -> Config {
    let base = base(upstream);
    let more =
        json!({"model": format!("gemini/{model}"), "api_key": "AIza-test", "api_base": base});
    Config::new().with("g", "a", upstream, more)
}

fn chat(more: Value) -> Value {
    with(json!({"model": "g", "messages": [user("hi")]}), more)
}

/// OpenAI's form of the tool, and Anthropic's.
fn tools() -> [Value; 2] {
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    [
        json!([{"type": "function", "function": {"name": "weather", "parameters": schema}}]),
        json!([{"name": "weather", "input_schema": schema}]),
    ]
}

fn last(upstream: &FakeUpstream) -> Value {
    upstream.requests().last().unwrap().json()
}

#[test]
fn chats_streams_and_embeddings_go_to_googles_openai_address() {
    let upstream = FakeUpstream::with(google);
    let hale = config(&upstream, OLDER).start();
    let answer = served(&hale, CHAT, &chat(json!({"temperature": 0.5, "max_tokens": 9})));
    assert_eq!((&answer["model"], &answer["usage"]["total_tokens"]), (&json!("g"), &json!(16)));
    let sent = last(&upstream);
    assert_eq!((&sent["model"], &sent["temperature"]), (&json!(OLDER), &json!(0.5)));
    let mut streaming = client(&hale);
    let mut stream = streaming.stream(CHAT, &[], &chat(json!({"stream": true})));
    assert!(!stream.content().is_empty());
    let answer = served(&hale, "/v1/embeddings", &json!({"model": "g", "input": ["a", "b"]}));
    assert_eq!(answer["data"].as_array().unwrap().len(), 2);
    // A client of another format, and what the address does not know.
    let more = json!({"metadata": {"user_id": "u"}, "system": "be kind"});
    assert_eq!(message(&hale, &ask("g", more.clone()), false)["content"][0]["type"], "text");
    assert_eq!(message(&hale, &ask("g", more), true)["content"][0]["type"], "text");
    let paths = upstream.requests();
    let mut paths: Vec<&str> = paths.iter().map(|request| &*request.path).collect();
    paths.sort_unstable();
    paths.dedup();
    assert_eq!(paths, [CHAT_PATH, "/v1beta/openai/embeddings"]);
}

#[test]
fn the_address_and_the_key_may_come_from_the_environment() {
    let upstream = FakeUpstream::with(google);
    for (variable, base) in
        [("GEMINI_API_KEY", base(&upstream)), ("GOOGLE_API_KEY", format!("{}/", base(&upstream)))]
    {
        let entry =
            json!({"model_name": "g", "litellm_params": {"model": format!("gemini/{OLDER}")}});
        let launch = Config::new().entry(entry).launch();
        let hale = launch.env(variable, "AIza-test").env("GEMINI_API_BASE", &base).start();
        served(&hale, CHAT, &chat(json!({})));
    }
}

#[test]
fn a_messages_client_brings_the_signature_of_a_call_back() {
    let upstream = FakeUpstream::with(google);
    let hale = config(&upstream, NEWER).start();
    for streamed in [false, true] {
        let first = message(&hale, &ask("g", json!({"tools": tools()[1]})), streamed);
        assert_eq!(first["stop_reason"], "tool_use", "{first}");
        let block = &first["content"][0];
        let id = format!("function-call-7__thought__{TAIL}");
        assert_eq!((&block["id"], &block["input"]), (&json!(id), &json!({"city": "Rome"})));
        let messages = json!([user("hi"), {"role": "assistant", "content": [block]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": id, "content": "sunny"}]}]);
        let next = ask("g", json!({"tools": tools()[1], "messages": messages}));
        assert_eq!(message(&hale, &next, streamed)["content"][0]["type"], "text");
        let sent = last(&upstream);
        let call = &sent["messages"][1]["tool_calls"][0];
        assert_eq!(call["id"], "function-call-7");
        assert_eq!(call["extra_content"]["google"]["thought_signature"], SIGNATURE);
        assert_eq!(sent["messages"][2]["tool_call_id"], "function-call-7");
    }
}

#[test]
fn a_chat_client_keeps_the_signature_or_loses_it_and_goes_on() {
    let upstream = FakeUpstream::with(google);
    let hale = config(&upstream, NEWER).start();
    let answer = served(&hale, CHAT, &chat(json!({"tools": tools()[0]})));
    let given = answer["choices"][0]["message"].clone();
    assert_eq!(given["tool_calls"][0], call(), "the answer passes as it is");
    let result = |id: &str| json!({"role": "tool", "tool_call_id": id, "content": "sunny"});
    let next = |calls: Value, id: &str| {
        let message = json!({"role": "assistant", "content": null, "tool_calls": calls});
        // An earlier turn of a client that drops what it does not know.
        let mut bare = call();
        bare.as_object_mut().unwrap().remove("extra_content");
        let earlier = json!({"role": "assistant", "tool_calls": [bare]});
        let done = json!({"role": "assistant", "content": "done"});
        let messages =
            [user("a"), earlier, result("function-call-7"), done, user("b"), message, result(id)];
        chat(json!({"tools": tools()[0], "messages": messages}))
    };
    let signature = |sent: &Value, at: usize, nth: usize| {
        sent["messages"][at]["tool_calls"][nth]["extra_content"]["google"]["thought_signature"]
            .clone()
    };
    served(&hale, CHAT, &next(json!([call()]), "function-call-7"));
    assert_eq!(signature(&last(&upstream), 5, 0), SIGNATURE);
    // The client dropped it: Google takes a word in its place, for the first call.
    let bare =
        json!({"id": "c", "type": "function", "function": {"name": "weather", "arguments": "{}"}});
    served(&hale, CHAT, &next(json!([bare, bare]), "c"));
    let sent = last(&upstream);
    assert_eq!(signature(&sent, 5, 0), "skip_thought_signature_validator");
    assert_eq!((signature(&sent, 5, 1), signature(&sent, 1, 0)), (Value::Null, Value::Null));
    // A session that began behind LiteLLM.
    let id = format!("c__thought__{SIGNATURE}");
    let tailed = with(bare, json!({"id": id}));
    served(&hale, CHAT, &next(json!([tailed]), &id));
    let sent = last(&upstream);
    assert_eq!(signature(&sent, 5, 0), SIGNATURE);
    assert_eq!(sent["messages"][5]["tool_calls"][0]["id"], "c");
    assert_eq!(sent["messages"][6]["tool_call_id"], "c");
}

#[test]
fn no_other_provider_sees_a_signature() {
    let other = FakeUpstream::with(|request| {
        let text = request.text();
        if text.contains("extra_content") || text.contains("thought") {
            return Script::error(
                400,
                "Unknown parameter: 'messages[1].tool_calls[0].extra_content'.",
            );
        }
        openai::answer(request)
    });
    let claude = FakeUpstream::with(|request| {
        if request.text().contains("thought") {
            return Script::with_status(400)
                .json(&hale_testkit::anthropic::error("invalid_request_error", "tool_use.id"));
        }
        hale_testkit::anthropic::answer(request)
    });
    let hale = Config::new()
        .deployment("openai", "a", &other)
        .with("vllm", "b", &other, json!({"model": "hosted_vllm/qwen"}))
        .with("claude", "c", &claude, anthropics(&claude))
        .start();
    let id = format!("function-call-7__thought__{TAIL}");
    for model in ["openai", "vllm", "claude"] {
        let tailed = with(call(), json!({"id": id}));
        let messages = json!([user("hi"), {"role": "assistant", "content": null, "tool_calls": [tailed]},
            {"role": "tool", "tool_call_id": id, "content": "sunny"}]);
        let body = json!({"model": model, "tools": tools()[0], "messages": messages});
        served(&hale, CHAT, &body);
        let messages = json!([user("hi"),
            {"role": "assistant", "content": [{"type": "tool_use", "id": id, "name": "weather", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": id, "content": "sunny"}]}]);
        served(&hale, MESSAGES, &ask(model, json!({"tools": tools()[1], "messages": messages})));
    }
    let sent = last(&claude);
    assert_eq!(sent["messages"][1]["content"][0]["id"], "function-call-7");
    assert_eq!(sent["messages"][2]["content"][0]["tool_use_id"], "function-call-7");
}

#[test]
fn an_effort_beyond_googles_becomes_its_highest_and_its_refusals_teach() {
    let upstream = FakeUpstream::with(google);
    let hale = config(&upstream, OLDER).start();
    let more = json!({"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}});
    served(&hale, MESSAGES, &ask("g", more));
    assert_eq!(last(&upstream)["reasoning_effort"], "high");
    // The first request teaches what the next ones leave out.
    served(&hale, CHAT, &chat(json!({"prompt_cache_key": "k"})));
    let before = upstream.requests().len();
    served(&hale, CHAT, &chat(json!({"prompt_cache_key": "k"})));
    assert_eq!(upstream.requests().len(), before + 1);
}

fn health(hale: &Hale) -> Value {
    client(hale).get("/health").json()
}

#[test]
fn probes_say_what_is_wrong_with_a_key_and_how_long_a_limit_lasts() {
    let upstream = FakeUpstream::with(google);
    let health_of = |config: Config| health(&config.start());
    let healthy = health_of(config(&upstream, OLDER));
    assert_eq!(healthy["healthy_count"], 1, "{healthy}");
    assert_eq!(upstream.requests()[0].path, CHAT_PATH);
    let embedding = health_of(config(&upstream, "gemini-embedding-001"));
    assert_eq!(embedding["healthy_count"], 1, "{embedding}");
    assert_eq!(upstream.requests()[1].path, "/v1beta/openai/embeddings");
    let wrong = json!({"model": format!("gemini/{OLDER}"), "api_key": "AIza-wrong",
        "api_base": base(&upstream)});
    let bad = health_of(Config::new().with("g", "a", &upstream, wrong));
    assert_eq!(bad["unhealthy_endpoints"][0]["cause"], "auth", "{bad}");
    let limited = FakeUpstream::with(|_| {
        let details = json!([
            {"@type": "type.googleapis.com/google.rpc.QuotaFailure",
             "violations": [{"quotaId": "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"}]},
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "38s"}]);
        refusal(
            429,
            "RESOURCE_EXHAUSTED",
            "You exceeded your current quota, please check your plan.",
            details,
        )
    });
    let hale = config(&limited, OLDER).router(json!({"num_retries": 0, "max_wait_s": 0})).start();
    let page = health(&hale);
    assert_eq!(page["healthy_endpoints"][0]["status"], "rate_limited", "{page}");
    assert_eq!(page["healthy_endpoints"][0]["retry_after_s"], 38, "{page}");
    let refused = client(&hale).post_json(CHAT, &[], &chat(json!({})));
    assert_eq!(refused.status, 429, "{}", refused.text());
}

#[test]
fn the_models_behind_a_pattern_have_the_names_that_requests_use() {
    let upstream = FakeUpstream::with(google);
    let more = json!({"model": "gemini/*", "api_key": "AIza-test", "api_base": base(&upstream)});
    let hale = Config::new()
        .with("gemini/*", "a", &upstream, more)
        .litellm(json!({"check_provider_endpoint": true}))
        .start();
    let page = client(&hale).get("/v1/models").json();
    let names = column(&page["data"], "id");
    for name in ["gemini/gemini-2.5-flash", "gemini/gemini-3-pro-preview"] {
        assert!(names.contains(&json!(name)), "{names:?}");
    }
    let body = json!({"model": "gemini/gemini-2.5-flash", "messages": [user("hi")]});
    served(&hale, CHAT, &body);
    assert_eq!(last(&upstream)["model"], "gemini-2.5-flash");
}

#[test]
fn what_the_address_does_not_have_is_refused_by_name() {
    let upstream = FakeUpstream::with(google);
    let hale = config(&upstream, OLDER).start();
    let body = json!({"model": "g", "query": "q", "documents": ["d"]});
    let refused = client(&hale).post_json("/v1/rerank", &[], &body);
    assert_eq!(refused.status, 400, "{}", refused.text());
    assert!(refused.text().contains("hosted_vllm"), "{}", refused.text());
    assert_eq!(upstream.requests().len(), 0);
    let speech = config(&upstream, "gemini-3.8-flash-tts").start();
    let refused = client(&speech).post_json(CHAT, &[], &chat(json!({})));
    let error = expect_error(&refused, 503, "no_healthy_deployments");
    assert!(error["message"].as_str().unwrap().contains("audio_speech"), "{error}");
}
