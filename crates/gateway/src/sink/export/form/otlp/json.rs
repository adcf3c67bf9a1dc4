//! OTLP in JSON.
//!
//! Called by [`super`]. Always true: ids are hexadecimal, whole numbers of 64 bits are texts, as OTLP's own mapping has them.

use hale_core::trace::hex;

use super::describe::{Log, Span, Value};
use super::metrics::{Metric, MetricKind, Span as Period};
use super::{SCOPE, Signal};
use crate::sink::export::json::{Object, object};

fn attributes(own: &mut Object<'_>, all: &[(&str, Value<'_>)]) {
    own.list("attributes", all, |pair, (name, value)| {
        pair.text("key", name);
        pair.object("value", |any| match value {
            Value::Text(text) => any.text("stringValue", text),
            Value::Flag(is) => any.flag("boolValue", *is),
            Value::Number(count) => any.text("intValue", &count.to_string()),
            Value::Decimal(value) => any.decimal("doubleValue", Some(*value)),
        });
    });
}

/// One span.
pub(super) fn span(span: &Span<'_>, out: &mut Vec<u8>) {
    object(out, |own| {
        own.text("traceId", &hex(span.trace_id));
        own.text("spanId", &hex(span.span_id));
        own.some("traceState", span.state);
        own.some("parentSpanId", span.parent.map(|parent| hex(parent)).as_deref());
        own.text("name", &span.name);
        own.number("kind", span.kind as u64);
        own.text("startTimeUnixNano", &span.began_ns.to_string());
        own.text("endTimeUnixNano", &span.ended_ns.to_string());
        attributes(own, &span.attributes);
        if let Some(error) = span.error {
            own.object("status", |status| {
                status.text("message", error);
                status.number("code", 2);
            });
        }
        own.number("flags", 1);
    });
}

/// One log record.
pub(super) fn log(log: &Log<'_>, out: &mut Vec<u8>) {
    object(out, |own| {
        own.text("timeUnixNano", &log.time_ns.to_string());
        own.text("observedTimeUnixNano", &log.time_ns.to_string());
        own.number("severityNumber", log.severity.0.into());
        own.text("severityText", log.severity.1);
        own.object("body", |any| any.text("stringValue", &log.body));
        attributes(own, &log.attributes);
        own.text("traceId", &hex(log.trace_id));
        own.text("spanId", &hex(log.span_id));
    });
}

/// One family of metrics.
pub(super) fn metric(metric: &Metric, span: Period, out: &mut Vec<u8>) {
    let kind = match metric.kind {
        MetricKind::Gauge => "gauge",
        MetricKind::Counter => "sum",
        MetricKind::Histogram => "histogram",
    };
    object(out, |own| {
        own.text("name", &metric.name);
        own.text("description", &metric.help);
        own.object(kind, |data| {
            data.list("dataPoints", &metric.points, |one, point| {
                one.text("startTimeUnixNano", &span.began_ns.to_string());
                one.text("timeUnixNano", &span.at_ns.to_string());
                let labels: Vec<(&str, Value<'_>)> = point
                    .labels
                    .iter()
                    .map(|(name, value)| (&**name, Value::text(&**value)))
                    .collect();
                attributes(one, &labels);
                match metric.kind {
                    MetricKind::Gauge | MetricKind::Counter => {
                        one.decimal("asDouble", Some(point.value))
                    }
                    MetricKind::Histogram => {
                        one.text("count", &point.counts().sum::<u64>().to_string());
                        one.decimal("sum", Some(point.value));
                        let counts: Vec<String> =
                            point.counts().map(|n| format!("\"{n}\"")).collect();
                        one.raw("bucketCounts", &format!("[{}]", counts.join(",")));
                        let bounds: Vec<String> = point.bounds().map(|n| n.to_string()).collect();
                        one.raw("explicitBounds", &format!("[{}]", bounds.join(",")));
                    }
                }
            });
            match metric.kind {
                MetricKind::Gauge => {}
                MetricKind::Counter => {
                    data.number("aggregationTemporality", 2);
                    data.flag("isMonotonic", true);
                }
                MetricKind::Histogram => data.number("aggregationTemporality", 2),
            }
        });
    });
}

/// The request that exports `items`.
pub(super) fn request(
    signal: Signal,
    resource: &[(&str, Value<'_>)],
    items: &[Box<[u8]>],
) -> Vec<u8> {
    let (of_resource, of_scope, members) = match signal {
        Signal::Spans => ("resourceSpans", "scopeSpans", "spans"),
        Signal::Logs => ("resourceLogs", "scopeLogs", "logRecords"),
        Signal::Metrics => ("resourceMetrics", "scopeMetrics", "metrics"),
    };
    let items: Vec<std::borrow::Cow<'_, str>> =
        items.iter().map(|item| String::from_utf8_lossy(item)).collect();
    let items = format!("[{}]", items.join(","));
    let mut out = Vec::new();
    object(&mut out, |all| {
        all.list(of_resource, [()], |one, ()| {
            one.object("resource", |own| attributes(own, resource));
            one.list(of_scope, [()], |scope, ()| {
                scope.object("scope", |own| {
                    own.text("name", SCOPE);
                    own.text("version", env!("CARGO_PKG_VERSION"));
                });
                scope.raw(members, &items);
            });
        });
    });
    out
}
