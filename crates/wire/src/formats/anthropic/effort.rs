//! How much the model may reason and answer, and in which shape: `max_tokens`, `thinking`, `output_config`.
//!
//! Called by [`super::write_request`], and asked by the fit and by [`super::passed`] whether thinking has a place. Always
//! true: a reasoning budget made of an effort leaves at least as many tokens for the answer; two fields that contradict
//! each other are refused.

use std::borrow::Cow;

use crate::bytes::json::JsonText;
use crate::bytes::members::texts;
use crate::bytes::object;
use crate::formats::neutral::{Format, Json, Request, Thinking, Unfit};
use crate::formats::order::Order;
use crate::formats::schema;

/// `max_tokens` if neither the client nor the price list has a limit: the format requires one.
const MAX_TOKENS: u64 = 4096;
/// Smallest budget that the provider accepts. Source: its documentation of extended thinking.
const BUDGET_MIN: u64 = 1024;

/// The fields to write.
pub(super) struct Plan<'r> {
    /// `max_tokens`.
    pub(super) most: Json<'r>,
    /// `thinking`.
    pub(super) thinking: Option<Json<'r>>,
    /// `output_config.effort`.
    effort: Option<Cow<'r, str>>,
}

/// The fields for `request`.
pub(super) fn plan<'r>(request: &'r Request<'_>, order: &Order<'_>) -> Result<Plan<'r>, Unfit> {
    let wish = request.effort.as_deref().map(wish).transpose()?;
    let adaptive = reasons_adaptively(order.upstream_model);
    let limit = Limit::of(request, order);
    let Some(thinking) = &request.thinking else {
        return match wish {
            None | Some((0, _)) => Ok(Plan { most: limit.with(0), thinking: None, effort: None }),
            Some((_, word)) if adaptive => Ok(Plan {
                most: limit.with(0),
                thinking: Some(Cow::Borrowed(ADAPTIVE)),
                effort: Some(Cow::Borrowed(word)),
            }),
            Some((budget, _)) => Ok(by_budget(budget, limit)),
        };
    };
    let (json, budget) = match thinking {
        Thinking::Native(raw) => (Cow::Borrowed(&**raw), named_budget(raw)),
        Thinking::Off => (Cow::Borrowed(r#"{"type":"disabled"}"#), 0),
        Thinking::Adaptive => (Cow::Borrowed(ADAPTIVE), 0),
        Thinking::Budget(budget) => (enabled(*budget), *budget),
    };
    let effort = match wish {
        Some((1.., word)) if adaptive => Some(Cow::Borrowed(word)),
        Some(_) if !order.drop_params => {
            return Err(twice("reasoning_effort", "thinking"));
        }
        _ => None,
    };
    Ok(Plan { most: limit.with(budget), thinking: Some(json), effort })
}

const ADAPTIVE: &str = r#"{"type":"adaptive"}"#;

/// The budget and Anthropic's name for an effort of OpenAI.
fn wish(effort: &str) -> Result<(u64, &'static str), Unfit> {
    Ok(match effort {
        "none" => (0, "none"),
        "minimal" | "low" => (BUDGET_MIN, "low"),
        "medium" => (2048, "medium"),
        "high" => (4096, "high"),
        "xhigh" => (16_384, "xhigh"),
        "max" => (16_384, "max"),
        _ => {
            let why = "it is none of none, minimal, low, medium, high, xhigh, max";
            return Err(Unfit::malformed("reasoning_effort", why));
        }
    })
}

/// A reasoning budget is part of `max_tokens`: at most half of it, so that the answer fits too.
fn by_budget(budget: u64, limit: Limit<'_>) -> Plan<'_> {
    let budget = within(budget, &limit);
    if budget >= BUDGET_MIN {
        return Plan { most: limit.with(budget), thinking: Some(enabled(budget)), effort: None };
    }
    Plan { most: limit.with(0), thinking: None, effort: None }
}

fn within(budget: u64, limit: &Limit<'_>) -> u64 {
    budget.min(limit.known().map_or(budget, |most| most / 2))
}

/// `thinking`, a JSON text, within a limit of the answer that is less than the client's: `None` if it has its place;
/// `Some(None)` if there is none for any.
pub(super) fn fitted(thinking: &str, most: u64) -> Option<Option<Json<'static>>> {
    if !is_enabled(thinking) || named_budget(thinking) < most {
        return None;
    }
    let half = most / 2;
    Some((half >= BUDGET_MIN).then(|| enabled(half)))
}

/// What a request asks for besides thinking, and what may leave thinking no place.
pub(super) struct Asked<'r> {
    /// Maximum tokens of the answer.
    pub(super) most: Option<u64>,
    /// JSON text of `temperature`.
    pub(super) temperature: Option<&'r str>,
    /// JSON text of `top_p`.
    pub(super) top_p: Option<&'r str>,
    /// Whether it has `top_k`.
    pub(super) has_top_k: bool,
}

