//! Requests that wait for their turn: a row for each case, and the figures.
//!
//! `docs/routing.md` explains the rules.

use hale_core::route::Controls;
use hale_core::snapshot::Snapshot;
use hale_core::waiting::Turned;

use crate::figures::steady;
use crate::upstream::{Behaviour, Upstream};
use crate::world::{
    Began, Ended, Ending, How, World, snapshot, snapshot_again, snapshot_rotated,
    snapshot_with_keys,
};

/// An upstream that refuses until that moment.
fn limited(until: u64) -> Upstream {
    Upstream::new(vec![(0, Behaviour::LimitedUntil(until, 50))])
}

/// A lone deployment in group `g`.
fn lone(upstream: Upstream, router: &str) -> World {
    World::new(snapshot(&[("g", 1)], router), vec![upstream], 1)
}

fn answered(world: &World) -> usize {
    world.ended.iter().filter(|one| matches!(one.how, How::Answered(_))).count()
}

fn last_end(world: &World) -> u64 {
    world.ended.iter().map(|one| one.at).max().unwrap_or(0)
}

/// When attempts began after that moment.
fn times_after(world: &World, from: u64) -> Vec<u64> {
    world.began.iter().map(|one| one.at).filter(|at| *at > from).collect()
}

/// Checks that the requests that were let in were let in by their tickets.
fn assert_in_order(world: &World) {
    let let_in = world.waits.iter().filter(|wait| wait.why == Ending::Open);
    let tickets: Vec<_> = let_in.map(|wait| wait.ticket).collect();
    assert!(tickets.is_sorted(), "{tickets:?}");
}

#[test]
fn fifty_requests_wait_for_the_time_that_a_provider_names() {
    let mut world = lone(limited(3_000), "");
    world.arrive(0, "g", Controls::default());
    world.arrivals(100, 1_100, 50, "g");
    world.run();
    assert_eq!(answered(&world), 51);
    assert!(last_end(&world) <= 3_500, "{}", last_end(&world));
    assert_eq!(world.began.len(), 52, "one was refused, and none after it");
    assert_in_order(&world);
    let after = times_after(&world, 1_000);
    let at = |ms: u64| after.iter().filter(|at| **at == ms).count();
    // The refusal came after 5 ms.
    assert_eq!([at(3_005), at(3_055), at(3_105), at(3_155)], [1, 2, 4, 8], "rounds: {after:?}");
}

#[test]
fn an_attempt_of_a_minute_holds_the_line_back_for_a_second_each() {
    let mut world = lone(Upstream::new(vec![(0, Behaviour::LimitedUntil(3_000, 60_000))]), "");
    world.arrive(0, "g", Controls::default());
    world.arrivals(100, 1_100, 50, "g");
    world.run();
    let after = times_after(&world, 1_000);
    assert!(after.windows(2).all(|pair| pair[1] - pair[0] >= 1_000), "{after:?}");
    // From 3 s on one a second, until the waits of 15 s end.
    assert!((12..=14).contains(&after.len()), "{after:?}");
    let refused = world.ended.iter().filter(|one| one.how == How::Refused);
    assert!(refused.clone().count() >= 35);
    assert!(refused.into_iter().all(|one| one.at - one.began == 15_000), "in time");
}

#[test]
fn when_the_first_one_leaves_the_next_one_goes_at_once() {
    let mut world = lone(Upstream::new(vec![(0, Behaviour::LimitedUntil(3_000, 900))]), "");
    world.visit(0, "g", Controls::default(), Some(3_020));
    world.arrive(100, "g", Controls::default());
    world.arrive(200, "g", Controls::default());
    world.run();
    assert_eq!(times_after(&world, 1_000), [3_005, 3_020, 3_920], "{:?}", world.began);
    assert_eq!(answered(&world), 2);
    assert!(world.ended.iter().any(|one| one.how == How::Left && one.at == 3_020));
}

#[test]
fn a_client_that_leaves_while_it_waits_frees_its_ticket_at_once() {
    let mut world = lone(limited(3_000), "max_waiting: 1");
    world.arrive(0, "g", Controls::default());
    world.run();
    let mut world = lone(limited(3_000), "max_waiting: 2");
    world.arrive(0, "g", Controls::default());
    world.visit(100, "g", Controls::default(), Some(400));
    world.arrive(499, "g", Controls::default());
    world.arrive(501, "g", Controls::default());
    world.run();
    assert_eq!(world.turned, [(499, Turned::Full)], "before it left, and not after");
    assert_eq!(answered(&world), 2);
}

