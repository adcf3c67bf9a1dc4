//! `/health` and related pages: what they show to which client, and which deployments they probe.

use hale_testkit::{FakeUpstream, Hale, Script, openai};
use serde_json::{Value, json};

use crate::support::{
    Config, KEY, chat, client, column, error, eventually, expect_error, hale, lone, metric, within,
};
use crate::timing::{Stopwatch, bounded_ms};

/// Background probes, fast enough for a test; traffic does not replace them.
pub(crate) fn background(config: Config) -> Config {
    config.general(json!({
        "background_health_checks": true,
        "health_check_interval": 0.2,
        "health_check_skip_if_live_success": false,
    }))
}

/// Status and body of `/health`.
#[track_caller]
pub(crate) fn health(hale: &Hale, query: &str) -> (u16, Value) {
    let page = client(hale).get(&format!("/health{query}"));
    (page.status, page.json())
}

/// The entry of a deployment, which is in exactly one list.
#[track_caller]
pub(crate) fn entry(page: &Value, id: &str) -> Option<Value> {
    let lists = ["healthy_endpoints", "unhealthy_endpoints", "unchecked_endpoints"];
    let all = lists.iter().flat_map(|list| page[list].as_array().unwrap());
    let mut found = all.filter(|entry| entry["model_id"] == id);
    let first = found.next().cloned();
    assert!(found.next().is_none(), "{id} stands there twice: {page}");
    first
}

/// Waits until the page shows this for a deployment.
#[track_caller]
pub(crate) fn wait_for_status(hale: &Hale, id: &str, status: &str) -> Value {
    eventually(&format!("{id} is {status}"), || {
        entry(&health(hale, "").1, id).filter(|entry| entry["status"] == status)
    })
}

/// How many deployments are in each list: healthy, unhealthy, unchecked.
pub(crate) fn counts(page: &Value) -> [u64; 3] {
    ["healthy", "unhealthy", "unchecked"].map(|list| {
        let count = page[format!("{list}_count")].as_u64().unwrap();
        let listed = page[format!("{list}_endpoints")].as_array().unwrap().len();
        assert_eq!(count, listed as u64, "{page}");
        count
    })
}

/// One live probe of a deployment whose upstream answers with this script.
#[track_caller]
pub(crate) fn checked(script: impl Fn() -> Script + Send + 'static) -> Value {
    let upstream = FakeUpstream::with(move |_| script());
    let (status, page) = health(&lone(&upstream).start(), "");
    assert_eq!(status, 200, "{page}");
    entry(&page, "a").unwrap()
}

#[test]
fn a_live_probe_calls_the_model_and_shows_the_answer() {
    // Case 12.
    let upstream = FakeUpstream::with(|request| {
        let answer = openai::chat_completion(&request.model(), "hi");
        Script::ok()
            .header("x-ratelimit-remaining-requests", "99")
            .header("x-ratelimit-remaining-tokens", "9999")
            .header("x-ms-region", "East US")
            .json(&answer)
    });
    let hale = lone(&upstream).start();
    let (status, page) = health(&hale, "");
    assert_eq!((status, counts(&page)), (200, [1, 0, 0]));
    let entry = &page["healthy_endpoints"][0];
    let expected = json!({
        "model": "openai/gpt-4o", "api_base": upstream.api_base(), "model_id": "a", "model_name": "m",
        "status": "healthy", "cause": null, "custom_llm_provider": "openai", "mode": "chat",
        "x-ratelimit-remaining-requests": "99", "x-ratelimit-remaining-tokens": "9999",
        "x-ms-region": "East US",
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&entry[name], value, "{name} in {entry}");
    }
    assert!(entry["checked_at"].as_u64().is_some() && entry["latency_ms"].is_number(), "{entry}");
    let sent = upstream.request(0);
    assert_eq!(sent.path, "/v1/chat/completions");
    let prompt = json!([{"role": "user", "content": "test from litellm"}]);
    assert_eq!(sent.json(), json!({"model": "gpt-4o", "messages": prompt, "max_tokens": 1}));
}

