use std::cell::OnceCell;

use std::sync::Arc;

use super::*;
use crate::cause::Cause;
use crate::health::{AttemptRef, Claim, Evidence, Failure, FailureContext, Measured};
use crate::policy::ByKind;
use crate::route::route_plan::fixture::snapshot_of;

fn choose(snapshot: &Snapshot, name: &str, now: u64, stream: bool, chance: u64) -> u32 {
    let mut strategy = Strategy::named(name).unwrap();
    strategy.args.buffer = 0.2;
    let pool = Pool {
        snapshot,
        members: &snapshot.groups[0].members,
        admits: &|_| true,
        args: &strategy.args,
        now: Millis(now),
        stream,
        admitted: OnceCell::new(),
    };
    strategy.choose(&pool, chance).unwrap().0
}

fn hits(snapshot: &Snapshot, name: &str, now: u64) -> Vec<u32> {
    let mut hits = vec![0; snapshot.deployments.len()];
    for i in 0..10_000u64 {
        hits[choose(snapshot, name, now, true, mix(7, i)) as usize] += 1;
    }
    hits
}

fn streamed(snapshot: &Snapshot, index: usize, first_content_ms: u64) {
    let attempt =
        AttemptRef { started: Millis(0), request: 1, half_open: crate::health::HalfOpen::NONE };
    let measured = Measured { first_content_ms: Some(first_content_ms), ..Measured::default() };
    let evidence = Evidence::Succeeded { attempt, measured, model: "" };
    snapshot.deployments[index].apply(Millis(0), &evidence);
}

fn failed(snapshot: &Snapshot, index: usize, now: u64) {
    failed_by(snapshot, index, now, Cause::ServerError, 0);
}

fn failed_by(snapshot: &Snapshot, index: usize, now: u64, cause: Cause, cooldown_ms: u64) {
    let context = FailureContext {
        has_sibling: true,
        has_fallback: false,
        cooldown_ms,
        tolerance: ByKind::default(),
        attempt_timeout_ms: 60_000,
        many_models: false,
        foreign: None,
    };
    let attempt =
        AttemptRef { started: Millis(now), request: 1, half_open: crate::health::HalfOpen::NONE };
    let failure = Failure::of(cause);
    let evidence = Evidence::Failed { attempt, failure, model: "", context: &context };
    snapshot.deployments[index].apply(Millis(now), &evidence);
}

fn busy(snapshot: &Snapshot, index: usize, count: u32) {
    for _ in 0..count {
        assert!(snapshot.deployments[index].state.enter(Millis(0), &Claim::default()));
    }
}

/// Three times the greatest deviation of 10,000 draws.
fn near(hits: u32, expected: u32) -> bool {
    hits.abs_diff(expected) <= 150
}

#[test]
fn shuffle_keeps_the_ratios_of_weights_in_any_order() {
    for weights in [[1.0, 3.0, 1.0], [3.0, 1.0, 1.0], [1.0, 1.0, 3.0]] {
        let hits = hits(&snapshot_of(&weights), "simple-shuffle", 0);
        for (hits, weight) in hits.iter().zip(weights) {
            assert!(near(*hits, if weight > 2.0 { 6_000 } else { 2_000 }), "{weights:?}: {hits}");
        }
    }
}

#[test]
fn equal_deployments_share_equally_under_every_strategy() {
    for row in ROWS {
        let snapshot = snapshot_of(&[1.0; 4]);
        (0..4).for_each(|index| streamed(&snapshot, index, 100));
        let hits = hits(&snapshot, row.name, 1);
        assert!(hits.iter().all(|hits| near(*hits, 2_500)), "{}: {hits:?}", row.name);
    }
}

#[test]
fn the_least_busy_one_is_chosen() {
    let snapshot = snapshot_of(&[1.0; 3]);
    busy(&snapshot, 0, 2);
    busy(&snapshot, 2, 1);
    assert_eq!(hits(&snapshot, "least-busy", 0)[1], 10_000);
}

#[test]
fn the_fastest_and_those_near_it_are_chosen_and_a_new_one_is_tried_by_one_request() {
    let snapshot = snapshot_of(&[1.0; 4]);
    streamed(&snapshot, 0, 100);
    streamed(&snapshot, 1, 115);
    streamed(&snapshot, 2, 1_000);
    assert_eq!(choose(&snapshot, "latency-based-routing", 1, true, 5), 3, "unknown");
    busy(&snapshot, 3, 1);
    let hits = hits(&snapshot, "latency-based-routing", 1);
    assert!(near(hits[0], 5_000) && near(hits[1], 5_000), "{hits:?}");
}

#[test]
fn a_fast_failure_attracts_nothing_and_is_forgotten() {
    for name in ["latency-based-routing", "health-aware"] {
        let snapshot = snapshot_of(&[1.0; 2]);
        streamed(&snapshot, 0, 1);
        streamed(&snapshot, 1, 800);
        failed(&snapshot, 0, 10);
        assert_eq!(hits(&snapshot, name, 11)[0], 0, "{name}");
        assert_eq!(hits(&snapshot, name, 600_000)[0], 10_000, "{name}");
    }
}

#[test]
fn health_aware_weighs_speed_load_and_weight() {
    let snapshot = snapshot_of(&[1.0, 4.0]);
    streamed(&snapshot, 0, 100);
    streamed(&snapshot, 1, 200);
    // 100 x 1 / 1 against 200 x 1 / 4.
    assert_eq!(hits(&snapshot, "health-aware", 1)[1], 10_000);
    busy(&snapshot, 1, 2);
    assert_eq!(hits(&snapshot, "health-aware", 1)[0], 10_000);
}

