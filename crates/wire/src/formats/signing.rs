//! Which calls of a conversation go to Google's models with a signature.
//!
//! Asked by the writers of the wires that lead there. Always true: the current turn is what follows the last words of the
//! user; where the model demands a signature, the first call of each of its steps has one.

use super::neutral::{Content, Part, Request, Role, Turn};
use super::order::Order;
use super::signed_call::CallSigning;
use super::thoughts::Target;

/// What becomes of the signatures of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signing {
    /// The target has none.
    Without,
    /// They go back. From this turn on the first call of each turn needs one.
    Kept {
        /// The number of that turn.
        demanded_from: usize,
    },
}

impl Signing {
    /// That of the calls in `request`.
    pub(crate) fn of(request: &Request<'_>, order: &Order<'_>) -> Signing {
        let is_call = |part: &Part<'_>| matches!(part.content, Content::ToolCall { .. });
        let has_calls = request.turns.iter().any(|turn| turn.parts.iter().any(is_call));
        let target = Target::of(order);
        if !has_calls || !target.is_gemini() {
            return Signing::Without;
        }
        let says = |part: &Part<'_>| !matches!(part.content, Content::ToolResult { .. });
        let is_said = |turn: &Turn<'_>| turn.role == Role::User && turn.parts.iter().any(says);
        let last = request.turns.iter().rposition(is_said).unwrap_or(0);
        Signing::Kept { demanded_from: if target.demands_signatures() { last } else { usize::MAX } }
    }

    /// What becomes of those of the turn with that number.
    pub(crate) fn at(self, turn: usize) -> CallSigning {
        match self {
            Signing::Without => CallSigning::Without,
            Signing::Kept { demanded_from } if turn >= demanded_from => CallSigning::Demanded,
            Signing::Kept { .. } => CallSigning::Kept,
        }
    }
}
