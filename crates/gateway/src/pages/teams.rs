//! The admin API of teams: `/team/...`, in the reference's shapes.
//!
//! Called by the router. Always true: only admins change teams, and admins of a team its roster; a team's keys and memberships go with it;
//! each change has its row of the audit log.

use hale_core::tenancy::load::counted_as;
use hale_core::tenancy::{KeyHash, Record, Row, Subject, SubjectKind};
use hale_store::{Change, Changed, Find, Store, TenantTable};
use http::{Response, StatusCode};
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::admin::{
    Audited, INTERNAL, actor, archived, bad, body, failed, make, new_id, page, shown, store, turn,
    without_counters,
};
use super::keys::budgets;
use super::keys::fields::{self, Fields};
use super::managers::{manager, role_in};
use super::{PageRequest, Waiting};
use crate::clock;
use crate::http::auth::Principal;
use crate::http::refusal::{self, Refusal};
use crate::http::reply::Reply;

/// Teams of one list at most.
const LISTED_MAX: u32 = 1_000;

async fn rows(
    store: &Store,
    table: TenantTable,
    (column, text): (&'static str, &str),
) -> Result<Vec<Record>, Refusal> {
    let find = Find { limit: u32::MAX, ..Find::with(table, column, vec![text.into()]) };
    store.find(&find).await.map_err(|error| failed(&error))
}

/// The row of a team.
pub(super) async fn team(store: &Store, id: &str) -> Result<Option<Record>, Refusal> {
    Ok(rows(store, TenantTable::Teams, ("team_id", id)).await?.pop())
}

fn not_found(message: String) -> Refusal {
    refusal::of_admin(StatusCode::NOT_FOUND, INTERNAL, message).param("team_id")
}

/// The team that the body names.
async fn named(store: &Store, body: &Record) -> Result<Record, Refusal> {
    let Some(id) = Row(body).text("team_id") else {
        return Err(bad("name the team in `team_id`".to_owned()).param("team_id"));
    };
    let found = team(store, id).await?;
    found.ok_or_else(|| not_found(format!("Team not found, passed team_id={id}")))
}

/// `POST /team/new`.
pub(crate) fn new(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        let body = body(&request, incoming).await?;
        let _turn = turn(&request).await;
        let mut row = fields::columns(&body, None, &Fields::TEAM)?;
        budgets::check_soft(None, &row)?;
        let id = Row(&body).text("team_id").map_or_else(new_id, str::to_owned);
        let now = clock::unix_ms();
        row.insert("team_id".to_owned(), json!(id));
        row.insert("created_at".to_owned(), json!(now));
        row.insert("updated_at".to_owned(), json!(now));
        row.entry("members_with_roles").or_insert_with(|| json!([]));
        row.entry("models").or_insert_with(|| json!([]));
        row.entry("spend").or_insert_with(|| json!(0.0));
        let added = Change::Insert { table: TenantTable::Teams, row: row.clone() };
        let audited = Audited {
            table: TenantTable::Teams,
            action: "created",
            object: &id,
            before: None,
            after: Some(&row),
        };
        match make(&request, vec![added], &[audited]).await? {
            Changed::Done(_) => Ok(page(&Value::Object(shown(TenantTable::Teams, &row)))),
            Changed::Exists(_) | Changed::Before => {
                let message = format!(
                    "{{'error': 'Team id = {id} already exists. Please use a different team id.'}}"
                );
                Err(refusal::of_admin(StatusCode::BAD_REQUEST, INTERNAL, message))
            }
        }
    })
}

