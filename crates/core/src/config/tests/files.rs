//! Files, includes and the environment.

use std::io;

use super::*;

#[test]
fn files_that_cannot_be_read_say_why() {
    let fake = Fake::default();
    assert_eq!(fake.refused(), ["error: c.yaml: config not found: c.yaml. check the path"]);
    for (kind, reason) in [
        (io::ErrorKind::IsADirectory, "config is a directory: c.yaml"),
        (io::ErrorKind::PermissionDenied, "permission denied"),
        (io::ErrorKind::TimedOut, "config cannot be read: c.yaml: "),
    ] {
        let fake = Fake(InMemory::default().with_unreadable("c.yaml", kind));
        one(&fake.refused(), reason);
    }
    one(&Fake::new("- a\n").refused(), "expected a mapping, got a list");
    one(&Fake::new("just text\n").refused(), "expected a mapping, got text");
}

fn model(name: &str) -> String {
    format!(
        "model_list:\n- {{model_name: {name}, litellm_params: {{model: openai/{name}, api_key: k}}}}\n"
    )
}

#[test]
fn included_lists_are_appended_and_other_sections_replaced() {
    let root = "include: [sub/a.yaml, ./b.yaml]\n".to_owned()
        + &model("root")
        + "router_settings: {num_retries: 7, timeout: 9}\n";
    let fake = Fake::default()
        .file("conf/c.yaml", &root)
        .file("conf/sub/a.yaml", &(model("a") + "include: [../b.yaml, deep.yaml]\n"))
        .file("conf/sub/deep.yaml", &model("deep"))
        .file(
            "conf/b.yaml",
            &(model("b") + "include: [c.yaml]\nrouter_settings: {num_retries: 1}\n"),
        );
    let loaded = load(&fake.0, "conf/c.yaml", Options::default(), None);
    assert_eq!(
        loaded.files,
        ["conf/c.yaml", "conf/sub/a.yaml", "conf/b.yaml", "conf/sub/deep.yaml"]
    );
    let problems = texts(&loaded);
    one(&problems, "replaces the whole `router_settings` of conf/c.yaml:4");
    assert_eq!(problems.len(), 1);
    let snapshot = loaded.snapshot.unwrap();
    let names: Vec<&str> = snapshot.listed_groups().map(|group| &*group.name).collect();
    assert_eq!(names, ["root", "a", "b", "deep"]);
    assert_eq!((snapshot.router.num_retries, snapshot.router.timeout_ms), (1, 600_000));
    assert_eq!(&*snapshot.deployments[1].display.declared_at, "conf/sub/a.yaml:2");
}

#[test]
fn an_include_next_to_the_root_is_found_with_a_warning() {
    let fake = Fake::default()
        .file(
            "/etc/hale/c.yaml",
            &("include: [sub/a.yaml, /abs/x.yaml]\n".to_owned() + &model("root")),
        )
        .file("/etc/hale/sub/a.yaml", "include: [b.yaml]\n")
        .file("/etc/hale/b.yaml", &model("b"))
        .file("/abs/x.yaml", &model("x"));
    let loaded = load(&fake.0, "/etc/hale/c.yaml", Options::default(), None);
    let problems = texts(&loaded);
    one(
        &problems,
        "/etc/hale/sub/a.yaml:1:11: include[0]: not found next to /etc/hale/sub/a.yaml; /etc/hale/b.yaml is used",
    );
    assert_eq!(problems.len(), 1);
    assert_eq!(loaded.snapshot.unwrap().listed_groups().count(), 3);
}

#[test]
fn bad_includes_are_all_reported() {
    let yaml =
        "include:\n- none.yaml\n- [x]\n- broken.yaml\n- list.yaml\n".to_owned() + &model("m");
    let fake = Fake::new(&yaml).file("broken.yaml", "a: [\n").file("list.yaml", "- a\n");
    let problems = fake.refused();
    one(&problems, "c.yaml:2:3: include[0]: included file not found: none.yaml");
    one(&problems, "c.yaml:3:3: include[1]: expected the name of a file, got a list");
    one(&problems, "error: broken.yaml:");
    one(&problems, "error: list.yaml:1:1: expected a mapping, got a list");
    assert_eq!(problems.len(), 4);
    one(&Fake::new("include: a.yaml\n").refused(), "include: expected a list of files, got text");
}

