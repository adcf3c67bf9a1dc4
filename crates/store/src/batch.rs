//! Rows that are written together, or not at all.
//!
//! Made by [`crate::store`], kept by [`crate::spool`], written by both databases. Always true: batches of one
//! process have rising numbers and are written in their order, so that one number tells which were written.

use serde::{Deserialize, Serialize};

use crate::table::{OnConflict, Table};
use crate::value::Row;

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

impl Batch {
    /// Memory that it takes, bytes, about.
    pub(crate) fn bytes(&self) -> usize {
        let rows = self.rows.iter().flat_map(|(_, rows)| rows);
        rows.flatten().map(crate::value::Value::bytes).sum()
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
