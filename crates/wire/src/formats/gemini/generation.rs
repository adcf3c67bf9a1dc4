//! Writes `generationConfig`, and the fields beside it: limits, sampling, the answer's shape, thinking, safety.
//!
//! Called by [`super::write_request`]. Always true: a parameter that changes the answer and has no place is refused by its
//! name, unless it may be dropped; what only advises is left out.

use hale_core::operation::Operation;

use super::{FIX, Model};
use crate::bytes::elements::elements;
use crate::bytes::json::JsonText;
use crate::bytes::members::texts;
use crate::formats::advice::{is_advice, is_default};
use crate::formats::amount::{self, Amount};
use crate::formats::neutral::{Format, Request, Unfit};
use crate::formats::order::Order;

/// Parameters that `generationConfig` has under the second name. Most are Google's own, in the words of its clients.
const IN_CONFIG: [(&str, &str); 18] = [
    ("top_k", "topK"),
    ("seed", "seed"),
    ("presence_penalty", "presencePenalty"),
    ("frequency_penalty", "frequencyPenalty"),
    ("media_resolution", "mediaResolution"),
    ("mediaResolution", "mediaResolution"),
    ("image_config", "imageConfig"),
    ("imageConfig", "imageConfig"),
    ("speech_config", "speechConfig"),
    ("speechConfig", "speechConfig"),
    ("response_modalities", "responseModalities"),
    ("responseModalities", "responseModalities"),
    ("response_mime_type", "responseMimeType"),
    ("response_schema", "responseSchema"),
    ("response_json_schema", "responseJsonSchema"),
    ("responseJsonSchema", "responseJsonSchema"),
    ("thinking_config", "thinkingConfig"),
    ("thinkingConfig", "thinkingConfig"),
];
/// The same for what stands beside it.
const BESIDE: [(&str, &str); 5] = [
    ("safety_settings", "safetySettings"),
    ("safetySettings", "safetySettings"),
    ("cached_content", "cachedContent"),
    ("cachedContent", "cachedContent"),
    ("labels", "labels"),
];
/// Writes the fields.
pub(super) fn write(
    json: &mut JsonText,
    request: &Request<'_>,
    order: &Order<'_>,
) -> Result<(), Unfit> {
    let mut written = Vec::new();
    for (name, raw) in &request.others {
        if !order.drops(name) && !is_count(name, request, order) {
            write_beside(json, (name, raw), (order, &mut written))?;
        }
    }
    let mark = json.mark();
    json.key("generationConfig").open(b'{');
    write_config(json, request, order)?;
    match json.is_at_start() {
        true => json.undo(mark),
        false => {
            json.close(b'}');
        }
    }
    Ok(())
}

fn write_config(
    json: &mut JsonText,
    request: &Request<'_>,
    order: &Order<'_>,
) -> Result<(), Unfit> {
    if let Some(raw) = &request.max_tokens {
        let bounded = order.bounded(raw);
        json.raw_member("maxOutputTokens", bounded.as_deref().unwrap_or(raw));
    }
    for (name, raw) in [("temperature", &request.temperature), ("topP", &request.top_p)] {
        if let Some(raw) = raw {
            json.raw_member(name, raw);
        }
    }
    if !request.stop.is_empty() {
        json.key("stopSequences").open(b'[');
        for text in &request.stop {
            json.text(text);
        }
        json.close(b']');
    }
    write_format(json, request.format.as_ref());
    let mut written = Vec::new();
    for (name, raw) in &request.others {
        if order.drops(name) {
            continue;
        }
        match &**name {
            "google" => {
                for (name, raw) in of_google(raw) {
                    write_own(json, (name, raw), (order, &mut written));
                }
            }
            "modalities" => {
                if let Some(kinds) = modalities(raw)
                    && is_first("responseModalities", &mut written)
                {
                    json.raw_member("responseModalities", &kinds);
                }
            }
            name if is_count(name, request, order) && &**raw != "1" => {
                json.raw_member("candidateCount", raw);
            }
            name => write_own(json, (name, raw), (order, &mut written)),
        }
    }
    let is_refused = order.known.refused_advice().any(|advice| advice.name() == "thinking");
    if !written.contains(&"thinkingConfig")
        && !is_refused
        && let Some(thinking) = thinking(request, order)?
    {
        json.raw_member("thinkingConfig", &thinking);
    }
    Ok(())
}

/// Writes a parameter that `generationConfig` has, unless `written` has it: what a client says in one spelling stands before what
/// the config says in another.
fn write_own(
    json: &mut JsonText,
    (name, raw): (&str, &str),
    (order, written): (&Order<'_>, &mut Vec<&'static str>),
) {
    if let Some(place) = place(name, &IN_CONFIG).filter(|_| has_place((name, raw), order))
        && is_first(place, written)
    {
        json.raw_member(place, raw);
    }
}

/// Whether it is the number of answers that a chat wants, which are translated where they come in one piece.
fn is_count(name: &str, request: &Request<'_>, order: &Order<'_>) -> bool {
    name == "n" && !request.stream && order.operation == Operation::Chat
}

/// Whether `written` lacks the name, which it has from then on.
fn is_first(name: &'static str, written: &mut Vec<&'static str>) -> bool {
    let is_first = !written.contains(&name);
    written.extend(is_first.then_some(name));
    is_first
}

