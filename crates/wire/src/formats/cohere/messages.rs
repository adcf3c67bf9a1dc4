//! Writes the messages of a request, and finds the documents in them.
//!
//! Called by [`super::write_request`]. Always true: the results of tools stand before all else that the user says; the
//! reasoning before a call is its plan.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::bytes::json::JsonText;
use crate::formats::errors::clean;
use crate::formats::neutral::{Content, Part, Request, Role, Source, Text, Turn, Unfit};
use crate::formats::order::Order;
use crate::formats::signed_call;

/// A document that the client sent in a message.
pub(super) struct Document<'r> {
    pub(super) title: Option<&'r str>,
    pub(super) context: Option<&'r str>,
    pub(super) text: Text<'r>,
}

/// Writes `messages`; returns the documents in them.
pub(super) fn write<'r>(
    json: &mut JsonText,
    request: &'r Request<'r>,
    order: &Order<'_>,
) -> Result<Vec<Document<'r>>, Unfit> {
    let mut writing = Writing { json, order, documents: Vec::new() };
    writing.json.key("messages").open(b'[');
    if !request.system.is_empty() {
        writing.message("system", request.system.iter())?;
    }
    for turn in &request.turns {
        match turn.role {
            Role::System => writing.message("system", turn.parts.iter())?,
            Role::User => writing.user(turn)?,
            Role::Assistant => writing.assistant(turn)?,
        }
    }
    writing.json.close(b']');
    Ok(writing.documents)
}

struct Writing<'j, 'r> {
    json: &'j mut JsonText,
    order: &'j Order<'j>,
    documents: Vec<Document<'r>>,
}

