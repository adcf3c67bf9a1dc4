//! Errors in Google's format: what its details say besides the message (which quota is used up, how long to wait), and those of
//! the gateway for its clients.
//!
//! Called by [`super::errors`] and by attempts for the bodies of refusals. Always true: any bytes give a result, and what cannot be
//! read counts as absent.

use serde::{Deserialize, Serialize};

use super::errors::{ErrorReply, first_object};
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

/// An error of the gateway.
#[derive(Serialize)]
pub(super) struct Google<'e> {
    error: GoogleError<'e>,
}

#[derive(Serialize)]
struct GoogleError<'e> {
    code: u16,
    message: &'e str,
    status: &'static str,
    details: Vec<GoogleDetail<'e>>,
    reason: &'static str,
}

/// What is said about an error. Source: <https://github.com/googleapis/googleapis/blob/master/google/rpc/error_details.proto>.
#[derive(Serialize)]
#[serde(tag = "@type")]
enum GoogleDetail<'e> {
    #[serde(rename = "type.googleapis.com/google.rpc.ErrorInfo")]
    Info { reason: &'static str, domain: &'static str, metadata: &'e ErrorReply },
    #[serde(rename = "type.googleapis.com/google.rpc.RetryInfo", rename_all = "camelCase")]
    Retry { retry_delay: String },
    #[serde(rename = "type.googleapis.com/google.rpc.QuotaFailure")]
    Quota { violations: [QuotaViolation; 1] },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct QuotaViolation {
    quota_id: &'static str,
    quota_metric: &'static str,
}

/// Reasons of refusals that hold until money or a quota is there again: Google's clients stop there.
const SPENT: [&str; 3] = ["budget_exceeded", "quota", "insufficient_quota"];

impl<'e> Google<'e> {
    /// `reply` in Google's words.
    pub(super) fn of(reply: &'e ErrorReply) -> Google<'e> {
        let code = reply.code.parse().unwrap_or(500);
        // Source: <https://google.aip.dev/193>.
        let status = match code {
            400 | 413 | 422 => "INVALID_ARGUMENT",
            401 => "UNAUTHENTICATED",
            403 => "PERMISSION_DENIED",
            404 | 405 => "NOT_FOUND",
            409 => "ABORTED",
            429 => "RESOURCE_EXHAUSTED",
            499 => "CANCELLED",
            501 => "UNIMPLEMENTED",
            503 => "UNAVAILABLE",
            504 => "DEADLINE_EXCEEDED",
            _ => "INTERNAL",
        };
        let info = GoogleDetail::Info { reason: reply.reason, domain: "hale", metadata: reply };
        let mut details = vec![info];
        if code == 429 {
            let is_spent = SPENT.contains(&reply.reason) || SPENT.contains(&&*reply.kind);
            let (quota_id, quota_metric) = match is_spent {
                true => ("HaleBudgetPerDay", "hale/budget"),
                false => ("HaleRequestsPerMinute", "hale/requests"),
            };
            details.push(GoogleDetail::Quota {
                violations: [QuotaViolation { quota_id, quota_metric }],
            });
            if !is_spent {
                let seconds = reply.retry_after_s.unwrap_or(1);
                details.push(GoogleDetail::Retry { retry_delay: format!("{seconds}s") });
            }
        }
        Google {
            error: GoogleError {
                code,
                message: &reply.message,
                status,
                details,
                reason: reply.reason,
            },
        }
    }
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

    #[test]
    fn a_limit_and_a_spent_budget_are_told_apart() {
        let details = |reply: &ErrorReply| {
            let body = serde_json::to_string(&Google::of(reply)).unwrap();
            let body: serde_json::Value = serde_json::from_str(&body).unwrap();
            assert_eq!(body["error"]["status"], "RESOURCE_EXHAUSTED");
            body["error"]["details"].to_string()
        };
        let limited = ErrorReply {
            code: "429".to_owned(),
            reason: "rate_limited",
            retry_after_s: Some(12),
            ..ErrorReply::default()
        };
        let told = details(&limited);
        assert!(told.contains("PerMinute") && told.contains(r#""retryDelay":"12s""#), "{told}");
        let spent = ErrorReply { kind: "budget_exceeded".to_owned(), ..limited };
        let told = details(&spent);
        assert!(told.contains("PerDay") && !told.contains("retryDelay"), "{told}");
        assert_eq!(retry_hint_ms(told.as_bytes()), None);
    }
}
