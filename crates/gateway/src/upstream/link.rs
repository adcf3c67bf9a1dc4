//! One connection to an upstream, driven by the request that uses it.
//!
//! Called by [`super::send`] and, for the body, by attempts and relays. Always true: no task of its
//! own; whoever waits for the answer moves its bytes, so that a request costs no wake-up of a second
//! task, and dropping it closes the connection. Only a connection that owes nothing to either side is
//! kept.
//!
//! It is written by hand, over a parser of heads, because a general client spends more on a small
//! request than everything else that is done with it (`docs/performance.md`).

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWrite};

use super::address::Upstream;
use super::error::SendError;
use super::framing::{BodyError, Framing, Step};
use super::head::{self, Head};
use super::request::UpstreamRequest;
use super::stream::Stream;
use super::switched::Switched;
use super::{pool, tls};

/// Bodies up to this size are copied behind their head, so that both leave in one plain write.
const SMALL_BODY: usize = 16 << 10;
/// Room for a read, bytes; doubled while answers fill it, up to [`ROOM_MAX`].
const ROOM: usize = 8 << 10;
const ROOM_MAX: usize = 256 << 10;
/// Informational answers before the real one. Source: the fault list, F32.
const INFORMATIONAL_MAX: u32 = 10;

/// A connection.
pub(crate) struct Link {
    /// The upstream's key in the pool.
    key: String,
    /// How long it took to make, microseconds. That is one and a half round trips at least.
    made_in_us: u64,
    /// How long it may idle, milliseconds.
    idle_ms: u64,
    stream: Stream,
    /// What was read and not taken.
    buffer: BytesMut,
    room: usize,
    /// What of the head, and of a small body, is to be sent.
    head: Bytes,
    /// What of a large body is to be sent: of one piece, and of those after it.
    body: Bytes,
    more: std::vec::IntoIter<Bytes>,
    unflushed: bool,
    /// Whether sending failed.
    broken: bool,
}

/// The head of an answer, and its body to come.
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: StatusCode,
    /// The headers.
    pub(crate) headers: HeaderMap,
    /// The body.
    pub(crate) body: AnswerBody,
}

/// The body of an answer, with the connection that it comes from.
pub(crate) struct AnswerBody {
    framing: Framing,
    keep_alive: bool,
    link: Option<Box<Link>>,
}

/// Sends `request` on `link` and waits for the head of the answer.
pub(super) async fn exchange(
    mut link: Box<Link>,
    request: &UpstreamRequest<'_>,
) -> Result<Answer, SendError> {
    link.begin(request);
    let mut waiting = Waiting { may_switch: request.switches(), ..Waiting::default() };
    let head = std::future::poll_fn(|cx| link.poll_head(cx, &mut waiting)).await?;
    let Head { status, headers, framing, keep_alive } = head;
    let keep_alive = keep_alive && status != StatusCode::SWITCHING_PROTOCOLS;
    Ok(Answer { status, headers, body: AnswerBody { framing, keep_alive, link: Some(link) } })
}

/// How far the wait for a head has come.
#[derive(Default)]
struct Waiting {
    /// Whether any byte came, be it one that belongs to no head.
    any: bool,
    /// Whether a byte of a head came.
    read: bool,
    /// How far the end of the head was looked for.
    searched: usize,
    /// Informational answers so far.
    informational: u32,
    /// Whether another protocol was asked for.
    may_switch: bool,
}

impl Link {
    /// A new connection, which took `made_in_us` microseconds to make.
    pub(super) fn new(upstream: &Upstream, stream: Stream, made_in_us: u64) -> Link {
        Link {
            key: upstream.key.clone(),
            made_in_us,
            idle_ms: upstream.kept.idle_ms,
            stream,
            buffer: BytesMut::new(),
            room: ROOM,
            head: Bytes::new(),
            body: Bytes::new(),
            more: Vec::new().into_iter(),
            unflushed: false,
            broken: false,
        }
    }

