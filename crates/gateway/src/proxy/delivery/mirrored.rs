//! The copy of a request that a second gateway gets, and what its client got.
//!
//! Part of [`super`]. Always true: without a mirror nothing is made; a request whose client left, or that the process did not serve, has no copy.

use bytes::Bytes;
use hale_core::money::Money;
use hale_core::record::{Ending, RequestRecord};
use http::HeaderMap;
use http::request::Parts;

use super::Delivery;
use crate::mirror::{Copied, Mirror, names};

impl Delivery {
    /// Takes a copy of the request, if it is one of the sample.
    pub(in crate::proxy) fn mirror(&mut self, head: &Parts, body: &Bytes) {
        let settings = self.serving.snapshot.gateway.mirror.as_ref();
        if settings.is_some() {
            let mirror = &self.worker.process.mirror;
            self.copied = mirror.sample(settings, self.operation, (head, body));
        }
    }

    /// The answer for the client: its headers, and its body if it comes in one piece.
    pub(in crate::proxy) fn mirror_answer(&mut self, headers: &HeaderMap, body: Option<&Bytes>) {
        if let Some(copied) = &mut self.copied {
            copied.own.headers = names(headers);
            if let Some(body) = body {
                copied.own.body(body);
            }
        }
    }

    /// The refusal for the client.
    pub(super) fn mirror_refused(&mut self, code: String, headers: &HeaderMap) {
        if let Some(copied) = &mut self.copied {
            (copied.own.headers, copied.own.code) = (names(headers), Some(code.into()));
        }
    }
}

/// Gives the copy to the mirror. Its client has its answer.
pub(super) fn offer(mirror: &Mirror, mut copied: Box<Copied>, record: &RequestRecord) {
    let is_answered = match record.ending {
        Ending::Success => true,
        Ending::Error => record.status < 500,
        _ => false,
    };
    // An answer that was kept cost nothing here, and would there.
    if !is_answered || record.cache.is_some() {
        return;
    }
    copied.own.status = record.status;
    copied.own.usage = record.usage.map(|usage| (usage.input, usage.output));
    copied.own.cost = record.cost_usd;
    mirror.offer(copied, record.cost_usd.and_then(Money::of_usd));
}
