//! An entry with a list of organizations: one deployment for each of them.
//!
//! Called by [`super::deployments`]. Always true: the entries that are made of it differ in nothing but the organization and the id.

use super::any_model::with;
use super::tree::Node;

/// How many organizations an entry may have.
const MOST: usize = 100;

/// The entries that `item` stands for; `None` if it stands for itself.
pub(super) fn expanded(item: &Node) -> Option<Vec<Node>> {
    let map = item.as_map()?;
    let params = map.get("litellm_params")?.as_map()?;
    let organizations = params.get("organization")?.items()?;
    if !(2..=MOST).contains(&organizations.len()) {
        return None;
    }
    let one = |(i, organization): (usize, &Node)| {
        let params = with(params.clone(), "organization", organization.clone(), item);
        let map = with(map.clone(), "litellm_params", Node::map(params, item.at), item);
        let info = map.get("model_info").and_then(Node::as_map).filter(|_| i > 0);
        let Some(mut info) = info.cloned() else { return Node::map(map, item.at) };
        // An id is that of one deployment, and the first has it.
        info.entries.retain(|entry| &*entry.key != "id");
        Node::map(with(map, "model_info", Node::map(info, item.at), item), item.at)
    };
    Some(organizations.iter().enumerate().map(one).collect())
}
