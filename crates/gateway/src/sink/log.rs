//! Records as debug lines of the log.
//!
//! Written by [`super::Sinks`], when the log holds a line per request.

use hale_core::record::RequestRecord;

/// Writes one line per record.
pub(super) fn write(batch: &[RequestRecord]) {
    for record in batch {
        tracing::debug!(
            call_id = %record.call_id,
            operation = record.operation.name(),
            model = record.requested_model.as_deref(),
            model_group = record.model_group.as_deref(),
            deployment = record.deployment_name.as_deref(),
            status = record.status,
            ending = record.ending.name(),
            cause = record.cause.map(hale_core::cause::Cause::name),
            retries = record.retries,
            fallbacks = record.fallbacks,
            ms = record.duration_us / 1000,
            overhead_us = record.overhead_us,
            "request"
        );
    }
}
