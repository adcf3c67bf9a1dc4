//! What an upstream has seen so far.
//!
//! Given to the conditions of [`crate::FakeUpstream::wait_for`] and out of `state`.
//! Always true: lists only grow; a connection's place in the list is its number.

use crate::Request;

/// Everything that happened at one upstream.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// Every request that arrived whole, in order of arrival.
    pub requests: Vec<Request>,
    /// Every connection that was accepted.
    pub connections: Vec<Connection>,
    /// The gates at which connections wait now.
    pub waiting: Vec<String>,
}

/// One accepted connection.
#[derive(Clone, Debug, Default)]
pub struct Connection {
    /// Requests that arrived whole.
    pub requests: usize,
    /// Scripts that ran to their end.
    pub answered: usize,
    /// Bytes written.
    pub written: usize,
    /// Which side ended it; `None` while it is open.
    pub closed: Option<ClosedBy>,
}

/// The side that ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClosedBy {
    /// The gateway closed or reset it.
    Peer,
    /// The script did, or the test by closing or stopping the upstream.
    Upstream,
}

impl State {
    /// Connections accepted so far.
    pub fn opened(&self) -> usize {
        self.connections.len()
    }

    /// Connections that are open now.
    pub fn open(&self) -> usize {
        self.connections.iter().filter(|connection| connection.closed.is_none()).count()
    }

    /// Connections that have ended.
    pub fn closed(&self) -> usize {
        self.opened() - self.open()
    }

    /// Connections that the gateway ended.
    pub fn closed_by_peer(&self) -> usize {
        self.connections.iter().filter(|it| it.closed == Some(ClosedBy::Peer)).count()
    }

    /// Scripts that ran to their end.
    pub fn answered(&self) -> usize {
        self.connections.iter().map(|connection| connection.answered).sum()
    }

    /// How many connections wait at this gate.
    pub fn waiting_at(&self, gate: &str) -> usize {
        self.waiting.iter().filter(|name| *name == gate).count()
    }
}
