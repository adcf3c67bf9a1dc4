//! The metrics page: its format, its numbers, and that no client adds to its labels.

use std::collections::BTreeMap;

use hale_testkit::{FakeUpstream, Script, openai};
use serde_json::json;

use crate::support::{CHAT, Config, chat, chat_with, client, expect_error, metric, scrape};

#[test]
fn the_page_is_valid_and_every_family_shows_after_traffic() {
    let upstream = FakeUpstream::start();
    let prices = json!({"input_cost_per_token": 0.001, "output_cost_per_token": 0.002});
    let budget = json!({"openai": {"budget_limit": 100, "time_period": "1d"}});
    let hale = Config::new()
        .with("m", "a", &upstream, prices)
        .router(json!({"provider_budget_config": budget}))
        .litellm(json!({"callbacks": ["generic_api"]}))
        .launch()
        .env("GENERIC_LOGGER_ENDPOINT", &upstream.url())
        .start();
    assert_eq!(chat(&hale, "m").status, 200);
    client(&hale).stream(CHAT, &[], &openai::stream_request("m", "hi")).remaining();
    let accept = [("accept", "application/openmetrics-text;version=1.0.0;q=0.5,*/*;q=0.1")];
    let page = client(&hale).request("GET", "/metrics", &accept, b"");
    let kind = page.header("content-type").unwrap();
    assert_eq!(kind, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    let text = page.text();
    assert!(text.ends_with("# EOF\n"), "openmetrics ends with EOF");
    let mut types = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with("# TYPE ")) {
        let mut words = line.split(' ').skip(2);
        let (name, kind) = (words.next().unwrap(), words.next().unwrap());
        assert!(types.insert(name.to_owned(), kind.to_owned()).is_none(), "{name} twice");
    }
    let samples = scrape(&hale);
    for (name, kind) in &types {
        let full = match kind.as_str() {
            "counter" => format!("{name}_total"),
            "histogram" => format!("{name}_count"),
            _ => name.clone(),
        };
        assert!(samples.iter().any(|it| it.name == full), "{name} has no sample");
        assert!(text.contains(&format!("# HELP {name} ")), "{name} has no help");
    }
    let promised = [
        "hale_requests",
        "hale_request_duration_seconds",
        "hale_overhead_seconds",
        "hale_time_to_first_token_seconds",
        "hale_in_flight_requests",
        "hale_attempts",
        "litellm_deployment_success_responses",
        "litellm_request_total_latency_metric",
        "hale_build_info",
        "process_cpu_seconds",
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_start_time_seconds",
    ];
    for name in promised {
        assert!(types.contains_key(name), "{name} is missing");
    }
}

