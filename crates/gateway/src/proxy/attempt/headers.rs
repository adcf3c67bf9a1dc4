//! The headers of one upstream request, besides those that all requests to this upstream have.
//!
//! Called by [`super`] before a request is sent. Always true: of the client's headers only those in its
//! dialect are passed on.

use hale_core::provider::WireFormat;
use http::{HeaderName, HeaderValue, header};

use super::call::OperationCall;
use crate::upstream::Target;

/// The type of a stream in frames of AWS.
pub(super) const FRAMES: &str = "application/vnd.amazon.eventstream";

/// The headers of this request. `content_type` is set if the body is not JSON.
pub(super) fn of_request(
    call: &OperationCall<'_>,
    target: &Target,
    content_type: Option<&HeaderValue>,
) -> Vec<(HeaderName, HeaderValue)> {
    let mut headers = match call.passed {
        Some(passed) => passed.headers(target.headers.map()),
        None => of_operation(call, target, content_type),
    };
    if let Some(traced) = &call.traced {
        traced.write(&mut headers);
    }
    headers
}

fn of_operation(
    call: &OperationCall<'_>,
    target: &Target,
    content_type: Option<&HeaderValue>,
) -> Vec<(HeaderName, HeaderValue)> {
    let is_at_bedrock = target.is_at_bedrock();
    let accept = if call.wants_events() && is_at_bedrock {
        FRAMES
    } else if call.wants_events() {
        call.conversion.stream_type()
    } else if call.conversion.operation.answers_bytes() {
        "application/octet-stream"
    } else {
        "application/json"
    };
    let mut headers = vec![(header::ACCEPT, HeaderValue::from_static(accept))];
    if call.conversion.wire == WireFormat::Anthropic && is_at_bedrock {
        headers.extend(target.invoke_headers.iter().cloned());
    }
    // At Bedrock they are members of the body.
    if call.conversion.wire == WireFormat::Anthropic && !is_at_bedrock {
        let client = &call.dialect.anthropic;
        let refused = target.refused_betas(call.conversion.operation);
        headers.extend(client.betas_but(target.headers.map(), refused));
        if !call.conversion.translates() && !target.pins_version {
            headers.extend(client.version());
        }
    }
    if let Some(content_type) = content_type {
        headers.push((header::CONTENT_TYPE, content_type.clone()));
    }
    headers
}
