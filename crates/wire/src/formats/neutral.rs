//! The neutral form of a chat, between a client of one format and a provider of another.
//!
//! The readers of the formats fill it, their writers consume it. Always true: a text without escapes is borrowed from
//! the body it was read from; JSON that needs no reading (schemas, tool inputs) stays JSON text.

use std::borrow::Cow;

use hale_core::usage::Usage;
use serde_json::value::RawValue;

use super::asked::Asked;
pub(crate) use super::bounds::{CALLS_MAX, check_call, cut_id};
pub use super::unfit::Unfit;

/// A text, borrowed where possible.
pub type Text<'a> = Cow<'a, str>;
/// JSON text that is not parsed.
pub type Json<'a> = Cow<'a, str>;

/// A request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Request<'a> {
    /// The instructions before all turns.
    pub system: Vec<Part<'a>>,
    /// The turns. Neighbours never have the same role.
    pub turns: Vec<Turn<'a>>,
    /// The tools.
    pub tools: Vec<Tool<'a>>,
    /// Which of them the model must use.
    pub tool_choice: Option<ToolChoice<'a>>,
    /// Whether the model may call several at once, if the client says.
    pub parallel_tools: Option<bool>,
    /// Maximum tokens of the answer, as JSON text.
    pub max_tokens: Option<Json<'a>>,
    /// JSON text of `temperature`.
    pub temperature: Option<Json<'a>>,
    /// JSON text of `top_p`.
    pub top_p: Option<Json<'a>>,
    /// Texts that end the answer.
    pub stop: Vec<Text<'a>>,
    /// Whether the answer is a stream.
    pub stream: bool,
    /// The client's user.
    pub user: Option<Text<'a>>,
    /// How much the model reasons before it answers.
    pub thinking: Option<Thinking<'a>>,
    /// The effort that the model puts into its answer, in the client's vocabulary.
    pub effort: Option<Text<'a>>,
    /// The required shape of the answer.
    pub format: Option<Format<'a>>,
    /// Further parameters of the client's format, each with its JSON text.
    pub others: Vec<(Text<'a>, Json<'a>)>,
    /// What the reader left out that could matter.
    pub left_out: Vec<&'static str>,
    /// What a translated response says of it.
    pub(crate) asked: Option<Box<Asked>>,
}

/// The author of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Instructions between turns.
    System,
    /// The user, and the results of tools.
    User,
    /// The model.
    Assistant,
}

/// One turn.
#[derive(Clone, Debug, PartialEq)]
pub struct Turn<'a> {
    /// Its author.
    pub role: Role,
    /// Its parts.
    pub parts: Vec<Part<'a>>,
}

/// A part of a turn or of an answer, with the hint to cache everything up to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Part<'a> {
    /// What it holds.
    pub content: Content<'a>,
    /// `cache_control` as JSON text.
    pub cache: Option<Json<'a>>,
}

impl<'a> From<Content<'a>> for Part<'a> {
    fn from(content: Content<'a>) -> Part<'a> {
        Part { content, cache: None }
    }
}

