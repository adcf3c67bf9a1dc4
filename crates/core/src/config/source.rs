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

/// Files and environment variables, given one by one.
#[derive(Clone, Debug, Default)]
pub struct InMemory {
    files: HashMap<String, Result<Vec<u8>, io::ErrorKind>>,
    env: HashMap<String, String>,
}

impl InMemory {
    /// One file, and no variable.
    #[must_use]
    pub fn file(name: &str, text: impl Into<Vec<u8>>) -> InMemory {
        InMemory::default().with_file(name, text)
    }

    /// The same with one more file.
    #[must_use]
    pub fn with_file(mut self, name: &str, text: impl Into<Vec<u8>>) -> InMemory {
        self.files.insert(name.to_owned(), Ok(text.into()));
        self
    }

    /// The same with one more file that cannot be read.
    #[must_use]
    pub fn with_unreadable(mut self, name: &str, why: io::ErrorKind) -> InMemory {
        self.files.insert(name.to_owned(), Err(why));
        self
    }

    /// The same with one more environment variable.
    #[must_use]
    pub fn with_env(mut self, name: &str, value: &str) -> InMemory {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }
}

impl Source for InMemory {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        let found = self.files.get(path).cloned().unwrap_or(Err(io::ErrorKind::NotFound));
        found.map_err(Into::into)
    }

    fn env(&self, name: &str) -> Option<String> {
        self.env.get(name).cloned()
    }

    fn env_names(&self) -> Vec<String> {
        self.env.keys().cloned().collect()
    }
}
