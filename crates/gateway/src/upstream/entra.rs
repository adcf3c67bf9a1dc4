//! Tokens of Entra ID for deployments that have an identity in place of a key.
//!
//! Asked by `proxy::attempt` before it sends. Always true: a token is asked for once, however many
//! requests wait for it, and again some minutes before it expires; one that could not be had is no
//! token, and the next request asks again.
//!
//! Source: <https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow>.

use std::sync::Arc;

use bytes::Bytes;
use hale_core::azure::Identity;
use hale_core::health::outcome::ProviderError;
use hale_core::secret::Secret;
use hale_core::time::Millis;
use hale_wire::hints;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use parking_lot::Mutex;
use serde::Deserialize;
use tokio::sync::OnceCell;

use super::{Outgoing, SendError, Upstream};
use crate::clock;

/// How long before its end a token is no longer used, seconds.
const MARGIN_S: u64 = 300;
/// Largest answer of the authority, bytes.
const ANSWER_MAX: usize = 64 << 10;

/// The tokens of one identity.
pub(crate) struct Tokens {
    authority: Upstream,
    path: PathAndQuery,
    headers: HeaderMap,
    form: Bytes,
    /// The client's secret as it stands in the form.
    in_form: Secret,
    /// The token in use, or being asked for.
    current: Mutex<Arc<OnceCell<Token>>>,
}

/// A token that was granted.
#[derive(Clone)]
pub(crate) struct Token {
    /// A value for `authorization`.
    pub(crate) header: HeaderValue,
    /// The token alone.
    pub(crate) secret: Secret,
    usable_until: Millis,
}

/// Why there is no token.
#[derive(Debug)]
pub(crate) enum TokenError {
    /// The authority was not reached.
    Unsent(SendError),
    /// It refused, with a rest that it named, milliseconds.
    Refused(StatusCode, ProviderError, Option<u64>),
    /// It answered something else than a token.
    None,
}

impl Tokens {
    /// The tokens of `identity`; none was asked for yet.
    pub(crate) fn new(identity: &Identity) -> Tokens {
        let authority = Upstream::parse(&identity.authority);
        let base = authority.base_path.trim_end_matches('/');
        let path = format!("{base}/{}/oauth2/v2.0/token", identity.tenant_id);
        let form = form([
            ("client_id", &identity.client_id),
            ("client_secret", identity.client_secret.expose()),
            ("scope", &identity.scope),
            ("grant_type", "client_credentials"),
        ]);
        let mut headers = HeaderMap::new();
        if let Ok(host) = HeaderValue::from_str(&authority.authority) {
            headers.insert(header::HOST, host);
        }
        let content_type = HeaderValue::from_static("application/x-www-form-urlencoded");
        headers.insert(header::CONTENT_TYPE, content_type);
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        Tokens {
            // The loader has checked that ids have no other characters than a path has.
            path: PathAndQuery::try_from(path).unwrap_or_else(|_| PathAndQuery::from_static("/")),
            authority,
            headers,
            form: Bytes::from(form),
            in_form: Secret::new(&encoded(identity.client_secret.expose())),
            current: Mutex::default(),
        }
    }

    /// The token in use, or a new one.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) async fn token(&self) -> Result<Token, TokenError> {
        let cell = self.cell();
        cell.get_or_try_init(|| self.ask()).await.cloned()
    }

    /// `refused` was refused: the next request asks for another one, unless there is another one already.
    pub(crate) fn forget(&self, refused: &Token) {
        let mut current = self.current.lock();
        if current.get().is_some_and(|token| token.secret == refused.secret) {
            *current = Arc::default();
        }
    }

    /// Where the token in use is or will be; a new place when it has expired.
    fn cell(&self) -> Arc<OnceCell<Token>> {
        let now = clock::now().millis();
        let mut current = self.current.lock();
        if current.get().is_some_and(|token| token.usable_until <= now) {
            *current = Arc::default();
        }
        current.clone()
    }

    async fn ask(&self) -> Result<Token, TokenError> {
        let request = Outgoing {
            method: &Method::POST,
            path: &self.path,
            headers: &self.headers,
            more: &[],
            body: &self.form.clone().into(),
        };
        let mut answer = super::send(&self.authority, request).await.map_err(TokenError::Unsent)?;
        let mut text = Vec::new();
        while text.len() < ANSWER_MAX
            && let Some(piece) = answer.body.piece().await
        {
            let Ok(piece) = piece else { return Err(TokenError::Unsent(SendError::Cut)) };
            text.extend_from_slice(&piece);
        }
        let status = answer.status;
        if status.is_success() {
            return token(&text).ok_or(TokenError::None);
        }
        let mut error = refusal(&text);
        error.hide(&self.in_form);
        let hint_ms = hints::retry_hint_ms(status.as_u16(), &answer.headers, clock::unix_ms());
        Err(TokenError::Refused(status, error, hint_ms))
    }
}

fn token(text: &[u8]) -> Option<Token> {
    #[derive(Deserialize)]
    struct Granted {
        access_token: String,
        expires_in: u64,
    }
    let granted: Granted = serde_json::from_slice(text).ok()?;
    let mut header = HeaderValue::try_from(format!("Bearer {}", granted.access_token)).ok()?;
    header.set_sensitive(true);
    // One that lives shorter than the margin is used for half of its life.
    let usable_s = granted.expires_in.saturating_sub(MARGIN_S).max(granted.expires_in / 2);
    let usable_until = clock::now().millis().plus(usable_s.saturating_mul(1000));
    Some(Token { header, secret: Secret::new(&granted.access_token), usable_until })
}

/// What the authority says; it never repeats the secret.
fn refusal(text: &[u8]) -> ProviderError {
    #[derive(Deserialize)]
    struct Refusal {
        error: String,
        #[serde(default)]
        error_description: String,
    }
    let refusal: Option<Refusal> = serde_json::from_slice(text).ok();
    let Some(refusal) = refusal else {
        let message = "Entra ID gives no token".to_owned();
        return ProviderError { message, ..ProviderError::default() };
    };
    let first_line = refusal.error_description.lines().next().unwrap_or_default();
    let message = format!("Entra ID gives no token: {} {first_line}", refusal.error);
    ProviderError { message, code: Some(refusal.error), ..ProviderError::default() }
}

/// `application/x-www-form-urlencoded`.
fn form(fields: [(&str, &str); 4]) -> String {
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

fn encoded(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte.into());
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_escaped() {
        let fields = [("a", "x y&=%"), ("b", "ü"), ("c", "~-._"), ("d", "")];
        assert_eq!(form(fields), "a=x%20y%26%3D%25&b=%C3%BC&c=~-._&d=");
    }

    #[test]
    fn refusals_name_the_first_line() {
        let text =
            br#"{"error":"invalid_client","error_description":"AADSTS7000215: no.\r\nTrace"}"#;
        let error = refusal(text);
        assert_eq!(error.message, "Entra ID gives no token: invalid_client AADSTS7000215: no.");
        assert_eq!(refusal(b"<html>").message, "Entra ID gives no token");
    }
}
