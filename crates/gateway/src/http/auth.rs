//! Authenticates a client by its key.
//!
//! Called by the router for every request, before its body is read. Always true: an endpoint without a public
//! role needs the right key; keys are compared in constant time, which reveals at most the length of the
//! right one.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use hale_core::settings::GatewaySettings;
use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::header_list::list;
use super::refusal::{self, Refusal};

/// Headers that may carry the key, besides `authorization` and the configured one.
const KEY_HEADERS: [HeaderName; 5] = [
    HeaderName::from_static("x-litellm-api-key"),
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("api-key"),
    HeaderName::from_static("x-goog-api-key"),
    HeaderName::from_static("ocp-apim-subscription-key"),
];

/// Prefix of the protocol that carries a browser's key, as a browser cannot set headers of a WebSocket
/// handshake. OpenAI's guide to realtime over WebSocket defines it.
pub(crate) const HIDDEN_KEY: &str = "openai-insecure-api-key.";

/// What a client must be to use an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Any client, without a key.
    Public,
    /// One with a key for models.
    Key,
    /// Like [`Role::Key`], unless the config opens the metrics endpoint.
    Metrics,
    /// One with the master key; no client if none is configured.
    Admin,
}

/// What a client may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Everything: the master key.
    Admin,
    /// What needs no key: none is configured, or the endpoint is public.
    Open,
}

/// Checks the client's key against the endpoint's role.
///
/// # Errors
/// The refusal to send.
pub(crate) fn authenticate(
    role: Role,
    headers: &HeaderMap,
    settings: &GatewaySettings,
) -> Result<Access, Refusal> {
    let open = match role {
        Role::Public => true,
        Role::Key => false,
        Role::Admin if settings.master_key.is_none() => {
            return Err(refusal::no_admin());
        }
        Role::Admin => false,
        Role::Metrics => !settings.metrics_need_key,
    };
    if open {
        return Ok(Access::Open);
    }
    let Some(master) = &settings.master_key else {
        return Ok(Access::Open);
    };
    let extra = settings.key_header.as_deref();
    let key = presented_key(headers, extra)?;
    if verify_slices_are_equal(key.as_bytes(), master.expose().as_bytes()).is_ok() {
        return Ok(Access::Admin);
    }
    Err(refusal::wrong_key())
}

fn presented_key<'h>(headers: &'h HeaderMap, extra: Option<&str>) -> Result<&'h str, Refusal> {
    let text = |value: &'h HeaderValue| value.to_str().map_err(|_| refusal::malformed_key());
    if let Some(value) = extra.and_then(|name| headers.get(name)) {
        let value = text(value)?;
        return Ok(bearer(value).unwrap_or(value));
    }
    let mut authorizations = headers.get_all(header::AUTHORIZATION).iter();
    if let Some(value) = authorizations.next() {
        if authorizations.next().is_some() {
            return Err(refusal::malformed_key());
        }
        return bearer(text(value)?).ok_or_else(refusal::malformed_key);
    }
    for name in &KEY_HEADERS {
        if let Some(value) = headers.get(name) {
            let value = text(value)?;
            return Ok(bearer(value).unwrap_or(value));
        }
    }
    if let Some(key) = hidden_key(headers) {
        return Ok(key);
    }
    Err(refusal::missing_key())
}

/// The key that a browser sends among the protocols of a WebSocket.
pub(crate) fn hidden_key(headers: &HeaderMap) -> Option<&str> {
    list(headers, &header::SEC_WEBSOCKET_PROTOCOL).find_map(|one| one.strip_prefix(HIDDEN_KEY))
}

/// The token of a `Bearer` value; the scheme's case does not matter.
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && !token.contains(' '))
        .then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(headers: &HeaderMap) -> Option<&str> {
        presented_key(headers, Some("x-mine")).ok()
    }

    #[test]
    fn the_key_is_found_in_every_documented_header() {
        for name in [HeaderName::from_static("x-mine")].into_iter().chain(KEY_HEADERS) {
            for value in ["sk-1", "Bearer sk-1"] {
                let mut headers = HeaderMap::new();
                headers.insert(&name, HeaderValue::from_str(value).unwrap());
                assert_eq!(key(&headers), Some("sk-1"), "{name}: {value}");
            }
        }
        let mut headers = HeaderMap::new();
        headers.insert("authorization", HeaderValue::from_static("bEaReR   sk-1"));
        assert_eq!(key(&headers), Some("sk-1"));
    }

    #[test]
    fn a_malformed_authorization_is_refused_even_beside_a_good_header() {
        for value in ["sk-1", "Basic abc", "Bearer", "Bearer ", "Bearer a b"] {
            let mut headers = HeaderMap::new();
            headers.insert("authorization", HeaderValue::from_str(value).unwrap());
            headers.insert("api-key", HeaderValue::from_static("sk-1"));
            assert_eq!(key(&headers), None, "{value}");
        }
        let mut twice = HeaderMap::new();
        twice.append("authorization", HeaderValue::from_static("Bearer a"));
        twice.append("authorization", HeaderValue::from_static("Bearer b"));
        assert_eq!(key(&twice), None);
        assert_eq!(key(&HeaderMap::new()), None);
    }
}
