//! The page of metrics.
//!
//! Called by `GET /metrics`. Always true: a metric is one row of [`families::FAMILIES`]; the page and the documentation are
//! made from it; a page is written piece by piece as its client takes it, on threads that are no worker's.

mod families;
mod labels;
pub(crate) mod otlp;
mod page;
mod source;
mod system;
mod text;

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Response, StatusCode, header};
use http_body::Frame;
use hyper::body::Incoming;

use self::page::Page;
use self::text::Format;
use super::{PageRequest, Waiting};
use crate::http::reply::{self, Broken, Reply, StreamedBody};
use crate::offload;

/// `GET /metrics`.
pub(crate) fn page(request: PageRequest<'_>, _body: Incoming) -> Waiting<'_> {
    let arrival = request.arrival;
    let format = Format::of(&request.head.headers);
    let (process, serving) = (arrival.worker.process.clone(), arrival.serving.clone());
    Box::pin(async move {
        let first = offload::run(move || {
            let mut page = Page::new(process, serving, format);
            let piece = page.piece();
            (page, piece)
        });
        let (page, piece) = first.await;
        if page.is_whole() {
            return Ok(reply::text(StatusCode::OK, format.content_type(), piece));
        }
        let pieces = Pieces { ready: Some(piece), remainder: Remainder::Page(Box::new(page)) };
        let mut response = Response::new(Reply::stream(pieces));
        response.headers_mut().insert(header::CONTENT_TYPE, format.content_type());
        Ok(response)
    })
}

/// A page on its way to a client.
struct Pieces {
    ready: Option<Vec<u8>>,
    remainder: Remainder,
}

/// A piece that is being written.
type Writing = Pin<Box<dyn Future<Output = (Box<Page>, Vec<u8>)>>>;

/// What is left of a page.
enum Remainder {
    /// So much.
    Page(Box<Page>),
    /// The next piece is being written.
    Writing(Writing),
    /// Nothing.
    Nothing,
}

impl StreamedBody for Pieces {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        loop {
            if let Some(piece) = self.ready.take() {
                return Poll::Ready(Some(Ok(Frame::data(piece.into()))));
            }
            match std::mem::replace(&mut self.remainder, Remainder::Nothing) {
                Remainder::Nothing => return Poll::Ready(None),
                Remainder::Page(page) if page.is_whole() => return Poll::Ready(None),
                Remainder::Page(mut page) => {
                    let next = offload::run(move || {
                        let piece = page.piece();
                        (page, piece)
                    });
                    self.remainder = Remainder::Writing(Box::pin(next));
                }
                Remainder::Writing(mut writing) => match writing.as_mut().poll(cx) {
                    Poll::Pending => {
                        self.remainder = Remainder::Writing(writing);
                        return Poll::Pending;
                    }
                    Poll::Ready((page, piece)) => {
                        self.ready = Some(piece);
                        self.remainder = Remainder::Page(page);
                    }
                },
            }
        }
    }

    fn length(&self) -> Option<u64> {
        None
    }

    fn give_up(&mut self) {
        (self.ready, self.remainder) = (None, Remainder::Nothing);
    }
}
