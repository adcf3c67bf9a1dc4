//! The edits of a request body in the OpenAI format, for an upstream that speaks it.
//!
//! Called once per attempt. Always true: only top-level members change; the edits come from the deployment, the row of
//! its provider and the table of fields.

use std::borrow::Cow;

use hale_core::takes::Efforts;

use super::history::History;
use super::params;
use crate::bytes::edit::{self, Edit, json_string};
use crate::bytes::elements::elements;
use crate::bytes::members::texts;
use crate::bytes::object;
use crate::bytes::payload::Payload;
use crate::bytes::peek::{Names, Peek};
use crate::formats::codec::{self, Codec, Own};
use crate::formats::guards;
use crate::formats::left_out;
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
    continued_body(peek, order, &History::default())
}

/// The same for a client's chat, with what its history changes.
pub(crate) fn continued_body(peek: &Peek, order: &Order<'_>, history: &History) -> Payload {
    peek.payload(&edits(peek, order, history))
}

fn edits<'e>(peek: &'e Peek, order: &Order<'e>, history: &'e History) -> Vec<Edit<'e>> {
    let deployment = order.deployment;
    let provider = deployment.endpoint.provider;
    let mut edits = match order.operation.mode() {
        "chat" => guards::edits(peek, order),
        _ => Vec::new(),
    };
    edits.push(Edit::Set("model", Cow::Owned(json_string(order.model_in_body()))));
    edits.extend(deployment.endpoint.dropped_params.iter().map(|name| Edit::Remove(name)));
    if order.ask_usage && order.operation.has_stream_options() {
        edits.push(match order.known.has_no_stream_options() {
            true => Edit::Remove("stream_options"),
            false => Edit::Set("stream_options", stream_options(peek.raw("stream_options"))),
        });
    }
    if history.stops_thinking {
        edits.extend(no_thinking(order));
    }
    params::fit(peek, order, &mut edits);
    edits.extend(left_out::refused(peek, order));
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
        && let Some(messages) =
            history.messages.as_deref().or_else(|| peek.raw("messages")).and_then(join_text_parts)
    {
        edits.push(Edit::Set("messages", Cow::Owned(messages)));
    }
    for (name, changed) in [("messages", &history.messages), ("tools", &history.tools)] {
        edits.extend(changed.as_deref().map(|raw| Edit::Set(name, Cow::Borrowed(raw))));
    }
    if provider.quirks.thinking_switch && order.operation.mode() == "chat" {
        thinking_switch(peek, order, &mut edits);
    }
    if provider.quirks.lacks_float_format && peek.raw("encoding_format") == Some("\"float\"") {
        edits.push(Edit::Remove("encoding_format"));
    }
    for (from, to) in &provider.rename_params {
        edits.push(Edit::Rename(from, to));
    }
    defaults(peek, order, &mut edits);
    edits
}

/// Adds the deployment's defaults.
fn defaults<'e>(peek: &Peek, order: &Order<'e>, edits: &mut Vec<Edit<'e>>) {
    let deployment = order.deployment;
    let known = |name: &str| match codec::of(order.operation) {
        Codec::Completions(_) | Codec::Messages(_) | Codec::Contents(_) | Codec::Counter => true,
        Codec::Modes(Own::Transcript) => !TEXT_ONLY.has(name) || name == "temperature",
        Codec::Modes(_)
        | Codec::Responses(_)
        | Codec::Files(_)
        | Codec::Batches(_)
        | Codec::Cohere(_)
        | Codec::Bedrock(_)
        | Codec::Ollama(_)
        | Codec::Opaque => !TEXT_ONLY.has(name),
    };
    for (name, value) in deployment.endpoint.default_params.iter().filter(|(name, _)| known(name)) {
        let name = match params::is_limit(name) {
            true => params::limit_default(peek, order, name),
            false => Some(&**name),
        };
        let less = name.filter(|name| params::is_limit(name)).and_then(|_| order.bounded(value));
        edits.extend(name.and_then(|name| match less {
            Some(less) => (!peek.has(name)).then_some(Edit::Set(name, Cow::Owned(less))),
            None => Some(Edit::Default(name, value)),
        }));
    }
}

