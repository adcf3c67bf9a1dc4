//! Deployments put into their groups, with their share of the traffic.
//!
//! Called by [`super::load`]. Always true: the share is `weight` if a member of the group has one
//! (1 for those without), else `rpm`, else `tpm`, else one per entry; with a strategy for which
//! rates are limits, rates are not shares; the order of entries changes nothing.

use std::collections::HashMap;
use std::sync::Arc;

use crate::deployment::{Deployment, DeploymentIndex};
use crate::group::{GroupIndex, ModelGroup, Pattern};
use crate::health::{CredentialId, DeploymentState, HealthSubject};
use crate::route::{GroupAffinity, window};
use crate::settings::RouterSettings;
use crate::snapshot::{Inspects, Snapshot};

use super::draft::Draft;
use super::problem::{Problems, Wrong, shown};
use super::{labels, redundancy, teams};

/// Puts `drafts` into `snapshot`; those with an id of `previous` keep its state, or its counters.
pub(super) fn fill(
    snapshot: &mut Snapshot,
    mut drafts: Vec<Draft>,
    previous: Option<&Snapshot>,
    problems: &mut Problems,
) {
    teams::separate(&mut drafts, problems);
    let router = snapshot.router.clone();
    let mut members: Vec<Vec<usize>> = Vec::new();
    for (i, draft) in drafts.iter().enumerate() {
        let next = GroupIndex(number(members.len()));
        let group = *snapshot.by_name.entry(draft.name.clone()).or_insert(next);
        if group == next {
            members.push(Vec::new());
            snapshot.groups.push(empty_group(&draft.name, &router, previous));
        }
        if let Some(members) = members.get_mut(group.0 as usize) {
            members.push(i);
        }
        if let Some(group) = snapshot.groups.get_mut(group.0 as usize) {
            group.has_tiers |= draft.deployment.routing.order.is_some();
        }
    }
    let mut shares = vec![1.0; drafts.len()];
    for (i, group) in members.iter().enumerate() {
        let group: Vec<(usize, &Draft)> =
            group.iter().filter_map(|&i| drafts.get(i).map(|draft| (i, draft))).collect();
        // The first member that sets it decides for the group; the router's setting is the default.
        let filters_tags = group.iter().find_map(|(_, draft)| draft.filters_tags);
        if let (Some(filters_tags), Some(group)) = (filters_tags, snapshot.groups.get_mut(i)) {
            group.filters_tags = filters_tags;
        }
        share(&group, router.strategy.limits_rates(), &mut shares, problems);
    }
    redundancy::check(&members, &drafts, problems);
    let credentials = Credentials::of(&drafts, previous);
    let rate_limits = RateLimits::of(&drafts, previous);
    let names = labels::of(&drafts);
    for ((draft, share), name) in drafts.into_iter().zip(shares).zip(names) {
        let index = DeploymentIndex(number(snapshot.deployments.len()));
        let Some(&group) = snapshot.by_name.get(&draft.name) else { continue };
        if let Some(group) = snapshot.groups.get_mut(group.0 as usize) {
            group.members.push(index);
        }
        let mut deployment = Deployment { index, group, ..draft.deployment };
        deployment.routing.weight = share;
        deployment.display.name = name;
        let limits = &mut deployment.routing.limits;
        limits.max_parallel = limits.max_parallel.or(router.default_max_parallel);
        deployment.routing.tolerance = deployment.routing.tolerance.over(&router.tolerance);
        deployment.credential.shared = credentials.shared(&deployment);
        deployment.credential.limit = rate_limits.shared(&deployment);
        if let Some(before) = previous.and_then(|snapshot| known(snapshot, &deployment.id)) {
            deployment.state = match is_same_subject(before, &deployment) {
                true => before.state.clone(),
                false => Arc::new(before.state.successor()),
            };
        }
        snapshot.by_id.insert(deployment.id.clone(), index);
        snapshot.deployments.push(Arc::new(deployment));
    }
    snapshot.wildcards = wildcards(&snapshot.groups);
    group_by_model(snapshot, previous);
    teams::fill(snapshot);
    snapshot.inspects = inspects(snapshot);
}

