//! What the links of the chain share: keys that were found, why none were, and what signs with them.
//!
//! Used by the files beside it. Always true: what is said of a link that failed holds no secret.

use hale_core::aws::Keys;
use hale_core::health::outcome::ProviderError;
use http::StatusCode;

use crate::upstream::credential::error::CredentialError;
use crate::upstream::credential::refreshing::Granted;
use crate::upstream::sigv4::{Service, Signer};

/// Keys, and for how long.
pub(super) type FoundKeys = Result<Granted<Keys>, CredentialError>;

/// What the config or the machine has cannot be used.
pub(super) fn unusable(problem: String) -> CredentialError {
    let error = ProviderError { message: format!("AWS: {problem}"), ..ProviderError::default() };
    CredentialError::Refused { status: StatusCode::UNAUTHORIZED, error }
}

/// What signs with `keys`.
pub(super) fn signer<'s>(keys: &'s Keys, region: &'s str, service: Service) -> Signer<'s> {
    Signer {
        access_key: &keys.access_key,
        secret_key: &keys.secret_key,
        token: keys.token.as_ref(),
        region,
        service,
    }
}
