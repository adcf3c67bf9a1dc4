//! The file system and the environment, as the config loader reads them.
//!
//! Called by the start, by reloads and by the commands that read a config. Always true: the content that the
//! loader read is remembered, so that a changed file can be told from one that was rewritten as it was. Contents
//! decide, not dates: the date of a file can be older than a change after the last read.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::{self, File, FileType};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use hale_core::config::{MAX_BYTES, Source};

/// Files and environment of this machine, and maybe one config that is in no file.
pub(crate) struct Files {
    root: Option<(String, Vec<u8>)>,
    /// The digest of each file when it was last read; `None` for a file that could not be read.
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

    /// What a command that reads its config once is given: the name of a file, `-` for standard input, or a pipe
    /// that the shell made of another command's output. Also the name to load it by.
    ///
    /// # Errors
    /// When standard input or the pipe cannot be read.
    pub(crate) fn given(config: &str) -> io::Result<(Files, String)> {
        let mut content = Vec::new();
        let (name, from): (_, Box<dyn Read>) = match config {
            "-" => ("(standard input)", Box::new(io::stdin())),
            path if is_inherited(Path::new(path)) => (path, Box::new(File::open(path)?)),
            path => return Ok((Files::on_disk(), path.to_owned())),
        };
        from.take(MAX_BYTES as u64 + 1).read_to_end(&mut content)?;
        let root = Some((name.to_owned(), content));
        Ok((Files { root, ..Files::on_disk() }, name.to_owned()))
    }

    /// Whether the content of `path` is not what the loader last read.
    pub(crate) fn changed(&self, path: &str) -> bool {
        let now = self.content(path).ok().map(|content| digest(&content));
        self.read.borrow().get(path).is_none_or(|known| *known != now)
    }

    fn content(&self, path: &str) -> io::Result<Vec<u8>> {
        match &self.root {
            Some((name, content)) if name == path => Ok(content.clone()),
            _ => read_regular(Path::new(path)),
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

    fn env_names(&self) -> Vec<String> {
        std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).collect()
    }
}

/// Whether it is a pipe that this process was given open, so that the process at its other end is there already.
fn is_inherited(path: &Path) -> bool {
    let is_descriptor =
        ["/dev/fd", "/proc/self/fd", "/dev/stdin"].iter().any(|of| path.starts_with(of));
    is_descriptor && fs::metadata(path).is_ok_and(|found| found.file_type().is_fifo())
}

/// Reads a regular file, at most one byte more than a config may have.
///
/// A FIFO and a device are not opened: opening the one waits for a writer, reading the other may never end.
pub(crate) fn read_regular(path: &Path) -> io::Result<Vec<u8>> {
    let found = fs::metadata(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            let full = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
            io::Error::new(ErrorKind::NotFound, format!("there is no {}", full.display()))
        }
        _ => error,
    })?;
    if found.is_dir() {
        return Err(ErrorKind::IsADirectory.into());
    }
    if !found.is_file() {
        let what = format!("it is {}, not a regular file", kind_of(found.file_type()));
        return Err(io::Error::new(ErrorKind::InvalidInput, what));
    }
    let file = File::open(path).map_err(|error| match error.kind() {
        ErrorKind::PermissionDenied => {
            let own = fs::metadata("/proc/self").ok().map(|own| own.uid());
            let text = forbidden(found.mode(), found.uid(), own);
            io::Error::new(ErrorKind::PermissionDenied, text)
        }
        _ => error,
    })?;
    let mut content = Vec::new();
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut content)?;
    Ok(content)
}

fn kind_of(kind: FileType) -> &'static str {
    if kind.is_fifo() {
        "a FIFO"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

/// Why this process, which runs as the user `own`, may not read a file with that mode and owner.
fn forbidden(mode: u32, owner: u32, own: Option<u32>) -> String {
    let own = own.map_or(String::new(), |own| format!("; this process runs as uid {own}"));
    format!("permission denied: its mode is {:04o} and its owner uid {owner}{own}", mode & 0o7777)
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
    fn a_file_that_may_not_be_read_names_mode_and_users() {
        // Bad input, row 2.
        assert_eq!(
            forbidden(0o100_640, 0, Some(1000)),
            "permission denied: its mode is 0640 and its owner uid 0; this process runs as uid 1000"
        );
        assert!(forbidden(0o100_000, 7, None).ends_with("its mode is 0000 and its owner uid 7"));
    }

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
