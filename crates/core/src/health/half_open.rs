//! The half-open permit: after a cooldown one request at a time finds out whether the deployment is
//! healthy again.
//!
//! Kept by [`super::DeploymentState`], carried by attempts. Always true: only the attempt that
//! holds a permit gives it back, however late it ends; a lost permit expires.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::time::Millis;

/// How long a half-open request may keep its permit beyond the attempt's own time.
const HALF_OPEN_GRACE_MS: u64 = 1_000;
/// Bits of a permit that count, so that no two permits in a row are equal.
const COUNT_BITS: u32 = 16;
const COUNT: u64 = (1 << COUNT_BITS) - 1;

/// One permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permit(u64);

/// The permits that an attempt holds. Only a half-open request has any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HalfOpen {
    /// The deployment's.
    pub own: Option<Permit>,
    /// Its credential's.
    pub credential: Option<Permit>,
}

impl HalfOpen {
    /// Not a half-open request.
    pub const NONE: HalfOpen = HalfOpen { own: None, credential: None };

    /// Whether the attempt is a half-open request.
    #[must_use]
    pub const fn is_held(&self) -> bool {
        self.own.is_some() || self.credential.is_some()
    }
}

/// The slot of one permit: the time until it is free again, in milliseconds, and a count.
#[derive(Debug, Default)]
pub(super) struct HalfOpenSlot(AtomicU64);

impl HalfOpenSlot {
    /// Whether it is free at `now`.
    pub(super) fn is_free(&self, now: Millis) -> bool {
        self.0.load(Ordering::Relaxed) >> COUNT_BITS <= now.0
    }

    /// Takes it for an attempt of `timeout_ms`.
    pub(super) fn take(&self, now: Millis, timeout_ms: u64) -> Option<Permit> {
        let held = self.0.load(Ordering::Relaxed);
        if held >> COUNT_BITS > now.0 {
            return None;
        }
        let until = now.plus(timeout_ms).plus(HALF_OPEN_GRACE_MS).0.min(u64::MAX >> COUNT_BITS);
        let taken = until << COUNT_BITS | (held.wrapping_add(1) & COUNT);
        let result = self.0.compare_exchange(held, taken, Ordering::Relaxed, Ordering::Relaxed);
        result.ok().map(|_| Permit(taken))
    }

    /// Gives it back. Does nothing if it expired and another attempt took it.
    pub(super) fn release(&self, permit: Option<Permit>) {
        if let Some(Permit(taken)) = permit {
            let free = taken & COUNT;
            // An error means that another attempt holds it now.
            let _other = self.0.compare_exchange(taken, free, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// Frees it, whichever attempt holds it.
    pub(super) fn clear(&self) {
        self.0.fetch_and(COUNT, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_holder_does_not_free_its_successors_permit() {
        let slot = HalfOpenSlot::default();
        let late = slot.take(Millis(0), 1_000);
        assert!(late.is_some() && slot.take(Millis(1_999), 1_000).is_none());
        let successor = slot.take(Millis(2_000), 1_000);
        assert!(successor.is_some());
        slot.release(late);
        assert!(!slot.is_free(Millis(2_001)), "the successor still holds it");
        slot.release(successor);
        assert!(slot.is_free(Millis(2_001)));
        let again = slot.take(Millis(2_001), 999);
        slot.release(successor);
        assert!(again.is_some() && !slot.is_free(Millis(2_001)), "given back once only");
    }
}
