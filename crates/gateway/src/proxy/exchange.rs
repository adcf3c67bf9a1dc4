//! A request for a model, from its head to the end of its answer: one owner, one method per phase.
//!
//! Called by the router for every endpoint that goes to an upstream. The phases: read, authorize, resolve
//! ([`super::opening`]), attempt until answered (here), respond ([`super::respond`]); the relay or the tunnel
//! owns the exchange while its answer is under way. Always true: nothing reaches the client before an
//! attempt has succeeded (a stream: has content), and the route plan alone decides what to try next.

mod barred;
mod passed_over;

use std::sync::Arc;
use std::time::Duration;

use hale_core::deployment::{Deployment, Taught};
use hale_core::group::GroupIndex;
use hale_core::health::Known;
use hale_core::health::outcome::{Lacking, ProviderError};
use hale_core::record::{Resends, StepKind};
use hale_core::route::{AttemptPlan, GiveUp, Need, Next, Repeat, RoutePlan, Target, Tried};
use hale_wire::images;
use hale_wire::prepare::Prepared;
use http::Response;

use super::attempt::{
    Answered, Attempt, Audience, Call, Destination, Failed, Scope, TimeLimit, Unprepared,
    note_learned,
};
use super::attempt_guard::{AttemptGuard, Entry, Times};
use super::broken_off::Rescue;
use super::call_builder::CallBuilder;
use super::delivery::Delivery;
use super::explain;
use super::fallbacks;
use super::kept_parts::Parts;
use super::model_request::ModelRequest;
use super::turn::Waiting;
use crate::arrival::Arrival;
use crate::cache::Leader;
use crate::clock::{self, Micros};
use crate::http::refusal::Refusal;
use crate::http::reply::Reply;
use crate::limits::Held;
use crate::waiting::Place;

/// How often an attempt is made once more, because its refusal taught something.
const TAUGHT_MAX: usize = 4;

/// A request for a model, with its route, its delivery and the errors it has met.
pub(super) struct Exchange {
    /// Its connection, config and client.
    pub(super) arrival: Arrival,
    /// What the client asks for.
    pub(super) request: ModelRequest,
    /// The route through deployments and groups.
    pub(super) plan: RoutePlan,
    /// Decides and records how it ends.
    pub(super) delivery: Delivery,
    /// The provider's error of each failed attempt, in the order of [`RoutePlan::tried`].
    pub(super) errors: Vec<ProviderError>,
    /// An answer without content, which is delivered if no other comes.
    empty: Option<Box<passed_over::Empty>>,
    /// The answer that broke off, while another deployment is asked to go on.
    pub(super) rescue: Option<Box<Rescue>>,
    /// What leads the requests that joined it.
    pub(super) lead: Option<Box<Leader>>,
    /// The id of its stream, if that is told before there is an answer.
    pub(super) stream_id: Option<Box<str>>,
    /// Its inputs, if some of their embeddings are kept.
    pub(super) parts: Option<Box<Parts>>,
    /// Its place in line, while it looks again.
    pub(super) place: Option<Place>,
    /// Why it got no turn, if it would have waited.
    pub(super) no_turn: Option<explain::NoTurn>,
    /// The group, by its place in the route, whose limits and budgets have room for it.
    admitted: usize,
    /// Why groups were left out, for the client.
    barred: Vec<Box<str>>,
    /// What the provider of the last attempt had refused to be told before it.
    pub(super) known: Known,
    /// Attempts that were made once more because of what a server lacks.
    done_otherwise: usize,
    /// What refusals taught.
    taught: Taught,
    /// Tells its attempts from those of other requests.
    number: u64,
    /// The limit of the last attempt, milliseconds.
    pub(super) timeout_ms: Option<u64>,
}

/// The attempt that yielded the answer.
pub(super) struct Winner {
    /// Its plan.
    pub(super) plan: AttemptPlan,
    /// Whether every deployment was unhealthy by its probes, so that the probes were ignored.
    pub(super) ignored_probes: bool,
    /// Whether it was sent again on a new connection.
    pub(super) resent: bool,
}

/// What was known when an attempt began.
struct Begun {
    at: Micros,
    resends: Resends,
}

/// How far a request has come.
pub(crate) enum Stage {
    /// Its answer, or why there is none.
    Answered(Response<Reply>),
    /// It waits for its turn.
    Waits(Waiting),
}

/// What the attempts lead to.
#[allow(
    clippy::large_enum_variant,
    reason = "it is taken apart at once; a box would cost every answer"
)]
pub(super) enum Attempted {
    /// An answer for the client.
    Answered(Winner, Answered),
    /// No way is open now: it is in line.
    Waits(Place),
}

