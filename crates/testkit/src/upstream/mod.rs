//! A scripted HTTP/1.1 upstream on a port of its own.
//!
//! Started by tests; its connections are driven by [`connection`].
//! Always true: one lock and one condition variable guard everything, so that a test can wait for any of it.

mod connection;
pub(crate) mod state;

use std::collections::{HashSet, VecDeque};
use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::{Request, Script, TIMEOUT, openai};
use state::{ClosedBy, State};

/// What an upstream does with a request.
type Behaviour = Box<dyn FnMut(&Request) -> Script + Send>;

/// A scripted upstream. Dropping it closes its port and its connections.
pub struct FakeUpstream {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

/// What the accepting thread, the connections and the test have in common.
struct Shared {
    inner: Mutex<Inner>,
    changed: Condvar,
    /// Apart from `inner`: a behaviour may look at the state.
    behaviour: Mutex<Behaviour>,
}

#[derive(Default)]
struct Inner {
    state: State,
    /// One per connection, by number.
    links: Vec<Link>,
    queue: VecDeque<Script>,
    open_gates: HashSet<String>,
    stopping: bool,
}

/// The way to one connection.
struct Link {
    stream: Weak<TcpStream>,
    inbox: VecDeque<Request>,
}

impl FakeUpstream {
    /// A healthy upstream: see [`openai::answer`].
    pub fn start() -> Self {
        Self::with(openai::answer)
    }

    /// An upstream that answers each request by this function.
    pub fn with(behaviour: impl FnMut(&Request) -> Script + Send + 'static) -> Self {
        Self::start_on(0, behaviour).expect("a free port on loopback can be bound")
    }

    /// An upstream that plays these scripts, one a request, and is healthy afterwards.
    pub fn scripted(scripts: impl IntoIterator<Item = Script>) -> Self {
        let upstream = Self::start();
        upstream.shared.inner.lock().queue.extend(scripts);
        upstream
    }

    /// An upstream on a given port, for one that comes back after [`FakeUpstream::stop`].
    pub fn start_on(
        port: u16,
        behaviour: impl FnMut(&Request) -> Script + Send + 'static,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            inner: Mutex::default(),
            changed: Condvar::new(),
            behaviour: Mutex::new(Box::new(behaviour)),
        });
        let accepting = thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&listener, &shared)
        });
        Ok(Self { address, shared, accepting: Some(accepting) })
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Address and port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// `http://127.0.0.1:PORT/v1`, as `api_base` has it.
    pub fn api_base(&self) -> String {
        format!("{}/v1", self.url())
    }

    /// Plays this script for the next request that has none yet.
    pub fn push(&self, script: Script) {
        self.shared.inner.lock().queue.push_back(script);
    }

    /// From now on answers by this function (pushed scripts come first).
    pub fn answer_with(&self, behaviour: impl FnMut(&Request) -> Script + Send + 'static) {
        *self.shared.behaviour.lock() = Box::new(behaviour);
    }

    /// Opens a gate for good.
    pub fn release(&self, gate: &str) {
        self.shared.change(|inner| {
            inner.open_gates.insert(gate.to_owned());
        });
    }

    /// Shuts a gate that was opened.
    pub fn hold(&self, gate: &str) {
        self.shared.change(|inner| {
            inner.open_gates.remove(gate);
        });
    }

    /// A copy of everything seen so far.
    pub fn state(&self) -> State {
        self.shared.inner.lock().state.clone()
    }

    /// A copy of the requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.state().requests
    }

    /// The request with this number.
    #[track_caller]
    pub fn request(&self, order: usize) -> Request {
        let requests = self.requests();
        match requests.get(order) {
            Some(request) => request.clone(),
            None => panic!("there is no request {order} yet: {requests:?}"),
        }
    }

    /// Waits until the condition holds, at most [`TIMEOUT`], and gives the state of that moment.
    #[track_caller]
    pub fn wait_for(&self, condition: impl Fn(&State) -> bool) -> State {
        match self.wait_within(TIMEOUT, condition) {
            Ok(state) => state,
            Err(state) => panic!("the upstream did not come to the expected state: {state:#?}"),
        }
    }

    /// Waits until the condition holds; the state without it when the time is over.
    pub fn wait_within(
        &self,
        limit: Duration,
        condition: impl Fn(&State) -> bool,
    ) -> Result<State, State> {
        let deadline = Instant::now() + limit;
        let mut inner = self.shared.inner.lock();
        while !condition(&inner.state) {
            if self.shared.changed.wait_until(&mut inner, deadline).timed_out() {
                return if condition(&inner.state) {
                    Ok(inner.state.clone())
                } else {
                    Err(inner.state.clone())
                };
            }
        }
        Ok(inner.state.clone())
    }

    /// Waits for so many requests in all.
    #[track_caller]
    pub fn wait_for_requests(&self, count: usize) -> Vec<Request> {
        self.wait_for(|state| state.requests.len() >= count).requests
    }

    /// Waits until no connection is open.
    #[track_caller]
    pub fn wait_until_dropped(&self) -> State {
        self.wait_for(|state| state.open() == 0)
    }

    /// Closes every open connection, as a server does with idle ones.
    pub fn close_connections(&self) {
        self.shared.close_all(&mut self.shared.inner.lock());
    }

    /// Closes port and connections; connecting is refused afterwards.
    pub fn stop(&mut self) {
        let Some(accepting) = self.accepting.take() else { return };
        {
            let mut inner = self.shared.inner.lock();
            inner.stopping = true;
            self.shared.close_all(&mut inner);
        }
        // Wakes the accepting thread, which then sees the flag.
        drop(TcpStream::connect(self.address));
        drop(accepting.join());
    }
}

impl Drop for FakeUpstream {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    /// Changes something and wakes all waiting threads.
    fn change<T>(&self, change: impl FnOnce(&mut Inner) -> T) -> T {
        let result = change(&mut self.inner.lock());
        self.changed.notify_all();
        result
    }

    fn close_all(&self, inner: &mut MutexGuard<'_, Inner>) {
        for number in 0..inner.links.len() {
            inner.close(number, ClosedBy::Upstream);
            if let Some(stream) = inner.links.get(number).and_then(|link| link.stream.upgrade()) {
                // An error means that it is closed already.
                drop(stream.shutdown(Shutdown::Both));
            }
        }
        self.changed.notify_all();
    }
}

impl Inner {
    /// Notes the end of a connection; the first to say so is believed.
    fn close(&mut self, number: usize, by: ClosedBy) {
        if let Some(connection) = self.state.connections.get_mut(number) {
            connection.closed.get_or_insert(by);
        }
    }
}

/// A port on which no process listens.
pub fn refused_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port can be bound");
    listener.local_addr().expect("a bound socket has an address").port()
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        let Ok(stream) = stream else { continue };
        let mut inner = shared.inner.lock();
        if inner.stopping {
            return;
        }
        let number = inner.links.len();
        let stream = Arc::new(stream);
        inner.links.push(Link { stream: Arc::downgrade(&stream), inbox: VecDeque::new() });
        inner.state.connections.push(state::Connection::default());
        drop(inner);
        shared.changed.notify_all();
        connection::serve(Arc::clone(shared), stream, number);
    }
}

#[cfg(test)]
mod tests;
