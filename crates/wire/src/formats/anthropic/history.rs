//! The messages of a messages request that passes to its own wire, without what the provider would refuse: reasoning that it
//! did not sign, texts without a word, ids of calls that it cannot read or that two calls have, calls without a result.
//!
//! Called by [`super::passed`], which looks first. Always true: no result and no other block is lost; what the
//! provider takes stays as it is, byte for byte.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Range;

use super::calls::Found;
use crate::bytes::edit::json_string;
use crate::bytes::elements::elements;
use crate::bytes::json::Str;
use crate::bytes::members::texts;
use crate::formats::call_id::{self, Calls, NOT_RUN, ResultRoom};
use crate::formats::signed_call;
use crate::formats::thoughts::{Origin, Target};

/// The role of the model, as JSON text.
pub(super) const ASSISTANT: &str = "\"assistant\"";
const USER: &str = "\"user\"";

/// A call of the last turn of the model.
struct Open {
    /// The id as the client wrote it.
    given: String,
    /// The id that is sent, if that is another one.
    sent: Option<String>,
    is_answered: bool,
}

/// What happens to a block.
enum Fate {
    Stays,
    /// It is a text without a word, which goes unless nothing else is said.
    Blank,
    Goes,
    /// The text at this place of it becomes another one.
    Changes(Range<usize>, String),
}

struct Walk<'t, 'o> {
    raw: &'t str,
    target: Target<'o>,
    /// Whether calls and results must be looked at together.
    pairs: bool,
    /// What was written, once something is changed.
    out: Option<String>,
    /// The blocks of one message.
    blocks: Vec<(&'t str, Fate)>,
    open: Vec<Open>,
    calls: Calls,
    /// The ids that are sent.
    sent: BTreeSet<String>,
    room: ResultRoom,
    /// What may still be kept of blocks and calls, bytes.
    memory: usize,
}

/// What is kept of a block, and of a call besides, bytes.
const BLOCK_COST: usize = 72;
const CALL_COST: usize = 256;

/// The messages as the target takes them; `None` if that is what they are, or if they consist of so many tiny blocks that
/// more than they are would have to be kept of them.
pub(super) fn cleaned(raw: &str, target: Target<'_>, found: Found) -> Option<String> {
    let mut walk = Walk {
        raw,
        target,
        pairs: found.is_about_calls(),
        out: None,
        blocks: Vec::new(),
        open: Vec::new(),
        calls: Calls::default(),
        sent: BTreeSet::new(),
        room: ResultRoom::of(raw.len()),
        memory: raw.len() + (64 << 10),
    };
    for message in elements(raw)? {
        let Ok([Some(role), Some(content)]) = texts(message, ["role", "content"]) else {
            return None;
        };
        // A message is a slice of the messages.
        let at = message.as_ptr() as usize - raw.as_ptr() as usize;
        if role == ASSISTANT {
            walk.close(at);
        }
        walk.judge(content, role)?;
        let made = if role == USER { walk.made() } else { String::new() };
        walk.write((message, at), content, &made);
    }
    walk.close(raw.trim_end().len().saturating_sub(1));
    let mut out = walk.out?;
    out.push(']');
    Some(out)
}

impl<'t> Walk<'t, '_> {
    /// Finds the fate of each block of a message with that role; `None` if there are too many.
    fn judge(&mut self, content: &'t str, role: &str) -> Option<()> {
        let mut blocks = std::mem::take(&mut self.blocks);
        blocks.clear();
        for block in elements(content).into_iter().flatten() {
            let calls = self.open.len();
            self.memory = self.memory.checked_sub(BLOCK_COST)?;
            blocks.push((block, self.fate(block, role)));
            if self.open.len() > calls {
                self.memory = self.memory.checked_sub(CALL_COST)?;
            }
        }
        self.memory += BLOCK_COST * blocks.len();
        self.blocks = blocks;
        Some(())
    }

    fn fate(&mut self, block: &str, role: &str) -> Fate {
        const NAMES: [&str; 5] = ["type", "signature", "id", "tool_use_id", "text"];
        let Ok([Some(kind), signature, id, of, said]) = texts(block, NAMES) else {
            return Fate::Stays;
        };
        let text =
            |raw: &str| serde_json::from_str::<Str<'_>>(raw).ok().map(|it| it.0.into_owned());
        let changed = |id: &str, sent: Option<String>| match sent {
            Some(sent) => {
                // An id is a slice of its block.
                let from = id.as_ptr() as usize - block.as_ptr() as usize;
                Fate::Changes(from..from + id.len(), json_string(&sent))
            }
            None => Fate::Stays,
        };
        match (kind, id, of) {
            ("\"thinking\"", ..) if role == ASSISTANT => {
                let signature = signature.and_then(text).unwrap_or_default();
                if self.target.takes(Origin::of(&signature)) { Fate::Stays } else { Fate::Goes }
            }
            ("\"text\"", ..) if said.is_some_and(super::calls::is_blank) => Fate::Blank,
            ("\"tool_use\"", Some(id), _) if self.pairs && role == ASSISTANT => {
                let Some(given) = text(id) else { return Fate::Stays };
                let sent = self.renamed(&given);
                let fate = changed(id, sent.clone());
                self.open.push(Open { given, sent, is_answered: false });
                fate
            }
            ("\"tool_result\"", _, Some(id)) if self.pairs => {
                let Some(given) = text(id) else { return Fate::Stays };
                let mut open = self.open.iter_mut();
                match open.find(|open| open.given == given && !open.is_answered) {
                    Some(open) => {
                        open.is_answered = true;
                        changed(id, open.sent.clone())
                    }
                    None if call_id::is_readable(&given) => Fate::Stays,
                    None => {
                        let own = signed_call::own(given.into());
                        changed(id, Some(call_id::shown(own, 1).into_owned()))
                    }
                }
            }
            _ => Fate::Stays,
        }
    }

