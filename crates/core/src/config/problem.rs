//! What is wrong with a config, where, and how to fix it.
//!
//! Filled by every part of the loader, shown by `hale check` and at start. Always true: no text in
//! a problem contains a secret; a problem is one line, except for the example that an empty config
//! gets; warnings with one cause are one problem; no warning hides an error.

mod rows;

use std::collections::HashMap;
use std::fmt;

use super::if_wrong::IfWrong;
use super::suggest;

/// How many errors are kept, and how many warnings; a file with more is broken as a whole.
const MOST: usize = 1_000;
/// How many lines are listed of a warning that has several.
const LINES: usize = 5;
/// How many names are compared for suggestions, so that a broken file does not take minutes.
const COMPARISONS: usize = 2_000_000;
/// How much of a text from the config is shown.
const SHOWN_CHARS: usize = 60;

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The config is refused.
    Error,
    /// The config is used.
    Warning,
}

/// One problem: `file:line:col: path: problem. hint`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// The file.
    pub file: Box<str>,
    /// The line, from 1; 0 when it concerns the file as a whole.
    pub line: u32,
    /// The column, from 1.
    pub column: u32,
    /// The path of the key: `model_list[0].litellm_params.model`.
    pub path: Box<str>,
    /// What is wrong.
    pub problem: Box<str>,
    /// The fix; may be empty.
    pub hint: Box<str>,
    /// What Hale leaves out because of it, in words: `caching`; empty if that is nothing.
    pub left_out: &'static str,
    /// How often it was found; the place is that of the first.
    pub times: usize,
    /// The lines of the others, the first few of them.
    pub more_lines: Vec<u32>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        if !self.path.is_empty() {
            write!(f, ": {}", self.path)?;
        }
        write!(f, ": {}", self.problem)?;
        if !self.hint.is_empty() {
            write!(f, ". {}", self.hint)?;
        }
        self.others(f)
    }
}

impl Problem {
    /// How often it was found, and where else.
    fn others(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.times < 2 || self.is_of_unlisted() {
            return Ok(());
        }
        write!(f, " ({} times", self.times)?;
        if let Some((first, others)) = self.more_lines.split_first() {
            write!(f, ", also on line {first}")?;
            for line in others {
                write!(f, ", {line}")?;
            }
            if self.times - 1 > LINES {
                f.write_str(", ...")?;
            }
        }
        f.write_str(")")
    }

    /// Whether it stands for [`Problem::times`] problems that are not listed.
    #[must_use]
    pub fn is_of_unlisted(&self) -> bool {
        self.times > 1 && self.more_lines.is_empty()
    }

    /// It was found again, on `line`.
    fn again(&mut self, line: u32) {
        self.times += 1;
        if self.more_lines.len() < LINES {
            self.more_lines.push(line);
        }
    }
}

/// A place in one of the files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct At {
    /// Which file, in the order of reading.
    pub(super) file: u16,
    /// The line, from 1; 0 for the whole file.
    pub(super) line: u32,
    /// The column, from 1.
    pub(super) column: u32,
}

impl At {
    /// All of a file.
    pub(super) fn whole(file: u16) -> At {
        At { file, line: 0, column: 0 }
    }

    /// Behind every place.
    const LAST: At = At { file: u16::MAX, line: u32::MAX, column: u32::MAX };
}

/// The path from the top of the config to a key. Made on the stack, printed only for a problem.
#[derive(Clone, Copy, Debug)]
pub(super) enum Path<'a> {
    /// The top.
    Root,
    /// A key of a mapping.
    Key(&'a Path<'a>, &'a str),
    /// An item of a list.
    Item(&'a Path<'a>, usize),
    /// A path that was printed before.
    Text(&'a str),
}

/// The parts of an entry, which its own problems need not name.
const PARTS: [&str; 2] = ["litellm_params.", "model_info."];

impl<'a> Path<'a> {
    /// The key `name` below this path.
    pub(super) fn key(&'a self, name: &'a str) -> Path<'a> {
        Path::Key(self, name)
    }

    /// Item `index` below this path.
    pub(super) fn item(&'a self, index: usize) -> Path<'a> {
        Path::Item(self, index)
    }

    /// The name of the last key.
    pub(super) fn last_key(&self) -> &str {
        match self {
            Path::Root => "",
            Path::Key(_, name) => name,
            Path::Item(parent, _) => parent.last_key(),
            Path::Text(text) => text.rsplit('.').next().unwrap_or(text),
        }
    }

    /// The path within its deployment.
    fn within(&self) -> String {
        let whole = self.to_string();
        let tails = PARTS.iter().filter_map(|part| Some(whole.split_once(part)?.1));
        tails.map(str::to_owned).next().unwrap_or_default()
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Path::Root => Ok(()),
            Path::Key(Path::Root, name) => f.write_str(&shown(name)),
            Path::Key(parent, name) => write!(f, "{parent}.{}", shown(name)),
            Path::Item(parent, index) => write!(f, "{parent}[{index}]"),
            Path::Text(text) => f.write_str(text),
        }
    }
}

