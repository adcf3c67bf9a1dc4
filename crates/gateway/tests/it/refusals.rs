//! Which deployments are excluded, and what the client is told if all are.

use hale_testkit::{FakeUpstream, Hale, Script, openai, refused_port};
use serde_json::{Value, json};

use crate::support::{
    CHAT, Config, KEY, UPSTREAM_KEY, chat, chat_with, client, column, expect_error, lone, metric,
    pair, wait_until_idle,
};
use crate::timing::Stopwatch;

#[track_caller]
fn says(error: &Value, part: &str) {
    let message = error["message"].as_str().unwrap();
    assert!(message.contains(part), "{message}");
}

#[test]
fn the_causes_of_an_unavailable_model_are_named_in_one_sentence() {
    let good = FakeUpstream::start();
    let plain = Config::new().deployment("gpt-4o", "a", &good).start();
    let unknown = expect_error(&chat(&plain, "gpt-4"), 400, "unknown_model");
    says(&unknown, "`gpt-4o`");

    let entry = json!({"model_name": "m", "litellm_params":
        {"model": "openai/x", "api_key": "os.environ/MISSING_KEY"}, "model_info": {"id": "a"}});
    let hale = Config::new().entry(entry).start();
    let broken = expect_error(&chat(&hale, "m"), 503, "no_healthy_deployments");
    says(&broken, "set MISSING_KEY, which deployment a reads");

    let refusing = FakeUpstream::with(|_| Script::error(401, "bad key"));
    let hale = pair(&refusing, &refusing).start();
    let auth = expect_error(&chat(&hale, "m"), 401, "upstream_auth");
    says(&auth, "the providers refuse the credentials of all of its deployments");

    let entry = json!({"model_name": "m", "litellm_params": {"model": "openai/x",
        "api_key": UPSTREAM_KEY, "api_base": format!("http://127.0.0.1:{}", refused_port())}});
    let hale = Config::new().entry(entry).router(json!({"num_retries": 0})).start();
    let unreachable = expect_error(&chat(&hale, "m"), 502, "upstream_failed");
    says(&unreachable, "can be reached");
    says(&unreachable, "Fix: check api_base: its scheme, host and port.");

    let limited = FakeUpstream::with(|_| Script::rate_limited(20));
    let hale = pair(&limited, &limited).start();
    chat(&hale, "m");
    let answer = chat(&hale, "m");
    let limits = expect_error(&answer, 429, "no_healthy_deployments");
    says(&limits, "all of its deployments are rate limited; the first is free again in");
    let hint = limits["deployments"][0]["hint"].as_str().unwrap();
    assert!(hint.contains("as the provider asked"), "{hint}");
    assert!(hint.contains("add a deployment with another key"), "{hint}");
    let left: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((15..=20).contains(&left), "{left}");
    assert_eq!(
        limited.requests().len(),
        1,
        "they share a key and a model, so one found out for both"
    );

    let failing = FakeUpstream::with(|_| Script::error(500, "boom"));
    let hale = pair(&failing, &failing).start();
    let broken = expect_error(&chat(&hale, "m"), 500, "upstream_failed");
    says(&broken, "are failing");
    says(&broken, "Fix: read the server's log");
}

#[test]
fn fallbacks_that_cannot_be_tried_are_named_with_what_they_lack() {
    let without_key = json!({"model_name": "spare", "litellm_params":
        {"model": "openai/x", "api_key": "os.environ/MISSING_KEY"}, "model_info": {"id": "s"}});
    let limited = FakeUpstream::with(|_| Script::rate_limited(20));
    let entry = |up: &FakeUpstream| {
        Config::new()
            .with("m", "a", up, json!({"num_retries": 0}))
            .with("far", "f", &limited, json!({"num_retries": 0}))
            .entry(without_key.clone())
            .router(json!({"fallbacks": [{"m": ["spare"]}, {"far": ["spare"]}], "num_retries": 0}))
            .start()
    };
    let failing = FakeUpstream::with(|_| Script::error(500, "boom"));
    let hale = entry(&failing);
    let error = expect_error(&chat(&hale, "m"), 500, "fallbacks_exhausted");
    says(&error, "Nothing could be tried in 'spare'");
    says(&error, "set MISSING_KEY, which deployment s reads");
    assert_eq!(column(&error["attempts"], "deployment"), ["a"]);
    assert_eq!(column(&error["deployments"], "id"), ["s"]);
    assert_eq!(column(&error["deployments"], "state"), ["misconfigured"]);

    chat(&hale, "far");
    let refused = expect_error(&chat(&hale, "far"), 429, "no_healthy_deployments");
    says(&refused, "all of its deployments are rate limited");
    says(&refused, "Nothing could be tried in 'spare'");
    assert_eq!(column(&refused["deployments"], "model_group"), ["far", "spare"]);
    assert_eq!(limited.requests().len(), 1, "no upstream was called again");
}

