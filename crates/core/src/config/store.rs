//! What is remembered over a restart: the keys of `general_settings` about it.
//!
//! Called by [`super::settings`]. Always true: the address in the config comes before that of the environment; a number out
//! of range is as if it were not set.

use crate::secret::Secret;
use crate::settings::{ResponsesHistory, StoreSettings};

use super::field::Field;
use super::interpolate::Env;
use super::problem::{Problems, Wrong, shown};

/// The variable of the address, as in LiteLLM.
const DATABASE_URL: &str = "DATABASE_URL";

/// The variable that has what was said kept, as in LiteLLM.
const PROMPTS: &str = "STORE_PROMPTS_IN_SPEND_LOGS";
/// Milliseconds of a day.
const DAY_MS: u64 = 86_400_000;

/// What the environment says.
pub(super) fn environment(env: &Env<'_>) -> StoreSettings {
    let database_url = env.get(DATABASE_URL).filter(|url| !url.trim().is_empty());
    let prompts = env.get(PROMPTS).is_some_and(|text| text.trim().eq_ignore_ascii_case("true"));
    StoreSettings {
        prompts,
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
        "responses_history" => responses(&mut store.responses, field, problems),
        "responses_history_days" => put(&mut store.responses_days, field.small(problems)),
        "store_probe_results" => put(&mut store.probe_results, field.small(problems)),
        "store_prompts_in_spend_logs" => put(&mut store.prompts, field.flag(problems)),
        "maximum_spend_logs_retention_period" => {
            let days = field.time(problems).map(|ms| ms.div_ceil(DAY_MS));
            put(&mut store.spend_days, days.and_then(|days| u32::try_from(days).ok()));
        }
        _ => return false,
    }
    true
}

fn responses(kept: &mut ResponsesHistory, field: &Field<'_>, problems: &mut Problems) {
    match field.text(problems) {
        None => {}
        Some("off") => *kept = ResponsesHistory::Off,
        Some("store") => *kept = ResponsesHistory::Store,
        Some(other) => {
            let problem = format!("unknown way to keep responses `{}`", shown(other));
            field.wrong(Wrong::new(problem, "write `store` or `off`"), problems);
        }
    }
}

fn put<T>(setting: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *setting = value;
    }
}
