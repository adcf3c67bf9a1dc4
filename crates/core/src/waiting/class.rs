//! Requests that may use the same ways: they differ only in their place in line, and in what they
//! claim there.
//!
//! Kept by [`super::Queue`]. Always true: a class has at least one ticket; a line needs to know only
//! the lowest ticket of each class, so that a step costs the logarithm of the number that waits.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::ticket::Ticket;
use super::way::{Accepts, Way};
use crate::deployment::DeploymentIndex;
use crate::health::{Claim, RetryBudget};

/// The number of a class.
pub(super) type ClassId = usize;
/// The number of a lane.
pub(super) type LaneId = usize;

/// What tells the ways of one class from those of another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct WayKey {
    lane: LaneId,
    index: DeploymentIndex,
    place: u32,
    accepts: Accepts,
    /// The address of the retry budget.
    draws: Option<usize>,
    limits: (Option<u32>, Option<u64>, Option<u64>, bool),
}

impl WayKey {
    pub(super) fn of(lane: LaneId, way: &Way) -> WayKey {
        let Claim { max_parallel, rpm, tpm, tokens: _, counts } = way.claim;
        WayKey {
            lane,
            index: way.index,
            place: way.place,
            accepts: way.accepts,
            draws: way.draws.as_ref().map(|budget| Arc::as_ptr(budget) as usize),
            limits: (max_parallel, rpm, tpm, counts),
        }
    }
}

/// One way of a class.
#[derive(Debug)]
pub(super) struct ClassWay {
    pub(super) lane: LaneId,
    pub(super) index: DeploymentIndex,
    pub(super) place: u32,
    pub(super) accepts: Accepts,
    pub(super) draws: Option<Arc<RetryBudget>>,
    /// Its tokens are those of a waiter: see [`Own`].
    pub(super) claim: Claim,
}

/// What a way is to one request of a class.
#[derive(Clone, Copy, Debug)]
pub(super) struct Own {
    /// The tokens that the request claims there.
    pub(super) tokens: u64,
    /// The time limit of its attempt there, milliseconds.
    pub(super) timeout_ms: u64,
}

impl Own {
    pub(super) fn of(way: &Way) -> Own {
        Own { tokens: way.claim.tokens, timeout_ms: way.timeout_ms }
    }
}

impl ClassWay {
    pub(super) fn of(lane: LaneId, way: Way) -> ClassWay {
        let Way { index, claim, draws, accepts, place, .. } = way;
        ClassWay { lane, index, place, accepts, draws, claim }
    }
}

/// The requests of one class.
#[derive(Debug)]
pub(super) struct Class {
    pub(super) key: Box<[WayKey]>,
    pub(super) ways: Box<[ClassWay]>,
    pub(super) tickets: BTreeSet<Ticket>,
}

/// A list whose places are numbered and used again.
#[derive(Debug)]
pub(super) struct Places<T> {
    places: Vec<Option<T>>,
    free: Vec<usize>,
}

impl<T> Default for Places<T> {
    fn default() -> Places<T> {
        Places { places: Vec::new(), free: Vec::new() }
    }
}

impl<T> Places<T> {
    pub(super) fn add(&mut self, one: T) -> usize {
        match self.free.pop() {
            Some(place) => {
                self.places[place] = Some(one);
                place
            }
            None => {
                self.places.push(Some(one));
                self.places.len() - 1
            }
        }
    }

    pub(super) fn get(&self, place: usize) -> Option<&T> {
        self.places.get(place)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, place: usize) -> Option<&mut T> {
        self.places.get_mut(place)?.as_mut()
    }

    pub(super) fn remove(&mut self, place: usize) -> Option<T> {
        let removed = self.places.get_mut(place)?.take();
        if removed.is_some() {
            self.free.push(place);
        }
        removed
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        let numbered = self.places.iter().enumerate();
        numbered.filter_map(|(place, one)| Some((place, one.as_ref()?)))
    }
}
