//! Rests of parts of a deployment: single models behind one that stands for many (a pattern such as
//! `openai/*`), and operations that it is not for.
//!
//! Kept by [`super::DeploymentState`]. Always true: what one of them answers rests it alone; the
//! map is bounded, and when it is full the rest that ends first makes room; what is over is forgotten by
//! the next look, so that nobody looks any more.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::breaker::Rest;
use crate::operation::Operation;
use crate::time::Millis;

/// Parts that are remembered per deployment.
const MODELS_MAX: usize = 256;

/// The operation, where the rest is about it, and the model's name at the provider, where there are
/// several.
type Part = (Option<Operation>, Box<str>);

/// Rests by what they are about.
#[derive(Debug, Default)]
struct Rests {
    by_part: HashMap<Part, Rest>,
    /// No rest ends before.
    first_end: Millis,
}

impl Rests {
    fn forget(&mut self, now: Millis) {
        if now < self.first_end {
            return;
        }
        self.by_part.retain(|_, rest| rest.until > now);
        let ends = self.by_part.values().map(|rest| rest.until);
        self.first_end = ends.min().unwrap_or(Millis::NEVER);
    }
}

/// The rests of one deployment's parts.
#[derive(Debug, Default)]
pub(super) struct ModelRests {
    /// How many there are, so that nobody takes the lock for nothing.
    count: AtomicUsize,
    rests: Mutex<Rests>,
}

impl ModelRests {
    pub(super) fn is_empty(&self) -> bool {
        self.count.load(Ordering::Relaxed) == 0
    }

    /// The rest of `model`, or of `operation` of it, that is not over; the one that ends last.
    pub(super) fn of(
        &self,
        operation: Option<Operation>,
        model: &str,
        now: Millis,
    ) -> Option<Rest> {
        let mut rests = self.rests.lock();
        rests.forget(now);
        let rests = &rests.by_part;
        self.count.store(rests.len(), Ordering::Relaxed);
        let mut part: Part = (operation, model.into());
        let of_operation = rests.get(&part);
        part.0 = None;
        let found = of_operation.into_iter().chain(rests.get(&part)).copied();
        found.filter(|rest| rest.until > now).max_by_key(|rest| rest.until)
    }

    /// `model`, or only `operation` of it, rests until the later of its ends. Says whether it had no rest
    /// before.
    pub(super) fn rest(
        &self,
        operation: Option<Operation>,
        model: &str,
        rest: Rest,
        now: Millis,
    ) -> bool {
        let part: Part = (operation, model.into());
        let mut all = self.rests.lock();
        all.forget(now);
        all.first_end = all.first_end.min(rest.until);
        let rests = &mut all.by_part;
        if rests.len() >= MODELS_MAX && !rests.contains_key(&part) {
            let first =
                rests.iter().min_by_key(|(_, rest)| rest.until).map(|(name, _)| name.clone());
            if let Some(first) = first {
                rests.remove(&first);
            }
        }
        let is_new = !rests.contains_key(&part);
        let kept = rests.entry(part).or_insert(rest);
        if rest.until > kept.until {
            *kept = rest;
        }
        self.count.store(rests.len(), Ordering::Relaxed);
        is_new
    }

    /// `model` answered well. Says whether that ended a rest.
    pub(super) fn close(&self, model: &str) -> bool {
        let rests = &mut self.rests.lock().by_part;
        let had = rests.remove(&(None, Box::from(model))).is_some();
        self.count.store(rests.len(), Ordering::Relaxed);
        had
    }

    /// The rule that it breaks, if it breaks one.
    pub(super) fn check_invariants(&self) -> Result<(), String> {
        let rests = self.rests.lock();
        let (kept, count) = (rests.by_part.len(), self.count.load(Ordering::Relaxed));
        if kept > MODELS_MAX || kept != count {
            return Err(format!("models: {kept} rests are kept, {count} counted"));
        }
        match rests.by_part.iter().find(|(_, rest)| rest.until < rests.first_end) {
            Some((part, _)) => Err(format!("models: {part:?} ends before the first end")),
            None => Ok(()),
        }
    }

    pub(super) fn clear(&self) {
        self.rests.lock().by_part.clear();
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
            rests.rest(None, &format!("m{i}"), rest(10_000 + i), Millis(0));
        }
        assert_eq!(rests.rests.lock().by_part.len(), MODELS_MAX);
        assert!(rests.of(None, "m999", Millis(0)).is_some());
        rests.rest(None, "m999", rest(5), Millis(0));
        assert_eq!(rests.of(None, "m999", Millis(0)).map(|rest| rest.until), Some(Millis(10_999)));
        rests.close("m999");
        assert_eq!(rests.of(None, "m999", Millis(0)), None);
    }

    #[test]
    fn expired_entries_are_forgotten_without_another_request() {
        let rests = ModelRests::default();
        for (model, until) in [("gone", 1_000), ("busy", 2_000)] {
            let until = Millis(until);
            let rest = Rest { until, cause: Cause::NotFound, provider_issued: false };
            rests.rest(None, model, rest, Millis(0));
        }
        let left = |now| {
            assert_eq!(rests.of(None, "another", Millis(now)), None);
            rests.count.load(Ordering::Relaxed)
        };
        assert_eq!([left(999), left(1_000), left(2_000)], [2, 1, 0]);
        assert!(rests.is_empty(), "from here on nobody takes the lock");
    }
}
