//! What an attempt brings back.
//!
//! Made by [`super`] and the files beside this one, delivered by [`crate::proxy::respond`]. Always true:
//! of a stream at least the first content is there.

use std::task::{Context, Poll};

use bytes::Bytes;
use hale_core::secret::Secret;
use hale_core::usage::Usage;
use hale_wire::stream::Reader;
use http::{HeaderMap, HeaderValue};

use crate::limits::Held;
use crate::proxy::attempt_guard::AttemptGuard;
use crate::proxy::handshake::Socket;
use crate::upstream::AnswerBody;

/// A good answer.
pub(crate) struct Answered {
    /// The upstream's headers.
    pub(crate) headers: HeaderMap,
    /// The content.
    pub(crate) content: Content,
    /// Waits for the end of the answer, to tell the deployment's state how it went.
    pub(crate) guard: AttemptGuard,
}

/// The content of a good answer.
pub(crate) enum Content {
    /// In one piece, with the client's name for the model, and its share of the memory for bodies.
    Full(Bytes, Option<Usage>, Held),
    /// A stream whose first content is there.
    Stream(Box<Stream>),
    /// Another protocol, which the upstream has agreed to.
    Socket(Box<Socket>),
}

/// A stream whose first content is there.
pub(crate) struct Stream {
    /// Where more comes from.
    pub(crate) source: Source,
    /// Reads it.
    pub(crate) reader: Reader,
    /// What may go to the client already.
    pub(crate) ready: Vec<u8>,
    /// The token that was sent in place of a key, never to be shown.
    pub(crate) token: Option<Secret>,
    /// The type and length of bytes that are no stream of events.
    pub(crate) bytes: Option<BytesHead>,
}

/// What is known of bytes before they come.
pub(crate) struct BytesHead {
    /// The upstream's content type.
    pub(crate) content_type: HeaderValue,
    /// How many there will be, where the upstream says.
    pub(crate) length: Option<u64>,
}

/// Where a stream comes from.
pub(crate) enum Source {
    /// An upstream.
    Upstream(Box<AnswerBody>),
    /// A canned answer; `None` once it was taken.
    Canned(Option<Bytes>),
}

/// The upstream's connection ended in the middle.
#[derive(Debug)]
pub(crate) struct Cut;

impl Source {
    /// The next piece; `None` at the end.
    pub(crate) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Cut>>> {
        match self {
            Source::Upstream(body) => {
                body.poll_piece(cx).map(|piece| piece.map(|result| result.map_err(|_| Cut)))
            }
            Source::Canned(events) => Poll::Ready(events.take().map(Ok)),
        }
    }
}
