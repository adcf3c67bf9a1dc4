//! Sums agree, whatever requests they have.

use proptest::prelude::*;

use super::super::{SpentCall, SpentTexts};
use super::*;

fn number(table: Table, row: &Row, name: &str) -> f64 {
    let at = table.names().iter().position(|known| *known == name).unwrap();
    row[at].real().unwrap()
}

fn total(rows: &[(Table, Row)], table: Table, name: &str) -> f64 {
    rows.iter().filter(|(of, _)| *of == table).map(|(table, row)| number(*table, row, name)).sum()
}

/// A request that is summed at once is in the same sum as one whose rows had to go.
#[test]
fn calls_are_summed_alike_before_and_after_they_had_rows() {
    let tags: Vec<Box<str>> = vec!["a".into(), "b\u{1f}c".into()];
    let call = SpentCall {
        deployment: "d",
        model_group: "g",
        provider: "p",
        model: "m",
        input_tokens: 3,
        output_tokens: 4,
        cost_nano: Some(5),
        ..SpentCall::default()
    };
    let calls = [call, SpentCall { cost_nano: None, ..call }];
    let request = SpentRequest {
        at: 1_795_910_399_999,
        key: "k",
        user: Some("u"),
        team: None,
        operation: "chat_completions",
        tags: &tags,
        calls: &calls,
        ..SpentRequest::default()
    };
    let mut sums = Sums::default();
    sums.count(&request, Calls::Summed);
    let mut at_once = sums.take(|| "id".to_owned());
    at_once.retain(|(table, _)| *table == Table::AttemptSums);
    let mut later = Vec::new();
    for row in request.attempts(&SpentTexts::default(), || "id".to_owned(), "r") {
        crate::batch::add_row(Table::AttemptSums, &mut later, super::super::summed(&row));
    }
    assert_eq!(at_once, later.into_iter().map(|row| (Table::AttemptSums, row)).collect::<Vec<_>>());
    assert_eq!(at_once.len(), 1);
}

proptest! {
    #[test]
    fn days_counters_and_calls_have_the_same_sum(
        requests in prop::collection::vec((0_u64..3, 0_u64..3, 0_usize..3, prop::collection::vec(0_i64..1_000_000_000, 0..4)), 1..40),
    ) {
        let mut sums = Sums::default();
        let tags: Vec<Box<str>> = vec!["a".into(), "b".into()];
        let mut cost = 0;
        let mut tagged = 0;
        for (key, day, tag_count, costs) in &requests {
            let (key, user) = (format!("k{key}"), format!("u{key}"));
            let calls: Vec<SpentCall<'_>> = costs
                .iter()
                .map(|nano| SpentCall { model: "m", provider: "p", input_tokens: 3, cost_nano: Some(*nano), ..SpentCall::default() })
                .collect();
            let request = SpentRequest {
                at: 1_795_910_399_999 + day,
                key: &key, user: Some(&user), team: Some("t"), organization: Some("o"), end_user: Some("e"),
                tags: &tags[..*tag_count], calls: &calls, endpoint: "/chat/completions",
                ..SpentRequest::default()
            };
            cost += request.cost_nano();
            tagged += request.cost_nano() * i64::try_from(*tag_count).unwrap();
            sums.count(&request, Calls::InRows);
        }
        let rows = sums.take(|| "id".to_owned());
        prop_assert!(sums.is_empty());
        let usd = |nano: i64| nano as f64 / 1e9;
        let near = |left: f64, right: f64| (left - right).abs() <= 1e-9 * right.abs().max(1e-3);
        for table in [
            Table::DailyUser, Table::DailyTeam, Table::DailyOrganization, Table::DailyEndUser, Table::OfKey, Table::OfTeam,
            Table::OfUser, Table::OfMember, Table::OfOrganization, Table::OfOrganizationMember, Table::OfEndUser,
        ] {
            prop_assert!(near(total(&rows, table, "spend"), usd(cost)), "{table:?}");
        }
        for table in [Table::DailyTag, Table::OfTag] {
            prop_assert!(near(total(&rows, table, "spend"), usd(tagged)), "{table:?}");
        }
        let of_keys: i64 = rows
            .iter()
            .filter(|(table, row)| *table == Table::SpendDays && row[0].text() == Some("key"))
            .map(|(_, row)| row[8].integer().unwrap())
            .sum();
        prop_assert_eq!(of_keys, cost);
        let asked = total(&rows, Table::DailyUser, "api_requests");
        prop_assert!(asked == requests.len() as f64);
        prop_assert!(rows.iter().all(|(table, row)| row.len() == table.columns().len()));
    }
}

