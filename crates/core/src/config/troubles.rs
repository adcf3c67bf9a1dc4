//! Why a deployment cannot serve: what is looked for when its entry is read, and where its address and key come from.
//!
//! Called by [`super::build`] for each entry. Always true: each reason is reported in one warning, and the first one is kept.

mod bedrock;

use crate::azure::{Azure, Service};
use crate::deployment::{Lack, Misconfigured};
use crate::parameters::FIT_FOR_MESSAGES;
use crate::provider::{self, Addressing, HostOwner, Provider, WireFormat};
use crate::secret::Secret;

use super::build::Entry;
use super::if_wrong::IfWrong;
use super::interpolate::first_missing;
use super::keys::{self, Section};
use super::params::{Given, Params};
use super::problem::{At, Path, Problems, Wrong, shown};
use super::suggest::did_you_mean;
use super::tree::{Node, Value};
use super::{address, azure, params, upstream};

/// Parameters of Ollama's own format that its address of OpenAI's format does not read. Source:
/// <https://github.com/ollama/ollama/blob/main/docs/openai.md>, and LiteLLM's list of Ollama's parameters.
#[rustfmt::skip]
const OF_OLLAMA: &[&str] = &[
    "format", "keep_alive", "low_vram", "main_gpu", "min_p", "mirostat", "mirostat_eta", "mirostat_tau", "num_batch", "num_ctx",
    "num_gpu", "num_keep", "num_predict", "num_thread", "options", "raw", "repeat_last_n", "repeat_penalty", "system", "template",
    "tfs_z", "top_k", "typical_p", "use_mlock", "use_mmap",
];

/// Those of them that only completions of a prompt have. Source: <https://docs.ollama.com/api/generate>.
const OF_PROMPTS: &[&str] = &["raw", "system", "template"];

/// What a named credential contains.
#[derive(Default)]
pub(super) struct Credential {
    pub(super) key: Option<Secret>,
    base: Option<String>,
    pub(super) organization: Option<Secret>,
}

/// The address that other parameters than `api_base` give.
#[derive(Default)]
pub(super) struct OwnAddress {
    /// By its name.
    pub(super) named: Option<String>,
    /// By what they say of the place.
    pub(super) default: Option<String>,
}

/// Collects the reasons why a deployment cannot serve.
pub(super) struct Troubles<'t> {
    pub(super) entry: &'t Entry<'t>,
    /// The deployment's name in messages.
    pub(super) label: &'t str,
    /// The first reason.
    pub(super) first: Option<Misconfigured>,
    pub(super) problems: &'t mut Problems,
}

