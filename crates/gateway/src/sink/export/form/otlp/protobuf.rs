//! OTLP in the encoding of Protocol Buffers.
//!
//! Called by [`super`]. Always true: the numbers of fields are those of the stable schema; an item is a sequence of whole members of
//! its list, so that items can be joined.
//!
//! Source: <https://github.com/open-telemetry/opentelemetry-proto>, version 1.

use super::SCOPE;
use super::describe::{Log, Span, Value};
use super::metrics::{Metric, MetricKind, Point, Span as Period};

/// How a field is written.
#[derive(Clone, Copy)]
enum Wire {
    Varint = 0,
    Fixed64 = 1,
    Bytes = 2,
    Fixed32 = 5,
}

fn varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(u8::try_from(number & 0x7f).unwrap_or(0) | 0x80);
        number >>= 7;
    }
    out.push(u8::try_from(number).unwrap_or(0));
}

fn tag(out: &mut Vec<u8>, field: u64, wire: Wire) {
    varint(out, field << 3 | wire as u64);
}

fn number(out: &mut Vec<u8>, field: u64, number: u64) {
    tag(out, field, Wire::Varint);
    varint(out, number);
}

fn fixed(out: &mut Vec<u8>, field: u64, number: u64) {
    tag(out, field, Wire::Fixed64);
    out.extend_from_slice(&number.to_le_bytes());
}

