//! The page `/router/explain` as a table.
//!
//! Called by [`super::run`]. Always true: each deployment of each group has one row, in the order of the page; why it
//! gets no request, and the fix, stand below it.

use serde_json::Value;

use crate::console::paint::{Paint, fitted};

/// The widest column of names.
const NAME_MAX: usize = 48;
/// States of a deployment that gets requests.
const OPEN: [&str; 3] = ["ready", "reopening", "trial"];

/// The table.
pub(super) fn text(page: &Value, paint: &Paint) -> String {
    let mut text = String::new();
    for (place, group) in groups(page).iter().enumerate() {
        text.push_str(&heading(place, group, paint));
        let members = list(group, "candidates");
        let names = members.iter().map(|one| field(one, "name").chars().count());
        let width = names.max().unwrap_or(0).min(NAME_MAX);
        for member in members {
            text.push_str(&row(member, width, paint));
        }
        if members.is_empty() {
            text.push_str("  the group has no deployment\n");
        }
    }
    for (name, when) in [
        ("context_window_fallbacks", "if the request is too long"),
        ("content_policy_fallbacks", "if a provider's policy refuses it"),
    ] {
        let groups: Vec<&str> = list(page, name).iter().filter_map(Value::as_str).collect();
        if !groups.is_empty() {
            text.push_str(&format!("{when}: {}\n", groups.join(", ")));
        }
    }
    text.push_str(&format!("{}\n", last_line(page, paint)));
    text
}

/// Whether some deployment would be tried at once or after a wait.
pub(super) fn can_be_served(page: &Value) -> bool {
    let open = |group: &Value| list(group, "candidates").iter().any(is_open);
    groups(page).iter().any(open) || page["waits_s"].is_number()
}

fn last_line(page: &Value, paint: &Paint) -> String {
    let strategy = field(page, "strategy");
    let worst = page["worst_case_s"].as_f64().unwrap_or_default();
    if !can_be_served(page) {
        return paint.red("no deployment would be tried: the request would be refused");
    }
    let wait = page["waits_s"].as_f64().map_or(String::new(), |seconds| {
        paint.yellow(&format!("it would wait {seconds:.1} s for its turn; "))
    });
    let deadline = page["deadline_s"]
        .as_f64()
        .map_or(String::new(), |seconds| format!(", and the request's time limit is {seconds} s"));
    format!("{wait}picked by {strategy}; the worst case takes {worst} s{deadline}")
}

fn heading(place: usize, group: &Value, paint: &Paint) -> String {
    let attempts = group["attempts"].as_u64().unwrap_or_default();
    let role = if place == 0 { "" } else { "fallback " };
    let name = paint.bold(field(group, "model_group"));
    let plural = if attempts == 1 { "" } else { "s" };
    let mut text = format!("{role}{name}: up to {attempts} attempt{plural}");
    let affinity = &group["affinity"];
    if affinity["on"].as_bool() == Some(true) {
        text.push_str(&format!("; {}", field(affinity, "why")));
    }
    text.push('\n');
    text
}

fn row(member: &Value, width: usize, paint: &Paint) -> String {
    let state = field(member, "state");
    let (sign, state) = match (is_open(member), state) {
        (true, "ready") => (paint.green("✓"), paint.green(state)),
        (true, _) => (paint.yellow("·"), paint.yellow(state)),
        (false, _) => (paint.red("✗"), paint.red(state)),
    };
    let mut text = format!("  {sign}  {}  {state}", fitted(field(member, "name"), width));
    if let Some(order) = member["order"].as_u64() {
        text.push_str(&format!("  order {order}"));
    }
    if let Some(seconds) = member["retry_after_s"].as_u64() {
        text.push_str(&format!("  again in {seconds} s"));
    }
    text.push('\n');
    // What the gateway itself decided has no other cause than what the fix says.
    let cause =
        Some(field(member, "cause")).filter(|cause| *cause != "gateway").unwrap_or_default();
    for (name, value) in [("", cause), ("fix: ", field(member, "hint"))] {
        if !value.is_empty() {
            text.push_str(&format!("     {}\n", paint.faint(&format!("{name}{value}"))));
        }
    }
    text
}

fn is_open(member: &Value) -> bool {
    OPEN.contains(&field(member, "state"))
}

fn groups(page: &Value) -> &[Value] {
    list(page, "groups")
}

fn list<'p>(value: &'p Value, name: &str) -> &'p [Value] {
    value[name].as_array().map_or(&[][..], Vec::as_slice)
}

fn field<'p>(value: &'p Value, name: &str) -> &'p str {
    value[name].as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_deployment_has_its_row_and_what_keeps_it_out_stands_below() {
        let page = json!({
            "model": "fast", "strategy": "simple-shuffle", "deadline_s": 60.0, "worst_case_s": 12.5,
            "waits_s": null,
            "groups": [
                {"model_group": "fast", "attempts": 3, "affinity": {"on": false, "why": "no"}, "candidates": [
                    {"name": "openai/a", "state": "ready", "order": 1},
                    {"name": "openai/long", "state": "cooldown", "cause": "auth", "hint": "set KEY_B",
                     "retry_after_s": 9},
                ]},
                {"model_group": "big", "attempts": 1, "affinity": {"on": true, "why": "sessions stay"},
                 "candidates": [{"name": "x", "state": "trial"}]},
            ],
            "context_window_fallbacks": ["big"], "content_policy_fallbacks": [],
        });
        assert_eq!(
            text(&page, &Paint::on(false)),
            "fast: up to 3 attempts\n  ✓  openai/a     ready  order 1\n  ✗  openai/long  cooldown  again in 9 s\n     \
             auth\n     fix: set KEY_B\nfallback big: up to 1 attempt; sessions stay\n  ·  x  trial\nif the request is \
             too long: big\npicked by simple-shuffle; the worst case takes 12.5 s, and the request's time limit is 60 s\n"
        );
        assert!(can_be_served(&page));
    }

    #[test]
    fn a_request_that_waits_can_be_served_and_one_without_any_deployment_cannot() {
        let page = |waits: Value| {
            json!({
                "strategy": "s", "waits_s": waits,
                "groups": [{"model_group": "m", "candidates": [{"name": "a", "state": "cooldown"}]}],
            })
        };
        assert!(can_be_served(&page(json!(2.5))));
        assert!(text(&page(json!(2.5)), &Paint::on(false)).contains("it would wait 2.5 s"));
        assert!(!can_be_served(&page(Value::Null)));
        assert!(text(&page(Value::Null), &Paint::on(false)).contains("would be refused"));
    }
}
