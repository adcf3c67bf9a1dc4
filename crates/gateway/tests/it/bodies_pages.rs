//! What a body may cost the process that is sent to a page: of any key and in any shape.
//!
//! The pages are those of the table of endpoints, as `GET /routes` shows it.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use hale_core::operation::Operation;
use hale_testkit::shapes::shapes;
use hale_testkit::{FakeUpstream, Hale};
use serde_json::{Value, json};

use crate::bodies::excess_of;
use crate::keys::make;
use crate::support::{KEY, chat, client, error, expect_error, lone};

/// How often a request that costs too much is sent again before that is believed.
const TRIES: usize = 3;
/// The longest body of a page.
const PAGE: usize = 1 << 20;

/// The pages that may read a body.
fn pages(hale: &Hale) -> Vec<String> {
    let operations: BTreeSet<&str> = Operation::ALL.into_iter().map(|one| one.name()).collect();
    let routes = hale.client().get("/routes").json();
    let rows = routes["routes"].as_array().unwrap().iter();
    let posts = rows.filter(|row| {
        row["methods"] == json!(["POST"]) && !operations.contains(row["name"].as_str().unwrap())
    });
    posts.map(|row| row["path"].as_str().unwrap().replace("{name}", "m")).collect()
}

/// Fields that pages read.
const FIELDS: [&str; 14] = [
    "metadata",
    "models",
    "keys",
    "key",
    "user_ids",
    "member",
    "messages",
    "completion_response",
    "tags",
    "model_max_budget",
    "budget_limits",
    "litellm_params",
    "aliases",
    "unknown",
];

fn body(field: &str, value: &str) -> String {
    let others =
        [("model", "\"m\""), ("team_id", "\"t\""), ("name", "\"n\""), ("user_id", "\"u\"")];
    let others = others.iter().map(|(name, value)| format!("\"{name}\":{value}"));
    let all: Vec<String> = others.chain([format!("\"{field}\":{value}")]).collect();
    format!("{{{}}}", all.join(","))
}

/// What the cases that are one in `one_in` cost too much.
fn wrong(hale: &Hale, ordinary: &str, one_in: u64) -> Vec<String> {
    let pages = pages(hale);
    assert!(pages.len() > 30, "{pages:?}");
    let mut wrong = Vec::new();
    let mut count = 0;
    for page in &pages {
        for field in FIELDS {
            for shape in shapes() {
                for (size, bytes) in
                    [("short", 32 << 10), ("fits", PAGE - 4_096), ("long", 4 * PAGE)]
                {
                    for (who, key) in [("ordinary", ordinary), ("master", KEY)] {
                        let mut hasher = DefaultHasher::new();
                        (page, field, &shape.name, size, who).hash(&mut hasher);
                        if !hasher.finish().is_multiple_of(one_in) {
                            continue;
                        }
                        count += 1;
                        let body = body(field, &(shape.make)(bytes));
                        let tries: Vec<String> =
                            (0..TRIES).map_while(|_| excess_of(hale, key, (page, &body))).collect();
                        if tries.len() == TRIES {
                            let name = &shape.name;
                            wrong.push(format!(
                                "{page} {field} {name} {who}: {}",
                                tries.join(" | ")
                            ));
                        }
                    }
                }
            }
        }
    }
    assert!(count > 20, "too few cases: {count}");
    wrong
}

fn served() -> (FakeUpstream, Hale, String) {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).start();
    chat(&hale, "m");
    let (key, _) = make(&hale, &json!({}));
    (upstream, hale, key)
}

#[test]
fn a_body_of_a_page_costs_four_times_its_size_and_gives_all_of_it_back() {
    let (_upstream, hale, key) = served();
    let wrong = wrong(&hale, &key, 6_000);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
#[ignore = "takes minutes: thousands of bodies"]
fn a_body_of_a_page_in_any_shape_costs_four_times_its_size() {
    let (_upstream, hale, key) = served();
    let wrong = wrong(&hale, &key, 150);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn list(of: &str, count: usize) -> String {
    format!("[{}]", vec![of; count].join(","))
}

#[test]
fn what_a_key_may_is_decided_before_its_body_is_read() {
    let (_upstream, hale, key) = served();
    let long = body("metadata", &list("{\"\":0}", 400_000));
    for path in ["/key/generate", "/key/update", "/key/delete", "/key/block", "/key/regenerate"] {
        let mut sender = hale.client_with_key(&key);
        // The client may meet the end of the connection while it still sends.
        let Ok(answer) = sender.try_request("POST", path, &[], long.as_bytes()) else { continue };
        assert_eq!(answer.status, 401, "{path}: {}", answer.text());
    }
    let short = hale.client_with_key(&key).request("POST", "/key/generate", &[], b"[[[[");
    assert_eq!(short.status, 401, "{}", short.text());
}

#[test]
fn a_page_says_which_bound_its_body_passed() {
    let (_upstream, hale, key) = served();
    let post = |path: &str, body: &str| client(&hale).request("POST", path, &[], body.as_bytes());
    let long = |bytes: usize| body("unknown", &format!("\"{}\"", "x".repeat(bytes)));
    let refused = expect_error(&post("/key/generate", &long(PAGE)), 413, "page_body_too_large");
    assert!(refused["message"].as_str().unwrap().contains("1024 KiB"), "{refused}");
    let refused = expect_error(&post("/ui/login", &long(17 << 10)), 413, "page_body_too_large");
    assert!(refused["message"].as_str().unwrap().contains("16 KiB"), "{refused}");
    for (path, field) in
        [("/key/generate", "models"), ("/cache/delete", "keys"), ("/tag/new", "models")]
    {
        let answer = post(path, &body(field, &list("\"\"", 5_000)));
        if path == "/cache/delete" && answer.status != 413 {
            // The cache is off: nothing of the body is read.
            continue;
        }
        let refused = expect_error(&answer, 413, "too_many_values");
        assert!(refused["message"].as_str().unwrap().contains("4096"), "{refused}");
    }
    let deep = format!("{}{}", "[".repeat(40), "]".repeat(40));
    expect_error(&post("/team/new", &body("metadata", &deep)), 413, "too_many_levels");
    let text = format!("{{\"a\":\"{}\"}}", "x".repeat(70_000));
    let refused = error(&post("/key/generate", &format!("{{\"metadata\":{text}}}")));
    assert_eq!(refused["param"], "metadata", "{refused}");
    assert!(refused["message"].as_str().unwrap().contains("64 KiB"), "{refused}");
    // What is usual still works, also for as many keys as are deleted at once.
    let keys: Vec<String> = (0..1_000).map(|at| format!("sk-{at}")).collect();
    let gone = client(&hale).post_json("/key/delete", &[], &json!({"keys": keys}));
    assert_eq!(gone.status, 404, "{}", gone.text());
    assert_eq!(
        make(&hale, &json!({"models": ["m"], "metadata": {"a": {"b": [1, 2]}}})).1["models"],
        json!(["m"])
    );
    // The messages of a call may be as long as those of a request.
    let told =
        json!({"model": "gpt-4o", "messages": [{"role": "user", "content": "x".repeat(4 * PAGE)}]});
    let cost = hale.client_with_key(&key).post_json("/spend/calculate", &[], &told);
    assert_eq!(cost.status, 200, "{}", cost.text());
    assert!(cost.json()["cost"].as_f64().unwrap() > 1.0, "{}", cost.text());
    let none: Value = client(&hale).request("POST", "/spend/calculate", &[], b"").json();
    assert!(none.to_string().contains("must be provided"), "{none}");
}
