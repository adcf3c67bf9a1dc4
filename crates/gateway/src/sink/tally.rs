//! Records counted for those who are told of incidents.
//!
//! Given by [`super::Sinks`] to the tally, which the alert task empties.

use hale_core::incident::{Ended, Outcome, Tally};
use hale_core::operation::Operation;
use hale_core::record::{Ending, RequestRecord};

/// Counts a batch.
pub(super) fn count(tally: &mut Tally, batch: &[RequestRecord]) {
    batch.iter().for_each(|record| tally.add(&ended(record)));
}

fn ended(record: &RequestRecord) -> Ended<'_> {
    let outcome = match (record.ending, record.cause) {
        (Ending::Success, _) => Outcome::Answered,
        (Ending::Error | Ending::Broken, Some(cause)) if cause.blames_deployment() => {
            Outcome::Failed(cause)
        }
        (Ending::Error | Ending::Broken | Ending::ClientClosed | Ending::Panicked, _) => {
            Outcome::Other
        }
    };
    Ended {
        group: record.model_group.as_ref(),
        requested: record.requested_model.as_ref(),
        was_attempted: record.deployment.is_some(),
        outcome,
        is_moved: record.retries > 0,
        fallbacks: record.fallbacks,
        has_waited: record.waited_us > 0,
        took_ms: took_ms(record),
    }
}

/// How long it took to answer; none of a session, which lasts as long as its client wants.
fn took_ms(record: &RequestRecord) -> Option<u64> {
    let us = match record.operation {
        Operation::Realtime => return None,
        _ if record.stream => record.first_content_us.unwrap_or(record.duration_us),
        _ => record.duration_us,
    };
    Some(us.saturating_sub(record.waited_us) / 1_000)
}
