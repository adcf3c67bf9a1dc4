//! One stream whose client may come back: its events, who reads them, and until when they are kept.
//!
//! Filled by the one who reads the upstream, read by one client at a time. Always true: the last client that came has the stream,
//! and those before it get nothing more; each client gets the events behind the one that it names, in order, none twice; what is
//! kept is bounded and counted, and what does not fit is known to be lost.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use hale_core::operation::Operation;
use hale_core::tenancy::Owner;
use hale_core::time::Millis;
use hale_wire::events;
use hale_wire::kept::{Cursor, Kept};
use hale_wire::numbered::{NumberedBy, Numbers};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use crate::clock;
use crate::limits::{Buffered, Held};

/// The most that is kept of one stream, bytes, packed: some 80,000 tokens.
const KEPT_MAX: usize = 1 << 20;
/// What a stream takes besides its events, bytes.
const BASE: usize = 2 << 10;
/// What is kept is counted in steps of so many bytes.
const STEP: usize = 4 << 10;
/// All that is held may fill this fraction of the memory for bodies before nothing more is kept here: one byte in so many. What
/// is kept for a rescue may fill twice as much.
const SHARE: usize = 8;
/// How far a stream is read ahead of a client that came back, bytes.
const AHEAD_MAX: u64 = 256 << 10;
/// Events leave together up to about so many bytes.
const FRAME_MAX: usize = 32 << 10;

/// On what terms a stream is kept.
pub(crate) struct Terms {
    /// Its id, as the client knows it.
    pub(crate) id: Box<str>,
    /// What it answers.
    pub(crate) operation: Operation,
    /// What numbers its events.
    pub(crate) numbered_by: NumberedBy,
    /// Whose it is.
    pub(crate) owner: Owner,
    /// How long its client may come back, milliseconds.
    pub(crate) window_ms: u64,
    /// How often a client gets a comment while it is silent, milliseconds.
    pub(crate) keepalive_ms: Option<u64>,
    /// The account of the memory for bodies, and its limit, bytes.
    pub(crate) memory: (Arc<Buffered>, usize),
}

/// A stream that is kept.
pub(crate) struct KeptStream {
    terms: Terms,
    state: Mutex<State>,
    /// Wakes what looks after it: a client came or left, or it ended.
    changed: Notify,
}

struct State {
    kept: Kept,
    held: Held,
    /// The numbers of the events that the first client gets.
    numbers: Numbers,
    /// The id of the response that it is.
    response: Option<Box<str>>,
    /// The number of the client that has it; the first one is 0.
    reader: u64,
    /// Whether that is there.
    is_read: bool,
    /// Since when it is not, or since the stream ended.
    left: Millis,
    reader_waker: Option<Waker>,
    /// Wakes what reads the upstream without a client of its own.
    source_waker: Option<Waker>,
    /// Bytes of all events, and of those that the client that came back has read.
    pushed: u64,
    read: u64,
    end: Option<End>,
}

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Its last event says how.
    Told,
    /// Its connection broke.
    Broken,
}

/// Why a client does not get the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotKept {
    /// There was too much, or no memory left.
    Lost,
    /// It names an event that has not come.
    NotYet(Option<u64>),
}

/// What a client gets next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Events.
    Events(Bytes),
    /// Nothing: it had all.
    Ended(End),
    /// Nothing: another connection has the stream.
    Replaced,
    /// Nothing: what follows was not kept.
    Lost,
}

/// What a client that came back has read.
pub(crate) struct Reading {
    number: u64,
    cursor: Cursor,
    numbers: Numbers,
    ready: Vec<u8>,
}

/// What is to be done with a stream that has no client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It has one.
    Read,
    /// One may come for so many milliseconds.
    Awaits(u64),
    /// None can come any more.
    Over,
}

