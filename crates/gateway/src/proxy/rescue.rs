//! Another deployment goes on with a stream that broke after its first content.
//!
//! Asked by [`super::respond`] when a stream begins and by [`super::relay`] when it breaks. Always true: `core` decides whether and
//! where; the attempts are made as all others are, by the exchange; what the client has is kept within bounds, and only where a
//! rescue is possible.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use hale_core::cause::Cause;
use hale_core::deployment::Deployment;
use hale_core::rescue::{No, RescueMode};
use hale_core::route::{AttemptPlan, Begins, Repeat, Tried};
use hale_core::time::Millis;
use hale_wire::rescue::{Broken, is_prefilled, refuses};
use hale_wire::stream::Reader;

use super::attempt::{AnswerForm, Answered, Content, Failed, Stream};
use super::broken_off::{Keeping, Rescue};
use super::counted::Counted;
use super::exchange::{Attempted, Exchange, Winner};
use crate::clock;

/// A stream that has just broken.
pub(super) struct Break<'a> {
    /// Why.
    pub(super) failed: Failed,
    /// Its reader.
    pub(super) reader: &'a Reader,
    /// What is about to leave.
    pub(super) ready: &'a [u8],
    /// What the client has, or why it is not kept.
    pub(super) keeping: Result<Box<Keeping>, Option<No>>,
    /// The longest silence, milliseconds, and when the stream must have ended.
    pub(super) limits: (u64, Millis),
}

/// What follows a break.
pub(super) enum Broke {
    /// Another deployment is asked.
    Asks(Box<Rescuing>),
    /// Nothing: the request, why the stream broke, and why none is asked, if that was a question.
    Ends(Box<Exchange>, Failed, Option<No>),
}

/// A rescue under way.
pub(super) struct Rescuing {
    /// The attempts.
    pub(super) attempts: Pin<Box<dyn Future<Output = Rescued>>>,
    /// Why the stream broke.
    pub(super) failed: Failed,
    /// The deployment whose stream broke.
    pub(super) deployment: Option<Arc<Deployment>>,
}

/// What the attempts led to.
pub(super) struct Rescued {
    /// The request.
    pub(super) exchange: Box<Exchange>,
    /// The rest of the answer, or why there is none.
    pub(super) result: Result<Box<Remainder>, No>,
}

/// The rest of an answer.
pub(super) struct Remainder {
    /// It.
    pub(super) stream: Stream,
    /// The plan of its attempt.
    pub(super) plan: AttemptPlan,
    /// The deployment that gives it.
    pub(super) deployment: Arc<Deployment>,
    /// What the client has.
    pub(super) keeping: Box<Keeping>,
}

impl Exchange {
    /// Whether another deployment would continue the stream that begins; `None` where that is not a question.
    pub(super) fn rescue_ahead(&self, winner: &Winner) -> Option<Result<(), No>> {
        let snapshot = &self.arrival.serving.snapshot;
        let begins = Begins::of(snapshot.router.rescue)?;
        let request = &self.request;
        if !request.operation.is_conversation()
            || request.form != AnswerForm::Events
            || request.passed.is_some()
        {
            return None;
        }
        let Some(peek) = request.peek() else { return Some(Err(No::BodyTooLarge)) };
        if let Some(why) = refuses(peek, request.operation) {
            return Some(Err(why));
        }
        let (current, now) = (winner.plan.deployment, clock::recent().millis());
        let is_possible = self.plan.may_be_rescued(snapshot, current, (begins, now));
        Some(if is_possible { Ok(()) } else { Err(No::NoTarget) })
    }

    /// What the client has of the stream that begins: nothing.
    pub(super) fn keeping(&self) -> Box<Keeping> {
        let limit = self.arrival.serving.snapshot.gateway.bounds.buffered_bytes;
        Box::new(Keeping::nothing(&self.arrival.worker.process.buffered, limit))
    }

