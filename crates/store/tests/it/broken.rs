//! Files and servers that cannot be used: what is said, and that nothing is overwritten.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use hale_store::{Address, Kind, Purpose, Retention, Status, Table};
use hale_testkit::{Postgres, TempDir, refused_port};

use crate::support::{NOW, Running, count, open, run};

async fn refused(address: &Address) -> (Kind, String) {
    let Err(error) = open(address, Purpose::Serve).await else { panic!("{address} opens") };
    let said = error.to_string();
    assert!(said.contains(error.kind.fix()), "{said}");
    assert!(!said.contains("s3cret") && !said.contains('\n'), "{said}");
    (error.kind, said)
}

fn is_root() -> bool {
    fs::File::options().write(true).open("/proc/self/oom_score_adj").is_ok()
        && fs::read_dir("/root").is_ok()
}

#[test]
fn a_file_that_is_no_store_is_named_and_stays_as_it_is() {
    run(async {
        let directory = TempDir::new();
        let long = "x".repeat(100_000);
        let contents: [&[u8]; 4] =
            [b"short", b"no database at all, only text", b"SQLite format 3", long.as_bytes()];
        for content in contents {
            let path = directory.path().join("hale.db");
            fs::write(&path, content).unwrap();
            let (kind, said) = refused(&Address::File(path.clone())).await;
            assert_eq!(kind, Kind::NotADatabase, "{said}");
            assert!(said.contains(path.to_str().unwrap()), "{said}");
            assert_eq!(fs::read(&path).unwrap(), content);
        }
        let (kind, _) = refused(&Address::File(directory.path().to_owned())).await;
        assert_eq!(kind, Kind::NotADatabase, "a directory");
        let foreign = directory.path().join("foreign.db");
        let connection = rusqlite::Connection::open(&foreign).unwrap();
        connection.execute_batch("create table theirs (a)").unwrap();
        drop(connection);
        let (kind, said) = refused(&Address::File(foreign)).await;
        assert_eq!(kind, Kind::NotADatabase);
        assert!(said.contains("another program"), "{said}");
    });
}

#[test]
fn a_damaged_file_is_named_corrupt_and_a_new_one_is_used_once_it_is_moved() {
    run(async {
        let directory = TempDir::new();
        let path = directory.path().join("hale.db");
        let address = Address::File(path.clone());
        drop(open(&address, Purpose::Serve).await.unwrap());
        let mut content = fs::read(&path).unwrap();
        // All after the header of the first page.
        content[100..].fill(0xa5);
        fs::write(&path, &content).unwrap();
        for end in ["-wal", "-shm"] {
            drop(fs::remove_file(directory.path().join(format!("hale.db{end}"))));
        }
        let (kind, said) = refused(&address).await;
        assert_eq!(kind, Kind::Corrupt, "{said}");
        assert_eq!(fs::read(&path).unwrap(), content);
        let running = Running::start(&address, directory.path());
        running.until(|status| matches!(status, Status::Disconnected(_))).await;
        running.act("waits");
        fs::rename(&path, directory.path().join("damaged.db")).unwrap();
        running.until_figures(|figures| figures.written == 1).await;
        assert_eq!(count(&address, Table::OperatorActions).await, 1);
    });
}

#[test]
fn one_process_serves_from_a_file_and_another_says_so_until_it_is_free() {
    run(async {
        let directory = TempDir::new();
        let address = Address::File(directory.path().join("hale.db"));
        let first = Running::start(&address, directory.path());
        first.until(|status| *status == Status::Connected).await;
        let (kind, said) = refused(&address).await;
        assert_eq!(kind, Kind::Locked);
        assert!(said.contains("another process serves from it"), "{said}");
        let second = Running::start(&address, TempDir::new().path());
        second.until(|status| matches!(status, Status::Disconnected(_))).await;
        open(&address, Purpose::Look).await.expect("a command reads beside it");
        first.crash().await;
        second.until(|status| *status == Status::Connected).await;
    });
}

