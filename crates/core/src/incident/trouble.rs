//! A trouble: one thing that is wrong now, as one replica sees it.
//!
//! Made by [`super::Watch`], told to the replica that speaks, grouped by [`super::Book`]. Always true: its subject means the
//! same in every replica and after a restart; none of its texts names a credential.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::effect::Effect;
use super::kind::{Family, Kind};

/// Where troubles come from: those with the same root are one incident.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Root {
    /// The family of the cause.
    pub family: Family,
    /// The provider; empty if none has to do with it.
    pub provider: Box<str>,
    /// What fails there: a host, the id of a credential, a model.
    pub place: Box<str>,
}

impl Root {
    /// Whether both have the same provider and family, whatever the place.
    #[must_use]
    pub fn is_akin(&self, other: &Root) -> bool {
        !self.provider.is_empty() && self.provider == other.provider && self.family == other.family
    }
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// What it is.
    pub kind: Kind,
    /// What it is about: `deployment:ID`, `group:NAME`, `store`, ...
    pub subject: Box<str>,
    /// The name of that for people.
    pub name: Box<str>,
    /// Where it comes from.
    pub root: Root,
    /// The cause, as in errors and metrics.
    pub cause: Box<str>,
    /// The provider's words, or the system's.
    pub words: Box<str>,
    /// What to do.
    pub fix: Box<str>,
    /// The groups whose requests it can touch.
    pub groups: Vec<Box<str>>,
    /// Since when, milliseconds since 1970.
    pub since: u64,
}

/// What became of the requests of a group at one replica.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counter {
    /// Since the replica's start.
    pub total: Effect,
    /// Of these, in the last minute: a trouble is seen a moment after its first victims.
    pub lately: Effect,
}

/// What a replica sees.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Its id, another one after each start.
    pub replica: Box<str>,
    /// What is wrong.
    pub troubles: Vec<Trouble>,
    /// What became of the requests of the groups that the troubles touch.
    pub groups: BTreeMap<Box<str>, Counter>,
    /// Of the subjects that it was asked about, those that it knows to work.
    pub healthy: Vec<Box<str>>,
    /// How many more troubles it sees than it names: what it does not name may be wrong all the same.
    #[serde(default)]
    pub unnamed: u64,
}

/// What the numbers of a group take as JSON at most, bytes.
const COUNTER_BYTES: usize = 320;

impl Report {
    /// The same in about `most` bytes of JSON. What has no room is left out: troubles are counted, the others are told later.
    #[must_use]
    pub fn within(mut self, most: usize) -> Report {
        let mut left = most;
        let mut take = |bytes: usize| {
            let fits = bytes <= left;
            left -= if fits { bytes } else { 0 };
            fits
        };
        let mut counted: BTreeSet<Box<str>> = BTreeSet::new();
        let before = self.troubles.len();
        self.troubles.retain(|trouble| {
            let text = serde_json::to_string(trouble).map_or(usize::MAX, |text| text.len() + 1);
            let new = trouble.groups.iter().filter(|group| !counted.contains(*group));
            let numbers: usize = new.map(|group| written(group) + COUNTER_BYTES).sum();
            let fits = take(text.saturating_add(numbers));
            if fits {
                counted.extend(trouble.groups.iter().cloned());
            }
            fits
        });
        self.unnamed += (before - self.troubles.len()) as u64;
        self.groups.retain(|group, _| counted.contains(group));
        self.healthy.retain(|subject| take(written(subject) + 1));
        self
    }
}

/// What a text takes as JSON at most, bytes.
fn written(text: &str) -> usize {
    serde_json::to_string(text).map_or(usize::MAX / 4, |text| text.len())
}
