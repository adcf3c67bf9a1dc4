//! Writes what stands beside the prompt: limits, sampling, the answer's shape, reasoning, guardrails.
//!
//! Called by [`super::write_request`]. Always true: a parameter that changes the answer and has no place is refused by its
//! name, unless it may be dropped; what only advises is left out.

use std::borrow::Cow;

use super::model::Reasons;
use super::{FIX, Model, tools};
use crate::bytes::json::JsonText;
use crate::bytes::{members, object};
use crate::formats::anthropic::{effort, invoke};
use crate::formats::neutral::{Format, Request, Thinking, Unfit};
use crate::formats::order::Order;
use crate::formats::schema;
use crate::formats::unfit::asks_nothing;

/// Members of the format that clients and configs may name, in either spelling.
const BESIDE: [(&str, &str); 10] = [
    ("guardrailConfig", "guardrailConfig"),
    ("guardrail_config", "guardrailConfig"),
    ("performanceConfig", "performanceConfig"),
    ("performance_config", "performanceConfig"),
    ("requestMetadata", "requestMetadata"),
    ("request_metadata", "requestMetadata"),
    ("additionalModelResponseFieldPaths", "additionalModelResponseFieldPaths"),
    ("additional_model_response_field_paths", "additionalModelResponseFieldPaths"),
    ("promptVariables", "promptVariables"),
    ("serviceTier", "serviceTier"),
];
/// What the maker of the model is told, in the maker's words.
const FIELDS: [&str; 2] = ["additionalModelRequestFields", "additional_model_request_fields"];
/// Parameters of other formats that change no answer: what is stored, cached or billed, and how fast.
const ADVICE: [&str; 11] = [
    "cache_control",
    "context_management",
    "inference_geo",
    "output_config.task_budget",
    "prediction",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "safety_identifier",
    "speed",
    "store",
];

/// Writes them.
pub(super) fn write(
    json: &mut JsonText,
    request: &Request<'_>,
    order: &Order<'_>,
) -> Result<(), Unfit> {
    tools::check(request, order)?;
    for (name, raw) in &request.others {
        if !order.drops(name) {
            write_beside(json, (name, raw), order)?;
        }
    }
    write_inference(json, request, order);
    write_format(json, request)?;
    let mark = json.mark();
    json.key("additionalModelRequestFields").open(b'{');
    write_fields(json, request, order)?;
    write_betas(json, request, order);
    match json.is_at_start() {
        true => json.undo(mark),
        false => {
            json.close(b'}');
        }
    }
    Ok(())
}

/// The betas that a client's headers ask of Claude, unless the fields that it gives name some.
fn write_betas(json: &mut JsonText, request: &Request<'_>, order: &Order<'_>) {
    let names_some =
        |raw: &str| members::texts(raw, ["anthropic_beta"]).is_ok_and(|[betas]| betas.is_some());
    let mut given = request.others.iter().filter(|(name, _)| FIELDS.contains(&&**name));
    if !Model(order.upstream_model).is_claude() || given.any(|(_, raw)| names_some(raw)) {
        return;
    }
    let mut betas = invoke::betas(order).peekable();
    if betas.peek().is_none() {
        return;
    }
    json.key("anthropic_beta").open(b'[');
    for beta in betas {
        json.text(beta);
    }
    json.close(b']');
}

fn write_inference(json: &mut JsonText, request: &Request<'_>, order: &Order<'_>) {
    let mark = json.mark();
    json.key("inferenceConfig").open(b'{');
    if let Some(raw) = &request.max_tokens {
        let bounded = order.bounded(raw);
        json.raw_member("maxTokens", bounded.as_deref().unwrap_or(raw));
    }
    for (name, raw) in [("temperature", &request.temperature), ("topP", &request.top_p)] {
        if let Some(raw) = raw {
            json.raw_member(name, raw);
        }
    }
    // The provider refuses those without a word.
    let mut stops = request.stop.iter().filter(|text| !text.trim().is_empty()).peekable();
    if stops.peek().is_some() {
        json.key("stopSequences").open(b'[');
        for text in stops {
            json.text(text);
        }
        json.close(b']');
    }
    match json.is_at_start() {
        true => json.undo(mark),
        false => {
            json.close(b'}');
        }
    }
}

