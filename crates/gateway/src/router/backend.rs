//! LiteLLM's own server behind this gateway (`litellm_backend_url`): it answers what is in no row here.
//!
//! Asked by the router for such requests, after their key was checked. Always true: it gets the client's key and no other, which no provider
//! ever gets; a path that has a row here is never forwarded, however it is written; a redirect is told to the client and never followed;
//! what has been forwarded once is not forwarded again.

use std::borrow::Cow;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hale_core::settings::{Backend, Ui};
use hale_wire::errors::clean;
use hale_wire::payload::Payload;
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use http_body::Frame;
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;

use crate::arrival::Arrival;
use crate::http::header_list::list;
use crate::http::refusal::Refusal;
use crate::http::reply::{Broken, Reply, StreamedBody};
use crate::limits::Held;
use crate::pages::dashboard::session;
use crate::pages::{PageRequest, Waiting};
use crate::upstream::{AnswerBody, HeaderTemplate, Reuse, Upstream, UpstreamRequest, send};

/// How long it may take to begin an answer.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often a path may be encoded.
const ENCODED_MAX: usize = 4;
/// Where requests say that they were forwarded.
const FORWARDED: HeaderName = HeaderName::from_static("x-hale-forwarded");
/// Headers of one connection, and those that are written anew.
const OWN: [HeaderName; 12] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::EXPECT,
    header::HOST,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::ACCEPT_ENCODING,
    HeaderName::from_static("keep-alive"),
];
/// What LiteLLM shows without a key: its pages, what they load, and how one logs in. Beginnings of paths.
const OPEN: [&str; 18] = [
    "/ui",
    "/litellm-asset-prefix",
    "/_next",
    "/sso",
    "/login",
    "/v2/login",
    "/v3/login",
    "/logout",
    "/fallback/login",
    "/onboarding",
    "/get_image",
    "/get_logo_url",
    "/get_favicon",
    "/favicon.ico",
    "/docs",
    "/redoc",
    "/openapi.json",
    "/.well-known",
];

/// Who may ask the backend for a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum For {
    /// Those who hold a key.
    Keys,
    /// Anyone.
    Anyone,
}

/// Who may ask the backend for a path; `None` if it is not asked. `has_row` says whether a path has a row here: LiteLLM decodes a path, and this
/// gateway does not before it has found the row.
pub(super) fn asked(
    backend: &Backend,
    path: &str,
    has_row: impl FnOnce(&str) -> bool,
) -> Option<For> {
    let plain = plain(path)?;
    if is_below(&plain, "/ui") {
        return (backend.ui == Ui::Backend).then_some(For::Anyone);
    }
    if has_row(&plain) {
        return None;
    }
    let is_open = OPEN.iter().any(|open| is_below(&plain, open));
    Some(if is_open { For::Anyone } else { For::Keys })
}

fn is_below(path: &str, beginning: &str) -> bool {
    path.strip_prefix(beginning).is_some_and(|tail| tail.is_empty() || tail.starts_with('/'))
}

/// The path as a server may read it; `None` if servers read it differently.
fn plain(path: &str) -> Option<Cow<'_, str>> {
    let mut plain = Cow::Borrowed(path);
    for _ in 0..ENCODED_MAX {
        let decoded = percent_decode_str(&plain).decode_utf8().ok()?.into_owned();
        if *decoded == *plain {
            let is_odd = |part: &str| part == "." || part == "..";
            let is_clear = plain.starts_with('/')
                && !plain.contains("//")
                && !plain.contains(['\\', '?', '#', ';'])
                && !plain.chars().any(char::is_control)
                && !plain.split('/').any(is_odd);
            return is_clear.then_some(plain);
        }
        plain = Cow::Owned(decoded);
    }
    None
}

/// Forwards a request.
pub(super) fn forward(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        let PageRequest { arrival, head, .. } = request;
        // The row was chosen by it.
        let Some(backend) = &arrival.serving.snapshot.gateway.backend else {
            return Err(unreached("there is none"));
        };
        if head.headers.contains_key(&FORWARDED) {
            let message = "this request was forwarded before: litellm_backend_url leads back to a gateway; write the address \
                           of LiteLLM itself";
            return Err(Refusal::new(
                StatusCode::LOOP_DETECTED,
                "backend_loop",
                message.to_owned(),
            ));
        }
        let upstream = Upstream::parse(&backend.url);
        let mut held = Held::none(&arrival.worker.process.buffered);
        let body = arrival.read_body(&head.headers, incoming, &mut held).await?;
        let asked = head.uri.path_and_query().map_or("/", PathAndQuery::as_str);
        let path = format!("{}{asked}", upstream.base_path).parse::<PathAndQuery>();
        let path = path.map_err(|error| unreached(&error.to_string()))?;
        // Heads have no bodies; the router leaves out what comes.
        let method = if head.method == Method::HEAD { Method::GET } else { head.method.clone() };
        let sent = UpstreamRequest {
            method: &method,
            path: &path,
            headers: &HeaderTemplate::from(headers(arrival, head, &upstream)),
            more: Vec::new(),
            body: &Payload::from(body),
            reuse: Reuse::Allowed,
            granted: None,
        };
        let answer = match tokio::time::timeout(PATIENCE, send(&upstream, &sent)).await {
            Ok(answer) => answer.map_err(|error| unreached(&error.to_string()))?,
            Err(_late) => {
                let message = format!(
                    "the server at litellm_backend_url did not answer within {} s",
                    PATIENCE.as_secs()
                );
                return Err(Refusal::new(StatusCode::GATEWAY_TIMEOUT, "backend_late", message));
            }
        };
        crate::clock::now();
        let mut response = Response::new(Reply::stream(Forwarded(Some(answer.body))));
        *response.status_mut() = answer.status;
        *response.headers_mut() = answered(answer.headers, &upstream);
        Ok(response)
    })
}

