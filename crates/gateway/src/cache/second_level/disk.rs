//! Answers in files: one each, named by its key.
//!
//! Part of [`super`]. Always true: a file appears whole, by a rename; its time of change is the moment at which it is
//! forgotten, so that what can go is found without reading; all files together take no more bytes than the config says,
//! but for what was written since the last look; files with other names are left alone.

use std::fs::{self, DirBuilder, File, FileTimes, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::found::{Found, LIMIT, NotReached};
use super::value::HEAD_MAX;
use crate::cache::key::CacheKey;
use crate::clock;

/// How often files whose time has passed are deleted.
const TIDY_EVERY: Duration = Duration::from_secs(60);
/// What a file takes at least.
const BLOCK: u64 = 4 << 10;
/// Requests that read files at one time, in all workers. Others do not wait for a slow disk.
static READERS: Semaphore = Semaphore::const_new(16);

/// Answers in files.
pub(super) struct Disk {
    dir: PathBuf,
    /// Bytes of all files.
    most: u64,
    /// Bytes of a file.
    file_most: usize,
    held: AtomicU64,
    /// What does not work, by what is done.
    problems: Mutex<[Option<String>; 3]>,
}

/// What is done with files. That one of these works says nothing of the others: a full disk can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    Read,
    Write,
    Delete,
}

/// A file of an answer.
struct Entry {
    until: SystemTime,
    bytes: u64,
    path: PathBuf,
}

impl Disk {
    /// Files in `dir`, of at most `most` bytes in all, each with an answer of at most `answer_bytes`.
    pub(super) fn new(dir: &Path, most: u64, answer_bytes: usize) -> Disk {
        Disk {
            dir: dir.to_owned(),
            most,
            file_most: answer_bytes + HEAD_MAX,
            held: AtomicU64::new(0),
            problems: Mutex::default(),
        }
    }

    /// What does not work, if anything.
    pub(super) fn problem(&self) -> Option<String> {
        self.problems.lock().iter().flatten().next().cloned()
    }

    /// Deletes what is past its time, now and then.
    pub(super) async fn tidy(self: Arc<Self>) {
        loop {
            let _failed: Result<(), _> =
                self.clone().run(Deed::Delete, |disk| disk.sweep(disk.most)).await;
            tokio::time::sleep(TIDY_EVERY).await;
        }
    }