/// Makes a group of all deployments with the same `litellm_params.model`, unless a `model_name`
/// hides it.
fn group_by_model(snapshot: &mut Snapshot, previous: Option<&Snapshot>) {
    let router = snapshot.router.clone();
    for deployment in snapshot.deployments.clone() {
        let name = &deployment.endpoint.model_param;
        let is_of_team = deployment.routing.team.is_some();
        if is_of_team || name.contains('*') || snapshot.by_name.contains_key(name) {
            continue;
        }
        let next = GroupIndex(number(snapshot.groups.len()));
        let group = *snapshot.by_model.entry(name.clone()).or_insert(next);
        if group == next {
            let unlisted = ModelGroup {
                is_listed: false,
                filters_tags: false,
                ..empty_group(name, &router, previous)
            };
            snapshot.groups.push(unlisted);
        }
        let filters_tags = snapshot.group(deployment.group).filters_tags;
        if let Some(group) = snapshot.groups.get_mut(group.0 as usize) {
            group.has_tiers |= deployment.routing.order.is_some();
            group.filters_tags |= filters_tags;
            group.members.push(deployment.index);
        }
    }
}

fn empty_group(name: &str, router: &RouterSettings, previous: Option<&Snapshot>) -> ModelGroup {
    let before = previous.and_then(|snapshot| {
        let index = snapshot.by_name.get(name).or_else(|| snapshot.by_model.get(name))?;
        snapshot.groups.get(index.0 as usize)
    });
    ModelGroup {
        name: name.into(),
        is_listed: true,
        members: Vec::new(),
        pattern: Pattern::parse(name),
        team: None,
        has_tiers: false,
        filters_tags: router.tags.enabled,
        retry_policy: router.retry_policy,
        budget: before.map_or_else(Arc::default, |group| group.budget.clone()),
    }
}

/// Which parts of a body must be read, given the deployments.
fn inspects(snapshot: &Snapshot) -> Inspects {
    let any = |test: fn(&Deployment) -> bool| snapshot.deployments.iter().any(|one| test(one));
    let lacks = |fact: Option<bool>| fact == Some(false);
    Inspects {
        length: (snapshot.router.pre_call_checks && any(|one| window(one).is_some()))
            || (snapshot.router.enforce_rates && any(|one| one.routing.limits.tpm.is_some())),
        needs: snapshot.deployments.iter().any(|one| {
            lacks(one.facts.supports_function_calling)
                || lacks(one.facts.supports_vision)
                || lacks(one.facts.supports_response_schema)
        }),
        tags: snapshot.groups.iter().any(|group| group.filters_tags)
            || !snapshot.budgets.by_tag.is_empty(),
        hours: any(|one| !one.routing.windows.is_empty()),
        home: snapshot
            .groups
            .iter()
            .any(|group| GroupAffinity::may_be_on(snapshot, &group.members)),
    }
}

/// The states of credentials that several deployments share, and how many deployments share each.
struct Credentials(HashMap<CredentialId, (u32, Arc<DeploymentState>)>);

impl Credentials {
    fn of(drafts: &[Draft], previous: Option<&Snapshot>) -> Credentials {
        let mut found: HashMap<CredentialId, (u32, Arc<DeploymentState>)> = HashMap::new();
        for one in previous.iter().flat_map(|snapshot| &snapshot.deployments) {
            if let (Some(id), Some(state)) = (one.credential.id, &one.credential.shared) {
                found.insert(id, (0, state.clone()));
            }
        }
        for id in drafts.iter().filter_map(|draft| draft.deployment.credential.id) {
            let new = || Arc::new(DeploymentState::of(HealthSubject::Credential(id)));
            found.entry(id).or_insert_with(|| (0, new())).0 += 1;
        }
        Credentials(found)
    }

    fn shared(&self, deployment: &Deployment) -> Option<Arc<DeploymentState>> {
        let (count, state) = self.0.get(&deployment.credential.id?)?;
        (*count > 1).then(|| state.clone())
    }
}

/// What makes deployments share a rate limit: the credential and the model.
type LimitKey = (CredentialId, Box<str>);

/// The states of rate limits that several deployments share, and how many share each.
struct RateLimits(HashMap<LimitKey, (u32, Arc<DeploymentState>)>);

impl RateLimits {
    fn of(drafts: &[Draft], previous: Option<&Snapshot>) -> RateLimits {
        let mut found: HashMap<LimitKey, (u32, Arc<DeploymentState>)> = HashMap::new();
        for one in previous.iter().flat_map(|snapshot| &snapshot.deployments) {
            if let (Some(key), Some(state)) = (limit_key(one), &one.credential.limit) {
                found.insert(key, (0, state.clone()));
            }
        }
        for key in drafts.iter().filter_map(|draft| limit_key(&draft.deployment)) {
            let new = || Arc::new(DeploymentState::of(HealthSubject::Credential(key.0)));
            found.entry(key.clone()).or_insert_with(|| (0, new())).0 += 1;
        }
        RateLimits(found)
    }

