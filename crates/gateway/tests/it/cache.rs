//! The cache of answers: what is kept, who gets it, and what is never kept.

use std::fs;

use hale_testkit::{Client, FakeUpstream, Hale, Response, Script, anthropic, openai};
use serde_json::{Value, json};

use crate::support::{
    CHAT, Config, client, eventually, expect_error, lone, metric, pair, wait_until_idle,
};

const MESSAGES: &str = "/v1/messages";

fn on(config: Config) -> Config {
    config.litellm(json!({"cache": true, "cache_params": {"type": "local", "ttl": 600}}))
}

fn ask(hale: &Hale, body: &Value) -> Response {
    client(hale).post_json(CHAT, &[], body)
}

fn hi() -> Value {
    openai::chat_request("m", "hi")
}

/// How the cache answered, in the header and in the key's presence.
fn how(response: &Response) -> Option<&str> {
    assert!(response.header("x-litellm-cache-key").is_some_and(|key| key.len() == 64));
    response.header("x-hale-cache")
}

/// An upstream that counts its answers.
fn counting() -> FakeUpstream {
    let mut number = 0;
    FakeUpstream::with(move |request| {
        number += 1;
        let text = format!("answer {number}");
        match (request.json()["stream"].as_bool(), request.path.as_str()) {
            (_, path) if path.contains("messages") => {
                let events = anthropic::events("m", &["answer ", &number.to_string()]);
                match request.json()["stream"].as_bool() {
                    Some(true) => anthropic::stream(&events),
                    _ => Script::ok().json(&anthropic::message("m", &text)),
                }
            }
            (Some(true), _) => {
                Script::ok().sse(&openai::chunks("m", &["answer ", &number.to_string()]))
            }
            _ => Script::ok().json(&openai::chat_completion("m", &text)),
        }
    })
}

#[test]
fn an_equal_request_gets_the_same_bytes_for_nothing() {
    let upstream = counting();
    let config = on(lone(&upstream)).general(json!({"request_log": "log.jsonl"}));
    let hale = config.start();
    let first = ask(&hale, &hi());
    assert_eq!((first.status, how(&first)), (200, None));
    let spaced =
        r#"{ "messages" : [ {"role":"user", "content":"\u0068i"} ], "user":"u", "model":"m" }"#;
    for body in [hi().to_string(), spaced.to_owned()] {
        let again = client(&hale).request("POST", CHAT, &[], body.as_bytes());
        assert_eq!((again.status, how(&again)), (200, Some("hit")));
        assert_eq!(again.body, first.body);
        assert_eq!(again.header("x-litellm-response-cost"), Some("0.0"));
        assert_eq!(again.header("x-litellm-model-id"), Some("a"));
        assert_eq!(again.header("x-litellm-model-group"), Some("m"));
        assert_eq!(again.header("x-litellm-cache-key"), first.header("x-litellm-cache-key"));
    }
    let other = ask(&hale, &openai::chat_request("m", "other"));
    assert_eq!(how(&other), None);
    assert_ne!(other.header("x-litellm-cache-key"), first.header("x-litellm-cache-key"));
    assert_eq!(upstream.requests().len(), 2);
    assert_eq!(metric(&hale, "hale_cache_hits_total", &[]), 2.0);
    assert_eq!(metric(&hale, "hale_cache_misses_total", &[]), 2.0);
    assert!(metric(&hale, "hale_cache_bytes", &[]) > 0.0);
    let hits = eventually("the records are written", || {
        let text = fs::read_to_string(hale.dir().join("log.jsonl")).ok()?;
        let records = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let hits: Vec<Value> = records.filter(|record| record["cache"] == "hit").collect();
        (hits.len() == 2).then_some(hits)
    });
    for record in hits {
        assert_eq!((&record["cost_usd"], &record["status"]), (&json!(0.0), &json!(200)));
        assert_eq!((&record["model_group"], &record["deployment"]), (&json!("m"), &Value::Null));
    }
}

#[test]
fn a_stream_is_replayed_as_a_stream() {
    let upstream = counting();
    let hale = on(lone(&upstream)).start();
    let body = openai::stream_request("m", "hi");
    let read = || {
        let mut client = client(&hale);
        let mut stream = client.stream(CHAT, &[], &body);
        let how = stream.header("x-hale-cache").map(str::to_owned);
        assert!(stream.header("content-type").unwrap().starts_with("text/event-stream"));
        (how, stream.text())
    };
    let first = read();
    assert_eq!(first.0, None);
    assert!(first.1.contains("answer "), "{}", first.1);
    let again = eventually("it is kept", || Some(read()).filter(|(how, _)| how.is_some()));
    assert_eq!(again, (Some("hit".to_owned()), first.1));
    let full = ask(&hale, &hi());
    assert_eq!(how(&full), None, "a full answer is another answer");
}

