//! The invariants about a group under traffic, as properties of small worlds, with shrinking.
//!
//! Those of one deployment and of one route plan are in `tests/invariants.rs`; `docs/dev/proof.md`
//! lists all.

use hale_core::route::{Controls, STRATEGIES};
use proptest::prelude::*;

use crate::figures::{assert_no_storm, outage, steady};
use crate::swarm::check;
use crate::upstream::{Behaviour, Upstream};
use crate::world::{Began, How, World, snapshot};

/// Every behaviour that makes a member fail without naming a time.
fn failing() -> impl Strategy<Value = Behaviour> {
    prop_oneof![
        Just(Behaviour::Down),
        Just(Behaviour::FastFail),
        Just(Behaviour::Liar),
        Just(Behaviour::Unauthorized),
        Just(Behaviour::Unknown),
        Just(Behaviour::Silent),
        (50u64..100).prop_map(|percent| Behaviour::Brownout(percent, 100)),
        (1_000u64..9_000).prop_map(|half| Behaviour::Flap(half, half)),
    ]
}

/// The same without those that answer sometimes.
fn failing_wholly() -> impl Strategy<Value = Behaviour> {
    let wholly = |bad: &Behaviour| !matches!(bad, Behaviour::Brownout(..) | Behaviour::Flap(..));
    failing().prop_filter("it answers now and then", wholly)
}

fn strategy() -> impl Strategy<Value = &'static str> {
    (0..STRATEGIES.len()).prop_map(|index| STRATEGIES[index].name)
}

