//! What one probe proves.
//!
//! Called by the gateway with the classification of the answer. Always true: what the probe itself
//! added never counts against the deployment; an answer that shows that the model ran is proof of
//! health, whatever its status.

use crate::cause::Cause;
use crate::health::outcome::{About, Lacking, ProviderError};

/// What a probe proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The model ran.
    Healthy,
    /// It answers and limits the rate; for this many milliseconds, if it said so.
    RateLimited(Option<u64>),
    /// It does not work.
    Failing(Cause),
    /// The probe proves nothing.
    Unknown(Doubt),
    /// The probe itself was wrong: a parameter that it added, or a limit of the gateway.
    ProbeError,
}

/// Why a probe proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// The model does something else than what was requested.
    WrongMode,
    /// The server has no such path, and the config does not say that the model is for it.
    NoPath,
    /// The provider does not know the model that was picked for a pattern.
    Model,
    /// It can be reached; whether it generates was not tested.
    Shallow,
    /// What the model is for cannot be probed.
    Unserved,
}

impl Doubt {
    /// The name on pages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Doubt::WrongMode | Doubt::NoPath => "wrong_mode",
            Doubt::Model => "not_found",
            Doubt::Shallow => "reachable",
            Doubt::Unserved => "mode_not_served",
        }
    }
}

/// A probe without a good answer.
#[derive(Clone, Copy, Debug)]
pub struct Refusal<'r> {
    /// The cause.
    pub cause: Cause,
    /// The upstream's status, if it answered.
    pub status: Option<u16>,
    /// What it is about.
    pub about: About,
    /// The provider's error.
    pub error: &'r ProviderError,
    /// The wait that the provider named, milliseconds.
    pub hint_ms: Option<u64>,
    /// Whether the config names the mode.
    pub has_mode: bool,
    /// Whether the deployment stands for many models.
    pub many_models: bool,
}

/// Returns what a refused probe proves.
#[must_use]
pub fn judge(refusal: &Refusal<'_>) -> Finding {
    let text = refusal.error.message.to_ascii_lowercase();
    let answered = refusal.status.is_some();
    match refusal.about {
        About::Lacking(Lacking::Operation) => return Finding::Unknown(Doubt::WrongMode),
        // A redirect is not about the mode.
        About::Address if !refusal.has_mode && !matches!(refusal.status, Some(300..400)) => {
            return Finding::Unknown(Doubt::NoPath);
        }
        About::Whole
        | About::Address
        | About::Lacking(Lacking::Need(_) | Lacking::Unnamed)
        | About::Unclear => {}
    }
    match refusal.cause {
        // The model ran.
        Cause::ContentPolicy | Cause::EmptyAnswer => Finding::Healthy,
        Cause::BadRequest | Cause::ContextWindow if reached_its_limit(&text) => Finding::Healthy,
        // Anything else that the provider refuses is not what was added here: no client can be
        // served either.
        Cause::BadRequest if !complains_of_a_parameter(refusal.error, &text) => {
            Finding::Failing(Cause::BadResponse)
        }
        Cause::BadRequest | Cause::ContextWindow => Finding::ProbeError,
        Cause::Unsupported if answered => Finding::Unknown(Doubt::WrongMode),
        // The probe was not even sent: it cannot be expressed in the provider's format.
        Cause::Unsupported => Finding::ProbeError,
        Cause::RateLimited => Finding::RateLimited(refusal.hint_ms),
        Cause::NotFound if refusal.many_models => Finding::Unknown(Doubt::Model),
        Cause::ClientTimeout | Cause::ClientClosed | Cause::Gateway => Finding::ProbeError,
        cause @ (Cause::Auth
        | Cause::Permission
        | Cause::NotFound
        | Cause::Quota
        | Cause::Overloaded
        | Cause::ServerError
        | Cause::Timeout
        | Cause::Connect
        | Cause::Dns
        | Cause::Tls
        | Cause::StreamCut
        | Cause::StreamStall
        | Cause::BadResponse
        | Cause::Misconfigured) => Finding::Failing(cause),
    }
}

/// The model ran until its few tokens were used up. Source: litellm issue 26987.
fn reached_its_limit(text: &str) -> bool {
    text.contains("output limit was reached")
        || (text.contains("max_tokens") && text.contains("was reached"))
        || text.contains("could not finish the message")
}

/// Whether the complaint is about a parameter, which the probe or the config added.
fn complains_of_a_parameter(error: &ProviderError, text: &str) -> bool {
    const WORDS: [&str; 10] = [
        "parameter",
        "argument",
        "max_tokens",
        "max_completion_tokens",
        "max_output_tokens",
        "maxtokens",
        "extra inputs",
        "extra_forbidden",
        "unexpected field",
        "temperature",
    ];
    const CONTENT: [&str; 5] = ["model", "messages", "prompt", "input", "contents"];
    let of_content = |param: &str| {
        let first = param.split(['.', '[']).next().unwrap_or_default();
        CONTENT.contains(&first)
    };
    match error.param.as_deref() {
        Some(param) => !of_content(param),
        None => WORDS.iter().any(|word| text.contains(word)),
    }
}