    /// Runs `job` on a thread that may wait.
    async fn run<T: Send + 'static>(
        self: Arc<Self>,
        deed: Deed,
        job: impl FnOnce(&Disk) -> io::Result<T> + Send + 'static,
    ) -> Result<T, NotReached> {
        let done = tokio::task::spawn_blocking(move || {
            let done = job(&self);
            self.note(deed, done.as_ref().err());
            done.map_err(|error| NotReached(self.told(&error)))
        });
        done.await.unwrap_or_else(|_| Err(NotReached("the process stops".to_owned())))
    }

    fn told(&self, error: &io::Error) -> String {
        let dir = self.dir.display();
        format!(
            "the answers in {dir} cannot be kept: {error}; let this user write there, or set disk_cache_dir"
        )
    }

    fn note(&self, deed: Deed, error: Option<&io::Error>) {
        let text = error.map(|error| self.told(error));
        let mut problems = self.problems.lock();
        let is_told = text.is_none() || problems.contains(&text);
        problems[deed as usize].clone_from(&text);
        drop(problems);
        if let Some(text) = text.filter(|_| !is_told) {
            tracing::warn!("{text}");
        }
    }

    fn path(&self, key: CacheKey) -> PathBuf {
        let name = key.to_string();
        self.dir.join(&name[..2]).join(name)
    }

    /// What is in the file of each of `keys`.
    pub(super) async fn get(self: Arc<Self>, keys: &[CacheKey]) -> Result<Vec<Found>, NotReached> {
        let late = || NotReached("the disk is slow".to_owned());
        let turn = READERS.try_acquire().map_err(|_| late())?;
        let keys = keys.to_vec();
        let read = self.run(Deed::Read, move |disk| {
            let _turn = turn;
            keys.into_iter().map(|key| disk.read(key)).collect()
        });
        tokio::time::timeout(LIMIT, read).await.unwrap_or_else(|_| Err(late()))
    }

    fn read(&self, key: CacheKey) -> io::Result<Found> {
        let file = match File::open(self.path(key)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        file.take(self.file_most as u64 + 1).read_to_end(&mut bytes)?;
        Ok(Found::Value { bytes, left_ms: None })
    }

    /// Keeps `bytes` until `until_ms` of Unix time.
    pub(super) async fn put(
        self: Arc<Self>,
        key: CacheKey,
        bytes: Vec<u8>,
        until_ms: u64,
    ) -> Result<(), NotReached> {
        self.run(Deed::Write, move |disk| disk.write(key, &bytes, until_ms)).await
    }

    fn write(&self, key: CacheKey, bytes: &[u8], until_ms: u64) -> io::Result<()> {
        let size = taken(bytes.len() as u64);
        if self.held.load(Ordering::Relaxed) + size > self.most {
            // Some room for those that come next.
            self.sweep((self.most - self.most / 10).saturating_sub(size))?;
        }
        let path = self.path(key);
        let parent = path.parent().unwrap_or(&self.dir);
        DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
        let unfinished = path.with_extension(format!("{}.new", std::process::id()));
        let until = SystemTime::UNIX_EPOCH + Duration::from_millis(until_ms);
        let written = (|| {
            let mut options = OpenOptions::new();
            let mut file =
                options.write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
            file.write_all(bytes)?;
            file.set_times(FileTimes::new().set_modified(until))?;
            fs::rename(&unfinished, &path)
        })();
        match &written {
            Ok(()) => _ = self.held.fetch_add(size, Ordering::Relaxed),
            Err(_) => _ = fs::remove_file(&unfinished),
        }
        written
    }

    /// Deletes what is past its time, and what ends soonest until the remainder takes at most `most` bytes.
    fn sweep(&self, most: u64) -> io::Result<()> {
        let now = SystemTime::UNIX_EPOCH + Duration::from_millis(clock::unix_ms());
        let mut files = self.files()?;
        files.sort_unstable_by_key(|file| file.until);
        let mut held: u64 = files.iter().map(|file| file.bytes).sum();
        for file in files {
            if file.until > now && held <= most {
                break;
            }
            remove(&file.path)?;
            held -= file.bytes;
        }
        self.held.store(held, Ordering::Relaxed);
        Ok(())
    }

    /// The files of answers, finished or not.
    fn files(&self) -> io::Result<Vec<Entry>> {
        let mut found = Vec::new();
        for dir in entries(&self.dir)? {
            if !dir.file_name().to_str().is_some_and(|name| is_hex(name, 2)) {
                continue;
            }
            for file in entries(&dir.path())? {
                let name = file.file_name();
                let Some(name) = name.to_str() else { continue };
                // One that is being written has a while to be finished.
                let (stem, more) = match name.strip_suffix(".new") {
                    Some(stem) => (stem.split('.').next().unwrap_or(stem), TIDY_EVERY),
                    None => (name, Duration::ZERO),
                };
                // It may be gone by now.
                let Ok(metadata) = file.metadata() else { continue };
                if is_hex(stem, 64) && metadata.is_file() {
                    let until = metadata.modified()? + more;
                    found.push(Entry { until, bytes: taken(metadata.len()), path: file.path() });
                }
            }
        }
        Ok(found)
    }

    /// Deletes the files of `keys`.
    pub(super) async fn remove(self: Arc<Self>, keys: Vec<CacheKey>) -> Result<u64, NotReached> {
        self.run(Deed::Delete, move |disk| {
            let mut removed = 0;
            for key in keys {
                removed += u64::from(remove(&disk.path(key))?);
            }
            Ok(removed)
        })
        .await
    }

    /// Deletes all files of answers.
    pub(super) async fn clear(self: Arc<Self>) -> Result<u64, NotReached> {
        self.run(Deed::Delete, |disk| {
            let files = disk.files()?;
            let mut removed = 0;
            for file in files {
                removed += u64::from(remove(&file.path)?);
            }
            disk.held.store(0, Ordering::Relaxed);
            Ok(removed)
        })
        .await
    }
}

