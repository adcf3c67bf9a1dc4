//! Which groups come after one that failed.
//!
//! Called by [`RoutePlan::next`] when a group has nothing left to try. Always true: the kind of the last
//! failure decides which list counts; a client's list replaces the config's; no group is entered
//! twice.

use super::{RoutePlan, Step};
use crate::cause::Cause;
use crate::route::controls::{ClientFallback, Overrides};
use crate::route::filter::window;
use crate::route::resolve::{Resolved, Target, resolve};
use crate::settings::Fallback;
use crate::snapshot::Snapshot;
use crate::time::Millis;

/// A group that waits to be tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    pub(super) name: Box<str>,
    /// What changes the request for it.
    pub(super) overrides: Option<Overrides>,
}

/// Which lists count after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    General,
    Context,
    Policy,
}

impl Kind {
    pub(super) const ALL: [Kind; 3] = [Kind::General, Kind::Context, Kind::Policy];

    fn after(cause: Cause) -> Kind {
        match cause {
            Cause::ContextWindow => Kind::Context,
            Cause::ContentPolicy => Kind::Policy,
            _ => Kind::General,
        }
    }
}

impl RoutePlan {
    /// Moves on to the next group; false if there is none.
    pub(super) fn advance(&mut self, snapshot: &Snapshot, now: Millis) -> bool {
        let kind = self.kind_of_failure();
        if !self.net {
            self.expand(snapshot, kind);
            if let Some((target, waiting)) = self.next_waiting(snapshot, kind) {
                snapshot.group(target.group).budget.request(now);
                self.settle(snapshot, target, waiting.overrides, now);
                self.note_written(waiting.name);
                return true;
            }
        }
        if kind == Kind::Policy || self.passed.is_empty() {
            return false;
        }
        // No healthy member is left: each group that was passed over gets one attempt.
        let (target, overrides) = self.passed.remove(0);
        self.net = true;
        self.resume(target, overrides);
        self.avoid_no_more();
        self.group_tried_from = self.tried.len();
        self.group_ends = self.deadline;
        self.retries_left = Some(0);
        self.step = Step::Pick;
        true
    }

    /// Moves on as if the group had failed for an ordinary reason; nothing is counted.
    pub(in crate::route) fn preview_next(&mut self, snapshot: &Snapshot, now: Millis) -> bool {
        self.expand(snapshot, Kind::General);
        let Some((target, waiting)) = self.next_waiting(snapshot, Kind::General) else {
            return false;
        };
        self.settle(snapshot, target, waiting.overrides, now);
        true
    }

    fn next_waiting(&mut self, snapshot: &Snapshot, kind: Kind) -> Option<(Target, Waiting)> {
        while self.fallbacks < self.fallback_limit(snapshot) {
            let waiting = self.queue.pop_front()?;
            let Resolved::Target(target) = resolve(snapshot, &waiting.name) else { continue };
            if self.was_visited(&target)
                || self.is_too_small(snapshot, &target, kind)
                || !self.controls.may_use.allows(snapshot, &target, &waiting.name)
            {
                continue;
            }
            self.fallbacks += 1;
            return Some((target, waiting));
        }
        None
    }

    /// Whether there is a fallback for a request that a provider's policy refuses.
    #[must_use]
    pub fn has_policy_fallback(&self, snapshot: &Snapshot) -> bool {
        let lists = &snapshot.router.content_policy_fallbacks;
        (!lists.is_empty() || self.controls.content_policy_fallbacks.is_some())
            && !self.net
            && self.fallbacks < self.fallback_limit(snapshot)
            && !self.own_fallbacks(snapshot, Kind::Policy).is_empty()
    }

    fn kind_of_failure(&self) -> Kind {
        match self.tried.get(self.group_tried_from..).and_then(<[_]>::last).map(|t| t.cause) {
            None if self.too_long => Kind::Context,
            None => Kind::General,
            Some(cause) => Kind::after(cause),
        }
    }

