//! Tests of what the rows of a key come to.

use std::collections::HashMap;

use jiff::tz::TimeZone;
use serde_json::json;

use super::super::access::{More, Spent};
use super::super::duration::BudgetDuration;
use super::super::of_models::{Names, names};
use super::super::rights::Model;
use super::super::time_of_tests::at;
use super::*;
use crate::time::UnixMs;

const TOKEN: &str = "738cfe3475315764b19b429b121b456d50ab9e5249d08a4b387d76af971faef3";

fn record(value: Value) -> Record {
    match value {
        Value::Object(record) => record,
        _ => panic!("an object"),
    }
}

fn key(columns: Value) -> Record {
    let mut key = record(columns);
    key.insert("token".to_owned(), json!(TOKEN));
    key
}

fn loaded(rows: &KeyRows) -> KeyAccess {
    load(rows, |_, (spent, ends)| Arc::new(Account::new(spent, ends))).unwrap()
}

/// Which of `models` are allowed, and `error.type` of the others.
fn verdicts(access: &KeyAccess, models: &[&str]) -> Vec<&'static str> {
    let verdict = |name: &&str| {
        let renamed = access.renamed(name);
        let groups: &[&str] = if renamed.name == "a" { &["grp"] } else { &[] };
        let model = Model {
            name: renamed.name,
            access_groups: groups,
            provider: None,
            is_team_alias: renamed.is_team_alias,
        };
        access.check_model(model).map_or_else(|denied| denied.kind, |()| "in")
    };
    models.iter().map(verdict).collect()
}

fn of_key(columns: Value) -> KeyRows {
    KeyRows { key: key(columns), ..KeyRows::default() }
}

const KEY: &str = "key_model_access_denied";
const TEAM: &str = "team_model_access_denied";

#[test]
fn a_keys_models_are_names_groups_or_all() {
    let of = |columns| verdicts(&loaded(&of_key(columns)), &["a", "b"]);
    assert_eq!(of(json!({"models": ["a"]})), ["in", KEY]);
    assert_eq!(of(json!({"models": ["grp"]})), ["in", KEY]);
    assert_eq!(of(json!({"models": []})), ["in", "in"]);
    assert_eq!(of(json!({"models": null})), ["in", "in"]);
    assert_eq!(of(json!({"models": ["all-team-models"]})), ["in", "in"]);
    assert_eq!(of(json!({"models": ["no-default-models"]})), [KEY, KEY]);
    assert_eq!(of(json!({"models": ["a"], "config": {"x": 1}})), ["in", "in"]);
}

#[test]
fn the_team_is_asked_after_the_key() {
    let of = |key: Value, team: Value| {
        let mut key = self::key(key);
        key.insert("team_id".to_owned(), json!("t1"));
        let rows = KeyRows { key, team: Some(record(team)), ..KeyRows::default() };
        verdicts(&loaded(&rows), &["a", "b"])
    };
    assert_eq!(of(json!({"models": ["all-team-models"]}), json!({"models": ["a"]})), ["in", TEAM]);
    assert_eq!(of(json!({"models": ["b"]}), json!({"models": ["a"]})), [KEY, TEAM]);
    assert_eq!(of(json!({}), json!({"models": ["all-team-models"]})), ["in", "in"]);
    assert_eq!(of(json!({}), json!({"models": []})), ["in", "in"]);
}

#[test]
fn a_users_models_and_budget_count_only_without_a_team() {
    let user = record(json!({"user_id": "u", "models": ["a"], "max_budget": 1.0, "spend": 2.0}));
    let mut rows = of_key(json!({"user_id": "u"}));
    rows.user = Some(user);
    let alone = loaded(&rows);
    assert_eq!(verdicts(&alone, &["a", "b"]), ["in", "user_model_access_denied"]);
    let terms = |access: &KeyAccess| access.levels.last().unwrap().terms.budget.is_some();
    assert!(terms(&alone));
    rows.key.insert("team_id".to_owned(), json!("t"));
    let in_team = loaded(&rows);
    assert_eq!(verdicts(&in_team, &["a", "b"]), ["in", "in"]);
    assert!(!terms(&in_team));
}

