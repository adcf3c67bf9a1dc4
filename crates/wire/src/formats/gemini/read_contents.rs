//! Reads the instructions and the contents of a request of Google's clients.
//!
//! Called by [`super::read_request`]. Always true: a result has the id of its call, by which the client named it or which it got
//! here; a part is content of the neutral form, or the refusal names it.

use std::borrow::Cow;

use super::fields::{self, Fields};
use super::signed;
use crate::bytes::elements::elements;
use crate::bytes::members::texts;
use crate::formats::errors::clean;
use crate::formats::neutral::{Content, Part, Request, Role, Source, Text, Unfit, add, media_type};
use crate::formats::room::Room;
use crate::formats::signed_call;

/// Members of a result that are its whole text where there is nothing else. The first two are the format's own words.
const WORDS: [&str; 3] = ["output", "result", "content"];

/// The contents so far.
pub(super) struct Contents<'r, 'a> {
    room: &'r Room,
    request: &'r mut Request<'a>,
    /// The calls of the model's last turn, and whether each has its result.
    calls: Vec<Call<'a>>,
    /// Calls so far that came without an id.
    unnamed: usize,
}

struct Call<'a> {
    id: Text<'a>,
    name: Text<'a>,
    has_result: bool,
}

impl<'r, 'a> Contents<'r, 'a> {
    /// None so far.
    pub(super) fn new(room: &'r Room, request: &'r mut Request<'a>) -> Contents<'r, 'a> {
        Contents { room, request, calls: Vec::new(), unnamed: 0 }
    }

    /// Reads `systemInstruction`: a content, whatever its role, a list of parts, or a text.
    pub(super) fn system(&mut self, raw: &'a str) -> Result<(), Unfit> {
        let parts = self.parts_of(raw, "systemInstruction")?;
        self.request.system.extend(parts);
        Ok(())
    }

    /// Reads `contents`: a list of contents, one of them, or a text.
    pub(super) fn take(&mut self, raw: &'a str) -> Result<(), Unfit> {
        let Some(list) = elements(raw) else { return self.content("contents", raw) };
        for (i, raw) in list.enumerate() {
            self.room.take("contents")?;
            self.content(&format!("contents[{i}]"), raw)?;
        }
        Ok(())
    }

    fn content(&mut self, at: &str, raw: &'a str) -> Result<(), Unfit> {
        let role = match raw.starts_with('{') {
            true => texts(raw, ["role"]).ok().and_then(|[role]| role),
            false => None,
        };
        let role = role.map(|raw| fields::text(&format!("{at}.role"), raw)).transpose()?;
        let role = match role.as_deref().map(str::to_ascii_lowercase).as_deref() {
            None | Some("" | "user" | "function" | "tool") => Role::User,
            Some("model" | "assistant") => Role::Assistant,
            // Two system-like turns come from one widespread client.
            Some("system" | "developer") => {
                let parts = self.parts_of(raw, at)?;
                self.request.system.extend(parts);
                return Ok(());
            }
            Some(other) => {
                let why = format!("`{}` is no role; use user or model", clean(other, 60));
                return Err(Unfit::malformed(format!("{at}.role"), why));
            }
        };
        let is_new = self.request.turns.last().is_none_or(|turn| turn.role != Role::Assistant);
        if role == Role::Assistant && is_new {
            self.calls.clear();
        }
        let parts = self.parts_of(raw, at)?;
        if !parts.is_empty() {
            add(&mut self.request.turns, role, parts);
        }
        Ok(())
    }

