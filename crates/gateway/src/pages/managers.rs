//! Who manages keys and members besides admins: users with the role `admin` in the roster of a team, for that team alone; and other
//! members, as far as the team's `team_member_permissions` name the route, for keys of the team that are no other user's.
//!
//! Asked by the pages whose row has [`Role::TeamAdmin`](crate::http::auth::Role). Always true: such a user reaches no other team, no key
//! without a team, and no key or user that may do more than it; what is not there is refused in the same words as what is another team's.

use hale_core::tenancy::access::{KeyAccess, UserRole};
use hale_core::tenancy::making::Maker;
use hale_core::tenancy::{KeyHash, Record, Row};
use hale_store::{Find, Store, TenantTable};
use http::StatusCode;
use serde_json::Value;

use super::PageRequest;
use super::admin::{bad, failed};
use crate::http::auth::Principal;
use crate::http::refusal::{self, Refusal};

/// Fields of keys that only admins set: they widen what a key may do, or move it out of its team's sight.
const OF_ADMINS: [&str; 11] = [
    "allowed_routes",
    "key_type",
    "access_group_ids",
    "organization_id",
    "budget_id",
    "spend",
    "blocked",
    "aliases",
    // A key's own limits of a model stand in the place of its team's.
    "model_rpm_limit",
    "model_tpm_limit",
    "model_max_budget",
];
/// Members of a key's metadata that only admins set, for the same reasons.
const METADATA_OF_ADMINS: [&str; 4] =
    ["temp_budget_increase", "temp_budget_expiry", "model_rpm_limit", "model_tpm_limit"];
/// Fields of keys that are there already that only admins set, as in the reference.
const OF_ADMINS_LATER: [&str; 5] =
    ["max_budget", "budget_duration", "budget_limits", "soft_budget", "budget_fallbacks"];

/// What a client may manage.
pub(super) enum Manager<'a> {
    /// Everything.
    Admin,
    /// The teams whose roster says that this user is their admin.
    OfTeams(&'a KeyAccess, &'a str),
}

/// What a user is to a team that it may manage something of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum May {
    /// All that admins of a team may.
    AsAdmin,
    /// What its members may.
    AsMember,
}

/// The routes that `team_member_permissions` can name: those about keys.
pub(crate) const OF_MEMBERS: [&str; 9] = [
    "/key/generate",
    "/key/update",
    "/key/delete",
    "/key/regenerate",
    "/key/block",
    "/key/unblock",
    "/key/list",
    "/key/info",
    "/key/health",
];

/// The name of a route in those lists.
pub(crate) fn permission(route: &str) -> &str {
    match route.starts_with("/key/") && route.ends_with("/regenerate") {
        true => "/key/regenerate",
        false => route,
    }
}

/// What the user may do with the team by that route.
fn may(team: &Record, user: &str, route: &str) -> Option<May> {
    match role_in(team, user)? {
        "admin" => Some(May::AsAdmin),
        _ => {
            let named = Row(team).list("team_member_permissions");
            let route = permission(route);
            let is_named = named.iter().any(|one| permission(one) == route);
            (is_named && OF_MEMBERS.contains(&route)).then_some(May::AsMember)
        }
    }
}

/// Whether a request makes a key or changes one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Makes {
    /// A key.
    Key,
    /// A change.
    Change,
}

/// Whether the client of a request may manage something.
///
/// # Errors
/// It may manage nothing.
pub(crate) fn check_manager(request: &PageRequest<'_>) -> Result<(), Refusal> {
    manager(request).map(|_| ())
}

/// What the client of a request may manage.
///
/// # Errors
/// Nothing.
pub(super) fn manager<'a>(request: &PageRequest<'a>) -> Result<Manager<'a>, Refusal> {
    let access = match &request.arrival.principal {
        Principal::Operator => return Ok(Manager::Admin),
        Principal::Anyone => return Err(refusal::no_admin()),
        Principal::Key(access) if access.role == UserRole::ProxyAdmin => return Ok(Manager::Admin),
        Principal::Key(access) => access,
    };
    let is_viewer = matches!(
        access.role,
        UserRole::ProxyAdminViewer | UserRole::InternalUserViewer | UserRole::Customer
    );
    match access.identity.user.as_deref().filter(|_| !is_viewer) {
        Some(user) => Ok(Manager::OfTeams(access, user)),
        None => Err(refused(request, access)),
    }
}

