//! `/v1/responses`: bytes pass, streams fail over until their first content, and requests about a stored response
//! go to the deployment that issued it.

use hale_testkit::{FakeUpstream, Hale, Response, Script, anthropic, responses};
use serde_json::{Value, json};

use crate::support::{Config, LOG, client, expect_error, lone, metric, pair, wait_for_records};

const RESPONSES: &str = "/v1/responses";

fn fake() -> FakeUpstream {
    FakeUpstream::with(responses::answer)
}

fn hello() -> Value {
    json!({"model": "m", "input": "hi"})
}

fn streamed() -> Value {
    json!({"model": "m", "input": "hi", "stream": true})
}

#[track_caller]
fn post(hale: &Hale, path: &str, body: &Value) -> Response {
    client(hale).post_json(path, &[], body)
}

#[track_caller]
fn ask(hale: &Hale, method: &str, path: &str) -> Response {
    client(hale).request(method, path, &[], b"")
}

/// The id of a new response.
#[track_caller]
fn created(hale: &Hale, body: &Value) -> String {
    let answer = post(hale, RESPONSES, body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["id"].as_str().unwrap().to_owned()
}

/// The events of a stream until its body ends: their names and data.
#[track_caller]
fn events(hale: &Hale, body: &Value) -> Vec<(String, Value)> {
    let mut client = client(hale);
    let mut stream = client.stream(RESPONSES, &[], body);
    let mut all = Vec::new();
    while let Some(event) = stream.next_event() {
        all.push((event.name.unwrap_or_default(), serde_json::from_str(&event.data).unwrap()));
    }
    all
}

fn kinds(events: &[(String, Value)]) -> Vec<&str> {
    events.iter().map(|(name, _)| name.as_str()).collect()
}

#[test]
fn the_bytes_pass_and_only_model_and_id_change() {
    let upstream = fake();
    let hale = lone(&upstream).start();
    let body = "{ \"input\" : [{\"role\":\"user\",\"content\":\"h\\u00e9\"}],\n\"model\":\"m\", \"temperature\": 1.50 }";
    for path in ["/v1/responses", "/responses", "/openai/v1/responses", "/openai/responses"] {
        let headers = [("content-type", "application/json")];
        let answer = client(&hale).request("POST", path, &headers, body.as_bytes());
        assert_eq!(answer.status, 200, "{}", answer.text());
        let mut expected = responses::response("m", responses::TEXT);
        expected["id"] = answer.json()["id"].clone();
        assert_ne!(expected["id"], responses::ID);
        assert_eq!(answer.json(), expected);
        assert_eq!(answer.header("x-litellm-model-id"), Some("a"));
    }
    let request = upstream.request(3);
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", RESPONSES));
    assert_eq!(request.text(), body.replace("\"m\"", "\"gpt-4o\""));
}

#[test]
fn what_is_about_a_response_goes_to_the_deployment_that_issued_it() {
    let (one, two) = (fake(), fake());
    let hale = pair(&one, &two).start();
    let id = created(&hale, &hello());
    let path = |tail: &str| format!("{RESPONSES}/{id}{tail}");
    // From now on the other one is first, and would be called for anything else.
    assert_eq!(
        client(&hale).request("POST", "/router/deployments/bad/disable", &[], b"").status,
        200
    );
    let other = created(&hale, &hello());
    assert_eq!(
        client(&hale).request("POST", "/router/deployments/bad/enable", &[], b"").status,
        200
    );
    assert_ne!(id, other, "the same id of two providers is two responses");
    let before = two.requests().len();

    let kept = ask(&hale, "GET", &path("?include%5B%5D=reasoning.encrypted_content"));
    assert_eq!((kept.status, &kept.json()["id"]), (200, &json!(id)));
    assert_eq!(kept.json()["model"], "m");
    let items = ask(&hale, "GET", &path("/input_items?limit=2&api-version=x"));
    assert_eq!((items.status, &items.json()["object"]), (200, &json!("list")));
    assert_eq!(ask(&hale, "POST", &path("/cancel")).json()["status"], "cancelled");
    let deleted = ask(&hale, "DELETE", &path(""));
    assert_eq!(deleted.json(), json!({"id": id, "object": "response", "deleted": true}));
    let asked: Vec<(String, String, String)> = one.requests()[1..]
        .iter()
        .map(|request| (request.method.clone(), request.path.clone(), request.text()))
        .collect();
    let provider = |method: &str, tail: &str| {
        (method.to_owned(), format!("{RESPONSES}/{}{tail}", responses::ID), String::new())
    };
    let expected = [
        provider("GET", "?include%5B%5D=reasoning.encrypted_content"),
        provider("GET", "/input_items?limit=2"),
        provider("POST", "/cancel"),
        provider("DELETE", ""),
    ];
    assert_eq!(asked, expected);
    assert_eq!(two.requests().len(), before);
    assert_eq!(ask(&hale, "GET", &format!("/responses/{other}")).json()["id"], other);
    assert_eq!(two.requests().len(), before + 1);
}

#[test]
fn a_query_is_read_as_its_upstream_reads_it() {
    let upstream = fake();
    let hale = lone(&upstream).start();
    let id = created(&hale, &hello());
    let hidden =
        "api%2dversion=2020-01-01&mod%65l=dear&Model=dear&custom%5fllm_provider=x&unheard_of=y";
    for (method, tail, allowed) in [
        ("GET", "", "stream=false&includ%65[]=a;model=dear"),
        ("GET", "/input_items", "limit=2&orde%72=asc"),
        ("POST", "/cancel", ""),
        ("DELETE", "", ""),
    ] {
        let path = format!("{RESPONSES}/{id}{tail}?{hidden}&{allowed}");
        assert_eq!(ask(&hale, method, &path).status, 200, "{path}");
    }
    let asked: Vec<String> = upstream.requests()[1..].iter().map(|it| it.path.clone()).collect();
    let own = |tail: &str| format!("{RESPONSES}/{}{tail}", responses::ID);
    let expected = [
        own("?stream=false&include%5B%5D=a%3Bmodel%3Ddear"),
        own("/input_items?limit=2&order=asc"),
        own("/cancel"),
        own(""),
    ];
    assert_eq!(asked, expected);
    for query in ["stream=maybe", "stream=false&str%65am=true"] {
        let answer = ask(&hale, "GET", &format!("{RESPONSES}/{id}?{query}"));
        assert_eq!(expect_error(&answer, 400, "invalid_parameter")["param"], "stream");
    }
    assert_eq!(upstream.requests().len(), 5);
}

#[test]
fn a_response_goes_on_where_it_began_and_nowhere_else() {
    let (one, two) = (fake(), fake());
    let spare = FakeUpstream::start();
    let config = pair(&one, &two).deployment("spare", "s", &spare);
    let hale = config.router(json!({"fallbacks": [{"m": ["spare"]}], "num_retries": 0})).start();
    assert_eq!(
        client(&hale).request("POST", "/router/deployments/bad/disable", &[], b"").status,
        200
    );
    let id = created(&hale, &hello());
    assert_eq!(
        client(&hale).request("POST", "/router/deployments/bad/enable", &[], b"").status,
        200
    );
    let next = json!({"model": "m", "input": "more", "previous_response_id": id});
    for path in [RESPONSES, "/v1/responses/input_tokens", "/v1/responses/compact"] {
        assert_eq!(post(&hale, path, &next).status, 200);
    }
    assert_eq!(post(&hale, RESPONSES, &next).json()["previous_response_id"], id);
    assert!(one.requests().is_empty());
    let sent = two.request(1).json();
    assert_eq!(
        (&sent["previous_response_id"], &sent["model"]),
        (&json!(responses::ID), &json!("gpt-4o"))
    );
    two.answer_with(|_| Script::error(500, "down"));
    expect_error(&post(&hale, RESPONSES, &next), 500, "upstream_failed");
    assert!(one.requests().is_empty() && spare.requests().is_empty());
}

#[test]
fn another_model_goes_on_where_it_reads_the_same_account() {
    let (one, two) = (fake(), fake());
    let config = Config::new()
        .deployment("m", "a", &one)
        .with("mini", "b", &one, json!({"model": "openai/gpt-4o-mini"}))
        .deployment("far", "c", &two);
    let hale = config.start();
    let id = created(&hale, &hello());
    let next = |model: &str| json!({"model": model, "input": "more", "previous_response_id": id});
    let answer = post(&hale, RESPONSES, &next("mini"));
    assert_eq!(answer.header("x-litellm-model-id"), Some("b"));
    assert_eq!(one.request(1).json()["previous_response_id"], responses::ID);
    let error = expect_error(&post(&hale, RESPONSES, &next("far")), 400, "response_elsewhere");
    assert_eq!(error["param"], "previous_response_id");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("model 'm'") && message.contains("'far'"), "{message}");
    assert!(two.requests().is_empty());
}

