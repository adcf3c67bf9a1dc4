//! Queries of what was spent: finished requests, and sums of days.
//!
//! Made by the reports of the gateway, run by [`crate::database`]. Always true: names of columns come from closed lists, values are
//! bound; sums are made of days, so that a month costs as much as its days have keys and models, however many requests there were.

use super::change::Find;
use super::record::seconds_of;
use super::step::Place;
use super::table::TenantTable;
use crate::table::Table;
use crate::value::Value;

/// Whose days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DaysOf {
    /// Users'; these are all requests.
    Users,
    /// Teams'.
    Teams,
    /// Organizations'.
    Organizations,
    /// End users'.
    EndUsers,
    /// Tags'.
    Tags,
}

impl DaysOf {
    pub(crate) const fn table(self) -> Table {
        match self {
            DaysOf::Users => Table::DailyUser,
            DaysOf::Teams => Table::DailyTeam,
            DaysOf::Organizations => Table::DailyOrganization,
            DaysOf::EndUsers => Table::DailyEndUser,
            DaysOf::Tags => Table::DailyTag,
        }
    }
}

/// By what sums of days are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum By {
    /// The day.
    Date,
    /// The user, the team, ...
    Entity,
    /// The hash of the key.
    Key,
    /// The model at the provider.
    Model,
    /// The model group.
    ModelGroup,
    /// The provider.
    Provider,
    /// The endpoint.
    Endpoint,
}

impl By {
    fn column(self, of: DaysOf) -> &'static str {
        match self {
            By::Date => "date",
            By::Entity => of.table().columns().first().map_or("", |(name, _)| name),
            By::Key => "api_key",
            By::Model => "model",
            By::ModelGroup => "model_group",
            By::Provider => "custom_llm_provider",
            By::Endpoint => "endpoint",
        }
    }
}

/// Which days, and how they are summed.
#[derive(Clone, Debug)]
pub struct DayFilter {
    /// Whose.
    pub of: DaysOf,
    /// From this day on, `2026-11-28`; empty is all.
    pub from: Box<str>,
    /// To this day, included; empty is all.
    pub to: Box<str>,
    /// Only where it is one of these.
    pub with: Vec<(By, Vec<Box<str>>)>,
    /// Told apart by these.
    pub by: Vec<By>,
    /// At most so many sums, the dearest first, or the newest if they are told apart by day.
    pub limit: u32,
    /// Without so many before them.
    pub skip: u32,
}

/// A sum of days.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DaySum {
    /// What it is told apart by, in the order of the filter.
    pub of: Vec<Box<str>>,
    /// USD.
    pub spend: f64,
    /// Tokens of prompts.
    pub prompt_tokens: i64,
    /// Tokens of answers.
    pub completion_tokens: i64,
    /// Prompt tokens read from providers' caches.
    pub cache_read_tokens: i64,
    /// Prompt tokens written to them.
    pub cache_write_tokens: i64,
    /// Requests.
    pub requests: i64,
    /// Those that succeeded.
    pub successful: i64,
    /// Those that failed.
    pub failed: i64,
}

impl DaySum {
    /// From a row of [`Place::days`], which begins with so many texts.
    pub(crate) fn of(row: &[Value], texts: usize) -> DaySum {
        let number = |at: usize| row.get(texts + at).and_then(Value::integer).unwrap_or(0);
        DaySum {
            of: row.iter().take(texts).map(|text| text.text().unwrap_or_default().into()).collect(),
            spend: row.get(texts).and_then(Value::real).unwrap_or(0.0),
            prompt_tokens: number(1),
            completion_tokens: number(2),
            cache_read_tokens: number(3),
            cache_write_tokens: number(4),
            requests: number(5),
            successful: number(6),
            failed: number(7),
        }
    }
}

/// By what finished requests are sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogOrder {
    /// When they began.
    #[default]
    Start,
    /// When they ended.
    End,
    /// What they cost.
    Spend,
    /// Their tokens.
    Tokens,
    /// How long they took.
    Duration,
    /// Their model.
    Model,
}