impl Exchange {
    /// A request with its route.
    pub(super) fn new(
        arrival: Arrival,
        request: ModelRequest,
        plan: RoutePlan,
        delivery: Delivery,
    ) -> Exchange {
        let number = fastrand::u64(..);
        let plan = plan.numbered(number);
        let errors = Vec::new();
        let mut exchange = Exchange {
            arrival,
            request,
            plan,
            delivery,
            errors,
            empty: None,
            rescue: None,
            lead: None,
            stream_id: None,
            parts: None,
            place: None,
            no_turn: None,
            admitted: 0,
            barred: Vec::new(),
            known: Known::default(),
            done_otherwise: 0,
            taught: Taught::default(),
            number,
            timeout_ms: None,
        };
        exchange.delivery.charge_tags(exchange.plan.tag_budgets());
        exchange
    }

    /// Attempts until it is answered or has to wait; `turn` is the attempt that it waited for.
    pub(super) async fn proceed(mut self: Box<Exchange>, turn: Option<AttemptPlan>) -> Stage {
        match self.attempt_until_answered(turn).await {
            Ok(Attempted::Answered(winner, answered)) => {
                self.count_fallbacks(Some(self.plan.target().group));
                Stage::Answered(self.respond(&winner, answered))
            }
            Ok(Attempted::Waits(place)) => Stage::Waits(Waiting::new(self, place)),
            Err(refusal) => {
                self.count_fallbacks(None);
                Stage::Answered(self.refuse(refusal))
            }
        }
    }

    /// Counts the groups that it tried after its own; `answered` is the one that gave an answer.
    fn count_fallbacks(&self, answered: Option<GroupIndex>) {
        if self.plan.fallbacks() > 0 {
            let metrics = &self.arrival.worker.process.metrics;
            fallbacks::count(metrics, &self.arrival.serving.snapshot, &self.plan, answered);
        }
    }

    /// Follows the route plan to an answer, or until no way is open or left. The attempt of its `turn` comes first.
    ///
    /// It may be called again when an answer breaks after its first content, as long as the body is held.
    pub(super) async fn attempt_until_answered(
        &mut self,
        mut turn: Option<AttemptPlan>,
    ) -> Result<Attempted, Refusal> {
        loop {
            // Each wait below ends with a look at the clock.
            let plan = match turn.take().map_or_else(|| self.next(), Next::Attempt) {
                Next::Pause(ms) => {
                    self.delivery.capture.waits(StepKind::Pause);
                    self.delivery.waiting(tokio::time::sleep(Duration::from_millis(ms))).await;
                    self.delivery.capture.has_waited();
                    continue;
                }
                Next::Wait(wait) => match self.join_line(*wait) {
                    Some(place) => return Ok(Attempted::Waits(place)),
                    None => continue,
                },
                Next::GiveUp(why) => match self.empty.take() {
                    Some(empty) => return Ok(self.deliver_empty(*empty)),
                    None => return Err(self.give_up(why)),
                },
                Next::Attempt(plan) => plan,
            };
            self.place = None;
            if let Some(late) = &self.delivery.late {
                late.begins();
            }
            let began = clock::recent();
            let ignored_probes =
                self.plan.ignores_probes(&self.arrival.serving.snapshot, began.millis());
            let begun = Begun { at: began, resends: self.delivery.sending.resends() };
            let Some(result) = self.attempt(&plan).await else {
                // The request that took the slot goes on first.
                self.delivery.waiting(tokio::task::yield_now()).await;
                continue;
            };
            if ignored_probes {
                self.arrival.worker.process.health.bypassed(began.millis());
            }
            match result {
                Ok(answered) => {
                    self.proved(&plan);
                    let resent = self.was_resent(&begun);
                    let winner = Winner { plan, ignored_probes, resent };
                    if answered.content.differs() {
                        self.differs(&winner.plan, answered, &begun);
                        continue;
                    }
                    if !self.is_passed_over(&answered.content) {
                        self.discard_empty();
                        return Ok(Attempted::Answered(winner, answered));
                    }
                    self.pass_over(winner, answered, &begun);
                }
                Err(failed) if self.is_taught(&plan, &failed) => {}
                Err(failed) => self.failed(&plan, failed, &begun),
            }
        }
    }

    /// What the route plan says to do now.
    fn next(&mut self) -> Next {
        let snapshot = &self.arrival.serving.snapshot;
        self.plan.next(snapshot, clock::recent().millis(), fastrand::u64(..))
    }

