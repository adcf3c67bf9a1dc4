//! What the log and the errors say of requests that failed, and by which names they call deployments.

use hale_testkit::{FakeUpstream, Hale, Script, openai, refused_port};
use serde_json::{Value, json};

use crate::support::{
    CHAT, Config, KEY, UPSTREAM_KEY, chat, chat_with, client, column, error, eventually,
    expect_error, lone, metric, pair, scrape,
};

/// The lines of failed requests.
fn failed(hale: &Hale) -> Vec<String> {
    let lines = |text: String| text.lines().map(str::to_owned).collect::<Vec<_>>();
    lines(hale.stderr()).into_iter().filter(|line| line.contains("request failed")).collect()
}

#[test]
fn a_failed_request_has_one_line_with_each_attempt_and_the_providers_words() {
    let alpha = FakeUpstream::with(|_| Script::error(500, "alpha is broken"));
    let gamma = FakeUpstream::with(|_| Script::error(401, "invalid x-api-key"));
    let hale = Config::new()
        .deployment("gpt-4o", "alpha", &alpha)
        .deployment("claude", "gamma", &gamma)
        .router(json!({"num_retries": 0, "fallbacks": [{"gpt-4o": ["claude"]}]}))
        .start();
    let body = openai::chat_request("gpt-4o", "a private question");
    assert_eq!(chat_with(&hale, &[("x-litellm-call-id", "the-call")], &body).status, 500);
    let line = hale.wait_for_line("request failed");
    for part in [
        " WARN request failed: gpt-4o/alpha 500 server_error \"alpha is broken\" ",
        "; claude/gamma 401 auth \"invalid x-api-key\" ",
        " ms status=500 operation=\"chat_completions\" model_group=\"gpt-4o\" ",
        " cause=\"server_error\" reason=\"fallbacks_exhausted\" ms=",
        " call_id=\"the-call\"",
    ] {
        assert!(line.contains(part), "{part:?} is not in {line}");
    }
    for hidden in ["private", KEY, UPSTREAM_KEY] {
        assert!(!line.contains(hidden), "{line}");
    }
    assert_eq!(failed(&hale).len(), 1);
    // It counts where the client sent it, and not where it was tried last.
    let counted = |group: &str| {
        metric(&hale, "hale_requests_total", &[("model_group", group), ("ending", "error")])
    };
    assert_eq!((counted("gpt-4o"), counted("claude")), (1.0, 0.0));
}

#[test]
fn a_log_for_debugging_lists_the_attempts_before_an_answer() {
    let (bad, good) = (FakeUpstream::with(|_| Script::error(500, "boom")), FakeUpstream::start());
    let config = || {
        Config::new()
            .deployment("m", "bad", &bad)
            .deployment("f", "good", &good)
            .router(json!({"num_retries": 0, "fallbacks": [{"m": ["f"]}]}))
    };
    let hale = config().launch().arg("--debug").start();
    assert_eq!(chat(&hale, "m").status, 200);
    let line = hale.wait_for_line("answered after failed attempts");
    assert!(line.contains("bad 500 server_error \"boom\" "), "{line}");
    assert!(line.contains("deployment=\"good\""), "{line}");
    let hale = config().start();
    assert_eq!(chat(&hale, "m").status, 200);
    assert!(!hale.stderr().contains("answered after"), "{}", hale.stderr());
}

#[test]
fn every_kind_of_failure_leaves_a_line_and_success_none() {
    let (bad, good) = (FakeUpstream::with(|_| Script::error(500, "boom")), FakeUpstream::start());
    let cut = FakeUpstream::with(|_| {
        Script::ok().stream().event(&openai::content_chunk("g", "x")).close()
    });
    let hale = pair(&bad, &good).deployment("cut", "c", &cut).start();
    let mut own = client(&hale);
    assert_eq!(chat(&hale, "m").status, 200, "a sibling saves it");
    own.stream(CHAT, &[], &openai::stream_request("cut", "hi")).remaining();
    let line = hale.wait_for_line("reason=\"upstream_stream_interrupted\"");
    assert!(line.contains("request failed: the answer of c broke off: "), "{line}");
    expect_error(&chat(&hale, "nothing"), 400, "unknown_model");
    let line = hale.wait_for_line("reason=\"unknown_model\"");
    assert!(line.contains("model=\"nothing\"") && !line.contains("model_group"), "{line}");
    assert_eq!(own.request("POST", CHAT, &[], b"{").status, 400);
    hale.wait_for_line("reason=\"invalid_json\"");
    let stranger = hale.client_with_key("sk-wrong-and-secret");
    assert_eq!({ stranger }.get("/v1/models").status, 401);
    let line = hale.wait_for_line("reason=\"invalid_api_key\"");
    assert!(line.contains("operation=\"GET /v1/models\"") && line.contains("status=401"), "{line}");
    assert!(!line.contains("sk-wrong"), "{line}");
    assert_eq!(own.post_json("/cost/estimate", &[], &json!({})).status, 404);
    hale.wait_for_line("operation=\"POST /cost/estimate\"");
    assert_eq!(failed(&hale).len(), 5, "{:#?}", failed(&hale));
}

