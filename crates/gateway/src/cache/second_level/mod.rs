//! Where answers are kept behind the memory of the process: in Redis, for all replicas, or in files, over a restart.
//!
//! Kept up by [`super::AnswerCache::run`] on the background thread, asked by requests. Always true: a request waits for it
//! 20 ms at most, and what does not come by then is not there; answers are written behind a bounded queue; keys and files
//! of others are never touched.

mod disk;
mod found;
mod in_redis;
mod value;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use hale_core::settings::RedisSettings;
use tokio::sync::mpsc;

use self::disk::Disk;
use self::found::Found;
pub(crate) use self::found::NotReached;
use self::in_redis::InRedis;
use self::in_redis::RedisPing;
use super::kept::KeptAnswer;
use super::key::CacheKey;
use crate::clock;

/// Answers that wait to be written.
const QUEUE_MAX: usize = 1_024;
/// Bytes of these.
const QUEUE_BYTES: usize = 16 << 20;

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

/// An answer that waits to be written.
type Waiting = (CacheKey, Arc<KeptAnswer>);

/// Where answers are kept behind memory.
pub(crate) struct SecondLevel {
    at: Kind,
    queue: mpsc::Sender<Waiting>,
    queued: AtomicUsize,
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
    /// What `place` names, and the answers that wait to be written there.
    pub(super) fn new(
        place: &Place,
        losses: Arc<Losses>,
    ) -> (Arc<SecondLevel>, mpsc::Receiver<Waiting>) {
        let (queue, waiting) = mpsc::channel(QUEUE_MAX);
        let at = match &place.at {
            At::Redis(settings) => {
                Kind::Redis(InRedis::new(settings, &place.namespace, place.answer_bytes))
            }
            At::Disk(dir, bytes) => {
                Kind::Disk(Arc::new(Disk::new(dir, *bytes, place.answer_bytes)))
            }
        };
        let second = SecondLevel { at, queue, queued: AtomicUsize::new(0), losses };
        (Arc::new(second), waiting)
    }

    /// Keeps the connection up and writes the answers that wait, for as long as it is polled.
    pub(super) async fn run(&self, waiting: mpsc::Receiver<Waiting>) {
        match &self.at {
            Kind::Redis(redis) => {
                tokio::join!(redis.connect(), self.write(waiting));
            }
            Kind::Disk(disk) => {
                tokio::join!(disk.clone().tidy(), self.write(waiting));
            }
        }
    }

    async fn write(&self, mut waiting: mpsc::Receiver<Waiting>) {
        while let Some((key, answer)) = waiting.recv().await {
            self.queued.fetch_sub(answer.body.len(), Ordering::Relaxed);
            let now = clock::now().millis();
            let left_ms = answer.until.since(now);
            if left_ms == 0 {
                continue;
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
        let bytes = answer.body.len();
        let fits = self.queued.fetch_add(bytes, Ordering::Relaxed) + bytes <= QUEUE_BYTES;
        if !fits || self.queue.try_send((key, answer.clone())).is_err() {
            self.queued.fetch_sub(bytes, Ordering::Relaxed);
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
