//! `cache_control_injection_points` of a deployment.
//!
//! Called by [`super::params`]. Always true: a point that cannot be one is left out with a warning, because a cache changes no
//! answer.

use crate::deployment::{CachePlace, CachePoint};

use super::field::Field;
use super::json;
use super::problem::{Problems, Wrong, shown};
use super::tree::Node;
use super::value;

/// The mark if a point names none.
const EPHEMERAL: &str = r#"{"type":"ephemeral"}"#;

/// The points in the field.
pub(super) fn read(field: &Field<'_>, problems: &mut Problems) -> Vec<CachePoint> {
    let mut points = Vec::new();
    for (i, item) in field.list(problems).unwrap_or(&[]).iter().enumerate() {
        match point(item) {
            Ok(point) => points.push(point),
            Err(wrong) => problems.warn(item.at, &field.path.item(i), wrong),
        }
    }
    points
}

fn point(item: &Node) -> Result<CachePoint, Wrong> {
    const FORM: &str =
        "write `{location: message, role: system}`, or `index: -1` in place of the role";
    let wrong = |problem: String| Wrong::new(format!("{problem}: it is left out"), FORM);
    let Some(map) = item.as_map() else {
        return Err(wrong(format!("expected a mapping, got {}", value::describe_kind(item))));
    };
    let text = |key: &str| map.get(key).and_then(Node::text);
    let place = match (text("location"), text("index"), text("role")) {
        (Some("tool_config"), ..) => CachePlace::Tools,
        (None | Some("message"), Some(index), _) => match index.trim().parse() {
            Ok(index) => CachePlace::Message(index),
            Err(_) => return Err(wrong(format!("index `{}` is no whole number", shown(index)))),
        },
        (None | Some("message"), None, Some(role)) => CachePlace::Role(role.into()),
        (None | Some("message"), None, None) => {
            return Err(wrong("names neither a role nor an index".to_owned()));
        }
        (Some(other), ..) => return Err(wrong(format!("unknown location `{}`", shown(other)))),
    };
    let control = map.get("control").filter(|node| node.as_map().is_some());
    let control =
        control.map_or_else(|| EPHEMERAL.to_owned(), |node| json::value(node).to_string());
    Ok(CachePoint { place, control: control.into() })
}
