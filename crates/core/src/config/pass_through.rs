//! `pass_through_all_models`: a pattern `provider/*` for each provider with a key in the
//! environment.
//!
//! Called by [`super::load`]. Always true: the added deployments are ordinary ones, as if they were
//! in `model_list`; a pattern that is in the list is not added again; nothing that cannot serve is
//! added.

use std::rc::Rc;

use crate::provider;

use super::deployments;
use super::draft::{Context, Draft};
use super::problem::{At, Path, Problems};
use super::tree::{Entry, Map, Node, Style};

/// Adds them to `drafts`. `at` is where the config asks for it.
pub(super) fn add(drafts: &mut Vec<Draft>, at: At, context: &Context<'_>, problems: &mut Problems) {
    let path = Path::Root.key("general_settings");
    let path = path.key("pass_through_all_models");
    for provider in provider::all().filter(|provider| context.has_access(provider)) {
        let name = format!("{}/*", provider.name);
        if drafts.iter().all(|draft| *draft.name != *name) {
            drafts.extend(deployments::entry(&entry(&name, at), None, &path, context, problems));
        }
    }
}

/// The entry as it would be in `model_list`. Its probes must not cost anything, because no operator
/// asked for them.
fn entry(name: &str, at: At) -> Node {
    let text = |text: &str| Node::scalar(text, Style::Quoted, at);
    let map = |entries: Vec<(&str, Node)>| {
        let entry = |(key, value): (&str, Node)| Entry {
            key: Rc::from(key),
            style: Style::Plain,
            at,
            value,
        };
        Node::map(Map { entries: entries.into_iter().map(entry).collect() }, at)
    };
    let unchecked = Node::scalar("true", Style::Plain, at);
    map(vec![
        ("model_name", text(name)),
        ("litellm_params", map(vec![("model", text(name))])),
        ("model_info", map(vec![("disable_background_health_check", unchecked)])),
    ])
}
