//! A stream that begins before there is anything to say: comments, then the answer, or an event with the error.
//!
//! Begun by the router for a stream, where the config wants comments in silent streams. Always true: an answer that comes before the
//! first comment is what it would be otherwise; no comment leaves before the first attempt has begun; behind a comment the status is 200, so that a failure is an event, which has what
//! the error would have said; the attempts are made and recorded as all others are.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hale_core::provider::WireFormat;
use hale_core::route::early_keepalive_ms;
use http::{HeaderMap, Response, StatusCode};
use http_body::{Body, Frame};

use super::answer_headers;
use super::attempt::AnswerForm;
use super::exchange::{Exchange, Stage};
use super::late_error::{Begun, Late, LateError};
use super::reuse;
use crate::http::keepalive::Keepalive;
use crate::http::reply::{Broken, Reply, StreamedBody};

/// A request for a stream, whose client may get comments before the first event.
pub(crate) struct Opened {
    exchange: Box<Exchange>,
    every_ms: u64,
    begun: Begun,
}

/// How a request has started.
pub(crate) enum Started {
    /// It is a stream that may begin before there is anything to say.
    Opened(Opened),
    /// It is as far as that.
    At(Stage),
}

/// Serves a request by the cache or its attempts, until it is answered or has to wait.
pub(super) async fn serve(mut exchange: Box<Exchange>) -> Stage {
    match exchange.request.cache_wish.take() {
        Some(wish) => Box::pin(reuse::serve(exchange, wish)).await,
        None => exchange.proceed(None).await,
    }
}

impl Opened {
    /// The request, if its client may get comments before the first event; else as it is.
    ///
    /// # Errors
    /// The request, if it is no such one.
    pub(super) fn of(mut exchange: Box<Exchange>) -> Result<Opened, Box<Exchange>> {
        let request = &exchange.request;
        if !request.form.is_stream() || request.passed.is_some() {
            return Err(exchange);
        }
        let Some(every_ms) = early_keepalive_ms(&exchange.arrival.serving.snapshot) else {
            return Err(exchange);
        };
        let (format, form, model) =
            (request.operation.format(), request.form, request.model.clone());
        let late = Late::new((format, form), model);
        let begun = late.begun();
        exchange.delivery.late = Some(Box::new(late));
        exchange.stream_id = exchange.new_stream_id();
        Ok(Opened { exchange, every_ms, begun })
    }

    /// Goes on with the request.
    pub(crate) async fn go_on(self) -> Stage {
        serve(self.exchange).await
    }

    /// How its stream begins.
    pub(crate) fn beginning(&self) -> Beginning {
        let request = &self.exchange.request;
        let mut headers = HeaderMap::new();
        match request.form {
            AnswerForm::List => answer_headers::list(&mut headers),
            AnswerForm::Events | AnswerForm::Json | AnswerForm::Text => {
                answer_headers::events(&mut headers);
            }
        }
        if let Some(id) = &self.exchange.stream_id {
            answer_headers::resume(&mut headers, id);
        }
        let (format, begun) = (request.operation.format(), self.begun.clone());
        Beginning { headers, format, every_ms: self.every_ms, begun }
    }
}

/// How the stream of a request begins that has no answer yet.
pub(crate) struct Beginning {
    headers: HeaderMap,
    format: WireFormat,
    every_ms: u64,
    begun: Begun,
}

impl Beginning {
    /// The answer that `coming` leads to; a stream that begins with comments, if that takes long.
    pub(crate) async fn answered(self, coming: Coming) -> Response<Reply> {
        let Beginning { headers, format, every_ms, begun } = self;
        let mut early = Early { state: State::Waiting(coming), every_ms };
        let mut keepalive = None;
        let answer = std::future::poll_fn(|cx| {
            if let State::Waiting(coming) = &mut early.state
                && let Poll::Ready(response) = coming.as_mut().poll(cx)
            {
                return Poll::Ready(Ok(response));
            }
            // The request's own task wakes this one when an attempt begins.
            if !begun.has() {
                return Poll::Pending;
            }
            keepalive.get_or_insert_with(|| Keepalive::of(format)).poll(cx, every_ms).map(Err)
        });
        match answer.await {
            Ok(response) => response,
            Err(comment) => {
                let state = std::mem::replace(&mut early.state, State::Over);
                let comment = Bytes::from_static(comment);
                early.state = match state {
                    State::Waiting(coming) => State::Begins(comment, coming),
                    other @ (State::Begins(..)
                    | State::Answers(_)
                    | State::Breaks
                    | State::Over) => other,
                };
                let mut response = Response::new(Reply::stream(early).kept_alive(format));
                *response.headers_mut() = headers;
                response
            }
        }
    }
}

/// What leads to the answer.
pub(crate) type Coming = Pin<Box<dyn Future<Output = Response<Reply>>>>;

/// The body of a stream that began before there was an answer.
struct Early {
    state: State,
    every_ms: u64,
}

enum State {
    /// Its first comment is about to leave.
    Begins(Bytes, Coming),
    /// There is no answer yet.
    Waiting(Coming),
    /// The answer is under way.
    Answers(Box<Reply>),
    /// What failed has no words for a client: its stream must not look whole.
    Breaks,
    Over,
}

impl Early {
    /// The answer has come: its body, or the event of an error.
    fn answers(response: Response<Reply>) -> State {
        if response.status() == StatusCode::OK {
            return State::Answers(Box::new(response.into_body()));
        }
        match response.extensions().get::<LateError>() {
            Some(late) => State::Answers(Box::new(Reply::full(late.event()))),
            None => State::Breaks,
        }
    }
}

impl StreamedBody for Early {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        loop {
            match std::mem::replace(&mut self.state, State::Over) {
                State::Begins(comment, coming) => {
                    self.state = State::Waiting(coming);
                    return Poll::Ready(Some(Ok(Frame::data(comment))));
                }
                State::Waiting(mut coming) => match coming.as_mut().poll(cx) {
                    Poll::Ready(response) => self.state = Early::answers(response),
                    Poll::Pending => {
                        self.state = State::Waiting(coming);
                        return Poll::Pending;
                    }
                },
                State::Answers(mut reply) => {
                    let polled = Pin::new(&mut *reply).poll_frame(cx);
                    if !matches!(polled, Poll::Ready(None)) {
                        self.state = State::Answers(reply);
                    }
                    return polled;
                }
                State::Breaks => return Poll::Ready(Some(Err(Broken))),
                State::Over => return Poll::Ready(None),
            }
        }
    }

    fn length(&self) -> Option<u64> {
        None
    }

    fn keepalive_ms(&self) -> Option<u64> {
        match &self.state {
            State::Begins(..) | State::Waiting(_) => Some(self.every_ms),
            // The answer has comments of its own.
            State::Answers(_) | State::Breaks | State::Over => None,
        }
    }

    fn give_up(&mut self) {
        if let State::Answers(mut reply) = std::mem::replace(&mut self.state, State::Over) {
            reply.give_up();
        }
    }
}
