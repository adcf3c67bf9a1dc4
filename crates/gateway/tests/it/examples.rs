//! The example configs load, and the one without keys or network works.

use std::fs;
use std::path::PathBuf;

use hale_testkit::openai;
use serde_json::json;

use crate::support::{CHAT, hale};

fn examples() -> Vec<PathBuf> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut found: Vec<PathBuf> = fs::read_dir(root)
        .expect("there are examples")
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|it| it == "yaml"))
        .collect();
    found.sort();
    assert!(found.len() >= 4, "{found:?}");
    found
}

/// Every variable that an example names, so that nothing is missing.
fn variables(text: &str) -> Vec<String> {
    let name = |tail: &str| {
        let end = tail.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(tail.len());
        tail[..end].to_owned()
    };
    text.split("os.environ/").skip(1).map(name).collect()
}

#[test]
fn every_example_passes_check_without_a_warning_when_its_variables_are_set() {
    for path in examples() {
        let text = fs::read_to_string(&path).unwrap();
        let run = hale().config(&text).arg("check").arg("config.yaml");
        let more = ["GROQ_API_KEY", "DEEPSEEK_API_KEY", "OPENAI_API_KEY"].map(str::to_owned);
        let run = variables(&text)
            .iter()
            .chain(&more)
            .chain(&["LITELLM_MASTER_KEY".to_owned()])
            .fold(run, |run, name| run.env(name, &format!("sk-0123456789abcdef-{name}")));
        let done = run.run();
        assert_eq!(done.code(), Some(0), "{}: {}", path.display(), done.stdout);
        assert!(done.stdout.contains("0 warnings"), "{}: {}", path.display(), done.stdout);
    }
}

#[test]
fn every_example_says_which_variable_is_missing_instead_of_failing() {
    for path in examples() {
        let text = fs::read_to_string(&path).unwrap();
        let run = hale().config(&text).arg("check").arg("config.yaml");
        let done = run.env("LITELLM_MASTER_KEY", "sk-0123456789abcdef").run();
        assert!(matches!(done.code(), Some(0 | 1)), "{}: {}", path.display(), done.stdout);
        for name in variables(&text).iter().filter(|name| *name != "LITELLM_MASTER_KEY") {
            assert!(done.stdout.contains(name.as_str()), "{}: {name}", path.display());
        }
    }
}

#[test]
fn the_canned_example_answers_as_its_comment_says() {
    let path = examples().into_iter().find(|path| path.ends_with("mock.yaml")).expect("mock.yaml");
    let hale = hale().config(&fs::read_to_string(path).unwrap()).start();
    let body = openai::chat_request("hello", "hi");
    let answer = hale.client().post_json(CHAT, &[], &body);
    let content = answer.json()["choices"][0]["message"]["content"].clone();
    assert_eq!((answer.status, content), (200, json!("Hello from Hale.")));
}
