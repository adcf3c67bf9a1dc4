//! Keys of the config that change little: parameters left out per deployment, defaults of all deployments, marks for the cache,
//! reasoning in the text, headers to the provider, the user of a record. Each by traffic, and by a probe where it concerns one.

use hale_testkit::{FakeUpstream, Request, Script, anthropic, openai};
use serde_json::{Value, json};

use crate::sessions::{MESSAGES, anthropics, ask, served, user, with};
use crate::support::{CHAT, Config, LOG, client, wait_for_records};

fn chat(model: &str, more: Value) -> Value {
    with(json!({"model": model, "messages": [user("hi")]}), more)
}

fn last(upstream: &FakeUpstream) -> Value {
    upstream.requests().last().unwrap().json()
}

#[test]
fn parameters_are_left_out_for_the_deployment_that_says_so() {
    let (one, two) = (FakeUpstream::start(), FakeUpstream::start());
    let claude = FakeUpstream::with(anthropic::answer);
    let hale = Config::new()
        .with("drops", "a", &one, json!({"model": "groq/x", "drop_params": true}))
        .with("keeps", "b", &two, json!({"model": "groq/x", "drop_params": false}))
        .with("claude", "c", &claude, with(anthropics(&claude), json!({"drop_params": true})))
        .start();
    let more = json!({"service_tier": "flex", "temperature": 0.5});
    served(&hale, CHAT, &chat("drops", more.clone()));
    assert_eq!((last(&one).get("service_tier"), &last(&one)["temperature"]), (None, &json!(0.5)));
    served(&hale, CHAT, &chat("keeps", more));
    assert_eq!(last(&two)["service_tier"], "flex");
    served(&hale, CHAT, &chat("claude", json!({"seed": 7, "logit_bias": {"1": 2}})));
    assert_eq!(last(&claude).get("seed"), None);
}

