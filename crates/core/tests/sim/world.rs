//! The world: requests arrive, walk, meet upstreams, and end. One heap of events, one clock.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;

use hale_core::config::{Options, Source, load};
use hale_core::deployment::DeploymentIndex;
use hale_core::health::{AttemptRef, Failure, Measured, Surroundings, Transition};
use hale_core::route::{AttemptPlan, Controls, GiveUp, Next, Resolved, Tried, Walk, resolve};
use hale_core::snapshot::Snapshot;
use hale_core::time::Millis;

use crate::upstream::{Meets, Upstream};

/// A small generator; equal seeds give equal worlds.
#[derive(Clone, Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Chance {
        Chance(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }
}

/// The config of a world.
struct Yaml(String);

impl Source for Yaml {
    fn read(&self, _path: &str) -> io::Result<Vec<u8>> {
        Ok(self.0.clone().into_bytes())
    }

    fn env(&self, _name: &str) -> Option<String> {
        None
    }
}

/// The snapshot of a config; each group is a name and how many members it has.
pub(crate) fn snapshot(groups: &[(&str, usize)], router: &str) -> Snapshot {
    let mut yaml = String::from("model_list:\n");
    for (name, count) in groups {
        for member in 0..*count {
            yaml.push_str(&format!(
                "- {{model_name: {name}, model_info: {{id: {name}-{member}}}, litellm_params: \
                 {{model: openai/x, api_key: k{name}{member}}}}}\n"
            ));
        }
    }
    yaml.push_str(&format!("router_settings: {{{router}}}\n"));
    let loaded = load(&Yaml(yaml), "sim.yaml", Options::default(), None);
    assert!(loaded.errors().next().is_none(), "{:?}", loaded.problems);
    loaded.snapshot.expect("the config is good")
}

/// How one request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) began: u64,
    pub(crate) at: u64,
    /// Who answered.
    pub(crate) by: Option<u32>,
    pub(crate) refused: bool,
    pub(crate) attempts: usize,
}

/// One attempt, from its begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Began {
    pub(crate) at: u64,
    pub(crate) deployment: u32,
    pub(crate) trial: bool,
    pub(crate) request: usize,
}

struct Request {
    walk: Walk,
    began: u64,
    number: u64,
    ended: bool,
}

enum Event {
    Arrive(&'static str, Controls),
    Step(usize),
    Done(usize, Box<Attempt>),
}

struct Attempt {
    plan: AttemptPlan,
    reference: AttemptRef,
    around: Surroundings,
    meets: Meets,
}

/// Everything there is.
pub(crate) struct World {
    pub(crate) snapshot: Snapshot,
    pub(crate) upstreams: Vec<Upstream>,
    pub(crate) chance: Chance,
    pub(crate) now: u64,
    events: Vec<Option<Event>>,
    heap: BinaryHeap<Reverse<(u64, usize)>>,
    requests: Vec<Request>,
    /// Trials under way, by deployment.
    trials: Vec<u32>,
    pub(crate) ended: Vec<Ended>,
    pub(crate) began: Vec<Began>,
    /// When each deployment went to rest and came back, with the attempts then under way.
    pub(crate) transitions: Vec<(u64, u32, bool, u32)>,
}

impl World {
    pub(crate) fn new(snapshot: Snapshot, upstreams: Vec<Upstream>, seed: u64) -> World {
        assert_eq!(snapshot.deployments.len(), upstreams.len());
        World {
            trials: vec![0; upstreams.len()],
            snapshot,
            upstreams,
            chance: Chance::new(seed),
            now: 0,
            events: Vec::new(),
            heap: BinaryHeap::new(),
            requests: Vec::new(),
            ended: Vec::new(),
            began: Vec::new(),
            transitions: Vec::new(),
        }
    }

    fn at(&mut self, time: u64, event: Event) {
        self.heap.push(Reverse((time, self.events.len())));
        self.events.push(Some(event));
    }

    /// A request for `model` arrives at `time`.
    pub(crate) fn arrive(&mut self, time: u64, model: &'static str, controls: Controls) {
        self.at(time, Event::Arrive(model, controls));
    }

    /// Requests for `model` arrive evenly, `per_second` of them, in this span.
    pub(crate) fn arrivals(&mut self, from: u64, to: u64, per_second: u64, model: &'static str) {
        for i in 0..(to - from) * per_second / 1000 {
            self.arrive(from + i * 1000 / per_second, model, Controls::default());
        }
    }

    /// Lets everything happen.
    pub(crate) fn run(&mut self) {
        while let Some(Reverse((time, index))) = self.heap.pop() {
            assert!(time >= self.now, "time goes on");
            self.now = time;
            match self.events[index].take().expect("an event happens once") {
                Event::Arrive(model, controls) => self.begin(model, controls),
                Event::Step(request) => self.step(request),
                Event::Done(request, attempt) => self.done(request, &attempt),
            }
        }
        assert!(self.requests.iter().all(|request| request.ended), "every request ends");
        for deployment in &self.snapshot.deployments {
            assert_eq!(deployment.state.in_flight(), 0, "every place came back");
        }
    }

