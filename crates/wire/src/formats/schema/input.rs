//! The schema of a tool's input: an object at its first level, whatever the client wrote.
//!
//! Called by the writers of tools and by [`crate::formats::fit`]. Always true: below the first level nothing changes,
//! except that what several alternatives say of one property is joined.

use super::cursor::Cursor;
use super::words::{Bound, TooMuch, Words};
use crate::bytes::json::JsonText;

/// Maximum number of properties of alternatives that are joined. More of them become words.
const JOINED_MAX: usize = 256;

/// Whether `schema` describes objects, or does not say what it describes.
pub(crate) fn is_of_object(schema: &str) -> bool {
    let mut cursor = Cursor::new(schema);
    if cursor.peek() != Some(b'{') {
        return false;
    }
    let mut is_object = true;
    while cursor.next() {
        let (key, value) = (cursor.key(), cursor.value());
        if key == "\"type\"" {
            is_object = value.contains("\"object\"");
        }
    }
    is_object
}

/// Whether `schema` describes objects by their properties alone, at its first level.
pub(crate) fn is_plain(schema: &str) -> bool {
    let mut cursor = Cursor::new(schema);
    if cursor.peek() != Some(b'{') {
        return false;
    }
    let (mut kind, mut has_properties, mut has_unions) = (None, false, false);
    while cursor.next() {
        let (key, value) = (cursor.key(), cursor.value());
        match key {
            "\"type\"" => kind = Some(value),
            "\"properties\"" => has_properties = true,
            "\"anyOf\"" | "\"oneOf\"" | "\"allOf\"" | "\"$ref\"" => has_unions = true,
            _ => {}
        }
    }
    !has_unions && (kind == Some("\"object\"") || (kind.is_none() && has_properties))
}

/// The members of a schema at its first level.
#[derive(Default)]
struct First<'s> {
    /// Its `type`.
    kind: Option<&'s str>,
    properties: Option<&'s str>,
    required: Option<&'s str>,
    /// Keys and lists of `anyOf`, `oneOf`, `allOf`.
    unions: Vec<(&'s str, &'s str)>,
}

/// Writes `schema` for the input of a tool: with `type: object`, and with no alternatives at the first level.
///
/// # Errors
/// If it cannot be rewritten within its bounds.
pub(crate) fn write_input(json: &mut JsonText, schema: &str) -> Result<(), TooMuch> {
    let mut cursor = Cursor::new(schema);
    if cursor.peek() != Some(b'{') {
        json.raw(schema);
        return Ok(());
    }
    let bound = Bound::of(json, schema);
    let mut first = First::default();
    let mut words = Words::default();
    let mut start = cursor;
    while cursor.next() {
        let (key, value) = (cursor.key(), cursor.value());
        match key {
            "\"type\"" => first.kind = Some(value),
            "\"properties\"" => first.properties = Some(value),
            "\"required\"" => first.required = Some(value),
            "\"anyOf\"" | "\"oneOf\"" | "\"allOf\"" if value.starts_with('[') => {
                first.unions.push((key, value));
                if first.unions.len() > 3 {
                    return Err(TooMuch::Words);
                }
            }
            "\"description\"" => words.describe(key, value)?,
            _ => {}
        }
    }
    let is_object = first.kind.is_none_or(|kind| kind.contains("\"object\""));
    if !is_object || (first.kind == Some("\"object\"") && first.unions.is_empty()) {
        json.raw(schema);
        return Ok(());
    }
    json.open(b'{').member("type", "object");
    while start.next() {
        let (key, value) = (start.key(), start.value());
        let is_written_anew = matches!(
            key,
            "\"type\""
                | "\"properties\""
                | "\"required\""
                | "\"anyOf\""
                | "\"oneOf\""
                | "\"allOf\""
                | "\"description\""
        );
        if !is_written_anew {
            json.raw_key(key).raw(value);
        }
    }
    match Joined::of(&first) {
        Some(joined) => joined.write(json),
        None => {
            json.raw_member("properties", first.properties.unwrap_or("{}"));
            if let Some(required) = first.required {
                json.raw_member("required", required);
            }
            first.unions.iter().try_for_each(|(key, list)| words.add(key, list))?;
        }
    }
    words.write(json, bound)?;
    json.close(b'}');
    bound.check(json)
}

