//! What happened within the last sixty seconds, moment by moment.
//!
//! Used by the limits of deployments ([`crate::health`]) and of keys ([`crate::tenancy`]). Always true: any window of a
//! minute, wherever it begins, has in it what was added; memory depends on the length of the window, not on the amount.

use std::collections::VecDeque;

use crate::time::Millis;

/// The length of the window, milliseconds.
pub(crate) const WINDOW_MS: u64 = 60_000;
/// How many moments are kept one by one. Limits up to this number are exact to the millisecond.
pub(crate) const MOMENTS: usize = 64;
/// Above that, events this near to each other share a bucket, which leaves the window with its last
/// event. So there are at most 61 more buckets, and a place becomes free at most this much too
/// late. Milliseconds.
pub(crate) const BUCKET_MS: u64 = 1_000;

/// Events that leave the window together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    first: Millis,
    last: Millis,
    count: u64,
}

impl Bucket {
    fn leaves(&self) -> Millis {
        self.last.plus(WINDOW_MS)
    }
}

/// The buckets of the window, oldest first, and their sum.
#[derive(Debug, Default)]
pub(crate) struct Window {
    pub(crate) buckets: VecDeque<Bucket>,
    sum: u64,
}

impl Window {
    /// The sum of what was in it when it was last looked at.
    pub(crate) fn sum(&self) -> u64 {
        self.sum
    }

    /// Leaves out what is older than a minute.
    pub(crate) fn forget(&mut self, now: Millis) {
        while let Some(oldest) = self.buckets.front().filter(|oldest| oldest.leaves() <= now) {
            self.sum -= oldest.count;
            self.buckets.pop_front();
        }
    }

    /// Adds `more` at `now`.
    pub(crate) fn push(&mut self, now: Millis, more: u64) {
        let more = more.min(u64::MAX - self.sum);
        self.sum += more;
        let apart = if self.buckets.len() < MOMENTS { 1 } else { BUCKET_MS };
        match self.buckets.back_mut() {
            // The clock of another thread may be a little behind; its events belong to the newest
            // bucket.
            Some(newest) if now.since(newest.first) < apart => {
                newest.last = newest.last.max(now);
                newest.count += more;
            }
            _ => self.buckets.push_back(Bucket { first: now, last: now, count: more }),
        }
    }

    /// Takes back up to `less` of what was added at `at`, if it is still there.
    pub(crate) fn take_back(&mut self, at: Millis, less: u64) {
        let bucket = self.buckets.iter_mut().find(|bucket| at <= bucket.last);
        if let Some(bucket) = bucket.filter(|bucket| bucket.first <= at) {
            let taken = less.min(bucket.count);
            bucket.count -= taken;
            self.sum -= taken;
        }
    }

    /// When something leaves next.
    pub(crate) fn leaves(&self) -> Millis {
        self.buckets.front().map_or(Millis::NEVER, Bucket::leaves)
    }

    /// Milliseconds until `more` fits into `limit`. If it never fits, until the window is empty.
    pub(crate) fn free_in_ms(&self, now: Millis, more: u64, limit: u64) -> u64 {
        let mut left = self.sum;
        let mut free = now;
        for bucket in &self.buckets {
            if left.saturating_add(more) <= limit {
                break;
            }
            left -= bucket.count;
            free = bucket.leaves();
        }
        free.since(now)
    }
}
