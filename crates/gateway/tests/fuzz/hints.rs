//! Headers that say how long to wait: nonsense is absent, and plain seconds are exact.

use hale_wire::retry_after::retry_hint_ms;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::fuzz;

const WORDS: &[&str] = &[
    "retry-after: ",
    "retry-after-ms: ",
    "x-ratelimit-reset-requests: ",
    "x-ratelimit-reset-tokens: ",
    "x-ratelimit-remaining-requests: 0",
    "x-ratelimit-remaining-tokens: 0",
    "\n",
    "1s",
    "6m0s",
    "120ms",
    "1h2m3.5s",
    "Sun, 06 Nov 1994 08:49:37 GMT",
    "-1",
    "0",
    "1e300",
    "NaN",
    "inf",
    "99999999999999999999",
    "2026-11-21T10:00:00Z",
    "anthropic-ratelimit-requests-reset: ",
    " ",
    "\t",
    ".5",
    "5.",
    "d",
    "0x10",
    "+5",
];

fuzz!("hints", WORDS, check);

/// A moment of 1994, as the dates of the corpus.
const NOW_MS: u64 = 784_111_777_000;

fn check(input: &[u8]) -> (usize, bool, bool, u32) {
    let mut headers = HeaderMap::new();
    for line in input.split(|byte| *byte == b'\n').take(64) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let name = HeaderName::from_bytes(line[..colon].trim_ascii());
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    let limited = retry_hint_ms(429, &headers, NOW_MS);
    let failed = retry_hint_ms(503, &headers, NOW_MS);
    // The resets of a rate limit count only for a rate limit.
    assert!(failed.is_none() || failed == limited, "{failed:?} {limited:?}");
    let plain = headers.get("retry-after").and_then(|value| value.to_str().ok());
    let seconds = plain.and_then(|text| text.parse::<u32>().ok());
    if let Some(seconds) = seconds.filter(|_| !headers.contains_key("retry-after-ms")) {
        assert_eq!(limited, Some(u64::from(seconds) * 1000));
        assert_eq!(failed, limited);
    }
    // A later time never makes the cooldown longer.
    assert!(retry_hint_ms(429, &headers, NOW_MS + 5_000) <= limited || limited.is_none());
    let scale = limited.map_or(0, |ms| 64 - ms.leading_zeros());
    (headers.len().min(8), limited.is_some(), failed.is_some(), scale)
}
