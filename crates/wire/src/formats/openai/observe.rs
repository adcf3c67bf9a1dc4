//! Answers and chunks of the OpenAI wire on their way to a client of the same format.
//!
//! Called by the conversion for chat, completions and embeddings. Always true: only the model's name changes, and a
//! chunk that holds only usage is left out unless the client asked for it.

use std::ops::Range;
use std::sync::LazyLock;

use hale_core::health::outcome::ProviderError;
use hale_core::operation::Operation;
use hale_core::usage::Usage;
use memchr::memmem::Finder;

use super::said::Frame;
use super::{FAILURES, stop_of};
use crate::bytes::edit::Patch;
use crate::bytes::elements::elements;
use crate::bytes::members::{Place, note, texts};
use crate::bytes::scan::{self, ScanError};
use crate::formats::answer::{self, Fault, Observed, is_filled_list};
use crate::formats::codec::List;
use crate::formats::empty;
use crate::formats::errors;
use crate::formats::event::{Change, EventError, Progress, Seen};
use crate::formats::usage::{count_of, of_tier, parse_usage};
use crate::formats::view::View;

/// Observes a full answer to `operation`.
pub(crate) fn observe_answer(
    operation: Operation,
    expected: List,
    text: &str,
    view: &View,
) -> Result<Observed, Fault> {
    let [model, usage, choices, data, error, tier] =
        answer::places(text, ["model", "usage", "choices", "data", "error", "service_tier"])?;
    let content = match expected {
        List::Choices => choices,
        List::Data => data,
    };
    let is_answer = |place: Range<usize>| {
        let list = &text[place];
        is_filled_list(list) && !(expected == List::Choices && begins_with_delta(list))
    };
    if !content.clone().is_some_and(is_answer) {
        return Err(Fault::without_content(operation, text, error));
    }
    if expected == List::Choices
        && let Some(error) = content.and_then(|place| broken_off(&text[place]))
    {
        return Err(Fault::Error(error));
    }
    let patches = view.renamed(text, model).map(|place| view.model_patch(place));
    let mut patches: Vec<Patch> = patches.into_iter().collect();
    let counts = usage.clone().map(|place| &text[place]);
    let mut counted = counts.and_then(parse_usage);
    counted = counted.map(|usage| of_tier(usage, tier.map(|place| &text[place])));
    // Some providers of embeddings report the sum alone.
    if expected == List::Data
        && counted.is_none()
        && let Some(at) = usage
        && let Some(total) = counts.and_then(total_of)
    {
        counted = Some(Usage { input: total, ..Usage::default() });
        let place = at.start + 1;
        patches.push((place..place, format!("\"prompt_tokens\":{total},").into()));
        patches.sort_by_key(|(place, _)| place.start);
    }
    Ok(Observed { patches, usage: counted })
}

/// The tokens in a usage that has only their sum.
fn total_of(usage: &str) -> Option<u64> {
    let [total] = texts(usage, ["total_tokens"]).ok()?;
    count_of(total?)
}

/// The error that the first choice reports in place of its end, as OpenRouter does of a provider that broke off.
fn broken_off(choices: &str) -> Option<ProviderError> {
    /// Where the end of an ordinary answer is, bytes.
    const END: usize = 256;
    static FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"error\""));
    let list = choices.strip_suffix(']').unwrap_or(choices).trim_ascii_end();
    let inner = list.strip_suffix('}').unwrap_or(list).trim_ascii_end();
    // An error is the last member or stands beside the reason, so that most answers are not searched.
    let near = match inner.as_bytes().last()? {
        b'}' => inner.as_bytes(),
        _ if inner.ends_with("\"stop\"") => return None,
        _ => &inner.as_bytes()[inner.len().saturating_sub(END)..],
    };
    let is_named = |word: &&str| memchr::memmem::find(near, word.as_bytes()).is_some();
    if FINDER.find(near).is_none() && !FAILURES[1..].iter().any(is_named) {
        return None;
    }
    failure_of(choices)
}

/// The failure that the first choice reports as the reason of its end.
fn failure_of(choices: &str) -> Option<ProviderError> {
    let [reason, error] = texts(elements(choices)?.next()?, ["finish_reason", "error"]).ok()?;
    stop_of(reason?.trim_matches('"'), error).err()
}