/// What is shown of a team besides its row: its keys and its members.
async fn parts(store: &Store, id: &str) -> Result<(Vec<Value>, Vec<Value>), Refusal> {
    let (keys, members) = tokio::join!(
        rows(store, TenantTable::Keys, ("team_id", id)),
        rows(store, TenantTable::Memberships, ("team_id", id)),
    );
    let now = clock::unix_ms();
    let lasts = |key: &&Record| Row(key).time("expires").is_none_or(|ends| ends.0 > now);
    let keys = keys?;
    let keys = keys.iter().filter(lasts).map(|key| Value::Object(shown(TenantTable::Keys, key)));
    let mut memberships = Vec::new();
    for member in members? {
        let budget = match Row(&member).text("budget_id") {
            Some(id) => rows(store, TenantTable::Budgets, ("budget_id", id)).await?.pop(),
            None => None,
        };
        let mut member = member;
        let budget = budget.map(|row| Value::Object(shown(TenantTable::Budgets, &row)));
        member.insert("litellm_budget_table".to_owned(), budget.unwrap_or_default());
        memberships.push(Value::Object(member));
    }
    Ok((keys.collect(), memberships))
}

/// `GET /team/info?team_id=`. A client that is no admin sees the team of its key.
pub(crate) fn info(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        drop(incoming);
        let principal = &request.arrival.principal;
        if matches!(principal, Principal::Anyone) {
            return Err(refusal::no_admin());
        }
        let own = principal.access().and_then(|access| access.identity.team.clone());
        let named = request.parameter("team_id").filter(|id| !id.is_empty());
        let Some(id) = named.or_else(|| own.as_deref().map(Box::from)) else {
            return Err(refusal::missing_parameter("/team/info", "team_id"));
        };
        let store = store(&request)?;
        let found = team(store, &id).await?.filter(|team| {
            principal.sees(|access| match access.identity.team.as_deref() {
                // It reaches that team, whatever else its user is in.
                Some(own) => own == &*id,
                None => {
                    let user = access.identity.user.as_deref();
                    user.is_some_and(|user| role_in(team, user).is_some())
                }
            })
        });
        let Some(row) = found else {
            let message = format!("{{'message': 'Team not found, passed team id: {id}.'}}");
            return Err(refusal::of_admin(StatusCode::NOT_FOUND, "auth_error", message));
        };
        let (keys, memberships) = parts(store, &id).await?;
        let mut info = shown(TenantTable::Teams, &row);
        info.insert("litellm_model_table".to_owned(), Value::Null);
        Ok(page(
            &json!({"team_id": id, "team_info": info, "keys": keys, "team_memberships": memberships}),
        ))
    })
}

/// `GET /team/list`.
pub(crate) fn list(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        drop(incoming);
        let store = store(&request)?;
        let mut find = Find {
            sorted_by: Some("team_alias"),
            limit: LISTED_MAX,
            ..Find::all(TenantTable::Teams)
        };
        if let Some(id) = request.parameter("organization_id").filter(|id| !id.is_empty()) {
            find.with.push(("organization_id", vec![id]));
        }
        let mut teams = Vec::new();
        for row in store.find(&find).await.map_err(|error| failed(&error))? {
            let (keys, memberships) =
                parts(store, Row(&row).text("team_id").unwrap_or_default()).await?;
            let mut team = shown(TenantTable::Teams, &row);
            team.insert("keys".to_owned(), json!(keys));
            team.insert("team_memberships".to_owned(), json!(memberships));
            teams.push(Value::Object(team));
        }
        Ok(page(&Value::Array(teams)))
    })
}

