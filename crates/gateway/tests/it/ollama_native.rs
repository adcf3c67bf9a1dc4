//! Ollama in its own format: chats, streams of lines, tools, thinking, pictures, embeddings, probes and errors. The upstream
//! here refuses what a real server refuses.

use hale_testkit::{FakeUpstream, Hale, Request, Script, ollama};
use serde_json::{Value, json};

use crate::sessions::{MESSAGES, ask, chat, last, message, post, served, user, with};
use crate::support::{CHAT, Config, client, column};

const MODEL: &str = "llama3.1:8b";

fn host(upstream: &FakeUpstream) -> String {
    upstream.api_base().trim_end_matches("/v1").to_owned()
}

fn entry(upstream: &FakeUpstream, model: &str) -> Value {
    json!({"model": format!("ollama/{model}"), "api_base": host(upstream)})
}

fn config(upstream: &FakeUpstream, model: &str) -> Config {
    Config::new().with("g", "a", upstream, entry(upstream, model))
}

fn tool() -> Value {
    json!({"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}})
}

#[test]
fn both_prefixes_and_every_form_of_its_own_address_lead_to_its_own_paths() {
    let upstream = FakeUpstream::with(ollama::answer);
    for (model, path) in [
        ("ollama/llama3.1:8b", ""),
        ("ollama_chat/llama3.1:8b", "/"),
        ("ollama_chat/llama3.1:8b", "/api"),
        ("ollama/llama3.1:8b", "/api/generate"),
        ("ollama/llama3.1:8b", "/api/chat/"),
    ] {
        let params = json!({"model": model, "api_base": format!("{}{path}", host(&upstream))});
        let hale =
            Config::new().entry(json!({"model_name": "g", "litellm_params": params})).start();
        let answer = served(&hale, CHAT, &chat("g", json!({"temperature": 0.5, "max_tokens": 9})));
        let choice = &answer["choices"][0];
        assert_eq!(choice["message"]["content"], ollama::TEXT, "{model} {path}");
        assert_eq!((&answer["model"], &choice["finish_reason"]), (&json!("g"), &json!("stop")));
        assert_eq!(
            (&answer["usage"]["prompt_tokens"], &answer["usage"]["completion_tokens"]),
            (&json!(9), &json!(7))
        );
        let sent = last(&upstream);
        assert_eq!((&*sent.path, sent.header("authorization")), ("/api/chat", None));
        assert_eq!(
            sent.json(),
            json!({"model": "llama3.1:8b", "messages": [user("hi")], "stream": false,
                "options": {"num_predict": 9, "temperature": 0.5}})
        );
    }
    let launch = Config::new()
        .entry(json!({"model_name": "g", "litellm_params": {"model": "ollama/llama3.1:8b"}}))
        .launch();
    let hale = launch.env("OLLAMA_API_BASE", &host(&upstream)).env("OLLAMA_API_KEY", "o-1").start();
    served(&hale, CHAT, &chat("g", json!({})));
    let sent = last(&upstream);
    assert_eq!((&*sent.path, sent.header("authorization")), ("/api/chat", Some("Bearer o-1")));
}

#[test]
fn a_stream_of_lines_reaches_clients_of_both_formats() {
    let upstream = FakeUpstream::with(ollama::answer);
    let hale = config(&upstream, "qwen3:8b").start();
    let mut streaming = client(&hale);
    let more = json!({"stream": true, "stream_options": {"include_usage": true}, "reasoning_effort": "low"});
    let mut stream = streaming.stream(CHAT, &[], &chat("g", more));
    assert_eq!(stream.header("content-type"), Some("text/event-stream; charset=utf-8"));
    let mut events = Vec::new();
    while let Some(event) = stream.next_event() {
        if event.data != "[DONE]" {
            events.push(event.json());
        }
    }
    let thoughts = events
        .iter()
        .filter_map(|event| event["choices"][0]["delta"]["reasoning_content"].as_str());
    assert_eq!(thoughts.collect::<String>(), ollama::THOUGHTS);
    assert_eq!(events.last().unwrap()["usage"]["completion_tokens"], 7);
    let sent = last(&upstream);
    assert_eq!((&sent.json()["stream"], &sent.json()["think"]), (&json!(true), &json!(true)));
    assert_eq!(sent.header("accept"), Some("application/x-ndjson"));
    let thinking =
        json!({"thinking": {"type": "enabled", "budget_tokens": 2000}, "system": "be kind"});
    for streamed in [false, true] {
        let answer = message(&hale, &ask("g", thinking.clone()), streamed);
        assert_eq!(answer["stop_reason"], "end_turn");
        assert_eq!(column(&answer["content"], "type"), [json!("thinking"), json!("text")]);
        assert_eq!(answer["content"][1]["text"], ollama::TEXT, "{answer}");
        assert_eq!(answer["content"][0]["signature"], "hale:qwen");
    }
}

#[test]
fn a_call_and_its_result_go_there_and_back_for_clients_of_both_formats() {
    let upstream = FakeUpstream::with(ollama::answer);
    let hale = config(&upstream, MODEL).start();
    let tools = json!([{"name": "weather", "input_schema": {"type": "object"}}]);
    for streamed in [false, true] {
        let first = message(&hale, &ask("g", json!({"tools": tools})), streamed);
        assert_eq!(first["stop_reason"], "tool_use", "{first}");
        let block = &first["content"][0];
        assert_eq!(
            (&block["name"], &block["input"]),
            (&json!("weather"), &json!({"city": "Rome"}))
        );
        let messages = json!([user("hi"), {"role": "assistant", "content": [block]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": block["id"], "content": "sunny"}]}]);
        let answer =
            message(&hale, &ask("g", json!({"tools": tools, "messages": messages})), streamed);
        assert_eq!(answer["content"][0]["text"], ollama::TEXT);
        let sent = last(&upstream).json();
        assert_eq!(
            sent["messages"][2],
            json!({"role": "tool", "tool_name": "weather", "content": "sunny"})
        );
    }
    let answer = served(&hale, CHAT, &chat("g", json!({"tools": [tool()]})));
    let call = &answer["choices"][0]["message"]["tool_calls"][0];
    assert_eq!(call["function"]["arguments"], "{\"city\":\"Rome\"}");
    let messages = json!([user("hi"), {"role": "assistant", "content": null, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call["id"], "content": "sunny"}]);
    let answer = served(&hale, CHAT, &chat("g", json!({"tools": [tool()], "messages": messages})));
    assert_eq!(answer["choices"][0]["message"]["content"], ollama::TEXT);
}

#[test]
fn what_the_config_says_in_ollamas_own_words_is_sent_and_the_client_may_say_otherwise() {
    let upstream = FakeUpstream::with(ollama::answer);
    let own = json!({"num_ctx": 8192, "keep_alive": "8m", "temperature": 0.1, "extra_body": {"options": {"mirostat": 1}}});
    let hale = Config::new().with("g", "a", &upstream, with(entry(&upstream, MODEL), own)).start();
    served(&hale, CHAT, &chat("g", json!({"temperature": 0.7, "num_ctx": 1024})));
    let sent = last(&upstream).json();
    assert_eq!(sent["options"], json!({"temperature": 0.7, "num_ctx": 1024, "mirostat": 1}));
    assert_eq!(sent["keep_alive"], "8m");
    let image =
        json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}});
    let content = json!([{"type": "text", "text": "what?"}, image]);
    served(&hale, CHAT, &chat("g", json!({"messages": [{"role": "user", "content": content}]})));
    let sent = last(&upstream).json();
    assert_eq!(sent["messages"][0]["images"], json!(["iVBORw0KGgo="]));
}

#[test]
fn embeddings_are_answered_and_counts_are_estimated() {
    let upstream = FakeUpstream::with(ollama::answer);
    let hale = Config::new()
        .with("g", "a", &upstream, entry(&upstream, MODEL))
        .with("e", "b", &upstream, entry(&upstream, "nomic-embed-text"))
        .start();
    let body = json!({"model": "e", "input": ["a", "b"]});
    let answer = served(&hale, "/v1/embeddings", &body);
    assert_eq!(answer["data"][1]["embedding"], json!([0.5, 1]));
    assert_eq!(answer["usage"]["prompt_tokens"], 4);
    assert_eq!(last(&upstream).path, "/api/embed");
    let answer = served(&hale, "/v1/embeddings", &with(body, json!({"encoding_format": "base64"})));
    assert_eq!(answer["data"][1]["embedding"], "AAAAPwAAgD8=");
    let before = upstream.requests().len();
    let counted = served(&hale, "/v1/messages/count_tokens", &ask("g", json!({})));
    assert!(counted["input_tokens"].as_u64().unwrap() > 0, "{counted}");
    assert_eq!(upstream.requests().len(), before, "no server counts");
}

fn health(hale: &Hale) -> Value {
    client(hale).get("/health").json()
}

#[test]
fn probes_are_built_like_traffic_and_say_what_is_wrong() {
    let upstream = FakeUpstream::with(ollama::answer);
    let healthy = health(&config(&upstream, MODEL).start());
    assert_eq!(healthy["healthy_count"], 1, "{healthy}");
    let sent = last(&upstream);
    assert_eq!(sent.path, "/api/chat");
    assert_eq!(sent.json()["options"], json!({"num_predict": 1}));
    assert_eq!(sent.json()["think"], false);
    assert_eq!((&sent.json()["keep_alive"], &sent.json()["stream"]), (&Value::Null, &json!(false)));
    let embedding = health(&config(&upstream, "nomic-embed-text").start());
    assert_eq!(embedding["healthy_count"], 1, "{embedding}");
    assert_eq!(last(&upstream).path, "/api/embed");
    let missing = health(&config(&upstream, "missing").start());
    assert_eq!(missing["unhealthy_endpoints"][0]["cause"], "not_found", "{missing}");
}

/// The cause of the first deployment's failure, and whether another one was tried for the answer.
fn failing(status: u16, text: &'static str) -> (Value, u16) {
    let good = FakeUpstream::with(ollama::answer);
    let bad = FakeUpstream::with(move |_: &Request| ollama::refusal(status, text));
    let hale = Config::new()
        .with("g", "a", &bad, entry(&bad, MODEL))
        .router(json!({"num_retries": 0, "max_wait_s": 0}))
        .start();
    let refused = post(&hale, CHAT, &chat("g", json!({})));
    let cause = refused.json()["error"]["attempts"][0]["cause"].clone();
    let hale = Config::new()
        .with("g", "a", &bad, with(entry(&bad, MODEL), json!({"order": 1})))
        .with("g", "b", &good, with(entry(&good, MODEL), json!({"order": 2})))
        .start();
    (cause, post(&hale, CHAT, &chat("g", json!({}))).status)
}

#[test]
fn errors_are_read_by_their_words() {
    for (status, text, cause, then) in [
        (404, "model 'x' not found", "not_found", 200),
        (404, "model \"x\" not found, try pulling it first", "not_found", 200),
        (400, "\"x\" does not support tools", "bad_request", 200),
        (400, "registry.ollama.ai/library/x does not support tools", "bad_request", 200),
        (
            500,
            "model requires more system memory (8.0 GiB) than is available (4.0 GiB)",
            "server_error",
            200,
        ),
        (500, "llama runner process has terminated: exit status 2", "server_error", 200),
        (
            503,
            "server busy, please try again.  maximum pending requests exceeded",
            "overloaded",
            200,
        ),
        (400, "prompt too long; exceeded max context length by 12 tokens", "context_window", 400),
        (400, "the input length exceeds the context length", "context_window", 400),
        (401, "unauthorized", "auth", 200),
        (429, "you (x) have reached your hourly usage limit", "rate_limited", 200),
        (400, "invalid options: num_ctx", "bad_request", 200),
    ] {
        let (found, status_then) = failing(status, text);
        assert_eq!((found, status_then), (json!(cause), then), "{status} {text}");
    }
}

#[test]
fn an_error_in_a_stream_moves_on_before_content_and_is_told_after_it() {
    let good = FakeUpstream::with(ollama::answer);
    let error = json!({"error": "an error was encountered while running the model"});
    let before = {
        let error = error.clone();
        FakeUpstream::with(move |_: &Request| ollama::stream(std::slice::from_ref(&error)))
    };
    let hale = Config::new()
        .with("g", "a", &before, entry(&before, MODEL))
        .with("h", "b", &good, entry(&good, MODEL))
        .router(json!({"num_retries": 0, "fallbacks": [{"g": ["h"]}]}))
        .start();
    let mut streaming = client(&hale);
    let mut stream = streaming.stream(CHAT, &[], &chat("g", json!({"stream": true})));
    assert_eq!(stream.content(), ollama::TEXT);
    let half = ollama::line(ollama::said("half"));
    let broken = [
        ollama::stream(&[half.clone(), error]),
        // The body ends, in the middle of a line or behind one.
        ollama::stream(std::slice::from_ref(&half)),
        Script::ok().chunked("application/x-ndjson").chunk(format!("{half}\n{{\"mess")).end(),
    ];
    for (script, said) in broken.into_iter().zip(["while running the model", "stream", "stream"]) {
        let upstream = FakeUpstream::with(move |_: &Request| script.clone());
        let hale = config(&upstream, MODEL).start();
        let mut streaming = client(&hale);
        let mut stream = streaming.stream(CHAT, &[], &chat("g", json!({"stream": true})));
        let mut events = Vec::new();
        while let Some(event) = stream.next_event() {
            events.push(event.data.clone());
        }
        let text = events.last().unwrap();
        assert!(text.contains("\"error\"") && text.contains(said), "{text}");
    }
}

#[test]
fn lies_and_empty_answers_move_on_streamed_or_not() {
    let good = FakeUpstream::with(ollama::answer);
    let page = |kind: &str, body: &str| Script::ok().body(kind, body);
    for script in [
        page("text/html", "<html>a proxy</html>"),
        page("application/json", "{}"),
        page("application/x-ndjson", "no json\n"),
        page("application/json", "{\"error\":\"not today\"}"),
        page("application/json", ""),
        Script::ok().json(&ollama::last(ollama::said(""), "stop")),
        Script::ok().json(&ollama::last(ollama::said(""), "load")),
    ] {
        let bad = FakeUpstream::with(move |_: &Request| script.clone());
        let hale = Config::new()
            .with("g", "a", &bad, entry(&bad, MODEL))
            .with("h", "b", &good, entry(&good, MODEL))
            .router(json!({"num_retries": 0, "fallbacks": [{"g": ["h"]}]}))
            .start();
        let answer = served(&hale, CHAT, &chat("g", json!({})));
        assert_eq!(answer["choices"][0]["message"]["content"], ollama::TEXT, "{answer}");
        let mut streaming = client(&hale);
        let mut stream = streaming.stream(CHAT, &[], &chat("g", json!({"stream": true})));
        assert_eq!(stream.content(), ollama::TEXT);
    }
    // A server that does not stream what was to be one still answers.
    let whole = FakeUpstream::with(|_: &Request| {
        Script::ok().json(&ollama::last(ollama::said("whole"), "stop"))
    });
    let hale = config(&whole, MODEL).start();
    let mut streaming = client(&hale);
    assert_eq!(streaming.stream(CHAT, &[], &chat("g", json!({"stream": true}))).content(), "whole");
}

#[test]
fn thinking_is_advice_and_is_left_out_for_a_model_that_cannot() {
    let upstream = FakeUpstream::with(ollama::answer);
    let hale = config(&upstream, MODEL).start();
    for _ in 0..2 {
        let answer = served(&hale, CHAT, &chat("g", json!({"reasoning_effort": "high"})));
        assert_eq!(answer["choices"][0]["message"]["content"], ollama::TEXT);
    }
    let asked: Vec<Value> =
        upstream.requests().iter().map(|sent| sent.json()["think"].clone()).collect();
    assert_eq!(asked, [json!(true), Value::Null, Value::Null], "learned once");
}

#[test]
fn what_ollama_does_not_have_is_refused_by_name() {
    let upstream = FakeUpstream::with(ollama::answer);
    let hale = config(&upstream, MODEL).start();
    for (more, field) in [
        (json!({"n": 2}), "`n`"),
        (json!({"tools": [tool()], "tool_choice": "required"}), "`tool_choice`"),
        (json!({"logit_bias": {"1": 1}}), "`logit_bias`"),
    ] {
        let refused = post(&hale, CHAT, &chat("g", more));
        assert_eq!(refused.status, 400);
        assert_eq!(
            refused.json()["error"]["reason"],
            "unsupported_parameter",
            "{}",
            refused.text()
        );
        assert!(refused.text().contains(field), "{}", refused.text());
    }
    let refused = post(&hale, "/v1/images/generations", &json!({"model": "g", "prompt": "a cat"}));
    assert_eq!(refused.status, 400, "{}", refused.text());
    assert_eq!(upstream.requests().len(), 0);
}

#[test]
fn the_models_behind_a_pattern_are_those_that_were_pulled() {
    let upstream = FakeUpstream::with(ollama::answer);
    let hale = Config::new()
        .with("ollama/*", "a", &upstream, entry(&upstream, "*"))
        .litellm(json!({"check_provider_endpoint": true}))
        .start();
    let page = client(&hale).get("/v1/models").json();
    let names = column(&page["data"], "id");
    for name in ["ollama/llama3.1:8b", "ollama/qwen3:8b"] {
        assert!(names.contains(&json!(name)), "{names:?}");
    }
    served(&hale, MESSAGES, &ask("ollama/llama3.1:8b", json!({})));
    assert_eq!(last(&upstream).json()["model"], "llama3.1:8b");
}
