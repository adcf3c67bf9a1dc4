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
    pub(crate) headers: &'r HeaderMap,
    /// Headers of this request alone. They replace those above of the same name.
    pub(crate) more: Vec<(HeaderName, HeaderValue)>,
    /// The body.
    pub(crate) body: &'r Payload,
    /// The secret that a credential got for this request and the config does not hold. It is never shown.
    pub(crate) granted: Option<Secret>,
}

impl UpstreamRequest<'_> {
    /// Blacks out in `error` what the credential added.
    pub(crate) fn hide_in(&self, error: &mut ProviderError) {
        if let Some(secret) = &self.granted {
            error.hide(secret);
        }
    }

    /// Whether it asks for another protocol.
    pub(super) fn switches(&self) -> bool {
        self.more.iter().any(|(name, _)| *name == header::UPGRADE)
    }

    /// The head as bytes, with room for `room` more.
    pub(super) fn encode(&self, room: usize) -> Vec<u8> {
        // A request header replaces the default of the same name.
        let is_general = |name: &HeaderName| self.more.iter().all(|(own, _)| own != name);
        let own = self.more.iter().map(|(name, value)| (name, value));
        let headers =
            || self.headers.iter().filter(|(name, _)| is_general(name)).chain(own.clone());
        let lines: usize =
            headers().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
        let mut head = Vec::with_capacity(lines + self.path.as_str().len() + 64 + room);
        let mut put = |bytes: &[u8]| head.extend_from_slice(bytes);
        put(self.method.as_str().as_bytes());
        put(b" ");
        put(self.path.as_str().as_bytes());
        put(b" HTTP/1.1\r\n");
        for (name, value) in headers() {
            put(name.as_str().as_bytes());
            put(b": ");
            put(value.as_bytes());
            put(b"\r\n");
        }
        if !self.body.is_empty() || *self.method == Method::POST {
            put(b"content-length: ");
            put(HeaderValue::from(self.body.len()).as_bytes());
            put(b"\r\n");
        }
        put(b"\r\n");
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
        let body = Payload::from(Bytes::from_static(b"{}"));
        let request = UpstreamRequest {
            method: &Method::POST,
            path: &PathAndQuery::from_static("/v1/x"),
            headers: &headers,
            more: vec![(header::ACCEPT, HeaderValue::from_static("a/b"))],
            body: &body,
            granted: None,
        };
        // A request header replaces the default of the same name.
        let general = [("host", "h"), ("accept", "other")];
        let general = general.map(|(name, value)| (name, HeaderValue::from_static(value)));
        let general = general.map(|(name, value)| (HeaderName::from_static(name), value));
        let general = HeaderMap::from_iter(general);
        let request = UpstreamRequest { headers: &general, ..request };
        let expected = "POST /v1/x HTTP/1.1\r\nhost: h\r\naccept: a/b\r\ncontent-length: 2\r\n\r\n";
        assert_eq!(String::from_utf8(request.encode(0)).unwrap(), expected);
        let get = UpstreamRequest { method: &Method::GET, body: &Payload::default(), ..request };
        assert!(!String::from_utf8(get.encode(0)).unwrap().contains("length"));
    }
}
