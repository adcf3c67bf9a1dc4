//! Rows that are in no batch yet.
//!
//! Filled by whatever happens in the process; emptied every few milliseconds. Always true: it is bounded; a row that has no id
//! of its own gets one that no other process gives.

use super::{Options, Sample, TICKS_PER_SECOND};
use crate::batch::Batch;
use crate::rollup::Rollups;
use crate::rows::{Request, Stored};
use crate::spend::{Calls, SpendRows, SpentRequest, SpentTexts, Sums};
use crate::table::Table;
use crate::value::{Row, Value};

/// Rows that it holds at most.
const MAX: usize = 64 << 10;
/// Bytes that rows hold at most which are put one by one: some are as long as an answer.
const MAX_BYTES: usize = 64 << 20;

pub(super) struct Queue {
    replica: Box<str>,
    writer: Box<str>,
    rows: Vec<(Table, Row)>,
    /// Bytes of the rows that were put one by one.
    bytes: usize,
    rollups: Rollups,
    /// What requests cost, by day and counter, and calls whose rows are not kept one by one.
    sums: Sums,
    spend: SpendRows,
    /// Requests since the last batch that have rows of their own.
    spent: u32,
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
            bytes: 0,
            rollups: Rollups::default(),
            sums: Sums::default(),
            spend: options.spend,
            spent: 0,
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
        let (table, row) = row.row(&id, &self.replica);
        let bytes: usize = row.iter().map(Value::bytes).sum();
        if self.bytes + bytes > MAX_BYTES {
            return false;
        }
        self.bytes += bytes;
        self.rows.push((table, row));
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

    /// Adds what a finished request cost; `texts` are made if it has rows of its own. The number of the batch that will have all of it.
    pub(super) fn put_spent(
        &mut self,
        request: &SpentRequest<'_>,
        texts: impl FnOnce() -> SpentTexts,
    ) -> i64 {
        let is_single = self.spent < self.spend.per_second.div_ceil(TICKS_PER_SECOND)
            && self.rows.len() + request.calls.len() < MAX;
        let calls = if is_single { Calls::InRows } else { Calls::Summed };
        self.sums.count(request, calls);
        if is_single {
            self.spent += 1;
            let texts = texts();
            let (replica, writer, ids) = (&self.replica, &self.writer, &mut self.ids);
            let attempts = request.attempts(&texts, || next_id(writer, ids), replica);
            self.rows.extend(attempts.into_iter().map(|row| (Table::Attempts, row)));
            self.rows.push((Table::SpendLogs, request.log(&texts)));
        }
        self.batches + 1
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
        next_id(&self.writer, &mut self.ids)
    }

    /// The number of the newest batch that has anything: the next one, if there are rows for it.
    pub(super) fn newest(&self) -> i64 {
        let is_empty = self.rows.is_empty() && self.sums.is_empty();
        if is_empty { self.batches } else { self.batches + 1 }
    }

    /// All of it as a batch, if there is any.
    pub(super) fn take(&mut self) -> Option<Batch> {
        (self.taken, self.spent, self.bytes) = (0, 0, 0);
        let mut rows = std::mem::take(&mut self.rows);
        rows.extend(self.rollups.take().into_iter().map(|row| (Table::Rollups, row)));
        let (writer, ids) = (&self.writer, &mut self.ids);
        rows.extend(self.sums.take(|| next_id(writer, ids)));
        if rows.is_empty() {
            return None;
        }
        self.batches += 1;
        Some(Batch::of(&self.writer, self.batches, rows))
    }

    pub(super) fn clear(&mut self) {
        (self.rows, self.bytes) = (Vec::new(), 0);
        drop(self.rollups.take());
        self.sums = Sums::default();
    }
}

/// An id that no other process gives.
fn next_id(writer: &str, ids: &mut u64) -> String {
    *ids += 1;
    format!("{writer}-{ids}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::KeptResponse;

    #[test]
    fn long_rows_are_held_within_their_bytes_until_they_are_taken() {
        let mut queue = Queue {
            replica: "r".into(),
            writer: "w".into(),
            rows: Vec::new(),
            bytes: 0,
            rollups: Rollups::default(),
            sums: Sums::default(),
            spend: SpendRows { per_second: 1 },
            spent: 0,
            ids: 0,
            batches: 0,
            sample: Sample { failures: true, share: 1.0, per_second: 1 },
            due: 0.0,
            taken: 0,
        };
        let response =
            KeptResponse { input: "x".repeat(4 << 20).into(), ..KeptResponse::default() };
        let long = Stored::Response(response);
        let held = (0..64).take_while(|_| queue.put(&long)).count();
        assert_eq!(held, 15, "of 4 MiB each in 64 MiB, and a little more");
        assert!(queue.take().is_some());
        assert!(queue.put(&long));
    }
}
