use super::*;

use crate::health::event::KEPT;

const STALE: u64 = 120_000;

/// The record of a deployment with the log of its events.
#[derive(Default)]
struct Deployment {
    probes: ProbeRecord,
    log: EventLog,
}

impl std::ops::Deref for Deployment {
    type Target = ProbeRecord;

    fn deref(&self) -> &ProbeRecord {
        &self.probes
    }
}

impl Deployment {
    fn probed(&self, probe: ProbeResult, failures: FailureCount) -> Option<HealthEvent> {
        self.probes.probed(&Arc::new(probe), failures, &self.log)
    }

    /// A background probe.
    fn checked(&self, probe: ProbeResult) -> Option<HealthEvent> {
        self.probed(probe, FailureCount::WhenConfirmed)
    }

    fn answered(&self, now: u64, started: u64, model: &str) -> Option<HealthEvent> {
        self.probes.answered(Millis(now), Millis(started), model, &self.log)
    }

    fn grow_old(&self, now: u64) -> Option<HealthEvent> {
        self.probes.grow_old(Millis(now), STALE, &self.log)
    }
}

fn check(started: u64, ended: u64, finding: Finding) -> ProbeResult {
    ProbeResult {
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

/// Applies probes one second apart and returns the status after the last one.
fn after(findings: &[Finding]) -> Status {
    let checks = Deployment::default();
    for (i, finding) in findings.iter().enumerate() {
        let at = 1_000 * (i as u64 + 1);
        checks.checked(check(at, at + 10, *finding));
    }
    checks.standing().0
}

const DOWN: Finding = Finding::Failing(Cause::Timeout);
const NO: Finding = Finding::Failing(Cause::Auth);
const UP: Finding = Finding::Healthy;

#[test]
fn one_lost_probe_is_not_a_verdict_and_three_in_a_row_are() {
    // Requirement H12.
    assert_eq!(after(&[UP, DOWN, UP, DOWN, UP, DOWN]), Status::Healthy);
    assert_eq!(after(&[UP, DOWN, DOWN]), Status::Healthy);
    assert_eq!(after(&[UP, DOWN, DOWN, DOWN]), Status::Unhealthy(Cause::Timeout));
    assert_eq!(after(&[DOWN, DOWN, DOWN, UP]), Status::Healthy);
    assert_eq!(after(&[DOWN, DOWN]), Status::Unprobed);
}

#[test]
fn failures_in_a_row_are_counted_whatever_time_lies_between() {
    // Requirement H13.
    let checks = Deployment::default();
    for at in [1_000, 30_001_000] {
        checks.checked(check(at, at + 10, NO));
    }
    assert_eq!(checks.standing(), (Status::Unhealthy(Cause::Auth), 2));
}

#[test]
fn a_finding_that_is_not_a_failure_changes_no_count() {
    assert_eq!(after(&[UP, DOWN, Finding::ProbeError, DOWN]), Status::Healthy);
    assert_eq!(after(&[UP, Finding::ProbeError]), Status::Healthy);
    assert_eq!(after(&[NO, NO, Finding::RateLimited(None)]), Status::RateLimited);
    let wrong = Finding::Unknown(Doubt::WrongMode);
    assert_eq!(after(&[UP, wrong]), Status::Unknown(Doubt::WrongMode));
    let checks = Deployment::default();
    for at in [1, 2, 3, 4] {
        checks.probed(check(at, at, DOWN), FailureCount::Never);
    }
    assert_eq!(checks.standing(), (Status::Unprobed, 0), "transient errors are ignored");
}

#[test]
fn on_demand_one_failure_is_a_verdict() {
    let checks = Deployment::default();
    let change = checks.probed(check(1, 2, DOWN), FailureCount::AtOnce).unwrap();
    let (from, to) = (Status::Unprobed, Status::Unhealthy(Cause::Timeout));
    assert_eq!((change.from, change.to), (Standing::Probed(from), Standing::Probed(to)));
}

#[test]
fn a_look_clears_only_what_it_can_see() {
    // Requirement H3.
    let look = Finding::Unknown(Doubt::Shallow);
    assert_eq!(after(&[DOWN, DOWN, DOWN, look]), Status::Unhealthy(Cause::Timeout));
    let refused = Finding::Failing(Cause::Connect);
    assert_eq!(after(&[refused, refused, refused, look]), Status::Unknown(Doubt::Shallow));
    assert_eq!(after(&[UP, look]), Status::Healthy, "it grows old by itself");
}

#[test]
fn a_good_answer_to_traffic_ends_a_verdict_and_outranks_a_late_failure() {
    let checks = Deployment::default();
    for at in [1_000, 2_000, 3_000] {
        checks.checked(check(at, at + 10, DOWN));
    }
    assert_eq!(checks.unhealthy(Millis(3_010), STALE), Some(Cause::Timeout));
    assert_eq!(checks.answered(3_500, 2_500, ""), None, "it began before the check");
    let change = checks.answered(4_000, 3_600, "").unwrap();
    assert!(change.source == Source::Traffic && change.to == Standing::Probed(Status::Healthy));
    assert_eq!(checks.unhealthy(Millis(4_000), STALE), None);
    for _ in 0..5 {
        checks.checked(check(3_900, 5_000, DOWN));
    }
    assert_eq!(checks.standing(), (Status::Healthy, 0), "those began before the answer");
}

#[test]
fn a_verdict_ages_out_and_each_change_is_reported_once() {
    let checks = Deployment::default();
    let changes =
        [1_000, 2_000, 3_000, 4_000].map(|at| checks.checked(check(at, at, NO)).is_some());
    assert_eq!(changes, [false, true, false, false]);
    let at = |ms| checks.unhealthy(Millis(ms), STALE);
    assert_eq!((at(124_000), at(124_001)), (Some(Cause::Auth), None));
    let history = checks.history(Millis(124_001), STALE);
    assert_eq!((history.status, checks.log.all().len()), (Status::Unprobed, 1));
    assert_eq!(checks.count(), 4);
}

#[test]
fn of_a_million_results_the_last_changes_are_remembered_and_the_verdict_reads_none_of_them() {
    // Requirement H10.
    let checks = Deployment::default();
    for at in 0..1_000_000 {
        let finding = if at % 6 < 3 { DOWN } else { UP };
        checks.checked(check(at, at, finding));
    }
    assert_eq!(checks.log.all().len(), KEPT);
    assert_eq!((checks.count(), checks.log.count()), (1_000_000, 333_334));
    // Selection does not wait for a writer.
    let _writing = checks.inner.lock();
    assert_eq!(checks.unhealthy(Millis(1_000_000), STALE), None);
}

#[test]
fn every_change_is_an_event_with_its_source_and_cause() {
    let checks = Deployment::default();
    let told = |event: Option<HealthEvent>| {
        let HealthEvent { from, to, cause, source, .. } = event.unwrap();
        (from.name(), to.name(), cause, source)
    };
    let by_traffic = checks.answered(10, 5, "");
    assert_eq!(told(by_traffic), ("unchecked", "healthy", None, Source::Traffic));
    assert_eq!(checks.answered(20, 15, ""), None, "no news");
    checks.checked(check(30, 31, NO));
    let by_probe = checks.checked(check(40, 41, NO));
    assert_eq!(told(by_probe), ("healthy", "unhealthy", Some("auth"), Source::Probe));
    assert_eq!(checks.grow_old(41 + STALE), None);
    let by_time = checks.grow_old(42 + STALE);
    assert_eq!(told(by_time), ("unhealthy", "unchecked", Some("stale"), Source::Time));
    assert_eq!(checks.grow_old(43 + STALE), None, "told once");
    let again = checks.checked(check(STALE + 50, STALE + 51, NO));
    let said = ("unchecked", "unhealthy", Some("auth"), Source::Probe);
    assert_eq!(told(again), said, "failures in a row are not forgotten");
    let reset = checks.probes.reset(Millis(STALE + 60), Source::Config, &checks.log);
    assert_eq!(told(reset), ("unhealthy", "unchecked", Some("config_changed"), Source::Config));
    assert_eq!((checks.standing(), checks.is_suspect()), ((Status::Unprobed, 0), false));
    assert_eq!(checks.log.all().len(), 5, "what happened stays known");
    let limited = checks.checked(check(STALE + 70, STALE + 71, Finding::RateLimited(None)));
    assert_eq!(told(limited).1, "rate_limited");
    let late = checks.answered(STALE + 72, STALE + 65, "");
    assert_eq!(late, None, "it began before the refusal");
    let back = checks.answered(STALE + 90, STALE + 80, "");
    assert_eq!(told(back), ("rate_limited", "healthy", None, Source::Traffic));
}

#[test]
fn the_model_that_answered_last_is_remembered() {
    let checks = Deployment::default();
    assert_eq!(checks.last_model(), None);
    checks.answered(1, 0, "gpt-4o");
    checks.answered(2, 1, "gpt-4o-mini");
    assert_eq!(checks.last_model().as_deref(), Some("gpt-4o-mini"));
}

#[test]
fn a_deployment_that_replaces_another_inherits_the_history_and_not_the_verdict() {
    let (before, after) = (Deployment::default(), Deployment::default());
    for at in [1, 2] {
        before.checked(check(at, at, NO));
    }
    let carry = |after: &Deployment, before: &Deployment| {
        let carried = before.log.carried(Standing::Ready, before.standing().0, before.count());
        after.log.carry(&carried);
        after.probes.carry(&carried, Millis(5), &after.log)
    };
    let event = carry(&after, &before).unwrap();
    assert_eq!((event.from.name(), event.to.name()), ("unhealthy", "unchecked"));
    assert_eq!(event.cause, Some("config_changed"));
    assert_eq!((after.standing(), after.is_suspect()), ((Status::Unprobed, 0), false));
    assert_eq!(after.unhealthy(Millis(6), STALE), None);
    assert_eq!((after.log.all().len(), after.log.count(), after.count()), (2, 2, 2));
    assert_eq!(carry(&Deployment::default(), &Deployment::default()), None, "no news");
}

#[test]
fn a_record_that_contradicts_itself_breaks_an_invariant() {
    let checks = Deployment::default();
    for at in [1, 2] {
        checks.checked(check(at, at, NO));
    }
    assert_eq!(checks.check_invariants(), Ok(Status::Unhealthy(Cause::Auth)));
    let word = checks.word.swap(0, Ordering::Relaxed);
    assert!(checks.check_invariants().unwrap_err().contains("the word is the verdict"));
    checks.word.store(word, Ordering::Relaxed);
    checks.settled.store(true, Ordering::Relaxed);
    assert!(checks.check_invariants().unwrap_err().contains("settled means healthy"));
}
