//! Pages of `docs/dev` that name tests as `module::test`: their rows, and whether those tests exist.
//!
//! Used by the tests of `proof.md` and, here, of `findings.md`. Always true: a row without a test says why.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::tidy::{files, root, sources};

/// A row of a page.
#[derive(Debug)]
pub(crate) struct Row {
    /// Its first cell.
    pub(crate) what: String,
    /// The tests that it names.
    pub(crate) tests: Vec<String>,
}

/// The rows of a page that name tests.
pub(crate) fn rows(page: &str) -> Vec<Row> {
    let page = fs::read_to_string(root().join(page)).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" | "));
    let named = |cells: &str| -> Vec<String> {
        let quoted = cells.split('`').skip(1).step_by(2);
        quoted.filter(|name| name.contains("::")).map(str::to_owned).collect()
    };
    let rows = rows.map(|(what, cells)| Row { what: what.to_owned(), tests: named(cells) });
    rows.filter(|row| !row.tests.is_empty()).collect()
}

/// The text of every file with tests, by module.
pub(crate) struct Tests(BTreeMap<String, String>);

impl Tests {
    /// Reads those of the workspace, and those in Python of the pages.
    pub(crate) fn read() -> Self {
        let mut found: BTreeMap<String, String> = BTreeMap::new();
        let of_pages = files(&root().join("tests/docs"), "py");
        for (path, text) in sources(&root().join("crates")).into_iter().chain(of_pages) {
            found.entry(module(&path)).or_default().push_str(&text);
        }
        Self(found)
    }

    /// The module of the test `name`, and where the test begins in it.
    #[track_caller]
    pub(crate) fn find(&self, name: &str) -> (&str, usize) {
        let (module, test) = name.split_once("::").unwrap();
        let text = self.0.get(module).unwrap_or_else(|| panic!("no module {module}"));
        // A test of a table stands in its row.
        let forms = [format!("fn {test}("), format!(" {test} \""), format!("def {test}(")];
        let at = forms.iter().find_map(|form| text.find(form));
        (text, at.unwrap_or_else(|| panic!("{name} does not exist")))
    }
}

/// The name of a file, or of its folder where the file is the folder's own or that of its tests.
fn module(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let folder = path.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    let is_folders = matches!(&*stem, "mod" | "tests");
    if is_folders { folder.into_owned() } else { stem.into_owned() }
}

#[test]
fn every_finding_names_a_test_that_exists_or_says_why_not() {
    let page = fs::read_to_string(root().join("docs/dev/findings.md")).unwrap();
    let tests = Tests::read();
    let mut numbers = Vec::new();
    for line in page.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [number, holds, named] = cells[..] else { panic!("three cells: {line}") };
        if number == "finding" {
            continue;
        }
        assert!(holds.len() > 20, "{number} does not say what holds");
        let named: Vec<&str> = named.split('`').skip(1).step_by(2).collect();
        let says_why = holds.contains("Not done: ") || holds.contains("Not needed: ");
        assert!(!named.is_empty() || says_why, "{number} has neither a test nor a reason");
        for name in named {
            let _at = tests.find(name);
        }
        numbers.push(number.to_owned());
    }
    let expected = std::iter::once("H1".to_owned());
    let expected = expected.chain((1..=9).map(|n| format!("M{n}")));
    let expected: Vec<String> = expected.chain((1..=18).map(|n| format!("L{n}"))).collect();
    assert_eq!(numbers[..expected.len()], expected);
    let all = numbers.len();
    numbers.sort();
    numbers.dedup();
    assert_eq!(numbers.len(), all, "a finding has two rows");
}