#[test]
fn members_and_organizations_have_models_of_their_own() {
    let mut rows = of_key(json!({"team_id": "t", "user_id": "u"}));
    rows.team = Some(record(json!({"team_id": "t", "organization_id": "o"})));
    rows.member = Some(record(json!({"user_id": "u", "team_id": "t"})));
    rows.member_budget = Some(record(json!({"allowed_models": ["a"]})));
    assert_eq!(verdicts(&loaded(&rows), &["a", "b"]), ["in", TEAM]);
    rows.member_budget = None;
    rows.organization = Some(record(json!({"organization_id": "o", "models": ["a"]})));
    let access = loaded(&rows);
    assert_eq!(verdicts(&access, &["a", "b"]), ["in", "org_model_access_denied"]);
    assert_eq!(access.identity.organization.as_deref(), Some("o"));
}

#[test]
fn names_of_the_key_and_of_the_team_lead_to_models() {
    let mut rows = of_key(json!({"aliases": {"x": "b"}, "models": ["x"]}));
    assert_eq!(verdicts(&loaded(&rows), &["x"]), [KEY], "the model behind the name is what counts");
    rows.key.insert("models".to_owned(), json!(["b"]));
    assert_eq!(loaded(&rows).renamed("x").name, "b");
    assert_eq!(verdicts(&loaded(&rows), &["x"]), ["in"]);
    let mut rows = of_key(json!({"team_id": "t"}));
    rows.team = Some(record(json!({"team_id": "t", "models": ["b"]})));
    rows.team_aliases = Some(record(json!({"aliases": {"x": "a"}})));
    assert_eq!(verdicts(&loaded(&rows), &["x", "a", "b"]), ["in", TEAM, "in"]);
}

#[test]
fn access_groups_are_all_that_a_key_without_models_may_use() {
    let group = |teams: Value| {
        record(
            json!({"access_group_id": "g", "access_model_names": ["b"], "assigned_team_ids": teams}),
        )
    };
    let mut rows = of_key(json!({"access_group_ids": ["g"], "models": []}));
    rows.access_groups = vec![group(json!([]))];
    assert_eq!(verdicts(&loaded(&rows), &["a", "b"]), [KEY, "in"]);
    rows.access_groups.clear();
    assert_eq!(
        verdicts(&loaded(&rows), &["a", "b"]),
        [KEY, KEY],
        "a group that is gone allows nothing"
    );
    rows.key.insert("team_id".to_owned(), json!("t"));
    rows.team = Some(record(json!({"team_id": "t", "models": ["a"]})));
    rows.access_groups = vec![group(json!([]))];
    assert_eq!(verdicts(&loaded(&rows), &["b"]), [TEAM]);
    rows.access_groups = vec![group(json!(["t"]))];
    assert_eq!(verdicts(&loaded(&rows), &["b"]), ["in"]);
}

#[test]
fn a_budget_that_a_key_names_fills_what_the_key_has_not() {
    let mut rows = of_key(json!({"rpm_limit": 7, "spend": 0.5, "budget_id": "b"}));
    rows.budget = Some(record(json!({
        "budget_id": "b", "max_budget": 1.0, "rpm_limit": 3, "tpm_limit": 0, "max_parallel_requests": 2,
        "budget_duration": "1d", "budget_reset_at": 1_900_000_000_000_u64,
    })));
    let terms = |rows: &KeyRows| {
        let access = loaded(rows);
        let level = access.levels[0].clone();
        (level.terms.clone(), level.clock.clone())
    };
    let (linked, clock) = terms(&rows);
    assert_eq!((linked.rpm, linked.tpm, linked.parallel), (Some(7), Some(0), Some(2)));
    let budget = linked.budget.unwrap();
    assert_eq!((budget.max, budget.duration.is_some()), (Money::of_usd(1.0).unwrap(), true));
    assert_eq!(clock.as_deref(), Some("b"));
    rows.key.insert("max_budget".to_owned(), json!(5.0));
    rows.key.insert("budget_duration".to_owned(), json!("7d"));
    let (own, clock) = terms(&rows);
    assert_eq!((own.budget.unwrap().max, clock), (Money::of_usd(5.0).unwrap(), None));
}

