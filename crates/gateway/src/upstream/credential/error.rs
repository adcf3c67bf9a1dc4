//! Why a request could not be authorized.
//!
//! Made by the credentials beside it, classified by `proxy::attempt`. Always true: it holds no secret.

use hale_core::health::outcome::ProviderError;
use http::StatusCode;

use crate::upstream::error::SendError;

/// Why a request could not be authorized. `issuer` names the issuer of the credential.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CredentialError {
    /// The issuer was not reached.
    #[error("{issuer}: {error}")]
    Unsent {
        /// Its name.
        issuer: &'static str,
        /// What went wrong.
        error: SendError,
    },
    /// The issuer refused; the error has the time after which to try again, if there is one.
    #[error("{}", error.message)]
    Refused {
        /// The status of its answer.
        status: StatusCode,
        /// What it said.
        error: ProviderError,
    },
    /// The issuer answered with something that is no credential.
    #[error("{issuer} answered without a token")]
    NoToken {
        /// Its name.
        issuer: &'static str,
    },
    /// What the config holds cannot be used.
    #[error("{issuer} gives no token: {problem}")]
    Unusable {
        /// The issuer's name.
        issuer: &'static str,
        /// What is wrong.
        problem: &'static str,
    },
    /// The issuer did not answer in time.
    #[error("{issuer} does not answer")]
    Silent {
        /// Its name.
        issuer: &'static str,
    },
}
