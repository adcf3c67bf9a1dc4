//! Anthropic's language of schemas that answers and inputs must follow.
//!
//! Called by the writers for structured answers and strict tools. Always true: a schema that was written here
//! allows nothing that the given one refuses, but for what its words say.

use super::cursor::Cursor;
use super::words::{Bound, TooMuch, Words};
use crate::bytes::json::JsonText;

/// Formats of texts that Anthropic knows. Source:
/// <https://platform.claude.com/docs/en/build-with-claude/structured-outputs>.
const FORMATS: &[&str] = &[
    "\"date-time\"",
    "\"time\"",
    "\"date\"",
    "\"duration\"",
    "\"email\"",
    "\"hostname\"",
    "\"uri\"",
    "\"ipv4\"",
    "\"ipv6\"",
    "\"uuid\"",
];

/// Writes `schema` in Anthropic's language for structured answers.
///
/// # Errors
/// If it cannot be rewritten within its bounds.
pub(crate) fn write_strict(json: &mut JsonText, schema: &str) -> Result<(), TooMuch> {
    let bound = Bound::of(json, schema);
    let mut cursor = Cursor::new(schema);
    write(json, &mut cursor, bound)
}

fn write(json: &mut JsonText, cursor: &mut Cursor<'_>, bound: Bound) -> Result<(), TooMuch> {
    bound.check(json)?;
    if cursor.peek() != Some(b'{') {
        json.raw(cursor.value());
        return Ok(());
    }
    json.open(b'{');
    let mut found = Found::default();
    while cursor.next() {
        let key = cursor.key();
        member(json, (key, cursor), &mut found, bound)?;
    }
    if found.is_object() {
        if !found.has_type {
            json.member("type", "object");
        }
        json.raw_member("additionalProperties", "false");
    }
    found.words.write(json, bound)?;
    json.close(b'}');
    bound.check(json)
}

/// What was found in one schema.
#[derive(Default)]
struct Found<'s> {
    words: Words<'s>,
    has_type: bool,
    has_object_type: bool,
    has_properties: bool,
    has_union: bool,
}

impl Found<'_> {
    fn is_object(&self) -> bool {
        self.has_object_type || (!self.has_type && self.has_properties)
    }
}

/// Writes the member `key`, at whose value the cursor is, or notes it.
fn member<'s>(
    json: &mut JsonText,
    (key, cursor): (&'s str, &mut Cursor<'s>),
    found: &mut Found<'s>,
    bound: Bound,
) -> Result<(), TooMuch> {
    match (key, cursor.peek()) {
        ("\"properties\"" | "\"$defs\"" | "\"definitions\"", Some(b'{')) => {
            found.has_properties |= key == "\"properties\"";
            json.raw_key(key).open(b'{');
            while cursor.next() {
                json.raw_key(cursor.key());
                write(json, cursor, bound)?;
            }
            json.close(b'}');
        }
        ("\"anyOf\"" | "\"oneOf\"", Some(b'[')) if !found.has_union => {
            found.has_union = true;
            union(json, "anyOf", cursor, bound)?;
        }
        ("\"allOf\"", Some(b'[')) => {
            // A reference among several schemas is refused, one alone is not.
            let is_alone = !found.has_union && is_alone(*cursor);
            found.has_union |= is_alone;
            union(json, if is_alone { "anyOf" } else { "allOf" }, cursor, bound)?;
        }
        ("\"items\"", Some(b'{')) => {
            json.raw_key(key);
            write(json, cursor, bound)?;
        }
        ("\"additionalProperties\"", Some(b'{')) => {
            let value = cursor.value();
            if Cursor::new(value).next() {
                found.words.add(key, value)?;
            }
        }
        _ => plain(json, (key, cursor.value()), found)?,
    }
    Ok(())
}

/// Writes or notes a member without schemas in it.
fn plain<'s>(
    json: &mut JsonText,
    (key, value): (&'s str, &'s str),
    found: &mut Found<'s>,
) -> Result<(), TooMuch> {
    let is_known = match key {
        "\"type\"" => {
            found.has_type = true;
            found.has_object_type = value.contains("\"object\"");
            true
        }
        "\"title\"" | "\"enum\"" | "\"const\"" | "\"default\"" | "\"required\"" | "\"$ref\"" => {
            true
        }
        "\"format\"" => FORMATS.contains(&value),
        "\"minItems\"" => matches!(value, "0" | "1"),
        "\"description\"" => return found.words.describe(key, value),
        // It is written anew, or says nothing about values.
        "\"additionalProperties\"" | "\"$schema\"" | "\"$id\"" | "\"$comment\"" => return Ok(()),
        _ => false,
    };
    if is_known {
        json.raw_key(key).raw(value);
        return Ok(());
    }
    found.words.add(key, value)
}

/// Writes a list of schemas as `name`.
fn union(
    json: &mut JsonText,
    name: &str,
    cursor: &mut Cursor<'_>,
    bound: Bound,
) -> Result<(), TooMuch> {
    json.key(name).open(b'[');
    while cursor.next() {
        write(json, cursor, bound)?;
    }
    json.close(b']');
    Ok(())
}