/// Whether the first choice is a part of a stream, and no whole one.
fn begins_with_delta(choices: &str) -> bool {
    // Nearly no answer has the word at all, and choices are long.
    static DELTA: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\"delta\""));
    if DELTA.find(choices.as_bytes()).is_none() {
        return false;
    }
    let first = elements(choices).and_then(|mut choices| choices.next());
    let parts = first.map(|choice| texts(choice, ["message", "text", "delta"]));
    matches!(parts, Some(Ok([None, None, Some(_)])))
}

/// A stream of chunks.
#[derive(Debug, Default)]
pub(crate) struct Events {
    memory: Memory,
    frame: Frame,
}

impl Events {
    /// Takes the next chunk.
    pub(crate) fn observe_event(
        &mut self,
        text: &str,
        view: &View,
        progress: &mut Progress,
    ) -> Result<Seen, EventError> {
        let mut found = [const { None }; 4];
        self.memory.find(text.as_bytes(), &mut found)?;
        let [model, usage, choices, error] = found;
        if error.is_some() {
            return Err(errors::parse_provider_error(text.as_bytes()).into());
        }
        if usage.is_none() && choices.is_none() && errors::is_error(text) {
            return Err(errors::parse_provider_error(text.as_bytes()).into());
        }
        if let Some(usage) = usage.and_then(|place| parse_usage(&text[place])) {
            let [tier] = texts(text, ["service_tier"]).unwrap_or_default();
            let usage = of_tier(usage, tier);
            progress.usage = Some(usage.after(progress.usage));
            let shown = choices.as_ref().map(|place| &text[place.clone()]);
            if !view.show_usage && is_hollow(shown, progress) {
                return Ok(Seen::Event(Change::Omit));
            }
            if shown.is_none() {
                let change = with_choices(text, view.renamed(text, model), view);
                return Ok(Seen::Event(change));
            }
        }
        let choices = choices.map(|place| &text[place]);
        if let Some(choices) = choices {
            if (!progress.content || progress.empty) && hold_content(choices) {
                progress.speaks();
            }
            if progress.content && !is_empty_list(choices) {
                progress.texts.piece(self.frame.length(choices));
            }
            if !progress.finished && names_finish(choices) {
                if let Some(error) = failure_of(choices) {
                    return Err(error.into());
                }
                progress.stops();
                if progress.usage.is_none() {
                    progress.usage = usage_elsewhere(text, choices);
                }
            }
        }
        Ok(Seen::Event(view.renamed(text, model).map_or(Change::None, Change::Model)))
    }
}

/// The usage of the last event where it is not the event's own: Moonshot's, in the choice, or Groq's.
fn usage_elsewhere(text: &str, choices: &str) -> Option<Usage> {
    let of_choice = || texts(elements(choices)?.next()?, ["usage"]).ok()?[0];
    let of_groq = || texts(texts(text, ["x_groq"]).ok()?[0]?, ["usage"]).ok()?[0];
    parse_usage(of_choice().or_else(of_groq)?)
}

/// Whether the choices of an event beside its usage say nothing: servers write none, `null` (which is read as none), an
/// empty list, or a choice without content.
/// A role says who answers, so it is nothing once the answer has begun.
fn is_hollow(choices: Option<&str>, progress: &Progress) -> bool {
    let Some(choices) = choices else { return true };
    let has_begun = progress.content || progress.finished;
    let is_blank = |choice: &str| {
        let Ok([delta, text, reason]) = texts(choice, ["delta", "text", "finish_reason"]) else {
            return false;
        };
        let is_nothing = |raw: &str| matches!(raw, "null" | "\"\"" | "[]" | "{}");
        text.is_none_or(is_nothing)
            && reason.is_none_or(is_nothing)
            && delta.is_none_or(|delta| {
                is_nothing(delta)
                    || holds_only(delta, |key, value| {
                        is_nothing(value) || (has_begun && key == "\"role\"")
                    })
            })
    };
    elements(choices).is_some_and(|mut choices| choices.all(is_blank))
}

/// Whether every member of the object is one of these.
fn holds_only(object: &str, is_one: impl Fn(&str, &str) -> bool) -> bool {
    let mut all = true;
    let read =
        scan::members(object.as_bytes(), |key, value| all &= is_one(&object[key], &object[value]));
    read.is_ok() && all
}

