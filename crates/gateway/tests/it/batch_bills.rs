//! Batches are billed when they end: once, at the price of batches.

use hale_testkit::{FakeUpstream, Hale, Launch, Postgres, Request, Script, TempDir, openai};
use serde_json::{Value, json};

use crate::keys::{ask, make};
use crate::spend::{config, get};
use crate::support::{Config, KEY, connected, eventually, hale};

const LINE: &str = r#"{"custom_id":"1","method":"POST","url":"/v1/chat/completions","body":{"model":"m","messages":[]}}"#;

/// An upstream whose batch has ended. What it used is in its object, if `counts` say so, and in its file: 100 tokens of prompts and 50 of answers.
fn upstream(counts: bool) -> FakeUpstream {
    FakeUpstream::with(move |request: &Request| {
        let answer = |usage: Value| json!({"custom_id": "1", "response": {"status_code": 200, "body": {"model": "gpt-4o-2024-08-06", "usage": usage}}});
        match (&*request.method, &*request.path) {
            ("POST", "/v1/files") => {
                Script::ok().json(&json!({"id": "file-in", "object": "file", "purpose": "batch"}))
            }
            ("GET", "/v1/files/file-out/content") => {
                let lines = [
                    answer(json!({"prompt_tokens": 60, "completion_tokens": 20})),
                    answer(json!({"prompt_tokens": 40, "completion_tokens": 30})),
                    json!({"custom_id": "2", "response": {"status_code": 400, "body": {"error": {}}}}),
                ];
                let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
                Script::ok().body("application/octet-stream", text)
            }
            (_, path) if path.starts_with("/v1/batches") => {
                let mut batch = json!({
                    "id": "batch_1", "object": "batch", "input_file_id": "file-in", "status": "validating", "output_file_id": null,
                });
                if request.method == "GET" {
                    batch["status"] = json!("completed");
                    batch["output_file_id"] = json!("file-out");
                    if counts {
                        batch["usage"] =
                            json!({"input_tokens": 100, "output_tokens": 50, "total_tokens": 150});
                    }
                }
                Script::ok().json(&batch)
            }
            _ => {
                let mut body = openai::chat_completion(&request.model(), "ok");
                body["usage"] = openai::usage(20, 10);
                Script::ok().json(&body)
            }
        }
    })
}

fn at(config: &Config, directory: &TempDir) -> Launch {
    config.launch().env("HALE_DATA_DIR", directory.path().to_str().unwrap())
}

/// Makes a batch with that key, and returns the path of it.
fn batch(hale: &Hale, key: &str) -> String {
    let boundary = "xxBOUNDARYxx";
    let form = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n--{boundary}\r\n\
         Content-Disposition: form-data; name=\"file\"; filename=\"a.jsonl\"\r\n\r\n{LINE}\n\r\n--{boundary}--\r\n"
    );
    let kind = format!("multipart/form-data; boundary={boundary}");
    let file = hale.client_with_key(key).request(
        "POST",
        "/v1/files",
        &[("content-type", &kind)],
        form.as_bytes(),
    );
    assert_eq!(file.status, 200, "{}", file.text());
    let body = json!({"input_file_id": file.json()["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h"});
    let made = hale.client_with_key(key).post_json("/v1/batches", &[], &body);
    assert_eq!(made.status, 200, "{}", made.text());
    format!("/v1/batches/{}", made.json()["id"].as_str().unwrap())
}

/// Gets the batch, and the path of its answers.
fn see(hale: &Hale, key: &str, batch: &str) -> String {
    let seen = hale.client_with_key(key).get(batch);
    assert_eq!(seen.status, 200, "{}", seen.text());
    format!("/v1/files/{}/content", seen.json()["output_file_id"].as_str().unwrap())
}

fn bills(hale: &Hale) -> Vec<Value> {
    let logs = get(hale, "/spend/logs");
    let logs = logs.as_array().unwrap().clone();
    logs.into_iter().filter(|log| log["call_type"] == "aretrieve_batch").collect()
}

