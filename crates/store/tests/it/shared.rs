//! The table that replicas share: what one says the others hear, with and without a pooler, and whatever is in it.

use std::sync::Arc;
use std::time::Duration;

use hale_store::{Address, Delivery, Kind, Lease, Scope, SharedTable};
use hale_testkit::{Postgres, TempDir};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::support::{Running, run};

const LIVE_MS: u64 = 15_000;
const PERIOD_MS: u64 = 60_000;

/// One replica.
struct Replica {
    table: Arc<SharedTable>,
    news: mpsc::Receiver<(String, String)>,
    running: JoinHandle<()>,
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.running.abort();
    }
}

/// A database with the tables of Hale, and the store that made them.
struct Base {
    store: Running,
    _directory: TempDir,
}

impl Base {
    async fn at(url: &str) -> Base {
        let directory = TempDir::new();
        let store = Running::start(&Address::parse(url).unwrap(), directory.path());
        store.store.connected().await;
        Base { store, _directory: directory }
    }

    async fn replica(&self, me: &str) -> Replica {
        let scope = Scope { name: "1:test".into(), channel: "hale_1_test".into(), me: me.into() };
        let table = self.store.store.shared_table(scope).unwrap();
        let (tell, news) = mpsc::channel(64);
        let own = table.clone();
        let running = tokio::spawn(async move {
            own.run(|kind, text| tell.try_send((kind.to_owned(), text.to_owned())).unwrap()).await;
        });
        let replica = Replica { table, news, running };
        replica.until_it_works().await;
        replica
    }
}

