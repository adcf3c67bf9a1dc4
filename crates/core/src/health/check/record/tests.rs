use super::*;

const STALE: u64 = 120_000;

fn check(started: u64, ended: u64, finding: Finding) -> Checked {
    Checked {
        started: Millis(started),
        ended: Millis(ended),
        finding,
        cause: None,
        status: None,
        obstacle: None,
        message: Box::default(),
        model: Box::default(),
        headers: Vec::new(),
    }
}

/// Feeds checks one second apart and gives the status after the last.
fn after(findings: &[Finding]) -> Status {
    let checks = Checks::default();
    for (i, finding) in findings.iter().enumerate() {
        let at = 1_000 * (i as u64 + 1);
        checks.checked(check(at, at + 10, *finding), true, true);
    }
    checks.standing().0
}

const DOWN: Finding = Finding::Failing(Cause::Timeout);
const NO: Finding = Finding::Failing(Cause::Auth);
const UP: Finding = Finding::Healthy;

#[test]
fn h12_one_lost_check_is_no_verdict_and_three_in_a_row_are() {
    assert_eq!(after(&[UP, DOWN, UP, DOWN, UP, DOWN]), Status::Healthy);
    assert_eq!(after(&[UP, DOWN, DOWN]), Status::Healthy);
    assert_eq!(after(&[UP, DOWN, DOWN, DOWN]), Status::Unhealthy(Cause::Timeout));
    assert_eq!(after(&[DOWN, DOWN, DOWN, UP]), Status::Healthy);
    assert_eq!(after(&[DOWN, DOWN]), Status::Unchecked);
}

#[test]
fn h13_failures_in_a_row_are_counted_whatever_time_lies_between() {
    let checks = Checks::default();
    for at in [1_000, 30_001_000] {
        checks.checked(check(at, at + 10, NO), true, true);
    }
    assert_eq!(checks.standing(), (Status::Unhealthy(Cause::Auth), 2));
}

#[test]
fn what_is_no_failure_changes_no_count() {
    assert_eq!(after(&[UP, DOWN, Finding::ProbeError, DOWN]), Status::Healthy);
    assert_eq!(after(&[UP, Finding::ProbeError]), Status::Healthy);
    assert_eq!(after(&[NO, NO, Finding::RateLimited(None)]), Status::RateLimited);
    let wrong = Finding::Unknown(Doubt::WrongMode);
    assert_eq!(after(&[UP, wrong]), Status::Unknown(Doubt::WrongMode));
    let checks = Checks::default();
    for at in [1, 2, 3, 4] {
        checks.checked(check(at, at, DOWN), true, false);
    }
    assert_eq!(checks.standing(), (Status::Unchecked, 0), "transient errors are ignored");
}

#[test]
fn on_demand_one_failure_is_a_verdict() {
    let checks = Checks::default();
    let change = checks.checked(check(1, 2, DOWN), false, true).unwrap();
    assert_eq!((change.from, change.to), (Status::Unchecked, Status::Unhealthy(Cause::Timeout)));
}

#[test]
fn h03_a_look_clears_only_what_it_can_see() {
    let look = Finding::Unknown(Doubt::Shallow);
    assert_eq!(after(&[DOWN, DOWN, DOWN, look]), Status::Unhealthy(Cause::Timeout));
    let refused = Finding::Failing(Cause::Connect);
    assert_eq!(after(&[refused, refused, refused, look]), Status::Unknown(Doubt::Shallow));
    assert_eq!(after(&[UP, look]), Status::Healthy, "it grows old by itself");
}

#[test]
fn a_good_answer_to_traffic_ends_a_verdict_and_outranks_a_late_failure() {
    let checks = Checks::default();
    for at in [1_000, 2_000, 3_000] {
        checks.checked(check(at, at + 10, DOWN), true, true);
    }
    assert_eq!(checks.unhealthy(Millis(3_010), STALE), Some(Cause::Timeout));
    assert_eq!(
        checks.answered(Millis(3_500), Millis(2_500), ""),
        None,
        "it began before the check"
    );
    let change = checks.answered(Millis(4_000), Millis(3_600), "").unwrap();
    assert!(change.by_traffic && change.to == Status::Healthy);
    assert_eq!(checks.unhealthy(Millis(4_000), STALE), None);
    for _ in 0..5 {
        checks.checked(check(3_900, 5_000, DOWN), true, true);
    }
    assert_eq!(checks.standing(), (Status::Healthy, 0), "those began before the answer");
}

#[test]
fn a_verdict_grows_old_and_each_change_is_told_once() {
    let checks = Checks::default();
    let changes = [1_000, 2_000, 3_000, 4_000]
        .map(|at| checks.checked(check(at, at, NO), true, true).is_some());
    assert_eq!(changes, [false, true, false, false]);
    let at = |ms| checks.unhealthy(Millis(ms), STALE);
    assert_eq!((at(124_000), at(124_001)), (Some(Cause::Auth), None));
    let history = checks.history(Millis(124_001), STALE);
    assert_eq!((history.status, history.changes.len()), (Status::Unchecked, 1));
    assert_eq!(checks.count(), 4);
}

#[test]
fn h10_what_is_remembered_is_bounded() {
    let checks = Checks::default();
    for at in 0..10_000 {
        let finding = if at % 6 < 3 { DOWN } else { UP };
        checks.checked(check(at, at, finding), true, true);
    }
    assert_eq!(checks.history(Millis(10_000), STALE).changes.len(), CHANGES_KEPT);
}

#[test]
fn the_model_that_answered_last_is_remembered() {
    let checks = Checks::default();
    assert_eq!(checks.last_model(), None);
    checks.answered(Millis(1), Millis(0), "gpt-4o");
    checks.answered(Millis(2), Millis(1), "gpt-4o-mini");
    assert_eq!(checks.last_model().as_deref(), Some("gpt-4o-mini"));
}
