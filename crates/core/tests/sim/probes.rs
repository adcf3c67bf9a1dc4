//! The figures that probes must reach: false verdicts, detection, recovery, cost.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use hale_core::cause::Cause;
use hale_core::deployment::DeploymentIndex;
use hale_core::health::probe::{
    Ended, Finding, ProbeLimits, ProbeResult, Schedule, Start, Status, Subject,
};
use hale_core::health::{AttemptRef, Evidence, FailureCount, HalfOpen, Measured, Standing};
use hale_core::snapshot::Snapshot;
use hale_core::time::Millis;

use crate::world::{Chance, snapshot};

/// Duration of a probe at something that answers, milliseconds.
const ANSWERS_MS: u64 = 300;
/// Duration of a probe at something that does not answer, milliseconds.
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

/// One change of a verdict: when, of which deployment, to what.
type Verdicts = Vec<(u64, u32, Status)>;

struct Run {
    verdicts: Verdicts,
    most_under_way: u32,
    paid: u64,
    /// When each probe began.
    starts: Vec<u64>,
}

/// One scenario.
#[derive(Clone, Copy)]
struct Scenario {
    /// How many of a thousand probes at a working deployment are lost.
    lost: u64,
    /// When it ends, milliseconds.
    until: u64,
    /// What a probe costs.
    nano_usd: u64,
}

