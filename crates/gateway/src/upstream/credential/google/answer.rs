//! What all tokens of Google's have in common: what they are for, and how an issuer answers.
//!
//! Used by the files beside it.

use hale_core::secret::Secret;

use crate::upstream::credential::bearer::{Bearer, granted};
use crate::upstream::credential::call::Said;
use crate::upstream::credential::error::CredentialError;
use crate::upstream::credential::refreshing::Granted;

/// How this issuer is named in messages.
pub(super) const ISSUER: &str = "Google";
/// What a token is for.
pub(super) const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

/// The token in an answer of OAuth 2, or why there is none.
pub(super) fn token(
    said: &Said,
    of: &str,
    sent: &Secret,
) -> Result<Granted<Bearer>, CredentialError> {
    match said.status.is_success() {
        true => granted(&said.text).ok_or(CredentialError::NoToken { issuer: ISSUER }),
        false => Err(said.refused(said.oauth_error(ISSUER, of), sent)),
    }
}
