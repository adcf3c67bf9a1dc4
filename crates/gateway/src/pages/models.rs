//! Which models there are, in OpenAI's shape, in Anthropic's, in Google's and in LiteLLM's.
//!
//! Called by the router. Always true: a pattern is shown as the models behind it, if they are known; each name that is
//! listed leads to a group.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};

use hale_core::deployment::{Deployment, DeploymentIndex};
use hale_core::group::ModelGroup;
use hale_core::prices::ModelFacts;
use hale_core::provider::WireFormat;
use hale_core::route::{Resolved, expand, resolve};
use hale_core::snapshot::Snapshot;
use http::{Response, StatusCode};
use hyper::body::Incoming;
use serde::Serialize;
use serde_json::{Map, Value};

pub(crate) use super::google_models::is_of_google;
use super::google_models::{GoogleList, GoogleModel};
use super::health::known::{Standing, standing};
use super::known;
use super::provider_lists::ProviderLists;
use super::seen::{Seen, may_use};
use super::{PageRequest, Waiting};
use crate::clock;
use crate::http::refusal::{self, Refusal};
use crate::http::reply::{self, Reply};

/// The creation time that LiteLLM gives every model, seconds since 1970.
const CREATED: u64 = 1_677_610_602;

/// One model in a list. `type` and `display_name` are Anthropic's: Claude Code reads them.
#[derive(Serialize)]
pub(super) struct Model<'m> {
    pub(super) id: Cow<'m, str>,
    object: &'static str,
    created: u64,
    owned_by: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    display_name: Cow<'m, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mode: Option<&'m str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) max_input_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) max_output_tokens: Option<u64>,
    /// Whether it reasons before it answers, if that is known. Only Google's clients are told.
    #[serde(skip)]
    pub(super) reasons: Option<bool>,
}

#[derive(Serialize)]
struct List<'m> {
    data: Vec<Model<'m>>,
    object: &'static str,
    /// What Codex reads beside the list: models that it knows nothing of. Without it, it complains in each session.
    #[serde(skip_serializing_if = "Option::is_none")]
    models: Option<[u8; 0]>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    part: Option<Part>,
}

/// Which part of a list it is, in Anthropic's words.
#[derive(Serialize)]
struct Part {
    has_more: bool,
    first_id: Option<String>,
    last_id: Option<String>,
}

/// What is listed.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Wanted {
    /// Only groups with a healthy member.
    healthy_only: bool,
    /// The names of access groups, too.
    access_groups: bool,
    /// Nothing else.
    only_access_groups: bool,
    /// Patterns, too.
    patterns: bool,
}

fn is_yes(wish: &str) -> bool {
    matches!(wish, "true" | "True" | "1")
}

impl Wanted {
    fn of(request: &PageRequest<'_>) -> Wanted {
        let asks = |name: &str| request.parameter(name).is_some_and(|wish| is_yes(&wish));
        let config = request.arrival.serving.snapshot.probing.lists_healthy_only;
        Wanted {
            healthy_only: request.parameter("healthy_only").map_or(config, |wish| is_yes(&wish)),
            access_groups: asks("include_model_access_groups"),
            only_access_groups: asks("only_model_access_groups"),
            patterns: asks("return_wildcard_routes"),
        }
    }
}

/// `GET /v1/models`.
///
/// Groups without a healthy member are left out if the config or `healthy_only` says so; patterns never are,
/// nor are groups about which nothing is known. `include_model_access_groups` adds the names of access groups,
/// `only_model_access_groups` shows nothing else; `return_wildcard_routes` adds the patterns, which are else shown as the
/// models behind them. `client_version`, which Codex sends, adds its own list, empty. `limit` and `after_id` give a part, as Anthropic's list does.
pub(crate) fn list(request: PageRequest<'_>, _: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        let lists = ProviderLists::of(request.arrival).await;
        let snapshot = &request.arrival.serving.snapshot;
        let wanted = Wanted::of(&request);
        let data = match wanted.only_access_groups {
            true => labels(&request).into_iter().map(|name| model(snapshot, name)).collect(),
            false => listed(&request, wanted, &lists),
        };
        if asks_as_google(&request) {
            return Ok(page(&GoogleList::of(&request, data)?));
        }
        let (data, part) = part(&request, data)?;
        let models = request.parameter("client_version").map(|_| []);
        Ok(page(&List { data, object: "list", models, part }))
    })
}

