//! Writes the instructions and the turns of a request.
//!
//! Called by [`super::write_request`]. Always true: neighbours have different roles, the first content is the user's, and
//! none is empty; the results of one turn's calls stand in the order of the calls, before all else.

use std::collections::HashMap;

use super::Model;
use crate::bytes::json::{JsonText, is_object};
use crate::formats::errors::clean;
use crate::formats::neutral::{Content, Part, Request, Role, Source, Unfit};
use crate::formats::order::Order;
use crate::formats::signed_call::{self, CallSigning};
use crate::formats::signing::Signing;
use crate::formats::thoughts::GOOGLES;

/// What stands where a request has nothing that the user says. Source: LiteLLM.
const NOTHING: &str = " ";
/// What the id of a call begins with that Google gave no id.
pub(super) const OWN_ID: &str = "call_g";
/// Types of data that the models read, besides texts, pictures, sound and films. Source:
/// <https://ai.google.dev/gemini-api/docs/document-processing>.
const DOCUMENTS: [&str; 4] =
    ["application/pdf", "application/json", "application/x-javascript", "application/x-python"];

/// Writes `systemInstruction` and `contents`.
pub(super) fn write(
    json: &mut JsonText,
    request: &Request<'_>,
    order: &Order<'_>,
) -> Result<(), Unfit> {
    let texts = || request.system.iter().filter(|part| !part.content.is_blank());
    if texts().next().is_some() {
        json.key("systemInstruction").open(b'{').key("parts").open(b'[');
        for part in texts() {
            match &part.content {
                Content::Text(text) | Content::Refusal(text) => {
                    json.open(b'{').member("text", text).close(b'}');
                }
                other => write_said(json, other, order)?,
            }
        }
        json.close(b']').close(b'}');
    }
    json.key("contents").open(b'[');
    let mut contents = Contents { json, open: None, calls: HashMap::new(), order };
    let signing = Signing::of(request, order);
    for (i, turn) in request.turns.iter().enumerate() {
        match turn.role {
            Role::Assistant => contents.model(&turn.parts, signing.at(i))?,
            Role::User | Role::System => contents.user(&turn.parts)?,
        }
    }
    contents.close();
    json.close(b']');
    Ok(())
}

/// Whose content is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Author {
    User,
    Model,
}

/// A call of the model.
struct Called<'r> {
    number: usize,
    name: &'r str,
    /// Its id, if Google gave it one.
    id: Option<&'r str>,
}

/// The contents so far.
struct Contents<'j, 'r> {
    json: &'j mut JsonText,
    open: Option<Author>,
    /// The calls so far, by their ids in the request. The last one counts.
    calls: HashMap<&'r str, Called<'r>>,
    order: &'j Order<'j>,
}

