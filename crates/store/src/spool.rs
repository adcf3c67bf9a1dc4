//! Batches on the disk that no database has yet: a file of JSON lines.
//!
//! Used by [`crate::store`] on a thread that may wait. Always true: the file is held by one process and is bounded; a
//! line is whole or skipped; what was appended before a process was killed is read by the next one.

use std::fs::{File, TryLockError};
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use crate::batch::Batch;

/// Bytes that it may have.
pub(crate) const MAX: u64 = 64 << 20;

/// Who may read a file that is made: names of models and messages of providers are nothing for others on the machine.
pub(crate) const MODE: u32 = 0o660;

/// Where a batch is in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    offset: u64,
    length: usize,
}

/// A batch that a process before this one left.
#[derive(Debug)]
pub(crate) struct Left {
    pub(crate) extent: Extent,
    pub(crate) rows: u64,
}

/// The file.
#[derive(Debug)]
pub(crate) struct Spool {
    file: File,
    length: u64,
    max: u64,
}

impl Spool {
    /// Opens the file at `path`, which it makes if it is not there; what it holds, and how many lines of it are lost.
    ///
    /// # Errors
    /// When it cannot be made or read, or another process has it.
    pub(crate) fn open(path: &Path, max: u64) -> io::Result<(Spool, Vec<Left>, u64)> {
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false).mode(MODE);
        let file = options.open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(io::Error::new(io::ErrorKind::WouldBlock, "another process has it"));
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let mut left = Vec::new();
        let (mut offset, mut lost) = (0, 0);
        let mut reader = BufReader::new(&file);
        let mut line = Vec::new();
        loop {
            line.clear();
            let length = reader.read_until(b'\n', &mut line)?;
            if length == 0 {
                break;
            }
            let extent = Extent { offset, length };
            match serde_json::from_slice::<Batch>(&line) {
                Ok(batch) if line.ends_with(b"\n") => {
                    left.push(Left { extent, rows: batch.len() });
                    offset += length as u64;
                }
                // The end of a line that was cut: the next one is written over it.
                Err(_) | Ok(_) if !line.ends_with(b"\n") => {
                    lost += 1;
                    break;
                }
                Err(_) | Ok(_) => {
                    lost += 1;
                    offset += length as u64;
                }
            }
        }
        file.set_len(offset)?;
        Ok((Spool { file, length: offset, max }, left, lost))
    }

    /// Appends a batch.
    ///
    /// # Errors
    /// When it is full, or the disk is.
    pub(crate) fn append(&mut self, batch: &Batch) -> io::Result<Extent> {
        let mut line = serde_json::to_vec(batch)?;
        line.push(b'\n');
        let extent = Extent { offset: self.length, length: line.len() };
        let end = self.length + line.len() as u64;
        if end > self.max {
            return Err(io::Error::new(io::ErrorKind::StorageFull, "the spool is full"));
        }
        if let Err(error) = self.file.write_all_at(&line, self.length) {
            // What was written of the line goes away now, or is written over.
            drop(self.file.set_len(self.length));
            return Err(error);
        }
        self.length = end;
        Ok(extent)
    }

    /// Reads a batch.
    ///
    /// # Errors
    /// When it is not there any more.
    pub(crate) fn read(&self, extent: Extent) -> io::Result<Batch> {
        let mut line = vec![0; extent.length];
        self.file.read_exact_at(&mut line, extent.offset)?;
        Ok(serde_json::from_slice(&line)?)
    }

    /// Empties it.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn clear(&mut self) -> io::Result<()> {
        if self.length > 0 {
            self.file.set_len(0)?;
            self.length = 0;
        }
        Ok(())
    }

    /// Bytes that it has.
    pub(crate) fn bytes(&self) -> u64 {
        self.length
    }
}
