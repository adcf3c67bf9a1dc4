//! Counts the groups that a request tried after its own.
//!
//! Called by [`super::exchange`] when a request that left its group is answered or given up. Always true: each group that
//! was tried counts once.

use hale_core::group::GroupIndex;
use hale_core::route::{RoutePlan, Tried};
use hale_core::snapshot::Snapshot;

use crate::metrics::{Fallback, Helped, Metrics};

/// Counts the fallbacks of `plan`; `answered` is the group that gave an answer.
#[cold]
pub(super) fn count(
    metrics: &Metrics,
    snapshot: &Snapshot,
    plan: &RoutePlan,
    answered: Option<GroupIndex>,
) {
    let first = plan.first_target().group;
    // One that was called by an earlier config has a group by its name, if that is still there.
    let group_of = |tried: &Tried| match tried.former {
        None => Some(snapshot.deployment(tried.deployment).group),
        Some(_) => snapshot.by_name.get(&*tried.group).copied(),
    };
    let failure = plan.original_failure().filter(|(_, tried)| group_of(tried) == Some(first));
    let (status, cause, provider) = match failure {
        Some((_, tried)) => {
            let status = tried.status.unwrap_or(tried.cause.facts().status);
            let provider = &*tried.at(snapshot).endpoint.provider.name;
            (status, Some(tried.cause), provider)
        }
        None => (0, None, ""),
    };
    let mut tried: Vec<GroupIndex> =
        plan.tried().iter().filter_map(group_of).chain(answered).collect();
    tried.sort_unstable();
    tried.dedup();
    for group in tried.into_iter().filter(|group| *group != first) {
        metrics.fallbacks.count(Fallback {
            helped: if answered == Some(group) { Helped::Yes } else { Helped::No },
            requested: snapshot.group(first).name.clone(),
            tried: snapshot.group(group).name.clone(),
            status,
            cause,
            provider,
        });
    }
}