#[test]
fn what_is_made_on_the_disk_is_nothing_for_others_on_the_machine() {
    run(async {
        let directory = TempDir::new();
        let address = Address::File(directory.path().join("hale.db"));
        let running = Running::start(&address, directory.path());
        running.until(|status| *status == Status::Connected).await;
        running.act("a");
        running.until_figures(|figures| figures.written == 1).await;
        for name in ["hale.db", "hale.db-wal", "hale.db-shm", "hale.spool"] {
            let made = fs::metadata(directory.path().join(name)).unwrap();
            let mode = std::os::unix::fs::PermissionsExt::mode(&made.permissions());
            assert_eq!(mode & 0o007, 0, "{name}: {mode:o}");
        }
    });
}

#[test]
fn a_file_that_is_removed_while_it_serves_is_noticed_and_made_again() {
    run(async {
        let directory = TempDir::new();
        let path = directory.path().join("hale.db");
        let address = Address::File(path.clone());
        let running = Running::start(&address, directory.path());
        running.until(|status| *status == Status::Connected).await;
        fs::remove_file(&path).unwrap();
        running.until(|status| matches!(status, Status::Disconnected(_))).await;
        running.until(|status| *status == Status::Connected).await;
        running.act("after");
        running.until_figures(|figures| figures.written == 1).await;
        assert_eq!(count(&address, Table::OperatorActions).await, 1);
    });
}

#[test]
fn a_directory_that_cannot_be_written_has_no_store_and_that_is_no_fault() {
    run(async {
        // Root may write everywhere, but not where there is no directory.
        let directory = TempDir::new();
        let place = directory.path().join("mounted");
        if !is_root() {
            fs::create_dir(&place).unwrap();
            fs::set_permissions(&place, Permissions::from_mode(0o555)).unwrap();
        }
        let running = Running::start(&Address::File(place.join("hale.db")), &place);
        running.until(|status| *status == Status::NoPlace).await;
        running.act("nowhere");
        let figures = running.store.figures();
        assert_eq!((figures.pending, figures.dropped), (0, 0));
        assert!(!running.store.is_wanted());
    });
}

#[test]
fn rows_wait_while_another_process_holds_the_file() {
    run(async {
        let directory = TempDir::new();
        let address = Address::File(directory.path().join("hale.db"));
        let running = Running::start(&address, directory.path());
        running.until(|status| *status == Status::Connected).await;
        let file = directory.path().join("hale.db");
        let connection = rusqlite::Connection::open(&file).unwrap();
        connection.execute_batch("begin immediate").unwrap();
        running.act("waits");
        running.until_figures(|figures| figures.spool_bytes > 0).await;
        assert_eq!(running.store.figures().written, 0);
        connection.execute_batch("rollback").unwrap();
        running.until_figures(|figures| figures.written == 1 && figures.spool_bytes == 0).await;
    });
}

