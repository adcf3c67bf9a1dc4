//! Answers in Redis.
//!
//! Part of [`super`]. Always true: all keys begin with [`PREFIX`], the namespace and a colon, and no other one is touched;
//! an answer has the time of its own, by the clock of Redis; no more bytes are read than an answer may have.

use std::sync::Arc;
use std::time::Duration;

use hale_core::settings::RedisSettings;

use super::found::{Found, LIMIT, NotReached};
use super::value::HEAD_MAX;
use crate::cache::key::CacheKey;
use crate::clock;
use crate::redis_client::{Failed, Purpose, Redis};

/// In front of the namespace and the key of an answer; its number is that of the keys.
const PREFIX: &str = "hale:answers:1:";
/// How long a value may take to be written, and an operator may wait.
const PATIENCE: Duration = Duration::from_secs(1);
/// Keys that are asked for in one call.
const AT_ONCE: usize = 256;
/// Keys that one request asks for.
const KEYS_MAX: usize = 2_048;

/// Answers in Redis.
pub(super) struct InRedis {
    redis: Arc<Redis>,
    prefix: String,
    /// The most bytes of a value.
    most: usize,
}

/// What Redis said of itself.
pub(crate) struct RedisPing {
    /// Its version.
    pub(crate) version: String,
    /// Where it is, without credentials.
    pub(crate) place: String,
}

impl InRedis {
    /// The answers of `namespace` in the server that `settings` name, each of at most `answer_bytes`.
    pub(super) fn new(settings: &RedisSettings, namespace: &str, answer_bytes: usize) -> InRedis {
        InRedis {
            redis: Redis::new(settings.clone(), Purpose::Answers),
            prefix: format!("{PREFIX}{namespace}:"),
            most: answer_bytes + HEAD_MAX,
        }
    }

    /// Connects, and again whenever the connection is lost.
    pub(super) async fn connect(&self) {
        self.redis.run().await;
    }

    pub(super) fn is_up(&self) -> bool {
        self.redis.is_up()
    }

    fn key(&self, key: CacheKey) -> String {
        format!("{}{key}", self.prefix)
    }

    /// What is under each of `keys`. Of many keys those that have no answer in time count as not there.
    pub(super) async fn get(&self, keys: &[CacheKey]) -> Result<Vec<Found>, NotReached> {
        let began = clock::now();
        let mut found = Vec::with_capacity(keys.len());
        for (number, some) in (0..).zip(keys.chunks(AT_ONCE).take(KEYS_MAX / AT_ONCE)) {
            let taken = Duration::from_micros(clock::now().since(began));
            let left = LIMIT.saturating_sub(taken);
            // One that would come too late says nothing about the server.
            if number > 0 && left < taken * 2 / number {
                break;
            }
            match self.get_some(some, left).await {
                Ok(answers) => found.extend(answers),
                Err(error) if found.is_empty() => return Err(error),
                Err(_) => break,
            }
        }
        found.resize_with(keys.len(), || Found::Nothing);
        Ok(found)
    }

    async fn get_some(
        &self,
        keys: &[CacheKey],
        limit: Duration,
    ) -> Result<impl Iterator<Item = Found> + use<>, NotReached> {
        let call = |key: &CacheKey| {
            let key = self.key(*key);
            let (mut get, mut left) = (::redis::cmd("GETRANGE"), ::redis::cmd("PTTL"));
            get.arg(&key).arg(0).arg(self.most);
            left.arg(&key);
            vec![get, left]
        };
        let calls = keys.iter().map(call).collect();
        let answers = self.redis.each::<(Vec<u8>, i64)>(calls, limit).await.map_err(failed)?;
        Ok(answers.into_iter().map(|answer| match answer {
            Ok((bytes, _)) if bytes.is_empty() => Found::Nothing,
            // One that is kept for ever is not ours.
            Ok((bytes, left_ms)) => match u64::try_from(left_ms) {
                Ok(left_ms) => Found::Value { bytes, left_ms: Some(left_ms) },
                Err(_) => Found::Garbage,
            },
            Err(_) => Found::Garbage,
        }))
    }

    /// Keeps `bytes` for `ms`.
    pub(super) async fn put(&self, key: CacheKey, bytes: &[u8], ms: u64) -> Result<(), NotReached> {
        let mut set = ::redis::cmd("SET");
        set.arg(self.key(key)).arg(bytes).arg("PX").arg(ms.max(1));
        self.redis.query(&set, PATIENCE).await.map_err(failed)
    }

    /// Deletes the values under `keys`.
    pub(super) async fn remove(&self, keys: &[CacheKey]) -> Result<u64, NotReached> {
        let mut removed = 0;
        for keys in keys.chunks(AT_ONCE) {
            let call = |key: &CacheKey| {
                let mut unlink = ::redis::cmd("UNLINK");
                unlink.arg(self.key(*key));
                vec![unlink]
            };
            let calls = keys.iter().map(call).collect();
            let answers = self.redis.each::<(u64,)>(calls, PATIENCE).await.map_err(failed)?;
            for answer in answers {
                removed += answer.map_err(|error| failed(Failed::Error(error)))?.0;
            }
        }
        Ok(removed)
    }

    /// Deletes the answers of the namespace.
    pub(super) async fn clear(&self) -> Result<u64, NotReached> {
        self.redis.delete_all(&self.prefix).await.map_err(failed)
    }

    /// Whether it answers and takes a value.
    pub(super) async fn ping(&self) -> Result<RedisPing, NotReached> {
        let unreached = |error: Failed| match self.redis.problem() {
            Some(problem) if !self.redis.is_up() => NotReached(problem),
            Some(_) | None => failed(error),
        };
        let mut set = ::redis::cmd("SET");
        set.arg(format!("{}ping", self.prefix)).arg("ping").arg("PX").arg(1_000);
        let _set: String = self.redis.query(&set, PATIENCE).await.map_err(unreached)?;
        let mut info = ::redis::cmd("INFO");
        info.arg("server");
        // It may be forbidden.
        let info: Result<String, Failed> = self.redis.query(&info, PATIENCE).await;
        let version = info.ok().and_then(|info| {
            let line = info.lines().find_map(|line| line.strip_prefix("redis_version:"));
            line.map(|version| version.trim().to_owned())
        });
        Ok(RedisPing { version: version.unwrap_or_default(), place: self.redis.shown() })
    }
}

fn failed(error: Failed) -> NotReached {
    NotReached(error.to_string())
}