/// Begins this many requests of one token each.
fn used(snapshot: &Snapshot, index: usize, count: u32, now: u64) {
    let claim = Claim { tpm: Some(u64::MAX), tokens: 1, counts: true, ..Claim::default() };
    for _ in 0..count {
        let state = &snapshot.deployments[index].state;
        assert!(state.enter(Millis(now), &claim));
        state.leave();
    }
}

/// The same group with these prices of a prompt token and of an answer token.
fn priced(prices: &[(Option<f64>, Option<f64>)]) -> Snapshot {
    let mut snapshot = snapshot_of(&vec![1.0; prices.len()]);
    for (deployment, (input, output)) in snapshot.deployments.iter_mut().zip(prices) {
        let facts = &mut Arc::get_mut(deployment).unwrap().facts;
        (facts.input_cost_per_token, facts.output_cost_per_token) = (*input, *output);
    }
    snapshot
}

#[test]
fn the_least_recently_used_member_is_chosen() {
    for name in ["usage-based-routing", "usage-based-routing-v2"] {
        let snapshot = snapshot_of(&[1.0; 3]);
        used(&snapshot, 0, 6, 0);
        used(&snapshot, 1, 4, 0);
        used(&snapshot, 2, 5, 0);
        assert_eq!(hits(&snapshot, name, 1)[1], 10_000, "{name}");
        used(&snapshot, 1, 2, 30_000);
        used(&snapshot, 2, 1, 30_000);
        assert_eq!(hits(&snapshot, name, 30_000)[0], 10_000, "{name}: older use fades");
    }
}

#[test]
fn tokens_that_an_answer_took_count_and_requests_decide_among_equals() {
    let snapshot = snapshot_of(&[1.0; 3]);
    let attempt =
        AttemptRef { started: Millis(0), request: 1, half_open: crate::health::HalfOpen::NONE };
    let measured = |tokens| Measured { tokens, ..Measured::default() };
    for (index, tokens) in [(0, 100), (1, 20), (2, 20)] {
        let evidence = Evidence::Succeeded { attempt, measured: measured(tokens), model: "" };
        snapshot.deployments[index].apply(Millis(0), &evidence);
    }
    let equals = hits(&snapshot, "usage-based-routing-v2", 1);
    assert!(equals[0] == 0 && near(equals[1], 5_000) && near(equals[2], 5_000), "{equals:?}");
    let claim = Claim { counts: true, ..Claim::default() };
    assert!(snapshot.deployments[1].state.enter(Millis(1), &claim));
    assert_eq!(hits(&snapshot, "usage-based-routing-v2", 2)[2], 10_000, "fewer requests");
}

#[test]
fn the_cheapest_is_chosen_equals_share_and_an_unknown_price_is_the_dearest() {
    let cheap = (Some(1e-6), Some(2e-6));
    let same_sum = (Some(2e-6), Some(1e-6));
    let snapshot = priced(&[(Some(3e-6), Some(1e-6)), cheap, same_sum, (None, None)]);
    let found = hits(&snapshot, "cost-based-routing", 0);
    assert!(found[0] == 0 && near(found[1], 5_000) && near(found[2], 5_000), "{found:?}");
    let free = priced(&[cheap, (Some(0.0), Some(0.0)), (Some(0.0), None)]);
    assert_eq!(hits(&free, "cost-based-routing", 0)[1], 10_000, "half a price is none");
    let unknown = priced(&[(None, None), (Some(0.9), Some(0.9))]);
    assert_eq!(hits(&unknown, "cost-based-routing", 0)[1], 10_000);
}

#[test]
fn comparing_strategies_ignore_weights() {
    for name in ["usage-based-routing", "usage-based-routing-v2", "cost-based-routing"] {
        let hits = hits(&snapshot_of(&[1.0, 1_000.0]), name, 0);
        assert!(near(hits[0], 5_000), "{name}: {hits:?}");
    }
    let budget = hits(&snapshot_of(&[1.0, 3.0]), "provider-budget-routing", 0);
    assert!(near(budget[0], 2_500), "as simple-shuffle: {budget:?}");
}

#[test]
fn a_member_back_from_cooldown_does_not_get_all_traffic_at_once() {
    for name in ["usage-based-routing-v2", "cost-based-routing"] {
        let snapshot = priced(&[(Some(1e-9), Some(1e-9)), (Some(1.0), Some(1.0))]);
        used(&snapshot, 1, 100, 0);
        failed_by(&snapshot, 0, 0, Cause::Auth, 5_000);
        let state = &snapshot.deployments[0].state;
        let own = state.take_half_open(Millis(5_100), 1_000);
        let half_open = crate::health::HalfOpen { own, ..crate::health::HalfOpen::NONE };
        let attempt = AttemptRef { started: Millis(5_100), request: 9, half_open };
        let evidence = Evidence::Succeeded { attempt, measured: Measured::default(), model: "" };
        assert!(state.apply(Millis(5_200), &evidence).cooldown_change().is_some());
        let early = hits(&snapshot, name, 5_200)[0];
        let later = hits(&snapshot, name, 5_200 + 15_000)[0];
        assert!(near(early, 1_000) && near(later, 5_500), "{name}: {early}, {later}");
        assert_eq!(hits(&snapshot, name, 5_200 + 30_000)[0], 10_000, "{name}");
    }
}

#[test]
fn groups_of_any_size_are_chosen_from() {
    for count in [1, 2, 10, 10_000] {
        let snapshot = snapshot_of(&vec![1.0; count]);
        for row in ROWS {
            let chosen = choose(&snapshot, row.name, 0, false, 99) as usize;
            assert!(chosen < count, "{} of {count}", row.name);
        }
    }
}
