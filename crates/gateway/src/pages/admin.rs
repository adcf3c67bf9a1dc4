//! What the admin API of keys, teams and users shares.
//!
//! Used by their pages. Always true: what is changed is written with its row of the audit log, in one transaction; a database that
//! does not work is a 503.

use hale_core::tenancy::access::KeyAccess;
use hale_core::tenancy::{KeyHash, Record, Row};
use hale_core::time::rfc3339;
use hale_store::{Change, Changed, ColumnType, Error, Find, Store, TenantTable};
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use http::{Response, StatusCode};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::sync::SemaphorePermit;

use super::PageRequest;
use crate::clock;
use crate::http::auth::Principal;
use crate::http::refusal::{self, Refusal};
use crate::http::reply::{self, Reply};
use crate::limits::Held;
use crate::offload;

/// `error.type` of what the reference raises with an object.
pub(super) const INTERNAL: &str = "internal_server_error";
pub(super) const BAD_REQUEST: &str = "bad_request_error";
pub(super) const NOT_FOUND: &str = "not_found_error";

/// How long what was spent is waited for.
const SETTLE_MAX: Duration = Duration::from_secs(2);

/// Who the audit log names for the master key.
const MASTER_USER: &str = "default_user_id";
const MASTER_KEY: &str = "litellm_proxy_master_key";

pub(super) fn page(value: &Value) -> Response<Reply> {
    reply::json(StatusCode::OK, value.to_string())
}

/// The store, if it has keys.
pub(super) fn store<'a>(request: &PageRequest<'a>) -> Result<&'a Store, Refusal> {
    let store = request.arrival.worker.process.keys.store();
    store.map(|store| &**store).ok_or_else(|| {
        let message = "No connected db. Keys need a store: name a directory that can be written in HALE_DATA_DIR, or set \
                       DATABASE_URL";
        refusal::of_admin(StatusCode::BAD_REQUEST, "no_db_connection", message.to_owned())
    })
}

/// Waits until no other request of this process changes keys, teams or users: what one reads, it changes before another reads it.
pub(super) async fn turn<'a>(request: &PageRequest<'a>) -> Option<SemaphorePermit<'a>> {
    // It is never closed.
    request.arrival.worker.process.keys.admin_turns.acquire().await.ok()
}

/// The database failed.
pub(super) fn failed(error: &Error) -> Refusal {
    // The text of a database names its address and its user.
    tracing::warn!(%error, "a page about keys could not read or write the store");
    let message =
        "the store does not work now; try again in a second, and read the log if it goes on"
            .to_owned();
    let mut refusal =
        refusal::of_admin(StatusCode::SERVICE_UNAVAILABLE, "no_db_connection", message);
    refusal.retry_after_s = Some(1);
    refusal
}

/// The object of a body, which is counted as held as long as it is there.
pub(super) struct Body {
    object: Record,
    _held: Held,
}

impl Deref for Body {
    type Target = Record;

    fn deref(&self) -> &Record {
        &self.object
    }
}

impl DerefMut for Body {
    fn deref_mut(&mut self) -> &mut Record {
        &mut self.object
    }
}

/// The object of the body.
pub(super) async fn body(request: &PageRequest<'_>, incoming: Incoming) -> Result<Body, Refusal> {
    let mut held = Held::none(&request.arrival.worker.process.buffered);
    let body = request.read_body(incoming, &mut held).await?;
    if body.trim_ascii().is_empty() {
        return Ok(Body { object: Record::new(), _held: held });
    }
    request.hold_tree(&body, &mut held).await?;
    let read = if body.len() <= offload::LARGE {
        serde_json::from_slice(&body)
    } else {
        offload::run(move || serde_json::from_slice(&body)).await
    };
    let object = read.map_err(|error| {
        let message = format!("the body must be a JSON object: {error}");
        refusal::of_admin(StatusCode::UNPROCESSABLE_ENTITY, "invalid_request_error", message)
    })?;
    Ok(Body { object, _held: held })
}

/// The row of the key that a request names by its text or its hash.
pub(super) async fn row_of(store: &Store, hash: KeyHash) -> Result<Option<Record>, Refusal> {
    let find = Find::with(TenantTable::Keys, "token", vec![hash.to_string().into()]);
    let mut found = store.find(&find).await.map_err(|error| failed(&error))?;
    Ok(found.pop())
}

/// Who does something: the user, and the hash of the key.
pub(super) fn actor(request: &PageRequest<'_>) -> (Box<str>, Box<str>) {
    match &request.arrival.principal {
        Principal::Operator | Principal::Anyone => (MASTER_USER.into(), MASTER_KEY.into()),
        Principal::Key(access) => {
            let identity = &access.identity;
            (identity.user.as_deref().unwrap_or_default().into(), (&*identity.key).into())
        }
    }
}

