//! A neutral request as the body of a messages request.
//!
//! Called by [`crate::way`] for clients of another format. Always true: the body goes through
//! [`super::edits`] afterwards, which names the model; what can not be said here is refused, or left out
//! where `drop_params` allows it.

use std::borrow::Cow;

use crate::json::JsonText;
use crate::neutral::{
    Content, Format, Part, Request, Role, Source, Thinking, Tool, ToolChoice, Unfit,
};
use crate::order::Order;

/// `max_tokens` where neither the client nor the price list names a number. Source: the contract.
const MAX_TOKENS: u64 = 4096;
/// Least budget that the provider takes. Source: its documentation of extended thinking.
const BUDGET_MIN: u64 = 1024;
const REMEDY: &str = "leave it out, or set `drop_params: true`";

/// Parameters of the messages format that clients of another format may use as they are.
const NATIVE: &[&str] = &[
    "top_k",
    "cache_control",
    "container",
    "context_management",
    "inference_geo",
    "mcp_servers",
    "output_config",
    "output_format",
    "speed",
];

/// The body of `request`.
pub(crate) fn write(request: &Request<'_>, order: &Order<'_>) -> Result<Vec<u8>, Unfit> {
    let mut json = JsonText::new();
    json.open(b'{').member("model", order.upstream_model);
    let most = max_tokens(request, order);
    json.raw_member("max_tokens", &most);
    if !request.system.is_empty() {
        json.key("system");
        write_parts(&mut json, &request.system, order)?;
    }
    json.key("messages").open(b'[');
    for turn in &request.turns {
        // A turn in which nothing was said can not be said here.
        if turn.parts.is_empty() && turn.role != Role::User {
            continue;
        }
        let role = match turn.role {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
        };
        json.open(b'{').member("role", role).key("content");
        write_parts(&mut json, &turn.parts, order)?;
        json.close(b'}');
    }
    json.close(b']');
    for (name, raw) in [("temperature", &request.temperature), ("top_p", &request.top_p)] {
        if let Some(raw) = raw {
            json.raw_member(name, raw);
        }
    }
    if !request.stop.is_empty() {
        json.key("stop_sequences").open(b'[');
        for text in &request.stop {
            json.text(text);
        }
        json.close(b']');
    }
    if request.stream {
        json.raw_member("stream", "true");
    }
    if let Some(user) = &request.user {
        json.key("metadata").open(b'{').member("user_id", user).close(b'}');
    }
    write_tools(&mut json, request);
    let effort = write_thinking(&mut json, request, order, &most)?;
    write_output(&mut json, request, effort, order)?;
    write_others(&mut json, request, order)?;
    json.close(b'}');
    Ok(json.into_bytes())
}

fn max_tokens<'r>(request: &'r Request<'_>, order: &Order<'_>) -> Cow<'r, str> {
    if let Some(raw) = &request.max_tokens {
        return Cow::Borrowed(raw);
    }
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count of tokens, and the cast saturates"
    )]
    let listed = order.deployment.facts.max_output_tokens.map(|most| most as u64);
    Cow::Owned(listed.filter(|most| *most > 0).unwrap_or(MAX_TOKENS).to_string())
}

