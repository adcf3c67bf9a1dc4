//! What the strategies by usage and by cost promise, and how limits and budgets work under them.

use std::sync::Arc;

use hale_core::budget::{Budget, BudgetIndex, BudgetScope};
use hale_core::health::{Period, Spend};
use hale_core::route::{Controls, Exclusion, GiveUp, Needs, Next, RoutePlan};
use hale_core::snapshot::Snapshot;
use hale_core::time::Millis;
use proptest::prelude::*;

use crate::figures::steady;
use crate::upstream::{Behaviour, Upstream};
use crate::world::{How, World, snapshot};

fn usage(count: usize, rpm: u64) -> Snapshot {
    let router = "routing_strategy: usage-based-routing-v2, num_retries: 0";
    let mut snapshot = snapshot(&[("g", count)], router);
    for deployment in &mut snapshot.deployments {
        Arc::get_mut(deployment).unwrap().routing.limits.rpm = Some(rpm);
    }
    snapshot
}

/// Why each member refuses a request at `now`.
fn refusal(snapshot: &Snapshot, controls: Controls, now: u64) -> Vec<Exclusion> {
    let mut route_plan = RoutePlan::named(snapshot, "g", controls, Millis(now)).unwrap();
    match route_plan.next(snapshot, Millis(now), 0) {
        Next::GiveUp(GiveUp::Refused(refused)) => {
            refused[0].excluded.iter().map(|one| one.why).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn ten_a_minute_at_two_members_are_twenty_and_the_next_gets_a_retry_after() {
    let mut world = World::new(usage(2, 10), vec![steady(50), steady(50)], 1);
    (0..21).for_each(|i| world.arrive(1_000 + i * 100, "g", Controls::default()));
    world.arrive(61_000, "g", Controls::default());
    world.run();
    let answered: Vec<u64> =
        world.ended.iter().filter(|one| one.by().is_some()).map(|one| one.began).collect();
    assert_eq!(answered.len(), 21);
    assert_eq!(answered.last(), Some(&61_000), "a place comes back after a minute");
    assert_eq!(world.ended.iter().filter(|one| one.how == How::Refused).count(), 1);
    let per_member = (0..2).map(|i| world.began.iter().filter(|one| one.deployment == i).count());
    assert!(per_member.clone().all(|count| count >= 10), "{:?}", per_member.collect::<Vec<_>>());
}

#[test]
fn all_exhausted_names_the_limit_and_the_exact_time() {
    let mut world = World::new(usage(2, 3), vec![steady(50), steady(50)], 1);
    for at in [0, 0, 10_000, 10_000, 20_000, 20_000] {
        world.arrive(at, "g", Controls::default());
    }
    world.run();
    for why in refusal(&world.snapshot, Controls::default(), 30_000) {
        let Exclusion::Rate(full) = why else { panic!("{why:?}") };
        assert_eq!((full.of, full.limit, full.free_in_ms), ("rpm", 3, 30_000));
    }
    let mut route_plan =
        RoutePlan::named(&world.snapshot, "g", Controls::default(), Millis(60_000)).unwrap();
    assert!(matches!(route_plan.next(&world.snapshot, Millis(60_000), 0), Next::Attempt(_)));
}

#[test]
fn a_request_that_no_minute_holds_is_too_long_and_not_limited() {
    let mut snapshot = usage(1, 10);
    Arc::get_mut(&mut snapshot.deployments[0]).unwrap().routing.limits.tpm = Some(1_000);
    let of = |input_tokens| Controls {
        needs: Needs { input_tokens, ..Needs::default() },
        ..Controls::default()
    };
    let why = refusal(&snapshot, of(1_001), 5);
    assert_eq!(why, [Exclusion::TokensAMinute { limit: 1_000, needed: 1_001 }]);
    let mut route_plan = RoutePlan::named(&snapshot, "g", of(600), Millis(5)).unwrap();
    let Next::Attempt(plan) = route_plan.next(&snapshot, Millis(5), 0) else { panic!("refused") };
    assert!(snapshot.deployments[0].state.enter(Millis(5), &plan.claim));
    let Exclusion::Rate(full) = refusal(&snapshot, of(600), 1_005)[0] else { panic!("no rate") };
    assert_eq!((full.of, full.free_in_ms), ("tpm", 59_000), "what is under way is counted");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_minute_of_any_member_holds_more_than_its_rpm(
        gaps in prop::collection::vec(prop_oneof![0..20u64, 0..2_000u64, 25_000..62_000u64], 1..200),
        rpm in 1..12u64,
        members in 1..4usize,
        seed in any::<u64>(),
    ) {
        let upstreams = vec![Upstream::new(vec![(0, Behaviour::Brownout(20, 300))]); members];
        let mut world = World::new(usage(members, rpm), upstreams, seed);
        let mut at = 0;
        for gap in gaps {
            at += gap;
            world.arrive(at, "g", Controls::default());
        }
        world.run();
        for member in 0..u32::try_from(members).unwrap() {
            let began: Vec<u64> =
                world.began.iter().filter(|one| one.deployment == member).map(|one| one.at).collect();
            for (i, first) in began.iter().enumerate() {
                let within = began[i..].iter().filter(|at| **at < first + 60_000).count();
                prop_assert!(within as u64 <= rpm, "{} from {} on", within, first);
            }
        }
    }
}

#[test]
fn a_cheapest_member_that_fails_does_not_attract_everything() {
    for bad in [Behaviour::FastFail, Behaviour::Silent, Behaviour::Unauthorized] {
        let mut snapshot =
            snapshot(&[("g", 3)], "routing_strategy: cost-based-routing, timeout: 2");
        for (deployment, price) in snapshot.deployments.iter_mut().zip([1e-9, 1e-6, 1e-3]) {
            let facts = &mut Arc::get_mut(deployment).unwrap().facts;
            facts.input_cost_per_token = Some(price);
            facts.output_cost_per_token = Some(price);
        }
        let upstreams = vec![Upstream::new(vec![(0, bad)]), steady(100), steady(100)];
        let mut world = World::new(snapshot, upstreams, 3);
        world.arrivals(0, 60_000, 50, "g");
        world.run();
        assert_eq!(world.success(0, u64::MAX), 1.0, "{bad:?}");
        let cheapest = world.share(0, 5_000, 60_000);
        assert!(cheapest < 0.02, "{bad:?}: {cheapest}");
        let next = world.share(1, 5_000, 60_000);
        assert!(next > 0.98, "{bad:?}: the next cheapest has all the others: {next}");
    }
}

fn with_budget(limit_usd: f64, period_ms: u64) -> Snapshot {
    let mut snapshot = snapshot(&[("g", 2)], "");
    snapshot.budgets.all.push(Budget {
        scope: BudgetScope::Provider,
        name: "openai".into(),
        limit_usd,
        period: Period::Ms(period_ms),
        written_period: "1d".into(),
        spend: Arc::new(Spend::default()),
    });
    for deployment in &mut snapshot.deployments {
        Arc::get_mut(deployment).unwrap().routing.budgets.push(BudgetIndex(0));
    }
    snapshot
}

#[test]
fn a_budget_spent_in_mid_flight_lets_requests_end_and_none_begin() {
    let snapshot = with_budget(1.0, 10_000);
    let begin = |now: u64| {
        let mut route_plan =
            RoutePlan::named(&snapshot, "g", Controls::default(), Millis(now)).unwrap();
        match route_plan.next(&snapshot, Millis(now), now) {
            Next::Attempt(plan) => {
                let deployment = snapshot.deployment(plan.deployment);
                assert!(deployment.state.enter(Millis(now), &plan.claim));
                Some(deployment)
            }
            _ => None,
        }
    };
    // Three are in flight when the first one ends.
    let flying: Vec<_> = (0..3).map(|i| begin(i).expect("nothing is spent yet")).collect();
    for (i, deployment) in flying.iter().enumerate() {
        deployment.state.leave();
        snapshot.budgets.charge(&deployment.routing.budgets, 0.6, Millis(100 + i as u64), 0);
        assert_eq!(begin(150).is_some(), i == 0, "after {} of three", i + 1);
        if i == 0 {
            flying[0].state.leave();
        }
    }
    let budget = &snapshot.budgets.all[0];
    assert!((budget.spent(Millis(9_000)).0 - 1.8).abs() < 1e-9, "all of it is charged");
    let expected = Exclusion::Budget { budget: BudgetIndex(0), ends_in_ms: 1_100 };
    assert_eq!(refusal(&snapshot, Controls::default(), 9_000), [expected; 2]);
    assert!(begin(10_099).is_none() && begin(10_100).is_some(), "the window is over");
    assert_eq!(budget.spent(Millis(10_100)), (0.0, None));
}
