//! One request to a server that is no provider: a channel that people read, or a sink of records.
//!
//! Used by [`crate::alert`] and [`crate::sink`]. Always true: a request leaves by [`super::send`] and is bounded in time and in
//! what is read of its answer; a redirect is not followed; no message about it holds a credential, also not one that
//! the server repeats.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use hale_core::secret::Secret;
use hale_wire::errors::{clean, is_html};
use hale_wire::retry_after;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

use super::{HeaderTemplate, Reuse, Upstream, UpstreamRequest, close_idle, send};
use crate::clock;

/// Bytes of an answer that are read.
const ANSWER_MAX: usize = 256 << 10;
/// Longest quotation of an answer, characters.
const QUOTED_MAX: usize = 300;
/// Shortest part of an address that is hidden, bytes: a shorter one is an ordinary word.
const PART_MIN: usize = 8;

/// One server.
pub(crate) struct Outward {
    upstream: Upstream,
    path: PathAndQuery,
    headers: HeaderTemplate,
    secrets: Vec<Secret>,
    timeout: Duration,
    reuse: Reuse,
}

/// A request to it.
pub(crate) struct Outgoing {
    /// The method.
    pub(crate) method: Method,
    /// Its path, if it is not that of the address.
    pub(crate) path: Option<PathAndQuery>,
    /// Headers of this request.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// The body.
    pub(crate) body: Bytes,
}

/// What it answered.
pub(crate) struct Heard {
    /// The status.
    pub(crate) status: StatusCode,
    /// The headers.
    pub(crate) headers: HeaderMap,
    /// The body, as far as it was read.
    pub(crate) body: Vec<u8>,
    /// Whether the connection broke before the end of the body.
    pub(crate) is_cut: bool,
}

impl Outward {
    /// The server at `url`, which the config loader has checked. A user and a password in it become a header; these and what
    /// the query says are hidden in messages. A request may take `timeout`.
    pub(crate) fn new(url: &str, timeout: Duration) -> Outward {
        let url = url.split('#').next().unwrap_or_default();
        let (scheme, place) = url.split_once("://").unwrap_or(("https", url));
        let end = place.find(['/', '?']).unwrap_or(place.len());
        let (authority, path) = place.split_at(end);
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let upstream = Upstream::parse(&format!("{}://{host}", scheme.to_ascii_lowercase()));
        let mut headers = HeaderMap::new();
        if let Ok(host) = HeaderValue::from_str(&upstream.authority) {
            headers.insert(header::HOST, host);
        }
        let agent = concat!("hale/", env!("CARGO_PKG_VERSION"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(agent));
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let query = path.split_once('?').map_or("", |(_, query)| query);
        let mut secrets: Vec<Secret> = parts(query, &['&', '=']).collect();
        if let Some(user) = user {
            let decoded = percent_encoding::percent_decode_str(user).decode_utf8_lossy();
            let coded = BASE64.encode(decoded.as_bytes());
            secrets.extend(parts(user, &[':']).chain(parts(&decoded, &[':'])));
            secrets.push(Secret::new(&coded));
            if let Ok(mut value) = HeaderValue::try_from(format!("Basic {coded}")) {
                value.set_sensitive(true);
                headers.insert(header::AUTHORIZATION, value);
            }
        }
        Outward {
            path: path.parse().unwrap_or_else(|_| PathAndQuery::from_static("/")),
            headers: headers.into(),
            secrets,
            upstream,
            timeout,
            reuse: Reuse::Allowed,
        }
    }

    /// The same, with headers in every request whose values are hidden.
    pub(crate) fn with_headers(mut self, named: &[(Box<str>, Secret)]) -> Outward {
        let mut headers = self.headers.map().clone();
        for (name, value) in named {
            let name = HeaderName::from_bytes(name.as_bytes());
            if let (Ok(name), Ok(mut header)) = (name, HeaderValue::from_str(value.expose())) {
                header.set_sensitive(true);
                headers.insert(name, header);
            }
            self.secrets.push(value.clone());
        }
        Outward { headers: headers.into(), ..self }
    }

    /// The same, with more that is hidden in messages.
    pub(crate) fn hiding<'s>(mut self, secrets: impl IntoIterator<Item = &'s Secret>) -> Outward {
        self.secrets.extend(secrets.into_iter().cloned());
        self
    }

    /// The same for an address whose path is a credential, as those of webhooks are.
    pub(crate) fn hiding_path(mut self) -> Outward {
        self.secrets.extend(parts(self.path.path(), &['/']));
        self
    }

    /// The same with a new connection for each request, for requests so rare that a kept one would be closed by then.
    pub(crate) fn rarely(self) -> Outward {
        Outward { reuse: Reuse::Never, ..self }
    }

    /// Host and port, for messages.
    pub(crate) fn authority(&self) -> &str {
        &self.upstream.authority
    }

    /// The path of the address.
    pub(crate) fn path(&self) -> &str {
        self.path.path()
    }

