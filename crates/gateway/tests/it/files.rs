//! `/v1/files` and `/v1/batches`: which deployment gets them, their ids, and which bytes change.

use hale_testkit::forms::{self, BATCH, FILE, OUTPUT, Part};
use hale_testkit::{FakeUpstream, Hale, Response, Script};
use serde_json::{Value, json};

use crate::forms::{fake, post, post_with};
use crate::support::{Config, LOG, client, expect_error, lone, pair, wait_for_records};

const FILES: &str = "/v1/files";
const BATCHES: &str = "/v1/batches";
const LINES: &str = "{\"custom_id\":\"1\",\"method\":\"POST\",\"url\":\"/v1/chat/completions\",\
                     \"body\":{\"model\":\"m\",\"messages\":[]}}\n";

fn jsonl(more: &[(&'static str, &'static str)]) -> Vec<Part<'static>> {
    let words = more.iter().map(|(name, word)| (*name, None, word.as_bytes()));
    [("purpose", None, &b"batch"[..]), ("file", Some("a.jsonl"), LINES.as_bytes())]
        .into_iter()
        .chain(words)
        .collect()
}

#[track_caller]
fn ask(hale: &Hale, method: &str, path: &str) -> Response {
    client(hale).request(method, path, &[], b"")
}

#[track_caller]
fn id(answer: &Response) -> String {
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["id"].as_str().unwrap().to_owned()
}

fn batch_of(file: &str) -> Value {
    json!({"input_file_id": file, "endpoint": "/v1/chat/completions", "completion_window": "24h"})
}

#[track_caller]
fn only_second(hale: &Hale) {
    let path = "/router/deployments/bad/disable";
    assert_eq!(client(hale).request("POST", path, &[], b"").status, 200);
}

/// Two accounts of one group; a file at the second, which is called last for everything else.
fn file_at_second(one: &FakeUpstream, two: &FakeUpstream) -> (Hale, String) {
    let hale = pair(one, two).general(json!({"request_log": LOG})).start();
    only_second(&hale);
    let file = id(&post(&hale, FILES, &jsonl(&[])));
    client(&hale).request("POST", "/router/deployments/bad/enable", &[], b"");
    (hale, file)
}

#[test]
fn a_batch_lives_where_its_file_does_from_upload_to_result() {
    let (one, two) = (fake(), fake());
    let (hale, file) = file_at_second(&one, &two);
    assert!(file.starts_with("file-") && file != FILE, "{file}");
    let created = client(&hale).post_json(BATCHES, &[], &batch_of(&file));
    let batch = id(&created);
    assert!(batch.starts_with("batch_") && batch != BATCH, "{batch}");
    assert_eq!(created.json()["input_file_id"], file);
    assert_eq!(two.request(1).json(), batch_of(FILE));

    let done = ask(&hale, "GET", &format!("{BATCHES}/{batch}"));
    assert_eq!((&done.json()["id"], &done.json()["error_file_id"]), (&json!(batch), &Value::Null));
    let output = done.json()["output_file_id"].as_str().unwrap().to_owned();
    let content = ask(&hale, "GET", &format!("{FILES}/{output}/content"));
    assert_eq!(content.text(), "{\"custom_id\":\"1\"}\n{\"custom_id\":\"2\"}\n");
    assert_eq!(content.header("content-type"), Some("application/octet-stream"));
    assert_eq!(ask(&hale, "GET", &format!("{FILES}/{file}")).json()["id"], file);
    let cancelled = ask(&hale, "POST", &format!("{BATCHES}/{batch}/cancel"));
    assert_eq!((id(&cancelled), &cancelled.json()["status"]), (batch, &json!("cancelling")));
    let deleted = ask(&hale, "DELETE", &format!("{FILES}/{file}"));
    assert_eq!(deleted.json(), json!({"id": file, "object": "file", "deleted": true}));
    let asked: Vec<String> = two.requests()[2..]
        .iter()
        .map(|request| format!("{} {} {}", request.method, request.path, request.text()))
        .collect();
    let expected = [
        format!("GET {BATCHES}/{BATCH} "),
        format!("GET {FILES}/{OUTPUT}/content "),
        format!("GET {FILES}/{FILE} "),
        format!("POST {BATCHES}/{BATCH}/cancel "),
        format!("DELETE {FILES}/{FILE} "),
    ];
    assert_eq!(asked, expected);
    assert!(one.requests().is_empty());
    let records = wait_for_records(&hale, 7);
    let operations: Vec<&Value> = records.iter().map(|record| &record["operation"]).collect();
    let expected =
        ["files", "batches", "batches_get", "files_content", "files_get", "batches_cancel"];
    assert_eq!(operations[..6], expected.map(Value::from).each_ref()[..]);
}

