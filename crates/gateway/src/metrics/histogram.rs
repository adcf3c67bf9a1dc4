//! A lock-free histogram with fixed buckets.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts of observations by upper bound.
pub(crate) struct Histogram {
    bounds: &'static [f64],
    bounds_us: Vec<u64>,
    counts: Vec<AtomicU64>,
    sum_us: AtomicU64,
}

impl Histogram {
    /// A histogram with these upper bounds, seconds, ascending.
    pub(crate) fn new(bounds: &'static [f64]) -> Histogram {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "bounds are small positive constants"
        )]
        let bounds_us = bounds.iter().map(|bound| (bound * 1e6) as u64).collect();
        Histogram {
            bounds,
            bounds_us,
            counts: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(),
            sum_us: AtomicU64::new(0),
        }
    }

    /// Counts one observation.
    pub(crate) fn observe_us(&self, us: u64) {
        let bucket = self.bounds_us.partition_point(|bound| *bound < us);
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    /// Sum in seconds, count, and the count of each bucket with its bound.
    pub(crate) fn read(&self) -> (f64, u64, Vec<(f64, u64)>) {
        let counts: Vec<u64> = self.counts.iter().map(|c| c.load(Ordering::Relaxed)).collect();
        let bounds = self.bounds.iter().copied().chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(counts.iter().copied()).collect();
        #[allow(
            clippy::cast_precision_loss,
            reason = "a sum beyond 2^53 microseconds is 285 years"
        )]
        let sum = self.sum_us.load(Ordering::Relaxed) as f64 / 1e6;
        (sum, counts.iter().sum(), buckets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn observations_fall_into_their_buckets() {
        let histogram = Histogram::new(&[0.001, 0.01]);
        for us in [1, 1_000, 1_001, 10_000, 10_001] {
            histogram.observe_us(us);
        }
        let (sum, count, buckets) = histogram.read();
        assert_eq!(count, 5);
        assert!((sum - 0.022_003).abs() < 1e-9);
        assert_eq!(buckets.iter().map(|(_, n)| *n).collect::<Vec<_>>(), vec![2, 2, 1]);
    }
}
