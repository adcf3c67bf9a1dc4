//! A client's connection as a request sees it: what it is doing, what is wanted of it, and what it becomes.
//!
//! Made by the server for each accepted stream, handed to each request on it. Always true: a connection is used
//! by one thread; its clocks are kept by the worker's sweep, so that no request pays for a timer.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use hale_core::settings::Bounds;
use hale_core::time::Millis;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::clock;
use crate::metrics::Metrics;

/// How long a connection counts as having only just begun to wait, milliseconds.
const JUST_BEGAN_MS: u64 = 500;

/// How long a client may refuse to take what is there for it, milliseconds.
const STUCK_MS: u64 = 30_000;

/// What a connection is doing, as far as its clocks care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Waiting for a request since then.
    Idle(Millis),
    /// Reading a head since then.
    Head(Millis),
    /// Waiting for the next piece of a body since then.
    Body(Millis),
    /// Serving a request.
    Request,
    /// In a session over another protocol, which keeps its own clocks.
    Session,
}

/// What the worker wants of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// To go on.
    Go,
    /// To end after the request under way.
    Finish,
    /// To end at once.
    Close,
}

/// The bytes of a client whose connection switches to another protocol.
pub(crate) trait ClientStream: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> ClientStream for S {}

/// What a connection switches to behind the answer that says so.
pub(crate) trait Protocol {
    /// It counts as in flight until it ends.
    fn hold(&mut self, in_flight: InFlight);

    /// Begins, with what the client has sent already.
    fn begin(self: Box<Self>, client: Box<dyn ClientStream>, early: &Bytes) -> Box<dyn Session>;
}

/// A session over such a protocol.
pub(crate) trait Session {
    /// Goes on; ready when it has ended.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// Ends it after a fault of our own code.
    fn give_up(&mut self);
}

/// One client's connection.
pub(crate) struct ClientConn {
    phase: Cell<Phase>,
    late_body: Cell<bool>,
    /// Since when the client takes no byte of what is there for it.
    stuck_since: Cell<Option<Millis>>,
    command: Cell<Command>,
    waker: RefCell<Option<Waker>>,
    /// What begins when the answer under way has left.
    next: RefCell<Option<Box<dyn Protocol>>>,
}

impl ClientConn {
    /// One that waits for its first request.
    pub(crate) fn new() -> ClientConn {
        ClientConn {
            phase: Cell::new(Phase::Idle(clock::now().millis())),
            late_body: Cell::new(false),
            stuck_since: Cell::new(None),
            command: Cell::new(Command::Go),
            waker: RefCell::new(None),
            next: RefCell::new(None),
        }
    }

    /// What the worker wants of it.
    pub(crate) fn command(&self) -> Command {
        self.command.get()
    }

    /// Ends it after the request under way, if there is one. A connection that has only just begun to
    /// wait is left for the next look: its request may be on the way.
    pub(crate) fn finish(&self, now: Millis) {
        let just_began =
            matches!(self.phase.get(), Phase::Idle(since) if now.since(since) < JUST_BEGAN_MS);
        if self.command.get() == Command::Go && !just_began {
            self.command.set(Command::Finish);
            self.wake();
        }
    }

    /// Closes it when it idles or reads a head for too long; lets a request whose body does not come
    /// be refused.
    pub(crate) fn close_if_overdue(&self, now: Millis, bounds: &Bounds) {
        let overdue = match self.phase.get() {
            Phase::Idle(since) => now.since(since) > bounds.idle_ms,
            Phase::Head(since) => now.since(since) > bounds.header_read_ms,
            Phase::Body(since) => {
                if now.since(since) > bounds.body_read_ms {
                    self.late_body.set(true);
                    self.wake();
                }
                false
            }
            Phase::Request | Phase::Session => false,
        };
        let stuck = self.stuck_since.get().is_some_and(|since| now.since(since) > STUCK_MS);
        if overdue || stuck {
            self.close();
        }
    }