#[test]
fn two_groups_share_the_line_at_their_fallback() {
    let router = "fallbacks: [{a: [f]}, {b: [f]}]";
    let groups = [("a", 1), ("b", 1), ("f", 1)];
    let far = || limited(60_000);
    let upstreams = vec![far(), far(), limited(2_000)];
    let mut world = World::new(snapshot(&groups, router), upstreams, 1);
    for (i, group) in ["a", "b", "b", "a", "b", "a", "a", "b"].into_iter().enumerate() {
        world.arrive(i as u64 * 10, group, Controls::default());
    }
    world.run();
    assert_eq!(answered(&world), 8);
    let mut ends: Vec<&Ended> = world.ended.iter().collect();
    ends.sort_by_key(|one| (one.at, one.began));
    assert!(ends.is_sorted_by_key(|one| one.began), "by arrival, whatever the group: {ends:?}");
    assert_in_order(&world);
    assert!(times_after(&world, 1_000)[1..].iter().all(|at| *at >= 2_050), "one finds out");
}

#[test]
fn six_deployments_on_one_key_are_found_closed_once() {
    let config = snapshot_with_keys(&[("g", 6)], "", |_, _| "k".to_owned());
    let mut world = World::new(config, vec![limited(3_000); 6], 1);
    world.arrive(0, "g", Controls::default());
    for _ in 0..50 {
        world.arrive(10, "g", Controls::default());
    }
    world.run();
    assert_eq!(answered(&world), 51);
    assert!(last_end(&world) <= 3_505, "{}", last_end(&world));
    let refused = world.began.iter().filter(|one| one.at < 3_000).count() - 1;
    assert!(refused <= 6, "{refused} more were refused");
}

#[test]
fn a_bucket_of_ten_a_second_is_used_up_and_hardly_overdrawn() {
    let bucket = Behaviour::Tokens { holds: 10, per_second: 10, hint_ms: 1_000 };
    for seed in 1..=5 {
        let mut world =
            World::new(snapshot(&[("g", 1)], ""), vec![Upstream::new(vec![(0, bucket)])], seed);
        world.arrivals(0, 60_000, 12, "g");
        world.run();
        let within = |one: &&Ended| one.at <= 60_000 && matches!(one.how, How::Answered(_));
        let per_second = world.ended.iter().filter(within).count() as f64 / 60.0;
        let good = answered(&world);
        let refused = (world.began.len() - good) as f64 / world.began.len() as f64;
        assert!(per_second >= 9.5, "seed {seed}: {per_second} a second");
        assert!(refused <= 0.05, "seed {seed}: {refused} of the attempts were refused");
    }
}

#[test]
fn of_five_that_arrive_after_a_limit_has_ended_one_goes_first() {
    let mut world = lone(Upstream::new(vec![(0, Behaviour::LimitedUntil(1_000, 700))]), "");
    world.arrive(0, "g", Controls { num_retries: Some(0), ..Controls::default() });
    for _ in 0..5 {
        world.arrive(1_100, "g", Controls::default());
    }
    world.run();
    assert_eq!(times_after(&world, 1_000), [1_100, 1_800, 1_800, 2_500, 2_500]);
    let mut slow = lone(Upstream::new(vec![(0, Behaviour::LimitedUntil(1_000, 5_000))]), "");
    slow.arrive(0, "g", Controls { num_retries: Some(0), ..Controls::default() });
    for _ in 0..5 {
        slow.arrive(1_100, "g", Controls::default());
    }
    slow.run();
    assert_eq!(times_after(&slow, 1_000), [1_100, 2_100, 3_100, 4_100, 5_100]);
}

#[test]
fn a_request_without_retries_waits_for_an_outcome_only() {
    let none = || Controls { num_retries: Some(0), ..Controls::default() };
    let mut world = lone(Upstream::new(vec![(0, Behaviour::LimitedUntil(1_000, 700))]), "");
    world.arrive(0, "g", none());
    world.arrive(500, "g", none());
    world.arrive(1_100, "g", none());
    world.arrive(1_200, "g", none());
    world.run();
    let how: Vec<_> = world.ended.iter().map(|one| (one.began, one.at, one.how)).collect();
    assert_eq!(how[1], (500, 500, How::Refused), "not for a time");
    assert_eq!(&how[2..], [(1_100, 1_800, How::Answered(0)), (1_200, 2_500, How::Answered(0))]);
    // The outcome is a new time: then it waits no more.
    let twice =
        vec![(0, Behaviour::LimitedUntil(1_000, 50)), (1_050, Behaviour::LimitedUntil(9_000, 50))];
    let mut world = lone(Upstream::new(twice), "");
    world.arrive(0, "g", none());
    world.arrive(1_100, "g", none());
    world.arrive(1_102, "g", none());
    world.run();
    let last = world.ended.iter().find(|one| one.began == 1_102).expect("it ends");
    assert_eq!((last.at, last.how), (1_105, How::Refused));
}

