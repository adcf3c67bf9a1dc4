//! What clients are told when they get no answer: the cause and the remedy, in the client's format.
//!
//! Called by every step of the pipeline. Always true: no secret and no upstream address is in here;
//! every refusal has a `reason` for machines.

mod excluded;
mod refused;
mod websocket;

use hale_core::cause::Cause;
use hale_core::deployment::Deployment;
use hale_core::health::outcome::ProviderError;
use hale_core::operation::Kind;
use hale_core::provider::WireFormat;
use hale_core::route::{Refused, Tried, Walk};
use hale_core::snapshot::Snapshot;
use hale_core::time::Millis;
use hale_wire::errors::{self, AttemptLine, ErrorReply, clean, kind_of};
use hale_wire::form::FormError;
use hale_wire::peek::PeekError;
use hale_wire::websocket::VERSION;
use http::{HeaderName, HeaderValue, Method, Response, StatusCode, header};

pub(crate) use self::excluded::{line, unix_s};
pub(crate) use self::refused::{diagnosis, refused};
pub(super) use self::websocket::{
    bad_websocket_key, foreign_origin, no_upgrade, wrong_websocket_version,
};
use super::attempt::Failed;
use crate::advice;
use crate::clock::seconds;
use crate::http::reply::{self, Reply};

/// Entries of `deployments` and `attempts`. Source: the contract, section 6.
const LINES_MAX: usize = 20;
/// Characters of an entry's text.
const LINE_MAX: usize = 300;

/// An answer that is an error.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// The HTTP status.
    pub(crate) status: StatusCode,
    /// The body.
    pub(crate) reply: Box<ErrorReply>,
    /// Seconds after which to come back.
    pub(crate) retry_after_s: Option<u64>,
    /// Why, in the vocabulary of causes.
    pub(crate) cause: Cause,
    /// The method that the path has.
    allow: Option<&'static str>,
    /// Whether the connection ends with the answer.
    close: bool,
    /// Whether a WebSocket has to be asked for.
    upgrade: bool,
}

impl Refusal {
    fn new(status: StatusCode, reason: &'static str, message: String) -> Refusal {
        let code = status.as_u16();
        Refusal {
            status,
            reply: Box::new(ErrorReply {
                message,
                kind: kind_of(code).to_owned(),
                code: code.to_string(),
                reason,
                ..ErrorReply::default()
            }),
            retry_after_s: None,
            cause: if status.is_client_error() { Cause::BadRequest } else { Cause::Gateway },
            allow: None,
            close: false,
            upgrade: false,
        }
    }

    fn param(mut self, param: &str) -> Refusal {
        self.reply.param = Some(param.to_owned());
        self
    }

    fn closing(mut self) -> Refusal {
        self.close = true;
        self
    }

