//! Full answers: checks them and makes the body for the client.
//!
//! Called by the gateway's attempts for every 2xx answer that is not a stream. Always true: an answer that passes is
//! JSON with content; between equal formats only the model's name and ids change, between others it is translated.

use std::borrow::Cow;

use bytes::Bytes;
use hale_core::operation::Operation;
use hale_core::provider::{ClientFormat, WireFormat};
use hale_core::usage::Usage;

use crate::bytes::edit::patched;
use crate::bytes::elements::elements;
use crate::bytes::json::without_mark;
use crate::bytes::members::texts;
use crate::conversion::candidates;
use crate::conversion::observe::observe_answer;
use crate::conversion::prepare::Conversion;
use crate::conversion::token_count;
pub use crate::formats::answer::Fault;
use crate::formats::answer::Observed;
use crate::formats::answer_tool::unwrap_answer;
use crate::formats::neutral::Content;
use crate::formats::view::View;
use crate::formats::{anthropic, bedrock, cohere, empty, gemini, ollama, openai, responses};

/// The longest empty answer, bytes. A longer one is not looked through.
const EMPTY_MAX: usize = 16 << 10;

/// A valid answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The body for the client.
    pub body: Bytes,
    /// Tokens, if the provider reports them.
    pub usage: Option<Usage>,
    /// Whether it has no content, and the provider reports no output.
    pub is_empty: bool,
}

/// Checks the full answer `body` and makes the body that the client gets.
///
/// # Errors
/// If the answer is malformed, or an error.
pub fn check(conversion: Conversion, body: &Bytes, view: &View) -> Result<Answer, Fault> {
    if body.is_empty() {
        return Err(Fault::Malformed("an empty body".to_owned()));
    }
    let body = &body.slice_ref(without_mark(body));
    let Ok(text) = std::str::from_utf8(body) else {
        return Err(Fault::Malformed("a body that is not UTF-8".to_owned()));
    };
    let Observed { patches, usage } = observe_answer(conversion, text, view)?;
    let has_output =
        !counts_silence(conversion.wire) && usage.is_some_and(|usage| usage.output > 0);
    let is_empty = text.len() <= EMPTY_MAX
        && !has_output
        && has_no_content(conversion, text)
        && !stopped_by_policy(body);
    let body = if conversion.translates() || is_foreign(conversion, text) {
        translate(conversion, text, view)?.into()
    } else if patches.is_empty() {
        body.clone()
    } else {
        patched(body, &patches).into()
    };
    Ok(Answer { body, usage, is_empty })
}

/// Whether answers without content have a count of output: Google counts the thoughts before them, and Ollama the mark at
/// their end.
pub(crate) fn counts_silence(wire: WireFormat) -> bool {
    match wire {
        WireFormat::Gemini | WireFormat::Ollama => true,
        WireFormat::OpenAi
        | WireFormat::Anthropic
        | WireFormat::Cohere
        | WireFormat::Responses
        | WireFormat::Converse => false,
    }
}

/// Whether an answer of a kind that has content has none.
fn has_no_content(conversion: Conversion, text: &str) -> bool {
    match conversion.upstream().unwrap_or(conversion.operation) {
        Operation::Chat => empty::is_empty_answer(WireFormat::OpenAi, text),
        Operation::Messages => empty::is_empty_answer(WireFormat::Anthropic, text),
        Operation::GenerateContent => empty::is_empty_answer(WireFormat::Gemini, text),
        Operation::CohereChat => empty::is_empty_answer(WireFormat::Cohere, text),
        Operation::Converse => empty::is_empty_answer(WireFormat::Converse, text),
        Operation::OllamaChat => empty::is_empty_answer(WireFormat::Ollama, text),
        Operation::Responses => empty::is_empty_response(text),
        _ => false,
    }
}

/// The provider's answer in the client's format.
fn translate(conversion: Conversion, text: &str, view: &View) -> Result<Vec<u8>, Fault> {
    if let Some(written) = of_mode(conversion, text, view) {
        return written;
    }
    let Some(texts) = candidates::split(conversion, text) else {
        return translate_one(conversion, text, view);
    };
    let each = texts.iter().map(|text| translate_one(conversion, text, view));
    let bodies = each.collect::<Result<Vec<_>, _>>()?;
    let broken = || Fault::Malformed("a candidate without content".to_owned());
    candidates::joined(conversion, &bodies).ok_or_else(broken)
}