#[test]
fn a_request_that_waits_for_an_outcome_takes_a_slot_that_comes_back_meanwhile() {
    let upstreams =
        vec![Upstream::new(vec![(0, Behaviour::LimitedUntil(1_000, 5_000))]), steady(600)];
    let router = "default_max_parallel_requests: 1";
    let mut world = World::new(snapshot(&[("g", 2)], router), upstreams, 1);
    // One of them learns of the limit, and then has the other member until 1.2 s.
    world.arrive(0, "g", Controls::default());
    world.arrive(0, "g", Controls::default());
    // The attempt whose outcome shows whether the limit has ended takes five seconds.
    world.arrive(1_010, "g", Controls::default());
    world.arrive(1_100, "g", Controls { num_retries: Some(0), ..Controls::default() });
    world.run();
    let last = world.ended.iter().find(|one| one.began == 1_100).expect("it ends");
    assert_eq!(last.how, How::Answered(1), "{last:?}");
    // The slot comes back at about 1.2 s; the next trial would be let in at 2.1 s.
    assert!(last.at < 2_000, "{last:?}");
}

#[test]
fn of_large_bodies_that_wait_the_largest_goes_first() {
    let mut world = lone(limited(3_000), "");
    world.arrive(0, "g", Controls::default());
    world.body_bytes = 100 << 20;
    for i in 0..8 {
        world.arrive(100 + i, "g", Controls::default());
    }
    world.run();
    let memory = world.waits.iter().filter(|wait| wait.why == Ending::Memory);
    // Half of 1 GiB holds five of 100 MiB.
    assert_eq!(memory.clone().count(), 4, "{:?}", world.waits);
    assert!(memory.into_iter().all(|wait| wait.ended == wait.began || wait.ended <= 107));
    assert_eq!(answered(&world), 5);
}

#[test]
fn a_new_config_keeps_the_places_in_line() {
    let mut world = lone(limited(3_000), "");
    world.reloaded = |old| snapshot_again(&[("g", 1)], "", old);
    world.arrive(0, "g", Controls::default());
    world.arrivals(100, 1_100, 20, "g");
    world.reload_at(1_500);
    world.reload_at(1_501);
    world.run();
    assert_eq!(answered(&world), 21);
    assert_in_order(&world);
    let again = world.waits.iter().filter(|wait| wait.why == Ending::LookAgain).count();
    assert_eq!(again, 42, "each looked at both configs");
    // One that has another group to go to goes there.
    let mut world = lone(limited(3_000), "");
    world.reloaded = |old| snapshot_again(&[("g", 2)], "", old);
    world.upstreams.push(steady(50));
    world.arrive(0, "g", Controls::default());
    world.arrive(100, "g", Controls::default());
    world.reload_at(1_500);
    world.run_with_new_members();
    let by_new = world.ended.iter().filter(|one| one.by() == Some(1));
    assert!(by_new.count() == 2 && last_end(&world) <= 1_600, "{:?}", world.ended);
}

/// Five requests of which each met the 429 of a deployment, or waited from the start; then a new config is read.
fn reloaded(retries: &str, reloaded: fn(&Snapshot) -> Snapshot) -> World {
    let mut world = lone(limited(5_000), retries);
    world.reloaded = reloaded;
    world.upstreams.push(steady(50));
    for _ in 0..3 {
        world.arrive(0, "g", Controls::default());
    }
    world.arrivals(100, 200, 100, "g");
    world.reload_at(1_500);
    world.run_with_new_members();
    world
}

#[test]
fn a_new_config_with_other_keys_or_members_serves_those_that_had_met_the_limit() {
    let others: [fn(&Snapshot) -> Snapshot; 3] = [
        // Another key under the same id.
        |old| snapshot_rotated(&[("x", 1), ("g", 1)], "", old),
        // Another id.
        |old| snapshot_rotated(&[("x", 1), ("g", 1)], "other-", old),
        // Another member.
        |old| snapshot_again(&[("g", 2)], "", old),
    ];
    for new in others {
        let world = reloaded("", new);
        let by_new = world.ended.iter().filter(|one| one.by() == Some(1)).count();
        assert_eq!(by_new, world.ended.len(), "{:?}", world.ended);
        assert!(last_end(&world) <= 1_700, "{:?}", world.ended);
        let old = world.began.iter().filter(|one| one.deployment == 0 && one.at >= 1_500);
        assert_eq!(old.count(), 0, "nothing of the old config is called");
    }
}

