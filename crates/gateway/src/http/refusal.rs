//! Error answers in the client's format, and the errors that need no routing.
//!
//! Made wherever a request is read before it has a route. Always true: a refusal names no secret and no upstream
//! address; it has a `reason` for programs.

mod request;

use hale_core::cause::Cause;
use hale_core::provider::WireFormat;
use hale_core::tenancy::{Denied, RateLimited};
use hale_wire::errors::{ErrorReply, clean, google_code, kind_of};
use hale_wire::form::FormError;
use hale_wire::peek::PeekError;
use hale_wire::websocket::VERSION;
use http::{HeaderName, HeaderValue, Method, Response, StatusCode, header};

use super::connection::LateBody;
use super::limit_headers;
use super::reply::{self, Reply};
use crate::unpack::{Coding, Fault, GROWTH_MAX};

/// Longest quotation in a refusal, characters.
pub(crate) const LINE_MAX: usize = 300;

/// The protocol of a WebSocket in `upgrade`.
const WEBSOCKET: &str = "websocket";
/// The kind of a limit that was reached, and when there is room again, seconds since 1970.
/// Tells the SDKs not to try again.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

pub(crate) use self::request::{
    address_not_allowed, bad_parameter, dashboard_for_admins, forbidden_parameter, foreign_format,
    missing_parameter, mock_parameter, no_provider, no_websocket, odd_path, passed_model_unknown,
    passed_unmeasured, provider_objects, several_models, tags_of_clients, unlisted_origin,
    unserved_parameter, unserved_route, wrong_list,
};

/// An error answer.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// The HTTP status.
    pub(crate) status: StatusCode,
    /// The body.
    pub(crate) reply: Box<ErrorReply>,
    /// Seconds after which the client may try again; of a 429 and a 503 one if unknown.
    pub(crate) retry_after_s: Option<u64>,
    /// Whether a client must not send it again by itself: only an operator can change it, or the provider may have carried
    /// it out.
    pub(crate) must_not_repeat: bool,
    /// The cause.
    pub(crate) cause: Cause,
    /// The method that the path allows.
    allow: Option<&'static str>,
    /// Whether the connection closes after the answer.
    close: bool,
    /// The protocol that the client has to use.
    upgrade: Option<&'static str>,
    /// The limit of a key that was reached.
    limited: Option<Box<RateLimited>>,
}