    /// The stream broke: another deployment is asked to go on, where that is possible.
    pub(super) fn breaks(mut self: Box<Self>, broke: Break<'_>) -> Broke {
        let Break { failed, reader, ready, keeping, limits } = broke;
        let mut keeping = match keeping {
            Ok(keeping) => keeping,
            Err(why) => return Broke::Ends(self, failed, why),
        };
        keeping.push(ready);
        let mode = self.arrival.serving.snapshot.router.rescue;
        match self.asks(&failed, *keeping, (mode, limits)) {
            Ok(mut rescue) => {
                let deployment = self.delivery.deployment().cloned();
                let Exchange { delivery, request, .. } = &mut *self;
                let half = delivery.broke_off(&failed, Counted::of_stream(reader, request));
                delivery.sends_prefix(rescue.broken.cut().prefix());
                let (usage, usd) = half.unwrap_or_default();
                rescue.broken.charged(usage);
                rescue.earlier_usd += usd;
                self.rescue = Some(Box::new(rescue));
                let attempts = Box::pin(self.goes_on());
                Broke::Asks(Box::new(Rescuing { attempts, failed, deployment }))
            }
            Err(why) => Broke::Ends(self, failed, Some(why)),
        }
    }

    /// Asks the plan for a deployment that goes on.
    fn asks(
        &mut self,
        failed: &Failed,
        keeping: Keeping,
        (mode, (silence_ms, ends)): (RescueMode, (u64, Millis)),
    ) -> Result<Rescue, No> {
        if self.delivery.is_cut() {
            return Err(No::Stopping);
        }
        if !failed.cause.blames_deployment() {
            return Err(No::Cause);
        }
        let Some(peek) = self.request.peek() else { return Err(No::BodyTooLarge) };
        if mode == RescueMode::Text && is_prefilled(peek, self.request.operation) {
            return Err(No::Prefilled);
        }
        let Keeping { kept, held, .. } = keeping;
        let broken = Broken::read(self.request.operation.format(), kept, mode)?;
        let begins = match broken.cut().prefix().is_empty() {
            true => Begins::Anew,
            false => Begins::FromPrefix,
        };
        let Some(deployment) = self.delivery.deployment() else { return Err(No::NoTarget) };
        let snapshot = &self.arrival.serving.snapshot;
        let tried = Tried {
            group: self.plan.target().name(snapshot).into(),
            deployment: deployment.index,
            former: None,
            status: failed.status,
            cause: failed.cause,
            message: failed.error.message.as_str().into(),
            ms: 0,
            resent: false,
            hint_ms: failed.hint_ms(),
            half_open: false,
            repeat: Repeat::Allowed,
        };
        self.errors.push(failed.error.clone());
        let now = clock::now().millis();
        let ends = now.plus(silence_ms).min(ends);
        self.plan.broke(snapshot, tried, (begins, now, ends))?;
        Ok(Rescue { broken, earlier_usd: 0.0, held })
    }

    /// Makes the attempts.
    async fn goes_on(mut self: Box<Self>) -> Rescued {
        let tried = self.plan.tried().len();
        let result = match self.attempt_until_answered(None).await {
            Ok(Attempted::Answered(winner, answered)) => self.joins(&winner, answered),
            Ok(Attempted::Waits(_)) => Err(No::NoTarget),
            Err(_) => Err(self.why_not(tried)),
        };
        self.rescue = None;
        Rescued { exchange: self, result }
    }

    /// Takes the rest of the answer, which has begun.
    fn joins(&mut self, winner: &Winner, answered: Answered) -> Result<Box<Remainder>, No> {
        let rescue = self.rescue.take();
        let (stream, guard, rescue) = match (answered, rescue) {
            (Answered { content: Content::Stream(stream), guard, .. }, Some(rescue))
                if stream.bytes.is_none() =>
            {
                (*stream, guard, rescue)
            }
            (other, _) => {
                self.delivery.call_passed_over();
                self.discard(other);
                return Err(No::Failed);
            }
        };
        let deployment = guard.deployment().clone();
        self.delivery.goes_on(guard);
        let Rescue { broken, held, .. } = *rescue;
        let limit = self.arrival.serving.snapshot.gateway.bounds.buffered_bytes;
        let keeping = Box::new(Keeping { kept: broken.into_kept(), held, limit });
        Ok(Box::new(Remainder { stream, plan: winner.plan, deployment, keeping }))
    }

    /// Why none of the attempts since `before` led to the rest of the answer.
    fn why_not(&self, before: usize) -> No {
        let tried = self.plan.tried().get(before..).unwrap_or_default();
        if tried.iter().any(|one| one.cause == Cause::EmptyAnswer) {
            return No::Differs;
        }
        match tried.is_empty() {
            true if clock::recent().millis() >= self.plan.deadline() => No::Deadline,
            true => self.plan.why_not_rescued(),
            false => No::Failed,
        }
    }
}
