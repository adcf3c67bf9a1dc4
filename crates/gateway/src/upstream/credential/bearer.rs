//! A token that stands in `authorization`, and how an answer of OAuth 2 has it.
//!
//! Used by the issuers beside it. Always true: its header is marked as sensitive.

use hale_core::secret::Secret;
use hale_wire::without_mark;
use http::HeaderValue;
use serde::Deserialize;

use super::refreshing::Granted;

/// A token.
#[derive(Clone)]
pub(super) struct Bearer {
    /// A value for `authorization`.
    pub(super) header: HeaderValue,
    /// The token alone.
    pub(super) secret: Secret,
}

/// The token in an answer of OAuth 2; `None` if it has none.
pub(super) fn granted(text: &[u8]) -> Option<Granted<Bearer>> {
    #[derive(Deserialize)]
    struct Answer {
        access_token: String,
        expires_in: u64,
    }
    let answer: Answer = serde_json::from_slice(without_mark(text)).ok()?;
    let grant = bearer(&answer.access_token)?;
    Some(Granted { grant, lifetime_ms: answer.expires_in.saturating_mul(1000) })
}

/// `token` as a credential; `None` if no header can hold it.
pub(super) fn bearer(token: &str) -> Option<Bearer> {
    let mut header = HeaderValue::try_from(format!("Bearer {token}")).ok()?;
    header.set_sensitive(true);
    Some(Bearer { header, secret: Secret::new(token) })
}
