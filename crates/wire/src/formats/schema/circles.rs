//! Whether a schema refers to itself.
//!
//! Called by [`crate::formats::fit`]. Always true: each definition is looked through once, and references are followed in a loop, not by
//! recursion.

use std::collections::BTreeMap;

use super::cursor::Cursor;

/// Maximum number of definitions that are compared; more count as a circle.
const DEFINITIONS_MAX: usize = 4096;
/// The key of a reference.
const REFERENCE: &str = "\"$ref\"";

/// Whether `schema` refers to itself, or a definition of it does, in any number of steps.
pub(crate) fn is_circular(schema: &str) -> bool {
    if memchr::memmem::find(schema.as_bytes(), REFERENCE.as_bytes()).is_none() {
        return false;
    }
    let definitions = definitions(schema);
    if definitions.len() > DEFINITIONS_MAX || references(schema).any(is_to_root) {
        return true;
    }
    let numbers: BTreeMap<&str, usize> =
        definitions.iter().enumerate().map(|(number, (name, _))| (*name, number)).collect();
    let edges: Vec<Vec<usize>> = definitions
        .iter()
        .map(|(_, body)| {
            let mut to: Vec<usize> =
                references(body).filter_map(|to| numbers.get(name_in(to)?).copied()).collect();
            to.sort_unstable();
            to.dedup();
            to
        })
        .collect();
    has_circle(&edges)
}

/// The definitions of a schema: their names without quotes, and their texts.
fn definitions(schema: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    let mut cursor = Cursor::new(schema);
    if cursor.peek() != Some(b'{') {
        return found;
    }
    while cursor.next() {
        let key = cursor.key();
        if !matches!(key, "\"$defs\"" | "\"definitions\"") || cursor.peek() != Some(b'{') {
            cursor.value();
            continue;
        }
        while cursor.next() {
            let name = cursor.key().trim_matches('"');
            let body = cursor.value();
            if found.len() <= DEFINITIONS_MAX {
                found.push((name, body));
            }
        }
    }
    found
}

/// What the references in `text` name. A text in a schema cannot look like one, because its quotes are escaped.
fn references(text: &str) -> impl Iterator<Item = &str> {
    let keys = memchr::memmem::find_iter(text.as_bytes(), REFERENCE);
    keys.filter_map(|at| {
        let tail = text.get(at + REFERENCE.len()..)?.trim_start().strip_prefix(':')?;
        let value = tail.trim_start().strip_prefix('"')?;
        value.split_once('"').map(|(name, _)| name)
    })
}

fn is_to_root(reference: &str) -> bool {
    matches!(reference, "#" | "#/" | "")
}

/// The name of the definition that is referred to, or that holds what is.
fn name_in(reference: &str) -> Option<&str> {
    let path =
        ["#/$defs/", "#/definitions/"].iter().find_map(|root| reference.strip_prefix(root))?;
    path.split('/').next()
}

/// Whether one can go along `edges` and come back: those from which none leads on are taken away, one after the other.
fn has_circle(edges: &[Vec<usize>]) -> bool {
    let mut incoming = vec![0_usize; edges.len()];
    for to in edges.iter().flatten() {
        incoming[*to] += 1;
    }
    let mut free: Vec<usize> = (0..edges.len()).filter(|node| incoming[*node] == 0).collect();
    let mut taken = 0;
    while let Some(node) = free.pop() {
        taken += 1;
        for to in &edges[node] {
            incoming[*to] -= 1;
            if incoming[*to] == 0 {
                free.push(*to);
            }
        }
    }
    taken < edges.len()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn circles_of_any_length_are_found() {
        let to = |name: &str| json!({"$ref": format!("#/$defs/{name}")});
        let with = |defs: Value| json!({"$ref": "#/$defs/a", "$defs": defs});
        for (schema, expected) in [
            (json!({"type": "object"}), false),
            (json!({"properties": {"a": {"$ref": "#"}}}), true),
            (with(json!({"a": {"items": to("a")}})), true),
            (with(json!({"a": {"anyOf": [to("b"), to("b")]}, "b": {"type": "null"}})), false),
            (with(json!({"a": to("b"), "b": to("c"), "c": {"not": to("a")}})), true),
            (with(json!({"a": to("b"), "b": to("c"), "c": {}, "d": to("a")})), false),
            (with(json!({"a": {"items": {"$ref": "#/$defs/a/properties/x"}}})), true),
            (json!({"definitions": {"a": {"items": {"$ref" : "#/definitions/a"}}}}), true),
            (json!({"$ref": "#/$defs/gone"}), false),
            (json!({"description": "\"$ref\": \"#\""}), false),
            (json!({"properties": {"$ref": {"type": "string"}}}), false),
        ] {
            assert_eq!(is_circular(&schema.to_string()), expected, "{schema}");
        }
    }

    #[test]
    fn a_long_chain_is_followed_without_recursion() {
        let count = DEFINITIONS_MAX;
        let link = |i: usize| format!("\"d{i}\":{{\"$ref\":\"#/$defs/d{}\"}}", (i + 1) % count);
        let all: Vec<String> = (0..count).map(link).collect();
        assert!(is_circular(&format!("{{\"$defs\":{{{}}}}}", all.join(","))));
        let open = &all[..count - 1];
        assert!(!is_circular(&format!("{{\"$defs\":{{{}}}}}", open.join(","))));
    }
}
