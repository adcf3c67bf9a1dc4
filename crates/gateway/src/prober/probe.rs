//! One check of one deployment.
//!
//! Called by [`super::thread`] and [`super::round`]. Always true: what goes out is made by the builder of
//! traffic's requests and sent by traffic's attempt; nothing of it reaches counters, latencies, budgets or
//! rests of traffic; it ends within its time.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hale_core::cause::Cause;
use hale_core::deployment::{Deployment, DeploymentIndex};
use hale_core::health::check::{
    Checked, Doubt, Finding, ProbeKind, Refusal, judge, kind, model, token_floor, unserved,
};
use hale_core::operation::Operation;
use hale_core::prices;
use hale_core::route::AttemptPlan;
use hale_core::usage::{Units, Usage};
use hale_wire::modes;
use hale_wire::order::Order;
use hale_wire::probe::{Probe, VOICE};
use hale_wire::stream::View;
use hale_wire::way::{Outgoing, Way, outgoing};
use http::HeaderMap;

use crate::clock;
use crate::proxy::attempt::{Answered, Ask, Content, Failed, attempt, expect_list, look};
use crate::proxy::guard::AttemptGuard;
use crate::proxy::request::Dialect;
use crate::state::{Process, Serving};
use crate::upstream::{ObjectPath, PathCall, Transfer};

/// Tokens of an answer, unless the config says otherwise. Source: the seed.
const MAX_TOKENS: u32 = 1;
/// The same of a deployment that stands for many models. Source: the seed.
const MAX_TOKENS_PATTERN: u32 = 10;
/// Tokens that the question is taken to have where its cost is estimated.
const PROMPT_TOKENS: u64 = 12;
/// Parts of the names of realtime models that only transcribe; they want to be told. Source: the reference.
const TRANSCRIBERS: [&str; 2] = ["transcribe", "whisper"];
/// Longest text of an error that is kept, characters.
const MESSAGE_MAX: usize = 500;
/// What of an answer's headers is kept. Source: the reference.
const KEPT_HEADERS: [&str; 3] =
    ["x-ratelimit-remaining-requests", "x-ratelimit-remaining-tokens", "x-ms-region"];

/// A check as it would go out.
pub(super) struct Built {
    kind: ProbeKind,
    model: Box<str>,
    tokens: Option<u32>,
    /// What is charged besides tokens.
    asked: Units,
    /// What goes out, where a model is to run.
    sent: Option<Sent>,
}

struct Sent {
    way: Way,
    outgoing: Result<Outgoing, hale_wire::neutral::Unfit>,
}

/// The check of `deployment`. `free_only` leaves out what costs.
pub(super) fn build(serving: &Serving, deployment: &Deployment, free_only: bool) -> Built {
    let named = model(deployment);
    let kind = if free_only || named.is_none() { ProbeKind::Free } else { kind(deployment) };
    let model = named.unwrap_or_else(|| deployment.endpoint.upstream_model.clone());
    let ProbeKind::Call(operation) = kind else {
        return Built { kind, model, tokens: None, asked: Units::default(), sent: None };
    };
    let tokens = tokens(serving, deployment, operation);
    let checks = deployment.state.checks();
    let probe = Probe {
        operation,
        model: &model,
        prompt: deployment.probing.prompt.as_deref().unwrap_or(&serving.snapshot.checks.prompt),
        max_tokens: tokens,
        reasons: checks.wants_completion_tokens() || names_limit_anew(deployment),
        reasoning_effort: deployment.probing.reasoning_effort.as_deref(),
        voice: deployment.probing.voice.as_deref().unwrap_or(VOICE),
        params: &deployment.probing.params,
    };
    let order = Order {
        deployment,
        operation,
        upstream_model: &model,
        ask_usage: false,
        drop_params: serving.snapshot.gateway.drop_params,
        kept: None,
    };
    let way = Way { operation, wire: order.wire() };
    let (asked, outgoing) = match probe.request() {
        Ok(peek) => (modes::asked::asked(operation, &peek), outgoing(&peek, &order)),
        Err(error) => {
            let field = "health_check_params".to_owned();
            let unfit = hale_wire::neutral::Unfit { field, message: error.to_string() };
            (Units::default(), Err(unfit))
        }
    };
    Built { kind, model, tokens, asked, sent: Some(Sent { way, outgoing }) }
}

