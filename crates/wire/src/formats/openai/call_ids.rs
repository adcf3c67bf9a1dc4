//! Ids of calls in a chat that passes, for a provider that takes only some.
//!
//! Called by [`super::history`]. Always true: a call and its results get the same id; an id that the provider takes, and
//! all else, stays as it is.

use std::borrow::Cow;

use hale_core::provider::CallIds;

use crate::bytes::edit::{Edit, json_string};
use crate::bytes::elements::elements;
use crate::bytes::json::Str;
use crate::bytes::members::texts;
use crate::formats::call_id;

const OF_RESULT: &str = "tool_call_id";
const CALLS: &str = "tool_calls";

/// Whether a result in `messages` names a call by an id that the provider does not take.
pub(super) fn has_refused(messages: &str, ids: CallIds) -> bool {
    const KEY: &str = "\"tool_call_id\"";
    if ids == CallIds::Any {
        return false;
    }
    memchr::memmem::find_iter(messages.as_bytes(), KEY).any(|at| {
        let tail = messages.get(at + KEY.len()..).unwrap_or_default().trim_start();
        let value = tail.strip_prefix(':').and_then(|tail| tail.trim_start().strip_prefix('"'));
        let id = value.and_then(|value| value.split_once('"')).map(|(id, _)| id);
        id.is_some_and(|id| matches!(call_id::taken(Cow::Borrowed(id), ids), Cow::Owned(_)))
    })
}

/// The edits of one message.
pub(super) fn edits(message: &str, ids: CallIds) -> impl Iterator<Item = Edit<'static>> {
    let [of, calls] = texts(message, [OF_RESULT, CALLS]).unwrap_or_default();
    let of = of.and_then(|raw| renamed(raw, ids)).map(|id| (OF_RESULT, id));
    let calls = calls.and_then(|raw| renamed_calls(raw, ids)).map(|calls| (CALLS, calls));
    [of, calls].into_iter().flatten().map(|(name, raw)| Edit::Set(name, Cow::Owned(raw)))
}

/// The JSON text of an id as the provider takes it; `None` if that is what it is.
fn renamed(raw: &str, ids: CallIds) -> Option<String> {
    let given = serde_json::from_str::<Str<'_>>(raw).ok()?.0;
    let taken = call_id::taken(Cow::Borrowed(&given), ids);
    (taken != given).then(|| json_string(&taken))
}

/// The calls of a message with such ids; `None` if that is what they are.
fn renamed_calls(raw: &str, ids: CallIds) -> Option<String> {
    let mut out = String::from("[");
    let mut changes = false;
    for call in elements(raw)? {
        if out.len() > 1 {
            out.push(',');
        }
        let id = texts(call, ["id"]).ok().and_then(|[id]| id);
        match id.and_then(|id| Some((id, renamed(id, ids)?))) {
            Some((id, renamed)) => {
                changes = true;
                // An id is a slice of its call.
                let from = id.as_ptr() as usize - call.as_ptr() as usize;
                out.push_str(&call[..from]);
                out.push_str(&renamed);
                out.push_str(&call[from + id.len()..]);
            }
            None => out.push_str(call),
        }
    }
    out.push(']');
    changes.then_some(out)
}
