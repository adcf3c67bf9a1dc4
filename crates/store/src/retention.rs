//! What is deleted, and when.
//!
//! Called by [`crate::store`] every few minutes. Always true: rows are deleted a few thousand at a time, so that writers
//! never wait long, and each statement has a limit of time; a file is bounded in bytes too, and loses records of requests
//! first.

use std::time::Duration;

use tokio::time::timeout;

use crate::database::{Database, SpendLogs};
use crate::error::{Error, Kind};
use crate::rollup::{DAY_S, MINUTE_S};
use crate::sql::Sql;
use crate::value::Value;

/// Milliseconds of a day.
const DAY_MS: i64 = DAY_S * 1_000;
/// Most rounds of one table at a time.
const ROUNDS: usize = 200;
/// How long one statement may take. The writer waits behind it, and has twice that time.
const STATEMENT_MAX: Duration = Duration::from_secs(5);

/// How long rows are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Records of requests, days.
    pub requests_days: u32,
    /// Changes of state, incidents, operators' actions and days of rollups, days.
    pub history_days: u32,
    /// Minutes of rollups, days.
    pub minutes_days: u32,
    /// Results of probes, for each deployment.
    pub probe_results: u32,
    /// Rows of what single requests and calls cost, days.
    pub spend_days: u32,
    /// Size of a file from which on the oldest records of requests are deleted, bytes.
    pub file_bytes: u64,
}

impl Default for Retention {
    fn default() -> Retention {
        Retention {
            requests_days: 7,
            history_days: 400,
            minutes_days: 8,
            probe_results: 1_000,
            spend_days: 90,
            file_bytes: 512 << 20,
        }
    }
}

/// A statement that deletes at most a few thousand rows.
const OLD_REQUESTS: &str = "delete from {hale}requests where id in \
    (select id from {hale}requests where arrived_at < $1 order by arrived_at limit 5000)";
const OLD_CHANGES: &str = "delete from {hale}health_changes where id in \
    (select id from {hale}health_changes where at < $1 limit 5000)";
const OLD_ACTIONS: &str = "delete from {hale}operator_actions where id in \
    (select id from {hale}operator_actions where at < $1 limit 5000)";
const OLD_INCIDENTS: &str = "delete from {hale}incidents where id in \
    (select id from {hale}incidents where updated_at < $1 limit 5000)";
const OLD_ATTEMPTS: &str = "delete from {hale}attempts where id in \
    (select id from {hale}attempts where at < $1 order by at limit 5000)";
const OLD_LOGS_IN_A_FILE: &str = "delete from \"LiteLLM_SpendLogs\" where request_id in \
    (select request_id from \"LiteLLM_SpendLogs\" where \"startTime\" < $1 order by \"startTime\" limit 5000)";
const OLD_LOGS_ON_A_SERVER: &str = "delete from hale.\"LiteLLM_SpendLogs\" where request_id in \
    (select request_id from hale.\"LiteLLM_SpendLogs\" where \"startTime\" < timestamp 'epoch' + $1 * interval '1 millisecond' \
    order by \"startTime\" limit 5000)";
/// Those that another one goes on from stay, so that a conversation is forgotten from its end.
const OLD_RESPONSES: &str = "delete from {hale}responses where id in \
    (select id from {hale}responses as old where expires_at < $1 \
    and not exists (select 1 from {hale}responses as later where later.previous = old.id) limit 500)";
const OLD_ROLLUPS: &str = "delete from {hale}rollups where width_s = $1 and start_at < $2";
const OLD_COUNTERS: &str = "delete from {hale}budget_counters where ends < $1";
/// What is billed once ([`crate::batch::ONCE`]) stays billed.
const OLD_WRITERS: &str = "delete from {hale}writers where at < $1 and writer not like 'once-%'";
const OLD_PROBES: &str = "delete from {hale}probe_results where id in (select id from \
    (select id, row_number() over (partition by model_id order by checked_at desc, id desc) as place \
    from {hale}probe_results) as placed where place > $1 limit 5000)";
/// The oldest ones of single requests, whatever their age: records first, the ledger last. Sums stay.
const OLDEST: [&str; 4] = [
    "delete from {hale}requests where id in (select id from {hale}requests order by arrived_at limit 5000)",
    "delete from {hale}responses where id in (select id from {hale}responses order by expires_at limit 200)",
    "delete from \"LiteLLM_SpendLogs\" where request_id in \
    (select request_id from \"LiteLLM_SpendLogs\" order by \"startTime\" limit 5000)",
    "delete from {hale}attempts where id in (select id from {hale}attempts order by at limit 5000)",
];

impl Retention {
    /// Deletes what is older than it says. `now` is in milliseconds since 1970.
    ///
    /// # Errors
    /// Why a statement failed.
    pub async fn apply(&self, database: &Database, now: i64) -> Result<(), Error> {
        delete(database, self, now).await
    }
}

async fn delete(database: &Database, keep: &Retention, now: i64) -> Result<(), Error> {
    let before = |days: u32| Value::from(now - i64::from(days) * DAY_MS);
    let history = before(keep.history_days);
    let in_rounds = [
        (OLD_REQUESTS, vec![before(keep.requests_days)]),
        (OLD_ATTEMPTS, vec![before(keep.spend_days)]),
        (OLD_CHANGES, vec![history.clone()]),
        (OLD_ACTIONS, vec![history.clone()]),
        (OLD_INCIDENTS, vec![history.clone()]),
        (OLD_RESPONSES, vec![now.into()]),
        (OLD_PROBES, vec![u64::from(keep.probe_results).into()]),
    ];
    for (text, values) in in_rounds {
        rounds(database, text, &values).await?;
    }
    // In LiteLLM's own schema its own job deletes them.
    let old_logs = match database.spend_logs().await? {
        SpendLogs::InAFile => Some(OLD_LOGS_IN_A_FILE),
        SpendLogs::Hale => Some(OLD_LOGS_ON_A_SERVER),
        SpendLogs::Others => None,
    };
    if let Some(text) = old_logs {
        rounds(database, text, &[before(keep.spend_days)]).await?;
    }
    let at_once = [
        (OLD_ROLLUPS, vec![MINUTE_S.into(), before(keep.minutes_days)]),
        (OLD_ROLLUPS, vec![DAY_S.into(), history.clone()]),
        (OLD_COUNTERS, vec![history.clone()]),
        (OLD_WRITERS, vec![history]),
    ];
    for (text, values) in at_once {
        execute(database, Sql { text, values }).await?;
    }
    if let Some(file) = database.file() {
        for text in OLDEST {
            for _ in 0..ROUNDS {
                let is_large = file.bytes().await? > keep.file_bytes;
                if !is_large || execute(database, Sql { text, values: Vec::new() }).await? == 0 {
                    break;
                }
            }
        }
        file.shrink().await?;
    }
    Ok(())
}

/// Runs a statement within its limit; one that meets it is cancelled at the server, where it may stand at a lock.
async fn execute(database: &Database, sql: Sql) -> Result<u64, Error> {
    match timeout(STATEMENT_MAX, database.execute(sql)).await {
        Ok(done) => done,
        Err(_) => {
            database.cancel().await;
            let detail = "old rows are not deleted within 5 s, perhaps because a lock is held";
            Err(Error::new(Kind::Away, &database.place(), detail))
        }
    }
}

async fn rounds(database: &Database, text: &'static str, values: &[Value]) -> Result<(), Error> {
    for _ in 0..ROUNDS {
        if execute(database, Sql { text, values: values.to_vec() }).await? == 0 {
            break;
        }
    }
    Ok(())
}
