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

thread_local! {
    /// By the upstream's key. The keys come from the config, so that a fast hash without a secret will do.
    static IDLE: RefCell<HashMap<String, Vec<Idle>, FixedState>> = RefCell::default();
}

/// A connection that can be used again, the one that was used last.
pub(super) fn take(upstream: &Upstream) -> Option<Box<Link>> {
    let now = clock::recent().millis();
    IDLE.with_borrow_mut(|idle| {
        let waiting = idle.get_mut(&upstream.key)?;
        while let Some(mut last) = waiting.pop() {
            // It was not polled while it waited: one look tells whether the peer has closed it.
            let mut cx = Context::from_waker(Waker::noop());
            if now.since(last.since) < upstream.kept.idle_ms && last.link.is_usable(&mut cx) {
                last.link.set_idle_ms(upstream.kept.idle_ms);
                return Some(last.link);
            }
        }
        None
    })
}

/// Keeps a connection for the next request.
pub(super) fn put(link: Box<Link>) {
    if link.idle_ms() == 0 {
        return;
    }
    let since = clock::now().millis();
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

/// Closes what has idled for too long. Each worker calls it about once a second.
pub(crate) fn close_idle(now: Millis) {
    IDLE.with_borrow_mut(|idle| {
        idle.retain(|_, waiting| {
            waiting.retain_mut(|one| {
                let mut cx = Context::from_waker(Waker::noop());
                now.since(one.since) < one.link.idle_ms() && one.link.is_usable(&mut cx)
            });
            !waiting.is_empty()
        });
    });
}