/// Whether the client is one of Google's: by its path, or by a header.
fn asks_as_google(request: &PageRequest<'_>) -> bool {
    let path = request.head.uri.path();
    let is_theirs = path.starts_with("/v1beta/") || path.starts_with("/v1alpha/");
    is_theirs || is_of_google(&request.head.headers)
}

/// The names of access groups with a model that the client may use.
fn labels<'m>(request: &PageRequest<'m>) -> BTreeSet<&'m str> {
    let snapshot = &request.arrival.serving.snapshot;
    let own = snapshot.deployments.iter().filter(|one| {
        !one.routing.access_groups.is_empty() && may_use(request, &snapshot.group(one.group).name)
    });
    own.flat_map(|one| &one.routing.access_groups).map(|label| &**label).collect()
}

/// The models of all groups and aliases.
fn listed<'m>(request: &PageRequest<'m>, wanted: Wanted, lists: &ProviderLists) -> Vec<Model<'m>> {
    let serving = &request.arrival.serving;
    let snapshot = &serving.snapshot;
    let now = clock::now().millis();
    let shown = |group: &&ModelGroup| {
        let down = |index: &DeploymentIndex| standing(serving, *index, now) == Standing::Unhealthy;
        !wanted.healthy_only || group.pattern.is_some() || !group.members.iter().all(down)
    };
    let may = |name: &str| may_use(request, name);
    let team = request.arrival.principal.access().and_then(|one| one.identity.team.as_deref());
    let mut seen: HashSet<Box<str>> = HashSet::new();
    let mut models = Vec::new();
    for group in snapshot.listed_groups().filter(shown) {
        // A team's own group stands in the place of the one that others call so.
        if group.team.is_none() && snapshot.name_for(team, &group.name).is_some() {
            continue;
        }
        if let Some(public) = public_name(snapshot, group, team).filter(|_| may(&group.name)) {
            let first = group.members.first().map(|index| snapshot.deployment(*index));
            let facts = first.map(|one| known::facts(one, None));
            models.push(described(Cow::Borrowed(public), facts));
            continue;
        }
        let behind = expand(snapshot, group, |index| lists.at(index));
        if (behind.is_empty() || wanted.patterns) && may(&group.name) {
            models.push(model(snapshot, &group.name));
        }
        for (name, expanded) in behind {
            // A group of that name has its own place.
            if snapshot.by_name.contains_key(&*name) || !may(&name) || !seen.insert(name.clone()) {
                continue;
            }
            let first = expanded.members.first().map(|index| snapshot.deployment(*index));
            let facts = first.map(|one| known::facts(one, Some(&expanded.model)));
            models.push(described(Cow::Owned(name.into()), facts));
        }
    }
    let leads_on = |target: &str| {
        snapshot.by_name.get(target).is_none_or(|group| shown(&snapshot.group(*group)))
    };
    let aliases = snapshot.router.aliases.iter();
    let aliases = aliases
        // One that stands for a pattern is no name.
        .filter(|(name, _)| wanted.patterns || !name.contains('*'))
        .filter(|(name, alias)| !alias.hidden && leads_on(&alias.target) && may(name))
        .map(|(name, _)| &**name);
    models.extend(aliases.map(|name| model(snapshot, name)));
    let own =
        request.arrival.principal.access().into_iter().flat_map(|access| access.aliases.iter());
    for name in own.flat_map(|names| names.keys()) {
        let is_listed = models.iter().any(|model| *model.id == **name);
        if !is_listed && leads_on_own(request, name) {
            models.push(model(snapshot, name));
        }
    }
    if wanted.access_groups {
        models.extend(labels(request).into_iter().map(|name| model(snapshot, name)));
    }
    models
}

