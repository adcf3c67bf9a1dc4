//! What is remembered over a restart: the keys of `general_settings` about it.
//!
//! Called by [`super::settings`]. Always true: the address in the config comes before that of the environment; a number out
//! of range is as if it were not set.

use crate::secret::Secret;
use crate::settings::StoreSettings;

use super::field::Field;
use super::interpolate::Env;
use super::problem::Problems;

/// The variable of the address, as in LiteLLM.
const DATABASE_URL: &str = "DATABASE_URL";

/// What the environment says.
pub(super) fn environment(env: &Env<'_>) -> StoreSettings {
    let database_url = env.get(DATABASE_URL).filter(|url| !url.trim().is_empty());
    StoreSettings {
        database_url: database_url.map(|url| Secret::new(&url)),
        ..StoreSettings::default()
    }
}

/// Reads a key; false if it is about something else.
pub(super) fn setting(
    store: &mut StoreSettings,
    field: &Field<'_>,
    problems: &mut Problems,
) -> bool {
    match field.row.name {
        "database_url" => {
            if let Some(url) = field.text(problems).filter(|url| !url.trim().is_empty()) {
                store.database_url = Some(Secret::new(url));
            }
        }
        "database_required" => put(&mut store.required, field.flag(problems)),
        "disable_spend_logs" => put(&mut store.no_requests, field.flag(problems)),
        "store_requests_days" => put(&mut store.requests_days, field.small(problems)),
        "store_requests_sample" => put(&mut store.requests_sample, field.number(problems)),
        "store_requests_per_second" => store.requests_per_second = field.small(problems),
        "store_requests_max_mb" => {
            let bytes = field.bytes(problems).map(|bytes| bytes as u64);
            put(&mut store.requests_max_bytes, bytes);
        }
        "store_history_days" => put(&mut store.history_days, field.small(problems)),
        "store_minutes_days" => put(&mut store.minutes_days, field.small(problems)),
        "store_probe_results" => put(&mut store.probe_results, field.small(problems)),
        _ => return false,
    }
    true
}

fn put<T>(setting: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *setting = value;
    }
}
