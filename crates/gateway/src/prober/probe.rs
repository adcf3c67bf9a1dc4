//! One probe of one deployment.
//!
//! Called by [`super::thread`] and [`super::round`]. Always true: it is sent by the attempt code of traffic; it
//! does not touch the counters, latencies, budgets or cooldowns of traffic; it ends within its time limit.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use hale_core::cause::Cause;
use hale_core::deployment::{Deployment, DeploymentIndex, Taught};
use hale_core::health::Obstacle;
use hale_core::health::outcome::About;
use hale_core::health::probe::{
    Doubt, Finding, ProbeKind, ProbeResult, Refusal, judge, token_floor, unserved,
};
use hale_core::operation::Operation;
use hale_core::provider::WireFormat;
use hale_core::route::SetBy;
use hale_core::time::Millis;
use hale_core::usage::Usage;
use hale_wire::stream::View;
use http::HeaderMap;

use super::request::{ProbeRequest, Spending, build, cost};
use crate::advice;
use crate::clock;
use crate::proxy::attempt::{
    AnswerForm, Answered, Attempt, Audience, Call, Content, Destination, Expect, Failed,
    OperationCall, PolicyStop, Scope, TimeLimit, Unprepared, expect_list, note_learned,
};
use crate::proxy::attempt_guard::AttemptGuard;
use crate::proxy::dialect::Dialect;
use crate::state::{Process, Serving};
use crate::upstream::{ObjectPath, SendProgress};

/// Name parts of realtime models that only transcribe and need `intent=transcription`, as in LiteLLM.
const TRANSCRIBERS: [&str; 2] = ["transcribe", "whisper"];
/// Error messages are cut to this length, characters.
const MESSAGE_MAX: usize = 500;
/// How often a probe is sent again, because its refusal taught something.
const TAUGHT_MAX: u32 = 3;
/// The answer's headers that `/health` shows, as in LiteLLM.
const SHOWN_HEADERS: [&str; 3] =
    ["x-ratelimit-remaining-requests", "x-ratelimit-remaining-tokens", "x-ms-region"];

/// The time limit of a probe of `deployment`.
pub(super) fn limit(serving: &Serving, deployment: &Deployment) -> Duration {
    let ms = deployment.probing.timeout_ms.unwrap_or(serving.snapshot.probing.timeout_ms);
    Duration::from_millis(ms)
}

/// Probes the deployment at `index`.
pub(super) async fn probe(
    process: &Arc<Process>,
    serving: &Serving,
    index: DeploymentIndex,
    spending: Spending,
) -> ProbeResult {
    let deployment = serving.snapshot.deployment(index);
    let _counted = Counted::new(process);
    let started = clock::now().millis();
    let ends = started.plus(as_ms(limit(serving, deployment)));
    let mut taught = Taught::default();
    let mut request = build(serving, deployment, (spending, &taught));
    let prober = Prober { process, serving, deployment };
    let mut outcome = prober.send(&request, ends).await;
    for _ in 0..TAUGHT_MAX {
        let Err(failed) = &outcome else { break };
        let at = (&**deployment, &*request.model);
        match failed.teaches(taught.known(at)) {
            Some(lesson) => taught.add(at, lesson),
            None if learn(deployment, failed, request.tokens) => {}
            None => break,
        }
        request = build(serving, deployment, (spending, &taught));
        outcome = prober.send(&request, ends).await;
    }
    if matches!(outcome, Ok(Some(_)))
        && let Some(known) = taught.proved((deployment, &request.model))
    {
        note_learned(deployment, &request.model, known);
    }
    let ended = clock::now().millis();
    let verdict = match outcome {
        Ok(Some(answered)) => {
            let headers = shown(&answered.headers);
            let usage = match answered.content {
                Content::Full(_, usage, _) | Content::Empty(_, usage, _) => usage,
                Content::Socket(socket) => {
                    socket.goodbye(ends.since(ended)).await;
                    None
                }
                // The first bytes are proof enough.
                Content::Stream(stream) => stream.reader.usage(),
            };
            prober.spent(&request, usage, ended);
            Verdict { headers, ..Verdict::of(Finding::Healthy) }
        }
        Ok(None) => {
            let is_unserved = request.kind == ProbeKind::Unserved;
            let message = is_unserved.then(|| one_line(&unserved(deployment)));
            let finding = Finding::Unknown(unproved(request.kind));
            Verdict { message: message.unwrap_or_default(), ..Verdict::of(finding) }
        }
        Err(failed) => {
            let place = prober.place(&request, &failed, ends).await;
            prober.failed(&request, &failed, place)
        }
    };
    ProbeResult {
        started,
        ended,
        finding: verdict.finding,
        cause: verdict.cause,
        status: verdict.status,
        obstacle: verdict.obstacle,
        message: verdict.message,
        model: request.model,
        headers: verdict.headers,
    }
}

