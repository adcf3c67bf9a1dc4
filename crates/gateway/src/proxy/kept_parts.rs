//! Embeddings: each input of a request is kept for itself.
//!
//! Called by [`super::reuse`] before the first attempt of a request with several inputs, and with its answer. Always true:
//! the provider is asked for the inputs that are not kept; the client gets all, at their places, and all from one group.

use std::sync::Arc;

use bytes::Bytes;
use hale_core::cache::CacheUsage;
use hale_core::time::Millis;
use hale_wire::embedding_parts;
use hale_wire::peek::Peek;

use super::cache_wish::CacheWish;
use crate::cache::{AnswerCache, CacheKey, Head, KeptAnswer};

/// The inputs of a request.
pub(super) struct Parts {
    answers: Arc<AnswerCache>,
    keys: Vec<CacheKey>,
    kept: Vec<Option<Arc<KeptAnswer>>>,
    keeps_ms: Option<u64>,
}

impl Parts {
    /// The inputs of `peek`, and what is kept of them; `None` if it has one.
    pub(super) fn of(
        answers: &Arc<AnswerCache>,
        wish: &CacheWish,
        peek: &Peek,
        now: Millis,
    ) -> Option<Parts> {
        let inputs = embedding_parts::inputs(peek)?;
        let key = |input: &&str| {
            wish.scope.within(|feed| {
                embedding_parts::fingerprint(peek, input, &mut |piece| feed(piece));
            })
        };
        let keys: Vec<CacheKey> = inputs.iter().map(key).collect();
        let kept = keys
            .iter()
            .map(|key| answers.kept(*key, wish.usage.max_age_ms, now).filter(|_| wish.usage.reads))
            .collect();
        Some(Parts { answers: answers.clone(), keys, kept, keeps_ms: wish.usage.keeps_ms })
    }

    /// Asks the second level for what is not kept in memory.
    pub(super) async fn ask(&mut self, usage: CacheUsage) {
        if !usage.reads || !self.answers.has_more() {
            return;
        }
        let missing: Vec<usize> =
            (0..self.keys.len()).filter(|at| self.kept[*at].is_none()).collect();
        let keys: Vec<CacheKey> = missing.iter().map(|at| self.keys[*at]).collect();
        if keys.is_empty() {
            return;
        }
        let found = self.answers.ask(&keys, usage.max_age_ms).await;
        for (at, found) in missing.into_iter().zip(found) {
            self.kept[at] = found;
        }
    }

    /// The body that asks for what is not kept; `None` if all is.
    pub(super) fn missing(&self, peek: &Peek) -> Option<Bytes> {
        let inputs = embedding_parts::inputs(peek)?;
        let missing = inputs.into_iter().zip(&self.kept).filter(|(_, kept)| kept.is_none());
        let missing: Vec<&str> = missing.map(|(input, _)| input).collect();
        (!missing.is_empty()).then(|| embedding_parts::with_inputs(peek, &missing))
    }

    /// What all of them give, without a provider.
    pub(super) fn all_kept(&self, model: &str) -> Option<Bytes> {
        let parts = self.kept.iter().map(|kept| text(kept.as_deref()?));
        let parts = parts.collect::<Option<Vec<&str>>>()?;
        embedding_parts::with_parts(&embedding_parts::free_answer(model), &parts).map(Bytes::from)
    }

    /// The whole answer, made of what is kept and of the provider's `answer`, whose parts are kept from now on.
    pub(super) fn completed(&self, deployment: &str, answer: &Bytes, now: Millis) -> Option<Bytes> {
        let answer = std::str::from_utf8(answer).ok()?;
        let missing = self.kept.iter().filter(|kept| kept.is_none()).count();
        let fresh = embedding_parts::parts(answer, missing)?;
        let mut next = fresh.iter();
        let mut all = Vec::with_capacity(self.kept.len());
        for (key, kept) in self.keys.iter().zip(&self.kept) {
            if let Some(kept) = kept {
                all.push(text(kept)?);
                continue;
            }
            let part = next.next()?;
            all.push(part.as_str());
            if let Some(ms) = self.keeps_ms {
                let head = Head { is_stream: false, deployment: deployment.into() };
                let body = Bytes::copy_from_slice(part.as_bytes());
                let until = now.plus(ms);
                self.answers.keep(*key, KeptAnswer { head, body, since: now, age_ms: 0, until });
            }
        }
        embedding_parts::with_parts(answer, &all).map(Bytes::from)
    }

    /// The provider is asked for every input, as if none was kept.
    pub(super) fn ask_for_all(&mut self) {
        self.kept.fill(None);
    }

    /// The answer is not kept.
    pub(super) fn keep_nothing(&mut self) {
        self.keeps_ms = None;
    }
}

fn text(kept: &KeptAnswer) -> Option<&str> {
    std::str::from_utf8(&kept.body).ok()
}
