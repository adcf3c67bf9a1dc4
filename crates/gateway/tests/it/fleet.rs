//! Several gateways that share what they learn, over a private redis-server.

use std::collections::HashSet;

use hale_testkit::{FakeUpstream, Hale, Redis, Script};
use serde_json::{Value, json};

use crate::support::{Config, chat, client, eventually, lone, metric, pair};

fn at(config: Config, redis: &Redis) -> Config {
    config
        .router(json!({"redis_url": redis.url()}))
        .general(json!({"use_shared_health_check": true}))
}

pub(crate) fn status(hale: &Hale) -> Value {
    client(hale).get("/health/shared-status").json()["status"].clone()
}

pub(crate) fn until_they_know_each_other(replicas: &[&Hale]) {
    for hale in replicas {
        eventually("each replica hears the others", || {
            (status(hale)["replicas"] == replicas.len()).then_some(())
        });
    }
}

pub(crate) fn deployment(hale: &Hale, id: &str) -> Value {
    let state = client(hale).get("/router/state").json();
    let all = state["deployments"].as_array().unwrap();
    all.iter().find(|one| one["id"] == id).unwrap().clone()
}

pub(crate) fn in_cooldown(hale: &Hale, id: &str) -> Value {
    eventually("it is in cooldown there too", || {
        let one = deployment(hale, id);
        (one["state"] == "cooldown").then_some(one)
    })
}

#[test]
fn a_deadline_that_one_replica_is_told_holds_on_the_others_until_the_same_moment() {
    let redis = Redis::start();
    let upstream = FakeUpstream::start();
    let config = at(lone(&upstream), &redis).router(json!({"num_retries": 0, "max_wait_s": 0}));
    let (one, two) = (config.start(), config.start());
    until_they_know_each_other(&[&one, &two]);
    upstream.answer_with(|_| Script::rate_limited(60));
    assert_eq!(chat(&one, "m").status, 429);
    let (here, there) = (in_cooldown(&one, "a"), in_cooldown(&two, "a"));
    assert_eq!(
        (&there["cause"], &there["provider_issued"]),
        (&json!("rate_limited"), &json!(true))
    );
    let until = |one: &Value| one["until"].as_i64().unwrap();
    assert!((until(&here) - until(&there)).abs() <= 1, "{here} {there}");
    // The other one calls no upstream.
    upstream.answer_with(Script::answer);
    let before = upstream.requests().len();
    let refused = chat(&two, "m");
    assert_eq!((refused.status, upstream.requests().len()), (429, before));
    assert!(refused.header("retry-after").unwrap().parse::<u64>().unwrap() > 50);
    two.wait_for_line("source=\"fleet\"");
    // A replica that starts now is told as well.
    let three = config.start();
    in_cooldown(&three, "a");
}

#[test]
fn a_429_that_replicas_of_litellm_noted_holds_here_where_the_config_says_so() {
    let redis = Redis::start();
    let (bad, good) = (FakeUpstream::start(), FakeUpstream::start());
    let config = at(pair(&bad, &good), &redis).router(json!({"read_litellm_cooldowns": true}));
    let note = |id: &str, status: u16| {
        let text = format!(
            "{{'exception_received': 'litellm.RateLimitError: \"slow\"', 'status_code': '{status}', \
             'timestamp': 1800000000.5, 'cooldown_time': 40}}"
        );
        redis.call(&["SET", &format!("deployment:{id}:cooldown"), &text, "PX", "30000"]);
    };
    note("good", 500);
    let hale = config.start();
    eventually("it is shared", || (status(&hale)["mode"] == "shared").then_some(()));
    note("bad", 429);
    let closed = in_cooldown(&hale, "bad");
    assert_eq!(
        (&closed["cause"], &closed["provider_issued"]),
        (&json!("rate_limited"), &json!(true))
    );
    assert_eq!(
        deployment(&hale, "good")["state"],
        "ready",
        "what else failed there is no evidence"
    );
    assert_eq!(chat(&hale, "m").status, 200);
    assert_eq!((bad.requests().len(), good.requests().len()), (0, 1));
}

