//! Azure: its paths, its credentials, its refusals.

use hale_testkit::{FakeUpstream, Hale, Request, Script, openai};
use serde_json::{Value, json};

use crate::support::{CHAT, Config, chat, client, expect_error};

const VERSIONED: &str = "/openai/deployments/my-gpt/chat/completions?api-version=2024-10-21";

fn azure(upstream: &FakeUpstream, more: Value) -> Config {
    entry("m", "azure/my-gpt", upstream, more)
}

fn entry(group: &str, model: &str, upstream: &FakeUpstream, more: Value) -> Config {
    let mut params = json!({
        "model": model,
        "api_base": upstream.url(),
        "api_version": "2024-10-21",
    });
    params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Config::new().entry(json!({"model_name": group, "litellm_params": params}))
}

fn last(upstream: &FakeUpstream) -> Request {
    upstream.requests().pop().expect("a request")
}

fn granted(token: &str, expires_in: u64) -> Script {
    Script::ok().json(&json!({
        "token_type": "Bearer",
        "access_token": token,
        "expires_in": expires_in,
    }))
}

/// An identity at that authority.
fn identity(authority: &FakeUpstream) -> Value {
    json!({
        "tenant_id": "tenant-1",
        "client_id": "client-1",
        "client_secret": "s3cret&more",
        "azure_authority_host": authority.url(),
    })
}

#[test]
fn the_classic_form_sends_deployment_and_version_in_the_path_and_the_key_in_its_header() {
    let upstream = FakeUpstream::start();
    let hale = azure(&upstream, json!({"api_key": "azure-key"})).start();
    assert_eq!(chat(&hale, "m").status, 200);
    let sent = last(&upstream);
    assert_eq!((sent.path.as_str(), sent.headers.get("api-key")), (VERSIONED, Some("azure-key")));
    assert_eq!(sent.headers.get("authorization"), None);
}

#[test]
fn the_words_of_a_route_are_no_part_of_the_deployments_name() {
    let upstream = FakeUpstream::start();
    for model in ["azure/o_series/my-gpt", "azure/gpt5_series/my-gpt"] {
        let hale = entry("m", model, &upstream, json!({"api_key": "k"})).start();
        let body =
            json!({"model": "m", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 9});
        assert_eq!(client(&hale).post_json(CHAT, &[], &body).status, 200);
        let sent = last(&upstream);
        assert_eq!(sent.path, VERSIONED);
        assert_eq!(sent.json()["max_completion_tokens"], 9, "{}", sent.json());
        // A probe is the same call.
        client(&hale).get("/health");
        let paths: Vec<String> = upstream.requests().into_iter().map(|one| one.path).collect();
        assert!(paths.len() > 1 && paths.iter().all(|path| path == VERSIONED), "{paths:?}");
    }
    let hale = entry("m", "azure_ai/model_router/mine", &upstream, json!({"api_key": "k"})).start();
    assert_eq!(chat(&hale, "m").status, 200);
    assert_eq!(last(&upstream).json()["model"], "mine");
}

#[test]
fn the_v1_form_sends_the_deployment_in_the_body() {
    let upstream = FakeUpstream::start();
    for version in ["v1", "latest", "preview"] {
        let more = json!({"api_key": "azure-key", "api_version": version});
        let hale = azure(&upstream, more).start();
        assert_eq!(chat(&hale, "m").status, 200);
        let sent = last(&upstream);
        assert_eq!(sent.path, "/openai/v1/chat/completions");
        assert_eq!(sent.json()["model"], "my-gpt");
    }
}

#[test]
fn a_star_takes_the_deployments_name_from_the_client_and_keeps_it_in_its_place() {
    let upstream = FakeUpstream::start();
    let hale = entry("azure/*", "azure/*", &upstream, json!({"api_key": "k"})).start();
    for (name, segment) in [("other", "other"), ("../../x?y", "..%2F..%2Fx%3Fy")] {
        assert_eq!(chat(&hale, &format!("azure/{name}")).status, 200);
        let expected =
            format!("/openai/deployments/{segment}/chat/completions?api-version=2024-10-21");
        assert_eq!(last(&upstream).path, expected);
    }
}

#[test]
fn a_client_of_azure_finds_its_paths() {
    let upstream = FakeUpstream::start();
    let hale = azure(&upstream, json!({"api_key": "k"})).start();
    let path = "/openai/deployments/m/chat/completions?api-version=2024-06-01";
    let body = json!({"messages": [{"role": "user", "content": "hi"}]});
    assert_eq!(client(&hale).post_json(path, &[], &body).status, 200);
    assert_eq!(last(&upstream).path, VERSIONED);
}