    /// How long it has waited for a request, milliseconds; `None` while it serves one, or has only just
    /// begun to wait, or is about to end.
    pub(crate) fn idle_ms(&self, now: Millis) -> Option<u64> {
        match self.phase.get() {
            Phase::Idle(since) if self.command.get() == Command::Go => {
                Some(now.since(since)).filter(|idle_ms| *idle_ms >= JUST_BEGAN_MS)
            }
            Phase::Idle(_) | Phase::Head(_) | Phase::Body(_) | Phase::Request | Phase::Session => {
                None
            }
        }
    }

    /// Closes it.
    pub(crate) fn close(&self) {
        self.command.set(Command::Close);
        self.wake();
    }

    /// Behind the answer under way the connection speaks another protocol.
    pub(crate) fn switch(&self, protocol: impl Protocol + 'static) {
        *self.next.borrow_mut() = Some(Box::new(protocol));
    }

    /// What it switches to, if it does.
    pub(crate) fn take_next(&self) -> Option<Box<dyn Protocol>> {
        self.next.take()
    }

    /// The session to come counts as in flight until it ends.
    pub(crate) fn hold(&self, in_flight: InFlight) {
        if let Some(next) = self.next.borrow_mut().as_mut() {
            next.hold(in_flight);
        }
    }

    /// A request's answer has left completely.
    pub(crate) fn idle(&self) {
        self.phase.set(Phase::Idle(clock::recent().millis()));
    }

    /// Bytes came: where none were expected they are those of a head.
    pub(crate) fn received(&self) {
        if matches!(self.phase.get(), Phase::Idle(_)) {
            self.phase.set(Phase::Head(clock::recent().millis()));
        }
    }

    /// The next piece of a request's body is waited for.
    pub(crate) fn reading_body(&self) {
        self.phase.set(Phase::Body(clock::recent().millis()));
    }

    /// The piece came.
    pub(crate) fn serving(&self) {
        self.late_body.set(false);
        self.phase.set(Phase::Request);
    }

    /// A request's head is complete.
    pub(crate) fn request(&self) {
        self.phase.set(Phase::Request);
    }

    /// A session over another protocol begins.
    pub(crate) fn session(&self) {
        self.phase.set(Phase::Session);
    }

    /// Whether it serves a request whose body was read.
    pub(crate) fn is_in_request(&self) -> bool {
        self.phase.get() == Phase::Request
    }

    /// The client took bytes, or would not.
    pub(crate) fn wrote(&self, polled: &Poll<io::Result<usize>>) {
        match polled {
            Poll::Ready(_) => {
                self.stuck_since.set(None);
                // An answer is handed over in one piece and takes its time to leave.
                if matches!(self.phase.get(), Phase::Idle(_)) {
                    self.idle();
                }
            }
            Poll::Pending if self.stuck_since.get().is_none() => {
                self.stuck_since.set(Some(clock::recent().millis()));
            }
            Poll::Pending => {}
        }
    }

    /// Whether the piece of a body that is waited for should have come by now.
    pub(crate) fn body_is_late(&self) -> bool {
        self.late_body.get()
    }

    /// Keeps what wakes its task.
    pub(crate) fn remember(&self, cx: &Context<'_>) {
        if !self.waker.borrow().as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            *self.waker.borrow_mut() = Some(cx.waker().clone());
        }
    }

    /// Lets its task look at it again.
    pub(crate) fn wake(&self) {
        if let Some(waker) = self.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }
}

/// Counts a request as in flight, and its connection as busy, for as long as it lives.
pub(crate) struct InFlight {
    metrics: Arc<Metrics>,
    connection: Rc<ClientConn>,
}

impl InFlight {
    /// Counts the request that has arrived on `connection`.
    pub(crate) fn count(metrics: &Arc<Metrics>, connection: &Rc<ClientConn>) -> InFlight {
        metrics.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight { metrics: metrics.clone(), connection: connection.clone() }
    }

    /// What counts it.
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.metrics.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.connection.idle();
    }
}
