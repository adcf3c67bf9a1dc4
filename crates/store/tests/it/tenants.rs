//! Rows about keys: found and changed alike in both databases.

use hale_store::{
    Change, Changed, ColumnType, Database, Find, Kind, Once, Purpose, Record, TenantTable, Tokens,
};
use serde_json::{Value, json};

use crate::support::{NOW, Place, on_both, open};

const AT: i64 = NOW as i64;

pub(crate) fn record(value: Value) -> Record {
    match value {
        Value::Object(record) => record,
        other => panic!("{other} is no object"),
    }
}

pub(crate) fn key(token: &str, columns: Value) -> Change {
    let mut row = record(columns);
    row.insert("token".to_owned(), json!(token));
    Change::Insert { table: TenantTable::Keys, row }
}

pub(crate) fn of(name: &'static str, text: &str) -> Vec<(&'static str, Box<str>)> {
    vec![(name, text.into())]
}

pub(crate) async fn one(
    database: &Database,
    table: TenantTable,
    column: &'static str,
    text: &str,
) -> Record {
    let mut found = database.find(&Find::with(table, column, vec![text.into()])).await.unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

/// A value of each type.
fn sample(name: &str, kind: ColumnType, is_id: bool) -> Value {
    match kind {
        ColumnType::Text => json!(format!("the {name} \u{fc}'\"\\")),
        ColumnType::Real => json!(0.125),
        ColumnType::Integer if is_id => json!(7),
        ColumnType::Integer => json!(1_234_567_890_123_i64 % 2_000_000_000),
        ColumnType::Bool => json!(true),
        ColumnType::Time => json!(AT + 123),
        ColumnType::Json => json!({"a": [1, null, {"b": "c"}]}),
        ColumnType::List => json!(["a", "b,c", "{}"]),
    }
}

#[test]
fn every_column_of_every_table_comes_back_as_it_was_written() {
    on_both(|Place { address, directory: _directory }| async move {
        let database = open(&address, Purpose::Change).await.unwrap();
        for table in TenantTable::ALL {
            let mut row = Record::new();
            for (name, kind) in table.columns() {
                row.insert((*name).to_owned(), sample(name, *kind, *name == "id"));
            }
            let added = Change::Insert { table, row: row.clone() };
            assert_eq!(
                database.change(std::slice::from_ref(&added), None, AT).await,
                Ok(Changed::Done(vec![1]))
            );
            let found = database.find(&Find::all(table)).await.unwrap();
            assert_eq!(found, [row], "{}", table.name());
            assert_eq!(database.change(&[added], None, AT).await, Ok(Changed::Exists(0)));
        }
    });
}

#[test]
fn a_row_has_the_defaults_of_the_reference() {
    on_both(|Place { address, directory: _directory }| async move {
        let database = open(&address, Purpose::Change).await.unwrap();
        database.change(&[key("h", json!({}))], None, AT).await.unwrap();
        let row = one(&database, TenantTable::Keys, "token", "h").await;
        for (name, value) in [
            ("spend", json!(0.0)),
            ("models", json!([])),
            ("metadata", json!({})),
            ("blocked", json!(null)),
        ] {
            assert_eq!(
                row[name].as_f64().map_or(row[name].clone(), |it| json!(it)),
                value,
                "{name}"
            );
        }
    });
}

#[test]
fn changes_are_made_together_or_not_at_all() {
    on_both(|Place { address, directory: _directory }| async move {
        let database = open(&address, Purpose::Change).await.unwrap();
        let both = [key("a", json!({"key_alias": "one"})), key("b", json!({}))];
        assert_eq!(database.change(&both, None, AT).await, Ok(Changed::Done(vec![1, 1])));
        let late = [key("c", json!({})), key("b", json!({"key_alias": "other"}))];
        assert_eq!(database.change(&late, None, AT).await, Ok(Changed::Exists(1)));
        assert_eq!(database.count_found(&Find::all(TenantTable::Keys)).await, Ok(2));
        let row =
            record(json!({"models": ["m"], "blocked": true, "key_alias": null, "expires": AT}));
        let update = Change::Update { table: TenantTable::Keys, key: of("token", "a"), row };
        let delete = Change::Delete { table: TenantTable::Keys, key: of("token", "b") };
        let none = Change::Delete { table: TenantTable::Keys, key: of("token", "x' or '1'='1") };
        let changed = database.change(&[update, delete, none], None, AT).await;
        assert_eq!(changed, Ok(Changed::Done(vec![1, 1, 0])));
        let row = one(&database, TenantTable::Keys, "token", "a").await;
        assert_eq!(
            (&row["models"], &row["blocked"], &row["key_alias"]),
            (&json!(["m"]), &json!(true), &json!(null))
        );
        assert_eq!(row["expires"], json!(AT));
        assert_eq!(database.count_found(&Find::all(TenantTable::Keys)).await, Ok(1));
    });
}

#[test]
fn rows_are_found_by_texts_of_their_columns_in_order_and_in_parts() {
    on_both(|Place { address, directory: _directory }| async move {
        let database = open(&address, Purpose::Change).await.unwrap();
        let keys: Vec<Change> = (0..5)
            .map(|at| {
                key(
                    &format!("h{at}"),
                    json!({"team_id": if at < 3 { "t" } else { "u" }, "created_at": AT + at}),
                )
            })
            .collect();
        database.change(&keys, None, AT).await.unwrap();
        let tokens = |find: Find| {
            let database = &database;
            async move {
                let found = database.find(&find).await.unwrap();
                let tokens = found.iter().map(|row| row["token"].as_str().unwrap().to_owned());
                tokens.collect::<Vec<_>>().join(" ")
            }
        };
        let of_team = Find::with(TenantTable::Keys, "team_id", vec!["t".into()]);
        let newest = Find { sorted_by: Some("created_at"), ..of_team.clone() };
        assert_eq!(tokens(newest.clone()).await, "h2 h1 h0");
        assert_eq!(tokens(Find { limit: 1, skip: 1, ..newest.clone() }).await, "h1");
        assert_eq!(database.count_found(&Find { limit: 1, ..newest }).await, Ok(3));
        let several = vec!["h0".into(), "h4".into(), "h' or 1=1 --".into()];
        let some =
            Find { sorted_by: Some("token"), ..Find::with(TenantTable::Keys, "token", several) };
        assert_eq!(tokens(some).await, "h0 h4");
        assert_eq!(tokens(Find::with(TenantTable::Keys, "token", Vec::new())).await, "");
        let unknown = Find::with(TenantTable::Keys, "no_such_column", vec!["t".into()]);
        assert_eq!(tokens(unknown).await, "");
    });
}

#[test]
fn changes_with_a_number_are_made_once() {
    on_both(|Place { address, directory: _directory }| async move {
        let database = open(&address, Purpose::Change).await.unwrap();
        database.change(&[key("h", json!({"rpm_limit": 1}))], None, AT).await.unwrap();
        let set = |limit: i64| Change::Update {
            table: TenantTable::Keys,
            key: of("token", "h"),
            row: record(json!({"rpm_limit": limit})),
        };
        let once = |number| Some(Once { writer: "w".into(), number });
        assert_eq!(database.change(&[set(2)], once(1), AT).await, Ok(Changed::Done(vec![1])));
        assert_eq!(database.change(&[set(3)], once(1), AT).await, Ok(Changed::Before));
        let row = one(&database, TenantTable::Keys, "token", "h").await;
        assert_eq!(row["rpm_limit"], json!(2));
        assert!(matches!(database.change(&[set(4)], once(2), AT).await, Ok(Changed::Done(_))));
    });
}

#[test]
fn a_budget_begins_anew_once_and_what_was_spent_meanwhile_stays() {
    on_both(|Place { address, directory: _directory }| async move {
        let database = open(&address, Purpose::Change).await.unwrap();
        let columns = json!({"spend": 3.0, "total_spend": 3.0, "budget_reset_at": AT});
        database.change(&[key("h", columns)], None, AT).await.unwrap();
        let reset = Change::Reset {
            table: TenantTable::Keys,
            key: of("token", "h"),
            usd: 2.5,
            borders: (AT, AT + 1_000),
        };
        assert_eq!(
            database.change(std::slice::from_ref(&reset), None, AT).await,
            Ok(Changed::Done(vec![1]))
        );
        assert_eq!(database.change(&[reset], None, AT).await, Ok(Changed::Done(vec![0])));
        let row = one(&database, TenantTable::Keys, "token", "h").await;
        assert_eq!((row["spend"].as_f64(), row["total_spend"].as_f64()), (Some(0.5), Some(3.0)));
        assert_eq!(row["budget_reset_at"], json!(AT + 1_000));
    });
}

#[test]
fn a_budget_that_others_name_takes_them_along_once() {
    on_both(|Place { address, directory: _directory }| async move {
        let database = open(&address, Purpose::Change).await.unwrap();
        let budget = record(
            json!({"budget_id": "b", "budget_reset_at": AT, "created_by": "", "updated_by": ""}),
        );
        let member = record(
            json!({"user_id": "u", "team_id": "t", "spend": 1.0, "total_spend": 1.0, "budget_id": "b"}),
        );
        let changes = [
            Change::Insert { table: TenantTable::Budgets, row: budget },
            Change::Insert { table: TenantTable::Memberships, row: member },
            key("linked", json!({"spend": 1.0, "budget_id": "b"})),
            key("own", json!({"spend": 1.0, "budget_id": "b", "budget_duration": "1d"})),
            key("other", json!({"spend": 1.0})),
        ];
        database.change(&changes, None, AT).await.unwrap();
        let reset = Change::ResetShared { budget: "b".into(), borders: (AT, AT + 1_000) };
        assert_eq!(
            database.change(std::slice::from_ref(&reset), None, AT).await,
            Ok(Changed::Done(vec![3]))
        );
        assert_eq!(database.change(&[reset], None, AT).await, Ok(Changed::Done(vec![0])));
        for (token, spend) in [("linked", 0.0), ("own", 1.0), ("other", 1.0)] {
            let row = one(&database, TenantTable::Keys, "token", token).await;
            assert_eq!(row["spend"].as_f64(), Some(spend), "{token}");
        }
        let member = one(&database, TenantTable::Memberships, "user_id", "u").await;
        assert_eq!(
            (member["spend"].as_f64(), member["total_spend"].as_f64()),
            (Some(0.0), Some(1.0))
        );
    });
}

#[test]
fn a_column_that_a_table_does_not_have_is_refused_by_name_unless_it_is_empty() {
    on_both(|Place { address, directory: _directory }| async move {
        let database = open(&address, Purpose::Change).await.unwrap();
        let error =
            database.change(&[key("h", json!({"no_such_column": 1}))], None, AT).await.unwrap_err();
        assert_eq!(error.kind, Kind::BadRow);
        assert!(error.to_string().contains("no_such_column"), "{error}");
        let empty = key("h", json!({"no_such_column": null, "none": [], "nothing": {}}));
        assert!(database.change(&[empty], None, AT).await.is_ok());
    });
}

#[test]
fn hashes_are_read_in_pages_and_pages_of_rows_have_each_row_once() {
    on_both(|Place { address, directory: _directory }| async move {
        let database = open(&address, Purpose::Change).await.unwrap();
        let made = |at: i64| key(&format!("h{at}"), json!({"created_at": AT + at / 4 * 1_000}));
        let keys: Vec<Change> = (0..9).map(made).collect();
        database.change(&keys, None, AT).await.unwrap();
        let mut all: Vec<Box<str>> = Vec::new();
        loop {
            let after = all.last().cloned().unwrap_or_default();
            let page = database.tokens(&Tokens::After(after), 4).await.unwrap();
            all.extend(page.iter().cloned());
            if page.len() < 4 {
                break;
            }
        }
        let expected: Vec<Box<str>> = (0..9).map(|at| format!("h{at}").into()).collect();
        assert_eq!(all, expected);
        let new = database.tokens(&Tokens::MadeSince(AT + 2_000), 10).await.unwrap();
        assert_eq!(new, ["h8".into()] as [Box<str>; 1]);
        let mut paged = Vec::new();
        for skip in 0..9 {
            let sorted_by = Some("created_at");
            let one = Find { sorted_by, limit: 1, skip, ..Find::all(TenantTable::Keys) };
            paged.push(database.find(&one).await.unwrap()[0]["token"].as_str().unwrap().to_owned());
        }
        assert_eq!(paged, ["h8", "h7", "h6", "h5", "h4", "h3", "h2", "h1", "h0"]);
    });
}

#[test]
fn a_text_is_found_in_any_case_and_one_that_no_server_has_is_found_nowhere() {
    on_both(|Place { address, directory: _directory }| async move {
        let database = open(&address, Purpose::Change).await.unwrap();
        let row = record(json!({"user_id": "u", "user_email": "Um@X.com"}));
        let added = Change::Insert { table: TenantTable::Users, row };
        database.change(&[added], None, AT).await.unwrap();
        let by = |email: &str| Find {
            in_any_case: Some(("user_email", email.into())),
            ..Find::all(TenantTable::Users)
        };
        for (email, expected) in [("um@x.com", 1), ("UM@X.COM", 1), ("um@x", 0), ("u\0", 0)] {
            assert_eq!(database.find(&by(email)).await.unwrap().len(), expected, "{email:?}");
        }
        let texts = vec!["u\0".into(), "u".into()];
        let found = database.find(&Find::with(TenantTable::Users, "user_id", texts)).await.unwrap();
        assert_eq!(found.len(), 1);
    });
}
