//! A request for a model: body, name, the walk from attempt to attempt, the answer.
//!
//! Called by the pipeline for every endpoint that goes to an upstream. Always true: nothing reaches
//! the client before an attempt has succeeded (a stream: has content), and what to try next is the
//! walk's decision alone.

use std::borrow::Cow;
use std::sync::Arc;

use hale_core::cause::Cause;
use hale_core::endpoint::Operation;
use hale_core::health::outcome::ProviderError;
use hale_core::provider::WireFormat;
use hale_core::record::Ending;
use hale_core::route::{
    AttemptPlan, Controls, GiveUp, Next, Resolved, TagWish, Tried, Walk, resolve,
};
use hale_core::snapshot::Snapshot;
use hale_wire::controls;
use hale_wire::edit::json_string;
use hale_wire::order::Order;
use hale_wire::peek::{FORBIDDEN, Peek, seconds_to_ms};
use hale_wire::stream::View;
use hale_wire::way::{Way, outgoing};
use http::request::Parts;
use http::{HeaderMap, HeaderName, Response};
use hyper::body::Incoming;

use super::access::Access;
use super::attempt::{Answered, Ask, Content, Failed, attempt};
use super::body::{self, Held};
use super::explain::{self, Refusal};
use super::finish::Finish;
use super::guard::AttemptGuard;
use super::relay::Relay;
use super::reply::{self, Reply};
use super::request::Dialect;
use super::{Arrival, answer_headers};
use crate::clock;
use crate::state::{BETA, VERSION, betas};

const NUM_RETRIES: HeaderName = HeaderName::from_static("x-litellm-num-retries");
const TIMEOUT: HeaderName = HeaderName::from_static("x-litellm-timeout");
const STREAM_TIMEOUT: HeaderName = HeaderName::from_static("x-litellm-stream-timeout");
const TAGS: HeaderName = HeaderName::from_static("x-litellm-tags");
const EXPLAIN: HeaderName = HeaderName::from_static("x-hale-explain");

/// What was read from the request.
struct Wanted {
    operation: Operation,
    peek: Peek,
    model: Box<str>,
    controls: Controls,
    /// Whether the client sees a stream's usage.
    wants_usage: bool,
    /// Whether the answer says which way it took.
    explain: bool,
    /// Whether the answer shows the errors that were met on the way.
    include_errors: bool,
    /// What the client's headers say about its Anthropic format.
    dialect: Dialect,
    /// Bytes that are held as long as the request may be sent again.
    _held: Held,
}

/// Serves a request for a model. `path_model` is the name in the path, which wins over the body's.
pub(super) async fn run(
    arrival: Arrival,
    operation: Operation,
    path_model: Option<Box<str>>,
    head: Parts,
    incoming: Incoming,
) -> Response<Reply> {
    let mut finish = Finish::begin(&arrival, operation);
    let wanted = match want(&arrival, operation, path_model, &head, incoming, &mut finish).await {
        Ok(wanted) => wanted,
        Err(refusal) => return refuse(&arrival, finish, refusal),
    };
    let snapshot = &arrival.serving.snapshot;
    // The body may have taken its time.
    let now = clock::now().millis();
    let controls = wanted.controls.clone();
    let walk = match resolve(snapshot, &wanted.model) {
        Resolved::Target(target) => Walk::new(snapshot, target, controls, now),
        Resolved::Unknown(nearest) => match Walk::for_unknown(snapshot, controls, now) {
            Some(walk) => walk,
            None => {
                let refusal = explain::unknown_model(head.uri.path(), &wanted.model, &nearest);
                return refuse(&arrival, finish, refusal);
            }
        },
    };
    follow(arrival, wanted, walk, finish).await
}

