//! Where a config's files and environment variables come from, and a source that is in memory.
//!
//! The gateway reads the disk; tests, benchmarks and fuzz targets of all crates use [`InMemory`]. Always true:
//! [`InMemory`] reads neither the disk nor the environment of the process.

use std::collections::HashMap;
use std::io;

/// Where files and environment variables come from.
pub trait Source {
    /// The content of a file.
    ///
    /// # Errors
    ///
    /// What the file system says.
    fn read(&self, path: &str) -> io::Result<Vec<u8>>;

    /// The value of an environment variable.
    fn env(&self, name: &str) -> Option<String>;

    /// The names of all variables, for suggestions; none if nothing may be suggested.
    fn env_names(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Files without a disk and without any environment variable.
#[derive(Clone, Debug, Default)]
pub struct InMemory(HashMap<String, Vec<u8>>);

impl InMemory {
    /// One file.
    #[must_use]
    pub fn file(name: &str, text: impl Into<Vec<u8>>) -> InMemory {
        InMemory(HashMap::from([(name.to_owned(), text.into())]))
    }
}

impl Source for InMemory {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        self.0.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn env(&self, _name: &str) -> Option<String> {
        None
    }
}