    /// The answer to a client of that format.
    pub(crate) fn into_response(self, format: WireFormat) -> Response<Reply> {
        let mut response = reply::json(self.status, self.reply.body(format));
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(method) = self.allow {
            headers.insert(header::ALLOW, HeaderValue::from_static(method));
        }
        if self.upgrade {
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
            let version = HeaderValue::from_static(VERSION);
            headers.insert(header::SEC_WEBSOCKET_VERSION, version);
        }
        if self.close {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// The path exists, the method does not.
pub(crate) fn wrong_method(method: &Method, path: &str, allowed: &'static str) -> Refusal {
    let message = format!("{} has no {method}; use {allowed}", clean(path, LINE_MAX));
    let mut refusal = Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message);
    refusal.allow = Some(allowed);
    refusal
}

/// The path does not exist.
pub(crate) fn unknown_route(method: &Method, path: &str, nearest: Option<&str>) -> Refusal {
    let path = clean(path, LINE_MAX);
    let message = match nearest {
        Some(nearest) => format!("there is no {method} {path}; did you mean {nearest}?"),
        None => format!("there is no {method} {path}"),
    };
    Refusal::new(StatusCode::NOT_FOUND, "unknown_route", message)
}

/// The head can be read in two ways.
pub(crate) fn odd_framing() -> Refusal {
    let message = "the request is framed ambiguously; send one Host, and either Content-Length or \
                   Transfer-Encoding: chunked";
    Refusal::new(StatusCode::BAD_REQUEST, "ambiguous_framing", message.to_owned()).closing()
}

fn unauthorized(reason: &'static str, message: &str) -> Refusal {
    let message = format!("Authentication Error, {message}");
    let mut refusal = Refusal::new(StatusCode::UNAUTHORIZED, reason, message);
    "auth_error".clone_into(&mut refusal.reply.kind);
    refusal.reply.param = Some("None".to_owned());
    refusal
}

/// No key was sent.
pub(crate) fn missing_key() -> Refusal {
    unauthorized("missing_api_key", "No api key passed in. Send `Authorization: Bearer <key>`.")
}

/// The key is not one of ours.
pub(crate) fn wrong_key() -> Refusal {
    unauthorized(
        "invalid_api_key",
        "the key is not known to this gateway. Check the key that the client sends.",
    )
}

/// The admin API without a master key.
pub(crate) fn no_admin() -> Refusal {
    let message = "this page is for the master key, and none is configured; set \
                   general_settings.master_key or LITELLM_MASTER_KEY";
    Refusal::new(StatusCode::FORBIDDEN, "admin_api_off", message.to_owned())
}

/// There is no deployment with that id.
pub(crate) fn no_such_deployment(id: &str) -> Refusal {
    let id = clean(id, 200);
    let message = format!("there is no deployment '{id}'; GET /router/state lists all ids");
    Refusal::new(StatusCode::NOT_FOUND, "unknown_deployment", message)
}

/// The header that should carry the key can not be read.
pub(crate) fn malformed_key() -> Refusal {
    unauthorized(
        "malformed_api_key",
        "Malformed API Key passed in. Ensure Key has `Bearer ` prefix, and send it once.",
    )
}

/// The body is larger than allowed.
pub(crate) fn body_too_large(limit: usize) -> Refusal {
    let mib = limit >> 20;
    let message = format!("the request body is larger than {mib} MiB (max_request_size_mb)");
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", message).closing()
}

/// The body came too slowly.
pub(crate) fn slow_body() -> Refusal {
    let message = "the request body stopped coming; send it without long pauses".to_owned();
    let mut refusal = Refusal::new(StatusCode::REQUEST_TIMEOUT, "slow_body", message).closing();
    refusal.cause = Cause::ClientTimeout;
    refusal
}

/// The body's framing is broken, or the client went away while sending.
pub(crate) fn broken_body() -> Refusal {
    let message = "the request body ended before its declared end".to_owned();
    let mut refusal = Refusal::new(StatusCode::BAD_REQUEST, "broken_body", message).closing();
    refusal.cause = Cause::ClientClosed;
    refusal
}

/// The body is compressed.
pub(crate) fn encoded_body() -> Refusal {
    let message = "compressed request bodies are not accepted; send them plain".to_owned();
    Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "encoded_body", message).closing()
}

/// All bodies together are too many bytes.
pub(crate) fn too_much_held() -> Refusal {
    let message = "the gateway holds too many bytes at the moment (max_buffered_mb); try again";
    let status = StatusCode::SERVICE_UNAVAILABLE;
    let mut refusal = Refusal::new(status, "overloaded", message.to_owned()).closing();
    refusal.retry_after_s = Some(1);
    refusal.cause = Cause::Gateway;
    refusal
}

/// The body is not what it must be.
pub(crate) fn bad_body(error: &PeekError) -> Refusal {
    let reason = match error {
        PeekError::Empty => "empty_body",
        PeekError::Json(_) => "invalid_json",
        PeekError::Duplicate(_) | PeekError::Type { .. } => "invalid_parameter",
    };
    Refusal::new(StatusCode::BAD_REQUEST, reason, error.to_string()).param(error.param())
}

/// The body is no form, or not one that can be read.
pub(crate) fn bad_form(error: &FormError) -> Refusal {
    let reason = match error {
        FormError::Fields(error) => return bad_body(error),
        FormError::Empty => "empty_body",
        FormError::Nested(..) => "invalid_parameter",
        FormError::Boundary(_)
        | FormError::NoParts
        | FormError::Unfinished
        | FormError::Part(..)
        | FormError::Parts => "invalid_form",
    };
    let param = match error {
        FormError::Boundary(_) => "content-type",
        FormError::Nested(_, field) => field,
        _ => "request_body",
    };
    let message = clean(&error.to_string(), 2 * LINE_MAX);
    Refusal::new(StatusCode::BAD_REQUEST, reason, message).param(param)
}

/// Something else was sent where a form belongs.
pub(crate) fn no_form(route: &str, content_type: &str) -> Refusal {
    let given = match content_type {
        "" => "without `content-type`".to_owned(),
        given => format!("as `{}`", clean(given, 100)),
    };
    let message = format!(
        "{route} takes a form: send `multipart/form-data` with its parts; the request came {given}"
    );
    wrong_type(message)
}

/// A form was sent where JSON belongs.
pub(crate) fn no_json(route: &str) -> Refusal {
    wrong_type(format!(
        "{route} takes JSON: send `application/json`; the request came as `multipart/form-data`"
    ))
}

fn wrong_type(message: String) -> Refusal {
    let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    Refusal::new(status, "wrong_content_type", message).param("content-type").closing()
}

/// Nothing says whose account a file, a batch or a list belongs to.
pub(crate) fn no_account(route: &str) -> Refusal {
    let message = format!(
        "{route}: several accounts are configured that keep files; say which with `model`: a field of the \
         form or the query, or the header `x-litellm-model`"
    );
    Refusal::new(StatusCode::BAD_REQUEST, "missing_parameter", message).param("model")
}

/// A header of ours has a wrong value.
pub(crate) fn bad_header(name: &HeaderName, expected: &str) -> Refusal {
    let message = format!("the header `{name}` must be {expected}");
    Refusal::new(StatusCode::BAD_REQUEST, "invalid_parameter", message).param(name.as_str())
}

/// A required field is missing.
pub(crate) fn missing_parameter(route: &str, field: &str) -> Refusal {
    let message = format!("{route}: Missing required parameter: '{field}'.");
    Refusal::new(StatusCode::BAD_REQUEST, "missing_parameter", message).param(field)
}

/// A field whose value makes no sense.
pub(crate) fn bad_parameter(field: &str, problem: &str) -> Refusal {
    let message = clean(problem, 2 * LINE_MAX);
    Refusal::new(StatusCode::BAD_REQUEST, "invalid_parameter", message).param(field)
}

/// A field that must be a filled list is something else.
pub(crate) fn wrong_list(field: &str) -> Refusal {
    let message = format!("`{field}` must be a list with at least one entry");
    Refusal::new(StatusCode::BAD_REQUEST, "invalid_parameter", message).param(field)
}

/// A field that would steer credentials or addresses.
pub(crate) fn forbidden_parameter(field: &str) -> Refusal {
    let message = format!(
        "`{field}` may not be set by a request; configure it for a deployment in model_list instead"
    );
    Refusal::new(StatusCode::BAD_REQUEST, "forbidden_parameter", message).param(field)
}

/// A model's name that can not be one.
pub(crate) fn odd_model_name() -> Refusal {
    let message = "`model` must be 1 to 1024 characters without control characters".to_owned();
    Refusal::new(StatusCode::BAD_REQUEST, "invalid_parameter", message).param("model")
}

/// Nothing has that name.
pub(crate) fn unknown_model(route: &str, name: &str, nearest: &[Box<str>]) -> Refusal {
    let name = clean(name, 200);
    let mut message = format!(
        "{route}: Invalid model name passed in model={name}. Call `/v1/models` to view available \
         models for your key."
    );
    if !nearest.is_empty() {
        let names: Vec<String> = nearest.iter().map(|name| format!("`{name}`")).collect();
        message.push_str(&format!(" Did you mean {}?", names.join(" or ")));
    }
    Refusal::new(StatusCode::BAD_REQUEST, "unknown_model", message).param("model")
}

/// There is no such model, on the page of one model.
pub(crate) fn no_such_model(name: &str, nearest: &[Box<str>]) -> Refusal {
    let mut refusal = unknown_model("/v1/models", name, nearest);
    refusal.status = StatusCode::NOT_FOUND;
    "404".clone_into(&mut refusal.reply.code);
    refusal
}

/// What an id names is unknown where it stands in the body or the query, and absent where it is the path.
fn about_kept(kind: Kind, field: Option<&str>, reason: &'static str, message: String) -> Refusal {
    let status = if field.is_some() { StatusCode::BAD_REQUEST } else { StatusCode::NOT_FOUND };
    let own = match kind {
        Kind::Response => "response_id",
        Kind::File => "file_id",
        Kind::Batch => "batch_id",
    };
    Refusal::new(status, reason, message).param(field.unwrap_or(own))
}

/// An id that this gateway has not issued. `field` is where it stands in the body or the query.
pub(crate) fn foreign_id(kind: Kind, field: Option<&str>, id: &str) -> Refusal {
    let message = format!(
        "'{}' is no id of a {} that this gateway issued; send the id of an answer that came through it and \
         was made with the present master key",
        clean(id, 80),
        kind.name()
    );
    let reason = match kind {
        Kind::Response => "unknown_response",
        Kind::File => "unknown_file",
        Kind::Batch => "unknown_batch",
    };
    about_kept(kind, field, reason, message)
}

/// The deployment that issued an id is no more.
pub(crate) fn kept_without_deployment(
    kind: Kind,
    field: Option<&str>,
    deployment: &str,
) -> Refusal {
    let message = format!(
        "deployment '{}', which keeps this {kind}, is no longer configured; put it back, and give \
         deployments a lasting `model_info.id`, or begin anew without the {kind}",
        clean(deployment, 80),
        kind = kind.name()
    );
    about_kept(kind, field, "deployment_gone", message)
}

/// What `field` names is kept where the model that is asked for is not.
pub(crate) fn kept_elsewhere(kind: Kind, field: &str, group: &str, asked: &str) -> Refusal {
    let (reason, remedy) = match kind {
        Kind::Response => ("response_elsewhere", format!(", or leave `{field}` out")),
        Kind::File => ("file_elsewhere", ", or upload the file for that model".to_owned()),
        Kind::Batch => ("batch_elsewhere", format!(", or leave `{field}` out")),
    };
    let message = format!(
        "`{field}` names a {} of model '{}', which no deployment of '{}' can read; ask for '{1}'{remedy}",
        kind.name(),
        clean(group, 200),
        clean(asked, 200)
    );
    Refusal::new(StatusCode::BAD_REQUEST, reason, message).param(field)
}

/// A fault of our own.
pub(crate) fn own_fault() -> Refusal {
    let message = "the gateway failed while serving this request; it was reported in its log";
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", message.to_owned())
}

/// The client's deadline, or the config's for a whole request, passed.
pub(crate) fn deadline(snapshot: &Snapshot, walk: &Walk, allowed_ms: u64) -> Refusal {
    let group = walk.target().name(snapshot);
    let message = format!(
        "Request timed out: no answer from model group '{group}' within {} s; allow more with \
         `x-litellm-timeout` or `timeout`, or set `request_timeout` in litellm_settings",
        seconds(allowed_ms)
    );
    let mut refusal = Refusal::new(StatusCode::REQUEST_TIMEOUT, "deadline_exceeded", message);
    "timeout_error".clone_into(&mut refusal.reply.kind);
    refusal.cause = Cause::ClientTimeout;
    refusal.reply.attempts = attempt_lines(snapshot, walk.tried());
    refusal
}

/// Everything that may be tried failed. `errors` are the providers' words for each attempt, `refused`
/// the groups that had nothing to try.
pub(crate) fn exhausted(
    snapshot: &Snapshot,
    walk: &Walk,
    errors: &[ProviderError],
    refused: &[Refused],
    now: Millis,
) -> Refusal {
    let Some((index, tried)) = walk.original_failure() else {
        return own_fault();
    };
    let said = errors.get(index).cloned().unwrap_or_default();
    let deployment = snapshot.deployment(tried.deployment);
    let status = client_status(tried);
    let mut message = headline(tried, &said, deployment);
    message.push_str(&trail(snapshot, walk, tried));
    // What was refused says by itself whose key it is.
    if tried.cause.blames_deployment() && !matches!(tried.cause, Cause::Auth | Cause::Permission) {
        let fix = advice::fix_of_traffic(deployment, tried.cause, tried.status);
        message.push_str(&fix.map_or(String::new(), |fix| format!(" To mend it: {fix}.")));
    }
    message.push_str(&refused::others(snapshot, refused, now));
    let reason = match tried.cause {
        _ if walk.fallbacks() > 0 => "fallbacks_exhausted",
        Cause::Auth | Cause::Permission => "upstream_auth",
        Cause::Unsupported => "unsupported_parameter",
        Cause::BadRequest => "upstream_rejected",
        Cause::ContextWindow => "context_length_exceeded",
        Cause::ContentPolicy => "content_policy",
        Cause::RateLimited | Cause::Quota => "upstream_rate_limited",
        Cause::ClientTimeout => "deadline_exceeded",
        // It had no room for one more connection; no upstream failed.
        Cause::Gateway => "overloaded",
        Cause::NotFound
        | Cause::Overloaded
        | Cause::ServerError
        | Cause::Timeout
        | Cause::Connect
        | Cause::Dns
        | Cause::Tls
        | Cause::StreamCut
        | Cause::StreamStall
        | Cause::BadResponse
        | Cause::Misconfigured
        | Cause::ClientClosed => "upstream_failed",
    };
    let mut refusal = Refusal::new(status, reason, message);
    if reason == "deadline_exceeded" {
        "timeout_error".clone_into(&mut refusal.reply.kind);
    }
    if let Some(kind) = said.kind {
        refusal.reply.kind = kind;
    }
    refusal.reply.param = said.param;
    refusal.reply.provider_code = said.code;
    refusal.cause = tried.cause;
    refusal.retry_after_s = match status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            let hints = walk.tried().iter().filter_map(|tried| tried.hint_ms);
            // A provider's wish is passed on, but not its wish for eternity.
            hints.min().map(|ms| ms.div_ceil(1000).min(3600))
        }
        _ => None,
    };
    refusal.reply.attempts = attempt_lines(snapshot, walk.tried());
    refusal.reply.deployments = refused::lines(snapshot, refused, now);
    refusal
}