#[test]
fn a_default_of_nothing_is_no_cap_for_members_and_an_own_one_is() {
    let mut rows = of_key(json!({"team_id": "t", "user_id": "u"}));
    rows.member = Some(record(json!({"spend": 3.0})));
    rows.default_member_budget = Some(record(json!({"max_budget": 0.0, "rpm_limit": 4})));
    let member = |rows: &KeyRows| loaded(rows).levels[1].clone();
    assert_eq!(member(&rows).subject.kind, SubjectKind::Member);
    assert!(member(&rows).terms.budget.is_none());
    assert_eq!(member(&rows).terms.rpm, Some(4));
    rows.member_budget = Some(record(json!({"max_budget": 0.0})));
    assert_eq!(member(&rows).terms.budget.as_ref().unwrap().max, Money::ZERO);
    assert_eq!(member(&rows).terms.rpm, None);
}

#[test]
fn a_blocked_key_a_blocked_team_and_a_deactivated_user_close_it() {
    let closed = |rows: &KeyRows| loaded(rows).closed;
    assert_eq!(closed(&of_key(json!({"blocked": null}))), None);
    assert_eq!(closed(&of_key(json!({"blocked": true}))), Some(Closed::Key));
    let mut rows = of_key(json!({"team_id": "t", "user_id": "u"}));
    rows.user = Some(record(json!({"metadata": {"scim_active": false}})));
    assert_eq!(closed(&rows), Some(Closed::User("u".into())));
    rows.team = Some(record(json!({"blocked": true})));
    assert_eq!(closed(&rows), Some(Closed::Team("t".into())));
}

#[test]
fn what_limits_a_key_and_is_not_served_is_named() {
    let access = loaded(&of_key(json!({
        "model_max_budget": {"a": {"max_budget": 1}}, "router_settings": {}, "budget_limits": null, "tpd_limit": 1,
        "metadata": {"guardrails": ["g"], "tags": ["t0"], "anything": 1},
    })));
    let unserved = ["tpd_limit", "metadata.guardrails", "model_max_budget.a"];
    assert_eq!(access.unserved, unserved.map(Box::from));
    assert_eq!(access.tags, ["t0".into()]);
}

#[test]
fn what_limits_all_that_a_key_belongs_to_and_is_not_served_is_named_with_where_it_stands() {
    let mut rows = of_key(json!({"tpd_limit": 0, "team_id": "t", "user_id": "u"}));
    rows.budget = Some(record(json!({"soft_budget": 5.0, "max_budget": 9.0})));
    rows.team = Some(record(json!({
        "tpd_limit": 9, "soft_budget": null, "metadata": {"guardrails": ["g"]},
    })));
    rows.member_budget = Some(record(json!({"model_max_budget": {"a": 1}})));
    rows.user = Some(record(json!({"model_max_budget": {"a": 1}, "metadata": {"policies": []}})));
    rows.organization_budget = Some(record(json!({"tpd_limit": 1})));
    let named = [
        "tpd_limit",
        "team.tpd_limit",
        "team.metadata.guardrails",
        "member_budget.model_max_budget",
        "organization_budget.tpd_limit",
    ];
    assert_eq!(loaded(&rows).unserved, named.map(Box::from));
}

#[test]
fn a_row_without_a_hash_is_no_key() {
    for token in [json!(null), json!("sk-clear"), json!(7)] {
        let mut rows = KeyRows::default();
        rows.key.insert("token".to_owned(), token);
        assert!(load(&rows, |_, _| Arc::default()).is_none());
    }
}

#[test]
fn limits_of_single_models_are_the_keys_own() {
    let access = Arc::new(loaded(&of_key(json!({"metadata": {"model_rpm_limit": {"a": 1}}}))));
    let claim = super::super::account::Claim::default();
    assert!(access.admit(names("a", "a"), (claim, &More::default()), at(0)).is_ok());
    let denied = access.admit(names("a", "a"), (claim, &More::default()), at(1)).unwrap_err();
    assert!(denied.message.contains("model_per_key"), "{denied:?}");
    assert!(access.admit(names("b", "b"), (claim, &More::default()), at(1)).is_ok());
}

