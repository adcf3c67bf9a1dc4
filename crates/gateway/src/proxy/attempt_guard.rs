//! Holds an attempt's concurrency slot at its deployment, and reports its outcome to the deployment's state.
//!
//! Made by [`super::exchange`] and by the prober, held by the attempt and then by [`super::delivery`].
//! Always true: the slot is released and the outcome is reported exactly once: success, failure, or, if it is
//! dropped without either, that the client disconnected, which counts for nothing.

use std::rc::Rc;
use std::sync::Arc;

use hale_core::cause::Cause;
use hale_core::deployment::Deployment;
use hale_core::health::{AttemptRef, Evidence, Failure, FailureContext, HalfOpen, Measured};
use hale_core::route::{AttemptPlan, Slot};
use hale_core::time::Millis;
use hale_core::usage::Usage;

use crate::state::Worker;
use crate::{clock, events};

/// Reports an attempt's outcome to the state of its deployment.
pub(crate) struct AttemptGuard {
    deployment: Arc<Deployment>,
    stake: Stake,
}

/// What an attempt's outcome means for its deployment.
enum Stake {
    /// A client's attempt: its outcome is evidence.
    Traffic(Box<Traffic>),
    /// No upstream is called: only a failure that is not the deployment's counts.
    Local(FailureContext, Millis),
    /// Hale's own probe: the prober judges it.
    Probe,
}

/// A client's attempt, which holds a concurrency slot at a deployment.
struct Traffic {
    worker: Rc<Worker>,
    attempt: AttemptRef,
    /// Tokens that were counted when it started.
    reserved: u64,
    context: FailureContext,
    /// The model's name at the provider, if the deployment has many models.
    model: Box<str>,
    /// What its duration measures.
    times: Times,
    /// From its start to the first content of a stream, milliseconds.
    first_content_ms: Option<u64>,
    is_reported: bool,
}

/// What an attempt's duration measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Times {
    /// The speed of the deployment's model.
    OfModel,
    /// Nothing: no model runs.
    Meaningless,
}

/// A client's attempt that is about to start.
pub(crate) struct Entry<'a> {
    worker: &'a Rc<Worker>,
    deployment: &'a Arc<Deployment>,
    plan: &'a AttemptPlan,
    /// The request's number: different requests have different ones.
    request: u64,
    /// The context that a failure is judged in.
    context: FailureContext,
    /// The permits of a half-open request, until the attempt has them.
    half_open: HalfOpen,
    /// Whether it has its concurrency slot, until the attempt has it.
    slot: Slot,
}

impl<'a> Entry<'a> {
    /// The entry of `plan`. Dropping it releases the permits of a half-open request, and the slot of one that waited.
    pub(crate) fn new(
        worker: &'a Rc<Worker>,
        deployment: &'a Arc<Deployment>,
        plan: &'a AttemptPlan,
        (request, context): (u64, FailureContext),
    ) -> Entry<'a> {
        let (half_open, slot) = (plan.half_open, plan.slot);
        Entry { worker, deployment, plan, request, context, half_open, slot }
    }

    /// Takes a slot; `None` when another request took the last one in the meantime. `model` is the name at the
    /// provider, if the deployment has many models.
    pub(crate) fn take_slot(mut self, model: Box<str>, times: Times) -> Option<AttemptGuard> {
        let started = clock::recent().millis();
        match self.slot {
            Slot::Taken => {}
            Slot::Free if self.deployment.state.enter(started, &self.plan.claim) => {}
            Slot::Free => return None,
        }
        self.slot = Slot::Free;
        let half_open = std::mem::replace(&mut self.half_open, HalfOpen::NONE);
        let traffic = Traffic {
            worker: self.worker.clone(),
            attempt: AttemptRef { started, request: self.request, half_open },
            reserved: self.plan.claim.reserved(),
            context: self.context,
            model,
            times,
            first_content_ms: None,
            is_reported: false,
        };
        let stake = Stake::Traffic(Box::new(traffic));
        Some(AttemptGuard { deployment: self.deployment.clone(), stake })
    }

    /// For an attempt that calls no upstream: takes no slot.
    pub(crate) fn stay_local(self) -> AttemptGuard {
        let stake = Stake::Local(self.context, clock::recent().millis());
        AttemptGuard { deployment: self.deployment.clone(), stake }
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.deployment.release_half_open(self.half_open);
        match self.slot {
            Slot::Taken => self.deployment.state.leave(),
            Slot::Free if self.half_open.is_held() => {}
            Slot::Free => return,
        }
        self.worker.process.waiting.touched(self.deployment);
    }
}

impl AttemptGuard {
    /// For a probe: its outcome does not count as traffic.
    pub(crate) fn probe(deployment: &Arc<Deployment>) -> AttemptGuard {
        AttemptGuard { deployment: deployment.clone(), stake: Stake::Probe }
    }

    /// Whether it is a client's attempt.
    pub(crate) fn is_traffic(&self) -> bool {
        matches!(self.stake, Stake::Traffic(_))
    }

    /// The model's name at the provider, if the deployment has many models; else empty.
    pub(crate) fn model(&self) -> &str {
        match &self.stake {
            Stake::Traffic(traffic) => &traffic.model,
            Stake::Local(_, _) | Stake::Probe => "",
        }
    }

