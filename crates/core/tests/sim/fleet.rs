//! Replicas: several gateways, one server between them, and networks that fail.
//!
//! Each replica has a clock of its own, up to half a minute from the others', and an estimate of the server's
//! time that is some milliseconds off. Messages are lost, late and in any order; replicas are cut off in one
//! direction or both, and come back.

use std::collections::{BTreeMap, VecDeque};

use hale_core::cause::Cause;
use hale_core::config::{InMemory, Options, load};
use hale_core::deployment::Deployment;
use hale_core::fleet::{Fleet, Message, Mode, ServerClock, ServerMs};
use hale_core::health::{
    AttemptRef, Claim, Evidence, Failure, FailureContext, HalfOpen, Measured, RateLimit, Verdict,
};
use hale_core::snapshot::Snapshot;
use hale_core::time::Millis;

use crate::world::Chance;

const STEP_MS: u64 = 100;
const EPOCH: u64 = 1_800_000_000_000;
const MEMBERS: usize = 4;
const RPM: u64 = 120;
/// How far an estimate of the server's time is off, milliseconds.
const OFF_MS: u64 = 40;

/// What a network does to a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    Whole,
    Deaf,
    Mute,
    Cut,
}

/// A group of deployments; the first one has a limit.
fn config() -> Snapshot {
    let mut yaml = String::from("router_settings: {enable_pre_call_checks: true}\nmodel_list:\n");
    for member in 0..MEMBERS {
        let rpm = if member == 0 { format!(", rpm: {RPM}") } else { String::new() };
        yaml.push_str(&format!(
            "- {{model_name: m, model_info: {{id: d{member}}}, litellm_params: {{model: openai/x, \
             api_key: k{member}{rpm}}}}}\n"
        ));
    }
    let loaded = load(&InMemory::file("f.yaml", yaml), "f.yaml", Options::default(), None);
    loaded.snapshot.expect("the config is good")
}

struct Replica {
    fleet: Fleet,
    snapshot: Snapshot,
    started: u64,
    off: u64,
    link: Link,
    cut_since: Option<u64>,
    inbox: Vec<(u64, Message)>,
    /// The provider's deadline that it keeps to, by deployment.
    keeps: BTreeMap<usize, u64>,
    healed_at: u64,
}

impl Replica {
    fn new(number: usize, chance: &mut Chance) -> Replica {
        Replica {
            fleet: Fleet::new(format!("r{number}").into()),
            snapshot: config(),
            started: chance.below(30_000),
            off: chance.below(2 * OFF_MS),
            link: Link::Whole,
            cut_since: None,
            inbox: Vec::new(),
            keeps: BTreeMap::new(),
            healed_at: 0,
        }
    }

    fn here(&self, at: u64) -> Millis {
        Millis(at + 30_000 - self.started)
    }

    fn clock(&self, at: u64) -> ServerClock {
        ServerClock { here: self.here(at), server: ServerMs(EPOCH + at + self.off - OFF_MS) }
    }

    fn of(&self, member: usize) -> &Deployment {
        &self.snapshot.deployments[member]
    }

    /// The real time at which what it keeps of `member` ends.
    fn until(&self, at: u64, member: usize) -> Option<(u64, bool)> {
        match self.of(member).verdict(self.here(at)) {
            Verdict::Cooling(cooldown) => {
                Some((cooldown.until.0 + self.started - 30_000, cooldown.provider_issued))
            }
            Verdict::Ready | Verdict::Reopening | Verdict::HalfOpen(_) => None,
        }
    }
}

/// The truth about one deployment.
#[derive(Clone, Copy, Debug, Default)]
struct Upstream {
    /// Until when its provider limits the account.
    limited_until: u64,
    /// When a replica was told so at the latest, and which one.
    told_at: u64,
    told_to: usize,
    /// Until when it answers with errors.
    down_until: u64,
}

struct Fleets {
    chance: Chance,
    replicas: Vec<Replica>,
    upstreams: [Upstream; MEMBERS],
    /// When attempts at the first deployment began, on all replicas.
    began: VecDeque<u64>,
    most_in_a_minute: usize,
    failures: Vec<String>,
}

impl Fleets {
    fn new(count: usize, seed: u64) -> Fleets {
        let mut chance = Chance::new(seed);
        let replicas = (0..count).map(|number| Replica::new(number, &mut chance)).collect();
        Fleets {
            chance,
            replicas,
            upstreams: Default::default(),
            began: VecDeque::new(),
            most_in_a_minute: 0,
            failures: Vec::new(),
        }
    }

