//! Relays a stream from an upstream to a client, after its first content.
//!
//! Made by [`super::respond`], polled by hyper as the answer's body. Always true: whole events leave as soon
//! as they arrive; the upstream is read only when the client has room; a failure is an event in the stream,
//! followed by the end and by nothing that looks like success; in a body of bytes it is a broken connection.

use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hale_core::deployment::Deployment;
use hale_core::health::outcome::ProviderError;
use hale_core::provider::WireFormat;
use hale_core::rescue::{No, Outcome};
use hale_core::route::{AttemptPlan, SetBy};
use hale_core::secret::Secret;
use hale_core::tenancy::Denied;
use hale_core::time::Millis;
use hale_wire::errors::{self, ErrorReply};
use hale_wire::stream::Reader;
use http_body::Frame;

use super::attempt::{END_MAX_MS, Failed, Source, Stream, StreamRoom};
use super::broken_off::Keeping;
use super::counted::Counted;
use super::delivery::{Carrier, Progress};
use super::exchange::Exchange;
use super::explain;
use super::rescue::{Break, Broke, Remainder, Rescued, Rescuing};
use super::silence_timeout::SilenceTimeout;
use crate::clock;
use crate::http::refusal;
use crate::http::reply::{Broken, StreamedBody};
use crate::state::Worker;

/// How long an upstream may take to end its body after the last event, so that its connection can be kept.
const LINGER_MS: u64 = 1_000;

/// Events that arrive together leave together, up to about this many bytes.
const FRAME_MAX: usize = 32 << 10;

/// The longest name of a deployment at a seam, characters.
const SEAM_MAX: usize = 200;

/// A stream that is being relayed.
pub(crate) struct Relay {
    source: Source,
    reader: Reader,
    ready: Vec<u8>,
    room: StreamRoom,
    /// The token that was sent in place of a key. It is removed from errors.
    token: Option<Secret>,
    /// The request that it answers; `None` while another deployment is asked to go on.
    exchange: Option<Box<Exchange>>,
    /// The attempts to go on with a stream that broke.
    rescue: Option<Rescuing>,
    /// What the client has, or why it is not kept.
    keeping: Result<Box<Keeping>, Option<No>>,
    worker: Rc<Worker>,
    silence_ms: u64,
    silence_set_by: SetBy,
    /// After how much silence the client gets a comment, milliseconds.
    keepalive_ms: Option<u64>,
    /// When it must end.
    ends: Millis,
    /// When the last event came; after `[DONE]`: when the upstream must have ended its body.
    last_event: Millis,
    events_seen: u64,
    silence: SilenceTimeout,
    over: bool,
    /// Whether the whole answer came.
    ended_well: bool,
    carrier: Carrier,
    /// The total number of bytes, if known.
    length: Option<u64>,
    /// How it ends. A body of bytes cannot carry an error event, so its connection breaks.
    end: End,
}

/// What follows the last byte.
#[derive(Clone, Copy)]
enum End {
    /// The end of the body.
    Body,
    /// A broken connection, after the bytes handed out have had a chance to leave.
    BreakSoon,
    /// A broken connection.
    Break,
}

impl Relay {
    /// Starts with the first content, which leaves at once.
    pub(super) fn new(
        stream: Stream,
        (exchange, keeping): (Box<Exchange>, Result<Box<Keeping>, Option<No>>),
        plan: &AttemptPlan,
    ) -> Relay {
        let (silence_ms, ends) = (plan.silence_ms, plan.stream_ends);
        let relayed = stream.bytes.as_ref().and_then(|head| head.relayed.as_ref());
        let carrier =
            relayed.map_or(Carrier::Body, |(status, _)| Carrier::Relayed(status.as_u16()));
        let now = clock::now().millis();
        // A short stream may be done already.
        let (last_event, patience) =
            if stream.reader.is_done() { (now.plus(LINGER_MS), 0) } else { (now, silence_ms) };
        Relay {
            events_seen: stream.reader.events(),
            source: stream.source,
            reader: stream.reader,
            ready: stream.ready,
            room: stream.room,
            token: stream.token,
            worker: exchange.arrival.worker.clone(),
            exchange: Some(exchange),
            rescue: None,
            keeping,
            silence_ms,
            silence_set_by: plan.silence_set_by,
            keepalive_ms: plan.keepalive_ms,
            ends,
            last_event,
            silence: SilenceTimeout::at(last_event.plus(patience).min(ends)),
            over: false,
            ended_well: false,
            carrier,
            length: stream.bytes.and_then(|head| head.length),
            end: End::Body,
        }
    }

