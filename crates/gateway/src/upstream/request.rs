//! A request to an upstream, and its head as bytes.
//!
//! Filled by the caller, authorized by [`super::credential`], written by [`super::link`]. Always true: what
//! leaves has one `content-length` and no other framing.

use hale_core::health::outcome::ProviderError;
use hale_core::secret::Secret;
use hale_wire::payload::Payload;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

/// A request on its way out. Most of it is borrowed, so that a second connection can send it again.
pub(crate) struct UpstreamRequest<'r> {
    /// The method.
    pub(crate) method: &'r Method,
    /// The path.
    pub(crate) path: &'r PathAndQuery,
    /// Headers, with `host` and without framing.
    pub(crate) headers: &'r HeaderTemplate,
    /// Headers of this request alone. They replace those above of the same name.
    pub(crate) more: Vec<(HeaderName, HeaderValue)>,
    /// The body.
    pub(crate) body: &'r Payload,
    /// Whether it may use a kept connection.
    pub(crate) reuse: Reuse,
    /// The secret that a credential got for this request and the config does not hold. It is never shown.
    pub(crate) granted: Option<Secret>,
}

/// Headers that many requests share. Their lines are written once, because most requests replace none of them.
pub(crate) struct HeaderTemplate {
    map: HeaderMap,
    /// The lines as they leave. They hold credentials, so that this type cannot be printed.
    lines: Box<[u8]>,
}

impl From<HeaderMap> for HeaderTemplate {
    fn from(map: HeaderMap) -> HeaderTemplate {
        let mut lines = Vec::new();
        for (name, value) in &map {
            put_line(&mut lines, name, value);
        }
        HeaderTemplate { map, lines: lines.into() }
    }
}

impl HeaderTemplate {
    /// The headers.
    pub(crate) fn map(&self) -> &HeaderMap {
        &self.map
    }

    /// Writes the lines of all headers but those that `more` replaces.
    fn write(&self, more: &[(HeaderName, HeaderValue)], head: &mut Vec<u8>) {
        if more.iter().all(|(own, _)| self.map.keys().all(|name| name != own)) {
            head.extend_from_slice(&self.lines);
            return;
        }
        for (name, value) in &self.map {
            if more.iter().all(|(own, _)| own != name) {
                put_line(head, name, value);
            }
        }
    }
}

fn put_line(head: &mut Vec<u8>, name: &HeaderName, value: &HeaderValue) {
    head.extend_from_slice(name.as_str().as_bytes());
    head.extend_from_slice(b": ");
    head.extend_from_slice(value.as_bytes());
    head.extend_from_slice(b"\r\n");
}

/// Whether a request may use a kept connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reuse {
    /// It may. If that connection turns out to be closed, the request is sent again on a new one.
    Allowed,
    /// It gets a new connection, and is sent once.
    Never,
}

impl UpstreamRequest<'_> {
    /// Blacks out in `error` what the credential added.
    pub(crate) fn hide_in(&self, error: &mut ProviderError) {
        if let Some(secret) = &self.granted {
            error.hide(secret);
        }
    }

    /// Sets a header of this request alone.
    pub(super) fn put(&mut self, name: HeaderName, value: HeaderValue) {
        match self.more.iter_mut().find(|(own, _)| *own == name) {
            Some((_, known)) => *known = value,
            None => self.more.push((name, value)),
        }
    }

    /// Whether it asks for another protocol.
    pub(super) fn switches(&self) -> bool {
        self.more.iter().any(|(name, _)| *name == header::UPGRADE)
    }

    /// The head as bytes, with room for `room` more.
    pub(super) fn encode(&self, room: usize) -> Vec<u8> {
        let own: usize =
            self.more.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
        let path = self.path.as_str();
        let mut head = Vec::with_capacity(self.headers.lines.len() + own + path.len() + 64 + room);
        head.extend_from_slice(self.method.as_str().as_bytes());
        head.push(b' ');
        head.extend_from_slice(path.as_bytes());
        head.extend_from_slice(b" HTTP/1.1\r\n");
        // A request header replaces the default of the same name.
        self.headers.write(&self.more, &mut head);
        for (name, value) in &self.more {
            put_line(&mut head, name, value);
        }
        if !self.body.is_empty() || *self.method == Method::POST {
            head.extend_from_slice(b"content-length: ");
            head.extend_from_slice(itoa::Buffer::new().format(self.body.len()).as_bytes());
            head.extend_from_slice(b"\r\n");
        }
        head.extend_from_slice(b"\r\n");
        head
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn a_request_is_written_with_its_length() {
        let mut headers = HeaderMap::new();
        headers.insert("host", HeaderValue::from_static("h"));
        let headers = HeaderTemplate::from(headers);
        let body = Payload::from(Bytes::from_static(b"{}"));
        let request = UpstreamRequest {
            method: &Method::POST,
            path: &PathAndQuery::from_static("/v1/x"),
            headers: &headers,
            more: vec![(header::ACCEPT, HeaderValue::from_static("a/b"))],
            body: &body,
            reuse: Reuse::Allowed,
            granted: None,
        };
        // A request header replaces the default of the same name.
        let general = [("host", "h"), ("accept", "other")];
        let general = general.map(|(name, value)| (name, HeaderValue::from_static(value)));
        let general = general.map(|(name, value)| (HeaderName::from_static(name), value));
        let general = HeaderTemplate::from(HeaderMap::from_iter(general));
        let request = UpstreamRequest { headers: &general, ..request };
        let expected = "POST /v1/x HTTP/1.1\r\nhost: h\r\naccept: a/b\r\ncontent-length: 2\r\n\r\n";
        assert_eq!(String::from_utf8(request.encode(0)).unwrap(), expected);
        let get = UpstreamRequest { method: &Method::GET, body: &Payload::default(), ..request };
        assert!(!String::from_utf8(get.encode(0)).unwrap().contains("length"));
    }
}
