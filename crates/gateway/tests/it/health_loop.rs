//! The probe loop: what it bounds, what it merges, what it survives, and its events.

use std::time::Duration;

use hale_testkit::{FakeUpstream, Hale, Script};
use serde_json::{Value, json};

use crate::health::{background, counts, entry, health, wait_for_status};
use crate::support::{Config, chat, client, column, eventually, hale, lone, metric, now, within};

/// The changes of a deployment as `/router/state` shows them: from, to, cause, source.
fn changes(hale: &Hale, id: &str) -> Vec<String> {
    let state = client(hale).get("/router/state").json();
    let all = state["deployments"].as_array().unwrap();
    let one = all.iter().find(|one| one["id"] == id).unwrap();
    let text = |change: &Value| {
        ["from", "to", "cause", "source"]
            .map(|name| change[name].as_str().unwrap_or("-").to_owned())
            .join(" ")
    };
    one["changes"].as_array().unwrap().iter().map(text).collect()
}

fn routing(config: Config) -> Config {
    background(config).general(json!({"enable_health_check_routing": true}))
}

#[test]
fn many_workers_make_one_set_of_probes() {
    // Requirement H9.
    let upstreams: Vec<FakeUpstream> = (0..10).map(|_| FakeUpstream::start()).collect();
    let config = (0..50).fold(Config::new(), |config, i| {
        let key = json!({"api_key": format!("key-{i:010}")});
        config.with("m", &format!("d{i}"), &upstreams[i % 10], key)
    });
    let config = background(config).general(json!({"health_check_interval": 0.5}));
    let hale = hale().config(&config.text()).arg("--num_workers").arg("4").start();
    let sent = || upstreams.iter().map(|one| one.requests().len()).sum::<usize>();
    let all = |count: usize| {
        within(Duration::from_secs(60), "checks are made", || (sent() >= count).then(now))
    };
    let (from, began) = (sent(), all(100));
    let from = from.max(sent());
    let ended = all(from + 500);
    // At most 55 for 50 deployments in half a second.
    let intervals = ended.duration_since(began).as_secs_f64() / 0.5;
    assert!(500.0 / intervals <= 55.0, "500 checks in {intervals} intervals");
    assert_eq!(counts(&health(&hale, "").1), [50, 0, 0]);
}

#[test]
fn equal_probes_are_sent_once_and_count_for_all_their_deployments() {
    let upstream = FakeUpstream::start();
    let another = json!({"api_key": "another-key-0123"});
    let config = Config::new()
        .deployment("m", "one", &upstream)
        .deployment("n", "two", &upstream)
        .with("n", "three", &upstream, another);
    let hale = background(config).start();
    upstream.wait_for_requests(12);
    for id in ["one", "two", "three"] {
        wait_for_status(&hale, id, "healthy");
    }
    let probes = |id: &str| metric(&hale, "hale_deployment_probes_total", &[("deployment", id)]);
    let (two, sent, one) = (probes("two"), upstream.requests(), probes("one"));
    assert!(one >= two && one - two <= 1.0 && two >= 3.0, "{one} and {two}");
    let shared = sent.iter().filter(|it| !it.header("authorization").unwrap().contains("another"));
    #[allow(clippy::cast_precision_loss, reason = "a few")]
    let shared = shared.count() as f64;
    assert!((shared - two).abs() <= 1.5, "{shared} sent, and each counted as {two}");
    upstream.answer_with(|_| Script::error(401, "no"));
    for id in ["one", "two", "three"] {
        wait_for_status(&hale, id, "unhealthy");
    }
}

#[test]
fn silent_upstreams_take_no_more_than_the_places_there_are() {
    // Requirement H8.
    let silent: Vec<FakeUpstream> =
        (0..12).map(|_| FakeUpstream::with(|_| Script::silent())).collect();
    let config = silent.iter().enumerate().fold(Config::new(), |config, (i, upstream)| {
        config.deployment("m", &format!("d{i}"), upstream)
    });
    let hale = background(config).general(json!({"health_check_concurrency": 4})).start();
    let sent = || silent.iter().map(|one| one.requests().len()).sum::<usize>();
    eventually("the places are taken", || (sent() == 4).then_some(()));
    for _ in 0..50 {
        assert_eq!(metric(&hale, "hale_probes_in_flight", &[]), 4.0);
    }
    assert_eq!(sent(), 4, "the interval is long over");
    assert_eq!(counts(&health(&hale, "").1), [0, 0, 12]);
}

