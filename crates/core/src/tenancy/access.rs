//! What the holder of one key may do, and against what its requests count.
//!
//! Made of the rows of the key and of what it belongs to; asked by the gateway for each request with that key. Always true: it
//! does not change, and is replaced as a whole; what was admitted is settled exactly once, also when it is dropped.

mod admission;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use self::admission::{Admission, Left, More, Spent};
use super::denied::Denied;
use super::end_user::EndUser;
pub use super::identity::Identity;
use super::key_text::KeyHash;
pub use super::level::{Charged, Counter, Level};
use super::of_models::{self, Names, OfModels, entry};
use super::owner::Owner;
use super::rights::{Model, Route};
use super::subject::SubjectKind;
use crate::money::Money;
use crate::time::{UnixMs, WallClock};

/// What a user is to the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserRole {
    /// May do everything.
    ProxyAdmin,
    /// May see everything.
    ProxyAdminViewer,
    /// Manages an organization.
    OrgAdmin,
    /// Uses models, and manages its own keys.
    InternalUser,
    /// Uses models, and sees its own keys.
    InternalUserViewer,
    /// A team's own.
    Team,
    /// A customer's own.
    Customer,
}

impl UserRole {
    /// All roles.
    pub const ALL: [UserRole; 7] = [
        UserRole::ProxyAdmin,
        UserRole::ProxyAdminViewer,
        UserRole::OrgAdmin,
        UserRole::InternalUser,
        UserRole::InternalUserViewer,
        UserRole::Team,
        UserRole::Customer,
    ];

    /// Its name in rows and bodies.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            UserRole::ProxyAdmin => "proxy_admin",
            UserRole::ProxyAdminViewer => "proxy_admin_viewer",
            UserRole::OrgAdmin => "org_admin",
            UserRole::InternalUser => "internal_user",
            UserRole::InternalUserViewer => "internal_user_viewer",
            UserRole::Team => "team",
            UserRole::Customer => "customer",
        }
    }

    /// Whether it sees what is others'.
    #[must_use]
    pub const fn sees_all(self) -> bool {
        matches!(self, UserRole::ProxyAdmin | UserRole::ProxyAdminViewer)
    }

    /// The role of that name; an unknown one is that of an internal user.
    #[must_use]
    pub fn named(name: Option<&str>) -> UserRole {
        let known = UserRole::ALL.into_iter().find(|role| name == Some(role.name()));
        known.unwrap_or(UserRole::InternalUser)
    }
}

/// What calls an endpoint needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needed {
    /// Models.
    Models,
    /// Any key; the endpoint shows what the key may see.
    AnyKey,
    /// An admin, or one that may see everything where it only shows something.
    Admin,
    /// The same for what only shows something.
    AdminView,
}

/// Why no request of a key is admitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Closed {
    /// The key is blocked.
    Key,
    /// Its team is.
    Team(Box<str>),
    /// Its user was deactivated.
    User(Box<str>),
}

/// The models of one level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelRule {
    /// Whose.
    pub kind: SubjectKind,
    /// The models, patterns and access groups; none is every model.
    pub models: Vec<Box<str>>,
}

/// A model's name behind the names of a team and of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Renamed<'a> {
    /// The name.
    pub name: &'a str,
    /// Whether a name of the team's led to it, and none of the key's own.
    pub is_team_alias: bool,
}

/// What the holder of a key may do.
#[derive(Debug)]
pub struct KeyAccess {
    /// The key.
    pub hash: KeyHash,
    /// What its client presents: the same, or the key that it replaced.
    pub presented: KeyHash,
    /// The hashes that it had before.
    pub former: Vec<Box<str>>,
    /// `sk-...` and its last four characters.
    pub masked: Box<str>,
    /// Whose it is.
    pub identity: Arc<Identity>,
    /// What its user is.
    pub role: UserRole,
    /// When it ends.
    pub expires: Option<UnixMs>,
    /// Why nothing is admitted, if nothing is.
    pub closed: Option<Closed>,
    /// The routes that it may call; none is all that its role may.
    pub allowed_routes: Vec<Box<str>>,
    /// The models of each level.
    pub models: Vec<ModelRule>,
    /// The team's names of models, then its own.
    pub aliases: [BTreeMap<Box<str>, Box<str>>; 2],
    /// What its requests count against.
    pub levels: Vec<Arc<Level>>,
    /// The same of single models.
    pub of_models: OfModels,
    /// The models that take the place of one whose budget is spent, the first with room.
    pub budget_fallbacks: BTreeMap<Box<str>, Vec<Box<str>>>,
    /// Tags of all its requests.
    pub tags: Vec<Box<str>>,
    /// Columns with a limit or a rule that this version does not serve.
    pub unserved: Vec<Box<str>>,
}

impl KeyAccess {
    /// Whether it has not ended, and is not blocked.
    ///
    /// # Errors
    /// The refusal.
    pub fn check_alive(&self, now: UnixMs) -> Result<(), Denied> {
        if let Some(ended) = self.expires.filter(|ends| *ends <= now) {
            return Err(Denied::expired(&self.masked, ended, now));
        }
        match &self.closed {
            None => Ok(()),
            Some(Closed::Key) => Err(Denied::key_blocked()),
            Some(Closed::Team(team)) => Err(Denied::team_blocked(team)),
            Some(Closed::User(user)) => Err(Denied::user_inactive(user)),
        }
    }

    /// Whether it may use what that owner made: a key with which it shares a team, or without a team a user, or itself, under the hash of
    /// now or of before.
    #[must_use]
    pub fn may_use(&self, owner: &Owner) -> bool {
        Owner::reader(&self.identity).shares(owner)
            || self.former.iter().any(|hash| Owner::of_key(hash).shares(owner))
    }

