//! Workers: one thread, one runtime, one listener each; they share no connection.
//!
//! Started by [`crate::process`]. Always true: a connection stays on the worker that accepted it, and a
//! worker ends only after its connections did or the time to shut down is over.

mod connection;
pub(crate) mod listener;
mod socket;
mod tls;

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::LocalOptions;
use tokio::sync::watch;

pub(crate) use self::tls::{ClientTls, TlsFiles};
use crate::clock;
use crate::http::connection::{ClientConn, Spare};
use crate::state::{Process, Worker};
use crate::upstream;

/// How far the process is on its way to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Serving.
    Serve,
    /// Still accepting, telling clients to go elsewhere.
    Drain,
    /// No longer accepting; requests in flight finish.
    Finish,
    /// Over: what is left is cut.
    Stop,
}

/// How often a worker looks after idle and overdue connections.
const SWEEP: Duration = Duration::from_secs(1);

/// Time for streams that are cut to send their error event. It delays the end of the process.
const CUT_GRACE: Duration = Duration::from_millis(250);

/// How long to wait for descriptors before the next look.
const NO_ROOM_PAUSE: Duration = Duration::from_millis(20);

/// The clients of one worker.
struct Clients {
    /// What their requests share.
    worker: Rc<Worker>,
    /// What their connections are secured with, if they are.
    tls: Option<Arc<ClientTls>>,
    /// The most clients that may be connected.
    max: usize,
    /// Clients connected now.
    count: Cell<usize>,
    connections: RefCell<Vec<Weak<ClientConn>>>,
}

/// Who is let in, and how.
#[derive(Clone)]
pub(crate) struct Door {
    /// The most clients of one worker.
    pub(crate) clients_max: usize,
    /// What connections are secured with, if they are.
    pub(crate) tls: Option<Arc<ClientTls>>,
}

/// Serves the clients that `door` lets in on `listener` until `phase` says stop. Blocks the thread.
pub(crate) fn run(
    process: Arc<Process>,
    listener: std::net::TcpListener,
    phase: watch::Receiver<Phase>,
    door: Door,
) -> std::io::Result<()> {
    // A local runtime rather than a local set: the set wakes itself through the kernel, twice a request.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())?;
    let clients = Rc::new(Clients {
        worker: Rc::new(Worker::new(process)),
        tls: door.tls,
        max: door.clients_max,
        count: Cell::new(0),
        connections: RefCell::default(),
    });
    let served = runtime.block_on(async move {
        let listener = TcpListener::from_std(listener)?;
        serve(&clients, listener, phase).await;
        Ok(())
    });
    // A name that is still being resolved, or a count of tokens, does not delay the end.
    runtime.shutdown_background();
    served
}

async fn serve(clients: &Rc<Clients>, listener: TcpListener, mut phase: watch::Receiver<Phase>) {
    let mut sweep = tokio::time::interval(SWEEP);
    sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut listener = Some(listener);
    loop {
        let now_phase = *phase.borrow_and_update();
        if now_phase >= Phase::Finish {
            if let Some(listener) = listener.take() {
                accept_waiting(clients, &listener).await;
            }
            let now = clock::now().millis();
            clients.each_connection(|state| state.finish(now));
            if now_phase == Phase::Stop {
                clients.cut().await;
                return;
            }
            if clients.is_idle() {
                return;
            }
        }
        tokio::select! {
            accepted = accept(listener.as_ref()), if clients.has_room() => match accepted {
                Ok((stream, peer)) => connection::spawn(clients, stream, peer),
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    // Out of descriptors, most likely: trying again at once would only spin.
                    tokio::time::sleep(NO_ROOM_PAUSE).await;
                }
            },
            changed = phase.changed() => if changed.is_err() {
                return;
            },
            _ = sweep.tick() => clients.sweep(),
            () = clients.room(), if !clients.has_room() => {}
            () = clients.drained(), if now_phase >= Phase::Finish => {}
        }
    }
}

async fn accept(
    listener: Option<&TcpListener>,
) -> std::io::Result<(tokio::net::TcpStream, SocketAddr)> {
    match listener {
        Some(listener) => {
            let (stream, peer) = listener.accept().await?;
            stream.set_nodelay(true)?;
            Ok((stream, peer))
        }
        None => std::future::pending().await,
    }
}

/// Accepts the connections in the backlog: closing the listener would reset them.
async fn accept_waiting(clients: &Rc<Clients>, listener: &TcpListener) {
    std::future::poll_fn(|cx| {
        while let Poll::Ready(Ok((stream, peer))) = listener.poll_accept(cx) {
            connection::spawn(clients, stream, peer);
        }
        Poll::Ready(())
    })
    .await;
}

impl Clients {
    fn each_connection(&self, mut each: impl FnMut(&ClientConn)) {
        for state in self.connections.borrow().iter().filter_map(Weak::upgrade) {
            each(&state);
        }
    }

    fn is_idle(&self) -> bool {
        self.connections.borrow().iter().all(|state| state.strong_count() == 0)
    }

    /// Whether one more client may connect. One beyond the limit is accepted, because an idle
    /// or slow connection is closed only after another client has arrived.
    fn has_room(&self) -> bool {
        self.count.get() <= self.max
    }

    /// Waits until a client disconnects, and closes connections that can be spared, one after the other.
    async fn room(&self) {
        while !self.has_room() {
            let now = clock::now().millis();
            let mut first: Option<(Spare, Rc<ClientConn>)> = None;
            for state in self.connections.borrow().iter().filter_map(Weak::upgrade) {
                let Some(spare) = state.spare(now) else { continue };
                if first.as_ref().is_none_or(|(known, _)| spare > *known) {
                    first = Some((spare, state));
                }
            }
            if let Some((_, state)) = first {
                state.close();
            }
            tokio::time::sleep(NO_ROOM_PAUSE).await;
        }
    }

    /// Lets streams end with the reason why they are cut.
    async fn cut(&self) {
        self.worker.process.cut();
        self.each_connection(ClientConn::wake);
        let _cut: Result<(), _> = tokio::time::timeout(CUT_GRACE, self.drained()).await;
    }

    async fn drained(&self) {
        while !self.is_idle() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Closes connections that are overdue, and forgets those that are gone.
    fn sweep(&self) {
        let now = clock::now().millis();
        let serving = self.worker.process.serving();
        let bounds = &serving.snapshot.gateway.bounds;
        self.each_connection(|state| state.close_if_overdue(now, bounds));
        self.connections.borrow_mut().retain(|state| state.strong_count() > 0);
        upstream::close_idle(now);
    }
}
