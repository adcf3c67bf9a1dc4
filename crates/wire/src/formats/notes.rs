//! What a translation tells about itself: what it left out, and what its answer is read with.
//!
//! Made by `super::fit` for each request that is translated, read by the writers of answers and by the gateway. Always
//! true: a request whose bytes pass as they are has none.

use super::asked::Asked;
use super::call_id::Calls;

/// The notes of one translation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    /// What was left out that could have mattered, each named once, in the client's words.
    pub left_out: Vec<&'static str>,
    /// The calls of the conversation, by the ids that the provider gave them.
    pub(crate) calls: Calls,
    /// The signature of the reasoning that the model does not sign.
    pub(crate) mark: Box<str>,
    /// Names of tools as they were sent, and the client's, where these differ.
    pub(crate) names: Vec<(Box<str>, Box<str>)>,
    /// Whether the answer is the input of a tool.
    pub(crate) answer_tool: AnswerTool,
    /// How embeddings are answered.
    pub(crate) embeddings: Embeddings,
    /// What a translated response says of its request.
    pub(crate) asked: Option<Box<Asked>>,
}

/// How embeddings are answered, where the provider's answer is another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Embeddings {
    /// How their numbers are written.
    pub(crate) form: NumberForm,
    /// The tokens of the inputs, estimated.
    pub(crate) estimated: u64,
}

/// How the numbers of an embedding are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum NumberForm {
    /// As a list of decimal numbers.
    #[default]
    Decimal,
    /// As one text in base64.
    Base64,
}

/// Whether the answer is the input of a tool: see [`super::answer_tool`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum AnswerTool {
    /// It is what it is.
    #[default]
    Absent,
    /// Calls of that tool are the answer's text.
    Offered,
}

impl Notes {
    /// Names something that was left out.
    pub(crate) fn leave_out(&mut self, what: &'static str) {
        if !self.left_out.contains(&what) {
            self.left_out.push(what);
        }
    }
}
