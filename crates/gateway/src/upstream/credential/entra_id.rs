//! Signs requests to Azure with a token of Entra ID, where a deployment has an identity in place of a key.
//!
//! Called by [`super::Credential`]. Always true: however many requests wait for a token, the authority is
//! asked once; a token is replaced some minutes before it expires; a failure is not kept, so the next
//! request asks again.
//!
//! Source: <https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow>.

use std::sync::Arc;

use bytes::Bytes;
use hale_core::azure::{Identity, RESERVED};
use hale_core::health::outcome::ProviderError;
use hale_core::secret::Secret;
use hale_core::settings::KeptConnections;
use hale_core::time::Millis;
use hale_wire::retry_after;
use hale_wire::without_mark;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, header};
use parking_lot::Mutex;
use percent_encoding::utf8_percent_encode;
use serde::Deserialize;
use tokio::sync::OnceCell;

use super::error::CredentialError;
use crate::clock;
use crate::upstream::address::Upstream;
use crate::upstream::error::SendError;
use crate::upstream::request::{HeaderTemplate, Reuse, UpstreamRequest};
use crate::upstream::send::send;

/// How long before its end a token is no longer used, seconds.
const MARGIN_S: u64 = 300;
/// Largest answer of the authority, bytes.
const ANSWER_MAX: usize = 64 << 10;

/// How this credential is named in errors.
const ISSUER: &str = "Entra ID";

/// The identity of a deployment, and its token.
pub(crate) struct EntraId {
    authority: Upstream,
    path: PathAndQuery,
    headers: HeaderTemplate,
    form: Bytes,
    /// The client's secret as it stands in the form.
    in_form: Secret,
    /// The token in use, or the request for one.
    current: Mutex<Arc<OnceCell<Token>>>,
}

/// A granted token.
#[derive(Clone)]
struct Token {
    /// A value for `authorization`.
    header: HeaderValue,
    /// The token alone.
    secret: Secret,
    usable_until: Millis,
}

impl EntraId {
    /// The credential of `identity`. The first request asks for a token.
    pub(super) fn new(identity: &Identity, kept: KeptConnections) -> EntraId {
        let authority = Upstream::parse(&identity.authority).keeping(kept);
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
        EntraId {
            // The loader has checked that ids have no other characters than a path has.
            path: PathAndQuery::try_from(path).unwrap_or_else(|_| PathAndQuery::from_static("/")),
            authority,
            headers: headers.into(),
            form: Bytes::from(form),
            in_form: Secret::new(&encoded(identity.client_secret.expose())),
            current: Mutex::default(),
        }
    }

    /// Adds the token in use, or a new one.
    ///
    /// # Errors
    /// Why there is no token.
    pub(super) async fn authorize(
        &self,
        request: &mut UpstreamRequest<'_>,
    ) -> Result<(), CredentialError> {
        let cell = self.cell();
        let token = cell.get_or_try_init(|| self.request_token()).await?;
        request.more.push((header::AUTHORIZATION, token.header.clone()));
        request.granted = Some(token.secret.clone());
        Ok(())
    }

    /// Forgets the token of a request that was refused, unless another one is in use already.
    pub(super) fn forget(&self, refused: &Secret) {
        let mut current = self.current.lock();
        if current.get().is_some_and(|token| token.secret == *refused) {
            *current = Arc::default();
        }
    }

    /// The cell of the token in use; a new, empty one when that has expired.
    fn cell(&self) -> Arc<OnceCell<Token>> {
        let now = clock::now().millis();
        let mut current = self.current.lock();
        if current.get().is_some_and(|token| token.usable_until <= now) {
            *current = Arc::default();
        }
        current.clone()
    }

    async fn request_token(&self) -> Result<Token, CredentialError> {
        let request = UpstreamRequest {
            method: &Method::POST,
            path: &self.path,
            headers: &self.headers,
            more: Vec::new(),
            body: &self.form.clone().into(),
            reuse: Reuse::Allowed,
            granted: None,
        };
        let unsent = |error| CredentialError::Unsent { issuer: ISSUER, error };
        let mut answer = send(&self.authority, &request).await.map_err(unsent)?;
        let mut text = Vec::new();
        while text.len() < ANSWER_MAX
            && let Some(piece) = answer.body.piece().await
        {
            let Ok(piece) = piece else { return Err(unsent(SendError::Cut)) };
            text.extend_from_slice(&piece);
        }
        let status = answer.status;
        if status.is_success() {
            return token(&text).ok_or(CredentialError::NoToken { issuer: ISSUER });
        }
        let mut error = refusal(&text);
        error.hide(&self.in_form);
        let hint_ms =
            retry_after::retry_hint_ms(status.as_u16(), &answer.headers, clock::unix_ms());
        Err(CredentialError::Refused { status, error, hint_ms })
    }
}

fn token(text: &[u8]) -> Option<Token> {
    #[derive(Deserialize)]
    struct Granted {
        access_token: String,
        expires_in: u64,
    }
    let granted: Granted = serde_json::from_slice(without_mark(text)).ok()?;
    let mut header = HeaderValue::try_from(format!("Bearer {}", granted.access_token)).ok()?;
    header.set_sensitive(true);
    // A token whose lifetime is shorter than the margin is used for half of it.
    let usable_s = granted.expires_in.saturating_sub(MARGIN_S).max(granted.expires_in / 2);
    let usable_until = clock::now().millis().plus(usable_s.saturating_mul(1000));
    Some(Token { header, secret: Secret::new(&granted.access_token), usable_until })
}

/// What the authority says. The caller hides the secret in it.
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
    utf8_percent_encode(value, &RESERVED).to_string()
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
