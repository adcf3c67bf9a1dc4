//! The keys of a database of LiteLLM: they work as they are, and what LiteLLM changes counts here.

use hale_testkit::{FakeUpstream, Postgres};
use serde_json::json;

use crate::keys::{ask, make};
use crate::support::{client, error, eventually, lone};

/// A key of LiteLLM's: `sk-hale-test-key-0001`.
const THEIRS: &str = "sk-hale-test-key-0001";
const SETUP: &str = "
insert into \"LiteLLM_BudgetTable\" (budget_id, max_budget, created_by, updated_by) values ('b', 1, 'x', 'x');
insert into \"LiteLLM_TeamTable\" (team_id, team_alias, models, metadata, model_spend, model_max_budget, members_with_roles)
    values ('t', 'the team', '{m}', '{}', '{}', '{}', '[]');
insert into \"LiteLLM_UserTable\" (user_id, user_role, models, metadata) values ('u', 'internal_user', '{}', '{}');
insert into \"LiteLLM_VerificationToken\" (token, key_name, key_alias, models, team_id, user_id, budget_id) values
    ('738cfe3475315764b19b429b121b456d50ab9e5249d08a4b387d76af971faef3', 'sk-...0001', 'theirs', null, 't', 'u', 'b')";

#[test]
fn the_keys_of_a_references_database_work_unchanged_and_its_changes_count_here() {
    let server = Postgres::shared();
    let url = server.database();
    server.apply_reference_migrations(&url, "9");
    server.sql(&url, SETUP);
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream)
        .deployment("other", "o", &upstream)
        .launch()
        .env("DATABASE_URL", &url)
        .start();
    assert_eq!(ask(&hale, THEIRS, "m").status, 200);
    let refused = ask(&hale, THEIRS, "other");
    assert_eq!(
        (refused.status, &error(&refused)["type"]),
        (403, &json!("team_model_access_denied"))
    );
    let info = client(&hale).get(&format!("/key/info?key={THEIRS}")).json();
    assert_eq!(info["info"]["litellm_budget_table"]["max_budget"].as_f64(), Some(1.0));
    // What was spent reaches the key, its user and its team.
    eventually("the spend is written", || {
        let sql = "select (select spend from \"LiteLLM_VerificationToken\" where token like '738c%') > 0 and \
                   (select spend from \"LiteLLM_TeamTable\") > 0 and (select spend from \"LiteLLM_UserTable\") > 0";
        (server.sql(&url, sql) == "t").then_some(())
    });
    let (own, _) = make(&hale, &json!({"team_id": "t", "key_alias": "ours"}));
    assert_eq!(ask(&hale, &own, "m").status, 200);
    let audited = "select action || ' ' || changed_by from \"LiteLLM_AuditLog\"";
    assert_eq!(server.sql(&url, audited), "created default_user_id");
    for (sql, status) in [
        ("update \"LiteLLM_VerificationToken\" set blocked = true", 401),
        ("update \"LiteLLM_VerificationToken\" set blocked = null", 200),
        ("update \"LiteLLM_TeamTable\" set blocked = true", 401),
        ("update \"LiteLLM_TeamTable\" set blocked = false", 200),
        ("update \"LiteLLM_BudgetTable\" set max_budget = 0", 422),
        ("update \"LiteLLM_BudgetTable\" set max_budget = 9", 200),
        ("update \"LiteLLM_VerificationToken\" set expires = '2026-01-01'", 401),
        ("update \"LiteLLM_VerificationToken\" set expires = null", 200),
        ("delete from \"LiteLLM_VerificationToken\" where key_alias = 'theirs'", 401),
    ] {
        server.sql(&url, sql);
        eventually(sql, || (ask(&hale, THEIRS, "m").status == status).then_some(()));
    }
}

/// Budgets of the key of [`SETUP`] besides its own, less than any call costs, and a tag.
const BUDGETS: &str = "
update \"LiteLLM_VerificationToken\" set budget_id = null, model_max_budget = '{\"m\": {\"budget_limit\": 1e-9, \"time_period\": \"1d\"}}';
insert into \"LiteLLM_BudgetTable\" (budget_id, max_budget, created_by, updated_by) values ('tags', 1e-9, 'x', 'x');
insert into \"LiteLLM_TagTable\" (tag_name, budget_id) values ('x', 'tags')";

#[test]
fn budgets_of_models_and_tags_of_a_references_database_hold_over_replicas() {
    let server = Postgres::shared();
    let url = server.database();
    server.apply_reference_migrations(&url, "9");
    server.sql(&url, SETUP);
    server.sql(&url, BUDGETS);
    let upstream = FakeUpstream::start();
    let start = || lone(&upstream).launch().env("DATABASE_URL", &url).start();
    let (one, other) = (start(), start());
    assert_eq!(ask(&one, THEIRS, "m").status, 200);
    let text = |answer: &hale_testkit::Response| {
        error(answer)["message"].as_str().unwrap_or_default().to_owned()
    };
    for hale in [&one, &other] {
        eventually("the budget of the model is spent", || {
            let answer = ask(hale, THEIRS, "m");
            let is_spent =
                answer.status == 422 && text(&answer).contains("exceeded budget for model=m");
            is_spent.then_some(())
        });
    }
    let counted =
        "select count(*) || ' ' || min(period) || ' ' || min(model) from hale.budget_counters";
    eventually("the counter", || (server.sql(&url, counted) == "1 1d m").then_some(()));
    // The tag's budget holds for a key of the gateway's own, too.
    let (own, _) = make(&one, &json!({}));
    let tagged = |hale: &hale_testkit::Hale| {
        let mut body = hale_testkit::openai::chat_request("m", "hi");
        body["metadata"] = json!({"tags": ["x"]});
        hale.client_with_key(&own).post_json(crate::support::CHAT, &[], &body)
    };
    assert_eq!(tagged(&one).status, 200);
    for hale in [&one, &other] {
        eventually("the budget of the tag is spent", || {
            let answer = tagged(hale);
            (answer.status == 422 && text(&answer).contains("Tag=x")).then_some(())
        });
    }
    server.sql(&url, "update \"LiteLLM_BudgetTable\" set max_budget = 9 where budget_id = 'tags'");
    eventually("the tag has room", || (tagged(&other).status == 200).then_some(()));
}