/// The bills of batches, once there is one and everything before them is written.
fn settled(hale: &Hale) -> Vec<Value> {
    assert_eq!(ask(hale, KEY, "m").status, 200);
    eventually("what was asked last", || {
        let logs = get(hale, "/spend/logs");
        let is_written =
            logs.as_array().unwrap().iter().any(|log| log["call_type"] == "acompletion");
        (is_written && !bills(hale).is_empty()).then_some(())
    });
    bills(hale)
}

#[track_caller]
fn agrees(store: &str) {
    let audit = hale().arg("spend").arg("--database").arg(store).arg("audit").run();
    assert_eq!(audit.code(), Some(0), "{}{}", audit.stdout, audit.stderr);
}

#[track_caller]
fn is_the_bill(bills: &[Value], hash: &str) {
    assert_eq!(bills.len(), 1, "{bills:?}");
    let bill = &bills[0];
    assert_eq!(bill["request_id"], "file-out_batch_cost");
    assert_eq!((&bill["prompt_tokens"], &bill["completion_tokens"]), (&json!(100), &json!(50)));
    assert_eq!((&bill["api_key"], &bill["model_group"]), (&json!(hash), &json!("m")), "{bill}");
    // 0.1 and 0.1 USD, and half of that for a batch.
    assert!((bill["spend"].as_f64().unwrap() - 0.1).abs() < 1e-9, "{bill}");
}

#[test]
fn a_batch_is_billed_once_however_often_its_end_is_seen_and_its_answers_are_read() {
    for counts in [true, false] {
        let upstream = upstream(counts);
        let directory = TempDir::new();
        let config = config(&upstream);
        let mut hale = at(&config, &directory).start();
        let (key, made) = make(&hale, &json!({}));
        let path = batch(&hale, &key);
        assert!(bills(&hale).is_empty());
        let file = see(&hale, &key, &path);
        for _ in 0..3 {
            see(&hale, &key, &path);
            let content = hale.client_with_key(&key).get(&file);
            assert_eq!(content.text().lines().count(), 3);
        }
        is_the_bill(&settled(&hale), made["token"].as_str().unwrap());
        hale.stop();
        let hale = at(&config, &directory).start();
        see(&hale, &key, &path);
        hale.client_with_key(&key).get(&file);
        is_the_bill(&settled(&hale), made["token"].as_str().unwrap());
        let spent = get(&hale, &format!("/key/info?key={}", made["token"].as_str().unwrap()));
        assert!((spent["info"]["spend"].as_f64().unwrap() - 0.1).abs() < 1e-9, "{spent}");
        agrees(directory.path().join("hale.db").to_str().unwrap());
    }
}

#[test]
fn two_replicas_that_see_the_end_of_a_batch_bill_it_once() {
    let upstream = upstream(true);
    let server = Postgres::start();
    let url = server.database();
    let config = config(&upstream);
    let start = || config.launch().env("DATABASE_URL", &url).start();
    let (one, other) = (start(), start());
    [&one, &other].into_iter().for_each(connected);
    let path = batch(&one, KEY);
    for _ in 0..3 {
        let file = see(&one, KEY, &path);
        see(&other, KEY, &path);
        other.client_with_key(KEY).get(&file);
    }
    settled(&one);
    is_the_bill(&settled(&other), "litellm_proxy_master_key");
    agrees(&url);
}

#[test]
fn a_batch_counts_against_the_budget_of_its_key() {
    let upstream = upstream(true);
    let directory = TempDir::new();
    let hale = at(&config(&upstream), &directory).start();
    let (key, _) = make(&hale, &json!({"max_budget": 0.09}));
    assert_eq!(ask(&hale, &key, "m").status, 200);
    let path = batch(&hale, &key);
    see(&hale, &key, &path);
    // The batch costs 0.1 USD, the request 0.04: another one is refused for what the batch cost.
    eventually("the account has the batch", || {
        let page = get(&hale, &format!("/ui/reach?key={key}"));
        (page["levels"][0]["spend"].as_f64()? > 0.13).then_some(())
    });
    assert_eq!(ask(&hale, &key, "m").status, 422);
}
