//! Which models there are, in OpenAI's shape and in LiteLLM's.

use std::collections::BTreeSet;

use hale_core::deployment::{Deployment, DeploymentIndex};
use hale_core::group::ModelGroup;
use hale_core::provider::WireFormat;
use hale_core::route::{Resolved, resolve};
use hale_core::snapshot::Snapshot;
use http::{Response, StatusCode};
use serde::Serialize;
use serde_json::value::RawValue;

use super::PageRequest;
use super::health::known::{Standing, standing};
use crate::clock;
use crate::http::refusal;
use crate::http::reply::{self, Reply};

/// The creation time that LiteLLM gives every model, seconds since 1970.
const CREATED: u64 = 1_677_610_602;

#[derive(Serialize)]
struct Model<'m> {
    id: &'m str,
    object: &'static str,
    created: u64,
    owned_by: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<&'m str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_input_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_output_tokens: Option<u64>,
}

/// `GET /v1/models`.
///
/// Groups without a healthy member are left out if the config or `healthy_only` says so; patterns never are,
/// nor are groups about which nothing is known. `access_groups` adds the names of access groups.
pub(crate) fn list(request: &PageRequest<'_>) -> Response<Reply> {
    #[derive(Serialize)]
    struct List<'m> {
        data: Vec<Model<'m>>,
        object: &'static str,
    }
    let serving = &request.arrival.serving;
    let snapshot = &serving.snapshot;
    let healthy_only = request.parameter("healthy_only");
    let access_groups = request.parameter("include_model_access_groups");
    let is_yes = |wish: &str| matches!(wish, "true" | "True" | "1");
    let hides = healthy_only.as_deref().map_or(snapshot.probing.lists_healthy_only, is_yes);
    let now = clock::now().millis();
    let shown = |group: &&ModelGroup| {
        let down = |index: &DeploymentIndex| standing(serving, *index, now) == Standing::Unhealthy;
        !hides || group.pattern.is_some() || !group.members.iter().all(down)
    };
    let groups = snapshot.listed_groups().filter(shown).map(|group| &*group.name);
    let leads_on = |target: &str| {
        snapshot.by_name.get(target).is_none_or(|group| shown(&snapshot.group(*group)))
    };
    let aliases = snapshot.router.aliases.iter();
    let aliases = aliases
        .filter(|(_, alias)| !alias.hidden && leads_on(&alias.target))
        .map(|(name, _)| &**name);
    let labels = snapshot.deployments.iter().flat_map(|one| &one.routing.access_groups);
    let labels: BTreeSet<&str> = match access_groups.as_deref().is_some_and(is_yes) {
        true => labels.map(|label| &**label).collect(),
        false => BTreeSet::new(),
    };
    let data = groups.chain(aliases).chain(labels).map(|name| model(snapshot, name)).collect();
    page(&List { data, object: "list" })
}

/// `GET /v1/models/{id}`.
pub(crate) fn one(request: &PageRequest<'_>) -> Response<Reply> {
    let (snapshot, name) = (&request.arrival.serving.snapshot, request.name.unwrap_or_default());
    match resolve(snapshot, name) {
        Resolved::Target(_) => page(&model(snapshot, name)),
        Resolved::Unknown(nearest) => {
            refusal::no_such_model(name, &nearest).into_response(WireFormat::OpenAi)
        }
    }
}

/// `GET /model/info`.
pub(crate) fn info(request: &PageRequest<'_>) -> Response<Reply> {
    #[derive(Serialize)]
    struct Info<'m> {
        model_name: &'m str,
        litellm_params: &'m RawValue,
        model_info: &'m RawValue,
        #[serde(skip_serializing_if = "Option::is_none")]
        misconfigured: Option<&'m str>,
    }
    #[derive(Serialize)]
    struct List<'m> {
        data: Vec<Info<'m>>,
    }
    let snapshot = &request.arrival.serving.snapshot;
    let entry = |deployment: &'_ Deployment| -> Option<(Box<RawValue>, Box<RawValue>)> {
        let raw = |text: &str| RawValue::from_string(text.to_owned()).ok();
        Some((raw(&deployment.display.public_params)?, raw(&deployment.display.model_info)?))
    };
    let texts: Vec<_> = snapshot.deployments.iter().map(|one| entry(one)).collect();
    let data = snapshot
        .deployments
        .iter()
        .zip(&texts)
        .filter_map(|(deployment, texts)| {
            let (params, info) = texts.as_ref()?;
            Some(Info {
                model_name: &snapshot.group(deployment.group).name,
                litellm_params: params,
                model_info: info,
                misconfigured: deployment.misconfigured.as_ref().map(|why| &*why.problem),
            })
        })
        .collect();
    page(&List { data })
}

fn model<'m>(snapshot: &'m Snapshot, name: &'m str) -> Model<'m> {
    let facts = match resolve(snapshot, name) {
        Resolved::Target(target) => {
            let group = snapshot.group(target.group);
            let index = target.pinned.or_else(|| group.members.first().copied());
            index.map(|index| &snapshot.deployment(index).facts)
        }
        Resolved::Unknown(_) => None,
    };
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "token counts are small and not negative; the cast saturates"
    )]
    let tokens = |count: f64| count as u64;
    Model {
        id: name,
        object: "model",
        created: CREATED,
        owned_by: "openai",
        mode: facts.and_then(|facts| facts.mode.as_deref()),
        max_input_tokens: facts.and_then(|facts| facts.max_input_tokens).map(tokens),
        max_output_tokens: facts.and_then(|facts| facts.max_output_tokens).map(tokens),
    }
}

fn page(content: &impl Serialize) -> Response<Reply> {
    reply::json(StatusCode::OK, serde_json::to_vec(content).unwrap_or_default())
}
