//! The longest time that a request may take until nothing is left to try.
//!
//! Called by [`super::explain()`] and by the check of a config's times. Always true: it follows the
//! groups in the order of a request, with each attempt at its slowest, and respects what bounds a
//! request as a whole, [`MAX_ATTEMPTS`], but not its deadline.

use super::controls::Controls;
use super::resolve::Target;
use super::route_plan::{MAX_ATTEMPTS, RoutePlan};
use super::times::times;
use crate::snapshot::Snapshot;
use crate::time::Millis;

/// How long, and with which groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorstCase {
    /// Attempts and pauses together, milliseconds.
    pub ms: u64,
    /// Attempts.
    pub attempts: u32,
    /// The groups, in the order in which they are tried.
    pub groups: Vec<Box<str>>,
}

/// The worst case of the request that `route_plan` begins with; nothing is counted.
#[must_use]
pub(super) fn worst_case(snapshot: &Snapshot, mut route_plan: RoutePlan) -> WorstCase {
    let mut worst = WorstCase::default();
    let most = u32::try_from(MAX_ATTEMPTS).unwrap_or(u32::MAX);
    loop {
        let (slowest, attempts, pauses) = route_plan.slowest(snapshot, most - worst.attempts);
        worst.groups.push(route_plan.target().name(snapshot).into());
        worst.attempts += attempts;
        let of_attempts = slowest.saturating_mul(attempts.into());
        worst.ms = worst.ms.saturating_add(of_attempts).saturating_add(pauses);
        if worst.attempts >= most || !route_plan.preview_next(snapshot, Millis(0)) {
            return worst;
        }
    }
}

/// The worst case of a request for `name`; `None` if that leads nowhere.
#[must_use]
pub fn request_worst_case(
    snapshot: &Snapshot,
    name: &str,
    controls: Controls,
) -> Option<WorstCase> {
    let group = *snapshot.by_name.get(name)?;
    // Every name that a pattern matches has the same plan.
    let wildcard_name = snapshot.group(group).pattern.is_some().then(|| name.into());
    let target = Target { group, pinned: None, wildcard_name };
    Some(worst_case(snapshot, RoutePlan::preview(snapshot, target, controls, Millis(0))))
}

impl RoutePlan {
    /// The slowest attempt of the group, how many of `left` it may get, and the pauses between
    /// them; times in milliseconds.
    fn slowest(&self, snapshot: &Snapshot, left: u32) -> (u64, u32, u64) {
        let selection = self.selection(snapshot, Millis(0));
        let able = selection.members.iter().map(|index| snapshot.deployment(*index));
        let able = able.filter(|deployment| deployment.can_work());
        let time = |deployment| times(snapshot, deployment, selection.controls).timeout_ms;
        let slowest = able.clone().map(|one| time(one)).max();
        let Some(slowest) = slowest else { return (0, 0, 0) };
        let attempts = self.attempts_at_most(snapshot).min(left);
        // Siblings are tried at once; from then on each attempt waits.
        let at_once = u32::try_from(able.count()).unwrap_or(u32::MAX);
        let pauses = attempts.saturating_sub(at_once);
        let longest = (0..pauses).map(|before| RoutePlan::longest_pause_ms(snapshot, before)).sum();
        (slowest, attempts, longest)
    }
}