/// Which finished requests to read.
#[derive(Clone, Debug, Default)]
pub struct LogFilter {
    /// That began at this time or later, milliseconds since 1970.
    pub from: Option<i64>,
    /// That began before this time.
    pub before: Option<i64>,
    /// Whose columns have one of these texts, each of them.
    pub with: Vec<(&'static str, Vec<Box<str>>)>,
    /// That cost so much or more.
    pub least_usd: Option<f64>,
    /// That cost so much or less.
    pub most_usd: Option<f64>,
    /// In this order.
    pub order: LogOrder,
    /// The smallest first.
    pub ascends: bool,
    /// At most so many.
    pub limit: u32,
    /// Without so many before them.
    pub skip: u32,
}

/// What finished requests of a model come to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogSum {
    /// The model.
    pub model: Box<str>,
    /// Requests.
    pub requests: i64,
    /// Those that failed.
    pub failed: i64,
    /// USD.
    pub spend: f64,
    /// Tokens of prompts.
    pub prompt_tokens: i64,
    /// Tokens of answers.
    pub completion_tokens: i64,
}

impl LogSum {
    /// From a row of [`Place::log_sums`].
    pub(crate) fn of(row: &[Value]) -> LogSum {
        let number = |at: usize| row.get(at).and_then(Value::integer).unwrap_or(0);
        LogSum {
            model: row.first().and_then(Value::text).unwrap_or_default().into(),
            requests: number(1),
            failed: number(2),
            spend: row.get(3).and_then(Value::real).unwrap_or(0.0),
            prompt_tokens: number(4),
            completion_tokens: number(5),
        }
    }
}

impl Place {
    /// The query of sums of days; `None` if a server lacks the table.
    pub(crate) fn days(&self, filter: &DayFilter) -> Option<(String, Vec<Value>)> {
        let table = filter.of.table();
        let is_there = |column: &str| match self {
            Place::File => true,
            Place::Server { columns, .. } => columns.has_column(table.name(), column),
        };
        if !is_there("date") {
            return None;
        }
        let text = |by: &By| {
            let column = by.column(filter.of);
            match is_there(column) {
                true => format!("coalesce(\"{column}\", '')"),
                false => "''".to_owned(),
            }
        };
        let sum = |column: &str| format!("cast(coalesce(sum(\"{column}\"), 0) as bigint)");
        let mut columns: Vec<String> = filter.by.iter().map(text).collect();
        columns.push("coalesce(sum(\"spend\"), 0)".to_owned());
        columns.extend(
            [
                "prompt_tokens",
                "completion_tokens",
                "cache_read_input_tokens",
                "cache_creation_input_tokens",
                "api_requests",
                "successful_requests",
                "failed_requests",
            ]
            .map(sum),
        );
        let mut values = Vec::new();
        let mut conditions = Vec::new();
        for (name, day) in [(">=", &filter.from), ("<=", &filter.to)] {
            if !day.is_empty() {
                values.push(Value::from(&**day));
                conditions.push(format!("\"date\" {name} ${}", values.len()));
            }
        }
        for (by, texts) in &filter.with {
            conditions.push(self.is_one_of(&text(by), texts, &mut values));
        }
        let mut sql = format!("select {} from {}", columns.join(", "), self.named(table.name()));
        if !conditions.is_empty() {
            sql.push_str(&format!(" where {}", conditions.join(" and ")));
        }
        if !filter.by.is_empty() {
            let places: Vec<String> = (1..=filter.by.len()).map(|at| at.to_string()).collect();
            sql.push_str(&format!(" group by {}", places.join(", ")));
            let spend = filter.by.len() + 1;
            match filter.by.iter().position(|by| *by == By::Date) {
                Some(date) => sql.push_str(&format!(" order by {} desc, {spend} desc", date + 1)),
                None => sql.push_str(&format!(" order by {spend} desc, 1")),
            }
        }
        sql.push_str(&format!(" limit {} offset {}", filter.limit, filter.skip));
        Some((self.written(sql), values))
    }

