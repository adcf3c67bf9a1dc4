//! The order of roles in a chat, for models that refuse some.
//!
//! Called by the writer of translated chats and for chats that pass. Always true: no message is lost; a model that takes any
//! order gets the order of the client.

use crate::formats::order::Order;
use crate::formats::thoughts::Target;

/// What the model is made to say between the results of its tools and other words.
pub(super) const BETWEEN: &str = "I have the results.";

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speaker {
    System,
    User,
    Assistant,
    Tool,
}

impl Speaker {
    /// The speaker of a message, by the JSON text of its role.
    pub(super) fn of(role: &str) -> Option<Speaker> {
        Some(match role {
            "\"system\"" | "\"developer\"" => Speaker::System,
            "\"user\"" => Speaker::User,
            "\"assistant\"" => Speaker::Assistant,
            "\"tool\"" => Speaker::Tool,
            _ => return None,
        })
    }
}

/// What one message needs to stand where it does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Step {
    /// Whether the model says [`BETWEEN`] before it.
    pub(super) is_announced: bool,
    /// Whether the user says it, because instructions have no place there.
    pub(super) is_users: bool,
}

/// The messages so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sequence {
    is_strict: bool,
    last: Option<Speaker>,
}

impl Sequence {
    /// The start of a chat at the target of `order`. Mistral's models refuse other words than the model's behind results, and
    /// instructions behind its own and at the end. Source: `_validate_message_order` and `_validate_last_message` in
    /// <https://github.com/mistralai/mistral-common>.
    pub(super) fn of(order: &Order<'_>) -> Sequence {
        Sequence { is_strict: Target::of(order).is_mistral(), last: None }
    }

    /// Whether any order will do.
    pub(super) fn is_free(self) -> bool {
        !self.is_strict
    }

    /// Takes the next message; `is_last` says that none follows.
    pub(super) fn next(&mut self, speaker: Speaker, is_last: bool) -> Step {
        let before = self.last.replace(speaker);
        if !self.is_strict {
            return Step::default();
        }
        let is_said = matches!(speaker, Speaker::User | Speaker::System);
        let is_announced = before == Some(Speaker::Tool) && is_said;
        let is_misplaced = matches!(before, Some(Speaker::Tool | Speaker::Assistant))
            || (is_last && before.is_some());
        let is_users = speaker == Speaker::System && is_misplaced;
        if is_users {
            self.last = Some(Speaker::User);
        }
        Step { is_announced, is_users }
    }
}
