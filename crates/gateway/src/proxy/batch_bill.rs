//! The bill of a batch that has ended: made where a client sees its end, or reads its answers.
//!
//! Called by [`super::respond`]. Always true: a batch is billed once, however often its end is seen, at which replica and after which restart: the
//! store takes the bill under the name of the file of its answers, once; a batch of which nothing is counted is left open.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hale_core::deployment::Deployment;
use hale_core::money::Money;
use hale_core::operation::Kind;
use hale_core::tenancy::access::KeyAccess;
use hale_core::tenancy::of_models;
use hale_core::usage::Usage;
use hale_store::{SpentCall, SpentPeriod, SpentRequest, SpentTexts, Store};
use hale_wire::files::done::{self, AnswerLines};
use http_body::Frame;
use sha2::{Digest, Sha256};

use super::relay::Relay;
use crate::arrival::Arrival;
use crate::clock;
use crate::http::reply::{Broken, StreamedBody};
use crate::keys;
use crate::sink::{self, MASTER_KEY, MASTER_USER};
use crate::state::Process;

/// What the bill of a batch needs besides what it used.
pub(super) struct BatchBill {
    store: Arc<Store>,
    process: Arc<Process>,
    deployment: Arc<Deployment>,
    group: Arc<str>,
    access: Option<Arc<KeyAccess>>,
    is_operator: bool,
}

/// What a model used, and what that costs.
struct Used<'u> {
    model: &'u str,
    usage: &'u Usage,
    cost: Option<Money>,
}

impl BatchBill {
    /// For what that client gets from `deployment`; `None` if nothing is remembered.
    pub(super) fn of(arrival: &Arrival, deployment: &Arc<Deployment>) -> Option<BatchBill> {
        let store = arrival.worker.process.keys.store()?.clone();
        let access = arrival.principal.access().cloned();
        let is_operator = arrival.principal.is_operator() && access.is_none();
        let group = arrival.serving.snapshot.group(deployment.group).name.clone();
        let (process, deployment) = (arrival.worker.process.clone(), deployment.clone());
        Some(BatchBill { store, process, deployment, group, access, is_operator })
    }

    /// Bills the batch whose object is `body`, as the client gets it, if it has ended and says what it used.
    pub(super) fn of_object(&self, arrival: &Arrival, body: &[u8]) {
        let Some(batch) = done::of_batch(body) else { return };
        let Some(usage) = batch.usage else { return };
        let issued = |kind, id: &str| {
            let opened = arrival.serving.ids.key().and_then(|key| key.open(kind, id));
            opened.map_or_else(|| id.to_owned(), |issued| issued.id)
        };
        // The file does not name the batch, and may be read first.
        let id = match &batch.file {
            Some(file) => issued(Kind::File, file),
            None => issued(Kind::Batch, &batch.id),
        };
        let upstream = &*self.deployment.endpoint.upstream_model;
        let model = match upstream.contains('*') {
            true => batch.model.unwrap_or_default(),
            false => upstream.into(),
        };
        self.put(&id, &BTreeMap::from([(model, usage)]));
    }

    /// Gives the store the bill of the batch with that file of answers.
    fn put(&self, id: &str, used: &BTreeMap<Box<str>, Usage>) {
        if used.is_empty() {
            return;
        }
        let now_ms = clock::unix_ms();
        let used: Vec<Used<'_>> = used
            .iter()
            .map(|(model, usage)| {
                let cost = self.deployment.facts_at(model, now_ms).cost(usage);
                Used { model, usage, cost }
            })
            .collect();
        let calls: Vec<SpentCall<'_>> = used.iter().map(|used| self.call(used, now_ms)).collect();
        let names = of_models::names(&self.group, &self.group);
        let cost = calls.iter().filter_map(|call| call.cost_nano).fold(0_i64, i64::saturating_add);
        let cost = Money::of_parts(cost);
        let charged = self.access.as_ref().map(|it| it.charged_later(names, cost, keys::now()));
        let charged = charged.unwrap_or_default();
        let counters: Vec<SpentPeriod<'_>> = charged.iter().filter_map(sink::period).collect();
        let identity = self.access.as_ref().map(|access| &*access.identity);
        let of_master = |text: &'static str| self.is_operator.then_some(text);
        let request = SpentRequest {
            at: now_ms,
            ended_at: now_ms,
            call_id: &format!("{id}_batch_cost"),
            operation: "batches_get",
            call_type: "aretrieve_batch",
            endpoint: "/batches",
            key: identity.map(|it| &*it.key).or(of_master(MASTER_KEY)).unwrap_or_default(),
            user: identity.map_or(of_master(MASTER_USER), |it| it.user.as_deref()),
            team: identity.and_then(|it| it.team.as_deref()),
            organization: identity.and_then(|it| it.organization.as_deref()),
            tags: self.access.as_ref().map_or(&[][..], |access| &access.tags),
            counters: &counters,
            model_group: Some(&self.group),
            calls: &calls,
            ..SpentRequest::default()
        };
        let texts = SpentTexts {
            counts: used.iter().map(|used| used.usage.counts().to_string()).collect(),
            metadata: "{\"status\":\"success\"}".to_owned(),
            ..SpentTexts::default()
        };
        self.store.put_once(&self.name(id), &request, &texts);
        self.process.keys.store_charges();
    }

