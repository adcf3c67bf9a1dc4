//! One call to an issuer of tokens, and what its answer is.
//!
//! Used by the issuers beside it. Always true: an answer is read up to a bound; what an issuer says when it refuses shows no secret that
//! was sent to it.

use bytes::Bytes;
use hale_core::azure::RESERVED;
use hale_core::health::outcome::ProviderError;
use hale_core::secret::Secret;
use hale_wire::{retry_after, without_mark};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use percent_encoding::utf8_percent_encode;
use serde::Deserialize;

use super::error::CredentialError;
use crate::clock;
use crate::upstream::address::Upstream;
use crate::upstream::error::SendError;
use crate::upstream::request::{HeaderTemplate, Reuse, UpstreamRequest};
use crate::upstream::send::send;
use crate::upstream::sigv4::{Signer, Unsigned, hash_of};

/// Largest answer of an issuer, bytes.
const ANSWER_MAX: usize = 64 << 10;

/// What is sent to an issuer.
pub(super) struct Call {
    method: Method,
    path: PathAndQuery,
    headers: HeaderMap,
    body: Bytes,
}

impl Call {
    /// A GET of `path`.
    pub(super) fn get(path: &str) -> Call {
        Call::new(Method::GET, path, Bytes::new())
    }

    /// `json`, posted to `path`.
    pub(super) fn json(path: &str, json: String) -> Call {
        let call = Call::new(Method::POST, path, Bytes::from(json));
        call.with(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))
    }

    /// A form with `fields`, posted to `path`.
    pub(super) fn form(path: &str, fields: &[(&str, &str)]) -> Call {
        let call = Call::new(Method::POST, path, Bytes::from(form(fields)));
        let content_type = HeaderValue::from_static("application/x-www-form-urlencoded");
        call.with(header::CONTENT_TYPE, content_type)
    }

    /// A request of `path` without a body.
    pub(super) fn bare(method: Method, path: &str) -> Call {
        Call::new(method, path, Bytes::new())
    }

    /// The same, signed by `signer` for `host`.
    pub(super) fn signed(mut self, signer: &Signer<'_>, host: &str) -> Call {
        let content_type = self.headers.get(header::CONTENT_TYPE);
        let content_type = content_type.and_then(|value| value.to_str().ok());
        let content_type = content_type.map(|value| ("content-type", value));
        let unsigned = Unsigned {
            method: &self.method,
            host,
            path: self.path.path(),
            query: "",
            headers: content_type.as_slice(),
            hash: hash_of([&self.body[..]]),
        };
        let signed = signer.sign(&unsigned, clock::unix_ms());
        self.headers.extend(signed);
        self
    }

    fn new(method: Method, path: &str, body: Bytes) -> Call {
        // The addresses of issuers were checked when the config was read.
        let path = PathAndQuery::try_from(path).unwrap_or_else(|_| PathAndQuery::from_static("/"));
        let call = Call { method, path, headers: HeaderMap::new(), body };
        call.with(header::ACCEPT, HeaderValue::from_static("application/json"))
    }

    /// The same with one more header.
    pub(super) fn with(mut self, name: HeaderName, value: HeaderValue) -> Call {
        self.headers.insert(name, value);
        self
    }

    /// Sends it to `upstream`, whose name in messages is `issuer`.
    ///
    /// # Errors
    /// If no answer came.
    pub(super) async fn send(
        mut self,
        upstream: &Upstream,
        issuer: &'static str,
    ) -> Result<Said, CredentialError> {
        if let Ok(host) = HeaderValue::from_str(&upstream.authority) {
            self.headers.insert(header::HOST, host);
        }
        let request = UpstreamRequest {
            method: &self.method,
            path: &self.path,
            headers: &HeaderTemplate::from(self.headers),
            more: Vec::new(),
            body: &self.body.into(),
            reuse: Reuse::Allowed,
            granted: None,
        };
        let unsent = |error| CredentialError::Unsent { issuer, error };
        let mut answer = send(upstream, &request).await.map_err(unsent)?;
        let mut text = Vec::new();
        while text.len() < ANSWER_MAX
            && let Some(piece) = answer.body.piece().await
        {
            let Ok(piece) = piece else { return Err(unsent(SendError::Cut)) };
            text.extend_from_slice(&piece);
        }
        Ok(Said { status: answer.status, headers: answer.headers, text })
    }
}

