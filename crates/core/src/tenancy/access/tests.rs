//! Tests of what is checked, admitted and refused.

use super::super::time_of_tests::at;
use super::*;
use crate::money::Money;
use crate::tenancy::Subject;
use crate::tenancy::account::{Account, Budget, Claim, Terms, Used};

fn level(kind: SubjectKind, id: &str, terms: Terms) -> Arc<Level> {
    let account = Arc::default();
    Arc::new(Level { subject: Subject::new(kind, id), terms, account, clock: None, counter: None })
}

fn access(levels: Vec<Arc<Level>>) -> KeyAccess {
    KeyAccess {
        hash: KeyHash::of("sk-1"),
        presented: KeyHash::of("sk-1"),
        former: Vec::new(),
        masked: "sk-...abcd".into(),
        identity: Arc::default(),
        role: UserRole::InternalUser,
        expires: None,
        closed: None,
        allowed_routes: Vec::new(),
        models: Vec::new(),
        aliases: Default::default(),
        levels,
        of_models: OfModels::default(),
        budget_fallbacks: BTreeMap::new(),
        tags: Vec::new(),
        unserved: Vec::new(),
    }
}

const CHAT: Route<'_> = Route { path: "/v1/chat/completions", is_of_models: true };
const INFO: Route<'_> = Route { path: "/key/info", is_of_models: false };

fn usd(usd: f64) -> Money {
    Money::of_usd(usd).unwrap()
}

#[test]
fn an_expired_key_tells_nothing_else() {
    let now = UnixMs(1_795_894_830_000);
    let expired = KeyAccess {
        expires: Some(now),
        closed: Some(Closed::Key),
        allowed_routes: vec!["info_routes".into()],
        ..access(Vec::new())
    };
    let denied = expired.check(Needed::Models, CHAT, now).unwrap_err();
    assert_eq!(
        (denied.status, denied.kind, denied.param.as_deref()),
        (401, "expired_key", Some("sk-...abcd"))
    );
    let text = "Authentication Error - Expired Key. Key Expiry time 2026-11-28 19:40:30+00:00 and current time \
                2026-11-28 19:40:30+00:00";
    assert_eq!(denied.message, text);
    let before = UnixMs(now.0 - 1);
    let denied = expired.check(Needed::Models, CHAT, before).unwrap_err();
    let text =
        "Authentication Error, Key is blocked. Update via `/key/unblock` if you're an admin.";
    assert_eq!((denied.status, denied.kind, &*denied.message), (401, "auth_error", text));
}

#[test]
fn a_closed_team_or_user_is_named() {
    let message = |closed| {
        let access = KeyAccess { closed: Some(closed), ..access(Vec::new()) };
        access.check(Needed::Models, CHAT, UnixMs(0)).unwrap_err().message
    };
    let team =
        "Authentication Error, Team=t1 is blocked. Update via `/team/unblock` if you're an admin.";
    assert_eq!(message(Closed::Team("t1".into())), team);
    assert!(message(Closed::User("u1".into())).contains("u1"));
}

#[test]
fn routes_are_refused_in_the_words_that_clients_know() {
    let of_models =
        KeyAccess { allowed_routes: vec!["llm_api_routes".into()], ..access(Vec::new()) };
    assert_eq!(of_models.check(Needed::Models, CHAT, UnixMs(0)), Ok(()));
    let denied = of_models.check(Needed::AnyKey, INFO, UnixMs(0)).unwrap_err();
    let text = "Virtual key is not allowed to call this route. Only allowed to call routes: ['llm_api_routes']. Tried to call \
                route: /key/info";
    assert_eq!((denied.status, &*denied.message), (403, text));
}

#[test]
fn roles_may_what_the_table_of_roles_says() {
    let verdicts = UserRole::ALL.map(|role| {
        let access = KeyAccess { role, ..access(Vec::new()) };
        [Needed::Models, Needed::AnyKey, Needed::AdminView, Needed::Admin].map(|needed| {
            access.check(needed, CHAT, UnixMs(0)).map_or_else(|denied| denied.status, |()| 200)
        })
    });
    assert_eq!(
        verdicts,
        [
            [200, 200, 200, 200],
            [403, 200, 200, 401],
            [200, 200, 401, 401],
            [200, 200, 401, 401],
            [200, 200, 401, 401],
            [200, 200, 401, 401],
            [200, 200, 401, 401],
        ]
    );
    for role in UserRole::ALL {
        assert_eq!(UserRole::named(Some(role.name())), role);
    }
    assert_eq!(UserRole::named(Some("root")), UserRole::InternalUser);
    assert_eq!(UserRole::named(None), UserRole::InternalUser);
}

