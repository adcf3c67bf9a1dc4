//! What is known about the tokens of an answer, when it ends.
//!
//! Made by whatever carries the answer, priced by [`super::delivery`]. Always true: an estimate is made only where the
//! provider's counts are missing, incomplete or beyond the model's limits.

use bytes::Bytes;
use hale_core::charge::{OutputCount, charged};
use hale_core::prices::ModelFacts;
use hale_core::usage::{BYTES_PER_TOKEN, CountedBy, Usage};
use hale_wire::controls;
use hale_wire::stream::Reader;

use super::model_request::ModelRequest;

/// The tokens of an answer.
#[derive(Clone, Copy)]
pub(crate) struct Counted<'a> {
    reported: Option<(Usage, OutputCount)>,
    /// What an estimate is made of.
    texts: Option<(&'a ModelRequest, AnswerTexts<'a>)>,
}

/// The texts of an answer.
#[derive(Clone, Copy)]
enum AnswerTexts<'a> {
    Body(&'a Bytes),
    Stream(&'a Reader),
}

impl<'a> Counted<'a> {
    /// What the provider reported, and nothing to estimate from.
    pub(super) fn reported(usage: Option<Usage>) -> Counted<'static> {
        Counted { reported: usage.map(|usage| (usage, OutputCount::Final)), texts: None }
    }

    /// Of a full answer.
    pub(super) fn of_body(
        usage: Option<Usage>,
        body: &'a Bytes,
        request: &'a ModelRequest,
    ) -> Counted<'a> {
        Counted { texts: Some((request, AnswerTexts::Body(body))), ..Counted::reported(usage) }
    }

    /// Of a stream, as far as it has come.
    pub(super) fn of_stream(reader: &'a Reader, request: &'a ModelRequest) -> Counted<'a> {
        Counted {
            reported: reader.usage().map(|usage| (usage, reader.output_count())),
            texts: Some((request, AnswerTexts::Stream(reader))),
        }
    }

    /// The tokens that are charged, at a model with these `facts`: of a request of that many bytes, to which so many tokens of an
    /// answer that broke off were added.
    pub(super) fn charged(
        &self,
        facts: &ModelFacts,
        (request_bytes, prefix_tokens): (u64, u64),
    ) -> Option<(Usage, CountedBy)> {
        let is_new = self.texts.filter(|(request, _)| request.operation.always_costs_tokens());
        let input = || match is_new {
            Some((request, _)) => {
                let own = match request.peek() {
                    Some(peek) => controls::estimated_input(peek),
                    // A large body is not held beyond the first content of a stream.
                    None => request_bytes / BYTES_PER_TOKEN,
                };
                own + prefix_tokens
            }
            None => 0,
        };
        let output = || match is_new {
            Some((request, _)) if request.operation.embeds() => 0,
            Some((_, AnswerTexts::Body(body))) => controls::estimated_output(body),
            Some((_, AnswerTexts::Stream(reader))) => reader.estimated_output(),
            None => 0,
        };
        charged(self.reported, facts, (input, output))
    }
}
