//! The timeout of a stream's silence, and of its whole length.
//!
//! Owned by [`super::relay`] and [`super::tunnel`], which know when something came last. Always true: the
//! timer is reset only when it fires, or when the deadline becomes earlier; an event costs nothing.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use hale_core::time::Millis;
use tokio::time::Sleep;

use crate::clock;

/// A timer for a deadline that moves with each event.
pub(super) struct SilenceTimeout {
    timer: Pin<Box<Sleep>>,
}

impl SilenceTimeout {
    /// It first fires at `due`.
    pub(super) fn at(due: Millis) -> SilenceTimeout {
        SilenceTimeout { timer: Box::pin(tokio::time::sleep_until(clock::timer_instant(due))) }
    }

    /// Ready once `due` has passed.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, due: Millis) -> Poll<()> {
        let due_instant = clock::timer_instant(due);
        loop {
            let rings_late = self.timer.deadline() > due_instant;
            if self.timer.as_mut().poll(cx).is_pending() && !rings_late {
                return Poll::Pending;
            }
            if clock::now().millis() >= due {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(due_instant);
        }
    }
}
