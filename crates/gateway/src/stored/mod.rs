//! What the store adds to the config while the process runs: deployments, credentials and settings that were made at run time.
//!
//! Looked at once a second by the process, and at once by the admin API that changes it. Always true: what was read last goes on while
//! the database does not answer; the reloader puts it in force, as it does a changed file, and there is no other way into the config.

mod rows;
mod salt;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hale_core::config::{Problem, Stored};
use hale_core::settings::GatewaySettings;
use hale_core::tenancy::{Record, Row};
use hale_store::{Address, Error, Find, Status, Store, TenantTable};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::{Mutex as Turn, mpsc, oneshot};

use self::rows::Rows;
pub(crate) use self::rows::{members, model, opened, sealed};
pub(crate) use self::salt::Salt;

/// Deployments that are read.
pub(crate) const MODELS_MAX: u32 = 10_000;
/// Credentials that are read.
const CREDENTIALS_MAX: u32 = 10_000;
/// Orders that wait for the reloader.
const ORDERS_MAX: usize = 16;
/// How long a change is waited for until it is in force.
const APPLY_MAX: Duration = Duration::from_secs(10);

/// What the reloader is to do.
pub(crate) enum Order {
    /// Put this in force; the answer is whether it is.
    Apply(Arc<Stored>, oneshot::Sender<Result<(), String>>),
    /// Load the config with this, and put nothing in force; the answer is the problems.
    Try(Box<Stored>, oneshot::Sender<Vec<Problem>>),
}

/// What was made at run time, as it was last read.
pub(crate) struct RunTime {
    orders: mpsc::Sender<Order>,
    /// For the reloader, which takes it once.
    ordered: Mutex<Option<mpsc::Receiver<Order>>>,
    /// One look at a time.
    seen: Turn<Seen>,
    /// What is in force, or on its way.
    stored: Mutex<Arc<Stored>>,
}

/// What the last look found.
#[derive(Default)]
struct Seen {
    is_read: bool,
    stamps: BTreeMap<(TenantTable, String), Value>,
    salt: Option<Salt>,
    rows: Rows,
}

/// Why what was made at run time is not in force.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    /// The database does not work.
    #[error("{0}")]
    Database(String),
    /// The config is refused with it.
    #[error("{0}")]
    Refused(String),
}

/// When a look reads everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// If rows have other stamps than before.
    IfChanged,
    /// Always: this process changed them.
    Now,
}

impl Default for RunTime {
    fn default() -> RunTime {
        let (orders, ordered) = mpsc::channel(ORDERS_MAX);
        RunTime {
            orders,
            ordered: Mutex::new(Some(ordered)),
            seen: Turn::default(),
            stored: Mutex::default(),
        }
    }
}

/// What encrypts secrets in the store.
pub(crate) fn salt(settings: &GatewaySettings) -> Option<Salt> {
    settings.salt_key.as_ref().or(settings.master_key.as_ref()).map(Salt::of)
}

impl RunTime {
    /// The orders, for the reloader.
    pub(crate) fn ordered(&self) -> Option<mpsc::Receiver<Order>> {
        self.ordered.lock().take()
    }

    /// What is in force, or on its way.
    pub(crate) fn stored(&self) -> Arc<Stored> {
        self.stored.lock().clone()
    }

    /// The problems of the config with this in place of what is in force; none if nothing reloads.
    pub(crate) async fn attempt(&self, stored: Stored) -> Vec<Problem> {
        let (answer, answered) = oneshot::channel();
        if self.orders.send(Order::Try(Box::new(stored), answer)).await.is_err() {
            return Vec::new();
        }
        let answer = tokio::time::timeout(APPLY_MAX, answered).await;
        answer.ok().and_then(Result::ok).unwrap_or_default()
    }

