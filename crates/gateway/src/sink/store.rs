//! Records as rows of the store.
//!
//! Given by [`super::Sinks`] to a store that does not wait. Always true: a row has what a line of the file of records has.

use hale_core::record::RequestRecord;
use hale_core::usage::CountedBy;
use hale_store::{Request, Store};

/// Gives records to the store.
pub(super) fn write(store: &Store, batch: &[RequestRecord]) {
    store.put_requests(batch.iter().map(row));
}

fn row(record: &RequestRecord) -> Request<'_> {
    let usage = record.usage.as_ref();
    Request {
        arrived_at: record.arrived_unix_ms,
        call_id: &record.call_id,
        operation: record.operation.name(),
        requested_model: record.requested_model.as_deref(),
        model_group: record.model_group.as_deref(),
        deployment: record.deployment.as_deref(),
        status: record.status,
        ending: record.ending.name(),
        cause: record.cause.map(hale_core::cause::Cause::name),
        stream: record.stream,
        retries: record.retries.into(),
        fallbacks: record.fallbacks.into(),
        resends: record.resends.total().into(),
        duration_us: record.duration_us,
        first_content_us: record.first_content_us,
        overhead_us: record.overhead_us,
        waited_us: record.waited_us,
        input_tokens: usage.map(|usage| usage.input),
        output_tokens: usage.map(|usage| usage.output),
        cache_read_tokens: usage.map(|usage| usage.cached_input),
        cache_write_tokens: usage.map(|usage| usage.cache_creation),
        reasoning_tokens: usage.map(|usage| usage.reasoning),
        usage_estimated: record.counted_by == CountedBy::Estimate,
        cost_usd: record.cost_usd,
        request_bytes: record.request_bytes,
        response_bytes: record.response_bytes,
    }
}
