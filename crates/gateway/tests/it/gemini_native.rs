//! Gemini in Google's own format: chats, streams, tools with signatures, embeddings, counts, images, probes and errors. The
//! upstream here refuses what the real one refuses.

use hale_testkit::{FakeUpstream, Hale, Script, gemini, openai};
use serde_json::{Value, json};

use crate::sessions::{MESSAGES, ask, chat, last, message, served, user, with};
use crate::support::{CHAT, Config, client, column, expect_error};

const NEWER: &str = "gemini-3-pro-preview";
const OLDER: &str = "gemini-2.5-flash";

fn config(upstream: &FakeUpstream, model: &str) -> Config {
    Config::new().with("g", "a", upstream, entry(upstream, model))
}

fn entry(upstream: &FakeUpstream, model: &str) -> Value {
    json!({"model": format!("gemini/{model}"), "api_key": gemini::KEY, "api_base": base(upstream)})
}

fn base(upstream: &FakeUpstream) -> String {
    upstream.api_base().replace("/v1", "/v1beta")
}

/// OpenAI's form of the tool, and Anthropic's.
fn tools() -> [Value; 2] {
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    [
        json!([{"type": "function", "function": {"name": "weather", "parameters": schema}}]),
        json!([{"name": "weather", "input_schema": schema}]),
    ]
}

fn post(hale: &Hale, path: &str, body: &Value) -> hale_testkit::Response {
    client(hale).post_json(path, &[], body)
}

#[test]
fn a_chat_goes_to_googles_own_address_in_one_piece_and_as_a_stream() {
    let upstream = FakeUpstream::with(gemini::answer);
    let hale = config(&upstream, OLDER).start();
    let answer = served(&hale, CHAT, &chat("g", json!({"temperature": 0.5, "max_tokens": 9})));
    let choice = &answer["choices"][0];
    assert_eq!(choice["message"]["content"], gemini::TEXT);
    assert_eq!(choice["message"]["reasoning_content"], "let me see");
    assert_eq!((&answer["model"], &choice["finish_reason"]), (&json!("g"), &json!("stop")));
    let usage = &answer["usage"];
    assert_eq!((&usage["prompt_tokens"], &usage["completion_tokens"]), (&json!(9), &json!(7)));
    assert_eq!(usage["completion_tokens_details"]["reasoning_tokens"], 3);
    let sent = last(&upstream);
    assert_eq!(sent.path, format!("/v1beta/models/{OLDER}:generateContent"));
    assert_eq!(sent.header("authorization"), None);
    assert_eq!(
        sent.json(),
        json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]}],
            "generationConfig": {"maxOutputTokens": 9, "temperature": 0.5}})
    );
    let mut streaming = client(&hale);
    let more = json!({"stream": true, "stream_options": {"include_usage": true}});
    let mut stream = streaming.stream(CHAT, &[], &chat("g", more));
    assert_eq!(stream.content(), gemini::TEXT);
    let sent = last(&upstream);
    assert_eq!(sent.path, format!("/v1beta/models/{OLDER}:streamGenerateContent?alt=sse"));
    for streamed in [false, true] {
        let answer = message(&hale, &ask("g", json!({"system": "be kind"})), streamed);
        assert_eq!(answer["stop_reason"], "end_turn");
        assert_eq!(column(&answer["content"], "type"), [json!("thinking"), json!("text")]);
        assert_eq!(answer["content"][1]["text"], gemini::TEXT, "{answer}");
        assert_eq!(answer["content"][0]["signature"], "hale:gemini");
    }
}

#[test]
fn the_address_and_the_key_may_come_from_the_environment() {
    let upstream = FakeUpstream::with(gemini::answer);
    let address = upstream.api_base();
    let host = address.trim_end_matches("/v1");
    for (variable, base, path) in [
        ("GEMINI_API_KEY", host.to_owned(), "/v1beta/models"),
        ("GOOGLE_API_KEY", format!("{host}/v1beta/"), "/v1beta/models"),
        ("GEMINI_API_KEY", format!("{host}/proxy/google/v1alpha"), "/proxy/google/v1alpha/models"),
        ("GEMINI_API_KEY", format!("{host}/v1beta/models/x:generateContent"), "/v1beta/models"),
    ] {
        let entry =
            json!({"model_name": "g", "litellm_params": {"model": format!("gemini/{OLDER}")}});
        let launch = Config::new().entry(entry).launch();
        let hale = launch.env(variable, gemini::KEY).env("GEMINI_API_BASE", &base).start();
        served(&hale, CHAT, &chat("g", json!({})));
        assert_eq!(last(&upstream).path, format!("{path}/{OLDER}:generateContent"));
    }
}