#[test]
fn defaults_of_all_deployments_yield_to_their_own_and_reach_probes() {
    let (one, two) = (FakeUpstream::start(), FakeUpstream::start());
    let defaults = json!({"model": "ignored/x", "temperature": 0.25, "num_retries": 0, "headers": {"x-team": "red"}});
    let hale = Config::new()
        .deployment("a", "a", &one)
        .with("b", "b", &two, json!({"temperature": 0.75, "headers": {"x-team": "blue"}}))
        .router(json!({"default_litellm_params": defaults}))
        .start();
    served(&hale, CHAT, &chat("a", json!({})));
    served(&hale, CHAT, &chat("b", json!({})));
    assert_eq!(
        (&last(&one)["temperature"], &last(&one)["model"]),
        (&json!(0.25), &json!("gpt-4o"))
    );
    assert_eq!(last(&two)["temperature"], 0.75);
    let page = client(&hale).get("/health").json();
    assert_eq!(page["healthy_count"], 2, "{page}");
    let team = |upstream: &FakeUpstream| {
        let seen = upstream.requests();
        seen.iter().map(|it| it.header("x-team").unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!((team(&one), team(&two)), (vec!["red".to_owned(); 2], vec!["blue".to_owned(); 2]));
}

#[test]
fn extra_headers_win_over_headers_of_the_same_name() {
    let upstream = FakeUpstream::start();
    let more = json!({"headers": {"X-A": "1", "x-b": "2"}, "extra_headers": {"x-a": "3"}});
    let hale = Config::new().with("m", "a", &upstream, more).start();
    served(&hale, CHAT, &chat("m", json!({})));
    let seen = upstream.requests();
    assert_eq!((seen[0].header("x-a"), seen[0].header("x-b")), (Some("3"), Some("2")));
}

#[test]
fn marks_for_the_cache_are_put_for_clients_of_both_formats_at_anthropic_only() {
    let claude = FakeUpstream::with(anthropic::answer);
    let other = FakeUpstream::start();
    let points = json!({"cache_control_injection_points": [{"location": "message", "role": "system"},
        {"location": "message", "index": -1, "control": {"type": "ephemeral", "ttl": "1h"}}]});
    let hale = Config::new()
        .with("claude", "a", &claude, with(anthropics(&claude), points.clone()))
        .with("other", "b", &other, points)
        .start();
    let said = json!([{"role": "system", "content": "be kind"}, user("hi")]);
    served(&hale, CHAT, &chat("claude", json!({"messages": said})));
    let sent = last(&claude);
    assert_eq!(sent["system"][0]["cache_control"], json!({"type": "ephemeral"}), "{sent}");
    let mark = &sent["messages"][0]["content"][0]["cache_control"];
    assert_eq!(mark, &json!({"type": "ephemeral", "ttl": "1h"}), "{sent}");
    served(&hale, MESSAGES, &ask("claude", json!({"system": "be kind"})));
    let sent = last(&claude);
    assert_eq!(sent["system"][0]["cache_control"], json!({"type": "ephemeral"}), "{sent}");
    assert_eq!(sent["messages"][0]["content"][0]["cache_control"]["ttl"], "1h", "{sent}");
    served(&hale, CHAT, &chat("other", json!({"messages": said})));
    assert!(!last(&other).to_string().contains("cache_control"));
    let page = client(&hale).get("/health").json();
    assert_eq!(page["healthy_count"], 2, "{page}");
}

/// Thinks, then says four.
fn thinker(request: &Request) -> Script {
    let body = request.json();
    if body["stream"] != true {
        let mut answer = openai::chat_completion("x", "four");
        answer["choices"][0]["message"]["reasoning_content"] = json!("let me see");
        return Script::ok().json(&answer);
    }
    let chunk = |delta: Value| openai::chunk("x", &delta, None);
    Script::ok().sse(&[
        openai::role_chunk("x"),
        chunk(json!({"reasoning_content": "let me "})),
        chunk(json!({"reasoning_content": "see"})),
        chunk(json!({"content": "fo"})),
        chunk(json!({"content": "ur"})),
        openai::finish_chunk("x", "stop"),
        openai::usage_chunk("x", 9, 7),
    ])
}

#[test]
fn reasoning_stands_in_the_text_of_streamed_chats_where_the_config_says_so() {
    let upstream = FakeUpstream::with(thinker);
    let merges = json!({"merge_reasoning_content_in_choices": true});
    let claude = FakeUpstream::with(|_| {
        let thought =
            |delta: Value| json!({"type": "content_block_delta", "index": 0, "delta": delta});
        let mut events = vec![
            anthropic::start("x"),
            json!({"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": "", "signature": ""}}),
            thought(json!({"type": "thinking_delta", "thinking": "let me see"})),
            json!({"type": "content_block_stop", "index": 0}),
            json!({"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}}),
            json!({"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "four"}}),
            json!({"type": "content_block_stop", "index": 1}),
        ];
        events.extend(
            anthropic::finish("end_turn")
                .into_iter()
                .filter(|event| event["type"] != "content_block_stop"),
        );
        anthropic::stream(&events)
    });
    let hale = Config::new()
        .with("merges", "a", &upstream, merges.clone())
        .deployment("plain", "b", &upstream)
        .with("claude", "c", &claude, with(anthropics(&claude), merges))
        .start();
    for (model, expected) in [
        ("merges", "<think>let me see</think>four"),
        ("plain", "four"),
        ("claude", "<think>let me see</think>four"),
    ] {
        let mut client = client(&hale);
        let mut stream = client.stream(CHAT, &[], &chat(model, json!({"stream": true})));
        assert_eq!(stream.content(), expected, "{model}");
    }
    // As in LiteLLM only streams change, and clients of messages have a place for reasoning.
    let whole = served(&hale, CHAT, &chat("merges", json!({})));
    assert_eq!(whole["choices"][0]["message"]["content"], "four");
    let message = served(&hale, MESSAGES, &ask("merges", json!({})));
    assert_eq!(message["content"][1]["text"], "four", "{message}");
}

#[test]
fn the_user_that_a_header_names_is_in_the_record_and_reaches_no_provider() {
    let upstream = FakeUpstream::start();
    let mappings = json!([{"header_name": "X-Staff", "litellm_user_role": "internal_user"},
        {"header_name": "X-Customer", "litellm_user_role": "customer"}]);
    let hale = Config::new()
        .deployment("m", "a", &upstream)
        .general(json!({"user_header_name": "X-User", "user_header_mappings": mappings, "request_log": LOG}))
        .start();
    let ask = |headers: &[(&str, &str)]| {
        let answer = client(&hale).post_json(CHAT, headers, &chat("m", json!({})));
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    ask(&[("x-user", "ann")]);
    ask(&[("X-USER", "ann"), ("x-customer", "acme"), ("x-staff", "bo")]);
    ask(&[("x-user", " ")]);
    ask(&[]);
    let records = wait_for_records(&hale, 4);
    let users: Vec<&Value> = records.iter().map(|record| &record["user"]).collect();
    assert_eq!(users, [&json!("ann"), &json!("acme"), &Value::Null, &Value::Null]);
    for request in upstream.requests() {
        for name in ["x-user", "x-customer", "x-staff"] {
            assert_eq!(request.header(name), None, "{name}");
        }
    }
}

#[test]
fn what_modify_params_asks_for_is_done_in_any_case() {
    let claude = FakeUpstream::with(anthropic::answer);
    for settings in [json!({"modify_params": true}), json!({})] {
        let hale =
            Config::new().with("m", "a", &claude, anthropics(&claude)).litellm(settings).start();
        let call =
            json!({"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}});
        let messages = json!([{"role": "assistant", "content": " ", "tool_calls": [call]}]);
        served(&hale, CHAT, &chat("m", json!({"messages": messages})));
        let sent = last(&claude);
        assert_eq!(sent["messages"][0]["role"], "user", "{sent}");
        assert_eq!(sent["tools"][0]["name"], "f", "{sent}");
        assert_eq!(sent["messages"][2]["content"][0]["type"], "tool_result", "{sent}");
        assert!(!hale.stderr().contains("modify_params"), "{}", hale.stderr());
    }
}