#[test]
fn a_flood_of_failures_has_ten_lines_and_one_that_counts_the_others() {
    let upstream = FakeUpstream::start();
    let mut hale = lone(&upstream).start();
    let mut own = client(&hale);
    for _ in 0..25 {
        assert_eq!(own.post_json(CHAT, &[], &openai::chat_request("nothing", "x")).status, 400);
    }
    hale.stop();
    assert_eq!(failed(&hale).len(), 10);
    let counts = hale.stderr();
    let counts = counts.lines().find(|line| line.contains("more requests failed")).unwrap();
    assert!(
        counts.contains("requests=15 cause=\"bad_request\" reason=\"unknown_model\""),
        "{counts}"
    );
}

/// A group of two deployments without ids.
fn without_ids(upstream: &FakeUpstream) -> Config {
    let entry = |base: String| {
        json!({"model_name": "m", "litellm_params":
            {"model": "openai/gpt-4o", "api_key": UPSTREAM_KEY, "api_base": base}})
    };
    Config::new()
        .entry(entry(upstream.api_base()))
        .entry(entry(format!("http://127.0.0.1:{}", refused_port())))
}

#[test]
fn a_deployment_without_an_id_is_called_by_its_model_and_line_and_never_by_its_hash() {
    let upstream = FakeUpstream::with(|_| Script::error(500, "boom"));
    let hale = without_ids(&upstream).start();
    let answer = chat_with(&hale, &[("x-hale-explain", "true")], &openai::chat_request("m", "hi"));
    let is_hash = |word: &str| word.len() == 64 && word.bytes().all(|b| b.is_ascii_hexdigit());
    let no_hash = |what: &str, text: &str| {
        let mut words = text.split(|c: char| !c.is_ascii_alphanumeric());
        assert!(!words.any(is_hash), "{what}: {text}");
        assert!(text.contains("openai/gpt-4o :"), "{what}: {text}");
    };
    let told = error(&answer);
    no_hash("the message", told["message"].as_str().unwrap());
    no_hash("the attempts", &told["attempts"].to_string());
    no_hash("the route", answer.header("x-hale-route").unwrap());
    hale.wait_for_line("request failed");
    chat(&hale, "m");
    let line = hale.wait_for_line("deployment is in cooldown");
    assert!(line.contains("model_group=\"m\""), "{line}");
    no_hash("the log", &hale.stderr());
    // LiteLLM's families name a deployment by its id, as `x-litellm-model-id` does.
    let metrics = client(&hale).get("/metrics").text();
    let own: Vec<&str> = metrics.lines().filter(|line| line.starts_with("hale_")).collect();
    no_hash("the metrics", &own.join("\n"));
    let mut names: Vec<String> = scrape(&hale)
        .iter()
        .filter(|sample| sample.name == "hale_deployment_in_flight")
        .map(|sample| sample.labels["deployment"].clone())
        .collect();
    names.dedup();
    assert_eq!(names.len(), 2, "each has a name of its own: {names:?}");
    let state = client(&hale).get("/router/state").json();
    assert_eq!(column(&state["deployments"], "name"), names);
    let health = client(&hale).get("/health").json();
    let listed = ["healthy_endpoints", "unhealthy_endpoints", "unchecked_endpoints"];
    let listed = listed.into_iter().flat_map(|list| column(&health[list], "name"));
    let mut listed: Vec<Value> = listed.collect();
    listed.sort_by_key(|name| names.iter().position(|known| name == known));
    assert_eq!(listed, names);
    let ids = column(&state["deployments"], "id");
    assert!(ids.iter().all(|id| is_hash(id.as_str().unwrap())), "ids stay: {ids:?}");
}

