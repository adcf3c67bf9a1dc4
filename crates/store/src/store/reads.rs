//! What pages and the start read of the store.
//!
//! Always true: a reader waits [`READ_MAX`] at most, and gets what the database has, not what waits for it.

use std::time::Duration;

use super::{Status, Store};
use crate::database::Database;
use crate::error::{Error, Kind};
use crate::past::{PastChange, PastRequest, RequestFilter, TrafficRow, Width};
use crate::rows::{IncidentRow, KeptResponse, ProbeFilter, ProbeResult, Setting, UsageRow};
use crate::spend::{SESSION, SessionSum};
use crate::sql::Sql;
use crate::tenants::{
    Change, Changed, DayFilter, DaySum, Find, LogFilter, LogSum, Once, Record, Tokens,
};
use crate::value::Row;

/// How long a reader waits for rows.
const READ_MAX: Duration = Duration::from_secs(2);
const SLOW: &str = "it does not answer within 2 s";
/// The same for sums of many rows.
const REPORT_MAX: Duration = Duration::from_secs(20);
const SLOW_REPORT: &str = "it does not answer within 20 s";
/// How long a client of the admin API waits for a change.
const CHANGE_MAX: Duration = Duration::from_secs(5);
const SLOW_CHANGE: &str = "it does not take the change within 5 s";

impl Store {
    /// Results of probes, the newest first.
    ///
    /// # Errors
    /// Why they cannot be read.
    pub async fn probe_results(&self, filter: &ProbeFilter<'_>) -> Result<Vec<ProbeResult>, Error> {
        Ok(self.read(filter.sql()).await?.iter().filter_map(ProbeResult::of).collect())
    }

    /// The settings made at run time.
    ///
    /// # Errors
    /// Why they cannot be read.
    pub async fn settings(&self) -> Result<Vec<Setting>, Error> {
        Ok(self.read(Setting::all()).await?.iter().filter_map(Setting::of).collect())
    }

    /// Incidents that are not over, the oldest first.
    ///
    /// # Errors
    /// Why they cannot be read.
    pub async fn open_incidents(&self) -> Result<Vec<IncidentRow>, Error> {
        Ok(self.read(IncidentRow::open()).await?.iter().filter_map(IncidentRow::of).collect())
    }

    /// Incidents, the newest first, at most `limit`.
    ///
    /// # Errors
    /// Why they cannot be read.
    pub async fn latest_incidents(&self, limit: u64) -> Result<Vec<IncidentRow>, Error> {
        let rows = self.read(IncidentRow::latest(limit)).await?;
        Ok(rows.iter().filter_map(IncidentRow::of).collect())
    }

    /// Changes of state since `since`, milliseconds since 1970, the newest first.
    ///
    /// # Errors
    /// Why they cannot be read.
    pub async fn health_changes(&self, since: u64) -> Result<Vec<PastChange>, Error> {
        Ok(self.read(PastChange::since(since)).await?.iter().filter_map(PastChange::of).collect())
    }

    /// Finished requests, the newest first.
    ///
    /// # Errors
    /// Why they cannot be read.
    pub async fn requests(&self, filter: &RequestFilter<'_>) -> Result<Vec<PastRequest>, Error> {
        Ok(self.read(filter.sql()).await?.iter().filter_map(PastRequest::of).collect())
    }

