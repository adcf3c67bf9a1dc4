//! One account of the bytes of all bodies: what is allocated for them as they come, their copies and translations, and
//! answers.
//!
//! Used by all code that keeps a body, and for large pages. Always true: what is counted is given back when its [`Held`]
//! is dropped; beyond the limit is at most one copy or page at a time, so that the largest permitted body can always be sent on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;

use hale_core::time::Millis;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::clock;

/// How long a body may come before it can be the slowest, milliseconds.
const GRACE_MS: u64 = 1_000;
/// How long to wait for bytes that are about to be given back.
const PATIENCE: Duration = Duration::from_secs(2);

/// The bytes of all bodies in the process's memory.
#[derive(Default)]
pub(crate) struct Buffered {
    held: AtomicUsize,
    /// Bytes that are kept beyond the first content of an answer; they are part of `held`.
    kept: AtomicUsize,
    /// Bytes of the one copy that is held beyond the limit; they are not part of `held`, so that others keep theirs.
    beyond: AtomicUsize,
    /// Bodies that come in several pieces, as long as they come.
    coming: Mutex<Vec<Arc<Reading>>>,
    /// Tasks that wait for bytes to be given back.
    waiting: AtomicUsize,
    given_back: Notify,
}

/// A body that is being read.
pub(crate) struct Reading {
    began: Millis,
    received: AtomicUsize,
    /// Whether it was given up, because others need its room.
    is_given_up: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Reading {
    /// Whether it was given up. If not, its task is woken when it is.
    pub(crate) fn is_given_up(&self, cx: &Context<'_>) -> bool {
        let mut waker = self.waker.lock();
        if !waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        self.is_given_up.load(Ordering::Acquire)
    }

    fn give_up(&self) {
        let waker = self.waker.lock();
        self.is_given_up.store(true, Ordering::Release);
        if let Some(waker) = waker.as_ref() {
            waker.wake_by_ref();
        }
    }

    /// Bytes a second; `None` while it has just begun.
    fn rate(&self, now: Millis) -> Option<u64> {
        let ms = now.since(self.began);
        let received = self.received.load(Ordering::Relaxed) as u64;
        (ms >= GRACE_MS).then(|| received.saturating_mul(1000) / ms)
    }
}

impl Buffered {
    /// The number of bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.held.load(Ordering::Relaxed) + self.beyond.load(Ordering::Relaxed)
    }

    /// Gives up the body that comes slowest, unless `other` does. True if bytes will be given back soon.
    fn give_up_slowest(&self, other: Option<&Arc<Reading>>, now: Millis) -> bool {
        let coming = self.coming.lock();
        if coming.iter().any(|one| one.is_given_up.load(Ordering::Relaxed)) {
            return true;
        }
        let rates = coming.iter().filter_map(|one| Some((one.rate(now)?, one)));
        let Some((rate, slowest)) = rates.min_by_key(|(rate, _)| *rate) else { return false };
        let own = other.and_then(|other| other.rate(now));
        if own.is_some_and(|own| own <= rate) {
            return false;
        }
        slowest.give_up();
        true
    }

    fn give_back(&self, bytes: usize, beyond: usize) {
        self.held.fetch_sub(bytes, Ordering::SeqCst);
        if beyond > 0 {
            self.beyond.fetch_sub(beyond, Ordering::SeqCst);
        }
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.given_back.notify_waiters();
        }
    }
}

/// Adds `more`, unless the sum would exceed `limit`.
fn add(count: &AtomicUsize, more: usize, limit: usize) -> bool {
    let before = count.fetch_add(more, Ordering::SeqCst);
    let fits = before.saturating_add(more) <= limit;
    if !fits {
        count.fetch_sub(more, Ordering::SeqCst);
    }
    fits
}

/// Counts bytes as held until it is dropped.
pub(crate) struct Held {
    all: Arc<Buffered>,
    bytes: usize,
    /// Bytes beyond the limit.
    beyond: usize,
    /// How many of them are kept beyond the first content of an answer.
    kept: usize,
    /// The body that they belong to, as long as it comes.
    reading: Option<Arc<Reading>>,
}

impl Held {
    /// Holds no bytes.
    pub(crate) fn none(all: &Arc<Buffered>) -> Held {
        Held { all: all.clone(), bytes: 0, beyond: 0, kept: 0, reading: None }
    }

    /// Counts `more` bytes, unless the process would hold too many.
    pub(crate) fn add(&mut self, more: usize, limit: usize) -> bool {
        let fits = add(&self.all.held, more, limit);
        if fits {
            self.bytes += more;
        }
        fits
    }

    /// The same, after the body that comes slowest was given up where that helps.
    pub(crate) async fn add_in_time(&mut self, more: usize, limit: usize) -> bool {
        self.add(more, limit) || Box::pin(self.wait_for(more, limit, Room::Within)).await
    }

    /// The same for a copy of a body that is held. It may be beyond the limit if no other copy is.
    pub(crate) async fn add_copy(&mut self, more: usize, limit: usize) -> bool {
        self.add(more, limit) || Box::pin(self.wait_for(more, limit, Room::Beyond)).await
    }

    /// The same for a page. One at a time may be beyond the limit, so that the gateway can be looked at while its memory
    /// is full.
    pub(crate) fn add_page(&mut self, more: usize, limit: usize) -> bool {
        self.add(more, limit) || self.go_beyond(more)
    }

