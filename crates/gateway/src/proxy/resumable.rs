//! A stream whose client may come back: it is read on without its client, for as long as that may come.
//!
//! Put around the stream by [`super::respond`] where the config opens a window. Always true: the upstream is read by one at a
//! time, the first client or the task; a client that does not come back within the window, and one that cannot because the events
//! are lost or the gateway stops, frees the upstream as any client does that leaves; the request has its one record when its
//! stream ends.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hale_core::operation::{Kind, Operation};
use hale_wire::numbered::{NumberedBy, response_id};
use http::HeaderMap;
use http_body::Frame;

use super::answer_headers;
use super::attempt::AnswerForm;
use super::exchange::Exchange;
use crate::arrival::Arrival;
use crate::http::reply::{Broken, Reply, StreamedBody};
use crate::panics::contained;
use crate::resume::{End, KeptStream, Standing, Terms};
use crate::state::Worker;

/// How soon a stream without a client notices that the worker accepts none any more.
const LOOK_MS: u64 = 200;
/// What the ids of these streams are sealed for, in place of a deployment.
const SEALED_FOR: &str = "resume";

/// Where the stream is that the first client reads, until the task takes it.
type Place = Rc<RefCell<Option<Box<dyn StreamedBody>>>>;

/// A stream that is kept for its client.
pub(super) struct KeptFor {
    kept: Arc<KeptStream>,
    worker: Rc<Worker>,
}

/// The same, as its first client reads it.
struct Resumable {
    place: Place,
    kept: Arc<KeptStream>,
    worker: Rc<Worker>,
    /// Whether its response has yet to be named.
    is_unnamed: bool,
    is_over: bool,
}

/// Waits until a stream of that operation can get an id, if its client may come back to it.
pub(super) async fn ready(arrival: &Arrival, operation: Operation) {
    let is_on = arrival.serving.snapshot.router.resume_window_ms > 0;
    if is_on && NumberedBy::of(operation).is_some() {
        arrival.serving.ids.ready().await;
    }
}

impl Exchange {
    /// A new id for its stream, if its client may come back to that.
    pub(super) fn new_stream_id(&self) -> Option<Box<str>> {
        let arrival = &self.arrival;
        let window_ms = arrival.serving.snapshot.router.resume_window_ms;
        if window_ms == 0 || self.request.form != AnswerForm::Events {
            return None;
        }
        NumberedBy::of(self.request.operation)?;
        let mut random = [0; 16];
        aws_lc_rs::rand::fill(&mut random).ok()?;
        let number = format!("{:032x}", u128::from_be_bytes(random));
        let (key, owner) = (arrival.serving.ids.key()?, arrival.principal.owner());
        Some(key.seal(Kind::Stream, SEALED_FOR, &number, &owner).into())
    }

    /// What keeps the stream that begins, if its client may come back to it.
    pub(super) fn kept_for_return(
        &mut self,
        headers: &mut HeaderMap,
        keepalive_ms: Option<u64>,
    ) -> Option<KeptFor> {
        let id = self.stream_id.take().or_else(|| self.new_stream_id())?;
        let arrival = &self.arrival;
        let snapshot = &arrival.serving.snapshot;
        let operation = self.request.operation;
        let process = &arrival.worker.process;
        let terms = Terms {
            id,
            operation,
            numbered_by: NumberedBy::of(operation)?,
            owner: arrival.principal.owner(),
            window_ms: snapshot.router.resume_window_ms,
            keepalive_ms,
            memory: (process.buffered.clone(), snapshot.gateway.bounds.buffered_bytes),
        };
        let kept = process.resumable.begin(terms)?;
        answer_headers::resume(headers, kept.id());
        Some(KeptFor { kept, worker: arrival.worker.clone() })
    }
}

impl KeptFor {
    /// `stream` as its first client gets it.
    pub(super) fn around(self, stream: impl StreamedBody + 'static) -> Reply {
        let KeptFor { kept, worker } = self;
        let place: Place = Rc::new(RefCell::new(Some(Box::new(stream))));
        let after = After { place: place.clone(), kept: kept.clone(), worker: worker.clone() };
        tokio::task::spawn_local(after.look());
        let is_unnamed = kept.operation() == Operation::Responses;
        Reply::stream(Resumable { place, kept, worker, is_unnamed, is_over: false })
    }
}

impl Resumable {
    /// The stream is over, and its request with it.
    fn ends(&mut self, end: End) {
        self.is_over = true;
        self.kept.end(end);
        let stream = self.place.borrow_mut().take();
        drop(stream);
    }