impl Refusal {
    /// A refusal whose cause follows from its status.
    pub(crate) fn new(status: StatusCode, reason: &'static str, message: String) -> Refusal {
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
            must_not_repeat: false,
            cause: if status.is_client_error() { Cause::BadRequest } else { Cause::Gateway },
            allow: None,
            close: false,
            upgrade: None,
            limited: None,
        }
    }

    /// Names the parameter that it is about.
    pub(crate) fn param(mut self, param: &str) -> Refusal {
        self.reply.param = Some(param.to_owned());
        self
    }

    /// The connection closes after it.
    pub(crate) fn closing(mut self) -> Refusal {
        self.close = true;
        self
    }

    /// Says in words how long to wait, which is where clients of responses look for it.
    fn say_when(&mut self) {
        const WORDS: &str = "try again in ";
        let message = &mut self.reply.message;
        if !message.contains(WORDS) && !self.must_not_repeat {
            message.push_str(&format!("; {WORDS}{}s", self.retry_after_s.unwrap_or(1)));
        }
    }

    /// Google's clients know a spent budget as a quota that is used up, and read in the body how long to wait.
    #[cold]
    fn in_googles_words(&mut self) {
        if self.reply.kind == BUDGET {
            self.status = StatusCode::TOO_MANY_REQUESTS;
            self.reply.code = "429".to_owned();
            self.must_not_repeat = true;
        }
        let googles = google_code(self.status.as_u16(), self.reply.reason);
        if let Ok(status) = StatusCode::from_u16(googles) {
            (self.status, self.reply.code) = (status, googles.to_string());
        }
        self.reply.retry_after_s = self.retry_after_s;
    }

    /// Says it in the words that clients of that format look for. A second time changes nothing.
    pub(crate) fn in_words_of(&mut self, format: WireFormat) {
        if format == WireFormat::Responses && self.status == StatusCode::TOO_MANY_REQUESTS {
            self.say_when();
        }
        if format == WireFormat::Gemini {
            self.in_googles_words();
        }
    }

    /// The answer in that client format.
    pub(crate) fn into_response(mut self, format: WireFormat) -> Response<Reply> {
        self.in_words_of(format);
        let passes =
            matches!(self.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
        let mut response = reply::json(self.status, self.reply.body(format));
        let headers = response.headers_mut();
        if self.must_not_repeat {
            headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
        } else if let Some(seconds) = self.retry_after_s.or(passes.then_some(1)) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(limited) = &self.limited {
            limit_headers::refused(headers, limited);
        }
        if let Some(method) = self.allow {
            headers.insert(header::ALLOW, HeaderValue::from_static(method));
        }
        if let Some(protocol) = self.upgrade {
            headers.insert(header::UPGRADE, HeaderValue::from_static(protocol));
            headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
            if protocol == WEBSOCKET {
                let version = HeaderValue::from_static(VERSION);
                headers.insert(header::SEC_WEBSOCKET_VERSION, version);
            }
        }
        if self.close {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// The path exists, but not with this method.
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

/// The head is ambiguous.
pub(crate) fn odd_framing() -> Refusal {
    let message = "the request is framed ambiguously; send one Host, and at most one Transfer-Encoding: chunked";
    Refusal::new(StatusCode::BAD_REQUEST, "ambiguous_framing", message.to_owned()).closing()
}

fn unauthorized(reason: &'static str, message: &str) -> Refusal {
    let message = format!("Authentication Error, {message}");
    let mut refusal = Refusal::new(StatusCode::UNAUTHORIZED, reason, message);
    "auth_error".clone_into(&mut refusal.reply.kind);
    refusal.reply.param = Some("None".to_owned());
    refusal
}

/// The type of a refusal for a budget that is spent.
const BUDGET: &str = "budget_exceeded";

/// The reason of [`missing_key`].
pub(crate) const MISSING_KEY: &str = "missing_api_key";

/// No key was sent.
pub(crate) fn missing_key() -> Refusal {
    unauthorized(MISSING_KEY, "No api key passed in. Send `Authorization: Bearer <key>`.")
}

/// The key is unknown.
pub(crate) fn wrong_key() -> Refusal {
    unauthorized(
        "invalid_api_key",
        "the key is not known to this gateway. Check the key that the client sends.",
    )
}

/// What a key may not, or has no room for.
#[cold]
pub(crate) fn denied(denied: Denied) -> Refusal {
    let status = StatusCode::from_u16(denied.status).unwrap_or(StatusCode::FORBIDDEN);
    let mut refusal = Refusal::new(status, denied.reason, denied.message);
    denied.kind.clone_into(&mut refusal.reply.kind);
    refusal.reply.param = denied.param.map(String::from);
    refusal.retry_after_s = denied.retry_after_s;
    refusal.limited = denied.limit;
    refusal
}

/// What the admin API refuses, in the reference's words and with its `error.type`.
pub(crate) fn of_admin(status: StatusCode, kind: &str, message: String) -> Refusal {
    let mut refusal = Refusal::new(status, "admin_refused", message);
    kind.clone_into(&mut refusal.reply.kind);
    refusal
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

/// The header of the key cannot be read.
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
pub(crate) fn slow_body(late: LateBody) -> Refusal {
    let message = match late {
        LateBody::Pause => "the request body stopped coming; send it without long pauses",
        LateBody::Whole => {
            "the request body comes too slowly (body_min_rate_kib); send it faster, or send less"
        }
    };
    let message = message.to_owned();
    let mut refusal = Refusal::new(StatusCode::REQUEST_TIMEOUT, "slow_body", message).closing();
    refusal.cause = Cause::ClientTimeout;
    refusal
}

/// The body came slowest of all while the memory for bodies was full.
pub(crate) fn slowest_body() -> Refusal {
    let mut refusal = too_much_held();
    refusal.reply.message =
        "the gateway's memory for bodies is full (max_buffered_mb), and this body came slowest of \
                             all; try again, and send it faster"
            .to_owned();
    refusal
}

/// The body's framing is broken, or the client went away while sending.
pub(crate) fn broken_body() -> Refusal {
    let message = "the request body ended before its declared end".to_owned();
    let mut refusal = Refusal::new(StatusCode::BAD_REQUEST, "broken_body", message).closing();
    refusal.cause = Cause::ClientClosed;
    refusal
}

/// The body is compressed in an unknown way.
pub(crate) fn unknown_coding() -> Refusal {
    let message = "this `content-encoding` is not accepted; send one of gzip, deflate, br and zstd, or send the body plain";
    let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    Refusal::new(status, "encoded_body", message.to_owned()).param("content-encoding").closing()
}

/// The body cannot be unpacked.
pub(crate) fn not_unpacked(coding: Coding, fault: Fault) -> Refusal {
    let name = coding.name();
    let (status, reason, message) = match fault {
        Fault::Damaged => (
            StatusCode::BAD_REQUEST,
            "invalid_encoding",
            format!("the request body is not valid {name}, which its `content-encoding` names"),
        ),
        Fault::Cut => (
            StatusCode::BAD_REQUEST,
            "invalid_encoding",
            format!("the request body ends before its {name} data does; send all of it"),
        ),
        Fault::Grows => (
            StatusCode::PAYLOAD_TOO_LARGE,
            "body_grows_too_much",
            format!(
                "the request body becomes more than {GROWTH_MAX} times larger when its {name} data is unpacked; send it \
                 plain"
            ),
        ),
    };
    Refusal::new(status, reason, message).param("content-encoding").closing()
}

/// The memory for bodies is full.
pub(crate) fn too_much_held() -> Refusal {
    let message = "the gateway's memory for bodies is full (max_buffered_mb); try again";
    let status = StatusCode::SERVICE_UNAVAILABLE;
    let mut refusal = Refusal::new(status, "overloaded", message.to_owned()).closing();
    refusal.retry_after_s = Some(1);
    refusal.cause = Cause::Gateway;
    refusal
}

/// The body is invalid.
pub(crate) fn bad_body(error: &PeekError) -> Refusal {
    let reason = match error {
        PeekError::Empty => "empty_body",
        PeekError::Json(_) => "invalid_json",
        PeekError::Duplicate(_)
        | PeekError::Large(_)
        | PeekError::Letters(_)
        | PeekError::Type { .. } => "invalid_parameter",
    };
    Refusal::new(StatusCode::BAD_REQUEST, reason, error.to_string()).param(error.param())
}

/// The body is not a readable form.
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

/// The operation takes a form, and the body is something else.
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

/// The operation takes JSON, and the body is a form.
pub(crate) fn no_json(route: &str) -> Refusal {
    wrong_type(format!(
        "{route} takes JSON: send `application/json`; the request came as `multipart/form-data`"
    ))
}

fn wrong_type(message: String) -> Refusal {
    let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    Refusal::new(status, "wrong_content_type", message).param("content-type").closing()
}

/// The account of a file, a batch or a list is unknown.
pub(crate) fn no_account(route: &str) -> Refusal {
    let message = format!(
        "{route}: several accounts store files; select one with `model`: a field of the form or the query, or the \
         header `x-litellm-model`"
    );
    Refusal::new(StatusCode::BAD_REQUEST, "missing_parameter", message).param("model")
}

/// A header for the gateway has a wrong value.
pub(crate) fn bad_header(name: &HeaderName, expected: &str) -> Refusal {
    let message = format!("the header `{name}` must be {expected}");
    Refusal::new(StatusCode::BAD_REQUEST, "invalid_parameter", message).param(name.as_str())
}

/// The model's name is invalid.
pub(crate) fn odd_model_name() -> Refusal {
    let message = "`model` must be 1 to 1024 characters without control characters".to_owned();
    Refusal::new(StatusCode::BAD_REQUEST, "invalid_parameter", message).param("model")
}

/// No model has that name.
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

/// No model has that name; for the page of one model.
pub(crate) fn no_such_model(name: &str, nearest: &[Box<str>]) -> Refusal {
    let mut refusal = unknown_model("/v1/models", name, nearest);
    refusal.status = StatusCode::NOT_FOUND;
    "404".clone_into(&mut refusal.reply.code);
    refusal
}

/// The gateway's own code failed.
pub(crate) fn own_fault() -> Refusal {
    let message = "the gateway failed while serving this request; its log has the details";
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", message.to_owned())
}

/// The endpoint is a WebSocket, and the request does not upgrade.
pub(crate) fn no_upgrade(path: &str) -> Refusal {
    let message = format!(
        "{} is a WebSocket: connect with ws:// or wss:// over HTTP/1.1, and let proxies on the way pass \
         `Connection: Upgrade` and `Upgrade: websocket`",
        clean(path, LINE_MAX)
    );
    let mut refusal = Refusal::new(StatusCode::UPGRADE_REQUIRED, "upgrade_required", message);
    refusal.upgrade = Some(WEBSOCKET);
    refusal
}

/// The client speaks an unknown version of WebSocket.
pub(crate) fn wrong_websocket_version() -> Refusal {
    let message = format!(
        "only version {} of WebSocket is served; send `Sec-WebSocket-Version: {}`",
        VERSION, VERSION
    );
    let mut refusal = Refusal::new(StatusCode::UPGRADE_REQUIRED, "upgrade_required", message);
    refusal.upgrade = Some(WEBSOCKET);
    refusal
}

/// `Sec-WebSocket-Key` is missing, repeated or invalid.
pub(crate) fn bad_websocket_key() -> Refusal {
    let message = "send one `Sec-WebSocket-Key`: 16 random bytes in base64";
    Refusal::new(StatusCode::BAD_REQUEST, "bad_websocket_key", message.to_owned())
}

/// A browser sends the request for a page of another origin, to a gateway without a secret key.
pub(crate) fn foreign_origin() -> Refusal {
    let message = "a page of another origin may not use this gateway, because it has no secret key; set \
                   general_settings.master_key and send it";
    Refusal::new(StatusCode::FORBIDDEN, "foreign_origin", message.to_owned())
}

/// A page of another origin wants something with the browser's session.
pub(crate) fn foreign_page() -> Refusal {
    let message = "only the pages of the dashboard may do this; open /ui/ and use it there";
    Refusal::new(StatusCode::FORBIDDEN, "other_origin", message.to_owned())
}

/// The request names a host that is not this machine, to a gateway without a secret key that serves only it.
pub(crate) fn foreign_host(host: &str) -> Refusal {
    let message = format!(
        "the host `{}` is no name of this machine, which alone may use a gateway without a secret key; connect to \
         localhost or 127.0.0.1, or set general_settings.master_key and send it",
        clean(host, 100)
    );
    Refusal::new(StatusCode::FORBIDDEN, "foreign_host", message)
}