impl KeptStream {
    /// A stream that begins, with its first client; `None` if there is no room.
    pub(super) fn new(terms: Terms) -> Option<KeptStream> {
        let mut held = Held::none(&terms.memory.0);
        if !held.add(BASE, terms.memory.1 / SHARE) {
            return None;
        }
        let state = State {
            kept: Kept::default(),
            held,
            numbers: Numbers::new(terms.numbered_by),
            response: None,
            reader: 0,
            is_read: true,
            left: Millis(0),
            reader_waker: None,
            source_waker: None,
            pushed: 0,
            read: 0,
            end: None,
        };
        Some(KeptStream { terms, state: Mutex::new(state), changed: Notify::new() })
    }

    /// Its id.
    pub(crate) fn id(&self) -> &str {
        &self.terms.id
    }

    /// What it answers.
    pub(crate) fn operation(&self) -> Operation {
        self.terms.operation
    }

    /// How often a client gets a comment while it is silent, milliseconds.
    pub(crate) fn keepalive_ms(&self) -> Option<u64> {
        self.terms.keepalive_ms
    }

    /// Whose it is.
    pub(crate) fn owner(&self) -> &Owner {
        &self.terms.owner
    }

    /// Notes the id of its response; false if it has one.
    pub(super) fn set_response(&self, id: &str) -> bool {
        let mut state = self.state.lock();
        let is_new = state.response.is_none();
        if is_new {
            state.response = Some(id.into());
        }
        is_new
    }

    /// The id of its response.
    pub(super) fn response(&self) -> Option<Box<str>> {
        self.state.lock().response.clone()
    }

    /// Keeps whole events that the first client gets; returns them as it gets them.
    pub(crate) fn push_first(&self, piece: Bytes) -> Bytes {
        let mut state = self.state.lock();
        self.keep(&mut state, &piece);
        match self.terms.numbered_by {
            NumberedBy::Themselves => piece,
            NumberedBy::Lines => {
                let mut shown = Vec::with_capacity(piece.len() + 16);
                state.numbers.write(&piece, &mut shown);
                shown.into()
            }
        }
    }

    /// Keeps whole events; false if no client can get them any more.
    pub(crate) fn push(&self, piece: &[u8]) -> bool {
        let mut state = self.state.lock();
        self.keep(&mut state, piece);
        state.is_read || !state.kept.is_lost()
    }

    fn keep(&self, state: &mut MutexGuard<'_, State>, piece: &[u8]) {
        state.pushed += piece.len() as u64;
        state.kept.push(piece, KEPT_MAX);
        let missing = (BASE + state.kept.bytes()).saturating_sub(state.held.bytes());
        let more = missing.next_multiple_of(STEP);
        if missing > 0 && !state.held.add(more, self.terms.memory.1 / SHARE) {
            state.kept.lose();
        }
        if state.kept.is_lost() {
            state.held.shrink_to(BASE);
        }
        // The first client reads the upstream itself.
        if state.reader > 0
            && let Some(waker) = state.reader_waker.take()
        {
            waker.wake();
        }
    }

    /// A client comes back for what follows the event with the number `after`, or for all. It has the stream from now on.
    ///
    /// # Errors
    /// That is not kept. The client that has the stream goes on.
    pub(crate) fn attach(&self, after: Option<u64>) -> Result<Reading, NotKept> {
        let mut state = self.state.lock();
        if state.kept.is_lost() {
            return Err(NotKept::Lost);
        }
        // The first number of lines is 1.
        let is_all = |after: &u64| self.terms.numbered_by == NumberedBy::Lines && *after == 0;
        let after = after.filter(|after| !is_all(after));
        let mut reading = Reading {
            number: state.reader + 1,
            cursor: Cursor::default(),
            numbers: Numbers::new(self.terms.numbered_by),
            ready: Vec::new(),
        };
        let mut read = 0;
        if let Some(after) = after {
            while reading.numbers.last() < Some(after) {
                let Some(piece) = state.kept.next(&mut reading.cursor) else {
                    return Err(NotKept::NotYet(reading.numbers.last()));
                };
                read += piece.len() as u64;
                reading.skip(&piece, after);
            }
        }
        state.reader = reading.number;
        state.is_read = true;
        state.read = read;
        state.wake_all();
        drop(state);
        self.changed.notify_one();
        Ok(reading)
    }

