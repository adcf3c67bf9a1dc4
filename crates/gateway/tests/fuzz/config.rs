//! Configs: anything is either in force or refused with a reason, and no problem shows a variable's value.

use std::io;

use hale_core::config::{self, Options, Source};

use crate::fuzz;

const WORDS: &[&str] = &[
    "model_list:\n",
    "- model_name: m\n",
    "  litellm_params:\n",
    "    model: openai/gpt-4o\n",
    "    api_key: os.environ/KEY\n",
    "router_settings:\n",
    "general_settings:\n",
    "litellm_settings:\n",
    "include: [c.yaml]\n",
    "fallbacks: [{m: [n]}]\n",
    "model_group_alias: {x: m}\n",
    "&a ",
    "*a",
    "<<: *a\n",
    "[",
    "]",
    "{",
    "}",
    ": ",
    "\n- ",
    "\n  ",
    "\t",
    "'",
    "\"",
    "~",
    "!!binary ",
    "---\n",
    "...\n",
    "? ",
    "|\n",
    ">-\n",
    "%YAML 1.2\n",
    "#",
    ".nan",
    "1e999",
    "0x10",
    "12:30",
    "99999999999999999999",
    "\u{0}",
    "\u{feff}",
    "\u{2028}",
    "\r",
    "no",
    "os.environ/",
    "${X}",
    "http://[",
    "a/*",
    "**",
];

fuzz!("config", WORDS, check);

/// The value of the only variable.
const CANARY: &str = "canary-of-the-environment";

/// The input as every file, so that it may include itself.
struct One<'i>(&'i [u8]);

impl Source for One<'_> {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        if path.len() < 40 { Ok(self.0.to_vec()) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    fn env(&self, name: &str) -> Option<String> {
        (name == "KEY").then(|| CANARY.to_owned())
    }
}

fn check(input: &[u8]) -> (usize, usize, Option<usize>, u64) {
    let loaded = config::load(&One(input), "c.yaml", Options::default(), None);
    let strict = config::load(&One(input), "c.yaml", Options { strict: true }, None);
    let (errors, warnings) = (loaded.errors().count(), loaded.warnings().count());
    assert_eq!(loaded.snapshot.is_none(), errors > 0);
    assert!(strict.errors().count() >= errors, "strict is stricter");
    for problem in loaded.problems.iter().chain(&strict.problems) {
        let text = problem.to_string();
        assert!(!problem.problem.is_empty(), "{text}");
        assert!(!text.contains(CANARY), "{text}");
        // Only the example of a config has more than one line.
        assert!(!text.contains('\n') || text.contains("write for example"), "{text}");
        assert!(text.chars().count() < 4_000, "{} characters", text.len());
    }
    if let Some(snapshot) = &loaded.snapshot {
        assert!(snapshot.groups.iter().all(|group| !group.members.is_empty()));
        assert_eq!(snapshot.by_id.len(), snapshot.deployments.len());
    }
    let deployments = loaded.snapshot.as_ref().map(|snapshot| snapshot.deployments.len().min(4));
    // The texts distinguish inputs, their places do not.
    let kinds: u64 = loaded.problems.iter().map(|problem| problem.problem.len() as u64).sum();
    (errors.min(6), warnings.min(6), deployments, kinds)
}