/// Whether it is one of OpenAI's models that call the limit `max_completion_tokens`.
fn names_limit_anew(deployment: &Deployment) -> bool {
    matches!(&*deployment.endpoint.provider.name, "openai" | "azure")
        && deployment.facts.supports_reasoning == Some(true)
}

/// The most tokens that the answer may have.
fn tokens(serving: &Serving, deployment: &Deployment, operation: Operation) -> Option<u32> {
    let (rules, settings) = (&deployment.probing, &serving.snapshot.checks);
    if rules.supports_max_tokens == Some(false) && !operation.requires("max_tokens") {
        return None;
    }
    let is_pattern = deployment.endpoint.upstream_model.contains('*');
    let reasons = deployment.facts.supports_reasoning == Some(true);
    let of_kind = if reasons {
        rules.max_tokens_reasoning.or(settings.max_tokens_reasoning)
    } else {
        rules.max_tokens_non_reasoning
    };
    let default = if is_pattern { MAX_TOKENS_PATTERN } else { MAX_TOKENS };
    let wanted = rules.max_tokens.or(of_kind.filter(|_| !is_pattern)).or(settings.max_tokens);
    Some(wanted.unwrap_or(default).max(deployment.state.checks().token_floor().unwrap_or(0)))
}

impl Built {
    /// A number that two checks have in common when they are the same, byte for byte, and go to the same
    /// place.
    pub(super) fn identity(&self, serving: &Serving, index: DeploymentIndex) -> u64 {
        let deployment = serving.snapshot.deployment(index);
        let target = serving.target(index);
        let mut hash = DefaultHasher::new();
        place(serving, index).hash(&mut hash);
        match &self.sent {
            Some(Sent { outgoing: Ok(Outgoing::Body(called, body)), .. })
                if deployment.endpoint.mock.is_none() =>
            {
                let (called, transfer) = (*called, Transfer::Whole);
                let model = &self.model;
                let path = target.path(PathCall { called, transfer, model, object: None });
                path.as_str().hash(&mut hash);
                body.hash(&mut hash);
            }
            // Nothing goes out, or something that is no request: it is only like itself.
            _ => (deployment.id.as_bytes(), "alone").hash(&mut hash),
        }
        // Tokens of an identity are not in the headers.
        if target.credential.is_dynamic() {
            deployment.id.hash(&mut hash);
        }
        hash.finish()
    }

    /// What it costs as far as can be told before, in units of 10^-9 USD.
    pub(super) fn estimate(&self, deployment: &Deployment) -> u64 {
        match self.kind {
            ProbeKind::Free | ProbeKind::Unserved => 0,
            // No model runs for it, or nothing is said to it.
            ProbeKind::Call(operation) if operation.is_of_files() || operation.switches() => 0,
            ProbeKind::Call(_) => {
                let output = u64::from(self.tokens.unwrap_or(0));
                let (input, units) = (PROMPT_TOKENS, self.asked);
                cost(deployment, Usage { input, output, units, ..Usage::default() })
            }
        }
    }
}

/// A number for what is asked under the deployment's id: where, as whom, and for which model.
pub(super) fn asked(serving: &Serving, index: DeploymentIndex) -> u64 {
    let deployment = serving.snapshot.deployment(index);
    let mut hash = DefaultHasher::new();
    place(serving, index).hash(&mut hash);
    (&deployment.endpoint.upstream_model, &deployment.facts.mode, &deployment.probing.model)
        .hash(&mut hash);
    hash.finish()
}