#[test]
fn the_first_member_that_is_free_sets_retry_after() {
    let slow = FakeUpstream::with(|_| Script::rate_limited(300));
    let quick = FakeUpstream::with(|_| Script::rate_limited(20));
    let hale = Config::new()
        .deployment("m", "a", &slow)
        .deployment("spare", "b", &quick)
        .router(json!({"fallbacks": [{"m": ["spare"]}], "num_retries": 0}))
        .start();
    chat(&hale, "m");
    let answer = chat(&hale, "m");
    expect_error(&answer, 429, "no_healthy_deployments");
    let left: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((15..=20).contains(&left), "{left}");
}

#[test]
fn a_full_deployment_moves_to_its_sibling_and_a_full_group_is_a_429() {
    // Cases 39 and 40 (Hale's `rpm` differs: it does not limit requests in flight).
    let (slow, other) =
        (FakeUpstream::with(|_| Script::ok().wait("go").json(&answer())), FakeUpstream::start());
    let hale = Config::new()
        .with("m", "a", &slow, json!({"max_parallel_requests": 1}))
        .with("m", "b", &other, json!({"weight": 0, "max_parallel_requests": 1}))
        .start();
    let body = openai::chat_request("m", "hi");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| chat_with(&hale, &[], &body));
        slow.wait_for_requests(1);
        assert_eq!(chat(&hale, "m").header("x-litellm-model-id"), Some("b"));
        other.answer_with(|_| Script::ok().wait("go").json(&answer()));
        let second = scope.spawn(|| chat_with(&hale, &[], &body));
        other.wait_for_requests(2);
        let full = chat(&hale, "m");
        let error = expect_error(&full, 429, "no_healthy_deployments");
        says(&error, "at a limit");
        assert_eq!(column(&error["deployments"], "state"), ["at_limit", "at_limit"]);
        assert!(full.header("retry-after").is_some());
        slow.release("go");
        other.release("go");
        assert_eq!(waiting.join().unwrap().status, 200);
        assert_eq!(second.join().unwrap().status, 200);
    });
    wait_until_idle(&hale);
    assert_eq!(metric(&hale, "hale_deployment_in_flight", &[]), 0.0, "every place came back");
    assert_eq!(chat(&hale, "m").header("x-litellm-model-id"), Some("a"));
}

fn answer() -> Value {
    openai::chat_completion("gpt-4o", "done")
}

#[test]
fn rates_are_exact_where_they_are_limits() {
    // Case 41, without the reference's error by one; requirement R13.
    let (one, two) = (FakeUpstream::start(), FakeUpstream::start());
    let hale = Config::new()
        .with("m", "a", &one, json!({"rpm": 10}))
        .with("m", "b", &two, json!({"rpm": 10}))
        .router(json!({"optional_pre_call_checks": ["enforce_model_rate_limits"]}))
        .start();
    for _ in 0..20 {
        assert_eq!(chat(&hale, "m").status, 200);
    }
    let answer = chat(&hale, "m");
    expect_error(&answer, 429, "no_healthy_deployments");
    assert!(answer.header("retry-after").unwrap().parse::<u64>().unwrap() <= 60);
    assert_eq!((one.requests().len(), two.requests().len()), (10, 10));
    let free = Config::new().with("m", "a", &one, json!({"rpm": 1})).start();
    for _ in 0..3 {
        assert_eq!(chat(&free, "m").status, 200, "without the check it is a share");
    }
}