#[test]
fn subjects_share_their_account_over_keys() {
    let mut accounts: HashMap<Subject, Arc<Account>> = HashMap::new();
    let mut rows = of_key(json!({"team_id": "t"}));
    rows.team = Some(record(json!({"team_id": "t", "rpm_limit": 1})));
    let mut load = |rows: &KeyRows| {
        let account = |subject: &Subject, (spent, ends): Opening| {
            accounts
                .entry(subject.clone())
                .or_insert_with(|| Arc::new(Account::new(spent, ends)))
                .clone()
        };
        Arc::new(super::load(rows, account).unwrap())
    };
    let first = load(&rows);
    rows.key.insert("token".to_owned(), json!(TOKEN.replace('7', "8")));
    let second = load(&rows);
    let claim = super::super::account::Claim::default();
    assert!(first.admit(names("a", "a"), (claim, &More::default()), at(0)).is_ok());
    let denied = second.admit(names("a", "a"), (claim, &More::default()), at(1)).unwrap_err();
    assert!(denied.message.starts_with("Rate limit exceeded for team: t."), "{denied:?}");
}

#[test]
fn an_account_stays_with_its_key_when_the_key_gets_another_name() {
    let mut accounts: HashMap<Subject, Arc<Account>> = HashMap::new();
    let mut load = |alias: &str| {
        let account = |subject: &Subject, (spent, ends): Opening| {
            let new = || Arc::new(Account::new(spent, ends));
            accounts.entry(subject.clone()).or_insert_with(new).clone()
        };
        super::load(&of_key(json!({"key_alias": alias})), account).unwrap()
    };
    assert!(Arc::ptr_eq(&load("one").levels[0].account, &load("two").levels[0].account));
}

#[test]
fn a_budget_row_with_a_clock_alone_is_the_clock_of_the_keys_own_budget() {
    let mut rows = of_key(json!({"max_budget": 1.0, "spend": 5.0, "budget_id": "b"}));
    rows.budget = Some(record(json!({
        "budget_id": "b", "max_budget": null, "budget_duration": "1d", "budget_reset_at": 1_000,
    })));
    let access = loaded(&rows);
    let level = &access.levels[0];
    assert!(level.terms.budget.as_ref().unwrap().duration.is_some());
    assert_eq!(level.clock.as_deref(), Some("b"));
    let claim = crate::tenancy::account::Claim::default();
    assert!(
        Arc::new(access).admit(names("m", "m"), (claim, &More::default()), at(0)).is_ok(),
        "its border has passed"
    );
}

#[test]
fn the_end_of_a_raise_without_a_zone_is_in_utc() {
    for text in
        ["2027-01-01T00:00:00", "2027-01-01", "2027-01-01T00:00:00.5", "2027-01-01T00:00:00+00:00"]
    {
        let metadata = json!({"temp_budget_increase": 10, "temp_budget_expiry": text});
        let access = loaded(&of_key(json!({"max_budget": 1.0, "metadata": metadata})));
        let (more, until) = access.levels[0].terms.budget.as_ref().unwrap().raised.unwrap();
        assert_eq!(
            (more, until.0 / 1_000),
            (Money::of_usd(10.0).unwrap(), 1_798_761_600),
            "{text}"
        );
    }
}

#[test]
fn a_member_of_the_roster_counts_before_it_has_a_row_and_a_stranger_does_not() {
    let mut rows = of_key(json!({"team_id": "t", "user_id": "u"}));
    rows.default_member_budget = Some(record(json!({"budget_id": "b", "max_budget": 0.01})));
    let member = |rows: &KeyRows| {
        let access = loaded(rows);
        let level = access.levels.iter().find(|one| one.subject.kind == SubjectKind::Member);
        level.and_then(|level| Some((level.terms.budget.as_ref()?.max, level.clock.clone()?)))
    };
    for roster in [
        json!([{"user_id": "u", "role": "user"}]),
        json!("[{\"user_id\": \"u\"}]"),
        json!("\"[{\\\"user_id\\\": \\\"u\\\"}]\""),
    ] {
        rows.team = Some(record(json!({"team_id": "t", "members_with_roles": roster})));
        assert_eq!(member(&rows), Some((Money::of_usd(0.01).unwrap(), "b".into())), "{roster}");
    }
    for roster in [json!([{"user_id": "v"}]), json!({}), json!(null), json!("[{")] {
        rows.team = Some(record(json!({"team_id": "t", "members_with_roles": roster})));
        assert_eq!(member(&rows), None, "{roster}");
    }
}

#[test]
fn a_name_of_the_keys_own_behind_one_of_the_teams_is_judged_by_the_team() {
    let mut rows = of_key(json!({"team_id": "t", "aliases": {"x": "b"}}));
    rows.team = Some(record(json!({"team_id": "t", "models": ["a"]})));
    rows.team_aliases = Some(record(json!({"aliases": {"t1": "x", "t2": "c"}})));
    assert_eq!(verdicts(&loaded(&rows), &["b", "t1", "t2", "a"]), [TEAM, TEAM, "in", "in"]);
}

