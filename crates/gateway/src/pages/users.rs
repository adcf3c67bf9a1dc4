//! The admin API of users: `/user/...`, in the reference's shapes.
//!
//! Called by the router. Always true: only admins make users; no page shows a password.

use hale_core::tenancy::access::UserRole;
use hale_core::tenancy::{Record, Row};
use hale_store::{Change, Changed, Find, Store, TenantTable};
use http::StatusCode;
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::admin::{
    Audited, INTERNAL, bad, body, failed, is_own, make, new_id, page, shown, store, turn,
};
use super::keys::fields::{self, Fields};
use super::keys::{completed, create};
use super::{PageRequest, Waiting, teams};
use crate::clock;
use crate::http::auth::Principal;
use crate::http::refusal::{self, Refusal};

fn exists(what: &str, value: &str) -> Refusal {
    let message = format!("{{'error': 'User with {what} {value} already exists'}}");
    refusal::of_admin(StatusCode::CONFLICT, INTERNAL, message)
}

/// `POST /user/new`: the user, and a key of its own unless `auto_create_key` is false.
pub(crate) fn new(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        let mut body = body(&request, incoming).await?;
        let _turn = turn(&request).await;
        let store = store(&request)?;
        request.arrival.serving.snapshot.gateway.making.complete_user(&mut body);
        let mut row = fields::columns(&body, None, &Fields::USER)?;
        if let Some(role) = Row(&body).text("user_role")
            && UserRole::named(Some(role)).name() != role
        {
            return Err(bad(format!("`user_role` '{role}' is none")).param("user_role"));
        }
        let id = Row(&body).text("user_id").map_or_else(new_id, str::to_owned);
        for team in Row(&body).list("teams") {
            if teams::team(store, &team).await?.is_none() {
                return Err(bad(format!("Team not found for team_id={team}")).param("teams"));
            }
        }
        if let Some(email) = Row(&row).text("user_email")
            && teams::user_with(store, email).await?.is_some()
        {
            return Err(exists("email", email));
        }
        let now = clock::unix_ms();
        row.insert("user_id".to_owned(), json!(id));
        row.insert("created_at".to_owned(), json!(now));
        row.insert("updated_at".to_owned(), json!(now));
        row.entry("user_role").or_insert_with(|| json!("internal_user"));
        row.entry("models").or_insert_with(|| json!([]));
        row.insert("teams".to_owned(), json!([]));
        row.entry("spend").or_insert_with(|| json!(0.0));
        let added = Change::Insert { table: TenantTable::Users, row: row.clone() };
        let audited = Audited {
            table: TenantTable::Users,
            action: "created",
            object: &id,
            before: None,
            after: Some(&row),
        };
        match make(&request, vec![added], &[audited]).await? {
            Changed::Done(_) => {}
            Changed::Exists(_) | Changed::Before => return Err(exists("id", &id)),
        }
        for team in Row(&body).list("teams") {
            teams::join(&request, &team, &id).await?;
        }
        let mut answer = shown(TenantTable::Users, &row);
        if body.get("auto_create_key") != Some(&Value::Bool(false)) {
            let of_key = Record::from_iter([("user_id".to_owned(), json!(id))]);
            let (key, made) = create(&request, &completed(&request, &of_key)?).await?;
            answer.insert("key".to_owned(), json!(key));
            answer.insert("token".to_owned(), made["token"].clone());
        }
        Ok(page(&Value::Object(answer)))
    })
}

/// Columns of a user about its money, which a key of a team does not see.
const OF_MONEY: [&str; 5] =
    ["max_budget", "budget_duration", "budget_reset_at", "model_max_budget", "model_spend"];

/// What a key of that team sees of its user: what it is and spent there, and nothing of what it has elsewhere.
async fn in_team(store: &Store, mut user: Record, team: &str) -> Result<Record, Refusal> {
    let id = Row(&user).text("user_id").unwrap_or_default();
    let mut find = Find::with(TenantTable::Memberships, "user_id", vec![id.into()]);
    find.with.push(("team_id", vec![team.into()]));
    let member = store.find(&find).await.map_err(|error| failed(&error))?.pop();
    let spent = member.as_ref().and_then(|row| row.get("spend").cloned());
    OF_MONEY.iter().for_each(|column| drop(user.remove(*column)));
    user.insert("spend".to_owned(), spent.unwrap_or_else(|| json!(0.0)));
    user.insert("teams".to_owned(), json!([team]));
    Ok(user)
}

/// `GET /user/info?user_id=`: the user that is named, else the client's own.
pub(crate) fn info(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        drop(incoming);
        let principal = &request.arrival.principal;
        if matches!(principal, Principal::Anyone) {
            return Err(refusal::no_admin());
        }
        let own = principal.access().and_then(|access| access.identity.user.clone());
        let named = request.parameter("user_id").filter(|id| !id.is_empty());
        let Some(id) = named.or_else(|| own.as_deref().map(Box::from)) else {
            return Err(refusal::missing_parameter("/user/info", "user_id"));
        };
        let sees = principal.sees(|access| access.identity.user.as_deref() == Some(&*id));
        let store = store(&request)?;
        let find = |table, column| Find::with(table, column, vec![id.clone()]);
        let (user_find, key_find) =
            (find(TenantTable::Users, "user_id"), find(TenantTable::Keys, "user_id"));
        let (users, keys) = tokio::join!(store.find(&user_find), store.find(&key_find));
        let user = users.map_err(|error| failed(&error))?.pop().filter(|_| sees);
        let mut keys = keys.map_err(|error| failed(&error))?;
        let Some(mut user) = user else {
            let message = format!("User {id} not found");
            return Err(refusal::of_admin(StatusCode::NOT_FOUND, INTERNAL, message));
        };
        let of_team = principal.access().filter(|access| !access.role.sees_all());
        if let Some((access, team)) =
            of_team.and_then(|access| Some((access, access.identity.team.as_deref()?)))
        {
            keys.retain(|row| is_own(access, Row(row)));
            user = in_team(store, user, team).await?;
        }
        let teams = Row(&user).list("teams");
        let teams = store.find(&Find::with(TenantTable::Teams, "team_id", teams)).await;
        let teams = teams.map_err(|error| failed(&error))?;
        let mut info = shown(TenantTable::Users, &user);
        info.remove("password");
        let rows = |table, rows: &[Record]| -> Vec<Value> {
            rows.iter().map(|row| Value::Object(shown(table, row))).collect()
        };
        Ok(page(&json!({
            "user_id": id, "user_info": info, "keys": rows(TenantTable::Keys, &keys),
            "teams": rows(TenantTable::Teams, &teams),
        })))
    })
}
