//! The two handshakes of a WebSocket: the client's, and a separate one with an upstream.
//!
//! Called by [`super::opening`] for the client's side, by [`super::attempt`] for the upstream's. Always true:
//! each side has its own key, so that an upstream that does not speak WebSocket is detected while another can
//! still be called; no credential of the client is passed on; no extension is accepted, so that frames can
//! be parsed.

use hale_core::operation::Operation;
use hale_core::provider::Edition;
use hale_wire::websocket::{self, Speaker};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Version, header};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::http::auth::HIDDEN_KEY;
use crate::http::header_list::{list, only};
use crate::http::query;
use crate::http::refusal::{self, Refusal};
use crate::upstream::{ObjectPath, Switched};

/// The protocol for a client if the upstream chooses none: a browser that offers protocols requires one.
/// OpenAI's guide to realtime over WebSocket names it.
const REALTIME: &str = "realtime";
/// Prefixes of the protocols that carry credentials, as a browser cannot set headers. From the same guide.
const CREDENTIALS: [&str; 3] = [HIDDEN_KEY, "openai-organization.", "openai-project."];
/// The same as `openai-beta: realtime=v1`, from a browser.
const BETA_PROTOCOL: &str = "openai-beta.realtime-v1";
const BETA: HeaderName = HeaderName::from_static("openai-beta");
/// How long an upstream may take to close an unused session, milliseconds.
const GOODBYE_MS: u64 = 1_000;

/// What a client offers.
#[derive(Default)]
pub(crate) struct Handshake {
    key: Box<str>,
    /// The protocols that it offers, without those that carry credentials.
    protocols: Vec<Box<str>>,
    /// `openai-beta`.
    beta: Option<HeaderValue>,
}

/// An upstream that has accepted its handshake.
pub(crate) struct Socket {
    /// Its connection.
    pub(crate) stream: Switched,
    /// The protocol that it chose.
    pub(crate) protocol: Option<HeaderValue>,
}

impl Handshake {
    /// Reads the client's handshake.
    ///
    /// # Errors
    /// What is wrong with the handshake.
    pub(super) fn of(head: &Parts) -> Result<Handshake, Refusal> {
        let headers = &head.headers;
        let asks = list(headers, &header::CONNECTION)
            .any(|one| one.eq_ignore_ascii_case("upgrade"))
            && list(headers, &header::UPGRADE).any(|one| one.eq_ignore_ascii_case("websocket"));
        if !asks || head.version != Version::HTTP_11 {
            return Err(refusal::no_upgrade(head.uri.path()));
        }
        if only(headers, &header::SEC_WEBSOCKET_VERSION) != Some(websocket::VERSION) {
            return Err(refusal::wrong_websocket_version());
        }
        let key = only(headers, &header::SEC_WEBSOCKET_KEY);
        let Some(key) = key.filter(|key| websocket::is_key(key)) else {
            return Err(refusal::bad_websocket_key());
        };
        let protocols = list(headers, &header::SEC_WEBSOCKET_PROTOCOL)
            .filter(|one| !CREDENTIALS.iter().any(|begin| one.starts_with(begin)));
        Ok(Handshake {
            key: key.into(),
            protocols: protocols.map(Box::from).collect(),
            beta: headers.get(BETA).cloned(),
        })
    }

    /// Which edition of realtime the client speaks, by the header or the protocol that names the one before the general one.
    pub(super) fn edition(&self) -> Edition {
        let named = |value: &str| value.split(',').any(|one| one.trim() == "realtime=v1");
        let header = self.beta.as_ref().and_then(|value| value.to_str().ok());
        let is_first =
            header.is_some_and(named) || self.protocols.iter().any(|one| **one == *BETA_PROTOCOL);
        if is_first { Edition::First } else { Edition::Current }
    }

