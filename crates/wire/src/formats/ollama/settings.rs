//! Writes everything besides messages and tools: the options of the model, the answer's shape, thinking, how long it stays.
//!
//! Called by [`super::write_request`] and for embeddings. Always true: a parameter that changes the answer and has no place is
//! refused by its name, unless it may be dropped; what only advises is left out.

use std::borrow::Cow;
use std::collections::HashSet;

use super::FIX;
use super::tools::Offered;
use crate::bytes::json::JsonText;
use crate::bytes::scan;
use crate::formats::advice::{is_advice, is_default};
use crate::formats::amount::{self, Amount};
use crate::formats::neutral::{Format, Request, Unfit};
use crate::formats::order::Order;

/// Parameters of other formats that `options` has under the same name, and options that a request names beside its own
/// parameters. Source: <https://docs.ollama.com/modelfile#valid-parameters-and-values>, and the class of options of Ollama's SDK.
#[rustfmt::skip]
const OPTIONS: [&str; 28] = [
    "embedding_only", "f16_kv", "frequency_penalty", "logits_all", "low_vram", "main_gpu", "min_p", "mirostat", "mirostat_eta",
    "mirostat_tau", "num_batch", "num_ctx", "num_gpu", "num_keep", "num_predict", "num_thread", "numa", "penalize_newline",
    "presence_penalty", "repeat_last_n", "repeat_penalty", "seed", "tfs_z", "top_k", "typical_p", "use_mlock", "use_mmap",
    "vocab_only",
];
/// What stands beside `options`, besides what other formats have.
const BESIDE: [&str; 3] = ["keep_alive", "shift", "truncate"];
/// An option: its name, and its value as JSON text.
type Setting<'r> = (&'r str, Cow<'r, str>);

/// Writes the fields of a chat.
pub(super) fn write(
    json: &mut JsonText,
    request: &Request<'_>,
    order: &Order<'_>,
    offered: Offered,
) -> Result<(), Unfit> {
    for (name, raw) in &request.others {
        let has_place =
            is_option(name) || BESIDE.contains(&&**name) || matches!(&**name, "think" | "format");
        let is_usual = match &**name {
            "service_tier" => true,
            "modalities" => raw == "[\"text\"]",
            name => is_advice(name) || is_default(name, raw),
        };
        let is_known = has_place || is_usual;
        if !is_known && !order.drop_params && !order.drops(name) {
            let provider = &order.deployment.endpoint.provider.name;
            return Err(Unfit::unsupported(&**name, provider, FIX));
        }
    }
    let other = |wanted: &str| {
        let found = request.others.iter().find(|(name, _)| name == wanted);
        found.filter(|_| !order.drops(wanted)).map(|(_, raw)| &**raw)
    };
    write_options(json, request, order)?;
    for name in BESIDE {
        if let Some(raw) = other(name) {
            json.raw_member(name, raw);
        }
    }
    write_format(json, (request, other("format")), order, offered)?;
    let is_refused = order.known.refused_advice().any(|advice| advice.name() == "thinking");
    let think = match other("think") {
        Some(own) => Some(own),
        None if is_refused => None,
        None => think(request, order)?,
    };
    if let Some(think) = think {
        json.raw_member("think", think);
    }
    Ok(())
}

/// Writes `options`, unless there is none.
fn write_options(
    json: &mut JsonText,
    request: &Request<'_>,
    order: &Order<'_>,
) -> Result<(), Unfit> {
    let mut named: Vec<Setting<'_>> = Vec::new();
    if let Some(raw) = &request.max_tokens {
        let limit = order.bounded(raw).map_or(Cow::Borrowed(&**raw), Cow::Owned);
        named.push(("num_predict", limit));
    }
    for (name, raw) in [("temperature", &request.temperature), ("top_p", &request.top_p)] {
        if let Some(raw) = raw {
            named.push((name, Cow::Borrowed(raw)));
        }
    }
    if !request.stop.is_empty() {
        let mut list = JsonText::new();
        list.open(b'[');
        request.stop.iter().for_each(|text| {
            list.text(text);
        });
        list.close(b']');
        // A writer of JSON writes UTF-8.
        let list = String::from_utf8(list.into_bytes()).unwrap_or_default();
        named.push(("stop", Cow::Owned(list)));
    }
    let others = request.others.iter().filter(|(name, _)| !order.drops(name));
    let given: Vec<(&str, &str)> = others.map(|(name, raw)| (&**name, &**raw)).collect();
    write_given(json, named, &given)
}