    /// What it is kept under.
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// How long it may idle, milliseconds.
    pub(super) fn idle_ms(&self) -> u64 {
        self.idle_ms
    }

    /// From now on it may idle for so long: the config may have changed since it was made.
    pub(super) fn set_idle_ms(&mut self, idle_ms: u64) {
        self.idle_ms = idle_ms;
    }

    /// How long it took to make, microseconds.
    pub(super) fn made_in_us(&self) -> u64 {
        self.made_in_us
    }

    /// Whether another request can go out on it, as far as can be told.
    pub(super) fn is_usable(&mut self, cx: &mut Context<'_>) -> bool {
        // Nothing may come unasked; an end or an error neither. A task that has used up its share of
        // the thread must not take every connection for a good one.
        let filling = std::future::poll_fn(|cx| self.poll_fill(cx));
        let quiet = pin!(tokio::task::coop::unconstrained(filling)).poll(cx).is_pending();
        quiet && self.owes_nothing()
    }

    fn owes_nothing(&self) -> bool {
        let sent = !self.has_unsent() && !self.unflushed;
        sent && !self.broken && self.buffer.is_empty()
    }

    fn has_unsent(&self) -> bool {
        !self.head.is_empty() || !self.body.is_empty() || !self.more.as_slice().is_empty()
    }

    fn begin(&mut self, request: &UpstreamRequest<'_>) {
        if request.body.len() <= SMALL_BODY {
            let mut head = request.encode(request.body.len());
            request.body.pieces().for_each(|piece| head.extend_from_slice(piece));
            self.head = Bytes::from(head);
        } else {
            self.head = Bytes::from(request.encode(0));
            let mut pieces = request.body.pieces().cloned();
            self.body = pieces.next().unwrap_or_default();
            // Most bodies have one piece, and an empty list takes no memory.
            self.more = pieces.collect::<Vec<Bytes>>().into_iter();
        }
        self.unflushed = true;
    }

    /// Sends what there is to send. A failure is not the end: the answer may be there already.
    fn send(&mut self, cx: &mut Context<'_>) {
        while self.has_unsent() && !self.broken {
            if self.body.is_empty() {
                self.body = self.more.next().unwrap_or_default();
            }
            let mut stream = Pin::new(&mut self.stream);
            let written = if self.body.is_empty() {
                stream.as_mut().poll_write(cx, &self.head)
            } else if self.head.is_empty() {
                stream.as_mut().poll_write(cx, &self.body)
            } else {
                let both = [IoSlice::new(&self.head), IoSlice::new(&self.body)];
                stream.as_mut().poll_write_vectored(cx, &both)
            };
            match written {
                Poll::Pending => return,
                Poll::Ready(Ok(count)) if count > 0 => {
                    let of_head = count.min(self.head.len());
                    self.head.advance(of_head);
                    self.body.advance(count - of_head);
                }
                Poll::Ready(_) => self.give_up_sending(),
            }
        }
        if self.unflushed && !self.broken {
            match Pin::new(&mut self.stream).poll_flush(cx) {
                Poll::Pending => {}
                Poll::Ready(Ok(())) => {
                    self.unflushed = false;
                    // A long answer need not hold what was sent.
                    (self.head, self.body) = (Bytes::new(), Bytes::new());
                }
                Poll::Ready(Err(_)) => self.give_up_sending(),
            }
        }
    }

    fn give_up_sending(&mut self) {
        self.broken = true;
        (self.head, self.body) = (Bytes::new(), Bytes::new());
        self.more = Vec::new().into_iter();
    }