#[test]
fn values_may_come_from_the_environment() {
    let upstream = FakeUpstream::start();
    let params = json!({"model": "azure/my-gpt"});
    let hale = Config::new()
        .entry(json!({"model_name": "m", "litellm_params": params}))
        .launch()
        .env("AZURE_API_KEY", "from-env")
        .env("AZURE_API_BASE", &upstream.url())
        .env("AZURE_API_VERSION", "2024-10-21")
        .start();
    assert_eq!(chat(&hale, "m").status, 200);
    let sent = last(&upstream);
    assert_eq!((sent.path.as_str(), sent.headers.get("api-key")), (VERSIONED, Some("from-env")));
}

#[test]
fn a_token_stands_in_for_a_key() {
    let upstream = FakeUpstream::start();
    let hale = azure(&upstream, json!({"azure_ad_token": "token-1"})).start();
    assert_eq!(chat(&hale, "m").status, 200);
    let sent = last(&upstream);
    assert_eq!(sent.headers.get("authorization"), Some("Bearer token-1"));
    assert_eq!(sent.headers.get("api-key"), None);
}

#[test]
fn an_identity_gets_one_token_for_many_requests() {
    let (upstream, authority) = (FakeUpstream::start(), FakeUpstream::start());
    authority.answer_with(|_| granted("token-2", 3600));
    let hale = azure(&upstream, identity(&authority)).start();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(chat(&hale, "m").status, 200));
        }
    });
    let asked = authority.requests();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].path, "/tenant-1/oauth2/v2.0/token");
    let form = String::from_utf8(asked[0].body.clone()).unwrap();
    assert_eq!(
        form,
        "client_id=client-1&client_secret=s3cret%26more&\
         scope=https%3A%2F%2Fcognitiveservices.azure.com%2F.default&grant_type=client_credentials"
    );
    for sent in upstream.requests() {
        assert_eq!(sent.headers.get("authorization"), Some("Bearer token-2"));
    }
}

#[test]
fn an_expired_and_a_refused_token_are_replaced() {
    let (upstream, authority) = (FakeUpstream::start(), FakeUpstream::start());
    let count = std::sync::atomic::AtomicUsize::new(0);
    authority.answer_with(move |_| {
        let number = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        granted(&format!("token-{number}"), if number == 0 { 0 } else { 3600 })
    });
    let more = identity(&authority);
    let hale = azure(&upstream, more).router(json!({"num_retries": 0, "disable_cooldowns": true}));
    let hale = hale.start();
    let bearer = || last(&upstream).headers.get("authorization").map(str::to_owned);
    assert_eq!(chat(&hale, "m").status, 200);
    assert_eq!(bearer().as_deref(), Some("Bearer token-0"));
    assert_eq!(chat(&hale, "m").status, 200);
    assert_eq!(bearer().as_deref(), Some("Bearer token-1"), "the first has expired");
    upstream.push(Script::error(401, "token revoked"));
    assert_eq!(chat(&hale, "m").status, 200);
    assert_eq!(bearer().as_deref(), Some("Bearer token-2"), "the second was refused");
    // Another token does not help: the error is the answer, and no further token is asked for.
    upstream.push(Script::error(401, "no such user"));
    assert_eq!(chat(&hale, "m").status, 401);
    assert_eq!(authority.requests().len(), 3);
}

#[test]
fn an_authority_that_refuses_is_the_deployments_failure_and_shows_no_secret() {
    let (upstream, authority) = (FakeUpstream::start(), FakeUpstream::start());
    authority.answer_with(|_| {
        Script::with_status(401).json(&json!({
            "error": "invalid_client",
            "error_description": "AADSTS7000215: Invalid client secret provided.\r\nTrace: x",
        }))
    });
    let hale: Hale = azure(&upstream, identity(&authority)).start();
    let answer = chat(&hale, "m");
    expect_error(&answer, 401, "upstream_auth");
    assert!(answer.text().contains("AADSTS7000215"), "{}", answer.text());
    assert!(answer.text().contains("Check client_secret of"), "{}", answer.text());
    assert!(!answer.text().contains("s3cret"), "{}", answer.text());
    assert_eq!(upstream.requests().len(), 0);
    drop(authority);
    assert!(!client(&hale).get("/model/info").text().contains("s3cret"));
}