impl Replica {
    async fn until_it_works(&self) {
        while self.table.exchange("", LIVE_MS).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn hears(&self) -> Vec<Box<str>> {
        let mut said = self.table.exchange("me", LIVE_MS).await.unwrap().said;
        said.sort_unstable();
        said
    }

    async fn leases(&self, asked: &[(&str, Lease)]) -> Vec<Option<String>> {
        let holders = self.table.lease(PERIOD_MS, asked).await.unwrap().holders;
        holders.into_iter().map(|one| one.map(|(holder, _)| holder.into())).collect()
    }
}

#[test]
fn a_server_notifies_and_behind_a_pooler_the_table_is_read() {
    run(async {
        let server = Postgres::shared();
        let (url, pooler) = (server.database(), server.pooler());
        let pooled = pooler.url(server, &url);
        let base = Base::at(&url).await;
        let behind = Base::at(&pooled).await;
        let (one, mut two, three) =
            (base.replica("one").await, base.replica("t'wo").await, behind.replica("three").await);
        assert_eq!(
            (one.table.delivery(), two.table.delivery()),
            (Delivery::Notify, Delivery::Notify)
        );
        assert_eq!(three.table.delivery(), Delivery::Poll);
        for _ in 0..5 {
            assert_eq!(behind.replica("four").await.table.delivery(), Delivery::Poll);
        }
        let long = "é".repeat(5_000);
        for (teller, text, told) in
            [(&one, "{\"a\": \"b c\"}", "{\"a\": \"b c\"}"), (&three, "x", "x"), (&one, &long, "")]
        {
            teller.table.tell("evidence", text).await.unwrap();
            assert_eq!(two.news.recv().await.unwrap(), ("evidence".to_owned(), told.to_owned()));
        }
        for (replica, said) in [(&one, "1"), (&two, "2"), (&three, "3")] {
            replica.table.exchange(said, LIVE_MS).await.unwrap();
        }
        assert_eq!(*one.hears().await, ["2".into(), "3".into()]);
        assert_eq!(*three.hears().await, ["2".into(), "me".into()]);
        let now = |sql: &str| server.sql(&url, sql).parse::<u64>().unwrap();
        let theirs = now("select (extract(epoch from clock_timestamp()) * 1000)::bigint");
        let ours = two.table.exchange("", LIVE_MS).await.unwrap();
        assert!(ours.now >= theirs && ours.said.is_empty(), "{ours:?}");
        // What has ended is not heard any more.
        server.sql(&url, "update hale.fleet set until_at = 1");
        assert!(two.hears().await.is_empty());
    });
}

#[test]
fn a_lease_has_one_holder_until_that_gives_it_up_or_its_time_is_over() {
    run(async {
        let server = Postgres::shared();
        let (url, pooler) = (server.database(), server.pooler());
        let base = Base::at(&url).await;
        let behind = Base::at(&pooler.url(server, &url)).await;
        let (one, two) = (base.replica("one").await, behind.replica("two").await);
        let of = |who: &str| Some(who.to_owned());
        let hold = [("b", Lease::Hold), ("a", Lease::Hold), ("c\0", Lease::Look)];
        assert_eq!(one.leases(&hold).await, [of("one"), of("one"), None]);
        assert_eq!(one.leases(&hold).await, [of("one"), of("one"), None]);
        let ask = [("a", Lease::Hold), ("b", Lease::GiveUp), ("c\0", Lease::Hold)];
        assert_eq!(two.leases(&ask).await, [of("one"), of("one"), of("two")]);
        assert_eq!(
            one.leases(&[("a", Lease::GiveUp), ("c\0", Lease::Look)]).await,
            [None, of("two")]
        );
        assert_eq!(two.leases(&ask).await, [of("two"), of("one"), of("two")]);
        assert!(one.leases(&[]).await.is_empty());
        // Both at once: one of them gets each.
        let all: Vec<String> = (0..40).map(|number| format!("d{number}")).collect();
        let up: Vec<_> = all.iter().map(|name| (&**name, Lease::Hold)).collect();
        let down: Vec<_> = up.iter().rev().copied().collect();
        let (mine, theirs) = tokio::join!(one.leases(&up), two.leases(&down));
        for (mine, theirs) in mine.iter().zip(theirs.iter().rev()) {
            let held = [mine, theirs].map(|one| one.as_deref());
            assert!(!matches!(held, [Some("one"), Some("two")]), "{held:?}");
            assert!(held.contains(&Some("one")) || held.contains(&Some("two")), "{held:?}");
        }
        server.sql(&url, "update hale.fleet set until_at = 1 where name = 'b'");
        assert_eq!(two.leases(&[("b", Lease::Hold)]).await, [of("two")]);
        let left = one.table.lease(PERIOD_MS, &[("b", Lease::Look)]).await.unwrap().holders;
        let left = left[0].as_ref().unwrap().1;
        assert!((1..=PERIOD_MS).contains(&left), "{left}");
    });
}

#[test]
fn what_stands_in_the_table_and_is_not_ours_is_bounded_counted_or_replaced() {
    run(async {
        let server = Postgres::shared();
        let url = server.database();
        let base = Base::at(&url).await;
        let one = base.replica("one").await;
        let put = |kind: &str, name: &str, value: &str, until: &str| {
            let sql = format!(
                "insert into hale.fleet values ('1:test', '{kind}', '{name}', '{value}', {until}) \
                 on conflict (scope, kind, name) do update set value = excluded.value, until_at = excluded.until_at"
            );
            server.sql(&url, &sql);
        };
        let soon = "(extract(epoch from clock_timestamp()) * 1000)::bigint + 10000";
        let never = "9223372036854775807";
        put("replica", "x", "[[[[", soon);
        put("replica", "y", "for ever", never);
        put("another kind", "z", "", never);
        let heard = one.table.exchange("me", LIVE_MS).await.unwrap();
        assert_eq!((&*heard.said, heard.garbage), (&["[[[[".into()][..], 1));
        assert_eq!(one.table.exchange("me", LIVE_MS).await.unwrap().garbage, 0);
        put("lease", "a", "junk", never);
        let leased = one.table.lease(PERIOD_MS, &[("a", Lease::Look)]).await.unwrap();
        assert_eq!(leased.holders, [Some(("junk".into(), PERIOD_MS))]);
        assert_eq!(leased.garbage, 1);
        put("lease", "a", "junk", never);
        assert_eq!(one.leases(&[("a", Lease::Hold)]).await, [Some("one".to_owned())]);
        put("kept", "p", "not a result", never);
        one.table.keep("q", "a result", 1_000).await.unwrap();
        one.table.keep("q", "a newer one", 60_000).await.unwrap();
        let mut kept = one.table.kept().await.unwrap();
        kept.sort_unstable();
        assert_eq!(kept, ["a newer one".into(), "not a result".into()]);
        server.sql(&url, "truncate hale.fleet");
        assert!(one.table.kept().await.unwrap().is_empty());
        assert_eq!(one.leases(&[("a", Lease::Look)]).await, [None]);
    });
}

#[test]
fn a_server_that_hangs_dies_or_takes_no_writes_is_named_and_used_again_by_itself() {
    run(async {
        let mut server = Postgres::start();
        let url = server.database();
        let base = Base::at(&url).await;
        let one = base.replica("one").await;
        server.pause();
        assert_eq!(one.table.exchange("me", LIVE_MS).await.unwrap_err().kind, Kind::Away);
        assert_eq!(one.table.problem().unwrap().kind, Kind::Away);
        server.go_on();
        one.until_it_works().await;
        assert_eq!(one.table.problem(), None);
        assert_eq!(one.table.delivery(), Delivery::Notify);
        server.kill();
        let error = loop {
            if let Err(error) = one.table.exchange("me", LIVE_MS).await {
                break error;
            }
        };
        assert!(!error.to_string().contains("s3cret"), "{error}");
        server.run();
        one.until_it_works().await;
        let read_only = |is: bool| {
            let name = url.rsplit('/').next().unwrap();
            let word = if is { "on" } else { "off" };
            server.sql(name, &format!("alter system set default_transaction_read_only = {word}"));
            server.sql(name, "select pg_reload_conf()");
        };
        read_only(true);
        let error = loop {
            if let Err(error) = one.table.exchange("me", LIVE_MS).await {
                break error;
            }
        };
        assert_eq!(error.kind, Kind::ReadOnly, "{error}");
        read_only(false);
        loop {
            if one.table.exchange("me", LIVE_MS).await.is_ok() {
                break;
            }
        }
        // A table that is locked holds up no replica, and no call waits at the server for ever.
        let lock = "begin; lock table hale.fleet; select pg_sleep(3); commit";
        let (place, sql) = (url.clone(), lock.to_owned());
        let server = Arc::new(server);
        let own = server.clone();
        let locking = tokio::task::spawn_blocking(move || own.sql(&place, &sql));
        while one.table.exchange("me", LIVE_MS).await.is_ok() {}
        let waiting = "select count(*) from pg_stat_activity where query like '%hale.fleet as kept%' \
                       and state = 'active' and pid <> pg_backend_pid()";
        assert!(server.sql(&url, waiting).parse::<u32>().unwrap() <= 2);
        locking.await.unwrap();
        one.until_it_works().await;
    });
}