#[test]
fn ids_that_are_not_ours_reach_no_upstream() {
    let upstream = fake();
    let hale = lone(&upstream).start();
    let id = created(&hale, &hello());
    let other = Config::open().deployment("m", "a", &upstream).start();
    let foreign = {
        let answer = other.client().post_json(RESPONSES, &[], &hello());
        answer.json()["id"].as_str().unwrap().to_owned()
    };
    let mut changed = id.clone();
    let last = if changed.pop() == Some('A') { 'B' } else { 'A' };
    changed.push(last);
    let asked = upstream.requests().len();
    for id in ["resp_67cb", "..%2F..%2Ffiles", "x%00y", &changed, &foreign, &id.to_lowercase()] {
        for (method, tail) in
            [("GET", ""), ("DELETE", ""), ("GET", "/input_items"), ("POST", "/cancel")]
        {
            let answer = ask(&hale, method, &format!("{RESPONSES}/{id}{tail}"));
            expect_error(&answer, 404, "unknown_response");
        }
        let body = json!({"model": "m", "input": "more", "previous_response_id": id});
        let error = expect_error(&post(&hale, RESPONSES, &body), 400, "unknown_response");
        assert_eq!(error["param"], "previous_response_id");
    }
    let number = json!({"model": "m", "input": "x", "previous_response_id": 5});
    expect_error(&post(&hale, RESPONSES, &number), 400, "invalid_parameter");
    assert_eq!(upstream.requests().len(), asked);
    assert_eq!(hale.client().get(&format!("{RESPONSES}/{id}")).status, 401);
}

