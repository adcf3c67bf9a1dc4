//! What a client gets to see of an answer, whichever provider gave it.
//!
//! Made by the gateway for each attempt, read by the observers and writers of the formats.

use std::ops::Range;

use crate::bytes::edit::Patch;
use crate::bytes::id::Issuer;
use crate::bytes::members::Place;

/// What a client gets to see of an answer.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// The model's name as JSON text; empty where a response keeps the one that it has.
    pub model_json: Box<str>,
    /// Whether the client sees the chunk that holds only usage.
    pub show_usage: bool,
    /// Seconds since 1970, for an answer that is written anew.
    pub created: u64,
    /// The model's name at the provider, for the token counter, which shows it.
    pub upstream_model: Option<Box<str>>,
    /// Who signs the ids of responses, files and batches.
    pub issuer: Option<Issuer>,
}

impl View {
    /// `model`, the place of a model's name in `text`, if the client is to see another name there.
    pub(crate) fn renamed(&self, text: &str, model: Place) -> Option<Range<usize>> {
        model.filter(|place| !self.model_json.is_empty() && text[place.clone()] != *self.model_json)
    }

    /// The edit that puts the client's name for the model at `place`.
    pub(crate) fn model_patch(&self, place: Range<usize>) -> Patch {
        (place, self.model_json.clone())
    }
}
