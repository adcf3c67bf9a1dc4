//! One attempt: one deployment is asked once.
//!
//! Called by [`super::exchange`] for first attempts, retries and fallbacks alike, and by
//! [`crate::prober`] for checks. Always true: the
//! outcome is classified by `core` alone and told to the deployment's state exactly once, be it
//! success, failure or neither (the client went away).

mod binary;
mod look;
mod socket;

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hale_core::cause::Cause;
use hale_core::deployment::MockAnswer;
use hale_core::health::outcome::{Observation, ProviderError, classify};
use hale_core::health::{Failure, Obstacle};
use hale_core::operation::{self, Operation};
use hale_core::provider::Called;
use hale_core::route::AttemptPlan;
use hale_core::secret::Secret;
use hale_core::usage::{Units, Usage};
use hale_wire::answer::{self, Fault};
use hale_wire::modes;
use hale_wire::neutral::Unfit;
use hale_wire::payload::Payload;
use hale_wire::stream::{Reader, View};
use hale_wire::token_count::Count;
use hale_wire::way::{Outgoing, Way};
use hale_wire::{errors, hints, mock};
use http::{HeaderMap, Method, StatusCode, header};
use tokio::sync::Semaphore;

pub(crate) use self::binary::BytesHead;
use self::binary::{bytes_content, words};
pub(crate) use self::look::{expect_list, look};
use super::guard::AttemptGuard;
use super::handshake::Socket;
use super::relay::Source;
use super::request::{self, Dialect};
use crate::clock::{self, seconds};
use crate::http::body::Held;
use crate::state::{Process, Serving};
use crate::upstream::{
    Answer, AnswerBody, ObjectPath, PathCall, SendError, Stage, Target, Transfer, UpstreamRequest,
};

/// Error bodies are read up to here; the rest says nothing more.
const ERROR_BODY_MAX: usize = 64 << 10;

/// How long an error body may take after its head.
const ERROR_BODY_PATIENCE: Duration = Duration::from_secs(2);

/// Counts of tokens that may run at one time in this process.
static COUNTING: Semaphore = Semaphore::const_new(2);

/// What is asked.
pub(crate) struct Ask<'a> {
    /// The process.
    pub(crate) process: &'a Arc<Process>,
    /// The config.
    pub(crate) serving: &'a Serving,
    /// For what, and how the deployment is spoken to.
    pub(crate) way: Way,
    /// The model's name at the provider.
    pub(crate) upstream_model: &'a str,
    /// What it is about, where that is something that the provider keeps.
    pub(crate) object: Option<&'a ObjectPath>,
    /// What goes out, or why nothing can.
    pub(crate) outgoing: Result<Outgoing, Unfit>,
    /// What of the client's head goes along.
    pub(crate) dialect: &'a Dialect,
    /// Whether the answer is to be a stream of events.
    pub(crate) stream: bool,
    /// What the request is charged for besides tokens, as far as it says so itself.
    pub(crate) asked: Units,
    /// Whether the answer is to be a text, no JSON.
    pub(crate) plain: bool,
    /// What of a stream the client sees.
    pub(crate) view: View,
    /// The name that the client asked for.
    pub(crate) model: &'a str,
    /// The request's id.
    pub(crate) call_id: &'a str,
    /// Whether the caller may see addresses.
    pub(crate) admin: bool,
    /// Whether an answer that the provider's policy stopped is a failure: another group may answer.
    pub(crate) policy_moves_on: bool,
}

/// A good answer.
pub(crate) struct Answered {
    /// The upstream's headers.
    pub(crate) headers: HeaderMap,
    /// The content.
    pub(crate) content: Content,
    /// The deployment's state waits for the end of a stream.
    pub(crate) guard: AttemptGuard,
}

/// The content of a good answer.
pub(crate) enum Content {
    /// In one piece, stamped with the client's name for the model, and what it holds of the process's
    /// memory.
    Full(Bytes, Option<Usage>, Held),
    /// A stream whose first content is there.
    Stream(Box<Stream>),
    /// Another protocol, which the upstream has agreed to.
    Socket(Box<Socket>),
}

/// A stream whose first content is there.
pub(crate) struct Stream {
    /// Where more comes from.
    pub(crate) source: Source,
    /// What reads it.
    pub(crate) reader: Reader,
    /// What may go to the client already.
    pub(crate) ready: Vec<u8>,
    /// What was sent in place of a key, never to be shown.
    pub(crate) token: Option<Secret>,
    /// What kind of bytes it is and how many, where it is no stream of events.
    pub(crate) bytes: Option<BytesHead>,
}

