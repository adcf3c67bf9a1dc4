//! What replicas share through: a cluster, sentinels, TLS, and what does not fit together.
//!
//! These need ports of the machine, so they run with `scripts/test --long`.

use std::net::TcpListener;

use hale_testkit::{FakeUpstream, Hale, Redis, Script, TempDir};
use serde_json::{Value, json};

use crate::support::{Config, chat, client, eventually, lone};
use crate::tidy;

const PASSWORD: &str = "a-password-4321";

/// A port that is free now.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn status(hale: &Hale) -> Value {
    client(hale).get("/health/shared-status").json()["status"].clone()
}

/// What one replica is told holds on another.
fn share(config: &Config, upstream: &FakeUpstream, environment: &[(&str, String)]) -> [Hale; 2] {
    let config = config
        .clone()
        .general(json!({"use_shared_health_check": true}))
        .router(json!({"num_retries": 0, "max_wait_s": 0}));
    let start = || {
        let launch = config.launch();
        environment.iter().fold(launch, |launch, (name, value)| launch.env(name, value)).start()
    };
    let (one, two) = (start(), start());
    for hale in [&one, &two] {
        eventually("they know each other", || (status(hale)["replicas"] == 2).then_some(()));
    }
    shares_a_deadline(&one, &two, upstream);
    [one, two]
}

fn shares_a_deadline(one: &Hale, two: &Hale, upstream: &FakeUpstream) {
    upstream.answer_with(|_| Script::rate_limited(60));
    assert_eq!(chat(one, "m").status, 429);
    let is_closed = || {
        let page = client(two).get("/router/state").json();
        page["deployments"][0]["state"] == "cooldown"
    };
    eventually("the deadline holds on the other one", || is_closed().then_some(()));
    let reset = client(two).post_json("/router/deployments/a/reset", &[], &json!({}));
    assert_eq!(reset.status, 200);
    eventually("the reset is shared", || {
        let page = client(one).get("/router/state").json();
        (page["deployments"][0]["state"] == "ready").then_some(())
    });
    upstream.answer_with(Script::answer);
}

/// A cluster of three nodes.
fn cluster() -> (Vec<Redis>, Vec<u16>) {
    let ports: Vec<u16> = (0..3).map(|_| free_port()).collect();
    let node = |port: &u16| {
        let (port, bus) = (port.to_string(), free_port().to_string());
        let own = ["--port", &port, "--cluster-enabled", "yes", "--cluster-port", &bus];
        (Redis::with(&own), bus)
    };
    let nodes: Vec<(Redis, String)> = ports.iter().map(node).collect();
    let slots = [("0", "5460"), ("5461", "10922"), ("10923", "16383")];
    for ((node, _), (from, to)) in nodes.iter().zip(slots) {
        assert!(node.call(&["CLUSTER", "ADDSLOTSRANGE", from, to]).contains("OK"));
    }
    for ((_, bus), port) in nodes.iter().zip(&ports).skip(1) {
        nodes[0].0.call(&["CLUSTER", "MEET", "127.0.0.1", &port.to_string(), bus]);
    }
    let nodes: Vec<Redis> = nodes.into_iter().map(|(node, _)| node).collect();
    for node in &nodes {
        eventually("the cluster is complete", || {
            let info = node.call(&["CLUSTER", "INFO"]);
            (info.contains("cluster_state:ok") && info.contains("cluster_size:3")).then_some(())
        });
    }
    (nodes, ports)
}

