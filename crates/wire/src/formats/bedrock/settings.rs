//! Writes what stands beside the prompt: limits, sampling, the answer's shape, reasoning, guardrails.
//!
//! Called by [`super::write_request`]. Always true: a parameter that changes the answer and has no place is refused by its
//! name, unless it may be dropped; what only advises is left out.

use std::borrow::Cow;
use std::collections::HashSet;

use super::model::Reasons;
use super::{FIX, Model, tools};
use crate::bytes::elements::elements;
use crate::bytes::json::{JsonText, Str};
use crate::bytes::object;
use crate::formats::advice::is_advice;
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
/// Writes them.
pub(super) fn write(
    json: &mut JsonText,
    request: &Request<'_>,
    order: &Order<'_>,
) -> Result<(), Unfit> {
    tools::check(request, order)?;
    let mut written = Vec::new();
    for (name, raw) in &request.others {
        if !order.drops(name) {
            write_beside(json, (name, raw), (order, &mut written))?;
        }
    }
    write_inference(json, request, order);
    write_format(json, request)?;
    let mark = json.mark();
    json.key("additionalModelRequestFields").open(b'{');
    write_fields(json, request, order)?;
    match json.is_at_start() {
        true => json.undo(mark),
        false => {
            json.close(b'}');
        }
    }
    Ok(())
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
    (order, written): (&Order<'_>, &mut Vec<&'static str>),
) -> Result<(), Unfit> {
    // What a client says in one spelling stands before what the config says in another.
    let mut is_first = |place: &'static str| {
        let is_first = !written.contains(&place);
        written.extend(is_first.then_some(place));
        is_first
    };
    if let Some((_, place)) = BESIDE.iter().find(|(given, _)| *given == name) {
        if is_first(place) {
            json.raw_member(place, raw);
        }
        return Ok(());
    }
    let model = Model(order.upstream_model);
    let is_known = match name {
        "service_tier" => match raw {
            "\"auto\"" | "\"default\"" | "\"standard\"" => {
                if is_first("serviceTier") {
                    json.key("serviceTier").raw(r#"{"type":"default"}"#);
                }
                true
            }
            "\"flex\"" | "\"priority\"" | "\"reserved\"" => {
                if is_first("serviceTier") {
                    json.key("serviceTier").open(b'{').raw_member("type", raw).close(b'}');
                }
                true
            }
            _ => false,
        },
        // A tool is written for it.
        "web_search_options" => model.is_nova(),
        "top_k" => model.is_claude() || model.is_nova() || model.is_mistral(),
        // Those of Claude are written among its own fields.
        "output_config" | "anthropic_beta" => model.is_claude(),
        name => FIELDS.contains(&name) || is_advice(name) || is_default(name, raw),
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
    let mut fields = Fields::default();
    for (name, raw) in request.others.iter().filter(|(name, _)| !order.drops(name)) {
        match &**name {
            name if FIELDS.contains(&name) => fields.add_all(name, raw)?,
            "top_k" if model.is_nova() => {
                fields.add("inferenceConfig", Cow::Owned(format!("{{\"topK\":{raw}}}")));
            }
            "top_k" if model.is_claude() || model.is_mistral() => fields.add(name, raw.clone()),
            "verbosity" if model.is_verbose() => fields.add(name, raw.clone()),
            "anthropic_beta" if model.is_claude() => fields.add(name, raw.clone()),
            _ => {}
        }
    }
    if model.is_claude() {
        fields.add_betas(&invoke::betas(order).collect::<Vec<_>>());
    }
    for (name, raw) in &fields.0 {
        json.raw_member(name, raw);
    }
    let limits = tools::limits_calls(request) && (model.is_claude() || model.is_nova());
    if limits && !fields.has("tool_choice") {
        json.key("tool_choice").open(b'{');
        if request.tool_choice.is_none() {
            json.member("type", "auto");
        }
        json.raw_member("disable_parallel_tool_use", "true").close(b'}');
    }
    let mut own = tools::of_claude(request, model).peekable();
    if own.peek().is_some() && !fields.has("tools") {
        json.key("tools").open(b'[');
        for raw in own {
            json.raw(raw);
        }
        json.close(b']');
    }
    // Those that say it in the maker's words have said it.
    match REASONING.iter().any(|name| fields.has(name)) {
        true => Ok(()),
        false => write_reasoning(json, request, order),
    }
}

/// What says in the words of one maker or another how much a model reasons.
const REASONING: [&str; 5] =
    ["thinking", "output_config", "reasoningConfig", "reasoning_effort", "reasoning"];

/// What the maker of the model is told: each name once. What comes first counts, because the client's stands before the config's.
#[derive(Default)]
struct Fields<'r>(Vec<(Cow<'r, str>, Cow<'r, str>)>);

impl<'r> Fields<'r> {
    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }

    fn add(&mut self, name: &'r str, raw: Cow<'r, str>) {
        if !self.has(name) {
            self.0.push((Cow::Borrowed(name), raw));
        }
    }

    /// Adds the members of the object `raw`, which the request calls `name`.
    fn add_all(&mut self, name: &str, raw: &'r str) -> Result<(), Unfit> {
        let members = object::members(raw.as_bytes())
            .map_err(|why| Unfit::malformed(name, format!("it must be an object: {why}")))?;
        let mut known: HashSet<String> = self.0.iter().map(|(name, _)| name.to_string()).collect();
        // Of two of one name in one object the last one counts.
        let found: Vec<_> = members
            .iter()
            .rev()
            .filter_map(|member| {
                let key: Str<'_> = serde_json::from_str(&raw[member.key()]).ok()?;
                let name = key.0.into_owned();
                known.insert(name.clone()).then(|| (name, &raw[member.value()]))
            })
            .collect();
        let found = found.into_iter().rev();
        self.0.extend(found.map(|(name, raw)| (Cow::Owned(name), Cow::Borrowed(raw))));
        Ok(())
    }

    /// Adds betas to those that are named already.
    fn add_betas(&mut self, betas: &[&str]) {
        const NAME: &str = "anthropic_beta";
        if betas.is_empty() {
            return;
        }
        let named = self.0.iter().position(|(name, _)| name == NAME);
        let given = named.and_then(|at| elements(&self.0[at].1)).into_iter().flatten();
        let mut all: Vec<String> = given.map(str::to_owned).collect();
        for beta in betas.iter().map(|beta| format!("\"{beta}\"")) {
            if !all.contains(&beta) {
                all.push(beta);
            }
        }
        let list = Cow::Owned(format!("[{}]", all.join(",")));
        match named {
            Some(at) => self.0[at].1 = list,
            None => self.0.push((Cow::Borrowed(NAME), list)),
        }
    }
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
