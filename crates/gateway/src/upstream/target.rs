//! Where the requests of a deployment go: address, header template, paths, credential.
//!
//! Made once per deployment when a config is loaded, used for each attempt and each probe. Always true: what
//! does not depend on the request is made ahead, a static key included; a token is added when the request is
//! sent.

use std::borrow::Cow;
use std::sync::Arc;

use hale_core::deployment::Deployment;
use hale_core::operation::Operation;
use hale_core::settings::KeptConnections;
use http::StatusCode;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;

use super::address::Upstream;
use super::answer::Answer;
use super::credential::{Credential, CredentialError, Replaced, static_key};
use super::dialect::{anthropic, bedrock};
use super::error::SendError;
use super::paths::{self, PathCall, Paths};
use super::progress::{SendProgress, Stage};
use super::request::{HeaderTemplate, Reuse, UpstreamRequest};
use super::send::send_watched;

/// One deployment as something that requests can be sent to.
pub(crate) struct Target {
    deployment: Arc<Deployment>,
    /// Where it is.
    pub(crate) upstream: Upstream,
    /// The headers of every request, a static credential included.
    pub(crate) headers: HeaderTemplate,
    paths: Paths,
    /// What authorizes its requests.
    pub(crate) credential: Credential,
    /// Whether no client's header names the version of the Anthropic format: its config does, or the body.
    pub(crate) pins_version: bool,
    /// The headers for a model at Bedrock that is called in its own format.
    pub(crate) invoke_headers: Box<[(HeaderName, HeaderValue)]>,
}

/// Why a target gave no answer.
#[derive(Debug)]
pub(crate) enum TargetError {
    /// The request could not be authorized. Nothing was sent to the target.
    Credential(CredentialError),
    /// No answer came.
    Unsent(SendError),
}

impl Target {
    /// The target of `deployment`; `kept` is how its connections are used again.
    pub(crate) fn new(deployment: &Arc<Deployment>, kept: KeptConnections) -> Target {
        let upstream = Upstream::parse(&deployment.endpoint.api_base).keeping(kept);
        Target {
            deployment: deployment.clone(),
            headers: header_template(deployment, &upstream).into(),
            paths: Paths::new(deployment, &upstream.base_path),
            credential: Credential::of(deployment, kept),
            pins_version: anthropic::pins_version(deployment),
            invoke_headers: bedrock::invoke_headers(deployment),
            upstream,
        }
    }

    /// Whether it is one of Amazon Bedrock.
    pub(crate) fn is_at_bedrock(&self) -> bool {
        self.deployment.endpoint.aws.is_some()
    }

    /// How the betas of clients begin that it refuses when it is called for `operation`.
    pub(crate) fn refused_betas(&self, operation: Operation) -> &'static [&'static str] {
        // Source: LiteLLM.
        const AT_VERTEX: [&str; 3] = ["oauth-", "claude-code-", "web-search-"];
        match (&self.deployment.endpoint.vertex, operation) {
            (None, _) => &[],
            (Some(_), Operation::CountTokens) => &AT_VERTEX,
            (Some(_), _) => AT_VERTEX.get(..2).unwrap_or_default(),
        }
    }

    /// The path of `call`.
    pub(crate) fn path(&self, call: PathCall<'_>) -> Cow<'_, PathAndQuery> {
        let names_model = paths::names_model(&self.deployment, call.called.operation);
        let other_model = names_model && *self.deployment.endpoint.upstream_model != *call.model;
        match self.paths.template(call.called, call.transfer) {
            Some(template) if !other_model && call.object.is_none() => Cow::Borrowed(template),
            Some(_) | None => {
                Cow::Owned(paths::make(&self.deployment, &self.upstream.base_path, call))
            }
        }
    }

    /// The path `below` its address, with that query, for what is passed through.
    pub(crate) fn path_below(&self, below: &str, query: &str) -> PathAndQuery {
        paths::below(&self.deployment, &self.upstream.base_path, (below, query))
    }

    /// The path of its list of models.
    pub(crate) fn models_path(&self) -> PathAndQuery {
        paths::models(&self.deployment, &self.upstream.base_path)
    }

    /// Authorizes the finished `request`, sends it and waits for the head of the answer. `progress` tells at any
    /// moment how far it has come. A request whose token is refused is sent once more, with another token.
    ///
    /// # Errors
    /// Why no answer came.
    pub(crate) async fn send(
        &self,
        request: &mut UpstreamRequest<'_>,
        progress: &SendProgress,
    ) -> Result<Answer, TargetError> {
        let mut answer = self.send_once(request, progress).await?;
        // A token may end or be revoked before its time: nothing was done for a request that is refused so.
        if (answer.status == StatusCode::UNAUTHORIZED || has_expired(&answer))
            && self.credential.refused(request) == Replaced::Yes
        {
            drop(answer);
            answer = self.send_once(request, progress).await?;
        }
        if !answer.status.is_success()
            && self.credential.learns_the_time(&answer.headers) == Replaced::Yes
        {
            drop(answer);
            answer = self.send_once(request, progress).await?;
        }
        Ok(answer)
    }

    async fn send_once(
        &self,
        request: &mut UpstreamRequest<'_>,
        progress: &SendProgress,
    ) -> Result<Answer, TargetError> {
        progress.enter(Stage::Credential);
        self.credential.authorize(request).await.map_err(TargetError::Credential)?;
        // Until a new connection is made, the request is not sent.
        progress.enter(match request.reuse {
            Reuse::Allowed => Stage::Answer,
            Reuse::Never => Stage::Name,
        });
        let sent = send_watched(&self.upstream, request, progress).await;
        sent.map_err(TargetError::Unsent)
    }
}

/// Whether AWS says that keys that were granted for a time have ended.
fn has_expired(answer: &Answer) -> bool {
    let class = answer.headers.get("x-amzn-errortype");
    class.is_some_and(|class| class.as_bytes().starts_with(b"ExpiredToken"))
}

fn header_template(deployment: &Deployment, upstream: &Upstream) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(12);
    if let Ok(host) = HeaderValue::from_str(&upstream.authority) {
        headers.insert(header::HOST, host);
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(
        header::USER_AGENT,
        HeaderValue::from_static(concat!("hale/", env!("CARGO_PKG_VERSION"))),
    );
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    static_key::add_to(&mut headers, deployment);
    let of_provider = deployment.endpoint.provider.headers.iter();
    let of_provider = of_provider.filter(|(_, value)| !static_key::is_part(value));
    let organization = deployment.credential.organization.iter();
    let organization = organization.map(|value| ("openai-organization", value.expose()));
    // The project that pays at Google.
    let source = deployment.endpoint.vertex.as_ref().and_then(|vertex| vertex.source.as_ref());
    let payer = source.and_then(|source| source.identity.quota_project());
    let named = organization.chain(payer.map(|payer| ("x-goog-user-project", payer)));
    for (name, value) in of_provider.map(|(name, value)| (&**name, &**value)).chain(named) {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), sensitive(value)) {
            headers.insert(name, value);
        }
    }
    for (name, value) in &deployment.credential.extra_headers {
        if let Ok(name) = HeaderName::from_bytes(name.as_bytes())
            && let Ok(value) = sensitive(value.expose())
            && let Some(mut value) = anthropic::joined(&headers, &name, value)
        {
            value.set_sensitive(true);
            headers.insert(name, value);
        }
    }
    headers
}

fn sensitive(text: &str) -> Result<HeaderValue, header::InvalidHeaderValue> {
    let mut value = HeaderValue::from_str(text)?;
    value.set_sensitive(true);
    Ok(value)
}
