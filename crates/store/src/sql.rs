//! Statements of both databases: one text, and values that are bound.
//!
//! Made by what reads and deletes rows; used by [`crate::database`]. Always true: the text is known to the compiler; it
//! has `{hale}` before each name of a table, where PostgreSQL has a schema.

use crate::value::Value;

/// A statement: text without values, with `{hale}` before each name of a table, and the values.
pub(crate) struct Sql {
    pub(crate) text: &'static str,
    pub(crate) values: Vec<Value>,
}

impl Sql {
    /// For SQLite, which has no schemas.
    pub(crate) fn for_sqlite(&self) -> String {
        in_schema(self.text, "").replace('$', "?")
    }

    /// For PostgreSQL.
    pub(crate) fn for_postgres(&self) -> String {
        in_schema(self.text, "hale.")
    }
}

/// The text of a statement whose names have that schema before them.
pub(crate) fn in_schema(sql: &str, schema: &str) -> String {
    sql.replace("{hale}", schema)
}