/// What a file of so many bytes takes.
fn taken(bytes: u64) -> u64 {
    bytes.next_multiple_of(BLOCK).max(BLOCK)
}

fn is_hex(name: &str, length: usize) -> bool {
    name.len() == length && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// What is in a directory; nothing if that is not there.
fn entries(dir: &Path) -> io::Result<Vec<fs::DirEntry>> {
    match fs::read_dir(dir) {
        Ok(entries) => entries.collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Deletes a file; false if it is not there.
fn remove(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Dir(PathBuf);

    impl Dir {
        fn new(name: &str) -> Dir {
            let name = format!("hale-answers-{}-{name}", std::process::id());
            Dir(std::env::temp_dir().join(name))
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            let _left = fs::remove_dir_all(&self.0);
        }
    }

    fn key(number: u64) -> CacheKey {
        CacheKey::of(|feed| feed(&number.to_le_bytes()))
    }

    fn value(disk: &Disk, number: u64) -> Option<Vec<u8>> {
        match disk.read(key(number)).unwrap() {
            Found::Value { bytes, left_ms: None } => Some(bytes),
            Found::Value { .. } | Found::Nothing | Found::Garbage => None,
        }
    }

    #[test]
    fn files_are_read_by_the_next_process_and_bounded_those_that_end_first_go_first() {
        let dir = Dir::new("bounded");
        let soon = clock::unix_ms() + 60_000;
        let disk = Disk::new(&dir.0, 20 * BLOCK, 1_000);
        for number in 0..100 {
            disk.write(key(number), b"value", soon + number * 1_000).unwrap();
            let bytes: u64 = disk.files().unwrap().iter().map(|file| file.bytes).sum();
            assert!(bytes <= 20 * BLOCK, "{bytes}");
        }
        let next = Disk::new(&dir.0, 20 * BLOCK, 1_000);
        assert_eq!(value(&next, 99), Some(b"value".to_vec()));
        assert_eq!(value(&next, 0), None);
        next.sweep(next.most).unwrap();
        assert_eq!(next.held.load(Ordering::Relaxed), disk.held.load(Ordering::Relaxed));
    }

    #[test]
    fn what_is_past_its_time_goes_and_other_files_stay() {
        let dir = Dir::new("tidy");
        let disk = Disk::new(&dir.0, 20 * BLOCK, 1_000);
        disk.write(key(1), b"old", clock::unix_ms() - 1_000).unwrap();
        disk.write(key(2), b"new", clock::unix_ms() + 60_000).unwrap();
        let other = dir.0.join("ab").join("notes.txt");
        fs::create_dir_all(other.parent().unwrap()).unwrap();
        fs::write(&other, "mine").unwrap();
        disk.sweep(disk.most).unwrap();
        assert_eq!((value(&disk, 1), value(&disk, 2)), (None, Some(b"new".to_vec())));
        assert_eq!(disk.files().unwrap().len(), 1);
        assert!(other.exists());
    }

    #[test]
    fn a_directory_that_cannot_be_written_is_told_once_with_the_fix() {
        let dir = Dir::new("broken");
        fs::write(&dir.0, "a file").unwrap();
        let disk = Disk::new(&dir.0, 20 * BLOCK, 1_000);
        let written = disk.write(key(1), b"value", 1);
        disk.note(Deed::Write, written.as_ref().err());
        assert!(disk.problem().unwrap().contains("disk_cache_dir"));
        fs::remove_file(&dir.0).unwrap();
        fs::create_dir(&dir.0).unwrap();
        // It can be read and tidied, and is still no place to write to.
        disk.note(Deed::Read, disk.read(key(1)).as_ref().err());
        disk.note(Deed::Delete, disk.sweep(disk.most).as_ref().err());
        assert!(disk.problem().is_some());
        let written = disk.write(key(1), b"value", clock::unix_ms() + 60_000);
        disk.note(Deed::Write, written.as_ref().err());
        assert_eq!(disk.problem(), None);
    }
}
