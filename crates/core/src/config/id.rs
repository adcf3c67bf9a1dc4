//! The id of a deployment without `model_info.id`: a hash of its parameters.
//!
//! Called by [`super::deployments`]. Always true: the same entry has the same id as in LiteLLM,
//! which prints values as Python does; so every text here follows Python's rules exactly.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use super::scalar::{Typed, yaml11};
use super::tree::{Map, Node, Value};

/// The hash of `model_name` and of `params` in the order of the file, lowercase hex.
pub(super) fn hash(model_name: &str, params: &Map) -> String {
    let mut text = String::from(model_name);
    for entry in &params.entries {
        text.push_str(&str_of_key(&entry.key, entry.style));
        match &entry.value.value {
            Value::Map(map) => json_map(&mut text, map),
            Value::Scalar(..) | Value::List(_) | Value::Missing(_) => {
                str_of(&mut text, &entry.value)
            }
        }
    }
    let mut hex = String::with_capacity(64);
    for byte in Sha256::digest(text.as_bytes()) {
        hex.push(digit(byte >> 4));
        hex.push(digit(byte & 15));
    }
    hex
}

fn digit(value: u8) -> char {
    char::from_digit(u32::from(value), 16).unwrap_or('0')
}

fn str_of_key(key: &str, style: super::tree::Style) -> String {
    let mut text = String::new();
    typed_str(&mut text, &yaml11(key, style));
    text
}

/// Python's `str(value)`.
fn str_of(out: &mut String, node: &Node) {
    match &node.value {
        Value::Scalar(text, style) => typed_str(out, &yaml11(text, *style)),
        Value::Missing(_) => out.push_str("None"),
        Value::List(_) | Value::Map(_) => repr(out, node),
    }
}

fn typed_str(out: &mut String, typed: &Typed<'_>) {
    match typed {
        Typed::Null => out.push_str("None"),
        Typed::Bool(true) => out.push_str("True"),
        Typed::Bool(false) => out.push_str("False"),
        Typed::Int(digits) => out.push_str(digits),
        Typed::Float(value) => out.push_str(&float(*value)),
        Typed::Text(text) => out.push_str(text),
    }
}

/// Python's `repr(value)`.
fn repr(out: &mut String, node: &Node) {
    match &node.value {
        Value::Scalar(text, style) => typed_repr(out, &yaml11(text, *style)),
        Value::Missing(_) => out.push_str("None"),
        Value::List(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                out.push_str(if i > 0 { ", " } else { "" });
                repr(out, item);
            }
            out.push(']');
        }
        Value::Map(map) => {
            out.push('{');
            for (i, entry) in map.entries.iter().enumerate() {
                out.push_str(if i > 0 { ", " } else { "" });
                typed_repr(out, &yaml11(&entry.key, entry.style));
                out.push_str(": ");
                repr(out, &entry.value);
            }
            out.push('}');
        }
    }
}

fn typed_repr(out: &mut String, typed: &Typed<'_>) {
    match typed {
        Typed::Text(text) => repr_text(out, text),
        Typed::Null | Typed::Bool(_) | Typed::Int(_) | Typed::Float(_) => typed_str(out, typed),
    }
}

fn repr_text(out: &mut String, text: &str) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            _ if c == quote => {
                out.push('\\');
                out.push(c);
            }
            _ if is_printable(c) => out.push(c),
            _ => escape(out, c),
        }
    }
    out.push(quote);
}

fn escape(out: &mut String, c: char) {
    let code = u32::from(c);
    // Writing to a string cannot fail.
    let _written = match code {
        0..=0xFF => write!(out, "\\x{code:02x}"),
        0x100..=0xFFFF => write!(out, "\\u{code:04x}"),
        _ => write!(out, "\\U{code:08x}"),
    };
}

/// Whether Python prints it as it is. The standard library's debug form has the same table, except
/// that it also escapes a leading combining mark.
fn is_printable(c: char) -> bool {
    let text: String = ['a', c].iter().collect();
    matches!(c, '"' | '\'' | '\\') || text.escape_debug().count() == 2
}

/// Python's `json.dumps(map)`.
fn json_map(out: &mut String, map: &Map) {
    out.push('{');
    for (i, entry) in map.entries.iter().enumerate() {
        out.push_str(if i > 0 { ", " } else { "" });
        let mut key = String::new();
        json_typed(&mut key, &yaml11(&entry.key, entry.style));
        if key.starts_with('"') {
            out.push_str(&key);
        } else {
            json_text(out, &key);
        }
        out.push_str(": ");
        json(out, &entry.value);
    }
    out.push('}');
}

