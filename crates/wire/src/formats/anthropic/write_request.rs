//! Writes a neutral request as the body of a messages request.
//!
//! Called for clients of another format. Always true: [`super::edits`] then edits the body and sets the model; what
//! cannot be expressed is refused, or left out if `drop_params` allows it.

use std::borrow::Cow;

use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::{Engine, alphabet};

use super::effort;
use crate::bytes::json::JsonText;
use crate::formats::advice::is_advice;
use crate::formats::answer_tool;
use crate::formats::neutral::{
    Content, Part, Request, Role, Source, Text, Tool, ToolChoice, Unfit,
};
use crate::formats::order::Order;
use crate::formats::schema::{self, TooMuch};

const FIX: &str = "leave it out, or set `drop_params: true`";

/// Parameters of the messages format that clients of another format may send unchanged.
const NATIVE: &[&str] = &[
    "top_k",
    "cache_control",
    "container",
    "context_management",
    "inference_geo",
    "mcp_servers",
    "output_format",
    "speed",
];

/// The body of `request`, which was read from that many bytes.
pub(crate) fn write(
    request: &Request<'_>,
    order: &Order<'_>,
    bytes: usize,
) -> Result<Vec<u8>, Unfit> {
    let mut json = JsonText::of_request(bytes, schema::GROWTH);
    json.open(b'{').member("model", order.upstream_model);
    let plan = effort::plan(request, order)?;
    json.raw_member("max_tokens", &plan.most);
    if !request.system.is_empty() {
        json.key("system");
        write_parts(&mut json, &request.system, order)?;
    }
    json.key("messages").open(b'[');
    for turn in &request.turns {
        // This format has no empty turns.
        if turn.parts.is_empty() && turn.role != Role::User {
            continue;
        }
        let role = if turn.role == Role::Assistant { "assistant" } else { "user" };
        json.open(b'{').member("role", role).key("content");
        write_parts(&mut json, &turn.parts, order)?;
        json.close(b'}');
    }
    json.close(b']');
    for (name, raw) in sampling(request) {
        json.raw_member(name, raw);
    }
    write_stops(&mut json, &request.stop, order);
    if request.stream {
        json.raw_member("stream", "true");
    }
    if let Some(user) = &request.user {
        json.key("metadata").open(b'{').member("user_id", user).close(b'}');
    }
    write_tools(&mut json, request)?;
    if let Some(thinking) = &plan.thinking {
        json.raw_member("thinking", thinking);
    }
    effort::write_output(&mut json, request, &plan, order)?;
    write_others(&mut json, request, order)?;
    json.close(b'}');
    Ok(json.into_bytes())
}

/// How words are chosen. Newer models take one of the two, so that of two the one with its default is left out.
fn sampling<'r>(request: &'r Request<'_>) -> impl Iterator<Item = (&'static str, &'r str)> {
    let is_default = |raw: &str| raw.parse() == Ok(1.0);
    let (temperature, top_p) = (request.temperature.as_deref(), request.top_p.as_deref());
    let (temperature, top_p) = match (temperature, top_p) {
        (Some(temperature), Some(top_p)) if is_default(top_p) => (Some(temperature), None),
        (Some(temperature), Some(top_p)) if is_default(temperature) => (None, Some(top_p)),
        both => both,
    };
    let named = [("temperature", temperature), ("top_p", top_p)];
    named.into_iter().filter_map(|(name, raw)| Some((name, raw?)))
}

/// Texts that end the answer. The provider refuses those without a word.
fn write_stops(json: &mut JsonText, stops: &[Text<'_>], order: &Order<'_>) {
    let stays = |text: &&Text<'_>| !(order.drop_params && text.trim().is_empty());
    let mut stops = stops.iter().filter(stays).peekable();
    if stops.peek().is_none() {
        return;
    }
    json.key("stop_sequences").open(b'[');
    for text in stops {
        json.text(text);
    }
    json.close(b']');
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
    if matches!(part.content, Content::Media(_)) {
        let provider = &order.deployment.endpoint.provider.name;
        let fix = "send a text in its place, or use a model that listens";
        return Err(Unfit::unsupported("messages: audio or video", provider, fix));
    }
    json.open(b'{');
    match &part.content {
        Content::Text(text) | Content::Refusal(text) => {
            json.member("type", "text").member("text", text);
        }
        Content::Media(_) => {}
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

/// Documents in base64 are PDF; text is sent as text.
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
            let field = format!(
                "messages: a file of type {}",
                crate::formats::errors::clean(media_type, 60)
            );
            let fix = "send PDF, plain text or an image";
            return Err(Unfit::unsupported(field, &order.deployment.endpoint.provider.name, fix));
        }
        source => write_source(json, source),
    }
    Ok(())
}

