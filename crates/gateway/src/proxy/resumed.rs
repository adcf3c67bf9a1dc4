//! A client that comes back to a stream whose connection it lost.
//!
//! Called by [`super::start`] before anything else. Always true: no upstream is called, nothing is charged and no record is made:
//! the request that began the stream has its own; who may not read the stream learns no more of it than of one that is not there.

use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hale_core::cause::Cause;
use hale_core::operation::{Kind, Operation};
use hale_core::tenancy::Owner;
use http::{HeaderMap, HeaderName, Request, Response};
use http_body::Frame;
use hyper::body::Incoming;

use super::answer_headers::{self, RESUME};
use super::attempt::Failed;
use super::explain;
use super::followed::break_event;
use super::stored_object;
use super::story;
use crate::arrival::Arrival;
use crate::clock;
use crate::failures::FailedRequest;
use crate::http::call_id;
use crate::http::query;
use crate::http::refusal::{self, Refusal};
use crate::http::reply::{Broken, Reply, StreamedBody};
use crate::limits::Held;
use crate::resume::{End, KeptStream, Next, NotKept, Reading};
use crate::state::Worker;

const LAST_EVENT: HeaderName = HeaderName::from_static("last-event-id");
/// The last event that a client of a response has.
const STARTING_AFTER: &str = "starting_after";

/// The stream that a client comes back to.
pub(super) enum Asked {
    /// One that it names by its id.
    ById,
    /// That of a response.
    OfResponse(Arc<KeptStream>),
}

/// The stream that a request comes back to, if it does.
pub(super) fn asked(
    arrival: &Arrival,
    operation: Operation,
    path_name: Option<&str>,
    request: &Request<Incoming>,
) -> Option<Asked> {
    if request.headers().contains_key(RESUME) {
        return Some(Asked::ById);
    }
    if operation != Operation::GetResponse {
        return None;
    }
    let is_stream = stored_object::wants_stream(request.uri().query()?).is_ok_and(|wants| wants);
    let stream = arrival.worker.process.resumable.of_response(path_name?)?;
    // The answer to any other is that of its provider, or that there is none.
    let may = is_stream && arrival.principal.may_use(stream.owner());
    may.then_some(Asked::OfResponse(stream))
}

/// The rest of the stream, or why there is none.
pub(super) async fn answer(
    arrival: Arrival,
    operation: Operation,
    asked: Asked,
    request: Request<Incoming>,
) -> Response<Reply> {
    let call_id = arrival.call_id.clone();
    let answered = match remainder(&arrival, operation, asked, request).await {
        Ok(answer) => answer,
        Err(refusal) => {
            tell(&arrival, operation, &refusal);
            refusal.into_response(operation.format())
        }
    };
    call_id::with_call_id(answered, &call_id)
}

async fn remainder(
    arrival: &Arrival,
    operation: Operation,
    asked: Asked,
    request: Request<Incoming>,
) -> Result<Response<Reply>, Refusal> {
    let (head, incoming) = request.into_parts();
    // A client sends its request again, whole: it may not read before it has sent.
    let mut held = Held::none(&arrival.worker.process.buffered);
    drop(arrival.read_body(&head.headers, incoming, &mut held).await?);
    drop(held);
    let (stream, after) = match asked {
        Asked::ById => {
            arrival.serving.ids.ready().await;
            let id = head.headers.get(RESUME).and_then(|id| id.to_str().ok()).unwrap_or_default();
            let stream = by_id(arrival, operation, id);
            let after = event_id(&head.headers)?;
            (stream?, after)
        }
        Asked::OfResponse(stream) => {
            let query = head.uri.query().unwrap_or_default();
            let after = query::value(query, STARTING_AFTER);
            (stream, after.map(|after| number(STARTING_AFTER, &after)).transpose()?)
        }
    };
    let resumable = &arrival.worker.process.resumable;
    let reading = stream.attach(after);
    match &reading {
        Ok(_) => resumable.came_back(true),
        Err(NotKept::Lost) => resumable.came_back(false),
        // It asks for what has not come, and may ask again.
        Err(NotKept::NotYet(_)) => {}
    }
    let reading = match reading {
        Ok(reading) => reading,
        Err(NotKept::Lost) => return Err(explain::stream_gone(stream.id())),
        Err(NotKept::NotYet(last)) => return Err(explain::event_not_yet(after, last)),
    };
    let mut headers = HeaderMap::new();
    answer_headers::events(&mut headers);
    answer_headers::resume(&mut headers, stream.id());
    let worker = arrival.worker.clone();
    let is_kept_alive = stream.keepalive_ms().is_some();
    let body = Reply::stream(Resumed { stream, reading, worker, is_over: false });
    let format = operation.format();
    let mut response = Response::new(if is_kept_alive { body.kept_alive(format) } else { body });
    *response.headers_mut() = headers;
    Ok(response)
}

