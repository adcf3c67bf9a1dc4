//! The page of metrics.
//!
//! Called by `GET /metrics`. Always true: a metric is one row of [`FAMILIES`]; the page and the documentation are made from it.

mod families;
mod family;
pub(crate) mod otlp;
mod plain;
mod system;

use std::fmt;
use std::sync::Arc;

use hale_core::budget::BudgetScope;
use hale_core::cause::Cause;
use hale_core::deployment::Deployment;
use hale_core::record::{Ending, ResendReason};
use http::{Response, StatusCode};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use self::families::FAMILIES;
use self::family::{Read, load};
use self::plain::Format;
use super::PageRequest;
use crate::clock;
use crate::http::COMPATIBLE_VERSION;
use crate::http::reply::{self, Reply};
use crate::metrics::GroupMetrics;
use crate::sink::export::Figures;
use crate::state::{Process, Serving};

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
        sinks: process.sinks.exports.figures(),
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
    sinks: Vec<(Box<str>, Figures)>,
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
                Read::Process(kind, _)
                | Read::System(kind, _)
                | Read::Deployment(kind, _)
                | Read::Sink(kind, _) => *kind,
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
            Read::Sink(kind, value) => self.sinks.iter().try_for_each(|(name, figures)| {
                let labels = [("callback_name", &**name)];
                number(&mut metric.encode_family(&labels)?, *kind, value(figures))
            }),
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