    fn shown(&mut self, piece: Bytes) -> Bytes {
        if std::mem::take(&mut self.is_unnamed)
            && let Some(id) = response_id(&piece)
        {
            self.worker.process.resumable.name(&self.kept, &id);
        }
        self.kept.push_first(piece)
    }
}

impl StreamedBody for Resumable {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        let polled = match &mut *self.place.borrow_mut() {
            Some(stream) if self.kept.has_first() => Some(stream.poll_frame(cx)),
            Some(_) | None => None,
        };
        let Some(polled) = polled else {
            // Another connection has it: this one must not look like a whole answer.
            self.is_over = true;
            return Poll::Ready(Some(Err(Broken)));
        };
        match polled {
            Poll::Pending => {
                self.kept.first_waits(cx);
                Poll::Pending
            }
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(Ok(match frame.into_data() {
                Ok(piece) => Frame::data(self.shown(piece)),
                Err(other) => other,
            }))),
            Poll::Ready(Some(Err(broken))) => {
                self.ends(End::Broken);
                Poll::Ready(Some(Err(broken)))
            }
            Poll::Ready(None) => {
                self.ends(End::Told);
                Poll::Ready(None)
            }
        }
    }

    fn length(&self) -> Option<u64> {
        None
    }

    fn keepalive_ms(&self) -> Option<u64> {
        self.place.borrow().as_ref().and_then(|stream| stream.keepalive_ms())
    }

    fn give_up(&mut self) {
        if let Some(stream) = &mut *self.place.borrow_mut() {
            stream.give_up();
        }
        self.ends(End::Broken);
    }
}

impl Drop for Resumable {
    fn drop(&mut self) {
        if std::thread::panicking() || self.worker.process.is_cutting() {
            self.ends(End::Broken);
        }
        self.kept.leave(0);
    }
}

/// What looks after a stream when its first client does not read it.
struct After {
    place: Place,
    kept: Arc<KeptStream>,
    worker: Rc<Worker>,
}

impl After {
    /// Reads it on when its client leaves or another connection resumes it, and forgets it when its time is over.
    async fn look(self) {
        while self.kept.has_first() {
            self.kept.changed().await;
        }
        let stream = self.place.borrow_mut().take();
        if let Some(stream) = stream {
            tokio::select! {
                () = self.read_on(stream) => {}
                () = self.abandoned(LOOK_MS) => return,
            }
        }
        self.abandoned(u64::MAX).await;
    }

    /// Reads `stream` to its end, no further ahead of a client that came back than is kept for it.
    async fn read_on(&self, mut stream: Box<dyn StreamedBody>) {
        let metrics = &self.worker.process.metrics;
        std::future::poll_fn(|cx| {
            while self.kept.may_read_on(cx) || self.worker.process.is_cutting() {
                let polled = contained(metrics, "a stream", || stream.poll_frame(cx));
                match polled {
                    Some(Poll::Pending) => return Poll::Pending,
                    Some(Poll::Ready(Some(Ok(frame)))) => {
                        if frame.data_ref().is_some_and(|piece| !self.kept.push(piece)) {
                            return Poll::Ready(());
                        }
                    }
                    Some(Poll::Ready(None)) => {
                        self.kept.end(End::Told);
                        return Poll::Ready(());
                    }
                    Some(Poll::Ready(Some(Err(_)))) => {
                        self.kept.end(End::Broken);
                        return Poll::Ready(());
                    }
                    None => {
                        stream.give_up();
                        self.kept.end(End::Broken);
                        return Poll::Ready(());
                    }
                }
            }
            Poll::Pending
        })
        .await;
    }

    /// Waits until no client can come any more: its time is over, or the process accepts none, which is looked at as often as
    /// that, milliseconds.
    async fn abandoned(&self, look_ms: u64) {
        loop {
            let changed = self.kept.changed();
            match self.kept.standing() {
                Standing::Over => return,
                Standing::Awaits(_) if self.worker.process.is_closed() => return,
                Standing::Awaits(left) => {
                    let wait = Duration::from_millis(left.min(look_ms));
                    let _changed: Result<(), _> = tokio::time::timeout(wait, changed).await;
                }
                Standing::Read => changed.await,
            }
        }
    }
}

impl Drop for After {
    fn drop(&mut self) {
        // Nothing reads it on: also if the worker ends.
        self.kept.end(End::Broken);
        self.worker.process.resumable.forget(&self.kept);
    }
}
