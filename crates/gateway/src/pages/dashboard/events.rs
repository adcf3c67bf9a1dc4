//! `GET /ui/events`: what changes, as server-sent events.
//!
//! Called by the router. Always true: it only reads the bus, and only while a browser listens; a browser that reads slowly
//! misses events and is told so; a stream ends by itself after some minutes, so that a session or a master key that is over
//! is noticed, and when the process ends; the number of streams is bounded.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body::Frame;

use crate::events::{self, Received, Subscriber, What};
use crate::http::header_list::list;
use crate::http::refusal::Refusal;
use crate::http::reply::{Broken, Reply, StreamedBody};
use crate::pages::PageRequest;

/// Streams at one time.
const STREAMS_MAX: usize = 64;
/// How long a stream lasts.
const LASTS: Duration = Duration::from_secs(300);
/// A comment goes out after so long a silence, so that proxies between keep the connection.
const SILENCE: Duration = Duration::from_secs(15);
/// The media type.
const EVENTS: &str = "text/event-stream";

static STREAMS: AtomicUsize = AtomicUsize::new(0);

/// The page.
pub(crate) fn stream(request: &PageRequest<'_>) -> Response<Reply> {
    let open_ai = hale_core::provider::WireFormat::OpenAi;
    if !list(&request.head.headers, &header::ACCEPT).any(|one| one.starts_with(EVENTS)) {
        let message = "this page is a stream of events; send `accept: text/event-stream`";
        let status = StatusCode::BAD_REQUEST;
        return Refusal::new(status, "not_a_stream", message.to_owned()).into_response(open_ai);
    }
    let Some(place) = Place::take() else {
        let message = format!("{STREAMS_MAX} dashboards are open; close one, and reload this one");
        let status = StatusCode::SERVICE_UNAVAILABLE;
        return Refusal::new(status, "too_many_streams", message).into_response(open_ai);
    };
    let ends = tokio::time::Instant::now() + LASTS;
    let body = Events {
        ready: Some(Bytes::from_static(b"retry: 2000\n\n")),
        next: Some(wait(events::subscribe(), ends)),
        ends,
        _place: place,
    };
    let mut response = Response::new(Reply::stream(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(EVENTS));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Some proxies collect an answer otherwise.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// One of [`STREAMS_MAX`].
struct Place;

impl Place {
    fn take() -> Option<Place> {
        let is_free = |open: usize| (open < STREAMS_MAX).then_some(open + 1);
        STREAMS.fetch_update(Ordering::Relaxed, Ordering::Relaxed, is_free).ok().map(|_| Place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        STREAMS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What was heard, and the one who goes on hearing; `None` when the time is over.
type Heard = Option<(Subscriber, Option<Received>)>;
type Next = Pin<Box<dyn Future<Output = Heard>>>;

fn wait(mut subscriber: Subscriber, ends: tokio::time::Instant) -> Next {
    Box::pin(async move {
        let until = ends.min(tokio::time::Instant::now() + SILENCE);
        match tokio::time::timeout_at(until, subscriber.next()).await {
            Ok(received) => Some((subscriber, Some(received))),
            Err(_) if tokio::time::Instant::now() >= ends => None,
            Err(_) => Some((subscriber, None)),
        }
    })
}

struct Events {
    ready: Option<Bytes>,
    next: Option<Next>,
    ends: tokio::time::Instant,
    _place: Place,
}

impl StreamedBody for Events {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if let Some(ready) = self.ready.take() {
            return Poll::Ready(Some(Ok(Frame::data(ready))));
        }
        let Some(next) = &mut self.next else { return Poll::Ready(None) };
        match next.as_mut().poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(None) => {
                self.next = None;
                Poll::Ready(None)
            }
            Poll::Ready(Some((subscriber, received))) => {
                let is_last = is_last(received.as_ref());
                self.next = (!is_last).then(|| wait(subscriber, self.ends));
                Poll::Ready(Some(Ok(Frame::data(written(received).into()))))
            }
        }
    }

    fn length(&self) -> Option<u64> {
        None
    }

    fn give_up(&mut self) {
        (self.ready, self.next) = (None, None);
    }
}

/// A process that ends does not wait for dashboards.
fn is_last(received: Option<&Received>) -> bool {
    match received {
        Some(Received::Event(event)) => matches!(event.what, What::Shutdown(_)),
        Some(Received::Missed(_)) | None => false,
    }
}

fn written(received: Option<Received>) -> String {
    match received {
        Some(Received::Event(event)) => {
            let data = serde_json::to_string(&*event).unwrap_or_default();
            format!("id: {}\ndata: {data}\n\n", event.seq)
        }
        Some(Received::Missed(count)) => {
            format!("data: {{\"event\":\"missed\",\"count\":{count}}}\n\n")
        }
        None => ":\n\n".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use hale_core::health::OperatorAction;

    use super::*;

    #[test]
    fn an_event_is_one_line_of_data_whatever_the_names_say() {
        let mut subscriber = events::subscribe();
        let deployment = "a\n\ndata: forged".into();
        events::publish(What::Operator { deployment, action: OperatorAction::Disable });
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        // Other tests publish on the same bus.
        let text = runtime.block_on(async {
            loop {
                let text = written(Some(subscriber.next().await));
                if text.contains("forged") {
                    return text;
                }
            }
        });
        assert_eq!(text.lines().filter(|line| line.starts_with("data: ")).count(), 1, "{text}");
        assert!(text.ends_with("\n\n") && text.trim_end().lines().count() == 2, "{text}");
        assert_eq!(
            written(Some(Received::Missed(3))),
            "data: {\"event\":\"missed\",\"count\":3}\n\n"
        );
        assert_eq!(written(None), ":\n\n");
    }
}
