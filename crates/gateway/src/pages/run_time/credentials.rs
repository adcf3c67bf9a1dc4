//! `/credentials`: named sets of secrets that deployments refer to by `litellm_credential_name`, in the reference's shapes.
//!
//! Called by the router. Always true: only admins get here; a value is encrypted before it is written, and never shown; a credential of
//! the config is never changed.

use hale_core::tenancy::{Record, Row};
use hale_store::{Change, Changed, Find, Store, TenantTable};
use http::StatusCode;
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::{AUTH_ERROR, check_name, check_on, check_size, in_force, object, row, salt_of};
use crate::clock;
use crate::http::refusal::{self, Refusal};
use crate::pages::admin::{Audited, actor, bad, body, failed, make, new_id, page, store, turn};
use crate::pages::{PageRequest, Waiting};
use crate::stored::{Salt, members, opened, sealed};

/// What stands in the place of a value.
const MASK: &str = "****";
/// Values that say where something is, and are shown unless they have a password or a query.
const PLACES: [&str; 8] = [
    "api_base",
    "base_url",
    "api_version",
    "organization",
    "aws_region_name",
    "vertex_project",
    "vertex_location",
    "region_name",
];

/// `POST /credentials`.
pub(crate) fn new(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        let body = body(&request, incoming).await?;
        let _turn = turn(&request).await;
        let store = store(&request)?;
        check_on(&request)?;
        let salt = salt_of(&request)?;
        let name = Row(&body).text("credential_name").unwrap_or_default();
        check_name("credential_name", name)?;
        let values = object(&body, "credential_values")?.filter(|values| !values.is_empty());
        let Some(values) = values else {
            let message = "Credential values are required: write them in `credential_values`";
            return Err(bad(message.to_owned()).param("credential_values"));
        };
        if is_of_config(&request, name) {
            return Err(of_config(name));
        }
        let (by, now) = (actor(&request).0, clock::unix_ms());
        let info = object(&body, "credential_info")?.cloned().unwrap_or_default();
        let row = Record::from_iter([
            ("credential_id".to_owned(), json!(new_id())),
            ("credential_name".to_owned(), json!(name)),
            ("credential_values".to_owned(), Value::Object(sealed(values, &salt))),
            ("credential_info".to_owned(), Value::Object(info)),
            ("created_at".to_owned(), json!(now)),
            ("created_by".to_owned(), json!(by)),
            ("updated_at".to_owned(), json!(now)),
            ("updated_by".to_owned(), json!(by)),
        ]);
        check_size(&row)?;
        let change = Change::Insert { table: TenantTable::Credentials, row: row.clone() };
        let audited = Audited {
            table: TenantTable::Credentials,
            action: "created",
            object: name,
            before: None,
            after: Some(&row),
        };
        match make(&request, vec![change], &[audited]).await? {
            Changed::Done(_) => done(&request, store, "Credential created successfully").await,
            Changed::Exists(_) | Changed::Before => {
                let message = format!(
                    "Credential '{name}' already exists. Use PATCH /credentials/{name} to change it."
                );
                Err(refusal::of_admin(StatusCode::CONFLICT, AUTH_ERROR, message)
                    .param("credential_name"))
            }
        }
    })
}

/// `GET /credentials`: those of the store, and the names of those of the config.
pub(crate) fn list(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        drop(incoming);
        let store = store(&request)?;
        let salt = salt_of(&request)?;
        let find =
            Find { sorted_by: Some("credential_name"), ..Find::all(TenantTable::Credentials) };
        let rows = store.find(&find).await.map_err(|error| failed(&error))?;
        let own = &request.arrival.serving.snapshot.credentials;
        let of_config = own.iter().map(|name| {
            json!({"credential_name": name, "credential_values": {}, "credential_info": {"source": "config"}})
        });
        let shadowed =
            |row: &&Record| !own.iter().any(|name| Row(row).text("credential_name") == Some(name));
        let rows = rows.iter().filter(shadowed).map(|row| shown(row, &salt));
        let credentials: Vec<Value> = rows.chain(of_config).collect();
        Ok(page(&json!({"success": true, "credentials": credentials})))
    })
}

/// `GET /credentials/by_name/{name}`.
pub(crate) fn info(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        drop(incoming);
        let name = request.name.unwrap_or_default();
        let salt = salt_of(&request)?;
        if is_of_config(&request, name) {
            let info = json!({"source": "config"});
            return Ok(page(
                &json!({"credential_name": name, "credential_values": {}, "credential_info": info}),
            ));
        }
        match named(store(&request)?, name).await? {
            Some(row) => Ok(page(&shown(&row, &salt))),
            None => Err(not_found(name)),
        }
    })
}

