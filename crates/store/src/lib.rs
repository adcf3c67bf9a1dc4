//! What Hale remembers over a restart: SQLite in a file, or PostgreSQL, by one API.
//!
//! The gateway opens a [`Store`], gives it rows and asks for some of them; `hale db` uses [`Database`] and
//! [`copy`]. Always true: SQL is in this crate only, values are always bound, and nothing that gives rows waits.
//! `docs/store.md` says what is where.

mod address;
mod audit;
mod batch;
pub mod copy;
mod database;
mod error;
mod failure;
mod litellm;
mod migrations;
mod past;
mod pending;
mod postgres;
mod retention;
pub mod rollup;
mod rows;
mod shared_table;
mod spend;
mod spool;
mod sql;
mod sqlite;
mod store;
mod table;
mod tenants;
mod tls;
mod unread;
mod value;
mod watch;

pub use self::address::{Address, Purpose, locate};
pub use self::audit::{Audited, Difference, audit};
pub use self::batch::{Batch, Committed};
pub use self::database::{Database, Means, Threads};
pub use self::error::{Error, Kind};
pub use self::migrations::VERSION;
pub use self::past::{Endings, PastChange, PastRequest, RequestFilter, TrafficRow, Width};
pub use self::retention::Retention;
pub use self::rows::{
    HealthChange, IncidentRow, KeptResponse, OperatorAction, ProbeFilter, ProbeResult, Request,
    Setting, Stored, UsageRow,
};
pub use self::shared_table::{Delivery, Exchanged, Lease, Leased, Scope, SharedTable};
pub use self::spend::{
    ModelDay, PastCall, SessionSum, SpendRows, SpentCall, SpentPeriod, SpentRequest, SpentTexts,
};
pub use self::store::{Figures, Options, Progress, Sample, Status, Store};
pub use self::table::Table;
pub use self::tenants::{
    By, Change, Changed, ColumnType, DayFilter, DaySum, DaysOf, Find, LogFilter, LogOrder, LogSum,
    Once, Record, RowKey, TenantTable, Tokens,
};
pub use self::unread::Unread;
pub use self::value::Value;
pub use self::watch::{Call, Watch};