#[test]
fn every_format_and_wire_is_kept_for_itself() {
    let upstream = counting();
    let claude = json!({"model": "anthropic/claude-haiku-4-5", "api_base": upstream.url()});
    let hale = on(lone(&upstream).with("claude", "claude", &upstream, claude)).start();
    let ask = |path: &str, body: &Value| client(&hale).post_json(path, &[], body);
    let mut calls = 0;
    for model in ["m", "claude"] {
        for (path, body) in
            [(CHAT, openai::chat_request(model, "hi")), (MESSAGES, anthropic::request(model, "hi"))]
        {
            let first = ask(path, &body);
            assert_eq!((first.status, how(&first)), (200, None), "{path} {model}");
            let again = ask(path, &body);
            assert_eq!((how(&again), &again.body), (Some("hit"), &first.body), "{path} {model}");
            calls += 1;
            assert_eq!(upstream.requests().len(), calls);
        }
    }
    let mut streaming = client(&hale);
    let first = streaming.stream(MESSAGES, &[], &anthropic::stream_request("claude", "hi")).text();
    let again = eventually("the stream is kept", || {
        let mut stream =
            streaming.stream(MESSAGES, &[], &anthropic::stream_request("claude", "hi"));
        let is_hit = stream.header("x-hale-cache").is_some();
        Some(stream.text()).filter(|_| is_hit)
    });
    assert_eq!(again, first);
}

#[test]
fn a_request_can_ask_for_a_fresh_answer_or_leave_none() {
    let upstream = counting();
    let hale = on(lone(&upstream)).start();
    let with = |cache: Value| {
        let mut body = hi();
        body["cache"] = cache;
        body
    };
    let first = ask(&hale, &hi());
    let fresh = ask(&hale, &with(json!({"no-cache": true})));
    assert_ne!(fresh.body, first.body);
    assert_eq!(ask(&hale, &hi()).body, fresh.body, "the fresh answer takes its place");
    let by_header = client(&hale).post_json(CHAT, &[("cache-control", "no-cache")], &hi());
    assert_ne!(by_header.body, fresh.body);
    let apart = ask(&hale, &with(json!({"namespace": "mine"})));
    assert_eq!(how(&apart), None);
    assert_eq!(how(&ask(&hale, &with(json!({"namespace": "mine"})))), Some("hit"));
    let mut other = openai::chat_request("m", "never kept");
    other["cache"] = json!({"no-store": true});
    ask(&hale, &other);
    assert_eq!(how(&ask(&hale, &other)), None);
    let mut brief = openai::chat_request("m", "brief");
    brief["cache"] = json!({"ttl": 0.001});
    eventually("its time has passed", || how(&ask(&hale, &brief)).is_none().then_some(()));
    let sent = upstream.requests().into_iter().map(|request| request.json());
    assert!(sent.into_iter().all(|body| body.get("cache").is_none()), "no provider gets it");
    let mut stored = hi();
    stored["store"] = json!(true);
    let answer = ask(&hale, &stored);
    assert_eq!(answer.header("x-litellm-cache-key"), None, "it must be the provider's");
}

#[test]
fn where_it_is_off_by_default_only_those_who_ask_use_it() {
    let upstream = counting();
    let params = json!({"cache": true, "cache_params": {"type": "local", "mode": "default_off"}});
    let hale = lone(&upstream).litellm(params).start();
    for _ in 0..2 {
        assert_eq!(ask(&hale, &hi()).header("x-litellm-cache-key"), None);
    }
    let mut asks = hi();
    asks["cache"] = json!({"use-cache": true});
    assert_eq!(how(&ask(&hale, &asks)), None);
    assert_eq!(how(&ask(&hale, &asks)), Some("hit"));
}

