//! A lock-free histogram, and sums of several.
//!
//! Written where something ends, read by the page of metrics. Always true: an observation is two additions; what is read
//! at other bounds than it was counted at is never smaller than the truth at the bound before.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Upper bounds of buckets.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Bounds(Box<[u64]>);

impl Bounds {
    /// All bounds of these lists, seconds.
    pub(crate) fn of(lists: &[&[f64]]) -> Arc<Bounds> {
        let mut all: Vec<u64> =
            lists.iter().flat_map(|list| list.iter().copied().map(us)).collect();
        all.sort_unstable();
        all.dedup();
        Arc::new(Bounds(all.into()))
    }
}

/// Seconds as microseconds.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, and a bound is positive"
)]
fn us(seconds: f64) -> u64 {
    (seconds * 1e6).round() as u64
}

/// Counts of observations by upper bound.
pub(crate) struct Histogram {
    bounds: Arc<Bounds>,
    counts: Box<[AtomicU64]>,
    sum_us: AtomicU64,
}

impl Histogram {
    /// One with these bounds.
    pub(crate) fn new(bounds: &Arc<Bounds>) -> Histogram {
        Histogram {
            bounds: bounds.clone(),
            counts: (0..=bounds.0.len()).map(|_| AtomicU64::new(0)).collect(),
            sum_us: AtomicU64::new(0),
        }
    }

    /// Counts one observation.
    pub(crate) fn observe_us(&self, us: u64) {
        self.observe(us, 1, us);
    }

    fn observe(&self, us: u64, times: u64, sum_us: u64) {
        let bucket = self.bounds.0.partition_point(|bound| *bound < us);
        self.counts[bucket].fetch_add(times, Ordering::Relaxed);
        self.sum_us.fetch_add(sum_us, Ordering::Relaxed);
    }

    /// Adds all that another one counted.
    pub(crate) fn absorb(&self, other: &Histogram) {
        let mut sum_us = other.sum_us.load(Ordering::Relaxed);
        let bounds = other.bounds.0.iter().copied().chain([u64::MAX]);
        for (bound, count) in bounds.zip(&other.counts) {
            let count = count.load(Ordering::Relaxed);
            if count > 0 {
                self.observe(bound, count, std::mem::take(&mut sum_us));
            }
        }
    }
}

/// What histograms add up to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reading {
    /// The count of each bound, not cumulated, ascending.
    counts: Vec<(u64, u64)>,
    sum_us: u64,
}

impl Reading {
    /// Adds what a histogram counted.
    pub(crate) fn add(&mut self, histogram: &Histogram) {
        self.sum_us += histogram.sum_us.load(Ordering::Relaxed);
        let bounds = histogram.bounds.0.iter().copied().chain([u64::MAX]);
        let found = bounds.zip(histogram.counts.iter().map(|count| count.load(Ordering::Relaxed)));
        let is_same = self.counts.len() == histogram.counts.len();
        for (at, (bound, count)) in found.enumerate() {
            if is_same && self.counts[at].0 == bound {
                self.counts[at].1 += count;
                continue;
            }
            match self.counts.binary_search_by_key(&bound, |one| one.0) {
                Ok(at) => self.counts[at].1 += count,
                Err(at) => self.counts.insert(at, (bound, count)),
            }
        }
    }

    /// Adds observations that took no time.
    pub(crate) fn add_zeros(&mut self, count: u64) {
        if let Some(first) = self.counts.first_mut() {
            first.1 += count;
        }
    }

    /// Adds another reading.
    pub(crate) fn merge(&mut self, other: &Reading) {
        self.sum_us += other.sum_us;
        for &(bound, count) in &other.counts {
            match self.counts.binary_search_by_key(&bound, |one| one.0) {
                Ok(at) => self.counts[at].1 += count,
                Err(at) => self.counts.insert(at, (bound, count)),
            }
        }
    }

    /// The number of observations.
    pub(crate) fn count(&self) -> u64 {
        self.counts.iter().map(|(_, count)| count).sum()
    }

    /// The sum of the observations, seconds.
    #[allow(clippy::cast_precision_loss, reason = "a sum beyond 2^53 microseconds is 285 years")]
    pub(crate) fn sum(&self) -> f64 {
        self.sum_us as f64 / 1e6
    }

