//! The rows of keys and of what they belong to.
//!
//! Called for a key's first use, and for the keys in use whose rows others may have changed. Always true: the number of queries does
//! not depend on the number of keys.

use std::collections::BTreeSet;

use hale_core::tenancy::load::{KeyRows, counted_as};
use hale_core::tenancy::{KeyHash, Record, Row};
use hale_core::time::UnixMs;
use hale_store::{Error, Find, Store, TenantTable};

use crate::clock;

/// The rows with one of these ids, if there are any ids.
async fn with(
    store: &Store,
    table: TenantTable,
    column: &'static str,
    ids: BTreeSet<Box<str>>,
) -> Result<Vec<Record>, Error> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let find = Find { limit: u32::MAX, ..Find::with(table, column, ids.into_iter().collect()) };
    store.find(&find).await
}

fn texts(rows: &[Record], column: &str) -> BTreeSet<Box<str>> {
    rows.iter().filter_map(|row| Row(row).text(column)).map(Box::from).collect()
}

fn lists(rows: &[Record], column: &str) -> BTreeSet<Box<str>> {
    rows.iter().flat_map(|row| Row(row).list(column)).collect()
}

/// The row whose column has that text.
fn find(rows: &[Record], column: &str, text: Option<&str>) -> Option<Record> {
    let text = text?;
    rows.iter().find(|row| Row(row).text(column) == Some(text)).cloned()
}

/// A number as text, as a key of rows.
fn number(row: Option<&Record>, column: &str) -> Option<Box<str>> {
    Some(Row(row?).count(column)?.to_string().into())
}

/// The rows of those keys that are there.
pub(super) async fn rows(store: &Store, hashes: &[KeyHash]) -> Result<Vec<KeyRows>, Error> {
    let texts_of = |hashes: &[KeyHash]| hashes.iter().map(|hash| hash.to_string().into()).collect();
    let mut keys = with(store, TenantTable::Keys, "token", texts_of(hashes)).await?;
    let has = |hash: &KeyHash| keys.iter().any(|row| hash_of(row, "token") == Some(*hash));
    let missing: Vec<KeyHash> = hashes.iter().copied().filter(|hash| !has(hash)).collect();
    let replaced = replaced(store, texts_of(&missing)).await?;
    let now_tokens = replaced.iter().map(|(_, _, now)| now).filter(|now| !has(now));
    let now_tokens = now_tokens.map(|now| now.to_string().into());
    let named = keys.len();
    let others = with(store, TenantTable::Keys, "token", now_tokens.collect()).await?;
    keys.extend(others);
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let (teams, users, members) = tokio::join!(
        with(store, TenantTable::Teams, "team_id", texts(&keys, "team_id")),
        with(store, TenantTable::Users, "user_id", texts(&keys, "user_id")),
        members(store, &keys),
    );
    let (teams, users, members) = (teams?, users?, members?);
    let mut organizations = texts(&keys, "organization_id");
    organizations.extend(texts(&teams, "organization_id"));
    let mut groups = lists(&keys, "access_group_ids");
    groups.extend(lists(&teams, "access_group_ids"));
    let aliases = teams.iter().filter_map(|team| number(Some(team), "model_id")).collect();
    let (organizations, groups, aliases) = tokio::join!(
        with(store, TenantTable::Organizations, "organization_id", organizations),
        with(store, TenantTable::AccessGroups, "access_group_id", groups),
        with(store, TenantTable::TeamAliases, "id", aliases),
    );
    let (organizations, groups, aliases) = (organizations?, groups?, aliases?);
    let mut budgets = texts(&keys, "budget_id");
    budgets.extend(texts(&members, "budget_id"));
    budgets.extend(texts(&organizations, "budget_id"));
    budgets.extend(teams.iter().filter_map(default_budget));
    let budgets = with(store, TenantTable::Budgets, "budget_id", budgets).await?;
    let counted = counted(&keys, (&teams, &users, &budgets));
    let counters = with(store, TenantTable::BudgetCounters, "id", counted).await?;
    let read_at = UnixMs(clock::unix_ms());
    let all =
        Found { teams, users, members, organizations, groups, aliases, budgets, counters, read_at };
    let mut rows: Vec<KeyRows> = Vec::with_capacity(hashes.len());
    for (before, until, now) in replaced {
        let key = keys.iter().find(|row| hash_of(row, "token") == Some(now));
        rows.extend(
            key.map(|key| KeyRows { before: Some((before, until)), ..all.of(key.clone()) }),
        );
    }
    keys.truncate(named);
    rows.extend(keys.into_iter().map(|key| all.of(key)));
    Ok(rows)
}

fn hash_of(row: &Record, column: &str) -> Option<KeyHash> {
    KeyHash::parse(Row(row).text(column)?)
}

/// What the client of a key with those rows presents.
pub(super) fn presented(rows: &KeyRows) -> Option<KeyHash> {
    let before = rows.before.map(|(before, _)| before);
    before.or_else(|| hash_of(&rows.key, "token"))
}

