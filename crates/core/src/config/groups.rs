//! Deployments put into their groups, with their share of the traffic.
//!
//! Called by [`super::load`]. Always true: shares follow the reference: `weight` where a member has
//! one, else `rpm`, else `tpm`, else one share per entry; a member without the metric has none.

use std::collections::HashMap;
use std::sync::Arc;

use crate::deployment::{Deployment, DeploymentIndex};
use crate::group::{GroupIndex, ModelGroup, Pattern};
use crate::prices;
use crate::snapshot::Snapshot;

use super::deployments::Draft;
use super::problem::{Path, Problems, Wrong, shown};

/// Puts `drafts` into `snapshot`; those with an id of `previous` keep its state.
pub(super) fn fill(
    snapshot: &mut Snapshot,
    drafts: Vec<Draft>,
    previous: Option<&Snapshot>,
    problems: &mut Problems,
) {
    let mut members: Vec<Vec<usize>> = Vec::new();
    for (i, draft) in drafts.iter().enumerate() {
        let next = GroupIndex(number(members.len()));
        let group = *snapshot.by_name.entry(draft.name.clone()).or_insert(next);
        if group == next {
            members.push(Vec::new());
            let (name, pattern) = (draft.name.clone(), Pattern::parse(&draft.name));
            snapshot.groups.push(ModelGroup { name: name.into(), members: Vec::new(), pattern });
        }
        if let Some(members) = members.get_mut(group.0 as usize) {
            members.push(i);
        }
    }
    let mut shares = vec![1.0; drafts.len()];
    for group in &members {
        let group: Vec<(usize, &Draft)> =
            group.iter().filter_map(|&i| drafts.get(i).map(|draft| (i, draft))).collect();
        share(&group, &mut shares, problems);
    }
    for (draft, share) in drafts.into_iter().zip(shares) {
        let index = DeploymentIndex(number(snapshot.deployments.len()));
        let Some(&group) = snapshot.by_name.get(&draft.name) else { continue };
        if let Some(group) = snapshot.groups.get_mut(group.0 as usize) {
            group.members.push(index);
        }
        let mut deployment = Deployment { index, group, weight: share, ..draft.deployment };
        if let Some(before) = previous.and_then(|snapshot| known(snapshot, &deployment.id)) {
            deployment.state = before.state.clone();
        }
        snapshot.by_id.insert(deployment.id.clone(), index);
        snapshot.deployments.push(Arc::new(deployment));
    }
    snapshot.wildcards = wildcards(&snapshot.groups);
}

fn known<'s>(snapshot: &'s Snapshot, id: &str) -> Option<&'s Arc<Deployment>> {
    let index = snapshot.by_id.get(id)?;
    snapshot.deployments.get(index.0 as usize)
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn wildcards(groups: &[ModelGroup]) -> Vec<GroupIndex> {
    let mut found: Vec<((usize, usize), GroupIndex)> = groups
        .iter()
        .enumerate()
        .filter_map(|(i, group)| {
            Some((group.pattern.as_ref()?.specificity(), GroupIndex(number(i))))
        })
        .collect();
    // Equally specific patterns stay in the order of the config.
    found.sort_by(|(a, _), (b, _)| b.cmp(a));
    found.into_iter().map(|(_, group)| group).collect()
}

type Metric = fn(&Draft) -> Option<f64>;

/// What may serve as weight, in the order of precedence.
const METRICS: [(&str, Metric); 3] = [
    ("weight", |draft| draft.weight),
    ("rpm", |draft| draft.deployment.limits.rpm.map(rate)),
    ("tpm", |draft| draft.deployment.limits.tpm.map(rate)),
];

#[allow(clippy::cast_precision_loss, reason = "a rate is far below 2^52")]
fn rate(limit: u64) -> f64 {
    limit as f64
}

fn share(group: &[(usize, &Draft)], shares: &mut [f64], problems: &mut Problems) {
    let used = METRICS
        .iter()
        .find(|(_, metric)| group.iter().any(|(_, draft)| metric(draft).is_some_and(|m| m > 0.0)));
    if let Some((_, draft)) = group.first()
        && group.iter().all(|(_, draft)| draft.weight == Some(0.0))
        && group.len() > 1
    {
        let wrong = Wrong::new("every `weight` of this group is 0: weights have no effect", "");
        warn(draft, wrong, problems);
    }
    let Some((name, metric)) = used else {
        for (i, draft) in group {
            set(shares, *i, f64::from(draft.copies));
        }
        return;
    };
    for (i, draft) in group {
        if metric(draft).is_none() {
            let problem = format!("`{}` has no traffic: it has no `{name}`", shown(&draft.name));
            let hint = format!("another deployment of its group has a `{name}`: set one here too");
            warn(draft, Wrong::new(problem, hint), problems);
        }
        set(shares, *i, metric(draft).unwrap_or(0.0));
    }
    // To the router a weight of 1 everywhere means that none is set, and it would look at the rates.
    let unset = |(i, _): &(usize, &Draft)| shares.get(*i).is_none_or(|share| *share == 1.0);
    if *name == "weight" && group.iter().all(unset) {
        for (i, _) in group {
            set(shares, *i, 2.0);
        }
    }
}

fn warn(draft: &Draft, wrong: Wrong, problems: &mut Problems) {
    problems.warn(draft.at, &Path::Root.key("model_list").item(draft.item), wrong);
}

fn set(shares: &mut [f64], index: usize, value: f64) {
    if let Some(share) = shares.get_mut(index) {
        *share = value;
    }
}

/// Whether a name leads somewhere, for what refers to names.
pub(super) struct Names<'s> {
    snapshot: &'s Snapshot,
    aliases: HashMap<&'s str, ()>,
}

impl<'s> Names<'s> {
    /// The names of `snapshot`, aliases included.
    pub(super) fn new(snapshot: &'s Snapshot, aliases: impl Iterator<Item = &'s str>) -> Names<'s> {
        Names { snapshot, aliases: aliases.map(|name| (name, ())).collect() }
    }

    /// Whether it is a group, a deployment's id, an alias, or matched by a pattern.
    pub(super) fn knows(&self, name: &str) -> bool {
        self.snapshot.by_name.contains_key(name)
            || self.snapshot.by_id.contains_key(name)
            || self.aliases.contains_key(name)
            || self.matches(name)
            || prices::exact(name)
                .and_then(|facts| facts.litellm_provider.as_deref())
                .is_some_and(|provider| self.matches(&format!("{provider}/{name}")))
    }

    fn matches(&self, name: &str) -> bool {
        self.snapshot.wildcards.iter().any(|group| {
            let group = self.snapshot.groups.get(group.0 as usize);
            let pattern = group.and_then(|group| group.pattern.as_ref());
            pattern.is_some_and(|pattern| pattern.captures(name).is_some())
        })
    }

    /// All names that can be suggested.
    pub(super) fn all(&self) -> impl Iterator<Item = &str> {
        let groups = self.snapshot.groups.iter().map(|group| &*group.name);
        groups.chain(self.aliases.keys().copied())
    }
}
