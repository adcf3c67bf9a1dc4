//! What a translated response says of its request, and how the tools are called that are more than a function.
//!
//! Filled by the reader of requests for responses, read by the writer of responses. Always true: what is kept of a
//! request is bounded, because a stream holds it to its end.

/// What is kept of a request for the response to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    /// The members of the response that repeat the request: JSON text without its brackets.
    pub(crate) echo: Box<str>,
    /// Whether the client sees the reasoning.
    pub(crate) thoughts: Thoughts,
    /// The tools whose calls are no plain calls of a function.
    pub(crate) tools: Vec<Declared>,
    /// Whether the answer stands for the conversation.
    pub(crate) compacting: Compacting,
}

/// Whether an answer is a summary that stands for its conversation from then on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Compacting {
    /// It is an answer.
    #[default]
    Not,
    /// The response has a sealed summary as its one item.
    InResponse,
    /// The sealed summary is the answer.
    Alone,
}

/// What a client sees of the model's reasoning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Thoughts {
    /// Nothing but what only the gateway can read; the text of models that show all of it.
    #[default]
    Sealed,
    /// A summary.
    Shown,
}

/// A tool whose calls are no plain calls of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Declared {
    /// The name of its function.
    pub(crate) sent: Box<str>,
    /// What its calls are.
    pub(crate) kind: CallKind,
    /// The group that it belongs to.
    pub(crate) namespace: Option<Box<str>>,
    /// Its name within it.
    pub(crate) name: Box<str>,
}

/// What a call is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum CallKind {
    /// A call of a function.
    #[default]
    Function,
    /// A call with a text as its input.
    Custom,
    /// A command of one shell.
    LocalShell,
    /// Commands.
    Shell,
    /// A change of a file.
    ApplyPatch,
    /// A search for tools, which the client runs.
    ToolSearch,
}

impl Asked {
    /// The tool whose function has that name, unless it is a plain function.
    pub(crate) fn declared(&self, sent: &str) -> Option<&Declared> {
        self.tools.iter().find(|tool| *tool.sent == *sent)
    }
}