/// A number for the credential that the deployment is asked with.
pub(super) fn credential(serving: &Serving, deployment: &Deployment) -> u64 {
    let upstream = &serving.target(deployment.index).upstream.key;
    let mut hash = DefaultHasher::new();
    match &deployment.credential.api_key {
        Some(key) => (upstream, key).hash(&mut hash),
        None => (upstream, &*deployment.id).hash(&mut hash),
    }
    hash.finish()
}

/// A number for where the deployment is and as whom it is asked.
fn place(serving: &Serving, index: DeploymentIndex) -> u64 {
    let target = serving.target(index);
    let mut hash = DefaultHasher::new();
    target.upstream.key.hash(&mut hash);
    target.upstream.base_path.hash(&mut hash);
    hash_headers(&target.headers, &mut hash);
    hash.finish()
}

fn hash_headers(headers: &HeaderMap, hash: &mut DefaultHasher) {
    for (name, value) in headers {
        name.as_str().hash(hash);
        value.as_bytes().hash(hash);
    }
}

/// What `usage` costs, in units of 10^-9 USD. A model without a price costs what the dearest of its
/// provider does; where no price is known at all it is taken to be one's own.
fn cost(deployment: &Deployment, usage: Usage) -> u64 {
    if deployment.endpoint.mock.is_some() {
        return 0;
    }
    let dearest = || {
        let known = prices::of_provider(&deployment.endpoint.provider.name);
        known.filter_map(|(_, facts)| facts.cost_usd(&usage)).reduce(f64::max)
    };
    let usd = deployment.facts.cost_usd(&usage).or_else(dearest).unwrap_or(0.0);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative")]
    let nano = (usd * 1e9) as u64;
    nano
}

/// Bounds a check of `deployment`.
pub(super) fn limit(serving: &Serving, deployment: &Deployment) -> Duration {
    let ms = deployment.probing.timeout_ms.unwrap_or(serving.snapshot.checks.timeout_ms);
    Duration::from_millis(ms)
}

/// Checks the deployment at `index`.
pub(super) async fn probe(
    process: &Arc<Process>,
    serving: &Serving,
    index: DeploymentIndex,
    free_only: bool,
) -> Checked {
    let deployment = serving.snapshot.deployment(index);
    let _counted = Counted::new(process);
    let started = clock::now().millis();
    let ends =
        started.plus(u64::try_from(limit(serving, deployment).as_millis()).unwrap_or(u64::MAX));
    let mut built = build(serving, deployment, free_only);
    let asker = Asker { process, serving, index, deployment };
    let mut outcome = asker.ask(&built, ends).await;
    if let Err(failed) = &outcome
        && learn(deployment, failed, built.tokens)
    {
        built = build(serving, deployment, free_only);
        outcome = asker.ask(&built, ends).await;
    }
    let mut checked = Checked {
        started,
        ended: clock::now().millis(),
        finding: Finding::Healthy,
        cause: None,
        status: None,
        obstacle: None,
        message: Box::default(),
        model: built.model.clone(),
        headers: Vec::new(),
    };
    match outcome {
        Ok(Some(answered)) => {
            checked.headers = kept(&answered.headers);
            let usage = match answered.content {
                Content::Full(_, usage, _) => usage,
                Content::Socket(socket) => {
                    socket.goodbye(ends.since(checked.ended)).await;
                    None
                }
                // Bytes of which the first is proof enough.
                Content::Stream(stream) => stream.reader.usage(),
            };
            let spent = usage.map_or_else(|| built.estimate(deployment), |u| cost(deployment, u));
            process.health.nano_usd.fetch_add(spent, Ordering::Relaxed);
            let more = spent.saturating_sub(built.estimate(deployment));
            process.health.ledger.lock().add(checked.ended, &deployment.id, more);
        }
        Ok(None) => {
            checked.finding = Finding::Unknown(looked(built.kind));
            if built.kind == ProbeKind::Unserved {
                checked.message = one_line(&unserved(deployment));
            }
        }
        Err(failed) => {
            checked.finding = finding(deployment, &built, &failed);
            checked.cause = Some(failed.cause);
            checked.status = failed.status;
            checked.obstacle = failed.obstacle;
            checked.message = one_line(&failed.error.message);
            process.health.failed.fetch_add(
                u64::from(matches!(checked.finding, Finding::Failing(_))),
                Ordering::Relaxed,
            );
            tracing::debug!(
                deployment = &*deployment.id,
                cause = failed.cause.name(),
                finding = ?checked.finding,
                "a check got no good answer"
            );
        }
    }
    checked
}

