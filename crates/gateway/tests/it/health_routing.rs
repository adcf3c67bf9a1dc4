//! Where traffic goes with routing by probes: filter, safety net, staleness, listings.

use hale_testkit::{FakeUpstream, Hale, Script};
use serde_json::{Value, json};

use crate::health::{background, entry, health, wait_for_status};
use crate::support::{Config, chat, client, column, eventually, listed, metric};

fn routing(config: Config) -> Config {
    background(config).general(json!({"enable_health_check_routing": true}))
}

/// `bad` would get nearly all of the traffic.
fn group(bad: &FakeUpstream, good: &FakeUpstream) -> Config {
    Config::new().with("m", "bad", bad, json!({"weight": 1000})).with(
        "m",
        "good",
        good,
        json!({"weight": 1}),
    )
}

/// Requests that are not probes.
fn traffic(upstream: &FakeUpstream) -> usize {
    upstream.requests().iter().filter(|it| !it.text().contains("test from litellm")).count()
}

fn by(hale: &Hale) -> String {
    let answer = chat(hale, "m");
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.header("x-litellm-model-id").unwrap().to_owned()
}

#[test]
fn a_deployment_that_fails_its_probes_gets_no_traffic_until_one_succeeds() {
    // Case 56.
    let (bad, good) = (FakeUpstream::with(|_| Script::error(401, "no")), FakeUpstream::start());
    let hale = routing(group(&bad, &good)).start();
    let entry = wait_for_status(&hale, "bad", "unhealthy");
    assert_eq!((&entry["cause"], &entry["exception_status"]), (&json!("auth"), &json!(401)));
    wait_for_status(&hale, "good", "healthy");
    for _ in 0..10 {
        assert_eq!(by(&hale), "good");
    }
    assert_eq!(traffic(&bad), 0);
    bad.answer_with(Script::answer);
    wait_for_status(&hale, "bad", "healthy");
    eventually("traffic comes back", || (by(&hale) == "bad").then_some(()));
}

#[test]
fn without_probe_routing_probes_are_only_shown() {
    let (bad, good) = (FakeUpstream::start(), FakeUpstream::start());
    bad.answer_with(|request| {
        if request.text().contains("test from litellm") {
            Script::error(500, "no checks, please")
        } else {
            Script::answer(request)
        }
    });
    let hale = background(group(&bad, &good)).start();
    wait_for_status(&hale, "bad", "unhealthy");
    assert!((0..10).any(|_| by(&hale) == "bad"));
}

#[test]
fn a_failed_probe_counts_towards_no_cooldown() {
    // Cases 60, 61.
    let (bad, good) = (FakeUpstream::start(), FakeUpstream::start());
    bad.answer_with(|request| {
        if request.text().contains("test from litellm") {
            Script::error(401, "no checks, please")
        } else {
            Script::answer(request)
        }
    });
    let policy = json!({"allowed_fails_policy": {"AuthenticationErrorAllowedFails": 0}});
    let hale = background(group(&bad, &good).router(policy)).start();
    wait_for_status(&hale, "bad", "unhealthy");
    bad.wait_for_requests(bad.requests().len() + 3);
    let state = client(&hale).get("/router/state").json();
    assert_eq!(state["deployments"][0]["state"], "ready", "{state}");
    assert!((0..10).any(|_| by(&hale) == "bad"));
}

#[test]
fn when_all_fail_their_probes_health_is_ignored_and_the_log_says_so() {
    // Case 57, requirement H16.
    let lying = || {
        FakeUpstream::with(|request| {
            if request.text().contains("test from litellm") {
                Script::error(500, "no checks, please")
            } else {
                Script::answer(request)
            }
        })
    };
    let (one, two) = (lying(), lying());
    let config = Config::new().deployment("m", "one", &one).deployment("m", "two", &two);
    // Good answers to traffic would be evidence; here only probes count until the first one.
    let hale = routing(config).general(json!({"health_check_staleness_threshold": 600})).start();
    wait_for_status(&hale, "one", "unhealthy");
    wait_for_status(&hale, "two", "unhealthy");
    let answer = chat(&hale, "m");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("x-hale-health-checks-ignored"), Some("true"));
    let line = hale.wait_for_line(
        "All deployments marked unhealthy by health checks, bypassing health filter",
    );
    assert!(line.contains("WARN"), "{line}");
    assert_eq!(metric(&hale, "hale_health_filter_bypassed_total", &[]), 1.0);
    for _ in 0..20 {
        assert_eq!(chat(&hale, "m").status, 200);
    }
}

