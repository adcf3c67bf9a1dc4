//! One attempt: one call to one deployment.
//!
//! Called by [`super::exchange`] for first attempts, retries and fallbacks, and by the prober for probes,
//! the provider's list of models included. Always true: no deployment is called by other code; `core` alone
//! classifies the outcome; a failure is reported to the deployment's state here, a success by the owner of
//! the answer.

mod answer;
mod bytes;
mod call;
mod canned;
mod error_body;
mod failed;
mod first_content;
mod full_answer;
mod headers;
mod model_list;
mod passed;
mod portions;
mod socket;
mod stream_room;

use std::sync::atomic::Ordering;

use hale_core::cause::Cause;
use hale_core::health::outcome::{About, Lacking, Observation};
use hale_core::health::{Evidence, Lack};
use hale_core::operation::{self, Operation};
use hale_core::provider::Called;
use hale_core::route::SetBy;
use hale_wire::neutral::Unfit;
use hale_wire::payload::Payload;
use hale_wire::prepare::{Conversion, Prepared};
use hale_wire::token_count::Count;
use http::{HeaderMap, Method, StatusCode, header};
use std::borrow::Cow;
use tokio::sync::Semaphore;

pub(crate) use self::answer::{Answered, Content, Source, Stream};
pub(crate) use self::call::{
    AnswerForm, Attempt, Audience, Behind, Call, Destination, Expect, OperationCall, PolicyStop,
    Scope, TimeLimit, Unprepared,
};
use self::error_body::{Addressed, is_encoded, refused};
pub(crate) use self::failed::{ANSWER_TOO_LARGE, Failed, note_learned};
pub(crate) use self::first_content::{END_MAX_MS, Framed};
pub(crate) use self::model_list::expect_list;
pub(crate) use self::stream_room::StreamRoom;
use super::attempt_guard::AttemptGuard;
use crate::clock::{self, seconds};
use crate::limits::Held;
use crate::said;
use crate::upstream::{Answer, AnswerBody, PathCall, Reuse, Transfer, UpstreamRequest};

/// Limits how many token counts run at one time in this process.
static COUNTING: Semaphore = Semaphore::const_new(2);

/// An accepted answer.
struct Accepted {
    headers: HeaderMap,
    content: Content,
}

