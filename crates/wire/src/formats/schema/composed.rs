//! Objects that several schemas describe together.
//!
//! Called before a schema is written with every object closed. Always true: in a schema that is not composed, each object
//! is described by one schema, so that closing it excludes only what it does not name.

use super::cursor::Cursor;

/// Whether some object in `schema` is described by more than one schema: by several members of `allOf`, or by its own
/// properties and those of an alternative or a reference. Closed, such schemas exclude each other's properties.
pub(crate) fn is_composed(schema: &str) -> bool {
    walk(&mut Cursor::new(schema)).is_composed
}

/// What was found in one schema.
#[derive(Clone, Copy, Default)]
struct Found {
    /// How many schemas describe the object.
    layers: usize,
    /// Whether one in it is described by several.
    is_composed: bool,
}

/// Reads the schema at the cursor to its end, whatever it is.
fn walk(cursor: &mut Cursor<'_>) -> Found {
    let mut found = Found::default();
    if cursor.peek() != Some(b'{') {
        cursor.value();
        return found;
    }
    let mut is_object = false;
    while cursor.next() {
        let key = cursor.key();
        match (key, cursor.peek()) {
            ("\"properties\"" | "\"$defs\"" | "\"definitions\"", Some(b'{')) => {
                is_object |= key == "\"properties\"";
                while cursor.next() {
                    cursor.key();
                    found.is_composed |= walk(cursor).is_composed;
                }
            }
            ("\"anyOf\"" | "\"oneOf\"" | "\"allOf\"", Some(b'[')) => {
                let mut objects = 0;
                while cursor.next() {
                    let member = walk(cursor);
                    found.is_composed |= member.is_composed;
                    objects += usize::from(member.layers > 0);
                }
                // Of alternatives one applies.
                found.layers += if key == "\"allOf\"" { objects } else { objects.min(1) };
            }
            ("\"items\"", Some(b'{')) => found.is_composed |= walk(cursor).is_composed,
            ("\"type\"", _) => is_object |= cursor.value().contains("\"object\""),
            ("\"$ref\"", _) => {
                cursor.value();
                found.layers += 1;
            }
            _ => {
                cursor.value();
            }
        }
    }
    found.layers += usize::from(is_object);
    found.is_composed |= found.layers > 1;
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn objects_of_several_schemas_are_told_apart() {
        let a = json!({"type": "object", "properties": {"a": {}}});
        let b = json!({"properties": {"b": {}}});
        let reference = json!({"$ref": "#/$defs/a"});
        for (schema, expected) in [
            (json!({"allOf": [a, b]}), true),
            (json!({"allOf": [reference, b]}), true),
            (json!({"properties": {}, "allOf": [b]}), true),
            (json!({"properties": {}, "anyOf": [a, b]}), true),
            (json!({"type": "object", "oneOf": [a, b]}), true),
            (json!({"type": ["object", "null"], "$ref": "#/$defs/a"}), true),
            (json!({"properties": {"x": {"items": {"allOf": [a, b]}}}}), true),
            (json!({"anyOf": [{"$defs": {"x": {"allOf": [a, b]}}}]}), true),
            (json!({"anyOf": [a, b]}), false),
            (json!({"allOf": [reference], "default": null}), false),
            (json!({"allOf": [a, {"description": "d"}]}), false),
            (json!({"properties": {"allOf": a, "x": {"anyOf": [a, {"type": "null"}]}}}), false),
            (json!({"properties": {"a": {}}, "anyOf": [{"required": ["a"]}]}), false),
            (json!(true), false),
        ] {
            assert_eq!(is_composed(&schema.to_string()), expected, "{schema}");
        }
    }
}
