//! Further names of groups, and what is tried after a group.
//!
//! Called by [`super::load`] once all names are known. Always true: every name that leads nowhere
//! has been reported with the nearest ones; circles of fallbacks are legal, circles of aliases lead
//! nowhere.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};

use crate::group::Pattern;
use crate::settings::{Alias, Fallback, RouterSettings};
use crate::snapshot::Snapshot;

use super::field::visit;
use super::keys::Section;
use super::names::Names;
use super::problem::{At, Path, Problems, Wrong, shown};
use super::suggest::did_you_mean;
use super::suited::Moves;
use super::tree::{Map, Node, Value};
use super::value::describe_kind;
use super::{json, params};

/// Longest chain of aliases that the router follows.
const ALIAS_CHAIN: usize = 10;

/// A value that refers to names, and its key.
#[derive(Clone, Copy)]
pub(super) struct Written<'n> {
    /// The section.
    pub(super) section: &'static str,
    /// The key.
    pub(super) key: &'static str,
    /// The value.
    pub(super) node: &'n Node,
}

/// What the settings say about names.
#[derive(Default)]
pub(super) struct References<'n> {
    /// `fallbacks`.
    pub(super) fallbacks: Option<Written<'n>>,
    /// `context_window_fallbacks`.
    pub(super) context_window: Option<Written<'n>>,
    /// `content_policy_fallbacks`.
    pub(super) content_policy: Option<Written<'n>>,
    /// `default_fallbacks`.
    pub(super) defaults: Option<Written<'n>>,
    /// `model_group_alias`.
    pub(super) aliases: Option<Written<'n>>,
}

/// What a fallback does not change: the router sets the model, and the client waits for the kind of answer that it asked for.
const KEPT: [&str; 2] = ["model", "stream"];

type Placed<T> = (T, At, String);

/// Puts aliases and fallbacks into `snapshot`, whose groups are complete.
pub(super) fn fill(snapshot: &mut Snapshot, written: &References<'_>, problems: &mut Problems) {
    let aliases = read_aliases(written.aliases, problems);
    let names =
        Names::new(snapshot, aliases.iter().map(|((name, alias), ..)| (&**name, &*alias.target)));
    check_aliases(snapshot, &aliases, &names, problems);
    let mut changes = Vec::new();
    let mut specific = |written: Option<Written<'_>>| {
        let mut found = Found::new(&names, &mut changes, problems);
        if let Some(written) = written {
            found.read(written);
        }
        let mut lists = found.lists();
        if !found.defaults.all.is_empty() {
            lists.insert("*".into(), found.defaults.all);
        }
        lists
    };
    let context_window = specific(written.context_window);
    let content_policy = specific(written.content_policy);
    let mut found = Found::new(&names, &mut changes, problems);
    if let Some(written) = written.fallbacks {
        found.read(written);
    }
    if let Some(written) = written.defaults {
        found.read_defaults(written);
    }
    let fallbacks = found.lists();
    let Found { defaults, .. } = found;
    let router: &mut RouterSettings = &mut snapshot.router;
    router.fallbacks = fallbacks;
    router.context_window_fallbacks = context_window;
    router.content_policy_fallbacks = content_policy;
    router.default_fallbacks = defaults.all;
    router.changes = changes;
    router.aliases = aliases.into_iter().map(|((name, alias), ..)| (name, alias)).collect();
    let all = router.aliases.iter();
    let patterns =
        all.filter_map(|(name, alias)| Some((Pattern::parse(name)?, alias.target.clone())));
    let patterns: Vec<_> = patterns.collect();
    snapshot.alias_patterns = patterns;
    snapshot.alias_patterns.sort_by_key(|(pattern, _)| Reverse(pattern.specificity()));
}