/// Names that read alike in a row are still of two payers, and more kinds than are kept apart lose nothing.
#[test]
fn each_payer_has_its_own_sum_however_many_there_are() {
    let mut sums = Sums::default();
    let call = [SpentCall { model: "m", cost_nano: Some(7), ..SpentCall::default() }];
    for (user, team) in [("ab", "c"), ("a", "bc"), ("abc", "")] {
        let (user, team) = (Some(user), Some(team));
        let request = SpentRequest { user, team, calls: &call, ..SpentRequest::default() };
        sums.count(&request, Calls::InRows);
        sums.count(&request, Calls::Summed);
    }
    // Nor are the tags of a request taken for a call.
    let two = [call[0], SpentCall { deployment: "d", ..call[0] }];
    let tags: Vec<Box<str>> = ["", "d", "", "m", "t"].map(Box::from).into();
    for (calls, tags) in [(&two[..], &tags[4..]), (&two[..1], &tags[..])] {
        let request = SpentRequest { user: Some("u"), tags, calls, ..SpentRequest::default() };
        sums.count(&request, Calls::Summed);
    }
    for number in 0..5_000 {
        let key = number.to_string();
        let request = SpentRequest { key: &key, calls: &call, ..SpentRequest::default() };
        sums.count(&request, Calls::Summed);
    }
    let rows = sums.take(|| "id".to_owned());
    let users: Vec<(&str, f64)> = rows
        .iter()
        .filter(|(table, _)| *table == Table::OfUser)
        .map(|(table, row)| (row[0].text().unwrap(), number(*table, row, "spend") * 1e9))
        .collect();
    assert_eq!(users, [("a", 14.0), ("ab", 14.0), ("abc", 14.0), ("u", 21.0)]);
    let tagged: Vec<(&str, f64)> = rows
        .iter()
        .filter(|(table, _)| *table == Table::OfTag)
        .map(|(table, row)| (row[0].text().unwrap(), number(*table, row, "spend") * 1e9))
        .collect();
    assert_eq!(tagged, [("d", 7.0), ("m", 7.0), ("t", 21.0)]);
    assert_eq!(rows.iter().filter(|(table, _)| *table == Table::OfKey).count(), 5_000);
    let calls = total(&rows, Table::AttemptSums, "cost_nano");
    assert!((calls - 7.0 * 5_006.0).abs() < 0.5, "{calls}");
}

/// A client can make up any number of names, and each of them would be a row of a day for ever.
#[test]
fn names_that_clients_make_up_make_no_rows_of_days() {
    let mut sums = Sums::default();
    for number in 0..100 {
        let name = format!("invented-{number}");
        let refused = SpentRequest {
            key: "k",
            user: Some("u"),
            requested_model: Some(&name),
            is_failed: true,
            ..SpentRequest::default()
        };
        sums.count(&refused, Calls::Summed);
        // The name is one of a group that stands for many models.
        let of_many =
            SpentRequest { model_group: Some(&name), pattern: Some("openai/*"), ..refused };
        sums.count(&of_many, Calls::Summed);
        let called = SpentCall {
            model_group: &name,
            model: &name,
            provider: "openai",
            pattern: Some("openai/*"),
            counted_by: "none",
            ..SpentCall::default()
        };
        sums.count(&SpentRequest { calls: &[called], ..of_many }, Calls::Summed);
    }
    let billed = SpentCall {
        model: "gpt-4o",
        provider: "openai",
        pattern: Some("openai/*"),
        counted_by: "provider",
        cost_nano: Some(7),
        ..SpentCall::default()
    };
    let answered =
        SpentRequest { key: "k", user: Some("u"), calls: &[billed], ..SpentRequest::default() };
    sums.count(&answered, Calls::Summed);
    let cached = SpentRequest {
        key: "k",
        user: Some("u"),
        requested_model: Some("m"),
        is_from_cache: true,
        ..SpentRequest::default()
    };
    sums.count(&cached, Calls::Summed);
    let rows = sums.take(|| "id".to_owned());
    let named = |table: Table, name: &str| -> Vec<&str> {
        let at = table.names().iter().position(|known| *known == name).unwrap();
        let rows = rows.iter().filter(|(of, _)| *of == table);
        rows.map(|(_, row)| row[at].text().unwrap()).collect()
    };
    assert_eq!(named(Table::DailyUser, "model"), ["", "gpt-4o", "m", "openai/*", "openai/*"]);
    assert_eq!(total(&rows, Table::DailyUser, "failed_requests"), 300.0);
    assert_eq!(named(Table::AttemptSums, "model"), ["gpt-4o", "openai/*"]);
    let of_models = rows
        .iter()
        .filter(|(table, row)| *table == Table::SpendDays && row[0].text() == Some("model"));
    let of_models: Vec<&str> = of_models.map(|(_, row)| row[1].text().unwrap()).collect();
    assert_eq!(of_models, ["gpt-4o", "m", "openai/*"]);
}