#[test]
fn a_deployment_that_is_gone_is_named_with_what_to_do() {
    let upstream = fake();
    let hale = Config::new().deployment("m", "first", &upstream).start();
    let id = created(&hale, &hello());
    drop(hale);
    let hale = Config::new().deployment("m", "second", &upstream).start();
    let asked = upstream.requests().len();
    let error =
        expect_error(&ask(&hale, "GET", &format!("{RESPONSES}/{id}")), 404, "deployment_gone");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("'first'") && message.contains("model_info.id"), "{message}");
    let next = json!({"model": "m", "input": "more", "previous_response_id": id});
    expect_error(&post(&hale, RESPONSES, &next), 400, "deployment_gone");
    assert_eq!(upstream.requests().len(), asked);
    // A restart with the same deployment and key knows its ids.
    let hale = Config::new().deployment("m", "first", &upstream).start();
    assert_eq!(ask(&hale, "GET", &format!("{RESPONSES}/{id}")).status, 200);
}

#[test]
fn a_response_that_the_provider_lacks_does_not_count_against_the_deployment() {
    let (one, two) = (fake(), fake());
    let hale = pair(&one, &two).start();
    let id = created(&hale, &hello());
    one.answer_with(|_| Script::error(404, "not here"));
    let answer = ask(&hale, "GET", &format!("{RESPONSES}/{id}"));
    expect_error(&answer, 404, "upstream_rejected");
    assert_eq!(one.requests().len(), 2, "it is not asked again");
    one.answer_with(responses::answer);
    created(&hale, &hello());
    assert_eq!(one.requests().len(), 3, "it still serves");
}

#[test]
fn a_stream_that_fails_before_its_content_moves_on() {
    let failed = json!({"type": "response.failed", "sequence_number": 1, "response":
        {"id": "resp_x", "status": "failed", "error": {"code": "server_error", "message": "no"}}});
    let in_band = json!({"type": "error", "code": "server_error", "message": "no", "param": null});
    for script in [
        responses::stream(&[responses::created("up"), failed]).end(),
        responses::stream(&[responses::created("up"), in_band]).end(),
        responses::stream(&[responses::created("up")]).close(),
        responses::stream(&[responses::created("up")]).end(),
        Script::error(503, "down"),
    ] {
        let (bad, good) = (FakeUpstream::scripted([script]), fake());
        let hale = pair(&bad, &good).start();
        let events = events(&hale, &streamed());
        let expected = [
            "response.created",
            "response.output_text.delta",
            "response.output_text.delta",
            "response.completed",
        ];
        assert_eq!(kinds(&events), expected);
        assert_eq!((bad.requests().len(), good.requests().len()), (1, 1));
        let id = events[0].1["response"]["id"].clone();
        assert_eq!(events[3].1["response"]["id"], id);
        assert_eq!(events[3].1["response"]["model"], "m");
        // The id from a stream is valid like any other.
        let kept = ask(&hale, "GET", &format!("{RESPONSES}/{}", id.as_str().unwrap()));
        assert_eq!(kept.header("x-litellm-model-id"), Some("good"));
    }
}

#[test]
fn a_cut_after_content_is_an_error_event_and_the_end() {
    let upstream = FakeUpstream::scripted([responses::stream(&[
        responses::created("up"),
        responses::delta(1, "Hello"),
    ])
    .close()]);
    let hale = lone(&upstream).start();
    let events = events(&hale, &streamed());
    assert_eq!(kinds(&events), ["response.created", "response.output_text.delta", "error"]);
    let error = &events[2].1;
    assert_eq!((&error["type"], &error["sequence_number"]), (&json!("error"), &json!(2)));
    assert_eq!(error["error"]["reason"], "upstream_stream_interrupted");
    assert!(error["message"].as_str().unwrap().contains("not complete"), "{error}");
}

