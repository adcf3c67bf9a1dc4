//! Full answers: are they what the wire promises, and whose name do they bear?
//!
//! Called by the gateway's attempts for every 2xx answer that is no stream. Always true: an answer
//! that passes is JSON with content; between equal formats only the model's name in its bytes changes,
//! between others it is written anew.

use std::ops::Range;

use bytes::Bytes;
use hale_core::health::outcome::ProviderError;
use hale_core::operation::{Operation, Shape};
use hale_core::provider::WireFormat;
use hale_core::usage::Usage;

use crate::bytes::edit::{Patch, patched};
use crate::bytes::scan::{self, ScanError};
use crate::conversion::stream::View;
use crate::conversion::token_count;
use crate::conversion::way::Way;
use crate::formats::anthropic::look;
use crate::formats::anthropic::usage::Counts;
use crate::formats::{anthropic, errors, files, modes, openai, responses};

/// A good answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The body for the client.
    pub body: Bytes,
    /// Tokens, where the provider said.
    pub usage: Option<Usage>,
}

/// What is wrong with an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is not what the wire format promises; why.
    Malformed(String),
    /// It is an error in the clothes of a success.
    Error(ProviderError),
}

/// The members of an answer, or of a stream's event, that the gateway looks at, as places in the
/// text. `null` counts as absent; of two members with one name the last counts.
#[derive(Debug, Default)]
pub(crate) struct Top {
    pub(crate) model: Option<Range<usize>>,
    pub(crate) usage: Option<Range<usize>>,
    pub(crate) choices: Option<Range<usize>>,
    pub(crate) data: Option<Range<usize>>,
    pub(crate) error: Option<Range<usize>>,
}

impl Top {
    /// Looks at `text`, which must be UTF-8.
    pub(crate) fn of(text: &[u8]) -> Result<Top, ScanError> {
        let mut top = Top::default();
        scan::members(text, |key, value| top.note(text, key, value))?;
        Ok(top)
    }

    /// Looks at the next event of a stream. `memory` holds how the event before began: the events of a
    /// stream are alike up to their choices, and what is alike need not be looked at again.
    pub(crate) fn of_event(text: &[u8], memory: &mut Memory) -> Result<Top, ScanError> {
        if !memory.start.is_empty() && text.starts_with(&memory.start) {
            let mut top = Top { model: memory.model.clone(), ..Top::default() };
            let value = memory.start.len();
            scan::members_from(text, memory.key.clone(), value, |key, value| {
                top.note(text, key, value);
            })?;
            return Ok(top);
        }
        let mut top = Top::default();
        memory.start.clear();
        scan::members(text, |key, value| {
            let alike = top.choices.is_none() && top.usage.is_none() && top.error.is_none();
            if alike && &text[key.clone()] == CHOICES && value.start <= START_MAX {
                memory.start.extend_from_slice(&text[..value.start]);
                memory.key = key.clone();
                memory.model = top.model.clone();
            }
            top.note(text, key, value);
        })?;
        Ok(top)
    }

    fn note(&mut self, text: &[u8], key: Range<usize>, value: Range<usize>) {
        let place = match &text[key] {
            b"\"model\"" => &mut self.model,
            b"\"usage\"" => &mut self.usage,
            CHOICES => &mut self.choices,
            b"\"data\"" => &mut self.data,
            b"\"error\"" => &mut self.error,
            _ => return,
        };
        *place = (&text[value.clone()] != b"null").then_some(value);
    }
}

const CHOICES: &[u8] = b"\"choices\"";
/// Longest beginning that is remembered, bytes.
const START_MAX: usize = 1024;

/// How the last event of a stream began, up to the value of its choices.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    start: Vec<u8>,
    key: Range<usize>,
    model: Option<Range<usize>>,
}

