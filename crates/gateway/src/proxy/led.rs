//! A stream that other requests may have joined, as the request that leads it sends it.
//!
//! Made by [`super::respond`], polled by hyper as the answer's body. Always true: what the client gets is what the relay
//! gives; the others get the same pieces, no sooner; when the client leaves or does not read, the stream goes on while others
//! read it.

use std::cell::RefCell;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};

use bytes::Bytes;
use hale_core::cause::Cause;
use hale_core::operation::Operation;
use hale_core::time::Millis;
use hale_wire::reuse;
use http_body::Frame;
use http_body_util::BodyExt;
use tokio::task::AbortHandle;

use super::attempt::Failed;
use super::followed::break_event;
use super::relay::Relay;
use crate::cache::{End, Follower, Leader, Watch};
use crate::clock;
use crate::http::reply::{Broken, Reply, StreamedBody};

/// A stream and its followers.
pub(crate) struct Led {
    reading: Rc<RefCell<Reading>>,
    operation: Operation,
    /// After how much silence its client gets a comment, milliseconds. Those who joined have their own.
    keepalive_ms: Option<u64>,
}

/// How the client of the request that leads a stream reads it.
enum Reading {
    /// First; the others get what it gets. The task waits until it does not read.
    First(Box<Stream>, AbortHandle),
    /// As one who joined: the others did not wait for it.
    Behind(Follower),
    /// Not at all.
    Over,
}

/// What comes from the upstream, for the one who reads first and for those who joined.
struct Stream {
    relay: Relay,
    leader: Box<Leader>,
    operation: Operation,
}

impl Led {
    /// The stream of `relay`, which `leader` leads.
    pub(super) fn new(relay: Relay, leader: Box<Leader>, operation: Operation) -> Led {
        let keepalive_ms = relay.keepalive_ms();
        let reading = Rc::new(RefCell::new(Reading::Over));
        let waiting = go_on_without(leader.watch(), Rc::downgrade(&reading));
        let task = tokio::task::spawn_local(waiting).abort_handle();
        *reading.borrow_mut() = Reading::First(Box::new(Stream { relay, leader, operation }), task);
        Led { reading, operation, keepalive_ms }
    }

    fn take(&self) -> Reading {
        self.reading.replace(Reading::Over)
    }
}

/// Reads the stream for those who joined it, once its client holds them up.
async fn go_on_without(watch: Watch, reading: Weak<RefCell<Reading>>) {
    watch.held_up().await;
    let Some(reading) = reading.upgrade() else { return };
    let stream = match reading.replace(Reading::Over) {
        Reading::First(stream, _) => stream,
        other @ (Reading::Behind(_) | Reading::Over) => {
            reading.replace(other);
            return;
        }
    };
    reading.replace(Reading::Behind(stream.leader.follow_on()));
    drop(reading);
    drained(Reply::stream(*stream)).await;
}

/// The answer is complete: it is kept if nothing cut it short.
fn end(leader: &mut Leader, operation: Operation) {
    let is_whole = |text: &str| reuse::is_whole_stream(operation, text);
    leader.ends_whole(clock::recent().millis(), is_whole);
}

/// Reads an answer that has no client.
pub(super) async fn drained(mut body: Reply) {
    while let Some(Ok(_frame)) = body.frame().await {}
}

impl StreamedBody for Stream {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let Stream { relay, leader, operation } = self;
        leader.unread_since(Millis::NEVER);
        let polled = relay.poll_frame(cx);
        match &polled {
            Poll::Pending => {}
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(piece) = frame.data_ref() {
                    leader.piece(piece);
                    leader.unread_since(clock::recent().millis());
                }
            }
            // Nothing that was sent says that it broke.
            Poll::Ready(Some(Err(_))) => leader.leaves(),
            Poll::Ready(None) if relay.has_ended_well() => end(leader, *operation),
            Poll::Ready(None) => leader.fails(),
        }
        // The upstream may take a while to close.
        if polled.is_ready() && relay.has_sent_all() {
            end(leader, *operation);
        }
        polled
    }

    fn length(&self) -> Option<u64> {
        None
    }

    fn give_up(&mut self) {
        self.relay.give_up();
        self.leader.leaves();
    }
}

impl StreamedBody for Led {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let mut reading = self.reading.borrow_mut();
        let piece = match &mut *reading {
            Reading::First(stream, _) => return stream.poll_frame(cx),
            Reading::Behind(follower) => match follower.poll_piece(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(piece) => piece,
            },
            Reading::Over => return Poll::Ready(None),
        };
        let data = match piece {
            Ok(piece) => piece,
            // What it got says how it ended.
            Err(End::Whole | End::Failed) => return Poll::Ready(None),
            Err(End::Left) => {
                *reading = Reading::Over;
                let message = "this client reads too slowly, or the gateway stops".to_owned();
                break_event(self.operation, &Failed::of(Cause::Gateway, None, message))
            }
        };
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn length(&self) -> Option<u64> {
        None
    }

    fn keepalive_ms(&self) -> Option<u64> {
        match &*self.reading.borrow() {
            Reading::First(stream, _) => stream.relay.keepalive_ms(),
            Reading::Behind(_) => self.keepalive_ms,
            Reading::Over => None,
        }
    }

    fn give_up(&mut self) {
        if let Reading::First(mut stream, task) = self.take() {
            task.abort();
            stream.give_up();
        }
    }
}

impl Drop for Led {
    fn drop(&mut self) {
        let Reading::First(stream, task) = self.take() else { return };
        task.abort();
        let may_go_on = !stream.relay.is_cut() && !std::thread::panicking();
        if may_go_on && stream.leader.watch().is_followed() {
            tokio::task::spawn_local(drained(Reply::stream(*stream)));
        }
    }
}