/// Sets columns of a team; its row afterwards.
async fn set(
    request: &PageRequest<'_>,
    before: &Record,
    (columns, action): (Record, &'static str),
    mut changes: Vec<Change>,
) -> Result<Record, Refusal> {
    let id = Row(before).text("team_id").unwrap_or_default().to_owned();
    let mut set = columns.clone();
    set.insert("updated_at".to_owned(), json!(clock::unix_ms()));
    let key = vec![("team_id", id.as_str().into())];
    changes.push(Change::Update { table: TenantTable::Teams, key, row: set.clone() });
    let audited = Audited {
        table: TenantTable::Teams,
        action,
        object: &id,
        before: Some(before),
        after: Some(&columns),
    };
    match make(request, changes, &[audited]).await? {
        Changed::Done(_) => {}
        Changed::Exists(_) | Changed::Before => {
            let message = "the team was changed by another request meanwhile; try again".to_owned();
            return Err(refusal::of_admin(StatusCode::CONFLICT, INTERNAL, message));
        }
    }
    let keys = &request.arrival.worker.process.keys;
    if columns.contains_key("budget_reset_at")
        && let Some(account) = keys.account_of(&Subject::new(SubjectKind::Team, &id))
    {
        account.set_ends(Row(&columns).time("budget_reset_at"));
    }
    keys.all_changed();
    let mut after = before.clone();
    after.extend(set);
    Ok(after)
}

/// `POST /team/update`.
pub(crate) fn update(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        let body = body(&request, incoming).await?;
        let _turn = turn(&request).await;
        let store = store(&request)?;
        let before = named(store, &body).await?;
        let columns = fields::columns(&body, Some(&before), &Fields::TEAM)?;
        budgets::check_soft(Some(&before), &columns)?;
        let after = set(&request, &before, (columns, "updated"), Vec::new()).await?;
        let id = after["team_id"].clone();
        Ok(page(&json!({"team_id": id, "data": shown(TenantTable::Teams, &after)})))
    })
}

/// `POST /team/block`.
pub(crate) fn block(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move { blocked(request, incoming, ("blocked", true)).await })
}

/// `POST /team/unblock`.
pub(crate) fn unblock(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move { blocked(request, incoming, ("unblocked", false)).await })
}

async fn blocked(
    request: PageRequest<'_>,
    incoming: Incoming,
    (action, is): (&'static str, bool),
) -> Result<Response<Reply>, Refusal> {
    let body = body(&request, incoming).await?;
    let _turn = turn(&request).await;
    let before = named(store(&request)?, &body).await?;
    let columns = Record::from_iter([("blocked".to_owned(), json!(is))]);
    let after = set(&request, &before, (columns, action), Vec::new()).await?;
    Ok(page(&Value::Object(shown(TenantTable::Teams, &after))))
}

/// `POST /team/delete`: the teams, their keys and their memberships.
pub(crate) fn delete(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        let body = body(&request, incoming).await?;
        let _turn = turn(&request).await;
        let store = store(&request)?;
        let ids = Row(&body).list("team_ids");
        if ids.is_empty() {
            return Err(bad("name the teams in `team_ids`".to_owned()).param("team_ids"));
        }
        let in_use = &request.arrival.worker.process.keys;
        in_use.write().await;
        let actor = actor(&request);
        let (mut changes, mut gone, mut hashes) = (Vec::new(), Vec::new(), Vec::new());
        for id in &ids {
            let Some(row) = team(store, id).await? else {
                return Err(not_found(format!("Team not found, passed team_id={id}")));
            };
            for key in rows(store, TenantTable::Keys, ("team_id", id)).await? {
                hashes.extend(Row(&key).text("token").and_then(KeyHash::parse));
                let token = Row(&key).text("token").unwrap_or_default();
                changes.push(without_counters("key", counted_as(Row(&key), token)));
                let row = archived(TenantTable::DeletedKeys, &key, &actor);
                changes.push(Change::Insert { table: TenantTable::DeletedKeys, row });
            }
            let of_team = || vec![("team_id", id.clone())];
            let row_of_team = archived(TenantTable::DeletedTeams, &row, &actor);
            changes.push(Change::Insert { table: TenantTable::DeletedTeams, row: row_of_team });
            for table in [TenantTable::Keys, TenantTable::Memberships, TenantTable::Teams] {
                changes.push(Change::Delete { table, key: of_team() });
            }
            changes.push(without_counters("team", id.clone()));
            gone.push(row);
        }
        let audited: Vec<Audited<'_>> = gone
            .iter()
            .map(|row| Audited {
                table: TenantTable::Teams,
                action: "deleted",
                object: Row(row).text("team_id").unwrap_or_default(),
                before: Some(row),
                after: None,
            })
            .collect();
        make(&request, changes, &audited).await?;
        in_use.all_removed(&hashes);
        ids.iter().for_each(|id| in_use.team_removed(id));
        in_use.all_changed();
        Ok(page(&json!({"deleted_teams": ids})))
    })
}

