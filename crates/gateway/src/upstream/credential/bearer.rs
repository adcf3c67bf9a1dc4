//! Tokens that stand in `authorization`, and who gives them.
//!
//! Called by [`super::Credential`]. Always true: one token for all deployments with the same identity.

use std::sync::Arc;

use hale_core::azure::Identity;
use hale_core::secret::Secret;
use hale_core::settings::KeptConnections;
use hale_wire::without_mark;
use http::HeaderValue;
use serde::Deserialize;

use super::entra_id::EntraId;
use super::error::CredentialError;
use super::refreshing::{Granted, Issuer, Refreshing, Registry, Replaced};

/// A token.
#[derive(Clone)]
pub(super) struct Bearer {
    /// A value for `authorization`.
    pub(super) header: HeaderValue,
    /// The token alone.
    pub(super) secret: Secret,
}

/// What gives tokens.
enum BearerIssuer {
    /// Entra ID.
    EntraId(EntraId),
}

/// The tokens of one identity.
pub(crate) struct Tokens(Arc<Refreshing<BearerIssuer>>);

/// An identity, and how connections to its issuer are used again.
type Key = (Identity, KeptConnections);

static ALL: Registry<Key, BearerIssuer> = Registry::new();

impl Tokens {
    /// Those of an identity of Entra ID.
    pub(super) fn of_entra_id(identity: &Identity, kept: KeptConnections) -> Tokens {
        let make = |(identity, _): &Key| BearerIssuer::EntraId(EntraId::new(identity, kept));
        Tokens(ALL.of((identity.clone(), kept), make))
    }

    /// The token in use, or a new one.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) async fn grant(&self) -> Result<Bearer, CredentialError> {
        self.0.grant().await
    }

    /// An upstream refused the token `secret`.
    pub(super) fn refused(&self, secret: &Secret) -> Replaced {
        self.0.refused(|token| token.secret == *secret)
    }
}

impl Issuer for BearerIssuer {
    type Grant = Bearer;

    fn name(&self) -> &'static str {
        match self {
            BearerIssuer::EntraId(_) => super::entra_id::ISSUER,
        }
    }

    async fn request(&self) -> Result<Granted<Bearer>, CredentialError> {
        match self {
            BearerIssuer::EntraId(identity) => identity.request_token().await,
        }
    }
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
