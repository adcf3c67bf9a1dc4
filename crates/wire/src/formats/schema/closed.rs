//! OpenAI's language of schemas that answers and inputs must follow.
//!
//! Called by the writer of its requests. Always true: a schema that [`conforms`] is one of the strict mode when it was
//! written by [`write_closed`].

use super::cursor::Cursor;
use super::input::is_plain;
use super::words::{Bound, TooMuch};
use crate::bytes::json::JsonText;

/// Writes `schema` with every object closed to members that it does not name.
///
/// # Errors
/// If it cannot be rewritten within its bounds.
pub(crate) fn write_closed(json: &mut JsonText, schema: &str) -> Result<(), TooMuch> {
    let bound = Bound::of(json, schema);
    write(json, &mut Cursor::new(schema), bound)
}

fn write(json: &mut JsonText, cursor: &mut Cursor<'_>, bound: Bound) -> Result<(), TooMuch> {
    bound.check(json)?;
    if cursor.peek() != Some(b'{') {
        json.raw(cursor.value());
        return Ok(());
    }
    json.open(b'{');
    let (mut is_object, mut is_closed) = (false, false);
    while cursor.next() {
        let key = cursor.key();
        json.raw_key(key);
        match (key, cursor.peek()) {
            ("\"properties\"" | "\"$defs\"" | "\"definitions\"", Some(b'{')) => {
                is_object |= key == "\"properties\"";
                json.open(b'{');
                while cursor.next() {
                    json.raw_key(cursor.key());
                    write(json, cursor, bound)?;
                }
                json.close(b'}');
            }
            ("\"anyOf\"", Some(b'[')) => {
                json.open(b'[');
                while cursor.next() {
                    write(json, cursor, bound)?;
                }
                json.close(b']');
            }
            ("\"items\"", Some(b'{')) => write(json, cursor, bound)?,
            _ => {
                let value = cursor.value();
                is_closed |= key == "\"additionalProperties\"";
                is_object |= key == "\"type\"" && value.contains("\"object\"");
                json.raw(value);
            }
        }
    }
    if is_object && !is_closed {
        json.raw_member("additionalProperties", "false");
    }
    json.close(b'}');
    bound.check(json)
}

/// Members that OpenAI's strict mode does not know. Source:
/// <https://platform.openai.com/docs/guides/structured-outputs#supported-schemas>.
const NOT_STRICT: &[&str] = &[
    "\"allOf\"",
    "\"oneOf\"",
    "\"not\"",
    "\"if\"",
    "\"then\"",
    "\"else\"",
    "\"dependentRequired\"",
    "\"dependentSchemas\"",
    "\"patternProperties\"",
    "\"propertyNames\"",
    "\"unevaluatedProperties\"",
    "\"minProperties\"",
    "\"maxProperties\"",
    "\"prefixItems\"",
    "\"contains\"",
    "\"uniqueItems\"",
    "\"default\"",
];

/// Whether OpenAI's strict mode takes `schema` once its objects are closed: it is one, without alternatives at the
/// first level, and they require all that they have.
pub(crate) fn conforms(schema: &str) -> bool {
    let mut cursor = Cursor::new(schema);
    is_plain(schema) && is_strict(&mut cursor)
}

/// Reads the schema at the cursor to its end, whatever it is.
fn is_strict(cursor: &mut Cursor<'_>) -> bool {
    if cursor.peek() != Some(b'{') {
        cursor.value();
        return true;
    }
    let (mut are_strict, mut is_object, mut is_closed) = (true, false, true);
    let mut has_union = false;
    let (mut properties, mut required) = (0_usize, 0_usize);
    while cursor.next() {
        let key = cursor.key();
        match (key, cursor.peek()) {
            ("\"properties\"" | "\"$defs\"" | "\"definitions\"", Some(b'{')) => {
                while cursor.next() {
                    properties += usize::from(key == "\"properties\"");
                    cursor.key();
                    are_strict &= is_strict(cursor);
                }
                is_object |= key == "\"properties\"";
            }
            ("\"anyOf\"", Some(b'[')) => {
                has_union = true;
                while cursor.next() {
                    are_strict &= is_strict(cursor);
                }
            }
            ("\"items\"", Some(b'{')) => are_strict &= is_strict(cursor),
            ("\"required\"", Some(b'[')) => {
                while cursor.next() {
                    cursor.value();
                    required += 1;
                }
            }
            ("\"additionalProperties\"", _) => is_closed = cursor.value() == "false",
            ("\"type\"", _) => is_object |= cursor.value().contains("\"object\""),
            (key, _) => {
                are_strict &= !NOT_STRICT.contains(&key);
                cursor.value();
            }
        }
    }
    // Nothing fits an object and alternatives that are all closed.
    are_strict && (!is_object || (is_closed && properties == required && !has_union))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn strict_mode_takes_objects_that_require_all() {
        let object = |more: Value| {
            let mut object = json!({"type": "object", "properties": {"a": {"type": "string"}},
                                    "required": ["a"], "additionalProperties": false});
            object.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            object
        };
        let inner = |schema: Value| object(json!({"properties": {"a": schema}}));
        for (schema, expected) in [
            (object(json!({})), true),
            (object(json!({"required": []})), false),
            (object(json!({"additionalProperties": true})), false),
            (inner(json!({"type": "object"})), true),
            (inner(json!({"type": "object", "additionalProperties": {}})), false),
            (inner(object(json!({}))), true),
            (inner(json!({"anyOf": [{"type": "null"}, {"type": "object"}]})), true),
            (inner(json!({"oneOf": []})), false),
            (inner(object(json!({"anyOf": [object(json!({}))]}))), false),
            (inner(json!({"type": "array", "items": {"type": "string", "pattern": "x"}})), true),
            (object(json!({"$defs": {"b": {"type": "object", "minProperties": 1}}})), false),
            (json!({}), false),
            (json!({"anyOf": [object(json!({}))]}), false),
            (json!(true), false),
        ] {
            assert_eq!(conforms(&schema.to_string()), expected, "{schema}");
        }
    }

    #[test]
    fn objects_are_closed_and_nothing_else_changes() {
        let schema = |more: Value| {
            let object = |inner: Value| {
                let mut object = json!({"type": "object", "properties": {"a": inner}});
                object.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
                object
            };
            let mut schema =
                object(json!({"anyOf": [object(json!({"minimum": 1})), {"type": "null"}]}));
            schema["$defs"] = json!({"d": {"type": "array", "items": object(json!({}))}});
            schema
        };
        let closed = |schema: &Value| -> Value {
            let mut json = JsonText::new();
            write_closed(&mut json, &schema.to_string()).unwrap();
            serde_json::from_slice(&json.into_bytes()).unwrap()
        };
        let expected = schema(json!({"additionalProperties": false}));
        assert_eq!(closed(&schema(json!({}))), expected);
        assert_eq!(closed(&expected), expected);
    }
}
