//! The part of its full share of traffic that a deployment gets.
//!
//! Read by the routing strategies for every candidate. Always true: it is never 0; a reader takes no
//! lock.

use std::sync::atomic::Ordering;

use super::super::evidence::Doubted;
use super::DeploymentState;
use crate::time::Millis;

/// How long a deployment gets less than its share after a cooldown.
pub const RAMP_MS: u64 = 30_000;
/// The share at the start of that time.
const RAMP_FROM: f64 = 0.1;

impl DeploymentState {
    /// The part of its full share that it gets: less than 1 for a while after a cooldown and while
    /// other replicas doubt it, never 0.
    #[must_use]
    pub fn ramp(&self, now: Millis) -> f64 {
        let doubt = self.doubt.load(Ordering::Relaxed);
        if doubt != 0 && doubt >> 1 > now.0 {
            let doubted = if doubt & 1 == 1 { Doubted::ToHalf } else { Doubted::ToThreeQuarters };
            return doubted.part() * self.since_cooldown(now);
        }
        self.since_cooldown(now)
    }

    /// How long the last outage was, from the first cooldown to the success that ended it, milliseconds; 0 if there was
    /// none.
    #[must_use]
    pub fn last_outage_ms(&self) -> u64 {
        self.outage_ms.load(Ordering::Relaxed)
    }

    /// The part of its share that it gets after a cooldown.
    fn since_cooldown(&self, now: Millis) -> f64 {
        let back = self.back_since.load(Ordering::Relaxed);
        let Some(back) = back.checked_sub(1) else { return 1.0 };
        let age = now.since(Millis(back));
        if age >= RAMP_MS {
            return 1.0;
        }
        #[allow(clippy::cast_precision_loss, reason = "both are small")]
        let part = age as f64 / RAMP_MS as f64;
        RAMP_FROM + (1.0 - RAMP_FROM) * part
    }
}
