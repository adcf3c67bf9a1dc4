//! The headers of a good answer: what served it, how, and the provider's own headers.
//!
//! Called by [`super::respond`]. Always true: numbers and names are exact, only admins see addresses, and a
//! provider's cookies are dropped.

use std::cell::RefCell;

use std::fmt::Write as _;

use hale_core::cache::CacheAnswer;
use hale_core::health::outcome::ProviderError;
use hale_core::rescue::No;
use hale_core::route::{AttemptPlan, RoutePlan};
use hale_core::snapshot::Snapshot;
use hale_wire::errors::{clean, kind_of};
use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::delivery::Durations;
use crate::arrival::Arrival;
use crate::cache::{CacheKey, Head};
use crate::clock::seconds;
use crate::http::COMPATIBLE_VERSION;
use crate::http::call_id::CALL_ID;
use crate::state::answer_template::{
    FALLBACKS, MODEL_ID, MODEL_NAME, RETRIES, VERSION, model_name,
};

/// How many provider header names a worker caches with their prefix.
const NAMES_MAX: usize = 512;
/// Provider headers that are passed on per answer.
const UPSTREAM_MAX: usize = 64;

/// Headers of an answer that there is room for at once: its own and those of most providers.
const HEADERS: usize = 24;

const MODEL_GROUP: HeaderName = HeaderName::from_static("x-litellm-model-group");
const MAX_RETRIES: HeaderName = HeaderName::from_static("x-litellm-max-retries");
const TIMEOUT: HeaderName = HeaderName::from_static("x-litellm-timeout");
const API_BASE: HeaderName = HeaderName::from_static("x-litellm-model-api-base");
const COST: HeaderName = HeaderName::from_static("x-litellm-response-cost");
const DURATION: HeaderName = HeaderName::from_static("x-litellm-response-duration-ms");
const OVERHEAD: HeaderName = HeaderName::from_static("x-litellm-overhead-duration-ms");
const FALLBACK_ERRORS: HeaderName = HeaderName::from_static("x-litellm-fallback-errors");
/// Errors that one header shows, and characters of each: clients bound the size of heads.
const ERRORS_MAX: usize = 10;
const ERROR_MAX: usize = 200;
/// Longest route that a header shows, characters.
const ROUTE_MAX: usize = 4_000;
const ROUTE: HeaderName = HeaderName::from_static("x-hale-route");
const CHECKS_IGNORED: HeaderName = HeaderName::from_static("x-hale-health-checks-ignored");
const RESCUE: HeaderName = HeaderName::from_static("x-hale-rescue");
pub(super) const RESUME: HeaderName = HeaderName::from_static("x-hale-resume");
const LEFT_OUT: HeaderName = HeaderName::from_static("x-hale-left-out");
const CACHE_KEY: HeaderName = HeaderName::from_static("x-litellm-cache-key");
/// How the cache answered: `hit` or `joined`.
const CACHE: HeaderName = HeaderName::from_static("x-hale-cache");
const ACCEL: HeaderName = HeaderName::from_static("x-accel-buffering");

thread_local! {
    /// Provider header names with their prefix: a lookup is cheaper than building the name again.
    static PREFIXED: RefCell<HeaderMap<(HeaderName, Means)>> = RefCell::default();
}

/// Says what would follow a break of the stream.
pub(super) fn rescue(headers: &mut HeaderMap, ahead: Option<Result<(), No>>) {
    let value = match ahead {
        None => return,
        Some(Ok(())) => HeaderValue::from_static("allowed"),
        Some(Err(why)) => match HeaderValue::try_from(format!("no; {}", why.word())) {
            Ok(value) => value,
            Err(_) => return,
        },
    };
    headers.insert(RESCUE, value);
}

/// Names the stream for a client that may have to come back to it.
pub(super) fn resume(headers: &mut HeaderMap, id: &str) {
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(RESUME, id);
    }
}

/// Adds the headers of an event stream.
pub(super) fn events(headers: &mut HeaderMap) {
    let content_type = HeaderValue::from_static("text/event-stream; charset=utf-8");
    headers.insert(header::CONTENT_TYPE, content_type);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(ACCEL, HeaderValue::from_static("no"));
}

/// Adds what a list has that grows like a stream.
pub(super) fn list(headers: &mut HeaderMap) {
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(ACCEL, HeaderValue::from_static("no"));
}

/// Adds the content type of a text: the provider's, if it is a text type.
pub(super) fn text(headers: &mut HeaderMap, upstream: &HeaderMap) {
    let is_text = |value: &&HeaderValue| {
        let kind = value.as_bytes().trim_ascii_start();
        [&b"text/"[..], b"application/x-subrip"]
            .iter()
            .any(|one| kind.get(..one.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(one)))
    };
    let own = upstream.get(header::CONTENT_TYPE).filter(is_text).cloned();
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    headers.insert(header::CONTENT_TYPE, own.unwrap_or(plain));
}

