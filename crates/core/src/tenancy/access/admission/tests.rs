//! Tests of requests that are sent to another model than the one that they were admitted for.

use jiff::tz::TimeZone;
use serde_json::json;

use super::*;
use crate::tenancy::KeyLimits;
use crate::tenancy::account::{Account, Balance};
use crate::tenancy::account::{Budget, Terms};
use crate::tenancy::load::{KeyRows, load, load_end_user};
use crate::tenancy::of_models::names;
use crate::tenancy::row::{Record, Row};
use crate::tenancy::time_of_tests::at;
use crate::tenancy::{KeyHash, Subject};

fn usd(usd: f64) -> Money {
    Money::of_usd(usd).unwrap()
}

fn record(value: serde_json::Value) -> Record {
    value.as_object().unwrap().clone()
}

/// A key that may spend 10 USD, 1 USD on `a`, 2 USD on `b`, and send `a` and `b` one request a minute.
fn key() -> Arc<KeyAccess> {
    let of = |usd: u32| json!({"budget_limit": usd, "time_period": "1d", "rpm_limit": 1});
    let row = record(json!({
        "token": KeyHash::of("sk-1").to_string(), "max_budget": 10, "model_max_budget": {"a": of(1), "b": of(2)},
    }));
    let rows = KeyRows { key: row, ..KeyRows::default() };
    let account = |_: &Subject, opening: (Money, _)| Arc::new(Account::new(opening.0, opening.1));
    Arc::new(load(&rows, account).unwrap())
}

fn claim(cost: f64) -> Claim {
    Claim { tokens: 1, cost: usd(cost), ..Claim::default() }
}

fn admitted(access: &Arc<KeyAccess>, model: &str, cost: f64) -> Admission {
    access.admit(names(model, model), (claim(cost), &More::default()), at(0)).unwrap()
}

fn balance(level: &Level) -> Balance {
    let zone = TimeZone::UTC;
    let budget = Budget { max: usd(9.0), duration: None, raised: None, zone };
    level.account.balance(Some(&budget), at(0))
}

/// What is spent and reserved of the key, of `a`, of `b`.
fn money(access: &KeyAccess) -> [(Money, Money); 3] {
    let of = |level: &Arc<Level>| (balance(level).spent, balance(level).reserved);
    let budgets = &access.of_models.budgets[0];
    [of(&access.levels[0]), of(&budgets["a"]), of(&budgets["b"])]
}

/// Requests of the last minute, of `a`, of `b`.
fn requests(access: &KeyAccess) -> [u64; 2] {
    ["a", "b"].map(|model| balance(&access.of_models.rpm[0][model]).requests)
}

/// Settles with those costs at groups.
fn settle(admission: Admission, costs: &[(&str, f64)]) -> Vec<(Box<str>, Money)> {
    let used = |cost: f64| Used { tokens: 0, cost: usd(cost) };
    let in_group = |group: &str| {
        let found = costs.iter().filter(|(name, _)| *name == group);
        used(found.map(|(_, cost)| cost).sum())
    };
    let all = used(costs.iter().map(|(_, cost)| cost).sum());
    let spent = Spent { all, in_group: &in_group };
    let charged = admission.charged(&spent);
    admission.settle(&spent, |_| {});
    charged.into_iter().map(|one| (one.level.subject.model().into(), one.cost)).collect()
}

const NONE: Money = Money::ZERO;

#[test]
fn each_model_is_charged_with_what_was_spent_at_it_and_the_key_with_all() {
    let access = key();
    let mut admission = admitted(&access, "a", 0.5);
    assert_eq!(money(&access), [(NONE, usd(0.5)), (NONE, usd(0.5)), (NONE, NONE)]);
    admission.moves((names("b", "b"), None), (claim(0.75), Left::Called), at(0)).unwrap();
    assert_eq!(money(&access), [(NONE, usd(0.75)), (NONE, NONE), (NONE, usd(0.75))]);
    assert_eq!(requests(&access), [1, 1]);
    let charged = settle(admission, &[("a", 0.25), ("b", 0.5)]);
    assert_eq!(charged, [("a".into(), usd(0.25)), ("b".into(), usd(0.5))]);
    assert_eq!(money(&access), [(usd(0.75), NONE), (usd(0.25), NONE), (usd(0.5), NONE)]);
}

#[test]
fn a_model_that_was_not_called_gets_its_place_back() {
    let access = key();
    let mut admission = admitted(&access, "a", 0.5);
    admission.moves((names("b", "b"), None), (claim(0.5), Left::Uncalled), at(0)).unwrap();
    assert_eq!(requests(&access), [0, 1]);
    drop(admission);
    assert_eq!(money(&access), [(NONE, NONE); 3]);
    assert_eq!(requests(&access), [0, 1]);
    drop(admitted(&access, "a", 0.5));
}

#[test]
fn a_model_without_room_is_refused_and_nothing_changes() {
    let access = key();
    let spend = |model: &str, cost: f64| {
        drop(settle(admitted(&access, model, 0.0), &[(model, cost)]));
    };
    spend("b", 2.0);
    let mut admission = admitted(&access, "a", 0.5);
    let before = (money(&access), requests(&access));
    let denied =
        admission.moves((names("b", "b"), None), (claim(0.1), Left::Called), at(0)).unwrap_err();
    assert_eq!((denied.status, denied.kind), (422, "budget_exceeded"));
    assert_eq!((money(&access), requests(&access)), before);
    // The limit of a minute, once the budget begins anew.
    let later = at(59_000);
    access.of_models.budgets[0]["b"].account.set(NONE.minus(usd(2.0)), None, 0);
    let denied =
        admission.moves((names("b", "b"), None), (claim(0.1), Left::Called), later).unwrap_err();
    assert_eq!(denied.status, 429);
    assert_eq!(requests(&access), before.1);
    // The whole key has no room for a dearer model.
    let other = admitted(&access, "c", 7.0);
    let denied =
        admission.moves((names("d", "d"), None), (claim(1.5), Left::Called), at(0)).unwrap_err();
    assert_eq!(denied.status, 429);
    drop(other);
    admission.moves((names("d", "d"), None), (claim(1.5), Left::Called), at(0)).unwrap();
    drop(settle(admission, &[("a", 0.1), ("d", 1.0)]));
    assert_eq!(money(&access)[..2], [(usd(3.1), NONE), (usd(0.1), NONE)]);
}

