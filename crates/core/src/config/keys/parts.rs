//! The keys of mappings within `litellm_settings` and `general_settings`: `cache_params`, `alerting_args`.
//!
//! Looked up by [`super::rows`]. Always true: one key is one row.

use super::row::{DAY, HOUR, Kind, Row, ignored, lacks, not_yet, served};
use crate::config::features;

#[rustfmt::skip]
pub(super) const CACHE: &[Row] = &[
    served("type", Kind::Text, "`redis` if a server is named here, else `local`", "Where answers are kept. `local`: in the memory of the process. `redis`: in Redis too, for all replicas. `disk`: in files too, over a restart."),
    served("ttl", Kind::Time(1_000, DAY * 366), "600", "How long an answer may be reused."),
    served("default_in_memory_ttl", Kind::Time(1_000, DAY * 366), "`ttl`", "The same; `ttl` wins."),
    served("default_in_redis_ttl", Kind::Time(1_000, DAY * 366), "`ttl`", "The same for the type `redis`; `ttl` wins."),
    served("namespace", Kind::Text, "", "Separates the answers of several gateways that share a store."),
    served("shared_by_keys", Kind::Bool, "false", "Whether clients with different keys share answers. A key else gets answers that the same key got before."),
    served("mode", Kind::Text, "default_on", "`default_off`: only requests with `cache: {\"use-cache\": true}` use it."),
    served("supported_call_types", Kind::List, "all below", "The operations whose answers are kept: `completion` (chat and messages), `text_completion`, `embedding`; the names with an `a` in front mean the same."),
    served("max_size_mb", Kind::Megabytes(1.0, 65_536.0), "64", "MiB of all answers that one process keeps."),
    served("max_answer_mb", Kind::Megabytes(0.001, 8.0), "1", "MiB of the largest answer that is kept; at most a quarter of `max_size_mb`."),
    served("disk_cache_dir", Kind::Text, "hale-answers", "For the type `disk`: the directory of the files, from that of the store."),
    served("max_disk_mb", Kind::Megabytes(1.0, 1_048_576.0), "1024", "For the type `disk`: MiB of all files."),
    served("host", Kind::Any, "", "The host of the Redis in which answers are kept, and through which replicas share deadlines, cooldowns, limits and probes."),
    served("port", Kind::Any, "", "Its port."),
    served("password", Kind::Any, "", "The password there."),
    served("username", Kind::Any, "", "The user there."),
    served("url", Kind::Any, "", "The same as one address."),
    served("db", Kind::Any, "", "The number of the database there."),
    served("ssl", Kind::Any, "false", "Whether the connection to Redis is encrypted."),
    lacks("ssl_*", &features::CERTIFICATES),
    ignored("max_connections", "All requests share one connection."),
    ignored("socket_timeout", "Redis has 20 ms; later it is a miss."),
    ignored("redis_flush_size", "Each answer is written when it is complete."),
    served("service_name", Kind::Any, "", "The service that Sentinel names."),
    served("sentinel_nodes", Kind::Any, "", "The addresses of Sentinels."),
    served("sentinel_password", Kind::Any, "", "Their password."),
    served("redis_startup_nodes", Kind::Any, "", "Nodes of a Redis Cluster."),
    lacks("redis_*", &features::SIMILAR_ANSWERS),
    lacks("similarity_threshold", &features::SIMILAR_ANSWERS),
    lacks("qdrant_*", &features::SIMILAR_ANSWERS),
    lacks("valkey_*", &features::SIMILAR_ANSWERS),
    lacks("s3_*", &features::BUCKETS),
    lacks("gcs_*", &features::BUCKETS),
    lacks("azure_*", &features::BUCKETS),
];

#[rustfmt::skip]
pub(super) const ALERTING: &[Row] = &[
    served("min_affected", Kind::Count(0, 1_000_000_000), "1", "The requests that a fault must have touched to be told; 0 tells every fault of a deployment."),
    served("minor_outage_alert_threshold", Kind::Count(1, 1_000_000), "3", "The failed requests of a minute, and half of all at least, from which on a deployment counts as failing that no cooldown keeps out."),
    served("major_outage_alert_threshold", Kind::Count(1, 1_000_000), "10", "The failed requests from which on an incident is critical."),
    served("away_s", Kind::Time(0, HOUR), "30", "How long the store or Redis may be away before it is told."),
    served("collect_s", Kind::Time(0, HOUR), "10", "How long what has the same cause is collected before it is told."),
    served("settle_s", Kind::Time(0, HOUR), "5", "How long it must be over before it is told as resolved."),
    served("flap_s", Kind::Time(0, DAY), "600", "What comes back within this time is the same incident."),
    served("quiet_hours", Kind::List, "none", "Hours in which only what is critical is told: `{start: \"22:00\", end: \"06:00\", timezone: Europe/Berlin}`."),
    served("maintenance", Kind::List, "none", "Times in which nothing is told about `models`, or about anything: `{start, end, timezone, models}` every day, or once with `2027-01-30T22:00:00Z`."),
    served("webhook_secret", Kind::Secret, "`WEBHOOK_SECRET`", "What messages to `webhook` are signed with."),
    served("pagerduty_url", Kind::Text, "`https://events.pagerduty.com/v2/enqueue`", "Where PagerDuty takes events; for Europe `https://events.eu.pagerduty.com/v2/enqueue`."),
    served("email_to", Kind::List, "`ALERT_EMAIL_TO`", "Who gets the emails."),
    ignored("daily_report_frequency", "A report is sent when it is asked for: `POST /alerting/report`."),
    ignored("report_check_interval", "A report is sent when it is asked for: `POST /alerting/report`."),
    ignored("budget_alert_ttl", "An incident is told once, however long it lasts."),
    ignored("outage_alert_ttl", "An incident is told once, however long it lasts."),
    ignored("region_outage_alert_ttl", "An incident is told once, however long it lasts."),
    ignored("max_outage_alert_list_size", "What an incident keeps is bounded anyway."),
    ignored("log_to_console", "The log has a line for each message."),
    not_yet("daily_spend_per_user_threshold", "No alert is sent for what a user spends; `soft_budget` of a key or a team is one."),
    not_yet("monthly_spend_per_user_threshold", "No alert is sent for what a user spends; `soft_budget` of a key or a team is one."),
    not_yet("spend_anomaly_*", "No alert is sent for unusual spend."),
    not_yet("user_spend_check_interval", "No alert is sent for what a user spends; `soft_budget` of a key or a team is one."),
];
