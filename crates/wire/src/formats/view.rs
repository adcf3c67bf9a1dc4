//! What a client sees in an answer, whichever provider gave it.
//!
//! Made by the gateway for each attempt, read by the observers and writers of the formats.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use hale_core::deployment::Deployment;

use crate::bytes::edit::Patch;
use crate::bytes::id::Issuer;
use crate::bytes::members::Place;
use crate::formats::asked::Asked;
use crate::formats::call_id::Calls;
use crate::formats::neutral::Text;
use crate::formats::notes::{AnswerTool, Notes};

/// What a client sees in an answer.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// The model's name as JSON text; empty if a stored response keeps its own.
    pub model_json: Box<str>,
    /// Whether the client sees the chunk that holds only usage.
    pub show_usage: bool,
    /// The deployment by whose prices the cost is shown in the usage of a stream.
    pub priced: Option<Arc<Deployment>>,
    /// When the answer began, milliseconds since 1970: prices differ by the hour. Only needed with `priced`.
    pub unix_ms: u64,
    /// The cost of an answer that broke off before, USD.
    pub earlier_usd: f64,
    /// Whether reasoning stands in the text of a streamed chat.
    pub merges_reasoning: bool,
    /// Seconds since 1970, for a translated answer.
    pub created: u64,
    /// The id of an answer whose format has none.
    pub answer_id: Option<Box<str>>,
    /// The model's name at the provider, which only the token counter shows.
    pub upstream_model: Option<Box<str>>,
    /// What was noted when the request was translated.
    pub notes: Option<Arc<Notes>>,
    /// Seals the ids of responses, files and batches.
    pub issuer: Option<Issuer>,
    /// A random number, of which ids of a translated response are made.
    pub serial: u128,
    /// How the gateway keeps a translated response, if it does.
    pub kept: Option<Box<KeptAs>>,
}

/// How the gateway keeps a translated response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeptAs {
    /// The client's id of the response that it goes on from.
    pub previous: Option<Box<str>>,
}

impl View {
    /// The same of an answer whose provider counts the tokens of the inputs elsewhere.
    #[must_use]
    pub fn counting(&self, tokens: u64) -> View {
        let mut notes = self.notes.as_deref().cloned().unwrap_or_default();
        notes.embeddings.estimated = tokens;
        View { notes: Some(Arc::new(notes)), ..self.clone() }
    }

    /// The signature of reasoning that its provider did not sign; empty if there is none.
    pub(crate) fn mark(&self) -> &str {
        self.notes.as_ref().map_or("", |notes| &notes.mark)
    }

    /// What was kept of a request for a response that is translated.
    pub(crate) fn asked(&self) -> Option<&Asked> {
        self.notes.as_ref().and_then(|notes| notes.asked.as_deref())
    }

    /// The calls of the conversation before this answer.
    pub(crate) fn calls(&self) -> Calls {
        self.notes.as_ref().map(|notes| notes.calls.clone()).unwrap_or_default()
    }

    /// Gives the tool that the model called `name` the client's name.
    pub(crate) fn restore_name(&self, name: &mut Text<'_>) {
        let names = self.notes.iter().flat_map(|notes| &notes.names);
        if let Some((_, own)) = names.into_iter().find(|(sent, _)| **sent == **name) {
            *name = Cow::Owned(own.to_string());
        }
    }

    /// Whether the input of a tool is the answer.
    pub(crate) fn has_answer_tool(&self) -> bool {
        self.notes.as_ref().is_some_and(|notes| notes.answer_tool == AnswerTool::Offered)
    }

    /// The range `model` of a model's name in `text`, if the client has another name for the model.
    pub(crate) fn renamed(&self, text: &str, model: Place) -> Option<Range<usize>> {
        model.filter(|place| !self.model_json.is_empty() && text[place.clone()] != *self.model_json)
    }

    /// The patch that puts the client's name for the model at `place`.
    pub(crate) fn model_patch(&self, place: Range<usize>) -> Patch {
        (place, self.model_json.clone())
    }
}
