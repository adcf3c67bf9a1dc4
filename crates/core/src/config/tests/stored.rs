//! What rows of the store add to a config, and what rows that are wrong do not.

use serde_json::{Value, json};

use super::*;
use crate::config::stored::{Stored, StoredModel};
use crate::deployment::Source as From;

fn object(value: Value) -> serde_json::Map<String, Value> {
    let Value::Object(object) = value else { panic!("an object") };
    object
}

fn model(id: &str, name: &str, params: Value) -> StoredModel {
    StoredModel {
        id: id.into(),
        name: name.into(),
        params: object(params),
        info: object(json!({"id": "other", "db_model": false})),
        is_paused: false,
        trouble: None,
    }
}

fn fine(id: &str, name: &str) -> StoredModel {
    model(
        id,
        name,
        json!({"model": "openai/gpt-4o", "api_key": "sk-row", "api_base": "http://127.0.0.1:1/v1"}),
    )
}

fn of(models: Vec<StoredModel>) -> Stored {
    Stored { models, ..Stored::default() }
}

const FILE: &str = "model_list:\n  - model_name: a\n    litellm_params: {model: openai/a, api_key: k}\n    model_info: {id: in-file}\n";

fn loaded(yaml: &str, stored: &Stored) -> Loaded {
    load_with(&Fake::new(yaml).0, "c.yaml", Options::default(), (None, stored))
}

fn served(yaml: &str, stored: &Stored) -> Snapshot {
    let loaded = loaded(yaml, stored);
    assert_eq!(loaded.files, ["c.yaml"], "rows are no files to watch");
    loaded.snapshot.unwrap_or_else(|| panic!("{:?}", loaded.problems))
}

#[test]
fn rows_are_deployments_of_their_ids_beside_those_of_the_files() {
    let snapshot = served(FILE, &of(vec![fine("row-1", "a"), fine("row-2", "b")]));
    assert_eq!(snapshot.deployments.len(), 3);
    let group = snapshot.group(snapshot.by_name["a"]);
    assert_eq!(group.members.len(), 2);
    let row = snapshot.deployment(snapshot.by_id["row-1"]);
    assert_eq!((row.display.source, row.misconfigured.clone()), (From::Store, None));
    let info: Value = serde_json::from_str(&row.display.model_info).unwrap();
    assert_eq!((&info["id"], &info["db_model"]), (&json!("row-1"), &json!(true)));
    let file = snapshot.deployment(snapshot.by_id["in-file"]);
    assert_eq!(file.display.source, From::Config);
    assert!(!format!("{snapshot:?}").contains("sk-row"));
}

#[test]
fn values_of_a_row_have_the_types_of_json() {
    let params = json!({"model": "openai/x", "api_key": "123", "rpm": 7, "timeout": 1.5, "temperature": 0.000_001,
        "tags": ["t"], "stream": true, "seed": null, "user": "on"});
    let snapshot = served(FILE, &of(vec![model("r", "x", params)]));
    let row = snapshot.deployment(snapshot.by_id["r"]);
    let sent: Value = serde_json::from_str(&row.display.public_params).unwrap();
    assert_eq!(sent["temperature"], json!(0.000_001));
    assert_eq!(
        (&sent["stream"], &sent["user"], &sent["rpm"]),
        (&json!(true), &json!("on"), &json!(7))
    );
    assert_eq!(row.routing.limits.rpm, Some(7));
}

#[test]
fn a_wrong_row_stops_its_own_deployment_and_says_why() {
    let control = StoredModel { name: "a\nb".into(), ..fine("control", "") };
    let paramless = model("empty", "e", json!({}));
    let listed = model("list", "l", json!({"model": ["x"]}));
    let undecryptable = StoredModel {
        trouble: Some(("`api_key` cannot be decrypted".into(), "set LITELLM_SALT_KEY".into())),
        ..fine("salt", "s")
    };
    let models = vec![control, paramless, listed, undecryptable, fine("good", "g")];
    let loaded = loaded(FILE, &of(models));
    let snapshot = loaded.snapshot.unwrap_or_else(|| panic!("{:?}", loaded.problems));
    assert_eq!(snapshot.deployments.len(), 6);
    for (id, expected) in [
        ("control", "control characters"),
        ("empty", "is missing"),
        ("list", "expected text"),
        ("salt", "cannot be decrypted"),
    ] {
        let why = snapshot.deployment(snapshot.by_id[id]).misconfigured.clone();
        let why = why.unwrap_or_else(|| panic!("{id} serves"));
        assert!(why.problem.contains(expected), "{id}: {why:?}");
        let file = format!("LiteLLM_ProxyModelTable/{id}");
        let is_told = |one: &Problem| *one.file == *file && one.problem.contains(expected);
        assert!(loaded.problems.iter().any(is_told), "{id}: {:?}", loaded.problems);
    }
    assert_eq!(snapshot.deployment(snapshot.by_id["good"]).misconfigured, None);
    assert_eq!(snapshot.deployment(snapshot.by_id["in-file"]).misconfigured, None);
}

#[test]
fn a_row_with_the_id_of_another_deployment_serves_nothing() {
    let snapshot =
        served(FILE, &of(vec![fine("in-file", "b"), fine("twice", "c"), fine("twice", "c")]));
    let file = snapshot.deployment(snapshot.by_id["in-file"]);
    assert_eq!((file.display.source, file.misconfigured.is_none()), (From::Config, true));
    let stopped = snapshot.deployments.iter().filter(|one| one.misconfigured.is_some());
    let reasons: Vec<&str> =
        stopped.map(|one| &*one.misconfigured.as_ref().unwrap().problem).collect();
    assert!(
        !reasons.is_empty() && reasons.iter().all(|why| why.contains("is taken")),
        "{reasons:?}"
    );
}

