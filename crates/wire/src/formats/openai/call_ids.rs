//! Ids and signatures of calls in a chat that passes, for a provider that takes only some.
//!
//! Called by [`super::history`] and [`super::messages`]. Always true: a call and its results get the same id; an id that the
//! provider takes, and all else, stays as it is; only Google's models see signatures.

use std::borrow::Cow;

use hale_core::provider::CallIds;

use crate::bytes::edit::{self, Edit, json_string};
use crate::bytes::elements::elements;
use crate::bytes::json::Str;
use crate::bytes::members::texts;
use crate::bytes::object;
use crate::formats::call_id;
use crate::formats::signed_call::{self, CallSigning};

const OF_RESULT: &str = "tool_call_id";
const CALLS: &str = "tool_calls";
/// The member of a call that holds its signature.
pub(super) const EXTRA: &str = "extra_content";

/// What a provider takes of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    /// The ids.
    pub(super) ids: CallIds,
    /// What becomes of signatures.
    pub(super) signing: CallSigning,
}

/// What a look at the calls and results of messages finds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Whether a result names a call by an id that the provider does not take.
    pub(super) has_refused: bool,
    /// Whether calls have fewer results behind them than there are.
    pub(super) has_open_call: bool,
}

/// The calls of one message, on the way through the messages.
struct Group {
    /// Where they begin.
    from: usize,
    /// How many there are, once that was counted.
    calls: Option<usize>,
    results: usize,
}

impl Group {
    /// How many calls there are, which end before `end`.
    fn calls(&self, messages: &str, end: usize) -> usize {
        self.calls.unwrap_or_else(|| {
            let text = messages.get(self.from..end).unwrap_or_default();
            memchr::memmem::find_iter(text.as_bytes(), "\"arguments\"").count()
        })
    }
}

/// The value of a member, behind whose key `tail` is.
fn value(tail: &str) -> Option<&str> {
    tail.trim_start().strip_prefix(':').map(str::trim_start)
}

/// Looks at `messages` without reading them, once. Inside of a text the quotes would be escaped.
pub(super) fn look(messages: &str, ids: CallIds) -> Found {
    const KEY: &str = "\"tool_call";
    let mut found = Found::default();
    let mut group = Group { from: messages.len(), calls: Some(0), results: 0 };
    for at in memchr::memmem::find_iter(messages.as_bytes(), KEY) {
        let tail = messages.get(at + KEY.len()..).unwrap_or_default();
        if let Some(list) = tail.strip_prefix("s\"").and_then(value) {
            if !list.starts_with("null") {
                found.has_open_call |= group.calls(messages, at) > group.results;
                group = Group { from: at, calls: None, results: 0 };
            }
        } else if let Some(id) = tail.strip_prefix("_id\"").and_then(value) {
            group.calls = Some(group.calls(messages, at));
            group.results += 1;
            let id = id.strip_prefix('"').and_then(|id| id.split_once('"')).map(|(id, _)| id);
            let own = |id| signed_call::own(Cow::Borrowed(id));
            let is_refused = |id| matches!(call_id::taken(own(id), ids), Cow::Owned(_));
            found.has_refused |= id.is_some_and(is_refused);
        }
    }
    found.has_open_call |= group.calls(messages, messages.len()) > group.results;
    found
}

/// The edits of one message.
pub(super) fn edits(message: &str, taken: Taken) -> impl Iterator<Item = Edit<'static>> {
    let [of, calls] = texts(message, [OF_RESULT, CALLS]).unwrap_or_default();
    let of = of.and_then(|raw| renamed(raw, taken.ids)).map(|id| (OF_RESULT, id));
    let calls = calls.and_then(|raw| fitted(raw, taken)).map(|calls| (CALLS, calls));
    [of, calls].into_iter().flatten().map(|(name, raw)| Edit::Set(name, Cow::Owned(raw)))
}

/// The JSON text of an id as the provider takes it; `None` if that is what it is.
pub(super) fn renamed(raw: &str, ids: CallIds) -> Option<String> {
    let given = serde_json::from_str::<Str<'_>>(raw).ok()?.0;
    let taken = call_id::taken(signed_call::own(Cow::Borrowed(&*given)), ids);
    (taken != given).then(|| json_string(&taken))
}

/// The calls of a message as the provider takes them; `None` if that is what they are.
fn fitted(raw: &str, taken: Taken) -> Option<String> {
    let mut out = String::from("[");
    let mut changes = false;
    for (nth, call) in elements(raw)?.enumerate() {
        if out.len() > 1 {
            out.push(',');
        }
        let edits = of_call(call, nth, taken);
        match object::members(call.as_bytes()) {
            Ok(members) if !edits.is_empty() => {
                changes = true;
                let edited = edit::apply(call.as_bytes(), &members, &edits);
                out.push_str(std::str::from_utf8(&edited).unwrap_or(call));
            }
            _ => out.push_str(call),
        }
    }
    out.push(']');
    changes.then_some(out)
}

/// The edits of the `nth` call of a message.
fn of_call(call: &str, nth: usize, taken: Taken) -> Vec<Edit<'static>> {
    let Ok([id, extra]) = texts(call, ["id", EXTRA]) else { return Vec::new() };
    let given = id.and_then(|raw| serde_json::from_str::<Str<'_>>(raw).ok());
    let tail = given.as_ref().and_then(|given| signed_call::split(&given.0).1);
    let id = id.and_then(|raw| renamed(raw, taken.ids)).map(|id| Edit::Set("id", Cow::Owned(id)));
    let extra = match taken.signing {
        CallSigning::Without => extra.map(|_| Edit::Remove(EXTRA)),
        CallSigning::Kept | CallSigning::Demanded if extra.is_some_and(signed_call::has) => None,
        CallSigning::Kept | CallSigning::Demanded => {
            let signature = taken.signing.signature(nth, tail);
            let google = |signature: String| {
                format!(r#"{{"google":{{"thought_signature":{}}}}}"#, json_string(&signature))
            };
            signature.map(|signature| Edit::Set(EXTRA, Cow::Owned(google(signature))))
        }
    };
    id.into_iter().chain(extra).collect()
}
