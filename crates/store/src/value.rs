//! A value of a column.
//!
//! Made from rows, bound by both databases, and written to spools and exports as JSON. Always true: a text has
//! no zero byte, which PostgreSQL refuses; a number that does not fit is the nearest one that does.

use serde::{Deserialize, Serialize};

/// A value of a column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// None.
    Null,
    /// A whole number: a count, a time in milliseconds since 1970, or 0 and 1 for no and yes.
    Integer(i64),
    /// A number.
    Real(f64),
    /// A text.
    Text(Box<str>),
}

/// The values of one row, in the order of its table's columns.
pub(crate) type Row = Vec<Value>;

impl Value {
    /// The whole number, if it is one.
    #[must_use]
    pub fn integer(&self) -> Option<i64> {
        match self {
            Value::Integer(number) => Some(*number),
            Value::Null | Value::Real(_) | Value::Text(_) => None,
        }
    }

    /// The number, if it is one.
    #[must_use]
    pub fn real(&self) -> Option<f64> {
        match self {
            Value::Real(number) => Some(*number),
            #[allow(clippy::cast_precision_loss, reason = "counts and times are below 2^52")]
            Value::Integer(number) => Some(*number as f64),
            Value::Null | Value::Text(_) => None,
        }
    }

    /// The text, if it is one.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            Value::Null | Value::Integer(_) | Value::Real(_) => None,
        }
    }

    /// Memory that it takes, bytes.
    pub(crate) fn bytes(&self) -> usize {
        let heap = match self {
            Value::Text(text) => text.len(),
            Value::Null | Value::Integer(_) | Value::Real(_) => 0,
        };
        size_of::<Value>() + heap
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        if text.contains('\0') {
            return Value::Text(text.replace('\0', "\u{fffd}").into());
        }
        Value::Text(text.into())
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Value {
        Value::Integer(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Value {
        Value::Integer(number)
    }
}

impl From<bool> for Value {
    fn from(is: bool) -> Value {
        Value::Integer(is.into())
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Value {
        if number.is_finite() { Value::Real(number) } else { Value::Null }
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Value {
        value.map_or(Value::Null, Into::into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_from_json_as_they_were() {
        let row: Row = vec![
            Value::Null,
            7_u64.into(),
            (-7_i64).into(),
            1.0.into(),
            0.5.into(),
            "a\n\"".into(),
        ];
        let text = serde_json::to_string(&row).unwrap();
        assert_eq!(serde_json::from_str::<Row>(&text).unwrap(), row);
    }

    #[test]
    fn what_no_database_takes_becomes_what_one_takes() {
        assert_eq!(Value::from("a\0b"), Value::Text("a\u{fffd}b".into()));
        assert_eq!(Value::from(u64::MAX), Value::Integer(i64::MAX));
        assert_eq!(Value::from(f64::NAN), Value::Null);
        assert_eq!(Value::from(f64::INFINITY), Value::Null);
    }
}