impl<'r> Writing<'_, 'r> {
    fn unsupported(&self, what: impl Into<String>, fix: &str) -> Unfit {
        Unfit::unsupported(what, &self.order.deployment.endpoint.provider.name, fix)
    }

    fn user(&mut self, turn: &'r Turn<'r>) -> Result<(), Unfit> {
        let mut tail: Vec<&'r Part<'r>> = Vec::with_capacity(turn.parts.len());
        let mut has_results = false;
        for part in &turn.parts {
            if let Content::ToolResult { id, parts, is_error } = &part.content {
                has_results = true;
                tail.extend(self.result(id, parts, *is_error)?);
            } else {
                tail.push(part);
            }
        }
        if !tail.is_empty() || !has_results {
            self.message("user", tail.into_iter())?;
        }
        Ok(())
    }

    /// Writes the result of a tool; returns what of it has no place there.
    fn result(
        &mut self,
        id: &str,
        parts: &'r [Part<'r>],
        is_error: bool,
    ) -> Result<Vec<&'r Part<'r>>, Unfit> {
        let is_text = |part: &&Part<'_>| matches!(part.content, Content::Text(_));
        let (texts, others): (Vec<&Part<'_>>, Vec<&Part<'_>>) = parts.iter().partition(is_text);
        let note = (texts.is_empty() && !others.is_empty())
            .then_some("(the result is in the next message)");
        let texts = texts.iter().enumerate().flat_map(|(i, part)| match &part.content {
            Content::Text(text) => [if i == 0 { "" } else { "\n" }, &**text],
            _ => [""; 2],
        });
        let begin = if is_error { "Error: " } else { "" };
        self.json.open(b'{').member("role", "tool").member("tool_call_id", id).key("content");
        self.json.joined([begin].into_iter().chain(note).chain(texts)).close(b'}');
        Ok(others)
    }

    /// A message that the model did not write. A single text is written as one.
    fn message(
        &mut self,
        role: &str,
        parts: impl Iterator<Item = &'r Part<'r>>,
    ) -> Result<(), Unfit> {
        self.json.open(b'{').member("role", role).key("content");
        let mut said: Vec<&Content<'_>> = Vec::with_capacity(parts.size_hint().0);
        for part in parts {
            match &part.content {
                Content::Document { source, title, context } => {
                    let text = self.text_of(source)?;
                    let (title, context) = (title.as_deref(), context.as_deref());
                    self.documents.push(Document { title, context, text });
                }
                content => said.push(content),
            }
        }
        match &said[..] {
            [] => {
                self.json.text("");
            }
            [Content::Text(text) | Content::Refusal(text)] => {
                self.json.text(text);
            }
            said => {
                self.json.open(b'[');
                for content in said {
                    self.content(content)?;
                }
                self.json.close(b']');
            }
        }
        self.json.close(b'}');
        Ok(())
    }

    fn content(&mut self, content: &Content<'_>) -> Result<(), Unfit> {
        match content {
            Content::Text(text) | Content::Refusal(text) => {
                self.json.open(b'{').member("type", "text").member("text", text).close(b'}');
            }
            Content::Image(source) => {
                self.json.open(b'{').member("type", "image_url").key("image_url").open(b'{');
                self.json.key("url");
                match source {
                    Source::Base64 { media_type, data } => {
                        self.json.joined(["data:", media_type, ";base64,", data]);
                    }
                    Source::Url(url) => {
                        self.json.text(url);
                    }
                    Source::Plain(_) | Source::File(_) => {
                        let fix = "send the image in base64, or its address";
                        return Err(self.unsupported("messages: an image of another kind", fix));
                    }
                }
                self.json.close(b'}').close(b'}');
            }
            Content::Media(_) => {
                let fix = "send texts and images";
                return Err(self.unsupported("messages: sound or a moving picture", fix));
            }
            // Documents stand elsewhere; the fit has put calls and results where they belong; the user does not reason.
            Content::Document { .. }
            | Content::ToolCall { .. }
            | Content::ToolResult { .. }
            | Content::Thinking { .. }
            | Content::Redacted(_) => {}
        }
        Ok(())
    }

    /// The text of a document.
    fn text_of(&self, source: &'r Source<'r>) -> Result<Text<'r>, Unfit> {
        let fix = "send its text";
        match source {
            Source::Plain(text) => Ok(Cow::Borrowed(text)),
            Source::Base64 { media_type, data } if media_type.starts_with("text/") => {
                let bytes = STANDARD.decode(data.as_bytes()).ok();
                let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
                let wrong = || Unfit::malformed("messages", "a document is no text in base64");
                text.map(Cow::Owned).ok_or_else(wrong)
            }
            Source::Base64 { media_type, .. } => {
                let what = format!("messages: a file of type {}", clean(media_type, 60));
                Err(self.unsupported(what, fix))
            }
            Source::Url(_) | Source::File(_) => {
                Err(self.unsupported("messages: the address of a document", fix))
            }
        }
    }

    fn assistant(&mut self, turn: &Turn<'_>) -> Result<(), Unfit> {
        let (mut texts, mut thoughts, mut calls) = (Vec::new(), Vec::new(), Vec::new());
        for part in &turn.parts {
            match &part.content {
                Content::Text(text) | Content::Refusal(text) => texts.push(&**text),
                Content::Thinking { text, .. } => thoughts.push(&**text),
                Content::ToolCall { id, name, input } => calls.push((id, name, input)),
                Content::Redacted(_) => {}
                Content::Image(_)
                | Content::Media(_)
                | Content::Document { .. }
                | Content::ToolResult { .. } => {
                    let what = "messages: an image or a document in an assistant's turn";
                    return Err(self.unsupported(what, "move it to a user's turn"));
                }
            }
        }
        texts.retain(|text| !text.is_empty());
        thoughts.retain(|text| !text.is_empty());
        if texts.is_empty() && calls.is_empty() {
            return Ok(());
        }
        let json = self.json.open(b'{').member("role", "assistant");
        if calls.is_empty() && !thoughts.is_empty() {
            json.key("content").open(b'[').open(b'{').member("type", "thinking").key("thinking");
            json.joined(thoughts).close(b'}').open(b'{').member("type", "text").key("text");
            json.joined(texts).close(b'}').close(b']').close(b'}');
            return Ok(());
        }
        if !texts.is_empty() {
            json.key("content").joined(texts);
        }
        if !thoughts.is_empty() {
            json.key("tool_plan").joined(thoughts);
        }
        if !calls.is_empty() {
            json.key("tool_calls").open(b'[');
            for (id, name, input) in calls {
                let (id, _) = signed_call::split(id);
                json.open(b'{').member("id", id).member("type", "function").key("function");
                json.open(b'{').member("name", name).member("arguments", input);
                json.close(b'}').close(b'}');
            }
            json.close(b']');
        }
        json.close(b'}');
        Ok(())
    }
}
