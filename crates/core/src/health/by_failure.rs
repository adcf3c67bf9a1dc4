//! How often something happened, by the failure behind it.
//!
//! Kept by [`super::DeploymentState`], read by metrics. Always true: it is written after failures only, and its size is
//! bounded.

use parking_lot::Mutex;

use crate::cause::Cause;

/// Most pairs of a cause and a status. Further statuses are counted as the cause's own.
const PAIRS_MAX: usize = 64;

/// Counts by cause and HTTP status.
#[derive(Debug, Default)]
pub struct ByFailure(Mutex<Vec<(Cause, u16, u64)>>);

impl ByFailure {
    /// Counts one more. Without an answer the status is the one that clients see.
    pub(super) fn add(&self, cause: Cause, status: Option<u16>) {
        let own = cause.facts().status;
        let mut counts = self.0.lock();
        let known =
            |status: u16| move |one: &&mut (Cause, u16, u64)| (one.0, one.1) == (cause, status);
        let status = status.unwrap_or(own);
        if let Some((.., count)) = counts.iter_mut().find(known(status)) {
            *count += 1;
            return;
        }
        let status = if counts.len() < PAIRS_MAX { status } else { own };
        match counts.iter_mut().find(known(status)) {
            Some((.., count)) => *count += 1,
            None => counts.push((cause, status, 1)),
        }
    }

    /// The pairs and their counts, in the order in which they came up.
    #[must_use]
    pub fn read(&self) -> Vec<(Cause, u16, u64)> {
        self.0.lock().clone()
    }

    /// The same counts, which go on by themselves.
    pub(super) fn copied(&self) -> ByFailure {
        ByFailure(Mutex::new(self.read()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_of_a_cause_are_told_apart_and_bounded() {
        let counts = ByFailure::default();
        counts.add(Cause::Timeout, None);
        counts.add(Cause::ServerError, Some(500));
        counts.add(Cause::ServerError, Some(500));
        assert_eq!(counts.read(), [(Cause::Timeout, 408, 1), (Cause::ServerError, 500, 2)]);
        for status in 0..1_000 {
            counts.add(Cause::ServerError, Some(status));
        }
        assert!(counts.read().len() <= PAIRS_MAX + Cause::ALL.len());
        assert_eq!(counts.read().iter().map(|(.., count)| count).sum::<u64>(), 1_003);
    }
}