/// A member as the body names it.
struct Member {
    user: Box<str>,
    email: Option<Box<str>>,
    role: &'static str,
}

impl Member {
    fn of(value: &Value) -> Result<Member, Refusal> {
        let member = value.as_object().ok_or_else(|| {
            bad("`member` must be an object with `user_id` and `role`".to_owned()).param("member")
        })?;
        let row = Row(member);
        let email = row.text("user_email");
        let Some(user) = row.text("user_id").or(email) else {
            return Err(bad("name the member by `user_id`".to_owned()).param("member"));
        };
        let role = if row.text("role") == Some("admin") { "admin" } else { "user" };
        Ok(Member { user: user.into(), email: email.map(Box::from), role })
    }

    /// A member that is named by an e-mail address alone is the user who has it, in whatever letters.
    async fn found(mut self, store: &Store) -> Result<Member, Refusal> {
        if let Some(email) = self.email.as_deref().filter(|email| *email == &*self.user)
            && let Some(user) = user_with(store, email).await?
            && let Some(id) = Row(&user).text("user_id")
        {
            self.user = id.into();
        }
        Ok(self)
    }

    fn in_roster(&self) -> Value {
        json!({"role": self.role, "user_id": self.user, "user_email": self.email})
    }
}

/// The user with that e-mail address, in whatever letters.
pub(super) async fn user_with(store: &Store, email: &str) -> Result<Option<Record>, Refusal> {
    let find =
        Find { in_any_case: Some(("user_email", email.into())), ..Find::all(TenantTable::Users) };
    Ok(store.find(&find).await.map_err(|error| failed(&error))?.into_iter().next())
}

/// Adds members to the roster of a team: the changes besides the team's row, the roster, and the rows of the memberships.
async fn enlist(
    store: &Store,
    team: &Record,
    (members, budget): (&[Member], &Record),
) -> Result<(Vec<Change>, Vec<Value>, Vec<Value>), Refusal> {
    let id = Row(team).text("team_id").unwrap_or_default();
    let mut roster = Row(team).items("members_with_roles");
    let enrolled = rows(store, TenantTable::Memberships, ("team_id", id)).await?;
    let (mut changes, mut memberships) = (Vec::new(), Vec::new());
    for member in members {
        let is_member = |one: &Value| one["user_id"].as_str() == Some(&member.user);
        if roster.iter().any(is_member) {
            let email = member.email.as_deref().unwrap_or("None");
            let message = format!(
                "User already in team. Member: user_id={}, user_email={email}",
                member.user
            );
            let kind = "team_member_already_in_team";
            return Err(refusal::of_admin(StatusCode::BAD_REQUEST, kind, message).param("user_id"));
        }
        roster.push(member.in_roster());
        changes.push(user_in_team(store, member, id).await?);
        let mut row = Record::from_iter([
            ("user_id".to_owned(), json!(member.user)),
            ("team_id".to_owned(), json!(id)),
        ]);
        if !budget.is_empty() {
            let budget_id = new_id();
            let now = clock::unix_ms();
            let mut own = budget.clone();
            own.insert("budget_id".to_owned(), json!(budget_id));
            own.insert("created_at".to_owned(), json!(now));
            own.insert("updated_at".to_owned(), json!(now));
            own.insert("created_by".to_owned(), json!("default_user_id"));
            own.insert("updated_by".to_owned(), json!("default_user_id"));
            changes.push(Change::Insert { table: TenantTable::Budgets, row: own });
            row.insert("budget_id".to_owned(), json!(budget_id));
        }
        let is_enrolled = |one: &Record| Row(one).text("user_id") == Some(&*member.user);
        changes.push(match enrolled.iter().any(is_enrolled) {
            false => Change::Insert { table: TenantTable::Memberships, row: row.clone() },
            // It has spent something in the team before.
            true => Change::Update {
                table: TenantTable::Memberships,
                key: vec![("team_id", id.into()), ("user_id", member.user.clone())],
                row: row.clone(),
            },
        });
        memberships.push(Value::Object(row));
    }
    Ok((changes, roster, memberships))
}

