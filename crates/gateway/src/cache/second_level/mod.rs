//! Where answers are kept behind the memory of the process: in Redis, for all replicas, or in files, over a restart.
//!
//! Kept up by [`super::AnswerCache::run`] on the background thread, asked by requests. Always true: a request waits for it
//! 20 ms at most, and what does not come by then is not there; answers are written behind a bounded queue, which what is
//! forgotten leaves, too; keys and files of others are never touched.

mod disk;
mod found;
mod in_redis;
mod queue;
mod value;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hale_core::settings::RedisSettings;

use self::disk::Disk;
use self::found::Found;
pub(crate) use self::found::NotReached;
use self::in_redis::InRedis;
use self::in_redis::RedisPing;
use self::queue::{Queue, Waiting};
use super::kept::KeptAnswer;
use super::key::CacheKey;
use crate::clock;

/// How long an operator waits for the answer that is being written.
const TURN_MAX: Duration = Duration::from_secs(2);

/// Where answers are kept besides memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// What it is.
    pub(crate) at: At,
    /// What separates the answers of several gateways.
    pub(crate) namespace: Box<str>,
    /// Bytes of the largest answer.
    pub(crate) answer_bytes: usize,
}

impl Place {
    /// The same, with its directory below `data_dir`.
    pub(super) fn below(mut self, data_dir: &Path) -> Place {
        if let At::Disk(dir, _) = &mut self.at {
            *dir = data_dir.join(&*dir).into();
        }
        self
    }
}

/// What it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum At {
    /// A Redis.
    Redis(Box<RedisSettings>),
    /// A directory, and the bytes of all its files.
    Disk(Box<Path>, u64),
}

/// Where answers are kept behind memory.
pub(crate) struct SecondLevel {
    at: Kind,
    queue: Queue,
    /// Held while an answer is written.
    turn: tokio::sync::Mutex<()>,
    losses: Arc<Losses>,
}

/// What a process could not use.
#[derive(Default)]
pub(crate) struct Losses {
    /// Answers for which there was no room in the queue, or that could not be written.
    pub(crate) dropped: AtomicU64,
    /// What was found under keys of answers and is none.
    pub(crate) garbage: AtomicU64,
}

enum Kind {
    Redis(InRedis),
    Disk(Arc<Disk>),
}

impl SecondLevel {
    /// What `place` names.
    pub(super) fn new(place: &Place, losses: Arc<Losses>) -> Arc<SecondLevel> {
        let at = match &place.at {
            At::Redis(settings) => {
                Kind::Redis(InRedis::new(settings, &place.namespace, place.answer_bytes))
            }
            At::Disk(dir, bytes) => {
                Kind::Disk(Arc::new(Disk::new(dir, *bytes, place.answer_bytes)))
            }
        };
        let (queue, turn) = (Queue::default(), tokio::sync::Mutex::default());
        Arc::new(SecondLevel { at, queue, turn, losses })
    }

    /// Keeps the connection up and writes the answers that wait, for as long as it is polled.
    pub(super) async fn run(&self) {
        match &self.at {
            Kind::Redis(redis) => {
                tokio::join!(redis.connect(), self.write());
            }
            Kind::Disk(disk) => {
                tokio::join!(disk.clone().tidy(), self.write());
            }
        }
    }

    async fn write(&self) {
        loop {
            self.queue.filled().await;
            let _turn = self.turn.lock().await;
            // It may be forgotten by now.
            if let Some(waiting) = self.queue.take() {
                self.write_one(waiting).await;
            }
        }
    }

    async fn write_one(&self, (key, answer): Waiting) {
        let now = clock::now().millis();
        let left_ms = answer.until.since(now);
        if left_ms == 0 {
            return;
        }
        let (age_ms, unix_ms) = (answer.age_ms(now), clock::unix_ms());
        let (made_ms, kept_ms) = (unix_ms.saturating_sub(age_ms), age_ms + left_ms);
        let bytes = value::write(&answer, (made_ms, kept_ms));
        let written = match &self.at {
            Kind::Redis(redis) => redis.put(key, &bytes, left_ms).await,
            Kind::Disk(disk) => disk.clone().put(key, bytes, unix_ms + left_ms).await,
        };
        if written.is_err() {
            self.losses.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until the answer that is being written is there, so that it can be deleted.
    async fn written(&self) -> Result<(), NotReached> {
        let turn = tokio::time::timeout(TURN_MAX, self.turn.lock()).await;
        turn.map(drop).map_err(|_| NotReached("an answer is being written, slowly".to_owned()))
    }

    /// Whether asking has a chance.
    pub(super) fn is_up(&self) -> bool {
        match &self.at {
            Kind::Redis(redis) => redis.is_up(),
            Kind::Disk(_) => true,
        }
    }

    /// Keeps an answer, soon.
    pub(super) fn put(&self, key: CacheKey, answer: &Arc<KeptAnswer>) {
        if !self.queue.put((key, answer.clone())) {
            self.losses.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What there is under each of `keys`, within 20 ms.
    ///
    /// # Errors
    /// Why that is not known.
    pub(super) async fn get(
        &self,
        keys: &[CacheKey],
    ) -> Result<Vec<Option<KeptAnswer>>, NotReached> {
        let found = match &self.at {
            Kind::Redis(redis) => redis.get(keys).await?,
            Kind::Disk(disk) => disk.clone().get(keys).await?,
        };
        let now = clock::now().millis();
        let mut garbage = 0;
        let read = |found| match found {
            Found::Nothing => None,
            Found::Value { bytes, left_ms } => {
                let answer = value::read(bytes, left_ms, now);
                garbage += u64::from(answer.is_none());
                answer
            }
            Found::Garbage => {
                garbage += 1;
                None
            }
        };
        let answers = found.into_iter().map(read).collect();
        self.losses.garbage.fetch_add(garbage, Ordering::Relaxed);
        Ok(answers)
    }

    /// Forgets the answers with these keys; gives how many there were.
    ///
    /// # Errors
    /// Why it is not known that they are gone.
    pub(crate) async fn remove(&self, keys: &[CacheKey]) -> Result<u64, NotReached> {
        self.queue.forget(|key| keys.contains(key));
        self.written().await?;
        match &self.at {
            Kind::Redis(redis) => redis.remove(keys).await,
            Kind::Disk(disk) => disk.clone().remove(keys.to_vec()).await,
        }
    }

    /// Forgets all answers.
    ///
    /// # Errors
    /// Why it is not known that they are gone.
    pub(crate) async fn clear(&self) -> Result<u64, NotReached> {
        self.queue.forget(|_| true);
        self.written().await?;
        match &self.at {
            Kind::Redis(redis) => redis.clear().await,
            Kind::Disk(disk) => disk.clone().clear().await,
        }
    }

    /// Whether Redis answers and takes a value, and what it is; `None` if it is a disk that works.
    ///
    /// # Errors
    /// What does not work.
    pub(crate) async fn ping(&self) -> Result<Option<RedisPing>, NotReached> {
        match &self.at {
            Kind::Redis(redis) => redis.ping().await.map(Some),
            Kind::Disk(disk) => match disk.problem() {
                Some(problem) => Err(NotReached(problem)),
                None => Ok(None),
            },
        }
    }
}