fn write_parts(json: &mut JsonText, parts: &[Part<'_>], order: &Order<'_>) -> Result<(), Unfit> {
    if let [Part { content: Content::Text(text), cache: None }] = parts {
        json.text(text);
        return Ok(());
    }
    json.open(b'[');
    for part in parts {
        write_part(json, part, order)?;
    }
    json.close(b']');
    Ok(())
}

fn write_part(json: &mut JsonText, part: &Part<'_>, order: &Order<'_>) -> Result<(), Unfit> {
    json.open(b'{');
    match &part.content {
        Content::Text(text) | Content::Refusal(text) => {
            json.member("type", "text").member("text", text);
        }
        Content::Image(source) => {
            json.member("type", "image");
            write_source(json, source);
        }
        Content::Document { source, title, context } => {
            let is_image = matches!(source, Source::Base64 { media_type, .. }
                if media_type.starts_with("image/"));
            json.member("type", if is_image { "image" } else { "document" });
            write_document(json, source, order)?;
            if let Some(title) = title.as_ref().filter(|_| !is_image) {
                json.member("title", title);
            }
            if let Some(context) = context {
                json.member("context", context);
            }
        }
        Content::ToolCall { id, name, input } => {
            json.member("type", "tool_use").member("id", id).member("name", name);
            json.raw_member("input", input);
        }
        Content::ToolResult { id, parts, is_error } => {
            json.member("type", "tool_result").member("tool_use_id", id);
            if !parts.is_empty() {
                json.key("content");
                write_parts(json, parts, order)?;
            }
            if *is_error {
                json.raw_member("is_error", "true");
            }
        }
        Content::Thinking { text, signature } => {
            json.member("type", "thinking").member("thinking", text).member("signature", signature);
        }
        Content::Redacted(data) => {
            json.member("type", "redacted_thinking").member("data", data);
        }
    }
    if let Some(cache) = &part.cache {
        json.raw_member("cache_control", cache);
    }
    json.close(b'}');
    Ok(())
}

fn write_source(json: &mut JsonText, source: &Source<'_>) {
    json.key("source").open(b'{');
    match source {
        Source::Base64 { media_type, data } => {
            json.member("type", "base64").member("media_type", media_type).member("data", data)
        }
        Source::Plain(text) => {
            json.member("type", "text").member("media_type", "text/plain").member("data", text)
        }
        Source::Url(url) => json.member("type", "url").member("url", url),
        Source::File(id) => json.member("type", "file").member("file_id", id),
    };
    json.close(b'}');
}

/// Documents in base 64 are PDF; text goes as text.
fn write_document(
    json: &mut JsonText,
    source: &Source<'_>,
    order: &Order<'_>,
) -> Result<(), Unfit> {
    match source {
        Source::Base64 { media_type, data } if media_type.starts_with("text/") => {
            let text = decode(data).ok_or_else(|| {
                Unfit::malformed("messages: file.file_data", "it is not UTF-8 in base64")
            })?;
            write_source(json, &Source::Plain(Cow::Owned(text)));
        }
        Source::Base64 { media_type, .. }
            if media_type != "application/pdf" && !media_type.starts_with("image/") =>
        {
            let field =
                format!("messages: a file of type {}", crate::errors::clean(media_type, 60));
            let remedy = "send PDF, plain text or an image";
            return Err(Unfit::unsupported(field, &order.deployment.provider.name, remedy));
        }
        source => write_source(json, source),
    }
    Ok(())
}

/// The text in base 64; `None` when it is none.
fn decode(data: &str) -> Option<String> {
    let mut out = Vec::with_capacity(data.len() / 4 * 3);
    let (mut bits, mut count) = (0u32, 0u32);
    for byte in data.bytes().filter(|byte| !byte.is_ascii_whitespace()) {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            b'=' => break,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push(u8::try_from(bits >> count & 0xff).ok()?);
            bits &= (1 << count) - 1;
        }
    }
    String::from_utf8(out).ok()
}

