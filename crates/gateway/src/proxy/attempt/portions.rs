//! One attempt of several calls: for embeddings of more inputs than one call of the provider takes.
//!
//! Called by [`super`]. Always true: all calls go to the one deployment, a few at a time; if one of them fails, the attempt does, and
//! the others end; the answer has the embeddings of all inputs in the client's order, and the tokens of all.

use bytes::Bytes;
use futures_util::future::try_join_all;
use hale_core::provider::Called;
use hale_core::usage::Usage;
use hale_wire::embedding_parts;
use hale_wire::prepare::Portion;

use super::answer::Content;
use super::call::{Attempt, OperationCall};
use super::failed::Failed;
use super::{Accepted, AttemptGuard};
use crate::limits::Held;
use crate::offload;

/// How many calls are made at a time.
const AT_A_TIME: usize = 8;

impl Attempt<'_> {
    /// Calls the provider once for each portion, and puts the answers together.
    pub(super) async fn ask_in_portions(
        &self,
        (guard, call): (&AttemptGuard, &OperationCall<'_>),
        called: Called,
        portions: &[Portion],
    ) -> Result<Accepted, Failed> {
        let mut all = Vec::with_capacity(portions.len());
        for some in portions.chunks(AT_A_TIME) {
            let asked = some.iter().map(|one| self.ask(guard, call, called, &one.body));
            all.extend(try_join_all(asked).await?);
        }
        let counts = portions.iter().map(|one| one.inputs);
        let headers = all.first().map(|first| first.headers.clone()).unwrap_or_default();
        let (mut answers, mut kept, mut usage) = (Vec::with_capacity(all.len()), Vec::new(), None);
        for (accepted, inputs) in all.into_iter().zip(counts) {
            let (Content::Full(body, counted, held) | Content::Empty(body, counted, held)) =
                accepted.content
            else {
                return Err(Failed::malformed("a stream in place of embeddings".to_owned()));
            };
            usage = added(usage, counted);
            answers.push((body, inputs));
            kept.push(held);
        }
        let bytes = answers.iter().map(|(body, _)| body.len()).sum();
        let (memory, bounds) = self.scope.memory();
        let mut held = Held::none(memory);
        if !held.add_copy(bytes, bounds.with_answers()).await {
            return Err(Failed::no_room());
        }
        let whole = if bytes <= offload::LARGE {
            joined(&answers)
        } else {
            offload::run(move || joined(&answers)).await
        };
        let whole = whole.ok_or_else(|| {
            Failed::malformed("an answer has other embeddings than its inputs".to_owned())
        })?;
        held.shrink_to(whole.len());
        Ok(Accepted { headers, content: Content::Full(whole, usage, held) })
    }
}

/// The answers as one.
fn joined(answers: &[(Bytes, usize)]) -> Option<Bytes> {
    let all = answers
        .iter()
        .map(|(body, inputs)| Some((std::str::from_utf8(body).ok()?, *inputs)))
        .collect::<Option<Vec<_>>>()?;
    embedding_parts::joined(&all).map(Bytes::from)
}

/// The tokens of both. Embeddings have no others than those of their inputs.
fn added(sum: Option<Usage>, more: Option<Usage>) -> Option<Usage> {
    match (sum, more) {
        (Some(sum), Some(more)) => {
            Some(Usage { input: sum.input.saturating_add(more.input), ..sum })
        }
        (one, other) => one.or(other),
    }
}
