//! One server that gets records: its address, the headers of every request to it, and what it answers.
//!
//! Used by [`super::exporter`]. Always true: a request leaves by [`crate::upstream::send`] and is bounded in time and in what is
//! read of its answer; no message about it holds a credential.

use std::time::Duration;

use bytes::Bytes;
use hale_core::secret::Secret;
use hale_core::settings::Sink;
use hale_wire::errors::clean;
use hale_wire::retry_after;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

use crate::clock;
use crate::upstream::{self, HeaderTemplate, Reuse, Upstream, UpstreamRequest};

/// Bytes of an answer that are read.
const ANSWER_MAX: usize = 256 << 10;
/// Longest quotation of an answer, characters.
const QUOTED_MAX: usize = 300;
/// Longest wait that a server can ask for, milliseconds.
const AFTER_MAX_MS: u64 = 600_000;

/// One server.
pub(super) struct Door {
    upstream: Upstream,
    path: PathAndQuery,
    headers: HeaderTemplate,
    secrets: Vec<Secret>,
    timeout: Duration,
}

/// A request to it.
pub(super) struct Outgoing {
    /// The method.
    pub(super) method: Method,
    /// Its path, if it is not the door's own.
    pub(super) path: Option<PathAndQuery>,
    /// Headers of this request.
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    /// The body.
    pub(super) body: Bytes,
}

/// What it answered.
pub(super) struct Heard {
    /// The status.
    pub(super) status: StatusCode,
    /// The headers.
    pub(super) headers: HeaderMap,
    /// The body, as far as it was read.
    pub(super) body: Vec<u8>,
}

impl Door {
    /// The server of `sink`, whose address the loader has checked.
    pub(super) fn new(sink: &Sink, timeout: Duration) -> Door {
        let Sink { url, headers: named, hidden, .. } = sink;
        let upstream = Upstream::parse(url);
        let mut headers = HeaderMap::new();
        if let Ok(host) = HeaderValue::from_str(&upstream.authority) {
            headers.insert(header::HOST, host);
        }
        let agent = concat!("hale/", env!("CARGO_PKG_VERSION"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(agent));
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        for (name, value) in named {
            let name = HeaderName::from_bytes(name.as_bytes());
            if let (Ok(name), Ok(mut value)) = (name, HeaderValue::from_str(value.expose())) {
                value.set_sensitive(true);
                headers.insert(name, value);
            }
        }
        let path = if upstream.base_path.is_empty() { "/" } else { &upstream.base_path };
        Door {
            path: PathAndQuery::try_from(path).unwrap_or_else(|_| PathAndQuery::from_static("/")),
            headers: headers.into(),
            secrets: named.iter().map(|(_, value)| value).chain(hidden).cloned().collect(),
            upstream,
            timeout,
        }
    }

    /// Host and port, for messages.
    pub(super) fn authority(&self) -> &str {
        &self.upstream.authority
    }

    /// The path of every request.
    pub(super) fn path(&self) -> &str {
        self.path.path()
    }

    /// Sends `outgoing` and reads the answer.
    ///
    /// # Errors
    /// Why there is none, in words.
    pub(super) async fn send(&self, outgoing: Outgoing) -> Result<Heard, String> {
        let Outgoing { method, path, headers, body } = outgoing;
        let request = UpstreamRequest {
            method: &method,
            path: path.as_ref().unwrap_or(&self.path),
            headers: &self.headers,
            more: headers,
            body: &body.into(),
            reuse: Reuse::Allowed,
            granted: None,
        };
        let exchange = async {
            let mut answer = upstream::send(&self.upstream, &request)
                .await
                .map_err(|error| error.to_string())?;
            let mut body = Vec::new();
            while body.len() < ANSWER_MAX
                && let Some(piece) = answer.body.piece().await
            {
                let cut = |_| "the answer was cut before its end".to_owned();
                body.extend_from_slice(&piece.map_err(cut)?);
            }
            Ok(Heard { status: answer.status, headers: answer.headers, body })
        };
        let ms = u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX);
        let heard = tokio::time::timeout(self.timeout, exchange).await;
        // What idles is closed by the next request's look, as on a worker's thread.
        upstream::close_idle(clock::now().millis());
        let heard =
            heard.unwrap_or_else(|_| Err(format!("no answer within {} s", clock::seconds(ms))));
        heard.map_err(|why| format!("{}: {why}", self.authority()))
    }

    /// What the answer says, as one line.
    pub(super) fn quoted(&self, heard: &Heard) -> String {
        let text = String::from_utf8_lossy(&heard.body);
        let says =
            if hale_wire::errors::is_html(&heard.body) { "a page of HTML" } else { text.trim() };
        let mut says = clean(says, QUOTED_MAX);
        self.secrets.iter().for_each(|secret| secret.hide_in(&mut says));
        let status = heard.status;
        match says.is_empty() {
            true => format!("{} answered {status}", self.authority()),
            false => format!("{} answered {status}: {says}", self.authority()),
        }
    }
}

impl Heard {
    /// How long the server wants to be left alone, milliseconds.
    pub(super) fn after_ms(&self) -> Option<u64> {
        let hint =
            retry_after::retry_hint_ms(self.status.as_u16(), &self.headers, clock::unix_ms());
        hint.map(|ms| ms.min(AFTER_MAX_MS))
    }

    /// Whether it is a page for people: then it is not the server that was meant.
    pub(super) fn is_page(&self) -> bool {
        let kind = self.headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
        kind.is_some_and(|kind| kind.starts_with(b"text/html"))
            || hale_wire::errors::is_html(&self.body)
    }
}
