//! Several gateways that share what they learn through PostgreSQL, directly or behind a pooler.

use hale_testkit::{FakeUpstream, Hale, Pooler, Postgres, Redis, Script, Signal};
use serde_json::{Value, json};

use crate::fleet::{
    deployment, healthy, in_cooldown, status, until_they_know_each_other, with_probes,
};
use crate::support::{Config, chat, client, eventually, lone, metric, pair};

/// How the replicas reach the server.
#[derive(Clone, Copy, Debug)]
enum Way {
    Direct,
    Pooled,
}

/// A database, and the address by which the replicas reach it.
struct Between {
    address: String,
    delivery: &'static str,
    _pooler: Option<Pooler>,
}

impl Between {
    fn of(server: &Postgres, way: Way) -> Between {
        let address = server.database();
        match way {
            Way::Direct => Between { address, delivery: "notify", _pooler: None },
            Way::Pooled => {
                let pooler = server.pooler();
                let address = pooler.url(server, &address);
                Between { address, delivery: "poll", _pooler: Some(pooler) }
            }
        }
    }
}

fn at(config: Config, address: &str) -> Config {
    config.general(json!({"database_url": address, "use_shared_health_check": true}))
}

fn sharing(hale: &Hale) -> Value {
    client(hale).get("/health/readiness").json()["sharing"].clone()
}

fn until_shared(hale: &Hale) {
    let shared = json!({"through": "postgres", "mode": "shared"});
    eventually("it is shared", || (sharing(hale) == shared).then_some(()));
}

/// Waits until it goes on by itself, and returns why.
fn until_local(hale: &Hale) -> String {
    eventually("it goes on by itself and says why", || {
        let status = status(hale);
        let is_local = status["mode"] == "local" && sharing(hale)["mode"] == "local";
        status["error"].as_str().filter(|_| is_local).map(str::to_owned)
    })
}

#[test]
fn three_gateways_share_deadlines_and_resets_through_a_database_with_or_without_a_pooler() {
    for way in [Way::Direct, Way::Pooled] {
        let between = Between::of(Postgres::shared(), way);
        let upstream = FakeUpstream::start();
        let config = at(lone(&upstream), &between.address)
            .router(json!({"num_retries": 0, "max_wait_s": 0}));
        let replicas = [config.start(), config.start(), config.start()];
        until_they_know_each_other(&replicas.each_ref());
        let [one, two, three] = &replicas;
        for hale in &replicas {
            let page = status(hale);
            assert_eq!((&page["through"], &page["mode"]), (&json!("postgres"), &json!("shared")));
            assert_eq!(page["delivery"], between.delivery, "{way:?}");
            assert_eq!(page["redis_available"], false);
            until_shared(hale);
        }
        upstream.answer_with(|_| Script::rate_limited(60));
        assert_eq!(chat(one, "m").status, 429);
        let here = in_cooldown(one, "a");
        upstream.answer_with(Script::answer);
        let before = upstream.requests().len();
        let until = |one: &Value| one["until"].as_i64().unwrap();
        for hale in [two, three] {
            let there = in_cooldown(hale, "a");
            assert_eq!(
                (&there["cause"], &there["provider_issued"]),
                (&json!("rate_limited"), &json!(true))
            );
            assert!((until(&here) - until(&there)).abs() <= 1, "{way:?} {here} {there}");
            assert_eq!(chat(hale, "m").status, 429);
        }
        assert_eq!(upstream.requests().len(), before, "it is called by none of them");
        // One that starts now is told, too, also when the one that was told first is gone.
        one.signal(Signal::Kill);
        let four = config.start();
        in_cooldown(&four, "a");
        let reset = client(two).post_json("/router/deployments/a/reset", &[], &json!({}));
        assert_eq!(reset.status, 200);
        eventually("it is reset on the others", || {
            let ready = |hale| deployment(hale, "a")["state"] == "ready";
            (ready(three) && ready(&four)).then_some(())
        });
    }
}

