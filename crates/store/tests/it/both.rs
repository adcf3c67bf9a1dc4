//! What holds for both databases.

use hale_store::{
    IncidentRow, KeptResponse, Kind, ProbeFilter, ProbeResult, Purpose, Retention, Sample, Setting,
    Status, Stored, Table, VERSION,
};

use crate::support::{NOW, Place, Running, action, count, on_both, open, request, run};

#[test]
fn opening_makes_the_tables_once_however_many_open_at_once() {
    on_both(|Place { address, .. }| async move {
        let looked = open(&address, Purpose::Look).await;
        assert_eq!(looked.err().map(|error| error.kind), Some(Kind::Empty), "a look makes nothing");
        let change = || open(&address, Purpose::Change);
        let opened = tokio::join!(change(), change(), change());
        for database in [opened.0, opened.1, opened.2] {
            let database = database.unwrap();
            assert_eq!(database.version().await, Ok(VERSION));
            assert_eq!(database.count(Table::Requests).await, Ok(0));
        }
        open(&address, Purpose::Look).await.unwrap();
    });
}

#[test]
fn the_tables_have_the_columns_that_rows_have() {
    // Export reads every column by its name, and a row has a value for each.
    on_both(|Place { address, directory }| async move {
        let running = Running::start(&address, directory.path());
        running.store.put(&Stored::Health(hale_store::HealthChange::default()));
        running.store.put(&Stored::Probe(probe("p", NOW, "healthy")));
        running.store.put(&Stored::Setting(setting("a", "1", NOW)));
        running.store.put(&Stored::Incident(incident("i", "told", NOW)));
        running.store.put(&Stored::Response(kept("r", None, NOW + 1)));
        running.act("d");
        running.store.put_requests([request("c")].into_iter());
        // The six, the request, its minute and its day.
        running.until_figures(|figures| figures.written == 9).await;
        let spent = [Table::Attempts, Table::AttemptSums, Table::SpendDays, Table::BudgetCounters];
        for table in Table::ALL.into_iter().filter(|table| !spent.contains(table)) {
            assert!(count(&address, table).await > 0, "{table:?}");
        }
        let file = directory.path().join("export");
        let database = open(&address, Purpose::Look).await.unwrap();
        hale_store::copy::export(&database, &file).await.unwrap();
        let text = std::fs::read_to_string(file).unwrap();
        assert_eq!(text.lines().count(), 10, "{text}");
        assert!(text.contains("\"cost_usd\":0.25") && text.contains("\"call_id\":\"c\""), "{text}");
    });
}

fn kept(id: &str, previous: Option<&str>, expires_at: u64) -> KeptResponse {
    KeptResponse {
        id: id.into(),
        at: NOW,
        expires_at,
        previous: previous.map(Box::from),
        input: "[]".into(),
        response: "{}".into(),
        updated_at: NOW,
    }
}

#[test]
fn a_page_of_a_conversation_ends_once_it_is_long() {
    on_both(|Place { address, directory }| async move {
        let running = Running::start(&address, directory.path());
        let name = |at: u64| format!("r{at}");
        for at in 0..5_u64 {
            let previous = at.checked_sub(1).map(name);
            let long = "\u{e9}".repeat(1 << 19).into();
            let row = kept(&name(at), previous.as_deref(), NOW + 1);
            running.store.put(&Stored::Response(KeptResponse { response: long, ..row }));
        }
        running.until_figures(|figures| figures.written == 5).await;
        let page = running.store.kept_responses("r4", NOW, 2 << 20).await.unwrap();
        let ids: Vec<&str> = page.iter().map(|row| &*row.id).collect();
        // Bytes count, not characters: two rows are a page, and a third begins before it is full.
        assert_eq!(ids, ["r4", "r3"]);
    });
}

