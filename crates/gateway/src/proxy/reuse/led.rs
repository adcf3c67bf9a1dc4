//! A stream that other requests may have joined, as the request that leads it sends it.
//!
//! Made by [`super::super::respond`], polled by hyper as the answer's body. Always true: what the client gets is what the relay
//! gives; the others get the same pieces; when the client leaves, the stream goes on while others read it.

use std::task::{Context, Poll};

use bytes::Bytes;
use hale_core::operation::Operation;
use hale_wire::reuse;
use http_body::Frame;

use super::super::relay::Relay;
use super::drained;
use crate::cache::Leader;
use crate::clock;
use crate::http::reply::{Broken, Reply, StreamedBody};

/// A stream and its followers.
pub(crate) struct Led {
    stream: Option<(Relay, Box<Leader>)>,
    operation: Operation,
}

impl Led {
    /// The stream of `relay`, which `leader` leads.
    pub(in super::super) fn new(relay: Relay, leader: Box<Leader>, operation: Operation) -> Led {
        Led { stream: Some((relay, leader)), operation }
    }
}

/// The answer is complete: it is kept if nothing cut it short.
fn end(leader: &mut Leader, operation: Operation) {
    if leader.has_ended() {
        return;
    }
    let whole = leader.collected();
    let text = whole.as_deref().and_then(|bytes| std::str::from_utf8(bytes).ok());
    if !text.is_some_and(|text| reuse::is_whole_stream(operation, text)) {
        leader.keep_nothing();
    }
    leader.ends_whole(clock::recent().millis());
}

impl StreamedBody for Led {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let Some((relay, leader)) = &mut self.stream else { return Poll::Ready(None) };
        let polled = relay.poll_frame(cx);
        match &polled {
            Poll::Pending => {}
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(piece) = frame.data_ref() {
                    leader.piece(piece);
                }
            }
            Poll::Ready(Some(Err(_)) | None) if !relay.has_ended_well() => leader.fails(),
            Poll::Ready(Some(Err(_)) | None) => end(leader, self.operation),
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
            leader.fails();
        }
    }
}

impl Drop for Led {
    fn drop(&mut self) {
        let Some((relay, leader)) = self.stream.take() else { return };
        if leader.watch().is_followed() && !relay.is_cut() && !std::thread::panicking() {
            let going_on = Led { stream: Some((relay, leader)), operation: self.operation };
            tokio::task::spawn_local(drained(Reply::stream(going_on)));
        }
    }
}
