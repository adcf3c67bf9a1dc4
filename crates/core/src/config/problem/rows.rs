//! Problems of rows of the store, each of which is a file of its own to the loader.
//!
//! Used by [`crate::config::stored`] and where deployments are read. Always true: a row's problem names the row; rows are no files that
//! are watched.

use super::{At, Path, Problem, Problems, Severity, Wrong};

impl Problems {
    /// From this file on, files are rows of the store.
    pub(in crate::config) fn rows_from(&mut self, first: Option<u16>) {
        self.first_row = first;
    }

    /// Whether a place is in a row of the store.
    pub(in crate::config) fn is_row(&self, at: At) -> bool {
        self.first_row.is_some_and(|first| first <= at.file)
    }

    /// Whether the deployment of the row at that place cannot serve.
    pub(in crate::config) fn is_broken_row(&self, at: At) -> bool {
        self.broken_rows.contains_key(&at.file)
    }

    /// The deployment of that row cannot serve.
    pub(in crate::config) fn broken_row(&mut self, file: u16, why: Wrong) {
        self.broken_rows.insert(file, why);
    }

    /// Begins to read the deployment at that place: what was wrong with the one before does not count.
    pub(in crate::config) fn begin_deployment(&mut self, at: At, path: &Path<'_>) {
        self.fault = None;
        let Some(mut why) = self.broken_rows.get(&at.file).cloned() else { return };
        self.fault = Some(why.clone());
        why.problem.push_str(": the deployment cannot serve");
        self.warn_by_fix(at, path, why);
    }

    /// A row of the store says something that has no effect.
    pub(in crate::config) fn shadowed(&mut self, at: At, section: &str, why: &str) {
        let problem = format!("has no effect: {why}");
        self.warn(at, &Path::Text(section), Wrong::new(problem, "remove it from the store"));
    }

    /// The errors, with the files that they are in.
    pub(in crate::config) fn errors(&self) -> Vec<(u16, Problem)> {
        let errors = self.found.iter().filter(|(_, one)| one.severity == Severity::Error);
        errors.map(|(at, problem)| (at.file, problem.clone())).collect()
    }
}