#[test]
fn a_reset_on_one_replica_is_one_on_all() {
    let redis = Redis::start();
    let upstream = FakeUpstream::with(|_| Script::rate_limited(60));
    let config = at(lone(&upstream), &redis).router(json!({"num_retries": 0, "max_wait_s": 0}));
    let (one, two) = (config.start(), config.start());
    until_they_know_each_other(&[&one, &two]);
    chat(&one, "m");
    in_cooldown(&two, "a");
    let reset = client(&two).post_json("/router/deployments/a/reset", &[], &json!({}));
    assert_eq!(reset.status, 200);
    eventually("it is reset on the first one", || {
        (deployment(&one, "a")["state"] == "ready").then_some(())
    });
    assert_eq!(deployment(&two, "a")["state"], "ready");
}

#[test]
fn one_replica_that_cannot_reach_a_provider_ejects_it_for_no_other() {
    let redis = Redis::start();
    let (bad, good) = (FakeUpstream::start(), FakeUpstream::start());
    let config = at(pair(&bad, &good), &redis).router(json!({"cooldown_time": 60}));
    let (one, two) = (config.start(), config.start());
    until_they_know_each_other(&[&one, &two]);
    bad.answer_with(|_| Script::ok().reset());
    for _ in 0..3 {
        assert_eq!(chat(&one, "m").status, 200);
    }
    in_cooldown(&one, "bad");
    eventually("the other one doubts it", || {
        let there = deployment(&two, "bad");
        (there["ramp"] == 0.75).then_some(())
    });
    assert_eq!(deployment(&two, "bad")["state"], "ready");
}

#[test]
fn a_redis_that_hangs_delays_no_request_and_is_used_again_when_it_goes_on() {
    let redis = Redis::start();
    let upstream = FakeUpstream::start();
    let hale = at(lone(&upstream), &redis).start();
    eventually("it is shared", || (status(&hale)["mode"] == "shared").then_some(()));
    assert_eq!(metric(&hale, "hale_fleet_shared", &[]), 1.0);
    redis.signal("-STOP");
    for _ in 0..20 {
        assert_eq!(chat(&hale, "m").status, 200);
    }
    let local = eventually("it goes on by itself", || {
        let status = status(&hale);
        (status["mode"] == "local").then_some(status)
    });
    assert_eq!(local["redis_available"], false);
    eventually("it says why", || status(&hale)["error"].as_str().map(str::to_owned));
    hale.wait_for_line("does not answer");
    assert_eq!(chat(&hale, "m").status, 200);
    assert_eq!(metric(&hale, "hale_fleet_shared", &[]), 0.0);
    eventually("no call is made", || {
        (metric(&hale, "hale_fleet_breaker_open", &[]) == 1.0).then_some(())
    });
    redis.signal("-CONT");
    eventually("it is shared again", || (status(&hale)["mode"] == "shared").then_some(()));
    assert_eq!(metric(&hale, "hale_fleet_breaker_open", &[]), 0.0);
}

#[test]
fn garbage_under_our_keys_is_left_out_and_a_flush_is_made_good() {
    let redis = Redis::start();
    let upstream = FakeUpstream::start();
    let config = at(lone(&upstream), &redis);
    let (one, two) = (config.start(), config.start());
    until_they_know_each_other(&[&one, &two]);
    let replicas = redis.keys("hale:*").into_iter().find(|key| key.ends_with(":replicas")).unwrap();
    let prefix = replicas.trim_end_matches("replicas");
    redis.call(&["PUBLISH", &format!("{prefix}news"), "\u{1}not json"]);
    redis.call(&["PUBLISH", &format!("{prefix}news"), "{\"v\":1}"]);
    redis.call(&["SET", &format!("{prefix}replica:x"), "[[[["]);
    redis.call(&["LPUSH", &format!("{prefix}replica:y"), "1"]);
    redis.call(&["ZADD", &replicas, "9999999999999", "x", "9999999999998", "y"]);
    redis.call(&["DEL", &replicas]);
    redis.call(&["SET", &replicas, "a string"]);
    until_they_know_each_other(&[&one, &two]);
    eventually("it is counted", || {
        (metric(&one, "hale_fleet_garbage_total", &[]) >= 2.0).then_some(())
    });
    redis.call(&["FLUSHALL"]);
    eventually("both are registered again", || (redis.keys("hale:*").len() >= 3).then_some(()));
    until_they_know_each_other(&[&one, &two]);
    upstream.answer_with(|_| Script::rate_limited(60));
    chat(&one, "m");
    in_cooldown(&two, "a");
}

