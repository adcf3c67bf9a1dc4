//! A look at the calls and results in the messages of this format, which finds out whether something about them must change.
//!
//! Called by [`super::passed`] for each request that passes. Always true: the messages are not read, only searched once;
//! what is found may be wrong where a tool's input has the form of a call, and then costs a reading.

use crate::formats::call_id;

/// What was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// A result names a call by an id that the provider cannot read.
    has_foreign_id: bool,
    /// Two results name a call by the same id.
    has_same_id: bool,
    /// Calls have fewer results behind them than there are.
    has_open_call: bool,
    /// There is a text without a word, or an answer of the model that says nothing.
    has_blank: bool,
}

impl Found {
    /// Whether calls and results must be looked at.
    pub(super) fn is_about_calls(self) -> bool {
        self.has_foreign_id || self.has_same_id || self.has_open_call
    }

    /// Whether anything must.
    pub(super) fn is_something(self) -> bool {
        self.is_about_calls() || self.has_blank
    }
}

/// Ids that were seen, as bits of their hashes. One that was not seen may be taken for one that was, but seldom.
struct Seen([u64; Seen::WORDS]);

impl Seen {
    const WORDS: usize = 1024;

    /// Takes an id; true if it was seen before.
    fn take(&mut self, id: &str) -> bool {
        // FNV-1a.
        let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        let hash = id.bytes().fold(0xcbf2_9ce4_8422_2325, step);
        let mut was_seen = true;
        for place in [hash & 0xffff, (hash >> 32) & 0xffff] {
            // The place is below 65,536, the number of the bits.
            let (word, bit) = ((place >> 6) as usize, 1 << (place & 63));
            was_seen &= self.0[word] & bit != 0;
            self.0[word] |= bit;
        }
        was_seen
    }
}

/// Looks at the calls and results in `messages`. Inside of a text the quotes would be escaped.
pub(super) fn look(messages: &str) -> Found {
    const KEY: &str = "\"tool_use";
    let mut found = Found { has_blank: has_blank(messages), ..Found::default() };
    let mut hits = memchr::memmem::find_iter(messages.as_bytes(), KEY).peekable();
    if hits.peek().is_none() {
        return found;
    }
    let mut seen = Seen([0; Seen::WORDS]);
    let (mut calls, mut results) = (0_usize, 0_usize);
    for at in hits {
        let tail = &messages[at + KEY.len()..];
        if tail.starts_with('"') {
            if results > 0 {
                found.has_open_call |= calls > results;
                (calls, results) = (0, 0);
            }
            calls += 1;
        } else if let Some(id) = tail.strip_prefix("_id\"").and_then(id_of) {
            results += 1;
            found.has_foreign_id |= !call_id::is_readable(id);
            found.has_same_id |= seen.take(id);
        }
    }
    found.has_open_call |= calls > results;
    found
}

/// The text that is the value of a member, behind whose key `tail` is.
fn id_of(tail: &str) -> Option<&str> {
    let value = tail.trim_start().strip_prefix(':')?.trim_start().strip_prefix('"')?;
    value.split_once('"').map(|(id, _)| id)
}

/// Whether a text or a content, behind the key of one, is without a word.
fn has_blank(messages: &str) -> bool {
    const KEYS: [&str; 2] = ["\"text\"", "\"content\""];
    KEYS.into_iter().any(|key| {
        memchr::memmem::find_iter(messages.as_bytes(), key).any(|at| {
            let value = messages[at + key.len()..].trim_start().strip_prefix(':');
            value.is_some_and(|value| begins_blank(value.trim_start()))
        })
    })
}

/// Whether the JSON text is a string without a word, the empty one among them.
pub(super) fn is_blank(raw: &str) -> bool {
    begins_blank(raw)
}

/// Whether the text begins with such a string.
fn begins_blank(raw: &str) -> bool {
    let Some(inner) = raw.strip_prefix('"') else { return false };
    let mut bytes = inner.bytes();
    loop {
        match bytes.next() {
            Some(b'"') => return true,
            Some(b' ') => {}
            Some(b'\\') if matches!(bytes.next(), Some(b'n' | b't' | b'r' | b'f')) => {}
            Some(_) | None => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_must_change_is_found_and_nothing_else() {
        let call =
            |id: &str| format!(r#"{{"type":"tool_use","id":"{id}","name":"f","input":{{}}}}"#);
        let result =
            |id: &str| format!(r#"{{"type":"tool_result","tool_use_id": "{id}","content":"x"}}"#);
        let text = |text: &str| format!(r#"{{"type":"text","text":"{text}"}}"#);
        let list = |blocks: &[String]| format!("[{}]", blocks.join(","));
        let nothing = Found::default();
        for (blocks, expected) in [
            (vec![], nothing),
            (vec![call("a"), result("a")], nothing),
            (vec![call("a"), call("b"), result("b"), result("a"), call("c"), result("c")], nothing),
            (
                vec![text("hm"), call("a"), result("a"), text(""), text("\\n")],
                Found { has_blank: true, ..nothing },
            ),
            (vec![text(" "), text("x")], Found { has_blank: true, ..nothing }),
            (vec![text(r#"\"tool_use\" \"tool_use_id\": \"a:b\""#)], nothing),
            (vec![call("a"), text("x")], Found { has_open_call: true, ..nothing }),
            (
                vec![call("a"), call("b"), result("a"), call("c"), result("c")],
                Found { has_open_call: true, ..nothing },
            ),
            (
                vec![call("a"), result("a"), call("a"), result("a")],
                Found { has_same_id: true, ..nothing },
            ),
            (vec![call("a:0"), result("a:0")], Found { has_foreign_id: true, ..nothing }),
            (vec![text("\\n\\n"), call("a"), result("a")], Found { has_blank: true, ..nothing }),
            (vec![text(""), call("a"), result("a")], Found { has_blank: true, ..nothing }),
            (vec![text("\\n x"), call("a"), result("a")], nothing),
        ] {
            assert_eq!(look(&list(&blocks)), expected, "{blocks:?}");
        }
        let many: Vec<String> = (0..200)
            .flat_map(|i| {
                let id = format!("toolu_01{i:020}");
                [call(&id), result(&id)]
            })
            .collect();
        assert_eq!(look(&list(&many)), nothing);
    }
}
