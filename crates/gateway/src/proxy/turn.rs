//! A request that waits for its turn, before its first attempt or between two.
//!
//! Called by [`super::exchange`] when its route plan says so; `core` decides who goes on, and
//! [`crate::waiting`] wakes. Always true: nothing has reached the client; a request whose future is dropped leaves
//! the line at once; in a new config it keeps its place. A request that waits has given back the memory of its
//! attempts, and keeps its [`Exchange`] only.

use std::sync::Arc;

use hale_core::record::StepKind;
use hale_core::route::AttemptPlan;
use hale_core::time::Millis;
use hale_core::waiting::{Grant, Wait, Why};

use super::exchange::{Exchange, Stage, note_group};
use super::explain::NoTurn;
use crate::clock;
use crate::waiting::Place;

/// A request that has to wait.
pub(crate) struct Waiting {
    exchange: Box<Exchange>,
    place: Place,
}

/// A request that has waited.
pub(crate) struct Waited {
    exchange: Box<Exchange>,
    /// The attempt to make; `None` if the route plan has to look again.
    turn: Option<AttemptPlan>,
}

impl Waiting {
    pub(super) fn new(exchange: Box<Exchange>, place: Place) -> Waiting {
        Waiting { exchange, place }
    }

    /// Waits until it is its turn, or has no reason to wait any longer.
    pub(crate) async fn turn(self) -> Waited {
        let Waiting { mut exchange, place } = self;
        let turn = exchange.wait_for_turn(place).await;
        Waited { exchange, turn }
    }
}

impl Waited {
    /// Goes on with its attempts.
    pub(crate) async fn go_on(self) -> Stage {
        self.exchange.proceed(self.turn).await
    }
}

impl Exchange {
    /// Gets in line. `None` if the route plan has to look again.
    pub(super) fn join_line(&mut self, mut wait: Wait) -> Option<Place> {
        let before = self.place.take();
        if self.renew_config() {
            // It kept its place, and may have other ways now.
            self.place = before;
            self.plan.look_again(&self.arrival.serving.snapshot, clock::recent().millis());
            return None;
        }
        note_group(&self.arrival, &self.plan, &mut self.delivery);
        if self.plan.ticket().is_none()
            && let Some(body) = &mut self.request.body
        {
            body.peek.detach();
        }
        wait.body_bytes = self.request.body.as_ref().map_or(0, |body| body.held.bytes() as u64);
        let waiting = self.arrival.worker.process.waiting.clone();
        let place = match waiting.join(wait, before, clock::recent().millis()) {
            Ok(place) => place,
            Err(turned) => {
                self.no_turn = NoTurn::of(turned);
                self.plan.stop_waiting(clock::recent().millis());
                return None;
            }
        };
        if let Some(ticket) = place.ticket() {
            self.plan.queued(ticket);
        }
        Some(place)
    }

    /// Waits in line. The attempt to make; `None` if the route plan has to look again.
    async fn wait_for_turn(&mut self, mut place: Place) -> Option<AttemptPlan> {
        self.delivery.capture.waits(StepKind::InLine);
        let why = self.delivery.in_line(&mut place).await;
        self.delivery.capture.has_waited();
        let now = clock::recent().millis();
        match why {
            Why::Open(grant) => return self.go_on(grant, now),
            Why::LookAgain => {
                self.place = Some(place);
                self.renew_config();
                self.plan.look_again(&self.arrival.serving.snapshot, now);
            }
            Why::TimedOut => self.has_no_turn(NoTurn::TimedOut, now),
            Why::Memory => self.has_no_turn(NoTurn::Memory, now),
            Why::Draining => self.has_no_turn(NoTurn::Draining, now),
        }
        None
    }

    fn has_no_turn(&mut self, why: NoTurn, now: Millis) {
        self.no_turn = Some(why);
        self.plan.stop_waiting(now);
    }

    fn go_on(&mut self, grant: Grant, now: Millis) -> Option<AttemptPlan> {
        let snapshot = &self.arrival.serving.snapshot;
        if self.plan.still_suits(snapshot, &grant, now) {
            return Some(self.plan.go_on(snapshot, &grant, now));
        }
        let deployment = grant.deployment.clone();
        grant.give_back();
        self.arrival.worker.process.waiting.touched(&deployment);
        self.plan.look_again(snapshot, now);
        None
    }

    /// Goes on in the config in force, or ends if that does not have its name; false if that is the one it has. A
    /// request about a stored object keeps its config: that says which deployment has the object.
    fn renew_config(&mut self) -> bool {
        let current = self.arrival.worker.process.serving();
        let before = &self.arrival.serving;
        let is_newer = !Arc::ptr_eq(&current, before);
        if !is_newer || self.request.stored.is_some() {
            return false;
        }
        if !self.plan.move_to(&current.snapshot, &before.snapshot, clock::recent().millis()) {
            // It has nothing to go on with, and says what it met.
            return true;
        }
        // What was kept and taught of members of the old config says nothing of those with their places in the new one.
        self.discard_empty();
        self.forget_lessons();
        self.arrival.serving = current;
        self.delivery.in_config(&self.arrival.serving, self.plan.tag_budgets());
        note_group(&self.arrival, &self.plan, &mut self.delivery);
        true
    }
}
