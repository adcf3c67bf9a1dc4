//! A request for a model: body, name, the walk from attempt to attempt, the answer.
//!
//! Called by the pipeline for every endpoint that goes to an upstream. Always true: nothing reaches
//! the client before an attempt has succeeded (a stream: has content), and what to try next is the
//! walk's decision alone.

use std::borrow::Cow;
use std::sync::Arc;

use hale_core::cause::Cause;
use hale_core::health::outcome::ProviderError;
use hale_core::operation::Operation;
use hale_core::record::Ending;
use hale_core::route::{AttemptPlan, Controls, GiveUp, Next, Resolved, Tried, Walk, resolve};
use hale_core::snapshot::Snapshot;
use hale_core::usage::Units;
use hale_wire::controls;
use hale_wire::edit::json_string;
use hale_wire::id::Issuer;
use hale_wire::modes;
use hale_wire::order::Order;
use hale_wire::peek::{FORBIDDEN, Peek};
use hale_wire::stream::View;
use hale_wire::way::{Outgoing, Way, outgoing};
use http::request::Parts;
use http::{Response, StatusCode, header};
use hyper::body::Incoming;

use super::answer_headers;
use super::attempt::{Answered, Ask, Content, Failed, attempt};
use super::content;
use super::explain::{self, Refusal};
use super::finish::Finish;
use super::guard::AttemptGuard;
use super::handshake::{self, Handshake};
use super::kept::{self, Kept};
use super::relay::Relay;
use super::request::Dialect;
use super::tunnel::Tunnel;
use crate::arrival::Arrival;
use crate::clock;
use crate::http::auth::Access;
use crate::http::body::{self, Held};
use crate::http::reply::{self, Reply};
use crate::upstream::ObjectPath;

/// What was read from the request.
struct Wanted {
    operation: Operation,
    /// What is charged for besides tokens, as far as the request says.
    asked: Units,
    /// Whether the client wants a text, no JSON.
    plain: bool,
    peek: Peek,
    model: Box<str>,
    /// Whether the client named it.
    is_named: bool,
    /// What some provider keeps that it is about or refers to.
    kept: Option<Kept>,
    /// What of it is asked for, where it is about one.
    object: Option<ObjectPath>,
    controls: Controls,
    /// Whether the client sees a stream's usage.
    wants_usage: bool,
    /// Whether the answer says which way it took.
    explain: bool,
    /// Whether the answer shows the errors that were met on the way.
    include_errors: bool,
    /// What of the client's head goes along.
    dialect: Dialect,
    /// Bytes that are held as long as the request may be sent again.
    _held: Held,
}

