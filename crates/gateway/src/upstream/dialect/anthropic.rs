//! Anthropic's request headers: the key, the betas and the version of the format.
//!
//! Used by [`crate::upstream::target`] and [`crate::upstream::credential`] for the header template, and by the proxy for
//! what a client's headers say. Always true: a beta is named once, whether the config or the client wants it.

use std::collections::BTreeSet;

use hale_core::deployment::Deployment;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

/// How the tokens of Anthropic's subscriptions begin. LiteLLM tells them apart in this way too.
const OAUTH_PREFIX: &str = "sk-ant-oat";
/// The beta that such tokens need.
const OAUTH_BETA: &str = "oauth-2025-04-20";
/// The header that turns on features in beta.
const BETA: HeaderName = HeaderName::from_static("anthropic-beta");
/// The first version of the format that is in use.
const FIRST: &str = "2023-06-01";
/// The header that names the version of the format.
const VERSION: HeaderName = HeaderName::from_static("anthropic-version");

/// The headers of `key`. A subscription's token is a bearer token and needs a beta; an API key has a header
/// of its own.
pub(in crate::upstream) fn key_headers(key: &str) -> impl Iterator<Item = (HeaderName, String)> {
    let headers = if key.starts_with(OAUTH_PREFIX) {
        [
            Some((header::AUTHORIZATION, format!("Bearer {key}"))),
            Some((BETA, OAUTH_BETA.to_owned())),
        ]
    } else {
        [Some((HeaderName::from_static("x-api-key"), key.to_owned())), None]
    };
    headers.into_iter().flatten()
}

/// The value of the header `name` when the config of a deployment adds `value` to what `headers` have: betas
/// are joined, anything else is replaced.
pub(in crate::upstream) fn joined(
    headers: &HeaderMap,
    name: &HeaderName,
    value: HeaderValue,
) -> Option<HeaderValue> {
    if *name == BETA { betas(headers.get_all(BETA).iter().chain([&value])) } else { Some(value) }
}

/// Whether no header of a client names the version of the format: the config of `deployment` does, or the body.
pub(in crate::upstream) fn pins_version(deployment: &Deployment) -> bool {
    if deployment.endpoint.vertex.is_some() {
        return true;
    }
    let mut extra = deployment.credential.extra_headers.iter();
    extra.any(|(name, _)| VERSION.as_str().eq_ignore_ascii_case(name))
}

/// What the headers of a client that speaks this format ask of the provider.
#[derive(Default)]
pub(crate) struct ClientHeaders {
    /// The betas that it wants.
    betas: Option<HeaderValue>,
    /// The version of the format that its bytes are in.
    version: Option<HeaderValue>,
}

impl ClientHeaders {
    /// What `headers` ask for.
    pub(crate) fn of(headers: &HeaderMap) -> ClientHeaders {
        ClientHeaders {
            betas: betas(headers.get_all(BETA).iter()),
            version: headers.get(VERSION).cloned(),
        }
    }

    /// The client's betas, with commas between them.
    pub(crate) fn wanted(&self) -> Option<&str> {
        self.betas.as_ref()?.to_str().ok()
    }

    /// The client's betas as a request header, together with those of the header `template`.
    pub(crate) fn betas(&self, template: &HeaderMap) -> Option<(HeaderName, HeaderValue)> {
        self.betas_but(template, &[])
    }

    /// The same without the client's betas whose names begin with one of `refused`.
    pub(crate) fn betas_but(
        &self,
        template: &HeaderMap,
        refused: &[&str],
    ) -> Option<(HeaderName, HeaderValue)> {
        let wanted = self.betas.as_ref()?;
        let is_kept = |name: &&str| !refused.iter().any(|begin| name.starts_with(begin));
        let kept = match refused {
            [] => wanted.clone(),
            _ => {
                let names = wanted.to_str().ok()?.split(',').filter(is_kept);
                HeaderValue::from_str(&names.collect::<Vec<_>>().join(",")).ok()?
            }
        };
        let all = betas(template.get_all(BETA).iter().chain([&kept]))?;
        Some((BETA, all))
    }

    /// The version of the client's bytes, if it is newer than the first, which every provider has.
    pub(crate) fn newer_version(&self) -> Option<&str> {
        self.version.as_ref()?.to_str().ok().filter(|version| {
            let is_date = version.len() == FIRST.len()
                && version.bytes().all(|b| b.is_ascii_digit() || b == b'-');
            is_date && *version > FIRST
        })
    }

    /// The version of the client's bytes as a request header.
    pub(crate) fn version(&self) -> Option<(HeaderName, HeaderValue)> {
        self.version.clone().map(|version| (VERSION, version))
    }
}

/// All betas that `lists` name, each once and in order, as one header. What cannot be a header's value is
/// left out.
fn betas<'v>(lists: impl Iterator<Item = &'v HeaderValue>) -> Option<HeaderValue> {
    let names: BTreeSet<&str> = lists
        .filter_map(|list| list.to_str().ok())
        .flat_map(|list| list.split(','))
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .collect();
    let joined = names.into_iter().collect::<Vec<_>>().join(",");
    if joined.is_empty() { None } else { HeaderValue::from_str(&joined).ok() }
}
