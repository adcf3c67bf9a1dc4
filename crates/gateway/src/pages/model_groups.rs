//! What is known about each model group, put together from its deployments.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use hale_core::deployment::{Deployment, DeploymentIndex};
use hale_core::route::expand;
use hale_core::snapshot::Snapshot;
use http::StatusCode;
use hyper::body::Incoming;
use serde::Serialize;
use serde_json::{Map, Value};

use super::known;
use super::provider_lists::ProviderLists;
use super::seen::{Seen, may_use};
use super::{PageRequest, Waiting};
use crate::http::reply;

/// Of these the group has the largest that one of its deployments has.
const LARGEST: [&str; 2] = ["max_input_tokens", "max_output_tokens"];
/// Prices, USD: the group costs at most the dearest.
const DEAREST: [&str; 3] =
    ["input_cost_per_token", "output_cost_per_token", "input_cost_per_pixel"];

#[derive(Serialize)]
struct Group<'g> {
    model_group: Cow<'g, str>,
    providers: BTreeSet<&'g str>,
    mode: Option<Value>,
    /// Sums over the deployments that have a limit; none when no deployment has one.
    rpm: Option<u64>,
    tpm: Option<u64>,
    #[serde(flatten)]
    numbers: BTreeMap<&'static str, Option<f64>>,
    /// What at least one deployment can do.
    #[serde(flatten)]
    supports: BTreeMap<String, bool>,
    /// What at least one deployment takes.
    supported_openai_params: BTreeSet<String>,
}

/// `GET /model_group/info`, of all groups that the client may use, or of one; an unknown name is an empty list.
pub(crate) fn info(request: PageRequest<'_>, _: Incoming) -> Waiting<'_> {
    #[derive(Serialize)]
    struct List<'g> {
        data: Vec<Group<'g>>,
    }
    Box::pin(async move {
        let lists = ProviderLists::of(request.arrival).await;
        let snapshot = &request.arrival.serving.snapshot;
        let only = request.parameter("model_group");
        let mut data = Vec::new();
        for group in snapshot.listed_groups() {
            let behind = expand(snapshot, group, |index| lists.at(index));
            if behind.is_empty() {
                data.push(entry(snapshot, Cow::Borrowed(&*group.name), (&group.members, None)));
            }
            for (name, one) in behind {
                if !snapshot.by_name.contains_key(&*name) {
                    let name = Cow::Owned(name.into());
                    data.push(entry(snapshot, name, (&one.members, Some(&one.model))));
                }
            }
        }
        let is_seen = |name: &str| Seen::by(&request) == Seen::All || may_use(&request, name);
        data.retain(|group| is_seen(&group.model_group));
        data.retain(|group| only.as_deref().is_none_or(|only| *only == *group.model_group));
        let body = serde_json::to_vec(&List { data }).unwrap_or_default();
        Ok(reply::json(StatusCode::OK, body))
    })
}

/// One group, or the model of a pattern.
fn entry<'g>(
    snapshot: &'g Snapshot,
    name: Cow<'g, str>,
    (members, model): (&[DeploymentIndex], Option<&str>),
) -> Group<'g> {
    let members: Vec<&Deployment> =
        members.iter().map(|index| &**snapshot.deployment(*index)).collect();
    let facts: Vec<Map<String, Value>> =
        members.iter().map(|member| known::model_info(member, model)).collect();
    let numbers = LARGEST.iter().chain(&DEAREST).map(|name| {
        let values = facts.iter().filter_map(|facts| facts.get(*name)?.as_f64());
        (*name, values.reduce(f64::max))
    });
    let mut supports = BTreeMap::new();
    for (name, value) in facts.iter().flatten() {
        if let (true, Some(can)) = (name.starts_with("supports_"), value.as_bool()) {
            *supports.entry(name.clone()).or_insert(false) |= can;
        }
    }
    let params = facts.iter().filter_map(|facts| facts.get("supported_openai_params")?.as_array());
    let params = params.flatten().filter_map(|name| name.as_str().map(str::to_owned)).collect();
    let sum = |limit: fn(&Deployment) -> Option<u64>| {
        members.iter().filter_map(|member| limit(member)).reduce(u64::saturating_add)
    };
    Group {
        model_group: name,
        providers: members.iter().map(|member| &*member.endpoint.provider.name).collect(),
        mode: facts
            .iter()
            .find_map(|facts| facts.get("mode").filter(|mode| !mode.is_null()).cloned()),
        rpm: sum(|member| member.routing.limits.rpm),
        tpm: sum(|member| member.routing.limits.tpm),
        numbers: numbers.collect(),
        supports,
        supported_openai_params: params,
    }
}
