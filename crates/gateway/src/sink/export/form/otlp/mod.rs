//! OpenTelemetry over HTTP: a request as a tree of spans, or as a log record.
//!
//! Called by [`super`]. Always true: the root is the request, of kind SERVER; each call of an upstream is a CLIENT child, each wait
//! an INTERNAL one; the ids follow from the request, so that a span that is sent twice is one span.
//!
//! The messages are written by hand ([`protobuf`], [`mod@json`]): the official exporter brings an HTTP client and a pipeline of its
//! own, and neither fits the one way out. A test reads what is written with the official schema.

mod describe;
mod json;
pub(crate) mod metrics;
mod protobuf;

use std::io::{self, Write};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use hale_core::settings::{Encoding, Telemetry};
use http::{HeaderValue, Method, header};
use serde::Deserialize;

use self::describe::Value;
use self::metrics::Metric;
use super::Verdict;
use crate::sink::export::told::Told;
use crate::upstream::{Heard, Outgoing, Outward};

/// The name of the scope.
const SCOPE: &str = "hale";

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    /// Spans.
    Spans,
    /// Log records.
    Logs,
    /// Metrics.
    Metrics,
}

/// Writes the spans of a record; false if it is not sampled.
pub(super) fn span(encoding: Encoding, told: &Told<'_>, out: &mut Vec<u8>) -> bool {
    if !told.detail.is_sampled {
        return false;
    }
    for (at, span) in describe::spans(told).iter().enumerate() {
        match encoding {
            Encoding::Protobuf => protobuf::span(span, out),
            Encoding::Json => {
                if at > 0 {
                    out.push(b',');
                }
                json::span(span, out);
            }
        }
    }
    true
}

/// Writes the log record of a record.
pub(super) fn log(encoding: Encoding, told: &Told<'_>, out: &mut Vec<u8>) {
    let log = describe::log(told);
    match encoding {
        Encoding::Protobuf => protobuf::log(&log, out),
        Encoding::Json => json::log(&log, out),
    }
}

/// A family of metrics as an item.
pub(crate) fn metric(encoding: Encoding, metric: &Metric, span: metrics::Span) -> Vec<u8> {
    let mut out = Vec::new();
    match encoding {
        Encoding::Protobuf => protobuf::metric(metric, span, &mut out),
        Encoding::Json => json::metric(metric, span, &mut out),
    }
    out
}

/// The request that exports `items`.
pub(super) fn request(telemetry: &Telemetry, signal: Signal, items: &[Box<[u8]>]) -> Outgoing {
    let mut resource: Vec<(&str, Value<'_>)> = vec![
        ("service.name", Value::text(&*telemetry.service)),
        ("telemetry.sdk.name", Value::text(SCOPE)),
        ("telemetry.sdk.language", Value::text("rust")),
        ("telemetry.sdk.version", Value::text(env!("CARGO_PKG_VERSION"))),
    ];
    resource
        .extend(telemetry.resource.iter().map(|(name, value)| (&**name, Value::text(&**value))));
    let (body, content_type) = match telemetry.encoding {
        Encoding::Protobuf => (protobuf::request(&resource, items), "application/x-protobuf"),
        Encoding::Json => (json::request(signal, &resource, items), "application/json"),
    };
    let mut headers = vec![(header::CONTENT_TYPE, HeaderValue::from_static(content_type))];
    let body = match telemetry.is_packed.then(|| packed(&body)) {
        Some(Ok(packed)) => {
            headers.push((header::CONTENT_ENCODING, HeaderValue::from_static("gzip")));
            packed
        }
        Some(Err(_)) | None => body,
    };
    Outgoing { method: Method::POST, path: None, headers, body: Bytes::from(body) }
}

fn packed(body: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body)?;
    encoder.finish()
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Exported {
    partial_success: Partial,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Partial {
    #[serde(alias = "rejectedLogRecords", alias = "rejectedDataPoints")]
    rejected_spans: serde_json::Value,
    error_message: String,
}

/// What an answer with a good status says: a collector may take a part only.
pub(super) fn judge(encoding: Encoding, door: &Outward, heard: &Heard) -> Verdict {
    let (rejected, why) = match encoding {
        Encoding::Protobuf => protobuf::rejected(&heard.body),
        Encoding::Json => {
            let partial = serde_json::from_slice::<Exported>(&heard.body).unwrap_or_default();
            let Partial { rejected_spans, error_message } = partial.partial_success;
            let count = rejected_spans.as_u64().or_else(|| rejected_spans.as_str()?.parse().ok());
            (count.unwrap_or(0), error_message)
        }
    };
    let why = (!why.is_empty()).then(|| door.shown(&why, 300));
    Verdict::Taken(rejected, why.filter(|_| rejected > 0))
}