/// The same of an answer with one candidate.
fn translate_one(conversion: Conversion, text: &str, view: &View) -> Result<Vec<u8>, Fault> {
    let mut answer = match conversion.wire {
        WireFormat::OpenAi => openai::answer::read(text),
        WireFormat::Anthropic => anthropic::answer::read(text),
        WireFormat::Gemini => gemini::answer::read(text),
        WireFormat::Cohere => cohere::answer::read(text),
        WireFormat::Responses => responses::answer::read(text),
        WireFormat::Converse => bedrock::answer::read(text),
        WireFormat::Ollama => ollama::answer::read(text),
    }?;
    if answer.id.is_empty()
        && let Some(id) = &view.answer_id
    {
        answer.id = Cow::Borrowed(id);
    }
    for part in &mut answer.parts {
        if let Content::ToolCall { name, .. } = &mut part.content {
            view.restore_name(name);
        }
    }
    if view.has_answer_tool() {
        unwrap_answer(&mut answer);
    }
    Ok(match conversion.operation.format().of_clients() {
        ClientFormat::OpenAi => openai::answer::write(&answer, view),
        ClientFormat::Anthropic => anthropic::answer::write(&answer, view),
        ClientFormat::Responses => {
            responses::answer::write(answer, view).map_err(Fault::Malformed)?
        }
        ClientFormat::Gemini => gemini::answer::write(&answer, view),
    })
}

/// The same of an answer that is no message: a count, embeddings, images, ranks.
fn of_mode(conversion: Conversion, text: &str, view: &View) -> Option<Result<Vec<u8>, Fault>> {
    let wire = conversion.wire;
    Some(match conversion.operation {
        Operation::CountPrompt => token_count::counted(text, view).map_err(Fault::Malformed),
        Operation::CountTokens | Operation::CountContents | Operation::CountResponses => {
            counted(conversion, text).map_err(Fault::Malformed)
        }
        Operation::Embedding => embeddings(wire, text, view).map_err(Fault::Malformed),
        Operation::EmbedContents | Operation::EmbedContent => {
            let written = |text: &str| gemini::embed_client::write(text, conversion.operation);
            let translated = match wire {
                WireFormat::OpenAi => written(text),
                wire => embeddings(wire, text, view).and_then(|all| {
                    written(&String::from_utf8(all).map_err(|why| why.to_string())?)
                }),
            };
            translated.map_err(Fault::Malformed)
        }
        Operation::GenerateImage if wire == WireFormat::Converse => {
            bedrock::images::translate(text, view)
        }
        Operation::GenerateImage => gemini::images::translate(text, view),
        Operation::Rerank => bedrock::rerank::translate(text, view).map_err(Fault::Malformed),
        _ => return None,
    })
}

/// A count of tokens in the client's format.
fn counted(conversion: Conversion, text: &str) -> Result<Vec<u8>, String> {
    let total = match conversion.wire {
        WireFormat::Converse => bedrock::count::total(text),
        WireFormat::Anthropic => anthropic::count::total(text),
        WireFormat::OpenAi
        | WireFormat::Gemini
        | WireFormat::Cohere
        | WireFormat::Responses
        | WireFormat::Ollama => gemini::count::total(text),
    }?;
    Ok(match conversion.operation {
        Operation::CountContents => gemini::count::counted(total),
        Operation::CountResponses => responses::count::counted(total),
        _ => anthropic::count::counted(total),
    })
}

/// Embeddings in OpenAI's form.
fn embeddings(wire: WireFormat, text: &str, view: &View) -> Result<Vec<u8>, String> {
    match wire {
        WireFormat::Cohere => cohere::embeddings::translate(text, view),
        WireFormat::Ollama => ollama::embeddings::translate(text, view),
        // The other wires have OpenAI's shape, or none.
        WireFormat::Gemini | WireFormat::OpenAi | WireFormat::Anthropic | WireFormat::Responses => {
            gemini::embeddings::translate(text, view)
        }
        WireFormat::Converse => bedrock::embeddings::translate(text, view),
    }
}

/// Whether an answer has another shape than what was asked for: Vertex AI's way to embeddings is one of its own.
fn is_foreign(conversion: Conversion, text: &str) -> bool {
    let is_embedding =
        matches!(conversion.operation, Operation::EmbedContents | Operation::EmbedContent);
    let named = match conversion.operation {
        Operation::EmbedContents => "embeddings",
        _ => "embedding",
    };
    is_embedding && texts(text, [named]).is_ok_and(|[own]| own.is_none())
}