fn bytes(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    tag(out, field, Wire::Bytes);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn message(out: &mut Vec<u8>, field: u64, fill: impl FnOnce(&mut Vec<u8>)) {
    let mut inner = Vec::new();
    fill(&mut inner);
    bytes(out, field, &inner);
}

/// A `KeyValue`.
fn attribute(out: &mut Vec<u8>, field: u64, name: &str, value: &Value<'_>) {
    message(out, field, |pair| {
        bytes(pair, 1, name.as_bytes());
        message(pair, 2, |any| match value {
            Value::Text(text) => bytes(any, 1, text.as_bytes()),
            Value::Flag(is) => number(any, 2, u64::from(*is)),
            Value::Number(count) => number(any, 3, *count),
            Value::Decimal(value) => fixed(any, 4, value.to_bits()),
        });
    });
}

/// One span, as a member of the list of its scope.
pub(super) fn span(span: &Span<'_>, out: &mut Vec<u8>) {
    message(out, 2, |own| {
        bytes(own, 1, span.trace_id);
        bytes(own, 2, span.span_id);
        if let Some(state) = span.state {
            bytes(own, 3, state.as_bytes());
        }
        if let Some(parent) = span.parent {
            bytes(own, 4, parent);
        }
        bytes(own, 5, span.name.as_bytes());
        number(own, 6, span.kind as u64);
        fixed(own, 7, span.began_ns);
        fixed(own, 8, span.ended_ns);
        for (name, value) in &span.attributes {
            attribute(own, 9, name, value);
        }
        if let Some(error) = span.error {
            message(own, 15, |status| {
                bytes(status, 2, error.as_bytes());
                number(status, 3, 2);
            });
        }
        tag(own, 16, Wire::Fixed32);
        // Sampled.
        own.extend_from_slice(&1_u32.to_le_bytes());
    });
}

/// One log record, as a member of the list of its scope.
pub(super) fn log(log: &Log<'_>, out: &mut Vec<u8>) {
    message(out, 2, |own| {
        fixed(own, 1, log.time_ns);
        number(own, 2, log.severity.0.into());
        bytes(own, 3, log.severity.1.as_bytes());
        message(own, 5, |any| bytes(any, 1, log.body.as_bytes()));
        for (name, value) in &log.attributes {
            attribute(own, 6, name, value);
        }
        bytes(own, 9, log.trace_id);
        bytes(own, 10, log.span_id);
        fixed(own, 11, log.time_ns);
    });
}

/// One family of metrics, as a member of the list of its scope.
pub(super) fn metric(metric: &Metric, span: Period, out: &mut Vec<u8>) {
    // Cumulative.
    const TEMPORALITY: u64 = 2;
    message(out, 2, |own| {
        bytes(own, 1, metric.name.as_bytes());
        bytes(own, 2, metric.help.as_bytes());
        let field = match metric.kind {
            MetricKind::Gauge => 5,
            MetricKind::Counter => 7,
            MetricKind::Histogram => 9,
        };
        message(own, field, |data| {
            for point in &metric.points {
                message(data, 1, |one| match metric.kind {
                    MetricKind::Gauge | MetricKind::Counter => number_point(point, span, one),
                    MetricKind::Histogram => histogram_point(point, span, one),
                });
            }
            match metric.kind {
                MetricKind::Gauge => {}
                MetricKind::Counter => {
                    number(data, 2, TEMPORALITY);
                    number(data, 3, 1);
                }
                MetricKind::Histogram => number(data, 2, TEMPORALITY),
            }
        });
    });
}

fn number_point(point: &Point, span: Period, out: &mut Vec<u8>) {
    fixed(out, 2, span.began_ns);
    fixed(out, 3, span.at_ns);
    fixed(out, 4, point.value.to_bits());
    for (name, value) in &point.labels {
        attribute(out, 7, name, &Value::text(value.as_str()));
    }
}

fn histogram_point(point: &Point, span: Period, out: &mut Vec<u8>) {
    fixed(out, 2, span.began_ns);
    fixed(out, 3, span.at_ns);
    fixed(out, 4, point.counts().sum());
    fixed(out, 5, point.value.to_bits());
    let counts: Vec<u8> = point.counts().flat_map(u64::to_le_bytes).collect();
    bytes(out, 6, &counts);
    let bounds: Vec<u8> = point.bounds().flat_map(f64::to_le_bytes).collect();
    bytes(out, 7, &bounds);
    for (name, value) in &point.labels {
        attribute(out, 9, name, &Value::text(value.as_str()));
    }
}

/// The request that exports `items`: of spans, log records and metrics alike, whose fields have the same numbers.
pub(super) fn request(resource: &[(&str, Value<'_>)], items: &[Box<[u8]>]) -> Vec<u8> {
    let mut out = Vec::new();
    message(&mut out, 1, |of_resource| {
        message(of_resource, 1, |own| {
            resource.iter().for_each(|(name, value)| attribute(own, 1, name, value));
        });
        message(of_resource, 2, |of_scope| {
            message(of_scope, 1, |scope| {
                bytes(scope, 1, SCOPE.as_bytes());
                bytes(scope, 2, env!("CARGO_PKG_VERSION").as_bytes());
            });
            items.iter().for_each(|item| of_scope.extend_from_slice(item));
        });
    });
    out
}

/// How many members an answer says were rejected, and why.
pub(super) fn rejected(answer: &[u8]) -> (u64, String) {
    let Some(partial) = fields(answer).find(|(field, ..)| *field == 1).map(|(_, _, text)| text)
    else {
        return (0, String::new());
    };
    let count = fields(partial).find(|(field, ..)| *field == 1).map_or(0, |(_, count, _)| count);
    let why = fields(partial).find(|(field, ..)| *field == 2).map(|(_, _, text)| text);
    (count, String::from_utf8_lossy(why.unwrap_or_default()).into_owned())
}

/// The fields of a message that are numbers or bytes; it ends at what cannot be read.
fn fields(mut text: &[u8]) -> impl Iterator<Item = (u64, u64, &[u8])> {
    std::iter::from_fn(move || {
        let key = read_varint(&mut text)?;
        match key & 7 {
            0 => Some((key >> 3, read_varint(&mut text)?, &text[..0])),
            2 => {
                let length = usize::try_from(read_varint(&mut text)?).ok()?;
                let (inner, tail) = text.split_at_checked(length)?;
                text = tail;
                Some((key >> 3, 0, inner))
            }
            _ => None,
        }
    })
}

fn read_varint(text: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (first, tail) = text.split_first()?;
        *text = tail;
        number |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_collector_rejects_is_read() {
        let mut answer = Vec::new();
        message(&mut answer, 1, |partial| {
            number(partial, 1, 300);
            bytes(partial, 2, b"too old");
        });
        assert_eq!(rejected(&answer), (300, "too old".to_owned()));
        assert_eq!(rejected(b""), (0, String::new()));
        for end in 0..answer.len() {
            // What is cut, or no message at all, is no fault.
            let _read = rejected(&answer[..end]);
            let _read = rejected(&answer[end..]);
        }
    }
}
