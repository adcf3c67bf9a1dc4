//! The table of bad input: one row is one class of it, what follows, and the test that proves it.
//!
//! Filled by the `hostile_*` modules next to this one; `docs/dev/bad-input.md` is its output. Always true:
//! a row that names a test is made by that test or checked to exist, so that the page cannot go stale.

use std::fmt::Write as _;
use std::fs;

use crate::tidy;
use crate::{
    hostile_config, hostile_elsewhere, hostile_forms, hostile_framing, hostile_http,
    hostile_messages, hostile_tls, hostile_upstream,
};

/// One row of the page.
#[derive(Debug)]
pub(crate) struct Row {
    /// Its number, `7` or `F13`.
    pub(crate) number: &'static str,
    /// What comes in.
    pub(crate) input: &'static str,
    /// The answer, or what happens.
    pub(crate) answer: String,
    /// The name of the test; empty for what is not served.
    pub(crate) test: &'static str,
}

/// Makes a test of each row, and `rows()` for the page.
///
/// A row is `NUMBER test_name "input": given => expected;`. The module has a function `check` that takes
/// both, and `expected` prints itself for the page.
macro_rules! rows {
    ($($number:literal $test:ident $input:literal: $given:expr => $expected:expr;)+) => {
        $(
            #[test]
            fn $test() {
                check($given, &$expected);
            }
        )+

        /// The rows of this module.
        pub(crate) fn rows() -> Vec<crate::hostile_table::Row> {
            vec![$(crate::hostile_table::Row {
                number: $number,
                input: $input,
                answer: $expected.to_string(),
                test: stringify!($test),
            }),+]
        }
    };
}
pub(crate) use rows;

/// Texts as the page shows them.
pub(crate) fn quoted(texts: &[&str]) -> String {
    let one = |text: &&str| {
        let text = text.replace('\n', " ");
        let text = text.trim();
        if text.contains('`') { format!("`` {text} ``") } else { format!("`{text}`") }
    };
    texts.iter().map(one).collect::<Vec<_>>().join(" ... ")
}

const TITLE: &str = "# Bad input

What Hale does with each class of bad input that is known, and the test that proves it. Made from the
table of the tests (`crates/gateway/tests/it/hostile_*.rs`) by
`HALE_BLESS=1 cargo test -p hale-gateway --test it hostile_table`; do not edit it.
";

const SECTIONS: [(&str, std::ops::RangeInclusive<u32>, &str); 4] = [
    (
        "Config and start",
        1..=34,
        "`hale check` and the start say this; 78 is the code of the exit.",
    ),
    ("HTTP", 35..=76, "Status, `reason` and words of the answer; or the connection is closed."),
    (
        "Upstream answers",
        77..=100,
        "What the client gets when no other deployment helps: status, `cause` of the attempt, words. \
         With a sibling, the client gets the sibling's answer.",
    ),
    ("Faults", 1013..=1050, "Numbers as in the list of faults."),
];

/// A number to sort by: faults come last.
fn order(row: &Row) -> u32 {
    match row.number.strip_prefix('F') {
        Some(fault) => 1000 + fault.parse::<u32>().unwrap(),
        None => row.number.parse().unwrap(),
    }
}

fn all_rows() -> Vec<Row> {
    let mut rows = hostile_config::rows();
    rows.extend(hostile_http::rows());
    rows.extend(hostile_forms::rows());
    rows.extend(hostile_framing::rows());
    rows.extend(hostile_upstream::rows());
    rows.extend(hostile_messages::all_rows());
    rows.extend(hostile_tls::rows());
    rows.extend(hostile_elsewhere::rows());
    rows.sort_by_key(order);
    rows
}

fn page(rows: &[Row]) -> String {
    let mut text = TITLE.to_owned();
    for (title, numbers, about) in SECTIONS {
        // Writing to a string cannot fail.
        let _written = write!(
            text,
            "\n## {title}\n\n{about}\n\n| row | input | answer | test |\n|---|---|---|---|\n"
        );
        for row in rows.iter().filter(|row| numbers.contains(&order(row))) {
            let cell = |text: &str| text.replace('|', "\\|");
            let test = if row.test.is_empty() { String::new() } else { format!("`{}`", row.test) };
            let _written = writeln!(
                text,
                "| {} | {} | {} | {test} |",
                row.number,
                cell(row.input),
                cell(&row.answer)
            );
        }
    }
    text
}

#[test]
fn the_page_of_bad_input_is_what_the_table_says() {
    let file = tidy::root().join("docs/dev/bad-input.md");
    let made = page(&all_rows());
    if std::env::var_os("HALE_BLESS").is_some() {
        fs::write(&file, &made).unwrap();
    }
    let found = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        found == made,
        "docs/dev/bad-input.md is not up to date; run this test with HALE_BLESS=1"
    );
}

#[test]
fn every_row_is_in_the_table() {
    let rows = all_rows();
    let have = |number: u32| rows.iter().any(|row| order(row) == number);
    let missing: Vec<u32> =
        (1..=100).chain(1013..=1020).chain(1042..=1050).filter(|number| !have(*number)).collect();
    assert!(missing.is_empty(), "no row {missing:?}");
}

/// The tests of a file that bear the number of a row in the first line of their body, with that number.
fn numbered(text: &str) -> Vec<(&str, u32)> {
    let mut found = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let name = line.trim_start().strip_prefix("fn ").and_then(|it| it.split_once("()"));
        let next = lines.peek().map(|line| line.trim_start()).unwrap_or_default();
        let number = next.strip_prefix("// Bad input, row ").and_then(|it| it.strip_suffix('.'));
        if let Some(((name, _), number)) = name.zip(number) {
            let order = match number.strip_prefix('F') {
                Some(fault) => 1000 + fault.parse::<u32>().unwrap(),
                None => number.parse().unwrap(),
            };
            found.push((name, order));
        }
    }
    found
}

#[test]
fn every_test_that_a_row_names_is_there_and_every_numbered_test_has_its_row() {
    let texts: Vec<String> =
        tidy::sources(&tidy::root().join("crates")).into_iter().map(|(_, text)| text).collect();
    let rows = all_rows();
    let numbered: Vec<(&str, u32)> = texts.iter().flat_map(|text| numbered(text)).collect();
    let is_test = |name: &str| {
        texts.iter().any(|text| {
            let Some((before, _)) = text.split_once(&format!("fn {name}()")) else { return false };
            // Nothing but its attributes stands between the mark and the name.
            before.rsplit_once("#[test]").is_some_and(|(_, between)| !between.contains('}'))
        })
    };
    for row in rows.iter().filter(|row| !row.test.is_empty()) {
        let number = order(row);
        // A row of a `rows!` table makes its test; any other test says which row it proves.
        let made = texts.iter().any(|text| text.contains(&format!(" {} \"", row.test)));
        let says_so = numbered.contains(&(row.test, number)) && is_test(row.test);
        assert!(made || says_so, "no test {} says that it proves row {}", row.test, row.number);
    }
    for (name, number) in numbered {
        let is_row = rows.iter().any(|row| row.test == name && order(row) == number);
        assert!(is_row, "{name} is in no row of its number");
    }
}