#[test]
fn a_failing_authority_is_not_a_wrong_key() {
    let (upstream, authority) = (FakeUpstream::start(), FakeUpstream::start());
    authority.push(Script::rate_limited(7));
    authority.push(Script::ok().body("text/html", "<html>sign in</html>"));
    let once = json!({"num_retries": 0, "disable_cooldowns": true});
    let hale = azure(&upstream, identity(&authority)).router(once).start();
    let answer = chat(&hale, "m");
    expect_error(&answer, 429, "upstream_rate_limited");
    assert_eq!(answer.header("retry-after"), Some("7"));
    let error = expect_error(&chat(&hale, "m"), 502, "upstream_failed");
    assert_eq!(error["attempts"][0]["cause"], "bad_response");
    assert_eq!(upstream.requests().len(), 0);
}

#[test]
fn a_granted_token_and_the_secret_in_the_form_are_never_shown() {
    const TOKEN: &str = "eyJ0eXAiOiJKV1QifQ.canary.of-a-token";
    let (upstream, authority) = (FakeUpstream::start(), FakeUpstream::start());
    authority.push(granted(TOKEN, 3600));
    authority.answer_with(|request| {
        let form = String::from_utf8(request.body.clone()).unwrap();
        Script::with_status(400)
            .json(&json!({"error": "invalid_request", "error_description": form}))
    });
    let once = json!({"num_retries": 0, "disable_cooldowns": true});
    let hale = azure(&upstream, identity(&authority)).router(once).start();
    let said = format!("what is {TOKEN}?");
    let body = openai::error(&said, &said, &said);
    let begun = Script::ok().stream().event(&openai::content_chunk("gpt-4o", "x"));
    upstream.push(Script::with_status(500).json(&body));
    upstream.push(Script::ok().json(&body));
    upstream.push(begun.event(&body).end());
    upstream.push(Script::with_status(401).json(&body));
    let mut all = vec![chat(&hale, "m").text(), chat(&hale, "m").text()];
    let mut own = client(&hale);
    let mut stream = own.stream(CHAT, &[], &openai::stream_request("m", "hi"));
    all.extend(stream.remaining().iter().map(|event| event.data.clone()));
    drop(stream);
    // The 401 makes the request fetch another token, and the authority repeats what it was sent.
    all.push(chat(&hale, "m").text());
    all.push(chat(&hale, "m").text());
    let all = all.join("\n");
    assert_eq!((upstream.requests().len(), authority.requests().len()), (4, 3));
    assert!(all.contains("what is ***?"), "{all}");
    assert!(!all.contains("canary") && !all.contains("s3cret"), "{all}");
}

#[test]
fn a_content_filters_refusal_is_the_clients_and_counts_against_no_deployment() {
    let upstream = FakeUpstream::start();
    upstream.answer_with(|_| {
        Script::with_status(400).json(&json!({"error": {
            "message": "The response was filtered due to the prompt triggering Azure's policy.",
            "type": null, "param": "prompt", "code": "content_filter", "status": 400,
            "innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result": {}},
        }}))
    });
    let hale = azure(&upstream, json!({"api_key": "k"})).start();
    for _ in 0..5 {
        expect_error(&chat(&hale, "m"), 400, "content_policy");
    }
    assert_eq!(upstream.requests().len(), 5, "asked once each, and never rested");
}

#[test]
fn a_stream_may_begin_with_filter_results_which_are_not_content() {
    let upstream = FakeUpstream::start();
    let filter = json!({"id": "", "object": "", "created": 0, "model": "", "choices": [],
        "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": {}}]});
    let mut events = vec![filter.clone()];
    events.extend(openai::chunks("gpt-4o", &["hello"]));
    upstream.push(Script::ok().stream().event(&filter).close());
    upstream.push(Script::ok().sse(&events));
    let hale = azure(&upstream, json!({"api_key": "k"})).start();
    let mut own = client(&hale);
    let mut stream = own.stream(CHAT, &[], &openai::stream_request("m", "hi"));
    assert_eq!(stream.content(), "hello");
    assert_eq!(upstream.requests().len(), 2, "a cut before content moves on unseen");
}

#[test]
fn half_an_identity_is_named_before_traffic_meets_it() {
    let upstream = FakeUpstream::start();
    let half = json!({"tenant_id": "t", "client_id": "c"});
    let hale = azure(&upstream, half).start();
    let answer = chat(&hale, "m");
    assert_eq!(answer.status, 503);
    assert!(answer.text().contains("no client_secret"), "{}", answer.text());
    assert!(answer.text().contains("AZURE_CLIENT_SECRET"), "{}", answer.text());
}
