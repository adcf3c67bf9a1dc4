//! Reads what a passage of an answer cites.
//!
//! Called by [`super::answer`] and [`super::stream_read`]. Always true: only passages of the text are told, counted in the
//! text as a client of another format sees it; a source without an address has its name at the provider in place of one.

use std::borrow::Cow;

use crate::bytes::elements::elements;
use crate::bytes::json::lossy;
use crate::bytes::members::texts;
use crate::formats::neutral::{Citation, Text};
use crate::formats::usage::count_of;

/// The most texts of an answer whose beginning is noted; the citations of later ones count from the last of them.
const STARTS_MAX: usize = 4096;

/// The most citations of an answer.
pub(super) const CITATIONS_MAX: usize = 10_000;

/// Where the texts of an answer begin in the text as a whole, in characters, by the index of their content.
#[derive(Debug, Default)]
pub(super) struct Starts {
    /// The index of a text, where it begins.
    texts: Vec<(u64, u64)>,
    /// The characters so far.
    length: u64,
}

impl Starts {
    /// A piece of the text with that index comes.
    pub(super) fn text(&mut self, index: u64, piece: &str) {
        let is_new = self.texts.last().is_none_or(|(last, _)| *last != index);
        if is_new && self.texts.len() < STARTS_MAX {
            self.texts.push((index, self.length));
        }
        self.length = self.length.saturating_add(piece.chars().count() as u64);
    }

    fn of(&self, index: Option<u64>) -> u64 {
        let found = self.texts.iter().find(|(known, _)| Some(*known) == index);
        found.or_else(|| self.texts.first()).map_or(0, |(_, start)| *start)
    }
}

/// What the citation in `raw` cites: one for each source.
pub(super) fn read<'a>(raw: &'a str, starts: &Starts) -> Vec<Citation<'a>> {
    let names = ["start", "end", "content_index", "sources", "type"];
    let Ok([start, end, content, sources, kind]) = texts(raw, names) else { return Vec::new() };
    let (Some(start), Some(end)) = (start.and_then(count_of), end.and_then(count_of)) else {
        return Vec::new();
    };
    if kind.is_some_and(|kind| kind != "\"TEXT_CONTENT\"") {
        return Vec::new();
    }
    let before = starts.of(content.and_then(count_of));
    let (start, end) = (before.saturating_add(start), before.saturating_add(end));
    let sources = sources.and_then(elements).into_iter().flatten();
    sources.filter_map(|source| of_source(source, (start, end))).collect()
}

/// A text that says something.
fn word(raw: Option<&str>) -> Option<Text<'_>> {
    raw.and_then(|raw| lossy(raw, &mut None)).filter(|text| !text.is_empty())
}

fn of_source(raw: &str, (start, end): (u64, u64)) -> Option<Citation<'_>> {
    let [id, address, document, output] =
        texts(raw, ["id", "url", "document", "tool_output"]).ok()?;
    let [of_document, title] =
        document.or(output).and_then(|raw| texts(raw, ["url", "title"]).ok()).unwrap_or_default();
    let id = word(id);
    let name = || Cow::Owned(format!("source:{}", id.as_deref().unwrap_or("unknown")));
    let url = word(address).or_else(|| word(of_document)).unwrap_or_else(name);
    let title = word(title).or(id).unwrap_or_default();
    Some(Citation { start, end, url, title })
}
