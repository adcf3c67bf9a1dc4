//! The requests that wait for their turn at a deployment, and what wakes them.
//!
//! Held by [`crate::state::Process`]; requests join by [`Waiting::join`], and the ends of attempts, reloads and
//! operators tell it what changed. `core` decides who goes on, and when ([`hale_core::waiting`]). Always true: a
//! request that does not wait takes no lock here; a request that is dropped leaves its place at once, and gives back
//! what it was granted.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use hale_core::deployment::Deployment;
use hale_core::settings::Bounds;
use hale_core::snapshot::Snapshot;
use hale_core::time::Millis;
use hale_core::waiting::{Limits, Queue, Ticket, Turned, Wait, Way, Why};
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use crate::clock;

/// Bodies of waiting requests may fill this fraction of the memory for bodies: one byte in so many.
const BODIES_SHARE: usize = 2;

/// The requests that wait.
pub(crate) struct Waiting {
    line: Mutex<Line>,
    /// How many wait, or are about to. Without one, the end of an attempt changes nothing here.
    count: AtomicU64,
    /// When the background looks at the queue again, milliseconds.
    planned: AtomicU64,
    /// Tells it that it has to look earlier.
    sooner: Notify,
}

/// The queue, and how each request in it is woken.
struct Line {
    queue: Queue,
    wakers: HashMap<Ticket, oneshot::Sender<Why>>,
}

/// The limits that a config sets.
fn limits(snapshot: &Snapshot) -> Limits {
    let Bounds { buffered_bytes, .. } = snapshot.gateway.bounds;
    Limits {
        max_waiting: snapshot.router.max_waiting,
        max_body_bytes: (buffered_bytes / BODIES_SHARE) as u64,
    }
}

impl Waiting {
    /// Without any request.
    pub(crate) fn new(snapshot: &Snapshot) -> Waiting {
        let queue = Queue::new(limits(snapshot));
        Waiting {
            line: Mutex::new(Line { queue, wakers: HashMap::new() }),
            count: AtomicU64::new(0),
            planned: AtomicU64::new(Millis::NEVER.0),
            sooner: Notify::new(),
        }
    }

    /// How many requests wait.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::SeqCst)
    }

    /// How many requests wait for that deployment.
    pub(crate) fn at(&self, deployment: &Deployment) -> u32 {
        if self.count() == 0 { 0 } else { self.line.lock().queue.at(deployment) }
    }

    /// When it would be the turn of a request that joins now with these ways.
    pub(crate) fn turn_at(&self, ways: &[Way], now: Millis) -> Millis {
        self.line.lock().queue.turn_at(ways, now)
    }

    /// A request begins to wait, or goes on waiting with its ticket. `before` is the place in which it was told to look
    /// again.
    ///
    /// # Errors
    /// Why it may not wait; then it has no place any more.
    pub(crate) fn join(
        self: &Arc<Self>,
        wait: Wait,
        before: Option<Place>,
        now: Millis,
    ) -> Result<Place, Turned> {
        // Counted first: an attempt that ends from here on is told to the queue.
        let mut place = before.unwrap_or_else(|| Place::new(self));
        let (waker, released) = oneshot::channel();
        let mut line = self.line.lock();
        let joined = line.queue.join(wait, now);
        // Its former place is given up, or is this one.
        place.ticket = joined.ok();
        let ticket = joined?;
        place.released = Some(released);
        line.wakers.insert(ticket, waker);
        self.let_in(&mut line, now);
        drop(line);
        Ok(place)
    }

    /// Something changed at that deployment: an attempt ended, or proved that it is let in.
    pub(crate) fn touched(&self, deployment: &Deployment) {
        if self.count() == 0 {
            return;
        }
        let mut line = self.line.lock();
        line.queue.touched(deployment);
        self.let_in(&mut line, clock::now().millis());
    }

    /// A new config, an operator's action, or a time that was cleared: every waiting request looks again.
    pub(crate) fn look_again(&self) {
        if self.count() > 0 {
            let mut line = self.line.lock();
            line.queue.look_again();
            self.let_in(&mut line, clock::now().millis());
        }
    }

    /// Puts the limits of another config in force; every waiting request looks again.
    pub(crate) fn reconfigured(&self, snapshot: &Snapshot) {
        self.line.lock().queue.set_limits(limits(snapshot));
        self.look_again();
    }

    /// The process ends at `grace_ends`: no request begins to wait, and those that cannot go until then are refused.
    pub(crate) fn drain(&self, grace_ends: Millis) {
        let now = clock::now().millis();
        let mut line = self.line.lock();
        line.queue.drain(now, grace_ends);
        self.let_in(&mut line, now);
    }

    /// Releases each request whose time comes, for as long as the process runs.
    pub(crate) async fn run(self: Arc<Self>) {
        loop {
            let next = {
                let mut line = self.line.lock();
                Waiting::release(&mut line, clock::now().millis());
                let next = line.queue.wake_at();
                self.planned.store(next.0, Ordering::Relaxed);
                next
            };
            tokio::select! {
                () = tokio::time::sleep_until(clock::timer_instant(next)) => {}
                () = self.sooner.notified() => {}
            }
        }
    }

    /// Wakes every request that goes on at `now`, and the background if it has to look earlier than it planned.
    fn let_in(&self, line: &mut Line, now: Millis) {
        Waiting::release(line, now);
        if line.queue.wake_at().0 < self.planned.load(Ordering::Relaxed) {
            self.sooner.notify_one();
        }
    }

    fn release(line: &mut Line, now: Millis) {
        while let Some(release) = line.queue.next(now) {
            let Some(waker) = line.wakers.remove(&release.ticket) else { continue };
            // The owner of a place forgets its waker under the lock before it drops the receiver.
            if let Err(Why::Open(grant)) = waker.send(release.why) {
                let deployment = grant.deployment.clone();
                grant.give_back();
                line.queue.touched(&deployment);
            }
        }
    }
}

/// A request's place in line; it is ready with the reason for which the wait ends. Dropping it leaves the line.
pub(crate) struct Place {
    waiting: Arc<Waiting>,
    /// None while the queue does not have it.
    ticket: Option<Ticket>,
    /// None once the wait has ended.
    released: Option<oneshot::Receiver<Why>>,
}

impl Place {
    fn new(waiting: &Arc<Waiting>) -> Place {
        waiting.count.fetch_add(1, Ordering::SeqCst);
        Place { waiting: waiting.clone(), ticket: None, released: None }
    }

    /// Its ticket.
    pub(crate) fn ticket(&self) -> Option<Ticket> {
        self.ticket
    }
}

impl Future for Place {
    type Output = Why;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Why> {
        let Some(released) = &mut self.released else { return Poll::Pending };
        let Poll::Ready(why) = Pin::new(released).poll(cx) else { return Poll::Pending };
        self.released = None;
        // The queue drops no waker without its reason.
        Poll::Ready(why.unwrap_or(Why::TimedOut))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let waiting = &self.waiting;
        waiting.count.fetch_sub(1, Ordering::SeqCst);
        let Some(ticket) = self.ticket else { return };
        let mut line = waiting.line.lock();
        if line.wakers.remove(&ticket).is_none()
            && let Some(mut released) = self.released.take()
            && let Ok(Why::Open(grant)) = released.try_recv()
        {
            // It proves nothing, and the next request goes.
            let deployment = grant.deployment.clone();
            grant.give_back();
            line.queue.touched(&deployment);
        }
        line.queue.leave(ticket);
        waiting.let_in(&mut line, clock::now().millis());
    }
}