#[test]
fn a_healthy_fallback_comes_before_an_unhealthy_group() {
    let (bad, good) = (FakeUpstream::with(|_| Script::error(401, "no")), FakeUpstream::start());
    let config = Config::new()
        .deployment("m", "bad", &bad)
        .deployment("f", "good", &good)
        .router(json!({"fallbacks": [{"m": ["f"]}]}));
    let hale = routing(config).start();
    wait_for_status(&hale, "bad", "unhealthy");
    assert_eq!(by(&hale), "good");
    assert_eq!(traffic(&bad), 0);
}

#[test]
fn a_deployment_that_is_called_by_its_id_is_called() {
    let (bad, good) = (FakeUpstream::with(|_| Script::error(401, "no")), FakeUpstream::start());
    let hale = routing(group(&bad, &good)).start();
    wait_for_status(&hale, "bad", "unhealthy");
    chat(&hale, "bad");
    assert_eq!(traffic(&bad), 1, "and no other one instead");
    assert_eq!(traffic(&good), 0);
}

#[test]
fn the_log_counts_healthy_deployments_after_each_probe() {
    let (bad, good) = (FakeUpstream::with(|_| Script::error(401, "no")), FakeUpstream::start());
    let config =
        group(&bad, &good).deployment("n", "third", &good).deployment("o", "fourth", &good);
    let config = config.with("o", "fifth", &good, json!({"api_key": "another-key-0123"}));
    let hale = routing(config).launch().arg("--detailed_debug").start();
    let line = hale.wait_for_line("health_check_routing_state_updated healthy=4 unhealthy=1");
    assert!(line.contains("DEBUG"), "{line}");
}

#[test]
fn each_change_is_logged_once_and_shown_with_its_cause() {
    let (bad, good) = (FakeUpstream::with(|_| Script::error(401, "no")), FakeUpstream::start());
    let hale = routing(group(&bad, &good)).start();
    wait_for_status(&hale, "bad", "unhealthy");
    let seen = bad.requests().len();
    bad.wait_for_requests(seen + 2);
    let said = hale.stderr().matches("deployment is unhealthy").count();
    assert_eq!(said, 1, "{}", hale.stderr());
    let state = client(&hale).get("/router/state").json();
    let check = state["deployments"][0]["check"].clone();
    assert_eq!((&check["status"], &check["cause"]), (&json!("unhealthy"), &json!("auth")));
    assert_eq!(column(&check["changes"], "to"), ["unhealthy"]);
    assert_eq!(state["deployments"][0]["state"], "unhealthy");
    let explained = client(&hale).post_json("/router/explain", &[], &json!({"model": "m"})).json();
    let states = column(&explained["groups"][0]["candidates"], "state");
    assert_eq!(states, ["ready", "unhealthy"], "{explained}");
}

#[test]
fn an_engine_that_hangs_behind_green_probes_is_ejected_after_three_attempts() {
    // Requirement H3.
    // Whether the model answers probes, or only its list of models does.
    hangs_behind("full", "healthy");
    hangs_behind("metadata", "reachable");
}

