//! What holds for both databases.

use hale_store::{
    Kind, ProbeFilter, ProbeResult, Purpose, Setting, Status, Stored, Table, VERSION,
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
        running.act("d");
        running.store.put_requests([request("c")].into_iter());
        // The four, the request, its minute and its day.
        running.until_figures(|figures| figures.written == 7).await;
        for table in Table::ALL {
            assert!(count(&address, table).await > 0, "{table:?}");
        }
        let file = directory.path().join("export");
        let database = open(&address, Purpose::Look).await.unwrap();
        hale_store::copy::export(&database, &file).await.unwrap();
        let text = std::fs::read_to_string(file).unwrap();
        assert_eq!(text.lines().count(), 8, "{text}");
        assert!(text.contains("\"cost_usd\":0.25") && text.contains("\"call_id\":\"c\""), "{text}");
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
        let running = Running::with(&address, directory.path(), 0.25);
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
            assert!(said.contains("version 99") && said.contains("up to 1"), "{said}");
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

#[test]
fn tables_of_others_in_the_same_database_are_not_touched() {
    run(async {
        let server = hale_testkit::Postgres::shared();
        let url = server.database();
        server.sql(&url, "create table \"LiteLLM_SpendLogs\" (request_id text primary key)");
        let before = "select count(*) from information_schema.tables where table_schema = 'public'";
        let address = hale_store::Address::parse(&url).unwrap();
        drop(open(&address, Purpose::Serve).await.unwrap());
        assert_eq!(server.sql(&url, before), "1");
        assert_eq!(
            server.sql(&url, "select count(*) from pg_tables where schemaname = 'hale'"),
            "8",
            "six tables of rows, the writers and the schema"
        );
    });
}
