//! One entry of `model_list` as a deployment: its provider, address, key, facts and texts.
//!
//! Called by [`super::deployments`]. Always true: each reason why it cannot serve is reported in
//! one warning, and the first one is kept in the deployment.

use std::sync::Arc;

use serde_json::Value as Json;

use crate::aws::{self, Aws, Source};
use crate::deployment::{
    self, Deployment, DeploymentIndex, Display, OfTeam, Routing, UpstreamEndpoint,
};
use crate::group::GroupIndex;
use crate::health::{CredentialId, DeploymentState, HealthSubject};
use crate::prices::{self, ModelFacts, ReportedCost};
use crate::provider::{self, HostOwner, Provider};
use crate::route::TagRules;
use crate::secret::Secret;
use crate::takes::Takes;
use crate::vertex::Vertex;

use super::draft::Context;
use super::facts::overlay;
use super::model_info::model_info;
use super::params::{Info, Params};
use super::problem::{At, Path, Problems, Wrong};
use super::tree::{Map, Node, Value};
use super::troubles::{OwnAddress, Troubles};
use super::{json, upstream};

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
    let id = entry.id(&info, problems);
    info.base_model = info.base_model.take().or(params.base_model.take());
    let model = &*params.model.take()?;
    let label = if info.id.is_some() { Box::from(&*id) } else { Box::from(entry.name) };
    let upstream = upstream::find(model, entry.written(&params, &info));
    let provider = upstream.provider;
    let mut troubles = Troubles { entry, label: &label, first: None, problems };
    troubles.broken_row();
    troubles.model(&upstream, &params);
    troubles.wrong_values();
    troubles.missing_variables(&params);
    let credential = troubles.credential(&params);
    let vertex = troubles.vertex(provider, &params, (&credential, upstream.model));
    let bedrock = troubles.bedrock(provider, &params, (&credential, upstream.model));
    let routed = upstream::routed(provider, upstream.model);
    let own = own_address((bedrock.as_ref(), vertex.as_ref()), &routed, &info);
    let (provider, base) = troubles.place((provider, upstream.model), &params, &credential, own);
    let azure = troubles.azure(provider, &params, &credential);
    let principal = troubles.principal(provider, &params, &credential);
    let has_token = principal.is_some()
        || vertex.as_ref().is_some_and(|vertex| vertex.source.is_some())
        || azure.as_ref().is_some_and(|a| a.token.is_some() || a.identity.is_some());
    let (key, key_variable) = troubles.key(provider, &params, &credential, has_token);
    troubles.unfit_defaults(provider, &params);
    let misconfigured = troubles.first.take();
    let owner = base.as_deref().map(|base| provider.host_owner(provider::host_of(base)));
    let facts = facts((provider, owner), &routed, &info, &params.facts);
    let is_for_responses =
        routed.is_for_responses || has_responses_only((provider, owner), routed.model, &info);
    let mut routing = routing(&mut params, &mut info);
    let mut aws = bedrock.map(|found| found.aws);
    let upstream_model = called(aws.as_mut(), &routed, (&info, &mut routing));
    routing.region = routing.region.or(vertex.as_ref().map(|vertex| vertex.location.clone()));
    let mut deployment = Deployment {
        index: DeploymentIndex(0),
        group: GroupIndex(0),
        endpoint: UpstreamEndpoint {
            provider,
            upstream_model: upstream_model.into(),
            model_param: model.into(),
            api_base: base.filter(|_| misconfigured.is_none()).unwrap_or_default(),
            azure,
            aws,
            vertex,
            default_params: params.defaults,
            dropped_params: params.dropped,
            rules: params.rules,
            takes: takes(provider, &routed, &info, &facts),
            is_for_responses,
            mock: params.mock,
        },
        credential: deployment::Credential {
            key_variable: key.as_ref().and(key_variable),
            api_key: key,
            principal,
            organization: params.organization.or(credential.organization),
            extra_headers: params.headers,
            ..deployment::Credential::default()
        },
        routing,
        probing: info.check,
        display: display(&id, entry, &facts, problems),
        misconfigured,
        facts,
        state: Arc::new(DeploymentState::of(HealthSubject::Deployment(id.clone()))),
        id,
    };
    deployment.credential.id = credential_id(&deployment);
    Some(deployment)
}

