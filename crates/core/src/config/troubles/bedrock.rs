//! What an entry for Amazon Bedrock lacks.
//!
//! Part of [`super::Troubles`]. Always true: nothing is looked for where a canned answer replaces the provider.

use crate::config::aws::{self, Found, Place, Values};
use crate::config::params::Params;
use crate::config::tree::{Map, Node};
use crate::provider::{Addressing, Provider};

use super::{Credential, Troubles};

impl Troubles<'_> {
    /// What is particular to Bedrock; `model` is the name behind the provider's.
    pub(in crate::config) fn bedrock(
        &mut self,
        provider: &Provider,
        params: &Params,
        (credential, model): (&Credential, &str),
    ) -> Option<Found> {
        if provider.addressing != Addressing::Bedrock || params.is_mock {
            return None;
        }
        let entry = self.entry;
        let name = params.credential.as_ref().map(|given| &*given.text);
        let values = name.and_then(|name| entry.context.credentials.get(name).copied());
        let written = |place: Place| {
            let of = |map: &Map, key: &str| {
                map.get(key).and_then(Node::text).filter(|text| !text.is_empty()).map(str::to_owned)
            };
            let own = place.keys.iter().find_map(|key| of(entry.params, key));
            own.or_else(|| place.keys.iter().find_map(|key| of(values?, key)))
        };
        let variable = |name: &str| entry.context.env.get(name);
        let of_env = |place: Place| place.variables.iter().find_map(|name| variable(name));
        let has_bearer = params.api_key.is_some()
            || credential.key.is_some()
            || provider.api_key_env.iter().any(|name| variable(name).is_some());
        let tags = entry.params.get(aws::TAGS).or_else(|| values?.get(aws::TAGS));
        let tags = tags.filter(|node| !node.is_null());
        let read = aws::read(model, &Values { written, of_env, has_bearer });
        let tagged = read.and_then(|mut found| match tags {
            Some(tags) => aws::tag(&mut found.aws, tags).map(|()| found),
            None => Ok(found),
        });
        match tagged {
            Ok(found) => Some(found),
            // What is wrong already comes first.
            Err(_) if self.first.is_some() => None,
            Err((lack, key, wrong)) => {
                self.add(lack, key, wrong.problem, wrong.hint);
                None
            }
        }
    }
}
