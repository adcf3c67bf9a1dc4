//! Which models a request may use, by its key.
//!
//! Made by the gateway from the key's rights, asked by [`super::RoutePlan`] for every group that it would enter. Always true: the
//! model that a request names, those of its fallbacks and those of a list are judged by the same code.

use std::sync::Arc;

use super::resolve::{Resolved, Target, resolve};
use crate::deployment::Deployment;
use crate::prices;
use crate::snapshot::Snapshot;
use crate::tenancy::Denied;
use crate::tenancy::access::{KeyAccess, Renamed};
use crate::tenancy::end_user::EndUser;
use crate::tenancy::of_models::{self, entry};
use crate::tenancy::rights::Model;
use crate::time::UnixMs;

/// The models that a request may use: all of them, or those of its key whose budgets are not spent.
#[derive(Clone, Debug, Default)]
pub struct MayUse(Option<OfKey>);

#[derive(Clone, Debug)]
struct OfKey {
    access: Arc<KeyAccess>,
    end_user: Option<Arc<EndUser>>,
    /// When the request came; `None` if budgets are looked at elsewhere.
    at: Option<UnixMs>,
}

impl PartialEq for MayUse {
    fn eq(&self, other: &MayUse) -> bool {
        match (&self.0, &other.0) {
            (None, None) => true,
            (Some(one), Some(other)) => Arc::ptr_eq(&one.access, &other.access),
            (Some(_), None) | (None, Some(_)) => false,
        }
    }
}

impl Eq for MayUse {}

impl MayUse {
    /// What the holder of that key may use; budgets are not looked at.
    #[must_use]
    pub fn of(access: &Arc<KeyAccess>) -> MayUse {
        MayUse(Some(OfKey { access: access.clone(), end_user: None, at: None }))
    }

    /// The same without models whose budget is spent, for a client's own customer, in a request that came at that moment.
    #[must_use]
    pub fn with_budgets(
        access: &Arc<KeyAccess>,
        end_user: Option<&Arc<EndUser>>,
        at: impl FnOnce() -> UnixMs,
    ) -> MayUse {
        let end_user = end_user.filter(|one| !one.of_models.is_empty()).cloned();
        if !access.of_models.has_budgets() && end_user.is_none() {
            return MayUse::of(access);
        }
        MayUse(Some(OfKey { access: access.clone(), end_user, at: Some(at()) }))
    }

    /// The model that the holder of that key means by a name, if it may use it, or the one behind an alias of the config: the name
    /// itself, or that of the group which the key's team calls so.
    ///
    /// # Errors
    /// The refusal.
    pub fn check<'a>(
        access: &KeyAccess,
        snapshot: &'a Snapshot,
        name: Renamed<'a>,
    ) -> Result<&'a str, Denied> {
        let own = snapshot.name_for(access.identity.team.as_deref(), name.name);
        let meant = own.unwrap_or(name.name);
        MayUse::check_meant(access, snapshot, (name, meant)).map(|()| meant)
    }

    fn check_meant(
        access: &KeyAccess,
        snapshot: &Snapshot,
        (name, meant): (Renamed<'_>, &str),
    ) -> Result<(), Denied> {
        if access.allows_all_models() && snapshot.of_teams.is_empty() {
            return Ok(());
        }
        let target = match resolve(snapshot, meant) {
            Resolved::Target(target) => Some(target),
            Resolved::Unknown(_) => None,
        };
        let by_name = judge(access, snapshot, (name, target.as_ref()));
        match &target {
            Some(found) if snapshot.is_alias(meant) => {
                let behind = Renamed { name: found.name(snapshot), ..name };
                by_name.or_else(|denied| {
                    judge(access, snapshot, (behind, Some(found))).map_err(|_| denied)
                })
            }
            Some(_) | None => by_name,
        }
    }

    /// Whether it may use the model that `provider` knows by that name, which is sent to it as it is: a name that stands for another
    /// model here says nothing of it, so that it counts only where the provider's own name is the same.
    ///
    /// # Errors
    /// The refusal.
    pub fn check_sent(
        access: &KeyAccess,
        snapshot: &Snapshot,
        (provider, name): (&str, &str),
    ) -> Result<(), Denied> {
        if access.allows_all_models() && snapshot.of_teams.is_empty() {
            return Ok(());
        }
        let has_name = |deployment: &&Arc<Deployment>| {
            let endpoint = &deployment.endpoint;
            *endpoint.provider.name == *provider && *endpoint.upstream_model == *name
        };
        let mut known = snapshot.deployments.iter().filter(has_name);
        let is_granted = known.any(|deployment| {
            let group = deployment.group;
            let target = Target { group, pinned: None, wildcard_name: None };
            let name = Renamed { name: &snapshot.group(group).name, is_team_alias: false };
            judge(access, snapshot, (name, Some(&target))).is_ok()
        });
        let is_ours =
            snapshot.by_name.contains_key(name) || snapshot.router.aliases.contains_key(name);
        match is_granted {
            true => Ok(()),
            false if is_ours => Err(access.model_refused(name)),
            false => judge(access, snapshot, (Renamed { name, is_team_alias: false }, None)),
        }
    }

    /// Whether a group may be entered, to which `written` leads: its budgets are not spent. Limits and what is reserved are looked at when it
    /// is entered.
    #[must_use]
    pub fn allows(&self, snapshot: &Snapshot, target: &Target, written: &str) -> bool {
        let Some(OfKey { access, end_user, at }) = &self.0 else { return true };
        let group = target.name(snapshot);
        if !access.allows_all_models() || !snapshot.of_teams.is_empty() {
            let name = Renamed { name: group, is_team_alias: false };
            if judge(access, snapshot, (name, Some(target))).is_err() {
                return false;
            }
        }
        let Some(at) = *at else { return true };
        let names = of_models::names(group, written);
        let of_end_user = end_user.as_ref().and_then(|one| entry(&one.of_models, names));
        !access.of_models.is_spent(names, at)
            && !of_end_user.is_some_and(|level| level.account.is_spent(&level.terms, at))
    }
}

fn judge(
    access: &KeyAccess,
    snapshot: &Snapshot,
    (name, target): (Renamed<'_>, Option<&Target>),
) -> Result<(), Denied> {
    let of_team = target.and_then(|target| {
        let group = snapshot.group(target.group);
        Some((group.team.as_deref()?, &group.members))
    });
    let mut name = name;
    if let Some((team, members)) = of_team {
        if access.identity.team.as_deref() != Some(team) {
            return Err(access.model_refused(name.name));
        }
        // What the team calls it is what its keys are allowed.
        let public = members.first().and_then(|one| {
            snapshot.deployment(*one).routing.team.as_ref()?.public_name.as_deref()
        });
        name.name = public.unwrap_or(name.name);
    }
    let members = target.map_or(&[][..], |target| &snapshot.group(target.group).members);
    let labels = members.iter().flat_map(|one| &snapshot.deployment(*one).routing.access_groups);
    let labels: Vec<&str> = labels.map(|label| &**label).collect();
    access.check_model(Model {
        name: name.name,
        access_groups: &labels,
        provider: prices::owner(name.name),
        is_team_alias: name.is_team_alias,
    })
}
