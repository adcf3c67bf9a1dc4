//! Writes a page of metrics in pieces.
//!
//! Used by [`super::page`], on threads that may take their time. Always true: a piece has about [`PIECE`] bytes, unless a family
//! has to be added up first; the memory of a page is that of one piece.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hale_core::settings::{MetricsSettings, Shown};

use super::families::{Buckets, FAMILIES, Family, Kind, OfGroup, OfRequests, Read};
use super::labels::{Label, Row, Value};
use super::source::{Requests, Source, usd};
use super::text::{Format, Text, label};
use crate::clock;
use crate::metrics::{Cell, ClientKey, Reading, Series};
use crate::state::{Process, Serving};

/// Bytes of a piece, about.
const PIECE: usize = 256 << 10;

/// A page that is being written.
pub(super) struct Page {
    source: Source,
    text: Text,
    /// The families that are shown, and how.
    families: Vec<Shape>,
    /// The family that comes next, and what of it.
    at: (usize, usize),
    /// Processor time so far, microseconds.
    used_us: u64,
}

/// How a family is shown.
struct Shape {
    family: &'static Family,
    columns: Vec<Column>,
    /// Whether series can be alike in the labels that are shown, so that they have to be added up.
    adds_up: bool,
}

/// A label of a series.
enum Column {
    /// One that the config decides.
    Own(Label),
    /// One whose value comes from a client: its name, and its place among these.
    Client(Box<str>, usize),
}

impl Shape {
    /// How the settings want `family`; `None` if not at all.
    fn of(family: &'static Family, settings: &MetricsSettings) -> Option<Shape> {
        let own = family.labels.iter().copied();
        if !family.is_the_references() {
            let columns = own.map(Column::Own).collect();
            return Some(Shape { family, columns, adds_up: false });
        }
        let labels = match settings.shows(family.name) {
            Shown::Not => return None,
            Shown::Whole => None,
            Shown::With(labels) => Some(labels),
        };
        let wanted =
            |name: &str| labels.is_none_or(|labels| labels.iter().any(|one| **one == *name));
        let clients = match family.read.is_of_requests() {
            true => &settings.client_labels[..],
            false => &[],
        };
        let place = |name: &str| clients.iter().position(|one| &*one.name == name);
        let column = |label: Label| match place(label.name()) {
            Some(place) => Column::Client(label.name().into(), place),
            None => Column::Own(label),
        };
        let mut columns: Vec<Column> =
            own.filter(|label| wanted(label.name())).map(column).collect();
        let is_own = |name: &str| family.labels.iter().any(|label| label.name() == name);
        for (place, more) in clients.iter().enumerate() {
            // A label of LiteLLM's own belongs to the families that have it; the operator's own to all.
            if more.is_everywhere() && !is_own(&more.name) && wanted(&more.name) {
                columns.push(Column::Client(more.name.clone(), place));
            }
        }
        Some(Shape { family, columns, adds_up: labels.is_some() || !clients.is_empty() })
    }
}

/// What series that are alike add up to.
enum Added {
    Count(u64),
    Number(f64),
    Seconds(Reading, Vec<f64>),
}

impl Added {
    fn of(value: Value<'_>) -> Added {
        match value {
            Value::Count(count) => Added::Count(count),
            Value::Number(number) => Added::Number(number),
            Value::Seconds(reading, bounds) => Added::Seconds(reading.clone(), bounds.to_vec()),
        }
    }

    /// Adds a value; of a gauge the greatest counts.
    fn add(&mut self, value: Value<'_>, kind: Kind) {
        match (self, value) {
            (Added::Count(sum), Value::Count(count)) => match kind {
                Kind::Gauge => *sum = count.max(*sum),
                Kind::Counter | Kind::Histogram => *sum += count,
            },
            (Added::Number(sum), Value::Number(number)) => match kind {
                Kind::Gauge => *sum = number.max(*sum),
                Kind::Counter | Kind::Histogram => *sum += number,
            },
            (Added::Seconds(sum, _), Value::Seconds(reading, _)) => sum.merge(reading),
            // A family has values of one sort.
            (Added::Count(_) | Added::Number(_) | Added::Seconds(..), _) => {}
        }
    }

    fn value(&self) -> Value<'_> {
        match self {
            Added::Count(count) => Value::Count(*count),
            Added::Number(number) => Value::Number(*number),
            Added::Seconds(reading, bounds) => Value::Seconds(reading, bounds),
        }
    }
}

