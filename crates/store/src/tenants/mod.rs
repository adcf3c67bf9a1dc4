//! Rows about keys: how they are found and changed, in SQLite and in PostgreSQL.
//!
//! Made by what serves keys and by the admin API, run by [`crate::database`]. Always true: names of tables and columns come from
//! [`table`], values are bound; on a server the tables are LiteLLM's own where it made them, and only rows of them change.

mod change;
mod marks;
mod record;
mod report;
mod step;
mod table;

pub use self::change::{Change, Changed, Find, Once, Record, RowKey, Tokens};
pub(crate) use self::record::{Columns, of_json, of_values};
pub use self::report::{By, DayFilter, DaySum, DaysOf, LogFilter, LogOrder, LogSum};
pub(crate) use self::step::{Place, Run, Step, steps};
pub use self::table::{ColumnType, TenantTable};
