//! Why a request could not be authorized.
//!
//! Made by the credentials beside it, classified by `proxy::attempt`. Always true: it holds no secret.

use hale_core::health::outcome::ProviderError;
use http::StatusCode;

use crate::upstream::error::SendError;

/// Why a request could not be authorized. `issuer` names the issuer of the tokens.
#[derive(Debug)]
pub(crate) enum CredentialError {
    /// The issuer was not reached.
    Unsent { issuer: &'static str, error: SendError },
    /// The issuer refused, perhaps with the time after which to try again, milliseconds.
    Refused { status: StatusCode, error: ProviderError, hint_ms: Option<u64> },
    /// The issuer answered with something that is no token.
    NoToken { issuer: &'static str },
}