/// Whether the holder of a key sees the row of that key: its own, or one of its user, in its team if it is of a team. Of what the user has
/// elsewhere a key of a team shows nothing: an admin of the team may have made it for that user.
pub(super) fn is_own(access: &KeyAccess, row: Row<'_>) -> bool {
    let identity = &access.identity;
    let of_user = identity.user.as_deref().is_some_and(|user| row.text("user_id") == Some(user));
    let is_reached = identity.team.is_none() || row.text("team_id") == identity.team.as_deref();
    row.text("token") == Some(&*identity.key) || of_user && is_reached
}

/// An id of the form that the reference gives rows.
pub(super) fn new_id() -> String {
    let mut bytes = [0_u8; 16];
    random(&mut bytes);
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// Fills in bytes that cannot be guessed.
pub(super) fn random(bytes: &mut [u8]) {
    aws_lc_rs::rand::fill(bytes).expect("the system's source of randomness does not fail");
}

/// A change, for the audit log.
pub(super) struct Audited<'a> {
    /// Of a row of this table.
    pub(super) table: TenantTable,
    /// What was done.
    pub(super) action: &'static str,
    /// The id of the row.
    pub(super) object: &'a str,
    /// The row before.
    pub(super) before: Option<&'a Record>,
    /// What was set.
    pub(super) after: Option<&'a Record>,
}

/// A row for the archive `table`.
pub(super) fn archived(
    table: TenantTable,
    row: &Record,
    (user, key): &(Box<str>, Box<str>),
) -> Record {
    let mut archived = row.clone();
    archived.retain(|name, _| table.column(name).is_some());
    archived.insert("id".to_owned(), json!(new_id()));
    archived.insert("deleted_at".to_owned(), json!(clock::unix_ms()));
    archived.insert("deleted_by".to_owned(), json!(user));
    archived.insert("deleted_by_api_key".to_owned(), json!(key));
    archived
}

/// Forgets what was spent in periods by a key, a team, ...: one that is made again has spent nothing.
pub(super) fn without_counters(kind: &str, id: Box<str>) -> Change {
    let key = vec![("kind", kind.into()), ("id", id)];
    Change::Delete { table: TenantTable::BudgetCounters, key }
}

/// Whether several keys, tags, ... name the budget, so that none of them may change it.
pub(super) async fn is_shared(store: &Store, budget: &str) -> Result<bool, Refusal> {
    let tables = [
        TenantTable::Tags,
        TenantTable::Keys,
        TenantTable::Memberships,
        TenantTable::Organizations,
        TenantTable::EndUsers,
    ];
    let mut owners = 0;
    for table in tables {
        let named = Find::with(table, "budget_id", vec![budget.into()]);
        owners += store.find(&named).await.map_err(|error| failed(&error))?.len();
    }
    Ok(owners > 1)
}

/// Makes changes together with their rows of the audit log.
pub(super) async fn make(
    request: &PageRequest<'_>,
    mut changes: Vec<Change>,
    audited: &[Audited<'_>],
) -> Result<Changed, Refusal> {
    let (user, key) = actor(request);
    for one in audited {
        let value =
            |row: Option<&Record>| row.map_or(Value::Null, |row| Value::Object(row.clone()));
        let Value::Object(row) = json!({
            "id": new_id(), "updated_at": clock::unix_ms(), "changed_by": user, "changed_by_api_key": key,
            "action": one.action, "table_name": one.table.name(), "object_id": one.object,
            "before_value": value(one.before), "updated_values": value(one.after),
        }) else {
            continue;
        };
        changes.push(Change::Insert { table: TenantTable::AuditLog, row });
    }
    store(request)?.change(&changes, None).await.map_err(|error| failed(&error))
}

/// Waits until what requests that have ended cost is in the database, within a bound.
pub(super) async fn settle_spend(request: &PageRequest<'_>) -> Result<(), Refusal> {
    let process = request.arrival.worker.process.clone();
    let own = process.clone();
    // A panic of a sink is logged where it happens; the rows are written later.
    let _panicked = tokio::task::spawn_blocking(move || own.sinks.flush(&own.metrics)).await;
    store(request)?.settled(SETTLE_MAX).await;
    process.keys.write().await;
    Ok(())
}

/// A row as pages show it: moments as text.
pub(super) fn shown(table: TenantTable, row: &Record) -> Record {
    let value = |(name, value): (&String, &Value)| {
        let is_time = table.column(name) == Some(ColumnType::Time);
        let value = match value.as_u64().filter(|_| is_time) {
            Some(ms) => json!(rfc3339(ms)),
            None => value.clone(),
        };
        (name.clone(), value)
    };
    row.iter().map(value).collect()
}

/// A request that is wrong.
pub(super) fn bad(message: String) -> Refusal {
    refusal::of_admin(StatusCode::BAD_REQUEST, BAD_REQUEST, message)
}
