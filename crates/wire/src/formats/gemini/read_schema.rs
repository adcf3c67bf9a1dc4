//! A schema of Google's own kind, a part of `OpenAPI`'s, as a JSON schema.
//!
//! Called for `parameters` and `responseSchema`. Always true: what the schema allows stays, in its order; members that only
//! Google's kind has become what JSON schemas have for them, or are left out where they only advise.

use crate::bytes::elements::elements;
use crate::bytes::json::{JsonText, Str};
use crate::bytes::object;

/// Members that hold a schema.
const ONE: [&str; 3] = ["items", "additionalProperties", "not"];
/// Those that hold a list of schemas.
const LISTS: [&str; 4] = ["anyOf", "any_of", "oneOf", "allOf"];
/// Those whose names have another spelling in the format's libraries.
const SPELT: [(&str, &str); 8] = [
    ("any_of", "anyOf"),
    ("min_items", "minItems"),
    ("max_items", "maxItems"),
    ("min_length", "minLength"),
    ("max_length", "maxLength"),
    ("min_properties", "minProperties"),
    ("max_properties", "maxProperties"),
    ("additional_properties", "additionalProperties"),
];
/// Those that JSON schemas do not have. They only advise.
const ADVICE: [&str; 4] = ["propertyOrdering", "property_ordering", "example", "nullable"];
/// Those whose values are whole numbers, which the format's libraries write as texts.
const NUMBERS: [&str; 8] = [
    "minItems",
    "maxItems",
    "minLength",
    "maxLength",
    "minProperties",
    "maxProperties",
    "minimum",
    "maximum",
];

/// The schema `raw` as a JSON schema. What is no object stays as it is.
pub(super) fn json_schema(raw: &str) -> String {
    let mut json = JsonText::with_room(raw.len());
    write(&mut json, raw);
    // It was made of texts.
    String::from_utf8(json.into_bytes()).unwrap_or_default()
}

fn write(json: &mut JsonText, raw: &str) {
    let Ok(members) = object::members(raw.as_bytes()) else {
        json.raw(raw);
        return;
    };
    let named = |wanted: &str| {
        let found = members.iter().find(|member| object::key_is(raw.as_bytes(), member, wanted));
        found.map(|member| &raw[member.value()])
    };
    let is_nullable = named("nullable") == Some("true");
    json.open(b'{');
    for member in &members {
        let (key, value) = (&raw[member.key()], &raw[member.value()]);
        let name = &key[1..key.len() - 1];
        if ADVICE.contains(&name) || value == "null" {
            continue;
        }
        let name = SPELT.iter().find(|(given, _)| *given == name).map_or(name, |(_, own)| own);
        match name {
            "type" => write_type(json.key("type"), value, is_nullable),
            "properties" | "$defs" | "defs" => {
                json.raw_key(key);
                write_named(json, value);
            }
            "enum" => write_enum(json.key("enum"), value, is_nullable),
            name if ONE.contains(&name) && value.starts_with('{') => write(json.key(name), value),
            name if LISTS.contains(&name) => write_list(json.key(name), value, is_nullable),
            name if NUMBERS.contains(&name) => {
                json.raw_member(name, value.trim_matches('"'));
            }
            _ if member.is_escaped() => {
                json.raw_key(key).raw(value);
            }
            name => {
                json.raw_member(name, value);
            }
        }
    }
    json.close(b'}');
}

/// A type, whose names JSON schemas have in small letters.
fn write_type(json: &mut JsonText, value: &str, is_nullable: bool) {
    let Ok(Str(name)) = serde_json::from_str::<Str<'_>>(value) else {
        // A list of them is of a JSON schema already.
        json.raw(value);
        return;
    };
    let name = name.to_ascii_lowercase();
    match is_nullable {
        true => json.open(b'[').text(&name).text("null").close(b']'),
        false => json.text(&name),
    };
}

/// The values that are allowed; `null` is one where the schema says so.
fn write_enum(json: &mut JsonText, value: &str, is_nullable: bool) {
    let Some(values) = elements(value) else {
        json.raw(value);
        return;
    };
    json.open(b'[');
    for value in values {
        json.raw(value);
    }
    if is_nullable {
        json.raw("null");
    }
    json.close(b']');
}

fn write_list(json: &mut JsonText, value: &str, is_nullable: bool) {
    let Some(schemas) = elements(value) else {
        json.raw(value);
        return;
    };
    json.open(b'[');
    for schema in schemas {
        write(json, schema);
    }
    if is_nullable {
        json.raw(r#"{"type":"null"}"#);
    }
    json.close(b']');
}

/// Schemas by the names of what they describe, which are the client's own.
fn write_named(json: &mut JsonText, value: &str) {
    let Ok(members) = object::members(value.as_bytes()) else {
        json.raw(value);
        return;
    };
    json.open(b'{');
    for member in &members {
        json.raw_key(&value[member.key()]);
        write(json, &value[member.value()]);
    }
    json.close(b'}');
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn schema(given: &Value) -> Value {
        serde_json::from_str(&json_schema(&given.to_string())).unwrap()
    }

    #[test]
    fn types_are_small_and_nullable_is_a_type() {
        let given = json!({"type": "OBJECT", "nullable": true, "propertyOrdering": ["a", "type"],
            "properties": {
                "type": {"type": "STRING", "enum": ["A", "B"], "nullable": true},
                "nullable": {"type": "ARRAY", "minItems": "1", "items": {"type": "INTEGER", "format": "int32"}},
                "b": {"any_of": [{"type": "NUMBER"}, {"type": "BOOLEAN"}], "nullable": true},
            },
            "required": ["type"], "additionalProperties": false});
        let expected = json!({"type": ["object", "null"],
            "properties": {
                "type": {"type": ["string", "null"], "enum": ["A", "B", null]},
                "nullable": {"type": "array", "minItems": 1, "items": {"type": "integer", "format": "int32"}},
                "b": {"anyOf": [{"type": "number"}, {"type": "boolean"}, {"type": "null"}]},
            },
            "required": ["type"], "additionalProperties": false});
        assert_eq!(schema(&given), expected);
    }

    #[test]
    fn a_json_schema_stays_what_it_is() {
        for given in [
            json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}, "$defs": {"a": {"type": "string"}}}),
            json!({"type": ["string", "null"], "pattern": "^a$", "default": {"type": "OBJECT"}}),
            json!(true),
            json!([1]),
        ] {
            assert_eq!(schema(&given), given);
        }
    }
}