#[test]
fn a_level_that_refuses_leaves_the_others_as_they_were() {
    let key = level(SubjectKind::Key, "h", Terms { rpm: Some(1), ..Terms::default() });
    let team = level(SubjectKind::Team, "t", Terms { parallel: Some(0), ..Terms::default() });
    let both = Arc::new(access(vec![key.clone(), team]));
    let denied = both
        .admit(of_models::names("m", "m"), (Claim::default(), &More::default()), at(0))
        .unwrap_err();
    assert_eq!((denied.status, denied.retry_after_s), (429, Some(1)));
    assert_eq!(denied.limit.unwrap().of, "max_parallel_requests");
    assert_eq!(key.account.balance(None, at(0)), Default::default());
}

#[test]
fn a_limit_of_requests_is_told_with_its_text_and_the_real_wait() {
    let key = level(SubjectKind::Key, "h", Terms { rpm: Some(1), ..Terms::default() });
    let access = Arc::new(access(vec![key]));
    drop(
        access
            .admit(of_models::names("m", "m"), (Claim::default(), &More::default()), at(0))
            .unwrap(),
    );
    let denied = access
        .admit(of_models::names("m", "m"), (Claim::default(), &More::default()), at(1_500))
        .unwrap_err();
    let text = "Rate limit exceeded for api_key: h. Limit type: requests. Current limit: 1, Remaining: 0. Limit resets at: ";
    assert!(denied.message.starts_with(text), "{denied:?}");
    assert_eq!((denied.kind, denied.retry_after_s), ("throttling_error", Some(59)));
}

#[test]
fn a_spent_budget_is_reported_before_a_limit_and_the_key_before_the_team() {
    let budget = |max| {
        Some(Budget { max: usd(max), duration: None, raised: None, zone: jiff::tz::TimeZone::UTC })
    };
    let key = level(
        SubjectKind::Key,
        "h",
        Terms { rpm: Some(0), budget: budget(1.0), ..Terms::default() },
    );
    let team = level(SubjectKind::Team, "t", Terms { budget: budget(0.0), ..Terms::default() });
    let access = Arc::new(access(vec![key.clone(), team]));
    let denied = |claim| {
        access.admit(of_models::names("m", "m"), (claim, &More::default()), at(0)).unwrap_err()
    };
    let text = "Budget has been exceeded! Team=t Current cost: 0.0, Max budget: 0.0";
    let found = denied(Claim::default());
    assert_eq!((found.status, found.kind, &*found.message), (422, "budget_exceeded", text));
    key.account.set(usd(1.25), None, 0);
    assert_eq!(
        denied(Claim::default()).message,
        "Budget has been exceeded! Key=h Current cost: 1.25, Max budget: 1.0"
    );
    // What costs nothing needs no budget.
    assert_eq!(denied(Claim { is_free: true, ..Claim::default() }).status, 429);
}

#[test]
fn each_kind_of_subject_has_the_references_text() {
    let of = |kind, id: &str| Subject::new(kind, id).over_budget(usd(2.0), usd(1.5));
    for (kind, id, text) in [
        (
            SubjectKind::Member,
            "1:t:u",
            "Budget has been exceeded! User=u in Team=t Current cost: 2.0, Max budget: 1.5",
        ),
        (SubjectKind::User, "u", "ExceededBudget: User=u over budget. Spend=2.0, Budget=1.5"),
        (
            SubjectKind::EndUser,
            "e",
            "ExceededBudget: End User=e over budget. Spend=2.0, Budget=1.5",
        ),
        (
            SubjectKind::Organization,
            "o",
            "Budget has been exceeded! Organization=o Current cost: 2.0, Max budget: 1.5",
        ),
    ] {
        assert_eq!(of(kind, id), text);
    }
}

