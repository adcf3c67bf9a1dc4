//! One API for both databases.
//!
//! Used by the writer of a process ([`crate::store`]) and by the commands. Always true: both do the same with the same
//! rows; a database that returned an error, other than for a row, is dropped and opened again.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::RootCertStore;

use crate::address::{Address, Purpose};
use crate::batch::{Batch, Committed};
use crate::error::{self, Error};
use crate::postgres::Postgres;
use crate::spend::{CALLS, CORRECTIONS, ModelDay, PastCall, SINGLE, SUMMED, SUMMED_CALLS, day_of};
use crate::sql::Sql;
use crate::sqlite::Sqlite;
pub use crate::sqlite::Threads;
use crate::table::Table;
use crate::tenants::{
    Change, Changed, DayFilter, DaySum, Find, LogFilter, LogSum, Once, Place, Record, TenantTable,
    Tokens, of_json, of_values, steps,
};
use crate::value::{Row, Value};

/// What opening a database needs.
#[derive(Clone, Debug)]
pub struct Means {
    /// Where SQLite waits.
    pub threads: Threads,
    /// The roots that a server's certificate is verified against.
    pub roots: fn() -> Arc<RootCertStore>,
    /// Milliseconds since 1970.
    pub now: fn() -> u64,
}

impl Means {
    pub(crate) fn unix_ms(&self) -> i64 {
        i64::try_from((self.now)()).unwrap_or(i64::MAX)
    }
}

/// Whose rows of finished requests there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SpendLogs {
    /// Hale's, in a file.
    InAFile,
    /// Hale's, on a server.
    Hale,
    /// LiteLLM's own.
    Others,
}

/// An open database.
#[derive(Clone)]
pub struct Database(Kind);

#[derive(Clone)]
enum Kind {
    Sqlite(Sqlite),
    Postgres(Postgres),
}