#[test]
fn what_the_files_say_wins_over_a_row_and_what_else_the_row_says_counts() {
    let yaml = format!("{FILE}router_settings: {{num_retries: 1}}\n");
    let sections = vec![
        ("router_settings".into(), object(json!({"num_retries": 7, "timeout": 33}))),
        (
            "general_settings".into(),
            object(json!({"master_key": "sk-evil", "store_model_in_db": true})),
        ),
        ("environment_variables".into(), object(json!({"ROW_KEY": "from-a-row"}))),
    ];
    let row = model("r", "r", json!({"model": "openai/r", "api_key": "os.environ/ROW_KEY"}));
    let stored = Stored { sections, models: vec![row], ..Stored::default() };
    let loaded = loaded(&yaml, &stored);
    let snapshot = loaded.snapshot.expect("it is served");
    assert_eq!(snapshot.router.num_retries, 1);
    assert_eq!(snapshot.router.timeout_ms, 33_000);
    assert!(snapshot.gateway.master_key.is_none() && snapshot.gateway.stores_models);
    assert_eq!(snapshot.deployment(snapshot.by_id["r"]).misconfigured, None);
    let told = format!("{:?}", loaded.problems);
    for name in ["router_settings.num_retries", "general_settings.master_key"] {
        assert!(told.contains(&format!("LiteLLM_Config/{name}")), "{name}: {told}");
    }
    assert!(!told.contains("sk-evil") && !told.contains("from-a-row"));
}

#[test]
fn a_wrong_setting_of_a_row_is_left_out_alone() {
    let sections = vec![(
        "router_settings".into(),
        object(json!({"routing_strategy": 7, "num_retries": 4, "fallbacks": "x"})),
    )];
    let loaded = loaded(FILE, &Stored { sections, ..Stored::default() });
    assert_eq!(loaded.snapshot.expect("it is served").router.num_retries, 4);
    let left_out = |one: &&Problem| one.problem.ends_with(": this row is left out");
    let left_out: Vec<&str> =
        loaded.problems.iter().filter(left_out).map(|one| &*one.file).collect();
    assert!(left_out.contains(&"LiteLLM_Config/router_settings.routing_strategy"), "{left_out:?}");
}

#[test]
fn a_credential_of_a_row_is_used_and_one_of_the_files_wins() {
    let yaml = format!(
        "{FILE}credential_list: [{{credential_name: both, credential_values: {{api_key: of-file}}}}]\n"
    );
    let credentials = vec![
        ("both".into(), object(json!({"api_key": "of-row"}))),
        ("own".into(), object(json!({"api_key": "of-row"}))),
    ];
    let named = |id: &str, name: &str| {
        model(id, id, json!({"model": "openai/x", "litellm_credential_name": name}))
    };
    let models = vec![named("one", "both"), named("two", "own")];
    let snapshot = served(&yaml, &Stored { models, credentials, ..Stored::default() });
    let key = |id: &str| {
        snapshot
            .deployment(snapshot.by_id[id])
            .credential
            .api_key
            .as_ref()
            .map(|key| key.expose().to_owned())
    };
    assert_eq!((key("one").as_deref(), key("two").as_deref()), (Some("of-file"), Some("of-row")));
}

#[test]
fn the_last_row_may_go_where_models_come_from_the_store() {
    let yaml = "general_settings: {store_model_in_db: true}\n";
    let some = served(yaml, &of(vec![fine("r", "a")]));
    let fake = Fake::new(yaml);
    let none = load_with(&fake.0, "c.yaml", Options::default(), (Some(&some), &Stored::default()));
    assert!(
        none.snapshot.is_some_and(|one| one.deployments.is_empty()) && none.problems.is_empty()
    );
}

#[test]
fn deployments_of_a_team_are_one_group_that_no_other_name_leads_to() {
    let team = |id: &str, public: &str, team: &str| StoredModel {
        info: object(json!({"team_id": team, "team_public_model_name": public})),
        ..fine(id, &format!("model_name_{team}_{id}"))
    };
    let rows = vec![
        team("1", "a", "red"),
        team("2", "a", "red"),
        team("3", "a", "blue"),
        team("4", "x*", "blue"),
    ];
    let snapshot = served(FILE, &of(rows));
    let red = snapshot.group(snapshot.of_teams["red"]["a"]);
    assert_eq!((red.members.len(), red.team.as_deref()), (2, Some("red")));
    let blue = snapshot.group(snapshot.of_teams["blue"]["a"]);
    assert_eq!((blue.members.len(), blue.team.as_deref()), (1, Some("blue")));
    assert_eq!(snapshot.group(snapshot.by_name["a"]).members.len(), 1, "that of the file");
    assert!(
        !snapshot.by_model.contains_key("openai/gpt-4o"),
        "the provider's name leads round the team"
    );
    let pattern = snapshot.deployment(snapshot.by_id["4"]).misconfigured.clone();
    assert!(pattern.is_some_and(|why| why.problem.contains("pattern")));
}

#[test]
fn a_team_s_deployment_among_those_of_others_serves_nothing() {
    let yaml = format!(
        "{FILE}  - model_name: a\n    litellm_params: {{model: openai/a, api_key: k}}\n    model_info: {{id: t, team_id: red}}\n"
    );
    let (snapshot, _) = Fake::new(&yaml).warned();
    assert!(snapshot.deployment(snapshot.by_id["t"]).misconfigured.is_some());
    assert_eq!(snapshot.group(snapshot.by_name["a"]).team, None);
}
