//! The headers of one request to an upstream, besides those that all requests to it have.
//!
//! Called by [`super`] before a request is sent. Always true: of the client's head nothing goes along but
//! what its dialect holds.

use hale_core::provider::WireFormat;
use http::{HeaderName, HeaderValue, header};

use super::call::OperationCall;
use crate::upstream::Target;

/// The headers of this request alone. `content_type` is that of a body which is no JSON.
pub(super) fn of_request(
    call: &OperationCall<'_>,
    target: &Target,
    content_type: Option<&HeaderValue>,
) -> Vec<(HeaderName, HeaderValue)> {
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
        headers.extend(client.betas(&target.headers));
        if !call.conversion.translates() && !target.pins_version {
            headers.extend(client.version());
        }
    }
    if let Some(content_type) = content_type {
        headers.push((header::CONTENT_TYPE, content_type.clone()));
    }
    headers
}