#[test]
#[ignore = "needs ports of the machine"]
fn replicas_share_through_a_cluster_and_keep_answers_on_all_its_nodes() {
    let (nodes, ports) = cluster();
    let upstream = FakeUpstream::start();
    let startup = json!([{"host": "127.0.0.1", "port": ports[0]}]);
    let params = json!({"type": "redis", "redis_startup_nodes": startup});
    let config = lone(&upstream).litellm(json!({"cache": true, "cache_params": params}));
    let [one, two] = share(&config, &upstream, &[]);
    // A node that is named as a server is used as a cluster, too.
    let by_host = [("REDIS_HOST", "127.0.0.1".to_owned()), ("REDIS_PORT", ports[1].to_string())];
    let three = lone(&upstream).general(json!({"use_shared_health_check": true}));
    let three =
        by_host.iter().fold(three.launch(), |it, (name, value)| it.env(name, value)).start();
    eventually("it joins the others", || (status(&three)["replicas"] == 3).then_some(()));
    let ask = |hale: &Hale, text: &str| {
        let mut body = hale_testkit::openai::chat_request("m", text);
        body["cache"] = json!({"no-store": std::ptr::eq(hale, &two)});
        let answer = client(hale).post_json("/v1/chat/completions", &[], &body);
        assert_eq!(answer.status, 200);
        answer.header("x-hale-cache") == Some("hit")
    };
    let texts: Vec<String> = (0..30).map(|number| format!("text {number}")).collect();
    texts.iter().for_each(|text| _ = ask(&one, text));
    let kept = || nodes.iter().map(|node| node.keys("hale:answers:*:[0-9a-f]*").len());
    eventually("all are kept", || (kept().sum::<usize>() == 30).then_some(()));
    assert!(kept().all(|count| count > 0), "they are on all nodes");
    for text in &texts {
        eventually("the other one gives it", || ask(&two, text).then_some(()));
    }
    let flushed = client(&two).post_json("/cache/flushall", &[], &json!({}));
    assert_eq!(flushed.status, 200, "{}", flushed.text());
    assert_eq!(kept().sum::<usize>(), 0);
    let others: usize = nodes.iter().map(|node| node.keys("hale:1:*").len()).sum();
    assert!(others > 0, "what replicas share stays");
}

#[test]
#[ignore = "needs ports of the machine"]
fn a_single_server_that_is_named_as_a_cluster_is_told_with_the_fix() {
    let port = free_port();
    let _redis = Redis::with(&["--port", &port.to_string()]);
    let upstream = FakeUpstream::start();
    let nodes = format!("[{{\"host\": \"127.0.0.1\", \"port\": {port}}}]");
    let hale = lone(&upstream).launch().env("REDIS_CLUSTER_NODES", &nodes).start();
    let line = hale.wait_for_line("it is a single server: name it by redis_host");
    assert!(line.contains(&format!("cluster 127.0.0.1:{port}")), "{line}");
    assert_eq!(chat(&hale, "m").status, 200);
}

/// A sentinel of `port`.
fn sentinel(own: u16, port: u16) -> Redis {
    let dir = TempDir::new();
    let text = format!(
        "port {own}\nsentinel monitor main 127.0.0.1 {port} 1\nsentinel auth-pass main {PASSWORD}\n\
         sentinel down-after-milliseconds main 1000\nrequirepass sentinel-5678\n"
    );
    let config = dir.write("sentinel.conf", &text);
    Redis::sentinel(dir, &config)
}

#[test]
#[ignore = "needs ports of the machine"]
fn sentinels_say_where_redis_is_also_after_a_failover() {
    let (first, second, own) = (free_port(), free_port(), free_port());
    let common = ["--requirepass", PASSWORD, "--masterauth", PASSWORD];
    let server = |port: u16, more: &[&str]| {
        let port = port.to_string();
        Redis::with(&[&["--port", &port][..], &common, more].concat())
    };
    let master = server(first, &[]);
    let replica = server(second, &["--replicaof", "127.0.0.1", &first.to_string()]);
    let sentinel = sentinel(own, first);
    eventually("the sentinel knows the replica", || {
        let info = sentinel.call_at(own, &[&["AUTH", "sentinel-5678"], &["INFO", "sentinel"]]);
        info.contains("slaves=1").then_some(())
    });
    let upstream = FakeUpstream::start();
    let environment = [
        ("REDIS_SENTINEL_NODES", format!("[[\"127.0.0.1\", {own}]]")),
        ("REDIS_SENTINEL_SERVICE_NAME", "main".to_owned()),
        ("REDIS_SENTINEL_PASSWORD", "sentinel-5678".to_owned()),
        ("REDIS_PASSWORD", PASSWORD.to_owned()),
    ];
    let [one, two] = share(&lone(&upstream), &upstream, &environment);
    drop(master);
    for hale in [&one, &two] {
        eventually("the old server is gone", || (status(hale)["mode"] == "local").then_some(()));
        assert_eq!(chat(hale, "m").status, 200);
    }
    eventually("the replica was made the server", || {
        let role = sentinel.call_at(second, &[&["AUTH", PASSWORD], &["INFO", "replication"]]);
        role.contains("role:master").then_some(())
    });
    for hale in [&one, &two] {
        eventually("they share through the new one", || {
            (status(hale)["replicas"] == 2).then_some(())
        });
    }
    shares_a_deadline(&one, &two, &upstream);
    drop(replica);
}