#[test]
fn a_kept_response_is_read_with_those_before_it_and_forgotten_from_the_end_of_its_conversation() {
    on_both(|Place { address, directory }| async move {
        let running = Running::start(&address, directory.path());
        let name = |at: u64| format!("r{at:02}");
        for at in 0..20_u64 {
            let previous = at.checked_sub(1).map(name);
            // The earlier ones have expired, the last one has not.
            let row = kept(&name(at), previous.as_deref(), NOW - 1_000 + at * 52);
            running.store.put(&Stored::Response(row));
        }
        running.until_figures(|figures| figures.written == 20).await;
        let page = running.store.kept_responses("r19", NOW - 500, 1 << 20).await.unwrap();
        let ids: Vec<String> = page.iter().map(|row| row.id.to_string()).collect();
        assert_eq!(ids, (4..20).rev().map(name).collect::<Vec<_>>());
        assert_eq!(page[15].previous.as_deref(), Some("r03"));
        assert!(
            running.store.kept_responses("r00", NOW, 1 << 20).await.unwrap().is_empty(),
            "it has expired"
        );
        assert!(running.store.kept_responses("zz", 0, 1 << 20).await.unwrap().is_empty());
        let mut deleted = kept("r19", Some("r18"), NOW);
        (deleted.response, deleted.updated_at) = ("".into(), NOW + 1);
        running.store.put(&Stored::Response(deleted));
        running.until_figures(|figures| figures.written == 21).await;
        let page = running.store.kept_responses("r19", NOW - 500, 1 << 20).await.unwrap();
        assert_eq!(&*page[0].response, "");
        let database = open(&address, Purpose::Change).await.unwrap();
        let retention = Retention::default();
        retention.apply(&database, i64::try_from(NOW - 20).unwrap()).await.unwrap();
        assert_eq!(
            count(&address, Table::Responses).await,
            20,
            "the last one still needs all of them"
        );
        retention.apply(&database, i64::try_from(NOW + 20).unwrap()).await.unwrap();
        assert_eq!(count(&address, Table::Responses).await, 0);
    });
}

fn probe(id: &str, checked_at: u64, status: &str) -> ProbeResult {
    let is_healthy = status == "healthy";
    ProbeResult {
        id: id.into(),
        model_name: Some("m".into()),
        model_id: Some("m-1".into()),
        status: status.into(),
        healthy_count: is_healthy.into(),
        unhealthy_count: (!is_healthy).into(),
        error_message: (!is_healthy).then(|| "no \0 \u{1f600} \"answer\"".into()),
        response_time_ms: Some(12.5),
        details: None,
        checked_by: "background_health_check".into(),
        checked_at,
    }
}

fn incident(id: &str, stage: &str, updated_at: u64) -> IncidentRow {
    IncidentRow {
        id: id.into(),
        kind: "group_down".into(),
        stage: stage.into(),
        title: "nothing serves m".into(),
        opened_at: NOW - 1,
        ended_at: None,
        requests: 3,
        state: format!("{{\"stage\":\"{stage}\"}}").into(),
        updated_at,
    }
}

#[test]
fn of_an_incident_the_later_row_holds_and_one_that_is_closed_is_open_no_more() {
    on_both(|Place { address, directory }| async move {
        let running = Running::start(&address, directory.path());
        running.store.put(&Stored::Incident(incident("a", "collecting", NOW)));
        running.store.put(&Stored::Incident(incident("a", "told", NOW + 2)));
        running.store.put(&Stored::Incident(incident("b", "closed", NOW)));
        running.store.put_requests([request("c"), request("c")].into_iter());
        running.until_figures(|figures| figures.written == 6).await;
        running.store.put(&Stored::Incident(incident("a", "collecting", NOW + 1)));
        running.act("d");
        running.until_figures(|figures| figures.written == 8).await;
        let open = running.store.open_incidents().await.unwrap();
        assert_eq!(open, [incident("a", "told", NOW + 2)]);
        let ids: Vec<_> = running.store.latest_incidents(9).await.unwrap();
        assert_eq!(ids.iter().map(|one| &*one.id).collect::<Vec<_>>(), ["b", "a"]);
        assert_eq!(running.store.latest_incidents(1).await.unwrap().len(), 1);
        let usage = running.store.usage_since(0).await.unwrap();
        assert_eq!(usage.iter().map(|row| row.requests).sum::<u64>(), 2);
        assert!(usage.iter().map(|row| row.cost_usd).sum::<f64>() > 0.4, "{usage:?}");
        assert_eq!(running.store.usage_since(u64::MAX >> 1).await.unwrap(), []);
    });
}