#[test]
fn tags_decide_where_they_are_filtered() {
    // Cases 50, 51 and 52.
    let up = FakeUpstream::start();
    let hale = Config::new()
        .with("m", "free", &up, json!({"tags": ["free"]}))
        .with("m", "paid", &up, json!({"tags": ["paid", "eu"]}))
        .router(json!({"enable_tag_filtering": true}))
        .start();
    let tagged = |tags: Value| {
        let mut body = openai::chat_request("m", "hi");
        body["tags"] = tags;
        chat_with(&hale, &[], &body)
    };
    let id = |tags: Value| tagged(tags).header("x-litellm-model-id").map(str::to_owned);
    assert_eq!(chat(&hale, "m").status, 200, "no tag: all");
    for _ in 0..5 {
        assert_eq!(id(json!(["free"])).as_deref(), Some("free"));
        assert_eq!(id(json!(["!free"])).as_deref(), Some("paid"));
        assert_eq!(id(json!(["&paid", "&eu"])).as_deref(), Some("paid"));
    }
    let by_header = [("x-litellm-tags", "paid, other")];
    let answer = chat_with(&hale, &by_header, &openai::chat_request("m", "hi"));
    assert_eq!(answer.header("x-litellm-model-id"), Some("paid"));
    let error = expect_error(&tagged(json!(["gold"])), 401, "tags_not_allowed");
    says(
        &error,
        "Not allowed to access model due to tags configuration. Passed model=m and tags=['gold']",
    );
    expect_error(&tagged(json!("paid")), 400, "invalid_parameter");
    assert!(up.request(0).json().get("tags").is_none());
}

#[test]
fn a_user_agent_can_be_a_tag() {
    let up = FakeUpstream::start();
    let hale = Config::new()
        .with("m", "cli", &up, json!({"tag_regex": ["^User-Agent: claude-cli/"]}))
        .with("m", "rest", &up, json!({"tags": ["default"]}))
        .router(json!({"enable_tag_filtering": true}))
        .start();
    let body = openai::chat_request("m", "hi");
    for (agent, expected) in [("claude-cli/1.2", "cli"), ("curl/8", "rest")] {
        let answer = chat_with(&hale, &[("user-agent", agent)], &body);
        assert_eq!(answer.header("x-litellm-model-id"), Some(expected), "{agent}");
    }
}

#[test]
fn long_requests_go_where_they_fit_or_to_the_fallback_without_an_attempt() {
    // Cases 70 and 71.
    let (small, large) = (FakeUpstream::start(), FakeUpstream::start());
    let entry = |group: &str, id: &str, up: &FakeUpstream, window: u64| {
        json!({"model_name": group, "litellm_params": {"model": "openai/gpt-4o",
            "api_key": UPSTREAM_KEY, "api_base": up.api_base()},
            "model_info": {"id": id, "max_input_tokens": window}})
    };
    let checks = json!({"enable_pre_call_checks": true});
    let hale = Config::new()
        .entry(entry("m", "small", &small, 50))
        .entry(entry("m", "large", &large, 10_000))
        .entry(entry("lone", "tiny", &small, 50))
        .router(checks.clone())
        .start();
    let long = |model: &str| openai::chat_request(model, &"word ".repeat(100));
    for _ in 0..5 {
        let answer = chat_with(&hale, &[], &long("m"));
        assert_eq!(answer.header("x-litellm-model-id"), Some("large"));
    }
    let error = expect_error(&chat_with(&hale, &[], &long("lone")), 400, "context_length_exceeded");
    says(&error, "Model=openai/gpt-4o, Max Input Tokens=50, Got about");
    assert!(small.requests().is_empty());
    let hale = Config::new()
        .entry(entry("m", "small", &small, 50))
        .entry(entry("big", "large", &large, 10_000))
        .router(checks)
        .router(json!({"context_window_fallbacks": [{"m": ["big"]}]}))
        .start();
    let answer = chat_with(&hale, &[], &long("m"));
    assert_eq!(answer.header("x-litellm-model-group"), Some("big"));
    assert!(small.requests().is_empty());
}

#[test]
fn a_deployment_without_vision_gets_no_images() {
    let (blind, seeing) = (FakeUpstream::start(), FakeUpstream::start());
    let entry = |group: &str, id: &str, up: &FakeUpstream, sees: bool| {
        json!({"model_name": group, "litellm_params": {"model": "openai/gpt-4o",
            "api_key": UPSTREAM_KEY, "api_base": up.api_base()},
            "model_info": {"id": id, "supports_vision": sees}})
    };
    let hale = Config::new()
        .entry(entry("m", "blind", &blind, false))
        .entry(entry("m", "seeing", &seeing, true))
        .entry(entry("dark", "dark", &blind, false))
        .start();
    let image = |model: &str| {
        json!({"model": model, "messages": [{"role": "user", "content":
            [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]}]})
    };
    for _ in 0..5 {
        let answer = chat_with(&hale, &[], &image("m"));
        assert_eq!(answer.header("x-litellm-model-id"), Some("seeing"));
    }
    let error = expect_error(&chat_with(&hale, &[], &image("dark")), 400, "missing_capability");
    says(&error, "supports_vision is false");
    assert!(blind.requests().is_empty());
}

