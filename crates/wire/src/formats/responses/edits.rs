//! The edits of a request body in the Responses format.
//!
//! Called once per attempt. Always true: only top-level members change.

use std::borrow::Cow;

use hale_core::deployment::Deployment;
use hale_core::takes::Efforts;

use super::read_request::has_place;
use crate::bytes::edit::{Edit, json_string};
use crate::bytes::elements::elements;
use crate::bytes::payload::Payload;
use crate::bytes::peek::{Names, Peek};
use crate::formats::codec::{self, Codec, OfResponses};
use crate::formats::extras::{Objects, without_extras};
use crate::formats::guards;
use crate::formats::left_out;
use crate::formats::metadata::is_map_of_strings;
use crate::formats::order::Order;

/// Parameters of chat completions that a deployment may have as defaults and that responses do not have.
/// Source: <https://platform.openai.com/docs/api-reference/responses/create>.
static CHAT_ONLY: Names = Names::new(&[
    "audio",
    "frequency_penalty",
    "function_call",
    "functions",
    "logit_bias",
    "logprobs",
    "modalities",
    "n",
    "prediction",
    "presence_penalty",
    "response_format",
    "seed",
    "stop",
    "stream_options",
    "verbosity",
    "web_search_options",
]);

/// Those of them that a translated response has no place for either.
static WITHOUT_PLACE: Names = Names::new(&[
    "audio",
    "function_call",
    "functions",
    "logprobs",
    "modalities",
    "n",
    "response_format",
    "stream_options",
]);

/// What asks for the model's reasoning in a form that only the provider can read.
const SEALED: &str = "\"reasoning.encrypted_content\"";

/// The limit of an answer.
const LIMIT: &str = "max_output_tokens";

/// The body for the upstream.
pub(crate) fn request_body(peek: &Peek, order: &Order<'_>) -> Payload {
    let deployment = order.deployment;
    let mut edits = guards::edits(peek, order);
    edits.push(Edit::Set("model", Cow::Owned(json_string(order.upstream_model))));
    if let Some(previous) = order.kept {
        edits.push(Edit::Set("previous_response_id", Cow::Owned(json_string(previous))));
    }
    edits.extend(deployment.endpoint.dropped_params.iter().map(|name| Edit::Remove(name)));
    for name in peek.removed() {
        edits.push(Edit::Remove(name));
    }
    edits.extend(left_out::refused(peek, order));
    let less = order.known.most().and_then(|_| order.bounded(peek.raw(LIMIT)?));
    edits.extend(less.map(|less| Edit::Set(LIMIT, Cow::Owned(less))));
    if order.known.has_plain_messages() {
        let cleaned = |name| without_extras(peek.raw(name)?, Objects::Others);
        let cleaned =
            ["input", "tools"].map(|name| Some(Edit::Set(name, Cow::Owned(cleaned(name)?))));
        edits.extend(cleaned.into_iter().flatten());
    }
    // Clients of LiteLLM put more into it than the provider accepts.
    if peek.raw("metadata").is_some_and(|raw| !is_map_of_strings(raw)) {
        edits.push(Edit::Remove("metadata"));
    }
    let tells = peek.has("reasoning") || peek.has("include");
    if tells && order.takes().efforts == Some(Efforts::NOTHING) {
        edits.extend(without_reasoning(peek));
    }
    // The other operations accept little more than what they count or compact.
    let upstream = order.upstream_operation().unwrap_or(order.operation);
    let creates = codec::of(upstream) == Codec::Responses(OfResponses::Created);
    if creates && deployment.endpoint.provider.quirks.force_store_false {
        edits.push(Edit::Set("store", Cow::Borrowed("false")));
    }
    let mut defaults = if creates { renamed(deployment) } else { Vec::new() };
    for (_, value) in defaults.iter_mut().filter(|(name, _)| *name == LIMIT) {
        if let Some(less) = order.bounded(value) {
            *value = Cow::Owned(less);
        }
    }
    edits.extend(defaults.iter().map(|(name, value)| Edit::Default(name, value)));
    peek.payload(&edits)
}

/// The edits that leave out what only a model that reasons knows: how much, and its reasoning in the answer.
fn without_reasoning(peek: &Peek) -> impl Iterator<Item = Edit<'_>> {
    let reasoning = peek.is_set("reasoning").then_some(Edit::Remove("reasoning"));
    let sealed = peek.raw("include").and_then(elements).and_then(|list| {
        let others: Vec<&str> = list.clone().filter(|one| *one != SEALED).collect();
        match others[..] {
            [] => Some(Edit::Remove("include")),
            _ if others.len() == list.count() => None,
            _ => Some(Edit::Set("include", Cow::Owned(format!("[{}]", others.join(","))))),
        }
    });
    reasoning.into_iter().chain(sealed)
}