/// What is wrong with a value, without its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    /// What is wrong.
    pub(super) problem: String,
    /// The fix.
    pub(super) hint: String,
}

impl Wrong {
    /// A problem with its fix.
    pub(super) fn new(problem: impl Into<String>, hint: impl Into<String>) -> Wrong {
        Wrong { problem: problem.into(), hint: hint.into() }
    }
}

/// What is said of keys that are not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unserved {
    /// Each is a warning.
    Told,
    /// Nothing.
    Untold,
}

/// The problems found so far.
#[derive(Debug)]
pub(super) struct Problems {
    /// Unknown and duplicate keys are errors.
    strict: bool,
    /// The files, by the number in [`At`].
    files: Vec<String>,
    found: Vec<(At, Problem)>,
    /// Where in `found` the warning with a cause is.
    causes: HashMap<(u16, String), usize>,
    /// How many of them are errors.
    errors: usize,
    unlisted_errors: usize,
    unlisted_warnings: usize,
    failed: bool,
    /// Why the deployment that is read cannot serve.
    fault: Option<Wrong>,
    /// What is said of keys that are not served.
    unserved: Unserved,
    /// How many names may still be compared for suggestions.
    comparisons: usize,
    /// The first file that is a row of the store, and none of those that are watched.
    first_row: Option<u16>,
    /// Why the deployments of rows cannot serve, by their files.
    broken_rows: HashMap<u16, Wrong>,
}

impl Problems {
    pub(super) fn new(strict: bool) -> Problems {
        Problems {
            strict,
            files: Vec::new(),
            found: Vec::new(),
            causes: HashMap::new(),
            errors: 0,
            unlisted_errors: 0,
            unlisted_warnings: 0,
            failed: false,
            fault: None,
            unserved: Unserved::Told,
            comparisons: COMPARISONS,
            first_row: None,
            broken_rows: HashMap::new(),
        }
    }

    /// Registers a file; its number goes into [`At`].
    pub(super) fn file(&mut self, path: &str) -> u16 {
        self.files.push(path.to_owned());
        u16::try_from(self.files.len() - 1).unwrap_or(u16::MAX)
    }

    /// `file:line` of a place.
    pub(super) fn place(&self, at: At) -> String {
        match at.line {
            0 => self.name(at).to_owned(),
            line => format!("{}:{line}", self.name(at)),
        }
    }

    /// A place, for others than the loader.
    pub(super) fn whole_place(&self, at: At) -> super::Place {
        super::Place { file: self.name(at).into(), line: at.line, column: at.column }
    }

    /// The other place of a problem: `line 3`, with the file if it is another one.
    pub(super) fn other_place(&self, from: At, to: At) -> String {
        if from.file == to.file { format!("line {}", to.line) } else { self.place(to) }
    }

    /// Adds a problem because of which the config is refused.
    pub(super) fn error(&mut self, at: At, path: &Path<'_>, wrong: Wrong) {
        self.failed = true;
        if self.errors >= MOST {
            self.unlisted_errors += 1;
            return;
        }
        self.errors += 1;
        let problem = self.problem(Severity::Error, at, path.to_string(), wrong);
        self.found.push((at, problem));
    }

    /// Adds a problem with which the config is used.
    pub(super) fn warn(&mut self, at: At, path: &Path<'_>, wrong: Wrong) {
        self.leave_out(at, path, wrong, "");
    }

    /// As [`Problems::warn`], for a problem whose fix is another one for each entry: only what has the same fix is one problem.
    pub(super) fn warn_by_fix(&mut self, at: At, path: &Path<'_>, wrong: Wrong) {
        let cause = format!("{} {}", wrong.problem, wrong.hint);
        self.add_warning(at, path, wrong, ("", &cause));
    }

    /// Warns of a key that is not served, because of which `feature` is left out.
    pub(super) fn unserved(
        &mut self,
        at: At,
        path: &Path<'_>,
        wrong: Wrong,
        feature: &'static str,
    ) {
        if self.unserved == Unserved::Told {
            self.leave_out(at, path, wrong, feature);
        }
    }

    /// What [`Problems::unserved`] does from now on: the keys of a deployment that cannot be served at all are not worth a word.
    pub(super) fn when_unserved(&mut self, unserved: Unserved) {
        self.unserved = unserved;
    }