#[test]
fn a_wrong_password_is_told_with_the_fix_and_without_the_password() {
    let redis = Redis::with(&["--requirepass", "the-right-one-7777"]);
    let upstream = FakeUpstream::start();
    let wrong = "the-wrong-one-8888";
    let config = at(lone(&upstream), &redis).router(json!({"redis_password": wrong}));
    let hale = config.start();
    hale.wait_for_line("set the password that the server expects");
    assert_eq!(chat(&hale, "m").status, 200);
    assert!(!hale.stderr().contains(wrong));
    assert_eq!(status(&hale)["mode"], "local");
    let right = at(lone(&upstream), &redis).router(json!({"redis_password": "the-right-one-7777"}));
    let hale = right.start();
    eventually("it is shared", || (status(&hale)["mode"] == "shared").then_some(()));
}

#[test]
fn three_replicas_together_keep_a_rate_but_for_one_share() {
    let redis = Redis::start();
    let upstream = FakeUpstream::start();
    let config = Config::new().with("m", "a", &upstream, json!({"rpm": 30}));
    let config = at(config, &redis)
        .router(json!({"enable_pre_call_checks": true, "num_retries": 0, "max_wait_s": 0}));
    let replicas = [config.start(), config.start(), config.start()];
    until_they_know_each_other(&replicas.each_ref());
    let share = |hale| metric(hale, "hale_deployment_rpm_share", &[("deployment", "a")]);
    eventually("each has a share", || (share(&replicas[0]) < 30.0).then_some(()));
    let mut served = 0;
    for _ in 0..40 {
        served += replicas.iter().filter(|hale| chat(hale, "m").status == 200).count();
    }
    assert!((5..=40).contains(&served), "{served} of a limit of 30");
    assert_eq!(upstream.requests().len(), served);
}

#[test]
fn without_redis_the_status_says_so() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).start();
    let page = client(&hale).get("/health/shared-status").json();
    let off = json!({"shared_health_check_enabled": false,
                     "message": "Shared health check is not enabled"});
    assert_eq!(page, off);
    let asked = lone(&upstream).general(json!({"use_shared_health_check": true})).start();
    let page = client(&asked).get("/health/shared-status").json();
    let none = json!({"shared_health_check_enabled": true, "redis_available": false,
                      "message": "Redis is not configured"});
    assert_eq!(page, none);
}

/// Deployments with different models, so that each has a probe of its own.
fn probed(redis: &Redis, upstream: &FakeUpstream, count: usize) -> Config {
    at(with_probes(upstream, count), redis)
}

/// The same without anything between the replicas.
pub(crate) fn with_probes(upstream: &FakeUpstream, count: usize) -> Config {
    let mut config = Config::new();
    for number in 0..count {
        let model = json!({"model": format!("openai/gpt-{number}")});
        config = config.with("m", &format!("d{number}"), upstream, model);
    }
    config.general(json!({
        "background_health_checks": true, "health_check_interval": 300,
        "enable_health_check_routing": true,
    }))
}

pub(crate) fn healthy(hale: &Hale) -> usize {
    client(hale).get("/health").json()["healthy_count"].as_u64().unwrap().try_into().unwrap()
}