/// The headers about what served it.
pub(super) fn common(
    arrival: &Arrival,
    route_plan: &RoutePlan,
    plan: &AttemptPlan,
    durations: Durations,
) -> HeaderMap {
    let template = arrival.serving.answer_template(plan.deployment);
    let group = route_plan.target().name(&arrival.serving.snapshot);
    let mut headers = HeaderMap::with_capacity(HEADERS);
    headers.extend(template.headers.iter().cloned());
    if let Ok(value) = HeaderValue::from_str(&arrival.call_id) {
        headers.insert(CALL_ID, value);
    }
    if let Ok(value) = HeaderValue::from_str(group) {
        headers.insert(MODEL_GROUP, value);
    }
    if template.has_many_models {
        let snapshot = &arrival.serving.snapshot;
        let deployment = snapshot.deployment(plan.deployment);
        let model = route_plan.target().upstream_model(snapshot, deployment);
        headers.extend(model_name(deployment, &model).map(|name| (MODEL_NAME, name)));
    }
    if arrival.principal.is_operator()
        && let Some(base) = &template.base
    {
        headers.insert(API_BASE, base.clone());
    }
    if route_plan.retries() > 0 {
        headers.insert(RETRIES, HeaderValue::from(route_plan.retries()));
        let most = route_plan.retries_at_most(&arrival.serving.snapshot);
        headers.insert(MAX_RETRIES, HeaderValue::from(most));
    }
    if route_plan.fallbacks() > 0 {
        headers.insert(FALLBACKS, HeaderValue::from(route_plan.fallbacks()));
    }
    headers.insert(DURATION, milliseconds(durations.total_us));
    headers.insert(OVERHEAD, milliseconds(durations.own_us));
    headers
}

/// An answer of the cache.
#[derive(Clone, Copy)]
pub(super) struct FromCache<'a> {
    /// How the cache answered.
    pub(super) how: CacheAnswer,
    /// The key of the answer.
    pub(super) key: CacheKey,
    /// What the answer is.
    pub(super) head: &'a Head,
}

/// The headers of an answer of the cache.
pub(super) fn from_cache(
    arrival: &Arrival,
    route_plan: &RoutePlan,
    durations: Durations,
    answer: FromCache<'_>,
) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(16);
    let texts = [
        (CALL_ID, &*arrival.call_id),
        (MODEL_GROUP, route_plan.target().name(&arrival.serving.snapshot)),
        (MODEL_ID, &*answer.head.deployment),
    ];
    for (name, text) in texts {
        headers.extend(HeaderValue::from_str(text).map(|value| (name, value)));
    }
    headers.insert(VERSION, HeaderValue::from_static(COMPATIBLE_VERSION));
    headers.insert(RETRIES, HeaderValue::from_static("0"));
    headers.insert(FALLBACKS, HeaderValue::from_static("0"));
    headers.insert(DURATION, milliseconds(durations.total_us));
    headers.insert(OVERHEAD, milliseconds(durations.own_us));
    headers.insert(CACHE, HeaderValue::from_static(answer.how.name()));
    cost(&mut headers, Some(0.0));
    cache_key(&mut headers, Some(answer.key));
    match answer.head.is_stream {
        true => events(&mut headers),
        false => {
            let json = HeaderValue::from_static("application/json");
            headers.insert(header::CONTENT_TYPE, json);
        }
    }
    headers
}

/// The key under which the cache knows the answer.
pub(super) fn cache_key(headers: &mut HeaderMap, key: Option<CacheKey>) {
    if let Some(key) = key
        && let Ok(value) = HeaderValue::try_from(key.to_string())
    {
        headers.insert(CACHE_KEY, value);
    }
}

/// The route of a request that the cache answered.
pub(super) fn route_from_cache(headers: &mut HeaderMap, how: CacheAnswer) {
    let line = match how {
        CacheAnswer::Hit => "cache=hit",
        CacheAnswer::Joined => "cache=joined",
    };
    headers.insert(ROUTE, HeaderValue::from_static(line));
}

/// Adds what a client sees of the limits of the last attempt, which failed, milliseconds.
pub(super) fn limits(headers: &mut HeaderMap, timeout_ms: u64) {
    if let Ok(seconds) = HeaderValue::try_from(seconds(timeout_ms)) {
        headers.insert(TIMEOUT, seconds);
    }
}