    /// The query of finished requests, and that of their number; `None` if a server lacks the table.
    pub(crate) fn logs(&self, filter: &LogFilter) -> Option<[(String, Vec<Value>); 2]> {
        let table = TenantTable::SpendLogs;
        let (found, values) = self.logs_that(filter)?;
        let (select, count) =
            (self.query(&Find { limit: 0, ..Find::all(table) })?, "select count(*)");
        let order = match filter.order {
            LogOrder::Start => "\"startTime\"",
            LogOrder::End => "\"endTime\"",
            LogOrder::Spend => "\"spend\"",
            LogOrder::Tokens => "\"total_tokens\"",
            LogOrder::Duration => "\"request_duration_ms\"",
            LogOrder::Model => "\"model\"",
        };
        let way = if filter.ascends { "asc" } else { "desc" };
        let head = select.0.split(" limit ").next().unwrap_or_default().to_owned();
        let rows = format!(
            "{head}{found} order by {order} {way}, \"request_id\" {way} limit {} offset {}",
            filter.limit, filter.skip
        );
        let count = format!("{count} from {}{found}", self.named(table.name()));
        Some([(self.written(rows), values.clone()), (self.written(count), values)])
    }

    /// The query of sums of finished requests by model; `None` if a server lacks the table.
    pub(crate) fn log_sums(&self, filter: &LogFilter) -> Option<(String, Vec<Value>)> {
        let table = TenantTable::SpendLogs;
        self.query(&Find { limit: 0, ..Find::all(table) })?;
        let (found, values) = self.logs_that(filter)?;
        // Older versions of LiteLLM lack the column.
        let has_status = match self {
            Place::File => true,
            Place::Server { columns, .. } => columns.has(table, "status"),
        };
        let is_failed = if has_status { "\"status\" = 'failure'" } else { "false" };
        let sum = |column: &str| format!("cast(coalesce(sum({column}), 0) as bigint)");
        let sql = format!(
            "select coalesce(\"model\", ''), cast(count(*) as bigint), {}, coalesce(sum(\"spend\"), 0), {}, {} from {}{found} group by 1",
            sum(&format!("case when {is_failed} then 1 else 0 end")),
            sum("\"prompt_tokens\""),
            sum("\"completion_tokens\""),
            self.named(table.name())
        );
        Some((self.written(sql), values))
    }

    /// The condition of finished requests, and its values.
    fn logs_that(&self, filter: &LogFilter) -> Option<(String, Vec<Value>)> {
        let table = TenantTable::SpendLogs;
        let mut values = Vec::new();
        let mut conditions = Vec::new();
        for (name, at) in [(">=", filter.from), ("<", filter.before)] {
            if let Some(at) = at {
                values.push(at.into());
                conditions.push(format!("\"startTime\" {name} {}", self.moment(values.len())));
            }
        }
        for (name, usd) in [(">=", filter.least_usd), ("<=", filter.most_usd)] {
            if let Some(usd) = usd {
                values.push(Value::Real(usd));
                conditions.push(format!("\"spend\" {name} ${}", values.len()));
            }
        }
        for (column, texts) in &filter.with {
            table.column(column)?;
            conditions.push(self.is_one_of(&format!("\"{column}\""), texts, &mut values));
        }
        let found = match conditions.is_empty() {
            true => String::new(),
            false => format!(" where {}", conditions.join(" and ")),
        };
        Some((found, values))
    }

    fn named(&self, table: &str) -> String {
        match self {
            Place::File => format!("\"{table}\""),
            Place::Server { schema, .. } => format!("{schema}.\"{table}\""),
        }
    }

    fn moment(&self, parameter: usize) -> String {
        match self {
            Place::File => format!("${parameter}"),
            Place::Server { .. } => seconds_of(parameter),
        }
    }

    /// The condition that a text is one of these.
    fn is_one_of(&self, text: &str, texts: &[Box<str>], values: &mut Vec<Value>) -> String {
        values.push(Value::from(&*serde_json::json!(texts).to_string()));
        let at = values.len();
        match self {
            Place::File => format!("{text} in (select value from json_each(${at}))"),
            Place::Server { .. } => {
                format!("{text} in (select jsonb_array_elements_text(${at}::text::jsonb))")
            }
        }
    }

    /// A statement with the parameters of its database.
    fn written(&self, sql: String) -> String {
        match self {
            Place::File => sql.replace('$', "?"),
            Place::Server { .. } => sql,
        }
    }
}