#[test]
fn an_error_names_the_fallback_that_failed_and_its_fix_though_the_first_group_is_in_cooldown() {
    let alpha = FakeUpstream::with(|_| Script::error(500, "alpha is broken"));
    let gamma = FakeUpstream::with(|_| Script::error(401, "invalid x-api-key"));
    let keyed = json!({"api_key": "os.environ/KEY_C", "num_retries": 0});
    let launch = Config::new()
        .with("gpt-4o", "alpha", &alpha, json!({"num_retries": 0}))
        .with("gpt-4o", "beta", &alpha, json!({"num_retries": 0}))
        .with("claude", "gamma", &gamma, keyed)
        .router(json!({"fallbacks": [{"gpt-4o": ["claude"]}], "allowed_fails": 0}))
        .launch();
    let hale = launch.env("KEY_C", "sk-of-gamma").start();
    for _ in 0..3 {
        let told = expect_error(&chat(&hale, "gpt-4o"), 500, "fallbacks_exhausted");
        let message = told["message"].as_str().unwrap();
        for part in [
            "alpha is broken. Model group 'gpt-4o' failed: ",
            "Fallback 'claude' failed too: the providers refuse the credentials",
            "claude/gamma 401 auth, \"invalid x-api-key\"",
            "KEY_C",
        ] {
            assert!(message.contains(part), "{part:?} is not in {message}");
        }
        assert!(!message.contains("Fallback 'gpt-4o'"), "{message}");
    }
}

#[test]
fn attempts_that_ended_alike_are_named_once_with_their_number() {
    let upstream = FakeUpstream::with(|_| Script::error(500, "boom"));
    let hale = lone(&upstream).router(json!({"num_retries": 1, "retry_after": 0})).start();
    let told: Value = expect_error(&chat(&hale, "m"), 500, "upstream_failed");
    let message = told["message"].as_str().unwrap();
    assert!(message.starts_with("boom. Model group 'm' failed: "), "{message}");
    assert!(message.contains("Tried: a 500 server_error (2 times). Fix: "), "{message}");
}

#[test]
fn a_refused_key_is_said_to_be_where_the_config_has_it() {
    let upstream = FakeUpstream::with(|_| Script::error(401, "invalid x-api-key"));
    let said = |status: u16, params: &Value| {
        upstream.answer_with(move |_| Script::error(status, "invalid x-api-key"));
        let mut params = params.clone();
        params["api_base"] = upstream.api_base().into();
        let entry = json!({"model_name": "m", "litellm_params": params,
            "model_info": {"id": "gamma"}});
        let launch = Config::new().entry(entry).launch();
        let hale = launch.env("KEY_C", "k-c").env("ANTHROPIC_API_KEY", "k-a").start();
        error(&chat(&hale, "m"))["message"].as_str().unwrap().to_owned()
    };
    let (claude, gpt) = ("anthropic/claude-sonnet-4-5", "openai/gpt-4o");
    let own = "Check the environment variable KEY_C, the api_key of gamma. The";
    for (status, params, place) in [
        (401, json!({"model": claude, "api_key": "os.environ/KEY_C"}), own),
        (403, json!({"model": claude, "api_key": "os.environ/KEY_C"}), own),
        (401, json!({"model": gpt, "api_key": "os.environ/KEY_C"}), own),
        (
            401,
            json!({"model": claude}),
            "Check the environment variable ANTHROPIC_API_KEY, the api_key of gamma. The",
        ),
        (401, json!({"model": claude, "api_key": UPSTREAM_KEY}), "Check api_key of gamma. The"),
        (
            401,
            json!({"model": "hosted_vllm/my-model"}),
            "Check api_key of gamma (or HOSTED_VLLM_API_KEY). The",
        ),
    ] {
        let message = said(status, &params);
        assert!(message.contains(place), "{place} in {message}");
    }
}

#[test]
fn the_line_of_a_failed_request_says_whose_key_it_had_and_never_the_key() {
    let upstream = FakeUpstream::with(|_| Script::error(500, "boom"));
    let hale = lone(&upstream).start();
    client(&hale).post_json("/team/new", &[], &json!({"team_id": "t1"}));
    let fields = json!({"team_id": "t1", "user_id": "u1", "key_alias": "ci"});
    let (key, made) = crate::keys::make(&hale, &fields);
    assert_eq!(crate::keys::ask(&hale, &key, "m").status, 500);
    let line = hale.wait_for_line("request failed");
    let hash = format!("key=\"{}\"", made["token"].as_str().unwrap());
    for part in [&*hash, "key_alias=\"ci\"", "team=\"t1\"", "user=\"u1\""] {
        assert!(line.contains(part), "{part:?} is not in {line}");
    }
    assert!(!line.contains(&key), "{line}");
    chat(&hale, "m");
    let of_master = eventually("the master key's line", || {
        failed(&hale).into_iter().find(|line| !line.contains(&*hash))
    });
    assert!(!of_master.contains(" key="), "{of_master}");
}