    async fn wait_for(&mut self, more: usize, limit: usize, room: Room) -> bool {
        let all = self.all.clone();
        let _waiter = Waiter::of(&all);
        let waits = async {
            loop {
                // Another body needs its room: it gives back what it has.
                if self.reading.as_ref().is_some_and(|own| own.is_given_up.load(Ordering::Acquire))
                {
                    return false;
                }
                let given_back = all.given_back.notified();
                tokio::pin!(given_back);
                given_back.as_mut().enable();
                if self.add(more, limit) || (room == Room::Beyond && self.go_beyond(more)) {
                    return true;
                }
                let helps = all.give_up_slowest(self.reading.as_ref(), clock::now().millis());
                if !helps && room == Room::Within {
                    return false;
                }
                given_back.await;
            }
        };
        tokio::time::timeout(PATIENCE, waits).await.unwrap_or(false)
    }

    /// Counts `more` bytes beyond the limit, unless others are beyond it.
    fn go_beyond(&mut self, more: usize) -> bool {
        let order = Ordering::Relaxed;
        let goes = self.all.beyond.compare_exchange(0, more, order, order).is_ok();
        if goes {
            self.beyond = more;
        }
        goes
    }

    /// Counts no more than `bytes` of what it counts.
    pub(crate) fn shrink_to(&mut self, bytes: usize) {
        if let Some(less) = (self.bytes + self.beyond).checked_sub(bytes) {
            let beyond = less.min(self.beyond);
            self.beyond -= beyond;
            self.bytes -= less - beyond;
            self.all.give_back(less - beyond, beyond);
        }
    }

    /// The body that it counts comes in several pieces: from now on it can be the slowest.
    pub(crate) fn begin_reading(&mut self, began: Millis) {
        let reading = Arc::new(Reading {
            began,
            received: AtomicUsize::new(0),
            is_given_up: AtomicBool::new(false),
            waker: Mutex::new(None),
        });
        self.all.coming.lock().push(reading.clone());
        self.reading = Some(reading);
    }

    /// Notes that so many bytes of the body have come in all.
    pub(crate) fn received(&self, bytes: usize) {
        if let Some(reading) = &self.reading {
            reading.received.store(bytes, Ordering::Relaxed);
        }
    }

    /// The body that it counts, if that comes in several pieces.
    pub(crate) fn reading(&self) -> Option<&Arc<Reading>> {
        self.reading.as_ref()
    }

    /// The body has come.
    pub(crate) fn end_reading(&mut self) {
        if let Some(reading) = self.reading.take() {
            self.all.coming.lock().retain(|one| !Arc::ptr_eq(one, &reading));
        }
    }

    /// The number of bytes it counts.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes + self.beyond
    }

    /// Counts its bytes as kept beyond the first content of an answer, unless the sum would exceed `limit`.
    pub(crate) fn keep(&mut self, limit: usize) -> bool {
        let bytes = self.bytes();
        let fits = self.kept == bytes || add(&self.all.kept, bytes - self.kept.min(bytes), limit);
        if fits {
            self.kept = self.kept.max(bytes);
        }
        fits
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.kept > 0 {
            self.all.kept.fetch_sub(self.kept, Ordering::Relaxed);
        }
        self.end_reading();
        self.all.give_back(self.bytes, self.beyond);
    }
}

/// Where bytes may be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Room {
    /// Within the limit.
    Within,
    /// Beyond it, if no others are.
    Beyond,
}

/// Counts a task that waits for bytes.
struct Waiter<'a>(&'a Buffered);

impl Waiter<'_> {
    fn of(all: &Buffered) -> Waiter<'_> {
        all.waiting.fetch_add(1, Ordering::SeqCst);
        Waiter(all)
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(all: &Arc<Buffered>, bytes: usize, began: u64) -> Held {
        let mut held = Held::none(all);
        assert!(held.add(bytes, 100));
        held.begin_reading(Millis(began));
        held.received(bytes);
        held
    }

    #[test]
    fn the_slowest_body_goes_first() {
        let all = Arc::new(Buffered::default());
        let slow = reading(&all, 40, 0);
        let fast = reading(&all, 50, 9_000);
        let mut new = reading(&all, 5, 9_900);
        let is_given_up = |held: &Held| held.reading().unwrap().is_given_up.load(Ordering::Relaxed);
        let now = Millis(10_000);
        assert!(!new.add(20, 100));
        assert!(!all.give_up_slowest(slow.reading(), now), "it is the slowest itself");
        assert!(all.give_up_slowest(new.reading(), now));
        assert!(is_given_up(&slow) && !is_given_up(&fast));
        // The first is about to give back its bytes.
        assert!(all.give_up_slowest(new.reading(), now) && !is_given_up(&fast));
        drop(slow);
        assert!(new.add(20, 100));
        assert_eq!(all.bytes(), 75);
        drop((fast, new));
        assert_eq!((all.bytes(), all.coming.lock().len()), (0, 0));
    }

    #[test]
    fn one_copy_may_be_beyond_the_limit() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let all = Arc::new(Buffered::default());
        runtime.block_on(async {
            let mut body = Held::none(&all);
            let mut copy = Held::none(&all);
            let mut other = Held::none(&all);
            assert!(body.add(100, 100));
            assert!(!other.add_in_time(1, 100).await, "a body waits only if that helps");
            assert!(copy.add_copy(100, 100).await);
            assert_eq!(all.bytes(), 200);
            assert!(!other.go_beyond(1));
            let mut answer = Held::none(&all);
            assert!(answer.add(1, 101), "what is beyond takes no room of others");
            drop(answer);
            copy.shrink_to(10);
            assert_eq!((all.bytes(), copy.bytes()), (110, 10));
            drop(copy);
            assert!(other.add_copy(1, 100).await);
        });
        assert_eq!(all.bytes(), 0);
    }
}
