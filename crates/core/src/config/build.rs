//! One entry of `model_list` as a deployment: its provider, address, key, facts and texts.
//!
//! Called by [`super::deployments`]. Always true: each reason why it cannot serve is reported in
//! one warning, and the first one is kept in the deployment.

use std::sync::Arc;

use serde_json::Value as Json;

use crate::azure::Azure;
use crate::deployment::{
    self, Deployment, DeploymentIndex, Display, Lack, Misconfigured, Routing, UpstreamEndpoint,
};
use crate::group::GroupIndex;
use crate::health::{CredentialId, DeploymentState, HealthSubject};
use crate::prices::{self, ModelFacts};
use crate::provider::{self, Addressing, HostOwner, Provider};
use crate::route::TagRules;
use crate::secret::Secret;
use crate::takes::Takes;

use super::draft::Context;
use super::interpolate::first_missing;
use super::model_info::model_info;
use super::params::{Given, Info, Params, overlay};
use super::problem::{At, Path, Problems, Wrong, shown};
use super::suggest::did_you_mean;
use super::tree::{Map, Node, Value};
use super::{address, azure, json, upstream};

/// What the config says about one deployment.
pub(super) struct Entry<'e> {
    pub(super) context: &'e Context<'e>,
    /// `model_name`.
    pub(super) name: &'e str,
    /// Where the entry is.
    pub(super) at: At,
    pub(super) path: &'e Path<'e>,
    /// The hash of its parameters.
    pub(super) hash: &'e str,
    /// `litellm_params`.
    pub(super) params: &'e Map,
    pub(super) params_at: At,
    /// The environment variable that `api_key` refers to.
    pub(super) key_variable: Option<&'e str>,
    /// `model_info`.
    pub(super) info: Option<&'e Map>,
}

/// The deployment, without index, group, weight and state; `None` after an error.
pub(super) fn deployment(
    entry: &Entry<'_>,
    mut params: Params,
    mut info: Info,
    problems: &mut Problems,
) -> Option<Deployment> {
    let id = entry.id(&info, problems)?;
    let model = &*params.model.take()?;
    let label = if info.id.is_some() { Box::from(&*id) } else { Box::from(entry.name) };
    let upstream = upstream::find(model, params.provider.as_deref());
    let provider = upstream.provider;
    if upstream.model.is_empty() {
        let wrong = Wrong::new("names a provider but no model", "write `provider/name`");
        entry.error("model", wrong, problems);
    }
    let mut troubles = Troubles { entry, label: &label, first: None, problems };
    troubles.missing_variables(params.is_mock);
    if let Some((problem, hint)) = upstream.refusal.filter(|_| !params.is_mock) {
        troubles.add(Lack::Provider, "model", problem, hint);
    }
    let credential = troubles.credential(&params);
    let base = troubles.base(provider, &params, &credential);
    let azure = troubles.azure(provider, &params, &credential);
    let has_token = azure.as_ref().is_some_and(|a| a.token.is_some() || a.identity.is_some());
    let (key, key_variable) = troubles.key(provider, &params, &credential, has_token);
    let misconfigured = troubles.first;
    let tail = upstream::for_responses(provider, upstream.model);
    let (upstream_model, is_for_responses) = (tail.unwrap_or(upstream.model), tail.is_some());
    let owner = base.as_deref().map(|base| provider.host_owner(provider::host_of(base)));
    let mut facts = facts((provider, owner), upstream_model, &info, &params.facts);
    if is_for_responses && info.facts.mode.is_none() {
        facts.mode = Some("responses".into());
    }
    let routing = routing(&mut params, &mut info);
    let mut deployment = Deployment {
        index: DeploymentIndex(0),
        group: GroupIndex(0),
        endpoint: UpstreamEndpoint {
            provider,
            upstream_model: upstream_model.into(),
            model_param: model.into(),
            api_base: base.filter(|_| misconfigured.is_none()).unwrap_or_default(),
            azure,
            default_params: params.defaults,
            dropped_params: params.dropped,
            takes: takes(provider, upstream_model, &info, &facts),
            is_for_responses,
            mock: params.mock,
        },
        credential: deployment::Credential {
            id: None,
            key_variable: key.as_ref().and(key_variable),
            api_key: key,
            organization: params.organization.or(credential.organization),
            extra_headers: params.headers,
            ..deployment::Credential::default()
        },
        routing,
        probing: info.check,
        display: Display {
            name: id.clone(),
            declared_at: problems.place(entry.at).into(),
            model_info: model_info(&id, &facts, entry.info),
            public_params: Json::Object(json::public(entry.params)).to_string().into(),
        },
        misconfigured,
        facts,
        state: Arc::new(DeploymentState::of(HealthSubject::Deployment(id.clone()))),
        id,
    };
    deployment.credential.id = credential_id(&deployment);
    Some(deployment)
}

