//! `credential_list`: credentials that entries refer to by name.
//!
//! Called by [`super::load`]. Always true: each name has one set of values; whether they can be used is found out by the
//! deployments that name them.

use std::collections::HashMap;

use super::field::visit;
use super::if_wrong::IfWrong;
use super::keys::Section;
use super::problem::{At, Path, Problems, Wrong, shown};
use super::tree::{Map, Node};
use super::value::describe_kind;

/// The values by name.
pub(super) fn read<'n>(
    list: Option<&'n Node>,
    problems: &mut Problems,
) -> HashMap<&'n str, &'n Map> {
    let mut found: HashMap<&str, (&Map, At)> = HashMap::new();
    let path = Path::Root.key("credential_list");
    let Some(list) = list.filter(|node| !node.is_unset()) else { return HashMap::new() };
    let Some(items) = list.items() else {
        let problem = format!("expected a list, got {}", describe_kind(list));
        problems.error(list.at, &path, Wrong::new(problem, "begin each credential with `- `"));
        return HashMap::new();
    };
    for (i, item) in items.iter().enumerate() {
        let path = path.item(i);
        let Some((name, values)) = credential(item, &path, problems) else { continue };
        if let Some((_, first)) = found.insert(name, (values, item.at)) {
            let other = problems.other_place(item.at, first);
            let problem =
                format!("the name `{}` is taken on {other}: this one is used", shown(name));
            problems.warn(item.at, &path, Wrong::new(problem, "rename one of them"));
        }
    }
    found.into_iter().map(|(name, (values, _))| (name, values)).collect()
}

fn credential<'n>(
    item: &'n Node,
    path: &Path<'_>,
    problems: &mut Problems,
) -> Option<(&'n str, &'n Map)> {
    let hint = "a credential has `credential_name` and `credential_values`";
    let Some(map) = item.as_map() else {
        let problem = format!("expected a mapping, got {}", describe_kind(item));
        problems.wrong(IfWrong::Unset, item.at, path, Wrong::new(problem, hint));
        return None;
    };
    let mut bad = false;
    visit(Section::Credential, map, path, problems, |field, problems| match field.row.name {
        "credential_name" => bad |= field.text(problems).is_none(),
        "credential_values" => bad |= field.map(problems).is_none(),
        other => debug_assert!(false, "{other} is in keys.rs but nothing reads it"),
    });
    let name = map.get("credential_name").and_then(Node::text);
    let values = map.get("credential_values").and_then(Node::as_map);
    let (Some(name), Some(values)) = (name, values) else {
        if !bad {
            problems.wrong(IfWrong::Unset, item.at, path, Wrong::new("is incomplete", hint));
        }
        return None;
    };
    Some((name, values))
}
