//! From the rows of a key and of what it belongs to, to what its holder may do.
//!
//! Called by the gateway when a key is first used, and when its rows have changed. Always true: columns are merged as the reference
//! merges them; a rule that is not served is named, never dropped without a word.

use crate::money::Money;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::access::{Closed, Identity, KeyAccess, Level, ModelRule, UserRole};
use super::account::{Account, Budget, Terms};
use super::key_text::KeyHash;
use super::rights::{ALL_TEAM_MODELS, NO_DEFAULT_MODELS};
use super::row::{Record, Row};
use super::subject::{Subject, SubjectKind};

mod end_users;
mod models;
mod rows;
mod terms;
#[cfg(test)]
mod tests;

pub use self::end_users::{load_end_user, load_tag};
pub use self::models::counted_as;
pub use self::rows::{FORMER_KEYS, KeyRows, Opening};
use self::terms::{budget, duration, raised, soft, terms};

/// Columns of a row, and members of its metadata, that limit something and that this version does not serve.
const UNSERVED: &[&str] =
    &["tpd_limit", "router_settings", "object_permission_id", "project_id", "agent_id"];
/// The same of budgets that members and organizations name: the reference, too, limits no model by them.
pub const UNSERVED_SHARED: &[&str] = &["model_max_budget"];
const UNSERVED_METADATA: &[&str] = &[
    "guardrails",
    "policies",
    "enforced_params",
    "allowed_tools",
    "allowed_passthrough_routes",
    "denied_passthrough_routes",
    "model_itpm_limit",
    "model_otpm_limit",
    "tag_rpm_limit",
    "throttle_on_budget_exceeded",
];

struct Builder<'a, F> {
    rows: &'a KeyRows,
    account: F,
    levels: Vec<Arc<Level>>,
    models: Vec<ModelRule>,
}

/// What the holder of the key may do. `account` gives the account of a subject, which it makes of the row if there is none yet.
///
/// `None` if the row has no hash.
pub fn load(
    rows: &KeyRows,
    account: impl FnMut(&Subject, Opening) -> Arc<Account>,
) -> Option<KeyAccess> {
    let key = Row(&rows.key);
    let hash = KeyHash::parse(key.text("token")?)?;
    let mut builder = Builder { rows, account, levels: Vec::new(), models: Vec::new() };
    builder.key(hash);
    let (of_models, unused) = models::of_models(rows, hash, &mut builder.account);
    models::windows(rows, hash, (&mut builder.account, &mut builder.levels));
    builder.member();
    builder.team();
    builder.organization();
    builder.user();
    let identity = identity(rows, hash);
    let metadata = key.object("metadata");
    let team_metadata = rows.team.as_ref().map(|team| Row(team).object("metadata"));
    let mut tags = Row(&metadata).list("tags");
    tags.extend(team_metadata.iter().flat_map(|metadata| Row(metadata).list("tags")));
    let user = rows.user.as_ref().map(Row);
    let own = aliases(&key.object("aliases"));
    let of_team = rows.team_aliases.as_ref();
    let of_team = of_team.map(|row| aliases(&Row(row).object("aliases"))).unwrap_or_default();
    let ends = rows.before.map(|(_, until)| until);
    Some(KeyAccess {
        hash,
        presented: rows.before.map_or(hash, |(before, _)| before),
        former: Row(&metadata).list(FORMER_KEYS),
        masked: key.text("key_name").unwrap_or("sk-...").into(),
        role: UserRole::named(user.and_then(|user| user.text("user_role"))),
        expires: key.time("expires").into_iter().chain(ends).min(),
        closed: closed(rows, &identity),
        allowed_routes: key.list("allowed_routes"),
        aliases: [of_team, own],
        budget_fallbacks: models::fallbacks(key),
        unserved: unserved(rows).into_iter().chain(unused).collect(),
        identity: Arc::new(identity),
        models: builder.models,
        levels: builder.levels,
        of_models,
        tags,
    })
}

fn identity(rows: &KeyRows, hash: KeyHash) -> Identity {
    let key = Row(&rows.key);
    let of = |row: &Option<Record>, column: &str| -> Option<Arc<str>> {
        row.as_ref().and_then(|row| Row(row).text(column)).map(Arc::from)
    };
    let organization = key.text("organization_id").map(Arc::from);
    Identity {
        key: hash.to_string().into(),
        key_alias: key.text("key_alias").map(Arc::from),
        user: key.text("user_id").map(Arc::from),
        user_email: of(&rows.user, "user_email"),
        team: key.text("team_id").map(Arc::from),
        team_alias: of(&rows.team, "team_alias"),
        organization: organization.or_else(|| of(&rows.team, "organization_id")),
    }
}

