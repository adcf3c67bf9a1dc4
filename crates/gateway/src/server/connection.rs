//! One client's connection: HTTP/1.1, what it switches to, its clocks, its end.
//!
//! Spawned by a worker for each accepted stream. Always true: a head that is not read in time and a
//! connection that idles too long are closed by the worker's sweep, so that no request pays for a
//! timer; dropping the connection drops the request that it carries.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

use hale_core::settings::Bounds;
use hale_core::time::Millis;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::Clients;
use crate::http::reply::InFlight;
use crate::panics::contained;
use crate::proxy::tunnel::{Session, Tunnel};
use crate::router;
use crate::state::Worker;
use crate::{clock, coalesce};

/// How long a connection counts as having only just begun to wait, milliseconds.
const JUST_BEGAN_MS: u64 = 500;

/// How long a client may refuse to take what is there for it, milliseconds.
const STUCK_MS: u64 = 30_000;

/// What a connection is doing, as far as its clocks care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    /// Waiting for a request since then.
    Idle(Millis),
    /// Reading a head since then.
    Head(Millis),
    /// Waiting for the next piece of a body since then.
    Body(Millis),
    /// Serving a request.
    Request,
    /// In a session over a WebSocket, which keeps its own clocks.
    Session,
}

/// What the worker knows of a connection.
pub(crate) struct ConnectionState {
    doing: Cell<Doing>,
    late_body: Cell<bool>,
    /// Since when the client takes no byte of what is there for it.
    stuck_since: Cell<Option<Millis>>,
    wish: Cell<Wish>,
    waker: RefCell<Option<Waker>>,
    /// The session that begins when the answer under way has left.
    tunnel: RefCell<Option<Box<Tunnel>>>,
}

/// What the worker wants of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Go,
    Finish,
    Close,
}

impl ConnectionState {
    /// Ends it after the request under way, if there is one. A connection that has only just begun to
    /// wait is left for the next look: its request may be on the way.
    pub(super) fn finish(&self, now: Millis) {
        let just_began =
            matches!(self.doing.get(), Doing::Idle(since) if now.since(since) < JUST_BEGAN_MS);
        if self.wish.get() == Wish::Go && !just_began {
            self.wish.set(Wish::Finish);
            self.wake();
        }
    }

    /// Closes it when it idles or reads a head for too long; lets a request whose body does not come
    /// be refused.
    pub(super) fn close_if_overdue(&self, now: Millis, bounds: &Bounds) {
        let overdue = match self.doing.get() {
            Doing::Idle(since) => now.since(since) > bounds.idle_ms,
            Doing::Head(since) => now.since(since) > bounds.header_read_ms,
            Doing::Body(since) => {
                if now.since(since) > bounds.body_read_ms {
                    self.late_body.set(true);
                    self.wake();
                }
                false
            }
            Doing::Request | Doing::Session => false,
        };
        let stuck = self.stuck_since.get().is_some_and(|since| now.since(since) > STUCK_MS);
        if overdue || stuck {
            self.close();
        }
    }

    /// How long it has waited for a request, milliseconds; `None` while it serves one, or has only just
    /// begun to wait, or is about to end.
    pub(super) fn idle_ms(&self, now: Millis) -> Option<u64> {
        match self.doing.get() {
            Doing::Idle(since) if self.wish.get() == Wish::Go => {
                Some(now.since(since)).filter(|idle_ms| *idle_ms >= JUST_BEGAN_MS)
            }
            Doing::Idle(_) | Doing::Head(_) | Doing::Body(_) | Doing::Request | Doing::Session => {
                None
            }
        }
    }

    /// Closes it.
    pub(super) fn close(&self) {
        self.wish.set(Wish::Close);
        self.wake();
    }

    /// Behind the answer under way the connection is a session's.
    pub(crate) fn switch(&self, tunnel: Tunnel) {
        *self.tunnel.borrow_mut() = Some(Box::new(tunnel));
    }

    /// The session to come counts as in flight until it ends.
    pub(crate) fn hold(&self, in_flight: InFlight) {
        if let Some(tunnel) = self.tunnel.borrow_mut().as_mut() {
            tunnel.hold(in_flight);
        }
    }

    /// A request's answer has left completely.
    pub(crate) fn idle(&self) {
        self.doing.set(Doing::Idle(clock::recent().millis()));
    }

    /// The next piece of a request's body is waited for.
    pub(crate) fn reading_body(&self) {
        self.doing.set(Doing::Body(clock::recent().millis()));
    }

    /// The piece came.
    pub(crate) fn serving(&self) {
        self.late_body.set(false);
        self.doing.set(Doing::Request);
    }

    /// The client took bytes, or would not.
    fn wrote(&self, polled: &Poll<io::Result<usize>>) {
        match polled {
            Poll::Ready(_) => {
                self.stuck_since.set(None);
                // An answer is handed over in one piece and takes its time to leave.
                if matches!(self.doing.get(), Doing::Idle(_)) {
                    self.idle();
                }
            }
            Poll::Pending if self.stuck_since.get().is_none() => {
                self.stuck_since.set(Some(clock::recent().millis()));
            }
            Poll::Pending => {}
        }
    }

    /// Whether it should have come by now.
    pub(crate) fn body_is_late(&self) -> bool {
        self.late_body.get()
    }

    /// Keeps what wakes its task.
    fn remember(&self, cx: &Context<'_>) {
        if !self.waker.borrow().as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            *self.waker.borrow_mut() = Some(cx.waker().clone());
        }
    }

    /// Lets its task look at it again.
    pub(super) fn wake(&self) {
        if let Some(waker) = self.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }
}