impl Database {
    /// Opens the database at `address`; makes or updates its tables unless it is only looked at.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub async fn open(
        address: &Address,
        purpose: Purpose,
        means: &Means,
    ) -> Result<Database, Error> {
        let now = means.unix_ms();
        Ok(Database(match address {
            Address::File(path) => {
                Kind::Sqlite(Sqlite::open(path, purpose, now, &means.threads).await?)
            }
            Address::Server(server) => {
                Kind::Postgres(Postgres::open(server, purpose, now, &(means.roots)()).await?)
            }
        }))
    }

    /// Writes `batch`, all of it or nothing, unless it was written before. `now` is in milliseconds since 1970.
    ///
    /// # Errors
    /// Why it is not known to be written.
    pub async fn commit(&self, batch: &Arc<Batch>, now: i64) -> Result<Committed, Error> {
        match &self.0 {
            Kind::Sqlite(sqlite) => sqlite.commit(batch, now).await,
            Kind::Postgres(postgres) => postgres.commit(batch, now).await,
        }
    }

    /// Adds rows; those whose key is there stay. Returns how many were added.
    ///
    /// # Errors
    /// Why they were not.
    pub async fn add(&self, table: Table, rows: Vec<Row>) -> Result<u64, Error> {
        match &self.0 {
            Kind::Sqlite(sqlite) => sqlite.add(table, rows).await,
            Kind::Postgres(postgres) => postgres.add(table, &rows).await,
        }
    }

    /// Whether it works now.
    ///
    /// # Errors
    /// Why it does not.
    pub async fn probe(&self) -> Result<(), Error> {
        match &self.0 {
            Kind::Sqlite(sqlite) => sqlite.probe().await,
            Kind::Postgres(postgres) => postgres.probe().await,
        }
    }

    /// Bytes that it takes on the disk.
    ///
    /// # Errors
    /// Why that is not known.
    pub async fn bytes(&self) -> Result<u64, Error> {
        match &self.0 {
            Kind::Sqlite(sqlite) => sqlite.bytes().await,
            Kind::Postgres(postgres) => postgres.bytes().await,
        }
    }

    /// Has a server give up what it is doing for this process, within a second. A file has no other side.
    pub(crate) async fn cancel(&self) {
        match &self.0 {
            Kind::Sqlite(_) => {}
            Kind::Postgres(postgres) => postgres.cancel().await,
        }
    }

    /// Where it is, for messages.
    pub(crate) fn place(&self) -> Box<str> {
        match &self.0 {
            Kind::Sqlite(sqlite) => sqlite.place(),
            Kind::Postgres(postgres) => postgres.place(),
        }
    }

    /// The rows of a query of Hale's own tables, `{hale}`, and of those that LiteLLM has too, `{theirs}`.
    pub(crate) async fn read_spend(
        &self,
        sql: String,
        values: Vec<Value>,
    ) -> Result<Vec<Row>, Error> {
        match &self.0 {
            Kind::Sqlite(sqlite) => {
                let sql = sql.replace("{hale}", "").replace("{theirs}", "").replace('$', "?");
                sqlite.read(sql, values).await
            }
            Kind::Postgres(postgres) => {
                let schema = match postgres.tenants().await? {
                    Place::Server { schema, .. } => format!("{schema}."),
                    Place::File => String::new(),
                };
                let sql = sql.replace("{hale}", "hale.").replace("{theirs}", &schema);
                postgres.read(&sql, &values).await
            }
        }
    }

    /// Calls of the ledger whose requests arrived within `(from, before)`, milliseconds since 1970, behind the one with the id `after`.
    ///
    /// # Errors
    /// Why they cannot be read.
    pub async fn past_calls(
        &self,
        (from, before): (i64, i64),
        after: &str,
        limit: u32,
    ) -> Result<Vec<PastCall>, Error> {
        let values = vec![from.into(), before.into(), after.into(), u64::from(limit).into()];
        let rows = self.read(Sql { text: CALLS, values }).await?;
        Ok(rows.iter().map(PastCall::of).collect())
    }

    /// The corrections that were made, by their ids, 10^-9 USD.
    ///
    /// # Errors
    /// Why they cannot be read.
    pub async fn corrections(&self) -> Result<HashMap<Box<str>, i64>, Error> {
        let rows = self.read(Sql { text: CORRECTIONS, values: Vec::new() }).await?;
        let of = |row: &Row| Some((row.first()?.text()?.into(), row.get(1)?.integer()?));
        Ok(rows.iter().filter_map(of).collect())
    }

    /// How many billed calls of the days from `first` to `last` are kept as sums.
    ///
    /// # Errors
    /// Why that cannot be read.
    pub async fn summed_calls(&self, first: &str, last: &str) -> Result<i64, Error> {
        let values = vec![first.into(), last.into()];
        let rows = self.read(Sql { text: SUMMED_CALLS, values }).await?;
        Ok(rows.first().and_then(|row| row.first()?.integer()).unwrap_or(0))
    }

    /// What was spent on the days from `first` to `last`, by provider and model.
    ///
    /// # Errors
    /// Why that cannot be read.
    pub async fn model_days(&self, first: &str, last: &str) -> Result<Vec<ModelDay>, Error> {
        let start = |day: &str| {
            let date = day.parse::<jiff::civil::Date>().ok()?;
            Some(date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_millisecond())
        };
        let (from, to) = (start(first).unwrap_or(0), start(last).unwrap_or(0) + 86_400_000);
        let behind = day_of(u64::try_from(to).unwrap_or(0));
        let single = self.read(Sql { text: SINGLE, values: vec![from.into(), to.into()] }).await?;
        let days = vec![first.into(), Value::from(&*behind)];
        let summed = self.read(Sql { text: SUMMED, values: days }).await?;
        Ok(single.iter().chain(&summed).map(ModelDay::of).collect())
    }

    /// Whether a table about spend is there and has that column.
    pub(crate) async fn has_spend_column(&self, table: Table, column: &str) -> Result<bool, Error> {
        match &self.0 {
            Kind::Sqlite(_) => Ok(true),
            Kind::Postgres(postgres) => match postgres.tenants().await? {
                Place::Server { columns, .. } => Ok(columns.has_column(table.name(), column)),
                Place::File => Ok(true),
            },
        }
    }

    /// The tables of LiteLLM with their columns, where LiteLLM made them.
    pub(crate) async fn their_tables(&self) -> Result<Vec<(Box<str>, Vec<Box<str>>)>, Error> {
        let Kind::Postgres(postgres) = &self.0 else { return Ok(Vec::new()) };
        match postgres.tenants().await? {
            Place::Server { schema, columns } if schema != "\"hale\"" => Ok(columns.all()),
            Place::Server { .. } | Place::File => Ok(Vec::new()),
        }
    }

    /// Whose rows of finished requests there are.
    pub(crate) async fn spend_logs(&self) -> Result<SpendLogs, Error> {
        match &self.0 {
            Kind::Sqlite(_) => Ok(SpendLogs::InAFile),
            Kind::Postgres(postgres) => match postgres.tenants().await? {
                Place::Server { schema, .. } if schema == "\"hale\"" => Ok(SpendLogs::Hale),
                Place::Server { .. } | Place::File => Ok(SpendLogs::Others),
            },
        }
    }

    /// The file, if it is one.
    pub(crate) fn file(&self) -> Option<&Sqlite> {
        match &self.0 {
            Kind::Sqlite(sqlite) => Some(sqlite),
            Kind::Postgres(_) => None,
        }
    }

    pub(crate) async fn read(&self, sql: Sql) -> Result<Vec<Row>, Error> {
        match &self.0 {
            Kind::Sqlite(sqlite) => sqlite.read(sql.for_sqlite(), sql.values).await,
            Kind::Postgres(postgres) => postgres.read(&sql.for_postgres(), &sql.values).await,
        }
    }

    pub(crate) async fn execute(&self, sql: Sql) -> Result<u64, Error> {
        match &self.0 {
            Kind::Sqlite(sqlite) => sqlite.execute(sql.for_sqlite(), sql.values).await,
            Kind::Postgres(postgres) => postgres.execute(&sql.for_postgres(), &sql.values).await,
        }
    }

    /// The rows about keys that are wanted.
    ///
    /// # Errors
    /// Why they cannot be read.
    pub async fn find(&self, find: &Find) -> Result<Vec<Record>, Error> {
        match &self.0 {
            Kind::Sqlite(sqlite) => {
                let Some((sql, values)) = Place::File.query(find) else { return Ok(Vec::new()) };
                let rows = sqlite.read(sql, values).await?;
                Ok(rows.into_iter().map(|row| of_values(find.table, row)).collect())
            }
            Kind::Postgres(postgres) => {
                let query = postgres.tenants().await?.query(find);
                let Some((sql, values)) = query else { return Ok(Vec::new()) };
                let rows = postgres.read(&sql, &values).await?;
                let texts = rows.iter().filter_map(|row| row.first()?.text());
                Ok(texts.filter_map(|text| of_json(find.table, text)).collect())
            }
        }
    }

    /// Sums of days.
    ///
    /// # Errors
    /// Why they cannot be read.
    pub async fn days(&self, filter: &DayFilter) -> Result<Vec<DaySum>, Error> {
        let rows = match &self.0 {
            Kind::Sqlite(sqlite) => match Place::File.days(filter) {
                Some((sql, values)) => sqlite.read(sql, values).await?,
                None => Vec::new(),
            },
            Kind::Postgres(postgres) => match postgres.tenants().await?.days(filter) {
                Some((sql, values)) => postgres.read(&sql, &values).await?,
                None => Vec::new(),
            },
        };
        Ok(rows.iter().map(|row| DaySum::of(row, filter.by.len())).collect())
    }

    /// Finished requests, and how many there are without the limit.
    ///
    /// # Errors
    /// Why they cannot be read.
    pub async fn logs(&self, filter: &LogFilter) -> Result<(Vec<Record>, u64), Error> {
        let table = TenantTable::SpendLogs;
        let (rows, count) = match &self.0 {
            Kind::Sqlite(sqlite) => {
                let Some([rows, count]) = Place::File.logs(filter) else {
                    return Ok(Default::default());
                };
                let found = sqlite.read(rows.0, rows.1).await?;
                let count = sqlite.read(count.0, count.1).await?;
                (found.into_iter().map(|row| of_values(table, row)).collect(), count)
            }
            Kind::Postgres(postgres) => {
                let queries = postgres.tenants().await?.logs(filter);
                let Some([rows, count]) = queries else { return Ok(Default::default()) };
                let found = postgres.read(&rows.0, &rows.1).await?;
                let count = postgres.read(&count.0, &count.1).await?;
                let texts = found.iter().filter_map(|row| row.first()?.text());
                (texts.filter_map(|text| of_json(table, text)).collect(), count)
            }
        };
        let count = count.first().and_then(|row| row.first()).and_then(Value::integer);
        Ok((rows, count.and_then(|count| u64::try_from(count).ok()).unwrap_or_default()))
    }

    /// What finished requests come to, by model; the filter's order and limit do not count.
    ///
    /// # Errors
    /// Why they cannot be read.
    pub async fn log_sums(&self, filter: &LogFilter) -> Result<Vec<LogSum>, Error> {
        let rows = match &self.0 {
            Kind::Sqlite(sqlite) => match Place::File.log_sums(filter) {
                Some((sql, values)) => sqlite.read(sql, values).await?,
                None => Vec::new(),
            },
            Kind::Postgres(postgres) => match postgres.tenants().await?.log_sums(filter) {
                Some((sql, values)) => postgres.read(&sql, &values).await?,
                None => Vec::new(),
            },
        };
        Ok(rows.iter().map(|row| LogSum::of(row)).collect())
    }

    /// Hashes of keys, sorted, at most `limit` of them: no other column is read.
    ///
    /// # Errors
    /// Why they cannot be read.
    pub async fn tokens(&self, which: &Tokens, limit: u32) -> Result<Vec<Box<str>>, Error> {
        let rows = match &self.0 {
            Kind::Sqlite(sqlite) => {
                let (sql, values) = Place::File.tokens(which, limit);
                sqlite.read(sql, values).await?
            }
            Kind::Postgres(postgres) => {
                let (sql, values) = postgres.tenants().await?.tokens(which, limit);
                postgres.read(&sql, &values).await?
            }
        };
        Ok(rows.iter().filter_map(|row| row.first()?.text().map(Box::from)).collect())
    }

    /// How many rows about keys there are of those, without a limit.
    ///
    /// # Errors
    /// Why that is not known.
    pub async fn count_found(&self, find: &Find) -> Result<u64, Error> {
        let rows = match &self.0 {
            Kind::Sqlite(sqlite) => {
                let Some((sql, values)) = Place::File.count(find) else { return Ok(0) };
                sqlite.read(sql, values).await?
            }
            Kind::Postgres(postgres) => {
                let count = postgres.tenants().await?.count(find);
                let Some((sql, values)) = count else { return Ok(0) };
                postgres.read(&sql, &values).await?
            }
        };
        let count = rows.first().and_then(|row| row.first()).and_then(Value::integer);
        Ok(count.and_then(|count| u64::try_from(count).ok()).unwrap_or_default())
    }

    /// Makes changes of rows about keys, all of them or none; those of a number of `once` only once. `now` is in milliseconds
    /// since 1970.
    ///
    /// # Errors
    /// Why they are not known to be made.
    pub async fn change(
        &self,
        changes: &[Change],
        once: Option<Once>,
        now: i64,
    ) -> Result<Changed, Error> {
        match &self.0 {
            Kind::Sqlite(sqlite) => {
                let steps = steps(&Place::File, changes).map_err(|why| sqlite.error(&why))?;
                sqlite.change(steps, once, now).await
            }
            Kind::Postgres(postgres) => {
                let place = postgres.tenants().await?;
                let steps = steps(place, changes);
                let steps = steps.map_err(|why| postgres.error(error::Kind::BadRow, &why))?;
                postgres.change(steps, once, now).await
            }
        }
    }

    /// The rows of `table` in the order of their keys, at most `count` of them after `skip`.
    pub(crate) async fn page(
        &self,
        table: Table,
        skip: u64,
        count: u64,
    ) -> Result<Vec<Row>, Error> {
        let names = table.names();
        let key = names.iter().take(table.key_columns()).copied().collect::<Vec<_>>().join(", ");
        let select = |schema: &str| {
            let (columns, name) = (names.join(", "), table.name());
            format!("select {columns} from {schema}{name} order by {key} limit $1 offset $2")
        };
        let values = vec![count.into(), skip.into()];
        match &self.0 {
            Kind::Sqlite(sqlite) => sqlite.read(select("").replace('$', "?"), values).await,
            Kind::Postgres(postgres) => postgres.read(&select("hale."), &values).await,
        }
    }

    /// How many rows `table` has.
    ///
    /// # Errors
    /// Why that is not known.
    pub async fn count(&self, table: Table) -> Result<u64, Error> {
        let select = |schema: &str| format!("select count(*) from {schema}{}", table.name());
        let rows = match &self.0 {
            Kind::Sqlite(sqlite) => sqlite.read(select(""), Vec::new()).await?,
            Kind::Postgres(postgres) => postgres.read(&select("hale."), &[]).await?,
        };
        let count = rows.first().and_then(|row| row.first()).and_then(Value::integer);
        Ok(count.and_then(|count| u64::try_from(count).ok()).unwrap_or_default())
    }

    /// The version of its schema.
    ///
    /// # Errors
    /// Why that is not known.
    pub async fn version(&self) -> Result<i64, Error> {
        let text = "select max(version) from {hale}hale_schema";
        let rows = self.read(Sql { text, values: Vec::new() }).await?;
        Ok(rows.first().and_then(|row| row.first()).and_then(Value::integer).unwrap_or_default())
    }
}
