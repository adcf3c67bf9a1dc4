//! The rules that the queue keeps.
//!
//! Called by the simulator and by tests. Always true: checking changes nothing.

use std::collections::BTreeSet;

use super::Queue;
use crate::waiting::class::{Class, LaneId};

impl Queue {
    /// Returns the rule that the queue breaks, as text, if it breaks one.
    ///
    /// # Errors
    ///
    /// The rule.
    pub fn check_invariants(&self) -> Result<(), String> {
        let held: u64 = self.by_body.iter().map(|(bytes, _)| bytes).sum();
        let quiet = self.waiters.values().filter(|waiter| waiter.looks_again).count();
        let in_classes: usize = self.classes.iter().map(|(_, class)| class.tickets.len()).sum();
        let heads_are_first = self.lanes.iter().all(|(id, lane)| {
            let of_lane = self.classes.iter().filter(|(_, class)| class.is_in(id));
            let heads: BTreeSet<_> = of_lane
                .filter_map(|(class, tickets)| Some((*tickets.tickets.first()?, class)))
                .collect();
            heads == lane.heads && lane.waiting > 0
        });
        let rules = [
            (in_classes == self.waiters.len(), "each ticket is in one class"),
            (self.by_end.len() + quiet == self.waiters.len(), "each wait has an end"),
            (held == self.body_bytes, "bodies add up"),
            (
                self.by_group.values().map(|count| *count as usize).sum::<usize>()
                    == self.waiters.len(),
                "groups add up",
            ),
            (heads_are_first, "a line knows the first of each class, and is not empty"),
            (self.lane_of.len() == self.lanes.iter().count(), "a line has one name"),
        ];
        match rules.into_iter().find(|(holds, _)| !holds) {
            Some((_, rule)) => Err(format!("queue: {rule}: {self:?}")),
            None => Ok(()),
        }
    }
}

impl Class {
    fn is_in(&self, lane: LaneId) -> bool {
        self.ways.iter().any(|way| way.lane == lane)
    }
}