fn hangs_behind(kind: &str, status: &str) {
    let hung = FakeUpstream::with(|request| {
        if request.method == "GET" || request.text().contains("test from litellm") {
            Script::answer(request)
        } else {
            Script::silent()
        }
    });
    let traffic = |upstream: &FakeUpstream| {
        let sent = upstream.requests();
        let is_traffic = |it: &&hale_testkit::Request| {
            it.method == "POST" && !it.text().contains("test from litellm")
        };
        sent.iter().filter(is_traffic).count()
    };
    let good = FakeUpstream::start();
    let params = json!({
        "model": "openai/gpt-4o", "api_key": "k-0123456789", "api_base": hung.api_base(),
        "weight": 1000, "timeout": 0.3, "cooldown_time": 3600,
    });
    let info = json!({"id": "bad", "health_check_kind": kind});
    let config = Config::new()
        .entry(json!({"model_name": "m", "litellm_params": params, "model_info": info}))
        .with("m", "good", &good, json!({"weight": 1}));
    let hale = routing(config).start();
    wait_for_status(&hale, "bad", status);
    for _ in 0..12 {
        assert_eq!(chat(&hale, "m").status, 200);
    }
    assert!(traffic(&hung) <= 3, "{}", traffic(&hung));
    // Probes continue, succeed, and change nothing.
    let seen = hung.requests().len();
    hung.wait_for_requests(seen + 3);
    assert_eq!(by(&hale), "good");
    assert_eq!(entry(&health(&hale, "").1, "bad").unwrap()["cause"], "timeout");
    assert!(traffic(&hung) <= 3);
}

#[test]
fn a_rate_limited_probe_moves_no_traffic() {
    // Case 58.
    let (limited, good) = (FakeUpstream::start(), FakeUpstream::start());
    limited.answer_with(|request| {
        if request.text().contains("test from litellm") {
            Script::rate_limited(60)
        } else {
            Script::answer(request)
        }
    });
    let hale = routing(group(&limited, &good)).start();
    wait_for_status(&hale, "bad", "rate_limited");
    // An excluded member gets nothing at all.
    assert!((0..10).any(|_| by(&hale) == "bad"));
}

#[test]
fn transient_errors_may_be_ignored() {
    let silent = FakeUpstream::with(|request| {
        if request.text().contains("test from litellm") {
            Script::silent()
        } else {
            Script::answer(request)
        }
    });
    let good = FakeUpstream::start();
    let hale = routing(group(&silent, &good))
        .general(json!({"health_check_ignore_transient_errors": true}))
        .launch()
        .env("HEALTH_CHECK_TIMEOUT_SECONDS", "0.1")
        .start();
    silent.wait_for_requests(6);
    // An excluded member gets nothing at all.
    assert!((0..10).any(|_| by(&hale) == "bad"));
}

#[test]
fn an_old_verdict_excludes_nothing() {
    // Case 59.
    let (bad, good) = (FakeUpstream::with(|_| Script::error(401, "no")), FakeUpstream::start());
    let config = group(&bad, &good).general(json!({"health_check_staleness_threshold": 0.5}));
    let hale = routing(config.clone()).start();
    wait_for_status(&hale, "bad", "unhealthy");
    // Probes end with the config that enables them; the verdict ages out.
    hale.rewrite_config(&config.clone().general(json!({"background_health_checks": false})).text());
    eventually("traffic comes back", || (by(&hale) == "good" && traffic(&bad) > 0).then_some(()));
}

#[test]
fn listings_hide_only_what_is_known_to_be_down() {
    // Requirement H22.
    let (bad, good) = (FakeUpstream::with(|_| Script::error(401, "no")), FakeUpstream::start());
    let config = Config::new()
        .deployment("down", "one", &bad)
        .deployment("half", "two", &bad)
        .deployment("half", "three", &good)
        .deployment("up", "four", &good)
        .with("openai/*", "star", &bad, json!({"model": "openai/*"}))
        .router(json!({"model_group_alias": {"alias-of-down": "down"}}));
    let hale = background(config.clone()).start();
    let names = |hale: &Hale, query: &str| -> Vec<Value> {
        listed(&client(hale).get(&format!("/v1/models{query}")).json())
    };
    let all = ["alias-of-down", "down", "half", "openai/*", "up"].map(Value::from);
    assert_eq!(names(&hale, ""), all);
    wait_for_status(&hale, "one", "unhealthy");
    wait_for_status(&hale, "two", "unhealthy");
    assert_eq!(names(&hale, "?healthy_only=true"), ["half", "openai/*", "up"].map(Value::from));
    assert_eq!(names(&hale, ""), all);
    let hidden = background(config).general(json!({"model_list_healthy_only": true})).start();
    wait_for_status(&hidden, "one", "unhealthy");
    eventually("it is hidden", || (names(&hidden, "").len() == 3).then_some(()));
    assert_eq!(names(&hidden, "?healthy_only=false"), all);
    assert_eq!(chat(&hidden, "down").status, 401, "hidden, and still callable");
}

