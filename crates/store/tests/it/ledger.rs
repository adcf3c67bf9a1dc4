//! What requests cost: written once, in all places that must agree, in both databases and in LiteLLM's own schema.

use std::sync::Arc;

use hale_store::{
    Address, Batch, By, Change, Changed, Committed, Database, DayFilter, DaysOf, LogFilter,
    Purpose, SpentCall, SpentRequest, SpentTexts, Table, TenantTable, audit,
};
use hale_testkit::Postgres;
use serde_json::json;

use crate::support::{NOW, Place, Running, count, on_both, open, run};
use crate::tenants::{key, of, one, record};

const AT: i64 = NOW as i64;

pub(crate) fn call(nano: i64) -> SpentCall<'static> {
    SpentCall {
        deployment: "d-1",
        model_group: "g",
        provider: "openai",
        model: "gpt-4o",
        address: "api.openai.com",
        status: Some(200),
        began_at: NOW,
        ended_at: NOW + 900,
        input_tokens: 10,
        output_tokens: 5,
        counted_by: "provider",
        cost_nano: Some(nano),
        ..SpentCall::default()
    }
}

pub(crate) fn texts() -> SpentTexts {
    SpentTexts {
        counts: vec!["{\"input\":10,\"output\":5}".to_owned(); 3],
        metadata: "{\"x\":1}".to_owned(),
        ..SpentTexts::default()
    }
}

pub(crate) fn spent<'a>(
    call_id: &'a str,
    tags: &'a [Box<str>],
    calls: &'a [SpentCall<'a>],
) -> SpentRequest<'a> {
    SpentRequest {
        at: NOW,
        ended_at: NOW + 1_000,
        call_id,
        operation: "chat_completions",
        call_type: "acompletion",
        endpoint: "/chat/completions",
        key: "h",
        user: Some("u"),
        team: Some("t"),
        organization: Some("o"),
        end_user: Some("e"),
        session: Some("s"),
        tags,
        requested_model: Some("g"),
        model_group: Some("g"),
        calls,
        ..SpentRequest::default()
    }
}

/// The rows whose counters are raised.
pub(crate) fn holders() -> Vec<Change> {
    let insert = |table, row| Change::Insert { table, row: record(row) };
    vec![
        key("h", json!({"spend": 1.0, "total_spend": 1.0, "user_id": "u", "team_id": "t"})),
        insert(TenantTable::Teams, json!({"team_id": "t", "spend": 0.0, "members_with_roles": []})),
        insert(TenantTable::Users, json!({"user_id": "u", "spend": 0.0})),
        insert(
            TenantTable::Memberships,
            json!({"user_id": "u", "team_id": "t", "spend": 0.0, "total_spend": 0.0}),
        ),
        insert(TenantTable::Budgets, json!({"budget_id": "b", "created_by": "", "updated_by": ""})),
        insert(
            TenantTable::Organizations,
            json!({
                "organization_id": "o", "organization_alias": "o", "budget_id": "b", "spend": 0.0, "created_by": "",
                "updated_by": "",
            }),
        ),
    ]
}

async fn spend_of(database: &Database, table: TenantTable, column: &'static str, id: &str) -> f64 {
    one(database, table, column, id).await["spend"].as_f64().unwrap()
}

fn near(left: f64, right: f64) {
    assert!((left - right).abs() < 1e-9, "{left} is not {right}");
}