/// Serves a request for a model. `path_name` is the name in the path: of a model, which wins over the
/// body's, or the id of a response.
pub(crate) async fn run(
    arrival: Arrival,
    operation: Operation,
    path_name: Option<Box<str>>,
    head: Parts,
    incoming: Incoming,
) -> Response<Reply> {
    let mut finish = Finish::begin(&arrival, operation);
    let wanted = match want(&arrival, operation, path_name, &head, incoming, &mut finish).await {
        Ok(wanted) => wanted,
        Err(refusal) => return refuse(&arrival, finish, refusal),
    };
    let snapshot = &arrival.serving.snapshot;
    // The body may have taken its time.
    let now = clock::now().millis();
    let controls = wanted.controls.clone();
    let kept_target = wanted.kept.as_ref().and_then(|kept| {
        let resolved = if wanted.is_named {
            resolve(snapshot, &wanted.model)
        } else {
            Resolved::Target(kept.target(snapshot))
        };
        match resolved {
            Resolved::Target(target) => Some(kept.pin(snapshot, target)),
            Resolved::Unknown(_) => None,
        }
    });
    let walk = match kept_target {
        Some(Ok(target)) => Walk::new(snapshot, target, controls, now),
        Some(Err(refusal)) => return refuse(&arrival, finish, refusal),
        None => match Walk::named(snapshot, &wanted.model, controls, now) {
            Ok(walk) => walk,
            Err(nearest) => {
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
    path_name: Option<Box<str>>,
    head: &Parts,
    incoming: Incoming,
    finish: &mut Finish,
) -> Result<Wanted, Refusal> {
    let route = head.uri.path();
    let query = head.uri.query().unwrap_or_default();
    let (dialect, path_name) = opening(arrival, operation, path_name, head)?;
    content::check_type(operation, route, &head.headers)?;
    let mut held = Held::none(&arrival.worker.process);
    finish.wait_begins(clock::recent());
    let body = body::read(arrival, &head.headers, incoming, &mut held).await;
    finish.wait_ends(clock::now());
    let body = body?;
    finish.note(|record| record.request_bytes = body.len() as u64);
    let peek = content::read(operation, &head.headers, body)?;
    let bad = |error| explain::bad_body(&error);
    let kept = Kept::of(arrival, operation, path_name.as_deref(), &peek, query)?;
    let named = match operation.is_of_files() {
        true if operation.is_by_id() => None,
        true => content::account_model(&arrival.serving.snapshot, operation, &peek, head)?,
        false if operation.is_by_id() => None,
        false => Some(content::model(operation, route, path_name, &peek)?),
    };
    let (model, is_named) = match (named, &kept) {
        (Some(model), _) => (model, true),
        (None, Some(kept)) => (kept.shown_model(&arrival.serving.snapshot), false),
        (None, None) => return Err(content::no_account(operation, route, &peek)),
    };
    if is_named {
        finish.note(|record| record.requested_model = Some(cut(arrival, &model)));
    }
    if let Some(field) = peek.holds(&FORBIDDEN).next() {
        return Err(explain::forbidden_parameter(field));
    }
    content::check(operation, &peek, route)?;
    let stream = operation.streams()
        && match operation.is_by_id() {
            true => kept::wants_stream(query),
            false => peek.boolean("stream").map_err(bad)?.unwrap_or(false),
        };
    let wants_usage = stream
        && (peek.wants_usage().map_err(bad)?
            || arrival.serving.snapshot.gateway.always_include_stream_usage);
    // Bytes leave as they come, too.
    let passes = stream || operation.answers_bytes() || operation.switches();
    finish.note(|record| record.stream = passes);
    let mut controls =
        super::controls::all_controls(arrival, operation.format(), &peek, &head.headers, passes)?;
    controls.operation = Some(operation);
    // Nobody else has what it is about, and a file is of use to its own model alone.
    controls.disable_fallbacks |= kept.is_some() || operation.is_of_files();
    let object = match operation.switches() {
        true => handshake::object(query),
        false => kept::object(operation, kept.as_ref(), query),
    };
    let explain = super::controls::wants_explanation(&head.headers)?;
    let include_errors = peek.has_controls()
        && peek.boolean("include_fallback_errors").map_err(bad)?.unwrap_or(false);
    Ok(Wanted {
        operation,
        asked: modes::asked::asked(operation, &peek),
        plain: modes::transcripts::wants_text(operation, &peek),
        peek,
        model,
        is_named,
        kept,
        object,
        controls,
        wants_usage,
        explain,
        include_errors,
        dialect,
        _held: held,
    })
}

/// What of the head goes along, and the name in the path; of a handshake that is the query's.
fn opening(
    arrival: &Arrival,
    operation: Operation,
    path_name: Option<Box<str>>,
    head: &Parts,
) -> Result<(Dialect, Option<Box<str>>), Refusal> {
    let mut dialect = Dialect::of(operation.format(), &head.headers);
    if !operation.switches() {
        return Ok((dialect, path_name));
    }
    dialect.handshake = Handshake::of(head, arrival.access)?;
    Ok((dialect, handshake::model(head.uri.query().unwrap_or_default())?))
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
    walk = walk.numbered(request);
    finish.charge_tags(walk.tag_budgets());
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
                let ignores_checks = walk.ignores_checks(snapshot, began.millis());
                let tried = try_once(&arrival, &wanted, &walk, &plan, request, &mut finish).await;
                let Some(result) = tried else { continue };
                if ignores_checks {
                    arrival.worker.process.health.bypassed(began.millis());
                }
                let ended = clock::recent();
                match result {
                    Ok(answered) => {
                        let mut response =
                            deliver(&arrival, &wanted, &walk, &plan, answered, finish);
                        if ignores_checks {
                            answer_headers::checks_ignored(response.headers_mut());
                        }
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
                        walk.failed(snapshot, tried, plan.trial.is_held(), ended.millis(), chance);
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
    let model = walk.target().model_in_many(snapshot, deployment).into();
    let around = walk.surroundings(snapshot, plan);
    AttemptGuard::enter(deployment, plan, around, request, model)
}

/// The attempt that `plan` asks for; `None` when another request took its place.
async fn try_once(
    arrival: &Arrival,
    wanted: &Wanted,
    walk: &Walk,
    plan: &AttemptPlan,
    request: u64,
    finish: &mut Finish,
) -> Option<Result<Answered, Failed>> {
    let snapshot = &arrival.serving.snapshot;
    let deployment = snapshot.deployment(plan.deployment);
    let shown = shown_model(arrival, wanted, walk);
    let upstream_model = walk.target().upstream_model(snapshot, deployment);
    let order = Order {
        deployment,
        operation: wanted.operation,
        upstream_model: &upstream_model,
        kept: wanted.kept.as_ref().map(|kept| &*kept.id),
        ask_usage: wanted.controls.stream,
        drop_params: snapshot.gateway.drop_params,
    };
    let changed = walk.overrides().and_then(|place| controls::overridden(&wanted.peek, place));
    let way = Way { operation: wanted.operation, wire: order.wire() };
    let ask = Ask {
        process: &arrival.worker.process,
        serving: &arrival.serving,
        way,
        upstream_model: &upstream_model,
        object: wanted.object.as_ref(),
        outgoing: outgoing(changed.as_ref().unwrap_or(&wanted.peek), &order),
        dialect: &wanted.dialect,
        stream: wanted.controls.stream && wanted.operation.streams(),
        asked: wanted.asked,
        plain: wanted.plain,
        view: View {
            // A response of many models keeps the name of its own.
            model_json: if shown.is_empty() { "".into() } else { json_string(&shown).into() },
            show_usage: wanted.wants_usage,
            created: if way.translates() { clock::unix_ms() / 1000 } else { 0 },
            upstream_model: (wanted.operation == Operation::CountPrompt)
                .then(|| Box::from(&*upstream_model)),
            issuer: wanted.operation.kind().map(|_| Issuer {
                key: arrival.serving.ids.clone(),
                deployment: deployment.id.clone(),
            }),
        },
        model: &shown,
        call_id: &arrival.call_id,
        admin: arrival.access == Access::Admin,
        policy_moves_on: walk.has_policy_fallback(snapshot),
    };
    let guard = match &ask.outgoing {
        Ok(Outgoing::Body(called, _)) => {
            let guard = begin(snapshot, walk, plan, request)?;
            // How long files take says nothing about models.
            if called.operation.is_of_files() { guard.unmeasured() } else { guard }
        }
        Ok(Outgoing::Estimate(_) | Outgoing::Count(_)) | Err(_) => {
            AttemptGuard::unasked(deployment, plan, walk.surroundings(snapshot, plan))
        }
    };
    note_attempt(arrival, walk, plan, finish);
    finish.wait_begins(clock::now());
    let result = attempt(&ask, plan, guard).await;
    finish.wait_ends(clock::now());
    Some(result)
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
    wanted: &Wanted,
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
            if wanted.plain {
                answer_headers::text(headers, &answered.headers);
            }
            response
        }
        Content::Stream(stream) => {
            finish.first_content(now);
            answered.guard.has_content();
            let times = finish.times(now);
            let content_type = stream.bytes.as_ref().map(|head| head.content_type.clone());
            let relay = Relay::new(*stream, answered.guard, finish, plan);
            let mut response = Response::new(Reply::stream(relay));
            *response.headers_mut() = answer_headers::common(arrival, walk, plan, times);
            let headers = response.headers_mut();
            match content_type {
                Some(content_type) => {
                    headers.insert(header::CONTENT_TYPE, content_type);
                }
                None => answer_headers::events(headers),
            }
            answer_headers::upstream(headers, &answered.headers);
            response
        }
        Content::Socket(socket) => {
            finish.first_content(now);
            answered.guard.has_content();
            let mut response = Response::new(Reply::empty());
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            *response.headers_mut() =
                answer_headers::common(arrival, walk, plan, finish.times(now));
            let headers = response.headers_mut();
            wanted.dialect.handshake.agree(headers, socket.protocol);
            answer_headers::upstream(headers, &answered.headers);
            let idle_ms = arrival.serving.snapshot.gateway.bounds.websocket_idle_ms;
            let tunnel = Tunnel::new(socket.stream, answered.guard, finish, plan, idle_ms);
            arrival.connection.switch(tunnel);
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
        GiveUp::Exhausted(refused) => explain::exhausted(snapshot, walk, errors, &refused, now),
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