#[test]
fn without_a_cache_every_request_is_answered_anew() {
    let upstream = counting();
    let hale = lone(&upstream).start();
    let (one, other) = (ask(&hale, &hi()), ask(&hale, &hi()));
    assert_ne!(one.body, other.body);
    assert_eq!(one.header("x-litellm-cache-key"), None);
    let ping = client(&hale).get("/cache/ping");
    assert_eq!(ping.status, 503);
    assert_eq!(ping.json()["error"]["type"], "cache_ping_error");
    expect_error(&client(&hale).post_json("/cache/flushall", &[], &json!({})), 400, "no_cache");
}

#[test]
fn what_is_no_whole_answer_is_never_kept() {
    let cut_short = |reason: &str| {
        let mut answer = openai::chat_completion("m", "half");
        answer["choices"][0]["finish_reason"] = json!(reason);
        Script::ok().json(&answer)
    };
    for (what, script) in [
        ("an error", Script::error(400, "no")),
        ("a limit", cut_short("length")),
        ("a policy", cut_short("content_filter")),
        ("an open end", cut_short("")),
    ] {
        let upstream = FakeUpstream::scripted([script]);
        upstream.push(Script::ok().json(&openai::chat_completion("m", "whole")));
        let hale = on(lone(&upstream)).start();
        ask(&hale, &hi());
        let again = ask(&hale, &hi());
        assert_eq!((how(&again), again.status), (None, 200), "{what}");
        assert!(again.text().contains("whole"), "{what}");
    }
    let chunks = openai::chunks("m", &["half"]);
    for (what, script) in [
        ("a cut", Script::ok().stream().events(&chunks[..2]).close()),
        (
            "a limit",
            Script::ok()
                .stream()
                .event(&chunks[1])
                .event(&openai::finish_chunk("m", "length"))
                .done()
                .end(),
        ),
        (
            "an error",
            Script::ok()
                .stream()
                .event(&chunks[1])
                .event(&openai::error("no", "server_error", "500"))
                .end(),
        ),
    ] {
        let upstream = FakeUpstream::scripted([script]);
        upstream.push(Script::ok().sse(&openai::chunks("m", &["whole"])));
        let hale = on(lone(&upstream)).start();
        let body = openai::stream_request("m", "hi");
        client(&hale).stream(CHAT, &[], &body).text();
        wait_until_idle(&hale);
        let text = client(&hale).stream(CHAT, &[], &body).text();
        assert!(text.contains("whole"), "{what}: {text}");
    }
}

#[test]
fn an_answer_of_a_fallback_is_not_kept_for_the_group() {
    let bad = FakeUpstream::with(|_| Script::error(500, "down"));
    let good = counting();
    let config = on(Config::new().deployment("m", "bad", &bad).deployment("spare", "good", &good));
    let fallbacks = json!({"fallbacks": [{"m": ["spare"]}], "num_retries": 0});
    let hale = config.router(fallbacks).start();
    assert_eq!(how(&ask(&hale, &hi())), None);
    assert_eq!(how(&ask(&hale, &hi())), None);
    assert_eq!(good.requests().len(), 2);
}

#[test]
fn another_member_or_model_of_the_group_is_another_answer() {
    let upstream = counting();
    let hale = on(lone(&upstream)).start();
    ask(&hale, &hi());
    assert_eq!(how(&ask(&hale, &hi())), Some("hit"));
    let renamed = on(Config::new().with("m", "a", &upstream, json!({"model": "openai/gpt-5"})));
    hale.rewrite_config(&renamed.text());
    eventually("the other model answers", || how(&ask(&hale, &hi())).is_none().then_some(()));
    hale.rewrite_config(&lone(&upstream).text());
    eventually("the cache is off", || {
        ask(&hale, &hi()).header("x-litellm-cache-key").is_none().then_some(())
    });
    assert_eq!(metric(&hale, "hale_cache_bytes", &[]), 0.0);
}

/// An upstream whose answers wait at the gate `go`.
fn gated() -> FakeUpstream {
    FakeUpstream::with(|request| match request.json()["stream"].as_bool() {
        Some(true) => {
            let chunks = openai::chunks("m", &["one ", "two"]);
            let start = Script::ok().stream().events(&chunks[..2]).wait("go");
            start.events(&chunks[2..]).done().end()
        }
        _ => Script::ok().wait("go").json(&openai::chat_completion("m", "shared")),
    })
}

fn sent(hale: &Hale, body: &Value) -> Client {
    let mut client = client(hale);
    client
        .send("POST", CHAT, &[("content-type", "application/json")], body.to_string().as_bytes())
        .unwrap();
    client
}

