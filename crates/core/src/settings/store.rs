//! What is remembered over a restart, and how long.
//!
//! Part of [`super`]. Always true: without a setting the store is a file, and no conversation is kept.

use crate::secret::Secret;

/// What is remembered over a restart, and how long.
#[derive(Clone, Debug, PartialEq)]
pub struct StoreSettings {
    /// The address of the database; without one it is a file.
    pub database_url: Option<Secret>,
    /// Whether the process wants no traffic while the database does not work. No.
    pub required: bool,
    /// How long records of requests are kept, days. 7.
    pub requests_days: u32,
    /// Whether no request is recorded. No.
    pub no_requests: bool,
    /// The share of successful requests whose records are kept, 0 to 1. 1.
    pub requests_sample: f64,
    /// How many of them a second, at most; on SQLite 200 unless it is set.
    pub requests_per_second: Option<u32>,
    /// Size of a file from which on the oldest records of requests are deleted, bytes. 512 MiB.
    pub requests_max_bytes: u64,
    /// How long changes of state, operators' actions and days of rollups are kept, days. 400.
    pub history_days: u32,
    /// How long minutes of rollups are kept, days. 8.
    pub minutes_days: u32,
    /// How many results of probes are kept for each deployment. 1,000.
    pub probe_results: u32,
    /// Whether rows of what requests cost have what was said. No.
    pub prompts: bool,
    /// How long such rows are kept, days. 90.
    pub spend_days: u32,
    /// What is kept of responses whose providers keep none.
    pub responses: ResponsesHistory,
    /// How long, days. 30.
    pub responses_days: u32,
}

/// What is kept of responses whose providers keep none: `responses_history`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResponsesHistory {
    /// Nothing.
    #[default]
    Off,
    /// All of them, unless the client says `store: false`.
    Store,
}

impl Default for StoreSettings {
    fn default() -> StoreSettings {
        StoreSettings {
            database_url: None,
            required: false,
            requests_days: 7,
            prompts: false,
            spend_days: 90,
            responses: ResponsesHistory::Off,
            responses_days: 30,
            no_requests: false,
            requests_sample: 1.0,
            requests_per_second: None,
            requests_max_bytes: 512 << 20,
            history_days: 400,
            minutes_days: 8,
            probe_results: 1_000,
        }
    }
}
