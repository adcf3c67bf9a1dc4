//! How rows come into the database: in time, once, and after every kind of failure.

use std::time::Duration;

use hale_store::{Address, Batch, Committed, Purpose, Status, Table};
use hale_testkit::{Postgres, TempDir};

use crate::support::{NOW, Place, Running, action, count, on_both, open, request, run};

#[test]
fn a_batch_that_is_written_again_adds_no_row_and_counts_nothing_twice() {
    on_both(|Place { address, .. }| async move {
        let database = open(&address, Purpose::Change).await.unwrap();
        let batch = |number| {
            let text = format!(
                r#"{{"writer":"w","number":{number},"rows":[["operator_actions",[["a{number}",1,"p","k","disable","d"]]]]}}"#
            );
            std::sync::Arc::new(serde_json::from_str::<Batch>(&text).unwrap())
        };
        assert_eq!(database.commit(&batch(1), 1).await, Ok(Committed::Now));
        assert_eq!(database.commit(&batch(1), 1).await, Ok(Committed::Before));
        assert_eq!(database.commit(&batch(2), 1).await, Ok(Committed::Now));
        assert_eq!(database.commit(&batch(1), 1).await, Ok(Committed::Before));
        assert_eq!(database.count(Table::OperatorActions).await, Ok(2));
    });
}

#[test]
fn rows_that_a_crash_left_in_the_spool_are_written_once_by_the_next_process() {
    run(async {
        let mut server = Postgres::start();
        let address = Address::parse(&server.database()).unwrap();
        let directory = TempDir::new();
        drop(open(&address, Purpose::Serve).await.unwrap());
        server.kill();
        let before = Running::start(&address, directory.path());
        for number in 0..50 {
            before.act(&format!("d{number}"));
            before.store.put_requests([request("c")].into_iter());
        }
        // A row is in the spool within a second of its making, so what counts below is what a kill would leave.
        before.until(|status| matches!(status, Status::Disconnected(_))).await;
        before.until_figures(|figures| figures.spool_bytes > 0).await;
        before.crash().await;
        // The end of a line that was cut.
        let spool = directory.path().join("hale.spool");
        let mut text = std::fs::read(&spool).unwrap();
        text.extend(b"{\"writer\":\"pod\",\"numb");
        std::fs::write(&spool, &text).unwrap();
        server.run();
        let after = Running::start(&address, directory.path());
        after.until_figures(|figures| figures.written == 102 && figures.spool_bytes == 0).await;
        assert_eq!(count(&address, Table::OperatorActions).await, 50);
        assert_eq!(count(&address, Table::Requests).await, 50);
        assert_eq!(count(&address, Table::Rollups).await, 2);
        after.crash().await;
        // As if it had been killed before it emptied the spool.
        std::fs::write(&spool, &text).unwrap();
        let again = Running::start(&address, directory.path());
        again.until(|status| *status == Status::Connected).await;
        again.until_figures(|figures| figures.pending == 0 && figures.spool_bytes == 0).await;
        assert_eq!(count(&address, Table::OperatorActions).await, 50);
        let requests = "select max(requests) from hale.rollups";
        let url = address.shown().replace("***", "s3cret-pw");
        assert_eq!(server.sql(&url, requests), "50");
    });
}

#[test]
fn a_server_that_is_killed_stopped_or_locked_delays_no_row_and_loses_none() {
    run(async {
        let mut server = Postgres::start();
        let address = Address::parse(&server.database()).unwrap();
        let directory = TempDir::new();
        let running = Running::start(&address, directory.path());
        running.until(|status| *status == Status::Connected).await;
        let lost = |status: &Status| matches!(status, Status::Disconnected(_));
        running.act("before");
        running.until_figures(|figures| figures.written == 1).await;
        server.kill();
        running.until(lost).await;
        running.act("killed");
        running.until_figures(|figures| figures.spool_bytes > 0).await;
        server.run();
        running.until(|status| *status == Status::Connected).await;
        running.until_figures(|figures| figures.written == 2 && figures.spool_bytes == 0).await;
        server.pause();
        running.act("stopped");
        running.until_figures(|figures| figures.spool_bytes > 0).await;
        server.go_on();
        running.until_figures(|figures| figures.written == 3 && figures.spool_bytes == 0).await;
        running.until(|status| *status == Status::Connected).await;
        assert_eq!(count(&address, Table::OperatorActions).await, 3);
        assert_eq!(running.store.figures().dropped, 0);
    });
}

#[test]
fn a_store_starts_with_its_server_down_and_is_whole_when_it_comes() {
    run(async {
        let mut server = Postgres::start();
        let url = server.database();
        server.kill();
        let directory = TempDir::new();
        let running = Running::start(&Address::parse(&url).unwrap(), directory.path());
        running.act("early");
        let status = running.store.opened(Duration::from_secs(20)).await;
        let Status::Disconnected(error) = status else { panic!("{status:?}") };
        let said = error.to_string();
        assert!(said.contains("127.0.0.1") && !said.contains("s3cret"), "{said}");
        server.run();
        running.until(|status| *status == Status::Connected).await;
        running.until_figures(|figures| figures.written == 1).await;
    });
}

#[test]
fn a_stop_writes_what_there_is() {
    on_both(|Place { address, directory }| async move {
        let running = Running::start(&address, directory.path());
        running.until(|status| *status == Status::Connected).await;
        running.act("last");
        running.store.finish(Duration::from_secs(10)).await;
        running.crash().await;
        assert_eq!(count(&address, Table::OperatorActions).await, 1);
    });
}

#[test]
fn a_stop_without_a_database_leaves_rows_in_the_spool() {
    run(async {
        let directory = TempDir::new();
        let path = directory.path().join("hale.db");
        std::fs::write(&path, "this is no database, and it stays as it is").unwrap();
        let running = Running::start(&Address::File(path), directory.path());
        running.until(|status| matches!(status, Status::Disconnected(_))).await;
        running.store.put(&action("last"));
        running.store.finish(Duration::from_millis(50)).await;
        let spool = std::fs::read_to_string(directory.path().join("hale.spool")).unwrap();
        assert!(spool.contains("\"last\"") && spool.contains(&NOW.to_string()), "{spool}");
    });
}

#[test]
fn a_stop_counts_rows_as_lost_that_neither_the_database_took_nor_a_spool_of_another_process() {
    run(async {
        let directory = TempDir::new();
        let path = directory.path().join("hale.db");
        std::fs::write(&path, "this is no database, and it stays as it is").unwrap();
        let start = || Running::start(&Address::File(path.clone()), directory.path());
        let owner = start();
        owner.act("kept");
        owner.until_figures(|figures| figures.spool_bytes > 0).await;
        let other = start();
        other.until(|status| matches!(status, Status::Disconnected(_))).await;
        other.act("lost");
        other.store.finish(Duration::from_millis(50)).await;
        owner.store.finish(Duration::from_millis(50)).await;
        assert_eq!(other.store.figures().dropped, 1);
        assert_eq!(owner.store.figures().dropped, 0);
        let spool = std::fs::read_to_string(directory.path().join("hale.spool")).unwrap();
        assert!(spool.contains("\"kept\"") && !spool.contains("\"lost\""), "{spool}");
    });
}