#[test]
fn a_new_config_without_the_name_ends_those_that_waited_for_it() {
    let world = reloaded("", |old| snapshot_again(&[("x", 2)], "", old));
    assert_eq!(answered(&world), 0, "{:?}", world.ended);
    assert_eq!(last_end(&world), 1_500, "{:?}", world.ended);
    assert!(world.began.iter().all(|one| one.at < 1_500), "nothing of the old config is called");
}

#[test]
fn at_the_end_of_the_process_only_those_wait_that_can_go_in_time() {
    for (grace, ending) in [(5_000, Ending::Open), (1_000, Ending::Draining)] {
        let mut world = lone(limited(3_000), "");
        world.arrive(0, "g", Controls::default());
        world.arrivals(100, 900, 20, "g");
        world.drain(1_000, grace);
        world.arrive(1_200, "g", Controls::default());
        world.run();
        assert!(world.waits.iter().all(|wait| wait.why == ending), "{grace}: {:?}", world.waits);
        assert_eq!(world.turned, [(1_200, Turned::Draining)], "no new waits");
        match ending {
            Ending::Draining => {
                assert!(world.waits.iter().all(|wait| wait.ended == 1_000), "at once");
            }
            _ => assert_eq!(answered(&world), 17),
        }
    }
}

#[test]
fn the_request_after_a_thousand_is_refused_at_once() {
    let mut world = lone(limited(3_000), "");
    world.arrive(0, "g", Controls { num_retries: Some(0), ..Controls::default() });
    for i in 0..1_001 {
        world.arrive(100 + i / 10, "g", Controls::default());
    }
    world.run();
    assert_eq!(world.turned, [(200, Turned::Full)]);
    assert_eq!(answered(&world), 1_000);
    assert_in_order(&world);
    assert!(last_end(&world) <= 3_700, "{}", last_end(&world));
}

#[test]
fn what_cannot_open_in_time_is_refused_at_arrival() {
    let mut world = lone(limited(20_000), "");
    world.arrive(0, "g", Controls { num_retries: Some(0), ..Controls::default() });
    world.arrive(1_000, "g", Controls::default());
    world.arrive(6_000, "g", Controls::default());
    let hurried = Controls { timeout_ms: Some(5_000), ..Controls::default() };
    world.arrive(14_000, "g", hurried);
    world.run();
    let how: Vec<_> = world.ended.iter().map(|one| (one.began, one.at - one.began)).collect();
    assert_eq!(how[1], (1_000, 0), "19 s are more than 15");
    assert!(how.contains(&(14_000, 0)), "and more than its own deadline: {how:?}");
    assert_eq!(answered(&world), 1);
}

#[test]
fn a_slot_that_comes_back_lets_one_request_in() {
    let router = "default_max_parallel_requests: 2";
    let mut world = World::new(snapshot(&[("g", 1)], router), vec![steady(1_000)], 7);
    world.arrivals(0, 100, 100, "g");
    world.run();
    assert_eq!(answered(&world), 10);
    assert_in_order(&world);
    let mut in_flight: Vec<(u64, i32)> = Vec::new();
    for (attempt, end) in world.began.iter().zip(by_request(&world)) {
        in_flight.extend([(attempt.at, 1), (end, -1)]);
    }
    in_flight.sort_by_key(|(at, change)| (*at, *change));
    let mut now = 0;
    for (_, change) in in_flight {
        now += change;
        assert!(now <= 2);
    }
}

/// When the request of each attempt ended.
fn by_request(world: &World) -> Vec<u64> {
    let end = |one: &Began| {
        let mine = world.ended.iter().filter(|ended| ended.began <= one.at && ended.at > one.at);
        let mut ends: Vec<u64> = mine.map(|ended| ended.at).collect();
        ends.sort_unstable();
        ends.first().copied().unwrap_or(one.at)
    };
    world.began.iter().map(end).collect()
}

#[test]
fn siblings_and_fallbacks_come_before_a_wait() {
    let router = "fallbacks: [{g: [f]}]";
    let upstreams = vec![limited(3_000), limited(3_000), steady(50)];
    let mut world = World::new(snapshot(&[("g", 2), ("f", 1)], router), upstreams, 1);
    world.arrivals(0, 2_000, 10, "g");
    world.run();
    assert!(world.waits.is_empty(), "{:?}", world.waits);
    assert_eq!(answered(&world), 20);
}
