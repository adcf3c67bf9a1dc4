//! The real file system and environment, as the config loader wants them.

use std::io;

use hale_core::config::Source;

/// Files and environment of this machine, or one config that stands in no file.
pub(crate) struct Files {
    root: Option<(String, Vec<u8>)>,
}

impl Files {
    /// The file system.
    pub(crate) fn on_disk() -> Files {
        Files { root: None }
    }

    /// The file system, with one more file called `name`.
    pub(crate) fn with(name: &str, content: String) -> Files {
        Files { root: Some((name.to_owned(), content.into_bytes())) }
    }
}

impl Source for Files {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        match &self.root {
            Some((name, content)) if name == path => Ok(content.clone()),
            _ => std::fs::read(path),
        }
    }

    fn env(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}
