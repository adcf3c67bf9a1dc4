//! A deployment while its config is read, and what all entries of `model_list` share meanwhile.
//!
//! Made by [`super::deployments`], finished by [`super::budgets`] and [`super::groups`]. Always true: a draft
//! has no index, no group and no share of traffic yet.

use std::collections::HashMap;

use crate::deployment::Deployment;
use crate::provider::Provider;

use super::budget_terms::Terms;
use super::interpolate::{self, Env};
use super::params::Params;
use super::problem::{At, Path, Problems, Wrong};
use super::tree::{Map, Node};

/// A deployment before it has its place in a group.
#[derive(Debug)]
pub(super) struct Draft {
    /// `model_name`.
    pub(super) name: Box<str>,
    /// Where the entry is.
    pub(super) at: At,
    /// Which item of `model_list` it is; `None` if it is not in the list.
    pub(super) item: Option<usize>,
    /// How many entries it represents.
    pub(super) copies: u32,
    /// `weight`, the sum of all entries.
    pub(super) weight: Option<f64>,
    /// Whether tags decide in its group, if it says so.
    pub(super) filters_tags: Option<bool>,
    /// `max_budget` and `budget_duration`.
    pub(super) budget: Option<Terms>,
    /// The deployment, without index, group, weight and state.
    pub(super) deployment: Deployment,
    /// The hash of the entry.
    pub(super) hash: String,
}

impl Draft {
    /// Adds a warning at its place.
    pub(super) fn warn(&self, wrong: Wrong, problems: &mut Problems) {
        let list = Path::Root.key("model_list");
        match self.item {
            Some(item) => problems.warn(self.at, &list.item(item), wrong),
            None => problems.warn(self.at, &list, wrong),
        }
    }
}

/// What all entries share.
pub(super) struct Context<'c> {
    /// The environment.
    pub(super) env: &'c Env<'c>,
    /// `credential_list`, by name.
    pub(super) credentials: &'c HashMap<&'c str, &'c Map>,
    /// `model_list` with its references still in it.
    pub(super) written: Option<&'c Node>,
    /// `default_litellm_params`.
    pub(super) defaults: Option<&'c Map>,
    /// `litellm_settings`.
    pub(super) litellm: Option<&'c Map>,
}

impl Context<'_> {
    /// The address that an entry or its credential names.
    pub(super) fn address<'a>(&'a self, params: &'a Params) -> Option<&'a str> {
        let own = params.api_base.as_ref().or(params.base_url.as_ref());
        let named = || self.credential(params)?.get("api_base")?.text();
        own.map(|given| &*given.text).or_else(named)
    }

    /// What the credential contains that an entry names.
    pub(super) fn credential(&self, params: &Params) -> Option<&Map> {
        let name = &params.credential.as_ref()?.text;
        self.credentials.get(&**name).copied()
    }

    /// Whether the environment has a key or an address of the provider, and nothing else is missing.
    pub(super) fn has_access(&self, provider: &Provider) -> bool {
        let is_set = |name: &str| self.env.get(name).is_some();
        let has_key = provider.api_key_env.iter().any(|name| is_set(name));
        let has_base = provider.api_base_env.iter().any(|name| is_set(name));
        (has_key || (has_base && provider.key_optional))
            && (has_base || provider.base_url.is_some())
    }

    /// The variable that the key of entry `index` refers to.
    pub(super) fn key_variable(&self, index: usize) -> Option<&str> {
        let params = self.written?.items()?.get(index)?.as_map()?.get("litellm_params")?;
        interpolate::reference(params.as_map()?.get("api_key")?.text()?)
    }
}
