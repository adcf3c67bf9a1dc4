//! The metrics page: its format, its numbers, and that no client adds to its labels.

use std::collections::BTreeMap;

use hale_testkit::{FakeUpstream, Script, openai};
use serde_json::json;

use crate::support::{CHAT, Config, chat, chat_with, client, expect_error, metric, scrape};

/// Every kind of label that Hale has no value for.
const EMPTY: [&str; 9] = [
    "hashed_api_key",
    "api_key_alias",
    "team",
    "team_alias",
    "org_id",
    "org_alias",
    "user",
    "user_email",
    "end_user",
];

#[test]
fn the_page_is_valid_in_openmetrics() {
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
        assert!(text.contains(&format!("# HELP {name} ")), "{name} has no help");
    }
    for line in text.lines().filter(|line| line.starts_with("# UNIT ")) {
        let mut words = line.split(' ').skip(2);
        let (name, unit) = (words.next().unwrap(), words.next().unwrap());
        assert!(name.ends_with(&format!("_{unit}")), "{line}");
    }
    let samples = scrape(&hale);
    let shown = |name: &str| {
        let kind = types.get(name).unwrap_or_else(|| panic!("{name} is missing"));
        let full = match kind.as_str() {
            "counter" => format!("{name}_total"),
            "histogram" => format!("{name}_count"),
            _ => name.to_owned(),
        };
        samples.iter().any(|it| it.name == full)
    };
    for name in [
        "hale_requests",
        "hale_request_duration_seconds",
        "hale_overhead_seconds",
        "hale_time_to_first_token_seconds",
        "hale_in_flight_requests",
        "hale_attempts",
        "hale_deployment_state",
        "litellm_proxy_total_requests_metric",
        "litellm_request_total_latency_metric",
        "litellm_llm_api_latency_metric",
        "litellm_llm_api_time_to_first_token_metric",
        "litellm_request_queue_time_seconds",
        "litellm_overhead_latency_metric",
        "litellm_spend_metric",
        "litellm_total_tokens_metric",
        "litellm_in_flight_requests",
        "litellm_deployment_state",
        "litellm_deployment_total_requests",
        "litellm_deployment_success_responses",
        "litellm_deployment_latency_per_output_token",
        "litellm_provider_remaining_budget_metric",
        "hale_build_info",
        "process_cpu_seconds",
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_start_time_seconds",
    ] {
        assert!(shown(name), "{name} has no sample");
    }
}

/// A family, labels of its samples, and what these add up to.
type Expected = (&'static str, &'static [(&'static str, &'static str)], f64);

/// What the next test's requests add up to under the names of the reference.
const OF_THE_REFERENCE: &[Expected] = &[
    ("litellm_deployment_failure_responses_total", &[("model_id", "bad")], 4.0),
    ("litellm_deployment_failure_responses_total", &[("exception_status", "500")], 5.0),
    (
        "litellm_deployment_failure_responses_total",
        &[("exception_class", "Openai.InternalServerError")],
        5.0,
    ),
    ("litellm_deployment_success_responses_total", &[("model_id", "good")], 4.0),
    ("litellm_deployment_total_requests_total", &[("model_id", "good")], 4.0),
    ("litellm_deployment_total_requests_total", &[("model_id", "bad")], 4.0),
    ("litellm_deployment_state", &[("model_id", "good")], 0.0),
    ("litellm_deployment_state", &[("model_id", "bad")], 1.0),
    ("litellm_proxy_total_requests_metric_total", &[("status_code", "200")], 4.0),
    ("litellm_proxy_total_requests_metric_total", &[("requested_model", "m")], 4.0),
    ("litellm_proxy_total_requests_metric_total", &[("requested_model", "lost")], 1.0),
    ("litellm_proxy_failed_requests_metric_total", &[], 1.0),
    ("litellm_proxy_failed_requests_metric_total", &[("exception_status", "500")], 1.0),
    ("litellm_proxy_failed_requests_metric_total", &[("route", CHAT)], 1.0),
    ("litellm_input_tokens_metric_total", &[("requested_model", "m")], 36.0),
    ("litellm_total_tokens_metric_total", &[("model_id", "good")], 64.0),
    ("litellm_request_total_latency_metric_count", &[], 4.0),
    ("litellm_llm_api_latency_metric_count", &[("model_id", "good")], 4.0),
    ("litellm_llm_api_time_to_first_token_metric_count", &[], 1.0),
    ("litellm_request_queue_time_seconds_count", &[], 4.0),
    ("litellm_deployment_latency_per_output_token_count", &[("api_provider", "openai")], 4.0),
];

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
        ("hale_input_tokens_total", vec![group], 36.0),
        ("hale_output_tokens_total", vec![group], 28.0),
        ("hale_request_duration_seconds_count", vec![group], 4.0),
        ("hale_overhead_seconds_count", vec![group], 4.0),
        ("hale_time_to_first_token_seconds_count", vec![group], 1.0),
        ("hale_deployment_in_flight", vec![], 0.0),
        ("hale_panics_total", vec![], 0.0),
    ];
    let expected = expected.iter().map(|(name, labels, number)| (*name, &labels[..], *number));
    for (name, labels, number) in expected.chain(OF_THE_REFERENCE.iter().copied()) {
        let found = value(name, labels);
        assert!((found - number).abs() < 1e-9, "{name} {labels:?}: {found}, not {number}");
    }
    for name in ["hale_spend_usd_total", "litellm_spend_metric_total"] {
        let spent = value(name, &[]);
        assert!((spent - 4.0 * 0.023).abs() < 1e-9, "{name}: {spent}");
    }
    for sample in scrape(&hale).iter().filter(|sample| sample.name.starts_with("litellm_")) {
        for label in EMPTY {
            assert!(sample.labels.get(label).is_none_or(String::is_empty), "{sample:?}");
        }
    }
}