    /// Sends what `from` says: late, twice, or not at all.
    fn send(&mut self, at: u64, from: usize, message: &Message) {
        if matches!(self.replicas[from].link, Link::Mute | Link::Cut) {
            return;
        }
        let read = Message::read(&message.write(), ServerMs(EPOCH + at))
            .expect("what was written is read");
        for to in (0..self.replicas.len()).filter(|to| *to != from) {
            let late = if self.chance.below(10) == 0 {
                self.chance.below(3_000)
            } else {
                self.chance.below(200)
            };
            let times = match self.chance.below(20) {
                0 => 0,
                1 => 2,
                _ => 1,
            };
            for _ in 0..times {
                self.replicas[to].inbox.push((at + late, read.clone()));
            }
        }
    }

    fn receive(&mut self, at: u64, to: usize) {
        let replica = &mut self.replicas[to];
        let is_deaf = matches!(replica.link, Link::Deaf | Link::Cut);
        let due: Vec<Message> = replica
            .inbox
            .extract_if(.., |(due, _)| *due <= at)
            .map(|(_, message)| message)
            .collect();
        for message in due.iter().filter(|_| !is_deaf) {
            replica.fleet.receive(message, &replica.snapshot);
        }
        let clock = replica.clock(at);
        replica.fleet.settle(&replica.snapshot, clock);
    }

    fn attempt(&mut self, at: u64, by: usize, member: usize) {
        let chance = self.chance.next();
        let replica = &self.replicas[by];
        let (now, deployment) = (replica.here(at), replica.of(member));
        let half_open = match deployment.verdict(now) {
            Verdict::Ready => HalfOpen::NONE,
            Verdict::Cooling(_) => return,
            Verdict::HalfOpen(_) | Verdict::Reopening => {
                match deployment.take_half_open(now, 1_000) {
                    Some(half_open) => half_open,
                    None => return,
                }
            }
        };
        let rates = deployment.state.rates();
        let rpm = (member == 0).then(|| rates.own_part(RateLimit::Requests, RPM));
        let claim = Claim { rpm, counts: true, ..Claim::default() };
        if rates.full(now, &claim).is_some() || !deployment.state.enter(now, &claim) {
            deployment.release_half_open(half_open);
            return;
        }
        if member == 0 {
            self.began.push_back(at);
        }
        let attempt = AttemptRef { started: now, request: chance | 1, half_open };
        let upstream = &mut self.upstreams[member];
        let context = FailureContext {
            has_sibling: true,
            has_fallback: false,
            cooldown_ms: 5_000,
            tolerance: Default::default(),
            attempt_timeout_ms: 1_000,
            many_models: false,
            foreign: None,
        };
        let failure = if upstream.limited_until > at {
            (upstream.told_at, upstream.told_to) = (at, by);
            let hint_ms = Some(upstream.limited_until - at);
            Some(Failure { hint_ms, status: Some(429), ..Failure::of(Cause::RateLimited) })
        } else if upstream.down_until > at {
            Some(Failure { status: Some(500), ..Failure::of(Cause::ServerError) })
        } else {
            // A replica whose network to the server is broken has a bad network in general.
            let is_bad = replica.link == Link::Cut && chance.is_multiple_of(3);
            is_bad.then(|| Failure::of(Cause::Connect))
        };
        let evidence = match failure {
            Some(failure) => Evidence::Failed { attempt, failure, model: "", context: &context },
            None => Evidence::Succeeded { attempt, measured: Measured::default(), model: "" },
        };
        deployment.apply(now, &evidence);
        deployment.state.leave();
    }

    /// What must hold at any time.
    fn look(&mut self, at: u64) {
        while self.began.front().is_some_and(|began| began + 60_000 <= at) {
            self.began.pop_front();
        }
        self.most_in_a_minute = self.most_in_a_minute.max(self.began.len());
        let mut wrong = Vec::new();
        let since_whole = |replica: &Replica| match replica.link {
            Link::Whole => replica.healed_at,
            Link::Deaf | Link::Mute | Link::Cut => u64::MAX - 10_000,
        };
        let whole: Vec<u64> = self.replicas.iter().map(since_whole).collect();
        for (number, replica) in self.replicas.iter_mut().enumerate() {
            for member in 0..MEMBERS {
                let truth = self.upstreams[member];
                let known = replica.until(at, member);
                if let Some((until, true)) = known {
                    if until > truth.limited_until + 2 * OFF_MS + STEP_MS {
                        wrong.push(format!(
                            "{at}: r{number} keeps {member} out until {until}, {truth:?}"
                        ));
                    }
                    let before = replica.keeps.insert(member, until);
                    if before.is_some_and(|before| until < before) {
                        wrong.push(format!(
                            "{at}: r{number} moved {member} back to {until} from {before:?}"
                        ));
                    }
                } else if let Some(before) = replica.keeps.remove(&member)
                    && before > at
                    // A longer cooldown of another cause may hide it.
                    && known.is_none_or(|(until, _)| until < before)
                {
                    wrong.push(format!(
                        "{at}: r{number} dropped the deadline {before} of {member}, {known:?}"
                    ));
                }
                // Cooldowns of ours after short outages last 22 s at most; 15 s until a replica is gone.
                let healed = truth.down_until.max(truth.limited_until).max(replica.healed_at);
                if at > healed + 40_000 && known.is_some() {
                    wrong.push(format!(
                        "{at}: r{number} keeps healthy {member} out, {truth:?} {known:?}"
                    ));
                }
                let is_told = truth.limited_until > at + 2 * OFF_MS
                    && truth.told_at > 0
                    && at > truth.told_at + 4_500
                    // Neither the one that knows it nor the one that learns it is cut off.
                    && at > whole[number] + 4_500
                    && at > whole[truth.told_to] + 4_500;
                if is_told && known.is_none() {
                    wrong.push(format!(
                        "{at}: r{number} does not keep the deadline of {member}, {truth:?}"
                    ));
                }
            }
        }
        self.failures.append(&mut wrong);
    }

