//! Where a request goes: its endpoint, its key, then a page or the proxy.
//!
//! Called by the server for each request. Always true: there is one way through; a fault of our own code is caught
//! here and answered; every answer has a call id.

mod backend;
mod foreign;
mod later;
mod lookup;
mod routes;
pub(crate) mod table;

use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hale_core::provider::WireFormat;
use hale_core::record::Ending;
use hale_core::tenancy::access::Needed;
use hale_core::tenancy::rights::Route;
use hale_wire::errors::clean;
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode, Version, header};
use hyper::body::Incoming;

use self::lookup::Found;
use self::table::{BACKEND, Endpoint, Handler, OPEN_BACKEND};
use crate::arrival::Arrival;
use crate::clock::{self, Micros};
use crate::failures::FailedRequest;
use crate::http::auth::{self, Presents, Principal, Role};
use crate::http::connection::{ClientConn, InFlight};
use crate::http::cors::Grant;
use crate::http::header_list::list;
use crate::http::refusal::{self, Refusal};
use crate::http::reply::Reply;
use crate::http::{call_id, query};
use crate::limits::Held;
use crate::metrics::{Cached, Metrics, Outcome};
use crate::pages::dashboard::session;
use crate::pages::managers::check_manager;
use crate::pages::{PageRequest, models};
use crate::panics::CatchPanic;
use crate::proxy::early::Started;
use crate::proxy::exchange::Stage;
use crate::proxy::start;
use crate::proxy::story;
use crate::state::{Serving, Worker};

/// Pages up to so many bytes are not counted as held, so that a few numbers can be had while memory is full.
const SMALL_PAGE: usize = 64 << 10;
/// Longest path in a line of the log, characters.
const PATH_MAX: usize = 100;

/// Serves one request.
pub(crate) async fn serve(
    worker: Rc<Worker>,
    connection: Rc<ClientConn>,
    request: Request<Incoming>,
) -> Result<Response<Reply>, Infallible> {
    let metrics = worker.process.metrics.clone();
    let in_flight = InFlight::count(&metrics, &connection);
    let draining = worker.process.is_draining();
    let is_head = request.method() == Method::HEAD;
    let call_id = call_id::call_id(request.headers());
    let format = lookup::format_of(request.uri().path());
    // Few clients are pages.
    let is_page = request.headers().contains_key(header::ORIGIN);
    let grant = is_page.then(|| grant(&worker.process.serving(), request.headers())).flatten();
    let finishing = Finishing { metrics, format, call_id: call_id.clone() };
    // Made in its box: what is between would have it copied, twice.
    let started = {
        let (connection, call_id) = (connection.clone(), call_id.clone());
        CatchPanic(Box::pin(answer(worker, connection, request, call_id)))
    };
    let mut response = match started.await {
        Ok(Started::Opened(opened)) => {
            let beginning = opened.beginning();
            let coming = async move {
                let stage = CatchPanic(Box::pin(opened.go_on())).await;
                finishing.finished(stage).await
            };
            call_id::with_call_id(beginning.answered(Box::pin(coming)).await, &call_id)
        }
        Ok(Started::At(stage)) => finishing.finished(Ok(stage)).await,
        Err(()) => finishing.finished(Err(())).await,
    };
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        connection.hold(in_flight);
        return Ok(response);
    }
    if draining {
        response
            .headers_mut()
            .insert(header::CONNECTION, header::HeaderValue::from_static("close"));
    }
    if let Some(grant) = grant {
        grant.add_to(response.headers_mut());
    }
    let response = response.map(|body| if is_head { Reply::empty() } else { body });
    Ok(response.map(|body| body.with(in_flight)))
}

/// What brings a request to its answer.
struct Finishing {
    metrics: Arc<Metrics>,
    format: WireFormat,
    call_id: Arc<str>,
}

impl Finishing {
    /// The answer of a request that has come to `stage`. Each stage has a box of its own, so that a request that waits does not
    /// hold the memory of its attempts.
    async fn finished(self, mut stage: Result<Stage, ()>) -> Response<Reply> {
        loop {
            let next = match stage {
                Ok(Stage::Answered(response)) => return response,
                Ok(Stage::Waits(waiting)) => match CatchPanic(Box::pin(waiting.turn())).await {
                    Ok(waited) => CatchPanic(Box::pin(waited.go_on())).await,
                    Err(()) => Err(()),
                },
                Err(()) => {
                    self.metrics.panics.fetch_add(1, Ordering::Relaxed);
                    return refusal::own_fault().respond(self.format, &self.call_id);
                }
            };
            stage = next;
        }
    }
}

