//! Writes the messages of a chat that passes anew, where its provider would refuse them.
//!
//! Called by [`super::history`], which looks first whether there is anything to change. Always true: everything that is not
//! named in [`Changes`] stays as it is, and in its order.

use super::call_ids::{self, Taken};
use super::history::{BLOCKS, CONTENT, DEVELOPER, REASONING};
use super::sequence::{BETWEEN, Sequence, Speaker};
use crate::bytes::edit::{self, Edit, json_string};
use crate::bytes::elements::elements;
use crate::bytes::json::Str;
use crate::bytes::members::texts;
use crate::bytes::object;
use crate::formats::call_id::{NOT_RUN, ResultRoom};
use crate::formats::signed_call::CallSigning;
use crate::formats::thoughts::{Origin, Target};
use hale_core::provider::CallIds;

/// What may change in messages.
#[derive(Clone, Copy)]
pub(super) struct Changes<'o> {
    pub(super) target: Target<'o>,
    /// Whether the provider refuses reasoning.
    pub(super) refuses: bool,
    /// Whether a message has a role that the provider does not know.
    pub(super) has_developer: bool,
    /// The ids of calls that it takes.
    pub(super) ids: CallIds,
    /// Whether a call has no result.
    pub(super) has_open_call: bool,
    /// The order of roles that it takes.
    pub(super) sequence: Sequence,
    /// What becomes of the signatures of calls.
    pub(super) signing: Signing,
}

/// What becomes of the signatures of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signing {
    /// There is none, and none is needed.
    Nothing,
    /// They are removed.
    Without,
    /// They stay.
    Kept,
    /// They stay, and the first call of each message of the current turn gets one.
    Demanded,
}

impl Signing {
    pub(super) fn of(target: Target<'_>, is_signed: bool) -> Signing {
        match (target.demands_signatures(), is_signed) {
            (true, _) => Signing::Demanded,
            (false, false) => Signing::Nothing,
            (false, true) if target.is_gemini() => Signing::Kept,
            (false, true) => Signing::Without,
        }
    }

    /// What becomes of those of a message. `is_current` says whether it belongs to the current turn.
    fn of_message(self, is_current: bool) -> CallSigning {
        match self {
            Signing::Without => CallSigning::Without,
            Signing::Demanded if is_current => CallSigning::Demanded,
            Signing::Nothing | Signing::Kept | Signing::Demanded => CallSigning::Kept,
        }
    }
}

/// The last message with the words of a user, where the current turn begins.
fn current_turn(raw: &str) -> Option<&str> {
    let is_users = |message: &&str| texts(message, ["role"]) == Ok([Some("\"user\"")]);
    elements(raw).into_iter().flatten().filter(is_users).last()
}

struct Rewriting<'t, 'o> {
    changes: Changes<'o>,
    /// The place in memory of the message with which the current turn begins; messages are slices of one text.
    current: usize,
    out: String,
    is_changed: bool,
    /// The ids of the last calls that have no result yet, as JSON text.
    open: Vec<&'t str>,
    /// Instructions between calls and their results.
    held: Vec<&'t str>,
    room: ResultRoom,
}

/// The messages without `thinking_blocks`, and without reasoning that these sign for another provider, or that the
/// provider refuses, with roles that it knows, in an order that it takes, with ids that it takes, and with a result of each
/// call; `None` if that is what they are.
pub(super) fn rewritten(raw: &str, changes: Changes<'_>) -> Option<String> {
    let current = match changes.signing {
        Signing::Demanded => current_turn(raw).map_or(0, |message| message.as_ptr() as usize),
        Signing::Nothing | Signing::Without | Signing::Kept => usize::MAX,
    };
    let room = ResultRoom::of(raw.len());
    // What is added fits, so that nothing is copied to make room.
    let adds = changes.has_open_call || !changes.sequence.is_free();
    let most = raw.len() + if adds { room.left() } else { 0 };
    let mut rewriting = Rewriting {
        changes,
        current,
        out: String::with_capacity(most),
        is_changed: false,
        open: Vec::new(),
        held: Vec::new(),
        room,
    };
    rewriting.out.push('[');
    let mut messages = elements(raw)?.peekable();
    while let Some(message) = messages.next() {
        rewriting.take(message, messages.peek().is_none());
    }
    rewriting.close();
    rewriting.out.push(']');
    rewriting.is_changed.then_some(rewriting.out)
}

