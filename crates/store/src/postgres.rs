//! The store on a server of PostgreSQL, in the schema `hale`.
//!
//! Opened by [`crate::database`]. Always true: two connections, one writes and one reads; no statement is prepared
//! under a name and no lock or setting outlives its transaction, so that a pooler may stand between; a connection that failed
//! is never used again, and what it left at the server is cancelled there, where it may stand at a lock.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use rustls::RootCertStore;
use tokio::time::timeout;
use tokio_postgres::types::{ToSql, Type as SqlType};
use tokio_postgres::{Client, Config, Socket};

use crate::address::{Purpose, Server};
use crate::batch::{Batch, Committed};
use crate::error::{Error, Kind};
use crate::failure::of_postgres;
use crate::litellm;
use crate::migrations::{self, Found};
use crate::sql::in_schema;
use crate::table::{OnConflict, Table, Theirs, Type};
use crate::tenants::{self, Changed, Once, Run, Step};
use crate::tls::{Encrypted, Tls};
use crate::value::{Row, Value};

/// How long a connection may take, unless the address says so.
const CONNECT: Duration = Duration::from_secs(5);
/// How long the cancelling of a statement may take.
const CANCEL_MAX: Duration = Duration::from_secs(1);
/// The lock of migrations: "hale" and "db".
const LOCK: i64 = 0x6861_6c65_0000_6462;
/// Raises the number of a process.
const RAISE: &str = "insert into hale.writers as kept (writer, number, at) values ($1, $2, $3) on conflict (writer) \
    do update set number = excluded.number, at = excluded.at where kept.number < excluded.number";

/// A value, and the type that the statement is told.
pub(crate) type Bound<'a> = (Box<dyn ToSql + Sync + Send + 'a>, SqlType);

/// An open server.
#[derive(Clone)]
pub(crate) struct Postgres {
    inner: Arc<Open>,
}

struct Open {
    place: Box<str>,
    /// The schema in which LiteLLM's tables would be.
    others: Box<str>,
    writer: Client,
    reader: Client,
    /// What further connections are made of.
    config: Config,
    tls: Tls,
    /// A connection for changes, while none is made.
    spare: Mutex<Option<Client>>,
    /// Where the tables about keys are.
    tenants: OnceLock<tenants::Place>,
}

impl Open {
    /// Cancels what the connections are doing.
    fn cancelling(&self) -> impl Future<Output = ()> + Send + 'static {
        let tokens = [self.writer.cancel_token(), self.reader.cancel_token()];
        let tls = self.tls.clone();
        async move {
            for token in tokens {
                let _late = timeout(CANCEL_MAX, token.cancel_query(tls.clone())).await;
            }
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        // Else a statement that waits for a lock holds its place at the server, and each further connection one more.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(self.cancelling());
        }
    }
}