    /// The deployment that is called.
    pub(crate) fn deployment(&self) -> &Arc<Deployment> {
        &self.deployment
    }

    /// The head of the answer is a 2xx: the provider lets the attempt in.
    pub(crate) fn is_let_in(&self) {
        let Stake::Traffic(traffic) = &self.stake else { return };
        if traffic.attempt.half_open.is_held() {
            let evidence = Evidence::LetIn { attempt: traffic.attempt };
            let changes = self.deployment.apply(clock::now().millis(), &evidence);
            events::health_changed(&self.deployment.id, changes);
            traffic.worker.process.waiting.touched(&self.deployment);
        }
    }

    /// The stream has content: a half-open request has proved its deployment healthy.
    pub(crate) fn has_content(&mut self) {
        let Stake::Traffic(traffic) = &mut self.stake else { return };
        let now = clock::recent().millis();
        traffic.first_content_ms = Some(now.since(traffic.attempt.started));
        if traffic.attempt.half_open.is_held() {
            let evidence = Evidence::HalfOpenProved { attempt: traffic.attempt };
            traffic.attempt.half_open = HalfOpen::NONE;
            let changes = self.deployment.apply(now, &evidence);
            events::health_changed(&self.deployment.id, changes);
            traffic.worker.process.waiting.touched(&self.deployment);
        }
    }

    /// It succeeded at `now`.
    pub(crate) fn success(&mut self, usage: Option<Usage>, now: Millis) {
        let Stake::Traffic(traffic) = &mut self.stake else { return };
        traffic.is_reported = true;
        let usage = usage.unwrap_or_default();
        let whole_ms = now.since(traffic.attempt.started);
        let measures = traffic.times == Times::OfModel;
        let measured = Measured {
            first_content_ms: traffic.first_content_ms.filter(|_| measures),
            whole_ms: Some(whole_ms).filter(|_| measures && traffic.first_content_ms.is_none()),
            output_tokens: usage.output,
            tokens: usage.input.saturating_add(usage.output).saturating_sub(traffic.reserved),
        };
        self.deployment.state.prompt_cache().answered(&usage, now);
        let Traffic { attempt, ref model, .. } = **traffic;
        let changes = self.deployment.apply(now, &Evidence::Succeeded { attempt, measured, model });
        events::health_changed(&self.deployment.id, changes);
    }

    /// It failed.
    pub(crate) fn failure(&mut self, failure: Failure) {
        let now = clock::now().millis();
        let evidence = match &mut self.stake {
            Stake::Probe => return,
            Stake::Local(_, _) if failure.cause.blames_deployment() => return,
            Stake::Local(context, started) => {
                let attempt =
                    AttemptRef { started: *started, request: 0, half_open: HalfOpen::NONE };
                Evidence::Failed { attempt, failure, model: "", context }
            }
            Stake::Traffic(traffic) => {
                traffic.is_reported = true;
                let Traffic { attempt, ref model, ref context, .. } = **traffic;
                Evidence::Failed { attempt, failure, model, context }
            }
        };
        let changes = self.deployment.apply(now, &evidence);
        events::health_changed(&self.deployment.id, changes);
    }
}

impl Drop for AttemptGuard {
    fn drop(&mut self) {
        let Stake::Traffic(traffic) = &self.stake else { return };
        self.deployment.state.leave();
        if !traffic.is_reported {
            self.failure(Failure::of(Cause::ClientClosed));
        }
        let Stake::Traffic(traffic) = &self.stake else { return };
        traffic.worker.process.waiting.touched(&self.deployment);
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use hale_core::config::{InMemory, Options, load};
    use hale_core::health::Verdict;
    use hale_core::route::{Controls, Next, RoutePlan};

    use super::*;
    use crate::http::browser::Reach;
    use crate::sink::Sinks;
    use crate::state::Process;

    #[test]
    fn a_panic_within_an_attempt_releases_slot_and_permit() {
        let yaml =
            "model_list:\n- {model_name: m, litellm_params: {model: openai/x, api_key: k}}\n";
        let loaded = load(&InMemory::file("c.yaml", yaml), "c.yaml", Options::default(), None);
        let sinks = Sinks::none();
        let process = Process::new(loaded.snapshot.unwrap(), sinks, Reach::ThisMachine);
        let worker = Rc::new(Worker::new(Arc::new(process)));
        let serving = worker.process.serving();
        let snapshot = &serving.snapshot;
        let now = clock::now().millis();
        let mut route_plan = RoutePlan::named(snapshot, "m", Controls::default(), now).unwrap();
        let Next::Attempt(mut plan) = route_plan.next(snapshot, now, 0) else { panic!("refused") };
        let deployment = snapshot.deployment(plan.deployment);
        plan.half_open = deployment.take_half_open(now, 60_000).unwrap();
        let context = route_plan.failure_context(snapshot, &plan);
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let entry = Entry::new(&worker, deployment, &plan, (1, context));
            let _guard = entry.take_slot(Box::default(), Times::OfModel);
            assert_eq!(deployment.state.in_flight(), 1);
            assert!(!deployment.half_open_is_free(now));
            panic!("within the attempt");
        }));
        assert!(panicked.is_err());
        assert_eq!(deployment.state.in_flight(), 0);
        assert!(deployment.half_open_is_free(now));
        assert_eq!(deployment.verdict(now), Verdict::Ready);
    }
}