/// The event with an empty list of choices, which readers of OpenAI's format expect.
fn with_choices(text: &str, model: Place, view: &View) -> Change {
    let mut null = None;
    let _read: Result<(), ScanError> = scan::members(text.as_bytes(), |key, value| {
        if &text[key] == "\"choices\"" {
            null = Some(value);
        }
    });
    let list: Patch = match null {
        Some(place) => (place, "[]".into()),
        None => {
            let first = text.find('{').map_or(0, |at| at + 1);
            (first..first, "\"choices\":[],".into())
        }
    };
    let mut patches: Vec<Patch> =
        model.map(|place| view.model_patch(place)).into_iter().chain([list]).collect();
    patches.sort_by_key(|(place, _)| place.start);
    Change::Patch(patches)
}

const NAMES: [&str; 4] = ["model", "usage", "choices", "error"];
/// The index of the model in [`NAMES`].
const MODEL: usize = 0;
/// Longest start of an event that is remembered, in bytes.
const START_MAX: usize = 1024;

/// The start of the last event, up to the value of its choices. The events of a stream are usually equal up to
/// there, and an equal start need not be scanned again.
#[derive(Debug, Default)]
struct Memory {
    start: Vec<u8>,
    key: Range<usize>,
    model: Place,
}

impl Memory {
    /// Puts the ranges of the members with [`NAMES`] in the next event into `found`.
    fn find(&mut self, text: &[u8], found: &mut [Place; 4]) -> Result<(), ScanError> {
        if !self.start.is_empty() && text.starts_with(&self.start) {
            found[MODEL].clone_from(&self.model);
            let value = self.start.len();
            scan::members_from(text, self.key.clone(), value, |key, value| {
                note(&NAMES, found, text, (key, value));
            })?;
            return Ok(());
        }
        self.start.clear();
        scan::members(text, |key, value| {
            let is_alike = matches!(found, [_, None, None, None]);
            if is_alike && &text[key.clone()] == b"\"choices\"" && value.start <= START_MAX {
                self.start.extend_from_slice(&text[..value.start]);
                self.key = key.clone();
                self.model.clone_from(&found[MODEL]);
            }
            note(&NAMES, found, text, (key, value));
        })
    }
}

fn is_empty_list(text: &str) -> bool {
    text.strip_prefix('[').is_some_and(|tail| tail.trim_start().starts_with(']'))
}

/// Whether there is a finish reason. Inside a string its quotes would be escaped.
fn names_finish(choices: &str) -> bool {
    const KEY: &[u8] = b"\"finish_reason\"";
    // Building the searcher costs more than searching an event.
    static FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(KEY));
    let bytes = choices.as_bytes();
    FINDER.find_iter(bytes).any(|at| {
        let tail = bytes[at + KEY.len()..].trim_ascii_start();
        tail.strip_prefix(b":").is_some_and(|value| {
            let value = value.trim_ascii_start();
            value.starts_with(b"\"") && !value.starts_with(b"\"\"")
        })
    })
}

/// Whether the choices of an event hold content other than a finish reason.
fn hold_content(choices: &str) -> bool {
    elements(choices).is_some_and(|mut choices| {
        choices.any(|choice| {
            let Ok([delta, text]) = texts(choice, ["delta", "text"]) else { return false };
            text.is_some_and(|text| text.starts_with('"') && text != "\"\"")
                || delta.is_some_and(|delta| empty::has_content(delta) == Some(true))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::members::places;

    #[test]
    fn tools_reasoning_and_text_are_content_and_roles_are_not() {
        for (choices, expected) in [
            (r#"[{"delta":{"tool_calls":[{"index":0}]}}]"#, true),
            (r#"[{"delta":{"reasoning_content":"hm"}}]"#, true),
            (r#"[{"delta":{"refusal":"no"}}]"#, true),
            (r#"[{"text":"hi"}]"#, true),
            (r#"[{"text":""}]"#, false),
            (r#"[{"delta":{"role":"assistant","content":null}}]"#, false),
            (r#"[{"delta":{"role":"assistant","tool_calls":[]}}]"#, false),
            (r#"[]"#, false),
            (r#"[{"delta":{},"finish_reason":"length"}]"#, false),
        ] {
            assert_eq!(hold_content(choices), expected, "{choices}");
        }
        assert!(names_finish(r#"[{"delta":{},"finish_reason":"length"}]"#));
        assert!(!names_finish(r#"[{"delta":{},"finish_reason":""}]"#));
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
            let plain = places(event.as_bytes(), NAMES);
            let mut found = [const { None }; 4];
            let remembered = memory.find(event.as_bytes(), &mut found).map(|()| found);
            assert_eq!(remembered, plain, "{event}");
        }
    }
}