/// Of those hashes the keys that were replaced and still work: until when, and the key of now.
async fn replaced(
    store: &Store,
    hashes: BTreeSet<Box<str>>,
) -> Result<Vec<(KeyHash, UnixMs, KeyHash)>, Error> {
    let rows = with(store, TenantTable::DeprecatedKeys, "token", hashes).await?;
    let now = UnixMs(clock::unix_ms());
    let found = rows.iter().filter_map(|row| {
        let until = Row(row).time("revoke_at").filter(|until| now < *until)?;
        Some((hash_of(row, "token")?, until, hash_of(row, "active_token_id")?))
    });
    Ok(found.collect())
}

/// The memberships of the users of keys, in whatever team.
async fn members(store: &Store, keys: &[Record]) -> Result<Vec<Record>, Error> {
    let of_teams = keys.iter().filter(|key| Row(key).text("team_id").is_some());
    let users: BTreeSet<Box<str>> =
        of_teams.filter_map(|key| Row(key).text("user_id")).map(Box::from).collect();
    with(store, TenantTable::Memberships, "user_id", users).await
}

/// The budget of a team's members that have none of their own.
fn default_budget(team: &Record) -> Option<Box<str>> {
    Row(&Row(team).object("metadata")).text("team_member_budget_id").map(Box::from)
}

/// The ids of what has budgets of models or of several periods: none has rows of counters without.
fn counted(
    keys: &[Record],
    (teams, users, budgets): (&[Record], &[Record], &[Record]),
) -> BTreeSet<Box<str>> {
    let has = |row: &Record| Row(row).has("model_max_budget") || Row(row).has("budget_limits");
    let of_budget = |key: &Record| {
        find(budgets, "budget_id", Row(key).text("budget_id")).is_some_and(|row| has(&row))
    };
    let hash = |key: &Record| Some(counted_as(Row(key), Row(key).text("token")?));
    let of_keys = keys.iter().filter(|key| has(key) || of_budget(key)).filter_map(hash);
    let id = |column| move |row: &Record| Row(row).text(column).map(Box::from);
    let of_teams = teams.iter().filter(|row| has(row)).filter_map(id("team_id"));
    let of_users = users.iter().filter(|row| has(row)).filter_map(id("user_id"));
    of_keys.chain(of_teams).chain(of_users).collect()
}

/// What end users with these ids spent on models, if one of their budgets limits that.
pub(super) async fn counters(
    store: &Store,
    ids: &[Box<str>],
    budgets: &[Record],
) -> Result<Vec<Record>, Error> {
    let is_limited = budgets.iter().any(|row| Row(row).has("model_max_budget"));
    let ids = if is_limited { ids.iter().cloned().collect() } else { BTreeSet::new() };
    with(store, TenantTable::BudgetCounters, "id", ids).await
}

/// Rows that several keys may share.
struct Found {
    teams: Vec<Record>,
    users: Vec<Record>,
    members: Vec<Record>,
    organizations: Vec<Record>,
    groups: Vec<Record>,
    aliases: Vec<Record>,
    budgets: Vec<Record>,
    counters: Vec<Record>,
    read_at: UnixMs,
}

impl Found {
    fn of(&self, key: Record) -> KeyRows {
        let row = Row(&key);
        let (team_id, user_id) = (row.text("team_id"), row.text("user_id"));
        let team = find(&self.teams, "team_id", team_id);
        let of_team = team.as_ref().and_then(|team| Row(team).text("organization_id"));
        let organization_id = row.text("organization_id").or(of_team);
        let organization = find(&self.organizations, "organization_id", organization_id);
        let member = self.members.iter().find(|member| {
            let member = Row(member);
            team_id.is_some()
                && member.text("team_id") == team_id
                && member.text("user_id") == user_id
        });
        let budget = |id: Option<&str>| find(&self.budgets, "budget_id", id);
        let named = |row: Option<&Record>| {
            row.and_then(|row| Row(row).text("budget_id").map(Box::<str>::from))
        };
        let alias_id = number(team.as_ref(), "model_id");
        let aliases = self.aliases.iter().find(|row| number(Some(row), "id") == alias_id);
        let mut groups = row.list("access_group_ids");
        groups.extend(team.iter().flat_map(|team| Row(team).list("access_group_ids")));
        let is_named = |group: &&Record| {
            Row(group)
                .text("access_group_id")
                .is_some_and(|id| groups.iter().any(|one| **one == *id))
        };
        KeyRows {
            budget: budget(row.text("budget_id")),
            member_budget: budget(named(member).as_deref()),
            default_member_budget: budget(team.as_ref().and_then(default_budget).as_deref()),
            organization_budget: budget(named(organization.as_ref()).as_deref()),
            user: find(&self.users, "user_id", user_id),
            team_aliases: aliases.filter(|_| alias_id.is_some()).cloned(),
            access_groups: self.groups.iter().filter(is_named).cloned().collect(),
            counters: self.counters.clone(),
            read_at: self.read_at,
            member: member.cloned(),
            organization,
            team,
            key,
            before: None,
        }
    }
}
