//! Responses that the gateway keeps for clients because their providers keep none: what goes on from them on each wire, what is read
//! by their ids, whose they are, and when they are not there.

use hale_testkit::{
    FakeUpstream, Hale, Launch, Postgres, Response, Script, TempDir, anthropic, gemini, openai,
};
use serde_json::{Value, json};

use crate::keys::make;
use crate::responses_bridge::{RESPONSES, ask, config, consumed};
use crate::support::{Config, client, eventually, expect_error, metric};

fn kept(config: Config) -> Config {
    config.general(json!({"responses_history": "store"}))
}

/// A gateway with a directory of its own for the store.
fn at(config: &Config, directory: &TempDir) -> Launch {
    config.launch().env("HALE_DATA_DIR", directory.path().to_str().unwrap())
}

#[track_caller]
fn good(answer: &Response) -> Value {
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

fn whole(hale: &Hale, body: &Value) -> Value {
    good(&client(hale).post_json(RESPONSES, &[], body))
}

/// What the model of an upstream was told, as one text.
fn told(upstream: &FakeUpstream) -> String {
    upstream.requests().last().unwrap().text()
}

/// The places of `words` in `text`, which they stand in by that order.
#[track_caller]
fn in_order(text: &str, words: &[&str]) {
    let mut from = 0;
    for word in words {
        let at =
            text[from..].find(word).unwrap_or_else(|| panic!("no {word} behind {from}: {text}"));
        from += at + word.len();
    }
}

#[test]
fn a_conversation_goes_on_by_the_id_of_its_last_response_on_every_wire_streamed_or_not() {
    for (model, answers, text) in [
        ("deepseek/deepseek-chat", Script::answer as fn(&_) -> _, openai::TEXT),
        ("anthropic/claude-sonnet-4-5", anthropic::answer, anthropic::TEXT),
        ("gemini/gemini-2.5-flash", gemini::answer, gemini::TEXT),
    ] {
        let upstream = FakeUpstream::with(answers);
        let hale = kept(config(&upstream, model)).start();
        let first = whole(&hale, &ask(json!({"input": "the first words"})));
        assert_eq!((&first["store"], &first["previous_response_id"]), (&json!(true), &json!(null)));
        let body = ask(json!({"input": "the second words", "previous_response_id": first["id"]}));
        let (second, _) = consumed(&hale, &body);
        assert_eq!(second["previous_response_id"], first["id"], "{model}");
        in_order(&told(&upstream), &["the first words", text, "the second words"]);
        let items = json!([{"role": "user", "content": "the third words"}]);
        let third =
            whole(&hale, &ask(json!({"input": items, "previous_response_id": second["id"]})));
        in_order(
            &told(&upstream),
            &["the first words", text, "the second words", text, "the third words"],
        );
        // Another branch of the same conversation.
        whole(&hale, &ask(json!({"input": "other words", "previous_response_id": first["id"]})));
        let sent = told(&upstream);
        in_order(&sent, &["the first words", text, "other words"]);
        assert!(!sent.contains("second words"), "{model}: {sent}");
        let count = good(&client(&hale).post_json(
            "/v1/responses/input_tokens",
            &[],
            &ask(json!({"input": "more", "previous_response_id": third["id"]})),
        ));
        // Where the provider counts, it was sent all of it.
        let has_past =
            ["the first words", "more"].iter().all(|word| told(&upstream).contains(word));
        let alone = good(&client(&hale).post_json(
            "/v1/responses/input_tokens",
            &[],
            &ask(json!({"input": "more"})),
        ));
        let tokens = |count: &Value| count["input_tokens"].as_u64().unwrap();
        assert!(has_past || tokens(&count) > tokens(&alone), "{model}: {}", told(&upstream));
    }
}

#[test]
fn a_call_of_a_tool_is_answered_by_the_id_of_the_response_that_made_it() {
    let upstream = FakeUpstream::with(|request| match request.text().contains("\"tool\"") {
        true => Script::answer(request),
        false => {
            let call = json!({"index": 0, "id": "call_7", "type": "function",
                "function": {"name": "weather", "arguments": "{\"city\":\"Rome\"}"}});
            let chunk =
                openai::chunk("m", &json!({"role": "assistant", "tool_calls": [call]}), None);
            Script::ok().sse(&[chunk, openai::finish_chunk("m", "tool_calls")])
        }
    });
    let hale = kept(config(&upstream, "deepseek/deepseek-chat")).start();
    let tools = json!([{"type": "function", "name": "weather", "parameters": {"type": "object"}}]);
    let (first, _) = consumed(&hale, &ask(json!({"input": "how is Rome?", "tools": tools})));
    assert_eq!(first["output"][0]["type"], "function_call", "{first}");
    let output = json!([{"type": "function_call_output", "call_id": first["output"][0]["call_id"], "output": "sunny"}]);
    let second = ask(json!({"input": output, "tools": tools, "previous_response_id": first["id"]}));
    whole(&hale, &second);
    let sent = upstream.requests().last().unwrap().json();
    let roles: Vec<&str> = sent["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["role"].as_str().unwrap())
        .collect();
    assert_eq!(roles, ["user", "assistant", "tool"], "{sent}");
}

#[test]
fn what_is_kept_is_read_and_deleted_by_its_id_and_outlives_a_restart() {
    let server = Postgres::shared().database();
    for database in [None, Some(server)] {
        let upstream = FakeUpstream::start();
        let directory = TempDir::new();
        let mut config = kept(config(&upstream, "deepseek/deepseek-chat"));
        if let Some(url) = &database {
            config = config.general(json!({"database_url": url}));
        }
        let mut hale = at(&config, &directory).start();
        let (response, _) = consumed(&hale, &ask(json!({"input": "hello"})));
        let id = response["id"].as_str().unwrap().to_owned();
        eventually("the response is written", || {
            (metric(&hale, "hale_store_rows_pending", &[]) == 0.0
                && metric(&hale, "hale_store_rows_written_total", &[]) >= 4.0)
                .then_some(())
        });
        hale.stop();
        let hale = at(&config, &directory).start();
        eventually("the store is open", || {
            (client(&hale).get("/health/readiness").json()["db"] == "connected").then_some(())
        });
        let path = format!("{RESPONSES}/{id}");
        assert_eq!(good(&client(&hale).get(&path)), response);
        let items = good(&client(&hale).get(&format!("{path}/input_items")));
        assert_eq!(items["data"], json!([{"type": "message", "role": "user", "content": "hello"}]));
        expect_error(&client(&hale).get(&format!("{path}?stream=true")), 400, "invalid_parameter");
        let cancelled = client(&hale).post_json(&format!("{path}/cancel"), &[], &json!({}));
        expect_error(&cancelled, 400, "not_in_background");
        let second = whole(&hale, &ask(json!({"previous_response_id": id})));
        let deleted = good(&client(&hale).request("DELETE", &path, &[], b""));
        assert_eq!(deleted, json!({"id": id, "object": "response", "deleted": true}));
        expect_error(&client(&hale).get(&path), 404, "unknown_response");
        // What goes on from what was deleted has lost its beginning.
        for gone in [json!(id), second["id"].clone()] {
            let more = client(&hale).post_json(
                RESPONSES,
                &[],
                &ask(json!({"previous_response_id": gone})),
            );
            expect_error(&more, 400, "unknown_response");
        }
        assert_eq!(upstream.requests().len(), 2, "a request about what is kept calls no upstream");
    }
}

#[test]
fn what_a_key_made_is_its_teams_and_its_users_and_not_there_for_others() {
    let upstream = FakeUpstream::start();
    let hale = kept(config(&upstream, "deepseek/deepseek-chat")).start();
    let change = |path: &str, body: Value| good(&client(&hale).post_json(path, &[], &body));
    change("/team/new", json!({"team_id": "t1"}));
    let key = |fields: Value| make(&hale, &fields).0;
    let (own, of_team, other) =
        (key(json!({"team_id": "t1"})), key(json!({"team_id": "t1"})), key(json!({})));
    let post = |key: &str, body: &Value| hale.client_with_key(key).post_json(RESPONSES, &[], body);
    let first = good(&post(&own, &ask(json!({}))));
    let more = ask(json!({"previous_response_id": first["id"]}));
    let path = format!("{RESPONSES}/{}", first["id"].as_str().unwrap());
    assert_eq!((post(&own, &more).status, post(&of_team, &more).status), (200, 200));
    expect_error(&post(&other, &more), 400, "unknown_response");
    assert_eq!(hale.client_with_key(&of_team).get(&path).status, 200);
    expect_error(&hale.client_with_key(&other).get(&path), 404, "unknown_response");
    let deleted = hale.client_with_key(&other).request("DELETE", &path, &[], b"");
    expect_error(&deleted, 404, "unknown_response");
    // The master key reads all.
    assert_eq!(client(&hale).get(&path).status, 200);
}

#[test]
fn a_key_that_may_not_use_the_model_is_refused_before_its_conversation_is_read() {
    let upstream = FakeUpstream::start();
    let hale = kept(config(&upstream, "deepseek/deepseek-chat")).start();
    let key = make(&hale, &json!({"models": ["m"]})).0;
    let mut client = hale.client_with_key(&key);
    let first = good(&client.post_json(RESPONSES, &[], &ask(json!({}))));
    let path = format!("{RESPONSES}/{}", first["id"].as_str().unwrap());
    assert_eq!(client.request("DELETE", &path, &[], b"").status, 200);
    let mut goes_on = |model: &str| {
        let body = ask(json!({"previous_response_id": first["id"], "model": model}));
        client.post_json(RESPONSES, &[], &body)
    };
    expect_error(&goes_on("m"), 400, "unknown_response");
    assert_eq!(goes_on("another").status, 403, "{}", goes_on("another").text());
}

#[test]
fn a_long_conversation_arrives_whole_and_its_memory_is_given_back() {
    let upstream = FakeUpstream::start();
    // The conversation is the larger part, then what the client adds to it.
    for (before, added) in [(700_000, 10), (10, 700_000)] {
        let hale = kept(config(&upstream, "deepseek/deepseek-chat")).start();
        let text = |name: &str, length: usize| format!("{name} {}", "x".repeat(length));
        let first = whole(&hale, &ask(json!({"input": text("first", before)})));
        let body = ask(
            json!({"input": text("second", added), "previous_response_id": first["id"], "stream": true}),
        );
        let answer = client(&hale).post_json(RESPONSES, &[], &body);
        assert!(answer.text().contains("response.completed"), "{}", answer.text());
        let sent = told(&upstream);
        in_order(&sent, &["first", openai::TEXT, "second"]);
        assert!(sent.len() > before + added, "{}", sent.len());
        eventually("the memory is given back", || {
            (metric(&hale, "hale_buffered_bytes", &[]) == 0.0).then_some(())
        });
    }
}

#[test]
fn a_gateway_with_little_memory_goes_on_from_what_its_store_has() {
    let upstream = FakeUpstream::start();
    let limits = json!({"max_request_size_mb": 1, "max_response_size_mb": 1, "max_buffered_mb": 4});
    let config = kept(config(&upstream, "deepseek/deepseek-chat")).general(limits);
    let directory = TempDir::new();
    let mut hale = at(&config, &directory).start();
    let first = whole(&hale, &ask(json!({"input": "short"})));
    hale.stop();
    let hale = at(&config, &directory).start();
    whole(&hale, &ask(json!({"previous_response_id": first["id"]})));
    in_order(&told(&upstream), &["short", openai::TEXT]);
    eventually("the memory is given back", || {
        (metric(&hale, "hale_buffered_bytes", &[]) == 0.0).then_some(())
    });
}

#[test]
fn what_is_not_kept_is_a_clear_400_and_costs_no_call() {
    let upstream = FakeUpstream::start();
    let limits = json!({"max_request_size_mb": 0.01});
    let hale = kept(config(&upstream, "deepseek/deepseek-chat")).general(limits).start();
    let refused = |id: &Value, reason: &str| {
        let before = upstream.requests().len();
        let body = ask(json!({"previous_response_id": id}));
        let answer = client(&hale).post_json(RESPONSES, &[], &body);
        expect_error(&answer, 400, reason);
        assert_eq!(answer.json()["error"]["param"], "previous_response_id");
        assert_eq!(upstream.requests().len(), before);
    };
    let unkept = whole(&hale, &ask(json!({"store": false})));
    assert_eq!(unkept["store"], false);
    refused(&unkept["id"], "unknown_response");
    refused(&json!("resp_x"), "unknown_response");
    let long = "long ".repeat(1_000);
    let mut id = whole(&hale, &ask(json!({"input": long})))["id"].clone();
    id = whole(&hale, &ask(json!({"input": long, "previous_response_id": id})))["id"].clone();
    refused(&id, "conversation_too_long");
    // A summary of a conversation is kept nowhere.
    let compact =
        client(&hale).post_json("/v1/responses/compact", &[], &ask(json!({"input": "hi"})));
    assert_eq!(compact.status, 200, "{}", compact.text());
}

#[test]
fn without_the_setting_nothing_is_kept_and_said() {
    let upstream = FakeUpstream::start();
    let hale = config(&upstream, "deepseek/deepseek-chat").start();
    let first = whole(&hale, &ask(json!({"store": true})));
    assert_eq!(first["store"], false);
    let body = ask(json!({"previous_response_id": first["id"]}));
    let answer = client(&hale).post_json(RESPONSES, &[], &body);
    let error = expect_error(&answer, 400, "unsupported_parameter");
    assert!(error["message"].as_str().unwrap().contains("responses_history"), "{error}");
}