fn closed(rows: &KeyRows, identity: &Identity) -> Option<Closed> {
    let is_blocked = |row: &Option<Record>| row.as_ref().is_some_and(|row| Row(row).is("blocked"));
    if Row(&rows.key).is("blocked") {
        return Some(Closed::Key);
    }
    if is_blocked(&rows.team) {
        return Some(Closed::Team(identity.team.as_deref().unwrap_or_default().into()));
    }
    let metadata = rows.user.as_ref().map(|user| Row(user).object("metadata"));
    let is_inactive = metadata.is_some_and(|it| it.get("scim_active") == Some(&Value::Bool(false)));
    is_inactive.then(|| Closed::User(identity.user.as_deref().unwrap_or_default().into()))
}

/// The rules that are not served, of the key and of all that it belongs to.
fn unserved(rows: &KeyRows) -> Vec<Box<str>> {
    let others = [
        ("budget.", &rows.budget, &[][..]),
        ("team.", &rows.team, &[]),
        ("member.", &rows.member, &[]),
        ("member_budget.", &rows.member_budget, UNSERVED_SHARED),
        ("default_member_budget.", &rows.default_member_budget, UNSERVED_SHARED),
        ("user.", &rows.user, &[]),
        ("organization.", &rows.organization, &[]),
        ("organization_budget.", &rows.organization_budget, UNSERVED_SHARED),
    ];
    let others = others.into_iter().filter_map(|(of, row, more)| Some((of, row.as_ref()?, more)));
    let mut found = Vec::new();
    for (of, row, more) in std::iter::once(("", &rows.key, &[][..])).chain(others) {
        found.extend(unserved_rules(of, row, more));
    }
    found
}

/// The rules of one row that are not served, and those of `more`; `place` is before their names.
#[must_use]
pub fn unserved_rules(place: &str, row: &Record, more: &[&str]) -> Vec<Box<str>> {
    let (row, metadata) = (Row(row), Row(row).object("metadata"));
    let columns = UNSERVED.iter().chain(more).filter(|column| row.has(column));
    let columns = columns.map(|name| format!("{place}{name}").into());
    let members = UNSERVED_METADATA.iter().filter(|name| Row(&metadata).has(name));
    columns.chain(members.map(|name| format!("{place}metadata.{name}").into())).collect()
}

fn aliases(object: &Record) -> BTreeMap<Box<str>, Box<str>> {
    let names =
        object.iter().filter_map(|(from, to)| Some((from.as_str().into(), to.as_str()?.into())));
    names.collect()
}

/// Whether a list of models is that of the team.
fn is_team_list(models: &[Box<str>]) -> bool {
    models.iter().any(|name| &**name == ALL_TEAM_MODELS)
}

