//! The tokens of each identity, and what gives them.
//!
//! Called by [`super::Credential`]. Always true: one token for all deployments with the same identity.

use std::sync::Arc;

use hale_core::azure::Identity;
use hale_core::deployment::{Deployment, Principal};
use hale_core::google::Source;
use hale_core::provider::host_of;
use hale_core::secret::Secret;
use hale_core::settings::KeptConnections;

use super::bearer::Bearer;
use super::entra_id::{self, EntraId};
use super::error::CredentialError;
use super::google::{self, Google};
use super::principal::OfPrincipal;
use super::refreshing::{Granted, Issuer, Refreshing, Registry, Replaced};

/// What gives tokens.
enum BearerIssuer {
    /// Entra ID.
    EntraId(Box<EntraId>),
    /// Google.
    Google(Box<Google>),
    /// The provider's own server.
    Server(Box<OfPrincipal>),
}

/// The tokens of one identity.
pub(crate) struct Tokens(Arc<Refreshing<BearerIssuer>>);

/// What has tokens.
#[derive(PartialEq, Eq, Hash)]
enum Subject {
    EntraId(Identity),
    Google(Source),
    /// A service principal at that server.
    Principal(Box<str>, Principal),
}

/// An identity, and how connections to its issuer are used again.
type Key = (Subject, KeptConnections);

static ALL: Registry<Key, BearerIssuer> = Registry::new();

impl Tokens {
    /// Those of an identity of Entra ID.
    pub(super) fn of_entra_id(identity: &Identity, kept: KeptConnections) -> Tokens {
        let make = || BearerIssuer::EntraId(Box::new(EntraId::new(identity, kept)));
        Tokens(ALL.of((Subject::EntraId(identity.clone()), kept), make))
    }

    /// Those of an identity of Google's.
    pub(super) fn of_google(source: &Source, kept: KeptConnections) -> Tokens {
        let make = || BearerIssuer::Google(Box::new(Google::new(source, kept)));
        Tokens(ALL.of((Subject::Google(source.clone()), kept), make))
    }

    /// Those of a service principal of `deployment`, if its provider gives tokens to one.
    pub(super) fn of_principal(deployment: &Deployment, kept: KeptConnections) -> Option<Tokens> {
        let (principal, endpoint) =
            (deployment.credential.principal.as_ref()?, &deployment.endpoint);
        let rows = (endpoint.provider, endpoint.provider.tokens.as_ref()?);
        // Scheme and host: the base of the models is another path there.
        let host = host_of(&endpoint.api_base);
        let scheme = endpoint.api_base.split("://").next().unwrap_or_default();
        let server = format!("{scheme}://{host}");
        let make =
            || BearerIssuer::Server(Box::new(OfPrincipal::new(rows, &server, principal, kept)));
        let subject = Subject::Principal(server.as_str().into(), principal.clone());
        Some(Tokens(ALL.of((subject, kept), make)))
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
            BearerIssuer::EntraId(_) => entra_id::ISSUER,
            BearerIssuer::Google(_) => google::NAME,
            BearerIssuer::Server(server) => server.issuer(),
        }
    }

    async fn request(&self) -> Result<Granted<Bearer>, CredentialError> {
        match self {
            BearerIssuer::EntraId(identity) => identity.request_token().await,
            BearerIssuer::Google(google) => google.request_token().await,
            BearerIssuer::Server(server) => server.request_token().await,
        }
    }
}
