//! What Google says in the details of an error besides its message: which quota is used up, and how long to wait.
//!
//! Called by [`super::errors`] and by attempts for the bodies of refusals. Always true: any bytes give a result, and what cannot be
//! read counts as absent.

use serde::Deserialize;

use super::errors::first_object;
use super::retry_after::duration_ms;
use crate::bytes::members::texts;

/// What comes before a time in Google's message.
const RETRY_IN: &str = "Please retry in ";

#[derive(Deserialize)]
struct Detail {
    #[serde(default)]
    violations: Vec<Violation>,
    #[serde(default, rename = "retryDelay")]
    retry_delay: Option<Delay>,
    #[serde(default)]
    reason: Option<String>,
}

#[derive(Deserialize)]
struct Violation {
    #[serde(default, rename = "quotaId")]
    quota: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Delay {
    /// `38s`, `38.9s`.
    Text(String),
    /// As older servers write it.
    Parts {
        #[serde(default)]
        seconds: u64,
        #[serde(default)]
        nanos: u64,
    },
}

/// The most specific name of what is wrong in the JSON text of `details`: the quota that is used up, else the reason.
pub(super) fn code(details: &str) -> Option<String> {
    let details = read(details)?;
    let quotas = || details.iter().flat_map(|detail| &detail.violations);
    let quotas = || quotas().filter_map(|violation| violation.quota.clone());
    // What a day allows is used up for longer than what a minute does.
    let quota = quotas().find(|quota| quota.contains("PerDay")).or_else(|| quotas().next());
    quota.or_else(|| details.into_iter().find_map(|detail| detail.reason))
}

/// How long the body of a refusal asks the gateway to wait, in milliseconds.
#[must_use]
pub fn retry_hint_ms(body: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(body).ok()?;
    let [error] = texts(first_object(text), ["error"]).ok()?;
    let [details, message] = texts(error?, ["details", "message"]).ok()?;
    let delay = details.and_then(read).and_then(|details| {
        details.into_iter().find_map(|detail| match detail.retry_delay? {
            Delay::Text(text) => duration_ms(&text),
            Delay::Parts { seconds, nanos } => {
                Some(seconds.saturating_mul(1000).saturating_add(nanos.div_ceil(1_000_000)))
            }
        })
    });
    delay.or_else(|| {
        let (_, tail) = message?.split_once(RETRY_IN)?;
        let is_of_time = |c: char| c.is_ascii_digit() || matches!(c, '.' | 'h' | 'm' | 's');
        let end = tail.find(|c| !is_of_time(c)).unwrap_or(tail.len());
        duration_ms(tail[..end].trim_end_matches('.'))
    })
}

fn read(details: &str) -> Option<Vec<Detail>> {
    serde_json::from_str(details).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_read_in_every_form_of_google() {
        let body = |details: &str, message: &str| {
            format!(
                r#"[{{"error":{{"code":429,"message":"{message}","status":"RESOURCE_EXHAUSTED","details":{details}}}}}]"#
            )
        };
        for (details, message, expected) in [
            (r#"[{"@type":"x.RetryInfo","retryDelay":"38s"}]"#, "", Some(38_000)),
            (r#"[{"a":1},{"retryDelay":"38.9s"}]"#, "Please retry in 9s.", Some(38_900)),
            (r#"[{"retryDelay":"0.05s"}]"#, "", Some(50)),
            (r#"[{"retryDelay":{"seconds":38,"nanos":500000000}}]"#, "", Some(38_500)),
            ("[]", "x\\nPlease retry in 38.92s.", Some(38_920)),
            ("[]", "Please retry in 1m3.5s", Some(63_500)),
            ("[]", "Please retry in 12h4m", Some(43_440_000)),
            ("[]", "Please retry in a while", None),
            (r#"[{"retryDelay":"soon"}]"#, "", None),
            (r#"{"retryDelay":"1s"}"#, "", None),
            ("[]", "", None),
        ] {
            let hint = retry_hint_ms(body(details, message).as_bytes());
            assert_eq!(hint, expected, "{details} {message}");
        }
        for odd in
            ["", "[]", "[1]", "{}", "<html>", r#"{"error":"x"}"#, r#"{"error":{"details":3}}"#]
        {
            assert_eq!(retry_hint_ms(odd.as_bytes()), None, "{odd}");
        }
    }
}