/// Serves `stream` in a task of its own.
pub(super) fn spawn(clients: &Rc<Clients>, stream: TcpStream) {
    let state = Rc::new(ConnectionState {
        doing: Cell::new(Doing::Idle(clock::now().millis())),
        late_body: Cell::new(false),
        stuck_since: Cell::new(None),
        wish: Cell::new(Wish::Go),
        waker: RefCell::new(None),
        tunnel: RefCell::new(None),
    });
    clients.connections.borrow_mut().push(Rc::downgrade(&state));
    let open = Open::count(clients, &state);
    let worker = &clients.worker;
    let serving = worker.process.serving();
    let head_max = serving.snapshot.gateway.bounds.header_bytes;
    let io = TokioIo::new(Watched { stream, state: state.clone(), is_awaited: false });
    let (for_requests, for_states) = (worker.clone(), state.clone());
    let service = service_fn(move |request| {
        for_states.doing.set(Doing::Request);
        router::serve(for_requests.clone(), for_states.clone(), request)
    });
    let mut builder = http1::Builder::new();
    // The sweep keeps the clocks; see above.
    builder
        .header_read_timeout(None)
        .max_header_size(head_max)
        .max_buf_size(head_max.max(64 << 10));
    let mut connection = builder.serve_connection(io, service);
    let worker = worker.clone();
    tokio::task::spawn_local(async move {
        let _open = open;
        if let Err(error) = drive(&mut connection, &state).await {
            tracing::trace!(%error, "a client's connection ended early");
            return;
        }
        let tunnel = state.tunnel.take();
        if let Some(tunnel) = tunnel
            && state.wish.get() != Wish::Close
        {
            let parts = connection.into_parts();
            state.doing.set(Doing::Session);
            let session = tunnel.with(parts.io.into_inner(), &parts.read_buf);
            converse(session, &state, &worker).await;
        }
    });
}

/// Drives a session to its end. It goes on while the process waits for what is in flight.
async fn converse(mut session: Session<Watched>, state: &ConnectionState, worker: &Worker) {
    std::future::poll_fn(|cx| {
        state.remember(cx);
        if state.wish.get() == Wish::Close {
            return Poll::Ready(());
        }
        let polled = contained(&worker.process.metrics, "a session", || session.poll(cx));
        polled.unwrap_or_else(|| {
            session.give_up();
            Poll::Ready(())
        })
    })
    .await;
}

async fn drive<F>(connection: &mut F, state: &ConnectionState) -> hyper::Result<()>
where
    F: Future<Output = hyper::Result<()>> + Graceful + Unpin,
{
    let mut connection = Pin::new(connection);
    let mut told = false;
    std::future::poll_fn(|cx| {
        state.remember(cx);
        match state.wish.get() {
            Wish::Close => return Poll::Ready(Ok(())),
            Wish::Finish if !told => {
                told = true;
                connection.as_mut().shut_down();
            }
            Wish::Finish | Wish::Go => {}
        }
        connection.as_mut().poll(cx)
    })
    .await
}

/// A connection that can be told to end after the request under way.
trait Graceful {
    fn shut_down(self: Pin<&mut Self>);
}

impl<I, B, S> Graceful for http1::Connection<I, S>
where
    S: hyper::service::HttpService<hyper::body::Incoming, ResBody = B>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
    B: http_body::Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn shut_down(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

/// Counts an open connection for as long as it lives.
struct Open {
    clients: Rc<Clients>,
    state: Rc<ConnectionState>,
}

impl Open {
    fn count(clients: &Rc<Clients>, state: &Rc<ConnectionState>) -> Open {
        clients.worker.process.metrics.connections.fetch_add(1, Ordering::Relaxed);
        clients.count.set(clients.count.get() + 1);
        Open { clients: clients.clone(), state: state.clone() }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.clients.worker.process.metrics.connections.fetch_sub(1, Ordering::Relaxed);
        self.clients.count.set(self.clients.count.get() - 1);
        // A session that did not begin holds on to the connection that holds it.
        drop(self.state.tunnel.take());
    }
}

/// A client's stream that notes when a head begins, and when the client leaves.
struct Watched {
    stream: TcpStream,
    state: Rc<ConnectionState>,
    /// Whether whoever reads waits for more, and so will learn of the end of the stream.
    is_awaited: bool,
}

impl Watched {
    /// Notices the end of the stream while nobody reads: a client that has sent another request ahead
    /// is not read from before its turn.
    fn look_for_the_end(&mut self, cx: &mut Context<'_>) {
        let mut byte = [0];
        let peeked = self.stream.poll_peek(cx, &mut ReadBuf::new(&mut byte));
        let has_ended = match peeked {
            Poll::Pending => false,
            Poll::Ready(Ok(count)) => count == 0,
            Poll::Ready(Err(_)) => true,
        };
        if has_ended {
            self.state.close();
        }
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let polled = Pin::new(&mut this.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before && matches!(this.state.doing.get(), Doing::Idle(_)) {
            this.state.doing.set(Doing::Head(clock::recent().millis()));
        }
        this.is_awaited = polled.is_pending();
        polled
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.state.wrote(&polled);
        polled
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.is_awaited && this.state.doing.get() == Doing::Request {
            this.look_for_the_end(cx);
        }
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = coalesce::poll_write_vectored(&mut this.stream, cx, buffers);
        this.state.wrote(&polled);
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