    /// The headers of the upstream's handshake; `key` is the attempt's own.
    pub(super) fn headers(&self, key: &str) -> Vec<(HeaderName, HeaderValue)> {
        let mut headers = vec![
            (header::CONNECTION, HeaderValue::from_static("Upgrade")),
            (header::UPGRADE, HeaderValue::from_static("websocket")),
            (header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static(websocket::VERSION)),
        ];
        headers.extend(HeaderValue::from_str(key).map(|key| (header::SEC_WEBSOCKET_KEY, key)));
        if !self.protocols.is_empty() {
            let all = HeaderValue::from_str(&self.protocols.join(", "));
            headers.extend(all.map(|all| (header::SEC_WEBSOCKET_PROTOCOL, all)));
        }
        headers.extend(self.beta.clone().map(|beta| (BETA, beta)));
        headers
    }

    /// The protocol that the upstream chose, if its answer to `key` is valid. Removes the headers that concern
    /// only that connection.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn agreed(
        &self,
        key: &str,
        headers: &mut HeaderMap,
    ) -> Result<Option<HeaderValue>, String> {
        let says = |name: &HeaderName, word: &str| {
            list(headers, name).any(|one| one.eq_ignore_ascii_case(word))
        };
        if !says(&header::UPGRADE, "websocket") || !says(&header::CONNECTION, "upgrade") {
            return Err("the upstream answered 101 without `Upgrade: websocket`".to_owned());
        }
        if only(headers, &header::SEC_WEBSOCKET_ACCEPT) != Some(&websocket::accept(key)) {
            return Err("the upstream answered 101 with a wrong Sec-WebSocket-Accept: it did not \
                        understand the handshake"
                .to_owned());
        }
        if list(headers, &header::SEC_WEBSOCKET_EXTENSIONS).next().is_some() {
            return Err(
                "the upstream answered 101 with an extension that was not offered".to_owned()
            );
        }
        let chosen = only(headers, &header::SEC_WEBSOCKET_PROTOCOL);
        if chosen.is_some_and(|chosen| !self.protocols.iter().any(|one| **one == *chosen)) {
            return Err("the upstream answered 101 with a protocol that was not offered".to_owned());
        }
        headers.remove(header::UPGRADE);
        headers.remove(header::CONNECTION);
        headers.remove(header::SEC_WEBSOCKET_ACCEPT);
        Ok(headers.remove(header::SEC_WEBSOCKET_PROTOCOL))
    }

    /// Adds the headers that accept the client's handshake; `chosen` is the upstream's protocol.
    pub(super) fn agree(&self, headers: &mut HeaderMap, chosen: Option<HeaderValue>) {
        headers.remove(header::CONTENT_TYPE);
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        if let Ok(accept) = HeaderValue::from_str(&websocket::accept(&self.key)) {
            headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
        }
        let offers = self.protocols.iter().any(|one| &**one == REALTIME);
        let chosen = chosen.or(offers.then(|| HeaderValue::from_static(REALTIME)));
        if let Some(chosen) = chosen {
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, chosen);
        }
    }
}

impl Socket {
    /// Closes an unused session, within `left_ms`.
    pub(crate) async fn goodbye(mut self, left_ms: u64) {
        let limit = std::time::Duration::from_millis(GOODBYE_MS.min(left_ms));
        let closing = async {
            let frame = websocket::close_frame(Speaker::Client, 1000, "");
            self.stream.write_all(&frame).await?;
            self.stream.flush().await?;
            let mut unread = [0; 1024];
            while self.stream.read(&mut unread).await? > 0 {}
            Ok::<(), std::io::Error>(())
        };
        // The result does not matter: the session is over.
        let _late: Result<std::io::Result<()>, _> = tokio::time::timeout(limit, closing).await;
    }
}