fn setting(name: &str, value: &str, updated_at: u64) -> Setting {
    Setting { name: name.into(), value: value.into(), updated_at, updated_by: "master key".into() }
}

#[test]
fn results_of_probes_are_read_newest_first_by_model_and_status() {
    on_both(|Place { address, directory }| async move {
        let running = Running::start(&address, directory.path());
        for (at, status) in ["healthy", "unhealthy", "healthy"].into_iter().enumerate() {
            let id = format!("p{at}");
            running.store.put(&Stored::Probe(probe(&id, NOW + at as u64, status)));
        }
        running.until_figures(|figures| figures.written == 3).await;
        running.until(|status| *status == Status::Connected).await;
        let ids = async |filter: ProbeFilter<'_>| -> Vec<String> {
            let found = running.store.probe_results(&filter).await.unwrap();
            found.iter().map(|result| result.id.to_string()).collect()
        };
        let all = ProbeFilter { limit: 100, ..ProbeFilter::default() };
        assert_eq!(ids(all).await, ["p2", "p1", "p0"]);
        assert_eq!(ids(ProbeFilter { limit: 1, offset: 1, ..all }).await, ["p1"]);
        assert_eq!(ids(ProbeFilter { status: Some("healthy"), ..all }).await, ["p2", "p0"]);
        assert_eq!(ids(ProbeFilter { model_name: Some("m"), ..all }).await.len(), 3);
        assert!(ids(ProbeFilter { model_name: Some("other"), ..all }).await.is_empty());
        let unhealthy = ProbeFilter { status: Some("unhealthy"), ..all };
        let found = running.store.probe_results(&unhealthy).await.unwrap();
        let message = found[0].error_message.as_deref().unwrap();
        assert_eq!(message, "no \u{fffd} \u{1f600} \"answer\"");
        assert_eq!(found[0].response_time_ms, Some(12.5));
    });
}

#[test]
fn of_two_settings_of_a_name_the_later_one_holds() {
    on_both(|Place { address, directory }| async move {
        let running = Running::start(&address, directory.path());
        running.store.put(&Stored::Setting(setting("a", "first", NOW)));
        running.store.put(&Stored::Setting(setting("a", "second", NOW + 1)));
        running.store.put(&Stored::Setting(setting("b", "other", NOW)));
        running.until_figures(|figures| figures.pending == 0 && figures.written > 0).await;
        running.store.put(&Stored::Setting(setting("a", "of before", NOW - 1)));
        running.store.put(&action("d"));
        running.until_figures(|figures| figures.written == 4).await;
        running.until(|status| *status == Status::Connected).await;
        let settings = running.store.settings().await.unwrap();
        let shown: Vec<_> = settings.iter().map(|one| (&*one.name, &*one.value)).collect();
        assert_eq!(shown, [("a", "second"), ("b", "other")]);
    });
}

