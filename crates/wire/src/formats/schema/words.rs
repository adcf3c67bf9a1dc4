//! How much a schema may grow, and the words for what the target's language lacks.
//!
//! Called by the files beside this one. Always true: nothing is written beyond the bound.

use crate::bytes::json::JsonText;

/// What a schema may grow by, besides a quarter of its size, bytes.
pub(crate) const GROWTH: usize = 64 << 10;
/// Maximum number of members of one object that become words.
const WORDS_MAX: usize = 64;

/// Why a schema cannot be rewritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TooMuch {
    /// It would grow too much.
    #[error(
        "it becomes too large where the provider's limits for schemas are written into it; make it smaller"
    )]
    Growth,
    /// An object of it has too many members that schemas do not have.
    #[error(
        "a part of it has more than {WORDS_MAX} members that the provider does not know; leave some out"
    )]
    Words,
}

/// How long the output may become.
#[derive(Clone, Copy)]
pub(super) struct Bound(usize);

impl Bound {
    /// The bound for writing `schema`, and room for it.
    pub(super) fn of(json: &mut JsonText, schema: &str) -> Bound {
        let more = schema.len() + schema.len() / 4 + GROWTH;
        json.make_room(more);
        let own = json.as_bytes().len() + more;
        Bound(json.most().map_or(own, |most| own.min(most)))
    }

    pub(super) fn check(self, json: &JsonText) -> Result<(), TooMuch> {
        self.check_with(json, 0)
    }

    /// The same before `more` bytes are written.
    fn check_with(self, json: &JsonText, more: usize) -> Result<(), TooMuch> {
        if json.as_bytes().len() + more > self.0 { Err(TooMuch::Growth) } else { Ok(()) }
    }
}

/// Members that the target does not know, and the description that they become part of.
#[derive(Default)]
pub(super) struct Words<'s> {
    /// The description as it is written between quotes.
    described: Option<&'s str>,
    /// Keys in quotes, and values.
    members: Vec<(&'s str, &'s str)>,
}

impl<'s> Words<'s> {
    pub(super) fn add(&mut self, key: &'s str, value: &'s str) -> Result<(), TooMuch> {
        if self.members.len() >= WORDS_MAX {
            return Err(TooMuch::Words);
        }
        self.members.push((key, value));
        Ok(())
    }

    /// Takes the member `description`.
    pub(super) fn describe(&mut self, key: &'s str, value: &'s str) -> Result<(), TooMuch> {
        match value.strip_prefix('"').and_then(|tail| tail.strip_suffix('"')) {
            Some(inner) => self.described = Some(inner),
            None => self.add(key, value)?,
        }
        Ok(())
    }

    /// Writes the description, if there is one.
    pub(super) fn write(&self, json: &mut JsonText, bound: Bound) -> Result<(), TooMuch> {
        if self.members.is_empty() && self.described.is_none() {
            return Ok(());
        }
        // Each quote of a value gets a backslash.
        bound.check_with(json, self.members.iter().map(|(_, value)| 2 * value.len()).sum())?;
        let mut words = Vec::with_capacity(4 * self.members.len() + 2);
        for (i, (key, value)) in self.members.iter().enumerate() {
            words.push(if i > 0 { ", " } else { "{" });
            words.extend([key.trim_matches('"'), ": ", value]);
        }
        if !words.is_empty() {
            words.push("}");
            if self.described.is_some_and(|text| !text.is_empty()) {
                words.insert(0, "\n\n");
            }
        }
        json.key("description").continued(self.described.unwrap_or_default(), words);
        Ok(())
    }
}