impl<'r> Contents<'_, 'r> {
    /// The place of the next part of that author.
    fn part(&mut self, author: Author) -> &mut JsonText {
        if self.open == Some(author) {
            return self.json;
        }
        match self.open {
            Some(_) => {
                self.json.close(b']').close(b'}');
            }
            None if author == Author::Model => {
                self.begin(Author::User);
                self.json.open(b'{').member("text", NOTHING).close(b'}');
                self.json.close(b']').close(b'}');
            }
            None => {}
        }
        self.begin(author);
        self.open = Some(author);
        self.json
    }

    fn begin(&mut self, author: Author) {
        let role = match author {
            Author::User => "user",
            Author::Model => "model",
        };
        self.json.open(b'{').member("role", role).key("parts").open(b'[');
    }

    /// Ends the contents, which are not empty.
    fn close(&mut self) {
        if self.open.is_none() {
            self.part(Author::User).open(b'{').member("text", NOTHING).close(b'}');
        }
        self.json.close(b']').close(b'}');
    }

    fn model(&mut self, parts: &'r [Part<'_>], signing: CallSigning) -> Result<(), Unfit> {
        let is_signed = |part: &Part<'_>| match &part.content {
            Content::ToolCall { id, .. } => signed_call::split(id).1.is_some(),
            _ => false,
        };
        // Calls of another model have no ids that Google knows.
        let has_ids = Model(self.order.upstream_model).is_newer() && parts.iter().any(is_signed);
        let mut calls = 0;
        let mut parts = parts.iter().peekable();
        while let Some(part) = parts.next() {
            match &part.content {
                Content::Image(Source::Base64 { media_type, data }) => {
                    // The signature of a picture goes back on its part.
                    let next = parts.peek().and_then(|next| of_the_part_before(&next.content));
                    let json = self.part(Author::Model).open(b'{').key("inlineData").open(b'{');
                    json.member("mimeType", media_type).member("data", data).close(b'}');
                    if let Some(signature) = next {
                        json.member("thoughtSignature", signature);
                        parts.next();
                    }
                    json.close(b'}');
                }
                Content::ToolCall { id, name, input } => {
                    let (own, tail) = signed_call::split(id);
                    let number = self.calls.len();
                    let given = Some(own).filter(|id| has_ids && !id.starts_with(OWN_ID));
                    self.calls.insert(own, Called { number, name, id: given });
                    let json = self.part(Author::Model).open(b'{').key("functionCall").open(b'{');
                    if let Some(id) = given {
                        json.member("id", id);
                    }
                    json.member("name", name).raw_member("args", input).close(b'}');
                    if let Some(signature) = signing.signature(calls, tail) {
                        json.member("thoughtSignature", &signature);
                    }
                    json.close(b'}');
                    calls += 1;
                }
                Content::Thinking { text, signature } => {
                    // What the fit left is signed by Google.
                    let Some(signature) = googles(signature) else { continue };
                    let json = self.part(Author::Model).open(b'{').member("text", text);
                    if !text.is_empty() {
                        json.raw_member("thought", "true");
                    }
                    json.member("thoughtSignature", signature).close(b'}');
                }
                Content::Redacted(_) => {}
                content if content.is_blank() => {}
                content => {
                    let order = self.order;
                    write_said(self.part(Author::Model), content, order)?;
                }
            }
        }
        Ok(())
    }

    fn user(&mut self, parts: &'r [Part<'_>]) -> Result<(), Unfit> {
        let is_result = |part: &&Part<'_>| matches!(part.content, Content::ToolResult { .. });
        let (mut results, others): (Vec<&Part<'_>>, Vec<&Part<'_>>) =
            parts.iter().partition(is_result);
        results.sort_by_key(|part| match &part.content {
            Content::ToolResult { id, .. } => self.calls.get(&**id).map(|called| called.number),
            _ => None,
        });
        for part in results {
            if let Content::ToolResult { id, parts, is_error } = &part.content {
                self.result(id, parts, *is_error)?;
            }
        }
        for part in others.into_iter().filter(|part| !part.content.is_blank()) {
            let order = self.order;
            write_said(self.part(Author::User), &part.content, order)?;
        }
        Ok(())
    }

    fn result(&mut self, id: &str, parts: &[Part<'_>], is_error: bool) -> Result<(), Unfit> {
        let (name, given) = match self.calls.get(id) {
            Some(called) => (called.name, called.id),
            // The fit has paired results with their calls.
            None => return Err(Unfit::malformed("messages", "a result has no call before it")),
        };
        let (order, is_newer) = (self.order, Model(self.order.upstream_model).is_newer());
        let (texts, media) = divided(parts, is_newer);
        let json = self.part(Author::User).open(b'{').key("functionResponse").open(b'{');
        if let Some(id) = given {
            json.member("id", id);
        }
        json.member("name", name).key("response");
        write_response(json, &texts, is_error);
        if is_newer && !media.is_empty() {
            json.key("parts").open(b'[');
            // What is said beside data stands among the texts.
            for part in &media {
                match &part.content {
                    Content::Document { source, .. } => write_source(json, source, order)?,
                    other => write_said(json, other, order)?,
                }
            }
            json.close(b']');
        }
        json.close(b'}').close(b'}');
        if !is_newer {
            for part in media.into_iter().filter(|part| !part.content.is_blank()) {
                write_said(self.part(Author::User), &part.content, order)?;
            }
        }
        Ok(())
    }
}

/// A signature as Google wrote it.
fn googles(signature: &str) -> Option<&str> {
    signature.strip_prefix(GOOGLES).filter(|signature| signed_call::is_signature(signature))
}

/// The signature of Google's that belongs to the part before, if that is what it is.
fn of_the_part_before<'p>(content: &'p Content<'_>) -> Option<&'p str> {
    match content {
        Content::Thinking { text, signature } if text.is_empty() => googles(signature),
        _ => None,
    }
}

