//! Ollama in OpenAI's format, for an address that ends in `/v1`: chats, streams, tools, embeddings, probes, errors; and text
//! completions, which go there from any address.

use hale_testkit::{FakeUpstream, Request, Script, openai};
use serde_json::{Value, json};

use crate::sessions::{MESSAGES, ask, message, served, user, with};
use crate::support::{CHAT, Config, client};

/// What Ollama does, as far as it matters here: without a key, below `/v1` only.
fn ollama(request: &Request) -> Script {
    let body = request.json();
    if request.header("authorization").is_some() {
        return Script::error(400, "a key was sent");
    }
    if !request.path.starts_with("/v1/") {
        return Script::with_status(404).body("text/plain", "404 page not found");
    }
    match body["model"].as_str() {
        Some("missing") => Script::with_status(404).json(&json!({"error": {
            "message": "model 'missing' not found", "type": "not_found_error", "param": null, "code": null}})),
        Some(model) if body["tools"].is_array() => {
            let call = json!({"id": "call_0", "index": 0, "type": "function",
                "function": {"name": "weather", "arguments": "{\"city\":\"Rome\"}"}});
            let delta = json!({"role": "assistant", "content": "", "tool_calls": [call]});
            if body["stream"] == true {
                let chunks =
                    [openai::chunk(model, &delta, None), openai::finish_chunk(model, "tool_calls")];
                return Script::ok().sse(&chunks);
            }
            let mut answer = openai::chat_completion(model, "");
            answer["choices"][0]["message"] = delta;
            answer["choices"][0]["finish_reason"] = json!("tool_calls");
            Script::ok().json(&answer)
        }
        Some("thinker") => {
            let mut answer = openai::chat_completion("thinker", "hello");
            answer["choices"][0]["message"]["reasoning"] = json!("hm");
            Script::ok().json(&answer)
        }
        _ => openai::answer(request),
    }
}

fn entry(upstream: &FakeUpstream, model: &str, path: &str) -> Config {
    let base = format!("{}{path}", upstream.api_base().trim_end_matches("/v1"));
    let params = json!({"model": model, "api_base": base});
    Config::new().entry(json!({"model_name": "g", "litellm_params": params}))
}

fn chat(more: Value) -> Value {
    with(json!({"model": "g", "messages": [user("hi")]}), more)
}

fn tool() -> Value {
    json!({"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}})
}

#[test]
fn both_prefixes_and_an_address_with_a_version_lead_to_its_openai_paths() {
    let upstream = FakeUpstream::with(ollama);
    for (model, path) in [("ollama/llama3.1:8b", "/v1"), ("ollama_chat/llama3.1:8b", "/v1/")] {
        let hale = entry(&upstream, model, path).start();
        let answer = served(&hale, CHAT, &chat(json!({"n": 1, "tool_choice": "auto"})));
        assert_eq!(answer["model"], "g", "{model} {path}");
        let seen = upstream.requests();
        let seen = seen.last().unwrap();
        assert_eq!(
            (&*seen.path, &seen.json()["model"]),
            ("/v1/chat/completions", &json!("llama3.1:8b"))
        );
    }
}

#[test]
fn texts_are_completed_in_openais_format_whatever_the_address_is() {
    let upstream = FakeUpstream::with(ollama);
    for path in ["", "/v1", "/api/generate"] {
        let hale = entry(&upstream, "ollama/llama3.1:8b", path).start();
        let body = json!({"model": "g", "prompt": "hi", "suffix": "!"});
        let answer = served(&hale, "/v1/completions", &body);
        assert_eq!(answer["object"], "text_completion");
        let seen = upstream.requests();
        let seen = seen.last().unwrap();
        assert_eq!((&*seen.path, &seen.json()["suffix"]), ("/v1/completions", &json!("!")));
    }
}

#[test]
fn chats_streams_tools_text_and_embeddings_are_served_without_a_key() {
    let upstream = FakeUpstream::with(ollama);
    let hale = entry(&upstream, "ollama_chat/llama3.1:8b", "/v1").start();
    let mut streaming = client(&hale);
    assert!(!streaming.stream(CHAT, &[], &chat(json!({"stream": true}))).content().is_empty());
    let answer = served(&hale, CHAT, &chat(json!({"tools": [tool()]})));
    assert_eq!(answer["choices"][0]["finish_reason"], "tool_calls");
    let answer = served(&hale, "/v1/completions", &json!({"model": "g", "prompt": "hi"}));
    assert_eq!(answer["object"], "text_completion");
    let answer = served(&hale, "/v1/embeddings", &json!({"model": "g", "input": ["a", "b"]}));
    assert_eq!(answer["data"].as_array().unwrap().len(), 2);
    for streamed in [false, true] {
        let tools = json!([{"name": "weather", "input_schema": {"type": "object"}}]);
        let answer = message(&hale, &ask("g", json!({"tools": tools})), streamed);
        assert_eq!(answer["content"][0]["input"], json!({"city": "Rome"}), "{answer}");
        assert_eq!(answer["stop_reason"], "tool_use");
    }
}

#[test]
fn what_it_thought_reaches_a_messages_client_and_goes_back_by_its_own_name() {
    let upstream = FakeUpstream::with(ollama);
    let hale = entry(&upstream, "ollama/thinker", "/v1").start();
    let answer = served(&hale, MESSAGES, &ask("g", json!({})));
    assert_eq!(answer["content"][0]["thinking"], "hm", "{answer}");
    let messages =
        json!([user("hi"), {"role": "assistant", "content": answer["content"]}, user("on")]);
    served(&hale, MESSAGES, &ask("g", json!({"messages": messages})));
    let sent = upstream.requests().last().unwrap().json();
    assert_eq!(sent["messages"][1]["reasoning"], "hm", "{sent}");
}

#[test]
fn its_probes_tell_a_model_that_is_not_pulled_from_one_that_answers() {
    let upstream = FakeUpstream::with(ollama);
    for (model, healthy, path) in [
        ("ollama/llama3.1:8b", 1, "/v1/chat/completions"),
        ("ollama_chat/missing", 0, "/v1/chat/completions"),
    ] {
        let hale = entry(&upstream, model, "/v1").start();
        let page = client(&hale).get("/health").json();
        assert_eq!(page["healthy_count"], healthy, "{page}");
        assert_eq!(upstream.requests().last().unwrap().path, path);
        if healthy == 0 {
            assert_eq!(page["unhealthy_endpoints"][0]["cause"], "not_found", "{page}");
        }
    }
    let hale = entry(&upstream, "ollama/nomic-embed-text", "/v1");
    let hale = hale.launch().start();
    let page = client(&hale).get("/health").json();
    assert_eq!(page["healthy_count"], 1, "{page}");
}
