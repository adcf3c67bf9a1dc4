//! The tables that have rows of Hale: names, columns, keys, and what a row with a known key does.
//!
//! Read by both databases, the spool, export and import. Always true: the migrations make exactly these
//! (a test compares them); the key is the first columns; no text of SQL has a value in it.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

/// A table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Table {
    /// Changes of state of deployments and credentials.
    HealthChanges,
    /// Results of probes.
    ProbeResults,
    /// Finished requests.
    Requests,
    /// Minutes and days.
    Rollups,
    /// What operators did.
    OperatorActions,
    /// Settings made at run time.
    Settings,
    /// Incidents.
    Incidents,
}

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Integer,
    Real,
    Text,
}

impl Type {
    /// Its name in PostgreSQL.
    pub(crate) const fn postgres(self) -> &'static str {
        match self {
            Type::Integer => "bigint",
            Type::Real => "double precision",
            Type::Text => "text",
        }
    }
}

/// What a row does whose key is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnConflict {
    /// Nothing: the row that is there stays.
    Keep,
    /// Its numbers are added.
    Add,
    /// It replaces an older one.
    Replace,
}

type Columns = &'static [(&'static str, Type)];

const HEALTH_CHANGES: Columns = &[
    ("id", Type::Text),
    ("at", Type::Integer),
    ("replica", Type::Text),
    ("deployment", Type::Text),
    ("credential", Type::Text),
    ("part", Type::Text),
    ("model", Type::Text),
    ("operation", Type::Text),
    ("from_state", Type::Text),
    ("to_state", Type::Text),
    ("cause", Type::Text),
    ("source", Type::Text),
    ("until_at", Type::Integer),
    ("provider_issued", Type::Integer),
];

const PROBE_RESULTS: Columns = &[
    ("id", Type::Text),
    ("model_name", Type::Text),
    ("model_id", Type::Text),
    ("status", Type::Text),
    ("healthy_count", Type::Integer),
    ("unhealthy_count", Type::Integer),
    ("error_message", Type::Text),
    ("response_time_ms", Type::Real),
    ("details", Type::Text),
    ("checked_by", Type::Text),
    ("checked_at", Type::Integer),
];

const REQUESTS: Columns = &[
    ("id", Type::Text),
    ("arrived_at", Type::Integer),
    ("replica", Type::Text),
    ("call_id", Type::Text),
    ("operation", Type::Text),
    ("requested_model", Type::Text),
    ("model_group", Type::Text),
    ("deployment", Type::Text),
    ("status", Type::Integer),
    ("ending", Type::Text),
    ("cause", Type::Text),
    ("stream", Type::Integer),
    ("retries", Type::Integer),
    ("fallbacks", Type::Integer),
    ("resends", Type::Integer),
    ("duration_us", Type::Integer),
    ("first_content_us", Type::Integer),
    ("overhead_us", Type::Integer),
    ("waited_us", Type::Integer),
    ("input_tokens", Type::Integer),
    ("output_tokens", Type::Integer),
    ("cache_read_tokens", Type::Integer),
    ("cache_write_tokens", Type::Integer),
    ("reasoning_tokens", Type::Integer),
    ("usage_estimated", Type::Integer),
    ("cost_usd", Type::Real),
    ("request_bytes", Type::Integer),
    ("response_bytes", Type::Integer),
];

const ROLLUPS: Columns = &[
    ("width_s", Type::Integer),
    ("start_at", Type::Integer),
    ("model_group", Type::Text),
    ("deployment", Type::Text),
    ("cause", Type::Text),
    ("requests", Type::Integer),
    ("retries", Type::Integer),
    ("fallbacks", Type::Integer),
    ("input_tokens", Type::Integer),
    ("output_tokens", Type::Integer),
    ("cost_usd", Type::Real),
    ("duration_us", Type::Integer),
    ("first_contents", Type::Integer),
    ("first_content_us", Type::Integer),
    ("d00", Type::Integer),
    ("d01", Type::Integer),
    ("d02", Type::Integer),
    ("d03", Type::Integer),
    ("d04", Type::Integer),
    ("d05", Type::Integer),
    ("d06", Type::Integer),
    ("d07", Type::Integer),
    ("d08", Type::Integer),
    ("d09", Type::Integer),
    ("d10", Type::Integer),
    ("d11", Type::Integer),
    ("d12", Type::Integer),
    ("d13", Type::Integer),
    ("f00", Type::Integer),
    ("f01", Type::Integer),
    ("f02", Type::Integer),
    ("f03", Type::Integer),
    ("f04", Type::Integer),
    ("f05", Type::Integer),
    ("f06", Type::Integer),
    ("f07", Type::Integer),
    ("f08", Type::Integer),
    ("f09", Type::Integer),
    ("f10", Type::Integer),
    ("f11", Type::Integer),
    ("f12", Type::Integer),
    ("f13", Type::Integer),
];

