//! The table of metric families and the page that shows them.
//!
//! Called by `GET /metrics`. Always true: a metric is one row of [`FAMILIES`]; the page and the
//! documentation are made from it.

mod plain;
mod system;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hale_core::budget::BudgetScope;
use hale_core::cause::Cause;
use hale_core::deployment::Deployment;
use hale_core::health::Verdict;
use hale_core::health::probe::Status;
use hale_core::record::{Ending, ResendReason};
use http::{Response, StatusCode};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use self::plain::Format;
use super::PageRequest;
use crate::http::COMPATIBLE_VERSION;
use crate::http::reply::{self, Reply};
use crate::metrics::{GroupMetrics, Histogram};
use crate::state::{Process, Serving};
use crate::{clock, events, logging};

/// One family of metrics.
struct Family {
    /// Its name; counters get `_total` on the page.
    name: &'static str,
    /// What it says.
    help: &'static str,
    read: Read,
}

/// Where a family's values come from.
enum Read {
    Process(MetricType, fn(&Process) -> u64),
    ProcessUsd(fn(&Process) -> u64),
    /// What the system counts, if it does.
    System(MetricType, fn() -> Option<f64>),
    /// 1, with the version as label.
    Build,
    ProcessSeconds(fn(&Process) -> &Histogram),
    Group(fn(&GroupMetrics) -> u64),
    GroupSeconds(fn(&GroupMetrics) -> &Histogram),
    GroupUsd(fn(&GroupMetrics) -> u64),
    GroupByEnding,
    GroupByStatus,
    /// Why attempts were sent again.
    GroupByReason,
    Deployment(MetricType, fn(&Deployment) -> u64),
    /// USD that are left of budgets: of those of providers, or of all.
    BudgetRemaining {
        all: bool,
    },
    DeploymentByOutcome,
}

fn load(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// All families.
static FAMILIES: &[Family] = &[
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

/// `GET /metrics`.
pub(crate) fn page(request: &PageRequest<'_>) -> Response<Reply> {
    let arrival = request.arrival;
    let format = Format::of(&request.head.headers);
    let page = expose(&arrival.worker.process, &arrival.serving);
    let page = match format {
        Format::Plain => plain::text_format(&page),
        Format::OpenMetrics => page,
    };
    reply::text(StatusCode::OK, format.content_type(), page)
}

fn expose(process: &Arc<Process>, serving: &Arc<Serving>) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Page {
        groups: shown_groups(process, serving),
        process: process.clone(),
        serving: serving.clone(),
    }));
    let mut page = String::with_capacity(16 << 10);
    // Writing to a string cannot fail.
    let _written: fmt::Result = text::encode(&mut page, &registry);
    page
}

/// All groups, except unlisted ones that no request has used.
fn shown_groups(process: &Process, serving: &Serving) -> Vec<(Box<str>, Arc<GroupMetrics>)> {
    let by_model = &serving.snapshot.by_model;
    process.metrics.drop_gone(clock::now().millis());
    let mut groups = process.metrics.groups();
    groups.retain(|(name, group)| group.has_counted() || !by_model.contains_key(name));
    groups
}

struct Page {
    process: Arc<Process>,
    serving: Arc<Serving>,
    groups: Vec<(Box<str>, Arc<GroupMetrics>)>,
}

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Page")
    }
}

impl Collector for Page {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for family in FAMILIES {
            let kind = match &family.read {
                Read::Process(kind, _) | Read::System(kind, _) | Read::Deployment(kind, _) => *kind,
                Read::GroupSeconds(_) | Read::ProcessSeconds(_) => MetricType::Histogram,
                Read::BudgetRemaining { .. } | Read::Build => MetricType::Gauge,
                Read::Group(_)
                | Read::GroupUsd(_)
                | Read::ProcessUsd(_)
                | Read::GroupByEnding
                | Read::GroupByStatus
                | Read::GroupByReason
                | Read::DeploymentByOutcome => MetricType::Counter,
            };
            // The library ends the help text with a full stop of its own.
            let help = family.help.trim_end_matches('.');
            let metric = encoder.encode_descriptor(family.name, help, None, kind)?;
            self.encode_family(&family.read, metric)?;
        }
        Ok(())
    }
}

