//! The table through which replicas share what they know, where there is no other server between them.
//!
//! Made by [`crate::Store::shared_table`], used by the gateway's fleet task. Always true: a connection of its own, so
//! that no batch of rows holds it up; each call is one statement with a time limit; a call that meets its limit ends
//! the connection and is cancelled on the server; times are the server's, milliseconds since 1970; what is told is
//! not understood here.

mod connection;
mod statements;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustls::RootCertStore;
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_postgres::types::Type as SqlType;
use tokio_postgres::{Client, Row};

use crate::address::Server;
use crate::error::{Error, Kind};
use crate::failure::of_postgres;
use crate::postgres::{Bound, parameters, single};
use crate::value::Value;

/// The time limit of one call.
const LIMIT: Duration = Duration::from_millis(500);
/// The longest news that a notification carries, bytes. PostgreSQL takes less than 8,000.
const NEWS_MAX: usize = 7_900;

/// How news come to this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The server notifies it.
    Notify,
    /// It reads the table each second: a pooler between them lends connections for a transaction.
    Poll,
}

/// What was read in an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchanged {
    /// The server's time.
    pub now: u64,
    /// What the other replicas say.
    pub said: Vec<Box<str>>,
    /// Rows that were not ours, and were deleted.
    pub garbage: u64,
}

/// What is asked about a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lease {
    /// Who has it.
    Look,
    /// To take it if it is free, or to keep it for another period.
    Hold,
    /// To give it up.
    GiveUp,
}

/// The leases that were asked about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leased {
    /// In the order of the questions: who has it, and for how many milliseconds, at most one period.
    pub holders: Vec<Option<(Box<str>, u64)>>,
    /// Leases that were longer than a period, and were cut.
    pub garbage: u64,
}

/// Where messages of one installation are in the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// The version of the messages, and what tells one installation from another.
    pub name: Box<str>,
    /// The channel of its news: lower-case letters, digits and underscores, at most 63 bytes.
    pub channel: Box<str>,
    /// This replica: a name that no other has.
    pub me: Box<str>,
}

/// The table.
pub struct SharedTable {
    server: Server,
    roots: Arc<RootCertStore>,
    scope: Scope,
    client: Mutex<Option<Arc<Client>>>,
    delivery: Mutex<Delivery>,
    /// Why the last call or connection failed.
    problem: Mutex<Option<Error>>,
    /// A call met its limit.
    slow: Notify,
    /// The connection was notified of what this process told itself.
    echoed: Notify,
}

impl SharedTable {
    pub(crate) fn new(server: Server, roots: Arc<RootCertStore>, scope: Scope) -> Arc<SharedTable> {
        Arc::new(SharedTable {
            server,
            roots,
            scope,
            client: Mutex::new(None),
            delivery: Mutex::new(Delivery::Poll),
            problem: Mutex::new(None),
            slow: Notify::new(),
            echoed: Notify::new(),
        })
    }

    /// How news come.
    #[must_use]
    pub fn delivery(&self) -> Delivery {
        *self.delivery.lock()
    }

    /// Why it does not work, if it does not.
    #[must_use]
    pub fn problem(&self) -> Option<Error> {
        self.problem.lock().clone()
    }

    /// Says `said` for `live_ms`, and reads what the others say; with nothing to say only the time is read.
    ///
    /// # Errors
    /// Why the server did not do it.
    pub async fn exchange(&self, said: &str, live_ms: u64) -> Result<Exchanged, Error> {
        let values =
            [Value::from(&*self.scope.name), (&*self.scope.me).into(), said.into(), live_ms.into()];
        let rows = self.call(statements::EXCHANGE, values.iter().map(single).collect()).await?;
        // Calls that only read work on a server that takes no writes as well.
        self.works();
        let first = rows.first().ok_or_else(|| self.away("it returns no time"))?;
        let number =
            |at| first.try_get::<_, i64>(at).map(|number| u64::try_from(number).unwrap_or(0));
        let number = |at| number(at).map_err(|error| self.failed(&error));
        let said = rows.iter().filter_map(|row| row.try_get::<_, Option<&str>>(2).ok().flatten());
        let said = said.map(Into::into).collect();
        Ok(Exchanged { now: number(0)?, garbage: number(1)?, said })
    }

    /// Tells the others at once: news of that kind, a word. If `text` is too long for that they get the word alone.
    ///
    /// # Errors
    /// Why the server did not do it.
    pub async fn tell(&self, kind: &'static str, text: &str) -> Result<(), Error> {
        let fits = kind.len() + text.len() < NEWS_MAX;
        let news = if fits { format!("{kind} {text}") } else { format!("{kind} ") };
        let values = [Value::from(&*self.scope.channel), (&*news).into()];
        self.call(statements::TELL, values.iter().map(single).collect()).await.map(drop)
    }