#[test]
fn a_file_goes_where_its_model_says_and_takes_the_deployments_name_for_it() {
    let (one, two) = (fake(), fake());
    let hale = Config::new()
        .with("m", "a", &one, json!({"model": "openai/gpt-4o-mini"}))
        .with("n", "b", &two, json!({"model": "openai/gpt-4o"}))
        .start();
    let expected = |model: &str| {
        let lines = LINES.replace("\"m\"", &format!("\"{model}\""));
        forms::form(&[("purpose", None, b"batch"), ("file", Some("a.jsonl"), lines.as_bytes())])
    };
    // The first request of the file names the model.
    id(&post(&hale, FILES, &jsonl(&[])));
    assert_eq!(one.request(0).body, expected("gpt-4o-mini"));
    // A model named for the whole file counts for all of its requests.
    id(&post(&hale, FILES, &jsonl(&[("model", "n")])));
    id(&post(
        &hale,
        FILES,
        &jsonl(&[("target_model_names", "n"), ("custom_llm_provider", "openai")]),
    ));
    id(&post(&hale, "/files?model=n", &jsonl(&[])));
    id(&post_with(&hale, "/openai/files?api-version=x", &[("x-litellm-model", "n")], &jsonl(&[])));
    assert_eq!((one.requests().len(), two.requests().len()), (1, 4));
    for request in two.requests() {
        assert_eq!((request.path.as_str(), request.body), (FILES, expected("gpt-4o")));
    }
    // Other files are not read.
    let data: [Part<'_>; 3] = [
        ("purpose", None, b"user_data"),
        ("file", Some("a.jsonl"), LINES.as_bytes()),
        ("expires_after[anchor]", None, b"created_at"),
    ];
    let unsaid = post(&hale, FILES, &data);
    let error = expect_error(&unsaid, 400, "missing_parameter");
    assert!(error["message"].as_str().unwrap().contains("x-litellm-model"), "{error}");
    id(&post_with(&hale, FILES, &[("x-litellm-model", "m")], &data));
    assert_eq!(one.request(1).body, forms::form(&data));
    expect_error(&post(&hale, FILES, &jsonl(&[("model", "unknown-model")])), 400, "unknown_model");
}

#[test]
fn a_file_goes_whole_to_a_sibling_and_to_no_other_group() {
    let (one, two, other) = (fake(), fake(), fake());
    one.answer_with(|_| Script::rate_limited(1));
    let config = pair(&one, &two).deployment("other", "c", &other);
    let hale = config.router(json!({"fallbacks": [{"m": ["other"]}]})).start();
    id(&post(&hale, FILES, &jsonl(&[])));
    assert_eq!((one.requests().len(), two.requests().len()), (1, 1));
    assert_eq!(one.request(0).body, two.request(0).body);
    two.answer_with(|_| Script::error(500, "down"));
    let failed = post(&hale, FILES, &jsonl(&[]));
    assert_eq!(failed.status, 500, "{}", failed.text());
    assert!(other.requests().is_empty());
}

#[test]
fn an_answer_about_a_file_of_the_wrong_type_is_named_for_what_it_is() {
    // Bad input, row 80.
    let upstream = fake();
    let config = lone(&upstream).router(json!({"num_retries": 0}));
    let hale = config.general(json!({"request_log": LOG})).start();
    let file = format!("{FILES}/{}", id(&post(&hale, FILES, &jsonl(&[]))));
    let content = format!("{file}/content");
    let page = || Script::ok().body("text/html", "<html>portal</html>");
    let rows: [(&str, &str, Script, &str); 7] = [
        ("GET", &file, page(), "an HTML page"),
        ("GET", &file, Script::ok().body("application/json", ""), "an empty body"),
        ("GET", &file, Script::ok().json(&json!({"object": "file"})), "JSON without `id`"),
        ("DELETE", &file, Script::ok().json(&json!({"id": FILE})), "JSON without `deleted`"),
        ("GET", FILES, Script::ok().body("audio/mpeg", b"ID3\x04\xff"), "not UTF-8"),
        ("GET", BATCHES, Script::ok().json(&json!({"data": {}})), "JSON without `data`"),
        ("GET", &content, page(), "an HTML page where a file was expected"),
    ];
    for (method, path, script, says) in rows {
        upstream.answer_with(move |_| script.clone());
        let error = expect_error(&ask(&hale, method, path), 502, "upstream_failed");
        assert!(error["message"].as_str().unwrap().contains(says), "{path}: {error}");
    }
    // A file may be empty.
    upstream.answer_with(|_| Script::ok().body("application/octet-stream", ""));
    let empty = ask(&hale, "GET", &content);
    assert_eq!((empty.status, empty.body.len(), empty.cut), (200, 0, false));
    assert_eq!(wait_for_records(&hale, 9)[8]["ending"], "success");
}