/// How it is shown.
fn display(id: &Arc<str>, entry: &Entry<'_>, facts: &ModelFacts, problems: &Problems) -> Display {
    let source = match problems.is_row(entry.at) {
        true => deployment::Source::Store,
        false => deployment::Source::Config,
    };
    Display {
        name: id.clone(),
        source,
        declared_at: problems.place(entry.at).into(),
        model_info: model_info((id, facts), entry.info, source),
        public_params: Json::Object(json::public(entry.params)).to_string().into(),
    }
}

/// The address that the region of an entry gives, at Bedrock or Vertex AI.
fn own_address(
    (bedrock, vertex): (Option<&super::aws::Found>, Option<&Vertex>),
    routed: &upstream::Routed<'_>,
    info: &Info,
) -> OwnAddress {
    let Some(found) = bedrock else {
        return OwnAddress { named: None, default: vertex.map(Vertex::address) };
    };
    let name = info.base_model.as_deref().unwrap_or(routed.model);
    let listed = || prices::lookup("bedrock", name)?.mode.as_deref();
    let mode = info.facts.mode.as_deref().or_else(listed);
    let default = aws::address(&found.aws.region, mode);
    OwnAddress { named: found.endpoint.clone(), default: Some(default) }
}

/// The name of a model at its provider.
fn called<'m>(
    aws: Option<&mut Aws>,
    routed: &upstream::Routed<'m>,
    (info, routing): (&'m Info, &mut Routing),
) -> &'m str {
    match aws {
        Some(aws) => called_at_bedrock(aws, routed, (info, routing)),
        None => routed.model,
    }
}

/// The name of a model at Bedrock, and where it is served. An ARN says not what model it is, which `base_model` may say.
fn called_at_bedrock<'m>(
    aws: &mut Aws,
    routed: &upstream::Routed<'m>,
    (info, routing): (&'m Info, &mut Routing),
) -> &'m str {
    let called = aws.model_id.as_deref().unwrap_or(routed.model);
    routing.region = aws::served_in(called, &aws.region).map(Box::from);
    let is_arn = routed.model.starts_with("arn:");
    match info.base_model.as_deref().filter(|_| is_arn) {
        Some(known) => {
            aws.model_id.get_or_insert_with(|| routed.model.into());
            known.strip_prefix("bedrock/").unwrap_or(known)
        }
        None => routed.model,
    }
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
        team: info.team.take().map(|team| OfTeam { team, public_name: info.team_name.take() }),
    }
}

/// The id of its credential, from the provider, the host, the key and the organization, which has limits of its own.
fn credential_id(deployment: &Deployment) -> Option<CredentialId> {
    let endpoint = &deployment.endpoint;
    if endpoint.mock.is_some() {
        return None;
    }
    let (name, host) = (&endpoint.provider.name, endpoint.host());
    if let Some(source) = endpoint.vertex.as_ref().and_then(|vertex| vertex.source.as_ref()) {
        return Some(CredentialId::of(name, host, &source.identity.name()));
    }
    let of_aws = endpoint.aws.as_ref().and_then(|aws| match aws.source.as_ref()? {
        Source::Keys(keys) => Some(keys.secret_key.clone()),
        // All that have one role have one credential.
        Source::Chain(chain) => chain.role.as_ref().map(|role| Secret::new(&role.arn)),
    });
    let key = deployment.credential.api_key.clone().or(of_aws)?;
    Some(match &deployment.credential.organization {
        None => CredentialId::of(name, host, key.expose()),
        Some(of) => CredentialId::of(name, host, &format!("{}\n{}", key.expose(), of.expose())),
    })
}

