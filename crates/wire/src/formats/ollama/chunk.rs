//! Reads one object of Ollama's: a full answer, or a line of a stream.
//!
//! Called by [`super::answer`] and [`super::stream_read`]. Always true: a call comes whole; an end that reports no answer is an
//! error; content of an unknown kind is one, too.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};

use hale_core::health::outcome::ProviderError;
use hale_core::usage::Usage;

use crate::bytes::elements::elements;
use crate::bytes::json::{is_object, lossy};
use crate::bytes::members::texts;
use crate::formats::answer::is_filled_list;
use crate::formats::errors;
use crate::formats::neutral::{Json, Stop, Text};
use crate::formats::usage::count_of;

/// What an object holds.
#[derive(Debug, Default)]
pub(super) struct Chunk<'a> {
    /// What the model says.
    pub(super) text: Text<'a>,
    /// What it thinks.
    pub(super) thoughts: Text<'a>,
    /// The calls of tools.
    pub(super) calls: Vec<Call<'a>>,
    /// When it was made, as JSON text: no two answers of a server have the same time.
    pub(super) made: &'a str,
    /// Why the answer ended, if it did.
    pub(super) end: Option<Stop>,
    /// Tokens, if all were counted.
    pub(super) usage: Option<Usage>,
}

/// A call of a tool that the client runs.
#[derive(Debug)]
pub(super) struct Call<'a> {
    /// Its id; servers give none, but for some newer ones.
    pub(super) id: Option<Text<'a>>,
    /// The tool's name.
    pub(super) name: Text<'a>,
    /// The input, a JSON object.
    pub(super) input: Json<'a>,
}

/// Why a text is no chunk, or reports a failure.
#[derive(Debug)]
pub(super) enum Wrong {
    /// It is no JSON object.
    NoObject,
    /// It has nothing of an answer.
    NoAnswer,
    /// It cannot be read: why.
    Broken(String),
    /// It is an error.
    Refused(ProviderError),
}

/// Calls that an object of any size may have, and beyond them one for so many bytes: a call takes more room than its text.
const CALLS_ALWAYS: usize = 256;
const BYTES_PER_CALL: usize = 256;

/// The chunk in `text`.
pub(super) fn read(text: &str) -> Result<Chunk<'_>, Wrong> {
    const NAMES: [&str; 7] = [
        "message",
        "done",
        "done_reason",
        "created_at",
        "prompt_eval_count",
        "eval_count",
        "error",
    ];
    let [message, done, reason, made, prompt, output, error] =
        texts(text, NAMES).map_err(|_| Wrong::NoObject)?;
    if error.is_some() {
        return Err(Wrong::Refused(errors::parse_provider_error(text.as_bytes())));
    }
    let is_done = done == Some("true");
    if message.is_none() && !is_done {
        return Err(match errors::is_error(text) {
            true => Wrong::Refused(errors::parse_provider_error(text.as_bytes())),
            false => Wrong::NoAnswer,
        });
    }
    let mut chunk = Chunk { made: made.unwrap_or_default(), ..Chunk::default() };
    if let Some(message) = message {
        read_message(message, &mut chunk).map_err(Wrong::Broken)?;
    }
    if is_done {
        let reason = reason.and_then(|raw| lossy(raw, &mut None)).unwrap_or_default();
        chunk.end = Some(ended(&reason)?);
        // A server that does not say how long the prompt was does not say that it was empty.
        chunk.usage = prompt.and_then(count_of).map(|input| Usage {
            input,
            output: output.and_then(count_of).unwrap_or(0),
            ..Usage::default()
        });
    }
    Ok(chunk)
}

fn read_message<'a>(raw: &'a str, chunk: &mut Chunk<'a>) -> Result<(), String> {
    let names = ["content", "thinking", "tool_calls", "images"];
    let [content, thinking, calls, images] =
        texts(raw, names).map_err(|_| "a message that is no object")?;
    if images.is_some_and(is_filled_list) {
        return Err("an image, which has no place in this format".to_owned());
    }
    let text = |raw: Option<&'a str>, what: &str| match raw {
        Some(raw) => lossy(raw, &mut None).ok_or_else(|| format!("a `{what}` that is no text")),
        None => Ok(Cow::Borrowed("")),
    };
    chunk.text = text(content, "content")?;
    chunk.thoughts = text(thinking, "thinking")?;
    let calls = calls.map(|raw| elements(raw).ok_or("`tool_calls` that are no list"));
    let most = CALLS_ALWAYS + raw.len() / BYTES_PER_CALL;
    for raw in calls.transpose()?.into_iter().flatten() {
        if chunk.calls.len() >= most {
            return Err(format!("more than {most} calls"));
        }
        chunk.calls.push(call(raw)?);
    }
    Ok(())
}

fn call(raw: &str) -> Result<Call<'_>, String> {
    let Ok([id, Some(function)]) = texts(raw, ["id", "function"]) else {
        return Err("a call without its function".to_owned());
    };
    let Ok([name, input]) = texts(function, ["name", "arguments"]) else {
        return Err("a call whose function is no object".to_owned());
    };
    let name = name.and_then(|raw| lossy(raw, &mut None)).ok_or("a call without a name")?;
    let input: Json<'_> = match input {
        None => Cow::Borrowed("{}"),
        Some(raw) if raw.starts_with('{') => Cow::Borrowed(raw),
        // Servers of the kind that write OpenAI's form.
        Some(raw) => {
            let text = lossy(raw, &mut None).ok_or("a call whose arguments are no object")?;
            match is_object(&text) {
                true => text,
                false if text.is_empty() => Cow::Borrowed("{}"),
                false => return Err("a call whose arguments are no object".to_owned()),
            }
        }
    };
    let id = id.and_then(|raw| lossy(raw, &mut None)).filter(|id| !id.is_empty());
    Ok(Call { id, name, input })
}

/// The end of an answer. Source: the reasons in <https://github.com/ollama/ollama/blob/main/llm/server.go>.
fn ended(reason: &str) -> Result<Stop, Wrong> {
    match reason {
        // Older servers give none.
        "" | "stop" => Ok(Stop::End),
        "length" => Ok(Stop::Length),
        "load" | "unload" => Err(Wrong::Refused(ProviderError {
            message: format!("the server did not run the model: done_reason {reason}"),
            ..ProviderError::default()
        })),
        other => Ok(Stop::other(other)),
    }
}

impl Chunk<'_> {
    /// The id of the answer that begins with this chunk, because the server gives none.
    pub(super) fn id(&self) -> String {
        format!("chatcmpl-{}", letters(&self.made))
    }
}

impl<'a> Call<'a> {
    /// Its id; one made of its place in the answer `answer`, if the server gave none.
    pub(super) fn id_in(&mut self, answer: &str, place: usize) -> Text<'a> {
        self.id.take().unwrap_or_else(|| Cow::Owned(format!("call_{}", letters(&(answer, place)))))
    }
}

/// 24 letters that stand for `of`.
fn letters(of: &impl Hash) -> String {
    let hash = |seed: u8| {
        let mut hasher = DefaultHasher::new();
        (seed, of).hash(&mut hasher);
        hasher.finish()
    };
    format!("{:016x}{:08x}", hash(0), hash(1) >> 32)
}

/// Whether a full answer says that it is complete, and has no content.
pub(crate) fn is_empty(text: &str) -> bool {
    let Ok(chunk) = read(text) else { return false };
    let is_silent = chunk.text.is_empty() && chunk.thoughts.is_empty() && chunk.calls.is_empty();
    chunk.end == Some(Stop::End) && is_silent
}
