//! Records as what their requests cost: rows of the ledger, of requests and of days.
//!
//! Given by [`super::Sinks`] to a store that does not wait. Always true: a record is given once; the accounts of its key, team, user and
//! organization are told which batch has it.

use hale_core::money::Money;
use hale_core::operation::Operation;
use hale_core::record::{BilledCall, Ending, RequestRecord, Said};
use hale_core::tenancy::Charged;
use hale_core::usage::CountedBy;
use hale_store::{SpentCall, SpentPeriod, SpentRequest, SpentTexts, Store};
use serde_json::{Value, json};

use crate::keys::Keys;

/// What stands for the hash of the master key, and for its user.
pub(crate) const MASTER_KEY: &str = "litellm_proxy_master_key";
pub(crate) const MASTER_USER: &str = "default_user_id";
/// Longest text of what was said that is kept, characters, as in the reference.
const SAID_MAX: usize = 2_048;

/// Whether what was said is kept with what it cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prompts {
    /// No.
    LeftOut,
    /// Yes.
    Kept,
}

/// Gives records to the store.
pub(super) fn write(store: &Store, keys: &Keys, prompts: Prompts, batch: &[RequestRecord]) {
    for record in batch.iter().filter(|record| is_billable(record)) {
        let calls: Vec<SpentCall<'_>> =
            record.calls.iter().map(|call| spent_call(record, call)).collect();
        let tags = tags(record);
        let to = record.billed_to.as_deref();
        let charged = to.map_or(&[][..], |to| &to.charged);
        let counters: Vec<SpentPeriod<'_>> = charged.iter().filter_map(period).collect();
        let request = SpentRequest { counters: &counters, ..spent_request(record, &tags, &calls) };
        let cost = Money::of_parts(request.cost_nano());
        if let Some(number) = store.put_spent(&request, || texts(record, prompts))
            && let Some(identity) = &record.identity
        {
            let end_user = to.and_then(|to| to.end_user.as_deref());
            keys.handed(identity, (end_user, &tags, charged), (cost, number));
        }
    }
}

/// The period that a level was charged for, if it has a counter.
pub(crate) fn period(charged: &Charged) -> Option<SpentPeriod<'_>> {
    let counter = charged.level.counter.as_ref()?;
    Some(SpentPeriod {
        kind: counter.kind,
        id: &counter.id,
        model: &counter.model,
        period: &counter.period,
        ends: charged.ends?.0,
        cost_nano: charged.cost.parts(),
    })
}

/// Whether a record is of a request that has a row: it called an upstream, was answered by the cache, or its key is known.
fn is_billable(record: &RequestRecord) -> bool {
    record.identity.is_some() || record.billed_to.is_some() || !record.calls.is_empty()
}

/// What only the rows of a single request have.
fn texts(record: &RequestRecord, prompts: Prompts) -> SpentTexts {
    let counts = |call: &BilledCall| match &call.bill {
        Some(bill) => bill.usage.counts().to_string(),
        None => "{}".to_owned(),
    };
    let to = record.billed_to.as_deref();
    let (messages, response) = match prompts {
        Prompts::LeftOut => (String::new(), String::new()),
        Prompts::Kept => said(record),
    };
    SpentTexts {
        counts: record.calls.iter().map(counts).collect(),
        metadata: metadata(record).to_string(),
        address: to.and_then(|to| to.address).map(|address| address.to_string()),
        messages,
        response,
    }
}

fn spent_call<'r>(record: &RequestRecord, call: &'r BilledCall) -> SpentCall<'r> {
    let usage = call.bill.map(|bill| bill.usage).unwrap_or_default();
    let at = |us: u64| record.arrived_unix_ms.saturating_add(us / 1_000);
    SpentCall {
        deployment: &call.deployment.id,
        model_group: &call.model_group,
        provider: &call.deployment.endpoint.provider.name,
        model: &call.model,
        pattern: Some(&*call.deployment.endpoint.model_param).filter(|name| name.contains('*')),
        address: call.deployment.endpoint.host(),
        status: call.status,
        cause: call.cause.map(hale_core::cause::Cause::name),
        began_at: at(call.began_us),
        ended_at: at(call.ended_us),
        input_tokens: usage.input,
        output_tokens: usage.output,
        cache_read_tokens: usage.cached_input,
        cache_write_tokens: usage.cache_creation,
        counted_by: match call.bill.map(|bill| bill.counted_by) {
            Some(CountedBy::Provider) => "provider",
            Some(CountedBy::Estimate) => "estimate",
            None => "none",
        },
        cost_nano: call.bill.and_then(|bill| bill.cost).map(Money::parts),
    }
}