    /// What requests met since `since`, milliseconds since 1970, period by period.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub async fn traffic(&self, since: u64, width: Width) -> Result<Vec<TrafficRow>, Error> {
        Ok(self
            .read(TrafficRow::since(since, width))
            .await?
            .iter()
            .filter_map(TrafficRow::of)
            .collect())
    }

    /// The response with that id that the gateway keeps, and some of those that it goes on from, the newest first. Empty if it is not
    /// kept, or has expired; those before it stay as long as it does.
    ///
    /// # Errors
    /// Why they cannot be read.
    pub async fn kept_responses(
        &self,
        id: &str,
        now: u64,
        most: usize,
    ) -> Result<Vec<KeptResponse>, Error> {
        let rows = self.read(KeptResponse::back_from(id, now, most)).await?;
        Ok(rows.iter().filter_map(KeptResponse::of).collect())
    }

    /// What requests met since `since`, milliseconds since 1970, by group, deployment and cause.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub async fn usage_since(&self, since: u64) -> Result<Vec<UsageRow>, Error> {
        Ok(self.read(UsageRow::since(since)).await?.iter().filter_map(UsageRow::of).collect())
    }

    /// Rows about keys.
    ///
    /// # Errors
    /// Why they cannot be read.
    pub async fn find(&self, find: &Find) -> Result<Vec<Record>, Error> {
        let database = self.database()?;
        self.called("read", (READ_MAX, SLOW), database.find(find)).await
    }

    /// What a session of the key with that hash has used.
    ///
    /// # Errors
    /// Why that is not known.
    pub async fn session_sum(&self, session: &str, key: &str) -> Result<SessionSum, Error> {
        let rows =
            self.read(Sql { text: SESSION, values: vec![session.into(), key.into()] }).await?;
        Ok(rows.first().map(SessionSum::of).unwrap_or_default())
    }

    /// Sums of days.
    ///
    /// # Errors
    /// Why they cannot be read.
    pub async fn days(&self, filter: &DayFilter) -> Result<Vec<DaySum>, Error> {
        let database = self.database()?;
        self.called("read", (REPORT_MAX, SLOW_REPORT), database.days(filter)).await
    }

    /// Finished requests, and how many there are without the limit.
    ///
    /// # Errors
    /// Why they cannot be read.
    pub async fn logs(&self, filter: &LogFilter) -> Result<(Vec<Record>, u64), Error> {
        let database = self.database()?;
        self.called("read", (REPORT_MAX, SLOW_REPORT), database.logs(filter)).await
    }

    /// What finished requests come to, by model.
    ///
    /// # Errors
    /// Why they cannot be read.
    pub async fn log_sums(&self, filter: &LogFilter) -> Result<Vec<LogSum>, Error> {
        let database = self.database()?;
        self.called("read", (REPORT_MAX, SLOW_REPORT), database.log_sums(filter)).await
    }

    /// Hashes of keys, sorted, at most `limit` of them.
    ///
    /// # Errors
    /// Why they cannot be read.
    pub async fn tokens(&self, which: &Tokens, limit: u32) -> Result<Vec<Box<str>>, Error> {
        let database = self.database()?;
        self.called("read", (READ_MAX, SLOW), database.tokens(which, limit)).await
    }

    /// How many rows about keys there are, without the limit.
    ///
    /// # Errors
    /// Why that is not known.
    pub async fn count_found(&self, find: &Find) -> Result<u64, Error> {
        let database = self.database()?;
        self.called("read", (READ_MAX, SLOW), database.count_found(find)).await
    }

    /// Changes rows about keys, all of them or none; those of a number of `once` only once.
    ///
    /// # Errors
    /// Why they are not known to be changed.
    pub async fn change(&self, changes: &[Change], once: Option<Once>) -> Result<Changed, Error> {
        let database = self.database()?;
        let now = self.options.means.unix_ms();
        self.called("write", (CHANGE_MAX, SLOW_CHANGE), database.change(changes, once, now)).await
    }

    /// The name of this process among all that ever wrote.
    #[must_use]
    pub fn writer(&self) -> &str {
        &self.options.writer
    }

    fn database(&self) -> Result<Database, Error> {
        self.database.lock().clone().ok_or_else(|| match self.status() {
            Status::Disconnected(error) => error,
            Status::Opening | Status::Connected | Status::NoPlace => {
                self.error(Kind::Away, "it is not open")
            }
        })
    }

    async fn read(&self, sql: Sql) -> Result<Vec<Row>, Error> {
        let database = self.database()?;
        self.called("read", (READ_MAX, SLOW), database.read(sql)).await
    }
}