#[test]
fn a_paused_deployment_gets_nothing_and_a_paused_model_is_a_403() {
    // Cases 77 and 78.
    let up = FakeUpstream::start();
    let hale = Config::new()
        .with("m", "a", &up, json!({"blocked": true}))
        .with("m", "b", &up, json!({}))
        .with("p", "c", &up, json!({"blocked": true}))
        .start();
    for _ in 0..5 {
        assert_eq!(chat(&hale, "m").header("x-litellm-model-id"), Some("b"));
    }
    let paused = chat(&hale, "p");
    says(&expect_error(&paused, 403, "model_paused"), "Model is blocked");
    // Only an operator can change that.
    let again = (paused.header("x-should-retry"), paused.header("retry-after"));
    assert_eq!(again, (Some("false"), None));
}

#[test]
fn one_model_behind_a_pattern_cools_down_without_the_others() {
    let picky = FakeUpstream::with(|request| {
        let model = request.json()["model"].clone();
        match model.as_str().unwrap_or_default() {
            "gone" => Script::error(404, "no such model"),
            "busy" => Script::rate_limited(60),
            _ => Script::answer(request),
        }
    });
    let other = FakeUpstream::start();
    let pattern = json!({"model": "openai/*"});
    let hale = Config::new()
        .with("openai/*", "picky", &picky, pattern.clone())
        .with("openai/*", "other", &other, json!({"model": "openai/*", "weight": 0}))
        .router(json!({"cooldown_time": 60}))
        .start();
    for model in ["openai/gone", "openai/busy"] {
        let before = picky.requests().len();
        for _ in 0..4 {
            assert_eq!(chat(&hale, model).header("x-litellm-model-id"), Some("other"), "{model}");
        }
        assert_eq!(picky.requests().len(), before + 1, "{model} is in cooldown there");
    }
    for _ in 0..4 {
        let answer = chat(&hale, "openai/fine");
        assert_eq!(answer.header("x-litellm-model-id"), Some("picky"), "the others do not");
    }
    assert_eq!(metric(&hale, "hale_deployment_resting", &[]), 0.0);
}

#[test]
fn one_refused_credential_stops_every_deployment_that_uses_it() {
    let up = FakeUpstream::with(|request| {
        let refused = request.header("authorization") == Some(&format!("Bearer {UPSTREAM_KEY}"));
        if refused { Script::error(401, "bad key") } else { Script::answer(request) }
    });
    let good = json!({"api_key": "sk-another-key-that-works-00"});
    let hale = Config::new()
        .deployment("m", "bad-1", &up)
        .deployment("m", "bad-2", &up)
        .deployment("m", "bad-3", &up)
        .with("m", "good", &up, good)
        .router(json!({"num_retries": 0, "cooldown_time": 60}))
        .start();
    for _ in 0..10 {
        assert_eq!(chat(&hale, "m").header("x-litellm-model-id"), Some("good"));
    }
    let refused = up.requests().len() - 10;
    assert!(refused <= 1, "the key was refused {refused} times");
    assert_eq!(metric(&hale, "hale_deployment_resting", &[]), 3.0);
}

#[test]
fn absurd_headers_are_named() {
    let up = FakeUpstream::start();
    let hale = lone(&up).start();
    let body = openai::chat_request("m", "hi");
    for (name, value) in [
        ("x-litellm-timeout", "-1"),
        ("x-litellm-timeout", "abc"),
        ("x-litellm-timeout", "1e9"),
        ("x-litellm-stream-timeout", "0"),
        ("x-litellm-num-retries", "-1"),
        ("x-litellm-num-retries", "1.5"),
        ("x-hale-explain", "maybe"),
    ] {
        let error =
            expect_error(&chat_with(&hale, &[(name, value)], &body), 400, "invalid_parameter");
        assert_eq!(error["param"], name);
    }
    assert!(up.requests().is_empty());
}