/// What an issuer said.
pub(super) struct Said {
    /// The status.
    pub(super) status: StatusCode,
    /// The headers.
    pub(super) headers: HeaderMap,
    /// The body.
    pub(super) text: Vec<u8>,
}

impl Said {
    /// What it says when it refuses a token: the error of OAuth 2, or Google's. `of` says what the token was asked for with.
    pub(super) fn oauth_error(&self, issuer: &str, of: &str) -> ProviderError {
        #[derive(Deserialize)]
        struct Refusal {
            error: Word,
            #[serde(default)]
            error_description: String,
        }
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Word {
            Plain(String),
            Google { status: String, message: String },
        }
        let refusal: Option<Refusal> = serde_json::from_slice(without_mark(&self.text)).ok();
        let (code, words) = match refusal {
            None => (None, String::new()),
            Some(Refusal { error: Word::Plain(code), error_description }) => {
                (Some(code), error_description)
            }
            Some(Refusal { error: Word::Google { status, message }, .. }) => {
                (Some(status), message)
            }
        };
        let first_line = words.lines().next().unwrap_or_default();
        let parts = [code.as_deref().unwrap_or_default(), first_line];
        let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        let mut message = format!("{issuer} gives no token{of}");
        if !parts.is_empty() {
            message = format!("{message}: {}", parts.join(" "));
        }
        ProviderError { message, code, ..ProviderError::default() }
    }

    /// Its refusal, as `error` says it, without the secret that was sent.
    pub(super) fn refused(&self, mut error: ProviderError, secret: &Secret) -> CredentialError {
        error.hide(secret);
        let (status, now) = (self.status, clock::unix_ms());
        error.wait_ms = retry_after::retry_hint_ms(status.as_u16(), &self.headers, now);
        CredentialError::Refused { status, error }
    }
}

/// `application/x-www-form-urlencoded`.
fn form(fields: &[(&str, &str)]) -> String {
    let mut out = String::new();
    for (name, value) in fields {
        if !out.is_empty() {
            out.push('&');
        }
        out.push_str(name);
        out.push('=');
        out.push_str(&encoded(value));
    }
    out
}

/// A value as it stands in a form.
pub(super) fn encoded(value: &str) -> String {
    utf8_percent_encode(value, &RESERVED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_escaped() {
        let fields = [("a", "x y&=%"), ("b", "ü"), ("c", "~-._"), ("d", "")];
        assert_eq!(form(&fields), "a=x%20y%26%3D%25&b=%C3%BC&c=~-._&d=");
    }

    #[test]
    fn refusals_name_the_word_and_the_first_line() {
        let error = |text: &str| {
            let said = Said {
                status: StatusCode::BAD_REQUEST,
                headers: HeaderMap::new(),
                text: text.into(),
            };
            said.oauth_error("Entra ID", " for x")
        };
        let azures =
            r#"{"error":"invalid_client","error_description":"AADSTS7000215: no.\r\nTrace"}"#;
        let expected = "Entra ID gives no token for x: invalid_client AADSTS7000215: no.";
        assert_eq!(error(azures).message, expected);
        assert_eq!(error(azures).code.as_deref(), Some("invalid_client"));
        let googles =
            r#"{"error":{"code":403,"message":"Permission denied","status":"PERMISSION_DENIED"}}"#;
        let expected = "Entra ID gives no token for x: PERMISSION_DENIED Permission denied";
        assert_eq!(error(googles).message, expected);
        assert_eq!(error("<html>").message, "Entra ID gives no token for x");
    }
}
