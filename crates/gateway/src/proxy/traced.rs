//! The headers that tell an upstream where its request is in a trace.
//!
//! Made by [`super::capture`] for each attempt of a request that is traced, written by the attempt. Always true: they replace a client's
//! own, whose span is not the upstream's parent.

use http::{HeaderName, HeaderValue};

const PARENT: HeaderName = HeaderName::from_static("traceparent");
const STATE: HeaderName = HeaderName::from_static("tracestate");

/// The headers of one attempt.
pub(crate) struct Traced {
    /// `traceparent`.
    pub(crate) parent: HeaderValue,
    /// `tracestate`.
    pub(crate) state: Option<HeaderValue>,
}

impl Traced {
    /// Puts them in place of what `headers` have.
    pub(super) fn write(&self, headers: &mut Vec<(HeaderName, HeaderValue)>) {
        headers.retain(|(name, _)| *name != PARENT && *name != STATE);
        headers.push((PARENT, self.parent.clone()));
        headers.extend(self.state.clone().map(|state| (STATE, state)));
    }
}
