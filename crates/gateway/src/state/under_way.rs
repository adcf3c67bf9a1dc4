//! The requests of models that have no content yet, for those who are told that requests hang.
//!
//! Each worker has a list of its own, which [`crate::proxy`] fills and the alert task reads once a second. Always true: while
//! nothing is to be told of it, a request is in no list and takes no lock; one that waits in line does not hang.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use hale_core::time::Millis;
use parking_lot::Mutex;

/// The lists of all workers.
#[derive(Default)]
pub(crate) struct UnderWay {
    is_watched: AtomicBool,
    lists: Mutex<Vec<Weak<List>>>,
}

/// The requests of one worker.
#[derive(Default)]
pub(crate) struct List {
    places: Mutex<Places>,
}

#[derive(Default)]
struct Places {
    all: Vec<Option<Request>>,
    free: Vec<u32>,
}

/// A request without content.
struct Request {
    group: Arc<str>,
    since: Millis,
}

/// The place of a request in the list of its worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place(u32);

impl UnderWay {
    /// Whether requests are to be listed from now on.
    pub(crate) fn watch(&self, is_watched: bool) {
        self.is_watched.store(is_watched, Ordering::Relaxed);
    }

    /// Whether requests are listed.
    pub(crate) fn is_watched(&self) -> bool {
        self.is_watched.load(Ordering::Relaxed)
    }

    /// The list of another worker.
    pub(super) fn list(&self) -> Arc<List> {
        let list = Arc::<List>::default();
        let mut lists = self.lists.lock();
        lists.retain(|known| known.strong_count() > 0);
        lists.push(Arc::downgrade(&list));
        list
    }

    /// The groups of the requests that have had no content for `ms` or longer, and for how long.
    pub(crate) fn for_longer_than(&self, ms: u64, now: Millis) -> Vec<(Arc<str>, u64)> {
        if ms == 0 || !self.is_watched() {
            return Vec::new();
        }
        let lists: Vec<Arc<List>> = self.lists.lock().iter().filter_map(Weak::upgrade).collect();
        let mut found = Vec::new();
        for list in lists {
            let places = list.places.lock();
            let all = places.all.iter().flatten();
            let long = all.map(|one| (one.group.clone(), now.since(one.since)));
            found.extend(long.filter(|(_, for_ms)| *for_ms >= ms));
        }
        found
    }
}

impl List {
    /// A request of `group` has had no content since then; `known` is its place, if it has one.
    pub(crate) fn enter(&self, known: Option<Place>, group: &Arc<str>, since: Millis) -> Place {
        let mut places = self.places.lock();
        let request = Some(Request { group: group.clone(), since });
        let at = known.map(|place| place.0).or_else(|| places.free.pop());
        match at.and_then(|at| Some((at, places.all.get_mut(at as usize)?))) {
            Some((at, place)) => {
                *place = request;
                Place(at)
            }
            None => {
                places.all.push(request);
                Place(u32::try_from(places.all.len() - 1).unwrap_or(u32::MAX))
            }
        }
    }

    /// It has content, has ended, or waits in line.
    pub(crate) fn leave(&self, place: Place) {
        let mut places = self.places.lock();
        if let Some(request) = places.all.get_mut(place.0 as usize)
            && request.take().is_some()
        {
            places.free.push(place.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_without_content_are_found_by_their_time_in_every_worker() {
        let under_way = UnderWay::default();
        let (one, other) = (under_way.list(), under_way.list());
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        let first = one.enter(None, &a, Millis(100));
        let second = other.enter(None, &b, Millis(900));
        assert!(under_way.for_longer_than(1, Millis(1_000)).is_empty(), "it is not watched");
        under_way.watch(true);
        assert_eq!(under_way.for_longer_than(900, Millis(1_000)), [(a.clone(), 900)]);
        // It goes on in a fallback.
        assert_eq!(one.enter(Some(first), &b, Millis(100)), first);
        assert_eq!(under_way.for_longer_than(100, Millis(1_000)), [(b.clone(), 900), (b, 100)]);
        one.leave(first);
        one.leave(first);
        assert_eq!(one.enter(None, &a, Millis(0)), first, "the place is used again");
        assert_ne!(one.enter(None, &a, Millis(0)), first);
        other.leave(second);
        drop(one);
        assert!(under_way.for_longer_than(1, Millis(9_000)).is_empty());
    }
}
