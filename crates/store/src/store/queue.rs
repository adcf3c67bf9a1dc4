//! Rows that are in no batch yet.
//!
//! Filled by whatever happens in the process; emptied every few milliseconds. Always true: it is bounded; a row that has no id
//! of its own gets one that no other process gives.

use super::{Options, Sample, TICKS_PER_SECOND};
use crate::batch::Batch;
use crate::rollup::Rollups;
use crate::rows::{Request, Stored};
use crate::table::Table;
use crate::value::Row;

/// Rows that it holds at most.
const MAX: usize = 64 << 10;

pub(super) struct Queue {
    replica: Box<str>,
    writer: Box<str>,
    rows: Vec<(Table, Row)>,
    rollups: Rollups,
    /// Rows so far that needed an id.
    ids: u64,
    /// Batches so far.
    batches: i64,
    sample: Sample,
    /// What of the sample is due.
    due: f64,
    /// How many of it were taken since the last batch.
    taken: u32,
}

impl Queue {
    pub(super) fn new(options: &Options) -> Queue {
        Queue {
            replica: options.replica.clone(),
            writer: options.writer.clone(),
            rows: Vec::new(),
            rollups: Rollups::default(),
            ids: 0,
            batches: 0,
            sample: options.sample,
            due: 0.0,
            taken: 0,
        }
    }

    /// False if it is full.
    pub(super) fn put(&mut self, row: &Stored<'_>) -> bool {
        if self.rows.len() >= MAX {
            return false;
        }
        let id = self.id();
        self.rows.push(row.row(&id, &self.replica));
        true
    }

    /// How many found no place.
    pub(super) fn put_requests<'r>(&mut self, requests: impl Iterator<Item = Request<'r>>) -> u64 {
        let mut lost = 0;
        for request in requests {
            self.rollups.count(&request);
            let is_wanted =
                if request.cause.is_none() { self.is_in_sample() } else { self.sample.failures };
            if !is_wanted {
                continue;
            }
            if self.rows.len() >= MAX {
                lost += 1;
                continue;
            }
            let id = self.id();
            self.rows.push((Table::Requests, request.row(&id, &self.replica)));
        }
        lost
    }

    /// Evenly, rather than at random.
    fn is_in_sample(&mut self) -> bool {
        self.due += self.sample.share;
        let is_due = self.due >= 1.0;
        if is_due {
            self.due -= 1.0;
            self.taken = self.taken.saturating_add(1);
        }
        is_due && self.taken <= self.sample.per_second.div_ceil(TICKS_PER_SECOND)
    }

    fn id(&mut self) -> String {
        self.ids += 1;
        format!("{}-{}", self.writer, self.ids)
    }

    /// All of it as a batch, if there is any.
    pub(super) fn take(&mut self) -> Option<Batch> {
        self.taken = 0;
        let mut rows = std::mem::take(&mut self.rows);
        rows.extend(self.rollups.take().into_iter().map(|row| (Table::Rollups, row)));
        if rows.is_empty() {
            return None;
        }
        self.batches += 1;
        Some(Batch::of(&self.writer, self.batches, rows))
    }

    pub(super) fn clear(&mut self) {
        self.rows = Vec::new();
        drop(self.rollups.take());
    }
}