/// Whether the list at the cursor has one element.
fn is_alone(mut cursor: Cursor<'_>) -> bool {
    if !cursor.next() {
        return false;
    }
    // A long one is read twice; lists of one element are short.
    cursor.value();
    !cursor.next()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn strict(schema: &Value) -> Value {
        let mut json = JsonText::new();
        write_strict(&mut json, &schema.to_string()).unwrap();
        serde_json::from_slice(&json.into_bytes()).unwrap()
    }

    #[test]
    fn objects_are_closed_and_bounds_become_words() {
        let given = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "description": "A \"person\".",
            "minProperties": 1,
            "properties": {
                "age": {"type": "integer", "minimum": 0, "maximum": 150},
                "name": {"type": "string", "pattern": "^\\w+$", "description": "Full name"},
                "mail": {"type": "string", "format": "email"},
                "when": {"type": "string", "format": "week"},
                "tags": {"type": "array", "minItems": 1, "items": {"type": "string", "maxLength": 9}},
                "few": {"type": "array", "minItems": 3, "items": true},
                "kind": {"oneOf": [{"const": "a"}, {"type": "object", "properties": {}}]},
                "map": {"type": "object", "additionalProperties": {"type": "string"}},
                "any": {"type": "object", "additionalProperties": true},
                "self": {"allOf": [{"$ref": "#/$defs/x"}], "default": null},
                "none": {"type": ["object", "null"], "properties": {"description": {"type": "string"}}},
                "open": {},
            },
            "required": ["age"],
            "$defs": {"x": {"properties": {"y": {"enum": ["a", 1, null]}}}},
        });
        let expected = json!({
            "type": "object",
            "properties": {
                "age": {"type": "integer", "description": "{minimum: 0, maximum: 150}"},
                "name": {"type": "string", "description": "Full name\n\n{pattern: \"^\\\\w+$\"}"},
                "mail": {"type": "string", "format": "email"},
                "when": {"type": "string", "description": "{format: \"week\"}"},
                "tags": {"type": "array", "minItems": 1,
                         "items": {"type": "string", "description": "{maxLength: 9}"}},
                "few": {"type": "array", "description": "{minItems: 3, items: true}"},
                "kind": {"anyOf": [{"const": "a"},
                         {"type": "object", "properties": {}, "additionalProperties": false}]},
                "map": {"type": "object", "additionalProperties": false,
                        "description": "{additionalProperties: {\"type\":\"string\"}}"},
                "any": {"type": "object", "additionalProperties": false},
                "self": {"anyOf": [{"$ref": "#/$defs/x"}], "default": null},
                "none": {"type": ["object", "null"], "properties": {"description": {"type": "string"}},
                         "additionalProperties": false},
                "open": {},
            },
            "required": ["age"],
            "additionalProperties": false,
            "$defs": {"x": {"properties": {"y": {"enum": ["a", 1, null]}}, "type": "object",
                            "additionalProperties": false}},
            "description": "A \"person\".\n\n{minProperties: 1}",
        });
        assert_eq!(strict(&given), expected);
    }

    #[test]
    fn a_schema_that_fits_stays_as_it_is() {
        let given = json!({"type": "object", "properties": {"a": {"type": "string"}},
                           "required": ["a"], "additionalProperties": false});
        assert_eq!(strict(&given), given);
        for given in [json!(true), json!({}), json!({"enum": [1]}), json!([1])] {
            assert_eq!(strict(&given), given);
        }
    }

    #[test]
    fn a_second_union_becomes_words() {
        let given = json!({"anyOf": [{"type": "null"}], "oneOf": [{"type": "string"}]});
        let expected = json!({"anyOf": [{"type": "null"}],
                              "description": "{oneOf: [{\"type\":\"string\"}]}"});
        assert_eq!(strict(&given), expected);
    }

    #[test]
    fn a_schema_cannot_grow_without_bounds() {
        let mut json = JsonText::new();
        let many = format!("{{\"anyOf\":[{}{{}}]}}", "{\"type\":\"object\"},".repeat(60_000));
        assert_eq!(write_strict(&mut json, &many), Err(TooMuch::Growth));
        assert!(json.as_bytes().len() < many.len() * 5 / 4 + (66 << 10));
        let words = (0..65).map(|i| format!("\"x{i}\":0")).collect::<Vec<_>>().join(",");
        assert_eq!(
            write_strict(&mut JsonText::new(), &format!("{{{words}}}")),
            Err(TooMuch::Words)
        );
    }

    #[test]
    fn a_large_and_deep_schema_is_read_once() {
        let deep = format!("{}1{}", "{\"items\":".repeat(250), "}".repeat(250));
        let wide = format!("\"{}\"", "a".repeat(1 << 20));
        let schema = deep.replace('1', &format!("{{\"enum\":[{wide}]}}"));
        let mut json = JsonText::new();
        write_strict(&mut json, &schema).unwrap();
        assert_eq!(json.as_bytes(), schema.as_bytes());
    }
}
