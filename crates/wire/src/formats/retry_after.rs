//! How long a provider asks the gateway to wait, according to the headers of its refusal.
//!
//! Called by attempts for every failed answer. Always true: an invalid value counts as absent, and a time in the
//! past is 0.

use http::HeaderMap;

/// A number from here on is not a duration but a time, in seconds since 1970.
const EPOCH_S: f64 = 1e9;
/// A number from here on is a time in milliseconds since 1970.
const EPOCH_MS: f64 = 1e12;

/// The wait that the headers ask for, in milliseconds. `now_unix_ms` is the wall clock.
///
/// `retry-after-ms` takes precedence over `retry-after` (seconds, an HTTP date or RFC 3339). For a 429 without them the
/// longest of `x-ratelimit-reset*`, `ratelimit-reset`, `ratelimitbysize-reset` and `anthropic-ratelimit-*-reset` counts: of those whose remaining count is 0, or
/// else of all. Providers send these with every answer, so they mean nothing for other failures.
#[must_use]
pub fn retry_hint_ms(status: u16, headers: &HeaderMap, now_unix_ms: u64) -> Option<u64> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    if let Some(ms) = text("retry-after-ms").and_then(|value| number(value, 1.0)) {
        return Some(ms);
    }
    if let Some(value) = text("retry-after") {
        if let Some(ms) = number(value, 1000.0) {
            return Some(ms);
        }
        if let Some(at) = unix_ms(value) {
            return Some(at.saturating_sub(now_unix_ms));
        }
    }
    if status != 429 {
        return None;
    }
    let (mut spent, mut longest) = (None, None);
    for (name, value) in headers {
        let Some(remaining) = remaining_of(name.as_str()) else { continue };
        let reset = value.to_str().ok().and_then(|value| reset_ms(value.trim(), now_unix_ms));
        if text(&remaining).and_then(|count| number(count, 1.0)) == Some(0) {
            spent = spent.max(reset);
        }
        longest = longest.max(reset);
    }
    spent.or(longest)
}

/// The header with the remaining count that belongs to a reset header.
fn remaining_of(name: &str) -> Option<String> {
    if let Some(what) = name.strip_prefix("x-ratelimit-reset") {
        return Some(format!("x-ratelimit-remaining{what}"));
    }
    // The IETF's draft, and Mistral's name for the tokens of a minute.
    if let Some(what @ ("ratelimit" | "ratelimitbysize")) = name.strip_suffix("-reset") {
        return Some(format!("{what}-remaining"));
    }
    let what = name.strip_prefix("anthropic-ratelimit-")?.strip_suffix("-reset")?;
    Some(format!("anthropic-ratelimit-{what}-remaining"))
}

/// The time until a limit is reset: given as a duration, as a time in a number, or as a time in text.
fn reset_ms(text: &str, now_unix_ms: u64) -> Option<u64> {
    let at = match text.parse::<f64>() {
        Ok(value) if value >= EPOCH_MS => number(text, 1.0),
        Ok(value) if value >= EPOCH_S => number(text, 1000.0),
        Ok(_) => return number(text, 1000.0),
        Err(_) => unix_ms(text),
    };
    match at {
        Some(at) => Some(at.saturating_sub(now_unix_ms)),
        None => duration_ms(text),
    }
}

/// A time as an HTTP date or RFC 3339, in milliseconds since 1970.
#[must_use]
pub fn unix_ms(text: &str) -> Option<u64> {
    if let Ok(date) = httpdate::parse_http_date(text) {
        let at = date.duration_since(std::time::UNIX_EPOCH).ok()?.as_millis();
        return u64::try_from(at).ok();
    }
    rfc3339_unix_ms(text)
}

/// `2026-01-02T03:04:05.678Z`, or with an offset such as `+01:00`. A time before 1970 and an invalid date are absent.
fn rfc3339_unix_ms(text: &str) -> Option<u64> {
    let time: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(time.as_millisecond()).ok()
}

fn number(text: &str, factor: f64) -> Option<u64> {
    let value: f64 = text.parse().ok()?;
    if !value.is_finite() || value < 0.0 {
        return None;
    }
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the cast saturates, and the sign was checked"
    )]
    let ms = (value * factor).ceil() as u64;
    Some(ms)
}

