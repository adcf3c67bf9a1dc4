//! Reads one part of a content.
//!
//! Called by [`super::chunk`]. Always true: a part adds something to the answer, is known to add nothing, or is an error: no
//! content gets lost.

use std::borrow::Cow;

use crate::bytes::json::lossy;
use crate::bytes::members::texts;
use crate::bytes::scan::{self, ScanError};
use crate::formats::errors::clean;
use crate::formats::neutral::{Json, Text};

/// What a part adds to the answer.
#[derive(Debug, Default)]
pub(super) struct Part<'a> {
    /// What it says.
    pub(super) said: Said<'a>,
    /// Its signature; empty if it has none.
    pub(super) signature: Text<'a>,
}

/// What a part says.
#[derive(Debug, Default)]
pub(super) enum Said<'a> {
    /// Nothing.
    #[default]
    Nothing,
    /// A text.
    Text(Text<'a>),
    /// Reasoning.
    Thought(Text<'a>),
    /// A call of a tool that the client runs.
    Call {
        /// Its id, if it has one.
        id: Option<Text<'a>>,
        /// The tool's name.
        name: Text<'a>,
        /// The input, a JSON object.
        input: Json<'a>,
    },
    /// A picture.
    Data {
        /// Its type.
        media_type: Text<'a>,
        /// The data in base64.
        data: Text<'a>,
    },
}

impl Part<'_> {
    /// Whether it is an image.
    pub(super) fn is_image(&self) -> bool {
        matches!(&self.said, Said::Data { media_type, .. } if media_type.starts_with("image/"))
    }
}

/// Members that are content.
const CONTENT: [&[u8]; 5] = [
    b"\"text\"",
    b"\"functionCall\"",
    b"\"inlineData\"",
    b"\"executableCode\"",
    b"\"codeExecutionResult\"",
];
/// Members that say something about a part, and what the provider's own tools were asked and said: the text about that
/// stays.
const ABOUT: [&[u8]; 6] = [
    b"\"videoMetadata\"",
    b"\"mediaResolution\"",
    b"\"partMetadata\"",
    b"\"metadata\"",
    b"\"toolCall\"",
    b"\"toolResponse\"",
];

/// The part in `raw`.
///
/// # Errors
/// What is wrong with it.
pub(super) fn read(raw: &str) -> Result<Part<'_>, String> {
    let (mut is_thought, mut signature, mut unknown) = (false, None, None);
    let mut content: Option<(&[u8], &str)> = None;
    let scanned: Result<(), ScanError> = scan::members(raw.as_bytes(), |key, value| {
        let (key, value) = (&raw.as_bytes()[key], &raw[value]);
        match key {
            _ if value == "null" => {}
            b"\"thought\"" => is_thought = value == "true",
            b"\"thoughtSignature\"" | b"\"thought_signature\"" => signature = Some(value),
            key if CONTENT.contains(&key) => content = Some((key, value)),
            key if ABOUT.contains(&key) => {}
            key => unknown = Some(key),
        }
    });
    scanned.map_err(|_| "a part that is no object".to_owned())?;
    if let Some(key) = unknown.filter(|_| content.is_none()) {
        let name = clean(&String::from_utf8_lossy(key), 60);
        return Err(format!("a part with {name}, which has no place in this format"));
    }
    let signature = signature.map(|raw| string(raw, "thoughtSignature")).transpose()?;
    let said = match content {
        None => Said::Nothing,
        Some((b"\"functionCall\"", value)) => call(value)?,
        Some((b"\"inlineData\"", value)) => data(value)?,
        Some((b"\"executableCode\"", value)) => code(value)?,
        Some((b"\"codeExecutionResult\"", value)) => output(value)?,
        Some((_, value)) => match (string(value, "text")?, is_thought) {
            (text, _) if text.is_empty() => Said::Nothing,
            (text, true) => Said::Thought(text),
            (text, false) => Said::Text(text),
        },
    };
    Ok(Part { said, signature: signature.unwrap_or_default() })
}

fn string<'a>(raw: &'a str, what: &str) -> Result<Text<'a>, String> {
    lossy(raw, &mut None).ok_or_else(|| format!("a `{what}` that is no text"))
}

fn call(raw: &str) -> Result<Said<'_>, String> {
    let Ok([id, name, args]) = texts(raw, ["id", "name", "args"]) else {
        return Err("a call that is no object".to_owned());
    };
    let id = id.map(|raw| string(raw, "id")).transpose()?;
    let name = name.ok_or("a call without a name")?;
    let name = string(name, "name")?;
    let args = args.unwrap_or("{}");
    if !args.starts_with('{') {
        return Err("a call whose arguments are no object".to_owned());
    }
    Ok(Said::Call { id: id.filter(|id| !id.is_empty()), name, input: Cow::Borrowed(args) })
}

fn data(raw: &str) -> Result<Said<'_>, String> {
    let Ok([Some(media_type), Some(data)]) = texts(raw, ["mimeType", "data"]) else {
        return Err("data without its type".to_owned());
    };
    let media_type = string(media_type, "mimeType")?;
    // Sound and films have no place in an answer: they are no pictures.
    if !media_type.starts_with("image/") {
        let kind = clean(&media_type, 60);
        return Ok(Said::Text(Cow::Owned(format!(
            "[data of type {kind}, which this answer cannot hold]"
        ))));
    }
    Ok(Said::Data { media_type, data: string(data, "data")? })
}

/// Code that the provider ran, as the text of an answer shows it.
fn code(raw: &str) -> Result<Said<'_>, String> {
    let Ok([language, Some(code)]) = texts(raw, ["language", "code"]) else {
        return Err("code without its text".to_owned());
    };
    let language = language.map(|raw| string(raw, "language")).transpose()?.unwrap_or_default();
    let language = if language == "LANGUAGE_UNSPECIFIED" { "" } else { &*language };
    Ok(fenced(&language.to_ascii_lowercase(), &string(code, "code")?))
}

fn output(raw: &str) -> Result<Said<'_>, String> {
    let Ok([output]) = texts(raw, ["output"]) else {
        return Err("a result of code that is no object".to_owned());
    };
    let output = output.map(|raw| string(raw, "output")).transpose()?.unwrap_or_default();
    Ok(fenced("", &output))
}

fn fenced(language: &str, text: &str) -> Said<'static> {
    let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    Said::Text(Cow::Owned(format!("\n```{language}\n{text}{end}```\n")))
}
