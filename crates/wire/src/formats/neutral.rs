//! What a chat is in no format in particular: between a client of one format and a provider of another.
//!
//! Filled by the readers of the wires, emptied by their writers. Always true: texts are borrowed from
//! what was read wherever they stand there unescaped; JSON that nobody here looks at (schemas, tool
//! inputs) stays JSON text.

use std::borrow::Cow;

use hale_core::usage::Usage;

use super::event::EventError;

/// A text, borrowed where possible.
pub type Text<'a> = Cow<'a, str>;
/// JSON text that is not looked at.
pub type Json<'a> = Cow<'a, str>;

/// A request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Request<'a> {
    /// The instructions that stand before all turns.
    pub system: Vec<Part<'a>>,
    /// The turns; no two neighbours have the same role.
    pub turns: Vec<Turn<'a>>,
    /// The tools.
    pub tools: Vec<Tool<'a>>,
    /// Which of them the model is to use.
    pub tool_choice: Option<ToolChoice<'a>>,
    /// Whether several at once are fine, where the client said so.
    pub parallel_tools: Option<bool>,
    /// Most tokens of the answer, as JSON text.
    pub max_tokens: Option<Json<'a>>,
    /// JSON text of `temperature`.
    pub temperature: Option<Json<'a>>,
    /// JSON text of `top_p`.
    pub top_p: Option<Json<'a>>,
    /// Texts at which the answer ends.
    pub stop: Vec<Text<'a>>,
    /// Whether the answer is a stream.
    pub stream: bool,
    /// Who the client's user is.
    pub user: Option<Text<'a>>,
    /// How the model thinks before it answers.
    pub thinking: Option<Thinking<'a>>,
    /// How much work the model puts into its answer, in the words of the client.
    pub effort: Option<Text<'a>>,
    /// The shape of the answer.
    pub format: Option<Format<'a>>,
    /// Further parameters of the client's format, each with its JSON text.
    pub others: Vec<(Text<'a>, Json<'a>)>,
}

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Instructions in the middle.
    System,
    /// The user, and the results of tools.
    User,
    /// The model.
    Assistant,
}

/// One turn.
#[derive(Clone, Debug, PartialEq)]
pub struct Turn<'a> {
    /// Whose.
    pub role: Role,
    /// What.
    pub parts: Vec<Part<'a>>,
}

/// A part of a turn or of an answer, and the advice to cache up to it.
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
    /// A document, its title and what is to be known about it.
    Document {
        /// Where it is.
        source: Source<'a>,
        /// Its title or file name.
        title: Option<Text<'a>>,
        /// What is to be known about it.
        context: Option<Text<'a>>,
    },
    /// The model uses a tool.
    ToolCall {
        /// Which call this is.
        id: Text<'a>,
        /// The tool's name.
        name: Text<'a>,
        /// The input, an object.
        input: Json<'a>,
    },
    /// What a tool said.
    ToolResult {
        /// The call that it answers.
        id: Text<'a>,
        /// Texts and images.
        parts: Vec<Part<'a>>,
        /// Whether the tool failed.
        is_error: bool,
    },
    /// What the model thought, signed by its provider.
    Thinking {
        /// The thought.
        text: Text<'a>,
        /// The signature; empty when there is none.
        signature: Text<'a>,
    },
    /// What the model thought, readable for its provider only.
    Redacted(Text<'a>),
    /// The model refuses, in its own words.
    Refusal(Text<'a>),
}

/// Where an image or a document is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source<'a> {
    /// Here, in base 64.
    Base64 {
        /// `image/png`, `application/pdf`, ...
        media_type: Text<'a>,
        /// The data.
        data: Text<'a>,
    },
    /// Here, as plain text.
    Plain(Text<'a>),
    /// At an address.
    Url(Text<'a>),
    /// At the provider, under an id.
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
        /// Whether the input must fit the schema.
        strict: Option<bool>,
        /// `cache_control` as JSON text.
        cache: Option<Json<'a>>,
    },
    /// One of the provider's own, in the provider's words.
    Native(Json<'a>),
}

/// Which tool is to be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolChoice<'a> {
    /// The model decides.
    Auto,
    /// None.
    Nothing,
    /// Any, but one.
    Any,
    /// This one.
    Named(Text<'a>),
}

/// How the model thinks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Thinking<'a> {
    /// Not at all.
    Off,
    /// As much as it likes.
    Adaptive,
    /// With at most so many tokens.
    Budget(u64),
    /// As said here, in Anthropic's words.
    Native(Json<'a>),
}

/// The shape of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format<'a> {
    /// Any JSON object.
    JsonObject,
    /// JSON of this schema.
    Schema {
        /// Its name.
        name: Option<Text<'a>>,
        /// The schema.
        schema: Json<'a>,
        /// Whether the answer must fit it.
        strict: Option<bool>,
    },
}

/// An answer in one piece.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer<'a> {
    /// The provider's id for it.
    pub id: Text<'a>,
    /// What it says, in order.
    pub parts: Vec<Part<'a>>,
    /// Why it ended.
    pub stop: Option<Stop>,
    /// The text at which it ended.
    pub stop_sequence: Option<Text<'a>>,
    /// Tokens.
    pub usage: Option<Usage>,
}

