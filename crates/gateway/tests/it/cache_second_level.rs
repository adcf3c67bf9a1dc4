//! Answers that are kept in Redis or on the disk: shared, bounded in time, and never in the way.

use std::fs;

use hale_testkit::{FakeUpstream, Hale, Redis, Response, Script, TempDir, openai};
use serde_json::{Value, json};

use crate::support::{CHAT, Config, client, eventually, lone, metric};

/// Where the answers are.
const ANSWERS: &str = "hale:answers:1:*";

fn in_redis(config: Config, redis: &Redis) -> Config {
    let params = json!({"type": "redis", "url": redis.url(), "ttl": 600});
    config.litellm(json!({"cache": true, "cache_params": params}))
}

/// An upstream that counts its answers.
fn counting() -> FakeUpstream {
    let mut number = 0;
    FakeUpstream::with(move |request| {
        number += 1;
        let json = request.json();
        if let Some(inputs) = json["input"].as_array() {
            return Script::ok().json(&openai::embeddings("e", inputs.len()));
        }
        let texts = ["answer ", &number.to_string()];
        match json["stream"].as_bool() {
            Some(true) => Script::ok().sse(&openai::chunks("m", &texts)),
            _ => Script::ok().json(&openai::chat_completion("m", &texts.concat())),
        }
    })
}

fn ask(hale: &Hale, text: &str) -> Response {
    client(hale).post_json(CHAT, &[], &openai::chat_request("m", text))
}

/// The kept answer. It is asked for again when it comes too late for the 20 ms, which leaves nothing behind.
fn hit(hale: &Hale, text: &str) -> Response {
    let mut body = openai::chat_request("m", text);
    body["cache"] = json!({"no-store": true});
    eventually("it is a hit", || Some(post(hale, CHAT, &body)).filter(is_hit))
}

fn is_hit(response: &Response) -> bool {
    response.header("x-hale-cache") == Some("hit")
}

fn post(hale: &Hale, path: &str, body: &Value) -> Response {
    client(hale).post_json(path, &[], body)
}

/// The kept stream.
fn replayed(hale: &Hale) -> String {
    let mut body = openai::stream_request("m", "hi");
    body["cache"] = json!({"no-store": true});
    eventually("the stream is a hit", || {
        let mut client = client(hale);
        let mut stream = client.stream(CHAT, &[], &body);
        let is_hit = stream.header("x-hale-cache") == Some("hit");
        Some(stream.text()).filter(|_| is_hit)
    })
}

fn ping(hale: &Hale) -> Response {
    client(hale).get("/cache/ping")
}

fn until_connected(hale: &Hale) {
    eventually("Redis is reached", || (ping(hale).status == 200).then_some(()));
}

/// The keys of the answers.
fn keys(redis: &Redis) -> Vec<String> {
    redis.keys(&(ANSWERS.to_owned() + "[0-9a-f][0-9a-f]*"))
}

fn until_kept(redis: &Redis, count: usize) {
    eventually("the answers are in Redis", || (keys(redis).len() == count).then_some(()));
}

/// Two replicas over one Redis.
fn replicas(config: &Config) -> (Hale, Hale) {
    let (one, two) = (config.start(), config.start());
    until_connected(&one);
    until_connected(&two);
    (one, two)
}

#[test]
fn what_one_replica_keeps_in_redis_the_others_give() {
    let (redis, upstream) = (Redis::start(), counting());
    let embeddings = json!({"model": "openai/text-embedding-3-small"});
    let config = in_redis(lone(&upstream).with("e", "e", &upstream, embeddings), &redis);
    let (one, two) = replicas(&config);
    let first = ask(&one, "hi");
    assert!(!is_hit(&first));
    until_kept(&redis, 1);
    let again = hit(&two, "hi");
    assert_eq!(again.body, first.body);
    assert_eq!(again.header("x-litellm-model-id"), Some("a"));
    assert_eq!(again.header("x-litellm-cache-key"), first.header("x-litellm-cache-key"));
    assert!(
        redis
            .call(&["PTTL", &keys(&redis)[0]])
            .trim_start_matches(':')
            .trim()
            .parse::<u64>()
            .unwrap()
            > 500_000
    );
    // A stream is one there too.
    let told = client(&one).stream(CHAT, &[], &openai::stream_request("m", "hi")).text();
    until_kept(&redis, 2);
    assert_eq!(replayed(&two), told);
    // Of several inputs each is kept for itself.
    let embed = |hale: &Hale, inputs: &[&str]| {
        let cache = json!({"no-store": inputs.len() > 2});
        post(hale, "/v1/embeddings", &json!({"model": "e", "input": inputs, "cache": cache}))
    };
    embed(&one, &["a", "b"]);
    until_kept(&redis, 4);
    eventually("only what is not kept is asked for", || {
        let answer = embed(&two, &["b", "c", "a"]);
        assert_eq!(answer.json()["data"].as_array().unwrap().len(), 3);
        (upstream.requests().last().unwrap().json()["input"] == json!(["c"])).then_some(())
    });
    assert!(metric(&two, "hale_cache_hits_total", &[]) >= 2.0);
    assert!(metric(&two, "hale_cache_misses_total", &[]) >= 1.0);
}

