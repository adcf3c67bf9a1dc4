//! The words of `docs/lexicon.md` and `STYLE.md`, held: what may not be written, in whatever file.
//!
//! Always true: a public name that keeps an old word is in the lexicon's table of exemptions, and in no other
//! place; a file on the list of those not rewritten yet is removed from it as soon as it is clean.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::tidy;

/// Words that no text and no name has.
const WORDS: [&str; 10] = [
    "nobody", "somebody", "mend", "mends", "mended", "mending", "whom", "whoever", "rests",
    "resting",
];
/// Parts that no name has, besides [`WORDS`].
const PARTS: [&str; 10] = [
    "rest", "rested", "bench", "benches", "benched", "benching", "shun", "shuns", "shunned",
    "shunning",
];
/// Texts of others that are quoted: the file, and the words around the one that is meant.
const QUOTATIONS: [(&str, &str); 0] = [];
/// Folders that are not searched: made, or written by others.
const SKIPPED: [&str; 8] =
    ["target", "testdata", "node_modules", "__pycache__", ".venv", ".git", ".pytest_cache", "data"];
/// What is searched, below the repository.
const SEARCHED: [&str; 6] = ["crates", "docs", "bench", "scripts", "tests", "examples"];

/// Files, and folders with a slash at their end, that are not rewritten yet. The list only shrinks.
const OPEN: &[&str] = &[];

/// The names that keep an old word: the first column of the lexicon's table.
fn exempt() -> BTreeSet<String> {
    let lexicon = fs::read_to_string(tidy::root().join("docs/lexicon.md")).unwrap();
    let (_, section) = lexicon.split_once("## Public names that keep an old word").unwrap();
    let section = section.split_once("\n## ").map_or(section, |(section, _)| section);
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let cells = rows.map(|row| row.split('|').nth(1).unwrap_or_default());
    cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).map(str::to_owned).collect()
}

/// Every text of the project, by its path below the repository.
fn texts() -> Vec<(String, String)> {
    let root = tidy::root();
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> = SEARCHED.iter().map(|folder| root.join(folder)).collect();
    for entry in fs::read_dir(&root).unwrap().flatten() {
        if entry.path().extension().is_some_and(|it| it == "md") {
            open.push(entry.path());
        }
    }
    while let Some(path) = open.pop() {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if !SKIPPED.contains(&&*name) {
                open.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
            }
        } else if let Ok(text) = fs::read_to_string(&path) {
            let below = path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
            found.push((below, text));
        }
    }
    found.sort();
    found
}

/// The tokens of a text, each with where it begins.
fn tokens(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let mut at = 0;
    std::iter::from_fn(move || {
        let begin = at + text[at..].find(is_part)?;
        let end = text[begin..].find(|c| !is_part(c)).map_or(text.len(), |len| begin + len);
        at = end;
        Some((begin, &text[begin..end]))
    })
}

/// The parts of a name: `rest_ms` and `RestMs` have two.
fn parts(name: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut before_is_lower = false;
    for c in name.chars() {
        if c == '_' || (c.is_uppercase() && before_is_lower) {
            parts.push(String::new());
        }
        if c != '_' {
            parts.last_mut().unwrap().extend(c.to_lowercase());
        }
        before_is_lower = c.is_lowercase() || c.is_ascii_digit();
    }
    parts.retain(|part| !part.is_empty());
    parts
}

/// Rust without its comments, strings and characters: every byte of them is a blank.
fn code(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < bytes.len() {
        let here = &text[at..];
        let raw = here.strip_prefix('r').map(|it| it.len() - it.trim_start_matches('#').len());
        let len = if here.starts_with("//") {
            here.find('\n').unwrap_or(here.len())
        } else if let Some(hashes) = raw.filter(|count| here[1 + count..].starts_with('"')) {
            let end = format!("\"{}", "#".repeat(hashes));
            let body = 2 + hashes;
            here[body..].find(&end).map_or(here.len(), |len| body + len + end.len())
        } else if let Some(body) = here.strip_prefix('"') {
            let mut escaped = false;
            let end = body.find(|c| {
                let ends = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                ends
            });
            end.map_or(here.len(), |len| len + 2)
        } else if let Some(body) = here.strip_prefix("'\\") {
            // The character behind the backslash may be a quote itself.
            let end = body.char_indices().skip(1).find(|(_, c)| *c == '\'');
            end.map_or(1, |(len, _)| len + 3)
        } else if here.starts_with('\'') && here.chars().nth(2) == Some('\'') {
            here.char_indices().nth(3).map_or(here.len(), |(len, _)| len)
        } else {
            let c = here.chars().next().unwrap();
            out.push(c);
            at += c.len_utf8();
            continue;
        };
        out.extend(here[..len].bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }));
        at += len;
    }
    out
}