    fn take(&mut self, piece: Bytes) {
        let Some(exchange) = self.exchange.as_deref() else { return };
        let was_done = self.reader.is_done();
        let bounds = &exchange.arrival.serving.snapshot.gateway.bounds;
        let memory = (&self.worker.process.buffered, bounds);
        if let Err(failed) = self.room.take((&mut self.reader, &mut self.ready), piece, memory) {
            self.broke(failed);
            return;
        }
        if self.reader.events() != self.events_seen && !was_done {
            self.events_seen = self.reader.events();
            self.last_event = clock::now().millis();
        }
        if !self.reader.is_done() && self.is_too_long() {
            self.broke(Failed::too_long());
            return;
        }
        if self.reader.is_done() && !was_done {
            self.last_event = clock::now().millis().plus(LINGER_MS);
        }
    }

    /// Whether it is over, and the client has the whole answer.
    pub(super) fn has_ended_well(&self) -> bool {
        self.ended_well
    }

    /// Whether the client has the end marker already.
    pub(super) fn has_sent_all(&self) -> bool {
        self.reader.is_done() && self.ready.is_empty() && (!self.over || self.ended_well)
    }

    /// Whether the process is stopping and cuts what is still in flight.
    pub(super) fn is_cut(&self) -> bool {
        self.worker.process.is_cutting()
    }

    /// An error that the provider sent in the stream, without what is secret.
    fn without_secrets(&self, mut error: ProviderError) -> ProviderError {
        let exchange = self.exchange.as_deref();
        if let Some(deployment) = exchange.and_then(|exchange| exchange.delivery.deployment()) {
            deployment.hide_credentials(&mut error);
        }
        if let Some(token) = &self.token {
            error.hide(token);
        }
        error
    }

    fn is_too_long(&self) -> bool {
        self.ends < Millis::NEVER && clock::now().millis() >= self.ends
    }

    /// When the silence of the upstream is a failure.
    fn due(&self) -> Millis {
        let patience = match (self.reader.is_done(), self.reader.is_complete()) {
            (true, _) => 0,
            (false, true) => self.silence_ms.min(END_MAX_MS),
            (false, false) => self.silence_ms,
        };
        let due = self.last_event.plus(patience).min(self.ends);
        let exchange = self.exchange.as_deref().filter(|_| !self.reader.is_complete());
        exchange.map_or(due, |exchange| due.min(exchange.delivery.key_due()))
    }

    /// Looks at the key, if it is time to; ends the stream of one that is no longer good. Whether it was time.
    fn looks_at_key(&mut self) -> bool {
        let Some(exchange) = self.exchange.as_deref_mut() else { return false };
        let delivery = &mut exchange.delivery;
        if self.reader.is_complete() || clock::now().millis() < delivery.key_due() {
            return false;
        }
        if let Err(denied) = delivery.check_key() {
            self.key_ended(denied);
        }
        true
    }

    #[cold]
    fn key_ended(&mut self, denied: Denied) {
        let failed = Failed::denied(&denied);
        self.fail_with(&failed, &refusal::denied(denied).reply);
    }

    fn complete(&mut self) {
        self.over = true;
        self.ended_well = true;
        // The answer is complete; clients still wait for the end marker.
        self.reader.close(&mut self.ready);
        if let Some(exchange) = self.exchange.as_deref_mut() {
            exchange.keep_response(|| self.reader.response());
            let Exchange { delivery, request, .. } = exchange;
            delivery.succeed(self.carrier, Counted::of_stream(&self.reader, request));
        }
    }

