//! Coding agents before providers that keep prompts for five minutes: how much is read from their caches, and how evenly
//! the members are used.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use hale_core::route::{Affinity, Controls, NamedBy};

use crate::figures::{outage, steady};
use crate::report::shows;
use crate::upstream::{Behaviour, Upstream};
use crate::world::{World, snapshot};

/// A turn of each agent, milliseconds.
const TURN_MS: u64 = 180_000;
/// How long a member keeps a prompt, milliseconds.
const KEPT_MS: u64 = 300_000;
/// Tokens of the first turn, and of what each turn adds.
const PROMPT: (u64, u64) = (12_000, 800);
/// What a token of the cache costs, as a part of another one.
const CACHED_PRICE: f64 = 0.1;
/// Tokens that a member reads in a second where none are cached.
const READS: f64 = 5_000.0;

/// What came of it.
struct Found {
    /// The share of the prompts' tokens that was read from a cache.
    cached: f64,
    /// What the prompts cost, as a part of the price without a cache.
    cost: f64,
    /// The mean time that a member reads before it begins to answer, seconds.
    reading_s: f64,
    /// The busiest member's requests, as a part of the mean.
    skew: f64,
    answered: f64,
}

fn agents(count: u64, turns: u64, router: &str, upstreams: Vec<Upstream>) -> Found {
    let members = upstreams.len();
    let mut world = World::new(snapshot(&[("g", members)], router), upstreams, 7);
    // Each agent has milliseconds of its own, which tell its requests from those of others.
    let began = |agent: u64, turn: u64| turn * TURN_MS + agent * TURN_MS / count;
    for turn in 0..turns {
        for agent in 0..count {
            let named = Affinity::of(NamedBy::Session, [&agent.to_be_bytes()[..]]);
            let controls = Controls { affinity: Some(named), ..Controls::default() };
            world.arrive(began(agent, turn), "g", controls);
        }
    }
    world.run();
    measured(&world, members, |at| {
        let agent = (0..count).rev().find(|agent| at % TURN_MS >= began(*agent, 0));
        (agent.unwrap_or(0), at / TURN_MS)
    })
}

#[allow(clippy::cast_precision_loss, reason = "counts are small")]
fn measured(world: &World, members: usize, whose: impl Fn(u64) -> (u64, u64)) -> Found {
    // When each agent's conversation was last read by each member, and how far.
    let mut kept: BTreeMap<(u64, u32), (u64, u64)> = BTreeMap::new();
    let (mut all, mut cached, mut answered) = (0u64, 0u64, 0u64);
    let mut by_member = vec![0u64; members];
    let mut ended: Vec<_> = world.ended.iter().collect();
    ended.sort_by_key(|one| one.began);
    for one in ended {
        let (agent, turn) = whose(one.began);
        let prompt = PROMPT.0 + turn * PROMPT.1;
        let Some(member) = one.by() else { continue };
        let known = kept.insert((agent, member), (one.at, prompt));
        let warm = known.filter(|(at, _)| one.began.saturating_sub(*at) <= KEPT_MS);
        all += prompt;
        cached += warm.map_or(0, |(_, tokens)| tokens);
        answered += 1;
        by_member[member as usize] += 1;
    }
    let busiest = by_member.iter().max().copied().unwrap_or(0) as f64;
    let cached_share = cached as f64 / all as f64;
    Found {
        cached: cached_share,
        cost: 1.0 - cached_share * (1.0 - CACHED_PRICE),
        reading_s: (all - cached) as f64 / READS / answered as f64,
        skew: busiest * members as f64 / answered as f64,
        answered: answered as f64 / world.ended.len() as f64,
    }
}

const RANDOM: &str = "affinity: off";
const HOME: &str = "affinity: session";

fn four() -> Vec<Upstream> {
    vec![steady(20_000); 4]
}

/// The first of four is down for that many seconds, in the middle.
fn with_outage(seconds: u64) -> Vec<Upstream> {
    let mut upstreams = four();
    upstreams[0] = outage(Behaviour::Down, 10_000, 10_000 + seconds);
    upstreams
}

#[test]
fn sessions_of_agents_read_their_prompts_from_the_cache() {
    let home = agents(20, 200, HOME, four());
    let random = agents(20, 200, RANDOM, four());
    assert!(home.cached >= 0.95, "{}", home.cached);
    assert!(random.cached < 0.4, "{}", random.cached);
    assert!((home.answered, random.answered) == (1.0, 1.0));
}

#[test]
fn many_sessions_share_the_members_evenly() {
    let home = agents(400, 50, HOME, four());
    assert!(home.skew <= 1.25 && home.cached > 0.85, "{} {}", home.skew, home.cached);
}

#[test]
fn an_outage_costs_each_session_of_the_member_a_few_cold_turns() {
    for seconds in [120, 1_200] {
        let home = agents(20, 200, HOME, with_outage(seconds));
        assert!(home.cached >= 0.95 && home.answered >= 1.0, "{seconds}: {}", home.cached);
    }
}

/// What it is called, agents, turns, and the members.
type Case = (&'static str, u64, u64, fn() -> Vec<Upstream>);

#[test]
fn the_table_is_what_the_document_shows() {
    let mut text = String::from(
        "\n| 4 members, a turn each 180 s | affinity | tokens from the cache | cost of the prompts | reading before an answer | busiest member / mean |\n\
         |---|---|---|---|---|---|\n",
    );
    let cases: [Case; 4] = [
        ("20 agents, 200 turns", 20, 200, four),
        ("400 agents, 50 turns", 400, 50, four),
        ("20 agents, a member is down for 2 minutes", 20, 200, || with_outage(120)),
        ("20 agents, a member is down for 20 minutes", 20, 200, || with_outage(1_200)),
    ];
    for (name, count, turns, upstreams) in cases {
        for (affinity, router) in [("off", RANDOM), ("session", HOME)] {
            let found = agents(count, turns, router, upstreams());
            // Writing to a string cannot fail.
            let _written = writeln!(
                text,
                "| {name} | `{affinity}` | {:.1} % | {:.0} % | {:.2} s | {:.2} |",
                found.cached * 100.0,
                found.cost * 100.0,
                found.reading_s,
                found.skew,
            );
        }
    }
    text.push('\n');
    shows("affinity", &text);
}
