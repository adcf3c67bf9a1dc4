//! Hale's own families, and those of every process.
//!
//! Part of the table of families. Always true: names, labels and meanings are public, and change only with a row in
//! `CHANGELOG.md`.

use std::sync::atomic::{AtomicU64, Ordering};

use hale_core::health::probe::Status;
use hale_core::health::{RateLimit, Verdict};
use hale_core::time::Millis;

use super::super::labels::Label::{
    self, CallbackName, Database, Deployment as DeploymentName, Ending, ErrorClass, FunctionName,
    LitellmVersion, ModelGroup, Name, Of, Outcome, Provider, Reason, Source as SourceName, State,
    Status as StatusClass, Version,
};
use super::super::labels::{Row, Value};
use super::super::source;
use super::super::system;
use super::Read::{
    Deployment, DeploymentRows, Group, Once, Process, ProcessSeconds, ProcessUsd, Service, System,
};
use super::{Buckets, Family, OfGroup, counter, gauge, histogram};
use crate::metrics::{OVERHEAD, SECONDS, STALLS, Sum};
use crate::{clock, events, logging};

const GROUP: &[Label] = &[ModelGroup];
const DEPLOYMENT: &[Label] = &[ModelGroup, DeploymentName, Provider];
const OF_OUTCOME: &[Label] = &[ModelGroup, DeploymentName, Provider, Outcome];
const OF_STATE: &[Label] = &[ModelGroup, DeploymentName, Provider, State];
const OF_SOURCE: &[Label] = &[ModelGroup, DeploymentName, Provider, SourceName];
const SINK: &[Label] = &[CallbackName];
const NONE: &[Label] = &[];