#[test]
fn a_failing_deployment_says_why_in_one_line() {
    // Cases 13, 15, 17.
    let refused = checked(|| Script::error(401, "mock error 401"));
    assert_eq!((&refused["exception_status"], &refused["cause"]), (&json!(401), &json!("auth")));
    assert_eq!(refused["error"], "AuthenticationError: mock error 401");
    assert!(refused["hint"].as_str().unwrap().contains("api_key of a or OPENAI_API_KEY"));
    let broken = checked(|| Script::error(500, "boom\nstack trace: Traceback"));
    assert_eq!(broken["exception_status"], 500);
    assert_eq!(broken["error"], "InternalServerError: boom stack trace: Traceback");
    let mut upstream = FakeUpstream::start();
    upstream.stop();
    let (_, page) = health(&lone(&upstream).start(), "");
    let dead = entry(&page, "a").unwrap();
    assert_eq!((&dead["exception_status"], &dead["cause"]), (&json!(500), &json!("connect")));
    assert!(dead["error"].as_str().unwrap().contains("Connection error."), "{dead}");
}

#[test]
fn a_failed_probe_is_one_call() {
    // Case 13.
    for status in [401, 429, 500] {
        let upstream = FakeUpstream::with(move |_| Script::error(status, "no"));
        health(&lone(&upstream).start(), "");
        assert_eq!(upstream.requests().len(), 1, "{status}");
    }
}

#[test]
fn a_silent_deployment_costs_its_own_time_and_no_more() {
    // Case 16.
    let silent = FakeUpstream::with(|_| Script::silent());
    let good = FakeUpstream::start();
    let config = |ms: f64| {
        let params =
            json!({"model": "openai/gpt-4o", "api_key": "k", "api_base": silent.api_base()});
        let info = json!({"id": "silent", "health_check_timeout": ms});
        let entry = json!({"model_name": "m", "litellm_params": params, "model_info": info});
        Config::new().deployment("m", "good", &good).entry(entry)
    };
    let hale = config(0.3).start();
    let (status, page) = health(&hale, "");
    assert_eq!((status, counts(&page)), (200, [1, 1, 0]));
    let entry = entry(&page, "silent").unwrap();
    assert_eq!(
        (&entry["exception_status"], &entry["error"]),
        (&json!(408), &json!("Timeout exceeded"))
    );
    assert!(entry["latency_ms"].as_u64().unwrap() >= 300, "{entry}");
}

#[test]
fn a_target_is_a_group_a_model_or_an_id() {
    // Cases 18 to 23.
    let (bad, good) = (FakeUpstream::with(|_| Script::error(401, "no")), FakeUpstream::start());
    let hale = Config::new()
        .deployment("chat", "one", &good)
        .deployment("chat", "two", &good)
        .deployment("down", "three", &bad)
        .router(json!({"model_group_alias": {"alias": "chat"}}))
        .start();
    let asked = |query: &str| {
        let (status, page) = health(&hale, query);
        (status, counts(&page))
    };
    assert_eq!(asked("?model=chat"), (200, [2, 0, 0]));
    assert_eq!(asked("?model=alias"), (200, [2, 0, 0]));
    assert_eq!(asked("?model=down"), (503, [0, 1, 0]));
    assert_eq!(asked("?model=openai/gpt-4o"), (200, [2, 1, 0]));
    assert_eq!(asked("?model=openai%2Fgpt-4o"), (200, [2, 1, 0]));
    assert_eq!(asked("?model_id=two"), (200, [1, 0, 0]));
    assert_eq!(asked("?model_id=three&model=chat"), (503, [0, 1, 0]));
    assert_eq!(asked(""), (200, [2, 1, 0]));
    for (query, says) in [
        ("?model=chta", "Model chta not found; did you mean chat?"),
        ("?model_id=nope", "Model with ID nope not found"),
    ] {
        let (status, page) = health(&hale, query);
        assert_eq!((status, counts(&page), &page["error"]), (404, [0, 0, 0], &json!(says)));
    }
}

#[test]
fn without_the_key_there_is_no_page() {
    // Case 11.
    let hale = lone(&FakeUpstream::start()).start();
    expect_error(&hale.client().get("/health"), 401, "missing_api_key");
    let wrong = hale.client_with_key("sk-of-another-user").get("/health");
    assert_eq!(error(&wrong)["type"], "auth_error");
}

