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
/// Longest address that is cited, in bytes. A part of one leads nowhere, so that a longer one is no source.
const URL_MAX: usize = 2048;
/// Longest title, in bytes.
const TITLE_MAX: usize = 256;
/// Most bytes of the addresses and titles of all citations.
const CITED_MAX: usize = 512 << 10;
/// Most words of bits of a text: what is behind two million bytes of a text cites nothing.
const WORDS_MAX: usize = 1 << 15;
/// Words of bits whose characters are counted together.
const BLOCK: usize = 8;
/// The kinds of sources.
const SOURCES: [&str; 3] = ["web", "retrievedContext", "maps"];

/// Where the characters of a text stand among its bytes: a bit for each byte, from the first that is not ASCII on. A stream has it
/// whether or not something will be cited.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// The bytes before the first character that is not ASCII.
    narrow: u64,
    /// For each byte behind them whether a character begins there.
    starts: Vec<u64>,
    /// The characters before each block of these words.
    before: Vec<u64>,
    bytes: u64,
    characters: u64,
    /// The length up to which the places are known, if the text is longer.
    known: Option<u64>,
}

impl Places {
    /// Adds the next piece of the text.
    pub(super) fn add(&mut self, text: &str) {
        if self.known.is_some() {
            return;
        }
        let mut piece = text.as_bytes();
        if self.starts.is_empty() {
            let narrow = piece.iter().take_while(|byte| byte.is_ascii()).count();
            self.narrow += narrow as u64;
            self.bytes += narrow as u64;
            self.characters += narrow as u64;
            piece = &piece[narrow..];
        }
        for byte in piece {
            let at = self.bytes - self.narrow;
            let Ok(word) = usize::try_from(at / 64) else { return };
            if word >= WORDS_MAX {
                self.known = Some(self.bytes);
                return;
            }
            if word == self.starts.len() {
                self.grow();
            }
            let begins = (byte & 0xC0) != 0x80;
            self.starts[word] |= u64::from(begins) << (at % 64);
            self.bytes += 1;
            self.characters += u64::from(begins);
        }
    }

    /// One more word. Room grows by an eighth, because a worker holds many of them.
    fn grow(&mut self) {
        if self.starts.len() == self.starts.capacity() {
            self.starts.reserve_exact(self.starts.len() / 8 + 16);
        }
        if self.starts.len().is_multiple_of(BLOCK) {
            self.before.push(self.characters);
        }
        self.starts.push(0);
    }

    /// The number of characters before that byte; `None` if no character begins or ends there.
    fn character(&self, byte: u64) -> Option<u64> {
        if byte <= self.narrow {
            return (byte <= self.bytes).then_some(byte);
        }
        if byte == self.bytes && self.known.is_none() {
            return Some(self.characters);
        }
        let at = byte - self.narrow;
        let word = usize::try_from(at / 64).ok()?;
        let bits = *self.starts.get(word)?;
        if byte >= self.bytes || bits >> (at % 64) & 1 == 0 {
            return None;
        }
        let block = word / BLOCK;
        let whole = self.starts.get(block * BLOCK..word)?.iter().map(|bits| bits.count_ones());
        let within = bits & ((1 << (at % 64)) - 1);
        let counted = u64::from(whole.sum::<u32>() + within.count_ones());
        Some(self.before.get(block)? + counted)
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
    let mut cited = 0;
    for support in supports.and_then(elements).into_iter().flatten() {
        let Ok([Some(segment), Some(indices)]) =
            texts(support, ["segment", "groundingChunkIndices"])
        else {
            continue;
        };
        let Some((start, end)) = passage(segment, places) else { continue };
        let mut named: Vec<usize> = Vec::new();
        for index in elements(indices).into_iter().flatten() {
            let index = count_of(index).and_then(|index| usize::try_from(index).ok());
            let found = index.and_then(|index| sources.get(index)?.as_ref());
            let (Some((url, title)), Some(index)) = (found, index) else { continue };
            // A source that is named twice is one.
            if named.contains(&index) {
                continue;
            }
            cited += url.len() + title.len();
            if citations.len() >= CITATIONS_MAX || cited > CITED_MAX {
                return citations;
            }
            named.push(index);
            citations.push(Citation { start, end, url: url.clone(), title: title.clone() });
        }
    }
    citations
}

/// The address and the title of a source.
fn source(chunk: &str) -> Option<(Text<'_>, Text<'_>)> {
    let found = texts(chunk, SOURCES).ok()?.into_iter().flatten().next()?;
    let [url, title] = texts(found, ["uri", "title"]).ok()?;
    let url = lossy(url?, &mut None).filter(|url| url.len() <= URL_MAX)?;
    let title = title.and_then(|raw| lossy(raw, &mut None)).unwrap_or_default();
    let end = (0..=TITLE_MAX.min(title.len())).rev().find(|end| title.is_char_boundary(*end));
    let title = title.get(..end.unwrap_or(0)).unwrap_or_default().to_owned();
    Some((Cow::Owned(url.into_owned()), Cow::Owned(title)))
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
    fn what_is_cited_is_bounded() {
        let metadata = |url: &str| {
            let indices = vec!["0"; 600].join(",");
            format!(
                r#"{{"groundingChunks":[{{"web":{{"uri":"{url}","title":"{url}"}}}}],
                    "groundingSupports":[{{"segment":{{"endIndex":1}},"groundingChunkIndices":[{indices}]}}]}}"#
            )
        };
        assert_eq!(cited(&["x"], &metadata("https://a")).len(), 1, "each source once");
        assert_eq!(cited(&["x"], &metadata(&"u".repeat(500_000))), [], "no part of an address");
        let supports = vec![r#"{"segment":{"endIndex":1},"groundingChunkIndices":[0]}"#; 1024];
        let url = "u".repeat(2000);
        let many = format!(
            r#"{{"groundingChunks":[{{"web":{{"uri":"{url}"}}}}],"groundingSupports":[{}]}}"#,
            supports.join(",")
        );
        let bytes: usize = cited(&["x"], &many).iter().map(|one| one.2.len()).sum();
        assert!((1..=CITED_MAX).contains(&bytes), "{bytes}");
    }

    #[test]
    fn the_places_of_a_text_take_little_room_whatever_its_letters() {
        let text = "한국어 텍스트 ".repeat(300 << 10 >> 4);
        let mut places = Places::default();
        text.split_inclusive(' ').for_each(|piece| places.add(piece));
        let room = (places.starts.capacity() + places.before.capacity()) * 8;
        assert!(room < text.len() / 5, "{room} of {}", text.len());
        for (character, (byte, _)) in text.char_indices().enumerate() {
            assert_eq!(places.character(byte as u64), Some(character as u64));
        }
        assert_eq!(places.character(text.len() as u64), Some(text.chars().count() as u64));
        // Behind the bound nothing is cited, and nothing is cited wrongly.
        let mut places = Places::default();
        for _ in 0..(WORDS_MAX * 64 / 300) {
            places.add(&"\u{e9}a".repeat(100));
        }
        places.add(&"\u{e9}a".repeat(1000));
        places.add("plain text behind it");
        let last = places.bytes;
        assert_eq!(places.character(last), None);
        assert_eq!(places.character(last + 5), None);
        assert_eq!(places.character(3), Some(2));
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