/// What is known of the address of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Nothing, or that the server has pages there.
    Unknown,
    /// The server has none of the API's pages there.
    Empty,
}

/// What a probe found out.
struct Verdict {
    finding: Finding,
    cause: Option<Cause>,
    status: Option<u16>,
    obstacle: Option<Obstacle>,
    message: Box<str>,
    headers: Vec<(&'static str, Box<str>)>,
}

impl Verdict {
    fn of(finding: Finding) -> Verdict {
        Verdict {
            finding,
            cause: None,
            status: None,
            obstacle: None,
            message: Box::default(),
            headers: Vec::new(),
        }
    }
}

/// Longest wait for a list of models that is only used for advice.
const LIST_PATIENCE: Duration = Duration::from_secs(5);
/// How many models of a list are read.
const LISTED_MAX: usize = 2_000;

/// The models that the deployment's provider lists, to suggest one for a wrong name; empty without a list.
pub(crate) async fn listed(
    process: &Arc<Process>,
    serving: &Serving,
    index: DeploymentIndex,
) -> Vec<Box<str>> {
    #[derive(serde::Deserialize)]
    struct List {
        #[serde(default)]
        data: Vec<Entry>,
        // Google's own list, whose entries have names.
        #[serde(default)]
        models: Vec<Entry>,
    }
    #[derive(serde::Deserialize)]
    struct Entry {
        id: Option<Box<str>>,
        name: Option<Box<str>>,
    }
    let deployment = serving.snapshot.deployment(index);
    let prober = Prober { process, serving, deployment };
    let limit = limit(serving, deployment).min(LIST_PATIENCE);
    let ends = clock::now().millis().plus(as_ms(limit));
    let Ok(text) = prober.models(ends).await else { return Vec::new() };
    let list: Option<List> = serde_json::from_slice(&text).ok();
    let provider = deployment.endpoint.provider;
    let entries = list.into_iter().flat_map(|list| list.data.into_iter().chain(list.models));
    let names = entries.filter_map(|entry| entry.id.or(entry.name));
    let ids = names.map(|name| one_line(provider.listed_name(&name)));
    ids.take(LISTED_MAX).collect()
}

/// What a failed probe proves.
fn finding(deployment: &Deployment, request: &ProbeRequest, failed: &Failed) -> Finding {
    let judged = judge(&Refusal {
        cause: failed.cause,
        status: failed.status,
        about: failed.about,
        error: &failed.error,
        hint_ms: failed.hint_ms(),
        // Servers of Anthropic's format have chats only.
        has_mode: deployment.probing.has_mode
            || deployment.endpoint.provider.wire == WireFormat::Anthropic,
        many_models: deployment.endpoint.upstream_model.contains('*'),
    });
    // The provider may have no list of models.
    let is_list = matches!(request.kind, ProbeKind::Free | ProbeKind::Unserved);
    match judged {
        Finding::Failing(Cause::BadResponse) if is_list && failed.status == Some(200) => {
            Finding::ProbeError
        }
        Finding::Failing(Cause::NotFound) | Finding::Unknown(_) | Finding::ProbeError
            if is_list && failed.status.is_some() =>
        {
            Finding::Unknown(unproved(request.kind))
        }
        judged => judged,
    }
}

/// What a request for the list of models leaves unproved.
fn unproved(kind: ProbeKind) -> Doubt {
    match kind {
        ProbeKind::Unserved => Doubt::Unserved,
        ProbeKind::Free | ProbeKind::Call(_) => Doubt::Shallow,
    }
}

/// Learns from an error how the provider wants to be probed; true if a second probe makes sense.
fn learn(deployment: &Deployment, failed: &Failed, sent: Option<u32>) -> bool {
    let checks = deployment.state.probes();
    let Some(sent) = sent.filter(|_| failed.cause == Cause::BadRequest) else { return false };
    let Some(floor) = token_floor(&failed.error, sent) else { return false };
    if checks.token_floor() == Some(floor) {
        return false;
    }
    checks.learn_floor(floor);
    true
}

fn shown(headers: &HeaderMap) -> Vec<(&'static str, Box<str>)> {
    let names = SHOWN_HEADERS.into_iter();
    names.filter_map(|name| Some((name, headers.get(name)?.to_str().ok()?.into()))).collect()
}

fn one_line(text: &str) -> Box<str> {
    let line: String =
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MESSAGE_MAX).collect();
    line.trim().into()
}

/// Sends the probes of one deployment.
struct Prober<'a> {
    process: &'a Arc<Process>,
    serving: &'a Serving,
    deployment: &'a Arc<Deployment>,
}