/// Base64 as clients write it: what a last character says beyond whole bytes is ignored.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

/// The text in base64 of either alphabet, with white space and padding or without; what follows the first
/// padding is ignored. `None` when it is no base64, or no UTF-8.
fn decode(data: &str) -> Option<String> {
    let letters = data.bytes().take_while(|byte| *byte != b'=');
    let letters = letters.filter(|byte| !byte.is_ascii_whitespace());
    // The iterator does not know its length, and a vector that grows takes twice the room.
    let mut plain = Vec::with_capacity(data.len() + 1);
    plain.extend(letters.map(|byte| match byte {
        b'-' => b'+',
        b'_' => b'/',
        byte => byte,
    }));
    let mut letters = plain;
    // One letter more than whole groups is no byte. It is checked like the others.
    let is_one_over = letters.len() % 4 == 1;
    if is_one_over {
        letters.push(b'A');
    }
    let mut bytes = LENIENT.decode(&letters).ok()?;
    if is_one_over {
        bytes.pop();
    }
    String::from_utf8(bytes).ok()
}

fn write_tools(json: &mut JsonText, request: &Request<'_>) -> Result<(), Unfit> {
    if request.tools.is_empty() {
        return Ok(());
    }
    json.key("tools").open(b'[');
    for (i, tool) in request.tools.iter().enumerate() {
        match tool {
            Tool::Native(raw) => {
                json.raw(raw);
            }
            Tool::Function { name, description, schema, strict, cache } => {
                json.open(b'{').member("name", name);
                if let Some(description) = description {
                    json.member("description", description);
                }
                let schema = schema.as_deref().unwrap_or("{}");
                write_schema(json, schema, *strict == Some(true))
                    .map_err(|why| Unfit::malformed(schema_field(i, name), why))?;
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
        // This format has no parallel limit without a choice.
        None if request.parallel_tools == Some(false) => "auto",
        None => return Ok(()),
    };
    json.key("tool_choice").open(b'{').member("type", kind);
    if let Some(ToolChoice::Named(name)) = &request.tool_choice {
        json.member("name", name);
    }
    if request.parallel_tools == Some(false) && kind != "none" {
        json.raw_member("disable_parallel_tool_use", "true");
    }
    json.close(b'}');
    Ok(())
}

/// Where the client wrote the schema of a tool.
fn schema_field(i: usize, name: &str) -> String {
    match name {
        answer_tool::NAME => "response_format.json_schema.schema".to_owned(),
        _ => format!("tools[{i}]: the schema"),
    }
}

/// The schema of a tool's input, which is always that of an object. The provider does not enforce one that refers to
/// itself, with alternatives at its first level, or whose objects several schemas describe.
fn write_schema(json: &mut JsonText, schema: &str, is_strict: bool) -> Result<(), TooMuch> {
    json.key("input_schema");
    let is_enforced =
        || schema::is_plain(schema) && !schema::is_circular(schema) && !schema::is_composed(schema);
    if is_strict && is_enforced() {
        schema::write_strict(json, schema)?;
        json.raw_member("strict", "true");
        return Ok(());
    }
    schema::write_input(json, schema)
}

fn write_others(
    json: &mut JsonText,
    request: &Request<'_>,
    order: &Order<'_>,
) -> Result<(), Unfit> {
    for (name, raw) in &request.others {
        // `output_config` was written before.
        if order.drops(name) || name == "output_config" {
            continue;
        }
        if NATIVE.contains(&&**name) {
            json.raw_member(name, raw);
        } else if !is_known(name, raw) && !order.drop_params {
            return Err(Unfit::unsupported(&**name, &order.deployment.endpoint.provider.name, FIX));
        }
    }
    Ok(())
}

/// Whether a parameter of the OpenAI format asks for nothing that this one has not.
fn is_known(name: &str, raw: &str) -> bool {
    is_advice(name) || name == "service_tier" || is_default(name, raw)
}

/// Whether a parameter of the OpenAI format has its default value.
fn is_default(name: &str, raw: &str) -> bool {
    match name {
        "n" => raw == "1",
        "logprobs" => raw == "false",
        "presence_penalty" | "frequency_penalty" => raw.parse() == Ok(0.0),
        "logit_bias" => raw == "{}",
        "modalities" => raw == r#"["text"]"#,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use hale_core::operation::Operation;
    use serde_json::{Value, json};

    use super::*;
    use crate::fixture::{deployment, order, sent};

    /// What Claude gets for a chat with these members.
    fn written(more: &Value, drop_params: bool) -> Value {
        let mut chat = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
        chat.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let claude = deployment("anthropic");
        let order = Order { drop_params, ..order(&claude, Operation::Chat, "x") };
        sent(&chat, &order).unwrap()
    }

    #[test]
    fn texts_in_base64_are_read() {
        for (text, expected) in [
            ("aGVsbG8gd8O2cmxk", Some("hello wörld")),
            ("aGk=", Some("hi")),
            ("aGk", Some("hi")),
            ("a G\tk\r\n=\x0c", Some("hi")),
            ("a b?", None),
            ("aGk\x0b", None),
            // Bits beyond the last whole byte are ignored, and so is a letter beyond the last group.
            ("aGl", Some("hi")),
            ("aGkhA", Some("hi!")),
            ("aGkh*", None),
            ("A", Some("")),
            ("*", None),
            ("", Some("")),
            // What follows padding is ignored, whatever it is.
            ("aGk=aGk=", Some("hi")),
            ("aGk=*", Some("hi")),
            ("=", Some("")),
            // Both alphabets, mixed too.
            ("Pj4-Pz8_", Some(">>>???")),
            ("Pj4+Pz8/", Some(">>>???")),
            ("Pj4-Pz8/", Some(">>>???")),
            // Bytes that are no UTF-8.
            ("/w==", None),
            ("aGkü", None),
        ] {
            assert_eq!(decode(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn of_two_ways_to_choose_words_the_one_that_asks_nothing_goes() {
        for (given, expected) in [
            (json!({"temperature": 0.7, "top_p": 1}), json!({"temperature": 0.7})),
            (json!({"temperature": 0.7, "top_p": 1.0}), json!({"temperature": 0.7})),
            (json!({"temperature": 1, "top_p": 0.9}), json!({"top_p": 0.9})),
            (json!({"temperature": 1, "top_p": 1}), json!({"temperature": 1})),
            (json!({"top_p": 1}), json!({"top_p": 1})),
            (json!({"temperature": 0.7, "top_p": 0.9}), json!({"temperature": 0.7, "top_p": 0.9})),
        ] {
            let mut out = written(&given, false);
            out.as_object_mut()
                .unwrap()
                .retain(|name, _| expected.get(name).is_some() || name.starts_with("t"));
            assert_eq!(out, expected, "{given}");
        }
    }

    #[test]
    fn a_stop_without_a_word_goes_where_parameters_may_be_dropped() {
        let stops = |given: Value, drops: bool| {
            written(&json!({"stop": given}), drops)["stop_sequences"].clone()
        };
        assert_eq!(stops(json!(["\n", "\nObservation:"]), true), json!(["\nObservation:"]));
        assert_eq!(stops(json!(["\n", "x"]), false), json!(["\n", "x"]));
        assert_eq!(stops(json!("\n"), true), Value::Null);
        assert_eq!(stops(json!("\n"), false), json!(["\n"]));
    }

    #[test]
    fn an_image_has_the_label_that_providers_know() {
        for (label, expected) in [
            ("image/jpg", "image/jpeg"),
            ("image/JPEG", "image/jpeg"),
            ("IMAGE/PNG;charset=x", "image/png"),
            ("image/x-png", "image/png"),
            ("image/webp", "image/webp"),
        ] {
            let url = format!("data:{label};base64,AAAA");
            let image = json!({"type": "image_url", "image_url": {"url": url}});
            let given = json!({"messages": [{"role": "user", "content": [image]}]});
            let source = &written(&given, false)["messages"][0]["content"][0]["source"];
            assert_eq!(source["media_type"], expected, "{label}");
            let block = json!({"type": "image", "source": {"type": "base64", "media_type": label.split(';').next(), "data": "AAAA"}});
            let given = json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": [block]}]});
            let openai = deployment("openai");
            let out = sent(&given, &order(&openai, Operation::Messages, "x")).unwrap();
            let url = out["messages"][0]["content"][0]["image_url"]["url"].as_str().unwrap();
            assert_eq!(url, format!("data:{expected};base64,AAAA"));
        }
    }
}