#[test]
fn numbers_match_what_happened() {
    let (bad, good) = (FakeUpstream::start(), FakeUpstream::start());
    bad.answer_with(|_| Script::error(500, "boom"));
    let prices = json!({
        "weight": 0, "input_cost_per_token": 0.001, "output_cost_per_token": 0.002,
    });
    let hale = Config::new()
        .with("m", "bad", &bad, json!({"weight": 1}))
        .with("m", "good", &good, prices)
        .deployment("lost", "lost", &bad)
        .router(json!({
            "disable_cooldowns": true, "num_retries": 1, "fallbacks": [{"lost": ["m"]}], "retry_after": 0,
        }))
        .start();
    for _ in 0..3 {
        assert_eq!(chat(&hale, "m").status, 200);
    }
    client(&hale).stream(CHAT, &[], &openai::stream_request("m", "hi")).remaining();
    let mut body = openai::chat_request("lost", "hi");
    body["num_retries"] = json!(0);
    body["disable_fallbacks"] = json!(true);
    expect_error(&chat_with(&hale, &[], &body), 500, "upstream_failed");
    let value = |name: &str, labels: &[(&str, &str)]| metric(&hale, name, labels);
    let group = ("model_group", "m");
    let expected = [
        ("hale_requests_total", vec![group, ("ending", "success")], 4.0),
        ("hale_requests_total", vec![group, ("ending", "error")], 0.0),
        ("hale_requests_total", vec![("model_group", "lost"), ("ending", "error")], 1.0),
        ("hale_responses_total", vec![group, ("status", "2xx")], 4.0),
        ("hale_responses_total", vec![("model_group", "lost"), ("status", "5xx")], 1.0),
        ("hale_retries_total", vec![group], 4.0),
        ("hale_attempts_total", vec![("deployment", "bad"), ("outcome", "server_error")], 4.0),
        ("hale_attempts_total", vec![("deployment", "good"), ("outcome", "success")], 4.0),
        ("litellm_deployment_failure_responses_total", vec![("deployment", "bad")], 4.0),
        ("litellm_deployment_success_responses_total", vec![("deployment", "good")], 4.0),
        ("hale_input_tokens_total", vec![group], 36.0),
        ("hale_output_tokens_total", vec![group], 28.0),
        ("hale_request_duration_seconds_count", vec![group], 4.0),
        ("hale_overhead_seconds_count", vec![group], 4.0),
        ("hale_time_to_first_token_seconds_count", vec![group], 1.0),
        ("hale_deployment_in_flight", vec![], 0.0),
        ("hale_panics_total", vec![], 0.0),
    ];
    for (name, labels, number) in expected {
        let found = value(name, &labels);
        assert!((found - number).abs() < 1e-9, "{name} {labels:?}: {found}, not {number}");
    }
    let spent = value("hale_spend_usd_total", &[group]);
    assert!((spent - 4.0 * 0.023).abs() < 1e-9, "{spent}");
}

#[test]
fn every_histogram_ends_with_the_bucket_that_holds_all() {
    let upstream = FakeUpstream::start();
    let hale = Config::new().deployment("m", "a", &upstream).start();
    assert_eq!(chat(&hale, "m").status, 200);
    let samples = scrape(&hale);
    let counts: Vec<_> = samples.iter().filter(|it| it.name.ends_with("_seconds_count")).collect();
    assert!(!counts.is_empty());
    for count in counts {
        let name = count.name.replace("_count", "_bucket");
        let same = |it: &&crate::support::Sample| {
            it.name == name && it.labels.get("model_group") == count.labels.get("model_group")
        };
        let last = samples.iter().filter(same).find(|it| it.labels["le"] == "+Inf");
        assert_eq!(last.map(|it| it.value), Some(count.value), "{count:?}");
        let bounds = samples.iter().filter(same).map(|it| it.labels["le"].clone());
        let bounds: Vec<f64> = bounds.map(|it| it.parse().unwrap()).collect();
        assert!(bounds.is_sorted(), "{bounds:?}");
    }
}

#[test]
fn no_label_comes_from_a_client() {
    let upstream = FakeUpstream::start();
    let hale =
        Config::new().with("openai/*", "star", &upstream, json!({"model": "openai/*"})).start();
    let before = scrape(&hale).len();
    for number in 0..20 {
        assert_eq!(chat(&hale, &format!("openai/minted-{number}")).status, 200);
        expect_error(&chat(&hale, &format!("minted-{number}")), 400, "unknown_model");
        client(&hale).get(&format!("/minted/{number}"));
        client(&hale).request("MINTED", "/v1/models", &[("user-agent", "minted")], b"");
    }
    let after = scrape(&hale);
    let minted =
        |it: &&crate::support::Sample| it.labels.values().any(|value| value.contains("minted"));
    assert_eq!(after.iter().find(minted).map(|it| format!("{it:?}")), None);
    assert_eq!(after.len(), before, "the page grew");
    assert_eq!(metric(&hale, "hale_requests_total", &[("model_group", "openai/*")]), 20.0);
}

