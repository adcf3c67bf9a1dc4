//! The state of a client's connection: what it is doing, whether it has to end, and what it switches to.
//!
//! Made by the server for each accepted stream, shared with each request on it. Always true: one thread uses a
//! connection; the worker's sweep checks its timeouts, so that no request pays for a timer.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::IpAddr;
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

/// How long a connection that has just become idle, or begun a head, is spared, milliseconds.
const JUST_BEGAN_MS: u64 = 500;

/// How long a client may leave an answer unread, milliseconds.
const STUCK_MS: u64 = 30_000;

/// What a connection is doing, for its timeouts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// It has waited for a request since then.
    Idle(Millis),
    /// It has been reading a head since then.
    Head(Millis),
    /// It has waited for the next piece of a body since then.
    Body(Millis),
    /// It serves a request.
    Request,
    /// It is in a session over another protocol, which has its own timeouts.
    Session,
}

/// What a connection that can be spared has done, and for how long, milliseconds. The greatest is closed first: a
/// client that needs more than a moment for its head holds up others; an idle one may come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Spare {
    /// It has waited for a request.
    Idle(u64),
    /// It has sent a part of a head.
    Head(u64),
}

/// Why a body is overdue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LateBody {
    /// Its next piece is.
    Pause,
    /// It comes slower than the rate that is required.
    Whole,
}

/// A body on its way.
#[derive(Clone, Copy, Debug)]
struct Coming {
    since: Millis,
    /// Its length: as it is declared, else what has come.
    bytes: u64,
    is_declared: bool,
}

impl Coming {
    /// How long it may take, milliseconds.
    fn allowed_ms(self, bounds: &Bounds) -> u64 {
        let at_rate = self.bytes.saturating_mul(1000) / bounds.body_min_rate.max(1);
        bounds.body_read_ms.saturating_add(at_rate)
    }
}

/// What the worker tells a connection to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Go on.
    Go,
    /// End after the request in flight.
    Finish,
    /// End at once.
    Close,
}

/// The byte stream of a client whose connection switches to another protocol.
pub(crate) trait ClientStream: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> ClientStream for S {}

/// The protocol that a connection switches to after the answer.
pub(crate) trait Protocol {
    /// Keeps it counted as in flight until it ends.
    fn hold(&mut self, in_flight: InFlight);

    /// Starts the session with the bytes that the client has sent already.
    fn begin(self: Box<Self>, client: Box<dyn ClientStream>, early: &Bytes) -> Box<dyn Session>;
}

/// A running session over such a protocol.
pub(crate) trait Session {
    /// Makes progress; ready when the session has ended.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// Ends it after a panic in the gateway's own code.
    fn give_up(&mut self);
}

/// One client's connection.
pub(crate) struct ClientConn {
    /// The address at its other end, if that is known.
    peer: Option<IpAddr>,
    phase: Cell<Phase>,
    late_body: Cell<Option<LateBody>>,
    /// The body of the request in flight.
    coming: Cell<Option<Coming>>,
    /// Since when the client has left the answer unread.
    stuck_since: Cell<Option<Millis>>,
    command: Cell<Command>,
    waker: RefCell<Option<Waker>>,
    /// What starts when the answer in flight has left.
    next: RefCell<Option<Box<dyn Protocol>>>,
}

impl ClientConn {
    /// A connection from `peer` that waits for its first request.
    pub(crate) fn new(peer: Option<IpAddr>) -> ClientConn {
        ClientConn {
            peer,
            phase: Cell::new(Phase::Idle(clock::now().millis())),
            late_body: Cell::new(None),
            coming: Cell::new(None),
            stuck_since: Cell::new(None),
            command: Cell::new(Command::Go),
            waker: RefCell::new(None),
            next: RefCell::new(None),
        }
    }

    /// The address at its other end, if that is known.
    pub(crate) fn peer(&self) -> Option<IpAddr> {
        self.peer
    }

    /// What the worker tells it to do.
    pub(crate) fn command(&self) -> Command {
        self.command.get()
    }

    /// Ends it after the request in flight, if there is one. A connection that has just become idle is spared
    /// until the next sweep, as a request may be in flight to it.
    pub(crate) fn finish(&self, now: Millis) {
        let just_began =
            matches!(self.phase.get(), Phase::Idle(since) if now.since(since) < JUST_BEGAN_MS);
        if self.command.get() == Command::Go && !just_began {
            self.command.set(Command::Finish);
            self.wake();
        }
    }

