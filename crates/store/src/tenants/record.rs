//! Between rows and JSON.
//!
//! Called by both databases. Always true: a time is milliseconds since 1970 in JSON and in SQLite, a text without a zone in
//! PostgreSQL; what a column cannot have is none.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::Value as Json;

use super::change::Record;
use super::table::{ColumnType, TenantTable};
use crate::value::Value;

/// Which columns a server's tables have.
#[derive(Clone, Debug, Default)]
pub(crate) struct Columns(BTreeMap<Box<str>, BTreeSet<Box<str>>>);

impl Columns {
    pub(crate) fn add(&mut self, table: &str, column: &str) {
        self.0.entry(table.into()).or_default().insert(column.into());
    }

    pub(crate) fn has(&self, table: TenantTable, column: &str) -> bool {
        self.has_column(table.name(), column)
    }

    pub(crate) fn has_column(&self, table: &str, column: &str) -> bool {
        self.0.get(table).is_some_and(|columns| columns.contains(column))
    }

    /// All tables with their columns.
    pub(crate) fn all(&self) -> Vec<(Box<str>, Vec<Box<str>>)> {
        let all = self.0.iter();
        all.map(|(table, columns)| (table.clone(), columns.iter().cloned().collect())).collect()
    }

    pub(crate) fn has_table(&self, table: TenantTable) -> bool {
        self.0.contains_key(table.name())
    }
}

/// A row of SQLite, whose values are in the order of the table's columns.
pub(crate) fn of_values(table: TenantTable, row: Vec<Value>) -> Record {
    let named = table.columns().iter().zip(row);
    named.map(|((name, kind), value)| ((*name).to_owned(), json_of(*kind, value))).collect()
}

fn json_of(kind: ColumnType, value: Value) -> Json {
    match (kind, value) {
        (_, Value::Null) => Json::Null,
        (ColumnType::Bool, Value::Integer(is)) => Json::Bool(is != 0),
        (ColumnType::Json | ColumnType::List, Value::Text(text)) => {
            serde_json::from_str(&text).unwrap_or_else(|_| Json::String(text.into()))
        }
        (_, Value::Integer(number)) => number.into(),
        (_, Value::Real(number)) => number.into(),
        (_, Value::Text(text)) => Json::String(text.into()),
    }
}

/// A value as SQLite has it in a column of that type.
pub(crate) fn value_of(kind: ColumnType, json: &Json) -> Value {
    match (kind, json) {
        (_, Json::Null) => Value::Null,
        (ColumnType::Json | ColumnType::List, json) => Value::from(&*json.to_string()),
        (_, Json::Bool(is)) => (*is).into(),
        (ColumnType::Real, Json::Number(number)) => number.as_f64().into(),
        (_, Json::Number(number)) => match number.as_i64() {
            Some(whole) => whole.into(),
            None => number.as_f64().into(),
        },
        (_, Json::String(text)) => Value::from(&**text),
        (_, Json::Array(_) | Json::Object(_)) => Value::from(&*json.to_string()),
    }
}

/// A row of PostgreSQL as it gives it as JSON.
pub(crate) fn of_json(table: TenantTable, text: &str) -> Option<Record> {
    let mut record: Record = serde_json::from_str(text).ok()?;
    for (name, kind) in table.columns() {
        if *kind == ColumnType::Time
            && let Some(value) = record.get_mut(*name)
        {
            let ms = value.as_str().and_then(milliseconds);
            *value = ms.map_or(Json::Null, Json::from);
        }
    }
    Some(record)
}

/// The same the other way.
pub(crate) fn to_json(table: TenantTable, record: &Record) -> String {
    let value = |(name, value): (&String, &Json)| {
        let is_time = table.column(name) == Some(ColumnType::Time);
        let value = match value.as_i64().filter(|_| is_time) {
            Some(ms) => Json::String(text_of(ms)),
            None => value.clone(),
        };
        (name.clone(), value)
    };
    // PostgreSQL refuses a zero in a text.
    let text = Json::Object(record.iter().map(value).collect()).to_string();
    if text.contains("\\u0000") { text.replace("\\u0000", "\\ufffd") } else { text }
}

fn milliseconds(text: &str) -> Option<i64> {
    let at = text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok()?;
    Some(at.timestamp().as_millisecond())
}

fn text_of(ms: i64) -> String {
    let at = jiff::Timestamp::from_millisecond(ms).unwrap_or_default();
    at.to_zoned(TimeZone::UTC).datetime().to_string()
}

/// Milliseconds as a statement of PostgreSQL has them in a column of times.
pub(crate) fn seconds_of(parameter: usize) -> String {
    format!("(timestamp 'epoch' + ${parameter} * interval '1 millisecond')")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_row_comes_back_from_both_databases_as_it_was() {
        let Json::Object(record) = json!({
            "token": "h", "models": ["a", "b"], "metadata": {"x": [1, {"y": null}]}, "spend": 0.25, "blocked": true,
            "expires": 1_795_894_830_123_i64, "rpm_limit": 7, "max_budget": null, "key_alias": "{\"no\": json",
        }) else {
            panic!("an object")
        };
        let table = TenantTable::Keys;
        let columns = table.columns().iter();
        let row = columns
            .map(|(name, kind)| record.get(*name).map_or(Value::Null, |it| value_of(*kind, it)));
        let mut read = of_values(table, row.collect());
        read.retain(|name, _| record.contains_key(name));
        assert_eq!(read, record);
        let text = to_json(table, &record);
        assert!(text.contains("2026-11-28T19:40:30.123"), "{text}");
        assert_eq!(of_json(table, &text), Some(record));
    }

    #[test]
    fn what_no_server_takes_becomes_what_one_takes() {
        let Json::Object(record) = json!({"key_alias": "a\u{0}b"}) else { panic!("an object") };
        assert_eq!(to_json(TenantTable::Keys, &record), "{\"key_alias\":\"a\\ufffdb\"}");
    }
}
