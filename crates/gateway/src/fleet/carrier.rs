//! What carries messages between replicas: Redis, else the PostgreSQL of the store.
//!
//! Chosen by [`super::task`] from the config. Always true: a carrier understands no message; each call has a time
//! limit; only [`Carrier::run`] connects; where both are configured it is Redis.

use std::sync::Arc;

use hale_core::settings::RedisSettings;
use hale_store::Scope;
use tokio::sync::mpsc;

use super::keys::Keys;
use super::postgres::ThroughPostgres;
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
    /// The server of the store, which is the same for as long as the process runs.
    Postgres,
}

impl Source {
    /// The one that is configured, if any is.
    pub(super) fn of(process: &Process) -> Option<Source> {
        let snapshot = &process.serving().snapshot;
        let place = match &snapshot.shared.redis {
            Some(settings) => Place::Redis(settings.clone()),
            None => process.remembers_on_a_server().then_some(Place::Postgres)?,
        };
        Some(Source { place, keys: Keys::of(snapshot) })
    }
}

/// What carries messages between replicas.
pub(super) enum Carrier {
    Redis(Box<ThroughRedis>),
    Postgres(ThroughPostgres),
}

impl Carrier {
    /// One to `source`, not connected yet, for the replica `me`. `process` may use the server, too.
    pub(super) fn new(source: &Source, process: &Process, me: &str) -> Option<Arc<Carrier>> {
        let keys = source.keys.clone();
        Some(Arc::new(match &source.place {
            Place::Redis(settings) => {
                let redis = Redis::new(settings.clone(), Purpose::Replicas);
                process.fleet.redis.store(Some(redis.clone()));
                Carrier::Redis(Box::new(ThroughRedis::new(redis, keys)))
            }
            Place::Postgres => {
                let (name, channel) = (keys.scope.into(), keys.channel.into());
                let scope = Scope { name, channel, me: me.into() };
                Carrier::Postgres(ThroughPostgres::new(process.store()?.shared_table(scope)?))
            }
        }))
    }

    /// Its kind.
    pub(super) fn through(&self) -> Through {
        match self {
            Carrier::Redis(_) => Through::Redis,
            Carrier::Postgres(_) => Through::Postgres,
        }
    }

    /// How news come, as pages say it.
    pub(super) fn delivery(&self) -> &'static str {
        match self {
            Carrier::Redis(_) => "publish",
            Carrier::Postgres(postgres) => postgres.delivery(),
        }
    }

    /// Why the server is not reached, if that is known.
    pub(super) fn problem(&self) -> Option<String> {
        match self {
            Carrier::Redis(redis) => redis.problem(),
            Carrier::Postgres(postgres) => postgres.problem(),
        }
    }

    /// Stays connected and passes on what others tell at once, for as long as it is polled.
    pub(super) async fn run(&self, heard: &mpsc::Sender<News>) {
        match self {
            Carrier::Redis(redis) => redis.run(heard).await,
            Carrier::Postgres(postgres) => postgres.run(heard).await,
        }
    }

    /// Says `said` as the replica `me`, and hears the others; with nothing to say it only asks for the time.
    ///
    /// # Errors
    /// Why the server did not answer.
    pub(super) async fn exchange(&self, me: &str, said: Vec<u8>) -> Result<Exchanged, Failed> {
        match self {
            Carrier::Redis(redis) => redis.exchange(me, said).await,
            Carrier::Postgres(postgres) => postgres.exchange(&said).await,
        }
    }

    /// Tells the others at once.
    ///
    /// # Errors
    /// Why the server did not answer.
    pub(super) async fn publish(&self, topic: Topic, text: &[u8]) -> Result<(), Failed> {
        match self {
            Carrier::Redis(redis) => redis.publish(topic, text).await,
            Carrier::Postgres(postgres) => postgres.publish(topic, text).await,
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
            Carrier::Postgres(postgres) => postgres.lease(period_ms, asked).await,
        }
    }

    /// The last results of all probes.
    ///
    /// # Errors
    /// Why the server did not answer.
    pub(super) async fn probes(&self) -> Result<Kept, Failed> {
        match self {
            Carrier::Redis(redis) => redis.probes().await,
            Carrier::Postgres(postgres) => postgres.probes().await,
        }
    }

    /// The cooldowns of `deployments` that replicas of LiteLLM wrote, and how much longer each lasts, milliseconds.
    ///
    /// # Errors
    /// Why the server did not answer.
    pub(super) async fn litellm(
        &self,
        deployments: &[Arc<str>],
    ) -> Result<Vec<Option<(Vec<u8>, u64)>>, Failed> {
        match self {
            Carrier::Redis(redis) => redis.litellm(deployments).await,
            // They write to no other place.
            Carrier::Postgres(_) => Ok(Vec::new()),
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
            Carrier::Postgres(postgres) => postgres.keep(deployment, text, kept_ms).await,
        }
    }
}
