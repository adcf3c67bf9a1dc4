//! The ends of requests that the cache answers: with an answer that is kept, or with that of a request that they joined.
//!
//! Part of [`super`], called by [`crate::proxy::reuse`] and [`crate::proxy::followed`]. Always true: they cost nothing, and no
//! deployment served them.

use hale_core::cache::CacheAnswer;
use hale_core::record::Ending;

use http::Response;

use super::{Delivery, Durations};
use crate::clock::Micros;
use crate::http::call_id;
use crate::http::reply::Reply;
use crate::proxy::attempt::Failed;
use crate::proxy::explain;

impl Delivery {
    /// An answer of the cache is about to leave. It costs nothing, and no deployment served it.
    pub(in crate::proxy) fn answered_by_cache(&mut self, answer: CacheAnswer, bytes: u64) {
        self.is_from_cache(answer);
        self.note(|record| record.response_bytes = bytes);
        self.end(Ending::Success, 200, None);
    }

    /// What the gateway keeps itself is about to leave.
    pub(in crate::proxy) fn answered_here(&mut self, bytes: u64) {
        self.note(|record| {
            record.response_bytes = bytes;
            record.cost_usd = Some(0.0);
        });
        self.end(Ending::Success, 200, None);
    }

    /// An answer with the id of its call.
    pub(in crate::proxy) fn named(&self, response: Response<Reply>) -> Response<Reply> {
        let call_id = self.record.as_ref().map(|record| record.call_id.clone());
        call_id::with_call_id(response, &call_id.unwrap_or_default())
    }

    /// A stream of another request that it joined is about to begin.
    pub(in crate::proxy) fn joined(&mut self, now: Micros) {
        self.is_from_cache(CacheAnswer::Joined);
        let Durations { total_us, own_us } = self.durations(now);
        self.note(|record| {
            record.first_content_us = Some(total_us);
            record.overhead_us = own_us;
        });
    }

    /// The answer comes from the cache.
    fn is_from_cache(&mut self, answer: CacheAnswer) {
        self.note(|record| {
            record.cache = Some(answer);
            record.cost_usd = Some(0.0);
        });
    }

    /// An answer of the cache has been sent whole, or broke off.
    pub(in crate::proxy) fn cache_ended(&mut self, failed: Option<&Failed>) {
        match failed {
            None => self.end(Ending::Success, 200, None),
            Some(failed) => {
                self.end(Ending::Broken, 200, Some(failed.cause));
                self.capture.failed(&failed.error.message);
                let reason = explain::reason_of_break(failed);
                self.tell(reason, || failed.error.message.clone());
            }
        }
    }
}