    /// Adds the problem of a value, with what becomes of it.
    pub(super) fn wrong(&mut self, then: IfWrong, at: At, path: &Path<'_>, mut wrong: Wrong) {
        match then {
            IfWrong::Refuse => return self.error(at, path, wrong),
            IfWrong::Misconfigure => {
                let within = path.within();
                let named = if within.is_empty() { String::new() } else { format!("`{within}`: ") };
                let fault = Wrong::new(format!("{named}{}", wrong.problem), wrong.hint.as_str());
                self.fault.get_or_insert(fault);
                wrong.problem.push_str(": the deployment cannot serve");
            }
            IfWrong::Unset => wrong.problem.push_str(": ignored"),
        }
        self.warn(at, path, wrong);
    }

    /// The first reason why the deployment that was read cannot serve.
    pub(super) fn take_fault(&mut self) -> Option<Wrong> {
        self.fault.take()
    }

    /// A warning; an error if the loader is strict.
    pub(super) fn lax(&mut self, at: At, path: &Path<'_>, wrong: Wrong) {
        if self.strict {
            self.error(at, path, wrong);
        } else {
            self.warn(at, path, wrong);
        }
    }

    /// Whether the config is refused.
    pub(super) fn failed(&self) -> bool {
        self.failed
    }

    /// The known names most similar to `name`; none if too many were compared already.
    pub(super) fn nearest<'k>(
        &mut self,
        name: &str,
        known: impl IntoIterator<Item = &'k str>,
    ) -> Vec<&'k str> {
        // No further warning is listed.
        if self.causes.len() >= MOST {
            return Vec::new();
        }
        let mut left = self.comparisons;
        let counted = known.into_iter().take_while(|_| {
            let some = left > 0;
            left = left.saturating_sub(1);
            some
        });
        let names = suggest::nearest(name, counted);
        self.comparisons = left;
        names
    }

    /// All problems, and the files: errors before warnings, each in the order of files and lines.
    pub(super) fn finish(mut self) -> (Vec<Problem>, Vec<String>) {
        for (severity, count, what) in [
            (Severity::Error, self.unlisted_errors, "errors"),
            (Severity::Warning, self.unlisted_warnings, "warnings"),
        ] {
            if count > 0 {
                let problem = format!("{count} more {what} are not listed");
                let wrong = Wrong::new(problem, "fix the ones above first");
                let at = At::whole(0);
                let problem = self.problem(severity, at, String::new(), wrong);
                self.found.push((At::LAST, Problem { times: count, ..problem }));
            }
        }
        self.found.sort_by_key(|(at, problem)| (problem.severity, *at));
        if let Some(first) = self.first_row {
            self.files.truncate(usize::from(first));
        }
        (self.found.into_iter().map(|(_, problem)| problem).collect(), self.files)
    }

    /// Adds a warning because of which `feature` is left out.
    pub(super) fn leave_out(
        &mut self,
        at: At,
        path: &Path<'_>,
        wrong: Wrong,
        feature: &'static str,
    ) {
        let cause = wrong.problem.clone();
        self.add_warning(at, path, wrong, (feature, &cause));
    }

    /// Adds a warning, with what is left out and its cause.
    fn add_warning(
        &mut self,
        at: At,
        path: &Path<'_>,
        wrong: Wrong,
        (left_out, cause): (&'static str, &str),
    ) {
        let path = path.to_string();
        let cause = (at.file, format!("{} {cause}", without_items(&path)));
        if let Some(first) = self.causes.get(&cause) {
            if let Some((_, problem)) = self.found.get_mut(*first) {
                problem.again(at.line);
            }
            return;
        }
        if self.causes.len() >= MOST {
            self.unlisted_warnings += 1;
            return;
        }
        self.causes.insert(cause, self.found.len());
        let problem = self.problem(Severity::Warning, at, path, wrong);
        self.found.push((at, Problem { left_out, ..problem }));
    }

    fn problem(&self, severity: Severity, at: At, path: String, wrong: Wrong) -> Problem {
        Problem {
            severity,
            file: self.name(at).into(),
            line: at.line,
            column: at.column,
            path: path.into(),
            problem: wrong.problem.into(),
            hint: wrong.hint.into(),
            left_out: "",
            times: 1,
            more_lines: Vec::new(),
        }
    }

    fn name(&self, at: At) -> &str {
        self.files.get(usize::from(at.file)).map_or("", String::as_str)
    }
}

/// A path without the numbers of its items, so that the same key of several entries is the same.
fn without_items(path: &str) -> String {
    let mut is_item = false;
    path.chars()
        .filter(|c| {
            is_item = (is_item || *c == '[') && *c != ']';
            !is_item
        })
        .collect()
}

/// `text` in one line: control characters escaped, a long text cut.
pub(super) fn shown(text: &str) -> String {
    let mut line = String::new();
    for (count, c) in text.chars().enumerate() {
        if count == SHOWN_CHARS {
            line.push_str("...");
            break;
        }
        if c.is_control() {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line
}