    /// Whether the provider refused what need not be sent: the attempt is made once more without it, and costs the
    /// request nothing.
    fn is_taught(&mut self, plan: &AttemptPlan, failed: &Failed) -> bool {
        let snapshot = &self.arrival.serving.snapshot;
        let deployment = snapshot.deployment(plan.deployment);
        let model = self.plan.target().upstream_model(snapshot, deployment);
        // What the server does not have, the gateway can do.
        let can_do = self.request.operation.is_estimable()
            && !self.known.has_no_count()
            && failed.about.lacking() == Some(Lacking::Operation);
        // A session goes on with words in place of the images in its history.
        let can_tell = failed.about.lacking() == Some(Lacking::Need(Need::Vision))
            && !self.known.has_no_images()
            && self.request.peek().is_some_and(images::are_past);
        let otherwise = can_do || can_tell;
        let lesson = if otherwise { None } else { failed.teaches(self.known) };
        self.done_otherwise += usize::from(otherwise);
        if let Some(lesson) = lesson {
            self.taught.add((deployment, &model), lesson);
        }
        let again = self.done_otherwise + self.taught.count();
        (otherwise || lesson.is_some()) && again <= TAUGHT_MAX
    }

    /// Forgets what refusals taught and no answer proved.
    pub(super) fn forget_lessons(&mut self) {
        self.done_otherwise += self.taught.count();
        self.taught = Taught::default();
    }

    /// The deployment of `plan` answered: what it taught before is true, for all requests.
    fn proved(&mut self, plan: &AttemptPlan) {
        if self.taught.count() == 0 {
            return;
        }
        let snapshot = &self.arrival.serving.snapshot;
        let deployment = snapshot.deployment(plan.deployment);
        let model = self.plan.target().upstream_model(snapshot, deployment);
        if let Some(known) = self.taught.proved((deployment, &model)) {
            note_learned(deployment, &model, known);
        }
    }

    /// Makes the attempt; `None` when another request took the deployment's last slot first.
    async fn attempt(&mut self, plan: &AttemptPlan) -> Option<Result<Answered, Failed>> {
        let serving = self.arrival.serving.clone();
        let deployment = serving.snapshot.deployment(plan.deployment);
        let destination = Destination {
            deployment,
            target: serving.target(plan.deployment),
            model: self.plan.target().upstream_model(&serving.snapshot, deployment),
        };
        let context = self.plan.failure_context(&serving.snapshot, plan);
        let worker = self.arrival.worker.clone();
        let entry = Entry::new(&worker, deployment, plan, (self.number, context));
        self.is_admitted().then_some(())?;
        self.known = self.taught.known((deployment, &destination.model));
        let operation = self.request.operation;
        let model = self.plan.target().model_in_many(&serving.snapshot, deployment);
        if operation.is_estimable()
            && deployment.state.lacks(clock::recent().millis(), operation, &model)
        {
            self.known = self.known.without_count();
        }
        if deployment.sees_no_images(clock::recent().millis(), &destination.model) {
            self.known = self.known.without_images();
        }
        let mut held = Held::none(&worker.process.buffered);
        let prepared = self.prepared(&serving, &destination, &mut held).await?;
        let builder = CallBuilder {
            serving: &serving,
            request: &self.request,
            plan: &self.plan,
            known: self.known,
            rescue: self.rescue.as_deref(),
            call_id: &self.arrival.call_id,
        };
        // What was left of the time is gone: an attempt now would prove nothing.
        if self.plan.is_late(clock::recent().millis()) {
            return None;
        }
        let mut call = builder.call(&destination, prepared);
        let guard = match call.simulated {
            // No upstream is called.
            Some(_) => entry.stay_local(),
            None => self.enter(entry, deployment, &call.prepared)?,
        };
        note_group(&self.arrival, &self.plan, &mut self.delivery);
        self.delivery.at(deployment);
        let group = self.plan.target().name(&serving.snapshot);
        self.delivery.call_begins((deployment, &destination.model, group), self.request.peek());
        let capture = &mut self.delivery.capture;
        call.traced = capture.attempt_begins(deployment, &destination.model, group);
        call.is_tapped = capture.shows_messages();
        let scope = Scope {
            process: &self.arrival.worker.process,
            serving: &serving,
            call_id: &self.arrival.call_id,
            audience: match self.arrival.principal.is_operator() {
                true => Audience::Operator,
                false => Audience::Client,
            },
        };
        let call = Call::Operation(Box::new(call));
        self.timeout_ms = Some(plan.timeout_ms);
        let progress = &self.delivery.sending;
        let limit =
            TimeLimit { ends: plan.ends, set_by: plan.ends_set_by, timeout_ms: plan.timeout_ms };
        let attempt = Attempt { scope, destination, call, limit, progress };
        self.delivery.wait_begins();
        let result = attempt.run(guard).await;
        self.delivery.wait_ends();
        self.delivery.call_ended(deployment, &result);
        Some(result)
    }

