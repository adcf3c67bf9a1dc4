//! A config that is still wrapped in something else: a Kubernetes object, or the values of a Helm chart.
//!
//! Asked by [`super::load`] before the sections are read. Always true: what has a `model_list` at its top is a config.

use super::problem::{At, Wrong, shown};
use super::tree::{Entry, Map, Node};

/// Sections of a config that a chart's values have below a key of their own.
const SECTIONS: [&str; 4] =
    ["model_list", "litellm_settings", "router_settings", "general_settings"];

/// What the config is wrapped in and where it is in there; `None` if it is not wrapped.
pub(super) fn recognise(top: &Map) -> Option<(At, Wrong)> {
    if SECTIONS.iter().any(|name| top.get(name).is_some()) {
        return None;
    }
    if let (Some(kind), Some(_)) = (top.get("kind"), top.get("apiVersion")) {
        return Some((kind.at, object(kind.text().unwrap_or_default(), top)));
    }
    let (at, path) = within(top, DEPTH)?;
    let name = path.iter().rev().map(|key| shown(key)).collect::<Vec<_>>().join(".");
    let problem = format!(
        "this is not a config, but holds one in `{name}`, as the values of a Helm chart do"
    );
    Some((at, Wrong::new(problem, format!("write what is below `{name}` into a file of its own"))))
}

/// How deep a config is looked for: a chart of charts has it below the chart's name and a key of that chart.
const DEPTH: usize = 4;
/// How many keys of a mapping are looked at.
const WIDTH: usize = 200;

/// Where in `map` a config is, as a mapping or as text, and the keys that lead there, the last one first.
fn within(map: &Map, depth: usize) -> Option<(At, Vec<&str>)> {
    let entries = || map.entries.iter().take(WIDTH);
    let is_config = |node: &Node| match (node.as_map(), node.text()) {
        (Some(map), _) => SECTIONS.iter().any(|name| map.get(name).is_some()),
        (None, text) => text.is_some_and(holds_sections),
    };
    if let Some(found) = entries().find(|entry| is_config(&entry.value)) {
        return Some((found.at, vec![&*found.key]));
    }
    let below = |entry| deeper(entry, depth.checked_sub(1)?);
    entries().find_map(below)
}

fn deeper(entry: &Entry, depth: usize) -> Option<(At, Vec<&str>)> {
    let (at, mut path) = within(entry.value.as_map()?, depth)?;
    path.push(&entry.key);
    Some((at, path))
}

/// Whether a text has a line that begins a section.
fn holds_sections(text: &str) -> bool {
    text.lines().any(|line| {
        let name = line.split_once(':').map(|(name, _)| name.trim_end());
        name.is_some_and(|name| SECTIONS.contains(&name))
    })
}

fn object(kind: &str, top: &Map) -> Wrong {
    let kind = shown(kind);
    let data =
        ["data", "stringData"].into_iter().find_map(|name| Some((name, top.get(name)?.as_map()?)));
    let file = data.and_then(|(data, map)| {
        let found = map.entries.iter().find(|entry| entry.value.text().is_some_and(holds_sections));
        Some((data, &*found.or(map.entries.first())?.key))
    });
    let Some((data, file)) = file else {
        let problem = format!("this is a Kubernetes object of kind {kind}, not a config");
        return Wrong::new(problem, "name the file that has `model_list` at its top");
    };
    let (problem, file) = (
        format!("this is a {kind} of Kubernetes: the config is in `{data}.{}`", shown(file)),
        shown(file),
    );
    Wrong::new(problem, format!("write the text below `{file}` into a file of its own"))
}