/// A request that is answered at once.
fn answered(response: Response<Reply>) -> Started {
    Started::At(Stage::Answered(response))
}

async fn answer(
    worker: Rc<Worker>,
    connection: Rc<ClientConn>,
    request: Request<Incoming>,
    call_id: Arc<str>,
) -> Started {
    let at = clock::now();
    let serving = worker.process.serving();
    let (head, incoming) = request.into_parts();
    let path = head.uri.path();
    let format = lookup::format_of(path);
    let turning_away = TurningAway { head: &head, format, call_id: &call_id, at };
    if !is_framed_clearly(&head) {
        return answered(turning_away.answer(refusal::odd_framing()));
    }
    if head.method == Method::OPTIONS
        && let Some(answer) = grant(&serving, &head.headers)
            .and_then(|grant| grant.preflight(&head.method, &head.headers))
    {
        return answered(call_id::with_call_id(answer, &call_id));
    }
    let (row, name) = match found(&serving, &head) {
        Found::Endpoint(row, name) => (row, name),
        missing @ (Found::WrongMethod(_) | Found::Unknown(_)) => {
            return answered(turning_away.answer(nothing_there(&head, &missing)));
        }
    };
    if row.role != Role::Public
        && let Err(refusal) =
            check_address(&serving, &connection).and_then(|()| admit(&serving, row, &head))
    {
        count_turned_away(&worker.process.metrics, row, &refusal);
        return answered(turning_away.answer(refusal));
    }
    let principal = match principal(&worker, &serving, (row, &head)).await {
        Ok(principal) => principal,
        Err(refusal) => {
            worker.process.metrics.refused_keys.fetch_add(1, Ordering::Relaxed);
            count_turned_away(&worker.process.metrics, row, &refusal);
            return answered(turning_away.answer(refusal));
        }
    };
    let name = name.map(query::decoded);
    let arrival = Arrival { worker, connection, serving, at, call_id: call_id.clone(), principal };
    let page = match row.handler {
        Handler::Upstream(operation)
            if operation.is_passed_through() && handshakes(&head.headers) =>
        {
            Err(refusal::no_websocket(path, "POST"))
        }
        // A handshake is a GET; no other request is looked at.
        Handler::Upstream(_) | Handler::Page(_) | Handler::WaitingPage(_)
            if head.method == Method::GET
                && handshakes(&head.headers)
                && !matches!(row.handler, Handler::Upstream(operation) if operation.switches()) =>
        {
            Err(refusal::no_websocket(path, "GET"))
        }
        Handler::Upstream(operation) => {
            let request = Request::from_parts(head, incoming);
            return start::run(arrival, operation, name, request).await;
        }
        Handler::Page(page) => Ok(page(&requested(&arrival, name.as_deref(), (row, &head)))),
        Handler::WaitingPage(page) => {
            let request = requested(&arrival, name.as_deref(), (row, &head));
            match may(row, &request) {
                Ok(()) => page(request, incoming).await,
                Err(refusal) => Err(refusal),
            }
        }
    };
    answered(match page.and_then(|page| counted(page, &arrival)) {
        Ok(page) => call_id::with_call_id(page, &call_id),
        Err(refusal) => turning_away.answer(refusal),
    })
}

/// Whether the client may have the page, before its body is read.
fn may(row: &Endpoint, request: &PageRequest<'_>) -> Result<(), Refusal> {
    if row.role == Role::TeamAdmin { check_manager(request) } else { Ok(()) }
}

fn requested<'a>(
    arrival: &'a Arrival,
    name: Option<&'a str>,
    (row, head): (&Endpoint, &'a Parts),
) -> PageRequest<'a> {
    PageRequest { arrival, name, head, longest: row.longest }
}

/// What a request that was refused for want of a key may do by the session of its browser. A key that is there decides alone.
#[cold]
async fn of_session(
    worker: &Worker,
    serving: &Serving,
    (row, head): (&Endpoint, &Parts),
    refusal: Refusal,
) -> Result<Principal, Refusal> {
    let has_none = refusal.reply.reason == refusal::MISSING_KEY;
    match if has_none { session::holder(serving, head) } else { None } {
        None => Err(refusal),
        Some(session::Holder::Operator) => Ok(Principal::Operator),
        Some(session::Holder::Key(hash)) => {
            let found = auth::holder_of(&worker.process.keys, hash, needs(row, head)).await?;
            auth::check_dashboard(&serving.snapshot.gateway, &found)?;
            Ok(found)
        }
    }
}