/// Marks an attempt in `x-hale-route` that was sent again on a new connection.
const RESENT: &str = " resent";

/// The attempt that was answered.
#[derive(Clone, Copy)]
pub(super) struct AnsweredBy<'a> {
    /// Its plan.
    pub(super) plan: &'a AttemptPlan,
    /// Whether it was sent again on a new connection.
    pub(super) resent: bool,
}

/// The route that a request took, in one line: `group/deployment=status cause time; ...; waited time; ...`.
pub(super) fn route(
    headers: &mut HeaderMap,
    snapshot: &Snapshot,
    route_plan: &RoutePlan,
    answered: Option<AnsweredBy<'_>>,
) {
    let mut line = String::new();
    for tried in route_plan.tried() {
        let name = &tried.at(snapshot).display.name;
        let status = tried.status.map_or(String::new(), |status| format!("{status} "));
        let cause = tried.cause.name();
        // Writing to a string cannot fail.
        let resent = if tried.resent { RESENT } else { "" };
        let (group, ms) = (&tried.group, tried.ms);
        let _written = write!(line, "{group}/{name}={status}{cause} {ms} ms{resent}; ");
    }
    if route_plan.waited_ms() > 0 {
        let _written = write!(line, "waited {} ms; ", route_plan.waited_ms());
    }
    match answered {
        Some(AnsweredBy { plan, resent }) => {
            let name = &snapshot.deployment(plan.deployment).display.name;
            let resent = if resent { RESENT } else { "" };
            let half_open = if plan.half_open.is_trial() { " trial" } else { "" };
            let _written =
                write!(line, "{}/{name}=ok{half_open}{resent}", route_plan.target().name(snapshot));
        }
        None => line.push_str("no answer"),
    }
    let printable = line.chars().filter(|c| matches!(c, ' '..='~'));
    let printable: String = printable.take(ROUTE_MAX).collect();
    if let Ok(value) = HeaderValue::try_from(printable) {
        headers.insert(ROUTE, value);
    }
}

/// The errors of the failed attempts, as a JSON list.
pub(super) fn errors(headers: &mut HeaderMap, route_plan: &RoutePlan, errors: &[ProviderError]) {
    if errors.is_empty() {
        return;
    }
    let shown = route_plan.tried().iter().zip(errors).take(ERRORS_MAX).map(|(tried, error)| {
        let status = tried.status.unwrap_or(tried.cause.facts().status);
        serde_json::json!({
            "message": clean(&error.message, ERROR_MAX),
            "type": error.kind.as_deref().unwrap_or(kind_of(status)),
            "param": error.param,
            "code": status.to_string(),
        })
    });
    let list = serde_json::Value::Array(shown.collect()).to_string();
    let printable: String = list.chars().filter(|c| matches!(c, ' '..='~')).collect();
    if let Ok(value) = HeaderValue::try_from(printable) {
        headers.insert(FALLBACK_ERRORS, value);
    }
}

/// Every deployment was unhealthy by its probes, so the probes were ignored.
pub(super) fn checks_ignored(headers: &mut HeaderMap) {
    headers.insert(CHECKS_IGNORED, HeaderValue::from_static("true"));
}

/// What was left out of the request because the provider would have refused it.
pub(super) fn left_out(headers: &mut HeaderMap, names: &[&'static str]) {
    if names.is_empty() {
        return;
    }
    if let Ok(value) = HeaderValue::try_from(names.join(", ")) {
        headers.insert(LEFT_OUT, value);
    }
}

/// The cost, if the price is known.
pub(super) fn cost(headers: &mut HeaderMap, usd: Option<f64>) {
    if let Some(usd) = usd {
        headers.insert(COST, decimal_usd(usd));
    }
}

/// What a provider's header says of its limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Means {
    Nothing,
    RequestsLeft,
    TokensLeft,
}

impl Means {
    fn of(name: &str) -> Means {
        match name {
            "x-ratelimit-remaining-requests" | "anthropic-ratelimit-requests-remaining" => {
                Means::RequestsLeft
            }
            "x-ratelimit-remaining-tokens" | "anthropic-ratelimit-tokens-remaining" => {
                Means::TokensLeft
            }
            _ => Means::Nothing,
        }
    }
}

/// What a provider says is left of its limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Left {
    pub(super) requests: Option<u64>,
    pub(super) tokens: Option<u64>,
}

impl Left {
    fn read(&mut self, means: Means, value: &HeaderValue) {
        let number = || value.to_str().ok()?.trim().parse().ok();
        match means {
            Means::Nothing => {}
            Means::RequestsLeft => self.requests = number(),
            Means::TokensLeft => self.tokens = number(),
        }
    }
}