    /// The time in milliseconds below which this share of the observations is, between two bounds by proportion; `None`
    /// without observations. Beyond the last bound it is that bound.
    #[allow(
        clippy::cast_precision_loss,
        reason = "counts and times are far below 2^52, and a page shows three digits"
    )]
    pub(crate) fn quantile_ms(&self, share: f64) -> Option<f64> {
        let wanted = (self.count() as f64 * share).max(1.0);
        let (mut below, mut from) = (0.0, 0);
        for &(bound, count) in self.counts.iter().filter(|(bound, _)| *bound < u64::MAX) {
            let with = below + count as f64;
            if count > 0 && with >= wanted {
                let part = (wanted - below) / count as f64;
                return Some((from as f64 + part * (bound - from) as f64) / 1e3);
            }
            (below, from) = (with, bound);
        }
        (self.count() > 0).then_some(from as f64 / 1e3)
    }

    /// How many observations are not above each of these bounds, seconds, ascending.
    pub(crate) fn cumulated<'b>(
        &'b self,
        bounds: &'b [f64],
    ) -> impl Iterator<Item = (f64, u64)> + 'b {
        let (mut at, mut sum) = (0, 0);
        bounds.iter().map(move |bound| {
            let limit = us(*bound);
            while let Some((_, count)) = self.counts.get(at).filter(|(own, _)| *own <= limit) {
                sum += count;
                at += 1;
            }
            (*bound, sum)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(bounds: &[f64], us: &[u64]) -> Histogram {
        let histogram = Histogram::new(&Bounds::of(&[bounds]));
        us.iter().for_each(|us| histogram.observe_us(*us));
        histogram
    }

    #[test]
    fn observations_fall_into_their_buckets() {
        let mut reading = Reading::default();
        reading.add(&counted(&[0.001, 0.01], &[1, 1_000, 1_001, 10_000, 10_001]));
        assert_eq!(reading.count(), 5);
        assert!((reading.sum() - 0.022_003).abs() < 1e-9);
        let cumulated: Vec<_> = reading.cumulated(&[0.001, 0.01]).collect();
        assert_eq!(cumulated, [(0.001, 2), (0.01, 4)]);
    }

    #[test]
    fn a_histogram_is_read_at_some_of_its_bounds_and_together_with_others() {
        let mut reading = Reading::default();
        reading.add(&counted(&[0.001, 0.01, 0.1], &[500, 5_000, 50_000, 5_000_000]));
        reading.add(&counted(&[0.01, 1.0], &[5_000, 500_000]));
        let cumulated: Vec<_> = reading.cumulated(&[0.01, 1.0]).map(|(_, count)| count).collect();
        assert_eq!(cumulated, [3, 5]);
        assert_eq!(reading.count(), 6);
        reading.add_zeros(2);
        assert_eq!(reading.cumulated(&[0.001]).next(), Some((0.001, 3)));
        let mut twice = reading.clone();
        twice.merge(&reading);
        assert_eq!((twice.count(), twice.sum()), (16, 2.0 * reading.sum()));
    }

    #[test]
    fn a_quantile_lies_between_the_bounds_of_its_bucket() {
        let mut reading = Reading::default();
        assert_eq!(reading.quantile_ms(0.5), None);
        reading.add(&counted(&[0.001, 0.01, 0.1], &[500, 5_000, 5_000, 5_000_000]));
        assert_eq!(reading.quantile_ms(0.25), Some(1.0));
        assert_eq!(reading.quantile_ms(0.5), Some(5.5));
        assert_eq!(
            reading.quantile_ms(0.99),
            Some(100.0),
            "beyond the last bound it is that bound"
        );
    }

    #[test]
    fn what_another_histogram_counted_is_kept() {
        let (kept, gone) = (counted(&[0.01, 0.1], &[5_000]), counted(&[0.05], &[20_000, 70_000]));
        kept.absorb(&gone);
        let mut reading = Reading::default();
        reading.add(&kept);
        assert_eq!(reading.count(), 3);
        assert!((reading.sum() - 0.095).abs() < 1e-9);
        assert_eq!(reading.cumulated(&[0.01, 0.1]).map(|(_, n)| n).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn bounds_of_several_lists_are_one_list() {
        assert_eq!(
            *Bounds::of(&[&[0.5, 0.1], &[0.1, 2.0]]),
            Bounds([100_000, 500_000, 2_000_000].into())
        );
    }
}