/// The sums of days and counters that follow from requests of 0.75 USD in all, with 3 calls, before which a key had spent 1 USD.
async fn agrees(database: &Database, requests: i64) {
    for (table, column, id, expected) in [
        (TenantTable::Keys, "token", "h", 1.75),
        (TenantTable::Teams, "team_id", "t", 0.75),
        (TenantTable::Users, "user_id", "u", 0.75),
        (TenantTable::Memberships, "user_id", "u", 0.75),
        (TenantTable::Organizations, "organization_id", "o", 0.75),
        (TenantTable::EndUsers, "user_id", "e", 0.75),
    ] {
        near(spend_of(database, table, column, id).await, expected);
    }
    for (of, entity) in [
        (DaysOf::Users, "u"),
        (DaysOf::Teams, "t"),
        (DaysOf::Organizations, "o"),
        (DaysOf::EndUsers, "e"),
        (DaysOf::Tags, "a"),
        (DaysOf::Tags, "b"),
    ] {
        let filter = DayFilter {
            of,
            from: "".into(),
            to: "".into(),
            with: vec![(By::Entity, vec![entity.into()])],
            by: vec![By::Entity, By::Key, By::Model, By::Provider, By::Endpoint, By::ModelGroup],
            limit: 10,
            skip: 0,
        };
        let sums = database.days(&filter).await.unwrap();
        let [sum] = &sums[..] else { panic!("{sums:?}") };
        let named: Vec<&str> = sum.of.iter().map(|text| &**text).collect();
        assert_eq!(named, [entity, "h", "gpt-4o", "openai", "/chat/completions", "g"]);
        near(sum.spend, 0.75);
        assert_eq!((sum.requests, sum.prompt_tokens, sum.completion_tokens), (requests, 30, 15));
    }
    let (logs, found) =
        database.logs(&LogFilter { limit: 10, ..LogFilter::default() }).await.unwrap();
    assert_eq!((logs.len() as i64, found as i64), (requests, requests));
    near(logs.iter().map(|log| log["spend"].as_f64().unwrap()).sum(), 0.75);
    // Sums are of all, whatever the limit of rows is.
    let sums = database.log_sums(&LogFilter { limit: 1, ..LogFilter::default() }).await.unwrap();
    let [sum] = &sums[..] else { panic!("{sums:?}") };
    near(sum.spend, 0.75);
    assert_eq!((&*sum.model, sum.requests, sum.failed), ("gpt-4o", requests, 0));
    assert_eq!((sum.prompt_tokens, sum.completion_tokens), (30, 15));
    assert_eq!((&logs[0]["startTime"], &logs[0]["metadata"]), (&json!(AT), &json!({"x": 1})));
    assert_eq!(
        (&logs[0]["status"], &logs[0]["request_tags"]),
        (&json!("success"), &json!(["a", "b"]))
    );
}

#[test]
fn what_a_request_costs_is_in_the_ledger_the_log_the_days_and_every_counter_once() {
    on_both(|Place { address, directory }| async move {
        let database = open(&address, Purpose::Change).await.unwrap();
        database.change(&holders(), None, AT).await.unwrap();
        let running = Running::start(&address, directory.path());
        let tags: Vec<Box<str>> = vec!["a".into(), "b".into()];
        let two = [SpentCall { cause: Some("timeout"), ..call(250_000_000) }, call(400_000_000)];
        let one = [call(100_000_000)];
        let requests = [spent("c1", &tags, &two), spent("c2", &tags, &one)];
        for request in &requests {
            assert_eq!(running.store.put_spent(request, texts), Some(1));
        }
        assert!(running.store.settled(hale_testkit::TIMEOUT).await);
        assert_eq!(running.store.progress().done, 1);
        agrees(&database, 2).await;
        assert_eq!(count(&address, Table::Attempts).await, 3);
    });
}

#[test]
fn a_batch_whose_answer_was_lost_adds_nothing_when_it_is_sent_again() {
    on_both(|Place { address, directory: _directory }| async move {
        let database = open(&address, Purpose::Change).await.unwrap();
        database.change(&holders(), None, AT).await.unwrap();
        let tags: Vec<Box<str>> = vec!["a".into(), "b".into()];
        let calls = [call(250_000_000), call(250_000_000), call(250_000_000)];
        let batch = Arc::new(Batch::of_spent(("w", 1), &spent("c1", &tags, &calls), &texts()));
        assert_eq!(database.commit(&batch, AT).await, Ok(Committed::Now));
        assert_eq!(database.commit(&batch, AT).await, Ok(Committed::Before));
        agrees(&database, 1).await;
    });
}

