//! Cooldowns of parts of a deployment: single models behind a pattern such as `openai/*`, and
//! operations that the deployment is not for.
//!
//! Kept by [`super::DeploymentState`]. Always true: a failure of one part does not affect the
//! others; the map is bounded, and when it is full the cooldown that ends first is dropped; a
//! lookup removes what has ended, so that later lookups take no lock.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::breaker::Cooldown;
use crate::operation::Operation;
use crate::time::Millis;

/// Parts that are remembered per deployment.
const MODELS_MAX: usize = 256;

/// The operation, if the cooldown is about one, and the model's name at the provider, if there are
/// several.
type Part = (Option<Operation>, Box<str>);

/// Cooldowns by part.
#[derive(Debug, Default)]
struct Cooldowns {
    by_part: HashMap<Part, Cooldown>,
    /// No cooldown ends before this time.
    first_end: Millis,
}

impl Cooldowns {
    fn forget(&mut self, now: Millis) {
        if now < self.first_end {
            return;
        }
        self.by_part.retain(|_, cooldown| cooldown.until > now);
        let ends = self.by_part.values().map(|cooldown| cooldown.until);
        self.first_end = ends.min().unwrap_or(Millis::NEVER);
    }
}

/// The cooldowns of one deployment's parts.
#[derive(Debug, Default)]
pub(super) struct ModelCooldowns {
    /// How many there are. If none, readers skip the lock.
    count: AtomicUsize,
    cooldowns: Mutex<Cooldowns>,
}

impl ModelCooldowns {
    pub(super) fn is_empty(&self) -> bool {
        self.count.load(Ordering::Relaxed) == 0
    }

    /// The cooldown of `model`, or of `operation` of it, that has not ended; the one that ends
    /// last.
    pub(super) fn of(
        &self,
        operation: Option<Operation>,
        model: &str,
        now: Millis,
    ) -> Option<Cooldown> {
        let mut cooldowns = self.cooldowns.lock();
        cooldowns.forget(now);
        let cooldowns = &cooldowns.by_part;
        self.count.store(cooldowns.len(), Ordering::Relaxed);
        let mut part: Part = (operation, model.into());
        let of_operation = cooldowns.get(&part);
        part.0 = None;
        let found = of_operation.into_iter().chain(cooldowns.get(&part)).copied();
        found.filter(|cooldown| cooldown.until > now).max_by_key(|cooldown| cooldown.until)
    }

    /// Puts `model`, or only `operation` of it, into cooldown until the later of both ends. Returns
    /// whether it was in none before.
    pub(super) fn cooldown(
        &self,
        operation: Option<Operation>,
        model: &str,
        cooldown: Cooldown,
        now: Millis,
    ) -> bool {
        let part: Part = (operation, model.into());
        let mut all = self.cooldowns.lock();
        all.forget(now);
        all.first_end = all.first_end.min(cooldown.until);
        let cooldowns = &mut all.by_part;
        if cooldowns.len() >= MODELS_MAX && !cooldowns.contains_key(&part) {
            let first = cooldowns
                .iter()
                .min_by_key(|(_, cooldown)| cooldown.until)
                .map(|(name, _)| name.clone());
            if let Some(first) = first {
                cooldowns.remove(&first);
            }
        }
        let is_new = !cooldowns.contains_key(&part);
        let kept = cooldowns.entry(part).or_insert(cooldown);
        if cooldown.until > kept.until {
            *kept = cooldown;
        }
        self.count.store(cooldowns.len(), Ordering::Relaxed);
        is_new
    }

    /// `model` gave a good answer. Returns whether that ended a cooldown.
    pub(super) fn close(&self, model: &str) -> bool {
        let cooldowns = &mut self.cooldowns.lock().by_part;
        let had = cooldowns.remove(&(None, Box::from(model))).is_some();
        self.count.store(cooldowns.len(), Ordering::Relaxed);
        had
    }

    /// Returns the rule that it breaks, if it breaks one.
    pub(super) fn check_invariants(&self) -> Result<(), String> {
        let cooldowns = self.cooldowns.lock();
        let (kept, count) = (cooldowns.by_part.len(), self.count.load(Ordering::Relaxed));
        if kept > MODELS_MAX || kept != count {
            return Err(format!("models: {kept} cooldowns are kept, {count} counted"));
        }
        match cooldowns.by_part.iter().find(|(_, cooldown)| cooldown.until < cooldowns.first_end) {
            Some((part, _)) => Err(format!("models: {part:?} ends before the first end")),
            None => Ok(()),
        }
    }

    pub(super) fn clear(&self) {
        self.cooldowns.lock().by_part.clear();
        self.count.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cause::Cause;

    #[test]
    fn the_map_is_bounded_and_deadlines_move_forward() {
        let cooldowns = ModelCooldowns::default();
        let cooldown = |until| Cooldown {
            until: Millis(until),
            cause: Cause::NotFound,
            provider_issued: false,
        };
        for i in 0..1_000u64 {
            cooldowns.cooldown(None, &format!("m{i}"), cooldown(10_000 + i), Millis(0));
        }
        assert_eq!(cooldowns.cooldowns.lock().by_part.len(), MODELS_MAX);
        assert!(cooldowns.of(None, "m999", Millis(0)).is_some());
        cooldowns.cooldown(None, "m999", cooldown(5), Millis(0));
        assert_eq!(
            cooldowns.of(None, "m999", Millis(0)).map(|cooldown| cooldown.until),
            Some(Millis(10_999))
        );
        cooldowns.close("m999");
        assert_eq!(cooldowns.of(None, "m999", Millis(0)), None);
    }

    #[test]
    fn expired_entries_are_forgotten_without_another_request() {
        let cooldowns = ModelCooldowns::default();
        for (model, until) in [("gone", 1_000), ("busy", 2_000)] {
            let until = Millis(until);
            let cooldown = Cooldown { until, cause: Cause::NotFound, provider_issued: false };
            cooldowns.cooldown(None, model, cooldown, Millis(0));
        }
        let left = |now| {
            assert_eq!(cooldowns.of(None, "another", Millis(now)), None);
            cooldowns.count.load(Ordering::Relaxed)
        };
        assert_eq!([left(999), left(1_000), left(2_000)], [2, 1, 0]);
        assert!(cooldowns.is_empty(), "from here on readers skip the lock");
    }
}