/// Writes `options` from those that the request has parameters for, and what is `given` besides: single options, and an object
/// of them. What is given first counts, because the client's stands before the deployment's.
pub(super) fn write_given<'r>(
    json: &mut JsonText,
    mut named: Vec<Setting<'r>>,
    given: &[(&'r str, &'r str)],
) -> Result<(), Unfit> {
    let mut names: HashSet<&str> = named.iter().map(|(name, _)| *name).collect();
    for (name, raw) in given {
        if *name == "options" {
            let mut within: Vec<Setting<'r>> = Vec::new();
            scan::members(raw.as_bytes(), |key, value| {
                within.push((raw[key].trim_matches('"'), Cow::Borrowed(&raw[value])));
            })
            .map_err(|_| Unfit::malformed("options", "it must be an object"))?;
            // Of two of one name in one object the last one counts.
            let last = within.into_iter().rev().filter(|(name, _)| names.insert(name));
            let last: Vec<_> = last.collect();
            named.extend(last.into_iter().rev());
        } else if OPTIONS.contains(name) && names.insert(name) {
            named.push((name, Cow::Borrowed(raw)));
        }
    }
    let mark = json.mark();
    json.key("options").open(b'{');
    for (name, raw) in &named {
        json.raw_key(&format!("\"{name}\"")).raw(raw);
    }
    match json.is_at_start() {
        true => json.undo(mark),
        false => {
            json.close(b'}');
        }
    }
    Ok(())
}

/// Whether a parameter belongs into `options`, or is these.
pub(super) fn is_option(name: &str) -> bool {
    name == "options" || OPTIONS.contains(&name)
}

/// Writes the answer's shape. A server that keeps to one cannot call tools.
fn write_format(
    json: &mut JsonText,
    (request, own): (&Request<'_>, Option<&str>),
    order: &Order<'_>,
    offered: Offered,
) -> Result<(), Unfit> {
    let (field, format) = match (&request.format, own) {
        (None, None) => return Ok(()),
        (Some(Format::JsonObject), _) => ("response_format", "\"json\""),
        (Some(Format::Schema { schema, .. }), _) => ("response_format", &**schema),
        (None, Some(own)) => ("format", own),
    };
    match (offered, order.drop_params) {
        (Offered::Nothing, _) => {
            json.raw_member("format", format);
            Ok(())
        }
        (Offered::Tools, true) => Ok(()),
        (Offered::Tools, false) => {
            let fix = "a model that keeps to a shape calls no tools; leave out one of them";
            Err(Unfit::unsupported(field, &order.deployment.endpoint.provider.name, fix))
        }
    }
}

/// `think` as JSON text. Most models think or do not; those of one family take words.
fn think(request: &Request<'_>, order: &Order<'_>) -> Result<Option<&'static str>, Unfit> {
    let Some(amount) = amount::asked(request, order)? else { return Ok(None) };
    let word = match amount {
        Amount::Nothing => return Ok(Some("false")),
        Amount::Free => return Ok(Some("true")),
        Amount::Tokens(..2_000) => "\"low\"",
        Amount::Tokens(2_000..10_000) => "\"medium\"",
        Amount::Tokens(10_000..) => "\"high\"",
        Amount::Effort(effort) => match effort {
            "minimal" | "low" => "\"low\"",
            "medium" => "\"medium\"",
            "high" | "xhigh" | "max" => "\"high\"",
            _ => return Err(amount::unknown_effort()),
        },
    };
    let has_words = order.upstream_model.contains("gpt-oss");
    Ok(Some(if has_words { word } else { "true" }))
}