#[test]
fn minutes_and_days_add_up_over_batches_and_a_sample_leaves_failures() {
    on_both(|Place { address, directory }| async move {
        let running = Running::with(
            &address,
            directory.path(),
            Sample { failures: true, share: 0.25, per_second: 1_000 },
        );
        for batch in 1..=4 {
            let failed =
                hale_store::Request { cause: Some("timeout"), status: 504, ..request("f") };
            let requests = [request("a"), request("b"), failed];
            running.store.put_requests(requests.into_iter());
            running
                .until_figures(|figures| figures.written >= batch * 5 && figures.pending == 0)
                .await;
        }
        let file = directory.path().join("export");
        let database = open(&address, Purpose::Look).await.unwrap();
        hale_store::copy::export(&database, &file).await.unwrap();
        let text = std::fs::read_to_string(file).unwrap();
        let of = |table: &str, part: &str| {
            let table = format!("\"table\":\"{table}\"");
            text.lines().filter(|line| line.contains(&table) && line.contains(part)).count()
        };
        assert_eq!(of("requests", "\"call_id\":\"f\""), 4, "every failure");
        assert_eq!(of("requests", ""), 6, "and every fourth success");
        let sums = |cause: &str, requests: u64| {
            let part = format!("\"cause\":\"{cause}\",\"requests\":{requests},");
            of("rollups", &part)
        };
        assert_eq!((sums("", 8), sums("timeout", 4), of("rollups", "")), (2, 2, 4), "{text}");
        assert!(text.contains("\"cost_usd\":2.0"), "{text}");
    });
}

#[test]
fn an_older_binary_starts_beside_additions_of_a_newer_one_and_not_beside_changes() {
    on_both(|Place { address, .. }| async move {
        drop(open(&address, Purpose::Change).await.unwrap());
        note(&address, 98, VERSION).await;
        let database = open(&address, Purpose::Serve).await.unwrap();
        assert_eq!(database.version().await, Ok(98));
        drop(database);
        note(&address, 99, 99).await;
        for purpose in [Purpose::Serve, Purpose::Change, Purpose::Look] {
            let Err(error) = open(&address, purpose).await else { panic!("{purpose:?}") };
            assert_eq!(error.kind, Kind::Newer);
            let said = error.to_string();
            let known = format!("up to {VERSION}");
            assert!(said.contains("version 99") && said.contains(&known), "{said}");
            assert!(said.contains("run the newer Hale") && !said.contains("s3cret"), "{said}");
        }
    });
}

/// Notes a migration of the future.
async fn note(address: &hale_store::Address, version: i64, least: i64) {
    let values = format!("values ({version}, {least}, 0)");
    match address {
        hale_store::Address::File(path) => {
            let connection = rusqlite::Connection::open(path).unwrap();
            let sql = format!("insert into hale_schema (version, least, applied_at) {values}");
            connection.execute(&sql, []).unwrap();
        }
        hale_store::Address::Server(_) => {
            let url = address.shown().replace("***", "s3cret-pw");
            let sql = format!("insert into hale.hale_schema (version, least, applied_at) {values}");
            hale_testkit::Postgres::shared().sql(&url, &sql);
        }
    }
}

/// The least of LiteLLM's tables, in that schema.
const THEIRS: [(&str, &str); 4] = [
    ("VerificationToken", "token text primary key, spend float8, models text[], metadata jsonb"),
    ("TeamTable", "team_id text primary key"),
    ("UserTable", "user_id text primary key"),
    ("BudgetTable", "budget_id text primary key"),
];

fn theirs(schema: &str, but: &str) -> String {
    let wanted = THEIRS.iter().filter(|(name, _)| *name != but);
    let table = |(name, columns): &(&str, &str)| {
        format!("create table {schema}.\"LiteLLM_{name}\" ({columns});")
    };
    format!("create schema if not exists {schema};") + &wanted.map(table).collect::<String>()
}

#[test]
fn tables_of_others_in_the_same_database_are_not_touched() {
    run(async {
        let server = hale_testkit::Postgres::shared();
        let url = server.database();
        server.sql(&url, &theirs("public", ""));
        let before = "select count(*) from information_schema.tables where table_schema = 'public'";
        let address = hale_store::Address::parse(&url).unwrap();
        drop(open(&address, Purpose::Serve).await.unwrap());
        assert_eq!(server.sql(&url, before), "4");
        assert_eq!(
            server.sql(&url, "select count(*) from pg_tables where schemaname = 'hale'"),
            "16",
            "twelve tables of rows, the writers, the marks, the schema, and what replicas share"
        );
    });
}

