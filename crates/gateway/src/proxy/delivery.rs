//! Decides how a request ended, and records it once.
//!
//! Started with the request by [`super::opening`], owned by its [`super::exchange::Exchange`], which the
//! relay or the tunnel owns in turn once an answer is in flight. Always true: a [`Delivery`] emits its record
//! exactly once, when it is dropped; the attempt whose answer it carries gets the outcome; no other code
//! decides whether a request was done, cut, left by its client, or hit by a panic.

mod accounting;
mod from_cache;
mod going_on;
mod halves;
mod mirrored;

use std::cell::Cell;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;

use hale_core::budget::BudgetIndex;
use hale_core::cause::Cause;
use hale_core::deployment::Deployment;
use hale_core::health::Failure;
use hale_core::operation::Operation;
use hale_core::record::{Ending, RequestRecord, Resends};
use hale_core::tenancy::access::Admission;
use hale_core::usage::CountedBy;
use http::Response;
use http::request::Parts;

use self::going_on::Looked;
use super::admit;
use super::attempt::Failed;
use super::attempt_guard::AttemptGuard;
use super::billing::Billing;
use super::capture::Capture;
use super::counted::Counted;
use super::counting::Counting;
use super::late_error::Late;
use super::{explain, story};
use crate::arrival::Arrival;
use crate::clock::{self, Micros};
use crate::failures::FailedRequest;
use crate::http::call_id;
use crate::http::refusal::Refusal;
use crate::http::reply::Reply;
use crate::mirror::Copied;
use crate::state::under_way::Place;
use crate::state::{Serving, Worker};
use crate::upstream::SendProgress;

/// The record of a request, and the attempt whose answer is in flight.
pub(crate) struct Delivery {
    worker: Rc<Worker>,
    serving: Arc<Serving>,
    /// The budgets of the request's tags.
    tag_budgets: Vec<BudgetIndex>,
    operation: Operation,
    /// Where it is counted.
    pub(super) counting: Counting,
    arrived: Micros,
    /// Time spent waiting for the client, an upstream or a pause, microseconds.
    waited_us: Cell<u64>,
    waiting_since: Cell<Option<Micros>>,
    /// Whether that is for its turn, and how long it did so before, microseconds.
    is_in_line: Cell<bool>,
    in_line_us: Cell<u64>,
    /// Its place among the requests that have no content yet, if these are watched.
    place: Cell<Option<Place>>,
    /// What halves of the answer came to that broke off.
    earlier: Option<Box<halves::Earlier>>,
    /// Tokens of an answer that broke off, which are sent behind the request.
    prefix_tokens: u64,
    /// Its calls of upstreams.
    billing: Billing,
    /// The deployment that is called, while there is no answer.
    called: Option<Arc<Deployment>>,
    record: Option<RequestRecord>,
    attempt: Option<AttemptGuard>,
    /// The copy that a second gateway gets.
    copied: Option<Box<Copied>>,
    /// What its key has reserved for it.
    admission: Option<Box<Admission>>,
    looked: Looked,
    /// How far its attempts have come. It stands here because the client may leave in the middle of one.
    pub(super) sending: SendProgress,
    /// What sinks want to know besides the record.
    pub(super) capture: Capture,
    /// How an error is written, if the client may have the head of a stream before it.
    pub(super) late: Option<Box<Late>>,
    is_ended: bool,
}

/// What carries an answer; it determines the HTTP status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carrier {
    /// A body behind a 200.
    Body,
    /// A WebSocket behind a 101.
    WebSocket,
    /// A body behind the provider's own status.
    Relayed(u16),
}

impl Carrier {
    fn status(self) -> u16 {
        match self {
            Carrier::Body => 200,
            Carrier::WebSocket => 101,
            Carrier::Relayed(status) => status,
        }
    }
}

/// How far an answer got before its carrier was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// The client has the whole answer, or both sides have closed.
    Complete,
    /// The upstream closed a session because it failed.
    FailedByUpstream,
    /// The client has part of it.
    Partial,
}

/// How long a request has taken, microseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Durations {
    /// Since it arrived.
    pub(super) total_us: u64,
    /// The gateway's own share of that.
    pub(super) own_us: u64,
}

