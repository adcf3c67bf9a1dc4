//! Answers that no client gets: those without content, and those that do not go on from what the client has.
//!
//! Part of [`super::Exchange`]. Always true: their cost is the request's; the first answer without content is delivered if no
//! other comes; no side is to blame for either.

use hale_core::cause::Cause;
use hale_core::health::Failure;
use hale_core::route::{AttemptPlan, Overrides, Target};

use super::{Attempted, Begun, Exchange, Winner, note_group};
use crate::proxy::attempt::{Answered, Content, Failed};
use crate::proxy::counted::Counted;

/// An answer without content.
pub(super) struct Empty {
    winner: Winner,
    answered: Answered,
    /// The group that gave it.
    target: Target,
    overrides: Option<Overrides>,
}

impl Exchange {
    /// Whether another deployment is tried because the answer has no content.
    pub(super) fn is_passed_over(&self, content: &Content) -> bool {
        content.is_empty() && !self.arrival.serving.snapshot.router.accept_empty_answers
    }

    /// Keeps an answer without content until no other deployment is left. No side is to blame for it.
    pub(super) fn pass_over(&mut self, winner: Winner, answered: Answered, begun: &Begun) {
        let (target, overrides) = (self.plan.target().clone(), self.plan.overrides());
        let message = "the answer has no content".to_owned();
        let empty = Failed::of(Cause::EmptyAnswer, Some(200), message);
        self.delivery.call_passed_over();
        self.delivery.capture.attempt_failed(&empty);
        self.failed(&winner.plan, empty, begun);
        // The first one is kept.
        match self.empty {
            Some(_) => self.discard(answered),
            None => self.empty = Some(Box::new(Empty { winner, answered, target, overrides })),
        }
    }

    /// Another answer came: the kept one gives back its slot and its connection.
    pub(in crate::proxy) fn discard_empty(&mut self) {
        if let Some(empty) = self.empty.take() {
            self.discard(empty.answered);
        }
    }

    /// No client gets this answer. Its provider charges for it all the same.
    pub(in crate::proxy) fn discard(&mut self, answered: Answered) {
        let Answered { content, mut guard, .. } = answered;
        let counted = match &content {
            Content::Full(body, usage, _) | Content::Empty(body, usage, _) => {
                Counted::of_body(*usage, body, &self.request)
            }
            Content::Stream(stream) => Counted::of_stream(&stream.reader, &self.request),
            Content::Socket(_) => Counted::reported(None),
        };
        self.delivery.passed_over(&guard, counted);
        guard.failure(Failure { status: Some(200), ..Failure::of(Cause::EmptyAnswer) });
    }

    /// No other answer came.
    pub(super) fn deliver_empty(&mut self, empty: Empty) -> Attempted {
        let Empty { winner, answered, target, overrides } = empty;
        self.plan.answered_in(target, overrides);
        note_group(&self.arrival, &self.plan, &mut self.delivery);
        self.delivery.at(self.arrival.serving.snapshot.deployment(winner.plan.deployment));
        Attempted::Answered(winner, answered)
    }

    /// The answer does not go on from what the client has: another deployment may.
    pub(super) fn differs(&mut self, plan: &AttemptPlan, answered: Answered, begun: &Begun) {
        let message = "the answer does not begin with what the client has".to_owned();
        let differs = Failed::of(Cause::EmptyAnswer, Some(200), message);
        self.delivery.capture.attempt_failed(&differs);
        self.delivery.call_passed_over();
        self.discard(answered);
        self.failed(plan, differs, begun);
    }
}