/// Where the series of a family go.
struct Out<'p> {
    shape: &'p Shape,
    text: &'p mut Text,
    /// The labels of one series.
    labels: Vec<u8>,
    sums: BTreeMap<Vec<u8>, Added>,
}

impl Out<'_> {
    fn put(&mut self, client: Option<&ClientKey>, row: &Row<'_>, value: Value<'_>) {
        self.labels.clear();
        for column in &self.shape.columns {
            match column {
                Column::Own(own) => label(&mut self.labels, own.name(), own.value(row)),
                Column::Client(name, place) => {
                    let value = client.and_then(|client| client.get(*place));
                    label(&mut self.labels, name, value.map_or("", |value| value));
                }
            }
        }
        if !self.shape.adds_up {
            self.text.series(self.shape.family, &self.labels, value);
            return;
        }
        match self.sums.get_mut(&self.labels) {
            Some(sum) => sum.add(value, self.shape.family.kind),
            None => {
                self.sums.insert(self.labels.clone(), Added::of(value));
            }
        }
    }

    fn flush(&mut self) {
        for (labels, sum) in std::mem::take(&mut self.sums) {
            self.text.series(self.shape.family, &labels, sum.value());
        }
    }
}

impl Page {
    /// A page of which nothing is written.
    pub(super) fn new(process: Arc<Process>, serving: Arc<Serving>, format: Format) -> Page {
        let began = clock::thread_cpu_us();
        let settings = &serving.snapshot.gateway.metrics;
        let all = FAMILIES.iter().copied().flatten();
        let families = all.filter_map(|family| Shape::of(family, settings)).collect();
        let source = Source::new(process, serving);
        let used_us = clock::thread_cpu_us().saturating_sub(began);
        Page { source, text: Text::new(format), families, at: (0, 0), used_us }
    }

    /// All of it at once.
    pub(super) fn all(mut self) -> String {
        let mut whole = Vec::new();
        while !self.is_whole() {
            whole.extend(self.piece());
        }
        String::from_utf8_lossy(&whole).into_owned()
    }

    /// Whether all of it is written.
    pub(super) fn is_whole(&self) -> bool {
        self.at.0 == self.families.len()
    }

    /// Writes the next piece.
    pub(super) fn piece(&mut self) -> Vec<u8> {
        let began = clock::thread_cpu_us();
        self.text.make_room(PIECE + PIECE / 8);
        while !self.is_whole() && self.text.len() < PIECE {
            let (place, from) = self.at;
            let shape = &self.families[place];
            if from == 0 {
                self.text.family(shape.family);
            }
            let mut out =
                Out { shape, text: &mut self.text, labels: Vec::new(), sums: BTreeMap::new() };
            let (mut next, end) = (from, self.source.items(&shape.family.read));
            while next < end && (shape.adds_up || out.text.len() < PIECE) {
                self.source.write(next, &mut out);
                next += 1;
            }
            out.flush();
            self.at = if next < end { (place, next) } else { (place + 1, 0) };
        }
        self.used_us += clock::thread_cpu_us().saturating_sub(began);
        if self.is_whole() {
            self.text.end();
            self.source.process.metrics.page_us.store(self.used_us, Ordering::Relaxed);
        }
        self.text.take()
    }
}

impl Source {
    /// How many items a family is read from.
    fn items(&self, read: &Read) -> usize {
        match read {
            Read::Process(_)
            | Read::ProcessUsd(_)
            | Read::System(_)
            | Read::ProcessSeconds(..)
            | Read::Once(_)
            | Read::Service(_) => 1,
            Read::Deployment(_) | Read::DeploymentRows(_) => {
                self.serving.snapshot.deployments.len()
            }
            Read::Group(_) => self.groups.len(),
            Read::Requests(_) => self.counted.len(),
        }
    }

