//! The process's side of the fleet: what pages and others may know of it.
//!
//! Owned by the process, written by the fleet task. Always true: a reader waits for nothing.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arc_swap::{ArcSwap, ArcSwapOption};
use hale_core::time::Millis;

use crate::redis_client::Redis;

/// Whether replicas share what they know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// There is nothing configured through which they could.
    #[default]
    Off,
    /// They do.
    Shared,
    /// The server between them is not reached.
    Local,
}

impl Sharing {
    /// The name on pages.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Sharing::Shared => "shared",
            Sharing::Off | Sharing::Local => "local",
        }
    }
}

/// What is between the replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Through {
    /// Redis, or what speaks its protocol.
    Redis,
    /// The PostgreSQL of the store.
    Postgres,
}

impl Through {
    /// The name on pages.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Through::Redis => "redis",
            Through::Postgres => "postgres",
        }
    }
}

/// What is known of the other replicas.
#[derive(Clone, Debug, Default)]
pub(crate) struct Status {
    /// This replica's id.
    pub(crate) pod_id: Arc<str>,
    /// What is between the replicas, if anything is configured.
    pub(crate) through: Option<Through>,
    /// How news come: published, by a notification, or read each second.
    pub(crate) delivery: &'static str,
    /// Why the server between them is not reached, if it is not and that is known.
    pub(crate) problem: Option<String>,
    /// Whether anything is shared.
    pub(crate) sharing: Sharing,
    /// The others that live.
    pub(crate) others: Vec<Arc<str>>,
    /// Which replica that lives probes what, and until when: deployment, replica, end.
    pub(crate) holders: Vec<(Arc<str>, Arc<str>, Millis)>,
    /// The last shared probe: when, and by which replica, if that lives.
    pub(crate) last_probe: Option<(Millis, Option<Arc<str>>)>,
}

/// The process's side of the fleet.
#[derive(Default)]
pub(crate) struct Fleet {
    /// What is known.
    pub(crate) status: ArcSwap<Status>,
    /// Redis, if it is configured.
    pub(crate) redis: ArcSwapOption<Redis>,
    /// What was found under our keys and is not ours.
    pub(crate) garbage: AtomicU64,
    /// Messages that the server between the replicas took.
    pub(crate) sent: AtomicU64,
    /// Messages of other replicas that were read.
    pub(crate) received: AtomicU64,
    /// When the newest of these was written, milliseconds.
    pub(crate) heard_at: AtomicU64,
}

impl Fleet {
    /// Whether this replica shares what it learns.
    pub(crate) fn is_shared(&self) -> bool {
        self.status.load().sharing == Sharing::Shared
    }

    /// Whether no call is made, because the server is not reached.
    pub(crate) fn is_cut_off(&self) -> bool {
        self.redis.load().as_ref().is_some_and(|redis| !redis.is_up())
    }
}
