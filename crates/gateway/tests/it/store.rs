//! What the gateway remembers over a restart, where, and what happens when that place does not work.

use std::fs;

use hale_testkit::{
    FakeUpstream, Finished, Hale, Launch, Postgres, Script, Signal, TempDir, refused_port,
};
use serde_json::{Value, json};

use crate::support::{Config, chat, client, eventually, hale, lone, metric};

/// A gateway with a directory of its own for the store.
fn at(config: &Config, directory: &TempDir) -> Launch {
    config.launch().env("HALE_DATA_DIR", directory.path().to_str().unwrap())
}

fn readiness(hale: &Hale) -> (u16, Value) {
    let answer = client(hale).get("/health/readiness");
    (answer.status, answer.json())
}

#[track_caller]
fn wait_for_db(hale: &Hale, word: &str) -> Value {
    eventually(word, || Some(readiness(hale).1).filter(|page| page["db"] == word))
}

fn wait_until_written(hale: &Hale, rows: f64) {
    eventually("rows are written", || {
        let written = metric(hale, "hale_store_rows_written_total", &[]);
        (written >= rows && metric(hale, "hale_store_rows_pending", &[]) == 0.0).then_some(())
    });
}

/// Runs `hale db` with these arguments.
fn db(store: &str, arguments: &[&str]) -> Finished {
    let command = hale().arg("db").arg("--database").arg(store);
    arguments.iter().fold(command, |command, argument| command.arg(*argument)).run()
}

/// How many rows `hale db status` says that a table has.
#[track_caller]
fn rows(store: &str, table: &str) -> u64 {
    let status = db(store, &["status"]);
    assert_eq!(status.code(), Some(0), "{}", status.stderr);
    let line = status.stdout.lines().find(|line| line.starts_with(table)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn without_any_setting_the_store_is_a_file_beside_the_config() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).start();
    let (status, page) = readiness(&hale);
    assert_eq!((status, &page["db"]), (200, &json!("connected")), "{}", hale.stderr());
    assert!(page["last_updated"].as_str().unwrap().ends_with("+00:00"), "{page}");
    let file = hale.dir().join("hale.db");
    assert!(file.exists());
    assert_eq!(chat(&hale, "m").status, 200);
    // The request, its minute and its day.
    wait_until_written(&hale, 3.0);
    assert_eq!(rows(file.to_str().unwrap(), "requests"), 1);
}

#[test]
fn a_directory_that_cannot_be_written_has_no_store_and_one_line_says_so() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).launch().env("HALE_DATA_DIR", "/nowhere/at/all").start();
    let (status, page) = readiness(&hale);
    assert_eq!((status, &page["db"]), (200, &json!("Not connected")));
    assert!(page.get("last_updated").is_none());
    assert_eq!(chat(&hale, "m").status, 200);
    let lines: Vec<String> = hale
        .stderr()
        .lines()
        .filter(|line| line.contains("remembered"))
        .map(str::to_owned)
        .collect();
    assert_eq!(lines.len(), 1, "{}", hale.stderr());
    assert!(
        lines[0].contains("/nowhere/at/all/hale.db") && lines[0].contains("HALE_DATA_DIR"),
        "{lines:?}"
    );
    let page = client(&hale).get("/health/history");
    assert_eq!(page.status, 500);
    assert_eq!(page.json(), json!({"detail": {"error": "Database not initialized"}}));
}

#[test]
fn a_file_that_is_no_database_is_named_served_beside_and_left_alone() {
    let upstream = FakeUpstream::start();
    let directory = TempDir::new();
    let file = directory.write("hale.db", "precious notes");
    let required = lone(&upstream).general(json!({"database_required": true}));
    for (config, expected) in [(lone(&upstream), 200), (required, 503)] {
        let hale = at(&config, &directory).start();
        let (status, page) = readiness(&hale);
        assert_eq!((status, &page["db"]), (expected, &json!("disconnected")));
        let line = hale.wait_for_line("no SQLite database");
        assert!(
            line.contains(file.to_str().unwrap()) && line.contains("move the file away"),
            "{line}"
        );
        assert_eq!(chat(&hale, "m").status, 200);
        assert_eq!(client(&hale).get("/health/history").status, 503);
        assert_eq!(fs::read_to_string(&file).unwrap(), "precious notes");
    }
    let hale = at(&lone(&upstream), &directory).start();
    fs::rename(&file, directory.path().join("notes")).unwrap();
    wait_for_db(&hale, "connected");
    hale.wait_for_line("the database is back");
}