    /// The stream broke: another deployment is asked to go on, or it ends.
    fn broke(&mut self, failed: Failed) {
        if self.keeping.is_ok()
            && let Some(exchange) = self.exchange.as_deref_mut()
            && let Err(denied) = exchange.delivery.check_key()
        {
            // No more is asked for a key that is no longer good.
            self.key_ended(denied);
            return;
        }
        let Some(exchange) = self.exchange.take() else { return };
        let keeping = std::mem::replace(&mut self.keeping, Err(None));
        let broke = Break {
            failed,
            reader: &self.reader,
            ready: &self.ready,
            keeping,
            limits: (self.silence_ms, self.ends),
        };
        // Dropping the unread part of the upstream's stream closes the connection.
        self.source = Source::Canned(None);
        match exchange.breaks(broke) {
            Broke::Asks(rescuing) => self.rescue = Some(*rescuing),
            Broke::Ends(mut exchange, failed, why) => {
                let deployment = exchange.delivery.deployment().cloned();
                if let Some(why) = why {
                    exchange.delivery.rescued(Outcome::Not(why));
                }
                self.exchange = Some(exchange);
                self.fail(&failed, deployment, why);
            }
        }
    }

    /// Ends it with an error.
    fn fail(&mut self, failed: &Failed, deployment: Option<Arc<Deployment>>, why: Option<No>) {
        match deployment {
            Some(deployment) => {
                let reply = explain::broken_stream(&deployment, failed, why);
                self.fail_with(failed, &reply);
            }
            None => {
                self.end = End::BreakSoon;
                self.fails(failed);
            }
        }
    }

    /// The same; the client is told `reply`.
    fn fail_with(&mut self, failed: &Failed, reply: &ErrorReply) {
        self.ready.extend_from_slice(&self.reader.failure(reply));
        self.fails(failed);
    }

    fn fails(&mut self, failed: &Failed) {
        self.over = true;
        // Dropping the unread part of the upstream's stream closes the connection.
        self.source = Source::Canned(None);
        if let Some(exchange) = self.exchange.as_deref_mut() {
            let Exchange { delivery, request, .. } = exchange;
            delivery.fail(self.carrier, failed, Counted::of_stream(&self.reader, request));
        }
        if self.reader.is_bytes() {
            self.end = End::BreakSoon;
        }
    }

    /// The upstream has ended its body.
    fn ended(&mut self) {
        let finished = self.reader.finish(&mut self.ready);
        self.room.gather(&self.reader);
        if let Err(broken) = finished {
            self.broke(Failed::broken(&broken));
        } else if self.reader.is_complete() {
            self.complete();
        } else if self.reader.error().is_none() {
            self.broke(Failed::cut("the upstream ended the stream before it was complete"));
        }
    }

    /// Waits for the attempts to go on. What is ready has left.
    fn poll_rescue(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(rescuing) = &mut self.rescue else { return Poll::Ready(()) };
        let Poll::Ready(Rescued { mut exchange, result }) = rescuing.attempts.as_mut().poll(cx)
        else {
            return Poll::Pending;
        };
        let Some(Rescuing { failed, deployment, .. }) = self.rescue.take() else {
            return Poll::Ready(());
        };
        match result {
            Ok(remainder) => {
                self.exchange = Some(exchange);
                self.goes_on(*remainder);
            }
            Err(why) => {
                if let Some(deployment) = &deployment {
                    exchange.delivery.at(deployment);
                }
                exchange.delivery.rescued(Outcome::Not(why));
                self.exchange = Some(exchange);
                self.fail(&failed, deployment, Some(why));
            }
        }
        Poll::Ready(())
    }

    /// The rest of the answer comes from another deployment.
    fn goes_on(&mut self, remainder: Remainder) {
        let Remainder { stream, plan, deployment, keeping } = remainder;
        let id = errors::clean(&deployment.id, SEAM_MAX);
        // Google's library for Python takes a comment for JSON.
        if !self.is_for_google() {
            self.ready.extend_from_slice(format!(": rescue deployment={id}\n\n").as_bytes());
        }
        self.ready.extend_from_slice(&stream.ready);
        (self.source, self.reader, self.token) = (stream.source, stream.reader, stream.token);
        let mut room = stream.room;
        room.goes_on_from(&mut self.room);
        self.room = room;
        self.keeping = Ok(keeping);
        (self.silence_ms, self.silence_set_by) = (plan.silence_ms, plan.silence_set_by);
        self.keepalive_ms = plan.keepalive_ms;
        self.events_seen = self.reader.events();
        let now = clock::now().millis();
        self.last_event = if self.reader.is_done() { now.plus(LINGER_MS) } else { now };
    }

