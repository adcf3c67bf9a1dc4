//! One family of metrics, as values.
//!
//! Made from the page of metrics, written by [`super::metric`]. Always true: sums are cumulative and begin with the process.

/// A family.
pub(crate) struct Metric {
    /// Its name.
    pub(crate) name: String,
    /// What it says.
    pub(crate) help: String,
    /// Its kind.
    pub(crate) kind: MetricKind,
    /// Its points.
    pub(crate) points: Vec<Point>,
}

/// The kind of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MetricKind {
    /// A value that goes up and down.
    Gauge,
    /// A count that goes up.
    Counter,
    /// Counts by upper bounds.
    Histogram,
}

/// One point.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Point {
    /// Its labels.
    pub(crate) labels: Vec<(String, String)>,
    /// The value; of a histogram the sum of what was observed.
    pub(crate) value: f64,
    /// How often something was observed, by upper bound; the last one has none. Empty unless it is a histogram.
    pub(crate) buckets: Vec<(f64, u64)>,
}

/// When the points are of, nanoseconds since 1970.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    /// When counting began.
    pub(crate) began_ns: u64,
    /// When they were read.
    pub(crate) at_ns: u64,
}

impl Point {
    /// The counts of all buckets.
    pub(super) fn counts(&self) -> impl Iterator<Item = u64> {
        self.buckets.iter().map(|(_, count)| *count)
    }

    /// The bounds between them.
    pub(super) fn bounds(&self) -> impl Iterator<Item = f64> {
        self.buckets.iter().map(|(bound, _)| *bound).filter(|bound| bound.is_finite())
    }
}
