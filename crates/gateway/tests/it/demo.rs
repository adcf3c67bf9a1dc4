//! The demo: an outage from beginning to end, without a lost request.

use std::time::Duration;

use crate::support::hale;

/// The demo runs for 16 s; a loaded machine may take much longer to start and to end it.
const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn the_demo_succeeds_and_loses_no_request() {
    let run =
        ["demo", "--seconds", "16", "--port", "0"].iter().fold(hale(), |it, arg| it.arg(*arg));
    let done = run.run_within(PATIENCE);
    assert_eq!(done.code(), Some(0), "{}\n{}", done.stdout, done.stderr);
    for told in ["curl http://127.0.0.1:", " 0 lost.", "steady", "slow", "flaky", "standby"] {
        assert!(done.stdout.contains(told), "nothing about {told:?} in:\n{}", done.stdout);
    }
    // Found by traffic or by a probe, whichever is first; back after a probe and a half-open request.
    in_order(
        &done.stdout,
        &[
            "flaky now answers 500",
            "-> flaky is ",
            "flaky is repaired",
            "flaky healthy",
            "<- flaky is back",
        ],
    );
    // No traffic reached it.
    in_order(
        &done.stdout,
        &[
            "standby breaks",
            "standby failed",
            "-> standby is unhealthy, its probes fail with: connect",
            "All break",
            "last-resort #",
            "All are repaired",
            "<- standby is back",
            "health probes, which cost 0.000",
        ],
    );
    assert!(!done.stdout.contains("standby is ejected"), "{}", done.stdout);
    for name in ["steady", "slow", "flaky", "standby"] {
        let (lost, back) = (format!("-> {name} is "), format!("<- {name} is back"));
        for between in done.stdout.split(&back).skip(1).collect::<Vec<_>>().iter().rev().skip(1) {
            assert!(between.contains(&lost), "{name} is back twice:\n{}", done.stdout);
        }
    }
}

#[track_caller]
fn in_order(told: &str, words: &[&str]) {
    let mut tail = told;
    for word in words {
        match tail.split_once(word) {
            Some((_, after)) => tail = after,
            None => panic!("nothing about {word:?} where it should be in:\n{told}"),
        }
    }
}
