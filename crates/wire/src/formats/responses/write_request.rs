//! Writes a neutral request as the body of a request for a response.
//!
//! Called for clients of other formats, where the config says that the model has responses alone. Always true: nothing is kept by
//! the provider; [`super::edits`] then edits the body; what cannot be expressed is refused, or left out if `drop_params` allows it.

use crate::bytes::json::JsonText;
use crate::formats::neutral::{
    Content, Format, Part, Request, Role, Source, Thinking, Tool, ToolChoice, Turn, Unfit,
};
use crate::formats::order::Order;
use crate::formats::schema::{self, TooMuch};
use crate::formats::signed_call;

/// Parameters of other formats that change no answer.
const ADVICE: &[&str] = &[
    "cache_control",
    "output_config.task_budget",
    "prediction",
    "prompt_cache_key",
    "prompt_cache_retention",
    "safety_identifier",
    "service_tier",
    "speed",
    "store",
    "verbosity",
];
const FIX: &str = "leave it out, or set `drop_params: true`";

/// The body of `request`, which was read from that many bytes.
pub(crate) fn write(
    request: &Request<'_>,
    order: &Order<'_>,
    bytes: usize,
) -> Result<Vec<u8>, Unfit> {
    let mut json = JsonText::of_request(bytes, schema::GROWTH);
    json.open(b'{').member("model", order.upstream_model).key("input").open(b'[');
    if !request.system.is_empty() {
        message(&mut json, ("system", "input_text"), &request.system, order)?;
    }
    for turn in &request.turns {
        write_turn(&mut json, turn, order)?;
    }
    json.close(b']').raw_member("store", "false");
    parameters(&mut json, request);
    write_tools(&mut json, request, order)?;
    write_format(&mut json, request.format.as_ref())?;
    for (name, _) in &request.others {
        if order.drop_params || order.drops(name) || ADVICE.contains(&&**name) {
            continue;
        }
        return Err(Unfit::unsupported(&**name, &order.deployment.endpoint.provider.name, FIX));
    }
    if !request.stop.is_empty() && !order.drop_params && !order.drops("stop") {
        return Err(Unfit::unsupported("stop", &order.deployment.endpoint.provider.name, FIX));
    }
    json.close(b'}');
    Ok(json.into_bytes())
}

fn parameters(json: &mut JsonText, request: &Request<'_>) {
    let raws = [
        ("max_output_tokens", &request.max_tokens),
        ("temperature", &request.temperature),
        ("top_p", &request.top_p),
    ];
    for (name, raw) in raws {
        if let Some(raw) = raw {
            json.raw_member(name, raw);
        }
    }
    if request.stream {
        json.raw_member("stream", "true");
    }
    if let Some(user) = &request.user {
        json.member("user", user);
    }
    let effort = match &request.thinking {
        Some(Thinking::Off | Thinking::Native(_)) => None,
        None | Some(Thinking::Adaptive) => request.effort.as_deref(),
        Some(Thinking::Budget(budget)) => request.effort.as_deref().or(Some(match budget {
            10_000.. => "high",
            5_000.. => "medium",
            _ => "low",
        })),
    };
    if let Some(effort) = effort {
        let effort = if effort == "max" { "xhigh" } else { effort };
        json.key("reasoning").open(b'{').member("effort", effort).close(b'}');
    }
}

fn write_turn(json: &mut JsonText, turn: &Turn<'_>, order: &Order<'_>) -> Result<(), Unfit> {
    let role = match turn.role {
        Role::System => ("system", "input_text"),
        Role::User => ("user", "input_text"),
        Role::Assistant => ("assistant", "output_text"),
    };
    // A call and a result are items of their own; what is said between them is a message.
    let mut said: Vec<&Part<'_>> = Vec::with_capacity(turn.parts.len());
    for part in &turn.parts {
        match &part.content {
            Content::ToolCall { id, name, input } => {
                message(json, role, said.drain(..), order)?;
                json.open(b'{').member("type", "function_call");
                json.member("call_id", signed_call::split(id).0).member("name", name);
                json.member("arguments", input).close(b'}');
            }
            Content::ToolResult { id, parts, is_error } => {
                message(json, role, said.drain(..), order)?;
                json.open(b'{').member("type", "function_call_output");
                json.member("call_id", signed_call::split(id).0).key("output").open(b'[');
                if *is_error {
                    text(json, "input_text", "Error:");
                }
                for part in parts {
                    write_part(json, &part.content, ("input_text", order))?;
                }
                json.close(b']').close(b'}');
            }
            // The provider seals what its models think, and takes nothing else back.
            Content::Thinking { .. } | Content::Redacted(_) => {}
            Content::Text(_)
            | Content::Refusal(_)
            | Content::Image(_)
            | Content::Media(_)
            | Content::Document { .. } => said.push(part),
        }
    }
    message(json, role, said, order)
}

/// A message with these parts, if there are any.
fn message<'p, 'a: 'p>(
    json: &mut JsonText,
    (role, kind): (&str, &'static str),
    parts: impl IntoIterator<Item = &'p Part<'a>>,
    order: &Order<'_>,
) -> Result<(), Unfit> {
    let mut parts = parts.into_iter().peekable();
    if parts.peek().is_none() {
        return Ok(());
    }
    json.open(b'{').member("type", "message").member("role", role).key("content").open(b'[');
    for part in parts {
        write_part(json, &part.content, (kind, order))?;
    }
    json.close(b']').close(b'}');
    Ok(())
}