#[test]
fn clients_cannot_eject_a_deployment() {
    let (slow, good) = (FakeUpstream::with(|_| Script::silent()), FakeUpstream::start());
    let hale = pair(&slow, &good).router(json!({"allowed_fails": 0, "num_retries": 0})).start();
    let body = openai::chat_request("m", "hi");
    let mut impatient = client(&hale);
    for _ in 0..1_000 {
        let answer = impatient.post_json(CHAT, &[("x-litellm-timeout", "0.001")], &body);
        assert_eq!(answer.status, 408, "{}", answer.text());
    }
    for _ in 0..1_000 {
        assert_eq!(impatient.request("POST", CHAT, &[], b"{broken").status, 400);
    }
    for _ in 0..1_000 {
        let mut leaving = hale.client_with_key(KEY);
        leaving.send("POST", CHAT, &[], body.to_string().as_bytes()).unwrap();
        leaving.disconnect();
    }
    let stream = openai::stream_request("m", "hi");
    for _ in 0..1_000 {
        let headers = [("x-litellm-stream-timeout", "0.001")];
        let answer = impatient.post_json(CHAT, &headers, &stream);
        assert_eq!(answer.status, 408, "{}", answer.text());
    }
    let mut hasty = stream.clone();
    hasty["stream_timeout"] = json!(0.001);
    for _ in 0..1_000 {
        assert_eq!(impatient.post_json(CHAT, &[], &hasty).status, 408);
    }
    nothing_counted(&hale);
}

