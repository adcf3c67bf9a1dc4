//! What a deployment said that it lacks: operations and capabilities, each for a while.
//!
//! Kept by [`super::DeploymentState`], read by the filters for each candidate. Always true: it keeps a deployment
//! from nothing else; what ends is asked for again, because servers are restarted with other options; while
//! nothing is lacking, a reader takes no lock.

use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::operation::Operation;
use crate::route::{Need, Needs};
use crate::time::Millis;

/// How long a lack is believed.
pub const LACK_MS: u64 = 300_000;
/// Lacks that are remembered per deployment; a pattern's models have their own.
const LACKS_MAX: usize = 64;

/// What a deployment lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// An operation.
    Operation(Operation),
    /// A capability.
    Need(Need),
}

/// One lack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lacked {
    /// What.
    pub lack: Lack,
    /// The model's name at the provider if the deployment stands for many; else empty.
    pub model: Box<str>,
    /// Until when it is believed.
    pub until: Millis,
}

/// The lacks of one deployment.
#[derive(Debug, Default)]
pub(super) struct Lacks {
    /// How many there are. If none, readers skip the lock.
    count: AtomicUsize,
    known: Mutex<Vec<Lacked>>,
}

impl Lacks {
    pub(super) fn is_empty(&self) -> bool {
        self.count.load(Ordering::Relaxed) == 0
    }

    /// Remembers that `model` lacks it; the one that ends first makes room.
    pub(super) fn learn(&self, now: Millis, lack: Lack, model: &str) {
        let mut known = self.known.lock();
        known.retain(|one| one.until > now && !(one.lack == lack && *one.model == *model));
        if known.len() == LACKS_MAX {
            known.remove(0);
        }
        known.push(Lacked { lack, model: model.into(), until: now.plus(LACK_MS) });
        self.count.store(known.len(), Ordering::Relaxed);
    }

    /// The first thing that the request needs and `model` lacks.
    pub(super) fn unmet(
        &self,
        now: Millis,
        (operation, needs): (Option<Operation>, &Needs),
        model: &str,
    ) -> Option<Lack> {
        let is_needed = |lack: Lack| match lack {
            Lack::Operation(lacked) => operation == Some(lacked),
            Lack::Need(need) => needs.has(need),
        };
        let known = self.known.lock();
        let mut unmet = known.iter().filter(|one| one.until > now && *one.model == *model);
        unmet.find(|one| is_needed(one.lack)).map(|one| one.lack)
    }

    pub(super) fn forget(&self) {
        self.known.lock().clear();
        self.count.store(0, Ordering::Relaxed);
    }

    /// Those that are believed at `now`.
    pub(super) fn list(&self, now: Millis) -> Vec<Lacked> {
        self.known.lock().iter().filter(|one| one.until > now).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unmet(lacks: &Lacks, now: u64, operation: Operation, model: &str) -> Option<Lack> {
        lacks.unmet(Millis(now), (Some(operation), &Needs::default()), model)
    }

    #[test]
    fn a_lack_is_about_one_thing_of_one_model_for_a_while() {
        let lacks = Lacks::default();
        let lack = Lack::Operation(Operation::Embedding);
        assert!(lacks.is_empty());
        lacks.learn(Millis(0), lack, "a");
        assert_eq!(unmet(&lacks, 1, Operation::Embedding, "a"), Some(lack));
        assert_eq!(unmet(&lacks, 1, Operation::Embedding, "b"), None);
        assert_eq!(unmet(&lacks, 1, Operation::Chat, "a"), None);
        assert_eq!(unmet(&lacks, LACK_MS, Operation::Embedding, "a"), None);
        lacks.learn(Millis(5), Lack::Need(Need::Vision), "a");
        let needs = Needs { vision: true, ..Needs::default() };
        let found = lacks.unmet(Millis(6), (Some(Operation::Chat), &needs), "a");
        assert_eq!(found, Some(Lack::Need(Need::Vision)));
        assert_eq!(lacks.list(Millis(6)).len(), 2);
        lacks.forget();
        assert!(lacks.is_empty());
    }

    #[test]
    fn lacks_are_bounded_and_the_oldest_makes_room() {
        let lacks = Lacks::default();
        for i in 0..1_000_u64 {
            lacks.learn(Millis(i), Lack::Need(Need::Tools), &i.to_string());
            lacks.learn(Millis(i), Lack::Need(Need::Tools), &i.to_string());
        }
        let list = lacks.list(Millis(1_000));
        assert_eq!((list.len(), &*list[0].model), (LACKS_MAX, "936"));
    }
}
