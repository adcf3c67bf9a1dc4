//! Prometheus' two text formats: which of them a client wants, and how families and samples are written.
//!
//! Used by [`super::page`]. Always true: both formats have the same samples; in the text format a counter's comments name it
//! as its samples do, with `_total`.

use std::io::Write as _;

use http::{HeaderMap, HeaderValue, header};

use super::families::{Family, Kind};
use super::labels::Value;
use crate::http::header_list::list;
use crate::metrics::Reading;

/// A format of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Prometheus' text format 0.0.4.
    Plain,
    /// `OpenMetrics` 1.0.0.
    OpenMetrics,
}

impl Format {
    /// The format that `accept` prefers; text unless the other is named.
    pub(super) fn of(headers: &HeaderMap) -> Format {
        let (mut text, mut open) = (0.0, 0.0);
        for range in list(headers, &header::ACCEPT) {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default();
            let quality = parts
                .find_map(|part| part.strip_prefix("q="))
                .map_or(Some(1.0), |q| q.parse().ok());
            let quality: f64 = quality.unwrap_or(0.0);
            if kind.eq_ignore_ascii_case("application/openmetrics-text") {
                open = quality.max(open);
            } else if kind.eq_ignore_ascii_case("text/plain") {
                text = quality.max(text);
            }
        }
        if open > 0.0 && open >= text { Format::OpenMetrics } else { Format::Plain }
    }

    pub(super) fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Format::Plain => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        })
    }
}

/// The text of a page, or of a part of it.
pub(super) struct Text {
    format: Format,
    out: Vec<u8>,
}

impl Text {
    pub(super) fn new(format: Format) -> Text {
        Text { format, out: Vec::new() }
    }

    /// Bytes that were not taken yet.
    pub(super) fn len(&self) -> usize {
        self.out.len()
    }

    /// Makes room for a piece, so that it is not moved while it grows.
    pub(super) fn make_room(&mut self, bytes: usize) {
        self.out.reserve(bytes);
    }

    /// Takes what is written.
    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// The comments of a family.
    pub(super) fn family(&mut self, family: &Family) {
        let name = family.name;
        let end = match (self.format, family.kind) {
            (Format::Plain, Kind::Counter) => "_total",
            (
                Format::Plain | Format::OpenMetrics,
                Kind::Counter | Kind::Gauge | Kind::Histogram,
            ) => "",
        };
        let kind = family.kind.name();
        self.out.extend_from_slice(b"# HELP ");
        // Writing to a vector cannot fail.
        let _written = writeln!(self.out, "{name}{end} {}", family.help);
        let _written = writeln!(self.out, "# TYPE {name}{end} {kind}");
        // The format demands that a name ends in its unit; the reference's names do not.
        if self.format == Format::OpenMetrics && family.has_unit_in_name() {
            let _written = writeln!(self.out, "# UNIT {name} {}", family.unit);
        }
    }

    /// One series: `labels` are written already, without braces.
    pub(super) fn series(&mut self, family: &Family, labels: &[u8], value: Value<'_>) {
        let end = match family.kind {
            Kind::Counter => "_total",
            Kind::Gauge | Kind::Histogram => "",
        };
        match value {
            Value::Count(count) => {
                self.begin(family.name, end, labels, None);
                self.whole(count);
            }
            Value::Number(number) => {
                self.begin(family.name, end, labels, None);
                self.number(number);
            }
            Value::Seconds(reading, bounds) => self.seconds(family, labels, (reading, bounds)),
        }
    }

    fn seconds(&mut self, family: &Family, labels: &[u8], (reading, bounds): (&Reading, &[f64])) {
        for (bound, count) in reading.cumulated(bounds) {
            self.begin(family.name, "_bucket", labels, Some(bound));
            self.whole(count);
        }
        let count = reading.count();
        self.begin(family.name, "_bucket", labels, Some(f64::INFINITY));
        self.whole(count);
        self.begin(family.name, "_sum", labels, None);
        self.number(reading.sum());
        self.begin(family.name, "_count", labels, None);
        self.whole(count);
    }

    fn begin(&mut self, name: &str, end: &str, labels: &[u8], bound: Option<f64>) {
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(end.as_bytes());
        if labels.is_empty() && bound.is_none() {
            self.out.push(b' ');
            return;
        }
        self.out.push(b'{');
        self.out.extend_from_slice(labels);
        if let Some(bound) = bound {
            if !labels.is_empty() {
                self.out.push(b',');
            }
            if bound.is_finite() {
                let _written = write!(self.out, "le=\"{bound:?}\"");
            } else {
                self.out.extend_from_slice(b"le=\"+Inf\"");
            }
        }
        self.out.extend_from_slice(b"} ");
    }

    fn whole(&mut self, count: u64) {
        self.out.extend_from_slice(itoa::Buffer::new().format(count).as_bytes());
        self.out.push(b'\n');
    }

    fn number(&mut self, number: f64) {
        let _written = writeln!(self.out, "{number:?}");
    }

