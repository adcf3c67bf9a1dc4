//! The one classifier: from what an attempt met to its [`Cause`].
//!
//! Called by the gateway's attempts, for traffic and probes alike. Always true: it is total (any
//! status, any text), and looks at the status first, the provider's code second, the text last.

use crate::cause::Cause;
use crate::secret::Secret;

/// What a provider said when it refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProviderError {
    /// Its message, bounded in length and free of control characters.
    pub message: String,
    /// Its `type`.
    pub kind: Option<String>,
    /// Its `code`; numbers as text.
    pub code: Option<String>,
    /// The parameter it names.
    pub param: Option<String>,
}

impl ProviderError {
    /// Blacks out `secret` wherever the provider repeats it.
    pub fn hide(&mut self, secret: &Secret) {
        let others = [self.kind.as_mut(), self.code.as_mut(), self.param.as_mut()];
        for text in others.into_iter().flatten().chain([&mut self.message]) {
            secret.hide_in(text);
        }
    }
}

/// What an attempt met instead of a good answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observation<'e> {
    /// An HTTP status outside 200-299.
    Status(u16, &'e ProviderError),
    /// A 404 for what the caller named by its id: the deployment's model is not in question.
    NoSuchObject,
    /// An error object in a 2xx answer or in a stream.
    InBand(&'e ProviderError),
    /// A 2xx answer that is not what the wire format promises.
    Malformed,
    /// The name did not resolve.
    Dns,
    /// No connection, or it was reset before an answer.
    Connect,
    /// No TLS session.
    Tls,
    /// The attempt's own time passed.
    Timeout,
    /// The client's deadline passed.
    ClientDeadline,
    /// The answer ended before it was complete.
    Cut,
    /// The stream fell silent.
    Stall,
    /// The gateway itself has no room or no time left for the attempt.
    NoRoom,
}

/// The cause of what an attempt met.
#[must_use]
pub fn classify(observation: &Observation<'_>) -> Cause {
    match observation {
        Observation::Status(status, error) => by_status(*status, error),
        Observation::NoSuchObject => Cause::BadRequest,
        Observation::InBand(error) => in_band(error),
        Observation::Malformed => Cause::BadResponse,
        Observation::Dns => Cause::Dns,
        Observation::Connect => Cause::Connect,
        Observation::Tls => Cause::Tls,
        Observation::Timeout => Cause::Timeout,
        Observation::ClientDeadline => Cause::ClientTimeout,
        Observation::Cut => Cause::StreamCut,
        Observation::Stall => Cause::StreamStall,
        Observation::NoRoom => Cause::Gateway,
    }
}

fn by_status(status: u16, error: &ProviderError) -> Cause {
    match status {
        300..=399 => Cause::NotFound,
        401 => Cause::Auth,
        402 => Cause::Quota,
        403 if is_policy(error) => Cause::ContentPolicy,
        // Anthropic's text about a missing permission names the key that lacks it.
        403 if kind_is(error, &["permission_error"]) => Cause::Permission,
        403 if names_the_key(error) => Cause::Auth,
        403 => Cause::Permission,
        404 if names_a_caller_object(error) => Cause::BadRequest,
        404 => Cause::NotFound,
        408 => Cause::Timeout,
        429 if is_quota(error) => Cause::Quota,
        429 => Cause::RateLimited,
        400 | 422 if is_context(error) => Cause::ContextWindow,
        400 | 422 if is_policy(error) => Cause::ContentPolicy,
        400 if is_quota(error) => Cause::Quota,
        400 if code_is(error, &["model_not_found", "DeploymentNotFound"]) => Cause::NotFound,
        400 if code_is(error, &["invalid_api_key"]) => Cause::Auth,
        413 if is_context(error) => Cause::ContextWindow,
        400..=499 => Cause::BadRequest,
        504 => Cause::Timeout,
        529 => Cause::Overloaded,
        503 if is_overload(error) => Cause::Overloaded,
        500..=599 => Cause::ServerError,
        _ => Cause::BadResponse,
    }
}

/// An error object without a status of its own: its code may be one, else the words decide.
fn in_band(error: &ProviderError) -> Cause {
    let status = error.code.as_deref().and_then(|code| code.parse::<u16>().ok());
    if let Some(status @ 400..=599) = status {
        return by_status(status, error);
    }
    if is_context(error) {
        return Cause::ContextWindow;
    }
    if is_policy(error) {
        return Cause::ContentPolicy;
    }
    if is_quota(error) {
        return Cause::Quota;
    }
    let says = |words: &[&str]| code_is(error, words) || kind_is(error, words);
    if says(&["rate_limit_exceeded", "rate_limit_error", "throttling_error", "too_many_requests"]) {
        return Cause::RateLimited;
    }
    if says(&["authentication_error", "invalid_api_key"]) {
        return Cause::Auth;
    }
    if says(&["permission_error"]) {
        return Cause::Permission;
    }
    if says(&["not_found_error", "model_not_found"]) {
        return Cause::NotFound;
    }
    if says(&["overloaded_error", "overloaded"]) {
        return Cause::Overloaded;
    }
    if says(&["timeout_error"]) {
        return Cause::Timeout;
    }
    if says(&["invalid_request_error", "request_too_large", "invalid_prompt"]) {
        return Cause::BadRequest;
    }
    Cause::ServerError
}

fn code_is(error: &ProviderError, codes: &[&str]) -> bool {
    error.code.as_deref().is_some_and(|code| codes.contains(&code))
}

fn kind_is(error: &ProviderError, kinds: &[&str]) -> bool {
    error.kind.as_deref().is_some_and(|kind| kinds.contains(&kind))
}

fn text_has(error: &ProviderError, parts: &[&str]) -> bool {
    let text = error.message.to_ascii_lowercase();
    parts.iter().any(|part| text.contains(part))
}

fn is_context(error: &ProviderError) -> bool {
    code_is(error, &["context_length_exceeded", "string_above_max_length"])
        || text_has(
            error,
            &[
                "maximum context length",
                "context window",
                "context limit",
                "prompt is too long",
                "available context size",
                "input tokens exceed",
                "maximum number of tokens allowed",
            ],
        )
}

fn is_policy(error: &ProviderError) -> bool {
    code_is(error, &["content_policy_violation", "content_filter", "ResponsibleAIPolicyViolation"])
        || text_has(
            error,
            &[
                "content management policy",
                "content filtering policy",
                "violating our usage policy",
            ],
        )
}

fn is_quota(error: &ProviderError) -> bool {
    code_is(error, &["insufficient_quota", "billing_hard_limit_reached", "billing_not_active"])
        || kind_is(error, &["insufficient_quota", "billing_error"])
        || text_has(error, &["credit balance is too low", "exceeded your current quota"])
}

fn is_overload(error: &ProviderError) -> bool {
    kind_is(error, &["overloaded_error"]) || text_has(error, &["overloaded", "at capacity"])
}

fn names_the_key(error: &ProviderError) -> bool {
    code_is(error, &["invalid_api_key"]) || text_has(error, &["api key", "api-key", "apikey"])
}

/// A 404 about a file, a response or the like that the caller named, not about the model.
fn names_a_caller_object(error: &ProviderError) -> bool {
    error.code.is_none() && text_has(error, &["no such file", "response with id", "item with id"])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(code: Option<&str>, message: &str) -> ProviderError {
        ProviderError {
            message: message.to_owned(),
            code: code.map(str::to_owned),
            ..ProviderError::default()
        }
    }

    #[test]
    fn every_row_of_the_table() {
        let plain = error(None, "");
        let rows = [
            (302, plain.clone(), Cause::NotFound),
            (400, plain.clone(), Cause::BadRequest),
            (422, plain.clone(), Cause::BadRequest),
            (413, plain.clone(), Cause::BadRequest),
            (400, error(Some("context_length_exceeded"), ""), Cause::ContextWindow),
            (400, error(None, "This model's maximum context length is 8192"), Cause::ContextWindow),
            (400, error(Some("content_filter"), ""), Cause::ContentPolicy),
            (400, error(None, "Your credit balance is too low"), Cause::Quota),
            (401, plain.clone(), Cause::Auth),
            (402, plain.clone(), Cause::Quota),
            (403, plain.clone(), Cause::Permission),
            (403, error(None, "Invalid API key"), Cause::Auth),
            (404, plain.clone(), Cause::NotFound),
            (404, error(None, "No such File object: file-1"), Cause::BadRequest),
            (408, plain.clone(), Cause::Timeout),
            (409, plain.clone(), Cause::BadRequest),
            (429, plain.clone(), Cause::RateLimited),
            (429, error(Some("insufficient_quota"), ""), Cause::Quota),
            (500, plain.clone(), Cause::ServerError),
            (502, plain.clone(), Cause::ServerError),
            (503, plain.clone(), Cause::ServerError),
            (503, error(None, "The model is overloaded"), Cause::Overloaded),
            (504, plain.clone(), Cause::Timeout),
            (529, plain.clone(), Cause::Overloaded),
            (600, plain.clone(), Cause::BadResponse),
            (0, plain, Cause::BadResponse),
        ];
        for (status, body, expected) in rows {
            assert_eq!(
                classify(&Observation::Status(status, &body)),
                expected,
                "{status} {body:?}"
            );
        }
    }

    #[test]
    fn an_error_in_band_is_read_by_its_code_then_its_words() {
        let rows = [
            (error(Some("429"), ""), Cause::RateLimited),
            (error(Some("rate_limit_exceeded"), ""), Cause::RateLimited),
            (error(Some("invalid_api_key"), ""), Cause::Auth),
            (error(None, "maximum context length"), Cause::ContextWindow),
            (error(Some("timeout_error"), ""), Cause::Timeout),
            (error(Some("request_too_large"), ""), Cause::BadRequest),
            (error(None, "boom"), Cause::ServerError),
            (error(Some("99999999"), "boom"), Cause::ServerError),
        ];
        for (body, expected) in rows {
            assert_eq!(classify(&Observation::InBand(&body)), expected, "{body:?}");
        }
    }
}
