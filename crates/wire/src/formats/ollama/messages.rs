//! Writes the instructions and the turns of a request.
//!
//! Called by [`super::write_request`]. Always true: a message has one text, and its pictures beside it; each result of a tool
//! is a message with the name of its tool.

use std::collections::HashMap;

use crate::bytes::json::JsonText;
use crate::formats::neutral::{Content, Part, Request, Role, Source, Turn, Unfit};
use crate::formats::order::Order;
use crate::formats::signed_call;

/// Writes `messages`.
pub(super) fn write(
    json: &mut JsonText,
    request: &Request<'_>,
    order: &Order<'_>,
) -> Result<(), Unfit> {
    json.key("messages").open(b'[');
    let mut messages = Messages { json, calls: HashMap::new(), order };
    if !request.system.is_empty() {
        messages.said("system", request.system.iter())?;
    }
    for turn in &request.turns {
        messages.turn(turn)?;
    }
    json.close(b']');
    Ok(())
}

/// The messages so far.
struct Messages<'j, 'r> {
    json: &'j mut JsonText,
    /// The tools of the calls so far, by the ids of the calls in the request.
    calls: HashMap<&'r str, &'r str>,
    order: &'j Order<'j>,
}

impl<'r> Messages<'_, 'r> {
    fn turn(&mut self, turn: &'r Turn<'_>) -> Result<(), Unfit> {
        match turn.role {
            Role::System => self.said("system", turn.parts.iter()),
            Role::Assistant => self.model(&turn.parts),
            Role::User => {
                let mut has_results = false;
                for part in &turn.parts {
                    if let Content::ToolResult { id, parts, is_error } = &part.content {
                        has_results = true;
                        self.result(id, parts, *is_error)?;
                    }
                }
                let is_said =
                    |part: &&Part<'_>| !matches!(part.content, Content::ToolResult { .. });
                match has_results && !turn.parts.iter().any(|part| is_said(&part)) {
                    true => Ok(()),
                    false => self.said("user", turn.parts.iter().filter(is_said)),
                }
            }
        }
    }

    /// A message that the model did not write.
    fn said<'p, 'a: 'p>(
        &mut self,
        role: &str,
        parts: impl Iterator<Item = &'p Part<'a>>,
    ) -> Result<(), Unfit> {
        self.json.open(b'{').member("role", role);
        self.content(parts, "")?;
        self.json.close(b'}');
        Ok(())
    }

    fn result(&mut self, id: &str, parts: &[Part<'_>], is_error: bool) -> Result<(), Unfit> {
        let Some(name) = self.calls.get(id) else {
            // The fit has paired results with their calls.
            return Err(Unfit::malformed("messages", "a result has no call before it"));
        };
        self.json.open(b'{').member("role", "tool").member("tool_name", name);
        self.content(parts.iter(), if is_error { "Error: " } else { "" })?;
        self.json.close(b'}');
        Ok(())
    }

    /// `content`, which begins with `prefix`, and `images`.
    fn content<'p, 'a: 'p>(
        &mut self,
        parts: impl Iterator<Item = &'p Part<'a>>,
        prefix: &'static str,
    ) -> Result<(), Unfit> {
        let (mut texts, mut images): (Vec<&str>, Vec<&str>) = (vec![prefix], Vec::new());
        let mut add = |text: &'p str| {
            if texts.len() > 1 {
                texts.push("\n");
            }
            texts.push(text);
        };
        for part in parts {
            match &part.content {
                Content::Text(text) | Content::Refusal(text) => add(text),
                Content::Document { source: Source::Plain(text), title, context } => {
                    context.iter().chain(title).for_each(|text| add(text));
                    add(text);
                }
                Content::Image(Source::Base64 { data, .. }) => images.push(data),
                Content::Image(Source::Plain(_) | Source::Url(_) | Source::File(_)) => {
                    return Err(self.elsewhere("an address of an image"));
                }
                Content::Document { .. } => return Err(self.elsewhere("a document")),
                Content::Media(_) => return Err(self.elsewhere("sound or a film")),
                // The fit has put calls and results where they belong; the user does not reason.
                Content::ToolCall { .. }
                | Content::ToolResult { .. }
                | Content::Thinking { .. }
                | Content::Redacted(_) => {}
            }
        }
        self.json.key("content").joined(texts);
        if !images.is_empty() {
            self.json.key("images").open(b'[');
            for data in images {
                self.json.text(data);
            }
            self.json.close(b']');
        }
        Ok(())
    }

    fn model(&mut self, parts: &'r [Part<'_>]) -> Result<(), Unfit> {
        let pieces = |pick: fn(&'r Content<'_>) -> Option<&'r str>| {
            parts.iter().filter_map(move |part| pick(&part.content))
        };
        self.json.open(b'{').member("role", "assistant");
        self.json.key("content").joined(pieces(|content| match content {
            Content::Text(text) | Content::Refusal(text) => Some(text),
            _ => None,
        }));
        // What the fit left is of the model's family.
        let thoughts = || {
            pieces(|content| match content {
                Content::Thinking { text, .. } => Some(text).map(|text| &**text),
                _ => None,
            })
        };
        if thoughts().any(|text| !text.is_empty()) {
            self.json.key("thinking").joined(thoughts());
        }
        let mut calls = 0;
        for part in parts {
            match &part.content {
                Content::ToolCall { id, name, input } => {
                    self.calls.insert(signed_call::split(id).0, name);
                    if calls == 0 {
                        self.json.key("tool_calls").open(b'[');
                    }
                    calls += 1;
                    self.json.open(b'{').key("function").open(b'{');
                    self.json.member("name", name).raw_member("arguments", input);
                    self.json.close(b'}').close(b'}');
                }
                Content::Image(_)
                | Content::Media(_)
                | Content::Document { .. }
                | Content::ToolResult { .. } => {
                    return Err(self.elsewhere("an image or a document in an assistant's turn"));
                }
                Content::Text(_)
                | Content::Refusal(_)
                | Content::Thinking { .. }
                | Content::Redacted(_) => {}
            }
        }
        if calls > 0 {
            self.json.close(b']');
        }
        self.json.close(b'}');
        Ok(())
    }

    fn elsewhere(&self, what: &str) -> Unfit {
        let provider = &self.order.deployment.endpoint.provider.name;
        let fix = "its messages have texts and, in a user's turn, images in base64";
        Unfit::unsupported(format!("messages: {what}"), provider, fix)
    }
}