#[test]
fn a_request_that_failed_counts_for_the_group_that_its_client_named() {
    let (bad, worse, good) = (FakeUpstream::start(), FakeUpstream::start(), FakeUpstream::start());
    bad.answer_with(|_| Script::error(503, "down"));
    worse.answer_with(|_| Script::error(500, "boom"));
    let hale = Config::new()
        .deployment("first", "bad", &bad)
        .deployment("second", "worse", &worse)
        .deployment("third", "good", &good)
        .deployment("fourth", "as bad", &bad)
        .router(json!({
            "disable_cooldowns": true, "num_retries": 0, "fallbacks": [{"first": ["second"]}, {"fourth": ["third"]}],
        }))
        .start();
    assert!(chat(&hale, "first").status >= 500);
    assert_eq!(chat(&hale, "fourth").status, 200);
    let value = |name: &str, labels: &[(&str, &str)]| metric(&hale, name, labels);
    let failed = "litellm_proxy_failed_requests_metric_total";
    assert_eq!(value(failed, &[("requested_model", "first")]), 1.0);
    assert_eq!(value(failed, &[]), 1.0);
    let error = ("ending", "error");
    assert_eq!(value("hale_requests_total", &[("model_group", "first"), error]), 1.0);
    assert_eq!(value("hale_requests_total", &[("model_group", "second"), error]), 0.0);
    assert_eq!(value("hale_responses_total", &[("model_group", "first"), ("status", "5xx")]), 1.0);
    let tried = "litellm_deployment_failed_fallbacks_total";
    let labels = [
        ("requested_model", "first"),
        ("fallback_model", "second"),
        ("exception_status", "503"),
        ("exception_class", "Openai.ServiceUnavailableError"),
    ];
    assert_eq!((value(tried, &labels), value(tried, &[])), (1.0, 1.0));
    let helped = "litellm_deployment_successful_fallbacks_total";
    let labels = [("requested_model", "fourth"), ("fallback_model", "third")];
    assert_eq!((value(helped, &labels), value(helped, &[])), (1.0, 1.0));
    let total = "litellm_proxy_total_requests_metric_total";
    assert_eq!(value(total, &[("model_id", "good"), ("status_code", "200")]), 1.0);
}

#[test]
fn requests_without_a_configured_model_are_other() {
    let upstream = FakeUpstream::start();
    let hale = Config::new().deployment("m", "a", &upstream).start();
    expect_error(&chat(&hale, "nosuch"), 400, "unknown_model");
    client(&hale).request("POST", CHAT, &[], b"{");
    hale.client_with_key("sk-wrong").request("POST", CHAT, &[], b"{}");
    hale.client_with_key("sk-wrong").request("GET", "/v1/models", &[], b"");
    let total = "litellm_proxy_total_requests_metric_total";
    let failed = "litellm_proxy_failed_requests_metric_total";
    for (status, class, count) in
        [("400", "BadRequestError", 2.0), ("401", "AuthenticationError", 1.0)]
    {
        let other = ("requested_model", "other");
        let (route, id) = (("route", CHAT), ("model_id", ""));
        assert_eq!(metric(&hale, total, &[other, route, id, ("status_code", status)]), count);
        let labels = [other, route, ("exception_status", status), ("exception_class", class)];
        assert_eq!(metric(&hale, failed, &labels), count, "{class}");
    }
    assert_eq!((metric(&hale, total, &[]), metric(&hale, failed, &[])), (3.0, 3.0));
}

#[test]
fn a_deployment_in_cooldown_is_in_full_outage_and_the_cooldown_has_its_status() {
    let upstream = FakeUpstream::start();
    upstream.answer_with(|_| Script::rate_limited(60));
    let hale = Config::new()
        .with("m", "a", &upstream, json!({"rpm": 100, "tpm": 20_000}))
        .router(json!({"num_retries": 0, "max_wait_s": 0}))
        .start();
    assert_eq!(chat(&hale, "m").status, 429);
    let value = |name: &str, labels: &[(&str, &str)]| metric(&hale, name, labels);
    assert_eq!(value("litellm_deployment_state", &[("model_id", "a")]), 2.0);
    assert_eq!(value("hale_deployment_state", &[("state", "cooldown")]), 1.0);
    assert!(value("hale_deployment_cooldown_remaining_seconds", &[]) > 50.0);
    let cooled = "litellm_deployment_cooled_down_total";
    assert_eq!(value(cooled, &[("model_id", "a"), ("exception_status", "429")]), 1.0);
    assert_eq!(value("litellm_deployment_rpm_limit", &[("model_group", "m")]), 100.0);
    assert_eq!(value("litellm_deployment_tpm_limit", &[("model_group", "m")]), 20_000.0);
}

