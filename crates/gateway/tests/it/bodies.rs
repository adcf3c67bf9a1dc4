//! What a body may cost the process: memory while it is served and afterwards, time of the worker, the allowance of all.
//!
//! The fields, the operations and the shapes are those of `crates/wire/tests/memory.rs`, which measures every one; here
//! the process is measured that serves some of them.

use std::collections::BTreeSet;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::time::Duration;

use hale_core::operation::{Carries, Operation};
use hale_testkit::shapes::{Shape, names_in, shapes};
use hale_testkit::{Client, FakeUpstream, Hale, Script, openai};
use serde_json::json;

use crate::support::{
    CHAT, Config, KEY, UPSTREAM_KEY, chat, client, eventually, expect_error, lone, metric,
    wait_until_idle, within,
};
use crate::timing::Stopwatch;

const COUNT: &str = "/utils/token_counter";
pub(crate) const MIB: u64 = 1 << 20;

/// How often a request that costs too much is sent again before that is believed.
const TRIES: usize = 3;

/// A number of `/proc/PID/status`, in bytes.
pub(crate) fn status(hale: &Hale, name: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{}/status", hale.pid())).expect("it runs");
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")).expect("a number of KiB");
    kib.parse::<u64>().unwrap() << 10
}

/// From now on the largest size of the process is counted anew.
pub(crate) fn forget_peak(hale: &Hale) {
    fs::write(format!("/proc/{}/clear_refs", hale.pid()), "5").expect("the peak can be reset");
}

/// How often a worker worked longer than 50 ms without a look at its connections.
fn long_stalls(hale: &Hale) -> f64 {
    let name = "hale_worker_stall_seconds";
    let short = metric(hale, &format!("{name}_bucket"), &[("le", "0.05")]);
    metric(hale, &format!("{name}_count"), &[]) - short
}

/// A provider of each wire, with a group for each.
fn providers(upstream: &FakeUpstream, bytes: usize) -> Hale {
    let mib = 2 * (bytes >> 20) + 2;
    let anthropic = json!({
        "model_name": "claude", "model_info": {"id": "claude"},
        "litellm_params": {
            "model": "anthropic/claude-haiku-4-5", "api_key": UPSTREAM_KEY,
            "api_base": upstream.url(), "max_tokens": 9,
        },
    });
    let joins = json!({"model": "deepseek/deepseek-chat", "temperature": 0.5});
    Config::new()
        .deployment("m", "m", upstream)
        .with("deepseek", "deepseek", upstream, joins)
        .entry(anthropic)
        .litellm(json!({"request_timeout": 120, "num_retries": 0}))
        .general(json!({"max_request_size_mb": mib}))
        .start()
}

/// A request of `operation` to `model` whose `field` holds `value`.
fn request(operation: Operation, model: &str, (field, value): (&str, &str)) -> String {
    let others: BTreeSet<&str> =
        operation.required_fields().iter().chain(operation.one_of()).copied().collect();
    let others = others.into_iter().filter(|other| *other != field).map(|name| match name {
        "messages" => r#""messages":[{"role":"user","content":"hi"}]"#.to_owned(),
        "max_tokens" => r#""max_tokens":9"#.to_owned(),
        _ => format!("\"{name}\":\"x\""),
    });
    let stream = format!("\"stream\":{}", operation == Operation::Chat);
    let own = format!("\"{field}\":{value}");
    let all: Vec<String> =
        [format!("\"model\":\"{model}\""), stream].into_iter().chain(others).chain([own]).collect();
    format!("{{{}}}", all.join(","))
}

/// A few cases: the ends of `shapes` that once were expensive, and some of all others, always the same ones.
fn cases(one_in: u64) -> Vec<(Operation, &'static str, String, Shape)> {
    let wire = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wire/src");
    let names = names_in(&wire);
    // Some are only sent to providers: no client asks for them.
    let json = Operation::ALL
        .into_iter()
        .filter(|it| it.carries() == Carries::Json && !it.paths().is_empty());
    let mut found = Vec::new();
    for operation in json {
        for name in &names {
            for shape in shapes() {
                for model in ["m", "claude", "deepseek"] {
                    let mut hasher = DefaultHasher::new();
                    (operation.name(), name, &shape.name, model).hash(&mut hasher);
                    let dear = ["messages", "system", "metadata", "tools", "stream_options"];
                    let one_in = if dear.contains(&&**name) { one_in / 20 } else { one_in };
                    if hasher.finish().is_multiple_of(one_in) {
                        found.push((operation, model, name.clone(), shape));
                        break;
                    }
                }
            }
        }
    }
    found
}

