//! The table of metric families.
//!
//! Read by [`super`] for the page, and by the test of its documentation. Always true: a metric is one row.

use hale_core::cause::Cause;
use hale_core::health::probe::Status;
use hale_core::health::{RateLimit, Verdict};
use hale_core::time::Millis;
use prometheus_client::metrics::MetricType;

use super::family::{Family, Read, load};
use super::system;
use crate::{clock, events, logging};

/// All families.
pub(super) static FAMILIES: &[Family] = &[
    Family {
        name: "hale_requests",
        help: "Finished requests by model group and ending.",
        read: Read::GroupByEnding,
    },
    Family {
        name: "hale_responses",
        help: "Finished requests by model group and class of HTTP status.",
        read: Read::GroupByStatus,
    },
    Family {
        name: "hale_request_duration_seconds",
        help: "From arrival to the end of the answer.",
        read: Read::GroupSeconds(|g| &g.duration),
    },
    Family {
        name: "hale_overhead_seconds",
        help: "The gateway's own share of a request's time.",
        read: Read::GroupSeconds(|g| &g.overhead),
    },
    Family {
        name: "hale_time_to_first_token_seconds",
        help: "From arrival to the first content of a stream.",
        read: Read::GroupSeconds(|g| &g.first_content),
    },
    Family {
        name: "hale_waited_seconds",
        help: "How long requests waited for their turn, those that waited.",
        read: Read::GroupSeconds(|g| &g.waited),
    },
    Family {
        name: "hale_retries",
        help: "Attempts within a group after the first.",
        read: Read::Group(|g| load(&g.retries)),
    },
    Family {
        name: "hale_fallbacks",
        help: "Fallback groups entered.",
        read: Read::Group(|g| load(&g.fallbacks)),
    },
    Family {
        name: "hale_resends",
        help: "Attempts that were sent again on a new connection, because a kept one turned out to be \
               closed or reset.",
        read: Read::GroupByReason,
    },
    Family {
        name: "hale_input_tokens",
        help: "Prompt tokens that were charged.",
        read: Read::Group(|g| load(&g.input_tokens)),
    },
    Family {
        name: "hale_output_tokens",
        help: "Answer tokens that were charged.",
        read: Read::Group(|g| load(&g.output_tokens)),
    },
    Family {
        name: "hale_estimated_usage",
        help: "Finished requests whose tokens are estimated, because the provider's count did not come or is beyond \
               what the model can do.",
        read: Read::Group(|g| load(&g.estimated)),
    },
    Family {
        name: "hale_spend_usd",
        help: "Cost of answers, where the price is known.",
        read: Read::GroupUsd(|g| load(&g.spend_nano_usd)),
    },
    Family {
        name: "hale_attempts",
        help: "Upstream calls by deployment and outcome: success, or the cause of the failure.",
        read: Read::DeploymentByOutcome,
    },
    Family {
        name: "hale_deployment_in_flight",
        help: "Upstream calls under way.",
        read: Read::Deployment(MetricType::Gauge, |d| d.state.in_flight().into()),
    },
    Family {
        name: "hale_deployment_resting",
        help: "1 while a deployment gets no traffic because of its health, else 0.",
        read: Read::Deployment(MetricType::Gauge, |d| {
            let verdict = d.verdict(clock::now().millis());
            u64::from(matches!(verdict, Verdict::Cooling(_) | Verdict::HalfOpen(_)))
        }),
    },
    Family {
        name: "hale_deployment_rpm_share",
        help: "What this replica allows itself of the deployment's rpm; 0 without one.",
        read: Read::Deployment(MetricType::Gauge, |d| {
            let part = |limit| d.state.rates().own_part(RateLimit::Requests, limit);
            d.routing.limits.rpm.map_or(0, part)
        }),
    },
    Family {
        name: "hale_deployment_tpm_share",
        help: "What this replica allows itself of the deployment's tpm; 0 without one.",
        read: Read::Deployment(MetricType::Gauge, |d| {
            let part = |limit| d.state.rates().own_part(RateLimit::Tokens, limit);
            d.routing.limits.tpm.map_or(0, part)
        }),
    },
    Family {
        name: "hale_deployment_misconfigured",
        help: "1 when a deployment cannot work as configured, else 0.",
        read: Read::Deployment(MetricType::Gauge, |d| u64::from(d.misconfigured.is_some())),
    },
    Family {
        name: "hale_deployment_cooldowns",
        help: "Cooldowns of a deployment that have begun.",
        read: Read::Deployment(MetricType::Counter, |d| d.state.opens()),
    },
    Family {
        name: "hale_deployment_changes",
        help: "Changes of a deployment's state, whatever caused them.",
        read: Read::Deployment(MetricType::Counter, |d| d.state.changed()),
    },
    Family {
        name: "litellm_deployment_success_responses",
        help: "Good outcomes of upstream calls.",
        read: Read::Deployment(MetricType::Counter, |d| d.state.successes()),
    },
    Family {
        name: "litellm_deployment_failure_responses",
        help: "Upstream calls that failed by the deployment's fault.",
        read: Read::Deployment(MetricType::Counter, |d| {
            let blamed = Cause::ALL.into_iter().filter(|cause| cause.blames_deployment());
            blamed.map(|cause| d.state.failures(cause)).sum()
        }),
    },
    Family {
        name: "litellm_deployment_cooled_down",
        help: "Cooldowns of a deployment that have begun.",
        read: Read::Deployment(MetricType::Counter, |d| d.state.opens()),
    },
    Family {
        name: "litellm_spend_metric",
        help: "Cost of answers in USD, where the price is known.",
        read: Read::GroupUsd(|g| load(&g.spend_nano_usd)),
    },
    Family {
        name: "litellm_request_total_latency_metric",
        help: "From arrival to the end of the answer, seconds.",
        read: Read::GroupSeconds(|g| &g.duration),
    },
    Family {
        name: "litellm_overhead_latency_metric",
        help: "The gateway's own share of a request's time, seconds.",
        read: Read::GroupSeconds(|g| &g.overhead),
    },
    Family {
        name: "litellm_llm_api_time_to_first_token_metric",
        help: "From arrival to the first content of a stream, seconds.",
        read: Read::GroupSeconds(|g| &g.first_content),
    },
    Family {
        name: "hale_in_flight_requests",
        help: "Requests of clients under way.",
        read: Read::Process(MetricType::Gauge, |p| load(&p.metrics.in_flight)),
    },
    Family {
        name: "hale_waiting",
        help: "Requests that wait for their turn at a deployment.",
        read: Read::Process(MetricType::Gauge, |p| p.waiting.count()),
    },
    Family {
        name: "hale_cache_hits",
        help: "Requests that a kept answer answered.",
        read: Read::Process(MetricType::Counter, |p| load(&p.answers.hits)),
    },
    Family {
        name: "hale_cache_joined",
        help: "Requests that joined an equal one under way.",
        read: Read::Process(MetricType::Counter, |p| load(&p.answers.joined)),
    },
    Family {
        name: "hale_cache_misses",
        help: "Requests of which the cache had no answer.",
        read: Read::Process(MetricType::Counter, |p| load(&p.answers.misses)),
    },
    Family {
        name: "hale_cache_bytes",
        help: "Bytes of the answers that are kept.",
        read: Read::Process(MetricType::Gauge, |p| p.answers.bytes()),
    },
    Family {
        name: "hale_cache_dropped",
        help: "Answers that could not be written to Redis or to the disk.",
        read: Read::Process(MetricType::Counter, |p| load(&p.answers.losses.dropped)),
    },
    Family {
        name: "hale_cache_garbage",
        help: "What was found under keys or names of answers and is none.",
        read: Read::Process(MetricType::Counter, |p| load(&p.answers.losses.garbage)),
    },
    Family {
        name: "hale_cache_reached",
        help: "1 while Redis is reached for the answers that are kept there, or they are on the disk.",
        read: Read::Process(MetricType::Gauge, |p| u64::from(p.answers.reaches_second())),
    },
    Family {
        name: "hale_fleet_replicas",
        help: "Replicas that live and share what they learn, this one included.",
        read: Read::Process(MetricType::Gauge, |p| p.fleet.status.load().others.len() as u64 + 1),
    },
    Family {
        name: "hale_fleet_shared",
        help: "1 while this replica shares what it learns, 0 while it judges by itself.",
        read: Read::Process(MetricType::Gauge, |p| u64::from(p.fleet.is_shared())),
    },
    Family {
        name: "hale_fleet_breaker_open",
        help: "1 while calls to the server between the replicas are not made, because it is not reached.",
        read: Read::Process(MetricType::Gauge, |p| u64::from(p.fleet.is_cut_off())),
    },
    Family {
        name: "hale_fleet_leases_held",
        help: "Leases of probes that this replica holds.",
        read: Read::Process(MetricType::Gauge, |p| {
            let status = p.fleet.status.load();
            status.holders.iter().filter(|(_, pod, _)| *pod == status.pod_id).count() as u64
        }),
    },
    Family {
        name: "hale_fleet_messages_sent",
        help: "Messages for other replicas that the server between them took.",
        read: Read::Process(MetricType::Counter, |p| load(&p.fleet.sent)),
    },
    Family {
        name: "hale_fleet_messages_received",
        help: "Messages of other replicas that were read.",
        read: Read::Process(MetricType::Counter, |p| load(&p.fleet.received)),
    },
    Family {
        name: "hale_fleet_last_message_age_seconds",
        help: "Seconds since another replica wrote the newest message that was read, or since the start.",
        read: Read::Process(MetricType::Gauge, |p| {
            clock::now().millis().since(Millis(load(&p.fleet.heard_at))) / 1_000
        }),
    },
    Family {
        name: "hale_fleet_garbage",
        help: "What was found in Redis under Hale's own keys, or in its table in PostgreSQL, and could not be read.",
        read: Read::Process(MetricType::Counter, |p| load(&p.fleet.garbage)),
    },
    Family {
        name: "hale_refused_keys",
        help: "Requests that were refused because of their key.",
        read: Read::Process(MetricType::Counter, |p| load(&p.metrics.refused_keys)),
    },
    Family {
        name: "hale_connections",
        help: "Open connections of clients.",
        read: Read::Process(MetricType::Gauge, |p| load(&p.metrics.connections)),
    },
    Family {
        name: "hale_buffered_bytes",
        help: "Bytes that request bodies, their copies and translations, and answers take.",
        read: Read::Process(MetricType::Gauge, |p| p.buffered.bytes() as u64),
    },
    Family {
        name: "hale_worker_stall_seconds",
        help: "Processor time that a worker spent on one connection without a look at its others, if it was 5 ms or more.",
        read: Read::ProcessSeconds(|p| &p.metrics.worker_stall),
    },
    Family {
        name: "hale_records_dropped",
        help: "Records of requests that no sink had room for.",
        read: Read::Process(MetricType::Counter, |p| load(&p.metrics.records_dropped)),
    },
    Family {
        name: "hale_sink_records_sent",
        help: "Records of requests that a sink took, by sink.",
        read: Read::Sink(MetricType::Counter, |figures| figures.sent),
    },
    Family {
        name: "hale_sink_records_dropped",
        help: "Records of requests that a sink refused, or for which there was no room, by sink.",
        read: Read::Sink(MetricType::Counter, |figures| figures.lost),
    },
    Family {
        name: "hale_sink_failures",
        help: "Requests to a sink that failed, by sink.",
        read: Read::Sink(MetricType::Counter, |figures| figures.failures),
    },
    Family {
        name: "hale_sink_queue_bytes",
        help: "Bytes of records that wait for a sink in memory, by sink.",
        read: Read::Sink(MetricType::Gauge, |figures| figures.queued_bytes),
    },
    Family {
        name: "hale_sink_spool_bytes",
        help: "Bytes of records that wait for a sink on the disk, by sink.",
        read: Read::Sink(MetricType::Gauge, |figures| figures.spooled_bytes),
    },
    Family {
        name: "litellm_callback_logging_failures_metric",
        help: "Requests to a callback that failed.",
        read: Read::Sink(MetricType::Counter, |figures| figures.failures),
    },
    Family {
        name: "hale_store_rows_written",
        help: "Rows that the database took.",
        read: Read::Process(MetricType::Counter, |p| p.stored().written),
    },
    Family {
        name: "hale_store_rows_dropped",
        help: "Rows that were lost before the database took them.",
        read: Read::Process(MetricType::Counter, |p| p.stored().dropped),
    },
    Family {
        name: "hale_store_rows_pending",
        help: "Rows that wait for the database.",
        read: Read::Process(MetricType::Gauge, |p| p.stored().pending),
    },
    Family {
        name: "hale_store_spool_bytes",
        help: "Bytes of rows on the disk that the database does not have yet.",
        read: Read::Process(MetricType::Gauge, |p| p.stored().spool_bytes),
    },
    Family {
        name: "hale_incidents_open",
        help: "Incidents in which something is wrong now.",
        read: Read::Process(MetricType::Gauge, |p| {
            p.alerts.incidents.load().iter().filter(|one| one.is_down()).count() as u64
        }),
    },
    Family {
        name: "hale_alerts_sent",
        help: "Messages about incidents that their channels took.",
        read: Read::Process(MetricType::Counter, |p| load(&p.alerts.sent)),
    },
    Family {
        name: "hale_alerts_failed",
        help: "Messages about incidents that their channels did not take, each time; they are sent again.",
        read: Read::Process(MetricType::Counter, |p| load(&p.alerts.failed)),
    },
    Family {
        name: "hale_alerts_dropped",
        help: "Messages about incidents that were given up after a day, or because too many waited.",
        read: Read::Process(MetricType::Counter, |p| load(&p.alerts.dropped)),
    },
    Family {
        name: "hale_alerts_waiting",
        help: "Messages about incidents that wait for their channels.",
        read: Read::Process(MetricType::Gauge, |p| load(&p.alerts.waiting)),
    },
    Family {
        name: "hale_log_lines_dropped",
        help: "Lines of the log that were dropped because standard error was not read.",
        read: Read::Process(MetricType::Counter, |_| logging::dropped_lines()),
    },
    Family {
        name: "hale_events_dropped",
        help: "Events that a subscriber of the process's own bus was too slow for.",
        read: Read::Process(MetricType::Counter, |_| events::dropped()),
    },
    Family {
        name: "hale_config_reloads",
        help: "Configs that were put in force while running.",
        read: Read::Process(MetricType::Counter, |p| load(&p.metrics.reloads_applied)),
    },
    Family {
        name: "hale_config_reloads_refused",
        help: "Changed configs that had an error and were not put in force.",
        read: Read::Process(MetricType::Counter, |p| load(&p.metrics.reloads_refused)),
    },
    Family {
        name: "hale_probes",
        help: "Health probes that were sent.",
        read: Read::Process(MetricType::Counter, |p| load(&p.health.probes)),
    },
    Family {
        name: "hale_probes_failed",
        help: "Health probes that failed.",
        read: Read::Process(MetricType::Counter, |p| load(&p.health.failed)),
    },
    Family {
        name: "hale_probes_in_flight",
        help: "Health probes in flight.",
        read: Read::Process(MetricType::Gauge, |p| load(&p.health.in_flight)),
    },
    Family {
        name: "hale_probe_cost_usd",
        help: "Cost of health probes in USD, estimated if the provider does not report it.",
        read: Read::ProcessUsd(|p| load(&p.health.nano_usd)),
    },
    Family {
        name: "hale_health_loop_age_seconds",
        help: "Seconds since the health thread last made progress.",
        read: Read::Process(MetricType::Gauge, |p| p.health.age_ms() / 1000),
    },
    Family {
        name: "hale_health_filter_bypassed",
        help: "Attempts that were made although the probes of every deployment had failed.",
        read: Read::Process(MetricType::Counter, |p| load(&p.health.bypasses)),
    },
    Family {
        name: "hale_deployment_probes",
        help: "Health checks of the deployment.",
        read: Read::Deployment(MetricType::Counter, |d| d.state.probes().count()),
    },
    Family {
        name: "hale_deployment_check_status",
        help: "What health checks say: 0 nothing, 1 healthy, 2 unhealthy.",
        read: Read::Deployment(MetricType::Gauge, |d| match d.state.probes().standing().0 {
            Status::Unprobed | Status::Unknown(_) => 0,
            Status::Healthy | Status::RateLimited => 1,
            Status::Unhealthy(_) => 2,
        }),
    },
    Family {
        name: "hale_budget_remaining_usd",
        help: "What is left of a budget in its window, USD.",
        read: Read::BudgetRemaining { all: true },
    },
    Family {
        name: "litellm_provider_remaining_budget_metric",
        help: "What is left of a provider's budget in its window, USD.",
        read: Read::BudgetRemaining { all: false },
    },
    Family {
        name: "hale_build_info",
        help: "1; the labels are the version, and the version of LiteLLM that it is compatible with.",
        read: Read::Build,
    },
    Family {
        name: "process_cpu_seconds",
        help: "Processor time of the process in user and system mode.",
        read: Read::System(MetricType::Counter, system::cpu_seconds),
    },
    Family {
        name: "process_resident_memory_bytes",
        help: "Memory that the process uses.",
        read: Read::System(MetricType::Gauge, system::resident_bytes),
    },
    Family {
        name: "process_virtual_memory_bytes",
        help: "Addresses that the process uses.",
        read: Read::System(MetricType::Gauge, system::virtual_bytes),
    },
    Family {
        name: "process_open_fds",
        help: "Descriptors that the process has open.",
        read: Read::System(MetricType::Gauge, system::open_descriptors),
    },
    Family {
        name: "process_max_fds",
        help: "Descriptors that the process may have open.",
        read: Read::System(MetricType::Gauge, system::most_descriptors),
    },
    Family {
        name: "process_start_time_seconds",
        help: "When the process started, seconds since 1970.",
        read: Read::System(MetricType::Gauge, system::started),
    },
    Family {
        name: "hale_panics",
        help: "Faults of the gateway's own code that were caught.",
        read: Read::Process(MetricType::Counter, |p| load(&p.metrics.panics)),
    },
];