/// Reads and checks what the client wants.
async fn want(
    arrival: &Arrival,
    operation: Operation,
    path_model: Option<Box<str>>,
    head: &Parts,
    incoming: Incoming,
    finish: &mut Finish,
) -> Result<Wanted, Refusal> {
    let mut held = Held::none(&arrival.worker.process);
    finish.wait_begins(clock::recent());
    let body = body::read(arrival, &head.headers, incoming, &mut held).await;
    finish.wait_ends(clock::now());
    let body = body?;
    finish.note(|record| record.request_bytes = body.len() as u64);
    let peek = Peek::parse(body).map_err(|error| explain::bad_body(&error))?;
    let bad = |error| explain::bad_body(&error);
    let route = head.uri.path();
    let model = match path_model {
        Some(model) => model,
        None => match peek.string("model").map_err(bad)? {
            Some(model) => Box::from(&*model),
            None => return Err(explain::missing_parameter(route, "model")),
        },
    };
    if model.is_empty() || model.len() > 1024 || model.chars().any(char::is_control) {
        return Err(explain::odd_model_name());
    }
    finish.note(|record| record.requested_model = Some(cut(arrival, &model)));
    if let Some(field) = peek.holds(&FORBIDDEN).next() {
        return Err(explain::forbidden_parameter(field));
    }
    check_content(operation, &peek, route)?;
    let stream = operation.streams() && peek.boolean("stream").map_err(bad)?.unwrap_or(false);
    let wants_usage = stream
        && (peek.wants_usage().map_err(bad)?
            || arrival.serving.snapshot.gateway.always_include_stream_usage);
    finish.note(|record| record.stream = stream);
    let controls = all_controls(arrival, &peek, &head.headers, operation.format(), stream)?;
    let explain = wants_explanation(&head.headers)?;
    let include_errors = peek.has_controls()
        && peek.boolean("include_fallback_errors").map_err(bad)?.unwrap_or(false);
    let dialect = match operation.format() {
        WireFormat::OpenAi => Dialect::default(),
        WireFormat::Anthropic => Dialect {
            betas: betas(head.headers.get_all(BETA).iter()),
            version: head.headers.get(VERSION).cloned(),
        },
    };
    Ok(Wanted {
        operation,
        peek,
        model,
        controls,
        wants_usage,
        explain,
        include_errors,
        dialect,
        _held: held,
    })
}

/// The fields without which the operation makes no sense.
fn check_content(operation: Operation, peek: &Peek, route: &str) -> Result<(), Refusal> {
    for field in operation.required_fields() {
        if !peek.is_set(field) {
            return Err(explain::missing_parameter(route, field));
        }
        if *field == "messages" && !peek.is_filled_list(field) {
            return Err(explain::wrong_list(field));
        }
    }
    Ok(())
}

/// What headers and body ask of the routing.
pub(super) fn all_controls(
    arrival: &Arrival,
    peek: &Peek,
    headers: &HeaderMap,
    format: WireFormat,
    stream: bool,
) -> Result<Controls, Refusal> {
    let mut controls = controls(peek, headers, stream)?;
    inspect(arrival, peek, headers, format, &mut controls)?;
    Ok(controls)
}

fn controls(peek: &Peek, headers: &HeaderMap, stream: bool) -> Result<Controls, Refusal> {
    let mut controls = header_controls(headers)?;
    controls.stream = stream;
    if !peek.has_controls() {
        return Ok(controls);
    }
    let bad = |error| explain::bad_body(&error);
    let timeout = match peek.seconds("timeout").map_err(bad)? {
        Some(ms) => Some(ms),
        None => peek.seconds("request_timeout").map_err(bad)?,
    };
    Ok(Controls {
        stream,
        num_retries: controls.num_retries.or(peek.count("num_retries").map_err(bad)?),
        timeout_ms: controls.timeout_ms.or(timeout),
        stream_timeout_ms: controls
            .stream_timeout_ms
            .or(peek.seconds("stream_timeout").map_err(bad)?),
        fallbacks: controls::fallbacks(peek, "fallbacks").map_err(bad)?,
        context_window_fallbacks: controls::fallbacks(peek, "context_window_fallbacks")
            .map_err(bad)?,
        content_policy_fallbacks: controls::fallbacks(peek, "content_policy_fallbacks")
            .map_err(bad)?,
        disable_fallbacks: peek.boolean("disable_fallbacks").map_err(bad)?.unwrap_or(false),
        max_fallbacks: peek.count("max_fallbacks").map_err(bad)?,
        ..Controls::default()
    })
}

