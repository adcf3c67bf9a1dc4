//! Prices: discounts and margins on each call, and lists of the days that are priced again.

use hale_testkit::{Finished, Hale, TempDir, openai};
use serde_json::{Value, json};

use crate::spend::{config, days_of, upstream, wait_for_logs};
use crate::support::{Config, chat_with, hale};

fn spend(directory: &TempDir, arguments: &[&str]) -> Finished {
    let store = directory.path().join("hale.db");
    let command = hale().arg("spend").arg("--database").arg(store.to_str().unwrap());
    arguments.iter().fold(command, |command, argument| command.arg(*argument)).run()
}

fn start(config: &Config, directory: &TempDir) -> Hale {
    config.launch().env("HALE_DATA_DIR", directory.path().to_str().unwrap()).start()
}

fn near(value: &Value, expected: f64) {
    let found = value.as_f64().unwrap_or(f64::NAN);
    assert!((found - expected).abs() < 1e-9, "{value} is not {expected}");
}

#[test]
fn a_discount_and_a_margin_are_in_the_answer_the_row_and_the_ledger_streamed_or_not() {
    let upstream = upstream();
    let directory = TempDir::new();
    let settings = json!({
        "cost_discount_config": {"openai": 0.05}, "cost_margin_config": {"global": 0.1},
        "include_cost_in_streaming_usage": true,
    });
    let hale = start(&config(&upstream).litellm(settings), &directory);
    let mut body = openai::chat_request("m", "hi");
    let answer = chat_with(&hale, &[], &body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    // 0.04 USD, 5 % off, 10 % on it.
    assert_eq!(answer.header("x-litellm-response-cost"), Some("0.0418"));
    body["stream"] = json!(true);
    body["stream_options"] = json!({"include_usage": true});
    let streamed = chat_with(&hale, &[], &body);
    assert!(streamed.text().contains("\"cost\":0.0418"), "{}", streamed.text());
    for log in wait_for_logs(&hale, 2) {
        near(&log["spend"], 0.0418);
    }
    let audit = spend(&directory, &["audit"]);
    assert_eq!(audit.code(), Some(0), "{}{}", audit.stdout, audit.stderr);
}

#[test]
fn a_day_is_priced_again_by_the_list_of_its_day() {
    let upstream = upstream();
    let directory = TempDir::new();
    let params =
        json!({"model": "openai/gpt-4o", "api_key": "sk-x", "api_base": upstream.api_base()});
    let config = Config::new().entry(json!({"model_name": "m", "litellm_params": params}));
    let hale = start(&config, &directory);
    let answer = chat_with(&hale, &[], &openai::chat_request("m", "hi"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let logs = wait_for_logs(&hale, 1);
    near(&logs[0]["spend"], 0.00015);
    let range = days_of(&logs);
    let day = &range["start_date=".len().."start_date=".len() + 10];
    let lists = TempDir::new();
    let write = |name: &str, list: &Value| {
        std::fs::write(lists.path().join(name), list.to_string()).unwrap();
    };
    // The second list is younger than the day.
    write(
        "2026-01-01.json",
        &json!({"gpt-4o": {"input_cost_per_token": 0.001, "output_cost_per_token": 0.0}}),
    );
    write(
        "2999-01-01.json",
        &json!({"gpt-4o": {"input_cost_per_token": 9.0, "output_cost_per_token": 9.0}}),
    );
    let folder = lists.path().to_str().unwrap().to_owned();
    let reprice = |more: &[&str]| {
        let mut arguments = vec!["reprice", "--from", day, "--to", day, "--prices", &folder];
        arguments.extend(more);
        spend(&directory, &arguments)
    };
    let dry = reprice(&["--dry-run"]);
    assert!(
        dry.stdout.contains("openai/gpt-4o: 1 calls, 0.00015 USD were 0.02"),
        "{}{}",
        dry.stdout,
        dry.stderr
    );
    assert!(dry.stdout.contains("nothing was changed"), "{}", dry.stdout);
    assert!(reprice(&[]).stdout.contains("corrected"));
    assert!(reprice(&[]).stdout.contains("every call costs what it did"));
    let audit = spend(&directory, &["audit"]);
    assert_eq!(audit.code(), Some(0), "{}{}", audit.stdout, audit.stderr);
    // A list without the model, no list of the day, no list at all.
    write("2026-01-01.json", &json!({}));
    assert!(reprice(&[]).stdout.contains("not priced: 1 calls"), "{}", reprice(&[]).stdout);
    std::fs::remove_file(lists.path().join("2026-01-01.json")).unwrap();
    assert!(reprice(&[]).stdout.contains("no list of --prices is of its day"));
    write("2026-01-01.json", &json!([]));
    let refused = reprice(&[]);
    assert_eq!(refused.code(), Some(2), "{}", refused.stdout);
    assert!(refused.stderr.contains("is no list of prices"), "{}", refused.stderr);
}

#[test]
fn the_list_of_this_version_is_printed_as_reprice_takes_it() {
    let directory = TempDir::new();
    let printed = spend(&directory, &["prices"]);
    assert_eq!(printed.code(), Some(0), "{}", printed.stderr);
    let list: Value = serde_json::from_str(&printed.stdout).unwrap();
    near(&list["gpt-4o"]["input_cost_per_token"], 2.5e-6);
}