    fn begin(&mut self, model: &'static str, controls: Controls) {
        let Resolved::Target(target) = resolve(&self.snapshot, model) else { panic!("{model}") };
        let number = self.chance.next();
        let walk = Walk::new(&self.snapshot, target, controls, Millis(self.now)).numbered(number);
        self.requests.push(Request { walk, began: self.now, number, ended: false });
        self.step(self.requests.len() - 1);
    }

    fn step(&mut self, index: usize) {
        loop {
            let chance = self.chance.next();
            let now = Millis(self.now);
            match self.requests[index].walk.next(&self.snapshot, now, chance) {
                Next::Pause(ms) => return self.at(self.now + ms, Event::Step(index)),
                Next::GiveUp(why) => {
                    return self.end(index, None, matches!(why, GiveUp::Refused(_)));
                }
                Next::Attempt(plan) => {
                    let deployment = self.snapshot.deployment(plan.deployment).clone();
                    if deployment.state.enter(now, &plan.claim) {
                        return self.attempt(index, plan);
                    }
                    deployment.release_trial(plan.trial);
                }
            }
        }
    }

    fn attempt(&mut self, index: usize, plan: AttemptPlan) {
        let place = plan.deployment.0 as usize;
        let request = &self.requests[index];
        let reference =
            AttemptRef { started: Millis(self.now), request: request.number, trial: plan.trial };
        let around = request.walk.surroundings(&self.snapshot, &plan);
        self.began.push(Began {
            at: self.now,
            deployment: plan.deployment.0,
            trial: plan.trial.is_held(),
            request: index,
        });
        if plan.trial.is_held() {
            self.trials[place] += 1;
            assert_eq!(self.trials[place], 1, "two trials of {place} at {}", self.now);
        }
        let chance = self.chance.next();
        let (after, meets) = self.upstreams[place].ask(self.now, chance);
        let own_end = self.now.saturating_add(after);
        let (end, meets) =
            if own_end > plan.ends.0 { (plan.ends.0, Meets::Silence) } else { (own_end, meets) };
        let attempt = Attempt { plan, reference, around, meets };
        self.at(end, Event::Done(index, Box::new(attempt)));
    }

    fn done(&mut self, index: usize, attempt: &Attempt) {
        let Attempt { plan, reference, around, meets } = attempt;
        let now = Millis(self.now);
        let deployment = self.snapshot.deployment(plan.deployment).clone();
        deployment.state.leave();
        if plan.trial.is_held() {
            self.trials[plan.deployment.0 as usize] -= 1;
        }
        let (cause, status, hint_ms) = match *meets {
            Meets::Answer => {
                let whole = now.since(reference.started);
                let measured =
                    Measured { whole_ms: Some(whole), output_tokens: 100, ..Measured::default() };
                let change = deployment.succeeded(now, *reference, &measured, "");
                self.changed(plan.deployment, change);
                return self.end(index, Some(plan.deployment.0), false);
            }
            Meets::Failure(cause, status, hint) => (cause, status, hint),
            Meets::Silence if plan.ends_by_caller => {
                (hale_core::cause::Cause::ClientTimeout, None, None)
            }
            Meets::Silence => (hale_core::cause::Cause::Timeout, None, None),
        };
        let failure = Failure { cause, status, hint_ms };
        let change = deployment.failed(now, *reference, failure, "", around);
        self.changed(plan.deployment, change);
        let tried = Tried {
            group: "".into(),
            deployment: plan.deployment,
            status,
            cause,
            message: "".into(),
            ms: now.since(reference.started),
            hint_ms,
        };
        let chance = self.chance.next();
        self.requests[index].walk.failed(&self.snapshot, tried, plan.trial.is_held(), now, chance);
        self.step(index);
    }

    fn changed(&mut self, deployment: DeploymentIndex, change: Option<Transition>) {
        let in_flight = self.snapshot.deployment(deployment).state.in_flight();
        let opened = match change {
            None => return,
            Some(Transition::Opened(_)) => true,
            Some(Transition::Closed) => false,
            Some(Transition::Vindicated(change)) => panic!("nobody checks here: {change:?}"),
        };
        self.transitions.push((self.now, deployment.0, opened, in_flight));
    }

    fn end(&mut self, index: usize, by: Option<u32>, refused: bool) {
        let request = &mut self.requests[index];
        assert!(!request.ended, "a request ends once");
        request.ended = true;
        let attempts = request.walk.tried().len() + usize::from(by.is_some());
        self.ended.push(Ended { began: request.began, at: self.now, by, refused, attempts });
    }

    /// Share of requests of that span that were answered, from 0 to 1.
    pub(crate) fn success(&self, from: u64, to: u64) -> f64 {
        let all = self.ended.iter().filter(|one| (from..to).contains(&one.began));
        let good = all.clone().filter(|one| one.by.is_some()).count();
        ratio(good, all.count())
    }

    /// Share of the attempts of that span that went to `deployment`.
    pub(crate) fn share(&self, deployment: u32, from: u64, to: u64) -> f64 {
        let all = self.began.iter().filter(|one| (from..to).contains(&one.at));
        let own = all.clone().filter(|one| one.deployment == deployment).count();
        ratio(own, all.count())
    }
}

#[allow(clippy::cast_precision_loss, reason = "counts are small")]
pub(crate) fn ratio(part: usize, whole: usize) -> f64 {
    if whole == 0 { 1.0 } else { part as f64 / whole as f64 }
}
