//! The queue: which requests wait, in which order, and which one goes next.
//!
//! Kept by the gateway behind a lock, one for the process. The gateway calls [`Queue::join`] and
//! [`Queue::leave`], tells it of ends of attempts ([`Queue::touched`]) and then takes
//! [`Queue::next`] until there is none. Always true: a ticket is in the line of each of its ways or
//! of none; a step costs the logarithm of what waits, per way, and the number of classes in a line;
//! everything is bounded.

mod invariants;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use super::class::{Class, ClassId, ClassWay, LaneId, Own, Places, WayKey};
use super::estimate::turn_at;
use super::lane::{Lane, Turn};
use super::ticket::{Release, Ticket, Turned, Why};
use super::way::{Part, Wait, Way};
use crate::deployment::Deployment;
use crate::health::DeploymentState;
use crate::time::Millis;

/// How much may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests of one group.
    pub max_waiting: u32,
    /// Bytes of the bodies of all.
    pub max_body_bytes: u64,
}

/// One request that waits.
#[derive(Debug)]
pub(super) struct Waiter {
    class: ClassId,
    group: Arc<str>,
    ends: Millis,
    body_bytes: u64,
    /// One for each way of its class.
    own: Box<[Own]>,
    /// Whether it was told to look again, and has not yet answered: until then it keeps its place,
    /// and nothing else ends its wait.
    looks_again: bool,
}

/// A deployment's state by its address, and the part of it.
type LaneKey = (usize, Option<Part>);

/// Everything that waits.
#[derive(Debug)]
pub struct Queue {
    limits: Limits,
    numbered: u64,
    pub(super) waiters: BTreeMap<Ticket, Waiter>,
    by_end: BTreeSet<(Millis, Ticket)>,
    by_body: BTreeSet<(u64, Ticket)>,
    body_bytes: u64,
    by_group: HashMap<Arc<str>, u32>,
    classes: Places<Class>,
    class_of: HashMap<Box<[WayKey]>, ClassId>,
    lanes: Places<Lane>,
    lane_of: HashMap<LaneKey, LaneId>,
    /// The lines of each state: those that its change may open.
    by_state: HashMap<usize, BTreeSet<LaneId>>,
    /// Lines to look at, by the ticket that is first there.
    due: BTreeSet<(Ticket, LaneId)>,
    wakes: BTreeSet<(Millis, LaneId)>,
    /// The last ticket that was told to look again; the ones behind it are still to be told.
    told: Option<Bound<Ticket>>,
    /// When what still waits is refused, because the process ends.
    grace_ends: Option<Millis>,
}

fn address(state: &DeploymentState) -> usize {
    std::ptr::from_ref(state) as usize
}

impl Queue {
    /// An empty queue.
    #[must_use]
    pub fn new(limits: Limits) -> Queue {
        Queue {
            limits,
            numbered: 0,
            waiters: BTreeMap::new(),
            by_end: BTreeSet::new(),
            by_body: BTreeSet::new(),
            body_bytes: 0,
            by_group: HashMap::new(),
            classes: Places::default(),
            class_of: HashMap::new(),
            lanes: Places::default(),
            lane_of: HashMap::new(),
            by_state: HashMap::new(),
            due: BTreeSet::new(),
            wakes: BTreeSet::new(),
            told: None,
            grace_ends: None,
        }
    }

