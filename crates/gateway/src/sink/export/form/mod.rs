//! What is sent to each kind of sink: one record as one item, some items as one request, and what its answer means.
//!
//! Called by [`super::exporter`]. Always true: an item is whole by itself, so that a batch can be cut anywhere; an answer that does
//! not say that records were taken is a failure.

mod datadog;
mod langfuse;
mod langsmith;
pub(crate) mod otlp;
pub(crate) mod payload;
mod s3;

use bytes::Bytes;
use hale_core::settings::{Sink, SinkForm, WebhookForm};
use http::{HeaderValue, Method, StatusCode, header};

use super::told::Told;
use crate::upstream::{Heard, Outgoing, Outward};

/// Longest wait that a server can ask for, milliseconds.
const AFTER_MAX_MS: u64 = 600_000;
/// Bytes of the records of one request.
const BATCH_BYTES: usize = 3 << 20;

/// How much one request takes.
pub(super) struct Limits {
    /// Records.
    pub(super) items: usize,
    /// Bytes of them.
    pub(super) bytes: usize,
    /// Requests at one time.
    pub(super) parallel: usize,
}

/// What an answer means for the records that were sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// They were taken, but for so many, and why.
    Taken(u64, Option<String>),
    /// They may be taken later, after so many milliseconds if the server says when.
    Later(String, Option<u64>),
    /// These records will never be taken together.
    Refused(String),
}

/// How much one request to `sink` takes.
pub(super) fn limits(sink: &Sink) -> Limits {
    let (items, parallel) = match &sink.form {
        SinkForm::Langfuse(_) | SinkForm::Langsmith(_) => (100, 1),
        SinkForm::Spans(_) | SinkForm::Logs(_) | SinkForm::Metrics(_) => (512, 1),
        SinkForm::Datadog(_) => (1000, 1),
        SinkForm::Webhook(WebhookForm::Single) | SinkForm::S3(_) => (1, 16),
        SinkForm::Webhook(WebhookForm::List | WebhookForm::Lines) => (512, 1),
    };
    Limits { items, bytes: BATCH_BYTES, parallel }
}

/// Writes a record as an item. Whether there is one.
pub(super) fn write(
    sink: &Sink,
    excluded: &[Box<str>],
    told: &Told<'_>,
    out: &mut Vec<u8>,
) -> bool {
    match &sink.form {
        SinkForm::Langfuse(release) => langfuse::write(release, told, out),
        SinkForm::Spans(telemetry) => return otlp::span(telemetry.encoding, told, out),
        SinkForm::Logs(telemetry) => otlp::log(telemetry.encoding, told, out),
        SinkForm::Metrics(_) => return false,
        SinkForm::Datadog(tags) => datadog::write(tags, told, out),
        SinkForm::Langsmith(project) => langsmith::write(project, told, out),
        SinkForm::Webhook(_) => payload::write(excluded, told, out),
        SinkForm::S3(place) => s3::write(place, excluded, told, out),
    }
    true
}

/// Makes a request of items.
pub(super) fn request(
    sink: &Sink,
    door: &Outward,
    items: &[Box<[u8]>],
    now_unix_ms: u64,
) -> Outgoing {
    match &sink.form {
        SinkForm::Langfuse(_) => json(joined(b"{\"batch\":[", items, b"]}")),
        SinkForm::Spans(telemetry) => otlp::request(telemetry, otlp::Signal::Spans, items),
        SinkForm::Logs(telemetry) => otlp::request(telemetry, otlp::Signal::Logs, items),
        SinkForm::Metrics(telemetry) => otlp::request(telemetry, otlp::Signal::Metrics, items),
        SinkForm::Datadog(_) | SinkForm::Webhook(WebhookForm::List) => {
            json(joined(b"[", items, b"]"))
        }
        SinkForm::Langsmith(_) => json(joined(b"{\"post\":[", items, b"]}")),
        SinkForm::Webhook(WebhookForm::Lines) => {
            let lines = items.iter().flat_map(|item| [&**item, b"\n"]).collect::<Vec<_>>().concat();
            post(lines, "application/x-ndjson")
        }
        SinkForm::Webhook(WebhookForm::Single) => json(items.concat()),
        SinkForm::S3(place) => s3::request(place, door, items, now_unix_ms),
    }
}

/// What the answer to a request with `items` records means.
pub(super) fn judge(sink: &Sink, door: &Outward, heard: &Heard, items: usize) -> Verdict {
    if heard.is_cut {
        let why = format!("{}: the answer was cut before its end", door.authority());
        return Verdict::Later(why, None);
    }
    let verdict = match (&sink.form, by_status(door, heard)) {
        (SinkForm::S3(_), Verdict::Refused(why)) => s3::refused(why, heard),
        (_, verdict) => verdict,
    };
    if !matches!(verdict, Verdict::Taken(..)) {
        return verdict;
    }
    match &sink.form {
        // Whatever a server of the operator's own says with a good status.
        SinkForm::Webhook(_) => verdict,
        _ if heard.is_page() => {
            let why = format!(
                "{}: that is not the server of {}; check its address",
                door.quoted(heard),
                sink.name
            );
            Verdict::Later(why, None)
        }
        SinkForm::Langfuse(_) => langfuse::judge(door, heard, items),
        SinkForm::Spans(telemetry) | SinkForm::Logs(telemetry) | SinkForm::Metrics(telemetry) => {
            otlp::judge(telemetry.encoding, door, heard)
        }
        SinkForm::Datadog(_) | SinkForm::Langsmith(_) | SinkForm::S3(_) => verdict,
    }
}

fn by_status(door: &Outward, heard: &Heard) -> Verdict {
    let status = heard.status;
    if status.is_success() {
        return Verdict::Taken(0, None);
    }
    let why = door.quoted(heard);
    match status {
        StatusCode::BAD_REQUEST
        | StatusCode::PAYLOAD_TOO_LARGE
        | StatusCode::UNPROCESSABLE_ENTITY
        | StatusCode::UNSUPPORTED_MEDIA_TYPE => Verdict::Refused(why),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Verdict::Later(
            format!("{why}; check its key, and that the key is of this region"),
            None,
        ),
        _ if status.is_redirection() => {
            Verdict::Later(format!("{why}: it is at another address; set that one"), None)
        }
        _ => Verdict::Later(why, heard.after_ms().map(|ms| ms.min(AFTER_MAX_MS))),
    }
}

fn joined(begin: &[u8], items: &[Box<[u8]>], end: &[u8]) -> Vec<u8> {
    let mut body = begin.to_vec();
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            body.push(b',');
        }
        body.extend_from_slice(item);
    }
    body.extend_from_slice(end);
    body
}

fn json(body: Vec<u8>) -> Outgoing {
    post(body, "application/json")
}

fn post(body: Vec<u8>, content_type: &'static str) -> Outgoing {
    let content_type = (header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    Outgoing {
        method: Method::POST,
        path: None,
        headers: vec![content_type],
        body: Bytes::from(body),
    }
}
