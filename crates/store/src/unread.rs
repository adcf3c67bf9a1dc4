//! What a database of LiteLLM has that this binary does not read.
//!
//! Asked by `hale migrate check`. Always true: it is only looked at; a file has nothing of the kind.

use crate::database::Database;
use crate::error::Error;
use crate::table::{COUNTERS, Table};
use crate::tenants::TenantTable;
use crate::value::Value;

/// Rows of one table that are counted.
const ROWS_MAX: u64 = 1_000;
/// Tables of reports and logs that nothing is enforced by.
const OF_NO_WEIGHT: &[&str] = &[
    "LiteLLM_CronJob",
    "LiteLLM_ErrorLogs",
    "LiteLLM_HealthCheckTable",
    "LiteLLM_UserNotifications",
];

/// Columns that have what people call a row, the first one of a table.
const NAMES: &[&str] = &[
    "model_name",
    "credential_name",
    "guardrail_name",
    "policy_name",
    "server_name",
    "agent_name",
    "vector_store_name",
    "search_tool_name",
    "param_name",
    "prompt_id",
    "project_id",
    "jwt_claim_value",
];

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A table, or a column of one that is read, that this binary does not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    /// The table.
    pub table: Box<str>,
    /// The column; `None` is the whole table.
    pub column: Option<Box<str>>,
    /// Rows that have something there, as far as they are counted.
    pub rows: u64,
    /// What its rows are called, of a table.
    pub names: Vec<Box<str>>,
}

impl Database {
    /// The tables of LiteLLM with rows that are not read, and the columns of those that are.
    ///
    /// # Errors
    /// Why they cannot be read.
    pub async fn unread(&self) -> Result<Vec<Unread>, Error> {
        let mut found = Vec::new();
        for (table, columns) in self.their_tables().await? {
            let read = TenantTable::ALL.into_iter().find(|one| one.name() == &*table);
            let Some(read) = read else {
                let of_spend = COUNTERS.iter().chain(&[
                    Table::DailyUser,
                    Table::DailyTeam,
                    Table::DailyOrganization,
                    Table::DailyEndUser,
                    Table::DailyTag,
                ]);
                let is_known = OF_NO_WEIGHT.contains(&&*table)
                    || of_spend.into_iter().any(|one| one.name() == &*table);
                let rows = if is_known { 0 } else { self.filled(&table, None).await? };
                if rows > 0 {
                    let names = self.names(&table, &columns).await?;
                    found.push(Unread { table, column: None, rows, names });
                }
                continue;
            };
            // Rows of finished requests are reports, and of settings all is read that they set.
            if matches!(read, TenantTable::SpendLogs | TenantTable::Settings) {
                continue;
            }
            for column in columns.into_iter().filter(|column| read.column(column).is_none()) {
                let rows = self.filled(&table, Some(&column)).await?;
                if rows > 0 {
                    let (table, column) = (table.clone(), Some(column));
                    found.push(Unread { table, column, rows, names: Vec::new() });
                }
            }
        }
        Ok(found)
    }

    /// What the rows of a table are called.
    async fn names(&self, table: &str, columns: &[Box<str>]) -> Result<Vec<Box<str>>, Error> {
        let name = NAMES.iter().find(|name| columns.iter().any(|one| **one == ***name));
        let Some(name) = name else { return Ok(Vec::new()) };
        let table = quoted(table);
        let sql = format!(
            "select distinct \"{name}\"::text from {{theirs}}{table} where \"{name}\" is not null order by 1 limit {ROWS_MAX}"
        );
        let rows = self.read_spend(sql, Vec::new()).await?;
        Ok(rows.iter().filter_map(|row| row.first()?.text()).map(Box::from).collect())
    }

    /// Rows of a table that have something in a column, or all of them.
    async fn filled(&self, table: &str, column: Option<&str>) -> Result<u64, Error> {
        let has = column.map_or_else(String::new, |column| {
            let it = format!("to_jsonb({})", quoted(column));
            format!(" where {it} not in ('null', '{{}}', '[]', 'false', '0', '\"\"')")
        });
        let table = quoted(table);
        let sql = format!(
            "select count(*) from (select 1 from {{theirs}}{table}{has} limit {ROWS_MAX}) as filled"
        );
        let rows = self.read_spend(sql, Vec::new()).await?;
        let count = rows.first().and_then(|row| row.first()).and_then(Value::integer);
        Ok(count.and_then(|count| u64::try_from(count).ok()).unwrap_or(0))
    }
}