fn unreached(why: &str) -> Refusal {
    let message =
        format!("the server at litellm_backend_url cannot be reached: {}", clean(why, 300));
    Refusal::new(StatusCode::BAD_GATEWAY, "backend_unreachable", message)
}

/// What the backend gets: the client's headers, and where they came from.
fn headers(arrival: &Arrival, head: &Parts, upstream: &Upstream) -> HeaderMap {
    let mut sent = without_own(head.headers.clone());
    // The body was unpacked.
    sent.remove(header::CONTENT_ENCODING);
    session::remove_cookie(&mut sent);
    let mut put = |name: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            sent.insert(name, value);
        }
    };
    put(header::HOST, &upstream.authority);
    put(header::ACCEPT_ENCODING, "identity");
    put(FORWARDED, "1");
    put(HeaderName::from_static("x-litellm-call-id"), &arrival.call_id);
    if let Some(peer) = arrival.connection.peer() {
        put(HeaderName::from_static("x-forwarded-for"), &peer.to_string());
    }
    if let Some(host) = head.headers.get(header::HOST).and_then(|host| host.to_str().ok()) {
        put(HeaderName::from_static("x-forwarded-host"), host);
    }
    sent
}

/// What the client gets: a redirect within the backend stays at this gateway.
fn answered(theirs: HeaderMap, upstream: &Upstream) -> HeaderMap {
    let mut headers = without_own(theirs);
    if let Some(to) = headers.get(header::LOCATION).and_then(|to| to.to_str().ok()) {
        let scheme = if upstream.tls { "https" } else { "http" };
        let base = format!("{scheme}://{}{}", upstream.authority, upstream.base_path);
        if let Some(below) = to.strip_prefix(&base).filter(|below| below.starts_with('/'))
            && let Ok(below) = HeaderValue::from_str(below)
        {
            headers.insert(header::LOCATION, below);
        }
    }
    headers
}

fn without_own(mut headers: HeaderMap) -> HeaderMap {
    let of_connection: Vec<HeaderName> = list(&headers, &header::CONNECTION)
        .filter_map(|name| HeaderName::from_bytes(name.as_bytes()).ok())
        .collect();
    for name in OWN.iter().chain(&of_connection) {
        headers.remove(name);
    }
    headers
}

/// The backend's answer on its way; `None` after its end.
struct Forwarded(Option<AnswerBody>);

impl StreamedBody for Forwarded {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let Some(body) = &mut self.0 else { return Poll::Ready(None) };
        match body.poll_piece(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Ok(piece))) => Poll::Ready(Some(Ok(Frame::data(piece)))),
            Poll::Ready(Some(Err(_))) => {
                self.0 = None;
                Poll::Ready(Some(Err(Broken)))
            }
            Poll::Ready(None) => {
                self.0 = None;
                Poll::Ready(None)
            }
        }
    }

    fn length(&self) -> Option<u64> {
        self.0.as_ref().and_then(AnswerBody::declared)
    }

    fn give_up(&mut self) {
        self.0 = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn goes(ui: Ui, path: &str) -> Option<For> {
        let backend = Backend { url: "http://litellm:4000".into(), ui };
        let rows = ["/v1/chat/completions", "/key/list", "/key/generate", "/ui/login"];
        asked(&backend, path, |path| rows.contains(&path))
    }

    #[test]
    fn only_paths_without_a_row_are_forwarded_however_they_are_written() {
        let (keys, anyone) = (Some(For::Keys), Some(For::Anyone));
        for (path, expected) in [
            ("/organization/new", keys),
            ("/v1/threads", keys),
            ("/login", anyone),
            ("/sso/callback", anyone),
            ("/loginx", keys),
            ("/ui", anyone),
            ("/ui/login", anyone),
            ("/v1/chat/completions", None),
            ("/v1/chat%2Fcompletions", None),
            ("/v1/chat%252Fcompletions", None),
            ("/key/%6Cist", None),
            ("/%6Bey/generate", None),
            ("/ui/../key/list", None),
            ("/ui/%2e%2e/organization/new", None),
            ("/ui/%252e%252e/organization/new", None),
            ("//organization/new", None),
            ("/ui\\..\\x", None),
            ("/organization/new;x", None),
            ("/%ff", None),
            ("/a%00b", None),
        ] {
            assert_eq!(goes(Ui::Backend, path), expected, "{path}");
        }
        assert_eq!(goes(Ui::Own, "/ui/login"), None);
        assert_eq!(goes(Ui::Own, "/organization/list"), keys);
    }

    #[test]
    fn a_redirect_within_the_backend_stays_here_and_another_one_is_told() {
        let upstream = Upstream::parse("http://litellm:4000/base");
        let told = |to: &'static str| {
            let mut theirs = HeaderMap::new();
            theirs.insert(header::LOCATION, HeaderValue::from_static(to));
            theirs.insert(header::CONNECTION, HeaderValue::from_static("x-hop"));
            theirs.insert("x-hop", HeaderValue::from_static("1"));
            let headers = answered(theirs, &upstream);
            assert_eq!(headers.len(), 1);
            headers[header::LOCATION].to_str().unwrap().to_owned()
        };
        assert_eq!(told("http://litellm:4000/base/ui/"), "/ui/");
        assert_eq!(told("http://litellm:4000/other"), "http://litellm:4000/other");
        assert_eq!(told("https://idp.example/authorize"), "https://idp.example/authorize");
        assert_eq!(told("/ui/"), "/ui/");
    }
}
