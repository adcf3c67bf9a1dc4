//! Whether a request can cost anything, wherever its plan leads.
//!
//! Asked by the gateway before a key's budget counts. Always true: the answer is by prices, never by an estimate of this request; a
//! model without a price may cost something.

use super::RoutePlan;
use super::queue::Kind;
use crate::deployment::DeploymentIndex;
use crate::group::GroupIndex;
use crate::route::resolve::{Resolved, Target, resolve};
use crate::snapshot::Snapshot;

impl RoutePlan {
    /// Whether every deployment that may answer is known to cost nothing: those of its group, and of all fallbacks.
    #[must_use]
    pub fn is_free(&self, snapshot: &Snapshot) -> bool {
        if !is_free(snapshot, &self.target) {
            return false;
        }
        let mut target = self.target.clone();
        let mut names: Vec<Box<str>> = self.queue.iter().map(|one| one.name.clone()).collect();
        let mut seen: Vec<GroupIndex> = Vec::new();
        loop {
            seen.push(target.group);
            for kind in Kind::ALL {
                let waiting = self.fallbacks_of(snapshot, &target, kind);
                names.extend(waiting.into_iter().map(|one| one.name));
            }
            let next = std::iter::from_fn(|| names.pop()).find_map(|name| {
                match resolve(snapshot, &name) {
                    Resolved::Target(target) if !seen.contains(&target.group) => {
                        Some((target, name))
                    }
                    Resolved::Target(_) | Resolved::Unknown(_) => None,
                }
            });
            let Some((next, name)) = next else { return true };
            if self.controls.may_use.allows(snapshot, &next, &name) && !is_free(snapshot, &next) {
                return false;
            }
            target = next;
        }
    }
}

fn is_free(snapshot: &Snapshot, target: &Target) -> bool {
    let members = match &target.pinned {
        Some(only) => std::slice::from_ref(only),
        None => &snapshot.group(target.group).members,
    };
    let costs_nothing = |index: &DeploymentIndex| {
        let deployment = snapshot.deployment(*index);
        deployment.facts_of(&target.model_in_many(snapshot, deployment)).is_free()
    };
    !members.is_empty() && members.iter().all(costs_nothing)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::fixture;
    use super::*;
    use crate::route::Controls;
    use crate::time::Millis;

    fn priced(snapshot: &mut Snapshot, id: &str, usd: f64) {
        let index = snapshot.by_id[id];
        let at = snapshot.deployments.iter().position(|one| one.index == index).unwrap();
        let one = Arc::get_mut(&mut snapshot.deployments[at]).unwrap();
        one.facts.input_cost_per_token = Some(usd);
    }

    fn plan(snapshot: &Snapshot) -> RoutePlan {
        RoutePlan::named(snapshot, "g", Controls::default(), Millis(0)).unwrap()
    }

    #[test]
    fn a_request_is_free_only_if_every_deployment_that_may_answer_costs_nothing() {
        let mut snapshot = fixture::snapshot();
        assert!(!plan(&snapshot).is_free(&snapshot), "no price is known");
        priced(&mut snapshot, "g-a", 0.0);
        assert!(!plan(&snapshot).is_free(&snapshot), "one member has no price");
        for id in ["g-a", "g-b", "f-a", "l-a"] {
            priced(&mut snapshot, id, 0.0);
        }
        assert!(plan(&snapshot).is_free(&snapshot));
        priced(&mut snapshot, "g-b", 0.1);
        assert!(!plan(&snapshot).is_free(&snapshot), "the second member costs something");
        priced(&mut snapshot, "g-b", 0.0);
        priced(&mut snapshot, "f-a", 0.1);
        assert!(!plan(&snapshot).is_free(&snapshot), "the fallback costs something");
        priced(&mut snapshot, "f-a", 0.0);
        snapshot.router.fallbacks.insert("fallback".into(), vec!["g".into(), "lone".into()]);
        assert!(plan(&snapshot).is_free(&snapshot));
        priced(&mut snapshot, "l-a", 0.1);
        assert!(!plan(&snapshot).is_free(&snapshot), "a fallback's fallback costs something");
    }
}
