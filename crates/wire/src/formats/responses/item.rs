//! An output item of a response, and its neutral form.
//!
//! Called by [`super::answer`] and [`super::stream_read`]. Items of the provider's own tools have no neutral form.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::bytes::json::Str;
use crate::formats::neutral::{Content, Text};

/// An output item, complete or partial.
#[derive(Debug, Deserialize)]
pub(super) struct Item<'a> {
    #[serde(borrow, rename = "type", default)]
    pub(super) kind: Text<'a>,
    #[serde(borrow)]
    id: Option<Str<'a>>,
    #[serde(borrow)]
    call_id: Option<Str<'a>>,
    #[serde(borrow)]
    name: Option<Str<'a>>,
    #[serde(borrow)]
    arguments: Option<Str<'a>>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    summary: Option<&'a RawValue>,
    #[serde(borrow)]
    encrypted_content: Option<Str<'a>>,
}

#[derive(Deserialize)]
struct Part<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    text: Option<Str<'a>>,
    #[serde(borrow)]
    refusal: Option<Str<'a>>,
}

impl<'a> Item<'a> {
    /// Whether it is a call of a client's function.
    pub(super) fn is_call(&self) -> bool {
        self.kind == "function_call"
    }

    /// Whether it is a call of a client's tool with a text as input, which has no neutral form.
    pub(super) fn is_custom_call(&self) -> bool {
        self.kind == "custom_tool_call"
    }

    /// Its contents in order, without empty ones.
    pub(super) fn contents(self) -> Vec<Content<'a>> {
        let mut contents = match &*self.kind {
            "message" => parts(self.content, |kind, text, refusal| match kind {
                "output_text" => text.map(Content::Text),
                "refusal" => refusal.map(Content::Refusal),
                _ => None,
            }),
            "reasoning" => {
                let thought = |_: &str, text: Option<Text<'a>>, _: Option<Text<'a>>| {
                    let signature = Text::Borrowed("");
                    text.map(|text| Content::Thinking { text, signature })
                };
                let mut thoughts = parts(self.summary, thought);
                thoughts.extend(parts(self.content, thought));
                thoughts.extend(self.encrypted_content.map(|data| Content::Redacted(data.0)));
                thoughts
            }
            "function_call" => vec![Content::ToolCall {
                id: self.call_id.or(self.id).unwrap_or_default().0,
                name: self.name.unwrap_or_default().0,
                input: self.arguments.unwrap_or_default().0,
            }],
            _ => Vec::new(),
        };
        contents.retain(|content| match content {
            Content::Text(text) | Content::Refusal(text) | Content::Thinking { text, .. } => {
                !text.is_empty()
            }
            _ => true,
        });
        contents
    }
}

/// What `pick` makes of the parts in the list `raw`; a list of another shape has no parts.
fn parts<'a>(
    raw: Option<&'a RawValue>,
    pick: impl Fn(&str, Option<Text<'a>>, Option<Text<'a>>) -> Option<Content<'a>>,
) -> Vec<Content<'a>> {
    let list = raw.and_then(|raw| serde_json::from_str::<Vec<Part<'a>>>(raw.get()).ok());
    let parts = list.into_iter().flatten();
    parts
        .filter_map(|part| {
            pick(&part.kind, part.text.map(Text::from), part.refusal.map(Text::from))
        })
        .collect()
}
