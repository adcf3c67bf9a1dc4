//! The figures that health checks have to reach: verdicts that are false, detection, recovery, cost.

use hale_core::cause::Cause;
use hale_core::deployment::DeploymentIndex;
use hale_core::health::check::{Checked, Finding, Schedule, Start, Status, Subject};
use hale_core::snapshot::Snapshot;
use hale_core::time::Millis;

use crate::world::{Chance, snapshot};

/// How long a check of something that answers takes, milliseconds.
const ANSWERS_MS: u64 = 300;
/// How long a check waits for something that does not, milliseconds.
const PATIENCE_MS: u64 = 60_000;
const HOUR_MS: u64 = 3_600_000;

/// What a deployment does at a moment.
type Life<'l> = &'l dyn Fn(u32, u64) -> Doing;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Doing {
    Works,
    Refuses,
    IsSilent,
}

/// One change of a verdict: when, of whom, to what.
type Verdicts = Vec<(u64, u32, Status)>;

struct Run {
    verdicts: Verdicts,
    most_under_way: u32,
    paid: u64,
}

/// Runs checks for `until` milliseconds; of those of something that works so many of a thousand are lost.
fn run(
    snapshot: &Snapshot,
    seed: u64,
    lost: u64,
    until: u64,
    nano_usd: u64,
    life: Life<'_>,
) -> Run {
    let mut chance = Chance::new(seed);
    let subject = |index: DeploymentIndex| Subject {
        id: snapshot.deployment(index).id.clone(),
        members: vec![index],
        place: index.0.into(),
        upstream: index.0.into(),
        credential: index.0.into(),
        nano_usd,
        budget_nano_usd: None,
    };
    let subjects = snapshot.deployments.iter().map(|one| subject(one.index)).collect();
    let mut schedule = Schedule::default();
    let phases = seed;
    schedule.plan(Millis(0), subjects, snapshot, |id| {
        Chance::new(id.bytes().fold(phases, |all, byte| all.wrapping_mul(31) + u64::from(byte)))
            .next()
    });
    let mut under_way: Vec<(u64, u64, Start, Finding)> = Vec::new();
    let mut result = Run { verdicts: Vec::new(), most_under_way: 0, paid: 0 };
    let mut now = 0;
    while now < until {
        while let Some(at) = under_way.iter().position(|(ends, ..)| *ends <= now) {
            let (ended, started, start, finding) = under_way.swap_remove(at);
            let checked = Checked {
                started: Millis(started),
                ended: Millis(ended),
                finding,
                cause: None,
                status: None,
                obstacle: None,
                message: Box::default(),
                model: Box::default(),
                headers: Vec::new(),
            };
            for index in &start.subject.members {
                let checks = snapshot.deployment(*index).state.checks();
                if let Some(change) = checks.checked(checked.clone(), true, true) {
                    result.verdicts.push((now, index.0, change.to));
                }
            }
            schedule.ended(Millis(now), snapshot, &start.subject, finding, chance.next());
        }
        for start in schedule.start(Millis(now), snapshot, || chance.next()) {
            let index = start.subject.members[0].0;
            result.paid += u64::from(!start.free_only);
            let doing = match life(index, now) {
                Doing::Works if chance.below(1_000) < lost => Doing::IsSilent,
                doing => doing,
            };
            let (takes, finding) = match doing {
                Doing::Works => (ANSWERS_MS, Finding::Healthy),
                Doing::Refuses => (1, Finding::Failing(Cause::Connect)),
                Doing::IsSilent => (PATIENCE_MS, Finding::Failing(Cause::Timeout)),
            };
            under_way.push((now + takes, now, start, finding));
        }
        result.most_under_way = result.most_under_way.max(schedule.under_way());
        let next = under_way.iter().map(|one| one.0).min().unwrap_or(u64::MAX);
        now = next.min(schedule.wake(Millis(now)).0).max(now + 1);
    }
    result
}

fn world(count: usize, interval_s: u64) -> Snapshot {
    let mut snapshot = snapshot(&[("g", count)], "");
    snapshot.checks.background = true;
    snapshot.checks.interval_ms = interval_s * 1_000;
    snapshot
}

fn fell(verdicts: &Verdicts) -> impl Iterator<Item = &(u64, u32, Status)> {
    verdicts.iter().filter(|(_, _, to)| matches!(to, Status::Unhealthy(_)))
}