/// What a team calls a group of its own.
fn public_name<'m>(
    snapshot: &'m Snapshot,
    group: &'m ModelGroup,
    team: Option<&str>,
) -> Option<&'m str> {
    let own = group.team.as_deref().filter(|own| Some(*own) == team);
    let first = snapshot.deployment(*own.and(group.members.first())?);
    first.routing.team.as_ref()?.public_name.as_deref()
}

/// Whether a name of the key's own, or of its team's, leads to a model that it may use.
fn leads_on_own(request: &PageRequest<'_>, name: &str) -> bool {
    let arrival = request.arrival;
    let renamed = arrival.principal.access().map(|access| access.renamed(name).name);
    let target = renamed.map(|name| resolve(&arrival.serving.snapshot, name));
    matches!(target, Some(Resolved::Target(_))) && may_use(request, name)
}

/// The part of the list that `limit` and `after_id` ask for; all of it if they are not there.
fn part<'m>(
    request: &PageRequest<'_>,
    mut models: Vec<Model<'m>>,
) -> Result<(Vec<Model<'m>>, Option<Part>), Refusal> {
    let (limit, after) = (request.parameter("limit"), request.parameter("after_id"));
    if limit.is_none() && after.is_none() {
        return Ok((models, None));
    }
    if let Some(after) = after {
        let begin = models.iter().position(|model| *model.id == *after).map_or(0, |at| at + 1);
        models.drain(..begin);
    }
    let limit = limit.map(|limit| limit.parse::<usize>().ok().filter(|limit| *limit > 0));
    let limit = match limit {
        Some(None) => {
            return Err(refusal::bad_parameter("limit", "`limit` must be a whole number above 0"));
        }
        Some(Some(limit)) => limit,
        None => usize::MAX,
    };
    let has_more = models.len() > limit;
    models.truncate(limit);
    let id = |model: Option<&Model<'_>>| model.map(|model| model.id.clone().into_owned());
    let part = Part { has_more, first_id: id(models.first()), last_id: id(models.last()) };
    Ok((models, Some(part)))
}

/// `GET /v1/models/{id}`.
pub(crate) fn one(request: &PageRequest<'_>) -> Response<Reply> {
    let (snapshot, name) = (&request.arrival.serving.snapshot, request.name.unwrap_or_default());
    let is_google = asks_as_google(request);
    let format = if is_google { WireFormat::Gemini } else { WireFormat::OpenAi };
    match resolve(snapshot, name) {
        Resolved::Target(_) if may_use(request, name) => {
            let model = model(snapshot, name);
            if is_google { page(&GoogleModel::of(&model)) } else { page(&model) }
        }
        Resolved::Target(_) => refusal::no_such_model(name, &[]).into_response(format),
        Resolved::Unknown(nearest) => refusal::no_such_model(name, &nearest).into_response(format),
    }
}

/// One deployment, or one model of it.
#[derive(Serialize)]
struct Info<'m> {
    model_name: Cow<'m, str>,
    litellm_params: Map<String, Value>,
    model_info: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    misconfigured: Option<&'m str>,
}

impl<'m> Info<'m> {
    fn of(name: Cow<'m, str>, deployment: &'m Deployment, model: Option<&str>) -> Info<'m> {
        let mut params: Map<String, Value> =
            serde_json::from_str(&deployment.display.public_params).unwrap_or_default();
        if let Some(model) = model {
            let provider = &deployment.endpoint.provider.name;
            params.insert("model".to_owned(), Value::from(format!("{provider}/{model}")));
        }
        Info {
            model_name: name,
            litellm_params: params,
            model_info: known::model_info(deployment, model),
            misconfigured: deployment.misconfigured.as_ref().map(|why| &*why.problem),
        }
    }

    /// As the holder of a key sees it: the model, and nothing of where it is and how it is called.
    fn shown_to(mut self, seen: Seen) -> Info<'m> {
        if seen == Seen::Own {
            self.litellm_params.retain(|name, _| name == "model");
            self.misconfigured = None;
        }
        self
    }
}