impl Entry<'_> {
    /// What it says about its upstream.
    fn written<'w>(&'w self, params: &'w Params, info: &'w Info) -> upstream::Written<'w> {
        upstream::Written {
            provider: params.provider.as_deref(),
            address: self.context.address(params),
            mode: info.facts.mode.as_deref(),
            region: self.params.get("aws_region_name").and_then(Node::text),
            has_key: self.params.get("api_key").is_some_and(|node| !node.is_null())
                || self.context.credential(params).is_some_and(|one| one.get("api_key").is_some()),
        }
    }

    fn id(&self, info: &Info, problems: &mut Problems) -> Arc<str> {
        let Some(given) = &info.id else { return Arc::from(self.hash) };
        let id = given.text.trim();
        if id.chars().any(|c| !c.is_ascii_graphic() && c != ' ') {
            let problem = "an id goes into headers, so it has no characters outside ASCII: the id is a hash instead";
            let path = self.path.key("model_info");
            problems.warn(given.at, &path.key("id"), Wrong::new(problem, "remove them"));
            return Arc::from(self.hash);
        }
        Arc::from(id)
    }

    /// Whether the parameter refers to a variable that is not set.
    pub(super) fn is_unset(&self, key: &str) -> bool {
        self.params.get(key).is_some_and(|node| matches!(node.value, Value::Missing(_)))
    }

    /// Where the parameter is, else where all are.
    pub(super) fn place_of(&self, key: &str) -> At {
        self.params.get(key).map_or(self.params_at, |node| node.at)
    }
}

/// Providers whose answers say what is billed for them.
const REPORT_COSTS: [&str; 2] = ["openrouter", "litellm_proxy"];

fn facts(
    (provider, owner): (&Provider, Option<HostOwner>),
    routed: &upstream::Routed<'_>,
    info: &Info,
    params: &ModelFacts,
) -> ModelFacts {
    let model = routed.model;
    let listed = match info.base_model.as_deref() {
        Some(name) => prices::exact_priced(name).or_else(|| prices::priced(&provider.name, name)),
        None => routed.in_region(&provider.name).or_else(|| prices::priced(&provider.name, model)),
    };
    let mut facts = listed.unwrap_or_default();
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
    let is_stated = info.facts.has_price() || params.has_price();
    if !is_stated && REPORT_COSTS.contains(&&*provider.name) {
        facts.reported_cost = ReportedCost::Billed;
    }
    overlay(&mut facts, info.facts.clone());
    overlay(&mut facts, params.clone());
    if routed.is_for_responses && info.facts.mode.is_none() {
        facts.mode = Some("responses".into());
    }
    facts
}

/// What its model takes; `None` if it stands for many.
fn takes(
    provider: &Provider,
    routed: &upstream::Routed<'_>,
    info: &Info,
    facts: &ModelFacts,
) -> Option<Takes> {
    let name = info.base_model.as_deref().unwrap_or(routed.model);
    let takes = || facts.takes(&provider.name, name);
    let takes = || if routed.reasons { takes().of_one_that_reasons() } else { takes() };
    (!routed.model.contains('*')).then(takes)
}

/// Whether the price list says that OpenAI, or Azure, has the model for responses alone, and the config says nothing else.
fn has_responses_only(
    (provider, owner): (&Provider, Option<HostOwner>),
    model: &str,
    info: &Info,
) -> bool {
    const MODE: Option<&str> = Some("responses");
    let named = info.facts.mode.as_deref();
    let name = info.base_model.as_deref().unwrap_or(model);
    let is_listed = || prices::lookup(&provider.name, name)?.mode.as_deref();
    let is_of_open_ai = matches!(&*provider.name, "openai" | "azure");
    let is_of_open_ai = is_of_open_ai && owner == Some(HostOwner::Provider);
    is_of_open_ai && (named.is_none() || named == MODE) && is_listed() == MODE
}
