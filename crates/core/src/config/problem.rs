//! What is wrong with a config, where, and how to fix it.
//!
//! Filled by every part of the loader, shown by `hale check` and at start. Always true: no text in
//! a problem contains a secret; a problem is one line, except for the example that an empty config
//! gets.

use std::fmt;

use super::if_wrong::IfWrong;
use super::suggest;

/// How many problems are kept; a file with more is broken as a whole.
const MOST: usize = 1_000;
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
        Ok(())
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

/// The problems found so far.
#[derive(Debug)]
pub(super) struct Problems {
    /// Unknown and duplicate keys are errors.
    strict: bool,
    /// The files, by the number in [`At`].
    files: Vec<String>,
    found: Vec<(At, Problem)>,
    unlisted: usize,
    failed: bool,
    /// Why the deployment that is read cannot serve.
    fault: Option<Wrong>,
    /// How many names may still be compared for suggestions.
    comparisons: usize,
}

impl Problems {
    pub(super) fn new(strict: bool) -> Problems {
        Problems {
            strict,
            files: Vec::new(),
            found: Vec::new(),
            unlisted: 0,
            failed: false,
            fault: None,
            comparisons: COMPARISONS,
        }
    }

    /// Registers a file; its number goes into [`At`].
    pub(super) fn file(&mut self, path: &str) -> u16 {
        self.files.push(path.to_owned());
        u16::try_from(self.files.len() - 1).unwrap_or(u16::MAX)
    }

    /// `file:line` of a place.
    pub(super) fn place(&self, at: At) -> String {
        format!("{}:{}", self.name(at), at.line)
    }

    /// The other place of a problem: `line 3`, with the file if it is another one.
    pub(super) fn other_place(&self, from: At, to: At) -> String {
        if from.file == to.file { format!("line {}", to.line) } else { self.place(to) }
    }

    /// Adds a problem because of which the config is refused.
    pub(super) fn error(&mut self, at: At, path: &Path<'_>, wrong: Wrong) {
        self.failed = true;
        self.add(Severity::Error, at, path, wrong);
    }

    /// Adds a problem with which the config is used.
    pub(super) fn warn(&mut self, at: At, path: &Path<'_>, wrong: Wrong) {
        self.add(Severity::Warning, at, path, wrong);
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

    /// All problems in the order of files and lines, and the files.
    pub(super) fn finish(mut self) -> (Vec<Problem>, Vec<String>) {
        self.found.sort_by_key(|(at, _)| *at);
        let mut problems: Vec<Problem> =
            self.found.into_iter().map(|(_, problem)| problem).collect();
        if self.unlisted > 0 {
            problems.push(Problem {
                severity: if self.failed { Severity::Error } else { Severity::Warning },
                file: self.files.first().map(|file| Box::from(file.as_str())).unwrap_or_default(),
                line: 0,
                column: 0,
                path: Box::default(),
                problem: format!("{} more problems are not listed", self.unlisted).into(),
                hint: "fix the ones above first".into(),
            });
        }
        (problems, self.files)
    }

    fn add(&mut self, severity: Severity, at: At, path: &Path<'_>, wrong: Wrong) {
        if self.found.len() >= MOST {
            self.unlisted += 1;
            return;
        }
        let problem = Problem {
            severity,
            file: self.name(at).into(),
            line: at.line,
            column: at.column,
            path: path.to_string().into(),
            problem: wrong.problem.into(),
            hint: wrong.hint.into(),
        };
        self.found.push((at, problem));
    }

    fn name(&self, at: At) -> &str {
        self.files.get(usize::from(at.file)).map_or("", String::as_str)
    }
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
