//! Cohere in its own format: chats, streams, tools with plans, citations, embeddings, rerank, probes and errors. The upstream
//! here refuses what the real one refuses.

use hale_testkit::{FakeUpstream, Hale, Script, cohere};
use serde_json::{Value, json};

use crate::sessions::{ask, chat, last, message, post, served, user, with};
use crate::support::{CHAT, Config, blamed, client, column};

const MODEL: &str = "command-a-03-2025";

fn entry(upstream: &FakeUpstream, model: &str) -> Value {
    json!({"model": format!("cohere/{model}"), "api_key": cohere::KEY, "api_base": upstream.url()})
}

fn config(upstream: &FakeUpstream, model: &str) -> Config {
    Config::new().with("g", "a", upstream, entry(upstream, model))
}

/// OpenAI's form of the tool, and Anthropic's.
fn tools() -> [Value; 2] {
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    [
        json!([{"type": "function", "function": {"name": "weather", "parameters": schema}}]),
        json!([{"name": "weather", "input_schema": schema}]),
    ]
}

/// A chat's answer as a client puts it together from its chunks: message, finish, usage.
#[track_caller]
fn streamed(hale: &Hale, body: &Value) -> (Value, Value, Value) {
    let more = json!({"stream": true, "stream_options": {"include_usage": true}});
    let mut client = client(hale);
    let mut stream = client.stream(CHAT, &[], &with(body.clone(), more));
    let (mut message, mut finish, mut usage) = (json!({}), Value::Null, Value::Null);
    while let Some(event) = stream.next_event() {
        if event.data == "[DONE]" {
            break;
        }
        let chunk = event.json();
        assert!(chunk.get("error").is_none(), "{chunk}");
        if chunk["usage"].is_object() {
            usage = chunk["usage"].clone();
        }
        let choice = &chunk["choices"][0];
        if choice["finish_reason"].is_string() {
            finish = choice["finish_reason"].clone();
        }
        for name in ["content", "reasoning_content"] {
            if let Some(piece) = choice["delta"][name].as_str() {
                let text = message[name].as_str().unwrap_or_default().to_owned();
                message[name] = json!(text + piece);
            }
        }
        for list in ["annotations", "tool_calls"] {
            for one in choice["delta"][list].as_array().into_iter().flatten() {
                if one["id"].is_null() && list == "tool_calls" {
                    let at = one["index"].as_u64().unwrap() as usize;
                    let given = &mut message[list][at]["function"]["arguments"];
                    let text = given.as_str().unwrap().to_owned();
                    *given = json!(text + one["function"]["arguments"].as_str().unwrap());
                    continue;
                }
                let mut all = message[list].as_array().cloned().unwrap_or_default();
                all.push(one.clone());
                message[list] = json!(all);
            }
        }
    }
    (message, finish, usage)
}

#[test]
fn a_chat_goes_to_the_second_version_in_one_piece_and_as_a_stream() {
    let upstream = FakeUpstream::with(cohere::answer);
    let hale = config(&upstream, MODEL).start();
    let asked = chat("g", json!({"temperature": 0.5, "max_tokens": 9, "top_p": 0.3, "stop": "x"}));
    let answer = served(&hale, CHAT, &asked);
    let choice = &answer["choices"][0];
    assert_eq!(choice["message"]["content"], cohere::TEXT);
    assert_eq!((&answer["model"], &choice["finish_reason"]), (&json!("g"), &json!("stop")));
    let usage = &answer["usage"];
    assert_eq!((&usage["prompt_tokens"], &usage["completion_tokens"]), (&json!(9), &json!(7)));
    assert_eq!(usage["prompt_tokens_details"]["cached_tokens"], 2);
    let sent = last(&upstream);
    assert_eq!(sent.path, "/v2/chat");
    let expected = json!({"model": MODEL, "messages": [user("hi")], "temperature": 0.5,
        "max_tokens": 9, "p": 0.3, "stop_sequences": ["x"]});
    assert_eq!(sent.json(), expected);
    let (message_of, finish, usage_of) = streamed(&hale, &asked);
    assert_eq!(message_of["content"], cohere::TEXT);
    assert_eq!((&finish, &usage_of), (&choice["finish_reason"], usage));
    assert_eq!(last(&upstream).json(), with(expected, json!({"stream": true})));
    let hale = config(&upstream, "command-a-reasoning-08-2025").start();
    for is_stream in [false, true] {
        let more =
            json!({"system": "be kind", "thinking": {"type": "enabled", "budget_tokens": 2000}});
        let answer = message(&hale, &ask("g", more), is_stream);
        assert_eq!(answer["stop_reason"], "end_turn");
        assert_eq!(column(&answer["content"], "type"), [json!("thinking"), json!("text")]);
        assert_eq!(answer["content"][1]["text"], cohere::TEXT, "{answer}");
        let sent = last(&upstream).json();
        assert_eq!(sent["messages"][0], json!({"role": "system", "content": "be kind"}));
        assert_eq!(sent["thinking"], json!({"type": "enabled", "token_budget": 2000}));
    }
}

