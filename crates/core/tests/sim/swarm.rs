//! Random worlds: the invariants hold at every step, and once every upstream works, every
//! deployment becomes healthy.

use std::hash::{DefaultHasher, Hash, Hasher};

use hale_core::health::{QUOTA_CAP_MS, Verdict};
use hale_core::route::{Controls, MAX_ATTEMPTS, STRATEGIES};
use hale_core::time::Millis;

use crate::upstream::{Behaviour, Upstream};
use crate::world::{Chance, How, World, snapshot_with_keys};

/// When every upstream works again.
const HEALED: u64 = 120_000;
/// How long the world continues after that.
const END: u64 = 900_000;

fn behaviour(chance: &mut Chance) -> Behaviour {
    match chance.below(12) {
        0 => Behaviour::Down,
        1 => Behaviour::Silent,
        2 => Behaviour::FastFail,
        3 => Behaviour::Brownout(chance.below(100), 100),
        4 => Behaviour::Flap(1_000 + chance.below(9_000), 1_000 + chance.below(9_000)),
        5 => Behaviour::Bucket(chance.below(100)),
        6 => Behaviour::Liar,
        7 => Behaviour::Unauthorized,
        8 => Behaviour::Cuts(chance.below(100)),
        9 => Behaviour::Stalls(chance.below(100)),
        _ => Behaviour::Healthy(20 + chance.below(400)),
    }
}

fn upstream(chance: &mut Chance) -> Upstream {
    let mut plan = vec![(0, behaviour(chance))];
    for _ in 0..chance.below(4) {
        plan.push((chance.below(HEALED), behaviour(chance)));
    }
    plan.sort_by_key(|(from, _)| *from);
    plan.push((HEALED, Behaviour::Healthy(50 + chance.below(100))));
    Upstream::new(plan)
}

fn world(seed: u64) -> World {
    let mut chance = Chance::new(seed);
    let strategy = STRATEGIES[chance.below(STRATEGIES.len() as u64) as usize].name;
    let mut router = format!(
        "routing_strategy: {strategy}, num_retries: {}, timeout: {}, cooldown_time: {}",
        chance.below(4),
        1 + chance.below(5),
        1 + chance.below(10)
    );
    if chance.below(2) == 0 {
        router.push_str(", fallbacks: [{g: [f]}, {f: [g, h]}]");
    }
    if chance.below(4) == 0 {
        router.push_str(", allowed_fails: 2, allowed_fails_policy: {TimeoutErrorAllowedFails: 1}");
    }
    if chance.below(4) == 0 {
        router.push_str(", default_max_parallel_requests: 5");
    }
    let groups =
        [("g", 1 + chance.below(4) as usize), ("f", 1 + chance.below(2) as usize), ("h", 1)];
    let count = groups.iter().map(|(_, count)| count).sum();
    let mut upstreams: Vec<Upstream> = (0..count).map(|_| upstream(&mut chance)).collect();
    // In some worlds all share one key, which is refused for a while.
    let one_key = chance.below(4) == 0;
    if one_key {
        let from = chance.below(HEALED / 2);
        let to = from + chance.below(HEALED / 2);
        upstreams.iter_mut().for_each(|upstream| upstream.refuse_key(from, to));
    }
    let key =
        |name: &str, member| if one_key { "k".to_owned() } else { format!("k{name}{member}") };
    let mut world = World::new(snapshot_with_keys(&groups, &router, key), upstreams, seed);
    // Evenly, or in bursts of a second each.
    let crowds = chance.below(3) == 0;
    for _ in 0..600 {
        let timeout = chance.below(8);
        let leaves = (chance.below(6) == 0).then(|| chance.below(4_000));
        let controls = Controls {
            timeout_ms: (timeout == 0).then(|| 1 + chance.below(5_000)),
            stream: matches!(timeout, 2..=4),
            stream_timeout_ms: (timeout == 2).then(|| 1 + chance.below(3_000)),
            num_retries: (timeout == 1).then(|| chance.below(6) as u32),
            ..Controls::default()
        };
        let time = chance.below(HEALED);
        let time = if crowds { time - time % 10_000 + time % 1_000 } else { time };
        world.visit(time, ["g", "f", "h"][chance.below(3) as usize], controls, leaves);
    }
    for i in 0..(END - HEALED) / 500 {
        let controls = Controls { stream: i % 3 == 0, ..Controls::default() };
        world.arrive(HEALED + i * 500, ["g", "f", "h"][chance.below(3) as usize], controls);
    }
    world
}

/// Runs a world and checks the invariants; returns the hash of everything that happened.
pub(crate) fn check(seed: u64) -> u64 {
    let mut world = world(seed);
    world.run();
    for one in &world.ended {
        assert!(one.attempts <= MAX_ATTEMPTS);
        let none = one.attempts == 0 && one.how != How::Left;
        assert!((one.how == How::Refused) == none, "a refusal is what made no attempt");
    }
    let settled = END - 100_000;
    assert!(world.success(settled, END) >= 1.0, "all is well again");
    for deployment in &world.snapshot.deployments {
        match deployment.verdict(Millis(world.now)) {
            Verdict::Ready | Verdict::Reopening => {}
            Verdict::Cooling(cooldown) | Verdict::HalfOpen(cooldown) => {
                assert!(cooldown.until.0 <= world.now + QUOTA_CAP_MS, "every cooldown ends");
                let alone = world.snapshot.group(deployment.group).members.len() == 1;
                assert!(!alone, "who is asked comes back: {}", deployment.id);
            }
        }
    }
    let mut hasher = DefaultHasher::new();
    for one in &world.ended {
        (one.began, one.at, one.by(), one.attempts).hash(&mut hasher);
    }
    for one in &world.began {
        (one.at, one.deployment, one.half_open, one.request).hash(&mut hasher);
    }
    hasher.finish()
}

fn named(seed: u64) -> u64 {
    let checked = std::panic::catch_unwind(|| check(seed));
    checked.unwrap_or_else(|_| {
        panic!(
            "HALE_SIM_SEED={seed} cargo test -p hale-core --test sim equal_seeds_make_equal_worlds"
        )
    })
}

#[test]
fn two_hundred_random_worlds_hold() {
    (0..200).for_each(|seed| {
        named(seed);
    });
}

/// Worlds that once broke a rule: a member that was ejected while requests waited for it, one that opened while a request
/// without retries waited for an outcome elsewhere, and a deadline that left the safety net no time after a wait.
const ONCE_BROKEN: [u64; 3] = [2_869_963_977_421_433_097, 1_252, 5_171];

#[test]
fn worlds_that_once_broke_a_rule_hold() {
    for seed in ONCE_BROKEN {
        named(seed);
    }
}

#[test]
#[ignore = "takes minutes: for scripts/test --long"]
fn ten_thousand_random_worlds_hold() {
    (0..10_000).for_each(|seed| {
        named(seed);
    });
}

#[test]
fn equal_seeds_make_equal_worlds() {
    let seed = std::env::var("HALE_SIM_SEED").ok().and_then(|text| text.parse().ok());
    assert_eq!(named(seed.unwrap_or(0)), named(seed.unwrap_or(0)), "equal seeds, equal worlds");
}