#[test]
fn a_second_gateway_on_the_same_file_serves_and_says_that_it_is_locked() {
    let upstream = FakeUpstream::start();
    let directory = TempDir::new();
    let mut first = at(&lone(&upstream), &directory).start();
    wait_for_db(&first, "connected");
    let second = at(&lone(&upstream), &directory).start();
    second.wait_for_line("another process serves from it");
    wait_for_db(&second, "disconnected");
    assert_eq!(chat(&second, "m").status, 200);
    first.stop();
    wait_for_db(&second, "connected");
}

#[test]
fn what_a_kill_interrupts_is_whole_and_has_every_row_that_was_written() {
    let upstream = FakeUpstream::start();
    let directory = TempDir::new();
    let store = directory.path().join("hale.db");
    let store = store.to_str().unwrap();
    for round in 1..=3 {
        let mut hale = at(&lone(&upstream), &directory).start();
        for _ in 0..20 {
            assert_eq!(chat(&hale, "m").status, 200);
        }
        eventually("every request", || (rows(store, "requests") >= 20 * round).then_some(()));
        assert_eq!(chat(&hale, "m").status, 200);
        hale.signal(Signal::Kill);
        hale.wait_for_exit(hale_testkit::TIMEOUT);
        let found = rows(store, "requests");
        // The last one of each round was younger than a second.
        assert!((20 * round..=21 * round).contains(&found), "round {round}: {found}");
    }
}

#[test]
fn a_deployment_that_an_operator_disabled_is_disabled_after_a_restart_and_a_reload() {
    let upstream = FakeUpstream::start();
    let directory = TempDir::new();
    let config = lone(&upstream).deployment("m", "b", &upstream);
    let act = |hale: &Hale, id: &str, action: &str| {
        let path = format!("/router/deployments/{id}/{action}");
        assert_eq!(client(hale).post_json(&path, &[], &json!({})).status, 200);
    };
    let states = |hale: &Hale| {
        let page = client(hale).get("/router/state").json();
        crate::support::column(&page["deployments"], "state")
    };
    let mut hale = at(&config, &directory).start();
    act(&hale, "a", "disable");
    act(&hale, "b", "disable");
    act(&hale, "b", "enable");
    act(&hale, "b", "reset");
    hale.stop();
    let hale = at(&config, &directory).start();
    assert_eq!(states(&hale), ["disabled", "ready"]);
    hale.rewrite_config(&Config::new().deployment("m", "b", &upstream).text());
    eventually("it is gone", || (states(&hale) == ["ready"]).then_some(()));
    hale.rewrite_config(&config.text());
    eventually("it is back", || (states(&hale) == ["disabled", "ready"]).then_some(()));
    drop(hale);
    let store = directory.path().join("hale.db");
    assert_eq!(rows(store.to_str().unwrap(), "operator_actions"), 4);
    assert_eq!(rows(store.to_str().unwrap(), "settings"), 2);
}

fn probed(upstream: &FakeUpstream) -> Config {
    lone(upstream).general(json!({"background_health_checks": true, "health_check_interval": 0.2}))
}

