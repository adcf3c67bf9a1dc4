//! Exports, imports, backups and restores.

use std::fs;

use hale_store::{Address, Kind, Purpose, Status, Stored, Table, copy};

use crate::support::{Place, Running, count, means, open, places, request, run};

async fn filled(place: &Place) {
    let running = Running::start(&place.address, place.directory.path());
    for number in 0..2_500 {
        running.act(&format!("d{number}"));
    }
    running.store.put_requests([request("c")].into_iter());
    running.store.put(&Stored::Setting(hale_store::Setting {
        name: "a".into(),
        value: "\u{1f600} \"x\"\n".into(),
        updated_at: 1,
        updated_by: "k".into(),
    }));
    running.until_figures(|figures| figures.written == 2_504).await;
    running.store.finish(std::time::Duration::from_secs(5)).await;
    running.crash().await;
}

#[test]
fn an_export_of_either_database_is_an_import_of_the_other_and_comes_back_equal() {
    run(async {
        let [file, server] = places();
        filled(&file).await;
        let out = |name: &str| file.directory.path().join(name);
        let source = open(&file.address, Purpose::Look).await.unwrap();
        copy::export(&source, &out("one")).await.unwrap();
        let target = open(&server.address, Purpose::Change).await.unwrap();
        let added = copy::import(&target, &out("one")).await.unwrap();
        assert_eq!(added.iter().map(|(_, count)| count).sum::<u64>(), 2_504);
        let again = copy::import(&target, &out("one")).await.unwrap();
        assert_eq!(
            again.iter().map(|(_, count)| count).sum::<u64>(),
            0,
            "rows that are there stay"
        );
        copy::export(&target, &out("two")).await.unwrap();
        let sorted = |name: &str| {
            let text = fs::read_to_string(out(name)).unwrap();
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines.sort_unstable();
            lines
        };
        assert!(sorted("one") == sorted("two"), "the same lines");
        let Err(error) = copy::export(&target, &out("two")).await else { panic!("it overwrites") };
        assert!(error.to_string().contains("exists"), "{error}");
    });
}

#[test]
fn what_is_no_export_is_refused_with_its_line() {
    run(async {
        let [place, _] = places();
        let database = open(&place.address, Purpose::Change).await.unwrap();
        let file = place.directory.path().join("in");
        let head = "{\"hale_export\":1}\n";
        for (text, part) in [
            (String::new(), "empty"),
            ("nonsense".to_owned(), "in:1"),
            ("{\"table\":\"settings\",\"row\":{}}\n".to_owned(), "no export"),
            ("{\"hale_export\":99}\n".to_owned(), "version 99"),
            (format!("{head}{{\"table\":\"strangers\",\"row\":{{}}}}\n"), "in:2"),
            (format!("{head}{{\"table\":\"settings\",\"row\":{{}}}}\n"), "NULL"),
        ] {
            fs::write(&file, &text).unwrap();
            let Err(error) = copy::import(&database, &file).await else { panic!("{text}") };
            assert!(error.to_string().contains(part), "{text}: {error}");
        }
        let newer = format!(
            "{head}{{\"table\":\"settings\",\"row\":{{\"name\":\"a\",\"value\":\"b\",\"updated_at\":1,\"updated_by\":\"c\",\"new\":[]}}}}\n"
        );
        fs::write(&file, newer).unwrap();
        copy::import(&database, &file).await.expect("a column that is not known is left out");
        assert_eq!(database.count(Table::Settings).await, Ok(1));
    });
}

#[test]
fn a_backup_beside_a_process_that_serves_comes_back_whole() {
    run(async {
        let [place, server] = places();
        let running = Running::start(&place.address, place.directory.path());
        running.act("one");
        running.until_figures(|figures| figures.written == 1).await;
        let backup = place.directory.path().join("backup.db");
        copy::backup(&place.address, &backup, &means()).await.unwrap();
        let made = std::fs::metadata(&backup).unwrap().permissions();
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&made) & 0o777, 0o600);
        let Err(error) = copy::backup(&place.address, &backup, &means()).await else {
            panic!("it overwrites")
        };
        assert!(error.to_string().contains("exists"), "{error}");
        running.act("two");
        running.until_figures(|figures| figures.written == 2).await;
        let restored = copy::restore(&place.address, &backup, &means()).await;
        assert_eq!(restored.map_err(|error| error.kind), Err(Kind::Locked), "it serves");
        running.crash().await;
        let before = copy::restore(&place.address, &backup, &means()).await.unwrap().unwrap();
        assert_eq!(count(&place.address, Table::OperatorActions).await, 1);
        assert_eq!(count(&Address::File(before), Table::OperatorActions).await, 2);
        let again = Running::start(&place.address, place.directory.path());
        again.until(|status| *status == Status::Connected).await;
        let Err(error) = copy::backup(&server.address, &backup, &means()).await else {
            panic!("servers have tools of their own")
        };
        assert!(error.to_string().contains("pg_dump"), "{error}");
        let Err(error) =
            copy::restore(&place.address, &place.directory.write("x", "y"), &means()).await
        else {
            panic!("it is no backup")
        };
        assert_eq!(error.kind, Kind::NotADatabase);
    });
}
