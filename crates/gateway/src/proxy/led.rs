//! A stream that other requests may have joined, as the request that leads it sends it.
//!
//! Made by [`super::respond`], polled by hyper as the answer's body. Always true: what the client gets is what the relay
//! gives; the others get the same pieces, no sooner; when the client leaves, the stream goes on while others read it.

use std::task::{Context, Poll};

use bytes::Bytes;
use hale_core::operation::Operation;
use hale_core::time::Millis;
use hale_wire::reuse;
use http_body::Frame;
use http_body_util::BodyExt;

use super::relay::Relay;
use crate::cache::Leader;
use crate::clock;
use crate::http::reply::{Broken, Reply, StreamedBody};

/// A stream and its followers.
pub(crate) struct Led {
    stream: Option<(Relay, Box<Leader>)>,
    operation: Operation,
    reader: ReadBy,
}

/// Who reads the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReadBy {
    /// The client of the request that leads it.
    Client,
    /// Those who joined it, since that client left.
    Followers,
}

impl Led {
    /// The stream of `relay`, which `leader` leads.
    pub(super) fn new(relay: Relay, leader: Box<Leader>, operation: Operation) -> Led {
        Led { stream: Some((relay, leader)), operation, reader: ReadBy::Client }
    }
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

impl StreamedBody for Led {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let Some((relay, leader)) = &mut self.stream else { return Poll::Ready(None) };
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
            Poll::Ready(None) if relay.has_ended_well() => end(leader, self.operation),
            Poll::Ready(None) => leader.fails(),
        }
        // The upstream may take a while to close.
        if polled.is_ready() && relay.has_sent_all() {
            end(leader, self.operation);
        }
        polled
    }

    fn length(&self) -> Option<u64> {
        None
    }

    fn give_up(&mut self) {
        if let Some((mut relay, mut leader)) = self.stream.take() {
            relay.give_up();
            leader.leaves();
        }
    }
}

impl Drop for Led {
    fn drop(&mut self) {
        let Some((relay, leader)) = self.stream.take() else { return };
        let may_go_on =
            self.reader == ReadBy::Client && !relay.is_cut() && !std::thread::panicking();
        if may_go_on && leader.watch().is_followed() {
            let stream = Some((relay, leader));
            let going_on = Led { stream, operation: self.operation, reader: ReadBy::Followers };
            tokio::task::spawn_local(drained(Reply::stream(going_on)));
        }
    }
}
