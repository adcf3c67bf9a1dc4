//! Which member of the current group is called next.
//!
//! Called by [`RoutePlan::next`]. Always true: a healthy member comes before another group, another group with a
//! healthy member before the unhealthy members of this one, and a healthy member that lets requests in one by one
//! is waited for before the safety net.

use super::{AttemptPlan, RoutePlan};
use crate::deployment::DeploymentIndex;
use crate::route::filter::{SafetyNet, Selection};
use crate::route::needs::Needs;
use crate::route::select::{Choice, least_bad, select};
use crate::route::tags::{TagFilter, TagsNeeded};
use crate::snapshot::Snapshot;
use crate::time::Millis;

impl RoutePlan {
    pub(super) fn members<'s>(&'s self, snapshot: &'s Snapshot) -> &'s [DeploymentIndex] {
        match &self.target.pinned {
            Some(only) => std::slice::from_ref(only),
            None => &snapshot.group(self.target.group).members,
        }
    }

    /// What it needs from a model, as far as that was read.
    pub(super) fn needs(&self) -> Needs {
        // A fallback with messages of its own may have other needs, which were not read.
        let needs = if self.overrides.is_none() { self.controls.needs } else { Needs::default() };
        Needs { prefill: self.rescue_needs_prefill(), ..needs }
    }

    pub(in crate::route) fn selection<'s>(
        &'s self,
        snapshot: &'s Snapshot,
        now: Millis,
    ) -> Selection<'s> {
        let members = self.members(snapshot);
        let selection = Selection {
            snapshot,
            target: &self.target,
            members,
            avoid: &self.avoid,
            needs: self.needs(),
            unix_ms: self.controls.unix_ms.saturating_add(now.since(self.started)),
            tag_budgets: &self.tag_budgets,
            tags: self.tags(snapshot, members),
            heeds_probes: false,
            controls: &self.controls,
            request: self.request,
            ends: self.group_ends.min(self.deadline),
        };
        if !snapshot.probing.routes() {
            return selection;
        }
        selection.heeding(now, self.safety_net(snapshot))
    }

    /// Open once no other group is left.
    pub(super) fn safety_net(&self, snapshot: &Snapshot) -> SafetyNet {
        match self.net || !self.has_fallback_left(snapshot) {
            true => SafetyNet::Open,
            false => SafetyNet::Closed,
        }
    }

    /// Whether probes reject every member that could answer, so that they are ignored.
    #[must_use]
    pub fn ignores_probes(&self, snapshot: &Snapshot, now: Millis) -> bool {
        snapshot.probing.routes() && {
            let selection = self.selection(snapshot, now);
            !selection.heeds_probes && selection.all_unhealthy(now)
        }
    }

    fn tags<'s>(
        &'s self,
        snapshot: &Snapshot,
        members: &[DeploymentIndex],
    ) -> Option<TagFilter<'s>> {
        let wish = self.controls.tags.as_deref()?;
        let filters = snapshot.group(self.target.group).filters_tags;
        let needed = if snapshot.router.tags.match_any { TagsNeeded::Any } else { TagsNeeded::All };
        filters.then(|| TagFilter::new(snapshot, members, wish, needed))
    }

    /// Lets a member be picked that sees no images, where words can stand in their place and no member that sees is left;
    /// false if that changes nothing.
    pub(super) fn gives_up_images(&mut self, snapshot: &Snapshot, now: Millis) -> bool {
        let Some(needs) = self.needs().without_vision() else { return false };
        let blind = Selection { needs, ..self.selection(snapshot, now) };
        let helps = blind.has_choice(now, SafetyNet::Closed);
        if helps {
            self.controls.needs = needs;
        }
        helps
    }

    pub(super) fn pick(
        &mut self,
        snapshot: &Snapshot,
        now: Millis,
        chance: u64,
    ) -> Option<AttemptPlan> {
        let selection = self.selection(snapshot, now);
        let chosen = if self.net { Choice::None } else { select(&selection, now, chance) };
        if let Choice::Deployment(deployment, half_open) = chosen {
            return Some(self.plan(snapshot, deployment, half_open, now));
        }
        if !self.net && self.gives_up_images(snapshot, now) {
            return self.pick(snapshot, now, chance);
        }
        let selection = self.selection(snapshot, now);
        // Another group with a healthy member comes before the unhealthy members of this one.
        if self.safety_net(snapshot) == SafetyNet::Open {
            if (self.waits.is_over || !selection.has_healthy_in_turn(now))
                && let Choice::Deployment(deployment, half_open) = least_bad(&selection, now)
            {
                return Some(self.plan(snapshot, deployment, half_open, now));
            }
        } else if selection.has_choice(now, SafetyNet::Open)
            && self.tried.len() == self.group_tried_from
        {
            self.passed.push((self.target.clone(), self.overrides));
        }
        self.too_long = self.selection(snapshot, now).is_too_long(now);
        if self.tried.len() == self.group_tried_from {
            self.skipped.push((self.target.clone(), self.overrides));
        }
        None
    }
}
