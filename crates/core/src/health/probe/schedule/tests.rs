use super::*;
use crate::cause::Cause;
use crate::health::probe::ProbeResult;
use crate::health::{AttemptRef, FailureCount, HalfOpen, HealthSubject, Measured, Source};
use crate::route::route_plan::fixture::snapshot_of;

const INTERVAL: u64 = 60_000;

fn world(count: usize) -> Snapshot {
    let mut snapshot = snapshot_of(&vec![1.0; count]);
    snapshot.probing.interval_ms = INTERVAL;
    snapshot.probing.background = true;
    snapshot
}

fn subjects(snapshot: &Snapshot) -> Vec<Subject> {
    let subject = |index: DeploymentIndex| Subject {
        id: snapshot.deployment(index).id.clone(),
        members: vec![index],
        place: index.0.into(),
        phase: 0,
        upstream: index.0.into(),
        credential: index.0.into(),
        nano_usd: 0,
        budget_nano_usd: None,
    };
    snapshot.deployments.iter().map(|one| subject(one.index)).collect()
}

/// A schedule and its limits.
#[derive(Default)]
struct Plan {
    schedule: Schedule,
    limits: ProbeLimits,
}

impl Plan {
    fn plan(&mut self, at: u64, subjects: Vec<Subject>, snapshot: &Snapshot) -> Vec<HealthEvent> {
        self.schedule.plan(Millis(at), subjects, snapshot, &mut self.limits)
    }

    fn wake(&self, at: u64) -> Millis {
        self.schedule.wake(Millis(at))
    }

    fn under_way(&self) -> u32 {
        self.schedule.under_way()
    }
}

fn planned(snapshot: &Snapshot, subjects: Vec<Subject>) -> Plan {
    let mut plan = Plan::default();
    plan.plan(0, subjects, snapshot);
    plan
}

fn end(plan: &mut Plan, snapshot: &Snapshot, start: &Start, at: u64, finding: Finding) {
    for index in &start.subject.members {
        let probe = Arc::new(ProbeResult {
            started: Millis(at),
            ended: Millis(at),
            finding,
            cause: None,
            status: None,
            obstacle: None,
            message: Box::default(),
            model: Box::default(),
            headers: Vec::new(),
        });
        let failures = FailureCount::WhenConfirmed;
        let evidence = Evidence::Probed { probe: &probe, failures };
        snapshot.deployment(*index).apply(Millis(at), &evidence);
    }
    ended(plan, snapshot, &start.subject, at, finding);
}

/// The first deployment gave traffic a good answer.
fn answered(snapshot: &Snapshot, at: u64) {
    let attempt = AttemptRef { started: Millis(at), request: 1, half_open: HalfOpen::NONE };
    let evidence = Evidence::Succeeded { attempt, measured: Measured::default(), model: "" };
    snapshot.deployments[0].apply(Millis(at), &evidence);
}

fn ended(plan: &mut Plan, snapshot: &Snapshot, subject: &Subject, at: u64, finding: Finding) {
    let ended = Ended { subject, finding, chance: 0 };
    plan.schedule.ended(Millis(at), &ended, snapshot, &mut plan.limits);
}

fn start_all(plan: &mut Plan, snapshot: &Snapshot, at: u64) -> Vec<Start> {
    plan.schedule.start(Millis(at), snapshot, &mut plan.limits)
}

#[test]
fn places_are_bounded_in_all_and_at_one_upstream() {
    // Requirement H8.
    let snapshot = world(100);
    let mut schedule = planned(&snapshot, subjects(&snapshot));
    assert_eq!(start_all(&mut schedule, &snapshot, 0).len(), 16);
    assert!(start_all(&mut schedule, &snapshot, 1).is_empty());
    let mut same_host = subjects(&snapshot);
    same_host.iter_mut().for_each(|subject| subject.upstream = 7);
    let mut schedule = planned(&snapshot, same_host);
    let first = start_all(&mut schedule, &snapshot, 0);
    assert_eq!(first.len(), 2);
    end(&mut schedule, &snapshot, &first[0], 5, Finding::Healthy);
    assert_eq!(start_all(&mut schedule, &snapshot, 5).len(), 1);
}