#[test]
fn what_stands_at_a_lock_is_given_up_at_the_server_too() {
    run(async {
        let server = Postgres::shared();
        let url = server.database();
        let address = Address::parse(&url).unwrap();
        let database = open(&address, Purpose::Serve).await.unwrap();
        let (holder, link) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(async move { drop(link.await) });
        let hold = async |sql: &str| holder.batch_execute(sql).await.unwrap();
        let standing = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' \
                        and datname = current_database()";
        let until = async |count: &str| {
            while server.sql(&url, standing).trim() != count {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        let now = i64::try_from(NOW).unwrap();
        // What is old is deleted within a limit of time.
        hold("begin; lock table hale.requests in access exclusive mode").await;
        let error = Retention::default().apply(&database, now).await.unwrap_err();
        assert_eq!(error.kind, Kind::Away, "{error}");
        until("0").await;
        hold("rollback").await;
        Retention::default().apply(&database, now).await.unwrap();
        // The writer of a process.
        hold("begin; lock table hale.operator_actions in access exclusive mode").await;
        let directory = TempDir::new();
        let running = Running::start(&address, directory.path());
        running.until(|status| *status == Status::Connected).await;
        running.act("waits");
        until("1").await;
        running.crash().await;
        until("0").await;
        hold("rollback").await;
        // One that opens it.
        hold("select pg_advisory_lock(x'68616c6500006462'::bigint)").await;
        let limit = std::time::Duration::from_millis(300);
        let opening = tokio::time::timeout(limit, open(&address, Purpose::Serve)).await;
        assert!(opening.is_err(), "it waits for the lock");
        until("0").await;
    });
}

#[test]
fn a_wrong_address_of_a_server_is_named_with_its_fix_and_without_its_password() {
    run(async {
        let server = Postgres::shared();
        let url = server.database();
        let parsed = |url: &str| Address::parse(url).unwrap();
        let cases = [
            (url.replace("s3cret-pw", "s3cret-wrong"), Kind::Refused, "password authentication"),
            (url.replace("hale:", "stranger:"), Kind::Refused, "password authentication"),
            (server.url("missing"), Kind::Refused, "does not exist"),
            (
                url.replace(&server.port().to_string(), &refused_port().to_string()),
                Kind::Away,
                "refused",
            ),
            (format!("{url}?sslmode=require"), Kind::Away, "TLS"),
            (url.replace("127.0.0.1", "no-such-host.invalid"), Kind::Away, "no-such-host.invalid"),
        ];
        for (url, kind, part) in cases {
            let (found, said) = refused(&parsed(&url)).await;
            assert_eq!(found, kind, "{said}");
            assert!(said.contains(part), "{said}");
        }
    });
}

#[test]
fn a_connection_is_encrypted_and_verified_as_the_mode_says() {
    run(async {
        let tls = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/tls");
        let file = |name: &str| tls.join(name).canonicalize().unwrap().display().to_string();
        let at = |server: &Postgres, query: &str| {
            let url = server.url("postgres").replace("127.0.0.1", "localhost");
            Address::parse(&format!("{url}?{query}")).unwrap()
        };
        let root = |mode: &str| format!("sslmode={mode}&sslrootcert={}", file("root.pem"));
        let good = Postgres::with_tls(tls.join("good.pem").as_path());
        let plain = "select count(*) filter (where s.ssl) >= 2, count(*) filter (where not s.ssl) \
                     from pg_stat_ssl s join pg_stat_activity a using (pid) \
                     where a.application_name = 'hale'";
        for query in ["", "sslmode=require", &root("verify-ca"), &root("verify-full")] {
            let database = open(&at(&good, query), Purpose::Serve).await.unwrap();
            assert_eq!(good.sql("postgres", plain), "t|0", "{query:?}: both connections");
            drop(database);
        }
        // There is no root in the tests but those that an address names.
        let (kind, said) = refused(&at(&good, "sslmode=verify-full")).await;
        assert_eq!(kind, Kind::Address, "{said}");
        let elsewhere = Postgres::with_tls(tls.join("elsewhere.pem").as_path());
        open(&at(&elsewhere, "sslmode=require"), Purpose::Serve)
            .await
            .expect("nothing is verified");
        open(&at(&elsewhere, &root("verify-ca")), Purpose::Serve)
            .await
            .expect("the name is not verified");
        let (kind, said) = refused(&at(&elsewhere, &root("verify-full"))).await;
        assert!(kind == Kind::Away && said.contains("not valid for name"), "{said}");
        for name in ["self-signed.pem", "expired.pem"] {
            let server = Postgres::with_tls(tls.join(name).as_path());
            for mode in ["verify-ca", "verify-full"] {
                let (kind, said) = refused(&at(&server, &root(mode))).await;
                assert!(
                    kind == Kind::Away && said.contains("certificate"),
                    "{name}, {mode}: {said}"
                );
            }
        }
    });
}

#[test]
fn a_server_that_takes_no_writes_is_named_read_only() {
    run(async {
        let server = Postgres::shared();
        let url = server.database();
        let name = url.rsplit('/').next().unwrap();
        drop(open(&Address::parse(&url).unwrap(), Purpose::Serve).await.unwrap());
        server.sql(
            "postgres",
            &format!("alter database {name} set default_transaction_read_only = on"),
        );
        let (kind, said) = refused(&Address::parse(&url).unwrap()).await;
        assert_eq!(kind, Kind::ReadOnly, "{said}");
    });
}

#[test]
fn a_user_that_may_make_no_schema_is_told_so() {
    run(async {
        let server = Postgres::shared();
        let url = server.database();
        server.sql(&url, "create role guest login password 's3cret-pw'");
        let guest = url.replace("hale:", "guest:");
        let (kind, said) = refused(&Address::parse(&guest).unwrap()).await;
        assert_eq!(kind, Kind::ReadOnly, "{said}");
        assert!(said.contains("permission denied"), "{said}");
    });
}
