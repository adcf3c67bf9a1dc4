//! What closes a member for now, so that a request may wait for it.
//!
//! Called by the route plan when nothing is left to try. Always true: what is excluded for good closes nothing.

use super::{Exclusion, Fit, Selection};
use crate::deployment::DeploymentIndex;
use crate::time::Millis;

/// What closes a member for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::route) enum Closed {
    /// Nothing any more.
    NoMore,
    /// A time that the provider named.
    ByTime,
    /// `max_parallel_requests`.
    BySlots,
    /// Attempts that are under way, whose outcome shows whether it is open.
    ByAttempts,
}

impl Selection<'_> {
    /// What closes a member for now; `None` if it is excluded for good, or only by a cooldown of
    /// ours, in which the safety net tries it.
    pub(in crate::route) fn closed(&self, index: DeploymentIndex, now: Millis) -> Option<Closed> {
        let Some(why) = self.refusal(index, now) else {
            return match self.examine(index, now) {
                Ok(Fit::HalfOpen | Fit::Reopening) => Some(Closed::ByAttempts),
                Ok(Fit::Ready) | Err(_) => Some(Closed::NoMore),
            };
        };
        match why {
            Exclusion::Cooling(cooldown) if cooldown.provider_issued => Some(Closed::ByTime),
            Exclusion::Cooling(cooldown) => {
                let is_guess = cooldown.cause.is_limit();
                is_guess.then_some(Closed::ByAttempts)
            }
            Exclusion::HalfOpenUnderWay(_) | Exclusion::Reopening => Some(Closed::ByAttempts),
            Exclusion::Busy { .. } => Some(Closed::BySlots),
            Exclusion::Misconfigured
            | Exclusion::Paused
            | Exclusion::Disabled
            | Exclusion::Reserved
            | Exclusion::Region
            | Exclusion::Tags
            | Exclusion::Context { .. }
            | Exclusion::TokensAMinute { .. }
            | Exclusion::Operation(_)
            | Exclusion::Capability(_)
            | Exclusion::Lacking(_)
            | Exclusion::Unhealthy(_)
            | Exclusion::Rate(_)
            | Exclusion::Budget { .. } => None,
        }
    }
}