impl Asked<'_> {
    /// Whether thinking within `budget` has a place beside it.
    pub(super) fn has_place(&self, budget: u64, model: &str) -> bool {
        self.most.is_none_or(|most| most > budget) && !(self.samples() && is_fixed(model))
    }

    /// Whether it asks for a sampling that models do not have while they think. Source:
    /// <https://platform.claude.com/docs/en/build-with-claude/extended-thinking>.
    fn samples(&self) -> bool {
        let is = |raw: Option<&str>, refused: fn(f64) -> bool| {
            raw.and_then(|raw| raw.parse().ok()).is_some_and(refused)
        };
        self.has_top_k
            || is(self.temperature, |it| (it - 1.0).abs() > f64::EPSILON)
            || is(self.top_p, |it| it < 0.95)
    }
}

/// Whether a model samples in one way only while it thinks, and else as it is told. Later ones are never told.
fn is_fixed(model: &str) -> bool {
    version(model).is_some_and(|(_, version)| version < (4, 7))
}

/// Whether the thinking that `request` asks for has a place beside all else. Without such a wish it has.
pub(crate) fn has_place(request: &Request<'_>, order: &Order<'_>) -> bool {
    let limit = Limit::of(request, order);
    let budget = match &request.thinking {
        Some(Thinking::Off) => return true,
        Some(Thinking::Adaptive) => 0,
        Some(Thinking::Budget(budget)) => *budget,
        Some(Thinking::Native(raw)) if is_disabled(raw) => return true,
        Some(Thinking::Native(raw)) => named_budget(raw),
        None => match request.effort.as_deref().and_then(|effort| wish(effort).ok()) {
            None | Some((0, _)) => return true,
            Some(_) if reasons_adaptively(order.upstream_model) => 0,
            Some((budget, _)) => match within(budget, &limit) {
                budget if budget < BUDGET_MIN => return false,
                budget => budget,
            },
        },
    };
    let asked = Asked {
        most: limit.known(),
        temperature: request.temperature.as_deref(),
        top_p: request.top_p.as_deref(),
        has_top_k: request.others.iter().any(|(name, _)| name == "top_k" && !order.drops(name)),
    };
    asked.has_place(budget, order.upstream_model)
}

/// `thinking` for an effort, a JSON text, and its budget; `None` if it asks for none.
pub(super) fn thinking_of(effort: &str, model: &str) -> Option<Json<'static>> {
    match wish(effort.trim_matches('"')).ok()? {
        (0, _) => None,
        _ if reasons_adaptively(model) => Some(Cow::Borrowed(ADAPTIVE)),
        (budget, _) => Some(enabled(budget)),
    }
}