fn client_status(tried: &Tried) -> StatusCode {
    let own = tried.cause.facts().status;
    let status = match tried.status {
        Some(status @ 400..=599) => status,
        _ => own,
    };
    StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY)
}

/// Where a deployment's credential stands: the key in its config, and the variables.
fn credential_of(deployment: &Deployment) -> (&'static str, String) {
    match &deployment.endpoint.azure {
        Some(azure) if azure.identity.is_some() => {
            ("client_secret", "AZURE_CLIENT_SECRET".to_owned())
        }
        Some(azure) if azure.token.is_some() => ("azure_ad_token", "AZURE_AD_TOKEN".to_owned()),
        Some(_) | None => ("api_key", deployment.endpoint.provider.api_key_env.join(", ")),
    }
}

fn headline(tried: &Tried, said: &ProviderError, deployment: &Deployment) -> String {
    let id = clean(&deployment.id, 80);
    let said = clean(&said.message, errors::MESSAGE_MAX);
    match tried.cause {
        Cause::Auth | Cause::Permission => {
            let (what, variables) = credential_of(deployment);
            format!(
                "the provider refused deployment {id}'s key; yours is fine. Check {what} of {id}{} \
                 The provider said: {said}",
                if variables.is_empty() { ".".to_owned() } else { format!(" (or {variables}).") },
            )
        }
        Cause::NotFound => {
            format!("the provider of deployment {id} does not know its model: {said}")
        }
        _ => said,
    }
}