impl<'a> Answer<'a> {
    /// The same in the pieces of a stream.
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
        deltas.extend(self.usage.map(Delta::Usage));
        deltas.extend(self.stop.map(|stop| Delta::Stop(stop, self.stop_sequence)));
        deltas.push(Delta::End);
        deltas
    }
}

impl<'a> Content<'a> {
    /// What of a model's words it is, in the pieces of a stream. Calls are not among them: they are counted.
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
            Content::Image(_)
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
    /// One of the client's texts came up.
    Sequence,
    /// The most tokens were reached.
    Length,
    /// The context window is full.
    ContextWindow,
    /// The model waits for its tools.
    Tools,
    /// The provider paused a long turn.
    Pause,
    /// Safety.
    Refusal,
    /// The provider's own word, which neither format knows.
    Other(Box<str>),
}

impl Stop {
    /// An unknown word, short enough to be kept.
    pub(crate) fn other(word: &str) -> Stop {
        Stop::Other(crate::formats::errors::clean(word, 60).into())
    }
}

/// What one event of a stream adds to the answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Delta<'a> {
    /// The answer begins; its id.
    Start(Text<'a>),
    /// Text.
    Text(Text<'a>),
    /// A thought.
    Thinking(Text<'a>),
    /// The signature of the thought so far.
    Signature(Text<'a>),
    /// A thought that cannot be read.
    Redacted(Text<'a>),
    /// A refusal in the model's words.
    Refusal(Text<'a>),
    /// The model begins to use a tool; `call` counts the calls from 0.
    ToolStart {
        /// Which call of the answer.
        call: usize,
        /// Its id.
        id: Text<'a>,
        /// The tool's name.
        name: Text<'a>,
    },
    /// A piece of the input's JSON text.
    ToolInput {
        /// Which call of the answer.
        call: usize,
        /// The piece.
        json: Text<'a>,
    },
    /// Why it ended.
    Stop(Stop, Option<Text<'a>>),
    /// Tokens so far; later counts replace earlier ones.
    Usage(Usage),
    /// A sign of life.
    Ping,
    /// Nothing more comes.
    End,
}

impl Delta<'_> {
    /// The same with texts of its own.
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
            Delta::ToolStart { call, id, name } => {
                Delta::ToolStart { call, id: own(id), name: own(name) }
            }
            Delta::ToolInput { call, json } => Delta::ToolInput { call, json: own(json) },
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
            | Delta::ToolStart { .. }
            | Delta::ToolInput { .. }
            | Delta::Stop(..) => true,
            Delta::Start(_) | Delta::Signature(_) | Delta::Usage(_) | Delta::Ping | Delta::End => {
                false
            }
        }
    }
}

/// Longest id of an answer that is passed on, in bytes; more is cut. Each chunk of a stream repeats it.
pub(crate) const ID_MAX: usize = 256;
/// Longest id of a tool call in a stream, in bytes. Some providers put a signature into it.
pub(crate) const CALL_ID_MAX: usize = 4096;
/// Longest name of a called tool in a stream, in bytes. The formats allow 64 and 128.
pub(crate) const CALL_NAME_MAX: usize = 512;
/// Most tool calls of one streamed answer. The formats allow 128 tools.
pub(crate) const CALLS_MAX: usize = 1024;

/// `id`, cut to [`ID_MAX`].
pub(crate) fn cut_id(mut id: Text<'_>) -> Text<'_> {
    if id.len() > ID_MAX {
        let end = (0..=ID_MAX).rev().find(|end| id.is_char_boundary(*end)).unwrap_or(0);
        id.to_mut().truncate(end);
    }
    id
}

/// Whether one more call, after so many, is within the bounds of a streamed answer.
pub(crate) fn check_call(calls: usize, id: &str, name: &str) -> Result<(), EventError> {
    let why = if calls >= CALLS_MAX {
        format!("more than {CALLS_MAX} tool calls")
    } else if id.len() > CALL_ID_MAX {
        format!("the id of a tool call is longer than {CALL_ID_MAX} bytes")
    } else if name.len() > CALL_NAME_MAX {
        format!("the name of a called tool is longer than {CALL_NAME_MAX} bytes")
    } else {
        return Ok(());
    };
    Err(EventError::Unreadable(why))
}

/// Why a request can not be said in the provider's format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Unfit {
    /// The field that stands in the way, with its place.
    pub field: String,
    /// What is wrong with it and what to do.
    pub message: String,
}

impl Unfit {
    /// `field` has no place at the provider.
    #[must_use]
    pub fn unsupported(field: impl Into<String>, provider: &str, remedy: &str) -> Unfit {
        let field = field.into();
        let message = format!("`{field}` can not be passed on to provider {provider}; {remedy}");
        Unfit { field, message }
    }

    /// `field` is not what the client's format says.
    #[must_use]
    pub fn malformed(field: impl Into<String>, why: impl std::fmt::Display) -> Unfit {
        let field = field.into();
        let message = format!("`{field}` can not be read: {why}");
        Unfit { field, message }
    }
}

/// Adds `parts` to the last turn when it is `role`'s, else as a new turn.
pub(crate) fn add<'a>(turns: &mut Vec<Turn<'a>>, role: Role, parts: Vec<Part<'a>>) {
    match turns.last_mut() {
        Some(last) if last.role == role => last.parts.extend(parts),
        _ => turns.push(Turn { role, parts }),
    }
}