    /// What the client of `reading` gets next.
    pub(crate) fn poll_next(&self, reading: &mut Reading, cx: &Context<'_>) -> Poll<Next> {
        let mut state = self.state.lock();
        if state.reader != reading.number {
            return Poll::Ready(Next::Replaced);
        }
        let mut ready = std::mem::take(&mut reading.ready);
        while ready.len() < FRAME_MAX
            && let Some(piece) = state.kept.next(&mut reading.cursor)
        {
            state.read += piece.len() as u64;
            reading.numbers.write(&piece, &mut ready);
        }
        if !ready.is_empty() {
            if let Some(waker) = state.source_waker.take() {
                waker.wake();
            }
            return Poll::Ready(Next::Events(ready.into()));
        }
        match state.end {
            _ if state.kept.is_lost() => Poll::Ready(Next::Lost),
            Some(end) => Poll::Ready(Next::Ended(end)),
            None => {
                state.reader_waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// The client with that number has left, or was cut off.
    pub(crate) fn leave(&self, number: u64) {
        let mut state = self.state.lock();
        if state.reader != number {
            return;
        }
        state.is_read = false;
        state.left = clock::now().millis();
        state.wake_all();
        drop(state);
        self.changed.notify_one();
    }

    /// It ended, unless it did before.
    pub(crate) fn end(&self, end: End) {
        let mut state = self.state.lock();
        if state.end.is_some() {
            return;
        }
        state.end = Some(end);
        state.left = clock::now().millis();
        state.wake_all();
        drop(state);
        self.changed.notify_one();
    }

    /// Wakes the first client when another one comes.
    pub(crate) fn first_waits(&self, cx: &Context<'_>) {
        let mut state = self.state.lock();
        if state.reader != 0 || !state.is_read {
            // It came while the upstream was looked at: its waker stays, and this client looks again.
            cx.waker().wake_by_ref();
            return;
        }
        if !state.reader_waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            state.reader_waker = Some(cx.waker().clone());
        }
    }

    /// Whether the first client reads it still.
    pub(crate) fn has_first(&self) -> bool {
        let state = self.state.lock();
        state.reader == 0 && state.is_read && state.end.is_none()
    }

    /// Whether it may be read on without its first client. If not, the task is woken when it may.
    pub(crate) fn may_read_on(&self, cx: &Context<'_>) -> bool {
        let mut state = self.state.lock();
        state.source_waker = Some(cx.waker().clone());
        !state.is_read || state.pushed.saturating_sub(state.read) < AHEAD_MAX
    }

    /// Wakes what reads the upstream: the process cuts what is in flight.
    pub(crate) fn nudge(&self) {
        if let Some(waker) = self.state.lock().source_waker.take() {
            waker.wake();
        }
    }

    /// Whether a client can still get what it says.
    pub(crate) fn standing(&self) -> Standing {
        let state = self.state.lock();
        let since_left = clock::now().millis().since(state.left);
        match self.terms.window_ms.saturating_sub(since_left) {
            _ if state.is_read => Standing::Read,
            0 => Standing::Over,
            _ if state.kept.is_lost() => Standing::Over,
            left => Standing::Awaits(left),
        }
    }

    /// Waits until a client comes or leaves, or it ends.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }
}

impl State {
    fn wake_all(&mut self) {
        self.reader_waker.take().into_iter().for_each(Waker::wake);
        self.source_waker.take().into_iter().for_each(Waker::wake);
    }
}

impl Reading {
    /// The number of its client.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Passes the events of `piece` up to the one with the number `after`. What follows is ready.
    fn skip(&mut self, piece: &[u8], after: u64) {
        for event in events::events(piece).map(|event| &piece[event]) {
            let mut numbers = self.numbers;
            numbers.pass(event);
            let has_number = numbers.last() != self.numbers.last();
            let is_behind =
                numbers.last() > Some(after) || (!has_number && self.numbers.last() == Some(after));
            match is_behind {
                true => self.numbers.write(event, &mut self.ready),
                false => self.numbers = numbers,
            }
        }
    }
}

#[cfg(test)]
mod tests;
