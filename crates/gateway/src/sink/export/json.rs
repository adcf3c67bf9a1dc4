//! JSON objects that are written field by field.
//!
//! Used by the forms beside it. Always true: what is written is one valid JSON object on one line; raw values are JSON that was
//! checked when it was read.

use hale_wire::edit::push_string;

/// A JSON object on its way.
pub(crate) struct Object<'o> {
    out: &'o mut Vec<u8>,
    is_empty: bool,
}

/// Writes JSON at the end of `out`, on one line: a client may have written its body on several. No text in JSON holds a line break as it
/// is, so that one between values is all that there can be.
pub(crate) fn push_raw(out: &mut Vec<u8>, json: &str) {
    let start = out.len();
    out.extend_from_slice(json.as_bytes());
    for byte in out.iter_mut().skip(start).filter(|byte| matches!(byte, b'\n' | b'\r')) {
        *byte = b' ';
    }
}

/// Writes an object at the end of `out`.
pub(crate) fn object(out: &mut Vec<u8>, fill: impl FnOnce(&mut Object<'_>)) {
    out.push(b'{');
    fill(&mut Object { out, is_empty: true });
    out.push(b'}');
}

/// An object as text.
pub(crate) fn text_of(fill: impl FnOnce(&mut Object<'_>)) -> String {
    let mut out = Vec::new();
    object(&mut out, fill);
    String::from_utf8(out).unwrap_or_default()
}

impl Object<'_> {
    fn name(&mut self, name: &str) {
        if !std::mem::take(&mut self.is_empty) {
            self.out.push(b',');
        }
        push_string(self.out, name);
        self.out.push(b':');
    }

    /// A text.
    pub(crate) fn text(&mut self, name: &str, text: &str) {
        self.name(name);
        push_string(self.out, text);
    }

    /// A text, if there is one.
    pub(crate) fn some(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.text(name, text);
        }
    }

    /// A whole number.
    pub(crate) fn number(&mut self, name: &str, number: u64) {
        self.name(name);
        self.out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    }

    /// A number; `null` if it is none.
    pub(crate) fn decimal(&mut self, name: &str, number: Option<f64>) {
        self.name(name);
        // Writing a number to memory cannot fail; what is no number is `null`.
        let _written: Result<(), _> = serde_json::to_writer(&mut *self.out, &number);
    }

    /// Yes or no.
    pub(crate) fn flag(&mut self, name: &str, is: bool) {
        self.raw(name, if is { "true" } else { "false" });
    }

    /// JSON.
    pub(crate) fn raw(&mut self, name: &str, json: &str) {
        self.name(name);
        push_raw(self.out, json);
    }

    /// JSON, or `null`.
    pub(crate) fn raw_or_null(&mut self, name: &str, json: Option<&str>) {
        self.raw(name, json.unwrap_or("null"));
    }

    /// An object.
    pub(crate) fn object(&mut self, name: &str, fill: impl FnOnce(&mut Object<'_>)) {
        self.name(name);
        object(self.out, fill);
    }

    /// A list of objects.
    pub(crate) fn list<T>(
        &mut self,
        name: &str,
        items: impl IntoIterator<Item = T>,
        mut fill: impl FnMut(&mut Object<'_>, T),
    ) {
        self.name(name);
        self.out.push(b'[');
        for (at, item) in items.into_iter().enumerate() {
            if at > 0 {
                self.out.push(b',');
            }
            object(self.out, |object| fill(object, item));
        }
        self.out.push(b']');
    }
}

/// Microseconds since 1970 as RFC 3339 has them.
pub(crate) fn time(unix_us: u64) -> String {
    let at = i64::try_from(unix_us).ok().and_then(|us| jiff::Timestamp::from_microsecond(us).ok());
    at.map(|at| format!("{at:.6}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn what_is_written_is_json() {
        let text = text_of(|all| {
            all.text("a\"b", "x\ny");
            all.some("none", None);
            all.number("n", 7);
            all.decimal("d", Some(0.5));
            all.decimal("nan", Some(f64::NAN));
            all.object("o", |_| {});
            all.list("l", [1, 2], |item, n| item.number("n", n));
            all.raw_or_null("r", None);
            all.raw("lines", "[\n  1,\r\n  \"a\\nb\"\n]");
        });
        assert!(!text.contains('\n'), "{text}");
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            value,
            json!({"a\"b": "x\ny", "n": 7, "d": 0.5, "nan": null, "o": {},
                   "l": [{"n": 1}, {"n": 2}], "r": null, "lines": [1, "a\nb"]})
        );
        assert_eq!(time(1_700_000_000_123_456), "2023-11-14T22:13:20.123456Z");
    }
}