/// A failed attempt.
pub(crate) struct Failed {
    /// Why.
    pub(crate) cause: Cause,
    /// The upstream's status, where it answered.
    pub(crate) status: Option<u16>,
    /// What the provider said, or we say.
    pub(crate) error: ProviderError,
    /// The rest that the provider named, milliseconds.
    pub(crate) hint_ms: Option<u64>,
    /// What stood in the way, where no answer came.
    pub(crate) obstacle: Option<Obstacle>,
}

impl Failed {
    fn met(self, obstacle: Option<Obstacle>) -> Failed {
        Failed { obstacle, ..self }
    }

    /// What the deployment's state needs to know.
    pub(crate) fn failure(&self) -> Failure {
        Failure { cause: self.cause, status: self.status, hint_ms: self.hint_ms }
    }

    /// A failure without an error body of the provider's.
    fn because(observation: &Observation<'_>, status: Option<u16>, message: String) -> Failed {
        let error = ProviderError { message, ..ProviderError::default() };
        Failed { cause: classify(observation), status, error, hint_ms: None, obstacle: None }
    }

    /// An error that the provider put into a 2xx answer or a stream.
    pub(crate) fn in_band(error: ProviderError) -> Failed {
        let cause = classify(&Observation::InBand(&error));
        Failed { cause, status: None, error, hint_ms: None, obstacle: None }
    }

    /// A request that can not be said in the provider's format; nobody was asked.
    fn unfit(unfit: &Unfit) -> Failed {
        let message = unfit.message.clone();
        let param = Some(unfit.field.clone());
        let error = ProviderError { message, param, ..ProviderError::default() };
        Failed { cause: Cause::Unsupported, status: None, error, hint_ms: None, obstacle: None }
    }

    /// A stream that ended too early.
    pub(crate) fn cut(message: &str) -> Failed {
        Failed::because(&Observation::Cut, None, message.to_owned())
    }

    /// A stream that fell silent for longer than the config allows, or the client.
    pub(crate) fn stalled(silence_ms: u64, by_caller: bool) -> Failed {
        let seconds = seconds(silence_ms);
        let (observation, message) = if by_caller {
            let message =
                format!("the stream fell silent for the {seconds} s that the client allows");
            (Observation::ClientDeadline, message)
        } else {
            (Observation::Stall, format!("the stream fell silent for {seconds} s"))
        };
        Failed::because(&observation, None, message)
    }

    /// A stream that took longer than the config allows.
    pub(crate) fn too_long() -> Failed {
        let message = "the stream took longer than max_stream_duration".to_owned();
        Failed::because(&Observation::NoRoom, Some(504), message)
    }

    /// A stream that the end of the process cuts.
    pub(crate) fn stopping() -> Failed {
        let message = "the gateway is shutting down and waited for it as long as it may".to_owned();
        Failed::because(&Observation::NoRoom, Some(503), message)
    }

    /// A stream that is no stream of events.
    pub(crate) fn malformed(message: String) -> Failed {
        Failed::because(&Observation::Malformed, None, message)
    }
}

/// Asks the plan's deployment, within the plan's time.
pub(crate) async fn attempt(
    ask: &Ask<'_>,
    plan: &AttemptPlan,
    mut guard: AttemptGuard,
) -> Result<Answered, Failed> {
    let deployment = guard.deployment().clone();
    let stage = Cell::default();
    let asked = async {
        let (called, body) = match &ask.outgoing {
            Ok(Outgoing::Body(called, body)) => (*called, body),
            Ok(Outgoing::Estimate(answer)) => return Ok(own_answer(ask, answer.clone())),
            Ok(Outgoing::Count(count)) => return Ok(own_answer(ask, counted(count).await)),
            Err(unfit) => return Err(Failed::unfit(unfit)),
        };
        match &deployment.endpoint.mock {
            Some(canned) => canned_answer(ask, called.operation, canned).await,
            None => {
                let target = ask.serving.target(plan.deployment);
                upstream_answer(ask, target, called, body, &stage).await
            }
        }
    };
    let result = match tokio::time::timeout_at(clock::timer_instant(plan.ends), asked).await {
        Ok(result) => result,
        Err(_late) if plan.ends_by_caller => Err(Failed::because(
            &Observation::ClientDeadline,
            None,
            "no answer within the time that the client allows; allow more with `stream_timeout` or \
             `timeout`"
                .to_owned(),
        )),
        Err(_late) => Err(Failed::because(
            &Observation::Timeout,
            None,
            format!("no answer within {} s", seconds(plan.timeout_ms)),
        )
        .met(Some(stage.get().obstacle()))),
    };
    match result {
        Ok((headers, content)) => {
            if let Content::Full(_, usage, _) = &content {
                guard.success(*usage);
            }
            Ok(Answered { headers, content, guard })
        }
        Err(mut failed) => {
            deployment.hide_credentials(&mut failed.error);
            guard.failure(failed.failure());
            Err(failed)
        }
    }
}