#[test]
fn replicas_cost_one_set_of_probes_and_know_all_results() {
    let redis = Redis::start();
    let upstream = FakeUpstream::start();
    let config = probed(&redis, &upstream, 8);
    let replicas = [config.start(), config.start(), config.start()];
    for hale in &replicas {
        eventually("each replica knows all results", || (healthy(hale) == 8).then_some(()));
    }
    until_they_know_each_other(&replicas.each_ref());
    assert!(upstream.requests().len() <= 10, "{} probes", upstream.requests().len());
    let holders = eventually("every lease has a holder", || {
        let holders = status(&replicas[0])["holders"].as_array().cloned().unwrap_or_default();
        (holders.len() == 8).then_some(holders)
    });
    let pods: Vec<Value> = replicas.iter().map(|hale| status(hale)["pod_id"].clone()).collect();
    assert!(holders.iter().all(|one| pods.contains(&one["pod_id"])), "{holders:?} {pods:?}");
    let held = |hale| metric(hale, "hale_fleet_leases_held", &[]);
    eventually("each lease has one holder", || {
        (replicas.iter().map(held).sum::<f64>() == 8.0).then_some(())
    });
    for hale in &replicas {
        assert_eq!(metric(hale, "hale_fleet_replicas", &[]), 3.0);
        assert!(metric(hale, "hale_fleet_messages_sent_total", &[]) >= 1.0);
        assert!(metric(hale, "hale_fleet_messages_received_total", &[]) >= 2.0);
        assert!(metric(hale, "hale_fleet_last_message_age_seconds", &[]) < 15.0);
    }
    let names: HashSet<&str> = holders.iter().filter_map(|one| one["name"].as_str()).collect();
    assert_eq!(names.len(), 8, "each has a name of its own: {holders:?}");
    assert!(holders.iter().all(|one| (1..=60).contains(&one["expires_in_s"].as_u64().unwrap())));
    let page = status(&replicas[1]);
    assert!(
        pods.contains(&page["lock_owner"]) && pods.contains(&page["last_checked_by"]),
        "{page}"
    );
    assert_eq!((&page["cache_available"], &page["mode"]), (&json!(true), &json!("shared")));
    assert_eq!(page["through"], "redis");
    assert_eq!(status(&replicas[1])["pod_id"], pods[1], "it stays the same");
}

#[test]
fn the_probes_of_a_replica_that_is_killed_are_taken_over_before_it_counts_as_gone() {
    let redis = Redis::start();
    let upstream = FakeUpstream::start();
    let config = probed(&redis, &upstream, 6);
    let start = || config.launch().env("DEFAULT_SHARED_HEALTH_CHECK_LOCK_TTL", "3").start();
    let (one, two) = (start(), start());
    until_they_know_each_other(&[&one, &two]);
    let killed = status(&one)["pod_id"].clone();
    one.signal(hale_testkit::Signal::Kill);
    // Two periods are 6 s; a replica counts as gone after 15 s.
    eventually("the other one holds all", || {
        let status = status(&two);
        let holders = status["holders"].as_array().cloned().unwrap_or_default();
        let all = holders.len() == 6 && holders.iter().all(|one| one["pod_id"] != killed);
        (all && status["replicas"] == 2).then_some(())
    });
}

#[test]
fn what_stands_in_a_lease_and_is_no_replica_is_no_owner_and_ends_with_its_period() {
    let redis = Redis::start();
    let upstream = FakeUpstream::start();
    let config = probed(&redis, &upstream, 1);
    let start = || config.launch().env("DEFAULT_SHARED_HEALTH_CHECK_LOCK_TTL", "3").start();
    let one = start();
    eventually("it holds the lease", || status(&one)["lock_owner"].as_str().map(str::to_owned));
    let lease = redis
        .keys("hale:*")
        .into_iter()
        .find(|key| key.contains(":lease:") && !key.ends_with("(tells people)"));
    let lease = lease.unwrap();
    for junk in ["a-pod-that-never-was", "{\"not\": \"a pod\"}", "\u{1}"] {
        redis.call(&["SET", &lease, junk]);
        eventually("it has no owner for a while", || {
            let page = status(&one);
            assert_ne!(page["lock_owner"], junk, "{page}");
            (page["lock_owner"].is_null() && page["lock_in_progress"] == false).then_some(())
        });
        assert_eq!(status(&one)["holders"], json!([]));
        eventually("it is held again", || (status(&one)["lock_in_progress"] == true).then_some(()));
    }
}

#[test]
fn a_deployment_that_the_prober_finds_broken_is_unhealthy_on_all_replicas() {
    let redis = Redis::start();
    let upstream = FakeUpstream::with(|_| Script::error(401, "no such key"));
    let config = probed(&redis, &upstream, 2);
    let (one, two) = (config.start(), config.start());
    for hale in [&one, &two] {
        eventually("it is unhealthy there", || {
            let page = client(hale).get("/health").json();
            (page["unhealthy_count"] == 2).then_some(())
        });
    }
}

#[test]
fn replicas_that_lose_redis_probe_by_themselves() {
    let redis = Redis::start();
    let upstream = FakeUpstream::start();
    let config = probed(&redis, &upstream, 2);
    drop(redis);
    let hale = config.start();
    eventually("it probes", || (healthy(&hale) == 2).then_some(()));
    assert_eq!(status(&hale)["mode"], "local");
}