/// What routing knows about it; the parts are taken out of `params` and `info`.
fn routing(params: &mut Params, info: &mut Info) -> Routing {
    let mut limits = std::mem::take(&mut params.limits);
    limits.cooldown_ms = info.cooldown_ms.or(limits.cooldown_ms);
    Routing {
        weight: 1.0,
        limits,
        order: info.order.or(params.order),
        tags: TagRules { fail_open: info.fails_open, ..std::mem::take(&mut params.tags) },
        access_groups: std::mem::take(&mut info.access_groups),
        region: params.region.take(),
        windows: std::mem::take(&mut info.windows),
        budgets: Vec::new(),
        tolerance: std::mem::take(&mut info.tolerance),
        is_paused: params.is_paused || info.is_paused,
    }
}

/// The id of its credential, from the provider, the host and the key.
fn credential_id(deployment: &Deployment) -> Option<CredentialId> {
    let endpoint = &deployment.endpoint;
    let key = deployment.credential.api_key.as_ref().filter(|_| endpoint.mock.is_none())?;
    Some(CredentialId::of(&endpoint.provider.name, endpoint.host(), key.expose()))
}

impl Entry<'_> {
    fn id(&self, info: &Info, problems: &mut Problems) -> Option<Arc<str>> {
        let Some(given) = &info.id else { return Some(Arc::from(self.hash)) };
        if given.text.chars().any(|c| !c.is_ascii_graphic()) {
            let problem =
                "an id goes into headers: it has no spaces and no characters outside ASCII";
            let path = self.path.key("model_info");
            problems.error(given.at, &path.key("id"), Wrong::new(problem, "remove them"));
            return None;
        }
        Some(Arc::from(&*given.text))
    }

    fn place_of(&self, key: &str) -> At {
        self.params.get(key).map_or(self.params_at, |node| node.at)
    }

    fn error(&self, key: &str, wrong: Wrong, problems: &mut Problems) {
        let path = self.path.key("litellm_params");
        problems.error(self.place_of(key), &path.key(key), wrong);
    }
}

/// What a named credential contains.
#[derive(Default)]
struct Credential {
    key: Option<Secret>,
    base: Option<String>,
    organization: Option<Secret>,
}

/// Collects the reasons why a deployment cannot serve.
struct Troubles<'t> {
    entry: &'t Entry<'t>,
    label: &'t str,
    first: Option<Misconfigured>,
    problems: &'t mut Problems,
}

