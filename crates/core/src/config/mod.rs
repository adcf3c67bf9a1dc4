//! Turns config files into a [`Snapshot`], or into a list of every problem they have.
//!
//! Called by the gateway at start, on reload and by `hale check`. Always true: files and environment
//! are arguments; a config with an error yields no snapshot; all problems are reported at once.

use std::io;

use crate::snapshot::Snapshot;

/// Where files and environment variables come from.
pub trait Source {
    /// The content of a file.
    ///
    /// # Errors
    /// What the file system says.
    fn read(&self, path: &str) -> io::Result<Vec<u8>>;

    /// The value of an environment variable.
    fn env(&self, name: &str) -> Option<String>;
}

/// What came of a config.
#[derive(Debug)]
pub struct Loaded {
    /// The snapshot; `None` when a problem is an error.
    pub snapshot: Option<Snapshot>,
    /// All problems, in the order of files and lines.
    pub problems: Vec<Problem>,
    /// Every file that was read, the root first; these are watched.
    pub files: Vec<String>,
}

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
    /// What to do; may be empty.
    pub hint: Box<str>,
}

/// How to load.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Unknown and duplicate keys are errors.
    pub strict: bool,
}