const OPERATOR_ACTIONS: Columns = &[
    ("id", Type::Text),
    ("at", Type::Integer),
    ("replica", Type::Text),
    ("actor", Type::Text),
    ("action", Type::Text),
    ("deployment", Type::Text),
];

const SETTINGS: Columns = &[
    ("name", Type::Text),
    ("value", Type::Text),
    ("updated_at", Type::Integer),
    ("updated_by", Type::Text),
];

const INCIDENTS: Columns = &[
    ("id", Type::Text),
    ("kind", Type::Text),
    ("stage", Type::Text),
    ("title", Type::Text),
    ("opened_at", Type::Integer),
    ("ended_at", Type::Integer),
    ("replica", Type::Text),
    ("requests", Type::Integer),
    ("state", Type::Text),
    ("updated_at", Type::Integer),
];

impl Table {
    /// All tables.
    pub const ALL: [Table; 7] = [
        Table::HealthChanges,
        Table::ProbeResults,
        Table::Requests,
        Table::Rollups,
        Table::OperatorActions,
        Table::Settings,
        Table::Incidents,
    ];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Table::HealthChanges => "health_changes",
            Table::ProbeResults => "probe_results",
            Table::Requests => "requests",
            Table::Rollups => "rollups",
            Table::OperatorActions => "operator_actions",
            Table::Settings => "settings",
            Table::Incidents => "incidents",
        }
    }

    /// Its columns.
    pub(crate) const fn columns(self) -> Columns {
        match self {
            Table::HealthChanges => HEALTH_CHANGES,
            Table::ProbeResults => PROBE_RESULTS,
            Table::Requests => REQUESTS,
            Table::Rollups => ROLLUPS,
            Table::OperatorActions => OPERATOR_ACTIONS,
            Table::Settings => SETTINGS,
            Table::Incidents => INCIDENTS,
        }
    }

    /// How many columns its key has: the first ones.
    pub(crate) const fn key_columns(self) -> usize {
        match self {
            Table::Rollups => 5,
            Table::HealthChanges
            | Table::ProbeResults
            | Table::Requests
            | Table::OperatorActions
            | Table::Settings
            | Table::Incidents => 1,
        }
    }

    /// What a row does whose key is known.
    pub(crate) const fn on_conflict(self) -> OnConflict {
        match self {
            Table::HealthChanges
            | Table::ProbeResults
            | Table::Requests
            | Table::OperatorActions => OnConflict::Keep,
            Table::Rollups => OnConflict::Add,
            Table::Settings | Table::Incidents => OnConflict::Replace,
        }
    }

    /// The statement that adds one row to SQLite: a parameter for each column.
    pub(crate) fn insert_one(self, conflict: OnConflict) -> String {
        let places: Vec<String> = (1..=self.columns().len()).map(|at| format!("?{at}")).collect();
        format!("{} values ({}){}", self.insert_into(""), places.join(", "), self.tail(conflict))
    }

    /// The statement that adds many rows to PostgreSQL: an array for each column.
    pub(crate) fn insert_many(self, conflict: OnConflict) -> String {
        let array =
            |(at, (_, kind)): (usize, &(&str, Type))| format!("${}::{}[]", at + 1, kind.postgres());
        let arrays: Vec<String> = self.columns().iter().enumerate().map(array).collect();
        let rows = format!(" select * from unnest({})", arrays.join(", "));
        format!("{}{rows}{}", self.insert_into("hale."), self.tail(conflict))
    }

    fn insert_into(self, schema: &str) -> String {
        format!("insert into {schema}{} as kept ({})", self.name(), self.names().join(", "))
    }

    /// The names of its columns.
    pub(crate) fn names(self) -> Vec<&'static str> {
        self.columns().iter().map(|(name, _)| *name).collect()
    }

    fn tail(self, conflict: OnConflict) -> String {
        let names = self.names();
        let (key, others) = names.split_at(self.key_columns());
        let mut text = format!(" on conflict ({}) do ", key.join(", "));
        let set = |value: fn(&str) -> String| {
            let each: Vec<String> =
                others.iter().map(|name| format!("{name} = {}", value(name))).collect();
            format!("update set {}", each.join(", "))
        };
        match conflict {
            OnConflict::Keep => text.push_str("nothing"),
            OnConflict::Add => text.push_str(&set(|name| format!("kept.{name} + excluded.{name}"))),
            OnConflict::Replace => {
                text.push_str(&set(|name| format!("excluded.{name}")));
                // Writing to a text cannot fail.
                let _written = write!(text, " where kept.updated_at <= excluded.updated_at");
            }
        }
        text
    }
}