fn joined(hale: &Hale, count: f64) {
    eventually("the others have joined", || {
        (metric(hale, "hale_cache_joined_total", &[]) == count).then_some(())
    });
}

#[test]
fn equal_requests_at_once_cost_one_call() {
    let upstream = gated();
    let hale = on(lone(&upstream)).start();
    let mut first = sent(&hale, &hi());
    upstream.wait_for(|state| state.waiting_at("go") == 1);
    let mut others: Vec<Client> = (0..5).map(|_| sent(&hale, &hi())).collect();
    joined(&hale, 5.0);
    upstream.release("go");
    let answer = first.read_response().unwrap();
    assert_eq!(how(&answer), None);
    for other in &mut others {
        let same = other.read_response().unwrap();
        assert_eq!((how(&same), &same.body), (Some("joined"), &answer.body));
        assert_eq!(same.header("x-litellm-response-cost"), Some("0.0"));
    }
    assert_eq!(upstream.requests().len(), 1);
    assert_eq!(how(&ask(&hale, &hi())), Some("hit"));
}

#[test]
fn a_stream_is_joined_while_it_comes() {
    let upstream = gated();
    let hale = on(lone(&upstream)).start();
    let body = openai::stream_request("m", "hi");
    let mut first = client(&hale);
    let mut leading = first.stream(CHAT, &[], &body);
    assert!(leading.next_event().is_some());
    let mut second = client(&hale);
    let mut following = second.stream(CHAT, &[], &body);
    assert_eq!(following.header("x-hale-cache"), Some("joined"));
    assert!(following.next_event().is_some(), "its beginning comes before the end");
    upstream.release("go");
    assert_eq!(leading.content(), "one two");
    assert_eq!(following.content(), "one two");
    assert_eq!(upstream.requests().len(), 1);
}

#[test]
fn the_call_goes_on_when_its_client_leaves_and_others_wait() {
    for body in [hi(), openai::stream_request("m", "hi")] {
        let upstream = gated();
        let hale = on(lone(&upstream)).start();
        let first = sent(&hale, &body);
        upstream.wait_for(|state| state.waiting_at("go") == 1);
        let mut other = sent(&hale, &body);
        joined(&hale, 1.0);
        drop(first);
        eventually("the first connection is closed", || {
            (metric(&hale, "hale_connections", &[]) <= 2.0).then_some(())
        });
        upstream.release("go");
        let text = match body["stream"].as_bool() {
            Some(true) => other.read_stream().unwrap().content(),
            _ => other.read_response().unwrap().text(),
        };
        assert!(text.contains("shared") || text.ends_with("two"), "{text}");
        assert_eq!(upstream.requests().len(), 1);
        wait_until_idle(&hale);
    }
}

#[test]
fn a_call_that_no_one_waits_for_ends_with_its_client() {
    for body in [hi(), openai::stream_request("m", "hi")] {
        let upstream = gated();
        let hale = on(lone(&upstream)).start();
        let first = sent(&hale, &body);
        upstream.wait_for(|state| state.waiting_at("go") == 1);
        drop(first);
        upstream.wait_until_dropped();
        upstream.release("go");
        assert_eq!(how(&ask(&hale, &hi())), None, "it starts anew");
    }
}

#[test]
fn those_who_joined_a_failed_request_are_served_by_themselves() {
    let mut number = 0;
    let upstream = FakeUpstream::with(move |_| {
        number += 1;
        match number {
            1 => Script::with_status(400).wait("go").json(&openai::error(
                "no",
                "invalid_request_error",
                "x",
            )),
            _ => Script::ok().json(&openai::chat_completion("m", "own")),
        }
    });
    let hale = on(lone(&upstream)).start();
    let mut first = sent(&hale, &hi());
    upstream.wait_for(|state| state.waiting_at("go") == 1);
    let mut other = sent(&hale, &hi());
    joined(&hale, 1.0);
    upstream.release("go");
    assert_eq!(first.read_response().unwrap().status, 400);
    let own = other.read_response().unwrap();
    assert_eq!((own.status, own.header("x-hale-cache")), (200, None));
    assert!(own.text().contains("own"));
}

#[test]
fn who_joined_keeps_its_own_deadline() {
    let upstream = gated();
    let hale = on(lone(&upstream)).start();
    let _first = sent(&hale, &hi());
    upstream.wait_for(|state| state.waiting_at("go") == 1);
    let late = client(&hale).post_json(CHAT, &[("x-litellm-timeout", "0.2")], &hi());
    expect_error(&late, 408, "deadline_exceeded");
    upstream.release("go");
}

