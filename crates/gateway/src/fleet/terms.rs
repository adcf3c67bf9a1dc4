//! What a carrier brings: the words between what carries messages and what understands them.
//!
//! Used by every carrier and by the fleet task. Always true: bytes of others are not read yet; times are the
//! server's, or durations.

use std::sync::Arc;

use hale_core::fleet::{ServerClock, Want};

use crate::redis_client;

/// What was heard in an exchange.
pub(super) struct Exchanged {
    /// The server's time.
    pub(super) clock: ServerClock,
    /// What the other replicas say, not read yet.
    pub(super) said: Vec<Vec<u8>>,
    /// What was not ours.
    pub(super) garbage: u64,
}

/// What news are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Topic {
    /// Evidence: a message.
    Evidence,
    /// A result of a probe.
    Probe,
}

/// What another replica told at once.
pub(super) struct News {
    pub(super) topic: Topic,
    /// Not read yet; empty if the carrier could not carry it: then there is something to hear.
    pub(super) text: Vec<u8>,
}

/// What is asked about the lease of one deployment's probes: to hold it, to give it up, or, with nothing wanted, who
/// has it.
pub(super) type Asked = (Arc<str>, Option<Want>);

/// Who has a lease.
pub(super) struct Holder {
    /// The replica. What is not ours can stand there.
    pub(super) pod: Arc<str>,
    /// For how long, milliseconds: at most one period.
    pub(super) left_ms: u64,
}

/// The leases that were asked about, in that order.
pub(super) struct Leased {
    pub(super) holders: Vec<Option<Holder>>,
    /// What was not ours.
    pub(super) garbage: u64,
}

/// The last result of each deployment's probes.
pub(super) struct Kept {
    /// Not read yet.
    pub(super) results: Vec<Vec<u8>>,
    /// What was not ours.
    pub(super) garbage: u64,
}

/// Why the server between the replicas did not do it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    #[error(transparent)]
    Redis(#[from] redis_client::Failed),
    #[error(transparent)]
    Postgres(#[from] hale_store::Error),
}
