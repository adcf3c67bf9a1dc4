//! No content of a file makes the loader panic.

use proptest::prelude::*;

use super::*;

const SEED: &str = "include: [b.yaml]
environment_variables: {A: os.environ/B, C: 1}
base: &base {model: openai/gpt-4o, api_key: os.environ/A}
model_list:
- model_name: a
  rpm: 5
  litellm_params: {<<: *base, timeout: 30, extra_headers: {x: y}, mock_response: [1, 2]}
  model_info: {id: 1, mode: chat, base_model: gpt-4o}
- {model_name: 'o/*', litellm_params: {model: 'groq/*', weight: 0.5, stop: [x, ~]}}
credential_list: [{credential_name: c, credential_values: {api_key: k}}]
litellm_settings: {fallbacks: [{a: [b, 'o/x']}, c], request_timeout: 5m}
router_settings: {model_group_alias: {x: a, y: {model: x, hidden: true}}, num_retries: 2}
general_settings: {master_key: os.environ/M, max_request_size_mb: 1.5}
";

const PIECES: &[&str] = &[
    "*base",
    "&base",
    "<<: *base",
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
    "!!str ",
    "! ",
    "os.environ/",
    "os.environ/A",
    "-1",
    ".nan",
    "1e999",
    "99999999999999999999",
    "\u{e9}",
    "\u{0}",
    "---\n",
    "? ",
    "|\n",
    ">-\n ",
    "null",
    "*",
    "%YAML 1.2\n",
    "#",
    "model_list:",
    "0x",
    "1:2:3",
    "\r",
    "\u{2028}",
    "litellm.",
    "http://[",
    "openai/",
    "b.yaml",
    "=",
];

fn survives(bytes: Vec<u8>) {
    let source = InMemory::file("c.yaml", bytes)
        .with_file("b.yaml", "include: [c.yaml]\nmodel_list: [{}]\n")
        .with_env("A", "x y");
    for strict in [false, true] {
        let loaded = load(&source, "c.yaml", Options { strict }, None);
        let has_error = loaded.errors().next().is_some();
        assert_eq!(loaded.snapshot.is_none(), has_error);
        for problem in &loaded.problems {
            assert!(!problem.problem.is_empty());
            // Only the example of a config has more than one line.
            assert!(!problem.problem.contains(['\n', '\r']), "{problem}");
            assert!(!problem.path.contains(['\n', '\r']), "{problem}");
        }
        if let Some(snapshot) = loaded.snapshot {
            assert!(snapshot.groups.iter().all(|group| !group.members.is_empty()));
            assert_eq!(snapshot.by_id.len(), snapshot.deployments.len());
        }
    }
}

fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let edit = (0..SEED.len(), 0..12usize, 0..PIECES.len());
    proptest::collection::vec(edit, 0..8).prop_map(|edits| {
        let mut text = SEED.as_bytes().to_vec();
        for (at, cut, piece) in edits {
            let at = at.min(text.len());
            let end = (at + cut).min(text.len());
            text.splice(at..end, PIECES[piece].bytes());
        }
        text
    })
}

fn shuffled() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(0..PIECES.len(), 0..40)
        .prop_map(|pieces| pieces.into_iter().flat_map(|i| PIECES[i].bytes()).collect())
}

fn cases(count: u32) -> ProptestConfig {
    ProptestConfig { cases: count, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(1_500))]

    #[test]
    fn mutated_configs_never_panic(bytes in mutated()) {
        survives(bytes);
    }

    #[test]
    fn random_pieces_never_panic(bytes in shuffled()) {
        survives(bytes);
    }

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        survives(bytes);
    }
}

#[test]
fn the_config_that_is_mutated_loads_and_its_unknown_key_is_a_warning() {
    let fake = Fake::new(SEED).file("b.yaml", "").env("A", "k").env("B", "k").env("M", "sk-key");
    let (snapshot, warnings) = fake.env("GROQ_API_KEY", "k").warned();
    assert_eq!(snapshot.deployments.len(), 2);
    one(&warnings, "unknown key `base`");
}

#[test]
fn values_of_every_kind_in_every_place_never_panic() {
    let values = [
        "~",
        "''",
        "[]",
        "{}",
        "[[1]]",
        "{a: {b: [c]}}",
        "-1",
        "x",
        "os.environ/NONE",
        "yes",
        "1e400",
    ];
    let within =
        |key: &str, line: &str| entry("") + &format!("router_settings: {{{key}: {{{line}}}}}\n");
    for section in [
        Section::Top,
        Section::Entry,
        Section::Params,
        Section::Info,
        Section::Litellm,
        Section::Router,
        Section::General,
        Section::Credential,
        Section::Strategy,
        Section::Retries,
        Section::Fails,
        Section::Budget,
        Section::Window,
        Section::Cache,
        Section::Alerting,
    ] {
        for row in keys::rows(section) {
            let name = row.name.replace('*', "x");
            for value in values {
                let line = format!("{name}: {value}");
                let yaml = match section {
                    Section::Top if name == "model_list" => format!("{line}\n"),
                    Section::Top => entry("") + &line + "\n",
                    Section::Entry => format!("model_list: [{{model_name: a, {line}}}]\n"),
                    Section::Params => {
                        format!("model_list: [{{model_name: a, litellm_params: {{{line}}}}}]\n")
                    }
                    Section::Info => entry("") + &format!("  model_info: {{{line}}}\n"),
                    Section::Litellm => entry("") + &format!("litellm_settings: {{{line}}}\n"),
                    Section::Router => entry("") + &format!("router_settings: {{{line}}}\n"),
                    Section::Strategy => within("routing_strategy_args", &line),
                    Section::Retries => within("retry_policy", &line),
                    Section::Fails => within("allowed_fails_policy", &line),
                    Section::Budget => {
                        within("provider_budget_config", &format!("openai: {{{line}}}"))
                    }
                    Section::Window => {
                        entry("") + &format!("  model_info: {{access_windows: [{{{line}}}]}}\n")
                    }
                    Section::Cache => {
                        entry("") + &format!("litellm_settings: {{cache_params: {{{line}}}}}\n")
                    }
                    Section::Alerting => {
                        entry("") + &format!("general_settings: {{alerting_args: {{{line}}}}}\n")
                    }
                    Section::General => entry("") + &format!("general_settings: {{{line}}}\n"),
                    Section::Credential | Section::Alias => {
                        entry("") + &format!("credential_list: [{{{line}}}]\n")
                    }
                };
                survives(yaml.into_bytes());
            }
        }
    }
}