#[test]
fn with_one_account_no_model_need_be_named() {
    let upstream = fake();
    let config = lone(&upstream).with("n", "b", &upstream, json!({"model": "openai/gpt-4o-mini"}));
    let hale = config.start();
    let data: [Part<'_>; 2] = [("purpose", None, b"user_data"), ("file", Some("a"), b"x")];
    id(&post(&hale, FILES, &data));
    let list = ask(&hale, "GET", FILES);
    assert_eq!(list.status, 200, "{}", list.text());
    assert_eq!(list.json()["data"].as_array().map(Vec::len), Some(2));
}

#[test]
fn a_list_is_of_one_account_and_goes_on_in_it() {
    let (one, two) = (fake(), fake());
    let (hale, file) = file_at_second(&one, &two);
    for path in [FILES, BATCHES, "/openai/v1/files"] {
        let list = ask(&hale, "GET", path);
        let error = expect_error(&list, 400, "missing_parameter");
        assert_eq!(error["param"], "model");
    }
    let first = ask(&hale, "GET", &format!("{FILES}?model=m&limit=2&purpose=batch&api-version=x"));
    assert_eq!((first.status, first.header("x-litellm-model-id")), (200, Some("bad")));
    assert_eq!(one.request(0).path, "/v1/files?limit=2&purpose=batch");
    let list = first.json();
    assert_eq!(list["first_id"], list["data"][0]["id"]);
    assert_eq!(list["last_id"], list["data"][1]["id"]);
    assert_ne!(list["data"][0]["id"], file, "the same id of two accounts is two files");
    // The list after a file is of that file's account.
    let next = ask(&hale, "GET", &format!("/files?after={file}&limit=2"));
    assert_eq!((next.status, next.header("x-litellm-model-id")), (200, Some("good")));
    assert_eq!(next.json()["data"][0]["id"], file);
    assert_eq!(two.request(1).path, format!("/v1/files?limit=2&after={FILE}"));
    let batches = ask(&hale, "GET", "/batches?model=m");
    let entry = &batches.json()["data"][0];
    assert!(entry["id"].as_str().unwrap().starts_with("batch_"));
    assert_eq!(
        ask(&hale, "GET", &format!("/batches/{}", entry["id"].as_str().unwrap())).status,
        200
    );
    let foreign = ask(&hale, "GET", &format!("{FILES}?after=file-abc"));
    assert_eq!(expect_error(&foreign, 400, "unknown_file")["param"], "after");
}

#[test]
fn ids_that_are_not_ours_reach_no_upstream() {
    let upstream = fake();
    let hale = lone(&upstream).start();
    let file = id(&post(&hale, FILES, &jsonl(&[])));
    let batch = id(&client(&hale).post_json(BATCHES, &[], &batch_of(&file)));
    let asked = upstream.requests().len();
    for wrong in [FILE, "..%2F..%2Fmodels", &batch, &file.to_lowercase()] {
        for (method, tail) in [("GET", ""), ("DELETE", ""), ("GET", "/content")] {
            expect_error(
                &ask(&hale, method, &format!("{FILES}/{wrong}{tail}")),
                404,
                "unknown_file",
            );
        }
        let error = client(&hale).post_json(BATCHES, &[], &batch_of(wrong));
        assert_eq!(expect_error(&error, 400, "unknown_file")["param"], "input_file_id");
    }
    for wrong in [BATCH, &file] {
        expect_error(&ask(&hale, "GET", &format!("{BATCHES}/{wrong}")), 404, "unknown_batch");
        let cancelled = ask(&hale, "POST", &format!("{BATCHES}/{wrong}/cancel"));
        expect_error(&cancelled, 404, "unknown_batch");
    }
    let missing =
        client(&hale).post_json(BATCHES, &[], &json!({"endpoint": "/v1/chat/completions"}));
    assert_eq!(expect_error(&missing, 400, "missing_parameter")["param"], "input_file_id");
    let half = client(&hale).post_json(BATCHES, &[], &json!({"input_file_id": file}));
    assert_eq!(expect_error(&half, 400, "missing_parameter")["param"], "endpoint");
    assert_eq!(upstream.requests().len(), asked);
}

#[test]
fn a_batch_for_a_model_elsewhere_is_refused() {
    let (one, two) = (fake(), fake());
    let config = lone(&one).with("n", "b", &two, json!({"api_key": "k-other"}));
    let hale = config.start();
    let file = id(&post(&hale, FILES, &jsonl(&[])));
    let mut body = batch_of(&file);
    body["model"] = json!("n");
    let answer = client(&hale).post_json(BATCHES, &[], &body);
    let error = expect_error(&answer, 400, "file_elsewhere");
    assert!(error["message"].as_str().unwrap().contains("model 'm'"), "{error}");
    body["model"] = json!("m");
    assert_eq!(client(&hale).post_json(BATCHES, &[], &body).status, 200);
    assert_eq!(one.request(1).json(), batch_of(FILE));
    assert!(two.requests().is_empty());
}

#[test]
fn what_one_account_keeps_is_requested_nowhere_else() {
    // Case 75.
    let (one, spare) = (fake(), fake());
    let hale = lone(&one)
        .with("spare", "s", &spare, json!({"api_key": "k-other"}))
        .router(json!({"fallbacks": [{"m": ["spare"]}], "num_retries": 0}))
        .start();
    let file = id(&post(&hale, FILES, &jsonl(&[])));
    let batch = id(&client(&hale).post_json(BATCHES, &[], &batch_of(&file)));
    one.answer_with(|_| Script::error(500, "down"));
    for path in [format!("{FILES}/{file}"), format!("{BATCHES}/{batch}")] {
        expect_error(&ask(&hale, "GET", &path), 500, "upstream_failed");
    }
    let again = client(&hale).post_json(BATCHES, &[], &batch_of(&file));
    expect_error(&again, 500, "upstream_failed");
    assert!(spare.requests().is_empty());
}

#[test]
fn azure_keeps_files_and_batches_below_no_deployment() {
    let upstream = fake();
    let params = json!({"model": "azure/my-gpt", "api_key": "azure-secret", "api_version": "2024-10-21",
                        "api_base": upstream.url()});
    let hale = Config::new()
        .entry(json!({"model_name": "m", "litellm_params": params, "model_info": {"id": "a"}}))
        .start();
    let file = id(&post(&hale, "/openai/files?api-version=2024-10-21", &jsonl(&[])));
    let batch = id(&client(&hale).post_json("/openai/batches", &[], &batch_of(&file)));
    ask(&hale, "GET", &format!("/openai/batches/{batch}?api-version=x"));
    ask(&hale, "GET", &format!("/openai/files/{file}/content?api-version=x"));
    let asked: Vec<String> = upstream.requests().into_iter().map(|request| request.path).collect();
    let expected = [
        "/openai/files?api-version=2024-10-21".to_owned(),
        "/openai/batches?api-version=2024-10-21".to_owned(),
        format!("/openai/batches/{BATCH}?api-version=2024-10-21"),
        format!("/openai/files/{FILE}/content?api-version=2024-10-21"),
    ];
    assert_eq!(asked, expected);
    assert!(upstream.request(0).text().contains("\"model\":\"my-gpt\""));
}

#[test]
fn an_error_about_a_file_counts_against_no_deployment() {
    let upstream = fake();
    let hale = lone(&upstream).start();
    let file = id(&post(&hale, FILES, &jsonl(&[])));
    upstream.answer_with(|_| Script::error(404, "No such File object"));
    let gone = ask(&hale, "GET", &format!("{FILES}/{file}"));
    assert_eq!(gone.status, 404, "{}", gone.text());
    let state = client(&hale).get("/router/state").json().to_string();
    assert!(!state.contains("not_found"), "{state}");
}