impl Attempt<'_> {
    /// Makes the attempt within the plan's time limit.
    ///
    /// # Errors
    /// Why there is no good answer. It has been reported to the deployment's state.
    pub(crate) async fn run(&self, mut guard: AttemptGuard) -> Result<Answered, Failed> {
        let ends = clock::timer_instant(self.limit.ends);
        let result = match tokio::time::timeout_at(ends, self.answer(&guard)).await {
            Ok(result) => result,
            Err(_late) => Err(self.late()),
        };
        match result {
            Ok(Accepted { headers, content }) => {
                Ok(Answered { headers, content, guard, notes: self.call.notes().cloned() })
            }
            Err(mut failed) => {
                self.destination.deployment.hide_credentials(&mut failed.error);
                self.learn(&mut failed, &guard);
                if failed.cause.blames_deployment() && guard.is_traffic() {
                    said::note(&guard.deployment().id, failed.cause, &failed.error.message);
                }
                guard.failure(failed.failure());
                Err(failed)
            }
        }
    }

    /// Remembers what the deployment says that it lacks, and finds out whose fault a 400 in unknown words is.
    fn learn(&self, failed: &mut Failed, guard: &AttemptGuard) {
        let Call::Operation(call) = &self.call else { return };
        let deployment = self.destination.deployment;
        let snapshot = &self.scope.serving.snapshot;
        let now = clock::now().millis();
        if call.conversion.operation == Operation::CountTokens {
            failed.is_of_a_count(deployment.endpoint.provider.wire);
        }
        let lack = match failed.about {
            About::Lacking(Lacking::Operation) => Lack::Operation(call.conversion.operation),
            About::Lacking(Lacking::Need(need)) => {
                self.scope.serving.reads_needs.store(true, Ordering::Relaxed);
                Lack::Need(need)
            }
            About::Unclear if guard.is_traffic() => {
                if snapshot.refuses_alone(deployment.index, now) {
                    failed.cause = Cause::BadResponse;
                }
                return;
            }
            About::Unclear | About::Address | About::Whole | About::Lacking(Lacking::Unnamed) => {
                return;
            }
        };
        let is_one_of_many = deployment.endpoint.upstream_model.contains('*');
        let model = if is_one_of_many { &*self.destination.model } else { "" };
        deployment.apply(now, &Evidence::Lacks { lack, model });
        tracing::info!(
            deployment = &*deployment.display.name,
            model,
            ?lack,
            "a deployment lacks something"
        );
    }

    /// The failure when no answer came in time.
    fn late(&self) -> Failed {
        if self.limit.set_by == SetBy::Client {
            let message = "no answer within the time that the client allows; allow more with \
                           `stream_timeout` or `timeout`";
            return Failed::because(&Observation::ClientDeadline, None, message.to_owned());
        }
        let message = format!("no answer within {} s", seconds(self.limit.timeout_ms));
        Failed::because(&Observation::Timeout, None, message)
            .at(Some(self.progress.stage().obstacle()))
    }

    async fn answer(&self, guard: &AttemptGuard) -> Result<Accepted, Failed> {
        let call = match &self.call {
            Call::ModelList => return self.ask_for_models().await,
            Call::Operation(call) => call,
        };
        if let Some(simulated) = call.simulated {
            let content = canned::simulate(self.scope, call, simulated).await?;
            return Ok(Accepted { headers: HeaderMap::new(), content });
        }
        match &call.prepared {
            Ok(Prepared::Body(called, body, _)) => match &self.destination.deployment.endpoint.mock
            {
                Some(canned) => {
                    let content =
                        canned::answer(self.scope, call, called.operation, canned).await?;
                    Ok(Accepted { headers: HeaderMap::new(), content })
                }
                None => self.ask(guard, call, *called, body).await,
            },
            Ok(Prepared::Several(called, portions, _)) => {
                Box::pin(self.ask_in_portions((guard, call), *called, portions)).await
            }
            Ok(Prepared::Estimate(answer)) => Ok(self.own_answer(answer.clone())),
            Ok(Prepared::Count(count)) => Ok(self.own_answer(counted(count).await)),
            // The exchange fetches before it attempts, and a probe has no addresses.
            Ok(Prepared::Fetch(_)) => {
                let why = "what it names by address was not fetched";
                Err(Failed::unfit(&Unfit::malformed("messages", why)))
            }
            Err(why) => Err(Failed::unprepared(why)),
        }
    }

    /// An answer that the gateway makes itself; no upstream is called.
    fn own_answer(&self, answer: ::bytes::Bytes) -> Accepted {
        let held = Held::none(&self.scope.process.buffered);
        let content = Content::Full(answer, None, held);
        Accepted { headers: HeaderMap::new(), content }
    }

    /// Calls an operation of the provider.
    async fn ask(
        &self,
        guard: &AttemptGuard,
        call: &OperationCall<'_>,
        called: Called,
        body: &Payload,
    ) -> Result<Accepted, Failed> {
        let operation = called.operation;
        let called = match operation.switches() {
            true => Called { edition: call.dialect.handshake.edition(), ..called },
            false => called,
        };
        let target = self.destination.target;
        let key = operation.switches().then(socket::key);
        let mut more = headers::of_request(call, target, body.content_type.as_ref());
        more.extend(key.iter().flat_map(|key| call.dialect.handshake.headers(key)));
        let path = match call.passed {
            Some(passed) => Cow::Owned(target.path_below(&passed.path, &passed.query)),
            None => target.path(PathCall {
                called,
                transfer: if call.wants_events() { Transfer::Streamed } else { Transfer::Whole },
                model: &self.destination.model,
                object: call.object,
            }),
        };
        let method = call.passed.map_or_else(|| method(operation), |it| it.method.clone());
        let mut request = UpstreamRequest {
            method: &method,
            path: &path,
            headers: &target.headers,
            more,
            body,
            reuse: if call.runs_once(operation) { Reuse::Never } else { Reuse::Allowed },
            granted: None,
        };
        let asked = Asked { call, operation, key };
        let answered = match target.send(&mut request, self.progress).await {
            Ok(answer) => {
                if answer.status.is_success() || answer.status == StatusCode::SWITCHING_PROTOCOLS {
                    guard.is_let_in();
                }
                self.judge(&asked, answer).await
            }
            Err(error) => Err(Failed::unanswered(error, self.scope.audience)),
        };
        match answered {
            Err(mut failed) => {
                request.hide_in(&mut failed.error);
                Err(failed)
            }
            Ok(mut accepted) => {
                if let Content::Stream(stream) = &mut accepted.content {
                    stream.token = request.granted;
                }
                Ok(accepted)
            }
        }
    }

    /// Fetches the provider's list of models.
    async fn ask_for_models(&self) -> Result<Accepted, Failed> {
        let target = self.destination.target;
        let accept = http::HeaderValue::from_static("application/json");
        let mut request = UpstreamRequest {
            method: &Method::GET,
            path: &target.models_path(),
            headers: &target.headers,
            more: vec![(header::ACCEPT, accept)],
            body: &Payload::default(),
            reuse: Reuse::Allowed,
            granted: None,
        };
        let answer = match target.send(&mut request, self.progress).await {
            Ok(answer) => answer,
            Err(error) => return Err(Failed::unanswered(error, self.scope.audience)),
        };
        if answer.status.is_success() {
            let list = model_list::read(answer.body).await;
            return Ok(self.own_answer(list));
        }
        let mut failed = refused(answer, Addressed::Model).await;
        request.hide_in(&mut failed.error);
        Err(failed)
    }

    /// Accepts the answer if it is what the call expects.
    async fn judge(&self, asked: &Asked<'_>, answer: Answer) -> Result<Accepted, Failed> {
        let (call, status) = (asked.call, answer.status);
        if call.passed.is_some() {
            return passed::judge(call, answer).await;
        }
        if let Some(key) = &asked.key
            && (status.is_success() || status == StatusCode::SWITCHING_PROTOCOLS)
        {
            let (socket, headers) = socket::switched(call, key, answer)?;
            return Ok(Accepted { headers, content: Content::Socket(Box::new(socket)) });
        }
        if !status.is_success() {
            let addressed = if asked.operation.is_by_id() {
                Addressed::StoredObject
            } else if call.conversion.operation.is_estimable() {
                Addressed::OnTheSide
            } else {
                Addressed::Model
            };
            return Err(refused(answer, addressed).await);
        }
        if status != StatusCode::OK && status != StatusCode::CREATED {
            let message = format!("the upstream answered {status}, which has no content");
            let status = Some(status.as_u16());
            return Err(Failed::because(&Observation::Malformed, status, message));
        }
        let Answer { headers, mut body, .. } = answer;
        if is_encoded(&headers) {
            let message =
                "the answer is compressed in a way that is not known, which was not asked for";
            return Err(Failed::malformed(message.to_owned()));
        }
        let framed = framed(&headers);
        let content = if asked.operation.answers_bytes() {
            Content::Stream(Box::new(bytes::read(call, &headers, body).await?))
        } else if call.wants_events()
            && (framed.is_some() || holds_events(&mut body, call.conversion).await?)
        {
            let source = Source::Upstream(Box::new(body));
            let framed = framed.unwrap_or_default();
            Content::Stream(Box::new(
                first_content::read(self.scope, call, (source, framed)).await?,
            ))
        } else {
            full_answer::read(self.scope, call, (&headers, body)).await?
        };
        Ok(Accepted { headers, content })
    }
}

