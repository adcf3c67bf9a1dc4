//! The page `/ui/requests` as a table.
//!
//! Called by [`super::run`]. Always true: the newest request is the first row; a value that is not known is a dash.

use hale_core::time::rfc3339;
use serde_json::Value;

use crate::console::paint::{Paint, fitted};

/// The widest columns of models and deployments.
const NAME_MAX: usize = 32;
/// What the columns are called.
const TITLES: [&str; 10] = [
    "time",
    "status",
    "model",
    "deployment",
    "cause",
    "attempts",
    "ms",
    "tokens",
    "USD",
    "call id",
];

/// The table; a terminal's lines are cut at `columns`.
pub(super) fn text(page: &Value, paint: &Paint, columns: usize) -> String {
    let requests = page["requests"].as_array().map_or(&[][..], Vec::as_slice);
    if requests.is_empty() {
        return "no request was recorded that matches; `--all` shows those that succeeded, too\n"
            .to_owned();
    }
    let rows: Vec<[String; 10]> = requests.iter().map(cells).collect();
    let widths: Vec<usize> = TITLES
        .iter()
        .enumerate()
        .map(|(at, title)| {
            let longest = rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
            longest.max(title.chars().count()).min(if at == 9 { 64 } else { NAME_MAX })
        })
        .collect();
    let line = |cells: &[&str]| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| fitted(cell, *width));
        let whole = padded.collect::<Vec<String>>().join("  ");
        let whole = whole.trim_end();
        match whole.chars().count() > columns {
            true => {
                format!("{}…", whole.chars().take(columns.saturating_sub(1)).collect::<String>())
            }
            false => whole.to_owned(),
        }
    };
    let mut text = format!("{}\n", paint.bold(&line(&TITLES)));
    for (row, request) in rows.iter().zip(requests) {
        let cells: Vec<&str> = row.iter().map(String::as_str).collect();
        let shown = line(&cells);
        let failed = request["status"].as_u64().unwrap_or(0) >= 400 || request["cause"].is_string();
        text.push_str(&if failed { paint.red(&shown) } else { shown });
        text.push('\n');
    }
    text
}

fn cells(request: &Value) -> [String; 10] {
    let text = |name: &str| request[name].as_str().map_or("-".to_owned(), str::to_owned);
    let number = |name: &str| request[name].as_u64();
    let attempts = number("retries").unwrap_or(0) + number("fallbacks").unwrap_or(0);
    let deployment = match request["deployment_name"].as_str() {
        Some(name) => name.to_owned(),
        None => text("deployment"),
    };
    let tokens = match (number("input_tokens"), number("output_tokens")) {
        (None, None) => "-".to_owned(),
        (input, output) => format!("{}+{}", input.unwrap_or(0), output.unwrap_or(0)),
    };
    let cause = match (request["cause"].as_str(), request["ending"].as_str()) {
        (Some(cause), _) => cause.to_owned(),
        (None, Some("done") | None) => "-".to_owned(),
        (None, Some(ending)) => ending.to_owned(),
    };
    [
        rfc3339(number("arrived_at_ms").unwrap_or(0)),
        number("status").map_or("-".to_owned(), |status| status.to_string()),
        text("model"),
        deployment,
        cause,
        (attempts + 1).to_string(),
        (number("duration_us").unwrap_or(0) / 1000).to_string(),
        tokens,
        request["cost_usd"].as_f64().map_or("-".to_owned(), |usd| format!("{usd:.6}")),
        text("call_id"),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_request_has_a_row_and_what_is_not_known_is_a_dash() {
        let page = json!({"requests": [{
            "arrived_at_ms": 1_700_000_000_000_u64, "status": 502, "model": "fast", "deployment": "0123",
            "deployment_name": "openai/x", "cause": "connect", "retries": 2, "fallbacks": 1,
            "duration_us": 2_500, "input_tokens": null, "output_tokens": null, "cost_usd": null,
            "call_id": "c1", "ending": "error",
        }]});
        let text = text(&page, &Paint::on(false), usize::MAX);
        let lines: Vec<Vec<&str>> =
            text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[0][..5], ["time", "status", "model", "deployment", "cause"]);
        assert_eq!(lines[1][1..], ["502", "fast", "openai/x", "connect", "4", "2", "-", "-", "c1"]);
        let cut = super::text(&page, &Paint::on(false), 20);
        assert!(cut.lines().all(|line| line.chars().count() == 20), "{cut}");
    }

    #[test]
    fn no_rows_are_said() {
        let text = text(&json!({"requests": []}), &Paint::on(false), 80);
        assert!(text.contains("--all"), "{text}");
    }
}
