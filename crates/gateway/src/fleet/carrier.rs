//! What carries messages between replicas: Redis.
//!
//! Chosen by [`super::task`] from the config. Always true: a carrier understands no message; each call has a time
//! limit; only [`Carrier::run`] connects.

use std::sync::Arc;

use hale_core::settings::RedisSettings;
use hale_core::snapshot::Snapshot;
use tokio::sync::mpsc;

use super::keys::Keys;
use super::redis::ThroughRedis;
use super::terms::{Asked, Exchanged, Failed, Kept, Leased, News, Topic};
use crate::redis_client::{Purpose, Redis};
use crate::state::Process;
use crate::state::fleet::Through;

/// Where a carrier is, and under which names its messages are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source {
    place: Place,
    keys: Keys,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Redis(RedisSettings),
}

impl Source {
    /// The one that is configured, if any is.
    pub(super) fn of(snapshot: &Snapshot) -> Option<Source> {
        let place = snapshot.shared.redis.clone().map(Place::Redis)?;
        Some(Source { place, keys: Keys::of(snapshot) })
    }
}

/// What carries messages between replicas.
pub(super) enum Carrier {
    Redis(ThroughRedis),
}

impl Carrier {
    /// One to `source`, not connected yet. `process` may use the server, too.
    pub(super) fn new(source: &Source, process: &Process) -> Arc<Carrier> {
        let keys = source.keys.clone();
        Arc::new(match &source.place {
            Place::Redis(settings) => {
                let redis = Redis::new(settings.clone(), Purpose::Replicas);
                process.fleet.redis.store(Some(redis.clone()));
                Carrier::Redis(ThroughRedis::new(redis, keys))
            }
        })
    }

    /// Its kind.
    pub(super) fn through(&self) -> Through {
        match self {
            Carrier::Redis(_) => Through::Redis,
        }
    }

    /// Why the server is not reached, if that is known.
    pub(super) fn problem(&self) -> Option<String> {
        match self {
            Carrier::Redis(redis) => redis.problem(),
        }
    }

    /// Stays connected and passes on what others tell at once, for as long as it is polled.
    pub(super) async fn run(&self, heard: &mpsc::Sender<News>) {
        match self {
            Carrier::Redis(redis) => redis.run(heard).await,
        }
    }

    /// Says `said` as the replica `me`, and hears the others; with nothing to say it only asks for the time.
    ///
    /// # Errors
    /// Why the server did not answer.
    pub(super) async fn exchange(&self, me: &str, said: Vec<u8>) -> Result<Exchanged, Failed> {
        match self {
            Carrier::Redis(redis) => redis.exchange(me, said).await,
        }
    }

    /// Tells the others at once.
    ///
    /// # Errors
    /// Why the server did not answer.
    pub(super) async fn publish(&self, topic: Topic, text: &[u8]) -> Result<(), Failed> {
        match self {
            Carrier::Redis(redis) => redis.publish(topic, text).await,
        }
    }

    /// Takes, renews and gives up leases of `period_ms`, and learns who has the others.
    ///
    /// # Errors
    /// Why the server did not answer.
    pub(super) async fn lease(
        &self,
        me: &str,
        period_ms: u64,
        asked: &[Asked],
    ) -> Result<Leased, Failed> {
        match self {
            Carrier::Redis(redis) => redis.lease(me, period_ms, asked).await,
        }
    }

    /// The last results of all probes.
    ///
    /// # Errors
    /// Why the server did not answer.
    pub(super) async fn probes(&self) -> Result<Kept, Failed> {
        match self {
            Carrier::Redis(redis) => redis.probes().await,
        }
    }

    /// Keeps the last result of a deployment's probes for `kept_ms`.
    ///
    /// # Errors
    /// Why the server did not answer.
    pub(super) async fn keep(
        &self,
        deployment: &str,
        text: &[u8],
        kept_ms: u64,
    ) -> Result<(), Failed> {
        match self {
            Carrier::Redis(redis) => redis.keep(deployment, text, kept_ms).await,
        }
    }
}