/// Reads what of the request decides where it may go, where the config makes it matter.
fn inspect(
    arrival: &Arrival,
    peek: &Peek,
    headers: &HeaderMap,
    format: WireFormat,
    controls: &mut Controls,
) -> Result<(), Refusal> {
    let inspects = arrival.serving.snapshot.inspects;
    if inspects.needs || inspects.length {
        controls.needs = controls::needs(peek, format, inspects.length);
    }
    if !inspects.tags {
        return Ok(());
    }
    let mut wish = TagWish::default();
    for value in headers.get_all(&TAGS) {
        let text = value.to_str().map_err(|_| explain::bad_header(&TAGS, "plain text"))?;
        text.split(',').for_each(|tag| wish.add(tag));
    }
    controls::tags(peek, &mut wish).map_err(|error| explain::bad_body(&error))?;
    let agent = headers.get(http::header::USER_AGENT).and_then(|value| value.to_str().ok());
    wish.user_agent = agent.unwrap_or_default().into();
    controls.tags = Some(Box::new(wish));
    Ok(())
}

fn wants_explanation(headers: &HeaderMap) -> Result<bool, Refusal> {
    match headers.get(&EXPLAIN).map(http::HeaderValue::as_bytes) {
        None | Some(b"0" | b"false") => Ok(false),
        Some(b"1" | b"true") => Ok(true),
        Some(_) => Err(explain::bad_header(&EXPLAIN, "1 or 0")),
    }
}

/// What the headers ask of the routing; they win over the body.
fn header_controls(headers: &HeaderMap) -> Result<Controls, Refusal> {
    let header = |name: &HeaderName| match headers.get(name) {
        None => Ok(None),
        Some(value) => {
            value.to_str().map(Some).map_err(|_| explain::bad_header(name, "plain text"))
        }
    };
    let header_seconds = |name: &HeaderName| match header(name)? {
        None => Ok(None),
        Some(text) => seconds_to_ms(text)
            .map(Some)
            .ok_or_else(|| explain::bad_header(name, "a number of seconds above 0, at most 86400")),
    };
    let header_retries = match header(&NUM_RETRIES)? {
        None => None,
        Some(text) => {
            Some(text.trim().parse().ok().filter(|n| *n <= 1000).ok_or_else(|| {
                explain::bad_header(&NUM_RETRIES, "a whole number from 0 to 1000")
            })?)
        }
    };
    Ok(Controls {
        num_retries: header_retries,
        timeout_ms: header_seconds(&TIMEOUT)?,
        stream_timeout_ms: header_seconds(&STREAM_TIMEOUT)?,
        ..Controls::default()
    })
}