impl Troubles<'_> {
    fn add(&mut self, lack: Lack, key: &str, problem: String, hint: String) {
        let path = self.entry.path.key("litellm_params");
        let wrong = Wrong::new(problem.as_str(), hint.as_str());
        self.problems.warn(self.entry.place_of(key), &path.key(key), wrong);
        self.note(lack, problem, hint);
    }

    fn note(&mut self, lack: Lack, problem: String, hint: String) {
        let found = Misconfigured { lack, problem: problem.into(), hint: hint.into() };
        self.first.get_or_insert(found);
    }

    fn variable(&mut self, name: &str, at: At, path: &Path<'_>) {
        let set = self.entry.context.env.names();
        let near = did_you_mean(&self.problems.nearest(name, set.iter().map(String::as_str)));
        let name = shown(name);
        let problem = format!("environment variable {name} is not set");
        let mut hint = format!("set {name}, which deployment {} reads", shown(self.label));
        if !near.is_empty() {
            hint = format!("{hint}; {near}");
        }
        self.problems.warn(at, path, Wrong::new(problem.as_str(), hint.as_str()));
        self.note(Lack::Variable, problem, hint);
    }

    fn missing_variables(&mut self, is_mock: bool) {
        let of_upstream = ["api_key", "api_base", "base_url", "organization"];
        let path = self.entry.path.key("litellm_params");
        for entry in &self.entry.params.entries {
            if !(is_mock && of_upstream.contains(&&*entry.key)) {
                self.missing_in(&entry.value, &path.key(&entry.key));
            }
        }
    }

    fn missing_in(&mut self, node: &Node, path: &Path<'_>) {
        match &node.value {
            Value::Missing(name) => self.variable(name, node.at, path),
            Value::Map(map) => {
                for entry in &map.entries {
                    self.missing_in(&entry.value, &path.key(&entry.key));
                }
            }
            Value::List(items) => {
                for (i, item) in items.iter().enumerate() {
                    self.missing_in(item, &path.item(i));
                }
            }
            Value::Scalar(..) => {}
        }
    }

    fn credential(&mut self, params: &Params) -> Credential {
        let mut credential = Credential::default();
        let Some(Given { text: name, .. }) = &params.credential else { return credential };
        let Some(values) = self.entry.context.credentials.get(&**name) else {
            let known = self.entry.context.credentials.keys().copied();
            let near = did_you_mean(&self.problems.nearest(name, known));
            let hint =
                if near.is_empty() { "add it to `credential_list`".to_owned() } else { near };
            let problem = format!("credential `{}` is not in credential_list", shown(name));
            self.add(Lack::Credential, "litellm_credential_name", problem, hint);
            return credential;
        };
        // A value that the entry has itself is not needed from the credential.
        let wanted = |key: &str, own: bool| values.get(key).filter(|_| !own && !params.is_mock);
        let own_base = params.api_base.is_some() || params.base_url.is_some();
        let found = [
            wanted("api_key", params.api_key.is_some()),
            wanted("api_base", own_base),
            wanted("organization", params.organization.is_some()),
        ];
        let path = Path::Root.key("credential_list");
        for node in found.into_iter().flatten() {
            if let Some(variable) = first_missing(node) {
                self.variable(variable, node.at, &path.key("credential_values"));
            }
        }
        let [key, base, organization] = found.map(|node| node.and_then(Node::text));
        // Keys and organizations were validated in `credential_list`.
        credential.key = key.filter(|key| address::key(key).is_ok()).map(Secret::new);
        credential.base = base.map(str::to_owned);
        credential.organization =
            organization.filter(|text| address::is_header_value(text)).map(Secret::new);
        credential
    }

    /// The address: from the entry, the credential, the variable, or the provider's own.
    fn base(
        &mut self,
        provider: &Provider,
        params: &Params,
        credential: &Credential,
    ) -> Option<Box<str>> {
        let own = params.api_base.as_ref().map(|given| ("api_base", given));
        let own = own.or(params.base_url.as_ref().map(|given| ("base_url", given)));
        let (key, text) = match own {
            Some((key, given)) => (key, given.text.to_string()),
            None => {
                let variable = provider.api_base_env.as_deref();
                let environment = || variable.and_then(|name| self.entry.context.env.get(name));
                let found = credential.base.clone().or_else(environment);
                match found.or_else(|| provider.base_url.as_deref().map(str::to_owned)) {
                    Some(text) => ("api_base", text),
                    None => {
                        self.no_base(provider, params);
                        return None;
                    }
                }
            }
        };
        match address::api_base(&text) {
            Ok(base) => Some(base),
            Err(mut wrong) => {
                if own.is_none() {
                    let variable = provider.api_base_env.as_deref().unwrap_or("credential_list");
                    wrong.hint = format!("{}; it comes from {variable}", wrong.hint);
                }
                self.entry.error(key, wrong, self.problems);
                None
            }
        }
    }

    fn no_base(&mut self, provider: &Provider, params: &Params) {
        if params.is_mock || self.first.is_some() {
            return;
        }
        let problem =
            format!("no api_base: provider `{}` has no address of its own", provider.name);
        let hint = match provider.api_base_env.as_deref() {
            Some(name) => format!("set `api_base`, or the environment variable {name}"),
            None => "set `api_base`".to_owned(),
        };
        self.add(Lack::Setting, "api_base", problem, hint);
    }

    /// What is particular to Azure.
    fn azure(
        &mut self,
        provider: &Provider,
        params: &Params,
        credential: &Credential,
    ) -> Option<Azure> {
        if provider.addressing != Addressing::Azure || params.is_mock {
            return None;
        }
        let entry = self.entry;
        let written = entry.params.get("api_key").is_some_and(|node| !node.is_null());
        let has_variable =
            provider.api_key_env.iter().any(|name| entry.context.env.get(name).is_some());
        let name = params.credential.as_ref().map(|given| &*given.text);
        let values = name.and_then(|name| entry.context.credentials.get(name));
        let find = |place: azure::Place| {
            let own = entry.params.get(place.key).and_then(Node::text);
            let named = || values.and_then(|values| values.get(place.key)?.text());
            let text = own.or_else(named).map(str::to_owned);
            text.or_else(|| entry.context.env.get(place.variable))
        };
        match azure::read(written || credential.key.is_some() || has_variable, find) {
            Ok(azure) => {
                let is_own = |key: &str| {
                    let own = entry.params.get(key).and_then(Node::text);
                    own.or_else(|| values.and_then(|values| values.get(key)?.text())).is_some()
                };
                let given = [
                    (azure.token.is_some(), azure::TOKEN),
                    (azure.identity.is_some(), azure::CLIENT_SECRET),
                ];
                for (_, place) in given.iter().filter(|(has, place)| *has && !is_own(place.key)) {
                    self.key_leaves(provider, params, credential, (place.key, place.variable));
                }
                Some(azure)
            }
            Err((key, wrong)) => {
                self.add(Lack::Setting, key, wrong.problem, wrong.hint);
                None
            }
        }
    }

    /// The key and its variable: from the entry, the credential, or the first variable that is set.
    fn key(
        &mut self,
        provider: &Provider,
        params: &Params,
        credential: &Credential,
        has_token: bool,
    ) -> (Option<Secret>, Option<Box<str>>) {
        if let Some(key) = params.api_key.clone() {
            return (Some(key), self.entry.key_variable.map(Box::from));
        }
        if let Some(key) = credential.key.clone() {
            return (Some(key), None);
        }
        // A key that is written but invalid, or refers to nothing, is not replaced by another one.
        if self.entry.params.get("api_key").is_some_and(|node| !node.is_null()) {
            return (None, None);
        }
        for name in &provider.api_key_env {
            let Some(text) = self.entry.context.env.get(name) else { continue };
            if let Err(mut wrong) = address::key(&text) {
                wrong.problem = format!("environment variable {name} {}", wrong.problem);
                self.entry.error("api_key", wrong, self.problems);
                return (None, None);
            }
            self.key_leaves(provider, params, credential, ("api_key", name));
            return (Some(Secret::new(&text)), Some(name.clone()));
        }
        let needed = !provider.key_optional && !has_token;
        if needed && !params.is_mock && self.first.is_none() {
            self.no_key(provider, params.api_base.is_some() || params.base_url.is_some());
        }
        (None, None)
    }

    /// Warns if a key of the environment goes to a server that the entry names and that is not the
    /// provider's: the key may be meant for another one.
    fn key_leaves(
        &mut self,
        provider: &Provider,
        params: &Params,
        credential: &Credential,
        (field, variable): (&str, &str),
    ) {
        let written = params.api_base.as_ref().map(|given| ("api_base", &*given.text));
        let written = written.or(params.base_url.as_ref().map(|given| ("base_url", &*given.text)));
        let named = || Some("litellm_credential_name").zip(credential.base.as_deref());
        let Some((key, address)) = written.or_else(named) else { return };
        // A program without an address of its own is always somewhere else.
        let has_home = provider.base_url.is_some() || !provider.hosts.is_empty();
        let host = provider::host_of(address);
        if provider.host_owner(host) == HostOwner::Provider || !has_home {
            return;
        }
        let (path, host) = (self.entry.path.key("litellm_params"), shown(host));
        let problem = format!("sends {variable} to {host}");
        let hint = format!("write `{field}: os.environ/{variable}`, or `api_key: none`");
        self.problems.warn(self.entry.place_of(key), &path.key(key), Wrong::new(problem, hint));
    }

    fn no_key(&mut self, provider: &Provider, own_server: bool) {
        let label = shown(self.label);
        let names = provider.api_key_env.join(", ");
        let (problem, mut hint) = match &provider.api_key_env[..] {
            [] => ("no api_key".to_owned(), format!("set `api_key` of deployment {label}")),
            [only] => (
                format!("no api_key, and environment variable {only} is not set"),
                format!("set {only}, which deployment {label} reads"),
            ),
            _ => (
                format!("no api_key, and none of the environment variables {names} is set"),
                format!("set one of {names}, which deployment {label} reads"),
            ),
        };
        if own_server {
            hint.push_str("; for a server without keys write `api_key: none`");
        }
        self.add(Lack::Key, "api_key", problem, hint);
    }
}

