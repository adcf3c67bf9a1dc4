//! The store in a file of SQLite.
//!
//! Opened by [`crate::database`]. Always true: calls run on threads that may wait, never more than
//! [`Threads::MAX`] of them, whatever hangs; a file that is no store of ours is never written to; while it serves, a lock
//! file beside it is held.

pub(crate) mod open;

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ToSql, TransactionBehavior, params_from_iter};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use self::open::Open;
use crate::address::Purpose;
use crate::batch::{Batch, Committed};
use crate::error::{Error, Kind};
use crate::failure::of_sqlite;
use crate::table::{OnConflict, Table};
use crate::tenants::{Changed, Once, Run, Step};
use crate::value::{Row, Value};

/// Raises the number of a process.
const RAISE: &str = "insert into writers as kept (writer, number, at) values (?1, ?2, ?3) on conflict (writer) \
    do update set number = excluded.number, at = excluded.at where kept.number < excluded.number";

/// The threads on which calls of SQLite wait.
#[derive(Clone, Debug)]
pub struct Threads {
    runtime: Handle,
    permits: Arc<Semaphore>,
}

impl Threads {
    /// Calls that may wait at once: one that writes, one that reads, and one that hangs.
    const MAX: usize = 3;

    /// Threads of `runtime`.
    #[must_use]
    pub fn of(runtime: Handle) -> Threads {
        Threads { runtime, permits: Arc::new(Semaphore::new(Threads::MAX)) }
    }

    /// Runs `job`. What is not waited for any more keeps its place until it ends.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        place: &Path,
        job: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let failed = |why: &str| Error::new(Kind::Other, &place.display().to_string(), why);
        let permit = self.permits.clone().acquire_owned().await;
        let permit = permit.map_err(|_| failed("the process stops"))?;
        let job = move || {
            let _until_it_ends = permit;
            job()
        };
        let ended = self.runtime.spawn_blocking(job).await;
        ended.unwrap_or_else(|_| Err(failed("a call of the database failed in Hale's own code")))
    }
}

/// An open file.
#[derive(Clone)]
pub(crate) struct Sqlite {
    inner: Arc<Open>,
    threads: Threads,
}

impl Sqlite {
    /// Opens the file at `path`, and makes or updates its tables if `purpose` is to write.
    pub(crate) async fn open(
        path: &Path,
        purpose: Purpose,
        now: i64,
        threads: &Threads,
    ) -> Result<Sqlite, Error> {
        let own = path.to_owned();
        let inner = threads.run(path, move || open::open(own, purpose, now)).await?;
        Ok(Sqlite { inner: Arc::new(inner), threads: threads.clone() })
    }

    /// Writes `batch`, unless it was written before.
    pub(crate) async fn commit(&self, batch: &Arc<Batch>, now: i64) -> Result<Committed, Error> {
        let batch = batch.clone();
        self.write(move |connection| {
            let change = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let raised =
                change.prepare_cached(RAISE)?.execute((&*batch.writer, batch.number, now))?;
            if raised == 0 {
                return Ok(Committed::Before);
            }
            for (table, rows) in &batch.rows {
                mark(&change, *table, rows)?;
            }
            for (table, rows) in &batch.rows {
                insert(&change, *table, rows, table.on_conflict())?;
            }
            change.commit()?;
            Ok(Committed::Now)
        })
        .await
    }

    /// Adds rows; those that are there stay. Returns how many were added.
    pub(crate) async fn add(&self, table: Table, rows: Vec<Row>) -> Result<u64, Error> {
        self.write(move |connection| {
            let change = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let added = insert(&change, table, &rows, OnConflict::Keep)?;
            change.commit()?;
            Ok(added)
        })
        .await
    }

    /// Runs one statement; how many rows it changed.
    pub(crate) async fn execute(&self, sql: String, values: Vec<Value>) -> Result<u64, Error> {
        self.write(move |connection| {
            let mut statement = connection.prepare(&sql)?;
            Ok(statement.execute(params_from_iter(values))? as u64)
        })
        .await
    }

    /// Runs statements in one transaction, once for a number of `once`.
    pub(crate) async fn change(
        &self,
        steps: Vec<Step>,
        once: Option<Once>,
        now: i64,
    ) -> Result<Changed, Error> {
        self.write(move |connection| {
            let change = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            if let Some(once) = once {
                let raised =
                    change.prepare_cached(RAISE)?.execute((&*once.writer, once.number, now))?;
                if raised == 0 {
                    return Ok(Changed::Before);
                }
            }
            let mut run = Run::new(steps);
            while let Some(step) = run.next() {
                let mut statement = change.prepare_cached(&step.sql)?;
                let rows = statement.execute(params_from_iter(&step.values))? as u64;
                if let Some(exists) = run.changed(rows) {
                    return Ok(exists);
                }
            }
            change.commit()?;
            Ok(run.done())
        })
        .await
    }

