//! The one classifier: from what an attempt met to its [`Cause`].
//!
//! Called by the gateway's attempts, for traffic and probes alike. Always true: it is total (any
//! status, any text); it looks at the status first, the provider's code second and the text last;
//! text that the provider quotes from the request is ignored.

use crate::cause::Cause;
use crate::secret::Secret;

/// A provider's error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProviderError {
    /// Its message, bounded in length and without control characters.
    pub message: String,
    /// Its `type`.
    pub kind: Option<String>,
    /// Its `code`; numbers as text.
    pub code: Option<String>,
    /// The parameter that it names.
    pub param: Option<String>,
}

impl ProviderError {
    /// Removes `secret` wherever the provider repeats it.
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
    /// A 404 for an object that the client named by its id: it says nothing about the deployment's
    /// model.
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
    /// The stream sent nothing for too long.
    Stall,
    /// The gateway itself has no room or no time left for the attempt.
    NoRoom,
}

/// Returns the cause of what an attempt met.
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
        403 | 404 if is_wrong_endpoint(error) => Cause::BadRequest,
        403 if is_policy(error) => Cause::ContentPolicy,
        // The account may not use the model, so for this account the model does not exist.
        403 if code_is(error, &["model_not_found"]) => Cause::NotFound,
        // Anthropic's text about a missing permission names the key that lacks it.
        403 if kind_is(error, &["permission_error"]) => Cause::Permission,
        403 if names_the_key(error) => Cause::Auth,
        403 => Cause::Permission,
        404 if names_a_client_object(error) => Cause::BadRequest,
        404 => Cause::NotFound,
        408 => Cause::Timeout,
        429 if is_quota(error) => Cause::Quota,
        429 if is_beyond_the_rate(error) => Cause::ContextWindow,
        429 => Cause::RateLimited,
        400 | 422 if is_context(error) => Cause::ContextWindow,
        400 | 422 if is_policy(error) => Cause::ContentPolicy,
        // A text that names a parameter is about the request, not about the account.
        400 if error.param.is_none() && is_quota(error) => Cause::Quota,
        400 if code_is(error, NO_MODEL) => Cause::NotFound,
        400 if code_is(error, &["invalid_api_key"]) => Cause::Auth,
        413 if is_context(error) => Cause::ContextWindow,
        // The gateway chose the protocol, not the client.
        426 => Cause::BadResponse,
        400..=499 => Cause::BadRequest,
        504 => Cause::Timeout,
        529 => Cause::Overloaded,
        503 if is_overload(error) => Cause::Overloaded,
        500..=599 => Cause::ServerError,
        _ => Cause::BadResponse,
    }
}