/// Follows the walk to an answer or to its end.
async fn follow(
    arrival: Arrival,
    wanted: Wanted,
    mut walk: Walk,
    mut finish: Finish,
) -> Response<Reply> {
    let serving = arrival.serving.clone();
    let snapshot = &serving.snapshot;
    let request = fastrand::u64(..);
    let mut errors: Vec<ProviderError> = Vec::new();
    loop {
        let began = clock::now();
        match walk.next(snapshot, began.millis(), fastrand::u64(..)) {
            Next::Pause(ms) => {
                finish.wait_begins(began);
                tokio::time::sleep(std::time::Duration::from_millis(ms)).await;
                finish.wait_ends(clock::now());
            }
            Next::GiveUp(why) => {
                let refusal = give_up(&arrival, &wanted, &walk, why, &errors);
                note_group(&arrival, &walk, &mut finish);
                let mut response = refuse(&arrival, finish, refusal);
                if wanted.explain {
                    answer_headers::route(response.headers_mut(), snapshot, &walk, None);
                }
                return response;
            }
            Next::Attempt(plan) => {
                let Some(guard) = begin(snapshot, &walk, &plan, request) else { continue };
                note_attempt(&arrival, &walk, &plan, &mut finish);
                let result = try_once(&arrival, &wanted, &walk, &plan, guard, &mut finish).await;
                let ended = clock::recent();
                match result {
                    Ok(answered) => {
                        let mut response = deliver(&arrival, &walk, &plan, answered, finish);
                        if wanted.explain {
                            let headers = response.headers_mut();
                            answer_headers::route(headers, snapshot, &walk, Some(&plan));
                        }
                        if wanted.include_errors {
                            answer_headers::errors(response.headers_mut(), &walk, &errors);
                        }
                        return response;
                    }
                    Err(failed) => {
                        let tried = Tried {
                            group: walk.target().name(snapshot).into(),
                            deployment: plan.deployment,
                            status: failed.status,
                            cause: failed.cause,
                            message: failed.error.message.as_str().into(),
                            ms: ended.since(began) / 1000,
                            hint_ms: failed.hint_ms,
                        };
                        errors.push(failed.error);
                        let chance = fastrand::u64(..);
                        walk.failed(snapshot, tried, plan.trial, ended.millis(), chance);
                    }
                }
            }
        }
    }
}

/// Takes the attempt's place at its deployment; `None` when another request was faster.
fn begin(
    snapshot: &Snapshot,
    walk: &Walk,
    plan: &AttemptPlan,
    request: u64,
) -> Option<AttemptGuard> {
    let deployment = snapshot.deployment(plan.deployment);
    let model = match &walk.target().wildcard_name {
        Some(_) => walk.target().upstream_model(snapshot, deployment).into(),
        None => Box::default(),
    };
    let around = walk.surroundings(snapshot, plan);
    AttemptGuard::enter(deployment, plan, around, request, model)
}

/// The attempt that `plan` asks for.
async fn try_once(
    arrival: &Arrival,
    wanted: &Wanted,
    walk: &Walk,
    plan: &AttemptPlan,
    guard: AttemptGuard,
    finish: &mut Finish,
) -> Result<Answered, Failed> {
    let snapshot = &arrival.serving.snapshot;
    let deployment = snapshot.deployment(plan.deployment);
    let shown = shown_model(arrival, wanted, walk);
    let upstream_model = walk.target().upstream_model(snapshot, deployment);
    let order = Order {
        deployment,
        operation: wanted.operation,
        upstream_model: &upstream_model,
        ask_usage: wanted.controls.stream,
        drop_params: snapshot.gateway.drop_params,
    };
    let changed = walk.overrides().and_then(|place| controls::overridden(&wanted.peek, place));
    let way = Way { operation: wanted.operation, wire: order.wire() };
    let ask = Ask {
        worker: &arrival.worker,
        serving: &arrival.serving,
        way,
        upstream_model: &upstream_model,
        outgoing: outgoing(changed.as_ref().unwrap_or(&wanted.peek), &order),
        dialect: &wanted.dialect,
        stream: wanted.controls.stream,
        view: View {
            model_json: json_string(&shown).into(),
            show_usage: wanted.wants_usage,
            created: if way.translates() { clock::unix_ms() / 1000 } else { 0 },
        },
        model: &shown,
        call_id: &arrival.call_id,
        admin: arrival.access == Access::Admin,
        policy_moves_on: walk.has_policy_fallback(snapshot),
    };
    finish.wait_begins(clock::now());
    let result = attempt(&ask, plan, guard).await;
    finish.wait_ends(clock::now());
    result
}