/// What a key must be for an endpoint.
fn needs<'h>(row: &Endpoint, head: &'h Parts) -> (Needed, Route<'h>) {
    let is_of_models = matches!(row.handler, Handler::Upstream(_));
    let needed = match row.role {
        Role::Key if is_of_models => Needed::Models,
        Role::Viewer | Role::Metrics => Needed::AdminView,
        Role::Admin if row.method == "GET" => Needed::AdminView,
        Role::Admin => Needed::Admin,
        Role::Public | Role::Key | Role::TeamAdmin => Needed::AnyKey,
    };
    (needed, Route { path: head.uri.path(), is_of_models })
}

/// Who sends a request, by its key; what that is may be asked of the store.
async fn principal(
    worker: &Worker,
    serving: &Serving,
    (row, head): (&Endpoint, &Parts),
) -> Result<Principal, Refusal> {
    let in_query = key_in_query(head);
    let source = (&head.headers, in_query.as_deref());
    let presents = auth::authenticate(row.role, source, &serving.snapshot.gateway);
    match presents {
        Ok(Presents::Known(principal)) => Ok(principal),
        Err(refusal) => Box::pin(of_session(worker, serving, (row, head), refusal)).await,
        Ok(Presents::Keys(keys)) => {
            // A box: most requests have the master key or a key that is known.
            Box::pin(auth::holder(&worker.process.keys, keys, needs(row, head))).await
        }
    }
}

/// The key in the query, where Google's clients may write it. It goes nowhere else: no query is logged or recorded, and none of
/// those requests is sent on with its own.
fn key_in_query(head: &Parts) -> Option<Box<str>> {
    let query = head.uri.query()?;
    let is_of_google = lookup::format_of(head.uri.path()) == WireFormat::Gemini
        || models::is_of_google(&head.headers);
    if is_of_google { query::value(query, "key") } else { None }
}

/// Counts a request for a model that gets no record because its client may not make it.
#[cold]
fn count_turned_away(metrics: &Metrics, row: &Endpoint, refusal: &Refusal) {
    if let Handler::Upstream(operation) = row.handler {
        metrics.turned_away.count(Outcome {
            operation,
            ending: Ending::Error,
            cause: Some(refusal.cause),
            cached: Cached::Unused,
            status: refusal.status.as_u16(),
        });
    }
}

/// The row of a request: that of its path, or the one by which it goes to LiteLLM's own server. That has what is in no row, and the user
/// interface, if the config has such a server.
fn found<'h>(serving: &Serving, head: &'h Parts) -> Found<'h> {
    let path = head.uri.path();
    let found = lookup::find(head.method.as_str(), path);
    let Some(backend) = &serving.snapshot.gateway.backend else { return found };
    if !matches!(found, Found::Unknown(_)) && !path.starts_with("/ui") {
        return found;
    }
    let has_row =
        |path: &str| !matches!(lookup::find(head.method.as_str(), path), Found::Unknown(_));
    match backend::asked(backend, path, has_row) {
        None => found,
        Some(backend::For::Keys) => Found::Endpoint(&BACKEND, None),
        Some(backend::For::Anyone) => Found::Endpoint(&OPEN_BACKEND, None),
    }
}

/// What is needed to refuse a request before it reaches the proxy: for its client and for the log.
struct TurningAway<'r> {
    head: &'r Parts,
    format: WireFormat,
    call_id: &'r str,
    at: Micros,
}

impl TurningAway<'_> {
    #[cold]
    fn answer(&self, refusal: Refusal) -> Response<Reply> {
        let TurningAway { head, format, call_id, at } = *self;
        let operation = format!("{} {}", head.method, clean(head.uri.path(), PATH_MAX));
        let failed = FailedRequest {
            status: refusal.status.as_u16(),
            operation: &operation,
            model_group: None,
            model: None,
            cause: refusal.cause,
            reason: refusal.reply.reason,
            duration_us: clock::now().since(at),
            call_id,
            identity: None,
        };
        failed.tell(|| story::of_refusal(&refusal.reply));
        refusal.respond(format, call_id)
    }
}

/// What the page that sent the request may do; `None` if no page did.
fn grant(serving: &Serving, headers: &HeaderMap) -> Option<Grant> {
    Grant::of(headers, serving.guard, &serving.snapshot.gateway.origins)
}