impl Delivery {
    /// The record of a request that has just arrived.
    pub(super) fn begin(arrival: &Arrival, operation: Operation, head: &Parts) -> Delivery {
        Delivery {
            capture: Capture::of(arrival, head),
            late: None,
            worker: arrival.worker.clone(),
            serving: arrival.serving.clone(),
            tag_budgets: Vec::new(),
            operation,
            counting: Counting::default(),
            arrived: arrival.at,
            waited_us: Cell::new(0),
            waiting_since: Cell::new(None),
            is_in_line: Cell::new(false),
            in_line_us: Cell::new(0),
            place: Cell::new(None),
            earlier: None,
            prefix_tokens: 0,
            billing: Billing::of(arrival),
            called: None,
            attempt: None,
            copied: None,
            admission: None,
            looked: Looked::NEVER,
            sending: SendProgress::default(),
            is_ended: false,
            record: Some(RequestRecord {
                call_id: arrival.call_id.clone(),
                arrived_unix_ms: clock::unix_ms(),
                operation,
                requested_model: None,
                user: None,
                identity: arrival.principal.identity(),
                model_group: None,
                model_pattern: None,
                deployment: None,
                deployment_name: None,
                status: 499,
                ending: Ending::ClientClosed,
                cause: Some(Cause::ClientClosed),
                stream: false,
                retries: 0,
                fallbacks: 0,
                resends: Resends::default(),
                rescue: None,
                duration_us: 0,
                first_content_us: None,
                overhead_us: 0,
                waited_us: 0,
                usage: None,
                counted_by: CountedBy::Provider,
                cost_usd: None,
                cache: None,
                calls: Vec::new(),
                billed_to: None,
                request_bytes: 0,
                response_bytes: 0,
                detail: None,
            }),
        }
    }

    /// Updates the record.
    pub(super) fn note(&mut self, note: impl FnOnce(&mut RequestRecord)) {
        if let Some(record) = &mut self.record {
            note(record);
        }
    }

    /// The user that a header named, if the config says which.
    pub(super) fn user(&self) -> Option<Arc<str>> {
        self.record.as_ref()?.user.clone()
    }

    /// The deployment that is called.
    pub(super) fn at(&mut self, deployment: &Deployment) {
        self.counting.at(deployment);
        self.note(|record| {
            record.deployment = Some(deployment.id.clone());
            record.deployment_name = Some(deployment.display.name.clone());
        });
        if self.worker.process.alerts.under_way.is_watched() {
            self.hangs_from_now();
        }
    }

    /// It may be found to have no content. A session lasts as long as its client wants.
    #[cold]
    fn hangs_from_now(&self) {
        let group = self.record.as_ref().and_then(|record| record.model_group.as_ref());
        if let Some(group) = group.filter(|_| self.operation != Operation::Realtime) {
            let since = Micros(self.arrived.0.saturating_add(self.in_line_us.get()));
            let place = self.worker.under_way.enter(self.place.get(), group, since.millis());
            self.place.set(Some(place));
        }
    }

    /// It has content, has ended, or waits in line.
    fn hangs_no_more(&self) {
        if let Some(place) = self.place.take() {
            self.worker.under_way.leave(place);
        }
    }

    /// Charges the cost to these budgets of tags, too.
    pub(super) fn charge_tags(&mut self, budgets: &[BudgetIndex]) {
        self.tag_budgets = budgets.to_vec();
    }

    /// The request goes on in another config.
    pub(super) fn in_config(&mut self, serving: &Arc<Serving>, tag_budgets: &[BudgetIndex]) {
        self.serving = serving.clone();
        self.counting.in_config();
        self.charge_tags(tag_budgets);
    }

    /// Waits for its turn.
    pub(super) async fn in_line<T>(&self, turn: impl Future<Output = T>) -> T {
        self.is_in_line.set(true);
        self.hangs_no_more();
        self.waiting(turn).await
    }

    /// Waits for `other` without counting the time as the gateway's own.
    pub(super) async fn waiting<T>(&self, other: impl Future<Output = T>) -> T {
        self.wait_begins();
        let done = other.await;
        self.wait_ends();
        done
    }