/// The facts of a sent request that its answer is judged by.
struct Asked<'a> {
    call: &'a OperationCall<'a>,
    /// The provider's operation.
    operation: Operation,
    /// The key of its WebSocket handshake.
    key: Option<String>,
}

/// Counts on a thread of its own: a worker has other requests to serve meanwhile.
async fn counted(count: &Count) -> ::bytes::Bytes {
    let job = count.clone();
    let Ok(_turn) = COUNTING.acquire().await else { return count.estimate() };
    let counted = tokio::task::spawn_blocking(move || job.answer()).await;
    counted.unwrap_or_else(|_panic| count.estimate())
}

fn method(operation: Operation) -> Method {
    match operation.method() {
        operation::Method::Get => Method::GET,
        operation::Method::Post => Method::POST,
        operation::Method::Delete => Method::DELETE,
    }
}

/// Whether a body begins as a stream of events does, whatever its label says. It stays whole.
async fn holds_events(body: &mut AnswerBody, conversion: Conversion) -> Result<bool, Failed> {
    let mut start = ::bytes::Bytes::new();
    let is_events = loop {
        if let Some(is_events) = conversion.begins_as_events(&start) {
            break is_events;
        }
        match body.piece().await {
            Some(Ok(piece)) if start.is_empty() => start = piece,
            Some(Ok(piece)) => start = [start, piece].concat().into(),
            Some(Err(error)) => {
                return Err(Failed::of_body(&error, "the answer was cut before its end"));
            }
            None => break false,
        }
    };
    body.put_back(start);
    Ok(is_events)
}

/// How the label of an answer says that it is a stream of events; `None` if it does not.
fn framed(headers: &HeaderMap) -> Option<Framed> {
    // The case of a type means nothing (RFC 9110, section 8.3.1).
    let value = headers.get(header::CONTENT_TYPE)?;
    let kind = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    if kind.eq_ignore_ascii_case(b"text/event-stream") {
        return Some(Framed::AsEvents);
    }
    kind.eq_ignore_ascii_case(headers::FRAMES.as_bytes()).then_some(Framed::InFrames)
}
