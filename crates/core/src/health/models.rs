//! Rests of single models behind one deployment that stands for many (a pattern such as `openai/*`).
//!
//! Kept by [`super::DeploymentState`]. Always true: what one model answers rests that model alone; the
//! map is bounded, and when it is full the rest that ends first makes room.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::Rest;
use crate::time::Millis;

/// Models that are remembered per deployment.
const MODELS_MAX: usize = 256;

/// Rests by the model's name at the provider.
#[derive(Debug, Default)]
pub(super) struct ModelRests {
    /// How many there are, so that nobody takes the lock for nothing.
    count: AtomicUsize,
    rests: Mutex<HashMap<Box<str>, Rest>>,
}

impl ModelRests {
    pub(super) fn is_empty(&self) -> bool {
        self.count.load(Ordering::Relaxed) == 0
    }

    /// The rest of `model` that is not over.
    pub(super) fn of(&self, model: &str, now: Millis) -> Option<Rest> {
        self.rests.lock().get(model).copied().filter(|rest| rest.until > now)
    }

    /// `model` rests, until the later of its ends.
    pub(super) fn rest(&self, model: &str, rest: Rest, now: Millis) {
        let mut rests = self.rests.lock();
        if rests.len() >= MODELS_MAX && !rests.contains_key(model) {
            rests.retain(|_, rest| rest.until > now);
        }
        if rests.len() >= MODELS_MAX && !rests.contains_key(model) {
            let first =
                rests.iter().min_by_key(|(_, rest)| rest.until).map(|(name, _)| name.clone());
            if let Some(first) = first {
                rests.remove(&first);
            }
        }
        let kept = rests.entry(model.into()).or_insert(rest);
        if rest.until > kept.until {
            *kept = rest;
        }
        self.count.store(rests.len(), Ordering::Relaxed);
    }

    /// `model` answered well.
    pub(super) fn close(&self, model: &str) {
        let mut rests = self.rests.lock();
        rests.remove(model);
        self.count.store(rests.len(), Ordering::Relaxed);
    }

    pub(super) fn clear(&self) {
        self.rests.lock().clear();
        self.count.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cause::Cause;

    #[test]
    fn the_map_is_bounded_and_deadlines_move_forward() {
        let rests = ModelRests::default();
        let rest =
            |until| Rest { until: Millis(until), cause: Cause::NotFound, provider_issued: false };
        for i in 0..1_000u64 {
            rests.rest(&format!("m{i}"), rest(10_000 + i), Millis(0));
        }
        assert_eq!(rests.rests.lock().len(), MODELS_MAX);
        assert!(rests.of("m999", Millis(0)).is_some());
        rests.rest("m999", rest(5), Millis(0));
        assert_eq!(rests.of("m999", Millis(0)).map(|rest| rest.until), Some(Millis(10_999)));
        rests.close("m999");
        assert_eq!(rests.of("m999", Millis(0)), None);
    }
}