fn text(json: &mut JsonText, kind: &str, text: &str) {
    json.open(b'{').member("type", kind).member("text", text).close(b'}');
}

fn write_part(
    json: &mut JsonText,
    content: &Content<'_>,
    (kind, order): (&'static str, &Order<'_>),
) -> Result<(), Unfit> {
    match content {
        Content::Text(said) | Content::Refusal(said) => text(json, kind, said),
        Content::Image(source) => {
            json.open(b'{').member("type", "input_image").member("detail", "auto");
            json.key("image_url");
            match source {
                Source::Base64 { media_type, data } => {
                    json.joined(["data:", media_type, ";base64,", data])
                }
                Source::Url(url) => json.text(url),
                Source::Plain(_) | Source::File(_) => return Err(elsewhere("image", order)),
            };
            json.close(b'}');
        }
        Content::Document { source, title, context } => {
            if let Some(context) = context {
                text(json, kind, context);
            }
            match source {
                Source::Plain(plain) => text(json, kind, plain),
                Source::Base64 { media_type, data } => {
                    json.open(b'{').member("type", "input_file");
                    json.member("filename", title.as_deref().unwrap_or("document.pdf"));
                    json.key("file_data").joined(["data:", media_type, ";base64,", data]);
                    json.close(b'}');
                }
                Source::Url(url) => {
                    json.open(b'{').member("type", "input_file").member("file_url", url);
                    json.close(b'}');
                }
                Source::File(_) => return Err(elsewhere("document", order)),
            }
        }
        Content::Media(_) => return Err(elsewhere("audio or video", order)),
        // These stand in no list of parts.
        Content::Thinking { .. }
        | Content::Redacted(_)
        | Content::ToolCall { .. }
        | Content::ToolResult { .. } => {}
    }
    Ok(())
}

fn elsewhere(what: &str, order: &Order<'_>) -> Unfit {
    let provider = &order.deployment.endpoint.provider.name;
    Unfit::unsupported(format!("{what}.source"), provider, "send the data itself in base64")
}

fn write_tools(json: &mut JsonText, request: &Request<'_>, order: &Order<'_>) -> Result<(), Unfit> {
    if request.tools.is_empty() {
        return Ok(());
    }
    json.key("tools").open(b'[');
    for (i, tool) in request.tools.iter().enumerate() {
        let Tool::Function { name, description, schema, strict, cache: _ } = tool else {
            return Err(Unfit::unsupported(
                format!("tools[{i}]"),
                &order.deployment.endpoint.provider.name,
                "only tools that the client runs can be",
            ));
        };
        json.open(b'{').member("type", "function").member("name", name);
        if let Some(description) = description {
            json.member("description", description);
        }
        write_parameters(json, schema.as_deref(), *strict)
            .map_err(|why| Unfit::malformed(format!("tools[{i}]: the schema"), why))?;
        json.close(b'}');
    }
    json.close(b']');
    match &request.tool_choice {
        None => {}
        Some(ToolChoice::Auto) => {
            json.member("tool_choice", "auto");
        }
        Some(ToolChoice::Nothing) => {
            json.member("tool_choice", "none");
        }
        Some(ToolChoice::Any) => {
            json.member("tool_choice", "required");
        }
        Some(ToolChoice::Named(name)) => {
            json.key("tool_choice").open(b'{').member("type", "function").member("name", name);
            json.close(b'}');
        }
    }
    if let Some(parallel) = request.parallel_tools {
        json.raw_member("parallel_tool_calls", if parallel { "true" } else { "false" });
    }
    Ok(())
}

/// The schema of a tool's input. Without `strict` this format means that inputs must follow it.
fn write_parameters(
    json: &mut JsonText,
    schema: Option<&str>,
    strict: Option<bool>,
) -> Result<(), TooMuch> {
    let schema = schema.unwrap_or(r#"{"type":"object","properties":{}}"#);
    let is_strict = strict == Some(true) && schema::conforms(schema);
    json.key("parameters");
    match is_strict {
        true => schema::write_closed(json, schema)?,
        false => schema::write_input(json, schema)?,
    }
    json.raw_member("strict", if is_strict { "true" } else { "false" });
    Ok(())
}

fn write_format(json: &mut JsonText, format: Option<&Format<'_>>) -> Result<(), Unfit> {
    match format {
        None => {}
        Some(Format::JsonObject) => {
            json.raw_member("text", r#"{"format":{"type":"json_object"}}"#);
        }
        Some(Format::Schema { name, schema, strict }) => {
            json.key("text").open(b'{').key("format").open(b'{').member("type", "json_schema");
            json.member("name", name.as_deref().unwrap_or("response")).key("schema");
            let is_strict = *strict == Some(true) && schema::conforms(schema);
            match is_strict {
                true => schema::write_closed(json, schema)
                    .map_err(|why| Unfit::malformed("response_format", why))?,
                false => {
                    json.raw(schema);
                }
            }
            json.raw_member("strict", if is_strict { "true" } else { "false" });
            json.close(b'}').close(b'}');
        }
    }
    Ok(())
}