#[test]
fn the_probe_loop_restarts_after_a_panic_and_loses_nothing() {
    // Requirement H15.
    let (bad, good) = (FakeUpstream::with(|_| Script::error(401, "no")), FakeUpstream::start());
    let config = Config::new().deployment("m", "bad", &bad).deployment("m", "good", &good);
    let hale = routing(config).launch().env("HALE_FAIL_ON_PURPOSE", "health loop").start();
    hale.wait_for_line("thread 'health' panicked at");
    hale.wait_for_line("on purpose: health loop");
    hale.wait_for_line("the health thread failed by a fault of our own");
    assert_eq!(metric(&hale, "hale_panics_total", &[]), 1.0);
    // It continues: both get probes and verdicts.
    wait_for_status(&hale, "good", "healthy");
    wait_for_status(&hale, "bad", "unhealthy");
    let seen = good.requests().len();
    good.wait_for_requests(seen + 3);
    assert!(metric(&hale, "hale_probes_in_flight", &[]) <= 2.0, "the lost ones are not counted");
    assert!(metric(&hale, "hale_health_loop_age_seconds", &[]) <= 1.0);
    assert_eq!(metric(&hale, "hale_panics_total", &[]), 1.0, "and only once");
    assert_eq!(chat(&hale, "m").header("x-litellm-model-id"), Some("good"));
}

#[test]
fn a_probe_that_fails_by_the_gateways_fault_proves_nothing() {
    // Requirement H21.
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).launch().env("HALE_FAIL_ON_PURPOSE", "check").start();
    let (status, page) = health(&hale, "");
    assert_eq!((status, counts(&page)), (200, [0, 0, 1]));
    assert_eq!(entry(&page, "a").unwrap()["cause"], "probe_error");
    assert_eq!(metric(&hale, "hale_panics_total", &[]), 1.0);
    assert_eq!(metric(&hale, "hale_probes_in_flight", &[]), 0.0);
    assert_eq!(counts(&health(&hale, "").1), [1, 0, 0], "the next one works");
}

#[test]
fn every_change_is_an_event_on_the_page_once_in_the_log_and_counted() {
    let (sick, good) = (FakeUpstream::start(), FakeUpstream::start());
    let config = Config::new()
        .with("m", "a", &sick, json!({"weight": 1000, "cooldown_time": 3600}))
        .with("m", "b", &good, json!({"weight": 1}));
    let hale = routing(config)
        .general(json!({"health_check_staleness_threshold": 3600}))
        .launch()
        .arg("--detailed_debug")
        .start();
    let check = |request: &hale_testkit::Request| request.text().contains("test from litellm");
    wait_for_status(&hale, "a", "healthy");
    sick.answer_with(
        move |it| if check(it) { Script::error(403, "no") } else { Script::answer(it) },
    );
    wait_for_status(&hale, "a", "unhealthy");
    sick.answer_with(Script::answer);
    wait_for_status(&hale, "a", "healthy");
    // Traffic fails and probes succeed: it stays in cooldown.
    sick.answer_with(
        move |it| if check(it) { Script::answer(it) } else { Script::error(401, "no") },
    );
    eventually("traffic meets it", || {
        chat(&hale, "m");
        (changes(&hale, "a").len() == 4).then_some(())
    });
    let post = |act: &str| {
        client(&hale).post_json(&format!("/router/deployments/a/{act}"), &[], &json!({}))
    };
    post("disable");
    post("disable");
    post("enable");
    let expected = [
        "unchecked healthy - check",
        "healthy unhealthy permission check",
        "unhealthy healthy - check",
        "ready cooldown auth traffic",
        "enabled disabled - operator",
        "disabled enabled - operator",
    ];
    let seen = changes(&hale, "a");
    assert_eq!(seen[..6], expected, "{seen:?}");
    assert_eq!(metric(&hale, "hale_deployment_changes_total", &[("deployment", "a")]), 6.0);
    post("reset");
    let seen = changes(&hale, "a");
    let at_reset = ["cooldown ready - operator", "healthy unchecked - operator"];
    assert!(at_reset.iter().all(|one| seen.iter().any(|it| it == one)), "{seen:?}");
    let log = hale.stderr();
    for (line, times) in [("deployment is unhealthy", 1), ("deployment is in cooldown", 1)] {
        assert_eq!(log.matches(line).count(), times, "{line}: {log}");
    }
}