#[test]
fn a_stream_ends_without_done_and_its_tokens_are_counted_once() {
    let upstream = fake();
    let hale = lone(&upstream).general(json!({"request_log": LOG})).start();
    let mut client = client(&hale);
    let mut stream = client.stream(RESPONSES, &[], &streamed());
    let text: String = stream.remaining().iter().map(|event| event.data.clone()).collect();
    assert!(!text.contains("[DONE]"));
    assert!(upstream.request(0).json().get("stream_options").is_none());
    let id = created(&hale, &hello());
    assert_eq!(ask(&hale, "GET", &format!("{RESPONSES}/{id}")).status, 200);
    let mut client = crate::support::client(&hale);
    client.send("GET", &format!("{RESPONSES}/{id}?stream=true"), &[], b"").unwrap();
    assert!(client.read_stream().unwrap().remaining().len() == 4);
    let records = wait_for_records(&hale, 4);
    let input: Vec<Value> = records.iter().map(|record| record["input_tokens"].clone()).collect();
    assert_eq!(input, [json!(9), json!(9), Value::Null, Value::Null], "{records:?}");
}

#[test]
fn tokens_are_counted_by_the_provider_or_estimated() {
    const COUNT: &str = "/v1/responses/input_tokens";
    let (claude, chats) = (FakeUpstream::with(anthropic::answer), fake());
    let config = Config::new()
        .with("c", "claude", &claude, json!({"model": "anthropic/claude-sonnet-4-5"}))
        .with("d", "chats", &chats, json!({"model": "deepseek/deepseek-chat"}));
    let hale = config.start();
    let asked =
        |model: &str| post(&hale, COUNT, &json!({"model": model, "input": "hi there"})).json();
    let counted = asked("c");
    assert_eq!(
        counted,
        json!({"object": "response.input_tokens", "input_tokens": anthropic::TOKENS})
    );
    assert_eq!(claude.request(0).path, "/v1/messages/count_tokens");
    let estimated = asked("d");
    assert_eq!(estimated["estimated"], true);
    assert!(estimated["input_tokens"].as_u64().unwrap() > 0, "{estimated}");
    assert!(chats.requests().is_empty());
}

#[test]
fn responses_requests_are_validated_like_others() {
    let upstream = fake();
    let hale = lone(&upstream).start();
    let error =
        expect_error(&post(&hale, RESPONSES, &json!({"model": "m"})), 400, "missing_parameter");
    assert_eq!(error["param"], "input");
    expect_error(&post(&hale, RESPONSES, &json!({"input": "x"})), 400, "missing_parameter");
    let steering = json!({"model": "m", "input": "x", "api_base": "http://evil"});
    expect_error(&post(&hale, RESPONSES, &steering), 400, "forbidden_parameter");
    expect_error(&ask(&hale, "PUT", RESPONSES), 405, "method_not_allowed");
    let counted = post(&hale, "/v1/responses/input_tokens", &json!({"model": "m", "input": "x"}));
    assert_eq!(counted.json(), json!({"object": "response.input_tokens", "input_tokens": 42}));
    assert_eq!(upstream.request(0).path, "/v1/responses/input_tokens");
    assert_eq!(metric(&hale, "hale_deployment_in_flight", &[]), 0.0);
}

#[test]
fn azure_is_called_below_its_version_and_never_below_a_deployment() {
    let upstream = fake();
    let azure = |version: Option<&str>| {
        let mut params = json!({"model": "azure/my-gpt", "api_base": upstream.url()});
        if let Some(version) = version {
            params["api_version"] = json!(version);
        }
        Config::new().with("m", "a", &upstream, params).start()
    };
    for (version, path) in [
        (None, "/openai/v1/responses{}"),
        (Some("v1"), "/openai/v1/responses{}"),
        (Some("2025-04-01-preview"), "/openai/responses{}?api-version=2025-04-01-preview"),
    ] {
        let hale = azure(version);
        let from = upstream.requests().len();
        let id = created(&hale, &hello());
        let kept = ask(&hale, "GET", &format!("/openai/responses/{id}?api-version=2024-10-21"));
        assert_eq!(kept.status, 200, "{}", kept.text());
        let made = upstream.request(from);
        assert_eq!(made.path, path.replace("{}", ""));
        assert_eq!(made.json()["model"], "my-gpt");
        assert!(made.header("api-key").is_some());
        let below = format!("/{}", responses::ID);
        assert_eq!(upstream.request(from + 1).path, path.replace("{}", &below));
    }
}
