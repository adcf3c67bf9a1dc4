//! The good answer of an attempt.
//!
//! Made by [`super`] and the files beside this one, delivered by [`crate::proxy::respond`]. Always true: a
//! stream has at least its first content.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hale_core::secret::Secret;
use hale_core::usage::Usage;
use hale_wire::notes::Notes;
use hale_wire::stream::Reader;
use http::{HeaderMap, HeaderValue, StatusCode};

use super::stream_room::StreamRoom;
use crate::limits::Held;
use crate::proxy::attempt_guard::AttemptGuard;
use crate::proxy::handshake::Socket;
use crate::upstream::{AnswerBody, BodyError};

/// A good answer.
pub(crate) struct Answered {
    /// The upstream's headers.
    pub(crate) headers: HeaderMap,
    /// The content.
    pub(crate) content: Content,
    /// Reports the outcome to the deployment's state when the answer ends.
    pub(crate) guard: AttemptGuard,
    /// What was noted when the request was made.
    pub(crate) notes: Option<Arc<Notes>>,
}

/// The content of a good answer.
pub(crate) enum Content {
    /// A full body that shows the client's name for the model, its usage, and its share of the memory for
    /// bodies.
    Full(Bytes, Option<Usage>, Held),
    /// The same without content.
    Empty(Bytes, Option<Usage>, Held),
    /// A stream whose first content has arrived.
    Stream(Box<Stream>),
    /// A WebSocket that the upstream has accepted.
    Socket(Box<Socket>),
}

impl Answered {
    /// The status that its upstream answered with, as far as that is known.
    pub(crate) fn status(&self) -> u16 {
        match &self.content {
            Content::Full(..) | Content::Empty(..) => 200,
            Content::Stream(stream) => {
                let relayed = stream.bytes.as_ref().and_then(|head| head.relayed.as_ref());
                relayed.map_or(200, |(status, _)| status.as_u16())
            }
            Content::Socket(_) => 101,
        }
    }
}

impl Content {
    /// Whether it is another answer than the one that it should go on from.
    pub(crate) fn differs(&self) -> bool {
        match self {
            Content::Stream(stream) => stream.reader.differs(),
            Content::Full(..) | Content::Empty(..) | Content::Socket(_) => false,
        }
    }

    /// Whether it is empty: no text, reasoning, refusal, call or audio.
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Content::Empty(..) => true,
            Content::Stream(stream) => stream.reader.is_empty_so_far(),
            Content::Full(..) | Content::Socket(_) => false,
        }
    }
}

/// A stream whose first content has arrived.
pub(crate) struct Stream {
    /// Yields the following pieces.
    pub(crate) source: Source,
    /// Decodes the pieces.
    pub(crate) reader: Reader,
    /// Bytes that are ready for the client.
    pub(crate) ready: Vec<u8>,
    /// What it holds in memory.
    pub(crate) room: StreamRoom,
    /// The token that was sent in place of a key. It is removed from errors.
    pub(crate) token: Option<Secret>,
    /// The head of an answer of bytes; `None` for a stream of events.
    pub(crate) bytes: Option<BytesHead>,
}

/// The type and length of an answer of bytes.
pub(crate) struct BytesHead {
    /// The upstream's content type.
    pub(crate) content_type: HeaderValue,
    /// The total length, if the upstream declares it.
    pub(crate) length: Option<u64>,
    /// The status and the headers for the client, of what was passed through.
    pub(crate) relayed: Option<(StatusCode, HeaderMap)>,
}

/// Where a stream comes from.
pub(crate) enum Source {
    /// An upstream.
    Upstream(Box<AnswerBody>),
    /// A canned answer; `None` once it has been taken.
    Canned(Option<Bytes>),
}

impl Source {
    /// The next piece; `None` at the end.
    pub(crate) fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BodyError>>> {
        match self {
            Source::Upstream(body) => body.poll_piece(cx),
            Source::Canned(events) => Poll::Ready(events.take().map(Ok)),
        }
    }
}