    /// The groups that a failure of that cause leads to; nothing is counted.
    pub(in crate::route) fn preview_fallbacks(
        &self,
        snapshot: &Snapshot,
        cause: Cause,
    ) -> Vec<Box<str>> {
        let limit = self.fallback_limit(snapshot).saturating_sub(self.fallbacks);
        let leads_on = |waiting: &Waiting| self.leads_on(snapshot, &waiting.name);
        let own = self.own_fallbacks(snapshot, Kind::after(cause)).into_iter();
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        own.filter(leads_on).map(|waiting| waiting.name).take(limit).collect()
    }

    /// Puts the group's own fallbacks before those that were already waiting.
    fn expand(&mut self, snapshot: &Snapshot, kind: Kind) {
        if kind == Kind::Policy && !snapshot.router.policy_uses_general {
            // The groups that wait were meant for other failures.
            self.queue.clear();
        }
        for waiting in self.own_fallbacks(snapshot, kind).into_iter().rev() {
            self.queue.push_front(waiting);
        }
    }

    pub(super) fn fallback_limit(&self, snapshot: &Snapshot) -> u32 {
        self.controls.max_fallbacks.unwrap_or(snapshot.router.max_fallbacks)
    }

    /// Whether a general fallback is left, for any ordinary failure.
    pub(super) fn has_fallback_left(&self, snapshot: &Snapshot) -> bool {
        let leads_on = |name: &str| self.leads_on(snapshot, name);
        !self.net
            && self.fallbacks < self.fallback_limit(snapshot)
            && (self.queue.iter().any(|waiting| leads_on(&waiting.name))
                || self
                    .own_fallbacks(snapshot, Kind::General)
                    .iter()
                    .any(|waiting| leads_on(&waiting.name)))
    }

    /// Whether that name leads to a group that was not entered yet and may be.
    fn leads_on(&self, snapshot: &Snapshot, name: &str) -> bool {
        match resolve(snapshot, name) {
            Resolved::Target(target) => {
                !self.was_visited(&target) && self.controls.may_use.allows(snapshot, &target, name)
            }
            Resolved::Unknown(_) => false,
        }
    }

    /// Whether another group may answer, whatever fails in this one.
    #[must_use]
    pub fn may_fall_back(&self, snapshot: &Snapshot) -> bool {
        let leads_on = |cause| !self.preview_fallbacks(snapshot, cause).is_empty();
        self.has_fallback_left(snapshot)
            || leads_on(Cause::ContextWindow)
            || leads_on(Cause::ContentPolicy)
    }

    /// Whether the request was too long and that group is known to take even less.
    fn is_too_small(&self, snapshot: &Snapshot, target: &Target, kind: Kind) -> bool {
        if kind != Kind::Context {
            return false;
        }
        let failed = self.tried.last().and_then(|tried| window(tried.at(snapshot)));
        let members = match target.pinned {
            Some(only) => vec![only],
            None => snapshot.group(target.group).members.clone(),
        };
        let unknown = members.iter().any(|index| window(snapshot.deployment(*index)).is_none());
        let largest = members.iter().map(|index| window(snapshot.deployment(*index))).max();
        match (failed, largest.flatten()) {
            (Some(failed), Some(other)) => !unknown && other < failed,
            _ => false,
        }
    }

    /// What is tried after the current group fails in that way.
    fn own_fallbacks(&self, snapshot: &Snapshot, kind: Kind) -> Vec<Waiting> {
        self.fallbacks_of(snapshot, &self.target, kind)
    }

