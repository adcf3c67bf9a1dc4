//! Tokens of Entra ID, for deployments at Azure that have an identity in place of a key.
//!
//! Called by [`super::tokens`] for each new token.
//!
//! Source: <https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow>.

use hale_core::azure::Identity;
use hale_core::secret::Secret;
use hale_core::settings::KeptConnections;

use super::bearer::{Bearer, granted};
use super::call::{Call, encoded};
use super::error::CredentialError;
use super::refreshing::Granted;
use crate::upstream::address::Upstream;

/// How this credential is named in errors.
pub(super) const ISSUER: &str = "Entra ID";

/// The identity of a deployment.
pub(super) struct EntraId {
    authority: Upstream,
    path: String,
    identity: Identity,
    /// The client's secret as it stands in the form.
    in_form: Secret,
}

impl EntraId {
    /// The issuer of the tokens of `identity`; `kept` is how connections to it are used again.
    pub(super) fn new(identity: &Identity, kept: KeptConnections) -> EntraId {
        let authority = Upstream::parse(&identity.authority).keeping(kept);
        let base = authority.base_path.trim_end_matches('/');
        // The loader has checked that ids have no other characters than a path has.
        let path = format!("{base}/{}/oauth2/v2.0/token", identity.tenant_id);
        let in_form = Secret::new(&encoded(identity.client_secret.expose()));
        EntraId { authority, path, identity: identity.clone(), in_form }
    }

    /// Asks for a token.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) async fn request_token(&self) -> Result<Granted<Bearer>, CredentialError> {
        let identity = &self.identity;
        let fields = [
            ("client_id", &*identity.client_id),
            ("client_secret", identity.client_secret.expose()),
            ("scope", &*identity.scope),
            ("grant_type", "client_credentials"),
        ];
        let said = Call::form(&self.path, &fields).send(&self.authority, ISSUER).await?;
        match said.status.is_success() {
            true => granted(&said.text).ok_or(CredentialError::NoToken { issuer: ISSUER }),
            false => Err(said.refused(said.oauth_error(ISSUER, ""), &self.in_form)),
        }
    }
}
