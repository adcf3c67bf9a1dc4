//! The loader from the outside.

use super::*;
use crate::deployment::Deployment;

mod costs;
mod documents;
mod entries;
mod files;
mod foresight;
mod limits;
mod making;
mod metrics;
mod misconfigured;
mod names;
mod robust;
mod routing;
mod secrets;
mod sections;
mod sinks;
mod stored;
mod told;
mod whose;

/// Files and environment of a test.
#[derive(Default)]
struct Fake(InMemory);

impl Fake {
    fn new(yaml: &str) -> Fake {
        Fake::default().file("c.yaml", yaml)
    }

    fn file(self, path: &str, yaml: &str) -> Fake {
        Fake(self.0.with_file(path, yaml))
    }

    fn env(self, name: &str, value: &str) -> Fake {
        Fake(self.0.with_env(name, value))
    }

    fn load(&self) -> Loaded {
        load(&self.0, "c.yaml", Options::default(), None)
    }

    /// The snapshot of a config without any problem.
    fn clean(&self) -> Snapshot {
        let loaded = self.load();
        assert_eq!(texts(&loaded), Vec::<String>::new());
        loaded.snapshot.unwrap()
    }

    /// The snapshot of a config with warnings, and the warnings.
    fn warned(&self) -> (Snapshot, Vec<String>) {
        let loaded = self.load();
        let texts = texts(&loaded);
        assert!(texts.iter().all(|text| text.starts_with("warning: ")), "{texts:#?}");
        (loaded.snapshot.unwrap(), texts)
    }

    /// The problems of a config that is refused.
    fn refused(&self) -> Vec<String> {
        let loaded = self.load();
        let texts = texts(&loaded);
        assert!(loaded.snapshot.is_none(), "{texts:#?}");
        assert!(loaded.errors().count() > 0);
        texts
    }
}

fn texts(loaded: &Loaded) -> Vec<String> {
    let text = |problem: &Problem| match problem.severity {
        Severity::Error => format!("error: {problem}"),
        Severity::Warning => format!("warning: {problem}"),
    };
    loaded.problems.iter().map(text).collect()
}

/// One entry with a key and with `more` in its `litellm_params`, one key a line.
fn entry(more: &str) -> String {
    let lines: String = more.lines().map(|line| format!("    {line}\n")).collect();
    format!(
        "model_list:\n- model_name: m\n  litellm_params:\n    model: openai/gpt-4o\n    api_key: sk-1\n{lines}"
    )
}

/// The only deployment of a config with that entry.
fn deployment(more: &str) -> std::sync::Arc<Deployment> {
    Fake::new(&entry(more)).clean().deployments[0].clone()
}

/// A config with one valid entry, followed by `sections`.
fn with(sections: &str) -> Fake {
    Fake::new(&format!("{}{sections}", entry("")))
}

/// Asserts that exactly one text contains `part`, and returns it.
#[track_caller]
fn one<'t>(texts: &'t [String], part: &str) -> &'t str {
    let found: Vec<&String> = texts.iter().filter(|text| text.contains(part)).collect();
    assert_eq!(found.len(), 1, "{part}: {texts:#?}");
    found[0]
}