impl Postgres {
    /// Connects, and makes or updates the tables if `purpose` is to write.
    pub(crate) async fn open(
        server: &Server,
        purpose: Purpose,
        now: i64,
        roots: &Arc<RootCertStore>,
    ) -> Result<Postgres, Error> {
        let place = server.to_string();
        let tls = Tls::new(server, roots)?;
        let mut config = server.config.clone();
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT);
        }
        let writer = connect(&config, &tls, &place).await?;
        let reader = connect(&config, &tls, &place).await?;
        let others = server.schema.clone();
        let open = Open {
            place: place.into(),
            others,
            writer,
            reader,
            config,
            tls,
            spare: Mutex::new(None),
            tenants: OnceLock::new(),
        };
        let opened = Postgres { inner: Arc::new(open) };
        match purpose {
            Purpose::Serve | Purpose::Change => opened.migrate(now).await?,
            Purpose::LookAtTheirs => {
                opened.look_at_others().await?;
                if !opened.tenants().await?.has_any() {
                    return Err(opened.error(Kind::Incomplete, "it has no tables of LiteLLM"));
                }
            }
            Purpose::Look => {
                let found = opened
                    .found()
                    .await?
                    .ok_or_else(|| opened.error(Kind::Empty, "it has no tables of Hale"))?;
                drop(migrations::missing(found, &opened.inner.place)?);
            }
        }
        Ok(opened)
    }

    /// Has the server give up what it is doing for this process.
    pub(crate) async fn cancel(&self) {
        self.inner.cancelling().await;
    }

    /// Where it is, for messages.
    pub(crate) fn place(&self) -> Box<str> {
        self.inner.place.clone()
    }

    /// Writes `batch`, unless it was written before.
    pub(crate) async fn commit(&self, batch: &Batch, now: i64) -> Result<Committed, Error> {
        self.run("begin").await?;
        let done = self.within(batch, now).await;
        let end = match &done {
            Ok(Committed::Now) => "commit",
            Ok(Committed::Before) | Err(_) => "rollback",
        };
        let ended = self.run(end).await;
        let done = done?;
        ended.map(|()| done)
    }

    async fn within(&self, batch: &Batch, now: i64) -> Result<Committed, Error> {
        let raise = [Value::from(&*batch.writer), batch.number.into(), now.into()];
        if self.execute(RAISE, &raise).await? == 0 {
            return Ok(Committed::Before);
        }
        let place = self.tenants().await?;
        place
            .with_theirs(async |theirs| {
                for (table, rows) in &batch.rows {
                    self.mark(*table, rows, theirs).await?;
                }
                for (table, rows) in &batch.rows {
                    self.insert((*table, table.on_conflict()), rows, theirs).await?;
                }
                Ok(Committed::Now)
            })
            .await
    }

    /// Adds rows; those that are there stay. Returns how many were added.
    pub(crate) async fn add(&self, table: Table, rows: &[Row]) -> Result<u64, Error> {
        self.insert((table, OnConflict::Keep), rows, None).await
    }

    /// Makes the rows of counters that have none yet, and notes what counters were before the first rows of the ledger that raise them.
    async fn mark(
        &self,
        table: Table,
        rows: &[Row],
        theirs: Option<Theirs<'_>>,
    ) -> Result<(), Error> {
        for sql in [table.enrol_many(theirs), table.mark_many(theirs)].into_iter().flatten() {
            let ids = (0..table.key_columns()).map(|at| column(rows, at, Type::Text));
            let bound: Vec<Bound<'_>> = ids.collect();
            let values = parameters(&bound);
            let marked = self.inner.writer.execute_typed(&sql, &values).await;
            marked.map_err(|error| self.failed(&error))?;
        }
        Ok(())
    }

    async fn insert(
        &self,
        (table, conflict): (Table, OnConflict),
        rows: &[Row],
        theirs: Option<Theirs<'_>>,
    ) -> Result<u64, Error> {
        if rows.is_empty() {
            return Ok(0);
        }
        let Some(sql) = table.insert_many(conflict, theirs) else { return Ok(0) };
        let columns = table.columns().iter().enumerate();
        let bound: Vec<Bound<'_>> =
            columns.map(|(at, (_, kind))| column(rows, at, *kind)).collect();
        let values = parameters(&bound);
        let writer = &self.inner.writer;
        writer.execute_typed(&sql, &values).await.map_err(|error| self.failed(&error))
    }

    /// Runs one statement; how many rows it changed.
    pub(crate) async fn execute(&self, sql: &str, values: &[Value]) -> Result<u64, Error> {
        self.execute_on(&self.inner.writer, sql, values).await
    }

    async fn execute_on(&self, client: &Client, sql: &str, values: &[Value]) -> Result<u64, Error> {
        let bound: Vec<Bound<'_>> = values.iter().map(single).collect();
        let values = parameters(&bound);
        client.execute_typed(sql, &values).await.map_err(|error| self.failed(&error))
    }

    /// The rows of a query.
    pub(crate) async fn read(&self, sql: &str, values: &[Value]) -> Result<Vec<Row>, Error> {
        let found = self.query(&self.inner.reader, sql, values).await?;
        found.iter().map(|row| self.row(row)).collect()
    }

    /// Runs statements in one transaction, once for a number of `once`. It has a connection of its own, which is closed if this is
    /// not waited for to its end, and the transaction with it.
    pub(crate) async fn change(
        &self,
        steps: Vec<Step>,
        once: Option<Once>,
        now: i64,
    ) -> Result<Changed, Error> {
        let spare = self.inner.spare.lock().take().filter(|client| !client.is_closed());
        let client = match spare {
            Some(client) => client,
            None => connect(&self.inner.config, &self.inner.tls, &self.inner.place).await?,
        };
        let failed = |error: tokio_postgres::Error| self.failed(&error);
        client.batch_execute("begin").await.map_err(failed)?;
        let changed = self.change_within(&client, steps, (once, now)).await?;
        let end = match &changed {
            Changed::Done(_) => "commit",
            Changed::Exists(_) | Changed::Before => "rollback",
        };
        client.batch_execute(end).await.map_err(failed)?;
        *self.inner.spare.lock() = Some(client);
        Ok(changed)
    }

    async fn change_within(
        &self,
        client: &Client,
        steps: Vec<Step>,
        (once, now): (Option<Once>, i64),
    ) -> Result<Changed, Error> {
        if let Some(once) = once {
            let raise = [Value::from(&*once.writer), once.number.into(), now.into()];
            if self.execute_on(client, RAISE, &raise).await? == 0 {
                return Ok(Changed::Before);
            }
        }
        let mut run = Run::new(steps);
        while let Some(step) = run.next() {
            let rows = self.execute_on(client, &step.sql, &step.values).await?;
            if let Some(exists) = run.changed(rows) {
                return Ok(exists);
            }
        }
        Ok(run.done())
    }

    /// Where the tables about keys are: LiteLLM's, if it made them, else Hale's own.
    pub(crate) async fn tenants(&self) -> Result<&tenants::Place, Error> {
        if let Some(known) = self.inner.tenants.get() {
            return Ok(known);
        }
        let sql = "select table_schema::text, table_name::text, column_name::text from information_schema.columns \
                   where table_schema in ($1, 'hale') and table_name like 'LiteLLM\\_%'";
        let rows = self.read(sql, &[(&*self.inner.others).into()]).await?;
        let is_theirs = |row: &Row| row.first().and_then(Value::text) == Some(&*self.inner.others);
        let schema = if rows.iter().any(is_theirs) { &*self.inner.others } else { "hale" };
        let mut columns = tenants::Columns::default();
        for row in &rows {
            if let [of, table, column] = &row[..]
                && of.text() == Some(schema)
                && let (Some(table), Some(column)) = (table.text(), column.text())
            {
                columns.add(table, column);
            }
        }
        let schema = format!("\"{}\"", schema.replace('"', "\"\""));
        Ok(self.inner.tenants.get_or_init(|| tenants::Place::Server { schema, columns }))
    }

    async fn query(
        &self,
        client: &Client,
        sql: &str,
        values: &[Value],
    ) -> Result<Vec<tokio_postgres::Row>, Error> {
        let bound: Vec<Bound<'_>> = values.iter().map(single).collect();
        let values = parameters(&bound);
        client.query_typed(sql, &values).await.map_err(|error| self.failed(&error))
    }

    fn row(&self, row: &tokio_postgres::Row) -> Result<Row, Error> {
        let value = |at: usize| -> Result<Value, tokio_postgres::Error> {
            let kind = row.columns()[at].type_();
            Ok(if *kind == SqlType::INT8 {
                row.try_get::<_, Option<i64>>(at)?.into()
            } else if *kind == SqlType::FLOAT8 {
                row.try_get::<_, Option<f64>>(at)?.into()
            } else {
                row.try_get::<_, Option<&str>>(at)?.into()
            })
        };
        (0..row.len()).map(|at| value(at).map_err(|error| self.failed(&error))).collect()
    }

    /// Bytes that the schema takes on the disk.
    pub(crate) async fn bytes(&self) -> Result<u64, Error> {
        let sql = "select coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint from pg_class c \
                   join pg_namespace n on n.oid = c.relnamespace where n.nspname = 'hale' and c.relkind = 'r'";
        let rows = self.read(sql, &[]).await?;
        let bytes = rows.first().and_then(|row| row.first()).and_then(Value::integer);
        Ok(bytes.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or_default())
    }

    /// Whether both connections answer, and the server takes writes.
    pub(crate) async fn probe(&self) -> Result<(), Error> {
        self.read("select 1::bigint", &[]).await?;
        let sql = "select current_setting('transaction_read_only')";
        let rows = self.query(&self.inner.writer, sql, &[]).await?;
        if rows.first().and_then(|row| row.try_get::<_, &str>(0).ok()) == Some("on") {
            return Err(self.error(Kind::ReadOnly, "the server takes no writes"));
        }
        Ok(())
    }

    async fn found(&self) -> Result<Option<Found>, Error> {
        let is_there = "select to_regclass('hale.hale_schema') is not null and \
                        has_schema_privilege('hale', 'usage')";
        // A schema that is not there has no privileges to ask for.
        let schema = "select count(*)::bigint from pg_namespace where nspname = 'hale'";
        let writer = &self.inner.writer;
        let count = self.query(writer, schema, &[]).await?;
        if count.first().and_then(|row| row.try_get::<_, i64>(0).ok()) != Some(1) {
            return Ok(None);
        }
        let there = self.query(writer, is_there, &[]).await?;
        if there.first().and_then(|row| row.try_get::<_, bool>(0).ok()) != Some(true) {
            return Ok(None);
        }
        let sql = in_schema(migrations::FOUND, "hale.");
        let rows = self.query(writer, &sql, &[]).await?;
        let number = |at| {
            let row = rows.first();
            row.and_then(|row| row.try_get::<_, Option<i64>>(at).ok().flatten()).unwrap_or_default()
        };
        Ok(Some(Found { version: number(0), least: number(1) }))
    }

    async fn migrate(&self, now: i64) -> Result<(), Error> {
        self.probe().await?;
        self.run("begin").await?;
        let done = self.migrate_within(now).await;
        let ended = self.run(if done.is_ok() { "commit" } else { "rollback" }).await;
        done.and(ended)
    }

    async fn migrate_within(&self, now: i64) -> Result<(), Error> {
        // Replicas that start at once come here one after another.
        let writer = &self.inner.writer;
        self.query(writer, "select 1::bigint from pg_advisory_xact_lock($1)", &[LOCK.into()])
            .await?;
        self.look_at_others().await?;
        let found = self.found().await?;
        let missing: Vec<_> =
            migrations::missing(found.unwrap_or_default(), &self.inner.place)?.collect();
        if missing.is_empty() {
            return self.make_keys().await;
        }
        let schema = "select count(*)::bigint from pg_namespace where nspname = 'hale'";
        let count = self.query(writer, schema, &[]).await?;
        if count.first().and_then(|row| row.try_get::<_, i64>(0).ok()) == Some(0) {
            self.run("create schema hale").await?;
        }
        self.run(&in_schema(migrations::SCHEMA_TABLE, "hale.")).await?;
        for one in missing {
            if let Some(sql) = one.server {
                self.run(&in_schema(sql, "hale.")).await?;
            }
            let note = in_schema(migrations::NOTE, "hale.");
            let values = [one.version.into(), one.least.into(), now.into()];
            self.execute(&note, &values).await?;
        }
        self.make_keys().await
    }

    /// Makes the tables about keys, where LiteLLM made none: two of them would be mistaken for each other.
    async fn make_keys(&self) -> Result<(), Error> {
        let schema = &self.inner.others;
        let sql = migrations::LACKS_KEYS;
        let rows = self.query(&self.inner.writer, sql, &[(&**schema).into()]).await?;
        let lacks = |rows: &[tokio_postgres::Row]| {
            rows.first().and_then(|row| row.try_get::<_, bool>(0).ok()) == Some(true)
        };
        if lacks(&rows) {
            self.run(&in_schema(migrations::KEYS_ON_A_SERVER, "hale.")).await?;
        }
        let rows = self.query(&self.inner.writer, migrations::LACKS_SPEND, &[]).await?;
        if lacks(&rows) {
            self.run(&in_schema(migrations::SPEND_ON_A_SERVER, "hale.")).await?;
        }
        let rows = self.query(&self.inner.writer, migrations::LACKS_MODELS, &[]).await?;
        if lacks(&rows) {
            self.run(&in_schema(migrations::MODELS_ON_A_SERVER, "hale.")).await?;
        }
        Ok(())
    }

    /// Refuses a database with a part of LiteLLM's tables: it is another one than was meant, or half of a restore.
    async fn look_at_others(&self) -> Result<(), Error> {
        let schema = &self.inner.others;
        let rows = self.query(&self.inner.writer, litellm::MISSING, &[(&**schema).into()]).await?;
        let missing: Vec<String> = rows.iter().filter_map(|row| row.try_get(0).ok()).collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(litellm::incomplete(&self.inner.place, schema, &missing))
    }

    async fn run(&self, sql: &str) -> Result<(), Error> {
        self.inner.writer.batch_execute(sql).await.map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &tokio_postgres::Error) -> Error {
        of_postgres(&self.inner.place, error)
    }

    pub(crate) fn error(&self, kind: Kind, detail: &str) -> Error {
        Error::new(kind, &self.inner.place, detail)
    }
}