/// The answer without asking anybody.
fn own_answer(ask: &Ask<'_>, answer: Bytes) -> (HeaderMap, Content) {
    let held = Held::none(ask.process);
    (HeaderMap::new(), Content::Full(answer, None, held))
}

/// Counts on a thread of its own: a worker has other requests to serve meanwhile.
async fn counted(count: &Count) -> Bytes {
    let job = count.clone();
    let Ok(_turn) = COUNTING.acquire().await else { return count.estimate() };
    let counted = tokio::task::spawn_blocking(move || job.answer()).await;
    counted.unwrap_or_else(|_panic| count.estimate())
}

async fn upstream_answer(
    ask: &Ask<'_>,
    target: &Target,
    called: Called,
    body: &Payload,
    stage: &Cell<Stage>,
) -> Result<(HeaderMap, Content), Failed> {
    let upstream = called.operation;
    let key = upstream.switches().then(socket::key);
    let mut more = request::headers(ask, target, body.content_type.as_ref());
    more.extend(key.iter().flat_map(|key| ask.dialect.handshake.headers(key)));
    let transfer = if ask.stream { Transfer::Streamed } else { Transfer::Whole };
    let (model, object) = (ask.upstream_model, ask.object);
    let mut request = UpstreamRequest {
        method: &method(upstream),
        path: &target.path(PathCall { called, transfer, model, object }),
        headers: &target.headers,
        more,
        body,
        granted: None,
    };
    let sent = target.send(&mut request, stage).await;
    let answered = match sent {
        Ok(answer) => judged(ask, upstream, key.as_deref(), answer).await,
        Err(error) => Err(request::unanswered(error, ask.admin)),
    };
    match answered {
        Err(mut failed) => {
            request.hide_in(&mut failed.error);
            Err(failed)
        }
        Ok((headers, Content::Stream(mut stream))) => {
            stream.token = request.granted;
            Ok((headers, Content::Stream(stream)))
        }
        full => full,
    }
}

/// What the answer comes to; `key` is that of a handshake.
async fn judged(
    ask: &Ask<'_>,
    upstream: Operation,
    key: Option<&str>,
    answer: Answer,
) -> Result<(HeaderMap, Content), Failed> {
    let (status, mut headers, body) = (answer.status, answer.headers, answer.body);
    if let Some(key) = key
        && (status.is_success() || status == StatusCode::SWITCHING_PROTOCOLS)
    {
        let socket = socket::switched(ask, key, status, &mut headers, body)?;
        return Ok((headers, Content::Socket(Box::new(socket))));
    }
    if !status.is_success() {
        return Err(refused(upstream, status, &headers, body).await);
    }
    if status != StatusCode::OK && status != StatusCode::CREATED {
        return Err(Failed::because(
            &Observation::Malformed,
            Some(status.as_u16()),
            format!("the upstream answered {status}, which has no content"),
        ));
    }
    if is_encoded(&headers) {
        return Err(Failed::malformed(
            "the answer is compressed, which was not asked for".to_owned(),
        ));
    }
    let content = if upstream.answers_bytes() {
        Content::Stream(Box::new(bytes_content(ask, &headers, body).await?))
    } else if ask.stream && is_event_stream(&headers) {
        Content::Stream(Box::new(first_content(ask, Source::Upstream(Box::new(body))).await?))
    } else {
        full_answer(ask, body).await?
    };
    Ok((headers, content))
}

