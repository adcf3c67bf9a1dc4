//! An answer in two halves: one that broke off, and the rest of it, from another deployment.
//!
//! Part of [`super::Delivery`]. Always true: the deployment of each half gets its own outcome and pays its own tokens; the record
//! has the sum of both.

use hale_core::money::Money;
use hale_core::record::Bill;
use hale_core::rescue::Outcome;
use hale_core::usage::{BYTES_PER_TOKEN, CountedBy, Usage};

use super::Delivery;
use crate::proxy::attempt::Failed;
use crate::proxy::attempt_guard::AttemptGuard;
use crate::proxy::counted::Counted;

/// What earlier halves of an answer add up to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Earlier {
    usage: Usage,
    by: CountedBy,
    cost: Option<Money>,
}

impl Delivery {
    /// The answer broke off, and another deployment is asked to go on: its deployment is charged. Returns the tokens and the cost
    /// so far.
    pub(in crate::proxy) fn broke_off(
        &mut self,
        failed: &Failed,
        counted: Counted<'_>,
    ) -> Option<(Usage, f64)> {
        self.capture.attempt_failed(failed);
        self.account(counted);
        if let Some(mut attempt) = self.attempt.take() {
            attempt.failure(failed.failure());
        }
        self.half_ended(failed);
        let record = self.record.as_ref()?;
        let earlier = Earlier {
            // What no client gets is added to the sums at the end.
            usage: self.billing.answered?,
            by: record.counted_by,
            cost: record
                .cost_usd
                .and_then(Money::of_usd)
                .map(|cost| cost.minus(self.billing.elsewhere.cost)),
        };
        self.earlier = Some(Box::new(earlier));
        Some((earlier.usage, earlier.cost.unwrap_or_default().usd()))
    }

    /// The calls from now on send what the client has behind the request: providers charge for it.
    pub(in crate::proxy) fn sends_prefix(&mut self, prefix: &str) {
        self.prefix_tokens = (prefix.len() as u64).div_ceil(BYTES_PER_TOKEN);
    }

    /// The rest of the answer has begun.
    pub(in crate::proxy) fn goes_on(&mut self, mut attempt: AttemptGuard) {
        attempt.has_content();
        self.attempt = Some(attempt);
        self.rescued(Outcome::Continued);
    }

    /// What became of a stream that broke.
    pub(in crate::proxy) fn rescued(&mut self, outcome: Outcome) {
        self.note(|record| record.rescue = Some(outcome));
    }

    /// Adds what earlier halves came to.
    pub(super) fn with_earlier(&self, bill: Bill) -> Bill {
        let Some(earlier) = self.earlier.as_deref() else { return bill };
        let Bill { mut usage, counted_by, cost } = bill;
        usage.add(&earlier.usage);
        let counted_by = if earlier.by == CountedBy::Estimate { earlier.by } else { counted_by };
        let cost = match (earlier.cost, cost) {
            (Some(earlier), Some(cost)) => Some(earlier.plus(cost)),
            (earlier, cost) => earlier.or(cost),
        };
        Bill { usage, counted_by, cost }
    }
}
