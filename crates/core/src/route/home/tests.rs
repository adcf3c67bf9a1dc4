use std::sync::Arc;

use super::*;
use crate::cause::Cause;
use crate::health::{AttemptRef, Claim, Evidence, Failure, FailureContext, HalfOpen, Measured};
use crate::policy::ByKind;
use crate::route::affinity::NamedBy;
use crate::route::controls::Controls;
use crate::route::needs::Needs;
use crate::route::resolve::Target;
use crate::route::route_plan::fixture::snapshot_of;
use crate::route::select::{Choice, select};
use crate::usage::Usage;

fn always(weights: &[f64]) -> Snapshot {
    let mut snapshot = snapshot_of(weights);
    snapshot.router.affinity.keeps = Keeps::Always;
    snapshot
}

fn session(number: u32) -> Affinity {
    Affinity::of(NamedBy::Session, [&number.to_be_bytes()[..]])
}

/// The member that a request of that session is sent to.
fn pick(snapshot: &Snapshot, affinity: Affinity, avoid: &[DeploymentIndex], now: u64) -> u32 {
    let target = Target { group: crate::group::GroupIndex(0), pinned: None, wildcard_name: None };
    let controls = Controls { affinity: Some(affinity), ..Controls::default() };
    let selection = Selection {
        unix_ms: 0,
        tag_budgets: &[],
        snapshot,
        target: &target,
        members: &snapshot.groups[0].members,
        avoid,
        needs: Needs::default(),
        tags: None,
        heeds_probes: false,
        controls: &controls,
        request: 99,
        ends: Millis(now).plus(1_000),
    };
    // Chance has no say.
    let chances = [0, 1 << 62, u64::MAX].map(|chance| select(&selection, Millis(now), chance));
    assert!(chances.iter().all(|one| *one == chances[0]), "{chances:?}");
    let Choice::Deployment(index, _) = chances[0] else { panic!("none is picked") };
    index.0
}

fn homes(snapshot: &Snapshot, sessions: u32) -> Vec<u32> {
    (0..sessions).map(|number| pick(snapshot, session(number), &[], 0)).collect()
}

fn count(homes: &[u32], member: u32) -> usize {
    homes.iter().filter(|home| **home == member).count()
}

#[test]
fn a_session_has_one_home_and_weights_share_the_sessions() {
    let snapshot = always(&[3.0, 1.0]);
    let found = homes(&snapshot, 4_000);
    let first = count(&found, 0);
    assert!((2_900..3_100).contains(&first), "{first} of 4,000");
    assert_eq!(found, homes(&always(&[3.0, 1.0]), 4_000), "the same in another process");
}

#[test]
fn the_hash_is_the_same_in_every_version() {
    let affinity = Affinity::of(NamedBy::Session, [&b"a session"[..]]);
    assert_eq!(affinity.key, 0x7398_08E4_35EA_16C6, "{:#x}", affinity.key);
    let parts = Affinity::of(NamedBy::Prefix, [&b"a "[..], b"session"]);
    assert_ne!(affinity.key, parts.key);
}

#[test]
fn a_new_member_takes_only_its_share_of_the_sessions() {
    let three = homes(&always(&[1.0; 3]), 3_000);
    let four = homes(&always(&[1.0; 4]), 3_000);
    let moved: Vec<u32> =
        three.iter().zip(&four).filter(|(a, b)| a != b).map(|(_, now)| *now).collect();
    assert!(moved.iter().all(|home| *home == 3), "only to the new one");
    assert!((650..850).contains(&moved.len()), "{}", moved.len());
}

#[test]
fn a_home_with_too_much_to_do_is_passed_over() {
    let snapshot = always(&[1.0; 4]);
    let home = pick(&snapshot, session(1), &[], 0);
    let state = &snapshot.deployments[home as usize].state;
    assert!(state.enter(Millis(0), &Claim::default()));
    assert_eq!(pick(&snapshot, session(1), &[], 0), home, "two at once are no crowd");
    assert!(state.enter(Millis(0), &Claim::default()));
    let second = pick(&snapshot, session(1), &[], 0);
    assert_ne!(second, home);
    // With more to do everywhere, more is no crowd.
    for one in &snapshot.deployments {
        for _ in 0..8 {
            assert!(one.state.enter(Millis(0), &Claim::default()));
        }
    }
    assert_eq!(pick(&snapshot, session(1), &[], 0), home, "one more of 35 makes 11, its bound");
    for _ in 0..2 {
        assert!(state.enter(Millis(0), &Claim::default()));
    }
    assert_eq!(pick(&snapshot, session(1), &[], 0), second);
}

#[test]
fn a_failed_home_is_left_for_the_next_one_and_its_sessions_are_spread() {
    let snapshot = always(&[1.0; 4]);
    let all: Vec<(u32, u32)> = (0..4_000)
        .map(|number| {
            let home = pick(&snapshot, session(number), &[], 0);
            (home, pick(&snapshot, session(number), &[DeploymentIndex(home)], 0))
        })
        .collect();
    let of_first: Vec<u32> = all.iter().filter(|(home, _)| *home == 0).map(|(_, b)| *b).collect();
    for other in 1..4 {
        let share = count(&of_first, other);
        assert!(share * 4 > of_first.len(), "{share} of {}", of_first.len());
    }
}