#[test]
fn a_stream_that_is_too_slow_for_its_client_alone_is_not_charged() {
    let pause = || {
        let events = openai::chunks("gpt-4o", &["one"]);
        Script::ok().stream().events(&events[..2]).silence()
    };
    let (slow, good) = (FakeUpstream::with(move |_| pause()), FakeUpstream::start());
    let hale = pair(&slow, &good).router(json!({"allowed_fails": 0, "num_retries": 0})).start();
    let mut hasty = openai::stream_request("m", "hi");
    hasty["stream_timeout"] = json!(0.2);
    for _ in 0..3 {
        let mut asking = client(&hale);
        let text = asking.stream(CHAT, &[], &hasty).text();
        assert!(text.contains("that the client allows"), "{text}");
        assert!(text.contains(r#""reason":"deadline_exceeded""#), "{text}");
    }
    nothing_counted(&hale);
}

fn nothing_counted(hale: &Hale) {
    wait_until_idle(hale);
    assert_eq!(metric(hale, "hale_deployment_resting", &[]), 0.0);
    assert_eq!(metric(hale, "hale_deployment_cooldowns_total", &[]), 0.0);
    let state = client(hale).get("/router/state").json();
    for one in state["deployments"].as_array().unwrap() {
        assert_eq!((&one["failures_in_a_row"], &one["in_flight"]), (&json!(0), &json!(0)));
        assert_eq!((&one["opens"], &one["opens_in_a_row"]), (&json!(0), &json!(0)));
        assert_eq!((&one["failure_penalty_ms"], &one["ramp"]), (&json!(0.0), &json!(1.0)));
        assert_eq!((&one["last_errors"], &one["state"]), (&json!([]), &json!("ready")));
        let failures = one["failures"].as_object().unwrap().keys();
        let blamed: Vec<_> = failures.filter(|cause| !cause.starts_with("client_")).collect();
        assert!(blamed.is_empty(), "{blamed:?}");
    }
}

#[test]
fn a_refusal_calls_no_upstream_and_names_the_first_end_of_all_cooldowns() {
    let long = FakeUpstream::with(|_| Script::rate_limited(290));
    let short = FakeUpstream::with(|_| Script::rate_limited(40));
    let config = (0..21).fold(Config::new(), |config, i| {
        let key = json!({"api_key": format!("sk-{i}-0123456789")});
        config.with("m", &format!("d{i}"), &long, key)
    });
    let hale = config
        .with("m", "short", &short, json!({"api_key": "sk-short-0123456789"}))
        .router(json!({"num_retries": 0}))
        .start();
    let refusal = crate::support::eventually("all are in cooldown", || {
        let answer = chat(&hale, "m");
        answer.text().contains("no_healthy_deployments").then_some(answer)
    });
    let asked = long.requests().len() + short.requests().len();
    assert_eq!(asked, 22, "each was asked once");
    assert_eq!(refusal.status, 429);
    let left: u64 = refusal.header("retry-after").unwrap().parse().unwrap();
    assert!((30..=40).contains(&left), "{left}");
    let error = expect_error(&chat(&hale, "m"), 429, "no_healthy_deployments");
    assert_eq!(error["deployments"].as_array().unwrap().len(), 20, "the list is cut");
    let page = client(&hale).get("/router/state").json();
    let of_short = page["deployments"].as_array().unwrap().last().unwrap().clone();
    let again: u64 = chat(&hale, "m").header("retry-after").unwrap().parse().unwrap();
    let until = of_short["retry_after_s"].as_u64().unwrap();
    assert!(again.abs_diff(until) <= 1, "{again} and {until}");
    assert_eq!(long.requests().len() + short.requests().len(), 22, "no upstream call");
}

#[test]
fn a_refusal_names_exactly_what_is_left_of_the_providers_time_and_calls_no_upstream() {
    // In milliseconds, so that a time rounded too early or too late is noticed.
    let (first, second) = (41_500, 77_000);
    let limited = |ms: u64| {
        FakeUpstream::with(move |_| {
            let script = Script::with_status(429).header("retry-after-ms", &ms.to_string());
            script.json(&openai::error("slow down", "requests", "rate_limit_exceeded"))
        })
    };
    let (one, two) = (limited(first), limited(second));
    let key = json!({"api_key": "sk-two-0123456789"});
    let hale = Config::new().deployment("m", "a", &one).with("m", "b", &two, key).start();
    let before = Stopwatch::start();
    expect_error(&chat(&hale, "m"), 429, "upstream_rate_limited");
    let after = Stopwatch::start();
    assert_eq!((one.requests().len(), two.requests().len()), (1, 1));
    let mut asking = client(&hale);
    for _ in 0..20 {
        let least = after.ms();
        let answer = asking.post_json(CHAT, &[], &openai::chat_request("m", "hi"));
        let most = before.ms();
        let error = expect_error(&answer, 429, "no_healthy_deployments");
        let left_s = |ms: u64, since_ms: u64| ms.saturating_sub(since_ms).div_ceil(1000);
        let named: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        // The clocks of the test and of the gateway may round one millisecond apart.
        let exact = left_s(first - 1, most)..=left_s(first + 1, least);
        assert!(exact.contains(&named), "{named} is not in {exact:?}");
        let shown = column(&error["deployments"], "retry_after_s");
        assert_eq!(shown.iter().filter_map(Value::as_u64).min(), Some(named));
        let longer = left_s(second - 1, most)..=left_s(second + 1, least);
        assert!(longer.contains(&shown[1].as_u64().unwrap()), "{shown:?} {longer:?}");
    }
    assert_eq!((one.requests().len(), two.requests().len()), (1, 1), "no upstream call");
    assert_eq!((one.state().opened(), two.state().opened()), (1, 1), "and no connection");
}

#[test]
fn no_fallback_at_all_means_none_for_unknown_names_too() {
    let up = FakeUpstream::start();
    let hale = lone(&up).router(json!({"default_fallbacks": ["m"], "max_fallbacks": 0})).start();
    expect_error(&chat(&hale, "zzz"), 400, "unknown_model");
    let body = openai::chat_request("zzz", "hi");
    let preview = client(&hale).post_json("/router/explain", &[], &body);
    expect_error(&preview, 400, "unknown_model");
    assert!(up.requests().is_empty());
}

#[test]
fn what_a_messages_request_needs_is_seen_too() {
    let (poor, rich) = (FakeUpstream::start(), FakeUpstream::start());
    let entry = |id: &str, up: &FakeUpstream, able: bool| {
        let window = if able { 10_000 } else { 50 };
        json!({"model_name": "m", "litellm_params": {"model": "openai/gpt-4o",
            "api_key": UPSTREAM_KEY, "api_base": up.api_base()},
            "model_info": {"id": id, "supports_vision": able, "supports_response_schema": able,
                           "max_input_tokens": window}})
    };
    let hale = Config::new()
        .entry(entry("poor", &poor, false))
        .entry(entry("rich", &rich, true))
        .router(json!({"enable_pre_call_checks": true}))
        .start();
    let image = json!([{"type": "image", "source":
        {"type": "base64", "media_type": "image/png", "data": "AAAA"}}]);
    let shape = json!({"format": {"type": "json_schema", "schema": {"type": "object"}}});
    for (name, value) in [
        ("messages", json!([{"role": "user", "content": image}])),
        ("output_config", shape),
        ("system", json!("word ".repeat(100))),
    ] {
        let mut body = json!({"model": "m", "max_tokens": 5,
            "messages": [{"role": "user", "content": "hi"}]});
        body[name] = value;
        for _ in 0..5 {
            let answer = client(&hale).post_json("/v1/messages", &[], &body);
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
        assert!(poor.requests().is_empty(), "{name} was not seen");
    }
}
