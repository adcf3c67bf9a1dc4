//! Whether what was spent is the same wherever it is kept.
//!
//! Called by `hale spend audit` and by tests. Always true: it only reads; the ledger's calls are compared with days, requests, LiteLLM's
//! days and counters, each difference is named with its place, and what others wrote into LiteLLM's own tables is no difference.

use std::collections::BTreeMap;
use std::fmt;

use crate::database::{Database, SpendLogs};
use crate::error::Error;
use crate::spend::day_of;
use crate::table::{COUNTERS, Table, kind_of};
use crate::value::{Row, Value};

/// What may differ, of the larger amount: sums of numbers of floating point depend on their order.
const RELATIVE: f64 = 1e-6;
/// The same in 10^-9 USD.
const LEAST: f64 = 2.0;
/// Most differences that are named.
const NAMED_MAX: usize = 100;
/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// What was compared.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Audited {
    /// The first day, `2026-11-28`; empty if there is nothing.
    pub from: Box<str>,
    /// Days.
    pub days: u64,
    /// Calls of upstreams.
    pub calls: i64,
    /// What they cost, 10^-9 USD.
    pub nano: i64,
    /// Counters of keys, teams, users, ...
    pub counters: u64,
    /// Whether others write into the same tables: then LiteLLM's days and counters may have more than the ledger.
    pub shared: bool,
    /// What does not agree.
    pub differences: Vec<Difference>,
}

/// Something that does not agree.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Where.
    pub place: String,
    /// What the ledger has, USD.
    pub ledger: f64,
    /// What is there, USD.
    pub there: f64,
}

impl fmt::Display for Difference {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Difference { place, ledger, there } = self;
        write!(to, "{place}: {there} USD, and the ledger has {ledger}")
    }
}

/// Whether two amounts of 10^-9 USD are the same.
fn agree(one: f64, other: f64) -> bool {
    (one - other).abs() <= LEAST + RELATIVE * one.abs().max(other.abs())
}

fn number(row: &Row, at: usize) -> f64 {
    row.get(at).and_then(Value::real).unwrap_or(0.0)
}

fn integer(row: &Row, at: usize) -> i64 {
    row.get(at).and_then(Value::integer).unwrap_or(0)
}

fn text(row: &Row, at: usize) -> Box<str> {
    row.get(at).and_then(Value::text).unwrap_or_default().into()
}

/// Compares everything.
///
/// # Errors
/// Why something cannot be read.
pub async fn audit(database: &Database) -> Result<Audited, Error> {
    let mut audit =
        Audit { database, found: Audited::default(), theirs: database.spend_logs().await? };
    audit.found.shared = audit.theirs == SpendLogs::Others && audit.others_write().await?;
    let calls = audit.calls().await?;
    audit.days(&calls).await?;
    audit.requests().await?;
    audit.their_days().await?;
    if !audit.found.shared {
        audit.counters().await?;
    }
    Ok(audit.found)
}

/// Amounts by key and day; the empty key is all.
type ByDay = BTreeMap<(Box<str>, Box<str>), (f64, i64)>;

struct Audit<'d> {
    database: &'d Database,
    found: Audited,
    theirs: SpendLogs,
}

