//! An entry whose name and model are a bare `*`: the models of every provider whose key is in the environment.
//!
//! Called by [`super::deployments`]. Always true: the entries that are made of it are ordinary ones, `provider/*`, so that the
//! request's name says whose model it is; a pattern that the list has itself is not made again.

use std::rc::Rc;

use crate::provider::{self, Provider};

use super::draft::Context;
use super::tree::{Entry, Map, Node, Style};

/// What says where such an entry's requests go; then it stands for one provider.
const PLACES: [&str; 4] =
    ["custom_llm_provider", "api_base", "base_url", "litellm_credential_name"];

/// The entries that `item` of `list` stands for; `None` if it stands for itself.
pub(super) fn expanded(item: &Node, list: &[Node], context: &Context<'_>) -> Option<Vec<Node>> {
    let map = item.as_map()?;
    let params = map.get("litellm_params")?.as_map()?;
    let is_star = |node: Option<&Node>| node.and_then(Node::text) == Some("*");
    let has_place = PLACES.iter().any(|key| params.get(key).is_some_and(|node| !node.is_unset()));
    if !is_star(map.get("model_name")) || !is_star(params.get("model")) || has_place {
        return None;
    }
    let has_key = params.get("api_key").is_some_and(|node| !node.is_unset());
    // LiteLLM takes a bare `*` for OpenAI's, and a key belongs to one company.
    let is_meant =
        |row: &&Provider| if has_key { &*row.name == "openai" } else { context.has_access(row) };
    let is_listed = |name: &str| {
        list.iter()
            .any(|other| other.as_map().and_then(|map| map.get("model_name")?.text()) == Some(name))
    };
    let names = provider::all().filter(is_meant).map(|row| format!("{}/*", row.name));
    let made: Vec<Node> =
        names.filter(|name| !is_listed(name)).map(|name| entry(map, params, &name, item)).collect();
    (!made.is_empty()).then_some(made)
}

/// The entry with that name and model.
fn entry(map: &Map, params: &Map, name: &str, item: &Node) -> Node {
    let text = |text: &str| Node::scalar(text, Style::Quoted, item.at);
    let params = with(params.clone(), "model", text(name), item);
    // An id would be that of several, and a probe of each would cost what the operator did not ask for.
    let mut info = map.get("model_info").and_then(Node::as_map).cloned().unwrap_or_default();
    info.entries.retain(|entry| &*entry.key != "id");
    if info.get("disable_background_health_check").is_none() {
        let unchecked = Node::scalar("true", Style::Plain, item.at);
        info = with(info, "disable_background_health_check", unchecked, item);
    }
    let map = with(map.clone(), "model_name", text(name), item);
    let map = with(map, "litellm_params", Node::map(params, item.at), item);
    Node::map(with(map, "model_info", Node::map(info, item.at), item), item.at)
}

/// The mapping of `item` with that value.
pub(super) fn with(mut map: Map, key: &str, value: Node, item: &Node) -> Map {
    map.entries.retain(|entry| &*entry.key != key);
    map.entries.push(Entry { key: Rc::from(key), style: Style::Plain, at: item.at, value });
    map
}