#[test]
fn without_details_only_models_and_ids_are_shown() {
    // Case 26.
    let (bad, good) = (FakeUpstream::with(|_| Script::error(401, "no")), FakeUpstream::start());
    let hale = Config::new()
        .deployment("m", "good", &good)
        .deployment("m", "bad", &bad)
        .general(json!({"health_check_details": false}))
        .start();
    let (_, page) = health(&hale, "");
    let model = "openai/gpt-4o";
    assert_eq!(page["healthy_endpoints"], json!([{"model": model, "model_id": "good"}]));
    let bad = json!([{"model": model, "model_id": "bad", "exception_status": 401}]);
    assert_eq!(page["unhealthy_endpoints"], bad);
}

#[test]
fn every_deployment_is_listed_exactly_once() {
    // Requirement H11.
    let upstream = FakeUpstream::start();
    let model = |id: &str, more: Value, info: Value| {
        let mut params =
            json!({"model": "openai/gpt-4o", "api_key": "k", "api_base": upstream.api_base()});
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let mut all = json!({"id": id});
        all.as_object_mut().unwrap().extend(info.as_object().unwrap().clone());
        json!({"model_name": "m", "litellm_params": params, "model_info": all})
    };
    let config = Config::new()
        .entry(model("fine", json!({}), json!({})))
        .entry(model("same", json!({}), json!({})))
        .entry(model("paused", json!({"blocked": true}), json!({})))
        .entry(model("opted-out", json!({}), json!({"disable_background_health_check": true})))
        .entry(model("broken", json!({"api_key": "os.environ/NOT_SET_HERE"}), json!({})));
    let ids = ["fine", "same", "paused", "opted-out", "broken"];
    let look = |hale: &Hale| {
        let (_, page) = health(hale, "");
        assert_eq!(counts(&page).iter().sum::<u64>(), 5, "{page}");
        ids.map(|id| entry(&page, id).unwrap())
    };
    let live = config.start();
    let [fine, same, paused, opted_out, broken] = look(&live);
    for one in [fine, same, opted_out] {
        assert_eq!(one["status"], "healthy", "{one}");
    }
    assert_eq!((&paused["status"], &paused["cause"]), (&json!("disabled"), &json!("paused")));
    assert_eq!(broken["cause"], "misconfigured");
    assert!(broken["error"].as_str().unwrap().contains("NOT_SET_HERE is not set"), "{broken}");
    assert_eq!(upstream.requests().len(), 1, "three checks are the same, byte for byte");
    let fast = background(config).start();
    eventually("the first checks are done", || {
        (look(&fast)[1]["status"] == "healthy").then_some(())
    });
    let [.., opted_out, _] = look(&fast);
    assert_eq!(
        (&opted_out["status"], &opted_out["cause"]),
        (&json!("disabled"), &json!("disabled"))
    );
    assert_eq!(chat(&fast, "opted-out").status, 200, "it stays routable");
    fast.rewrite_config(&Config::new().deployment("m", "fine", &upstream).text());
    eventually("the other config is in force", || {
        (counts(&health(&fast, "").1) == [1, 0, 0]).then_some(())
    });
}

#[test]
fn with_background_probes_the_page_calls_no_upstream_and_waits_for_none() {
    // Case 50, requirement H7.
    let silent = FakeUpstream::with(|_| Script::silent());
    let mut config = background(Config::new()).general(json!({"health_check_interval": 86_400}));
    for i in 0..1_000 {
        config = config.with("m", &format!("d{i}"), &silent, json!({"api_key": format!("k{i}")}));
    }
    let hale = config.start();
    silent.wait_for(|state| state.requests.len() >= 2);
    let mut times = Vec::new();
    for _ in 0..20 {
        let began = Stopwatch::start();
        let (status, page) = health(&hale, "");
        times.push(began.ms());
        assert_eq!((status, counts(&page).iter().sum::<u64>()), (200, 1_000));
    }
    assert_eq!(silent.requests().len(), 2, "two at one upstream, and none because of the page");
    times.sort_unstable();
    // The binary is not optimized here; docs/health.md has the figures of one that is.
    bounded_ms(times[18], 1_000);
}