/// Nothing was answered. The reason names hosts, which are for admins only.
pub(super) fn unsent(error: &SendError, admin: bool) -> Failed {
    let (observation, public) = match error {
        SendError::Dns { .. } => {
            (Observation::Dns, "the host name of the deployment does not resolve")
        }
        SendError::NoDescriptors => {
            (Observation::NoRoom, "the gateway can open no more connections")
        }
        SendError::Connect { .. } => {
            (Observation::Connect, "there is no connection to the deployment")
        }
        SendError::Closed => {
            (Observation::Connect, "the connection was closed before an answer came")
        }
        SendError::Cut => {
            (Observation::Connect, "the connection was closed in the head of the answer")
        }
        SendError::Tls { .. } => (Observation::Tls, "the TLS handshake with the deployment failed"),
        SendError::Protocol(_) => (Observation::Malformed, "the answer is not valid HTTP"),
    };
    tracing::debug!(%error, "an attempt was not answered");
    let message = if admin { error.to_string() } else { public.to_owned() };
    let status = matches!(observation, Observation::NoRoom).then_some(503);
    Failed::because(&observation, status, message).met(error.obstacle())
}

fn method(operation: Operation) -> Method {
    match operation.method() {
        operation::Method::Get => Method::GET,
        operation::Method::Post => Method::POST,
        operation::Method::Delete => Method::DELETE,
    }
}

async fn refused(
    operation: Operation,
    status: StatusCode,
    headers: &HeaderMap,
    body: AnswerBody,
) -> Failed {
    let mut text = words(Vec::new(), body).await;
    if is_encoded(headers) {
        // Nobody asked for it, and compressed bytes are no words.
        text.clear();
    }
    let mut error = errors::parse_provider_error(&text);
    if status.is_redirection() {
        error.message =
            format!("the upstream answered with a redirect ({status}), which is not followed");
    } else if error.message.is_empty() {
        error.message = format!("the upstream answered {status}");
    }
    let observation = match status {
        StatusCode::NOT_FOUND if operation.is_by_id() => Observation::NoSuchObject,
        _ => Observation::Status(status.as_u16(), &error),
    };
    let cause = classify(&observation);
    // What the request itself is to blame for does not pass with time.
    let hint_ms = hints::retry_hint_ms(status.as_u16(), headers, clock::unix_ms())
        .filter(|_| cause.blames_deployment());
    Failed { cause, status: Some(status.as_u16()), error, hint_ms, obstacle: None }
}

fn is_encoded(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity")
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().trim_ascii_start().starts_with(b"text/event-stream"))
}

async fn full_answer(ask: &Ask<'_>, mut body: AnswerBody) -> Result<Content, Failed> {
    let bounds = &ask.serving.snapshot.gateway.bounds;
    let too_large = || {
        let mib = bounds.response_bytes >> 20;
        Failed::malformed(format!("the answer is larger than {mib} MiB (max_response_size_mb)"))
    };
    if body.declared().is_some_and(|length| length > bounds.response_bytes as u64) {
        return Err(too_large());
    }
    let mut held = Held::none(ask.process);
    let mut whole = Bytes::new();
    let mut joined = Vec::new();
    while let Some(piece) = body.piece().await {
        let piece = piece.map_err(|_| Failed::cut("the answer was cut before its end"))?;
        if whole.len() + joined.len() + piece.len() > bounds.response_bytes {
            return Err(too_large());
        }
        if !held.add(piece.len(), bounds.buffered_bytes) {
            let message = "the gateway holds too many bytes at the moment".to_owned();
            let error = ProviderError { message, ..ProviderError::default() };
            return Err(Failed {
                cause: Cause::Gateway,
                status: Some(503),
                error,
                hint_ms: None,
                obstacle: None,
            });
        }
        if whole.is_empty() && joined.is_empty() {
            whole = piece;
        } else {
            if joined.is_empty() {
                joined.extend_from_slice(&whole);
                whole = Bytes::new();
            }
            joined.extend_from_slice(&piece);
        }
    }
    let whole = if joined.is_empty() { whole } else { Bytes::from(joined) };
    check(ask, &whole, held)
}