    /// The end of the page.
    pub(super) fn end(&mut self) {
        if self.format == Format::OpenMetrics {
            self.out.extend_from_slice(b"# EOF\n");
        }
    }
}

/// Appends `name="value"` to the labels of a series.
pub(super) fn label(labels: &mut Vec<u8>, name: &str, value: &str) {
    if !labels.is_empty() {
        labels.push(b',');
    }
    labels.extend_from_slice(name.as_bytes());
    labels.extend_from_slice(b"=\"");
    if value.bytes().any(|byte| matches!(byte, b'"' | b'\\' | b'\n')) {
        for byte in value.bytes() {
            match byte {
                b'"' => labels.extend_from_slice(b"\\\""),
                b'\\' => labels.extend_from_slice(b"\\\\"),
                b'\n' => labels.extend_from_slice(b"\\n"),
                other => labels.push(other),
            }
        }
    } else {
        labels.extend_from_slice(value.as_bytes());
    }
    labels.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::super::families::FAMILIES;
    use super::*;

    #[test]
    fn the_preferred_format_is_sent_and_text_where_none_is_named() {
        // What Prometheus 2.53 and 3.5 send, browsers, curl, and ranges that decide by their quality.
        for (accept, expected) in [
            (
                "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                Format::OpenMetrics,
            ),
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6, text/plain;version=1.0.0;q=0.4, */*;q=0.2",
                Format::OpenMetrics,
            ),
            ("application/vnd.google.protobuf;q=0.6,text/plain;version=0.0.4;q=0.3", Format::Plain),
            ("text/html,application/xhtml+xml,*/*;q=0.8", Format::Plain),
            ("*/*", Format::Plain),
            ("text/plain", Format::Plain),
            ("APPLICATION/openmetrics-text", Format::OpenMetrics),
            ("application/openmetrics-text; q=0", Format::Plain),
            ("application/openmetrics-text; q=many", Format::Plain),
            ("text/plain, application/openmetrics-text;q=0.9", Format::Plain),
            ("", Format::Plain),
        ] {
            let headers =
                HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(accept))]);
            assert_eq!(Format::of(&headers), expected, "{accept}");
        }
        assert_eq!(Format::of(&HeaderMap::new()), Format::Plain);
    }

    #[test]
    fn a_label_is_escaped() {
        let mut labels = Vec::new();
        label(&mut labels, "a", "plain");
        label(&mut labels, "b", "\"\\\n");
        assert_eq!(labels, br#"a="plain",b="\"\\\n""#);
    }

    fn written(format: Format, name: &str, value: Value<'_>) -> String {
        let family = FAMILIES.iter().copied().flatten().find(|family| family.name == name).unwrap();
        let mut text = Text::new(format);
        text.family(family);
        text.series(family, b"l=\"v\"", value);
        text.end();
        String::from_utf8(text.take()).unwrap()
    }

    #[test]
    fn comments_of_counters_name_them_as_the_format_does() {
        let plain = written(Format::Plain, "hale_config_reloads_refused", Value::Count(3));
        assert!(plain.starts_with("# HELP hale_config_reloads_refused_total "), "{plain}");
        assert!(
            plain.contains("\n# TYPE hale_config_reloads_refused_total counter\nhale_config_reloads_refused_total{l=\"v\"} 3\n")
        );
        let open = written(Format::OpenMetrics, "hale_config_reloads_refused", Value::Count(3));
        assert!(
            open.contains("\n# TYPE hale_config_reloads_refused counter\nhale_config_reloads_refused_total{l=\"v\"} 3\n# EOF\n")
        );
    }

    #[test]
    fn a_unit_is_told_where_the_name_ends_in_it() {
        let seconds = Value::Number(1.5);
        let open = written(Format::OpenMetrics, "process_start_time_seconds", seconds);
        assert!(open.contains("\n# UNIT process_start_time_seconds seconds\n"), "{open}");
        let plain = written(Format::Plain, "process_start_time_seconds", seconds);
        assert!(!plain.contains("UNIT") && plain.ends_with("} 1.5\n"), "{plain}");
    }

    #[test]
    fn a_histogram_ends_with_the_bucket_that_holds_all() {
        let mut reading = Reading::default();
        let histogram = crate::metrics::Histogram::new(&crate::metrics::Bounds::of(&[&[0.5, 1.0]]));
        [400_000, 700_000, 5_000_000].iter().for_each(|us| histogram.observe_us(*us));
        reading.add(&histogram);
        let text =
            written(Format::Plain, "hale_overhead_seconds", Value::Seconds(&reading, &[0.5, 1.0]));
        let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(
            samples,
            [
                r#"hale_overhead_seconds_bucket{l="v",le="0.5"} 1"#,
                r#"hale_overhead_seconds_bucket{l="v",le="1.0"} 2"#,
                r#"hale_overhead_seconds_bucket{l="v",le="+Inf"} 3"#,
                r#"hale_overhead_seconds_sum{l="v"} 6.1"#,
                r#"hale_overhead_seconds_count{l="v"} 3"#,
            ]
        );
    }
}