fn read_aliases(
    written: Option<Written<'_>>,
    problems: &mut Problems,
) -> Vec<Placed<(Box<str>, Alias)>> {
    let mut aliases = Vec::new();
    let Some(Written { section, key, node }) = written else { return aliases };
    let path = Path::Root.key(section);
    let path = path.key(key);
    let Some(map) = node.as_map() else { return aliases };
    for entry in &map.entries {
        let path = path.key(&entry.key);
        let alias = match &entry.value.value {
            Value::Map(map) => read_alias(map, entry.value.at, &path, problems),
            Value::Scalar(..) | Value::List(_) | Value::Missing(_) => {
                let first = entry.value.items().and_then(|items| items.first());
                if first.is_some() {
                    let problem =
                        "expected the name of a group, got a list: its first name is used";
                    problems.warn(entry.value.at, &path, Wrong::new(problem, "write one name"));
                }
                match first.unwrap_or(&entry.value).text().filter(|text| !text.is_empty()) {
                    Some(target) => Some(Alias { target: target.into(), hidden: false }),
                    None if matches!(entry.value.value, Value::Missing(_)) => None,
                    None => {
                        let problem = format!(
                            "expected the name of a group, got {}: ignored",
                            describe_kind(&entry.value)
                        );
                        let hint = "write `alias: group` or `alias: {model: group, hidden: true}`";
                        problems.warn(entry.value.at, &path, Wrong::new(problem, hint));
                        None
                    }
                }
            }
        };
        if let Some(alias) = alias {
            aliases.push(((Box::from(&*entry.key), alias), entry.at, path.to_string()));
        }
    }
    aliases
}

fn read_alias(map: &Map, at: At, path: &Path<'_>, problems: &mut Problems) -> Option<Alias> {
    let mut target = None;
    let mut hidden = false;
    visit(Section::Alias, map, path, problems, |field, problems| match field.row.name {
        "model" => target = field.text(problems).map(Box::from),
        "hidden" => hidden = field.flag(problems).unwrap_or(false),
        other => debug_assert!(false, "{other} is in keys.rs but nothing reads it"),
    });
    if target.is_none() {
        let wrong = Wrong::new("is missing, so the alias is ignored", "name the group");
        problems.warn(at, &path.key("model"), wrong);
    }
    Some(Alias { target: target?, hidden })
}

fn check_aliases(
    snapshot: &Snapshot,
    aliases: &[Placed<(Box<str>, Alias)>],
    names: &Names<'_>,
    problems: &mut Problems,
) {
    let targets: BTreeMap<&str, &str> =
        aliases.iter().map(|((name, alias), ..)| (&**name, &*alias.target)).collect();
    for ((name, alias), at, path) in aliases {
        let path = Path::Text(path);
        if snapshot.by_name.contains_key(name) {
            let problem = format!("`{}` is a model group too: the group is used", shown(name));
            problems.warn(*at, &path, Wrong::new(problem, "rename the alias"));
        }
        if !names.knows(&alias.target) {
            let near = did_you_mean(&problems.nearest(&alias.target, names.all()));
            let problem = format!("no model group `{}`", shown(&alias.target));
            problems.warn(*at, &path, Wrong::new(problem, near));
        }
        let mut chain = vec![&**name];
        let mut current = &*alias.target;
        while let Some(next) =
            targets.get(current).filter(|_| !snapshot.by_name.contains_key(current))
        {
            chain.push(current);
            if chain.len() > ALIAS_CHAIN || current == &**name {
                let shown: Vec<String> = chain.iter().map(|name| shown(name)).collect();
                let problem = format!("the aliases lead nowhere: {}", shown.join(" -> "));
                problems.warn(*at, &path, Wrong::new(problem, "let one of them name a group"));
                break;
            }
            current = next;
        }
    }
}

struct Found<'f> {
    names: &'f Names<'f>,
    groups: BTreeMap<Box<str>, (Vec<Fallback>, At)>,
    defaults: Ordered,
    /// When they are used.
    moves: Moves,
    /// What changes in requests for some of them.
    changes: &'f mut Vec<Box<str>>,
    problems: &'f mut Problems,
}