    /// The parts of a content, of a list of parts, of a part alone or of a text.
    fn parts_of(&mut self, raw: &'a str, at: &str) -> Result<Vec<Part<'a>>, Unfit> {
        let mut parts = Vec::new();
        if raw.starts_with('"') {
            push(&mut parts, Content::Text(fields::text(at, raw)?));
            return Ok(parts);
        }
        let within = match raw.starts_with('[') {
            true => Some(raw),
            false => Fields::of(at, raw)?.get("parts"),
        };
        let Some(raw_parts) = within else {
            // A content without parts says nothing; a part alone is one of the user.
            let is_part = texts(raw, ["text"]).is_ok_and(|[text]| text.is_some());
            if is_part {
                self.part(&format!("{at}.parts[0]"), raw, &mut parts)?;
            }
            return Ok(parts);
        };
        let Some(list) = elements(raw_parts) else {
            self.part(&format!("{at}.parts"), raw_parts, &mut parts)?;
            return Ok(parts);
        };
        for (i, raw) in list.enumerate() {
            self.room.take("contents")?;
            self.part(&format!("{at}.parts[{i}]"), raw, &mut parts)?;
        }
        Ok(parts)
    }

    fn part(&mut self, at: &str, raw: &'a str, parts: &mut Vec<Part<'a>>) -> Result<(), Unfit> {
        if raw.starts_with('"') {
            push(parts, Content::Text(fields::text(at, raw)?));
            return Ok(());
        }
        let part = Fields::of(at, raw)?;
        let signature = part.text(at, "thoughtSignature")?;
        if let Some(text) = part.text(at, "text")? {
            match part.is_true("thought") {
                true => thought(parts, text, signature.as_deref()),
                // A signature of a text is Google's, and no other provider's.
                false => push(parts, Content::Text(text)),
            }
            return Ok(());
        }
        for (name, raw) in part.iter() {
            let at = format!("{at}.{name}");
            let content = match name {
                "functionCall" => self.call(&at, raw, signature.as_deref())?,
                "functionResponse" => self.result(&at, raw)?,
                "inlineData" => inline(&at, raw)?,
                "fileData" => file(&at, raw)?,
                "executableCode" => fenced(&at, raw, "code")?,
                "codeExecutionResult" => fenced(&at, raw, "output")?,
                // What Google's own tools did is told as it is.
                "toolCall" | "toolResponse" => Content::Text(Cow::Borrowed(raw)),
                _ => continue,
            };
            push(parts, content);
            return Ok(());
        }
        if part.is_true("thought") {
            thought(parts, Cow::Borrowed(""), signature.as_deref());
            return Ok(());
        }
        // An empty part says nothing, nor does one with only a signature.
        const SILENT: [&str; 5] =
            ["thought", "thoughtSignature", "videoMetadata", "mediaResolution", "partMetadata"];
        match part.iter().find(|(name, _)| !SILENT.contains(name)) {
            None => Ok(()),
            Some((name, _)) => {
                let field = format!("{at}.{}", clean(name, 60));
                Err(Unfit::unsupported(field, "of another wire", "send it as text or data"))
            }
        }
    }

    fn call(
        &mut self,
        at: &str,
        raw: &'a str,
        signature: Option<&str>,
    ) -> Result<Content<'a>, Unfit> {
        let call = Fields::of(at, raw)?;
        let Some(name) = call.text(at, "name")? else {
            return Err(Unfit::malformed(format!("{at}.name"), "it is missing"));
        };
        let id = match call.text(at, "id")?.filter(|id| !id.is_empty()) {
            Some(id) => id,
            None => {
                self.unnamed += 1;
                Cow::Owned(format!("{name}-{}", self.unnamed))
            }
        };
        self.calls.push(Call { id: id.clone(), name: name.clone(), has_result: false });
        let input = match call.get("args") {
            Some(raw) if raw.starts_with('{') => Cow::Borrowed(raw),
            Some(_) => return Err(Unfit::malformed(format!("{at}.args"), "it must be an object")),
            None => Cow::Borrowed("{}"),
        };
        let id = match signature {
            Some(signature) => signed_call::with_signature(id, signature),
            None => id,
        };
        Ok(Content::ToolCall { id, name, input })
    }