/// The change that notes the team with the user, who is made if there is none.
async fn user_in_team(store: &Store, member: &Member, team: &str) -> Result<Change, Refusal> {
    let found = rows(store, TenantTable::Users, ("user_id", &member.user)).await?.pop();
    Ok(match found {
        Some(user) => {
            let mut teams = Row(&user).list("teams");
            if !teams.iter().any(|one| **one == *team) {
                teams.push(team.into());
            }
            let row = Record::from_iter([("teams".to_owned(), json!(teams))]);
            Change::Update {
                table: TenantTable::Users,
                key: vec![("user_id", member.user.clone())],
                row,
            }
        }
        None => {
            let row = Record::from_iter([
                ("user_id".to_owned(), json!(member.user)),
                ("user_email".to_owned(), json!(member.email)),
                ("user_role".to_owned(), json!("internal_user")),
                ("teams".to_owned(), json!([team])),
                ("models".to_owned(), json!([])),
            ]);
            Change::Insert { table: TenantTable::Users, row }
        }
    })
}

/// Adds a user to a team.
///
/// # Errors
/// The refusal: there is no such team, or the user is in it.
pub(super) async fn join(request: &PageRequest<'_>, id: &str, user: &str) -> Result<(), Refusal> {
    let store = store(request)?;
    let Some(team) = team(store, id).await? else {
        return Err(not_found(format!("Team not found, passed team_id={id}")));
    };
    let member = Member { user: user.into(), email: None, role: "user" };
    let (changes, roster, _) = enlist(store, &team, (&[member], &Record::new())).await?;
    let columns = Record::from_iter([("members_with_roles".to_owned(), json!(roster))]);
    set(request, &team, (columns, "updated"), changes).await.map(drop)
}

/// `POST /team/member_add`.
pub(crate) fn member_add(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        let body = body(&request, incoming).await?;
        let _turn = turn(&request).await;
        let store = store(&request)?;
        manager(&request)?.check_team(&request, store, Row(&body).text("team_id")).await?;
        let team = named(store, &body).await?;
        let members: Result<Vec<Member>, Refusal> = match body.get("member") {
            Some(Value::Array(members)) => members.iter().map(Member::of).collect(),
            Some(member) => Member::of(member).map(|member| vec![member]),
            None => return Err(bad("name the member in `member`".to_owned()).param("member")),
        };
        let mut found = Vec::new();
        for member in members? {
            found.push(member.found(store).await?);
        }
        let members = found;
        let mut wish = body.clone();
        if let Some(most) = wish.remove("max_budget_in_team") {
            wish.insert("max_budget".to_owned(), most);
        }
        let budget = fields::columns(&wish, None, &Fields::MEMBER)?;
        let (changes, roster, memberships) = enlist(store, &team, (&members, &budget)).await?;
        let columns = Record::from_iter([("members_with_roles".to_owned(), json!(roster))]);
        let after = set(&request, &team, (columns, "updated"), changes).await?;
        let mut answer = shown(TenantTable::Teams, &after);
        let users: Vec<Value> = members.iter().map(|one| json!({"user_id": one.user})).collect();
        answer.insert("updated_users".to_owned(), json!(users));
        answer.insert("updated_team_memberships".to_owned(), json!(memberships));
        Ok(page(&Value::Object(answer)))
    })
}
