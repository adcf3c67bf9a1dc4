//! Tokens that a provider's own server gives to a service principal, as Databricks does.
//!
//! Called by [`super::tokens`] for each new token.
//!
//! Source: <https://docs.databricks.com/aws/en/dev-tools/auth/oauth-m2m>.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hale_core::deployment::Principal;
use hale_core::provider::{Provider, TokenSource};
use hale_core::secret::Secret;
use hale_core::settings::KeptConnections;
use hale_wire::errors::parse_provider_error;
use http::{HeaderValue, header};

use super::bearer::{Bearer, granted};
use super::call::Call;
use super::error::CredentialError;
use super::refreshing::Granted;
use crate::upstream::address::Upstream;

/// The tokens of one principal at one server.
pub(super) struct OfPrincipal {
    provider: &'static Provider,
    source: &'static TokenSource,
    server: Upstream,
    principal: Principal,
    /// Id and secret as they stand in the header.
    in_header: Secret,
}

impl OfPrincipal {
    /// The issuer of the tokens of `principal` at `server`; `kept` is how connections to it are used again.
    pub(super) fn new(
        (provider, source): (&'static Provider, &'static TokenSource),
        server: &str,
        principal: &Principal,
        kept: KeptConnections,
    ) -> OfPrincipal {
        let Principal { client_id, client_secret } = principal;
        let pair = format!("{client_id}:{}", client_secret.expose());
        OfPrincipal {
            provider,
            source,
            server: Upstream::parse(server).keeping(kept),
            principal: principal.clone(),
            in_header: Secret::new(&STANDARD.encode(pair)),
        }
    }

    /// How it is named in errors.
    pub(super) fn issuer(&self) -> &'static str {
        &self.provider.name
    }

    /// Asks for a token.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) async fn request_token(&self) -> Result<Granted<Bearer>, CredentialError> {
        let issuer = self.issuer();
        let fields = [("grant_type", "client_credentials"), ("scope", &*self.source.scope)];
        let mut call = Call::form(&self.source.path, &fields);
        if let Ok(mut value) = HeaderValue::try_from(format!("Basic {}", self.in_header.expose())) {
            value.set_sensitive(true);
            call = call.with(header::AUTHORIZATION, value);
        }
        let said = call.send(&self.server, issuer).await?;
        if said.status.is_success() {
            return granted(&said.text).ok_or(CredentialError::NoToken { issuer });
        }
        let mut error = parse_provider_error(&said.text);
        error.message = format!("{issuer} gives no token: {}", error.message);
        error.hide(&self.in_header);
        Err(said.refused(error, &self.principal.client_secret))
    }
}
