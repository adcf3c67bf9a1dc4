//! Idle connections of one worker.
//!
//! Called by [`super::send`] and by bodies that were read to their end. Always true: nothing is shared
//! between threads; at most [`IDLE_MAX`] connections per upstream wait, none longer than [`IDLE_MS`].

use std::cell::RefCell;
use std::collections::HashMap;
use std::task::{Context, Waker};

use hale_core::time::Millis;

use super::address::Upstream;
use super::link::Link;
use crate::clock;

/// Idle connections per upstream and worker.
const IDLE_MAX: usize = 256;
/// How long one may idle; shorter than what servers and load balancers grant (60 s and more).
const IDLE_MS: u64 = 55_000;

struct Idle {
    since: Millis,
    link: Box<Link>,
}

thread_local! {
    static IDLE: RefCell<HashMap<String, Vec<Idle>>> = RefCell::default();
}

/// A connection that can be used again, the one that was used last.
pub(super) fn take(upstream: &Upstream) -> Option<Box<Link>> {
    let now = clock::recent().millis();
    IDLE.with_borrow_mut(|idle| {
        let waiting = idle.get_mut(&upstream.key)?;
        while let Some(mut last) = waiting.pop() {
            // Nobody polled it while it waited; one look tells whether the peer has closed it.
            let mut cx = Context::from_waker(Waker::noop());
            if now.since(last.since) < IDLE_MS && last.link.is_usable(&mut cx) {
                return Some(last.link);
            }
        }
        None
    })
}

/// Keeps a connection for the next request.
pub(super) fn put(link: Box<Link>) {
    let since = clock::recent().millis();
    IDLE.with_borrow_mut(|idle| {
        if let Some(waiting) = idle.get_mut(link.key()) {
            if waiting.len() < IDLE_MAX {
                waiting.push(Idle { since, link });
            }
        } else {
            idle.insert(link.key().to_owned(), vec![Idle { since, link }]);
        }
    });
}

/// Closes what has idled for too long; called now and then by each worker.
pub(crate) fn close_idle(now: Millis) {
    IDLE.with_borrow_mut(|idle| {
        idle.retain(|_, waiting| {
            waiting.retain_mut(|one| {
                let mut cx = Context::from_waker(Waker::noop());
                now.since(one.since) < IDLE_MS && one.link.is_usable(&mut cx)
            });
            !waiting.is_empty()
        });
    });
}