#[test]
fn a_members_first_spend_makes_its_row_and_a_budget_of_the_team_resets_it() {
    on_both(|Place { address, directory: _directory }| async move {
        let database = open(&address, Purpose::Change).await.unwrap();
        let team = json!({"team_id": "t", "metadata": {"team_member_budget_id": "b"}});
        let budget =
            json!({"budget_id": "b", "budget_reset_at": AT, "created_by": "x", "updated_by": "x"});
        let insert = |table, row| Change::Insert { table, row: record(row) };
        let added = [insert(TenantTable::Teams, team), insert(TenantTable::Budgets, budget)];
        database.change(&added, None, AT).await.unwrap();
        let calls = [call(500_000_000)];
        let spend = async |number: i64, team: Option<&'static str>| {
            let id = format!("c{number}");
            let request = SpentRequest { team, ..spent(&id, &[], &calls) };
            let batch = Arc::new(Batch::of_spent(("w", number), &request, &texts()));
            assert_eq!(database.commit(&batch, AT).await, Ok(Committed::Now));
        };
        for (number, team) in [(1, "t"), (2, "t"), (3, "gone")] {
            spend(number, Some(team)).await;
        }
        near(spend_of(&database, TenantTable::Memberships, "user_id", "u").await, 1.0);
        let reset = Change::ResetShared { budget: "b".into(), borders: (AT, AT + 60_000) };
        database.change(std::slice::from_ref(&reset), None, AT).await.unwrap();
        near(spend_of(&database, TenantTable::Memberships, "user_id", "u").await, 0.0);
        spend(4, Some("t")).await;
        // The border has moved: nothing begins anew.
        database.change(&[reset], None, AT).await.unwrap();
        near(spend_of(&database, TenantTable::Memberships, "user_id", "u").await, 0.5);
        let audited = audit(&database).await.unwrap();
        assert!(audited.differences.is_empty(), "{audited:?}");
    });
}

#[test]
fn requests_beyond_what_has_rows_are_summed_and_no_money_is_lost() {
    on_both(|Place { address, directory }| async move {
        let database = open(&address, Purpose::Change).await.unwrap();
        database.change(&holders(), None, AT).await.unwrap();
        let running = Running::with_spend(&address, directory.path(), 5);
        let calls = [call(1_000)];
        let ids: Vec<String> = (0..100).map(|id| format!("c{id}")).collect();
        for id in &ids {
            running.store.put_spent(&spent(id, &[], &calls), texts);
        }
        assert!(running.store.settled(hale_testkit::TIMEOUT).await);
        assert_eq!(count(&address, Table::Attempts).await, 1, "a fifth of five a second");
        assert_eq!(count(&address, Table::AttemptSums).await, 1);
        let audited = audit(&database).await.unwrap();
        assert!(audited.differences.is_empty(), "{audited:?}");
        assert_eq!((audited.calls, audited.nano), (100, 100_000));
    });
}

#[test]
fn the_references_schema_gets_its_rows_as_its_versions_have_them() {
    run(async {
        let server = Postgres::shared();
        for until in ["9", "20260401", "20260107"] {
            let url = server.database();
            server.apply_reference_migrations(&url, until);
            let address = Address::parse(&url).unwrap();
            let database = open(&address, Purpose::Serve).await.unwrap();
            let mut holders = holders();
            for change in &mut holders {
                // Older versions have no sum of all times.
                if let Change::Insert { row, .. } = change
                    && until != "9"
                {
                    row.remove("total_spend");
                }
            }
            let made = database.change(&holders, None, AT).await;
            assert!(matches!(made, Ok(Changed::Done(_))), "{until}: {made:?}");
            let tags: Vec<Box<str>> = vec!["a".into(), "b".into()];
            let calls = [call(250_000_000), call(250_000_000), call(250_000_000)];
            for number in [1, 1] {
                let batch =
                    Arc::new(Batch::of_spent(("w", number), &spent("c1", &tags, &calls), &texts()));
                database
                    .commit(&batch, AT)
                    .await
                    .unwrap_or_else(|error| panic!("{until}: {error}"));
            }
            let of_key = server
                .sql(&url, "select spend from \"LiteLLM_VerificationToken\" where token = 'h'");
            assert_eq!(of_key.trim(), "1.75", "{until}");
            let log = server
                .sql(&url, "select \"startTime\", spend, request_tags from \"LiteLLM_SpendLogs\"");
            assert!(
                log.contains("2027-01-1") && log.contains("0.75") && log.contains("[\"a\", \"b\"]"),
                "{log}"
            );
            let day = server
                .sql(&url, "select date, spend, api_requests from \"LiteLLM_DailyUserSpend\"");
            assert!(day.contains("|0.75|1"), "{until}: {day}");
            let audited = audit(&database).await.unwrap();
            assert!(audited.differences.is_empty(), "{until}: {audited:?}");
        }
    });
}