#[test]
fn those_that_fail_leave_half_of_the_places_to_others() {
    let snapshot = world(40);
    let mut schedule = planned(&snapshot, subjects(&snapshot));
    let mut now = 0;
    let mut failing = 0;
    // Half of them hang: they fail again and again.
    for _ in 0..200 {
        now += 1_000;
        for start in start_all(&mut schedule, &snapshot, now) {
            let hangs = start.subject.members[0].0 % 2 == 0;
            let finding = if hangs { Finding::Failing(Cause::Timeout) } else { Finding::Healthy };
            failing += u32::from(hangs);
            if !hangs || failing < 60 {
                end(&mut schedule, &snapshot, &start, now, finding);
            }
        }
    }
    // From some moment on no probe of a failing one ends.
    assert_eq!(schedule.under_way(), 8);
}

#[test]
fn a_first_failure_is_repeated_soon_and_an_unhealthy_one_more_and_more_rarely() {
    let snapshot = world(1);
    let mut schedule = planned(&snapshot, subjects(&snapshot));
    let mut now = 0;
    let mut gaps = Vec::new();
    for _ in 0..9 {
        let starts = start_all(&mut schedule, &snapshot, now);
        end(&mut schedule, &snapshot, &starts[0], now, Finding::Failing(Cause::Timeout));
        let next = schedule.wake(now).0;
        gaps.push(next - now);
        now = next;
    }
    let expected = [1_000, 3_000, 5_000, 10_000, 20_000, 40_000, 60_000, 60_000, 60_000];
    assert_eq!(gaps, expected, "never slower than the interval");
    let starts = start_all(&mut schedule, &snapshot, now);
    end(&mut schedule, &snapshot, &starts[0], now, Finding::Healthy);
    assert!(schedule.wake(now).0 - now >= INTERVAL / 10);
}

#[test]
fn a_credential_that_is_rate_limited_is_left_alone() {
    // Requirement H14.
    let snapshot = world(2);
    let mut both = subjects(&snapshot);
    both[1].credential = both[0].credential;
    let mut schedule = planned(&snapshot, both);
    schedule.schedule.settings.concurrency = 1;
    let starts = start_all(&mut schedule, &snapshot, 0);
    end(&mut schedule, &snapshot, &starts[0], 10, Finding::RateLimited(Some(60_000)));
    assert!(start_all(&mut schedule, &snapshot, 59_000).is_empty());
    assert_eq!(schedule.wake(59_000), Millis(60_010));
    assert_eq!(start_all(&mut schedule, &snapshot, 60_010).len(), 1);
}

#[test]
fn a_deployment_that_traffic_proved_healthy_is_not_probed() {
    // Requirement H2.
    let snapshot = world(1);
    let mut schedule = planned(&snapshot, subjects(&snapshot));
    for second in 0..600_u64 {
        answered(&snapshot, second * 1_000);
        assert!(start_all(&mut schedule, &snapshot, second * 1_000).is_empty(), "{second}");
    }
    // Traffic ends, and one interval later there is a probe.
    let due = 599_000 + INTERVAL;
    assert!(start_all(&mut schedule, &snapshot, due - 1).is_empty());
    assert_eq!(start_all(&mut schedule, &snapshot, due).len(), 1);
}

#[test]
fn when_traffic_ends_the_probe_comes_an_interval_after_its_last_answer() {
    // Invariant I10.
    let snapshot = world(1);
    let mut schedule = planned(&snapshot, subjects(&snapshot));
    answered(&snapshot, 0);
    assert!(start_all(&mut schedule, &snapshot, 0).is_empty());
    // The last answer comes soon after the schedule was asked.
    answered(&snapshot, 1_000);
    assert!(start_all(&mut schedule, &snapshot, INTERVAL).is_empty());
    assert_eq!(schedule.wake(INTERVAL), Millis(1_000 + INTERVAL));
    assert_eq!(start_all(&mut schedule, &snapshot, 1_000 + INTERVAL).len(), 1);
}