/// Writes a parameter that stands beside the others, or finds what becomes of it.
fn write_beside(
    json: &mut JsonText,
    (name, raw): (&str, &str),
    order: &Order<'_>,
) -> Result<(), Unfit> {
    if let Some((_, written)) = BESIDE.iter().find(|(given, _)| *given == name) {
        json.raw_member(written, raw);
        return Ok(());
    }
    let model = Model(order.upstream_model);
    let is_known = match name {
        "service_tier" => match raw {
            "\"auto\"" | "\"default\"" | "\"standard\"" => {
                json.key("serviceTier").raw(r#"{"type":"default"}"#);
                true
            }
            "\"flex\"" | "\"priority\"" | "\"reserved\"" => {
                json.key("serviceTier").open(b'{').raw_member("type", raw).close(b'}');
                true
            }
            _ => false,
        },
        // A tool is written for it.
        "web_search_options" => model.is_nova(),
        "top_k" => model.is_claude() || model.is_nova() || model.is_mistral(),
        "verbosity" => model.is_verbose() || raw == "\"medium\"",
        // Those of Claude are written among its own fields.
        "output_config" | "anthropic_beta" => model.is_claude(),
        name => FIELDS.contains(&name) || ADVICE.contains(&name) || is_default(name, raw),
    };
    if is_known || order.drop_params {
        return Ok(());
    }
    Err(Unfit::unsupported(name, &order.deployment.endpoint.provider.name, FIX))
}

/// Whether a parameter of the OpenAI format has its default value.
fn is_default(name: &str, raw: &str) -> bool {
    match name {
        "n" => raw == "1",
        "logprobs" => raw == "false",
        "presence_penalty" | "frequency_penalty" => raw.parse() == Ok(0.0),
        "logit_bias" => asks_nothing(raw),
        "modalities" => raw == r#"["text"]"#,
        _ => false,
    }
}

/// Writes the shape of the answer. The fit has left it only where the model has one.
fn write_format(json: &mut JsonText, request: &Request<'_>) -> Result<(), Unfit> {
    let Some(Format::Schema { name, schema, .. }) = &request.format else { return Ok(()) };
    let mut text = JsonText::with_room(schema.len());
    schema::write_strict(&mut text, schema)
        .map_err(|why| Unfit::malformed("response_format.json_schema.schema", why))?;
    let text = String::from_utf8(text.into_bytes()).unwrap_or_default();
    json.key("outputConfig").open(b'{').key("textFormat").open(b'{').member("type", "json_schema");
    json.key("structure").open(b'{').key("jsonSchema").open(b'{').member("schema", &text);
    if let Some(name) = name {
        json.member("name", name);
    }
    json.close(b'}').close(b'}').close(b'}').close(b'}');
    Ok(())
}

/// Writes what the maker of the model is told in its own words: the client's own, and what has no other place.
fn write_fields(
    json: &mut JsonText,
    request: &Request<'_>,
    order: &Order<'_>,
) -> Result<(), Unfit> {
    let model = Model(order.upstream_model);
    for (name, raw) in request.others.iter().filter(|(name, _)| !order.drops(name)) {
        match &**name {
            name if FIELDS.contains(&name) => write_members(json, (name, raw))?,
            "top_k" if model.is_nova() => {
                json.key("inferenceConfig").open(b'{').raw_member("topK", raw).close(b'}');
            }
            "top_k" if model.is_claude() || model.is_mistral() => {
                json.raw_member("top_k", raw);
            }
            "verbosity" if model.is_verbose() => {
                json.raw_member("verbosity", raw);
            }
            "anthropic_beta" if model.is_claude() => {
                json.raw_member("anthropic_beta", raw);
            }
            _ => {}
        }
    }
    if tools::limits_calls(request) && (model.is_claude() || model.is_nova()) {
        json.key("tool_choice").open(b'{');
        if request.tool_choice.is_none() {
            json.member("type", "auto");
        }
        json.raw_member("disable_parallel_tool_use", "true").close(b'}');
    }
    let mut own = tools::of_claude(request, model).peekable();
    if own.peek().is_some() {
        json.key("tools").open(b'[');
        for raw in own {
            json.raw(raw);
        }
        json.close(b']');
    }
    write_reasoning(json, request, order)
}

fn write_members(json: &mut JsonText, (name, raw): (&str, &str)) -> Result<(), Unfit> {
    let members = object::members(raw.as_bytes())
        .map_err(|why| Unfit::malformed(name, format!("it must be an object: {why}")))?;
    for member in &members {
        json.raw(&raw[member.key().start..member.value().end]);
    }
    Ok(())
}

fn write_reasoning(
    json: &mut JsonText,
    request: &Request<'_>,
    order: &Order<'_>,
) -> Result<(), Unfit> {
    let word = match Model(order.upstream_model).reasons() {
        Reasons::Claude => return effort::write_cloud(json, request, order),
        Reasons::Never => return Ok(()),
        Reasons::Nova | Reasons::Word | Reasons::Nested => match wanted(request) {
            Some(word) => word,
            None => return Ok(()),
        },
    };
    match Model(order.upstream_model).reasons() {
        Reasons::Nova if word == "none" => {}
        Reasons::Nova => {
            json.key("reasoningConfig").open(b'{').member("type", "enabled");
            json.member("maxReasoningEffort", of_three(&word)).close(b'}');
        }
        Reasons::Word if word == "none" => {}
        Reasons::Word => {
            json.member("reasoning_effort", of_three(&word));
        }
        Reasons::Nested => {
            json.key("reasoning").open(b'{').member("effort", &word).close(b'}');
        }
        Reasons::Claude | Reasons::Never => {}
    }
    Ok(())
}

/// The nearest of the three degrees that most models have.
fn of_three(word: &str) -> &str {
    match word {
        "minimal" => "low",
        "xhigh" | "max" => "high",
        other => other,
    }
}

/// How much the model is to reason, in OpenAI's words; budgets become the nearest of them.
fn wanted<'r>(request: &'r Request<'_>) -> Option<Cow<'r, str>> {
    if let Some(effort) = &request.effort {
        return Some(Cow::Borrowed(effort));
    }
    let budget = match request.thinking.as_ref()? {
        Thinking::Off => return Some(Cow::Borrowed("none")),
        Thinking::Adaptive => return None,
        Thinking::Budget(budget) => *budget,
        Thinking::Native(raw) => effort::budget_of(raw)?,
    };
    Some(Cow::Borrowed(match budget {
        10_000.. => "high",
        5_000.. => "medium",
        2_000.. => "low",
        _ => "minimal",
    }))
}