    /// Whether it may call that route at all.
    ///
    /// # Errors
    /// The refusal: it has ended, is blocked, or has not the right.
    pub fn check(&self, needed: Needed, route: Route<'_>, now: UnixMs) -> Result<(), Denied> {
        self.check_alive(now)?;
        if !self.allowed_routes.is_empty() && !route.is_in(&self.allowed_routes) {
            return Err(Denied::route(&self.allowed_routes, route.path));
        }
        let role = self.role;
        let may = match (needed, role) {
            (_, UserRole::ProxyAdmin)
            | (Needed::AnyKey, _)
            | (Needed::AdminView, UserRole::ProxyAdminViewer) => true,
            (Needed::Models, UserRole::ProxyAdminViewer) => {
                return Err(Denied::viewer_only(route.path, role.name()));
            }
            (Needed::Models, _) => true,
            (Needed::Admin | Needed::AdminView, _) => false,
        };
        if may { Ok(()) } else { Err(self.admin_only(route.path)) }
    }

    /// Whether its routes name that one: a group of routes, or all, names none.
    #[must_use]
    pub fn names_route(&self, route: Route<'_>) -> bool {
        let paths = self.allowed_routes.iter().filter(|entry| entry.starts_with('/'));
        let mut paths = paths.filter(|entry| !entry.trim_matches(['/', '*']).is_empty());
        paths.any(|entry| route.is_in(std::slice::from_ref(entry)))
    }

    /// The refusal of a route for admins.
    #[must_use]
    pub fn admin_only(&self, route: &str) -> Denied {
        let user = self.identity.user.as_deref().unwrap_or_default();
        Denied::admin_only(route, self.role.name(), user)
    }

    /// The model that a name of the team's or of the key's own stands for; the same if there is none.
    #[must_use]
    pub fn renamed<'a>(&'a self, model: &'a str) -> Renamed<'a> {
        let [team, own] = &self.aliases;
        let of_team = team.get(model);
        let name = of_team.map_or(model, |name| &**name);
        // What a name of the key's own leads to was not given by the team.
        match own.get(name) {
            Some(name) => Renamed { name, is_team_alias: false },
            None => Renamed { name, is_team_alias: of_team.is_some() },
        }
    }

    /// Whether every level allows the model. A name of the team's own is allowed for the team.
    ///
    /// # Errors
    /// The refusal, of the first level that does not.
    pub fn check_model(&self, model: Model<'_>) -> Result<(), Denied> {
        let refuses = |rule: &&ModelRule| {
            let is_given = rule.kind == SubjectKind::Team && model.is_team_alias;
            !is_given && !rule.models.is_empty() && !model.is_in(&rule.models)
        };
        match self.models.iter().find(refuses) {
            Some(rule) => Err(Denied::model(rule.kind, model.name)),
            None => Ok(()),
        }
    }

    /// The refusal of a model that the first level with models does not allow.
    #[must_use]
    pub fn model_refused(&self, model: &str) -> Denied {
        let kind = self.models.first().map_or(SubjectKind::Key, |rule| rule.kind);
        Denied::model(kind, model)
    }

    /// Whether the size of a request matters to a limit or a budget.
    #[must_use]
    pub fn measures(&self, more: &More<'_>) -> bool {
        let counts = |level: &Arc<Level>| level.terms.tpm.is_some() || level.terms.budget.is_some();
        let of_end_user =
            |end_user: &EndUser| counts(&end_user.level) || end_user.of_models.values().any(counts);
        more.end_user.is_some_and(|one| of_end_user(one))
            || more.session.is_some_and(counts)
            || more.tags.iter().any(counts)
            || more.default.is_some_and(counts)
            || self.levels.iter().any(counts)
            || self.of_models.all().any(counts)
    }

    /// The model in whose place a request for `model` is served because the key's budget for it is spent: the first of the key's
    /// choice whose own budget is not. `None` if there is room, or no such model. `group` names the group that a name leads to.
    #[must_use]
    pub fn cheaper<'a>(
        &'a self,
        model: &str,
        group: impl Fn(&str) -> Box<str>,
        at: WallClock,
    ) -> Option<&'a str> {
        if self.budget_fallbacks.is_empty() {
            return None;
        }
        let is_spent = |model: &str| {
            let level = entry(&self.of_models.budgets[0], of_models::names(&group(model), model));
            level.is_some_and(|level| level.account.spent(&level.terms, at).is_err())
        };
        let own = group(model);
        let named = of_models::names(&own, model);
        let others = named.into_iter().find_map(|name| self.budget_fallbacks.get(name))?;
        let mut others = others.iter().map(|name| &**name).filter(|_| is_spent(model));
        others.find(|name| !is_spent(name))
    }

    /// Whether it may use every model.
    #[must_use]
    pub fn allows_all_models(&self) -> bool {
        self.models.iter().all(|rule| rule.models.is_empty())
    }

    /// The periods with counters of their own that something is charged to which was not admitted, such as a batch when it ends.
    #[must_use]
    pub fn charged_later(&self, names: Names<'_>, cost: Money, at: WallClock) -> Vec<Charged> {
        let of_models = self.of_models.of(names);
        let levels = self.levels.iter().chain(&of_models).filter(|level| level.counter.is_some());
        let charged = |level: &Arc<Level>| {
            // A period that has ended begins anew.
            let _balance = level.account.balance(level.terms.budget.as_ref(), at);
            Charged { level: level.clone(), ends: level.account.ends(), cost }
        };
        levels.map(charged).collect()
    }
}

#[cfg(test)]
mod tests;
