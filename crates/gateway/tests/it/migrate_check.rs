//! `hale migrate check`: what of a database of LiteLLM would be kept, and what would behave otherwise.

use hale_testkit::{Postgres, TempDir};
use serde_json::{Value, json};

const SETUP: &str = "
insert into \"LiteLLM_BudgetTable\" (budget_id, max_budget, budget_duration, created_by, updated_by) values ('b', 1, '30days', 'x', 'x');
insert into \"LiteLLM_TeamTable\" (team_id, team_alias, models, metadata, model_spend, model_max_budget, members_with_roles, max_parallel_requests)
    values ('t', 'the team', '{m}', '{}', '{}', '{\"a\": {\"max_budget\": 1}}', '[{\"role\": \"admin\", \"user_id\": \"u\"}]', 3);
insert into \"LiteLLM_UserTable\" (user_id, user_role, models, metadata) values ('u', 'internal_user', '{}', '{}');
insert into \"LiteLLM_EndUserTable\" (user_id, blocked) values ('e', true);
insert into \"LiteLLM_VerificationToken\" (token, key_name, key_alias, models, team_id, user_id, metadata) values
    ('738cfe3475315764b19b429b121b456d50ab9e5249d08a4b387d76af971faef3', 'sk-...0001', 'theirs', null, 't', 'u', '{\"guardrails\": [\"g\"]}'),
    ('838cfe3475315764b19b429b121b456d50ab9e5249d08a4b387d76af971faef3', 'sk-...0002', null, null, null, null, '{}');
insert into \"LiteLLM_ProxyModelTable\" (model_id, model_name, litellm_params, created_by, updated_by) values ('1', 'run-time', '{}', 'x', 'x')";

/// Its exit code, and what it printed.
fn check(url: &str, more: &[&str]) -> (Option<i32>, String) {
    let arguments = [&["migrate", "check", "--database", url], more].concat();
    let done =
        std::process::Command::new(env!("CARGO_BIN_EXE_hale")).args(arguments).output().unwrap();
    let both = [done.stdout, done.stderr].concat();
    (done.status.code(), String::from_utf8(both).unwrap())
}

#[test]
fn a_database_is_looked_at_and_what_would_behave_otherwise_is_named() {
    let server = Postgres::shared();
    let url = server.database();
    let (code, text) = check(&url, &[]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("it has no tables of LiteLLM"), "{text}");
    server.apply_reference_migrations(&url, "9");
    let tables = "select count(*) from information_schema.tables where table_schema not in ('pg_catalog', 'information_schema')";
    let before = server.sql(&url, tables);
    let (code, text) = check(&url, &[]);
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.starts_with("kept: 0 keys, 0 teams, ")
            && text.contains("nothing would behave otherwise"),
        "{text}"
    );
    server.sql(&url, SETUP);
    let (code, text) = check(&url, &[]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.starts_with("kept: 2 keys, 1 teams, "), "{text}");
    let (code, text) = check(&url, &["--json"]);
    let page: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, &page["kept"]["end users"]), (Some(1), &json!(1)));
    let rules: Vec<(&str, &Value)> = page["otherwise"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["rule"].as_str().unwrap(), &one["names"]))
        .collect();
    for (rule, name) in [
        ("budget.budget_duration", "b"),
        ("model.litellm_params", "run-time"),
        ("end_user.blocked", "e"),
        ("key.metadata.guardrails", "theirs"),
        ("team.max_parallel_requests", "the team"),
        ("team.model_max_budget.a", "the team"),
    ] {
        assert!(rules.contains(&(rule, &json!([name]))), "{rule}: {rules:?}");
    }
    assert_eq!(rules.len(), 6, "{rules:?}");
    assert_eq!(server.sql(&url, tables), before, "nothing is made");
}

#[test]
fn a_database_that_is_not_there_is_no_clean_one() {
    let directory = TempDir::new();
    let absent = directory.path().join("absent.db");
    let (code, text) = check(absent.to_str().unwrap(), &[]);
    assert_eq!(code, Some(2), "{text}");
}
