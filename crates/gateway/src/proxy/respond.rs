//! The last phase of an exchange: its answer, or its refusal, on the way to the client.
//!
//! Called by [`super::exchange`]. Always true: a full answer is accounted before it leaves; a stream
//! and a WebSocket take the exchange along, so that their end is decided where all others are.

use std::sync::Arc;

use bytes::Bytes;
use hale_core::operation::Operation;
use hale_wire::notes::Notes;
use http::{HeaderMap, Response, StatusCode, header};

use super::answer_headers::{self, AnsweredBy};
use super::attempt::{AnswerForm, Answered, Content, Stream};
use super::batch_bill::{BatchBill, BilledFile};
use super::counted::Counted;
use super::exchange::{Exchange, Winner};
use super::explain;
use super::handshake::Socket;
use super::led::Led;
use super::relay::Relay;
use super::story;
use super::tunnel::Tunnel;
use crate::clock;
use crate::http::refusal::Refusal;
use crate::http::reply::Reply;
use crate::limits::Held;

/// A full answer that is about to leave.
struct Full {
    /// The provider's headers.
    theirs: HeaderMap,
    /// Its cost in USD, if the price is known.
    cost: Option<f64>,
    body: Bytes,
    /// The memory that its body is counted in.
    held: Held,
}

impl Exchange {
    /// The answer.
    pub(super) fn respond(
        mut self: Box<Self>,
        winner: &Winner,
        answered: Answered,
    ) -> Response<Reply> {
        let Answered { headers: theirs, content, guard, notes } = answered;
        self.tell_detours(winner);
        match content {
            Content::Full(body, usage, held) | Content::Empty(body, usage, held) => {
                let counted = Counted::of_body(usage, &body, &self.request);
                let cost = self.delivery.answered(guard, counted);
                let full = Full { theirs, cost, body, held };
                with_notes(self.full(winner, full), notes.as_deref())
            }
            Content::Stream(stream) => {
                self.delivery.first_content(guard, clock::recent());
                with_notes(self.stream(winner, &theirs, *stream), notes.as_deref())
            }
            Content::Socket(socket) => {
                self.delivery.first_content(guard, clock::recent());
                self.socket(winner, &theirs, *socket)
            }
        }
    }

    /// Tells, in a log for debugging, which attempts failed before the answer came.
    fn tell_detours(&self, winner: &Winner) {
        let tried = self.plan.tried();
        if tried.is_empty() || !tracing::enabled!(tracing::Level::DEBUG) {
            return;
        }
        let snapshot = &self.arrival.serving.snapshot;
        let attempts = explain::attempt_lines(snapshot, tried);
        let deployment = snapshot.deployment(winner.plan.deployment);
        tracing::debug!(
            call_id = &*self.arrival.call_id,
            deployment = &*deployment.display.name,
            "answered after failed attempts: {}",
            story::of_detours(&attempts)
        );
    }

    /// The refusal.
    pub(super) fn refuse(self: Box<Self>, refusal: Refusal) -> Response<Reply> {
        let Exchange { arrival, request, plan, delivery, timeout_ms, lead, .. } = *self;
        if let Some(mut lead) = lead {
            lead.fails();
        }
        let mut response = delivery.refuse(refusal);
        if let Some(timeout_ms) = timeout_ms {
            answer_headers::limits(response.headers_mut(), timeout_ms);
        }
        if request.shows.route {
            let headers = response.headers_mut();
            answer_headers::route(headers, &arrival.serving.snapshot, &plan, None);
        }
        response
    }

    fn full(mut self: Box<Self>, winner: &Winner, full: Full) -> Response<Reply> {
        let Full { theirs, cost, mut body, held } = full;
        if self.parts.is_some() {
            match self.with_kept_parts(&self.deployment_id(winner), &body) {
                Some(whole) => body = whole,
                None => return self.refuse(explain::unequal_parts()),
            }
        }
        self.delivery.note(|record| record.response_bytes = body.len() as u64);
        self.delivery.capture.answered(&body);
        self.keep_response(|| Some(body.to_vec()));
        if self.request.operation == Operation::GetBatch
            && let Some(bill) = self.batch_bill(winner)
        {
            bill.of_object(&self.arrival, &body);
        }
        let mut headers = self.headers(winner);
        answer_headers::cost(&mut headers, cost);
        self.theirs(winner, &mut headers, &theirs);
        if self.request.form == AnswerForm::Text {
            answer_headers::text(&mut headers, &theirs);
        }
        self.explain(winner, &mut headers);
        if self.lead.is_some() {
            let key = self.share_full(&self.deployment_id(winner), &body);
            answer_headers::cache_key(&mut headers, key);
        }
        self.delivery.mirror_answer(&headers, Some(&body));
        response(StatusCode::OK, headers, Reply::full(body).holding(held))
    }

