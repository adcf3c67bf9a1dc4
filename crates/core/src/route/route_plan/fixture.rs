//! A small snapshot for the tests of routing.

use std::sync::Arc;

use crate::deployment::{
    Credential, Deployment, DeploymentIndex, Display, Routing, UpstreamEndpoint,
};
use crate::group::{GroupIndex, ModelGroup, Pattern};
use crate::health::probe::ProbeRules;
use crate::health::{DeploymentState, HealthSubject};
use crate::policy::ByKind;
use crate::prices::ModelFacts;
use crate::provider;
use crate::settings::Alias;
use crate::snapshot::Snapshot;

/// Group `g` with members `g-a` (weight 3) and `g-b` (weight 1), group `fallback` with one member,
/// a pattern `openai/*`, group `lone`, and aliases.
pub(crate) fn snapshot() -> Snapshot {
    let mut snapshot = Snapshot::default();
    add(&mut snapshot, "g", &[("g-a", 3.0, "up-a"), ("g-b", 1.0, "up-b")]);
    add(&mut snapshot, "fallback", &[("f-a", 1.0, "up-f")]);
    add(&mut snapshot, "openai/*", &[("w-a", 1.0, "*")]);
    add(&mut snapshot, "lone", &[("l-a", 1.0, "up-l")]);
    let alias = |target: &str| Alias { target: target.into(), hidden: false };
    let aliases = &mut snapshot.router.aliases;
    aliases.insert("alias".into(), alias("g"));
    aliases.insert("alias-of-alias".into(), alias("alias"));
    aliases.insert("loop-a".into(), Alias { hidden: true, ..alias("loop-b") });
    aliases.insert("loop-b".into(), Alias { hidden: true, ..alias("loop-a") });
    snapshot.router.fallbacks.insert("g".into(), vec!["fallback".into()]);
    snapshot
}

/// One group `g` whose members have these weights.
pub(crate) fn snapshot_of(weights: &[f64]) -> Snapshot {
    let mut snapshot = Snapshot::default();
    let names: Vec<String> = (0..weights.len()).map(|i| format!("g-{i}")).collect();
    let members: Vec<(&str, f64, &str)> =
        names.iter().zip(weights).map(|(name, weight)| (name.as_str(), *weight, "up")).collect();
    add(&mut snapshot, "g", &members);
    snapshot
}

fn fixture(index: DeploymentIndex, id: Arc<str>, group: GroupIndex, upstream: &str) -> Deployment {
    Deployment {
        index,
        group,
        endpoint: UpstreamEndpoint {
            provider: provider::lookup("openai").unwrap(),
            upstream_model: upstream.into(),
            model_param: format!("openai/{upstream}").into(),
            api_base: "http://127.0.0.1:1/v1".into(),
            azure: None,
            aws: None,
            vertex: None,
            default_params: Vec::new(),
            dropped_params: Vec::new(),
            rules: crate::deployment::BodyRules::default(),
            takes: Some(crate::takes::Takes::default()),
            is_for_responses: false,
            mock: None,
        },
        credential: Credential::default(),
        routing: Routing::default(),
        probing: ProbeRules::default(),
        facts: ModelFacts::default(),
        display: Display::default(),
        misconfigured: None,
        state: Arc::new(DeploymentState::of(HealthSubject::Deployment(id.clone()))),
        id,
    }
}

pub(crate) fn add(snapshot: &mut Snapshot, name: &str, members: &[(&str, f64, &str)]) {
    let group = GroupIndex(u32::try_from(snapshot.groups.len()).unwrap());
    let mut indexes = Vec::new();
    for (id, weight, upstream) in members {
        let index = DeploymentIndex(u32::try_from(snapshot.deployments.len()).unwrap());
        let id: Arc<str> = Arc::from(*id);
        snapshot.by_id.insert(id.clone(), index);
        indexes.push(index);
        snapshot.deployments.push(Arc::new(Deployment {
            routing: Routing { weight: *weight, ..Routing::default() },
            ..fixture(index, id, group, upstream)
        }));
    }
    let pattern = Pattern::parse(name);
    if pattern.is_some() {
        snapshot.wildcards.push(group);
    }
    snapshot.by_name.insert(name.into(), group);
    snapshot.groups.push(ModelGroup {
        team: None,
        name: name.into(),
        is_listed: true,
        members: indexes,
        pattern,
        has_tiers: false,
        filters_tags: false,
        retry_policy: ByKind::default(),
        budget: Arc::default(),
    });
}
