//! A request that goes to its provider as it came: `/{provider}/{path}`.
//!
//! Made by [`super::opening`], sent by [`super::attempt`]. Always true: the path stays below the provider's address; no credential
//! of the client goes along, and no header but those that say how to read the body and the answer.

use std::borrow::Cow;

use bytes::Bytes;
use hale_core::deployment::Deployment;
use hale_core::route::{MayUse, Resolved, Target, resolve};
use hale_core::snapshot::Snapshot;
use hale_core::tenancy::access::{KeyAccess, More, UserRole};
use hale_core::tenancy::rights::Route;
use hale_wire::peek::Peek;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use super::passed_models;
use crate::http::query;
use crate::http::refusal::{self, Refusal};
use crate::offload;
use crate::upstream::dialect::anthropic;

/// The first segment of the path, and its provider.
const PROVIDERS: [(&str, &str); 9] = [
    ("openai", "openai"),
    ("anthropic", "anthropic"),
    ("azure", "azure"),
    ("gemini", "gemini"),
    ("cohere", "cohere"),
    ("mistral", "mistral"),
    ("vertex_ai", "vertex_ai"),
    ("vertex-ai", "vertex_ai"),
    ("bedrock", "bedrock"),
];
/// Headers of a client that go along.
static KEPT: [HeaderName; 14] = [
    header::ACCEPT,
    header::ACCEPT_LANGUAGE,
    header::CONTENT_TYPE,
    header::CONTENT_DISPOSITION,
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    header::RANGE,
    HeaderName::from_static("idempotency-key"),
    HeaderName::from_static("openai-beta"),
    HeaderName::from_static("anthropic-version"),
    HeaderName::from_static("x-amzn-bedrock-guardrailidentifier"),
    HeaderName::from_static("x-amzn-bedrock-guardrailversion"),
    HeaderName::from_static("x-amzn-bedrock-performanceconfig-latency"),
    HeaderName::from_static("x-amzn-bedrock-trace"),
];
/// Parameters of a query that may hold a key, decoded and in lower case.
const KEYS: [&str; 6] =
    ["key", "api-key", "api_key", "subscription-key", "access_token", "litellm_user_api_key"];
/// Names the model whose deployment is called. LiteLLM's header.
const MODEL: HeaderName = HeaderName::from_static("x-litellm-model");

/// What is passed through, besides the body.
pub(crate) struct PassThrough {
    /// The provider's name.
    pub(crate) provider: &'static str,
    /// The client's method.
    pub(crate) method: Method,
    /// The path below the provider's address, without a slash before it, as it came.
    pub(crate) path: Box<str>,
    /// The query, without keys.
    pub(crate) query: Box<str>,
    /// The client's headers that go along.
    headers: Vec<(HeaderName, HeaderValue)>,
    /// What an Anthropic client names of its format.
    anthropic: anthropic::ClientHeaders,
}

impl PassThrough {
    /// What the request with that head passes through.
    ///
    /// # Errors
    /// If the path could leave the provider's address.
    pub(super) fn of(head: &Parts) -> Result<PassThrough, Refusal> {
        let whole = head.uri.path();
        let (named, path) = whole.trim_start_matches('/').split_once('/').unwrap_or_default();
        let provider = PROVIDERS.into_iter().find(|(word, _)| *word == named);
        let provider = provider.map(|(_, provider)| provider);
        // An ARN is one segment of a path of AWS's, with escaped slashes.
        let plain = match provider {
            Some("bedrock") => Cow::Owned(path.replace("%2F", "/").replace("%2f", "/")),
            _ => Cow::Borrowed(path),
        };
        let Some(provider) = provider.filter(|_| stays_below(&plain)) else {
            return Err(refusal::odd_path(whole));
        };
        let query = head.uri.query().unwrap_or_default();
        let is_key = |name: &str| KEYS.iter().any(|key| name.eq_ignore_ascii_case(key));
        let kept = query.split('&').filter(|pair| {
            let name = pair.split('=').next().unwrap_or_default();
            !pair.is_empty() && !is_key(&query::decoded_form(name))
        });
        let headers = KEPT.iter().flat_map(|name| {
            head.headers.get_all(name).iter().map(|value| (name.clone(), value.clone()))
        });
        Ok(PassThrough {
            provider,
            method: head.method.clone(),
            path: path.into(),
            query: kept.collect::<Vec<_>>().join("&").into(),
            headers: headers.collect(),
            anthropic: anthropic::ClientHeaders::of(&head.headers),
        })
    }