/// What the table calls the parameter.
fn place(name: &str, table: &[(&str, &'static str)]) -> Option<&'static str> {
    table.iter().find(|(given, _)| *given == name).map(|(_, written)| *written)
}

fn asks_for_sound(modalities: &str) -> bool {
    modalities.to_ascii_uppercase().contains("\"AUDIO\"")
}

/// Whether the model takes a parameter that others of Google's take.
fn has_place((name, raw): (&str, &str), order: &Order<'_>) -> bool {
    if matches!(name, "response_modalities" | "responseModalities") && asks_for_sound(raw) {
        return false;
    }
    let is_penalty = matches!(name, "presence_penalty" | "frequency_penalty");
    !(is_penalty && Model(order.upstream_model).is_newer())
}

/// Writes a parameter that stands beside `generationConfig`, or finds what becomes of it.
fn write_beside(
    json: &mut JsonText,
    (name, raw): (&str, &str),
    (order, written): (&Order<'_>, &mut Vec<&'static str>),
) -> Result<(), Unfit> {
    if let Some(place) = place(name, &BESIDE) {
        if is_first(place, written) {
            json.raw_member(place, raw);
        }
        return Ok(());
    }
    let is_known = match name {
        // Clients of Google's OpenAI-compatible address say so what it has beside OpenAI's format.
        "google" => {
            for (name, raw) in of_google(raw) {
                if let Some(place) = place(name, &BESIDE)
                    && is_first(place, written)
                {
                    json.raw_member(place, raw);
                }
            }
            true
        }
        "service_tier" => {
            if let "\"flex\"" | "\"priority\"" = raw {
                json.raw_member("serviceTier", raw);
            }
            true
        }
        "modalities" => modalities(raw).is_some(),
        // A tool is written for it.
        "web_search_options" => true,
        // Sound has no place in an answer of another format.
        "response_modalities" | "responseModalities" if !asks_for_sound(raw) => true,
        "response_modalities" | "responseModalities" => false,
        name if place(name, &IN_CONFIG).is_some() => {
            has_place((name, raw), order) || raw.parse() == Ok(0.0)
        }
        name => is_advice(name) || is_default(name, raw),
    };
    if is_known || order.drop_params {
        return Ok(());
    }
    Err(Unfit::unsupported(name, &order.deployment.endpoint.provider.name, FIX))
}

fn write_format(json: &mut JsonText, format: Option<&Format<'_>>) {
    let Some(format) = format else { return };
    json.member("responseMimeType", "application/json");
    if let Format::Schema { schema, .. } = format {
        json.raw_member("responseJsonSchema", schema);
    }
}

/// The members of `google`.
fn of_google(raw: &str) -> Vec<(&'static str, &str)> {
    const NAMES: [&str; 3] = ["thinking_config", "cached_content", "safety_settings"];
    let found = texts(raw, NAMES).unwrap_or_default();
    NAMES.into_iter().zip(found).filter_map(|(name, raw)| Some((name, raw?))).collect()
}

/// The kinds of content that the answer may have, in Google's words; `None` if one of them is sound, which has a place in
/// neither format's stream.
fn modalities(raw: &str) -> Option<String> {
    let mut kinds = Vec::new();
    for kind in elements(raw)? {
        kinds.push(match kind {
            "\"text\"" => "\"TEXT\"",
            "\"image\"" => "\"IMAGE\"",
            _ => return None,
        });
    }
    Some(format!("[{}]", kinds.join(",")))
}

/// `thinkingConfig`, if something is said about it.
fn thinking(request: &Request<'_>, order: &Order<'_>) -> Result<Option<String>, Unfit> {
    let model = Model(order.upstream_model);
    let Some(amount) = amount::asked(request, order)? else { return Ok(None) };
    Ok(Some(match amount {
        Amount::Nothing => without_thoughts(model),
        Amount::Free => r#"{"includeThoughts":true}"#.to_owned(),
        Amount::Tokens(budget) if model.is_newer() => level(level_of(budget, model)),
        Amount::Tokens(budget) => of_budget(model.bounded(budget)),
        Amount::Effort(effort) => of_effort(effort, model)?,
    }))
}

/// As little thinking as the model has, which is not shown.
fn without_thoughts(model: Model<'_>) -> String {
    match (model.is_newer(), model.is_pro()) {
        (true, true) => r#"{"thinkingLevel":"LOW","includeThoughts":false}"#.to_owned(),
        (true, false) => r#"{"thinkingLevel":"MINIMAL","includeThoughts":false}"#.to_owned(),
        (false, true) => r#"{"thinkingBudget":128,"includeThoughts":false}"#.to_owned(),
        (false, false) => r#"{"thinkingBudget":0,"includeThoughts":false}"#.to_owned(),
    }
}

fn of_budget(budget: u64) -> String {
    format!(r#"{{"thinkingBudget":{budget},"includeThoughts":true}}"#)
}

fn level(level: &str) -> String {
    format!(r#"{{"thinkingLevel":"{level}","includeThoughts":true}}"#)
}

/// The level for a budget in tokens.
fn level_of(budget: u64, model: Model<'_>) -> &'static str {
    match budget {
        10_000.. => "HIGH",
        5_000.. => "MEDIUM",
        2_000.. => "LOW",
        _ => least_level(model),
    }
}

fn least_level(model: Model<'_>) -> &'static str {
    if model.is_pro() { "LOW" } else { "MINIMAL" }
}

fn of_effort(effort: &str, model: Model<'_>) -> Result<String, Unfit> {
    let (budget, name) = match effort {
        "minimal" => (model.least_budget(), least_level(model)),
        "low" => (1024, "LOW"),
        "medium" => (2048, "MEDIUM"),
        "high" => (4096, "HIGH"),
        "xhigh" | "max" => (16_384, "HIGH"),
        _ => return Err(amount::unknown_effort()),
    };
    Ok(if model.is_newer() { level(name) } else { of_budget(budget) })
}