impl<'t> Rewriting<'t, '_> {
    /// Takes the next message of the client.
    fn take(&mut self, message: &'t str, is_last: bool) {
        const NAMES: [&str; 3] = ["role", "tool_calls", "tool_call_id"];
        let [role, calls, of] = texts(message, NAMES).unwrap_or_default();
        let speaker = role.and_then(Speaker::of);
        if !self.open.is_empty() {
            match speaker {
                Some(Speaker::Tool) => {
                    let place = self.open.iter().position(|id| Some(*id) == of);
                    place.map(|place| self.open.remove(place));
                }
                Some(Speaker::System) => return self.held.push(message),
                Some(Speaker::User | Speaker::Assistant) | None => self.close(),
            }
        }
        self.write(message, (speaker, is_last));
        if self.changes.has_open_call && speaker == Some(Speaker::Assistant) {
            let calls = calls.and_then(elements).into_iter().flatten();
            self.open.extend(calls.filter_map(|call| texts(call, ["id"]).ok()?[0]));
        }
    }

    /// Ends the calls that are open, and lets out what was held.
    fn close(&mut self) {
        for id in std::mem::take(&mut self.open) {
            if !self.room.take(id.len()) {
                break;
            }
            self.changes.sequence.next(Speaker::Tool, false);
            let renamed = call_ids::renamed(id, self.changes.ids);
            let (id, said) = (renamed.as_deref().unwrap_or(id), json_string(NOT_RUN));
            self.push(&format!(r#"{{"role":"tool","tool_call_id":{id},"content":{said}}}"#));
            self.is_changed = true;
        }
        for message in std::mem::take(&mut self.held) {
            self.write(message, (Some(Speaker::System), false));
            self.is_changed = true;
        }
    }

    /// Writes one message as the provider takes it.
    fn write(&mut self, message: &str, (speaker, is_last): (Option<Speaker>, bool)) {
        let step = speaker.map(|speaker| self.changes.sequence.next(speaker, is_last));
        let step = step.unwrap_or_default();
        if step.is_announced && self.room.take(0) {
            let said = json_string(BETWEEN);
            self.push(&format!(r#"{{"role":"assistant","content":{said}}}"#));
            self.is_changed = true;
        }
        let is_current = message.as_ptr() as usize >= self.current;
        let mut edits = self.changes.of(message, self.changes.signing.of_message(is_current));
        if step.is_users {
            edits.insert(0, Edit::Set("role", "\"user\"".into()));
        }
        match object::members(message.as_bytes()) {
            Ok(members) if !edits.is_empty() => {
                self.is_changed = true;
                let edited = edit::apply(message.as_bytes(), &members, &edits);
                self.push(std::str::from_utf8(&edited).unwrap_or(message));
            }
            _ => self.push(message),
        }
    }

    fn push(&mut self, message: &str) {
        if self.out.len() > 1 {
            self.out.push(',');
        }
        self.out.push_str(message);
    }
}

impl Changes<'_> {
    /// The edits of one message.
    fn of(&self, message: &str, signing: CallSigning) -> Vec<Edit<'static>> {
        const NAMES: [&str; 4] = ["role", BLOCKS, CONTENT, REASONING];
        let [role, blocks, content, reasoning] = texts(message, NAMES).unwrap_or_default();
        let mut foreign = blocks.and_then(elements).into_iter().flatten();
        let goes =
            content.is_some() && (self.refuses || foreign.any(|it| is_foreign(it, self.target)));
        let names = [
            blocks.map(|_| BLOCKS),
            goes.then_some(CONTENT),
            reasoning.filter(|_| self.refuses).map(|_| REASONING),
        ];
        let mut edits: Vec<Edit<'_>> = names.into_iter().flatten().map(Edit::Remove).collect();
        if self.has_developer && role == Some(DEVELOPER) {
            edits.push(Edit::Set("role", "\"system\"".into()));
        }
        if self.ids != CallIds::Any || self.signing != Signing::Nothing {
            edits.extend(call_ids::edits(message, Taken { ids: self.ids, signing }));
        }
        edits
    }
}

/// Whether another provider signed a block.
fn is_foreign(block: &str, target: Target<'_>) -> bool {
    let signature = texts(block, ["signature"]).ok().and_then(|[signature]| signature);
    let signature = signature.and_then(|raw| serde_json::from_str::<Str<'_>>(raw).ok());
    let signature = signature.unwrap_or_default();
    match Origin::of(&signature.0) {
        Origin::Unsigned => false,
        Origin::Signed => !target.is_claude(),
        Origin::Google => true,
        marked @ Origin::Marked(_) => !target.takes(marked),
    }
}
