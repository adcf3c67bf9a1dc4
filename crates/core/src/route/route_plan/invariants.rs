//! The rules that a request's plan keeps.
//!
//! Called by the simulator after each step and by the property tests. Always true: checking changes
//! nothing.

use super::{MAX_ATTEMPTS, RoutePlan, Target};
use crate::snapshot::Snapshot;

impl RoutePlan {
    /// Returns the rule that the plan breaks, as text, if it breaks one.
    ///
    /// # Errors
    ///
    /// The rule, with the whole plan.
    pub fn check_invariants(&self, snapshot: &Snapshot) -> Result<(), String> {
        let (tried, visited) = (self.tried.len(), self.visited.len());
        let targets: Vec<&Target> = self.visited.iter().map(|visit| &visit.target).collect();
        let is_known = |index: usize| index < snapshot.deployments.len();
        let rules = [
            (tried <= MAX_ATTEMPTS, "attempts are bounded"),
            (self.retries as usize <= tried, "what was repeated was tried"),
            (self.group_tried_from <= tried, "the group's attempts are among all"),
            (self.first_group_tried <= tried, "the first group's attempts are among all"),
            (self.fallbacks <= self.fallback_limit(snapshot), "fallbacks are bounded"),
            (visited <= self.fallbacks as usize + 1, "each fallback enters one group"),
            (are_distinct(&targets), "a group is visited once"),
            (self.was_visited(&self.target), "the current group was visited"),
            (self.current < visited, "the current visit is one of them"),
            (are_distinct(&self.avoid), "a deployment is avoided once"),
            (
                self.avoid.iter().all(|index| is_known(index.0 as usize)),
                "an avoided deployment exists",
            ),
            (self.deadline >= self.started, "the deadline is not before the start"),
            (self.group_ends <= self.deadline, "a group ends with the request at the latest"),
        ];
        match rules.into_iter().find(|(holds, _)| !holds) {
            Some((_, rule)) => Err(format!("plan: {rule}: {self:?}")),
            None => Ok(()),
        }
    }
}

fn are_distinct<T: PartialEq>(list: &[T]) -> bool {
    list.iter().enumerate().all(|(i, one)| !list.iter().take(i).any(|before| before == one))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::controls::Controls;
    use crate::route::route_plan::fixture::snapshot;
    use crate::time::Millis;

    #[test]
    fn a_plan_that_contradicts_itself_breaks_an_invariant() {
        let snapshot = snapshot();
        let broken = |spoil: fn(&mut RoutePlan)| {
            let now = Millis(5);
            let mut route_plan =
                RoutePlan::named(&snapshot, "g", Controls::default(), now).unwrap();
            assert_eq!(route_plan.check_invariants(&snapshot), Ok(()));
            spoil(&mut route_plan);
            route_plan.check_invariants(&snapshot).unwrap_err()
        };
        for (rule, spoil) in [
            (
                "what was repeated was tried",
                (|route_plan| route_plan.retries = 1) as fn(&mut RoutePlan),
            ),
            ("a group is visited once", |route_plan| {
                route_plan.visited.push(super::super::wait::Visit::of(
                    0,
                    route_plan.target.clone(),
                    None,
                ));
                route_plan.fallbacks = 1;
            }),
            ("fallbacks are bounded", |route_plan| route_plan.fallbacks = 99),
            ("the deadline is not before the start", |route_plan| route_plan.deadline = Millis(4)),
            ("an avoided deployment exists", |route_plan| {
                route_plan.avoid.push(crate::deployment::DeploymentIndex(99));
            }),
        ] {
            let said = broken(spoil);
            assert!(said.starts_with(&format!("plan: {rule}")), "{said}");
        }
    }
}