fn enabled(budget: u64) -> Json<'static> {
    Cow::Owned(format!(r#"{{"type":"enabled","budget_tokens":{budget}}}"#))
}

pub(super) fn named_budget(thinking: &str) -> u64 {
    // The provider decides about anything else.
    let found = texts(thinking, ["budget_tokens"]).ok();
    found.and_then(|[budget]| budget?.parse().ok()).unwrap_or(0)
}

fn twice(field: &str, other: &str) -> Unfit {
    Unfit::malformed(
        field,
        format!("`{other}` says it too; send one of them, or set `drop_params: true`"),
    )
}

/// Maximum tokens of the answer, reasoning included.
enum Limit<'r> {
    /// The client's limit, as JSON text.
    Given(&'r str),
    /// The model's limit in the price list, or what its provider named when it refused the client's.
    Listed(u64),
    /// Only what its provider named when it refused more.
    Refused(u64),
    /// There is none.
    Unknown,
}

impl<'r> Limit<'r> {
    fn of(request: &'r Request<'_>, order: &Order<'_>) -> Limit<'r> {
        if let Some(raw) = &request.max_tokens {
            let less = order.bounded(raw).and_then(|less| less.parse().ok());
            return less.map_or(Limit::Given(raw), Limit::Listed);
        }
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a count of tokens, and the cast saturates"
        )]
        let listed = order.deployment.facts.max_output_tokens.map(|most| most as u64);
        match (listed.filter(|most| *most > 0), order.known.most()) {
            (Some(most), _) => Limit::Listed(order.within(most)),
            (None, Some(most)) => Limit::Refused(most),
            (None, None) => Limit::Unknown,
        }
    }

    fn known(&self) -> Option<u64> {
        match self {
            Limit::Given(raw) => raw.parse().ok(),
            Limit::Listed(most) | Limit::Refused(most) => Some(*most),
            Limit::Unknown => None,
        }
    }

    /// `max_tokens`, of which `budget` are for reasoning.
    fn with(&self, budget: u64) -> Json<'r> {
        match self {
            Limit::Given(raw) => Cow::Borrowed(raw),
            Limit::Listed(most) => Cow::Owned(most.to_string()),
            Limit::Refused(most) => {
                Cow::Owned(MAX_TOKENS.saturating_add(budget).min(*most).to_string())
            }
            Limit::Unknown => Cow::Owned(MAX_TOKENS.saturating_add(budget).to_string()),
        }
    }
}

/// Writes `output_config`: the client's own, with the effort and the format from OpenAI's fields.
pub(super) fn write_output(
    json: &mut JsonText,
    request: &Request<'_>,
    plan: &Plan<'_>,
    order: &Order<'_>,
) -> Result<(), Unfit> {
    let mut schema = match &request.format {
        Some(Format::Schema { schema, .. }) => Some(schema),
        Some(Format::JsonObject) | None => None,
    };
    let mut effort = plan.effort.as_deref();
    let other =
        |name: &str| request.others.iter().find(|(other, _)| other == name && !order.drops(name));
    let given = other("output_config").map_or("{}", |(_, raw)| &**raw);
    let own = object::members(given.as_bytes())
        .map_err(|why| Unfit::malformed("output_config", format!("it must be an object: {why}")))?;
    let has = |name| own.iter().any(|member| object::key_is(given.as_bytes(), member, name));
    if has("effort") && effort.take().is_some() && !order.drop_params {
        return Err(twice("reasoning_effort", "output_config.effort"));
    }
    let shaped = has("format") || other("output_format").is_some();
    if shaped && schema.take().is_some() && !order.drop_params {
        return Err(twice("response_format", "output_config.format"));
    }
    if own.is_empty() && schema.is_none() && effort.is_none() {
        return Ok(());
    }
    json.key("output_config").open(b'{');
    for member in &own {
        json.raw(&given[member.key().start..member.value().end]);
    }
    if let Some(effort) = effort {
        json.member("effort", effort);
    }
    if let Some(schema) = schema {
        json.key("format").open(b'{').member("type", "json_schema").key("schema");
        let written = schema::write_strict(json, schema);
        written.map_err(|why| Unfit::malformed("response_format.json_schema.schema", why))?;
        json.close(b'}');
    }
    json.close(b'}');
    Ok(())
}

/// Writes `thinking` and `output_config` where another format has a place for Anthropic's own words.
pub(crate) fn write_cloud(
    json: &mut JsonText,
    request: &Request<'_>,
    order: &Order<'_>,
) -> Result<(), Unfit> {
    let plan = plan(request, order)?;
    if let Some(thinking) = &plan.thinking {
        json.raw_member("thinking", thinking);
    }
    let unshaped = Request { format: None, others: request.others.clone(), ..Request::default() };
    write_output(json, &unshaped, &plan, order)
}

/// The budget that Anthropic's `thinking`, as JSON text, names, if it turns it on.
pub(crate) fn budget_of(thinking: &str) -> Option<u64> {
    is_enabled(thinking).then(|| named_budget(thinking))
}