fn usd(usd: f64) -> Money {
    Money::of_usd(usd).unwrap()
}

/// Admits, settles with that cost, and says how the next one is refused.
fn spend(access: &Arc<KeyAccess>, model: &str, cost: f64) -> Result<(), super::super::Denied> {
    let claim = super::super::account::Claim::default();
    let admission = access.admit(names(model, model), (claim, &More::default()), at(0))?;
    let all = super::super::account::Used { tokens: 0, cost: usd(cost) };
    admission.settle(&Spent { all, in_group: &|_| all }, |_| {});
    Ok(())
}

#[test]
fn a_budget_of_a_model_refuses_that_model_alone_at_every_level() {
    let budgets = json!({
        "a": {"budget_limit": "1", "time_period": "1d"}, "free": {"rpm_limit": 9}, "never": {"max_budget": 1},
        "spare": {"max_budget": 5, "budget_duration": "30d"},
    });
    let with = |column: &str| {
        let mut rows =
            of_key(json!({"team_id": "t", "user_id": "u", "key_alias": "al", "budget_id": "b"}));
        let row = |id: &str| Some(record(json!({id: "x", "model_max_budget": budgets})));
        match column {
            "key" => drop(rows.key.insert("model_max_budget".to_owned(), budgets.clone())),
            "budget" => rows.budget = row("budget_id"),
            "team" => rows.team = row("team_id"),
            _ => rows.user = row("user_id"),
        }
        Arc::new(loaded(&rows))
    };
    for (column, whose) in [
        ("key", "Virtual Key: 738c"),
        ("budget", "Virtual Key: 738c"),
        ("team", "Team: t"),
        ("user", "User: u"),
    ] {
        let access = with(column);
        spend(&access, "openai/a", 1.0).unwrap();
        let denied = spend(&access, "a", 0.0).unwrap_err();
        assert_eq!((denied.status, denied.kind), (422, "budget_exceeded"), "{column}");
        let text = format!("LiteLLM {whose}");
        assert!(denied.message.starts_with(&text), "{}", denied.message);
        assert!(denied.message.contains("exceeded budget for model=a"), "{}", denied.message);
        assert!(denied.retry_after_s.is_some_and(|seconds| seconds <= 86_400), "{denied:?}");
        spend(&access, "b", 9.0).unwrap();
        spend(&access, "spare", 1.0).unwrap();
        let unused = access.unserved.iter().filter(|name| name.ends_with("model_max_budget.never"));
        assert_eq!(unused.count(), 1, "{:?}", access.unserved);
    }
}

#[test]
fn what_a_key_has_of_its_own_for_a_model_takes_the_place_of_its_teams() {
    let mut rows = of_key(json!({
        "team_id": "t", "model_max_budget": {"a": {"budget_limit": 9, "time_period": "1d", "rpm_limit": 4}},
    }));
    rows.team = Some(record(json!({
        "team_id": "t", "metadata": {"model_rpm_limit": {"a": 1, "b": 1}, "model_tpm_limit": {"a": 7}},
        "model_max_budget": {"a": {"budget_limit": 0, "time_period": "1d"}, "b": {"budget_limit": 0, "time_period": "1d"}},
    })));
    let access = loaded(&rows);
    let kinds = |model: &str| -> Vec<(SubjectKind, Option<u64>, Option<u64>)> {
        let levels = access.of_models.of(names(model, model));
        levels.iter().map(|it| (it.subject.kind, it.terms.rpm, it.terms.tpm)).collect()
    };
    let own = [
        (SubjectKind::ModelBudgetOfKey, None, None),
        (SubjectKind::ModelOfKey, Some(4), None),
        (SubjectKind::ModelOfTeam, None, Some(7)),
    ];
    assert_eq!(kinds("a"), own);
    let of_team =
        [(SubjectKind::ModelBudgetOfTeam, None, None), (SubjectKind::ModelOfTeam, Some(1), None)];
    assert_eq!(kinds("b"), of_team);
    assert!(kinds("c").is_empty());
}