#[test]
fn a_retry_or_a_sibling_is_kept_like_any_answer() {
    let (bad, good) = (FakeUpstream::with(|_| Script::error(500, "down")), counting());
    let hale = on(pair(&bad, &good)).start();
    let first = ask(&hale, &hi());
    assert_eq!(first.status, 200);
    assert_eq!(how(&ask(&hale, &hi())), Some("hit"));
}

#[test]
fn operators_look_at_it_and_empty_it() {
    let upstream = counting();
    let hale = on(lone(&upstream)).start();
    let ping = client(&hale).get("/cache/ping");
    assert_eq!((ping.status, &ping.json()["cache_type"]), (200, &json!("local")));
    assert_eq!(client(&hale).get("/health/readiness").json()["cache"], "local");
    let first = ask(&hale, &hi());
    let key = first.header("x-litellm-cache-key").unwrap().to_owned();
    let post = |path: &str, body: &Value| client(&hale).post_json(path, &[], body);
    let deleted = post("/cache/delete", &json!({"keys": [key, "unknown"]}));
    assert_eq!(deleted.json(), json!({"status": "success", "deleted": 1}));
    assert_eq!(how(&ask(&hale, &hi())), None);
    assert_eq!(post("/cache/flushall", &json!({})).json(), json!({"status": "success"}));
    assert_eq!(how(&ask(&hale, &hi())), None);
    expect_error(&post("/cache/delete", &json!({"keys": "x"})), 400, "invalid_parameter");
    for path in ["/cache/delete", "/cache/flushall"] {
        assert_eq!(hale.client().post_json(path, &[], &json!({"keys": []})).status, 401, "{path}");
    }
}

#[test]
fn a_large_answer_is_passed_on_and_not_kept() {
    let large = "x".repeat(2 << 20);
    let upstream =
        FakeUpstream::with(move |_| Script::ok().json(&openai::chat_completion("m", &large)));
    let hale = on(lone(&upstream)).start();
    for _ in 0..2 {
        let answer = ask(&hale, &hi());
        assert_eq!((answer.status, how(&answer)), (200, None));
    }
    assert_eq!(metric(&hale, "hale_cache_bytes", &[]), 0.0);
}

/// An upstream that answers each input with its number of letters.
fn lengths() -> FakeUpstream {
    FakeUpstream::with(|request| {
        let inputs = request.json()["input"].as_array().unwrap().clone();
        let data: Vec<Value> = inputs.iter().enumerate().map(|(index, input)| {
            json!({"object": "embedding", "index": index, "embedding": [input.as_str().unwrap().len()]})
        }).collect();
        let usage = json!({"prompt_tokens": inputs.len(), "total_tokens": inputs.len()});
        Script::ok().json(&json!({"object": "list", "data": data, "model": "e", "usage": usage}))
    })
}

#[test]
fn each_input_of_a_request_for_embeddings_is_kept_for_itself() {
    let upstream = lengths();
    let model = json!({"model": "openai/text-embedding-3-small"});
    let hale = on(Config::new().with("e", "e", &upstream, model)).start();
    let ask = |inputs: &[&str]| {
        client(&hale).post_json("/v1/embeddings", &[], &json!({"model": "e", "input": inputs}))
    };
    let numbers = |answer: &Response| -> Vec<(u64, u64)> {
        let data = answer.json()["data"].as_array().unwrap().clone();
        data.iter()
            .map(|one| (one["index"].as_u64().unwrap(), one["embedding"][0].as_u64().unwrap()))
            .collect()
    };
    assert_eq!(numbers(&ask(&["a", "bb"])), [(0, 1), (1, 2)]);
    let mixed = ask(&["ccc", "bb", "dddd", "a"]);
    assert_eq!(numbers(&mixed), [(0, 3), (1, 2), (2, 4), (3, 1)]);
    assert_eq!(mixed.json()["usage"]["prompt_tokens"], 2, "only what was asked is paid for");
    let sent: Vec<Value> =
        upstream.requests().iter().map(|request| request.json()["input"].clone()).collect();
    assert_eq!(sent, [json!(["a", "bb"]), json!(["ccc", "dddd"])]);
    let kept = ask(&["dddd", "ccc"]);
    assert_eq!(numbers(&kept), [(0, 4), (1, 3)]);
    assert_eq!((kept.header("x-hale-cache"), &kept.json()["model"]), (Some("hit"), &json!("e")));
    assert_eq!(kept.json()["usage"]["total_tokens"], 0);
    assert_eq!(upstream.requests().len(), 2);
}

