//! What the classes of AWS's errors mean: Bedrock's, and those of the services that give credentials.
//!
//! Asked by [`super::classify`] before the status, which says less. Always true: a class that is not here is read by its status
//! and its text.
//!
//! Sources: <https://docs.aws.amazon.com/bedrock/latest/APIReference/CommonErrors.html>,
//! <https://docs.aws.amazon.com/bedrock/latest/userguide/troubleshooting-api-error-codes.html>.

use super::ProviderError;
use super::says::text_has;
use crate::cause::Cause;

/// What is said of one class: words and their cause, and the cause without them.
struct Class {
    name: &'static str,
    words: &'static [(&'static [&'static str], Cause)],
    otherwise: Option<Cause>,
}

const fn class(name: &'static str, otherwise: Cause) -> Class {
    Class { name, words: &[], otherwise: Some(otherwise) }
}

/// Words about a request that is too long for the model.
const TOO_LONG: &[&str] = &[
    "input is too long",
    "prompt is too long",
    "too many input tokens",
    "input length and",
    "expected maxlength",
    "context window",
    "maximum context",
    "exceeds the maximum number of",
    "tokens, which exceeds",
];
/// Words about a model that is not there, or not to be called by this name.
const NO_MODEL: &[&str] = &[
    "model identifier is invalid",
    "end of its life",
    "on-demand throughput isn",
    "is not supported in this region",
];
/// Words about keys that have expired.
const EXPIRED: &[&str] = &["security token included in the request", "token has expired"];

const CLASSES: &[Class] = &[
    class("UnrecognizedClientException", Cause::Auth),
    class("InvalidClientTokenId", Cause::Auth),
    class("InvalidSignatureException", Cause::Auth),
    class("SignatureDoesNotMatch", Cause::Auth),
    class("IncompleteSignature", Cause::Auth),
    class("IncompleteSignatureException", Cause::Auth),
    class("MissingAuthenticationToken", Cause::Auth),
    class("MissingAuthenticationTokenException", Cause::Auth),
    class("ExpiredToken", Cause::Auth),
    class("ExpiredTokenException", Cause::Auth),
    class("RequestExpired", Cause::Auth),
    class("InvalidIdentityToken", Cause::Auth),
    class("IDPRejectedClaim", Cause::Auth),
    Class {
        name: "AccessDeniedException",
        words: &[
            (&["did not allow prompt caching"], Cause::BadRequest),
            (&["authentication failed", "bearer token"], Cause::Auth),
            (EXPIRED, Cause::Auth),
        ],
        otherwise: Some(Cause::Permission),
    },
    class("AccessDenied", Cause::Permission),
    class("FTUFormNotFilled", Cause::Permission),
    Class {
        name: "ResourceNotFoundException",
        words: &[(&["use case details"], Cause::Permission)],
        otherwise: Some(Cause::NotFound),
    },
    Class {
        name: "ValidationException",
        words: &[
            (NO_MODEL, Cause::NotFound),
            (TOO_LONG, Cause::ContextWindow),
            (&["content filtering policy", "our content filters"], Cause::ContentPolicy),
            (EXPIRED, Cause::Auth),
        ],
        otherwise: None,
    },
    Class {
        name: "ThrottlingException",
        words: &[(&["per day", "tokens per day"], Cause::Quota)],
        otherwise: Some(Cause::RateLimited),
    },
    class("TooManyRequestsException", Cause::RateLimited),
    class("ServiceQuotaExceededException", Cause::Quota),
    class("ModelNotReadyException", Cause::Overloaded),
    class("ModelTimeoutException", Cause::Timeout),
    class("ServiceUnavailableException", Cause::Overloaded),
    class("InternalServerException", Cause::ServerError),
    class("InternalFailure", Cause::ServerError),
    class("DependencyFailedException", Cause::ServerError),
    class("BadGatewayException", Cause::ServerError),
    class("ConflictException", Cause::ServerError),
];
/// Classes of what the model's own server answered, whose status stands beside them.
const OF_MODEL: [&str; 2] = ["ModelErrorException", "ModelStreamErrorException"];

/// The cause of an error of AWS; `None` if it is none, or if its status says as much.
pub(super) fn cause(error: &ProviderError) -> Option<Cause> {
    let kind = error.kind.as_deref()?;
    // In a stream a class begins with a small letter.
    if OF_MODEL.iter().any(|name| name.eq_ignore_ascii_case(kind)) {
        let status = error.code.as_deref().and_then(|code| code.parse::<u16>().ok());
        return Some(match status {
            Some(429) => Cause::RateLimited,
            Some(400..=499) => Cause::BadRequest,
            Some(_) | None => Cause::ServerError,
        });
    }
    let class = CLASSES.iter().find(|class| class.name.eq_ignore_ascii_case(kind))?;
    let said = class.words.iter().find(|(words, _)| text_has(error, words));
    said.map(|(_, cause)| *cause).or(class.otherwise)
}

/// The status of a class that has none, in a stream, and whose text says more.
pub(super) fn status(error: &ProviderError) -> Option<u16> {
    let kind = error.kind.as_deref()?;
    kind.eq_ignore_ascii_case("ValidationException").then_some(400)
}

#[cfg(test)]
mod tests {
    use super::super::{Observation, classify};
    use super::*;