/// An error object without an HTTP status: its code may be a status, else the text decides.
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
    if error.param.is_none() && is_quota(error) {
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

/// Codes of a 400 that are about the model. Sources: Azure, and Groq's answer in
/// <https://github.com/atiilla/sqlmap-ai/issues/3>.
const NO_MODEL: &[&str] = &["model_not_found", "DeploymentNotFound", "model_decommissioned"];

fn code_is(error: &ProviderError, codes: &[&str]) -> bool {
    error.code.as_deref().is_some_and(|code| codes.contains(&code))
}

fn kind_is(error: &ProviderError, kinds: &[&str]) -> bool {
    error.kind.as_deref().is_some_and(|kind| kinds.contains(&kind))
}

/// Codes that only repeat the status: the text may say more.
const GENERAL_CODES: [&str; 14] = [
    "BadRequest",
    "BadRequestError",
    "INVALID_ARGUMENT",
    "InvalidRequest",
    "RESOURCE_EXHAUSTED",
    "ValidationException",
    "bad_request",
    "invalid_argument",
    "invalid_request",
    "invalid_request_error",
    "invalid_request_message",
    "model_not_found",
    "rate_limit_exceeded",
    "too_many_requests",
];

/// Whether the text may say more than the code: there is no code, or it is a number, a sentence or
/// a general one.
fn words_count(error: &ProviderError) -> bool {
    let Some(code) = error.code.as_deref() else { return true };
    let is_sentence = code.contains(' ');
    let is_number = code.bytes().all(|byte| byte.is_ascii_digit());
    is_sentence || is_number || GENERAL_CODES.contains(&code)
}

/// Whether the provider's own words contain one of these parts.
fn text_has(error: &ProviderError, parts: &[&str]) -> bool {
    let text = unquoted(&error.message).to_ascii_lowercase();
    parts.iter().any(|part| text.contains(part))
}

/// Returns the text without its quotations: from the first quotation mark of a kind to the last
/// one, because a quotation may contain such marks. A mark within a word is an apostrophe.
fn unquoted(text: &str) -> String {
    let mut own = text.to_owned();
    for (opening, closing) in [('\'', '\''), ('"', '"'), ('`', '`'), ('‘', '’'), ('“', '”')]
    {
        let is_within_a_word = |text: &str, at: usize, mark: char| {
            let before = text.get(..at).and_then(|text| text.chars().next_back());
            let after = text.get(at + mark.len_utf8()..).and_then(|text| text.chars().next());
            before.is_some_and(char::is_alphanumeric) && after.is_some_and(char::is_alphanumeric)
        };
        let mut openings = own.match_indices(opening).map(|(at, _)| at);
        let first = openings.find(|at| !is_within_a_word(&own, *at, opening));
        let mut closings = own.rmatch_indices(closing).map(|(at, _)| at);
        let last = closings.find(|at| !is_within_a_word(&own, *at, closing));
        if let Some((first, last)) = first.zip(last).filter(|(first, last)| first < last) {
            own.replace_range(first..last + closing.len_utf8(), " ");
        }
    }
    own
}

fn is_context(error: &ProviderError) -> bool {
    code_is(error, &["context_length_exceeded", "string_above_max_length"])
        || (words_count(error)
            && text_has(
                error,
                &[
                    "maximum context length",
                    "maximum prompt length",
                    "context window",
                    "context limit",
                    "prompt is too long",
                    "available context size",
                    "input tokens exceed",
                    "maximum number of tokens allowed",
                ],
            ))
}

fn is_policy(error: &ProviderError) -> bool {
    const CODES: [&str; 4] = [
        "content_policy_violation",
        "content_filter",
        "moderation_blocked",
        "ResponsibleAIPolicyViolation",
    ];
    code_is(error, &CODES)
        || (words_count(error)
            && text_has(
                error,
                &[
                    "content management policy",
                    "content filtering policy",
                    "violating our usage policy",
                ],
            ))
}

fn is_quota(error: &ProviderError) -> bool {
    code_is(error, &["insufficient_quota", "billing_hard_limit_reached", "billing_not_active"])
        || kind_is(error, &["insufficient_quota", "billing_error"])
        || (words_count(error)
            && text_has(error, &["credit balance is too low", "exceeded your current quota"]))
}

/// A 429 that waiting does not fix: the request alone has more tokens than a minute allows.
fn is_beyond_the_rate(error: &ProviderError) -> bool {
    words_count(error) && text_has(error, &["request too large for"])
}

/// The model is known and does not do what was requested: it needs another path or another kind of
/// work.
fn is_wrong_endpoint(error: &ProviderError) -> bool {
    words_count(error)
        && text_has(
            error,
            &[
                "not supported in the v1/",
                "only supported in v1/",
                "not allowed to generate embeddings from this model",
                "not allowed to sample from this model",
            ],
        )
}

fn is_overload(error: &ProviderError) -> bool {
    kind_is(error, &["overloaded_error"]) || text_has(error, &["overloaded", "at capacity"])
}

fn names_the_key(error: &ProviderError) -> bool {
    code_is(error, &["invalid_api_key"]) || text_has(error, &["api key", "api-key", "apikey"])
}

/// A 404 about a file, a response or the like that the client named, not about the model.
fn names_a_client_object(error: &ProviderError) -> bool {
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
            (400, error(Some("model_decommissioned"), "has been decommissioned"), Cause::NotFound),
            (401, plain.clone(), Cause::Auth),
            (402, plain.clone(), Cause::Quota),
            (403, plain.clone(), Cause::Permission),
            (403, error(None, "Invalid API key"), Cause::Auth),
            (
                403,
                error(Some("model_not_found"), "Project `p` does not have access"),
                Cause::NotFound,
            ),
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

    /// OpenAI's bodies, from <https://github.com/diffbot/code-gpt-docs/issues/172>,
    /// <https://github.com/n8n-io/n8n/issues/18352> and
    /// <https://github.com/infiniflow/ragflow/issues/1835>.
    #[test]
    fn the_wrong_endpoint_is_the_clients_fault() {
        let bodies = [
            (
                404,
                "This is a chat model and not supported in the v1/completions endpoint. Did you \
                 mean to use v1/chat/completions?",
            ),
            (
                404,
                "This is not a chat model and thus not supported in the v1/chat/completions \
                 endpoint. Did you mean to use v1/completions?",
            ),
            (404, "This model is only supported in v1/responses and not in v1/chat/completions."),
            (403, "You are not allowed to generate embeddings from this model"),
            (403, "You are not allowed to sample from this model"),
        ];
        for (status, message) in bodies {
            let body = ProviderError {
                kind: Some("invalid_request_error".to_owned()),
                ..error(None, message)
            };
            assert_eq!(classify(&Observation::Status(status, &body)), Cause::BadRequest);
        }
    }

    /// Body: <https://github.com/TheR1D/shell_gpt/issues/653>.
    #[test]
    fn a_request_larger_than_a_minutes_tokens_is_too_long() {
        let body = ProviderError {
            kind: Some("tokens".to_owned()),
            ..error(
                Some("rate_limit_exceeded"),
                "Request too large for gpt-4o in organization org-x on tokens per min (TPM): Limit \
                 30000, Requested 50000. The input or output tokens must be reduced in order to \
                 run successfully.",
            )
        };
        assert_eq!(classify(&Observation::Status(429, &body)), Cause::ContextWindow);
        let other = error(Some("rate_limit_exceeded"), "Rate limit reached for gpt-4o");
        assert_eq!(classify(&Observation::Status(429, &other)), Cause::RateLimited);
    }

    #[test]
    fn a_specific_code_or_a_named_parameter_wins_over_the_words() {
        let words = "Your credit balance is too low";
        let by_code = error(Some("invalid_value"), words);
        assert_eq!(classify(&Observation::Status(400, &by_code)), Cause::BadRequest);
        let by_param =
            ProviderError { param: Some("messages[0].role".to_owned()), ..error(None, words) };
        assert_eq!(classify(&Observation::Status(400, &by_param)), Cause::BadRequest);
        let sentence = error(
            Some("Client specified an invalid argument"),
            "This model's maximum prompt length is 131072 but the request contains 200000 tokens.",
        );
        assert_eq!(classify(&Observation::Status(400, &sentence)), Cause::ContextWindow);
    }

    proptest::proptest! {
        /// Whatever a provider repeats of the request, it changes nothing.
        #[test]
        fn what_a_provider_quotes_is_not_evidence(
            status in proptest::sample::select(vec![400u16, 401, 403, 404, 422, 429, 500, 503]),
            said in proptest::sample::select(vec![
                "credit balance is too low", "exceeded your current quota", "api key",
                "maximum context length", "content management policy", "no such file",
                "request too large for", "not supported in the v1/", "overloaded",
                "x' or 'credit balance is too low", "a `b` \"c\" prompt is too long",
            ]),
            quotes in proptest::sample::select(vec![("'", "'"), ("\"", "\""), ("`", "`"), ("“", "”")]),
            code in proptest::sample::select(vec![None, Some("invalid_request_error"), Some("400")]),
        ) {
            let (open, close) = quotes;
            let told = |said: &str| {
                error(code, &format!("Invalid value: {open}{said}{close}. It isn't one of those."))
            };
            let (quoted, plain) = (told(said), told("x"));
            proptest::prop_assert_eq!(
                classify(&Observation::Status(status, &quoted)),
                classify(&Observation::Status(status, &plain))
            );
            proptest::prop_assert_eq!(
                classify(&Observation::InBand(&quoted)), classify(&Observation::InBand(&plain))
            );
        }
    }
}