/// Whether a full answer of any format was stopped by the provider's content policy.
#[must_use]
pub fn stopped_by_policy(body: &[u8]) -> bool {
    let holds = |part: &[u8]| memchr::memmem::find(body, part).is_some();
    let is_googles = holds(b"\"candidates\"") || holds(b"\"promptFeedback\"");
    if holds(b"\"stopReason\"")
        && std::str::from_utf8(without_mark(body)).is_ok_and(bedrock::is_stopped)
    {
        return true;
    }
    if !is_googles && !holds(b"content_filter") && !holds(b"refusal") {
        return false;
    }
    let Ok(text) = std::str::from_utf8(without_mark(body)) else { return false };
    if is_googles && gemini::is_stopped(text) {
        return true;
    }
    let Ok([choices, stop, details]) =
        texts(text, ["choices", "stop_reason", "incomplete_details"])
    else {
        return false;
    };
    let is =
        |object: &str, name, word| texts(object, [name]).is_ok_and(|[found]| found == Some(word));
    let filtered = "\"content_filter\"";
    stop == Some("\"refusal\"")
        || details.is_some_and(|details| is(details, "reason", filtered))
        || choices
            .and_then(elements)
            .is_some_and(|mut choices| choices.any(|choice| is(choice, "finish_reason", filtered)))
}

#[cfg(test)]
mod tests {
    use hale_core::operation::Operation;

    use super::*;
    use crate::fixture::view;

    fn chat(text: &str) -> Result<Answer, Fault> {
        check_as(Operation::Chat, &Bytes::copy_from_slice(text.as_bytes()))
    }

    fn check_as(operation: Operation, body: &Bytes) -> Result<Answer, Fault> {
        check(Conversion { operation, wire: WireFormat::OpenAi }, body, &view())
    }

    #[test]
    fn only_the_models_name_changes() {
        let text = "{\"id\":1, \"model\" : \"theirs\",\n\"choices\":[{}],\"usage\":{\"prompt_tokens\":3,\
                    \"completion_tokens\":2,\"prompt_tokens_details\":{\"cached_tokens\":1}},\"x\":1e1}";
        let answer = chat(text).unwrap();
        assert_eq!(answer.body, text.replace("\"theirs\"", "\"mine\""));
        let usage = Usage { input: 3, output: 2, cached_input: 1, ..Usage::default() };
        assert_eq!(answer.usage, Some(usage));
        let same = Bytes::from_static(b"{\"model\":\"mine\",\"choices\":[1]}");
        let answer = check_as(Operation::Chat, &same).unwrap();
        assert_eq!(answer.body.as_ptr(), same.as_ptr(), "nothing to change, nothing to copy");
    }

    #[test]
    fn a_byte_order_mark_is_skipped() {
        let answer = chat("\u{feff}{\"choices\":[{}],\"model\":\"x\"}").unwrap();
        assert_eq!(answer.body, "{\"choices\":[{}],\"model\":\"mine\"}");
        assert!(matches!(chat("\u{feff}\u{feff}{\"choices\":[{}]}"), Err(Fault::Malformed(_))));
        assert!(matches!(chat("\u{feff}"), Err(Fault::Malformed(_))));
        let stopped = "\u{feff}{\"choices\":[{\"finish_reason\":\"content_filter\"}]}";
        assert!(stopped_by_policy(stopped.as_bytes()));
    }

    #[test]
    fn error_bodies_under_200_are_rejected() {
        for text in
            ["", "{}", "null", "[]", "<html></html>", "{\"choices\":[ ]}", "{\"choices\":1}", "{"]
        {
            assert!(matches!(chat(text), Err(Fault::Malformed(_))), "{text}");
        }
        let Err(Fault::Error(error)) = chat(r#"{"error":{"message":"no","code":429}}"#) else {
            panic!("an error passed")
        };
        assert_eq!((error.message.as_str(), error.code.as_deref()), ("no", Some("429")));
        assert!(chat(r#"{"error":null,"choices":[{}]}"#).is_ok());
        for text in [
            r#"{"object":"error","message":"no","code":500}"#,
            r#"{"detail":"no"}"#,
            r#"[{"error":{"message":"no","code":500}}]"#,
            r#"{"type":"error","message":"no"}"#,
        ] {
            let Err(Fault::Error(error)) = chat(text) else { panic!("{text} passed") };
            assert_eq!(error.message, "no", "{text}");
        }
    }

    #[test]
    fn embeddings_carry_data() {
        let body = Bytes::from_static(b"{\"data\":[{}],\"model\":\"m\"}");
        assert!(check_as(Operation::Embedding, &body).is_ok());
        assert!(check_as(Operation::Chat, &body).is_err());
    }
}
