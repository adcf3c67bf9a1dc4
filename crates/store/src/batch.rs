//! Rows that are written together, or not at all.
//!
//! Made by [`crate::store`], kept by [`crate::spool`], written by both databases. Always true: batches of one
//! process have rising numbers and are written in their order, so that one number tells which were written.

use serde::{Deserialize, Serialize};

use crate::spend::{self, Calls, SpentRequest, SpentTexts, Sums};
use crate::table::{OnConflict, Table, Type};
use crate::value::{Row, Value};

/// Rows that are written together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Batch {
    /// The process that made it.
    pub writer: Box<str>,
    /// Its number; the first of a process is 1.
    pub number: i64,
    /// The rows of each table.
    pub rows: Vec<(Table, Vec<Row>)>,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Committed {
    /// It is written.
    Now,
    /// It was written before.
    Before,
}

/// Adds a row to the one with the same key, if there is one.
pub(crate) fn add_row(table: Table, rows: &mut Vec<Row>, row: Row) {
    let keys = table.key_columns();
    let same = |known: &&mut Row| known.iter().take(keys).eq(row.iter().take(keys));
    let Some(known) = rows.iter_mut().rev().find(same) else {
        rows.push(row);
        return;
    };
    for (at, (to, by)) in known.iter_mut().zip(row).enumerate().skip(keys) {
        let kind = table.columns().get(at).map(|(_, kind)| *kind);
        *to = match (kind, &*to, by) {
            (Some(Type::Integer), Value::Integer(to), Value::Integer(by)) => {
                to.saturating_add(by).into()
            }
            (Some(Type::Real), Value::Real(to), Value::Real(by)) => Value::Real(to + by),
            (Some(Type::Time), _, by) => by,
            (_, to, _) => to.clone(),
        };
    }
}

/// How writers begin that write one batch, once for ever.
pub(crate) const ONCE: &str = "once-";

impl Batch {
    /// Memory that it takes, bytes, about.
    pub(crate) fn bytes(&self) -> usize {
        let rows = self.rows.iter().flat_map(|(_, rows)| rows);
        rows.flatten().map(crate::value::Value::bytes).sum()
    }

    /// A batch of what one request cost, of a process that has no [`crate::Store`].
    #[must_use]
    pub fn of_spent(
        (writer, number): (&str, i64),
        request: &SpentRequest<'_>,
        texts: &SpentTexts,
    ) -> Batch {
        let mut sums = Sums::default();
        sums.count(request, Calls::InRows);
        let mut ids = 0_u64;
        let mut id = || {
            ids += 1;
            format!("{writer}-{number}-{ids}")
        };
        let attempts = request.attempts(texts, &mut id, writer);
        let mut rows: Vec<(Table, Row)> =
            attempts.into_iter().map(|row| (Table::Attempts, row)).collect();
        rows.push((Table::SpendLogs, request.log(texts)));
        rows.extend(sums.take(id));
        Batch::of(writer, number, rows)
    }

    /// The same without rows of single requests, and how many these were. What requests cost stays, as sums.
    pub(crate) fn thinned(&self) -> (Batch, u64) {
        let mut thin: Vec<(Table, Vec<Row>)> = Vec::new();
        let mut summed = Vec::new();
        let mut left_out = 0;
        for (table, rows) in &self.rows {
            match table {
                Table::Attempts => {
                    left_out += rows.len() as u64;
                    rows.iter().for_each(|row| {
                        add_row(Table::AttemptSums, &mut summed, spend::summed(row))
                    });
                }
                Table::SpendLogs | Table::Requests => left_out += rows.len() as u64,
                _ => thin.push((*table, rows.clone())),
            }
        }
        if !summed.is_empty() {
            thin.push((Table::AttemptSums, summed));
        }
        let thin =
            Batch { writer: self.writer.clone(), number: self.number, rows: Vec::new() }.with(thin);
        (thin, left_out)
    }

    /// This batch and a later one as one, with the number of the later one. No database may have seen either.
    pub(crate) fn joined(&self, later: &Batch) -> Batch {
        let rows = self.rows.iter().chain(&later.rows).cloned().collect();
        Batch { writer: later.writer.clone(), number: later.number, rows: Vec::new() }.with(rows)
    }

    /// With these rows, those with one key as one, as the database would have them.
    fn with(mut self, all: Vec<(Table, Vec<Row>)>) -> Batch {
        for (table, rows) in all {
            let at = self.rows.iter().position(|(known, _)| *known == table).unwrap_or_else(|| {
                self.rows.push((table, Vec::new()));
                self.rows.len() - 1
            });
            let Some((_, of_table)) = self.rows.get_mut(at) else { continue };
            let keys = table.key_columns();
            for row in rows {
                match table.on_conflict() {
                    OnConflict::Keep => of_table.push(row),
                    OnConflict::Add | OnConflict::Raise => add_row(table, of_table, row),
                    OnConflict::Replace => {
                        of_table.retain(|known| !known.iter().take(keys).eq(row.iter().take(keys)));
                        of_table.push(row);
                    }
                }
            }
        }
        self.rows.sort_by_key(|(table, _)| *table);
        self
    }

    /// How many rows it has.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.rows.iter().map(|(_, rows)| rows.len() as u64).sum()
    }

    /// Whether it has no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sorts `rows` by table. Of several rows that replace each other only the last is kept, because a database
    /// does not change a row twice in one statement.
    pub(crate) fn of(writer: &str, number: i64, rows: Vec<(Table, Row)>) -> Batch {
        let mut sorted: Vec<(Table, Vec<Row>)> = Vec::new();
        for (table, row) in rows {
            let index = sorted.iter().position(|(known, _)| *known == table).unwrap_or_else(|| {
                sorted.push((table, Vec::new()));
                sorted.len() - 1
            });
            let Some((_, of_table)) = sorted.get_mut(index) else { continue };
            if table.on_conflict() == OnConflict::Replace {
                let key =
                    |row: &Row| row.iter().take(table.key_columns()).cloned().collect::<Row>();
                of_table.retain(|known| key(known) != key(&row));
            }
            of_table.push(row);
        }
        sorted.sort_by_key(|(table, _)| *table);
        Batch { writer: writer.into(), number, rows: sorted }
    }
}
