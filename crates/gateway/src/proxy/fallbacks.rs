//! Counts the groups that a request tried after its own.
//!
//! Called by [`super::exchange`] when a request that left its group is answered or given up. Always true: each group that
//! was tried counts once.

use hale_core::group::GroupIndex;
use hale_core::route::RoutePlan;
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
    let group_of = |place: usize| snapshot.deployment(plan.tried()[place].deployment).group;
    let failure = plan.original_failure().filter(|(place, _)| group_of(*place) == first);
    let (status, cause, provider) = match failure {
        Some((_, tried)) => {
            let status = tried.status.unwrap_or(tried.cause.facts().status);
            let provider = &*snapshot.deployment(tried.deployment).endpoint.provider.name;
            (status, Some(tried.cause), provider)
        }
        None => (0, None, ""),
    };
    let mut tried: Vec<GroupIndex> =
        (0..plan.tried().len()).map(group_of).chain(answered).collect();
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