#[test]
fn a_database_carries_shares_of_a_rate_and_doubts_about_a_network() {
    let between = Between::of(Postgres::shared(), Way::Pooled);
    let upstream = FakeUpstream::start();
    let config = Config::new().with("m", "a", &upstream, json!({"rpm": 30}));
    let config = at(config, &between.address)
        .router(json!({"enable_pre_call_checks": true, "num_retries": 0, "max_wait_s": 0}));
    let replicas = [config.start(), config.start(), config.start()];
    until_they_know_each_other(&replicas.each_ref());
    let mut served = 0;
    for _ in 0..40 {
        served += replicas.iter().filter(|hale| chat(hale, "m").status == 200).count();
    }
    assert!((5..=40).contains(&served), "{served} of a limit of 30");
    assert_eq!(upstream.requests().len(), served);

    let (bad, good) = (FakeUpstream::start(), FakeUpstream::start());
    let config = at(pair(&bad, &good), &between.address).router(json!({"cooldown_time": 60}));
    let (one, two) = (config.start(), config.start());
    until_they_know_each_other(&[&one, &two]);
    bad.answer_with(|_| Script::ok().reset());
    for _ in 0..3 {
        assert_eq!(chat(&one, "m").status, 200);
    }
    in_cooldown(&one, "bad");
    eventually("the other one doubts it", || {
        (deployment(&two, "bad")["ramp"] == 0.75).then_some(())
    });
    assert_eq!(deployment(&two, "bad")["state"], "ready");
}

#[test]
fn replicas_on_one_database_cost_one_set_of_probes_and_take_over_those_of_a_killed_one() {
    for way in [Way::Direct, Way::Pooled] {
        let between = Between::of(Postgres::shared(), way);
        let upstream = FakeUpstream::start();
        let config = at(with_probes(&upstream, 6), &between.address);
        let start = || config.launch().env("DEFAULT_SHARED_HEALTH_CHECK_LOCK_TTL", "3").start();
        let replicas = [start(), start(), start()];
        for hale in &replicas {
            eventually("each replica knows all results", || (healthy(hale) == 6).then_some(()));
        }
        until_they_know_each_other(&replicas.each_ref());
        assert!(upstream.requests().len() <= 8, "{} probes", upstream.requests().len());
        let holders = |hale: &Hale| status(hale)["holders"].as_array().cloned().unwrap_or_default();
        eventually("every lease has a holder", || (holders(&replicas[0]).len() == 6).then_some(()));
        let pods: Vec<Value> = replicas.iter().map(|hale| status(hale)["pod_id"].clone()).collect();
        eventually("the others know whose leases and results they are", || {
            let page = status(&replicas[1]);
            let are_known =
                ["lock_owner", "last_checked_by"].map(|name| pods.contains(&page[name]));
            (are_known == [true, true]).then_some(())
        });
        replicas[0].signal(Signal::Kill);
        eventually("the others hold all", || {
            let holders = holders(&replicas[1]);
            let all = holders.len() == 6 && holders.iter().all(|one| one["pod_id"] != pods[0]);
            all.then_some(())
        });
    }
}

#[test]
fn a_database_that_hangs_dies_or_takes_no_writes_delays_no_request_and_is_used_again() {
    let mut server = Postgres::start();
    let url = server.database();
    let upstream = FakeUpstream::start();
    let config = at(lone(&upstream), &url).router(json!({"num_retries": 0, "max_wait_s": 0}));
    let (one, two) = (config.start(), config.start());
    let until_alone = |word: &str| {
        for hale in [&one, &two] {
            for _ in 0..10 {
                assert_eq!(chat(hale, "m").status, 200);
            }
            let why = until_local(hale);
            assert!(why.contains(word) && !why.contains("s3cret"), "{word}: {why}");
            assert_eq!(chat(hale, "m").status, 200);
        }
    };
    let until_together = || {
        until_they_know_each_other(&[&one, &two]);
        until_shared(&one);
        until_shared(&two);
    };
    until_together();
    server.pause();
    until_alone("does not answer");
    server.go_on();
    until_together();
    server.kill();
    until_alone("start the server");
    server.run();
    until_together();
    let read_only = |word: &str| {
        server.sql(&url, &format!("alter system set default_transaction_read_only = {word}"));
        server.sql(&url, "select pg_reload_conf()");
    };
    read_only("on");
    until_alone("read-only");
    read_only("off");
    until_together();
    // It is whole: what one is told holds on the other.
    upstream.answer_with(|_| Script::rate_limited(60));
    chat(&one, "m");
    in_cooldown(&two, "a");
}

