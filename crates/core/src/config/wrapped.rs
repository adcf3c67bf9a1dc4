//! A config that is still wrapped in something else: a Kubernetes object, or the values of a Helm chart.
//!
//! Asked by [`super::load`] before the sections are read. Always true: what has a `model_list` at its top is a config.

use super::problem::{At, Wrong, shown};
use super::tree::{Map, Node};

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
    let is_config = |map: &Map| SECTIONS.iter().any(|name| map.get(name).is_some());
    let inner = top.entries.iter().find(|entry| entry.value.as_map().is_some_and(is_config))?;
    let name = shown(&inner.key);
    let problem = format!(
        "this is not a config, but holds one in `{name}`, as the values of a Helm chart do"
    );
    Some((
        inner.at,
        Wrong::new(problem, format!("write what is below `{name}` into a file of its own")),
    ))
}

fn object(kind: &str, top: &Map) -> Wrong {
    let kind = shown(kind);
    let data =
        ["data", "stringData"].into_iter().find_map(|name| Some((name, top.get(name)?.as_map()?)));
    let file = data.and_then(|(data, map)| {
        let holds = |text: &str| SECTIONS.iter().any(|name| text.contains(&format!("{name}:")));
        let found = map.entries.iter().find(|entry| entry.value.text().is_some_and(holds));
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

/// Whether LiteLLM is told to keep its models in a database.
pub(super) fn keeps_models_elsewhere(top: &Map) -> bool {
    let settings = top.get("general_settings").and_then(Node::as_map);
    let asked = settings.and_then(|map| map.get("store_model_in_db"));
    asked.is_some_and(|node| super::value::flag(node) == Ok(true))
}
