//! Why an answer ended, in Cohere's words.
//!
//! Called by [`super::answer`] and [`super::stream_read`]. Always true: an end that reports a failure is an error, whatever
//! stands beside it.

use hale_core::health::outcome::ProviderError;

use crate::bytes::json::lossy;
use crate::formats::errors::{MESSAGE_MAX, clean};
use crate::formats::neutral::{Stop, Text};

/// Why an answer is none.
#[derive(Debug)]
pub(super) enum Failure {
    /// The model spoilt it: how.
    Spoilt(String),
    /// The provider gave up.
    Provider(ProviderError),
}

fn word(raw: Option<&str>) -> Text<'_> {
    raw.and_then(|raw| lossy(raw, &mut None)).unwrap_or_default()
}

/// The end of an answer with that many calls: `reason` and `error` are JSON texts of the members with these names.
///
/// # Errors
/// If the answer failed.
pub(super) fn stop(
    reason: Option<&str>,
    error: Option<&str>,
    calls: usize,
) -> Result<Option<Stop>, Failure> {
    let said = word(error);
    if !said.trim().is_empty() {
        let message = clean(&said, MESSAGE_MAX);
        return Err(Failure::Provider(ProviderError { message, ..ProviderError::default() }));
    }
    let reason = word(reason);
    Ok(Some(match &*reason {
        "" => return Ok(None),
        "COMPLETE" if calls > 0 => Stop::Tools,
        "COMPLETE" => Stop::End,
        "STOP_SEQUENCE" => Stop::Sequence,
        "MAX_TOKENS" => Stop::Length,
        "TOOL_CALL" => Stop::Tools,
        "ERROR_TOXIC" => Stop::Refusal,
        "ERROR_LIMIT" => Stop::ContextWindow,
        "TIMEOUT" => {
            let message = "the provider gave up before the answer was whole: TIMEOUT".to_owned();
            let code = Some("504".to_owned());
            return Err(Failure::Provider(ProviderError { message, code, ..Default::default() }));
        }
        failed if failed.starts_with("ERROR") => {
            let reason = clean(failed, 60);
            return Err(Failure::Spoilt(format!("the model broke off: {reason}")));
        }
        other => Stop::other(other),
    }))
}
