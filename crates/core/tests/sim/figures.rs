//! The figures that routing has to reach, under every strategy where the strategy matters.

use std::ops::Range;

use hale_core::route::{Controls, STRATEGIES};

use crate::upstream::{Behaviour, Upstream};
use crate::world::{Began, Ended, Ending, How, World, snapshot, snapshot_with_keys};

pub(crate) fn steady(ms: u64) -> Upstream {
    Upstream::new(vec![(0, Behaviour::Healthy(ms))])
}

/// A member that is healthy, then `bad` from one second to another, then healthy.
pub(crate) fn outage(bad: Behaviour, from_s: u64, to_s: u64) -> Upstream {
    let well = Behaviour::Healthy(100);
    Upstream::new(vec![(0, well), (from_s * 1000, bad), (to_s * 1000, well)])
}

/// Three members at 500 requests a second; the first one is `bad` from the start.
fn one_of_three(strategy: &str, bad: Behaviour) -> World {
    let router = format!("routing_strategy: {strategy}, timeout: 2");
    let upstreams = vec![Upstream::new(vec![(0, bad)]), steady(100), steady(100)];
    let mut world = World::new(snapshot(&[("g", 3)], &router), upstreams, 1);
    world.arrivals(0, 30_000, 500, "g");
    world.run();
    world
}

#[test]
fn one_dead_of_three_is_not_noticed_and_gets_nothing() {
    for row in STRATEGIES {
        for bad in [Behaviour::Down, Behaviour::FastFail, Behaviour::Liar, Behaviour::Unauthorized]
        {
            let world = one_of_three(row.name, bad);
            let first = world.success(0, 1_000);
            assert!(first >= 0.999, "{} {bad:?}: {first} in the first second", row.name);
            assert!(world.success(0, 30_000) >= 0.999, "{} {bad:?}", row.name);
            let share = world.share(0, 1_000, 30_000);
            assert!(share < 0.01, "{} {bad:?}: {share}", row.name);
        }
    }
}

#[test]
fn one_silent_of_three_hurts_only_those_in_flight_until_it_trips() {
    for row in STRATEGIES {
        let world = one_of_three(row.name, Behaviour::Silent);
        assert!(world.success(0, 30_000) >= 0.999, "{}", row.name);
        let tripped = world.transitions.iter().find(|one| one.1 == 0 && one.2).expect("it trips").0;
        assert!(tripped <= 2_100, "{}: it tripped at {tripped}", row.name);
        let asked = || world.began.iter().filter(|one| one.deployment == 0);
        let late = asked().filter(|one| one.at > tripped && !one.half_open).count();
        assert_eq!(late, 0, "{}: after the trip only trials", row.name);
        let in_flight = |one: &&Began| one.at <= tripped;
        let hurt = |one: &&Ended| one.at - one.began >= 2_000;
        let until = world.ended.iter().filter(|one| one.began <= tripped).filter(hurt).count();
        assert!(until <= asked().filter(in_flight).count(), "{}: {until}", row.name);
        let later = world.ended.iter().filter(|one| one.began > tripped).filter(hurt).count();
        let half_opens = asked().filter(|one| one.half_open).count();
        assert!(
            later <= half_opens && half_opens <= 4,
            "{}: {later} hurt, {half_opens} trials",
            row.name
        );
    }
}

#[test]
fn a_single_primary_with_a_fallback_is_left_alone_while_it_is_down() {
    for (seed, phase) in (0..40).map(|seed| (seed, seed * 97 % 4_000)) {
        let router = "fallbacks: [{g: [f]}]";
        let upstreams = vec![outage(Behaviour::Down, 20, 80), steady(100)];
        let mut world = World::new(snapshot(&[("g", 1), ("f", 1)], router), upstreams, seed);
        for i in 0..60 {
            world.arrive(phase + i * 4_000, "g", Controls::default());
        }
        world.run();
        assert!(world.success(0, u64::MAX) >= 1.0, "every request is answered");
        let asked = world.began.iter().filter(|one| one.deployment == 0);
        let down = asked.clone().filter(|one| (20_000..80_000).contains(&one.at)).count();
        assert!(down <= 10, "seed {seed}: {down} attempts on it");
        let back = world.ended.iter().find(|one| one.began >= 80_000 && one.by() == Some(0));
        let back = back.expect("it comes back").began - 80_000;
        assert!(back <= 30_000, "seed {seed}: back after {back} ms");
    }
}

