//! What a deployment lacks, and 400s whose words say nothing.
//!
//! Asked by the filters for each candidate, by [`crate::snapshot`] and by pages. Always true: a question takes no lock
//! while nothing is lacking.

use super::super::lacks::{Lack, Lacked};
use super::DeploymentState;
use crate::operation::Operation;
use crate::route::Needs;
use crate::time::Millis;

impl DeploymentState {
    /// The first thing that a request needs and `model` said that it lacks. `model` is asked for
    /// only if anything is lacking.
    pub(crate) fn unmet<'m>(
        &self,
        now: Millis,
        wanted: (Option<Operation>, &Needs),
        model: impl FnOnce() -> std::borrow::Cow<'m, str>,
    ) -> Option<Lack> {
        if self.lacks.is_empty() { None } else { self.lacks.unmet(now, wanted, &model()) }
    }

    /// Whether `model` said that it lacks the operation.
    #[must_use]
    pub fn lacks(&self, now: Millis, operation: Operation, model: &str) -> bool {
        let wanted = (Some(operation), &Needs::default());
        !self.lacks.is_empty() && self.lacks.unmet(now, wanted, model).is_some()
    }

    /// What it said that it lacks.
    #[must_use]
    pub fn lacking(&self, now: Millis) -> Vec<Lacked> {
        self.lacks.list(now)
    }

    /// Counts a 400 in unknown words. Returns whether such answers are all that it gives, though
    /// others answer: `others` are the good answers of its siblings within the last minute.
    pub(crate) fn refuses_alone(&self, now: Millis, others: usize) -> bool {
        let mut breaker = self.breaker.lock();
        let answers = breaker.answered_lately(now);
        breaker.unclear.refused(now, answers, others)
    }

    /// Good answers within the last minute; not more than are remembered.
    pub(crate) fn answered_lately(&self, now: Millis) -> usize {
        self.breaker.lock().answered_lately(now)
    }
}