fn load(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// Requests, groups and deployments.
#[rustfmt::skip]
pub(super) const REQUESTS: &[Family] = &[
    counter("hale_requests", "requests", &[ModelGroup, Ending], Group(OfGroup::Rows(source::endings)), "Finished requests by model group and ending"),
    counter("hale_responses", "requests", &[ModelGroup, StatusClass], Group(OfGroup::Rows(source::statuses)), "Finished requests by model group and class of HTTP status"),
    histogram("hale_request_duration_seconds", GROUP, Group(OfGroup::Seconds(|c| &c.duration, Buckets::Of(SECONDS))), "From arrival to the end of the answer"),
    histogram("hale_overhead_seconds", GROUP, Group(OfGroup::Seconds(|c| &c.overhead, Buckets::Of(OVERHEAD))), "The gateway's own share of a request's time"),
    histogram("hale_time_to_first_token_seconds", GROUP, Group(OfGroup::Seconds(|c| &c.first_content, Buckets::Of(SECONDS))), "From arrival to the first content of a stream"),
    histogram("hale_waited_seconds", GROUP, Group(OfGroup::Seconds(|c| &c.waited, Buckets::Of(SECONDS))), "How long requests waited for their turn, those that waited"),
    counter("hale_retries", "attempts", GROUP, Group(OfGroup::Sum(Sum::Retries)), "Attempts within a group after the first"),
    counter("hale_fallbacks", "groups", GROUP, Group(OfGroup::Sum(Sum::Fallbacks)), "Fallback groups entered"),
    counter("hale_resends", "attempts", &[ModelGroup, Reason], Group(OfGroup::Rows(source::resends)), "Attempts that were sent again on a new connection, because a kept one turned out to be closed or reset"),
    counter("hale_rescues", "streams", &[ModelGroup, Outcome], Group(OfGroup::Rows(source::rescues)), "Streams that broke after their first content and might have been continued, by what became of them: continued, or why not"),
    counter("hale_input_tokens", "tokens", GROUP, Group(OfGroup::Sum(Sum::Input)), "Prompt tokens that were charged"),
    counter("hale_output_tokens", "tokens", GROUP, Group(OfGroup::Sum(Sum::Output)), "Answer tokens that were charged"),
    counter("hale_estimated_usage", "requests", GROUP, Group(OfGroup::Sum(Sum::Estimated)), "Finished requests whose tokens are estimated, because the provider's count did not come or is beyond what the model can do"),
    counter("hale_spend_usd", "usd", GROUP, Group(OfGroup::Usd(Sum::NanoUsd)), "Cost of answers, where the price is known"),
    counter("hale_attempts", "attempts", OF_OUTCOME, DeploymentRows(source::attempts), "Upstream calls by deployment and outcome: success, or the cause of the failure"),
    gauge("hale_deployment_in_flight", "attempts", DEPLOYMENT, Deployment(|_, d| Some(d.state.in_flight().into())), "Upstream calls under way"),
    gauge("hale_deployment_state", "", OF_STATE, DeploymentRows(source::state), "1; the label is the state of the deployment, as in /router/state: ready, cooldown, trial, reopening, unhealthy, over_budget, reserved, disabled, paused or misconfigured"),
    gauge("hale_deployment_resting", "", DEPLOYMENT, Deployment(|s, d| Some(u64::from(matches!(d.verdict(s.now), Verdict::Cooling(_) | Verdict::HalfOpen(_))))), "1 while a deployment gets no traffic because of its health, else 0"),
    gauge("hale_deployment_rpm_share", "requests", DEPLOYMENT, Deployment(|_, d| {
        d.routing.limits.rpm.map(|limit| d.state.rates().own_part(RateLimit::Requests, limit))
    }), "What this replica allows itself of the deployment's rpm; absent without one"),
    gauge("hale_deployment_tpm_share", "tokens", DEPLOYMENT, Deployment(|_, d| {
        d.routing.limits.tpm.map(|limit| d.state.rates().own_part(RateLimit::Tokens, limit))
    }), "What this replica allows itself of the deployment's tpm; absent without one"),
    gauge("hale_deployment_misconfigured", "", DEPLOYMENT, Deployment(|_, d| Some(u64::from(d.misconfigured.is_some()))), "1 when a deployment cannot work as configured, else 0"),
    gauge("hale_deployment_cooldown_remaining_seconds", "seconds", DEPLOYMENT, Deployment(|s, d| match d.verdict(s.now) {
        Verdict::Cooling(cooldown) => Some(cooldown.until.since(s.now).div_ceil(1000)),
        Verdict::Ready | Verdict::Reopening | Verdict::HalfOpen(_) => None,
    }), "How long the cooldown of a deployment lasts, while it has one"),
    gauge("hale_deployment_failures_in_a_row", "attempts", DEPLOYMENT, Deployment(|_, d| Some(d.state.failures_in_a_row().into())), "Failed upstream calls since the last good one, as the breaker counts them"),
    counter("hale_deployment_cooldowns", "cooldowns", DEPLOYMENT, Deployment(|_, d| Some(d.state.opens())), "Cooldowns of a deployment that have begun"),
    counter("hale_deployment_changes", "changes", DEPLOYMENT, Deployment(|_, d| Some(d.state.changed())), "Changes of a deployment's state, whatever caused them"),
    counter("hale_deployment_probes", "probes", DEPLOYMENT, Deployment(|_, d| Some(d.state.probes().count())), "Health checks of the deployment"),
    gauge("hale_deployment_check_status", "", DEPLOYMENT, Deployment(|_, d| Some(match d.state.probes().standing().0 {
        Status::Unprobed | Status::Unknown(_) => 0,
        Status::Healthy | Status::RateLimited => 1,
        Status::Unhealthy(_) => 2,
    })), "What health checks say: 0 nothing, 1 healthy, 2 unhealthy"),
    gauge("hale_deployment_evidence_age_seconds", "seconds", OF_SOURCE, DeploymentRows(source::evidence_age), "How old the newest evidence for that is, by where it came from: a probe, or good answers to traffic"),
];

/// The process.
#[rustfmt::skip]
pub(super) const PROCESS: &[Family] = &[
    gauge("hale_in_flight_requests", "requests", NONE, Process(|p| load(&p.metrics.in_flight)), "Requests of clients under way"),
    gauge("hale_waiting", "requests", NONE, Process(|p| p.waiting.count()), "Requests that wait for their turn at a deployment"),
    counter("hale_cache_hits", "requests", NONE, Process(|p| load(&p.answers.hits)), "Requests that a kept answer answered"),
    counter("hale_cache_joined", "requests", NONE, Process(|p| load(&p.answers.joined)), "Requests that joined an equal one under way"),
    counter("hale_cache_misses", "requests", NONE, Process(|p| load(&p.answers.misses)), "Requests of which the cache had no answer"),
    gauge("hale_cache_bytes", "bytes", NONE, Process(|p| p.answers.bytes()), "Bytes of the answers that are kept"),
    counter("hale_cache_dropped", "answers", NONE, Process(|p| load(&p.answers.losses.dropped)), "Answers that could not be written to Redis or to the disk"),
    counter("hale_cache_garbage", "values", NONE, Process(|p| load(&p.answers.losses.garbage)), "What was found under keys or names of answers and is none"),
    gauge("hale_cache_reached", "", NONE, Process(|p| u64::from(p.answers.reaches_second())), "1 while Redis is reached for the answers that are kept there, or they are on the disk"),
    gauge("hale_fleet_replicas", "replicas", NONE, Process(|p| p.fleet.status.load().others.len() as u64 + 1), "Replicas that live and share what they learn, this one included"),
    gauge("hale_fleet_shared", "", NONE, Process(|p| u64::from(p.fleet.is_shared())), "1 while this replica shares what it learns, 0 while it judges by itself"),
    gauge("hale_fleet_breaker_open", "", NONE, Process(|p| u64::from(p.fleet.is_cut_off())), "1 while calls to the server between the replicas are not made, because it is not reached"),
    gauge("hale_fleet_leases_held", "leases", NONE, Process(|p| {
        let status = p.fleet.status.load();
        status.holders.iter().filter(|(_, pod, _)| *pod == status.pod_id).count() as u64
    }), "Leases of probes that this replica holds"),
    counter("hale_fleet_messages_sent", "messages", NONE, Process(|p| load(&p.fleet.sent)), "Messages for other replicas that the server between them took"),
    counter("hale_fleet_messages_received", "messages", NONE, Process(|p| load(&p.fleet.received)), "Messages of other replicas that were read"),
    gauge("hale_fleet_last_message_age_seconds", "seconds", NONE, Process(|p| {
        clock::now().millis().since(Millis(load(&p.fleet.heard_at))) / 1_000
    }), "Seconds since another replica wrote the newest message that was read, or since the start"),
    counter("hale_fleet_garbage", "values", NONE, Process(|p| load(&p.fleet.garbage)), "What was found in Redis under Hale's own keys, or in its table in PostgreSQL, and could not be read"),
    counter("hale_refused_keys", "requests", NONE, Process(|p| load(&p.metrics.refused_keys)), "Requests that were refused because of their key"),
    gauge("hale_connections", "connections", NONE, Process(|p| load(&p.metrics.connections)), "Open connections of clients"),
    gauge("hale_resumable_streams", "streams", NONE, Process(|p| p.resumable.count() as u64), "Streams whose clients may come back"),
    counter("hale_resumes", "requests", NONE, Process(|p| load(&p.resumable.resumed)), "Clients that came back to a stream whose connection they had lost"),
    counter("hale_resumes_missed", "requests", NONE, Process(|p| load(&p.resumable.missed)), "Clients that came back to a stream that was not kept any more"),
    gauge("hale_buffered_bytes", "bytes", NONE, Process(|p| p.buffered.bytes() as u64), "Bytes that request bodies, their copies and translations, and answers take"),
    histogram("hale_worker_stall_seconds", NONE, ProcessSeconds(|p| &p.metrics.worker_stall, Buckets::Of(STALLS)), "Processor time that a worker spent on one connection without a look at its others, if it was 5 ms or more"),
    counter("hale_records_dropped", "records", NONE, Process(|p| load(&p.metrics.records_dropped)), "Records of requests that no sink had room for"),
    counter("hale_sink_records_sent", "records", SINK, Once(|s, put| source::sinks(s, |figures| figures.sent, put)), "Records of requests that a sink took, by sink"),
    counter("hale_sink_records_dropped", "records", SINK, Once(|s, put| source::sinks(s, |figures| figures.lost, put)), "Records of requests that a sink refused, or for which there was no room, by sink"),
    counter("hale_sink_failures", "requests", SINK, Once(|s, put| source::sinks(s, |figures| figures.failures, put)), "Requests to a sink that failed, by sink"),
    gauge("hale_sink_queue_bytes", "bytes", SINK, Once(|s, put| source::sinks(s, |figures| figures.queued_bytes, put)), "Bytes of records that wait for a sink in memory, by sink"),
    gauge("hale_sink_spool_bytes", "bytes", SINK, Once(|s, put| source::sinks(s, |figures| figures.spooled_bytes, put)), "Bytes of records that wait for a sink on the disk, by sink"),
    histogram("hale_store_call_seconds", &[Database], Service(|s, bounds, put| {
        source::service_seconds(&s.process.metrics.sqlite, "sqlite", bounds, put);
        source::service_seconds(&s.process.metrics.postgres, "postgres", bounds, put);
    }), "How long the calls of the database took that succeeded"),
    counter("hale_store_call_failures", "calls", &[ErrorClass, FunctionName], Service(|s, _, put| {
        source::service_failures(&s.process.metrics.sqlite, put);
        source::service_failures(&s.process.metrics.postgres, put);
    }), "Calls of the database that failed, by kind of error and by what was called: open, write, read, probe"),
    counter("hale_store_rows_written", "rows", NONE, Process(|p| p.stored().written), "Rows that the database took"),
    counter("hale_store_rows_dropped", "rows", NONE, Process(|p| p.stored().dropped), "Rows that were lost before the database took them"),
    gauge("hale_store_rows_pending", "rows", NONE, Process(|p| p.stored().pending), "Rows that wait for the database"),
    gauge("hale_store_spool_bytes", "bytes", NONE, Process(|p| p.stored().spool_bytes), "Bytes of rows on the disk that the database does not have yet"),
    gauge("hale_incidents_open", "incidents", NONE, Process(|p| {
        p.alerts.incidents.load().iter().filter(|one| one.is_down()).count() as u64
    }), "Incidents in which something is wrong now"),
    counter("hale_alerts_sent", "messages", NONE, Process(|p| load(&p.alerts.sent)), "Messages about incidents that their channels took"),
    counter("hale_alerts_failed", "messages", NONE, Process(|p| load(&p.alerts.failed)), "Messages about incidents that their channels did not take, each time; they are sent again"),
    counter("hale_alerts_dropped", "messages", NONE, Process(|p| load(&p.alerts.dropped)), "Messages about incidents that were given up after a day, or because too many waited"),
    gauge("hale_alerts_waiting", "messages", NONE, Process(|p| load(&p.alerts.waiting)), "Messages about incidents that wait for their channels"),
    counter("hale_log_lines_dropped", "lines", NONE, Process(|_| logging::dropped_lines()), "Lines of the log that were dropped because standard error was not read"),
    counter("hale_events_dropped", "events", NONE, Process(|_| events::dropped()), "Events that a subscriber of the process's own bus was too slow for"),
    counter("hale_config_reloads", "reloads", NONE, Process(|p| load(&p.metrics.reloads_applied)), "Configs that were put in force while running"),
    counter("hale_config_reloads_refused", "reloads", NONE, Process(|p| load(&p.metrics.reloads_refused)), "Changed configs that had an error and were not put in force"),
    counter("hale_probes", "probes", NONE, Process(|p| load(&p.health.probes)), "Health probes that were sent"),
    counter("hale_probes_failed", "probes", NONE, Process(|p| load(&p.health.failed)), "Health probes that failed"),
    gauge("hale_probes_in_flight", "probes", NONE, Process(|p| load(&p.health.in_flight)), "Health probes in flight"),
    counter("hale_probe_cost_usd", "usd", NONE, ProcessUsd(|p| load(&p.health.nano_usd)), "Cost of health probes in USD, estimated if the provider does not report it"),
    gauge("hale_health_loop_age_seconds", "seconds", NONE, Process(|p| p.health.age_ms() / 1000), "Seconds since the health thread last made progress"),
    counter("hale_health_filter_bypassed", "attempts", NONE, Process(|p| load(&p.health.bypasses)), "Attempts that were made although the probes of every deployment had failed"),
    gauge("hale_budget_remaining_usd", "usd", &[Of, Name], Once(source::budgets), "What is left of a budget in its window, USD"),
    gauge("hale_metrics_page_seconds", "seconds", NONE, Once(|s, put| {
        put(&Row::default(), Value::Number(source::seconds(load(&s.process.metrics.page_us))));
    }), "Processor time that the last page of metrics took"),
    gauge("hale_build_info", "", &[Version, LitellmVersion], Once(source::build), "1; the labels are the version, and the version of LiteLLM that it is compatible with"),
    counter("process_cpu_seconds", "seconds", NONE, System(system::cpu_seconds), "Processor time of the process in user and system mode"),
    gauge("process_resident_memory_bytes", "bytes", NONE, System(system::resident_bytes), "Memory that the process uses"),
    gauge("process_virtual_memory_bytes", "bytes", NONE, System(system::virtual_bytes), "Addresses that the process uses"),
    gauge("process_open_fds", "descriptors", NONE, System(system::open_descriptors), "Descriptors that the process has open"),
    gauge("process_max_fds", "descriptors", NONE, System(system::most_descriptors), "Descriptors that the process may have open"),
    gauge("process_start_time_seconds", "seconds", NONE, System(system::started), "When the process started, seconds since 1970"),
    counter("hale_panics", "panics", NONE, Process(|p| load(&p.metrics.panics)), "Faults of the gateway's own code that were caught"),
];