#[test]
fn an_entry_of_the_key_takes_the_place_of_its_teams_only_for_the_models_that_it_counts_for() {
    let budget = json!({"budget_limit": 1, "time_period": "1d"});
    let limits = |model: &str| {
        json!({
            "team_id": "t", "model_max_budget": {model: budget},
            "metadata": {"model_rpm_limit": {model: 1}, "model_tpm_limit": {model: 1}},
        })
    };
    let found = |own: &str, of_team: &str, names: Names<'_>| {
        let mut rows = of_key(limits(own));
        rows.team = Some(record(limits(of_team)));
        let levels = loaded(&rows).of_models.of(names);
        levels.iter().map(|one| one.subject.kind).collect::<Vec<_>>()
    };
    use SubjectKind::{ModelBudgetOfKey, ModelBudgetOfTeam, ModelOfKey, ModelOfTeam};
    let own = [ModelBudgetOfKey, ModelOfKey, ModelOfKey];
    let of_team = [ModelBudgetOfTeam, ModelOfTeam, ModelOfTeam];
    let (bare, full) = ("gpt-4o", "openai/gpt-4o");
    // An alias of the group, the group itself, a group whose name is the bare one.
    assert_eq!(found(bare, full, names(full, "fast")), own);
    assert_eq!(found(bare, full, names(full, full)), own);
    assert_eq!(found(full, bare, names(full, "fast")), own);
    assert_eq!(found(full, bare, names(bare, bare)), of_team);
    assert_eq!(found(full, bare, names("azure/gpt-4o", "fast")), of_team);
    assert_eq!(found("other", full, names(full, "fast")), of_team);
    assert!(found("other", full, names("else", "else")).is_empty());
}

#[test]
fn a_limit_of_requests_of_the_key_leaves_its_teams_limit_of_tokens_whatever_they_call_the_model() {
    let mut rows = of_key(json!({"team_id": "t", "metadata": {
        "model_rpm_limit": {"gpt-4o": 5}, "model_tpm_limit": {"openai/gpt-4o": 7},
    }}));
    rows.team = Some(record(json!({"team_id": "t", "metadata": {
        "model_rpm_limit": {"openai/gpt-4o": 1}, "model_tpm_limit": {"openai/gpt-4o": 2, "gpt-4o": 3},
    }})));
    let access = loaded(&rows);
    let terms = |names| {
        let levels = access.of_models.of(names);
        levels.iter().map(|one| (one.terms.rpm, one.terms.tpm)).collect::<Vec<_>>()
    };
    let full = "openai/gpt-4o";
    assert_eq!(terms(names(full, full)), [(Some(5), None), (None, Some(7))]);
    assert_eq!(terms(names("gpt-4o", "gpt-4o")), [(Some(5), None), (None, Some(3))]);
}

#[test]
fn a_changed_period_of_a_budget_is_another_account() {
    let subjects = |period: &str| {
        let budget = json!({"a": {"budget_limit": 1, "time_period": period}});
        let mut rows = of_key(json!({"team_id": "t", "user_id": "u", "model_max_budget": budget}));
        rows.team = Some(record(json!({"team_id": "t", "model_max_budget": {"b": budget["a"]}})));
        rows.user = Some(record(json!({"user_id": "u", "model_max_budget": {"b": budget["a"]}})));
        let access = loaded(&rows);
        access.of_models.all().map(|level| level.subject.clone()).collect::<Vec<_>>()
    };
    let (day, week) = (subjects("1d"), subjects("7d"));
    assert_eq!((day.len(), week.len()), (3, 3));
    for (one, other) in day.iter().zip(&week) {
        assert_ne!(one, other);
        assert_eq!((one.model(), &one.name), (other.model(), &other.name));
    }
}