/// The deployment's defaults under the names of responses. The config has those of chat completions; a default
/// without a counterpart is left out.
fn renamed(deployment: &Deployment) -> Vec<(&str, Cow<'_, str>)> {
    let known = deployment.endpoint.default_params.iter().filter(|(name, _)| !CHAT_ONLY.has(name));
    known.map(in_its_names).collect()
}

fn in_its_names<'d>((name, value): &'d (Box<str>, Box<str>)) -> (&'d str, Cow<'d, str>) {
    match &**name {
        "max_tokens" | "max_completion_tokens" => (LIMIT, Cow::Borrowed(&**value)),
        "reasoning_effort" => ("reasoning", Cow::Owned(format!("{{\"effort\":{value}}}"))),
        name => (name, Cow::Borrowed(&**value)),
    }
}

/// The edits that add the deployment's defaults to `peek` and remove the parameters that it drops, for a request that is
/// translated.
pub(crate) fn defaults<'e>(peek: &Peek, deployment: &'e Deployment) -> Vec<Edit<'e>> {
    let dropped = deployment.endpoint.dropped_params.iter().map(|name| Edit::Remove(name));
    let defaults = deployment.endpoint.default_params.iter();
    let known = defaults.filter(|(name, _)| !WITHOUT_PLACE.has(name));
    // What the format has no name for counts for no client.
    let absent = |name: &str| !has_place(name) || peek.raw(name).is_none();
    let added = known.map(in_its_names).filter(move |(name, _)| absent(name));
    dropped.chain(added.map(|(name, value)| Edit::Set(name, value))).collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use hale_core::operation::Operation;
    use hale_core::takes::Takes;

    use super::*;
    use crate::fixture::{deployment, order};

    fn body(operation: Operation, text: &str, previous: Option<&str>) -> String {
        let mut deployment = deployment("openai");
        deployment.endpoint.default_params = [
            ("max_tokens", "50"),
            ("reasoning_effort", "\"low\""),
            ("seed", "1"),
            ("top_p", "0.5"),
        ]
        .map(|(name, value)| (name.into(), value.into()))
        .into();
        let order = Order { kept: previous, ..order(&deployment, operation, "gpt-4o") };
        let peek = Peek::parse(Bytes::copy_from_slice(text.as_bytes())).unwrap();
        String::from_utf8(request_body(&peek, &order).joined().to_vec()).unwrap()
    }

    #[test]
    fn only_model_previous_response_and_defaults_change() {
        let text = r#"{ "model":"m", "input" : "h\u00e9", "previous_response_id":"ours","tags":["x"],"top_p":1.0}"#;
        let expected = r#"{ "model":"gpt-4o", "input" : "h\u00e9", "previous_response_id":"resp_1","top_p":1.0,"max_output_tokens":50,"reasoning":{"effort":"low"}}"#;
        assert_eq!(body(Operation::Responses, text, Some("resp_1")), expected);
    }

    #[test]
    fn a_model_that_does_not_reason_is_not_told_how_much() {
        let mut deployment = deployment("openai");
        let body = |deployment: &Deployment, text: &'static str| {
            let order = order(deployment, Operation::Responses, "up");
            let peek = Peek::parse(Bytes::from_static(text.as_bytes())).unwrap();
            String::from_utf8(request_body(&peek, &order).joined().to_vec()).unwrap()
        };
        let text = r#"{"model":"up","input":"x","reasoning":{"effort":"high"},"include":["reasoning.encrypted_content"]}"#;
        assert_eq!(body(&deployment, text), text);
        let takes = Takes { efforts: Some(Efforts::NOTHING), ..Takes::default() };
        deployment.endpoint.takes = Some(takes);
        assert_eq!(body(&deployment, text), r#"{"model":"up","input":"x"}"#);
        let others = r#"{"model":"up","input":"x","include":["reasoning.encrypted_content","file_search_call.results"]}"#;
        let left = r#"{"model":"up","input":"x","include":["file_search_call.results"]}"#;
        assert_eq!(body(&deployment, others), left);
    }

    #[test]
    fn a_request_that_creates_no_response_gets_no_defaults() {
        for operation in [Operation::CompactResponses, Operation::CountResponses] {
            let text = r#"{"model":"m","input":"x","metadata":{"a":{}},"stream":false}"#;
            let expected = r#"{"model":"gpt-4o","input":"x","stream":false}"#;
            assert_eq!(body(operation, text, None), expected);
        }
    }
}