    /// From here on the time is not the gateway's own. [`Delivery::waiting`] for a future that is too large to be
    /// moved.
    pub(super) fn wait_begins(&self) {
        self.waiting_since.set(Some(clock::now()));
    }

    /// The wait has ended.
    pub(super) fn wait_ends(&self) {
        self.wait_ended(clock::now());
    }

    /// The durations of the request so far.
    pub(super) fn durations(&self, now: Micros) -> Durations {
        let total_us = now.since(self.arrived);
        Durations { total_us, own_us: total_us.saturating_sub(self.waited_us.get()) }
    }

    /// The first content of an answer has arrived; `attempt` gets the outcome when the answer ends.
    pub(super) fn first_content(&mut self, mut attempt: AttemptGuard, now: Micros) {
        attempt.has_content();
        self.hangs_no_more();
        self.attempt = Some(attempt);
        self.counting.first_content(now);
        let Durations { total_us, own_us } = self.durations(now);
        self.note(|record| {
            record.first_content_us = Some(total_us);
            record.overhead_us = own_us;
        });
    }

    /// The deployment whose answer is in flight.
    pub(super) fn deployment(&self) -> Option<&Arc<Deployment>> {
        self.attempt.as_ref().map(AttemptGuard::deployment)
    }

    /// Whether the process is stopping and cuts what is still in flight.
    pub(super) fn is_cut(&self) -> bool {
        self.worker.process.is_cutting()
    }

    /// A full answer is about to leave; returns its cost.
    pub(super) fn answered(&mut self, attempt: AttemptGuard, counted: Counted<'_>) -> Option<f64> {
        self.attempt = Some(attempt);
        // The wait for it has just ended, with a look at the clock.
        self.succeed_at(clock::recent(), Carrier::Body, counted)
    }

    /// The whole answer has reached the client; returns its cost.
    pub(super) fn succeed(&mut self, carrier: Carrier, counted: Counted<'_>) -> Option<f64> {
        self.succeed_at(clock::now(), carrier, counted)
    }

    fn succeed_at(&mut self, now: Micros, carrier: Carrier, counted: Counted<'_>) -> Option<f64> {
        let cost = self.account(counted);
        if let Some(mut attempt) = self.attempt.take() {
            let usage = self.record.as_ref().and_then(|record| record.usage);
            match carrier {
                // What the provider says to a bad request proves nothing about the deployment.
                Carrier::Relayed(status) if status >= 400 => {
                    attempt.failure(Failure {
                        status: Some(status),
                        ..Failure::of(Cause::BadRequest)
                    });
                }
                Carrier::Body | Carrier::WebSocket | Carrier::Relayed(_) => {
                    attempt.success(usage, now.millis());
                }
            }
        }
        self.end(Ending::Success, carrier.status(), None);
        cost
    }

    /// The answer broke after its first content.
    pub(super) fn fail(&mut self, carrier: Carrier, failed: &Failed, counted: Counted<'_>) {
        self.account(counted);
        let attempt = self.attempt.take();
        let deployment = attempt.as_ref().map(|attempt| attempt.deployment().clone());
        if let Some(mut attempt) = attempt {
            attempt.failure(failed.failure());
        }
        self.end(Ending::Broken, carrier.status(), Some(failed.cause));
        self.capture.failed(&failed.error.message);
        self.tell(explain::reason_of_break(failed), || match &deployment {
            Some(deployment) => story::of_break(deployment, failed),
            None => failed.error.message.clone(),
        });
    }

    /// The client gets an error in place of an answer.
    pub(super) fn refuse(mut self, mut refusal: Refusal) -> Response<Reply> {
        let is_gone = refusal.cause == Cause::ClientClosed;
        let ending = if is_gone { Ending::ClientClosed } else { Ending::Error };
        self.end(ending, refusal.status.as_u16(), Some(refusal.cause));
        self.capture.failed(&refusal.reply.message);
        if !is_gone {
            self.tell(refusal.reply.reason, || story::of_refusal(&refusal.reply));
        }
        let call_id = self.record.as_ref().map(|record| record.call_id.clone());
        let format = self.operation.format();
        let late = self.late.as_ref().map(|late| {
            refusal.in_words_of(format);
            late.event(&refusal.reply)
        });
        let code = format!("{}/{}", refusal.reply.kind, refusal.reply.code);
        let mut response = refusal.into_response(format);
        self.mirror_refused(code, response.headers());
        if let Some(late) = late {
            response.extensions_mut().insert(late);
        }
        call_id::with_call_id(response, &call_id.unwrap_or_default())
    }