#[test]
fn several_periods_refuse_each_by_itself_and_begin_with_what_their_counters_have() {
    let limits = json!([
        {"budget_duration": "1d", "max_budget": 1.0, "reset_at": "2026-11-29T00:00:00Z"},
        {"budget_duration": "30d", "max_budget": 10.0},
    ]);
    let mut rows =
        of_key(json!({"budget_limits": limits, "metadata": {"hale_former_keys": ["old"]}}));
    let now = at(0).unix_ms;
    rows.read_at = now;
    let counter = |period: &str, ends: UnixMs, usd: f64| {
        record(
            json!({"kind": "key", "id": "old", "model": "", "period": period, "ends": ends.0, "cost_nano": usd * 1e9}),
        )
    };
    let day = BudgetDuration::parse("", "1d").unwrap().next(now, &TimeZone::UTC);
    rows.counters = vec![
        counter("1d", UnixMs(day.0 - 86_400_000), 5.0),
        counter("1d", day, 0.75),
        counter("7d", day, 9.0),
    ];
    let access = Arc::new(loaded(&rows));
    spend(&access, "m", 0.5).unwrap();
    let denied = spend(&access, "m", 0.5).unwrap_err();
    let text = "ExceededBudget: Key over 1d budget. Spend=$1.2500, Limit=$1.00; ";
    assert!(denied.message.starts_with(text), "{}", denied.message);
    assert_eq!((denied.status, denied.kind), (422, "budget_exceeded"));
    let window = access.levels.iter().find(|level| level.subject.kind == SubjectKind::WindowOfKey);
    let counter = window.and_then(|level| level.counter.as_ref()).unwrap();
    assert_eq!((&*counter.id, &*counter.period), ("old", "1d"));
    rows.team = Some(record(
        json!({"team_id": "t", "budget_limits": [{"budget_duration": "1h", "max_budget": 0}]}),
    ));
    rows.key = key(json!({"team_id": "t"}));
    let denied = spend(&Arc::new(loaded(&rows)), "m", 0.5).unwrap_err();
    assert!(
        denied.message.starts_with("ExceededBudget: Team=t over 1h budget. "),
        "{}",
        denied.message
    );
}

#[test]
fn a_request_is_charged_to_the_counters_of_its_own_model_and_tags() {
    let rows = of_key(json!({
        "budget_limits": [{"budget_duration": "1d", "max_budget": 1}],
        "model_max_budget": {"a": {"budget_limit": 1, "time_period": "1d"}, "b": {"budget_limit": 1, "time_period": "1d"}},
    }));
    let access = Arc::new(loaded(&rows));
    let budget = record(json!({"budget_id": "b", "max_budget": 1.0}));
    let row = record(json!({"tag_name": "x", "budget_id": "b", "spend": 1.0}));
    let tag =
        load_tag(&row, Some(&budget), |_, opening| Arc::new(Account::new(opening.0, opening.1)));
    let claim = super::super::account::Claim::default();
    let admission = access.admit(names("a", "a"), (claim, &More::default()), at(0)).unwrap();
    let all = super::super::account::Used { tokens: 0, cost: usd(0.5) };
    let charged = admission.charged(&Spent { all, in_group: &|_| all });
    let charged: Vec<&str> = charged.iter().map(|one| one.level.subject.model()).collect();
    assert_eq!(charged, ["1d", "a"]);
    let tags = [tag.unwrap()];
    let more = More { tags: &tags, ..More::default() };
    let denied = access.admit(names("c", "c"), (claim, &more), at(0)).unwrap_err();
    assert!(
        denied.message.starts_with("Budget has been exceeded! Tag=x Current cost: 1.0"),
        "{denied:?}"
    );
    assert!(
        load_tag(&row, None, |_, _| Arc::default()).is_none(),
        "a tag without a budget is not limited"
    );
}

#[test]
fn a_spent_budget_of_a_model_gives_way_to_the_first_cheaper_one_with_room() {
    let rows = of_key(json!({
        "model_max_budget": {"a": {"budget_limit": 1, "time_period": "1d"}, "b": {"budget_limit": 0, "time_period": "1d"}},
        "budget_fallbacks": {"a": ["b", "c"]},
    }));
    let access = Arc::new(loaded(&rows));
    let same = |name: &str| -> Box<str> { name.into() };
    assert_eq!(access.cheaper("a", same, at(0)), None);
    spend(&access, "a", 1.0).unwrap();
    assert_eq!(access.cheaper("a", same, at(0)), Some("c"));
    assert_eq!((access.cheaper("b", same, at(0)), access.cheaper("d", same, at(0))), (None, None));
    // Names that lead to the group whose budget is spent, and to one whose budget is.
    let group = |name: &str| if name == "alias" { "a".into() } else { same(name) };
    assert_eq!(access.cheaper("alias", group, at(0)), Some("c"));
    assert_eq!(access.cheaper("openai/a", group, at(0)), Some("c"));
    let group = |name: &str| if name == "c" { "b".into() } else { same(name) };
    assert_eq!(access.cheaper("a", group, at(0)), None);
}
