//! JSON values of any size in every shape, and the names of the fields that the formats know: what a client may send.
//!
//! Used by the tests that bound what a body may cost. Always true: a shape is valid JSON of about the size that is asked
//! for.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// A value of some shape.
pub struct Shape {
    /// What it is, for messages.
    pub name: String,
    /// Makes it, of about that many bytes.
    pub make: Box<dyn Fn(usize) -> String>,
}

/// All shapes.
pub fn shapes() -> Vec<Shape> {
    let mut all: Vec<Shape> = Vec::new();
    let mut add = |name: &str, make: Box<dyn Fn(usize) -> String>| {
        all.push(Shape { name: name.to_owned(), make });
    };
    // Lists and objects of many small things.
    for item in LIST_ITEMS {
        add(&format!("[{item}, ...]"), Box::new(|bytes| list(item, bytes)));
    }
    add("{\"0\":0, \"1\":0, ...}", Box::new(|bytes| map("0", bytes)));
    add("{\"0\":\"\", \"1\":\"\", ...}", Box::new(|bytes| map("\"\"", bytes)));
    // Deep ones.
    add("[[[...]]] many times", Box::new(|bytes| list(&nested(200), bytes)));
    // Long texts, in every notation.
    for piece in TEXT_PIECES {
        add(&format!("\"{}...\"", piece.escape_debug()), Box::new(|bytes| text(piece, bytes)));
    }
    add("111...", Box::new(|bytes| "1".repeat(bytes)));
    add("a data URL", Box::new(|bytes| format!("\"data:image/png;base64,{}\"", "A".repeat(bytes))));
    add("spaces in a list", Box::new(|bytes| format!("[{}]", " ".repeat(bytes))));
    add("a long key", Box::new(|bytes| format!("{{\"\\u0061{}\":0}}", "a".repeat(bytes))));
    // Large values in the places that are read.
    for place in PLACES {
        for (name, make) in INNER {
            let whole = place.replace("@", name);
            add(&whole, Box::new(move |bytes| place.replace('@', &make(bytes))));
        }
    }
    all
}

const LIST_ITEMS: &[&str] = &[
    "0",
    "\"\"",
    "\"\\u0061\"",
    "{\"\":0}",
    "[]",
    r#"{"type":"text","text":"a"}"#,
    r#"{"type":"text","text":"\u0061"}"#,
    r#"{"role":"user","content":"a"}"#,
    r#"{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"text","text":"b"}]}"#,
    r#"{"role":"assistant","tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}}]}"#,
    r#"{"role":"tool","tool_call_id":"a","content":"b"}"#,
    r#"{"role":"user","content":[{"type":"tool_result","tool_use_id":"a","content":[{"type":"text","text":"b"}]}]}"#,
    r#"{"type":"function","function":{"name":"f","parameters":{}}}"#,
    r#"{"name":"f","input_schema":{}}"#,
    r#"{"model":"m"}"#,
    r#"{"g":["m"]}"#,
];

const TEXT_PIECES: &[&str] = &["a", "\\u0061", "\\ud83d\\ude00", "\\n", "\\\"", "\u{7f}", "\u{e9}"];

