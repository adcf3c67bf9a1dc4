//! The mirror: a second gateway gets a sample of requests, and nothing that it does is felt by their clients.

use std::time::Duration;

use hale_testkit::{FakeUpstream, Finished, Hale, Request, Script, TempDir, openai};
use serde_json::{Value, json};

use crate::spend::{config, upstream};
use crate::support::{CHAT, KEY, chat_with, client, eventually, hale};

fn start(provider: &FakeUpstream, second: &FakeUpstream, directory: &TempDir, more: Value) -> Hale {
    let mut mirror =
        json!({"url": second.url(), "percent": 100, "budget": 5, "api_key": "sk-of-the-second"});
    mirror.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let config = config(provider).general(json!({"mirror": mirror}));
    config.launch().env("HALE_DATA_DIR", directory.path().to_str().unwrap()).start()
}

fn compared(directory: &TempDir, count: usize) -> Vec<Value> {
    eventually("what was compared", || {
        let text = std::fs::read_to_string(directory.path().join("hale.mirror.jsonl")).ok()?;
        let lines: Vec<Value> =
            text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        (lines.len() >= count).then_some(lines)
    })
}

fn compare(directory: &TempDir) -> Finished {
    let file = directory.path().join("hale.mirror.jsonl");
    hale().arg("migrate").arg("compare").arg(file.to_str().unwrap()).run()
}

/// A second gateway that answers as this one does, but for what `other` changes.
fn second(other: impl Fn(Value) -> Script + Send + 'static) -> FakeUpstream {
    FakeUpstream::with(move |request: &Request| {
        let mut body = openai::chat_completion("m", "another text");
        body["usage"] = openai::usage(20, 10);
        assert_eq!(request.header("x-hale-mirrored"), Some("1"));
        other(body)
    })
}

#[test]
fn equal_answers_agree_and_each_class_of_a_difference_is_told() {
    let provider = upstream();
    let body = openai::chat_request("m", "a secret word");
    let equal = second(|body| Script::ok().header("x-litellm-response-cost", "0.04").json(&body));
    let directory = TempDir::new();
    let hale = start(&provider, &equal, &directory, json!({}));
    assert_eq!(chat_with(&hale, &[("cookie", "c=1")], &body).status, 200);
    let lines = compared(&directory, 1);
    let seen = equal.request(0);
    assert_eq!(
        (&*seen.path, seen.header("authorization")),
        (CHAT, Some("Bearer sk-of-the-second"))
    );
    assert_eq!((seen.header("cookie"), seen.json()), (None, body.clone()));
    assert!(!json!(lines).to_string().contains("secret"), "{lines:?}");
    let told = compare(&directory);
    assert_eq!(told.code(), Some(0), "{}{}", told.stdout, told.stderr);
    assert!(told.stdout.contains("1 requests were compared"), "{}", told.stdout);

    type Other = fn(Value) -> Script;
    let differs: [(&str, Other); 5] = [
        ("status: 200 here, 500 there", |_| Script::error(500, "no")),
        ("usage: tokens of the prompt", |mut body| {
            body["usage"] = openai::usage(21, 10);
            Script::ok().json(&body)
        }),
        ("cost: the same tokens cost something else", |body| {
            Script::ok().header("x-litellm-response-cost", "0.05").json(&body)
        }),
        ("shape: only there: more (boolean)", |mut body| {
            body["more"] = json!(true);
            Script::ok().json(&body)
        }),
        ("headers: only there: x-own", |body| Script::ok().header("x-own", "1").json(&body)),
    ];
    for (expected, other) in differs {
        let (second, directory) = (second(other), TempDir::new());
        let hale = start(&provider, &second, &directory, json!({}));
        assert_eq!(chat_with(&hale, &[], &body).status, 200);
        compared(&directory, 1);
        let told = compare(&directory);
        let line = told.stdout.lines().find(|line| line.starts_with(expected));
        assert!(
            line.is_some_and(|line| line.contains("NOT EXPLAINED")),
            "{expected}: {}",
            told.stdout
        );
        assert_eq!(told.code(), Some(1));
    }
}

#[test]
fn a_second_gateway_that_hangs_fails_or_floods_is_not_felt() {
    let provider = upstream();
    let body = openai::chat_request("m", "hi");
    let bad: [fn(Value) -> Script; 4] = [
        |_| Script::silent(),
        |_| Script::error(500, "no"),
        |_| Script::ok().body("application/json", vec![b'x'; 90 << 20]),
        |_| {
            Script::with_status(302)
                .header("location", "http://127.0.0.1:9/")
                .body("text/plain", "")
        },
    ];
    for other in bad {
        let (second, directory) = (second(other), TempDir::new());
        let hale = start(&provider, &second, &directory, json!({"budget": 1000}));
        for _ in 0..100 {
            let answer = chat_with(&hale, &[], &body);
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
        eventually("a copy", || (!second.requests().is_empty()).then_some(()));
        assert!(second.requests().len() <= 100);
        assert_eq!(client(&hale).get("/health/liveliness").status, 200);
    }
    let directory = TempDir::new();
    let gone = FakeUpstream::start();
    let url = gone.url();
    drop(gone);
    let hale = config(&provider)
        .general(json!({"mirror": {"url": url, "percent": 100, "budget": 5}}))
        .launch()
        .env("HALE_DATA_DIR", directory.path().to_str().unwrap())
        .start();
    assert_eq!(chat_with(&hale, &[], &body).status, 200);
    let lines = compared(&directory, 1);
    assert!(lines[0]["other"]["failed"].is_string(), "{lines:?}");
    assert!(compare(&directory).stdout.contains("answer: "));
}

#[test]
fn the_budget_and_the_share_bound_what_the_second_gateway_gets() {
    let provider = upstream();
    let body = openai::chat_request("m", "hi");
    let (second, directory) = (second(|body| Script::ok().json(&body)), TempDir::new());
    // Each costs 0.04 USD.
    let hale = start(&provider, &second, &directory, json!({"budget": 0.1}));
    for _ in 0..10 {
        assert_eq!(chat_with(&hale, &[], &body).status, 200);
    }
    compared(&directory, 3);
    // Nothing says that no more come, so that what may come has time.
    std::thread::sleep(Duration::from_millis(200));
    assert!(second.requests().len() <= 6, "three a day, and a day may have ended");
    // A copy is not copied, and files are none.
    let looped = hale.client_with_key(KEY).post_json(CHAT, &[("x-hale-mirrored", "1")], &body);
    assert_eq!(looped.status, 200);
    let none = compare(&TempDir::new());
    assert_eq!(none.code(), Some(2), "{}", none.stdout);
}
