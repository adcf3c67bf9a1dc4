//! Leases of probes: replicas that ask a server at times of their own, and one that is killed.
//!
//! The replicas know each other by messages, as in [`crate::fleet`], so that one that was killed counts as
//! alive for a while. It must not matter: what it held is held by another one within two periods.

use std::collections::BTreeMap;
use std::sync::Arc;

use hale_core::config::{InMemory, Options, load};
use hale_core::fleet::{Fleet, Holding, Leases, Message, ServerClock, ServerMs, Want};
use hale_core::snapshot::Snapshot;
use hale_core::time::Millis;

use crate::world::Chance;

const STEP_MS: u64 = 100;
const SUBJECTS: usize = 50;
const EPOCH: u64 = 1_800_000_000_000;

struct Replica {
    name: Arc<str>,
    fleet: Fleet,
    leases: Leases,
    /// When within a second it asks.
    phase: u64,
}

struct World {
    chance: Chance,
    snapshot: Snapshot,
    subjects: Vec<Arc<str>>,
    period_ms: u64,
    replicas: Vec<Replica>,
    /// The server's leases: who has each, and until when.
    server: BTreeMap<Arc<str>, (Arc<str>, u64)>,
}

impl World {
    fn new(count: usize, period_ms: u64, seed: u64) -> World {
        let yaml = "model_list: [{model_name: m, litellm_params: {model: openai/x, api_key: k}}]\n";
        let loaded = load(&InMemory::file("f.yaml", yaml), "f.yaml", Options::default(), None);
        let mut chance = Chance::new(seed);
        let replica = |number: usize| {
            // A name is random, as that of a real one.
            let name: Arc<str> = format!("r{number}-{seed}").into();
            Replica {
                fleet: Fleet::new(name.clone()),
                name,
                leases: Leases::default(),
                phase: chance.below(1_000 / STEP_MS) * STEP_MS,
            }
        };
        World {
            replicas: (0..count).map(replica).collect(),
            chance,
            snapshot: loaded.snapshot.expect("the config is good"),
            subjects: (0..SUBJECTS).map(|one| format!("d{one}").into()).collect(),
            period_ms,
            server: BTreeMap::new(),
        }
    }

    /// What the script in the real server does.
    fn serve(
        &mut self,
        at: u64,
        me: &Arc<str>,
        asked: &BTreeMap<Arc<str>, Want>,
    ) -> Vec<Option<Holding>> {
        self.server.retain(|_, (_, until)| *until > at);
        let mut told = Vec::new();
        for subject in &self.subjects {
            let is_mine = |known: Option<&(Arc<str>, u64)>| known.is_some_and(|(one, _)| one == me);
            let known = self.server.get(subject);
            match asked.get(subject) {
                Some(Want::Hold) if known.is_none() || is_mine(known) => {
                    self.server.insert(subject.clone(), (me.clone(), at + self.period_ms));
                }
                Some(Want::GiveUp) if is_mine(known) => {
                    self.server.remove(subject);
                }
                Some(Want::Hold | Want::GiveUp) | None => {}
            }
            told.push(self.server.get(subject).map(|(holder, until)| match holder == me {
                true => Holding::Own(Millis(*until)),
                false => Holding::Other(holder.clone(), Millis(*until)),
            }));
        }
        told
    }

    fn ask(&mut self, at: u64, number: usize) {
        let now = Millis(at);
        let replica = &mut self.replicas[number];
        let me = replica.name.clone();
        let clock = ServerClock { here: now, server: ServerMs(EPOCH + at) };
        let whole = replica.fleet.publish(&self.snapshot, clock).whole.write();
        let others: Vec<Arc<str>> = replica.fleet.peers().alive(clock.server).cloned().collect();
        let wanted = replica.leases.wanted(now, &self.subjects, (&me, &others), self.period_ms);
        let mut wanted: BTreeMap<Arc<str>, Want> = wanted.into_iter().collect();
        // A lease is renewed when a third of it has passed.
        for (subject, holding) in replica.leases.held(now) {
            if matches!(holding, Holding::Own(until) if until.since(now) > self.period_ms / 3 * 2)
                && wanted.get(subject) == Some(&Want::Hold)
            {
                wanted.remove(subject);
            }
        }
        // A call may fail.
        if self.chance.below(50) > 0 {
            let told = self.serve(at, &me, &wanted);
            let leases = &mut self.replicas[number].leases;
            for (subject, told) in self.subjects.iter().zip(told) {
                leases.told(now, subject, told);
            }
        }
        let message = Message::read(&whole, clock.server).expect("what was written is read");
        for other in self.replicas.iter_mut().filter(|one| one.name != me) {
            other.fleet.receive(&message, &self.snapshot);
        }
    }

    fn step(&mut self, at: u64) {
        for number in 0..self.replicas.len() {
            if at % 1_000 == self.replicas[number].phase {
                self.ask(at, number);
            }
        }
    }

    /// The subjects of which no replica that is there holds the lease.
    fn free(&self, at: u64) -> impl Iterator<Item = &Arc<str>> {
        let is_held = move |(holder, until): &(Arc<str>, u64)| {
            *until > at && self.replicas.iter().any(|one| one.name == *holder)
        };
        self.subjects.iter().filter(move |one| !self.server.get(*one).is_some_and(is_held))
    }

    fn kill_the_busiest(&mut self) {
        let mut counts: BTreeMap<&Arc<str>, usize> = BTreeMap::new();
        self.server.values().for_each(|(holder, _)| *counts.entry(holder).or_default() += 1);
        let busiest = counts.into_iter().max_by_key(|(_, count)| *count).expect("one holds some");
        let busiest = busiest.0.clone();
        self.replicas.retain(|one| one.name != busiest);
    }
}

#[test]
fn what_the_busiest_replica_held_is_held_by_others_within_two_periods_of_its_end() {
    for (number, period_ms) in
        [3_000, 6_000, 12_000, 30_000].into_iter().cycle().take(24).enumerate()
    {
        let count = 2 + number / 4 % 4;
        let mut world = World::new(count, period_ms, number as u64);
        let killed = 30_000 + world.chance.below(20) * STEP_MS;
        let end = killed + 4 * period_ms + 40_000;
        let mut free_since: BTreeMap<Arc<str>, u64> = BTreeMap::new();
        let mut longest = 0;
        for at in (0..end).step_by(STEP_MS as usize) {
            if at == killed {
                assert_eq!(world.free(at).count(), 0, "seed {number}");
                world.kill_the_busiest();
            }
            world.step(at);
            let free: Vec<Arc<str>> = world.free(at).cloned().collect();
            free_since.retain(|subject, _| free.contains(subject));
            for subject in free {
                longest = longest.max(at - *free_since.entry(subject).or_insert(at));
            }
        }
        // Not even when it counts as gone is one left alone.
        let what = format!("seed {number}: {count} replicas, {longest} ms of {period_ms}");
        assert!((period_ms / 2..=2 * period_ms).contains(&longest), "{what}");
    }
}
