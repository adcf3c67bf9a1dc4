//! Writes the instructions and the turns of a request.
//!
//! Called by [`super::write_request`]. Always true: neighbours have different roles, the first turn is the user's, and none is
//! empty; a turn of the model has its reasoning first and its calls last; the results of one turn's calls stand in the order of
//! the calls, before all else.

use std::collections::HashMap;

use super::cache::Points;
use super::media::{self, Names};
use crate::bytes::json::JsonText;
use crate::formats::neutral::{Content, Part, Request, Role, Unfit};
use crate::formats::order::Order;

/// What stands where the user says nothing. As in LiteLLM.
const NOTHING: &str = ".";

/// Writes `system` and `messages`.
pub(super) fn write(
    json: &mut JsonText,
    request: &Request<'_>,
    (order, points): (&Order<'_>, &mut Points),
) -> Result<(), Unfit> {
    write_system(json, &request.system, points);
    json.key("messages").open(b'[');
    let mut turns = Turns {
        json,
        open: None,
        calls: HashMap::new(),
        names: Names::default(),
        needs_text: false,
        points,
        order,
    };
    for turn in &request.turns {
        match turn.role {
            Role::Assistant => turns.model(&turn.parts)?,
            Role::User | Role::System => turns.user(&turn.parts)?,
        }
    }
    turns.close();
    json.close(b']');
    Ok(())
}

fn write_system(json: &mut JsonText, parts: &[Part<'_>], points: &Points) {
    let is_marked = |part: &Part<'_>| part.cache.is_some() && !part.content.is_blank();
    let marked = parts.iter().rposition(is_marked);
    let mark = json.mark();
    json.key("system").open(b'[');
    for (i, part) in parts.iter().enumerate() {
        match &part.content {
            content if content.is_blank() => continue,
            Content::Text(text) | Content::Refusal(text) => {
                json.open(b'{').member("text", text).close(b'}');
            }
            // Instructions are texts.
            Content::Image(_)
            | Content::Media(_)
            | Content::Document { .. }
            | Content::ToolCall { .. }
            | Content::ToolResult { .. }
            | Content::Thinking { .. }
            | Content::Redacted(_) => continue,
        }
        if let Some(cache) = part.cache.as_deref().filter(|_| marked == Some(i)) {
            points.write(json, cache);
        }
    }
    match json.is_at_start() {
        true => json.undo(mark),
        false => {
            json.close(b']');
        }
    }
}

/// Whose turn is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Author {
    User,
    Model,
}

/// The turns so far.
struct Turns<'j, 'r> {
    json: &'j mut JsonText,
    open: Option<Author>,
    /// The numbers of the calls so far, by their ids. The last one counts.
    calls: HashMap<&'r str, usize>,
    /// The names of the documents so far.
    names: Names,
    /// Whether the open turn has a document and no text yet, without which it is refused.
    needs_text: bool,
    points: &'j mut Points,
    order: &'j Order<'j>,
}

impl<'r> Turns<'_, 'r> {
    /// The place of the next block of that author.
    fn block(&mut self, author: Author) -> &mut JsonText {
        if self.open == Some(author) {
            return self.json;
        }
        match self.open {
            Some(_) => self.end(),
            None if author == Author::Model => {
                self.begin(Author::User);
                self.write_text(NOTHING);
                self.end();
            }
            None => {}
        }
        self.begin(author);
        self.json
    }

    fn begin(&mut self, author: Author) {
        let role = match author {
            Author::User => "user",
            Author::Model => "assistant",
        };
        self.json.open(b'{').member("role", role).key("content").open(b'[');
        self.open = Some(author);
    }

    fn end(&mut self) {
        if std::mem::take(&mut self.needs_text) {
            self.write_text(NOTHING);
        }
        self.json.close(b']').close(b'}');
    }

    fn write_text(&mut self, text: &str) {
        self.json.open(b'{').member("text", text).close(b'}');
    }

    /// Ends the turns, which are not empty.
    fn close(&mut self) {
        if self.open.is_none() {
            self.block(Author::User);
            self.write_text(NOTHING);
        }
        self.end();
    }

    fn model(&mut self, parts: &'r [Part<'_>]) -> Result<(), Unfit> {
        let rank = |part: &&Part<'_>| match part.content {
            Content::Thinking { .. } | Content::Redacted(_) => 0,
            Content::ToolCall { .. } => 2,
            _ => 1,
        };
        let mut sorted: Vec<&'r Part<'_>> = parts.iter().collect();
        sorted.sort_by_key(rank);
        for part in sorted {
            match &part.content {
                Content::ToolCall { id, name, input } => {
                    let number = self.calls.len();
                    self.calls.insert(id, number);
                    let json = self.block(Author::Model).open(b'{').key("toolUse").open(b'{');
                    json.member("toolUseId", id).member("name", name).raw_member("input", input);
                    json.close(b'}').close(b'}');
                }
                Content::Thinking { text, signature } => {
                    let json =
                        self.block(Author::Model).open(b'{').key("reasoningContent").open(b'{');
                    json.key("reasoningText").open(b'{').member("text", text);
                    if !signature.is_empty() {
                        json.member("signature", signature);
                    }
                    json.close(b'}').close(b'}').close(b'}');
                }
                Content::Redacted(data) => {
                    let json =
                        self.block(Author::Model).open(b'{').key("reasoningContent").open(b'{');
                    json.member("redactedContent", data).close(b'}').close(b'}');
                }
                content if content.is_blank() => continue,
                content => self.said(Author::Model, content)?,
            }
            self.mark(part);
        }
        Ok(())
    }

    fn user(&mut self, parts: &'r [Part<'_>]) -> Result<(), Unfit> {
        let is_result = |part: &&Part<'_>| matches!(part.content, Content::ToolResult { .. });
        let (mut results, others): (Vec<&Part<'_>>, Vec<&Part<'_>>) =
            parts.iter().partition(is_result);
        results.sort_by_key(|part| match &part.content {
            Content::ToolResult { id, .. } => self.calls.get(&**id).copied(),
            _ => None,
        });
        for part in results {
            if let Content::ToolResult { id, parts, is_error } = &part.content {
                self.result(id, parts, *is_error)?;
                self.mark(part);
            }
        }
        for part in others.into_iter().filter(|part| !part.content.is_blank()) {
            self.said(Author::User, &part.content)?;
            self.mark(part);
        }
        Ok(())
    }

    fn mark(&mut self, part: &Part<'_>) {
        self.points.behind(self.json, part);
    }

    fn result(&mut self, id: &str, parts: &[Part<'_>], is_error: bool) -> Result<(), Unfit> {
        self.block(Author::User).open(b'{').key("toolResult").open(b'{').member("toolUseId", id);
        self.json.key("content").open(b'[');
        for part in parts.iter().filter(|part| !part.content.is_blank()) {
            let needed = self.needs_text;
            self.said(Author::User, &part.content)?;
            // A document in a result needs no words beside it.
            self.needs_text = needed;
        }
        self.json.close(b']');
        if is_error {
            self.json.member("status", "error");
        }
        self.json.close(b'}').close(b'}');
        Ok(())
    }

    /// A block that is neither a call, nor a result, nor reasoning.
    fn said(&mut self, author: Author, content: &Content<'_>) -> Result<(), Unfit> {
        self.block(author);
        match content {
            Content::Text(text) | Content::Refusal(text) => {
                self.needs_text = false;
                self.write_text(text);
            }
            Content::Image(source) => media::write_image(self.json, source, self.order)?,
            Content::Media(source) => media::write_media(self.json, source, self.order)?,
            Content::Document { source, title, context } => {
                let title = title.as_deref();
                if let Some(context) = context.as_deref().filter(|text| !text.trim().is_empty()) {
                    self.write_text(context);
                } else {
                    self.needs_text = true;
                }
                let name = self.names.next(title);
                media::write_document(self.json, source, (&name, self.order))?;
            }
            // The fit has put calls and results where they belong; the user does not reason.
            Content::ToolCall { .. }
            | Content::ToolResult { .. }
            | Content::Thinking { .. }
            | Content::Redacted(_) => {}
        }
        Ok(())
    }
}
