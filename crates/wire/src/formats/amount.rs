//! How much a client wants the model to reason, whichever of its words say so.
//!
//! Called by the writers of formats with words of their own for it. Always true: a client that says it twice is told so, unless
//! parameters may be dropped; then the effort counts.

use std::borrow::Cow;

use super::neutral::{Request, Thinking};
use super::order::Order;
use super::unfit::{Unfit, field};
use crate::bytes::members::texts;

/// How much the model reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Amount<'r> {
    /// Not at all.
    Nothing,
    /// As much as it likes.
    Free,
    /// At most that many tokens.
    Tokens(u64),
    /// As the word says, which is the client's.
    Effort(&'r str),
}

/// What `request` says; `None` if it says nothing.
pub(crate) fn asked<'r>(
    request: &'r Request<'_>,
    order: &Order<'_>,
) -> Result<Option<Amount<'r>>, Unfit> {
    let effort = request.effort.as_deref().map(|effort| match effort {
        "none" | "disable" => Amount::Nothing,
        effort => Amount::Effort(effort),
    });
    let tokens = match &request.thinking {
        None => return Ok(effort),
        Some(Thinking::Off) => return Ok(Some(Amount::Nothing)),
        Some(Thinking::Adaptive) => return Ok(Some(effort.unwrap_or(Amount::Free))),
        Some(Thinking::Budget(_) | Thinking::Native(_)) if effort.is_some() => {
            if !order.drop_params {
                let why = "`thinking` says the same; leave one of them out";
                return Err(Unfit::malformed("reasoning_effort", why));
            }
            return Ok(effort);
        }
        Some(Thinking::Budget(tokens)) => Some(*tokens),
        Some(Thinking::Native(raw)) => match native(raw)? {
            Native::Off => return Ok(Some(Amount::Nothing)),
            Native::Budget(tokens) => tokens,
        },
    };
    Ok(Some(tokens.map_or(Amount::Free, Amount::Tokens)))
}

/// The refusal of an effort that no format has.
pub(crate) fn unknown_effort() -> Unfit {
    let why = "it is none of none, minimal, low, medium, high, xhigh, max";
    Unfit::malformed("reasoning_effort", why)
}

/// What Anthropic's `thinking` says.
enum Native {
    Off,
    /// As much as the model likes, or so many tokens.
    Budget(Option<u64>),
}

fn native(raw: &str) -> Result<Native, Unfit> {
    // Cohere's clients have a name of their own for the budget.
    let Ok([kind, budget, other]) = texts(raw, ["type", "budget_tokens", "token_budget"]) else {
        return Err(Unfit::malformed("thinking", "it must be an object"));
    };
    let kind: Cow<'_, str> = field("thinking.type", kind.unwrap_or("\"enabled\""))?;
    match &*kind {
        "disabled" => Ok(Native::Off),
        "enabled" | "adaptive" => {
            Ok(Native::Budget(other.or(budget).and_then(|raw| raw.parse().ok())))
        }
        _ => Err(Unfit::malformed("thinking.type", "it is none of enabled, adaptive, disabled")),
    }
}