    /// What is tried after `target` fails in that way.
    pub(super) fn fallbacks_of(
        &self,
        snapshot: &Snapshot,
        target: &Target,
        kind: Kind,
    ) -> Vec<Waiting> {
        if self.controls.disable_fallbacks {
            return Vec::new();
        }
        let of_client = |list: &Option<Vec<ClientFallback>>| {
            list.as_ref().map(|list| self.named_by_client(snapshot, target, list))
        };
        let controls = &self.controls;
        let router = &snapshot.router;
        // A client that names one deployment does not want another one, unless it lists fallbacks
        // itself.
        let is_pinned = target.pinned.is_some();
        let specific = match kind {
            Kind::General => None,
            Kind::Context => of_client(&controls.context_window_fallbacks).or_else(|| {
                let own = self.listed(snapshot, &router.context_window_fallbacks, target);
                own.filter(|_| !is_pinned).map(|names| waiting(names))
            }),
            Kind::Policy => of_client(&controls.content_policy_fallbacks).or_else(|| {
                let own = self.listed(snapshot, &router.content_policy_fallbacks, target);
                own.filter(|_| !is_pinned).map(|names| waiting(names))
            }),
        };
        match specific {
            Some(specific) => specific,
            None if kind == Kind::Policy && !router.policy_uses_general => Vec::new(),
            None => of_client(&controls.fallbacks).unwrap_or_else(|| {
                if is_pinned {
                    return Vec::new();
                }
                let is_first = self.visited.len() == 1;
                let defaults = &router.default_fallbacks;
                let own = self.general(snapshot, target);
                let own = own.filter(|one| is_first || !defaults.contains(one));
                own.map(Waiting::of).collect()
            }),
        }
    }

    /// What a client's list says about a group. A plain list is for the group that the
    /// client named.
    fn named_by_client(
        &self,
        snapshot: &Snapshot,
        target: &Target,
        list: &[ClientFallback],
    ) -> Vec<Waiting> {
        let name = target.name(snapshot);
        let is_first = self.visited.len() == 1;
        let counts = |one: &&ClientFallback| match one.group.as_deref() {
            None | Some("*") => is_first,
            Some(group) => group == name,
        };
        let wait = |one: &ClientFallback| Waiting {
            name: one.name.clone(),
            overrides: one.overrides.map(Overrides::OfClient),
        };
        list.iter().filter(counts).map(wait).collect()
    }

    /// The config's general fallbacks of `target`: its own list, then the default one.
    pub(super) fn general<'s>(
        &self,
        snapshot: &'s Snapshot,
        target: &Target,
    ) -> impl Iterator<Item = &'s Fallback> + use<'s> {
        let router = &snapshot.router;
        let own = self.listed(snapshot, &router.fallbacks, target);
        own.into_iter().flatten().chain(&router.default_fallbacks)
    }

    /// The entry of `target` in one of the config's lists, with or without the provider in its
    /// name; `*` counts if there is none.
    fn listed<'s>(
        &self,
        snapshot: &'s Snapshot,
        lists: &'s std::collections::BTreeMap<Box<str>, Vec<Fallback>>,
        target: &Target,
    ) -> Option<&'s Vec<Fallback>> {
        if lists.is_empty() {
            return None;
        }
        let name = target.name(snapshot);
        let group = snapshot.group(target.group);
        let stripped = name.split_once('/').map_or(name, |(_, model)| model);
        let plain = [name, &group.name, stripped].iter().find_map(|key| lists.get(*key));
        plain
            .or_else(|| {
                let provider =
                    &*snapshot.deployment(*group.members.first()?).endpoint.provider.name;
                let is_ours = |key: &str| {
                    let tail = key.strip_prefix(provider).and_then(|tail| tail.strip_prefix('/'));
                    tail == Some(name)
                };
                lists.iter().find(|(key, _)| is_ours(key)).map(|(_, names)| names)
            })
            .or_else(|| lists.get("*"))
    }
}

impl Waiting {
    /// A fallback of the config.
    pub(super) fn of(one: &Fallback) -> Waiting {
        Waiting { name: one.name.clone(), overrides: one.changes.map(Overrides::OfConfig) }
    }
}

fn waiting(fallbacks: &[Fallback]) -> Vec<Waiting> {
    fallbacks.iter().map(Waiting::of).collect()
}