    fn error(kind: &str, message: &str) -> ProviderError {
        let kind = Some(kind.to_owned());
        ProviderError { kind, message: message.to_owned(), ..ProviderError::default() }
    }

    #[test]
    #[allow(clippy::too_many_lines, reason = "a table")]
    fn each_class_has_its_cause_with_a_status_and_in_a_stream() {
        for (status, class, message, expected) in [
            (
                403,
                "UnrecognizedClientException",
                "The security token included in the request is invalid.",
                Cause::Auth,
            ),
            (
                403,
                "InvalidSignatureException",
                "The request signature we calculated does not match",
                Cause::Auth,
            ),
            (400, "IncompleteSignature", "x", Cause::Auth),
            (
                403,
                "ExpiredTokenException",
                "The security token included in the request is expired",
                Cause::Auth,
            ),
            (400, "RequestExpired", "x", Cause::Auth),
            (
                403,
                "AccessDeniedException",
                "Authentication failed: Please make sure your API Key is valid.",
                Cause::Auth,
            ),
            (
                403,
                "AccessDeniedException",
                "You don't have access to the model with the specified model ID.",
                Cause::Permission,
            ),
            (
                403,
                "AccessDeniedException",
                "User: arn:aws:iam::1:user/x is not authorized to perform: bedrock:InvokeModel",
                Cause::Permission,
            ),
            (
                403,
                "AccessDeniedException",
                "You invoked an unsupported model or your request did not allow prompt caching",
                Cause::BadRequest,
            ),
            (
                404,
                "ResourceNotFoundException",
                "Model use case details have not been submitted for this account.",
                Cause::Permission,
            ),
            (
                404,
                "ResourceNotFoundException",
                "Could not resolve the foundation model from the model identifier: x",
                Cause::NotFound,
            ),
            (
                400,
                "ValidationException",
                "The provided model identifier is invalid.",
                Cause::NotFound,
            ),
            (
                400,
                "ValidationException",
                "Invocation of model ID x with on-demand throughput isn\u{2019}t supported. Retry your request with the ID or ARN of an inference profile that contains this model.",
                Cause::NotFound,
            ),
            (
                400,
                "ValidationException",
                "Input is too long for requested model.",
                Cause::ContextWindow,
            ),
            (
                400,
                "ValidationException",
                "The model returned the following errors: prompt is too long: 250000 tokens > 200000 maximum",
                Cause::ContextWindow,
            ),
            (
                400,
                "ValidationException",
                "Output blocked by content filtering policy",
                Cause::ContentPolicy,
            ),
            (
                400,
                "ValidationException",
                "Malformed input request: #: extraneous key [x] is not permitted",
                Cause::BadRequest,
            ),
            (
                400,
                "ValidationException",
                "The toolConfig field must be defined when using toolUse and toolResult content blocks.",
                Cause::BadRequest,
            ),
            (
                429,
                "ThrottlingException",
                "Too many requests, please wait before trying again.",
                Cause::RateLimited,
            ),
            (
                429,
                "ThrottlingException",
                "Too many tokens, please wait before trying again.",
                Cause::RateLimited,
            ),
            (
                429,
                "ThrottlingException",
                "Too many tokens per day, please wait before trying again.",
                Cause::Quota,
            ),
            (400, "ServiceQuotaExceededException", "x", Cause::Quota),
            (429, "ModelNotReadyException", "x", Cause::Overloaded),
            (408, "ModelTimeoutException", "x", Cause::Timeout),
            (424, "ModelErrorException", "x", Cause::ServerError),
            (
                503,
                "ServiceUnavailableException",
                "Bedrock is unable to process your request.",
                Cause::Overloaded,
            ),
            (500, "InternalServerException", "x", Cause::ServerError),
        ] {
            let error = error(class, message);
            assert_eq!(classify(&Observation::Status(status, &error)).cause, expected, "{message}");
            let small = class[..1].to_lowercase() + &class[1..];
            let error = ProviderError { kind: Some(small), ..error };
            assert_eq!(
                classify(&Observation::InBand(&error)).cause,
                expected,
                "in band: {message}"
            );
        }
        assert_eq!(cause(&error("invalid_request_error", "x")), None);
    }

    #[test]
    fn an_error_of_the_models_server_is_what_its_status_says() {
        for (code, expected) in [
            (Some("429"), Cause::RateLimited),
            (Some("400"), Cause::BadRequest),
            (Some("503"), Cause::ServerError),
            (None, Cause::ServerError),
        ] {
            let error = ProviderError {
                code: code.map(str::to_owned),
                ..error("modelStreamErrorException", "x")
            };
            assert_eq!(classify(&Observation::InBand(&error)).cause, expected, "{code:?}");
            assert_eq!(classify(&Observation::Status(424, &error)).cause, expected, "{code:?}");
        }
    }
}