#[test]
fn replicas_that_start_without_their_database_serve_and_share_once_it_is_there() {
    let mut server = Postgres::start();
    let url = server.database();
    server.kill();
    let upstream = FakeUpstream::start();
    let config = at(with_probes(&upstream, 2), &url);
    let (one, two) = (config.start(), config.start());
    assert_eq!(chat(&one, "m").status, 200);
    let why = until_local(&one);
    assert!(!why.contains("s3cret"), "{why}");
    eventually("each probes by itself", || (healthy(&two) == 2).then_some(()));
    server.run();
    until_they_know_each_other(&[&one, &two]);
    until_shared(&two);
}

#[test]
fn garbage_in_the_shared_table_is_left_out_and_counted_and_an_empty_table_is_filled_again() {
    let server = Postgres::shared();
    let between = Between::of(server, Way::Direct);
    let upstream = FakeUpstream::start();
    let config = at(with_probes(&upstream, 1), &between.address);
    let (one, two) = (config.start(), config.start());
    until_they_know_each_other(&[&one, &two]);
    let counted = || metric(&one, "hale_fleet_garbage_total", &[]);
    let put = |kind: &str, name: &str, value: &str| {
        let sql = format!(
            "insert into hale.fleet select scope, '{kind}', '{name}', '{value}', until_at + 5000 from hale.fleet \
             where kind = 'replica' limit 1 on conflict (scope, kind, name) do update set value = excluded.value"
        );
        server.sql(&between.address, &sql);
    };
    let scope = server.sql(&between.address, "select scope from hale.fleet limit 1");
    assert!(scope.starts_with("1:"), "{scope}");
    for (kind, value) in [
        ("replica", "[[[["),
        ("replica", "{\"v\": 7}"),
        ("replica", ""),
        ("kept", "not a result"),
        ("of another kind", "x"),
    ] {
        let before = counted();
        put(kind, "junk", value);
        if kind == "of another kind" {
            continue;
        }
        eventually("it is counted", || (counted() > before).then_some(()));
    }
    put("lease", "d0", "not-a-replica");
    eventually("it owns nothing", || {
        let page = status(&one);
        assert_ne!(page["lock_owner"], "not-a-replica");
        page["lock_owner"].is_null().then_some(())
    });
    let channels = "select pg_notify('hale_1_' || substr(encode(sha256(int8send(length(x)::int8) || x::bytea), 'hex'), 1, 16), \
                    'nonsense') from (select substr(scope, 3) as x from hale.fleet limit 1) as scope";
    server.sql(&between.address, "delete from hale.fleet where name = 'junk'");
    let before = counted();
    server.sql(&between.address, channels);
    eventually("it is counted", || (counted() > before).then_some(()));
    server.sql(&between.address, "truncate hale.fleet");
    until_they_know_each_other(&[&one, &two]);
    eventually("the lease is held again", || {
        status(&one)["lock_owner"].as_str().map(str::to_owned)
    });
    assert_eq!(chat(&two, "m").status, 200);
}

#[test]
fn where_redis_and_a_database_are_configured_replicas_share_through_redis() {
    let redis = Redis::start();
    let between = Between::of(Postgres::shared(), Way::Direct);
    let upstream = FakeUpstream::start();
    let config = at(lone(&upstream), &between.address).router(json!({"redis_url": redis.url()}));
    let (one, two) = (config.start(), config.start());
    until_they_know_each_other(&[&one, &two]);
    assert_eq!(
        (&status(&one)["through"], &status(&one)["delivery"]),
        (&json!("redis"), &json!("publish"))
    );
    assert_eq!(sharing(&two), json!({"through": "redis", "mode": "shared"}));
    assert_eq!(Postgres::shared().sql(&between.address, "select count(*) from hale.fleet"), "0");
    // A file is one process's: nothing is shared through it.
    let alone = lone(&upstream).start();
    assert!(sharing(&alone).is_null());
}