/// The least number of tokens that the provider accepts, if that is its complaint.
///
/// The number that it names after its condition, else 16, which is OpenAI's. `None` if it complains
/// about something else, or if `sent` is enough.
#[must_use]
pub fn token_floor(error: &ProviderError, sent: u32) -> Option<u32> {
    const PARAMS: &[&str] =
        &["max_tokens", "max_completion_tokens", "max_output_tokens", "maxtokens"];
    const CONDITIONS: &[&str] = &[
        ">=",
        "at least",
        "greater than or equal to",
        "minimum value of",
        "minimum of",
        "minimum is",
    ];
    const WORDS: &[&str] =
        &["minimum", "too small", "too low", "below", "at least", "greater than", ">="];
    let text = error.message.to_ascii_lowercase();
    let param = error.param.as_deref().unwrap_or_default().to_ascii_lowercase();
    let about_tokens = PARAMS.iter().any(|name| text.contains(name) || param.contains(name));
    if !about_tokens || reached_its_limit(&text) || !WORDS.iter().any(|word| text.contains(word)) {
        return None;
    }
    let named = CONDITIONS.iter().find_map(|condition| {
        let (_, tail) = text.split_once(condition)?;
        let tail = tail.trim_start_matches(|c: char| !c.is_ascii_digit());
        let digits = tail.find(|c: char| !c.is_ascii_digit()).unwrap_or(tail.len());
        tail[..digits].parse::<u32>().ok()
    });
    Some(named.unwrap_or(16)).filter(|floor| *floor > sent && *floor <= FLOOR_MAX)
}

/// A greater number is a mistake, not a floor. Tokens.
const FLOOR_MAX: u32 = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn error(message: &str) -> ProviderError {
        ProviderError { message: message.to_owned(), ..ProviderError::default() }
    }

    fn about(status: Option<u16>, error: &ProviderError) -> About {
        use crate::health::outcome::{Observation, classify};
        let about = |status| classify(&Observation::Status(status, error)).about;
        status.map_or(About::Whole, about)
    }

    fn judged(cause: Cause, status: Option<u16>, message: &str) -> Finding {
        let error = error(message);
        judge(&Refusal {
            cause,
            status,
            about: about(status, &error),
            error: &error,
            hint_ms: None,
            has_mode: false,
            many_models: false,
        })
    }

    #[test]
    fn a_verdict_follows_from_the_cause() {
        let limit = "Could not finish the message because max_tokens or model output limit was reached. \
                     Please try again with higher max_tokens.";
        let rows = [
            (Cause::BadRequest, Some(400), limit, Finding::Healthy),
            (Cause::ContentPolicy, Some(400), "", Finding::Healthy),
            (Cause::BadRequest, Some(400), "Unknown parameter: 'max_tokens'", Finding::ProbeError),
            (Cause::RateLimited, Some(429), "", Finding::RateLimited(None)),
            (Cause::Quota, Some(429), "", Finding::Failing(Cause::Quota)),
            (Cause::Auth, Some(401), "", Finding::Failing(Cause::Auth)),
            (Cause::BadResponse, None, "HTML", Finding::Failing(Cause::BadResponse)),
            (Cause::Timeout, None, "", Finding::Failing(Cause::Timeout)),
            (Cause::Gateway, Some(503), "", Finding::ProbeError),
            (Cause::Unsupported, Some(400), "", Finding::Unknown(Doubt::WrongMode)),
            (Cause::Unsupported, None, "seed cannot be expressed", Finding::ProbeError),
            (
                Cause::NotFound,
                Some(404),
                "This is not a chat model and thus not supported in the v1/chat/completions endpoint.",
                Finding::Unknown(Doubt::WrongMode),
            ),
            (Cause::NotFound, Some(404), "Not Found", Finding::Unknown(Doubt::NoPath)),
            (Cause::NotFound, Some(301), "", Finding::Failing(Cause::NotFound)),
            (Cause::BadRequest, Some(501), "", Finding::Unknown(Doubt::WrongMode)),
            (
                Cause::BadRequest,
                Some(400),
                "Unknown request URL",
                Finding::Failing(Cause::BadResponse),
            ),
            (
                Cause::BadRequest,
                Some(400),
                "max_tokens: Extra inputs are not permitted",
                Finding::ProbeError,
            ),
            (
                Cause::NotFound,
                Some(404),
                "The model `gpt-5` does not exist",
                Finding::Failing(Cause::NotFound),
            ),
        ];
        for (cause, status, message, expected) in rows {
            assert_eq!(judged(cause, status, message), expected, "{status:?} {message}");
        }
    }

    #[test]
    fn a_configured_mode_is_believed_and_one_model_stands_for_no_pattern() {
        let error = error("Not Found");
        let refusal = Refusal {
            cause: Cause::NotFound,
            status: Some(404),
            about: about(Some(404), &error),
            error: &error,
            hint_ms: None,
            has_mode: true,
            many_models: false,
        };
        assert_eq!(judge(&refusal), Finding::Failing(Cause::NotFound));
        assert_eq!(
            judge(&Refusal { many_models: true, ..refusal }),
            Finding::Unknown(Doubt::Model)
        );
    }

    #[test]
    fn the_floor_is_the_number_that_the_provider_names() {
        let rows = [
            (
                "Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16, but got 1 \
                 instead.",
                Some(16),
            ),
            ("max_tokens must be at least 32", Some(32)),
            ("max_completion_tokens is too small", Some(16)),
            ("max_tokens: must be greater than or equal to 3 (got 1)", Some(3)),
            ("max_tokens is too large: at most 8192", None),
            ("temperature must be at least 1", None),
            ("max_tokens must be at least 1", None),
            ("max_tokens must be at least 99999999", None),
            ("max_tokens or model output limit was reached, at least", None),
        ];
        for (message, floor) in rows {
            assert_eq!(token_floor(&error(message), 1), floor, "{message}");
        }
    }
}
