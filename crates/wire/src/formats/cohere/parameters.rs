//! Writes what a request says besides messages and tools: limits, sampling, documents, the answer's shape, thinking.
//!
//! Called by [`super::write_request`]. Always true: a parameter that changes the answer and has no place is refused by its
//! name, unless it may be dropped; what only advises is left out; no member is written twice.

use super::FIX;
use super::messages::Document;
use crate::bytes::elements::elements;
use crate::bytes::json::JsonText;
use crate::formats::advice::{is_advice, is_default};
use crate::formats::amount::{self, Amount};
use crate::formats::neutral::{Format, Json, Request, Text, Unfit};
use crate::formats::order::Order;

/// Parameters that Cohere has under the second name. Most are its own.
const OWN: [(&str, &str); 12] = [
    ("top_k", "k"),
    ("k", "k"),
    ("p", "p"),
    ("seed", "seed"),
    ("frequency_penalty", "frequency_penalty"),
    ("presence_penalty", "presence_penalty"),
    ("logprobs", "logprobs"),
    ("safety_mode", "safety_mode"),
    ("citation_options", "citation_options"),
    ("strict_tools", "strict_tools"),
    ("priority", "priority"),
    ("stop_sequences", "stop_sequences"),
];
/// The documents that the model may cite.
const DOCUMENTS: &str = "documents";

/// Writes the fields. `documents` are those of the messages.
pub(super) fn write(
    json: &mut JsonText,
    request: &Request<'_>,
    (order, documents): (&Order<'_>, &[Document<'_>]),
) -> Result<(), Unfit> {
    if let Some(raw) = &request.max_tokens {
        let bounded = order.bounded(raw);
        json.raw_member("max_tokens", bounded.as_deref().unwrap_or(raw));
    }
    if let Some(raw) = &request.temperature {
        json.raw_member("temperature", raw);
    }
    let says = |wanted: &str| {
        request.others.iter().any(|(name, _)| name == wanted && !order.drops(wanted))
    };
    if let Some(raw) = request.top_p.as_ref().filter(|_| !says("p")) {
        json.raw_member("p", raw);
    }
    if !request.stop.is_empty() && !says("stop_sequences") {
        json.key("stop_sequences").open(b'[');
        for text in &request.stop {
            json.text(text);
        }
        json.close(b']');
    }
    if request.stream {
        json.raw_member("stream", "true");
    }
    let mut given = "[]";
    for (name, raw) in &request.others {
        if order.drops(name) || (name == "top_k" && says("k")) {
            continue;
        }
        match &**name {
            DOCUMENTS if elements(raw).is_some() => given = raw,
            DOCUMENTS => return Err(Unfit::malformed(DOCUMENTS, "it must be a list")),
            _ => write_own(json, (name, raw), order)?,
        }
    }
    let has_documents = write_documents(json, given, documents);
    write_format(json, request.format.as_ref(), (order, has_documents))?;
    let is_refused = order.known.refused_advice().any(|advice| advice.name() == "thinking");
    if !is_refused && let Some(thinking) = thinking(request, order)? {
        json.raw_member("thinking", &thinking);
    }
    Ok(())
}

fn write_own(
    json: &mut JsonText,
    (name, raw): (&Text<'_>, &Json<'_>),
    order: &Order<'_>,
) -> Result<(), Unfit> {
    if is_default(name, raw) {
        return Ok(());
    }
    if let Some((_, written)) = OWN.iter().find(|(given, _)| **given == **name) {
        json.raw_member(written, raw);
        return Ok(());
    }
    let is_text = || elements(raw).is_some_and(|mut all| all.all(|kind| kind == "\"text\""));
    let is_known = is_advice(name) || name == "service_tier" || (name == "modalities" && is_text());
    if is_known || order.drop_params {
        return Ok(());
    }
    Err(Unfit::unsupported(&**name, &order.deployment.endpoint.provider.name, FIX))
}

/// Writes the documents of the client's parameter and those of its messages; false if there are none.
fn write_documents(json: &mut JsonText, given: &str, documents: &[Document<'_>]) -> bool {
    let given: Vec<&str> = elements(given).into_iter().flatten().collect();
    if given.is_empty() && documents.is_empty() {
        return false;
    }
    json.key(DOCUMENTS).open(b'[');
    for one in given {
        json.raw(one);
    }
    for Document { title, context, text } in documents {
        json.open(b'{').key("data").open(b'{');
        for (name, said) in [("title", title), ("context", context)] {
            if let Some(said) = said {
                json.member(name, said);
            }
        }
        json.member("text", text).close(b'}').close(b'}');
    }
    json.close(b']');
    true
}

fn write_format(
    json: &mut JsonText,
    format: Option<&Format<'_>>,
    (order, has_documents): (&Order<'_>, bool),
) -> Result<(), Unfit> {
    let Some(format) = format else { return Ok(()) };
    if has_documents && !order.drop_params {
        let fix = "it cannot stand beside documents there: leave one of them out";
        let provider = &order.deployment.endpoint.provider.name;
        return Err(Unfit::unsupported("response_format", provider, fix));
    }
    if has_documents {
        return Ok(());
    }
    json.key("response_format").open(b'{').member("type", "json_object");
    if let Format::Schema { schema, .. } = format {
        json.raw_member("json_schema", schema);
    }
    json.close(b'}');
    Ok(())
}

/// `thinking`, if something is said about it.
fn thinking(request: &Request<'_>, order: &Order<'_>) -> Result<Option<String>, Unfit> {
    let Some(amount) = amount::asked(request, order)? else { return Ok(None) };
    let budget = match amount {
        Amount::Nothing => return Ok(Some(r#"{"type":"disabled"}"#.to_owned())),
        Amount::Tokens(budget) => Some(budget),
        Amount::Effort("minimal") => Some(1024),
        Amount::Effort("low") => Some(2048),
        Amount::Effort("medium") => Some(4096),
        Amount::Effort("high") => Some(8192),
        // As much as the model likes.
        Amount::Free | Amount::Effort("xhigh" | "max") => None,
        Amount::Effort(_) => return Err(amount::unknown_effort()),
    };
    Ok(Some(match budget {
        Some(budget) => format!(r#"{{"type":"enabled","token_budget":{budget}}}"#),
        None => r#"{"type":"enabled"}"#.to_owned(),
    }))
}
