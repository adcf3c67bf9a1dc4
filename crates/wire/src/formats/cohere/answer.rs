//! Reads full answers into the neutral form.
//!
//! Called by [`crate::conversion::answer`] for clients of other formats. Always true: a content of an unknown kind is an
//! error, so that none gets lost.

use std::borrow::Cow;

use super::citation::{self, CITATIONS_MAX, Starts};
use super::finish::{self, Failure};
use super::usage;
use crate::bytes::elements::elements;
use crate::bytes::json::lossy;
use crate::bytes::members::texts;
use crate::formats::answer::Fault;
use crate::formats::arguments;
use crate::formats::errors::clean;
use crate::formats::neutral::{Answer, CALLS_MAX, Citation, Content, Part, Stop, Text, check_call};

/// Contents that an answer of any size may have, and beyond them one for so many bytes: a content takes more room than its text.
const CONTENTS_ALWAYS: usize = 4096;
const BYTES_PER_CONTENT: usize = 256;

/// What is wrong with an answer.
fn broken(why: &dyn std::fmt::Display) -> Fault {
    Fault::Malformed(format!("a broken answer: {why}"))
}

/// The answer in `text`.
pub(crate) fn read(text: &str) -> Result<Answer<'_>, Fault> {
    let names = ["id", "finish_reason", "error", "message", "usage"];
    let [id, reason, error, message, counts] =
        texts(text, names).map_err(|_| Fault::not_json(text.as_bytes()))?;
    let names = ["content", "tool_plan", "tool_calls", "citations"];
    let [content, plan, calls, citations] = texts(message.unwrap_or("{}"), names)
        .map_err(|_| broken(&"a message that is no object"))?;
    let calls = elements(calls.unwrap_or("[]")).ok_or_else(|| broken(&"no calls"))?;
    let count = calls.clone().count();
    if count > CALLS_MAX {
        return Err(broken(&format!("more than {CALLS_MAX} tool calls")));
    }
    let stop = finish::stop(reason, error, count).map_err(|failure| match failure {
        Failure::Spoilt(why) => broken(&why),
        Failure::Provider(error) => Fault::Error(error),
    })?;
    let id = id.and_then(|raw| lossy(raw, &mut None)).unwrap_or_default();
    let mut parts: Vec<Part<'_>> = Vec::with_capacity(count + 2);
    if let Some(plan) = plan.and_then(|raw| lossy(raw, &mut None)).filter(|plan| !plan.is_empty()) {
        parts.push(Content::Thinking { text: plan, signature: "".into() }.into());
    }
    let mut starts = Starts::default();
    add_contents(&mut parts, content.unwrap_or("[]"), &mut starts)?;
    for (number, call) in calls.enumerate() {
        parts.extend(self::call(call, (number, &id), stop.as_ref())?.map(Part::from));
    }
    let citations = citations.map_or(Ok(Vec::new()), |raw| cited(raw, &starts))?;
    let usage = counts.and_then(usage::read);
    Ok(Answer { id, parts, citations, stop, stop_sequence: None, usage })
}

fn add_contents<'a>(
    parts: &mut Vec<Part<'a>>,
    content: &'a str,
    starts: &mut Starts,
) -> Result<(), Fault> {
    let text_of = |raw: &'a str, name: &str| {
        lossy(raw, &mut None).ok_or_else(|| broken(&format!("a `{name}` that is no text")))
    };
    if content.starts_with('"') {
        parts.push(Content::Text(text_of(content, "content")?).into());
        return Ok(());
    }
    let contents = elements(content).ok_or_else(|| broken(&"content that is no list"))?;
    let most = CONTENTS_ALWAYS + content.len() / BYTES_PER_CONTENT;
    for (index, raw) in contents.enumerate() {
        if index >= most {
            return Err(broken(&format!("more than {most} contents")));
        }
        let Ok([kind, text, thinking]) = texts(raw, ["type", "text", "thinking"]) else {
            return Err(broken(&"a content that is no object"));
        };
        let content = match (kind, text, thinking) {
            (Some("\"text\"") | None, Some(text), _) => {
                let text = text_of(text, "text")?;
                starts.text(index as u64, &text);
                Content::Text(text)
            }
            (Some("\"thinking\"") | None, _, Some(thinking)) => {
                Content::Thinking { text: text_of(thinking, "thinking")?, signature: "".into() }
            }
            (kind, _, _) => {
                let kind = clean(kind.unwrap_or("none"), 60);
                return Err(broken(&format!("a content of type {kind}")));
            }
        };
        let is_silent = match &content {
            Content::Text(text) | Content::Thinking { text, .. } => text.is_empty(),
            _ => false,
        };
        if !is_silent {
            parts.push(content.into());
        }
    }
    Ok(())
}

/// A call; `None` if the limit of tokens cut it off.
fn call<'a>(
    raw: &'a str,
    (number, answer): (usize, &str),
    stop: Option<&Stop>,
) -> Result<Option<Content<'a>>, Fault> {
    let wrong = || broken(&"a call without a name");
    let [id, function] = texts(raw, ["id", "function"]).map_err(|_| wrong())?;
    let [name, given] =
        texts(function.unwrap_or("{}"), ["name", "arguments"]).map_err(|_| wrong())?;
    let name = name.and_then(|raw| lossy(raw, &mut None)).ok_or_else(wrong)?;
    let id = id.and_then(|raw| lossy(raw, &mut None));
    let id = own_id(id, number, answer);
    check_call(number, &id, &name).map_err(|_| broken(&"a call whose id or name is too long"))?;
    // An object in place of its text says the same.
    let given = given.map(|raw| lossy(raw, &mut None).unwrap_or(Cow::Borrowed(raw)));
    let input = arguments::input(given.unwrap_or_default(), stop);
    Ok(input.map(|input| Content::ToolCall { id, name, input }))
}

/// The id of the call with that number in the answer `answer`: the provider's, else one of ours.
pub(super) fn own_id<'a>(id: Option<Text<'a>>, number: usize, answer: &str) -> Text<'a> {
    let given = id.filter(|id| !id.is_empty());
    given.unwrap_or_else(|| Cow::Owned(format!("call_{number}_{answer}")))
}

fn cited<'a>(raw: &'a str, starts: &Starts) -> Result<Vec<Citation<'a>>, Fault> {
    let mut citations = Vec::new();
    for one in elements(raw).ok_or_else(|| broken(&"`citations` is no list"))? {
        citations.extend(citation::read(one, starts));
        if citations.len() > CITATIONS_MAX {
            return Err(broken(&format!("more than {CITATIONS_MAX} citations")));
        }
    }
    Ok(citations)
}

/// Whether a full answer says that it is complete, and has no content.
pub(crate) fn is_empty(text: &str) -> bool {
    let Ok(answer) = read(text) else { return false };
    answer.stop == Some(Stop::End) && answer.parts.iter().all(|part| part.content.is_silent())
}