    fn stream(
        mut self: Box<Self>,
        winner: &Winner,
        theirs: &HeaderMap,
        stream: Stream,
    ) -> Response<Reply> {
        let mut headers = self.headers(winner);
        let mut status = StatusCode::OK;
        match &stream.bytes {
            Some(head) => {
                headers.insert(header::CONTENT_TYPE, head.content_type.clone());
                if let Some((theirs, relayed)) = &head.relayed {
                    status = *theirs;
                    headers.extend(relayed.clone());
                }
            }
            None if self.request.form == AnswerForm::List => answer_headers::list(&mut headers),
            None => answer_headers::events(&mut headers),
        }
        self.theirs(winner, &mut headers, theirs);
        self.explain(winner, &mut headers);
        self.request.keep_small_body(self.arrival.serving.snapshot.gateway.bounds.buffered_bytes);
        let ahead = self.rescue_ahead(winner);
        answer_headers::rescue(&mut headers, ahead);
        let operation = self.request.operation;
        let leader = match stream.bytes {
            Some(_) => None,
            None if self.lead.is_some() => self.share_stream(&self.deployment_id(winner)),
            None => None,
        };
        answer_headers::cache_key(&mut headers, leader.as_ref().map(|leader| leader.key()));
        self.delivery.mirror_answer(&headers, None);
        let keeping = match ahead {
            Some(Ok(())) => Ok(self.keeping()),
            Some(Err(why)) => Err(Some(why)),
            None => Err(None),
        };
        let kept = match stream.bytes {
            None => self.kept_for_return(&mut headers, winner.plan.keepalive_ms),
            Some(_) => None,
        };
        let file = match operation == Operation::GetFileContent {
            true => {
                self.batch_bill(winner).zip(self.request.stored.as_ref().map(|it| it.id.clone()))
            }
            false => None,
        };
        let relay = Relay::new(stream, (self, keeping), &winner.plan);
        if let Some((bill, id)) = file {
            return response(status, headers, Reply::stream(BilledFile::new(relay, bill, &id)));
        }
        let body = match (leader, kept) {
            (Some(leader), None) => Reply::stream(Led::new(relay, leader, operation)),
            (Some(leader), Some(kept)) => kept.around(Led::new(relay, leader, operation)),
            (None, Some(kept)) => kept.around(relay),
            (None, None) => Reply::stream(relay),
        };
        let body = match winner.plan.keepalive_ms {
            Some(_) => body.kept_alive(operation.format()),
            None => body,
        };
        response(status, headers, body)
    }

    /// Keeps the response that has ended, if it is kept.
    pub(super) fn keep_response(&mut self, response: impl FnOnce() -> Option<Vec<u8>>) {
        let Some(history) = self.request.history.take() else { return };
        if let Some(response) = response() {
            let arrival = &self.arrival;
            history.answered((&arrival.worker.process, &arrival.serving), &response);
        }
    }

    /// The provider's headers, and what they say of its limits.
    fn theirs(&self, winner: &Winner, headers: &mut HeaderMap, theirs: &HeaderMap) {
        let left = answer_headers::upstream(headers, theirs);
        let series = self.arrival.serving.series(winner.plan.deployment);
        series.requests_left.set(left.requests);
        series.tokens_left.set(left.tokens);
    }

    fn socket(
        mut self: Box<Self>,
        winner: &Winner,
        theirs: &HeaderMap,
        socket: Socket,
    ) -> Response<Reply> {
        let mut headers = self.headers(winner);
        self.request.dialect.handshake.agree(&mut headers, socket.protocol);
        self.theirs(winner, &mut headers, theirs);
        self.explain(winner, &mut headers);
        self.request.body = None;
        let connection = self.arrival.connection.clone();
        connection.switch(Tunnel::new(socket.stream, self, &winner.plan));
        response(StatusCode::SWITCHING_PROTOCOLS, headers, Reply::empty())
    }

    /// Bills a batch that ends, to the client of this request.
    fn batch_bill(&self, winner: &Winner) -> Option<BatchBill> {
        let snapshot = &self.arrival.serving.snapshot;
        BatchBill::of(&self.arrival, snapshot.deployment(winner.plan.deployment))
    }

    /// The id of the deployment that answered.
    fn deployment_id(&self, winner: &Winner) -> Arc<str> {
        self.arrival.serving.snapshot.deployment(winner.plan.deployment).id.clone()
    }

    /// What every answer has.
    fn headers(&self, winner: &Winner) -> HeaderMap {
        let durations = self.delivery.durations(clock::recent());
        let common = answer_headers::common(&self.arrival, &self.plan, &winner.plan, durations);
        self.delivery.with_limits(common)
    }

    /// Adds what the client asked to see of the route.
    fn explain(&self, winner: &Winner, headers: &mut HeaderMap) {
        if winner.ignored_probes {
            answer_headers::checks_ignored(headers);
        }
        if self.request.shows.route {
            let snapshot = &self.arrival.serving.snapshot;
            let winner = AnsweredBy { plan: &winner.plan, resent: winner.resent };
            answer_headers::route(headers, snapshot, &self.plan, Some(winner));
        }
        if self.request.shows.errors {
            answer_headers::errors(headers, &self.plan, &self.errors);
        }
    }
}

/// Says in a header what was left out of the request.
fn with_notes(mut response: Response<Reply>, notes: Option<&Notes>) -> Response<Reply> {
    if let Some(notes) = notes {
        answer_headers::left_out(response.headers_mut(), &notes.left_out);
    }
    response
}

fn response(status: StatusCode, headers: HeaderMap, body: Reply) -> Response<Reply> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}