#[test]
fn an_answer_of_redis_is_as_old_as_redis_says() {
    let (redis, upstream) = (Redis::start(), counting());
    let (one, two) = replicas(&in_redis(lone(&upstream), &redis));
    ask(&one, "hi");
    until_kept(&redis, 1);
    // As if it had been kept five minutes ago.
    redis.call(&["PEXPIRE", &keys(&redis)[0], "300000"]);
    let within = |seconds: u64| {
        let mut body = openai::chat_request("m", "hi");
        body["cache"] = json!({"s-maxage": seconds, "no-store": true});
        is_hit(&post(&two, CHAT, &body))
    };
    eventually("it is young enough", || within(400).then_some(()));
    assert!(!within(200));
}

#[test]
fn operators_reach_the_answers_in_redis_and_nothing_else_there() {
    let (redis, upstream) = (Redis::start(), counting());
    let params = json!({"type": "redis", "url": redis.url(), "namespace": "te[a]m*"});
    let config = lone(&upstream).litellm(json!({"cache": true, "cache_params": params}));
    let (one, two) = replicas(&config);
    let page = ping(&one).json();
    assert_eq!(
        (&page["status"], &page["cache_type"], &page["ping_response"], &page["set_cache_response"]),
        (&json!("healthy"), &json!("redis"), &json!(true), &json!("success"))
    );
    let params = &page["health_check_cache_params"];
    assert_eq!(params["namespace"], "te[a]m*");
    assert!(params["redis_version"].as_str().unwrap().contains('.'), "{page}");
    assert_eq!(client(&one).get("/health/readiness").json()["cache"], "redis");
    redis.call(&["SET", "hale:answers:1:team2:x", "another namespace"]);
    redis.call(&["SET", "mine", "another program"]);
    let key = ask(&one, "hi").header("x-litellm-cache-key").unwrap().to_owned();
    ask(&one, "other");
    until_kept(&redis, 3);
    hit(&two, "hi");
    let deleted = post(&two, "/cache/delete", &json!({"keys": [key, "unknown"]}));
    assert_eq!(deleted.json(), json!({"status": "success", "deleted": 1}));
    assert!(!is_hit(&ask(&two, "hi")), "also in the memory of that process");
    until_kept(&redis, 3);
    let flushed = post(&two, "/cache/flushall", &json!({}));
    assert_eq!(flushed.json(), json!({"status": "success"}));
    assert_eq!(redis.keys("*te?a?m*:[0-9a-f]*"), [""; 0]);
    assert_eq!(redis.call(&["GET", "hale:answers:1:team2:x"]), "$17\r\nanother namespace\r\n");
    assert_eq!(redis.call(&["GET", "mine"]), "$15\r\nanother program\r\n");
    eventually("the other replica has forgotten them too", || {
        let mut body = openai::chat_request("m", "other");
        body["cache"] = json!({"no-store": true});
        (!is_hit(&post(&one, CHAT, &body))).then_some(())
    });
}

#[test]
fn what_operators_delete_is_not_written_afterwards() {
    for path in ["/cache/flushall", "/cache/delete"] {
        let (redis, upstream) = (Redis::start(), counting());
        let (one, two) = replicas(&in_redis(lone(&upstream), &redis));
        // Answers come, and none is written yet.
        redis.call(&["CLIENT", "PAUSE", "400", "WRITE"]);
        let texts = ["a", "b", "c", "d", "e"];
        let named = texts.map(|text| {
            // It does not ask Redis, where reads wait behind what is written.
            let mut body = openai::chat_request("m", text);
            body["cache"] = json!({"no-cache": true});
            post(&one, CHAT, &body).header("x-litellm-cache-key").unwrap().to_owned()
        });
        let answer = post(&one, path, &json!({"keys": named}));
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        // It is written when the pause is over.
        redis.call(&["SET", "mine", "after the pause"]);
        let others = ["x", "y"];
        others.iter().for_each(|text| drop(ask(&one, text)));
        until_kept(&redis, 2);
        let is_kept = |text: &&str| is_hit(&ask(&two, text));
        assert!(!texts.iter().any(is_kept), "{path}");
    }
}