impl Audit<'_> {
    /// Whether there are requests that cost something and that the ledger does not have, although it has older ones.
    async fn others_write(&self) -> Result<bool, Error> {
        let text = "select count(*) from (select 1 from {theirs}\"LiteLLM_SpendLogs\" as logs where logs.spend <> 0 and \
                    logs.\"startTime\" >= (select timestamp 'epoch' + min(at) * interval '1 millisecond' from {hale}attempts) \
                    and not exists (select 1 from {hale}attempts as calls where calls.request = logs.request_id) limit 1) as other";
        let rows = self.database.read_spend(text.to_owned(), Vec::new()).await?;
        Ok(rows.first().is_some_and(|row| integer(row, 0) > 0))
    }

    /// The first day of which no call was deleted.
    async fn first_day(&self) -> Result<Box<str>, Error> {
        let oldest = "select min(at), (select min(day) from {hale}attempt_sums), (select min(day) from {hale}spend_days) \
                      from {hale}attempts";
        let rows = self.database.read_spend(oldest.to_owned(), Vec::new()).await?;
        let Some(row) = rows.first() else { return Ok("".into()) };
        let (calls, sums, days) =
            (row.first().and_then(Value::integer), text(row, 1), text(row, 2));
        let of_calls = calls.and_then(|at| u64::try_from(at).ok()).map(day_of);
        match of_calls {
            // The calls of the days before were deleted, and perhaps some of that day.
            Some(day) if !days.is_empty() && *days < *day && (sums.is_empty() || *sums >= *day) => {
                let at = calls.unwrap_or(0) / DAY_MS * DAY_MS + DAY_MS;
                Ok(day_of(u64::try_from(at).unwrap_or(0)).into())
            }
            _ => Ok(days),
        }
    }

    /// The cost of all calls, by key and day.
    async fn calls(&mut self) -> Result<ByDay, Error> {
        self.found.from = self.first_day().await?;
        let mut calls = ByDay::new();
        let single = "select key_hash, at / 86400000, cast(count(*) as bigint), cast(coalesce(sum(cost_nano), 0) as bigint) \
                      from {hale}attempts group by key_hash, at / 86400000";
        for row in self.database.read_spend(single.to_owned(), Vec::new()).await? {
            let day = day_of(u64::try_from(integer(&row, 1) * DAY_MS).unwrap_or(0));
            self.add(&mut calls, (text(&row, 0), day.into()), (number(&row, 3), integer(&row, 2)));
        }
        let summed = "select key_hash, day, cast(sum(calls) as bigint), cast(sum(cost_nano) as bigint) \
                      from {hale}attempt_sums group by key_hash, day";
        for row in self.database.read_spend(summed.to_owned(), Vec::new()).await? {
            self.add(
                &mut calls,
                (text(&row, 0), text(&row, 1)),
                (number(&row, 3), integer(&row, 2)),
            );
        }
        let all = calls.iter().filter(|((key, _), _)| key.is_empty());
        self.found.days = all.clone().count() as u64;
        self.found.calls = all.clone().map(|(_, (_, calls))| calls).sum();
        #[allow(clippy::cast_possible_truncation, reason = "a sum of whole numbers")]
        let nano = all.map(|(_, (nano, _))| *nano as i64).sum();
        self.found.nano = nano;
        Ok(calls)
    }

    /// Adds to a key and to all of them. Requests without a key are among all alone.
    fn add(&self, to: &mut ByDay, (key, day): (Box<str>, Box<str>), (nano, calls): (f64, i64)) {
        if *day < *self.found.from {
            return;
        }
        let both = [Some("".into()), Some(key).filter(|key| !key.is_empty())];
        for key in both.into_iter().flatten() {
            let sum = to.entry((key, day.clone())).or_default();
            *sum = (sum.0 + nano, sum.1 + calls);
        }
    }

    /// Compares the ledger's calls with its days.
    async fn days(&mut self, calls: &ByDay) -> Result<(), Error> {
        let text_of = "select kind, id, day, cast(sum(cost_nano) as bigint), cast(sum(calls) as bigint) from {hale}spend_days \
                       where kind in ('key', 'model') and day >= $1 group by kind, id, day";
        let mut days = ByDay::new();
        for row in
            self.database.read_spend(text_of.to_owned(), vec![(&*self.found.from).into()]).await?
        {
            let key = if &*text(&row, 0) == "key" { text(&row, 1) } else { "".into() };
            let sum = days.entry((key, text(&row, 2))).or_default();
            *sum = (sum.0 + number(&row, 3), sum.1 + integer(&row, 4));
        }
        let both: std::collections::BTreeSet<_> = calls.keys().chain(days.keys()).collect();
        for place in both {
            let (one, other) = (
                calls.get(place).copied().unwrap_or_default(),
                days.get(place).copied().unwrap_or_default(),
            );
            let (key, day) = place;
            let name = if key.is_empty() { "all keys".to_owned() } else { format!("key {key}") };
            if !agree(one.0, other.0) {
                self.differs(format!("spend_days, {name}, {day}"), one.0, other.0);
            }
            if one.1 != other.1 {
                let what = format!(
                    "spend_days, {name}, {day}: {} calls, and attempts has {}",
                    other.1, one.1
                );
                self.differs(what, one.0, other.0);
            }
        }
        Ok(())
    }

    fn differs(&mut self, place: String, ledger_nano: f64, there_nano: f64) {
        if self.found.differences.len() < NAMED_MAX {
            let (ledger, there) = (ledger_nano / 1e9, there_nano / 1e9);
            self.found.differences.push(Difference { place, ledger, there });
        }
    }

    /// Compares the calls of each request with its row of LiteLLM.
    async fn requests(&mut self) -> Result<(), Error> {
        let sums = "(select request, cast(sum(coalesce(cost_nano, 0)) as double precision) as nano from {hale}attempts \
                    where at >= $1 group by request)";
        let theirs = "{theirs}\"LiteLLM_SpendLogs\"";
        let differ = format!(
            "select calls.request, calls.nano, logs.spend * 1e9 from {sums} as calls join {theirs} as logs \
             on logs.request_id = calls.request where abs(logs.spend * 1e9 - calls.nano) > {LEAST} + abs(calls.nano) * {RELATIVE} limit {NAMED_MAX}"
        );
        let from = self.first_ms();
        let mut found = self.database.read_spend(differ, vec![from.into()]).await?;
        if self.theirs != SpendLogs::Others {
            let lost = format!(
                "select logs.request_id, 0.0, logs.spend * 1e9 from {theirs} as logs where logs.spend <> 0 and not exists \
                 (select 1 from {{hale}}attempts as calls where calls.request = logs.request_id) and {} limit {NAMED_MAX}",
                match self.theirs {
                    SpendLogs::InAFile => "logs.\"startTime\" >= $1",
                    SpendLogs::Hale | SpendLogs::Others => {
                        "logs.\"startTime\" >= timestamp 'epoch' + $1 * interval '1 millisecond'"
                    }
                }
            );
            found.extend(self.database.read_spend(lost, vec![from.into()]).await?);
        }
        for row in found {
            self.differs(
                format!("LiteLLM_SpendLogs, request {}", text(&row, 0)),
                number(&row, 1),
                number(&row, 2),
            );
        }
        Ok(())
    }

    /// When the first day began, milliseconds since 1970.
    fn first_ms(&self) -> i64 {
        let date = self.found.from.parse::<jiff::civil::Date>().ok();
        let start = date.and_then(|date| date.to_zoned(jiff::tz::TimeZone::UTC).ok());
        start.map_or(0, |start| start.timestamp().as_millisecond())
    }

    /// Compares the ledger's days with LiteLLM's.
    async fn their_days(&mut self) -> Result<(), Error> {
        const DAILY: [(Table, &str); 6] = [
            (Table::DailyUser, "key"),
            (Table::DailyUser, "user"),
            (Table::DailyTeam, "team"),
            (Table::DailyOrganization, "organization"),
            (Table::DailyEndUser, "end_user"),
            (Table::DailyTag, "tag"),
        ];
        for (table, kind) in DAILY {
            if !self.database.has_spend_column(table, "date").await? {
                continue;
            }
            let entity = match kind {
                "key" => "api_key",
                _ => table.columns().first().map_or("", |(name, _)| name),
            };
            let sql = format!(
                "select days.id, days.day, days.nano, coalesce(daily.nano, 0) from (select id, day, \
                 cast(sum(cost_nano) as double precision) as nano from {{hale}}spend_days where kind = '{kind}' and day >= $1 \
                 group by id, day) as days left join (select \"{entity}\" as id, date as day, sum(spend) * 1e9 as nano \
                 from {{theirs}}\"{}\" where date >= $1 group by \"{entity}\", date) as daily \
                 on daily.id = days.id and daily.day = days.day",
                table.name()
            );
            for row in self.database.read_spend(sql, vec![(&*self.found.from).into()]).await? {
                let (ledger, there) = (number(&row, 2), number(&row, 3));
                let is_others = self.found.shared && there > ledger;
                if !agree(ledger, there) && !is_others {
                    self.differs(
                        format!("{}, {kind} {}, {}", table.name(), text(&row, 0), text(&row, 1)),
                        ledger,
                        there,
                    );
                }
            }
        }
        Ok(())
    }

    /// Compares counters with what they were before, the ledger's days, and what was set or reset.
    async fn counters(&mut self) -> Result<(), Error> {
        for table in COUNTERS {
            let Some(kind) = kind_of(table) else { continue };
            if !self.database.has_spend_column(table, "spend").await? {
                continue;
            }
            let columns: Vec<String> = table
                .columns()
                .iter()
                .take(table.key_columns())
                .map(|(name, _)| format!("counters.\"{name}\""))
                .collect();
            let id = columns.join(" || '/' || ");
            let sql = format!(
                "select marks.id, (marks.opening + marks.adjusted) * 1e9 + coalesce(days.nano, 0), counters.spend * 1e9 \
                 from {{hale}}spend_marks as marks join {{theirs}}\"{}\" as counters on {id} = marks.id \
                 left join (select id, cast(sum(cost_nano) as double precision) as nano from {{hale}}spend_days \
                 where kind = '{kind}' group by id) as days on days.id = marks.id where marks.kind = '{kind}'",
                table.name()
            );
            for row in self.database.read_spend(sql, Vec::new()).await? {
                self.found.counters += 1;
                let (ledger, there) = (number(&row, 1), number(&row, 2));
                if !agree(ledger, there) {
                    self.differs(format!("counter of {kind} {}", text(&row, 0)), ledger, there);
                }
            }
        }
        Ok(())
    }
}
