//! Errors in Google's format: what its details say besides the message (which quota is used up, how long to wait), and those of
//! the gateway for its clients.
//!
//! Called by [`super::errors`] for the bodies of refusals and for errors in answers and streams. Always true: any bytes give a result, and what cannot be
//! read counts as absent.

use serde::Serialize;

use super::errors::ErrorReply;
use super::retry_after::duration_ms;
use crate::bytes::elements::elements;
use crate::bytes::json::Str;
use crate::bytes::members::texts;

/// Longest text of a detail that is read, in bytes.
const TEXT_MAX: usize = 4 << 10;

/// The most specific name of what is wrong in the JSON text of `details`: the quota that is used up, else the reason. What has an odd
/// form is left out alone.
pub(super) fn code(details: &str) -> Option<String> {
    let quotas = || {
        let violations = all(details, "violations").filter_map(elements).flatten();
        violations.filter_map(|one| text(member(one, "quotaId")?))
    };
    // What a day allows is used up for longer than what a minute does.
    let quota = quotas().find(|quota| quota.contains("PerDay")).or_else(|| quotas().next());
    quota.or_else(|| all(details, "reason").find_map(text))
}

/// How long an error with these `details`, JSON text, asks the gateway to wait, in milliseconds.
pub(super) fn wait_ms(details: Option<&str>) -> Option<u64> {
    let delay = |raw: &str| {
        if raw.starts_with('"') {
            return duration_ms(&text(raw)?);
        }
        // As older servers write it.
        let [seconds, nanos] = texts(raw, ["seconds", "nanos"]).ok()?;
        let number = |raw: Option<&str>| raw.map_or(Some(0), |raw| raw.parse::<u64>().ok());
        Some(
            number(seconds)?
                .saturating_mul(1000)
                .saturating_add(number(nanos)?.div_ceil(1_000_000)),
        )
    };
    all(details?, "retryDelay").find_map(delay)
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

/// The code of Google's that stands for one of ours: a model that is not there is none of its API's resources, and 529 is Anthropic's.
#[must_use]
pub fn google_code(code: u16, reason: &str) -> u16 {
    match code {
        400 if reason == "unknown_model" => 404,
        529 => 503,
        other => other,
    }
}

impl<'e> Google<'e> {
    /// `reply` in Google's words.
    pub(super) fn of(reply: &'e ErrorReply) -> Google<'e> {
        let code = reply.code.parse().unwrap_or(500);
        // Source: <https://google.aip.dev/193>.
        let status = match code {
            400 | 413 | 422 => "INVALID_ARGUMENT",
            401 => "UNAUTHENTICATED",
            403 => "PERMISSION_DENIED",
            404 => "NOT_FOUND",
            405 | 501 => "UNIMPLEMENTED",
            408 | 504 => "DEADLINE_EXCEEDED",
            409 => "ABORTED",
            429 => "RESOURCE_EXHAUSTED",
            499 => "CANCELLED",
            // 529 is Anthropic's for an overload.
            502 | 503 | 529 => "UNAVAILABLE",
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

/// The members called `name` of the elements of `list`.
fn all<'t>(list: &'t str, name: &'static str) -> impl Iterator<Item = &'t str> {
    elements(list).into_iter().flatten().filter_map(move |one| member(one, name))
}

fn member<'t>(object: &'t str, name: &'static str) -> Option<&'t str> {
    texts(object, [name]).ok().and_then(|[found]| found)
}

fn text(raw: &str) -> Option<String> {
    let raw = Some(raw).filter(|raw| raw.starts_with('"') && raw.len() <= TEXT_MAX)?;
    serde_json::from_str::<Str<'_>>(raw).ok().map(|Str(text)| text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::errors::parse_provider_error;

    fn hint(body: &str) -> Option<u64> {
        parse_provider_error(body.as_bytes()).wait_ms
    }

    #[test]
    fn a_detail_of_an_odd_form_hides_none_of_the_others() {
        let details = r#"[{"violations":{"a":1}},7,{"retryDelay":"38s"},{"violations":[3,{"quotaId":"XPerDay"}]}]"#;
        assert_eq!(code(details).as_deref(), Some("XPerDay"));
        assert_eq!(wait_ms(Some(details)), Some(38_000));
    }

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
            // A time in the text is read by the classifier.
            ("[]", "Please retry in 38.92s.", None),
            (r#"[{"retryDelay":"soon"}]"#, "", None),
            (r#"{"retryDelay":"1s"}"#, "", None),
            ("[]", "", None),
        ] {
            let hint = hint(&body(details, message));
            assert_eq!(hint, expected, "{details} {message}");
        }
        for odd in
            ["", "[]", "[1]", "{}", "<html>", r#"{"error":"x"}"#, r#"{"error":{"details":3}}"#]
        {
            assert_eq!(hint(odd), None, "{odd}");
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
        assert_eq!(hint(&format!("{{\"error\":{{\"details\":{told}}}}}")), None);
    }
}