impl Page {
    fn encode_family(&self, read: &Read, mut metric: MetricEncoder<'_>) -> fmt::Result {
        match read {
            Read::Process(kind, value) => number(&mut metric, *kind, value(&self.process)),
            Read::System(kind, value) => match (value(), kind) {
                (None, _) => Ok(()),
                (Some(value), MetricType::Gauge) => metric.encode_gauge(&value),
                (Some(value), _) => metric.encode_counter::<NoLabelSet, f64, f64>(&value, None),
            },
            Read::Build => {
                let version = env!("CARGO_PKG_VERSION");
                let labels = [("version", version), ("litellm_version", COMPATIBLE_VERSION)];
                metric.encode_family(&labels)?.encode_gauge(&1_u64)
            }
            Read::ProcessUsd(value) => {
                let usd = usd(value(&self.process));
                metric.encode_counter::<NoLabelSet, f64, f64>(&usd, None)
            }
            Read::ProcessSeconds(histogram) => {
                let (sum, count, buckets) = histogram(&self.process).read();
                metric.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
            }
            Read::Deployment(kind, value) => {
                self.serving.snapshot.deployments.iter().try_for_each(|deployment| {
                    let labels = self.deployment_labels(deployment);
                    number(&mut metric.encode_family(&labels)?, *kind, value(deployment))
                })
            }
            Read::DeploymentByOutcome => self.attempts(&mut metric),
            Read::BudgetRemaining { all } => self.budgets(&mut metric, *all),
            Read::Group(value) => self.each_group(|name, group| {
                let labels = [("model_group", name)];
                number(&mut metric.encode_family(&labels)?, MetricType::Counter, value(group))
            }),
            Read::GroupUsd(value) => self.each_group(|name, group| {
                let usd = usd(value(group));
                let labels = [("model_group", name)];
                metric.encode_family(&labels)?.encode_counter::<NoLabelSet, f64, f64>(&usd, None)
            }),
            Read::GroupSeconds(histogram) => self.each_group(|name, group| {
                let (sum, count, buckets) = histogram(group).read();
                let labels = [("model_group", name)];
                let mut metric = metric.encode_family(&labels)?;
                metric.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
            }),
            Read::GroupByEnding => self.each_group(|name, group| {
                Ending::ALL.into_iter().try_for_each(|ending| {
                    let labels = [("model_group", name), ("ending", ending.name())];
                    let value = load(&group.endings[ending as usize]);
                    number(&mut metric.encode_family(&labels)?, MetricType::Counter, value)
                })
            }),
            Read::GroupByReason => self.each_group(|name, group| {
                ResendReason::ALL.into_iter().try_for_each(|reason| {
                    let labels = [("model_group", name), ("reason", reason.name())];
                    let value = load(&group.resends[reason as usize]);
                    number(&mut metric.encode_family(&labels)?, MetricType::Counter, value)
                })
            }),
            Read::GroupByStatus => self.each_group(|name, group| {
                const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
                CLASSES.iter().zip(&group.statuses).try_for_each(|(class, counter)| {
                    let labels = [("model_group", name), ("status", *class)];
                    number(&mut metric.encode_family(&labels)?, MetricType::Counter, load(counter))
                })
            }),
        }
    }

    fn each_group(&self, mut each: impl FnMut(&str, &GroupMetrics) -> fmt::Result) -> fmt::Result {
        self.groups.iter().try_for_each(|(name, group)| each(name, group))
    }

    fn deployment_labels<'a>(&'a self, deployment: &'a Deployment) -> [(&'static str, &'a str); 3] {
        let group = &self.serving.snapshot.group(deployment.group).name;
        [
            ("model_group", group),
            ("deployment", &deployment.display.name),
            ("provider", &deployment.endpoint.provider.name),
        ]
    }

    fn budgets(&self, metric: &mut MetricEncoder<'_>, all: bool) -> fmt::Result {
        let now = clock::now().millis();
        self.serving.snapshot.budgets.all.iter().try_for_each(|budget| {
            let left = budget.remaining_usd(now);
            if all {
                let labels = [("of", budget.scope.name()), ("name", &budget.name)];
                metric.encode_family(&labels)?.encode_gauge(&left)
            } else if budget.scope == BudgetScope::Provider {
                let labels = [("api_provider", &*budget.name)];
                metric.encode_family(&labels)?.encode_gauge(&left)
            } else {
                Ok(())
            }
        })
    }

    /// Only outcomes that happened are shown: every deployment times every cause would be a wall.
    fn attempts(&self, metric: &mut MetricEncoder<'_>) -> fmt::Result {
        for deployment in &self.serving.snapshot.deployments {
            let [group, id, provider] = self.deployment_labels(deployment);
            let state = &deployment.state;
            let mut show = |outcome: &str, value: u64| {
                let labels = [group, id, provider, ("outcome", outcome)];
                number(&mut metric.encode_family(&labels)?, MetricType::Counter, value)
            };
            show("success", state.successes())?;
            for cause in Cause::ALL {
                let value = state.failures(cause);
                if value > 0 {
                    show(cause.name(), value)?;
                }
            }
        }
        Ok(())
    }
}

#[allow(clippy::cast_precision_loss, reason = "nine digits behind the point suffice")]
fn usd(nano: u64) -> f64 {
    nano as f64 / 1e9
}

fn number(metric: &mut MetricEncoder<'_>, kind: MetricType, value: u64) -> fmt::Result {
    if matches!(kind, MetricType::Gauge) {
        metric.encode_gauge(&value)
    } else {
        metric.encode_counter::<NoLabelSet, u64, u64>(&value, None)
    }
}