/// The provider's headers, with a prefix. Returns what they say of its limits.
pub(super) fn upstream(headers: &mut HeaderMap, theirs: &HeaderMap) -> Left {
    let mut left = Left::default();
    PREFIXED.with_borrow_mut(|prefixed| {
        for (name, value) in theirs.iter().take(UPSTREAM_MAX) {
            if *name == header::SET_COOKIE {
                continue;
            }
            if let Some((known, means)) = prefixed.get(name) {
                headers.append(known.clone(), value.clone());
                left.read(*means, value);
                continue;
            }
            let Ok(long) = HeaderName::try_from(format!("llm_provider-{name}")) else { continue };
            let means = Means::of(name.as_str());
            left.read(means, value);
            if prefixed.len() < NAMES_MAX {
                prefixed.insert(name.clone(), (long.clone(), means));
            }
            headers.append(long, value.clone());
        }
    });
    left
}

/// Microseconds as milliseconds with three decimal places.
fn milliseconds(us: u64) -> HeaderValue {
    decimal(us, 3)
}

/// USD with up to twelve decimal places; formatting the float would show its rounding.
fn decimal_usd(usd: f64) -> HeaderValue {
    const DIGITS: usize = 12;
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a cost is never negative, and the cast saturates"
    )]
    let picos = (usd * 1e12).round() as u64;
    let mut value = picos;
    let mut digits = DIGITS;
    while digits > 1 && value.is_multiple_of(10) {
        value /= 10;
        digits -= 1;
    }
    decimal(value, digits)
}

/// `value` with its last `digits` digits as decimal places.
fn decimal(value: u64, digits: usize) -> HeaderValue {
    const LONGEST: usize = 20;
    let mut plain = itoa::Buffer::new();
    let plain = plain.format(value).as_bytes();
    // Zeros in front, so that a digit comes before the point.
    let mut text = [b'0'; 2 * LONGEST + 2];
    let point = text.len() - 1 - digits;
    let whole = plain.len().saturating_sub(digits);
    let start = point - whole.max(1);
    text[point - whole..point].copy_from_slice(&plain[..whole]);
    text[point] = b'.';
    let fraction = &plain[whole..];
    let end = text.len();
    text[end - fraction.len()..].copy_from_slice(fraction);
    HeaderValue::from_bytes(&text[start..]).unwrap_or_else(|_| HeaderValue::from_static("0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_milliseconds() {
        assert_eq!(milliseconds(0), "0.000");
        assert_eq!(milliseconds(999), "0.999");
        assert_eq!(milliseconds(1_000), "1.000");
        assert_eq!(milliseconds(1_234_056), "1234.056");
        assert_eq!(milliseconds(u64::MAX), "18446744073709551.615");
    }

    #[test]
    fn costs_read_as_decimals() {
        assert_eq!(decimal_usd(0.0), "0.0");
        assert_eq!(decimal_usd(0.001_055), "0.001055");
        assert_eq!(decimal_usd(2.5e-6 * 3.0), "0.0000075");
        assert_eq!(decimal_usd(12.0), "12.0");
    }

    #[test]
    fn provider_headers_get_a_prefix_and_cookies_stay() {
        let mut theirs = HeaderMap::new();
        theirs.insert("x-request-id", HeaderValue::from_static("r"));
        theirs.insert("set-cookie", HeaderValue::from_static("c"));
        for _ in 0..2 {
            let mut ours = HeaderMap::new();
            assert_eq!(upstream(&mut ours, &theirs), Left::default());
            assert_eq!(ours.len(), 1);
            assert_eq!(ours.get("llm_provider-x-request-id").unwrap(), "r");
        }
    }

    #[test]
    fn what_is_left_of_a_limit_is_read_in_the_dialects_of_two_providers() {
        for (requests, tokens) in [
            ("x-ratelimit-remaining-requests", "x-ratelimit-remaining-tokens"),
            ("anthropic-ratelimit-requests-remaining", "anthropic-ratelimit-tokens-remaining"),
        ] {
            let mut theirs = HeaderMap::new();
            theirs.insert(requests, HeaderValue::from_static(" 59 "));
            theirs.insert(tokens, HeaderValue::from_static("149984"));
            let left = Left { requests: Some(59), tokens: Some(149_984) };
            for _ in 0..2 {
                assert_eq!(upstream(&mut HeaderMap::new(), &theirs), left, "{requests}");
            }
            theirs.insert(tokens, HeaderValue::from_static("many"));
            let left = Left { tokens: None, ..left };
            assert_eq!(upstream(&mut HeaderMap::new(), &theirs), left, "{tokens}");
        }
    }
}