fn json(out: &mut String, node: &Node) {
    match &node.value {
        Value::Scalar(text, style) => json_typed(out, &yaml11(text, *style)),
        Value::Missing(_) => out.push_str("null"),
        Value::List(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                out.push_str(if i > 0 { ", " } else { "" });
                json(out, item);
            }
            out.push(']');
        }
        Value::Map(map) => json_map(out, map),
    }
}

fn json_typed(out: &mut String, typed: &Typed<'_>) {
    match typed {
        Typed::Null => out.push_str("null"),
        Typed::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Typed::Int(digits) => out.push_str(digits),
        Typed::Float(value) if value.is_nan() => out.push_str("NaN"),
        Typed::Float(value) if *value == f64::INFINITY => out.push_str("Infinity"),
        Typed::Float(value) if *value == f64::NEG_INFINITY => out.push_str("-Infinity"),
        Typed::Float(value) => out.push_str(&float(*value)),
        Typed::Text(text) => json_text(out, text),
    }
}

fn json_text(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='~' => out.push(c),
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _written = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
    out.push('"');
}

/// Python's `repr` of a float: the shortest digits, an exponent below 1e-4 and from 1e16.
fn float(value: f64) -> String {
    if value.is_nan() {
        return "nan".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let magnitude = value.abs();
    if magnitude == 0.0 || (1e-4..1e16).contains(&magnitude) {
        return format!("{value:?}");
    }
    let text = format!("{value:e}");
    let Some((mantissa, exponent)) = text.split_once('e') else { return text };
    let (sign, digits) = match exponent.strip_prefix('-') {
        Some(digits) => ('-', digits),
        None => ('+', exponent),
    };
    format!("{mantissa}e{sign}{digits:0>2}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::problem::Problems;
    use crate::config::tree;

    fn id(name: &str, yaml: &str) -> String {
        let mut problems = Problems::new(false);
        let file = problems.file("c.yaml");
        let node = tree::parse(yaml.as_bytes(), file, |_| None, &mut problems).unwrap();
        hash(name, node.as_map().unwrap())
    }

    fn python(yaml: &str) -> String {
        let mut problems = Problems::new(false);
        let file = problems.file("c.yaml");
        let node = tree::parse(yaml.as_bytes(), file, |_| None, &mut problems).unwrap();
        let mut text = String::new();
        match &node.value {
            Value::Map(map) => json_map(&mut text, map),
            Value::Scalar(..) | Value::List(_) | Value::Missing(_) => str_of(&mut text, &node),
        }
        text
    }

    #[test]
    fn the_published_vector_holds() {
        assert_eq!(
            id("gpt-4", "{model: openai/gpt-4, api_key: sk-1, rpm: 10}"),
            "bda5fa552f92d48a2c0e24c229200da217ca2e29ab905e44263cd8454416d515"
        );
    }

    // Made with hashlib, json.dumps and PyYAML.
    #[test]
    fn every_type_is_printed_as_python_prints_it() {
        assert_eq!(
            id(
                "m",
                "model: openai/x\nstream: yes\nnothing:\ntemperature: 0.5\nsmall: 0.00001\nbig: 1.0e+16\n\
                 tags: [a, 'b''c', \"\\u00e9\\n\", 1, no, {k: ~}]\nextra: {a: 1, b: [x, 0.1], \"c\\u00e9\": yes}\n\
                 012: x\n",
            ),
            "c537b4d5da6ed490e0b219209c93fdf24b776c925f466233fd5de6f24760593b"
        );
    }

    #[test]
    fn floats_and_texts_follow_python() {
        for (value, text) in [
            (0.5, "0.5"),
            (1.0, "1.0"),
            (1e16, "1e+16"),
            (1e15, "1000000000000000.0"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (-1.5e-7, "-1.5e-07"),
            (1e100, "1e+100"),
            (-0.0, "-0.0"),
        ] {
            assert_eq!(float(value), text);
        }
        assert_eq!(
            python("[\"it's\", 'say \"hi\"', \"b'\\\"\\\\\"]"),
            r#"["it's", 'say "hi"', 'b\'"\\']"#
        );
        assert_eq!(
            python("[\"\\u00a0\\u200b\\x7f\\u00e9\\u0301\"]"),
            "['\\xa0\\u200b\\x7f\u{e9}\u{301}']"
        );
        assert_eq!(
            python("{a: \"\\u00e9\\U0001F600/\\x7f\", 2: yes, yes: 1.0, ~: x}"),
            r#"{"a": "\u00e9\ud83d\ude00/\u007f", "2": true, "true": 1.0, "null": "x"}"#
        );
    }
}
