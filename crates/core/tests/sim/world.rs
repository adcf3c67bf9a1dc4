//! The world: requests arrive, are routed, meet upstreams, and end. One heap of events, one clock.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use hale_core::cause::Cause;
use hale_core::config::{InMemory, Options, load};
use hale_core::deployment::{Deployment, DeploymentIndex};
use hale_core::health::{
    AttemptRef, Evidence, Failure, FailureContext, HalfOpen, HealthEvents, Measured, OperatorAction,
};
use hale_core::route::{
    AttemptPlan, Controls, Exclusion, GiveUp, Next, Repeat, Resolved, RoutePlan, SetBy, Slot,
    Tried, resolve,
};
use hale_core::snapshot::Snapshot;
use hale_core::time::Millis;
use hale_core::waiting::{Grant, Limits, Queue, Release, Ticket, Turned, Why};

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

/// The snapshot of a config; each group is a name and a number of members, each with a key of its
/// own.
pub(crate) fn snapshot(groups: &[(&str, usize)], router: &str) -> Snapshot {
    snapshot_with_keys(groups, router, |name, member| format!("k{name}{member}"))
}

/// The same with these keys.
pub(crate) fn snapshot_with_keys(
    groups: &[(&str, usize)],
    router: &str,
    key: impl Fn(&str, usize) -> String,
) -> Snapshot {
    loaded(groups, (router, ""), key, None)
}

/// The same config, read again.
pub(crate) fn snapshot_again(groups: &[(&str, usize)], router: &str, old: &Snapshot) -> Snapshot {
    loaded(groups, (router, ""), |name, member| format!("k{name}{member}"), Some(old))
}

/// The same with other keys, under ids that begin with `ids`.
pub(crate) fn snapshot_rotated(groups: &[(&str, usize)], ids: &str, old: &Snapshot) -> Snapshot {
    let key = |name: &str, member| format!("rotated{name}{member}");
    loaded(groups, ("", ids), key, Some(old))
}

fn loaded(
    groups: &[(&str, usize)],
    (router, ids): (&str, &str),
    key: impl Fn(&str, usize) -> String,
    previous: Option<&Snapshot>,
) -> Snapshot {
    let mut yaml = String::from("model_list:\n");
    for (name, count) in groups {
        for member in 0..*count {
            let key = key(name, member);
            yaml.push_str(&format!(
                "- {{model_name: {name}, model_info: {{id: {ids}{name}-{member}}}, litellm_params: \
                 {{model: openai/x, api_key: {key}}}}}\n"
            ));
        }
    }
    yaml.push_str(&format!("router_settings: {{{router}}}\n"));
    let file = InMemory::file("sim.yaml", yaml);
    let loaded = load(&file, "sim.yaml", Options::default(), previous);
    assert!(loaded.errors().next().is_none(), "{:?}", loaded.problems);
    loaded.snapshot.expect("the config is good")
}

/// How one request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) began: u64,
    pub(crate) at: u64,
    pub(crate) how: How,
    pub(crate) attempts: usize,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// This deployment answered; a stream, to its end.
    Answered(u32),
    /// The stream of this deployment broke after content.
    Broken(u32),
    /// Everything that was tried failed.
    Failed,
    /// No upstream was called.
    Refused,
    /// The client disconnected.
    Left,
}

impl Ended {
    /// Which deployment answered.
    pub(crate) fn by(&self) -> Option<u32> {
        match self.how {
            How::Answered(by) => Some(by),
            How::Broken(_) | How::Failed | How::Refused | How::Left => None,
        }
    }
}

/// One attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Began {
    pub(crate) at: u64,
    pub(crate) deployment: u32,
    pub(crate) half_open: bool,
    pub(crate) request: usize,
}

/// One wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Waited {
    pub(crate) began: u64,
    pub(crate) ended: u64,
    pub(crate) request: usize,
    pub(crate) ticket: Ticket,
    pub(crate) why: Ending,
}

/// Why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Open,
    LookAgain,
    TimedOut,
    Memory,
    Draining,
}

