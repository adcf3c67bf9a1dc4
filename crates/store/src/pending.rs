//! Batches that the database does not have yet, in order.
//!
//! Kept by [`crate::store`]. Always true: memory is bounded; what is on the disk may leave the memory, and only what is
//! nowhere else counts as lost when it has to go.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::batch::Batch;
use crate::spool::{Extent, Left};

/// Memory of batches that are on the disk too, bytes.
const CACHED_MAX: usize = 4 << 20;
/// Memory of all batches, bytes.
const MEMORY_MAX: usize = 16 << 20;

/// Memory of batches that become one, bytes: what has to go then is not all at once.
const JOINED_MAX: usize = 1 << 20;

/// Where a batch is.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    Memory(Arc<Batch>),
    Disk(Extent),
}

#[derive(Debug)]
struct Slot {
    id: u64,
    batch: Option<Arc<Batch>>,
    bytes: usize,
    rows: u64,
    extent: Option<Extent>,
    /// The tick in which it was made.
    made: u64,
    /// Whether it has no rows of single requests any more.
    is_thin: bool,
}

/// The batches.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    slots: VecDeque<Slot>,
    memory: usize,
    newest: u64,
}

impl Pending {
    /// Adds a batch that was made in that tick. Returns how many rows had to go for it.
    pub(crate) fn push(&mut self, batch: Arc<Batch>, made: u64) -> u64 {
        let (bytes, rows) = (batch.bytes(), batch.len());
        self.newest += 1;
        let id = self.newest;
        self.slots.push_back(Slot {
            id,
            batch: Some(batch),
            bytes,
            rows,
            extent: None,
            made,
            is_thin: false,
        });
        self.memory += bytes;
        self.shed()
    }

    /// Adds what a process before this one left on the disk.
    pub(crate) fn inherit(&mut self, left: Vec<Left>) {
        for Left { extent, rows } in left.into_iter().rev() {
            self.newest += 1;
            let id = self.newest;
            let extent = Some(extent);
            self.slots.push_front(Slot {
                id,
                batch: None,
                bytes: 0,
                rows,
                extent,
                made: 0,
                is_thin: false,
            });
        }
    }

    /// The batch to write next, and the name of its slot.
    pub(crate) fn first(&self) -> Option<(u64, Place)> {
        let slot = self.slots.front()?;
        let place = match (&slot.batch, slot.extent) {
            (Some(batch), _) => Place::Memory(batch.clone()),
            (None, Some(extent)) => Place::Disk(extent),
            (None, None) => return None,
        };
        Some((slot.id, place))
    }

    /// Takes the slot of that name out. Returns its rows.
    pub(crate) fn remove(&mut self, id: u64) -> u64 {
        let Some(at) = self.slots.iter().position(|slot| slot.id == id) else { return 0 };
        let Some(slot) = self.slots.remove(at) else { return 0 };
        self.memory -= slot.batch.map_or(0, |_| slot.bytes);
        slot.rows
    }

    /// The first batch that is older than that tick and on no disk, and the name of its slot.
    pub(crate) fn unspooled(&self, before: u64) -> Option<(u64, Arc<Batch>)> {
        let slot = self.slots.iter().find(|slot| slot.extent.is_none() && slot.made < before)?;
        Some((slot.id, slot.batch.clone()?))
    }

    /// Notes that a batch is on the disk. False if it is not wanted any more.
    pub(crate) fn spooled(&mut self, id: u64, extent: Extent) -> bool {
        let Some(slot) = self.slots.iter_mut().find(|slot| slot.id == id) else { return false };
        slot.extent = Some(extent);
        self.uncache();
        true
    }

    /// Whether no batch needs the disk.
    pub(crate) fn is_off_disk(&self) -> bool {
        self.slots.iter().all(|slot| slot.extent.is_none())
    }

    /// Where the first batch is on the disk.
    #[cfg(test)]
    pub(crate) fn slots_extent(&self) -> Option<Extent> {
        self.slots.front()?.extent
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Rows that wait.
    pub(crate) fn rows(&self) -> u64 {
        self.slots.iter().map(|slot| slot.rows).sum()
    }

    /// Rows that wait and are on no disk.
    pub(crate) fn rows_in_memory_alone(&self) -> u64 {
        self.slots.iter().filter(|slot| slot.extent.is_none()).map(|slot| slot.rows).sum()
    }

    /// Forgets all. Returns how many rows that were.
    pub(crate) fn clear(&mut self) -> u64 {
        let rows = self.rows();
        self.slots.clear();
        self.memory = 0;
        rows
    }

    /// Frees memory of what is on the disk too, the newest first: the oldest is written next.
    fn uncache(&mut self) {
        for slot in self.slots.iter_mut().rev() {
            if self.memory <= CACHED_MAX {
                return;
            }
            if slot.extent.is_some() && slot.batch.take().is_some() {
                self.memory -= slot.bytes;
            }
        }
    }

    /// Makes room: the oldest batches that are only in memory lose their rows of single requests, then become one; what they sum up
    /// stays as long as it fits.
    fn shed(&mut self) -> u64 {
        self.uncache();
        let mut lost = 0;
        while self.memory > MEMORY_MAX {
            if let Some(rows) = self.thin_oldest() {
                lost += rows;
                continue;
            }
            if self.join_oldest() {
                continue;
            }
            let oldest = self.slots.iter().find(|slot| slot.batch.is_some()).map(|slot| slot.id);
            match oldest {
                Some(id) => lost += self.remove(id),
                None => break,
            }
        }
        lost
    }
}

impl Pending {
    /// Takes the rows of single requests from the oldest batch that has some. How many these were.
    fn thin_oldest(&mut self) -> Option<u64> {
        let is_full =
            |slot: &&mut Slot| !slot.is_thin && slot.extent.is_none() && slot.batch.is_some();
        let slot = self.slots.iter_mut().find(is_full)?;
        let (thin, left_out) = slot.batch.as_ref()?.thinned();
        self.memory -= slot.bytes;
        (slot.bytes, slot.rows, slot.is_thin) = (thin.bytes(), thin.len(), true);
        self.memory += slot.bytes;
        slot.batch = Some(Arc::new(thin));
        Some(left_out)
    }