/// `PATCH /credentials/{name}`.
pub(crate) fn update(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        let body = body(&request, incoming).await?;
        let _turn = turn(&request).await;
        let store = store(&request)?;
        check_on(&request)?;
        let salt = salt_of(&request)?;
        let name = request.name.unwrap_or_default();
        let before = row_of(&request, store, name).await?;
        if Row(&body).text("credential_name").is_some_and(|new| new != name) {
            let message =
                "credential_name is immutable: make another credential, and delete this one";
            return Err(bad(message.to_owned()).param("credential_name"));
        }
        let mut values = members(before.get("credential_values"));
        for (name, value) in object(&body, "credential_values")?.into_iter().flatten() {
            match value {
                Value::Null => drop(values.remove(name)),
                Value::String(text) => drop(values.insert(name.clone(), salt.seal(text).into())),
                other => drop(values.insert(name.clone(), other.clone())),
            }
        }
        let mut info = members(before.get("credential_info"));
        info.extend(object(&body, "credential_info")?.cloned().unwrap_or_default());
        let set = Record::from_iter([
            ("credential_values".to_owned(), Value::Object(values)),
            ("credential_info".to_owned(), Value::Object(info)),
            ("updated_at".to_owned(), json!(clock::unix_ms())),
            ("updated_by".to_owned(), json!(actor(&request).0)),
        ]);
        check_size(&set)?;
        let key = vec![("credential_name", name.into())];
        let change = Change::Update { table: TenantTable::Credentials, key, row: set.clone() };
        let audited = Audited {
            table: TenantTable::Credentials,
            action: "updated",
            object: name,
            before: Some(&before),
            after: Some(&set),
        };
        make(&request, vec![change], &[audited]).await?;
        done(&request, store, "Credential updated successfully").await
    })
}

/// `DELETE /credentials/{name}`.
pub(crate) fn delete(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        drop(incoming);
        let _turn = turn(&request).await;
        let store = store(&request)?;
        check_on(&request)?;
        let name = request.name.unwrap_or_default();
        let before = row_of(&request, store, name).await?;
        let key = vec![("credential_name", name.into())];
        let change = Change::Delete { table: TenantTable::Credentials, key };
        let audited = Audited {
            table: TenantTable::Credentials,
            action: "deleted",
            object: name,
            before: Some(&before),
            after: None,
        };
        make(&request, vec![change], &[audited]).await?;
        done(&request, store, "Credential deleted successfully").await
    })
}

async fn done(
    request: &PageRequest<'_>,
    store: &Store,
    message: &str,
) -> Result<http::Response<crate::http::reply::Reply>, Refusal> {
    let mut said = json!({"success": true, "message": message});
    if let Some(why) = in_force(request, store).await {
        said["warning"] = format!("written, and not in force yet: {why}").into();
    }
    Ok(page(&said))
}

/// Whether the config has a credential of that name.
fn is_of_config(request: &PageRequest<'_>, name: &str) -> bool {
    request.arrival.serving.snapshot.credentials.iter().any(|own| **own == *name)
}

fn of_config(name: &str) -> Refusal {
    let message =
        format!("Credential '{name}' is defined in config. Edit config.yaml to change it.");
    refusal::of_admin(StatusCode::CONFLICT, AUTH_ERROR, message).param("credential_name")
}

fn not_found(name: &str) -> Refusal {
    let message = format!("Credential not found. Got credential name: {name}");
    refusal::of_admin(StatusCode::NOT_FOUND, AUTH_ERROR, message).param("credential_name")
}

async fn named(store: &Store, name: &str) -> Result<Option<Record>, Refusal> {
    row(store, TenantTable::Credentials, ("credential_name", name)).await
}

/// The row of a credential that may be changed.
async fn row_of(request: &PageRequest<'_>, store: &Store, name: &str) -> Result<Record, Refusal> {
    if is_of_config(request, name) {
        return Err(of_config(name));
    }
    named(store, name).await?.ok_or_else(|| not_found(name))
}

/// A credential with its values hidden.
fn shown(row: &Record, salt: &Salt) -> Value {
    let value = |(name, value): (&String, &Value)| {
        let one = Record::from_iter([(name.clone(), value.clone())]);
        let clear = opened(&one, Some(salt)).ok().and_then(|mut one| one.remove(name));
        let is_place = |text: &str| PLACES.contains(&name.as_str()) && !text.contains(['@', '?']);
        let shown = match clear.as_ref().and_then(Value::as_str).filter(|text| is_place(text)) {
            Some(text) => text.to_owned(),
            None => MASK.to_owned(),
        };
        (name.clone(), Value::String(shown))
    };
    let values: Record = members(row.get("credential_values")).iter().map(value).collect();
    json!({
        "credential_name": Row(row).text("credential_name"),
        "credential_values": values,
        "credential_info": members(row.get("credential_info")),
    })
}