#[test]
fn a_request_in_flight_is_counted_while_it_is() {
    let upstream = FakeUpstream::with(|_| {
        Script::ok().wait("go").json(&openai::chat_completion("gpt-4o", "x"))
    });
    let hale = Config::new().deployment("m", "a", &upstream).start();
    let mut own = client(&hale);
    let body = openai::chat_request("m", "hi").to_string();
    own.send("POST", CHAT, &[], body.as_bytes()).unwrap();
    upstream.wait_for(|state| state.waiting_at("go") == 1);
    // The scrape itself is the second.
    assert_eq!(metric(&hale, "hale_in_flight_requests", &[]), 2.0);
    assert_eq!(metric(&hale, "hale_deployment_in_flight", &[("deployment", "a")]), 1.0);
    upstream.release("go");
    assert_eq!(own.read_response().unwrap().status, 200);
    crate::support::wait_until_idle(&hale);
}

#[test]
fn odd_names_from_a_config_are_escaped() {
    let upstream = FakeUpstream::start();
    let hale = Config::new().deployment("a\"b\\c", "the-id", &upstream).start();
    let page = client(&hale).get("/metrics").text();
    assert!(page.contains(r#"model_group="a\"b\\c""#), "{page}");
    assert!(page.lines().all(|line| line.starts_with('#') || line.rsplit_once(' ').is_some()));
}

/// What `promtool check metrics` complains of in Prometheus' text format.
fn complaints(text: &str) -> Vec<String> {
    let comment = |line: &str, kind: &str| {
        let tail = line.strip_prefix("# ")?.strip_prefix(kind)?.strip_prefix(' ')?;
        tail.split_once(' ').map(|(name, tail)| (name.to_owned(), tail.to_owned()))
    };
    let of = |kind: &str| {
        text.lines().filter_map(|line| comment(line, kind)).collect::<BTreeMap<_, _>>()
    };
    let (helps, types) = (of("HELP"), of("TYPE"));
    let mut found = Vec::new();
    for (name, kind) in &types {
        if helps.get(name).is_none_or(String::is_empty) {
            found.push(format!("{name}: no help text"));
        }
        if (kind == "counter") != name.ends_with("_total") {
            found.push(format!("{name}: a {kind}"));
        }
        let ends = ["_bucket", "_count", "_sum"].iter().any(|end| name.ends_with(end));
        let short = ["ms", "us", "sec", "kb", "mb", "gb", "h", "d"];
        let has_short = name.split('_').any(|word| short.contains(&word));
        if ends || has_short || name.contains(':') || name.chars().any(char::is_uppercase) {
            found.push(format!("{name}: its name"));
        }
    }
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap_or_default();
        let family = ["_bucket", "_count", "_sum"].iter().find_map(|end| {
            let family = name.strip_suffix(end)?;
            (types.get(family)? == "histogram").then_some(family)
        });
        if !types.contains_key(family.unwrap_or(name)) {
            found.push(format!("{name}: no type"));
        }
    }
    let comments = text.lines().filter(|line| line.starts_with('#'));
    found.extend(
        comments
            .filter(|line| !line.starts_with("# HELP ") && !line.starts_with("# TYPE "))
            .map(str::to_owned),
    );
    found
}

#[test]
fn without_openmetrics_in_accept_the_page_is_prometheus_text_that_promtool_accepts() {
    let upstream = FakeUpstream::start();
    let hale = Config::new().deployment("m", "a", &upstream).start();
    assert_eq!(chat(&hale, "m").status, 200);
    for accept in ["", "*/*", "text/plain;version=0.0.4", "text/html,*/*;q=0.8"] {
        let page = client(&hale).request("GET", "/metrics", &[("accept", accept)], b"");
        let kind = page.header("content-type");
        assert_eq!(kind, Some("text/plain; version=0.0.4; charset=utf-8"), "{accept:?}");
        assert_eq!(complaints(&page.text()), Vec::<String>::new());
    }
    assert_eq!(metric(&hale, "hale_requests_total", &[("ending", "success")]), 1.0);
    let version = [("version", env!("CARGO_PKG_VERSION")), ("litellm_version", "1.106.2")];
    assert_eq!(metric(&hale, "hale_build_info", &version), 1.0);
    assert!(metric(&hale, "process_resident_memory_bytes", &[]) > 1e6);
}