#[test]
fn a_table_of_requests_that_the_operator_partitioned_is_written() {
    run(async {
        let server = Postgres::shared();
        let url = server.database();
        server.apply_reference_migrations(&url, "9");
        server.sql(
            &url,
            "alter table \"LiteLLM_SpendLogs\" rename to old_logs; \
             create table \"LiteLLM_SpendLogs\" (like old_logs including defaults, primary key (request_id, \"startTime\")) \
             partition by range (\"startTime\"); \
             create table logs_2027 partition of \"LiteLLM_SpendLogs\" for values from ('2027-01-01') to ('2028-01-01')",
        );
        let database = open(&Address::parse(&url).unwrap(), Purpose::Serve).await.unwrap();
        let calls = [call(5)];
        let batch = Arc::new(Batch::of_spent(("w", 1), &spent("c1", &[], &calls), &texts()));
        database.commit(&batch, AT).await.unwrap();
        assert_eq!(server.sql(&url, "select count(*) from \"LiteLLM_SpendLogs\"").trim(), "1");
    });
}

#[test]
fn the_audit_names_what_does_not_agree_and_knows_what_was_reset_or_set() {
    on_both(|Place { address, directory: _directory }| async move {
        let database = open(&address, Purpose::Change).await.unwrap();
        database.change(&holders(), None, AT).await.unwrap();
        let calls = [call(250_000_000), call(500_000_000)];
        let batch = Arc::new(Batch::of_spent(("w", 1), &spent("c1", &[], &calls), &texts()));
        database.commit(&batch, AT).await.unwrap();
        // An operator sets a key's spend, and a team's budget begins anew.
        let set = Change::Update {
            table: TenantTable::Keys,
            key: of("token", "h"),
            row: record(json!({"spend": 0.25})),
        };
        let ends = Change::Update {
            table: TenantTable::Teams,
            key: of("team_id", "t"),
            row: record(json!({"budget_reset_at": AT})),
        };
        let reset = Change::Reset {
            table: TenantTable::Teams,
            key: of("team_id", "t"),
            usd: 0.75,
            borders: (AT, AT + 1_000),
        };
        database.change(&[set, ends, reset], None, AT).await.unwrap();
        let next = Arc::new(Batch::of_spent(("w", 2), &spent("c2", &[], &calls), &texts()));
        database.commit(&next, AT).await.unwrap();
        near(spend_of(&database, TenantTable::Keys, "token", "h").await, 1.0);
        near(spend_of(&database, TenantTable::Teams, "team_id", "t").await, 0.75);
        let clean = audit(&database).await.unwrap();
        assert!(clean.differences.is_empty(), "{clean:?}");
        // What is written past the ledger is found, and where.
        for sql in [
            "update {theirs}\"LiteLLM_VerificationToken\" set spend = spend + 0.5 where token = 'h'",
            "update {theirs}\"LiteLLM_DailyUserSpend\" set spend = spend - 0.01",
            "delete from {hale}attempts where number = 0 and request = 'c1'",
        ] {
            meddle(&address, sql);
        }
        let found = audit(&database).await.unwrap().differences;
        let places: Vec<String> = found.iter().map(ToString::to_string).collect();
        for place in ["key h", "LiteLLM_DailyUserSpend", "request c1"] {
            assert!(places.iter().any(|text| text.contains(place)), "{place}: {places:?}");
        }
    });
}

/// Changes rows behind the back of Hale.
fn meddle(address: &Address, sql: &str) {
    match address {
        Address::File(path) => {
            let sql = sql.replace("{hale}", "").replace("{theirs}", "");
            rusqlite::Connection::open(path).unwrap().execute(&sql, []).unwrap();
        }
        Address::Server(_) => {
            let url = address.shown().replace("***", "s3cret-pw");
            let sql = sql.replace("{hale}", "hale.").replace("{theirs}", "hale.");
            Postgres::shared().sql(&url, &sql);
        }
    }
}