    fn call<'c>(&'c self, used: &Used<'c>, now_ms: u64) -> SpentCall<'c> {
        let endpoint = &self.deployment.endpoint;
        SpentCall {
            deployment: &self.deployment.id,
            model_group: &self.group,
            provider: &endpoint.provider.name,
            model: used.model,
            pattern: Some(&*endpoint.model_param).filter(|name| name.contains('*')),
            address: endpoint.host(),
            status: Some(200),
            began_at: now_ms,
            ended_at: now_ms,
            input_tokens: used.usage.input,
            output_tokens: used.usage.output,
            cache_read_tokens: used.usage.cached_input,
            cache_write_tokens: used.usage.cache_creation,
            counted_by: "provider",
            cost_nano: used.cost.map(Money::parts),
            ..SpentCall::default()
        }
    }

    /// What no other batch of any provider is called.
    fn name(&self, id: &str) -> String {
        let endpoint = &self.deployment.endpoint;
        let mut digest = Sha256::new();
        for part in [&*endpoint.provider.name, endpoint.host(), id] {
            digest.update(part.len().to_be_bytes());
            digest.update(part);
        }
        let mut name = "batch-".to_owned();
        for byte in digest.finalize().iter().take(20) {
            // Writing to a text cannot fail.
            let _written = write!(name, "{byte:02x}");
        }
        name
    }
}

/// A file on its way to a client: a batch's answers are counted while they pass.
pub(super) struct BilledFile {
    relay: Relay,
    /// Until all of it has passed.
    reading: Option<(BatchBill, AnswerLines)>,
    id: Box<str>,
}

impl BilledFile {
    /// The file with that id at the provider.
    pub(super) fn new(relay: Relay, bill: BatchBill, id: &str) -> BilledFile {
        BilledFile { relay, reading: Some((bill, AnswerLines::default())), id: id.into() }
    }

    fn ended(&mut self) {
        let Some((bill, lines)) = self.reading.take() else { return };
        let (used, unread) = lines.finish();
        if unread > 0 && !used.is_empty() {
            tracing::warn!(
                file = &*self.id,
                unread,
                "answers of a batch are too long to be read: they are not billed"
            );
        }
        bill.put(&self.id, &used);
    }
}

impl StreamedBody for BilledFile {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let polled = self.relay.poll_frame(cx);
        match &polled {
            Poll::Pending => {}
            Poll::Ready(Some(Ok(frame))) => {
                if let (Some(piece), Some((_, lines))) = (frame.data_ref(), &mut self.reading) {
                    lines.push(piece);
                }
            }
            Poll::Ready(Some(Err(_))) => self.reading = None,
            Poll::Ready(None) if self.relay.has_ended_well() => self.ended(),
            Poll::Ready(None) => self.reading = None,
        }
        if polled.is_ready() && self.relay.has_sent_all() {
            self.ended();
        }
        polled
    }

    fn length(&self) -> Option<u64> {
        self.relay.length()
    }

    fn keepalive_ms(&self) -> Option<u64> {
        self.relay.keepalive_ms()
    }

    fn give_up(&mut self) {
        self.reading = None;
        self.relay.give_up();
    }
}