    /// Reads more; 0 at the end of the stream.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.buffer.reserve(self.room);
        let read = ready!(pin!(self.stream.read_buf(&mut self.buffer)).poll(cx));
        if self.buffer.capacity() == self.buffer.len() {
            self.room = (self.room * 2).min(ROOM_MAX);
        }
        Poll::Ready(read)
    }

    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        waiting: &mut Waiting,
    ) -> Poll<Result<Head, SendError>> {
        self.send(cx);
        loop {
            // Some servers write one line end too many behind a body.
            while !waiting.read && matches!(self.buffer.first(), Some(b'\r' | b'\n')) {
                self.buffer.advance(1);
            }
            if !self.buffer.is_empty() {
                waiting.read = true;
                let end = head::find_end(&self.buffer, &mut waiting.searched);
                if let Some(end) = end.map_err(SendError::Protocol)? {
                    waiting.searched = 0;
                    let head = head::parse(&self.buffer.split_to(end).freeze());
                    let head = head.map_err(SendError::Protocol)?;
                    let switches = head.status == StatusCode::SWITCHING_PROTOCOLS;
                    if switches && !waiting.may_switch {
                        let why = "it changes the protocol, which was not asked for";
                        return Poll::Ready(Err(SendError::Protocol(why.to_owned())));
                    }
                    if head.status.is_informational() && !switches {
                        waiting.informational += 1;
                        if waiting.informational > INFORMATIONAL_MAX {
                            let why = "too many informational answers come before the real one";
                            return Poll::Ready(Err(SendError::Protocol(why.to_owned())));
                        }
                        continue;
                    }
                    if self.has_unsent() || self.unflushed {
                        // It answers without having read all: it does not want the rest.
                        self.give_up_sending();
                    }
                    return Poll::Ready(Ok(head));
                }
            }
            match ready!(self.poll_fill(cx)) {
                Ok(count) if count > 0 => waiting.any = true,
                Err(error) if error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) => {
                    return Poll::Ready(Err(tls::explain(&error)));
                }
                Ok(_) | Err(_) if waiting.any => return Poll::Ready(Err(SendError::Cut)),
                Ok(_) => return Poll::Ready(Err(SendError::Closed)),
                Err(_) => return Poll::Ready(Err(SendError::Reset)),
            }
        }
    }
}

impl AnswerBody {
    /// The next piece; `None` at the end.
    pub(crate) fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BodyError>>> {
        loop {
            let Some(link) = &mut self.link else { return Poll::Ready(None) };
            match self.framing.next(&mut link.buffer) {
                Ok(Step::Piece(piece)) => {
                    if self.framing.is_over() {
                        self.keep();
                    }
                    return Poll::Ready(Some(Ok(piece)));
                }
                Ok(Step::End) => {
                    self.keep();
                    return Poll::Ready(None);
                }
                Ok(Step::More) => {}
                Err(error) => {
                    self.link = None;
                    return Poll::Ready(Some(Err(error)));
                }
            }
            let count = ready!(link.poll_fill(cx));
            if count.as_ref().is_ok_and(|count| *count > 0) {
                continue;
            }
            // A failed write has used up the news that the peer reset the connection.
            let ended = count.is_ok() && !link.broken;
            self.link = None;
            if ended && self.framing == Framing::UntilClose {
                return Poll::Ready(None);
            }
            return Poll::Ready(Some(Err(BodyError::Cut)));
        }
    }

    /// The next piece.
    pub(crate) async fn piece(&mut self) -> Option<Result<Bytes, BodyError>> {
        std::future::poll_fn(|cx| self.poll_piece(cx)).await
    }

    /// The connection itself, behind the head of an answer that switches to another protocol.
    pub(crate) fn switched(self) -> Option<Switched> {
        self.link.map(|link| Switched { stream: link.stream, early: link.buffer })
    }

    /// How long the body says it is.
    pub(crate) fn declared(&self) -> Option<u64> {
        self.framing.declared()
    }

    /// The body was read to its end: the connection may serve again.
    fn keep(&mut self) {
        if let Some(mut link) = self.link.take()
            && self.keep_alive
            && link.owes_nothing()
        {
            if link.room > ROOM {
                // Idle connections are many; a large answer's buffer is not kept for the next one.
                (link.buffer, link.room) = (BytesMut::new(), ROOM);
            }
            pool::put(link);
        }
    }
}