fn write_tools(json: &mut JsonText, request: &Request<'_>) {
    if request.tools.is_empty() {
        return;
    }
    json.key("tools").open(b'[');
    for tool in &request.tools {
        match tool {
            Tool::Native(raw) => {
                json.raw(raw);
            }
            Tool::Function { name, description, schema, strict, cache } => {
                json.open(b'{').member("name", name);
                if let Some(description) = description {
                    json.member("description", description);
                }
                let schema = schema.as_deref().unwrap_or(r#"{"type":"object","properties":{}}"#);
                json.raw_member("input_schema", schema);
                if *strict == Some(true) {
                    json.raw_member("strict", "true");
                }
                if let Some(cache) = cache {
                    json.raw_member("cache_control", cache);
                }
                json.close(b'}');
            }
        }
    }
    json.close(b']');
    let kind = match &request.tool_choice {
        Some(ToolChoice::Nothing) => "none",
        Some(ToolChoice::Any) => "any",
        Some(ToolChoice::Named(_)) => "tool",
        Some(ToolChoice::Auto) => "auto",
        // One at a time can only be said together with a choice.
        None if request.parallel_tools == Some(false) => "auto",
        None => return,
    };
    json.key("tool_choice").open(b'{').member("type", kind);
    if let Some(ToolChoice::Named(name)) = &request.tool_choice {
        json.member("name", name);
    }
    if request.parallel_tools == Some(false) && kind != "none" {
        json.raw_member("disable_parallel_tool_use", "true");
    }
    json.close(b'}');
}

/// Writes `thinking`; gives the effort that belongs into `output_config`.
fn write_thinking<'r>(
    json: &mut JsonText,
    request: &'r Request<'_>,
    order: &Order<'_>,
    most: &str,
) -> Result<Option<&'r str>, Unfit> {
    match &request.thinking {
        Some(Thinking::Native(raw)) => {
            json.raw_member("thinking", raw);
            return Ok(None);
        }
        Some(Thinking::Off) => {
            json.raw_member("thinking", r#"{"type":"disabled"}"#);
            return Ok(None);
        }
        Some(Thinking::Adaptive) => {
            json.raw_member("thinking", r#"{"type":"adaptive"}"#);
            return Ok(request.effort.as_deref());
        }
        Some(Thinking::Budget(budget)) => {
            write_budget(json, *budget);
            return Ok(None);
        }
        None => {}
    }
    let Some(effort) = request.effort.as_deref() else { return Ok(None) };
    let (budget, adaptive) = match effort {
        "none" => return Ok(None),
        "minimal" | "low" => (BUDGET_MIN, "low"),
        "medium" => (2048, "medium"),
        "high" => (4096, "high"),
        "xhigh" => (16_384, "xhigh"),
        "max" => (16_384, "max"),
        _ => {
            let why = "it is none of none, minimal, low, medium, high, xhigh, max";
            return Err(Unfit::malformed("reasoning_effort", why));
        }
    };
    if thinks_adaptively(order.upstream_model) {
        json.raw_member("thinking", r#"{"type":"adaptive"}"#);
        return Ok(Some(adaptive));
    }
    // A budget must be below the most tokens of the answer.
    let room = most.parse::<u64>().map_or(budget, |most| most.saturating_sub(1));
    if room < BUDGET_MIN {
        if order.drop_params {
            return Ok(None);
        }
        let remedy = "allow more than 1024 tokens with `max_tokens`, or leave it out";
        let provider = &order.deployment.provider.name;
        return Err(Unfit::unsupported("reasoning_effort", provider, remedy));
    }
    write_budget(json, budget.min(room));
    Ok(None)
}

fn write_budget(json: &mut JsonText, budget: u64) {
    json.key("thinking").open(b'{').member("type", "enabled");
    json.count_member("budget_tokens", budget).close(b'}');
}

/// Whether a model decides itself how much it thinks: Claude from 4.6 on. Names since Claude 4 are
/// `claude-FAMILY-MAJOR-MINOR-DATE`; those before begin with the number. Source:
/// <https://platform.claude.com/docs/en/build-with-claude/adaptive-thinking>.
fn thinks_adaptively(model: &str) -> bool {
    let Some((_, rest)) = model.split_once("claude-") else { return false };
    let mut words = rest.split(['-', '@', ':']);
    let family = words.next().unwrap_or_default();
    if family.starts_with(|c: char| c.is_ascii_digit()) || family == "instant" {
        return false;
    }
    let number = |word: Option<&str>| word.filter(|word| word.len() <= 2)?.parse::<u32>().ok();
    match (number(words.next()), number(words.next())) {
        (Some(4), minor) => minor.is_some_and(|minor| minor >= 6),
        (Some(major), _) => major > 4,
        // A name without a number is a newer one.
        (None, _) => true,
    }
}

/// Writes `output_config`: what the client gave in the provider's own words, else effort and format.
fn write_output(
    json: &mut JsonText,
    request: &Request<'_>,
    effort: Option<&str>,
    order: &Order<'_>,
) -> Result<(), Unfit> {
    let schema = match &request.format {
        Some(Format::Schema { schema, .. }) => Some(schema),
        Some(Format::JsonObject) if order.drop_params => None,
        Some(Format::JsonObject) => {
            return Err(Unfit::unsupported(
                "response_format.type: json_object",
                &order.deployment.provider.name,
                "give a `json_schema`, or set `drop_params: true`",
            ));
        }
        None => None,
    };
    let given = request.others.iter().any(|(name, _)| name == "output_config");
    if given || (schema.is_none() && effort.is_none()) {
        return Ok(());
    }
    json.key("output_config").open(b'{');
    if let Some(effort) = effort {
        json.member("effort", effort);
    }
    if let Some(schema) = schema {
        json.key("format").open(b'{').member("type", "json_schema");
        json.raw_member("schema", schema).close(b'}');
    }
    json.close(b'}');
    Ok(())
}

fn write_others(
    json: &mut JsonText,
    request: &Request<'_>,
    order: &Order<'_>,
) -> Result<(), Unfit> {
    for (name, raw) in &request.others {
        if order.drops(name) {
            continue;
        }
        if NATIVE.contains(&&**name) {
            json.raw_member(name, raw);
        } else if !says_nothing(name, raw) && !order.drop_params {
            return Err(Unfit::unsupported(&**name, &order.deployment.provider.name, REMEDY));
        }
    }
    Ok(())
}

/// Whether a parameter of the OpenAI format has the value that it has anyway.
fn says_nothing(name: &str, raw: &str) -> bool {
    match name {
        "n" => raw == "1",
        "logprobs" | "store" => raw == "false",
        "presence_penalty" | "frequency_penalty" => raw.parse() == Ok(0.0),
        "logit_bias" => raw == "{}",
        "modalities" => raw == r#"["text"]"#,
        "service_tier" => matches!(raw, "\"auto\"" | "\"default\""),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newer_models_think_adaptively() {
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
            assert_eq!(thinks_adaptively(model), expected, "{model}");
        }
    }

    #[test]
    fn texts_in_base64_are_read() {
        assert_eq!(decode("aGVsbG8gd8O2cmxk").as_deref(), Some("hello wörld"));
        assert_eq!(decode("aGk=").as_deref(), Some("hi"));
        assert_eq!(decode("a b?"), None);
    }
}
