//! Which rows about keys to read, and what to change.
//!
//! Made by what serves keys and by the admin API. Always true: which row is said by texts of its key columns; times are milliseconds
//! since 1970, money is USD.

use serde_json::Value as Json;

use super::table::TenantTable;

/// A row: values by the names of columns. Times are milliseconds since 1970.
pub type Record = serde_json::Map<String, Json>;

/// Which rows to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Find {
    /// Of this table.
    pub table: TenantTable,
    /// Without the values of these columns.
    pub without: &'static [&'static str],
    /// Whose columns have one of these texts, each of them.
    pub with: Vec<(&'static str, Vec<Box<str>>)>,
    /// Whose column has this text in whatever letters.
    pub in_any_case: Option<(&'static str, Box<str>)>,
    /// Sorted by this column: the newest first if it is a time, the largest first if it is an amount.
    pub sorted_by: Option<&'static str>,
    /// At most so many.
    pub limit: u32,
    /// Without so many before them.
    pub skip: u32,
}

impl Find {
    /// Rows of a table, at most 1,000.
    #[must_use]
    pub fn all(table: TenantTable) -> Find {
        Find {
            table,
            without: &[],
            with: Vec::new(),
            in_any_case: None,
            sorted_by: None,
            limit: 1_000,
            skip: 0,
        }
    }

    /// The rows of a table whose column has one of these texts.
    #[must_use]
    pub fn with(table: TenantTable, column: &'static str, texts: Vec<Box<str>>) -> Find {
        Find { with: vec![(column, texts)], ..Find::all(table) }
    }
}

/// Which hashes of keys to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tokens {
    /// Those that sort after this one.
    After(Box<str>),
    /// Those of keys that were made at that moment or later, milliseconds since 1970.
    MadeSince(i64),
}

/// The texts of key columns that say which row.
pub type RowKey = Vec<(&'static str, Box<str>)>;

/// A change of rows.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Adds a row; one with its key must not be there.
    Insert {
        /// Where.
        table: TenantTable,
        /// Its columns.
        row: Record,
    },
    /// Sets columns of a row.
    Update {
        /// Where.
        table: TenantTable,
        /// Which row.
        key: RowKey,
        /// The columns.
        row: Record,
    },
    /// Deletes rows.
    Delete {
        /// Where.
        table: TenantTable,
        /// Which.
        key: RowKey,
    },
    /// A budget of a row began anew: what was spent before is taken off, unless another process did so.
    Reset {
        /// Where.
        table: TenantTable,
        /// Which row.
        key: RowKey,
        /// USD that were spent.
        usd: f64,
        /// The border that was reached, and the next one, milliseconds since 1970.
        borders: (i64, i64),
    },
    /// All rows of a table have spent nothing, from here on.
    ResetAll {
        /// Where.
        table: TenantTable,
    },
    /// A budget that several rows name began anew, unless another process did so: they have spent nothing.
    ResetShared {
        /// The id of the budget.
        budget: Box<str>,
        /// The border that was reached, and the next one, milliseconds since 1970.
        borders: (i64, i64),
    },
}

/// What became of changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    /// All of them were made; how many rows each changed.
    Done(Vec<u64>),
    /// Nothing was changed: the row of this insert, by its place, is there already.
    Exists(usize),
    /// Nothing was changed: the changes with this number were made before.
    Before,
}

/// Whose changes they are, for those that must be made once: a name that no other process has, and a number that rises.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Once {
    /// The name.
    pub writer: Box<str>,
    /// The number.
    pub number: i64,
}
