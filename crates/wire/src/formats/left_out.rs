//! What a body leaves out because the model has nothing for it, or because its provider refused it.
//!
//! Called by the edits of every wire, and by the conversion for the notes of an attempt. Always true: it is what only
//! advises; the notes name only what the client sent, in its own words.

use std::borrow::Cow;

use hale_core::health::Advice;
use hale_core::takes::Efforts;

use super::notes::Notes;
use super::order::Order;
use crate::bytes::edit::{self, Edit};
use crate::bytes::members::texts;
use crate::bytes::object;
use crate::bytes::peek::{Names, Peek};

/// The fields that say how much the model should reason.
static ABOUT_REASONING: Names = Names::new(&["reasoning", "reasoning_effort", "thinking"]);

/// Notes the fields of `peek` that the attempt leaves out.
pub(crate) fn left_out(peek: &Peek, order: &Order<'_>, notes: &mut Notes) {
    // What a model takes is looked at for the few requests that say how much to reason.
    let mut fields = peek.holds(&ABOUT_REASONING).filter(|name| peek.is_set(name)).peekable();
    if fields.peek().is_some() && order.takes().efforts == Some(Efforts::NOTHING) {
        fields.for_each(|name| notes.leave_out(name));
    }
    let asks = order.ask_usage && order.known.has_no_stream_options();
    if asks && peek.wants_usage().unwrap_or(false) {
        notes.leave_out("stream_options");
    }
    lowered(peek, order, notes);
    let refused = order.known.refused_advice().filter(|one| without(peek, *one).is_some());
    refused.for_each(|one| {
        notes.leave_out(if one == Advice::ADAPTIVE { "thinking" } else { one.name() })
    });
}

/// Notes the limit of the answer, if it is lowered to what the provider's refusal named.
pub(crate) fn lowered(peek: &Peek, order: &Order<'_>, notes: &mut Notes) {
    const LIMITS: [&str; 3] = ["max_tokens", "max_completion_tokens", "max_output_tokens"];
    if order.known.most().is_none() {
        return;
    }
    let is_lowered = |name: &&str| peek.raw(name).is_some_and(|raw| order.bounded(raw).is_some());
    LIMITS.into_iter().filter(is_lowered).for_each(|name| notes.leave_out(name));
}

/// The edits that leave out of `peek` what its provider refused.
pub(crate) fn refused<'e>(
    peek: &'e Peek,
    order: &Order<'e>,
) -> impl Iterator<Item = Edit<'e>> + use<'e> {
    order.known.refused_advice().filter_map(|one| without(peek, one))
}

/// The edit that leaves out one field; `None` if it is not there.
fn without(peek: &Peek, advice: Advice) -> Option<Edit<'_>> {
    if advice == Advice::ADAPTIVE {
        let [kind] = texts(peek.raw("thinking")?, ["type"]).ok()?;
        return (kind == Some("\"adaptive\"")).then_some(Edit::Remove("thinking"));
    }
    let name = advice.name();
    let Some((field, member)) = name.split_once('.') else {
        return peek.has(name).then_some(Edit::Remove(name));
    };
    let raw = peek.raw(field)?.as_bytes();
    let members = object::members(raw).ok()?;
    members.iter().find(|one| object::key_is(raw, one, member))?;
    if members.len() == 1 {
        return Some(Edit::Remove(field));
    }
    let left = edit::apply(raw, &members, &[Edit::Remove(member)]);
    Some(Edit::Set(field, Cow::Owned(String::from_utf8(left.into()).ok()?)))
}
