//! The answers that wait to be written to the second level.
//!
//! Part of [`super`]: filled by requests, emptied by its writer and by operators. Always true: it is bounded in answers and in
//! bytes; what is forgotten is not in it any more.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::cache::kept::KeptAnswer;
use crate::cache::key::CacheKey;

/// Answers that wait. One request for embeddings may bring 2,048.
const ANSWERS_MAX: usize = 8_192;
/// Bytes of these.
const BYTES_MAX: usize = 16 << 20;

/// An answer that waits.
pub(super) type Waiting = (CacheKey, Arc<KeptAnswer>);

/// The answers that wait.
#[derive(Default)]
pub(super) struct Queue {
    line: Mutex<Line>,
    filled: Notify,
}

#[derive(Default)]
struct Line {
    waiting: VecDeque<Waiting>,
    bytes: usize,
}

impl Queue {
    /// Adds an answer; false if there is no room.
    #[must_use]
    pub(super) fn put(&self, waiting: Waiting) -> bool {
        let bytes = waiting.1.body.len();
        let mut line = self.line.lock();
        if line.waiting.len() >= ANSWERS_MAX || line.bytes + bytes > BYTES_MAX {
            return false;
        }
        line.bytes += bytes;
        line.waiting.push_back(waiting);
        drop(line);
        self.filled.notify_one();
        true
    }

    /// Waits until there is one.
    pub(super) async fn filled(&self) {
        while self.line.lock().waiting.is_empty() {
            self.filled.notified().await;
        }
    }

    /// The one that has waited longest.
    pub(super) fn take(&self) -> Option<Waiting> {
        let mut line = self.line.lock();
        let waiting = line.waiting.pop_front()?;
        line.bytes -= waiting.1.body.len();
        Some(waiting)
    }

    /// Drops those whose key `is_meant`.
    pub(super) fn forget(&self, is_meant: impl Fn(&CacheKey) -> bool) {
        let mut line = self.line.lock();
        line.waiting.retain(|(key, _)| !is_meant(key));
        line.bytes = line.waiting.iter().map(|(_, answer)| answer.body.len()).sum();
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use hale_core::time::Millis;

    use super::*;
    use crate::cache::Head;

    fn waiting(number: u32, bytes: usize) -> Waiting {
        let answer = KeptAnswer {
            head: Head::default(),
            body: Bytes::from(vec![0; bytes]),
            since: Millis(0),
            age_ms: 0,
            until: Millis(1),
        };
        (CacheKey::of(|feed| feed(&number.to_le_bytes())), Arc::new(answer))
    }

    #[test]
    fn it_is_bounded_in_answers_and_in_bytes_and_what_is_forgotten_makes_room() {
        let queue = Queue::default();
        for number in 0..ANSWERS_MAX {
            assert!(queue.put(waiting(u32::try_from(number).unwrap(), 1)));
        }
        assert!(!queue.put(waiting(0, 1)), "there are too many");
        let first = waiting(0, 1).0;
        queue.forget(|key| *key == first);
        assert_ne!(queue.take().unwrap().0, first);
        queue.forget(|_| true);
        assert!(queue.take().is_none());
        assert!(queue.put(waiting(1, BYTES_MAX)));
        assert!(!queue.put(waiting(2, 1)), "they are too long");
        assert!(queue.take().is_some() && queue.put(waiting(2, 1)));
    }
}
