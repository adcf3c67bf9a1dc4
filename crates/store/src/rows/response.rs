//! A response that the gateway keeps because its provider does not.
//!
//! Part of [`super`]. Always true: what one request added is one row, and names the row before it; a row that was deleted has no
//! content, so that what goes on from it is told from what never was.

use crate::sql::Sql;
use crate::value::{Row, Value};

/// A response that is kept. Times are milliseconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeptResponse {
    /// Its id, as the gateway knows it.
    pub id: Box<str>,
    /// When it was made.
    pub at: u64,
    /// When it is forgotten.
    pub expires_at: u64,
    /// The one that it goes on from.
    pub previous: Option<Box<str>>,
    /// What the request added: JSON text; empty if it was deleted.
    pub input: Box<str>,
    /// The response, JSON text; empty if it was deleted.
    pub response: Box<str>,
    /// When this was written. Of two, the later one holds.
    pub updated_at: u64,
}

impl KeptResponse {
    pub(super) fn row(&self) -> Row {
        vec![
            (&*self.id).into(),
            self.at.into(),
            self.expires_at.into(),
            self.previous.as_deref().into(),
            (&*self.input).into(),
            (&*self.response).into(),
            self.updated_at.into(),
        ]
    }

    /// The response with that id and those that it goes on from, the newest first: 16 at most, and no more once they have
    /// `most` bytes.
    pub(crate) fn back_from(id: &str, now: u64, most: usize) -> Sql {
        let text = "with recursive chain(id, at, expires_at, previous, input, response, updated_at, depth, bytes) as ( \
                    select id, at, expires_at, previous, input, response, updated_at, 1, \
                    cast(octet_length(input) + octet_length(response) as bigint) from {hale}responses \
                    where id = $1 and expires_at > $2 \
                    union all select r.id, r.at, r.expires_at, r.previous, r.input, r.response, r.updated_at, c.depth + 1, \
                    c.bytes + octet_length(r.input) + octet_length(r.response) \
                    from {hale}responses r join chain c on r.id = c.previous where c.depth < 16 and c.bytes < $3) \
                    select id, at, expires_at, previous, input, response, updated_at from chain order by depth";
        Sql {
            text,
            values: vec![id.into(), now.into(), most.try_into().unwrap_or(u64::MAX).into()],
        }
    }

    /// From a row of its table.
    pub(crate) fn of(row: &Row) -> Option<KeptResponse> {
        let text = |at: usize| row.get(at).and_then(Value::text).map(Box::from);
        let count = |at: usize| {
            row.get(at).and_then(Value::integer).and_then(|count| u64::try_from(count).ok())
        };
        Some(KeptResponse {
            id: text(0)?,
            at: count(1)?,
            expires_at: count(2)?,
            previous: text(3),
            input: text(4)?,
            response: text(5)?,
            updated_at: count(6)?,
        })
    }
}