    fn shared(&self, deployment: &Deployment) -> Option<Arc<DeploymentState>> {
        let (count, state) = self.0.get(&limit_key(deployment)?)?;
        (*count > 1).then(|| state.clone())
    }
}

/// `None` if what it shares is not known: it stands for many models, or headers of its own may name
/// another account.
fn limit_key(deployment: &Deployment) -> Option<LimitKey> {
    let credential = &deployment.credential;
    let model = &deployment.endpoint.upstream_model;
    let is_plain = credential.organization.is_none() && credential.extra_headers.is_empty();
    let is_one_model = !model.contains('*');
    (is_plain && is_one_model).then_some((credential.id?, model.clone()))
}

fn known<'s>(snapshot: &'s Snapshot, id: &str) -> Option<&'s Arc<Deployment>> {
    let index = snapshot.by_id.get(id)?;
    snapshot.deployments.get(index.0 as usize)
}

/// Whether what is known about `before` applies to `now` too: provider, address, key and model are
/// the same.
fn is_same_subject(before: &Deployment, now: &Deployment) -> bool {
    before.endpoint.provider.name == now.endpoint.provider.name
        && before.endpoint.api_base == now.endpoint.api_base
        && before.credential.api_key == now.credential.api_key
        && before.endpoint.upstream_model == now.endpoint.upstream_model
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn wildcards(groups: &[ModelGroup]) -> Vec<GroupIndex> {
    let mut found: Vec<((usize, usize), GroupIndex)> = groups
        .iter()
        .enumerate()
        .filter_map(|(i, group)| {
            Some((group.pattern.as_ref()?.specificity(), GroupIndex(number(i))))
        })
        .collect();
    // Equally specific patterns stay in the order of the config.
    found.sort_by(|(a, _), (b, _)| b.cmp(a));
    found.into_iter().map(|(_, group)| group).collect()
}

type Metric = fn(&Draft) -> Option<f64>;

/// What is used as weight if no `weight` is set, in the order of precedence.
const METRICS: [(&str, Metric); 2] = [
    ("rpm", |draft| draft.deployment.routing.limits.rpm.map(rate)),
    ("tpm", |draft| draft.deployment.routing.limits.tpm.map(rate)),
];

#[allow(clippy::cast_precision_loss, reason = "a rate is far below 2^52")]
fn rate(limit: u64) -> f64 {
    limit as f64
}

fn share(
    group: &[(usize, &Draft)],
    rates_are_limits: bool,
    shares: &mut [f64],
    problems: &mut Problems,
) {
    let used = METRICS
        .iter()
        .filter(|_| !rates_are_limits)
        .find(|(_, metric)| group.iter().any(|(_, draft)| metric(draft).is_some_and(|m| m > 0.0)));
    if let Some((_, draft)) = group.first()
        && group.iter().all(|(_, draft)| draft.weight == Some(0.0))
        && group.len() > 1
    {
        let wrong = Wrong::new("every `weight` of this group is 0: weights have no effect", "");
        draft.warn(wrong, problems);
    }
    let all_zero = group.iter().all(|(_, draft)| draft.weight == Some(0.0));
    let by_weight = !all_zero && group.iter().any(|(_, draft)| draft.weight.is_some());
    let Some((name, metric)) = used.filter(|_| !by_weight) else {
        for (i, draft) in group {
            let own = draft.weight.filter(|_| !all_zero);
            set(shares, *i, own.unwrap_or(f64::from(draft.copies)));
        }
        return;
    };
    for (i, draft) in group {
        if metric(draft).is_none() {
            let problem = format!("`{}` is a standby: it has no `{name}`", shown(&draft.name));
            let hint = format!("another deployment of its group has a `{name}`: set one here too");
            draft.warn(Wrong::new(problem, hint), problems);
        }
        set(shares, *i, metric(draft).unwrap_or(0.0));
    }
}

fn set(shares: &mut [f64], index: usize, value: f64) {
    if let Some(share) = shares.get_mut(index) {
        *share = value;
    }
}