    /// Makes one of the two oldest thin batches that follow each other. The first of all may be on its way to the database.
    fn join_oldest(&mut self) -> bool {
        let is_thin = |slot: &Slot| slot.is_thin && slot.extent.is_none() && slot.batch.is_some();
        let pair = (1..self.slots.len().saturating_sub(1)).find(|at| {
            let (older, later) = (&self.slots[*at], &self.slots[*at + 1]);
            is_thin(older) && is_thin(later) && older.bytes + later.bytes <= JOINED_MAX
        });
        let Some(at) = pair else { return false };
        let Some(older) = self.slots.remove(at) else { return false };
        let later = &mut self.slots[at];
        let (Some(one), Some(other)) = (&older.batch, &later.batch) else { return false };
        let joined = one.joined(other);
        self.memory -= older.bytes + later.bytes;
        (later.bytes, later.rows) = (joined.bytes(), joined.len());
        self.memory += later.bytes;
        later.batch = Some(Arc::new(joined));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Table;

    fn batch(number: i64, bytes: usize) -> Arc<Batch> {
        let row = vec!["x".repeat(bytes).as_str().into()];
        Arc::new(Batch::of("w", number, vec![(Table::HealthChanges, row)]))
    }

    #[test]
    fn without_room_rows_of_single_requests_go_and_what_they_cost_stays() {
        use crate::spend::{SpentCall, SpentRequest, SpentTexts};
        let calls =
            [SpentCall { model: "m", cost_nano: Some(7), input_tokens: 1, ..SpentCall::default() }];
        let long = "x".repeat(64 << 10);
        let texts = SpentTexts { metadata: long.clone(), ..SpentTexts::default() };
        let mut pending = Pending::default();
        let (mut lost, mut spent) = (0, 0);
        for number in 1..=2_000 {
            let request = SpentRequest {
                key: "k",
                call_id: &long,
                calls: &calls,
                at: 1_795_824_000_000,
                ..SpentRequest::default()
            };
            lost += pending.push(Arc::new(Batch::of_spent(("w", number), &request, &texts)), 1);
            spent += 7;
        }
        assert!(lost > 1_000, "{lost}");
        assert!(pending.memory <= MEMORY_MAX);
        let mut found = 0;
        let mut numbers = Vec::new();
        while let Some((id, Place::Memory(batch))) = pending.first() {
            numbers.push(batch.number);
            for (table, rows) in &batch.rows {
                let cost = table.names().iter().position(|name| *name == "cost_nano");
                if matches!(table, Table::Attempts | Table::AttemptSums) {
                    found +=
                        rows.iter().filter_map(|row| row[cost.unwrap()].integer()).sum::<i64>();
                }
            }
            pending.remove(id);
        }
        assert_eq!(found, spent);
        assert!(
            numbers.is_sorted() && numbers.last() == Some(&2_000),
            "each number once, and rising"
        );
    }

    fn number(pending: &Pending) -> Option<i64> {
        match pending.first()? {
            (_, Place::Memory(batch)) => Some(batch.number),
            (_, Place::Disk(_)) => None,
        }
    }

    #[test]
    fn batches_leave_in_order_and_only_those_in_memory_alone_are_lost() {
        let mut pending = Pending::default();
        let lost: u64 = (1..=20).map(|number| pending.push(batch(number, 1 << 20), 1)).sum();
        assert_eq!(lost, 5, "16 MiB hold 15 of them and what each needs besides");
        assert_eq!(number(&pending), Some(6));
        let (first, _) = pending.first().unwrap();
        assert_eq!(pending.remove(first), 1);
        assert_eq!(pending.remove(first), 0, "it is gone");
        assert_eq!(number(&pending), Some(7));
        assert_eq!(pending.rows(), 14);
    }

    #[test]
    fn what_is_on_the_disk_leaves_the_memory_and_is_not_lost() {
        let directory = std::env::temp_dir().join(format!("hale-pending-{}", std::process::id()));
        let (mut spool, left, _) = crate::spool::Spool::open(&directory, u64::MAX).unwrap();
        assert!(left.is_empty());
        let mut pending = Pending::default();
        let mut lost = 0;
        for number in 1..=40 {
            lost += pending.push(batch(number, 1 << 20), 1);
            while let Some((id, batch)) = pending.unspooled(2) {
                let extent = spool.append(&batch).unwrap();
                assert!(pending.spooled(id, extent));
            }
        }
        assert_eq!((lost, pending.rows()), (0, 40));
        assert!(!pending.is_off_disk());
        assert_eq!(pending.rows_in_memory_alone(), 0);
        assert_eq!(pending.push(batch(41, 1), 1), 0);
        assert_eq!((pending.rows_in_memory_alone(), pending.rows()), (1, 41));
        for expected in 1..=41 {
            let (id, place) = pending.first().unwrap();
            let found = match place {
                Place::Memory(batch) => batch.number,
                Place::Disk(extent) => spool.read(extent).unwrap().number,
            };
            assert_eq!(found, expected);
            pending.remove(id);
        }
        assert!(pending.is_empty() && pending.is_off_disk());
        std::fs::remove_file(directory).unwrap();
    }
}
