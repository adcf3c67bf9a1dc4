//! How long a provider asks us to wait, from the headers of its refusal.
//!
//! Called by attempts on every failed answer. Always true: nonsense counts as absent, and a time in
//! the past is 0.

use http::HeaderMap;

/// The rest that the headers name, milliseconds. `now_unix_ms` is the wall clock.
///
/// `retry-after-ms` counts first, then `retry-after` (seconds or an HTTP date). A 429 without them is
/// read by its resets, `x-ratelimit-reset-*` (durations) or `anthropic-ratelimit-*-reset` (RFC 3339):
/// those whose remaining count is 0, else all; the longest one. Providers send them with every answer,
/// so that they say nothing about other failures.
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
        if let Ok(date) = httpdate::parse_http_date(value) {
            let at = date.duration_since(std::time::UNIX_EPOCH).ok()?.as_millis();
            return Some(u64::try_from(at).ok()?.saturating_sub(now_unix_ms));
        }
    }
    if status != 429 {
        return None;
    }
    let (mut spent, mut longest) = (None, None);
    for kind in ["requests", "tokens"] {
        let reset = text(&format!("x-ratelimit-reset-{kind}")).and_then(duration_ms);
        if text(&format!("x-ratelimit-remaining-{kind}")) == Some("0") {
            spent = spent.max(reset);
        }
        longest = longest.max(reset);
    }
    for kind in ["requests", "tokens", "input-tokens", "output-tokens"] {
        let reset = text(&format!("anthropic-ratelimit-{kind}-reset"))
            .and_then(rfc3339_unix_ms)
            .map(|at| at.saturating_sub(now_unix_ms));
        if text(&format!("anthropic-ratelimit-{kind}-remaining")) == Some("0") {
            spent = spent.max(reset);
        }
        longest = longest.max(reset);
    }
    spent.or(longest)
}

/// A moment as RFC 3339 writes it, `2026-01-31T12:34:56.7Z` or with an offset, as milliseconds since
/// 1970; `None` before that.
fn rfc3339_unix_ms(text: &str) -> Option<u64> {
    let number = |range: std::ops::Range<usize>| -> Option<i64> {
        let digits = text.get(range)?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
    };
    let separators = [(4, "-"), (7, "-"), (13, ":"), (16, ":")];
    if separators.iter().any(|(at, mark)| text.get(*at..at + 1) != Some(*mark)) {
        return None;
    }
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    let rest = text.get(19..)?;
    let zone_at = rest.find(['Z', 'z', '+', '-'])?;
    let offset_minutes = match rest.get(zone_at..zone_at + 1)? {
        "Z" | "z" => 0,
        sign => {
            let at = 19 + zone_at;
            let minutes = number(at + 1..at + 3)? * 60 + number(at + 4..at + 6)?;
            if sign == "-" { -minutes } else { minutes }
        }
    };
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 {
        return None;
    }
    // Days since 1970 in the civil calendar, with years that begin in March.
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = 365 * year + year / 4 - year / 100 + year / 400 + day_of_year - 719_468;
    let seconds = days * 86_400 + hour * 3_600 + minute * 60 + second - offset_minutes * 60;
    u64::try_from(seconds).ok()?.checked_mul(1_000)
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
fn duration_ms(text: &str) -> Option<u64> {
    if let Some(ms) = number(text, 1000.0) {
        return Some(ms);
    }
    let mut total = 0u64;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (value, tail) = rest.split_at(digits);
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
        rest = tail;
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    #[test]
    fn moments_are_read_in_every_zone() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2024-02-29T23:59:59Z", Some(1_709_251_199_000)),
            ("2026-01-01T00:00:00.123Z", Some(1_767_225_600_000)),
            ("2026-01-01T02:00:00+02:00", Some(1_767_225_600_000)),
            ("2025-12-31T19:00:00-05:00", Some(1_767_225_600_000)),
            ("2026-13-01T00:00:00Z", None),
            ("2026-01-01 ", None),
            ("2026-01-01T00:00:00", None),
            ("yesterday", None),
        ] {
            assert_eq!(rfc3339_unix_ms(text), expected, "{text}");
        }
    }

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
    fn every_dialect_is_read() {
        assert_eq!(hint(&[("retry-after", "20")]), Some(20_000));
        assert_eq!(hint(&[("retry-after", "0")]), Some(0));
        assert_eq!(hint(&[("retry-after-ms", "1500"), ("retry-after", "9")]), Some(1_500));
        assert_eq!(hint(&[("retry-after", "Sun, 06 Nov 1994 08:49:47 GMT")]), Some(10_000));
        assert_eq!(hint(&[("retry-after", "Sun, 06 Nov 1994 08:49:27 GMT")]), Some(0));
        assert_eq!(hint(&[("x-ratelimit-reset-requests", "6m0s")]), Some(360_000));
        assert_eq!(hint(&[("x-ratelimit-reset-tokens", "120ms")]), Some(120));
    }

    #[test]
    fn the_reset_of_what_ran_out_counts() {
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
    fn nonsense_is_absent() {
        for value in ["", "soon", "-5", "NaN", "inf", "1x", "12:30"] {
            assert_eq!(hint(&[("retry-after", value)]), None, "{value}");
            assert_eq!(hint(&[("x-ratelimit-reset-tokens", value)]), None, "{value}");
        }
        assert_eq!(hint(&[("retry-after", "1e300")]), Some(u64::MAX));
    }
}