#[test]
fn a_live_round_is_shared_and_ends_with_the_longest_of_its_times() {
    let silent = FakeUpstream::with(|_| Script::silent());
    let hale = lone(&silent).launch().env("HEALTH_CHECK_TIMEOUT_SECONDS", "0.5").start();
    let ask = || {
        std::thread::scope(|scope| {
            let asks = [0; 4].map(|_| scope.spawn(|| health(&hale, "")));
            asks.map(|ask| ask.join().unwrap())
        })
    };
    for (status, page) in ask() {
        assert_eq!((status, counts(&page)), (200, [0, 1, 0]));
    }
    assert_eq!(silent.requests().len(), 1, "four callers, one check");
}

#[test]
fn a_round_too_large_for_its_time_names_what_was_not_reached() {
    let silent = FakeUpstream::with(|_| Script::silent());
    let mut config = Config::new();
    for i in 0..300 {
        config = config.with("m", &format!("d{i}"), &silent, json!({"api_key": format!("k{i}")}));
    }
    // Long enough for 256 connections to be opened on a loaded machine.
    let hale = config.launch().env("HEALTH_CHECK_TIMEOUT_SECONDS", "6").start();
    let (_, page) = health(&hale, "");
    let [_, unhealthy, unchecked] = counts(&page);
    // A machine that is busy may not open the last of the 256 in time.
    assert!(unhealthy <= 256 && unhealthy > 0, "{unhealthy}");
    assert_eq!(unhealthy + unchecked, 300);
    let causes = column(&page["unchecked_endpoints"], "cause");
    assert!(causes.iter().all(|cause| cause == "not_reached"), "{causes:?}");
}

#[test]
fn before_the_first_probe_every_deployment_is_unchecked() {
    // Case 49.
    let gated = FakeUpstream::with(|request| {
        let answer = openai::chat_completion(&request.model(), "hi");
        Script::ok().wait("go").json(&answer)
    });
    let hale = background(lone(&gated)).start();
    assert_eq!(counts(&health(&hale, "").1), [0, 0, 1]);
    let (status, page) = health(&hale, "?model=m");
    assert_eq!((status, counts(&page)), (503, [0, 0, 1]));
    gated.release("go");
    let entry = wait_for_status(&hale, "a", "healthy");
    assert!(entry["next_check_at"].as_u64() >= entry["checked_at"].as_u64(), "{entry}");
}

#[test]
fn on_demand_deployments_that_opted_out_are_probed_unless_configured_otherwise() {
    // Case 52.
    let upstream = FakeUpstream::start();
    let config = |skip: bool| {
        let params =
            json!({"model": "openai/gpt-4o", "api_key": "k", "api_base": upstream.api_base()});
        let info = json!({"id": "a", "disable_background_health_check": true});
        Config::new()
            .entry(json!({"model_name": "m", "litellm_params": params, "model_info": info}))
            .general(json!({"health_check_skip_disabled_background_models": skip}))
    };
    assert_eq!(counts(&health(&config(false).start(), "").1), [1, 0, 0]);
    assert_eq!(counts(&health(&config(true).start(), "").1), [0, 0, 1]);
    assert_eq!(upstream.requests().len(), 1);
}

#[test]
fn the_small_pages_have_the_reference_s_fields() {
    // Cases 8, 10, 74, 75.
    let hale = lone(&FakeUpstream::start()).start();
    let get = |path: &str| client(&hale).get(path).json();
    let details = get("/health/readiness/details");
    for field in [
        "status",
        "db",
        "cache",
        "litellm_version",
        "success_callbacks",
        "use_aiohttp_transport",
        "log_level",
        "is_detailed_debug",
        "show_no_redis_warning",
        "show_env_credential_login_warning",
    ] {
        assert!(details.get(field).is_some(), "{field} in {details}");
    }
    assert_eq!(get("/test"), json!({"route": "/test"}));
    assert_eq!(get("/health/license")["license_type"], "community");
    assert_eq!(get("/health/license").as_object().unwrap().len(), 5);
    let backlog = get("/health/backlog");
    assert_eq!(
        (backlog.as_object().unwrap().len(), &backlog["in_flight_requests"]),
        (4, &json!(1))
    );
    assert_eq!(get("/health/readiness").get("log_level"), None);
    let public = lone(&FakeUpstream::start())
        .general(json!({"allow_public_health_readiness_details": true}))
        .start();
    assert_eq!(public.client().get("/health/readiness").json()["log_level"], "INFO");
}