impl<'f> Found<'f> {
    fn new(
        names: &'f Names<'f>,
        changes: &'f mut Vec<Box<str>>,
        problems: &'f mut Problems,
    ) -> Found<'f> {
        let (groups, defaults) = (BTreeMap::new(), Ordered::default());
        Found { names, groups, defaults, moves: Moves::AfterFailure, changes, problems }
    }

    fn lists(&mut self) -> BTreeMap<Box<str>, Vec<Fallback>> {
        let groups = std::mem::take(&mut self.groups);
        groups.into_iter().map(|(group, (targets, _))| (group, targets)).collect()
    }

    fn read(&mut self, written: Written<'_>) {
        if written.key == "context_window_fallbacks" {
            self.moves = Moves::ForLength;
        }
        let path = Path::Root.key(written.section);
        let path = path.key(written.key);
        for (i, item) in written.node.items().unwrap_or(&[]).iter().enumerate() {
            let path = path.item(i);
            match &item.value {
                Value::Missing(_) => {}
                Value::Map(map) => self.read_group(map, item, &path),
                Value::Scalar(..) | Value::List(_) => match item.text() {
                    Some(name) => {
                        let at = item.at;
                        self.default(&Reference { name, at, path: &path, changes: None });
                    }
                    None => self.form(item, &path),
                },
            }
        }
    }

    fn form(&mut self, item: &Node, path: &Path<'_>) {
        let problem = format!("expected a group with its fallbacks, got {}", describe_kind(item));
        let hint = "write `- group: [first, second]`";
        self.problems.error(item.at, path, Wrong::new(problem, hint));
    }

    fn read_group(&mut self, map: &Map, item: &Node, path: &Path<'_>) {
        let [entry] = &map.entries[..] else {
            let problem =
                format!("each item names exactly one group, this one {}", map.entries.len());
            let hint = "begin each group with its own `- `";
            self.problems.error(item.at, path, Wrong::new(problem, hint));
            return;
        };
        let group = &*entry.key;
        let path = path.key(group);
        if group != "*" && !self.names.knows(group) {
            self.unknown(group, entry.at, &path);
        }
        let targets = self.targets(&entry.value, group, &path);
        if group == "*" {
            for target in targets {
                self.defaults.push(target);
            }
        } else if let Some((_, first)) = self.groups.get(group) {
            let other = self.problems.other_place(entry.at, *first);
            let problem = format!(
                "`{}` has its fallbacks on {other} already; these are not used",
                shown(group)
            );
            self.problems.warn(entry.at, &path, Wrong::new(problem, "put them into one list"));
        } else {
            self.groups.insert(group.into(), (targets, entry.at));
        }
    }

    fn targets(&mut self, node: &Node, group: &str, path: &Path<'_>) -> Vec<Fallback> {
        let mut targets = Ordered::default();
        if let Some(name) = node.text() {
            self.target(&mut targets, group, &Reference { name, at: node.at, path, changes: None });
            return targets.all;
        }
        let Some(items) = node.items() else {
            match &node.value {
                Value::Missing(_) => {}
                Value::Scalar(..) => {
                    let problem = format!("`{}` has no fallbacks here", shown(group));
                    self.problems.warn(
                        node.at,
                        path,
                        Wrong::new(problem, "name them, or remove it"),
                    );
                }
                Value::List(_) | Value::Map(_) => self.form(node, path),
            }
            return targets.all;
        };
        for (i, item) in items.iter().enumerate() {
            let path = path.item(i);
            match (&item.value, item.text()) {
                (Value::Missing(_), _) => {}
                (_, Some(name)) => {
                    let reference = Reference { name, at: item.at, path: &path, changes: None };
                    self.target(&mut targets, group, &reference);
                }
                (Value::Map(map), None) => {
                    if let Some((name, changes)) = self.changed(map, item.at, &path) {
                        let reference = Reference { name, at: item.at, path: &path, changes };
                        self.target(&mut targets, group, &reference);
                    }
                }
                (Value::Scalar(..) | Value::List(_), None) => {
                    let problem = format!(
                        "expected the name of a group, got {}: ignored",
                        describe_kind(item)
                    );
                    self.problems.warn(item.at, &path, Wrong::new(problem, "write one name"));
                }
            }
        }
        targets.all
    }

    /// The group of a fallback that changes the request too, and the place of what changes.
    fn changed<'m>(
        &mut self,
        map: &'m Map,
        at: At,
        path: &Path<'_>,
    ) -> Option<(&'m str, Option<usize>)> {
        let Some(name) = map.get("model").and_then(Node::text) else {
            let wrong = Wrong::new("names no `model`: ignored", "write the name of a group");
            self.problems.warn(at, path, wrong);
            return None;
        };
        let mut object = serde_json::Map::new();
        for entry in map.entries.iter().filter(|entry| !KEPT.contains(&&*entry.key)) {
            match params::why_not_sent(&entry.key) {
                None if entry.value.is_unset() => {}
                None => {
                    object.insert(entry.key.to_string(), json::value(&entry.value));
                }
                Some(Wrong { problem, .. }) => {
                    let hint = "an address or a key belongs to a deployment: write one, and name its group here";
                    self.problems.warn(entry.at, &path.key(&entry.key), Wrong::new(problem, hint));
                }
            }
        }
        let place = self.changes.len();
        let changes = (!object.is_empty()).then_some(place);
        if changes.is_some() {
            self.changes.push(serde_json::Value::Object(object).to_string().into());
        }
        Some((name, changes))
    }

    fn target(&mut self, targets: &mut Ordered, group: &str, reference: &Reference<'_>) {
        let Reference { name, at, path, changes } = *reference;
        if name == group {
            let problem = format!("`{}` falls back to itself: skipped", shown(name));
            self.problems.warn(at, path, Wrong::new(problem, "name another group"));
            return;
        }
        if !self.names.knows(name) {
            self.unknown(name, at, path);
        }
        for wrong in self.names.lacks(group, name, self.moves) {
            self.problems.warn(at, path, wrong);
        }
        targets.push(Fallback { name: name.into(), changes });
    }

    fn default(&mut self, reference: &Reference<'_>) {
        let Reference { name, at, path, changes } = *reference;
        if !self.names.knows(name) {
            self.unknown(name, at, path);
        }
        self.defaults.push(Fallback { name: name.into(), changes });
    }

    fn read_defaults(&mut self, written: Written<'_>) {
        let path = Path::Root.key(written.section);
        let path = path.key(written.key);
        for (i, item) in written.node.items().unwrap_or(&[]).iter().enumerate() {
            let path = path.item(i);
            match (&item.value, item.text()) {
                (Value::Missing(_), _) => {}
                (_, Some(name)) => {
                    self.default(&Reference { name, at: item.at, path: &path, changes: None });
                }
                (Value::Map(map), None) => {
                    if let Some((name, changes)) = self.changed(map, item.at, &path) {
                        self.default(&Reference { name, at: item.at, path: &path, changes });
                    }
                }
                (Value::Scalar(..) | Value::List(_), None) => {
                    let problem = format!(
                        "expected the name of a group, got {}: ignored",
                        describe_kind(item)
                    );
                    self.problems.warn(item.at, &path, Wrong::new(problem, "write one name"));
                }
            }
        }
    }

    fn unknown(&mut self, name: &str, at: At, path: &Path<'_>) {
        let near = did_you_mean(&self.problems.nearest(name, self.names.all()));
        let problem = format!("no model group `{}`", shown(name));
        self.problems.warn(at, path, Wrong::new(problem, near));
    }
}

/// A name that refers to a group, and where it is.
struct Reference<'r> {
    name: &'r str,
    at: At,
    path: &'r Path<'r>,
    /// The place of what changes in the request for it.
    changes: Option<usize>,
}

/// Fallbacks in the order of the config, each name once.
#[derive(Default)]
struct Ordered {
    all: Vec<Fallback>,
    seen: HashSet<Box<str>>,
}

impl Ordered {
    fn push(&mut self, one: Fallback) {
        if self.seen.insert(one.name.clone()) {
            self.all.push(one);
        }
    }
}
