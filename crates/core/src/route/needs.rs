//! What a request needs from a model besides an answer.
//!
//! Read from the body by the gateway if some deployment's facts make it matter; compared here.
//! Always true: a request is kept from a deployment only for what the deployment is known to lack.

use crate::prices::ModelFacts;

/// One thing that a model may be able to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Calling tools.
    Tools,
    /// Seeing images.
    Vision,
    /// Answering by a JSON schema.
    Schema,
    /// Hearing sound.
    Audio,
    /// Going on from words that the request puts into its mouth.
    Prefill,
}

impl Need {
    /// Every need.
    pub const ALL: [Need; 5] =
        [Need::Tools, Need::Vision, Need::Schema, Need::Audio, Need::Prefill];

    /// The `model_info` key that says whether a model does it.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Need::Tools => "supports_function_calling",
            Need::Vision => "supports_vision",
            Need::Schema => "supports_response_schema",
            Need::Audio => "supports_audio_input",
            Need::Prefill => "supports_assistant_prefill",
        }
    }
}

/// What a request needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// It has tools.
    pub tools: bool,
    /// It has images.
    pub vision: bool,
    /// Its images are in its history alone: for a model that sees none, words stand in their place.
    pub can_do_without_vision: bool,
    /// It wants an answer by a JSON schema.
    pub schema: bool,
    /// It has sound.
    pub audio: bool,
    /// It ends with words of the model, from which a broken answer is continued.
    pub prefill: bool,
    /// Its estimated length in tokens; 0 is unknown.
    pub input_tokens: u64,
}

impl Needs {
    /// The same for a model that sees no images, if the request can do without.
    #[must_use]
    pub fn without_vision(self) -> Option<Needs> {
        let can = self.vision && self.can_do_without_vision;
        can.then_some(Needs { vision: false, ..self })
    }

    /// Whether that is needed.
    #[must_use]
    pub fn has(&self, need: Need) -> bool {
        match need {
            Need::Tools => self.tools,
            Need::Vision => self.vision,
            Need::Schema => self.schema,
            Need::Audio => self.audio,
            Need::Prefill => self.prefill,
        }
    }

    /// The first need that a model with these facts is known not to meet.
    #[must_use]
    pub fn unmet(&self, facts: &ModelFacts) -> Option<Need> {
        let lacks = |needed: bool, fact: Option<bool>| needed && fact == Some(false);
        if lacks(self.tools, facts.supports_function_calling) {
            Some(Need::Tools)
        } else if lacks(self.vision, facts.supports_vision) {
            Some(Need::Vision)
        } else if lacks(self.schema, facts.supports_response_schema) {
            Some(Need::Schema)
        } else if self.prefill && facts.supports_assistant_prefill != Some(true) {
            // Others take the words for a turn that is over, and begin anew.
            Some(Need::Prefill)
        } else {
            None
        }
    }
}
