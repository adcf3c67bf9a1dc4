//! One connection to an upstream, polled by the request that uses it.
//!
//! Called by [`super::send`] and, for the body, by [`super::answer`]. Always true: it has no task of its own.
//! The code that waits for the answer moves its bytes, so a request wakes no second task, and dropping the
//! request closes the connection.
//!
//! It is written by hand, over a parser of heads, because a general client spends more on a small request than
//! everything else in the gateway does (`docs/performance.md`).

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWrite};

use super::address::Upstream;
use super::error::SendError;
use super::framing::{BodyError, Framing, Step};
use super::head::{self, Head};
use super::request::UpstreamRequest;
use super::stream::Stream;
use super::switched::Switched;
use super::tls;

/// Bodies up to this size are copied behind their head, so that one plain write sends both.
const SMALL_BODY: usize = 16 << 10;
/// Room for a read, bytes. It doubles as long as answers fill it, up to [`ROOM_MAX`].
const ROOM: usize = 8 << 10;
const ROOM_MAX: usize = 256 << 10;
/// With so much room left, a read makes do with it: most answers are small, and making room costs more than
/// reading them does.
const ROOM_MIN: usize = 2 << 10;
/// Milliseconds that are used of each second that a server grants.
const GRANTED_SHARE_MS: u64 = 800;
/// Most informational answers before the real one. A server that sends them without end must not hold a request.
const INFORMATIONAL_MAX: u32 = 10;

/// A connection.
pub(super) struct Link {
    /// The upstream's key in the pool.
    key: String,
    /// How long it took to make, microseconds. That is one and a half round trips at least.
    made_in_us: u64,
    /// How long it may idle, milliseconds.
    idle_ms: u64,
    /// The same, below what the server grants.
    granted_ms: u64,
    /// How long it had idled before its request, milliseconds.
    idled_ms: u64,
    stream: Stream,
    /// Bytes that were read and not taken.
    buffer: BytesMut,
    room: usize,
    /// The part of the head, and of a small body, that is still to be sent.
    head: Bytes,
    /// The part of a large body that is still to be sent: of one piece, and the pieces after it.
    body: Bytes,
    more: std::vec::IntoIter<Bytes>,
    unflushed: bool,
    /// Whether sending failed.
    broken: bool,
}

/// Sends `request` on `link` and waits for the head of the answer.
///
/// # Errors
/// Why no answer came.
pub(super) async fn exchange(
    link: &mut Link,
    request: &UpstreamRequest<'_>,
) -> Result<Head, SendError> {
    link.begin(request);
    let mut waiting = Waiting { may_switch: request.switches(), ..Waiting::default() };
    std::future::poll_fn(|cx| link.poll_head(cx, &mut waiting)).await
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
            granted_ms: u64::MAX,
            idled_ms: 0,
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

    /// The upstream's key in the pool.
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// How long it may idle, milliseconds.
    pub(super) fn idle_ms(&self) -> u64 {
        self.idle_ms
    }

    /// How long it may idle, below what the server grants, milliseconds.
    pub(super) fn granted_ms(&self) -> u64 {
        self.granted_ms
    }

    /// How long it had idled before its request, milliseconds.
    pub(super) fn idled_ms(&self) -> u64 {
        self.idled_ms
    }

    /// The server closes it after so many idle seconds (`Keep-Alive: timeout=5`). It is closed here before that.
    pub(super) fn grant(&mut self, seconds: u64) {
        self.granted_ms = seconds.saturating_mul(GRANTED_SHARE_MS);
    }

    /// Takes another request after `idled_ms`. From now on it may idle for `idle_ms`: the config may have changed
    /// since it was made.
    pub(super) fn begin_again(&mut self, idle_ms: u64, idled_ms: u64) {
        (self.idle_ms, self.idled_ms) = (idle_ms, idled_ms);
    }

    /// How long it took to make, microseconds.
    pub(super) fn made_in_us(&self) -> u64 {
        self.made_in_us
    }

    /// Whether another request can be sent on it, as far as one look can tell.
    pub(super) fn is_usable(&mut self, cx: &mut Context<'_>) -> bool {
        // It is usable only if a read would block: no data, no end, no error. For a task that has used up its
        // budget every read blocks, so the look is taken outside the budget.
        let filling = std::future::poll_fn(|cx| self.poll_fill(cx));
        let quiet = pin!(tokio::task::coop::unconstrained(filling)).poll(cx).is_pending();
        quiet && self.owes_nothing()
    }

    /// The next step of the body that `framing` describes.
    ///
    /// # Errors
    /// When the body is malformed.
    pub(super) fn take(&mut self, framing: &mut Framing) -> Result<Step, BodyError> {
        framing.next(&mut self.buffer)
    }

    /// Whether sending failed.
    pub(super) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Makes it ready for another request; false if it cannot serve one.
    pub(super) fn recycle(&mut self) -> bool {
        if !self.owes_nothing() {
            return false;
        }
        if self.room > ROOM {
            // Idle connections are many. The buffer of a large answer is not kept.
            (self.buffer, self.room) = (BytesMut::new(), ROOM);
        }
        true
    }

    /// Its stream, and the bytes that were read and not taken.
    pub(super) fn into_switched(self) -> Switched {
        Switched { stream: self.stream, early: self.buffer }
    }

    /// Whether everything was sent, and every byte that came was taken.
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

    /// Sends the unsent bytes. A failure does not end the exchange: the answer may have come already.
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
                    // The request is not held during a long answer.
                    (self.head, self.body) = (Bytes::new(), Bytes::new());
                }
                Poll::Ready(Err(_)) => self.give_up_sending(),
            }
        }
    }

    /// Sends what is left of a request whose answer has begun.
    pub(super) fn go_on_sending(&mut self, cx: &mut Context<'_>) {
        if self.unflushed {
            self.send(cx);
        }
    }

    fn give_up_sending(&mut self) {
        self.broken = true;
        (self.head, self.body) = (Bytes::new(), Bytes::new());
        self.more = Vec::new().into_iter();
    }

    /// Reads more into the buffer; 0 at the end of the stream.
    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.buffer.capacity() - self.buffer.len() < ROOM_MIN {
            self.buffer.reserve(self.room);
        }
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
            // Some servers write an extra line end behind a body.
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
                    if (self.has_unsent() || self.unflushed) && !head.status.is_success() {
                        // An upstream that refuses a request before it has read all of it does not want the
                        // remainder (RFC 9112, section 9.5). One that accepts it may answer while it reads.
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
