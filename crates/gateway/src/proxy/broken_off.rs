//! What is kept of a stream while it is whole, and what is known of it once it has broken.
//!
//! Filled by [`super::relay`], used by [`super::rescue`] and by the attempts that it makes. Always true: what the client has is kept
//! within bounds, and counted in the memory for bodies.

use std::sync::Arc;

use hale_wire::kept::Kept;
use hale_wire::rescue::Broken;

use crate::limits::{Buffered, Held};

/// The most that is kept of what a client has, bytes: some 20,000 tokens.
const KEPT_MAX: usize = 256 << 10;
/// Up to so many bytes they are not counted, and from then on in steps of as many.
const STEP: usize = 16 << 10;
/// All that is held may fill this fraction of the memory for bodies before nothing more is kept here: one byte in so many.
const KEPT_SHARE: usize = 4;

/// An answer that broke off, while another deployment is asked to go on.
pub(super) struct Rescue {
    /// What the client has.
    pub(super) broken: Broken,
    /// What it has cost, USD.
    pub(super) earlier_usd: f64,
    /// The account of what is kept.
    pub(super) held: Held,
}

/// What the client has, while the stream is whole.
pub(super) struct Keeping {
    pub(super) kept: Kept,
    pub(super) held: Held,
    /// Bytes that the process may hold.
    pub(super) limit: usize,
}

impl Keeping {
    /// Nothing yet.
    pub(super) fn nothing(all: &Arc<Buffered>, limit: usize) -> Keeping {
        Keeping { kept: Kept::default(), held: Held::none(all), limit }
    }

    /// Takes events that leave.
    pub(super) fn push(&mut self, events: &[u8]) {
        self.kept.push(events, KEPT_MAX);
        let more = self.kept.bytes().saturating_sub(self.held.bytes() + STEP);
        if more > 0 && !self.held.add(STEP, self.limit / KEPT_SHARE) {
            self.kept.lose();
        }
        if self.kept.is_lost() {
            self.held.shrink_to(0);
        }
    }
}
