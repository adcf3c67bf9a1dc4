//! Groups that a request may not call, although its route leads there: its key, its team, its user or its end user has no room for that model.
//!
//! Asked by [`super`] before each attempt. Always true: without a key it costs nothing; whichever way led to a group (a fallback, an alias, a
//! rescue, a turn in line), its limits and budgets hold before it is called; a group that is left out is named in the refusal.

use hale_core::tenancy::access::{Left, More};

use super::Exchange;
use crate::proxy::admit::{self, Asked, Moved};

/// Most groups that a refusal names.
const NAMED_MAX: usize = 4;

impl Exchange {
    /// Whether the group of now may be called: what the request is expected to use there is reserved. If it has no room, the route goes on
    /// without it.
    pub(super) fn is_admitted(&mut self) -> bool {
        let place = self.plan.place();
        if place == self.admitted {
            return true;
        }
        let request = &self.request;
        let asked = request.peek().map(|peek| Asked {
            operation: request.operation,
            model: &request.model,
            units: request.units,
            peek,
            more: More::default(),
        });
        let Some(admission) = self.delivery.admission() else { return true };
        let process = &self.arrival.worker.process;
        let snapshot = &self.arrival.serving.snapshot;
        let plan = &self.plan;
        let left = match plan.was_called(self.admitted) {
            true => Left::Called,
            false => Left::Uncalled,
        };
        let denied = match admit::moves(process, admission, &Moved { snapshot, plan, asked, left })
        {
            Ok(()) => {
                self.admitted = place;
                return true;
            }
            Err(denied) => denied,
        };
        if self.barred.len() < NAMED_MAX {
            let group = plan.target().name(snapshot);
            self.barred.push(format!("`{group}` was not tried: {}", denied.message).into());
        }
        self.plan.bar();
        false
    }

    /// Says in the text of a refusal which groups were left out.
    pub(super) fn tell_barred(&self, message: &mut String) {
        for told in &self.barred {
            message.push_str("; ");
            message.push_str(told);
        }
    }
}