    /// The gateway's own code panicked while the answer was in flight.
    pub(super) fn panicked(&mut self, counted: Counted<'_>) {
        self.account(counted);
        self.end(Ending::Panicked, 500, Some(Cause::Gateway));
        self.tell_own_fault();
    }

    /// The answer's carrier was dropped. Decides what that means, unless the end was decided before.
    pub(super) fn carrier_dropped(
        &mut self,
        carrier: Carrier,
        progress: Progress,
        counted: Counted<'_>,
    ) {
        if self.is_ended {
            return;
        }
        match progress {
            // The client had everything and did not wait for the upstream to close.
            Progress::Complete => {
                self.succeed(carrier, counted);
                return;
            }
            Progress::FailedByUpstream => {
                let message = "the upstream closed the session with an error".to_owned();
                self.fail(carrier, &Failed::of(Cause::ServerError, None, message), counted);
                return;
            }
            Progress::Partial => self.account(counted),
        };
        if std::thread::panicking() {
            self.end(Ending::Panicked, 500, Some(Cause::Gateway));
            self.tell_own_fault();
        } else if self.is_cut() {
            let has_begun = |record: &RequestRecord| record.first_content_us.is_some();
            let (ending, status) = match self.record.as_ref().is_some_and(has_begun) {
                true => (Ending::Broken, carrier.status()),
                false => (Ending::Error, 503),
            };
            self.end(ending, status, Some(Cause::Gateway));
            self.tell("shutting_down", || "the gateway stops, and its grace is over".to_owned());
        } else {
            self.end(Ending::ClientClosed, 499, Some(Cause::ClientClosed));
        }
    }

    fn tell_own_fault(&self) {
        self.tell("internal_error", || {
            "a fault of the gateway's own; lines above have it".to_owned()
        });
    }

    /// Writes the log line of a request that failed.
    fn tell(&self, reason: &'static str, story: impl FnOnce() -> String) {
        let Some(record) = &self.record else { return };
        let failed = FailedRequest {
            status: record.status,
            operation: record.operation.name(),
            model_group: record.model_group.as_deref(),
            model: record.requested_model.as_deref(),
            cause: record.cause.unwrap_or(Cause::Gateway),
            reason,
            duration_us: self.durations(clock::now()).total_us,
            call_id: &record.call_id,
            identity: record.identity.as_deref(),
        };
        failed.tell(story);
    }

    fn end(&mut self, ending: Ending, status: u16, cause: Option<Cause>) {
        self.is_ended = true;
        self.hangs_no_more();
        self.note(|record| {
            record.ending = ending;
            record.status = status;
            record.cause = cause;
        });
    }

    fn wait_ended(&self, now: Micros) {
        if let Some(since) = self.waiting_since.take() {
            let us = now.since(since);
            self.waited_us.set(self.waited_us.get() + us);
            if self.is_in_line.replace(false) {
                self.in_line_us.set(self.in_line_us.get() + us);
            }
        }
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        self.carrier_dropped(Carrier::Body, Progress::Partial, Counted::reported(None));
        self.settle_calls();
        // The slot at the deployment is free before the record says that the request is over.
        drop(self.attempt.take());
        let Some(mut record) = self.record.take() else { return };
        let now = clock::now();
        self.wait_ended(now);
        let Durations { total_us, own_us } = self.durations(now);
        record.resends = self.sending.resends();
        record.duration_us = total_us;
        record.waited_us = self.in_line_us.get();
        if record.first_content_us.is_none() {
            record.overhead_us = own_us;
        }
        if let Some(admission) = self.admission.take() {
            admit::settle(&self.worker.process, *admission, &mut record);
        }
        record.detail = self.capture.finish(&record, now);
        let process = &self.worker.process;
        if let Some(copied) = self.copied.take() {
            mirrored::offer(&process.mirror, copied, &record);
        }
        self.counting.count((&self.serving, &process.metrics), &record, now);
        process.sinks.send(record, &process.metrics);
    }
}
