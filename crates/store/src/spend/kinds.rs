//! Requests that differ in their counts alone: of one day, one payer, the same models.
//!
//! Filled by [`super::Sums`], which makes its rows from it. Always true: nearly every request is of a kind that is known already, and then
//! nothing is allocated; the kinds are in the order of their first requests.

use std::collections::HashMap;

use super::day::day_of;
use super::request::{SpentCall, SpentRequest};
use super::sums::Sum;

const DAY_MS: u64 = 86_400_000;

/// Seeded at random: clients choose some of the names.
pub(super) type FastHash = foldhash::fast::RandomState;

/// Whether the calls of a request are in sums, or have rows of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Calls {
    /// In sums.
    Summed,
    /// They have rows.
    InRows,
}

/// A kind, and the sums of its requests.
#[derive(Debug)]
pub(super) struct Kind {
    pub(super) names: Names,
    pub(super) sum: Sum,
    /// Of each call; none if they have rows.
    pub(super) calls: Vec<Sum>,
}

/// What its requests have in common. A name that is missing is empty.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) day: Box<str>,
    pub(super) key: Box<str>,
    pub(super) user: Box<str>,
    pub(super) team: Box<str>,
    pub(super) organization: Box<str>,
    pub(super) end_user: Box<str>,
    pub(super) operation: Box<str>,
    pub(super) endpoint: Box<str>,
    pub(super) model: Box<str>,
    pub(super) provider: Box<str>,
    pub(super) model_group: Box<str>,
    pub(super) tags: Box<[Box<str>]>,
    pub(super) calls: Box<[CallNames]>,
}

/// The names of one call.
#[derive(Debug)]
pub(super) struct CallNames {
    pub(super) model_group: Box<str>,
    pub(super) deployment: Box<str>,
    pub(super) provider: Box<str>,
    pub(super) model: Box<str>,
}

/// The kinds of requests so far.
#[derive(Debug, Default)]
pub(super) struct Kinds {
    all: Vec<Kind>,
    /// Where each is, by all of its names.
    known: HashMap<Box<[u8]>, usize, FastHash>,
    key: Vec<u8>,
}

impl Kinds {
    /// Counts a request.
    pub(super) fn count(&mut self, request: &SpentRequest<'_>, calls: Calls) {
        write_key(&mut self.key, request, calls);
        let sum = Sum::of(request);
        match self.known.get(&*self.key).and_then(|at| self.all.get_mut(*at)) {
            Some(kind) => {
                kind.sum.add(&sum);
                for (sum, call) in kind.calls.iter_mut().zip(request.calls) {
                    sum.add(&Sum::of_call(call));
                }
            }
            None => {
                let calls = match calls {
                    Calls::Summed => request.calls.iter().map(Sum::of_call).collect(),
                    Calls::InRows => Vec::new(),
                };
                self.known.insert(self.key.as_slice().into(), self.all.len());
                self.all.push(Kind { names: Names::of(request), sum, calls });
            }
        }
    }

    /// Takes all kinds.
    pub(super) fn take(&mut self) -> Vec<Kind> {
        self.known.clear();
        std::mem::take(&mut self.all)
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }
}

impl Names {
    fn of(request: &SpentRequest<'_>) -> Names {
        let name = |text: Option<&str>| text.unwrap_or_default().into();
        Names {
            day: day_of(request.at).into(),
            key: request.key.into(),
            user: name(request.user),
            team: name(request.team),
            organization: name(request.organization),
            end_user: name(request.end_user),
            operation: request.operation.into(),
            endpoint: request.endpoint.into(),
            model: request.counted_model().into(),
            provider: name(request.last().map(|call| call.provider)),
            model_group: name(request.model_group),
            tags: request.tags.into(),
            calls: request.calls.iter().map(CallNames::of).collect(),
        }
    }
}

impl CallNames {
    fn of(call: &SpentCall<'_>) -> CallNames {
        CallNames {
            model_group: call.counted_group().into(),
            deployment: call.deployment.into(),
            provider: call.provider.into(),
            model: call.counted_model().into(),
        }
    }
}

/// Writes all that tells kinds apart, each name behind its length: no two kinds have the same.
fn write_key(key: &mut Vec<u8>, request: &SpentRequest<'_>, calls: Calls) {
    key.clear();
    key.extend((request.at / DAY_MS).to_le_bytes());
    key.push(u8::from(calls == Calls::Summed));
    // So that no tag is taken for the name of a call.
    key.extend(request.calls.len().to_le_bytes());
    let mut push = |name: &str| {
        key.extend(name.len().to_le_bytes());
        key.extend(name.as_bytes());
    };
    let text = Option::unwrap_or_default;
    push(request.key);
    push(text(request.user));
    push(text(request.team));
    push(text(request.organization));
    push(text(request.end_user));
    push(request.operation);
    push(request.endpoint);
    push(text(request.model_group));
    if request.calls.is_empty() {
        push(request.counted_model());
    }
    for call in request.calls {
        push(call.counted_group());
        push(call.deployment);
        push(call.provider);
        push(call.counted_model());
    }
    request.tags.iter().for_each(|tag| push(tag));
}