/// What the process takes more than `before`, once that is little or 5 s have passed.
fn kept_after(hale: &Hale, before: u64) -> u64 {
    let watch = Stopwatch::start();
    eventually("the memory is back, or its time is over", || {
        let kept = status(hale, "VmRSS").saturating_sub(before);
        (kept <= 8 * MIB || watch.ms() >= 5_000).then_some(kept)
    })
}

/// Serves the cases with bodies of that size, and holds what each costs.
fn measure(bytes: usize, one_in: u64) {
    let upstream = FakeUpstream::with(|_| Script::ok().json(&openai::chat_completion("m", "ok")));
    let hale = providers(&upstream, bytes);
    chat(&hale, "m");
    // The tables of tokens are loaded once.
    let count = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
    let counted = client(&hale).request("POST", COUNT, &[], count.to_string().as_bytes());
    assert_eq!(counted.status, 200, "{}", counted.text());
    let cases = cases(one_in);
    assert!(cases.len() > 20, "too few cases: {}", cases.len());
    let mut wrong = Vec::new();
    for (operation, model, name, shape) in cases {
        let body = request(operation, model, (&name, &(shape.make)(bytes)));
        let path = operation.paths()[0].replace("{}", model);
        // What a body costs, it costs each time; what the machine adds (a page reclaimed, a slow moment) passes.
        let tries: Vec<String> = (0..TRIES).map_while(|_| excess(&hale, &path, &body)).collect();
        if tries.len() == TRIES {
            let what = format!("{} {name} to {model}: {}", operation.name(), shape.name);
            wrong.push(format!("{what}: {}", tries.join(" | ")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What a request costs more than it may, or nothing.
pub(crate) fn excess(hale: &Hale, path: &str, body: &str) -> Option<String> {
    excess_of(hale, KEY, (path, body))
}

/// The same with another key.
pub(crate) fn excess_of(hale: &Hale, key: &str, (path, body): (&str, &str)) -> Option<String> {
    let stalls = long_stalls(hale);
    let before = status(hale, "VmRSS");
    forget_peak(hale);
    let headers = [("content-type", "application/json")];
    let mut sender = hale.client_with_key(key).with_timeout(Duration::from_secs(120));
    let answer = sender.try_request("POST", path, &headers, body.as_bytes());
    let answered = answer.map_or_else(|error| error.to_string(), |it| it.status.to_string());
    let peak = status(hale, "VmHWM").saturating_sub(before);
    drop(sender);
    wait_until_idle(hale);
    let stalled = long_stalls(hale) - stalls;
    let kept = kept_after(hale, before);
    let length = body.len() as u64;
    let mut wrong = Vec::new();
    if peak > 4 * length + MIB {
        wrong.push(format!("took {peak}"));
    }
    if stalled > 0.0 {
        wrong.push(format!("held up the worker {stalled} times"));
    }
    if kept > 8 * MIB {
        wrong.push(format!("left {kept} behind"));
    }
    (!wrong.is_empty()).then(|| format!("{length} bytes {} ({answered})", wrong.join(", ")))
}

#[test]
fn a_body_costs_four_times_its_size_and_gives_all_of_it_back() {
    measure(3 << 20, 80_000);
}

#[test]
#[ignore = "takes minutes: bodies of 90 MiB"]
fn a_body_of_90_mib_costs_four_times_its_size_and_gives_all_of_it_back() {
    measure(90 << 20, 8_000);
}

fn head(framing: &str) -> String {
    format!(
        "POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n\
         content-type: application/json\r\n{framing}\r\n\r\n"
    )
}

#[test]
fn a_declared_length_takes_no_memory_until_the_body_comes() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).launch().limit("-v 1048576").start();
    chat(&hale, "m");
    let before = status(&hale, "VmSize");
    let clients: Vec<Client> = (0..20)
        .map(|_| {
            let mut one = client(&hale);
            one.send_raw(head("content-length: 104857600").as_bytes()).unwrap();
            one.send_raw(b"{\"model\"").unwrap();
            one.send_raw(b":\"m\",").unwrap();
            one
        })
        .collect();
    eventually("the bodies have begun", || {
        (metric(&hale, "hale_in_flight_requests", &[]) > 20.0).then_some(())
    });
    assert!(status(&hale, "VmSize") - before < 100 * MIB);
    assert!(metric(&hale, "hale_buffered_bytes", &[]) < 100_000.0);
    assert_eq!(chat(&hale, "m").status, 200);
    drop(clients);
}

#[test]
fn a_body_that_drips_is_refused_by_the_clock_of_the_whole() {
    let upstream = FakeUpstream::start();
    let bounds = json!({"body_read_timeout_s": 1, "body_min_rate_kib": 1024});
    let hale = lone(&upstream).general(bounds).start();
    for framing in ["content-length: 1000000", "transfer-encoding: chunked"] {
        let mut slow = client(&hale);
        slow.send_raw(head(framing).as_bytes()).unwrap();
        // Each piece comes in time.
        within(Duration::from_secs(15), "the dripping body is refused", || {
            let piece: &[u8] = if framing.starts_with("content") { b" " } else { b"1\r\n \r\n" };
            let sent = slow.send_raw(piece);
            (sent.is_err() || slow.read_response_now().is_some_and(|it| it.status == 408))
                .then_some(())
        });
    }
    assert_eq!(upstream.state().opened(), 0);
}

#[test]
fn the_slowest_body_makes_room_for_others() {
    let upstream = FakeUpstream::start();
    let bounds = json!({"max_buffered_mb": 1, "max_request_size_mb": 1, "max_response_size_mb": 1});
    let hale = lone(&upstream).general(bounds).start();
    let mut slow = client(&hale);
    slow.send_raw(head("content-length: 1000000").as_bytes()).unwrap();
    slow.send_raw(&[b' '; 900_000]).unwrap();
    eventually("most of it has come", || {
        (metric(&hale, "hale_buffered_bytes", &[]) > 800_000.0).then_some(())
    });
    let body = openai::chat_request("m", &"x".repeat(300 << 10)).to_string();
    // A body can be the slowest once it has come for a second.
    let answer = eventually("there is room", || {
        let answer = client(&hale).request("POST", CHAT, &[], body.as_bytes());
        (answer.status != 503).then_some(answer)
    });
    assert_eq!(answer.status, 200, "{}", answer.text());
    let refused = slow.read_response().expect("the slowest is told why");
    let error = expect_error(&refused, 503, "overloaded");
    assert!(error["message"].as_str().unwrap().contains("came slowest"), "{error}");
    wait_until_idle(&hale);
    assert_eq!(metric(&hale, "hale_buffered_bytes", &[]), 0.0);
}

#[test]
fn a_connection_holds_one_body_whatever_it_sends_ahead() {
    let upstream =
        FakeUpstream::with(|_| Script::ok().wait("go").json(&openai::chat_completion("m", "ok")));
    let hale = lone(&upstream).general(json!({"max_request_size_mb": 1})).start();
    let body = openai::chat_request("m", &"x".repeat(200 << 10)).to_string();
    let mut sender = client(&hale);
    let framing = format!("content-length: {}", body.len());
    for _ in 0..5 {
        sender.send_raw((head(&framing) + &body).as_bytes()).unwrap();
    }
    upstream.wait_for(|state| state.waiting_at("go") == 1);
    // As it came, and as it is sent.
    let most = 2.0 * f64::from(u32::try_from(body.len()).unwrap());
    let held = metric(&hale, "hale_buffered_bytes", &[]);
    assert!(held <= most, "{held}");
    assert_eq!(upstream.state().requests.len(), 1);
    upstream.release("go");
    for _ in 0..5 {
        assert_eq!(sender.read_response().unwrap().status, 200);
    }
    wait_until_idle(&hale);
}

#[test]
fn what_follows_an_empty_answer_is_not_collected() {
    let mut padded = openai::role_chunk("m");
    padded["pad"] = json!("x".repeat(900 << 10));
    let upstream = FakeUpstream::with(move |_| {
        let finish = openai::finish_chunk("m", "stop");
        let start = Script::ok().stream().event(&finish);
        (0..14).fold(start, |script, _| script.event(&padded)).done().end()
    });
    let hale = lone(&upstream).start();
    let took = |_| {
        wait_until_idle(&hale);
        forget_peak(&hale);
        let before = status(&hale, "VmRSS");
        let mut reader = client(&hale);
        let mut stream = reader.stream(CHAT, &[], &openai::stream_request("m", "hi"));
        assert_eq!(stream.remaining().len(), 16, "nothing is lost");
        status(&hale, "VmHWM").saturating_sub(before)
    };
    // What would be collected would be collected each time; what the start of the process still takes passes.
    let tries: Vec<u64> = (0..TRIES).map(took).take_while(|peak| *peak >= 8 * MIB).collect();
    assert!(tries.len() < TRIES, "{tries:?}");
}

#[test]
fn a_field_for_the_gateway_is_refused_by_its_name_when_it_is_large() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).start();
    let long = "x".repeat(70 << 10);
    for field in ["fallbacks", "tags", "stream_options", "litellm_metadata", "num_retries"] {
        let body = request(Operation::Chat, "m", (field, &format!("[\"{long}\"]")));
        let answer = client(&hale).request("POST", CHAT, &[], body.as_bytes());
        let error = expect_error(&answer, 400, "invalid_parameter");
        assert_eq!(error["param"], field);
        assert!(error["message"].as_str().unwrap().contains("64 KiB"), "{error}");
    }
    assert_eq!(upstream.state().opened(), 0);
}
