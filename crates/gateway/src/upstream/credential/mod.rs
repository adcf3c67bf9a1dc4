//! What authorizes a request to an upstream: one file per kind of credential.
//!
//! Called by [`super::target`]: for a static key once, when the target is made, because the key is part of its
//! header template; for what is granted for a time each time a request is sent ([`refreshing`] keeps it). Always true: a credential that
//! is called for a request sees all of it (method, path, headers, body); a secret that is not in the config is noted in the
//! request, so that errors can hide it.

mod aws;
mod bearer;
mod call;
mod entra_id;
mod error;
mod google;
mod principal;
mod refreshing;
pub(super) mod static_key;
mod tokens;

use hale_core::deployment::Deployment;
use hale_core::settings::KeptConnections;
use http::header::{self, HeaderMap};

use self::aws::AwsKeys;
pub(crate) use self::error::CredentialError;
pub(crate) use self::refreshing::Replaced;
use self::tokens::Tokens;
use super::request::UpstreamRequest;

/// What authorizes the requests of one deployment.
pub(crate) enum Credential {
    /// A key or token that the config holds. It is in the target's header template already.
    Static,
    /// A token that an identity gets for a time.
    Bearer(Tokens),
    /// A signature, for deployments at Bedrock.
    Aws(Box<AwsKeys>),
}

impl Credential {
    /// The credential of `deployment`; `kept` is how connections to an issuer are used again.
    pub(super) fn of(deployment: &Deployment, kept: KeptConnections) -> Credential {
        let endpoint = &deployment.endpoint;
        if let Some(source) = endpoint.vertex.as_ref().and_then(|vertex| vertex.source.as_ref()) {
            return Credential::Bearer(Tokens::of_google(source, kept));
        }
        if let Some(identity) = endpoint.azure.as_ref().and_then(|azure| azure.identity.as_ref()) {
            return Credential::Bearer(Tokens::of_entra_id(identity, kept));
        }
        if let Some(keys) = endpoint.aws.as_ref().and_then(|aws| AwsKeys::of(aws, kept)) {
            return Credential::Aws(Box::new(keys));
        }
        Tokens::of_principal(deployment, kept).map_or(Credential::Static, Credential::Bearer)
    }

    /// Authorizes the finished `request`. A static key does nothing here: the target's header template holds it.
    ///
    /// # Errors
    /// Why that is not possible.
    pub(super) async fn authorize(
        &self,
        request: &mut UpstreamRequest<'_>,
    ) -> Result<(), CredentialError> {
        match self {
            Credential::Static => Ok(()),
            Credential::Bearer(tokens) => {
                let token = tokens.grant().await?;
                request.put(header::AUTHORIZATION, token.header);
                request.granted = Some(token.secret);
                Ok(())
            }
            Credential::Aws(keys) => keys.authorize(request).await,
        }
    }

    /// The upstream refused the credential of `request`: whether there is another one to get.
    pub(super) fn refused(&self, request: &UpstreamRequest<'_>) -> Replaced {
        match (self, &request.granted) {
            (Credential::Bearer(tokens), Some(secret)) => tokens.refused(secret),
            (Credential::Aws(keys), Some(secret)) => keys.refused(secret),
            (Credential::Bearer(_) | Credential::Aws(_), None) | (Credential::Static, _) => {
                Replaced::No
            }
        }
    }

    /// An upstream refused a request with these headers: whether it is signed otherwise if it is sent again, because the refusal
    /// says what time it is.
    pub(super) fn learns_the_time(&self, refusal: &HeaderMap) -> Replaced {
        match self {
            Credential::Aws(_) => aws::learns_the_time(refusal),
            Credential::Static | Credential::Bearer(_) => Replaced::No,
        }
    }

    /// Whether it adds to requests what the header template does not show.
    pub(crate) fn is_dynamic(&self) -> bool {
        match self {
            Credential::Static => false,
            Credential::Bearer(_) | Credential::Aws(_) => true,
        }
    }
}