struct Request {
    route_plan: RoutePlan,
    began: u64,
    number: u64,
    ended: bool,
    stream: bool,
    under_way: Option<Attempt>,
    /// Where its last attempt went.
    asked: Option<DeploymentIndex>,
    waits_since: u64,
    body_bytes: u64,
}

#[allow(clippy::large_enum_variant, reason = "a simulated event is taken apart at once")]
enum Event {
    /// A request, and after how many milliseconds its client disconnects.
    Arrive(&'static str, Controls, Option<u64>),
    Step(usize),
    /// The attempt has its answer, or a stream its first content.
    Meets(usize),
    /// The stream has ended.
    Ends(usize),
    Leaves(usize),
    /// An operator disables a deployment, or enables it.
    Operator(u32, bool),
    /// The queue wants to be looked at.
    Wake,
    /// The process begins to end; its grace ends after this many milliseconds.
    Drain(u64),
    /// A new config, equal to the old one.
    Reload,
}

#[derive(Clone, Copy)]
struct Attempt {
    plan: AttemptPlan,
    reference: AttemptRef,
    context: FailureContext,
    meets: Meets,
    /// From its start to its first content, milliseconds.
    first_content_ms: Option<u64>,
}

/// The whole world.
pub(crate) struct World {
    pub(crate) snapshot: Snapshot,
    pub(crate) upstreams: Vec<Upstream>,
    pub(crate) chance: Chance,
    pub(crate) now: u64,
    events: Vec<Option<Event>>,
    heap: BinaryHeap<Reverse<(u64, usize)>>,
    requests: Vec<Request>,
    /// The requests that had a part in the last step.
    touched: Vec<usize>,
    /// Who waits, and for which request each ticket stands.
    pub(crate) queue: Queue,
    tickets: BTreeMap<Ticket, usize>,
    wake: Option<u64>,
    steps: u64,
    /// When each wait began and ended, of which request, and why.
    pub(crate) waits: Vec<Waited>,
    /// When each attempt with a permit began, by deployment, by credential and by limit.
    half_opens: [Vec<Vec<u64>>; 3],
    /// Which requests may not wait, and when.
    pub(crate) turned: Vec<(u64, Turned)>,
    /// The bytes of each body from now on.
    pub(crate) body_bytes: u64,
    /// What a reload makes of the config.
    pub(crate) reloaded: fn(&Snapshot) -> Snapshot,
    pub(crate) ended: Vec<Ended>,
    pub(crate) began: Vec<Began>,
    /// When each cooldown began and ended, with the attempts then in flight.
    pub(crate) transitions: Vec<(u64, u32, bool, u32)>,
}

impl World {
    pub(crate) fn new(snapshot: Snapshot, upstreams: Vec<Upstream>, seed: u64) -> World {
        assert_eq!(snapshot.deployments.len(), upstreams.len());
        World {
            queue: Queue::new(Limits {
                max_waiting: snapshot.router.max_waiting,
                max_body_bytes: snapshot.gateway.bounds.buffered_bytes as u64 / 2,
            }),
            tickets: BTreeMap::new(),
            wake: None,
            steps: 0,
            waits: Vec::new(),
            half_opens: std::array::from_fn(|_| vec![Vec::new(); upstreams.len()]),
            snapshot,
            upstreams,
            chance: Chance::new(seed),
            now: 0,
            events: Vec::new(),
            heap: BinaryHeap::new(),
            requests: Vec::new(),
            touched: Vec::new(),
            turned: Vec::new(),
            body_bytes: 0,
            reloaded: |_| unreachable!("no reload is planned"),
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
        self.at(time, Event::Arrive(model, controls, None));
    }

    /// The same, and its client disconnects after this many milliseconds.
    pub(crate) fn visit(
        &mut self,
        time: u64,
        model: &'static str,
        controls: Controls,
        after: Option<u64>,
    ) {
        self.at(time, Event::Arrive(model, controls, after));
    }

    /// An operator disables a deployment at `time`, or enables it.
    pub(crate) fn operator(&mut self, time: u64, deployment: u32, out: bool) {
        self.at(time, Event::Operator(deployment, out));
    }

    /// Requests for `model` arrive evenly, `per_second` of them, in this span.
    pub(crate) fn arrivals(&mut self, from: u64, to: u64, per_second: u64, model: &'static str) {
        for i in 0..(to - from) * per_second / 1000 {
            self.arrive(from + i * 1000 / per_second, model, Controls::default());
        }
    }

    /// Checks that what the last step touched is consistent: the deployment and the request's plan.
    fn check_invariants(&mut self) {
        for index in std::mem::take(&mut self.touched) {
            let Request { route_plan, asked, .. } = &self.requests[index];
            assert_eq!(route_plan.check_invariants(&self.snapshot), Ok(()), "at {}", self.now);
            for deployment in asked.iter().map(|index| self.snapshot.deployment(*index)) {
                assert_eq!(deployment.check_invariants(), Ok(()), "at {}", self.now);
            }
        }
    }

    /// Runs until nothing is left to happen.
    pub(crate) fn run(&mut self) {
        while let Some(Reverse((time, index))) = self.heap.pop() {
            assert!(time >= self.now, "time goes on");
            self.now = time;
            match self.events[index].take().expect("an event happens once") {
                Event::Arrive(model, controls, leaves) => self.begin(model, controls, leaves),
                Event::Step(request) => self.step(request),
                Event::Meets(request) => self.touch(request).meets(request),
                Event::Ends(request) => self.touch(request).stream_ends(request),
                Event::Leaves(request) => self.touch(request).leaves(request),
                Event::Operator(deployment, out) => {
                    let deployment = self.snapshot.deployment(DeploymentIndex(deployment));
                    let action = if out { OperatorAction::Disable } else { OperatorAction::Enable };
                    deployment.apply(Millis(self.now), &Evidence::Operator(action));
                    self.queue.look_again();
                }
                Event::Wake => self.wake = None,
                Event::Drain(grace) => {
                    self.queue.drain(Millis(self.now), Millis(self.now + grace));
                }
                Event::Reload => self.reload(),
            }
            self.let_in();
            self.check_invariants();
        }
        assert!(self.queue.is_empty() && self.tickets.is_empty(), "every wait ends");
        assert!(self.requests.iter().all(|request| request.ended), "every request ends");
        for deployment in &self.snapshot.deployments {
            assert_eq!(deployment.state.in_flight(), 0, "every place came back");
        }
        let held = self.half_opens.iter().flatten().flatten().count();
        assert_eq!(held, 0, "every permit came back");
    }

    fn begin(&mut self, model: &'static str, controls: Controls, leaves: Option<u64>) {
        let Resolved::Target(target) = resolve(&self.snapshot, model) else { panic!("{model}") };
        let number = self.chance.next();
        let stream = controls.stream;
        let route_plan =
            RoutePlan::new(&self.snapshot, target, controls, Millis(self.now)).numbered(number);
        let began = self.now;
        self.requests.push(Request {
            route_plan,
            began,
            number,
            ended: false,
            stream,
            under_way: None,
            asked: None,
            waits_since: 0,
            body_bytes: self.body_bytes,
        });
        let index = self.requests.len() - 1;
        if let Some(after) = leaves {
            self.at(self.now + after, Event::Leaves(index));
        }
        self.step(index);
    }

    /// Remembers that a request had a part in this step.
    fn touch(&mut self, index: usize) -> &mut World {
        self.touched.push(index);
        self
    }

    fn step(&mut self, index: usize) {
        self.touched.push(index);
        while !self.requests[index].ended {
            let chance = self.chance.next();
            let now = Millis(self.now);
            match self.requests[index].route_plan.next(&self.snapshot, now, chance) {
                Next::Pause(ms) => return self.at(self.now + ms, Event::Step(index)),
                Next::Wait(mut wait) => {
                    wait.body_bytes = self.requests[index].body_bytes;
                    match self.queue.join(*wait, now) {
                        Ok(ticket) => {
                            self.requests[index].route_plan.queued(ticket);
                            self.requests[index].waits_since = self.now;
                            self.tickets.insert(ticket, index);
                            return;
                        }
                        Err(turned) => {
                            self.turned.push((self.now, turned));
                            self.requests[index].route_plan.stop_waiting(now);
                        }
                    }
                }
                Next::GiveUp(GiveUp::Refused(refused)) => {
                    let mut all = refused.iter().flat_map(|group| &group.excluded);
                    assert!(all.all(|one| may_refuse(one.why)), "I1: {refused:?}");
                    return self.end(index, How::Refused);
                }
                Next::GiveUp(GiveUp::Exhausted(_) | GiveUp::Deadline) => {
                    return self.end(index, How::Failed);
                }
                Next::Attempt(plan) => {
                    let deployment = self.snapshot.deployment(plan.deployment).clone();
                    if deployment.state.enter(now, &plan.claim) {
                        return self.attempt(index, plan);
                    }
                    deployment.release_half_open(plan.half_open);
                }
            }
        }
    }

    /// Lets waiting requests go on, as long as there are any that may.
    fn let_in(&mut self) {
        let now = Millis(self.now);
        while let Some(Release { ticket, why }) = self.queue.next(now) {
            let index = self.tickets.remove(&ticket).expect("a ticket is of a request");
            let request = &mut self.requests[index];
            assert!(!request.ended && request.under_way.is_none(), "it waits");
            let kind = match &why {
                Why::Open(_) => Ending::Open,
                Why::LookAgain => Ending::LookAgain,
                Why::TimedOut => Ending::TimedOut,
                Why::Memory => Ending::Memory,
                Why::Draining => Ending::Draining,
            };
            let began = request.waits_since;
            self.waits.push(Waited { began, ended: self.now, request: index, ticket, why: kind });
            match why {
                Why::Open(grant) => self.go_on(index, grant),
                Why::LookAgain => {
                    self.requests[index].route_plan.look_again(&self.snapshot, now);
                    self.step(index);
                }
                Why::TimedOut | Why::Memory | Why::Draining => {
                    self.requests[index].route_plan.stop_waiting(now);
                    self.step(index);
                }
            }
        }
        // Looking at all of a long queue at each step would take most of the time.
        self.steps += 1;
        if self.queue.len() < 4 || self.steps.is_multiple_of(1_024) {
            assert_eq!(self.queue.check_invariants(), Ok(()), "at {}", self.now);
        }
        let wake = self.queue.wake_at().0.max(self.now + 1);
        if !self.queue.is_empty() && self.wake.is_none_or(|planned| planned > wake) {
            self.wake = Some(wake);
            self.at(wake, Event::Wake);
        }
    }

    fn go_on(&mut self, index: usize, grant: Grant) {
        let now = Millis(self.now);
        let deployment = grant.deployment.clone();
        let plan = &mut self.requests[index].route_plan;
        if !plan.still_suits(&self.snapshot, &grant, now) {
            grant.give_back();
            plan.look_again(&self.snapshot, now);
            self.step(index);
            return self.queue.touched(&deployment);
        }
        let plan = plan.go_on(&self.snapshot, &grant, now);
        assert_eq!(plan.slot, Slot::Taken);
        self.touched.push(index);
        self.attempt(index, plan);
    }

    /// The process begins to end at `time`.
    pub(crate) fn drain(&mut self, time: u64, grace: u64) {
        self.at(time, Event::Drain(grace));
    }

    /// The config is read again at `time`.
    pub(crate) fn reload_at(&mut self, time: u64) {
        self.at(time, Event::Reload);
    }

    /// The same as [`World::run`] when a reload adds members: their upstreams are there from the start.
    pub(crate) fn run_with_new_members(&mut self) {
        self.half_opens = std::array::from_fn(|_| vec![Vec::new(); self.upstreams.len()]);
        self.run();
    }

    fn reload(&mut self) {
        let new = (self.reloaded)(&self.snapshot);
        let old = std::mem::replace(&mut self.snapshot, new);
        for request in self.requests.iter_mut().filter(|request| !request.ended) {
            let moved = request.route_plan.move_to(&self.snapshot, &old, Millis(self.now));
            assert_eq!(moved, self.snapshot.by_name.contains_key("g"), "it has the same names");
        }
        self.queue.look_again();
    }

    fn attempt(&mut self, index: usize, plan: AttemptPlan) {
        let place = plan.deployment.0 as usize;
        let request = &self.requests[index];
        let reference = AttemptRef {
            started: Millis(self.now),
            request: request.number,
            half_open: plan.half_open,
        };
        let context = request.route_plan.failure_context(&self.snapshot, &plan);
        self.began.push(Began {
            at: self.now,
            deployment: plan.deployment.0,
            half_open: plan.half_open.is_held(),
            request: index,
        });
        self.count_half_open(&plan, Some(self.now), None);
        let chance = self.chance.next();
        let (after, meets) = self.upstreams[place].ask(self.now, chance);
        let own_end = self.now.saturating_add(after);
        let (end, meets) =
            if own_end > plan.ends.0 { (plan.ends.0, Meets::Silence) } else { (own_end, meets) };
        let attempt = Attempt { plan, reference, context, meets, first_content_ms: None };
        self.requests[index].under_way = Some(attempt);
        self.requests[index].asked = Some(plan.deployment);
        self.at(end, Event::Meets(index));
    }

    /// Counts an attempt with a permit that begins or ends. Of those that are undecided for less than
    /// a second there are at most as many at a subject as it allows: one during a trial.
    fn count_half_open(&mut self, plan: &AttemptPlan, begins: Option<u64>, ends: Option<u64>) {
        let deployment = self.snapshot.deployment(plan.deployment).clone();
        let first = |other: &&Arc<Deployment>| other.shares_credential(&deployment);
        let owner = self.snapshot.deployments.iter().find(first).map(|first| first.index);
        let owner = owner.unwrap_or(plan.deployment);
        let HalfOpen { own, credential, limit } = plan.half_open;
        let credential_state = deployment.credential.shared.as_ref();
        let limit_state = deployment.credential.limit.as_ref();
        for (kind, (permit, place, state)) in [
            (own, plan.deployment, Some(&deployment.state)),
            (credential, owner, credential_state),
            (limit, owner, limit_state),
        ]
        .into_iter()
        .enumerate()
        {
            if permit.is_none() {
                continue;
            }
            let held = &mut self.half_opens[kind][place.0 as usize];
            if let Some(started) = ends {
                let at = held.iter().position(|one| *one == started).expect("it began");
                held.swap_remove(at);
            }
            if let Some(started) = begins {
                held.push(started);
                let young = held.iter().filter(|one| **one + 1_000 > started).count();
                let allowed = state.expect("a permit is of a state").allowed_at_once();
                let allowed = allowed.map_or(usize::MAX, |allowed| allowed as usize);
                assert!(young <= allowed, "{young} of {allowed} at {place:?} at {}", self.now);
            }
        }
    }

    /// The attempt in flight, unless the client has left; it gives its place and permit back.
    fn take_attempt(&mut self, index: usize) -> Option<(Attempt, Arc<Deployment>)> {
        let attempt = self.requests[index].under_way.take()?;
        let deployment = self.snapshot.deployment(attempt.plan.deployment).clone();
        deployment.state.leave();
        self.count_half_open(&attempt.plan, None, Some(attempt.reference.started.0));
        Some((attempt, deployment))
    }

    fn meets(&mut self, index: usize) {
        let request = &self.requests[index];
        let Some(attempt) = request.under_way.filter(|_| !request.ended) else { return };
        if attempt.meets == Meets::Answer && request.stream {
            return self.content(index, attempt);
        }
        let Some((attempt, deployment)) = self.take_attempt(index) else { return };
        let now = Millis(self.now);
        let Attempt { plan, reference, meets, .. } = attempt;
        let (cause, status, hint_ms) = match meets {
            Meets::Answer => {
                let whole = now.since(reference.started);
                let measured =
                    Measured { whole_ms: Some(whole), output_tokens: 100, ..Measured::default() };
                let evidence = Evidence::Succeeded { attempt: reference, measured, model: "" };
                self.changed(plan.deployment, &deployment.apply(now, &evidence));
                return self.end(index, How::Answered(plan.deployment.0));
            }
            Meets::Failure(cause, status, hint) => (cause, status, hint),
            Meets::Silence if plan.ends_set_by == SetBy::Client => {
                (Cause::ClientTimeout, None, None)
            }
            Meets::Silence => (Cause::Timeout, None, None),
        };
        let failure = Failure { cause, status, hint_ms };
        let context = &attempt.context;
        let evidence = Evidence::Failed { attempt: reference, failure, model: "", context };
        self.changed(plan.deployment, &deployment.apply(now, &evidence));
        let tried = Tried {
            group: "".into(),
            deployment: plan.deployment,
            former: None,
            status,
            cause,
            message: "".into(),
            ms: now.since(reference.started),
            resent: false,
            hint_ms,
            half_open: plan.half_open.is_trial(),
            repeat: Repeat::default(),
        };
        let chance = self.chance.next();
        self.requests[index].route_plan.failed(&self.snapshot, tried, now, chance);
        self.step(index);
    }

    /// A stream has content: a half-open request has succeeded, and from now on a failure reaches
    /// the client.
    fn content(&mut self, index: usize, mut attempt: Attempt) {
        let now = Millis(self.now);
        attempt.first_content_ms = Some(now.since(attempt.reference.started));
        if attempt.plan.half_open.is_held() {
            let deployment = self.snapshot.deployment(attempt.plan.deployment).clone();
            let evidence = Evidence::HalfOpenProved { attempt: attempt.reference };
            let events = deployment.apply(now, &evidence);
            self.count_half_open(&attempt.plan, None, Some(attempt.reference.started.0));
            self.queue.touched(&deployment);
            (attempt.plan.half_open, attempt.reference.half_open) =
                (HalfOpen::NONE, HalfOpen::NONE);
            self.changed(attempt.plan.deployment, &events);
        }
        let chance = self.chance.next();
        let place = attempt.plan.deployment.0 as usize;
        let (after, meets) = self.upstreams[place].go_on(self.now, chance);
        let silence = attempt.plan.silence_ms;
        let (after, meets) =
            if meets == Meets::Silence { (silence, meets) } else { (after, meets) };
        attempt.meets = meets;
        self.requests[index].under_way = Some(attempt);
        self.at(self.now + after, Event::Ends(index));
    }

    fn stream_ends(&mut self, index: usize) {
        let Some((attempt, deployment)) = self.take_attempt(index) else { return };
        let now = Millis(self.now);
        let Attempt { plan, reference, meets, .. } = attempt;
        let (cause, status, hint_ms) = match meets {
            Meets::Answer => {
                let measured = Measured {
                    first_content_ms: attempt.first_content_ms,
                    output_tokens: 100,
                    ..Measured::default()
                };
                let evidence = Evidence::Succeeded { attempt: reference, measured, model: "" };
                self.changed(plan.deployment, &deployment.apply(now, &evidence));
                return self.end(index, How::Answered(plan.deployment.0));
            }
            Meets::Failure(cause, status, hint) => (cause, status, hint),
            Meets::Silence if plan.silence_set_by == SetBy::Client => {
                (Cause::ClientTimeout, None, None)
            }
            Meets::Silence => (Cause::StreamStall, None, None),
        };
        let failure = Failure { cause, status, hint_ms };
        let context = &attempt.context;
        let evidence = Evidence::Failed { attempt: reference, failure, model: "", context };
        self.changed(plan.deployment, &deployment.apply(now, &evidence));
        self.end(index, How::Broken(plan.deployment.0));
    }

    /// The client disconnects: its attempt ends and proves nothing.
    fn leaves(&mut self, index: usize) {
        if self.requests[index].ended {
            return;
        }
        if let Some(ticket) = self.requests[index].route_plan.ticket()
            && self.tickets.remove(&ticket).is_some()
        {
            self.queue.leave(ticket);
        }
        if let Some((attempt, deployment)) = self.take_attempt(index) {
            let now = Millis(self.now);
            let before = deployment.verdict(now);
            let failure = Failure::of(Cause::ClientClosed);
            let context = &attempt.context;
            let evidence =
                Evidence::Failed { attempt: attempt.reference, failure, model: "", context };
            let events = deployment.apply(now, &evidence);
            let unchanged = events.is_empty() && deployment.verdict(now) == before;
            assert!(unchanged, "I4: no fault of the deployment");
            self.queue.touched(&deployment);
        }
        self.end(index, How::Left);
    }

    fn changed(&mut self, deployment: DeploymentIndex, events: &HealthEvents) {
        self.queue.touched(&self.snapshot.deployments[deployment.0 as usize]);
        let in_flight = self.snapshot.deployment(deployment).state.in_flight();
        let Some(change) = events.cooldown_change() else { return };
        let opened = change.is_cooldown();
        self.transitions.push((self.now, deployment.0, opened, in_flight));
    }

    fn end(&mut self, index: usize, how: How) {
        let request = &mut self.requests[index];
        assert!(!request.ended, "I20: a request ends once");
        request.ended = true;
        let last = matches!(how, How::Answered(_) | How::Broken(_));
        let attempts = request.route_plan.tried().len() + usize::from(last);
        // One that looks again and finds nothing leaves with its place.
        if let Some(ticket) = request.route_plan.ticket() {
            self.queue.leave(ticket);
        }
        self.ended.push(Ended { began: request.began, at: self.now, how, attempts });
    }

    /// Share of requests of that span that were answered, from 0 to 1.
    pub(crate) fn success(&self, from: u64, to: u64) -> f64 {
        let all = self.ended.iter().filter(|one| (from..to).contains(&one.began));
        let good = all.clone().filter(|one| one.by().is_some()).count();
        ratio(good, all.count())
    }

    /// Share of the attempts of that span that went to `deployment`.
    pub(crate) fn share(&self, deployment: u32, from: u64, to: u64) -> f64 {
        let all = self.began.iter().filter(|one| (from..to).contains(&one.at));
        let own = all.clone().filter(|one| one.deployment == deployment).count();
        ratio(own, all.count())
    }
}

/// Whether a request may be refused for that reason without a call: a time that the provider named,
/// a guess about a limit while another request tries it, a limit of the operator.
fn may_refuse(why: Exclusion) -> bool {
    match why {
        // The outcome of another request's attempt was waited for in vain.
        Exclusion::HalfOpenUnderWay(_) => true,
        Exclusion::Cooling(cooldown) => {
            cooldown.provider_issued || matches!(cooldown.cause, Cause::RateLimited | Cause::Quota)
        }
        Exclusion::Busy { .. }
        | Exclusion::Reopening
        | Exclusion::Rate(_)
        | Exclusion::Budget { .. } => true,
        Exclusion::Misconfigured
        | Exclusion::Paused
        | Exclusion::Disabled
        | Exclusion::Reserved
        | Exclusion::Region
        | Exclusion::TokensAMinute { .. }
        | Exclusion::Tags
        | Exclusion::Context { .. }
        | Exclusion::Operation(_)
        | Exclusion::Capability(_)
        | Exclusion::Lacking(_)
        | Exclusion::Unhealthy(_) => false,
    }
}

#[allow(clippy::cast_precision_loss, reason = "counts are small")]
pub(crate) fn ratio(part: usize, whole: usize) -> f64 {
    if whole == 0 { 1.0 } else { part as f64 / whole as f64 }
}