/// `GET /model/info`, of all deployments or of the one with the id `litellm_model_id`. The holder of a key sees those that it may use.
pub(crate) fn info(request: PageRequest<'_>, _: Incoming) -> Waiting<'_> {
    #[derive(Serialize)]
    struct List<'m> {
        data: Vec<Info<'m>>,
    }
    Box::pin(async move {
        let snapshot = &request.arrival.serving.snapshot;
        let seen = Seen::by(&request);
        if let Some(id) = request.parameter("litellm_model_id") {
            let index = snapshot.by_id.get(&*id);
            let index = index.filter(|index| {
                let group = snapshot.deployment(**index).group;
                seen == Seen::All || may_use(&request, &snapshot.group(group).name)
            });
            let Some(index) = index else {
                let expected = "`litellm_model_id` must be the id of a deployment, as `model_info.id` in `/model/info`";
                return Err(refusal::bad_parameter("litellm_model_id", expected));
            };
            let deployment = snapshot.deployment(*index);
            let name = Cow::Borrowed(&*snapshot.group(deployment.group).name);
            let info = Info::of(name, deployment, None).shown_to(seen);
            return Ok(page(&List { data: vec![info] }));
        }
        let lists = ProviderLists::of(request.arrival).await;
        let mut data = Vec::with_capacity(snapshot.deployments.len());
        for deployment in &snapshot.deployments {
            let group = snapshot.group(deployment.group);
            let behind = expand(snapshot, group, |index| lists.at(index));
            let own = behind.into_iter().filter(|(_, one)| one.members.contains(&deployment.index));
            let before = data.len();
            data.extend(own.map(|(name, one)| {
                Info::of(Cow::Owned(name.into()), deployment, Some(&one.model))
            }));
            if data.len() == before {
                data.push(Info::of(Cow::Borrowed(&*group.name), deployment, None));
            }
        }
        data.retain(|info| seen == Seen::All || may_use(&request, &info.model_name));
        let data = data.into_iter().map(|info| info.shown_to(seen)).collect();
        Ok(page(&List { data }))
    })
}

fn model<'m>(snapshot: &'m Snapshot, name: &'m str) -> Model<'m> {
    let facts = match resolve(snapshot, name) {
        Resolved::Target(target) => {
            let group = snapshot.group(target.group);
            let index = target.pinned.or_else(|| group.members.first().copied());
            index.map(|index| {
                let deployment = snapshot.deployment(index);
                known::facts(deployment, Some(&target.upstream_model(snapshot, deployment)))
            })
        }
        Resolved::Unknown(_) => None,
    };
    described(Cow::Borrowed(name), facts)
}

fn described<'m>(name: Cow<'m, str>, facts: Option<&'m ModelFacts>) -> Model<'m> {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "token counts are small and not negative; the cast saturates"
    )]
    let tokens = |count: f64| count as u64;
    Model {
        display_name: name.clone(),
        id: name,
        object: "model",
        created: CREATED,
        owned_by: "openai",
        kind: "model",
        mode: facts.and_then(|facts| facts.mode.as_deref()),
        max_input_tokens: facts.and_then(|facts| facts.max_input_tokens).map(tokens),
        max_output_tokens: facts.and_then(|facts| facts.max_output_tokens).map(tokens),
        reasons: facts.and_then(|facts| facts.supports_reasoning),
    }
}

fn page(content: &impl Serialize) -> Response<Reply> {
    reply::json(StatusCode::OK, serde_json::to_vec(content).unwrap_or_default())
}