    /// The id that is sent for one more call with the id `given`; `None` if it is the same.
    fn renamed(&mut self, given: &str) -> Option<String> {
        let original = call_id::original(signed_call::own(Cow::Borrowed(given)));
        let mut nth = self.calls.add(&original);
        if call_id::is_readable(given) && self.sent.insert(given.to_owned()) {
            return None;
        }
        loop {
            let shown = call_id::shown(Cow::Borrowed(&*original), nth).into_owned();
            if self.sent.insert(shown.clone()) {
                return Some(shown);
            }
            nth += 1;
        }
    }

    /// Results for the calls that have none, each followed by a comma; then no call is open.
    fn made(&mut self) -> String {
        let mut made = String::new();
        for open in self.open.drain(..).filter(|open| !open.is_answered) {
            let id = open.sent.unwrap_or(open.given);
            if !self.room.take(id.len()) {
                break;
            }
            let (id, said) = (json_string(&id), json_string(NOT_RUN));
            made.push_str(&format!(
                r#"{{"type":"tool_result","tool_use_id":{id},"content":{said},"is_error":true}},"#
            ));
        }
        made
    }

    /// Adds a turn of the user with these results before what begins at `at`.
    fn close(&mut self, at: usize) {
        let made = self.made();
        if !made.is_empty() {
            let content = made.trim_end_matches(',');
            let message = format!(r#"{{"role":"user","content":[{content}]}}"#);
            push(self.changed(at), &message);
        }
    }

    /// Writes a message whose blocks were judged, with these results before them.
    fn write(&mut self, (message, at): (&'t str, usize), content: &str, made: &str) {
        let is_blank = |fate: &Fate| matches!(fate, Fate::Blank);
        let goes = |fate: &Fate| matches!(fate, Fate::Goes | Fate::Blank);
        let is_users = made.is_empty() && message_is_of_user(message);
        let mut blocks = std::mem::take(&mut self.blocks);
        // A turn of the user that says nothing else is the provider's to judge.
        if is_users && blocks.iter().all(|(_, fate)| is_blank(fate)) {
            blocks.iter_mut().for_each(|(_, fate)| *fate = Fate::Stays);
        }
        // An answer that says nothing.
        let is_silent = !is_users && super::calls::is_blank(content);
        let is_same = !is_silent && blocks.iter().all(|(_, fate)| matches!(fate, Fate::Stays));
        if is_same && made.is_empty() {
            if let Some(out) = &mut self.out {
                push(out, message);
            }
        } else {
            let said = Some(content).filter(|raw| raw.starts_with('"'));
            let said = said.filter(|raw| !super::calls::is_blank(raw));
            let is_empty = made.is_empty() && blocks.iter().all(|(_, fate)| goes(fate));
            let out = self.changed(at);
            // The format has no empty turns.
            if !is_empty {
                let from = content.as_ptr() as usize - message.as_ptr() as usize;
                push(out, &message[..from]);
                out.push('[');
                out.push_str(made.trim_end_matches(','));
                for (block, fate) in &blocks {
                    write_block(out, block, fate);
                }
                if let Some(said) = said {
                    push(out, &format!(r#"{{"type":"text","text":{said}}}"#));
                }
                out.push(']');
                out.push_str(&message[from + content.len()..]);
            }
        }
        self.blocks = blocks;
    }

    /// What was written, with all before `at`.
    fn changed(&mut self, at: usize) -> &mut String {
        self.out.get_or_insert_with(|| {
            // An id becomes longer, but then a few other letters were no id.
            let added = if self.pairs { self.room.left() } else { 0 };
            let mut out = String::with_capacity(self.raw.len() + added);
            out.push_str(self.raw[..at].trim_end().trim_end_matches(','));
            out
        })
    }
}

/// Whether the user says a message.
fn message_is_of_user(message: &str) -> bool {
    texts(message, ["role"]).is_ok_and(|[role]| role == Some(USER))
}

fn write_block(out: &mut String, block: &str, fate: &Fate) {
    match fate {
        Fate::Goes | Fate::Blank => {}
        Fate::Stays => push(out, block),
        Fate::Changes(place, id) => {
            push(out, &block[..place.start]);
            out.push_str(id);
            out.push_str(&block[place.end..]);
        }
    }
}

/// Appends an element of a list.
fn push(out: &mut String, element: &str) {
    if !out.ends_with('[') {
        out.push(',');
    }
    out.push_str(element);
}