#[test]
#[ignore = "needs ports of the machine"]
fn replicas_share_over_tls_and_say_what_is_wrong_with_a_certificate() {
    let port = free_port();
    let tls = |name: &str| tidy::root().join("testdata/tls").join(name).display().to_string();
    let (pair, root) = (tls("good.pem"), tls("root.pem"));
    let _redis = Redis::with(&[
        "--tls-port",
        &port.to_string(),
        "--tls-cert-file",
        &pair,
        "--tls-key-file",
        &pair,
        "--tls-ca-cert-file",
        &root,
        "--tls-auth-clients",
        "no",
        "--requirepass",
        PASSWORD,
    ]);
    let upstream = FakeUpstream::start();
    let url = format!("rediss://:{PASSWORD}@localhost:{port}");
    let config = lone(&upstream).router(json!({"redis_url": url}));
    share(&config, &upstream, &[("SSL_CERT_FILE", root.clone())]);
    let by_host = [
        ("SSL_CERT_FILE", root),
        ("REDIS_HOST", "localhost".to_owned()),
        ("REDIS_PORT", port.to_string()),
        ("REDIS_PASSWORD", PASSWORD.to_owned()),
        ("REDIS_SSL", "true".to_owned()),
    ];
    share(&lone(&upstream), &upstream, &by_host);
    let untrusted = config.launch().env("SSL_CERT_FILE", &tls("self-signed.pem")).start();
    let line = untrusted.wait_for_line("a certificate that SSL_CERT_FILE or the system trusts");
    assert!(line.contains("rediss://***@localhost") && !line.contains(PASSWORD), "{line}");
    let plain = lone(&upstream).router(json!({"redis_host": "localhost", "redis_port": port}));
    let plain = plain.start();
    plain.wait_for_line("is not reached");
    for hale in [&untrusted, &plain] {
        assert_eq!(chat(hale, "m").status, 200);
    }
}

#[test]
#[ignore = "needs ports of the machine"]
fn a_wrong_password_of_a_cluster_or_a_sentinel_is_told_without_it() {
    let port = free_port();
    let bus = free_port().to_string();
    let node = Redis::with(&[
        "--port",
        &port.to_string(),
        "--cluster-enabled",
        "yes",
        "--cluster-port",
        &bus,
        "--requirepass",
        PASSWORD,
    ]);
    node.call_at(port, &[&["AUTH", PASSWORD], &["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]]);
    let upstream = FakeUpstream::start();
    let wrong = "the-wrong-one-8888";
    let nodes = format!("[{{\"host\": \"127.0.0.1\", \"port\": {port}}}]");
    let launch = lone(&upstream).launch().env("REDIS_CLUSTER_NODES", &nodes);
    let of_cluster = launch.env("REDIS_PASSWORD", wrong).start();
    let own = free_port();
    let _sentinel = sentinel(own, port);
    let launch = lone(&upstream).launch().env("REDIS_SENTINEL_SERVICE_NAME", "main");
    let of_sentinel = launch
        .env("REDIS_SENTINEL_NODES", &format!("[[\"127.0.0.1\", {own}]]"))
        .env("REDIS_SENTINEL_PASSWORD", wrong)
        .start();
    for hale in [&of_cluster, &of_sentinel] {
        hale.wait_for_line("set the password that the server expects");
        assert_eq!(chat(hale, "m").status, 200);
        assert!(!hale.stderr().contains(wrong));
    }
}