/// Runs the probes of one scenario.
fn run(snapshot: &Snapshot, seed: u64, scenario: Scenario, life: Life<'_>) -> Run {
    let Scenario { lost, until, nano_usd } = scenario;
    let mut chance = Chance::new(seed);
    let phase = |id: &str| {
        let seed = id.bytes().fold(seed, |all, byte| all.wrapping_mul(31) + u64::from(byte));
        Chance::new(seed).next()
    };
    let subject = |index: DeploymentIndex| Subject {
        id: snapshot.deployment(index).id.clone(),
        members: vec![index],
        place: index.0.into(),
        phase: phase(&snapshot.deployment(index).id),
        upstream: index.0.into(),
        credential: index.0.into(),
        nano_usd,
        budget_nano_usd: None,
    };
    let subjects = snapshot.deployments.iter().map(|one| subject(one.index)).collect();
    let (mut schedule, mut limits) = (Schedule::default(), ProbeLimits::default());
    schedule.plan(Millis(0), subjects, snapshot, &mut limits);
    let mut under_way: Vec<(u64, u64, Start, Finding)> = Vec::new();
    let mut result = Run { verdicts: Vec::new(), most_under_way: 0, paid: 0, starts: Vec::new() };
    let mut now = 0;
    while now < until {
        while let Some(at) = under_way.iter().position(|(ends, ..)| *ends <= now) {
            let (ended, started, start, finding) = under_way.swap_remove(at);
            let probe = Arc::new(ProbeResult {
                started: Millis(started),
                ended: Millis(ended),
                finding,
                cause: None,
                status: None,
                obstacle: None,
                message: Box::default(),
                model: Box::default(),
                headers: Vec::new(),
            });
            for index in &start.subject.members {
                let deployment = snapshot.deployment(*index);
                let failures = FailureCount::WhenConfirmed;
                let evidence = Evidence::Probed { probe: &probe, failures };
                for event in deployment.apply(Millis(now), &evidence) {
                    let Standing::Probed(to) = event.to else { continue };
                    result.verdicts.push((now, index.0, to));
                }
                assert_eq!(deployment.check_invariants(), Ok(()));
            }
            let ended = Ended { subject: &start.subject, finding, chance: chance.next() };
            schedule.ended(Millis(now), &ended, snapshot, &mut limits);
            assert_eq!(schedule.check_invariants(), Ok(()));
        }
        for start in schedule.start(Millis(now), snapshot, &mut limits) {
            let index = start.subject.members[0].0;
            result.paid += u64::from(!start.free_only);
            result.starts.push(now);
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
    snapshot.probing.background = true;
    snapshot.probing.interval_ms = interval_s * 1_000;
    snapshot
}

fn fell(verdicts: &Verdicts) -> impl Iterator<Item = &(u64, u32, Status)> {
    verdicts.iter().filter(|(_, _, to)| matches!(to, Status::Unhealthy(_)))
}

#[test]
fn two_percent_of_lost_probes_make_less_than_one_false_verdict_in_a_thousand_hours() {
    for (interval_s, seed) in [(60, 1), (60, 2), (300, 3)] {
        let snapshot = world(20, interval_s);
        let hours = 250;
        let run = run(
            &snapshot,
            seed,
            Scenario { lost: 20, until: hours * HOUR_MS, nano_usd: 0 },
            &|_, _| Doing::Works,
        );
        let falls = fell(&run.verdicts).count() as u64;
        let deployment_hours = 20 * hours;
        println!(
            "interval {interval_s} s, seed {seed}: {falls} in {deployment_hours} deployment-hours"
        );
        assert!(falls * 1_000 < deployment_hours, "seed {seed}: {falls}");
    }
}

#[test]
fn one_lost_probe_never_moves_traffic() {
    let all = Cell::new(0);
    for seed in 0..20 {
        let interval_s = 5 + Chance::new(seed).below(300);
        let snapshot = world(20, interval_s);
        let counts = RefCell::new([0_u32; 20]);
        let life = |index: u32, _| {
            let count = &mut counts.borrow_mut()[index as usize];
            *count += 1;
            // Never two in a row: the repeated probe gets its answer.
            if !count.is_multiple_of(8) {
                return Doing::Works;
            }
            all.set(all.get() + 1);
            if seed.is_multiple_of(2) { Doing::IsSilent } else { Doing::Refuses }
        };
        let run = run(
            &snapshot,
            seed,
            Scenario { lost: 0, until: 200 * interval_s * 1_000, nano_usd: 0 },
            &life,
        );
        let first: Vec<_> = run.verdicts.iter().map(|one| one.2).collect();
        assert_eq!(first, [Status::Healthy; 20], "seed {seed}: found well once, and left so");
    }
    println!("{} lost checks, each alone, changed nothing", all.get());
    assert!(all.get() > 5_000, "{}", all.get());
}

/// Every fourth of twenty deployments stops at its own moment and returns one hour later.
fn outage(doing: Doing, interval_s: u64, seed: u64) -> (Vec<u64>, Vec<u64>) {
    let snapshot = world(20, interval_s);
    let stops =
        |index: u32| HOUR_MS + Chance::new(seed + u64::from(index)).below(interval_s * 1_000);
    let life = |index: u32, now: u64| {
        let stop = stops(index);
        let down = index.is_multiple_of(4) && (stop..stop + HOUR_MS).contains(&now);
        if down { doing } else { Doing::Works }
    };
    let run = run(&snapshot, seed, Scenario { lost: 0, until: 4 * HOUR_MS, nano_usd: 0 }, &life);
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
fn silence_is_found_within_an_interval_five_seconds_and_the_probes_own_time() {
    for seed in 0..4 {
        let (seen, back) = outage(Doing::IsSilent, 60, seed);
        let limit = 65_000 + 3 * PATIENCE_MS;
        assert!(seen.iter().all(|ms| *ms <= limit), "seed {seed}: {seen:?}");
        // A probe that began before the end of the outage must time out first.
        assert!(back.iter().all(|ms| *ms <= 61_000 + PATIENCE_MS), "seed {seed}: {back:?}");
    }
}

#[test]
fn paid_probes_stay_within_the_budget_and_places_are_never_exceeded() {
    // Invariant I13.
    for seed in 0..2 {
        let mut snapshot = world(50, 30);
        // A thousand probes a day instead of 144,000.
        snapshot.probing.daily_budget_usd = Some(1e-3);
        let silent = |index: u32, _| {
            if index.is_multiple_of(2) { Doing::IsSilent } else { Doing::Works }
        };
        let run = run(
            &snapshot,
            seed,
            Scenario { lost: 20, until: 6 * HOUR_MS, nano_usd: 1_000 },
            &silent,
        );
        assert!(run.paid <= 1_000, "seed {seed}: {}", run.paid);
        assert!(run.most_under_way <= 16, "seed {seed}: {}", run.most_under_way);
    }
}

#[test]
fn every_deployment_is_probed_again_however_many_are_silent() {
    // Invariant I12.
    let snapshot = world(100, 60);
    let heals = |index: u32, now: u64| match index {
        0..50 if now < 2 * HOUR_MS => Doing::IsSilent,
        _ => Doing::Works,
    };
    run(&snapshot, 11, Scenario { lost: 0, until: 5 * HOUR_MS, nano_usd: 0 }, &heals);
    let well = |one: &std::sync::Arc<hale_core::deployment::Deployment>| {
        one.state.probes().standing().0 == Status::Healthy
    };
    assert!(snapshot.deployments.iter().all(well));
}

/// Random deployments: each one stops once, for a random time.
fn random_outages(seed: u64, doing: Doing) -> (u64, Vec<(u64, u64)>, Verdicts) {
    let mut chance = Chance::new(seed);
    let interval_s = 5 + chance.below(600);
    let count = 1 + chance.below(40);
    let snapshot = world(usize::try_from(count).unwrap(), interval_s);
    let interval = interval_s * 1_000;
    let outages: Vec<(u64, u64)> = (0..count)
        .map(|_| {
            let stop = interval + chance.below(10 * interval);
            (stop, stop + 2 * interval + 70_000 + chance.below(HOUR_MS))
        })
        .collect();
    let life = |index: u32, now: u64| {
        let (stop, back) = outages[index as usize];
        if (stop..back).contains(&now) { doing } else { Doing::Works }
    };
    let end = outages.iter().map(|(_, back)| back + 2 * interval + 700_000).max().unwrap();
    let run = run(&snapshot, seed, Scenario { lost: 0, until: end, nano_usd: 0 }, &life);
    (interval, outages, run.verdicts)
}

#[test]
fn a_deployment_that_recovers_is_routable_within_its_backoff_and_an_interval() {
    // Invariant I9.
    for seed in 0..30 {
        let (interval, outages, verdicts) = random_outages(seed, Doing::Refuses);
        for (index, (_, back)) in outages.iter().enumerate() {
            let own: Vec<_> = verdicts.iter().filter(|one| one.1 as usize == index).collect();
            let last = own.last().expect("the stop was seen");
            assert_eq!(last.2, Status::Healthy, "seed {seed}, {index}: it comes back");
            // 300 s is the longest backoff; one more second is for places that others hold.
            let limit = interval.min(300_000) + ANSWERS_MS + 1_000;
            assert!(last.0 <= back + limit, "seed {seed}, {index}: {} ms", last.0 - back);
        }
    }
}

#[test]
fn a_stop_without_traffic_is_found_within_an_interval_and_its_confirmations() {
    // Invariant I10.
    for seed in 0..30 {
        let (interval, outages, verdicts) = random_outages(seed, Doing::Refuses);
        for (index, (stop, _)) in outages.iter().enumerate() {
            let seen = fell(&verdicts).find(|one| one.1 as usize == index).expect("it is seen").0;
            assert!(seen <= stop + interval + 5_000, "seed {seed}, {index}: {} ms", seen - stop);
        }
    }
}

#[test]
fn no_probe_is_sent_where_traffic_proved_health_within_the_interval() {
    // Invariant I14.
    for seed in 0..20 {
        let mut chance = Chance::new(seed);
        let interval = 1_000 * (10 + chance.below(300));
        let snapshot = world(10, interval / 1_000);
        let subjects = snapshot.deployments.iter().map(|one| Subject {
            id: one.id.clone(),
            members: vec![one.index],
            place: 0,
            phase: Chance::new(seed + one.id.len() as u64).next(),
            upstream: one.index.0.into(),
            credential: one.index.0.into(),
            nano_usd: 1,
            budget_nano_usd: None,
        });
        let (mut schedule, mut limits) = (Schedule::default(), ProbeLimits::default());
        let void = schedule.plan(Millis(0), subjects.collect(), &snapshot, &mut limits);
        assert!(void.is_empty());
        let (mut now, mut checks) = (0, 0);
        let mut live = [None::<u64>; 10];
        while now < 50 * interval {
            now += 1 + chance.below(interval / 4);
            let lucky = usize::try_from(chance.below(10)).unwrap();
            // Half of them have no traffic.
            if lucky % 2 == 0 {
                let (attempt, measured) = (attempt_at(now), Measured::default());
                let evidence = Evidence::Succeeded { attempt, measured, model: "" };
                snapshot.deployments[lucky].apply(Millis(now), &evidence);
                live[lucky] = Some(now);
            }
            for start in schedule.start(Millis(now), &snapshot, &mut limits) {
                let index = start.subject.members[0].0 as usize;
                let age = live[index].map(|live| now - live);
                assert!(age.is_none_or(|age| age >= interval), "seed {seed}, {index}: {age:?}");
                checks += 1;
                let ended = Ended { subject: &start.subject, finding: Finding::Healthy, chance: 0 };
                schedule.ended(Millis(now), &ended, &snapshot, &mut limits);
            }
        }
        assert!(checks > 100, "those without traffic are checked: {checks}");
    }
}

fn attempt_at(now: u64) -> AttemptRef {
    AttemptRef { started: Millis(now), request: 1, half_open: HalfOpen::NONE }
}

#[test]
fn two_thousand_are_probed_all_over_the_interval_and_never_more_than_sixteen_together() {
    // Requirement H8.
    for seed in 0..1 {
        let snapshot = world(2_000, 300);
        let run =
            run(&snapshot, seed, Scenario { lost: 0, until: 4 * 300_000, nano_usd: 0 }, &|_, _| {
                Doing::Works
            });
        assert!(run.most_under_way <= 16, "seed {seed}: {}", run.most_under_way);
        let counts = snapshot.deployments.iter().map(|one| one.state.probes().count());
        let (least, most) = counts.fold((u64::MAX, 0), |(a, b), n| (a.min(n), b.max(n)));
        assert!((3..=6).contains(&least) && most <= 6, "seed {seed}: {least} to {most}");
        // The first ones are spread over half a minute, those of later intervals over the whole
        // interval.
        let later = run.starts.iter().filter(|at| **at > 600_000);
        let mut per_second = std::collections::BTreeMap::new();
        later.for_each(|at| *per_second.entry(at / 1_000).or_insert(0) += 1);
        let most = per_second.values().max().unwrap();
        assert!(*most <= 30, "seed {seed}: {most} in one second, where 7 is the mean");
    }
}

#[test]
fn first_verdicts_come_soon_and_never_more_probes_than_the_caps_at_once() {
    const TAKES_MS: u64 = 200;
    for (count, upstreams, within_ms) in [(3, 3, 5_000), (1_000, 20, 35_000)] {
        let snapshot = world(count, 300);
        let subject = |index: DeploymentIndex| Subject {
            id: snapshot.deployment(index).id.clone(),
            members: vec![index],
            place: index.0.into(),
            phase: Chance::new(index.0.into()).next(),
            upstream: (index.0 % upstreams).into(),
            credential: index.0.into(),
            nano_usd: 0,
            budget_nano_usd: None,
        };
        let subjects = snapshot.deployments.iter().map(|one| subject(one.index)).collect();
        let (mut schedule, mut limits) = (Schedule::default(), ProbeLimits::default());
        schedule.plan(Millis(0), subjects, &snapshot, &mut limits);
        let mut under_way: Vec<(u64, Start)> = Vec::new();
        let (mut now, mut verdicts) = (0, 0);
        while verdicts < count {
            assert!(now <= within_ms, "{verdicts} of {count} verdicts after {now} ms");
            while let Some(at) = under_way.iter().position(|(ends, _)| *ends <= now) {
                let (_, start) = under_way.swap_remove(at);
                let (subject, finding) = (&start.subject, Finding::Healthy);
                let ended = Ended { subject, finding, chance: 0 };
                schedule.ended(Millis(now), &ended, &snapshot, &mut limits);
                verdicts += 1;
            }
            let starts = schedule.start(Millis(now), &snapshot, &mut limits);
            under_way.extend(starts.into_iter().map(|start| (now + TAKES_MS, start)));
            let of = |upstream: u64| {
                under_way.iter().filter(|(_, one)| one.subject.upstream == upstream).count()
            };
            assert!(under_way.len() <= 16 && (0..20).all(|upstream| of(upstream) <= 2));
            let next = under_way.iter().map(|one| one.0).min().unwrap_or(u64::MAX);
            now = next.min(schedule.wake(Millis(now)).0).max(now + 1);
        }
    }
}