    /// The rows of a query.
    pub(crate) async fn read(&self, sql: String, values: Vec<Value>) -> Result<Vec<Row>, Error> {
        let reader = self.inner.reader.clone();
        self.call(reader, move |connection| rows_of(connection, &sql, values)).await
    }

    /// Gives the space of deleted rows back to the disk.
    pub(crate) async fn shrink(&self) -> Result<(), Error> {
        self.write(|connection| {
            let mut vacuum = connection.prepare("pragma incremental_vacuum")?;
            let mut steps = vacuum.query([])?;
            while steps.next()?.is_some() {}
            Ok(())
        })
        .await
    }

    /// Copies the whole file to `to`, which does not exist.
    pub(crate) async fn backup(&self, to: &Path) -> Result<(), Error> {
        let failed = |error: std::io::Error| {
            Error::new(Kind::Other, &to.display().to_string(), error.to_string())
        };
        // Names of models and messages of providers are nothing for others on the machine.
        let mut options = File::options();
        let options = options.write(true).create_new(true);
        options.mode(0o600).open(to).map_err(failed)?;
        let path = to.display().to_string();
        let copied =
            self.write(move |connection| connection.execute("vacuum into ?1", [path]).map(drop));
        let copied = copied.await;
        if copied.is_err() {
            drop(fs::remove_file(to));
        }
        copied
    }

    /// Where it is, for messages.
    pub(crate) fn place(&self) -> Box<str> {
        self.inner.path.display().to_string().into()
    }

    /// Bytes that its rows take on the disk.
    pub(crate) async fn bytes(&self) -> Result<u64, Error> {
        let sql = "select (page_count - freelist_count) * page_size from pragma_page_count, \
                   pragma_freelist_count, pragma_page_size";
        let rows = self.read(sql.to_owned(), Vec::new()).await?;
        let bytes = rows.first().and_then(|row| row.first()).and_then(Value::integer);
        Ok(bytes.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or_default())
    }

    /// Whether it is still the file at its path, and can be read.
    pub(crate) async fn probe(&self) -> Result<(), Error> {
        let inner = self.inner.clone();
        let reader = inner.reader.clone();
        self.call(reader, move |connection| {
            rows_of(connection, "select count(*) from hale_schema", Vec::new())
        })
        .await?;
        match fs::metadata(&inner.path) {
            Ok(found) if (found.dev(), found.ino()) == inner.identity => Ok(()),
            Ok(_) | Err(_) => {
                let place = inner.path.display().to_string();
                Err(Error::new(Kind::Lost, &place, "the file was removed or replaced"))
            }
        }
    }

    /// A row that this file cannot have.
    pub(crate) fn error(&self, why: &str) -> Error {
        Error::new(Kind::BadRow, &self.inner.path.display().to_string(), why)
    }

    async fn write<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        self.call(self.inner.writer.clone(), job).await
    }

    async fn call<T: Send + 'static>(
        &self,
        connection: Arc<Mutex<Connection>>,
        job: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        let place = self.inner.path.display().to_string();
        let job = move || job(&mut connection.lock()).map_err(|error| of_sqlite(&place, &error));
        self.threads.run(&self.inner.path, job).await
    }
}

/// Makes the rows of counters that have none yet, and notes what counters were before the first rows of the ledger that raise them.
fn mark(connection: &Connection, table: Table, rows: &[Row]) -> rusqlite::Result<()> {
    for sql in [table.enrol_one(), table.mark_one()].into_iter().flatten() {
        let mut statement = connection.prepare_cached(&sql)?;
        for row in rows {
            statement.execute(params_from_iter(row.iter().take(table.key_columns())))?;
        }
    }
    Ok(())
}

fn insert(
    connection: &Connection,
    table: Table,
    rows: &[Row],
    conflict: OnConflict,
) -> rusqlite::Result<u64> {
    let mut statement = connection.prepare_cached(&table.insert_one(conflict))?;
    let mut added = 0;
    for row in rows {
        added += statement.execute(params_from_iter(row))? as u64;
    }
    Ok(added)
}

fn rows_of(connection: &Connection, sql: &str, values: Vec<Value>) -> rusqlite::Result<Vec<Row>> {
    let mut statement = connection.prepare(sql)?;
    let columns = statement.column_count();
    let mut found = statement.query(params_from_iter(values))?;
    let mut rows = Vec::new();
    while let Some(row) = found.next()? {
        let value = |at| {
            Ok(match row.get_ref(at)? {
                ValueRef::Null => Value::Null,
                ValueRef::Integer(number) => Value::Integer(number),
                ValueRef::Real(number) => Value::Real(number),
                ValueRef::Text(text) | ValueRef::Blob(text) => {
                    Value::from(&*String::from_utf8_lossy(text))
                }
            })
        };
        rows.push((0..columns).map(value).collect::<rusqlite::Result<Row>>()?);
    }
    Ok(rows)
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Value::Null => ValueRef::Null,
            Value::Integer(number) => ValueRef::Integer(*number),
            Value::Real(number) => ValueRef::Real(*number),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
        }))
    }
}