    /// Writes the series of one item of a family.
    fn write(&self, item: usize, out: &mut Out<'_>) {
        let row = Row::default();
        match &out.shape.family.read {
            Read::Process(value) => out.put(None, &row, Value::Count(value(&self.process))),
            Read::ProcessUsd(value) => {
                out.put(None, &row, Value::Number(usd(value(&self.process))));
            }
            Read::System(value) => {
                if let Some(value) = value() {
                    out.put(None, &row, Value::Number(value));
                }
            }
            Read::ProcessSeconds(histogram, buckets) => {
                let mut reading = Reading::default();
                reading.add(histogram(&self.process));
                out.put(None, &row, Value::Seconds(&reading, self.bounds(*buckets)));
            }
            Read::Once(rows) => rows(self, &mut |row, value| out.put(None, row, value)),
            Read::Service(rows) => {
                let bounds = self.bounds(Buckets::Latency);
                rows(self, bounds, &mut |row, value| out.put(None, row, value));
            }
            Read::Deployment(value) => {
                let deployment = &self.serving.snapshot.deployments[item];
                if let Some(value) = value(self, deployment) {
                    out.put(None, &self.row(deployment), Value::Count(value));
                }
            }
            Read::DeploymentRows(rows) => {
                let deployment = &self.serving.snapshot.deployments[item];
                let row = self.row(deployment);
                rows(self, deployment, &row, &mut |row, value| out.put(None, row, value));
            }
            Read::Group(read) => self.write_group(read, item, out),
            Read::Requests(read) => {
                let series = &self.series[self.counted[item]];
                series.each(|client, cell| self.write_cell(read, series, (client, cell), out));
            }
        }
    }

    fn write_group(&self, read: &OfGroup, item: usize, out: &mut Out<'_>) {
        let group = &self.groups[item];
        let row = Row { group: &self.series[group.series.start].subject.group, ..Row::default() };
        let sum = |of| {
            let mut sum = 0;
            self.counters(group.series.clone(), |counters| sum += counters.sum(of));
            sum
        };
        match read {
            OfGroup::Rows(rows) => {
                rows(self, group, &row, &mut |row, value| out.put(None, row, value));
            }
            // Nothing happened in it.
            OfGroup::Sum(_) | OfGroup::Usd(_) | OfGroup::Seconds(..) if !group.has_counted => {}
            OfGroup::Sum(of) => out.put(None, &row, Value::Count(sum(*of))),
            OfGroup::Usd(of) => out.put(None, &row, Value::Number(usd(sum(*of)))),
            OfGroup::Seconds(histogram, buckets) => {
                let mut reading = Reading::default();
                self.counters(group.series.clone(), |counters| reading.add(histogram(counters)));
                out.put(None, &row, Value::Seconds(&reading, self.bounds(*buckets)));
            }
        }
    }

    fn write_cell(
        &self,
        read: &OfRequests,
        series: &Series,
        (client, cell): (Option<&ClientKey>, &Cell),
        out: &mut Out<'_>,
    ) {
        let row = Row::of(&series.subject);
        match (read, cell.answered()) {
            (OfRequests::Rows(rows), _) => {
                let is_of_none = series.subject.group.is_empty() && client.is_none();
                let turned_away = is_of_none.then_some(&self.process.metrics.turned_away);
                let requests = Requests { cell, turned_away };
                rows(&row, requests, &mut |row, value| out.put(client, row, value));
            }
            (
                OfRequests::Answered(_)
                | OfRequests::AnsweredUsd(_)
                | OfRequests::AnsweredSeconds(..)
                | OfRequests::Seconds(_),
                None,
            ) => {}
            (OfRequests::Answered(value), Some(counters)) => {
                let value = value(counters);
                if value > 0 {
                    out.put(client, &row, Value::Count(value));
                }
            }
            (OfRequests::AnsweredUsd(of), Some(counters)) => {
                let nano = counters.sum(*of);
                if nano > 0 {
                    out.put(client, &row, Value::Number(usd(nano)));
                }
            }
            (OfRequests::AnsweredSeconds(histogram, buckets), Some(counters)) => {
                let mut reading = Reading::default();
                reading.add(histogram(counters));
                if reading.count() > 0 {
                    out.put(client, &row, Value::Seconds(&reading, self.bounds(*buckets)));
                }
            }
            (OfRequests::Seconds(rows), Some(_)) => {
                let bounds = self.bounds(Buckets::Latency);
                rows(&row, cell, bounds, &mut |row, value| out.put(client, row, value));
            }
        }
    }

    fn bounds(&self, buckets: Buckets) -> &[f64] {
        match buckets {
            Buckets::Of(bounds) => bounds,
            Buckets::Latency => &self.serving.snapshot.gateway.metrics.latency_buckets,
        }
    }
}