    /// Whether the holder of a key may send it. An id of the provider's own says nothing of whose it is, so that what reads, lists,
    /// changes or deletes something that is kept needs an admin, or a key whose `allowed_routes` name the path.
    ///
    /// # Errors
    /// The refusal.
    pub(super) fn check_owner(&self, access: &KeyAccess, whole: &str) -> Result<(), Refusal> {
        let route = Route { path: whole, is_of_models: true };
        if self.method == Method::POST
            || self.reads_models()
            || access.role == UserRole::ProxyAdmin
            || access.names_route(route)
        {
            return Ok(());
        }
        Err(refusal::provider_objects(self.provider))
    }

    /// Whether what it costs needs not be known.
    ///
    /// # Errors
    /// The refusal: a budget or a limit of tokens counts it, and the key's routes do not name the path.
    pub(super) fn check_measured(
        &self,
        (access, more): (&KeyAccess, &More<'_>),
        whole: &str,
    ) -> Result<(), Refusal> {
        let route = Route { path: whole, is_of_models: true };
        match access.measures(more) && !self.reads_models() && !access.names_route(route) {
            true => Err(refusal::passed_unmeasured(self.provider)),
            false => Ok(()),
        }
    }

    /// Whether the holder of a key may use every model that the request names.
    ///
    /// # Errors
    /// The refusal: also if no model can be read for a key with certain models.
    pub(super) async fn check_models(
        &self,
        (access, snapshot): (&KeyAccess, &Snapshot),
        head: &Parts,
        body: &Bytes,
    ) -> Result<(), Refusal> {
        let is_named = access.names_route(Route { path: head.uri.path(), is_of_models: true });
        if access.allows_all_models() {
            return Ok(());
        }
        let unknown = || refusal::passed_model_unknown(self.provider);
        let in_body = match body.len() > offload::LARGE {
            false => passed_models::in_body(&head.headers, body),
            true => {
                let (headers, body) = (head.headers.clone(), body.clone());
                offload::run(move || passed_models::in_body(&headers, &body)).await
            }
        };
        let mut models = passed_models::in_address(&self.path, &self.query);
        models.extend(in_body.map_err(|_| unknown())?);
        if models.is_empty() && !is_named {
            return Err(unknown());
        }
        for model in &models {
            // Google's bodies name a model by its path.
            let google = matches!(self.provider, "gemini" | "vertex_ai");
            let name = match model.rsplit_once("models/") {
                Some((_, name)) if google => name,
                Some(_) | None => model,
            };
            MayUse::check_sent(access, snapshot, (self.provider, name)).map_err(refusal::denied)?;
        }
        Ok(())
    }

    /// Whether it reads what models there are, which costs nothing.
    fn reads_models(&self) -> bool {
        let reads = matches!(self.method, Method::GET | Method::HEAD);
        let mut parts = self.path.split('/').skip_while(|part| is_version(part));
        reads && parts.next() == Some("models") && parts.count() <= 1
    }

    /// The headers of the request, besides the `template` of the deployment.
    pub(super) fn headers(&self, template: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
        let mut headers = self.headers.clone();
        headers.extend(self.anthropic.betas(template));
        headers
    }

    /// The model that header, body or path name, where they can be read.
    pub(super) fn model(&self, headers: &HeaderMap, body: &Bytes) -> Option<Box<str>> {
        if let Some(named) = headers.get(&MODEL).and_then(|value| value.to_str().ok()) {
            return Some(named.into());
        }
        let (_, below) = self.path.split_once("deployments/").unwrap_or_default();
        let in_path = below.split('/').next().filter(|name| !name.is_empty());
        if let Some(name) = in_path {
            return Some(query::decoded(name));
        }
        // Google's methods stand behind the name.
        if matches!(self.provider, "gemini" | "vertex_ai")
            && let Some((_, below)) = self.path.split_once("models/")
            && let Some(name) = below.split(['/', ':']).next()
            // A count names its model in the body.
            && name != "count-tokens"
        {
            return Some(query::decoded(name));
        }
        if self.provider == "bedrock"
            && let Some((_, below)) = self.path.split_once("model/")
            && let Some(name) = below.split('/').next()
        {
            return Some(query::decoded(name));
        }
        // A large body does not choose a deployment: any of the provider can take it.
        if body.is_empty() || body.len() > offload::LARGE {
            return None;
        }
        let peek = Peek::parse(body.clone()).ok()?;
        let model = peek.string("model").ok()?.filter(|name| name.len() <= 1024)?;
        Some(Box::from(&*model))
    }

    /// Where it goes: to the group that `model` names, if that has deployments of the provider, else to the group of the
    /// first deployment of the provider that can work.
    ///
    /// # Errors
    /// If there is no deployment of the provider.
    pub(super) fn target(
        &self,
        snapshot: &Snapshot,
        (model, may_use): (Option<&str>, &MayUse),
    ) -> Result<Target, Refusal> {
        let is_own = |deployment: &Deployment| {
            let target = Target { group: deployment.group, pinned: None, wildcard_name: None };
            *deployment.endpoint.provider.name == *self.provider
                && may_use.allows(snapshot, &target, target.name(snapshot))
        };
        let named = model.map(|model| resolve(snapshot, model));
        if let Some(Resolved::Target(target)) = named {
            let members = match &target.pinned {
                Some(only) => std::slice::from_ref(only),
                None => &snapshot.group(target.group).members,
            };
            if members.iter().any(|index| is_own(snapshot.deployment(*index))) {
                return Ok(target);
            }
        }
        let own = snapshot.deployments.iter().filter(|deployment| is_own(deployment));
        let is_named = |deployment: &&std::sync::Arc<Deployment>| {
            model.is_some_and(|model| *deployment.endpoint.upstream_model == *model)
        };
        if let Some(named) = own.clone().find(is_named) {
            return Ok(Target { group: named.group, pinned: None, wildcard_name: None });
        }
        let mut own = own;
        let any = own.clone().next();
        let found = own.find(|deployment| deployment.can_work()).or(any);
        let Some(found) = found else {
            return Err(refusal::no_provider(self.provider));
        };
        Ok(Target { group: found.group, pinned: None, wildcard_name: None })
    }
}

/// Whether a header of the client chooses the deployment.
pub(super) fn is_chosen(headers: &HeaderMap) -> bool {
    headers.contains_key(&MODEL)
}

/// Whether a segment of a path is the version of an API: `v1`, `v1beta`.
fn is_version(segment: &str) -> bool {
    segment
        .strip_prefix('v')
        .is_some_and(|number| number.starts_with(|first: char| first.is_ascii_digit()))
}

/// Whether every server reads `path` as one below the place where it is put.
fn stays_below(path: &str) -> bool {
    let lower: Cow<'_, str> = path.to_ascii_lowercase().into();
    let has_odd = ["%2f", "%5c", "%00", "\\"].iter().any(|odd| lower.contains(odd))
        || lower.bytes().any(|byte| byte.is_ascii_control());
    let mut segments = lower.trim_end_matches('/').split('/');
    !has_odd
        && !path.is_empty()
        && segments.all(|segment| {
            let plain = segment.replace("%2e", ".");
            let name = plain.split(';').next().unwrap_or_default();
            !matches!(name, "" | "." | "..")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(method: &str, uri: &str) -> Result<PassThrough, Refusal> {
        let request = http::Request::builder().method(method).uri(uri);
        let request = request
            .header("authorization", "Bearer sk-1")
            .header("cookie", "a=b")
            .header("openai-organization", "theirs")
            .header("x-forwarded-for", "10.0.0.1")
            .header("content-type", "text/plain")
            .header("openai-beta", "assistants=v2");
        PassThrough::of(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn a_path_that_could_leave_the_address_is_refused() {
        for path in [
            "/openai/../admin",
            "/openai/v1/../../x",
            "/openai/v1/%2e%2e/x",
            "/openai/v1/.%2E/x",
            "/openai/v1/..;/x",
            "/openai/v1/./x",
            "/openai/v1//x",
            "/openai//evil.example/x",
            "/openai/v1%2f..%2fx",
            "/openai/v1/%5c..%5cx",
            "/openai/v1/x%00",
            "/openai/",
            "/groq/v1/models",
            "/gemini/v1beta/../x",
        ] {
            assert!(passed("GET", path).is_err(), "{path}");
        }
        for path in ["/openai/v1/files/f-1/content", "/azure/a..b/...", "/mistral/v1/x%20y/"] {
            assert!(passed("GET", path).is_ok(), "{path}");
        }
    }

    #[test]
    fn keys_stay_and_what_describes_the_body_goes_along() {
        let passed =
            passed("PATCH", "/openai/v1/x?limit=2&api-key=sk-1&K%65y=sk-2&after=a%26b").unwrap();
        assert_eq!((&*passed.path, &*passed.query), ("v1/x", "limit=2&after=a%26b"));
        let headers = passed.headers(&HeaderMap::new());
        let names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["content-type", "openai-beta"]);
    }
}
