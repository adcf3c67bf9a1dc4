//! Tokens of Entra ID, for deployments at Azure that have an identity in place of a key.
//!
//! Called by [`super::bearer`] for each new token.
//!
//! Source: <https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow>.

use hale_core::azure::Identity;
use hale_core::health::outcome::ProviderError;
use hale_core::secret::Secret;
use hale_core::settings::KeptConnections;
use serde::Deserialize;

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
            false => Err(said.refused(refusal(&said.text), &self.in_form)),
        }
    }
}

/// What the authority says.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_name_the_first_line() {
        let text =
            br#"{"error":"invalid_client","error_description":"AADSTS7000215: no.\r\nTrace"}"#;
        let error = refusal(text);
        assert_eq!(error.message, "Entra ID gives no token: invalid_client AADSTS7000215: no.");
        assert_eq!(refusal(b"<html>").message, "Entra ID gives no token");
    }
}