/// A group `g` with these upstreams and this many requests a second.
fn world(upstreams: Vec<Upstream>, router: &str, per_second: u64, until: u64, seed: u64) -> World {
    let mut world = World::new(snapshot(&[("g", upstreams.len())], router), upstreams, seed);
    world.arrivals(0, until, per_second, "g");
    world
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// While some deployment answers, no request is refused, and every request that may move is answered.
    #[test]
    fn no_request_is_refused_while_a_member_is_healthy(
        bad in proptest::collection::vec(failing(), 1..4),
        strategy in strategy(),
        seed in any::<u64>(),
    ) {
        let router = format!("routing_strategy: {strategy}, timeout: 1");
        let mut upstreams: Vec<Upstream> = bad.iter().map(|bad| outage(*bad, 5, 25)).collect();
        upstreams.push(steady(50));
        let mut world = world(upstreams, &router, 20, 40_000, seed);
        world.run();
        prop_assert!(world.ended.iter().all(|one| one.how != How::Refused));
        let after = world.success(10_000, 40_000);
        prop_assert!(after >= 0.99, "{after} once they tripped");
    }

    /// Invariants I2 and I3: a group that fails as a whole sees no storm, in any ten seconds. Moves
    /// to siblings with closed breakers are always allowed: half of the three failures that open
    /// each breaker.
    #[test]
    fn a_failing_group_gets_hardly_more_attempts_than_requests(
        bad in failing_wholly(),
        members in 1usize..=20,
        per_second in 1u64..80,
        strategy in strategy(),
        seed in any::<u64>(),
    ) {
        let router = format!("routing_strategy: {strategy}, timeout: 1");
        let upstreams = vec![outage(bad, 5, 20); members];
        let mut world = world(upstreams, &router, per_second, 25_000, seed);
        world.run();
        assert_no_storm(&world, members * 3 / 2, &format!("{bad:?}, {members} members, {per_second}/s"));
    }

    /// Invariant I5: a disabled deployment gets nothing until an operator enables it, however bad
    /// the others are.
    #[test]
    fn a_disabled_deployment_gets_nothing(
        bad in failing(),
        from in 1_000u64..10_000,
        long in 1_000u64..10_000,
        seed in any::<u64>(),
    ) {
        let upstreams = vec![steady(50), outage(bad, 0, 12)];
        let mut world = world(upstreams, "timeout: 1", 20, 30_000, seed);
        world.operator(from, 0, true);
        world.operator(from + long, 0, false);
        world.run();
        let out = from + 1..from + long;
        let meanwhile = world.began.iter().filter(|one| out.contains(&one.at));
        prop_assert!(meanwhile.clone().all(|one| one.deployment == 1));
        prop_assert!(world.began.iter().any(|one| one.deployment == 0 && one.at >= out.end));
    }

    /// A deployment that works again is tried within the longest cooldown that its outage allows, and answers.
    #[test]
    fn a_deployment_that_recovers_is_found_healthy_in_time(
        bad in failing(),
        long in 1u64..120,
        cooldown in 1u64..20,
        seed in any::<u64>(),
    ) {
        let router = format!("timeout: 1, cooldown_time: {cooldown}");
        let healed = (5 + long) * 1_000;
        let until = healed + 120_000;
        let upstreams = vec![outage(bad, 5, 5 + long), steady(50), steady(50)];
        let mut world = world(upstreams, &router, 10, until, seed);
        world.run();
        let back = world.ended.iter().find(|one| one.began >= healed && one.by() == Some(0));
        let back = back.expect("it comes back").began - healed;
        // Twenty seconds or a third of the outage, a tenth of jitter, the last attempt, and its
        // turn.
        let longest = (cooldown * 1_000).max(20_000).max(long * 1_000 / 3) * 11 / 10 + 1_000 + 3_000;
        prop_assert!(back <= longest, "{back} ms after it was healed, {longest} allowed");
    }

    /// Invariant I10: a deployment that stops is ejected after three failures, and those in flight.
    #[test]
    fn a_deployment_that_stops_is_ejected_after_three_failures(
        bad in failing_wholly(),
        members in 2usize..5,
        seed in any::<u64>(),
    ) {
        let mut upstreams = vec![steady(20); members - 1];
        upstreams.insert(0, outage(bad, 5, 60));
        // One request at a time: each ends before the next one arrives.
        let mut world = world(upstreams, "timeout: 0.5", 1, 40_000, seed);
        world.run();
        let opened = world.transitions.iter().find(|one| one.1 == 0 && one.2);
        if let Some(opened) = opened {
            let until = 5_000..=opened.0;
            let asked = world.began.iter().filter(|one| one.deployment == 0 && until.contains(&one.at));
            prop_assert!(asked.count() <= 3);
        } else {
            let asked = world.began.iter().filter(|one| one.deployment == 0 && one.at >= 5_000).count();
            prop_assert!(asked < 3, "{asked} failures and no trip");
        }
    }

    /// The safety net ends as soon as a member is healthy: from then on the others get half-open requests only.
    #[test]
    fn the_safety_net_is_left_at_once(bad in failing_wholly(), members in 2usize..5, seed in any::<u64>()) {
        let mut upstreams = vec![outage(bad, 0, 100); members - 1];
        upstreams.insert(0, outage(bad, 0, 20));
        let mut world = world(upstreams, "timeout: 1", 20, 60_000, seed);
        world.run();
        let well = world.transitions.iter().find(|one| one.1 == 0 && !one.2 && one.0 >= 20_000);
        let well = well.expect("the first one is found well").0;
        // A request that failed at the first one before moves on to the others.
        let in_cooldown = world.began.iter().filter(|one| one.at > well + 3_000 && one.deployment != 0);
        // So does one that waits for the outcome of another one's attempt.
        let waited = |one: &&Began| world.waits.iter().any(|wait| wait.request == one.request);
        let plain = in_cooldown.filter(|one| !one.half_open && !waited(one)).count();
        prop_assert_eq!(plain, 0, "after {}", well);
    }

    /// Invariant I21: a flapping deployment gets less than a fifth within five minutes.
    #[test]
    fn a_flapping_deployment_gets_less_and_less(half in 2_000u64..20_000, seed in any::<u64>()) {
        let upstreams = vec![Upstream::new(vec![(0, Behaviour::Flap(half, half))]), steady(100)];
        let mut world = world(upstreams, "", 10, 600_000, seed);
        world.run();
        let share = world.share(0, 300_000, 600_000);
        prop_assert!(share < 0.2, "{share}");
    }

    /// Invariant I22: equal seeds make equal worlds, down to each attempt.
    #[test]
    fn equal_seeds_make_equal_worlds(seed in any::<u64>()) {
        prop_assert_eq!(check(seed), check(seed));
    }

    /// Invariant I4 under traffic: clients that leave or hurry change nothing.
    #[test]
    fn clients_change_nothing(
        visits in proptest::collection::vec((0u64..20_000, any::<bool>(), proptest::option::of(0u64..300), proptest::option::of(1u64..40)), 1..200),
        seed in any::<u64>(),
    ) {
        let mut world = World::new(snapshot(&[("g", 2)], ""), vec![steady(100); 2], seed);
        for (time, stream, leaves, timeout_ms) in visits {
            world.visit(time, "g", Controls { stream, timeout_ms, ..Controls::default() }, leaves);
        }
        world.run();
        prop_assert!(world.transitions.is_empty());
        for deployment in &world.snapshot.deployments {
            let report = deployment.state.report();
            prop_assert_eq!((report.failures_in_a_row, report.errors.len()), (0, 0));
        }
    }
}
