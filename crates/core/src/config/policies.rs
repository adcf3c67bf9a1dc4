//! Numbers by kind of failure: `retry_policy`, `model_group_retry_policy`, `allowed_fails_policy`.
//!
//! Called by the readers of settings and of `model_info`. Always true: a kind that is absent has no
//! number of its own.

use std::collections::BTreeMap;

use crate::policy::{ByKind, FailureKind};
use crate::snapshot::Snapshot;

use super::field::{Field, visit};
use super::keys::Section;
use super::names::Names;
use super::problem::{At, Path, Problems, Wrong, shown};
use super::suggest::did_you_mean;
use super::tree::{Map, Node};
use super::value::describe_kind;

/// `retry_policy` or `allowed_fails_policy`.
pub(super) fn read(section: Section, field: &Field<'_>, problems: &mut Problems) -> ByKind {
    match field.map(problems) {
        Some(map) => by_kind(section, map, &field.path, problems),
        None => ByKind::default(),
    }
}

fn by_kind(section: Section, map: &Map, path: &Path<'_>, problems: &mut Problems) -> ByKind {
    let mut found = ByKind::default();
    visit(section, map, path, problems, |field, problems| {
        let number = field.small(problems);
        let kind = FailureKind::ALL.into_iter().find(|kind| {
            let tail = field.row.name.strip_prefix(kind.name());
            matches!(tail, Some("Retries" | "AllowedFails"))
        });
        match kind {
            Some(kind) => found.named[kind as usize] = number,
            None => found.others = number,
        }
    });
    found
}

/// The policies of single groups, and where they are.
#[derive(Default)]
pub(super) struct OfGroups(BTreeMap<Box<str>, (ByKind, At)>);

impl OfGroups {
    /// `model_group_retry_policy`.
    pub(super) fn read(&mut self, field: &Field<'_>, problems: &mut Problems) {
        let Some(map) = field.map(problems) else { return };
        for entry in &map.entries {
            let path = field.path.key(&entry.key);
            let Some(policy) = entry.value.as_map() else {
                if !Node::is_unset(&entry.value) {
                    let problem =
                        format!("expected a mapping, got {}", describe_kind(&entry.value));
                    let hint = "write `group: {TimeoutErrorRetries: 1}`";
                    field.wrong_in(entry.value.at, &path, Wrong::new(problem, hint), problems);
                }
                continue;
            };
            let policy = by_kind(Section::Retries, policy, &path, problems);
            self.0.insert(Box::from(&*entry.key), (policy, entry.at));
        }
    }

    /// Gives each group its policy, else the router's.
    pub(super) fn fill(&self, snapshot: &mut Snapshot, problems: &mut Problems) {
        let names = Names::new(snapshot, std::iter::empty());
        let path = Path::Root.key("router_settings");
        let path = path.key("model_group_retry_policy");
        for (name, (_, at)) in &self.0 {
            if !snapshot.by_name.contains_key(name) {
                let near = did_you_mean(&problems.nearest(name, names.all()));
                let problem = format!("no model group `{}`", shown(name));
                problems.warn(*at, &path.key(name), Wrong::new(problem, near));
            }
        }
        let router = snapshot.router.retry_policy;
        for group in &mut snapshot.groups {
            group.retry_policy = self.0.get(&*group.name).map_or(router, |(policy, _)| *policy);
        }
    }
}
