//! The edits of a request body in the OpenAI format, for an upstream that speaks it.
//!
//! Called once per attempt. Always true: only top-level members change; the edits come from the deployment, the row of
//! its provider and the table of fields.

use std::borrow::Cow;

use serde_json::Value;

use crate::bytes::edit::{Edit, json_string};
use crate::bytes::payload::Payload;
use crate::bytes::peek::{Names, Peek};
use crate::formats::codec::{self, Codec, Own};
use crate::formats::metadata::is_map_of_strings;
use crate::formats::order::Order;

/// Parameters that only OpenAI supports; left out for other providers if `drop_params` is on.
static OPENAI_ONLY: Names = Names::new(&[
    "store",
    "service_tier",
    "prediction",
    "modalities",
    "audio",
    "web_search_options",
    "prompt_cache_key",
    "safety_identifier",
    "verbosity",
]);

/// Defaults of a deployment that apply to text only, not to images, speech, moderations, rerank and OCR.
static TEXT_ONLY: Names = Names::new(&[
    "audio",
    "frequency_penalty",
    "function_call",
    "functions",
    "logit_bias",
    "logprobs",
    "max_completion_tokens",
    "max_output_tokens",
    "max_tokens",
    "modalities",
    "parallel_tool_calls",
    "prediction",
    "presence_penalty",
    "reasoning_effort",
    "stop",
    "stream_options",
    "temperature",
    "thinking",
    "tool_choice",
    "tools",
    "top_k",
    "top_logprobs",
    "top_p",
    "verbosity",
    "web_search_options",
]);

/// The body for the upstream.
pub(crate) fn request_body(peek: &Peek, order: &Order<'_>) -> Payload {
    peek.payload(&edits(peek, order))
}

fn edits<'e>(peek: &'e Peek, order: &Order<'e>) -> Vec<Edit<'e>> {
    let deployment = order.deployment;
    let provider = deployment.endpoint.provider;
    let mut edits = Vec::with_capacity(8);
    edits.push(Edit::Set("model", Cow::Owned(json_string(order.upstream_model))));
    edits.extend(deployment.endpoint.dropped_params.iter().map(|name| Edit::Remove(name)));
    if order.ask_usage && order.operation.has_stream_options() {
        edits.push(Edit::Set("stream_options", stream_options(peek.raw("stream_options"))));
    }
    for name in peek.removed() {
        edits.push(Edit::Remove(name));
    }
    if let Some(raw) = peek.raw("metadata")
        && !(&*provider.name == "openai" && peek.form().is_none() && is_map_of_strings(raw))
    {
        edits.push(Edit::Remove("metadata"));
    }
    if order.drop_params && &*provider.name != "openai" {
        for name in peek.holds(&OPENAI_ONLY) {
            edits.push(Edit::Remove(name));
        }
    }
    if provider.quirks.force_store_false && order.operation.mode() == "chat" {
        edits.push(Edit::Set("store", Cow::Borrowed("false")));
    }
    if let Some(max) = provider.constraints.temperature_max
        && peek.raw("temperature").and_then(|raw| raw.parse::<f64>().ok()).is_some_and(|t| t > max)
    {
        edits.push(Edit::Set("temperature", Cow::Owned(max.to_string())));
    }
    if provider.quirks.convert_content_list_to_string
        && let Some(messages) = peek.raw("messages").and_then(join_text_parts)
    {
        edits.push(Edit::Set("messages", Cow::Owned(messages)));
    }
    for (from, to) in &provider.rename_params {
        edits.push(Edit::Rename(from, to));
    }
    let known = |name: &str| match codec::of(order.operation) {
        Codec::Completions(_) | Codec::Messages(_) | Codec::Counter => true,
        Codec::Modes(Own::Transcript) => !TEXT_ONLY.has(name) || name == "temperature",
        Codec::Modes(_)
        | Codec::Responses(_)
        | Codec::Files(_)
        | Codec::Batches(_)
        | Codec::Opaque => !TEXT_ONLY.has(name),
    };
    for (name, value) in deployment.endpoint.default_params.iter().filter(|(name, _)| known(name)) {
        edits.push(Edit::Default(name, value));
    }
    edits
}

/// The client's `stream_options` with `include_usage` set.
fn stream_options(given: Option<&str>) -> Cow<'static, str> {
    const ASK: &str = r#"{"include_usage":true}"#;
    let Some(Ok(Value::Object(mut options))) = given.map(serde_json::from_str) else {
        return Cow::Borrowed(ASK);
    };
    options.insert("include_usage".to_owned(), Value::Bool(true));
    Cow::Owned(Value::Object(options).to_string())
}

/// Messages with each content that is a list of texts joined to one text; `None` if there is no such content.
fn join_text_parts(raw: &str) -> Option<String> {
    let mut messages: Vec<Value> = serde_json::from_str(raw).ok()?;
    let mut changed = false;
    for message in &mut messages {
        let Some(content) = message.get_mut("content") else { continue };
        let Some(parts) = content.as_array() else { continue };
        let texts: Option<Vec<&str>> =
            parts.iter().map(|part| part.get("text").and_then(Value::as_str)).collect();
        if let Some(texts) = texts {
            *content = Value::String(texts.concat());
            changed = true;
        }
    }
    changed.then(|| Value::Array(messages).to_string())
}

#[cfg(test)]
mod tests;
