//! In which form a report leaves: JSON, or rows as CSV.
//!
//! Used by all reports. Always true: CSV has a header also if there are no rows; another form than those that a page has is refused.

use http::{HeaderValue, Response, StatusCode};
use serde_json::{Value, json};

use super::scope::choice;
use crate::http::refusal::Refusal;
use crate::http::reply::{self, Reply};
use crate::pages::PageRequest;
use crate::pages::admin::page;

/// A form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// JSON.
    Json,
    /// Rows, with a header.
    Csv,
}

impl Form {
    /// The one that the query names: `format`.
    pub(super) fn of(request: &PageRequest<'_>) -> Result<Form, Refusal> {
        let form = choice(request, "format", &[("json", Form::Json), ("csv", Form::Csv)])?;
        Ok(form.unwrap_or(Form::Json))
    }

    /// Refuses another one than JSON, for a page that has no rows.
    pub(super) fn must_be_json(request: &PageRequest<'_>) -> Result<(), Refusal> {
        choice(request, "format", &[("json", ())]).map(|_| ())
    }

    /// A list of rows with those columns.
    pub(super) fn rows(self, columns: &[&str], rows: &[Value]) -> Response<Reply> {
        match self {
            Form::Json => page(&json!(rows)),
            Form::Csv => csv(columns, rows),
        }
    }
}

/// Rows as CSV (RFC 4180).
fn csv(columns: &[&str], rows: &[Value]) -> Response<Reply> {
    let kind = HeaderValue::from_static("text/csv; charset=utf-8");
    reply::text(StatusCode::OK, kind, text(columns, rows))
}

fn text(columns: &[&str], rows: &[Value]) -> String {
    let line = |fields: Vec<String>| fields.join(",") + "\r\n";
    let mut text = line(columns.iter().map(|name| field(name)).collect());
    for row in rows {
        let value = |name: &&str| match &row[*name] {
            Value::Null => String::new(),
            Value::String(text) => field(text),
            other => field(&other.to_string()),
        };
        text.push_str(&line(columns.iter().map(value).collect()));
    }
    text
}

/// A field that no program of tables takes for a formula.
fn field(text: &str) -> String {
    let is_formula =
        text.starts_with(['=', '+', '-', '@', '\t', '\r']) && text.parse::<f64>().is_err();
    let text = if is_formula { format!("'{text}") } else { text.to_owned() };
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_quoted_and_is_no_formula() {
        for (text, expected) in [
            ("a", "a"),
            ("a,b", "\"a,b\""),
            ("say \"x\"", "\"say \"\"x\"\"\""),
            ("=1+1", "'=1+1"),
            ("-1.5", "-1.5"),
            ("@x,y", "\"'@x,y\""),
        ] {
            assert_eq!(field(text), expected);
        }
    }

    #[test]
    fn rows_have_the_columns_of_the_page_whatever_they_have() {
        assert_eq!(text(&["a", "b"], &[]), "a,b\r\n");
        let rows = [json!({"b": 1.5, "a": "x,y"}), json!({"a": null, "c": 2})];
        assert_eq!(text(&["a", "b"], &rows), "a,b\r\n\"x,y\",1.5\r\n,\r\n");
    }
}
