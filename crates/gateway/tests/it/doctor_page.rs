//! `docs/troubleshooting.md`: its config and its output are those of a real run.
//!
//! Always true: what differs from run to run (ports, times) is replaced, nothing else.

use std::fmt::Write as _;
use std::fs;

use hale_testkit::FakeUpstream;
use serde_json::{Value, json};

use crate::doctor;
use crate::doctor_faults::{Fault, at};
use crate::tidy;

/// The settings of the page's config: one of each kind of fault.
const SETTINGS: &str = "\
router_settings:
  timeout: 300            # all attempts take longer than clients wait
  fallbacks:
    - chat: [chta, small] # no such group; and one that can do less
";

/// The entries of the page: the group, and its deployment.
fn entries() -> Vec<(String, Fault)> {
    let upstream = || {
        let upstream = FakeUpstream::start();
        (upstream.port(), Box::new(upstream))
    };
    let (port, held) = upstream();
    let mut all = vec![
        ("chat".to_owned(), at("chat-1", "", port, held)),
        ("chat".to_owned(), at("chat-2", "", port, Box::new(()))),
    ];
    let (port, held) = upstream();
    let mut small = at("small", "", port, held);
    small.params["model"] = json!("openai/gpt-3.5-turbo-instruct");
    all.push(("small".to_owned(), small));
    all.extend(doctor::all().into_iter().map(|fault| (format!("fails-at-{}", fault.step), fault)));
    all
}

/// The config as a person would write it.
fn config(entries: &[(String, Fault)]) -> String {
    let mut text = "model_list:\n".to_owned();
    for (group, fault) in entries {
        let value = |value: &Value| match value.as_str() {
            Some(text) if text.contains("://") => format!("\"{text}\""),
            Some(text) => text.to_owned(),
            None => value.to_string(),
        };
        let params: Vec<String> = fault
            .params
            .as_object()
            .unwrap()
            .iter()
            .map(|(key, it)| format!("{key}: {}", value(it)))
            .collect();
        let id = fault.id;
        // Writing to a string cannot fail.
        let _written = write!(
            text,
            "  - model_name: {group}\n    litellm_params: {{{}}}\n    model_info: {{id: {id}}}\n",
            params.join(", ")
        );
    }
    text + SETTINGS
}

/// `text` with every port of `entries` as a number of its place, and times as those of one day.
fn settled(text: &str, entries: &[(String, Fault)]) -> String {
    let mut text = text.to_owned();
    for (number, (_, fault)) in entries.iter().enumerate() {
        if let Some(port) = fault.port {
            let all = ['/', ' ', '\n', ':', '"'].map(|after| format!(":{port}{after}"));
            for old in all {
                let new = old.replace(&port.to_string(), &(8001 + number).to_string());
                text = text.replace(&old, &new);
            }
        }
    }
    // The same name server says it in two ways.
    text = text.replace("Temporary failure in name resolution", "Name or service not known");
    let mut lines = Vec::new();
    for line in text.lines() {
        let mut line = line.to_owned();
        if let Some((before, _)) = line.split_once(" UTC").filter(|_| line.contains("until ")) {
            let begin = before.rfind("until ").unwrap() + "until ".len();
            line.replace_range(begin..before.len(), "13:05:09");
        }
        if let Some(before) = line.strip_suffix(" ms") {
            let digits = before.trim_end_matches(|c: char| c.is_ascii_digit());
            line = format!("{digits}12 ms");
        }
        lines.push(line);
    }
    lines.join("\n")
}

/// `page` with the block `name` replaced.
fn with_block(page: &str, name: &str, language: &str, text: &str) -> String {
    let (begin, end) = (format!("<!-- begin {name} -->\n"), format!("<!-- end {name} -->"));
    let (before, tail) = page.split_once(&begin).unwrap_or_else(|| panic!("no block {name}"));
    let (_, after) = tail.split_once(&end).unwrap_or_else(|| panic!("{name} does not end"));
    format!("{before}{begin}```{language}\n{}\n```\n{end}{after}", text.trim_end())
}

#[test]
fn the_page_about_troubles_shows_what_the_doctor_says() {
    let entries = entries();
    let config = config(&entries);
    let done = doctor::launch(&config).arg("--timeout").arg("2").run();
    assert_eq!(done.code(), Some(1), "{}{}", done.stdout, done.stderr);
    let file = tidy::root().join("docs/troubleshooting.md");
    let found = fs::read_to_string(&file).unwrap();
    let page = with_block(&found, "config", "yaml", &settled(&config, &entries));
    let page = with_block(&page, "output", "text", &settled(&done.stdout, &entries));
    if std::env::var_os("HALE_BLESS").is_some() {
        fs::write(&file, &page).unwrap();
    }
    assert!(
        found == page || std::env::var_os("HALE_BLESS").is_some(),
        "docs/troubleshooting.md is not up to date; run this test with HALE_BLESS=1\n{page}"
    );
}

#[test]
fn every_verdict_that_the_source_has_is_explained_on_the_page() {
    let read = |path: &str| fs::read_to_string(tidy::root().join(path)).unwrap();
    let page = read("docs/troubleshooting.md");
    let source = read("crates/gateway/src/doctor/kind.rs");
    // The names are the texts of `Kind::name`.
    let named: Vec<&str> = source
        .lines()
        .filter_map(|line| {
            line.trim().strip_prefix("Kind::")?.split_once(" => \"")?.1.split('"').next()
        })
        .collect();
    let missing: Vec<&&str> =
        named.iter().filter(|name| !page.contains(&format!("| `{name}` |"))).collect();
    assert!(named.len() >= 40 && missing.is_empty(), "{missing:?}");
}

#[test]
fn every_verdict_that_a_fault_gets_is_explained_on_the_page() {
    let page = fs::read_to_string(tidy::root().join("docs/troubleshooting.md")).unwrap();
    for fault in doctor::all() {
        assert!(page.contains(&format!("| `{}` |", fault.id)), "no row for {}", fault.id);
    }
}