#[test]
fn two_percent_of_lost_checks_make_less_than_one_false_verdict_in_a_thousand_hours() {
    for (interval_s, seed) in [(60, 1), (60, 2), (300, 3)] {
        let snapshot = world(20, interval_s);
        let hours = 250;
        let run = run(&snapshot, seed, 20, hours * HOUR_MS, 0, &|_, _| Doing::Works);
        let falls = fell(&run.verdicts).count() as u64;
        let deployment_hours = 20 * hours;
        println!(
            "interval {interval_s} s, seed {seed}: {falls} in {deployment_hours} deployment-hours"
        );
        assert!(falls * 1_000 < deployment_hours, "seed {seed}: {falls}");
    }
}

/// Of twenty deployments every fourth one stops at a moment of its own and comes back one hour later.
fn outage(doing: Doing, interval_s: u64, seed: u64) -> (Vec<u64>, Vec<u64>) {
    let snapshot = world(20, interval_s);
    let stops =
        |index: u32| HOUR_MS + Chance::new(seed + u64::from(index)).below(interval_s * 1_000);
    let life = |index: u32, now: u64| {
        let stop = stops(index);
        let down = index.is_multiple_of(4) && (stop..stop + HOUR_MS).contains(&now);
        if down { doing } else { Doing::Works }
    };
    let run = run(&snapshot, seed, 0, 4 * HOUR_MS, 0, &life);
    let (mut seen, mut back) = (Vec::new(), Vec::new());
    for index in (0..20).step_by(4) {
        let own = run.verdicts.iter().filter(|one| one.1 == index);
        let fell = fell(&run.verdicts).find(|one| one.1 == index).expect("it is seen").0;
        seen.push(fell - stops(index));
        let rose = own.clone().find(|one| one.0 > fell && one.2 == Status::Healthy);
        back.push(rose.expect("it is seen to be back").0.saturating_sub(stops(index) + HOUR_MS));
    }
    (seen, back)
}

#[test]
fn a_stop_without_traffic_is_seen_within_an_interval_and_five_seconds() {
    for interval_s in [30, 60, 300] {
        for seed in 0..4 {
            let (seen, back) = outage(Doing::Refuses, interval_s, seed);
            let (seen, back) = (seen.into_iter().max().unwrap(), back.into_iter().max().unwrap());
            assert!(
                seen <= interval_s * 1_000 + 5_000,
                "interval {interval_s}, seed {seed}: {seen}"
            );
            assert!(
                back <= interval_s * 1_000 + 1_000,
                "interval {interval_s}, seed {seed}: {back}"
            );
        }
    }
}

#[test]
fn silence_is_seen_within_an_interval_five_seconds_and_the_checks_own_time() {
    for seed in 0..4 {
        let (seen, back) = outage(Doing::IsSilent, 60, seed);
        let limit = 65_000 + 3 * PATIENCE_MS;
        assert!(seen.iter().all(|ms| *ms <= limit), "seed {seed}: {seen:?}");
        // A check that began before the end of the outage has to wait for its own.
        assert!(back.iter().all(|ms| *ms <= 61_000 + PATIENCE_MS), "seed {seed}: {back:?}");
    }
}

#[test]
fn i13_paid_checks_stay_within_the_budget_and_places_are_never_exceeded() {
    for seed in 0..2 {
        let mut snapshot = world(50, 30);
        // A thousand checks a day, and there would be 144,000.
        snapshot.checks.daily_budget_usd = Some(1e-3);
        let silent = |index: u32, _| {
            if index.is_multiple_of(2) { Doing::IsSilent } else { Doing::Works }
        };
        let run = run(&snapshot, seed, 20, 6 * HOUR_MS, 1_000, &silent);
        assert!(run.paid <= 1_000, "seed {seed}: {}", run.paid);
        assert!(run.most_under_way <= 16, "seed {seed}: {}", run.most_under_way);
    }
}

#[test]
fn i12_everybody_is_checked_again_however_many_are_silent() {
    let snapshot = world(100, 60);
    let heals = |index: u32, now: u64| match index {
        0..50 if now < 2 * HOUR_MS => Doing::IsSilent,
        _ => Doing::Works,
    };
    run(&snapshot, 11, 0, 5 * HOUR_MS, 0, &heals);
    let well = |one: &std::sync::Arc<hale_core::deployment::Deployment>| {
        one.state.checks().standing().0 == Status::Healthy
    };
    assert!(snapshot.deployments.iter().all(well));
}