/// The side of a connection that moves its bytes.
pub(crate) type Link = tokio_postgres::Connection<Socket, Encrypted<Socket>>;

/// A connection, and what moves its bytes while it is polled.
pub(crate) async fn link(config: &Config, tls: &Tls, place: &str) -> Result<(Client, Link), Error> {
    config.connect(tls.clone()).await.map_err(|error| of_postgres(place, &error))
}

async fn connect(config: &Config, tls: &Tls, place: &str) -> Result<Client, Error> {
    let (client, link) = link(config, tls, place).await?;
    tokio::spawn(async move {
        if let Err(error) = link.await {
            tracing::debug!(%error, "a connection to the database ended");
        }
    });
    Ok(client)
}

/// As the client wants them.
pub(crate) fn parameters<'a>(bound: &'a [Bound<'_>]) -> Vec<(&'a (dyn ToSql + Sync), SqlType)> {
    bound.iter().map(|(value, kind)| (&**value as &(dyn ToSql + Sync), kind.clone())).collect()
}

/// One value and its type.
pub(crate) fn single(value: &Value) -> Bound<'_> {
    match value {
        Value::Null => (Box::new(None::<&str>), SqlType::TEXT),
        Value::Integer(number) => (Box::new(*number), SqlType::INT8),
        Value::Real(number) => (Box::new(*number), SqlType::FLOAT8),
        Value::Text(text) => (Box::new(&**text), SqlType::TEXT),
    }
}

/// The values of the column at `at` in all rows, as an array.
fn column(rows: &[Row], at: usize, kind: Type) -> Bound<'_> {
    let values = rows.iter().map(move |row| row.get(at).unwrap_or(&Value::Null));
    match kind {
        Type::Integer | Type::Time => {
            (Box::new(values.map(Value::integer).collect::<Vec<_>>()), SqlType::INT8_ARRAY)
        }
        Type::Real => {
            (Box::new(values.map(Value::real).collect::<Vec<_>>()), SqlType::FLOAT8_ARRAY)
        }
        Type::Text | Type::Json => {
            (Box::new(values.map(Value::text).collect::<Vec<_>>()), SqlType::TEXT_ARRAY)
        }
    }
}