#[test]
fn only_the_named_groups_are_probed() {
    // Case 51.
    let (one, two) = (FakeUpstream::start(), FakeUpstream::start());
    let config = Config::new().deployment("m", "one", &one).deployment("n", "two", &two);
    let hale =
        background(config).general(json!({"background_health_check_model_groups": ["m"]})).start();
    one.wait_for_requests(3);
    assert!(two.requests().is_empty());
    let entry = entry(&health(&hale, "").1, "two").unwrap();
    assert_eq!(entry["cause"], "not_in_background_health_check_model_groups");
}

#[test]
fn a_removed_or_disabled_deployment_is_not_probed_any_more() {
    // Requirement H15.
    let (one, two) = (FakeUpstream::start(), FakeUpstream::start());
    let config = Config::new().deployment("m", "one", &one).deployment("m", "two", &two);
    let hale = background(config).start();
    wait_for_status(&hale, "one", "healthy");
    wait_for_status(&hale, "two", "healthy");
    client(&hale).post_json("/router/deployments/two/disable", &[], &json!({}));
    one.wait_for_requests(one.requests().len() + 2);
    let seen = two.requests().len();
    one.wait_for_requests(one.requests().len() + 4);
    assert_eq!(two.requests().len(), seen);
    assert_eq!(entry(&health(&hale, "").1, "two").unwrap()["cause"], "disabled_by_operator");
    hale.rewrite_config(&background(Config::new().deployment("m", "two", &two)).text());
    eventually("the other config is in force", || {
        entry(&health(&hale, "").1, "one").is_none().then_some(())
    });
    client(&hale).post_json("/router/deployments/two/enable", &[], &json!({}));
    let seen = one.requests().len();
    two.wait_for_requests(two.requests().len() + 3);
    assert!(one.requests().len() <= seen + 1, "at most the one under way");
}

#[test]
fn another_credential_is_another_deployment_and_the_verdict_is_gone() {
    let upstream = FakeUpstream::with(|request| {
        if request.header("authorization").is_some_and(|key| key.contains("the-good-one")) {
            Script::answer(request)
        } else {
            Script::error(401, "no")
        }
    });
    let with_key =
        |key: &str| routing(Config::new().with("m", "a", &upstream, json!({"api_key": key})));
    let hale = with_key("a-bad-one-0123").start();
    wait_for_status(&hale, "a", "unhealthy");
    hale.rewrite_config(&with_key("the-good-one-0123").text());
    wait_for_status(&hale, "a", "healthy");
}

#[test]
fn a_deployment_that_opted_out_is_never_probed_and_still_gets_traffic() {
    // Case 51.
    let (one, two) = (FakeUpstream::start(), FakeUpstream::start());
    let params =
        json!({"model": "openai/gpt-4o", "api_key": "k-0123456789", "api_base": two.api_base()});
    let info = json!({"id": "two", "disable_background_health_check": true});
    let config = Config::new()
        .deployment("m", "one", &one)
        .entry(json!({"model_name": "n", "litellm_params": params, "model_info": info}));
    let hale = routing(config).start();
    one.wait_for_requests(5);
    assert_eq!(two.requests().len(), 0);
    assert_eq!(chat(&hale, "n").status, 200);
    let before = one.requests().len();
    one.wait_for_requests(before + 3);
    assert_eq!(traffic(&two), two.requests().len(), "no check came after the request either");
    let page = health(&hale, "").1;
    let listed = entry(&page, "two").unwrap();
    assert_eq!((&listed["status"], &listed["cause"]), (&json!("disabled"), &json!("disabled")));
}