#[test]
fn results_of_probes_are_on_both_pages_under_one_id_and_outlive_a_restart() {
    let upstream = FakeUpstream::start();
    let directory = TempDir::new();
    let mut hale = at(&probed(&upstream), &directory).start();
    let history = |hale: &Hale, query: &str| {
        let answer = client(hale).get(&format!("/health/history{query}"));
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    };
    let page = eventually("three results", || {
        Some(history(&hale, "?limit=3")).filter(|page| page["total_records"] == 3)
    });
    assert_eq!((&page["limit"], &page["offset"]), (&json!(3), &json!(0)));
    let first = &page["health_checks"][0];
    for (field, value) in [
        ("model_name", json!("m")),
        ("model_id", json!("a")),
        ("status", json!("healthy")),
        ("healthy_count", json!(1)),
        ("unhealthy_count", json!(0)),
        ("error_message", json!(null)),
        ("details", json!(null)),
        ("checked_by", json!("background_health_check")),
    ] {
        assert_eq!(first[field], value, "{field} of {first}");
    }
    assert!(first["response_time_ms"].is_number() && first["created_at"] == first["checked_at"]);
    eventually("the last result is in the history", || {
        let latest = client(&hale).get("/health/latest").json();
        assert_eq!(latest["total_models"], 1, "{latest}");
        let id = &latest["latest_health_checks"]["a"]["health_check_id"];
        let known = crate::support::column(&history(&hale, "")["health_checks"], "health_check_id");
        known.contains(id).then_some(())
    });
    for (query, status) in [
        ("?limit=0", 422),
        ("?limit=1001", 422),
        ("?limit=x", 422),
        ("?offset=-1", 422),
        ("?model=m&status_filter=healthy&offset=1", 200),
    ] {
        assert_eq!(client(&hale).get(&format!("/health/history{query}")).status, status, "{query}");
    }
    assert_eq!(history(&hale, "?model=other")["total_records"], 0);
    assert_eq!(history(&hale, "?status_filter=unhealthy")["total_records"], 0);
    hale.stop();
    // Without probes: what is shown is of the process before.
    let hale = at(&lone(&upstream), &directory).start();
    assert!(history(&hale, "")["total_records"].as_u64().unwrap() >= 3);
    assert_eq!(
        client(&hale).get("/health/latest").json()["total_models"],
        0,
        "nothing is known yet"
    );
}

#[test]
fn a_failed_probe_is_in_the_history_with_its_words_and_the_change_of_state_is_kept() {
    let upstream = FakeUpstream::with(|_| Script::error(401, "no such key"));
    let directory = TempDir::new();
    let hale = at(&probed(&upstream), &directory).start();
    let page = eventually("a failed probe", || {
        let page = client(&hale).get("/health/history?status_filter=unhealthy").json();
        Some(page).filter(|page| page["total_records"].as_u64() > Some(0))
    });
    let first = &page["health_checks"][0];
    assert!(
        first["error_message"].as_str().unwrap().contains("AuthenticationError: no such key"),
        "{first}"
    );
    assert_eq!(first["details"], json!({"cause": "auth"}));
    let store = directory.path().join("hale.db");
    eventually("a change of state", || {
        (rows(store.to_str().unwrap(), "health_changes") > 0).then_some(())
    });
}

#[test]
fn a_database_that_is_killed_delays_no_request_and_loses_no_row() {
    let upstream = FakeUpstream::start();
    let mut server = Postgres::start();
    let url = server.database();
    let directory = TempDir::new();
    let hale = at(&lone(&upstream), &directory).env("DATABASE_URL", &url).start();
    wait_for_db(&hale, "connected");
    assert_eq!(chat(&hale, "m").status, 200);
    wait_until_written(&hale, 3.0);
    server.kill();
    wait_for_db(&hale, "disconnected");
    for _ in 0..30 {
        assert_eq!(chat(&hale, "m").status, 200);
    }
    assert_eq!(readiness(&hale).0, 200);
    eventually("rows are on the disk", || {
        (metric(&hale, "hale_store_spool_bytes", &[]) > 0.0).then_some(())
    });
    assert!(!hale.stderr().contains("s3cret"), "{}", hale.stderr());
    server.run();
    wait_for_db(&hale, "connected");
    eventually("every request", || (rows(&url, "requests") == 31).then_some(()));
    assert_eq!(server.sql(&url, "select sum(requests) from hale.rollups where width_s = 60"), "31");
    assert_eq!(metric(&hale, "hale_store_rows_dropped_total", &[]), 0.0);
    assert!(!directory.path().join("hale.db").exists(), "the server is the store");
}