/// How long the list of models may take where it is only wanted for advice.
const LIST_PATIENCE: Duration = Duration::from_secs(5);
/// Models of a list that are read.
const LISTED_MAX: usize = 2_000;

/// The models that the deployment's provider lists, to advise somebody who named none of them; empty where
/// there is no list.
pub(crate) async fn listed(
    process: &Arc<Process>,
    serving: &Serving,
    index: DeploymentIndex,
) -> Vec<Box<str>> {
    #[derive(serde::Deserialize)]
    struct List {
        data: Vec<Entry>,
    }
    #[derive(serde::Deserialize)]
    struct Entry {
        id: Box<str>,
    }
    let deployment = serving.snapshot.deployment(index);
    let asker = Asker { process, serving, index, deployment };
    let dialect = Dialect::default();
    let ask = asker.asking(&deployment.endpoint.upstream_model, &dialect);
    let limit = limit(serving, deployment).min(LIST_PATIENCE);
    let Ok(text) = asker.look(&ask, limit).await else { return Vec::new() };
    let list: Option<List> = serde_json::from_slice(&text).ok();
    let ids = list.into_iter().flat_map(|list| list.data).map(|entry| one_line(&entry.id));
    ids.take(LISTED_MAX).collect()
}

/// What a refused check proves.
fn finding(deployment: &Deployment, built: &Built, failed: &Failed) -> Finding {
    let judged = judge(&Refusal {
        cause: failed.cause,
        status: failed.status,
        error: &failed.error,
        hint_ms: failed.hint_ms,
        has_mode: deployment.probing.has_mode,
        many_models: deployment.endpoint.upstream_model.contains('*'),
    });
    // There need not be a list of models.
    let is_look = matches!(built.kind, ProbeKind::Free | ProbeKind::Unserved);
    match judged {
        Finding::Failing(Cause::BadResponse) if is_look && failed.status == Some(200) => {
            Finding::ProbeError
        }
        Finding::Failing(Cause::NotFound) | Finding::Unknown(_) | Finding::ProbeError
            if is_look && failed.status.is_some() =>
        {
            Finding::Unknown(looked(built.kind))
        }
        judged => judged,
    }
}

/// What a look at the list of models leaves open.
fn looked(kind: ProbeKind) -> Doubt {
    match kind {
        ProbeKind::Unserved => Doubt::Unserved,
        ProbeKind::Free | ProbeKind::Call(_) => Doubt::Shallow,
    }
}

/// Whether the provider says how it wants to be asked, so that asking again makes sense.
fn learn(deployment: &Deployment, failed: &Failed, sent: Option<u32>) -> bool {
    let checks = deployment.state.checks();
    let Some(sent) = sent.filter(|_| failed.cause == Cause::BadRequest) else { return false };
    if let Some(floor) = token_floor(&failed.error, sent) {
        checks.learn_floor(floor);
        return true;
    }
    let wants_other_name = failed.error.message.contains("max_completion_tokens")
        && failed.error.message.contains("nsupported");
    wants_other_name && checks.learn_completion_tokens()
}

