//! Single values: reading a node as a boolean, a number, a time or text.
//!
//! Called by [`super::field`] and by the few places that read values without a row. Always true:
//! quoted numbers and booleans are accepted, because environment variables are always text; a text
//! from the environment is never shown.

use super::keys::Kind;
use super::problem::{Wrong, shown};
use super::redact;
use super::scalar::boolean;
use super::tree::{Node, Style, Value};

/// What the value is, for an error.
pub(super) fn describe(node: &Node) -> String {
    match &node.value {
        Value::List(_) => "a list".to_owned(),
        Value::Map(_) => "a mapping".to_owned(),
        Value::Missing(variable) => {
            format!("the variable {}, which is not set", redact::variable(variable))
        }
        Value::Scalar(..) if node.is_null() => "nothing".to_owned(),
        Value::Scalar(_, Style::Environment) => "the text of an environment variable".to_owned(),
        Value::Scalar(text, _) => format!("`{}`", shown(text)),
    }
}

/// As [`describe`], without the text itself: for places where a secret may be written by mistake.
pub(super) fn describe_kind(node: &Node) -> String {
    match &node.value {
        Value::Scalar(..) if !node.is_null() => "text".to_owned(),
        Value::Scalar(..) | Value::List(_) | Value::Map(_) | Value::Missing(_) => describe(node),
    }
}

/// A boolean.
pub(super) fn flag(node: &Node) -> Result<bool, Wrong> {
    let read = node.text().and_then(|text| {
        let text = text.trim();
        boolean(text).or_else(|| match text.to_ascii_lowercase().as_str() {
            "1" | "true" | "yes" | "on" => Some(true),
            "0" | "false" | "no" | "off" => Some(false),
            _ => None,
        })
    });
    read.ok_or_else(|| expected("true or false", node))
}

/// An integer in a range.
pub(super) fn count(node: &Node, min: u64, max: u64) -> Result<u64, Wrong> {
    let range = || expected(&format!("a whole number from {min} to {max}"), node);
    let text = node.text().ok_or_else(range)?.trim();
    let value = match text.replace('_', "").parse::<u64>() {
        Ok(value) => value,
        Err(_) => {
            let value = text.parse::<f64>().map_err(|_| range())?;
            if value.fract() != 0.0 || !(0.0..=9.0e15).contains(&value) {
                return Err(range());
            }
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "whole and in range"
            )]
            let whole = value as u64;
            whole
        }
    };
    if (min..=max).contains(&value) { Ok(value) } else { Err(range()) }
}

/// A number in a range.
pub(super) fn number(node: &Node, min: f64, max: f64) -> Result<f64, Wrong> {
    let range = || expected(&format!("a number from {min} to {max}"), node);
    let text = node.text().ok_or_else(range)?.trim();
    let value: f64 = text.replace('_', "").parse().map_err(|_| range())?;
    if value.is_finite() && (min..=max).contains(&value) { Ok(value) } else { Err(range()) }
}