#[test]
fn a_disk_that_takes_no_more_delays_no_request_and_rows_come_when_there_is_space() {
    // A limit on the size of files stands for a full disk; the spool is on it too.
    let upstream = FakeUpstream::start();
    let directory = TempDir::new();
    let limited = at(&lone(&upstream), &directory).limit("-S -f 2400 && trap '' XFSZ");
    let hale = limited.start();
    wait_for_db(&hale, "connected");
    let mut sent = 0;
    let lost = eventually("the disk is full", || {
        for _ in 0..50 {
            assert_eq!(chat(&hale, "m").status, 200);
            sent += 1;
        }
        Some(readiness(&hale)).filter(|(_, page)| page["db"] == "disconnected")
    });
    assert_eq!(lost.0, 200);
    let line = hale.wait_for_line("look at its disk");
    assert!(line.contains("hale.db"), "{line}");
    let more = std::process::Command::new("prlimit")
        .args(["--fsize=unlimited", "--pid", &hale.pid().to_string()])
        .status();
    assert!(more.is_ok_and(|status| status.success()), "prlimit");
    wait_for_db(&hale, "connected");
    eventually("all rows are written", || {
        (metric(&hale, "hale_store_rows_pending", &[]) == 0.0).then_some(())
    });
    let store = directory.path().join("hale.db");
    assert_eq!(metric(&hale, "hale_store_rows_dropped_total", &[]), 0.0);
    let export = directory.path().join("export");
    let ended = db(store.to_str().unwrap(), &["export", export.to_str().unwrap()]);
    assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
    let text = fs::read_to_string(export).unwrap();
    let rows = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let counted: u64 = rows
        .filter(|line| line["table"] == "rollups" && line["row"]["width_s"] == 60)
        .filter_map(|line| line["row"]["requests"].as_u64())
        .sum();
    assert_eq!(counted, sent, "each request once");
}

#[test]
fn replicas_that_start_at_once_share_one_server() {
    let upstream = FakeUpstream::start();
    let url = Postgres::shared().database();
    let all: Vec<(TempDir, Hale)> = std::thread::scope(|scope| {
        let start = || {
            let directory = TempDir::new();
            let config = lone(&upstream).general(json!({"database_url": url}));
            let hale = at(&config, &directory).start();
            (directory, hale)
        };
        let threads = [scope.spawn(start), scope.spawn(start), scope.spawn(start)];
        threads.map(|thread| thread.join().unwrap()).into()
    });
    for (_, hale) in &all {
        wait_for_db(hale, "connected");
        assert_eq!(chat(hale, "m").status, 200);
        wait_until_written(hale, 3.0);
    }
    assert_eq!(rows(&url, "requests"), 3);
    let once = "select count(*) = max(version) from hale.hale_schema";
    assert_eq!(Postgres::shared().sql(&url, once), "t", "each migration ran once");
}

/// LiteLLM's tables as far as they are needed, each with a row and an index.
const THEIRS: &str = r#"
    create table "LiteLLM_VerificationToken" (token text primary key, spend float8 not null default 0, models text[], metadata jsonb);
    create table "LiteLLM_TeamTable" (team_id text primary key, team_alias text);
    create table "LiteLLM_UserTable" (user_id text primary key, spend float8);
    create table "LiteLLM_BudgetTable" (budget_id text primary key);
    create table "LiteLLM_HealthCheckTable" (health_check_id text primary key, model_name text not null);
    create index "LiteLLM_TeamTable_alias" on "LiteLLM_TeamTable" (team_alias);
    insert into "LiteLLM_VerificationToken" values ('t', 1.5, '{a}', '{}');
    insert into "LiteLLM_TeamTable" values ('team', 'alias')"#;