    /// The limits of a new config.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// How many requests wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiters.len()
    }

    /// Whether no request waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiters.is_empty()
    }

    /// How many requests of that group wait.
    #[must_use]
    pub fn of_group(&self, group: &str) -> u32 {
        self.by_group.get(group).copied().unwrap_or(0)
    }

    /// How many requests wait for that deployment, or for a part of it.
    #[must_use]
    pub fn at(&self, deployment: &Deployment) -> u32 {
        let lanes = self.by_state.get(&address(&deployment.state)).into_iter().flatten();
        lanes.filter_map(|id| Some(self.lanes.get(*id)?.waiting)).fold(0, u32::saturating_add)
    }

    /// When it would be the turn of a request with these ways; for explanations.
    #[must_use]
    pub fn turn_at(&self, ways: &[Way], now: Millis) -> Millis {
        turn_at(ways.iter().map(|way| (way, self.lane(way))), now)
    }

    /// A request begins to wait, or goes on waiting with other ways. [`Queue::next`] may release it
    /// at once.
    ///
    /// # Errors
    ///
    /// Why it may not wait; then it has no place any more.
    pub fn join(&mut self, wait: Wait, now: Millis) -> Result<Ticket, Turned> {
        if let Some(ticket) = wait.ticket {
            self.remove(ticket);
        }
        self.admits(&wait, now)?;
        let ticket = wait.ticket.unwrap_or_else(|| {
            self.numbered += 1;
            Ticket { arrived: wait.arrived, number: self.numbered }
        });
        self.insert(ticket, wait, now);
        Ok(ticket)
    }

    fn admits(&self, wait: &Wait, now: Millis) -> Result<(), Turned> {
        if self.grace_ends.is_some() {
            return Err(Turned::Draining);
        }
        if wait.ways.is_empty() {
            return Err(Turned::NoWay);
        }
        // One that waited before had its place already.
        if wait.ticket.is_none() && self.of_group(&wait.group) >= self.limits.max_waiting {
            return Err(Turned::Full);
        }
        let turn = self.turn_at(&wait.ways, now);
        if turn > wait.ends || wait.ends <= now { Err(Turned::TooLong(turn)) } else { Ok(()) }
    }

    /// The request does not wait any more: its client is gone, or it goes another way. Does nothing
    /// if its wait has ended.
    pub fn leave(&mut self, ticket: Ticket) {
        self.remove(ticket);
    }

    /// Something changed at that deployment, or at what it shares: an attempt ended, a slot or a
    /// permit came back.
    pub fn touched(&mut self, deployment: &Deployment) {
        for state in deployment.subjects() {
            let Some(lanes) = self.by_state.get(&address(state)) else { continue };
            let heads = lanes.iter().filter_map(|id| Some((head(self.lanes.get(*id)?)?, *id)));
            self.due.extend(heads);
        }
    }

    /// A new config, an operator's action, or a time that was cleared: every request looks again, in
    /// order, and keeps its place until it does.
    pub fn look_again(&mut self) {
        self.told = self.waiters.first_key_value().map(|(first, _)| Bound::Included(*first));
    }

    /// The process ends at `grace_ends`: no request begins to wait, and those whose turn is not
    /// expected until then are released at once.
    pub fn drain(&mut self, now: Millis, grace_ends: Millis) {
        self.grace_ends = Some(grace_ends);
        let tickets: Vec<Ticket> = self.waiters.keys().copied().collect();
        for ticket in tickets {
            let opens = self.opens_at(ticket, now);
            let Some(waiter) = self.waiters.get_mut(&ticket) else { continue };
            let ends = if opens > grace_ends { now } else { waiter.ends.min(grace_ends) };
            if self.by_end.remove(&(waiter.ends, ticket)) {
                self.by_end.insert((ends, ticket));
            }
            waiter.ends = ends;
        }
    }

    /// When [`Queue::next`] has something to do, unless something happens before.
    #[must_use]
    pub fn wake_at(&self) -> Millis {
        if self.told.is_some() || !self.due.is_empty() {
            return Millis(0);
        }
        let end = self.by_end.first().map_or(Millis::NEVER, |(end, _)| *end);
        self.wakes.first().map_or(end, |(wake, _)| end.min(*wake))
    }

    /// The next request that goes on at `now`; `None` until something happens or
    /// [`Queue::wake_at`] has come.
    pub fn next(&mut self, now: Millis) -> Option<Release> {
        if let Some(release) = self.next_to_look_again() {
            return Some(release);
        }
        if self.body_bytes > self.limits.max_body_bytes
            && let Some((_, ticket)) = self.by_body.last().copied()
        {
            self.remove(ticket);
            return Some(Release { ticket, why: Why::Memory });
        }
        while let Some((_, lane)) = self.wakes.first().filter(|(wake, _)| *wake <= now).copied() {
            self.sleep(lane, Millis::NEVER);
            self.due.extend(self.lanes.get(lane).and_then(head).map(|first| (first, lane)));
        }
        if let Some(release) = self.next_turn(now) {
            return Some(release);
        }
        // Those whose turn it is at their last moment go.
        let (end, ticket) = self.by_end.first().copied()?;
        if end > now {
            return None;
        }
        self.remove(ticket);
        let why = if self.grace_ends.is_some() { Why::Draining } else { Why::TimedOut };
        Some(Release { ticket, why })
    }

    fn next_to_look_again(&mut self) -> Option<Release> {
        let from = self.told?;
        let next = self.waiters.range_mut((from, Bound::Unbounded)).next();
        let Some((ticket, waiter)) = next else {
            self.told = None;
            return None;
        };
        let ticket = *ticket;
        waiter.looks_again = true;
        self.told = Some(Bound::Excluded(ticket));
        self.by_end.remove(&(waiter.ends, ticket));
        if self.by_body.remove(&(waiter.body_bytes, ticket)) {
            self.body_bytes = self.body_bytes.saturating_sub(waiter.body_bytes);
        }
        Some(Release { ticket, why: Why::LookAgain })
    }

    /// The lowest ticket that may go.
    fn next_turn(&mut self, now: Millis) -> Option<Release> {
        while let Some((ticket, lane)) = self.due.pop_first() {
            let Some(first) = self.lanes.get(lane).and_then(head) else { continue };
            if first != ticket {
                // Another one is first by now.
                self.due.insert((first, lane));
                continue;
            }
            if let Some((ticket, why)) = self.turn_in(lane, now) {
                self.remove(ticket);
                self.due.extend(self.lanes.get(lane).and_then(head).map(|first| (first, lane)));
                return Some(Release { ticket, why });
            }
        }
        None
    }

    /// The first in that line that may go, or that waits in vain.
    fn turn_in(&mut self, lane_id: LaneId, now: Millis) -> Option<(Ticket, Why)> {
        let lane = self.lanes.get_mut(lane_id)?;
        let mut wake = Millis::NEVER;
        let mut behind = Bound::Unbounded;
        while let Some((ticket, class)) =
            lane.heads.range((behind, Bound::Unbounded)).next().copied()
        {
            behind = Bound::Excluded((ticket, class));
            let Some(waiter) = self.waiters.get(&ticket) else { continue };
            if waiter.looks_again {
                // It keeps its place; its answer comes at once.
                break;
            }
            let class = self.classes.get(class)?;
            let mut ways = class.ways.iter().zip(&waiter.own);
            let (way, own) = ways.find(|(way, _)| way.lane == lane_id)?;
            match lane.turn(way, *own, now) {
                Turn::Go(grant) => return Some((ticket, Why::Open(grant))),
                Turn::LookAgain => return Some((ticket, Why::LookAgain)),
                Turn::Unfunded(again) => wake = wake.min(again),
                Turn::Closed(until) => wake = wake.min(until),
                Turn::Held(until) => {
                    wake = wake.min(until);
                    break;
                }
            }
        }
        self.sleep(lane_id, wake);
        None
    }

    /// Sets when to look at a line again.
    fn sleep(&mut self, lane_id: LaneId, until: Millis) {
        let Some(lane) = self.lanes.get_mut(lane_id) else { return };
        self.wakes.remove(&(lane.wake, lane_id));
        lane.wake = until;
        if until != Millis::NEVER {
            self.wakes.insert((until, lane_id));
        }
    }

    fn lane(&self, way: &Way) -> Option<&Lane> {
        let key = (address(&way.deployment.state), way.part.clone());
        self.lanes.get(*self.lane_of.get(&key)?)
    }

    /// When the first of its ways opens, as far as that is known.
    fn opens_at(&self, ticket: Ticket, now: Millis) -> Millis {
        let class = self.waiters.get(&ticket).and_then(|waiter| self.classes.get(waiter.class));
        let ways = class.map_or(&[][..], |class| &class.ways);
        let opens = ways.iter().filter_map(|way| Some(self.lanes.get(way.lane)?.opens_at(now)));
        opens.min().unwrap_or(now)
    }

    fn insert(&mut self, ticket: Ticket, wait: Wait, now: Millis) {
        let Wait { group, ways, ends, body_bytes, .. } = wait;
        let own = ways.iter().map(Own::of).collect();
        let lanes: Vec<LaneId> = ways.iter().map(|way| self.lane_for(way, now)).collect();
        let class_id = self.class_for(&lanes, ways);
        if let Some(class) = self.classes.get_mut(class_id) {
            let before = class.tickets.first().copied();
            class.tickets.insert(ticket);
            let first = class.tickets.first().copied();
            for way in &class.ways {
                let Some(lane) = self.lanes.get_mut(way.lane) else { continue };
                lane.waiting = lane.waiting.saturating_add(1);
                replace_head(lane, class_id, before, first);
                self.due.extend(head(lane).map(|first| (first, way.lane)));
            }
        }
        *self.by_group.entry(group.clone()).or_default() += 1;
        self.by_end.insert((ends, ticket));
        self.by_body.insert((body_bytes, ticket));
        self.body_bytes = self.body_bytes.saturating_add(body_bytes);
        let waiter = Waiter { class: class_id, group, ends, body_bytes, own, looks_again: false };
        self.waiters.insert(ticket, waiter);
    }

    fn lane_for(&mut self, way: &Way, now: Millis) -> LaneId {
        let key = (address(&way.deployment.state), way.part.clone());
        if let Some(id) = self.lane_of.get(&key).copied() {
            let lane = self.lanes.get_mut(id);
            if let Some(lane) = lane.filter(|lane| !Arc::ptr_eq(&lane.deployment, &way.deployment))
            {
                let before = lane.deployment.clone();
                lane.renew(&way.deployment);
                self.index(id, &before, &way.deployment);
            }
            return id;
        }
        let id = self.lanes.add(Lane::new(way.deployment.clone(), way.part.clone(), now));
        self.lane_of.insert(key, id);
        for state in way.deployment.subjects() {
            self.by_state.entry(address(state)).or_default().insert(id);
        }
        id
    }

    fn index(&mut self, lane: LaneId, before: &Deployment, after: &Deployment) {
        self.forget(lane, before);
        for state in after.subjects() {
            self.by_state.entry(address(state)).or_default().insert(lane);
        }
    }

    fn forget(&mut self, lane: LaneId, deployment: &Deployment) {
        for state in deployment.subjects() {
            let Some(lanes) = self.by_state.get_mut(&address(state)) else { continue };
            lanes.remove(&lane);
            if lanes.is_empty() {
                self.by_state.remove(&address(state));
            }
        }
    }

    fn class_for(&mut self, lanes: &[LaneId], ways: Vec<Way>) -> ClassId {
        let numbered = || lanes.iter().copied();
        let key: Box<[WayKey]> =
            numbered().zip(&ways).map(|(lane, way)| WayKey::of(lane, way)).collect();
        if let Some(id) = self.class_of.get(&key) {
            return *id;
        }
        let ways = numbered().zip(ways).map(|(lane, way)| ClassWay::of(lane, way)).collect();
        let class = Class { key: key.clone(), ways, tickets: BTreeSet::new() };
        let id = self.classes.add(class);
        self.class_of.insert(key, id);
        id
    }

    fn remove(&mut self, ticket: Ticket) {
        let Some(waiter) = self.waiters.remove(&ticket) else { return };
        self.by_end.remove(&(waiter.ends, ticket));
        if self.by_body.remove(&(waiter.body_bytes, ticket)) {
            self.body_bytes = self.body_bytes.saturating_sub(waiter.body_bytes);
        }
        if let Some(count) = self.by_group.get_mut(&waiter.group) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.by_group.remove(&waiter.group);
            }
        }
        let Some(class) = self.classes.get_mut(waiter.class) else { return };
        let before = class.tickets.first().copied();
        class.tickets.remove(&ticket);
        let first = class.tickets.first().copied();
        let mut empty: Vec<LaneId> = Vec::new();
        for way in &class.ways {
            let Some(lane) = self.lanes.get_mut(way.lane) else { continue };
            lane.waiting = lane.waiting.saturating_sub(1);
            replace_head(lane, waiter.class, before, first);
            // It may have stood in the way of the next one.
            if before == Some(ticket) {
                self.due.extend(head(lane).map(|first| (first, way.lane)));
            }
            if lane.waiting == 0 {
                empty.push(way.lane);
            }
        }
        if class.tickets.is_empty()
            && let Some(class) = self.classes.remove(waiter.class)
        {
            self.class_of.remove(&class.key);
        }
        empty.into_iter().for_each(|lane| self.end_lane(lane));
    }

    fn end_lane(&mut self, id: LaneId) {
        self.sleep(id, Millis::NEVER);
        let Some(lane) = self.lanes.remove(id) else { return };
        self.lane_of.remove(&(address(&lane.deployment.state), lane.part.clone()));
        self.forget(id, &lane.deployment);
    }
}

fn head(lane: &Lane) -> Option<Ticket> {
    lane.heads.first().map(|(ticket, _)| *ticket)
}

fn replace_head(lane: &mut Lane, class: ClassId, before: Option<Ticket>, first: Option<Ticket>) {
    if before == first {
        return;
    }
    if let Some(before) = before {
        lane.heads.remove(&(before, class));
    }
    lane.heads.extend(first.map(|first| (first, class)));
}