    /// Sends `outgoing` and reads the answer.
    ///
    /// # Errors
    /// Why there is none, in words that begin with the host.
    pub(crate) async fn send(&self, outgoing: Outgoing) -> Result<Heard, String> {
        let Outgoing { method, path, headers, body } = outgoing;
        let request = UpstreamRequest {
            method: &method,
            path: path.as_ref().unwrap_or(&self.path),
            headers: &self.headers,
            more: headers,
            body: &body.into(),
            reuse: self.reuse,
            granted: None,
        };
        let exchange = async {
            let mut answer =
                send(&self.upstream, &request).await.map_err(|error| error.to_string())?;
            let (mut body, mut is_cut) = (Vec::new(), false);
            while body.len() < ANSWER_MAX
                && let Some(piece) = answer.body.piece().await
            {
                let Ok(piece) = piece else {
                    is_cut = true;
                    break;
                };
                body.extend_from_slice(&piece);
            }
            Ok(Heard { status: answer.status, headers: answer.headers, body, is_cut })
        };
        let ms = u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX);
        let heard = tokio::time::timeout(self.timeout, exchange).await;
        // What idles is closed by the next request's look, as on a worker's thread.
        close_idle(clock::now().millis());
        let heard =
            heard.unwrap_or_else(|_| Err(format!("no answer within {} s", clock::seconds(ms))));
        heard.map_err(|why| format!("{}: {}", self.authority(), self.shown(&why, QUOTED_MAX)))
    }

    /// `text` of the server as a message may show it: without credentials, cut to `max` characters.
    pub(crate) fn shown(&self, text: &str, max: usize) -> String {
        let mut text = text.trim().to_owned();
        // Before it is cut: of a credential that is cut its begin would stay.
        self.secrets.iter().for_each(|secret| secret.hide_in(&mut text));
        clean(&text, max)
    }

    /// What the answer says, as one line.
    pub(crate) fn quoted(&self, heard: &Heard) -> String {
        let text = String::from_utf8_lossy(&heard.body);
        let says = if heard.is_page() { "a page of HTML" } else { &*text };
        let says = self.shown(says, QUOTED_MAX);
        let status = heard.status;
        match says.is_empty() {
            true => format!("{} answered {status}", self.authority()),
            false => format!("{} answered {status}: {says}", self.authority()),
        }
    }
}

impl Heard {
    /// How long the server wants to be left alone, milliseconds.
    pub(crate) fn after_ms(&self) -> Option<u64> {
        retry_after::retry_hint_ms(self.status.as_u16(), &self.headers, clock::unix_ms())
    }

    /// Whether it is a page for people: then it is not the server that was meant.
    pub(crate) fn is_page(&self) -> bool {
        let kind = self.headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
        let says = kind
            .and_then(|kind| kind.get(..9))
            .is_some_and(|kind| kind.eq_ignore_ascii_case(b"text/html"));
        // Slack labels its `ok` as HTML.
        (says && self.body.trim_ascii_start().starts_with(b"<")) || is_html(&self.body)
    }
}

/// The parts of `text` between `ends` that can be credentials.
fn parts<'t>(text: &'t str, ends: &'t [char]) -> impl Iterator<Item = Secret> + use<'t> {
    text.split(ends).filter(|part| part.len() >= PART_MIN).map(Secret::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(status: u16, kind: &'static str, text: &str) -> Heard {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        let status = StatusCode::from_u16(status).unwrap();
        Heard { status, headers, body: text.as_bytes().to_vec(), is_cut: false }
    }

    fn outward(url: &str) -> Outward {
        Outward::new(url, Duration::from_secs(1))
    }

    #[test]
    fn an_address_is_taken_apart_and_its_user_becomes_a_header() {
        let to = outward("HTTPS://me:p%40ssw0rds@hooks.example:8443?sig=abcdefghij#x");
        assert_eq!((to.authority(), to.upstream.tls), ("hooks.example:8443", true));
        assert_eq!(to.path.as_str(), "/?sig=abcdefghij");
        let header = &to.headers.map()[header::AUTHORIZATION];
        assert_eq!(header, "Basic bWU6cEBzc3cwcmRz");
        assert!(header.is_sensitive());
        let said = to.shown("p%40ssw0rds p@ssw0rds bWU6cEBzc3cwcmRz abcdefghij hooks.example", 300);
        assert_eq!(said, "*** *** *** *** hooks.example");
    }

    #[test]
    fn the_path_of_a_webhook_is_hidden_and_that_of_a_sink_is_not() {
        let text = "no /services/T0000000000/B0000000000/abc.defghij";
        let to = outward("https://hooks.example/services/T0000000000/B0000000000/abc.defghij");
        assert_eq!(to.shown(text, 300), text);
        assert_eq!(to.hiding_path().shown(text, 300), "no /***/***/***/***");
    }

    #[test]
    fn of_a_credential_that_is_cut_nothing_stays() {
        let key = Secret::new("0123456789abcdefghij");
        let to = outward("https://h").hiding([&key]);
        for before in 0..40 {
            let text = format!("{}{}{}", ".".repeat(before), key.expose(), "and more of it");
            let said = to.shown(&text, 30);
            assert!(!said.contains("01234"), "{said}");
        }
    }

    #[test]
    fn a_page_is_known_by_what_it_says_and_not_by_its_label_alone() {
        for (kind, text, is_page) in [
            ("text/html", "ok", false),
            ("text/html; charset=utf-8", " <p>", true),
            ("Text/HTML", "<p>", true),
            ("text/plain", " <!DOCTYPE html>", true),
            ("text/plain", "<p>", false),
            ("application/json", "{}", false),
        ] {
            assert_eq!(heard(200, kind, text).is_page(), is_page, "{kind} {text}");
        }
        let to = outward("https://h:1");
        assert_eq!(
            to.quoted(&heard(500, "text/plain", " ")),
            "h:1 answered 500 Internal Server Error"
        );
        let page = to.quoted(&heard(404, "text/html", "<html>"));
        assert_eq!(page, "h:1 answered 404 Not Found: a page of HTML");
    }
}
