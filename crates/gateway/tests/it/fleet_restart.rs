//! Three replicas that are replaced one after the other while clients use them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use hale_testkit::{Client, FakeUpstream, Hale, Redis, Script, Signal, TIMEOUT, openai};
use parking_lot::Mutex;
use serde_json::json;

use crate::support::{CHAT, KEY, client, eventually, lone};

/// The replicas that a load balancer would send traffic to.
type Ready = Arc<Mutex<Vec<SocketAddr>>>;

/// An upstream that takes a while, in streams between their events.
fn slow() -> FakeUpstream {
    FakeUpstream::with(|request| {
        let pause = Duration::from_millis(40);
        if request.json()["stream"].as_bool() != Some(true) {
            return Script::answer(request).late(pause);
        }
        let mut stream = Script::ok().stream();
        for text in ["one ", "two ", "three"] {
            stream = stream.event(&openai::content_chunk("gpt-4o", text)).delay(pause);
        }
        stream.event(&openai::finish_chunk("gpt-4o", "stop")).done()
    })
}

/// Sends requests until `done`, every other one a stream; counts them, and tells what failed.
fn load(ready: &Ready, done: &AtomicBool, served: &AtomicUsize, number: usize) -> Vec<String> {
    let mut failed = Vec::new();
    // Connections are kept, as clients do, until the replica closes them.
    let mut kept: Vec<(SocketAddr, Client)> = Vec::new();
    let mut turn = number;
    while !done.load(Ordering::Relaxed) {
        turn += 1;
        let address = {
            let ready = ready.lock();
            ready[turn % ready.len()]
        };
        kept.retain(|(known, _)| ready.lock().contains(known));
        if !kept.iter().any(|(known, _)| *known == address) {
            kept.push((address, Client::new(address).with_key(KEY)));
        }
        let (_, client) = kept.iter_mut().find(|(known, _)| *known == address).unwrap();
        let is_last = match turn % 2 {
            0 => {
                let answer = client.post_json(CHAT, &[], &openai::chat_request("m", "hi"));
                if answer.status != 200 {
                    failed.push(format!("{}: {}", answer.status, answer.text()));
                }
                answer.header("connection") == Some("close")
            }
            _ => {
                let mut stream = client.stream(CHAT, &[], &openai::stream_request("m", "hi"));
                let is_last = stream.header("connection") == Some("close");
                let content = stream.content();
                if content != "one two three" {
                    failed.push(format!("a stream ended with {content:?}"));
                }
                is_last
            }
        };
        served.fetch_add(1, Ordering::Relaxed);
        if is_last {
            kept.retain(|(known, _)| *known != address);
        }
    }
    failed
}

#[test]
fn three_replicas_are_replaced_under_load_and_no_request_fails() {
    let (redis, upstream) = (Redis::start(), slow());
    let config = lone(&upstream)
        .router(json!({"redis_url": redis.url()}))
        .general(json!({"use_shared_health_check": true, "drain_delay_s": 1}));
    let mut replicas: Vec<Hale> = (0..3).map(|_| config.start()).collect();
    let ready: Ready = Arc::new(Mutex::new(replicas.iter().map(Hale::address).collect()));
    let (done, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..6)
        .map(|number| {
            let (ready, done, served) = (ready.clone(), done.clone(), served.clone());
            thread::spawn(move || load(&ready, &done, &served, number))
        })
        .collect();
    for replica in &mut replicas {
        let before = served.load(Ordering::Relaxed);
        let new = config.start();
        eventually("it is ready", || {
            (client(&new).get("/health/readiness").status == 200).then_some(())
        });
        ready.lock().push(new.address());
        let mut old = std::mem::replace(replica, new);
        old.signal(Signal::Term);
        // The balancer learns it by the probe of readiness.
        eventually("it wants no more traffic", || {
            (client(&old).get("/health/readiness").status == 503).then_some(())
        });
        let address = old.address();
        ready.lock().retain(|one| *one != address);
        assert!(old.wait_for_exit(TIMEOUT).success());
        eventually("requests were served meanwhile", || {
            (served.load(Ordering::Relaxed) > before + 20).then_some(())
        });
    }
    done.store(true, Ordering::Relaxed);
    let failed: Vec<String> =
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
    assert_eq!(failed, [""; 0]);
    // Those that left are not counted, and those that came are.
    for hale in &replicas {
        eventually("they know each other", || {
            let status = client(hale).get("/health/shared-status").json()["status"].clone();
            (status["replicas"] == 3).then_some(())
        });
    }
}
