//! The page of metrics as values, for collectors that take them by OTLP.
//!
//! Called by the task that exports them. Always true: what is exported is what the page shows, so that both have the same names and
//! labels.

use std::sync::Arc;

use super::page::Page;
use super::text::Format;
use crate::sink::export::otlp::metrics::{Metric, MetricKind, Point};
use crate::state::Process;

/// All families that have a point.
pub(crate) fn read(process: &Arc<Process>) -> Vec<Metric> {
    let page = Page::new(process.clone(), process.serving(), Format::OpenMetrics).all();
    let mut metrics = families(&page);
    metrics.retain(|metric| !metric.points.is_empty());
    metrics
}

fn families(page: &str) -> Vec<Metric> {
    let mut all: Vec<Metric> = Vec::new();
    for line in page.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let mut words = comment.splitn(3, ' ');
            let (word, name, tail) = (words.next(), words.next(), words.next());
            let (Some(name), Some(tail)) = (name, tail) else { continue };
            let is_new = all.last().is_none_or(|last| last.name != name);
            if is_new {
                let (help, kind) = (String::new(), MetricKind::Gauge);
                all.push(Metric { name: name.to_owned(), help, kind, points: Vec::new() });
            }
            let Some(last) = all.last_mut() else { continue };
            match (word, tail) {
                (Some("HELP"), help) => help.clone_into(&mut last.help),
                (Some("TYPE"), "counter") => last.kind = MetricKind::Counter,
                (Some("TYPE"), "histogram") => last.kind = MetricKind::Histogram,
                (Some("TYPE"), _) | (Some(_) | None, _) => {}
            }
        } else if let Some(last) = all.last_mut() {
            sample(last, line);
        }
    }
    all
}

/// Adds a line of the page to its family.
fn sample(metric: &mut Metric, line: &str) -> Option<()> {
    let (head, value) = line.rsplit_once(' ')?;
    let value: f64 = value.parse().ok()?;
    let (name, labels) = match head.split_once('{') {
        Some((name, labels)) => (name, labels.strip_suffix('}')?),
        None => (head, ""),
    };
    let mut labels = pairs(labels);
    let ending = name.strip_prefix(&*metric.name)?;
    if metric.kind != MetricKind::Histogram {
        metric.points.push(Point { labels, value, buckets: Vec::new() });
        return Some(());
    }
    let bound = labels.iter().position(|(name, _)| name == "le").map(|at| labels.remove(at).1);
    let known = metric.points.iter().position(|point| point.labels == labels);
    let at = known.unwrap_or_else(|| {
        metric.points.push(Point { labels, ..Point::default() });
        metric.points.len() - 1
    });
    let point = metric.points.get_mut(at)?;
    match ending {
        "_sum" => point.value = value,
        "_bucket" => {
            let bound = match bound?.as_str() {
                "+Inf" => f64::INFINITY,
                text => text.parse().ok()?,
            };
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a count is whole, and never negative"
            )]
            let upto = value as u64;
            let before: u64 = point.buckets.iter().map(|(_, count)| count).sum();
            point.buckets.push((bound, upto.saturating_sub(before)));
        }
        _ => {}
    }
    Some(())
}

/// `name="value",name="value"`, with the escapes of the format.
fn pairs(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut tail = text;
    while let Some((name, value)) = tail.split_once("=\"") {
        let mut out = String::new();
        let mut chars = value.char_indices();
        let mut end = value.len();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    end = at + 1;
                    break;
                }
                '\\' => match chars.next() {
                    Some((_, 'n')) => out.push('\n'),
                    Some((_, other)) => out.push(other),
                    None => {}
                },
                other => out.push(other),
            }
        }
        found.push((name.trim_start_matches(',').to_owned(), out));
        tail = value.get(end..).unwrap_or_default();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_read_as_it_is_written() {
        let page = "# HELP a_b What it says.\n# TYPE a_b counter\na_b_total{g=\"x\\\"y, z\",h=\"\"} 7\n\
                    # HELP s Seconds.\n# TYPE s histogram\ns_sum{g=\"m\"} 0.5\ns_count{g=\"m\"} 3\n\
                    s_bucket{le=\"0.1\",g=\"m\"} 1\ns_bucket{le=\"+Inf\",g=\"m\"} 3\n# TYPE n gauge\nn 2\n# EOF\n";
        let all = families(page);
        let [count, seconds, plain] = &all[..] else { panic!("three families") };
        assert_eq!(
            (&*count.name, &*count.help, count.kind),
            ("a_b", "What it says.", MetricKind::Counter)
        );
        assert_eq!(count.points[0].labels[0], ("g".to_owned(), "x\"y, z".to_owned()));
        assert_eq!(seconds.points.len(), 1);
        assert_eq!(seconds.points[0].buckets, [(0.1, 1), (f64::INFINITY, 2)]);
        assert!((plain.points[0].value - 2.0).abs() < 1e-9);
    }
}