#[test]
fn drain_is_off_wants_its_token_and_waits_for_requests() {
    // Cases 76, 77.
    let gated = FakeUpstream::with(|request| {
        Script::ok().wait("go").json(&openai::chat_completion(&request.model(), "hi"))
    });
    let off = lone(&gated).start().client().get("/health/drain");
    assert_eq!((off.status, off.json()), (404, json!({"detail": "Not Found"})));
    let hale = lone(&gated)
        .general(
            json!({"enable_drain_endpoint": true, "drain_endpoint_token": "a-token-for-draining"}),
        )
        .start();
    let drain =
        |token: &str| hale.client().with_header("x-drain-token", token).get("/health/drain");
    assert_eq!(drain("wrong").status, 401);
    let by_environment = lone(&gated)
        .general(json!({"enable_drain_endpoint": true}))
        .launch()
        .env("DRAIN_ENDPOINT_TOKEN", "a-token-of-the-environment")
        .start();
    assert_eq!(by_environment.client().get("/health/drain").status, 401);
    assert_eq!(by_environment.client().get("/health/readiness").status, 200);
    assert_eq!(hale.client().get("/health/readiness").status, 200, "nothing happened");
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| chat(&hale, "m"));
        gated.wait_for_requests(1);
        let drained = scope.spawn(|| drain("a-token-for-draining"));
        eventually("it is draining", || {
            (hale.client().get("/health/readiness").status == 503).then_some(())
        });
        gated.release("go");
        assert_eq!(asked.join().unwrap().status, 200);
        let drained = drained.join().unwrap();
        assert_eq!((drained.status, &drained.json()["status"]), (200, &json!("drained")));
    });
    assert_eq!(drain("a-token-for-draining").json()["drained_requests"], 0);
    assert_eq!(hale.client().get("/health/liveliness").status, 200);
}

#[test]
fn a_connection_is_tested_with_parameters_or_by_id() {
    // Cases 78, 79.
    let (bad, good) = (FakeUpstream::with(|_| Script::error(401, "no")), FakeUpstream::start());
    let hale = Config::new()
        .deployment("m", "a", &good)
        .launch()
        .env("OPENAI_API_KEY", "sk-of-the-environment-00")
        .start();
    let test = |body: Value| client(&hale).post_json("/health/test_connection", &[], &body);
    let at = |upstream: &FakeUpstream, more: Value| {
        let mut params = json!({"model": "openai/gpt-4o", "api_base": upstream.api_base()});
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"mode": "chat", "litellm_params": params})
    };
    let well = test(at(&good, json!({"api_key": "sk-1"})));
    assert_eq!((well.status, &well.json()["status"]), (200, &json!("success")));
    let refused = test(at(&bad, json!({"api_key": "sk-1"}))).json();
    assert_eq!(
        (&refused["status"], &refused["result"]["cause"]),
        (&json!("error"), &json!("auth"))
    );
    assert_eq!(test(json!({"model_info": {"id": "a"}})).json()["status"], "success");
    let log = hale.stderr();
    assert!(!log.contains("deployment is unhealthy"), "what is only tried has no state: {log}");
    // An address from the request gets no key of the gateway.
    let keyless = expect_error(&test(at(&good, json!({}))), 400, "invalid_parameter");
    assert!(keyless["message"].as_str().unwrap().contains("api_key"), "{keyless}");
    let sent = good.requests();
    assert!(sent.iter().all(|it| !format!("{it:?}").contains("sk-of-the-environment")), "{sent:?}");
    let reference = at(&good, json!({"api_key": "os.environ/OPENAI_API_KEY"}));
    expect_error(&test(reference), 400, "invalid_parameter");
    expect_error(&test(json!({"mode": "bogus"})), 400, "invalid_parameter");
    let secret = json!({"litellm_params": "sk-secret-in-the-wrong-place"});
    let answer = test(secret);
    expect_error(&answer, 400, "invalid_parameter");
    assert!(!answer.text().contains("sk-secret"), "{}", answer.text());
}