#[test]
fn beyond_the_budget_only_free_probes_are_sent() {
    // Requirement H2.
    let mut snapshot = world(2);
    snapshot.probing.daily_budget_usd = Some(5e-9);
    let mut paid = subjects(&snapshot);
    paid.iter_mut().for_each(|subject| subject.nano_usd = 2);
    paid[1].budget_nano_usd = Some(0);
    let mut schedule = planned(&snapshot, paid);
    let (mut paid_for, mut free) = (0, 0);
    let mut at = |schedule: &mut Plan, now| {
        for start in start_all(schedule, &snapshot, now) {
            assert!(start.free_only || &*start.subject.id == "g-0", "its own budget is nothing");
            *if start.free_only { &mut free } else { &mut paid_for } += 1;
            end(schedule, &snapshot, &start, now, Finding::Healthy);
        }
    };
    for minute in 0..600 {
        at(&mut schedule, minute * 60_000);
    }
    assert_eq!(schedule.limits.ledger.spent(), 4);
    for minute in 0..60 {
        at(&mut schedule, 86_400_000 + minute * 60_000);
    }
    assert_eq!(paid_for, 4, "two a day");
    assert!(free > 1_000, "{free}");
}

#[test]
fn a_removed_deployment_is_not_probed_and_the_others_keep_their_due_times() {
    // Requirement H15.
    let snapshot = world(3);
    let mut schedule = planned(&snapshot, subjects(&snapshot));
    let starts = start_all(&mut schedule, &snapshot, 0);
    for start in &starts[..2] {
        end(&mut schedule, &snapshot, start, 0, Finding::Healthy);
    }
    let due = schedule.wake(0);
    let mut fewer = subjects(&snapshot);
    fewer.truncate(1);
    schedule.plan(1_000, fewer, &snapshot);
    assert_eq!(schedule.wake(1_000), due);
    // A probe of a removed deployment ends; its place is free again.
    end(&mut schedule, &snapshot, &starts[2], 2_000, Finding::Healthy);
    assert_eq!(schedule.under_way(), 0);
    let later = start_all(&mut schedule, &snapshot, 10 * INTERVAL);
    assert_eq!(later.iter().map(|one| &*one.subject.id).collect::<Vec<_>>(), ["g-0"]);
}

#[test]
fn each_deployment_has_a_phase_of_its_own_and_the_period_is_not_a_pause() {
    let snapshot = world(10);
    let mut spread = subjects(&snapshot);
    for subject in &mut spread {
        subject.phase = u64::from(subject.id.as_bytes()[2] - b'0') * (u64::MAX / 10);
    }
    let mut schedule = planned(&snapshot, spread);
    let first = start_all(&mut schedule, &snapshot, 0);
    assert_eq!(first.len(), 1, "not all at once");
    // A probe that takes half of the interval does not make it longer.
    end(&mut schedule, &snapshot, &first[0], 0, Finding::Healthy);
    let due = schedule.schedule.entries[0].due.0;
    let mut at = due;
    for _ in 0..5 {
        let start = start_all(&mut schedule, &snapshot, at);
        let own = start.iter().find(|one| &*one.subject.id == "g-0").unwrap();
        end(&mut schedule, &snapshot, own, at + INTERVAL / 2, Finding::Healthy);
        assert_eq!(schedule.schedule.entries[0].due.0, at + INTERVAL);
        at += INTERVAL;
    }
}

#[test]
fn another_credential_is_another_deployment() {
    let snapshot = world(1);
    let mut schedule = planned(&snapshot, subjects(&snapshot));
    for at in [0, 1_000] {
        let starts = start_all(&mut schedule, &snapshot, at);
        end(&mut schedule, &snapshot, &starts[0], at, Finding::Failing(Cause::Auth));
    }
    let checks = snapshot.deployments[0].state.probes();
    assert_eq!(checks.standing().0, Status::Unhealthy(Cause::Auth));
    schedule.plan(2_000, subjects(&snapshot), &snapshot);
    assert_eq!(checks.standing().0, Status::Unhealthy(Cause::Auth), "the same as before");
    let mut changed = subjects(&snapshot);
    changed[0].place += 1;
    schedule.plan(3_000, changed, &snapshot);
    assert_eq!(checks.standing(), (Status::Unprobed, 0));
    assert_eq!(start_all(&mut schedule, &snapshot, 3_000).len(), 1, "and checked soon");
}