/// A time in milliseconds: seconds, or a number with `ms`, `s`, `m`, `h` or `d`.
pub(super) fn time(node: &Node, min_ms: u64, max_ms: u64) -> Result<u64, Wrong> {
    let range = || {
        let (min, max) = (seconds(min_ms), seconds(max_ms));
        let mut wrong = expected(&format!("a time from {min} to {max} seconds"), node);
        wrong.hint = "a plain number is seconds; `500ms`, `5m` and `2h` are read too".to_owned();
        wrong
    };
    let text = node.text().ok_or_else(range)?.trim();
    let split = text.find(|c: char| c.is_ascii_alphabetic() && c != 'e' && c != 'E');
    let (digits, unit) = text.split_at_checked(split.unwrap_or(text.len())).ok_or_else(range)?;
    let scale = match unit.trim() {
        "" | "s" | "sec" | "seconds" => 1_000.0,
        "ms" => 1.0,
        "m" | "min" => 60_000.0,
        "h" => 3_600_000.0,
        "d" => 86_400_000.0,
        _ => return Err(range()),
    };
    let value: f64 = digits.trim().parse().map_err(|_| range())?;
    let ms = (value * scale).round();
    // A tiny negative time would round to 0.
    if value < 0.0 || !(0.0..=1e15).contains(&ms) {
        return Err(range());
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in range")]
    let ms = ms as u64;
    if (min_ms..=max_ms).contains(&ms) { Ok(ms) } else { Err(range()) }
}

/// A size in MiB as bytes.
pub(super) fn megabytes(node: &Node, min: f64, max: f64) -> Result<usize, Wrong> {
    let size = number(node, min, max).map_err(|mut wrong| {
        wrong.hint = "the unit is MiB".to_owned();
        wrong
    })?;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in range")]
    let bytes = (size * 1_048_576.0).round() as usize;
    Ok(bytes)
}

/// Text; numbers and booleans are their own text.
pub(super) fn text(node: &Node) -> Result<&str, Wrong> {
    match node.text() {
        Some(text) => Ok(text),
        None => Err(expected("text", node)),
    }
}

/// A list.
pub(super) fn list(node: &Node) -> Result<&[Node], Wrong> {
    node.items().ok_or_else(|| {
        let problem = format!("expected a list, got {}", describe_kind(node));
        Wrong::new(problem, "write one item a line, each after `- `")
    })
}

/// A range as the reference page shows it.
pub(super) fn range_text(kind: Kind) -> String {
    match kind {
        Kind::Text | Kind::Secret => "text".to_owned(),
        Kind::Bool => "true or false".to_owned(),
        Kind::Count(min, max) => format!("whole number, {min} to {max}"),
        Kind::Number(min, max) => format!("number, {min} to {max}"),
        Kind::Time(min, max) => format!("seconds, {} to {}", seconds(min), seconds(max)),
        Kind::Megabytes(min, max) => format!("number, {min} to {max}"),
        Kind::List => "list".to_owned(),
        Kind::Map => "mapping".to_owned(),
        Kind::Any => String::new(),
    }
}

fn expected(what: &str, node: &Node) -> Wrong {
    Wrong::new(format!("expected {what}, got {}", describe(node)), "")
}

/// Milliseconds as seconds, for people.
pub(super) fn seconds(ms: u64) -> String {
    if ms.is_multiple_of(1_000) {
        (ms / 1_000).to_string()
    } else {
        format!("{}.{:03}", ms / 1_000, ms % 1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::problem::At;

    fn node(text: &str) -> Node {
        Node::scalar(text, Style::Plain, At::default())
    }

    #[test]
    fn booleans_of_yaml_11_and_of_the_environment_are_read() {
        for text in ["yes", "On", "TRUE", "true", "1", "tRuE"] {
            assert_eq!(flag(&node(text)), Ok(true), "{text}");
        }
        for text in ["no", "Off", "False", "0"] {
            assert_eq!(flag(&node(text)), Ok(false), "{text}");
        }
        assert_eq!(
            flag(&node("maybe")).unwrap_err().problem,
            "expected true or false, got `maybe`"
        );
        let environment = Node::scalar("true", Style::Environment, At::default());
        assert_eq!(flag(&environment), Ok(true));
    }

    #[test]
    fn numbers_say_their_range() {
        assert_eq!(count(&node("30"), 0, 100), Ok(30));
        assert_eq!(count(&node("30.0"), 0, 100), Ok(30));
        assert_eq!(count(&node("1_000"), 0, 5_000), Ok(1_000));
        for bad in ["-1", "101", "1.5", "x", "nan", "inf", "1e999", "99999999999999999999999", ""] {
            let problem = count(&node(bad), 0, 100).unwrap_err().problem;
            assert!(
                problem.starts_with("expected a whole number from 0 to 100, got "),
                "{problem}"
            );
        }
        assert_eq!(number(&node("1e-3"), 0.0, 1.0), Ok(0.001));
        for bad in ["-0.1", "NaN", "inf", "x", "~"] {
            assert!(number(&node(bad), 0.0, 1.0).is_err(), "{bad}");
        }
    }

    #[test]
    fn times_are_seconds_unless_a_unit_says_otherwise() {
        let read = |text| time(&node(text), 1, 86_400_000);
        assert_eq!(read("30"), Ok(30_000));
        assert_eq!(read("0.5"), Ok(500));
        assert_eq!(read("500ms"), Ok(500));
        assert_eq!(read("500 ms"), Ok(500));
        assert_eq!(read("5m"), Ok(300_000));
        assert_eq!(read("2h"), Ok(7_200_000));
        assert_eq!(read("1e2"), Ok(100_000));
        for bad in ["0", "-1", "5x", "NaN", "inf", "-0.0001s", "1d1", "90000", "", "s", "1e400"] {
            let wrong = read(bad).unwrap_err();
            let range = "expected a time from 0.001 to 86400 seconds, got ";
            assert!(wrong.problem.starts_with(range), "{bad}: {}", wrong.problem);
        }
        assert_eq!(megabytes(&node("0.5"), 0.0, 1.0), Ok(1 << 19));
    }
}
