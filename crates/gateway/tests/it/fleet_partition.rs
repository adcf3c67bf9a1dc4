//! Redis that is gone, or reached in one direction only: each replica goes on, says so, and comes back by itself.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use hale_testkit::{FakeUpstream, Hale, Redis, Script};
use serde_json::{Value, json};

use crate::support::{Config, chat, client, eventually, lone, metric};

fn status(hale: &Hale) -> Value {
    client(hale).get("/health/shared-status").json()["status"].clone()
}

fn until_mode(hale: &Hale, mode: &str) -> Value {
    eventually(mode, || Some(status(hale)).filter(|status| status["mode"] == mode))
}

fn state(hale: &Hale) -> Value {
    let page = client(hale).get("/router/state").json();
    page["deployments"][0]["state"].clone()
}

/// A way to a redis-server that can lose what goes in one direction.
struct Way {
    address: SocketAddr,
    loses_calls: Arc<AtomicBool>,
    loses_answers: Arc<AtomicBool>,
}

impl Way {
    fn to(redis: &Redis) -> Way {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (loses_calls, loses_answers) = (Arc::default(), Arc::default());
        let way = Way { address, loses_calls, loses_answers };
        let socket: PathBuf = redis.dir().join("s");
        let (calls, answers) = (way.loses_calls.clone(), way.loses_answers.clone());
        thread::spawn(move || {
            for from in listener.incoming() {
                let (Ok(from), Ok(to)) = (from, UnixStream::connect(&socket)) else { return };
                let (back_from, back_to) = (to.try_clone().unwrap(), from.try_clone().unwrap());
                let (calls, answers) = (calls.clone(), answers.clone());
                thread::spawn(move || pass(from, to, &calls));
                thread::spawn(move || pass(back_from, back_to, &answers));
            }
        });
        way
    }

    fn config(&self, config: Config) -> Config {
        let place = json!({"redis_host": "127.0.0.1", "redis_port": self.address.port()});
        shared(config).router(place)
    }
}

/// Passes bytes on, unless they get lost.
fn pass(mut from: impl Read, mut to: impl Write, loses: &AtomicBool) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if !loses.load(Ordering::Relaxed) && to.write_all(&buffer[..count]).is_err() {
            return;
        }
    }
}

fn shared(config: Config) -> Config {
    config
        .general(json!({"use_shared_health_check": true}))
        .router(json!({"num_retries": 0, "max_wait_s": 0}))
}

#[test]
fn a_replica_whose_network_to_redis_works_in_one_direction_goes_on_alone_and_comes_back() {
    let (redis, upstream) = (Redis::start(), FakeUpstream::start());
    let way = Way::to(&redis);
    let one = way.config(lone(&upstream)).start();
    let two = shared(lone(&upstream)).router(json!({"redis_url": redis.url()})).start();
    let both = |hale: &Hale| {
        eventually("both know each other", || (status(hale)["replicas"] == 2).then_some(()));
    };
    for lost in [&way.loses_calls, &way.loses_answers] {
        both(&one);
        both(&two);
        lost.store(true, Ordering::Relaxed);
        let local = until_mode(&one, "local");
        assert!(local["error"].as_str().is_some_and(|error| !error.is_empty()), "{local}");
        // The other one is not concerned, but for a call that took too long on a slow machine.
        until_mode(&two, "shared");
        for hale in [&one, &two] {
            assert_eq!(chat(hale, "m").status, 200);
        }
        // What happens meanwhile on one is learnt by the other when the network works again.
        upstream.answer_with(|_| Script::rate_limited(60));
        assert_eq!(chat(&two, "m").status, 429);
        // Where only its calls get lost, it may hear of it at once.
        if way.loses_answers.load(Ordering::Relaxed) {
            assert_eq!(state(&one), "ready");
        }
        lost.store(false, Ordering::Relaxed);
        until_mode(&one, "shared");
        eventually("it has learnt it", || (state(&one) == "cooldown").then_some(()));
        upstream.answer_with(Script::answer);
        let reset = client(&one).post_json("/router/deployments/a/reset", &[], &json!({}));
        assert_eq!(reset.status, 200);
        eventually("it is reset", || (state(&two) == "ready").then_some(()));
    }
}

#[test]
fn a_redis_that_is_gone_for_good_leaves_replicas_that_judge_by_themselves_and_say_so() {
    let (redis, upstream) = (Redis::start(), FakeUpstream::start());
    let config = shared(lone(&upstream)).router(json!({"redis_url": redis.url()}));
    let (one, two) = (config.start(), config.start());
    for hale in [&one, &two] {
        eventually("they know each other", || (status(hale)["replicas"] == 2).then_some(()));
    }
    drop(redis);
    for hale in [&one, &two] {
        let local = until_mode(hale, "local");
        assert_eq!((&local["redis_available"], &local["replicas"]), (&json!(false), &json!(1)));
        eventually("it says why", || status(hale)["error"].as_str().map(str::to_owned));
        hale.wait_for_line("this process goes on by itself");
        assert_eq!(metric(hale, "hale_fleet_shared", &[]), 0.0);
        assert_eq!(metric(hale, "hale_fleet_breaker_open", &[]), 1.0);
    }
    upstream.answer_with(|_| Script::rate_limited(60));
    assert_eq!(chat(&one, "m").status, 429);
    assert_eq!((state(&one), state(&two)), (json!("cooldown"), json!("ready")));
    upstream.answer_with(Script::answer);
    assert_eq!(chat(&two, "m").status, 200);
    assert_eq!(client(&two).get("/health/readiness").status, 200);
}
