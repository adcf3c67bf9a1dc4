//! What waits for one sink: in memory, and beyond that on the disk.
//!
//! Filled by [`super::exporter`] on a thread that may wait, emptied by its task. Always true: memory and disk are bounded in bytes;
//! what fits into neither is counted by the caller; the order is kept, but for what is tried again.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::spool::Spool;

/// Memory that a record takes besides its bytes.
const OVERHEAD: usize = 48;

/// What waits for one sink.
pub(super) struct Queue {
    name: Box<str>,
    memory_max: usize,
    spool_max: u64,
    directory: Option<PathBuf>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    items: VecDeque<Box<[u8]>>,
    bytes: usize,
    spool: Option<Spool>,
    disk: Disk,
}

/// What is known of the place on the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Disk {
    /// Nothing, or that it can be used.
    #[default]
    Usable,
    /// The sink that was configured before under this name, or another process, still has it. It is tried again.
    Held,
    /// It cannot be used.
    Useless,
}

/// Where a record went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Put {
    /// It waits.
    Waits,
    /// There is no room for it.
    Lost,
}

impl Queue {
    /// The queue of the sink `name`; what the process before left of it is in it.
    pub(super) fn new(
        name: &str,
        (memory_max, spool_max): (usize, u64),
        directory: Option<PathBuf>,
    ) -> Queue {
        let queue = Queue {
            name: name.into(),
            memory_max,
            spool_max,
            directory: directory.filter(|_| spool_max > 0),
            inner: Mutex::default(),
        };
        if queue.directory.as_deref().is_some_and(|place| Spool::is_left(place, name)) {
            queue.open(&mut queue.inner.lock());
        }
        queue
    }

    fn open(&self, inner: &mut Inner) {
        let is_usable = inner.disk != Disk::Useless;
        let Some(directory) = self.directory.as_deref().filter(|_| is_usable) else {
            return;
        };
        match Spool::open(directory, &self.name, self.spool_max) {
            Ok(spool) => (inner.spool, inner.disk) = (Some(spool), Disk::Usable),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if std::mem::replace(&mut inner.disk, Disk::Held) != Disk::Held {
                    let directory = directory.display();
                    tracing::warn!(
                        sink = &*self.name,
                        "records cannot wait in {directory} as long as another process, or this sink as it was configured \
                         before, has it"
                    );
                }
            }
            Err(error) => {
                inner.disk = Disk::Useless;
                let directory = directory.display();
                tracing::warn!(
                    sink = &*self.name, %error,
                    "records cannot wait in {directory}; those that do not fit into memory are dropped"
                );
            }
        }
    }

    /// Adds a record. May wait for the disk.
    pub(super) fn put(&self, record: Box<[u8]>) -> Put {
        let mut inner = self.inner.lock();
        let bytes = record.len() + OVERHEAD;
        let spools = inner.spool.as_ref().is_some_and(|spool| !spool.is_empty());
        if !spools && inner.bytes + bytes <= self.memory_max {
            inner.bytes += bytes;
            inner.items.push_back(record);
            return Put::Waits;
        }
        if inner.spool.is_none() {
            self.open(&mut inner);
        }
        match inner.spool.as_mut().map(|spool| spool.append(&record)) {
            Some(Ok(())) => Put::Waits,
            Some(Err(_)) | None => Put::Lost,
        }
    }

    /// Takes the first records: so many at most, with so many bytes together, but at least one. They are counted in `in_flight`
    /// before they leave.
    pub(super) fn take(
        &self,
        items_max: usize,
        bytes_max: usize,
        in_flight: &AtomicU64,
    ) -> Vec<Box<[u8]>> {
        let mut inner = self.inner.lock();
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while taken.len() < items_max {
            let Some(next) = inner.items.front() else { break };
            if !taken.is_empty() && bytes + next.len() > bytes_max {
                break;
            }
            bytes += next.len();
            inner.bytes = inner.bytes.saturating_sub(next.len() + OVERHEAD);
            taken.extend(inner.items.pop_front());
        }
        in_flight.fetch_add(taken.len() as u64, Ordering::Relaxed);
        taken
    }

    /// Puts records back that were taken; they come first again.
    pub(super) fn put_back(&self, records: Vec<Box<[u8]>>) {
        let mut inner = self.inner.lock();
        for record in records.into_iter().rev() {
            inner.bytes += record.len() + OVERHEAD;
            inner.items.push_front(record);
        }
    }

    /// Whether memory is empty and the disk is not, or may not be.
    pub(super) fn wants_disk(&self) -> bool {
        let inner = self.inner.lock();
        let is_filled = || inner.spool.as_ref().is_some_and(|spool| !spool.is_empty());
        inner.items.is_empty() && (inner.disk == Disk::Held || is_filled())
    }

    /// Reads the oldest file of the disk into memory. May wait. `false` if it could not be read: its records are lost.
    pub(super) fn load(&self) -> bool {
        let mut inner = self.inner.lock();
        if inner.disk == Disk::Held {
            self.open(&mut inner);
        }
        let Some(taken) = inner.spool.as_mut().map(Spool::take) else { return true };
        let Ok(records) = taken else { return false };
        inner.bytes += records.iter().map(|record| record.len() + OVERHEAD).sum::<usize>();
        inner.items.extend(records);
        true
    }

    /// Puts everything on the disk. The number of records that it does not take.
    pub(super) fn put_away(&self) -> u64 {
        let mut inner = self.inner.lock();
        let items = std::mem::take(&mut inner.items);
        inner.bytes = 0;
        if inner.spool.is_none() && !items.is_empty() {
            self.open(&mut inner);
        }
        let mut lost = 0;
        for record in items {
            let put = inner.spool.as_mut().map(|spool| spool.append(&record));
            lost += u64::from(!matches!(put, Some(Ok(()))));
        }
        lost
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        let inner = self.inner.lock();
        inner.items.is_empty() && inner.spool.as_ref().is_none_or(Spool::is_empty)
    }

    /// Bytes that wait in memory, and on the disk.
    pub(super) fn bytes(&self) -> (u64, u64) {
        let inner = self.inner.lock();
        (inner.bytes as u64, inner.spool.as_ref().map_or(0, Spool::bytes))
    }
}