#[test]
fn more_inputs_than_one_call_asks_for_are_found_in_redis() {
    const INPUTS: usize = 900;
    let (redis, upstream) = (Redis::start(), counting());
    let embeddings = json!({"model": "openai/text-embedding-3-small"});
    let config = in_redis(lone(&upstream).with("e", "e", &upstream, embeddings), &redis);
    let (one, two) = replicas(&config);
    let mut lists = 0;
    // How many come in time depends on the machine: some list has more than one call asks for.
    let found = eventually("more than one call found", || {
        let list = upstream.requests().len();
        let inputs: Vec<String> = (0..INPUTS).map(|at| format!("{list} {at}")).collect();
        let body = json!({"model": "e", "input": inputs});
        assert_eq!(post(&one, "/v1/embeddings", &body).status, 200);
        lists += 1;
        eventually("they are in Redis", || {
            let size = redis.call(&["DBSIZE"]);
            (size.trim_start_matches(':').trim().parse::<usize>().ok()? >= lists * INPUTS)
                .then_some(())
        });
        let before = upstream.requests().len();
        let answer = post(&two, "/v1/embeddings", &body);
        assert_eq!(answer.json()["data"].as_array().unwrap().len(), INPUTS);
        let asked = upstream.requests().into_iter().nth(before);
        let asked = asked.map_or(0, |request| request.json()["input"].as_array().unwrap().len());
        Some(INPUTS - asked).filter(|found| *found > 256)
    });
    assert!(found <= INPUTS);
}

#[test]
fn a_redis_that_hangs_is_a_miss_until_it_goes_on() {
    let (redis, upstream) = (Redis::start(), counting());
    let (one, two) = replicas(&in_redis(lone(&upstream), &redis));
    ask(&one, "hi");
    until_kept(&redis, 1);
    redis.signal("-STOP");
    let answer = ask(&two, "hi");
    assert_eq!((answer.status, is_hit(&answer)), (200, false));
    assert!(is_hit(&ask(&two, "hi")), "its own copy stays");
    two.wait_for_line("answers are kept in this process only");
    let unhealthy = ping(&two);
    assert_eq!(
        (unhealthy.status, &unhealthy.json()["error"]["type"]),
        (503, &json!("cache_ping_error"))
    );
    let flushed = post(&two, "/cache/flushall", &json!({}));
    assert_eq!(
        (flushed.status, flushed.json()["error"]["reason"].as_str()),
        (503, Some("cache_unreachable"))
    );
    redis.signal("-CONT");
    until_connected(&two);
    let other = ask(&two, "other");
    assert!(!is_hit(&other));
    eventually("it is shared again", || is_hit(&ask(&one, "other")).then_some(()));
}

#[test]
fn what_is_no_answer_under_its_key_is_counted_and_replaced() {
    let (redis, upstream) = (Redis::start(), counting());
    let hale = in_redis(lone(&upstream), &redis).start();
    until_connected(&hale);
    ask(&hale, "hi");
    until_kept(&redis, 1);
    let key = keys(&redis)[0].clone();
    let garbage: [(&str, &[&[u8]]); 5] = [
        ("a text", &[b"SET", key.as_bytes(), b"[[[[", b"PX", b"60000"]),
        ("bytes", &[b"SET", key.as_bytes(), b"\xff\xfe", b"PX", b"60000"]),
        ("a list", &[b"LPUSH", key.as_bytes(), b"x"]),
        ("more than an answer", &[b"APPEND", key.as_bytes(), b"more"]),
        ("one for ever", &[b"PERSIST", key.as_bytes()]),
    ];
    for (number, (what, command)) in garbage.into_iter().enumerate() {
        if what == "a list" {
            redis.call(&["DEL", &key]);
        }
        redis.call_with(command);
        eventually(what, || (!is_hit(&ask(&hale, "hi"))).then_some(()));
        let counted = metric(&hale, "hale_cache_garbage_total", &[]);
        assert!(counted >= number as f64 + 1.0, "{what}: {counted}");
        eventually("it is replaced", || {
            redis
                .call(&["STRLEN", &key])
                .strip_prefix(':')?
                .trim()
                .parse::<u64>()
                .ok()
                .filter(|one| *one > 100)
        });
    }
}