#[test]
fn a_database_with_a_part_of_litellms_tables_is_refused_by_name_and_nothing_is_made() {
    run(async {
        let server = hale_testkit::Postgres::shared();
        let cases = [
            ("public", theirs("public", "TeamTable"), "lacks \"LiteLLM_TeamTable\";"),
            (
                "public",
                theirs("public", "VerificationToken"),
                "lacks \"LiteLLM_VerificationToken\";",
            ),
            (
                "llm",
                theirs("llm", "")
                    + "alter table llm.\"LiteLLM_VerificationToken\" drop column models",
                "schema llm has tables of LiteLLM and lacks \"LiteLLM_VerificationToken\".models;",
            ),
            (
                "public",
                "create table \"LiteLLM_SpendLogs\" (request_id text)".to_owned(),
                "lacks \"LiteLLM_VerificationToken\", \"LiteLLM_TeamTable\", \"LiteLLM_UserTable\", \"LiteLLM_BudgetTable\";",
            ),
        ];
        for (schema, sql, words) in cases {
            let url = server.database();
            server.sql(&url, &sql);
            let address = hale_store::Address::parse(&format!("{url}?schema={schema}")).unwrap();
            for purpose in [Purpose::Serve, Purpose::Change] {
                let Err(error) = open(&address, purpose).await else { panic!("{sql}") };
                assert_eq!(error.kind, Kind::Incomplete, "{sql}");
                assert!(error.to_string().contains(words), "{error}");
                assert!(!error.to_string().contains("s3cret"), "{error}");
            }
            let made = "select count(*) from pg_namespace where nspname = 'hale'";
            assert_eq!(server.sql(&url, made), "0", "{sql}");
        }
        // Those of another schema, names that only begin alike, and views are none of LiteLLM's here.
        let url = server.database();
        server.sql(&url, &theirs("llm", "TeamTable"));
        server.sql(&url, "create table litellm_notes (a text); create table \"LiteLLMx\" (a text)");
        server.sql(&url, "create view \"LiteLLM_VerificationTokenView\" as select 1 as one");
        open(&hale_store::Address::parse(&url).unwrap(), Purpose::Serve).await.unwrap();
    });
}

#[test]
fn a_pooler_that_lends_connections_for_a_transaction_is_as_good_as_the_server() {
    run(async {
        let server = hale_testkit::Postgres::shared();
        let (url, pooler) = (server.database(), server.pooler());
        let address = hale_store::Address::parse(&pooler.url(server, &url)).unwrap();
        // More clients than the pooler has connections, so that statements of one client meet several of them.
        let directories: Vec<_> = (0..4).map(|_| hale_testkit::TempDir::new()).collect();
        let replicas: Vec<Running> = directories
            .iter()
            .map(|directory| Running::start(&address, directory.path()))
            .collect();
        for round in 1..=5 {
            for (number, replica) in replicas.iter().enumerate() {
                replica.act(&format!("d{round}-{number}"));
                replica.store.put_requests([request("c")].into_iter());
            }
            for replica in &replicas {
                replica.until_figures(|figures| figures.written == round * 4).await;
                replica.until(|status| *status == Status::Connected).await;
                assert!(replica.store.settings().await.unwrap().is_empty());
                let all = ProbeFilter { limit: 10, ..ProbeFilter::default() };
                assert!(replica.store.probe_results(&all).await.unwrap().is_empty());
            }
        }
        assert_eq!(count(&address, Table::OperatorActions).await, 20);
        let sum = "select sum(requests) from hale.rollups where width_s = 60";
        assert_eq!(server.sql(&url, sum), "20");
    });
}

#[test]
fn of_many_successes_in_a_second_a_bounded_number_is_recorded_and_all_are_counted() {
    on_both(|Place { address, directory }| async move {
        let sample = Sample { failures: true, share: 1.0, per_second: 50 };
        let running = Running::with(&address, directory.path(), sample);
        running.until(|status| *status == Status::Connected).await;
        let failed = hale_store::Request { cause: Some("timeout"), ..request("f") };
        running.store.put_requests((0..1_000).map(|_| request("c")).chain((0..30).map(|_| failed)));
        running.until_figures(|figures| figures.written > 30 && figures.pending == 0).await;
        let found = count(&address, Table::Requests).await;
        assert!((40..=60).contains(&found), "the failures and one or two fifths of 50: {found}");
        let file = directory.path().join("export");
        let database = open(&address, Purpose::Look).await.unwrap();
        hale_store::copy::export(&database, &file).await.unwrap();
        let text = std::fs::read_to_string(file).unwrap();
        assert!(text.contains("\"cause\":\"\",\"requests\":1000,"), "{text}");
    });
}