/// Checks a full answer that came on `way` and makes of it what the client is to see.
///
/// # Errors
/// When the answer is malformed, or an error.
pub fn check(way: Way, body: &Bytes, view: &View) -> Result<Answer, Fault> {
    let malformed = |why: &str| Err(Fault::Malformed(why.to_owned()));
    if body.is_empty() {
        return malformed("an empty body");
    }
    let Ok(text) = std::str::from_utf8(body) else {
        return malformed("a body that is not UTF-8");
    };
    let upstream = way.upstream().unwrap_or(way.operation);
    let looked = match (way.wire, upstream.shape()) {
        (WireFormat::OpenAi, Shape::Response) => responses(upstream, text, view),
        (WireFormat::OpenAi, Shape::Stored) => files(upstream, text, view),
        (WireFormat::OpenAi, Shape::Own) => look_mode(upstream, text, view),
        (WireFormat::OpenAi, Shape::Completion) => look_openai(upstream, text, view),
        (WireFormat::Anthropic, _) => look_anthropic(upstream, text, view),
    };
    let (patches, usage) = match looked {
        Ok(looked) => looked?,
        Err(_) if errors::is_html(body) => return malformed("an HTML page"),
        Err(_) => return malformed("a body that is no JSON object"),
    };
    if way.translates() {
        let body = translate(way, text, view)?;
        return Ok(Answer { body: Bytes::from(body), usage });
    }
    let body = if patches.is_empty() { body.clone() } else { patched(body, &patches).into() };
    Ok(Answer { body, usage })
}

/// What changes for the client, and the usage.
type Looked = (Vec<Patch>, Option<Usage>);

/// The client's name for the model, where another one stands.
fn stamp(text: &str, model: Option<Range<usize>>, view: &View) -> Vec<Patch> {
    let other = model.filter(|place| text[place.clone()] != *view.model_json);
    other.map(|place| (place, view.model_json.clone())).into_iter().collect()
}

fn responses(
    operation: Operation,
    text: &str,
    view: &View,
) -> Result<Result<Looked, Fault>, ScanError> {
    let top = responses::look::Top::of(text.as_bytes())?;
    if top.is_answer(text, operation) {
        let usage = top.usage(text).filter(|_| !operation.is_by_id());
        return Ok(Ok((top.patches(text, 0, view), usage)));
    }
    Ok(Err(without_content(operation, text, top.error.is_some())))
}

fn files(
    operation: Operation,
    text: &str,
    view: &View,
) -> Result<Result<Looked, Fault>, ScanError> {
    let top = files::look::Top::of(text.as_bytes())?;
    if top.is_answer(text, operation) {
        return Ok(Ok((top.patches(text, operation, view), None)));
    }
    Ok(Err(without_content(operation, text, top.error.is_some())))
}

fn look_openai(
    operation: Operation,
    text: &str,
    view: &View,
) -> Result<Result<Looked, Fault>, ScanError> {
    let top = Top::of(text.as_bytes())?;
    let content = match operation {
        Operation::Embedding => top.data,
        _ => top.choices,
    };
    if !content.is_some_and(|place| is_filled_list(&text[place])) {
        return Ok(Err(without_content(operation, text, top.error.is_some())));
    }
    let usage = top.usage.and_then(|place| parse_usage(&text[place]));
    Ok(Ok((stamp(text, top.model, view), usage)))
}

fn look_mode(
    operation: Operation,
    text: &str,
    view: &View,
) -> Result<Result<Looked, Fault>, ScanError> {
    let found = modes::look::look(operation, text)?;
    Ok(match found.content {
        Some(Ok(usage)) if !found.is_error => Ok((stamp(text, found.model, view), usage)),
        Some(Err(why)) if !found.is_error => Err(Fault::Malformed(why)),
        Some(_) | None => Err(without_content(operation, text, found.is_error)),
    })
}

