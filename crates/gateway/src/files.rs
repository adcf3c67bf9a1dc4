//! The real file system and environment, as the config loader wants them.
//!
//! Remembers what each file held when the loader read it, so that a later look can tell a changed file
//! from a rewritten one. Contents decide, not dates: a date may lag behind the clock, and says nothing
//! of a change between reading and looking.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;

use hale_core::config::Source;

/// Files and environment of this machine, or one config that stands in no file.
pub(crate) struct Files {
    root: Option<(String, Vec<u8>)>,
    /// What was in each file when it was read last; `None` for one that could not be read.
    read: RefCell<HashMap<String, Option<u64>>>,
}

impl Files {
    /// The file system.
    pub(crate) fn on_disk() -> Files {
        Files { root: None, read: RefCell::default() }
    }

    /// The file system, with one more file called `name`.
    pub(crate) fn with(name: &str, content: String) -> Files {
        let root = Some((name.to_owned(), content.into_bytes()));
        Files { root, ..Files::on_disk() }
    }

    /// Whether `path` holds something else than when the loader read it last.
    pub(crate) fn changed(&self, path: &str) -> bool {
        let now = self.content(path).ok().map(|content| digest(&content));
        self.read.borrow().get(path).is_none_or(|known| *known != now)
    }

    fn content(&self, path: &str) -> io::Result<Vec<u8>> {
        match &self.root {
            Some((name, content)) if name == path => Ok(content.clone()),
            _ => std::fs::read(path),
        }
    }
}

impl Source for Files {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        let content = self.content(path);
        let known = content.as_deref().ok().map(digest);
        self.read.borrow_mut().insert(path.to_owned(), known);
        content
    }

    fn env(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

fn digest(content: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_other_contents_are_a_change() {
        let path = std::env::temp_dir().join(format!("hale-files-{}", std::process::id()));
        let path = path.to_str().unwrap();
        let files = Files::on_disk();
        assert!(files.changed(path), "never read");
        std::fs::write(path, "a: 1").unwrap();
        files.read(path).unwrap();
        assert!(!files.changed(path));
        std::fs::write(path, "a: 1").unwrap();
        assert!(!files.changed(path), "rewritten as it was");
        std::fs::write(path, "a: 2").unwrap();
        assert!(files.changed(path), "as long, and perhaps of the same date");
        files.read(path).unwrap();
        std::fs::remove_file(path).unwrap();
        assert!(files.changed(path), "removed");
        files.read(path).unwrap_err();
        assert!(!files.changed(path), "still missing");
    }
}