fn facts(
    (provider, owner): (&Provider, Option<HostOwner>),
    model: &str,
    info: &Info,
    params: &ModelFacts,
) -> ModelFacts {
    let listed = match info.base_model.as_deref() {
        Some(name) => prices::exact(name).or_else(|| prices::lookup(&provider.name, name)),
        None => prices::lookup(&provider.name, model),
    };
    let mut facts = listed.cloned().unwrap_or_default();
    // A server of the operator's own may give its model the name of one that another provider sells.
    let is_own = owner == Some(HostOwner::Operator) && info.base_model.is_none();
    if is_own && !facts.is_priced_by(&provider.name) {
        facts = facts.without_prices();
    }
    if matches!(facts.mode.as_deref(), Some("image_generation" | "image_edit")) {
        let name = info.base_model.as_deref().unwrap_or(model);
        let own = name.strip_prefix(&*provider.name).and_then(|tail| tail.strip_prefix('/'));
        facts.sized_images = prices::sized_images(&provider.name, own.unwrap_or(name));
    }
    overlay(&mut facts, info.facts.clone());
    overlay(&mut facts, params.clone());
    facts
}

/// What its model takes; `None` if it stands for many.
fn takes(provider: &Provider, model: &str, info: &Info, facts: &ModelFacts) -> Option<Takes> {
    let name = info.base_model.as_deref().unwrap_or(model);
    (!model.contains('*')).then(|| facts.takes(&provider.name, name))
}