    fn is_for_google(&self) -> bool {
        let exchange = self.exchange.as_deref();
        exchange.is_some_and(|one| one.request.operation.format() == WireFormat::Gemini)
    }

    /// The process stops in the middle of the attempts to go on.
    fn cut_rescue(&mut self, rescuing: Rescuing) {
        let Rescuing { attempts, deployment, .. } = rescuing;
        // Its record says that the gateway has cut it.
        drop(attempts);
        self.fail(&Failed::stopping(), deployment, Some(No::Stopping));
    }
}

impl StreamedBody for Relay {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if !self.over && self.is_cut() {
            match self.rescue.take() {
                Some(rescuing) => self.cut_rescue(rescuing),
                None => self.broke(Failed::stopping()),
            }
        }
        while !self.over && self.ready.len() < FRAME_MAX {
            if self.rescue.is_some() {
                if !self.ready.is_empty() {
                    break;
                }
                match self.poll_rescue(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(()) => continue,
                }
            }
            if let Some(error) = self.reader.error().cloned() {
                self.broke(Failed::in_band(self.without_secrets(error)));
                continue;
            }
            match self.source.poll_piece(cx) {
                // Flush what is buffered; wait only when the buffer is empty.
                Poll::Pending if !self.ready.is_empty() => break,
                Poll::Pending => match self.silence.poll(cx, self.due()) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(()) if self.looks_at_key() => {}
                    Poll::Ready(()) if self.reader.is_complete() => self.complete(),
                    Poll::Ready(()) if self.is_too_long() => self.broke(Failed::too_long()),
                    Poll::Ready(()) => {
                        self.broke(Failed::stalled(self.silence_ms, self.silence_set_by));
                    }
                },
                Poll::Ready(Some(Ok(piece))) => self.take(piece),
                Poll::Ready(Some(Err(_))) if self.reader.is_complete() => self.complete(),
                Poll::Ready(Some(Err(error))) => {
                    self.broke(Failed::of_body(
                        &error,
                        "the upstream's connection was cut in the middle of the stream",
                    ));
                }
                Poll::Ready(None) => self.ended(),
            }
        }
        if self.ready.is_empty() {
            return match self.end {
                End::Body => Poll::Ready(None),
                End::BreakSoon => {
                    self.end = End::Break;
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }
                End::Break => {
                    self.end = End::Body;
                    Poll::Ready(Some(Err(Broken)))
                }
            };
        }
        let bytes = Bytes::from(std::mem::take(&mut self.ready));
        if let Ok(keeping) = &mut self.keeping {
            keeping.push(&bytes);
        }
        if let Some(exchange) = self.exchange.as_deref_mut() {
            exchange.delivery.note(|record| record.response_bytes += bytes.len() as u64);
        }
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn length(&self) -> Option<u64> {
        self.length
    }

    fn keepalive_ms(&self) -> Option<u64> {
        self.keepalive_ms.filter(|_| !self.reader.is_bytes() && !self.reader.is_done())
    }

    fn give_up(&mut self) {
        self.over = true;
        self.rescue = None;
        if let Some(exchange) = self.exchange.as_deref_mut() {
            let Exchange { delivery, request, .. } = exchange;
            delivery.panicked(Counted::of_stream(&self.reader, request));
        }
        self.source = Source::Canned(None);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let is_complete = self.reader.is_complete();
        let progress = if is_complete { Progress::Complete } else { Progress::Partial };
        let Some(exchange) = self.exchange.as_deref_mut() else { return };
        let Exchange { delivery, request, .. } = exchange;
        let counted = Counted::of_stream(&self.reader, request);
        delivery.capture.streamed(&mut self.room);
        delivery.carrier_dropped(self.carrier, progress, counted);
    }
}