#[test]
fn an_answer_with_another_number_of_embeddings_is_refused_once_some_are_kept() {
    let upstream = lengths();
    let model = json!({"model": "openai/text-embedding-3-small"});
    let hale = on(Config::new().with("e", "e", &upstream, model)).start();
    let ask = |inputs: &[&str]| {
        client(&hale).post_json("/v1/embeddings", &[], &json!({"model": "e", "input": inputs}))
    };
    assert_eq!(ask(&["a", "bb"]).status, 200);
    upstream.answer_with(|_| Script::ok().json(&openai::embeddings("e", 3)));
    let error = expect_error(&ask(&["a", "ccc"]), 502, "bad_response");
    assert!(error["message"].as_str().unwrap().contains("no-cache"), "{error}");
}

#[test]
fn vectors_of_a_fallback_are_never_mixed_with_kept_ones() {
    let (own, spare) = (lengths(), FakeUpstream::start());
    spare.answer_with(|request| {
        let count = request.json()["input"].as_array().unwrap().len();
        Script::ok().json(&openai::embeddings("spare", count))
    });
    let model = json!({"model": "openai/text-embedding-3-small"});
    let config = Config::new().with("e", "e", &own, model.clone()).with("s", "s", &spare, model);
    let fallbacks = json!({"fallbacks": [{"e": ["s"]}], "num_retries": 0});
    let hale = on(config).router(fallbacks).start();
    let ask = |inputs: &[&str]| {
        client(&hale).post_json("/v1/embeddings", &[], &json!({"model": "e", "input": inputs}))
    };
    assert_eq!(ask(&["a", "bb"]).status, 200);
    own.answer_with(|_| Script::error(500, "down"));
    assert_eq!(how(&ask(&["bb", "a"])), Some("hit"), "all are kept");
    let mixed = ask(&["a", "ccc"]);
    assert_eq!(mixed.status, 200, "{}", mixed.text());
    assert_eq!(spare.requests()[0].json()["input"], json!(["a", "ccc"]));
    assert_eq!(mixed.json()["data"], openai::embeddings("spare", 2)["data"]);
    assert_eq!(ask(&["ccc", "bb"]).status, 200);
    assert_eq!(spare.requests().len(), 2, "those of the fallback are not kept");
}

#[test]
fn a_stream_that_breaks_says_so_to_all_who_joined_and_leaves_a_line_for_each() {
    let upstream = FakeUpstream::with(|_| {
        let chunks = openai::chunks("m", &["half"]);
        Script::ok().stream().events(&chunks[..2]).wait("go").close()
    });
    let hale = on(lone(&upstream)).start();
    let body = openai::stream_request("m", "hi");
    let (mut first, mut second) = (client(&hale), client(&hale));
    let mut leading = first.stream(CHAT, &[], &body);
    assert!(leading.next_event().is_some());
    let mut following = second.stream(CHAT, &[], &body);
    assert_eq!(following.header("x-hale-cache"), Some("joined"));
    upstream.release("go");
    for text in [leading.text(), following.text()] {
        assert!(text.contains("is not complete"), "{text}");
        assert!(!text.contains("[DONE]"), "{text}");
    }
    eventually("each has its line", || {
        (hale.stderr().matches("request failed: ").count() == 2).then_some(())
    });
}

#[test]
fn tags_that_choose_other_deployments_are_another_question() {
    let (free, paid) = (counting(), counting());
    let tagged = |tag: &str| json!({"tags": [tag, "default"]});
    let config = Config::new()
        .with("m", "free", &free, tagged("free"))
        .with("m", "paid", &paid, tagged("paid"))
        .router(json!({"enable_tag_filtering": true}));
    let hale = on(config).start();
    let ask = |tag: &str| {
        let mut body = hi();
        body["metadata"] = json!({"tags": [tag]});
        client(&hale).post_json(CHAT, &[], &body)
    };
    for tag in ["&free", "&paid", "!free"] {
        let first = ask(tag);
        assert_eq!((first.status, how(&first)), (200, None), "{tag}: {}", first.text());
        assert_eq!(how(&ask(tag)), Some("hit"), "{tag}");
    }
}