#[test]
fn a_request_that_comes_back_to_a_model_counts_for_it_once() {
    let access = key();
    let mut admission = admitted(&access, "a", 0.5);
    admission.moves((names("b", "b"), None), (claim(0.5), Left::Called), at(0)).unwrap();
    admission.moves((names("a", "a"), None), (claim(0.5), Left::Called), at(0)).unwrap();
    assert_eq!(requests(&access), [1, 1]);
    assert_eq!(money(&access), [(NONE, usd(0.5)), (NONE, usd(0.5)), (NONE, NONE)]);
    let charged = settle(admission, &[("a", 0.25), ("b", 0.125)]);
    assert_eq!(charged, [("a".into(), usd(0.25)), ("b".into(), usd(0.125))]);
    assert_eq!(money(&access), [(usd(0.375), NONE), (usd(0.25), NONE), (usd(0.125), NONE)]);
}

#[test]
fn two_groups_of_one_entry_count_as_one_request_and_share_its_budget() {
    let access = key();
    let mut admission = admitted(&access, "openai/a", 0.5);
    admission
        .moves((names("azure/a", "azure/a"), None), (claim(0.75), Left::Called), at(0))
        .unwrap();
    assert_eq!((requests(&access), money(&access)[1]), ([1, 0], (NONE, usd(0.75))));
    drop(settle(admission, &[("openai/a", 0.25), ("azure/a", 0.5)]));
    assert_eq!(money(&access)[1], (usd(0.75), NONE));
}

#[test]
fn a_name_that_leads_to_a_group_counts_and_so_does_the_end_users_budget() {
    let access = key();
    let budget = record(json!({
        "budget_id": "b", "model_max_budget": {"dear": {"budget_limit": 0, "time_period": "1d"}},
    }));
    let row = record(json!({"user_id": "e", "budget_id": "b"}));
    let account = |_: &Subject, opening: (Money, _)| Arc::new(Account::new(opening.0, opening.1));
    let counters = (&[][..], at(0).unix_ms);
    let end_user = Arc::new(load_end_user(&row, Some(&budget), counters, account).unwrap());
    assert!(Row(&row).has("budget_id"));
    let more = More { end_user: Some(&end_user), ..More::default() };
    let mut admission = access.admit(names("c", "c"), (claim(0.1), &more), at(0)).unwrap();
    let denied = admission
        .moves((names("group", "dear"), None), (claim(0.1), Left::Called), at(0))
        .unwrap_err();
    assert!(denied.message.contains("End User: e"), "{}", denied.message);
    admission.moves((names("group", "b"), None), (claim(0.1), Left::Called), at(0)).unwrap();
    drop(settle(admission, &[("group", 0.5)]));
    assert_eq!(money(&access)[2], (usd(0.5), NONE));
}

#[test]
fn a_session_that_spends_is_settled_once() {
    let access = key();
    let mut admission = admitted(&access, "a", 0.5);
    admission.spend(Used { tokens: 0, cost: usd(0.25) }, |_| {});
    assert_eq!(money(&access)[1], (usd(0.25), usd(0.25)));
    drop(settle(admission, &[("a", 0.75)]));
    assert_eq!(money(&access)[..2], [(usd(0.75), NONE), (usd(0.75), NONE)]);
}

#[test]
fn a_limit_for_keys_without_one_counts_for_its_model_alone() {
    let access = key();
    let default = |rpm: u64, account: &Arc<Account>| {
        let subject = Subject::new(crate::tenancy::SubjectKind::ModelOfKey, "h:c");
        let terms = Terms { rpm: Some(rpm), ..Terms::default() };
        Arc::new(Level { subject, terms, account: account.clone(), clock: None, counter: None })
    };
    let account: Arc<Account> = Arc::default();
    let one = default(1, &account);
    let more = More { default: Some(&one), ..More::default() };
    drop(access.admit(names("c", "c"), (claim(0.1), &more), at(0)).unwrap());
    let denied = access.admit(names("c", "c"), (claim(0.1), &more), at(0)).unwrap_err();
    assert_eq!(denied.status, 429);
    let mut admission = admitted(&access, "a", 0.1);
    let full = admission.moves((names("c", "c"), Some(&one)), (claim(0.1), Left::Called), at(0));
    assert_eq!(full.unwrap_err().status, 429);
    let raised = default(2, &account);
    admission.moves((names("c", "c"), Some(&raised)), (claim(0.1), Left::Called), at(0)).unwrap();
    admission.moves((names("b", "b"), None), (claim(0.1), Left::Called), at(0)).unwrap();
    // It comes back, with a level that was made anew of the same account.
    let raised = default(2, &account);
    admission.moves((names("c", "c"), Some(&raised)), (claim(0.1), Left::Called), at(0)).unwrap();
    assert_eq!(account.balance(None, at(0)).requests, 2);
    let limits = KeyLimits { rpm: Some(5), tpm: Some(6) };
    let own = access.of_models.lacks(names("a", "a"), limits);
    assert_eq!(own, KeyLimits { rpm: None, tpm: Some(6) });
    assert_eq!(access.of_models.lacks(names("c", "c"), limits), limits);
}
