//! The headers that tell the holder of a key how much its limits leave: `x-ratelimit-...` and `x-litellm-key-...`.
//!
//! Added to answers by the proxy and to refusals by [`super::refusal`]. Always true: a key without limits gets none, and none is
//! rounded up; what calls in flight have reserved is not left.

use std::fmt::Display;

use hale_core::tenancy::access::{Admission, Level};
use hale_core::tenancy::{RateLimited, SubjectKind};
use hale_core::time::WallClock;
use http::{HeaderMap, HeaderName, HeaderValue};

const RATE_LIMIT_TYPE: HeaderName = HeaderName::from_static("rate_limit_type");
const RESET_AT: HeaderName = HeaderName::from_static("reset_at");

/// Adds what is left to the request that was admitted so.
#[cold]
pub(crate) fn left(headers: &mut HeaderMap, admission: &Admission, at: WallClock) {
    for level in admission.levels() {
        of_level(headers, level, at);
    }
}

fn of_level(headers: &mut HeaderMap, level: &Level, at: WallClock) {
    let terms = &level.terms;
    let is_limited = terms.rpm.is_some() || terms.tpm.is_some() || terms.parallel.is_some();
    if !is_limited && terms.budget.is_none() {
        return;
    }
    let balance = level.account.balance(terms.budget.as_ref(), at);
    let kind = level.subject.kind;
    let limits = [
        ("requests", terms.rpm, balance.requests),
        ("tokens", terms.tpm, balance.tokens),
        ("max_parallel_requests", terms.parallel, balance.in_flight),
    ];
    for (of, limit, used) in limits {
        let Some(limit) = limit else { continue };
        pair(headers, (kind, of), limit, limit.saturating_sub(used));
        if kind == SubjectKind::ModelOfKey {
            let model = level.subject.model();
            let left = limit.saturating_sub(used);
            add(headers, &format!("x-litellm-key-remaining-{of}-{model}"), left);
        }
    }
    if kind == SubjectKind::Key {
        let own = [("rpm-limit", terms.rpm), ("tpm-limit", terms.tpm)];
        for (name, limit) in own {
            limit
                .into_iter()
                .for_each(|limit| add(headers, &format!("x-litellm-key-{name}"), limit));
        }
        if let Some(budget) = &terms.budget {
            add(headers, "x-litellm-key-max-budget", budget.max);
            add(headers, "x-litellm-key-spend", balance.spent);
        }
    }
}

/// Adds which limit refused a request.
pub(super) fn refused(headers: &mut HeaderMap, limited: &RateLimited) {
    headers.insert(RATE_LIMIT_TYPE, HeaderValue::from_static(limited.of));
    headers.insert(RESET_AT, HeaderValue::from(limited.resets_at.0 / 1_000));
    pair(headers, (limited.kind, limited.of), limited.limit, 0);
}

fn pair(headers: &mut HeaderMap, (kind, of): (SubjectKind, &str), limit: u64, left: u64) {
    let descriptor = kind.descriptor();
    add(headers, &format!("x-ratelimit-{descriptor}-limit-{of}"), limit);
    add(headers, &format!("x-ratelimit-{descriptor}-remaining-{of}"), left);
}

/// Adds a header, unless a model has a name that none can bear.
fn add(headers: &mut HeaderMap, name: &str, value: impl Display) {
    let name = HeaderName::from_bytes(name.as_bytes());
    let value = HeaderValue::from_str(&value.to_string());
    if let (Ok(name), Ok(value)) = (name, value) {
        headers.insert(name, value);
    }
}