fn look_anthropic(
    operation: Operation,
    text: &str,
    view: &View,
) -> Result<Result<Looked, Fault>, ScanError> {
    let top = look::Top::of(text.as_bytes())?;
    if !top.is_answer(text, operation) {
        return Ok(Err(without_content(operation, text, top.error.is_some())));
    }
    let mut counts = Counts::default();
    if let Some(usage) = top.usage {
        counts.take(&text[usage]);
    }
    Ok(Ok((stamp(text, top.model, view), counts.usage())))
}

fn without_content(operation: Operation, text: &str, is_error: bool) -> Fault {
    if is_error {
        Fault::Error(errors::parse_provider_error(text.as_bytes()))
    } else {
        Fault::Malformed(format!("JSON without `{}`", operation.content_field()))
    }
}

/// The provider's answer in the client's format.
fn translate(way: Way, text: &str, view: &View) -> Result<Vec<u8>, Fault> {
    if way.operation == Operation::CountPrompt {
        return token_count::told(text, view).map_err(Fault::Malformed);
    }
    let answer = match way.wire {
        WireFormat::OpenAi => openai::answer::read(text),
        WireFormat::Anthropic => anthropic::answer::read(text),
    }?;
    Ok(match way.operation.format() {
        WireFormat::OpenAi => openai::answer::write(&answer, view),
        WireFormat::Anthropic => anthropic::answer::write(&answer, view),
    })
}

/// Whether a full answer of any format was stopped by the provider's content policy.
#[must_use]
pub fn stopped_by_policy(body: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Choice {
        finish_reason: Option<String>,
    }
    #[derive(serde::Deserialize)]
    struct Incomplete {
        reason: Option<String>,
    }
    #[derive(serde::Deserialize)]
    struct Whole {
        #[serde(default)]
        choices: Vec<Choice>,
        stop_reason: Option<String>,
        incomplete_details: Option<Incomplete>,
    }
    let holds = |part: &[u8]| memchr::memmem::find(body, part).is_some();
    if !holds(b"content_filter") && !holds(b"refusal") {
        return false;
    }
    serde_json::from_slice::<Whole>(body).is_ok_and(|whole| {
        let stopped = |choice: &Choice| choice.finish_reason.as_deref() == Some("content_filter");
        let incomplete = whole.incomplete_details.and_then(|details| details.reason);
        whole.choices.iter().any(stopped)
            || whole.stop_reason.as_deref() == Some("refusal")
            || incomplete.as_deref() == Some("content_filter")
    })
}

fn is_filled_list(text: &str) -> bool {
    text.strip_prefix('[').is_some_and(|rest| !rest.trim_start().starts_with(']'))
}

/// What the counts of a `usage` object are called, quotes included.
struct Words {
    input: &'static [u8],
    output: &'static [u8],
    input_details: &'static [u8],
    output_details: &'static [u8],
}

/// Tokens of a completion's `usage` object; `None` when it counts nothing.
#[must_use]
pub fn parse_usage(text: &str) -> Option<Usage> {
    let words = Words {
        input: b"\"prompt_tokens\"",
        output: b"\"completion_tokens\"",
        input_details: b"\"prompt_tokens_details\"",
        output_details: b"\"completion_tokens_details\"",
    };
    counts(text, &words)
}

/// The same of a response.
pub(crate) fn parse_response_usage(text: &str) -> Option<Usage> {
    let words = Words {
        input: b"\"input_tokens\"",
        output: b"\"output_tokens\"",
        input_details: b"\"input_tokens_details\"",
        output_details: b"\"output_tokens_details\"",
    };
    counts(text, &words)
}

fn counts(text: &str, words: &Words) -> Option<Usage> {
    let bytes = text.as_bytes();
    let mut usage = Usage::default();
    let mut counted = false;
    scan::members(bytes, |key, value| {
        let value = &text[value];
        match &bytes[key] {
            key if key == words.input => counted |= count(value, &mut usage.input),
            key if key == words.output => counted |= count(value, &mut usage.output),
            key if key == words.input_details => {
                detail(value, "\"cached_tokens\"", &mut usage.cached_input);
                // The first is OpenAI's name, the second the reference's.
                detail(value, "\"cache_write_tokens\"", &mut usage.cache_creation);
                detail(value, "\"cache_creation_tokens\"", &mut usage.cache_creation);
            }
            key if key == words.output_details => {
                detail(value, "\"reasoning_tokens\"", &mut usage.reasoning);
            }
            _ => {}
        }
    })
    .ok()?;
    counted.then_some(usage)
}