#[test]
fn a_verdict_that_grows_old_is_an_event_too() {
    let bad = FakeUpstream::with(|_| Script::error(401, "no"));
    let config = lone(&bad).general(json!({"health_check_staleness_threshold": 0.5}));
    let hale = routing(config.clone()).start();
    wait_for_status(&hale, "a", "unhealthy");
    hale.rewrite_config(&config.general(json!({"background_health_checks": false})).text());
    let line = hale.wait_for_line("deployment is unchecked");
    for part in ["stale", "from=\"unhealthy\"", "source=\"time\""] {
        assert!(line.contains(part), "{part} in {line}");
    }
    let seen = changes(&hale, "a");
    assert_eq!(seen, ["unchecked unhealthy auth check", "unhealthy unchecked stale time"]);
    let status = metric(&hale, "hale_deployment_check_status", &[("deployment", "a")]);
    assert_eq!(status, 0.0);
}

#[test]
fn what_was_found_out_with_another_credential_or_model_is_forgotten() {
    let upstream = FakeUpstream::with(|request| {
        if request.text().contains("gpt-old") {
            Script::error(404, "The model `gpt-old` does not exist")
        } else {
            Script::answer(request)
        }
    });
    let config =
        |model: &str| routing(Config::new().with("m", "a", &upstream, json!({"model": model})));
    let hale = config("openai/gpt-old").start();
    wait_for_status(&hale, "a", "unhealthy");
    hale.rewrite_config(&config("openai/gpt-new").text());
    wait_for_status(&hale, "a", "healthy");
    let seen = changes(&hale, "a");
    let expected = [
        "unchecked unhealthy not_found check",
        "unhealthy unchecked config_changed config",
        "unchecked healthy - check",
    ];
    assert_eq!(seen, expected);
}

#[test]
fn a_probe_begun_with_another_credential_decides_nothing() {
    let upstream = FakeUpstream::with(|request| {
        if request.header("authorization").is_some_and(|key| key.contains("the-old-one")) {
            Script::ok().wait("go").json(&hale_testkit::openai::chat_completion("gpt-4o", "hi"))
        } else {
            Script::error(401, "no")
        }
    });
    let with_key =
        |key: &str| routing(Config::new().with("m", "a", &upstream, json!({"api_key": key})));
    let hale = with_key("the-old-one-0123").start();
    upstream.wait_for(|state| state.waiting_at("go") == 1);
    hale.rewrite_config(&with_key("the-new-one-0123").text());
    wait_for_status(&hale, "a", "unhealthy");
    let (seen, answered) = (upstream.requests().len(), upstream.state().answered());
    upstream.release("go");
    upstream.wait_for(|state| state.answered() > answered && state.requests.len() >= seen + 3);
    wait_for_status(&hale, "a", "unhealthy");
    assert_eq!(changes(&hale, "a"), ["unchecked unhealthy auth check"]);
}

#[test]
fn one_failed_probe_on_demand_moves_no_traffic_of_background_probes() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream)
        .general(json!({"background_health_checks": true, "enable_health_check_routing": true,
                        "health_check_interval": 3600}))
        .start();
    assert_eq!(chat(&hale, "m").status, 200);
    upstream.answer_with(|_| Script::error(401, "no"));
    let test = || {
        let body = json!({"model_info": {"id": "a"}});
        client(&hale).post_json("/health/test_connection", &[], &body).json()
    };
    assert_eq!(test()["result"]["cause"], "auth");
    assert_eq!(counts(&health(&hale, "").1), [1, 0, 0], "one is no verdict");
    let state = client(&hale).get("/router/state").json();
    assert_eq!(state["deployments"][0]["state"], "ready");
    assert_eq!(test()["result"]["cause"], "auth");
    assert_eq!(counts(&health(&hale, "").1), [0, 1, 0], "two of these are");
}