    /// Takes a concurrency slot at the deployment; `None` when another request took the last one first.
    fn enter(
        &self,
        entry: Entry<'_>,
        deployment: &Arc<Deployment>,
        prepared: &Result<Prepared, Unprepared>,
    ) -> Option<AttemptGuard> {
        let snapshot = &self.arrival.serving.snapshot;
        match prepared {
            Ok(Prepared::Body(called, ..) | Prepared::Several(called, ..)) => {
                let model = self.plan.target().model_in_many(snapshot, deployment).into();
                // The time of a file operation says nothing about a model.
                let times = if called.operation.is_of_files() || called.operation.is_estimable() {
                    Times::Meaningless
                } else {
                    Times::OfModel
                };
                entry.take_slot(model, times)
            }
            Ok(Prepared::Estimate(_) | Prepared::Count(_) | Prepared::Fetch(_)) | Err(_) => {
                Some(entry.stay_local())
            }
        }
    }

    /// Whether the attempt was sent again on a new connection.
    fn was_resent(&self, begun: &Begun) -> bool {
        self.delivery.sending.resends() != begun.resends
    }

    /// Whether another attempt may follow `failed`: of what runs once only if the provider cannot have carried it out.
    fn repeat(&self, failed: &Failed) -> Repeat {
        let is_open = || self.delivery.sending.stage().is_sent() && failed.cause.leaves_open();
        if self.request.runs_once() && is_open() {
            return Repeat::Never;
        }
        match failed.about.lacking() {
            Some(_) => Repeat::AtSibling,
            None => Repeat::Allowed,
        }
    }

    /// Reports the failed attempt to the route plan.
    fn failed(&mut self, plan: &AttemptPlan, mut failed: Failed, begun: &Begun) {
        let repeat = self.repeat(&failed);
        if repeat == Repeat::Never {
            failed.error.message.push_str(
                "; this is not repeated, because the provider may have carried it out: list what it has before you \
                 send it again",
            );
        }
        let ended = clock::recent();
        let snapshot = &self.arrival.serving.snapshot;
        let tried = Tried {
            group: self.plan.target().name(snapshot).into(),
            deployment: plan.deployment,
            former: None,
            status: failed.status,
            cause: failed.cause,
            message: failed.error.message.as_str().into(),
            ms: ended.since(begun.at) / 1000,
            resent: self.was_resent(begun),
            hint_ms: failed.hint_ms(),
            half_open: plan.half_open.is_trial(),
            repeat,
        };
        self.errors.push(failed.error);
        self.plan.failed(snapshot, tried, ended.millis(), fastrand::u64(..));
    }

    /// The refusal when nothing is left to try.
    pub(super) fn give_up(&mut self, why: GiveUp) -> Refusal {
        // No group answered: the one that was asked for has failed.
        note_group(&self.arrival, &self.plan, &mut self.delivery);
        note_target(&self.arrival, self.plan.first_target(), &mut self.delivery);
        let (snapshot, plan) = (&self.arrival.serving.snapshot, &self.plan);
        let now = clock::recent().millis();
        let mut refusal = match why {
            GiveUp::Refused(refused) => {
                let tags = self.request.controls.tags.as_deref();
                let tags = tags.map_or(&[][..], |wish| &wish.any);
                explain::refused(snapshot, &refused, tags, now)
            }
            GiveUp::Deadline => explain::deadline(snapshot, plan, &self.errors),
            GiveUp::Exhausted(refused) => {
                let exhausted =
                    explain::Exhausted { plan, errors: &self.errors, refused: &refused };
                exhausted.refusal(snapshot, now)
            }
        };
        self.tell_barred(&mut refusal.reply.message);
        // An SDK that sends it again by itself would make a second one.
        refusal.must_not_repeat |= plan.tried().iter().any(|tried| tried.repeat == Repeat::Never);
        match self.no_turn {
            Some(no_turn) => no_turn.explain(refusal, snapshot, plan.waited_ms(), now),
            None => refusal,
        }
    }
}

/// Records the group and the counts before the upstream call: the client may disconnect during it.
pub(super) fn note_group(arrival: &Arrival, plan: &RoutePlan, delivery: &mut Delivery) {
    delivery.counting.in_group(plan.first_target().group, plan.target().group);
    note_target(arrival, plan.target(), delivery);
    delivery.note(|record| {
        record.retries = plan.retries();
        record.fallbacks = plan.fallbacks();
    });
}

/// Records the group whose metrics count the request.
fn note_target(arrival: &Arrival, target: &Target, delivery: &mut Delivery) {
    let of_config = &arrival.serving.snapshot.group(target.group).name;
    delivery.note(|record| {
        (record.model_group, record.model_pattern) = match &target.wildcard_name {
            Some(name) => (Some(Arc::from(&**name)), Some(of_config.clone())),
            None => (Some(of_config.clone()), None),
        };
    });
}

#[cfg(test)]
mod tests;