    /// Closes it if it is idle or reads a head for too long. A request whose body is overdue is refused.
    pub(crate) fn close_if_overdue(&self, now: Millis, bounds: &Bounds) {
        let overdue = match self.phase.get() {
            Phase::Idle(since) => now.since(since) > bounds.idle_ms,
            Phase::Head(since) => now.since(since) > bounds.header_read_ms,
            Phase::Body(since) => {
                if let Some(late) = self.lateness(since, now, bounds) {
                    self.late_body.set(Some(late));
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

    /// Its claim to be closed where there is no room; `None` while it serves a request, has just begun to wait, or is
    /// about to end.
    pub(crate) fn spare(&self, now: Millis) -> Option<Spare> {
        let for_long = |since| Some(now.since(since)).filter(|ms| *ms >= JUST_BEGAN_MS);
        match self.phase.get() {
            Phase::Idle(_) | Phase::Head(_) if self.command.get() != Command::Go => None,
            Phase::Idle(since) => for_long(since).map(Spare::Idle),
            Phase::Head(since) => for_long(since).map(Spare::Head),
            Phase::Body(_) | Phase::Request | Phase::Session => None,
        }
    }

    /// Closes it.
    pub(crate) fn close(&self) {
        self.command.set(Command::Close);
        self.wake();
    }

    /// Switches to another protocol after the answer in flight.
    pub(crate) fn switch(&self, protocol: impl Protocol + 'static) {
        *self.next.borrow_mut() = Some(Box::new(protocol));
    }

    /// The protocol that it switches to, if any.
    pub(crate) fn take_next(&self) -> Option<Box<dyn Protocol>> {
        self.next.take()
    }

    /// Counts the coming session as in flight until it ends.
    pub(crate) fn hold(&self, in_flight: InFlight) {
        if let Some(next) = self.next.borrow_mut().as_mut() {
            next.hold(in_flight);
        }
    }

    /// A request's answer has left completely.
    pub(crate) fn idle(&self) {
        self.phase.set(Phase::Idle(clock::recent().millis()));
    }

    /// Bytes arrived: on an idle connection they start a head.
    pub(crate) fn received(&self) {
        if matches!(self.phase.get(), Phase::Idle(_)) {
            self.phase.set(Phase::Head(clock::recent().millis()));
        }
    }

    /// Why the body, whose next piece is awaited since then, is overdue.
    fn lateness(&self, since: Millis, now: Millis, bounds: &Bounds) -> Option<LateBody> {
        if now.since(since) > bounds.body_read_ms {
            return Some(LateBody::Pause);
        }
        let coming = self.coming.get()?;
        (now.since(coming.since) > coming.allowed_ms(bounds)).then_some(LateBody::Whole)
    }

    /// The request's body begins; its length, if that is declared.
    pub(crate) fn body_begins(&self, declared: Option<u64>) {
        self.coming.set(Some(Coming {
            since: clock::recent().millis(),
            bytes: declared.unwrap_or(0),
            is_declared: declared.is_some(),
        }));
    }

    /// So many bytes of the body have come.
    pub(crate) fn body_has(&self, bytes: usize) {
        if let Some(coming) = self.coming.get().filter(|coming| !coming.is_declared) {
            self.coming.set(Some(Coming { bytes: bytes as u64, ..coming }));
        }
    }

    /// The request waits for the next piece of its body.
    pub(crate) fn reading_body(&self) {
        self.phase.set(Phase::Body(clock::recent().millis()));
    }

    /// The piece arrived.
    pub(crate) fn serving(&self) {
        self.late_body.set(None);
        self.phase.set(Phase::Request);
    }

    /// A request's head is complete.
    pub(crate) fn request(&self) {
        self.phase.set(Phase::Request);
    }

    /// A session over another protocol starts.
    pub(crate) fn session(&self) {
        self.phase.set(Phase::Session);
    }

    /// Whether it serves a request whose body was read.
    pub(crate) fn is_in_request(&self) -> bool {
        self.phase.get() == Phase::Request
    }

    /// The client read bytes, or did not.
    pub(crate) fn wrote(&self, polled: &Poll<io::Result<usize>>) {
        match polled {
            Poll::Ready(_) => {
                self.stuck_since.set(None);
                // An answer is written in one piece and may take long to leave.
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

    /// Why the body is overdue, if it is.
    pub(crate) fn late_body(&self) -> Option<LateBody> {
        self.late_body.get()
    }

    /// Stores the waker of its task.
    pub(crate) fn remember(&self, cx: &Context<'_>) {
        if !self.waker.borrow().as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            *self.waker.borrow_mut() = Some(cx.waker().clone());
        }
    }

    /// Wakes its task.
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

    /// The metrics that count it.
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
