//! From the name that a client wrote to a model group or one deployment.
//!
//! Called once per request and once per fallback. Always true: an exact name wins over an id, an id
//! over an alias, an alias (that of a pattern last) over a group's pattern, a pattern over the provider's name of the model; nothing
//! is substituted silently.

use crate::deployment::{Deployment, DeploymentIndex};
use crate::group::{GroupIndex, substitute};
use crate::prices;
use crate::provider;
use crate::similar::{self, Reach};
use crate::snapshot::Snapshot;

/// Longest chain of aliases that is followed.
const ALIAS_CHAIN: usize = 10;
/// How many near names a refusal shows.
const NEAREST: usize = 3;

/// Where a name leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The group.
    pub group: GroupIndex,
    /// The deployment, if the name is a deployment's id.
    pub pinned: Option<DeploymentIndex>,
    /// The name that matched a pattern, if one did: what its stars stand for.
    pub wildcard_name: Option<Box<str>>,
}

/// What a name means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolved {
    /// It leads somewhere.
    Target(Target),
    /// Nothing has that name; these are the nearest ones.
    Unknown(Vec<Box<str>>),
}

impl Target {
    /// The name in answers and metrics: the group's, or the client's for a pattern.
    #[must_use]
    pub fn name<'a>(&'a self, snapshot: &'a Snapshot) -> &'a str {
        match &self.wildcard_name {
            Some(name) => name,
            None => &snapshot.group(self.group).name,
        }
    }

    /// The model's name at `deployment`'s provider if the deployment stands for many models; else
    /// empty.
    #[must_use]
    pub fn model_in_many<'a>(
        &self,
        snapshot: &Snapshot,
        deployment: &'a Deployment,
    ) -> std::borrow::Cow<'a, str> {
        match &self.wildcard_name {
            Some(_) => self.upstream_model(snapshot, deployment),
            None => std::borrow::Cow::Borrowed(""),
        }
    }

    /// The model's name at `deployment`'s provider.
    #[must_use]
    pub fn upstream_model<'a>(
        &self,
        snapshot: &Snapshot,
        deployment: &'a Deployment,
    ) -> std::borrow::Cow<'a, str> {
        let pattern = snapshot.group(self.group).pattern.as_ref();
        let filled = self.wildcard_name.as_ref().zip(pattern).and_then(|(name, pattern)| {
            let captures = pattern.captures(name)?;
            Some(substitute(&deployment.endpoint.upstream_model, &captures, name))
        });
        match filled {
            Some(model) => {
                let provider = deployment.endpoint.provider;
                let keeps = provider.quirks.own_models_keep_prefix && !model.contains('/');
                let prefix = if keeps { format!("{}/", provider.name) } else { String::new() };
                std::borrow::Cow::Owned(prefix + &model)
            }
            None => std::borrow::Cow::Borrowed(&deployment.endpoint.upstream_model),
        }
    }
}

/// What `name` means in `snapshot`.
#[must_use]
pub fn resolve(snapshot: &Snapshot, name: &str) -> Resolved {
    match find(snapshot, name) {
        Some(target) => Resolved::Target(target),
        None => Resolved::Unknown(nearest_names(snapshot, name)),
    }
}

/// Where `name` leads in `snapshot`, if it leads anywhere.
#[must_use]
pub fn find(snapshot: &Snapshot, name: &str) -> Option<Target> {
    if let Some(target) = exact(snapshot, name) {
        return Some(target);
    }
    let mut aliased = name;
    for _ in 0..ALIAS_CHAIN {
        let Some(target) = snapshot.alias(aliased) else { break };
        if let Some(target) = exact(snapshot, target) {
            return Some(target);
        }
        aliased = target;
    }
    if let Some(target) = wildcard(snapshot, aliased) {
        return Some(target);
    }
    let &group = snapshot.by_model.get(aliased)?;
    Some(Target { group, pinned: None, wildcard_name: None })
}

fn exact(snapshot: &Snapshot, name: &str) -> Option<Target> {
    if let Some(&group) = snapshot.by_name.get(name) {
        // The text of a pattern is not a model.
        let is_pattern = snapshot.group(group).pattern.is_some();
        return (!is_pattern).then_some(Target { group, pinned: None, wildcard_name: None });
    }
    let &index = snapshot.by_id.get(name)?;
    let group = snapshot.deployment(index).group;
    Some(Target { group, pinned: Some(index), wildcard_name: None })
}

fn wildcard(snapshot: &Snapshot, name: &str) -> Option<Target> {
    if snapshot.wildcards.is_empty() {
        return None;
    }
    let matching = |name: &str| {
        snapshot.wildcards.iter().copied().find(|group| {
            let pattern = snapshot.group(*group).pattern.as_ref();
            pattern.is_some_and(|pattern| pattern.captures(name).is_some())
        })
    };
    let found =
        |group, name: &str| Target { group, pinned: None, wildcard_name: Some(name.into()) };
    if let Some(group) = matching(name) {
        return Some(found(group, name));
    }
    let owner = prices::owner(name)?;
    let provider = provider::lookup(owner).map_or(owner, |row| &*row.name);
    let prefixed = format!("{provider}/{name}");
    matching(&prefixed).map(|group| found(group, &prefixed))
}

/// The public names most similar to `name`, the nearest first.
#[must_use]
pub fn nearest_names(snapshot: &Snapshot, name: &str) -> Vec<Box<str>> {
    let groups = snapshot.listed_groups().filter(|group| group.pattern.is_none());
    let aliases = snapshot.router.aliases.iter().filter(|(_, alias)| !alias.hidden);
    let known = groups.map(|group| &*group.name).chain(aliases.map(|(name, _)| &**name));
    similar::nearest(name, known, Reach::Wide, NEAREST).into_iter().map(Box::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::route_plan::fixture::snapshot;

    fn target(name: &str) -> Target {
        match resolve(&snapshot(), name) {
            Resolved::Target(target) => target,
            Resolved::Unknown(near) => panic!("{name} is unknown; near: {near:?}"),
        }
    }

    #[test]
    fn names_resolve_in_the_documented_order() {
        let snapshot = snapshot();
        assert_eq!(target("g").name(&snapshot), "g");
        assert_eq!(target("g-a").pinned, Some(DeploymentIndex(0)));
        assert_eq!(target("alias").name(&snapshot), "g");
        assert_eq!(target("alias-of-alias").name(&snapshot), "g");
        let star = target("openai/gpt-4o-mini");
        assert_eq!(star.name(&snapshot), "openai/gpt-4o-mini");
        let member = snapshot.group(star.group).members[0];
        assert_eq!(star.upstream_model(&snapshot, snapshot.deployment(member)), "gpt-4o-mini");
    }

    #[test]
    fn a_bare_known_model_finds_its_providers_pattern() {
        let snapshot = snapshot();
        assert_eq!(target("gpt-4o").name(&snapshot), "openai/gpt-4o");
    }

    #[test]
    fn unknown_names_bring_the_nearest() {
        let Resolved::Unknown(near) = resolve(&snapshot(), "Fallbac") else { panic!("resolved") };
        assert_eq!(near, vec![Box::from("fallback")]);
        assert_eq!(resolve(&snapshot(), "loop-a"), Resolved::Unknown(vec![]));
        assert_eq!(resolve(&snapshot(), "openai/*"), target_or_unknown());
    }

    fn target_or_unknown() -> Resolved {
        // A pattern matches its own text like any other text.
        Resolved::Target(Target {
            group: GroupIndex(2),
            pinned: None,
            wildcard_name: Some("openai/*".into()),
        })
    }
}