#[test]
fn old_rows_are_deleted_table_by_table_and_newer_ones_stay() {
    const DAY: u64 = 86_400_000;
    on_both(|Place { address, directory }| async move {
        let running = Running::start(&address, directory.path());
        for days in [0, 6, 9, 399, 401] {
            let at = NOW - days * DAY;
            let id = format!("p{days}");
            running.store.put(&Stored::Probe(probe(&id, at, "healthy")));
            let change = hale_store::HealthChange { at, ..hale_store::HealthChange::default() };
            running.store.put(&Stored::Health(change));
            running.store.put(&Stored::Action(hale_store::OperatorAction {
                at,
                actor: "k",
                action: "reset",
                deployment: "d",
            }));
            let old = hale_store::Request { arrived_at: at, ..request("c") };
            running.store.put_requests([old].into_iter());
        }
        running.store.put(&Stored::Setting(setting("a", "1", 0)));
        running.until_figures(|figures| figures.pending == 0 && figures.written == 31).await;
        let database = open(&address, Purpose::Change).await.unwrap();
        let now = i64::try_from(NOW).unwrap();
        let keep = hale_store::Retention { probe_results: 2, ..hale_store::Retention::default() };
        for _ in 0..2 {
            keep.apply(&database, now).await.unwrap();
            assert_eq!(database.count(Table::Requests).await, Ok(2), "0 and 6 days");
            assert_eq!(database.count(Table::HealthChanges).await, Ok(4));
            assert_eq!(database.count(Table::OperatorActions).await, Ok(4));
            assert_eq!(database.count(Table::ProbeResults).await, Ok(2), "the newest");
            assert_eq!(database.count(Table::Rollups).await, Ok(2 + 4), "minutes and days");
            assert_eq!(database.count(Table::Settings).await, Ok(1));
        }
    });
}

#[test]
fn a_file_that_is_too_large_loses_its_oldest_requests_and_shrinks() {
    run(async {
        let [place, _] = crate::support::places();
        let running = Running::start(&place.address, place.directory.path());
        let long = "x".repeat(2_000);
        let many = (0..6_000).map(|at| hale_store::Request {
            arrived_at: NOW + at,
            requested_model: Some(&long),
            ..request("c")
        });
        running.store.put_requests(many);
        running.act("kept");
        running.until_figures(|figures| figures.written > 6_000 && figures.pending == 0).await;
        let database = open(&place.address, Purpose::Change).await.unwrap();
        let before = database.bytes().await.unwrap();
        let keep =
            hale_store::Retention { file_bytes: before / 2, ..hale_store::Retention::default() };
        keep.apply(&database, i64::try_from(NOW).unwrap()).await.unwrap();
        assert!(database.bytes().await.unwrap() < before / 2);
        assert_eq!(database.count(Table::Requests).await, Ok(1_000), "the newest");
        assert_eq!(database.count(Table::OperatorActions).await, Ok(1));
    });
}

#[test]
fn where_no_request_is_recorded_each_still_counts() {
    on_both(|Place { address, directory }| async move {
        let sample = Sample { failures: false, share: 0.0, per_second: 1_000 };
        let running = Running::with(&address, directory.path(), sample);
        let failed = hale_store::Request { cause: Some("timeout"), ..request("f") };
        running.store.put_requests([request("c"), failed].into_iter());
        // A minute and a day of each cause.
        running.until_figures(|figures| figures.written == 4).await;
        assert_eq!(count(&address, Table::Requests).await, 0);
    });
}