/// What a file writes that may not be written: line and word.
fn found(path: &str, text: &str, exempt: &BTreeSet<String>) -> Vec<String> {
    let of_benchmarks = path.starts_with("bench/") || path.contains("/benches/");
    let is_barred = |part: &str| {
        WORDS.contains(&part)
            || (PARTS.contains(&part) && !(of_benchmarks && part.contains("bench")))
    };
    let mut found = Vec::new();
    let mut tell = |at: usize, what: &str| {
        let number = text[..at].matches('\n').count() + 1;
        let line = text.lines().nth(number - 1).unwrap_or_default();
        let is_quoted =
            QUOTATIONS.iter().any(|(file, words)| *file == path && line.contains(words));
        // The pairs of the style guide show what not to write.
        let is_pair = path == "STYLE.md" && line.starts_with('|');
        if !is_quoted && !is_pair {
            found.push(format!("{path}:{number}: {what}"));
        }
    };
    let mut before: Option<(usize, &str)> = None;
    for (at, token) in tokens(text) {
        let lower = token.to_lowercase();
        let gap = before.filter(|(_, word)| *word == "can").map(|(end, _)| &text[end..at]);
        let is_gap = |gap: &str| gap.chars().all(|c| c.is_whitespace() || "/!*#\\".contains(c));
        if lower == "not" && gap.is_some_and(|gap| !gap.is_empty() && is_gap(gap)) {
            tell(at, "can not");
        }
        before = Some((at + token.len(), token));
        let parts = parts(token);
        let is_name = parts.len() > 1;
        let in_name = is_name
            && (parts.iter().any(|part| is_barred(part))
                || parts.windows(2).any(|two| two == ["can", "not"]));
        if (WORDS.contains(&&*lower) || in_name) && !exempt.contains(token) {
            tell(at, token);
        }
    }
    if path.ends_with(".rs") {
        for (at, token) in tokens(&code(text)) {
            let parts = parts(token);
            if parts.len() == 1 && PARTS.contains(&&*parts[0]) && is_barred(&parts[0]) {
                tell(at, token);
            }
        }
    }
    found
}

#[test]
fn no_text_and_no_name_has_a_banned_word() {
    let exempt = exempt();
    let mut wrong = Vec::new();
    let mut still_open = BTreeSet::new();
    for (path, text) in texts() {
        // Here they have to stand.
        if Path::new(&path).ends_with("it/words.rs") {
            continue;
        }
        let found = found(&path, &text, &exempt);
        let entry = OPEN
            .iter()
            .find(|open| **open == path || (open.ends_with('/') && path.starts_with(**open)));
        match entry {
            Some(entry) if !found.is_empty() => drop(still_open.insert(*entry)),
            Some(_) => {}
            None => wrong.extend(found),
        }
    }
    assert!(wrong.is_empty(), "see docs/lexicon.md and STYLE.md:\n{}", wrong.join("\n"));
    let clean: Vec<_> = OPEN.iter().filter(|open| !still_open.contains(*open)).collect();
    assert!(clean.is_empty(), "rewritten, or gone; remove from the list:\n{clean:#?}");
}

#[test]
fn names_are_taken_apart_and_texts_are_not_code() {
    assert_eq!(parts("rest_ms"), ["rest", "ms"]);
    assert_eq!(parts("HalfOpenRest"), ["half", "open", "rest"]);
    assert_eq!(parts("restart"), ["restart"]);
    let text =
        "let a = 'x'; // rest\nlet b = \"a \\\" rest\"; let c: &'static str = r#\"rest\"#; rest";
    assert_eq!(code(text).matches("rest").count(), 1);
    let none = BTreeSet::new();
    let count = |path: &str, text: &str| found(path, text, &none).len();
    assert_eq!(count("docs/a.md", "the rest, can\nnot; nobody; cannot; bench/run"), 2);
    assert_eq!(count("a.rs", "// the rest of it: can\n// not\nlet rest = bench_it;"), 3);
    assert_eq!(count("crates/core/benches/a.rs", "fn bench_it() {}"), 0);
    assert_eq!(count("STYLE.md", "| nobody | no upstream |"), 0);
    assert_eq!(count("a.rs", "\"hale_deployment_resting\""), 1);
    let exempt = BTreeSet::from(["hale_deployment_resting".to_owned()]);
    assert_eq!(found("a.rs", "\"hale_deployment_resting\"", &exempt).len(), 0);
}