#[cfg(test)]
mod tests {
    use hale_testkit::TempDir;

    use super::*;

    fn take(queue: &Queue, items: usize, bytes: usize) -> Vec<Box<[u8]>> {
        queue.take(items, bytes, &AtomicU64::new(0))
    }

    fn record(byte: u8) -> Box<[u8]> {
        vec![byte; 52].into()
    }

    #[test]
    fn what_does_not_fit_into_memory_waits_on_the_disk_and_beyond_that_is_lost() {
        let directory = TempDir::new();
        let queue = Queue::new("a", (200, 112), Some(directory.path().to_owned()));
        let put: Vec<Put> = (0..5).map(|byte| queue.put(record(byte))).collect();
        assert_eq!(put, [Put::Waits, Put::Waits, Put::Waits, Put::Waits, Put::Lost]);
        assert_eq!(queue.bytes(), (200, 112));
        assert_eq!(take(&queue, 10, 1 << 20), [record(0), record(1)]);
        assert!(queue.wants_disk());
        assert_eq!(queue.put(record(9)), Put::Lost, "what waits on the disk comes first");
        assert!(queue.load());
        assert_eq!(take(&queue, 1, 1), [record(2)]);
        queue.put_back(vec![record(2)]);
        assert_eq!(take(&queue, 10, 104), [record(2), record(3)]);
        assert!(queue.is_empty());
    }

    #[test]
    fn without_a_disk_memory_is_the_bound_and_the_end_loses_what_waits() {
        let queue = Queue::new("a", (200, 0), None);
        assert_eq!((queue.put(record(0)), queue.put(record(1))), (Put::Waits, Put::Waits));
        assert_eq!(queue.put(record(2)), Put::Lost);
        assert_eq!(queue.put_away(), 2);
        assert!(queue.is_empty());
    }

    #[test]
    fn what_the_sink_before_left_on_the_disk_is_taken_over_when_it_lets_go() {
        let directory = TempDir::new();
        let place = || Some(directory.path().to_owned());
        let before = Queue::new("a", (100, 1 << 20), place());
        assert_eq!((before.put(record(0)), before.put(record(1))), (Put::Waits, Put::Waits));
        let next = Queue::new("a", (100, 1 << 20), place());
        assert_eq!(next.put(record(2)), Put::Waits, "memory has room");
        assert_eq!(next.put(record(3)), Put::Lost, "the other still has the disk");
        assert_eq!(before.put_away(), 0);
        drop(before);
        assert_eq!(take(&next, 9, 1 << 20), [record(2)]);
        assert!(next.wants_disk() && next.load());
        assert_eq!(take(&next, 9, 1 << 20), [record(1), record(0)]);
        assert!(next.is_empty() && !next.wants_disk());
        assert_eq!(next.put(record(4)), Put::Waits);
    }

    #[test]
    fn the_next_process_finds_what_was_put_away() {
        let directory = TempDir::new();
        let place = || Some(directory.path().to_owned());
        let queue = Queue::new("a", (1 << 20, 1 << 20), place());
        queue.put(record(7));
        assert_eq!(queue.put_away(), 0);
        drop(queue);
        let next = Queue::new("a", (1 << 20, 1 << 20), place());
        assert!(next.wants_disk() && next.load());
        assert_eq!(take(&next, 1, 1), [record(7)]);
    }
}