    fn step(&mut self, at: u64, links: &[Link]) {
        for number in 0..self.replicas.len() {
            let replica = &mut self.replicas[number];
            if replica.link != Link::Whole {
                replica.healed_at = at;
            }
            // At first they get to know each other.
            if at > 5_000 && self.chance.below(300) == 0 {
                replica.link = links[self.chance.below(links.len() as u64) as usize];
            }
            let loses = matches!(replica.link, Link::Mute | Link::Cut);
            replica.cut_since = loses.then(|| replica.cut_since.unwrap_or(at));
        }
        for number in 0..self.replicas.len() {
            self.receive(at, number);
            let replica = &mut self.replicas[number];
            let clock = replica.clock(at);
            // A call that fails shows within two seconds that the server is not reached.
            let lost = replica.cut_since.filter(|since| at >= since + 2_000);
            let is_second = at.is_multiple_of(1_000);
            if is_second {
                let mode = lost.map_or(Mode::Shared, |since| Mode::Local(replica.here(since)));
                replica.fleet.share(&replica.snapshot, clock, mode);
            }
            let published = replica.fleet.publish(&replica.snapshot, clock);
            if let Some(news) = &published.news {
                self.send(at, number, news);
            }
            if is_second {
                self.send(at, number, &published.whole);
            }
        }
    }

    fn run(mut self, seconds: u64, links: &[Link], faults: bool) -> Fleets {
        for at in (STEP_MS..seconds * 1_000).step_by(STEP_MS as usize) {
            self.step(at, links);
            if faults && self.chance.below(150) == 0 {
                let upstream = &mut self.upstreams[self.chance.below(MEMBERS as u64) as usize];
                let length = 1_000 + self.chance.below(15_000);
                if self.chance.below(2) == 0 && upstream.limited_until <= at {
                    (upstream.limited_until, upstream.told_at) = (at + length, 0);
                } else {
                    upstream.down_until = at + length;
                }
            }
            // Traffic wanders from replica to replica.
            let busy = (at / 40_000) as usize % self.replicas.len();
            if at > 5_000 {
                for number in 0..self.replicas.len() {
                    let requests = if number == busy { 3 } else { self.chance.below(2) };
                    for _ in 0..requests {
                        let member = self.chance.below(MEMBERS as u64) as usize;
                        self.attempt(at, number, member);
                    }
                }
            }
            self.look(at);
        }
        self
    }
}

const BROKEN: [Link; 5] = [Link::Whole, Link::Whole, Link::Deaf, Link::Mute, Link::Cut];

fn assert_holds(fleets: &Fleets, seed: u64) {
    let first = fleets.failures.iter().take(5).collect::<Vec<_>>();
    assert!(first.is_empty(), "seed {seed}, {} replicas: {first:#?}", fleets.replicas.len());
}

#[test]
fn replicas_keep_deadlines_together_and_no_healthy_deployment_out_whatever_their_network_does() {
    for seed in 0..20 {
        let count = 2 + seed as usize % 4;
        let fleets = Fleets::new(count, seed).run(240, &BROKEN, true);
        assert_holds(&fleets, seed);
    }
}

#[test]
fn replicas_together_exceed_a_rate_by_one_share_at_most() {
    for seed in 0..8 {
        let count = 2 + seed as usize % 4;
        for links in [&[Link::Whole][..], &[Link::Whole, Link::Cut], &BROKEN] {
            let fleets = Fleets::new(count, seed).run(300, links, false);
            let most = RPM as usize + RPM as usize / count;
            assert!(
                fleets.most_in_a_minute <= most,
                "seed {seed}: {} in a minute by {count} replicas, {links:?}",
                fleets.most_in_a_minute
            );
            // The limit is used: the shares follow the traffic.
            assert!(fleets.most_in_a_minute * 2 > RPM as usize, "{}", fleets.most_in_a_minute);
        }
    }
}
