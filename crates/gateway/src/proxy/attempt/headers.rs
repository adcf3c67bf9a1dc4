//! The headers of one upstream request, besides those that all requests to this upstream have.
//!
//! Called by [`super`] before a request is sent. Always true: of the client's headers only those in its
//! dialect are passed on.

use hale_core::provider::WireFormat;
use http::{HeaderName, HeaderValue, header};

use super::call::OperationCall;
use crate::upstream::Target;

/// The headers of this request. `content_type` is set if the body is not JSON.
pub(super) fn of_request(
    call: &OperationCall<'_>,
    target: &Target,
    content_type: Option<&HeaderValue>,
) -> Vec<(HeaderName, HeaderValue)> {
    if let Some(passed) = call.passed {
        return passed.headers(target.headers.map());
    }
    let accept = if call.wants_events() {
        "text/event-stream"
    } else if call.conversion.operation.answers_bytes() {
        "application/octet-stream"
    } else {
        "application/json"
    };
    let mut headers = vec![(header::ACCEPT, HeaderValue::from_static(accept))];
    if call.conversion.wire == WireFormat::Anthropic {
        let client = &call.dialect.anthropic;
        headers.extend(client.betas(target.headers.map()));
        if !call.conversion.translates() && !target.pins_version {
            headers.extend(client.version());
        }
    }
    if let Some(content_type) = content_type {
        headers.push((header::CONTENT_TYPE, content_type.clone()));
    }
    headers
}