/// Whether a request thinks within a budget. Such thinking must stand before every call that it led to.
pub(crate) fn has_budget(request: &Request<'_>, order: &Order<'_>) -> bool {
    match &request.thinking {
        Some(Thinking::Budget(_)) => true,
        Some(Thinking::Native(raw)) => is_enabled(raw),
        Some(Thinking::Off | Thinking::Adaptive) => false,
        None => {
            let wish = request.effort.as_deref().and_then(|effort| wish(effort).ok());
            wish.is_some_and(|(budget, _)| budget > 0) && !reasons_adaptively(order.upstream_model)
        }
    }
}

/// Whether Anthropic's `thinking`, as JSON text, turns it on within a budget.
pub(super) fn is_enabled(thinking: &str) -> bool {
    texts(thinking, ["type"]).is_ok_and(|[kind]| kind == Some("\"enabled\""))
}

/// Whether Anthropic's `thinking`, as JSON text, turns it off.
fn is_disabled(thinking: &str) -> bool {
    texts(thinking, ["type"]).is_ok_and(|[kind]| kind == Some("\"disabled\""))
}

/// Whether a model decides itself how much it reasons: Claude 4.6 and later. Source:
/// <https://platform.claude.com/docs/en/build-with-claude/adaptive-thinking>.
fn reasons_adaptively(model: &str) -> bool {
    version(model).is_some_and(|(_, version)| version >= (4, 6))
}

/// Whether a model answers by a schema: Claude 4.5 and later, and Opus 4.1. Models of others are taken to. Source:
/// <https://platform.claude.com/docs/en/build-with-claude/structured-outputs>.
pub(crate) fn has_schemas(model: &str) -> bool {
    version(model).is_none_or(|(family, version)| {
        version >= (4, 5) || (family == "opus" && version == (4, 1))
    })
}

/// Whether a model is a Claude of that version or a later one.
pub(crate) fn is_since(model: &str, least: (u32, u32)) -> bool {
    version(model).is_some_and(|(_, version)| version >= least)
}

/// The family and the version of a Claude; `None` for other models. Names since Claude 4 are
/// `claude-FAMILY-MAJOR-MINOR-DATE`; earlier ones have the number first.
fn version(model: &str) -> Option<(&str, (u32, u32))> {
    let (_, tail) = model.split_once("claude-")?;
    let mut words = tail.split(['-', '@', ':']);
    let family = words.next().unwrap_or_default();
    if family.starts_with(|c: char| c.is_ascii_digit()) || family == "instant" {
        return Some((family, (0, 0)));
    }
    let number = |word: Option<&str>| word.filter(|word| word.len() <= 2)?.parse::<u32>().ok();
    Some(match (number(words.next()), number(words.next())) {
        (Some(major), minor) => (family, (major, minor.unwrap_or(0))),
        // A name without a number is newer.
        (None, _) => (family, (u32::MAX, 0)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newer_models_reason_adaptively() {
        for (model, expected) in [
            ("claude-opus-4-6", true),
            ("claude-opus-4-7-20260416", true),
            ("claude-sonnet-5", true),
            ("claude-haiku-5-5", true),
            ("claude-mythos-preview", true),
            ("anthropic.claude-opus-4-6", true),
            ("claude-haiku-4-5-20251001", false),
            ("claude-sonnet-4-20250514", false),
            ("claude-opus-4-1", false),
            ("claude-3-7-sonnet-20250219", false),
            ("claude-instant-1", false),
            ("deepseek-chat", false),
        ] {
            assert_eq!(reasons_adaptively(model), expected, "{model}");
        }
    }

    #[test]
    fn newer_models_answer_by_a_schema() {
        for (model, expected) in [
            ("claude-sonnet-4-5", true),
            ("claude-haiku-4-5-20251001", true),
            ("claude-opus-4-1-20250805", true),
            ("claude-opus-4-20250514", false),
            ("claude-sonnet-4-0", false),
            ("claude-3-7-sonnet-20250219", false),
            ("claude-mythos-preview", true),
            ("x", true),
        ] {
            assert_eq!(has_schemas(model), expected, "{model}");
        }
    }
}
