//! What pages and the start read of the store.
//!
//! Always true: a reader waits [`READ_MAX`] at most, and gets what the database has, not what waits for it.

use std::time::Duration;

use super::{Status, Store};
use crate::error::{Error, Kind};
use crate::rows::{IncidentRow, ProbeFilter, ProbeResult, Setting, UsageRow};
use crate::sql::Sql;
use crate::value::Row;

/// How long a reader waits for rows.
const READ_MAX: Duration = Duration::from_secs(2);

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

    /// What requests met since `since`, milliseconds since 1970, by group, deployment and cause.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub async fn usage_since(&self, since: u64) -> Result<Vec<UsageRow>, Error> {
        Ok(self.read(UsageRow::since(since)).await?.iter().filter_map(UsageRow::of).collect())
    }

    async fn read(&self, sql: Sql) -> Result<Vec<Row>, Error> {
        let Some(database) = self.database.lock().clone() else {
            return Err(match self.status() {
                Status::Disconnected(error) => error,
                Status::Opening | Status::Connected | Status::NoPlace => {
                    self.error(Kind::Away, "it is not open")
                }
            });
        };
        let slow = "it does not answer within 2 s";
        self.called("read", (READ_MAX, slow), database.read(sql)).await
    }
}
