//! Reads events of Converse's stream as neutral deltas.
//!
//! Called for clients of other formats, and by the tap. Always true: an event is `{"TYPE":{...}}`, as the framing writes it;
//! calls are numbered in the order in which they come; each has an input; unknown events add nothing; the counts come last.

use super::{block, usage};
use crate::bytes::members::texts;
use crate::bytes::scan::{self, ScanError};
use crate::formats::errors;
use crate::formats::event::EventError;
use crate::formats::neutral::{Delta, Text, check_call};
use crate::formats::usage::count_of;

/// What was learned from earlier events.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    /// Calls so far.
    calls: usize,
    /// The calls whose input is not complete.
    open: Vec<Open>,
    /// Blocks of the provider's own tools, by their numbers.
    ignored: Vec<u64>,
}

/// A call whose input is not complete.
#[derive(Clone, Copy, Debug)]
struct Open {
    /// The number of its block.
    block: u64,
    /// The number of the call.
    call: usize,
    /// Whether some of its input came.
    has_input: bool,
}

/// What the blocks of the provider's own tools are at most.
const IGNORED_MAX: usize = 1024;

impl Reader {
    /// The deltas of the event `text`.
    pub(crate) fn read<'t>(&mut self, text: &'t str) -> Result<Vec<Delta<'t>>, EventError> {
        let mut found: Option<(&[u8], &'t str)> = None;
        let scanned: Result<(), ScanError> = scan::members(text.as_bytes(), |key, value| {
            found.get_or_insert((&text.as_bytes()[key], &text[value]));
        });
        scanned.map_err(|_| EventError::Malformed)?;
        let Some((key, value)) = found else { return Ok(Vec::new()) };
        let broken = |_| EventError::Unreadable("an event that is no object".to_owned());
        match key {
            b"\"contentBlockDelta\"" => {
                let [block, delta] =
                    texts(value, ["contentBlockIndex", "delta"]).map_err(broken)?;
                self.delta(number(block), delta.unwrap_or("{}"))
            }
            b"\"contentBlockStart\"" => {
                let [block, start] =
                    texts(value, ["contentBlockIndex", "start"]).map_err(broken)?;
                self.start(number(block), start.unwrap_or("{}"))
            }
            b"\"contentBlockStop\"" => {
                let [block] = texts(value, ["contentBlockIndex"]).map_err(broken)?;
                Ok(self.stop(number(block)))
            }
            b"\"messageStart\"" => Ok(vec![Delta::Start(Text::default())]),
            b"\"messageStop\"" => {
                let [word] = texts(value, ["stopReason"]).map_err(broken)?;
                let word = string(word.unwrap_or("\"\""), "stopReason")?;
                let stop = block::stop(&word, self.calls).map_err(EventError::Unreadable)?;
                Ok(vec![Delta::Stop(stop, None)])
            }
            b"\"metadata\"" => {
                let [counts] = texts(value, ["usage"]).map_err(broken)?;
                let mut deltas = Vec::with_capacity(2);
                deltas.extend(counts.and_then(usage::read).map(Delta::Usage));
                deltas.push(Delta::End);
                Ok(deltas)
            }
            _ if errors::is_error(text) => {
                Err(errors::parse_provider_error(text.as_bytes()).into())
            }
            _ => Ok(Vec::new()),
        }
    }

    fn start<'t>(&mut self, block: u64, start: &'t str) -> Result<Vec<Delta<'t>>, EventError> {
        let [call, result] = texts(start, ["toolUse", "toolResult"])
            .map_err(|_| EventError::Unreadable("a start that is no object".to_owned()))?;
        let Some(call) = call else {
            if result.is_some() {
                self.ignore(block)?;
            }
            return Ok(Vec::new());
        };
        let [id, name, kind] = texts(call, ["toolUseId", "name", "type"])
            .map_err(|_| EventError::Unreadable("a call that is no object".to_owned()))?;
        if kind == Some(block::SERVERS) {
            self.ignore(block)?;
            return Ok(Vec::new());
        }
        let id = string(id.unwrap_or("\"\""), "toolUseId")?;
        let name = string(name.unwrap_or("\"\""), "name")?;
        check_call(self.calls, &id, &name)?;
        let call = self.calls;
        self.calls += 1;
        self.open.push(Open { block, call, has_input: false });
        Ok(vec![Delta::ToolStart { call, id, name }])
    }

    fn ignore(&mut self, block: u64) -> Result<(), EventError> {
        if self.ignored.len() >= IGNORED_MAX {
            let why = format!("more than {IGNORED_MAX} calls of the provider's own tools");
            return Err(EventError::Unreadable(why));
        }
        self.ignored.push(block);
        Ok(())
    }

    fn delta<'t>(&mut self, block: u64, delta: &'t str) -> Result<Vec<Delta<'t>>, EventError> {
        if self.ignored.contains(&block) {
            return Ok(Vec::new());
        }
        let mut found: Option<(&[u8], &'t str)> = None;
        let scanned: Result<(), ScanError> = scan::members(delta.as_bytes(), |key, value| {
            if &delta[value.clone()] != "null" {
                found = Some((&delta.as_bytes()[key], &delta[value]));
            }
        });
        scanned.map_err(|_| EventError::Unreadable("a delta that is no object".to_owned()))?;
        let Some((key, value)) = found else { return Ok(Vec::new()) };
        let one = match key {
            b"\"text\"" => Delta::Text(string(value, "text")?),
            b"\"toolUse\"" => return self.input(block, value),
            b"\"reasoningContent\"" => return reasoning(value),
            // The text about them stays.
            b"\"citation\"" | b"\"toolResult\"" => return Ok(Vec::new()),
            key => return Err(EventError::Unreadable(block::unknown("a delta", key))),
        };
        Ok(vec![one])
    }

    fn input<'t>(&mut self, block: u64, raw: &'t str) -> Result<Vec<Delta<'t>>, EventError> {
        let [input] = texts(raw, ["input"])
            .map_err(|_| EventError::Unreadable("an input that is no object".to_owned()))?;
        let json = string(input.unwrap_or("\"\""), "input")?;
        let Some(open) = self.open.iter_mut().find(|open| open.block == block) else {
            let why = "a piece of a call that has not begun";
            return Err(EventError::Unreadable(why.to_owned()));
        };
        if json.is_empty() {
            return Ok(Vec::new());
        }
        open.has_input = true;
        Ok(vec![Delta::ToolInput { call: open.call, json }])
    }

    /// The end of a block: a call without any input has an empty one.
    fn stop(&mut self, block: u64) -> Vec<Delta<'static>> {
        let Some(at) = self.open.iter().position(|open| open.block == block) else {
            return Vec::new();
        };
        let open = self.open.swap_remove(at);
        match open.has_input {
            true => Vec::new(),
            false => vec![Delta::ToolInput { call: open.call, json: "{}".into() }],
        }
    }
}

fn number(block: Option<&str>) -> u64 {
    block.and_then(count_of).unwrap_or(0)
}

fn string<'t>(raw: &'t str, what: &str) -> Result<Text<'t>, EventError> {
    block::string(raw, what).map_err(EventError::Unreadable)
}

fn reasoning(raw: &str) -> Result<Vec<Delta<'_>>, EventError> {
    let [text, signature, redacted] = texts(raw, ["text", "signature", "redactedContent"])
        .map_err(|_| EventError::Unreadable("reasoning that is no object".to_owned()))?;
    let mut deltas = Vec::with_capacity(1);
    if let Some(raw) = text {
        deltas.push(Delta::Thinking(string(raw, "text")?));
    }
    if let Some(raw) = signature {
        deltas.push(Delta::Signature(string(raw, "signature")?));
    }
    if let Some(raw) = redacted {
        deltas.push(Delta::Redacted(string(raw, "redactedContent")?));
    }
    Ok(deltas)
}