    /// The id of the call that a result answers: the one that it names, else the next with its name.
    fn answered(&mut self, given: Option<Text<'a>>, name: &str) -> Text<'a> {
        let mut open = self.calls.iter_mut().filter(|call| !call.has_result);
        let found = match &given {
            Some(id) => open.find(|call| call.id == *id),
            None => open.find(|call| call.name == name),
        };
        match (found, given) {
            (Some(call), _) => {
                call.has_result = true;
                call.id.clone()
            }
            (None, Some(id)) => id,
            // The fit refuses it by its name.
            (None, None) => Cow::Owned(format!("{name}-0")),
        }
    }

    fn result(&mut self, at: &str, raw: &'a str) -> Result<Content<'a>, Unfit> {
        let result = Fields::of(at, raw)?;
        let name = result.text(at, "name")?.unwrap_or_default();
        let given = result.text(at, "id")?.filter(|id| !id.is_empty());
        let id = self.answered(given, &name);
        let (text, is_error) = said(at, result.get("response").unwrap_or("{}"))?;
        let mut parts = Vec::new();
        push(&mut parts, Content::Text(text));
        for (i, raw) in result.get("parts").and_then(elements).into_iter().flatten().enumerate() {
            self.room.take("contents")?;
            self.part(&format!("{at}.parts[{i}]"), raw, &mut parts)?;
        }
        Ok(Content::ToolResult { id, parts, is_error })
    }
}

/// Adds content, unless it is a text without a letter.
fn push<'a>(parts: &mut Vec<Part<'a>>, content: Content<'a>) {
    if !matches!(&content, Content::Text(text) if text.is_empty()) {
        parts.push(content.into());
    }
}

/// Adds a thought. A stream gives it in pieces, of which the last one is signed.
fn thought<'a>(parts: &mut Vec<Part<'a>>, text: Text<'a>, signature: Option<&str>) {
    let signature = signed::read(signature.unwrap_or_default());
    if let signed::Read::Redacted(data) = signature {
        parts.push(Content::Redacted(Cow::Owned(data)).into());
        return;
    }
    let signature = match signature {
        signed::Read::Signature(signature) => signature,
        signed::Read::Redacted(_) | signed::Read::Nothing => String::new(),
    };
    match parts.last_mut() {
        Some(Part { content: Content::Thinking { text: before, signature: earlier }, .. })
            if earlier.is_empty() =>
        {
            before.to_mut().push_str(&text);
            *earlier = Cow::Owned(signature);
        }
        _ => parts.push(Content::Thinking { text, signature: Cow::Owned(signature) }.into()),
    }
}

/// What a result says, and whether it is an error.
fn said<'a>(at: &str, raw: &'a str) -> Result<(Text<'a>, bool), Unfit> {
    if !raw.starts_with('{') {
        return Ok((Cow::Borrowed(raw), false));
    }
    let response = Fields::of(&format!("{at}.response"), raw)?;
    let mut members = response.iter();
    let (Some((name, value)), None) = (members.next(), members.next()) else {
        return Ok((Cow::Borrowed(raw), false));
    };
    let text = |value: &'a str| match value.starts_with('"') {
        true => fields::text(at, value),
        false => Ok(Cow::Borrowed(value)),
    };
    match name {
        "error" => Ok((text(value)?, true)),
        name if WORDS.contains(&name) && value.starts_with('"') => Ok((text(value)?, false)),
        _ => Ok((Cow::Borrowed(raw), false)),
    }
}

/// Data of a request: an image, sound or a film, or a document.
fn inline<'a>(at: &str, raw: &'a str) -> Result<Content<'a>, Unfit> {
    let data = Fields::of(at, raw)?;
    let kind = data.text(at, "mimeType")?.map(media_type).unwrap_or_default();
    let Some(bytes) = data.text(at, "data")? else {
        return Err(Unfit::malformed(format!("{at}.data"), "it is missing"));
    };
    let title = data.text(at, "displayName")?;
    let source = Source::Base64 { media_type: kind.clone(), data: bytes };
    Ok(of_kind(&kind, source, title))
}

/// Content at an address.
fn file<'a>(at: &str, raw: &'a str) -> Result<Content<'a>, Unfit> {
    let file = Fields::of(at, raw)?;
    let kind = file.text(at, "mimeType")?.map(media_type).unwrap_or_default();
    let Some(uri) = file.text(at, "fileUri")? else {
        return Err(Unfit::malformed(format!("{at}.fileUri"), "it is missing"));
    };
    let is_kept = uri.starts_with("https://generativelanguage.googleapis.com/")
        || !(uri.starts_with("https://") || uri.starts_with("http://"));
    if is_kept {
        let fix = "Google keeps it, and no other provider: send the data itself as `inlineData`";
        return Err(Unfit::unsupported(format!("{at}.fileUri"), "of another wire", fix));
    }
    let title = file.text(at, "displayName")?;
    Ok(of_kind(&kind, Source::Url(uri), title))
}

fn of_kind<'a>(kind: &str, source: Source<'a>, title: Option<Text<'a>>) -> Content<'a> {
    match kind.split('/').next() {
        Some("image") => Content::Image(source),
        Some("audio" | "video") => Content::Media(source),
        _ => Content::Document { source, title, context: None },
    }
}

/// Code that Google ran, and what it printed.
fn fenced<'a>(at: &str, raw: &'a str, name: &str) -> Result<Content<'a>, Unfit> {
    let run = Fields::of(at, raw)?;
    let language = run.text(at, "language")?.unwrap_or_default().to_ascii_lowercase();
    let words = run.text(at, name)?.unwrap_or_default();
    let text = format!("```{language}\n{}\n```\n", words.trim_end_matches('\n'));
    Ok(Content::Text(Cow::Owned(text)))
}