/// The properties of several objects.
struct Joined<'s> {
    /// Names in quotes, and what each object says of them.
    properties: Vec<(&'s str, Vec<&'s str>)>,
    required: Vec<&'s str>,
}

/// The properties and the required names of an object's schema.
type Object<'s> = (Vec<(&'s str, &'s str)>, Vec<&'s str>);

impl<'s> Joined<'s> {
    /// The properties of `first` and of its alternatives; `None` if they are too many, or no objects with properties.
    fn of(first: &First<'s>) -> Option<Joined<'s>> {
        if first.unions.is_empty() {
            return None;
        }
        let own = (first.properties.unwrap_or("{}"), first.required.unwrap_or("[]"));
        let properties = members(own.0)?.into_iter().map(|(name, schema)| (name, vec![schema]));
        let mut joined = Joined { properties: properties.collect(), required: elements(own.1)? };
        first.unions.iter().all(|(key, list)| joined.join(key, list)).then_some(joined)
    }

    /// Takes the objects of a union; false if they are too many, or no objects with properties.
    fn join(&mut self, key: &str, list: &'s str) -> bool {
        let mut objects = Vec::new();
        let mut count = self.properties.len();
        let mut cursor = Cursor::new(list);
        while cursor.next() {
            let Some(object) = object(cursor.value()) else { return false };
            count += object.0.len() + object.1.len() + 1;
            if count > JOINED_MAX {
                return false;
            }
            objects.push(object);
        }
        let common = objects.first().map(|(_, required)| required.clone()).unwrap_or_default();
        for name in common {
            let is_in_all = objects.iter().all(|(_, required)| required.contains(&name));
            if is_in_all && !self.required.contains(&name) {
                self.required.push(name);
            }
        }
        for (properties, required) in objects {
            for (name, schema) in properties {
                match self.properties.iter_mut().find(|(known, _)| *known == name) {
                    Some((_, all)) if all.contains(&schema) => {}
                    Some((_, all)) => all.push(schema),
                    None => self.properties.push((name, vec![schema])),
                }
            }
            let missing = required.into_iter().filter(|_| key == "\"allOf\"");
            let missing: Vec<&str> = missing.filter(|name| !self.required.contains(name)).collect();
            self.required.extend(missing);
        }
        true
    }

    fn write(&self, json: &mut JsonText) {
        json.key("properties").open(b'{');
        for (name, schemas) in &self.properties {
            json.raw_key(name);
            if let [one] = &schemas[..] {
                json.raw(one);
                continue;
            }
            json.open(b'{').key("anyOf").open(b'[');
            for schema in schemas {
                json.raw(schema);
            }
            json.close(b']').close(b'}');
        }
        json.close(b'}');
        if !self.required.is_empty() {
            json.key("required").open(b'[');
            for name in &self.required {
                json.raw(name);
            }
            json.close(b']');
        }
    }
}

/// The elements of a list, if they are few.
fn elements(list: &str) -> Option<Vec<&str>> {
    let mut cursor = Cursor::new(list);
    let mut all = Vec::new();
    if cursor.peek() != Some(b'[') {
        return None;
    }
    while cursor.next() {
        all.push(cursor.value());
        if all.len() > JOINED_MAX {
            return None;
        }
    }
    Some(all)
}

/// The members of an object, if they are few.
fn members(object: &str) -> Option<Vec<(&str, &str)>> {
    let mut cursor = Cursor::new(object);
    let mut all = Vec::new();
    if cursor.peek() != Some(b'{') {
        return None;
    }
    while cursor.next() {
        all.push((cursor.key(), cursor.value()));
        if all.len() > JOINED_MAX {
            return None;
        }
    }
    Some(all)
}

/// The properties and the required names of a schema that describes an object itself.
fn object(schema: &str) -> Option<Object<'_>> {
    let (mut properties, mut required) = (None, Vec::new());
    for (key, value) in members(schema)? {
        match key {
            "\"properties\"" => properties = Some(members(value)?),
            "\"required\"" => required = elements(value)?,
            "\"$ref\"" => return None,
            _ => {}
        }
    }
    properties.map(|properties| (properties, required))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn input(schema: &Value) -> Value {
        let mut json = JsonText::new();
        write_input(&mut json, &schema.to_string()).unwrap();
        serde_json::from_slice(&json.into_bytes()).unwrap()
    }

