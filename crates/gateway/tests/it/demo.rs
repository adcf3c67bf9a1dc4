//! The demo: an outage from beginning to end, and nothing lost.

use crate::support::hale;

#[test]
fn the_demo_ends_well_and_loses_nothing() {
    let run =
        ["demo", "--seconds", "12", "--port", "0"].iter().fold(hale(), |it, arg| it.arg(*arg));
    let done = run.run();
    assert_eq!(done.code(), Some(0), "{}\n{}", done.stdout, done.stderr);
    assert!(done.stdout.contains(" 0 lost."), "{}", done.stdout);
    for told in
        ["curl http://127.0.0.1:", "is moved away from", "is back", "steady", "slow", "flaky"]
    {
        assert!(done.stdout.contains(told), "nothing about {told:?} in:\n{}", done.stdout);
    }
}
