//! A request that ends with words of the model, from which it goes on: the beginning of an answer that broke off elsewhere.
//!
//! Called by the conversion for an attempt that continues a stream, in the client's format. Always true: nothing else of the
//! conversation changes; the model does not think again before it goes on.

use std::borrow::Cow;

use hale_core::operation::Operation;
use hale_core::provider::{ClientFormat, WireFormat};
use hale_core::rescue::No;

use super::gemini::behind;
use super::neutral::Unfit;
use super::order::Order;
use crate::bytes::edit::{self, Edit, json_string};
use crate::bytes::elements::elements;
use crate::bytes::members::texts;
use crate::bytes::object;
use crate::bytes::peek::Peek;

/// How a server is told that the last words are a beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Marks {
    /// It knows.
    Nothing,
    /// By `prefix` in the message. Sources: <https://docs.mistral.ai/capabilities/completion/prefix>,
    /// <https://api-docs.deepseek.com/guides/chat_prefix_completion>.
    Message,
    /// By two fields of vLLM's. Source: <https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html>.
    Fields,
}

impl Marks {
    fn of(order: &Order<'_>) -> Marks {
        match &*order.deployment.endpoint.provider.name {
            _ if order.wire() != WireFormat::OpenAi => Marks::Nothing,
            "mistral" | "codestral" | "deepseek" => Marks::Message,
            "vllm" | "hosted_vllm" => Marks::Fields,
            _ => Marks::Nothing,
        }
    }
}

/// Why the answer to this request would not be continued by another deployment, as far as its fields say.
#[must_use]
pub fn refuses(peek: &Peek, operation: Operation) -> Option<No> {
    let is = |name: &str, value: &str| peek.raw(name) == Some(value);
    let has_shape = |format: Option<&str>| {
        let kind = format.and_then(|format| texts(format, ["type"]).ok()?[0]);
        kind.is_some_and(|kind| kind != "\"text\"")
    };
    let within = |name: &str, member: &'static str| texts(peek.raw(name)?, [member]).ok()?[0];
    if peek.form().is_some() {
        return Some(No::NotText);
    }
    match operation.format().of_clients() {
        ClientFormat::OpenAi => {
            if has_shape(peek.raw("response_format")) {
                Some(No::Schema)
            } else if peek.raw("n").is_some_and(|n| n != "1") {
                Some(No::N)
            } else if is("logprobs", "true") {
                Some(No::Logprobs)
            } else {
                peek.raw("audio").map(|_| No::NotText)
            }
        }
        ClientFormat::Anthropic => {
            let format = peek.raw("output_format").or(within("output_config", "format"));
            has_shape(format).then_some(No::Schema)
        }
        ClientFormat::Responses => {
            if has_shape(within("text", "format")) {
                Some(No::Schema)
            } else if peek.raw("include").is_some_and(|list| list.contains("logprobs")) {
                Some(No::Logprobs)
            } else {
                is("background", "true").then_some(No::NotText)
            }
        }
        ClientFormat::Gemini => behind::refuses(peek),
    }
}

/// Whether the conversation ends with words of the model, behind which no others are put.
#[must_use]
pub fn is_prefilled(peek: &Peek, operation: Operation) -> bool {
    let list = match operation.format().of_clients() {
        ClientFormat::OpenAi | ClientFormat::Anthropic => "messages",
        ClientFormat::Responses => "input",
        ClientFormat::Gemini => "contents",
    };
    let last = peek.raw(list).and_then(elements).and_then(Iterator::last);
    last.is_some_and(is_models)
}

fn is_models(message: &str) -> bool {
    matches!(texts(message, ["role"]), Ok([Some("\"assistant\"" | "\"model\"")]))
}

/// The request with what the model is told that it said; `None` if there is nothing of that.
///
/// # Errors
/// If its conversation ends with other words of the model.
pub(crate) fn prefixed(peek: &Peek, order: &Order<'_>) -> Result<Option<Peek>, Unfit> {
    let Some(prefix) = order.prefix else { return Ok(None) };
    let (list, parsed) = match order.operation.format().of_clients() {
        ClientFormat::OpenAi | ClientFormat::Anthropic => {
            ("messages", peek.raw("messages").and_then(|list| with_message(list, prefix)))
        }
        ClientFormat::Responses => {
            ("input", peek.raw("input").and_then(|input| with_item(input, prefix)))
        }
        ClientFormat::Gemini => ("contents", behind::with_content(peek, prefix)),
    };
    let unfit = || Unfit {
        field: list.to_owned(),
        message: "the conversation ends with words of the model, behind which no others are put"
            .to_owned(),
    };
    let mut edits = vec![
        Edit::Set(list, Cow::Owned(parsed.ok_or_else(unfit)?)),
        Edit::Remove("reasoning_effort"),
        Edit::Remove("thinking"),
        Edit::Remove("reasoning"),
    ];
    edits.extend(behind::without_thinking(peek));
    let changed = Peek::parse(peek.edited(&edits)).map_err(|_| unfit())?;
    Ok(Some(match order.translates() {
        true => changed,
        false => marked(changed, order),
    }))
}

/// The chat with the marks that its server needs.
pub(crate) fn marked(peek: Peek, order: &Order<'_>) -> Peek {
    if order.prefix.is_none() {
        return peek;
    }
    let edits = match Marks::of(order) {
        Marks::Nothing => return peek,
        Marks::Message => match peek.raw("messages").and_then(with_mark) {
            Some(messages) => vec![Edit::Set("messages", Cow::Owned(messages))],
            None => return peek,
        },
        Marks::Fields => vec![
            Edit::Set("continue_final_message", "true".into()),
            Edit::Set("add_generation_prompt", "false".into()),
        ],
    };
    Peek::parse(peek.edited(&edits)).unwrap_or(peek)
}

/// The list of messages with one more.
fn with_message(list: &str, prefix: &str) -> Option<String> {
    let last = elements(list)?.last()?;
    (!is_models(last)).then(|| with_last(list, &message(prefix)))
}

/// The input of a response with one more message.
fn with_item(input: &str, prefix: &str) -> Option<String> {
    if input.starts_with('"') {
        return Some(format!(r#"[{{"role":"user","content":{input}}},{}]"#, message(prefix)));
    }
    with_message(input, prefix)
}

fn message(prefix: &str) -> String {
    format!(r#"{{"role":"assistant","content":{}}}"#, json_string(prefix))
}

pub(crate) fn with_last(list: &str, element: &str) -> String {
    let open = list.trim_end().strip_suffix(']').unwrap_or(list);
    format!("{open},{element}]")
}

/// The list with a mark in its last message.
fn with_mark(list: &str) -> Option<String> {
    let last = elements(list)?.last()?;
    let from = last.as_ptr() as usize - list.as_ptr() as usize;
    let members = object::members(last.as_bytes()).ok()?;
    let edits = [Edit::Set("prefix", "true".into())];
    let marked = edit::apply(last.as_bytes(), &members, &edits);
    let marked = std::str::from_utf8(&marked).ok()?;
    Some(format!("{}{marked}{}", &list[..from], &list[from + last.len()..]))
}