/// The model that a handshake asks for: in `model`, or in `deployment`, as Azure's clients write it.
///
/// # Errors
/// It names two models.
pub(super) fn model(query: &str) -> Result<Option<Box<str>>, Refusal> {
    let mut found: Option<Box<str>> = None;
    for (name, value) in query::pairs(query) {
        if matches!(&*name, "model" | "deployment") {
            let value = query::decoded_form(value.unwrap_or_default());
            if found.as_ref().is_some_and(|found| *found != value) {
                let problem = "the query names two models; send one `model`";
                return Err(refusal::bad_parameter("model", problem));
            }
            found = Some(value);
        }
    }
    Ok(found)
}

/// The query parameters of the session that are passed on; `None` if there are none.
pub(super) fn object(query: &str) -> Option<ObjectPath> {
    let asked = query::only(query, Operation::Realtime.query());
    (!asked.is_empty()).then(|| ObjectPath { id: Box::default(), query: asked.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn the_query_gives_the_model_and_keeps_credentials_here() {
        let query =
            "model=openai%2Frt+1&int%65nt=transcription&api-key=k&Authorization=x&&api-version=1&y";
        assert_eq!(model(query).unwrap().as_deref(), Some("openai/rt 1"));
        assert_eq!(&*object(query).unwrap().query, "intent=transcription");
        assert!(object("model=a&deployment=a&api%2dkey=k&Intent=x").is_none());
        assert!(model("model=a&mod%65l=b").is_err() && model("model=a&deploymen%74=b").is_err());
        assert_eq!(model("mod%65l=a").unwrap().as_deref(), Some("a"));
        assert_eq!(model("deployment=a&model=a").unwrap().as_deref(), Some("a"));
        assert!(model("deployment=a&model=b").is_err());
        assert!(model("").unwrap().is_none());
    }

    #[test]
    fn a_key_among_the_protocols_is_found_and_stays_here() {
        let offered = headers(&[
            ("sec-websocket-protocol", "realtime, openai-insecure-api-key.sk-1"),
            ("sec-websocket-protocol", "openai-organization.o,openai-beta.realtime-v1"),
        ]);
        assert_eq!(crate::http::auth::hidden_key(&offered), Some("sk-1"));
        let (mut head, ()) = http::Request::new(()).into_parts();
        head.headers = headers(&[
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "WebSocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("openai-beta", "realtime=v1"),
        ]);
        head.headers.extend(offered);
        let handshake = Handshake::of(&head).unwrap();
        let out: HeaderMap = handshake.headers("own").into_iter().collect();
        assert_eq!(out["sec-websocket-protocol"], "realtime, openai-beta.realtime-v1");
        assert_eq!((&out["sec-websocket-key"], &out["openai-beta"]).0, "own");
        let mut back = HeaderMap::new();
        handshake.agree(&mut back, None);
        assert_eq!(back["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(back["sec-websocket-protocol"], "realtime");
    }

    #[test]
    fn an_upstream_that_did_not_understand_is_found_out() {
        let handshake = Handshake { protocols: vec!["a".into()], ..Handshake::default() };
        let accept = websocket::accept("k");
        let good = [("upgrade", "websocket"), ("connection", "Upgrade")];
        let with = |more: &[(&'static str, &str)]| {
            let mut all = headers(&good);
            all.extend(headers(more));
            handshake.agreed("k", &mut all).map(|chosen| (chosen, all.len()))
        };
        let right = ("sec-websocket-accept", &*accept);
        assert_eq!(with(&[right]), Ok((None, 0)));
        let chosen = Some(HeaderValue::from_static("a"));
        assert_eq!(with(&[right, ("sec-websocket-protocol", "a")]), Ok((chosen, 0)));
        for bad in [
            &[][..],
            &[("sec-websocket-accept", "x")],
            &[right, right],
            &[right, ("sec-websocket-protocol", "b")],
            &[right, ("sec-websocket-extensions", "permessage-deflate")],
        ] {
            assert!(with(bad).is_err(), "{bad:?}");
        }
        assert!(handshake.agreed("k", &mut headers(&[right])).is_err());
    }
}