#[test]
fn a_server_of_answers_that_is_not_there_costs_nothing_and_is_told() {
    let upstream = counting();
    let params = json!({"type": "redis", "host": "127.0.0.1", "port": hale_testkit::refused_port(), "password": "hunter2-hunter2"});
    let hale = lone(&upstream).litellm(json!({"cache": true, "cache_params": params})).start();
    let line = hale.wait_for_line("answers are kept in this process only");
    assert!(line.contains("127.0.0.1") && !hale.stderr().contains("hunter2"), "{line}");
    assert!(!is_hit(&ask(&hale, "hi")));
    assert!(is_hit(&ask(&hale, "hi")));
}

fn on_disk(config: Config, more: Value) -> Config {
    let mut params = json!({"type": "disk", "ttl": 600});
    params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    config.litellm(json!({"cache": true, "cache_params": params}))
}

/// The files of answers.
fn files(dir: &TempDir) -> Vec<std::path::PathBuf> {
    let below = |path: &std::path::Path| {
        fs::read_dir(path)
            .into_iter()
            .flatten()
            .map(|entry| entry.unwrap().path())
            .collect::<Vec<_>>()
    };
    let all = below(&dir.path().join("hale-answers"));
    all.iter().flat_map(|dir| below(dir)).collect()
}

#[test]
fn answers_on_the_disk_outlive_a_restart() {
    let (dir, upstream) = (TempDir::new(), counting());
    let config = on_disk(lone(&upstream), json!({}));
    let start = || config.launch().env("HALE_DATA_DIR", dir.path().to_str().unwrap()).start();
    let mut hale = start();
    let first = ask(&hale, "hi");
    let told = client(&hale).stream(CHAT, &[], &openai::stream_request("m", "hi")).text();
    eventually("they are written", || (files(&dir).len() == 2).then_some(()));
    hale.stop();
    let hale = start();
    assert_eq!(hit(&hale, "hi").body, first.body);
    assert_eq!(replayed(&hale), told);
    assert_eq!(ping(&hale).json()["cache_type"], "disk");
    let other = dir.path().join("hale-answers/ab/notes.txt");
    fs::create_dir_all(other.parent().unwrap()).unwrap();
    fs::write(&other, "mine").unwrap();
    assert_eq!(post(&hale, "/cache/flushall", &json!({})).status, 200);
    assert_eq!(files(&dir), [other]);
    assert!(!is_hit(&ask(&hale, "hi")));
}

#[test]
fn a_file_that_is_no_answer_and_a_disk_that_cannot_be_written_fail_no_request() {
    let (dir, upstream) = (TempDir::new(), counting());
    let config = on_disk(lone(&upstream), json!({}));
    let start = || config.launch().env("HALE_DATA_DIR", dir.path().to_str().unwrap()).start();
    let mut hale = start();
    let texts = ["0", "1", "2", "3", "4", "5", "6", "7"];
    texts.iter().for_each(|text| _ = ask(&hale, text));
    eventually("they are written", || (files(&dir).len() == texts.len()).then_some(()));
    hale.stop();
    // What comes too late is not counted: on a busy machine that may be all of them.
    eventually("garbage is counted", || {
        // As after a loss of power.
        for path in files(&dir) {
            let whole = fs::read(&path).unwrap();
            let forgotten_at = fs::metadata(&path).unwrap().modified().unwrap();
            fs::write(&path, &whole[..whole.len() / 2]).unwrap();
            let file = fs::File::options().write(true).open(&path).unwrap();
            file.set_modified(forgotten_at).unwrap();
        }
        let hale = start();
        assert!(texts.iter().all(|text| !is_hit(&ask(&hale, text))));
        (metric(&hale, "hale_cache_garbage_total", &[]) >= 1.0).then_some(())
    });
    fs::remove_dir_all(dir.path().join("hale-answers")).unwrap();
    dir.write("hale-answers", "a file");
    let hale = start();
    ask(&hale, "hi");
    hale.wait_for_line("set disk_cache_dir");
    assert!(is_hit(&ask(&hale, "hi")), "memory is enough");
    assert_eq!(ping(&hale).status, 503);
    assert!(metric(&hale, "hale_cache_dropped_total", &[]) >= 1.0);
}
