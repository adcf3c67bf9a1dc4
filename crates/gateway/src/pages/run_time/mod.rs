//! The admin API of what is made at run time: deployments, credentials and settings that the store adds to the config.
//!
//! Called by the router. Always true: what is written is in force in this process before the answer, unless the answer says why not; no
//! answer and no row of the audit log has a secret in clear.

pub(crate) mod credentials;
pub(crate) mod models;
pub(crate) mod settings;
mod teams;

use hale_core::config::Problem;
use hale_core::tenancy::Record;
use hale_store::{Find, Store, TenantTable};
use http::StatusCode;
use serde_json::Value;

use super::PageRequest;
use super::admin::{bad, failed};
use crate::http::refusal::{self, Refusal};
use crate::stored::{Look, Salt, salt};

/// `error.type` of these pages, as in the reference.
const AUTH_ERROR: &str = "auth_error";
/// How the loader ends a problem that stops a deployment.
const STOPS: &str = ": the deployment cannot serve";
/// Longest row, bytes: all of them are read again when one has changed.
const ROW_MAX: usize = 256 << 10;
/// Longest name, bytes.
const NAME_MAX: usize = 1_000;

/// Whether models may be made at run time.
fn check_on(request: &PageRequest<'_>) -> Result<(), Refusal> {
    if request.arrival.serving.snapshot.gateway.stores_models {
        return Ok(());
    }
    let message = "Set `'STORE_MODEL_IN_DB='True'` in your env to enable this feature. Or set \
                   general_settings.store_model_in_db: true";
    Err(refusal::of_admin(StatusCode::BAD_REQUEST, AUTH_ERROR, message.to_owned()))
}

/// What encrypts secrets.
fn salt_of(request: &PageRequest<'_>) -> Result<Salt, Refusal> {
    // An admin has the master key, or a key beside it.
    salt(&request.arrival.serving.snapshot.gateway).ok_or_else(refusal::no_admin)
}

/// Has what was written put in force; why it is not, if it is not.
async fn in_force(request: &PageRequest<'_>, store: &Store) -> Option<String> {
    let process = &request.arrival.worker.process;
    let serving = process.serving();
    let looked = process.run_time.look(store, &serving.snapshot.gateway, Look::Now).await;
    looked.err().map(|failure| failure.to_string())
}

/// The row of a table whose column has that text.
async fn row(
    store: &Store,
    table: TenantTable,
    (column, text): (&'static str, &str),
) -> Result<Option<Record>, Refusal> {
    let find = Find::with(table, column, vec![text.into()]);
    Ok(store.find(&find).await.map_err(|error| failed(&error))?.pop())
}

/// A name that people see in logs and pages.
fn check_name(field: &str, name: &str) -> Result<(), Refusal> {
    let wrong = if name.trim().is_empty() {
        "is empty"
    } else if name.len() > NAME_MAX {
        "is too long"
    } else if name.chars().any(char::is_control) {
        "contains control characters"
    } else {
        return Ok(());
    };
    Err(bad(format!("`{field}` {wrong}")).param(field))
}

/// A row that everyone reads again.
fn check_size(row: &Record) -> Result<(), Refusal> {
    let bytes = Value::Object(row.clone()).to_string().len();
    if bytes <= ROW_MAX {
        return Ok(());
    }
    let message = format!("this has {bytes} bytes, and a row has at most {ROW_MAX}");
    Err(refusal::of_admin(StatusCode::PAYLOAD_TOO_LARGE, AUTH_ERROR, message))
}

/// An object of a body; an empty one if it is not there.
fn object<'b>(body: &'b Record, field: &str) -> Result<Option<&'b Record>, Refusal> {
    match body.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(members)) => Ok(Some(members)),
        Some(_) => Err(bad(format!("`{field}` must be an object")).param(field)),
    }
}

/// The problems of a row that is called `file`, in words.
fn problems_of<'p>(
    problems: &'p [Problem],
    file: &'p str,
) -> impl Iterator<Item = String> + use<'p> {
    let own = problems.iter().filter(move |one| *one.file == *file);
    own.map(|one| {
        let hint = if one.hint.is_empty() { String::new() } else { format!(". {}", one.hint) };
        format!("{}{hint}", one.problem.trim_end_matches(STOPS))
    })
}
