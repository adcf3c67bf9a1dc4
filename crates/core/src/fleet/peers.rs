//! The other replicas: which of them are alive, and what they use of shared limits.
//!
//! Part of [`super::Fleet`]. Always true: a replica is alive while its last message is younger than
//! [`LIVE_MS`] on the server's clock; at most [`REPLICAS_MAX`] are known.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::message::Message;
use super::report::ServerMs;
use super::share::{OthersUse, Use};

/// How long a replica without a message is alive, milliseconds.
pub const LIVE_MS: u64 = 15_000;
/// The most replicas.
pub const REPLICAS_MAX: usize = 64;
/// How long a replica that went without a word may be serving behind a broken network, milliseconds.
const MISSED_MS: u64 = 600_000;
/// The age up to which what a replica uses is known well enough to take what it left, milliseconds.
const FRESH_MS: u64 = 2_500;
/// How long what a replica used counts at a provider, milliseconds.
const WINDOW_MS: u64 = 60_000;

#[derive(Clone, Debug)]
struct Peer {
    at: ServerMs,
    leaves: bool,
    uses: BTreeMap<Arc<str>, Use>,
}

/// The other replicas.
#[derive(Clone, Debug, Default)]
pub struct Peers(BTreeMap<Arc<str>, Peer>);

impl Peers {
    /// Takes note of a message; false if there is no room for its replica.
    pub(super) fn heard(&mut self, message: &Message) -> bool {
        if !self.0.contains_key(&message.replica) && self.0.len() >= REPLICAS_MAX {
            return false;
        }
        let new = || Peer { at: ServerMs(0), leaves: false, uses: BTreeMap::new() };
        let peer = self.0.entry(message.replica.clone()).or_insert_with(new);
        if message.at >= peer.at {
            (peer.at, peer.leaves) = (message.at, message.leaves);
            if !message.uses.is_empty() {
                peer.uses.clone_from(&message.uses);
            }
        }
        true
    }

    /// Whether that replica is alive.
    #[must_use]
    pub fn is_alive(&self, replica: &str, now: ServerMs) -> bool {
        self.0.get(replica).is_some_and(|peer| !peer.leaves && now.since(peer.at) <= LIVE_MS)
    }

    /// The other replicas that are alive.
    pub fn alive(&self, now: ServerMs) -> impl Iterator<Item = &Arc<str>> {
        self.0.keys().filter(move |replica| self.is_alive(replica, now))
    }

    /// Whether no other replica was ever heard of.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many went without a word lately.
    #[must_use]
    pub fn missed(&self, now: ServerMs) -> usize {
        let missed =
            |peer: &&Peer| !peer.leaves && (LIVE_MS + 1..=MISSED_MS).contains(&now.since(peer.at));
        self.0.values().filter(missed).count()
    }

    /// What the other replicas use of `limit`.
    pub(super) fn uses(&self, limit: &str, now: ServerMs) -> OthersUse {
        let is_alive = |peer: &&Peer| !peer.leaves && now.since(peer.at) <= LIVE_MS;
        let (alive, gone): (Vec<&Peer>, Vec<&Peer>) = self.0.values().partition(is_alive);
        let of = |peer: &&Peer| peer.uses.get(limit).copied().unwrap_or_default();
        // One that left uses nothing more; one that is missed may go on.
        let claimed = |peer: &&Peer| if peer.leaves { of(peer).used } else { of(peer).claim() };
        let lately = |peer: &&&Peer| now.since(peer.at) <= LIVE_MS + WINDOW_MS;
        OthersUse {
            of_each: alive.iter().map(of).collect(),
            of_gone: gone.iter().filter(lately).map(claimed).sum(),
            missed: self.missed(now),
            is_fresh: alive.iter().all(|peer| now.since(peer.at) <= FRESH_MS),
        }
    }

    /// Forgets replicas that were not heard of for long.
    pub(super) fn forget(&mut self, now: ServerMs) {
        self.0.retain(|_, peer| now.since(peer.at) <= MISSED_MS);
    }
}