impl<F: FnMut(&Subject, Opening) -> Arc<Account>> Builder<'_, F> {
    /// Adds a level, if it limits or counts something: the account of its subject is made of `spent` and `ends`.
    fn level(&mut self, subject: Subject, terms: Terms, opening: Opening, clock: Option<&str>) {
        let account = (self.account)(&subject, opening);
        let clock = clock.map(Box::from);
        self.levels.push(Arc::new(Level { subject, terms, account, clock, counter: None }));
    }

    fn rule(&mut self, kind: SubjectKind, models: Vec<Box<str>>) {
        if !models.is_empty() {
            self.models.push(ModelRule { kind, models });
        }
    }

    /// The names of the models of the access groups with these ids, if `may` allows the group.
    fn grouped(&self, ids: &[Box<str>], may: impl Fn(Row<'_>) -> bool) -> Vec<Box<str>> {
        let groups = self.rows.access_groups.iter().map(Row);
        let named = groups.filter(|row| {
            row.text("access_group_id").is_some_and(|id| ids.iter().any(|one| **one == *id))
                && may(*row)
        });
        named.flat_map(|row| row.list("access_model_names")).collect()
    }

    /// The key's own limits and models.
    fn key(&mut self, hash: KeyHash) {
        let key = Row(&self.rows.key);
        let linked = self.rows.budget.as_ref().map(Row);
        let metadata = key.object("metadata");
        let (mut terms, mut ends, mut clock) =
            (terms(key, linked), key.time("budget_reset_at"), None);
        terms.budget =
            budget(key).map(|budget| Budget { raised: raised(Row(&metadata)), ..budget });
        if terms.budget.is_none() {
            terms.budget = linked.and_then(budget);
        }
        terms.soft = linked.and_then(soft);
        if key.text("budget_duration").is_none()
            && let (Some(own), Some(row)) = (&mut terms.budget, linked)
        {
            // The row may have a clock and no budget of its own.
            own.duration = duration(row);
            ends = row.time("budget_reset_at");
            clock = row.text("budget_id");
        }
        let text: Arc<str> = hash.to_string().into();
        let shown = key.text("key_name").unwrap_or("sk-...");
        let alias = key.text("key_alias").unwrap_or(&text);
        let name: Arc<str> = format!("{alias} ({shown})").into();
        let subject = Subject { kind: SubjectKind::Key, id: text.clone(), name };
        self.level(subject, terms, (key.money("spend").unwrap_or_default(), ends), clock);
        self.key_models(key);
    }

    fn key_models(&mut self, key: Row<'_>) {
        let models = key.list("models");
        let is_free = is_team_list(&models) || key.has("config");
        if is_free {
            return;
        }
        let mut all = models;
        // A key with groups and no models of its own has the groups' models alone.
        all.extend(self.grouped(&key.list("access_group_ids"), |_| true));
        if all.is_empty() && key.has("access_group_ids") {
            all.push(NO_DEFAULT_MODELS.into());
        }
        self.rule(SubjectKind::Key, all);
    }

    fn member(&mut self) {
        let rows = self.rows;
        let key = Row(&rows.key);
        let (Some(team), Some(user)) = (key.text("team_id"), key.text("user_id")) else { return };
        let member = rows.member.as_ref().map(Row);
        // The reference adds the row of a rostered member with its first spend.
        if member.is_none() && !self.is_in_roster(user) {
            return;
        }
        let own = rows.member_budget.as_ref().map(Row);
        let row = own.or_else(|| rows.default_member_budget.as_ref().map(Row));
        let mut terms = row.map(|row| terms(row, None)).unwrap_or_default();
        // A default of 0 is no cap.
        let is_cap = |budget: &Budget| own.is_some() || budget.max > Money::ZERO;
        let cap = row.and_then(|row| Some(Budget { raised: raised(row), ..budget(row)? }));
        terms.budget = cap.filter(is_cap);
        terms.soft = row.and_then(soft);
        let subject = Subject::of_member(team, user);
        let ends = row.and_then(|row| row.time("budget_reset_at"));
        let spent = member.and_then(|member| member.money("spend"));
        let opening = (spent.unwrap_or_default(), ends);
        self.level(subject, terms, opening, row.and_then(|row| row.text("budget_id")));
        self.rule(
            SubjectKind::Member,
            row.map(|row| row.list("allowed_models")).unwrap_or_default(),
        );
    }

    fn is_in_roster(&self, user: &str) -> bool {
        let team = self.rows.team.as_ref().map(Row);
        let roster = team.map(|team| team.items("members_with_roles")).unwrap_or_default();
        roster.iter().any(|one| one.get("user_id").and_then(Value::as_str) == Some(user))
    }

    fn team(&mut self) {
        let rows = self.rows;
        let (Some(team), Some(id)) = (rows.team.as_ref().map(Row), Row(&rows.key).text("team_id"))
        else {
            return;
        };
        let mut terms = terms(team, None);
        terms.budget = budget(team);
        terms.soft = soft(team);
        let opening = (team.money("spend").unwrap_or_default(), team.time("budget_reset_at"));
        self.level(Subject::new(SubjectKind::Team, id), terms, opening, None);
        let mut models = team.list("models");
        if is_team_list(&models) {
            return;
        }
        let groups = team.list("access_group_ids");
        let is_limited = !models.is_empty() || !groups.is_empty();
        if !is_limited {
            return;
        }
        models.extend(self.grouped(&groups, |_| true));
        // A group of the key widens the team's models if the group was given to the team or to the key.
        let token = Row(&rows.key).text("token").unwrap_or_default();
        let has = |list: Vec<Box<str>>, id: &str| list.iter().any(|one| **one == *id);
        let given = |group: Row<'_>| {
            has(group.list("assigned_team_ids"), id) || has(group.list("assigned_key_ids"), token)
        };
        models.extend(self.grouped(&Row(&rows.key).list("access_group_ids"), given));
        if models.is_empty() {
            models.push(NO_DEFAULT_MODELS.into());
        }
        self.rule(SubjectKind::Team, models);
    }

    fn organization(&mut self) {
        let rows = self.rows;
        let Some(row) = rows.organization.as_ref().map(Row) else { return };
        let Some(id) = row.text("organization_id") else { return };
        let linked = rows.organization_budget.as_ref().map(Row);
        let mut terms = linked.map(|row| terms(row, None)).unwrap_or_default();
        terms.budget = linked.and_then(budget);
        terms.soft = linked.and_then(soft);
        let ends = linked.and_then(|row| row.time("budget_reset_at"));
        let opening = (row.money("spend").unwrap_or_default(), ends);
        self.level(
            Subject::new(SubjectKind::Organization, id),
            terms,
            opening,
            row.text("budget_id"),
        );
        let models = row.list("models");
        self.rule(SubjectKind::Organization, models);
    }

    /// A user's limits and models count for keys without a team.
    fn user(&mut self) {
        let rows = self.rows;
        let key = Row(&rows.key);
        let (Some(row), Some(id)) = (rows.user.as_ref().map(Row), key.text("user_id")) else {
            return;
        };
        let is_of_team = key.text("team_id").is_some();
        let mut terms = terms(row, None);
        terms.budget = budget(row);
        if is_of_team {
            // What it spends is counted, and nothing refused for it.
            terms = Terms::default();
        }
        let opening = (row.money("spend").unwrap_or_default(), row.time("budget_reset_at"));
        self.level(Subject::new(SubjectKind::User, id), terms, opening, None);
        if !is_of_team {
            self.rule(SubjectKind::User, row.list("models"));
        }
    }
}