/// The stream with that id, if it is kept for this client.
fn by_id(arrival: &Arrival, operation: Operation, id: &str) -> Result<Arc<KeptStream>, Refusal> {
    let issued = arrival.serving.ids.key().and_then(|key| key.open(Kind::Stream, id));
    if issued.filter(|issued| arrival.principal.may_use(&issued.owner)).is_none() {
        return Err(match arrival.principal.access().is_some() {
            true => explain::not_the_keys_own(Kind::Stream, None, id),
            false => explain::foreign_id(Kind::Stream, None, id),
        });
    }
    let resumable = &arrival.worker.process.resumable;
    let found = resumable.find(id);
    if found.is_none() {
        resumable.came_back(false);
    }
    let may = |stream: &Arc<KeptStream>| {
        let owner: &Owner = stream.owner();
        stream.operation() == operation && arrival.principal.may_use(owner)
    };
    found.filter(may).ok_or_else(|| explain::stream_gone(id))
}

/// The last event that the client has, by its header; `None` for a client that has none.
fn event_id(headers: &HeaderMap) -> Result<Option<u64>, Refusal> {
    let Some(id) = headers.get(LAST_EVENT) else { return Ok(None) };
    let id = String::from_utf8_lossy(id.as_bytes());
    let id = id.trim();
    if id.is_empty() { Ok(None) } else { number("Last-Event-ID", id).map(Some) }
}

fn number(name: &str, text: &str) -> Result<u64, Refusal> {
    text.parse().map_err(|_| {
        let message = format!("`{name}` must be the number of the last event that arrived");
        refusal::bad_parameter(name, &message)
    })
}

fn tell(arrival: &Arrival, operation: Operation, refusal: &Refusal) {
    let identity = arrival.principal.identity();
    let failed = FailedRequest {
        status: refusal.status.as_u16(),
        operation: operation.name(),
        model_group: None,
        model: None,
        cause: refusal.cause,
        reason: refusal.reply.reason,
        duration_us: clock::now().since(arrival.at),
        call_id: &arrival.call_id,
        identity: identity.as_deref(),
    };
    failed.tell(|| story::of_refusal(&refusal.reply));
}

/// The rest of a stream.
struct Resumed {
    stream: Arc<KeptStream>,
    reading: Reading,
    worker: Rc<Worker>,
    is_over: bool,
}

impl StreamedBody for Resumed {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        let next = match self.stream.poll_next(&mut self.reading, cx) {
            Poll::Ready(next) => next,
            Poll::Pending => {
                if self.worker.process.is_cutting() {
                    self.stream.nudge();
                }
                return Poll::Pending;
            }
        };
        self.is_over = !matches!(next, Next::Events(_));
        Poll::Ready(match next {
            Next::Events(events) => Some(Ok(Frame::data(events))),
            Next::Ended(End::Told) => None,
            // Nothing that was sent says that it is not whole.
            Next::Ended(End::Broken) | Next::Replaced => Some(Err(Broken)),
            Next::Lost => {
                let message = "its events are more than are kept for a client that came back";
                let failed = Failed::of(Cause::Gateway, None, message.to_owned());
                Some(Ok(Frame::data(break_event(self.stream.operation(), &failed))))
            }
        })
    }

    fn length(&self) -> Option<u64> {
        None
    }

    fn keepalive_ms(&self) -> Option<u64> {
        self.stream.keepalive_ms().filter(|_| !self.is_over)
    }

    fn give_up(&mut self) {
        self.is_over = true;
    }
}

impl Drop for Resumed {
    fn drop(&mut self) {
        self.stream.leave(self.reading.number());
    }
}