    #[test]
    fn an_input_is_an_object() {
        let text = |more: Value| {
            let mut schema = json!({"type": "object", "properties": {"a": {"type": "string"}}});
            schema.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            schema
        };
        assert_eq!(input(&json!({})), json!({"type": "object", "properties": {}}));
        assert_eq!(input(&json!({"type": ["object", "null"]})), input(&json!({})));
        let bare =
            json!({"properties": {"a": {"type": "string"}}, "$defs": {}, "description": "d"});
        assert_eq!(input(&bare), text(json!({"$defs": {}, "description": "d"})));
        for same in [
            text(json!({"additionalProperties": {"minimum": 1}})),
            json!({"type": "string"}),
            json!(true),
        ] {
            assert_eq!(input(&same), same);
        }
    }

    #[test]
    fn alternatives_are_joined() {
        let cat = json!({"type": "object", "required": ["kind", "lives"],
            "properties": {"kind": {"const": "cat"}, "lives": {"type": "integer"}, "age": {}}});
        let dog =
            json!({"properties": {"kind": {"const": "dog"}, "age": {}}, "required": ["kind"]});
        let one_of =
            input(&json!({"oneOf": [cat, dog], "required": ["x"], "description": "a pet"}));
        let kinds = json!({"anyOf": [{"const": "cat"}, {"const": "dog"}]});
        let properties = json!({"kind": kinds, "lives": {"type": "integer"}, "age": {}});
        assert_eq!(
            one_of,
            json!({"type": "object", "properties": properties,
            "required": ["x", "kind"], "description": "a pet"})
        );
        let all_of = input(&json!({"type": "object", "allOf": [cat, dog]}));
        assert_eq!(
            all_of,
            json!({"type": "object", "properties": properties,
            "required": ["kind", "lives"]})
        );
    }

    #[test]
    fn alternatives_that_cannot_be_joined_become_words() {
        let union = json!({"anyOf": [{"$ref": "#/$defs/a"}], "properties": {"b": {}}});
        assert_eq!(
            input(&union),
            json!({"type": "object", "properties": {"b": {}},
                   "description": "{anyOf: [{\"$ref\":\"#/$defs/a\"}]}"})
        );
        let many: serde_json::Map<String, Value> =
            (0..300).map(|i| (format!("p{i}"), json!({}))).collect();
        let out = input(&json!({"anyOf": [{"properties": many}]}));
        assert!(out["description"].as_str().unwrap().contains("p299"));
        let large = json!({"anyOf": [{"properties": many, "$comment": "x".repeat(200_000)}]});
        let written = write_input(&mut JsonText::new(), &large.to_string());
        assert_eq!(written, Err(TooMuch::Growth));
    }

    #[test]
    fn what_is_no_object_is_told_apart() {
        for (schema, expected) in [
            (json!({}), true),
            (json!({"type": "object"}), true),
            (json!({"type": ["null", "object"]}), true),
            (json!({"$ref": "#/$defs/a"}), true),
            (json!({"type": "array"}), false),
            (json!(true), false),
        ] {
            assert_eq!(is_of_object(&schema.to_string()), expected, "{schema}");
        }
    }
}