impl Troubles<'_> {
    /// Adds a reason, at the place of that parameter.
    pub(super) fn add(&mut self, lack: Lack, key: &str, problem: String, hint: String) {
        let path = self.entry.path.key("litellm_params");
        let wrong = Wrong::new(problem.as_str(), hint.as_str());
        self.problems.warn(self.entry.place_of(key), &path.key(key), wrong);
        self.note(lack, problem, hint);
    }

    fn note(&mut self, lack: Lack, problem: String, hint: String) {
        let found = Misconfigured { lack, problem: problem.into(), hint: hint.into() };
        self.first.get_or_insert(found);
    }

    /// What is wrong with the row of the store that it comes from, which all else follows from.
    pub(super) fn broken_row(&mut self) {
        if self.problems.is_broken_row(self.entry.at) {
            self.wrong_values();
        }
    }

    /// The wrong values that were found before.
    pub(super) fn wrong_values(&mut self) {
        if let Some(Wrong { problem, hint }) = self.problems.take_fault() {
            self.note(Lack::Setting, problem, hint);
        }
    }

    /// Whether `model` names a model of a provider that is served.
    pub(super) fn model(&mut self, upstream: &upstream::Upstream<'_>, params: &Params) {
        if self.entry.is_unset("model") {
            return;
        }
        if upstream.model.is_empty() {
            let hint = "write `provider/name`".to_owned();
            self.add(Lack::Setting, "model", "names a provider but no model".to_owned(), hint);
        }
        if let Some((problem, hint)) = upstream.refusal.clone().filter(|_| !params.is_mock) {
            // Another address or another use of a provider that is served is a setting.
            let lack = match provider::lookup(&upstream.provider.name) {
                Some(_) => Lack::Setting,
                None => Lack::Provider,
            };
            let path = self.entry.path.key("litellm_params");
            let wrong = Wrong::new(problem.as_str(), hint.as_str());
            self.problems.warn_by_fix(self.entry.place_of("model"), &path.key("model"), wrong);
            self.note(lack, problem, hint);
        }
    }

    fn variable(&mut self, name: &str, at: At, path: &Path<'_>) {
        let Wrong { problem, mut hint } = self.entry.context.env.unset(name, at, self.problems);
        let set = self.entry.context.env.names();
        if hint == format!("set {}", shown(name)) {
            hint.push_str(&format!(", which deployment {} reads", shown(self.label)));
            let near = did_you_mean(&self.problems.nearest(name, set.iter().map(String::as_str)));
            if !near.is_empty() {
                hint = format!("{hint}; {near}");
            }
        }
        self.problems.warn(at, path, Wrong::new(problem.as_str(), hint.as_str()));
        self.note(Lack::Variable, problem, hint);
    }

    /// Variables that its parameters refer to and that are not set.
    pub(super) fn missing_variables(&mut self, params: &Params) {
        let of_upstream = ["api_key", "api_base", "base_url", "organization"];
        let path = self.entry.path.key("litellm_params");
        for entry in &self.entry.params.entries {
            if (params.is_mock && of_upstream.contains(&&*entry.key)) || !is_used(&entry.key) {
                continue;
            }
            let path = path.key(&entry.key);
            match IfWrong::of(Section::Params, &entry.key) {
                IfWrong::Unset => {
                    self.entry.context.env.warn_unset(&entry.value, &path, self.problems);
                }
                IfWrong::Misconfigure | IfWrong::Refuse => self.missing_in(&entry.value, &path),
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

    /// What `litellm_credential_name` refers to.
    pub(super) fn credential(&mut self, params: &Params) -> Credential {
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
        let key = key.map(address::without_line_break);
        if let Some(Err(Wrong { problem, hint })) = key.map(address::key) {
            let problem = format!("the key of credential `{}` {problem}", shown(name));
            self.add(Lack::Credential, "litellm_credential_name", problem, hint);
        }
        credential.key = key.filter(|key| address::key(key).is_ok()).map(Secret::new);
        credential.base = base.map(str::to_owned);
        credential.organization =
            organization.filter(|text| address::is_header_value(text)).map(Secret::new);
        credential
    }

    /// The address, and the provider as it is called there.
    pub(super) fn place(
        &mut self,
        (provider, model): (&'static Provider, &str),
        params: &Params,
        credential: &Credential,
        own: OwnAddress,
    ) -> (&'static Provider, Option<Box<str>>) {
        let base = self.base(provider, params, credential, own);
        (base.as_deref().map_or(provider, |base| provider.at_base(base, model)), base)
    }

    /// The address: from the entry, the credential, the variable, or the provider's own.
    fn base(
        &mut self,
        provider: &Provider,
        params: &Params,
        credential: &Credential,
        of_entry: OwnAddress,
    ) -> Option<Box<str>> {
        let own = params.api_base.as_ref().map(|given| ("api_base", given));
        let own = own.or(params.base_url.as_ref().map(|given| ("base_url", given)));
        let (key, text) = match own {
            Some((key, given)) => (key, given.text.to_string()),
            None => {
                let environment = || self.base_variable(provider).map(|(_, text)| text);
                let found = credential.base.clone().or(of_entry.named).or_else(environment);
                let found = found.or_else(|| self.base_of_key(provider, params, credential));
                match found.or(of_entry.default) {
                    Some(text) => ("api_base", text),
                    None => {
                        self.no_base(provider, params);
                        return None;
                    }
                }
            }
        };
        let of_endpoint = match provider.addressing {
            Addressing::Azure => address::azure_base(&text),
            Addressing::AzureServerless => address::azure_ai_base(&text),
            _ => None,
        };
        if let Some((base, _)) = of_endpoint {
            let problem = "is the address of one endpoint: what follows the host is left out";
            let hint = match provider.addressing {
                Addressing::Azure => {
                    "write the address without `/openai/deployments/...`, and `api_version`"
                }
                _ => "write the address without the path of the endpoint, and `api_version`",
            };
            let path = self.entry.path.key("litellm_params");
            self.problems.warn(self.entry.place_of(key), &path.key(key), Wrong::new(problem, hint));
            return address::api_base(base).ok();
        }
        match address::api_base(&text) {
            Ok(base) => Some(base),
            Err(mut wrong) => {
                if own.is_none() {
                    let named = self.base_variable(provider);
                    let variable = named.map_or("credential_list", |(name, _)| name);
                    wrong.hint = format!("{}; it comes from {variable}", wrong.hint);
                }
                // Nothing is sent there.
                if !params.is_mock {
                    self.add(Lack::Setting, key, wrong.problem, wrong.hint);
                }
                None
            }
        }
    }

    /// The environment variable that has the provider's address, and the address.
    fn base_variable<'p>(&self, provider: &'p Provider) -> Option<(&'p str, String)> {
        let env = &self.entry.context.env;
        provider.api_base_env.iter().find_map(|name| Some((&**name, env.get(name)?)))
    }

    fn no_base(&mut self, provider: &Provider, params: &Params) {
        if params.is_mock || self.first.is_some() {
            return;
        }
        let problem =
            format!("no api_base: provider `{}` has no address of its own", provider.name);
        let hint = match provider.api_base_env.first() {
            Some(name) => format!("set `api_base`, or the environment variable {name}"),
            None => "set `api_base`".to_owned(),
        };
        self.add(Lack::Setting, "api_base", problem, hint);
    }

    /// What is particular to Azure.
    pub(super) fn azure(
        &mut self,
        provider: &Provider,
        params: &Params,
        credential: &Credential,
    ) -> Option<Azure> {
        let service = match provider.addressing {
            Addressing::Azure => Service::OpenAi,
            Addressing::AzureModels => Service::Models,
            Addressing::AzureServerless => Service::Serverless,
            Addressing::AzureClaude => Service::Claude,
            Addressing::Plain
            | Addressing::Versioned
            | Addressing::Cohere
            | Addressing::Google
            | Addressing::Ollama
            | Addressing::Bedrock
            | Addressing::Vertex => return None,
        };
        if params.is_mock {
            return None;
        }
        let entry = self.entry;
        let written = entry.params.get("api_key").is_some_and(|node| !node.is_null());
        let has_variable =
            provider.api_key_env.iter().any(|name| entry.context.env.get(name).is_some());
        let name = params.credential.as_ref().map(|given| &*given.text);
        let values = name.and_then(|name| entry.context.credentials.get(name));
        let written_base = params.api_base.as_ref().or(params.base_url.as_ref());
        let endpoint = match service {
            Service::OpenAi => address::azure_base,
            Service::Models | Service::Serverless | Service::Claude => address::azure_ai_base,
        };
        let of_address = written_base.and_then(|given| endpoint(&given.text)?.1);
        let find = |place: azure::Place| {
            let own = entry.params.get(place.key).and_then(Node::text);
            let named = || values.and_then(|values| values.get(place.key)?.text());
            let text =
                own.or_else(named).or_else(|| of_address.filter(|_| place.key == "api_version"));
            let text = text.map(str::to_owned);
            text.or_else(|| entry.context.env.get(place.variable))
        };
        match azure::read(service, written || credential.key.is_some() || has_variable, find) {
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
    pub(super) fn key(
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
        let is_written = self.entry.params.get("api_key").is_some_and(|node| !node.is_null());
        let has_own_server = params.api_base.is_some() || params.base_url.is_some();
        // An empty one means a server of one's own without keys; the provider's own needs one.
        if is_written && (!params.is_keyless || has_own_server) {
            return (None, None);
        }
        for name in &provider.api_key_env {
            let Some(text) = self.entry.context.env.get(name) else { continue };
            if let Err(mut wrong) = address::key(&text) {
                wrong.problem = format!("environment variable {name} {}", wrong.problem);
                self.add(Lack::Key, "api_key", wrong.problem, wrong.hint);
                return (None, None);
            }
            self.key_leaves(provider, params, credential, ("api_key", name));
            return (Some(Secret::new(&text)), Some(name.clone()));
        }
        let needed = !provider.key_optional && !has_token;
        if needed && !params.is_mock && self.first.is_none() {
            let server = if has_own_server { HostOwner::Operator } else { HostOwner::Provider };
            self.no_key(provider, server);
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
        let host = provider::host_of(address);
        if !provider.is_foreign(host) {
            return;
        }
        let (path, host) = (self.entry.path.key("litellm_params"), shown(host));
        let problem = format!("sends {variable} to {host}");
        let hint = format!("write `{field}: os.environ/{variable}`, or `api_key: none`");
        self.problems.warn(self.entry.place_of(key), &path.key(key), Wrong::new(problem, hint));
    }

    /// Warns about defaults of bodies that the provider's format has no place for: they are left out.
    pub(super) fn unfit_defaults(&mut self, provider: &Provider, params: &Params) {
        if params.is_mock {
            return;
        }
        let name = &provider.name;
        let unfit = |default: &str| match (provider.wire, provider.addressing) {
            (WireFormat::Anthropic, _) if !FIT_FOR_MESSAGES.contains(&default) => Some((
                format!(
                    "provider `{name}` has no such parameter for chats: it is left out of them"
                ),
                "remove it",
            )),
            (WireFormat::OpenAi, Addressing::Ollama) if OF_OLLAMA.contains(&default) => Some((
                format!("`{name}` is called at its address of OpenAI's format, which ignores it"),
                "remove `/v1` from the end of `api_base`: Ollama's own format has it; or write it into the Modelfile",
            )),
            (WireFormat::Ollama, _) if OF_PROMPTS.contains(&default) => Some((
                format!("`{name}` has no such parameter for chats: it is left out of them"),
                "write it into the Modelfile",
            )),
            (
                WireFormat::Anthropic
                | WireFormat::OpenAi
                | WireFormat::Gemini
                | WireFormat::Cohere
                | WireFormat::Responses
                | WireFormat::Converse
                | WireFormat::Ollama,
                _,
            ) => None,
        };
        let path = self.entry.path.key("litellm_params");
        for (default, _) in &params.defaults {
            let Some((problem, hint)) = unfit(default) else { continue };
            let at = match self.entry.params.get(default) {
                Some(node) => node.at,
                None => self.entry.place_of("extra_body"),
            };
            self.problems.warn(at, &path.key(default), Wrong::new(problem, hint));
        }
    }

    fn no_key(&mut self, provider: &Provider, server: HostOwner) {
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
        match server {
            HostOwner::Provider => {}
            HostOwner::Operator => {
                hint.push_str("; for a server without keys write `api_key: none`")
            }
        }
        self.add(Lack::Key, "api_key", problem, hint);
    }
}

/// Whether the parameter has an effect, so that it matters whether its variable is set.
fn is_used(key: &str) -> bool {
    match keys::find(Section::Params, key) {
        Some(row) => row.support == keys::Support::Served,
        None => params::why_not_sent(key).is_none(),
    }
}