#[test]
fn variables_of_the_config_win_and_are_used_everywhere() {
    let yaml = "environment_variables:
  OPENAI_API_KEY: os.environ/REAL
  NAME: 12
  AGAIN: os.environ/NAME
  GONE: os.environ/NOT_THERE
  LITELLM_MASTER_KEY: sk-master-key-of-the-config
model_list:
- {model_name: os.environ/AGAIN, litellm_params: {model: openai/x}}
- {model_name: b, litellm_params: {model: openai/y, user: os.environ/GONE}}
";
    let fake =
        Fake::new(yaml).env("REAL", "sk-real").env("OPENAI_API_KEY", "sk-other").env("NAME", "x");
    let (snapshot, warnings) = fake.warned();
    assert_eq!(snapshot.deployments[0].credential.api_key.as_ref().unwrap().expose(), "sk-real");
    assert!(snapshot.by_name.contains_key("12"));
    let master = snapshot.gateway.master_key.unwrap();
    assert_eq!(master.expose(), "sk-master-key-of-the-config");
    one(&warnings, "environment_variables.GONE: environment variable NOT_THERE is not set");
    one(&warnings, "environment variable GONE is not set. set GONE, which deployment b reads");
    assert_eq!(warnings.len(), 2);
    let (_, warnings) = with("environment_variables: {https_proxy: 'http://p'}\n").warned();
    one(&warnings, "the process reads this variable before the config");
    one(&with("environment_variables: [A]\n").refused(), "expected a mapping, got a list");
    one(
        &with("environment_variables: {A: [1]}\n").warned().1,
        "expected text, got a list: ignored",
    );
}

#[test]
fn all_problems_come_at_once_errors_first_each_in_the_order_of_files_and_lines() {
    let root = "include: [b.yaml]\n".to_owned()
        + &model("m")
        + "router_settings:\n  routing_strategy: x\n  nonsense_key: 1\n";
    let fake = Fake::new(&root)
        .file("b.yaml", "general_settings:\n  enforced_params: [a]\n  master_keey: 1\n");
    let problems = fake.refused();
    let places: Vec<String> =
        problems.iter().map(|p| p.split(": ").nth(1).unwrap().to_owned()).collect();
    assert_eq!(places, ["c.yaml:5:21", "b.yaml:2:3", "c.yaml:6:3", "b.yaml:3:3"]);
}

#[test]
fn a_config_with_endless_warnings_is_cut_and_no_error_with_it() {
    let lines: String = (0..3_000).map(|i| format!("  unknown_{i}: 1\n")).collect();
    let loaded = with(&format!("router_settings:\n{lines}")).load();
    assert_eq!(loaded.problems.len(), 1_001);
    assert!(loaded.problems[1_000].to_string().contains("2000 more warnings are not listed"));
    let problems = with(&format!("router_settings:\n{lines}  routing_strategy: x\n")).refused();
    assert!(problems[0].starts_with("error: c.yaml:3007:"), "{}", problems[0]);
    assert_eq!(problems.len(), 1_002);
    let bad: String = "- {model_name: x}\n".repeat(1_100);
    let problems = Fake::new(&format!("model_list:\n{bad}nonsense: 1\n")).refused();
    assert_eq!(problems.len(), 1_002, "errors have a bound of their own");
    one(&problems, "error: c.yaml: 100 more errors are not listed. fix the ones above first");
    assert!(problems[1_001].starts_with("warning: "), "{}", problems[1_001]);
}

#[test]
fn a_cause_is_told_once_with_its_count_and_lines() {
    let entries = |count: usize| {
        "- {model_name: a, litellm_params: {model: bedrock_mantle/x}}\n".repeat(count)
    };
    let warnings = |count: usize| {
        let yaml = format!("{}{}", "model_list:\n", entries(count));
        let loaded = Fake::new(&yaml).load();
        texts(&loaded)
    };
    one(&warnings(2), "(2 times, also on line 3)");
    let many = warnings(1_100);
    one(&many, "(1100 times, also on line 3, 4, 5, 6, 7, ...)");
    // Lines to write that differ by model are told for each model.
    let own = "model_list:\n- {model_name: a, litellm_params: {model: bedrock_mantle/x}}\n\
               - {model_name: b, litellm_params: {model: bedrock_mantle/y}}\n\
               - {model_name: c, litellm_params: {model: bedrock_mantle/x}}\n";
    let told = texts(&Fake::new(own).load());
    assert!(one(&told, "`model: openai/x`").ends_with("(2 times, also on line 4)"), "{told:#?}");
    assert!(!one(&told, "`model: openai/y`").contains("times"), "{told:#?}");
    // The cause is the problem and the key, whatever the entry: nothing else is joined.
    let two = "model_list:\n- {model_name: a, litellm_params: {model: bedrock_mantle/x}}\n\
               - {model_name: b, litellm_params: {model: sagemaker/x}}\n";
    let texts = texts(&Fake::new(two).load());
    assert!(!texts.iter().any(|text| text.contains("times")), "{texts:#?}");
}
