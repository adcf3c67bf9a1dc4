//! `POST /user/update`: what an admin changes of a user, its password too.
//!
//! Called by the router. Always true: a password is kept as the reference keeps it, and stands in no log, no answer and no row of the audit
//! log; what is changed counts for the next request of this process.

use hale_core::tenancy::access::UserRole;
use hale_core::tenancy::password::{LONGEST, SHORTEST};
use hale_core::tenancy::{Record, Row, Subject, SubjectKind};
use hale_store::{Change, Changed, Find, Store, TenantTable};
use http::StatusCode;
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::admin::{Audited, INTERNAL, bad, body, failed, make, page, shown, store, turn};
use super::dashboard::kept_password;
use super::keys::fields::{self, Fields};
use super::{PageRequest, Waiting, teams};
use crate::clock;
use crate::http::refusal::{self, Refusal};

/// The page.
pub(crate) fn update(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        let mut body = body(&request, incoming).await?;
        // It takes a while, and others change rows meanwhile.
        let kept = match password(&mut body)? {
            Some(password) => Some(kept_password(password).await),
            None => None,
        };
        let _turn = turn(&request).await;
        let store = store(&request)?;
        let before = named(store, &body).await?;
        let id = Row(&before).text("user_id").unwrap_or_default().to_owned();
        let columns = fields::columns(&body, Some(&before), &Fields::USER)?;
        check(store, (&columns, &id)).await?;
        let mut set = columns.clone();
        set.insert("updated_at".to_owned(), json!(clock::unix_ms()));
        if let Some(kept) = kept {
            set.insert("password".to_owned(), json!(kept));
        }
        let key = vec![("user_id", id.as_str().into())];
        let change = Change::Update { table: TenantTable::Users, key, row: set.clone() };
        let without = |row: &Record| {
            let mut row = row.clone();
            row.remove("password");
            row
        };
        let audited = Audited {
            table: TenantTable::Users,
            action: "updated",
            object: &id,
            before: Some(&without(&before)),
            after: Some(&columns),
        };
        match make(&request, vec![change], &[audited]).await? {
            Changed::Done(_) => {}
            Changed::Exists(_) | Changed::Before => {
                let message = "the user was changed by another request meanwhile; try again";
                let status = StatusCode::CONFLICT;
                return Err(refusal::of_admin(status, INTERNAL, message.to_owned()));
            }
        }
        let keys = &request.arrival.worker.process.keys;
        if columns.contains_key("budget_reset_at")
            && let Some(account) = keys.account_of(&Subject::new(SubjectKind::User, &id))
        {
            account.set_ends(Row(&columns).time("budget_reset_at"));
        }
        keys.all_changed();
        let mut after = before;
        after.extend(set);
        let data = shown(TenantTable::Users, &without(&after));
        Ok(page(&json!({"user_id": id, "data": data})))
    })
}

/// Takes the password out of a body.
fn password(body: &mut Record) -> Result<Option<String>, Refusal> {
    match body.remove("password") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if (SHORTEST..=LONGEST).contains(&text.len()) => Ok(Some(text)),
        Some(_) => {
            let message = format!("`password` must be a text of {SHORTEST} to {LONGEST} bytes");
            Err(bad(message).param("password"))
        }
    }
}

/// The user that a body names by its id or its e-mail address.
async fn named(store: &Store, body: &Record) -> Result<Record, Refusal> {
    let found = match (Row(body).text("user_id"), Row(body).text("user_email")) {
        (Some(id), _) => {
            let find = Find::with(TenantTable::Users, "user_id", vec![id.into()]);
            store.find(&find).await.map_err(|error| failed(&error))?.pop()
        }
        (None, Some(email)) => teams::user_with(store, email).await?,
        (None, None) => {
            return Err(bad("name the user in `user_id`".to_owned()).param("user_id"));
        }
    };
    found.ok_or_else(|| {
        let message = "the user is not there; name one of /user/list".to_owned();
        refusal::of_admin(StatusCode::NOT_FOUND, INTERNAL, message).param("user_id")
    })
}

/// The role is one, and the e-mail address is no other user's.
async fn check(store: &Store, (columns, id): (&Record, &str)) -> Result<(), Refusal> {
    if let Some(role) = Row(columns).text("user_role")
        && UserRole::named(Some(role)).name() != role
    {
        return Err(bad(format!("`user_role` '{role}' is none")).param("user_role"));
    }
    if let Some(email) = Row(columns).text("user_email")
        && let Some(other) = teams::user_with(store, email).await?
        && Row(&other).text("user_id") != Some(id)
    {
        let message = format!("{{'error': 'User with email {email} already exists'}}");
        return Err(refusal::of_admin(StatusCode::CONFLICT, INTERNAL, message));
    }
    Ok(())
}