/// What a part holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Content<'a> {
    /// Text.
    Text(Text<'a>),
    /// An image.
    Image(Source<'a>),
    /// A document with its title and context.
    Document {
        /// Where it is.
        source: Source<'a>,
        /// Its title or file name.
        title: Option<Text<'a>>,
        /// What the model should know about it.
        context: Option<Text<'a>>,
    },
    /// Sound, or a moving picture, as its type says.
    Media(Source<'a>),
    /// The model calls a tool.
    ToolCall {
        /// The id of the call.
        id: Text<'a>,
        /// The tool's name.
        name: Text<'a>,
        /// The input, a JSON object.
        input: Json<'a>,
    },
    /// The result of a tool.
    ToolResult {
        /// The id of the call that it answers.
        id: Text<'a>,
        /// Texts and images.
        parts: Vec<Part<'a>>,
        /// Whether the tool failed.
        is_error: bool,
    },
    /// The model's reasoning, signed by its provider.
    Thinking {
        /// The text.
        text: Text<'a>,
        /// The signature; empty if there is none.
        signature: Text<'a>,
    },
    /// Reasoning that only its provider can read.
    Redacted(Text<'a>),
    /// A refusal in the model's words.
    Refusal(Text<'a>),
}

/// Where an image or a document is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source<'a> {
    /// Inline, in base64.
    Base64 {
        /// `image/png`, `application/pdf`, ...
        media_type: Text<'a>,
        /// The data.
        data: Text<'a>,
    },
    /// Inline, as plain text.
    Plain(Text<'a>),
    /// At a URL.
    Url(Text<'a>),
    /// Stored at the provider, with an id.
    File(Text<'a>),
}

/// A tool.
#[derive(Clone, Debug, PartialEq)]
pub enum Tool<'a> {
    /// One that the client runs.
    Function {
        /// Its name.
        name: Text<'a>,
        /// What it does.
        description: Option<Text<'a>>,
        /// The JSON schema of its input.
        schema: Option<Json<'a>>,
        /// Whether the input must match the schema.
        strict: Option<bool>,
        /// `cache_control` as JSON text.
        cache: Option<Json<'a>>,
    },
    /// A tool of the provider, in the provider's format.
    Native(Json<'a>),
}

/// Which tool the model must use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolChoice<'a> {
    /// The model decides.
    Auto,
    /// None.
    Nothing,
    /// At least one, whichever.
    Any,
    /// This one.
    Named(Text<'a>),
}

/// How much the model reasons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Thinking<'a> {
    /// Not at all.
    Off,
    /// The model decides.
    Adaptive,
    /// At most this many tokens.
    Budget(u64),
    /// Anthropic's `thinking` as JSON text.
    Native(Json<'a>),
}

/// The required shape of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format<'a> {
    /// Any JSON object.
    JsonObject,
    /// JSON that follows this schema.
    Schema {
        /// Its name.
        name: Option<Text<'a>>,
        /// The schema.
        schema: Json<'a>,
        /// Whether the answer must match it.
        strict: Option<bool>,
    },
}

/// An answer in one piece.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer<'a> {
    /// The provider's id.
    pub id: Text<'a>,
    /// Its parts, in order.
    pub parts: Vec<Part<'a>>,
    /// What its text cites.
    pub citations: Vec<Citation<'a>>,
    /// Why it ended.
    pub stop: Option<Stop>,
    /// The stop text that ended it.
    pub stop_sequence: Option<Text<'a>>,
    /// Tokens.
    pub usage: Option<Usage>,
}

/// Where a passage of an answer's text comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Citation<'a> {
    /// Where the passage begins in the text of the answer, in characters.
    pub start: u64,
    /// Where it ends.
    pub end: u64,
    /// The address of the source, or its name at the provider.
    pub url: Text<'a>,
    /// Its title.
    pub title: Text<'a>,
}

impl<'a> Answer<'a> {
    /// The same answer as the deltas of a stream.
    pub(crate) fn into_deltas(self) -> Vec<Delta<'a>> {
        let mut deltas = Vec::with_capacity(self.parts.len() + 4);
        deltas.push(Delta::Start(cut_id(self.id)));
        let mut calls = 0;
        for part in self.parts {
            match part.content {
                Content::ToolCall { id, name, input } => {
                    deltas.push(Delta::ToolStart { call: calls, id, name });
                    deltas.push(Delta::ToolInput { call: calls, json: input });
                    calls += 1;
                }
                content => deltas.extend(content.into_deltas()),
            }
        }
        deltas.extend(self.citations.into_iter().map(|one| Delta::Citation(Box::new(one))));
        deltas.extend(self.usage.map(Delta::Usage));
        deltas.extend(self.stop.map(|stop| Delta::Stop(stop, self.stop_sequence)));
        deltas.push(Delta::End);
        deltas
    }
}

impl<'a> Content<'a> {
    /// Whether it is a text without a word.
    pub(crate) fn is_blank(&self) -> bool {
        match self {
            Content::Text(text) | Content::Refusal(text) => text.trim().is_empty(),
            Content::Image(_)
            | Content::Media(_)
            | Content::Document { .. }
            | Content::ToolCall { .. }
            | Content::ToolResult { .. }
            | Content::Thinking { .. }
            | Content::Redacted(_) => false,
        }
    }

    /// Whether it says nothing: reasoning does not count, and other content does.
    pub(crate) fn is_silent(&self) -> bool {
        matches!(self, Content::Thinking { .. }) || self.is_blank()
    }

    /// The same content as deltas. Tool calls are left to the caller, which numbers them.
    pub(crate) fn into_deltas(self) -> Vec<Delta<'a>> {
        match self {
            Content::Text(text) => vec![Delta::Text(text)],
            Content::Refusal(text) => vec![Delta::Refusal(text)],
            Content::Redacted(data) => vec![Delta::Redacted(data)],
            Content::Thinking { text, signature } if signature.is_empty() => {
                vec![Delta::Thinking(text)]
            }
            Content::Thinking { text, signature } => {
                vec![Delta::Thinking(text), Delta::Signature(signature)]
            }
            Content::Image(Source::Base64 { media_type, data }) => {
                vec![Delta::Image { media_type, data }]
            }
            Content::Image(_)
            | Content::Media(_)
            | Content::Document { .. }
            | Content::ToolCall { .. }
            | Content::ToolResult { .. } => Vec::new(),
        }
    }
}

/// Why an answer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It is complete.
    End,
    /// One of the client's stop texts occurred.
    Sequence,
    /// The token limit was reached.
    Length,
    /// The context window is full.
    ContextWindow,
    /// The model waits for the results of tools.
    Tools,
    /// The provider paused a long turn.
    Pause,
    /// The model or the provider refuses.
    Refusal,
    /// The provider's own reason, which is in neither format.
    Other(Box<str>),
}