#[test]
fn litellms_tables_are_left_as_they_are_by_a_gateway_that_serves_beside_them() {
    let upstream = FakeUpstream::start();
    let server = Postgres::shared();
    let url = server.database();
    server.sql(&url, THEIRS);
    let all = "select md5(string_agg(line, ',' order by line)) from (
        select concat_ws(' ', table_name, column_name, data_type, column_default, is_nullable) as line
            from information_schema.columns where table_schema = 'public'
        union all select indexdef from pg_indexes where schemaname = 'public'
        union all select conname || pg_get_constraintdef(oid) from pg_constraint where connamespace = 'public'::regnamespace
        union all select t::text from \"LiteLLM_VerificationToken\" t union all select t::text from \"LiteLLM_TeamTable\" t
        union all select concat(relname, n_tup_ins + n_tup_upd + n_tup_del) from pg_stat_user_tables where schemaname = 'public'
        union all select concat(grantee, table_name, privilege_type) from information_schema.table_privileges where table_schema = 'public'
    ) as lines";
    let settled = || {
        server.sql(&url, "select pg_stat_force_next_flush()");
        server.sql(&url, all)
    };
    let before = settled();
    let config = lone(&upstream)
        .general(json!({"database_url": format!("{url}?schema=public&connection_limit=5")}));
    let directory = TempDir::new();
    let hale = at(&config, &directory).start();
    wait_for_db(&hale, "connected");
    assert_eq!(chat(&hale, "m").status, 200);
    client(&hale).post_json("/router/deployments/a/disable", &[], &json!({}));
    wait_until_written(&hale, 5.0);
    eventually("replicas share", || {
        (readiness(&hale).1["sharing"]["mode"] == "shared").then_some(())
    });
    assert_eq!(settled(), before);
}