#[test]
fn a_call_comes_with_its_plan_and_its_result_goes_back_for_clients_of_both_formats() {
    let upstream = FakeUpstream::with(cohere::answer);
    let hale = config(&upstream, MODEL).start();
    for is_stream in [false, true] {
        let asked = chat("g", json!({"tools": tools()[0], "tool_choice": "required"}));
        let (mut said, finish) = match is_stream {
            true => {
                let (said, finish, _) = streamed(&hale, &asked);
                (said, finish)
            }
            false => {
                let answer = served(&hale, CHAT, &asked)["choices"][0].clone();
                (answer["message"].clone(), answer["finish_reason"].clone())
            }
        };
        assert_eq!(
            (&finish, &said["reasoning_content"]),
            (&json!("tool_calls"), &json!(cohere::PLAN))
        );
        let call = &said["tool_calls"][0];
        assert_eq!(
            (&call["id"], &call["function"]["arguments"]),
            (&json!("weather_1"), &json!("{\"city\":\"Rome\"}"))
        );
        assert_eq!(last(&upstream).json()["tool_choice"], "REQUIRED");
        said["role"] = json!("assistant");
        let result = json!({"role": "tool", "tool_call_id": "weather_1", "content": "sunny"});
        let messages = json!([user("hi"), said, result]);
        served(&hale, CHAT, &chat("g", json!({"tools": tools()[0], "messages": messages})));
        let sent = last(&upstream).json();
        let history = json!([user("hi"), {"role": "assistant", "tool_calls": cohere::call()["tool_calls"]},
            {"role": "tool", "tool_call_id": "weather_1", "content": "sunny"}]);
        let mut without_plan = sent["messages"].clone();
        without_plan[1].as_object_mut().unwrap().remove("tool_plan");
        assert_eq!(without_plan, history);

        let first = message(&hale, &ask("g", json!({"tools": tools()[1]})), is_stream);
        assert_eq!(first["stop_reason"], "tool_use", "{first}");
        let id = first["content"][1]["id"].clone();
        let messages = json!([user("hi"), {"role": "assistant", "content": first["content"]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": id, "content": "sunny"}]}]);
        let next = ask("g", json!({"tools": tools()[1], "messages": messages}));
        let answer = message(&hale, &next, is_stream);
        assert_eq!(answer["content"][0]["text"], cohere::TEXT);
        let sent = last(&upstream).json();
        assert_eq!(sent["messages"][1]["tool_plan"], cohere::PLAN, "{sent}");
        assert_eq!(sent["messages"][2], history[2]);
    }
}

#[test]
fn what_the_text_cites_is_told_in_one_piece_and_as_a_stream() {
    let upstream = FakeUpstream::with(cohere::answer);
    let hale = config(&upstream, MODEL).start();
    let documents = json!([{"id": "doc:0", "data": {"title": "Greetings"}}]);
    let asked = chat("g", json!({"documents": documents, "citation_options": {"mode": "FAST"}}));
    let answer = served(&hale, CHAT, &asked);
    let expected = json!([{"type": "url_citation", "url_citation":
        {"start_index": 0, "end_index": 5, "url": "source:doc:0", "title": "Greetings"}}]);
    assert_eq!(answer["choices"][0]["message"]["annotations"], expected, "{answer}");
    let mut indexed = expected;
    indexed[0]["index"] = json!(0);
    assert_eq!(streamed(&hale, &asked).0["annotations"], indexed);
    let sent = last(&upstream).json();
    assert_eq!(
        (&sent["documents"], &sent["citation_options"]["mode"]),
        (&documents, &json!("FAST"))
    );
    // A document of a messages client stands there too.
    let document = json!({"type": "document", "title": "T", "source": {"type": "text", "media_type": "text/plain", "data": "words"}});
    let content = json!([document, {"type": "text", "text": "what?"}]);
    let messages = json!([{"role": "user", "content": content}]);
    assert_eq!(
        message(&hale, &ask("g", json!({"messages": messages})), true)["content"][0]["text"],
        cohere::TEXT
    );
    let sent = last(&upstream).json();
    assert_eq!(sent["documents"], json!([{"data": {"title": "T", "text": "words"}}]));
    assert_eq!(sent["messages"], json!([user("what?")]));
}

#[test]
fn embeddings_and_ranks_are_answered_in_the_clients_format() {
    let upstream = FakeUpstream::with(cohere::answer);
    let hale = Config::new()
        .with("e", "b", &upstream, entry(&upstream, "embed-v4.0"))
        .with("r", "c", &upstream, entry(&upstream, "rerank-v3.5"))
        .start();
    let body = json!({"model": "e", "input": ["a", "b"], "dimensions": 2});
    let answer = served(&hale, "/v1/embeddings", &body);
    assert_eq!(
        (&answer["data"][1]["embedding"], &answer["model"]),
        (&json!([0.5, 1]), &json!("e"))
    );
    assert_eq!(answer["usage"], json!({"prompt_tokens": 4, "total_tokens": 4}));
    let sent = last(&upstream);
    assert_eq!(sent.path, "/v2/embed");
    assert_eq!(
        sent.json(),
        json!({"model": "embed-v4.0", "texts": ["a", "b"], "input_type": "search_document",
            "embedding_types": ["float"], "output_dimension": 2})
    );
    let more = json!({"encoding_format": "base64", "input_type": "search_query"});
    let answer = served(&hale, "/v1/embeddings", &with(body, more));
    assert_eq!(answer["data"][1]["embedding"], "AAAAPwAAgD8=");
    assert_eq!(last(&upstream).json()["input_type"], "search_query");
    let ranked =
        served(&hale, "/v1/rerank", &json!({"model": "r", "query": "q", "documents": ["a", "b"]}));
    assert_eq!(ranked["results"][0], json!({"index": 1, "relevance_score": 0.9}));
    assert_eq!(last(&upstream).path, "/v2/rerank");
    assert_eq!(blamed(&hale), 0.0);
}

#[test]
fn the_address_and_the_key_may_come_from_the_environment() {
    let upstream = FakeUpstream::with(cohere::answer);
    let host = upstream.url();
    for (variable, base) in [
        ("COHERE_API_KEY", host.clone()),
        ("CO_API_KEY", format!("{host}/v2/chat")),
        ("CO_API_KEY", format!("{host}/v1/")),
    ] {
        let entry =
            json!({"model_name": "g", "litellm_params": {"model": format!("cohere_chat/{MODEL}")}});
        let launch = Config::new().entry(entry).launch();
        let hale = launch.env(variable, cohere::KEY).env("COHERE_API_BASE", &base).start();
        served(&hale, CHAT, &chat("g", json!({})));
        assert_eq!(last(&upstream).path, "/v2/chat", "{base}");
    }
}

fn health(hale: &Hale) -> Value {
    client(hale).get("/health").json()
}

#[test]
fn probes_are_built_like_traffic_and_say_what_is_wrong() {
    let upstream = FakeUpstream::with(cohere::answer);
    for (model, path) in
        [(MODEL, "/v2/chat"), ("embed-v4.0", "/v2/embed"), ("rerank-v3.5", "/v2/rerank")]
    {
        let page = health(&config(&upstream, model).start());
        assert_eq!(page["healthy_count"], 1, "{page}");
        assert_eq!(last(&upstream).path, path);
    }
    let wrong = with(entry(&upstream, MODEL), json!({"api_key": "co-wrong"}));
    let page = health(&Config::new().with("g", "a", &upstream, wrong).start());
    assert_eq!(page["unhealthy_endpoints"][0]["cause"], "auth", "{page}");
    let trial = FakeUpstream::with(|_| {
        let text = "You are using a Trial key, which is limited to 1000 API calls / month.";
        cohere::refusal(429, text)
    });
    let page = health(&config(&trial, MODEL).start());
    assert_eq!(page["unhealthy_endpoints"][0]["cause"], "quota", "{page}");
}

#[test]
fn an_answer_that_failed_or_is_empty_moves_on() {
    let good = FakeUpstream::with(cohere::answer);
    let half = || cohere::said("half");
    let nothing = json!({"role": "assistant", "content": []});
    for (said, finish) in [(half(), "ERROR"), (half(), "TIMEOUT"), (nothing, "COMPLETE")] {
        let is_silent = said["content"] == json!([]);
        let bad = FakeUpstream::with(move |request| {
            let mut said = said.clone();
            // What the client has seen cannot be taken back.
            if request.json()["stream"] == true {
                said["content"] = json!([]);
            }
            let mut answer = cohere::chat(said.clone(), finish);
            answer["usage"]["tokens"]["output_tokens"] = json!(0);
            match request.json()["stream"] == true {
                true => {
                    let mut events = cohere::events(&said, finish);
                    events.last_mut().unwrap()["delta"]["usage"] = Value::Null;
                    cohere::stream(&events)
                }
                false => Script::ok().json(&answer),
            }
        });
        let hale = Config::new()
            .with("g", "a", &bad, entry(&bad, MODEL))
            .with("h", "b", &good, entry(&good, MODEL))
            .router(json!({"num_retries": 0, "fallbacks": [{"g": ["h"]}]}))
            .start();
        let answer = served(&hale, CHAT, &chat("g", json!({})));
        assert_eq!(
            answer["choices"][0]["message"]["content"],
            cohere::TEXT,
            "{finish} {is_silent}"
        );
        assert_eq!(streamed(&hale, &chat("g", json!({}))).0["content"], cohere::TEXT, "{finish}");
    }
}

#[test]
fn an_error_in_a_stream_moves_on_before_content_and_is_told_after_it() {
    let good = FakeUpstream::with(cohere::answer);
    let failed = json!({"type": "message-end", "delta": {"finish_reason": "ERROR", "error": "the server is on fire"}});
    let begun = cohere::events(&cohere::said("half"), "COMPLETE");
    let before = {
        let events = [begun[0].clone(), failed.clone()];
        FakeUpstream::with(move |_| cohere::stream(&events))
    };
    let hale = Config::new()
        .with("g", "a", &before, entry(&before, MODEL))
        .with("h", "b", &good, entry(&good, MODEL))
        .router(json!({"num_retries": 0, "fallbacks": [{"g": ["h"]}]}))
        .start();
    assert_eq!(streamed(&hale, &chat("g", json!({}))).0["content"], cohere::TEXT);
    for (end, part) in [(Some(failed), "the server is on fire"), (None, "before it was complete")] {
        let mut events: Vec<Value> = begun[..3].to_vec();
        events.extend(end);
        let behind = FakeUpstream::with(move |_| cohere::stream(&events));
        let hale = config(&behind, MODEL).start();
        let mut streaming = client(&hale);
        let mut stream = streaming.stream(CHAT, &[], &chat("g", json!({"stream": true})));
        let mut last = String::new();
        while let Some(event) = stream.next_event() {
            last = event.data;
        }
        assert!(last.contains(part), "{last}");
    }
}

#[test]
fn what_cohere_does_not_have_is_refused_by_name() {
    let upstream = FakeUpstream::with(cohere::answer);
    let hale = config(&upstream, MODEL).start();
    for (more, field) in [
        (json!({"n": 2}), "n"),
        (json!({"top_logprobs": 2}), "top_logprobs"),
        (json!({"web_search_options": {}}), "web_search_options"),
        (
            json!({"response_format": {"type": "json_object"}, "documents": ["a"]}),
            "response_format",
        ),
    ] {
        let refused = post(&hale, CHAT, &chat("g", more));
        assert_eq!(refused.status, 400, "{}", refused.text());
        assert!(refused.text().contains(&format!("`{field}`")), "{}", refused.text());
    }
    assert_eq!(upstream.requests().len(), 0);
}

#[test]
fn responses_are_made_of_chats_of_cohere() {
    let upstream = FakeUpstream::with(cohere::answer);
    let hale = config(&upstream, MODEL).start();
    let answer = served(&hale, "/v1/responses", &json!({"model": "g", "input": "hi"}));
    assert_eq!(answer["output"][0]["content"][0]["text"], cohere::TEXT, "{answer}");
    assert_eq!(last(&upstream).path, "/v2/chat");
}

#[test]
fn the_models_behind_a_pattern_have_the_names_that_requests_use() {
    let upstream = FakeUpstream::with(cohere::answer);
    let hale = Config::new()
        .with("cohere/*", "a", &upstream, entry(&upstream, "*"))
        .litellm(json!({"check_provider_endpoint": true}))
        .start();
    let page = client(&hale).get("/v1/models").json();
    assert!(column(&page["data"], "id").contains(&json!("cohere/command-a-03-2025")), "{page}");
    served(&hale, CHAT, &json!({"model": "cohere/command-x", "messages": [user("hi")]}));
    assert_eq!(last(&upstream).json()["model"], "command-x");
}

#[test]
fn refusals_below_the_pass_through_of_cohere_are_in_its_form() {
    let upstream = FakeUpstream::with(cohere::answer);
    let hale = config(&upstream, MODEL).start();
    let mut own = client(&hale);
    let listed = own.get("/cohere/v1/models").json();
    assert_eq!(listed["models"][0]["name"], MODEL, "{listed}");
    let body = json!({"model": MODEL, "messages": [user("hi")]});
    let answer = own.post_json("/cohere/v2/chat", &[], &body);
    assert_eq!(answer.json()["finish_reason"], "COMPLETE", "{}", answer.text());
    let odd = own.get("/cohere/v1/..%2fx");
    assert_eq!(odd.status, 400);
    assert!(odd.json()["message"].is_string(), "{}", odd.text());
    let stranger = hale.client().get("/cohere/v1/models");
    assert_eq!(stranger.status, 401);
    assert!(stranger.json()["message"].is_string(), "{}", stranger.text());
}
