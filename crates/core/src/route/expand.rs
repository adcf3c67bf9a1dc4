//! The models behind a pattern, by the names that clients use.
//!
//! Called by the pages that list models. Always true: each name leads back to the pattern's group and to the model.

use std::collections::BTreeMap;

use crate::azure::Azure;
use crate::deployment::{Deployment, DeploymentIndex};
use crate::group::{ModelGroup, Pattern, substitute};
use crate::prices::{self, ModelFacts};
use crate::snapshot::Snapshot;

/// A model behind a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expanded {
    /// Its name at the provider.
    pub model: Box<str>,
    /// The members of the group that serve it.
    pub members: Vec<DeploymentIndex>,
}

/// The models of `group` by name, in the order of names. `listed` gives the names that a member's provider lists; what it
/// does not know is taken from the price list. Empty if `group` is no pattern, or nothing is known.
pub fn expand(
    snapshot: &Snapshot,
    group: &ModelGroup,
    listed: impl Fn(DeploymentIndex) -> Vec<Box<str>>,
) -> BTreeMap<Box<str>, Expanded> {
    let mut found: BTreeMap<Box<str>, Expanded> = BTreeMap::new();
    if group.pattern.is_none() {
        return found;
    }
    for index in &group.members {
        let deployment = snapshot.deployment(*index);
        let mut models = listed(*index);
        if models.is_empty() {
            models = known_models(deployment).map(Box::from).collect();
        }
        for model in models {
            let bare = bare(deployment, &model);
            let Some(name) = name_of(group, deployment, bare) else { continue };
            let model = match deployment.endpoint.provider.quirks.own_models_keep_prefix {
                true if !bare.contains('/') => {
                    format!("{}/{bare}", deployment.endpoint.provider.name).into()
                }
                true | false => Box::from(bare),
            };
            let entry = found.entry(name);
            let entry = entry.or_insert_with(|| Expanded { model, members: Vec::new() });
            if !entry.members.contains(index) {
                entry.members.push(*index);
            }
        }
    }
    found
}

/// The part of a model's name that a pattern stands for.
fn bare<'m>(deployment: &Deployment, model: &'m str) -> &'m str {
    let provider = deployment.endpoint.provider;
    let own = model.strip_prefix(&*provider.name).and_then(|tail| tail.strip_prefix('/'));
    own.filter(|tail| provider.quirks.own_models_keep_prefix && !tail.contains('/'))
        .unwrap_or(model)
}

/// The name by which clients reach `model` through `group`; `None` if the pattern does not lead there.
fn name_of(group: &ModelGroup, deployment: &Deployment, model: &str) -> Option<Box<str>> {
    let captures = Pattern::parse(&deployment.endpoint.upstream_model)?.captures(model)?;
    let stars = group.name.matches('*').count();
    (captures.len() == stars).then(|| substitute(&group.name, &captures, model))
}

/// The models of the deployment's provider in the price list, by their names there.
fn known_models(deployment: &Deployment) -> impl Iterator<Item = &'static str> {
    let provider = &*deployment.endpoint.provider.name;
    let own = move |name: &'static str| {
        let tail = name.strip_prefix(provider).and_then(|tail| tail.strip_prefix('/'));
        tail.unwrap_or(name)
    };
    let is_azure = deployment.endpoint.azure.as_ref().is_some_and(Azure::names_model);
    prices::of_provider(provider)
        .filter(|(name, facts)| is_model(name, facts))
        .map(move |(name, _)| own(name))
        // Azure's names with a region stand for prices; a deployment there has no slash in its name.
        .filter(move |name| !(is_azure && name.contains('/')))
}

/// Whether an entry of the price list is a model, and not the price of a size, of fine-tuning or of a container.
fn is_model(name: &str, facts: &ModelFacts) -> bool {
    let is_size = |part: &str| {
        part.split_once("-x-")
            .is_some_and(|(width, _)| width.bytes().all(|byte| byte.is_ascii_digit()))
    };
    facts.mode.is_some()
        && !name
            .split('/')
            .any(|part| is_size(part) || part.starts_with("ft:") || part == "container")
}
