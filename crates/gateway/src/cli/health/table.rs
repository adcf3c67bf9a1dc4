//! The page `/health` as a table.
//!
//! Called by [`super::run`]. Always true: each entry of the page has one row, what is wrong and the fix stand below
//! it, and the last line counts; a field that the page leaves out is left out here.

use serde_json::Value;

use crate::console::paint::{Paint, fitted};

/// The widest column of names.
const NAME_MAX: usize = 40;
/// The fields of an entry that are columns.
const COLUMNS: [&str; 4] = ["model_name", "name", "model", "status"];

/// Gives a text a colour.
type Colour = fn(&Paint, &str) -> String;

/// One entry of the page.
struct Row<'p> {
    entry: &'p Value,
    sign: &'static str,
    colour: Colour,
}

/// The table.
pub(super) fn text(url: &str, page: &Value, paint: &Paint) -> String {
    let entries = |list: &str| page[list].as_array().map_or(&[][..], Vec::as_slice);
    let lists: [(&str, &str, Colour); 3] = [
        ("unhealthy_endpoints", "✗", Paint::red),
        ("unchecked_endpoints", "·", Paint::yellow),
        ("healthy_endpoints", "✓", Paint::green),
    ];
    let rows: Vec<Row<'_>> = lists
        .into_iter()
        .flat_map(|(list, sign, colour)| {
            entries(list).iter().map(move |entry| Row { entry, sign, colour })
        })
        .collect();
    let width = |name: &str| {
        let longest = rows.iter().map(|row| column(row.entry, name).chars().count()).max();
        longest.unwrap_or(0).min(NAME_MAX)
    };
    let widths = COLUMNS.map(|name| (name, width(name)));
    let mut text: String = rows.iter().map(|row| line(row, &widths, paint)).collect();
    let count = |list: &str| entries(list).len();
    let (healthy, all) = (count("healthy_endpoints"), rows.len());
    let last = format!(
        "{url}: {healthy} of {all} deployments are healthy, {} unhealthy, {} not probed",
        count("unhealthy_endpoints"),
        count("unchecked_endpoints")
    );
    let last = if healthy == 0 { paint.red(&last) } else { last };
    text.push_str(&format!("{last}\n"));
    text
}

fn field<'p>(entry: &'p Value, name: &str) -> &'p str {
    entry[name].as_str().unwrap_or_default()
}

/// What stands in that column: a model that begins the readable name is not repeated.
fn column<'p>(entry: &'p Value, name: &str) -> &'p str {
    let text = field(entry, name);
    let is_repeated = name == "model" && field(entry, "name").starts_with(text);
    if is_repeated { "" } else { text }
}

fn line(row: &Row<'_>, widths: &[(&str, usize)], paint: &Paint) -> String {
    let entry = row.entry;
    let mut text = (row.colour)(paint, row.sign);
    for (name, width) in widths.iter().copied() {
        if width > 0 {
            text.push_str(&format!("  {}", fitted(column(entry, name), width)));
        }
    }
    if let Some(ms) = entry["latency_ms"].as_u64() {
        text.push_str(&format!("  {ms} ms"));
    }
    if let Some(seconds) = entry["retry_after_s"].as_u64() {
        text.push_str(&format!("  again in {seconds} s"));
    }
    let mut text = format!("{}\n", text.trim_end());
    let error =
        [field(entry, "error"), field(entry, "cause")].into_iter().find(|it| !it.is_empty());
    for (name, value) in [("", error), ("fix: ", entry["hint"].as_str())] {
        if let Some(value) = value {
            text.push_str(&format!("   {}\n", paint.faint(&format!("{name}{value}"))));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_unhealthy_comes_first_with_its_error_and_fix() {
        let page = json!({
            "healthy_endpoints": [{"model_name": "a", "model": "openai/x", "status": "healthy", "latency_ms": 12}],
            "unhealthy_endpoints": [
                {"model_name": "b", "model": "openai/long", "status": "unhealthy", "cause": "auth",
                 "error": "401: no such key", "hint": "set KEY_B"},
            ],
            "unchecked_endpoints": [{"model": "groq/y", "status": "disabled"}],
        });
        let text = text("http://h", &page, &Paint::on(false));
        assert_eq!(
            text,
            "✗  b  openai/long  unhealthy\n   401: no such key\n   fix: set KEY_B\n\
             ·     groq/y       disabled\n✓  a  openai/x     healthy    12 ms\n\
             http://h: 1 of 3 deployments are healthy, 1 unhealthy, 1 not probed\n"
        );
    }

    #[test]
    fn two_deployments_of_one_model_have_rows_of_their_own() {
        let entry = |name: &str| json!({"model_name": "m", "name": name, "model": "openai/x"});
        let page = json!({"healthy_endpoints": [entry("openai/x :3"), entry("openai/x :5"), entry("own")]});
        let text = text("http://h", &page, &Paint::on(false));
        let rows: Vec<&str> = text.lines().take(3).collect();
        assert_eq!(rows, ["✓  m  openai/x :3", "✓  m  openai/x :5", "✓  m  own          openai/x"]);
    }

    #[test]
    fn a_page_without_details_is_a_table_of_models() {
        let page = json!({"healthy_endpoints": [{"model": "openai/x"}], "unhealthy_endpoints": []});
        let text = text("http://h", &page, &Paint::on(false));
        assert!(text.starts_with("✓  openai/x\n"), "{text}");
    }
}