#[test]
fn the_command_line_prints_the_page() {
    // Case 82.
    let upstream = FakeUpstream::start();
    let gateway = lone(&upstream).start();
    let run = |arguments: &[&str], key: &str| {
        let mut launch = hale().env("LITELLM_MASTER_KEY", key);
        for argument in arguments {
            launch = launch.arg(*argument);
        }
        launch.run()
    };
    let port = gateway.port().to_string();
    for arguments in [
        &["health", "--json", "--url", &gateway.url()][..],
        &["--health", "--host", "127.0.0.1", "--port", &port],
        &["-health", "--port", &port],
    ] {
        let done = run(arguments, KEY);
        assert_eq!(done.code(), Some(0), "{done:?}");
        let page: Value = serde_json::from_str(&done.stdout).unwrap();
        assert_eq!(counts(&page), [1, 0, 0]);
        assert!(done.stdout.contains("\n    \"healthy_count\": 1"), "{}", done.stdout);
    }
    let refused = run(&["health", "--url", &gateway.url(), "--key", "sk-wrong-0123456789"], "");
    assert_eq!(
        (refused.code(), refused.stderr.contains(": 401: ")),
        (Some(1), true),
        "{refused:?}"
    );
    let unreached = run(&["health", "--url", "http://127.0.0.1:1"], "");
    assert_eq!((unreached.code(), unreached.stderr.contains("127.0.0.1:1")), (Some(1), true));
    assert_eq!(run(&["health", "--url", "localhost"], "").code(), Some(1));
}

#[test]
fn the_command_line_prints_a_table_and_fails_with_nothing_healthy() {
    let (bad, good) = (FakeUpstream::with(|_| Script::error(401, "no")), FakeUpstream::start());
    let run = |gateway: &Hale, more: &[&str]| {
        let run =
            hale().arg("health").arg("--url").arg(gateway.url()).env("LITELLM_MASTER_KEY", KEY);
        more.iter().fold(run, |run, arg| run.arg(*arg)).run()
    };
    let both = Config::new().deployment("m", "good", &good).deployment("n", "bad", &bad).start();
    let done = run(&both, &[]);
    assert_eq!((done.code(), &*done.stderr), (Some(0), ""), "{done:?}");
    let lines: Vec<&str> = done.stdout.lines().collect();
    assert!(lines[0].starts_with("✗  n  ") && lines[0].contains("unhealthy"), "{}", done.stdout);
    assert!(lines.iter().any(|line| line.starts_with("   fix: ")), "{}", done.stdout);
    assert!(lines.iter().any(|line| line.starts_with("✓  m  ")), "{}", done.stdout);
    assert!(
        lines
            .last()
            .unwrap()
            .ends_with(": 1 of 2 deployments are healthy, 1 unhealthy, 0 not probed")
    );
    let none = lone(&bad).start();
    assert_eq!(run(&none, &[]).code(), Some(1), "nothing is healthy");
    assert_eq!(run(&none, &["--json"]).code(), Some(1));
    let port = none.port().to_string();
    let done = ["--health", "--port", &port].iter().fold(hale(), |run, arg| run.arg(*arg));
    let done = done.env("LITELLM_MASTER_KEY", KEY).run();
    assert_eq!(done.code(), Some(0), "as LiteLLM: there was a page");
}

#[test]
fn metrics_count_probes() {
    let (bad, good) = (FakeUpstream::with(|_| Script::error(401, "no")), FakeUpstream::start());
    let hale = Config::new().deployment("m", "good", &good).deployment("m", "bad", &bad).start();
    health(&hale, "");
    assert_eq!(metric(&hale, "hale_probes_total", &[]), 2.0);
    assert_eq!(metric(&hale, "hale_probes_failed_total", &[]), 1.0);
    assert_eq!(metric(&hale, "hale_probes_in_flight", &[]), 0.0);
    assert_eq!(metric(&hale, "hale_deployment_check_status", &[("deployment", "bad")]), 2.0);
    assert_eq!(metric(&hale, "hale_deployment_probes_total", &[("deployment", "good")]), 1.0);
    // 9 and 7 tokens of gpt-4o.
    let cost = metric(&hale, "hale_probe_cost_usd_total", &[]);
    assert!((cost - (9.0 * 2.5e-6 + 7.0 * 1e-5)).abs() < 1e-8, "{cost}");
    within(std::time::Duration::from_secs(5), "the loop moves", || {
        (metric(&hale, "hale_health_loop_age_seconds", &[]) <= 1.0).then_some(())
    });
}
