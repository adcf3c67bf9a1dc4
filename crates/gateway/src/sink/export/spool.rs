//! Records of one sink on the disk: files of some megabytes, the oldest of which is read first.
//!
//! Used by [`super::queue`]. Always true: the files of a sink are bounded; a record is whole or skipped; two processes never have
//! the same files; what a process left is sent by the next one.

use std::collections::VecDeque;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// Bytes of one file, about.
const FILE_MAX: u64 = 4 << 20;
/// The end of a file's name.
const ENDING: &str = "records";

/// Records on the disk.
pub(super) struct Spool {
    directory: PathBuf,
    /// Held as long as the files are.
    _lock: File,
    /// The files: number and bytes. The last one may still grow.
    files: VecDeque<(u64, u64)>,
    open: Option<File>,
    max: u64,
}

impl Spool {
    /// The records below `directory` of the sink `name`; `None` if there is no such directory and `make` is not asked for.
    ///
    /// # Errors
    /// What the system says, or that another process has them.
    pub(super) fn open(directory: &Path, name: &str, max: u64) -> io::Result<Spool> {
        let directory = directory.join(name);
        fs::create_dir_all(&directory)?;
        let lock = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(directory.join("lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(io::Error::new(io::ErrorKind::WouldBlock, "another process has it"));
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let mut files: Vec<(u64, u64)> = Vec::new();
        for entry in fs::read_dir(&directory)? {
            let entry = entry?;
            let name = entry.file_name();
            let number = name.to_str().and_then(|name| name.strip_suffix(ENDING));
            let number = number.and_then(|name| name.trim_end_matches('.').parse().ok());
            if let Some(number) = number {
                files.push((number, entry.metadata()?.len()));
            }
        }
        files.sort_unstable();
        Ok(Spool { directory, _lock: lock, files: files.into(), open: None, max })
    }

    /// Whether the sink `name` left records below `directory`.
    pub(super) fn is_left(directory: &Path, name: &str) -> bool {
        let entries = fs::read_dir(directory.join(name));
        let is_records = |entry: io::Result<fs::DirEntry>| {
            entry.is_ok_and(|entry| entry.file_name().to_string_lossy().ends_with(ENDING))
        };
        entries.is_ok_and(|mut entries| entries.any(is_records))
    }

    fn path(&self, number: u64) -> PathBuf {
        self.directory.join(format!("{number:012}.{ENDING}"))
    }

    /// Bytes that it has.
    pub(super) fn bytes(&self) -> u64 {
        self.files.iter().map(|(_, bytes)| bytes).sum()
    }

    /// Whether it has no record.
    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Appends a record.
    ///
    /// # Errors
    /// When it is full, or the disk is.
    pub(super) fn append(&mut self, record: &[u8]) -> io::Result<()> {
        let length = u32::try_from(record.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let bytes = u64::from(length) + 4;
        if self.bytes() + bytes > self.max {
            return Err(io::Error::new(io::ErrorKind::StorageFull, "the spool is full"));
        }
        let is_full = self.files.back().is_none_or(|(_, bytes)| *bytes >= FILE_MAX);
        if is_full || self.open.is_none() {
            let number = self.files.back().map_or(1, |(number, _)| number + 1);
            self.open =
                Some(File::options().append(true).create_new(true).open(self.path(number))?);
            self.files.push_back((number, 0));
        }
        let Some(file) = &mut self.open else { return Ok(()) };
        let mut whole = Vec::with_capacity(record.len() + 4);
        whole.extend_from_slice(&length.to_be_bytes());
        whole.extend_from_slice(record);
        if let Err(error) = file.write_all(&whole) {
            // Half a record at the end of a file is skipped: nothing more is written there.
            self.open = None;
            return Err(error);
        }
        if let Some((_, known)) = self.files.back_mut() {
            *known += bytes;
        }
        Ok(())
    }

    /// Takes the records of the oldest file.
    ///
    /// # Errors
    /// When it cannot be read; then it is given up.
    pub(super) fn take(&mut self) -> io::Result<Vec<Box<[u8]>>> {
        let Some((number, _)) = self.files.pop_front() else { return Ok(Vec::new()) };
        if self.files.is_empty() {
            self.open = None;
        }
        let path = self.path(number);
        let mut text = Vec::new();
        let read = File::open(&path).and_then(|mut file| file.read_to_end(&mut text));
        let removed = fs::remove_file(&path);
        read?;
        removed?;
        Ok(records(&text))
    }
}

/// The whole records of a file.
fn records(mut text: &[u8]) -> Vec<Box<[u8]>> {
    let mut found = Vec::new();
    while let Some((length, tail)) = text.split_first_chunk::<4>() {
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        let Some((record, next)) = tail.split_at_checked(length) else { break };
        found.push(record.into());
        text = next;
    }
    found
}

#[cfg(test)]
mod tests {
    use hale_testkit::TempDir;

    use super::*;

    #[test]
    fn records_come_back_in_order_also_in_the_next_process() {
        let directory = TempDir::new();
        let mut spool = Spool::open(directory.path(), "a", 1 << 20).unwrap();
        assert!(!Spool::is_left(directory.path(), "a"));
        spool.append(b"one").unwrap();
        spool.append(b"").unwrap();
        assert_eq!(spool.bytes(), 11);
        let another = Spool::open(directory.path(), "a", 1 << 20).err().unwrap();
        assert_eq!(another.kind(), io::ErrorKind::WouldBlock);
        drop(spool);
        assert!(Spool::is_left(directory.path(), "a"));
        let mut spool = Spool::open(directory.path(), "a", 1 << 20).unwrap();
        spool.append(b"two").unwrap();
        let taken: Vec<Box<[u8]>> = spool.take().unwrap();
        assert_eq!(taken, [Box::from(&b"one"[..]), Box::from(&b""[..])]);
        assert_eq!(spool.take().unwrap(), [Box::from(&b"two"[..])]);
        assert!(spool.is_empty() && spool.bytes() == 0);
        assert!(!Spool::is_left(directory.path(), "a"));
    }

    #[test]
    fn a_full_spool_refuses_and_half_a_record_is_skipped() {
        let directory = TempDir::new();
        let mut spool = Spool::open(directory.path(), "a", 20).unwrap();
        spool.append(b"0123456789").unwrap();
        assert_eq!(spool.append(b"0123456789").unwrap_err().kind(), io::ErrorKind::StorageFull);
        let file = spool.path(1);
        fs::write(&file, b"\0\0\0\x01a\0\0\0\x09half").unwrap();
        assert_eq!(spool.take().unwrap(), [Box::from(&b"a"[..])]);
    }
}