    /// Takes, renews and gives up leases of `period_ms`, and learns who has the others.
    ///
    /// # Errors
    /// Why the server did not do it.
    pub async fn lease(&self, period_ms: u64, asked: &[(&str, Lease)]) -> Result<Leased, Error> {
        if asked.is_empty() {
            return Ok(Leased::default());
        }
        // What cannot be in a column is replaced in the same way each time.
        let names: Vec<Value> = asked.iter().map(|(name, _)| (*name).into()).collect();
        let names: Vec<&str> = names.iter().filter_map(Value::text).collect();
        let words: Vec<&str> = asked.iter().map(|(_, lease)| lease.word()).collect();
        let values = [Value::from(&*self.scope.name), (&*self.scope.me).into(), period_ms.into()];
        let mut bound: Vec<Bound<'_>> = values.iter().map(single).collect();
        bound.push((Box::new(names), SqlType::TEXT_ARRAY));
        bound.push((Box::new(words), SqlType::TEXT_ARRAY));
        let rows = self.call(statements::LEASE, bound).await?;
        let mut leased = Leased::default();
        for row in &rows {
            let holder = row.try_get::<_, Option<&str>>(0).map_err(|error| self.failed(&error))?;
            let left = row.try_get::<_, Option<i64>>(1).map_err(|error| self.failed(&error))?;
            let left_ms = left.and_then(|left| u64::try_from(left).ok()).unwrap_or(0);
            leased.holders.push(holder.map(|holder| (holder.into(), left_ms)));
            let garbage = row.try_get::<_, i64>(2).map_err(|error| self.failed(&error))?;
            leased.garbage = u64::try_from(garbage).unwrap_or(0);
        }
        Ok(leased)
    }

    /// Keeps `text` under `name` for `kept_ms`, in place of what was there.
    ///
    /// # Errors
    /// Why the server did not do it.
    pub async fn keep(&self, name: &str, text: &str, kept_ms: u64) -> Result<(), Error> {
        let values = [Value::from(&*self.scope.name), name.into(), text.into(), kept_ms.into()];
        self.call(statements::KEEP, values.iter().map(single).collect()).await.map(drop)
    }

    /// All that is kept.
    ///
    /// # Errors
    /// Why the server did not do it.
    pub async fn kept(&self) -> Result<Vec<Box<str>>, Error> {
        let scope = Value::from(&*self.scope.name);
        let rows = self.call(statements::KEPT, vec![single(&scope)]).await?;
        let texts = rows.iter().filter_map(|row| row.try_get::<_, &str>(0).ok());
        Ok(texts.map(Into::into).collect())
    }

    /// Runs one statement within the limit.
    async fn call(&self, sql: &str, bound: Vec<Bound<'_>>) -> Result<Vec<Row>, Error> {
        let Some(client) = self.client.lock().clone() else {
            return Err(self.problem().unwrap_or_else(|| self.away("it is not connected yet")));
        };
        let values = parameters(&bound);
        let called = timeout(LIMIT, client.query_typed(sql, &values)).await;
        let called = match called {
            Ok(called) => called.map_err(|error| self.failed(&error)),
            Err(_) => {
                self.slow.notify_one();
                Err(self.away("it does not answer within half a second"))
            }
        };
        if let Err(error) = &called {
            self.note(error);
        }
        called
    }

    /// It does not work, and the log says so once for each kind of problem.
    fn note(&self, error: &Error) {
        let before = self.problem.lock().replace(error.clone());
        if before.is_none_or(|before| before.kind != error.kind) {
            tracing::warn!(
                "replicas share nothing through the database, this process goes on by itself: {error}"
            );
        }
    }

    fn works(&self) {
        if self.problem.lock().take().is_some() {
            tracing::info!(database = %self.server, "replicas share through the database again");
        }
    }

    fn failed(&self, error: &tokio_postgres::Error) -> Error {
        // Why it was closed is known better than that it was.
        let known = self.problem().filter(|_| error.is_closed());
        known.unwrap_or_else(|| of_postgres(&self.server.to_string(), error))
    }

    fn away(&self, detail: &str) -> Error {
        Error::new(Kind::Away, &self.server.to_string(), detail)
    }
}

impl Lease {
    const fn word(self) -> &'static str {
        match self {
            Lease::Look => "look",
            Lease::Hold => "hold",
            Lease::GiveUp => "give up",
        }
    }
}
