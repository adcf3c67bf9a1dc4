//! Prometheus' text format: which of the two formats a client wants, and one made from the other.
//!
//! Called by [`super::page`]. Always true: both formats have the same samples; in the text format a counter's
//! comments name it as its samples do, with `_total`.

use http::{HeaderMap, HeaderValue, header};

use crate::http::header_list::list;

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

/// The text format of a page in `OpenMetrics`.
pub(super) fn text_format(page: &str) -> String {
    let mut text = String::with_capacity(page.len());
    let mut help = None;
    for line in page.lines() {
        if let Some(of) = line.strip_prefix("# HELP ") {
            help = Some(of);
            continue;
        }
        let comment = line.strip_prefix("# ");
        if let Some((name, kind)) = comment
            .and_then(|comment| comment.strip_prefix("TYPE "))
            .and_then(|of| of.split_once(' '))
        {
            let end = if kind == "counter" { "_total" } else { "" };
            let says = help.take().and_then(|help| help.strip_prefix(name)).unwrap_or_default();
            text.push_str(&format!("# HELP {name}{end}{says}\n# TYPE {name}{end} {kind}\n"));
        } else if comment.is_none() {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
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
    fn comments_of_counters_name_them_as_their_samples_do() {
        let page = "# HELP a Says # TYPE.\n# TYPE a counter\n# UNIT a x\na_total{l=\"# HELP\"} 1\n\
                    # HELP b B.\n# TYPE b gauge\nb 2\n# EOF\n";
        let text = "# HELP a_total Says # TYPE.\n# TYPE a_total counter\na_total{l=\"# HELP\"} 1\n\
                    # HELP b B.\n# TYPE b gauge\nb 2\n";
        assert_eq!(text_format(page), text);
    }
}
