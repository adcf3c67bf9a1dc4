//! What is known about each model group, put together from its deployments.

use std::collections::{BTreeMap, BTreeSet};

use hale_core::deployment::Deployment;
use hale_core::group::ModelGroup;
use hale_core::snapshot::Snapshot;
use http::{Response, StatusCode};
use serde::Serialize;
use serde_json::{Map, Value};

use super::PageRequest;
use crate::http::reply::{self, Reply};

/// Of these the group has the largest that one of its deployments has.
const LARGEST: [&str; 2] = ["max_input_tokens", "max_output_tokens"];
/// Prices, USD: the group costs at most the dearest.
const DEAREST: [&str; 3] =
    ["input_cost_per_token", "output_cost_per_token", "input_cost_per_pixel"];

#[derive(Serialize)]
struct Group<'g> {
    model_group: &'g str,
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
}

/// `GET /model_group/info`, of all groups or of one; an unknown name is an empty list.
pub(crate) fn info(request: &PageRequest<'_>) -> Response<Reply> {
    #[derive(Serialize)]
    struct List<'g> {
        data: Vec<Group<'g>>,
    }
    let snapshot = &request.arrival.serving.snapshot;
    let only = request.parameter("model_group");
    let wanted = |group: &&ModelGroup| only.as_deref().is_none_or(|only| only == &*group.name);
    let data =
        snapshot.listed_groups().filter(wanted).map(|group| entry(snapshot, group)).collect();
    reply::json(StatusCode::OK, serde_json::to_vec(&List { data }).unwrap_or_default())
}

fn entry<'g>(snapshot: &'g Snapshot, group: &'g ModelGroup) -> Group<'g> {
    let members: Vec<&Deployment> =
        group.members.iter().map(|index| &**snapshot.deployment(*index)).collect();
    let facts: Vec<Map<String, Value>> = members
        .iter()
        .filter_map(|member| serde_json::from_str(&member.display.model_info).ok())
        .collect();
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
    let sum = |limit: fn(&Deployment) -> Option<u64>| {
        members.iter().filter_map(|member| limit(member)).reduce(u64::saturating_add)
    };
    Group {
        model_group: &group.name,
        providers: members.iter().map(|member| &*member.endpoint.provider.name).collect(),
        mode: facts
            .iter()
            .find_map(|facts| facts.get("mode").filter(|mode| !mode.is_null()).cloned()),
        rpm: sum(|member| member.routing.limits.rpm),
        tpm: sum(|member| member.routing.limits.tpm),
        numbers: numbers.collect(),
        supports,
    }
}