fn refused(request: &PageRequest<'_>, access: &KeyAccess) -> Refusal {
    refusal::denied(access.admin_only(request.head.uri.path()))
}

/// Whether the roster of a team has the user, and with which role.
pub(super) fn role_in<'t>(team: &'t Record, user: &str) -> Option<&'static str> {
    let row: Row<'t> = Row(team);
    let roster = row.items("members_with_roles");
    let is_it = |one: &&Value| one.get("user_id").and_then(Value::as_str) == Some(user);
    let member = roster.iter().find(is_it)?;
    let is_admin = member.get("role").and_then(Value::as_str) == Some("admin");
    Some(if is_admin { "admin" } else { "user" })
}

async fn row(
    store: &Store,
    table: TenantTable,
    (column, id): (&'static str, &str),
) -> Result<Option<Record>, Refusal> {
    let find = Find::with(table, column, vec![id.into()]);
    Ok(store.find(&find).await.map_err(|error| failed(&error))?.pop())
}

impl Manager<'_> {
    /// As who it makes keys of that team.
    ///
    /// # Errors
    /// The store does not answer.
    pub(super) async fn maker(
        &self,
        store: &Store,
        team: Option<&str>,
    ) -> Result<Maker<'_>, Refusal> {
        let Manager::OfTeams(access, user) = self else {
            return Ok(Maker { role: UserRole::ProxyAdmin.name(), in_team: None });
        };
        let found = match team {
            Some(team) => row(store, TenantTable::Teams, ("team_id", team)).await?,
            None => None,
        };
        let role = found.as_ref().and_then(|team| role_in(team, user)).unwrap_or("user");
        Ok(Maker { role: access.role.name(), in_team: Some(role) })
    }

    /// Whether it may manage that team by the route of the request: all of it, and not only what is its user's own.
    ///
    /// # Errors
    /// It may not.
    pub(super) async fn check_team(
        &self,
        request: &PageRequest<'_>,
        store: &Store,
        team: Option<&str>,
    ) -> Result<(), Refusal> {
        let Manager::OfTeams(access, _) = self else { return Ok(()) };
        match self.team(request, store, team).await? {
            Some((_, May::AsMember)) => Err(refused(request, access)),
            Some((_, May::AsAdmin)) | None => Ok(()),
        }
    }

    /// The row of a team of which it may manage something by the route of the request, and how; `None` for an admin of the gateway.
    ///
    /// # Errors
    /// It may not.
    async fn team(
        &self,
        request: &PageRequest<'_>,
        store: &Store,
        team: Option<&str>,
    ) -> Result<Option<(Record, May)>, Refusal> {
        let Manager::OfTeams(access, user) = self else { return Ok(None) };
        // A key of a team reaches that team, whatever else its user manages: others may have made it for that user.
        let is_reached =
            |team: &&str| access.identity.team.as_deref().is_none_or(|own| own == *team);
        let found = match team.filter(is_reached) {
            Some(team) => row(store, TenantTable::Teams, ("team_id", team)).await?,
            None => None,
        };
        let route = request.head.uri.path();
        let found = found.and_then(|team| Some((may(&team, user, route)?, team)));
        let found = found.map(|(may, team)| (team, may));
        found.map(Some).ok_or_else(|| refused(request, access))
    }

    /// Whether it may manage the key of that row.
    ///
    /// # Errors
    /// It may not, or there is no such key.
    pub(super) async fn check_key(
        &self,
        request: &PageRequest<'_>,
        store: &Store,
        found: Result<Record, Refusal>,
    ) -> Result<Record, Refusal> {
        let Manager::OfTeams(access, own) = self else { return found };
        let Ok(key) = found else { return Err(refused(request, access)) };
        let team = self.team(request, store, Row(&key).text("team_id")).await?;
        let is_member = team.is_some_and(|(_, may)| may == May::AsMember);
        match Row(&key).text("user_id") {
            // What another member has is its own.
            Some(user) if is_member && user != *own => Err(refused(request, access)),
            Some(user) if is_above(store, user).await? => Err(refused(request, access)),
            Some(_) | None => Ok(key),
        }
    }

    /// Whether it may manage all the keys that it has named by `names`, of which those rows are there. One that is not there is refused as
    /// one that it may not manage, whatever stands beside it.
    ///
    /// # Errors
    /// It may not.
    pub(super) async fn check_keys(
        &self,
        request: &PageRequest<'_>,
        store: &Store,
        (names, found): (&[Box<str>], &[Record]),
    ) -> Result<(), Refusal> {
        let Manager::OfTeams(access, _) = self else { return Ok(()) };
        let is_there = |name: &str| {
            let hash = KeyHash::named(name).to_string();
            found.iter().any(|row| {
                let row = Row(row);
                row.text("token") == Some(&hash) || row.text("key_alias") == Some(name)
            })
        };
        if names.is_empty() || !names.iter().all(|name| is_there(name)) {
            return Err(refused(request, access));
        }
        for row in found {
            self.check_key(request, store, Ok(row.clone())).await?;
        }
        Ok(())
    }

    /// Whether it may set what a body sets of a key of that team. The user of a key that names none, if it has to have one: what a member makes
    /// counts for that member.
    ///
    /// # Errors
    /// The field that only admins set, or the team or the user that is not its own.
    pub(super) async fn check_body(
        &self,
        request: &PageRequest<'_>,
        store: &Store,
        (body, team, makes): (&Record, Option<&str>, Makes),
    ) -> Result<Option<Box<str>>, Refusal> {
        let Manager::OfTeams(_, own) = self else { return Ok(None) };
        let later = if makes == Makes::Change { &OF_ADMINS_LATER[..] } else { &[] };
        let mut fields = OF_ADMINS.iter().chain(later);
        if let Some(field) = fields.find(|field| body.contains_key(**field)) {
            let message = format!("only proxy admins set `{field}` of a key; leave it out");
            let refusal = refusal::of_admin(StatusCode::FORBIDDEN, "auth_error", message);
            return Err(refusal.param(field));
        }
        let metadata = Row(body).object("metadata");
        if let Some(member) = METADATA_OF_ADMINS.iter().find(|one| metadata.contains_key(**one)) {
            let message =
                format!("only proxy admins set `{member}` in a key's metadata; leave it out");
            let refusal = refusal::of_admin(StatusCode::FORBIDDEN, "auth_error", message);
            return Err(refusal.param("metadata"));
        }
        // A key that leaves the team goes to one that the same user manages.
        let named = body.contains_key("team_id").then(|| Row(body).text("team_id"));
        let found = self.team(request, store, named.unwrap_or(team)).await?;
        let Some((roster, may)) = found else { return Ok(None) };
        let user = Row(body).text("user_id");
        if may == May::AsMember && body.contains_key("user_id") && user != Some(*own) {
            let message = format!(
                "User can only create keys for themselves. Got user_id={}, Your ID={own}",
                user.unwrap_or("None")
            );
            let refusal = refusal::of_admin(StatusCode::FORBIDDEN, "auth_error", message);
            return Err(refusal.param("user_id"));
        }
        let Some(user) = user else {
            let has_to = may == May::AsMember && makes == Makes::Key;
            return Ok(has_to.then(|| (*own).into()));
        };
        if role_in(&roster, user).is_none() || is_above(store, user).await? {
            let message = format!(
                "`user_id` must be a member of the team: {user} is none, or an admin of the gateway"
            );
            return Err(bad(message).param("user_id"));
        }
        Ok(None)
    }
}

/// Whether keys of that user may do more than one who manages a team.
async fn is_above(store: &Store, user: &str) -> Result<bool, Refusal> {
    let found = row(store, TenantTable::Users, ("user_id", user)).await?;
    let role = UserRole::named(found.as_ref().and_then(|row| Row(row).text("user_role")));
    Ok(role.sees_all() || role == UserRole::OrgAdmin)
}