/// The model's name in the answer: what the client asked for, or the fallback group's.
fn shown_model<'a>(arrival: &'a Arrival, wanted: &'a Wanted, walk: &'a Walk) -> Cow<'a, str> {
    if walk.fallbacks() == 0 {
        Cow::Borrowed(&wanted.model)
    } else {
        Cow::Borrowed(walk.target().name(&arrival.serving.snapshot))
    }
}

/// Puts down who is asked, before it is: the client may leave while it waits.
fn note_attempt(arrival: &Arrival, walk: &Walk, plan: &AttemptPlan, finish: &mut Finish) {
    note_group(arrival, walk, finish);
    let deployment = arrival.serving.snapshot.deployment(plan.deployment);
    finish.note(|record| record.deployment = Some(deployment.id.clone()));
}

fn note_group(arrival: &Arrival, walk: &Walk, finish: &mut Finish) {
    finish.in_group(arrival.serving.group(walk.target().group));
    finish.note(|record| {
        record.model_group = Some(match &walk.target().wildcard_name {
            Some(name) => Arc::from(&**name),
            None => arrival.serving.snapshot.group(walk.target().group).name.clone(),
        });
        record.retries = walk.retries();
        record.fallbacks = walk.fallbacks();
    });
}

fn deliver(
    arrival: &Arrival,
    walk: &Walk,
    plan: &AttemptPlan,
    mut answered: Answered,
    mut finish: Finish,
) -> Response<Reply> {
    let deployment = answered.guard.deployment().clone();
    let now = clock::recent();
    match answered.content {
        Content::Full(body, usage, held) => {
            let cost = usage.and_then(|usage| finish.usage(&deployment, usage));
            finish.note(|record| record.response_bytes = body.len() as u64);
            finish.end(Ending::Success, 200, None);
            let mut response = Response::new(Reply::full(body).holding(held));
            *response.headers_mut() =
                answer_headers::common(arrival, walk, plan, finish.times(now));
            let headers = response.headers_mut();
            answer_headers::cost(headers, cost);
            answer_headers::upstream(headers, &answered.headers);
            response
        }
        Content::Stream(stream) => {
            finish.first_content(now);
            answered.guard.has_content();
            let times = finish.times(now);
            let relay = Relay::new(*stream, answered.guard, finish, plan);
            let mut response = Response::new(Reply::stream(relay));
            *response.headers_mut() = answer_headers::common(arrival, walk, plan, times);
            let headers = response.headers_mut();
            answer_headers::events(headers);
            answer_headers::upstream(headers, &answered.headers);
            response
        }
    }
}

fn give_up(
    arrival: &Arrival,
    wanted: &Wanted,
    walk: &Walk,
    why: GiveUp,
    errors: &[ProviderError],
) -> Refusal {
    let snapshot = &arrival.serving.snapshot;
    let now = clock::now().millis();
    match why {
        GiveUp::Refused(refused) => {
            let tags = wanted.controls.tags.as_deref().map_or(&[][..], |wish| &wish.any);
            explain::refused(snapshot, &refused, tags, now)
        }
        GiveUp::Deadline => {
            explain::deadline(snapshot, walk, walk.deadline().since(walk.started()))
        }
        GiveUp::Exhausted => explain::exhausted(snapshot, walk, errors),
    }
}

fn refuse(arrival: &Arrival, mut finish: Finish, refusal: Refusal) -> Response<Reply> {
    let ending =
        if refusal.cause == Cause::ClientClosed { Ending::ClientClosed } else { Ending::Error };
    finish.end(ending, refusal.status.as_u16(), Some(refusal.cause));
    let format = finish.operation().format();
    reply::with_call_id(refusal.into_response(format), &arrival.call_id)
}

/// A model's name as records keep it: shared where it is a group's, else cut to 200 characters.
fn cut(arrival: &Arrival, name: &str) -> Arc<str> {
    let snapshot = &arrival.serving.snapshot;
    match snapshot.by_name.get(name) {
        Some(group) => snapshot.group(*group).name.clone(),
        None => name.chars().take(200).collect::<String>().into(),
    }
}
