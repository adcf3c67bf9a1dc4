//! One connection of a scripted upstream: a thread that reads and a thread that answers.
//!
//! Started by the accepting thread of [`super::FakeUpstream`].
//! Always true: the reading thread sees the peer's close at any moment, so that no script outlives its peer.

use std::io::{self, BufReader, ErrorKind, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use socket2::SockRef;

use super::Shared;
use super::state::{ClosedBy, Connection};
use crate::script::Step;
use crate::wire::{Body, Head, Request};

/// Why a script stopped before its end.
enum Ended {
    /// The connection is gone, or the script closed it.
    Closed,
}

/// Drives one connection on two threads of its own.
pub(super) fn serve(shared: Arc<Shared>, stream: Arc<TcpStream>, number: usize) {
    // Without it small writes would wait for acknowledgements and cuts would move.
    drop(stream.set_nodelay(true));
    let line = Line { shared, stream, number };
    let reader = Line {
        shared: Arc::clone(&line.shared),
        stream: Arc::clone(&line.stream),
        number: line.number,
    };
    thread::spawn(move || reader.read());
    thread::spawn(move || line.answer());
}

/// One thread's hold on a connection.
struct Line {
    shared: Arc<Shared>,
    stream: Arc<TcpStream>,
    number: usize,
}

impl Line {
    /// Reads requests until the peer closes, and says so.
    fn read(&self) {
        let mut from = BufReader::new(&*self.stream);
        while let Ok(Some(request)) = self.read_one(&mut from) {
            self.shared.change(|inner| {
                let request = Request { order: inner.state.requests.len(), ..request };
                inner.state.requests.push(request.clone());
                if let Some(connection) = inner.state.connections.get_mut(self.number) {
                    connection.requests += 1;
                }
                if let Some(link) = inner.links.get_mut(self.number) {
                    link.inbox.push_back(request);
                }
            });
        }
        self.shared.change(|inner| inner.close(self.number, ClosedBy::Peer));
    }

    fn read_one(&self, from: &mut BufReader<&TcpStream>) -> io::Result<Option<Request>> {
        let Some(head) = Head::read(from)? else { return Ok(None) };
        if head.headers.get("expect").is_some_and(|it| it.eq_ignore_ascii_case("100-continue")) {
            (&*self.stream).write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let mut body = Body::of_request(&head);
        let bytes = body.read_all(from)?;
        if body.cut {
            return Ok(None);
        }
        Ok(Some(Request {
            method: head.word(0).to_owned(),
            path: head.word(1).to_owned(),
            headers: head.headers,
            body: bytes,
            raw_head: head.raw,
            connection: self.number,
            order: 0,
        }))
    }

    /// Answers the requests in turn until the connection ends.
    fn answer(&self) {
        while let Some(request) = self.next_request() {
            let queued = self.shared.inner.lock().queue.pop_front();
            let script = match queued {
                Some(script) => script,
                None => (self.shared.behaviour.lock())(&request),
            };
            for step in script.into_steps() {
                if let Err(Ended::Closed) = self.run(step) {
                    return;
                }
            }
            self.note(|connection| connection.answered += 1);
        }
    }

    fn next_request(&self) -> Option<Request> {
        let mut inner = self.shared.inner.lock();
        loop {
            if let Some(request) = inner.links.get_mut(self.number)?.inbox.pop_front() {
                return Some(request);
            }
            if inner.state.connections.get(self.number)?.closed.is_some() {
                return None;
            }
            self.shared.changed.wait(&mut inner);
        }
    }

    fn run(&self, step: Step) -> Result<(), Ended> {
        match step {
            Step::Send(bytes) => self.send(&bytes),
            Step::Wait(gate) => self.wait(&gate),
            Step::Delay(time) => self.pause(Some(time)),
            Step::Silence => self.pause(None),
            Step::Close => self.end(None),
            Step::Reset => self.end(Some(Duration::ZERO)),
        }
    }

    fn send(&self, mut bytes: &[u8]) -> Result<(), Ended> {
        while !bytes.is_empty() {
            match (&*self.stream).write(bytes) {
                Ok(count) => {
                    bytes = bytes.get(count..).unwrap_or_default();
                    self.note(|connection| connection.written += count);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => {
                    self.shared.change(|inner| inner.close(self.number, ClosedBy::Peer));
                    return Err(Ended::Closed);
                }
            }
        }
        Ok(())
    }

    fn wait(&self, gate: &str) -> Result<(), Ended> {
        let mut inner = self.shared.inner.lock();
        inner.state.waiting.push(gate.to_owned());
        self.shared.changed.notify_all();
        let result = loop {
            if inner.open_gates.contains(gate) {
                break Ok(());
            }
            if self.gone(&inner) {
                break Err(Ended::Closed);
            }
            self.shared.changed.wait(&mut inner);
        };
        if let Some(at) = inner.state.waiting.iter().position(|name| name == gate) {
            inner.state.waiting.remove(at);
        }
        self.shared.changed.notify_all();
        result
    }

    /// Waits for the time, or for ever, but never longer than the peer.
    fn pause(&self, time: Option<Duration>) -> Result<(), Ended> {
        let until = time.map(|time| Instant::now() + time);
        let mut inner = self.shared.inner.lock();
        while !self.gone(&inner) {
            match until {
                None => self.shared.changed.wait(&mut inner),
                Some(until) if Instant::now() >= until => return Ok(()),
                Some(until) => drop(self.shared.changed.wait_until(&mut inner, until)),
            }
        }
        Err(Ended::Closed)
    }

    /// Closes; a linger time of zero makes it a reset.
    fn end(&self, linger: Option<Duration>) -> Result<(), Ended> {
        self.shared.change(|inner| inner.close(self.number, ClosedBy::Upstream));
        let how = if linger.is_some() {
            drop(SockRef::from(&*self.stream).set_linger(linger));
            // Sends nothing, but makes the reading thread let go: the last to let go resets.
            Shutdown::Read
        } else {
            Shutdown::Both
        };
        drop(self.stream.shutdown(how));
        Err(Ended::Closed)
    }

    fn gone(&self, inner: &super::Inner) -> bool {
        inner.state.connections.get(self.number).is_none_or(|it| it.closed.is_some())
    }

    fn note(&self, change: impl FnOnce(&mut Connection)) {
        self.shared.change(|inner| {
            if let Some(connection) = inner.state.connections.get_mut(self.number) {
                change(connection);
            }
        });
    }
}
