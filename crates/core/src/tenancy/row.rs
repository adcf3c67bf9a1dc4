//! A row of the store, read by the names of its columns.
//!
//! Made of what the store gives, read by [`super::access`] and by the pages about keys. Always true: a column that is not there is
//! as one without a value; JSON that was written as a text is read as JSON; a number that is not finite is no number.

use crate::money::Money;
use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::time::UnixMs;

/// A row: values by the names of columns. Times are milliseconds since 1970.
pub type Record = Map<String, Value>;

/// A row that is read.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a>(pub &'a Record);

impl<'a> Row<'a> {
    /// The text of a column; an empty one counts as none.
    #[must_use]
    pub fn text(self, column: &str) -> Option<&'a str> {
        self.0.get(column)?.as_str().filter(|text| !text.is_empty())
    }

    /// The whole number of a column; one below 0 is 0.
    #[must_use]
    pub fn count(self, column: &str) -> Option<u64> {
        count_of(self.0.get(column)?)
    }

    /// The moment of a column.
    #[must_use]
    pub fn time(self, column: &str) -> Option<UnixMs> {
        self.count(column).map(UnixMs)
    }

    /// The dollars of a column.
    #[must_use]
    pub fn money(self, column: &str) -> Option<Money> {
        self.0.get(column)?.as_f64().and_then(Money::of_usd)
    }

    /// Whether a column says yes.
    #[must_use]
    pub fn is(self, column: &str) -> bool {
        match self.0.get(column) {
            Some(Value::Bool(is)) => *is,
            Some(Value::Number(number)) => number.as_i64() == Some(1),
            Some(Value::String(_) | Value::Array(_) | Value::Object(_) | Value::Null) | None => {
                false
            }
        }
    }

    /// The texts of a column; none if it has no list.
    #[must_use]
    pub fn list(self, column: &str) -> Vec<Box<str>> {
        let Some(value) = self.json(column) else { return Vec::new() };
        let texts = value.as_array().into_iter().flatten().filter_map(Value::as_str);
        texts.map(Box::from).collect()
    }

    /// The items of a column; none if it has no list.
    #[must_use]
    pub fn items(self, column: &str) -> Vec<Value> {
        match self.json(column).map(Cow::into_owned) {
            Some(Value::Array(items)) => items,
            Some(_) | None => Vec::new(),
        }
    }

    /// The object of a column; an empty one if it has none.
    #[must_use]
    pub fn object(self, column: &str) -> Record {
        match self.json(column).map(Cow::into_owned) {
            Some(Value::Object(object)) => object,
            Some(_) | None => Record::new(),
        }
    }

    /// Whether a column has something in it: a list or an object with members, a text, a number.
    #[must_use]
    pub fn has(self, column: &str) -> bool {
        match self.json(column).as_deref() {
            None | Some(Value::Null) => false,
            Some(Value::Array(items)) => !items.is_empty(),
            Some(Value::Object(members)) => !members.is_empty(),
            Some(Value::String(text)) => !text.is_empty(),
            Some(Value::Bool(is)) => *is,
            Some(Value::Number(_)) => true,
        }
    }

    /// The value of a column. Some writers put JSON into a text.
    fn json(self, column: &str) -> Option<Cow<'a, Value>> {
        let value = self.0.get(column)?;
        let parsed = |text: &str| {
            let looks = text.starts_with(['{', '[', '"']);
            looks.then(|| serde_json::from_str::<Value>(text).ok()).flatten()
        };
        let Some(inner) = value.as_str().and_then(parsed) else {
            return Some(Cow::Borrowed(value));
        };
        // And some do so twice.
        let within = inner.as_str().and_then(parsed);
        match within {
            Some(within) => Some(Cow::Owned(within)),
            None if inner.is_string() => Some(Cow::Borrowed(value)),
            None => Some(Cow::Owned(inner)),
        }
    }
}

/// A count as a value has it.
pub(super) fn count_of(value: &Value) -> Option<u64> {
    let number = value.as_f64().filter(|number| number.is_finite())?;
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the cast saturates, and 0 is the least"
    )]
    Some(value.as_u64().unwrap_or(number as u64))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_are_read_whatever_wrote_them() {
        let record = json!({
            "models": null, "blocked": null, "metadata": "{\"tags\": [\"a\"]}", "list": ["a", 1, "b"], "text": "",
            "rpm": 7, "large": 9_007_199_254_740_993_u64, "float": 7.9, "negative": -1, "yes": 1, "true": true,
            "spend": 0.25, "at": 1_700_000_000_000_u64, "braces": "{no json",
        });
        let Value::Object(record) = record else { panic!("an object") };
        let row = Row(&record);
        assert!(row.list("models").is_empty() && row.list("absent").is_empty());
        assert!(!row.is("blocked") && row.is("yes") && row.is("true"));
        assert_eq!(row.object("metadata")["tags"], json!(["a"]));
        assert_eq!(row.list("list"), ["a".into(), "b".into()]);
        assert_eq!((row.text("text"), row.text("braces")), (None, Some("{no json")));
        let counts = ["rpm", "large", "float", "negative"].map(|name| row.count(name));
        assert_eq!(counts, [Some(7), Some(9_007_199_254_740_993), Some(7), Some(0)]);
        assert_eq!(row.money("spend"), Money::of_usd(0.25));
        assert_eq!(row.time("at"), Some(UnixMs(1_700_000_000_000)));
        assert!(
            row.has("metadata") && !row.has("models") && !row.has("absent") && !row.has("text")
        );
    }
}
