//! Idle connections of one worker.
//!
//! Called by [`super::send`] and by bodies that were read to their end. Always true: nothing is shared
//! between threads; at most [`IDLE_MAX`] connections per upstream wait, none longer than the config allows
//! (`upstream_idle_timeout_s`).

use std::cell::RefCell;
use std::collections::HashMap;
use std::task::{Context, Waker};

use foldhash::fast::FixedState;
use hale_core::time::Millis;

use super::address::Upstream;
use super::link::Link;
use crate::clock;

/// Idle connections per upstream and worker.
const IDLE_MAX: usize = 256;

struct Idle {
    since: Millis,
    link: Box<Link>,
}

/// The idle connections of one upstream, and how long they may idle there.
#[derive(Default)]
struct Waiting {
    idle: Vec<Idle>,
    learned: Option<Learned>,
}

/// What the closes of an upstream show: it lets connections idle for less than the config does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Learned {
    idle_ms: u64,
    at: Millis,
}

/// A close after less than this shows a restart, not the server's idle time.
const LEARNED_FROM_MS: u64 = 1_000;
/// How long a lesson is believed: the server may be another one by then.
const LEARNED_FOR_MS: u64 = 600_000;

impl Waiting {
    /// How long a connection may idle, at most `own`.
    fn limit(&self, now: Millis, own: u64) -> u64 {
        let valid = self.learned.filter(|learned| now.since(learned.at) < LEARNED_FOR_MS);
        valid.map_or(own, |learned| learned.idle_ms.min(own))
    }

    /// A connection was found closed that had idled for `age` milliseconds. Looks are a second apart, and a busy
    /// process looks late: the server's time is less than what was seen.
    fn closed(&mut self, now: Millis, age: u64) {
        if age < LEARNED_FROM_MS {
            return;
        }
        let idle_ms = self.limit(now, age / 4 * 3);
        self.learned = Some(Learned { idle_ms, at: now });
    }
}

thread_local! {
    /// By the upstream's key. The keys come from the config, so that a fast hash without a secret will do.
    static IDLE: RefCell<HashMap<String, Waiting, FixedState>> = RefCell::default();
}

/// A connection that can be used again, the one that was used last.
pub(super) fn take(upstream: &Upstream) -> Option<Box<Link>> {
    let now = clock::recent().millis();
    IDLE.with_borrow_mut(|idle| {
        let waiting = idle.get_mut(&upstream.key)?;
        while let Some(mut last) = waiting.idle.pop() {
            let age = now.since(last.since);
            let limit = waiting.limit(now, upstream.kept.idle_ms.min(last.link.granted_ms()));
            if age >= limit {
                continue;
            }
            // It was not polled while it waited: one look tells whether the peer has closed it.
            let mut cx = Context::from_waker(Waker::noop());
            if last.link.is_usable(&mut cx) {
                last.link.begin_again(upstream.kept.idle_ms, age);
                return Some(last.link);
            }
            waiting.closed(now, age);
        }
        None
    })
}

/// A request met the close of a connection to `key` that had idled for `age` milliseconds.
pub(super) fn was_closed(key: &str, age: u64) {
    let now = clock::now().millis();
    IDLE.with_borrow_mut(|idle| {
        if let Some(waiting) = idle.get_mut(key) {
            waiting.closed(now, age);
        }
    });
}

/// Keeps a connection for the next request.
pub(super) fn put(link: Box<Link>) {
    if link.idle_ms().min(link.granted_ms()) == 0 {
        return;
    }
    let since = clock::now().millis();
    IDLE.with_borrow_mut(|idle| {
        if let Some(waiting) = idle.get_mut(link.key()) {
            if waiting.idle.len() < IDLE_MAX {
                waiting.idle.push(Idle { since, link });
            }
        } else {
            let key = link.key().to_owned();
            idle.insert(key, Waiting { idle: vec![Idle { since, link }], learned: None });
        }
    });
}

/// Closes what has idled for too long. Each worker calls it about once a second.
pub(crate) fn close_idle(now: Millis) {
    IDLE.with_borrow_mut(|idle| {
        idle.retain(|_, waiting| {
            let mut closed = None;
            let limit = waiting.limit(now, u64::MAX);
            waiting.idle.retain_mut(|one| {
                let age = now.since(one.since);
                if age >= limit.min(one.link.idle_ms()).min(one.link.granted_ms()) {
                    return false;
                }
                let mut cx = Context::from_waker(Waker::noop());
                let is_open = one.link.is_usable(&mut cx);
                if !is_open {
                    closed = Some(closed.map_or(age, |least: u64| least.min(age)));
                }
                is_open
            });
            if let Some(age) = closed {
                waiting.closed(now, age);
            }
            // What was learned outlives the connections.
            !waiting.idle.is_empty() || waiting.limit(now, u64::MAX) < u64::MAX
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_idle_time_of_an_upstream_is_learned_from_its_closes() {
        let mut waiting = Waiting::default();
        assert_eq!(waiting.limit(Millis(0), 60_000), 60_000);
        waiting.closed(Millis(10_000), 5_600);
        assert_eq!(waiting.limit(Millis(10_000), 60_000), 4_200, "below what was seen");
        assert_eq!(waiting.limit(Millis(10_000), 2_000), 2_000, "the config may allow less");
        waiting.closed(Millis(20_000), 9_000);
        assert_eq!(waiting.limit(Millis(20_000), 60_000), 4_200, "a later look shows no more");
        waiting.closed(Millis(30_000), 200);
        assert_eq!(waiting.limit(Millis(30_000), 60_000), 4_200, "a restart teaches nothing");
        let later = Millis(20_000 + LEARNED_FOR_MS);
        assert_eq!(waiting.limit(later, 60_000), 60_000, "the server may be another one");
        waiting.closed(later, 30_000);
        assert_eq!(waiting.limit(later, 60_000), 22_500);
    }
}