fn check(ask: &Ask<'_>, whole: &Bytes, held: Held) -> Result<Content, Failed> {
    if ask.plain && !ask.stream {
        return match modes::transcripts::check_text(whole) {
            Ok(()) => Ok(Content::Full(whole.clone(), None, held)),
            Err(fault) => Err(faulty(fault)),
        };
    }
    match answer::check(ask.way, whole, &ask.view) {
        // Models that do not stream what they hear ignore that they should.
        Ok(_) if ask.stream && ask.way.operation != Operation::Transcribe => {
            Err(Failed::malformed(
                "the upstream answered in one piece although a stream was asked for".to_owned(),
            ))
        }
        Ok(_) if ask.policy_moves_on && answer::stopped_by_policy(whole) => {
            let message = "the provider's content filter stopped the answer".to_owned();
            let code = Some("content_filter".to_owned());
            let error = ProviderError { message, code, ..ProviderError::default() };
            Err(Failed {
                cause: Cause::ContentPolicy,
                status: Some(400),
                error,
                hint_ms: None,
                obstacle: None,
            })
        }
        Ok(answer) => Ok(Content::Full(answer.body, charged(ask, answer.usage), held)),
        Err(fault) => Err(faulty(fault)),
    }
}

/// An answer under a good status that is none.
fn faulty(fault: Fault) -> Failed {
    match fault {
        Fault::Malformed(why) => Failed::malformed(format!("the upstream answered 200 with {why}")),
        Fault::Error(error) => Failed::in_band(error),
    }
}

/// What a good answer is charged as: what it says, and what the request said besides.
fn charged(ask: &Ask<'_>, said: Option<Usage>) -> Option<Usage> {
    if !ask.asked.any() {
        return said;
    }
    let said = said.unwrap_or_default();
    // Who reports tokens and no searches charges for those.
    let by_tokens = said.input > 0 && ask.way.operation == Operation::Rerank;
    let units = if by_tokens { said.units } else { said.units.or(ask.asked) };
    Some(Usage { units, ..said })
}

/// Reads a stream up to its first content; until then nothing was promised to the client.
async fn first_content(ask: &Ask<'_>, mut source: Source) -> Result<Stream, Failed> {
    let mut reader = Reader::new(ask.way, ask.view.clone());
    let mut ready = Vec::new();
    loop {
        let piece = std::future::poll_fn(|cx| source.poll_piece(cx)).await;
        let ended = piece.is_none();
        match piece {
            Some(Ok(piece)) => reader
                .push(piece, &mut ready)
                .map_err(|error| Failed::malformed(error.to_string()))?,
            Some(Err(_)) => return Err(Failed::cut("the stream was cut before its first content")),
            None => {
                reader.finish(&mut ready).map_err(|error| Failed::malformed(error.to_string()))?
            }
        }
        if reader.has_content() {
            return Ok(Stream { source, reader, ready, token: None, bytes: None });
        }
        if let Some(error) = reader.error() {
            return Err(Failed::in_band(error.clone()));
        }
        if ended || reader.is_done() {
            return Err(Failed::cut("the stream ended without content"));
        }
        if ready.len() > hale_wire::events::TAIL_MAX {
            return Err(Failed::malformed("the stream goes on and on without content".to_owned()));
        }
    }
}

async fn canned_answer(
    ask: &Ask<'_>,
    upstream: Operation,
    canned: &MockAnswer,
) -> Result<(HeaderMap, Content), Failed> {
    if canned.delay_ms > 0 {
        tokio::time::sleep(Duration::from_millis(canned.delay_ms)).await;
    }
    let frame = mock::Frame { id: ask.call_id, created: clock::unix_ms() / 1000, model: ask.model };
    let unfit = |unfit: mock::Unfit| match unfit {
        mock::Unfit::Failure(status) => {
            let message = format!("`mock_response` stands for a failure with status {status}");
            let error = ProviderError { message, ..ProviderError::default() };
            let cause = classify(&Observation::Status(status, &error));
            Failed { cause, status: Some(status), error, hint_ms: None, obstacle: None }
        }
        mock::Unfit::Mode(why) => {
            let error = ProviderError { message: why.to_owned(), ..ProviderError::default() };
            Failed {
                cause: Cause::BadRequest,
                status: Some(400),
                error,
                hint_ms: None,
                obstacle: None,
            }
        }
    };
    let content = if ask.stream {
        let events = mock::stream(upstream, &canned.content, frame).map_err(unfit)?;
        let source = Source::Canned(Some(Bytes::from(events)));
        Content::Stream(Box::new(first_content(ask, source).await?))
    } else {
        let body = mock::full(upstream, &canned.content, frame).map_err(unfit)?;
        check(ask, &Bytes::from(body), Held::none(ask.process))?
    };
    Ok((HeaderMap::new(), content))
}