/// `thinking` turned on.
pub(super) const ON: &str = r#"{"type":"enabled"}"#;
/// `thinking` turned off.
pub(super) const OFF: &str = r#"{"type":"disabled"}"#;

/// Turns thinking off, whatever asks for it.
fn no_thinking(order: &Order<'_>) -> [Edit<'static>; 2] {
    let switch = match order.deployment.endpoint.provider.quirks.thinking_switch {
        true => Edit::Set("thinking", Cow::Borrowed(OFF)),
        false => Edit::Remove("thinking"),
    };
    [Edit::Remove("reasoning_effort"), switch]
}

/// Turns on a provider that does not think because of an effort alone, and off one that knows no effort for that.
fn thinking_switch<'e>(peek: &Peek, order: &Order<'e>, edits: &mut Vec<Edit<'e>>) {
    const EFFORT: &str = "reasoning_effort";
    const SWITCH: &str = "thinking";
    let defaults = &order.deployment.endpoint.default_params;
    let default =
        |wanted: &str| defaults.iter().find(|(name, _)| &**name == wanted).map(|(_, raw)| &**raw);
    if peek.has(SWITCH) || default(SWITCH).is_some() || order.drops(EFFORT) {
        return;
    }
    let effort = match peek.has(EFFORT) {
        true => peek.raw(EFFORT),
        false => default(EFFORT),
    };
    match effort {
        None => {}
        Some("\"none\"") => edits.extend([Edit::Default(SWITCH, OFF), Edit::Remove(EFFORT)]),
        Some(_) if order.takes().efforts == Some(Efforts::NOTHING) => {}
        Some(_) => edits.push(Edit::Default(SWITCH, ON)),
    }
}

/// The client's `stream_options` with `include_usage` set.
fn stream_options(given: Option<&str>) -> Cow<'static, str> {
    const ASK: &str = r#"{"include_usage":true}"#;
    let set = |given: &str| {
        let members = object::members(given.as_bytes()).ok()?;
        let edits = [Edit::Set("include_usage", Cow::Borrowed("true"))];
        String::from_utf8(edit::apply(given.as_bytes(), &members, &edits).into()).ok()
    };
    given.and_then(set).map_or(Cow::Borrowed(ASK), Cow::Owned)
}

/// Messages with each content that is a list of texts joined to one text; `None` if there is no such content.
fn join_text_parts(raw: &str) -> Option<String> {
    let mut out = String::new();
    let mut done = 0;
    for message in elements(raw)? {
        let Ok([Some(content)]) = texts(message, ["content"]) else { continue };
        let Some(joined) = joined_texts(content) else { continue };
        if done == 0 {
            // The joined texts are shorter than the lists.
            out.reserve_exact(raw.len());
        }
        // A content is a slice of the messages.
        let from = content.as_ptr() as usize - raw.as_ptr() as usize;
        out.push_str(&raw[done..from]);
        out.push('"');
        joined.for_each(|text| out.push_str(text));
        out.push('"');
        done = from + content.len();
    }
    out.push_str(&raw[done..]);
    (done > 0).then_some(out)
}

/// The texts of a list of text parts, as they are written between quotes; `None` if a part is none.
fn joined_texts(content: &str) -> Option<impl Iterator<Item = &str>> {
    let parts = elements(content)?;
    let are_texts = parts.clone().all(|part| text_of(part).is_some());
    are_texts.then(|| parts.filter_map(text_of))
}

/// The text of a part, as it is written between quotes.
fn text_of(part: &str) -> Option<&str> {
    let [text] = texts(part, ["text"]).ok()?;
    text?.strip_prefix('"')?.strip_suffix('"')
}

#[cfg(test)]
mod tests;
