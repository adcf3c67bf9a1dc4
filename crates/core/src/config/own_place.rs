//! What the environment says of a provider besides its key and its address: the host of an account, a service principal.
//!
//! Called by [`super::troubles`] and [`super::build`]. Always true: what an entry says wins; half of a principal is a problem.

use crate::deployment::{Lack, Principal};
use crate::provider::Provider;
use crate::secret::Secret;

use super::address;
use super::params::Params;
use super::tree::Node;
use super::troubles::{Credential, Troubles};

impl Troubles<'_> {
    /// The provider's own address, which may depend on the key, or on a host of the environment.
    pub(super) fn base_of_key(
        &self,
        provider: &Provider,
        params: &Params,
        credential: &Credential,
    ) -> Option<String> {
        let of_key = || {
            let named = params.api_key.as_ref().or(credential.key.as_ref());
            let named = named.map(|key| key.expose().to_owned());
            let env = &self.entry.context.env;
            let key =
                named.or_else(|| provider.api_key_env.iter().find_map(|name| env.get(name)))?;
            provider.bases_by_key.iter().find(|(begin, _)| key.starts_with(&***begin))
        };
        let of_key = (!provider.bases_by_key.is_empty()).then(of_key).flatten();
        let of_host = provider.host_env.as_ref().and_then(|host| {
            let given = self.entry.context.env.get(&host.variable)?;
            let scheme = if given.contains("://") { "" } else { "https://" };
            Some(format!("{scheme}{}{}", given.trim_end_matches('/'), host.path))
        });
        if of_host.is_some() {
            return of_host;
        }
        let base = of_key.map(|(_, base)| base).or(provider.base_url.as_ref());
        base.map(|base| base.to_string())
    }

    /// The service principal of an entry without a key, if its provider gives tokens to one.
    pub(super) fn principal(
        &mut self,
        provider: &Provider,
        params: &Params,
        credential: &Credential,
    ) -> Option<Principal> {
        let tokens = provider.tokens.as_ref()?;
        let (entry, env) = (self.entry, self.entry.context.env);
        let written = entry.params.get("api_key").is_some_and(|node| !node.is_null());
        let has_variable = provider.api_key_env.iter().any(|name| env.get(name).is_some());
        if written || credential.key.is_some() || has_variable || params.is_mock {
            return None;
        }
        let name = params.credential.as_ref().map(|given| &*given.text);
        let values = name.and_then(|name| entry.context.credentials.get(name));
        let own = |key: &str| {
            let own = entry.params.get(key).and_then(Node::text);
            own.or_else(|| values.and_then(|values| values.get(key)?.text())).map(str::to_owned)
        };
        let find = |key, variable: &str| {
            own(key).or_else(|| env.get(variable)).filter(|text| !text.is_empty())
        };
        let places =
            [("client_id", &tokens.client_id_env), ("client_secret", &tokens.client_secret_env)];
        let found = places.map(|(key, variable)| find(key, variable));
        match found {
            [Some(id), Some(secret)] => {
                if let Err(wrong) = address::key(&secret) {
                    self.add(Lack::Key, "client_secret", wrong.problem, wrong.hint);
                    return None;
                }
                let client_secret = Secret::new(&secret);
                Some(Principal { client_id: id.into(), client_secret })
            }
            // There is nothing of it, so the key is what is missing.
            [None, None] => None,
            [id, _] => {
                let (key, variable) = places[usize::from(id.is_some())];
                let problem =
                    format!("no {key}, which the other value of a service principal needs");
                let hint = format!("set `{key}`, or the variable {variable}");
                self.add(Lack::Key, key, problem, hint);
                None
            }
        }
    }
}