/// The texts of a result, those of its documents included, and its data. The parts of a newer model's result are data alone; the data
/// of an older one's stands behind it, with what is said about it.
fn divided<'p>(parts: &'p [Part<'_>], is_newer: bool) -> (Vec<&'p str>, Vec<&'p Part<'p>>) {
    let (mut texts, mut media): (Vec<&str>, Vec<&Part<'_>>) = (Vec::new(), Vec::new());
    for part in parts {
        match &part.content {
            Content::Text(text) | Content::Refusal(text) => texts.push(text),
            Content::Document { source, title, context } => {
                let said = context.iter().chain(title).map(|text| &**text);
                let said = said.filter(|text| !text.trim().is_empty());
                match source {
                    Source::Plain(text) => texts.extend(said.chain([&**text])),
                    Source::Base64 { .. } | Source::Url(_) | Source::File(_) => {
                        let context = context.iter().filter(|text| !text.trim().is_empty());
                        texts.extend(context.filter(|_| is_newer).map(|text| &**text));
                        media.push(part);
                    }
                }
            }
            _ => media.push(part),
        }
    }
    (texts, media)
}

/// The result as an object: as it is if it is one, else in the member that the format has for it. Source:
/// <https://ai.google.dev/api/caching#FunctionResponse>.
fn write_response(json: &mut JsonText, texts: &[&str], is_error: bool) {
    let words =
        || texts.iter().enumerate().flat_map(|(i, text)| [if i == 0 { "" } else { "\n" }, *text]);
    let name = if is_error { "error" } else { "output" };
    match texts {
        [text] if is_object(text) => match is_error {
            true => json.open(b'{').raw_member(name, text.trim()).close(b'}'),
            false => json.raw(text.trim()),
        },
        _ => json.open(b'{').key(name).joined(words()).close(b'}'),
    };
}

/// A part that is neither a call nor a result.
fn write_said(json: &mut JsonText, content: &Content<'_>, order: &Order<'_>) -> Result<(), Unfit> {
    match content {
        Content::Text(text) | Content::Refusal(text) => {
            json.open(b'{').member("text", text).close(b'}');
        }
        Content::Image(source) | Content::Media(source) => write_source(json, source, order)?,
        Content::Document { source, title, context } => {
            let is_text = matches!(source, Source::Plain(_));
            let title = title.as_ref().filter(|_| is_text);
            for text in context.iter().chain(title).filter(|text| !text.trim().is_empty()) {
                json.open(b'{').member("text", text).close(b'}');
            }
            write_source(json, source, order)?;
        }
        // The fit has put calls and results where they belong; the user does not reason.
        Content::ToolCall { .. }
        | Content::ToolResult { .. }
        | Content::Thinking { .. }
        | Content::Redacted(_) => {}
    }
    Ok(())
}

fn write_source(json: &mut JsonText, source: &Source<'_>, order: &Order<'_>) -> Result<(), Unfit> {
    let provider = &order.deployment.endpoint.provider.name;
    match source {
        Source::Base64 { media_type, data } => {
            let kind = media_type.split('/').next().unwrap_or_default();
            let is_read = matches!(kind, "image" | "audio" | "video" | "text");
            if !is_read && !DOCUMENTS.contains(&&**media_type) {
                let field = format!("messages: a file of type {}", clean(media_type, 60));
                let fix = "send PDF, plain text, an image, audio or video";
                return Err(Unfit::unsupported(field, provider, fix));
            }
            json.open(b'{').key("inlineData").open(b'{').member("mimeType", media_type);
            json.member("data", data).close(b'}').close(b'}');
        }
        Source::Plain(text) => {
            json.open(b'{').member("text", text).close(b'}');
        }
        Source::Url(url) | Source::File(url) if is_read(url, order) => {
            json.open(b'{').key("fileData").open(b'{').member("fileUri", url);
            if let Some(kind) = type_by_name(url) {
                json.member("mimeType", kind);
            }
            json.close(b'}').close(b'}');
        }
        Source::Url(_) | Source::File(_) => {
            let fix = "send the data itself in base64, or an https address";
            return Err(Unfit::unsupported("messages: an address of content", provider, fix));
        }
    }
    Ok(())
}

/// Whether the provider fetches what is at that address: Vertex AI has the storage of Google's cloud too.
fn is_read(url: &str, order: &Order<'_>) -> bool {
    let is_at_vertex = order.deployment.endpoint.vertex.is_some();
    url.starts_with("https://") || (is_at_vertex && url.starts_with("gs://"))
}

/// Whether the provider reads by itself what is at that address of the web: films of YouTube, its own files, and at Vertex AI what
/// its name says the type of. Source: <https://ai.google.dev/api/caching#FileData>.
pub(crate) fn reads_address(url: &str, order: &Order<'_>) -> bool {
    const OWN: [&str; 4] = [
        "https://www.youtube.com/",
        "https://youtube.com/",
        "https://youtu.be/",
        "https://generativelanguage.googleapis.com/",
    ];
    let is_at_vertex = order.deployment.endpoint.vertex.is_some();
    let is_named = is_at_vertex && url.starts_with("https://") && type_by_name(url).is_some();
    is_named || OWN.iter().any(|own| url.starts_with(own))
}

/// The type that the name of a file says.
fn type_by_name(url: &str) -> Option<&'static str> {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let (_, end) = path.rsplit_once('/')?.1.rsplit_once('.')?;
    Some(match &*end.to_ascii_lowercase() {
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "gif" => "image/gif",
        "heic" => "image/heic",
        "pdf" => "application/pdf",
        "txt" | "md" => "text/plain",
        "csv" => "text/csv",
        "html" | "htm" => "text/html",
        "wav" => "audio/wav",
        "mp3" => "audio/mp3",
        "flac" => "audio/flac",
        "ogg" => "audio/ogg",
        "mp4" => "video/mp4",
        "mov" => "video/mov",
        "webm" => "video/webm",
        _ => return None,
    })
}