#[test]
fn what_the_provider_says_is_left_is_shown() {
    let upstream = FakeUpstream::with(|_| {
        Script::ok()
            .header("x-ratelimit-remaining-requests", "59")
            .header("x-ratelimit-remaining-tokens", "149984")
            .json(&openai::chat_completion("gpt-4o", "x"))
    });
    let hale = Config::new().deployment("m", "a", &upstream).start();
    assert_eq!(chat(&hale, "m").status, 200);
    let of = [("model_group", "m"), ("model_id", "a")];
    assert_eq!(metric(&hale, "litellm_remaining_requests_metric", &of), 59.0);
    assert_eq!(metric(&hale, "litellm_remaining_tokens_metric", &of), 149_984.0);
}

#[test]
fn only_what_prometheus_metrics_config_names_is_shown_and_alike_series_are_added_up() {
    let upstream = FakeUpstream::start();
    let groups = json!([
        {"group": "tokens", "metrics": ["litellm_total_tokens_metric", "litellm_request_total_latency_metric"],
         "include_labels": ["requested_model"]},
        {"group": "requests", "metrics": ["litellm_proxy_total_requests_metric"],
         "include_labels": ["end_user", "client_ip", "user_agent"]},
    ]);
    let hale = Config::new()
        .deployment("m", "a", &upstream)
        .deployment("m", "b", &upstream)
        .litellm(
            json!({"prometheus_metrics_config": groups, "prometheus_latency_buckets": [1, 30]}),
        )
        .start();
    for number in 0..1_010 {
        let mut body = openai::chat_request("m", "hi");
        body["user"] = json!(format!("user-{number}"));
        assert_eq!(chat_with(&hale, &[("user-agent", "curl/8")], &body).status, 200);
    }
    let samples = scrape(&hale);
    let named = |name: &str| samples.iter().filter(|it| it.name == name).collect::<Vec<_>>();
    let tokens = named("litellm_total_tokens_metric_total");
    assert_eq!(tokens.len(), 1, "{tokens:?}");
    assert_eq!(tokens[0].value, 16.0 * 1_010.0);
    assert_eq!(tokens[0].labels.keys().collect::<Vec<_>>(), ["requested_model"]);
    let buckets = named("litellm_request_total_latency_metric_bucket");
    let bounds: Vec<_> = buckets.iter().map(|it| it.labels["le"].as_str()).collect();
    assert_eq!(bounds, ["1.0", "30.0", "+Inf"]);
    assert_eq!(buckets[2].value, 1_010.0);
    let requests = named("litellm_proxy_total_requests_metric_total");
    assert_eq!(requests.len(), 1_001, "the first thousand users, and the others");
    let of = |user: &str| requests.iter().find(|it| it.labels["end_user"] == user).unwrap();
    assert_eq!((of("user-999").value, of("other").value), (1.0, 10.0));
    assert_eq!(of("other").labels["client_ip"], "127.0.0.1");
    assert_eq!(of("other").labels["user_agent"], "curl/8");
    assert!(named("litellm_spend_metric_total").is_empty());
    assert!(!samples.iter().any(|it| it.name.starts_with("litellm_deployment_")));
    assert_eq!(metric(&hale, "hale_requests_total", &[("ending", "success")]), 1_010.0);
}

#[test]
fn labels_of_metadata_and_tags_are_those_that_the_operator_lists() {
    let upstream = FakeUpstream::start();
    let hale = Config::new()
        .deployment("m", "a", &upstream)
        .litellm(json!({
            "custom_prometheus_metadata_labels": ["metadata.cost.center"], "custom_prometheus_tags": ["prod", "team-*"],
        }))
        .start();
    let mut body = openai::chat_request("m", "hi");
    body["metadata"] = json!({"cost": {"center": "7"}, "tags": ["team-a"], "other": "never"});
    assert_eq!(chat_with(&hale, &[], &body).status, 200);
    assert_eq!(chat(&hale, "m").status, 200);
    let spent = "litellm_total_tokens_metric_total";
    let first = [("metadata_cost_center", "7"), ("tag_prod", "false"), ("tag_team__", "true")];
    let second = [("metadata_cost_center", ""), ("tag_prod", "false"), ("tag_team__", "false")];
    assert_eq!(metric(&hale, spent, &first), metric(&hale, spent, &second));
    assert!(metric(&hale, spent, &first) > 0.0);
    let page = client(&hale).get("/metrics").text();
    assert!(!page.contains("never"), "{page}");
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
    let mut before = 0;
    for number in 0..20 {
        // Series begin with the first request that they count.
        if number == 1 {
            before = scrape(&hale).len();
        }
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