#[test]
fn when_all_are_rate_limited_no_upstream_is_called() {
    let upstreams = vec![Upstream::new(vec![(0, Behaviour::Bucket(3))]); 2];
    let mut world = World::new(snapshot(&[("g", 2)], "num_retries: 1"), upstreams, 3);
    world.arrivals(0, 50_000, 10, "g");
    world.run();
    let limited = world.began.iter().filter(|one| (5_000..60_000).contains(&one.at)).count();
    assert_eq!(limited, 0, "no upstream call until the time that the provider named");
    // From 45 s on a request may wait for it.
    let late = world.ended.iter().filter(|one| (5_000..45_000).contains(&one.began));
    assert!(late.clone().count() > 390);
    assert!(late.into_iter().all(|one| one.how == How::Refused && one.at == one.began));
}

/// Checks every ten seconds of `world`: attempts are at most 1.2 per request, plus 30, plus those
/// in flight when a breaker opens, plus the `free` ones.
pub(crate) fn assert_no_storm(world: &World, free: usize, what: &str) {
    let sorted = |times: &mut dyn Iterator<Item = u64>| {
        let mut times: Vec<u64> = times.collect();
        times.sort_unstable();
        times
    };
    let arrived = sorted(&mut world.ended.iter().map(|one| one.began));
    let attempts = sorted(&mut world.began.iter().map(|one| one.at));
    let within = |times: &[u64], span: &Range<u64>| {
        let before = |end: u64| times.partition_point(|time| *time < end);
        before(span.end) - before(span.start)
    };
    let last = attempts.last().copied().unwrap_or(0);
    for from in (0..=last).step_by(100) {
        let span = from..from + 10_000;
        // When no new requests come, the ones that wait for a retry are all that is left.
        let waits = |one: &&Ended| one.began < span.start && one.at >= span.start;
        let waiting = match arrived.last() {
            Some(last) if span.end > *last => world.ended.iter().filter(waits).count(),
            _ => 0,
        };
        // Those that waited for their turn came before.
        let in_turn = world.waits.iter().filter(|one| {
            one.why == Ending::Open && one.began < span.start && span.contains(&one.ended)
        });
        let requests = within(&arrived, &span) + waiting + in_turn.count();
        let attempts = within(&attempts, &span);
        let opened = world.transitions.iter().filter(|one| one.2 && span.contains(&one.0));
        let under_way: usize = opened.map(|one| one.3 as usize).sum();
        let allowed = requests * 12 / 10 + 30 + under_way + free;
        assert!(
            attempts <= allowed,
            "{what} at {from}: {attempts} attempts, {requests} requests, {allowed} allowed"
        );
    }
}

/// The first move to a sibling with a closed breaker is always allowed, and three failures open a
/// breaker; half of them are moves. Up to twenty members the budget covers that here; beyond, it is
/// extra, once per outage.
fn free_moves(members: usize) -> usize {
    if members > 20 { members * 3 / 2 } else { 0 }
}

#[test]
fn a_failing_group_sees_no_storm() {
    for row in STRATEGIES {
        for bad in [
            Behaviour::FastFail,
            Behaviour::Brownout(100, 300),
            Behaviour::Down,
            Behaviour::Unauthorized,
            Behaviour::Unknown,
            Behaviour::Silent,
        ] {
            // From the start, and in the middle of good times.
            for (members, from_s, per_second) in
                [(1, 0, 50), (2, 10, 50), (3, 10, 1), (10, 0, 50), (20, 10, 50), (100, 0, 20)]
            {
                let router = format!("routing_strategy: {}, timeout: 2", row.name);
                let upstreams = vec![outage(bad, from_s, 25); members];
                let mut world = World::new(snapshot(&[("g", members)], &router), upstreams, 4);
                world.arrivals(0, 40_000, per_second, "g");
                world.run();
                let what = format!("{} {members} {bad:?} {per_second}/s", row.name);
                assert_no_storm(&world, free_moves(members), &what);
            }
        }
    }
}

#[test]
fn a_recovered_deployment_gets_its_share_back_slowly() {
    for row in STRATEGIES {
        let args = "routing_strategy_args: {lowest_latency_buffer: 0.5}";
        let router = format!("routing_strategy: {}, {args}", row.name);
        let upstreams = vec![outage(Behaviour::Down, 5, 15), steady(100), steady(100)];
        let mut world = World::new(snapshot(&[("g", 3)], &router), upstreams, 5);
        world.arrivals(0, 200_000, 200, "g");
        world.run();
        // `latency-based-routing` avoids it after its first failure, so it is never ejected.
        let back = world.transitions.iter().find(|one| one.1 == 0 && !one.2);
        let back = back.map_or(15_000, |one| one.0);
        assert!(back <= 45_000, "{}: back at {back}", row.name);
        let early = world.share(0, back, back + 3_000);
        let late = world.share(0, back + 60_000, 200_000);
        assert!(early < 0.2, "{}: {early} at first", row.name);
        assert!((0.25..0.42).contains(&late), "{}: {late} later", row.name);
    }
}