fn kept(headers: &HeaderMap) -> Vec<(&'static str, Box<str>)> {
    let kept = KEPT_HEADERS.into_iter();
    kept.filter_map(|name| Some((name, headers.get(name)?.to_str().ok()?.into()))).collect()
}

fn one_line(text: &str) -> Box<str> {
    let line: String =
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MESSAGE_MAX).collect();
    line.trim().into()
}

/// Who is asked, for a check and its repetition.
struct Asker<'a> {
    process: &'a Arc<Process>,
    serving: &'a Serving,
    index: DeploymentIndex,
    deployment: &'a Arc<Deployment>,
}

impl Asker<'_> {
    /// The question, without what goes out.
    fn asking<'q>(&'q self, model: &'q str, dialect: &'q Dialect) -> Ask<'q> {
        Ask {
            process: self.process,
            serving: self.serving,
            way: Way { operation: Operation::Chat, wire: self.deployment.endpoint.provider.wire },
            upstream_model: model,
            object: None,
            outgoing: Ok(Outgoing::Estimate(bytes::Bytes::new())),
            dialect,
            stream: false,
            plain: false,
            asked: Units::default(),
            view: View {
                model_json: "\"\"".into(),
                show_usage: false,
                created: 0,
                upstream_model: None,
                issuer: None,
            },
            model,
            call_id: "health-check",
            admin: true,
            policy_moves_on: false,
        }
    }

    /// The list of models, as it comes.
    async fn look(&self, ask: &Ask<'_>, limit: Duration) -> Result<bytes::Bytes, Failed> {
        let target = self.serving.target(self.index);
        let path = target.models_path();
        let mut looked = look(ask, target, &path, limit).await;
        if let Err(failed) = &mut looked {
            self.deployment.hide_credentials(&mut failed.error);
        }
        looked
    }

    /// `None` where no model ran.
    async fn ask(
        &self,
        built: &Built,
        ends: hale_core::time::Millis,
    ) -> Result<Option<Answered>, Failed> {
        let dialect = Dialect::default();
        let mut ask = self.asking(&built.model, &dialect);
        self.process.health.probes.fetch_add(1, Ordering::Relaxed);
        let left_ms = ends.since(clock::now().millis());
        // What is said to have been too short is the limit as it is configured.
        let limit = limit(self.serving, self.deployment).as_millis();
        let limit_ms = u64::try_from(limit).unwrap_or(u64::MAX);
        let Some(sent) = &built.sent else {
            if self.deployment.endpoint.mock.is_some() {
                return Ok(None);
            }
            let list = self.look(&ask, Duration::from_millis(left_ms)).await?;
            if built.kind == ProbeKind::Free {
                expect_list(&list)?;
            }
            return Ok(None);
        };
        let transcribes = sent.way.operation == Operation::Realtime
            && TRANSCRIBERS.iter().any(|part| built.model.contains(part));
        let intent = ObjectPath { id: Box::default(), query: "intent=transcription".into() };
        ask.object = transcribes.then_some(&intent);
        ask.way = sent.way;
        ask.asked = built.asked;
        ask.outgoing = sent.outgoing.clone();
        let plan = AttemptPlan {
            deployment: self.index,
            trial: hale_core::health::Trial::NONE,
            ends,
            ends_by_caller: false,
            silence_ms: limit_ms,
            silence_by_caller: false,
            claim: hale_core::health::Claim::default(),
            timeout_ms: limit_ms,
            stream_ends: hale_core::time::Millis::NEVER,
        };
        attempt(&ask, &plan, AttemptGuard::check(self.deployment, &plan)).await.map(Some)
    }
}

/// A check under way, for as long as it lives.
struct Counted<'p>(&'p Process);

impl Counted<'_> {
    fn new(process: &Process) -> Counted<'_> {
        process.health.in_flight.fetch_add(1, Ordering::Relaxed);
        Counted(process)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.health.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