/// Where a large value, here `@`, is read within a field.
const PLACES: &[&str] = &[
    r#"{"a":@}"#,
    r#"{"tags":@}"#,
    r#"{"user_id":@}"#,
    r#"{"include_usage":@}"#,
    r#"{"effort":@,"format":{"type":"json_schema","schema":@}}"#,
    r#"{"type":"json_schema","json_schema":{"name":"n","schema":@,"strict":true}}"#,
    r#"{"type":"json_schema","json_schema":{"strict":@,"schema":{}}}"#,
    r#"{"type":"enabled","budget_tokens":@}"#,
    r#"{"type":"function","function":@}"#,
    r#"{"type":"tool","name":@,"disable_parallel_tool_use":@}"#,
    r#"{"document_url":@,"image_url":{"url":@}}"#,
    r#"[{"model":"m","messages":@}]"#,
    r#"[{"role":@,"content":""}]"#,
    r#"[{"role":"user","content":@}]"#,
    r#"[{"role":"user","content":[{"type":@,"text":@}]}]"#,
    r#"[{"role":"user","content":[{"type":"text","text":@}]}]"#,
    r#"[{"role":"user","content":[{"type":"image_url","image_url":{"url":@}}]}]"#,
    r#"[{"role":"user","content":[{"type":"file","file":{"file_data":@,"filename":@}}]}]"#,
    r#"[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":@}}]}]"#,
    r#"[{"role":"user","content":[{"type":"document","source":{"type":"text","data":@},"title":@,"context":@}]}]"#,
    r#"[{"role":"user","content":[{"type":"tool_result","tool_use_id":"a","content":@,"is_error":true}]}]"#,
    r#"[{"role":"assistant","content":[{"type":"tool_use","id":@,"name":@,"input":{}}]}]"#,
    r#"[{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"b","input":@}]}]"#,
    r#"[{"role":"assistant","content":[{"type":"thinking","thinking":@,"signature":@}]}]"#,
    r#"[{"role":"assistant","tool_calls":@}]"#,
    r#"[{"role":"assistant","tool_calls":[{"id":"a","function":{"name":"f","arguments":@}}]}]"#,
    r#"[{"role":"assistant","thinking_blocks":@}]"#,
    r#"[{"role":"tool","tool_call_id":@,"content":@}]"#,
    r#"[{"type":"function","function":{"name":"f","description":@,"parameters":{},"strict":true}}]"#,
    r#"[{"type":"function","function":{"name":"f","parameters":@,"strict":@}}]"#,
    r#"[{"name":"f","description":@,"input_schema":{},"strict":true}]"#,
    r#"[{"name":"f","input_schema":@}]"#,
];

type Make = fn(usize) -> String;

/// The large values within a field.
const INNER: &[(&str, Make)] = &[
    ("long", |bytes| text("a", bytes)),
    ("escaped", |bytes| text("\\u0061\\n", bytes)),
    ("odd", |bytes| text("\u{7f}", bytes)),
    ("quoted", |bytes| text("{\\\"\\\":0}", bytes)),
    ("wide", |bytes| list("{\"\":\"\"}", bytes)),
    ("object", |bytes| map("\"\"", bytes)),
];

fn list(item: &str, bytes: usize) -> String {
    let count = (bytes / (item.len() + 1)).max(1);
    format!("[{}]", vec![item; count].join(","))
}

fn map(value: &str, bytes: usize) -> String {
    let count = bytes / (value.len() + 10);
    let members: Vec<String> = (0..count).map(|i| format!("\"{i:06}\":{value}")).collect();
    format!("{{{}}}", members.join(","))
}

fn nested(levels: usize) -> String {
    "[".repeat(levels) + &"]".repeat(levels)
}

fn text(piece: &str, bytes: usize) -> String {
    format!("\"{}\"", piece.repeat((bytes / piece.len()).max(1)))
}

/// The names that stand in the sources of `hale-wire` below `folder`, tests excluded: among them each field that the
/// formats know.
pub fn names_in(folder: &Path) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for entry in
        fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
    {
        let path = entry.expect("an entry can be read").path();
        if path.is_dir() {
            names.extend(names_in(&path));
        } else if path.extension().is_some_and(|kind| kind == "rs") && !path.ends_with("tests.rs") {
            let text = fs::read_to_string(&path).expect("a source can be read");
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            // Every second part stands between quotes.
            names.extend(code.split('"').filter(|word| is_name(word)).map(str::to_owned));
            // A field of a struct is a name, too.
            let fields = code.lines().filter_map(|line| line.trim().split_once(": "));
            let fields = fields.map(|(name, _)| name.trim_start_matches("pub(super) "));
            names.extend(fields.filter(|name| is_name(name)).map(str::to_owned));
        }
    }
    names
}

fn is_name(word: &str) -> bool {
    (2..=40).contains(&word.len())
        && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_' || byte == b'-')
}