#[test]
fn what_was_admitted_is_settled_once_also_when_it_is_dropped() {
    let budget =
        Some(Budget { max: usd(1.0), duration: None, raised: None, zone: jiff::tz::TimeZone::UTC });
    let key = level(SubjectKind::Key, "h", Terms { parallel: Some(1), budget, ..Terms::default() });
    let access = Arc::new(access(vec![key.clone()]));
    let claim = Claim { cost: usd(0.5), ..Claim::default() };
    let admitted =
        access.admit(of_models::names("m", "m"), (claim, &More::default()), at(0)).unwrap();
    assert!(access.admit(of_models::names("m", "m"), (claim, &More::default()), at(0)).is_err());
    let mut dirty = Vec::new();
    let all = Used { tokens: 3, cost: usd(0.25) };
    let spent = Spent { all, in_group: &|_| all };
    admitted.settle(&spent, |level| dirty.push(level.subject.clone()));
    assert!(dirty.is_empty(), "what was spent is written with its request: {dirty:?}");
    drop(access.admit(of_models::names("m", "m"), (claim, &More::default()), at(0)).unwrap());
    let balance = key.account.balance(key.terms.budget.as_ref(), at(0));
    assert_eq!((balance.spent, balance.reserved, balance.in_flight), (usd(0.25), Money::ZERO, 0));
}

#[test]
fn what_goes_on_is_spent_while_it_does_and_never_twice() {
    let account: Arc<Account> = Arc::default();
    let level = |max: f64| {
        let zone = jiff::tz::TimeZone::UTC;
        let budget = Some(Budget { max: usd(max), duration: None, raised: None, zone });
        let terms = Terms { budget, ..Terms::default() };
        let subject = Subject::new(SubjectKind::Key, "k");
        Arc::new(Level { subject, terms, account: account.clone(), clock: None, counter: None })
    };
    let own = Arc::new(access(vec![level(1.0)]));
    let claim = Claim { cost: usd(0.3), ..Claim::default() };
    let mut admission =
        own.admit(of_models::names("m", "m"), (claim, &More::default()), at(0)).unwrap();
    let used = |cost: f64| Used { tokens: 0, cost: usd(cost) };
    let balance = || {
        let balance = account.balance(None, at(0));
        (balance.spent, balance.reserved)
    };
    let mut told = 0;
    admission.spend(used(0.2), |_| told += 1);
    assert_eq!((balance(), told), ((usd(0.2), usd(0.1)), 1));
    admission.spend(used(0.2), |_| told += 1);
    assert_eq!((balance(), told), ((usd(0.2), usd(0.1)), 1), "the same cost is spent once");
    assert!(admission.check_budgets(Some(&own), at(0)).is_ok());
    admission.spend(used(1.1), |_| told += 1);
    assert_eq!(balance(), (usd(1.1), Money::ZERO));
    let denied = admission.check_budgets(Some(&own), at(0)).unwrap_err();
    assert_eq!((denied.status, denied.reason), (422, "budget_exceeded"));
    let raised = access(vec![level(2.0)]);
    assert!(admission.check_budgets(Some(&raised), at(0)).is_ok(), "the terms of now count");
    admission.settle(&Spent { all: used(1.25), in_group: &|_| used(1.25) }, |_| {});
    assert_eq!(balance(), (usd(1.25), Money::ZERO));

    let mut dropped = own
        .admit(
            of_models::names("m", "m"),
            (Claim { is_free: true, ..claim }, &More::default()),
            at(0),
        )
        .unwrap();
    dropped.spend(used(0.5), |_| {});
    drop(dropped);
    assert_eq!(balance(), (usd(1.75), Money::ZERO), "what is spent stays spent");
}

#[test]
fn a_limit_of_one_model_counts_under_each_of_its_names() {
    for (name, counts) in
        [("group", true), ("openai/written", true), ("written", true), ("b", false)]
    {
        let limited =
            level(SubjectKind::ModelOfKey, "h:x", Terms { rpm: Some(0), ..Terms::default() });
        let mut of_models = OfModels::default();
        of_models.rpm[0].insert(name.into(), limited);
        let access = Arc::new(KeyAccess { of_models, ..access(Vec::new()) });
        let names = of_models::names("group", "openai/written");
        let admitted = access.admit(names, (Claim::default(), &More::default()), at(0));
        assert_eq!(admitted.is_err(), counts, "{name}");
    }
}

#[test]
fn a_request_that_is_refused_before_any_call_leaves_its_place_to_the_next() {
    let limited = level(SubjectKind::Key, "h", Terms { rpm: Some(1), ..Terms::default() });
    let access = Arc::new(access(vec![limited]));
    for _ in 0..3 {
        access
            .admit(of_models::names("m", "m"), (Claim::default(), &More::default()), at(0))
            .unwrap()
            .refund();
    }
    drop(
        access
            .admit(of_models::names("m", "m"), (Claim::default(), &More::default()), at(0))
            .unwrap(),
    );
    assert!(
        access
            .admit(of_models::names("m", "m"), (Claim::default(), &More::default()), at(0))
            .is_err(),
        "one that called has taken it"
    );
}
