//! The known names that are most similar to an unknown one, at a bounded cost.
//!
//! Called where a client names a model or a path that does not exist, also before its key is known. Always true: of
//! any number of names only [`COMPARED_MAX`] are compared letter by letter; the others are ruled out by which letters
//! they have.

use std::cmp::Reverse;

/// Longer names are near to nothing: a distance costs the product of both lengths.
pub const NAME_MAX: usize = 64;
/// Most names whose distance is computed.
pub const COMPARED_MAX: usize = 32;

/// How far a name may be from an unknown one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Two letters of five, or any where one name contains the other.
    Wide,
    /// A letter of three.
    Narrow,
}

/// A name that may be near, with what is known of it without comparing it. The least is the most promising.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate<'k> {
    contains: Reverse<bool>,
    /// No distance is smaller.
    at_least: u32,
    alike: Reverse<usize>,
    name: &'k str,
}

/// At most `most` of the `known` names, the nearest to `name` first.
pub fn nearest<'k>(
    name: &str,
    known: impl Iterator<Item = &'k str>,
    reach: Reach,
    most: usize,
) -> Vec<&'k str> {
    if name.len() > NAME_MAX {
        return Vec::new();
    }
    let lower = name.to_lowercase();
    let mut close = shortlist(&lower, known, reach);
    if close.len() > COMPARED_MAX {
        close.select_nth_unstable(COMPARED_MAX);
        close.truncate(COMPARED_MAX);
    }
    let mut scored: Vec<(usize, &str)> = close
        .iter()
        .filter_map(|one| {
            let other = one.name.to_lowercase();
            let distance = strsim::osa_distance(&lower, &other);
            let longer = lower.len().max(other.len());
            (one.contains.0 || reach.admits(distance, longer)).then_some((distance, one.name))
        })
        .collect();
    scored.sort_unstable();
    scored.dedup();
    scored.into_iter().take(most).map(|(_, name)| name).collect()
}

fn shortlist<'k>(
    lower: &str,
    known: impl Iterator<Item = &'k str>,
    reach: Reach,
) -> Vec<Candidate<'k>> {
    let own = letters(lower);
    let mut buffer = String::new();
    let near = known.filter(|other| other.len() <= NAME_MAX).filter_map(|other| {
        let theirs = letters(other);
        // A change of one letter adds one to the set at most, and takes one away.
        let of_letters = (own ^ theirs).count_ones().div_ceil(2);
        let of_length = other.len().abs_diff(lower.len());
        // In bytes, of which a letter has up to four.
        let at_least = of_letters.max(u32::try_from(of_length / 4).unwrap_or(u32::MAX));
        let may_contain = reach == Reach::Wide
            && of_length > 0
            && lower.len().min(other.len()) > 0
            && lower.len() >= 3
            && (own & theirs == own || own & theirs == theirs);
        let contains = may_contain && {
            buffer.clear();
            match other.is_ascii() {
                true => {
                    buffer.push_str(other);
                    buffer.make_ascii_lowercase();
                }
                false => buffer.extend(other.chars().flat_map(char::to_lowercase)),
            }
            buffer.contains(lower) || lower.contains(&buffer)
        };
        let may_be_near = reach.admits(at_least as usize, lower.len().max(other.len()));
        (contains || may_be_near).then(|| Candidate {
            contains: Reverse(contains),
            at_least,
            alike: Reverse(ends_alike(lower, other)),
            name: other,
        })
    });
    near.collect()
}

/// How many bytes at the beginning and at the end are alike. Most mistakes are in one place.
fn ends_alike(lower: &str, other: &str) -> usize {
    let same = |(one, two): &(u8, u8)| *one == two.to_ascii_lowercase();
    let begin = lower.bytes().zip(other.bytes()).take_while(same).count();
    let end = lower.bytes().rev().zip(other.bytes().rev()).take_while(same).count();
    begin + end
}

/// The set of letters of `text`, a bit for each; several letters may share one.
fn letters(text: &str) -> u64 {
    text.bytes().fold(0, |set, byte| match byte.is_ascii() {
        true => set | 1 << (byte.to_ascii_lowercase() & 63),
        // Case changes the bytes of such letters, so they say nothing.
        false => set,
    })
}

impl Reach {
    fn admits(self, distance: usize, longer: usize) -> bool {
        match self {
            Reach::Wide => distance * 5 <= longer * 2,
            Reach::Narrow => distance * 3 <= longer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wide<'k>(name: &str, known: &[&'k str]) -> Vec<&'k str> {
        nearest(name, known.iter().copied(), Reach::Wide, 3)
    }

    #[test]
    fn the_nearest_names_come_first_whatever_their_case() {
        let known = ["gpt-4o", "gpt-4o-mini", "GPT-4O-2024", "claude-sonnet", "embed"];
        assert_eq!(wide("gtp-4o", &known), ["gpt-4o"]);
        assert_eq!(wide("Claude-Sonet", &known), ["claude-sonnet"]);
        assert_eq!(wide("gpt-4o", &known), ["gpt-4o", "GPT-4O-2024", "gpt-4o-mini"]);
        assert_eq!(wide("openai/embed-large", &known), ["embed"]);
        assert!(wide("nothing-like-it", &known).is_empty());
        assert!(wide(&"gpt-4o".repeat(20), &known).is_empty());
        assert_eq!(wide("\u{c4}pfel", &["\u{e4}pfel"]), ["\u{e4}pfel"]);
    }

    #[test]
    fn of_ten_thousand_names_few_are_compared_and_the_right_one_is_found() {
        let names: Vec<String> = (0..10_000).map(|n| format!("team-{n:05}/model-x")).collect();
        let known = || names.iter().map(String::as_str);
        let found = nearest("team-07777/modle-x", known(), Reach::Wide, 3);
        assert_eq!(found[0], "team-07777/model-x");
        assert_eq!(nearest("model", known(), Reach::Wide, 3).len(), 3);
        for unknown in ["zzzzzzzz", &"q".repeat(190)] {
            assert!(nearest(unknown, known(), Reach::Wide, 3).is_empty(), "{unknown}");
        }
    }

    #[test]
    fn what_is_ruled_out_would_not_have_been_near() {
        let names =
            ["abc", "a-b-c-d", "ABC123", "xyz", "gpt-4o", "o4-tpg", "\u{e9}t\u{e9}", "aaaa"];
        for one in names {
            let close: Vec<&str> = shortlist(&one.to_lowercase(), names.into_iter(), Reach::Wide)
                .iter()
                .map(|candidate| candidate.name)
                .collect();
            for other in names {
                let (a, b) = (one.to_lowercase(), other.to_lowercase());
                let near = Reach::Wide.admits(strsim::osa_distance(&a, &b), a.len().max(b.len()));
                assert!(!near || close.contains(&other), "{one}: {other}");
            }
        }
    }
}