    /// Reads the rows, and has them put in force if they changed.
    ///
    /// # Errors
    /// The database failed, or the config is refused; what is in force stays.
    pub(crate) async fn look(
        &self,
        store: &Store,
        settings: &GatewaySettings,
        look: Look,
    ) -> Result<(), Failure> {
        if store.status() != Status::Connected {
            return Err(Failure::Database("the database does not answer".to_owned()));
        }
        let mut seen = self.seen.lock().await;
        let salt = salt(settings);
        let is_same_salt = seen.salt == salt;
        // A file has one writer, which is this process.
        let is_shared = matches!(store.address(), Address::Server(_));
        if look == Look::IfChanged && seen.is_read && is_same_salt && !is_shared {
            return Ok(());
        }
        let failed = |error: Error| Failure::Database(error.to_string());
        let mut rows = Rows {
            settings: store.find(&all(TenantTable::Settings)).await.map_err(failed)?,
            ..Rows::default()
        };
        let is_on = settings.stores_models || rows.say_yes();
        let mut stamps = BTreeMap::new();
        if is_on {
            for table in [TenantTable::Models, TenantTable::Credentials] {
                stamps.extend(stamps_of(store, table).await.map_err(failed)?);
            }
        } else {
            rows.settings.clear();
        }
        let is_same = seen.is_read && is_same_salt && seen.stamps == stamps;
        if look == Look::IfChanged && is_same && seen.rows.settings == rows.settings {
            return Ok(());
        }
        if is_on {
            rows.models = store.find(&all(TenantTable::Models)).await.map_err(failed)?;
            rows.credentials = store.find(&all(TenantTable::Credentials)).await.map_err(failed)?;
            rows.models.sort_by_key(made);
        }
        // Without rows there is nothing that another salt would open.
        let is_changed = seen.rows != rows || (!is_same_salt && rows != Rows::default());
        if is_changed {
            let stored = Arc::new(rows.stored(salt.as_ref()));
            self.apply(stored).await.map_err(Failure::Refused)?;
        }
        *seen = Seen { is_read: true, stamps, salt, rows };
        Ok(())
    }

    async fn apply(&self, stored: Arc<Stored>) -> Result<(), String> {
        if stored.models.len() >= MODELS_MAX as usize {
            tracing::error!("the store has more than {MODELS_MAX} models: only the first are read");
        }
        let before = std::mem::replace(&mut *self.stored.lock(), stored.clone());
        let (answer, answered) = oneshot::channel();
        let sent = self.orders.send(Order::Apply(stored, answer)).await;
        let answer = match sent {
            Ok(()) => tokio::time::timeout(APPLY_MAX, answered).await,
            Err(_) => return Ok(()),
        };
        let result = match answer {
            Ok(Ok(result)) => result,
            Ok(Err(_)) | Err(_) => Err("the config is not read again yet".to_owned()),
        };
        if result.is_err() {
            *self.stored.lock() = before;
        }
        result
    }
}

/// All rows of a table.
fn all(table: TenantTable) -> Find {
    let limit = match table {
        TenantTable::Models => MODELS_MAX,
        _ => CREDENTIALS_MAX,
    };
    Find { limit, ..Find::all(table) }
}

/// What changes with each row of a table, besides what it says.
async fn stamps_of(
    store: &Store,
    table: TenantTable,
) -> Result<Vec<((TenantTable, String), Value)>, Error> {
    let (id, without): (_, &'static [&'static str]) = match table {
        TenantTable::Models => ("model_id", &["litellm_params", "model_info"]),
        _ => ("credential_id", &["credential_values", "credential_info"]),
    };
    let rows = store.find(&Find { without, ..all(table) }).await?;
    let stamp = |row: Record| {
        let id = Row(&row).text(id).unwrap_or_default().to_owned();
        ((table, id), Value::Object(row))
    };
    Ok(rows.into_iter().map(stamp).collect())
}

/// When a deployment was made, so that the order of a group does not depend on the database.
fn made(row: &Record) -> (u64, String) {
    let at = row.get("created_at").and_then(Value::as_u64).unwrap_or_default();
    (at, Row(row).text("model_id").unwrap_or_default().to_owned())
}
