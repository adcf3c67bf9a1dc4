//! What the store takes: rows a second and the time of a batch, for the figures of `docs/store.md`.
//!
//! Run by hand: `cargo test -p hale-store --release --test it figures -- --ignored --nocapture`. `DATABASE_URL` names a
//! server with the settings of production; the one of the tests does not wait for its disk.

use std::sync::Arc;
use std::time::Duration;

use hale_store::{Address, Batch, Committed, Database, Purpose};

use crate::support::{Place, open, places, run};

/// A batch of that many records of requests.
fn batch(number: usize, rows: usize) -> Arc<Batch> {
    let row = |at: usize| {
        format!(
            r#"["w-{number}-{at}",1800000000000,"pod","3f0c6f3e-8f0a-4b4e-9d53-1d2c{at:08}","chat","gpt-4o","gpt-4o","azure-eu",200,"success",null,1,0,0,0,1500000,300000,120,0,812,215,0,0,0,0,0.0123,2411,5120]"#
        )
    };
    let rows: Vec<String> = (0..rows).map(row).collect();
    let text =
        format!(r#"{{"writer":"w","number":{number},"rows":[["requests",[{}]]]}}"#, rows.join(","));
    Arc::new(serde_json::from_str(&text).unwrap())
}

#[allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "it measures real time, and prints it"
)]
async fn measure(database: &Database, name: &str, (rows, count): (usize, usize), first: usize) {
    let batches: Vec<Arc<Batch>> = (first..first + count).map(|at| batch(at, rows)).collect();
    let begun = std::time::Instant::now();
    let mut took: Vec<Duration> = Vec::new();
    for batch in &batches {
        let before = begun.elapsed();
        assert_eq!(database.commit(batch, 1).await, Ok(Committed::Now));
        took.push(begun.elapsed() - before);
    }
    let all = begun.elapsed();
    took.sort_unstable();
    let at = |share: usize| took[(took.len() * share / 100).min(took.len() - 1)];
    let per_second = u128::try_from(rows * count).unwrap() * 1_000_000 / all.as_micros();
    println!(
        "{name}: batches of {rows} rows: {per_second} rows/s, p50 {:?}, p99 {:?}",
        at(50),
        at(99)
    );
}

#[test]
#[ignore = "it measures"]
fn rows_a_second_and_the_time_of_a_batch() {
    let url = std::env::var("DATABASE_URL").ok();
    for Place { address, directory } in places() {
        run(async {
            let (name, address) = match (&address, &url) {
                (Address::File(_), _) => ("SQLite", address),
                (Address::Server(_), Some(url)) => ("PostgreSQL", Address::parse(url).unwrap()),
                (Address::Server(_), None) => ("PostgreSQL without fsync", address),
            };
            let database = open(&address, Purpose::Change).await.unwrap();
            // What a gateway writes at 5, 200 and 10,000 requests a second.
            for (size, first) in [((1, 200), 1), ((40, 200), 1_000), ((2_000, 50), 2_000)] {
                measure(&database, name, size, first).await;
            }
        });
        drop(directory);
    }
}