#[test]
fn a_flapping_member_gets_less_and_less_traffic() {
    let upstreams = vec![Upstream::new(vec![(0, Behaviour::Flap(5_000, 5_000))]), steady(100)];
    let mut world = World::new(snapshot(&[("g", 2)], ""), upstreams, 6);
    world.arrivals(0, 600_000, 20, "g");
    world.run();
    assert!(world.success(0, u64::MAX) >= 0.999);
    let share = world.share(0, 300_000, 600_000);
    assert!(share < 0.2, "{share}");
}

#[test]
fn a_brownout_is_survived_by_its_sibling() {
    let upstreams = vec![Upstream::new(vec![(0, Behaviour::Brownout(40, 100))]), steady(100)];
    let mut world = World::new(snapshot(&[("g", 2)], ""), upstreams, 7);
    world.arrivals(0, 60_000, 100, "g");
    world.run();
    let success = world.success(0, u64::MAX);
    assert!(success >= 0.995, "{success}");
}

#[test]
fn one_refused_key_of_many_deployments_is_found_out_once() {
    let upstreams = vec![outage(Behaviour::Unauthorized, 10, 40); 3];
    let upstreams = upstreams.into_iter().chain([steady(100)]).collect();
    // Three members share a key that is refused for a while, the fourth has one of its own.
    let key = |_: &str, member: usize| format!("k{}", member / 3);
    let config = snapshot_with_keys(&[("g", 4)], "num_retries: 0", key);
    let mut world = World::new(config, upstreams, 9);
    world.arrivals(0, 120_000, 50, "g");
    world.run();
    assert!(world.success(0, u64::MAX) >= 1.0, "no client notices");
    let down = |one: &&Began| one.deployment < 3 && (10_000..40_000).contains(&one.at);
    let asked = world.began.iter().filter(down).count();
    // Those in flight when the first one failed, and the half-open requests.
    assert!(asked <= 8, "{asked} attempts with a refused key");
    let back = world.ended.iter().find(|one| one.began >= 40_000 && one.by() != Some(3));
    assert!(back.expect("the key is tried again").began <= 70_000);
}

#[test]
fn clients_that_leave_and_streams_that_they_end_change_nothing() {
    let upstreams = vec![steady(100), Upstream::new(vec![(0, Behaviour::Silent)])];
    let mut world = World::new(snapshot(&[("g", 2)], ""), upstreams, 10);
    for i in 0..2_000 {
        let controls = Controls { stream: i % 2 == 0, ..Controls::default() };
        world.visit(i * 20, "g", controls, Some(i % 400));
    }
    world.run();
    assert!(world.transitions.is_empty(), "clients that leave eject no deployment");
    for deployment in &world.snapshot.deployments {
        let report = deployment.state.report();
        assert_eq!((report.failures_in_a_row, report.errors.len()), (0, 0), "{}", deployment.id);
    }
    let left = world.ended.iter().filter(|one| one.how == How::Left).count();
    assert!(left > 1_000, "{left}");
}

#[test]
fn streams_that_break_after_content_eject_a_deployment() {
    for bad in [Behaviour::Cuts(100), Behaviour::Stalls(100)] {
        let router = "timeout: 2, stream_timeout: 2";
        let upstreams = vec![outage(bad, 10, 40), steady(100), steady(100)];
        let mut world = World::new(snapshot(&[("g", 3)], router), upstreams, 11);
        for i in 0..120 * 50 {
            let controls = Controls { stream: true, ..Controls::default() };
            world.visit(i * 20, "g", controls, None);
        }
        world.run();
        let broken = |from: u64, to: u64| {
            let span = world.ended.iter().filter(|one| (from..to).contains(&one.began));
            span.filter(|one| matches!(one.how, How::Broken(_))).count()
        };
        // Some streams break until it is ejected. A half-open request succeeds with its first
        // content, so that the ramp after it costs a few more.
        assert!(broken(0, 16_000) > 3, "{bad:?}");
        let share = world.share(0, 16_000, 40_000);
        assert!(share < 0.1, "{bad:?}: {share}");
        assert_eq!(broken(40_000, 120_000), 0, "{bad:?}");
        assert!((0.25..0.42).contains(&world.share(0, 90_000, 120_000)), "{bad:?}: it comes back");
    }
}
