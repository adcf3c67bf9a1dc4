//! What an answer cites: Google's grounding metadata as citations.
//!
//! Used by the readers of full answers and of streams. Always true: Google counts bytes of the answer's text and a citation counts
//! characters; what lies outside of the text, or between two bytes of a character, cites nothing.
//!
//! Source: <https://ai.google.dev/api/generate-content#GroundingMetadata>.

use std::borrow::Cow;

use crate::bytes::elements::elements;
use crate::bytes::json::lossy;
use crate::bytes::members::texts;
use crate::formats::neutral::{Citation, Text};
use crate::formats::usage::count_of;

/// Most citations of an answer.
const CITATIONS_MAX: usize = 1024;
/// Most changes between narrow and wide characters that are remembered of a text; what is behind them cites nothing.
const RUNS_MAX: usize = 1 << 16;
/// The kinds of sources.
const SOURCES: [&str; 3] = ["web", "retrievedContext", "maps"];

/// Where the characters of a text stand among its bytes, as runs of characters of one width.
#[derive(Debug, Default)]
pub(super) struct Places {
    runs: Vec<Run>,
    bytes: u64,
    characters: u64,
}

#[derive(Clone, Copy, Debug)]
struct Run {
    byte: u64,
    character: u64,
    width: u64,
}

impl Places {
    /// Adds the next piece of the text.
    pub(super) fn add(&mut self, text: &str) {
        let is_narrow = self.runs.last().is_some_and(|run| run.width == 1);
        if is_narrow && text.is_ascii() {
            self.bytes += text.len() as u64;
            self.characters += text.len() as u64;
            return;
        }
        for character in text.chars() {
            let width = character.len_utf8() as u64;
            let is_new = self.runs.last().is_none_or(|run| run.width != width);
            if is_new && self.runs.len() < RUNS_MAX {
                self.runs.push(Run { byte: self.bytes, character: self.characters, width });
            } else if is_new {
                return;
            }
            self.bytes += width;
            self.characters += 1;
        }
    }

    /// The number of characters before that byte; `None` if no character begins or ends there.
    fn character(&self, byte: u64) -> Option<u64> {
        if byte > self.bytes {
            return None;
        }
        let next = self.runs.partition_point(|run| run.byte <= byte);
        let Some(run) = next.checked_sub(1).and_then(|at| self.runs.get(at)) else {
            return (byte == 0).then_some(0);
        };
        let within = byte - run.byte;
        within.is_multiple_of(run.width).then(|| run.character + within / run.width)
    }
}

/// The citations of a `groundingMetadata` about the text with these `places`.
pub(super) fn read<'a>(metadata: &'a str, places: &Places) -> Vec<Citation<'a>> {
    let Ok([chunks, supports]) = texts(metadata, ["groundingChunks", "groundingSupports"]) else {
        return Vec::new();
    };
    let chunks = chunks.and_then(elements).into_iter().flatten().take(CITATIONS_MAX);
    let sources: Vec<Option<(Text<'a>, Text<'a>)>> = chunks.map(source).collect();
    let mut citations = Vec::new();
    for support in supports.and_then(elements).into_iter().flatten() {
        let Ok([Some(segment), Some(indices)]) =
            texts(support, ["segment", "groundingChunkIndices"])
        else {
            continue;
        };
        let Some((start, end)) = passage(segment, places) else { continue };
        for index in elements(indices).into_iter().flatten() {
            let index = count_of(index).and_then(|index| usize::try_from(index).ok());
            let found = index.and_then(|index| sources.get(index)?.as_ref());
            let Some((url, title)) = found else { continue };
            if citations.len() >= CITATIONS_MAX {
                return citations;
            }
            citations.push(Citation { start, end, url: url.clone(), title: title.clone() });
        }
    }
    citations
}

/// The address and the title of a source.
fn source(chunk: &str) -> Option<(Text<'_>, Text<'_>)> {
    let found = texts(chunk, SOURCES).ok()?.into_iter().flatten().next()?;
    let [url, title] = texts(found, ["uri", "title"]).ok()?;
    let text = |raw: Option<&'_ str>| raw.map(str::to_owned);
    let (url, title) = (text(url)?, text(title));
    let plain = |raw: &str| lossy(raw, &mut None).map(Cow::into_owned).unwrap_or_default();
    Some((Cow::Owned(plain(&url)), Cow::Owned(title.as_deref().map(plain).unwrap_or_default())))
}

/// Where a segment begins and ends, in characters. A beginning that is not said is that of the text.
fn passage(segment: &str, places: &Places) -> Option<(u64, u64)> {
    let [start, end] = texts(segment, ["startIndex", "endIndex"]).ok()?;
    let start = places.character(start.map_or(Some(0), count_of)?)?;
    let end = places.character(end.and_then(count_of)?)?;
    (start <= end).then_some((start, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cited(text: &[&str], metadata: &str) -> Vec<(u64, u64, String)> {
        let mut places = Places::default();
        text.iter().for_each(|piece| places.add(piece));
        let found = read(metadata, &places);
        found.into_iter().map(|one| (one.start, one.end, one.url.into_owned())).collect()
    }

    fn metadata(segment: &str) -> String {
        format!(
            r#"{{"webSearchQueries":["q"],"groundingChunks":[{{"web":{{"uri":"https://a","title":"A"}}}},
                {{"retrievedContext":{{"uri":"gs://b"}}}},{{"image":{{}}}}],
                "groundingSupports":[{{"segment":{segment},"groundingChunkIndices":[0,1,2,9]}}]}}"#
        )
    }

    #[test]
    fn bytes_of_google_become_characters_however_the_text_comes() {
        // Three characters of three bytes, a blank, one of two bytes.
        let text = "日本語 é!";
        let whole = metadata(r#"{"startIndex":3,"endIndex":12}"#);
        let expected = [(1, 5, "https://a".to_owned()), (1, 5, "gs://b".to_owned())];
        for pieces in [vec![text], vec!["日", "本語 ", "é!"], text.split("").collect()] {
            assert_eq!(cited(&pieces, &whole), expected, "{pieces:?}");
        }
        assert_eq!(cited(&[text], &metadata(r#"{"endIndex":13}"#))[0].1, 6);
        assert_eq!(
            cited(&["plain ", "text"], &metadata(r#"{"startIndex":6,"endIndex":10}"#))[0].0,
            6
        );
    }

    #[test]
    fn a_passage_outside_of_the_text_or_within_a_character_cites_nothing() {
        for segment in [
            r#"{"startIndex":1,"endIndex":3}"#,
            r#"{"startIndex":0,"endIndex":99}"#,
            r#"{"startIndex":6,"endIndex":3}"#,
            r#"{"startIndex":-1,"endIndex":3}"#,
            "{}",
            "3",
        ] {
            assert_eq!(cited(&["日本語"], &metadata(segment)), [], "{segment}");
        }
        for odd in ["", "[]", "{}", r#"{"groundingSupports":3}"#, r#"{"groundingSupports":[3]}"#] {
            assert_eq!(cited(&["x"], odd), [], "{odd}");
        }
    }
}
