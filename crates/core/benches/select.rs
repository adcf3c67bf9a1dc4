//! What it costs to choose a deployment: `cargo bench -p hale-core`.
//!
//! The goals: 1 us at 10 deployments; at 1,000 5 us for `health-aware` and 30 us for those that scan; 2 ms for the
//! names that are nearest to an unknown one among 10,000 groups.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use hale_core::config::{InMemory, Options, load};
use hale_core::health::{AttemptRef, Evidence, Measured};
use hale_core::route::{Controls, Next, Resolved, RoutePlan, Target, nearest_names, resolve};
use hale_core::snapshot::Snapshot;
use hale_core::time::Millis;

fn main() {
    divan::main();
}

fn group(strategy: &str, count: usize) -> (Snapshot, Target) {
    let mut yaml = String::from("model_list:\n");
    // Where rates are limits, each candidate is held against its own.
    let limits = if strategy.starts_with("usage") { ", rpm: 1000, tpm: 1000000" } else { "" };
    for i in 0..count {
        yaml.push_str(&format!(
            "- {{model_name: g, litellm_params: {{model: openai/x, api_key: k{i}{limits}}}}}\n"
        ));
    }
    yaml.push_str(&format!("router_settings: {{routing_strategy: {strategy}}}\n"));
    let loaded = load(&InMemory::file("c.yaml", yaml), "c.yaml", Options::default(), None);
    let snapshot = loaded.snapshot.expect("the config is good");
    for (i, deployment) in snapshot.deployments.iter().enumerate() {
        let attempt = AttemptRef {
            started: Millis(0),
            request: 1,
            half_open: hale_core::health::HalfOpen::NONE,
        };
        let measured = Measured {
            whole_ms: Some(100 + i as u64),
            tokens: 1 + i as u64,
            ..Measured::default()
        };
        deployment.apply(Millis(0), &Evidence::Succeeded { attempt, measured, model: "" });
    }
    let Resolved::Target(target) = resolve(&snapshot, "g") else { panic!("g") };
    (snapshot, target)
}

#[divan::bench(
    args = [1, 10, 1_000],
    consts = [0, 1, 2, 3, 4, 5, 6, 7],
)]
fn first_attempt<const STRATEGY: usize>(bencher: divan::Bencher<'_, '_>, count: usize) {
    let (snapshot, target) = group(hale_core::route::STRATEGIES[STRATEGY].name, count);
    let mut chance = 0u64;
    bencher.bench_local(|| {
        chance = chance.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut route_plan =
            RoutePlan::new(&snapshot, target.clone(), Controls::default(), Millis(5));
        let Next::Attempt(plan) = route_plan.next(&snapshot, Millis(5), chance) else {
            panic!("none")
        };
        plan.deployment
    });
}

/// The model that a client asks for is close to every group, or to none.
#[divan::bench(args = ["team-07777/a-model-with-a-long-name-that-is-neer-the-longest-one", "zzzzzzzz"])]
fn unknown_name(bencher: divan::Bencher<'_, '_>, name: &str) {
    let mut yaml = String::from("model_list:\n");
    for i in 0..10_000 {
        yaml.push_str(&format!(
            "- {{model_name: team-{i:05}/a-model-with-a-long-name-that-is-near-the-longest-one, \
             litellm_params: {{model: openai/x, api_key: k}}}}\n"
        ));
    }
    let loaded = load(&InMemory::file("c.yaml", yaml), "c.yaml", Options::default(), None);
    let snapshot = loaded.snapshot.expect("the config is good");
    bencher.bench_local(|| nearest_names(&snapshot, name));
}