/// Which groups were tried, and how often; empty when the caller alone can mend it.
fn trail(snapshot: &Snapshot, walk: &Walk, tried: &Tried) -> String {
    if !tried.cause.blames_deployment() && walk.fallbacks() == 0 {
        return String::new();
    }
    let mut groups: Vec<&str> = Vec::new();
    for one in walk.tried() {
        if !groups.contains(&&*one.group) {
            groups.push(&one.group);
        }
    }
    let count = walk.tried().len();
    let plural = if count == 1 { "attempt" } else { "attempts" };
    let id = clean(&snapshot.deployment(tried.deployment).id, 80);
    let mut text = format!(
        " (model group '{}': {} from deployment {id}; {count} {plural} in all",
        tried.group,
        tried.cause.name()
    );
    if let Some(others) = groups.get(1..).filter(|others| !others.is_empty()) {
        text.push_str(&format!("; fallback to {} also failed", others.join(", ")));
    }
    let causes: Vec<Cause> =
        walk.tried().iter().filter(|one| one.group == tried.group).map(|one| one.cause).collect();
    if tried.cause.blames_deployment() {
        text.push_str(&format!("; in '{}' {}", tried.group, diagnosis(&causes)));
    }
    text.push(')');
    text
}

fn attempt_lines(snapshot: &Snapshot, tried: &[Tried]) -> Vec<AttemptLine> {
    let line = |one: &Tried| AttemptLine {
        model_group: one.group.to_string(),
        deployment: snapshot.deployment(one.deployment).id.to_string(),
        status: one.status,
        cause: one.cause.name(),
        message: clean(&one.message, LINE_MAX),
        ms: one.ms,
    };
    tried.iter().take(LINES_MAX).map(line).collect()
}

/// A stream that broke after its first content.
pub(crate) fn broken_stream(deployment: &Deployment, failed: &Failed) -> ErrorReply {
    let status = failed.status.unwrap_or(failed.cause.facts().status);
    ErrorReply {
        message: format!(
            "the stream broke off and is not complete: {} ({} from deployment {})",
            clean(&failed.error.message, errors::MESSAGE_MAX),
            failed.cause.name(),
            clean(&deployment.id, 80)
        ),
        kind: failed.error.kind.clone().unwrap_or_else(|| kind_of(status).to_owned()),
        param: failed.error.param.clone(),
        code: status.to_string(),
        reason: match (failed.cause, failed.status) {
            // The gateway ends a stream for two reasons: its time is over, or the gateway's is.
            (Cause::Gateway, Some(504)) => "stream_too_long",
            (Cause::Gateway, _) => "shutting_down",
            (Cause::ClientTimeout, _) => "deadline_exceeded",
            _ => "upstream_stream_interrupted",
        },
        provider_code: failed.error.code.clone(),
        ..ErrorReply::default()
    }
}