impl Prober<'_> {
    /// Charges an answer to the day's budget of probes.
    fn spent(&self, request: &ProbeRequest, usage: Option<Usage>, now: Millis) {
        let deployment = self.deployment;
        let spent = usage.map_or_else(|| request.estimate(deployment), |u| cost(deployment, u));
        self.process.health.nano_usd.fetch_add(spent, Ordering::Relaxed);
        let more = spent.saturating_sub(request.estimate(deployment));
        self.process.health.limits.lock().ledger.add(now, &deployment.id, more);
    }

    /// Judges a probe without a good answer, and counts it.
    fn failed(&self, request: &ProbeRequest, failed: &Failed, place: Place) -> Verdict {
        let finding = match finding(self.deployment, request, failed) {
            Finding::Unknown(Doubt::NoPath) if place == Place::Empty => {
                Finding::Failing(Cause::NotFound)
            }
            found => found,
        };
        let cause = if let Finding::Failing(cause) = finding { cause } else { failed.cause };
        let verdict = Verdict {
            cause: Some(cause),
            status: failed.status,
            obstacle: failed.obstacle,
            message: one_line(&failed.error.message),
            ..Verdict::of(finding)
        };
        let disproves = matches!(verdict.finding, Finding::Failing(_));
        self.process.health.failed.fetch_add(u64::from(disproves), Ordering::Relaxed);
        tracing::debug!(
            deployment = &*self.deployment.display.name,
            cause = failed.cause.name(),
            finding = ?verdict.finding,
            "a probe got no good answer"
        );
        verdict
    }

    /// Whether the server has anything below an address without a version, where it does not have what was probed: a model
    /// of another mode is on its list.
    async fn place(&self, request: &ProbeRequest, failed: &Failed, ends: Millis) -> Place {
        let is_about_address = failed.about == About::Address && request.operation.is_some();
        if !is_about_address || advice::has_version(self.deployment) {
            return Place::Unknown;
        }
        match self.models(ends).await {
            Ok(list) if expect_list(&list).is_ok() => Place::Unknown,
            Err(failed) if failed.about != About::Address => Place::Unknown,
            Ok(_) | Err(_) => Place::Empty,
        }
    }

    /// Sends `request`; `None` if no model ran.
    async fn send(&self, request: &ProbeRequest, ends: Millis) -> Result<Option<Answered>, Failed> {
        self.process.health.probes.fetch_add(1, Ordering::Relaxed);
        let Some(operation) = &request.operation else {
            if self.deployment.endpoint.mock.is_none() {
                let list = self.models(ends).await?;
                if request.kind == ProbeKind::Free {
                    expect_list(&list)?;
                }
            }
            return Ok(None);
        };
        let transcribes = operation.conversion.operation == Operation::Realtime
            && TRANSCRIBERS.iter().any(|part| request.model.contains(part));
        let intent = ObjectPath { id: Box::default(), query: "intent=transcription".into() };
        let dialect = Dialect::default();
        let call = OperationCall {
            conversion: operation.conversion,
            prepared: operation.prepared.clone().map_err(Unprepared::Unfit),
            dialect: &dialect,
            object: transcribes.then_some(&intent),
            passed: None,
            simulated: None,
            traced: None,
            behind: None,
            is_tapped: false,
            expect: Expect {
                form: AnswerForm::Json,
                shown_model: Cow::Borrowed(&request.model),
                view: View::default(),
                units: request.units,
                policy_stop: PolicyStop::IsAnswer,
            },
        };
        self.attempt(&request.model, Call::Operation(Box::new(call)), ends).await.map(Some)
    }

    /// Fetches the provider's list of models.
    async fn models(&self, ends: Millis) -> Result<Bytes, Failed> {
        let model = &self.deployment.endpoint.upstream_model;
        let answered = self.attempt(model, Call::ModelList, ends).await?;
        match answered.content {
            Content::Full(list, _, _) | Content::Empty(list, _, _) => Ok(list),
            Content::Stream(_) | Content::Socket(_) => Ok(Bytes::new()),
        }
    }

    async fn attempt(&self, model: &str, call: Call<'_>, ends: Millis) -> Result<Answered, Failed> {
        let (serving, deployment) = (self.serving, self.deployment);
        // A timeout's message names the configured limit, not the remaining time.
        let limit_ms = as_ms(limit(serving, deployment));
        let limit = TimeLimit { ends, set_by: SetBy::Config, timeout_ms: limit_ms };
        let target = serving.target(deployment.index);
        let attempt = Attempt {
            scope: Scope {
                process: self.process,
                serving,
                call_id: "health-check",
                audience: Audience::Operator,
            },
            destination: Destination { deployment, target, model: Cow::Borrowed(model) },
            call,
            limit,
            progress: &SendProgress::default(),
        };
        attempt.run(AttemptGuard::probe(deployment)).await
    }
}

fn as_ms(limit: Duration) -> u64 {
    u64::try_from(limit.as_millis()).unwrap_or(u64::MAX)
}

/// Counts a probe as in flight while it lives.
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