/// Ejects the first member at 0, and lets it come back at `back`.
fn outage(snapshot: &Snapshot, back: u64) {
    let context = FailureContext {
        has_sibling: true,
        has_fallback: false,
        cooldown_ms: 5_000,
        tolerance: ByKind::default(),
        attempt_timeout_ms: 1_000,
        many_models: false,
        foreign: None,
    };
    let state = &snapshot.deployments[0].state;
    let attempt = AttemptRef { started: Millis(0), request: 1, half_open: HalfOpen::NONE };
    let failure = Failure { hint_ms: Some(back), ..Failure::of(Cause::Quota) };
    let failed = Evidence::Failed { attempt, failure, model: "", context: &context };
    assert!(state.apply(Millis(0), &failed).cooldown_change().is_some());
    let own = state.take_half_open(Millis(back), 1_000);
    let half_open = HalfOpen { own, ..HalfOpen::NONE };
    let attempt = AttemptRef { started: Millis(back), request: 2, half_open };
    let measured = Measured { whole_ms: Some(1), ..Measured::default() };
    state.apply(Millis(back), &Evidence::Succeeded { attempt, measured, model: "" });
    assert_eq!(state.last_outage_ms(), back);
}

#[test]
fn after_a_short_outage_all_sessions_are_home_at_once_and_after_a_long_one_bit_by_bit() {
    let before = homes(&always(&[1.0; 3]), 1_000);
    let after = |outage_ms: u64, later: u64| {
        let snapshot = always(&[1.0; 3]);
        outage(&snapshot, outage_ms);
        let now = outage_ms + later;
        let found: Vec<u32> =
            (0..1_000).map(|number| pick(&snapshot, session(number), &[], now)).collect();
        for (before, now) in before.iter().zip(&found) {
            assert!(*now == 0 || *before == 0 || now == before, "others stay where they are");
        }
        count(&found, 0)
    };
    let all = count(&before, 0);
    assert_eq!(after(300_000, 0), all);
    let shares = [0, 10_000, 20_000, 30_000].map(|later| after(301_000, later));
    assert!(shares[0] < all / 4 && shares[1] < shares[2] && shares[2] < all, "{shares:?} of {all}");
    assert_eq!(shares[3], all);
}

#[test]
fn a_price_comes_before_a_warm_cache() {
    let mut snapshot = always(&[1.0; 3]);
    snapshot.router.strategy = crate::route::Strategy::named("cost-based-routing").unwrap();
    for (index, price) in [(0, 2e-6), (1, 1e-6), (2, 1e-6)] {
        let one: &mut Deployment = Arc::get_mut(&mut snapshot.deployments[index]).unwrap();
        one.facts.input_cost_per_token = Some(price);
        one.facts.output_cost_per_token = Some(price);
    }
    let found = homes(&snapshot, 1_000);
    assert_eq!(count(&found, 0), 0);
    assert!(count(&found, 1) > 400 && count(&found, 2) > 400);
}

#[test]
fn requests_keep_to_their_home_where_that_is_cheaper_unless_the_strategy_decides() {
    let on = |change: fn(&mut Snapshot)| {
        let mut snapshot = snapshot_of(&[1.0, 1.0]);
        let one: &mut Deployment = Arc::get_mut(&mut snapshot.deployments[1]).unwrap();
        one.facts.input_cost_per_token = Some(2e-6);
        one.facts.cache_read_input_token_cost = Some(1e-6);
        change(&mut snapshot);
        let members = snapshot.groups[0].members.clone();
        GroupAffinity::of(&snapshot, &members, Millis(5))
    };
    fn strategy(snapshot: &mut Snapshot, name: &str) {
        snapshot.router.strategy = crate::route::Strategy::named(name).unwrap();
    }
    assert_eq!(on(|_| {}), GroupAffinity::On);
    assert_eq!(on(|one| strategy(one, "least-busy")), GroupAffinity::On);
    assert_eq!(on(|one| strategy(one, "cost-based-routing")), GroupAffinity::On);
    assert_eq!(on(|one| strategy(one, "latency-based-routing")), GroupAffinity::StrategyDecides);
    let asked = |one: &mut Snapshot| {
        strategy(one, "usage-based-routing");
        one.router.affinity.keeps = Keeps::Always;
    };
    assert_eq!(on(asked), GroupAffinity::On);
    assert_eq!(on(|one| one.router.affinity.keeps = Keeps::Never), GroupAffinity::Off);
    assert_eq!(on(|one| one.groups[0].members.truncate(1)), GroupAffinity::OneMember);
    let dear = |one: &mut Snapshot| {
        let one: &mut Deployment = Arc::get_mut(&mut one.deployments[1]).unwrap();
        one.facts.cache_read_input_token_cost = Some(2e-6);
    };
    assert_eq!(on(dear), GroupAffinity::NotCheaper);
    let unused = |one: &mut Snapshot| {
        let usage = Usage { input: 5_000, ..Usage::default() };
        for one in &one.deployments {
            (0..200).for_each(|_| one.state.prompt_cache().answered(&usage, Millis(0)));
        }
    };
    assert_eq!(on(unused), GroupAffinity::BroughtNothing);
}

#[test]
fn a_config_that_is_read_while_caches_bring_nothing_still_names_homes_for_later() {
    let mut snapshot = snapshot_of(&[1.0, 1.0]);
    let usage = Usage { input: 5_000, ..Usage::default() };
    for one in &mut snapshot.deployments {
        let one: &mut Deployment = Arc::get_mut(one).unwrap();
        one.facts.input_cost_per_token = Some(2e-6);
        one.facts.cache_read_input_token_cost = Some(1e-6);
        (0..200).for_each(|_| one.state.prompt_cache().answered(&usage, Millis(5)));
    }
    let members = &snapshot.groups[0].members;
    assert_eq!(GroupAffinity::of(&snapshot, members, Millis(5)), GroupAffinity::BroughtNothing);
    assert!(GroupAffinity::may_be_on(&snapshot, members));
    snapshot.router.affinity.keeps = Keeps::Never;
    assert!(!GroupAffinity::may_be_on(&snapshot, &snapshot.groups[0].members));
}
