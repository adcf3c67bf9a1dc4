//! The reference page and the examples.

use std::path::{Path as FilePath, PathBuf};

use super::*;

fn repository() -> PathBuf {
    FilePath::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[track_caller]
fn compare(page: &str, made: &str) {
    let file = repository().join(page);
    if std::env::var_os("HALE_BLESS").is_some() {
        std::fs::write(&file, made).unwrap();
    }
    let found = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(found == made, "{page} is not up to date; run this test with HALE_BLESS=1");
}

#[test]
fn the_reference_is_what_the_table_says() {
    compare("docs/config.md", &reference());
}

#[test]
fn the_page_of_parameters_is_what_the_table_says() {
    compare("docs/parameters.md", &parameters());
}

fn example(name: &str, env: &[(&str, &str)]) -> Snapshot {
    let bytes = std::fs::read(repository().join("examples").join(name)).unwrap();
    let fake = Fake(InMemory::file("c.yaml", bytes));
    env.iter().fold(fake, |fake, (name, value)| fake.env(name, value)).clean()
}

#[test]
fn the_examples_load_without_a_problem() {
    let openai = ("OPENAI_API_KEY", "sk-a");
    let master = ("LITELLM_MASTER_KEY", "sk-long-enough-for-a-key");
    let simple = example("simple.yaml", &[openai, master]);
    assert!(simple.by_name.contains_key("gpt-4o"));
    let balanced = example("load_balancing.yaml", &[openai, ("OPENAI_API_KEY_2", "sk-b"), master]);
    assert!(balanced.groups[0].members.len() == 2 && !balanced.router.fallbacks.is_empty());
    let keys = [("GROQ_API_KEY", "k"), ("DEEPSEEK_API_KEY", "k"), master];
    let compatible = example("compatible_providers.yaml", &keys);
    let providers: Vec<&str> =
        compatible.deployments.iter().map(|d| &*d.endpoint.provider.name).collect();
    assert_eq!(providers, ["groq", "deepseek", "hosted_vllm"]);
    let mock = example("mock.yaml", &[]);
    assert!(
        mock.deployments.iter().all(|d| d.endpoint.mock.is_some() && d.misconfigured.is_none())
    );
}

#[test]
fn every_example_has_its_test() {
    let mut names: Vec<String> = std::fs::read_dir(repository().join("examples"))
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".yaml"))
        .collect();
    names.sort();
    assert_eq!(
        names,
        ["compatible_providers.yaml", "load_balancing.yaml", "mock.yaml", "simple.yaml"]
    );
}