#[test]
fn a_restarted_loop_knows_what_was_spent_and_which_credentials_are_on_hold() {
    // Invariant I13.
    let mut snapshot = world(1);
    snapshot.probing.daily_budget_usd = Some(5e-9);
    let mut paid = subjects(&snapshot);
    paid[0].nano_usd = 2;
    let mut limits = ProbeLimits::default();
    let mut count = 0;
    for life in 0..10 {
        let mut schedule = Plan { limits, ..Plan::default() };
        schedule.plan(life, paid.clone(), &snapshot);
        let starts = start_all(&mut schedule, &snapshot, life);
        count += starts.iter().filter(|start| !start.free_only).count();
        limits = schedule.limits;
    }
    assert_eq!(count, 2, "as many as the budget has, however often the loop fails");
    let mut schedule = Plan { limits, ..Plan::default() };
    schedule.plan(20, paid.clone(), &snapshot);
    let starts = start_all(&mut schedule, &snapshot, 20);
    end(&mut schedule, &snapshot, &starts[0], 20, Finding::RateLimited(Some(60_000)));
    let mut schedule = Plan { limits: schedule.limits, ..Plan::default() };
    schedule.plan(30, paid, &snapshot);
    assert!(start_all(&mut schedule, &snapshot, 30).is_empty());
}

#[test]
fn a_member_that_leaves_its_probe_group_is_another_deployment() {
    let snapshot = world(2);
    let mut merged = subjects(&snapshot);
    let second = merged.pop().unwrap();
    merged[0].members.push(second.members[0]);
    let mut schedule = planned(&snapshot, merged);
    for at in [0, 1_000] {
        let starts = start_all(&mut schedule, &snapshot, at);
        assert_eq!(starts.len(), 1, "one check for both");
        end(&mut schedule, &snapshot, &starts[0], at, Finding::Failing(Cause::Auth));
    }
    let status = |index: usize| snapshot.deployments[index].state.probes().standing().0;
    assert_eq!((status(0), status(1)), (Status::Unhealthy(Cause::Auth), status(0)));
    let void = schedule.plan(2_000, subjects(&snapshot), &snapshot);
    assert_eq!((status(0), status(1)), (Status::Unhealthy(Cause::Auth), Status::Unprobed));
    assert_eq!(void.len(), 1);
    let second = HealthSubject::Deployment(snapshot.deployments[1].id.clone());
    assert_eq!((&void[0].subject, void[0].source), (&second, Source::Config));
}

#[test]
fn a_probe_begun_with_another_credential_does_not_end_the_running_one() {
    let snapshot = world(1);
    let mut schedule = planned(&snapshot, subjects(&snapshot));
    let old = start_all(&mut schedule, &snapshot, 0);
    let mut changed = subjects(&snapshot);
    changed[0].place += 1;
    schedule.plan(1_000, changed, &snapshot);
    let new = start_all(&mut schedule, &snapshot, 1_000);
    assert_eq!(new.len(), 1);
    ended(&mut schedule, &snapshot, &old[0].subject, 2_000, Finding::Healthy);
    assert!(start_all(&mut schedule, &snapshot, 10 * INTERVAL).is_empty(), "one at a time");
    assert_eq!(schedule.under_way(), 1);
    end(&mut schedule, &snapshot, &new[0], 3_000, Finding::Healthy);
    assert_eq!(schedule.under_way(), 0);
}

#[test]
fn a_plan_that_counts_wrong_breaks_an_invariant() {
    let snapshot = world(3);
    let mut plan = planned(&snapshot, subjects(&snapshot));
    start_all(&mut plan, &snapshot, 0);
    assert_eq!(plan.schedule.check_invariants(), Ok(()));
    plan.schedule.under_way -= 1;
    let broken = plan.schedule.check_invariants().unwrap_err();
    assert!(broken.contains("each probe in flight is at an upstream"), "{broken}");
}