#[test]
fn a_database_with_a_part_of_litellms_tables_stops_the_start() {
    let upstream = FakeUpstream::start();
    let server = Postgres::shared();
    let url = server.database();
    server.sql(&url, THEIRS);
    server.sql(&url, "drop table \"LiteLLM_TeamTable\"");
    let directory = TempDir::new();
    let launch = at(&lone(&upstream), &directory).env("DATABASE_URL", &url);
    let config = launch.dir().join("config.yaml");
    let ended = launch.arg("--config").arg(config).arg("--port").arg("0").run();
    assert_eq!(ended.code(), Some(78), "{}", ended.stderr);
    assert!(ended.stderr.contains("lacks \"LiteLLM_TeamTable\""), "{}", ended.stderr);
    assert!(ended.stderr.contains("or name another database"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("s3cret"), "{}", ended.stderr);
    let made = "select count(*) from pg_namespace where nspname = 'hale'";
    assert_eq!(server.sql(&url, made), "0");
    let migrated = db(&url, &["migrate"]);
    assert_ne!(migrated.code(), Some(0));
    assert_eq!(server.sql(&url, made), "0");
}

#[test]
fn what_a_killed_gateway_left_in_the_spool_is_written_by_another_one_with_the_same_directory() {
    let upstream = FakeUpstream::start();
    let mut server = Postgres::start();
    let url = server.database();
    let directory = TempDir::new();
    let start = || at(&lone(&upstream), &directory).env("DATABASE_URL", &url).start();
    let one = start();
    wait_for_db(&one, "connected");
    let two = start();
    wait_for_db(&two, "connected");
    two.wait_for_line("there is no spool yet");
    server.kill();
    wait_for_db(&one, "disconnected");
    wait_for_db(&two, "disconnected");
    for _ in 0..10 {
        assert_eq!(chat(&one, "m").status, 200);
    }
    assert_eq!(chat(&two, "m").status, 200);
    let spooled = || {
        let text = fs::read_to_string(directory.path().join("hale.spool")).unwrap_or_default();
        let batches = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let tables =
            batches.flat_map(|batch| batch["rows"].as_array().cloned().unwrap_or_default());
        let requests = tables.filter(|table| table[0] == "requests");
        requests.map(|table| table[1].as_array().map_or(0, Vec::len)).sum::<usize>()
    };
    eventually("its rows are in the spool", || (spooled() >= 10).then_some(()));
    one.signal(Signal::Kill);
    two.wait_for_line("the spool is this process's now");
    server.run();
    wait_for_db(&two, "connected");
    eventually("all rows are written once", || (rows(&url, "requests") == 11).then_some(()));
    let counted = "select sum(requests) from hale.rollups where width_s = 60";
    assert_eq!(server.sql(&url, counted), "11");
}

#[test]
fn an_address_that_cannot_be_one_stops_the_start_without_its_password() {
    let upstream = FakeUpstream::start();
    for url in [
        "mysql://u:s3cret@h/d",
        "postgres://u:s3cret@h:port/d",
        "postgres://u:s3cret@h/d?sslmode=no",
    ] {
        let launch = lone(&upstream).launch().env("DATABASE_URL", url);
        let config = launch.dir().join("config.yaml");
        let ended = launch.arg("--config").arg(config).run();
        assert_eq!(ended.code(), Some(78), "{}", ended.stderr);
        assert!(ended.stderr.contains("postgres://USER"), "{}", ended.stderr);
        assert!(!ended.stderr.contains("s3cret"), "{}", ended.stderr);
    }
    let away = format!("postgres://u:s3cret@127.0.0.1:{}/d", refused_port());
    let hale = lone(&upstream).launch().env("DATABASE_URL", &away).start();
    wait_for_db(&hale, "disconnected");
    let line = hale.wait_for_line("start the server");
    assert!(
        line.contains("postgres://u:***@127.0.0.1") && !hale.stderr().contains("s3cret"),
        "{line}"
    );
    assert_eq!(chat(&hale, "m").status, 200);
}

#[test]
fn the_commands_copy_a_store_from_one_database_to_the_other_and_back() {
    let upstream = FakeUpstream::start();
    let directory = TempDir::new();
    let hale = at(&lone(&upstream), &directory).start();
    assert_eq!(chat(&hale, "m").status, 200);
    wait_until_written(&hale, 3.0);
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let (file, url) = (path("hale.db"), Postgres::shared().database());
    let ok = |store: &str, arguments: &[&str]| {
        let ended = db(store, arguments);
        assert_eq!(ended.code(), Some(0), "{arguments:?}: {}", ended.stderr);
        assert!(!ended.stdout.contains("s3cret"), "{}", ended.stdout);
        ended.stdout
    };
    let refused = |store: &str, arguments: &[&str], part: &str| {
        let ended = db(store, arguments);
        assert_eq!(ended.code(), Some(1), "{arguments:?}: {}", ended.stdout);
        assert!(ended.stderr.contains(part), "{arguments:?}: {}", ended.stderr);
        assert!(!ended.stderr.contains("s3cret"), "{}", ended.stderr);
    };
    assert!(ok(&file, &["status"]).contains("version 8"));
    refused(&url, &["status"], "hale db migrate");
    ok(&url, &["migrate"]);
    ok(&file, &["export", &path("rows.jsonl")]);
    refused(&file, &["export", &path("rows.jsonl")], "exists");
    ok(&url, &["import", &path("rows.jsonl")]);
    assert_eq!(rows(&url, "rollups"), 2);
    ok(&file, &["backup", &path("backup.db")]);
    refused(&file, &["restore", &path("backup.db")], "another process serves from it");
    refused(&url, &["backup", &path("other.db")], "pg_dump");
    drop(hale);
    let told = ok(&file, &["restore", &path("backup.db")]);
    assert!(told.contains("hale.db.before-"), "{told}");
    assert_eq!(rows(&file, "requests"), 1);
    refused(&path("missing.db"), &["status"], "no such file");
    refused("mysql://u:s3cret@h/d", &["status"], "mysql");
}