/// A duration as providers write it: `1s`, `6m0s`, `120ms`, `1h2m3.5s`, or plain seconds.
pub(super) fn duration_ms(text: &str) -> Option<u64> {
    if let Some(ms) = number(text, 1000.0) {
        return Some(ms);
    }
    let mut total = 0u64;
    let mut remainder = text;
    while !remainder.is_empty() {
        let digits = remainder.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (value, tail) = remainder.split_at(digits);
        let unit_end = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let factor = match unit {
            "ms" => 1.0,
            "s" => 1000.0,
            "m" => 60_000.0,
            "h" => 3_600_000.0,
            "d" => 86_400_000.0,
            _ => return None,
        };
        total = total.saturating_add(number(value, factor)?);
        remainder = tail;
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn hint(pairs: &[(&'static str, &str)]) -> Option<u64> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        retry_hint_ms(429, &headers, 784_111_777_000)
    }

    #[test]
    fn every_notation_of_a_wait_is_read() {
        assert_eq!(hint(&[("retry-after", "20")]), Some(20_000));
        assert_eq!(hint(&[("retry-after", "0")]), Some(0));
        assert_eq!(hint(&[("retry-after-ms", "1500"), ("retry-after", "9")]), Some(1_500));
        assert_eq!(hint(&[("retry-after", "Sun, 06 Nov 1994 08:49:47 GMT")]), Some(10_000));
        assert_eq!(hint(&[("retry-after", "Sun, 06 Nov 1994 08:49:27 GMT")]), Some(0));
        assert_eq!(hint(&[("x-ratelimit-reset-requests", "6m0s")]), Some(360_000));
        assert_eq!(hint(&[("x-ratelimit-reset-tokens", "120ms")]), Some(120));
        assert_eq!(hint(&[("ratelimit-reset", "7"), ("ratelimit-remaining", "0")]), Some(7_000));
        assert_eq!(hint(&[("ratelimitbysize-reset", "12")]), Some(12_000));
    }

    #[test]
    fn times_are_read_in_every_zone() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2024-02-29T23:59:59Z", Some(1_709_251_199_000)),
            ("2026-01-01T00:00:00.123Z", Some(1_767_225_600_123)),
            ("2026-01-01T02:00:00+02:00", Some(1_767_225_600_000)),
            ("2025-12-31T19:00:00-05:00", Some(1_767_225_600_000)),
            ("2026-01-01t00:00:00.123456789z", Some(1_767_225_600_123)),
            ("2026-01-01 00:00:00Z", Some(1_767_225_600_000)),
            ("1969-12-31T23:59:59.5Z", None),
            ("2026-13-01T00:00:00Z", None),
            ("2026-02-31T00:00:00Z", None),
            ("2026-02-29T00:00:00Z", None),
            ("2026-04-31T00:00:00+02:00", None),
            ("2026-01-00T00:00:00Z", None),
            ("2026-01-01T24:00:00Z", None),
            ("2026-01-01 ", None),
            ("2026-01-01T00:00:00", None),
            ("yesterday", None),
        ] {
            assert_eq!(rfc3339_unix_ms(text), expected, "{text}");
        }
    }

    #[test]
    fn times_are_read_in_every_notation() {
        // In these tests the time is 1994-11-06T08:49:37Z.
        let later = ["1994-11-06T08:49:47Z", "1994-11-06T09:49:47+01:00", "1994-11-06T08:49:46.5Z"];
        for text in later {
            let expected = if text.contains('.') { 9_500 } else { 10_000 };
            // https://docs.anthropic.com/en/api/rate-limits#response-headers
            let of_anthropic = hint(&[("anthropic-ratelimit-input-tokens-reset", text)]);
            assert_eq!(of_anthropic, Some(expected), "{text}");
            assert_eq!(hint(&[("retry-after", text)]), Some(expected), "{text}");
        }
        // A number is a time only if it is far too long for a duration.
        let at = |text: &str, now| {
            let mut headers = HeaderMap::new();
            headers.insert("x-ratelimit-reset", HeaderValue::from_str(text).unwrap());
            retry_hint_ms(429, &headers, now)
        };
        assert_eq!(at("1700000010", 1_700_000_000_000), Some(10_000));
        assert_eq!(at("1700000010500", 1_700_000_000_000), Some(10_500));
        assert_eq!(at("12", 1_700_000_000_000), Some(12_000));
        assert_eq!(at("1600000000", 1_700_000_000_000), Some(0), "past");
        for nonsense in
            ["1994-13-06T08:49:47Z", "1994-11-06T08:49:47", "1994-11-06", "1960-01-01T00:00:00Z"]
        {
            assert_eq!(hint(&[("anthropic-ratelimit-requests-reset", nonsense)]), None);
        }
    }

    #[test]
    fn the_exhausted_limit_of_anthropic_counts_too() {
        let hints = [
            ("anthropic-ratelimit-requests-remaining", "0"),
            ("anthropic-ratelimit-requests-reset", "1994-11-06T08:49:39Z"),
            ("anthropic-ratelimit-tokens-remaining", "1000"),
            ("anthropic-ratelimit-tokens-reset", "1994-11-06T08:59:37Z"),
        ];
        assert_eq!(hint(&hints), Some(2_000));
    }

    #[test]
    fn the_reset_of_the_exhausted_limit_counts() {
        let both = [("x-ratelimit-reset-requests", "1s"), ("x-ratelimit-reset-tokens", "1m")];
        assert_eq!(hint(&both), Some(60_000));
        let spent = [both[0], both[1], ("x-ratelimit-remaining-requests", "0")];
        assert_eq!(hint(&spent), Some(1_000));
        let both_spent = [spent[0], spent[1], spent[2], ("x-ratelimit-remaining-tokens", "0")];
        assert_eq!(hint(&both_spent), Some(60_000));
    }

    #[test]
    fn only_a_429_is_read_by_its_resets() {
        let mut headers = HeaderMap::new();
        headers.insert("x-ratelimit-reset-requests", HeaderValue::from_static("1m12s"));
        assert_eq!(retry_hint_ms(500, &headers, 0), None);
        headers.insert("retry-after", HeaderValue::from_static("2"));
        assert_eq!(retry_hint_ms(503, &headers, 0), Some(2_000));
    }

    #[test]
    fn invalid_values_are_absent() {
        for value in ["", "soon", "-5", "NaN", "inf", "1x", "12:30"] {
            assert_eq!(hint(&[("retry-after", value)]), None, "{value}");
            assert_eq!(hint(&[("x-ratelimit-reset-tokens", value)]), None, "{value}");
        }
        assert_eq!(hint(&[("retry-after", "1e300")]), Some(u64::MAX));
    }
}