fn count(text: &str, into: &mut u64) -> bool {
    // A negative or broken count is no count.
    let parsed = text.parse();
    if let Ok(count) = parsed {
        *into = count;
    }
    parsed.is_ok()
}

fn detail(text: &str, name: &str, into: &mut u64) {
    // Details that are null, or no object, say nothing.
    let _none: Result<(), ScanError> = scan::members(text.as_bytes(), |key, value| {
        if text[key] == *name {
            count(&text[value], into);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chat(text: &str) -> Result<Answer, Fault> {
        check_as(Operation::Chat, &Bytes::copy_from_slice(text.as_bytes()))
    }

    fn check_as(operation: Operation, body: &Bytes) -> Result<Answer, Fault> {
        let view = View {
            model_json: "\"mine\"".into(),
            show_usage: false,
            created: 0,
            upstream_model: None,
            issuer: None,
        };
        check(Way { operation, wire: WireFormat::OpenAi }, body, &view)
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
    fn liars_are_found_out() {
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
    }

    #[test]
    fn usage_is_read_and_nonsense_is_not() {
        let text = r#"{"prompt_tokens":5,"completion_tokens":7,"total_tokens":12,"x":{},
            "prompt_tokens_details":{"cached_tokens":2,"audio_tokens":0},
            "completion_tokens_details":{"reasoning_tokens":3}}"#;
        let expected = Usage {
            input: 5,
            output: 7,
            cached_input: 2,
            cache_creation: 0,
            cache_creation_1h: 0,
            reasoning: 3,
            ..Usage::default()
        };
        assert_eq!(parse_usage(text), Some(expected));
        for text in ["{}", "null", "[]", r#"{"prompt_tokens":-1}"#, r#"{"prompt_tokens":1.5}"#] {
            assert_eq!(parse_usage(text), None, "{text}");
        }
        let null_details = r#"{"prompt_tokens":1,"prompt_tokens_details":null}"#;
        assert_eq!(parse_usage(null_details).unwrap().input, 1);
    }

    #[test]
    fn an_event_is_read_the_same_with_and_without_memory() {
        let events = [
            r#"{"id":1,"model":"up","choices":[{"delta":{}}],"usage":null}"#,
            r#"{"id":1,"model":"up","choices":[{"delta":{"content":"x"}}],"usage":{"a":1}}"#,
            r#"{"id":1,"model":"up","choices":[],"error":{"a":1},"model":"other"}"#,
            r#"{"id":1,"model":"up","choices":[}"#,
            r#"{"id":1,"model":"up","choices": [{"delta":{"content":"spaced"}}]}"#,
            r#"{"id":1,"model":"up","choices":[1]} x"#,
            r#"{"id":2,"model":"longer","choices":[]}"#,
            r#"{"id":2,"model":"longer","choices":[1]}"#,
            r#"{"choices":[1]}"#,
            r#"{"choices":[2],"choices":[3]}"#,
        ];
        let mut memory = Memory::default();
        for event in events {
            let (plain, remembered) =
                (Top::of(event.as_bytes()), Top::of_event(event.as_bytes(), &mut memory));
            assert_eq!(format!("{plain:?}"), format!("{remembered:?}"), "{event}");
        }
    }

    #[test]
    fn embeddings_carry_data() {
        let body = Bytes::from_static(b"{\"data\":[{}],\"model\":\"m\"}");
        assert!(check_as(Operation::Embedding, &body).is_ok());
        assert!(check_as(Operation::Chat, &body).is_err());
    }
}