/// Refuses a client whose address is not one of those that are served.
fn check_address(serving: &Serving, connection: &ClientConn) -> Result<(), Refusal> {
    let Some(ranges) = &serving.snapshot.gateway.allowed_ips else { return Ok(()) };
    let peer = connection.peer();
    let is_allowed = peer.is_some_and(|peer| ranges.iter().any(|range| range.has(peer)));
    if is_allowed { Ok(()) } else { Err(refusal::address_not_allowed()) }
}

/// Refuses a request of a page that may not use this gateway.
fn admit(serving: &Serving, row: &Endpoint, head: &Parts) -> Result<(), Refusal> {
    serving.guard.admit(head)?;
    match row.handler {
        Handler::Upstream(operation) if operation.switches() => {
            let may =
                grant(serving, &head.headers).is_none_or(|grant| grant.may_connect(&head.headers));
            if may { Ok(()) } else { Err(refusal::unlisted_origin()) }
        }
        Handler::Upstream(_) | Handler::Page(_) | Handler::WaitingPage(_) => Ok(()),
    }
}

/// The refusal of a request that is in no row.
fn nothing_there(head: &Parts, missing: &Found<'_>) -> Refusal {
    let (method, path) = (&head.method, head.uri.path());
    if let Some(format) = foreign::format_of(path) {
        return refusal::foreign_format(method, path, format);
    }
    if let (Found::Unknown(_), Some((about, instead))) = (missing, later::about(path)) {
        return refusal::unserved_route(method, path, about, instead);
    }
    match missing {
        // Codex tries a WebSocket first and goes on by HTTP at once after this status, but not after a 405.
        Found::WrongMethod(allowed) if handshakes(&head.headers) => {
            refusal::no_websocket(path, allowed)
        }
        Found::WrongMethod(allowed) => refusal::wrong_method(method, path, allowed),
        Found::Unknown(nearest) => refusal::unknown_route(method, path, *nearest),
        Found::Endpoint(..) => refusal::own_fault(),
    }
}

/// Whether a request wants to switch to a WebSocket.
fn handshakes(headers: &HeaderMap) -> bool {
    list(headers, &header::UPGRADE).any(|protocol| protocol.eq_ignore_ascii_case("websocket"))
}

impl Refusal {
    /// The answer to the request with that call id, from a client of that format.
    fn respond(self, format: WireFormat, call_id: &str) -> Response<Reply> {
        call_id::with_call_id(self.into_response(format), call_id)
    }
}

/// Counts a large page as held until its client has read it.
fn counted(page: Response<Reply>, arrival: &Arrival) -> Result<Response<Reply>, Refusal> {
    let bytes = page.body().bytes();
    if bytes <= SMALL_PAGE {
        return Ok(page);
    }
    let mut held = Held::none(&arrival.worker.process.buffered);
    if !held.add_page(bytes, arrival.serving.snapshot.gateway.bounds.buffered_bytes) {
        return Err(refusal::too_much_held());
    }
    Ok(page.map(|body| body.holding(held)))
}

/// Whether every HTTP parser would find the same end and the same host for this request. A length beside chunks is
/// not seen here: hyper drops it, reads the chunks, and closes the connection after the answer (RFC 9112, section 6.3).
fn is_framed_clearly(head: &Parts) -> bool {
    let mut encodings = head.headers.get_all(header::TRANSFER_ENCODING).iter();
    if let Some(encoding) = encodings.next()
        && (encodings.next().is_some() || !encoding.as_bytes().eq_ignore_ascii_case(b"chunked"))
    {
        return false;
    }
    head.version < Version::HTTP_11 || head.headers.get_all(header::HOST).iter().count() == 1
}

#[cfg(test)]
mod tests {
    use std::future::Future;

    use super::*;

    fn caught<T>(future: impl Future<Output = T>) -> Result<T, ()> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(CatchPanic(Box::pin(future)))
    }

    /// Says when it is dropped, as a permit, a record or a count does.
    struct Held(Rc<std::cell::Cell<bool>>);

    impl Drop for Held {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }

    #[test]
    fn a_panic_is_an_answer_and_gives_back_what_was_held() {
        // Bad input, row F49.
        assert_eq!(caught(async { 7 }), Ok(7));
        let given_back = Rc::new(std::cell::Cell::new(false));
        let held = Held(given_back.clone());
        let panics = async move {
            let _held = held;
            tokio::task::yield_now().await;
            panic!("a fault of our own");
        };
        assert_eq!(caught::<()>(panics), Err(()));
        assert!(given_back.get());
        let answer = refusal::own_fault().respond(WireFormat::OpenAi, "the-call");
        assert_eq!(answer.status(), 500);
        assert_eq!(answer.headers()["x-litellm-call-id"], "the-call");
    }
}
