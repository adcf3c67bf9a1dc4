//! One client's connection: HTTP/1.1, what it switches to, its timeouts and its shutdown.
//!
//! Spawned by a worker for each accepted stream, over TLS where the process has a certificate. Always true: a head that is not read in time and a
//! connection that idles too long are closed by the worker's sweep, so that no request pays for a
//! timer; dropping the connection drops the request that it carries.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::Clients;
use super::socket::Socket;
use super::tls;
use crate::http::connection::{ClientConn, Command, Session};
use crate::panics::contained;
use crate::router;
use crate::state::Worker;

/// Serves `stream` in a task of its own.
pub(super) fn spawn(clients: &Rc<Clients>, stream: TcpStream, peer: SocketAddr) {
    let state = Rc::new(ClientConn::new(Some(peer.ip())));
    clients.connections.borrow_mut().push(Rc::downgrade(&state));
    let open = Open::count(clients, &state);
    match clients.tls.clone() {
        None => serve(Socket::Plain(stream), open),
        Some(tls) => {
            tokio::task::spawn_local(async move {
                if let Some(session) = tls::handshake(&tls, stream, &open.state).await {
                    serve(Socket::Tls(session), open);
                }
            });
        }
    }
}

/// Serves the requests on `socket` in a task of its own.
fn serve(socket: Socket, open: Open) {
    let (worker, state) = (&open.clients.worker, open.state.clone());
    let serving = worker.process.serving();
    let head_max = serving.snapshot.gateway.bounds.header_bytes;
    let io = TokioIo::new(Watched { stream: socket, state: state.clone(), is_awaited: false });
    let (for_requests, for_states) = (worker.clone(), state.clone());
    let service = service_fn(move |request| {
        for_states.request();
        router::serve(for_requests.clone(), for_states.clone(), request)
    });
    let mut builder = http1::Builder::new();
    // The sweep keeps the timeouts; see above.
    builder
        .header_read_timeout(None)
        .max_header_size(head_max)
        .max_buf_size(head_max.max(64 << 10));
    let mut connection = builder.serve_connection(io, service);
    let worker = worker.clone();
    tokio::task::spawn_local(async move {
        let _open = open;
        if let Err(error) = drive(&mut connection, &state, &worker).await {
            tracing::trace!(%error, "a client's connection ended early");
            return;
        }
        let next = state.take_next();
        if let Some(next) = next
            && state.command() != Command::Close
        {
            let parts = connection.into_parts();
            state.session();
            let session = next.begin(Box::new(parts.io.into_inner()), &parts.read_buf);
            converse(session, &state, &worker).await;
        }
    });
}

/// Drives a session to its end. It goes on while the process waits for what is in flight.
async fn converse(mut session: Box<dyn Session>, state: &ClientConn, worker: &Worker) {
    std::future::poll_fn(|cx| {
        state.remember(cx);
        if state.command() == Command::Close {
            return Poll::Ready(());
        }
        let polled = contained(&worker.process.metrics, "a session", || session.poll(cx));
        worker.polled();
        polled.unwrap_or_else(|| {
            session.give_up();
            Poll::Ready(())
        })
    })
    .await;
}

async fn drive<F>(connection: &mut F, state: &ClientConn, worker: &Worker) -> hyper::Result<()>
where
    F: Future<Output = hyper::Result<()>> + Graceful + Unpin,
{
    let mut connection = Pin::new(connection);
    let mut told = false;
    std::future::poll_fn(|cx| {
        state.remember(cx);
        match state.command() {
            Command::Close => return Poll::Ready(Ok(())),
            Command::Finish if !told => {
                told = true;
                connection.as_mut().shut_down();
            }
            Command::Finish | Command::Go => {}
        }
        let polled = connection.as_mut().poll(cx);
        worker.polled();
        polled
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
    state: Rc<ClientConn>,
}

impl Open {
    fn count(clients: &Rc<Clients>, state: &Rc<ClientConn>) -> Open {
        clients.worker.process.metrics.connections.fetch_add(1, Ordering::Relaxed);
        clients.count.set(clients.count.get() + 1);
        Open { clients: clients.clone(), state: state.clone() }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.clients.worker.process.metrics.connections.fetch_sub(1, Ordering::Relaxed);
        self.clients.count.set(self.clients.count.get() - 1);
        // A session that never began and its connection own each other: this breaks the cycle.
        drop(self.state.take_next());
    }
}

/// A client's stream that notes when a head begins, and when the client leaves.
struct Watched {
    stream: Socket,
    state: Rc<ClientConn>,
    /// Whether a read is pending, which will see the end of the stream.
    is_awaited: bool,
}

impl Watched {
    /// Notices the end of the stream while no read is pending: a client that has pipelined a request
    /// is not read from until it is the turn of that request.
    fn look_for_the_end(&mut self, cx: &mut Context<'_>) {
        if self.stream.has_ended(cx) {
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
        let polled = this.stream.poll_read(cx, buffer);
        if buffer.filled().len() > before {
            this.state.received();
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
        let polled = this.stream.poll_write(cx, bytes);
        this.state.wrote(&polled);
        polled
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.is_awaited && this.state.is_in_request() {
            this.look_for_the_end(cx);
        }
        this.stream.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().stream.poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = this.stream.poll_write_vectored(cx, buffers);
        this.state.wrote(&polled);
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