fn spent_request<'r>(
    record: &'r RequestRecord,
    tags: &'r [Box<str>],
    calls: &'r [SpentCall<'r>],
) -> SpentRequest<'r> {
    let to = record.billed_to.as_deref();
    let identity = record.identity.as_deref();
    let is_master = identity.is_none() && to.is_some_and(|to| to.by_master_key);
    let of_master = |text: &'static str| is_master.then_some(text);
    let at = |us: u64| record.arrived_unix_ms.saturating_add(us / 1_000);
    SpentRequest {
        at: record.arrived_unix_ms,
        ended_at: at(record.duration_us),
        first_content_at: record.first_content_us.map(at),
        call_id: &record.call_id,
        operation: record.operation.name(),
        call_type: call_type(record.operation),
        endpoint: match record.operation.is_passed_through() {
            true => "/pass-through",
            false => record.operation.upstream_path(),
        },
        key: identity.map(|it| &*it.key).or(of_master(MASTER_KEY)).unwrap_or_default(),
        user: identity.map_or(of_master(MASTER_USER), |it| it.user.as_deref()),
        team: identity.and_then(|it| it.team.as_deref()),
        organization: identity.and_then(|it| it.organization.as_deref()),
        end_user: to.and_then(|to| to.end_user.as_deref()),
        session: to.and_then(|to| to.session.as_deref()),
        tags,
        counters: &[],
        requested_model: record.requested_model.as_deref(),
        model_group: record.model_group.as_deref(),
        pattern: record.model_pattern.as_deref(),
        is_failed: record.ending != Ending::Success,
        is_from_cache: record.cache.is_some(),
        is_correction: false,
        calls,
    }
}

/// The tags of a record: as in LiteLLM also its program, and the program with its version.
fn tags(record: &RequestRecord) -> Vec<Box<str>> {
    let Some(to) = record.billed_to.as_deref() else { return Vec::new() };
    let mut tags = to.tags.clone();
    if let Some(agent) = &to.agent {
        let program = agent.split('/').next().unwrap_or_default();
        tags.extend([program, agent].map(|name| format!("User-Agent: {name}").into()));
        tags.dedup();
    }
    tags
}

/// What LiteLLM calls an operation.
fn call_type(operation: Operation) -> &'static str {
    match operation.name() {
        "chat_completions" => "acompletion",
        "completions" => "atext_completion",
        "embeddings" => "aembedding",
        "messages" => "anthropic_messages",
        "responses" => "aresponses",
        "images_generations" => "aimage_generation",
        "images_edits" => "aimage_edit",
        "audio_transcriptions" => "atranscription",
        "audio_speech" => "aspeech",
        "moderations" => "amoderation",
        "rerank" => "arerank",
        "ocr" => "aocr",
        "realtime" => "_arealtime",
        "files" => "acreate_file",
        "batches" => "acreate_batch",
        _ if operation.is_passed_through() => "pass_through_endpoint",
        other => other,
    }
}

fn metadata(record: &RequestRecord) -> Value {
    let identity = record.identity.as_deref();
    let to = record.billed_to.as_deref();
    let error = record.cause.filter(|_| record.ending != Ending::Success).map(|cause| {
        json!({
            "error_class": cause.name(), "error_code": record.status.to_string(),
            "llm_provider": record.calls.last().map(|call| &*call.deployment.endpoint.provider.name),
        })
    });
    let estimated = record.calls.iter().filter_map(|call| call.bill);
    let is_estimated = estimated.clone().any(|bill| bill.counted_by == CountedBy::Estimate);
    let is_unpriced = estimated.clone().any(|bill| bill.cost.is_none());
    json!({
        "user_api_key": identity.map(|it| &*it.key),
        "user_api_key_alias": identity.and_then(|it| it.key_alias.as_deref()),
        "user_api_key_user_id": identity.and_then(|it| it.user.as_deref()),
        "user_api_key_team_id": identity.and_then(|it| it.team.as_deref()),
        "user_api_key_team_alias": identity.and_then(|it| it.team_alias.as_deref()),
        "user_api_key_org_id": identity.and_then(|it| it.organization.as_deref()),
        "user_agent": to.and_then(|to| to.agent.as_deref()),
        "attempted_retries": record.retries,
        "attempted_fallbacks": record.fallbacks,
        "litellm_overhead_time_ms": record.overhead_us / 1_000,
        "usage_object": record.usage.map(|usage| usage.counts()),
        "usage_estimated": is_estimated,
        "price_unknown": is_unpriced,
        "status": if record.ending == Ending::Success { "success" } else { "failure" },
        "error_information": error,
    })
}

/// What was said, as JSON texts whose strings are short.
fn said(record: &RequestRecord) -> (String, String) {
    let Some(messages) = record.detail.as_ref().and_then(|detail| detail.messages.as_ref()) else {
        return (String::new(), String::new());
    };
    let shown = |body: &[u8]| serde_json::from_slice::<Value>(body).ok().map(short);
    let asked = messages.request.as_ref().and_then(|body| shown(body)).and_then(|mut body| {
        ["messages", "input", "contents", "prompt"]
            .iter()
            .find_map(|name| body.get_mut(*name).map(Value::take))
    });
    let answer = match &messages.answer {
        Said::Nothing => None,
        Said::Full(body) => shown(body),
        Said::Streamed(gathered) => Some(short(json!({
            "choices": [{"message": {"role": "assistant", "content": gathered.text}, "finish_reason": gathered.stop}],
        }))),
    };
    let text = |value: Option<Value>| value.map_or_else(String::new, |value| value.to_string());
    (text(asked), text(answer))
}

/// A value whose strings are cut.
fn short(value: Value) -> Value {
    match value {
        Value::String(text) => match text.char_indices().nth(SAID_MAX) {
            Some((end, _)) => Value::String(format!("{}... (cut)", &text[..end])),
            None => Value::String(text),
        },
        Value::Array(items) => Value::Array(items.into_iter().map(short).collect()),
        Value::Object(members) => {
            Value::Object(members.into_iter().map(|(name, value)| (name, short(value))).collect())
        }
        other => other,
    }
}