#[test]
fn clients_of_both_formats_bring_the_signature_of_a_call_back() {
    let upstream = FakeUpstream::with(gemini::answer);
    let hale = config(&upstream, NEWER).start();
    let id = format!("call_g0_resp-1__thought__{}", gemini::TAIL);
    for streamed in [false, true] {
        let first = message(&hale, &ask("g", json!({"tools": tools()[1]})), streamed);
        assert_eq!(first["stop_reason"], "tool_use", "{first}");
        let block = &first["content"][0];
        assert_eq!((&block["id"], &block["input"]), (&json!(id), &json!({"city": "Rome"})));
        let messages = json!([user("hi"), {"role": "assistant", "content": [block]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": id, "content": "sunny"}]}]);
        let next = ask("g", json!({"tools": tools()[1], "messages": messages}));
        let answer = message(&hale, &next, streamed);
        assert_eq!(answer["content"][1]["text"], gemini::TEXT);
        let sent = last(&upstream).json();
        assert_eq!(sent["contents"][1]["parts"][0]["thoughtSignature"], gemini::SIGNATURE);
        assert_eq!(sent["contents"][2]["parts"][0]["functionResponse"]["name"], "weather");
    }
    let answer = served(&hale, CHAT, &chat("g", json!({"tools": tools()[0]})));
    let given = answer["choices"][0]["message"].clone();
    assert_eq!(given["tool_calls"][0]["id"], id);
    let next = |call: &Value| {
        let id = call["id"].as_str().unwrap();
        let messages = json!([user("hi"), {"role": "assistant", "content": null, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": id, "content": "sunny"}]);
        chat("g", json!({"tools": tools()[0], "messages": messages}))
    };
    served(&hale, CHAT, &next(&given["tool_calls"][0]));
    let parts = |sent: Value| sent["contents"][1]["parts"][0]["thoughtSignature"].clone();
    assert_eq!(parts(last(&upstream).json()), gemini::SIGNATURE);
    // A client that lost it, and a call of another model.
    let bare = json!({"id": "toolu_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}});
    served(&hale, CHAT, &next(&bare));
    assert_eq!(parts(last(&upstream).json()), "skip_thought_signature_validator");
    // A session that began at the address in OpenAI's format.
    let extra = json!({"extra_content": {"google": {"thought_signature": gemini::SIGNATURE}}});
    served(&hale, CHAT, &next(&with(bare, extra)));
    assert_eq!(parts(last(&upstream).json()), gemini::SIGNATURE);
}

#[test]
fn embeddings_counts_and_images_are_answered_in_the_clients_format() {
    let upstream = FakeUpstream::with(gemini::answer);
    let hale = Config::new()
        .with("g", "a", &upstream, entry(&upstream, OLDER))
        .with("e", "b", &upstream, entry(&upstream, "gemini-embedding-001"))
        .with("i", "c", &upstream, entry(&upstream, "imagen-4.0-generate-001"))
        .start();
    let body = json!({"model": "e", "input": ["a", "b"]});
    let answer = served(&hale, "/v1/embeddings", &body);
    assert_eq!(answer["data"][1]["embedding"], json!([0.5, 1]));
    assert!(answer["usage"]["prompt_tokens"].as_u64().is_some());
    let sent = last(&upstream);
    assert_eq!(sent.path, "/v1beta/models/gemini-embedding-001:batchEmbedContents");
    let answer = served(&hale, "/v1/embeddings", &with(body, json!({"encoding_format": "base64"})));
    assert_eq!(answer["data"][1]["embedding"], "AAAAPwAAgD8=");
    let counted = served(&hale, "/v1/messages/count_tokens", &ask("g", json!({})));
    assert_eq!(counted["input_tokens"], 42);
    assert_eq!(last(&upstream).path, format!("/v1beta/models/{OLDER}:countTokens"));
    let counted = served(&hale, "/utils/token_counter", &json!({"model": "g", "prompt": "hi"}));
    assert_eq!(counted["total_tokens"], 42, "{counted}");
    let answer = served(&hale, "/v1/images/generations", &json!({"model": "i", "prompt": "a cat"}));
    assert_eq!(answer["data"][0]["b64_json"], "iVBORw0KGgo=");
    assert_eq!(last(&upstream).path, "/v1beta/models/imagen-4.0-generate-001:predict");
}

fn health(hale: &Hale) -> Value {
    client(hale).get("/health").json()
}

#[test]
fn probes_are_built_like_traffic_and_say_what_is_wrong() {
    let upstream = FakeUpstream::with(gemini::answer);
    let healthy = health(&config(&upstream, OLDER).start());
    assert_eq!(healthy["healthy_count"], 1, "{healthy}");
    let sent = last(&upstream);
    assert_eq!(sent.path, format!("/v1beta/models/{OLDER}:generateContent"));
    assert_eq!(sent.json()["generationConfig"]["maxOutputTokens"], 1);
    let embedding = health(&config(&upstream, "gemini-embedding-001").start());
    assert_eq!(embedding["healthy_count"], 1, "{embedding}");
    assert_eq!(last(&upstream).path, "/v1beta/models/gemini-embedding-001:batchEmbedContents");
    // The thoughts used up the one token.
    let thoughtful =
        FakeUpstream::with(|_| Script::ok().json(&gemini::candidate(json!([]), "MAX_TOKENS")));
    let page = health(&config(&thoughtful, OLDER).start());
    assert_eq!(page["healthy_count"], 1, "{page}");
    let filtered = FakeUpstream::with(|_| {
        Script::ok().json(&json!({"promptFeedback": {"blockReason": "SAFETY"}}))
    });
    let page = health(&config(&filtered, OLDER).start());
    assert_eq!(page["healthy_count"], 1, "{page}");
    let wrong = with(entry(&upstream, OLDER), json!({"api_key": "AIza-wrong"}));
    let bad = health(&Config::new().with("g", "a", &upstream, wrong).start());
    assert_eq!(bad["unhealthy_endpoints"][0]["cause"], "auth", "{bad}");
    let limited = FakeUpstream::with(|_| {
        let details = json!([
            {"@type": "type.googleapis.com/google.rpc.QuotaFailure",
             "violations": [{"quotaId": "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"}]},
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "38s"}]);
        gemini::refusal(429, "RESOURCE_EXHAUSTED", "You exceeded your current quota.", details)
    });
    let hale = config(&limited, OLDER).router(json!({"num_retries": 0, "max_wait_s": 0})).start();
    let page = health(&hale);
    assert_eq!(page["healthy_endpoints"][0]["status"], "rate_limited", "{page}");
    assert_eq!(page["healthy_endpoints"][0]["retry_after_s"], 38, "{page}");
}

#[test]
fn an_answer_that_the_model_spoilt_moves_on_and_one_that_is_empty_too() {
    let good = FakeUpstream::with(gemini::answer);
    for (parts, finish) in [
        (json!([{"text": "half"}]), "MALFORMED_FUNCTION_CALL"),
        (json!([{"text": "hm", "thought": true}]), "STOP"),
        (json!([]), "STOP"),
        (json!([]), "OTHER"),
    ] {
        let is_silent = !parts.to_string().contains("thought");
        let answer = gemini::candidate(parts, finish);
        let bad = FakeUpstream::with(move |request| {
            match request.path.contains(":streamGenerateContent") {
                true => gemini::stream(std::slice::from_ref(&answer)),
                false => Script::ok().json(&answer),
            }
        });
        let hale = Config::new()
            .with("g", "a", &bad, entry(&bad, OLDER))
            .with("h", "b", &good, entry(&good, OLDER))
            .router(json!({"num_retries": 0, "fallbacks": [{"g": ["h"]}]}))
            .start();
        let answer = served(&hale, CHAT, &chat("g", json!({})));
        assert_eq!(answer["choices"][0]["message"]["content"], gemini::TEXT, "{finish}");
        // Thoughts that the client has seen cannot be taken back.
        if is_silent {
            let mut streaming = client(&hale);
            let mut stream = streaming.stream(CHAT, &[], &chat("g", json!({"stream": true})));
            assert_eq!(stream.content(), gemini::TEXT, "{finish}");
        }
    }
}

#[test]
fn a_blocked_prompt_moves_on_where_there_is_a_fallback_for_it_and_else_is_the_answer() {
    let good = FakeUpstream::with(gemini::answer);
    let blocking = || {
        FakeUpstream::with(|_| {
            Script::ok().json(&json!({"promptFeedback": {"blockReason": "SAFETY"},
                "usageMetadata": {"promptTokenCount": 3, "totalTokenCount": 3}}))
        })
    };
    let blocked = blocking();
    let hale = config(&blocked, OLDER).start();
    let answer = served(&hale, CHAT, &chat("g", json!({})));
    assert_eq!(answer["choices"][0]["finish_reason"], "content_filter");
    assert_eq!(answer["choices"][0]["message"]["content"], Value::Null);
    let answer = served(&hale, MESSAGES, &ask("g", json!({})));
    assert_eq!(answer["stop_reason"], "refusal");
    let hale = Config::new()
        .with("g", "a", &blocked, entry(&blocked, OLDER))
        .with("h", "b", &good, entry(&good, OLDER))
        .router(json!({"content_policy_fallbacks": [{"g": ["h"]}]}))
        .start();
    let answer = served(&hale, CHAT, &chat("g", json!({})));
    assert_eq!(answer["choices"][0]["message"]["content"], gemini::TEXT);
}

#[test]
fn an_error_in_a_stream_moves_on_before_content_and_is_told_after_it() {
    let good = FakeUpstream::with(gemini::answer);
    let error = json!({"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}});
    let before = {
        let error = error.clone();
        FakeUpstream::with(move |_| gemini::stream(std::slice::from_ref(&error)))
    };
    let hale = Config::new()
        .with("g", "a", &before, entry(&before, OLDER))
        .with("h", "b", &good, entry(&good, OLDER))
        .router(json!({"num_retries": 0, "fallbacks": [{"g": ["h"]}]}))
        .start();
    let mut streaming = client(&hale);
    let mut stream = streaming.stream(CHAT, &[], &chat("g", json!({"stream": true})));
    assert_eq!(stream.content(), gemini::TEXT);
    let behind = FakeUpstream::with(move |_| {
        gemini::stream(&[gemini::chunk(json!([{"text": "half"}])), error.clone()])
    });
    let hale = config(&behind, OLDER).start();
    let mut streaming = client(&hale);
    let mut stream = streaming.stream(CHAT, &[], &chat("g", json!({"stream": true})));
    let mut events = Vec::new();
    while let Some(event) = stream.next_event() {
        events.push(event.json());
    }
    let text = events.last().unwrap().to_string();
    assert!(text.contains("overloaded"), "{text}");
}

#[test]
fn the_models_behind_a_pattern_have_the_names_that_requests_use() {
    let upstream = FakeUpstream::with(gemini::answer);
    let hale = Config::new()
        .with("gemini/*", "a", &upstream, entry(&upstream, "*"))
        .litellm(json!({"check_provider_endpoint": true}))
        .start();
    let page = client(&hale).get("/v1/models").json();
    let names = column(&page["data"], "id");
    for name in ["gemini/gemini-2.5-flash", "gemini/gemini-3-pro-preview"] {
        assert!(names.contains(&json!(name)), "{names:?}");
    }
    let body = json!({"model": "gemini/gemini-2.5-flash", "messages": [user("hi")]});
    served(&hale, CHAT, &body);
    assert_eq!(last(&upstream).path, format!("/v1beta/models/{OLDER}:generateContent"));
}

#[test]
fn what_google_does_not_have_is_refused_by_name() {
    let upstream = FakeUpstream::with(gemini::answer);
    let hale = config(&upstream, OLDER).start();
    let refused = post(&hale, "/v1/completions", &json!({"model": "g", "prompt": "hi"}));
    assert_eq!(refused.status, 400, "{}", refused.text());
    assert!(refused.text().contains("/v1/chat/completions"), "{}", refused.text());
    let refused = post(&hale, CHAT, &chat("g", json!({"n": 2, "stream": true})));
    assert_eq!(refused.status, 400);
    assert!(refused.text().contains("`n`"), "{}", refused.text());
    assert_eq!(upstream.requests().len(), 0);
    let speech = config(&upstream, "gemini-3.8-flash-tts").start();
    let refused = post(&speech, CHAT, &chat("g", json!({})));
    let error = expect_error(&refused, 503, "no_healthy_deployments");
    assert!(error["message"].as_str().unwrap().contains("audio_speech"), "{error}");
}

#[test]
fn refusals_below_the_pass_through_of_gemini_are_in_googles_form() {
    let upstream = FakeUpstream::with(gemini::answer);
    let hale = config(&upstream, OLDER).start();
    let mut own = client(&hale);
    let listed = own.get("/gemini/v1beta/models").json();
    assert_eq!(listed["models"][0]["name"], "models/gemini-2.5-flash", "{listed}");
    let path = format!("/gemini/v1beta/models/{OLDER}:generateContent");
    let body = json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]}]});
    let answer = own.post_json(&path, &[], &body);
    assert_eq!(answer.json()["candidates"][0]["finishReason"], "STOP", "{}", answer.text());
    let odd = own.get("/gemini/v1beta/..%2fx");
    assert_eq!((odd.status, &odd.json()["error"]["status"]), (400, &json!("INVALID_ARGUMENT")));
    let stranger = hale.client().get("/gemini/v1beta/models");
    assert_eq!(stranger.json()["error"]["status"], "UNAUTHENTICATED", "{}", stranger.text());
    assert_eq!(stranger.json()["error"]["code"], 401);
}

#[test]
fn several_answers_are_served_between_chats_and_googles_in_one_piece_and_refused_in_streams() {
    let google = FakeUpstream::with(|request| {
        let one = gemini::candidate(json!([{"text": "one"}]), "STOP");
        let mut both = one.clone();
        let wanted = request.json()["generationConfig"]["candidateCount"].as_u64();
        assert_eq!(wanted, Some(2));
        let two = gemini::candidate(json!([{"text": "two"}]), "STOP")["candidates"][0].clone();
        both["candidates"].as_array_mut().unwrap().push(two);
        Script::ok().json(&both)
    });
    let chats = FakeUpstream::with(|request| {
        let mut both = openai::chat_completion("gpt-4o", "one");
        assert_eq!(request.json()["n"], 2);
        let mut two = openai::chat_completion("gpt-4o", "two")["choices"][0].clone();
        two["index"] = json!(1);
        both["choices"].as_array_mut().unwrap().push(two);
        Script::ok().json(&both)
    });
    let hale = Config::new()
        .with(
            "g",
            "a",
            &google,
            json!({"model": "gemini/gemini-2.5-flash", "api_key": gemini::KEY,
            "api_base": google.url()}),
        )
        .deployment("c", "b", &chats)
        .start();
    let mut body = openai::chat_request("g", "hi");
    body["n"] = json!(2);
    let answer = client(&hale).post_json("/v1/chat/completions", &[], &body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let choices = answer.json()["choices"].clone();
    assert_eq!(
        (&choices[1]["index"], &choices[1]["message"]["content"]),
        (&json!(1), &json!("two"))
    );
    body["stream"] = json!(true);
    let streamed = client(&hale).post_json("/v1/chat/completions", &[], &body);
    assert_eq!((streamed.status, &streamed.json()["error"]["param"]), (400, &json!("n")));
    let ask = json!({"contents": [{"parts": [{"text": "hi"}]}], "generationConfig": {"candidateCount": 2}});
    let answer = client(&hale).post_json("/v1beta/models/c:generateContent", &[], &ask);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let candidates = answer.json()["candidates"].clone();
    assert_eq!(candidates[1]["content"]["parts"][0]["text"], "two", "{candidates}");
    let streamed =
        client(&hale).post_json("/v1beta/models/c:streamGenerateContent?alt=sse", &[], &ask);
    assert_eq!(streamed.status, 400, "{}", streamed.text());
}