impl Stop {
    /// An unknown reason, cut to a bounded length.
    pub(crate) fn other(word: &str) -> Stop {
        Stop::Other(crate::formats::errors::clean(word, 60).into())
    }
}

/// What one event of a stream adds to the answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Delta<'a> {
    /// The answer starts; its id.
    Start(Text<'a>),
    /// Text.
    Text(Text<'a>),
    /// Reasoning.
    Thinking(Text<'a>),
    /// The signature of the reasoning so far.
    Signature(Text<'a>),
    /// Reasoning that only its provider can read.
    Redacted(Text<'a>),
    /// A refusal in the model's words.
    Refusal(Text<'a>),
    /// An image, whole.
    Image {
        /// Its type.
        media_type: Text<'a>,
        /// The data in base64.
        data: Text<'a>,
    },
    /// A tool call starts.
    ToolStart {
        /// The number of the call, counted from 0.
        call: usize,
        /// Its id.
        id: Text<'a>,
        /// The tool's name.
        name: Text<'a>,
    },
    /// A piece of the input's JSON text.
    ToolInput {
        /// The number of the call, counted from 0.
        call: usize,
        /// The piece.
        json: Text<'a>,
    },
    /// What a passage of the text cites. Boxed, because most deltas are pieces of text.
    Citation(Box<Citation<'a>>),
    /// Why it ended.
    Stop(Stop, Option<Text<'a>>),
    /// Tokens so far; later counts replace earlier ones.
    Usage(Usage),
    /// A ping.
    Ping,
    /// The stream is complete.
    End,
}

impl Delta<'_> {
    /// The same delta with owned texts.
    #[must_use]
    pub fn into_owned(self) -> Delta<'static> {
        fn own(text: Text<'_>) -> Text<'static> {
            Cow::Owned(text.into_owned())
        }
        match self {
            Delta::Start(id) => Delta::Start(own(id)),
            Delta::Text(text) => Delta::Text(own(text)),
            Delta::Thinking(text) => Delta::Thinking(own(text)),
            Delta::Signature(text) => Delta::Signature(own(text)),
            Delta::Redacted(data) => Delta::Redacted(own(data)),
            Delta::Refusal(text) => Delta::Refusal(own(text)),
            Delta::Image { media_type, data } => {
                Delta::Image { media_type: own(media_type), data: own(data) }
            }
            Delta::ToolStart { call, id, name } => {
                Delta::ToolStart { call, id: own(id), name: own(name) }
            }
            Delta::ToolInput { call, json } => Delta::ToolInput { call, json: own(json) },
            Delta::Citation(one) => Delta::Citation(Box::new(Citation {
                url: own(one.url),
                title: own(one.title),
                ..*one
            })),
            Delta::Stop(stop, sequence) => Delta::Stop(stop, sequence.map(own)),
            Delta::Usage(usage) => Delta::Usage(usage),
            Delta::Ping => Delta::Ping,
            Delta::End => Delta::End,
        }
    }

    /// Whether it is content: what ends the wait for the first token.
    #[must_use]
    pub fn is_content(&self) -> bool {
        match self {
            Delta::Text(text) | Delta::Thinking(text) | Delta::Refusal(text) => !text.is_empty(),
            Delta::Redacted(_)
            | Delta::Image { .. }
            | Delta::ToolStart { .. }
            | Delta::ToolInput { .. }
            | Delta::Stop(..) => true,
            Delta::Start(_)
            | Delta::Signature(_)
            | Delta::Citation(_)
            | Delta::Usage(_)
            | Delta::Ping
            | Delta::End => false,
        }
    }
}

/// The type of data as providers read it: in small letters, and by its registered name.
pub(crate) fn media_type(given: Text<'_>) -> Text<'_> {
    let plain = match given.bytes().any(|byte| byte.is_ascii_uppercase()) {
        true => Cow::Owned(given.to_ascii_lowercase()),
        false => given,
    };
    match &*plain {
        "image/jpg" | "image/pjpeg" => Cow::Borrowed("image/jpeg"),
        "image/x-png" => Cow::Borrowed("image/png"),
        _ => plain,
    }
}

/// JSON text that a body holds.
pub(crate) fn raw_json(raw: Option<&RawValue>) -> Option<Json<'_>> {
    raw.map(|raw| Cow::Borrowed(raw.get()))
}

/// Adds `parts` to the last turn if it has that `role`, else as a new turn.
pub(crate) fn add<'a>(turns: &mut Vec<Turn<'a>>, role: Role, parts: Vec<Part<'a>>) {
    match turns.last_mut() {
        Some(last) if last.role == role => last.parts.extend(parts),
        _ => turns.push(Turn { role, parts }),
    }
}