#[test]
fn on_demand_too_a_credential_is_left_alone_until_its_time() {
    // Requirement H14.
    let upstream = FakeUpstream::with(|_| Script::rate_limited(60));
    let hale =
        lone(&upstream).with("m", "b", &upstream, json!({"model": "openai/gpt-4o-mini"})).start();
    let (status, page) = health(&hale, "?model_id=a");
    assert_eq!((status, counts(&page)), (200, [1, 0, 0]));
    for _ in 0..3 {
        let (_, page) = health(&hale, "");
        assert_eq!(counts(&page), [1, 0, 1]);
        let (a, b) = (entry(&page, "a").unwrap(), entry(&page, "b").unwrap());
        assert_eq!((&a["status"], &b["status"]), (&json!("rate_limited"), &json!("unchecked")));
        for one in [&a, &b] {
            assert_eq!(one["cause"], "rate_limited", "{one}");
            assert!(one["retry_after_s"].as_u64().is_some_and(|left| left >= 50), "{one}");
        }
    }
    assert_eq!(upstream.requests().len(), 1, "no further request");
    let body = json!({"model_info": {"id": "b"}});
    let test = client(&hale).post_json("/health/test_connection", &[], &body).json();
    assert_eq!(test["result"]["cause"], "rate_limited", "{test}");
    // For traffic only its own refusals count.
    upstream.answer_with(Script::answer);
    assert_eq!(chat(&hale, "m").status, 200);
}

#[test]
fn on_demand_too_the_budget_of_a_day_is_kept() {
    // Requirement H2.
    let upstream = FakeUpstream::start();
    // A probe of gpt-4o costs 9 * 2.5 + 7 * 10 millionths here.
    let hale = lone(&upstream).general(json!({"health_check_daily_budget_usd": 0.0002})).start();
    let statuses: Vec<Value> =
        (0..6).map(|_| entry(&health(&hale, "").1, "a").unwrap()["status"].clone()).collect();
    let paid = upstream.requests().iter().filter(|it| it.method == "POST").count();
    assert_eq!(paid, 2, "{statuses:?}");
    assert_eq!(statuses[..2], ["healthy", "healthy"].map(Value::from));
    assert_eq!(statuses[2..], ["reachable"; 4].map(Value::from));
    assert_eq!(column(&health(&hale, "").1["unhealthy_endpoints"], "model_id"), [""; 0]);
}

#[test]
fn a_connection_test_is_paid_from_the_budget_too_and_says_what_was_not_probed() {
    // Requirement H2.
    let upstream = FakeUpstream::start();
    // A probe of gpt-4o is estimated at 12 * 2.5 + 10 millionths.
    let hale = lone(&upstream).general(json!({"health_check_daily_budget_usd": 0.00005})).start();
    let params = json!({"model": "openai/gpt-4o", "api_key": "k-0123456789",
                        "api_base": upstream.api_base()});
    let test = |info: Value| {
        let body = json!({"litellm_params": params, "model_info": info});
        client(&hale).post_json("/health/test_connection", &[], &body).json()
    };
    assert_eq!(test(json!({}))["status"], "success");
    let beyond = test(json!({"health_check_prompt": "and again?"}));
    let paid = upstream.requests().iter().filter(|it| it.method == "POST").count();
    assert_eq!(paid, 1, "{beyond}");
    let result = &beyond["result"];
    assert_eq!((&beyond["status"], &result["cause"]), (&json!("error"), &json!("reachable")));
    assert!(result["error"].as_str().unwrap().contains("was not tested"), "{beyond}");
    // With `metadata` only the list of models is requested.
    let looked = test(json!({"health_check_kind": "metadata"}));
    assert_eq!((&looked["status"], &looked["result"]["cause"]), (&json!("success"), &Value::Null));
    // The page is paid from the same budget.
    assert_eq!(entry(&health(&hale, "").1, "a").unwrap()["status"], "reachable");
}
